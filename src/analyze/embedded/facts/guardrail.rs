//! Facts of a guardrail or a bot protection that stopped a step: its name, the rule, the side, and the page that it showed.

use super::super::byte_regex::ByteRegex;

use super::find::attributes_ending_in;
use super::names::fact_names;
use super::records::records_in;
use super::texts::{Source, add_match, add_meaning, attribute, find, spans_of_call};
use super::value_field::letters;
use super::{Case, Extractor, FactName, Facts, Place};
use crate::model::{Span, SpanKind};

fact_names! {
    GUARDRAIL_NAME = "guardrail_name", Text, "the name of the guardrail";
    GUARDRAIL_VERSION = "guardrail_version", Text, "the version of the guardrail";
    GUARDRAIL_ACTION = "guardrail_action", Text, "what the guardrail did";
    GUARDRAIL_RULE = "guardrail_rule", Text, "the rule of the guardrail";
    GUARDRAIL_SIDE = "guardrail_side", Text, "whether the guardrail checked the input or the output";
    GUARDRAIL_SCORE = "guardrail_score", Number, "the score that the guardrail gave";
    GUARDRAIL_THRESHOLD = "guardrail_threshold", Number, "the score from which the guardrail blocks";
    GUARDRAIL_ENTITIES = "guardrail_entities", Text, "the entities that the guardrail found";
    GUARDRAIL_PATTERN = "guardrail_pattern", Text, "the expression with which the guardrail searched";
    GUARDRAIL_MATCH = "guardrail_match", Text, "what the expression matched";
    GUARDRAIL_POLICY = "guardrail_policy", Text, "the policy to which the check belongs";
    BLOCKED_TEXT = "blocked_text", Text, "the text that the guardrail checked";
    BOT_PROTECTION = "bot_protection", Text, "the bot protection that stopped the agent";
    BLOCKED_SITE = "blocked_site", Text, "the site that stopped the agent";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// The expression of a check and what it matched, from the failed step, the steps below it and beside it.
fn add_pattern(case: &Case<'_, '_>, index: usize, facts: &mut Facts) {
    const PATTERNS: &[&str] = &["regex", "pattern", "regularexpression"];
    const MATCHES: &[&str] = &["match", "matched", "matchedtext", "matchedvalue"];
    const POLICIES: &[&str] = &["policy", "policyid", "policyname", "ruleid"];
    const SPANS_MAX: usize = 32;
    let beside = case.tree.parent(index).map(|parent| case.tree.children(parent)).unwrap_or_default();
    let around = std::iter::once(index).chain(case.tree.children(index).iter().copied()).chain(beside.iter().copied());
    let spans = around.take(SPANS_MAX).filter_map(|index| case.trace.spans.get(index)).filter(|span| span.kind != SpanKind::Llm);
    let facts_of: [(&FactName, &'static [&'static str]); 3] =
        [(&GUARDRAIL_PATTERN, PATTERNS), (&GUARDRAIL_MATCH, MATCHES), (&GUARDRAIL_POLICY, POLICIES)];
    for span in spans {
        for (name, keys) in facts_of {
            if let Some((key, value)) =
                attributes_ending_in(span, keys).find(|(_, value)| value.len() <= 200 && !value.starts_with(['{', '[']))
            {
                facts.add(name, value, Place::Field(span, &format!("attributes.{key}")));
            }
        }
        let texts = [("output_text", span.output_text.as_deref()), ("input_text", span.input_text.as_deref())];
        for (field, text) in texts.into_iter().filter_map(|(field, text)| Some((field, text?))) {
            for (key, value) in records_in(text).iter().flat_map(|record| &record.fields) {
                let Some(value) = value.as_scalar().filter(|value| value.len() <= 200) else { continue };
                let wanted = facts_of.iter().find(|(_, keys)| keys.contains(&letters(key).as_str()));
                if let Some((name, _)) = wanted {
                    facts.add(name, value, if text.contains(value) { Place::Field(span, field) } else { Place::Span(span) });
                }
            }
        }
        if let Some(pattern) = facts.get(&GUARDRAIL_PATTERN).map(str::to_owned) {
            facts.add(&GUARDRAIL_RULE, pattern, Place::Span(span));
            return;
        }
    }
}

