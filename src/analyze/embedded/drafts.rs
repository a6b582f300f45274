//! Writes a failed step as a draft: title, summary, hypothesis, evidence, actions. `run_drafts` writes the other verdicts. The confidence is added by
//! `analyzer`.
//!
//! In: what failed and the rule that names it. Out: a draft. Decides nothing itself.

use sha2::{Digest, Sha256};

use super::facts::{Facts, chain};
use super::incident::Incident;
use super::profile;
use super::rationale;
use super::root::RootCause;
use super::rules::RULES_VERSION;
use super::signals::{Signal, error_type};
use super::summary::summary;
use super::tree::SpanTree;
use super::upstream;
use super::wording::Wording;
use crate::limits::EVIDENCE_ITEMS_MAX;
use crate::model::{
    Annotation, Draft, Evidence, EvidenceKind, Label, Span, Trace, TraceProfile, TraceUsage, excerpt_around, hex, last_segment,
};

/// Annotations in the evidence of one pattern.
const ANNOTATIONS_MAX: usize = 3;

/// Signals of one trace that are passed to another analyzer.
const SIGNALS_MAX: usize = 30;

/// The draft for a step that failed.
pub(super) fn failed_step(
    trace: &Trace,
    tree: &SpanTree,
    incidents: &[Incident<'_>],
    root: &RootCause<'_, '_, '_>,
    facts: &Facts,
) -> Draft {
    let (incident, rule) = (root.incident, root.diagnosis.rule);
    let wording = Wording { trace, incident, facts };
    let rationale = rationale::of_step(&root.diagnosis, incident);
    Draft {
        title: wording.title(&rule.title),
        label: root.diagnosis.label,
        summary: summary(trace, tree, incident, incidents, facts),
        root_cause_hypothesis: upstream::with_sentences(wording.sentence(&rule.hypothesis), &wording),
        evidence: step_evidence(trace, incidents, root),
        actions: upstream::with_actions(wording.actions(rule), &wording),
        confidence_rationale: [rationale].into_iter().chain(wording.not_recorded(rule)).collect::<Vec<_>>().join(" "),
        step: profile::step_of_incident(trace, incident, facts),
        ..base_draft(trace, root.diagnosis.label, Some(incident.span), incident.error_type.as_deref())
    }
}

/// The signals of the incident, then up to two excerpts around what the rule matched, then facts about the whole trace.
fn step_evidence(trace: &Trace, incidents: &[Incident<'_>], root: &RootCause<'_, '_, '_>) -> Vec<Evidence> {
    const EXCERPTS_MAX: usize = 2;
    let (incident, rule) = (root.incident, root.diagnosis.rule);
    let span = incident.span;
    let signals = incident.signals.iter().chain(&root.diagnosis.signal);
    let mut evidence: Vec<Evidence> = signals.map(|signal| signal_of(span, signal)).collect();
    for (field, text) in incident.texts.iter().take(EXCERPTS_MAX) {
        // The class or code that decided, or what the rule matched, or the start of the text.
        let named = root.diagnosis.signal.as_ref().and_then(|signal| range_of_value(text, signal));
        let focus = named.or_else(|| rule.matched_range(text)).unwrap_or(0..text.len().min(1));
        push_excerpt(&mut evidence, Some(span), field.clone(), excerpt_around(text, focus));
    }
    let recovered = chain::recovered_before(incidents, i64::MAX).len();
    if recovered > 0 {
        evidence.push(trace_signal(format!("failures_recovered={recovered}")));
    }
    with_annotations(evidence, trace)
}

/// Where the value of a signal occurs in a text.
fn range_of_value(text: &str, signal: &Signal) -> Option<std::ops::Range<usize>> {
    let (_, value) = signal.text.split_once('=')?;
    let start = text.find(value)?;
    Some(start..start + value.len())
}

/// The ratings of people and evaluators, negative ones first.
fn annotations(trace: &Trace) -> impl Iterator<Item = Evidence> {
    let mut found: Vec<(&Span, usize, &Annotation)> = Vec::new();
    for span in &trace.spans {
        found.extend(span.annotations.iter().enumerate().map(|(index, annotation)| (span, index, annotation)));
    }
    found.sort_by_key(|(_, _, annotation)| !annotation.is_negative());
    found
        .into_iter()
        .take(ANNOTATIONS_MAX)
        .map(|(span, index, annotation)| signal_of(span, &Signal::new("annotation", annotation, format!("annotations[{index}]"))))
}

/// The signals of the verdict, then those of all incidents, without duplicates.
pub(super) fn all_signals<'i, 't: 'i>(verdict: &Draft, incidents: impl Iterator<Item = &'i Incident<'t>>) -> Vec<Evidence> {
    let verdict_signals = verdict.evidence.iter().filter(|evidence| evidence.signal.is_some()).cloned();
    let incident_signals = incidents.flat_map(|incident| incident.signals.iter().map(|signal| signal_of(incident.span, signal)));
    let mut signals: Vec<Evidence> = Vec::new();
    for mut signal in verdict_signals.chain(incident_signals) {
        signal.verified = true;
        if signals.len() < SIGNALS_MAX && !signals.contains(&signal) {
            signals.push(signal);
        }
    }
    signals
}

/// The base of another analyzer's draft about a trace, with the columns that come from the trace. `span` is the culprit.
pub(in crate::analyze) fn draft_about(trace: &Trace, label: Label, span: Option<&Span>) -> Draft {
    let error_type = span.and_then(error_type).map(|(error_type, _)| error_type);
    base_draft(trace, label, span, error_type.as_deref())
}

/// A signal of a span.
pub(super) fn signal_of(span: &Span, signal: &Signal) -> Evidence {
    Evidence { span_id: Some(span.span_id.clone()), field: signal.field.clone(), ..trace_signal(signal.text.clone()) }
}

/// Adds an excerpt, unless it is empty or quoted already.
pub(super) fn push_excerpt(evidence: &mut Vec<Evidence>, span: Option<&Span>, field: String, excerpt: &str) {
    if !excerpt.is_empty() && evidence.iter().all(|known| known.excerpt.as_deref() != Some(excerpt)) {
        let span_id = span.map(|span| span.span_id.clone());
        let excerpt = Some(excerpt.to_owned());
        evidence.push(Evidence { kind: EvidenceKind::Excerpt, span_id, field: Some(field), signal: None, excerpt, verified: false });
    }
}

/// The evidence, shortened so that there is room for the annotations of the trace, and these.
pub(super) fn with_annotations(mut evidence: Vec<Evidence>, trace: &Trace) -> Vec<Evidence> {
    evidence.truncate(EVIDENCE_ITEMS_MAX.saturating_sub(ANNOTATIONS_MAX));
    evidence.extend(annotations(trace));
    evidence
}

/// A signal about the whole trace.
pub(super) fn trace_signal(signal: String) -> Evidence {
    Evidence { kind: EvidenceKind::Signal, span_id: None, field: None, signal: Some(signal), excerpt: None, verified: false }
}

/// A draft with the columns that come from the trace; the texts are empty.
pub(super) fn base_draft(trace: &Trace, label: Label, span: Option<&Span>, error_type: Option<&str>) -> Draft {
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
        facts: Vec::new(),
        step: span.map_or_else(|| profile::last_model_call(trace), |span| profile::step_of_span(trace, span)),
        profile: TraceProfile::default(),
        incidents: Vec::new(),
        span_tree: Vec::new(),
        usage: TraceUsage::of(trace),
    }
}

/// A hash that is equal for traces with the same failure: category, factor, service, span name without digits, error type.
fn fingerprint(label: Label, service: Option<&str>, span: Option<&str>, error_type: Option<&str>) -> String {
    // `step 3` and `step 4` are the same step of different runs.
    let name: String = span.unwrap_or_default().chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    let parts = [label.category(), label.factor(), service.unwrap_or_default(), &name, error_type.map(last_segment).unwrap_or_default()];
    let hash = Sha256::digest(parts.join("\0"));
    hex(hash.get(..8).unwrap_or(&hash))
}
