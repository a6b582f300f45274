//! Turns a model's answer into a draft: parses its JSON, checks it against the vocabulary and the trace, and reports why an answer is unusable.
//!
//! The draft keeps the facts, incidents and spans that the rules found, also if the model names another failure: they are true of the trace whatever
//! failed. The failed step is the one that the model quotes.

use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::Value;
use serde_json::value::RawValue;

use super::answer_fields::{AnswerFields, Quote};
use super::api::{FinishReason, RawAnswer};
use super::numbers;
use super::prompt::{GAP_END, GAP_START, INSTRUCTIONS, Prompt};
use crate::analyze::embedded::{Findings, draft_about, step_of_span};
use crate::analyze::evidence::{self, Grounding};
use crate::limits::{EVIDENCE_ITEMS_MAX, EXCERPT_CHARS_MAX};
use crate::model::{Draft, Evidence, EvidenceKind, Fact, FailedStep, Label, RejectionKind, Trace, vocabulary};
use crate::redact::RedactedTrace;
use crate::runtime::{Deadline, TimedOut};

/// The JSON Schema of an answer, with the labels of the vocabulary. It is text because models write properties in its order.
pub(super) fn schema() -> &'static RawValue {
    static SCHEMA: LazyLock<Box<RawValue>> = LazyLock::new(|| {
        let labels: Vec<String> =
            vocabulary().iter().flat_map(|(category, factors)| factors.iter().map(move |factor| format!("{category}/{factor}"))).collect();
        let labels = Value::from(labels).to_string();
        let text = include_str!("answer.schema.json").replacen("\"enum\": []", &format!("\"enum\": {labels}"), 1);
        RawValue::from_string(text).unwrap_or_default()
    });
    &SCHEMA
}

/// Why an answer is unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InvalidAnswer {
    pub(super) kind: RejectionKind,
    /// The rejection reason; does not quote the answer.
    pub(super) reason: String,
    /// The feedback to the model if it is asked again; `None` if that cannot help. Part of the prompt.
    pub(super) feedback: Option<String>,
    /// The number of its excerpts, and of those that were found.
    pub(super) grounding: Grounding,
}

impl InvalidAnswer {
    fn new(kind: RejectionKind, reason: impl Into<String>, feedback: Option<&str>) -> Self {
        Self { kind, reason: reason.into(), feedback: feedback.map(str::to_owned), grounding: Grounding::default() }
    }

    /// JSON that does not match the schema; `problem` names the field.
    fn schema_mismatch(problem: &str) -> Self {
        Self::new(RejectionKind::AnswerOffSchema, format!("the answer does not match the schema: {problem}"), Some(problem))
    }

    fn empty(finish_reason: Option<&str>) -> Self {
        let suffix = finish_reason.map(|reason| format!(" (finish reason: {reason})"));
        Self::new(RejectionKind::AnswerEmpty, format!("the answer is empty{}", suffix.unwrap_or_default()), Some("it was empty"))
    }
}

/// Checks an answer against the trace and makes a draft of it. Also returns how many of its excerpts were found.
///
/// # Errors
/// [`TimedOut`], if there is no time to look up the excerpts and numbers.
pub(super) fn draft(
    answer: &RawAnswer,
    prompt: &Prompt,
    trace: &RedactedTrace,
    findings: &Findings,
    deadline: Deadline,
) -> Result<Result<(Draft, Grounding), InvalidAnswer>, TimedOut> {
    let (mut draft, label, signals) = match unverified_draft(answer, prompt, trace, findings) {
        Ok(unverified) => unverified,
        Err(invalid) => return Ok(Err(invalid)),
    };
    let grounding = evidence::verify(&mut draft, trace, deadline)?;
    let Signals { found, unknown } = signals;
    if unknown > 0 {
        draft.confidence *= 0.8;
        let (signals, were) = if unknown == 1 { ("signal", "was") } else { ("signals", "were") };
        // Writing to a string cannot fail.
        let _ = write!(draft.confidence_rationale, " {unknown} {signals} that failsift did not find {were} dropped.");
    }
    let numbers = numbers::check(&draft, trace, findings, deadline)?;
    numbers.penalize(&mut draft);
    draft.step = failed_step(&draft, label, &found, trace, findings);
    draft.evidence.extend(found);
    let checked = check(draft, label, findings, grounding).and_then(|checked| match numbers.rejection() {
        Some((reason, feedback)) => Err(InvalidAnswer::new(RejectionKind::AnswerUngrounded, reason, Some(&feedback))),
        None => Ok(checked),
    });
    Ok(checked.map_err(|invalid| InvalidAnswer { grounding, ..invalid }))
}

