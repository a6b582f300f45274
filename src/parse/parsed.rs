//! The output of the parse stage, and the proof that every record has an outcome.
//!
//! A function that parses a record returns an [`Accounted`], and only the methods of [`ParsedChunk`] that add an outcome create one. So a format
//! that recognizes a record and does nothing with it does not compile.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{RecordLocation, SpanFragment, format_number, json};
use crate::limits::{RECORD_REJECTIONS_MAX, RECORD_SPANS_MAX, SPAN_ITEMS_MAX, SUMMARY_SKIPPED_OBJECTS_MAX};
use crate::model::{Annotation, Rejection, RejectionKind, Span, Stage};
use crate::store::Object;

/// The subject of an annotation that is exported apart from its span.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AnnotationTarget {
    /// The span with this id.
    Span(String),
    /// The trace with this id.
    Trace(String),
}

/// Why a record that was understood does not belong to a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// Metrics or profiles of OTLP.
    OtherSignal,
    /// A log record without a trace id.
    LogWithoutTrace,
    /// An export request without spans and log records, or a page of an API without items.
    Empty,
    /// A score of a session, which has several traces.
    SessionScore,
    /// A trace that was exported without its spans.
    TraceWithoutSpans,
    /// A row of a table that failsift itself wrote.
    OwnTable,
    /// An event that is not a span, such as an evaluation.
    OtherEvent,
    /// A line of a log without a trace, in an object whose other lines have some.
    OtherLogLine,
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
            Self::OtherLogLine => "other_log_line",
        }
    }
}

/// Proof that a record has an outcome. A record with several parts may have several outcomes.
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

    /// Whether all of the record was rejected.
    pub(super) fn is_rejected(self) -> bool {
        self == Self::REJECTED
    }

    /// The outcomes of two parts of one record.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            spans: self.spans || other.spans,
            companion: self.companion || other.companion,
            skipped: self.skipped.or(other.skipped),
            rejected: self.rejected || other.rejected,
        }
    }

    /// The outcomes of all parts of one record; `None` if it has no parts.
    pub(super) fn of_parts(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        parts.into_iter().reduce(Self::and)
    }

    /// Adds the outcome of one more part of a record to those of the parts before it.
    pub(super) fn add_to(self, all: &mut Option<Self>) {
        *all = Some(all.map_or(self, |earlier| earlier.and(self)));
    }
}

/// The outcomes of records. Each record is counted once: `read = spans + companions + skipped + rejected`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Lines, list items, messages and rows.
    pub read: u64,
    /// Records that yielded at least one span.
    pub spans: u64,
    /// Other records that are used: log records, annotations, rows about whole traces, manifests.
    pub companions: u64,
    /// Other records that were understood and do not belong to a trace.
    pub skipped: u64,
    /// Other records, none of whose parts could be used.
    pub rejected: u64,
    /// How often each reason to skip a record, or a part of one, occurred.
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

    /// Counts the records of an object or a chunk that could not be read.
    pub(super) fn add_rejected(&mut self, records: u64) {
        self.read += records;
        self.rejected += records;
    }

    /// Counts the records of a chunk that is skipped as a whole.
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

    /// Records that have an outcome: equal to `read`, or a record was lost.
    pub fn accounted_for(&self) -> u64 {
        self.spans + self.companions + self.skipped + self.rejected
    }
}

/// The results of parsing one chunk of records.
#[derive(Debug, Default)]
pub struct ParsedChunk {
    /// The object that contains the chunk, and its format; no format if it is unknown.
    pub(super) object: Option<(Arc<Object>, Option<&'static str>)>,
    /// The outcomes of the records.
    pub(super) records: RecordCounts,
    /// Spans, and additions to spans and traces.
    pub(super) fragments: Vec<SpanFragment>,
    /// Records, or parts of them, that could not be read.
    pub(super) rejections: Vec<Rejection>,
    /// URIs of objects that contain something other than traces.
    pub(super) skipped: Vec<String>,
    /// Annotations that are exported apart from their span.
    pub(super) annotations: Vec<(AnnotationTarget, Annotation)>,
    /// URIs of objects that a manifest lists.
    pub(super) expected: Vec<String>,
    /// Counts for the record that is being parsed.
    pub(super) current_record: RecordUsage,
}

/// How many parts of a record were added, and how many are only counted: a record may have millions of parts of a few bytes each.
#[derive(Debug, Default)]
pub(super) struct RecordUsage {
    spans: usize,
    spans_omitted: u64,
    rejections: usize,
    /// The number of rejections that are only counted, and the kind of the first.
    rejections_omitted: Option<(u64, RejectionKind)>,
}

/// A position in the output; see [`ParsedChunk::mark`].
pub(super) struct Mark {
    rejections: usize,
    skipped: usize,
}

impl ParsedChunk {
    /// Spans, and additions to spans and traces.
    pub fn fragments(&self) -> &[SpanFragment] {
        &self.fragments
    }

    /// Records, or parts of them, that could not be read.
    pub fn rejections(&self) -> &[Rejection] {
        &self.rejections
    }

