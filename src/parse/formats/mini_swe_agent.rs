//! Trajectories of mini-swe-agent: `INSTANCE.traj.json`, one run in one JSON object.
//!
//! Specification: <https://mini-swe-agent.com/latest/usage/output_files/> and `agents/default.py` of <https://github.com/SWE-agent/mini-swe-agent>; checked
//! against trajectories of 1.17.5 (`mini-swe-agent-1`) and 2.4.6 (`mini-swe-agent-1.1`).
//!
//! ```json
//! {"info": {"exit_status": "LimitsExceeded", "submission": "", "model_stats": {"api_calls": 6, "instance_cost": 0.02}, "config": {}, "mini_version": "2.4.6"},
//!  "messages": [{"role": "user", "content": "Fix it."},
//!   {"role": "assistant", "content": "Let me look.", "tool_calls": [], "extra": {"actions": [{"command": "ls", "tool_call_id": "c1"}], "response": {}, "timestamp": 1795633541.57}},
//!   {"role": "tool", "tool_call_id": "c1", "content": "<returncode>0</returncode>", "extra": {"raw_output": "", "returncode": 0, "timestamp": 1795633541.76}},
//!   {"role": "exit", "content": "LimitsExceeded", "extra": {"exit_status": "LimitsExceeded", "submission": ""}}],
//!  "trajectory_format": "mini-swe-agent-1.1", "instance_id": "acme__repo-1222"}
//! ```
//!
//! | trajectory | span |
//! |---|---|
//! | the run | agent; `info` is attributes |
//! | message of the assistant, or response of the Responses API | model call, with the messages since the previous one as its input; model, tokens and finish reason of `extra.response` |
//! | `extra.actions` | a tool `bash` for each, whose result is the message that answers it; a chain `submit` if the command ends the run |
//! | `extra.returncode` | error of the tool, unless it is 0 or the command wrote nothing (`grep` without a match) |
//! | `extra.interrupt_type: FormatError` | model call, and below it a failed chain `parse`: the answer had no valid action |
//! | `info.exit_status` other than `Submitted`, message `exit` | error of the run |
//!
//! Quirks of real files:
//! - No id but that of the task, which other runs have too: the location serves as the id.
//! - Times are those at which a message was added (`extra.timestamp`, `timestamp` before 2.0), so a step starts where the one before it ended.
//! - Before 2.0 the action is the one fenced block of an answer, and its result a message of the user. An answer without exactly one block is answered
//!   by a message that explains the format.
//! - A run that ended at a limit does not say at which; `config.agent` and `model_stats` do.
//! - The command that submits has no message for its result, which is `submission`.
//! - An exception of the model ends the run: only the traceback of the message `exit` shows that the model was called.

use std::collections::VecDeque;

use super::chat::Chat;
use crate::model::{Message, Rejection, RejectionKind, Span, SpanKind, Stage, Status, ToolUse};
use crate::parse::record::{self, Record, keep_attribute};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip, error_text, infer, messages};

/// The format of mini-swe-agent's trajectories; see the [module docs](self).
pub(super) struct MiniSweAgent;

/// The result of an action that an earlier one, or the end of the run, made superfluous.
const NOT_EXECUTED: &str = "action was not executed";

impl Format for MiniSweAgent {
    fn name(&self) -> &'static str {
        "mini_swe_agent"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["info", "messages", "trajectory_format"]),
                // 1.0.
                Signature::common(&["info", "messages"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let info = record.take("info");
        if info.get("exit_status").is_null() && info.get("model_stats").is_null() {
            // The messages of another program.
            record.insert("info", info);
            return Chat.parse_record(record, location, out);
        }
        let list = record.take("messages");
        let trace_id = location.to_string();
        if list.items().is_empty() && info.get("traceback").is_null() {
            let reason = format!("cannot read {location}: the run has no messages");
            return out.reject_as(Rejection::for_trace(&trace_id, location.uri, Stage::Parse, RejectionKind::NoSpans, reason));
        }
        let mut run = Run::new(&info, location.modified_at_ns);
        for message in list.items() {
            run.add(message);
        }
        let version = info.get("mini_version").as_id();
        let spans = run.finish(info, record);
        let added: Vec<Accounted> = (spans.into_iter())
            .map(|span| {
                let mut fragment = record::fragment(trace_id.clone(), infer::infer_fields(span), location);
                fragment.service = Some("mini-swe-agent".to_owned());
                fragment.has_synthetic_id = true;
                fragment.context.add_known("service.version", version.as_deref());
                out.span(fragment)
            })
            .collect();
        Accounted::of_parts(added).unwrap_or_else(|| out.skip(Skip::Empty, location))
    }
}

