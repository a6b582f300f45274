//! Decides what went wrong in a trace: the root cause among its incidents, the failure that its dialogue indicates, or neither.
//!
//! Knows nothing of drafts; it also collects the facts on which the confidence of a verdict depends.

use super::confidence::{self, Facts, VerdictBasis, logit};
use super::dialogue::{Dialogue, RankedLabel, SignalMatches};
use super::incident::{Incident, IncidentKind};
use super::root::{RootCause, root_cause};
use super::rules::{Catalogue, Rule};
use super::tree::SpanTree;
use crate::model::{Label, Trace};
use crate::runtime::{Deadline, TimedOut};

/// What went wrong, before it is written as a draft.
pub(super) enum Verdict<'i, 't, 'c> {
    /// A step failed.
    FailedStep(RootCause<'i, 't, 'c>),
    /// No step reports a failure, but the dialogue indicates one.
    FailedDialogue(SuspectedFailure<'c>),
    /// No rule names a failure, but the root span has no end time, or there was an error without a type or message. Such an error decides only
    /// if no rule matched it or the run recovered from it, because a recovery from an unknown error is not certain.
    Unexplained,
    /// No failure was found.
    NoFailure,
}

/// A failure that a dialogue indicates.
pub(super) struct SuspectedFailure<'c> {
    pub(super) rule: &'c Rule,
    /// Before calibration.
    pub(super) probability: f64,
    /// Signals that support it, strongest first.
    pub(super) signals: Vec<usize>,
}

/// The dialogue of a trace, if it was collected to reach the verdict, and its signals, if they decided.
#[derive(Default)]
pub(super) struct DialogueScan<'t> {
    pub(super) dialogue: Option<Dialogue<'t>>,
    pub(super) matches: Option<SignalMatches>,
}

impl<'c> Verdict<'_, '_, 'c> {
    /// The label and the rule behind it.
    pub(super) fn label(&self) -> (Label, Option<&'c Rule>) {
        match self {
            Self::FailedStep(root) => (root.matched.rule.label, Some(root.matched.rule)),
            Self::FailedDialogue(failure) => (failure.rule.label, Some(failure.rule)),
            Self::Unexplained => (Label::INSUFFICIENT_EVIDENCE, None),
            Self::NoFailure => (Label::NO_FAILURE_FOUND, None),
        }
    }
}

/// Decides what went wrong.
///
/// # Errors
/// [`TimedOut`].
pub(super) fn decide<'i, 't, 'c>(
    trace: &'t Trace,
    tree: &SpanTree,
    incidents: &'i [Incident<'t>],
    catalogue: &'c Catalogue,
    deadline: Deadline,
) -> Result<(Verdict<'i, 't, 'c>, DialogueScan<'t>), TimedOut> {
    let root = root_cause(trace, tree, incidents, catalogue, deadline)?;
    // An explicit failure decides. One that is inferred from words is weighed against all other words of the conversation.
    if let Some(root) = root.filter(|root| root.incident.kind.is_explicit()) {
        return Ok((Verdict::FailedStep(root), DialogueScan::default()));
    }
    let dialogue = Dialogue::collect(trace, tree, deadline)?;
    if dialogue.is_conversation() {
        let matches = catalogue.signals.find(&dialogue, deadline)?;
        // A specific rule for the text of a tool result is better evidence than the dialogue around it. A catch-all rule is not.
        let has_specific_rule = root.is_some_and(|root| !root.matched.rule.is_catch_all());
        if let Some(failure) = suspected_failure(catalogue, &matches).filter(|_| !has_specific_rule) {
            return Ok((Verdict::FailedDialogue(failure), DialogueScan { dialogue: Some(dialogue), matches: Some(matches) }));
        }
    }
    // A retry of an answer that the provider stopped is a recovery; one after an unknown error may be something else.
    let counts = |incident: &Incident<'_>| incident.unexplained && (incident.kind == IncidentKind::Error || !incident.recovered);
    let is_unexplained = || incidents.iter().any(counts) || tree.unfinished_root;
    let verdict = match root {
        Some(root) => Verdict::FailedStep(root),
        None if is_unexplained() => Verdict::Unexplained,
        None => Verdict::NoFailure,
    };
    Ok((verdict, DialogueScan { dialogue: Some(dialogue), matches: None }))
}

/// The failure that a dialogue indicates; `None` if no signal indicates one.
///
/// The most likely label of the weighted signals competes with the rules for which a single signal is sufficient.
fn suspected_failure<'c>(catalogue: &'c Catalogue, matches: &SignalMatches) -> Option<SuspectedFailure<'c>> {
    if !catalogue.signals.indicates_failure(matches) {
        return None;
    }
    let ranked = catalogue.weights.rank(matches).into_iter().filter(|ranked| !ranked.supporting_signals.is_empty());
    let weighted = ranked.into_iter().find_map(|RankedLabel { label, probability, supporting_signals, .. }| {
        let rule = catalogue.dialogue_rule(label)?;
        let signals = supporting_signals.into_iter().map(|(signal, _)| signal).collect();
        Some(SuspectedFailure { rule, probability, signals })
    });
    // For example, "that is not what I asked" is sufficient for a misunderstood task, unless the weights are more certain of another label.
    match (catalogue.best_standalone(matches), weighted) {
        (Some((rule, signal)), weighted) if weighted.as_ref().is_none_or(|weighted| rule.confidence > weighted.probability) => {
            Some(SuspectedFailure { rule, probability: rule.confidence, signals: vec![signal] })
        }
        (_, weighted) => weighted,
    }
}

/// What a verdict is based on, and the facts on which its confidence depends. The names are those of `calibration.json`.
pub(super) fn confidence_facts(
    trace: &Trace,
    tree: &SpanTree,
    incidents: &[Incident<'_>],
    verdict: &Verdict<'_, '_, '_>,
    dialogue: Option<&Dialogue<'_>>,
) -> (VerdictBasis, Facts) {
    let mut facts = confidence::trace_facts(trace, tree);
    let mut add = |name, applies: bool| {
        if applies {
            facts.insert(name, 1.0);
        }
    };
    add("recovered", incidents.iter().any(|incident| incident.recovered));
    let basis = match verdict {
        Verdict::FailedStep(root) => {
            let incident = root.incident;
            add("last_resort", root.matched.rule.is_catch_all() && incident.kind == IncidentKind::Error);
            add("no_exception", incident.kind != IncidentKind::Error);
            add("no_message", incident.kind == IncidentKind::Error && incident.texts.is_empty());
            add("contested", root.contested);
            add("corroborated", root.matched.criteria_met > 1);
            add("conversation", !incident.kind.is_explicit() && dialogue.is_some_and(Dialogue::is_conversation));
            facts.insert("rule", logit(root.matched.rule.confidence));
            VerdictBasis::Rule
        }
        Verdict::FailedDialogue(failure) => {
            facts.insert("probability", logit(failure.probability));
            VerdictBasis::Dialogue
        }
        Verdict::Unexplained => {
            add("unexplained", true);
            VerdictBasis::Nothing
        }
        Verdict::NoFailure => {
            add("dialogue", dialogue.is_some_and(Dialogue::is_long));
            // An agent that runs code on its own can fail as silently.
            add("conversation", dialogue.is_some_and(|dialogue| dialogue.is_conversation() || dialogue.runs_written_calls));
            VerdictBasis::Nothing
        }
    };
    (basis, facts)
}
