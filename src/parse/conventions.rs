//! Attributes -> the fields of a [`Span`], for every semantic convention that traces of LLM applications use:
//!
//! - `OpenInference` <https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md>: `openinference.span.kind`,
//!   `llm.input_messages.N.message.*`, `retrieval.documents.N.document.*`, `tool.*`, `input.value`.
//! - OpenTelemetry `GenAI` <https://opentelemetry.io/docs/specs/semconv/gen-ai/>: `gen_ai.operation.name`, `gen_ai.input.messages` as
//!   JSON text or as nested values, `gen_ai.tool.call.*`, `gen_ai.retrieval.documents`.
//! - Langfuse over OTLP: `langfuse.observation.{type,input,output}`.
//! - `OpenLLMetry` (Traceloop): `traceloop.span.kind`, `traceloop.entity.*`, and before 0.50 `gen_ai.prompt.N.*`, `gen_ai.completion.N.*`.
//!
//! Quirks seen in real exports: finish reasons stand in `llm.finish_reason` or only inside `output.value`; `refusal` of `OpenAI`'s
//! API likewise; `OpenInference` leaves `retrieval.documents` out altogether where nothing was found.

use std::borrow::Cow;

use super::messages;
use super::value::Value;
use crate::model::{Attribute, Document, Exception, Message, Span, SpanKind, Status, ToolUse};

/// Indexes beyond this are kept as plain attributes: a hostile index must not size a list.
const INDEX_MAX: usize = 10_000;

/// Puts attributes into the fields of a span, one at a time, then settles what only all of them together tell.
pub(super) struct SpanAttributes {
    span: Span,
    documents: Vec<Document>,
    prompts: Vec<Message>,
    completions: Vec<Message>,
    /// What events on the span say, which counts where its attributes do not.
    said: Option<Box<Span>>,
    /// Messages or a text, which only the kind of the span tells.
    langfuse_input: Option<String>,
    langfuse_output: Option<String>,
}

impl SpanAttributes {
    /// Starts from what the format itself says of the span.
    pub(super) fn new(span: Span) -> Self {
        Self {
            span,
            documents: Vec::new(),
            prompts: Vec::new(),
            completions: Vec::new(),
            said: None,
            langfuse_input: None,
            langfuse_output: None,
        }
    }

    /// Takes one attribute.
    pub(super) fn set(&mut self, key: Cow<'_, str>, value: Value<'_>) {
        if let Some(value) = self.set_known(&key, value)
            && let Some(value) = value.into_text()
        {
            self.span.attributes.push(Attribute { key: key.into_owned(), value });
        }
    }

