//! Which of several failed commands a coding agent failed by. Its run contains errors that are part of the work, such as the failing test that it was asked to
//! mend. A command that was run again counts by its last result, and the closing message says which error remained.

use std::collections::HashSet;

use super::answers;
use super::diagnosis::Diagnosis;
use super::incident::{Incident, IncidentKind};
use super::shell_command::ShellCommand;
use super::text::clip;
use super::tool_nature::ToolNature;
use super::tree::SpanTree;
use crate::model::{SpanKind, Trace};

type Candidate<'i, 't, 'c> = (&'i Incident<'t>, Diagnosis<'c>);

/// Commands that are compared with each other.
const COMMANDS_MAX: usize = 100;

/// Drops failed commands that were run again and failed with other words: what they failed by at first was mended.
pub(super) fn drop_repeated_commands(candidates: &mut Vec<Candidate<'_, '_, '_>>) {
    let commands: Vec<&Incident<'_>> =
        candidates.iter().map(|(incident, _)| *incident).filter(|incident| is_command(incident)).take(COMMANDS_MAX).collect();
    let is_mended = |incident: &Incident<'_>| {
        let again = |later: &&&Incident<'_>| {
            later.at_ns > incident.at_ns && ShellCommand::is_run_again(arguments_of(incident), arguments_of(later))
        };
        let errors = lines_of(incident);
        commands.iter().filter(again).last().is_some_and(|later| !errors.is_empty() && lines_of(later).is_disjoint(&errors))
    };
    let dropped: HashSet<usize> = commands.iter().filter(|incident| is_mended(incident)).map(|incident| incident.index).collect();
    candidates.retain(|(incident, _)| !dropped.contains(&incident.index) || !is_command(incident));
}

/// The failed command that the closing message is about, if it says nothing of the first one.
pub(super) fn root_among<'i, 't, 'c>(
    trace: &Trace,
    tree: &SpanTree,
    candidates: &[Candidate<'i, 't, 'c>],
    first: Candidate<'i, 't, 'c>,
) -> Candidate<'i, 't, 'c> {
    /// Words that an error and the message share by chance.
    const SHARED_WORDS_MIN: usize = 2;
    if !is_command(first.0) || candidates.len() < 2 {
        return first;
    }
    let Some(answer) = answers::final_answer(trace, tree).filter(|answer| answer.is_complete && !answer.root_failed) else { return first };
    let said = names_in(answer.text);
    let shared = |incident: &Incident<'_>| {
        incident.texts.iter().flat_map(|(_, text)| names_in(text)).filter(|name| said.contains(name)).collect::<HashSet<_>>().len()
    };
    if said.is_empty() || shared(first.0) > 0 {
        return first;
    }
    let commands = candidates.iter().filter(|(incident, _)| is_command(incident)).take(COMMANDS_MAX);
    let named = commands.map(|candidate| (shared(candidate.0), candidate)).filter(|(shared, _)| *shared >= SHARED_WORDS_MIN);
    // Of several that share as much, the first.
    named.min_by_key(|(shared, _)| std::cmp::Reverse(*shared)).map_or(first, |(_, candidate)| candidate.clone())
}

/// Whether a tool that runs commands or code failed.
fn is_command(incident: &Incident<'_>) -> bool {
    let tool = incident.span.tool.as_ref().filter(|_| incident.span.kind == SpanKind::Tool);
    matches!(incident.kind, IncidentKind::Error | IncidentKind::ToolResult)
        && tool.is_some_and(|tool| ToolNature::of(&tool.name, &tool.arguments).runs_code)
}

fn arguments_of<'t>(incident: &Incident<'t>) -> &'t str {
    incident.span.tool.as_ref().map_or("", |tool| tool.arguments.as_str())
}

/// The lines of an error that say something, without numbers, which differ from run to run.
fn lines_of(incident: &Incident<'_>) -> HashSet<String> {
    const CHARS_MIN: usize = 12;
    const LINES_MAX: usize = 200;
    let lines = incident.texts.iter().flat_map(|(_, text)| clip(text).lines()).take(LINES_MAX);
    let lines = lines.map(|line| line.trim().chars().filter(|c| !c.is_ascii_digit()).collect::<String>());
    lines.filter(|line| line.chars().count() >= CHARS_MIN && !line.to_ascii_lowercase().starts_with("exit code")).collect()
}

