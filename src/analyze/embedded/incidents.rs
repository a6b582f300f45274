//! What went wrong in a trace, step by step: spans that say they failed, and failures that no status shows (a cut answer, a refusal,
//! an empty retrieval, an error in the text of a tool's answer).

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use super::recovery::mark_recovered;
use super::signals::{self, Signal, expression};
use super::tree::SpanTree;
use crate::limits::EXCEPTIONS_READ_MAX;
use crate::model::{Message, Span, SpanKind, Trace};
use crate::runtime::{Deadline, TimedOut};

/// How an incident shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum IncidentKind {
    /// An error status or a recorded exception.
    Error,
    /// The provider stopped the answer: length, filter.
    FinishReason,
    /// The model said no.
    Refusal,
    /// The model said nothing.
    EmptyOutput,
    /// The retriever found nothing.
    EmptyRetrieval,
    /// What the retriever found does not fit the question.
    LowScores,
    /// A tool's answer is an error, though its span says ok.
    ToolResult,
    /// One call again and again.
    RepeatedCalls,
    /// Only the dialogue as a whole shows it.
    Dialogue,
}

impl IncidentKind {
    /// The word in rules.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::FinishReason => "finish_reason",
            Self::Refusal => "refusal",
            Self::EmptyOutput => "empty_output",
            Self::EmptyRetrieval => "empty_retrieval",
            Self::LowScores => "low_scores",
            Self::ToolResult => "tool_result",
            Self::RepeatedCalls => "repeated_calls",
            Self::Dialogue => "dialogue",
        }
    }
}

/// Something that went wrong in one span.
#[derive(Debug)]
pub(super) struct Incident<'t> {
    /// Of the span in the trace.
    pub(super) index: usize,
    pub(super) span: &'t Span,
    pub(super) kind: IncidentKind,
    /// When it showed, in nanoseconds since 1970.
    pub(super) at_ns: i64,
    /// `(field, text)` that says what happened.
    pub(super) texts: Vec<(String, &'t str)>,
    pub(super) signals: Vec<Signal>,
    pub(super) error_type: Option<String>,
    /// HTTP status.
    pub(super) status: Option<u16>,
    /// The tool that it is about, where that is not the span's own.
    pub(super) tool: Option<String>,
    /// A retry, fallback or repair after it worked.
    pub(super) recovered: bool,
    /// An error that says neither type nor message.
    pub(super) unexplained: bool,
}

impl<'t> Incident<'t> {
    pub(super) fn new(trace: &'t Trace, index: usize, kind: IncidentKind) -> Option<Self> {
        let span = trace.spans.get(index)?;
        Some(Self {
            index,
            span,
            kind,
            at_ns: span.ended_at_ns.or(span.started_at_ns).unwrap_or(i64::MAX),
            texts: Vec::new(),
            signals: Vec::new(),
            error_type: None,
            status: None,
            tool: None,
            recovered: false,
            unexplained: false,
        })
    }

    /// The first line of what was said, for a summary.
    pub(super) fn said(&self) -> Option<String> {
        let (_, text) = self.texts.first()?;
        let line: String = signals::message_of(text).trim().lines().next()?.chars().take(200).collect();
        (!line.is_empty()).then_some(line)
    }

    /// The kind of span for rules: a tool's answer among the messages of a model call is about the tool.
    pub(super) fn span_kind(&self) -> SpanKind {
        if self.kind == IncidentKind::ToolResult { SpanKind::Tool } else { self.span.kind }
    }
}

