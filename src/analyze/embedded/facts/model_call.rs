//! The model call that a failure is about: why the model stopped, what the request allowed, and the tokens that were used.

use super::super::byte_regex::ByteRegex;

use super::super::incident::IncidentKind;
use super::call::spans_before;
use super::names::fact_names;
use super::texts::{add_match, find, model_call, number_of, request_number, spans_of_call};
use super::{Case, Extractor, Facts, Place};
use crate::model::{FinishReason, Span, SpanKind};

fact_names! {
    FINISH_REASON = "finish_reason", Text, "the reason for which the model stopped";
    MAX_TOKENS = "max_tokens", Tokens, "the output token limit that the request set";
    INPUT_TOKENS = "input_tokens", Tokens, "the tokens of the input of the call";
    OUTPUT_TOKENS = "output_tokens", Tokens, "the number of tokens of the answer";
    REASONING_TOKENS = "reasoning_tokens", Tokens, "the tokens that the model used for reasoning";
    REASONING_PERCENT = "reasoning_percent", Percent, "the share of reasoning in the output tokens";
    VISIBLE_TOKENS = "visible_tokens", Tokens, "the output tokens without those of reasoning";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Names of the output token limit of a request, without separators: OpenAI, Gemini, Hugging Face, Ollama, Bedrock, Anthropic, LangSmith, llama.cpp.
const LIMITS: [&str; 12] = [
    "maxtokens",
    "maxcompletiontokens",
    "maxoutputtokens",
    "maxnewtokens",
    "numpredict",
    "npredict",
    "maxtokencount",
    "maxtokenstosample",
    "maxgenlen",
    "lsmaxtokens",
    "maxgeneratedtokens",
    "maxgenerationtokens",
];

/// Factors of failures that are about what a model wrote. The step that reports it, a parser or a tool, may be another one than the call.
const ABOUT_OUTPUT: [&str; 10] = [
    "output_truncated",
    "safety_filter",
    "model_refusal",
    "empty_output",
    "malformed_json",
    "schema_violation",
    "format_instruction_ignored",
    "invalid_tool_arguments",
    "unknown_tool",
    "guardrail_blocked",
];

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    // The Agents SDK raises an error that quotes the details of the answer.
    static INCOMPLETE: ByteRegex = ByteRegex::new(
        r#"(?i)incomplete_?details[^\n]*?reason["']?[=:] ?["']([a-z_]+)["']|finish_?reason["']?(?: is|\s?[=:]) ?["'`]?(length|max_tokens|MAX_TOKENS)\b"#,
    );
    let Some(root) = case.root else { return };
    let Some(call) = call_of(case) else { return };
    let is_about_output = case.is(&ABOUT_OUTPUT);
    let last_reason = call.finish_reasons.iter().enumerate().next_back();
    // The call that an API refused has none of its own. Of a cut answer only the reason that says so matters.
    let is_telling = |reason: &str| FinishReason::from_word(reason).is_some_and(FinishReason::is_abnormal);
    let needs_abnormal = !is_about_output || case.is(&["output_truncated"]);
    if let Some((index, reason)) = last_reason.filter(|(_, reason)| !needs_abnormal || is_telling(reason)) {
        facts.add(&FINISH_REASON, reason, Place::Field(call, &format!("finish_reasons[{index}]")));
    }
    let is_of_root = std::ptr::eq(call, root.span) || case.step().is_some_and(|step| std::ptr::eq(call, step));
    if last_reason.is_none() && is_about_output {
        add_match(&FINISH_REASON, case.error_texts(), &INCOMPLETE, facts);
    }
    add_limit(case, call, is_of_root, facts);
    add_tokens(case, call, facts);
}

/// The call: the failed step, or for a failure about what a model wrote, the call that wrote it.
fn call_of<'t>(case: &Case<'_, 't>) -> Option<&'t Span> {
    let root = case.root?;
    let is_call = |span: &&Span| span.kind == SpanKind::Llm;
    // Also an agent, where an instrumentation has no spans of calls.
    let is_about_answer = matches!(root.kind, IncidentKind::FinishReason | IncidentKind::Refusal | IncidentKind::EmptyOutput);
    let of_root = model_call(case).filter(|span| is_call(span) || is_about_answer || !span.finish_reasons.is_empty());
    let before = || spans_before(case).rev().find(is_call).filter(|_| case.is(&ABOUT_OUTPUT));
    of_root.or_else(before)
}

