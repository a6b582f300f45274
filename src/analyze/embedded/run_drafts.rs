//! Writes the verdicts about a run as a whole: a dialogue that failed or may have failed, and a healthy run.

use std::fmt::Write;
use std::ops::Range;

use super::confidence;
use super::dialogue::{Dialogue, SignalMatches, SignalSet};
use super::drafts::{base_draft, push_excerpt, trace_signal, with_annotations};
use super::facts::{Facts, chain, dialogue, display_name, run, shortened};
use super::incident::Incident;
use super::verdict::SuspectedFailure;
use super::wording::{NAME_CHARS_MAX, TITLE_CHARS_MAX, and_list, counted, filled, filled_actions, shown, shown_duration};
use crate::limits::EVIDENCE_ITEMS_MAX;
use crate::model::{Draft, Evidence, Label, Span, SpanKind, Trace, excerpt_around, last_segment};

/// Dialogue signals that a pattern names.
const DIALOGUE_SIGNALS_MAX: usize = 4;

/// A dialogue with the signals that were searched in it.
#[derive(Clone, Copy)]
pub(super) struct ReadDialogue<'r, 't> {
    pub(super) trace: &'t Trace,
    pub(super) dialogue: &'r Dialogue<'t>,
    pub(super) signals: &'r SignalSet,
    pub(super) matches: &'r SignalMatches,
}

impl ReadDialogue<'_, '_> {
    /// The turn that shows the first of these signals that has words, and the range of the words.
    pub(super) fn quoted(&self, failure: &SuspectedFailure<'_>) -> Option<(usize, Option<Range<usize>>)> {
        let mut found = self.named(failure).into_iter().filter_map(|signal| {
            let found = self.matches.get(signal)?;
            Some((found.turn, self.signals.matched_range(found, self.dialogue.turns.get(found.turn)?)))
        });
        found.find(|(_, range)| range.is_some())
    }

    /// The signals that a pattern names: those of a problem, or if there is none, those that only describe the kind of run.
    fn named(&self, failure: &SuspectedFailure<'_>) -> Vec<usize> {
        let (background, mut named): (Vec<usize>, Vec<usize>) =
            failure.signals.iter().copied().partition(|signal| self.signals.is_background(*signal));
        if named.is_empty() {
            named = background;
        }
        named.truncate(DIALOGUE_SIGNALS_MAX);
        named
    }

    /// What the signals say, with the turns that show them.
    fn descriptions(&self, named: &[usize]) -> String {
        let total = self.dialogue.turns.len();
        let described = named.iter().map(|signal| {
            let says = self.signals.description(*signal);
            let turn = self
                .matches
                .get(*signal)
                .filter(|found| self.dialogue.turns.get(found.turn).is_some_and(|turn| self.signals.matched_range(*found, turn).is_some()));
            turn.map_or_else(|| says.to_owned(), |found| format!("{says} (turn {} of {total})", found.turn + 1))
        });
        described.collect::<Vec<_>>().join("; ")
    }

    /// The span of the turn that shows the first signal.
    fn first_span(&self, named: &[usize]) -> Option<&Span> {
        let found = self.matches.get(*named.first()?)?;
        self.trace.spans.get(self.dialogue.turns.get(found.turn)?.span)
    }

    /// Each signal with its turn, followed by an excerpt of what matched.
    fn evidence(&self, named: &[usize]) -> Vec<Evidence> {
        let mut evidence = Vec::new();
        for signal in named {
            let turn = self.matches.get(*signal).and_then(|found| Some((found, self.dialogue.turns.get(found.turn)?)));
            let Some((found, turn)) = turn else { continue };
            let span = self.trace.spans.get(turn.span);
            let field = turn.field.to_string();
            evidence.push(Evidence {
                span_id: span.map(|span| span.span_id.clone()),
                field: Some(field.clone()),
                ..trace_signal(self.signals.id(*signal).to_owned())
            });
            let excerpt = self.signals.matched_range(found, turn).map(|focus| excerpt_around(turn.text, focus)).unwrap_or_default();
            push_excerpt(&mut evidence, span, field, excerpt);
        }
        with_annotations(evidence, self.trace)
    }
}

