//! Finds the incidents of a trace, span by span: spans with an error status, and failures without one (a truncated answer, a refusal, an empty
//! retrieval, an error in the text of a tool result).
//!
//! Knows nothing of rules: an incident records what was observed, and the catalogue decides what it means.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use super::announced_step;
use super::canned_answers;
use super::client_calls;
use super::code_results::failed_execution;
use super::control_flow::ControlFlow;
use super::copied_units;
use super::forced_answers;
use super::incident::{Incident, IncidentKind};
use super::recovery::mark_recovered;
use super::repetition::{ended_in_a_loop, repeated_calls};
use super::searches;
use super::signals::{self, Signal};
use super::text::{clip, expression, message_of};
use super::tool_incidents::{
    ToolMessages, failed_retrieval, failed_tool_result, incomplete_tool_call, is_incomplete_json, unknown_tool_call,
};
use super::tool_result;
use super::tree::SpanTree;
use crate::limits::EXCEPTIONS_READ_MAX;
use crate::model::{FinishReason, Message, Part, Span, SpanKind, Trace, last_segment};
use crate::runtime::{Deadline, TimedOut};

/// Attributes of a failed span that are searched for the cause of its error.
const ATTRIBUTES_READ_MAX: usize = 512;

/// Causes of an error that are read.
const CAUSES_MAX: usize = 3;

/// Every incident, in the order of the spans, with `recovered` set.
///
/// # Errors
/// [`TimedOut`].
pub(super) fn find<'t>(trace: &'t Trace, tree: &SpanTree, deadline: Deadline) -> Result<Vec<Incident<'t>>, TimedOut> {
    let mut found = Vec::new();
    // Many instrumentations do not record message content. Then an empty output means nothing.
    let records_content = trace.spans.iter().any(|span| span.input.iter().chain(&span.output).any(|message| !message.content.is_empty()));
    let any_failed = trace.spans.iter().any(Span::failed);
    let mut messages = ToolMessages::new(trace);
    let control_flow = ControlFlow::new(trace, tree);
    let tools_with_spans: HashSet<&str> = trace.spans.iter().filter_map(|span| Some(span.tool.as_ref()?.name.as_str())).collect();
    // Some frameworks have no spans of model calls, or ones without the answer, and record the conversation on the agent.
    let has_model_calls = trace.spans.iter().any(|span| span.kind == SpanKind::Llm && !span.output.is_empty());
    for (index, span) in trace.spans.iter().enumerate() {
        deadline.check()?;
        if span.failed() && !control_flow.contains(index) {
            found.extend(error(trace, tree, index));
            continue;
        }
        match span.kind {
            SpanKind::Llm => {
                found.extend(abnormal_finish(trace, index, any_failed).or_else(|| refusal(trace, index)));
                if records_content {
                    found.extend(empty_output(trace, index));
                }
                found.extend(messages.read(trace, index));
                found.extend(unknown_tool_call(trace, index).or_else(|| incomplete_tool_call(trace, index)));
            }
            SpanKind::Tool => found.extend(failed_tool_result(trace, index)),
            SpanKind::Agent if !has_model_calls && !span.output.is_empty() => {
                found.extend(abnormal_finish(trace, index, any_failed).or_else(|| refusal(trace, index)));
                found.extend(empty_output(trace, index));
                // A tool that has spans reports its failures itself.
                let has_span = |incident: &Incident<'_>| incident.tool.as_deref().is_some_and(|tool| tools_with_spans.contains(tool));
                found.extend(messages.read(trace, index).into_iter().filter(|incident| !has_span(incident)));
            }
            SpanKind::Retriever => {
                found.extend(failed_retrieval(trace, index).or_else(|| empty_retrieval(trace, index)).or_else(|| low_scores(trace, index)));
            }
            _ => {}
        }
    }
    drop_nested_duplicates(&mut found, tree);
    join_errors_above(&mut found, tree);
    mark_recovered(trace, tree, &mut found, &messages.outcomes, deadline)?;
    // Searches without a result and repetition are often part of another failure, so they count only if there is no other.
    if found.iter().all(|incident| incident.recovered) {
        found.extend(
            canned_answers::find(trace)
                .or_else(|| forced_answers::find(trace, tree))
                .or_else(|| failed_execution(trace))
                .or_else(|| announced_step::find(trace, tree))
                .or_else(|| copied_units::find(trace))
                .or_else(|| empty_search(trace))
                .or_else(|| repeated_calls(trace))
                .or_else(|| ended_in_a_loop(trace)),
        );
    }
    Ok(found)
}

