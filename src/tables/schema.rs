//! The columns of the tables. They are the contract with readers; `docs/tables.md` describes each of them. Columns may be added, and none is
//! renamed or removed.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

fn count(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn time(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), nullable)
}

fn list(name: &str, item: DataType) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new("element", item, true))), false)
}

/// Fields of an item of `patterns.evidence`.
pub(crate) fn evidence_fields() -> Fields {
    Fields::from(vec![
        text("kind", true),
        text("span_id", true),
        text("field", true),
        text("signal", true),
        text("excerpt", true),
        Field::new("verified", DataType::Boolean, true),
    ])
}

/// Fields of an item of `runs.failures`.
pub(crate) fn failure_fields() -> Fields {
    Fields::from(vec![text("trace_ref", true), text("kind", true), text("reason", true)])
}

/// Fields of an item of `runs.analyzers`.
pub(crate) fn analyzer_fields() -> Fields {
    Fields::from(vec![text("analyzer", true), Field::new("traces", DataType::Int64, true)])
}

/// Fields of an item of `runs.fallbacks`.
pub(crate) fn fallback_fields() -> Fields {
    Fields::from(vec![text("kind", true), text("reason", true), Field::new("traces", DataType::Int64, true)])
}

/// The columns of `patterns`, in order.
pub fn patterns_schema() -> SchemaRef {
    let mut fields = vec![text("trace_id", false), text("title", false), text("category", false), text("contributing_factor", false)];
    fields.extend([text("summary", false), text("root_cause_hypothesis", false)]);
    fields.extend([list("evidence", DataType::Struct(evidence_fields())), list("actions", DataType::Utf8)]);
    fields.extend([Field::new("confidence", DataType::Float64, false), text("confidence_rationale", false), text("fingerprint", false)]);
    fields.extend([text("service", true), text("environment", true), time("trace_started_at", true)]);
    fields.extend([text("analyzer", false), text("model", false), text("source_uri", false), text("content_digest", false)]);
    fields.extend([text("run_id", false), time("extracted_at", false), text("schema_version", false)]);
    fields.extend([count("spans_seen"), count("spans_total"), count("input_tokens"), count("output_tokens")]);
    fields.extend([Field::new("cost_usd", DataType::Float64, false), text("settings_digest", true)]);
    fields.push(Field::new("bucket", DataType::Int32, false));
    Arc::new(Schema::new(fields))
}

/// The columns of `errors`, in order.
pub fn errors_schema() -> SchemaRef {
    let mut fields = vec![text("trace_ref", false), text("stage", false), text("kind", false), text("reason", false)];
    fields.extend([Field::new("retryable", DataType::Boolean, false), text("source_uri", false), text("run_id", false)]);
    fields.extend([time("occurred_at", false), text("content_digest", true), text("settings_digest", true)]);
    fields.extend([Field::new("bucket", DataType::Int32, false)]);
    Arc::new(Schema::new(fields))
}

/// The columns of `runs`, in order.
pub fn runs_schema() -> SchemaRef {
    let mut fields =
        vec![text("run_id", false), text("pipeline", false), text("status", false), text("exit_reason", true), time("started_at", false)];
    fields.push(time("finished_at", false));
    fields.extend(
        ["received", "processed", "stored", "validation_failures", "processing_errors", "timed_out", "unchanged", "filtered"].map(count),
    );
    fields.push(count("kept_fuller"));
    fields.push(list("skipped_objects", DataType::Utf8));
    fields.extend(["objects_read", "bytes_read", "spans_read", "spans_not_understood"].map(count));
    fields.extend(["records_read", "records_with_spans", "records_companion", "records_skipped", "records_rejected"].map(count));
    fields.push(list("skipped_records", DataType::Utf8));
    fields.extend(["input_tokens", "output_tokens"].map(count));
    fields.extend([Field::new("cost_usd", DataType::Float64, false), count("answers_estimated")]);
    fields.extend([list("analyzers", DataType::Struct(analyzer_fields())), list("fallbacks", DataType::Struct(fallback_fields()))]);
    fields.push(Field::new("grounding_rate", DataType::Float64, true));
    fields.push(text("redaction_key_id", false));
    fields.extend(["latency_ms_p50", "latency_ms_p95", "latency_ms_max"].map(|name| Field::new(name, DataType::Float64, true)));
    fields.push(list("failures", DataType::Struct(failure_fields())));
    Arc::new(Schema::new(fields))
}
