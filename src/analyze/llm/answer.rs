//! What a model said, as a draft; or why it is none.

use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::Value;
use serde_json::value::RawValue;

use super::api::{End, Reply};
use super::prompt::{GAP_END, GAP_START, INSTRUCTIONS, Prompt};
use super::written::{Quotation, Written};
use crate::analyze::embedded::{Findings, draft_about};
use crate::analyze::evidence::{self, Grounding};
use crate::limits::{EVIDENCE_ITEMS_MAX, EXCERPT_CHARS_MAX};
use crate::model::{Draft, Evidence, EvidenceKind, Label, RejectionKind, Trace, vocabulary};
use crate::redact::RedactedTrace;
use crate::runtime::{Deadline, TimedOut};

/// The schema of an answer, with the labels of the vocabulary, as text: models write properties in its order.
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

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) kind: RejectionKind,
    /// For a person; quotes nothing of the answer.
    pub(super) reason: String,
    /// What the model is told, where asking again may help.
    pub(super) complaint: Option<String>,
    /// What became of its excerpts.
    pub(super) grounding: Grounding,
}

impl Unusable {
    fn new(kind: RejectionKind, reason: impl Into<String>, complaint: Option<&str>) -> Self {
        Self { kind, reason: reason.into(), complaint: complaint.map(str::to_owned), grounding: Grounding::default() }
    }

    /// JSON of another shape than was asked for; `what` names the field.
    fn off_schema(what: &str) -> Self {
        Self::new(RejectionKind::AnswerOffSchema, format!("the model's answer is not of the shape that was asked for: {what}"), Some(what))
    }
}

/// The draft that an answer makes, checked against the trace, and what became of its excerpts.
///
/// # Errors
/// [`TimedOut`], where there is no time to look up what it quotes.
pub(super) fn draft(
    reply: &Reply,
    prompt: &Prompt,
    trace: &RedactedTrace,
    findings: &Findings,
    deadline: Deadline,
) -> Result<Result<(Draft, Grounding), Unusable>, TimedOut> {
    let (mut draft, label, signals) = match claimed(reply, prompt, trace, findings) {
        Ok(claimed) => claimed,
        Err(unusable) => return Ok(Err(unusable)),
    };
    let grounding = evidence::verify(&mut draft, trace, deadline)?;
    let Signals { found, unknown } = signals;
    if unknown > 0 {
        draft.confidence *= 0.8;
        // Writing to a string cannot fail.
        let _ = write!(draft.confidence_rationale, " {unknown} of its signals are none that failsift found, and were dropped.");
    }
    draft.evidence.extend(found);
    Ok(check(draft, label, findings, grounding).map_err(|unusable| Unusable { grounding, ..unusable }))
}

/// What an answer claims, before it is looked up.
fn claimed(reply: &Reply, prompt: &Prompt, trace: &RedactedTrace, findings: &Findings) -> Result<(Draft, Label, Signals), Unusable> {
    let written = written(reply)?;
    let label = Label::parse(written.label.trim()).map_err(|_| {
        Unusable::new(
            RejectionKind::AnswerOffSchema,
            "the model's answer is not of the shape that was asked for: label is outside the vocabulary",
            Some("the label is none of those that are listed, written as category/factor"),
        )
    })?;
    let texts = [&written.title, &written.summary, &written.root_cause_hypothesis, &written.confidence_rationale];
    if texts.into_iter().chain(&written.actions).any(|text| repeats_instructions(text, prompt)) {
        return Err(Unusable::new(
            RejectionKind::AnswerOffSchema,
            "the model repeated its instructions, as a text of the trace may have told it to",
            Some("it repeated the instructions"),
        ));
    }
    let quoted: Vec<Evidence> =
        written.evidence.iter().filter_map(|quotation| excerpt(quotation, trace)).take(EVIDENCE_ITEMS_MAX).collect();
    let signals = signals(&written.signals, findings);
    let span = quoted.first().and_then(|evidence| evidence.span_id.as_deref());
    let span = span.or_else(|| signals.found.first().and_then(|signal| signal.span_id.as_deref()));
    let span = span.and_then(|id| trace.spans.iter().find(|span| span.span_id == id));
    let draft = Draft {
        title: clipped(&written.title.split_whitespace().collect::<Vec<_>>().join(" "), 200),
        summary: clipped(&written.summary, 4_000),
        root_cause_hypothesis: clipped(&written.root_cause_hypothesis, 4_000),
        actions: written.actions.iter().map(|action| clipped(action, 500)).filter(|action| !action.is_empty()).take(10).collect(),
        confidence: written.confidence.clamp(0.0, CONFIDENCE_MAX),
        confidence_rationale: rationale(&written.confidence_rationale),
        evidence: quoted,
        ..draft_about(trace, label, span)
    };
    Ok((draft, label, signals))
}