/// Keeps one incident of two nested model spans, such as an instrumented OpenAI client below an instrumented LangChain model.
///
/// Both spans describe the same call. The inner one is kept because it is closer to the provider, unless it only has an empty output and the
/// outer one knows more, for example a refusal.
fn drop_nested_duplicates(found: &mut Vec<Incident<'_>>, tree: &SpanTree) {
    let kinds_of_llm_spans: HashMap<usize, IncidentKind> =
        found.iter().filter(|incident| incident.span.kind == SpanKind::Llm).map(|incident| (incident.index, incident.kind)).collect();
    found.retain(|incident| {
        if incident.span.kind != SpanKind::Llm || incident.kind == IncidentKind::Error {
            return true;
        }
        let is_better = |other: usize, wins_ties: bool| match kinds_of_llm_spans.get(&other) {
            Some(IncidentKind::EmptyOutput) => incident.kind == IncidentKind::EmptyOutput && wins_ties,
            Some(_) => incident.kind == IncidentKind::EmptyOutput || wins_ties,
            None => false,
        };
        let child_is_better = tree.children(incident.index).iter().any(|child| is_better(*child, true));
        !child_is_better && !tree.parent(incident.index).is_some_and(|parent| is_better(parent, false))
    });
}

/// Joins a step that failed without saying why with the error of a span around it, which does: Haystack records the exception only on the agent, and
/// Mastra the finish reason `error` on a model call that itself succeeded.
fn join_errors_above(found: &mut Vec<Incident<'_>>, tree: &SpanTree) {
    let is_interrupted = |incident: &Incident<'_>| {
        incident.kind == IncidentKind::FinishReason
            && incident.span.kind == SpanKind::Llm
            && incident.span.finish_reasons.last().is_some_and(|reason| reason.eq_ignore_ascii_case("error"))
    };
    let is_silent =
        |incident: &Incident<'_>| incident.kind == IncidentKind::Error && incident.unexplained && incident.span.kind == SpanKind::Llm;
    let is_interrupted = |incident: &Incident<'_>| is_interrupted(incident) || is_silent(incident);
    let errors: HashSet<usize> = found
        .iter()
        .filter(|incident| incident.kind == IncidentKind::Error && !incident.texts.is_empty())
        .map(|incident| incident.index)
        .collect();
    let above = |incident: &Incident<'_>| tree.self_and_ancestors(incident.index).skip(1).find(|ancestor| errors.contains(ancestor));
    let joined: HashMap<usize, usize> =
        found.iter().filter(|incident| is_interrupted(incident)).filter_map(|incident| Some((incident.index, above(incident)?))).collect();
    let outer: HashSet<usize> = joined.values().copied().collect();
    found.retain(|incident| !(is_interrupted(incident) && joined.contains_key(&incident.index)));
    for incident in found.iter_mut().filter(|incident| incident.kind == IncidentKind::Error && outer.contains(&incident.index)) {
        incident.step_kind = Some(SpanKind::Llm);
    }
}

/// Whether an attribute is the cause of an error: `error.cause`, `exception.cause.message`, `app.error.root_cause`.
fn names_a_cause(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let key = key.strip_suffix(".message").or_else(|| key.strip_suffix(".code")).unwrap_or(&key);
    let is_cause = ["cause", "root_cause", "rootcause"].iter().any(|word| key == *word || key.ends_with(&format!(".{word}")));
    is_cause || key.ends_with("error_cause") || key.ends_with("exception_cause")
}

