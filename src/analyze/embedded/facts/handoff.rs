//! Facts of a handoff between agents: from whom, to whom, and which agents exist.

use std::collections::BTreeSet;

use super::super::byte_regex::ByteRegex;
use super::call::{RecordedCall, spans_before};
use super::find::{add_from_messages, capture, expressions, listed};
use super::names::{FactName, fact_names};
use super::texts::head;
use super::tool_offer::nearest;
use super::{Case, Extractor, Facts, Place, display_name, shortened};
use crate::model::{SpanKind, last_segment};

fact_names! {
    TO_AGENT = "to_agent", Text, "the agent to which the task was handed over";
    FROM_AGENT = "from_agent", Text, "the agent that handed over the task";
    KNOWN_AGENTS = "known_agents", Text, "the agents of the run";
    OFFERED_AGENTS = "offered_agents", Text, "the agents that the message lists";
    AGENTS_IN_PROMPT = "agents_in_prompt", Text, "the agents that the prompt or the tools of the model offer";
    NEAREST_AGENT = "nearest_agent", Text, "the agent that exists with the most similar name";
    HANDOFF_TOOL = "handoff_tool", Text, "the tool that hands over";
    HANDOFF_TASK = "handoff_task", Text, "the task that was to be handed over";
    HANDOFF_ERROR = "handoff_error", Text, "the message about the handoff";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

const NAMES_IN_TEXT: &[(&FactName, &ByteRegex)] = &[(&TO_AGENT, &TO), (&FROM_AGENT, &FROM), (&OFFERED_AGENTS, &OFFERED)];

expressions! {
    IN_PROMPT = r#"(?i)\bagent(?: name)?: ['"`]?([a-z][\w.\-]{1,59})|^\s{0,8}(?:[-*•]|\d{1,2}[.)])\s{1,3}[`*"']{0,3}([a-z][a-z0-9]*(?:[_-][a-z0-9]+)*[_-]agent)\b"#;
    TO =
        r#"(?i)\bhand-?(?:ing |ed )?(?:off|over)(?: to)?(?: the)?(?: agent)? ['"`]([^'"`\n]+)['"`]|\b(?:transfer|delegat\w{1,4}|handoff|hand-off|route|routed|handed (?:off|over))(?:red|ring)?(?: \w{1,12})? to(?: the)?(?: agent| coworker)? ['"`]?([\w.\-]+)"#,
        r#"|\b(?:agent|speaker|coworker|node)(?: name)?:? ['"`]([^'"`\n]+)['"`] (?:was |is |does )?(?:not (?:found|exist|registered|known|defined|available)|unknown|missing)"#,
        r#"|\b(?:unknown|no such|no|invalid|missing|unregistered|nonexistent) (?:agent|speaker|coworker|node)(?: name)?(?: named| called| with name)?:? ['"`]?([\w.\-]+)|\bagent ([\w.\-]+) (?:was |is |does )?not (?:found|exist|registered|known)"#,
        r#"|\b(?:target|next)[_ ](?:agent|speaker)(?: name)? ?[:=] ?['"`]?([\w.\-]{2,})|\bhandoff target ['"`]?([\w.\-]{2,60})['"`]? (?:is|was) not|\bagent type ['"`]([^'"`\n]{1,60})['"`] not found|\bmember (?:with (?:id|name) )?['"`]?([\w.\-]{2,60})['"`]? (?:was )?not found|\bunknown (?:node|target)(?: name)?:? ['"`]([^'"`\n]{1,60})"#;
    FROM = r#"(?i)\b(?:hand-?off|transfer|delegation|handover) from(?: the)?(?: agent)? ['"`]?([\w.\-]+)|\b(?:source|from|current)[_ ]agent[ :='"`]{1,4}([\w.\-]+)|^(?:agent )?['"`]([^'"`\n]+)['"`] (?:tried to|could not|cannot|failed to) (?:hand|transfer|delegate)"#;
    OFFERED = r#"(?i)\b(?:available|known|registered|valid|existing|allowed|possible)(?: (?:agents|coworkers|speakers|options|names|targets))?(?: are| include)?:? ?[\[({]?((?:['"`]?[\w.\-]+['"`]?, ?){1,12}(?:and )?['"`]?[\w.\-]+['"`]?)"#;
}

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    const AGENTS_MAX: usize = 6;
    if !case.is(&["handoff_failed"]) {
        return;
    }
    add_from_messages(case, facts, NAMES_IN_TEXT);
    add_call(case, facts);
    for (field, text) in case.messages() {
        if let (Some(names), Some(span)) = (listed_below(text), case.span()) {
            facts.add(&OFFERED_AGENTS, names, Place::Span(span));
        }
        let line = text.lines().map(str::trim).find(|line| line.contains(char::is_alphanumeric));
        if let (Some(line), Some(span)) = (line, case.span()) {
            facts.add(&HANDOFF_ERROR, shortened(line.trim_end_matches([':', '.', ',']), ERROR_CHARS_MAX), Place::Field(span, field));
        }
    }
    // The agent around the failed step, and all that have a span.
    let ancestors = case.root.into_iter().flat_map(|root| case.tree.self_and_ancestors(root.index));
    let around =
        ancestors.filter_map(|index| case.trace.spans.get(index)).find(|span| span.kind == SpanKind::Agent && !span.name.is_empty());
    if let Some(agent) = around {
        let name = display_name(agent);
        let name = agent_name(&name);
        if facts.get(&TO_AGENT) != Some(name) {
            facts.add(&FROM_AGENT, name, Place::Field(agent, "name"));
        }
    }
    add_offered(case, facts);
    // An agent that is only the one that failed to hand over says nothing about those that exist.
    if facts.has(&OFFERED_AGENTS) || facts.has(&AGENTS_IN_PROMPT) {
        return;
    }
    let names: BTreeSet<&str> =
        case.trace.spans.iter().filter(|span| span.kind == SpanKind::Agent).map(|span| agent_name(&span.name)).collect();
    if names.len() > 1 {
        facts.add(&KNOWN_AGENTS, listed(names, AGENTS_MAX), Place::Trace);
    }
}

