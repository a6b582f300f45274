//! The data of an incident: one thing that went wrong in one span.

use std::cell::OnceCell;

use super::condition::Condition;
use super::signals::{self, Signal};
use crate::model::{Label, Span, SpanKind, Trace};

/// How an incident was detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum IncidentKind {
    /// An error status or a recorded exception.
    Error,
    /// The provider stopped the answer, for example at a token limit or by a content filter.
    FinishReason,
    /// The model refused the request.
    Refusal,
    /// The model returned an empty answer.
    EmptyOutput,
    /// The retriever returned no documents.
    EmptyRetrieval,
    /// The retrieved documents do not match the question.
    LowScores,
    /// The result of a tool is an error although its span has no error status.
    ToolResult,
    /// The same call, repeated with the same arguments.
    RepeatedCalls,
    /// A sentence of a framework or gateway instead of the model's answer.
    CannedAnswer,
    /// The final message announces the next step, and the run ends without it.
    AnnouncedStep,
    /// A value of one result became the argument of another call under the name of another unit.
    CopiedUnit,
    /// Only the dialogue as a whole shows the failure.
    Dialogue,
}

impl IncidentKind {
    /// Every kind, in the order in which error messages list them.
    pub(super) const ALL: [Self; 12] = [
        Self::Error,
        Self::FinishReason,
        Self::Refusal,
        Self::EmptyOutput,
        Self::EmptyRetrieval,
        Self::LowScores,
        Self::ToolResult,
        Self::RepeatedCalls,
        Self::CannedAnswer,
        Self::AnnouncedStep,
        Self::CopiedUnit,
        Self::Dialogue,
    ];

    /// The word in rule files.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::FinishReason => "finish_reason",
            Self::Refusal => "refusal",
            Self::EmptyOutput => "empty_output",
            Self::EmptyRetrieval => "empty_retrieval",
            Self::LowScores => "low_scores",
            Self::ToolResult => "tool_result",
            Self::RepeatedCalls => "repeated_calls",
            Self::CannedAnswer => "canned_answer",
            Self::AnnouncedStep => "announced_step",
            Self::CopiedUnit => "copied_unit",
            Self::Dialogue => "dialogue",
        }
    }

    /// Whether the trace reports the failure itself, by a status or a finish reason. All other kinds are inferred from texts.
    pub(super) fn is_explicit(self) -> bool {
        matches!(self, Self::Error | Self::FinishReason)
    }
}

/// Something that went wrong in one span.
#[derive(Debug)]
pub(super) struct Incident<'t> {
    /// Index of the span in the trace.
    pub(super) index: usize,
    pub(super) span: &'t Span,
    pub(super) kind: IncidentKind,
    /// When it happened, in nanoseconds since 1970.
    pub(super) at_ns: i64,
    /// `(field, text)` of the texts that describe it.
    pub(super) texts: Vec<(String, &'t str)>,
    pub(super) signals: Vec<Signal>,
    pub(super) error_type: Option<String>,
    /// HTTP status.
    pub(super) status: Option<u16>,
    /// What the incident says, where its detector knows.
    pub(super) condition: Option<Condition>,
    /// The tool that the incident is about, if it is not the span's own.
    pub(super) tool: Option<String>,
    /// For the call of another service: the step that made it.
    pub(super) step: Option<&'t Span>,
    /// The kind of step that fails, if it is not that of the span: the step that made the call of another service, or the model call whose span was
    /// lost.
    pub(super) step_kind: Option<SpanKind>,
    /// Its label, once it was diagnosed, which is expensive.
    pub(super) label: OnceCell<Option<Label>>,
    /// Whether a later retry, fallback or repair succeeded.
    pub(super) recovered: bool,
    /// Whether the trace does not say what happened: an error without a type, a message and a status, or an answer that stopped for a reason that
    /// the provider does not name.
    pub(super) unexplained: bool,
}

impl<'t> Incident<'t> {
    pub(super) fn new(trace: &'t Trace, index: usize, kind: IncidentKind) -> Option<Self> {
        let span = trace.spans.get(index)?;
        Some(Self {
            index,
            span,
            kind,
            at_ns: span.ended_at_ns.or(span.started_at_ns).unwrap_or(i64::MAX),
            texts: Vec::new(),
            signals: Vec::new(),
            error_type: None,
            status: None,
            condition: None,
            tool: None,
            step: None,
            step_kind: None,
            label: OnceCell::new(),
            recovered: false,
            unexplained: false,
        })
    }

    /// The span kind for rules. A tool result among the messages of a model call is about the tool, not about the model; a failed HTTP request is about
    /// the step that made it; a refusal, and an exception that only the SDK of a provider raises, are about a model call, also if the call has no span
    /// of its own.
    pub(super) fn span_kind(&self) -> SpanKind {
        match (self.kind, self.span.kind) {
            (IncidentKind::ToolResult, _) => SpanKind::Tool,
            (IncidentKind::EmptyRetrieval, _) => SpanKind::Retriever,
            (IncidentKind::Refusal | IncidentKind::FinishReason | IncidentKind::EmptyOutput, _) => SpanKind::Llm,
            (_, kind) if self.step_kind.is_some() => self.step_kind.unwrap_or(kind),
            (IncidentKind::Error, SpanKind::Agent | SpanKind::Chain | SpanKind::Other)
                if self.error_type.as_deref().is_some_and(signals::is_of_provider_sdk) =>
            {
                SpanKind::Llm
            }
            (_, kind) => kind,
        }
    }
}