/// Everything that went wrong, in the order of the spans, with `recovered` settled.
pub(super) fn find<'t>(trace: &'t Trace, tree: &SpanTree, deadline: Deadline) -> Result<Vec<Incident<'t>>, TimedOut> {
    let mut found = Vec::new();
    let content_is_recorded =
        trace.spans.iter().any(|span| span.input.iter().chain(&span.output).any(|message| !message.content.is_empty()));
    let any_failed = trace.spans.iter().any(Span::failed);
    let mut answered: HashSet<&str> = trace.spans.iter().filter_map(|span| span.tool.as_ref()?.call_id.as_deref()).collect();
    for (index, span) in trace.spans.iter().enumerate() {
        deadline.check()?;
        if span.failed() {
            found.extend(error(trace, index));
            continue;
        }
        match span.kind {
            SpanKind::Llm => {
                found.extend(stopped(trace, index, any_failed).or_else(|| refused(trace, index)));
                if content_is_recorded {
                    found.extend(said_nothing(trace, index));
                }
                found.extend(failed_tool_message(trace, index, &mut answered));
                found.extend(unknown_call(trace, index));
            }
            SpanKind::Tool => found.extend(failed_result(trace, index)),
            SpanKind::Retriever => found.extend(nothing_retrieved(trace, index).or_else(|| low_scores(trace, index))),
            _ => {}
        }
    }
    // Incidents of one nested pair of model spans (an instrumented SDK inside another) are one: the inner tells more, unless all that it
    // tells is that nothing was said.
    let of_llm: HashMap<usize, IncidentKind> =
        found.iter().filter(|incident| incident.span.kind == SpanKind::Llm).map(|incident| (incident.index, incident.kind)).collect();
    found.retain(|incident| {
        if incident.span.kind != SpanKind::Llm || incident.kind == IncidentKind::Error {
            return true;
        }
        let tells_more = |other: usize, if_alike: bool| match of_llm.get(&other) {
            Some(IncidentKind::EmptyOutput) => incident.kind == IncidentKind::EmptyOutput && if_alike,
            Some(_) => incident.kind == IncidentKind::EmptyOutput || if_alike,
            None => false,
        };
        let by_inner = tree.children(incident.index).iter().any(|child| tells_more(*child, true));
        !by_inner && !tree.parent(incident.index).is_some_and(|parent| tells_more(parent, false))
    });
    mark_recovered(trace, tree, &mut found, deadline)?;
    if found.iter().all(|incident| incident.recovered) {
        found.extend(repeated_calls(trace));
    }
    Ok(found)
}

fn error(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::Error)?;
    let span = incident.span;
    if let Some(message) = span.status_message.as_deref().filter(|message| !message.trim().is_empty()) {
        incident.texts.push(("status_message".into(), message));
    }
    let last = span.exceptions.len().saturating_sub(EXCEPTIONS_READ_MAX / 2);
    let read = |number: usize| number < EXCEPTIONS_READ_MAX / 2 || number >= last;
    for (number, exception) in span.exceptions.iter().enumerate().filter(|(number, _)| read(*number)) {
        if !exception.message.trim().is_empty() && incident.texts.iter().all(|(_, known)| !known.contains(exception.message.as_str())) {
            incident.texts.push((format!("exceptions[{number}].message"), &exception.message));
        }
    }
    if let Some((kind, field)) = signals::error_type(span) {
        incident.signals.push(Signal::new("error_type", crate::model::last_segment(&kind), field));
        incident.error_type = Some(kind);
    }
    let said = incident.texts.iter().find_map(|(field, text)| Some((signals::http_status(signals::message_of(text))?, field.clone())));
    if let Some((status, field)) = said.or_else(|| signals::recorded_status(span)) {
        incident.signals.push(Signal::new("http_status", status, field));
        incident.status = Some(status);
    }
    incident.unexplained = incident.texts.is_empty() && incident.error_type.is_none();
    if incident.signals.is_empty() {
        incident.signals.push(Signal::new("span_status", "error", "status"));
    }
    Some(incident)
}

/// The last finish reason, where it says that the provider stopped. Where none was recorded, an answer that ends inside of a JSON string
/// tells the same, if something failed on it: by itself it may have been cut by whoever recorded it.
fn stopped(trace: &Trace, index: usize, any_failed: bool) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::FinishReason)?;
    let Some((number, reason)) = incident.span.finish_reasons.iter().enumerate().next_back() else {
        let last = incident.span.output.iter().enumerate().next_back();
        let (number, message) = last.filter(|(_, message)| any_failed && ends_inside_string(&message.content))?;
        let field = format!("output[{number}].content");
        incident.signals.push(Signal::new("answer_ends", "inside_json_string", field.clone()));
        incident.texts.push((field, &message.content));
        return Some(incident);
    };
    let normal = [
        "stop",
        "end_turn",
        "tool_calls",
        "tool_call",
        "tool_use",
        "function_call",
        "stop_sequence",
        "eos",
        "unknown",
        "finish_reason_unspecified",
        "",
    ];
    if normal.contains(&reason.to_ascii_lowercase().as_str()) {
        return None;
    }
    incident.signals.push(Signal::new("finish_reason", reason, format!("finish_reasons[{number}]")));
    push_last_output(&mut incident);
    Some(incident)
}

