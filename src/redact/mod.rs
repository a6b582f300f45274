//! Traces -> redacted traces: takes out what is sensitive before anything is analysed, stored, logged or sent.
//!
//! [`RedactedTrace`] can only be made here, so analyzing a raw [`Trace`] does not compile. Each sensitive value becomes a keyed token
//! (`<EMAIL:1a2b3c>`): the same value, the same token under one key, so that "how many users hit this" still has an answer.
//! What analyzers write and what errors say is redacted again.

mod detect;
mod key;
mod numbers;
mod secrets;
mod shapes;

use std::ops::Deref;
use std::sync::Arc;

use futures::StreamExt;

pub use self::key::{KeyError, RedactionKey};
use crate::limits::EXCERPT_CHARS_MAX;
use crate::model::{Draft, Kind, OutcomeStream, Rejection, Stage, Trace, excerpt_around};
use crate::pool;

/// Replaces sensitive text by keyed tokens.
#[derive(Debug)]
pub struct Redactor {
    key: RedactionKey,
}

/// A trace without sensitive text. Only this module makes one.
#[derive(Debug, Clone)]
pub struct RedactedTrace(Trace);

impl Deref for RedactedTrace {
    type Target = Trace;
    fn deref(&self) -> &Trace {
        &self.0
    }
}

impl Redactor {
    /// A redactor whose tokens are made with `key`.
    pub fn new(key: RedactionKey) -> Self {
        Self { key }
    }

    /// Which key makes the tokens.
    pub fn key_id(&self) -> &str {
        self.key.id()
    }

