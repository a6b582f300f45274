//! What only all fields of a span together tell: its kind, a tool's arguments and result, a retriever's documents, a refusal.

use super::documents;
use crate::model::{Message, Span, SpanKind};
use crate::parse::value::Value;

/// A span with what only all of its fields together tell.
pub(in crate::parse) fn settled(mut span: Span) -> Span {
    let told = span.kind;
    span.finish_reasons.retain(|reason| !reason.is_empty());
    settle_kind(&mut span);
    match span.kind {
        SpanKind::Tool => settle_tool(&mut span),
        SpanKind::Retriever => settle_documents(&mut span, told != SpanKind::Retriever),
        SpanKind::Llm => settle_refusal(&mut span),
        _ => {}
    }
    span
}

/// A span that says nothing of its kind is known by what it carries, and by its name where that is a plain word for it.
fn settle_kind(span: &mut Span) {
    if span.kind == SpanKind::Other {
        span.kind = if span.documents.is_some() {
            SpanKind::Retriever
        } else if span.tool.is_some() {
            SpanKind::Tool
        } else if !span.output.is_empty() || (span.model.is_some() && span.usage.input.is_some()) {
            SpanKind::Llm
        } else {
            SpanKind::Other
        };
    }
    let name = span.name.to_ascii_lowercase();
    if matches!(span.kind, SpanKind::Other | SpanKind::Chain) {
        if name.contains("retriev") || name.contains("vector_search") {
            span.kind = SpanKind::Retriever;
        } else if name.contains("guardrail") {
            span.kind = SpanKind::Guardrail;
        }
    }
}

/// What a tool span has in its input and output is what the tool got and gave.
fn settle_tool(span: &mut Span) {
    let name = span.name.strip_prefix("execute_tool ").unwrap_or(&span.name).trim_end_matches(".tool").to_owned();
    let tool = span.tool.get_or_insert_default();
    if tool.name.is_empty() {
        tool.name = name;
    }
    // `tool.parameters` is what the instrumentation parsed; the raw input is what the model wrote, and may not parse.
    if let Some(input) = span.input_text.take()
        && (tool.arguments.is_empty() || tool.arguments == "{}" || input.len() > 2)
    {
        tool.arguments = input;
    }
    if tool.result.is_none() {
        tool.result = span.output_text.take();
    }
}

/// A retriever's documents, where they stand only in its output: `{"documents": []}` of `LangChain`, a bare list.
fn settle_documents(span: &mut Span, kind_is_guessed: bool) {
    if span.documents.is_some() {
        return;
    }
    if kind_is_guessed && span.output_text.is_none() {
        return;
    }
    let tree = span.output_text.as_deref().and_then(Value::parse);
    let found = tree.as_ref().map(|tree| if matches!(tree, Value::List(_)) { tree } else { tree.get("documents") });
    let found = found.filter(|list| matches!(list, Value::List(_))).map(documents);
    span.documents = match (found, span.failed()) {
        (Some(found), _) => Some(found),
        // OpenInference writes nothing at all where nothing was found.
        (None, false) if span.output_text.as_deref().is_none_or(str::is_empty) => Some(Vec::new()),
        (None, _) => None,
    };
}

/// `OpenAI`'s `refusal` stands only in the raw response in several instrumentations.
fn settle_refusal(span: &mut Span) {
    if span.output.iter().any(|message| message.refusal.is_some()) {
        return;
    }
    let Some(refusal) = span.output_text.as_deref().and_then(refusal_in) else { return };
    if span.output.is_empty() {
        span.output.push(Message { role: "assistant".into(), ..Message::default() });
    }
    if let Some(last) = span.output.last_mut() {
        last.refusal = Some(refusal);
    }
}

/// The first non-empty `"refusal": "…"` of a JSON text.
fn refusal_in(text: &str) -> Option<String> {
    const KEY: &str = "\"refusal\"";
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(KEY) {
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
    use super::super::tests::span_of;
    use super::*;

    #[test]
    fn a_retriever_without_documents_found_nothing() {
        assert_eq!(span_of(&[("openinference.span.kind", "RETRIEVER"), ("input.value", "q")]).documents, Some(vec![]));
        let langchain =
            span_of(&[("openinference.span.kind", "RETRIEVER"), ("output.value", "{\"documents\": [{\"page_content\": \"x\"}]}")]);
        assert_eq!(langchain.documents.unwrap()[0].content, "x");
    }

    #[test]
    fn a_refusal_is_found_in_the_raw_response() {
        let span = span_of(&[
            ("openinference.span.kind", "LLM"),
            ("output.value", r#"{"choices":[{"message":{"content":null,"refusal":"I \"can't\""}}]}"#),
        ]);
        assert_eq!(span.output[0].refusal.as_deref(), Some("I \"can't\""));
        assert_eq!(refusal_in(r#"{"refusal":null,"x":{"refusal": ""}}"#), None);
    }

    #[test]
    fn a_tool_span_takes_its_input_and_output() {
        let span = span_of(&[
            ("openinference.span.kind", "TOOL"),
            ("input.value", "{\"city\": \"Paris\""),
            ("tool.parameters", "{}"),
            ("output.value", "42"),
        ]);
        let tool = span.tool.unwrap();
        assert_eq!((tool.name.as_str(), tool.arguments.as_str(), tool.result.as_deref()), ("step", "{\"city\": \"Paris\"", Some("42")));
    }
}