/// A span with an error status or a recorded exception.
fn error<'t>(trace: &'t Trace, tree: &SpanTree, index: usize) -> Option<Incident<'t>> {
    let mut incident = Incident::new(trace, index, IncidentKind::Error)?;
    let span = incident.span;
    if let Some(message) = span.status_message.as_deref().filter(|message| !message.trim().is_empty()) {
        incident.texts.push(("status_message".into(), message));
    }
    // A retry loop may record thousands of exceptions. The first ones show the cause, the last ones what ended the span.
    let last_start = span.exceptions.len().saturating_sub(EXCEPTIONS_READ_MAX / 2);
    let is_read = |number: usize| number < EXCEPTIONS_READ_MAX / 2 || number >= last_start;
    for (number, exception) in span.exceptions.iter().enumerate().filter(|(number, _)| is_read(*number)) {
        // SDKs often copy the exception's message to the status.
        if !exception.message.trim().is_empty() && incident.texts.iter().all(|(_, known)| !known.contains(exception.message.as_str())) {
            incident.texts.push((format!("exceptions[{number}].message"), &exception.message));
        }
    }
    let causes = span.attributes.iter().take(ATTRIBUTES_READ_MAX).filter(|attribute| names_a_cause(&attribute.key));
    for attribute in causes.filter(|attribute| !attribute.value.trim().is_empty()).take(CAUSES_MAX) {
        if incident.texts.iter().all(|(_, known)| !known.contains(attribute.value.as_str())) {
            incident.texts.push((format!("attributes.{}", attribute.key), &attribute.value));
        }
    }
    // A tool that returned an error to the model may have a status without a text, or one that only names its type, `TOOL_ERROR`.
    let is_generic = incident.texts.iter().all(|(_, text)| Some(text.trim()) == span.error_type.as_deref());
    let result = span.tool.as_ref().and_then(|tool| tool.result.as_deref()).filter(|result| is_generic && !result.trim().is_empty());
    let returned = result.filter(|_| span.kind == SpanKind::Tool).map(|result| {
        let tool = span.tool.as_ref().map_or(("", ""), |tool| (tool.name.as_str(), tool.arguments.as_str()));
        (result, tool_result::error_in_result(tool.0, tool.1, result).unwrap_or_default())
    });
    if let Some((result, error)) = &returned {
        let messages = if error.messages.is_empty() { std::slice::from_ref(result) } else { error.messages.as_slice() };
        incident.texts.splice(0..0, messages.iter().map(|message| ("tool.result".to_owned(), *message)));
    }
    if client_calls::is_client_call(span) {
        incident.step = client_calls::step_of(trace, tree, index).and_then(|step| trace.spans.get(step));
        incident.step_kind = Some(client_calls::kind_of_call(span, incident.step));
    }
    if let Some((kind, field)) = signals::error_type(span) {
        incident.signals.push(Signal::new("error_type", last_segment(&kind), field));
        incident.error_type = Some(kind);
    }
    // An instrumentation may name only its own type, such as `TOOL_ERROR`, and the result the one that matters.
    if let Some(kind) = returned.as_ref().and_then(|(_, error)| error.error_type.clone()) {
        incident.signals.push(Signal::new("error_type", last_segment(&kind), "tool.result"));
        incident.error_type = Some(kind);
    }
    if matches!(span.kind, SpanKind::Agent | SpanKind::Chain | SpanKind::Other)
        && incident.step_kind.is_none()
        && signals::is_provider_error(incident.error_type.as_deref(), &incident.texts)
    {
        incident.step_kind = Some(SpanKind::Llm);
    }
    // The text is more reliable than the attribute, which may belong to a different request of the same span.
    let written_status = incident.texts.iter().find_map(|(field, text)| Some((signals::http_status(message_of(text))?, field.clone())));
    let returned_status = || Some((returned.as_ref()?.1.http_status?, "tool.result".to_owned()));
    if let Some((status, field)) = written_status.or_else(returned_status).or_else(|| signals::recorded_status(span)) {
        incident.signals.push(Signal::new("http_status", status, field));
        incident.status = Some(status);
    }
    if span.tool.as_ref().is_some_and(|tool| is_incomplete_json(&tool.arguments)) {
        incident.signals.push(Signal::new("arguments", "incomplete_json", "tool.arguments"));
    }
    if let Some((signal, status)) = signals::protocol_status(span) {
        incident.signals.push(signal);
        incident.status = incident.status.or(status);
    }
    incident.unexplained = incident.texts.is_empty() && incident.error_type.is_none() && incident.signals.is_empty();
    // Every pattern needs evidence, so the status itself is the signal if there is no better one.
    if incident.signals.is_empty() {
        incident.signals.push(Signal::new("span_status", "error", "status"));
    }
    Some(incident)
}