    /// Takes an attribute that a convention names; gives the value back where none does.
    fn set_known<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        match key.split_once('.').map(|(first, _)| first) {
            Some("openinference" | "llm" | "input" | "output" | "retrieval" | "tool" | "tool_call") => self.set_openinference(key, value),
            Some("gen_ai") => self.set_gen_ai(key, value),
            Some("traceloop") => self.set_traceloop(key, value),
            Some("langfuse") => self.set_langfuse(key, value),
            Some("error") if key == "error.type" => {
                self.span.error_type = value.into_text();
                None
            }
            _ => Some(value),
        }
    }

    fn set_openinference<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        let span = &mut self.span;
        match key {
            "openinference.span.kind" => {
                span.kind = value.as_str().and_then(openinference_kind).unwrap_or(SpanKind::Other);
            }
            "input.value" => span.input_text = value.into_text(),
            "output.value" => span.output_text = value.into_text(),
            "llm.model_name" => span.model = value.into_text(),
            "llm.provider" => span.provider = value.into_text(),
            "llm.system" => span.provider = span.provider.take().or(value.into_text()),
            "llm.finish_reason" => span.finish_reasons.extend(value.into_texts()),
            "llm.token_count.prompt" | "llm.usage.prompt_tokens" => span.usage.input = value.as_u64(),
            "llm.token_count.completion" | "llm.usage.completion_tokens" => span.usage.output = value.as_u64(),
            "tool.name" => self.tool().name = value.into_text().unwrap_or_default(),
            "tool.parameters" => {
                let tool = self.tool();
                if tool.arguments.is_empty() {
                    tool.arguments = value.into_text().unwrap_or_default();
                }
            }
            "tool_call.id" => self.tool().call_id = value.into_text(),
            "llm.request.type" => {
                span.kind = SpanKind::Llm;
                return Some(value);
            }
            _ => return self.set_openinference_item(key, value),
        }
        None
    }

    /// `llm.output_messages.0.message.tool_calls.1.tool_call.function.name` and its like.
    fn set_openinference_item<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        for (prefix, is_input) in [("llm.input_messages.", true), ("llm.output_messages.", false)] {
            if let Some((index, rest)) = key.strip_prefix(prefix).and_then(indexed) {
                let list = if is_input { &mut self.span.input } else { &mut self.span.output };
                return set_message_part(item(list, index)?, rest.strip_prefix("message.").unwrap_or(rest), value);
            }
            if key.strip_prefix(prefix.trim_end_matches('.')).is_some_and(str::is_empty) {
                let Some(tree) = value.tree() else { return Some(value) };
                let (found, reasons) = messages::from_tree(&without_message_prefix(&tree))?;
                if is_input {
                    self.span.input = found;
                } else {
                    self.span.output = found;
                    self.span.finish_reasons.extend(reasons);
                }
                return None;
            }
        }
        if let Some((index, rest)) = key.strip_prefix("retrieval.documents.").and_then(indexed) {
            let document = item(&mut self.documents, index)?;
            match rest.strip_prefix("document.").unwrap_or(rest) {
                "content" => document.content = value.into_text().unwrap_or_default(),
                "id" => document.id = value.into_text(),
                "score" => document.score = value.as_f64(),
                _ => return Some(value),
            }
            return None;
        }
        if key == "retrieval.documents" {
            self.span.documents = Some(value.tree().map(|tree| documents(&tree)).unwrap_or_default());
            return None;
        }
        if let Some((_, "tool.json_schema")) = key.strip_prefix("llm.tools.").and_then(indexed) {
            self.span.tools_offered.extend(value.tree().and_then(|tree| messages::tool_name(&tree)));
            return Some(value);
        }
        if key == "llm.tools" {
            let tree = value.tree();
            let schemas =
                tree.iter().flat_map(|tree| tree.items()).filter_map(|tool| tool.first(&["tool.json_schema", "json_schema"]).tree());
            let names: Vec<String> = schemas.filter_map(|schema| messages::tool_name(&schema)).collect();
            self.span.tools_offered.extend(names);
            return Some(value);
        }
        if let Some((_, "name")) = key.strip_prefix("llm.request.functions.").and_then(indexed) {
            self.span.tools_offered.extend(value.into_text());
            return None;
        }
        Some(value)
    }

    fn set_gen_ai<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        let span = &mut self.span;
        match key {
            "gen_ai.operation.name" => {
                if let Some(kind) = value.as_str().and_then(operation_kind) {
                    span.kind = kind;
                }
            }
            "gen_ai.provider.name" => span.provider = value.into_text(),
            "gen_ai.system" => span.provider = span.provider.take().or(value.into_text()),
            "gen_ai.response.model" => span.model = value.into_text(),
            "gen_ai.request.model" => span.model = span.model.take().or(value.into_text()),
            "gen_ai.response.finish_reasons" => span.finish_reasons.extend(value.into_texts()),
            "gen_ai.usage.input_tokens" | "gen_ai.usage.prompt_tokens" => span.usage.input = value.as_u64(),
            "gen_ai.usage.output_tokens" | "gen_ai.usage.completion_tokens" => span.usage.output = value.as_u64(),
            "gen_ai.tool.name" => self.tool().name = value.into_text().unwrap_or_default(),
            "gen_ai.tool.call.id" => self.tool().call_id = value.into_text(),
            "gen_ai.tool.call.arguments" => self.tool().arguments = value.into_text().unwrap_or_default(),
            "gen_ai.tool.call.result" => self.tool().result = value.into_text(),
            "gen_ai.input.messages" | "gen_ai.output.messages" => {
                let Some((found, reasons)) = value.tree().and_then(|tree| messages::from_tree(&tree)) else { return Some(value) };
                if key == "gen_ai.input.messages" {
                    span.input = found;
                } else {
                    span.output = found;
                    if span.finish_reasons.is_empty() {
                        span.finish_reasons = reasons;
                    }
                }
            }
            "gen_ai.tool.definitions" => {
                span.tools_offered =
                    value.tree().map(|tree| tree.items().iter().filter_map(messages::tool_name).collect()).unwrap_or_default();
            }
            "gen_ai.retrieval.documents" => {
                span.documents = Some(value.tree().map(|tree| documents(&tree)).unwrap_or_default());
            }
            "gen_ai.retrieval.query.text" => span.input_text = value.into_text(),
            _ => return self.set_gen_ai_item(key, value),
        }
        None
    }

    /// The indexed keys of `OpenLLMetry` before 0.50: `gen_ai.completion.0.tool_calls.0.name`.
    fn set_gen_ai_item<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        if let Some((index, rest)) = key.strip_prefix("gen_ai.prompt.").and_then(indexed) {
            return set_message_part(item(&mut self.prompts, index)?, rest, value);
        }
        if let Some((index, rest)) = key.strip_prefix("gen_ai.completion.").and_then(indexed) {
            if rest == "finish_reason" {
                self.span.finish_reasons.extend(value.into_text());
                return None;
            }
            return set_message_part(item(&mut self.completions, index)?, rest, value);
        }
        Some(value)
    }

    fn set_traceloop<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        match key {
            "traceloop.span.kind" => {
                if let (Some(kind), SpanKind::Other) = (value.as_str().and_then(traceloop_kind), self.span.kind) {
                    self.span.kind = kind;
                }
            }
            "traceloop.entity.input" => self.span.input_text = value.into_text().map(unquoted),
            "traceloop.entity.output" => self.span.output_text = value.into_text().map(unquoted),
            _ => return Some(value),
        }
        None
    }

    fn set_langfuse<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        let span = &mut self.span;
        match key {
            "langfuse.observation.type" => span.kind = value.as_str().map(langfuse_kind).unwrap_or_default(),
            "langfuse.observation.input" => self.langfuse_input = value.into_text(),
            "langfuse.observation.output" => self.langfuse_output = value.into_text(),
            "langfuse.observation.model.name" => span.model = value.into_text(),
            "langfuse.observation.usage_details" => {
                let Some(details) = value.tree() else { return Some(value) };
                span.usage.input = span.usage.input.or(details.first(&["input", "prompt_tokens", "input_tokens"]).as_u64());
                span.usage.output = span.usage.output.or(details.first(&["output", "completion_tokens", "output_tokens"]).as_u64());
            }
            _ => return Some(value),
        }
        None
    }

    fn tool(&mut self) -> &mut ToolUse {
        self.span.tool.get_or_insert_default()
    }

    /// Takes one event on the span: an exception, or messages as the `GenAI` conventions had them there before 1.37.
    pub(super) fn event<'v>(&mut self, name: &str, attributes: impl IntoIterator<Item = (Cow<'v, str>, Value<'v>)>) {
        let attributes = attributes.into_iter();
        if name == "exception" {
            let exception = exception(attributes.map(|(key, value)| (key.into_owned(), value.into_text())));
            self.span.exceptions.push(exception);
        } else if name.starts_with("gen_ai.") {
            add_span_event(self.said.get_or_insert_default(), name, &Value::Map(attributes.collect()));
        }
    }

    /// The span, once all attributes are in.
    pub(super) fn finish(mut self) -> Span {
        if !self.prompts.is_empty() {
            self.span.input = self.prompts;
        }
        if !self.completions.is_empty() {
            self.span.output = self.completions;
        }
        if !self.documents.is_empty() {
            self.span.documents = Some(self.documents);
        }
        if let Some(said) = self.said {
            let span = &mut self.span;
            if span.input.is_empty() {
                span.input = said.input;
            }
            if span.output.is_empty() {
                span.output = said.output;
            }
            if span.finish_reasons.is_empty() {
                span.finish_reasons = said.finish_reasons;
            }
        }
        if let Some(text) = self.langfuse_input {
            set_input(&mut self.span, Value::Text(Cow::Owned(text)));
        }
        if let Some(text) = self.langfuse_output {
            set_output(&mut self.span, Value::Text(Cow::Owned(text)));
        }
        settled(self.span)
    }
}