/// The draft for a failure that only the dialogue states.
pub(super) fn failed_dialogue(read: ReadDialogue<'_, '_>, failure: &SuspectedFailure<'_>, facts: &Facts) -> Draft {
    let rule = failure.rule;
    let named = read.named(failure);
    Draft {
        title: shortened(&filled(&rule.title, facts), TITLE_CHARS_MAX),
        label: rule.label,
        summary: format!(
            "No step of the agent run reported a failure. {} Indicators of a failure: {}.",
            outline(facts),
            read.descriptions(&named)
        ),
        root_cause_hypothesis: with_quote(&filled(&rule.hypothesis, facts), "shows it", facts),
        evidence: read.evidence(&named),
        actions: filled_actions(rule, facts),
        confidence_rationale: format!("Rule {} matched the dialogue: {}. No step reported an error.", rule.id, read.descriptions(&named)),
        ..base_draft(read.trace, rule.label, read.first_span(&named), None)
    }
}

/// The draft for a dialogue that raises a suspicion. The suspected label is a signal: `suspected=hallucination/fabricated_fact`.
pub(super) fn suspected_dialogue(read: ReadDialogue<'_, '_>, failure: &SuspectedFailure<'_>, facts: &Facts) -> Draft {
    let rule = failure.rule;
    let label = Label::INSUFFICIENT_EVIDENCE;
    let suspected = rule.label.to_string();
    let named = read.named(failure);
    let reason = read.descriptions(named.get(..1).unwrap_or_default());
    let reason = if reason.is_empty() { "the dialogue is unusual" } else { &reason };
    let mut evidence = vec![trace_signal(format!("suspected={suspected}"))];
    evidence.extend(read.evidence(&named));
    evidence.truncate(EVIDENCE_ITEMS_MAX);
    let place = facts.get(&dialogue::QUOTED_TURN).zip(facts.get(&dialogue::TURNS)).map(|(turn, turns)| format!("turn {turn} of {turns}"));
    let compare = place.as_ref().map_or_else(
        || "Compare the outcome with the request".to_owned(),
        |place| format!("Compare the outcome with the request, starting at {place}"),
    );
    let task = shown(facts, &dialogue::TASK).map(|task| format!(" (\"{}\")", without_period(&task))).unwrap_or_default();
    let mut actions = vec![format!("{compare}{task}.")];
    actions.extend(filled_actions(rule, facts).into_iter().take(2).map(|action| format!("If the run failed: {}", decapitalized(&action))));
    actions.push("Run failsift with `--analyzer gemini` or `--analyzer openai` to have a model judge the dialogue.".into());
    Draft {
        title: shortened(&format!("The agent run may have failed: {reason}"), TITLE_CHARS_MAX),
        label,
        summary: format!(
            "No step of the agent run reported a failure, and the words of the dialogue do not show whether it succeeded. {} What raised \
             suspicion: {}. If the run failed, {suspected} is the most likely label.",
            outline(facts),
            read.descriptions(&named)
        ),
        root_cause_hypothesis: with_quote(
            &format!("If the run failed: {}", decapitalized(&filled(&rule.hypothesis, facts))),
            "raised the suspicion",
            facts,
        ),
        evidence,
        actions,
        confidence_rationale: format!(
            "The confidence is that of the suspected label: rule {} ranked first, because {}. On runs of another kind, such signals do not \
             tell failed runs from successful ones.",
            rule.id,
            read.descriptions(&named)
        ),
        ..base_draft(read.trace, label, read.first_span(&named), Some(&suspected))
    }
}