/// The agents that the model could hand over to: by the prompt, by the tools for handing over, or by the message; and the most similar one.
fn add_offered(case: &Case<'_, '_>, facts: &mut Facts) {
    const AGENTS_MAX: usize = 40;
    const SPANS_READ_MAX: usize = 200;
    const PROMPT_BYTES_MAX: usize = 64 * 1024;
    const TOOLS: [&str; 6] = ["transfer_to_", "handoff_to_", "hand_off_to_", "delegate_to_", "route_to_", "transfer_back_to_"];
    let Some(target) = facts.get(&TO_AGENT).map(str::to_owned) else { return };
    let is_offered = |names: &[&str]| names.contains(&target.as_str());
    // The call that handed over was written by a model call before, or is the failed one itself.
    let calls = case.span().into_iter().chain(spans_before(case).rev()).filter(|span| matches!(span.kind, SpanKind::Llm | SpanKind::Agent));
    for span in calls.take(SPANS_READ_MAX) {
        let mut names: Vec<&str> = Vec::new();
        let is_name = |name: &str| !name.is_empty() && name.len() <= 60;
        for message in span.input.iter().filter(|message| message.role == "system") {
            let prompt = head(&message.content, PROMPT_BYTES_MAX);
            names.extend(prompt.lines().filter_map(|line| capture(&IN_PROMPT, line)).filter(|name| is_name(name)).take(AGENTS_MAX));
        }
        let of_tools = span.tools_offered.iter().filter_map(|tool| TOOLS.iter().find_map(|start| tool.strip_prefix(start)));
        names.extend(of_tools.filter(|name| *name != "agent" && is_name(name)).take(AGENTS_MAX));
        names.dedup();
        if names.is_empty() || is_offered(&names) {
            continue;
        }
        facts.add(&AGENTS_IN_PROMPT, listed(names.iter().copied(), 6), Place::Span(span));
        if let Some(nearest) = nearest(&target, &names) {
            facts.add(&NEAREST_AGENT, nearest, Place::Span(span));
        }
        return;
    }
    let Some(span) = case.span() else { return };
    let listing = facts.get(&OFFERED_AGENTS).map(str::to_owned).unwrap_or_default();
    let names: Vec<&str> =
        listing.split([',', ' ']).map(|name| name.trim_matches(['"', '\'', '`', '.'])).filter(|name| name.len() > 2).collect();
    if let Some(nearest) = nearest(&target, &names).filter(|nearest| *nearest != target) {
        facts.add(&NEAREST_AGENT, nearest, Place::Span(span));
    }
}

