//! The cases that stand beside a rule, and the check that each does what it says.

use std::time::Duration;

use serde::Deserialize;

use super::Embedded;
use super::rules::{Entry, File, RuleError};
use crate::model::{Document, Message, Span, SpanKind, Status, ToolCall, ToolUse, Trace};
use crate::runtime::Deadline;

/// A sample that a rule must win, or must not: one step of a run, or a dialogue.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// Kind of the step.
    #[serde(default)]
    kind: String,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    finish_reason: String,
    /// What the model said.
    #[serde(default)]
    output: Option<String>,
    /// Tools that the model was offered.
    #[serde(default)]
    offered: Vec<String>,
    /// The tool that the model calls.
    #[serde(default)]
    calls: Option<String>,
    /// What the tool was given, as JSON.
    #[serde(default)]
    arguments: String,
    /// What the tool answered.
    #[serde(default)]
    result: Option<String>,
    /// What the retriever found.
    #[serde(default)]
    documents: Option<Vec<String>>,
    /// What the retriever was asked.
    #[serde(default)]
    query: String,
    /// How often the step was done.
    #[serde(default = "once")]
    times: usize,
    /// A dialogue instead of a step.
    #[serde(default)]
    messages: Vec<Said>,
    /// Whether the rule names the failure.
    pub(super) wins: bool,
}

/// A turn of a case.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// `user`, `system`, `tool`, or the name of an agent.
    who: String,
    #[serde(default)]
    says: String,
    /// Name of a tool that the agent calls.
    #[serde(default)]
    calls: Option<String>,
}

const fn once() -> usize {
    1
}

/// Whether every rule of a user's file wins the cases that it says and no others; the complaints, none where all is well.
///
/// # Errors
/// [`RuleError`] where the file is not well-formed.
pub(super) fn check(name: &str, text: &str) -> Result<(usize, usize, Vec<String>), RuleError> {
    let analyzer = Embedded::with_rules(&[(name.to_owned(), text.to_owned())])?;
    let file = File::read(name, text)?;
    let cases = file.rule.iter().map(|rule| rule.case.len()).sum();
    let complaints = file.rule.iter().flat_map(|rule| complaints(&analyzer, rule)).collect();
    Ok((file.rule.len(), cases, complaints))
}

/// What is wrong with a rule's cases.
pub(super) fn complaints(analyzer: &Embedded, rule: &Entry) -> Vec<String> {
    let mut found = Vec::new();
    for (wins, what) in [(true, "that it wins"), (false, "that it does not win")] {
        if rule.case.iter().all(|case| case.wins != wins) {
            found.push(format!("rule {} has no case {what}", rule.id));
        }
    }
    for (number, case) in rule.case.iter().enumerate() {
        let Ok(explanation) = analyzer.explanation(&trace_of(case), Deadline::after(Duration::from_mins(1))) else {
            found.push(format!("rule {} case {}: took longer than a minute", rule.id, number + 1));
            continue;
        };
        if (explanation.rule.as_deref() == Some(rule.id.as_str())) != case.wins {
            let instead = explanation.rule.map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule}"));
            let should = if case.wins { "should win" } else { "should not win" };
            found.push(format!("rule {} case {} {should}; {instead} named it {}", rule.id, number + 1, explanation.label));
        }
    }
    found
}

fn trace_of(case: &Case) -> Trace {
    let spans = if case.messages.is_empty() { steps(case) } else { turns(&case.messages) };
    Trace { trace_id: "case".into(), spans, ..Trace::default() }
}

/// The step of a case, after a model call that went well.
fn steps(case: &Case) -> Vec<Span> {
    const TIMES_MAX: usize = 1_000;
    let failed = !case.error_type.is_empty() || !case.message.is_empty();
    let kind = SpanKind::from_word(&case.kind).unwrap_or_default();
    let tool = ToolUse { name: "t".into(), arguments: case.arguments.clone(), result: case.result.clone(), ..ToolUse::default() };
    let document = |text: &String| Document { content: text.clone(), score: Some(0.1), ..Document::default() };
    let step = Span {
        name: "step".into(),
        kind,
        started_at_ns: Some(1),
        ended_at_ns: Some(2),
        status: if failed { Status::Error } else { Status::Ok },
        status_message: (!case.message.is_empty()).then(|| case.message.clone()),
        error_type: (!case.error_type.is_empty()).then(|| case.error_type.clone()),
        finish_reasons: if case.finish_reason.is_empty() { vec![] } else { vec![case.finish_reason.clone()] },
        output: said(case),
        tools_offered: case.offered.clone(),
        tool: (kind == SpanKind::Tool).then_some(tool),
        documents: case.documents.as_ref().map(|texts| texts.iter().map(document).collect()),
        input_text: Some(case.query.clone()),
        ..Span::default()
    };
    let answer = Span {
        span_id: "0".into(),
        output: vec![Message { content: "text".into(), ..Message::default() }],
        kind: SpanKind::Llm,
        ended_at_ns: Some(1),
        ..Span::default()
    };
    let repeated = (1..=case.times.min(TIMES_MAX)).map(|number| Span { span_id: number.to_string(), ..step.clone() });
    std::iter::once(answer).chain(repeated).collect()
}