/// A span with what only all of its fields together tell.
pub(super) fn settled(mut span: Span) -> Span {
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

/// Takes what went in: of a model call messages, with the tools that were offered; else, or where there are none, one text.
pub(super) fn set_input(span: &mut Span, value: Value<'_>) {
    let found = if span.kind == SpanKind::Llm { value.tree().and_then(|tree| messages::conversation(&tree)) } else { None };
    match found {
        Some(found) => {
            span.input = found.messages;
            span.tools_offered.extend(found.tools);
        }
        None => span.input_text = value.into_text().filter(|text| !text.is_empty()),
    }
}

/// Takes what came out: of a model call messages, with the reason why they end; else, or where there are none, one text.
pub(super) fn set_output(span: &mut Span, value: Value<'_>) {
    let found = if span.kind == SpanKind::Llm { value.tree().and_then(|tree| messages::conversation(&tree)) } else { None };
    match found {
        Some(found) => {
            span.output = found.messages;
            span.finish_reasons.extend(found.finish_reasons);
        }
        None => span.output_text = value.into_text().filter(|text| !text.is_empty()),
    }
}

/// The kind of a Langfuse observation: `GENERATION`, `TOOL`, `SPAN` …
pub(super) fn langfuse_kind(word: &str) -> SpanKind {
    match word.to_ascii_lowercase().as_str() {
        "generation" => SpanKind::Llm,
        "span" | "evaluator" => SpanKind::Chain,
        word => SpanKind::from_word(word).unwrap_or(SpanKind::Other),
    }
}

/// `OpenLLMetry` writes what a function returned as JSON, so a returned text stands in quotes.
fn unquoted(text: String) -> String {
    if text.starts_with('"') { serde_json::from_str(&text).unwrap_or(text) } else { text }
}

/// What an exception event says; the attributes that are none of its own are dropped with the event.
pub(super) fn exception(attributes: impl IntoIterator<Item = (String, Option<String>)>) -> Exception {
    let mut exception = Exception::default();
    for (key, value) in attributes {
        match key.as_str() {
            "exception.type" => exception.kind = value.unwrap_or_default(),
            "exception.message" => exception.message = value.unwrap_or_default(),
            "exception.stacktrace" => exception.stack = value,
            _ => {}
        }
    }
    exception
}

/// The kind of a span in `OpenInference`'s words.
pub(super) fn openinference_kind(word: &str) -> Option<SpanKind> {
    match word.to_ascii_uppercase().as_str() {
        "PROMPT" | "EVALUATOR" | "RERANKER" => Some(SpanKind::Chain),
        other => SpanKind::from_word(other),
    }
}

fn operation_kind(word: &str) -> Option<SpanKind> {
    match word {
        "chat" | "text_completion" | "generate_content" | "completion" => Some(SpanKind::Llm),
        "execute_tool" => Some(SpanKind::Tool),
        "invoke_agent" | "create_agent" => Some(SpanKind::Agent),
        "invoke_workflow" => Some(SpanKind::Chain),
        "retrieval" => Some(SpanKind::Retriever),
        "embeddings" => Some(SpanKind::Embedding),
        _ => None,
    }
}

fn traceloop_kind(word: &str) -> Option<SpanKind> {
    match word {
        "workflow" | "task" => Some(SpanKind::Chain),
        "agent" => Some(SpanKind::Agent),
        "tool" => Some(SpanKind::Tool),
        _ => None,
    }
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

fn set_message_part<'v>(message: &mut Message, part: &str, value: Value<'v>) -> Option<Value<'v>> {
    match part {
        "role" => message.role = value.into_text().unwrap_or_default(),
        "content" => message.content = value.into_text().unwrap_or_default(),
        "refusal" => message.refusal = value.into_text(),
        "tool_call_id" => message.tool_call_id = value.into_text(),
        "name" | "function_call_name" => return Some(value),
        _ => {
            if let Some((_, rest)) = part.strip_prefix("contents.").and_then(indexed) {
                if rest.ends_with("text") {
                    let text = value.into_text().unwrap_or_default();
                    if !message.content.is_empty() {
                        message.content.push('\n');
                    }
                    message.content.push_str(&text);
                    return None;
                }
                return Some(value);
            }
            let Some((index, rest)) = part.strip_prefix("tool_calls.").and_then(indexed) else { return Some(value) };
            let call = item(&mut message.tool_calls, index)?;
            match rest.strip_prefix("tool_call.").unwrap_or(rest) {
                "id" => call.id = value.into_text(),
                "function.name" | "name" => call.name = value.into_text().unwrap_or_default(),
                "function.arguments" | "arguments" => call.arguments = value.into_text().unwrap_or_default(),
                _ => return Some(value),
            }
        }
    }
    None
}

