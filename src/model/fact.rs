//! Facts of a trace, and the columns of a pattern that are read from its trace: the failed step, the other incidents, the run as a whole.

use serde::Serialize;

/// A fact that an analyzer extracted from a trace, with its place there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// `limit_tokens`, `retry_after_ms`, `repeated_tool`; `docs/facts.md` lists all names.
    pub name: String,
    /// As in the trace, or computed from it. Numbers have no separators: `128000`.
    pub value: String,
    /// The unit of a number: `tokens`, `ms`, `bytes`. `None` for a text and a plain count.
    pub unit: Option<String>,
    /// The span that shows it; `None` for a fact about the whole trace.
    pub span_id: Option<String>,
    /// The field that contains the value, as in the trace schema; `None` if it is computed from several.
    pub field: Option<String>,
}

/// The step that failed, as columns of a pattern. If no single step failed, everything is `None` except the model and the provider, which are
/// those of the last model call.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each column is documented in schemas/pattern.schema.json, which a test compares")]
pub struct FailedStep {
    pub failed_span_id: Option<String>,
    pub failed_span_name: Option<String>,
    pub failed_span_kind: Option<String>,
    pub tool_name: Option<String>,
    pub model_name: Option<String>,
    pub provider: Option<String>,
    pub error_type: Option<String>,
    pub http_status: Option<u16>,
    pub duration_ms: Option<f64>,
    pub retries: Option<u64>,
}

impl FailedStep {
    /// Calls `visit` with every text that comes from the trace, for redaction.
    pub(super) fn texts_mut(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let texts = [&mut self.failed_span_name, &mut self.tool_name, &mut self.model_name, &mut self.provider, &mut self.error_type];
        texts.into_iter().flatten().for_each(visit);
    }
}

/// The run as a whole, as columns of a pattern.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each column is documented in schemas/pattern.schema.json, which a test compares")]
pub struct TraceProfile {
    pub root_span_id: Option<String>,
    pub root_span_name: Option<String>,
    pub trace_duration_ms: Option<f64>,
    pub trace_input_tokens: Option<u64>,
    pub trace_output_tokens: Option<u64>,
    pub trace_cost_usd: Option<f64>,
    pub service_version: Option<String>,
    pub service_instance_id: Option<String>,
    pub vcs_revision: Option<String>,
    pub prompt_version: Option<String>,
    pub project: Option<String>,
    pub region: Option<String>,
    pub user_token: Option<String>,
    pub session_token: Option<String>,
    pub trace_url: Option<String>,
    /// `None` if there are more than a row lists.
    pub source_uris: Option<Vec<String>>,
    /// The format of the source. For links; no column.
    #[serde(skip)]
    pub format: Option<&'static str>,
    /// The path of the trace on the server of its own tool, if the source names it. For links; no column.
    #[serde(skip)]
    pub path: Option<String>,
}

impl TraceProfile {
    /// Calls `visit` with every text that comes from the trace, for redaction.
    pub(super) fn texts_mut(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let texts = [
            &mut self.root_span_name,
            &mut self.service_version,
            &mut self.service_instance_id,
            &mut self.vcs_revision,
            &mut self.prompt_version,
            &mut self.project,
            &mut self.region,
            &mut self.user_token,
            &mut self.session_token,
            &mut self.trace_url,
            &mut self.path,
        ];
        texts.into_iter().flatten().for_each(visit);
    }
}

/// One thing that went wrong in a trace, whether or not the run recovered from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentSummary {
    /// From 1, in the order of time.
    pub position: u64,
    /// `category/contributing_factor`; `None` if no rule names it.
    pub label: Option<String>,
    /// The span in which it happened.
    pub span_id: String,
    /// Its name.
    pub span_name: String,
    /// Whether a later retry, fallback or repair succeeded.
    pub recovered: bool,
    /// Milliseconds since the start of the trace.
    pub offset_ms: Option<f64>,
}

/// A span near the failed one, for a small tree on a page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TreeSpan {
    /// 0 for a root.
    pub depth: u64,
    /// The span.
    pub span_id: String,
    /// Its name.
    pub name: String,
    /// Its kind: `llm`, `tool`.
    pub kind: String,
    /// `ok`, `error`, or `unset`.
    pub status: String,
    /// `None` if it never ended or has no times.
    pub duration_ms: Option<f64>,
    /// Spans at this place that are not listed, as a count; 0 for a listed span.
    pub omitted: u64,
}
