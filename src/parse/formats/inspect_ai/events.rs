//! The events of a sample, as spans below the span of the sample.

use std::collections::HashMap;

use super::content::{self, Attachments, Repeated};
use super::log;
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{FinishReason, Span, SpanKind, Status, ToolUse};
use crate::parse::messages::{self, Conversation};
use crate::parse::record::{Record, keep_attribute};
use crate::parse::value::Value;

/// The spans of a sample, the first of which is its root.
pub(super) struct Events<'v, 'r> {
    pub(super) spans: Vec<Span>,
    attachments: &'r Attachments<'v>,
    /// The messages to which `input_refs` refer.
    pool: &'r [Value<'v>],
    repeated: &'r mut Repeated,
    /// The spans that events name by their id.
    by_id: HashMap<String, usize>,
    /// Steps and nested lists of events that have begun and not ended; the last one is the place of an event that names no span.
    open: Vec<usize>,
    /// The span that began for a tool call, whose event follows.
    tool_span: Option<usize>,
    /// The number of events so far, which is the id of one without a `uuid`.
    count: usize,
}

impl<'v, 'r> Events<'v, 'r> {
    pub(super) fn new(root: Span, attachments: &'r Attachments<'v>, pool: &'r [Value<'v>], repeated: &'r mut Repeated) -> Self {
        Self { spans: vec![root], attachments, pool, repeated, by_id: HashMap::new(), open: Vec::new(), tool_span: None, count: 0 }
    }

    /// Adds a list of events.
    pub(super) fn add_all(&mut self, events: Value<'v>) {
        let Value::List(events) = events else { return };
        for event in events {
            self.add(event);
        }
    }

    /// Adds the events of a sample that ran again after it failed, below a span of their own.
    pub(super) fn add_last_attempt(&mut self, span: Span, events: Value<'v>) {
        let index = self.spans.len();
        self.add_below(span, events);
        let ended_at_ns = self.spans.first().and_then(|root| root.ended_at_ns);
        if let Some(span) = self.spans.get_mut(index) {
            span.ended_at_ns = ended_at_ns;
        }
    }

    /// Adds the events of a step that has its own: a tool or a subtask of older logs, and an attempt that failed.
    pub(super) fn add_below(&mut self, span: Span, events: Value<'v>) {
        let index = self.push(span);
        let depth = self.open.len();
        self.open.push(index);
        self.add_all(events);
        self.open.truncate(depth);
    }

    fn add(&mut self, mut event: Value<'v>) {
        self.attachments.resolve(&mut event);
        self.count += 1;
        let Some(mut event) = Record::from_value(event) else {
            return self.count_unread();
        };
        let kind = event.take_text("event").unwrap_or_default();
        let started_at_ns = event.take("timestamp").as_time();
        let span_id = event.take("span_id").as_id();
        let uuid = event.take("uuid").as_id();
        event.discard(&["working_start", "pending", "traceback_ansi"]);
        self.extend_root(started_at_ns);
        let parent = self.place(span_id.as_deref());
        let span = Span {
            span_id: uuid.unwrap_or_else(|| format!("event-{}", self.count)),
            parent_span_id: self.spans.get(parent).map(|span| span.span_id.clone()),
            started_at_ns,
            ..Span::default()
        };
        match kind.as_str() {
            "span_begin" => self.begin_span(event, span),
            "span_end" => self.end_span(&event.take("id"), started_at_ns),
            "step" => self.step(event, span),
            "model" => self.model(event, span),
            "tool" => self.tool(event, span, parent),
            "subtask" => self.subtask(event, span),
            "sandbox" => self.sandbox(event, span),
            "approval" => self.approval(event, span),
            "error" => self.error(&event.take("error"), parent),
            "sample_limit" => self.limit(event, parent),
            // They repeat what the sample has.
            "state" | "store" | "sample_init" | "score" => {}
            _ => self.keep(&kind, event, parent),
        }
    }

    fn count_unread(&mut self) {
        if let Some(root) = self.spans.first_mut() {
            root.unread_fields += 1;
        }
    }

    /// The sample ends with its last event, unless the log says when.
    fn extend_root(&mut self, time: Option<i64>) {
        if let Some(root) = self.spans.first_mut() {
            root.ended_at_ns = root.ended_at_ns.max(time);
        }
    }

    /// The span that contains an event.
    fn place(&self, span_id: Option<&str>) -> usize {
        let named = span_id.and_then(|id| self.by_id.get(id)).copied();
        named.or_else(|| self.open.last().copied()).unwrap_or(0)
    }

    fn push(&mut self, span: Span) -> usize {
        self.spans.push(span);
        self.spans.len() - 1
    }

    fn begin_span(&mut self, mut event: Record<'v>, mut span: Span) {
        let Some(id) = event.take("id").as_id() else {
            return self.count_unread();
        };
        let parent = self.place(event.take("parent_id").as_id().as_deref());
        span.parent_span_id = self.spans.get(parent).map(|span| span.span_id.clone());
        span.span_id.clone_from(&id);
        span.name = event.take_text("name").unwrap_or_default();
        let kind = event.take_text("type").unwrap_or_default();
        span.kind = if matches!(kind.as_str(), "agent" | "handoff") { SpanKind::Agent } else { SpanKind::Chain };
        keep_attribute(&mut span, "type".into(), Value::Text(kind.as_str().into()));
        event.keep_rest(&mut span);
        let index = self.push(span);
        self.by_id.insert(id, index);
        self.tool_span = (kind == "tool").then_some(index);
    }

    fn end_span(&mut self, id: &Value<'_>, time: Option<i64>) {
        let index = id.as_str().and_then(|id| self.by_id.get(id)).copied();
        if let Some(span) = index.and_then(|index| self.spans.get_mut(index)) {
            span.ended_at_ns = time;
        }
    }

    fn step(&mut self, mut event: Record<'v>, mut span: Span) {
        let name = event.take_text("name").unwrap_or_default();
        if event.take_text("action").as_deref() == Some("end") {
            // Steps inside that did not end ended with it.
            let is_begun = |index: &usize| self.spans.get(*index).is_some_and(|span| span.name == name);
            let begun = self.open.iter().rev().take(STEPS_OPEN_MAX).position(is_begun).map(|above| self.open.len() - 1 - above);
            let ended = begun.map(|begun| self.open.split_off(begun)).unwrap_or_default();
            if let Some(ended) = ended.first().and_then(|index| self.spans.get_mut(*index)) {
                ended.ended_at_ns = span.started_at_ns;
            }
            return;
        }
        (span.name, span.kind) = (name, SpanKind::Chain);
        event.keep_rest(&mut span);
        let index = self.push(span);
        self.open.push(index);
    }

    fn model(&mut self, mut event: Record<'v>, mut span: Span) {
        let model = event.take_text("model").unwrap_or_default();
        span.kind = SpanKind::Llm;
        span.provider = model.split_once('/').map(|(provider, _)| provider.to_owned());
        span.name.clone_from(&model);
        let (input, refs) = (event.take("input"), event.take("input_refs"));
        content::set_input(&mut span, input.items(), &refs, self.pool, self.repeated);
        let tools = event.take("tools");
        span.tools_offered = messages::tool_names(&tools);
        let error = event.take_text("error");
        let traceback = event.take("traceback");
        let output = event.take("output");
        let seconds = output.get("time").as_f64();
        let call = event.take("call");
        let refused = error.is_none().then(|| refused_request(&output, &call)).flatten();
        set_output(&mut span, output, &call, error.is_some());
        span.model = span.model.take().filter(|model| !model.is_empty()).or(Some(model).filter(|model| !model.is_empty()));
        span.ended_at_ns = event.take("completed").as_time().or_else(|| end_after(span.started_at_ns, seconds));
        if let Some(message) = error {
            let failure = Value::Map(vec![("message".into(), Value::Text(message.into())), ("traceback".into(), traceback)]);
            log::fail(&mut span, &failure);
        } else if let Some(message) = refused {
            (span.status, span.status_message) = (Status::Error, Some(message));
        }
        self.extend_root(span.ended_at_ns);
        event.keep_rest(&mut span);
        self.push(span);
    }

    fn tool(&mut self, mut event: Record<'v>, mut span: Span, parent: usize) {
        let name = event.take_text("function").unwrap_or_default();
        let result = event.take("result");
        span.kind = SpanKind::Tool;
        span.name.clone_from(&name);
        span.ended_at_ns = event.take("completed").as_time();
        let error = event.take("error");
        let has_failed = matches!(event.take("failed"), Value::Bool(true));
        let has_error = has_failed || !error.is_empty();
        span.tool = Some(ToolUse {
            name: name.clone(),
            call_id: event.take("id").as_id(),
            arguments: event.take("arguments").to_text(),
            // A call that failed, or did not end, has an empty result.
            result: (!result.is_empty() || !has_error && span.ended_at_ns.is_some()).then(|| messages::tool_result_text(&result)),
        });
        if has_error {
            span.status = Status::Error;
            span.error_type = error.text_at("type");
            span.status_message = error.text_at("message").filter(|message| !message.is_empty());
        }
        self.extend_root(span.ended_at_ns);
        self.adopt_tool_span(&name, &span.span_id, parent);
        let events = event.take("events");
        event.discard(&["view", "type"]);
        event.keep_rest(&mut span);
        self.add_below(span, events);
    }

    /// Puts the span that began for a tool call below the tool: it contains what the tool did.
    fn adopt_tool_span(&mut self, name: &str, id: &str, parent: usize) {
        let parent = self.spans.get(parent).map(|span| span.span_id.clone());
        let begun = self.tool_span.take().and_then(|index| self.spans.get_mut(index));
        if let Some(begun) = begun.filter(|begun| begun.name == name && begun.parent_span_id == parent) {
            begun.parent_span_id = Some(id.to_owned());
        }
    }

    fn subtask(&mut self, mut event: Record<'v>, mut span: Span) {
        span.kind = SpanKind::Chain;
        span.name = event.take_text("name").unwrap_or_default();
        span.input_text = event.take("input").into_text();
        span.output_text = event.take("result").into_text();
        span.ended_at_ns = event.take("completed").as_time();
        self.extend_root(span.ended_at_ns);
        let events = event.take("events");
        event.keep_rest(&mut span);
        self.add_below(span, events);
    }

    fn sandbox(&mut self, mut event: Record<'v>, mut span: Span) {
        span.kind = SpanKind::Chain;
        span.name = event.take_text("action").map_or_else(|| "sandbox".into(), |action| format!("sandbox {action}"));
        let target = event.take_text("cmd");
        span.input_text = target.or_else(|| event.take_text("file"));
        span.output_text = event.take_text("output");
        span.ended_at_ns = event.take("completed").as_time();
        self.extend_root(span.ended_at_ns);
        event.keep_rest(&mut span);
        self.push(span);
    }

    fn approval(&mut self, mut event: Record<'v>, mut span: Span) {
        span.kind = SpanKind::Guardrail;
        span.name = event.take_text("approver").unwrap_or_default();
        span.input_text = event.take("call").into_text();
        let decision = event.take_text("decision");
        let explanation = event.take_text("explanation").map(|explanation| format!(": {explanation}")).unwrap_or_default();
        span.output_text = decision.map(|decision| decision + &explanation);
        span.ended_at_ns = span.started_at_ns;
        event.discard(&["view"]);
        event.keep_rest(&mut span);
        self.push(span);
    }

    /// An error that ended the span around it. That of the sample is already on the root.
    fn error(&mut self, error: &Value<'_>, parent: usize) {
        if let Some(span) = self.spans.get_mut(parent).filter(|span| span.exceptions.is_empty()) {
            log::fail(span, error);
        }
    }

    /// A limit that ended the sample, or only the agent whose limit it was.
    fn limit(&mut self, mut event: Record<'v>, parent: usize) {
        let message = event.take_text("message");
        let of_sample = self.spans.first().and_then(|root| root.attribute("limit.type"));
        let is_of_sample = of_sample.is_some_and(|kind| event.take_text("type").as_deref() == Some(kind));
        if let Some(span) = self.spans.get_mut(if is_of_sample { 0 } else { parent }) {
            span.status = Status::Error;
            span.status_message = message.or_else(|| span.status_message.take());
            span.error_type.get_or_insert_with(|| LIMIT_EXCEEDED.into());
        }
    }

    /// Keeps an event that is no step as an attribute of the span around it.
    fn keep(&mut self, kind: &str, event: Record<'v>, parent: usize) {
        if let Some(span) = self.spans.get_mut(parent).filter(|span| span.attributes.len() <= SPAN_ITEMS_MAX) {
            keep_attribute(span, format!("event.{kind}").into(), Value::Text(event.into_value().to_text().into()));
        }
    }
}

