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

fn double(name: &str) -> Field {
    Field::new(name, DataType::Float64, true)
}

fn optional_count(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

/// A list column that is null in rows of versions that did not have it.
fn optional_list(name: &str, item: DataType) -> Field {
    list(name, item).with_nullable(true)
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

/// Fields of an item of `patterns.facts`.
pub(crate) fn fact_fields() -> Fields {
    Fields::from(["name", "value", "unit", "span_id", "field"].map(|name| text(name, true)).to_vec())
}

/// Fields of an item of `patterns.incidents`.
pub(crate) fn incident_fields() -> Fields {
    let position = Field::new("position", DataType::Int64, true);
    let recovered = Field::new("recovered", DataType::Boolean, true);
    Fields::from(vec![position, text("label", true), text("span_id", true), text("span_name", true), recovered, double("offset_ms")])
}

/// Fields of an item of `patterns.span_tree`.
pub(crate) fn tree_span_fields() -> Fields {
    let number = |name| Field::new(name, DataType::Int64, true);
    let texts = ["span_id", "name", "kind", "status"].map(|name| text(name, true));
    let fields = [number("depth")].into_iter().chain(texts).chain([double("duration_ms"), number("omitted")]);
    Fields::from(fields.collect::<Vec<_>>())
}

/// Fields of an item of `fingerprints.differences`.
pub(crate) fn difference_fields() -> Fields {
    let number = |name| Field::new(name, DataType::Int64, true);
    let counts = ["traces", "healthy_traces", "healthy_traces_compared"].map(number);
    let fields = ["dimension", "value"].map(|name| text(name, true)).into_iter().chain(counts).chain([text("sentence", true)]);
    Fields::from(fields.collect::<Vec<_>>())
}

/// Fields of an item of `runs.inputs_read`.
pub(crate) fn input_read_fields() -> Fields {
    let number = Field::new("objects", DataType::Int64, true);
    let texts = ["newest_object_at", "traces_since", "selection", "settings", "periods"].map(|name| text(name, true));
    Fields::from([text("input", true), number].into_iter().chain(texts).collect::<Vec<_>>())
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

/// Fields of an item of `runs.by_label`.
pub(crate) fn label_traces_fields() -> Fields {
    let traces = Field::new("traces", DataType::Int64, true);
    let labels = [text("category", true), text("contributing_factor", true), traces, double("confidence")];
    Fields::from(labels.into_iter().chain([text("title", true), text("example_trace_id", true)]).collect::<Vec<_>>())
}

/// Fields of an item of `runs.by_fingerprint`.
pub(crate) fn fingerprint_traces_fields() -> Fields {
    let labels = ["fingerprint", "category", "contributing_factor"].map(|name| text(name, true)).into_iter();
    let traces = Field::new("traces", DataType::Int64, true);
    Fields::from(labels.chain([traces, text("title", true), text("example_trace_id", true)]).collect::<Vec<_>>())
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
    fields.extend(trace_fields());
    fields.push(Field::new("bucket", DataType::Int32, false));
    Arc::new(Schema::new(fields))
}

/// The columns of `patterns` that are read from the trace. All may be null: rows of earlier versions do not have them.
fn trace_fields() -> Vec<Field> {
    let optional = |name| text(name, true);
    let mut fields = vec![optional_list("facts", DataType::Struct(fact_fields()))];
    fields.extend(
        ["failed_span_id", "failed_span_name", "failed_span_kind", "tool_name", "model_name", "provider", "error_type"].map(optional),
    );
    fields.extend([optional_count("http_status"), double("duration_ms"), optional_count("retries")]);
    fields.push(optional_list("incidents", DataType::Struct(incident_fields())));
    fields.push(optional_list("span_tree", DataType::Struct(tree_span_fields())));
    fields.extend(["root_span_id", "root_span_name"].map(optional));
    fields.extend([double("trace_duration_ms"), optional_count("trace_input_tokens"), optional_count("trace_output_tokens")]);
    fields.push(double("trace_cost_usd"));
    fields.extend(["service_version", "service_instance_id", "vcs_revision", "prompt_version", "project", "region"].map(optional));
    fields.extend(["user_token", "session_token", "trace_url"].map(optional));
    fields.push(optional_list("source_uris", DataType::Utf8));
    fields
}

/// The columns of `errors`, in order.
pub fn errors_schema() -> SchemaRef {
    let mut fields = vec![text("trace_ref", false), text("stage", false), text("kind", false), text("reason", false)];
    fields.extend([Field::new("retryable", DataType::Boolean, false), text("source_uri", false), text("run_id", false)]);
    fields.extend([time("occurred_at", false), text("content_digest", true), text("settings_digest", true)]);
    fields.push(optional_list("source_uris", DataType::Utf8));
    fields.extend([Field::new("bucket", DataType::Int32, false)]);
    Arc::new(Schema::new(fields))
}

/// The columns of `fingerprints`, in order.
pub fn fingerprints_schema() -> SchemaRef {
    let mut fields: Vec<Field> =
        ["fingerprint", "category", "contributing_factor", "title", "example_trace_id"].map(|name| text(name, false)).into();
    fields.extend(["service", "failed_span_name", "error_type"].map(|name| text(name, true)));
    fields.extend([count("traces"), optional_count("users"), count("services"), count("healthy_traces")]);
    fields.extend([list("differences", DataType::Struct(difference_fields())), text("run_id", false)]);
    fields
        .extend(["run_started_at", "run_first_seen_at", "run_last_seen_at", "first_seen_at", "last_seen_at"].map(|name| time(name, false)));
    fields.extend([text("first_run_id", false), count("runs_seen"), Field::new("bucket", DataType::Int32, false)]);
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
    fields.extend([text("since_run", true), optional_count("objects_unchanged"), optional_count("traces_continued")]);
    fields.push(optional_list("inputs_read", DataType::Struct(input_read_fields())));
    // Rows of earlier versions do not have them.
    fields.extend([text("error", true), optional_count("failed_traces")]);
    fields.push(optional_list("by_label", DataType::Struct(label_traces_fields())));
    fields.push(optional_list("by_fingerprint", DataType::Struct(fingerprint_traces_fields())));
    fields.extend(["patterns_version", "errors_version", "fingerprints_version"].map(optional_count));
    fields.push(optional_list("recovered_runs", DataType::Utf8));
    Arc::new(Schema::new(fields))
}
