//! Calls that failed each time: the same tool with the same arguments failed at least twice, and never worked afterwards.
//!
//! A single failure may be a detour. Who makes the same call again needs what it does, so that a run whose answer then says that something is missing did
//! not do without it.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use super::incident::Incident;
use super::text::clip;
use super::tool_incidents::MessageOutcome;
use crate::model::{SpanKind, Trace};

/// The outcomes of all calls with the same tool and arguments.
#[derive(Debug, Default)]
struct Call<'t> {
    arguments: &'t str,
    failures: usize,
    last_failure: Option<i64>,
    has_worked: bool,
    last_success: Option<i64>,
}

/// The calls of a run by their outcome.
#[derive(Debug, Default)]
pub(super) struct PersistentFailures<'t> {
    calls: Vec<Call<'t>>,
    /// By span: its call.
    of_span: HashMap<usize, usize>,
    /// By span and field of a message: its call.
    of_message: HashMap<(usize, &'t str), usize>,
    /// Words in the arguments of calls that worked, in lower case. Few runs ask for them.
    words_that_worked: OnceCell<HashSet<String>>,
}

impl<'t> PersistentFailures<'t> {
    /// `has_incident` says of each span whether it failed.
    pub(super) fn new(trace: &'t Trace, has_incident: &[bool], messages: &'t [MessageOutcome<'t>]) -> Self {
        let mut this = Self::default();
        // Results among messages have no time of their own, so that they are compared only with each other.
        let mut known: HashMap<(bool, &'t str, String), usize> = HashMap::new();
        for (index, span) in trace.spans.iter().enumerate() {
            let Some(tool) = span.tool.as_ref().filter(|_| span.kind == SpanKind::Tool) else { continue };
            let failed = has_incident.get(index) == Some(&true);
            let at = if failed { span.ended_at_ns.or(span.started_at_ns) } else { span.started_at_ns };
            let key = (false, tool.name.as_str(), without_space(&tool.arguments));
            let call = this.add(&mut known, key, &tool.arguments, at, failed);
            this.of_span.insert(index, call);
        }
        for (position, outcome) in messages.iter().enumerate() {
            let Some(tool) = outcome.tool else { continue };
            let key = (true, tool, without_space(outcome.arguments));
            let call = this.add(&mut known, key, outcome.arguments, i64::try_from(position).ok(), outcome.failed);
            this.of_message.insert((outcome.index, outcome.field.as_str()), call);
        }
        this
    }

    fn add(
        &mut self,
        known: &mut HashMap<(bool, &'t str, String), usize>,
        key: (bool, &'t str, String),
        arguments: &'t str,
        at: Option<i64>,
        failed: bool,
    ) -> usize {
        let number = *known.entry(key).or_insert(self.calls.len());
        if number == self.calls.len() {
            self.calls.push(Call { arguments, ..Call::default() });
        }
        if let Some(call) = self.calls.get_mut(number) {
            if failed {
                call.failures += 1;
                call.last_failure = call.last_failure.max(at);
            } else {
                call.has_worked = true;
                call.last_success = call.last_success.max(at);
            }
        }
        number
    }

    fn call_of(&self, incident: &Incident<'_>) -> Option<&Call<'t>> {
        let field = incident.texts.first().map_or("", |(field, _)| field.as_str());
        let number = self.of_message.get(&(incident.index, field)).or_else(|| self.of_span.get(&incident.index))?;
        self.calls.get(*number)
    }

    /// Whether the call of an incident failed more than once and never worked after the last time.
    pub(super) fn contains(&self, incident: &Incident<'_>) -> bool {
        const FAILURES_MIN: usize = 2;
        self.call_of(incident).is_some_and(|call| call.failures >= FAILURES_MIN && call.last_success < call.last_failure)
    }

    /// Whether an answer names something that the failed call was about, and that no call which worked was about.
    pub(super) fn is_named_in(&self, answer: &str, incident: &Incident<'_>) -> bool {
        let Some(call) = self.call_of(incident) else { return false };
        let of_answer: HashSet<String> = words(clip(answer)).collect();
        let words_that_worked = self.words_that_worked.get_or_init(|| {
            let worked = self.calls.iter().filter(|call| call.has_worked);
            worked.flat_map(|call| words(call.arguments)).collect()
        });
        words(call.arguments).any(|word| of_answer.contains(&word) && !words_that_worked.contains(&word))
    }
}

/// The words of a text that name something, in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    const CHARS_MIN: usize = 4;
    const WORDS_MAX: usize = 200;
    let words = clip(text).split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= CHARS_MIN);
    words.take(WORDS_MAX).map(str::to_lowercase)
}

/// Arguments without white space, in which serializers differ.
fn without_space(arguments: &str) -> String {
    clip(arguments).chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::incidents;
    use super::super::tree::SpanTree;
    use crate::model::{Message, Span, SpanKind, Status, ToolCall, ToolUse, Trace};
    use crate::runtime::Deadline;

    /// `(arguments, error)`
    type Step = (&'static str, Option<&'static str>);

    fn span_of(number: usize) -> Span {
        let at = i64::try_from(10 * (number + 1)).unwrap();
        Span {
            span_id: number.to_string(),
            parent_span_id: Some("r".into()),
            started_at_ns: Some(at),
            ended_at_ns: Some(at + 5),
            ..Span::default()
        }
    }

    fn answer_of(number: usize, text: &str) -> Span {
        let output = vec![Message { role: "assistant".into(), content: text.into(), ..Message::default() }];
        Span { kind: SpanKind::Llm, finish_reasons: vec!["stop".into()], output, ..span_of(number) }
    }

    fn root() -> Span {
        Span { span_id: "r".into(), kind: SpanKind::Agent, started_at_ns: Some(0), ended_at_ns: Some(1_000), ..Span::default() }
    }

    /// Calls of `set_stock`, and an answer.
    fn with_spans(steps: &[Step], answer: &str) -> Trace {
        let mut spans = vec![root()];
        for (number, (arguments, error)) in steps.iter().enumerate() {
            let result = error.is_none().then(|| format!(r#"{{"done": {arguments}, "note": "the shelf has the new stock"}}"#));
            let tool = ToolUse { name: "set_stock".into(), arguments: (*arguments).into(), result, ..ToolUse::default() };
            let status = if error.is_some() { Status::Error } else { Status::Ok };
            spans.push(Span {
                kind: SpanKind::Tool,
                tool: Some(tool),
                status,
                status_message: error.map(str::to_owned),
                ..span_of(number)
            });
        }
        spans.push(answer_of(steps.len(), answer));
        Trace { spans, ..Trace::default() }
    }

    /// The same calls, recorded only among the messages.
    fn with_messages(steps: &[Step], answer: &str) -> Trace {
        let mut call = answer_of(0, answer);
        for (number, (arguments, error)) in steps.iter().enumerate() {
            let id = Some(format!("c{number}"));
            let asked = ToolCall { id: id.clone(), name: "set_stock".into(), arguments: (*arguments).into() };
            let content = error.map_or_else(
                || format!(r#"{{"done": {arguments}, "note": "the shelf has the new stock"}}"#),
                |error| format!("Error: {error}"),
            );
            call.input.push(Message { role: "assistant".into(), tool_calls: vec![asked], ..Message::default() });
            call.input.push(Message { role: "tool".into(), content, tool_call_id: id, ..Message::default() });
        }
        Trace { spans: vec![root(), call], ..Trace::default() }
    }

    fn has_open_failure(trace: &Trace) -> bool {
        let found = incidents::find(trace, &SpanTree::new(trace), Deadline::after(Duration::from_mins(1))).unwrap();
        found.iter().any(|incident| !incident.recovered)
    }

    #[test]
    fn a_call_that_failed_each_time_is_not_recovered_if_the_answer_shows_the_gap() {
        const BUSY: Option<&str> = Some("503 the warehouse is busy");
        const ONE: &str = r#"{"shelf": "north"}"#;
        const TWO: &str = r#"{"shelf": "south"}"#;
        for (steps, answer, is_open) in [
            (&[(ONE, None), (TWO, BUSY), (TWO, BUSY)][..], "1 of 2 shelves has the new stock; south still has the old one.", true),
            (&[(ONE, None), (TWO, BUSY), (TWO, BUSY)], "The shelf has the new stock.", false),
            // One failure may be a detour.
            (&[(ONE, None), (TWO, BUSY)], "1 of 2 shelves has the new stock.", false),
            (&[(ONE, None), (TWO, BUSY), (TWO, BUSY), (TWO, None)], "1 of 2 shelves had the old stock; both have the new stock.", false),
            // Others worked later, and the answer names what did not.
            (&[(TWO, BUSY), (TWO, BUSY), (ONE, None)], "The north shelf has the new stock. I could not change the south shelf.", true),
            (&[(TWO, BUSY), (TWO, BUSY), (ONE, None)], "The north shelf has the new stock. No se pudo cambiar el otro.", false),
        ] {
            assert_eq!(has_open_failure(&with_spans(steps, answer)), is_open, "{answer}");
            assert_eq!(has_open_failure(&with_messages(steps, answer)), is_open, "messages: {answer}");
        }
    }
}
