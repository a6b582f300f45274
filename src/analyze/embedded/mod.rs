//! The embedded analyzer: deterministic, no network, no key.
//!
//! `incidents` finds what went wrong step by step, `root` decides which of it came first and was not recovered from, the catalogue in
//! `rules/*.toml` names it, and this module writes it down.

mod incidents;
mod root;
mod rules;
mod signals;
mod tree;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use self::incidents::Incident;
use self::rules::{Catalogue, Rule};
use self::signals::Signal;
use self::tree::SpanTree;
use super::{AnalyzeError, Analyzer, Deadline, TimedOut};
use crate::limits::EVIDENCE_MAX;
use crate::model::{
    Annotation, Draft, Evidence, EvidenceKind, Label, Message, Span, SpanKind, Status, ToolUse, Trace, excerpt_around, hex, last_segment,
};
use crate::pool;
use crate::redact::RedactedTrace;

pub use self::rules::RuleError;

/// Characters of a name that is quoted in a sentence: names are the trace's, and may be of any length.
const NAME_CHARS_MAX: usize = 60;

/// Annotations that stand in the evidence of one pattern.
const ANNOTATIONS_MAX: usize = 3;

/// Confidence that nothing failed where somebody says that something did.
const RATED_BADLY: f64 = 0.5;

/// Version of the catalogue, in the `model` column.
const RULES_VERSION: &str = "rules-1";

/// See the module.
#[derive(Debug, Clone)]
pub struct Embedded {
    catalogue: Arc<Catalogue>,
}

impl Embedded {
    /// The analyzer with the rules that failsift ships.
    ///
    /// # Errors
    /// [`RuleError`] where a rule is not well-formed, which a test rules out for the shipped ones.
    pub fn new() -> Result<Self, RuleError> {
        let this = Self { catalogue: Arc::new(Catalogue::shipped()?) };
        this.warm_up();
        Ok(this)
    }

    /// Compiles every expression before the first trace, whose time budget it would take from.
    fn warm_up(&self) {
        let said = || vec![Message { content: "text".into(), ..Message::default() }];
        let spans = [
            Span { kind: SpanKind::Llm, output: said(), ..Span::default() },
            Span { kind: SpanKind::Tool, tool: Some(ToolUse { result: Some("error: x".into()), ..ToolUse::default() }), ..Span::default() },
            Span { kind: SpanKind::Tool, tool: Some(ToolUse::default()), ..Span::default() },
            Span { kind: SpanKind::Llm, output: said(), status: Status::Error, status_message: Some("text".into()), ..Span::default() },
        ];
        let trace = Trace { spans: spans.into(), ..Trace::default() };
        // What it says of this trace does not matter.
        let _ = self.draft(&trace, Deadline::after(Duration::from_mins(1)));
    }

    /// Whether anything in the trace says that something went wrong: a status, a sign that the rules know, or what people said of it.
    /// True where there is no time to tell.
    pub fn shows_failure(&self, trace: &RedactedTrace, deadline: Deadline) -> bool {
        let said = |span: &Span| span.failed() || span.annotations.iter().any(Annotation::is_negative);
        if trace.spans.iter().any(said) {
            return true;
        }
        let tree = SpanTree::of(trace);
        tree.unfinished_root || incidents::find(trace, &tree, deadline).map_or(true, |incidents| !incidents.is_empty())
    }

    fn draft(&self, trace: &Trace, deadline: Deadline) -> Result<Draft, TimedOut> {
        let tree = SpanTree::of(trace);
        let incidents = incidents::find(trace, &tree, deadline)?;
        let verdict = root::choose(trace, &tree, &incidents, &self.catalogue, deadline)?;
        Ok(match verdict {
            Some((incident, rule)) => failure(trace, &tree, &incidents, incident, rule),
            None if incidents.iter().any(|incident| incident.unexplained) || tree.unfinished_root => unexplained(trace, &tree),
            None => healthy(trace, &tree, &incidents),
        })
    }
}