/// The step that failed: that of the first excerpt, or else of the first signal. The rules know more about their step than its span shows, such as
/// the HTTP status and the retries.
fn failed_step(draft: &Draft, label: Label, signals: &[Evidence], trace: &Trace, findings: &Findings) -> FailedStep {
    if label.is_healthy() {
        return FailedStep::default();
    }
    let Some(id) = draft.evidence.iter().chain(signals).find_map(|evidence| evidence.span_id.as_deref()) else {
        return FailedStep::default();
    };
    let by_rule = &findings.verdict.step;
    if by_rule.failed_span_id.as_deref() == Some(id) {
        return by_rule.clone();
    }
    trace.spans.iter().find(|span| span.span_id == id).map(|span| step_of_span(trace, span)).unwrap_or_default()
}

/// The draft that an answer claims, with excerpts that are not looked up yet.
fn unverified_draft(
    answer: &RawAnswer,
    prompt: &Prompt,
    trace: &RedactedTrace,
    findings: &Findings,
) -> Result<(Draft, Label, Signals), InvalidAnswer> {
    let fields = parse(answer)?;
    let label = Label::parse(fields.label.trim()).map_err(|_| InvalidAnswer {
        feedback: Some("the label is none of those that are listed, written as category/factor".to_owned()),
        ..InvalidAnswer::schema_mismatch("label is outside the vocabulary")
    })?;
    let texts = [&fields.title, &fields.summary, &fields.root_cause_hypothesis, &fields.confidence_rationale];
    if texts.into_iter().chain(&fields.actions).any(|text| repeats_instructions(text, prompt)) {
        return Err(InvalidAnswer::new(
            RejectionKind::AnswerOffSchema,
            "the answer repeats the instructions, perhaps because a text of the trace told the model to",
            Some("it repeated the instructions"),
        ));
    }
    let quoted: Vec<Evidence> = fields.evidence.iter().filter_map(|quote| excerpt(quote, trace)).take(EVIDENCE_ITEMS_MAX).collect();
    let signals = match_signals(&fields.signals, findings);
    let span = quoted.first().and_then(|evidence| evidence.span_id.as_deref());
    let span = span.or_else(|| signals.found.first().and_then(|signal| signal.span_id.as_deref()));
    let span = span.and_then(|id| trace.spans.iter().find(|span| span.span_id == id));
    let draft = Draft {
        title: truncated(&fields.title.split_whitespace().collect::<Vec<_>>().join(" "), 200),
        summary: truncated(&fields.summary, 4_000),
        root_cause_hypothesis: truncated(&fields.root_cause_hypothesis, 4_000),
        actions: fields.actions.iter().map(|action| truncated(action, 500)).filter(|action| !action.is_empty()).take(10).collect(),
        confidence: fields.confidence.clamp(0.0, CONFIDENCE_MAX),
        confidence_rationale: rationale(&fields.confidence_rationale),
        evidence: quoted,
        facts: findings.verdict.facts.clone(),
        incidents: findings.verdict.incidents.clone(),
        span_tree: findings.verdict.span_tree.clone(),
        profile: findings.verdict.profile.clone(),
        ..draft_about(trace, label, span)
    };
    Ok((draft, label, signals))
}

/// The highest confidence of a model's verdict, because models are not calibrated.
const CONFIDENCE_MAX: f64 = 0.95;

/// The highest confidence of a verdict that contradicts a sure rule about an explicit failure.
const DISPUTED_CONFIDENCE_MAX: f64 = 0.7;

