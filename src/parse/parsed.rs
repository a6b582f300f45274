//! What records became: the accounting of the parse stage, made by types.
//!
//! Whatever reads a record returns an [`Accounted`], and only the methods of [`Parsed`] that take something make one. So a format that
//! recognises a record and does nothing with it does not compile.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Piece, Place, json};
use crate::limits::{RECORD_REJECTIONS_MAX, RECORD_SPANS_MAX, SPAN_ITEMS_MAX, SUMMARY_SKIPPED_OBJECTS_MAX};
use crate::model::{Annotation, Rejection, RejectionKind, Span, Stage};
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
    /// What was taken of the record under way.
    pub(super) of_record: OfRecord,
}

/// What was taken of the record under way, which may hold millions of parts in a few bytes each.
#[derive(Debug, Default)]
pub(super) struct OfRecord {
    spans: usize,
    spans_left_out: u64,
    rejections: usize,
    /// Rejections that are only counted, and the first of them.
    rejections_left_out: Option<(u64, RejectionKind)>,
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

    /// Begins with the next record.
    pub(super) fn begin_record(&mut self) {
        self.of_record = OfRecord::default();
    }

    /// Ends the record at `place`: what was left out of it is a rejection that says how much.
    pub(super) fn end_record(&mut self, place: &Place<'_>) {
        let OfRecord { spans_left_out, rejections_left_out, .. } = std::mem::take(&mut self.of_record);
        if let Some((count, kind)) = rejections_left_out {
            let reason =
                format!("cannot read {place}: {count} more of its parts could not be read, the first of them because of {}", kind.as_str());
            self.rejections.push(Rejection::at_location(format_args!("{place}.more"), place.uri, Stage::Parse, kind, reason));
        }
        if spans_left_out > 0 {
            let reason = format!(
                "cannot read {place} whole: {spans_left_out} of its spans or messages were left out, for a record may hold {RECORD_SPANS_MAX}\n  hint: write one trace or one export request a line"
            );
            self.rejections.push(Rejection::at_location(
                format_args!("{place}.rest"),
                place.uri,
                Stage::Parse,
                RejectionKind::Oversize,
                reason,
            ));
        }
    }

    /// Takes a span.
    pub fn span(&mut self, piece: Piece) -> Accounted {
        if !self.has_room() {
            return Accounted::REJECTED;
        }
        let mut span = piece.span;
        span.cut_fields += cut_lists(&mut span);
        self.pieces.push(Piece { unread_fields: span.unread_fields, cut_fields: span.cut_fields, span, ..piece });
        Accounted::SPANS
    }

    /// Whether one more span or log record of the record is taken.
    fn has_room(&mut self) -> bool {
        self.of_record.spans += 1;
        let has_room = self.of_record.spans <= RECORD_SPANS_MAX;
        self.of_record.spans_left_out += u64::from(!has_room);
        has_room
    }

    /// Takes a log record or a row about a whole trace, which adds to the span of its id or to its trace.
    pub fn addition(&mut self, piece: Piece) -> Accounted {
        if !self.has_room() {
            return Accounted::REJECTED;
        }
        let mut span = piece.span;
        cut_lists(&mut span);
        self.pieces.push(Piece { addition: true, span, ..piece });
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
        self.expected.extend(objects.into_iter().take(SUMMARY_SKIPPED_OBJECTS_MAX));
        self.list_object(place);
        Accounted::COMPANION
    }

    /// Notes that what stands at `place` is understood and part of no trace.
    pub fn skip(&mut self, skip: Skip, place: &Place<'_>) -> Accounted {
        self.list_object(place);
        Accounted { skipped: Some(skip), ..Accounted::NOTHING }
    }

    /// Notes that something at `place` could not be read.
    pub fn reject(&mut self, place: &Place<'_>, kind: RejectionKind, reason: impl Into<String>) -> Accounted {
        self.reject_as(Rejection::at_location(place, place.uri, Stage::Parse, kind, reason))
    }

