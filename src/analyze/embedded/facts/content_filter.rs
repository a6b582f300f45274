//! Facts of a content filter and of a refusal: category and severity, whether the input or the output was blocked, and the words of the refusal.

use super::super::byte_regex::ByteRegex;

use super::names::fact_names;
use super::texts::{Source, add_match, add_meaning, attribute, find, model_call, spans_of_call};
use super::values::shortened;
use super::{Case, Extractor, Facts, Place};
use crate::model::Span;

fact_names! {
    FILTER_CATEGORY = "filter_category", Text, "the category of the filter";
    FILTER_SEVERITY = "filter_severity", Text, "the severity that the filter found";
    FILTER_SIDE = "filter_side", Text, "whether the input or the output was blocked";
    BLOCK_REASON = "block_reason", Text, "the reason that the provider gives for the block";
    REFUSAL_WORDS = "refusal_words", Text, "the words of the refusal";
    REFUSED_REQUEST = "refused_request", Text, "the request that was blocked or refused";
    BLOCKED_AFTER_BYTES = "blocked_after_bytes", Bytes, "how much of the answer was written";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Characters of a request or refusal that is quoted, so that most are quoted as a whole.
const QUOTE_CHARS_MAX: usize = 200;

static SIDES: [(ByteRegex, &str); 2] = [
    (
        ByteRegex::new(
            r"(?i)due to the prompt triggering|prompt was (?:blocked|flagged)|your prompt was|input data may contain|prompt_?feedback|block_?reason|BlockedPrompt|ContentFilterInput|invalid_prompt|(?-u:\b)input(?-u:\b).{0,30}(?:blocked|flagged|inappropriate|violat)|prompt_filter_results|your request was rejected|prompt contains",
        ),
        "input",
    ),
    (
        ByteRegex::new(
            r"(?i)output data may contain|response was (?:filtered|blocked)|finish_?reason|candidate|completion.{0,20}filter|content_filter_results|(?-u:\b)output(?-u:\b).{0,30}(?:blocked|flagged|inappropriate)|StopCandidate|response withheld|incomplete_details",
        ),
        "output",
    ),
];

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if !case.is(&["safety_filter", "model_refusal", "guardrail_blocked"]) {
        return;
    }
    let Some(call) = model_call(case) else { return };
    let mut sources = case.error_texts().to_vec();
    for span in spans_of_call(case) {
        let is_of_filter = |key: &str| {
            let key = key.to_ascii_lowercase();
            ["filter", "safety", "moderation", "prompt_feedback", "promptfeedback", "block_reason", "blockreason"]
                .iter()
                .any(|word| key.contains(word))
        };
        let attributes = span.attributes.iter().filter(|attribute| is_of_filter(&attribute.key)).take(8);
        sources.extend(attributes.map(|attribute| Source {
            span,
            field: format!("attributes.{}", attribute.key),
            text: super::super::text::clip(&attribute.value),
        }));
    }
    if !case.is(&["model_refusal"]) {
        add_filter(&sources, facts);
    }
    if case.is(&["safety_filter"]) {
        add_meaning(&FILTER_SIDE, &sources, &SIDES, facts);
        let reason = attribute(&spans_of_call(case), &["blockreason", "promptblockreason"]);
        if let Some(source) = reason {
            facts.add(&BLOCK_REASON, source.text, source.place());
        }
    }
    // Azure and Gemini stop an answer with these reasons; a blocked prompt has others.
    let stopped_answer = call.finish_reasons.last().is_some_and(|reason| {
        matches!(reason.to_ascii_lowercase().rsplit('.').next(), Some("content_filter" | "content-filter" | "safety" | "recitation"))
    });
    if case.is(&["safety_filter"]) && stopped_answer {
        facts.add(&FILTER_SIDE, "output", Place::Span(call));
    }
    if !call.failed() && !call.finish_reasons.is_empty() && case.is(&["safety_filter"]) {
        add_written(call, facts);
    }
    if case.is(&["model_refusal"]) {
        add_refusal(call, &sources, facts);
    }
    add_request(case, call, facts);
}

