//! Strands Agents: its spans before 1.0, whose content is in attributes without a convention, and its memory spans.
//!
//! Specification: <https://strandsagents.com/latest/documentation/docs/user-guide/observability-evaluation/traces/>; checked against the sources of
//! strands-agents 0.1.9, 1.0.0, 1.15.0 and 1.62.0.
//!
//! ```json
//! {"name": "Tool: lookup_order", "attributes": {"gen_ai.system": "strands-agents", "tool.name": "lookup_order", "tool.id": "call_1",
//!  "tool.parameters": "{\"order_id\": \"A-17\"}", "tool.result": "[{\"text\": \"not found\"}]", "tool.status": "error"}}
//! ```
//!
//! Since 1.0 the spans follow [`gen_ai`](super::gen_ai); their messages are span events whose content is Bedrock's blocks as JSON text.
//!
//! Quirks of real exporters:
//! - A tool that returns an error has the status OK before 1.40; only `gen_ai.tool.status` (0.1.9 and 1.0.0: `tool.status`) is `error`.
//! - `gen_ai.prompt` and `gen_ai.completion` (0.1.9) contain the messages and the blocks of the answer, on a tool's span its call and the blocks of its
//!   result; [`gen_ai`](super::gen_ai) reads them.
//! - The answer's refusal is not recorded, and arguments that do not parse become `{}`.
//! - With `gen_ai_span_attributes_only` (1.62) a memory span has its results in an attribute named only `content`.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::SpanKind;
use crate::parse::messages;
use crate::parse::value::Value;

/// The convention of Strands Agents; see the [module docs](self).
pub(super) struct Strands;

impl Convention for Strands {
    fn name(&self) -> &'static str {
        "strands"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["gen_ai", "tool", "content"]
    }

    fn reads_event(&self, name: &str) -> bool {
        matches!(name, "memory.query" | "memory.results" | "memory.content")
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for Strands {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "gen_ai.event.start_time" => {
                if let Some(kind) = kind_before_1_0(&span.fields.name) {
                    span.set_kind(Rank::High, kind);
                }
                return Some(value);
            }
            "gen_ai.tool.status" | "tool.status" => {
                if value.as_str() == Some("error") {
                    span.fail(None);
                }
                return Some(value);
            }
            "tool.result" if kind_before_1_0(&span.fields.name) == Some(SpanKind::Tool) => {
                let blocks = span.decode(&value).map(|tree| messages::tool_result_text(&tree));
                span.tool().result = blocks.or_else(|| value.into_text());
            }
            "content" if span.fields.name == "memory.search" => return span.set_documents(value),
            _ => return Some(value),
        }
        None
    }

    fn add_event(&mut self, name: &str, attributes: Value<'_>, span: &mut SpanBuilder) {
        let content = attributes.get("content").clone();
        match name {
            "memory.results" => drop(span.set_documents(content)),
            _ => span.set_input(Rank::Normal, content),
        }
    }
}

/// The kind of a span before 1.0, by its name.
fn kind_before_1_0(name: &str) -> Option<SpanKind> {
    if name == "Model invoke" {
        Some(SpanKind::Llm)
    } else if name.starts_with("Tool: ") {
        Some(SpanKind::Tool)
    } else if name.starts_with("Cycle ") {
        Some(SpanKind::Chain)
    } else {
        None
    }
}
