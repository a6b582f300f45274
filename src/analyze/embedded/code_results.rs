//! Code of an agent that another participant of the conversation runs and answers with its output, as in `AutoGen`: the result is a message and no tool
//! call. A run whose last execution failed, and that then says that it could not do its work, failed by that code.

use super::admissions::{Admission, admits_failure};
use super::incident::{Incident, IncidentKind};
use super::signals::Signal;
use super::text::ends_of;
use crate::model::{Span, SpanKind, Trace};

/// The result of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Execution<'t> {
    pub(super) text: &'t str,
    pub(super) exit_code: u32,
}

/// The result of an execution in the message of a span: `exitcode: 1 (execution failed)`, `The script ran, then exited with an error (POSIX exit code: 1)`.
pub(super) fn execution_of(span: &Span) -> Option<Execution<'_>> {
    let message = span.input.first().filter(|_| span.tool.is_none() && span.input.len() == 1 && span.output.is_empty())?;
    let text = message.content.trim_start();
    let code =
        text.strip_prefix("exitcode: ").or_else(|| text.strip_prefix("The script ran, then exited with an error (POSIX exit code: "));
    if let Some(code) = code {
        let digits = code.split(|c: char| !c.is_ascii_digit()).next()?;
        return Some(Execution { text, exit_code: digits.parse().ok()? });
    }
    let is_success = text.starts_with("The script ran and produced no output") || text.starts_with("The POSIX exit code was: 0");
    is_success.then_some(Execution { text, exit_code: 0 })
}

/// The first of the executions that failed up to the end of the run, if the final message admits that something did not work.
pub(super) fn failed_execution(trace: &Trace) -> Option<Incident<'_>> {
    let mut first: Option<(usize, Execution<'_>)> = None;
    for (index, span) in trace.spans.iter().enumerate() {
        match execution_of(span) {
            Some(Execution { exit_code: 0, .. }) => first = None,
            Some(execution) if first.is_none() => first = Some((index, execution)),
            _ => {}
        }
    }
    let (index, execution) = first?;
    let (last_index, last) =
        trace.spans.iter().enumerate().rev().find(|(_, span)| span.kind == SpanKind::Llm && !span.output.is_empty())?;
    let answer = last.output.last().filter(|message| message.tool_calls.is_empty())?;
    if last_index < index || answer.content.contains("```") || !admits_failure(&answer.content, Admission::Inability) {
        return None;
    }
    let mut incident = Incident::new(trace, index, IncidentKind::ToolResult)?;
    incident.signals.push(Signal::new("exit_code", execution.exit_code, "input[0].content"));
    incident.texts.push(("input[0].content".into(), execution.text));
    // The message of an error is before its stack trace, and this one is after it.
    let end = ends_of(execution.text).last().unwrap_or_default();
    if let Some(line) =
        end.trim_end().lines().next_back().filter(|line| end.contains("Traceback") && line.contains(':') && !line.starts_with(' '))
    {
        incident.texts.push(("input[0].content".into(), line));
    }
    Some(incident)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Message;

    fn trace(turns: &[(&str, &str)]) -> Trace {
        let span = |(index, (role, content)): (usize, &(&str, &str))| {
            let message = vec![Message { role: (*role).into(), content: (*content).into(), ..Message::default() }];
            let span = Span { span_id: index.to_string(), ..Span::default() };
            if *role == "user" { Span { input: message, ..span } } else { Span { kind: SpanKind::Llm, output: message, ..span } }
        };
        Trace { spans: turns.iter().enumerate().map(span).collect(), ..Trace::default() }
    }

    #[test]
    fn a_run_that_gives_up_after_its_code_failed_failed_by_it() {
        let failed = "exitcode: 1 (execution failed)\nCode output: Traceback (most recent call last):\n  File \"/w/a.py\", line 4, in <module>\n    x\nKeyError: 'quarter'";
        let of = |turns: &[(&str, &str)]| failed_execution(&trace(turns)).map(|incident| (incident.index, incident.texts.len()));
        let give_up = ("assistant", "I was unable to create the chart. TERMINATE");
        let code = ("assistant", "```python\nx\n```");
        assert_eq!(of(&[code, ("user", failed), code, ("user", failed), give_up]), Some((1, 2)));
        assert_eq!(
            of(&[code, ("user", "The script ran, then exited with an error (POSIX exit code: 2)\nIts output was:\nno"), give_up]),
            Some((1, 1))
        );
        assert_eq!(of(&[code, ("user", failed), code, ("user", "exitcode: 0 (execution succeeded)\nCode output: 7"), give_up]), None);
        assert_eq!(of(&[code, ("user", failed), ("assistant", "The revenue is 7. TERMINATE")]), None);
        assert_eq!(of(&[("user", "exit please"), give_up]), None);
    }
}
