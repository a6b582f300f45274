//! Facts of rate limits and quotas, of providers and tools: which limit, how much of it was used, when it ends, and whose it is.

use super::super::byte_regex::ByteRegex;

use super::super::text::clip;
use super::names::fact_names;
use super::rate_limit_kinds::{kind_of_limit, kind_of_quota};
use super::step::attempts_at;
use super::texts::{Source, add_match, attribute, find, milliseconds_of, number_of, spans_of_call};
use super::{Case, Extractor, FactName, Facts, Place};

fact_names! {
    RATE_LIMIT = "rate_limit", Count, "the limit";
    RATE_LIMIT_KIND = "rate_limit_kind", Text, "what the limit counts";
    RATE_LIMIT_USED = "rate_limit_used", Count, "how much of the limit was used";
    RATE_LIMIT_REQUESTED = "rate_limit_requested", Count, "how much the call asked for";
    RETRY_AFTER = "retry_after_ms", Milliseconds, "how long to wait before the next attempt";
    RETRY_AFTER_HEADER = "retry_after_header_ms", Milliseconds, "the pause that the header of the answer asks for";
    RATE_LIMIT_REMAINING = "rate_limit_remaining", Count, "how much of the limit the header of the answer says is left";
    LIMIT_RESETS_AT = "limit_resets_at", Text, "when the limit ends";
    LIMIT_RESETS_EPOCH = "limit_resets_epoch", Text, "the Unix time when the limit ends";
    LIMIT_MESSAGE = "limit_message", Text, "the sentence of the answer about the limit";
    LAST_USED = "last_rate_limit_used", Count, "how much of the limit was used at the last attempt";
    LAST_RETRY_AFTER = "last_retry_after_ms", Milliseconds, "how long to wait after the last attempt";
    LIMITED_ACCOUNT = "limited_account", Text, "the organization or project that is limited";
    LIMITED_TIER = "limited_tier", Text, "the pricing tier that is limited";
    LIMITED_REGION = "limited_region", Text, "the region that is limited";
    QUOTA_KIND = "quota_kind", Text, "what is used up";
    QUOTA_ID = "quota_id", Text, "the identifier of the quota";
    QUOTA_NAME = "quota_name", Text, "the name of the quota";
    BUDGET_SPENT = "budget_spent_usd", Dollars, "the money that was spent";
    BUDGET = "budget_usd", Dollars, "the budget";
    AFFORDABLE_TOKENS = "affordable_tokens", Tokens, "the tokens that the remaining credit pays for";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    static SENTENCE: ByteRegex = ByteRegex::new(
        r#"(?i)["'](?:message|detail|error_description)\\?["']\s?:\s?\\?["']([^"'\n\\]{0,80}?(?:rate.?limit|too many|quota|throttl)[^"'\n\\.]{0,120})"#,
    );
    if !case.is(&["rate_limited", "quota_exhausted", "tool_rate_limited", "provider_overloaded", "tool_unavailable"]) {
        return;
    }
    let mut sources = case.error_texts().to_vec();
    // The result of a tool may hold the headers of the answer, beside the error.
    if let Some((span, result)) = case.span().and_then(|span| Some((span, span.tool.as_ref()?.result.as_deref()?))) {
        let source = Source { span, field: "tool.result".into(), text: clip(result) };
        if case.is(&["tool_rate_limited"]) {
            add_match(&LIMIT_MESSAGE, std::slice::from_ref(&source), &SENTENCE, facts);
        }
        sources.push(source);
    }
    add_retry_after(case, &sources, facts);
    if case.is(&["provider_overloaded", "tool_unavailable"]) {
        return;
    }
    for source in &sources {
        if let Some(kind) = kind_of_limit(source.text) {
            facts.add(&RATE_LIMIT_KIND, kind, Place::Span(source.span));
            break;
        }
    }
    add_amounts(&sources, facts);
    add_last_attempt(case, facts);
    add_scope(&sources, facts);
    if case.is(&["quota_exhausted"])
        && let Some((source, kind)) = sources.iter().find_map(|source| Some((source, kind_of_quota(source.text)?)))
    {
        facts.add(&QUOTA_KIND, kind, Place::Span(source.span));
    }
}