/// Actions among which the one of a result is searched; models rarely ask for more than ten at once.
const WAITING_MAX: usize = 1_000;

/// The id of the span of the run; those of its steps are the indexes of their messages.
const ROOT: &str = "run";

/// A run while its messages are read in order.
struct Run {
    spans: Vec<Span>,
    model: Option<String>,
    provider: Option<String>,
    /// The messages since the previous model call.
    input: Vec<Message>,
    /// Actions without a result so far.
    waiting: VecDeque<Action>,
    /// When the previous message was added.
    now_ns: Option<i64>,
    /// For messages without a time: one nanosecond apart.
    fallback_ns: i64,
    started_at_ns: Option<i64>,
    index: usize,
    /// The error that ended the run, in the message `exit`.
    failure: Failure,
}

/// An action whose result follows.
struct Action {
    /// The index of its span.
    span: usize,
    call_id: Option<String>,
}

#[derive(Default)]
struct Failure {
    message: Option<String>,
    traceback: Option<String>,
}

impl Run {
    fn new(info: &Value<'_>, fallback_ns: i64) -> Self {
        let config = info.get("config").get("model");
        let model = config.get("model_name").as_str().filter(|name| !name.is_empty());
        Self {
            spans: Vec::new(),
            provider: model.and_then(|model| model.split_once('/')).map(|(provider, _)| provider.to_owned()),
            model: model.map(str::to_owned),
            input: Vec::new(),
            waiting: VecDeque::new(),
            now_ns: None,
            fallback_ns,
            started_at_ns: None,
            index: 0,
            failure: Failure::default(),
        }
    }

    fn add(&mut self, message: &Value<'_>) {
        let extra = message.get("extra");
        let time = [extra.get("timestamp"), message.get("timestamp")].into_iter().find_map(Value::as_time);
        let started_at_ns = self.now_ns.or(time).unwrap_or(self.fallback_ns);
        self.now_ns = time.or(self.now_ns);
        self.started_at_ns = self.started_at_ns.or(time);
        self.fallback_ns = self.fallback_ns.saturating_add(1);
        let step = Span {
            span_id: self.index.to_string(),
            parent_span_id: Some(ROOT.into()),
            started_at_ns: Some(started_at_ns),
            ended_at_ns: Some(time.unwrap_or(started_at_ns)),
            ..Span::default()
        };
        self.index += 1;
        let role = message.get("role").as_str().unwrap_or_default();
        let is_answer = role == "assistant" || message.get("object").as_str() == Some("response");
        if role == "exit" {
            self.exit(message);
        } else if is_answer {
            self.model_call(message, step);
        } else if extra.get("interrupt_type").as_str() == Some("FormatError") {
            self.rejected_answer(message, step);
        } else if !extra.get("actions").is_empty() {
            // A command that a person wrote.
            self.read_input(message);
            self.actions(message, &step);
        } else if self.is_observation(message, role) {
            self.observation(message, &step);
        } else {
            self.explain_format(message);
            self.read_input(message);
        }
    }

    fn read_input(&mut self, message: &Value<'_>) {
        messages::add_messages(message, &mut self.input);
    }

    fn model_call(&mut self, message: &Value<'_>, mut span: Span) {
        self.read_answer(&mut span, message, message.get("extra").get("response"));
        let last = self.spans.len();
        self.spans.push(span.clone());
        self.actions(message, &span);
        // Before 2.0 the answer alone shows what was run.
        if message.get("extra").get("actions").is_null() {
            let content =
                self.spans.get(last).and_then(|span| span.output.first()).map(|message| message.content.clone()).unwrap_or_default();
            if let Some(command) = only_block(&content) {
                self.push_action(command, None, &span, 0);
            }
        }
    }

