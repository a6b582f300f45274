//! The embedded analyzer: deterministic, no network, no key.
//!
//! `incidents` finds what went wrong step by step, `root` decides which of it came first and was not recovered from, the catalogue in
//! `rules/*.toml` names it. Where no step says that it failed, `dialogue` looks at who said what. `confidence` says how sure that is,
//! and `drafts` writes it down.

mod cases;
mod confidence;
mod dialogue;
mod drafts;
mod incidents;
mod recovery;
mod root;
mod rules;
mod signals;
mod tree;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::confidence::Way;
use self::confidence::{Calibration, Facts, logit};
use self::dialogue::{Dialogue, Ranked, Sightings};
pub(super) use self::drafts::draft_about;
use self::incidents::{Incident, IncidentKind};
use self::root::Root;
pub use self::rules::RuleError;
use self::rules::{Catalogue, Rule};
use self::tree::SpanTree;
use super::{AnalyzeError, Analyzer};
use crate::model::{Annotation, Draft, Evidence, Label, Message, Span, SpanKind, Status, ToolUse, Trace};
use crate::redact::RedactedTrace;
use crate::runtime::pool;
use crate::runtime::{Deadline, TimedOut};

/// Version of the catalogue, in the `model` column.
pub(crate) const RULES_VERSION: &str = "rules-2";

/// See the module.
#[derive(Debug, Clone)]
pub struct Embedded {
    catalogue: Arc<Catalogue>,
    calibration: Arc<Calibration>,
}

/// Why the analyzer says what it says, for fitting and for people.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The verdict.
    pub label: Label,
    /// How it came about.
    pub way: Way,
    /// The rule that names it.
    pub rule: Option<String>,
    /// What the confidence depends on.
    pub facts: Vec<(&'static str, f64)>,
    /// Whether the trace is a conversation that shows trouble, so that the dialogue may decide.
    pub is_conversation: bool,
    /// Signals of the dialogue.
    pub signals: Vec<String>,
}

/// What the rules find in a trace, for an analyzer that judges by other means.
#[derive(Debug, Clone)]
pub struct Findings {
    /// What the rules make of it.
    pub verdict: Draft,
    /// Every signal, those of the verdict first.
    pub signals: Vec<Evidence>,
    /// Indexes of the spans in which something went wrong, that of the verdict first.
    pub spans: Vec<usize>,
    /// Whether the trace says plainly that it failed: an error or a finish reason from which the run did not recover.
    pub plainly_failed: bool,
}

/// What the analyzer found, before it is written down.
enum Verdict<'i, 't, 'c> {
    /// A step failed.
    Step(Root<'i, 't, 'c>),
    /// The dialogue shows it.
    Conversation(Suspicion<'c>),
    /// A span failed and says nothing, or the run has no end.
    Unexplained,
    /// Nothing failed.
    Nothing,
}

/// The dialogue where it was looked at, with its signals where they were.
type Seen<'t> = Option<(Dialogue<'t>, Option<Sightings>)>;

/// The failure that a dialogue makes likely.
struct Suspicion<'c> {
    rule: &'c Rule,
    /// Before calibration.
    probability: f64,
    /// Signals that speak for it, the strongest first.
    reasons: Vec<usize>,
}

impl Embedded {
    /// The analyzer with the rules that failsift ships.
    ///
    /// # Errors
    /// [`RuleError`] where a rule is not well-formed, which a test rules out for the shipped ones.
    pub fn new() -> Result<Self, RuleError> {
        Self::with_rules(&[])
    }