    /// Starts a record. Its limits apply from here.
    pub(super) fn begin_record(&mut self) {
        self.current_record = RecordUsage::default();
    }

    /// Ends the record at `location`. If a limit left out parts of it, adds a rejection with their number.
    pub(super) fn end_record(&mut self, location: &RecordLocation<'_>) {
        let RecordUsage { spans_omitted, rejections_omitted, .. } = std::mem::take(&mut self.current_record);
        if let Some((count, kind)) = rejections_omitted {
            let parts = if count == 1 { "1 more part was" } else { &format!("{count} more parts were") };
            let reason = format!("cannot read {location}: {parts} rejected, the first as {}", kind.as_str());
            self.rejections.push(Rejection::at_location(format_args!("{location}.more"), location.uri, Stage::Parse, kind, reason));
        }
        if spans_omitted > 0 {
            let dropped = if spans_omitted == 1 { "1 span or message was" } else { &format!("{spans_omitted} spans or messages were") };
            let reason = format!(
                "cannot read all of {location}: {dropped} dropped: a record may contain {RECORD_SPANS_MAX}\n  hint: write one trace or one export request per line"
            );
            self.rejections.push(Rejection::at_location(
                format_args!("{location}.rest"),
                location.uri,
                Stage::Parse,
                RejectionKind::Oversize,
                reason,
            ));
        }
    }

    /// Adds a span.
    pub fn span(&mut self, fragment: SpanFragment) -> Accounted {
        if !self.has_room() {
            return Accounted::REJECTED;
        }
        let mut span = fragment.span;
        span.truncated_fields += truncate_lists(&mut span);
        self.fragments.push(SpanFragment {
            unread_fields: span.unread_fields,
            truncated_fields: span.truncated_fields,
            not_understood: span.not_understood,
            inferred: span.inferred,
            cost_usd: span.cost_usd,
            span,
            ..fragment
        });
        Accounted::SPANS
    }

    /// Sets the format of all fragments.
    pub(super) fn set_format(&mut self, name: &str) {
        let number = format_number(name);
        self.fragments.iter_mut().for_each(|fragment| fragment.format = number);
    }

    /// Adds a part of a span, which the gather stage joins with the other parts.
    pub fn part(&mut self, fragment: SpanFragment) -> Accounted {
        self.span(SpanFragment { is_part: true, ..fragment })
    }

    /// Counts one more span or log record of the record; returns whether the limit allows it.
    fn has_room(&mut self) -> bool {
        self.current_record.spans += 1;
        let has_room = self.current_record.spans <= RECORD_SPANS_MAX;
        self.current_record.spans_omitted += u64::from(!has_room);
        has_room
    }

    /// Adds a log record or a row about a whole trace, whose fields are added to the span with its id or to its trace.
    pub fn addition(&mut self, fragment: SpanFragment) -> Accounted {
        if !self.has_room() {
            return Accounted::REJECTED;
        }
        let mut span = fragment.span;
        truncate_lists(&mut span);
        self.fragments.push(SpanFragment { addition: true, span, ..fragment });
        Accounted::COMPANION
    }

    /// Adds an annotation that is exported apart from its span.
    pub fn annotation(&mut self, target: AnnotationTarget, annotation: Annotation, location: &RecordLocation<'_>) -> Accounted {
        self.annotations.push((target, annotation));
        self.list_object(location);
        Accounted::COMPANION
    }

    /// Adds a manifest, which lists other objects of the same export.
    pub fn manifest(&mut self, objects: impl IntoIterator<Item = String>, location: &RecordLocation<'_>) -> Accounted {
        self.expected.extend(objects.into_iter().take(SUMMARY_SKIPPED_OBJECTS_MAX));
        self.list_object(location);
        Accounted::COMPANION
    }

    /// Skips a record, or a part of one, that does not belong to a trace.
    pub fn skip(&mut self, skip: Skip, location: &RecordLocation<'_>) -> Accounted {
        self.list_object(location);
        Accounted { skipped: Some(skip), ..Accounted::NOTHING }
    }

    /// Skips a record of an object that has others with spans, so that the object is not listed as one without traces.
    pub fn skip_event(&mut self, skip: Skip) -> Accounted {
        Accounted { skipped: Some(skip), ..Accounted::NOTHING }
    }

    /// Rejects a record, or a part of one, that cannot be read.
    pub fn reject(&mut self, location: &RecordLocation<'_>, kind: RejectionKind, reason: impl Into<String>) -> Accounted {
        self.reject_as(Rejection::at_location(location, location.uri, Stage::Parse, kind, reason))
    }

    /// Rejects a text that is not JSON, or not a JSON object.
    pub(super) fn reject_json(&mut self, location: &RecordLocation<'_>, error: &serde_json::Error) -> Accounted {
        let kind = if json::is_over_budget(error) {
            RejectionKind::Oversize
        } else if error.is_data() {
            RejectionKind::MalformedRecord
        } else {
            RejectionKind::MalformedJson
        };
        self.reject(location, kind, format!("cannot read {location}: {}", json::describe(error)))
    }

