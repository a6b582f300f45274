//! Writes the verdicts without a cause in the trace: a failed span that says nothing, a run that never ended, an answer that stopped without a reason.

use std::fmt::Write;

use super::drafts::{base_draft, signal_of, trace_signal};
use super::facts::{Facts, display_name, duration_ms, milliseconds_between, run, shortened};
use super::incident::Incident;
use super::tree::SpanTree;
use super::wording::{NAME_CHARS_MAX, counted, provider_name};
use crate::model::{Draft, Label, Span, SpanKind, Trace};

/// The draft for a trace that failed without showing why.
pub(super) fn unexplained(trace: &Trace, tree: &SpanTree, facts: &Facts) -> Draft {
    let label = Label::INSUFFICIENT_EVIDENCE;
    let failed = trace.spans.iter().position(Span::failed);
    let failed_count = trace.spans.iter().filter(|span| span.failed()).count();
    let (title, summary, hypothesis, action) = match failed.and_then(|index| trace.spans.get(index)) {
        Some(span) => about_failed(trace, span, failed_count),
        None => about_unfinished(trace, tree, facts),
    };
    Draft {
        title,
        label,
        summary,
        root_cause_hypothesis: hypothesis,
        evidence: vec![trace_signal(format!("unfinished_spans={}", tree.unfinished)), trace_signal(format!("failed_spans={failed_count}"))],
        actions: vec![action, "Flush the exporter at exit, so that the last spans are not lost.".into()],
        confidence_rationale: "No rule matched: no error text, error type or status was recorded.".into(),
        ..base_draft(trace, label, failed.and_then(|index| trace.spans.get(index)), None)
    }
}

/// Title, summary, hypothesis and action for a span with an error status and nothing else.
fn about_failed(trace: &Trace, span: &Span, failed_count: usize) -> (String, String, String, String) {
    let name = quoted_name(span);
    let times = since_start(trace, span.ended_at_ns.or(span.started_at_ns))
        .map(|time| format!(" {time} after the start of the run"))
        .unwrap_or_default();
    let took = duration_ms(span).map(|duration| format!(" It took {}.", shown_ms(duration))).unwrap_or_default();
    let others = match failed_count {
        0 | 1 => String::new(),
        2 => " One other span has an error status too.".to_owned(),
        count => format!(" {} other spans have an error status too.", count - 1),
    };
    (
        format!("{} failed without an error type or message", capitalized_noun(span, &name)),
        format!(
            "{} ended with an error status{times}, and the trace does not show the cause.{took}{others}",
            capitalized_noun(span, &name)
        ),
        format!(
            "The cause is not in the trace: {} has an error status{times}, but no exception, message or HTTP status was recorded with it.",
            noun(span, &name)
        ),
        format!("Record the exception in {} (`span.record_exception`), with its message and stack trace.", noun(span, &name)),
    )
}

/// The same for a run that never ended.
fn about_unfinished(trace: &Trace, tree: &SpanTree, facts: &Facts) -> (String, String, String, String) {
    let root = trace.spans.iter().find(|span| span.parent_span_id.is_none() && span.ended_at_ns.is_none());
    let last_open = trace.spans.iter().rev().find(|span| span.ended_at_ns.is_none());
    let last_done = trace.spans.iter().filter(|span| span.ended_at_ns.is_some()).max_by_key(|span| span.ended_at_ns);
    let title = root.map_or_else(
        || "The agent run has no end time and no error".to_owned(),
        |root| format!("{} has no end time and no error", capitalized_noun(root, &quoted_name(root))),
    );
    let total = counted(facts.get(&run::SPANS).unwrap_or("1"), "span");
    let mut summary = format!("{title}, so the trace does not show how it ended. {} of {total} never ended.", tree.unfinished);
    if let Some(done) = last_done {
        let at = since_start(trace, done.ended_at_ns).map(|time| format!(", {time} after the start")).unwrap_or_default();
        let _ = write!(summary, " The last step that ended is {}{at}.", quoted_name(done));
    }
    let hypothesis = match last_open.filter(|open| root.is_none_or(|root| !std::ptr::eq(*open, root))) {
        Some(open) => format!(
            "The process may have been killed while {} was running, the last span that started and did not end; or the export stopped before its end was recorded.",
            noun(open, &quoted_name(open))
        ),
        None => match last_done {
            Some(done) => format!(
                "The process may have been killed after {}, the last step that ended; or the export stopped before the end of the run was recorded.",
                noun(done, &quoted_name(done))
            ),
            None => "The process may have been killed before any step ended, or the export stopped before the end of the run was recorded."
                .to_owned(),
        },
    };
    let last = last_done.and_then(|done| since_start(trace, done.ended_at_ns));
    let action = last.map_or_else(
        || "Look for the end of the process in its log: a restart, a kill for memory, or a timeout of the platform.".to_owned(),
        |time| format!("Look in the log of the process for what happened {time} after the start: a restart, a kill for memory, or a timeout of the platform."),
    );
    (title, summary, hypothesis, action)
}

