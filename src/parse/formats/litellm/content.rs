//! The content of a call by its kind: messages, the arguments and the result of a tool, documents, or texts. Text that `LiteLLM` does not log, or that
//! a logger cut off, is not understood.

use std::borrow::Cow;

use crate::model::{Message, Part, Span, SpanKind, ToolUse};
use crate::parse::messages::{self, Conversation};
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{python_repr, span_fields};

/// What `LiteLLM` writes instead of a text that it does not log, in payloads and in spend logs.
pub(super) const REDACTED: [&str; 2] = ["redacted-by-litellm", "REDACTED_BY_LITELM"];
/// The end of messages that a logger with a size limit cut off.
const TRUNCATED: &str = "...truncated by litellm, this logger does not support large content";

pub(super) fn set_model_call(span: &mut Span, request: Value<'_>, response: Value<'_>, parameters: &mut Record<'_>) {
    span.tools_offered = messages::tool_names(&parameters.take("tools"));
    set_request(span, request);
    let system = parameters.take("instructions");
    if let Some(system) = messages::system_message(&system)
        && span.input.first().is_none_or(|first| first.content != system.content)
    {
        span.input.insert(0, system);
    }
    if !response.is_empty() {
        set_response(span, response);
    }
    if remove_redacted(&mut span.input) {
        span.not_understood.insert(Part::Input);
    }
    if remove_redacted(&mut span.output) {
        span.not_understood.insert(Part::Output);
    }
}

fn set_request(span: &mut Span, request: Value<'_>) {
    match request {
        Value::Text(text) => match text.strip_suffix(TRUNCATED) {
            Some(start) => set_truncated(span, Part::Input, start),
            None => span_fields::add_input(span, text.into_owned()),
        },
        request => {
            if let Some(found) = messages::conversation(&request) {
                span_fields::complete_request(span, Conversation { model: None, ..found });
            } else {
                span.input_text = request.into_text().filter(|text| text != "{}" && text != "[]");
            }
        }
    }
}

fn set_response(span: &mut Span, response: Value<'_>) {
    match response {
        Value::Text(text) => match text.strip_suffix(TRUNCATED) {
            Some(start) => set_truncated(span, Part::Output, start),
            None => span_fields::add_output(span, text.into_owned()),
        },
        response => match messages::conversation(&response) {
            Some(found) => span_fields::complete_response(span, found),
            None => span.output_text = response.into_text(),
        },
    }
}

/// Messages in Python's `repr` that was cut off are read up to there. What the beginning does not contain is not understood.
fn set_truncated(span: &mut Span, part: Part, start: &str) {
    span.truncated_fields += 1;
    let found = python_repr::parse_truncated(start).and_then(|tree| messages::conversation(&tree));
    match (part, found) {
        (Part::Input, Some(found)) => span_fields::complete_request(span, found),
        (_, Some(found)) => {
            if found.finish_reasons.is_empty() {
                span.not_understood.insert(Part::FinishReason);
            }
            if found.messages.is_empty() {
                span.not_understood.insert(Part::Output);
            }
            span_fields::complete_response(span, found);
        }
        (part, None) => {
            span.not_understood.insert(part);
            if part == Part::Output {
                span.not_understood.insert(Part::FinishReason);
            }
        }
    }
}

/// Removes texts that were replaced by a placeholder; returns whether there are any. Tool calls keep their names.
fn remove_redacted(messages: &mut Vec<Message>) -> bool {
    let is_redacted = |text: &str| REDACTED.contains(&text);
    let mut found = false;
    for message in messages.iter_mut() {
        let arguments = message.tool_calls.iter_mut().map(|call| &mut call.arguments);
        for text in arguments.chain([&mut message.content]).filter(|text| is_redacted(text)) {
            text.clear();
            found = true;
        }
    }
    if found {
        messages.retain(|message| !message.content.is_empty() || !message.tool_calls.is_empty() || message.refusal.is_some());
    }
    found
}

pub(super) fn set_tool_call(span: &mut Span, tool: &Value<'_>, response: Value<'_>) {
    let name = tool.text_at("name").or_else(|| span.model.take()).unwrap_or_default();
    span.model = None;
    span.name.clone_from(&name);
    span.tool = Some(ToolUse { name, call_id: None, arguments: tool.get("arguments").to_text(), result: None });
    for key in ["mcp_server_name", "namespaced_tool_name", "mcp_session_id"] {
        record::keep_attribute(span, Cow::Borrowed(key), tool.get(key).clone());
    }
    if !response.is_empty() {
        span.output_text = response.into_text();
    }
}