    /// Fills a model call: its output is the message or, if that is none, the raw response, which also has the facts about the call.
    fn read_answer(&mut self, span: &mut Span, message: &Value<'_>, response: &Value<'_>) {
        let answer = messages::conversation(message).filter(|found| !found.messages.is_empty());
        let raw = messages::conversation(response).unwrap_or_default();
        let answer = answer.unwrap_or_default();
        span.kind = SpanKind::Llm;
        span.output = if answer.messages.is_empty() { raw.messages } else { answer.messages };
        span.finish_reasons = if raw.finish_reasons.is_empty() { answer.finish_reasons } else { raw.finish_reasons };
        span.usage.input = raw.usage.input.or(answer.usage.input);
        span.usage.output = raw.usage.output.or(answer.usage.output);
        span.model = raw.model.or(answer.model).or_else(|| self.model.clone());
        span.provider.clone_from(&self.provider);
        span.name = self.model.clone().unwrap_or_else(|| "model".into());
        span.input = std::mem::take(&mut self.input);
        keep_attribute(span, "cost".into(), message.get("extra").get("cost").clone());
    }

    /// An answer without a valid action; the message that follows it tells the model so.
    fn rejected_answer(&mut self, message: &Value<'_>, mut span: Span) {
        let extra = message.get("extra");
        self.read_answer(&mut span, &Value::Null, extra.get("response"));
        if let Some(text) = extra.get("model_response").as_str().filter(|_| span.output.is_empty()) {
            span.output.push(Message { role: "assistant".into(), content: text.to_owned(), ..Message::default() });
        }
        keep_attribute(&mut span, "cost".into(), extra.get("cost").clone());
        self.read_input(message);
        let failed = failed_parse(&span, self.input.last());
        self.spans.extend([span, failed]);
    }

    /// Before 2.0 only the next message says that an answer had no valid action.
    fn explain_format(&mut self, message: &Value<'_>) {
        let is_old = message.get("extra").is_null();
        let text = messages::message(message);
        if let Some(span) = self.spans.last().filter(|span| is_old && span.kind == SpanKind::Llm)
            && text.as_ref().is_some_and(|text| !text.content.is_empty())
        {
            let failed = failed_parse(span, text.as_ref());
            self.spans.push(failed);
        }
    }

    fn actions(&mut self, message: &Value<'_>, step: &Span) {
        for (action, number) in message.get("extra").get("actions").items().iter().zip(0..) {
            let command = action.get("command").as_str().map_or_else(|| action.to_text(), str::to_owned);
            self.push_action(&command, action.get("tool_call_id").as_id(), step, number);
        }
    }

    /// Adds the span of an action: a call of the shell, or the step that ends the run.
    fn push_action(&mut self, command: &str, call_id: Option<String>, step: &Span, number: usize) {
        let mut span = Span {
            span_id: format!("{}.{number}", step.span_id),
            parent_span_id: Some(ROOT.into()),
            started_at_ns: step.ended_at_ns.map(|end| end.saturating_add(1)),
            ..Span::default()
        };
        self.waiting.push_back(Action { span: self.spans.len(), call_id: call_id.clone() });
        if submits(command) {
            (span.kind, span.name, span.input_text) = (SpanKind::Chain, "submit".into(), Some(command.to_owned()));
        } else {
            let arguments = Value::Map(vec![("command".into(), Value::Text(command.into()))]).to_text();
            (span.kind, span.name) = (SpanKind::Tool, "bash".into());
            span.tool = Some(ToolUse { name: "bash".into(), call_id, arguments, result: None });
        }
        self.spans.push(span);
    }

    /// Whether a message is the result of an action.
    fn is_observation(&self, message: &Value<'_>, role: &str) -> bool {
        let is_result = role == "tool"
            || message.get("type").as_str() == Some("function_call_output")
            || !message.get("extra").get("returncode").is_null();
        // Before 2.0 every message after an action is its result.
        is_result || (message.get("extra").is_null() && !self.waiting.is_empty())
    }

