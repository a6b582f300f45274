//! Writes a verdict as a draft: title, summary, hypothesis, evidence, actions. The confidence is added by `analyzer`.
//!
//! In: a verdict, with what failed and the rule that names it. Out: a draft. Decides nothing itself.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::diagnosis::{Diagnosis, Layer};
use super::dialogue::{Dialogue, SignalMatches, SignalSet};
use super::incident::Incident;
use super::root::RootCause;
use super::rules::RULES_VERSION;
use super::signals::{Signal, error_type};
use super::tree::SpanTree;
use super::verdict::SuspectedFailure;
use crate::limits::EVIDENCE_ITEMS_MAX;
use crate::model::{Annotation, Draft, Evidence, EvidenceKind, Label, Span, Trace, excerpt_around, hex, last_segment};

/// Characters of a name that is quoted in a sentence. Names come from the trace and may have any length.
const NAME_CHARS_MAX: usize = 60;

/// Annotations in the evidence of one pattern.
const ANNOTATIONS_MAX: usize = 3;

/// Signals of one trace that are passed to another analyzer.
const SIGNALS_MAX: usize = 30;

/// Dialogue signals that a pattern names.
const DIALOGUE_SIGNALS_MAX: usize = 4;

/// The draft for a step that failed.
pub(super) fn failed_step(trace: &Trace, tree: &SpanTree, incidents: &[Incident<'_>], root: &RootCause<'_, '_, '_>) -> Draft {
    let (incident, rule) = (root.incident, root.diagnosis.rule);
    let span = incident.span;
    let fill = |template: &str| fill_placeholders(template, trace, incident);
    Draft {
        title: fill(&rule.title),
        label: root.diagnosis.label,
        summary: step_summary(&fill(&rule.title), trace, tree, incident),
        root_cause_hypothesis: fill(&rule.hypothesis),
        evidence: step_evidence(trace, incidents, root),
        actions: rule.actions.iter().map(|action| fill(action)).collect(),
        confidence_rationale: step_rationale(&root.diagnosis, incident),
        ..base_draft(trace, root.diagnosis.label, Some(span), incident.error_type.as_deref())
    }
}

/// `lookup was rate-limited in span "lookup" (tool): HTTP 429. The error propagated to 1 parent span.`
fn step_summary(title: &str, trace: &Trace, tree: &SpanTree, incident: &Incident<'_>) -> String {
    let span = incident.span;
    let name: String = span.name.chars().take(NAME_CHARS_MAX).collect();
    let mut summary = format!("{title} in span {name:?} ({})", span.kind.as_str());
    // Writing to a string cannot fail.
    if let Some(line) = incident.first_line() {
        // An exception without a message ends in a colon: `TimeoutError:`.
        let _ = write!(summary, ": {}", line.trim_end_matches([':', ' ']));
    }
    if !summary.ends_with(['.', '!', '?', '…']) {
        summary.push('.');
    }
    match tree.failed_ancestors(trace, incident.index) {
        0 => {}
        1 => summary.push_str(" The error propagated to 1 parent span."),
        count => {
            let _ = write!(summary, " The error propagated to {count} parent spans.");
        }
    }
    summary
}

/// What decided, and by which signals.
fn step_rationale(diagnosis: &Diagnosis<'_>, incident: &Incident<'_>) -> String {
    let signals: Vec<&str> = diagnosis.signal.iter().chain(&incident.signals).map(|signal| signal.text.as_str()).collect();
    let matched = if signals.is_empty() { "the text".to_owned() } else { signals.join(", ") };
    match diagnosis.layer {
        Layer::Rule | Layer::CatchAll => format!("Rule {} matched {matched}.", diagnosis.rule.id),
        Layer::Catalogue(_) => format!("The catalogue of errors contains {matched}."),
        Layer::Status => format!("No rule matched; the status says what happened: {matched}."),
        Layer::TextModel => format!(
            "No rule matched and the catalogue of errors says nothing; the words of the error are most like those of {} ({matched}).",
            diagnosis.label.factor()
        ),
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
    let recovered = incidents.iter().filter(|other| other.recovered).count();
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

/// The draft for a failure that only the dialogue states.
pub(super) fn failed_dialogue(
    trace: &Trace,
    dialogue: &Dialogue<'_>,
    signals: &SignalSet,
    matches: &SignalMatches,
    failure: &SuspectedFailure<'_>,
) -> Draft {
    let rule = failure.rule;
    let named = named_signals(signals, failure);
    Draft {
        title: rule.title.clone(),
        label: rule.label,
        summary: format!("No step of the agent run reported a failure. Indicators of a failure: {}.", descriptions(signals, &named)),
        root_cause_hypothesis: rule.hypothesis.clone(),
        evidence: dialogue_evidence(trace, dialogue, signals, matches, &named),
        actions: rule.actions.clone(),
        confidence_rationale: format!("Rule {} matched {} in the dialogue. No step reported an error.", rule.id, ids(signals, &named)),
        ..base_draft(trace, rule.label, first_span(trace, dialogue, matches, &named), None)
    }
}

/// The draft for a dialogue that raises a suspicion. The suspected label is a signal: `suspected=hallucination/fabricated_fact`.
pub(super) fn suspected_dialogue(
    trace: &Trace,
    dialogue: &Dialogue<'_>,
    signals: &SignalSet,
    matches: &SignalMatches,
    failure: &SuspectedFailure<'_>,
) -> Draft {
    let rule = failure.rule;
    let label = Label::INSUFFICIENT_EVIDENCE;
    let suspected = rule.label.to_string();
    let named = named_signals(signals, failure);
    let reason = named.first().map_or("the dialogue is unusual", |signal| signals.description(*signal));
    let mut evidence = vec![trace_signal(format!("suspected={suspected}"))];
    evidence.extend(dialogue_evidence(trace, dialogue, signals, matches, &named));
    evidence.truncate(EVIDENCE_ITEMS_MAX);
    Draft {
        title: format!("The agent run may have failed: {reason}"),
        label,
        summary: format!(
            "No step of the agent run reported a failure, and the words of the dialogue do not show whether it succeeded. What raised suspicion: \
             {}. If the run failed, {suspected} is the most likely label.",
            descriptions(signals, &named)
        ),
        root_cause_hypothesis: format!("If the run failed: {}", rule.hypothesis),
        evidence,
        actions: vec![
            "Run failsift with `--analyzer gemini` or `--analyzer openai` to have a model judge the dialogue.".into(),
            "Compare the outcome with the request, starting at the quoted turns.".into(),
        ],
        confidence_rationale: format!(
            "The confidence is that of the suspected label: rule {} ranked first, by {}. On runs of another kind, such signals do not tell failed \
             runs from successful ones.",
            rule.id,
            ids(signals, &named)
        ),
        ..base_draft(trace, label, first_span(trace, dialogue, matches, &named), Some(&suspected))
    }
}

/// The signals that a pattern names: those of a problem, or if there is none, those that only describe the kind of run.
fn named_signals(signals: &SignalSet, failure: &SuspectedFailure<'_>) -> Vec<usize> {
    let (background, mut named): (Vec<usize>, Vec<usize>) =
        failure.signals.iter().copied().partition(|signal| signals.is_background(*signal));
    if named.is_empty() {
        named = background;
    }
    named.truncate(DIALOGUE_SIGNALS_MAX);
    named
}

fn descriptions(signals: &SignalSet, named: &[usize]) -> String {
    named.iter().map(|signal| signals.description(*signal)).collect::<Vec<_>>().join("; ")
}

fn ids(signals: &SignalSet, named: &[usize]) -> String {
    named.iter().map(|signal| signals.id(*signal)).collect::<Vec<_>>().join(", ")
}

/// The span of the turn that shows the first signal.
fn first_span<'t>(trace: &'t Trace, dialogue: &Dialogue<'_>, matches: &SignalMatches, named: &[usize]) -> Option<&'t Span> {
    let found = matches.get(*named.first()?)?;
    trace.spans.get(dialogue.turns.get(found.turn)?.span)
}

/// Each signal with its turn, followed by an excerpt of what matched.
fn dialogue_evidence(
    trace: &Trace,
    dialogue: &Dialogue<'_>,
    signals: &SignalSet,
    matches: &SignalMatches,
    named: &[usize],
) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    for signal in named {
        let turn = matches.get(*signal).and_then(|found| Some((found, dialogue.turns.get(found.turn)?)));
        let Some((found, turn)) = turn else { continue };
        let span = trace.spans.get(turn.span);
        let field = turn.field.to_string();
        evidence.push(Evidence {
            span_id: span.map(|span| span.span_id.clone()),
            field: Some(field.clone()),
            ..trace_signal(signals.id(*signal).to_owned())
        });
        let excerpt = signals.matched_range(found, turn).map(|focus| excerpt_around(turn.text, focus)).unwrap_or_default();
        push_excerpt(&mut evidence, span, field, excerpt);
    }
    with_annotations(evidence, trace)
}

/// The draft for a trace in which no failure was found.
pub(super) fn no_failure(trace: &Trace, incidents: &[Incident<'_>]) -> Draft {
    let recovered = incidents.iter().filter(|incident| incident.recovered).count();
    let label = Label::NO_FAILURE_FOUND;
    let mut signals = vec!["unrecovered_failures=0".to_owned(), format!("spans_checked={}", trace.spans.len())];
    if recovered > 0 {
        signals.push(format!("failures_recovered={recovered}"));
    }
    let mut summary = match recovered {
        0 => "No step of the agent run failed, was refused, truncated, blocked or left empty.".to_owned(),
        1 => "1 step failed, and a later retry, fallback or repair succeeded.".to_owned(),
        _ => format!("{recovered} steps failed, and later retries, fallbacks or repairs succeeded."),
    };
    if let Some(rating) = trace.spans.iter().flat_map(|span| &span.annotations).find(|annotation| annotation.is_negative()) {
        let rating: String = rating.to_string().chars().take(NAME_CHARS_MAX).collect();
        let _ = write!(summary, " The agent run was nevertheless rated negatively ({rating}).");
    }
    Draft {
        title: "No failure found".into(),
        label,
        summary,
        root_cause_hypothesis:
            "The trace shows no failure. Errors that only a reader can judge, such as a wrong fact in a fluent answer, are not covered."
                .into(),
        evidence: signals.into_iter().map(trace_signal).chain(annotations(trace)).collect(),
        actions: vec!["No action needed. If users complain about this run, check the answer against its sources.".into()],
        confidence_rationale: "No rule matched.".into(),
        ..base_draft(trace, label, None, None)
    }
}

/// The draft for a trace that failed without showing why.
pub(super) fn unexplained(trace: &Trace, tree: &SpanTree) -> Draft {
    let label = Label::INSUFFICIENT_EVIDENCE;
    let failed = trace.spans.iter().find(|span| span.failed());
    let title =
        if failed.is_some() { "A span failed without an error type or message" } else { "The agent run has no end time and no error" };
    Draft {
        title: title.into(),
        label,
        summary: format!("{title}, so the trace does not show the cause."),
        root_cause_hypothesis: "The process may have been killed, or the instrumentation may have lost the spans that show the cause."
            .into(),
        evidence: vec![
            trace_signal(format!("unfinished_spans={}", tree.unfinished)),
            trace_signal(format!("failed_spans={}", trace.spans.iter().filter(|span| span.failed()).count())),
        ],
        actions: vec!["Record exceptions on spans (span.record_exception), and flush the exporter at exit.".into()],
        confidence_rationale: "No rule matched.".into(),
        ..base_draft(trace, label, failed, None)
    }
}

/// The draft for an answer that the provider stopped for a reason that it does not name, such as Gemini's `OTHER`.
pub(super) fn unnamed_stop(trace: &Trace, incident: &Incident<'_>) -> Draft {
    let label = Label::INSUFFICIENT_EVIDENCE;
    let title = fill_placeholders("{provider} stopped an answer without naming the reason", trace, incident);
    let signals = incident.signals.iter().map(|signal| signal_of(incident.span, signal));
    Draft {
        summary: format!("{title}, so the trace does not show the cause."),
        title,
        label,
        root_cause_hypothesis:
            "The provider ended the generation itself; a filter or an internal error is likely. The answer may be incomplete.".into(),
        evidence: signals.collect(),
        actions: vec!["Check whether the answer is complete, and retry the call if it is not.".into()],
        confidence_rationale: "No rule matched.".into(),
        ..base_draft(trace, label, Some(incident.span), None)
    }
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
fn signal_of(span: &Span, signal: &Signal) -> Evidence {
    Evidence { span_id: Some(span.span_id.clone()), field: signal.field.clone(), ..trace_signal(signal.text.clone()) }
}

/// Adds an excerpt, unless it is empty or quoted already.
fn push_excerpt(evidence: &mut Vec<Evidence>, span: Option<&Span>, field: String, excerpt: &str) {
    if !excerpt.is_empty() && evidence.iter().all(|known| known.excerpt.as_deref() != Some(excerpt)) {
        let span_id = span.map(|span| span.span_id.clone());
        let excerpt = Some(excerpt.to_owned());
        evidence.push(Evidence { kind: EvidenceKind::Excerpt, span_id, field: Some(field), signal: None, excerpt, verified: false });
    }
}

/// The evidence, shortened so that there is room for the annotations of the trace, and these.
fn with_annotations(mut evidence: Vec<Evidence>, trace: &Trace) -> Vec<Evidence> {
    evidence.truncate(EVIDENCE_ITEMS_MAX.saturating_sub(ANNOTATIONS_MAX));
    evidence.extend(annotations(trace));
    evidence
}

/// A signal about the whole trace.
fn trace_signal(signal: String) -> Evidence {
    Evidence { kind: EvidenceKind::Signal, span_id: None, field: None, signal: Some(signal), excerpt: None, verified: false }
}

/// A draft with the columns that come from the trace; the texts are empty.
fn base_draft(trace: &Trace, label: Label, span: Option<&Span>, error_type: Option<&str>) -> Draft {
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

/// A hash that is equal for traces with the same failure: category, factor, service, span name without digits, error type.
fn fingerprint(label: Label, service: Option<&str>, span: Option<&str>, error_type: Option<&str>) -> String {
    // `step 3` and `step 4` are the same step of different runs.
    let name: String = span.unwrap_or_default().chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    let parts = [label.category(), label.factor(), service.unwrap_or_default(), &name, error_type.map(last_segment).unwrap_or_default()];
    let hash = Sha256::digest(parts.join("\0"));
    hex(hash.get(..8).unwrap_or(&hash))
}

/// Words for a placeholder whose value is not in the trace.
const TOOL_FALLBACK: &str = "the tool";
const MODEL_FALLBACK: &str = "the model";
const PROVIDER_FALLBACK: &str = "the provider";
const SPAN_FALLBACK: &str = "the step";
const ERROR_FALLBACK: &str = "an error";
const SERVICE_FALLBACK: &str = "the service";

/// Fills the placeholders of a rule's text: `{tool}`, `{model}`, `{provider}`, `{span}`, `{error_type}`, `{status}`, `{service}`.
fn fill_placeholders(template: &str, trace: &Trace, incident: &Incident<'_>) -> String {
    if !template.contains('{') {
        return template.to_owned();
    }
    let span = incident.span;
    // Of a call of another service, the step that made it has the names.
    let step = incident.step.unwrap_or(span);
    let tool = step.tool.as_ref().map(|tool| tool.name.as_str()).or(incident.tool.as_deref());
    let value_or = |value: Option<&str>, fallback: &str| {
        value.filter(|value| !value.is_empty()).map_or_else(|| fallback.to_owned(), |value| value.chars().take(NAME_CHARS_MAX).collect())
    };
    let status = incident.status.map(|status| status.to_string());
    // Without a status, "HTTP {status} from OpenAI" becomes "An error from OpenAI".
    let template = if status.is_none() { template.replace("HTTP {status}", "{status}") } else { template.to_owned() };
    let filled = template
        .replace("{tool}", &value_or(tool, TOOL_FALLBACK))
        .replace("{model}", &value_or(step.model.as_deref(), MODEL_FALLBACK))
        .replace("{provider}", &value_or(step.provider.as_deref().map(provider_name), PROVIDER_FALLBACK))
        .replace("{span}", &value_or(Some(&span.name), SPAN_FALLBACK))
        .replace("{error_type}", &value_or(incident.error_type.as_deref().map(last_segment), ERROR_FALLBACK))
        .replace("{status}", &value_or(status.as_deref(), ERROR_FALLBACK))
        .replace("{service}", &value_or(trace.service.as_deref(), SERVICE_FALLBACK));
    let fallbacks = [TOOL_FALLBACK, MODEL_FALLBACK, PROVIDER_FALLBACK, SPAN_FALLBACK, ERROR_FALLBACK, SERVICE_FALLBACK];
    if template.starts_with('{') && fallbacks.iter().any(|fallback| filled.starts_with(fallback)) { capitalized(&filled) } else { filled }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect()
}

/// The usual spelling of a model provider's name, for the identifiers of OpenTelemetry, OpenInference and LiteLLM. An unknown one stays as it is.
fn provider_name(identifier: &str) -> &str {
    match identifier.to_ascii_lowercase().as_str() {
        "openai" => "OpenAI",
        "anthropic" => "Anthropic",
        "azure" | "azure_openai" | "azure.ai.openai" | "az.ai.openai" => "Azure OpenAI",
        "azure.ai.inference" | "az.ai.inference" | "azure_ai" => "Azure AI",
        "aws" | "bedrock" | "aws_bedrock" | "aws.bedrock" | "amazon_bedrock" => "Amazon Bedrock",
        "google" | "gcp.gen_ai" | "google_genai" => "Google",
        "gemini" | "gcp.gemini" => "Google Gemini",
        "vertexai" | "vertex_ai" | "gcp.vertex_ai" | "google_vertexai" => "Google Vertex AI",
        "mistral" | "mistralai" | "mistral_ai" => "Mistral AI",
        "cohere" => "Cohere",
        "deepseek" => "DeepSeek",
        "groq" => "Groq",
        "huggingface" => "Hugging Face",
        "ollama" => "Ollama",
        "openrouter" => "OpenRouter",
        "perplexity" => "Perplexity",
        "xai" | "x_ai" => "xAI",
        _ => identifier,
    }
}

#[cfg(test)]
mod tests {
    use super::super::incident::IncidentKind;
    use super::*;
    use crate::model::{SpanKind, Status, ToolUse};

    fn filled(template: &str, span: Span, status: Option<u16>) -> String {
        let trace = Trace { spans: vec![span], ..Trace::default() };
        let mut incident = Incident::new(&trace, 0, IncidentKind::Error).unwrap();
        incident.status = status;
        fill_placeholders(template, &trace, &incident)
    }

    #[test]
    fn placeholders_use_the_usual_spelling_of_providers() {
        let span = |provider: &str| Span { provider: Some(provider.into()), ..Span::default() };
        assert_eq!(filled("HTTP {status} from {provider}", span("openai"), Some(500)), "HTTP 500 from OpenAI");
        assert_eq!(filled("HTTP {status} from {provider}", span("aws.bedrock"), Some(503)), "HTTP 503 from Amazon Bedrock");
        assert_eq!(filled("{provider} denied access", span("acme-llm"), None), "acme-llm denied access");
    }

    #[test]
    fn a_missing_value_becomes_a_plain_word_that_fits_the_sentence() {
        assert_eq!(filled("HTTP {status} from {provider}", Span::default(), None), "An error from the provider");
        assert_eq!(filled("The backend returned HTTP {status}.", Span::default(), None), "The backend returned an error.");
        assert_eq!(filled("{tool} timed out", Span::default(), None), "The tool timed out");
        let tool = ToolUse { name: "lookup_order".into(), ..ToolUse::default() };
        assert_eq!(filled("{tool} timed out", Span { tool: Some(tool), ..Span::default() }, None), "lookup_order timed out");
    }

    #[test]
    fn a_summary_counts_the_parent_spans_to_which_the_error_propagated() {
        let span = |id: &str, parent: Option<&str>| Span {
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            name: format!("step {id}"),
            kind: SpanKind::Chain,
            status: Status::Error,
            ..Span::default()
        };
        let trace = Trace { spans: vec![span("1", None), span("2", Some("1")), span("3", Some("2"))], ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let summary = |index: usize| step_summary("It failed", &trace, &tree, &Incident::new(&trace, index, IncidentKind::Error).unwrap());
        assert_eq!(summary(0), "It failed in span \"step 1\" (chain).");
        assert_eq!(summary(1), "It failed in span \"step 2\" (chain). The error propagated to 1 parent span.");
        assert_eq!(summary(2), "It failed in span \"step 3\" (chain). The error propagated to 2 parent spans.");
    }
}
