//! What else the run recorded about a failure: a signal that stopped the process, and a warning of an earlier step about the same thing.

use std::collections::HashSet;

use super::find::{capture, expressions};
use super::names::fact_names;
use super::records::records_in;
use super::value_field::letters;
use super::{Case, Extractor, Facts, Place, display_name, shortened};
use crate::model::{Span, SpanKind};

fact_names! {
    STOP_SIGNAL = "stop_signal", Text, "the signal or event that stopped the process";
    STOP_REASON = "stop_reason", Text, "why the process was stopped";
    STOP_SPAN = "stop_step", Text, "the step that records the stop";
    GRACE_PERIOD = "grace_period", Text, "how long the process had to finish";
    GRACE_SETTING = "grace_setting", Text, "the setting of that time";
    EARLIER_WARNING = "earlier_warning", Text, "a warning of an earlier step about the same thing";
    WARNING_STEP = "warning_step", Text, "the step that warned";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

const TEXT_CHARS_MAX: usize = 160;
/// Spans that are searched.
const SPANS_MAX: usize = 2_000;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if case.root.is_none() || case.label.is_healthy() {
        return;
    }
    if case.is(&["run_cancelled", "tool_unavailable", "connection_failed", "resource_exhausted", "premature_termination"]) {
        add_stop(case, facts);
    }
    if matches!(case.label.category(), "tool_failure" | "tool_misuse" | "environment_error" | "retrieval_failure") {
        add_warning(case, facts);
    }
}

/// A longer text of a step that is not named after an event is content.
const SHORT_BYTES: usize = 600;

expressions! {
    EVENT_NAME = r"(?i)(shutdown|lifespan|lifecycle|signal|terminat|preempt|evict|drain|stopping|sigterm)";
    SIGNAL = r"\b(SIGTERM|SIGINT|SIGKILL|SIGHUP|OOMKilled|Evicted|Preempted)\b|(?i)\b(rolling (?:update|restart)|graceful shutdown|shutting down|shutdown requested|spot interruption|node drain(?:ing)?|scal(?:e|ing)[ -]down|pod (?:deleted|evicted)|preemption notice|instance terminat(?:ion|ed))\b";
    REASON = r"(?i)\b(?:because|reason:|due to) ([^\n]{6,200})|\b((?:pod|node|instance|deployment|container) [^\n]{0,80}(?:deleted|evicted|drained|terminated|restarted|updated)[^\n]{0,120})";
    GRACE = r"(?i)\bgrace[a-z_ ]{0,24}[=: ]{1,3}(\d+(?:\.\d+)? ?(?:ms|s|sec(?:onds)?|m)?)|(?-i:\b[A-Z_]*GRACE[A-Z_]*)=(\d+(?:\.\d+)?)|\b(?:waiting|within|wait) (\d+(?:\.\d+)? ?s)\b";
    SETTING = r"\b([A-Z]+(?:_[A-Z]+)*_?GRACE(?:_[A-Z]+)*|terminationGracePeriodSeconds|stopTimeout)\b";
}

