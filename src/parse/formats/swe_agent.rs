//! Trajectories of SWE-agent: `INSTANCE.traj`, one run in one JSON object.
//!
//! Specification: <https://swe-agent.com/latest/usage/trajectories/> and `sweagent/types.py` of <https://github.com/SWE-agent/SWE-agent>; checked against
//! trajectories of 0.7, 1.0 and 1.1, and against the source of 0.6.
//!
//! ```json
//! {"environment": "main", "trajectory": [{"action": "ls", "observation": "setup.py\n", "response": "Let me look.", "thought": "Let me look.",
//!    "execution_time": 0.28, "state": {"working_dir": "/repo"}, "query": [{"role": "user", "content": "Fix it."}], "extra_info": {}}],
//!  "history": [{"role": "assistant", "content": "Let me look.", "action": "ls", "agent": "main", "tool_calls": []}],
//!  "info": {"exit_status": "submitted (exit_cost)", "submission": "diff …", "model_stats": {"api_calls": 7}}, "replay_config": "{…}"}
//! ```
//!
//! | trajectory | span |
//! |---|---|
//! | the run | agent; `info` and the rest are attributes |
//! | a step | model call: `query` (`messages` in 1.0) is the input, `response` the output, with the tool calls of its message in `history` |
//! | `action`, `observation`, `execution_time` | tool: the called tool, or the first word of the action |
//! | `info.exit_status` other than `submitted` | error of the run: the status, and what the last step says about it |
//! | `attempts` of a run with retries | an agent below the run for each, the last one with its outcome |
//!
//! Quirks of real files:
//! - No ids and no times: the location serves as the id, the time of the object as the start, and `execution_time` as the time between steps.
//! - Before 1.0 a step has no `query`; its input is the observation before it, and for the first step the start of `history`.
//! - The step that ends a run is no call of the model: its `thought` is `Exit due to cost limit`, and its action is empty (`exit_cost` before 1.0).
//! - `submitted (exit_cost)`: the run was ended, and what it had changed was submitted.
//! - A response that does not parse is a step without action and observation.
//! - Predictions (`all_preds.jsonl`) are no runs.

use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Message, Rejection, RejectionKind, Span, SpanKind, Stage, Status, ToolCall, ToolUse};
use crate::parse::record::{self, Record, keep_attribute};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip, error_text, infer, messages};

/// The format of SWE-agent's trajectories; see the [module docs](self).
pub(super) struct SweAgent;

impl Format for SweAgent {
    fn name(&self) -> &'static str {
        "swe_agent"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["environment", "trajectory", "history", "info"]),
                Signature::unique(&["attempts", "trajectory", "info"]),
                // A prediction.
                Signature::unique(&["instance_id", "model_name_or_path", "model_patch"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("model_patch") {
            return out.skip(Skip::OtherEvent, location);
        }
        let trace_id = location.to_string();
        let mut run = Run { spans: Vec::new(), now_ns: location.modified_at_ns };
        let root = run.push(Span { span_id: "run".into(), name: NAME.into(), kind: SpanKind::Agent, ..Span::default() });
        let attempts = record.take("attempts");
        let (trajectory, history) = (record.take("trajectory"), record.take("history"));
        if !matches!(trajectory, Value::List(_)) {
            let reason = format!("cannot read {location}: trajectory must be a list, found {}", trajectory.type_name());
            return out.reject(location, RejectionKind::MalformedRecord, reason);
        }
        if attempts.is_empty() {
            run.add_attempt(root, &trajectory, &history);
        } else {
            for (attempt, number) in attempts.items().iter().zip(1..) {
                run.retry(root, attempt, number);
            }
        }
        run.finish(root, &mut record, trajectory.items().last());
        if run.spans.len() == 1 && run.spans.first().is_some_and(|root| root.status == Status::Unset) {
            let reason = format!("cannot read {location}: the trajectory has no steps");
            return out.reject_as(Rejection::for_trace(&trace_id, location.uri, Stage::Parse, RejectionKind::NoSpans, reason));
        }
        let added: Vec<Accounted> = (run.spans.into_iter())
            .map(|span| {
                let mut fragment = record::fragment(trace_id.clone(), infer::infer_fields(span), location);
                fragment.service = Some(NAME.to_owned());
                fragment.has_synthetic_id = true;
                out.span(fragment)
            })
            .collect();
        Accounted::of_parts(added).unwrap_or_else(|| out.skip(Skip::Empty, location))
    }
}

const NAME: &str = "swe-agent";