/// The list item at `index`, with the list grown to it; nothing for a hostile index.
fn item<T: Default>(list: &mut Vec<T>, index: usize) -> Option<&mut T> {
    if index >= INDEX_MAX {
        return None;
    }
    if list.len() <= index {
        list.resize_with(index + 1, T::default);
    }
    list.get_mut(index)
}

/// Splits `3.message.role` into `(3, "message.role")`.
fn indexed(rest: &str) -> Option<(usize, &str)> {
    let (index, rest) = rest.split_once('.')?;
    Some((index.parse().ok()?, rest))
}

/// Documents of `[{"id", "content" | "page_content" | "document.content", "score"}]`; `LangChain` has id and score in `metadata`.
pub(super) fn documents(tree: &Value<'_>) -> Vec<Document> {
    let document = |item: &Value<'_>| {
        let metadata = item.get("metadata");
        let id = item.first(&["id", "document.id"]);
        let score = item.first(&["score", "document.score"]);
        Document {
            id: if id.is_null() { metadata.get("id") } else { id }.as_id(),
            content: item.first(&["content", "page_content", "text", "document.content"]).to_text(),
            score: if score.is_null() { metadata.get("score") } else { score }.as_f64(),
        }
    };
    tree.items().iter().map(document).collect()
}

/// Phoenix keeps `message.role` as field names inside the list; cuts the prefixes so that one reader serves both.
fn without_message_prefix<'v>(tree: &'v Value<'_>) -> Value<'v> {
    match tree {
        Value::List(items) => Value::List(items.iter().map(without_message_prefix).collect()),
        Value::Map(fields) => {
            let renamed = fields.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| {
                let cut = ["message.", "tool_call.", "message_content."].iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(key);
                let cut = cut.strip_prefix("function.").unwrap_or(cut);
                (Cow::Borrowed(if cut == "contents" { "parts" } else { cut }), without_message_prefix(value))
            });
            Value::Map(renamed.collect())
        }
        Value::Text(text) => Value::Text(Cow::Borrowed(text)),
        other => other.clone(),
    }
}

