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
//! does not validate would look like the failure of a tool. The exception after the last attempt, `InstructorRetryException`, repeats the message of the
//! last error and not its type, which is only in the stack trace.

use super::span_builder::SpanBuilder;
use super::{Convention, ConventionState};
use crate::model::{SpanKind, last_segment};
use crate::parse::error_text;
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
        let exceptions = &mut span.fields.exceptions;
        if let Some(last) = exceptions.last().filter(|last| last_segment(&last.kind) == "InstructorRetryException") {
            let causes = last.stack.as_deref().map(error_text::causes).unwrap_or_default();
            let cause = causes.into_iter().rfind(|cause| last_segment(&cause.kind) != "RetryError" && !cause.message.is_empty());
            exceptions.extend(cause);
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

    #[test]
    fn the_last_error_of_the_retries_is_found() {
        let stack = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nopenai.RateLimitError: Error code: 429\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"b.py\", line 2, in h\n    raise\ntenacity.RetryError: RetryError[<Future at 0x1>]\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"c.py\", line 3, in i\n    raise\ninstructor.core.exceptions.InstructorRetryException: Error code: 429\n";
        let mut span = SpanMapper::new(Span { name: "instructor.patch".into(), ..Span::default() });
        span.set_attribute("openinference.span.kind".into(), Value::Text("TOOL".into()));
        let event = [
            ("exception.type", "instructor.core.exceptions.InstructorRetryException"),
            ("exception.message", "Error code: 429"),
            ("exception.stacktrace", stack),
        ];
        span.add_event("exception", event.map(|(key, value)| (key.into(), Value::Text(value.into()))));
        let kinds: Vec<_> = span.finish().exceptions.into_iter().map(|exception| exception.kind).collect();
        assert_eq!(kinds, ["instructor.core.exceptions.InstructorRetryException", "openai.RateLimitError"]);
    }
}
