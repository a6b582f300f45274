//! Decides what went wrong in a trace: the root cause among its incidents, the failure that its dialogue indicates, or neither.
//!
//! Knows nothing of drafts; it also collects the facts on which the confidence of a verdict depends.

use super::confidence::{self, Facts, SUSPICION_CONFIDENCE_MAX, VerdictBasis, logit};
use super::diagnosis::{Knowledge, Layer};
use super::dialogue::{Dialogue, RankedLabel, SignalMatches};
use super::forced_answers;
use super::grounding::{self, Comparison};
use super::incident::{Incident, IncidentKind};
use super::root::{RootCause, root_cause};
use super::rules::{Rule, RuleSet};
use super::tree::SpanTree;
use crate::model::{Label, Part, Span, SpanKind, Trace};
use crate::runtime::{Deadline, TimedOut};

/// What went wrong, before it is written as a draft.
pub(super) enum Verdict<'i, 't, 'c> {
    /// A step failed.
    FailedStep(RootCause<'i, 't, 'c>),
    /// No step reports a failure, but the dialogue states one.
    FailedDialogue(SuspectedFailure<'c>),
    /// The dialogue raises a suspicion that does not suffice to call the run failed.
    SuspectedDialogue(SuspectedFailure<'c>),
    /// No rule names a failure, but the root span has no end time, or there was an error without a type or message. Such an error decides only
    /// if no rule matched it or the run recovered from it, because a recovery from an unknown error is not certain.
    Unexplained,
    /// No failure was found.
    NoFailure,
}

/// A failure that a dialogue states, or of which it raises a suspicion.
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

impl Verdict<'_, '_, '_> {
    /// The label and the rule behind it. A suspicion has the rule of the suspected label.
    pub(super) fn label(&self) -> (Label, Option<&Rule>) {
        match self {
            Self::FailedStep(root) => (root.diagnosis.label, root.diagnosis.fitting_rule()),
            Self::FailedDialogue(failure) => (failure.rule.label, Some(failure.rule)),
            Self::SuspectedDialogue(failure) => (Label::INSUFFICIENT_EVIDENCE, Some(failure.rule)),
            Self::Unexplained => (Label::INSUFFICIENT_EVIDENCE, None),
            Self::NoFailure => (Label::NO_FAILURE_FOUND, None),
        }
    }
}

/// Suspicions below this probability give way to a failed tool.
const WEAK_SUSPICION_MAX: f64 = 0.15;

/// Decides what went wrong.
///
/// # Errors
/// [`TimedOut`].
pub(super) fn decide<'i, 't, 'c>(
    trace: &'t Trace,
    tree: &SpanTree,
    incidents: &'i [Incident<'t>],
    knowledge: &'c Knowledge,
    deadline: Deadline,
) -> Result<(Verdict<'i, 't, 'c>, DialogueScan<'t>), TimedOut> {
    let root = root_cause(trace, tree, incidents, knowledge, deadline)?;
    // An explicit failure decides. One that is inferred from words is weighed against all other words of the conversation.
    let root = match root {
        Some(root) if root.incident.kind.is_explicit() => return Ok((Verdict::FailedStep(root), DialogueScan::default())),
        root => root,
    };
    let dialogue = Dialogue::collect(trace, tree, deadline)?;
    // An agent that declines one request of a user, as its instructions may demand, and goes on with another has refused nothing.
    let is_declined =
        |root: &RootCause<'_, '_, '_>| root.incident.kind == IncidentKind::Refusal && dialogue.goes_on_after(root.incident.index);
    let root = root.filter(|root| !is_declined(root));
    if dialogue.is_conversation() {
        let matches = knowledge.rules.signals.find(&dialogue, deadline)?;
        // A specific rule for the text of a tool result is better evidence than the dialogue around it. A catch-all rule is not, and neither is how a
        // dialogue ended: the turns before say why a team reached its limit. That a framework forced the answer is sure.
        let is_ending = |incident: &Incident<'_>| incident.kind == IncidentKind::CannedAnswer && !forced_answers::is_forced(incident);
        let is_specific = |root: &RootCause<'_, '_, '_>| root.diagnosis.is_by_sign() && !is_ending(root.incident);
        if !root.as_ref().is_some_and(is_specific) {
            // A tool that returned an unknown error, from which the run did not recover, is a reason for a suspicion.
            let has_failed_tool = root.as_ref().is_some_and(|root| root.incident.kind == IncidentKind::ToolResult);
            let is_suspicious = has_failed_tool || knowledge.rules.signals.indicates_failure(&matches);
            // What a tool reported is a better sign than a suspicion that hardly any signal supports.
            let is_weak = |verdict: &Verdict<'_, '_, '_>| matches!(verdict, Verdict::SuspectedDialogue(failure) if failure.probability < WEAK_SUSPICION_MAX);
            let verdict = is_suspicious.then(|| dialogue_verdict(&knowledge.rules, &matches)).flatten();
            if let Some(verdict) = verdict.filter(|verdict| !(has_failed_tool && is_weak(verdict))) {
                return Ok((verdict, DialogueScan { dialogue: Some(dialogue), matches: Some(matches) }));
            }
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

/// A dialogue rule of at least this confidence calls a dialogue failed. One of less confidence, and every label that the weights rank first, only raises a
/// suspicion: on runs of a kind that was left out of the fit, such labels did not tell failed runs from successful ones (`docs/eval.md`).
const DECIDING_CONFIDENCE_MIN: f64 = 0.5;

/// What a suspicious dialogue shows; `None` if no signal supports a label.
fn dialogue_verdict<'i, 't, 'c>(rules: &'c RuleSet, matches: &SignalMatches) -> Option<Verdict<'i, 't, 'c>> {
    let standalone =
        rules.best_standalone(matches).map(|(rule, signal)| SuspectedFailure { rule, probability: rule.confidence, signals: vec![signal] });
    match standalone {
        Some(failure) if failure.probability >= DECIDING_CONFIDENCE_MIN => Some(Verdict::FailedDialogue(failure)),
        standalone => suspected_failure(rules, matches, standalone).map(Verdict::SuspectedDialogue),
    }
}

/// The most likely label: of the weighted signals, or of the rule for which a single signal is sufficient. A suspicion is never more likely than
/// [`SUSPICION_CONFIDENCE_MAX`], whatever the weights say, so a rule of that confidence wins: what a participant states outranks what words suggest.
fn suspected_failure<'c>(
    rules: &'c RuleSet,
    matches: &SignalMatches,
    standalone: Option<SuspectedFailure<'c>>,
) -> Option<SuspectedFailure<'c>> {
    let ranked = rules.weights.rank(matches).into_iter().filter(|ranked| !ranked.supporting_signals.is_empty());
    let weighted = ranked.into_iter().find_map(|RankedLabel { label, probability, supporting_signals, .. }| {
        let rule = rules.dialogue_rule(label)?;
        let signals = supporting_signals.into_iter().map(|(signal, _)| signal).collect();
        Some(SuspectedFailure { rule, probability, signals })
    });
    match (standalone, weighted) {
        (Some(failure), Some(weighted)) if failure.probability < weighted.probability.min(SUSPICION_CONFIDENCE_MAX) => Some(weighted),
        (standalone, weighted) => standalone.or(weighted),
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
    let length = dialogue.filter(|dialogue| dialogue.is_long()).map(|dialogue| ("dialogue_length", length_fact(dialogue)));
    let basis = match verdict {
        Verdict::FailedStep(root) => {
            let (incident, diagnosis) = (root.incident, &root.diagnosis);
            add("no_exception", incident.kind != IncidentKind::Error);
            add("no_message", incident.kind == IncidentKind::Error && incident.texts.is_empty());
            add("contested", root.contested);
            add("confirmed", diagnosis.is_confirmed);
            add("disputed", diagnosis.is_disputed);
            add("conversation", !incident.kind.is_explicit() && dialogue.is_some_and(Dialogue::is_conversation));
            add("goes_on", incident.kind == IncidentKind::ToolResult && ends_with_a_call(trace));
            match diagnosis.layer {
                Layer::Rule | Layer::CatchAll => {
                    add("last_resort", diagnosis.is_catch_all() && incident.kind == IncidentKind::Error);
                    add("corroborated", diagnosis.criteria_met > 1);
                    facts.insert("rule", logit(diagnosis.rule.confidence));
                    VerdictBasis::Rule
                }
                Layer::Catalogue(matched_by) => {
                    add(matched_by.as_str(), true);
                    VerdictBasis::Catalogue
                }
                Layer::Status => {
                    add("status", true);
                    VerdictBasis::Catalogue
                }
                Layer::TextModel => {
                    facts.insert("probability", logit(diagnosis.probability));
                    VerdictBasis::TextModel
                }
            }
        }
        Verdict::FailedDialogue(failure) => {
            facts.insert("probability", logit(failure.probability));
            VerdictBasis::Dialogue
        }
        Verdict::SuspectedDialogue(failure) => {
            facts.insert("probability", logit(failure.probability));
            VerdictBasis::Suspicion
        }
        Verdict::Unexplained => {
            add("unexplained", true);
            VerdictBasis::Nothing
        }
        Verdict::NoFailure => {
            add("dialogue", dialogue.is_some_and(Dialogue::is_long));
            let failed = incidents.iter().map(|incident| incident.index).collect();
            match grounding::compared(trace, &failed) {
                Comparison::Supported => {}
                Comparison::Unsupported => add("answer_not_backed", true),
                Comparison::NotComparable => add("answer_not_comparable", true),
                Comparison::NoAnswer => {
                    let any_output = trace.spans.iter().any(|span| span.has_part(Part::Output));
                    add(if any_output { "no_answer" } else { "nothing_read" }, true);
                }
            }
            // An agent that runs code on its own can fail as silently.
            add("conversation", dialogue.is_some_and(|dialogue| dialogue.is_conversation() || dialogue.runs_written_calls));
            VerdictBasis::Nothing
        }
    };
    facts.extend(length);
    (basis, facts)
}

/// Whether the last thing that is known of a run is that the model called a tool.
fn ends_with_a_call(trace: &Trace) -> bool {
    let is_step = |span: &&Span| span.kind == SpanKind::Tool || (span.kind == SpanKind::Llm && !span.output.is_empty());
    let last = trace.spans.iter().rev().find(is_step).and_then(|span| span.output.last());
    last.is_some_and(|message| !message.tool_calls.is_empty())
}

/// How long a dialogue is, as the number of doublings of 1 KiB. In each kind of run with measured outcomes, the failed runs were longer.
fn length_fact(dialogue: &Dialogue<'_>) -> f64 {
    const UNIT_BYTES: f64 = 1024.0;
    // More than 2^32 bytes are one length.
    let bytes = f64::from(u32::try_from(dialogue.text_bytes()).unwrap_or(u32::MAX));
    (1.0 + bytes / UNIT_BYTES).log2()
}
