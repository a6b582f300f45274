//! What records became: the accounting of the parse stage, made by types.
//!
//! Whatever reads a record returns an [`Accounted`], and only the methods of [`Parsed`] that take something make one. So a format that
//! recognises a record and does nothing with it does not compile.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Piece, Place, json};
use crate::model::{Annotation, Kind, Rejection, Stage};
use crate::store::Object;

/// What an annotation is about, where the record names only that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AnnotationTarget {
    /// The span of this id.
    Span(String),
    /// The trace of this id.
    Trace(String),
}

/// Why a record that was understood is part of no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// Metrics or profiles of OTLP.
    OtherSignal,
    /// A log record that names no trace.
    LogWithoutTrace,
    /// An export request without spans and log records, or a page of an API without items.
    Empty,
    /// A score of a session, which is no trace.
    SessionScore,
    /// A row about a trace that was exported without its spans.
    TraceWithoutSpans,
    /// A row of a table that failsift wrote.
    OwnTable,
    /// An event of another kind beside spans, such as an evaluation.
    OtherEvent,
}

impl Skip {
    /// The word in the run summary.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherSignal => "other_signal",
            Self::LogWithoutTrace => "log_without_trace",
            Self::Empty => "empty",
            Self::SessionScore => "session_score",
            Self::TraceWithoutSpans => "trace_without_spans",
            Self::OwnTable => "own_table",
            Self::OtherEvent => "other_event",
        }
    }
}

/// Proof that something became of a record. Of a record that holds several things it says of each kind whether there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "every record is accounted for"]
pub struct Accounted {
    spans: bool,
    companion: bool,
    skipped: Option<Skip>,
    rejected: bool,
}

impl Accounted {
    const NOTHING: Self = Self { spans: false, companion: false, skipped: None, rejected: false };
    const SPANS: Self = Self { spans: true, ..Self::NOTHING };
    const COMPANION: Self = Self { companion: true, ..Self::NOTHING };
    const REJECTED: Self = Self { rejected: true, ..Self::NOTHING };

    /// What became of two parts of one record.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            spans: self.spans || other.spans,
            companion: self.companion || other.companion,
            skipped: self.skipped.or(other.skipped),
            rejected: self.rejected || other.rejected,
        }
    }

    /// What became of the parts of one record; nothing where it has no parts.
    pub(super) fn of_parts(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        parts.into_iter().reduce(Self::and)
    }
}

/// Where records went. Each is counted once: `read = spans + companions + skipped + rejected`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Lines, items of lists, messages and rows.
    pub read: u64,
    /// Those that gave at least one span, whatever else they held.
    pub spans: u64,
    /// Others that are used: log records of spans, annotations, rows about whole traces, manifests.
    pub companions: u64,
    /// Others that were understood and are part of no trace.
    pub skipped: u64,
    /// Others, of which nothing could be used.
    pub rejected: u64,
    /// Why records, or parts of them, were skipped.
    pub skips: BTreeMap<Skip, u64>,
}

impl RecordCounts {
    pub(super) fn add(&mut self, record: Accounted) {
        self.read += 1;
        *match record {
            Accounted { spans: true, .. } => &mut self.spans,
            Accounted { companion: true, .. } => &mut self.companions,
            Accounted { rejected: true, .. } => &mut self.rejected,
            _ => &mut self.skipped,
        } += 1;
        if let Some(skip) = record.skipped {
            *self.skips.entry(skip).or_default() += 1;
        }
    }

    /// Counts records of which nothing could be used, because their object or their chunk could not be read.
    pub(super) fn add_rejected(&mut self, records: u64) {
        self.read += records;
        self.rejected += records;
    }

    /// Counts records that are skipped with their whole object.
    pub(super) fn add_skipped(&mut self, skip: Skip, records: u64) {
        self.read += records;
        self.skipped += records;
        *self.skips.entry(skip).or_default() += records;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.read += other.read;
        self.spans += other.spans;
        self.companions += other.companions;
        self.skipped += other.skipped;
        self.rejected += other.rejected;
        for (skip, count) in &other.skips {
            *self.skips.entry(*skip).or_default() += count;
        }
    }

    /// Records that have an outcome; equal to `read` where nothing was lost.
    pub fn accounted_for(&self) -> u64 {
        self.spans + self.companions + self.skipped + self.rejected
    }
}