    /// The analyzer with `(name, text)` files of rules beside the shipped ones; `docs/rules.md` describes them.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn with_rules(files: &[(String, String)]) -> Result<Self, RuleError> {
        let this = Self { catalogue: Arc::new(Catalogue::with(files)?), calibration: Arc::new(Calibration::shipped()?) };
        this.warm_up();
        Ok(this)
    }

    /// Checks a file of rules: `(rules, cases, complaints)`.
    ///
    /// # Errors
    /// [`RuleError`] where it is not well-formed.
    pub fn check_rules(name: &str, text: &str) -> Result<(usize, usize, Vec<String>), RuleError> {
        cases::check(name, text)
    }

    /// Compiles every expression before the first trace, whose time budget it would take from.
    fn warm_up(&self) {
        let said = || vec![Message { content: "final answer: 1".into(), ..Message::default() }];
        let spans = [
            Span { kind: SpanKind::Llm, output: said(), ..Span::default() },
            Span { kind: SpanKind::Tool, tool: Some(ToolUse { result: Some("error: x".into()), ..ToolUse::default() }), ..Span::default() },
            Span { kind: SpanKind::Tool, tool: Some(ToolUse::default()), ..Span::default() },
            Span { kind: SpanKind::Llm, output: said(), status: Status::Error, status_message: Some("text".into()), ..Span::default() },
        ];
        let trace = Trace { spans: spans.into(), ..Trace::default() };
        // What it says of this trace does not matter.
        let deadline = Deadline::after(Duration::from_mins(1));
        let _ = self.draft(&trace, deadline);
        let _ = Dialogue::of(&trace, &SpanTree::of(&trace), deadline).and_then(|dialogue| self.catalogue.signals.find(&dialogue, deadline));
    }

    /// Whether anything in the trace says that something went wrong: a status, a sign that the rules know, or what people said of it.
    /// True where there is no time to tell.
    pub fn shows_failure(&self, trace: &RedactedTrace, deadline: Deadline) -> bool {
        let said = |span: &Span| span.failed() || span.annotations.iter().any(Annotation::is_negative);
        if trace.spans.iter().any(said) {
            return true;
        }
        let tree = SpanTree::of(trace);
        let shows = || {
            let incidents = incidents::find(trace, &tree, deadline)?;
            Ok::<_, TimedOut>(!incidents.is_empty() || !matches!(self.verdict(trace, &tree, &incidents, deadline)?.0, Verdict::Nothing))
        };
        shows().unwrap_or(true)
    }

    /// The verdict with everything that it rests on.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub fn explain(&self, trace: &RedactedTrace, deadline: Deadline) -> Result<Explanation, TimedOut> {
        self.explanation(trace, deadline)
    }

    fn explanation(&self, trace: &Trace, deadline: Deadline) -> Result<Explanation, TimedOut> {
        let tree = SpanTree::of(trace);
        let incidents = incidents::find(trace, &tree, deadline)?;
        let dialogue = Dialogue::of(trace, &tree, deadline)?;
        let sightings = self.catalogue.signals.find(&dialogue, deadline)?;
        let verdict = self.verdict(trace, &tree, &incidents, deadline)?;
        let (label, rule) = match &verdict.0 {
            Verdict::Step(root) => (root.fit.rule.label, Some(root.fit.rule)),
            Verdict::Conversation(suspicion) => (suspicion.rule.label, Some(suspicion.rule)),
            Verdict::Unexplained => (Label::INSUFFICIENT_EVIDENCE, None),
            Verdict::Nothing => (Label::NO_FAILURE_FOUND, None),
        };
        let (way, facts) = facts(trace, &tree, &incidents, &verdict.0, Some(&dialogue));
        Ok(Explanation {
            label,
            way,
            rule: rule.map(|rule| rule.id.clone()),
            facts: facts.into_iter().collect(),
            is_conversation: dialogue.is_conversation() && self.catalogue.signals.shows_trouble(&sightings),
            signals: self.catalogue.signals.shown(&sightings).map(str::to_owned).collect(),
        })
    }

    /// Whether a piece of text stands in what a rule writes, of failsift or of the user: then no trace and no model brought it.
    pub fn wrote(&self, piece: &str) -> bool {
        self.catalogue.writes(piece)
    }

    /// The draft of one trace, on this thread.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub fn draft_of(&self, trace: &RedactedTrace, deadline: Deadline) -> Result<Draft, TimedOut> {
        self.draft(trace, deadline)
    }

    /// What is found in one trace, on this thread.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub fn findings(&self, trace: &RedactedTrace, deadline: Deadline) -> Result<Findings, TimedOut> {
        let tree = SpanTree::of(trace);
        let incidents = incidents::find(trace, &tree, deadline)?;
        let (verdict, seen) = self.verdict(trace, &tree, &incidents, deadline)?;
        let plainly_failed =
            matches!(&verdict, Verdict::Step(root) if matches!(root.incident.kind, IncidentKind::Error | IncidentKind::FinishReason));
        let first = match &verdict {
            Verdict::Step(root) => Some(root.incident.index),
            _ => None,
        };
        let verdict = self.written(trace, &tree, &incidents, &verdict, &seen);
        let (recovered, open): (Vec<_>, Vec<_>) = incidents.iter().partition(|incident| incident.recovered);
        let unfinished = trace.spans.iter().position(|span| span.ended_at_ns.is_none() && tree.unfinished_root);
        let mut spans: Vec<usize> = first.into_iter().chain(open.iter().chain(&recovered).map(|incident| incident.index)).collect();
        let named = verdict.evidence.iter().filter_map(|evidence| evidence.span_id.as_deref());
        spans.extend(named.filter_map(|id| trace.spans.iter().position(|span| span.span_id == id)).chain(unfinished));
        let mut known = HashSet::new();
        spans.retain(|index| known.insert(*index));
        let signals = drafts::signals(&verdict, open.into_iter().chain(recovered));
        Ok(Findings { verdict, signals, spans, plainly_failed })
    }

    fn draft(&self, trace: &Trace, deadline: Deadline) -> Result<Draft, TimedOut> {
        let tree = SpanTree::of(trace);
        let incidents = incidents::find(trace, &tree, deadline)?;
        let (verdict, seen) = self.verdict(trace, &tree, &incidents, deadline)?;
        Ok(self.written(trace, &tree, &incidents, &verdict, &seen))
    }

    /// The verdict as a draft, with its confidence.
    fn written(&self, trace: &Trace, tree: &SpanTree, incidents: &[Incident<'_>], verdict: &Verdict<'_, '_, '_>, seen: &Seen<'_>) -> Draft {
        let (way, facts) = facts(trace, tree, incidents, verdict, seen.as_ref().map(|(dialogue, _)| dialogue));
        let confidence = self.calibration.confidence(way, &facts);
        let lowered_by = self.calibration.lowered_by(way, &facts);
        let draft = match (verdict, seen) {
            (Verdict::Step(root), _) => drafts::step(trace, tree, incidents, root),
            (Verdict::Conversation(suspicion), Some((dialogue, Some(sightings)))) => {
                drafts::conversation(trace, dialogue, &self.catalogue.signals, sightings, suspicion)
            }
            (Verdict::Nothing, _) => drafts::nothing(trace, incidents),
            (Verdict::Unexplained | Verdict::Conversation(_), _) => drafts::unexplained(trace, tree),
        };
        let confidence_rationale = confidence::rationale(draft.confidence_rationale, &lowered_by, trace);
        Draft { confidence, confidence_rationale, ..draft }
    }

    /// What failed, and the dialogue where it was looked at.
    fn verdict<'i, 't, 's>(
        &'s self,
        trace: &'t Trace,
        tree: &SpanTree,
        incidents: &'i [Incident<'t>],
        deadline: Deadline,
    ) -> Result<(Verdict<'i, 't, 's>, Seen<'t>), TimedOut> {
        let root = root::choose(trace, tree, incidents, &self.catalogue, deadline)?;
        // A status is plain; what only words show is weighed together with all other words of a conversation.
        if let Some(root) = root.filter(|root| matches!(root.incident.kind, IncidentKind::Error | IncidentKind::FinishReason)) {
            return Ok((Verdict::Step(root), None));
        }
        let dialogue = Dialogue::of(trace, tree, deadline)?;
        if dialogue.is_conversation() {
            let sightings = self.catalogue.signals.find(&dialogue, deadline)?;
            // A rule that knows what a tool's answer means knows more than the dialogue around it.
            let named = root.is_some_and(|root| !root.fit.rule.is_last_resort());
            if let Some(suspicion) = self.suspicion(&sightings).filter(|_| !named) {
                return Ok((Verdict::Conversation(suspicion), Some((dialogue, Some(sightings)))));
            }
        }
        let unexplained = || incidents.iter().any(|incident| incident.unexplained) || tree.unfinished_root;
        let verdict = match root {
            Some(root) => Verdict::Step(root),
            None if unexplained() => Verdict::Unexplained,
            None => Verdict::Nothing,
        };
        Ok((verdict, Some((dialogue, None))))
    }

    /// What a dialogue makes likely; nothing where nothing in it speaks of trouble.
    fn suspicion(&self, sightings: &Sightings) -> Option<Suspicion<'_>> {
        if !self.catalogue.signals.shows_trouble(sightings) {
            return None;
        }
        let ranked = self.catalogue.weights.rank(sightings).into_iter().filter(|ranked| !ranked.reasons.is_empty());
        let weighed = ranked.filter_map(|Ranked { label, probability, reasons, .. }| {
            let rule = self.catalogue.of_dialogue(label)?;
            Some(Suspicion { rule, probability, reasons: reasons.into_iter().map(|(signal, _)| signal).collect() })
        });
        let weighed = weighed.into_iter().next();
        let explicit = self.catalogue.explicit(sightings);
        match (explicit, weighed) {
            (Some((rule, signal)), weighed) if weighed.as_ref().is_none_or(|weighed| rule.confidence > weighed.probability) => {
                Some(Suspicion { rule, probability: rule.confidence, reasons: vec![signal] })
            }
            (_, weighed) => weighed,
        }
    }
}

