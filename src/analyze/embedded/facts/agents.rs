//! The names of agents, and those that had done their work before the one in which a step failed.

use super::find::listed;
use super::names::fact_names;
use super::{Case, Extractor, Facts, Place, display_name};
use crate::model::{Span, SpanKind};

fact_names! {
    AGENTS_SUCCEEDED = "agents_succeeded", Text, "the agents that had finished without an error before";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Agents that are listed.
const AGENTS_MAX: usize = 3;

/// Attributes with the name of an agent, in the order of preference. `CrewAI` calls it the role.
const NAME_KEYS: [&str; 7] =
    ["gen_ai.agent.name", "crewai.agent.role", "agent.name", "agent_role", "crewai.agent.name", "graph.node.name", "langgraph_node"];

/// What instrumentations write before and after the name of an agent.
const PREFIXES: [&str; 6] = ["invoke_agent ", "Agent run: ", "agent run: ", "agent run ", "Agent: ", "agent."];
const SUFFIXES: [&str; 5] = ["._execute_core", ".execute_task", ".agent", ".task", ".workflow"];

/// Whether the name of a span is that of an operation: `FunctionAgent.run`, `ai.generateText`, `POST /api/chat`.
fn is_operation(name: &str) -> bool {
    const WORDS: [&str; 17] = [
        "agent",
        "agent run",
        "agents",
        "agentexecutor",
        "assistant",
        "chat",
        "chat_session",
        "defaultagent",
        "invoke_agent",
        "langgraph",
        "request",
        "root",
        "run",
        "session",
        "trace",
        "turn",
        "workflow",
    ];
    const ENDS: [&str; 8] = [".run", ".arun", ".invoke", ".ainvoke", ".kickoff", ".execute", ".step", ".stream"];
    let name = name.to_ascii_lowercase();
    WORDS.contains(&name.as_str()) || ENDS.iter().any(|end| name.ends_with(end)) || name.starts_with("ai.") || name.contains('/')
}

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(root) = case.root else { return };
    let ancestors = case.tree.self_and_ancestors(root.index).filter_map(|index| case.trace.spans.get(index));
    let Some(agent) = ancestors.into_iter().find(|span| span.kind == SpanKind::Agent) else { return };
    let Some((name, _)) = name_of(agent) else { return };
    let Some(failed_at) = root.span.started_at_ns else { return };
    let has_finished = |span: &&Span| {
        span.kind == SpanKind::Agent
            && !span.failed()
            && !std::ptr::eq(*span, agent)
            && span.ended_at_ns.is_some_and(|end| end <= failed_at)
    };
    let others: Vec<String> = case.trace.spans.iter().filter(has_finished).filter_map(|span| Some(name_of(span)?.0)).collect();
    let others = listed(others.iter().map(String::as_str).filter(|other| *other != name), AGENTS_MAX);
    if !others.is_empty() {
        facts.add(&AGENTS_SUCCEEDED, others, Place::Trace);
    }
}

/// The name of an agent with the field that has it: an attribute, or the name of its span without the operation.
pub(super) fn name_of(span: &Span) -> Option<(String, Option<String>)> {
    let is_name = |text: &str| !text.is_empty() && text.len() <= 80 && !text.contains(['\n', '{']);
    for key in NAME_KEYS {
        if let Some(name) = span.attribute(key).map(str::trim).filter(|name| is_name(name)) {
            return Some((name.to_owned(), Some(format!("attributes.{key}"))));
        }
    }
    let shown = display_name(span);
    let name = PREFIXES.iter().find_map(|prefix| shown.strip_prefix(prefix)).unwrap_or(&shown);
    let name = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name).trim();
    (is_name(name) && !is_operation(name)).then(|| (name.to_owned(), span.name.contains(name).then(|| "name".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Attribute, Label, Status, Trace};

    #[test]
    fn agents_are_named_by_their_role_or_span() {
        let attribute = |key: &str, value: &str| Attribute { key: key.into(), value: value.into() };
        for (name, attributes, expected) in [
            ("Content Writer", vec![], Some("Content Writer")),
            ("invoke_agent reviewer", vec![], Some("reviewer")),
            ("invoke_agent", vec![attribute("gen_ai.agent.name", "reviewer")], Some("reviewer")),
            ("Agent.execute_task", vec![attribute("crewai.agent.role", "Researcher")], Some("Researcher")),
            ("Payroll specialist._execute_core", vec![], Some("Payroll specialist")),
            ("support_agent.agent", vec![], Some("support_agent")),
            ("Agent run: Sre assistant", vec![], Some("Sre assistant")),
            ("FunctionAgent.run", vec![], None),
            ("ai.generateText", vec![], None),
            ("POST /api/chat", vec![], None),
            ("agent run", vec![], None),
            ("LangGraph", vec![], None),
            ("", vec![], None),
        ] {
            let span = Span { name: name.into(), attributes, ..Span::default() };
            assert_eq!(name_of(&span).map(|(name, _)| name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_agent_around_the_failure_and_those_before_it_are_told_apart() {
        let span = |id: &str, parent: Option<&str>, name: &str, kind, at: i64, status| Span {
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            name: name.into(),
            kind,
            status,
            started_at_ns: Some(at),
            ended_at_ns: Some(at + 9),
            ..Span::default()
        };
        let trace = Trace {
            spans: vec![
                Span { ended_at_ns: Some(99), ..span("1", None, "crew", SpanKind::Chain, 0, Status::Error) },
                span("2", Some("1"), "Researcher", SpanKind::Agent, 10, Status::Ok),
                span("3", Some("1"), "Editor", SpanKind::Agent, 20, Status::Error),
                Span { ended_at_ns: Some(60), ..span("4", Some("1"), "Writer", SpanKind::Agent, 30, Status::Error) },
                span("5", Some("4"), "chat", SpanKind::Llm, 40, Status::Error),
            ],
            ..Trace::default()
        };
        let (tree, root) = (SpanTree::new(&trace), Incident::new(&trace, 4, IncidentKind::Error).unwrap());
        let label = Label::parse("output_format/empty_output").unwrap();
        let mut facts = Facts::default();
        add(&Case::new(&trace, &tree, &[], Some(&root), label), &mut facts);
        assert_eq!(facts.get(&AGENTS_SUCCEEDED), Some("Researcher"));
    }
}
