//! W&B Weave: calls as JSON lines of `/calls/stream_query` and `client.get_calls()`, and the exports of the web page (JSONL, CSV, Parquet).
//!
//! Specification: <https://docs.wandb.ai/weave/guides/tracking/call-schema-reference>; checked against the trace server and the SDK 0.51 and
//! 0.52, and against the source of the SDK 0.54. A call is a span.
//!
//! ```json
//! {"id": "01a2…", "trace_id": "01a2…", "parent_id": null, "op_name": "weave:///acme/support/op/lookup_order:cQLF…", "display_name": null,
//!  "started_at": "2026-11-26T15:24:03.658589Z", "ended_at": "2026-11-26T15:24:03.658630Z", "inputs": {"order_id": "A-17"}, "output": null,
//!  "exception": "{\"type\": \"OrderNotFoundError\", \"message\": \"no order A-17\", \"traceback\": […]}", "attributes": {"weave": {"kind": "tool"}},
//!  "summary": {"usage": {"gpt-4o": {"prompt_tokens": 57}}, "weave": {"status": "error", "trace_name": "lookup_order", "feedback": []}}}
//! ```
//!
//! | call | span |
//! |---|---|
//! | `display_name`, else the name in `op_name` | name |
//! | `attributes.weave.kind`, else `op_name` of an integration | kind |
//! | `exception`: JSON with a traceback, or text | exception |
//! | `inputs`, `output` | messages, tools offered, documents, tool arguments and result, or text |
//! | `summary.usage` | model tokens; of other calls it is the sum of their children |
//! | `summary.weave.feedback` | annotations |
//! | `project_id`: `entity/project` | the project is the service |
//!
//! Quirks of real exports:
//! - Arguments that were not given are the text `<openai.Omit object at 0x…>` or `NOT_GIVEN` (0.51).
//! - A stream that breaks leaves its call `running`, without an end (0.51).
//! - The call of an op has no kind (0.51, 0.52); those of integrations have known names, such as `openai.chat.completions.create`.
//! - CSV and Parquet have columns of their own for nested fields (`inputs.messages`, `summary.weave.status`).

use std::borrow::Cow;

use crate::model::{Annotation, Context, Exception, Span, SpanKind, Status, TokenUsage};
use crate::parse::messages::{self, Conversation};
use crate::parse::record::{self, IdentityKeys, Record, SpanIdentity};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, error_text, infer, span_fields};

/// The format of Weave's calls; see the [module docs](self).
pub(super) struct Weave;

impl Format for Weave {
    fn name(&self) -> &'static str {
        "weave"
    }

    fn signatures(&self) -> &'static [Signature] {
        // A call; an export may lack columns.
        const { &[Signature::unique(&["id", "op_name", "trace_id"]), Signature::unique(&["id", "op_name", "started_at"])] }
    }

    fn skipped_fields(&self) -> &'static [&'static str] {
        &SKIPPED_FIELDS
    }

    fn parse_record(&self, record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        parse_call(record, location, out)
    }
}

/// Keys of Weave's own database; sorted.
const SKIPPED_FIELDS: [&str; 7] =
    ["deleted_at", "expire_at", "otel_dump", "storage_size_bytes", "total_storage_size_bytes", "wb_run_step", "wb_run_step_end"];