/// Whether a text is JSON that stops in the middle of a string. A missing bracket alone may be the model's mistake, and is none of these.
fn ends_inside_string(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(text)
            .is_err_and(|error| error.is_eof() && error.to_string().starts_with("EOF while parsing a string"))
}

fn refused(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    static REFUSAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(
            r"(?i)^\W{0,3}(?:(?:i'?m|i am) (?:very |really |so )?sorry,? ?(?:but )?|sorry,? ?(?:but )?|unfortunately,? |i apologi[sz]e,? ?(?:but )?|as an ai[^.]{0,60},? )?(?:(?:i (?:can'?t|cannot|can not|won'?t|will not|am not able to|am unable to|must decline to|decline to|have to decline)|i'?m (?:unable|not able) to)(?: to)? (?:help|assist|comply|provide|support|engage|fulfill?|discuss|participate|create|generate|share|disclose|answer that|do that)(?-u:\b)|i (?:must|have to|will) (?:respectfully )?decline(?-u:\b)|i (?:don'?t|do not|am not|wouldn'?t) feel comfortable(?-u:\b)|(?:this|that|your) request (?:violates|goes against)(?-u:\b))",
        )
    });
    let mut incident = Incident::new(trace, index, IncidentKind::Refusal)?;
    let (number, message) = incident.span.output.iter().enumerate().next_back()?;
    if let Some(refusal) = message.refusal.as_deref().filter(|refusal| !refusal.is_empty()) {
        let field = format!("output[{number}].refusal");
        incident.signals.push(Signal::new("refusal_field", "present", field.clone()));
        incident.texts.push((field, refusal));
        return Some(incident);
    }
    let said = signals::clip(&message.content);
    if said.len() > 1_500 || !message.tool_calls.is_empty() || !REFUSAL.as_ref()?.is_match(&said.replace('’', "'")) {
        return None;
    }
    let field = format!("output[{number}].content");
    incident.signals.push(Signal::new("refusal_text", "present", field.clone()));
    incident.texts.push((field, &message.content));
    Some(incident)
}

/// An answer without a word, a call or a refusal. An answer of which no message was recorded is no empty answer.
fn said_nothing(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::EmptyOutput)?;
    let span = incident.span;
    let is_empty = |message: &Message| message.content.trim().is_empty() && message.tool_calls.is_empty() && message.refusal.is_none();
    let stopped_by_itself =
        span.finish_reasons.iter().all(|reason| matches!(reason.to_ascii_lowercase().as_str(), "stop" | "end_turn" | ""));
    if span.output.is_empty()
        || !span.output.iter().all(is_empty)
        || !stopped_by_itself
        || span.usage.output.is_some_and(|tokens| tokens > 20)
    {
        return None;
    }
    incident.signals.push(Signal::new("output_characters", 0, "output[0].content"));
    if let Some(tokens) = span.usage.output {
        incident.signals.push(Signal::new("output_tokens", tokens, "output_tokens"));
    }
    Some(incident)
}

fn push_last_output<'t>(incident: &mut Incident<'t>) {
    let span: &'t Span = incident.span;
    if let Some((number, message)) = span.output.iter().enumerate().next_back().filter(|(_, message)| !message.content.is_empty()) {
        incident.texts.push((format!("output[{number}].content"), &message.content));
    }
}

/// Whether a tool's answer is an error in words.
fn says_error(result: &str) -> bool {
    static ERROR: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(
            r#"(?i)^\W{0,3}(?:error(?-u:\b)|exception(?-u:\b)|traceback \(most recent call last\)|[A-Za-z_.]{2,60}(?:Error|Exception)(?-u:\b)\s*[:(]|failed to |(?:ba)?sh: (?:line \d+: )?[^\n]{1,60}: (?:command not found|permission denied|no such file)|exit(?:ed)?:? ?(?:with )?(?:code|status):? ?[1-9]|error invoking tool|tool execution failed|http (?:error )?[45]\d\d)|^\s*\{\s*"(?:error|errors|exception)"\s*:\s*(?:"[^"]|\{\s*"|\[\s*["{])|"status"\s*:\s*"(?:error|failed|failure)"|"(?:is_?error|isError)"\s*:\s*true|is not a valid tool, try one of|"status_?code"\s*:\s*[45]\d\d"#,
        )
    });
    ERROR.as_ref().is_some_and(|error| error.is_match(signals::clip(result)))
}