/// What the records of a chunk became.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The object that the chunk is of, and the format that it is read with.
    pub(super) object: Option<(Arc<Object>, Option<&'static str>)>,
    /// Where the records of the chunk went.
    pub(super) records: RecordCounts,
    /// Parts of traces.
    pub(super) pieces: Vec<Piece>,
    /// Records that could not be put into a trace.
    pub(super) rejections: Vec<Rejection>,
    /// Objects that hold no traces, or something else beside them.
    pub(super) skipped: Vec<String>,
    /// Annotations that stand apart from their span.
    pub(super) annotations: Vec<(AnnotationTarget, Annotation)>,
    /// URIs of objects that should lie beside this one, as a manifest says.
    pub(super) expected: Vec<String>,
}

impl Parsed {
    /// Spans, log records and rows about whole traces.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// What could not be read.
    pub fn rejections(&self) -> &[Rejection] {
        &self.rejections
    }

    /// Takes a span.
    pub fn span(&mut self, piece: Piece) -> Accounted {
        let (unread_fields, cut_fields) = (piece.span.unread_fields, piece.span.cut_fields);
        self.pieces.push(Piece { unread_fields, cut_fields, ..piece });
        Accounted::SPANS
    }

    /// Takes a log record or a row about a whole trace, which adds to the span of its id or to its trace.
    pub fn addition(&mut self, piece: Piece) -> Accounted {
        self.pieces.push(Piece { addition: true, ..piece });
        Accounted::COMPANION
    }

    /// Takes an annotation that stands apart from its span.
    pub fn annotation(&mut self, target: AnnotationTarget, annotation: Annotation, place: &Place<'_>) -> Accounted {
        self.annotations.push((target, annotation));
        self.list_object(place);
        Accounted::COMPANION
    }

    /// Takes a manifest, which names objects that should lie beside its own.
    pub fn manifest(&mut self, objects: impl IntoIterator<Item = String>, place: &Place<'_>) -> Accounted {
        self.expected.extend(objects);
        self.list_object(place);
        Accounted::COMPANION
    }

    /// Notes that what stands at `place` is understood and part of no trace.
    pub fn skip(&mut self, skip: Skip, place: &Place<'_>) -> Accounted {
        self.list_object(place);
        Accounted { skipped: Some(skip), ..Accounted::NOTHING }
    }

    /// Notes that something at `place` could not be read.
    pub fn reject(&mut self, place: &Place<'_>, kind: Kind, reason: impl Into<String>) -> Accounted {
        self.reject_as(Rejection::at_place(place, place.uri, Stage::Parse, kind, reason))
    }

    /// Notes that the text at `place` is no JSON, or no JSON object, as `error` says.
    pub(super) fn reject_json(&mut self, place: &Place<'_>, error: &serde_json::Error) -> Accounted {
        let kind = if error.is_data() { Kind::MalformedRecord } else { Kind::MalformedJson };
        self.reject(place, kind, format!("cannot read {place}: {}", json::describe(error)))
    }

    /// Notes that a trace, or something of a known place, could not be read.
    pub fn reject_as(&mut self, rejection: Rejection) -> Accounted {
        self.rejections.push(rejection);
        Accounted::REJECTED
    }

    /// Lists the object at `place` among those that hold something else than traces.
    fn list_object(&mut self, place: &Place<'_>) {
        if self.skipped.last().is_none_or(|last| last != place.uri) {
            self.skipped.push(place.uri.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::place;

    #[test]
    fn a_record_counts_once_by_the_best_that_came_of_it() {
        let mut out = Parsed::default();
        let rejected = out.reject(&place(), Kind::MissingId, "no id");
        let spans = out.span(Piece::default());
        let skipped = out.skip(Skip::OtherSignal, &place());
        let companion = out.addition(Piece::default());
        let mut counts = RecordCounts::default();
        for record in [rejected.and(spans), skipped.and(companion), skipped.and(rejected), skipped, rejected] {
            counts.add(record);
        }
        assert_eq!((counts.read, counts.spans, counts.companions, counts.skipped, counts.rejected), (5, 1, 1, 1, 2));
        assert_eq!((counts.accounted_for(), counts.skips[&Skip::OtherSignal]), (5, 3));
        assert_eq!(Accounted::of_parts([]), None);
    }
}