/// Steps among which the one that ends is searched.
const STEPS_OPEN_MAX: usize = 1_000;

/// The type of a span that a limit ended: the exception by which Inspect ends it.
pub(super) const LIMIT_EXCEEDED: &str = "LimitExceededError";

/// The end of a step without one, from how long it took.
fn end_after(started_at_ns: Option<i64>, seconds: Option<f64>) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let duration = (seconds? * 1e9) as i64;
    Some(started_at_ns?.saturating_add(duration))
}

/// The answers in a model's output, and what it says about them; none if there are no choices.
pub(super) fn answers(output: &Value<'_>) -> Conversation {
    let mut found = messages::conversation(output).unwrap_or_default();
    if output.get("choices").is_empty() {
        found.messages.clear();
    }
    found
}

/// The provider's message if it refused the request, because its input is too long or its filter matched: Inspect makes it the answer.
fn refused_request(output: &Value<'_>, call: &Value<'_>) -> Option<String> {
    let is_too_long = output.get("choices").items().iter().any(|choice| choice.get("stop_reason").as_str() == Some("model_length"));
    let has_failed = matches!(call.get("error"), Value::Bool(true)) || (is_too_long && output.get("usage").is_empty());
    output.text_at("completion").filter(|text| has_failed && !text.is_empty())
}

