//! The models and tools that a trace used, for comparing failed traces with healthy ones. Not stored.

use super::{SpanKind, Trace};
use crate::limits::{USED_NAME_BYTES_MAX, USED_NAMES_MAX};

/// The distinct models and tools of a trace, each `None` if there are more than can be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceUsage {
    /// The models of its calls.
    pub models: Option<Vec<String>>,
    /// The tools that were called, whether the trace has the call of the model, the execution, or both.
    pub tools: Option<Vec<String>>,
}

impl TraceUsage {
    /// The models and tools of a redacted trace. The names are copied unchanged.
    pub fn of(trace: &Trace) -> Self {
        let (mut models, mut tools) = (Names::default(), Names::default());
        for span in &trace.spans {
            if span.kind == SpanKind::Llm {
                models.add(span.model.as_deref());
            }
            tools.add(span.tool.as_ref().map(|tool| tool.name.as_str()));
            for call in span.output.iter().flat_map(|message| &message.tool_calls) {
                tools.add(Some(&call.name));
            }
        }
        Self { models: models.complete(), tools: tools.complete() }
    }
}

/// Distinct names, up to a limit.
#[derive(Default)]
struct Names<'t> {
    names: Vec<&'t str>,
    is_incomplete: bool,
}

impl<'t> Names<'t> {
    fn add(&mut self, name: Option<&'t str>) {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return };
        // The last name is the most likely one: calls repeat.
        if self.is_incomplete || self.names.last() == Some(&name) || self.names.contains(&name) {
            return;
        }
        if self.names.len() >= USED_NAMES_MAX || name.len() > USED_NAME_BYTES_MAX {
            self.is_incomplete = true;
        } else {
            self.names.push(name);
        }
    }

    fn complete(self) -> Option<Vec<String>> {
        (!self.is_incomplete).then(|| self.names.into_iter().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Message, Span, ToolCall, ToolUse};

    fn tool(name: &str) -> Span {
        Span { kind: SpanKind::Tool, tool: Some(ToolUse { name: name.into(), ..ToolUse::default() }), ..Span::default() }
    }

    #[test]
    fn the_models_of_calls_and_the_tools_that_were_called_are_collected_once() {
        let call = |name: &str| ToolCall { name: name.into(), ..ToolCall::default() };
        let asked = Message { tool_calls: vec![call("search"), call("refund")], ..Message::default() };
        let llm = |model: &str| Span { kind: SpanKind::Llm, model: Some(model.into()), output: vec![asked.clone()], ..Span::default() };
        let agent = Span { kind: SpanKind::Agent, model: Some("of the agent's settings".into()), ..Span::default() };
        let trace = Trace { spans: vec![agent, llm("a"), tool("search"), llm("b"), llm("a"), tool("")], ..Trace::default() };
        let usage = TraceUsage::of(&trace);
        assert_eq!(usage.models.unwrap(), ["a", "b"]);
        assert_eq!(usage.tools.unwrap(), ["search", "refund"]);
        assert_eq!(TraceUsage::of(&Trace::default()).tools, Some(Vec::new()), "none was called, which is known");
    }

    #[test]
    fn too_many_or_too_long_names_cannot_be_compared() {
        let many = (0..=USED_NAMES_MAX).map(|number| tool(&format!("tool-{number}"))).collect();
        assert_eq!(TraceUsage::of(&Trace { spans: many, ..Trace::default() }).tools, None);
        let long = vec![tool(&"x".repeat(USED_NAME_BYTES_MAX + 1)), tool("short")];
        assert_eq!(TraceUsage::of(&Trace { spans: long, ..Trace::default() }).tools, None);
    }
}