fn parse_call(mut call: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let keys = IdentityKeys { trace_id: "trace_id", span_id: "id", start_time: "started_at" };
    let SpanIdentity { trace_id, span_id, started_at_ns } = match call.take_identity(&keys, location, out) {
        Ok(identity) => identity,
        Err(rejected) => return rejected,
    };
    let op_name = call.take_text("op_name").unwrap_or_default();
    let op_name = op_of(&op_name);
    let attributes = call.take_nested("attributes");
    let (inputs, output) = (without_omitted(call.take_nested("inputs")), call.take_nested("output"));
    let summary = call.take_nested("summary");
    let ours = summary.get("weave");
    let kind = attributes.get("weave").get("kind").as_str().and_then(kind_of_word);
    let mut span = Span {
        span_id,
        parent_span_id: call.take("parent_id").as_id(),
        name: call.take_text("display_name").unwrap_or_else(|| op_name.to_owned()),
        kind: kind.or_else(|| kind_of_op(op_name)).unwrap_or_default(),
        started_at_ns: Some(started_at_ns),
        ended_at_ns: call.take("ended_at").as_time(),
        status: status(ours.get("status").as_str().unwrap_or_default()),
        annotations: ours.get("feedback").any_tree().map_or_else(Vec::new, |list| list.items().iter().map(annotation).collect()),
        ..Span::default()
    };
    set_exception(&mut span, &call.take("exception"));
    if span.kind == SpanKind::Llm {
        set_model_call(&mut span, inputs, output, summary.get("usage"));
    } else {
        if span.kind == SpanKind::Tool {
            op_name.clone_into(&mut span.tool.get_or_insert_default().name);
        }
        span_fields::set_input(&mut span, inputs);
        span_fields::set_output(&mut span, output);
    }
    let project = call.take_text("project_id");
    span.cost_usd = cost(ours.get("costs"));
    let mut found = Context::default();
    found.add_known("weave.project", project.as_deref());
    let service = project.and_then(|id| id.split_once('/').map(|(_, project)| project.to_owned()));
    let environment = attributes.first(&["environment", "env"]).as_str().map(str::to_owned);
    for (key, value) in attributes.fields().iter().filter(|(key, _)| key != "weave") {
        record::keep_attribute(&mut span, Cow::Owned(format!("attributes.{key}")), value.clone());
    }
    call.keep_rest(&mut span);
    let mut fragment = record::fragment(trace_id, infer::infer_fields(span), location);
    (fragment.service, fragment.environment, fragment.context) = (service, environment, found);
    out.span(fragment)
}

/// The cost of a call and those below it: `{"gpt-4o": {"prompt_tokens_total_cost": 0.1, "completion_tokens_total_cost": 0.2}}`.
fn cost(costs: &Value<'_>) -> Option<f64> {
    const MODELS_MAX: usize = 64;
    let of_model = |(_, cost): &(Cow<'_, str>, Value<'_>)| {
        let part = |key: &str| cost.get(key).as_f64();
        let parts = [part("prompt_tokens_total_cost"), part("completion_tokens_total_cost")];
        parts.into_iter().flatten().reduce(|sum, cost| sum + cost)
    };
    costs.fields().iter().take(MODELS_MAX).filter_map(of_model).reduce(|sum, cost| sum + cost).filter(|cost| *cost > 0.0)
}

/// The name in `weave:///entity/project/op/NAME:digest`; other names unchanged.
fn op_of(op_name: &str) -> &str {
    let name = op_name.strip_prefix("weave:///").and_then(|path| path.split_once("/op/")).map(|(_, name)| name);
    name.map_or(op_name, |name| name.rsplit_once(':').map_or(name, |(name, _)| name))
}

fn kind_of_word(word: &str) -> Option<SpanKind> {
    match word {
        "search" => Some(SpanKind::Retriever),
        "scorer" => Some(SpanKind::Chain),
        word => SpanKind::from_word(word),
    }
}

/// The kind of an op of Weave's integrations, by its name: `openai.chat.completions.create`, `langchain.Tool.lookup`. Methods that call a model
/// through another op, such as `ChatSession.send_message`, are left out.
fn kind_of_op(op_name: &str) -> Option<SpanKind> {
    const LIBRARIES: [&str; 16] = [
        "BedrockRuntime",
        "anthropic",
        "cerebras",
        "cohere",
        "crewai",
        "dspy",
        "google",
        "groq",
        "huggingface_hub",
        "langchain_nvidia_ai_endpoints",
        "litellm",
        "mistralai",
        "openai",
        "openrouter",
        "together",
        "vertexai",
    ];
    const METHODS: [&str; 21] = [
        "_generate",
        "_stream",
        "acompletion",
        "call",
        "chat",
        "chat_completion",
        "chat_stream",
        "complete",
        "complete_async",
        "completion",
        "converse",
        "converse_stream",
        "create",
        "forward",
        "generate_content",
        "generate_content_async",
        "generate_content_stream",
        "invoke",
        "parse",
        "stream",
        "stream_async",
    ];
    let (library, path) = op_name.split_once('.')?;
    let method = path.rsplit('.').next().unwrap_or_default();
    match library {
        "langchain" => match path.split('.').next().unwrap_or_default() {
            "Llm" | "ChatModel" => Some(SpanKind::Llm),
            "Tool" => Some(SpanKind::Tool),
            "Retriever" => Some(SpanKind::Retriever),
            _ => Some(SpanKind::Chain),
        },
        "mcp" if method == "call_tool" => Some(SpanKind::Tool),
        _ if !LIBRARIES.contains(&library) || path.contains("moderation") => None,
        _ if path.contains("embed") => Some(SpanKind::Embedding),
        _ => METHODS.contains(&method).then_some(SpanKind::Llm),
    }
}