/// An answer that the provider stopped, by its last finish reason.
///
/// If no finish reason is known, an answer that ends inside a JSON string counts as truncated, but only if another span failed: the cut
/// may have been made by the exporter, and then nothing else fails.
fn abnormal_finish(trace: &Trace, index: usize, any_failed: bool) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::FinishReason)?;
    let last = incident.span.finish_reasons.iter().enumerate().next_back();
    let known = last.and_then(|(number, word)| Some((number, word, FinishReason::from_word(word)?)));
    let Some((number, word, reason)) = known.filter(|(.., reason)| *reason != FinishReason::Unknown) else {
        let last = incident.span.output.iter().enumerate().next_back();
        let (number, message) = last.filter(|(_, message)| any_failed && ends_inside_json_string(&message.content))?;
        let field = format!("output[{number}].content");
        incident.signals.push(Signal::new("answer_ends", "inside_json_string", field.clone()));
        incident.texts.push((field, &message.content));
        return Some(incident);
    };
    if !reason.is_abnormal() || (reason == FinishReason::Other && !is_other_of_provider(word, incident.span)) {
        return None;
    }
    incident.unexplained = reason == FinishReason::Other;
    incident.signals.push(Signal::new("finish_reason", word, format!("finish_reasons[{number}]")));
    push_last_output(&mut incident);
    Some(incident)
}

/// Whether "other" means that the provider stopped the answer. The Vercel AI SDK also writes it, in lower case, for every word of a provider that it
/// does not know; then an answer with content is complete.
fn is_other_of_provider(word: &str, span: &Span) -> bool {
    let has_content = |message: &Message| !message.content.trim().is_empty() || !message.tool_calls.is_empty();
    word.contains("OTHER") || !span.output.iter().any(has_content)
}

/// Whether a text is JSON that ends inside a string: `{"sku": "R2-AR`. A missing bracket (`{"sku": "R2"`) may be the model's own mistake, so it
/// does not count.
fn ends_inside_json_string(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(text)
            .is_err_and(|error| error.is_eof() && error.to_string().starts_with("EOF while parsing a string"))
}

/// A refusal, by the provider's refusal field or by the words of the answer.
///
/// The expression matches only the start of an answer, in the first person, with a verb of helping: "I'm sorry, but I can't help with that".
/// A failed attempt ("I'm sorry, I could not compute the revenue") or a change of plan ("I will not be long") is not a refusal.
fn refusal(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    /// Longer answers contain more than a refusal.
    const REFUSAL_BYTES_MAX: usize = 1_500;
    static REFUSAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            // An optional apology.
            r"(?i)^\W{0,3}(?:(?:i'?m|i am) (?:very |really |so )?sorry,? ?(?:but )?|sorry,? ?(?:but )?|unfortunately,? |i apologi[sz]e,? ?(?:but )?|as an ai[^.]{0,60},? )?",
            // "I cannot assist", "I must decline to help": a negation with a verb of helping.
            r"(?:(?:i (?:can'?t|cannot|can not|won'?t|will not|am not able to|am unable to|must decline to|decline to|have to decline)|i'?m (?:unable|not able) to)(?: to)? (?:help|assist|comply|provide|support|engage|fulfill?|discuss|participate|create|generate|share|disclose|answer that|do that)(?-u:\b)",
            // "I must decline."
            r"|i (?:must|have to|will) (?:respectfully )?decline(?-u:\b)",
            // "I don't feel comfortable".
            r"|i (?:don'?t|do not|am not|wouldn'?t) feel comfortable(?-u:\b)",
            // "This request violates".
            r"|(?:this|that|your) request (?:violates|goes against)(?-u:\b))",
        ))
    });
    let mut incident = Incident::new(trace, index, IncidentKind::Refusal)?;
    let (number, message) = incident.span.output.iter().enumerate().next_back()?;
    if let Some(refusal) = message.refusal.as_deref().filter(|refusal| !refusal.is_empty()) {
        let field = format!("output[{number}].refusal");
        incident.signals.push(Signal::new("refusal_field", "present", field.clone()));
        incident.texts.push((field, refusal));
        return Some(incident);
    }
    let answer = clip(&message.content);
    if answer.len() > REFUSAL_BYTES_MAX || !message.tool_calls.is_empty() || !REFUSAL.as_ref()?.is_match(&answer.replace('’', "'")) {
        return None;
    }
    let field = format!("output[{number}].content");
    incident.signals.push(Signal::new("refusal_text", "present", field.clone()));
    incident.texts.push((field, &message.content));
    Some(incident)
}