/// The spans of a run, the first of which is the run itself, and the time of the next one.
struct Run {
    spans: Vec<Span>,
    now_ns: i64,
}

impl Run {
    /// Adds a span that starts now.
    fn push(&mut self, span: Span) -> usize {
        self.spans.push(Span { started_at_ns: Some(self.now_ns), ..span });
        self.now_ns = self.now_ns.saturating_add(1);
        self.spans.len() - 1
    }

    fn id_of(&self, index: usize) -> Option<String> {
        self.spans.get(index).map(|span| span.span_id.clone())
    }

    /// Adds an attempt of a run with retries. Only the last one decides about the run.
    fn retry(&mut self, root: usize, attempt: &Value<'_>, number: usize) {
        let span = Span {
            span_id: format!("attempt-{number}"),
            parent_span_id: self.id_of(root),
            name: format!("attempt {number}"),
            kind: SpanKind::Agent,
            ..Span::default()
        };
        let index = self.push(span);
        let trajectory = attempt.get("trajectory");
        self.add_attempt(index, trajectory, attempt.get("history"));
        let mut info = Record::default();
        info.insert("info", attempt.get("info").clone());
        self.finish(index, &mut info, trajectory.items().last());
    }

    fn add_attempt(&mut self, parent: usize, trajectory: &Value<'_>, history: &Value<'_>) {
        let is_answer =
            |item: &&Value<'_>| item.get("role").as_str() == Some("assistant") && !matches!(item.get("is_demo"), Value::Bool(true));
        let mut answers = history.items().iter().filter(is_answer).peekable();
        let mut before: Vec<Message> = Vec::new();
        for item in history.items().iter().take_while(|item| !is_answer(item)).take(SPAN_ITEMS_MAX) {
            messages::add_messages(item, &mut before);
        }
        for (step, number) in trajectory.items().iter().zip(1..) {
            if exit_notice(step).is_some_and(|notice| step.get("response").as_str().is_none_or(|response| response == notice)) {
                continue;
            }
            // A step that did not parse is not in the history.
            let answer = answers.next_if(|answer| answer.get("action").to_text().trim() == step.get("action").to_text().trim());
            let prefix = if parent == 0 { String::new() } else { self.id_of(parent).unwrap_or_default() + "." };
            before = self.step(parent, &format!("{prefix}{number}"), step, answer, before);
        }
    }

    /// Adds the spans of a step; `before` is its input if it has no `query`. Returns the input of the next step.
    fn step(&mut self, parent: usize, id: &str, step: &Value<'_>, answer: Option<&Value<'_>>, before: Vec<Message>) -> Vec<Message> {
        let mut output = answer.and_then(messages::message).unwrap_or_else(|| Message { role: "assistant".into(), ..Message::default() });
        output.content = step.get("response").to_text();
        let query = step.first(&["query", "messages"]);
        let input = messages::conversation(query).map_or(before, |found| found.messages);
        let call = output.tool_calls.first().cloned();
        let mut span = Span {
            span_id: format!("{id}.model"),
            parent_span_id: self.id_of(parent),
            name: "model".into(),
            kind: SpanKind::Llm,
            input,
            output: vec![output],
            ended_at_ns: Some(self.now_ns),
            ..Span::default()
        };
        let thought = step.get("thought");
        if thought != step.get("response") {
            keep_attribute(&mut span, "thought".into(), thought.clone());
        }
        keep_attribute(&mut span, "extra_info".into(), step.get("extra_info").clone());
        self.push(span);
        let (action, observation) = (step.get("action").to_text(), step.get("observation").to_text());
        if action.trim().is_empty() || exit_notice(step).is_some() {
            return Vec::new();
        }
        let role = if call.is_some() { "tool" } else { "user" };
        let message = Message {
            role: role.into(),
            content: observation.clone(),
            tool_call_id: call.as_ref().and_then(|call| call.id.clone()),
            ..Message::default()
        };
        self.tool(parent, format!("{id}.tool"), step, &action, call, observation);
        vec![message]
    }

