//! Traces and spans, independent of the format that they were read from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Annotation, PartSet, hex};

/// One recorded run of an LLM application: an id and its spans, ordered by start time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// OTLP ids as lower-case hex, others as in the source.
    pub trace_id: String,
    /// The service that ran it. If spans disagree, that of the root span.
    pub service: Option<String>,
    /// `production`, `staging` …
    pub environment: Option<String>,
    /// Attributes of the resource and of the trace as a whole that describe the deployment: `service.version`, `cloud.region`. They are not part of the
    /// digest.
    pub resource: Vec<Attribute>,
    /// Redaction token of the user's id. Set by redaction, which is the last to see the id.
    pub user: Option<String>,
    /// Redaction token of the id of the session or conversation; see [`Self::user`].
    pub session: Option<String>,
    /// The format of the object that contains the root span.
    pub format: Option<&'static str>,
    /// The object that contains the root span, or the first span if there is no root.
    pub source: Source,
    /// The objects that its spans and additions are from, sorted; empty if there are more than [`TRACE_OBJECTS_MAX`](crate::limits::TRACE_OBJECTS_MAX).
    pub source_uris: Vec<String>,
    /// Ordered by start time, then id; never empty after gathering.
    pub spans: Vec<Span>,
    /// Defects of the input that did not cause a rejection, such as `2 spans were delivered twice`.
    pub notes: Vec<String>,
}

/// The object that a record was read from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Source {
    /// `s3://bucket/key` or an absolute local path.
    pub uri: String,
}

/// One step of a run.
///
/// Attributes that a convention defines (messages, tool calls, documents) have their own fields; all others are in `attributes` as text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Span {
    /// As in the source; lower-case hex for OTLP.
    pub span_id: String,
    /// `None` for a root span.
    pub parent_span_id: Option<String>,
    /// As set by the instrumentation: `ChatCompletion`, `lookup_order`.
    pub name: String,
    /// The kind of step.
    pub kind: SpanKind,
    /// Start in nanoseconds since 1970, UTC.
    pub started_at_ns: Option<i64>,
    /// End in nanoseconds since 1970, UTC; `None` if the span never ended.
    pub ended_at_ns: Option<i64>,
    /// The status set by the instrumentation.
    pub status: Status,
    /// The description of an error status.
    pub status_message: Option<String>,
    /// `error.type`, unless an exception event already has it.
    pub error_type: Option<String>,
    /// Exceptions recorded on the span, in order.
    pub exceptions: Vec<Exception>,
    /// The model that answered or, if unknown, the requested one.
    pub model: Option<String>,
    /// `openai`, `anthropic`, `gcp.vertex_ai` …
    pub provider: Option<String>,
    /// As reported by the provider: `stop`, `length`, `SAFETY`.
    pub finish_reasons: Vec<String>,
    /// Model tokens as counted by the provider.
    pub usage: TokenUsage,
    /// Input messages.
    pub input: Vec<Message>,
    /// Output messages.
    pub output: Vec<Message>,
    /// The input as one text, if it does not consist of messages.
    pub input_text: Option<String>,
    /// The output as one text, if it does not consist of messages.
    pub output_text: Option<String>,
    /// For a tool span: the call and its result.
    pub tool: Option<ToolUse>,
    /// Names of the tools offered to the model.
    pub tools_offered: Vec<String>,
    /// For a retriever span: the retrieved documents, `Some` and empty if there were none.
    pub documents: Option<Vec<Document>>,
    /// Ratings by people and evaluators.
    pub annotations: Vec<Annotation>,
    /// All other attributes, in source order.
    pub attributes: Vec<Attribute>,
    /// Number of fields that could not be read: they had the wrong type or no key. Gathering stores it separately, so that it does not
    /// change the digest of the trace.
    #[serde(skip)]
    pub unread_fields: u32,
    /// Number of fields whose JSON was cut off by the exporter and was read up to that point. Stored like `unread_fields`.
    #[serde(skip)]
    pub truncated_fields: u32,
    /// The parts that are recorded in a form that failsift does not understand. Stored like `unread_fields`.
    #[serde(skip)]
    pub not_understood: PartSet,
    /// The parts that were recognized by their shape, because no convention describes the attribute. Stored like `unread_fields`.
    #[serde(skip)]
    pub inferred: PartSet,
    /// Cost of the call in US dollars, for formats that record it in a field of its own. Other costs are attributes; see
    /// [`RunContext`](super::RunContext). Stored like `unread_fields`.
    #[serde(skip)]
    pub cost_usd: Option<f64>,
    /// The instrumentation that recorded the span, if the format names it: the scope of OTLP. For `failsift inspect`; not stored.
    #[serde(skip)]
    pub instrumentation: Option<Arc<str>>,
    /// The main semantic convention of its attributes. For `failsift inspect`; not stored.
    #[serde(skip)]
    pub convention: Option<&'static str>,
}