/// A step that records how the process was stopped, while the failed one ran or shortly before it failed.
fn add_stop(case: &Case<'_, '_>, facts: &mut Facts) {
    const BEFORE_NS: i64 = 120_000_000_000;
    let Some(root) = case.root else { return };
    let (start, end) = (root.span.started_at_ns.unwrap_or(root.at_ns), root.span.ended_at_ns.unwrap_or(root.at_ns));
    let is_near = |span: &&Span| {
        if !matches!(span.kind, SpanKind::Other | SpanKind::Chain) {
            return false;
        }
        let from = span.started_at_ns.unwrap_or_default();
        let to = span.ended_at_ns.unwrap_or(from);
        from <= end && to >= start.saturating_sub(BEFORE_NS)
    };
    let spans = case.trace.spans.iter().filter(|span| !std::ptr::eq(*span, root.span) && span.tool.is_none() && span.input.is_empty());
    for span in spans.filter(is_near).take(SPANS_MAX) {
        let mut is_stop = false;
        // What an agent reads or writes about such events is none of its own process.
        let is_event = capture(&EVENT_NAME, &span.name).is_some();
        for (field, text) in texts_of(span).into_iter().filter(|(_, text)| is_event || text.len() <= SHORT_BYTES) {
            let Some(signal) = capture(&SIGNAL, text) else { continue };
            is_stop = true;
            facts.add(&STOP_SIGNAL, signal, Place::Field(span, &field));
            let records = records_in(text);
            let of_field = |words: &[&str]| {
                let mut fields = records.iter().flat_map(|record| &record.fields);
                fields.find(|(key, _)| words.contains(&letters(key).as_str())).and_then(|(_, value)| value.as_scalar())
            };
            if let Some(reason) = of_field(&["reason", "message", "cause", "why"]).or_else(|| capture(&REASON, text)) {
                let place = if text.contains(reason) { Place::Field(span, &field) } else { Place::Span(span) };
                facts.add(&STOP_REASON, shortened(reason, TEXT_CHARS_MAX).trim_end_matches('…'), place);
            }
        }
        if !is_stop {
            continue;
        }
        for (field, text) in texts_of(span) {
            for (name, expression) in [(&GRACE_PERIOD, &GRACE), (&GRACE_SETTING, &SETTING)] {
                if let Some(found) = capture(expression, text) {
                    facts.add(name, found, Place::Field(span, &field));
                }
            }
        }
        facts.add(&STOP_SPAN, shortened(&display_name(span), TEXT_CHARS_MAX), Place::Span(span));
        return;
    }
}

/// The short texts of a step that is no call: its name, status, input, output and attributes.
fn texts_of(span: &Span) -> Vec<(String, &str)> {
    const BYTES_MAX: usize = 8 * 1024;
    const ATTRIBUTES_MAX: usize = 40;
    let plain = [
        ("name", Some(span.name.as_str())),
        ("status_message", span.status_message.as_deref()),
        ("input_text", span.input_text.as_deref()),
        ("output_text", span.output_text.as_deref()),
    ];
    let plain = plain.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text?)));
    let attributes = span.attributes.iter().take(ATTRIBUTES_MAX).map(|item| (format!("attributes.{}", item.key), item.value.as_str()));
    plain.chain(attributes).filter(|(_, text)| text.len() <= BYTES_MAX).collect()
}

/// A warning in an earlier result that is about what the error is about: they share a word that is not common to all errors.
fn add_warning(case: &Case<'_, '_>, facts: &mut Facts) {
    let about: HashSet<String> = case.messages().flat_map(|(_, text)| words_of(text)).collect();
    if about.is_empty() {
        return;
    }
    for result in case.earlier_results().iter().rev() {
        for (key, value) in result.records.iter().flat_map(|record| &record.fields) {
            let is_warning = matches!(letters(key).as_str(), "warning" | "warnings" | "warn" | "notice" | "deprecation");
            let text = value.as_scalar().filter(|text| is_warning && text.len() >= 10);
            if let Some(text) = text.filter(|text| words_of(text).any(|word| about.contains(&word))) {
                facts.add(&EARLIER_WARNING, shortened(text, TEXT_CHARS_MAX).trim_end_matches('…'), result.place(text));
                facts.add(&WARNING_STEP, shortened(&result.tool, TEXT_CHARS_MAX), Place::Span(result.span));
                return;
            }
        }
    }
    // Langfuse and Logfire have a level for it.
    let is_warning = |span: &&Span| {
        let level = ["level", "severity", "logfire.level_num", "log.level"].iter().find_map(|key| span.attribute(key));
        !span.failed() && level.is_some_and(|level| matches!(level.to_ascii_lowercase().as_str(), "warning" | "warn" | "13"))
    };
    for span in super::call::spans_before(case).rev().take(SPANS_MAX).filter(is_warning) {
        let Some(text) = span.status_message.as_deref() else { continue };
        if words_of(text).any(|word| about.contains(&word)) {
            facts.add(&EARLIER_WARNING, shortened(text, TEXT_CHARS_MAX).trim_end_matches('…'), Place::Field(span, "status_message"));
            facts.add(&WARNING_STEP, shortened(&display_name(span), TEXT_CHARS_MAX), Place::Span(span));
            return;
        }
    }
}