/// A sentence about the run: `The run has 40 turns of Planner and Coder, and 12 calls of search and run_code.`
fn outline(facts: &Facts) -> String {
    // The role of every agent, or the name that a framework gives the span of any run.
    const GENERAL: [&str; 9] = ["assistant", "user and assistant", "run", "agent", "agent run", "chat", "main", "root", "model"];
    let turns = counted(facts.get(&dialogue::TURNS).unwrap_or("0"), "turn");
    let agents = shown(facts, &dialogue::AGENTS).filter(|agents| !GENERAL.contains(&agents.as_str()));
    let speakers = agents.map(|agents| format!(" of {agents}")).unwrap_or_default();
    let calls = facts.get(&dialogue::CALLS).zip(facts.get(&dialogue::TOOLS));
    let calls = calls.map(|(calls, tools)| format!(", with {} ({tools})", counted(calls, "tool call"))).unwrap_or_default();
    format!("The run has {turns}{speakers}{calls}.")
}

/// The hypothesis with the turn that suggests it.
fn with_quote(hypothesis: &str, what_it_does: &str, facts: &Facts) -> String {
    let quote = facts.get(&dialogue::QUOTED_TEXT).zip(facts.get(&dialogue::QUOTED_SPEAKER)).zip(facts.get(&dialogue::QUOTED_TURN));
    let Some(((text, speaker), turn)) = quote else { return format!("{hypothesis} {}", outline(facts)) };
    let turns = facts.get(&dialogue::TURNS).unwrap_or(turn);
    let words = without_period(text);
    // A rule may name the turn itself.
    if hypothesis.contains(&format!("turn {turn}")) {
        return format!("{hypothesis} There, {speaker} says: \"{words}\".");
    }
    format!("{hypothesis} Turn {turn} of {turns} {what_it_does}; {speaker} says: \"{words}\".")
}

fn without_period(text: &str) -> &str {
    text.trim_end().trim_end_matches('.')
}

/// A sentence as a clause after a colon.
fn decapitalized(sentence: &str) -> String {
    let first = sentence.split_whitespace().next().unwrap_or_default();
    // Names and acronyms keep their capitals.
    let is_plain = first.chars().skip(1).all(char::is_lowercase);
    let mut chars = sentence.chars();
    if is_plain { chars.next().into_iter().flat_map(char::to_lowercase).chain(chars).collect() } else { sentence.to_owned() }
}

