//! Facts of a call that timed out: the limit, which side gave up, and what it was waiting for.

use super::super::byte_regex::ByteRegex;

use super::call::RecordedCall;
use super::case::duration_ms;
use super::names::fact_names;
use super::provider_timeout::{TIMEOUT, TIMEOUT_PHASE};
use super::{Case, Extractor, Facts, Place};
use crate::model::{Span, last_segment};

fact_names! {
    COVERING_ELEMENT = "covering_element", Text, "the element of the page that covered the target";
    GAVE_UP = "gave_up", Text, "the side that stopped waiting";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    // Playwright, in its call log.
    static COVERING: ByteRegex = ByteRegex::new(r"(<[A-Za-z][^<>\n]{0,160}>)[^\n]{0,120} intercepts pointer events");
    let Some((incident, span)) = case.root.zip(case.span()).filter(|_| case.is(&["tool_timeout"])) else {
        return;
    };
    for (field, text) in &incident.texts {
        let found = super::super::text::ends_of(text).find_map(|end| COVERING.captures(end)?.get(1));
        if let Some(element) = found {
            facts.add(&COVERING_ELEMENT, element.as_str(), Place::Field(span, field));
        }
    }
    for (_, text) in case.messages() {
        if let Some(limit) = limit_in(text) {
            facts.add(&TIMEOUT, limit, Place::Span(span));
        }
    }
    let duration = duration_ms(span);
    if let Some((place, limit)) = spans_with_limits(case, span).into_iter().find_map(|span| limit_of_attributes(span, duration)) {
        facts.add(&TIMEOUT, limit, Place::Span(place));
    }
    let call = RecordedCall::of(case);
    if let Some((limit, call)) = call.as_ref().and_then(|call| Some((limit_of_arguments(call, duration)?, call))) {
        facts.add(&TIMEOUT, limit, Place::Span(call.span));
    }
    let kind = incident.error_type.as_deref().map(last_segment).unwrap_or_default();
    let texts = || case.messages().map(|(_, text)| text);
    if let Some(side) = texts().find_map(|text| side_in(text)).or_else(|| side_of(kind, incident.status)) {
        facts.add(&GAVE_UP, side, Place::Span(span));
    }
    if let Some(phase) = texts().chain([kind]).find_map(phase_in) {
        facts.add(&TIMEOUT_PHASE, phase, Place::Span(span));
    }
}

