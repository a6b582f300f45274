//! Traces of the `OpenAI` Agents SDK, as its trace processors export them: one object for each trace and each span.
//!
//! Specification: <https://openai.github.io/openai-agents-python/tracing/>, <https://openai.github.io/openai-agents-js/guides/tracing/>; checked
//! against openai-agents 0.0.4 and 0.24 (Python), and @openai/agents 0.20 (JavaScript). The SDK posts pages of them,
//! `{"data": […]}`; a processor of an application writes what `export()` or `toJSON()` of each item returns.
//!
//! ```json
//! {"object": "trace", "id": "trace_7", "workflow_name": "support", "group_id": "chat-7", "metadata": {"tenant": "acme"}}
//! {"object": "trace.span", "id": "span_2", "trace_id": "trace_7", "parent_id": "span_1", "started_at": "2026-11-26T15:16:06.731068+00:00",
//!  "ended_at": "2026-11-26T15:16:06.747033+00:00", "span_data": {"type": "function", "name": "lookup_order", "input": "{\"order_id\": \"A-17\"}",
//!  "output": null, "mcp_data": null}, "error": {"message": "Error running tool", "data": {"tool_name": "lookup_order", "error": "late"}}}
//! ```
//!
//! | item | span |
//! |---|---|
//! | `span_data.type`: `agent`, `function`, `generation`, `response`, `guardrail`, `handoff`, `custom` … | kind |
//! | `span_data.name`, else the type; `handoff to X` | name |
//! | `error.data.error`, `error.data.details`, else `error.message` with its data | status message |
//! | `input`, `output` of a `generation` | messages, finish reason |
//! | `input`, `output` of a `function` | arguments and result of a tool |
//! | `tools` of an `agent` | tools offered |
//! | `triggered` of a `guardrail` | an error status |
//! | other fields of `span_data`, and `metadata` | attributes |
//!
//! A `trace` adds its workflow name as the service to its trace.
//!
//! Quirks of real exports:
//! - A `response` span has only the id of the response, so its messages are not understood. An application may add `response` and `input`.
//! - A `generation` has the message of the answer without its finish reason (Python), or the whole response (JavaScript; streams in Python).
//! - `task` and `turn` are `custom` spans with `sdk_span_type` in their data (since 0.10, and in JavaScript).
//! - The text of a tool's error is redacted by default (0.24, JavaScript 0.20).
//! - A tripwire is an error of the span around the guardrail, not of the guardrail itself.
//! - Audio is base64 text in `input.data` and `output.data`.

use std::borrow::Cow;

use crate::model::{Part, Span, SpanKind, Status, TokenUsage, ToolUse};
use crate::parse::conventions::openai_agents_error;
use crate::parse::record::{self, IdentityKeys, Record, SpanIdentity};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, context, error_text, infer, messages, span_fields};

/// The format of the `OpenAI` Agents SDK; see the [module docs](self).
pub(super) struct OpenAiAgents;

impl Format for OpenAiAgents {
    fn name(&self) -> &'static str {
        "openai_agents"
    }

    fn signatures(&self) -> &'static [Signature] {
        const { &[Signature::unique(&["trace_id", "span_data", "started_at"]), Signature::unique(&["object", "id", "workflow_name"])] }
    }

    fn parse_record(&self, record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("span_data") { parse_span(record, location, out) } else { parse_trace(record, location, out) }
    }
}

/// Parses a trace, which has no time and no content of its own. An application may have put its spans into it.
fn parse_trace(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let Some(trace_id) = record.take("id").as_id() else {
        let reason = format!("cannot read {location}: id is missing or empty\n  hint: write what export() of the trace returns");
        return out.reject(location, crate::model::RejectionKind::MissingId, reason);
    };
    let (metadata, spans) = (record.take_tree("metadata"), record.take_tree("spans"));
    let named = metadata.first(&["service", "service.name", "service_name"]).as_str().map(str::to_owned);
    let mut fragment = record::fragment(trace_id, Span::default(), location);
    fragment.service = named.or_else(|| record.take_text("workflow_name"));
    fragment.environment = metadata.first(&["environment", "env"]).as_str().map(str::to_owned);
    context::add(&mut fragment.context, "session.id", record.get("group_id"));
    context::add_metadata(&mut fragment.context, &metadata);
    let trace = out.addition(fragment);
    match spans {
        Value::List(spans) if !spans.is_empty() => trace.and(record::parse_each(spans, location, out, parse_span)),
        _ => trace,
    }
}