/// The limit that the request set, from its settings or from the message.
fn add_limit(case: &Case<'_, '_>, call: &Span, is_of_root: bool, facts: &mut Facts) {
    static IN_PARAMETERS: ByteRegex = ByteRegex::new(concat!(
        r#"(?i)["'](?:max_?(?:completion_?|output_?|new_?)?tokens|num_predict|n_predict|max_?token_?count|max_tokens_to_sample|max_gen_len)\\?["']"#,
        r#"\s*:\s*\\?"?([0-9]{1,9})(?:[^0-9.]|$)"#,
    ));
    static IN_MESSAGE: ByteRegex = ByteRegex::new(
        r#"(?i)(?:(?-u:\b)token limit \(|(?-u:\b)max_(?:completion_|output_|new_)?tokens["'`]?\s?(?:[=:(]|of|is|limit of)\s?|limit of )([0-9][0-9,]*)(?: tokens)?"#,
    );
    let spans = if is_of_root { spans_of_call(case) } else { vec![call] };
    if let Some((source, value)) = request_number(&spans, &LIMITS, &IN_PARAMETERS) {
        if value.parse::<u64>().is_ok_and(|limit| limit > 0) {
            facts.add(&MAX_TOKENS, value, source.place());
        }
        return;
    }
    if !case.is(&["output_truncated", "empty_output", "malformed_json", "schema_violation"]) {
        return;
    }
    let sources = case.error_texts();
    if let Some((source, captures)) = find(sources, &IN_MESSAGE)
        && let Some(number) = captures.get(1).and_then(|found| number_of(found.as_str().trim_end_matches(',')))
    {
        facts.add(&MAX_TOKENS, number, source.place());
    }
}