#[async_trait]
impl Analyzer for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn analyze(&self, trace: Arc<RedactedTrace>, deadline: Deadline) -> Result<Draft, AnalyzeError> {
        let this = self.clone();
        match pool::run(move || pool::guarded(|| this.draft(&trace, deadline))).await {
            Ok(Ok(draft)) => Ok(draft),
            Ok(Err(TimedOut(budget))) => Err(AnalyzeError::TimedOut(budget)),
            Err(defect) => Err(AnalyzeError::Defect(defect)),
        }
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

fn failure(trace: &Trace, tree: &SpanTree, incidents: &[Incident<'_>], incident: &Incident<'_>, rule: &Rule) -> Draft {
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
    evidence.truncate(EVIDENCE_MAX.saturating_sub(ANNOTATIONS_MAX));
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
    let (confidence, rationale) =
        confidence(rule.confidence, trace, tree, &incident.signals.iter().map(|signal| signal.text.as_str()).collect::<Vec<_>>(), &rule.id);
    Draft {
        title: fill(&rule.title),
        label: rule.label,
        summary,
        root_cause_hypothesis: fill(&rule.hypothesis),
        evidence,
        actions: rule.actions.iter().map(|action| fill(action)).collect(),
        confidence,
        confidence_rationale: rationale,
        ..draft_of(trace, rule.label, Some(span), incident.error_type.as_deref())
    }
}

fn healthy(trace: &Trace, tree: &SpanTree, incidents: &[Incident<'_>]) -> Draft {
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
    let mut base = if recovered > 0 { 0.85 } else { 0.9 };
    if let Some(complaint) = trace.spans.iter().flat_map(|span| &span.annotations).find(|annotation| annotation.is_negative()) {
        let said: String = complaint.to_string().chars().take(NAME_CHARS_MAX).collect();
        let _ = write!(summary, " It was rated badly all the same ({said}).");
        base = RATED_BADLY;
    }
    let (confidence, rationale) = confidence(base, trace, tree, &[], "no rule fired");
    Draft {
        title: "No failure found".into(),
        label,
        summary,
        root_cause_hypothesis:
            "The trace shows no failure. What only a reader can judge, such as a wrong fact in a fluent answer, is not covered.".into(),
        evidence: signals.into_iter().map(whole_trace_signal).chain(annotations(trace)).collect(),
        actions: vec!["Nothing to do; if users complain about this run, read the answer against its sources.".into()],
        confidence,
        confidence_rationale: rationale,
        ..draft_of(trace, label, None, None)
    }
}

fn unexplained(trace: &Trace, tree: &SpanTree) -> Draft {
    let label = Label::INSUFFICIENT_EVIDENCE;
    let failed = trace.spans.iter().find(|span| span.failed());
    let what = if failed.is_some() { "A span failed and says neither a type nor a message" } else { "The run has no end and no error" };
    let (confidence, rationale) = confidence(0.5, trace, tree, &[], "no rule fired");
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
        confidence,
        confidence_rationale: rationale,
        ..draft_of(trace, label, failed, None)
    }
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
        content_digest: digest(trace),
    }
}

/// The same for traces that failed alike: category, factor, service, span name without its numbers, error type.
fn fingerprint(label: Label, service: Option<&str>, span: Option<&str>, error_type: Option<&str>) -> String {
    let name: String = span.unwrap_or_default().chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    let parts = [label.category(), label.factor(), service.unwrap_or_default(), &name, error_type.map(last_segment).unwrap_or_default()];
    let hash = Sha256::digest(parts.join("\0"));
    hex(hash.get(..8).unwrap_or(&hash))
}

/// SHA-256 over the redacted trace in its gathered form.
fn digest(trace: &Trace) -> String {
    struct Hashing(Sha256);
    impl std::io::Write for Hashing {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    // Hashing cannot fail; the encoding of plain data neither.
    let hashing = postcard::to_io(
        &(&trace.service, &trace.environment, &trace.spans),
        std::io::BufWriter::with_capacity(16 * 1024, Hashing(Sha256::new())),
    );
    let hash = hashing.ok().and_then(|writer| writer.into_inner().ok()).map(|hashing| hashing.0.finalize()).unwrap_or_default();
    hex(&hash)
}

/// The rule's confidence, lowered by what the trace lacks, and the sentence that says so.
fn confidence(base: f64, trace: &Trace, tree: &SpanTree, signals: &[&str], rule: &str) -> (f64, String) {
    /// What one kind of gap leaves of the confidence.
    const GAP: f64 = 0.85;
    let mut gaps = Vec::new();
    let mut add = |count: usize, what: &str| {
        if count > 0 {
            gaps.push(format!("{count} {what}"));
        }
    };
    add(tree.orphans, "spans whose parent is missing");
    add(tree.unfinished, "spans without an end");
    add(tree.cycles, "spans in a cycle of parents");
    add(trace.spans.iter().filter(|span| span.name.is_empty()).count(), "spans without a name");
    let nothing_recorded = trace.spans.iter().all(|span| {
        let texts = [&span.input_text, &span.output_text];
        span.attributes.is_empty()
            && span.input.is_empty()
            && span.output.is_empty()
            && span.tool.is_none()
            && texts.iter().all(|text| text.is_none())
    });
    add(usize::from(nothing_recorded) * trace.spans.len(), "spans, none of which has attributes");
    let confidence = gaps.iter().fold(base, |confidence, _| confidence * GAP);

    let mut rationale = if rule == "no rule fired" {
        "No rule fired.".to_owned()
    } else {
        format!("Rule {rule} fired on {}.", if signals.is_empty() { "the text".to_owned() } else { signals.join(", ") })
    };
    if !gaps.is_empty() {
        let _ = write!(rationale, " Lowered, because the trace has {}.", gaps.join(", "));
    }
    for note in &trace.notes {
        let _ = write!(rationale, " Note: {note}.");
    }
    (confidence, rationale)
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
