//! Checks the cases of rules: each is turned into a small trace, and the analyzer must name it with the rule, or with another one.

use std::time::Duration;

use super::analyzer::Embedded;
use super::rule_file::{Case, CaseMessage, RuleEntry, RuleError, RuleFile};
use crate::model::{Document, Message, Span, SpanKind, Status, ToolCall, ToolUse, Trace};
use crate::runtime::Deadline;

/// The result of checking a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCheck {
    /// Rules in the file.
    pub rules: usize,
    /// Cases of these rules.
    pub cases: usize,
    /// A message for each failed case, and for each rule without enough cases.
    pub failures: Vec<String>,
}

/// Runs every case of a user's rule file, with the shipped rules in place.
///
/// # Errors
/// [`RuleError`] if the file is not well-formed.
pub fn check_rules(name: &str, text: &str) -> Result<RuleCheck, RuleError> {
    let analyzer = Embedded::with_rules(&[(name.to_owned(), text.to_owned())])?;
    let file = RuleFile::parse(name, text)?;
    let cases = file.rules.iter().map(|rule| rule.cases.len()).sum();
    let failures = file.rules.iter().flat_map(|rule| failures(&analyzer, rule)).collect();
    Ok(RuleCheck { rules: file.rules.len(), cases, failures })
}

/// The failed cases of a rule.
fn failures(analyzer: &Embedded, rule: &RuleEntry) -> Vec<String> {
    let mut found = Vec::new();
    for wins in [true, false] {
        if rule.cases.iter().all(|case| case.wins != wins) {
            found.push(format!("rule {} has no case with wins = {wins}", rule.id));
        }
    }
    for (number, case) in (1..).zip(&rule.cases) {
        let Ok(explanation) = analyzer.explain_trace(&trace_of(case), Deadline::after(Duration::from_mins(1))) else {
            found.push(format!("rule {} case {number} timed out after 1 minute", rule.id));
            continue;
        };
        if (explanation.rule.as_deref() == Some(rule.id.as_str())) != case.wins {
            let winner = explanation.rule.map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule}"));
            let expected = if case.wins { "should win" } else { "should not win" };
            found.push(format!("rule {} case {number} {expected}, but {winner} won, with the label {}", rule.id, explanation.label));
        }
    }
    found
}

fn trace_of(case: &Case) -> Trace {
    let spans = if case.messages.is_empty() { step_spans(case) } else { dialogue_spans(&case.messages) };
    Trace { trace_id: "case".into(), spans, ..Trace::default() }
}

/// The spans of a step: a successful model call, then the step as often as the case repeats it.
fn step_spans(case: &Case) -> Vec<Span> {
    const TIMES_MAX: usize = 1_000;
    let failed = !case.error_type.is_empty() || !case.message.is_empty();
    let kind = SpanKind::from_word(&case.kind).unwrap_or_default();
    let tool = ToolUse { name: "t".into(), arguments: case.arguments.clone(), result: case.result.clone(), ..ToolUse::default() };
    // A low score, so that a case can show irrelevant documents.
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
        output: output_messages(case),
        tools_offered: case.offered.clone(),
        tool: (kind == SpanKind::Tool).then_some(tool),
        documents: case.documents.as_ref().map(|texts| texts.iter().map(document).collect()),
        input_text: Some(case.query.clone()),
        ..Span::default()
    };
    let model_call = Span {
        span_id: "0".into(),
        output: vec![Message { content: "text".into(), ..Message::default() }],
        kind: SpanKind::Llm,
        ended_at_ns: Some(1),
        ..Span::default()
    };
    let repeated = (1..=case.times.min(TIMES_MAX)).map(|number| Span { span_id: number.to_string(), ..step.clone() });
    std::iter::once(model_call).chain(repeated).collect()
}

fn output_messages(case: &Case) -> Vec<Message> {
    let tool_calls: Vec<ToolCall> = case.calls.iter().map(|name| ToolCall { name: name.clone(), ..ToolCall::default() }).collect();
    let content = case.output.clone().or_else(|| case.calls.is_some().then(String::new));
    content.map(|content| Message { content, tool_calls, ..Message::default() }).into_iter().collect()
}