    /// Replaces what is sensitive in place.
    pub fn redact(&self, text: &mut String) {
        let found = detect::find(text);
        if found.is_empty() {
            return;
        }
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for hit in found {
            out.push_str(text.get(done..hit.range.start).unwrap_or_default());
            out.push_str(&self.key.token(hit.kind, text.get(hit.range.clone()).unwrap_or_default()));
            done = hit.range.end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        *text = out;
    }

    /// Redacts every text of a trace.
    pub fn trace(&self, mut trace: Trace) -> RedactedTrace {
        trace.texts_mut(&mut |text| self.redact(text));
        RedactedTrace(trace)
    }
}

/// The stage after parse.
pub fn traces(traces: OutcomeStream<Trace>, redactor: &Arc<Redactor>) -> OutcomeStream<RedactedTrace> {
    let redactor = Arc::clone(redactor);
    pool::stage(traces, move |trace: Trace| {
        let (id, uri) = (trace.trace_id.clone(), trace.source.uri.clone());
        pool::guarded(|| redactor.trace(trace)).map_err(|defect| Rejection::of_trace(&id, &uri, Stage::Redact, Kind::Internal, defect))
    })
}

/// What an analyzer writes is untrusted too.
pub fn drafts(drafts: OutcomeStream<Draft>, redactor: &Arc<Redactor>) -> OutcomeStream<Draft> {
    let redactor = Arc::clone(redactor);
    pool::stage(drafts, move |mut draft: Draft| {
        draft.texts_mut(&mut |text| redactor.redact(text));
        // A token may be longer than what it stands for.
        for excerpt in draft.evidence.iter_mut().filter_map(|evidence| evidence.excerpt.as_mut()) {
            if excerpt.chars().count() > EXCERPT_CHARS_MAX {
                *excerpt = excerpt_around(excerpt, 0..0).to_owned();
            }
        }
        Ok(draft)
    })
}

/// And so is every error text.
pub fn reasons<T: Send + 'static>(items: OutcomeStream<T>, redactor: &Arc<Redactor>) -> OutcomeStream<T> {
    let redactor = Arc::clone(redactor);
    items
        .map(move |item| {
            item.map_err(|mut rejection| {
                redactor.redact(&mut rejection.reason);
                rejection
            })
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(text: &str) -> String {
        let mut text = text.to_owned();
        Redactor::new(RedactionKey::from_text("a key for tests only").unwrap()).redact(&mut text);
        text
    }

    #[test]
    fn the_same_value_gets_the_same_token() {
        let text = redacted("mail Ada@Example.com or ada@example.com, not bob@example.com");
        let tokens: Vec<_> = text.split(' ').filter(|word| word.contains("<EMAIL:")).map(|word| word.trim_matches(',')).collect();
        assert_eq!(tokens.len(), 3);
        assert_eq!(tokens[0], tokens[1]);
        assert_ne!(tokens[0], tokens[2]);
    }

    /// Drafts are redacted again, so what comes out of a run cannot show that analyzers saw no raw text: this does.
    #[test]
    fn a_trace_is_redacted_before_anything_looks_at_it() {
        use crate::model::{Attribute, Exception, Message, Span, ToolUse};
        const SECRET: &str = "ada@example.com";
        let text = || format!("for {SECRET} today");
        let span = Span {
            name: text(),
            status_message: Some(text()),
            exceptions: vec![Exception { kind: "E".into(), message: text(), stack: Some(text()) }],
            input: vec![Message { content: text(), ..Message::default() }],
            output_text: Some(text()),
            tool: Some(ToolUse { arguments: text(), result: Some(text()), ..ToolUse::default() }),
            attributes: vec![Attribute { key: text(), value: text() }],
            ..Span::default()
        };
        let redactor = Redactor::new(RedactionKey::from_text("a key for tests only").unwrap());
        let trace = redactor.trace(Trace { service: Some(text()), spans: vec![span], ..Trace::default() });
        let shown = format!("{:?}", *trace);
        assert!(!shown.contains(SECRET), "{shown}");
        assert_eq!(shown.matches("<EMAIL:").count(), 11, "{shown}");
    }

    #[test]
    fn redacting_twice_changes_nothing() {
        let once = redacted("ada@example.com, +49 30 901820, 4111 1111 1111 1111, 10.20.4.17 DE89370400440532013000 078-05-1120");
        assert_eq!(redacted(&once), once);
        for kind in ["EMAIL", "PHONE", "CARD", "IP", "IBAN", "SSN"] {
            assert!(once.contains(&format!("<{kind}:")), "{kind} in {once}");
        }
    }

    #[test]
    fn what_identifies_traces_and_errors_is_untouched() {
        for text in [
            "43993eadc22e5ed0f9a1cc2e01626425",
            "019ab0c8-1c2d-7e3f-8a9b-0c1d2e3f4a5b",
            "gpt-4o-mini-2024-07-18",
            "Error code: 429 - Limit 30000, Used 28914, Requested 2381. Please try again in 2.59s.",
            "1795424023443017575",
            "2026-11-23T09:08:46.449940+00:00",
            "File \"/app/.venv/lib/python3.11/site-packages/openai/_base_client.py\", line 1248, in request",
            "call_AWUv6cyBPkjDYC2p7ludSJHq chatcmpl-zCHEmN7XDAzRxnjbMmQThwInDETMD",
            "openai==3.54.0 version 1.2.3.4.5 @property torch.float32 O(n)",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_planted_value_survives(before in "[ -~]{0,40}", after in "[ -~]{0,40}", index in 0usize..8) {
            let planted = [
                "ada.lovelace@example.com", "4111 1111 1111 1111", "078-05-1120", "DE89 3704 0044 0532 0130 00", "(415) 555-0142",
                concat!("ghp_", "3JD61rztPeHmI1g6pD96mjTwnxv9aLqmlCEV"), concat!("AKIA", "33TAPR3H64BVAQRP"), "192.168.17.4",
            ][index];
            let text = redacted(&format!("{before} {planted} {after}"));
            prop_assert!(!text.contains(planted), "{}", text);
        }

        #[test]
        fn any_text_can_be_redacted(text in "\\PC{0,200}") {
            redacted(&text);
        }
    }
}