fn said(case: &Case) -> Vec<Message> {
    let tool_calls: Vec<ToolCall> = case.calls.iter().map(|name| ToolCall { name: name.clone(), ..ToolCall::default() }).collect();
    let content = case.output.clone().or_else(|| case.calls.is_some().then(String::new));
    content.map(|content| Message { content, tool_calls, ..Message::default() }).into_iter().collect()
}

/// A dialogue as the format `chat` makes it: a span for each turn.
fn turns(messages: &[Said]) -> Vec<Span> {
    let span = |(index, said): (usize, &Said)| {
        let calls = said.calls.iter().map(|name| ToolCall { name: name.clone(), ..ToolCall::default() }).collect();
        let message = Message { role: said.who.clone(), content: said.says.clone(), tool_calls: calls, ..Message::default() };
        let at = i64::try_from(index).ok();
        let mut span = Span { span_id: index.to_string(), name: said.who.clone(), started_at_ns: at, ended_at_ns: at, ..Span::default() };
        match said.who.as_str() {
            "tool" => {
                span.kind = SpanKind::Tool;
                span.tool = Some(ToolUse { result: Some(message.content), ..ToolUse::default() });
            }
            "user" | "system" => span.input.push(message),
            _ => {
                span.kind = SpanKind::Llm;
                span.output.push(message);
            }
        }
        span
    };
    messages.iter().enumerate().map(span).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::rules::{Catalogue, FILES};
    use super::*;
    use crate::model::{Label, vocabulary};

    #[test]
    fn every_rule_wins_its_cases_and_no_others() {
        let analyzer = Embedded::new().unwrap_or_else(|error| panic!("{error}"));
        let (mut ids, mut found) = (HashSet::new(), Vec::new());
        for (name, text) in FILES {
            for rule in File::read(name, text).unwrap().rule {
                assert!(ids.insert(rule.id.clone()), "{} stands twice", rule.id);
                found.extend(complaints(&analyzer, &rule));
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn every_factor_of_the_vocabulary_has_a_rule() {
        let covered = Catalogue::shipped().unwrap().labels();
        let verdicts_without_a_rule = [Label::NO_FAILURE_FOUND, Label::INSUFFICIENT_EVIDENCE];
        for (category, factors) in vocabulary() {
            for factor in factors {
                let label = Label::parse(&format!("{category}/{factor}")).unwrap();
                assert!(covered.contains(&label) || verdicts_without_a_rule.contains(&label), "{label}");
            }
        }
    }

    #[test]
    fn a_users_rule_is_added_or_replaces_one() {
        let own = |id: &str| {
            format!(
                "[[rule]]\nid = '{id}'\nlabel = 'environment_error/misconfiguration'\nkinds = ['tool']\ntext = ['too many requests']\nrank = 90\n\
                 confidence = 0.9\ntitle = 'x'\nhypothesis = 'y'\nactions = ['z']\n\
                 [[rule.case]]\nkind = 'tool'\nmessage = 'HTTP 429 Too Many Requests'\nwins = true\n\
                 [[rule.case]]\nkind = 'tool'\nmessage = 'gone'\nwins = false\n"
            )
        };
        assert_eq!(check("mine.toml", &own("proxy-limit")).unwrap(), (1, 2, vec![]));
        assert_eq!(check("mine.toml", &own("tool-rate-limited")).unwrap(), (1, 2, vec![]));
        // The shipped rule of that id is gone, whatever its rank.
        let replaced = own("tool-rate-limited").replace("rank = 90", "rank = 3");
        let analyzer = Embedded::with_rules(&[("mine.toml".to_owned(), replaced.clone())]).unwrap();
        let case = File::read("mine.toml", &replaced).unwrap().rule.remove(0).case.remove(0);
        let explanation = analyzer.explanation(&trace_of(&case), Deadline::after(Duration::from_mins(1))).unwrap();
        assert_eq!(explanation.label.to_string(), "environment_error/misconfiguration");
        let wrong = own("proxy-limit").replace("wins = false", "wins = true");
        let (_, _, complaints) = check("mine.toml", &wrong).unwrap();
        assert!(complaints.iter().any(|complaint| complaint.contains("case 2 should win")), "{complaints:?}");
    }

    #[test]
    fn mistakes_in_a_users_file_are_named() {
        let error = |text: &str| check("mine.toml", text).unwrap_err().to_string();
        assert!(error("[[rule]]\nid = 'a'\nlable = 'x'\n").contains("unknown key 'lable'"));
        let rule = |more: &str| format!("[[rule]]\nid = 'a'\nconfidence = 0.5\ntitle = 'x'\nhypothesis = 'y'\nactions = ['z']\n{more}");
        assert!(error(&rule("label = 'tool_failure/nonsense'")).contains("\"tool_failure/nonsense\" is no category"));
        assert!(error(&rule("label = 'tool_failure/tool_timeout'\ntext = ['(']")).contains("rule a in mine.toml: \"(\" is no expression"));
        let dialogue = rule("label = 'tool_failure/tool_timeout'\nincidents = ['dialogue']\nsignals = ['nonsense']");
        assert!(error(&dialogue).contains("\"nonsense\" is no signal"));
        let signal = "[[signal]]\nid = 's'\nsays = 'x'\nall = ['team']\ntext = ['y']\n";
        assert!(error(signal).contains("signal s in mine.toml: exactly one of"), "{}", error(signal));
    }
}
