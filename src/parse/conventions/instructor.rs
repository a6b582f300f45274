//! Instructor, whose steps `OpenInference` records: model calls with a validated result, and the retries around them.
//!
//! Specification: <https://github.com/Arize-ai/openinference/tree/main/python/instrumentation/openinference-instrumentation-instructor>; checked against
//! 0.1.6 and 0.1.29.
//!
//! ```json
//! {"name": "instructor.patch", "attributes": {"openinference.span.kind": "TOOL", "llm.input_messages.0.message.content": "…", "output.value": "{…}"}}
//! ```
//!
//! Quirks of real exporters: the steps have the kind of tools (0.1.6 to 0.1.29), although they contain the model calls and call no tool. A result that
//! does not validate would look like the failure of a tool.

use super::span_builder::SpanBuilder;
use super::{Convention, ConventionState};
use crate::model::SpanKind;
use crate::parse::value::Value;

/// The Instructor convention; see the [module docs](self).
pub(super) struct Instructor;

impl Convention for Instructor {
    fn name(&self) -> &'static str {
        "instructor"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["openinference", "instructor"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for Instructor {
    fn set_attribute<'v>(&mut self, _key: &str, value: Value<'v>, _span: &mut SpanBuilder) -> Option<Value<'v>> {
        Some(value)
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        let recorded = span.fields.instrumentation.as_deref() == Some("openinference.instrumentation.instructor");
        if span.fields.kind == SpanKind::Tool && (recorded || span.fields.name.starts_with("instructor.")) {
            span.fields.kind = SpanKind::Chain;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpanMapper;
    use super::*;
    use crate::model::Span;

    #[test]
    fn a_step_is_no_tool() {
        let kind = |instrumentation: &str, name: &str| {
            let mut span = SpanMapper::new(Span { name: name.into(), instrumentation: Some(instrumentation.into()), ..Span::default() });
            span.set_attribute("openinference.span.kind".into(), Value::Text("TOOL".into()));
            span.finish().kind
        };
        assert_eq!(kind("openinference.instrumentation.instructor", "handle_response_model"), SpanKind::Chain);
        assert_eq!(kind("", "instructor.async_patch"), SpanKind::Chain);
        assert_eq!(kind("openinference.instrumentation.langchain", "lookup"), SpanKind::Tool);
    }
}
