//! Google's Agent Development Kit (ADK).
//!
//! Specification: <https://google.github.io/adk-docs/observability/traces/>; checked against the sources of google-adk 0.5.0, 1.0.0, 1.18.0, 1.28.0 and
//! 2.13.0.
//!
//! ```json
//! {"name": "call_llm", "attributes": {"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini-2.5-flash",
//!  "gcp.vertex.agent.llm_request": "{\"model\": \"gemini-2.5-flash\", \"config\": {\"system_instruction\": \"…\"}, \"contents\": […]}",
//!  "gcp.vertex.agent.llm_response": "{\"content\": {\"parts\": [{\"text\": \"…\"}], \"role\": \"model\"}, \"finish_reason\": \"STOP\"}"}}
//! {"name": "execute_tool lookup", "attributes": {"gcp.vertex.agent.tool_call_args": "{\"id\": 17}", "gcp.vertex.agent.tool_response": "{\"result\": \"late\"}"}}
//! ```
//!
//! Quirks of real exporters:
//! - Content that must not be recorded is `{}`, which is therefore read as absent; a span of a tool has an empty request and response of a model.
//! - Before 1.18 a tool has two spans, `tool_call [NAME]` with the arguments and `tool_response [NAME]` with the whole event of the response.
//! - The spans of merged parallel calls, `execute_tool (merged)` and `tool_response`, repeat the calls.
//! - Since 1.28 `generate_content MODEL` is below `call_llm`, with the content only in log records, which `gen_ai` reads. 2.x has only that
//!   span.
//! - A tool that returns an error has the status `TOOL_ERROR` without a text (2.13). An answer without content has an `error_code`, which is the finish
//!   reason or why the prompt was blocked.
//! - A tool span has an id of ADK's, which the messages do not have, or `<not specified>`.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{FinishReason, SpanKind};
use crate::parse::value::Value;

/// The convention of Google ADK; see the [module docs](self).
pub(super) struct GoogleAdk;