/// The category that was hit and how severe it was, as Azure, Gemini, `OpenAI` and Bedrock report it.
fn add_filter(sources: &[Source<'_>], facts: &mut Facts) {
    // `'violence': {'filtered': True, 'severity': 'high'}`; a jailbreak has no severity.
    static AZURE: ByteRegex = ByteRegex::new(concat!(
        r#"["'](?P<category>hate|self_harm|sexual|violence|jailbreak|profanity|indirect_attack|protected_material_text|protected_material_code|custom_blocklists|prompt_shield)\\?["']"#,
        r#"\s*:\s*\{(?P<inside>[^{}]*filtered\\?["']\s*:\s*(?i:true)[^{}]*)\}"#,
    ));
    static SEVERITY: ByteRegex = ByteRegex::new(r#"severity\\?["']\s*:\s*\\?["']([0-9A-Za-z_]+)"#);
    // `category: HARM_CATEGORY_HATE_SPEECH probability: HIGH blocked: true`, in text format and JSON.
    static GEMINI: ByteRegex = ByteRegex::new(concat!(
        r#"HARM_CATEGORY_(?P<category>[A-Z_]+)[^\[\]{}]*?(?:probability|severity)\\?["']?\s*[:=]\s*\\?["']?(?:<?HarmProbability\.)?(?:HARM_SEVERITY_)?(?P<severity>[A-Z]+)"#,
        r#"[^\[\]{}]*?blocked\\?["']?\s*[:=]\s*(?i:true)"#,
    ));
    static GEMINI_HIGH: ByteRegex = ByteRegex::new(
        r#"HARM_CATEGORY_(?P<category>[A-Z_]+)[^\[\]{}]*?probability\\?["']?\s*[:=]\s*\\?["']?(?:<?HarmProbability\.)?(?P<severity>HIGH|MEDIUM)"#,
    );
    static OTHER: ByteRegex = ByteRegex::new(concat!(
        r#"(?i)(?-u:\b)(?:safety_violations=\[([0-9A-Za-z_/, ]+)\]|flagged (?:for|as) ([a-z][0-9A-Za-z_/ -]*?)(?:[.,;'"]|$)|categor(?:y|ies)\\?["']?\s*[:=]\s*\\?["']?([A-Za-z][0-9A-Za-z_/ -]+?)(?:[.,;'"\]}\n]|$)|"#,
        r"violat[0-9A-Za-z_]+ (?:our |the )?([a-z][a-z -]*? policy)(?-u:\b))",
    ));
    static REASON: ByteRegex = ByteRegex::new(concat!(
        r#"(?i)(?-u:\b)block_?reason(?:_message)?\\?["']?\s*[:=]\s*\\?["']?(?:<?BlockedReason\.)?([0-9A-Za-z_]+)|(?-u:\b)finish_?reason\\?["']?(?: is|\s*[:=])\s*\\?["']?[0-9]* ?\(?(?:<?FinishReason\.)?([A-Z_]{3,})(?-u:\b)|"#,
        r"(?-u:\b)(ResponsibleAIPolicyViolation|content_policy_violation|moderation_blocked|data_inspection_failed|DataInspectionFailed|PROHIBITED_CONTENT|RECITATION|SPII|invalid_prompt)(?-u:\b)",
    ));
    let azure = find(sources, &AZURE);
    if let Some((source, captures)) = &azure {
        if let Some(category) = captures.name("category") {
            facts.add(&FILTER_CATEGORY, category.as_str(), source.place());
        }
        let inside = captures.name("inside").map(|inside| inside.as_str()).unwrap_or_default();
        if let Some(severity) = SEVERITY.captures(inside).and_then(|captures| captures.get(1)) {
            facts.add(&FILTER_SEVERITY, severity.as_str(), source.place());
        }
    } else if let Some((source, captures)) = find(sources, &GEMINI).or_else(|| find(sources, &GEMINI_HIGH)) {
        for (name, group) in [(&FILTER_CATEGORY, "category"), (&FILTER_SEVERITY, "severity")] {
            if let Some(found) = captures.name(group) {
                facts.add(name, found.as_str(), source.place());
            }
        }
    } else {
        add_match(&FILTER_CATEGORY, sources, &OTHER, facts);
    }
    add_match(&BLOCK_REASON, sources, &REASON, facts);
}

/// How much of the answer was written before it was stopped.
fn add_written(call: &Span, facts: &mut Facts) {
    let written: usize = call.output.iter().map(|message| message.content.len()).sum();
    if written > 0 {
        facts.add(&BLOCKED_AFTER_BYTES, written, Place::Span(call));
    }
}

/// The words with which the model refused.
fn add_refusal(call: &Span, sources: &[Source<'_>], facts: &mut Facts) {
    static IN_ERROR: ByteRegex =
        ByteRegex::new(r#"(?i)(?-u:\b)(?:refused to (?:produce|generate|answer)[^:\n]*: |refusal(?:=|: )["']?)([^\n"]+)"#);
    for (index, message) in call.output.iter().enumerate().rev() {
        let refusal = message.refusal.as_deref().filter(|text| !text.trim().is_empty());
        let (text, part) = refusal.map_or((message.content.as_str(), "content"), |text| (text, "refusal"));
        if !text.trim().is_empty() {
            let field = format!("output[{index}].{part}");
            let quote = shortened(first_sentences(text), QUOTE_CHARS_MAX);
            facts.add(&REFUSAL_WORDS, quote, Place::Field(call, &field));
            return;
        }
    }
    add_match(&REFUSAL_WORDS, sources, &IN_ERROR, facts);
}

/// The beginning of a text up to the end of the line.
fn first_sentences(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// The last message of the user: of the call, or of the span around it.
fn add_request(case: &Case<'_, '_>, call: &Span, facts: &mut Facts) {
    let ancestors = case.root.map(|root| case.tree.self_and_ancestors(root.index).take(4));
    let ancestors = ancestors.into_iter().flatten().filter_map(|index| case.trace.spans.get(index));
    for span in std::iter::once(call).chain(ancestors) {
        let users = span.input.iter().enumerate().rev().filter(|(_, message)| matches!(message.role.as_str(), "user" | "human"));
        let asked = users.map(|(index, message)| (index, message.content.trim())).find(|(_, text)| !text.is_empty());
        if let Some((index, text)) = asked {
            let quote = shortened(first_sentences(text), QUOTE_CHARS_MAX);
            facts.add(&REFUSED_REQUEST, quote, Place::Field(span, &format!("input[{index}].content")));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_and_severities_are_read_in_the_formats_of_providers() {
        for (text, category, severity) in [
            (
                "'content_filter_result': {'hate': {'filtered': False, 'severity': 'safe'}, 'jailbreak': {'filtered': False, 'detected': False}, 'violence': {'filtered': True, 'severity': 'high'}}",
                "violence",
                "high",
            ),
            (
                "'content_filter_result': {'jailbreak': {'filtered': True, 'detected': True}, 'hate': {'filtered': False, 'severity': 'safe'}}",
                "jailbreak",
                "",
            ),
            (r#"{"self_harm": {"filtered": true, "severity": "medium"}}"#, "self_harm", "medium"),
            (r#"{\"sexual\": {\"filtered\": true, \"severity\": \"low\"}}"#, "sexual", "low"),
            ("safety_ratings { category: HARM_CATEGORY_HATE_SPEECH probability: HIGH blocked: true }", "HATE_SPEECH", "HIGH"),
            ("{'category': 'HARM_CATEGORY_DANGEROUS_CONTENT', 'probability': 'MEDIUM', 'blocked': True}", "DANGEROUS_CONTENT", "MEDIUM"),
            ("category: HARM_CATEGORY_HARASSMENT\nprobability: NEGLIGIBLE", "", ""),
            ("Your request was rejected as a result of our safety system. safety_violations=[sexual].", "sexual", ""),
            ("your prompt was flagged for cybersecurity risk.", "cybersecurity risk", ""),
            ("The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "", ""),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            add_filter(&[Source { span: &span, field: "status_message".into(), text }], &mut facts);
            let found = [&FILTER_CATEGORY, &FILTER_SEVERITY].map(|name| facts.get(name).unwrap_or_default());
            if text.contains("HARASSMENT") {
                assert_eq!(facts.get(&FILTER_SEVERITY), None);
                continue;
            }
            assert_eq!(found, [category, severity], "{text}");
        }
    }

    #[test]
    fn the_side_that_was_blocked_is_known_from_the_words() {
        let side = |text: &str| SIDES.iter().find(|(side, _)| side.is_match(text)).map(|(_, side)| *side);
        for (text, expected) in [
            ("The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", Some("input")),
            ("block_reason: SAFETY", Some("input")),
            ("Input data may contain inappropriate content.", Some("input")),
            ("Output data may contain inappropriate content.", Some("output")),
            ("The candidate's finish_reason is 3 (SAFETY).", Some("output")),
            ("Response withheld by the provider's content filter.", Some("output")),
            ("Content filter triggered.", None),
        ] {
            assert_eq!(side(text), expected, "{text}");
        }
    }

    #[test]
    fn reasons_are_read() {
        for (text, expected) in [
            ("block_reason: SAFETY", Some("SAFETY")),
            ("The candidate's finish_reason is 3 (SAFETY).", Some("SAFETY")),
            ("'innererror': {'code': 'ResponsibleAIPolicyViolation'}", Some("ResponsibleAIPolicyViolation")),
            ("promptFeedback: {'blockReason': 'PROHIBITED_CONTENT'}", Some("PROHIBITED_CONTENT")),
            ("Content filter triggered.", None),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            add_filter(&[Source { span: &span, field: "status_message".into(), text }], &mut facts);
            assert_eq!(facts.get(&BLOCK_REASON), expected, "{text}");
        }
    }
}