/// Words that say what a text is about, in lower case.
fn words_of(text: &str) -> impl Iterator<Item = String> {
    const COMMON: [&str; 34] = [
        "error",
        "failed",
        "failure",
        "warning",
        "please",
        "could",
        "should",
        "would",
        "cannot",
        "status",
        "message",
        "request",
        "response",
        "value",
        "invalid",
        "exception",
        "string",
        "object",
        "there",
        "which",
        "while",
        "after",
        "before",
        "https",
        "result",
        "query",
        "current",
        "found",
        "missing",
        "other",
        "default",
        "server",
        "session",
        "using",
    ];
    const WORDS_MAX: usize = 400;
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= 5 && word.contains(char::is_alphabetic));
    words.take(WORDS_MAX).map(str::to_lowercase).filter(|word| !COMMON.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, Status, ToolUse, Trace};

    fn facts_of(label: &str, earlier: Span, message: &str) -> Facts {
        let failed = Span {
            span_id: "f".into(),
            name: "load".into(),
            started_at_ns: Some(20),
            ended_at_ns: Some(90),
            status: Status::Error,
            status_message: Some(message.into()),
            ..Span::default()
        };
        let trace = Trace { spans: vec![earlier, failed], ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let mut root = Incident::new(&trace, 1, IncidentKind::Error).unwrap();
        root.texts.push(("status_message".into(), message));
        let case = Case::new(&trace, &tree, &[], Some(&root), Label::parse(label).unwrap());
        let mut facts = Facts::default();
        add(&case, &mut facts);
        facts
    }

    #[test]
    fn the_step_that_stopped_the_process_is_found() {
        for (text, signal, reason) in [
            (r#"{"event": "SIGTERM", "reason": "node pool upgrade"}"#, "SIGTERM", "node pool upgrade"),
            ("received SIGINT, waiting 5 s", "SIGINT", ""),
            (
                "pod web-1 deleted: rolling update of web to revision 4",
                "rolling update",
                "pod web-1 deleted: rolling update of web to revision 4",
            ),
            ("all quiet", "", ""),
        ] {
            let span = Span {
                span_id: "s".into(),
                name: "lifecycle".into(),
                started_at_ns: Some(50),
                ended_at_ns: Some(95),
                output_text: Some(text.into()),
                ..Span::default()
            };
            let facts = facts_of("coordination_failure/run_cancelled", span, "CancelledError");
            let found = [&STOP_SIGNAL, &STOP_REASON].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [signal, reason], "{text}");
        }
    }

    #[test]
    fn a_warning_counts_if_it_is_about_the_same_thing() {
        for (warning, expected) in [
            ("CATALOG_REGION is not set, using none", Some("CATALOG_REGION is not set, using none")),
            ("the cache is cold and may be slow", None),
        ] {
            let span = Span {
                span_id: "s".into(),
                name: "connect".into(),
                kind: SpanKind::Tool,
                started_at_ns: Some(1),
                ended_at_ns: Some(5),
                tool: Some(ToolUse {
                    name: "connect".into(),
                    result: Some(format!(r#"{{"warning": "{warning}"}}"#)),
                    ..ToolUse::default()
                }),
                ..Span::default()
            };
            let facts = facts_of("tool_failure/tool_exception", span, "no catalog selected for this account");
            assert_eq!(facts.get(&EARLIER_WARNING), expected, "{warning}");
        }
    }
}
