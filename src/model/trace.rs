//! A trace and its spans in failsift's own words, whatever format they came in.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hex;

/// One recorded run of an LLM application: an id and its spans, ordered by start time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// OTLP ids as lower-case hex, others as in the source.
    pub trace_id: String,
    /// The service that ran it, of the root span where spans disagree.
    pub service: Option<String>,
    /// `production`, `staging` …
    pub environment: Option<String>,
    /// Where the root span (or the first span) was read.
    pub source: Source,
    /// Ordered by start time, then id; never empty after gathering.
    pub spans: Vec<Span>,
    /// What was wrong with the delivery and did not cost the trace its life: `2 spans were delivered twice`.
    pub notes: Vec<String>,
}

/// The object that a record came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Source {
    /// `s3://bucket/key` or an absolute local path.
    pub uri: String,
}

/// One step of a run.
///
/// What a convention gives a meaning (messages, tool calls, documents) is in a field of its own; every other attribute is in
/// `attributes` as text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Span {
    /// As in the source; hex for OTLP.
    pub span_id: String,
    /// `None` for a root.
    pub parent_span_id: Option<String>,
    /// As the instrumentation named it: `ChatCompletion`, `lookup_order`.
    pub name: String,
    /// What kind of step it is.
    pub kind: SpanKind,
    /// Nanoseconds since 1970, UTC.
    pub started_at_ns: Option<i64>,
    /// Nanoseconds since 1970, UTC; `None` where the span never ended.
    pub ended_at_ns: Option<i64>,
    /// The status that the instrumentation set.
    pub status: Status,
    /// The text beside an error status.
    pub status_message: Option<String>,
    /// `error.type`, where no exception event carries it.
    pub error_type: Option<String>,
    /// Exceptions recorded on the span, in order.
    pub exceptions: Vec<Exception>,
    /// Model that answered, or that was asked.
    pub model: Option<String>,
    /// `openai`, `anthropic`, `gcp.vertex_ai` …
    pub provider: Option<String>,
    /// As the provider said it: `stop`, `length`, `SAFETY`.
    pub finish_reasons: Vec<String>,
    /// Tokens that the provider counted.
    pub usage: TokenUsage,
    /// Messages that went in.
    pub input: Vec<Message>,
    /// Messages that came out.
    pub output: Vec<Message>,
    /// Input as one text, where it is not messages.
    pub input_text: Option<String>,
    /// Output as one text, where it is not messages.
    pub output_text: Option<String>,
    /// For a tool span: what was called.
    pub tool: Option<ToolUse>,
    /// Names of the tools that the model was offered.
    pub tools_offered: Vec<String>,
    /// For a retriever span: what it found; `Some` and empty where it found nothing.
    pub documents: Option<Vec<Document>>,
    /// What people and evaluators said of it.
    pub annotations: Vec<Annotation>,
    /// Everything else, in source order.
    pub attributes: Vec<Attribute>,
    /// Fields that were there and could not be read: of a wrong type, or without a key. Gathered beside the span, so that it is no part of
    /// the digest of its trace.
    #[serde(skip)]
    pub unread_fields: u32,
    /// Fields whose JSON text was cut off by the exporter and is read as far as it goes. Gathered beside the span too.
    #[serde(skip)]
    pub cut_fields: u32,
}

/// What kind of step a span is.
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
    /// A step that holds others.
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

    /// Reads [`Self::as_str`]'s words, and the upper-case ones of `OpenInference`.
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
    /// Nobody set it.
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
    /// Its stack trace, where one was recorded.
    pub stack: Option<String>,
}

/// One chat message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, or the name of an agent.
    pub role: String,
    /// Text parts, joined by line feeds.
    pub content: String,
    /// What the model says it refuses, where the provider keeps that apart.
    pub refusal: Option<String>,
    /// Tools that the message asks for.
    pub tool_calls: Vec<ToolCall>,
    /// For a tool's answer: the call that it answers.
    pub tool_call_id: Option<String>,
}

/// A model's wish to call a tool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToolCall {
    /// Joins the call to its answer.
    pub id: Option<String>,
    /// Name of the tool.
    pub name: String,
    /// JSON text as the model wrote it, which may not parse.
    pub arguments: String,
}

/// A tool that was run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToolUse {
    /// Name of the tool.
    pub name: String,
    /// The model's call that it answers.
    pub call_id: Option<String>,
    /// JSON text or plain text.
    pub arguments: String,
    /// What it answered, where that was recorded.
    pub result: Option<String>,
}

/// A document that a retriever found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Document {
    /// The store's id of it.
    pub id: Option<String>,
    /// Its text.
    pub content: String,
    /// The retriever's score; the scale is the retriever's own.
    pub score: Option<f64>,
}

/// A rating of a span or of a trace, by a person, a program or a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Annotation {
    /// What was rated: `user_score`, `answer_quality`.
    pub name: String,
    /// `bad`, `thumbs_down` …
    pub label: Option<String>,
    /// A number whose scale is the rater's own.
    pub score: Option<f64>,
    /// Why, in the rater's words.
    pub comment: Option<String>,
}

