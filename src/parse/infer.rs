//! Infers fields that follow from the other fields of a span: its kind, a tool's arguments and result, a retriever's documents, a refusal.
//!
//! Called when the explicit fields of the span are complete, and fills only empty ones. Knows no attribute names and no formats.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use memchr::memmem;

use super::by_shape;
use super::failure;
use super::javascript_error;
use super::messages::{self, Conversation};
use super::span_fields::{complete_request, complete_response, documents_in};
use super::value::Value;
use crate::model::{FinishReason, Message, Part, Span, SpanKind, Status};

/// Fills the fields that depend on several other fields of the span.
pub(super) fn infer_fields(mut span: Span) -> Span {
    let explicit_kind = span.kind;
    span.finish_reasons.retain(|reason| !reason.is_empty());
    infer_kind_from_fields(&mut span);
    infer_kind_from_name(&mut span);
    match span.kind {
        SpanKind::Tool => infer_tool(&mut span),
        SpanKind::Retriever => infer_documents(&mut span, explicit_kind == SpanKind::Retriever),
        SpanKind::Llm => infer_messages(&mut span),
        SpanKind::Agent | SpanKind::Chain | SpanKind::Embedding | SpanKind::Guardrail | SpanKind::Other => {}
    }
    by_shape::infer_content(&mut span);
    javascript_error::complete_failure(&mut span);
    failure::infer_failure(&mut span);
    if span.finish_reasons.iter().any(|word| FinishReason::from_word(word).is_none()) {
        span.not_understood.insert(Part::FinishReason);
    }
    span
}

/// What a model call lacks and only its raw request or response contains: messages, finish reason, refusal, offered tools.
fn infer_messages(span: &mut Span) {
    // Bodies are large, so they are parsed only if they may contain what is missing.
    static TOOLS: Words = LazyLock::new(|| words(&["tools", "functions"]));
    static MODEL: Words = LazyLock::new(|| words(&["model"]));
    static END: Words = LazyLock::new(|| words(&["inish", "stop", "reason", "Reason", "status"]));
    let lacks_id = |message: &Message| message.role == "tool" && message.tool_call_id.is_none();
    let may_have = |text: &Option<String>, words: &Words| text.as_deref().is_some_and(|text| contains_any(text, words));
    let lacks_input = span.input.is_empty()
        || (span.tools_offered.is_empty() && may_have(&span.input_text, &TOOLS))
        || (span.model.is_none() && may_have(&span.input_text, &MODEL))
        || span.input.iter().any(lacks_id);
    if lacks_input && let Some(found) = span.input_text.as_deref().and_then(conversation_in) {
        complete_request(span, found);
    }
    let lacks_output = span.output.is_empty() || (span.finish_reasons.is_empty() && may_have(&span.output_text, &END));
    if lacks_output && let Some(found) = span.output_text.as_deref().and_then(conversation_in) {
        complete_response(span, found);
    }
    infer_refusal(span);
}

/// Words of which a text contains at least one, or need not be read.
type Words = LazyLock<Option<AhoCorasick>>;

fn words(words: &[&str]) -> Option<AhoCorasick> {
    AhoCorasick::new(words).ok()
}

fn contains_any(text: &str, words: &Words) -> bool {
    words.as_ref().is_none_or(|automaton| automaton.is_match(text))
}

fn conversation_in(text: &str) -> Option<Conversation> {
    let value = Value::Text(Cow::Borrowed(text));
    value.any_tree().and_then(|tree| messages::conversation(&tree))
}

/// Infers the kind from the fields that are set, if no attribute defines it.
pub(super) fn infer_kind_from_fields(span: &mut Span) {
    if span.kind != SpanKind::Other {
        return;
    }
    if span.documents.is_some() {
        span.kind = SpanKind::Retriever;
    } else if span.tool.is_some() {
        span.kind = SpanKind::Tool;
    } else if !span.output.is_empty() || (span.model.is_some() && (span.usage.input.is_some() || !span.input.is_empty())) {
        span.kind = SpanKind::Llm;
    }
}

/// Infers the kind from the name. Frameworks without a kind for these report them as chains: a `LangGraph` node `retrieve_docs`, an OpenLLMetry
/// task `input_guardrail`.
fn infer_kind_from_name(span: &mut Span) {
    if !matches!(span.kind, SpanKind::Other | SpanKind::Chain) {
        return;
    }
    let name = span.name.to_ascii_lowercase();
    // A query engine answers questions, and retrieves in a step of its own: LlamaIndex' `RetrieverQueryEngine`.
    let answers = ["engine", "chain", "agent", "qa"].iter().any(|word| name.contains(word));
    if (name.contains("retriev") && !answers) || name.contains("vector_search") {
        span.kind = SpanKind::Retriever;
    } else if name.contains("guardrail") {
        span.kind = SpanKind::Guardrail;
    }
}