/// Whether a status word or number says error or ok.
pub(super) fn status(word: &str) -> Status {
    match word {
        "ERROR" | "STATUS_CODE_ERROR" | "error" | "2" => Status::Error,
        "OK" | "STATUS_CODE_OK" | "ok" | "1" => Status::Ok,
        _ => Status::Unset,
    }
}

/// Adds what an event on a span says: `gen_ai.content.prompt` with the messages as JSON text, `gen_ai.user.message` with the message in
/// `gen_ai.event.content` or in its own attributes, or the details of a whole call.
fn add_span_event(span: &mut Span, name: &str, attributes: &Value<'_>) {
    let messages_at = |key: &str| -> (Vec<Message>, Vec<String>) {
        let value = attributes.get(key);
        let found = value.tree().and_then(|tree| messages::from_tree(&tree)).filter(|(found, _)| !found.is_empty());
        found.unwrap_or_else(|| {
            let content = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            (content.map(|content| Message { content, ..Message::default() }).into_iter().collect(), Vec::new())
        })
    };
    let (input, output) = match name {
        "gen_ai.content.prompt" | "gen_ai.content.completion" => ("gen_ai.prompt", "gen_ai.completion"),
        "gen_ai.client.inference.operation.details" => ("gen_ai.input.messages", "gen_ai.output.messages"),
        _ => {
            return match attributes.get("gen_ai.event.content").tree() {
                Some(body) => add_event(span, name, &body),
                None => add_event(span, name, attributes),
            };
        }
    };
    span.input.extend(messages_at(input).0);
    let (found, reasons) = messages_at(output);
    span.output.extend(found);
    span.finish_reasons.extend(reasons);
}