/// The draft for a trace in which no failure was found. `basis` are the facts on which the confidence depends.
pub(super) fn no_failure(trace: &Trace, incidents: &[Incident<'_>], basis: &confidence::Facts, facts: &Facts) -> Draft {
    let recovered = chain::recovered_before(incidents, i64::MAX).len();
    let label = Label::NO_FAILURE_FOUND;
    let mut signals = vec!["unrecovered_failures=0".to_owned(), format!("spans_checked={}", trace.spans.len())];
    if recovered > 0 {
        signals.push(format!("failures_recovered={recovered}"));
    }
    let checked = checked_steps(trace, facts);
    let duration = shown_duration(facts, &run::TRACE_DURATION).map(|duration| format!(" in {duration}")).unwrap_or_default();
    let first = shown(facts, &chain::FIRST_RECOVERED_SPAN).map(|name| format!("{:?}", shortened(&name, NAME_CHARS_MAX)));
    let kinds = shown(facts, &chain::RECOVERED_ERRORS).map(|kinds| format!(": {kinds}")).unwrap_or_default();
    let mut summary = match recovered {
        0 => format!("None of {checked}{duration} failed, was refused, truncated, blocked or left empty."),
        1 => format!(
            "Of {checked}{duration}, 1 step failed{}, and a later step did its work.",
            first.as_ref().map(|name| format!(" ({name}{kinds})")).unwrap_or_default()
        ),
        _ => format!(
            "Of {checked}{duration}, {recovered} steps failed{}, and later steps did their work.",
            first.as_ref().map(|name| format!(" (first {name}{kinds})")).unwrap_or_default()
        ),
    };
    let pause = pause_of(trace);
    let answer = pause.clone().unwrap_or_else(|| answer_sentence(basis, facts));
    let _ = write!(summary, " {answer}");
    // A model call that another one repeated needs no check.
    let failed_tool = chain::recovered_before(incidents, i64::MAX)
        .into_iter()
        .find(|incident| incident.span_kind() == SpanKind::Tool)
        .map(|incident| incident.tool.clone().unwrap_or_else(|| display_name(incident.span).into_owned()))
        .map(|name| format!("{:?}", shortened(&name, NAME_CHARS_MAX)));
    let rating = trace.spans.iter().flat_map(|span| &span.annotations).find(|annotation| annotation.is_negative());
    if let Some(rating) = rating {
        let rating = shortened(&rating.to_string(), NAME_CHARS_MAX);
        let _ = write!(summary, " The agent run was nevertheless rated negatively ({rating}).");
    }
    let check = if pause.is_some() {
        "Check whether the run was resumed: it waits for a decision.".to_owned()
    } else if basis.contains_key("answer_not_backed") {
        "Check the final answer: its numbers are in no tool result, document or prompt of the trace.".to_owned()
    } else if let Some(name) = failed_tool {
        format!("Check in the final answer that the work of {name} was done after its failure.")
    } else if rating.is_some() {
        "Read the run: it was rated negatively although no step failed.".to_owned()
    } else if basis.contains_key("no_answer") || basis.contains_key("nothing_read") {
        "Record the final answer, so that it can be checked.".to_owned()
    } else {
        "No action needed.".to_owned()
    };
    let which = if incidents.is_empty() { "any step" } else { "an unrecovered step" };
    Draft {
        title: format!("No failure found in {checked}"),
        label,
        summary,
        root_cause_hypothesis: "Errors that only a reader can judge, such as a wrong fact in a fluent answer, are not covered.".to_owned(),
        evidence: with_annotations(signals.into_iter().map(trace_signal).collect(), trace),
        actions: vec![check],
        confidence_rationale: format!("No rule matched {which} of {checked}."),
        ..base_draft(trace, label, None, None)
    }
}

/// A run that stopped to wait for a person, as LangGraph and others record it: an exception that is no failure.
fn pause_of(trace: &Trace) -> Option<String> {
    const INTERRUPTS: [&str; 4] = ["GraphInterrupt", "NodeInterrupt", "HumanInterrupt", "WorkflowInterrupted"];
    let is_interrupt = |span: &&Span| {
        let types = span.exceptions.iter().map(|exception| exception.kind.as_str()).chain(span.error_type.as_deref());
        types.map(last_segment).any(|kind| INTERRUPTS.contains(&kind))
            || span.status_message.as_deref().is_some_and(|message| INTERRUPTS.iter().any(|kind| message.starts_with(kind)))
    };
    let last = trace.spans.last()?;
    let paused = trace.spans.iter().rev().find(is_interrupt)?;
    // A run that was resumed went on after the pause.
    let is_resumed = paused.ended_at_ns.zip(last.started_at_ns).is_some_and(|(paused, last)| last > paused);
    let name = shortened(&display_name(paused), NAME_CHARS_MAX);
    (!is_resumed).then(|| format!("The run paused in {name:?} to wait for a person."))
}

/// `5 model calls, 4 tool calls and 1 search`, or the number of spans.
fn checked_steps(trace: &Trace, facts: &Facts) -> String {
    let kinds = [(&run::MODEL_CALLS, "model call"), (&run::TOOL_CALLS, "tool call"), (&run::SEARCHES, "search")];
    let counts: Vec<String> = kinds.iter().filter_map(|(name, noun)| Some(counted(facts.get(name)?, noun))).collect();
    if counts.is_empty() { counted(&trace.spans.len().to_string(), "span") } else { and_list(&counts) }
}

fn answer_sentence(basis: &confidence::Facts, facts: &Facts) -> String {
    let quote = facts.get(&run::FINAL_ANSWER).map(|answer| format!(" \"{}\"", without_period(answer))).unwrap_or_default();
    match () {
        () if basis.contains_key("nothing_read") => "Neither an answer nor a tool result was recorded.".to_owned(),
        () if basis.contains_key("no_answer") => "The trace has no final answer.".to_owned(),
        () if basis.contains_key("answer_not_backed") => {
            format!("The numbers of the final answer{quote} are in no tool result, document or prompt of the trace.")
        }
        () if quote.is_empty() => "The run ended with an answer.".to_owned(),
        () => format!("The final answer begins{quote}."),
    }
}
