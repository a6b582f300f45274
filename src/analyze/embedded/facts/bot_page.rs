//! Facts of a page that asks for a human: its words, the host, the id that its operator needs, and how often it came.

use super::call::RecordedCall;
use super::find::{bare, capture, expressions};
use super::guardrail::BLOCKED_SITE;
use super::names::fact_names;
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::Span;

fact_names! {
    CHALLENGE_TEXT = "challenge_text", Text, "the words by which the page asks for a human";
    CHALLENGE_ID = "challenge_id", Text, "the id of the page for the operator of the bot protection";
    CHALLENGE_TIMES = "challenge_times", Count, "how often the page came";
    CHALLENGE_URL = "challenge_url", Text, "the address that the agent opened";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Characters of an address.
const URL_CHARS_MAX: usize = 120;

expressions! {
    WORDS = r"(?i)((?:please )?verify(?:ing)? (?:that )?you are (?:a )?human|(?:please )?(?:complete|solve) the (?:captcha|security check)[^\n.]{0,60}|are you a robot\??|i'm not a robot|unusual traffic from your[^\n.]{0,40}|checking your browser[^\n.]{0,60}|checking if the site connection is secure|press (?:and|&) hold[^\n.]{0,60}|pardon our interruption|performing security verification|enable javascript and cookies to continue|request unsuccessful\. incapsula incident id|attention required! \| cloudflare|you have been blocked|access (?:to this page has been )?denied|captcha)";
    ID = r"(?i)(?-u:\b)(?:ray id|reference(?: id)?|incident id|support id|event id|block id|request id|error reference)[:# ]{1,4}([0-9a-z][0-9a-z.\-]{5,80})";
    HOST_LINE = r"(?im)^((?:[a-z0-9](?:[a-z0-9-]{0,62})\.){1,5}[a-z]{2,24})(?: needs to review| wants to check|$)";
    URL = r#"(https?://[^\s"'`<>\\)]{4,300})"#;
}

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(incident) = case.root.filter(|_| case.is(&["guardrail_blocked"])) else { return };
    let span = incident.span;
    let Some((field, page)) = incident.texts.iter().find(|(_, text)| capture(&WORDS, super::super::text::clip(text)).is_some()) else {
        return;
    };
    let text = super::super::text::clip(page);
    let place = Place::Field(span, field);
    if let Some(words) = capture(&WORDS, text) {
        facts.add(&CHALLENGE_TEXT, bare(words), place);
    }
    if let Some(id) = capture(&ID, text) {
        facts.add(&CHALLENGE_ID, bare(id), place);
    }
    // The page names its host on a line of its own; without it, the agent's call does, or the call before.
    if let Some(host) = capture(&HOST_LINE, text) {
        facts.add(&BLOCKED_SITE, host, place);
    }
    add_address(case, facts);
    facts.add(&CHALLENGE_TIMES, times(case), Place::Trace);
}

/// The address of the last call with one up to the failure.
fn add_address(case: &Case<'_, '_>, facts: &mut Facts) {
    const SPANS_READ_MAX: usize = 50;
    let own = RecordedCall::of(case).map(|call| (call.span, call.field, call.arguments));
    let before = super::call::spans_before(case).rev().take(SPANS_READ_MAX).filter_map(|span| {
        let of_tool = span.tool.as_ref().map(|tool| ("tool.arguments".to_owned(), tool.arguments.as_str()));
        let of_message = || {
            let messages = span.input.iter().map(|message| ("input", message)).chain(span.output.iter().map(|message| ("output", message)));
            let mut calls = messages.flat_map(|(list, message)| message.tool_calls.iter().map(move |call| (list, call)));
            calls
                .find(|(_, call)| call.arguments.contains("://"))
                .map(|(list, call)| (format!("{list}[0].tool_calls.arguments"), call.arguments.as_str()))
        };
        let (field, text) = of_tool.filter(|(_, text)| text.contains("://")).or_else(of_message)?;
        Some((span, field, text))
    });
    let found =
        own.into_iter().chain(before).find_map(|(span, _, text)| Some((span, capture(&URL, super::super::text::clip(text)).map(bare)?)));
    let Some((span, url)) = found else { return };
    facts.add(&CHALLENGE_URL, shortened(url, URL_CHARS_MAX), Place::Span(span));
    if let Some(host) = url.split('/').nth(2).map(|host| host.split(':').next().unwrap_or(host)).filter(|host| host.contains('.')) {
        facts.add(&BLOCKED_SITE, host, Place::Span(span));
    }
}

/// How many results are such a page.
fn times(case: &Case<'_, '_>) -> usize {
    let is_page = |span: &&Span| {
        // An ordinary page is longer.
        const PAGE_BYTES_MAX: usize = 3_000;
        let result = span.tool.as_ref().and_then(|tool| tool.result.as_deref()).or(span.output_text.as_deref());
        result.is_some_and(|result| result.len() <= PAGE_BYTES_MAX && capture(&WORDS, result).is_some())
    };
    // Results among messages are incidents of their own.
    let in_spans = case.trace.spans.iter().filter(|span| span.tool.is_some()).filter(is_page).count();
    let in_messages = case.incidents.iter().filter(|incident| {
        incident.span.tool.is_none() && incident.texts.iter().any(|(_, text)| capture(&WORDS, super::super::text::clip(text)).is_some())
    });
    (in_spans + in_messages.count()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_ask_for_a_human_are_read() {
        let cloudflare = "Just a moment...\nshop.example.com\nVerify you are human by completing the action below.\nshop.example.com needs to review the security of your connection before proceeding.\nRay ID: 8f4417c7da";
        for (text, words, id, host) in [
            (cloudflare, "Verify you are human", "8f4417c7da", "shop.example.com"),
            ("Access Denied\nReference #18.9c2b1102.1700.3d1", "Access Denied", "18.9c2b1102.1700.3d1", ""),
            ("Request unsuccessful. Incapsula incident ID: 778000-1234", "Request unsuccessful. Incapsula incident ID", "778000-1234", ""),
            ("Pardon Our Interruption", "Pardon Our Interruption", "", ""),
            ("Our systems have detected unusual traffic from your computer network.", "unusual traffic from your computer network", "", ""),
            ("The shop is open", "", "", ""),
        ] {
            let found = [capture(&WORDS, text), capture(&ID, text), capture(&HOST_LINE, text)].map(|found| found.map_or("", bare));
            assert_eq!(found, [words, id, host], "{text}");
        }
    }
}
