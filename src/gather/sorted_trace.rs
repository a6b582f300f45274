//! Splits the sorted rows of a partition into traces, and decodes the rows of a trace. Decoding runs later, on the thread pool.

use std::ops::Range;

use arrow::array::{Array, BinaryArray, RecordBatch};
use datafusion::execution::SendableRecordBatchStream;
use futures::stream::{self, BoxStream, StreamExt};

use super::external_sort;
use super::rows::{self, TRACE_KEY_BYTES};
use super::trace_builder::build_trace;
use crate::limits::{TRACE_BYTES_MAX, TRACE_SPANS_MAX};
use crate::model::{Outcome, Rejection, RejectionKind, Source, Stage, Trace};
use crate::runtime::FatalError;

/// The rows of one trace, still encoded.
#[derive(Debug, Default)]
pub(super) struct SortedTrace {
    /// Batches and the range of rows in each.
    rows: Vec<(BinaryArray, BinaryArray, Range<usize>)>,
    bytes: usize,
    /// At least the number of fragments; one of more than [`GATHER_ROW_BYTES_MAX`](crate::limits::GATHER_ROW_BYTES_MAX) takes several rows.
    row_count: usize,
    fragments: u64,
    is_too_large: bool,
}

/// The trace whose rows are being collected, with its key.
type OpenTrace = Option<([u8; TRACE_KEY_BYTES], SortedTrace)>;

/// Splits sorted rows into traces.
pub(super) fn split(rows: SendableRecordBatchStream, fatal: FatalError) -> BoxStream<'static, SortedTrace> {
    struct State {
        rows: SendableRecordBatchStream,
        open: OpenTrace,
        fatal: FatalError,
        has_ended: bool,
    }
    let state = State { rows, open: None, fatal, has_ended: false };
    stream::unfold(state, |mut state| async move {
        if state.has_ended {
            return None;
        }
        let complete: Vec<SortedTrace> = match state.rows.next().await {
            Some(Ok(batch)) => add_batch(&batch, &mut state.open),
            Some(Err(error)) => {
                state.has_ended = true;
                state.fatal.set(external_sort::error_message(&error));
                Vec::new()
            }
            None => {
                state.has_ended = true;
                state.open.take().map(|(_, trace)| trace).into_iter().collect()
            }
        };
        Some((stream::iter(complete), state))
    })
    .flatten()
    .boxed()
}

/// Adds the rows of a batch to the open trace and returns the traces that are complete.
fn add_batch(batch: &RecordBatch, open: &mut OpenTrace) -> Vec<SortedTrace> {
    let binary = |index: usize| batch.column(index).as_any().downcast_ref::<BinaryArray>().cloned();
    let (Some(keys), Some(parts)) = (binary(0), binary(1)) else { return Vec::new() };
    let mut complete = Vec::new();
    let mut start = 0;
    while start < keys.len() {
        let key = rows::trace_key(keys.value(start));
        let end = (start + 1..keys.len()).find(|row| rows::trace_key(keys.value(*row)) != key).unwrap_or(keys.len());
        if open.as_ref().is_some_and(|(open_key, _)| *open_key != key) {
            complete.extend(open.take().map(|(_, trace)| trace));
        }
        let (_, trace) = open.get_or_insert_with(|| (key, SortedTrace::default()));
        trace.add(&keys, &parts, start..end);
        start = end;
    }
    complete
}

impl SortedTrace {
    /// Fragments of the trace; one may take several rows.
    pub(super) fn fragments(&self) -> u64 {
        self.fragments
    }

    fn add(&mut self, keys: &BinaryArray, parts: &BinaryArray, rows: Range<usize>) {
        self.bytes += rows.clone().map(|row| parts.value(row).len()).sum::<usize>();
        self.row_count += rows.len();
        self.fragments += rows.clone().filter(|row| rows::is_first_part(keys.value(*row))).count() as u64;
        self.is_too_large |= self.bytes > TRACE_BYTES_MAX || self.row_count > TRACE_SPANS_MAX;
        if !self.is_too_large || self.rows.is_empty() {
            self.rows.push((keys.clone(), parts.clone(), rows));
        } else {
            // The first rows are kept, because the rejection needs the trace id.
            self.rows.truncate(1);
        }
    }

