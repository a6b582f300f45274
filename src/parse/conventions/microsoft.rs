//! Microsoft's agent frameworks: `AutoGen`, Semantic Kernel, and the Microsoft Agent Framework with Microsoft.Extensions.AI.
//!
//! Specification: <https://microsoft.github.io/autogen/stable/user-guide/core-user-guide/framework/telemetry.html> and
//! <https://learn.microsoft.com/semantic-kernel/concepts/enterprise-readiness/observability/>; checked against the sources of autogen-core 0.4.9, 0.6.1
//! and 0.7.5, semantic-kernel 1.20.0 and 1.45.0, and agent-framework-core 1.0.0b251001 and 1.23.0.
//!
//! ```json
//! {"name": "autogen process writer.(default)-A", "attributes": {"messaging.operation": "process", "recipient_agent_type": "writer",
//!  "message": "{\"messages\": [{\"source\": \"user\", \"content\": \"Where is A-17?\", \"type\": \"TextMessage\"}]}"}}
//! {"name": "execute_tool shop-lookup", "attributes": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "shop-lookup"}}
//! ```
//!
//! Model calls, agents and tools follow [`gen_ai`](super::gen_ai). This file adds the spans around them.
//!
//! Quirks of real exporters:
//! - `AutoGen` has no spans of model calls, and its tool spans have neither arguments nor result. Both are in the spans of an instrumented client; the
//!   gather stage adds them.
//! - A message that cannot be serialized is `No Message` (`AutoGen`).
//! - Semantic Kernel joins finish reasons with commas, `FinishReason.STOP`, in `gen_ai.response.finish_reason`. Its messages are log records with JSON text as
//!   body, and its text completions are `text_completions` (.NET: `text.completions`, `chat.completions`).
//! - Without sensitive data the Agent Framework records an error status without a text and without an exception.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::SpanKind;
use crate::parse::value::Value;

/// The convention of Microsoft's agent frameworks; see the [module docs](self).
pub(super) struct Microsoft;

impl Convention for Microsoft {
    fn name(&self) -> &'static str {
        "microsoft"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["message", "recipient_agent_type", "sender_agent_type", "workflow", "executor", "edge_group", "semantic_kernel"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for Microsoft {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "message" if is_runtime_span(&span.fields.name) => {
                if value.as_str() != Some("No Message") {
                    span.set_input(Rank::Normal, value);
                }
                return None;
            }
            // Java: the name of the plugin is another attribute and is part of the span's name.
            "semantic_kernel.function.invocation.name" | "semantic_kernel.function.name" => {
                span.set_kind(Rank::Low, SpanKind::Tool);
                let tool = span.tool();
                if tool.name.is_empty() {
                    tool.name = value.into_text().unwrap_or_default();
                }
                return None;
            }
            _ => {}
        }
        Some(value)
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if is_runtime_span(&span.fields.name) || is_workflow_span(&span.fields.name) {
            span.set_kind(Rank::Normal, SpanKind::Chain);
        }
    }
}

/// Whether a span is about a message between agents, in the runtime of `AutoGen` or of Semantic Kernel.
fn is_runtime_span(name: &str) -> bool {
    name.starts_with("autogen ") || name.starts_with("agent_runtime ")
}

/// Whether a span is a step of a workflow of the Agent Framework.
fn is_workflow_span(name: &str) -> bool {
    ["workflow.run", "workflow.build", "executor.process", "edge_group.process", "message.send", "workflow_invoke"]
        .iter()
        .any(|step| name.strip_prefix(step).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
}

#[cfg(test)]
mod tests {
    use super::super::tests::named_span as span;
    use super::*;

    #[test]
    fn spans_around_model_calls_are_chains() {
        let process = span(
            "autogen process writer.(default)-A",
            &[("recipient_agent_type", "writer"), ("message", r#"{"messages":[{"source":"user","content":"hi","type":"TextMessage"}]}"#)],
        );
        assert_eq!((process.kind, process.input_text.is_some()), (SpanKind::Chain, true));
        let ack = span("autogen ack", &[("sender_agent_type", "writer"), ("message", "No Message")]);
        assert_eq!((ack.kind, ack.input_text), (SpanKind::Chain, None));
        assert_eq!(span("executor.process writer", &[("executor.id", "writer")]).kind, SpanKind::Chain);
        let other = span("publish", &[("message", "kept")]);
        assert_eq!((other.kind, other.attribute("message")), (SpanKind::Other, Some("kept")));
    }
}