/// The confidence from which a rule is sure; the confidence of rules is calibrated.
const SURE_CONFIDENCE_MIN: f64 = 0.85;

/// Checks that the draft is complete, has evidence, and does not deny an explicit failure.
fn check(mut draft: Draft, label: Label, findings: &Findings, grounding: Grounding) -> Result<(Draft, Grounding), InvalidAnswer> {
    let texts = [("title", &draft.title), ("summary", &draft.summary), ("root_cause_hypothesis", &draft.root_cause_hypothesis)];
    let empty = texts.into_iter().find(|(_, text)| text.is_empty()).map(|(name, _)| name);
    if let Some(name) = empty.or_else(|| draft.actions.is_empty().then_some("actions")) {
        return Err(InvalidAnswer::schema_mismatch(&format!("{name} must not be empty")));
    }
    if label.is_healthy() && findings.has_explicit_failure {
        return Err(InvalidAnswer::new(
            RejectionKind::AnswerContradicted,
            "the answer reports no failure, but the trace plainly shows one",
            Some("it says that nothing failed, although a step failed and no later step made up for it"),
        ));
    }
    if draft.evidence.is_empty() && !label.is_healthy() {
        return Err(InvalidAnswer::new(
            RejectionKind::AnswerUngrounded,
            "none of the answer's evidence was found in the trace",
            Some("none of its excerpts stands in the trace; copy them from the trace character for character"),
        ));
    }
    let label_by_rule = findings.verdict.label;
    if findings.has_explicit_failure && findings.verdict.confidence >= SURE_CONFIDENCE_MIN && label_by_rule != label {
        // Rules are seldom wrong about an explicit failure, and no text of a trace can influence them.
        draft.confidence = draft.confidence.min(DISPUTED_CONFIDENCE_MAX);
        let _ = write!(draft.confidence_rationale, " failsift's own rules say {label_by_rule}.");
    }
    add_known_signals(&mut draft, findings);
    Ok((draft, grounding))
}

/// Adds signals that failsift found itself. They do not count as the model's evidence, but help the reader. A draft without any evidence gets the
/// number of spans that were checked.
fn add_known_signals(draft: &mut Draft, findings: &Findings) {
    let known: Vec<Evidence> = findings.signals.iter().filter(|signal| !draft.evidence.contains(signal)).cloned().collect();
    let room = EVIDENCE_ITEMS_MAX.saturating_sub(draft.evidence.len()).min(3);
    draft.evidence.extend(known.into_iter().take(if draft.evidence.is_empty() { room.max(1) } else { room }));
    if draft.evidence.is_empty() {
        draft.evidence.push(Evidence {
            kind: EvidenceKind::Signal,
            span_id: None,
            field: None,
            signal: Some(format!("spans_checked={}", draft.spans_total)),
            excerpt: None,
            verified: true,
        });
    }
}

/// Parses the JSON of an answer.
fn parse(answer: &RawAnswer) -> Result<AnswerFields, InvalidAnswer> {
    let text = answer.text.trim();
    match &answer.finish_reason {
        FinishReason::Blocked(reason) => {
            return Err(InvalidAnswer::new(RejectionKind::AnswerBlocked, format!("the provider blocked the answer: {reason}"), None));
        }
        // Before truncation: an endless repetition ends at the limit too, but a shorter answer would not help.
        _ if is_repetitive(text) => {
            return Err(InvalidAnswer::new(
                RejectionKind::AnswerRepetitive,
                "the answer repeats the same text endlessly",
                Some("it repeated itself without end"),
            ));
        }
        FinishReason::Truncated => {
            return Err(InvalidAnswer::new(
                RejectionKind::AnswerTruncated,
                "the answer was truncated; --output-tokens allows longer answers",
                Some("it was too long; be brief"),
            ));
        }
        FinishReason::Other(reason) if text.is_empty() => return Err(InvalidAnswer::empty(Some(reason))),
        FinishReason::Completed | FinishReason::Other(_) => {}
    }
    if text.is_empty() {
        return Err(InvalidAnswer::empty(None));
    }
    let value = find_json(text).map_err(|error| {
        let problem = if error.is_eof() { "incomplete JSON" } else { "not valid JSON" };
        InvalidAnswer::new(
            RejectionKind::AnswerNotJson,
            format!("the answer is {problem} (line {}, column {})", error.line(), error.column()),
            Some("it was no JSON; answer with one JSON object and nothing else"),
        )
    })?;
    AnswerFields::from_json(&value).map_err(|problem| InvalidAnswer::schema_mismatch(&problem))
}

