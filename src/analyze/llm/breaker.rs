//! Stops calling a model that gives no usable answers: a circuit breaker over the traces of one run.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::limits::{CONSECUTIVE_REPAIRS_MAX, CONSECUTIVE_UNUSABLE_ANSWERS_MAX};

/// Opens after too many traces in a row without a usable answer, and stays open for the rest of the run.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    failures_in_a_row: AtomicU32,
    is_open: AtomicBool,
}

impl CircuitBreaker {
    /// A trace got a usable answer.
    pub(super) fn record_success(&self) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
    }

    /// A trace got no usable answer. Returns true if this failure opens the breaker.
    pub(super) fn record_failure(&self) -> bool {
        let in_a_row = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        in_a_row >= CONSECUTIVE_UNUSABLE_ANSWERS_MAX && !self.is_open.swap(true, Ordering::Relaxed)
    }

    /// Whether no more requests are sent.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Whether a second answer is worth its price after an unusable first one.
    pub(super) fn allows_repair(&self) -> bool {
        !self.is_open() && self.failures_in_a_row.load(Ordering::Relaxed) < CONSECUTIVE_REPAIRS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_once_after_failures_in_a_row() {
        let breaker = CircuitBreaker::default();
        for _ in 0..100 {
            (1..CONSECUTIVE_UNUSABLE_ANSWERS_MAX).for_each(|_| assert!(!breaker.record_failure()));
            assert!(!breaker.allows_repair());
            breaker.record_success();
            assert!(breaker.allows_repair() && !breaker.is_open());
        }
        let opened = (0..2 * CONSECUTIVE_UNUSABLE_ANSWERS_MAX).filter(|_| breaker.record_failure()).count();
        breaker.record_success();
        assert!(opened == 1 && breaker.is_open() && !breaker.allows_repair());
    }
}