/// The limit that a message names, in milliseconds.
fn limit_in(text: &str) -> Option<f64> {
    macro_rules! amount {
            () => {
                r"(?P<n>[0-9]{1,9}(?:[.,][0-9]{1,9})?)\s?-?(?P<u>(?:ms|msecs?|milliseconds?|millis|s|secs?|seconds?|m|mins?|minutes?|h|hours?|sekunden?|secondes?|segundos?|minuten)\b|秒|分钟|毫秒)?"
            };
        }
    static LIMITS: [ByteRegex; 12] = [
        // urllib3, requests: `(read timeout=30)`; LiteLLM: `timeout value=600.0`; Java: `connectTimeout=5000ms`.
        ByteRegex::new(concat!(
            r"(?i)(?:read|connect|write|pool|request|response|client)?[ _.-]?time-?out(?: value| limit| setting)?\s?(?:=|:|of|is|was|set to|after|at)\s{0,2}(?:approximately |about )?\(?",
            amount!()
        )),
        ByteRegex::new(concat!(r"(?i)timed[ -]?out (?:waiting )?(?:for [^\s]{1,60} )?\(?(?:after|in|within|at|>)?\s?\(?", amount!())),
        ByteRegex::new(concat!(
            r"(?i)(?:timed[ -]?out|time-?out)[^\n]{0,80}?(?:after|exceeded|within|in|waited|limit of|limit:) (?:the )?(?:configured )?(?:limit of )?",
            amount!()
        )),
        ByteRegex::new(concat!(
            r"(?i)(?:did not|didn't|does not|doesn't|failed to|could not|no|without an?y?) (?:[A-Za-z0-9_]{1,20} ){0,2}?(?:answer|respond|response|reply|return|finish|complete|result|observe)[A-Za-z0-9_]{0,2}[^\n]{0,30}? (?:within|in|after|for) (?:the )?(?:limit of )?",
            amount!()
        )),
        ByteRegex::new(concat!(
            r"(?i)(?:took|takes|running|ran|executing) (?:longer|more) than (?:the )?(?:allowed |maximum |limit of )?",
            amount!()
        )),
        ByteRegex::new(concat!(
            r"(?i)(?:deadline|time limit|timeout|time-out|maximum (?:execution )?time|max(?:imum)? duration)(?: exceeded)?(?: of| after|:| is| =|=)? \(?",
            amount!()
        )),
        ByteRegex::new(concat!(
            r"(?i)(?:exceeded|exceeds|over) (?:the |its |a )?(?:[A-Za-z0-9_]{1,20} )?(?:timeout|time limit|deadline|limit)(?: of|:)? \(?",
            amount!()
        )),
        ByteRegex::new(concat!(
            r"(?i)(?:exceeded|after|within|waited(?: for)?) (?:the )?",
            amount!(),
            r"(?: seconds?)? ?(?:time-?out|time limit|deadline|without|elaps)"
        )),
        ByteRegex::new(concat!(
            r"(?i)",
            amount!(),
            r" ?(?:\([A-Za-z0-9_]{1,20}\) )?(?:time-?out|time limit|deadline|elapsing|have passed|passed)(?: (?:exceeded|elapsed|expired|reached))?"
        )),
        ByteRegex::new(concat!(r"(?i)waited ", amount!())),
        ByteRegex::new(concat!(r"(?:超时|未响应|未返回)[^0-9\n]{0,12}", amount!())),
        ByteRegex::new(concat!(amount!(), r"[^0-9\n]{0,8}(?:超时|内未|未响应)")),
    ];
    let is_about_time = |text: &str| {
        static TIME: ByteRegex = ByteRegex::new(
            r"(?i)time-?d?[ -]?out|timedout|deadline|took (?:longer|more|too long)|time limit|超时|未响应|within|respon[ds]|no answer|did not observe|wait|ran out of time|expired|zeitüberschreitung|délai|tiempo",
        );
        TIME.is_match(text)
    };
    if !is_about_time(text) {
        return None;
    }
    // `retry after 30 s` is another thing.
    let text = text.to_ascii_lowercase().find("retry").and_then(|at| text.get(..at)).filter(|before| before.len() > 12).unwrap_or(text);
    let amount = |captures: super::super::byte_regex::Captures<'_>| {
        let found = captures.name("n")?;
        let number: f64 = found.as_str().replace(',', ".").parse().ok()?;
        let unit = captures.name("u").map(|unit| unit.as_str().to_lowercase());
        // `after 3 attempts` counts something else.
        let after = text.get(found.end()..).unwrap_or_default();
        if unit.is_none() && after.trim_start().starts_with(|c: char| c.is_alphanumeric() || c == '%') {
            return None;
        }
        let milliseconds = number * factor_of(unit.as_deref(), number)?;
        // A day is no timeout of a call, and other numbers are not measured in hundredths of a millisecond.
        (1.0..86_400_000.0).contains(&milliseconds).then(|| (milliseconds * 1e3).round() / 1e3)
    };
    LIMITS.iter().find_map(|limit| limit.captures_iter(text).take(3).find_map(amount))
}