fn failed_result(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::ToolResult)?;
    let result = incident.span.tool.as_ref()?.result.as_deref().filter(|result| says_error(result))?;
    incident.signals.push(Signal::new("error_in_tool_result", "true", "tool.result"));
    if let Some(status) = signals::http_status(signals::clip(result)) {
        incident.signals.push(Signal::new("http_status", status, "tool.result"));
        incident.status = Some(status);
    }
    incident.texts.push(("tool.result".into(), result));
    Some(incident)
}

/// A tool's error that stands only among the messages of the next model call (`LangGraph` writes no tool span for an unknown tool).
fn failed_tool_message<'t>(trace: &'t Trace, index: usize, answered: &mut HashSet<&'t str>) -> Option<Incident<'t>> {
    let mut incident = Incident::new(trace, index, IncidentKind::ToolResult)?;
    let span = incident.span;
    let (number, message, id) = span.input.iter().enumerate().find_map(|(number, message)| {
        let id = message.tool_call_id.as_deref()?;
        (message.role == "tool" && !answered.contains(id) && says_error(&message.content)).then_some((number, message, id))
    })?;
    answered.insert(id);
    let calls = span.input.iter().flat_map(|message| &message.tool_calls);
    incident.tool = calls.filter(|call| call.id.as_deref() == Some(id)).map(|call| call.name.clone()).next_back();
    incident.at_ns = span.started_at_ns.unwrap_or(incident.at_ns);
    let field = format!("input[{number}].content");
    incident.signals.push(Signal::new("error_in_tool_result", "true", field.clone()));
    incident.status = signals::http_status(signals::clip(&message.content));
    incident.texts.push((field, &message.content));
    Some(incident)
}

/// A call of a tool that the model was not offered.
fn unknown_call(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::ToolResult)?;
    let span = incident.span;
    if span.tools_offered.is_empty() {
        return None;
    }
    let offered: HashSet<&str> = span.tools_offered.iter().map(String::as_str).collect();
    let (number, call) = span.output.iter().enumerate().find_map(|(number, message)| {
        let call = message.tool_calls.iter().find(|call| !call.name.is_empty() && !offered.contains(call.name.as_str()))?;
        Some((number, call))
    })?;
    let field = format!("output[{number}].tool_calls.name");
    incident.tool = Some(call.name.clone());
    incident.signals.push(Signal::new("tool_offered", "no", field.clone()));
    incident.texts.push((field, &call.name));
    Some(incident)
}

fn nothing_retrieved(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::EmptyRetrieval)?;
    let span = incident.span;
    span.documents.as_ref().filter(|documents| documents.is_empty())?;
    incident.signals.push(Signal::new("retrieved_documents", 0, "documents"));
    if let Some(query) = span.input_text.as_deref().filter(|query| !query.is_empty()) {
        incident.texts.push(("input_text".into(), query));
    }
    Some(incident)
}

/// Documents with low scores that share no word with the question. Scores have many scales, so neither alone is a sign.
fn low_scores(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    const SCORE_LOW: f64 = 0.3;
    const SHARED_LOW: f64 = 0.34;
    let mut incident = Incident::new(trace, index, IncidentKind::LowScores)?;
    let span = incident.span;
    let documents = span.documents.as_deref()?;
    let best = documents
        .iter()
        .filter_map(|document| document.score)
        .fold(None, |best: Option<f64>, score| Some(best.map_or(score, |best| best.max(score))))?;
    let query = content_words(span.input_text.as_deref()?);
    let texts: HashSet<String> = documents.iter().flat_map(|document| content_words(&document.content)).collect();
    let shared = query.iter().filter(|word| texts.contains(*word)).count();
    #[expect(clippy::cast_precision_loss, reason = "words of a question")]
    let share = if query.is_empty() { 1.0 } else { shared as f64 / query.len() as f64 };
    if !(0.0..SCORE_LOW).contains(&best) || share >= SHARED_LOW {
        return None;
    }
    incident.signals.push(Signal::new("best_document_score", format!("{best:.2}"), "documents"));
    incident.signals.push(Signal::new("question_words_in_documents", format!("{shared}/{}", query.len()), "documents"));
    if let Some(document) = documents.first() {
        incident.texts.push(("documents[0].content".into(), &document.content));
    }
    Some(incident)
}