fn status(word: &str) -> Status {
    match word {
        // The failure of a descendant that the call handled.
        "success" | "descendant_error" => Status::Ok,
        "error" => Status::Error,
        _ => Status::Unset,
    }
}

/// The inputs without the arguments that were not given.
fn without_omitted(mut inputs: Value<'_>) -> Value<'_> {
    let is_omitted = |value: &Value<'_>| {
        value.as_str().is_some_and(|text| {
            matches!(text, "NOT_GIVEN" | "NotGiven")
                || text.starts_with("<openai.Omit object")
                || text.starts_with("<openai.NotGiven object")
        })
    };
    if let Value::Map(fields) = &mut inputs {
        fields.retain(|(_, value)| !is_omitted(value));
    }
    inputs
}

/// Sets the fields of a model call from its request, its response and the tokens that Weave counted.
fn set_model_call(span: &mut Span, inputs: Value<'_>, output: Value<'_>, usage: &Value<'_>) {
    let read = |value: &Value<'_>| value.any_tree().and_then(|tree| messages::conversation(&tree));
    span.usage = token_usage(usage);
    match read(&output) {
        Some(found) => span_fields::complete_response(span, found),
        None => span_fields::set_output(span, output),
    }
    if let Some(found) = read(&inputs) {
        span_fields::complete_request(span, with_model(found, &inputs));
    } else {
        span.model = span.model.take().or_else(|| inputs.text_at("model"));
        span_fields::set_input(span, inputs);
    }
}

/// The model that a request names beside arguments of the method.
fn with_model(found: Conversation, inputs: &Value<'_>) -> Conversation {
    Conversation { model: inputs.text_at("model").or(found.model), ..found }
}

/// The tokens of `{MODEL: {"prompt_tokens": 57, "completion_tokens": 11}}`. In tables, names of models that contain dots are nested.
fn token_usage(usage: &Value<'_>) -> TokenUsage {
    const LEVELS_MAX: usize = 6;
    fn find<'v>(usage: &'v Value<'v>, levels: usize) -> Option<&'v Value<'v>> {
        let is_count = |keys: &[&str]| usage.first(keys).as_u64().is_some();
        if is_count(&["prompt_tokens", "input_tokens", "completion_tokens", "output_tokens"]) {
            return Some(usage);
        }
        let deeper = || usage.fields().iter().find_map(|(_, inner)| find(inner, levels - 1));
        if levels == 0 { None } else { deeper() }
    }
    let counts = find(usage, LEVELS_MAX).unwrap_or(&Value::Null);
    TokenUsage {
        input: counts.first(&["prompt_tokens", "input_tokens"]).as_u64(),
        output: counts.first(&["completion_tokens", "output_tokens"]).as_u64(),
    }
}

/// Sets the status and the exception of a failed call: JSON with type, message and traceback, or text.
fn set_exception(span: &mut Span, exception: &Value<'_>) {
    if exception.is_empty() {
        return;
    }
    let found = match exception.tree() {
        Some(tree) if !tree.fields().is_empty() => {
            Exception { kind: tree.get("type").to_text(), message: tree.get("message").to_text(), stack: stack(&tree) }
        }
        _ => error_text::exception(&exception.to_text()),
    };
    span.status = Status::Error;
    span.status_message = Some(found.message.clone()).filter(|message| !message.is_empty());
    span.exceptions.push(found);
}