/// The kind of step that a span represents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum SpanKind {
    /// A call of a model.
    Llm,
    /// A call of a tool.
    Tool,
    /// A search for documents.
    Retriever,
    /// A turn or run of an agent.
    Agent,
    /// A step that groups other steps.
    Chain,
    /// An embedding call.
    Embedding,
    /// A check of input or output.
    Guardrail,
    /// Anything else.
    #[default]
    Other,
}

impl SpanKind {
    /// The word used in rules, schemas and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Llm => "llm",
            Self::Tool => "tool",
            Self::Retriever => "retriever",
            Self::Agent => "agent",
            Self::Chain => "chain",
            Self::Embedding => "embedding",
            Self::Guardrail => "guardrail",
            Self::Other => "other",
        }
    }

    /// Parses the words of [`Self::as_str`] in any case; `OpenInference` writes them in upper case.
    pub fn from_word(word: &str) -> Option<Self> {
        const ALL: [SpanKind; 8] = [
            SpanKind::Llm,
            SpanKind::Tool,
            SpanKind::Retriever,
            SpanKind::Agent,
            SpanKind::Chain,
            SpanKind::Embedding,
            SpanKind::Guardrail,
            SpanKind::Other,
        ];
        ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(word))
    }
}

/// The status of a span as OpenTelemetry defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Status {
    /// Not set.
    #[default]
    Unset,
    /// Set to ok.
    Ok,
    /// Set to error.
    Error,
}

/// One recorded exception.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exception {
    /// As written: `openai.RateLimitError`.
    pub kind: String,
    /// Its message.
    pub message: String,
    /// Its stack trace, if recorded.
    pub stack: Option<String>,
}

/// One chat message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, or the name of an agent.
    pub role: String,
    /// Text parts, joined by line feeds.
    pub content: String,
    /// The model's refusal, for providers that report it separately.
    pub refusal: Option<String>,
    /// Tool calls requested by the message.
    pub tool_calls: Vec<ToolCall>,
    /// For a tool result: the id of its call.
    pub tool_call_id: Option<String>,
}

/// A tool call requested by a model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToolCall {
    /// Links the call to its result.
    pub id: Option<String>,
    /// Name of the tool.
    pub name: String,
    /// JSON text as written by the model, which may be invalid.
    pub arguments: String,
}

/// An executed tool call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToolUse {
    /// Name of the tool.
    pub name: String,
    /// Id of the model's tool call.
    pub call_id: Option<String>,
    /// JSON text or plain text.
    pub arguments: String,
    /// The result, if recorded.
    pub result: Option<String>,
}

/// A document returned by a retriever.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Document {
    /// Its id in the document store.
    pub id: Option<String>,
    /// Its text.
    pub content: String,
    /// The retriever's score, on the retriever's scale.
    pub score: Option<f64>,
}

/// An attribute. Strings are kept unchanged, other values are written as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attribute {
    /// Dotted name.
    pub key: String,
    /// Value as text.
    pub value: String,
}

/// The role of a text in a trace, which decides how it is redacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextKind<'n> {
    /// Free text of people, models and programs.
    Text,
    /// The dotted name of an attribute.
    AttributeName,
    /// The value of the attribute with this name.
    ValueOf(&'n str),
}

/// Model tokens of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Tokens of the prompt.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
}

impl Trace {
    /// Start of the earliest span, in nanoseconds since 1970.
    pub fn started_at_ns(&self) -> Option<i64> {
        self.spans.iter().filter_map(|span| span.started_at_ns).min()
    }