/// Milliseconds of a unit. Without one, libraries of Python write seconds with a small number, and those of JavaScript milliseconds with a large one.
fn factor_of(unit: Option<&str>, number: f64) -> Option<f64> {
    Some(match unit {
        Some("毫秒") => 1.0,
        Some(unit) if unit.starts_with("ms") || unit.starts_with("milli") => 1.0,
        Some(unit) if unit.starts_with('s') || unit == "秒" => 1e3,
        Some(unit) if unit.starts_with('m') || unit == "分钟" => 60e3,
        Some(unit) if unit.starts_with('h') => 3.6e6,
        None if number <= 900.0 && (number.fract() != 0.0 || number >= 1.0) => 1e3,
        None if number >= 1_000.0 => 1.0,
        _ => return None,
    })
}

/// The failed span, and those that may record the settings of its call: what it called, what is around it, and other calls of the same name.
fn spans_with_limits<'t>(case: &Case<'_, 't>, span: &'t Span) -> Vec<&'t Span> {
    const SPANS_READ_MAX: usize = 8;
    let Some(root) = case.root else { return vec![span] };
    let at = |index: usize| case.trace.spans.get(index);
    let below = case.tree.children(root.index).iter().filter_map(|index| at(*index)).take(SPANS_READ_MAX);
    let above = case.tree.self_and_ancestors(root.index).skip(1).filter_map(at).take(SPANS_READ_MAX);
    let alike = case.trace.spans.iter().filter(|other| other.name == span.name && !std::ptr::eq(*other, span)).take(SPANS_READ_MAX);
    [span].into_iter().chain(below).chain(above).chain(alike).collect()
}

/// A timeout among the attributes: `timeout_ms`, `http.client.timeout`. Without a unit in the name, the duration of the span decides.
fn limit_of_attributes(span: &Span, duration: Option<f64>) -> Option<(&Span, f64)> {
    let mut found = span.attributes.iter().take(512).filter_map(|attribute| {
        let key = attribute.key.rsplit('.').next()?.to_ascii_lowercase();
        named_limit(&key, &attribute.value, duration)
    });
    found.next().map(|limit| (span, limit))
}

/// A timeout among the arguments of the call.
fn limit_of_arguments(call: &RecordedCall<'_>, duration: Option<f64>) -> Option<f64> {
    let arguments = call.json()?;
    arguments.iter().find_map(|(key, value)| named_limit(&key.to_ascii_lowercase(), value.to_string().trim_matches('"'), duration))
}

/// The limit in a field with this name, in lower case.
fn named_limit(key: &str, value: &str, duration: Option<f64>) -> Option<f64> {
    /// How much longer than its limit a call takes, at most.
    const LATE: std::ops::Range<f64> = 0.9..1.5;
    let key = key.replace(['_', '-'], "");
    let number: f64 = value.trim().parse().ok().filter(|number| (0.001..1e8).contains(number))?;
    // `statement_timeout_ms`, `readTimeoutSeconds`, `timeout`: what limits the call, then the unit.
    let (of, unit) = ["timeout", "deadline", "timelimit"].iter().find_map(|word| key.split_once(word))?;
    let is_of_call = matches!(
        of,
        "" | "request"
            | "read"
            | "call"
            | "tool"
            | "statement"
            | "query"
            | "socket"
            | "response"
            | "command"
            | "execution"
            | "lock"
            | "client"
            | "http"
    );
    let factor = match unit {
        "ms" | "millis" | "milliseconds" | "inms" | "inmillis" => 1.0,
        "s" | "sec" | "secs" | "seconds" | "insec" | "inseconds" => 1e3,
        "" => {
            let duration = duration?;
            [1e3, 1.0].into_iter().find(|factor| LATE.contains(&(duration / (number * factor))))?
        }
        _ => return None,
    };
    is_of_call.then_some(number * factor)
}