/// The spans of a dialogue, one for each turn, as the format `chat` produces them.
fn dialogue_spans(messages: &[CaseMessage]) -> Vec<Span> {
    let span = |(index, turn): (usize, &CaseMessage)| {
        let tool_calls = turn.calls.iter().map(|name| ToolCall { name: name.clone(), ..ToolCall::default() }).collect();
        let message = Message { role: turn.speaker.clone(), content: turn.content.clone(), tool_calls, ..Message::default() };
        let time = i64::try_from(index).ok();
        let mut span =
            Span { span_id: index.to_string(), name: turn.speaker.clone(), started_at_ns: time, ended_at_ns: time, ..Span::default() };
        // Anyone who is not a user, the system or a tool is an agent.
        match turn.speaker.as_str() {
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

    use super::super::rules::{FILES, RuleSet};
    use super::*;
    use crate::model::{Label, vocabulary};

    #[test]
    fn every_rule_wins_its_cases_and_no_others() {
        let analyzer = Embedded::new().unwrap_or_else(|error| panic!("{error}"));
        let (mut ids, mut found) = (HashSet::new(), Vec::new());
        for (name, text) in FILES {
            for rule in RuleFile::parse(name, text).unwrap().rules {
                assert!(ids.insert(rule.id.clone()), "the id {} is used twice", rule.id);
                found.extend(failures(&analyzer, &rule));
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn every_factor_of_the_vocabulary_has_a_rule() {
        let covered = RuleSet::shipped().unwrap().labels();
        let verdicts_without_a_rule = [Label::NO_FAILURE_FOUND, Label::INSUFFICIENT_EVIDENCE];
        for (category, factors) in vocabulary() {
            for factor in factors {
                let label = Label::parse(&format!("{category}/{factor}")).unwrap();
                assert!(covered.contains(&label) || verdicts_without_a_rule.contains(&label), "{label}");
            }
        }
    }

    #[test]
    fn a_users_rule_is_added_or_replaces_a_shipped_one() {
        let user_rule = |id: &str| {
            format!(
                "[[rule]]\nid = '{id}'\nlabel = 'environment_error/misconfiguration'\nkinds = ['tool']\ntext = ['too many requests']\nrank = 90\n\
                 confidence = 0.9\ntitle = 'x'\nhypothesis = 'y'\nactions = ['z']\n\
                 [[rule.case]]\nkind = 'tool'\nmessage = 'HTTP 429 Too Many Requests'\nwins = true\n\
                 [[rule.case]]\nkind = 'tool'\nmessage = 'bad luck'\nwins = false\n"
            )
        };
        assert_eq!(check_rules("mine.toml", &user_rule("proxy-limit")).unwrap(), RuleCheck { rules: 1, cases: 2, failures: vec![] });
        assert_eq!(check_rules("mine.toml", &user_rule("tool-rate-limited")).unwrap(), RuleCheck { rules: 1, cases: 2, failures: vec![] });
        // The shipped rule with that id is replaced, even if its rank was higher.
        let replaced = user_rule("tool-rate-limited").replace("rank = 90", "rank = 3");
        let analyzer = Embedded::with_rules(&[("mine.toml".to_owned(), replaced.clone())]).unwrap();
        let case = RuleFile::parse("mine.toml", &replaced).unwrap().rules.remove(0).cases.remove(0);
        let explanation = analyzer.explain_trace(&trace_of(&case), Deadline::after(Duration::from_mins(1))).unwrap();
        assert_eq!(explanation.label.to_string(), "environment_error/misconfiguration");
        let foreign = user_rule("proxy-limit")
            .replace("too many requests", "请求[过太]于?频繁")
            .replace("HTTP 429 Too Many Requests", "请求过于频繁");
        assert_eq!(check_rules("mine.toml", &foreign).unwrap(), RuleCheck { rules: 1, cases: 2, failures: vec![] });
        let wrong = user_rule("proxy-limit").replace("wins = false", "wins = true");
        let failures = check_rules("mine.toml", &wrong).unwrap().failures;
        let expected = "rule proxy-limit case 2 should win, but rule tool-exception won, with the label tool_failure/tool_exception";
        assert_eq!(failures, ["rule proxy-limit has no case with wins = false", expected]);
    }

    #[test]
    fn errors_in_a_users_file_name_the_rule_and_the_value() {
        let error = |text: &str| check_rules("mine.toml", text).unwrap_err().to_string();
        assert!(error("[[rule]]\nid = 'a'\nlable = 'x'\n").contains("unknown key 'lable'"));
        let rule = |more: &str| format!("[[rule]]\nid = 'a'\nconfidence = 0.5\ntitle = 'x'\nhypothesis = 'y'\nactions = ['z']\n{more}");
        assert!(error(&rule("label = 'tool_failure/nonsense'")).contains(&Label::parse("tool_failure/nonsense").unwrap_err().to_string()));
        let expression = error(&rule("label = 'tool_failure/tool_timeout'\ntext = ['(']"));
        assert_eq!(expression, "rule a in mine.toml: invalid expression '(': unclosed group");
        let expression = error("[[signal]]\nid = 's'\nsays = 'x'\nscope = 'any'\ntext = ['(']\n");
        assert_eq!(expression, "signal s in mine.toml: invalid expression '(': unclosed group");
        let dialogue = rule("label = 'tool_failure/tool_timeout'\nincidents = ['dialogue']\nsignals = ['nonsense']");
        assert!(error(&dialogue).contains("rule a in mine.toml: unknown dialogue signal 'nonsense'"));
        let signal = "[[signal]]\nid = 's'\nsays = 'x'\nall = ['team']\ntext = ['y']\n";
        assert!(error(signal).contains("signal s in mine.toml: exactly one of"), "{}", error(signal));
        let incident = rule("label = 'tool_failure/tool_timeout'\nincidents = ['errors']");
        assert!(
            error(&incident).contains("unknown incident 'errors'; expected one of error, finish_reason, refusal,"),
            "{}",
            error(&incident)
        );
    }
}
