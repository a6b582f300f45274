//! What an error says, whoever raised it: a rate limit, a timeout, a missing resource. The step in which it occurred decides the label: a rate limit of
//! the model provider is `provider_error/rate_limited`, one of a tool `tool_failure/tool_rate_limited`.

use crate::model::{Label, SpanKind};

/// Declares the conditions with their words in the catalogue of errors and in the text model.
macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What an error says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) enum Condition {
            $($(#[$doc])* $name,)*
        }

        impl Condition {
            /// Every condition.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The condition that a word of the catalogue means.
            pub(super) fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The word in the catalogue.
            #[cfg(test)]
            pub(super) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

conditions! {
    /// Too many requests or tokens in a short time.
    RateLimited = "rate_limited",
    /// A daily, monthly or billing limit.
    QuotaExhausted = "quota_exhausted",
    /// The service is overloaded, unavailable or failed by itself.
    Overloaded = "overloaded",
    Timeout = "timeout",
    /// Refused, reset, not resolved, TLS, or cut in the middle.
    ConnectionFailed = "connection_failed",
    /// A missing, wrong or expired credential.
    AuthenticationFailed = "authentication_failed",
    /// The credential does not permit the call.
    PermissionDenied = "permission_denied",
    ModelNotFound = "model_not_found",
    /// A record, file or page does not exist.
    NotFound = "not_found",
    /// The state of a resource does not permit the call: it exists, is locked, or changed.
    Conflict = "conflict",
    /// The request is not what the service accepts.
    InvalidRequest = "invalid_request",
    ContextWindowExceeded = "context_window_exceeded",
    OutputTruncated = "output_truncated",
    ContextLost = "context_lost",
    /// The filter of the model provider.
    SafetyFilter = "safety_filter",
    ModelRefusal = "model_refusal",
    /// A rule of the application, or protection against bots.
    GuardrailBlocked = "guardrail_blocked",
    UnknownTool = "unknown_tool",
    InvalidToolArguments = "invalid_tool_arguments",
    /// The model's output does not parse.
    MalformedJson = "malformed_json",
    /// The model's output has the wrong shape.
    SchemaViolation = "schema_violation",
    FormatInstructionIgnored = "format_instruction_ignored",
    EmptyOutput = "empty_output",
    /// A search index or vector store rejected the query.
    RetrieverError = "retriever_error",
    EmptyRetrieval = "empty_retrieval",
    /// Code that the agent ran failed.
    CodeExecutionError = "code_execution_error",
    MissingDependency = "missing_dependency",
    /// Memory, disk, file handles.
    ResourceExhausted = "resource_exhausted",
    /// A setting that is no credential.
    Misconfiguration = "misconfiguration",
    MaxIterationsReached = "max_iterations_reached",
    /// The time limit of the whole run.
    RunTimeout = "run_timeout",
    TokenBudgetExhausted = "token_budget_exhausted",
    RepeatedCalls = "repeated_calls",
    HandoffFailed = "handoff_failed",
    RunCancelled = "run_cancelled",
    /// No failure: an interrupt, an approval, a handoff.
    ControlFlow = "control_flow",
    /// The service does not have the feature.
    Unsupported = "unsupported",
    /// A value could not be read or converted, other than the output of a model.
    DataError = "data_error",
    /// A failure whose name says no cause.
    Exception = "exception",
}

/// Who failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// The model provider or a gateway.
    Provider,
    /// A tool of the agent.
    Tool,
    /// A search for documents.
    Retriever,
    /// The application itself: an agent, a chain, a step of unknown kind.
    Application,
}

impl Side {
    /// The side of a step of this kind.
    pub(super) fn of(kind: SpanKind) -> Self {
        match kind {
            SpanKind::Llm | SpanKind::Embedding => Self::Provider,
            SpanKind::Tool => Self::Tool,
            SpanKind::Retriever => Self::Retriever,
            SpanKind::Guardrail | SpanKind::Agent | SpanKind::Chain | SpanKind::Other => Self::Application,
        }
    }
}

impl Condition {
    /// Whether the condition says what happened, and not only that something did.
    pub(super) fn is_specific(self) -> bool {
        !matches!(self, Self::Exception | Self::ControlFlow | Self::DataError)
    }

    /// How much the condition says, for an error that carries several: the code `insufficient_quota` says more than the class `RateLimitError`, and
    /// a timeout more than the connection that it ended.
    pub(super) fn precision(self) -> u8 {
        match self {
            Self::ControlFlow => 0,
            Self::Exception => 1,
            Self::DataError | Self::Unsupported => 2,
            Self::InvalidRequest | Self::Conflict => 3,
            Self::Overloaded => 4,
            Self::ConnectionFailed | Self::NotFound | Self::PermissionDenied => 5,
            Self::Timeout | Self::RunCancelled | Self::RetrieverError => 6,
            Self::RateLimited | Self::AuthenticationFailed | Self::SchemaViolation | Self::CodeExecutionError | Self::Misconfiguration => 7,
            Self::QuotaExhausted
            | Self::ModelNotFound
            | Self::MalformedJson
            | Self::InvalidToolArguments
            | Self::FormatInstructionIgnored => 8,
            _ => 9,
        }
    }

    /// The label of the condition on a side; `None` if the condition names no failure there.
    pub(super) fn label(self, side: Side) -> Option<Label> {
        self.label_text(side).and_then(|text| Label::parse(text).ok())
    }

    #[expect(clippy::match_same_arms, reason = "the order matters: what is the same on every side comes first")]
    fn label_text(self, side: Side) -> Option<&'static str> {
        Some(match (self, side) {
            (Self::ControlFlow, _) => return None,
            // These say the same on every side.
            (Self::ModelNotFound, _) => "provider_error/model_not_found",
            (Self::ContextWindowExceeded, _) => "context_overflow/context_window_exceeded",
            (Self::OutputTruncated, _) => "context_overflow/output_truncated",
            (Self::ContextLost, _) => "context_overflow/context_lost",
            (Self::SafetyFilter, _) => "content_blocked/safety_filter",
            (Self::ModelRefusal, _) => "content_blocked/model_refusal",
            (Self::GuardrailBlocked, _) => "content_blocked/guardrail_blocked",
            (Self::UnknownTool, _) => "tool_misuse/unknown_tool",
            (Self::InvalidToolArguments, _) | (Self::SchemaViolation | Self::MalformedJson | Self::InvalidRequest, Side::Tool) => {
                "tool_misuse/invalid_tool_arguments"
            }
            (Self::EmptyRetrieval, _) => "retrieval_failure/empty_retrieval",
            (Self::CodeExecutionError, _) => "environment_error/code_execution_error",
            (Self::MissingDependency, _) => "environment_error/missing_dependency",
            (Self::ResourceExhausted, _) => "environment_error/resource_exhausted",
            (Self::Misconfiguration, _) => "environment_error/misconfiguration",
            (Self::MaxIterationsReached, _) => "runaway_execution/max_iterations_reached",
            (Self::RunTimeout, _) | (Self::Timeout, Side::Application) => "runaway_execution/run_timeout",
            (Self::TokenBudgetExhausted, _) => "runaway_execution/token_budget_exhausted",
            (Self::RepeatedCalls, _) => "runaway_execution/repeated_calls",
            (Self::HandoffFailed, _) => "coordination_failure/handoff_failed",
            (Self::RunCancelled, _) => "coordination_failure/run_cancelled",
            (Self::RetrieverError, _) | (_, Side::Retriever) => "retrieval_failure/retriever_error",
            (Self::RateLimited | Self::QuotaExhausted, Side::Tool) => "tool_failure/tool_rate_limited",
            (Self::Overloaded | Self::ConnectionFailed, Side::Tool) => "tool_failure/tool_unavailable",
            (Self::Timeout, Side::Tool) => "tool_failure/tool_timeout",
            (Self::AuthenticationFailed | Self::PermissionDenied, Side::Tool) => "tool_failure/tool_auth_failed",
            (Self::NotFound, Side::Tool) => "tool_failure/tool_resource_not_found",
            (_, Side::Tool) => "tool_failure/tool_exception",
            (Self::SchemaViolation, _) => "output_format/schema_violation",
            (Self::MalformedJson, _) => "output_format/malformed_json",
            (Self::FormatInstructionIgnored, _) => "output_format/format_instruction_ignored",
            (Self::EmptyOutput, _) => "output_format/empty_output",
            (Self::RateLimited, _) => "provider_error/rate_limited",
            (Self::QuotaExhausted, _) => "provider_error/quota_exhausted",
            (Self::Overloaded, _) => "provider_error/provider_overloaded",
            (Self::Timeout, _) => "provider_error/provider_timeout",
            (Self::ConnectionFailed, _) => "provider_error/connection_failed",
            (Self::AuthenticationFailed, _) => "provider_error/authentication_failed",
            (Self::PermissionDenied, _) => "provider_error/permission_denied",
            (Self::NotFound, Side::Provider) => "provider_error/model_not_found",
            (Self::InvalidRequest | Self::Unsupported | Self::Conflict, Side::Provider) => "provider_error/invalid_request",
            (Self::Exception | Self::DataError, Side::Provider) => return None,
            (Self::NotFound | Self::Conflict | Self::InvalidRequest | Self::Unsupported | Self::DataError | Self::Exception, _) => {
                "environment_error/application_exception"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDES: [Side; 4] = [Side::Provider, Side::Tool, Side::Retriever, Side::Application];

    #[test]
    fn every_condition_has_a_label_of_the_vocabulary_on_every_side() {
        for condition in Condition::ALL {
            assert_eq!(Condition::from_word(condition.as_str()), Some(*condition));
            for side in SIDES {
                if let Some(text) = condition.label_text(side) {
                    assert_eq!(condition.label(side).unwrap().to_string(), text);
                }
            }
        }
        assert_eq!(Condition::from_word("nonsense"), None);
    }

    #[test]
    fn the_step_decides_who_failed() {
        let labels = |condition: Condition| SIDES.map(|side| condition.label(side).map(Label::factor));
        let expected = [Some("rate_limited"), Some("tool_rate_limited"), Some("retriever_error"), Some("rate_limited")];
        assert_eq!(labels(Condition::RateLimited), expected);
        let expected = [Some("provider_timeout"), Some("tool_timeout"), Some("retriever_error"), Some("run_timeout")];
        assert_eq!(labels(Condition::Timeout), expected);
        let expected = [None, Some("tool_exception"), Some("retriever_error"), Some("application_exception")];
        assert_eq!(labels(Condition::Exception), expected);
        assert_eq!(labels(Condition::ControlFlow), [None; 4]);
        assert_eq!(Side::of(SpanKind::Embedding), Side::Provider);
    }
}