/// Who gave up, as the message says it.
fn side_in(text: &str) -> Option<&'static str> {
    static SIDES: [(&str, ByteRegex); 6] = [
        (
            "the database",
            ByteRegex::new(
                r"(?i)statement time-?out|cancell?ing statement|lock time-?out|query (?:was )?cancell?ed|QueryCanceled|lock wait time-?out|max_statement_time|maximum statement execution time|MaxTimeMSExpired|operation exceeded time limit|query_?timeout|query execution was interrupted|ORA-01013|ORA-00054|TIMEOUT_EXCEEDED|Statement reached its statement or warehouse timeout",
            ),
        ),
        ("a gateway", ByteRegex::new(r"(?i)gateway time-?out|\b504\b|upstream (?:request )?time-?out|cloudflare|\b524\b|\b522\b")),
        ("the server", ByteRegex::new(r"(?i)\b408\b|request time-?out \(408\)|server timed out")),
        ("the browser", ByteRegex::new(r"(?i)navigation timeout|page\.(?:goto|click|waitFor)|locator\.|waiting for (?:selector|locator)")),
        (
            "the client",
            ByteRegex::new(
                r"(?i)read time-?d? ?out|connect time-?d? ?out|\(read timeout|\(connect timeout|Client\.Timeout|HttpClient\.Timeout|APITimeoutError|timeout of [0-9]+ ?ms exceeded|aborted due to timeout|ETIMEDOUT|UND_ERR_[A-Za-z0-9_]+_TIMEOUT|read operation timed out|httpx?\.|urlopen|Request timed out\.?$",
            ),
        ),
        (
            "the caller",
            ByteRegex::new(
                r"(?i)command timed out|TimeoutExpired|tool (?:call |execution )?(?:\S{1,60} )?(?:timed out|time-?out)|task timed out|execution timed out|Waited [\d.]+ ?s",
            ),
        ),
    ];
    SIDES.iter().find(|(_, side)| side.is_match(text)).map(|(side, _)| *side)
}

/// Who gave up, by the type of the error and the status.
fn side_of(kind: &str, status: Option<u16>) -> Option<&'static str> {
    match (status, kind) {
        (Some(504 | 522 | 524), _) => Some("a gateway"),
        (Some(408), _) => Some("the server"),
        (_, "QueryCanceled" | "QueryCanceledError") => Some("the database"),
        (
            _,
            "ReadTimeout"
            | "ConnectTimeout"
            | "WriteTimeout"
            | "PoolTimeout"
            | "ReadTimeoutError"
            | "ConnectTimeoutError"
            | "SocketTimeoutException"
            | "HttpTimeoutException"
            | "APITimeoutError"
            | "APIConnectionTimeoutError"
            | "Timeout"
            | "ServerTimeoutError"
            | "SocketTimeoutError"
            | "ConnectionTimeoutError"
            | "ConnectionTimeout",
        ) => Some("the client"),
        (_, "TimeoutExpired" | "ToolTimeoutError") => Some("the caller"),
        _ => None,
    }
}

