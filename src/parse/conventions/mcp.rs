//! The Model Context Protocol: spans of its SDKs, of `FastMCP`, and of instrumentations that follow `OpenTelemetry`'s convention for it.
//!
//! Specification: <https://opentelemetry.io/docs/specs/semconv/gen-ai/mcp/>, semantic conventions 1.39; checked against mcp (Python) 2.3. The
//! attributes `mcp.tool.*` and `mcp.request.argument.*` are those of Sentry's SDKs, <https://getsentry.github.io/sentry-conventions/attributes/mcp/>.
//!
//! ```json
//! {"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup", "error.type": "tool_error"}
//! {"mcp.method.name": "tools/call", "mcp.tool.name": "lookup", "mcp.request.argument.id": "17", "mcp.tool.result.content": "late"}
//! ```
//!
//! Quirks of real exporters:
//! - The client's span names the tool only in its own name, `MCP send tools/call lookup`, and has no arguments and no result (mcp 2.3).
//! - The result of a failed tool (`isError`) is an error status without a description, and `error.type` is `tool_error` (mcp 2.3).
//! - `OpenLLMetry`'s instrumentation follows [`openllmetry`](super::openllmetry), that of `OpenInference` writes no spans.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState, Scope};
use crate::model::SpanKind;
use crate::parse::value::Value;

/// The MCP convention; see the [module docs](self).
pub(super) struct Mcp;

impl Convention for Mcp {
    fn name(&self) -> &'static str {
        "mcp"
    }

    fn scope(&self) -> Scope {
        Scope::Shared
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["mcp"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(McpState::default())
    }
}

#[derive(Default)]
struct McpState {
    calls_tool: bool,
    failed: bool,
    arguments: Vec<(String, String)>,
}

impl ConventionState for McpState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "mcp.method.name" => {
                self.calls_tool = value.as_str() == Some("tools/call");
                span.set_kind(Rank::Low, if self.calls_tool { SpanKind::Tool } else { SpanKind::Chain });
                return Some(value);
            }
            "mcp.tool.name" => span.tool().name = value.into_text().unwrap_or_default(),
            "mcp.tool.result.content" => span.tool().result = value.into_text(),
            "mcp.tool.result.is_error" => self.failed = matches!(value, Value::Bool(true)) || value.as_str() == Some("true"),
            _ => match key.strip_prefix("mcp.request.argument.") {
                Some(name) => self.arguments.push((name.to_owned(), value.into_text().unwrap_or_default())),
                None => return Some(value),
            },
        }
        None
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if !self.calls_tool {
            return;
        }
        let name = span.fields.name.rsplit_once("tools/call ").map(|(_, name)| name.to_owned());
        let tool = span.tool();
        if tool.name.is_empty() {
            tool.name = name.unwrap_or_default();
        }
        if tool.arguments.is_empty() && !self.arguments.is_empty() {
            let fields = self.arguments.into_iter().map(|(name, value)| (name.into(), Value::Text(value.into()))).collect();
            tool.arguments = Value::Map(fields).to_text();
        }
        let result = tool.result.clone();
        if self.failed || span.fields.failed() {
            // The text of the result is what the tool reported.
            span.fail(result.filter(|_| span.fields.exceptions.is_empty()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpanMapper;
    use super::super::tests::span_with;
    use super::*;
    use crate::model::{Span, Status};

    #[test]
    fn a_tool_call_is_read_with_its_error() {
        let span = span_with(&[
            ("mcp.method.name", "tools/call"),
            ("mcp.tool.name", "f"),
            ("mcp.request.argument.id", "17"),
            ("mcp.tool.result.content", "no such order"),
            ("mcp.tool.result.is_error", "true"),
        ]);
        let tool = span.tool.clone().unwrap();
        assert_eq!((span.kind, tool.name.as_str(), tool.arguments.as_str()), (SpanKind::Tool, "f", r#"{"id":"17"}"#));
        assert_eq!((span.status, span.status_message.as_deref()), (Status::Error, Some("no such order")));
        assert_eq!(span_with(&[("mcp.method.name", "tools/list")]).kind, SpanKind::Chain);
    }

    #[test]
    fn the_client_names_the_tool_in_the_name_of_its_span() {
        let mut span = SpanMapper::new(Span { name: "MCP send tools/call lookup".into(), ..Span::default() });
        span.set_attribute("mcp.method.name".into(), Value::Text("tools/call".into()));
        let span = span.finish();
        assert_eq!((span.kind, span.tool.unwrap().name.as_str()), (SpanKind::Tool, "lookup"));
    }
}