fn parse_span(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let keys = IdentityKeys { trace_id: "trace_id", span_id: "id", start_time: "started_at" };
    let SpanIdentity { trace_id, span_id, started_at_ns } = match record.take_identity(&keys, location, out) {
        Ok(identity) => identity,
        Err(rejected) => return rejected,
    };
    let mut data = Record::from_value(record.take_tree("span_data")).unwrap_or_default();
    let kind_word = data.take_text("type").unwrap_or_default();
    let mut span = Span {
        span_id,
        parent_span_id: record.take("parent_id").as_id(),
        kind: kind(&kind_word),
        started_at_ns: Some(started_at_ns),
        ended_at_ns: record.take("ended_at").as_time(),
        ..Span::default()
    };
    span.name = name(&kind_word, &mut data, &mut span);
    set_error(&mut span, &record.take_tree("error"));
    set_content(&mut span, &kind_word, &mut data);
    data.keep_rest(&mut span);
    record.discard(&["object"]);
    record.keep_rest(&mut span);
    out.span(record::fragment(trace_id, infer::infer_fields(span), location))
}

fn kind(word: &str) -> SpanKind {
    match word {
        "agent" => SpanKind::Agent,
        "function" => SpanKind::Tool,
        "generation" | "response" | "transcription" | "speech" => SpanKind::Llm,
        "guardrail" => SpanKind::Guardrail,
        "handoff" | "custom" | "speech_group" | "task" | "turn" => SpanKind::Chain,
        _ => SpanKind::Other,
    }
}

fn name(kind: &str, data: &mut Record<'_>, span: &mut Span) -> String {
    if kind == "handoff"
        && let Some(agent) = data.take_text("to_agent")
    {
        let name = format!("handoff to {agent}");
        record::keep_attribute(span, Cow::Borrowed("to_agent"), Value::Text(Cow::Owned(agent)));
        return name;
    }
    data.take_text("name").unwrap_or_else(|| kind.to_owned())
}

/// Sets the status and the cause of a failure. The message may be the name of an exception (sandboxes), or start with one (JavaScript).
fn set_error(span: &mut Span, error: &Value<'_>) {
    if error.is_empty() {
        return;
    }
    span.status = Status::Error;
    let text = openai_agents_error(error).unwrap_or_else(|| error.to_text());
    let message = error.get("message").as_str().unwrap_or_default();
    let kind = error_text::split_prefix(&text).or_else(|| error_text::split_prefix(message));
    span.error_type = kind.map(|(kind, _)| kind.to_owned()).filter(|kind| kind != "Error");
    span.status_message = Some(text);
}

fn set_content(span: &mut Span, kind: &str, data: &mut Record<'_>) {
    match kind {
        "generation" => set_generation(span, data),
        "response" => set_response(span, data),
        "function" => {
            let (input, output) = (data.take("input"), data.take("output"));
            let result = output.into_text().filter(|output| !(output.is_empty() && span.status == Status::Error));
            span.tool = Some(ToolUse { name: span.name.clone(), call_id: None, arguments: input.to_text(), result });
        }
        "agent" => span.tools_offered = messages::tool_names(&data.take("tools")),
        "guardrail" => {
            if matches!(data.take("triggered"), Value::Bool(true)) {
                span.status = Status::Error;
                span.status_message.get_or_insert_with(|| "Guardrail tripwire triggered".to_owned());
            }
        }
        "transcription" => {
            set_audio(span, Part::Input, &data.take("input"));
            span.model = data.take_text("model");
            span.output_text = data.take_text("output");
        }
        "speech" => {
            span.input_text = data.take_text("input");
            span.model = data.take_text("model");
            set_audio(span, Part::Output, &data.take("output"));
        }
        "speech_group" => span.input_text = data.take_text("input"),
        _ => {}
    }
}

fn set_generation(span: &mut Span, data: &mut Record<'_>) {
    span.model = data.take_text("model");
    let (input, output) = (data.take_tree("input"), data.take_tree("output"));
    set_usage(span, &data.take("usage"));
    span_fields::set_input(span, input);
    let answer = messages::conversation(&output).filter(|_| !output.is_empty());
    match answer {
        Some(answer) => span_fields::complete_response(span, answer),
        None => span.output_text = output.into_text().filter(|text| !text.is_empty() && text != "[]"),
    }
}

