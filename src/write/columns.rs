//! Converts rows to Arrow columns, in the schemas of the tables.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBuilder, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    StructArray, StructBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;

use crate::model::{ExitReason, FingerprintRow, FingerprintTraces, LabelTraces, PaidAnswer, PatternRow, Rejection, RunSummary};
use crate::tables::{
    analyzer_fields, bucket_of, difference_fields, errors_schema, evidence_fields, fact_fields, failure_fields, fallback_fields,
    fingerprint_traces_fields, fingerprints_schema, incident_fields, input_read_fields, label_traces_fields, patterns_schema, runs_schema,
    tree_span_fields,
};

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    optional_texts(values.map(Some))
}

fn optional_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| i64::try_from(value).unwrap_or(i64::MAX))))
}

fn optional_counts(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(values.map(|value| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX))).collect::<Int64Array>())
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// A list column of texts.
fn text_lists<'a>(rows: impl Iterator<Item = &'a [String]>) -> ArrayRef {
    optional_text_lists(rows.map(Some))
}

fn optional_text_lists<'a>(rows: impl Iterator<Item = Option<&'a [String]>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
    for row in rows {
        for value in row.into_iter().flatten() {
            builder.values().append_value(value);
        }
        builder.append(row.is_some());
    }
    Arc::new(builder.finish())
}

/// Patterns of one bucket as a batch of `patterns`.
pub(super) fn patterns(rows: &[PatternRow], bucket: i32) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(&PatternRow) -> &str| texts(rows.iter().map(of));
    let optional = |of: fn(&PatternRow) -> Option<&str>| optional_texts(rows.iter().map(of));
    let count = |of: fn(&PatternRow) -> u64| counts(rows.iter().map(of));
    let mut columns = vec![
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
    ];
    columns.extend(trace_columns(rows)?);
    columns.push(Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| bucket))));
    RecordBatch::try_new(patterns_schema(), columns)
}

/// The columns that are read from the trace.
fn trace_columns(rows: &[PatternRow]) -> Result<Vec<ArrayRef>, ArrowError> {
    let text = |of: fn(&PatternRow) -> &Option<String>| optional_texts(rows.iter().map(|row| of(row).as_deref()));
    let double = |of: fn(&PatternRow) -> Option<f64>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Float64Array>()) };
    let count = |of: fn(&PatternRow) -> Option<u64>| optional_counts(rows.iter().map(of));
    Ok(vec![
        facts(rows)?,
        text(|row| &row.step.failed_span_id),
        text(|row| &row.step.failed_span_name),
        text(|row| &row.step.failed_span_kind),
        text(|row| &row.step.tool_name),
        text(|row| &row.step.model_name),
        text(|row| &row.step.provider),
        text(|row| &row.step.error_type),
        count(|row| row.step.http_status.map(u64::from)),
        double(|row| row.step.duration_ms),
        count(|row| row.step.retries),
        incidents(rows)?,
        span_trees(rows)?,
        text(|row| &row.profile.root_span_id),
        text(|row| &row.profile.root_span_name),
        double(|row| row.profile.trace_duration_ms),
        count(|row| row.profile.trace_input_tokens),
        count(|row| row.profile.trace_output_tokens),
        double(|row| row.profile.trace_cost_usd),
        text(|row| &row.profile.service_version),
        text(|row| &row.profile.service_instance_id),
        text(|row| &row.profile.vcs_revision),
        text(|row| &row.profile.prompt_version),
        text(|row| &row.profile.project),
        text(|row| &row.profile.region),
        text(|row| &row.profile.user_token),
        text(|row| &row.profile.session_token),
        text(|row| &row.profile.trace_url),
        optional_text_lists(rows.iter().map(|row| row.profile.source_uris.as_deref())),
    ])
}

fn facts(rows: &[PatternRow]) -> Result<ArrayRef, ArrowError> {
    let all = || rows.iter().flat_map(|row| &row.facts);
    let columns = vec![
        texts(all().map(|fact| fact.name.as_str())),
        texts(all().map(|fact| fact.value.as_str())),
        optional_texts(all().map(|fact| fact.unit.as_deref())),
        optional_texts(all().map(|fact| fact.span_id.as_deref())),
        optional_texts(all().map(|fact| fact.field.as_deref())),
    ];
    lists(fact_fields(), columns, rows.iter().map(|row| row.facts.len()))
}