/// The most that a model's own word is worth; its confidence is not calibrated.
const CONFIDENCE_MAX: f64 = 0.95;

/// The most that it is worth against a rule that a plain error speaks for.
const DISPUTED_MAX: f64 = 0.7;

/// From here on rules are sure; their confidence is calibrated.
const SURE_MIN: f64 = 0.85;

/// Whether the draft rests on something, and does not deny what is plain.
fn check(mut draft: Draft, label: Label, findings: &Findings, grounding: Grounding) -> Result<(Draft, Grounding), Unusable> {
    let texts = [("title", &draft.title), ("summary", &draft.summary), ("root_cause_hypothesis", &draft.root_cause_hypothesis)];
    let empty = texts.into_iter().find(|(_, text)| text.is_empty()).map(|(name, _)| name);
    if let Some(name) = empty.or_else(|| draft.actions.is_empty().then_some("actions")) {
        return Err(Unusable::off_schema(&format!("{name} must not be empty")));
    }
    if label.is_healthy() && findings.plainly_failed {
        return Err(Unusable::new(
            RejectionKind::AnswerContradicted,
            "the model found no failure, and the trace plainly shows one",
            Some("it says that nothing failed, although a step failed and no later step made up for it"),
        ));
    }
    if draft.evidence.is_empty() && !label.is_healthy() {
        return Err(Unusable::new(
            RejectionKind::AnswerUngrounded,
            "nothing that the model's answer rests on stands in the trace",
            Some("none of its excerpts stands in the trace; copy them from the trace character for character"),
        ));
    }
    let by_rule = findings.verdict.label;
    if findings.plainly_failed && findings.verdict.confidence >= SURE_MIN && by_rule != label {
        // Rules are seldom wrong about what a trace says plainly, and no text of a trace can talk to them.
        draft.confidence = draft.confidence.min(DISPUTED_MAX);
        let _ = write!(draft.confidence_rationale, " failsift's own rules say {by_rule}.");
    }
    // What failsift knows by itself is no evidence of the model's, and helps the reader.
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
    Ok((draft, grounding))
}

/// Reads the JSON of an answer.
fn written(reply: &Reply) -> Result<Written, Unusable> {
    let text = reply.text.trim();
    match &reply.end {
        End::Blocked(reason) => {
            return Err(Unusable::new(RejectionKind::AnswerBlocked, format!("the model's provider held the answer back: {reason}"), None));
        }
        _ if is_repetitive(text) => {
            return Err(Unusable::new(
                RejectionKind::AnswerRepetitive,
                "the model repeated itself without end",
                Some("it repeated itself without end"),
            ));
        }
        End::Truncated => {
            return Err(Unusable::new(
                RejectionKind::AnswerTruncated,
                "the model's answer was cut off; --output-tokens allows longer ones",
                Some("it was too long; be brief"),
            ));
        }
        End::Other(reason) if text.is_empty() => {
            return Err(Unusable::new(RejectionKind::AnswerEmpty, format!("the model answered nothing: {reason}"), Some("it was empty")));
        }
        End::Finished | End::Other(_) => {}
    }
    if text.is_empty() {
        return Err(Unusable::new(RejectionKind::AnswerEmpty, "the model answered nothing", Some("it was empty")));
    }
    let value = json_in(text).map_err(|error| {
        let reason = if error.is_eof() { "ends in the middle" } else { "is none" };
        Unusable::new(
            RejectionKind::AnswerNotJson,
            format!("the model was asked for JSON, and its answer {reason} (line {}, column {})", error.line(), error.column()),
            Some("it was no JSON; answer with one JSON object and nothing else"),
        )
    })?;
    Written::of(&value).map_err(|what| Unusable::off_schema(&what))
}