    fn tool(&mut self, parent: usize, span_id: String, step: &Value<'_>, action: &str, call: Option<ToolCall>, observation: String) {
        let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let called = call.unwrap_or_else(|| ToolCall {
            name: action.split_whitespace().next().filter(is_word).unwrap_or("bash").to_owned(),
            arguments: action.to_owned(),
            ..ToolCall::default()
        });
        let mut span = Span {
            span_id,
            parent_span_id: self.id_of(parent),
            name: called.name.clone(),
            kind: SpanKind::Tool,
            tool: Some(ToolUse { name: called.name, call_id: called.id, arguments: called.arguments, result: Some(observation) }),
            ..Span::default()
        };
        keep_attribute(&mut span, "action".into(), Value::Text(action.into()));
        let state = step.get("state");
        keep_attribute(&mut span, "state".into(), state.tree().map_or_else(|| state.clone(), |tree| tree.into_owned().into_owned()));
        let index = self.push(span);
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        let duration = step.get("execution_time").as_f64().map_or(0, |seconds| (seconds.max(0.0) * 1e9) as i64);
        self.now_ns = self.now_ns.saturating_add(duration);
        if let Some(span) = self.spans.get_mut(index) {
            span.ended_at_ns = span.started_at_ns.map(|start| start.saturating_add(duration));
        }
    }

    /// Ends the run or an attempt: its outcome, and everything else as attributes.
    fn finish(&mut self, index: usize, record: &mut Record<'_>, last: Option<&Value<'_>>) {
        let now_ns = self.now_ns;
        let Some(span) = self.spans.get_mut(index) else { return };
        let mut info = Record::from_value(record.take("info")).unwrap_or_default();
        let status = info.take_text("exit_status");
        // Without a status the run did not end.
        span.ended_at_ns = status.is_some().then_some(now_ns);
        span.output_text = info.take_text("submission");
        let words = status.as_deref().unwrap_or_default();
        let reason = words.strip_prefix("submitted (").and_then(|rest| rest.strip_suffix(')')).unwrap_or(words);
        if !matches!(reason, "" | "submitted" | "exit_command") && !reason.starts_with("skipped") {
            let notice = last.and_then(exit_notice).map(|notice| format!("{reason}: {notice}"));
            span.status = Status::Error;
            span.error_type = Some(reason.to_owned());
            span.status_message = Some(notice.unwrap_or_else(|| reason.to_owned()));
            // What a call raised is in the notice: `Exit due to unknown error: litellm.AuthenticationError: …`.
            let raised = span
                .status_message
                .as_deref()
                .and_then(|text| text.split_once(" error: "))
                .map(|(_, raised)| error_text::exception(raised));
            span.exceptions.extend(raised.filter(|raised| !raised.kind.is_empty()));
        }
        if let Some(status) = status {
            keep_attribute(span, "exit_status".into(), Value::Text(status.into()));
        }
        let replay = record.take_tree("replay_config");
        let statement = replay.get("problem_statement");
        if let Some(name) = statement.first(&["id", "name"]).as_str() {
            name.clone_into(&mut span.name);
        }
        let text = statement.first(&["text", "text_problem_statement"]);
        if let Some(text) = text.as_str() {
            span.input_text = Some(text.to_owned());
        }
        keep_attribute(span, "model".into(), replay.get("agent").get("model").get("name").clone());
        info.discard(&["edited_files30", "edited_files50", "edited_files70"]);
        info.keep_rest(span);
        std::mem::take(record).keep_rest(span);
    }
}