    /// Marks the output before a record that may have to be read in another way.
    pub(super) fn mark(&self) -> Mark {
        Mark { rejections: self.rejections.len(), skipped: self.skipped.len() }
    }

    /// Takes back the rejections and skips of the current record since the mark.
    pub(super) fn take_back(&mut self, mark: &Mark) {
        let rejections = self.rejections.len().saturating_sub(mark.rejections);
        self.rejections.truncate(mark.rejections);
        self.skipped.truncate(mark.skipped);
        self.current_record.rejections = self.current_record.rejections.saturating_sub(rejections);
        self.current_record.rejections_omitted = None;
    }

    /// Adds a rejection that was made elsewhere, such as one of a whole trace or object.
    pub fn reject_as(&mut self, rejection: Rejection) -> Accounted {
        self.current_record.rejections += 1;
        if self.current_record.rejections <= RECORD_REJECTIONS_MAX {
            self.rejections.push(rejection);
        } else {
            let (count, _) = self.current_record.rejections_omitted.get_or_insert((0, rejection.kind));
            *count += 1;
        }
        Accounted::REJECTED
    }

    /// Lists the object as one that contains something other than traces.
    fn list_object(&mut self, location: &RecordLocation<'_>) {
        if self.skipped.last().is_none_or(|last| last != location.uri) {
            self.skipped.push(location.uri.to_owned());
        }
    }
}

/// Truncates the lists of a span to [`SPAN_ITEMS_MAX`] items each; returns how many were longer.
fn truncate_lists(span: &mut Span) -> u32 {
    fn truncate<T>(list: &mut Vec<T>) -> u32 {
        let is_long = list.len() > SPAN_ITEMS_MAX;
        if is_long {
            list.truncate(SPAN_ITEMS_MAX);
            list.shrink_to_fit();
        }
        u32::from(is_long)
    }
    let calls: u32 = span.input.iter_mut().chain(&mut span.output).map(|message| truncate(&mut message.tool_calls)).sum();
    calls
        + truncate(&mut span.input)
        + truncate(&mut span.output)
        + truncate(&mut span.exceptions)
        + truncate(&mut span.finish_reasons)
        + truncate(&mut span.tools_offered)
        + span.documents.as_mut().map_or(0, truncate)
        + truncate(&mut span.annotations)
        + truncate(&mut span.attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::location;

    #[test]
    fn rejections_beyond_the_limit_are_counted_in_one_rejection() {
        let mut out = ParsedChunk::default();
        for (record, more) in [(0, 0), (1, 7)] {
            out.begin_record();
            for _ in 0..RECORD_REJECTIONS_MAX + more {
                let _ = out.reject(&location(), RejectionKind::MissingId, "no id");
            }
            out.end_record(&location());
            assert_eq!(out.rejections.len(), RECORD_REJECTIONS_MAX * (record + 1) + record);
        }
        let last = out.rejections.last().unwrap();
        assert!(
            last.reason.contains("7 more parts were rejected, the first as missing_id") && last.trace_ref == format!("{}.more", location()),
            "{last:?}"
        );
    }

    #[test]
    fn spans_beyond_the_limit_are_counted_and_long_lists_are_truncated() {
        let mut out = ParsedChunk::default();
        out.begin_record();
        let documents = Some(vec![crate::model::Document::default(); SPAN_ITEMS_MAX + 1]);
        let _ = out.span(SpanFragment { span: Span { documents, ..Span::default() }, ..SpanFragment::default() });
        assert_eq!((out.fragments[0].span.documents.as_ref().unwrap().len(), out.fragments[0].truncated_fields), (SPAN_ITEMS_MAX, 1));
        for _ in 0..RECORD_SPANS_MAX + 4 {
            let _ = out.span(SpanFragment::default());
        }
        out.end_record(&location());
        assert_eq!(out.fragments.len(), RECORD_SPANS_MAX);
        assert!(
            out.rejections[0].reason.ends_with(
                "5 spans or messages were dropped: a record may contain 50001\n  hint: write one trace or one export request per line"
            ),
            "{}",
            out.rejections[0].reason
        );
    }

    #[test]
    fn a_record_with_several_outcomes_counts_once_by_the_best() {
        let mut out = ParsedChunk::default();
        let rejected = out.reject(&location(), RejectionKind::MissingId, "no id");
        let spans = out.span(SpanFragment::default());
        let skipped = out.skip(Skip::OtherSignal, &location());
        let companion = out.addition(SpanFragment::default());
        let mut counts = RecordCounts::default();
        for record in [rejected.and(spans), skipped.and(companion), skipped.and(rejected), skipped, rejected] {
            counts.add(record);
        }
        assert_eq!((counts.read, counts.spans, counts.companions, counts.skipped, counts.rejected), (5, 1, 1, 1, 2));
        assert_eq!((counts.accounted_for(), counts.skips[&Skip::OtherSignal]), (5, 3));
        assert_eq!(Accounted::of_parts([]), None);
    }
}
