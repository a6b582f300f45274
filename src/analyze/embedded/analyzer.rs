//! The analyzer itself: runs the steps of this module on one trace, for a draft, for an explanation, or for another analyzer.

use std::collections::HashSet;
use std::sync::{Arc, Once};
use std::time::Duration;

use async_trait::async_trait;

use super::confidence::{self, Calibration, VerdictBasis};
use super::deployment;
use super::diagnosis::Knowledge;
use super::dialogue::Dialogue;
use super::drafts;
use super::facts::{self, Case, Facts};
use super::incident::{Incident, IncidentKind};
use super::incidents;
use super::profile;
use super::rule_file::RuleError;
use super::run_drafts::{self, ReadDialogue};
use super::span_tree::span_tree;
use super::tree::SpanTree;
use super::unexplained_drafts;
use super::verdict::{self, DialogueScan, Verdict};
use crate::analyze::{AnalyzeError, Analyzer};
use crate::model::{Annotation, Draft, Evidence, Label, Message, Span, SpanKind, Status, ToolUse, Trace};
use crate::redact::RedactedTrace;
use crate::runtime::{Deadline, TimedOut, pool};

/// The embedded analyzer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Embedded {
    knowledge: Arc<Knowledge>,
    calibration: Arc<Calibration>,
}

/// The verdict on a trace with everything it is based on, for fitting the calibration and for people.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The verdict.
    pub label: Label,
    /// What the verdict is based on.
    pub basis: VerdictBasis,
    /// Id of the rule that names the failure.
    pub rule: Option<String>,
    /// The facts on which the confidence depends.
    pub facts: Vec<(&'static str, f64)>,
    /// Whether the trace is a conversation with signals of a failure, so that the dialogue may decide.
    pub is_conversation: bool,
    /// Ids of the matched dialogue signals.
    pub signals: Vec<String>,
}

/// What the rules find in a trace, for an analyzer that judges by other means.
#[derive(Debug, Clone)]
pub struct Findings {
    /// The verdict of the rules.
    pub verdict: Draft,
    /// Every signal, those of the verdict first.
    pub signals: Vec<Evidence>,
    /// Indexes of the spans with incidents, that of the verdict first.
    pub spans: Vec<usize>,
    /// Whether the trace reports its failure itself: an error status or a finish reason from which the run did not recover.
    pub has_explicit_failure: bool,
}

impl Embedded {
    /// The analyzer with the shipped rules.
    ///
    /// # Errors
    /// [`RuleError`] if a shipped rule is not well-formed, which a test rules out.
    pub fn new() -> Result<Self, RuleError> {
        Self::with_rules(&[])
    }