/// Bot protections by the words of their pages.
static PROTECTIONS: [(ByteRegex, &str); 11] = [
    (ByteRegex::new(r"(?i)hcaptcha"), "hCaptcha"),
    (ByteRegex::new(r"(?i)recaptcha"), "reCAPTCHA"),
    (ByteRegex::new(r"(?i)datadome"), "DataDome"),
    (ByteRegex::new(r"(?i)perimeterx|px-captcha|press & hold"), "HUMAN (PerimeterX)"),
    (ByteRegex::new(r"(?i)incapsula|imperva"), "Imperva"),
    (ByteRegex::new(r"(?i)akamai|edgesuite|reference #[0-9]+\."), "Akamai"),
    (ByteRegex::new(r"(?i)cloudflare|cf-ray|checking your browser|just a moment\.\.\.|ray id|attention required"), "Cloudflare"),
    (ByteRegex::new(r"(?i)arkose|funcaptcha"), "Arkose"),
    (ByteRegex::new(r"(?i)unusual traffic from your computer network|google\.com/sorry"), "Google's check for unusual traffic"),
    (ByteRegex::new(r"(?i)captcha"), "a CAPTCHA"),
    (
        ByteRegex::new(
            r"(?i)verify (?:that )?you are (?:a )?human|are you a robot|not a robot|unusual traffic|automated (?:access|queries|traffic)",
        ),
        "a check for bots",
    ),
];

static SIDES: [(ByteRegex, &str); 2] = [
    (
        ByteRegex::new(
            r"(?i)(?-u:\b)input_?guardrail|InputGuardrail|input (?:was )?blocked|input rails?|self check input|(?-u:\b)prompt injection|pre_call|prompt (?:was )?blocked|source\\?.{1,6}INPUT",
        ),
        "input",
    ),
    (
        ByteRegex::new(
            r"(?i)(?-u:\b)output_?guardrail|OutputGuardrail|output (?:was )?blocked|output rails?|self check output|post_call|response (?:was )?blocked|source\\?.{1,6}OUTPUT",
        ),
        "output",
    ),
];

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(root) = case.root.filter(|_| case.is(&["guardrail_blocked"])) else { return };
    let mut sources = case.error_texts().to_vec();
    let spans = spans_of_call(case);
    for span in &spans {
        let is_of_guardrail = |key: &str| {
            let key = key.to_ascii_lowercase();
            (key.contains("guardrail") || key.contains("policy") || key.contains("validator")) && !key.contains("applied_guardrails")
        };
        let attributes = span.attributes.iter().filter(|attribute| is_of_guardrail(&attribute.key)).take(16);
        sources.extend(attributes.map(|attribute| Source {
            span,
            field: format!("attributes.{}", attribute.key),
            text: super::super::text::clip(&attribute.value),
        }));
    }
    for span in &spans {
        const IDS: &[&str] = &["guardrailid", "guardrailidentifier"];
        for (name, keys) in [(&GUARDRAIL_NAME, IDS), (&GUARDRAIL_VERSION, &["guardrailversion"])] {
            if let Some((key, value)) = attributes_ending_in(span, keys).next() {
                facts.add(name, value, Place::Field(span, &format!("attributes.{key}")));
            }
        }
    }
    let is_page = add_protection(root.span, &sources, facts);
    if is_page {
        return;
    }
    // What the check returned names the rule, the score and the entities, which its error may not.
    let around = spans.iter().copied().filter(|span| span.kind == SpanKind::Guardrail).chain(nearest_guardrail(case));
    let returned = around.filter_map(|span| Some((span, span.output_text.as_deref()?))).take(2);
    sources.extend(returned.map(|(span, text)| Source { span, field: "output_text".into(), text: super::super::text::clip(text) }));
    add_guardrail(&sources, facts);
    add_pattern(case, root.index, facts);
    let kind = root.error_type.as_deref().unwrap_or_default();
    let typed = Source { span: root.span, field: "error_type".into(), text: kind };
    add_meaning(&GUARDRAIL_SIDE, &sources, &SIDES, facts);
    add_meaning(&GUARDRAIL_SIDE, &[typed], &SIDES, facts);
    let named = attribute(&spans, &["guardrailname", "guardname", "guardrailid", "guardrailidentifier", "validatorname", "policyname"]);
    if let Some(source) = named {
        facts.add(&GUARDRAIL_NAME, source.text, source.place());
    }
    let guardrail = spans.iter().copied().find(|span| span.kind == SpanKind::Guardrail).or_else(|| nearest_guardrail(case));
    if let Some(span) = guardrail {
        let checked = span.input_text.as_deref().and_then(|text| text.trim().lines().next()).unwrap_or_default();
        // The text of the user is another fact.
        if !checked.starts_with(['{', '['])
            && case.trace.root().is_none_or(|root| root.input_text.as_deref().map(str::trim) != Some(checked))
        {
            facts.add(&BLOCKED_TEXT, checked, Place::Field(span, "input_text"));
        }
        if is_name(&span.name) {
            facts.add(&GUARDRAIL_NAME, &span.name, Place::Field(span, "name"));
        }
        let named = Source { span, field: "name".into(), text: &span.name };
        add_meaning(&GUARDRAIL_SIDE, &[named], &SIDES, facts);
    }
}

