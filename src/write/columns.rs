//! Converts rows to Arrow columns, in the schemas of the tables.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, StructArray,
    StructBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;

use crate::model::{ExitReason, PaidAnswer, PatternRow, Rejection, RunSummary};
use crate::tables::{
    analyzer_fields, bucket_of, errors_schema, evidence_fields, failure_fields, fallback_fields, patterns_schema, runs_schema,
};

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn optional_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| i64::try_from(value).unwrap_or(i64::MAX))))
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// A list column of texts.
fn text_lists<'a>(rows: impl Iterator<Item = &'a [String]>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
    for row in rows {
        for value in row {
            builder.values().append_value(value);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// Patterns of one bucket as a batch of `patterns`.
pub(super) fn patterns(rows: &[PatternRow], bucket: i32) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(&PatternRow) -> &str| texts(rows.iter().map(of));
    let optional = |of: fn(&PatternRow) -> Option<&str>| optional_texts(rows.iter().map(of));
    let count = |of: fn(&PatternRow) -> u64| counts(rows.iter().map(of));
    let columns = vec![
        text(|row| &row.trace_id),
        text(|row| &row.title),
        text(|row| &row.category),
        text(|row| &row.contributing_factor),
        text(|row| &row.summary),
        text(|row| &row.root_cause_hypothesis),
        evidence(rows),
        text_lists(rows.iter().map(|row| row.actions.as_slice())),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.confidence))),
        text(|row| &row.confidence_rationale),
        text(|row| &row.fingerprint),
        optional(|row| row.service.as_deref()),
        optional(|row| row.environment.as_deref()),
        times(rows.iter().map(|row| row.trace_started_at)),
        text(|row| &row.analyzer),
        text(|row| &row.model),
        text(|row| &row.source_uri),
        text(|row| &row.content_digest),
        text(|row| &row.run_id),
        times(rows.iter().map(|row| Some(row.extracted_at))),
        text(|row| &row.schema_version),
        count(|row| row.spans_seen),
        count(|row| row.spans_total),
        count(|row| row.input_tokens),
        count(|row| row.output_tokens),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.cost_usd))),
        optional(|row| row.settings_digest.as_deref()),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| bucket))),
    ];
    RecordBatch::try_new(patterns_schema(), columns)
}

