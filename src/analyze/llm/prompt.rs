//! A trace as a question: what fails and its surroundings first, then the start and the end, within a number of tokens.
//!
//! The instructions are a versioned file, `prompt-1.md`. Texts of the trace stand as JSON strings between two lines with a word that nobody can
//! guess, so that no text can end the trace or look like a span.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;

use crate::analyze::embedded::Findings;
use crate::limits::PROMPT_SPANS_MAX;
use crate::model::{FieldName, Span, Status, Trace};

/// What the model is told to do. A change of it is a new result for every trace: it is part of the digest of settings.
pub(super) const INSTRUCTIONS: &str = include_str!("prompt-1.md");

/// Bytes of text that make a token, on the low side: English has 4 to 5, JSON, logs and numbers 2.5 to 3.5.
const BYTES_PER_TOKEN: usize = 3;

/// Characters of a text, from generous to scarce; the most generous one with which all spans fit is taken.
const TEXT_CHARS: [usize; 5] = [12_000, 4_000, 1_500, 600, 240];

/// The same where not all spans fit: the first with which the most important ones do.
const SCARCE_CHARS: [usize; 4] = [240, 120, 60, 30];

/// Spans that are shown, rather than longer texts of fewer: what failed, what is around it, and both ends.
const SPANS_WANTED: usize = 10;

/// What the smallest span takes.
const SPAN_BYTES_MIN: usize = 220;

/// How much longer texts of spans that failed may be.
const FAILED_TEXT_FACTOR: usize = 4;

/// Texts of one span, as a multiple of the length of one.
const SPAN_TEXT_FACTOR: usize = 6;

/// Texts from this length on are shown once: each call of a model repeats the whole dialogue before it.
const REPEATED_BYTES_MIN: usize = 160;

/// What the name of a field and its line take, about.
const FIELD_BYTES: usize = 40;

/// One trace as a question.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(super) text: String,
    /// The word around the trace.
    pub(super) fence: String,
    /// Spans that are shown, at least in part.
    pub(crate) spans_seen: usize,
}

impl Prompt {
    /// Tokens of the whole question, about.
    pub(crate) fn tokens(&self) -> u64 {
        tokens_of(INSTRUCTIONS.len() + self.text.len())
    }

    /// Bytes of the whole question: no tokenizer makes more tokens than bytes.
    pub(super) fn bytes(&self) -> u64 {
        (INSTRUCTIONS.len() + self.text.len()) as u64
    }

    /// The same question, with what was wrong with the first answer.
    pub(super) fn with_complaint(&self, complaint: &str) -> String {
        format!("{}\n\nAn earlier answer could not be used: {complaint}. Answer again, and mind this.\n", self.text)
    }
}

/// Tokens of a text of so many bytes, about.
pub(super) fn tokens_of(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN) as u64
}

/// Writes the question about a trace, in about `tokens` tokens with the instructions.
pub(crate) fn render(trace: &Trace, findings: &Findings, tokens: usize) -> Prompt {
    let fence = uuid::Uuid::new_v4().simple().to_string();
    let head = head(trace, findings, &fence);
    let room = (tokens * BYTES_PER_TOKEN).saturating_sub(INSTRUCTIONS.len() + head.len() + 200);
    let Choice { spans, chars } = choose(trace, findings, room);
    let mut text = head;
    let total = trace.spans.len();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{} of {total} spans are shown.\n", spans.len());
    let failed: BTreeSet<usize> = findings.spans.iter().copied().collect();
    let numbers = numbers(trace);
    let mut seen = HashSet::new();
    let mut next = 0;
    for index in &spans {
        left_out(&mut text, index - next);
        next = index + 1;
        let Some(span) = trace.spans.get(*index) else { continue };
        let chars = if failed.contains(index) { chars * FAILED_TEXT_FACTOR } else { chars };
        write_span(&mut text, span, *index, &numbers, trace.started_at_ns(), chars, &mut seen);
    }
    left_out(&mut text, total - next);
    let _ = writeln!(text, "</trace-{fence}>");
    Prompt { text, fence, spans_seen: spans.len() }
}