/// Whether a word is the name of a guardrail, and not a word about guardrails: `Guardrail tripwire triggered`.
fn is_name(word: &str) -> bool {
    const WORDS: [&str; 12] =
        ["guardrail", "guardrails", "guard", "tripwire", "triggered", "raised", "failed", "violation", "blocked", "check", "was", "has"];
    !WORDS.contains(&word.to_ascii_lowercase().as_str())
}

/// The last guardrail span beside or above the failed one that failed or was recorded as triggered.
fn nearest_guardrail<'t>(case: &Case<'_, 't>) -> Option<&'t Span> {
    const SIBLINGS_MAX: usize = 64;
    let root = case.root?;
    let around =
        case.tree.self_and_ancestors(root.index).take(4).flat_map(|index| case.tree.children(index).iter().rev().take(SIBLINGS_MAX));
    let mut spans = around.filter_map(|index| case.trace.spans.get(*index)).filter(|span| span.kind == SpanKind::Guardrail);
    let is_triggered = |span: &&Span| {
        span.failed()
            || attribute(&[span], &["triggered", "tripwiretriggered", "blocked"])
                .is_some_and(|source| source.text.eq_ignore_ascii_case("true"))
    };
    spans.find(is_triggered)
}

/// The bot protection of a page, and the site. Returns whether there is one.
fn add_protection(span: &Span, sources: &[Source<'_>], facts: &mut Facts) -> bool {
    static SITE: ByteRegex = ByteRegex::new(r"(?-u:\b)https?://([0-9A-Za-z_.-]+\.[a-z]{2,})");
    add_meaning(&BOT_PROTECTION, sources, &PROTECTIONS, facts);
    if !facts.has(&BOT_PROTECTION) {
        return false;
    }
    if let Some(tool) = &span.tool {
        let arguments = Source { span, field: "tool.arguments".into(), text: super::super::text::clip(&tool.arguments) };
        add_match(&BLOCKED_SITE, &[arguments], &SITE, facts);
    }
    add_match(&BLOCKED_SITE, sources, &SITE, facts);
    true
}

/// The guardrail and its rule, in the words of frameworks.
fn add_guardrail(sources: &[Source<'_>], facts: &mut Facts) {
    // Bedrock names the action of each policy in its assessments.
    static ACTION: ByteRegex = ByteRegex::new(r#"["']action\\?["']\s?:\s?\\?["'](BLOCKED|ANONYMIZED|GUARDRAIL_INTERVENED|MASKED)\\?["']"#);
    static NAME: ByteRegex = ByteRegex::new(concat!(
        // OpenAI Agents, LiteLLM, Bedrock, NeMo, and a quoted name after the word.
        r"(?-u:\b)Guardrail ([0-9A-Za-z_]+) triggered(?-u:\b)|(?-u:\b)Guardrail: ?([0-9A-Za-z_.-]*[0-9A-Za-z_])|(?-u:\b)by Guardrail:? ([0-9A-Za-z_.-]*[0-9A-Za-z_])|(?-u:\b)guardrail_?[nN]ame[^0-9A-Za-z_]{1,6}([0-9A-Za-z_.-]*[0-9A-Za-z_])|(?-u:\b)guardrail_?[iI]d(?:entifier)?[^0-9A-Za-z_]{1,6}([0-9A-Za-z_:/.-]*[0-9A-Za-z_])|",
        r"(?-u:\b)(?i:guardrail|rail|validator|guard) [`'\x22]([^`'\x22\n]+)[`'\x22]|(?-u:\b)(lakera|presidio|llamaguard|llama guard|aporia|bedrock guardrail|nemo)(?-u:\b)",
    ));
    static RULE: ByteRegex = ByteRegex::new(concat!(
        r"(?i)(?-u:\b)(?:policy|rule|category|topic) [`'\x22]([^`'\x22\n]+)[`'\x22]|(?-u:\b)Validation failed for field with errors: ([^\n]+)|(?-u:\b)Blocked entity detected: ([0-9A-Za-z_-]+)|",
        r#"["']?topics["']?\s*:\s*\[\s*\{[^{}]*?["']name["']\s*:\s*["']([^"'\n]+)|["'](?:category|type)["']\s*:\s*["'](PROMPT_ATTACK|HATE|INSULTS|SEXUAL|VIOLENCE|MISCONDUCT|[A-Z_]{3,})["'][^{}]*["']action["']\s*:\s*["'](?:BLOCKED|ANONYMIZED)|"#,
        r"(?-u:\b)(prompt injection)(?-u:\b)|(?-u:\b)(jailbreak)(?-u:\b)|(?-u:\b)(pii|personal data|toxic language|off[- ]topic|competitor|secrets?)(?-u:\b)(?: (?:was )?(?:detected|found))",
    ));
    static SCORE: ByteRegex = ByteRegex::new(r#"(?i)(?-u:\b)score["']?(?: of| is|[ :=]{1,3}){1,2} ?([01](?:\.[0-9]+)?)(?-u:\b)"#);
    static THRESHOLD: ByteRegex =
        ByteRegex::new(r#"(?i)(?-u:\b)threshold["']?(?: of| is|[ :=]{1,3}){1,2} ?([0-9]{1,3}(?:\.[0-9]+)?)(?-u:\b)"#);
    // Presidio, Guardrails AI and LLM Guard write the types of entities in capitals, Bedrock in its assessments.
    static ENTITIES: ByteRegex = ByteRegex::new(concat!(
        r#"(?i:entit(?:y|ies)(?:[ _]types?)?(?: (?:was|were))?(?: detected| found| in text)?["']?)\s?[:=]\s?[\[({]?\s?((?:["']?[A-Z][A-Z0-9_]{2,40}["']?(?:,\s?)?){1,12})|"#,
        r#"["'][0-9A-Za-z_ -]+["']: ((?:[A-Z][A-Z0-9_]{2,40}(?:, )?){1,12})(?:[ (.;\n]|$)|"#,
        r#"["']type["']\s*:\s*["']([A-Z][A-Z0-9_]{2,40})["'][^{}]*["']match["']"#,
    ));
    if let Some((source, captures)) = find(sources, &NAME)
        && let Some(name) = captures.iter().skip(1).flatten().next().filter(|name| is_name(name.as_str()))
    {
        facts.add(&GUARDRAIL_NAME, name.as_str(), source.place());
    }
    if let Some((source, captures)) = find(sources, &RULE)
        && let Some(rule) = captures.iter().skip(1).flatten().next()
    {
        facts.add(&GUARDRAIL_RULE, rule.as_str().trim_end_matches([':', ';', ',', ' ']), source.place());
    }
    for (name, expression) in [(&GUARDRAIL_SCORE, &SCORE), (&GUARDRAIL_THRESHOLD, &THRESHOLD)] {
        if let Some((source, captures)) = find(sources, expression)
            && let Some(score) = captures.get(1)
        {
            facts.add(name, score.as_str(), source.place());
        }
    }
    add_match(&GUARDRAIL_ACTION, sources, &ACTION, facts);
    if let Some((source, captures)) = find(sources, &ENTITIES)
        && let Some(found) = captures.iter().skip(1).flatten().next()
    {
        let entities = found.as_str().split(',').map(|entity| entity.trim_matches([' ', '"', '\''])).filter(|entity| !entity.is_empty());
        facts.add(&GUARDRAIL_ENTITIES, entities.collect::<Vec<_>>().join(", "), Place::Span(source.span));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guardrails_are_named_in_the_words_of_frameworks() {
        for (text, name, rule) in [
            ("input blocked by policy 'credential_request' (score 0.97)", "", "credential_request"),
            ("Guardrail InputGuardrail triggered tripwire", "InputGuardrail", ""),
            ("Validation failed for field with errors: Toxic language detected", "", "Toxic language detected"),
            (
                "Guardrail raised an exception, Guardrail: presidio-pre-guard, Message: Blocked entity detected: CREDIT_CARD by Guardrail: presidio-pre-guard",
                "presidio-pre-guard",
                "CREDIT_CARD",
            ),
            (
                r#"{"guardrailId": "gr-7abc", "topicPolicy": {"topics": [{"name": "medical advice", "type": "DENY", "action": "BLOCKED"}]}}"#,
                "gr-7abc",
                "medical advice",
            ),
            ("Prompt injection detected by lakera", "lakera", "Prompt injection"),
            ("blocked by guardrail \"no_competitors\"", "no_competitors", ""),
            ("PII was detected in the answer", "", "PII"),
            ("Guardrail tripwire triggered", "", ""),
            ("something else failed", "", ""),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            add_guardrail(&[Source { span: &span, field: "status_message".into(), text }], &mut facts);
            let found = [&GUARDRAIL_NAME, &GUARDRAIL_RULE].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [name, rule], "{text}");
        }
    }

    #[test]
    fn scores_thresholds_and_entities_are_read() {
        for (text, score, threshold, entities) in [
            ("Output blocked by rule 'DetectPII': IBAN_CODE, PERSON (score 0.93, threshold 0.5)", "0.93", "0.5", "IBAN_CODE, PERSON"),
            (
                r#"{"passed": false, "rule": "DetectPII", "entities": ["PERSON", "IBAN_CODE"], "score": 0.93, "threshold": 0.5}"#,
                "0.93",
                "0.5",
                "PERSON, IBAN_CODE",
            ),
            ("Blocked entity detected: CREDIT_CARD by Guardrail: presidio-pre-guard", "", "", "CREDIT_CARD"),
            (r#"{"piiEntities": [{"type": "EMAIL", "match": "x", "action": "BLOCKED"}]}"#, "", "", "EMAIL"),
            ("Toxicity score of 0.88 exceeds the threshold of 0.7", "0.88", "0.7", ""),
            ("input blocked by policy 'credential_request' (score 0.97)", "0.97", "", ""),
            ("Guardrail tripwire triggered", "", "", ""),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            add_guardrail(&[Source { span: &span, field: "status_message".into(), text }], &mut facts);
            let found = [&GUARDRAIL_SCORE, &GUARDRAIL_THRESHOLD, &GUARDRAIL_ENTITIES].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [score, threshold, entities], "{text}");
        }
    }

    #[test]
    fn bot_protections_are_told_from_guardrails() {
        for (text, expected) in [
            ("Our systems have detected unusual traffic from your computer network.", Some("Google's check for unusual traffic")),
            ("Just a moment... Checking your browser before accessing. Ray ID: 8c", Some("Cloudflare")),
            ("Please complete the hCaptcha", Some("hCaptcha")),
            ("Verify you are human", Some("a check for bots")),
            ("CAPTCHA required", Some("a CAPTCHA")),
            ("input blocked by policy 'x'", None),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            assert_eq!(add_protection(&span, &[Source { span: &span, field: "tool.result".into(), text }], &mut facts), expected.is_some());
            assert_eq!(facts.get(&BOT_PROTECTION), expected, "{text}");
        }
    }
}