/// Sets the output of a model call. Its raw response, if it was logged, has the words of the provider, which Inspect reduces to six.
fn set_output(span: &mut Span, output: Value<'_>, call: &Value<'_>, has_failed: bool) {
    let found = answers(&output);
    let is_empty = output.get("completion").is_empty()
        && found.messages.iter().all(|message| message.content.is_empty() && message.tool_calls.is_empty());
    span.model = output.text_at("model");
    span.usage = found.usage;
    if !(has_failed && is_empty) {
        span.output = found.messages;
        span.finish_reasons = found.finish_reasons;
    }
    let raw = messages::conversation(call.get("response")).unwrap_or_default();
    let is_more = |word: &String| FinishReason::from_word(word).is_some_and(FinishReason::is_abnormal);
    let is_unknown = span.finish_reasons.iter().all(|word| word == "unknown");
    if !raw.finish_reasons.is_empty() && (is_unknown && !has_failed || raw.finish_reasons.iter().any(is_more)) {
        span.finish_reasons = raw.finish_reasons;
    }
    let refusal = raw.messages.into_iter().find_map(|message| message.refusal);
    if let (Some(refusal), Some(message)) = (refusal, span.output.last_mut()) {
        message.refusal.get_or_insert(refusal);
    }
    if let Some(mut rest) = Record::from_value(output) {
        rest.discard(&["model", "choices", "completion", "usage"]);
        for (key, value) in rest.into_fields() {
            keep_attribute(span, format!("output.{key}").into(), value);
        }
    }
}