/// The input and output of a tool span are the arguments and the result of the tool.
fn infer_tool(span: &mut Span) {
    let name = span.name.strip_prefix("execute_tool ").unwrap_or(&span.name).trim_end_matches(".tool").to_owned();
    let tool = span.tool.get_or_insert_default();
    let has_name = !tool.name.is_empty();
    if !has_name {
        tool.name = name;
    }
    // Explicit arguments are what the instrumentation parsed. The raw input is what the model wrote, also if it does not parse; an input of
    // at most two characters, `{}` or `""`, is less informative than explicit arguments.
    if let Some(input) = span.input_text.take().map(arguments_of)
        && (tool.arguments.is_empty() || tool.arguments == "{}" || input.len() > 2)
    {
        tool.arguments = input;
    }
    if tool.result.is_none() {
        tool.result = span.output_text.take();
    }
    infer_tool_from_messages(span);
    open_envelopes(span, has_name);
}

/// The arguments in an input that is the whole call: `{"toolUseId", "name", "input"}` (Strands 0.1).
fn arguments_of(input: String) -> String {
    let call = Value::parse(&input).filter(|call| !call.get("toolUseId").is_null()).and_then(|call| messages::tool_call(&call));
    call.map_or(input, |call| call.arguments)
}

/// Moves messages of a tool span to its arguments and its result: a call or a message of the role `tool` in its input, and a message in its output
/// (Strands, azure-ai-projects).
fn infer_tool_from_messages(span: &mut Span) {
    let Some(tool) = span.tool.as_mut() else { return };
    if let Some(message) = span.input.iter_mut().rev().find(|message| !message.tool_calls.is_empty() || message.role == "tool") {
        let call = message.tool_calls.pop();
        tool.call_id = tool.call_id.take().or_else(|| call.as_ref().and_then(|call| call.id.clone())).or(message.tool_call_id.take());
        if tool.arguments.is_empty() {
            tool.arguments = call.map_or_else(|| std::mem::take(&mut message.content), |call| call.arguments);
        }
        span.input.clear();
    }
    if let Some(message) = span.output.pop() {
        tool.result.get_or_insert(message.content);
        span.output.clear();
    }
}

/// Replaces arguments and a result in the envelope of a framework by themselves. A result that says that it is an error fails the span.
fn open_envelopes(span: &mut Span, has_name: bool) {
    // Words without which there is no envelope, so that most arguments and results need not be parsed.
    static OF_ARGUMENTS: Words = LazyLock::new(|| words(&["kwargs", "input_str", "arguments", "tool_args"]));
    static OF_RESULTS: Words = LazyLock::new(|| {
        words(&[
            "content=",
            "tool_call_id",
            "tool_use_id",
            "toolUseId",
            "raw_output",
            "is_error",
            "isError",
            "origin",
            "failure",
            "success",
            "response",
            "result",
            "text",
            "json",
        ])
    });
    let Some(tool) = &mut span.tool else { return };
    let arguments = contains_any(&tool.arguments, &OF_ARGUMENTS).then(|| Value::parse(&tool.arguments)).flatten();
    let arguments =
        arguments.as_ref().and_then(messages::tool_arguments).map(|(arguments, name)| (arguments.to_text(), name.map(str::to_owned)));
    if let Some((arguments, name)) = arguments {
        tool.arguments = arguments;
        tool.name = name.filter(|_| !has_name).unwrap_or_else(|| std::mem::take(&mut tool.name));
    }
    // A result that is a text may be in the quotes of JSON.
    let result = tool.result.take().and_then(|result| Value::Text(Cow::Owned(result)).unquoted().into_text());
    let outcome = result.as_deref().filter(|result| contains_any(result, &OF_RESULTS)).and_then(messages::tool_outcome_of_text);
    let Some(outcome) = outcome else {
        tool.result = result.map(without_google_envelope);
        return;
    };
    tool.call_id = tool.call_id.take().or(outcome.call_id);
    if outcome.failed && span.status != Status::Error {
        span.status = Status::Error;
        span.status_message = Some(outcome.result.clone()).filter(|message| !message.is_empty());
    }
    tool.result = Some(outcome.result);
}

/// Google's SDKs wrap a result that is no object: `{"result": "late"}`.
fn without_google_envelope(result: String) -> String {
    if !result.starts_with("{\"result\"") {
        return result;
    }
    let envelope = Value::parse(&result).filter(|envelope| envelope.fields().len() == 1);
    envelope.map(|envelope| envelope.get("result").to_text()).unwrap_or(result)
}

