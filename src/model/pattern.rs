//! The row of the table `patterns`.

use serde::Serialize;

use super::{Evidence, Fact, FailedStep, IncidentSummary, TraceProfile, TraceUsage, TreeSpan};

/// Version of the `patterns` columns, as in `schemas/pattern.schema.json`.
pub const PATTERN_SCHEMA_VERSION: &str = "1.2";

/// One row of `patterns`. Field names are column names; the writer adds `bucket`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each column is documented in schemas/pattern.schema.json, which a test compares")]
pub struct PatternRow {
    pub trace_id: String,
    pub title: String,
    pub category: String,
    pub contributing_factor: String,
    pub summary: String,
    pub root_cause_hypothesis: String,
    pub evidence: Vec<Evidence>,
    pub actions: Vec<String>,
    pub confidence: f64,
    pub confidence_rationale: String,
    pub fingerprint: String,
    pub service: Option<String>,
    pub environment: Option<String>,
    /// Microseconds since 1970.
    #[serde(serialize_with = "as_rfc3339")]
    pub trace_started_at: Option<i64>,
    pub analyzer: String,
    pub model: String,
    pub source_uri: String,
    pub content_digest: String,
    pub run_id: String,
    /// Microseconds since 1970.
    #[serde(serialize_with = "as_rfc3339_always")]
    pub extracted_at: i64,
    pub schema_version: String,
    pub spans_seen: u64,
    pub spans_total: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost_usd: f64,
    pub settings_digest: Option<String>,
    pub facts: Vec<Fact>,
    #[serde(flatten)]
    pub step: FailedStep,
    pub incidents: Vec<IncidentSummary>,
    pub span_tree: Vec<TreeSpan>,
    #[serde(flatten)]
    pub profile: TraceProfile,
    /// Not a column: compared within a run only.
    #[serde(skip)]
    pub usage: TraceUsage,
}

#[expect(clippy::ref_option, reason = "the signature required by serde")]
fn as_rfc3339<S: serde::Serializer>(micros: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match micros {
        Some(micros) => as_rfc3339_always(micros, serializer),
        None => serializer.serialize_none(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature required by serde")]
fn as_rfc3339_always<S: serde::Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    match chrono::DateTime::from_timestamp_micros(*micros) {
        Some(time) => serializer.serialize_str(&time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
        None => serializer.serialize_none(),
    }
}