/// A search, or a reranking, whose response has the indexes of the documents in the request.
pub(super) fn set_retrieval(span: &mut Span, request: &Value<'_>, response: &Value<'_>, parameters: &mut Record<'_>) {
    set_texts(span, request, Value::Null);
    let candidates = parameters.take("documents");
    span.documents = span_fields::documents_in(response).filter(|_| !response.is_empty());
    let results = response.get("results").items();
    for (document, result) in span.documents.iter_mut().flatten().zip(results) {
        let index = result.get("index").as_u64().and_then(|index| usize::try_from(index).ok());
        if let Some(candidate) = index.and_then(|index| candidates.items().get(index)).filter(|_| document.content.is_empty()) {
            document.content = candidate.as_str().map_or_else(|| candidate.get("text").to_text(), str::to_owned);
        }
    }
}

/// The input and the output of a call that is no conversation. Vectors are not kept.
pub(super) fn set_texts(span: &mut Span, request: &Value<'_>, response: Value<'_>) {
    let text = match request.items() {
        [message] => message.get("content").clone().into_text(),
        _ => None,
    };
    let text = text.or_else(|| Some(request).filter(|request| !request.is_empty()).map(Value::to_text));
    match text {
        Some(text) if REDACTED.contains(&text.as_str()) => span.not_understood.insert(Part::Input),
        text => span.input_text = text,
    }
    if span.kind != SpanKind::Embedding && !response.is_empty() {
        span.output_text = response.into_text();
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Coverage, Part, Status};
    use crate::parse::formats::litellm::tests::span as call;

    #[test]
    fn redacted_content_is_not_understood() {
        let span = call(
            "acompletion",
            r#""status":"success","messages":[{"role":"user","content":"redacted-by-litellm"}],"response":{"choices":[{"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"redacted-by-litellm"}}]}}]}"#,
        );
        assert_eq!((span.coverage(Part::Input), span.input.len()), (Coverage::NotUnderstood, 0));
        let requested = &span.output[0].tool_calls[0];
        assert_eq!(
            (requested.name.as_str(), requested.arguments.as_str(), span.finish_reasons.as_slice()),
            ("f", "", &["tool_calls".to_owned()][..])
        );
        let text = call(
            "acompletion",
            r#""status":"success","messages":"redacted-by-litellm","response":{"choices":[{"finish_reason":"stop","message":{"role":"assistant","content":"redacted-by-litellm"}}]}"#,
        );
        assert_eq!((text.coverage(Part::Output), text.output.len(), text.input.len()), (Coverage::NotUnderstood, 0, 0));
        assert_eq!(text.coverage(Part::Input), Coverage::NotUnderstood);
    }

    #[test]
    fn truncated_content_is_read_up_to_the_cut() {
        let span = call(
            "acompletion",
            r#""status":"success","messages":"[{'role': 'user', 'content': 'Where is...truncated by litellm, this logger does not support large content",
            "response":"{'id': 'c', 'choices': [{'finish_reason': 'stop', 'message': {'content': \"It's la...truncated by litellm, this logger does not support large content""#,
        );
        assert_eq!((span.input[0].content.as_str(), span.output[0].content.as_str()), ("Where is", "It's la"));
        assert_eq!((span.truncated_fields, span.finish_reasons.as_slice()), (2, &["stop".to_owned()][..]));
        let before = call(
            "acompletion",
            r#""status":"success","response":"{'id': 'c', 'cho...truncated by litellm, this logger does not support large content""#,
        );
        assert_eq!(
            (before.coverage(Part::Output), before.coverage(Part::FinishReason)),
            (Coverage::NotUnderstood, Coverage::NotUnderstood)
        );
    }

    #[test]
    fn a_tool_of_an_mcp_server_has_its_arguments_and_result() {
        let span = call(
            "call_mcp_tool",
            r#""status":"success","messages":[{"role":"user","content":"default-message-value"}],"metadata":{"mcp_tool_call_metadata":{"name":"lookup","arguments":{"id":"A-17"},"mcp_server_name":"orders"}},
            "response":{"meta":null,"content":[{"type":"text","text":"late","annotations":null,"meta":null}],"structured_content":null,"is_error":true,"result_type":"complete"}"#,
        );
        let tool = span.tool.as_ref().unwrap();
        assert_eq!((tool.name.as_str(), tool.arguments.as_str(), tool.result.as_deref()), ("lookup", r#"{"id":"A-17"}"#, Some("late")));
        assert_eq!((span.name.as_str(), span.status, span.attribute("mcp_server_name")), ("lookup", Status::Error, Some("orders")));
        assert_eq!((span.model, span.input_text), (None, None));
    }

    #[test]
    fn documents_of_a_reranking_are_in_the_request() {
        let span = call(
            "arerank",
            r#""status":"success","messages":[{"role":"user","content":"q"}],"model_parameters":{"query":"q","documents":["a",{"text":"b"}]},"response":{"results":[{"index":1,"relevance_score":0.9},{"index":7,"relevance_score":0.1}]}"#,
        );
        let documents: Vec<_> = span.documents.unwrap().into_iter().map(|document| (document.content, document.score)).collect();
        assert_eq!(documents, [("b".to_owned(), Some(0.9)), (String::new(), Some(0.1))]);
        assert_eq!(span.input_text.as_deref(), Some("q"));
    }
}