    fn observation(&mut self, message: &Value<'_>, step: &Span) {
        let extra = message.get("extra");
        let call_id = message.first(&["tool_call_id", "call_id"]).as_str();
        let is_answered = |action: &Action| call_id.is_none() || action.call_id.as_deref() == call_id;
        let answered = self.waiting.iter().take(WAITING_MAX).position(is_answered).and_then(|position| self.waiting.remove(position));
        let first_new = self.input.len();
        self.read_input(message);
        let content = self.input.get(first_new).map(|message| message.content.clone()).unwrap_or_default();
        let Some(span) = answered.and_then(|action| self.spans.get_mut(action.span)) else { return };
        span.ended_at_ns = step.ended_at_ns;
        // Before 2.0 only the text has it.
        let written = if extra.is_null() { code_in(&content) } else { None };
        let failure = match written {
            Some((code, output)) => failed_command(&Value::Int(code), output),
            None => failed_command(extra.get("returncode"), extra.get("raw_output").as_str().unwrap_or_default()),
        };
        let code = written.map_or_else(|| extra.get("returncode").clone(), |(code, _)| Value::Int(code));
        keep_attribute(span, "returncode".into(), code);
        if let Some(failure) = failure {
            (span.status, span.status_message) = (Status::Error, Some(failure));
        }
        set_result(span, content);
        let raised = extra.get("exception_info").as_str().filter(|text| !text.is_empty());
        if raised == Some(NOT_EXECUTED) {
            (span.status, span.status_message) = (Status::Unset, None);
        } else if let Some(raised) = raised {
            span.status = Status::Error;
            span.status_message = Some(raised.to_owned());
            span.error_type = extra.text_at("exception_type");
        }
    }

    fn exit(&mut self, message: &Value<'_>) {
        let extra = message.get("extra");
        let text = messages::message(message).map(|message| message.content);
        self.failure.message = extra.text_at("exception_str").or(text).filter(|text| !text.is_empty());
        self.failure.traceback = extra.text_at("traceback");
    }

    /// The spans, with that of the run.
    fn finish(mut self, info: Value<'_>, mut rest: Record<'_>) -> Vec<Span> {
        let status = info.text_at("exit_status").unwrap_or_default();
        let submission = info.get("submission").to_text();
        let started_at_ns = self.started_at_ns.unwrap_or(self.fallback_ns);
        let ended_at_ns = self.now_ns.unwrap_or(self.fallback_ns);
        let submitted = self.waiting.pop_front().filter(|_| status == "Submitted");
        if let Some(span) = submitted.and_then(|action| self.spans.get_mut(action.span)) {
            span.ended_at_ns = Some(ended_at_ns.max(span.started_at_ns.unwrap_or(ended_at_ns)));
            set_result(span, submission.clone());
        }
        let mut root = Span {
            span_id: ROOT.into(),
            name: rest.take("instance_id").as_id().unwrap_or_else(|| class_of_agent(&info)),
            kind: SpanKind::Agent,
            // Before the first message with a time is the task.
            started_at_ns: Some(started_at_ns.saturating_sub(1)),
            // A run without a status did not end.
            ended_at_ns: (!status.is_empty()).then_some(ended_at_ns.saturating_add(1)),
            output_text: Some(submission).filter(|text| !text.is_empty() && status == "Submitted"),
            ..Span::default()
        };
        if !matches!(status.as_str(), "" | "Submitted") {
            self.fail(&mut root, &status, &info);
        }
        keep_attribute(&mut root, "info".into(), info);
        rest.keep_rest(&mut root);
        self.spans.push(root);
        self.spans
    }