/// What the last of several attempts was told, which may differ from the first.
fn add_last_attempt(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(root) = case.root else { return };
    let attempts = attempts_at(case, root);
    let Some(last) = attempts.last().filter(|last| attempts.len() > 1 && !std::ptr::eq(**last, root.span)) else { return };
    let of_exception = || last.exceptions.last().map(|exception| exception.message.as_str());
    let Some(text) = last.status_message.as_deref().or_else(of_exception) else { return };
    let source = [Source { span: last, field: "status_message".into(), text: clip(text) }];
    let mut of_last = Facts::default();
    add_amounts(&source, &mut of_last);
    add_retry_after_in_text(&source, &mut of_last);
    for (name, of) in [(&LAST_USED, &RATE_LIMIT_USED), (&LAST_RETRY_AFTER, &RETRY_AFTER)] {
        if let Some(value) = of_last.get(of).filter(|value| facts.get(of).is_some_and(|first| first != *value)) {
            facts.add(name, value, Place::Span(last));
        }
    }
}

/// How long to wait, as the sentence of an error says it.
fn add_retry_after_in_text(sources: &[Source<'_>], facts: &mut Facts) {
    static WAIT: ByteRegex = ByteRegex::new(
        r"(?i)(?-u:\b)(?:try again|retry|wait)(?: in| after| for)? ((?:[0-9]+(?:\.[0-9]+)? ?(?:ms|s|secs?|seconds?|m|mins?|minutes?|h|hours?)(?-u:\b)?[, ]{0,2})+)",
    );
    let found = find(sources, &WAIT).and_then(|(source, captures)| Some((source.span, milliseconds_of(captures.get(1)?.as_str())?)));
    if let Some((span, wait)) = found.filter(|(_, wait)| *wait > 0.0) {
        facts.add(&RETRY_AFTER, wait, Place::Span(span));
    }
}

/// The limit, what was used and what was asked for.
fn add_amounts(sources: &[Source<'_>], facts: &mut Facts) {
    static LIMIT: ByteRegex = ByteRegex::new(concat!(
        r"(?i)actual/limit\)?:? [0-9]+/([0-9]+)|",
        r"(?-u:\b)(?:rate ?limit of|(?:current |[rt]pm_)?limit(?:ed to)?(?: is| of|:)?|max(?:imum)? (?:[rt]p[md]|organization concurrency)(?: is|:)?|quota_?value)",
        r#"["']?:? ?["'`]?([0-9][0-9,_]*)(?:\.0)?(?-u:\b)|"#,
        r"(?-u:\b)([0-9][0-9,_]*) (?:(?:input|output|prompt) )?(?:tokens|requests|queries|(?:api )?calls|messages|images|searches) (?:per|/|a|every) ?(?:[0-9]+ )?(?:second|minute|min|hour|day|month)|",
        r"(?-u:\b)([0-9][0-9,_]*) ?(?:requests|req|reqs|calls|tokens) ?/ ?(?:s|sec|m|min|minute|h|hour|d|day|month)(?-u:\b)|",
        r#"x-?ratelimit-limit(?:-requests|-tokens)?\\?["']?\s?[:=]\s?\\?["']?([0-9]+)"#,
    ));
    static USED: ByteRegex = ByteRegex::new(
        r"(?i)actual/limit\)?:? ([0-9]+)/[0-9]+|(?-u:\b)used:? ([0-9][0-9,_]*)(?-u:\b)|(?-u:\b)current (?:rpm|tpm|usage|rate|parallel requests)(?: is|:)? ?([0-9][0-9,_]*)(?-u:\b)",
    );
    static REQUESTED: ByteRegex = ByteRegex::new(r"(?i)(?-u:\b)requested:? ?(?:up to )?([0-9][0-9,_]*)(?-u:\b)");
    static SPENT: ByteRegex =
        ByteRegex::new(r"(?i)(?-u:\b)(?:current (?:cost|spend)|spend|total cost|spent)(?:\s?[:=]|\s)\s?\$?([0-9]+(?:\.[0-9]+)?)");
    static BUDGET_IN_TEXT: ByteRegex = ByteRegex::new(
        r"(?i)(?-u:\b)(?:max(?:imum)?[ _]budget|budget|spend(?:ing)? limit|budget limit)(?: of|\s?[:=])\s?\$?([0-9]+(?:\.[0-9]+)?)",
    );
    static AFFORDABLE: ByteRegex = ByteRegex::new(r"(?i)(?-u:\b)can only afford ([0-9][0-9,_]*)");
    let numbers: [(&FactName, &ByteRegex); 4] =
        [(&RATE_LIMIT, &LIMIT), (&RATE_LIMIT_USED, &USED), (&RATE_LIMIT_REQUESTED, &REQUESTED), (&AFFORDABLE_TOKENS, &AFFORDABLE)];
    for (name, expression) in numbers {
        let Some((source, captures)) = find(sources, expression) else { continue };
        let found = captures.iter().skip(1).flatten().next();
        let number = found.and_then(|found| number_of(found.as_str().trim_end_matches([',', '_'])));
        // "Rate limit: 429" is the status.
        if let Some(number) = number.filter(|number| *number != 429) {
            facts.add(name, number, source.place());
        }
    }
    add_match(&BUDGET_SPENT, sources, &SPENT, facts);
    add_match(&BUDGET, sources, &BUDGET_IN_TEXT, facts);
}

/// How long to wait and when the limit ends: from headers and fields of the answer, then from its sentence.
fn add_retry_after(case: &Case<'_, '_>, sources: &[Source<'_>], facts: &mut Facts) {
    static RESET_EPOCH: ByteRegex =
        ByteRegex::new(r#"(?i)x-?rate-?limit-reset(?:-requests|-tokens)?\\?["']?\s?[:=]\s?\\?["']?(1[0-9]{9})(?-u:\b)"#);
    static MILLISECONDS: ByteRegex =
        ByteRegex::new(r#"(?i)(?-u:\b)retry[-_]?after[-_]?(?:ms|millis|milliseconds)\\?["']?\s?[:=]\s?\\?["']?([0-9]+(?:\.[0-9]+)?)"#);
    static SECONDS: ByteRegex = ByteRegex::new(concat!(
        r#"(?i)(?-u:\b)(?:retry[-_]?after(?:[-_]?(?:s|sec|seconds))?|retry_?delay|resets?_in_seconds|reset_seconds)\\?["']?\s?[:=]\s?\\?["']?"#,
        r"([0-9]+(?:\.[0-9]+)?) ?(?:s(?-u:\b)|sec|[^0-9a-z.]|$)",
    ));
    static SENTENCE: ByteRegex = ByteRegex::new(concat!(
        r"(?i)(?-u:\b)(?:try(?:ing)?(?: your request)? again|retry(?:ing)?|wait(?:ing)?|available(?: again)?|reset(?:s|ting)?|quota will (?:be )?reset|slow down|continue|back ?off)",
        r"(?: the request| your request| for|:)?(?: in| after| for| at least| about)? ((?:[0-9]+(?:\.[0-9]+)? ?(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?-u:\b)?[, ]{0,2})+)",
    ));
    static RESET: ByteRegex = ByteRegex::new(concat!(
        r#"(?i)(?-u:\b)(?:reset(?:s|ting)?|regain access|renews?|available again|try again|retry|until)(?:[-_ ]?(?:at|on|time|date|after))?\\?["']?(?::|=)?\s?\\?["']?"#,
        r"([0-9]{4}-[0-9]{2}-[0-9]{2}(?:(?:T| at | )[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?: ?(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?)?)",
    ));
    let named = |captures: &super::super::byte_regex::Captures<'_>| captures.get(1).map(|found| found.as_str().to_owned());
    let by_attribute = || {
        let spans = spans_of_call(case);
        let exact = attribute(&spans, &["retryafterms", "xmsretryafterms"])
            .and_then(|source| Some((source.span, header_value(source.text).parse::<f64>().ok()?)));
        exact.or_else(|| {
            let source = attribute(&spans, &["retryafter", "retryafterseconds", "retrydelay"])?;
            Some((source.span, milliseconds_of(header_value(source.text))?))
        })
    };
    let by_attribute = by_attribute();
    if let Some((span, wait)) = by_attribute.filter(|(_, wait)| *wait > 0.0) {
        facts.add(&RETRY_AFTER_HEADER, wait, Place::Span(span));
    }
    add_rate_limit_headers(case, facts);
    let by_header = find(sources, &MILLISECONDS).and_then(|(source, captures)| Some((source.span, named(&captures)?.parse::<f64>().ok()?)));
    let by_field = || find(sources, &SECONDS).and_then(|(source, captures)| Some((source.span, milliseconds_of(&named(&captures)?)?)));
    let by_sentence = || find(sources, &SENTENCE).and_then(|(source, captures)| Some((source.span, milliseconds_of(&named(&captures)?)?)));
    if let Some((span, wait)) = by_header.or_else(by_field).or_else(by_sentence).or(by_attribute).filter(|(_, wait)| *wait > 0.0) {
        facts.add(&RETRY_AFTER, wait, Place::Span(span));
    }
    add_match(&LIMIT_RESETS_AT, sources, &RESET, facts);
    add_match(&LIMIT_RESETS_EPOCH, sources, &RESET_EPOCH, facts);
}

/// The value of a header, which OpenTelemetry records as a list: `["6"]`.
fn header_value(text: &str) -> &str {
    text.trim().trim_matches(['[', ']', '"', '\'', ' '])
}

/// The limit, what is left of it, and when it is renewed, as headers of the answer that are recorded as attributes:
/// `http.response.header.x-ratelimit-remaining-tokens`. Of several limits the one of which nothing is left.
fn add_rate_limit_headers(case: &Case<'_, '_>, facts: &mut Facts) {
    for span in spans_of_call(case) {
        let headers: Vec<(String, &str, &str)> = span
            .attributes
            .iter()
            .filter(|attribute| attribute.key.to_ascii_lowercase().replace(['-', '_'], "").contains("ratelimit"))
            .take(24)
            .map(|attribute| {
                let name = attribute.key.rsplit('.').next().unwrap_or_default();
                (name.to_ascii_lowercase().replace('_', "-"), attribute.key.as_str(), header_value(clip(&attribute.value)))
            })
            .collect();
        let used_up = headers.iter().filter(|(name, _, value)| name.contains("remaining") && matches!(number_of(value), Some(0)));
        let Some((name, key, value)) = used_up.into_iter().next() else { continue };
        facts.add(&RATE_LIMIT_REMAINING, value, Place::Field(span, &format!("attributes.{key}")));
        let beside = |word: &str| headers.iter().find(|(other, ..)| *other == name.replace("remaining", word));
        if let Some((_, key, limit)) = beside("limit").filter(|(.., limit)| number_of(limit).is_some()) {
            facts.add(&RATE_LIMIT, limit, Place::Field(span, &format!("attributes.{key}")));
        }
        // A date; a duration such as `6m0s` is how long to wait.
        if let Some((_, key, reset)) = beside("reset").filter(|(.., reset)| reset.len() >= 19 && reset.contains(':')) {
            facts.add(&LIMIT_RESETS_AT, reset, Place::Field(span, &format!("attributes.{key}")));
        }
        return;
    }
}

/// Whose limit it is.
fn add_scope(sources: &[Source<'_>], facts: &mut Facts) {
    static ID: ByteRegex = ByteRegex::new(r#"(?i)(?-u:\b)quota_?id\\?["']?\s?[:=]\s?\\?["']([0-9A-Za-z_.-]+)"#);
    static ACCOUNT: ByteRegex = ByteRegex::new(concat!(
        r"(?-u:\b)organization [`'(]?(org[-_][0-9A-Za-z_-]+)|(?-u:\b)(?i:project) [`'(]?(proj_[0-9A-Za-z_]+)|\(org: ([0-9A-Za-z_-]+)|(?-u:\b)(project_number:[0-9]+)|(?-u:\b)projects/([0-9A-Za-z_-]+)|(?-u:\b)account (org-[0-9A-Za-z_-]+)|",
        r"(?-u:\b)team [`'(]?([0-9a-f-]{8,36})(?-u:\b)|(?-u:\b)installation ID ([0-9]+)|(?-u:\b)key[:=] ?(<[A-Z_]+:[0-9a-f]{6}>)",
    ));
    static TIER: ByteRegex = ByteRegex::new(
        r"(?i)(?-u:\b)service tier [`']([0-9A-Za-z_]+)[`']|(?-u:\b)([0-9A-Za-z_]+) pricing tier(?-u:\b)|(?-u:\b)(free[-_ ]tier)(?-u:\b)|(?-u:\b)(trial) key(?-u:\b)|(?-u:\b)plan_type[^0-9A-Za-z_]{1,6}([0-9A-Za-z_]+)|(?-u:\b)usage (tier [0-9])(?-u:\b)",
    );
    static REGION: ByteRegex = ByteRegex::new(
        r"(?-u:\b)(?:region|location)[`':= ]{1,4}((?:us|eu|ap|ca|sa|af|me|asia|europe|australia|northamerica|southamerica|east|west|north|south|central|uk|france|sweden|japan)[a-z]*-?[a-z]*-?[0-9]{0,2})(?-u:\b)|(?-u:\b)arn:aws:bedrock:([a-z]{2}-[a-z]+-[0-9]):",
    );
    static QUOTA: ByteRegex = ByteRegex::new(concat!(
        r#"(?i)(?-u:\b)quota_?id\\?["']?\s?[:=]\s?\\?["']([0-9A-Za-z_.-]+)|(?-u:\b)quota metric '([^'\n]+)'|(?-u:\b)quota exceeded for (?:metric: ?)?([0-9A-Za-z_.-]+/[0-9A-Za-z_/-]+)|"#,
        r#"(?-u:\b)quota_?metric\\?["']?\s?[:=]\s?\\?["']([0-9A-Za-z_./-]+)|(?-u:\b)rate limit exceeded: ([a-z]+(?:[-_/][a-z]+)+)"#,
    ));
    add_match(&LIMITED_ACCOUNT, sources, &ACCOUNT, facts);
    add_match(&LIMITED_TIER, sources, &TIER, facts);
    add_match(&LIMITED_REGION, sources, &REGION, facts);
    add_match(&QUOTA_ID, sources, &ID, facts);
    add_match(&QUOTA_NAME, sources, &QUOTA, facts);
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Attribute, Label, Span, SpanKind, Status, Trace};

    fn facts_of(text: &str, factor: &str) -> Facts {
        let span = Span { status: Status::Error, status_message: Some(text.into()), ..Span::default() };
        let trace = Trace { spans: vec![span], ..Trace::default() };
        let (tree, mut root) = (SpanTree::new(&trace), Incident::new(&trace, 0, IncidentKind::Error).unwrap());
        root.texts.push(("status_message".into(), text));
        let label = Label::parse(factor).unwrap();
        let mut facts = Facts::default();
        // The text outlives the trace.
        let case = Case::new(&trace, &tree, &[], Some(&root), label);
        add(&case, &mut facts);
        facts
    }

    #[test]
    fn rate_limits_are_read_in_the_wordings_of_providers() {
        for (text, limit, used, requested, wait) in [
            (
                "Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Used 28914, Requested 2500. Please try again in 2.59s.",
                "30000",
                "28914",
                "2500",
                "2590",
            ),
            (
                "Rate limit reached for default-gpt-3.5-turbo on requests per min. Limit: 3 / min. Please try again in 20s.",
                "3",
                "",
                "",
                "20000",
            ),
            (
                "Rate limit reached for model `llama-3.3-70b-versatile` on tokens per day (TPD): Limit 100000, Used 99310, Requested 1204. Please try again in 7m24.1s.",
                "100000",
                "99310",
                "1204",
                "444100",
            ),
            ("This request would exceed your organization's rate limit of 40,000 input tokens per minute", "40000", "", "", ""),
            ("have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 7 seconds.", "", "", "", "7000"),
            (
                "* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 20, model: gemini-2.5-flash\nPlease retry in 34.07s.",
                "20",
                "",
                "",
                "34070",
            ),
            ("You are using a Trial key, which is limited to 10 API calls / minute.", "10", "", "", ""),
            ("Your account org-9x request reached organization max RPM: 3, please try again after 1 seconds", "3", "", "", "1000"),
            ("Your team's rate limit is reached. Requests per minute (actual/limit): 61/60", "60", "61", "", ""),
            (
                "{'error': {'metadata': {'headers': {'X-RateLimit-Limit': '50', 'X-RateLimit-Remaining': '0', 'retry-after': '12'}}}}",
                "50",
                "",
                "",
                "12000",
            ),
            ("retry-after-ms: 2590, retry-after: 3", "", "", "", "2590"),
            ("{'retryDelay': '34s', 'quotaValue': '20'}", "20", "", "", "34000"),
            ("The maximum rate limit for this model is 6 queries per minute", "6", "", "", ""),
            ("429 Too Many Requests", "", "", "", ""),
            ("Error code: 429 - rate limit reached for gpt-4-32k", "", "", "", ""),
            ("Rate limit exceeded for req_429", "", "", "", ""),
        ] {
            let facts = facts_of(text, "provider_error/rate_limited");
            let found =
                [&RATE_LIMIT, &RATE_LIMIT_USED, &RATE_LIMIT_REQUESTED, &RETRY_AFTER].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [limit, used, requested, wait], "{text}");
        }
    }

    #[test]
    fn headers_that_are_attributes_are_read() {
        let attribute = |(key, value): &(&str, &str)| Attribute { key: (*key).into(), value: (*value).into() };
        let read = |attributes: &[(&str, &str)]| {
            let attributes = attributes.iter().map(attribute).collect();
            let trace = Trace {
                spans: vec![Span { kind: SpanKind::Llm, status: Status::Error, attributes, ..Span::default() }],
                ..Trace::default()
            };
            let (tree, root) = (SpanTree::new(&trace), Incident::new(&trace, 0, IncidentKind::Error).unwrap());
            let label = Label::parse("provider_error/rate_limited").unwrap();
            let mut facts = Facts::default();
            add(&Case::new(&trace, &tree, &[], Some(&root), label), &mut facts);
            facts
        };
        for (key, value, wait) in [
            ("http.response.header.retry-after", "6", Some("6000")),
            ("http.response.header.retry-after", r#"["6"]"#, Some("6000")),
            ("http.response.header.retry_after", "1.5", Some("1500")),
            ("retry-after-ms", "250", Some("250")),
            ("http.response.header.retry-after", "soon", None),
        ] {
            let facts = read(&[(key, value)]);
            assert_eq!((facts.get(&RETRY_AFTER_HEADER), facts.get(&RETRY_AFTER)), (wait, wait), "{key} {value}");
        }
        let facts = read(&[
            ("http.response.header.x-ratelimit-limit-requests", r#"["500"]"#),
            ("http.response.header.x-ratelimit-remaining-requests", r#"["499"]"#),
            ("http.response.header.x-ratelimit-limit-tokens", r#"["30000"]"#),
            ("http.response.header.x-ratelimit-remaining-tokens", r#"["0"]"#),
            ("http.response.header.x-ratelimit-reset-tokens", r#"["6m0s"]"#),
        ]);
        let found = [&RATE_LIMIT, &RATE_LIMIT_REMAINING, &LIMIT_RESETS_AT].map(|name| facts.get(name));
        assert_eq!(found, [Some("30000"), Some("0"), None]);
        let facts = read(&[("anthropic-ratelimit-requests-remaining", "0"), ("anthropic-ratelimit-requests-limit", "50")]);
        assert_eq!((facts.get(&RATE_LIMIT), facts.get(&RATE_LIMIT_REMAINING)), (Some("50"), Some("0")));
    }

    #[test]
    fn quotas_are_named_with_their_account_and_reset() {
        for (text, name, expected) in [
            ("Rate limit reached for gpt-4o in organization org-1a on tokens", &LIMITED_ACCOUNT, Some("org-1a")),
            ("in organization `org_01` service tier `on_demand` on tokens per day", &LIMITED_TIER, Some("on_demand")),
            ("rate limit of your current OpenAI S0 pricing tier", &LIMITED_TIER, Some("S0")),
            ("Project `proj_1` has no quota", &LIMITED_ACCOUNT, Some("proj_1")),
            ("the project was reorganized", &LIMITED_ACCOUNT, None),
            (
                "'quotaId': 'GenerateRequestsPerDayPerProjectPerModel-FreeTier'",
                &QUOTA_NAME,
                Some("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
            ),
            (
                "Quota exceeded for aiplatform.googleapis.com/generate_content_requests_per_minute_per_project_per_base_model with base model",
                &QUOTA_NAME,
                Some("aiplatform.googleapis.com/generate_content_requests_per_minute_per_project_per_base_model"),
            ),
            (
                "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute per user'",
                &QUOTA_NAME,
                Some("Read requests"),
            ),
            (
                "You have reached your specified API usage limits. You will regain access on 2025-01-01 at 00:00 UTC.",
                &LIMIT_RESETS_AT,
                Some("2025-01-01 at 00:00 UTC"),
            ),
            ("Budget has been exceeded! Current cost: 10.2, Max budget: 10.0", &BUDGET_SPENT, Some("10.2")),
            ("Budget has been exceeded! Current cost: 10.2, Max budget: 10.0", &BUDGET, Some("10.0")),
            ("You requested up to 4096 tokens, but can only afford 1234.", &AFFORDABLE_TOKENS, Some("1234")),
            ("Limit resets at: 2026-11-27T00:00:00Z", &LIMIT_RESETS_AT, Some("2026-11-27T00:00:00Z")),
            ("Your budget was approved on 2025-01-01", &LIMIT_RESETS_AT, None),
        ] {
            assert_eq!(facts_of(text, "provider_error/quota_exhausted").get(name), expected, "{text}");
        }
    }
}