/// The object in an answer of a server that does not keep models to JSON: without thoughts, a fence of Markdown and words around it.
fn json_in(text: &str) -> Result<Value, serde_json::Error> {
    /// Braces in words before the answer; more are no answer.
    const STARTS_MAX: usize = 64;
    // A thought that was begun in the question's template ends without a beginning.
    let is_thought = |before: &str| before.starts_with("<think") || !before.contains('{');
    let said = text.split_once("</think>").filter(|(thought, said)| is_thought(thought) && said.contains('{'));
    let said = said.map_or(text, |(_, said)| said.trim());
    let whole = serde_json::from_str(said);
    if whole.is_ok() {
        return whole;
    }
    let starts = said.match_indices('{').take(STARTS_MAX).filter_map(|(at, _)| said.get(at..));
    let mut objects = starts.filter_map(|rest| serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok());
    if let Some(found) = objects.find(|object| object.get("label").is_some()) {
        return Ok(found);
    }
    // What is wrong is said of the longest piece that might have been it; words without any object are called no JSON.
    let piece = said.find('{').zip(said.rfind('}')).and_then(|(from, to)| said.get(from..=to));
    serde_json::from_str(if said.starts_with('{') { said } else { piece.unwrap_or(said) })
}

/// Whether the end of a text is a short piece again and again.
fn is_repetitive(text: &str) -> bool {
    const TAIL_BYTES: usize = 1_200;
    const PERIOD_MAX: usize = 200;
    let bytes = text.as_bytes();
    let Some(tail) = bytes.len().checked_sub(TAIL_BYTES).and_then(|from| bytes.get(from..)) else { return false };
    (1..=PERIOD_MAX).any(|period| tail.iter().zip(tail.iter().skip(period)).all(|(left, right)| left == right))
}

/// Whether a text holds the word around the trace, or a line of the instructions.
fn repeats_instructions(text: &str, prompt: &Prompt) -> bool {
    /// Shorter lines, such as those that explain a label, are what an answer may well say.
    const LINE_BYTES_MIN: usize = 80;
    let lines = INSTRUCTIONS.lines().filter(|line| line.len() >= LINE_BYTES_MIN);
    text.contains(&prompt.fence) || (text.len() >= LINE_BYTES_MIN && lines.into_iter().any(|line| text.contains(line)))
}

/// A quotation as evidence, to be looked up.
fn excerpt(quotation: &Quotation, trace: &Trace) -> Option<Evidence> {
    let index = quotation.span.and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
    let span = index.and_then(|index| trace.spans.get(index));
    // Across a mark of left-out text nothing can be found; its longest piece can.
    let pieces = quotation.excerpt.split(GAP_START).flat_map(|piece| piece.split(GAP_END));
    let excerpt = pieces.map(str::trim).max_by_key(|piece| piece.len())?;
    let excerpt: String = excerpt.chars().take(EXCERPT_CHARS_MAX).collect();
    // A role may stand behind the name, as the trace shows it.
    let field = quotation.field.split(" (").next().unwrap_or_default().trim().to_owned();
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
    /// Those that failsift found.
    found: Vec<Evidence>,
    /// How many it did not find.
    unknown: usize,
}

fn signals(named: &[String], findings: &Findings) -> Signals {
    let mut found: Vec<Evidence> = Vec::new();
    let mut unknown = 0;
    for name in named.iter().take(EVIDENCE_ITEMS_MAX) {
        let name = name.trim().trim_start_matches("- ").trim_matches('"');
        // The place may stand behind it, as the trace shows it.
        let is_named = |signal: &&Evidence| {
            signal.signal.as_deref().is_some_and(|signal| {
                signal == name || name.strip_prefix(signal).is_some_and(|rest| rest.trim_matches('"').starts_with(" (span"))
            })
        };
        match findings.signals.iter().find(is_named) {
            Some(signal) if found.contains(signal) => {}
            Some(signal) => found.push(signal.clone()),
            None => unknown += 1,
        }
    }
    Signals { found, unknown }
}

fn rationale(written: &str) -> String {
    let written = clipped(written, 1_500);
    if written.is_empty() { "The model gave no reason; its confidence is not calibrated.".to_owned() } else { written }
}

/// A text of at most `chars` characters; a longer one is cut, because a paid answer is not thrown away for its length.
fn clipped(text: &str, chars: usize) -> String {
    let text = text.trim();
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_object_is_found_among_thoughts_fences_and_words() {
        let object = json!({"label": "a/b", "title": "</think> {x}"});
        for text in [
            object.to_string(),
            format!("<think>\nIs it {{\"label\"}}? No: {{1}}.\n</think>\n\n{object}"),
            format!("It began before. </think>{object}"),
            format!("Here you are:\n```json\n{object}\n```\nAnything {{else}}?"),
            format!("I used {{shelf}} and {{}} before.\n{object}"),
        ] {
            assert_eq!(json_in(&text).unwrap(), object, "{text}");
        }
        assert!(json_in("{\"label\": \"a/b\"").unwrap_err().is_eof());
        assert!(json_in("<think>{\"label\": 1").is_err() && json_in("no").is_err());
    }
}