    /// Fails the run. If its model call raised, that call gets a span too.
    fn fail(&mut self, root: &mut Span, status: &str, info: &Value<'_>) {
        let traceback = self.failure.traceback.take().or_else(|| info.text_at("traceback")).filter(|text| !text.is_empty());
        let old_message = || info.text_at("submission").filter(|text| !text.is_empty());
        let message =
            self.failure.message.take().or_else(|| info.text_at("exception_str")).or_else(old_message).unwrap_or_else(|| status.to_owned());
        root.status = Status::Error;
        root.error_type = Some(status.to_owned());
        let Some(stack) = traceback else {
            root.status_message = Some(reached_limit(status, info).unwrap_or(message));
            return;
        };
        let mut exception = error_text::exception(&message);
        if exception.kind.is_empty() {
            status.clone_into(&mut exception.kind);
        }
        let called_model = stack.contains("model.query(");
        exception.stack = Some(stack);
        root.status_message = Some(message.clone());
        root.exceptions.push(exception.clone());
        if called_model && self.waiting.is_empty() {
            let mut span = Span {
                span_id: self.index.to_string(),
                parent_span_id: Some(ROOT.into()),
                started_at_ns: root.ended_at_ns.map(|end| end.saturating_sub(1)),
                ..Span::default()
            };
            self.read_answer(&mut span, &Value::Null, &Value::Null);
            (span.ended_at_ns, span.status, span.status_message, span.exceptions) =
                (span.started_at_ns, Status::Error, Some(message), vec![exception]);
            self.spans.push(span);
        }
    }
}

/// The name of the agent's class, for runs without a task: `DefaultAgent`.
fn class_of_agent(info: &Value<'_>) -> String {
    let class = info.get("config").get("agent_type").as_str().and_then(|path| path.rsplit('.').next());
    class.unwrap_or("mini-swe-agent").to_owned()
}

/// The step that did not find an action in the answer of a model call, which itself succeeded.
fn failed_parse(call: &Span, explanation: Option<&Message>) -> Span {
    Span {
        span_id: format!("{}.parse", call.span_id),
        parent_span_id: Some(call.span_id.clone()),
        name: "parse".into(),
        kind: SpanKind::Chain,
        started_at_ns: call.ended_at_ns,
        ended_at_ns: call.ended_at_ns,
        status: Status::Error,
        error_type: Some("FormatError".into()),
        status_message: explanation.map(|message| message.content.clone()),
        ..Span::default()
    }
}

/// Which limit of `config.agent` a run reached: `LimitsExceeded: ended after 6 model calls (step_limit 6)`.
fn reached_limit(status: &str, info: &Value<'_>) -> Option<String> {
    let (config, used) = (info.get("config").get("agent"), info.get("model_stats"));
    let (calls, cost) = (used.get("api_calls"), used.get("instance_cost"));
    let is_reached = |limit: &Value<'_>, used: &Value<'_>| {
        let (limit, used) = (limit.as_f64().unwrap_or_default(), used.as_f64().unwrap_or_default());
        limit > 0.0 && used >= limit
    };
    let (steps_max, cost_max) = (config.get("step_limit"), config.get("cost_limit"));
    if status != "LimitsExceeded" {
        None
    } else if is_reached(steps_max, calls) {
        Some(format!("{status}: ended after {} model calls (step_limit {})", calls.to_text(), steps_max.to_text()))
    } else if is_reached(cost_max, cost) {
        Some(format!("{status}: cost limit reached (instance_cost {}, cost_limit {})", cost.to_text(), cost_max.to_text()))
    } else {
        None
    }
}

/// How a command failed: its return code, and the last line of what it wrote. A code without output is an answer, such as that of `grep`.
fn failed_command(code: &Value<'_>, output: &str) -> Option<String> {
    let last_line = output.trim_end().lines().next_back().map(str::trim).filter(|line| !line.is_empty())?;
    // The code of the agent raised, which is something else than a command without its file.
    let what = if output.contains("Traceback (most recent call last)") { "code execution failed, returncode" } else { "returncode" };
    matches!(code, Value::Int(code) if *code != 0).then(|| format!("{what} {}: {last_line}", code.to_text()))
}

/// The return code in a result, and the output after it: `<returncode>1</returncode>\n<output>\n…</output>`.
fn code_in(result: &str) -> Option<(i64, &str)> {
    let (code, rest) = result.strip_prefix("<returncode>")?.split_once("</returncode>")?;
    let output = rest.trim().strip_prefix("<output>").unwrap_or(rest).trim_end().trim_end_matches("</output>");
    Some((code.parse().ok()?, output))
}

/// Whether a command ends the run. What it submits is the result of the run, and no work of a tool.
fn submits(command: &str) -> bool {
    ["COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", "MINI_SWE_AGENT_FINAL_OUTPUT"].iter().any(|word| command.contains(word))
}

