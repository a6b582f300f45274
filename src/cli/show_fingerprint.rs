//! The section of `failsift show` about the other traces that failed alike.

use serde_json::Value;

use super::counted;
use crate::model::escape_to_one_line;

/// How often the failure was seen, since when, and what its traces have in common. `fingerprint` is a row of `fingerprints`; nothing for null.
pub(super) fn seen_lines(fingerprint: &Value) -> Vec<String> {
    let Some(traces) = fingerprint["traces"].as_u64() else { return Vec::new() };
    let count = |key: &str| fingerprint[key].as_u64().unwrap_or(0);
    let day = |key: &str| day(fingerprint[key].as_str().unwrap_or_default());
    if fingerprint["contributing_factor"] == "no_failure_found" {
        return Vec::new();
    }
    // Traces without the name of a service are compared within their project, or with nothing.
    let healthy = match (fingerprint["service"].is_string(), count("healthy_traces")) {
        (true, 0) => " (no healthy one of the same service)".to_owned(),
        (true, healthy) => format!(" ({healthy} healthy of the same service)"),
        (false, 0) => String::new(),
        (false, healthy) => format!(" ({healthy} healthy of the same project)"),
    };
    let users = match fingerprint["users"].as_u64() {
        Some(users) => format!(", of {}", counted(users, "user")),
        None => String::new(),
    };
    let services = match count("services") {
        0 | 1 => String::new(),
        services => format!("; the same in {} other {}", services - 1, if services == 2 { "service" } else { "services" }),
    };
    let runs = match count("runs_seen") {
        0 | 1 => String::new(),
        runs => format!(", in {runs} runs"),
    };
    let mut lines = vec![
        "\nSeen".to_owned(),
        format!("  {} in the run of {}{healthy}{users}{services}", counted(traces, "trace"), day("run_started_at")),
        format!("  first {}, last {}{runs}", day("first_seen_at"), day("last_seen_at")),
    ];
    let differences = fingerprint["differences"].as_array().into_iter().flatten();
    lines.extend(differences.filter_map(|difference| Some(format!("  {}", escape_to_one_line(difference["sentence"].as_str()?)))));
    lines
}

/// The date of a timestamp.
fn day(time: &str) -> String {
    escape_to_one_line(time.split('T').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Value {
        serde_json::json!({
            "contributing_factor": "provider_quota", "service": "checkout", "traces": 37, "users": 12, "services": 3, "healthy_traces": 210, "runs_seen": 4,
            "run_started_at": "2026-11-26T09:00:00Z", "first_seen_at": "2026-11-02T08:00:00Z", "last_seen_at": "2026-11-26T08:59:00Z",
            "differences": [{"sentence": "All 37 are on version 1.4.2; none of the 210 healthy traces of checkout is."}],
        })
    }

    #[test]
    fn the_section_tells_how_often_since_when_and_what_is_common() {
        let expected = [
            "\nSeen",
            "  37 traces in the run of 2026-11-26 (210 healthy of the same service), of 12 users; the same in 2 other services",
            "  first 2026-11-02, last 2026-11-26, in 4 runs",
            "  All 37 are on version 1.4.2; none of the 210 healthy traces of checkout is.",
        ];
        assert_eq!(seen_lines(&row()), expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        assert!(seen_lines(&Value::Null).is_empty());
        let mut healthy = row();
        healthy["contributing_factor"] = "no_failure_found".into();
        assert!(seen_lines(&healthy).is_empty());
        let mut unnamed = row();
        unnamed["service"] = Value::Null;
        assert!(seen_lines(&unnamed)[1].contains("(210 healthy of the same project)"));
        unnamed["healthy_traces"] = 0.into();
        assert!(seen_lines(&unnamed)[1].starts_with("  37 traces in the run of 2026-11-26, of 12 users"));
    }
}