fn incidents(rows: &[PatternRow]) -> Result<ArrayRef, ArrowError> {
    let all = || rows.iter().flat_map(|row| &row.incidents);
    let columns: Vec<ArrayRef> = vec![
        counts(all().map(|incident| incident.position)),
        optional_texts(all().map(|incident| incident.label.as_deref())),
        texts(all().map(|incident| incident.span_id.as_str())),
        texts(all().map(|incident| incident.span_name.as_str())),
        Arc::new(all().map(|incident| Some(incident.recovered)).collect::<BooleanArray>()),
        Arc::new(all().map(|incident| incident.offset_ms).collect::<Float64Array>()),
    ];
    lists(incident_fields(), columns, rows.iter().map(|row| row.incidents.len()))
}

fn span_trees(rows: &[PatternRow]) -> Result<ArrayRef, ArrowError> {
    let all = || rows.iter().flat_map(|row| &row.span_tree);
    let columns: Vec<ArrayRef> = vec![
        counts(all().map(|span| span.depth)),
        texts(all().map(|span| span.span_id.as_str())),
        texts(all().map(|span| span.name.as_str())),
        texts(all().map(|span| span.kind.as_str())),
        texts(all().map(|span| span.status.as_str())),
        Arc::new(all().map(|span| span.duration_ms).collect::<Float64Array>()),
        counts(all().map(|span| span.omitted)),
    ];
    lists(tree_span_fields(), columns, rows.iter().map(|row| row.span_tree.len()))
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
        optional_text_lists(rows.iter().map(|row| (!row.source_uris.is_empty()).then_some(row.source_uris.as_slice()))),
        Arc::new(Int32Array::from_iter_values(
            rows.iter().map(|row| bucket_of(if row.is_location { &row.source_uri } else { &row.trace_ref }, buckets)),
        )),
    ];
    RecordBatch::try_new(errors_schema(), columns)
}

/// Rows of `fingerprints`, each with its bucket.
pub(super) fn fingerprints(rows: &[FingerprintRow], buckets: i32) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(&FingerprintRow) -> &str| texts(rows.iter().map(of));
    let optional = |of: fn(&FingerprintRow) -> Option<&str>| optional_texts(rows.iter().map(of));
    let count = |of: fn(&FingerprintRow) -> u64| counts(rows.iter().map(of));
    let time = |of: fn(&FingerprintRow) -> i64| times(rows.iter().map(|row| Some(of(row))));
    let columns = vec![
        text(|row| &row.fingerprint),
        text(|row| &row.category),
        text(|row| &row.contributing_factor),
        text(|row| &row.title),
        text(|row| &row.example_trace_id),
        optional(|row| row.service.as_deref()),
        optional(|row| row.failed_span_name.as_deref()),
        optional(|row| row.error_type.as_deref()),
        count(|row| row.traces),
        optional_counts(rows.iter().map(|row| row.users)),
        count(|row| row.services),
        count(|row| row.healthy_traces),
        differences(rows)?,
        text(|row| &row.run_id),
        time(|row| row.run_started_at),
        time(|row| row.run_first_seen_at),
        time(|row| row.run_last_seen_at),
        time(|row| row.first_seen_at),
        time(|row| row.last_seen_at),
        text(|row| &row.first_run_id),
        count(|row| row.runs_seen),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| bucket_of(&row.fingerprint, buckets)))),
    ];
    RecordBatch::try_new(fingerprints_schema(), columns)
}