fn left_out(text: &mut String, spans: usize) {
    if spans > 0 {
        let _ = writeln!(text, "… {spans} spans left out …");
    }
}

/// What stands before the spans. Signals hold words of the trace, so they stand inside of the fence.
fn head(trace: &Trace, findings: &Findings, fence: &str) -> String {
    let mut text = format!("The random word is {fence}. Examine the trace between the next two lines that hold it.\n<trace-{fence}>\n");
    for (name, value) in [("service", &trace.service), ("environment", &trace.environment)] {
        if let Some(value) = value {
            let _ = writeln!(text, "{name}: {}", quoted(value, 200));
        }
    }
    let numbers = numbers(trace);
    text.push_str("signals:\n");
    for evidence in &findings.signals {
        let Some(signal) = &evidence.signal else { continue };
        let place = evidence.span_id.as_deref().and_then(|id| numbers.get(id)).map(|number| format!(" (span {number})"));
        let _ = writeln!(text, "- {}{}", quoted(signal, 200), place.unwrap_or_default());
    }
    if findings.signals.is_empty() {
        text.push_str("- none\n");
    }
    text
}

/// The number of each span by its id.
fn numbers(trace: &Trace) -> HashMap<&str, usize> {
    trace.spans.iter().enumerate().map(|(index, span)| (span.span_id.as_str(), index + 1)).collect()
}

/// Which spans are shown, in their order, and how long their texts may be.
struct Choice {
    spans: Vec<usize>,
    chars: usize,
}

fn choose(trace: &Trace, findings: &Findings, room: usize) -> Choice {
    let failed: BTreeSet<usize> = findings.spans.iter().copied().collect();
    let total = trace.spans.len();
    if total <= PROMPT_SPANS_MAX {
        for chars in TEXT_CHARS {
            let mut seen = HashSet::new();
            let sizes = trace.spans.iter().enumerate().map(|(index, span)| {
                let chars = if failed.contains(&index) { chars * FAILED_TEXT_FACTOR } else { chars };
                size_of(span, chars, &mut seen)
            });
            if fits(sizes, room) {
                return Choice { spans: (0..total).collect(), chars };
            }
        }
    }
    // Which texts are repeated depends on what else is shown, so nothing is saved on them here.
    let size = |index: usize, chars: usize| {
        let chars = if failed.contains(&index) { chars * FAILED_TEXT_FACTOR } else { chars };
        trace.spans.get(index).map_or(usize::MAX, |span| size_of(span, chars, &mut HashSet::new()))
    };
    let order = by_importance(trace, findings);
    let first = order.iter().take(SPANS_WANTED);
    let chars =
        SCARCE_CHARS.into_iter().find(|chars| fits(first.clone().map(|index| size(*index, *chars)), room)).unwrap_or(SCARCE_CHARS[3]);
    let mut spans = BTreeSet::new();
    let mut left = room;
    for index in order {
        if left < SPAN_BYTES_MIN || spans.len() >= PROMPT_SPANS_MAX {
            break;
        }
        let size = size(index, chars);
        if size <= left {
            left -= size;
            spans.insert(index);
        }
    }
    Choice { spans: spans.into_iter().collect(), chars }
}