impl Convention for GoogleAdk {
    fn name(&self) -> &'static str {
        "google_adk"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["gcp"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for GoogleAdk {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let Some(field) = key.strip_prefix("gcp.vertex.agent.") else { return Some(value) };
        match field {
            "llm_request" | "llm_response" | "tool_call_args" | "tool_response" | "data" if is_left_out(&value) => {}
            "llm_request" => {
                span.set_kind(Rank::Normal, SpanKind::Llm);
                span.set_input(Rank::Normal, value);
            }
            "llm_response" => {
                span.set_kind(Rank::Normal, SpanKind::Llm);
                set_response(value, span);
            }
            "tool_call_args" => {
                span.set_kind(Rank::Normal, SpanKind::Tool);
                span.tool().arguments = value.into_text().unwrap_or_default();
            }
            "tool_response" => {
                span.set_kind(Rank::Normal, SpanKind::Tool);
                set_tool_response(&value, span);
            }
            "data" => span.set_input(Rank::Normal, value),
            _ => return Some(value),
        }
        None
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        let name = span.fields.name.as_str();
        if matches!(name, "execute_tool (merged)" | "tool_response") {
            span.fields.tool = None;
            return span.set_kind(Rank::High, SpanKind::Chain);
        }
        if name.starts_with("agent_run [") {
            return span.set_kind(Rank::Normal, SpanKind::Agent);
        }
        let bracketed = ["tool_call [", "tool_response ["].iter().find_map(|prefix| name.strip_prefix(prefix)?.strip_suffix(']'));
        let bracketed = bracketed.map(str::to_owned);
        if let Some(tool) = &mut span.fields.tool {
            if tool.call_id.as_deref() == Some("<not specified>") {
                tool.call_id = None;
            }
            if let Some(name) = bracketed.filter(|_| tool.name.is_empty()) {
                tool.name = name;
            }
        }
    }
}

/// Whether the exporter left out the content, or has none.
fn is_left_out(value: &Value<'_>) -> bool {
    value.is_empty() || matches!(value.as_str(), Some("{}" | "N/A" | "<not serializable>"))
}

/// The response of a model, whose error code may be a finish reason.
fn set_response(value: Value<'_>, span: &mut SpanBuilder) {
    let error = span.decode(&value).map(|tree| (tree.text_at("error_code"), tree.text_at("error_message")));
    if let Some((Some(code), message)) = error {
        if FinishReason::from_word(&code).is_some_and(|reason| reason != FinishReason::Error && reason != FinishReason::Unknown) {
            span.add_finish_reasons(Rank::Low, Value::Text(code.into()));
            // What the model wrote in place of a call: `Malformed function call: print(default_api.search(…))`.
            if let Some(message) = message.filter(|message| !message.is_empty()) {
                span.keep_attribute("gcp.vertex.agent.error_message".into(), Value::Text(message.into()));
            }
        } else {
            span.fail(message.filter(|message| !message.is_empty()).or_else(|| Some(code.clone())));
            span.fields.error_type.get_or_insert(code);
        }
    }
    span.set_output(Rank::Normal, value);
}

/// The result of a tool: its response, `{"result": …}`, or before 1.18 the event that contains it.
fn set_tool_response(value: &Value<'_>, span: &mut SpanBuilder) {
    const NOT_SPECIFIED: &str = "<not specified>";
    let tree = span.decode(value);
    let response = tree.as_deref().unwrap_or(value);
    let of_event = response.get("content").get("parts").items().iter().map(|part| part.first(&["function_response", "functionResponse"]));
    let of_event = of_event.clone().find(|response| !response.is_null());
    let inner = of_event.map_or(response, |response| response.get("response"));
    let result = match inner.fields() {
        [(key, only)] if key == "result" => only,
        _ => inner,
    };
    let result = result.to_text();
    let id = of_event.and_then(|response| response.text_at("id"));
    let tool = span.tool();
    tool.call_id = tool.call_id.take().or(id);
    if result != NOT_SPECIFIED {
        tool.result = Some(result);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::named_span as span;
    use super::*;
    use crate::model::Status;

    #[test]
    fn a_model_call_has_the_request_and_the_response() {
        let call = span(
            "call_llm",
            &[
                ("gen_ai.system", "gcp.vertex.agent"),
                ("gen_ai.request.model", "gemini-2.5-flash"),
                (
                    "gcp.vertex.agent.llm_request",
                    r#"{"model":"gemini-2.5-flash","config":{"system_instruction":"Be brief.","tools":[{"function_declarations":[{"name":"lookup"}]}]},"contents":[{"parts":[{"text":"Where is A-17?"}],"role":"user"}]}"#,
                ),
                (
                    "gcp.vertex.agent.llm_response",
                    r#"{"content":{"parts":[{"function_call":{"args":{"id":17},"name":"lookup"}}],"role":"model"},"finish_reason":"MAX_TOKENS","usage_metadata":{"prompt_token_count":5,"candidates_token_count":6}}"#,
                ),
            ],
        );
        assert_eq!(call.kind, SpanKind::Llm);
        assert_eq!(call.input.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(), ["Be brief.", "Where is A-17?"]);
        assert_eq!((call.output[0].role.as_str(), call.output[0].tool_calls[0].arguments.as_str()), ("assistant", r#"{"id":17}"#));
        assert_eq!((call.finish_reasons.as_slice(), call.usage.output), (&["MAX_TOKENS".to_owned()][..], Some(6)));
        assert_eq!(call.tools_offered, ["lookup"]);
    }

    #[test]
    fn an_answer_without_content_has_an_error_code() {
        let blocked = span("call_llm", &[("gcp.vertex.agent.llm_response", r#"{"error_code":"SAFETY","error_message":""}"#)]);
        assert_eq!((blocked.status, blocked.finish_reasons.as_slice()), (Status::Unset, &["SAFETY".to_owned()][..]));
        let response = r#"{"error_code":"MALFORMED_FUNCTION_CALL","error_message":"Malformed function call: print(a(b=1))"}"#;
        let unparsed = span("call_llm", &[("gcp.vertex.agent.llm_response", response)]);
        assert_eq!(unparsed.attribute("gcp.vertex.agent.error_message"), Some("Malformed function call: print(a(b=1))"));
        let failed =
            span("call_llm", &[("gcp.vertex.agent.llm_response", r#"{"error_code":"UNKNOWN_ERROR","error_message":"Unknown error."}"#)]);
        assert_eq!(
            (failed.status, failed.status_message.as_deref(), failed.error_type.as_deref()),
            (Status::Error, Some("Unknown error."), Some("UNKNOWN_ERROR"))
        );
    }

    #[test]
    fn a_tool_has_arguments_and_a_result_in_every_version() {
        let current = span(
            "execute_tool lookup",
            &[
                ("gen_ai.operation.name", "execute_tool"),
                ("gen_ai.tool.name", "lookup"),
                ("gen_ai.tool.call.id", "<not specified>"),
                ("gcp.vertex.agent.llm_request", "{}"),
                ("gcp.vertex.agent.llm_response", "{}"),
                ("gcp.vertex.agent.tool_call_args", r#"{"id":17}"#),
                ("gcp.vertex.agent.tool_response", r#"{"result":"late"}"#),
            ],
        );
        let tool = current.tool.unwrap();
        assert_eq!(
            (current.kind, tool.name.as_str(), tool.arguments.as_str(), tool.result.as_deref()),
            (SpanKind::Tool, "lookup", r#"{"id":17}"#, Some("late"))
        );
        assert_eq!(tool.call_id, None);
        let old = span(
            "tool_response [lookup]",
            &[(
                "gcp.vertex.agent.tool_response",
                r#"{"content":{"parts":[{"function_response":{"id":"c1","name":"lookup","response":{"error":"no such order"}}}],"role":"user"}}"#,
            )],
        );
        let tool = old.tool.unwrap();
        assert_eq!(
            (tool.name.as_str(), tool.call_id.as_deref(), tool.result.as_deref()),
            ("lookup", Some("c1"), Some(r#"{"error":"no such order"}"#))
        );
        let merged = span(
            "execute_tool (merged)",
            &[
                ("gen_ai.operation.name", "execute_tool"),
                ("gcp.vertex.agent.tool_call_args", "N/A"),
                ("gen_ai.tool.name", "(merged tools)"),
            ],
        );
        assert_eq!((merged.kind, merged.tool), (SpanKind::Chain, None));
    }
}
