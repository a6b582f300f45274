//! Writes a verdict down: title, summary, hypothesis, evidence, actions. The confidence comes from `confidence`.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::dialogue::{Dialogue, Sightings, Signals};
use super::incidents::Incident;
use super::root::Root;
use super::signals::{Signal, error_type};
use super::tree::SpanTree;
use super::{RULES_VERSION, Suspicion};
use crate::limits::EVIDENCE_ITEMS_MAX;
use crate::model::{Annotation, Draft, Evidence, EvidenceKind, Label, Span, Trace, excerpt_around, hex, last_segment};

/// Characters of a name that is quoted in a sentence: names are the trace's, and may be of any length.
const NAME_CHARS_MAX: usize = 60;

/// Annotations that stand in the evidence of one pattern.
const ANNOTATIONS_MAX: usize = 3;

/// Signals of one trace that another analyzer is told.
const SIGNALS_MAX: usize = 30;

/// Signals of a dialogue that a pattern names.
const REASONS_MAX: usize = 4;

/// A step that failed.
pub(super) fn step(trace: &Trace, tree: &SpanTree, incidents: &[Incident<'_>], root: &Root<'_, '_, '_>) -> Draft {
    let (incident, rule) = (root.incident, root.fit.rule);
    let span = incident.span;
    let fill = |template: &str| fill(template, trace, incident);
    let mut evidence: Vec<Evidence> = incident
        .signals
        .iter()
        .map(|signal| Evidence {
            kind: EvidenceKind::Signal,
            span_id: Some(span.span_id.clone()),
            field: signal.field.clone(),
            signal: Some(signal.text.clone()),
            excerpt: None,
            verified: false,
        })
        .collect();
    for (field, text) in incident.texts.iter().take(2) {
        let focus = rule.focus(text).unwrap_or(0..text.len().min(1));
        let excerpt = excerpt_around(text, focus);
        if !excerpt.is_empty() && evidence.iter().all(|known| known.excerpt.as_deref() != Some(excerpt)) {
            evidence.push(Evidence {
                kind: EvidenceKind::Excerpt,
                span_id: Some(span.span_id.clone()),
                field: Some(field.clone()),
                signal: None,
                excerpt: Some(excerpt.to_owned()),
                verified: false,
            });
        }
    }
    let recovered = incidents.iter().filter(|other| other.recovered).count();
    if recovered > 0 {
        evidence.push(whole_trace_signal(format!("failures_recovered={recovered}")));
    }
    evidence.truncate(EVIDENCE_ITEMS_MAX.saturating_sub(ANNOTATIONS_MAX));
    evidence.extend(annotations(trace));

    let name: String = span.name.chars().take(NAME_CHARS_MAX).collect();
    let mut summary = format!("{} in span {name:?} ({})", fill(&rule.title), span.kind.as_str());
    if let Some(said) = incident.said() {
        // Writing to a string cannot fail.
        let _ = write!(summary, ": {said}");
    }
    if !summary.ends_with(['.', '!', '?', '…']) {
        summary.push('.');
    }
    let above = tree.failed_above(trace, incident.index);
    if above > 0 {
        let _ = write!(summary, " It took {above} enclosing span{} with it.", if above == 1 { "" } else { "s" });
    }
    let fired: Vec<&str> = incident.signals.iter().map(|signal| signal.text.as_str()).collect();
    Draft {
        title: fill(&rule.title),
        label: rule.label,
        summary,
        root_cause_hypothesis: fill(&rule.hypothesis),
        evidence,
        actions: rule.actions.iter().map(|action| fill(action)).collect(),
        confidence_rationale: format!(
            "Rule {} fired on {}.",
            rule.id,
            if fired.is_empty() { "the text".to_owned() } else { fired.join(", ") }
        ),
        ..draft_of(trace, rule.label, Some(span), incident.error_type.as_deref())
    }
}

/// What a dialogue shows.
pub(super) fn conversation(
    trace: &Trace,
    dialogue: &Dialogue<'_>,
    signals: &Signals,
    sightings: &Sightings,
    suspicion: &Suspicion<'_>,
) -> Draft {
    let rule = suspicion.rule;
    // What went wrong comes first; what kind of run it is explains the choice only where there is nothing else.
    let (background, mut reasons): (Vec<usize>, Vec<usize>) =
        suspicion.reasons.iter().copied().partition(|signal| signals.is_background(*signal));
    if reasons.is_empty() {
        reasons = background;
    }
    reasons.truncate(REASONS_MAX);
    let mut evidence = Vec::new();
    for signal in &reasons {
        let turn = sightings.get(*signal).and_then(|seen| Some((seen, dialogue.turns.get(seen.turn)?)));
        let Some((seen, turn)) = turn else { continue };
        let span_id = trace.spans.get(turn.span).map(|span| span.span_id.clone());
        let field = Some(turn.field.to_string());
        let name = Some(signals.id(*signal).to_owned());
        evidence.push(Evidence {
            kind: EvidenceKind::Signal,
            span_id: span_id.clone(),
            field: field.clone(),
            signal: name,
            excerpt: None,
            verified: false,
        });
        let excerpt = signals.words(seen, turn).map(|focus| excerpt_around(turn.text, focus)).unwrap_or_default();
        if !excerpt.is_empty() && evidence.iter().all(|known| known.excerpt.as_deref() != Some(excerpt)) {
            let excerpt = Some(excerpt.to_owned());
            evidence.push(Evidence { kind: EvidenceKind::Excerpt, span_id, field, signal: None, excerpt, verified: false });
        }
    }
    evidence.truncate(EVIDENCE_ITEMS_MAX.saturating_sub(ANNOTATIONS_MAX));
    evidence.extend(annotations(trace));
    let says: Vec<&str> = reasons.iter().map(|signal| signals.says(*signal)).collect();
    let culprit = sightings.get(reasons.first().copied().unwrap_or_default()).and_then(|seen| dialogue.turns.get(seen.turn));
    let span = culprit.and_then(|turn| trace.spans.get(turn.span));
    let names: Vec<&str> = reasons.iter().map(|signal| signals.id(*signal)).collect();
    Draft {
        title: rule.title.clone(),
        label: rule.label,
        summary: format!("No step of the run says that it failed. What points to a failure: {}.", says.join("; ")),
        root_cause_hypothesis: rule.hypothesis.clone(),
        evidence,
        actions: rule.actions.clone(),
        confidence_rationale: format!(
            "Rule {} was the likeliest by the dialogue alone; what spoke for it most: {}. Such runs are hard to judge, even for people.",
            rule.id,
            names.join(", ")
        ),
        ..draft_of(trace, rule.label, span, None)
    }
}

/// A trace in which nothing failed.
pub(super) fn nothing(trace: &Trace, incidents: &[Incident<'_>]) -> Draft {
    let recovered = incidents.iter().filter(|incident| incident.recovered).count();
    let label = Label::NO_FAILURE_FOUND;
    let mut signals = vec!["unrecovered_failures=0".to_owned(), format!("spans_checked={}", trace.spans.len())];
    if recovered > 0 {
        signals.push(format!("failures_recovered={recovered}"));
    }
    let mut summary = match recovered {
        0 => "No step of the run failed, was refused, cut off, blocked or left empty.".to_owned(),
        1 => "One step failed and a retry, fallback or repair after it worked.".to_owned(),
        _ => format!("{recovered} steps failed and retries, fallbacks or repairs after them worked."),
    };
    if let Some(complaint) = trace.spans.iter().flat_map(|span| &span.annotations).find(|annotation| annotation.is_negative()) {
        let said: String = complaint.to_string().chars().take(NAME_CHARS_MAX).collect();
        let _ = write!(summary, " It was rated badly all the same ({said}).");
    }
    Draft {
        title: "No failure found".into(),
        label,
        summary,
        root_cause_hypothesis:
            "The trace shows no failure. What only a reader can judge, such as a wrong fact in a fluent answer, is not covered.".into(),
        evidence: signals.into_iter().map(whole_trace_signal).chain(annotations(trace)).collect(),
        actions: vec!["Nothing to do; if users complain about this run, read the answer against its sources.".into()],
        confidence_rationale: "No rule fired.".into(),
        ..draft_of(trace, label, None, None)
    }
}

/// A trace that failed and does not show why.
pub(super) fn unexplained(trace: &Trace, tree: &SpanTree) -> Draft {
    let label = Label::INSUFFICIENT_EVIDENCE;
    let failed = trace.spans.iter().find(|span| span.failed());
    let what = if failed.is_some() { "A span failed and says neither a type nor a message" } else { "The run has no end and no error" };
    Draft {
        title: what.into(),
        label,
        summary: format!("{what}, so the trace does not show why it stopped."),
        root_cause_hypothesis: "The process may have been killed, or the instrumentation lost the spans that tell.".into(),
        evidence: vec![
            whole_trace_signal(format!("unfinished_spans={}", tree.unfinished)),
            whole_trace_signal(format!("failed_spans={}", trace.spans.iter().filter(|span| span.failed()).count())),
        ],
        actions: vec!["Record exceptions on spans (span.record_exception) and flush the exporter at exit.".into()],
        confidence_rationale: "No rule fired.".into(),
        ..draft_of(trace, label, failed, None)
    }
}

/// What people and evaluators said of the trace, the complaints first.
fn annotations(trace: &Trace) -> impl Iterator<Item = Evidence> {
    let mut found: Vec<(&Span, usize, &Annotation)> = Vec::new();
    for span in &trace.spans {
        found.extend(span.annotations.iter().enumerate().map(|(index, annotation)| (span, index, annotation)));
    }
    found.sort_by_key(|(_, _, annotation)| !annotation.is_negative());
    found.into_iter().take(ANNOTATIONS_MAX).map(|(span, index, annotation)| {
        let signal = Signal::new("annotation", annotation, format!("annotations[{index}]"));
        Evidence {
            kind: EvidenceKind::Signal,
            span_id: Some(span.span_id.clone()),
            field: signal.field,
            signal: Some(signal.text),
            excerpt: None,
            verified: false,
        }
    })
}

/// Signals of the verdict, then those of everything else that went wrong, each once.
pub(super) fn signals<'i, 't: 'i>(verdict: &Draft, incidents: impl Iterator<Item = &'i Incident<'t>>) -> Vec<Evidence> {
    let of_verdict = verdict.evidence.iter().filter(|evidence| evidence.signal.is_some()).cloned();
    let of_incidents = incidents.flat_map(|incident| {
        incident.signals.iter().map(|signal| Evidence {
            kind: EvidenceKind::Signal,
            span_id: Some(incident.span.span_id.clone()),
            field: signal.field.clone(),
            signal: Some(signal.text.clone()),
            excerpt: None,
            verified: true,
        })
    });
    let mut signals: Vec<Evidence> = Vec::new();
    for mut signal in of_verdict.chain(of_incidents) {
        signal.verified = true;
        if signals.len() < SIGNALS_MAX && !signals.contains(&signal) {
            signals.push(signal);
        }
    }
    signals
}

/// A draft of another analyzer about a trace, with the facts that every row has. `span` is where it failed.
pub(in crate::analyze) fn draft_about(trace: &Trace, label: Label, span: Option<&Span>) -> Draft {
    let error_type = span.and_then(error_type).map(|(error_type, _)| error_type);
    draft_of(trace, label, span, error_type.as_deref())
}

fn whole_trace_signal(signal: String) -> Evidence {
    Evidence { kind: EvidenceKind::Signal, span_id: None, field: None, signal: Some(signal), excerpt: None, verified: false }
}

/// The facts of the trace that every row has.
fn draft_of(trace: &Trace, label: Label, span: Option<&Span>, error_type: Option<&str>) -> Draft {
    let spans = trace.spans.len() as u64;
    Draft {
        trace_id: trace.trace_id.clone(),
        title: String::new(),
        label,
        summary: String::new(),
        root_cause_hypothesis: String::new(),
        evidence: Vec::new(),
        actions: Vec::new(),
        confidence: 0.0,
        confidence_rationale: String::new(),
        fingerprint: fingerprint(label, trace.service.as_deref(), span.map(|span| span.name.as_str()), error_type),
        analyzer: "embedded".into(),
        model: RULES_VERSION.into(),
        spans_seen: spans,
        spans_total: spans,
        input_tokens: 0,
        output_tokens: 0,
        cost_usd: 0.0,
        service: trace.service.clone(),
        environment: trace.environment.clone(),
        trace_started_at_ns: trace.started_at_ns(),
        source: trace.source.clone(),
        content_digest: trace.digest(),
        settings_digest: None,
    }
}

/// The same for traces that failed alike: category, factor, service, span name without its numbers, error type.
fn fingerprint(label: Label, service: Option<&str>, span: Option<&str>, error_type: Option<&str>) -> String {
    let name: String = span.unwrap_or_default().chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    let parts = [label.category(), label.factor(), service.unwrap_or_default(), &name, error_type.map(last_segment).unwrap_or_default()];
    let hash = Sha256::digest(parts.join("\0"));
    hex(hash.get(..8).unwrap_or(&hash))
}

/// Fills `{tool}`, `{model}`, `{span}`, `{error_type}`, `{status}` of a rule's text; where the trace does not say, a plain word stands.
fn fill(template: &str, trace: &Trace, incident: &Incident<'_>) -> String {
    if !template.contains('{') {
        return template.to_owned();
    }
    let span = incident.span;
    let tool = span.tool.as_ref().map(|tool| tool.name.as_str()).or(incident.tool.as_deref());
    let or_word = |text: Option<&str>, word: &str| {
        text.filter(|text| !text.is_empty()).map_or_else(|| word.to_owned(), |text| text.chars().take(NAME_CHARS_MAX).collect())
    };
    template
        .replace("{tool}", &or_word(tool, "the tool"))
        .replace("{model}", &or_word(span.model.as_deref(), "the model"))
        .replace("{provider}", &or_word(span.provider.as_deref(), "the provider"))
        .replace("{span}", &or_word(Some(&span.name), "the step"))
        .replace("{error_type}", &or_word(incident.error_type.as_deref().map(last_segment), "an error"))
        .replace("{status}", &incident.status.map_or_else(|| "an error".to_owned(), |status| status.to_string()))
        .replace("{service}", &or_word(trace.service.as_deref(), "the service"))
}