/// An answer without text, tool call or refusal. A span without any recorded output message, or with one that could not be read, does not count.
fn empty_output(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    /// An answer with more tokens than this had content that was not recorded, such as reasoning or an image.
    const OUTPUT_TOKENS_MAX: u64 = 20;
    let mut incident = Incident::new(trace, index, IncidentKind::EmptyOutput)?;
    let span = incident.span;
    let is_empty = |message: &Message| message.content.trim().is_empty() && message.tool_calls.is_empty() && message.refusal.is_none();
    // Another finish reason, such as a content filter, explains the empty answer.
    let ended_normally = span.finish_reasons.iter().all(|word| FinishReason::from_word(word) == Some(FinishReason::Stop));
    if span.output.is_empty()
        || span.not_understood.contains(Part::Output)
        || !span.output.iter().all(is_empty)
        || !ended_normally
        || span.usage.output.is_some_and(|tokens| tokens > OUTPUT_TOKENS_MAX)
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

/// The first tool that searches documents and found none, if no search of the run found any.
fn empty_search(trace: &Trace) -> Option<Incident<'_>> {
    let index = trace.spans.iter().position(searches::found_nothing).filter(|_| !searches::any_search_found(trace))?;
    let mut incident = Incident::new(trace, index, IncidentKind::EmptyRetrieval)?;
    let tool = incident.span.tool.as_ref()?;
    incident.signals.push(Signal::new("retrieved_documents", 0, "tool.result"));
    if !tool.arguments.is_empty() {
        incident.texts.push(("tool.arguments".into(), &tool.arguments));
    }
    Some(incident)
}

/// A retriever that returned an empty list. A span without recorded documents does not count.
fn empty_retrieval(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::EmptyRetrieval)?;
    let span = incident.span;
    span.documents.as_ref().filter(|documents| documents.is_empty())?;
    incident.signals.push(Signal::new("retrieved_documents", 0, "documents"));
    if let Some(query) = span.input_text.as_deref().filter(|query| !query.is_empty()) {
        incident.texts.push(("input_text".into(), query));
    }
    Some(incident)
}

/// Documents with low scores that share few words with the question.
///
/// Neither is enough alone. The scale of scores depends on the search engine (cosine similarity, BM25, a distance), and a paraphrase shares
/// few words with its question. Negative scores are another scale, so they do not count.
fn low_scores(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    const SCORE_LOW: f64 = 0.3;
    const SHARED_WORDS_LOW: f64 = 0.34;
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
    // A question of stopwords alone ("What is it?") shares nothing with any document, so it cannot show a mismatch.
    #[expect(clippy::cast_precision_loss, reason = "words of a question")]
    let share = if query.is_empty() { 1.0 } else { shared as f64 / query.len() as f64 };
    if !(0.0..SCORE_LOW).contains(&best) || share >= SHARED_WORDS_LOW {
        return None;
    }
    incident.signals.push(Signal::new("best_document_score", format!("{best:.2}"), "documents"));
    incident.signals.push(Signal::new("question_words_in_documents", format!("{shared}/{}", query.len()), "documents"));
    if let Some(document) = documents.first() {
        incident.texts.push(("documents[0].content".into(), &document.content));
    }
    Some(incident)
}