/// The draft for an answer that the provider stopped for a reason that it does not name, such as Gemini's `OTHER`.
pub(super) fn unnamed_stop(trace: &Trace, incident: &Incident<'_>) -> Draft {
    let label = Label::INSUFFICIENT_EVIDENCE;
    let span = incident.span;
    let provider = shortened(span.provider.as_deref().and_then(provider_name).unwrap_or("The provider"), NAME_CHARS_MAX);
    let model = span.model.as_deref().map(|model| format!(" of {}", shortened(model, NAME_CHARS_MAX))).unwrap_or_default();
    let reason =
        span.finish_reasons.last().map(|reason| format!(" (finish reason {})", shortened(reason, NAME_CHARS_MAX))).unwrap_or_default();
    let title = format!("{provider} stopped an answer{model} without naming the reason");
    let chars: usize = span.output.iter().map(|message| message.content.chars().count()).sum();
    let tokens = span.usage.output.map(|tokens| counted(&tokens.to_string(), "token"));
    let written = match (chars, tokens) {
        (0, _) => "The answer is empty.".to_owned(),
        (chars, Some(tokens)) => format!("The answer has {} and {tokens}.", counted(&chars.to_string(), "character")),
        (chars, None) => format!("The answer has {}.", counted(&chars.to_string(), "character")),
    };
    let signals = incident.signals.iter().map(|signal| signal_of(span, signal));
    Draft {
        summary: format!("{title}{reason}, so the trace does not show the cause. It happened in {}. {written}", quoted_name(span)),
        root_cause_hypothesis: format!(
            "{provider} ended the generation itself{reason}; a filter or an internal error is likely. {written} It may be incomplete."
        ),
        title,
        label,
        evidence: signals.collect(),
        actions: vec![format!("Check whether the answer in {} is complete, and retry the call if it is not.", quoted_name(span))],
        confidence_rationale: format!(
            "No rule matched: the finish reason{} names no cause.",
            reason.replace(" (finish reason ", " ").replace(')', "")
        ),
        ..base_draft(trace, label, Some(span), None)
    }
}

fn quoted_name(span: &Span) -> String {
    let name = display_name(span);
    if name.trim().is_empty() { "a span without a name".to_owned() } else { format!("{:?}", shortened(&name, NAME_CHARS_MAX)) }
}

fn noun(span: &Span, name: &str) -> String {
    let kind = match span.kind {
        SpanKind::Llm => "the model call",
        SpanKind::Tool => "the tool call",
        SpanKind::Retriever => "the search",
        SpanKind::Agent => "the agent run",
        SpanKind::Embedding => "the embedding call",
        SpanKind::Guardrail => "the guardrail",
        SpanKind::Chain | SpanKind::Other => "the step",
    };
    if span.name.trim().is_empty() { format!("{kind} without a name") } else { format!("{kind} {name}") }
}

fn capitalized_noun(span: &Span, name: &str) -> String {
    noun(span, name).replacen("the ", "The ", 1)
}

fn since_start(trace: &Trace, at_ns: Option<i64>) -> Option<String> {
    Some(shown_ms(milliseconds_between(trace.started_at_ns()?, at_ns?)?))
}

fn shown_ms(milliseconds: f64) -> String {
    crate::model::duration(milliseconds)
}