/// Finds the JSON object in an answer of a server that does not enforce JSON: after thoughts, in a Markdown fence, between sentences.
fn find_json(text: &str) -> Result<Value, serde_json::Error> {
    /// Opening braces that are tried; a text with more before its object is not an answer.
    const STARTS_MAX: usize = 64;
    // Some chat templates open the thoughts themselves, so the answer only has the closing tag.
    let is_thought = |before: &str| before.starts_with("<think") || !before.contains('{');
    let content = text.split_once("</think>").filter(|(thought, content)| is_thought(thought) && content.contains('{'));
    let content = content.map_or(text, |(_, content)| content.trim());
    let whole = serde_json::from_str(content);
    if whole.is_ok() {
        return whole;
    }
    let starts = content.match_indices('{').take(STARTS_MAX).filter_map(|(at, _)| content.get(at..));
    let mut objects = starts.filter_map(|rest| serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok());
    if let Some(found) = objects.find(|object| object.get("label").is_some()) {
        return Ok(found);
    }
    // Returns the error of the longest part that may have been the object; without any braces, of the whole text.
    let braced = content.find('{').zip(content.rfind('}')).and_then(|(from, to)| content.get(from..=to));
    serde_json::from_str(if content.starts_with('{') { content } else { braced.unwrap_or(content) })
}

/// Whether a text ends in repetitions of a short period.
fn is_repetitive(text: &str) -> bool {
    const TAIL_BYTES: usize = 1_200;
    const PERIOD_BYTES_MAX: usize = 200;
    let bytes = text.as_bytes();
    let Some(tail) = bytes.len().checked_sub(TAIL_BYTES).and_then(|from| bytes.get(from..)) else { return false };
    (1..=PERIOD_BYTES_MAX).any(|period| tail.iter().zip(tail.iter().skip(period)).all(|(left, right)| left == right))
}

/// Whether a text contains the prompt's fence or a line of the instructions.
fn repeats_instructions(text: &str, prompt: &Prompt) -> bool {
    /// Shorter lines, such as explanations of labels, may occur in a valid answer.
    const LINE_BYTES_MIN: usize = 80;
    let lines = INSTRUCTIONS.lines().filter(|line| line.len() >= LINE_BYTES_MIN);
    text.contains(&prompt.fence) || (text.len() >= LINE_BYTES_MIN && lines.into_iter().any(|line| text.contains(line)))
}

/// A quote as evidence that is not looked up yet; `None` if it is empty.
fn excerpt(quote: &Quote, trace: &Trace) -> Option<Evidence> {
    let index = quote.span.and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
    let span = index.and_then(|index| trace.spans.get(index));
    // A quote across a gap of the prompt does not occur in the trace, but its longest part does.
    let parts = quote.excerpt.split(GAP_START).flat_map(|part| part.split(GAP_END));
    let excerpt = parts.map(str::trim).max_by_key(|part| part.len())?;
    let excerpt: String = excerpt.chars().take(EXCERPT_CHARS_MAX).collect();
    // The prompt shows the role after the name: `input[0].content (user)`.
    let field = quote.field.split(" (").next().unwrap_or_default().trim().to_owned();
    (!excerpt.is_empty()).then(|| Evidence {
        kind: EvidenceKind::Excerpt,
        span_id: span.map(|span| span.span_id.clone()),
        field: Some(field),
        signal: None,
        excerpt: Some(excerpt.trim().to_owned()),
        verified: false,
    })
}