    /// The analyzer with the shipped rules and those of `(name, text)` files, whose format `docs/rules.md` describes.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn with_rules(files: &[(String, String)]) -> Result<Self, RuleError> {
        Ok(Self { knowledge: Arc::new(Knowledge::with(files)?), calibration: Arc::new(Calibration::shipped()?) })
    }

    /// Compiles every lazy expression at once with the first trace, so that a run that analyzes nothing does not need the memory.
    fn compile_expressions(&self) {
        static COMPILED: Once = Once::new();
        COMPILED.call_once(|| self.analyze_samples());
    }

    fn analyze_samples(&self) {
        let output = || vec![Message { content: "final answer: 1".into(), ..Message::default() }];
        let spans = [
            Span { kind: SpanKind::Llm, output: output(), ..Span::default() },
            Span { kind: SpanKind::Tool, tool: Some(ToolUse { result: Some("error: x".into()), ..ToolUse::default() }), ..Span::default() },
            Span { kind: SpanKind::Tool, tool: Some(ToolUse::default()), ..Span::default() },
            Span { kind: SpanKind::Llm, output: output(), status: Status::Error, status_message: Some("text".into()), ..Span::default() },
        ];
        let trace = Trace { spans: spans.into(), ..Trace::default() };
        // The results are not used.
        let deadline = Deadline::after(Duration::from_mins(1));
        let _ = self.draft(&trace, deadline);
        let _ = Dialogue::collect(&trace, &SpanTree::new(&trace), deadline)
            .and_then(|dialogue| self.knowledge.rules.signals.find(&dialogue, deadline));
    }

    /// Whether anything in the trace indicates a failure: a status, a negative rating, an incident, or the dialogue. Also true if the time is up
    /// before this is known.
    pub fn shows_failure(&self, trace: &RedactedTrace, deadline: Deadline) -> bool {
        let is_reported = |span: &Span| span.failed() || span.annotations.iter().any(Annotation::is_negative);
        if trace.spans.iter().any(is_reported) {
            return true;
        }
        let tree = SpanTree::new(trace);
        let is_found = || {
            let incidents = incidents::find(trace, &tree, deadline)?;
            Ok::<_, TimedOut>(!incidents.is_empty() || !matches!(self.decide(trace, &tree, &incidents, deadline)?.0, Verdict::NoFailure))
        };
        is_found().unwrap_or(true)
    }

    /// The verdict with everything it is based on.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub fn explain(&self, trace: &RedactedTrace, deadline: Deadline) -> Result<Explanation, TimedOut> {
        self.explain_trace(trace, deadline)
    }

    /// As [`Self::explain`], for the synthetic traces of rule cases.
    pub(super) fn explain_trace(&self, trace: &Trace, deadline: Deadline) -> Result<Explanation, TimedOut> {
        let tree = SpanTree::new(trace);
        let incidents = incidents::find(trace, &tree, deadline)?;
        let dialogue = Dialogue::collect(trace, &tree, deadline)?;
        let matches = self.knowledge.rules.signals.find(&dialogue, deadline)?;
        let (verdict, _) = self.decide(trace, &tree, &incidents, deadline)?;
        let (label, rule) = verdict.label();
        let (basis, facts) = verdict::confidence_facts(trace, &tree, &incidents, &verdict, Some(&dialogue));
        let is_suspicious = matches!(verdict, Verdict::FailedDialogue(_) | Verdict::SuspectedDialogue(_))
            || self.knowledge.rules.signals.indicates_failure(&matches);
        Ok(Explanation {
            label,
            basis,
            rule: rule.map(|rule| rule.id.clone()),
            facts: facts.into_iter().collect(),
            is_conversation: dialogue.is_conversation() && is_suspicious,
            signals: self.knowledge.rules.signals.matched_ids(&matches).map(str::to_owned).collect(),
        })
    }

    /// Whether a fragment of a draft's text comes from a rule, shipped or the user's, and not from a trace or a model.
    pub fn is_rule_text(&self, fragment: &str) -> bool {
        self.knowledge.rules.contains_text(fragment)
    }

    /// The draft for one trace, on this thread.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub fn draft_of(&self, trace: &RedactedTrace, deadline: Deadline) -> Result<Draft, TimedOut> {
        self.draft(trace, deadline)
    }

    /// The findings in one trace, on this thread.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub fn findings(&self, trace: &RedactedTrace, deadline: Deadline) -> Result<Findings, TimedOut> {
        let tree = SpanTree::new(trace);
        let incidents = incidents::find(trace, &tree, deadline)?;
        let (verdict, scan) = self.decide(trace, &tree, &incidents, deadline)?;
        let has_explicit_failure = matches!(&verdict, Verdict::FailedStep(root) if root.incident.kind.is_explicit());
        // A dialogue has no culprit span; the spans of its evidence are added below.
        let culprit = match &verdict {
            Verdict::FailedStep(root) => Some(root.incident.index),
            _ => None,
        };
        let verdict = self.write_draft(trace, &tree, &incidents, &verdict, &scan);
        let (recovered, open): (Vec<_>, Vec<_>) = incidents.iter().partition(|incident| incident.recovered);
        // A killed run often has no incident. Then its first unfinished span is the most relevant one.
        let unfinished = trace.spans.iter().position(|span| span.ended_at_ns.is_none() && tree.unfinished_root);
        let mut spans: Vec<usize> = culprit.into_iter().chain(open.iter().chain(&recovered).map(|incident| incident.index)).collect();
        let quoted = verdict.evidence.iter().filter_map(|evidence| evidence.span_id.as_deref());
        spans.extend(quoted.filter_map(|id| trace.spans.iter().position(|span| span.span_id == id)).chain(unfinished));
        let mut known = HashSet::new();
        spans.retain(|index| known.insert(*index));
        let signals = drafts::all_signals(&verdict, open.into_iter().chain(recovered));
        Ok(Findings { verdict, signals, spans, has_explicit_failure })
    }

    fn draft(&self, trace: &Trace, deadline: Deadline) -> Result<Draft, TimedOut> {
        let tree = SpanTree::new(trace);
        let incidents = incidents::find(trace, &tree, deadline)?;
        let (verdict, scan) = self.decide(trace, &tree, &incidents, deadline)?;
        Ok(self.write_draft(trace, &tree, &incidents, &verdict, &scan))
    }

    fn decide<'i, 't, 's>(
        &'s self,
        trace: &'t Trace,
        tree: &SpanTree,
        incidents: &'i [Incident<'t>],
        deadline: Deadline,
    ) -> Result<(Verdict<'i, 't, 's>, DialogueScan<'t>), TimedOut> {
        verdict::decide(trace, tree, incidents, &self.knowledge, deadline)
    }

    /// The verdict as a draft, with its confidence.
    fn write_draft(
        &self,
        trace: &Trace,
        tree: &SpanTree,
        incidents: &[Incident<'_>],
        verdict: &Verdict<'_, '_, '_>,
        scan: &DialogueScan<'_>,
    ) -> Draft {
        let (basis, basis_facts) = verdict::confidence_facts(trace, tree, incidents, verdict, scan.dialogue.as_ref());
        let confidence = self.calibration.confidence(basis, &basis_facts);
        let lowering_facts = self.calibration.lowering_facts(basis, &basis_facts);
        let root = match verdict {
            Verdict::FailedStep(root) => Some(root.incident),
            _ => None,
        };
        let profile = deployment::profile(trace, tree, root.map(|incident| incident.step.unwrap_or(incident.span)));
        let mut facts_of_trace = Facts::of(&Case::new(trace, tree, incidents, root, verdict.label().0));
        if !verdict.label().0.is_healthy() {
            facts::deployment::add(trace, &profile, &mut facts_of_trace);
        }
        let read = scan.dialogue.as_ref().zip(scan.matches.as_ref());
        let read = read.map(|(dialogue, matches)| ReadDialogue { trace, dialogue, signals: &self.knowledge.rules.signals, matches });
        if let (Verdict::FailedDialogue(failure) | Verdict::SuspectedDialogue(failure), Some(read)) = (verdict, read) {
            facts::dialogue::add(trace, read.dialogue, read.quoted(failure), &mut facts_of_trace);
        }
        let draft = match (verdict, read) {
            (Verdict::FailedStep(root), _) => drafts::failed_step(trace, tree, incidents, root, &facts_of_trace),
            (Verdict::FailedDialogue(failure), Some(read)) => run_drafts::failed_dialogue(read, failure, &facts_of_trace),
            (Verdict::SuspectedDialogue(failure), Some(read)) => run_drafts::suspected_dialogue(read, failure, &facts_of_trace),
            (Verdict::NoFailure, _) => run_drafts::no_failure(trace, incidents, &basis_facts, &facts_of_trace),
            (Verdict::Unexplained | Verdict::FailedDialogue(_) | Verdict::SuspectedDialogue(_), _) => {
                let stopped = incidents.iter().find(|incident| incident.kind == IncidentKind::FinishReason && incident.unexplained);
                match stopped.filter(|_| !trace.spans.iter().any(Span::failed)) {
                    Some(incident) => unexplained_drafts::unnamed_stop(trace, incident),
                    None => unexplained_drafts::unexplained(trace, tree, &facts_of_trace),
                }
            }
        };
        let confidence_rationale = confidence::rationale(draft.confidence_rationale, &lowering_facts, trace);
        let incidents = profile::incidents(trace, tree, incidents, &self.knowledge);
        let span_tree = span_tree(trace, tree, draft.step.failed_span_id.as_deref(), draft.label == Label::NO_FAILURE_FOUND);
        Draft { confidence, confidence_rationale, facts: facts_of_trace.into_items(), incidents, span_tree, profile, ..draft }
    }
}

#[async_trait]
impl Analyzer for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn analyze(&self, trace: Arc<RedactedTrace>, deadline: Deadline) -> Result<Draft, AnalyzeError> {
        let this = self.clone();
        let analyze = move || {
            this.compile_expressions();
            this.draft_of(&trace, deadline)
        };
        match pool::run(move || pool::catch_panic(analyze)).await {
            Ok(Ok(draft)) => Ok(draft),
            Ok(Err(TimedOut(budget))) => Err(AnalyzeError::TimedOut(budget)),
            Err(bug) => Err(AnalyzeError::Bug(bug)),
        }
    }
}