/// How a verdict came about, and what its confidence depends on.
fn facts(
    trace: &Trace,
    tree: &SpanTree,
    incidents: &[Incident<'_>],
    verdict: &Verdict<'_, '_, '_>,
    dialogue: Option<&Dialogue<'_>>,
) -> (Way, Facts) {
    let mut facts = confidence::of_trace(trace, tree);
    let mut note = |name, holds: bool| {
        if holds {
            facts.insert(name, 1.0);
        }
    };
    note("recovered", incidents.iter().any(|incident| incident.recovered));
    let way = match verdict {
        Verdict::Step(root) => {
            let incident = root.incident;
            note("last_resort", root.fit.rule.is_last_resort() && incident.kind == IncidentKind::Error);
            note("no_exception", incident.kind != IncidentKind::Error);
            note("no_message", incident.kind == IncidentKind::Error && incident.texts.is_empty());
            note("contested", root.contested);
            note("corroborated", root.fit.fired > 1);
            let by_words = !matches!(incident.kind, IncidentKind::Error | IncidentKind::FinishReason);
            note("conversation", by_words && dialogue.is_some_and(Dialogue::is_conversation));
            facts.insert("rule", logit(root.fit.rule.confidence));
            Way::Rule
        }
        Verdict::Conversation(suspicion) => {
            facts.insert("probability", logit(suspicion.probability));
            Way::Dialogue
        }
        Verdict::Unexplained => {
            note("unexplained", true);
            Way::Nothing
        }
        Verdict::Nothing => {
            note("dialogue", dialogue.is_some_and(Dialogue::is_long));
            note("conversation", dialogue.is_some_and(Dialogue::is_conversation));
            Way::Nothing
        }
    };
    (way, facts)
}

#[async_trait]
impl Analyzer for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn analyze(&self, trace: Arc<RedactedTrace>, deadline: Deadline) -> Result<Draft, AnalyzeError> {
        let this = self.clone();
        match pool::run(move || pool::catch_panic(|| this.draft_of(&trace, deadline))).await {
            Ok(Ok(draft)) => Ok(draft),
            Ok(Err(TimedOut(budget))) => Err(AnalyzeError::TimedOut(budget)),
            Err(defect) => Err(AnalyzeError::Defect(defect)),
        }
    }
}