    /// End of the latest span, in nanoseconds since 1970.
    pub fn ended_at_ns(&self) -> Option<i64> {
        self.spans.iter().filter_map(|span| span.ended_at_ns).max()
    }

    /// The first span without a parent, or the first span.
    pub fn root(&self) -> Option<&Span> {
        self.spans.get(self.root_index()?)
    }

    /// The index of [`Self::root`].
    pub fn root_index(&self) -> Option<usize> {
        let root = self.spans.iter().position(|span| span.parent_span_id.is_none());
        root.or_else(|| (!self.spans.is_empty()).then_some(0))
    }

    /// SHA-256 of the service, the environment and the spans, as hex.
    pub fn digest(&self) -> String {
        struct Hashing(Sha256);
        impl std::io::Write for Hashing {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.update(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        // Neither hashing nor encoding plain data can fail.
        let hashing = postcard::to_io(
            &(&self.service, &self.environment, &self.spans),
            std::io::BufWriter::with_capacity(16 * 1024, Hashing(Sha256::new())),
        );
        let hash = hashing.ok().and_then(|writer| writer.into_inner().ok()).map(|hashing| hashing.0.finalize()).unwrap_or_default();
        hex(&hash)
    }

    /// Calls `visit` with every text of the trace that may contain user input, for redaction. Ids are visited by [`Self::ids_mut`].
    pub fn texts_mut(&mut self, visit: &mut dyn FnMut(TextKind<'_>, &mut String)) {
        self.service.iter_mut().for_each(|text| visit(TextKind::Text, text));
        self.environment.iter_mut().for_each(|text| visit(TextKind::Text, text));
        for span in &mut self.spans {
            span.texts_mut(visit);
        }
        for attribute in &mut self.resource {
            visit(TextKind::AttributeName, &mut attribute.key);
            visit(TextKind::ValueOf(&attribute.key), &mut attribute.value);
        }
    }

    /// Calls `visit` with the ids of the trace, its spans and its tool calls. In some formats they are arbitrary text.
    pub fn ids_mut(&mut self, visit: &mut dyn FnMut(&mut String)) {
        visit(&mut self.trace_id);
        for span in &mut self.spans {
            visit(&mut span.span_id);
            span.parent_span_id.iter_mut().for_each(&mut *visit);
            for message in span.input.iter_mut().chain(&mut span.output) {
                message.tool_call_id.iter_mut().for_each(&mut *visit);
                message.tool_calls.iter_mut().filter_map(|call| call.id.as_mut()).for_each(&mut *visit);
            }
            span.tool.iter_mut().filter_map(|tool| tool.call_id.as_mut()).for_each(&mut *visit);
        }
    }
}

impl Span {
    /// Whether the span failed: it has an error status, or an exception and no status.
    pub fn failed(&self) -> bool {
        self.status == Status::Error || (self.status == Status::Unset && !self.exceptions.is_empty())
    }

    /// The value of an attribute that no convention defines.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.key == key).map(|attribute| attribute.value.as_str())
    }

    /// Calls `visit_kind` with every text of the span, for redaction. Includes all texts of [`Span::fields`].
    pub fn texts_mut(&mut self, visit_kind: &mut dyn FnMut(TextKind<'_>, &mut String)) {
        let mut visit = |text: &mut String| visit_kind(TextKind::Text, text);
        visit(&mut self.name);
        for text in [
            &mut self.status_message,
            &mut self.error_type,
            &mut self.model,
            &mut self.provider,
            &mut self.input_text,
            &mut self.output_text,
        ] {
            text.iter_mut().for_each(&mut visit);
        }
        for exception in &mut self.exceptions {
            visit(&mut exception.kind);
            visit(&mut exception.message);
            exception.stack.iter_mut().for_each(&mut visit);
        }
        self.finish_reasons.iter_mut().for_each(&mut visit);
        for message in self.input.iter_mut().chain(&mut self.output) {
            visit(&mut message.role);
            visit(&mut message.content);
            message.refusal.iter_mut().for_each(&mut visit);
            for call in &mut message.tool_calls {
                visit(&mut call.name);
                visit(&mut call.arguments);
            }
        }
        if let Some(tool) = &mut self.tool {
            visit(&mut tool.name);
            visit(&mut tool.arguments);
            tool.result.iter_mut().for_each(&mut visit);
        }
        self.tools_offered.iter_mut().for_each(&mut visit);
        for document in self.documents.iter_mut().flatten() {
            document.id.iter_mut().for_each(&mut visit);
            visit(&mut document.content);
        }
        for annotation in &mut self.annotations {
            visit(&mut annotation.name);
            annotation.label.iter_mut().for_each(&mut visit);
            annotation.comment.iter_mut().for_each(&mut visit);
        }
        for attribute in &mut self.attributes {
            visit_kind(TextKind::AttributeName, &mut attribute.key);
            visit_kind(TextKind::ValueOf(&attribute.key), &mut attribute.value);
        }
    }

    /// Calls `visit` with the name and the text of each field that evidence can refer to, until it returns `true`. Returns whether it did.
    ///
    /// Names are those of `schemas/trace.schema.json`: `status_message`, `exceptions[0].message`, `output[1].content`,
    /// `attributes.http.url`.
    pub fn fields<'a>(&'a self, visit: &mut dyn FnMut(FieldName<'a>, &'a str) -> bool) -> bool {
        let plain: [(&'static str, Option<&'a str>); 8] = [
            ("name", Some(&self.name)),
            ("status_message", self.status_message.as_deref()),
            ("error_type", self.error_type.as_deref()),
            ("model", self.model.as_deref()),
            ("provider", self.provider.as_deref()),
            ("input_text", self.input_text.as_deref()),
            ("output_text", self.output_text.as_deref()),
            ("tool.name", self.tool.as_ref().map(|tool| tool.name.as_str())),
        ];
        for (name, text) in plain {
            if text.is_some_and(|text| visit(FieldName::Plain(name), text)) {
                return true;
            }
        }
        for (index, exception) in self.exceptions.iter().enumerate() {
            let parts = [("type", Some(&exception.kind)), ("message", Some(&exception.message)), ("stack", exception.stack.as_ref())];
            for (part, text) in parts {
                if text.is_some_and(|text| visit(FieldName::Item("exceptions", index, part), text)) {
                    return true;
                }
            }
        }
        for (index, reason) in self.finish_reasons.iter().enumerate() {
            if visit(FieldName::Item("finish_reasons", index, ""), reason) {
                return true;
            }
        }
        for (list, messages) in [("input", &self.input), ("output", &self.output)] {
            for (index, message) in messages.iter().enumerate() {
                let done = visit(FieldName::Item(list, index, "content"), &message.content)
                    || message.refusal.as_deref().is_some_and(|text| visit(FieldName::Item(list, index, "refusal"), text))
                    || message.tool_calls.iter().any(|call| {
                        visit(FieldName::Item(list, index, "tool_calls.name"), &call.name)
                            || visit(FieldName::Item(list, index, "tool_calls.arguments"), &call.arguments)
                    });
                if done {
                    return true;
                }
            }
        }
        if let Some(tool) = &self.tool
            && (visit(FieldName::Plain("tool.arguments"), &tool.arguments)
                || tool.result.as_deref().is_some_and(|text| visit(FieldName::Plain("tool.result"), text)))
        {
            return true;
        }
        for (index, name) in self.tools_offered.iter().enumerate() {
            if visit(FieldName::Item("tools_offered", index, ""), name) {
                return true;
            }
        }
        for (index, document) in self.documents.iter().flatten().enumerate() {
            if visit(FieldName::Item("documents", index, "content"), &document.content) {
                return true;
            }
        }
        for (index, annotation) in self.annotations.iter().enumerate() {
            for (part, text) in [("label", &annotation.label), ("comment", &annotation.comment)] {
                if text.as_deref().is_some_and(|text| visit(FieldName::Item("annotations", index, part), text)) {
                    return true;
                }
            }
        }
        self.attributes.iter().any(|attribute| visit(FieldName::Attribute(&attribute.key), &attribute.value))
    }
}

/// The name of a field. Cheap to create; formatted only when displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldName<'a> {
    /// `status_message`
    Plain(&'static str),
    /// `exceptions[0].message`, or `finish_reasons[0]` if the last part is empty.
    Item(&'static str, usize, &'static str),
    /// `attributes.http.url`
    Attribute(&'a str),
}

impl FieldName<'_> {
    /// Whether this is the field with a name as displayed, without formatting it: a span may have thousands of fields.
    pub fn is_named(self, name: &str) -> bool {
        match self {
            Self::Plain(plain) => plain == name,
            Self::Attribute(key) => name.strip_prefix("attributes.") == Some(key),
            Self::Item(list, index, part) => {
                let inside = name.strip_prefix(list).and_then(|rest| rest.strip_prefix('['));
                let Some((number, rest)) = inside.and_then(|inside| inside.split_once(']')) else { return false };
                // Another spelling of a number, such as `01`, names no field.
                let is_index = number.parse() == Ok(index) && (number == "0" || number.starts_with(|c: char| ('1'..='9').contains(&c)));
                is_index && if part.is_empty() { rest.is_empty() } else { rest.strip_prefix('.') == Some(part) }
            }
        }
    }
}

impl std::fmt::Display for FieldName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::Item(list, index, "") => write!(f, "{list}[{index}]"),
            Self::Item(list, index, part) => write!(f, "{list}[{index}].{part}"),
            Self::Attribute(key) => write!(f, "attributes.{key}"),
        }
    }
}