/// The tokens of the request, of the answer, and those of reasoning among them.
fn add_tokens(case: &Case<'_, '_>, call: &Span, facts: &mut Facts) {
    static OUTPUT: ByteRegex = ByteRegex::new(r#"(?-u:\b)(?:completion|output)_tokens["']?\s?[=:]\s?([0-9]{1,9})(?-u:\b)"#);
    static REASONING: ByteRegex = ByteRegex::new(r#"(?-u:\b)reasoning_tokens["']?\s?[=:]\s?([0-9]{1,9})(?-u:\b)"#);
    let is_about_output = case.is(&ABOUT_OUTPUT);
    if let Some(tokens) = call.usage.input.filter(|tokens| *tokens > 0) {
        facts.add(&INPUT_TOKENS, tokens, Place::Field(call, "usage.input"));
    }
    match call.usage.output {
        // A refused call has no answer.
        Some(tokens) if is_about_output || tokens > 0 => facts.add(&OUTPUT_TOKENS, tokens, Place::Field(call, "usage.output")),
        None if is_about_output => {
            add_match(&OUTPUT_TOKENS, case.error_texts(), &OUTPUT, facts);
        }
        _ => {}
    }
    if let Some((key, tokens)) = reasoning_tokens(call) {
        facts.add(&REASONING_TOKENS, tokens, Place::Field(call, &format!("attributes.{key}")));
        // Gemini's API and Langfuse count them beside the tokens of the answer, all others among them.
        if key.contains("thoughts") || key.contains("usage_details") {
            return;
        }
    } else if is_about_output {
        let sources = case.error_texts();
        let found = find(sources, &REASONING).and_then(|(source, captures)| Some((source, captures.get(1)?.as_str())));
        if let Some((source, tokens)) = found.filter(|(_, tokens)| tokens.bytes().any(|byte| byte != b'0')) {
            facts.add(&REASONING_TOKENS, tokens, source.place());
        }
    }
    let number = |name| facts.get(name).and_then(|value: &str| value.parse::<u64>().ok());
    let Some((part, whole)) = number(&REASONING_TOKENS).zip(number(&OUTPUT_TOKENS)).filter(|(part, whole)| part <= whole) else { return };
    if let Some(percent) = part.saturating_mul(100).checked_div(whole) {
        facts.add(&REASONING_PERCENT, percent, Place::Span(call));
        facts.add(&VISIBLE_TOKENS, whole - part, Place::Span(call));
    }
}

/// The tokens of reasoning, by the names of the conventions: `gen_ai.usage.reasoning.output_tokens`, `llm.token_count.completion_details.reasoning`.
fn reasoning_tokens(span: &Span) -> Option<(&str, &str)> {
    let is_count = |key: &str| {
        let key = key.to_ascii_lowercase();
        let is_usage = key.contains("token") || key.contains("usage");
        is_usage && ["reasoning", "thoughts", "thinking"].iter().any(|word| key.contains(word))
    };
    // Those names are also of settings: `gen_ai.request.thinking.budget_tokens`.
    let is_setting = |key: &str| {
        let key = key.to_ascii_lowercase();
        ["request", "budget", "max", "invocation", "param", "setting", "config"].iter().any(|word| key.contains(word))
    };
    let is_number = |value: &str| value.trim().parse::<u64>().is_ok_and(|tokens| tokens > 0);
    let mut found = span.attributes.iter().filter(|attribute| is_count(&attribute.key) && !is_setting(&attribute.key));
    found.find(|attribute| is_number(&attribute.value)).map(|attribute| (attribute.key.as_str(), attribute.value.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::Incident;
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Attribute, Label, Status, TokenUsage, Trace};

    fn facts_of(spans: Vec<Span>, root: usize, kind: IncidentKind, label: &str) -> Facts {
        let trace = Trace { spans, ..Trace::default() };
        let (tree, root) = (SpanTree::new(&trace), Incident::new(&trace, root, kind).unwrap());
        let label = Label::parse(label).unwrap();
        let mut facts = Facts::default();
        add(&Case::new(&trace, &tree, &[], Some(&root), label), &mut facts);
        facts
    }

    fn with(key: &str, value: &str) -> Span {
        Span { kind: SpanKind::Llm, attributes: vec![Attribute { key: key.into(), value: value.into() }], ..Span::default() }
    }

    #[test]
    fn limits_are_read_in_the_notations_of_sdks() {
        for (key, value, expected) in [
            ("gen_ai.request.max_tokens", "256", Some("256")),
            ("ai.settings.maxOutputTokens", "20", Some("20")),
            ("llm.invocation_parameters", r#"{"model": "gpt-4o", "max_completion_tokens": 64}"#, Some("64")),
            ("llm.invocation_parameters", r#"{"config": {"maxOutputTokens": 128}}"#, Some("128")),
            ("langfuse.observation.model.parameters", r#"{"max_tokens":"512"}"#, Some("512")),
            ("model_settings", r"{'max_tokens': 32}", Some("32")),
            ("options", r#"{"num_predict": 100}"#, Some("100")),
            ("metadata.ls_max_tokens", "32", Some("32")),
            ("gen_ai.usage.max_tokens", "99", None),
            ("litellm.model_info.max_tokens", "16384", None),
            ("llm.invocation_parameters", r#"{"max_tokens": null}"#, None),
            ("gen_ai.request.max_tokens", "0", None),
        ] {
            let facts = facts_of(vec![with(key, value)], 0, IncidentKind::FinishReason, "context_overflow/output_truncated");
            assert_eq!(facts.get(&MAX_TOKENS), expected, "{key} {value}");
        }
    }

    #[test]
    fn reasoning_is_counted_by_the_names_of_conventions() {
        for key in [
            "gen_ai.usage.reasoning.output_tokens",
            "llm.token_count.completion_details.reasoning",
            "gen_ai.usage.reasoning_tokens",
            "ai.usage.reasoningTokens",
            "usage_metadata.output_token_details.reasoning",
            "gen_ai.usage.thoughts_token_count",
        ] {
            assert_eq!(reasoning_tokens(&with(key, "512")), Some((key, "512")), "{key}");
        }
        for (key, value) in [
            ("gen_ai.request.reasoning.effort", "5"),
            ("llm.invocation_parameters.thinking.budget_tokens", "5"),
            ("x.reasoning_tokens", "0"),
        ] {
            assert_eq!(reasoning_tokens(&with(key, value)), None, "{key}");
        }
    }

    #[test]
    fn a_failed_parser_is_about_the_call_before_it() {
        let call = Span {
            span_id: "c".into(),
            finish_reasons: vec!["stop".into()],
            usage: TokenUsage { input: Some(1200), output: Some(311) },
            started_at_ns: Some(1),
            ended_at_ns: Some(2),
            ..with("gen_ai.request.max_tokens", "4000")
        };
        let parser = Span { span_id: "p".into(), status: Status::Error, started_at_ns: Some(3), ended_at_ns: Some(4), ..Span::default() };
        for (label, reason, output) in [
            ("output_format/malformed_json", Some("stop"), Some("311")),
            ("output_format/schema_violation", Some("stop"), Some("311")),
            ("environment_error/application_exception", None, None),
        ] {
            let facts = facts_of(vec![call.clone(), parser.clone()], 1, IncidentKind::Error, label);
            assert_eq!((facts.get(&FINISH_REASON), facts.get(&OUTPUT_TOKENS)), (reason, output), "{label}");
            assert_eq!(facts.get(&MAX_TOKENS), output.map(|_| "4000"), "{label}");
        }
        // A refused call has no answer, and its reason is not "stop".
        let facts = facts_of(vec![call], 0, IncidentKind::Error, "provider_error/rate_limited");
        assert_eq!((facts.get(&FINISH_REASON), facts.get(&INPUT_TOKENS)), (None, Some("1200")));
    }
}