/// Adds what a log record says to the span it belongs to: messages of the `GenAI` events.
pub(super) fn add_event(span: &mut Span, name: &str, body: &Value<'_>) {
    let role = name.strip_prefix("gen_ai.").and_then(|rest| rest.strip_suffix(".message"));
    if let Some(role) = role {
        let mut message = messages::message(body).unwrap_or_default();
        if message.role.is_empty() {
            role.clone_into(&mut message.role);
        }
        span.input.push(message);
    } else if name == "gen_ai.choice" {
        span.finish_reasons.extend(body.text_at("finish_reason"));
        let mut message = messages::message(body.get("message")).unwrap_or_default();
        if message.role.is_empty() {
            "assistant".clone_into(&mut message.role);
        }
        if message.tool_calls.is_empty() {
            message.tool_calls = body.get("tool_calls").items().iter().filter_map(messages::tool_call).collect();
        }
        span.output.push(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span_of(attributes: &[(&'static str, &'static str)]) -> Span {
        let mut span = SpanAttributes::new(Span { name: "step".into(), ..Span::default() });
        for (key, value) in attributes {
            span.set(Cow::Borrowed(*key), Value::Text(Cow::Borrowed(*value)));
        }
        span.finish()
    }

    #[test]
    fn openinference_messages_are_unflattened() {
        let span = span_of(&[
            ("openinference.span.kind", "LLM"),
            ("llm.output_messages.0.message.role", "assistant"),
            ("llm.output_messages.0.message.tool_calls.0.tool_call.function.name", "f"),
            ("llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments", "{\"x\""),
            ("llm.output_messages.999999999.message.role", "hostile"),
            ("user.id", "u"),
        ]);
        assert_eq!(span.kind, SpanKind::Llm);
        assert_eq!(span.output.len(), 1);
        assert_eq!(span.output[0].tool_calls[0].arguments, "{\"x\"");
        assert_eq!(span.attribute("user.id"), Some("u"));
    }

    #[test]
    fn openllmetry_completions_become_messages() {
        let span = span_of(&[
            ("llm.request.type", "chat"),
            ("gen_ai.completion.0.content", "hi"),
            ("gen_ai.completion.0.finish_reason", "length"),
            ("gen_ai.completion.0.tool_calls.0.name", "f"),
        ]);
        assert_eq!((span.kind, span.output[0].content.as_str()), (SpanKind::Llm, "hi"));
        assert_eq!(span.finish_reasons, ["length"]);
        assert_eq!(span.output[0].tool_calls[0].name, "f");
    }

    #[test]
    fn messages_in_events_count_where_attributes_have_none() {
        let text = |key: &'static str, value: &'static str| (Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)));
        let mut span = SpanAttributes::new(Span::default());
        span.event("gen_ai.user.message", [text("gen_ai.event.content", r#"{"role":"user","content":"hi"}"#)]);
        span.event("gen_ai.system.message", [text("content", "Be brief.")]);
        span.event("gen_ai.choice", [text("gen_ai.event.content", r#"{"finish_reason":"length","message":{"content":"cut"}}"#)]);
        span.event("exception", [text("exception.type", "E"), text("exception.message", "m")]);
        let span = span.finish();
        assert_eq!(span.input.iter().map(|message| message.role.as_str()).collect::<Vec<_>>(), ["user", "system"]);
        assert_eq!((span.kind, span.output[0].content.as_str(), span.finish_reasons[0].as_str()), (SpanKind::Llm, "cut", "length"));
        assert_eq!(span.exceptions[0].kind, "E");
        let mut old = SpanAttributes::new(Span::default());
        old.event("gen_ai.content.prompt", [text("gen_ai.prompt", r#"[{"role":"user","content":"old"}]"#)]);
        old.event("gen_ai.content.completion", [text("gen_ai.completion", "plain")]);
        let old = old.finish();
        assert_eq!((old.input[0].content.as_str(), old.output[0].content.as_str()), ("old", "plain"));
        let mut own = SpanAttributes::new(Span::default());
        own.event("gen_ai.user.message", [text("content", "event")]);
        own.set("gen_ai.input.messages".into(), Value::Text(r#"[{"role":"user","content":"attribute"}]"#.into()));
        assert_eq!(own.finish().input[0].content, "attribute");
    }

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