/// The signals that a model names.
struct Signals {
    /// Those that failsift found too.
    found: Vec<Evidence>,
    /// The number of others.
    unknown: usize,
}

fn match_signals(named: &[String], findings: &Findings) -> Signals {
    let mut found: Vec<Evidence> = Vec::new();
    let mut unknown = 0;
    for name in named.iter().take(EVIDENCE_ITEMS_MAX) {
        let name = name.trim().trim_start_matches("- ").trim_matches('"');
        // The prompt shows the span after the signal: `"http_status=429" (span 3)`.
        let is_named = |signal: &&Evidence| {
            signal.signal.as_deref().is_some_and(|signal| {
                signal == name || name.strip_prefix(signal).is_some_and(|rest| rest.trim_matches('"').starts_with(" (span"))
            })
        };
        match findings.signals.iter().find(is_named) {
            Some(signal) if found.contains(signal) => {}
            Some(signal) => found.push(signal.clone()),
            // Some models list facts here, as they stand in the prompt.
            None if findings.verdict.facts.iter().any(|fact| names_fact(name, fact)) => {}
            None => unknown += 1,
        }
    }
    Signals { found, unknown }
}

/// Whether a text names a fact, alone or with its value: `"limit_tokens" = "128000" tokens`.
fn names_fact(text: &str, fact: &Fact) -> bool {
    let Some(rest) = text.strip_prefix(fact.name.as_str()) else { return false };
    let is_whole_name = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    is_whole_name && (rest.trim_matches(['"', ' ']).is_empty() || rest.contains(fact.value.as_str()))
}

fn rationale(text: &str) -> String {
    let text = truncated(text, 1_500);
    if text.is_empty() { "The model gave no reason; its confidence is not calibrated.".to_owned() } else { text }
}