/// Words that name something: paths, codes, numbers.
fn names_in(text: &str) -> HashSet<&str> {
    const BYTES_MIN: usize = 4;
    const WORDS_MAX: usize = 1_000;
    let words = clip(text)
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '"' | '\'' | '`' | '=' | '[' | ']' | '{' | '}'));
    let words = words.take(WORDS_MAX).map(|word| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/'));
    let is_name = |word: &str| {
        let is_code = || word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
        word.len() >= BYTES_MIN && (is_code() || word.contains(|c: char| c.is_ascii_digit() || matches!(c, '/' | '_' | '.')))
    };
    words.filter(|word| is_name(word)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::diagnosis::Knowledge;
    use super::super::incidents;
    use super::super::root::root_cause;
    use super::*;
    use crate::model::{Message, Span, SpanKind, ToolUse, Trace};
    use crate::runtime::Deadline;

    /// The command that a run of a coding agent failed by, of `(command, result)`.
    fn root_of(steps: &[(&str, &str)], answer: &str) -> Option<String> {
        let span = |number: usize, kind| {
            let at = i64::try_from(10 * (number + 1)).unwrap();
            Span {
                span_id: number.to_string(),
                parent_span_id: Some("r".into()),
                kind,
                started_at_ns: Some(at),
                ended_at_ns: Some(at + 5),
                ..Span::default()
            }
        };
        let mut spans =
            vec![Span { span_id: "r".into(), kind: SpanKind::Agent, started_at_ns: Some(0), ended_at_ns: Some(1_000), ..Span::default() }];
        for (number, (command, result)) in steps.iter().enumerate() {
            let arguments = serde_json::json!({ "command": command }).to_string();
            let tool = ToolUse { name: "Bash".into(), arguments, result: Some((*result).into()), ..ToolUse::default() };
            spans.push(Span { tool: Some(tool), ..span(number, SpanKind::Tool) });
        }
        let output = vec![Message { role: "assistant".into(), content: answer.into(), ..Message::default() }];
        spans.push(Span { output, finish_reasons: vec!["stop".into()], ..span(steps.len(), SpanKind::Llm) });
        let trace = Trace { spans, ..Trace::default() };
        let (tree, deadline) = (SpanTree::new(&trace), Deadline::after(Duration::from_mins(1)));
        let found = incidents::find(&trace, &tree, deadline).unwrap();
        let knowledge = Knowledge::shipped().unwrap();
        let root = root_cause(&trace, &tree, &found, &knowledge, deadline).unwrap()?;
        let number: usize = root.incident.span.span_id.parse().ok()?;
        Some(steps.get(number)?.0.to_owned())
    }

    const TEST: (&str, &str) = ("go test ./cart", "Exit code 1\n--- FAIL: TestTotal\n    cart_test.go:18: got 3, want 4");

    #[test]
    fn a_test_that_was_mended_is_not_the_root() {
        let full =
            ("for i in 1 2 3; do go test ./cart || exit 1; done", "Exit code 1\nok  shop/cart\nwrite /build/a.o: no space left on device");
        let sorry = "I could not finish: the disk is full.";
        assert_eq!(root_of(&[TEST, full], sorry).as_deref(), Some(full.0));
        assert_eq!(root_of(&[TEST, TEST], sorry).as_deref(), Some(TEST.0));
        let ok = ("go test ./cart ./shop", "ok  shop/cart");
        let push = ("git push origin main", "Exit code 128\nremote: Permission to shop denied");
        assert_eq!(root_of(&[TEST, ok, push], "I was unable to push.").as_deref(), Some(push.0));
    }

    #[test]
    fn the_closing_message_says_which_error_remained() {
        let lint = ("make lint", "Exit code 2\nwarning: unused import");
        let deploy = ("make deploy", "Exit code 1\nERR_QUOTA_17: registry.example/shop:4.2 rejected");
        let answer = "I could not deploy: registry.example/shop:4.2 was refused with ERR_QUOTA_17.";
        assert_eq!(root_of(&[lint, deploy], answer).as_deref(), Some(deploy.0));
        assert_eq!(root_of(&[lint, deploy], "I could not finish the work.").as_deref(), Some(lint.0));
    }
}
