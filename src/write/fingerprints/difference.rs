//! When a value sets failed traces apart from healthy ones.
//!
//! A coincidence must not be told as a finding. So a value counts only if nearly all failed traces have it, if it is clearly rarer among the
//! healthy traces, and if such a difference is very unlikely between two random groups of these sizes: one-sided exact test of Fisher, whose
//! level is divided by the number of dimensions (Bonferroni).

use crate::model::Dimension;
use crate::statistics::{Share, exact_test, number};

/// Failed traces that a fingerprint needs, and healthy traces that the service needs. The test needs more of one if there are few of the other.
const TRACES_MIN: u64 = 5;

/// Share of the failed traces that have the value.
const FAILED_SHARE_MIN: f64 = 0.9;

/// The share among healthy traces is at most this part of the share among failed ones.
const HEALTHY_RATIO_MAX: f64 = 0.5;

/// Share of the healthy traces for which the dimension must be known.
const KNOWN_SHARE_MIN: f64 = 0.9;

/// Probability, for one fingerprint, that a difference without any cause is told. A run has some hundred fingerprints.
const LEVEL: f64 = 0.001;

/// The probability that chance explains the difference; `None` if it is not worth telling. `healthy_traces` are all healthy traces, of which
/// `healthy.of` are compared.
pub(super) fn separation(failed: Share, healthy: Share, healthy_traces: u64) -> Option<f64> {
    let is_known = number(healthy.of) >= KNOWN_SHARE_MIN * number(healthy_traces);
    let is_clear = failed.value() >= FAILED_SHARE_MIN && healthy.value() <= HEALTHY_RATIO_MAX * failed.value();
    if failed.of < TRACES_MIN || healthy.of < TRACES_MIN || !is_known || !is_clear {
        return None;
    }
    let probability = exact_test(failed, healthy);
    (probability <= LEVEL / number(Dimension::COUNT as u64)).then_some(probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(with: u64, of: u64) -> Share {
        Share { with, of }
    }

    fn tells(failed: (u64, u64), healthy: (u64, u64)) -> bool {
        separation(share(failed.0, failed.1), share(healthy.0, healthy.1), healthy.1).is_some()
    }

    #[test]
    fn a_clear_difference_is_told() {
        assert!(tells((37, 37), (0, 210)));
        assert!(tells((40, 40), (0, 60)));
        assert!(tells((5, 5), (0, 20)));
        assert!(tells((8, 8), (0, 8)));
        assert!(tells((36, 37), (20, 210)), "nearly all");
        assert!(tells((20, 20), (90, 190)), "half of the service runs the version that fails sometimes");
    }

    #[test]
    fn what_may_be_chance_or_says_little_is_not_told() {
        assert!(!tells((4, 4), (0, 210)), "too few failed traces");
        assert!(!tells((37, 37), (0, 4)), "too few healthy traces");
        assert!(!tells((5, 5), (0, 5)), "too few of both");
        assert!(!tells((33, 37), (0, 210)), "a ninth of them fails without it");
        assert!(!tells((37, 37), (130, 210)), "most healthy traces have it too");
        assert!(!tells((6, 6), (90, 200)), "six of such traces may have it by chance");
        assert!(!tells((0, 0), (0, 0)));
        assert!(separation(share(37, 37), share(0, 150), 210).is_none(), "unknown for too many healthy traces");
        assert!(separation(share(37, 37), share(0, 200), 210).is_some());
    }
}