    /// The trace id and the object of the first fragment. Both are encoded at its start, so the first row is usually sufficient.
    fn identity(&self) -> (String, String) {
        /// Trace id, service, environment, source: the fields of a fragment in the order of their encoding.
        type Head = (String, Option<String>, Option<String>, Source);
        let mut head: Vec<u8> = Vec::new();
        for (_, parts, rows) in &self.rows {
            for row in rows.clone() {
                head.extend_from_slice(parts.value(row));
                if let Ok(((id, _, _, source), _)) = postcard::take_from_bytes::<Head>(&head) {
                    return (id, source.uri);
                }
            }
        }
        let id = postcard::take_from_bytes::<String>(&head).map_or_else(|_| "gathered spans".into(), |(id, _)| id);
        (id, String::new())
    }

    /// The rejection of a trace that is not analyzed because of a shutdown. Decodes only the trace id and the object.
    pub(super) fn interrupted(self) -> Rejection {
        let (trace_id, uri) = self.identity();
        Rejection::interrupted(&trace_id, &uri, Stage::Parse)
    }

    /// Decodes the fragments and builds the trace.
    pub(super) fn decode(self) -> Outcome<Trace> {
        if self.is_too_large {
            let reason = format!(
                "the trace has more than {TRACE_SPANS_MAX} spans and log records, or more than {} MiB\n  hint: export fewer or smaller spans for it",
                TRACE_BYTES_MAX / (1024 * 1024)
            );
            return Err(self.rejection(RejectionKind::TraceTooLarge, reason));
        }
        let mut fragments = Vec::with_capacity(self.row_count);
        let mut joined: Vec<u8> = Vec::new();
        let mut rows =
            self.rows.iter().flat_map(|(keys, parts, rows)| rows.clone().map(|row| (keys.value(row), parts.value(row)))).peekable();
        while let Some((key, part)) = rows.next() {
            let continues = rows.peek().is_some_and(|(next, _)| rows::fragment_key(next) == rows::fragment_key(key));
            let bytes = if joined.is_empty() && !continues {
                part
            } else {
                joined.extend_from_slice(part);
                if continues {
                    continue;
                }
                joined.as_slice()
            };
            match rows::decode(bytes) {
                Ok(fragment) => fragments.push(fragment),
                Err(error) => {
                    let reason = format!("cannot decode a gathered span: {error}\n  hint: this is a bug in failsift, please report it");
                    return Err(self.rejection(RejectionKind::Internal, reason));
                }
            }
            joined.clear();
        }
        build_trace(fragments)
    }

    fn rejection(&self, kind: RejectionKind, reason: String) -> Rejection {
        let (id, uri) = self.identity();
        Rejection::for_trace(&id, &uri, Stage::Parse, kind, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::fragment;
    use super::*;
    use crate::limits::GATHER_ROW_BYTES_MAX;
    use crate::parse::SpanFragment;

    /// The trace of some fragments, which all have the same trace id.
    fn sorted(fragments: &[SpanFragment], first_number: u64) -> SortedTrace {
        let mut open = None;
        for batch in rows::encode(fragments, first_number).unwrap().iter().flatten() {
            assert_eq!(add_batch(batch, &mut open).len(), 0);
        }
        open.unwrap().1
    }

    #[test]
    fn an_interrupted_trace_is_identified_without_being_built_and_its_spans_are_counted() {
        let long = "y".repeat(3 * GATHER_ROW_BYTES_MAX);
        let trace = sorted(&[fragment(0, 1, &long), fragment(0, 2, "short"), fragment(0, 3, &long)], 7);
        assert_eq!((trace.fragments, trace.row_count > 3), (3, true), "a span of several rows counts once");
        let rejection = trace.interrupted();
        assert_eq!((rejection.trace_ref.as_str(), rejection.source_uri.as_str()), ("trace-0", "u"));
        assert_eq!((rejection.kind, rejection.retryable, rejection.is_location), (RejectionKind::Interrupted, true, false));
        let long_head = SpanFragment { service: Some(long), ..fragment(1, 1, "") };
        assert_eq!(sorted(&[long_head], 0).interrupted().trace_ref, "trace-1", "the head of a fragment may be longer than a row");
    }
}