/// Why the run ended, if a step says only that.
fn exit_notice<'v>(step: &'v Value<'_>) -> Option<&'v str> {
    let action = step.get("action").as_str().unwrap_or_default().trim();
    let notice =
        step.get("thought").as_str().filter(|thought| thought.starts_with("Exit due to ") || thought.starts_with("Exiting due to "));
    notice.filter(|_| action.is_empty() || action.starts_with("exit_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::parse_line;

    fn run(line: &str) -> Vec<Span> {
        let out = parse_line(&SweAgent, line);
        assert!(out.rejections.is_empty(), "{:?}", out.rejections);
        out.fragments.into_iter().map(|fragment| fragment.span).collect()
    }

    #[test]
    fn a_step_is_a_model_call_and_a_tool() {
        let spans = run(
            r#"{"environment":"main","history":[{"role":"system","content":"s"},{"role":"assistant","content":"demo","is_demo":true},
              {"role":"assistant","content":"look","action":"open a.py","tool_calls":[{"id":"c1","function":{"name":"open","arguments":"{\"path\":\"a.py\"}"}}]}],
             "trajectory":[{"action":"","observation":"","response":"hm","thought":"hm","query":[{"role":"user","content":"fix"}]},
              {"action":"open a.py","observation":"1: x","response":"look","thought":"look","execution_time":0.5,"state":"{\"open_file\": \"a.py\"}","query":[{"role":"user","content":"fix"}]},
              {"action":"./run.sh","observation":"ok","response":"run","thought":"run","query":[{"role":"tool","content":"1: x"}]}],
             "info":{"exit_status":null},"replay_config":"{\"problem_statement\":{\"id\":\"acme-1\",\"text\":\"fix\"}}"}"#,
        );
        let names: Vec<_> = spans.iter().map(|span| (span.span_id.as_str(), span.name.as_str())).collect();
        assert_eq!(
            names,
            [("run", "acme-1"), ("1.model", "model"), ("2.model", "model"), ("2.tool", "open"), ("3.model", "model"), ("3.tool", "bash")]
        );
        assert_eq!((spans[2].output[0].tool_calls[0].name.as_str(), spans[2].input[0].content.as_str()), ("open", "fix"));
        let tool = spans[3].tool.as_ref().unwrap();
        assert_eq!(
            (tool.call_id.as_deref(), tool.arguments.as_str(), tool.result.as_deref()),
            (Some("c1"), r#"{"path":"a.py"}"#, Some("1: x"))
        );
        assert_eq!(
            (spans[3].ended_at_ns.unwrap() - spans[3].started_at_ns.unwrap(), spans[3].attribute("state.open_file")),
            (500_000_000, Some("a.py"))
        );
        // The run has not ended.
        assert_eq!((spans[0].ended_at_ns, spans[0].status), (None, Status::Unset));
    }

    #[test]
    fn what_ended_the_run_is_no_model_call() {
        let step = |action: &str, thought: &str, response: &str| {
            format!(r#"{{"action":"{action}","observation":"Exited","response":"{response}","thought":"{thought}"}}"#)
        };
        let line = |step: String, status: &str| {
            format!(r#"{{"environment":"main","history":[],"trajectory":[{step}],"info":{{"exit_status":"{status}"}}}}"#)
        };
        for (step, status, message, spans_found) in [
            (step("", "Exit due to cost limit", "Exit due to cost limit"), "submitted (exit_cost)", "exit_cost: Exit due to cost limit", 1),
            (step("exit_format", "Exit due to format error", "hm"), "exit_format", "exit_format: Exit due to format error", 2),
            (step("ls", "look", "look"), "early_exit", "early_exit", 3),
        ] {
            let spans = run(&line(step, status));
            assert_eq!(
                (spans[0].status, spans[0].status_message.as_deref(), spans.len()),
                (Status::Error, Some(message), spans_found),
                "{status}"
            );
        }
        let notice = "Exit due to unknown error: litellm.AuthenticationError: Incorrect API key";
        let spans = run(&line(step("", notice, notice), "exit_error"));
        assert_eq!(
            (spans[0].exceptions[0].kind.as_str(), spans[0].exceptions[0].message.as_str()),
            ("litellm.AuthenticationError", "Incorrect API key")
        );
        assert_eq!(run(&line(step("submit", "done", "done"), "submitted"))[0].status, Status::Unset);
    }

    #[test]
    fn attempts_are_agents_below_the_run() {
        let attempt = r#"{"trajectory":[{"action":"ls","observation":"a","response":"look","thought":"look"}],"history":[],"info":{"exit_status":"exit_cost"}}"#;
        let spans =
            run(&format!(r#"{{"attempts":[{attempt},{attempt}],"trajectory":[],"history":[],"info":{{"exit_status":"submitted"}}}}"#));
        let ids: Vec<_> = spans.iter().map(|span| (span.span_id.as_str(), span.parent_span_id.as_deref())).collect();
        assert_eq!(ids[..3], [("run", None), ("attempt-1", Some("run")), ("attempt-1.1.model", Some("attempt-1"))]);
        assert_eq!((spans.len(), spans[0].status, spans[1].status), (7, Status::Unset, Status::Error));
    }

    #[test]
    fn predictions_are_skipped_and_runs_without_steps_rejected() {
        let out = parse_line(&SweAgent, r#"{"model_name_or_path":"m","instance_id":"i","model_patch":"diff"}"#);
        assert_eq!(out.records.skipped, 1);
        let out = parse_line(&SweAgent, r#"{"environment":"main","trajectory":[],"history":[],"info":{}}"#);
        assert_eq!(out.rejections[0].kind, RejectionKind::NoSpans);
        let out = parse_line(&SweAgent, r#"{"environment":"main","trajectory":"none","history":[],"info":{}}"#);
        assert_eq!(out.rejections[0].kind, RejectionKind::MalformedRecord);
    }
}