/// The name of an agent without what instrumentations add to it: `Writer.agent`, `invoke_agent writer`, `crew.agents.writer`.
fn agent_name(span: &str) -> &str {
    let name = span.strip_suffix(".agent").or_else(|| span.strip_suffix("._execute_core")).unwrap_or(span);
    let name = name.strip_prefix("invoke_agent ").unwrap_or(name);
    if name.contains(' ') { name } else { last_segment(name) }
}

/// Characters of a message about a handoff.
const ERROR_CHARS_MAX: usize = 140;

/// The call by which an agent handed over: its tool, the agent that it names, and the task.
fn add_call(case: &Case<'_, '_>, facts: &mut Facts) {
    const TARGETS: [&str; 14] = [
        "coworker",
        "co_worker",
        "agent",
        "agent_name",
        "agentName",
        "target",
        "target_agent",
        "to_agent",
        "handoff_to",
        "recipient",
        "assignee",
        "member_id",
        "subagent_type",
        "next_agent",
    ];
    const TASKS: [&str; 8] = ["task", "task_description", "question", "message", "instructions", "description", "prompt", "reason"];
    let Some(call) = RecordedCall::of(case) else { return };
    if !call.name.is_empty() {
        facts.add(&HANDOFF_TOOL, call.name, Place::Span(call.span));
    }
    let Some(arguments) = call.json() else { return };
    let text_of = |names: &[&str]| names.iter().find_map(|name| arguments.get(*name)?.as_str()).filter(|text| !text.trim().is_empty());
    if let Some(target) = text_of(&TARGETS) {
        facts.add(&TO_AGENT, shortened(target, 60), Place::Span(call.span));
    }
    if let Some(task) = text_of(&TASKS) {
        facts.add(&HANDOFF_TASK, shortened(task, 100), Place::Span(call.span));
    }
}

/// The names that a message lists line by line after a colon, as `CrewAI` does: `options:\n- researcher\n- writer`.
fn listed_below(text: &str) -> Option<String> {
    const NAMES_MAX: usize = 8;
    let (_, list) = text.split_once(":\n")?;
    let names = list.lines().map(str::trim).take_while(|line| line.starts_with(['-', '*', '•']));
    let names: Vec<&str> =
        names.map(|line| line.trim_start_matches(['-', '*', '•', ' '])).filter(|name| !name.is_empty()).take(NAMES_MAX).collect();
    (!names.is_empty()).then(|| shortened(&names.join(", "), 120))
}

#[cfg(test)]
mod tests {
    use super::super::find::{bare, capture};
    use super::*;

    #[test]
    fn agents_are_named() {
        for (text, expression, expected) in [
            ("handoff to 'billing_agent' failed: agent not registered", &TO, Some("billing_agent")),
            ("Transfer to refunds failed", &TO, Some("refunds")),
            ("Agent 'triage' not found", &TO, Some("triage")),
            ("agent billing_agent is not registered", &TO, Some("billing_agent")),
            ("Unknown agent: researcher", &TO, Some("researcher")),
            ("delegation to coworker 'Writer' failed", &TO, Some("Writer")),
            ("No agent named writer_agent", &TO, Some("writer_agent")),
            ("next_speaker='critic' is invalid", &TO, Some("critic")),
            ("The handoff target billing is not one of the participants ['triage', 'refunds']", &TO, Some("billing")),
            ("Agent type 'auditor' not found. Available agents: general-purpose, reviewer", &TO, Some("auditor")),
            ("Member with ID pricing not found in the team", &TO, Some("pricing")),
            ("Agent billing not found. Select a valid agent to hand off to. Valid agents: triage, refunds", &TO, Some("billing")),
            ("the agent answered", &TO, None),
            ("failed to resolve the next speaker's name: no match", &TO, None),
            ("handoff from triage_agent to 'billing' was refused", &FROM, Some("triage_agent")),
            ("Available agents: triage, refunds, sales", &OFFERED, Some("triage, refunds, sales")),
            ("all agents are busy", &OFFERED, None),
        ] {
            assert_eq!(capture(expression, text).map(bare), expected, "{text}");
        }
        let crew =
            "Error executing tool. coworker mentioned not found, it must be one of the following options:\n- market researcher\n- writer\n";
        assert_eq!(listed_below(crew).as_deref(), Some("market researcher, writer"));
        assert_eq!(listed_below("Error: none"), None);
    }
}
