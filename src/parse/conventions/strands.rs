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
//!   result.
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
        &["tool", "content"]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["gen_ai.event.start_time", "gen_ai.tool.status", "gen_ai.prompt", "gen_ai.completion"]
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
            "gen_ai.prompt" if kind_before_1_0(&span.fields.name).is_some() => span.set_input(Rank::Normal, value),
            "gen_ai.completion" if kind_before_1_0(&span.fields.name).is_some() => span.set_output(Rank::Normal, value),
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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::SpanMapper;
    use super::super::tests::named_span as span;
    use super::*;
    use crate::model::Span;

    #[test]
    fn spans_before_1_0_are_read() {
        let call = span(
            "Model invoke",
            &[
                ("gen_ai.event.start_time", "2025-06-01T00:00:00Z"),
                ("gen_ai.system", "strands-agents"),
                ("gen_ai.prompt", r#"[{"role": "user", "content": [{"text": "Where is A-17?"}]}]"#),
                ("gen_ai.completion", r#"[{"text": "It is late."}]"#),
            ],
        );
        assert_eq!((call.kind, call.input[0].content.as_str()), (SpanKind::Llm, "Where is A-17?"));
        assert_eq!((call.output[0].role.as_str(), call.output[0].content.as_str()), ("assistant", "It is late."));
        let tool = span(
            "Tool: lookup",
            &[
                ("gen_ai.event.start_time", "2025-06-01T00:00:00Z"),
                ("gen_ai.prompt", r#"{"toolUseId": "c1", "name": "lookup", "input": {"id": 17}}"#),
                ("tool.name", "lookup"),
                ("tool.id", "c1"),
                ("tool.parameters", r#"{"id": 17}"#),
                ("tool.result", r#"[{"text": "no such order"}]"#),
                ("tool.status", "error"),
            ],
        );
        let call = tool.tool.as_ref().unwrap();
        assert_eq!((tool.kind, tool.failed(), call.result.as_deref()), (SpanKind::Tool, true, Some("no such order")));
        assert_eq!((call.name.as_str(), call.arguments.as_str(), call.call_id.as_deref()), ("lookup", r#"{"id":17}"#, Some("c1")));
    }

    #[test]
    fn the_results_of_a_memory_search_are_documents() {
        let mut search = SpanMapper::new(Span { name: "memory.search".into(), ..Span::default() });
        let content = |text: &'static str| [(Cow::Borrowed("content"), Value::Text(Cow::Borrowed(text)))];
        search.set_attribute("gen_ai.operation.name".into(), Value::Text("memory.search".into()));
        search.add_event("memory.query", content("opening hours"));
        search.add_event("memory.results", content(r#"[{"content": "9 to 5", "store_name": "s", "metadata": {}}]"#));
        let search = search.finish();
        assert_eq!((search.kind, search.documents.unwrap()[0].content.as_str()), (SpanKind::Retriever, "9 to 5"));
    }
}