/// The documents of a retriever that are only in its output: `{"documents": […]}` (LangChain) or a list.
fn infer_documents(span: &mut Span, kind_is_explicit: bool) {
    if span.documents.is_some() {
        return;
    }
    // A span that is a retriever by its name only, without an output, may be anything: it does not count as "found nothing".
    if !kind_is_explicit && span.output_text.is_none() {
        return;
    }
    let found = span.output_text.as_deref().and_then(|text| {
        let value = Value::Text(Cow::Borrowed(text));
        value.any_tree().and_then(|tree| documents_in(&tree))
    });
    span.documents = match (found, span.failed()) {
        (Some(found), _) => Some(found),
        // OpenInference writes no attribute if nothing was found. Other conventions write none if the content was not recorded.
        (None, false) if writes_no_empty_list(span) && span.unread_fields == 0 && span.output_text.as_deref().is_none_or(str::is_empty) => {
            Some(Vec::new())
        }
        (None, _) => None,
    };
}

/// Whether the source of the span leaves out the attribute of an empty list of documents.
fn writes_no_empty_list(span: &Span) -> bool {
    matches!(span.convention, None | Some("openinference" | "opentelemetry"))
}

/// The `refusal` of OpenAI's API, which several instrumentations record only in the raw response.
fn infer_refusal(span: &mut Span) {
    if span.output.iter().any(|message| message.refusal.is_some()) {
        return;
    }
    let Some(refusal) = span.output_text.as_deref().and_then(find_refusal) else { return };
    if span.output.is_empty() {
        span.output.push(Message { role: "assistant".into(), ..Message::default() });
    }
    if let Some(last) = span.output.last_mut() {
        last.refusal = Some(refusal);
    }
}

/// The first non-empty `"refusal": "…"` in a JSON text.
fn find_refusal(text: &str) -> Option<String> {
    const KEY: &str = "\"refusal\"";
    let mut rest = text;
    while let Some(after) = memmem::find(rest.as_bytes(), KEY.as_bytes()).and_then(|at| rest.get(at + KEY.len()..)) {
        let after_colon = after.trim_start().strip_prefix(':')?.trim_start();
        if after_colon.starts_with('"') {
            let value: Option<String> = serde_json::Deserializer::from_str(after_colon).into_iter().next().and_then(Result::ok);
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                return Some(value);
            }
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Coverage;
    use crate::parse::conventions::tests::span_with;

    #[test]
    fn a_retriever_without_documents_found_nothing() {
        assert_eq!(span_with(&[("openinference.span.kind", "RETRIEVER"), ("input.value", "q")]).documents, Some(vec![]));
        let langchain =
            span_with(&[("openinference.span.kind", "RETRIEVER"), ("output.value", "{\"documents\": [{\"page_content\": \"x\"}]}")]);
        assert_eq!(langchain.documents.unwrap()[0].content, "x");
    }

    #[test]
    fn documents_that_were_not_recorded_are_not_an_empty_list() {
        let retrieval = span_with(&[("gen_ai.operation.name", "retrieval"), ("gen_ai.retrieval.query.text", "q")]);
        assert_eq!((retrieval.kind, retrieval.documents), (SpanKind::Retriever, None));
    }

    #[test]
    fn a_refusal_is_found_in_the_raw_response() {
        let span = span_with(&[
            ("openinference.span.kind", "LLM"),
            ("output.value", r#"{"choices":[{"message":{"content":null,"refusal":"I \"can't\""}}]}"#),
        ]);
        assert_eq!(span.output[0].refusal.as_deref(), Some("I \"can't\""));
        assert_eq!(find_refusal(r#"{"refusal":null,"x":{"refusal": ""}}"#), None);
    }

    #[test]
    fn a_finish_reason_that_is_not_known_is_not_understood() {
        let coverage =
            |word| span_with(&[("gen_ai.operation.name", "chat"), ("gen_ai.response.finish_reasons", word)]).coverage(Part::FinishReason);
        assert_eq!((coverage("MAX_TOKENS"), coverage("because")), (Coverage::Understood, Coverage::NotUnderstood));
    }

    #[test]
    fn the_input_and_output_of_a_tool_span_are_its_arguments_and_result() {
        let span = span_with(&[
            ("openinference.span.kind", "TOOL"),
            ("input.value", "{\"city\": \"Paris\""),
            ("tool.parameters", "{}"),
            ("output.value", "42"),
        ]);
        let tool = span.tool.unwrap();
        assert_eq!((tool.name.as_str(), tool.arguments.as_str(), tool.result.as_deref()), ("step", "{\"city\": \"Paris\"", Some("42")));
    }
}