fn set_result(span: &mut Span, result: String) {
    match &mut span.tool {
        Some(tool) => tool.result = Some(result),
        None => span.output_text = Some(result),
    }
}

/// The command in an answer that has exactly one fenced block of shell code.
fn only_block(content: &str) -> Option<&str> {
    let mut found = None;
    let mut rest = content;
    while let Some((_, after)) = rest.split_once("```") {
        let (language, body) = after.split_once('\n')?;
        let (block, after) = body.split_once("\n```")?;
        if matches!(language.trim(), "bash" | "mswea_bash_command" | "sh") && found.replace(block.trim()).is_some() {
            return None;
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::parse_line;

    fn run(info: &str, messages: &str) -> Vec<Span> {
        let line = format!(
            r#"{{"info":{{{info}}},"messages":[{messages}],"trajectory_format":"mini-swe-agent-1.1","instance_id":"acme__repo-1"}}"#
        );
        let out = parse_line(&MiniSweAgent, &line);
        assert!(out.rejections.is_empty() && out.fragments.iter().all(|fragment| fragment.has_synthetic_id), "{:?}", out.rejections);
        out.fragments.into_iter().map(|fragment| fragment.span).collect()
    }

    const ANSWER: &str = r#"{"role":"assistant","content":"look","tool_calls":[{"id":"c1","function":{"name":"bash","arguments":"{\"command\": \"ls\"}"}}],
        "extra":{"actions":[{"command":"ls","tool_call_id":"c1"},{"command":"pwd","tool_call_id":"c2"}],"timestamp":1795633541.5,
        "response":{"model":"gpt-4o","choices":[{"finish_reason":"tool_calls","message":{"role":"assistant","content":"look"}}],"usage":{"prompt_tokens":5,"completion_tokens":2}}}}"#;

    #[test]
    fn an_action_that_was_not_executed_did_not_fail() {
        let spans = run(
            r#""exit_status":"Submitted","submission":"ok""#,
            r#"{"role":"assistant","content":"","extra":{"actions":[{"command":"echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT","tool_call_id":"c"}],"timestamp":1795706962.5}},
            {"role":"tool","tool_call_id":"c","content":"","extra":{"returncode":-1,"raw_output":"","exception_info":"action was not executed"}}"#,
        );
        assert!(spans.iter().all(|span| span.status == Status::Unset), "{spans:?}");
        assert!(spans.iter().any(|span| span.name == "submit"));
    }

    #[test]
    fn actions_get_the_results_that_answer_them() {
        let second = r#"{"role":"tool","tool_call_id":"c2","content":"/repo","extra":{"returncode":0,"timestamp":1795633542.5,"exception_info":""}}"#;
        let first = r#"{"role":"tool","tool_call_id":"c1","content":"late","extra":{"returncode":-1,"timestamp":1795633542.5,"exception_info":"Command 'ls' timed out after 4 seconds","exception_type":"TimeoutExpired"}}"#;
        let spans = run(r#""exit_status":"","model_stats":{}"#, &format!("{ANSWER},{second},{first}"));
        let result = |index: usize| spans[index].tool.as_ref().unwrap().result.as_deref();
        assert_eq!(
            (spans[0].model.as_deref(), spans[0].usage.input, spans[0].finish_reasons[0].as_str()),
            (Some("gpt-4o"), Some(5), "tool_calls")
        );
        assert_eq!((result(1), result(2), spans[2].attribute("returncode")), (Some("late"), Some("/repo"), Some("0")));
        assert_eq!(
            (spans[1].status, spans[1].error_type.as_deref(), spans[2].status),
            (Status::Error, Some("TimeoutExpired"), Status::Unset)
        );
        // A run without a status did not end.
        assert_eq!((spans[3].name.as_str(), spans[3].ended_at_ns), ("acme__repo-1", None));
    }

    #[test]
    fn the_end_of_a_run_is_its_outcome() {
        let exit = |status: &str, extra: &str| {
            format!(r#"{{"role":"exit","content":"{status}","extra":{{"exit_status":"{status}","submission":"done"{extra}}}}}"#)
        };
        let spans = run(r#""exit_status":"Submitted","submission":"done""#, &format!("{ANSWER},{}", exit("Submitted", "")));
        assert_eq!((spans[1].tool.as_ref().unwrap().result.as_deref(), spans[3].output_text.as_deref()), (Some("done"), Some("done")));
        let stats = r#""exit_status":"LimitsExceeded","submission":"","config":{"agent":{"step_limit":1,"cost_limit":3.0}},"model_stats":{"api_calls":1,"instance_cost":0.1}"#;
        let spans = run(stats, &format!("{ANSWER},{}", exit("LimitsExceeded", "")));
        assert_eq!(spans[3].status_message.as_deref(), Some("LimitsExceeded: ended after 1 model calls (step_limit 1)"));
        let traceback = r#","exception_str":"litellm.RateLimitError: slow down","traceback":"  File \"default.py\"\n    message = self.model.query(self.messages)\n""#;
        let spans = run(r#""exit_status":"RateLimitError""#, &exit("RateLimitError", traceback));
        assert_eq!(
            (spans[0].kind, spans[0].status, spans[0].exceptions[0].kind.as_str()),
            (SpanKind::Llm, Status::Error, "litellm.RateLimitError")
        );
        assert_eq!((spans[1].kind, spans[1].error_type.as_deref()), (SpanKind::Agent, Some("RateLimitError")));
    }

    #[test]
    fn a_command_with_an_exit_code_and_output_failed() {
        let failed = |code: i64, output: &str| failed_command(&Value::Int(code), output);
        assert_eq!(
            failed(1, "cat: a.py: No such file or directory\n"),
            Some("returncode 1: cat: a.py: No such file or directory".to_owned())
        );
        let raised = "Traceback (most recent call last):\n  File \"<string>\", line 1\nKeyError: 'size'\n";
        assert_eq!(failed(1, raised), Some("code execution failed, returncode 1: KeyError: 'size'".to_owned()));
        assert_eq!((failed(1, "\n"), failed(0, "a"), failed_command(&Value::Null, "a")), (None, None, None));
        assert_eq!(code_in("<returncode>1</returncode>\n<output>\nno\n</output>"), Some((1, "\nno\n")));
        assert_eq!((code_in("Observation: {'returncode': 1}"), code_in("<returncode>x</returncode>")), (None, None));
        assert!(!submits("ls") && submits("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && cat a.patch"));
    }

    #[test]
    fn an_answer_without_one_action_fails() {
        let rejected = r#"{"role":"user","content":"Expected exactly 1 action","extra":{"interrupt_type":"FormatError","model_response":"fine","n_actions":0}}"#;
        let spans = run(r#""exit_status":"RepeatedFormatError""#, rejected);
        assert_eq!(
            (spans[0].output[0].content.as_str(), spans[0].status, spans[1].error_type.as_deref()),
            ("fine", Status::Unset, Some("FormatError"))
        );
        let old = r#"{"role":"assistant","content":"```bash\nls\n```\n```bash\npwd\n```"},{"role":"user","content":"EXACTLY ONE action"},
            {"role":"assistant","content":"```bash\nls\n```"},{"role":"user","content":"<returncode>0</returncode>"}"#;
        let spans = run(r#""exit_status":"""#, old);
        assert_eq!(
            (spans[1].status_message.as_deref(), spans[2].input[0].content.as_str()),
            (Some("EXACTLY ONE action"), "EXACTLY ONE action")
        );
        let tool = spans[3].tool.as_ref().unwrap();
        assert_eq!((tool.arguments.as_str(), tool.result.as_deref()), (r#"{"command":"ls"}"#, Some("<returncode>0</returncode>")));
    }

    #[test]
    fn messages_of_another_program_are_a_chat() {
        let out = parse_line(&MiniSweAgent, r#"{"info":{"reward":0},"messages":[{"role":"user","content":"hi"}]}"#);
        assert_eq!((out.fragments.len(), out.fragments[0].span.span_id.as_str()), (1, "0"));
        let out = parse_line(&MiniSweAgent, r#"{"info":{"exit_status":"x"},"messages":[],"trajectory_format":"mini-swe-agent-1"}"#);
        assert_eq!(out.rejections[0].kind, RejectionKind::NoSpans);
    }
}