/// What the call was waiting for, by a message or a type.
fn phase_in(text: &str) -> Option<&'static str> {
    static PHASES: [(&str, ByteRegex); 5] = [
        (
            "a connection",
            ByteRegex::new(
                r"(?i)connect(?:ion)?[ _]?time-?d?[ _]?out|ConnectTimeout|UND_ERR_CONNECT_TIMEOUT|timed out while connecting|connection attempt timed out|i/o timeout.{0,40}dial|dial tcp.{0,80}i/o timeout|\betimedout\b",
            ),
        ),
        ("a free connection of the pool", ByteRegex::new(r"(?i)PoolTimeout|pool time-?out|timeout acquiring|connection pool.{0,40}time")),
        ("a lock", ByteRegex::new(r"(?i)lock wait time-?out|lock time-?out|ORA-00054|could not obtain lock")),
        (
            "the answer",
            ByteRegex::new(
                r"(?i)read[ _]?time-?d?[ _]?out|ReadTimeout|read operation timed out|awaiting headers|UND_ERR_HEADERS_TIMEOUT|UND_ERR_BODY_TIMEOUT|waiting for (?:a |the )?(?:response|answer|reply)",
            ),
        ),
        ("the page", ByteRegex::new(r"(?i)navigation timeout|waiting for (?:selector|locator)|page\.goto")),
    ];
    PHASES.iter().find(|(_, phase)| phase.is_match(text)).map(|(phase, _)| *phase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_found_in_the_wording_of_libraries() {
        for (text, limit) in [
            ("HTTPSConnectionPool(host='a.b', port=443): Read timed out. (read timeout=30)", 30e3),
            ("timeout of 30000ms exceeded", 30e3),
            ("Command '['sleep', '9']' timed out after 120.0 seconds", 120e3),
            ("Timeout of 60.0s exceeded, last exception: 503", 60e3),
            (
                "litellm.Timeout: APITimeoutError - Request timed out. Error_str: Request timed out. - timeout value=600.0, time taken=600.1 seconds",
                600e3,
            ),
            ("Timed out while waiting for response to ClientRequest. Waited 5.0 seconds.", 5e3),
            ("page.goto: Timeout 30000ms exceeded.", 30e3),
            ("Navigation timeout of 30000 ms exceeded", 30e3),
            ("The request was canceled due to the configured HttpClient.Timeout of 100 seconds elapsing.", 100e3),
            ("Task timed out after 3.00 seconds", 3e3),
            ("the carrier did not respond within 20 s", 20e3),
            ("deadline exceeded after 4.9s", 4.9e3),
            ("Command timed out after 2m", 120e3),
            ("took longer than 45 seconds", 45e3),
            ("no response in 30s", 30e3),
            ("Did not observe any item or terminal signal within 30000ms", 30e3),
            ("Tool execution timed out after 30s", 30e3),
            ("请求超时（30秒）", 30e3),
            ("exceeded the time limit of 10 minutes", 600e3),
        ] {
            assert_eq!(limit_in(text), Some(limit), "{text}");
        }
        for text in [
            "Request timed out.",
            "The read operation timed out",
            "504 Gateway Time-out",
            "context deadline exceeded",
            "canceling statement due to statement timeout",
            "Request timed out, please retry in 30 seconds",
            "order 30 of 40 failed",
            "",
        ] {
            assert_eq!(limit_in(text), None, "{text}");
        }
    }

    #[test]
    fn the_side_that_gave_up_is_named_only_if_it_is_known() {
        for (text, side) in [
            ("canceling statement due to statement timeout", Some("the database")),
            ("504 Gateway Time-out", Some("a gateway")),
            ("Read timed out. (read timeout=30)", Some("the client")),
            ("context deadline exceeded (Client.Timeout exceeded while awaiting headers)", Some("the client")),
            ("Command timed out after 120000ms", Some("the caller")),
            ("the carrier did not respond within 20 s", None),
            ("timed out", None),
        ] {
            assert_eq!(side_in(text), side, "{text}");
        }
        assert_eq!((side_of("ReadTimeout", None), side_of("TimeoutError", None)), (Some("the client"), None));
        assert_eq!((phase_in("ConnectTimeout"), phase_in("timed out")), (Some("a connection"), None));
    }

    #[test]
    fn a_limit_without_a_unit_is_read_if_the_duration_fits() {
        assert_eq!(named_limit("timeout", "30", Some(30_100.0)), Some(30e3));
        assert_eq!(named_limit("timeout", "30000", Some(30_100.0)), Some(30e3));
        assert_eq!(named_limit("timeout", "30", Some(900.0)), None);
        assert_eq!(named_limit("timeout_ms", "500", None), Some(500.0));
        assert_eq!(named_limit("timeout_seconds", "5", None), Some(5e3));
        assert_eq!(named_limit("max_tokens", "500", Some(500.0)), None);
        assert_eq!(named_limit("statement_timeout_ms", "30000", None), Some(30e3));
        assert_eq!(named_limit("querytimeoutseconds", "12", None), Some(12e3));
        assert_eq!((named_limit("idle_timeout_ms", "500", None), named_limit("timeout_count", "5", Some(5e3))), (None, None));
    }
}