/// The stack trace as Python writes it.
fn stack(exception: &Value<'_>) -> Option<String> {
    let frames = exception.get("traceback");
    if frames.items().is_empty() {
        return frames.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    }
    let frame = |frame: &Value<'_>| {
        let part = |key: &str| frame.get(key).to_text();
        format!("  File \"{}\", line {}, in {}\n    {}\n", part("filename"), part("line_number"), part("function_name"), part("text"))
    };
    let frames: String = frames.items().iter().map(frame).collect();
    let (kind, message) = (exception.get("type").to_text(), exception.get("message").to_text());
    Some(format!("Traceback (most recent call last):\n{frames}{kind}: {message}\n"))
}

/// A reaction, a note, a person's annotation, or the result of a scorer: `{"feedback_type": "wandb.reaction.1", "payload": {"alias": ":thumbs_down:"}}`.
fn annotation(feedback: &Value<'_>) -> Annotation {
    let kind = feedback.get("feedback_type").as_str().unwrap_or_default();
    let name = kind.strip_prefix("wandb.").unwrap_or(kind);
    let name = name.strip_suffix(".1").unwrap_or(name);
    let payload = feedback.get("payload");
    if let Some(note) = payload.get("note").as_str() {
        return Annotation { name: name.to_owned(), comment: Some(note.to_owned()), ..Annotation::default() };
    }
    let value = payload.first(&["value", "output", "alias", "emoji"]);
    // A scorer returns a value, or an object with a verdict and a reason.
    let verdict = value.first(&["passed", "score", "value", "correct", "label"]);
    let (verdict, details) = if verdict.is_null() { (value, &Value::Null) } else { (verdict, value) };
    let score = verdict.as_f64().filter(|_| verdict.as_str().is_none());
    let label = if score.is_some() { None } else { verdict.clone().into_text() };
    let comment = details.first(&["reason", "reasoning", "rationale", "explanation", "comment"]).as_str().map(str::to_owned);
    Annotation { name: name.to_owned(), label: label.map(|label| label.trim_matches(':').to_owned()), score, comment }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RejectionKind;
    use crate::parse::tests::parse_line;

    const IDS: &str = r#""id":"s","trace_id":"t","started_at":"2026-11-26T15:24:03.658589Z""#;

    fn span(rest: &str) -> Span {
        parse_line(&Weave, &format!("{{{IDS},{rest}}}")).fragments.remove(0).span
    }

    #[test]
    fn a_model_call_has_messages_and_the_model_that_answered() {
        let span = span(
            r#""op_name":"weave:///acme/support/op/openai.chat.completions.create:1HGZ","inputs":{"self":{},"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"stop":"<openai.Omit object at 0x7f>"},
            "output":{"model":"gpt-4o-2024","choices":[{"finish_reason":"length","message":{"role":"assistant","content":"x"}}]},"summary":{"usage":{"gpt-4o-2024":{"prompt_tokens":57,"completion_tokens":11}},"weave":{"status":"success"}}"#,
        );
        assert_eq!((span.kind, span.name.as_str(), span.status), (SpanKind::Llm, "openai.chat.completions.create", Status::Ok));
        assert_eq!((span.model.as_deref(), span.usage), (Some("gpt-4o-2024"), TokenUsage { input: Some(57), output: Some(11) }));
        assert_eq!(
            (span.input[0].content.as_str(), span.output[0].content.as_str(), span.finish_reasons[0].as_str()),
            ("hi", "x", "length")
        );
    }

    #[test]
    fn an_exception_has_its_stack_trace() {
        let span = span(
            r#""op_name":"weave:///a/b/op/lookup:x","display_name":"look up","attributes":{"weave":{"kind":"tool"},"env":"staging"},"inputs":{"id":"A-17"},"summary":{"weave":{"status":"error"}},
            "exception":"{\"type\":\"OrderError\",\"message\":\"no such order\",\"traceback\":[{\"filename\":\"a.py\",\"line_number\":3,\"function_name\":\"f\",\"text\":\"g()\"}]}""#,
        );
        let exception = &span.exceptions[0];
        assert_eq!((span.status, exception.kind.as_str(), exception.message.as_str()), (Status::Error, "OrderError", "no such order"));
        assert_eq!(
            exception.stack.as_deref(),
            Some("Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    g()\nOrderError: no such order\n")
        );
        let tool = span.tool.as_ref().unwrap();
        assert_eq!(
            (tool.name.as_str(), tool.arguments.as_str(), span.attribute("attributes.env")),
            ("lookup", r#"{"id":"A-17"}"#, Some("staging"))
        );
        assert_eq!(self::span(r#""op_name":"f","exception":"Error: it broke""#).exceptions[0].message, "Error: it broke");
    }

    #[test]
    fn columns_of_tables_are_nested_again() {
        let span = span(
            r#""op_name":"openai.chat.completions.create","inputs.model":"gpt-4.1","inputs.messages":"[{\"role\":\"user\",\"content\":\"hi\"}]","output.choices":"[{\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\",\"content\":\"x\"}}]",
            "summary.weave.status":"success","summary.usage.gpt-4.1.prompt_tokens":5,"summary.usage.gpt-4.1.completion_tokens":6,"attributes.weave.kind":"llm""#,
        );
        assert_eq!((span.kind, span.status, span.model.as_deref()), (SpanKind::Llm, Status::Ok, Some("gpt-4.1")));
        assert_eq!(span.usage, TokenUsage { input: Some(5), output: Some(6) });
        assert_eq!((span.input[0].content.as_str(), span.output[0].content.as_str(), span.attributes.len()), ("hi", "x", 0));
    }

    #[test]
    fn feedback_of_people_and_scorers_is_read() {
        let span = span(
            r#""op_name":"f","summary":{"weave":{"feedback":[{"feedback_type":"wandb.reaction.1","payload":{"emoji":"👎","alias":":thumbs_down:"}},
            {"feedback_type":"wandb.note.1","payload":{"note":"wrong carrier"}},{"feedback_type":"wandb.annotation.quality","payload":{"value":2}},
            {"feedback_type":"wandb.runnable.Judge","payload":{"output":{"passed":false,"reason":"no carrier"}}}]}}"#,
        );
        let found: Vec<_> =
            span.annotations.iter().map(|note| (note.name.as_str(), note.label.as_deref(), note.score, note.comment.as_deref())).collect();
        assert_eq!(
            found,
            [
                ("reaction", Some("thumbs_down"), None, None),
                ("note", None, None, Some("wrong carrier")),
                ("annotation.quality", None, Some(2.0), None),
                ("runnable.Judge", Some("false"), None, Some("no carrier"))
            ]
        );
    }

    #[test]
    fn names_of_ops_have_a_kind_if_they_are_of_an_integration() {
        for (name, kind) in [
            ("weave:///a/b/op/langchain.Tool.lookup:x", SpanKind::Tool),
            ("langchain.Chain.RunnableSequence", SpanKind::Chain),
            ("openai.embeddings.create", SpanKind::Embedding),
            ("google.genai.models.Models.generate_content", SpanKind::Llm),
            ("google.generativeai.ChatSession.send_message", SpanKind::Other),
            ("mcp.client.session.ClientSession.call_tool", SpanKind::Tool),
            ("SupportBot.chat", SpanKind::Other),
            ("handle_request", SpanKind::Other),
        ] {
            assert_eq!(span(&format!("\"op_name\":\"{name}\"")).kind, kind, "{name}");
        }
        assert!(SKIPPED_FIELDS.is_sorted());
        let kind = |line: &str| parse_line(&Weave, line).rejections[0].kind;
        assert_eq!(kind(r#"{"id":"s","op_name":"f","started_at":"2026-11-26T15:24:03Z"}"#), RejectionKind::MissingId);
        assert_eq!(kind(r#"{"id":"s","trace_id":"t","op_name":"f"}"#), RejectionKind::MissingTime);
    }
}
