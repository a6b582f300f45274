//! A failure whose facts are extracted.

use std::cell::OnceCell;

use super::super::incident::Incident;
use super::super::text::message_of;
use super::super::tree::SpanTree;
use super::earlier::{self, EarlierResult};
use super::texts::{self, Source};
use crate::model::{Label, Span, Trace};

/// A failure: the trace, what went wrong in it, and what the root cause is.
pub(in crate::analyze::embedded) struct Case<'c, 't> {
    pub(in crate::analyze::embedded) trace: &'t Trace,
    pub(in crate::analyze::embedded) tree: &'c SpanTree,
    /// Every incident, in the order of the spans.
    pub(in crate::analyze::embedded) incidents: &'c [Incident<'t>],
    /// The root cause; `None` if no step failed.
    pub(in crate::analyze::embedded) root: Option<&'c Incident<'t>>,
    pub(in crate::analyze::embedded) label: Label,
    /// Read by several extractors, so searched once.
    error_texts: OnceCell<Vec<Source<'t>>>,
    earlier_results: OnceCell<Vec<EarlierResult<'t>>>,
}

impl<'c, 't> Case<'c, 't> {
    pub(in crate::analyze::embedded) fn new(
        trace: &'t Trace,
        tree: &'c SpanTree,
        incidents: &'c [Incident<'t>],
        root: Option<&'c Incident<'t>>,
        label: Label,
    ) -> Self {
        Self { trace, tree, incidents, root, label, error_texts: OnceCell::new(), earlier_results: OnceCell::new() }
    }

    /// The texts that describe the error ([`texts::error_texts`]).
    pub(super) fn error_texts(&self) -> &[Source<'t>] {
        self.error_texts.get_or_init(|| texts::error_texts(self))
    }

    /// The results that the run had before the failure ([`earlier::earlier_results`]).
    pub(super) fn earlier_results(&self) -> &[EarlierResult<'t>] {
        self.earlier_results.get_or_init(|| earlier::earlier_results(self))
    }

    /// Whether the failure has one of these factors.
    pub(super) fn is(&self, factors: &[&str]) -> bool {
        factors.contains(&self.label.factor())
    }

    /// The span that failed.
    pub(super) fn span(&self) -> Option<&'t Span> {
        self.root.map(|incident| incident.span)
    }

    /// The step that failed: for the call of another service, the step that made it.
    pub(super) fn step(&self) -> Option<&'t Span> {
        self.root.map(|incident| incident.step.unwrap_or(incident.span))
    }

    /// The texts of the error with the fields that contain them, without stack traces and cut to a bounded length.
    pub(super) fn messages(&self) -> impl Iterator<Item = (&str, &'t str)> {
        let texts = self.root.map(|incident| incident.texts.as_slice()).unwrap_or_default();
        texts.iter().map(|(field, text)| (field.as_str(), message_of(text)))
    }
}

/// The duration of a span in milliseconds; `None` if it has not both times.
pub(in crate::analyze::embedded) fn duration_ms(span: &Span) -> Option<f64> {
    let (start, end) = (span.started_at_ns?, span.ended_at_ns?);
    milliseconds_between(start, end)
}

/// Milliseconds from one time to a later one, to three digits after the point.
#[expect(clippy::cast_precision_loss, reason = "a duration for people")]
pub(in crate::analyze::embedded) fn milliseconds_between(start_ns: i64, end_ns: i64) -> Option<f64> {
    let microseconds = end_ns.checked_sub(start_ns).filter(|duration| *duration >= 0)? / 1_000;
    Some(microseconds as f64 / 1e3)
}