/// The last segment of a qualified type name, by which error types are compared: `RateLimitError` for `openai.RateLimitError`.
pub fn last_segment(type_name: &str) -> &str {
    // A hostile name may have a megabyte, and names are compared often.
    let separator = memchr::memrchr3(b'.', b':', b'/', type_name.as_bytes());
    separator.and_then(|at| type_name.get(at + 1..)).unwrap_or(type_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_span() -> Span {
        let message = || Message {
            role: "assistant".into(),
            content: "content".into(),
            refusal: Some("refusal".into()),
            tool_calls: vec![ToolCall { id: None, name: "call".into(), arguments: "arguments".into() }],
            tool_call_id: None,
        };
        Span {
            name: "name".into(),
            status_message: Some("status".into()),
            error_type: Some("type".into()),
            exceptions: vec![Exception { kind: "kind".into(), message: "message".into(), stack: Some("stack".into()) }],
            model: Some("model".into()),
            provider: Some("provider".into()),
            finish_reasons: vec!["reason".into()],
            input: vec![message()],
            output: vec![message()],
            input_text: Some("in".into()),
            output_text: Some("out".into()),
            tool: Some(ToolUse { name: "tool".into(), call_id: None, arguments: "a".into(), result: Some("r".into()) }),
            tools_offered: vec!["offered".into()],
            documents: Some(vec![Document { id: None, content: "doc".into(), score: None }]),
            annotations: vec![Annotation { name: "score".into(), label: Some("bad".into()), score: None, comment: Some("why".into()) }],
            attributes: vec![Attribute { key: "key".into(), value: "value".into() }],
            ..Span::default()
        }
    }

    #[test]
    fn every_field_that_evidence_can_refer_to_is_redacted() {
        let mut span = full_span();
        span.texts_mut(&mut |_, text| "SEEN".clone_into(text));
        span.fields(&mut |name, text| {
            assert_eq!(text, "SEEN", "{name} is not visited by texts_mut");
            false
        });
    }

    #[test]
    fn fields_are_compared_with_names() {
        full_span().fields(&mut |field, _| {
            let name = field.to_string();
            assert!(field.is_named(&name), "{name}");
            assert!(!field.is_named(&format!("{name}.")) && !field.is_named(name.get(1..).unwrap()), "{name}");
            false
        });
    }

    #[test]
    fn span_kinds_are_parsed_in_any_case() {
        assert_eq!(SpanKind::from_word("LLM"), Some(SpanKind::Llm));
        assert_eq!(SpanKind::from_word("retriever"), Some(SpanKind::Retriever));
        assert_eq!(SpanKind::from_word("nonsense"), None);
    }

    #[test]
    fn the_last_segment_of_a_type_name_is_its_name() {
        assert_eq!(last_segment("langchain_openai.chat_models.base.OpenAIRateLimitError"), "OpenAIRateLimitError");
        assert_eq!(last_segment("TimeoutError"), "TimeoutError");
    }
}
