//! The redacted trace, which analyzers read.

use std::ops::Deref;
use std::time::Duration;

use super::leak_check::{SensitiveValues, UncheckedDraft};
use crate::model::{Draft, Trace};
use crate::runtime::ConcurrencyPermit;

/// A trace without sensitive text. Only `redact` can make one.
#[derive(Debug, Clone)]
pub struct RedactedTrace {
    pub(super) trace: Trace,
    pub(super) values: SensitiveValues,
    pub(super) redaction_time: Duration,
}

impl Deref for RedactedTrace {
    type Target = Trace;
    fn deref(&self) -> &Trace {
        &self.trace
    }
}

impl RedactedTrace {
    /// An analyzer's draft about this trace, to be redacted and checked against the values of the trace.
    pub fn unchecked(&self, draft: Draft, permit: ConcurrencyPermit) -> UncheckedDraft {
        UncheckedDraft { draft, permit, values: self.values.clone() }
    }

    /// The part of the trace's time budget that redaction used.
    pub fn redaction_time(&self) -> Duration {
        self.redaction_time
    }
}
