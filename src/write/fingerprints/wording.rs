//! A difference as a sentence: `All 37 are on version 1.4.2; none of the 210 healthy traces of checkout is.`

use crate::model::Dimension;
use crate::statistics::Share;

/// The sentence about a value. `healthy_traces` are all healthy traces of the service.
pub(super) fn sentence(
    dimension: Dimension,
    value: &str,
    failed: Share,
    healthy: Share,
    healthy_traces: u64,
    service: Option<&str>,
) -> String {
    let subject = if failed.with == failed.of { format!("All {}", failed.of) } else { format!("{} of {}", failed.with, failed.of) };
    let (is_state, predicate) = match dimension {
        Dimension::ServiceVersion => (true, format!("are on version {value}")),
        Dimension::VcsRevision => (true, format!("are built from revision {value}")),
        Dimension::PromptVersion => (false, format!("used prompt version {value}")),
        Dimension::Model => (false, format!("called the model {value}")),
        Dimension::Tool => (false, format!("called the tool {value}")),
        Dimension::Region => (false, format!("ran in {value}")),
        Dimension::Environment => (false, format!("ran in the environment {value}")),
        Dimension::Instance => (false, format!("ran on the instance {value}")),
    };
    let counted = if healthy.with == 0 { "none".to_owned() } else { healthy.with.to_string() };
    let verb = match (is_state, healthy.with) {
        (true, 0 | 1) => "is",
        (true, _) => "are",
        (false, _) => "did",
    };
    let of_service = service.map(|service| format!(" of {service}")).unwrap_or_default();
    // The others do not tell.
    let known = if healthy.of == healthy_traces { "" } else { " for which this is known" };
    format!("{subject} {predicate}; {counted} of the {} healthy traces{of_service}{known} {verb}.", healthy.of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_plain_and_have_the_right_number() {
        let words = |dimension, value, failed: (u64, u64), healthy: (u64, u64), all, service| {
            let share = |(with, of)| Share { with, of };
            sentence(dimension, value, share(failed), share(healthy), all, service)
        };
        let version = |failed, healthy| words(Dimension::ServiceVersion, "1.4.2", failed, healthy, 210, Some("checkout"));
        assert_eq!(version((37, 37), (0, 210)), "All 37 are on version 1.4.2; none of the 210 healthy traces of checkout is.");
        assert_eq!(version((36, 37), (1, 210)), "36 of 37 are on version 1.4.2; 1 of the 210 healthy traces of checkout is.");
        assert_eq!(version((37, 37), (12, 210)), "All 37 are on version 1.4.2; 12 of the 210 healthy traces of checkout are.");
        assert_eq!(
            version((37, 37), (0, 200)),
            "All 37 are on version 1.4.2; none of the 200 healthy traces of checkout for which this is known is."
        );
        let tool = words(Dimension::Tool, "search_orders", (9, 9), (3, 60), 60, None);
        assert_eq!(tool, "All 9 called the tool search_orders; 3 of the 60 healthy traces did.");
        let region = words(Dimension::Region, "eu-west-1", (9, 9), (0, 60), 60, Some("shop"));
        assert_eq!(region, "All 9 ran in eu-west-1; none of the 60 healthy traces of shop did.");
    }
}