fn differences(rows: &[FingerprintRow]) -> Result<ArrayRef, ArrowError> {
    let all = || rows.iter().flat_map(|row| &row.differences);
    let columns = vec![
        texts(all().map(|difference| difference.dimension.as_str())),
        texts(all().map(|difference| difference.value.as_str())),
        counts(all().map(|difference| difference.traces)),
        counts(all().map(|difference| difference.healthy_traces)),
        counts(all().map(|difference| difference.healthy_traces_compared)),
        texts(all().map(|difference| difference.sentence.as_str())),
    ];
    lists(difference_fields(), columns, rows.iter().map(|row| row.differences.len()))
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
        optional_texts(std::iter::once(summary.since_run.as_deref())),
        optional_counts(std::iter::once(summary.objects_unchanged)),
        optional_counts(std::iter::once(summary.traces_continued)),
        inputs_read(summary)?,
        optional_texts(std::iter::once(summary.error.as_deref())),
        number(summary.failed_traces),
        by_label(summary)?,
        by_fingerprint(summary)?,
        optional_counts(std::iter::once(summary.patterns_version)),
        optional_counts(std::iter::once(summary.errors_version)),
        optional_counts(std::iter::once(summary.fingerprints_version)),
        text_lists(std::iter::once(summary.recovered_runs.as_slice())),
    ];
    RecordBatch::try_new(runs_schema(), columns)
}

fn by_label(summary: &RunSummary) -> Result<ArrayRef, ArrowError> {
    let text = |of: fn(&LabelTraces) -> &str| texts(summary.by_label.iter().map(of));
    let columns = vec![
        text(|label| &label.category),
        text(|label| &label.contributing_factor),
        counts(summary.by_label.iter().map(|label| label.traces)),
        Arc::new(Float64Array::from_iter_values(summary.by_label.iter().map(|label| label.confidence))),
        text(|label| &label.title),
        text(|label| &label.example_trace_id),
    ];
    one_list(label_traces_fields(), columns, summary.by_label.len())
}

fn by_fingerprint(summary: &RunSummary) -> Result<ArrayRef, ArrowError> {
    let text = |of: fn(&FingerprintTraces) -> &str| texts(summary.by_fingerprint.iter().map(of));
    let columns = vec![
        text(|counted| &counted.fingerprint),
        text(|counted| &counted.category),
        text(|counted| &counted.contributing_factor),
        counts(summary.by_fingerprint.iter().map(|counted| counted.traces)),
        text(|counted| &counted.title),
        text(|counted| &counted.example_trace_id),
    ];
    one_list(fingerprint_traces_fields(), columns, summary.by_fingerprint.len())
}

fn failures(summary: &RunSummary) -> Result<ArrayRef, ArrowError> {
    let columns = vec![
        texts(summary.failures.iter().map(|failure| failure.trace_ref.as_str())),
        texts(summary.failures.iter().map(|failure| failure.kind.as_str())),
        texts(summary.failures.iter().map(|failure| failure.reason.as_str())),
    ];
    one_list(failure_fields(), columns, summary.failures.len())
}

fn inputs_read(summary: &RunSummary) -> Result<ArrayRef, ArrowError> {
    let Some(inputs) = &summary.inputs_read else {
        let field = Field::new("element", DataType::Struct(input_read_fields()), true);
        return Ok(arrow::array::new_null_array(&DataType::List(Arc::new(field)), 1));
    };
    let columns = vec![
        texts(inputs.iter().map(|read| read.input.as_str())),
        counts(inputs.iter().map(|read| read.objects)),
        optional_texts(inputs.iter().map(|read| read.newest_object_at.as_deref())),
        optional_texts(inputs.iter().map(|read| read.traces_since.as_deref())),
        texts(inputs.iter().map(|read| read.selection.as_str())),
        texts(inputs.iter().map(|read| read.settings.as_str())),
        texts(inputs.iter().map(|read| read.periods.as_str())),
    ];
    one_list(input_read_fields(), columns, inputs.len())
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
    lists(fields, columns, std::iter::once(length))
}

/// A column of lists of structs. `columns` has the fields of all items, and `lengths` the number of items of each row.
fn lists(fields: Fields, columns: Vec<ArrayRef>, lengths: impl Iterator<Item = usize>) -> Result<ArrayRef, ArrowError> {
    let items = StructArray::try_new(fields.clone(), columns, None)?;
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    let field = Arc::new(Field::new("element", DataType::Struct(fields), true));
    Ok(Arc::new(arrow::array::ListArray::try_new(field, offsets, Arc::new(items), None)?))
}