/// At most `chars_max` characters of a text. A paid answer is not discarded for its length.
fn truncated(text: &str, chars_max: usize) -> String {
    let text = text.trim();
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::analyze::embedded::Embedded;
    use crate::analyze::llm::prompt;
    use crate::model::{Exception, Span, SpanKind, Status};
    use crate::redact::{RedactionKey, Redactor};

    /// What becomes of an answer with these fields to a trace whose model call is rate-limited, inside an agent.
    fn answered(fields: &Value) -> Result<Draft, InvalidAnswer> {
        let deadline = Deadline::after(Duration::from_mins(1));
        let agent = Span {
            span_id: "a".into(),
            name: "agent".into(),
            kind: SpanKind::Agent,
            input_text: Some("find the red shoes".into()),
            ..Span::default()
        };
        let call = Span {
            span_id: "b".into(),
            parent_span_id: Some("a".into()),
            name: "chat".into(),
            kind: SpanKind::Llm,
            status: Status::Error,
            exceptions: vec![Exception {
                kind: "openai.RateLimitError".into(),
                message: "Error code: 429 - Rate limit reached: limit 30000, used 29950".into(),
                ..Exception::default()
            }],
            ..Span::default()
        };
        let trace = Trace { trace_id: "t".into(), spans: vec![agent, call], ..Trace::default() };
        let trace = Redactor::new(RedactionKey::from_text("a key for tests only").unwrap()).redact_trace(trace, deadline).unwrap();
        let findings = Embedded::new().unwrap().findings(&trace, deadline).unwrap();
        let mut answer = json!({
            "evidence": [{"span": 2, "field": "exceptions[0].message", "excerpt": "Rate limit reached"}], "signals": [],
            "label": "provider_error/rate_limited", "title": "t", "summary": "s", "root_cause_hypothesis": "h", "actions": ["a"],
            "confidence": 0.8, "confidence_rationale": "r.",
        });
        for (name, value) in fields.as_object().unwrap() {
            answer[name] = value.clone();
        }
        let text = answer.to_string();
        let raw = RawAnswer { generated_bytes: text.len(), text, finish_reason: FinishReason::Completed, model: None, usage: None };
        draft(&raw, &prompt::render(&trace, &findings, 8_000), &trace, &findings, deadline).unwrap().map(|(draft, _)| draft)
    }

    #[test]
    fn the_failed_step_is_the_quoted_one_with_what_the_rules_know_of_it() {
        let by_rule = answered(&json!({})).unwrap();
        assert_eq!(by_rule.step.failed_span_id.as_deref(), Some("b"));
        assert_eq!((by_rule.step.http_status, by_rule.step.error_type.as_deref()), (Some(429), Some("openai.RateLimitError")));
        // The excerpt stands in another span than the answer says.
        let misplaced = json!({"evidence": [{"span": 1, "field": "input_text", "excerpt": "Rate limit reached"}]});
        assert_eq!(answered(&misplaced).unwrap().step, by_rule.step);
        let other = json!({
            "evidence": [{"span": 1, "field": "input_text", "excerpt": "find the red shoes"}], "label": "reasoning_error/task_misunderstood",
        });
        let other = answered(&other).unwrap();
        assert_eq!((other.step.failed_span_id.as_deref(), other.step.http_status), (Some("a"), None));
        // What the rules found is true whatever failed.
        assert_eq!((&other.facts, &other.incidents), (&by_rule.facts, &by_rule.incidents));
        assert_eq!(other.incidents.len(), 1);
    }

    #[test]
    fn invented_numbers_lower_the_confidence_or_make_an_answer_unusable() {
        let right = answered(&json!({"summary": "It used 29,950 of 30,000 tokens (50 were left) and got HTTP 429."})).unwrap();
        assert!((right.confidence - 0.8).abs() < 1e-9 && !right.confidence_rationale.contains("number"), "{right:?}");
        let one = answered(&json!({"title": "31,500 of 30,000 tokens", "summary": "It used 31,500 tokens."})).unwrap();
        assert!((one.confidence - 0.8 * 0.8).abs() < 1e-9, "{one:?}");
        assert!(one.confidence_rationale.contains(" 1 number (“31,500”) does not occur in the trace."), "{one:?}");
        assert_eq!(one.title, "31,500 of 30,000 tokens", "texts are not changed");
        let many = answered(&json!({"summary": "It used 31,500 tokens in 77.7 s.", "actions": ["Remove the 4,321 rows."]})).unwrap_err();
        assert_eq!(many.kind, RejectionKind::AnswerUngrounded);
        assert_eq!(many.reason, "3 of 3 numbers of the answer do not occur in the trace");
        assert!(many.feedback.unwrap().contains("“31,500”, “77.7 s”, “4,321”"));
    }

    #[test]
    fn facts_among_the_signals_are_no_invented_signals() {
        let findings = |facts| Findings {
            verdict: Draft { facts, ..Draft::sample("s") },
            signals: Vec::new(),
            spans: Vec::new(),
            has_explicit_failure: true,
        };
        let fact = Fact { name: "limit_tokens".into(), value: "128000".into(), unit: None, span_id: None, field: None };
        let named = ["\"limit_tokens\" = \"128000\" tokens", "- \"limit_tokens\"", "limit_tokens", "limit_tokens_2=1", "limit_tokens=9"]
            .map(str::to_owned);
        let signals = match_signals(&named, &findings(vec![fact]));
        assert_eq!((signals.found.len(), signals.unknown), (0, 2));
    }

    #[test]
    fn the_json_is_found_after_thoughts_in_fences_and_between_sentences() {
        let object = json!({"label": "a/b", "title": "</think> {x}"});
        for text in [
            object.to_string(),
            format!("<think>\nIs it {{\"label\"}}? No: {{1}}.\n</think>\n\n{object}"),
            format!("It began before. </think>{object}"),
            format!("Here you are:\n```json\n{object}\n```\nAnything {{else}}?"),
            format!("I used {{shelf}} and {{}} before.\n{object}"),
        ] {
            assert_eq!(find_json(&text).unwrap(), object, "{text}");
        }
        assert!(find_json("{\"label\": \"a/b\"").unwrap_err().is_eof());
        assert!(find_json("<think>{\"label\": 1").is_err() && find_json("no").is_err());
    }
}