/// The words of a text without stopwords and single characters, in lower case.
fn content_words(text: &str) -> HashSet<String> {
    const STOPWORDS: [&str; 34] = [
        "the", "and", "for", "what", "which", "how", "does", "did", "are", "was", "were", "with", "from", "that", "this", "when", "where",
        "who", "why", "can", "you", "your", "our", "has", "is", "of", "in", "to", "do", "it", "my", "an", "on", "at",
    ];
    let words = clip(text).split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| word.chars().count() >= 2 && !STOPWORDS.contains(&word.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Status, ToolCall, ToolUse};

    #[test]
    fn an_interrupted_answer_is_explained_by_the_error_above() {
        let span = |id: &str, parent: Option<&str>, kind| Span {
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            kind,
            ..Span::default()
        };
        let run = Span { status: Status::Error, status_message: Some("429 Slow down".into()), ..span("1", None, SpanKind::Agent) };
        let call = Span { finish_reasons: vec!["error".into()], ..span("3", Some("2"), SpanKind::Llm) };
        let trace = Trace { spans: vec![run, span("2", Some("1"), SpanKind::Chain), call.clone()], ..Trace::default() };
        let found = find(&trace, &SpanTree::new(&trace), Deadline::after(Duration::from_mins(1))).unwrap();
        let [incident] = found.as_slice() else { panic!("{} incidents", found.len()) };
        assert_eq!((incident.kind, incident.index, incident.span_kind()), (IncidentKind::Error, 0, SpanKind::Llm));
        assert_eq!(kinds(vec![call]), [(IncidentKind::FinishReason, vec!["finish_reason=error".to_owned()])]);
    }

    #[test]
    fn a_model_call_that_failed_without_a_word_is_explained_by_the_error_above() {
        let agent = Span { span_id: "1".into(), status: Status::Error, status_message: Some("429 Slow down".into()), ..Span::default() };
        let call =
            Span { span_id: "2".into(), parent_span_id: Some("1".into()), kind: SpanKind::Llm, status: Status::Error, ..Span::default() };
        let trace = Trace { spans: vec![Span { kind: SpanKind::Agent, ..agent }, call], ..Trace::default() };
        let found = find(&trace, &SpanTree::new(&trace), Deadline::after(Duration::from_mins(1))).unwrap();
        let [incident] = found.as_slice() else { panic!("{} incidents", found.len()) };
        assert_eq!((incident.index, incident.span_kind()), (0, SpanKind::Llm));
    }

    #[test]
    fn a_page_that_is_only_a_check_for_bots_is_a_failure() {
        let page = |text: &str| {
            let tool = ToolUse { name: "fetch".into(), result: Some(text.into()), ..ToolUse::default() };
            kinds(vec![Span { kind: SpanKind::Tool, tool: Some(tool), ..Span::default() }])
        };
        for text in ["Just a moment... Checking your browser before you visit shop.example", "Please complete the CAPTCHA to go on"] {
            assert_eq!(page(text), [(IncidentKind::ToolResult, vec!["page=bot_check".to_owned()])], "{text}");
        }
        assert_eq!(page("Prices: a room is 80 EUR, breakfast 9 EUR."), []);
    }

    #[test]
    fn a_run_that_ends_in_a_loop_has_no_answer() {
        let turn = |id: &str| {
            let call = ToolCall { id: Some(id.into()), name: "poll".into(), arguments: r#"{"id": 7}"#.into() };
            Span { output: vec![Message { tool_calls: vec![call], ..Message::default() }], ..answer("") }
        };
        let turns = |ids: &[&str]| ids.iter().map(|id| turn(id)).collect::<Vec<_>>();
        assert_eq!(kinds(turns(&["a", "b", "c"])), [(IncidentKind::RepeatedCalls, vec!["run_ends=after_tool_call".to_owned()])]);
        // The same call in nested spans, and a run that ends with an answer.
        assert_eq!(kinds(turns(&["a", "b", "b"])), []);
        assert_eq!(kinds([turns(&["a", "b", "c"]), vec![answer("It is late.")]].concat()), []);
    }

    fn kinds(spans: Vec<Span>) -> Vec<(IncidentKind, Vec<String>)> {
        let trace = Trace { spans, ..Trace::default() };
        let found = find(&trace, &SpanTree::new(&trace), Deadline::after(Duration::from_mins(1))).unwrap();
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
    fn a_truncated_answer_is_the_incident_if_a_later_step_failed() {
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
    fn a_call_with_incomplete_arguments_fails_if_nothing_follows() {
        let call = ToolCall { id: None, name: "lookup".into(), arguments: r#"{"id": "A-1"#.into() };
        let asks = Span { output: vec![Message { tool_calls: vec![call], ..Message::default() }], ..answer("") };
        assert_eq!(kinds(vec![asks.clone()]), [(IncidentKind::ToolResult, vec!["arguments=incomplete_json".to_owned()])]);
        assert_eq!(kinds(vec![asks, Span { started_at_ns: Some(3), ..answer("It is late.") }]), []);
    }

    #[test]
    fn a_failed_tool_with_incomplete_arguments_was_called_with_them() {
        for (arguments, incomplete) in [(r#"{"id": "A-1"#, true), (r#"{"id": 17}"#, false), ("{'id': 17}", false), ("A-17", false)] {
            let tool = ToolUse { name: "lookup".into(), arguments: arguments.into(), ..ToolUse::default() };
            let span = Span { span_id: "1".into(), kind: SpanKind::Tool, status: Status::Error, tool: Some(tool), ..Span::default() };
            let signals = kinds(vec![span]).remove(0).1;
            assert_eq!(signals.contains(&"arguments=incomplete_json".to_owned()), incomplete, "{arguments}");
        }
    }

    #[test]
    fn an_exception_that_hands_over_control_is_no_failure() {
        let raised = |kind: &str| {
            let exceptions = vec![crate::model::Exception { kind: kind.into(), ..crate::model::Exception::default() }];
            kinds(vec![Span { kind: SpanKind::Tool, status: Status::Error, exceptions, ..Span::default() }])
        };
        assert_eq!(raised("langgraph.errors.GraphInterrupt"), []);
        assert_eq!(raised("langgraph.errors.GraphRecursionError").len(), 1);
    }

    #[test]
    fn finish_reasons_are_read_in_every_spelling() {
        let finished = |words: &[&str], content: &str| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            kinds(vec![Span { finish_reasons: words, ..answer(content) }])
        };
        for word in ["length", "MAX_TOKENS", "maxTokens", "FinishReason.MAX_TOKENS", "content-filter", "malformed_tool_use"] {
            assert_eq!(finished(&[word], "It is"), [(IncidentKind::FinishReason, vec![format!("finish_reason={word}")])], "{word}");
        }
        // A normal end, an answer that continues, and words that say nothing.
        for word in ["COMPLETE", "eos_token", "tool-calls", "pause_turn", "unknown", "other", "because"] {
            assert_eq!(finished(&[word], "It is late."), [], "{word}");
        }
        assert_eq!(finished(&["OTHER"], "It is late.").len(), 1);
        assert_eq!(finished(&["stop", "length"], "It is").len(), 1);
        for (word, is_empty_answer) in [("COMPLETE", true), ("end_turn", true), ("because", false), ("length", false)] {
            let empty = Span { finish_reasons: vec![word.to_owned()], ..answer("") };
            let found = kinds(vec![answer("This trace records contents."), empty]);
            assert_eq!(found.iter().any(|(kind, _)| *kind == IncidentKind::EmptyOutput), is_empty_answer, "{word}");
        }
    }

    #[test]
    fn refusals_are_distinguished_from_other_apologies() {
        for (text, refused) in [
            ("I'm sorry, but I can't help with that.", true),
            ("I’m unable to assist with requests to harm others.", true),
            ("I must decline. Writing malware is something I will not do.", true),
            ("I don't feel comfortable helping with that.", true),
            ("I'm sorry, I could not compute the revenue because the query failed.", false),
            ("I will not be long: here is your report.", false),
            ("I have declined the invoice, as you asked.", false),
        ] {
            let found = kinds(vec![answer(text)]);
            assert_eq!(found.iter().any(|(kind, _)| *kind == IncidentKind::Refusal), refused, "{text}");
        }
    }
}