impl Annotation {
    /// Whether it says that something was wrong: a label that says no, or no point at all where more is better.
    pub fn is_negative(&self) -> bool {
        const NO: [&str; 22] = [
            "bad",
            "fail",
            "failed",
            "failure",
            "false",
            "hallucinated",
            "incorrect",
            "irrelevant",
            "negative",
            "no",
            "not_helpful",
            "poor",
            "refusal",
            "rejected",
            "thumbs-down",
            "thumbs_down",
            "toxic",
            "unacceptable",
            "unfaithful",
            "unhelpful",
            "unrelated",
            "wrong",
        ];
        const MORE_IS_BETTER: [&str; 14] = [
            "accura", "correct", "faithful", "feedback", "ground", "helpful", "quality", "rating", "relevan", "satisf", "score", "success",
            "thumb", "user",
        ];
        if let Some(label) = &self.label {
            return NO.contains(&label.trim().to_lowercase().as_str());
        }
        let name = self.name.to_lowercase();
        self.score.is_some_and(|score| score <= 0.0) && MORE_IS_BETTER.iter().any(|part| name.contains(part))
    }
}

impl std::fmt::Display for Annotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        match (&self.label, self.score) {
            (Some(label), _) => write!(f, "={label}"),
            (None, Some(score)) => write!(f, "={score}"),
            (None, None) => Ok(()),
        }
    }
}

/// An attribute with its value as text: strings as they are, everything else as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attribute {
    /// Dotted name.
    pub key: String,
    /// Value as text.
    pub value: String,
}

/// What a text of a trace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextKind<'n> {
    /// Words of people, models and programs.
    Text,
    /// The dotted name of an attribute.
    Key,
    /// The value of the attribute of this name.
    ValueOf(&'n str),
}

/// Tokens of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Tokens of the prompt.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
}

impl Trace {
    /// When the earliest span began, in nanoseconds since 1970.
    pub fn started_at_ns(&self) -> Option<i64> {
        self.spans.iter().filter_map(|span| span.started_at_ns).min()
    }

    /// SHA-256 over what the trace holds, as hex: the same for the same service, environment and spans.
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
        // Hashing cannot fail; the encoding of plain data neither.
        let hashing = postcard::to_io(
            &(&self.service, &self.environment, &self.spans),
            std::io::BufWriter::with_capacity(16 * 1024, Hashing(Sha256::new())),
        );
        let hash = hashing.ok().and_then(|writer| writer.into_inner().ok()).map(|hashing| hashing.0.finalize()).unwrap_or_default();
        hex(&hash)
    }

    /// Calls `visit` with every text that came from the trace and may hold what a user typed, so that it can be replaced.
    ///
    /// Ids are visited by [`Self::ids_mut`].
    pub fn texts_mut(&mut self, visit: &mut dyn FnMut(TextKind<'_>, &mut String)) {
        self.service.iter_mut().for_each(|text| visit(TextKind::Text, text));
        self.environment.iter_mut().for_each(|text| visit(TextKind::Text, text));
        for span in &mut self.spans {
            span.texts_mut(visit);
        }
    }

    /// Calls `visit` with every id: of the trace, its spans, and its tool calls. In some formats they are whatever a program wrote there.
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
    /// Whether the span says that it failed: an error status or a recorded exception.
    pub fn failed(&self) -> bool {
        self.status == Status::Error || (self.status == Status::Unset && !self.exceptions.is_empty())
    }

    /// The value of an attribute that no convention has taken.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.key == key).map(|attribute| attribute.value.as_str())
    }

    /// Every text of the span for replacing; the same texts as [`Span::fields`].
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
            visit_kind(TextKind::Key, &mut attribute.key);
            visit_kind(TextKind::ValueOf(&attribute.key), &mut attribute.value);
        }
    }

    /// Calls `visit` with the name and the text of each field in which evidence can stand, until it returns `true`.
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

/// The name of a field, rendered only where somebody needs the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldName<'a> {
    /// `status_message`
    Plain(&'static str),
    /// `exceptions[0].message`; no dot where the part is empty.
    Item(&'static str, usize, &'static str),
    /// `attributes.http.url`
    Attribute(&'a str),
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

/// The last dotted segment of a type name, by which types are compared: `openai.RateLimitError` is `RateLimitError`.
pub fn last_segment(type_name: &str) -> &str {
    type_name.rsplit(['.', ':', '/']).next().unwrap_or(type_name)
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
    fn evidence_can_stand_only_in_texts_that_redaction_saw() {
        let mut span = full_span();
        span.texts_mut(&mut |_, text| "SEEN".clone_into(text));
        span.fields(&mut |name, text| {
            assert_eq!(text, "SEEN", "{name} is not visited by texts_mut");
            false
        });
    }

    #[test]
    fn kinds_are_read_in_either_case() {
        assert_eq!(SpanKind::from_word("LLM"), Some(SpanKind::Llm));
        assert_eq!(SpanKind::from_word("retriever"), Some(SpanKind::Retriever));
        assert_eq!(SpanKind::from_word("nonsense"), None);
    }

    #[test]
    fn annotations_say_no_by_label_or_by_score() {
        let negative = |name: &str, label: Option<&str>, score: Option<f64>| {
            Annotation { name: name.into(), label: label.map(str::to_owned), score, comment: None }.is_negative()
        };
        assert!(negative("answer_quality", Some("Bad"), Some(1.0)) && negative("user_score", None, Some(0.0)));
        assert!(!negative("answer_quality", Some("good"), Some(0.0)) && !negative("user_score", None, Some(1.0)));
        // No toxicity is good.
        assert!(!negative("toxicity", None, Some(0.0)));
    }

    #[test]
    fn types_are_compared_by_their_last_segment() {
        assert_eq!(last_segment("langchain_openai.chat_models.base.OpenAIRateLimitError"), "OpenAIRateLimitError");
        assert_eq!(last_segment("TimeoutError"), "TimeoutError");
    }
}