fn fits(sizes: impl Iterator<Item = usize>, room: usize) -> bool {
    let mut left = room;
    for size in sizes {
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

/// Every span once: what failed with what encloses it and stands beside it, then in turns from the start, from the end and around the failures.
fn by_importance(trace: &Trace, findings: &Findings) -> Vec<usize> {
    const ENDS: usize = 3;
    let total = trace.spans.len();
    let indexes: HashMap<&str, usize> = trace.spans.iter().enumerate().map(|(index, span)| (span.span_id.as_str(), index)).collect();
    let mut order = Vec::with_capacity(total);
    let mut known = vec![false; total];
    let mut add = |index: usize| {
        if let Some(known) = known.get_mut(index).filter(|known| !**known) {
            *known = true;
            order.push(index);
        }
    };
    for failed in &findings.spans {
        add(*failed);
        let mut above = *failed;
        // Parents may form a circle in a broken trace; more than this many levels say nothing new either.
        for _ in 0..16 {
            let parent = trace.spans.get(above).and_then(|span| indexes.get(span.parent_span_id.as_deref()?));
            let Some(parent) = parent else { break };
            add(*parent);
            above = *parent;
        }
        for beside in [failed.wrapping_sub(1), failed + 1, failed.wrapping_sub(2)] {
            add(beside);
        }
    }
    for end in 0..ENDS {
        add(end);
        add(total.wrapping_sub(end + 1));
    }
    for distance in 0..total {
        for failed in findings.spans.iter().take(4) {
            add(failed.wrapping_sub(distance));
            add(failed + distance);
        }
        add(distance);
        add(total.wrapping_sub(distance + 1));
    }
    order
}

/// Fields of a span in the order in which they matter: what says how it ended, what came out, what went in (the last first), the rest.
fn fields(span: &Span) -> Vec<(FieldName<'_>, &str)> {
    let mut found: Vec<(usize, usize, FieldName<'_>, &str)> = Vec::new();
    span.fields(&mut |name, text| {
        let rank = match name {
            FieldName::Plain("name") => return false,
            FieldName::Plain("status_message" | "error_type") | FieldName::Item("exceptions" | "finish_reasons" | "annotations", ..) => 0,
            FieldName::Plain("output_text" | "tool.result" | "tool.arguments") | FieldName::Item("output", ..) => 1,
            FieldName::Plain("input_text") | FieldName::Item("input", ..) => 2,
            FieldName::Attribute(_) => 4,
            _ => 3,
        };
        // The last message of an input is what the step was about, the first its instructions.
        let within = match name {
            FieldName::Item("input", 0, _) => 1,
            FieldName::Item("input", index, _) => usize::MAX - index,
            _ => found.len(),
        };
        if !text.is_empty() {
            found.push((rank, within, name, text));
        }
        false
    });
    found.sort_by_key(|(rank, within, ..)| (*rank, *within));
    found.into_iter().map(|(.., name, text)| (name, text)).collect()
}

/// Characters of an attribute: what a convention gave no place is seldom what matters.
fn chars_of(name: FieldName<'_>, chars: usize) -> usize {
    match name {
        FieldName::Attribute(_) => chars.min(600) / 2,
        _ => chars,
    }
}

/// What a span takes at most, in bytes.
fn size_of<'t>(span: &'t Span, chars: usize, seen: &mut HashSet<&'t str>) -> usize {
    let mut size = 200 + span.name.len().min(100);
    let mut left = chars * SPAN_TEXT_FACTOR;
    for (name, text) in fields(span) {
        if left == 0 {
            break;
        }
        if text.len() >= REPEATED_BYTES_MIN && !seen.insert(text) {
            continue;
        }
        let shown = text.len().min(chars_of(name, chars)).min(left);
        left = left.saturating_sub(shown + FIELD_BYTES);
        size += FIELD_BYTES + shown + shown / 20;
    }
    size
}

fn write_span<'t>(
    out: &mut String,
    span: &'t Span,
    index: usize,
    numbers: &HashMap<&str, usize>,
    started_at_ns: Option<i64>,
    chars: usize,
    seen: &mut HashSet<&'t str>,
) {
    let number = index + 1;
    let _ = write!(out, "span {number}");
    if let Some(parent) = span.parent_span_id.as_deref().and_then(|parent| numbers.get(parent)) {
        let _ = write!(out, " in {parent}");
    }
    let _ = write!(out, ": {} {}", span.kind.as_str(), quoted(&span.name, 100));
    match span.status {
        Status::Error => out.push_str(", status error"),
        Status::Ok => out.push_str(", status ok"),
        Status::Unset => {}
    }
    let since = |at: i64| started_at_ns.map(|start| at.saturating_sub(start) / 1_000_000);
    if let Some(begin) = span.started_at_ns.and_then(since) {
        let _ = write!(out, ", {begin} ms");
        match span.ended_at_ns.and_then(since) {
            Some(end) => {
                let _ = write!(out, " to {end} ms");
            }
            None => out.push_str(", never ended"),
        }
    }
    if let (Some(input), Some(output)) = (span.usage.input, span.usage.output) {
        let _ = write!(out, ", {input} tokens in, {output} out");
    }
    if span.documents.as_ref().is_some_and(Vec::is_empty) {
        out.push_str(", no documents");
    }
    out.push('\n');
    let mut left = chars * SPAN_TEXT_FACTOR;
    let mut repeated = 0;
    let fields = fields(span);
    for (position, (name, text)) in fields.iter().enumerate() {
        if left == 0 {
            let _ = writeln!(out, "  … {} fields left out …", fields.len() - position);
            break;
        }
        if text.len() >= REPEATED_BYTES_MIN && !seen.insert(text) {
            repeated += 1;
            continue;
        }
        let message = match *name {
            FieldName::Item("input", index, "content") => span.input.get(index),
            FieldName::Item("output", index, "content") => span.output.get(index),
            _ => None,
        };
        let role = message.filter(|message| !message.role.is_empty()).map(|message| format!(" ({})", plain(&message.role)));
        let shown = text.len().min(chars_of(*name, chars)).min(left);
        left = left.saturating_sub(shown + FIELD_BYTES);
        let _ = writeln!(out, "  {}{}: {}", field_name(*name), role.unwrap_or_default(), quoted(text, shown));
    }
    if repeated > 0 {
        let _ = writeln!(out, "  … {repeated} fields with texts that stand above already …");
    }
}

/// The name of a field; that of an attribute is a word of the trace.
fn field_name(name: FieldName<'_>) -> String {
    match name {
        FieldName::Attribute(key) => {
            let quoted = quoted(key, 120);
            format!("attributes.{}", quoted.trim_matches('"'))
        }
        name => name.to_string(),
    }
}

/// A role as a plain word, whatever the trace has there.
fn plain(role: &str) -> String {
    role.chars().filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ')).take(40).collect()
}

/// A text as a JSON string, with its middle left out where it is longer than `bytes`.
fn quoted(text: &str, bytes: usize) -> String {
    let string = |text: &str| serde_json::Value::from(text).to_string();
    if text.len() <= bytes {
        return string(text);
    }
    // What happened stands at the start of a message or at the end of a stack.
    let head = floor(text, bytes * 3 / 5);
    let tail = ceil(text, text.len() - (bytes - bytes * 3 / 5));
    let (first, last) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    let gap = text.get(head..tail).unwrap_or_default().chars().count();
    string(&format!("{first}{GAP_START}{gap} characters left out{GAP_END}{last}"))
}

/// Around the mark of what was left out, by which an excerpt that runs across it is known.
pub(super) const GAP_START: &str = "[…";
pub(super) const GAP_END: &str = "…]";

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::embedded::Embedded;
    use crate::model::{Message, SpanKind};
    use crate::redact::{RedactedTrace, RedactionKey, Redactor};
    use crate::runtime::Deadline;

    /// A long run: calls of a model with the whole dialogue before each, and one tool that fails in the middle.
    fn long_trace(steps: usize, failing: usize, text: usize) -> RedactedTrace {
        let said = |number: usize| Message {
            role: "user".into(),
            content: format!("message {number} {}", "w ".repeat(text)),
            ..Message::default()
        };
        let span = |number: usize| Span {
            span_id: format!("s{number}"),
            parent_span_id: (number > 0).then(|| "s0".into()),
            name: format!("step {number}"),
            kind: if number == failing { SpanKind::Tool } else { SpanKind::Llm },
            status: if number == failing { Status::Error } else { Status::Ok },
            status_message: (number == failing).then(|| "ToolError: the shelf is empty".into()),
            started_at_ns: Some(i64::try_from(number).unwrap() * 1_000_000_000),
            ended_at_ns: Some(i64::try_from(number).unwrap() * 1_000_000_000 + 500_000_000),
            input: (0..number).map(said).collect(),
            output: vec![said(number)],
            ..Span::default()
        };
        let trace = Trace { trace_id: "t".into(), spans: (0..steps).map(span).collect(), ..Trace::default() };
        let deadline = Deadline::after(std::time::Duration::from_mins(1));
        Redactor::new(RedactionKey::from_text("a key for tests only").unwrap()).redact_trace(trace, deadline).unwrap()
    }

    fn rendered(trace: &RedactedTrace, tokens: usize) -> Prompt {
        let findings = Embedded::new().unwrap().findings(trace, Deadline::after(std::time::Duration::from_mins(1))).unwrap();
        render(trace, &findings, tokens)
    }

    #[test]
    fn a_question_keeps_its_budget_and_shows_what_failed_with_both_ends() {
        for (steps, text) in [(3, 10), (3, 20_000), (40, 300), (200, 40), (1_500, 3)] {
            for tokens in [6_000, 12_000, 60_000] {
                let failing = steps / 2;
                let prompt = rendered(&long_trace(steps, failing, text), tokens);
                let told = format!("{steps} steps of {text} words in {tokens}: {} tokens, {} spans", prompt.tokens(), prompt.spans_seen);
                assert!(prompt.tokens() <= tokens as u64 + tokens as u64 / 20, "{told}");
                for shown in [0, failing, steps - 1] {
                    assert!(prompt.text.contains(&format!("\nspan {}", shown + 1)), "{told} lacks {shown}");
                }
                assert!(prompt.text.contains("ToolError: the shelf is empty"), "{told}");
                assert_eq!(prompt.text.contains("spans left out"), prompt.spans_seen < steps, "{told}");
                assert!(prompt.text.contains(&format!("{} of {steps} spans are shown", prompt.spans_seen)), "{told}");
            }
        }
    }

    #[test]
    fn what_fits_is_shown_whole_and_once() {
        let trace = long_trace(6, 3, 100);
        let prompt = rendered(&trace, 12_000);
        assert_eq!(prompt.spans_seen, 6);
        for number in 0..6 {
            let content = serde_json::Value::from(trace.spans[number].output[0].content.as_str()).to_string();
            assert_eq!(prompt.text.matches(&content).count(), 1, "message {number}");
        }
        assert!(!prompt.text.contains("characters left out"));
    }

    #[test]
    fn a_long_text_keeps_both_ends() {
        let text = format!("begin {} end", "é".repeat(5_000));
        let shown: String = serde_json::from_str(&quoted(&text, 1_000)).unwrap();
        assert!(shown.starts_with("begin é") && shown.ends_with("é end") && shown.len() < 1_100, "{shown}");
        let gap: usize = shown.split(GAP_START).nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let kept = shown.chars().count() - format!("{GAP_START}{gap} characters left out{GAP_END}").chars().count();
        assert_eq!(gap + kept, text.chars().count());
    }

    #[test]
    fn the_instructions_explain_every_label() {
        for (category, factors) in crate::model::vocabulary() {
            let part = INSTRUCTIONS.split("\n\n").find(|part| part.starts_with(*category));
            let part = part.unwrap_or_else(|| panic!("{category} is not explained"));
            for factor in factors {
                assert!(part.contains(&format!("\n- {factor}: ")), "{category}/{factor} is not explained");
            }
        }
    }
}