/// Words that carry meaning, in lower case.
fn content_words(text: &str) -> HashSet<String> {
    const COMMON: [&str; 24] = [
        "the", "and", "for", "what", "which", "how", "does", "did", "are", "was", "were", "with", "from", "that", "this", "when", "where",
        "who", "why", "can", "you", "your", "our", "has",
    ];
    let words = signals::clip(text).split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words
        .filter(|word| {
            word.chars().count() >= 2
                && !matches!(word.as_str(), "is" | "of" | "in" | "to" | "do" | "it" | "my" | "an" | "on" | "at")
                && !COMMON.contains(&word.as_str())
        })
        .collect()
}

/// One tool called five times and more with the same arguments.
fn repeated_calls(trace: &Trace) -> Option<Incident<'_>> {
    const ALIKE_MIN: usize = 5;
    let mut alike: HashMap<(&str, &str), (usize, usize)> = HashMap::new();
    for (index, span) in trace.spans.iter().enumerate() {
        if let Some(tool) = &span.tool {
            let entry = alike.entry((&tool.name, &tool.arguments)).or_insert((0, index));
            *entry = (entry.0 + 1, index);
        }
    }
    let (count, index) = alike.into_values().max()?;
    if count < ALIKE_MIN {
        return None;
    }
    let mut incident = Incident::new(trace, index, IncidentKind::RepeatedCalls)?;
    let span = incident.span;
    incident.signals.push(Signal { text: format!("tool_called_{count}_times_alike"), field: Some("tool.arguments".into()) });
    if let Some(tool) = &span.tool {
        incident.texts.push(("tool.arguments".into(), &tool.arguments));
    }
    Some(incident)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Status, ToolUse};

    fn kinds(spans: Vec<Span>) -> Vec<(IncidentKind, Vec<String>)> {
        let trace = Trace { spans, ..Trace::default() };
        let found = find(&trace, &SpanTree::of(&trace), Deadline::after(Duration::from_mins(1))).unwrap();
        let signals = |incident: &Incident<'_>| incident.signals.iter().map(|signal| signal.text.clone()).collect();
        found.iter().map(|incident| (incident.kind, signals(incident))).collect()
    }

    fn answer(content: &str) -> Span {
        Span {
            span_id: "1".into(),
            kind: SpanKind::Llm,
            started_at_ns: Some(1),
            ended_at_ns: Some(2),
            output: vec![Message { content: content.into(), ..Message::default() }],
            ..Span::default()
        }
    }

    #[test]
    fn an_answer_that_was_cut_is_the_incident_where_something_failed_on_it() {
        let parse = Span {
            span_id: "2".into(),
            kind: SpanKind::Tool,
            started_at_ns: Some(3),
            ended_at_ns: Some(4),
            status: Status::Error,
            status_message: Some("Unterminated string".into()),
            tool: Some(ToolUse { name: "parse".into(), ..ToolUse::default() }),
            ..Span::default()
        };
        let cut = answer(r#"{"parts": [{"sku": "R2-ARM-07", "qt"#);
        let of_first = |spans: Vec<Span>| kinds(spans).first().map(|(kind, signals)| (*kind, signals.join(" ")));
        let expected = Some((IncidentKind::FinishReason, "answer_ends=inside_json_string".to_owned()));
        assert_eq!(of_first(vec![cut.clone(), parse.clone()]), expected);
        // An exporter may have cut the text; a missing bracket may be the model's own mistake.
        assert_eq!(of_first(vec![cut]), None);
        let bracket = answer(r#"{"parts": [{"sku": "R2-ARM-07"}"#);
        assert_eq!(of_first(vec![bracket, parse]).map(|(kind, _)| kind), Some(IncidentKind::Error));
    }

    #[test]
    fn refusals_are_told_from_other_regrets() {
        for (said, refused) in [
            ("I'm sorry, but I can't help with that.", true),
            ("I’m unable to assist with requests to harm others.", true),
            ("I must decline. Writing malware is something I will not do.", true),
            ("I don't feel comfortable helping with that.", true),
            ("I'm sorry, I could not compute the revenue because the query failed.", false),
            ("I will not be long: here is your report.", false),
            ("I have declined the invoice, as you asked.", false),
        ] {
            let found = kinds(vec![answer(said)]);
            assert_eq!(found.iter().any(|(kind, _)| *kind == IncidentKind::Refusal), refused, "{said}");
        }
    }
}