fn evidence(rows: &[PatternRow]) -> ArrayRef {
    let fields = evidence_fields();
    let builder = StructBuilder::from_fields(fields.clone(), rows.len());
    let mut lists = ListBuilder::new(builder).with_field(Field::new("element", DataType::Struct(fields), true));
    for row in rows {
        for evidence in &row.evidence {
            let item = lists.values();
            let texts = [
                Some(evidence.kind.as_str()),
                evidence.span_id.as_deref(),
                evidence.field.as_deref(),
                evidence.signal.as_deref(),
                evidence.excerpt.as_deref(),
            ];
            for (index, text) in texts.into_iter().enumerate() {
                if let Some(builder) = item.field_builder::<StringBuilder>(index) {
                    builder.append_option(text);
                }
            }
            if let Some(builder) = item.field_builder::<BooleanBuilder>(texts.len()) {
                builder.append_value(evidence.verified);
            }
            item.append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// Rejections as a batch of `errors`. Rows that are keyed by a location are in the bucket of its object, so that reading the object again
/// touches one bucket.
pub(super) fn errors(rows: &[Rejection], run_id: &str, buckets: i32) -> Result<RecordBatch, ArrowError> {
    let now = chrono::Utc::now().timestamp_micros();
    let digests = |of: fn(&PaidAnswer) -> &str| optional_texts(rows.iter().map(|row| row.paid_answer.as_deref().map(of)));
    let columns = vec![
        texts(rows.iter().map(|row| row.trace_ref.as_str())),
        texts(rows.iter().map(|row| row.stage.as_str())),
        texts(rows.iter().map(|row| row.kind.as_str())),
        texts(rows.iter().map(|row| row.reason.as_str())),
        Arc::new(rows.iter().map(|row| Some(row.retryable)).collect::<arrow::array::BooleanArray>()),
        texts(rows.iter().map(|row| row.source_uri.as_str())),
        texts(rows.iter().map(|_| run_id)),
        times(rows.iter().map(|_| Some(now))),
        digests(|answer| &answer.content_digest),
        digests(|answer| &answer.settings_digest),
        Arc::new(Int32Array::from_iter_values(
            rows.iter().map(|row| bucket_of(if row.is_location { &row.source_uri } else { &row.trace_ref }, buckets)),
        )),
    ];
    RecordBatch::try_new(errors_schema(), columns)
}

/// The summary as a batch of `runs`, with one row.
pub(super) fn runs(summary: &RunSummary) -> Result<RecordBatch, ArrowError> {
    let one = |text: &str| texts(std::iter::once(text));
    let number = |value: u64| counts(std::iter::once(value));
    let optional = |value: Option<f64>| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
    let time = |text: &str| times(std::iter::once(chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())));
    let columns = vec![
        one(&summary.run_id),
        one(&summary.pipeline),
        one(summary.status.as_str()),
        optional_texts(std::iter::once(summary.exit_reason.map(ExitReason::as_str))),
        time(&summary.started_at),
        time(&summary.finished_at),
        number(summary.received),
        number(summary.processed),
        number(summary.stored),
        number(summary.validation_failures),
        number(summary.processing_errors),
        number(summary.timed_out),
        number(summary.unchanged),
        number(summary.filtered),
        number(summary.kept_fuller),
        text_lists(std::iter::once(summary.skipped_objects.as_slice())),
        number(summary.objects_read),
        number(summary.bytes_read),
        number(summary.spans_read),
        number(summary.spans_not_understood),
        number(summary.records_read),
        number(summary.records_with_spans),
        number(summary.records_companion),
        number(summary.records_skipped),
        number(summary.records_rejected),
        text_lists(std::iter::once(summary.skipped_records.as_slice())),
        number(summary.input_tokens),
        number(summary.output_tokens),
        optional(Some(summary.cost_usd)),
        number(summary.answers_estimated),
        analyzers(summary)?,
        fallbacks(summary)?,
        optional(summary.grounding_rate),
        one(&summary.redaction_key_id),
        optional(summary.latency_ms_p50),
        optional(summary.latency_ms_p95),
        optional(summary.latency_ms_max),
        failures(summary)?,
    ];
    RecordBatch::try_new(runs_schema(), columns)
}

fn failures(summary: &RunSummary) -> Result<ArrayRef, ArrowError> {
    let columns = vec![
        texts(summary.failures.iter().map(|failure| failure.trace_ref.as_str())),
        texts(summary.failures.iter().map(|failure| failure.kind.as_str())),
        texts(summary.failures.iter().map(|failure| failure.reason.as_str())),
    ];
    one_list(failure_fields(), columns, summary.failures.len())
}

fn analyzers(summary: &RunSummary) -> Result<ArrayRef, ArrowError> {
    let columns = vec![
        texts(summary.analyzers.iter().map(|count| count.analyzer.as_str())),
        counts(summary.analyzers.iter().map(|count| count.traces)),
    ];
    one_list(analyzer_fields(), columns, summary.analyzers.len())
}

fn fallbacks(summary: &RunSummary) -> Result<ArrayRef, ArrowError> {
    let columns = vec![
        texts(summary.fallbacks.iter().map(|count| count.kind.as_str())),
        texts(summary.fallbacks.iter().map(|count| count.reason.as_str())),
        counts(summary.fallbacks.iter().map(|count| count.traces)),
    ];
    one_list(fallback_fields(), columns, summary.fallbacks.len())
}

/// A column of one row, whose value is a list of structs.
fn one_list(fields: Fields, columns: Vec<ArrayRef>, length: usize) -> Result<ArrayRef, ArrowError> {
    let items = StructArray::try_new(fields.clone(), columns, None)?;
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([length]);
    let field = Arc::new(Field::new("element", DataType::Struct(fields), true));
    Ok(Arc::new(arrow::array::ListArray::try_new(field, offsets, Arc::new(items), None)?))
}