    /// Notes that the text at `place` is no JSON, or no JSON object, as `error` says.
    pub(super) fn reject_json(&mut self, place: &Place<'_>, error: &serde_json::Error) -> Accounted {
        let kind = if json::has_too_many_parts(error) {
            RejectionKind::Oversize
        } else if error.is_data() {
            RejectionKind::MalformedRecord
        } else {
            RejectionKind::MalformedJson
        };
        self.reject(place, kind, format!("cannot read {place}: {}", json::describe(error)))
    }

    /// Notes that a trace, or something of a known place, could not be read.
    pub fn reject_as(&mut self, rejection: Rejection) -> Accounted {
        self.of_record.rejections += 1;
        if self.of_record.rejections <= RECORD_REJECTIONS_MAX {
            self.rejections.push(rejection);
        } else {
            let (count, _) = self.of_record.rejections_left_out.get_or_insert((0, rejection.kind));
            *count += 1;
        }
        Accounted::REJECTED
    }

    /// Lists the object at `place` among those that hold something else than traces.
    fn list_object(&mut self, place: &Place<'_>) {
        if self.skipped.last().is_none_or(|last| last != place.uri) {
            self.skipped.push(place.uri.to_owned());
        }
    }
}

/// Cuts the lists of a span to [`SPAN_ITEMS_MAX`] each; gives how many were longer.
fn cut_lists(span: &mut Span) -> u32 {
    fn cut<T>(list: &mut Vec<T>) -> u32 {
        let is_long = list.len() > SPAN_ITEMS_MAX;
        if is_long {
            list.truncate(SPAN_ITEMS_MAX);
            list.shrink_to_fit();
        }
        u32::from(is_long)
    }
    let calls: u32 = span.input.iter_mut().chain(&mut span.output).map(|message| cut(&mut message.tool_calls)).sum();
    calls
        + cut(&mut span.input)
        + cut(&mut span.output)
        + cut(&mut span.exceptions)
        + cut(&mut span.finish_reasons)
        + cut(&mut span.tools_offered)
        + span.documents.as_mut().map_or(0, cut)
        + cut(&mut span.annotations)
        + cut(&mut span.attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::place;

    #[test]
    fn what_is_wrong_with_many_parts_of_a_record_is_counted_in_one_rejection() {
        let mut out = Parsed::default();
        for (record, more) in [(0, 0), (1, 7)] {
            out.begin_record();
            for _ in 0..RECORD_REJECTIONS_MAX + more {
                let _ = out.reject(&place(), RejectionKind::MissingId, "no id");
            }
            out.end_record(&place());
            assert_eq!(out.rejections.len(), RECORD_REJECTIONS_MAX * (record + 1) + record);
        }
        let last = out.rejections.last().unwrap();
        assert!(last.reason.contains("7 more of its parts") && last.trace_ref == format!("{}.more", place()), "{last:?}");
    }

    #[test]
    fn a_record_and_a_span_hold_so_much_and_what_is_left_out_is_said() {
        let mut out = Parsed::default();
        out.begin_record();
        let documents = Some(vec![crate::model::Document::default(); SPAN_ITEMS_MAX + 1]);
        let _ = out.span(Piece { span: Span { documents, ..Span::default() }, ..Piece::default() });
        assert_eq!((out.pieces[0].span.documents.as_ref().unwrap().len(), out.pieces[0].cut_fields), (SPAN_ITEMS_MAX, 1));
        for _ in 0..RECORD_SPANS_MAX + 4 {
            let _ = out.span(Piece::default());
        }
        out.end_record(&place());
        assert_eq!(out.pieces.len(), RECORD_SPANS_MAX);
        assert!(out.rejections[0].reason.contains("5 of its spans"), "{}", out.rejections[0].reason);
    }

    #[test]
    fn a_record_counts_once_by_the_best_that_came_of_it() {
        let mut out = Parsed::default();
        let rejected = out.reject(&place(), RejectionKind::MissingId, "no id");
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