/// A `response` span has messages only if the application adds them: in Python the fields of the span data, in JavaScript also their private names.
fn set_response(span: &mut Span, data: &mut Record<'_>) {
    let mut take = |keys: [&str; 2]| keys.into_iter().map(|key| data.take_tree(key)).find(|value| !value.is_empty());
    let (response, input) = (take(["response", "_response"]), take(["input", "_input"]));
    set_usage(span, &data.take("usage"));
    match input {
        Some(input) => span_fields::add_input(span, input.to_text()),
        None => span.not_understood.insert(Part::Input),
    }
    if let Some(response) = response {
        span_fields::add_output(span, response.to_text());
    } else {
        span.not_understood.insert(Part::Output);
        span.not_understood.insert(Part::FinishReason);
    }
}

fn set_usage(span: &mut Span, usage: &Value<'_>) {
    span.usage = TokenUsage {
        input: usage.first(&["input_tokens", "prompt_tokens"]).as_u64(),
        output: usage.first(&["output_tokens", "completion_tokens"]).as_u64(),
    };
}

/// Audio is content that is not understood; its bytes are not kept.
fn set_audio(span: &mut Span, part: Part, audio: &Value<'_>) {
    if !audio.get("data").is_empty() {
        span.not_understood.insert(part);
    }
    record::keep_attribute(span, Cow::Borrowed("audio.format"), audio.get("format").clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Coverage, RejectionKind};
    use crate::parse::tests::parse_line;

    fn span(data: &str, error: &str) -> Span {
        let line = format!(
            r#"{{"object":"trace.span","id":"span_2","trace_id":"trace_7","parent_id":null,"started_at":"2026-11-26T15:16:06.731Z","ended_at":null,"span_data":{data},"error":{error}}}"#
        );
        parse_line(&OpenAiAgents, &line).fragments.remove(0).span
    }

    #[test]
    fn the_cause_of_a_failure_is_in_the_data_of_the_error() {
        for (error, kind, message) in [
            (
                r#"{"message":"Error running tool","data":{"tool_name":"f","error":"TypeError: late"}}"#,
                Some("TypeError"),
                "TypeError: late",
            ),
            (
                r#"{"message":"Error running tool (non-fatal)","data":{"tool_name":"f","error":"Error details are redacted."}}"#,
                None,
                r#"Error running tool (non-fatal): {"tool_name":"f","error":"Error details are redacted."}"#,
            ),
            (
                r#"{"message":"ExecTimeoutError","data":{"operation":"exec"}}"#,
                Some("ExecTimeoutError"),
                r#"ExecTimeoutError: {"operation":"exec"}"#,
            ),
            (r#"{"message":"429 quota exceeded"}"#, None, "429 quota exceeded"),
            (r#"{"message":"Error in agent run","data":{"error":"Error: 429 quota"}}"#, None, "Error: 429 quota"),
        ] {
            let span = span(r#"{"type":"function","name":"f","input":"{}","output":""}"#, error);
            assert_eq!((span.status, span.error_type.as_deref(), span.status_message.as_deref()), (Status::Error, kind, Some(message)));
            assert_eq!(span.tool.unwrap().result, None);
        }
    }

    #[test]
    fn the_messages_of_a_response_are_not_understood_unless_the_application_adds_them() {
        let exported = span(r#"{"type":"response","response_id":"resp_1","usage":{"input_tokens":5,"output_tokens":6}}"#, "null");
        assert_eq!(
            (exported.coverage(Part::Output), exported.coverage(Part::FinishReason)),
            (Coverage::NotUnderstood, Coverage::NotUnderstood)
        );
        assert_eq!((exported.kind, exported.usage.output, exported.attribute("response_id")), (SpanKind::Llm, Some(6), Some("resp_1")));
        let complete = span(
            r#"{"type":"response","response_id":"resp_1","_input":"hi","_response":{"object":"response","status":"completed","model":"m","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ok"}]}]}}"#,
            "null",
        );
        assert_eq!((complete.input[0].content.as_str(), complete.output[0].content.as_str()), ("hi", "ok"));
        assert_eq!((complete.model.as_deref(), complete.finish_reasons.as_slice()), (Some("m"), &["completed".to_owned()][..]));
    }

    #[test]
    fn generations_are_read_in_every_shape() {
        for output in [
            r#"[{"role":"assistant","content":"ok"}]"#,
            r#"[{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"ok"}}]}]"#,
            r#"[{"object":"response","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ok"}]}]}]"#,
        ] {
            let data = format!(
                r#"{{"type":"generation","input":[{{"role":"user","content":"hi"}}],"output":{output},"model":"m","model_config":{{"temperature":null,"base_url":"u"}}}}"#
            );
            let span = span(&data, "null");
            assert_eq!((span.input[0].content.as_str(), span.output.len(), span.output[0].content.as_str()), ("hi", 1, "ok"), "{output}");
            assert_eq!((span.attribute("model_config.base_url"), span.attributes.len()), (Some("u"), 1));
        }
        let failed = span(r#"{"type":"generation","input":[{"role":"user","content":"hi"}],"output":null}"#, r#"{"message":"no"}"#);
        assert_eq!((failed.coverage(Part::Output), failed.output_text), (Coverage::Absent, None));
    }

    #[test]
    fn steps_of_every_kind_have_a_name_and_a_kind() {
        for (data, name, kind) in [
            (r#"{"type":"agent","name":"Support","tools":["f"],"handoffs":[],"output_type":"str"}"#, "Support", SpanKind::Agent),
            (r#"{"type":"handoff","from_agent":"A","to_agent":"B"}"#, "handoff to B", SpanKind::Chain),
            (r#"{"type":"handoff","from_agent":"A","to_agent":null}"#, "handoff", SpanKind::Chain),
            (r#"{"type":"custom","name":"turn","data":{"sdk_span_type":"turn","turn":1}}"#, "turn", SpanKind::Chain),
            (r#"{"type":"mcp_tools","server":"s","result":["f"]}"#, "mcp_tools", SpanKind::Other),
            (r#"{"type":"guardrail","name":"no_passwords","triggered":false}"#, "no_passwords", SpanKind::Guardrail),
        ] {
            let span = span(data, "null");
            assert_eq!((span.name.as_str(), span.kind, span.status), (name, kind, Status::Unset), "{data}");
        }
        let agent = span(r#"{"type":"agent","name":"Support","tools":["f"]}"#, "null");
        assert_eq!(agent.tools_offered, ["f"]);
        let tripped = span(r#"{"type":"guardrail","name":"no_passwords","triggered":true}"#, "null");
        assert_eq!((tripped.status, tripped.status_message.as_deref()), (Status::Error, Some("Guardrail tripwire triggered")));
    }

    #[test]
    fn audio_is_not_understood() {
        let heard =
            span(r#"{"type":"transcription","input":{"data":"UklGRg==","format":"pcm"},"output":"hi","model":"whisper-1"}"#, "null");
        assert_eq!(
            (heard.coverage(Part::Input), heard.output_text.as_deref(), heard.output.first().map(|m| m.content.as_str())),
            (Coverage::NotUnderstood, Some("hi"), None)
        );
        assert_eq!(heard.attribute("audio.format"), Some("pcm"));
    }

    #[test]
    fn a_trace_adds_its_workflow_as_the_service() {
        let out = parse_line(
            &OpenAiAgents,
            r#"{"object":"trace","id":"trace_7","workflow_name":"support","group_id":null,"metadata":{"environment":"test"}}"#,
        );
        let fragment = &out.fragments[0];
        assert!(fragment.addition);
        assert_eq!((fragment.service.as_deref(), fragment.environment.as_deref()), (Some("support"), Some("test")));
        let span =
            r#"{"object":"trace.span","id":"s","trace_id":"trace_7","started_at":"2026-11-26T15:16:06Z","span_data":{"type":"agent"}}"#;
        let nested = format!(r#"{{"object":"trace","id":"trace_7","workflow_name":"support","spans":[{span},7]}}"#);
        let out = parse_line(&OpenAiAgents, &nested);
        assert_eq!((out.fragments.len(), out.fragments[1].span.kind, out.rejections.len()), (2, SpanKind::Agent, 1));
        let out = parse_line(&OpenAiAgents, r#"{"object":"trace","id":"","workflow_name":"support"}"#);
        assert_eq!(out.rejections[0].kind, RejectionKind::MissingId);
    }
}
