//! Stops asking a model that gives no usable answers: a circuit breaker over the traces of one run.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::limits::{CONSECUTIVE_REPAIRS_MAX, CONSECUTIVE_UNUSABLE_ANSWERS_MAX};

/// Closed while answers are of use; open, for the rest of the run, once too many traces in a row got none.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    useless: AtomicU32,
    open: AtomicBool,
}

impl Breaker {
    /// A trace got an answer that could be used.
    pub(super) fn useful(&self) {
        self.useless.store(0, Ordering::Relaxed);
    }

    /// A trace got none. True where this one opens the breaker.
    pub(super) fn useless(&self) -> bool {
        let in_a_row = self.useless.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        in_a_row >= CONSECUTIVE_UNUSABLE_ANSWERS_MAX && !self.open.swap(true, Ordering::Relaxed)
    }

    /// Whether nobody is asked any more.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether a second answer is worth its price after a first one that cannot be used.
    pub(super) fn repairs(&self) -> bool {
        !self.is_open() && self.useless.load(Ordering::Relaxed) < CONSECUTIVE_REPAIRS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_once_and_only_after_a_run_of_useless_answers() {
        let breaker = Breaker::default();
        for _ in 0..100 {
            (1..CONSECUTIVE_UNUSABLE_ANSWERS_MAX).for_each(|_| assert!(!breaker.useless()));
            assert!(!breaker.repairs());
            breaker.useful();
            assert!(breaker.repairs() && !breaker.is_open());
        }
        let opened = (0..2 * CONSECUTIVE_UNUSABLE_ANSWERS_MAX).filter(|_| breaker.useless()).count();
        breaker.useful();
        assert!(opened == 1 && breaker.is_open() && !breaker.repairs());
    }
}
