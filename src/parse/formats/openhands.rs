//! Runs of OpenHands: rows of an evaluation (`output.jsonl`), trajectories that are lists of events, and events in files of their own.
//!
//! Specification: `EvalOutput` in `evaluation/utils/shared.py` and `openhands/events` of <https://github.com/All-Hands-AI/OpenHands> 0.59 (events with
//! `action` or `observation`), `openhands-sdk/openhands/sdk/event` of <https://github.com/OpenHands/software-agent-sdk> 1.9 (events with `kind`).
//!
//! ```json
//! {"instance_id": "acme__repo-1", "instruction": "Fix it.", "metadata": {"agent_class": "CodeActAgent"}, "metrics": {}, "error": null, "test_result": {},
//!  "history": [{"id": 3, "timestamp": "2026-11-25T19:03:41.220", "source": "agent", "action": "run", "args": {"command": "ls", "thought": "Let me look."},
//!    "tool_call_metadata": {"function_name": "execute_bash", "tool_call_id": "c1", "model_response": {}, "total_calls_in_response": 1}},
//!   {"id": 4, "timestamp": "2026-11-25T19:03:42.100", "source": "agent", "observation": "run", "content": "setup.py", "cause": 3, "extras": {"metadata": {"exit_code": 0}}}]}
//! ```
//!
//! | row, event | span |
//! |---|---|
//! | the row | agent; `error` is its error, `test_result.report.resolved` an annotation |
//! | action of the agent, `ActionEvent`, `MessageEvent` | model call: the first action of a response; `tool_call_metadata.model_response` is the output |
//! | observation, `ObservationEvent`, `AgentErrorEvent`, `UserRejectObservation` | tool, with the id of the call that it answers |
//! | observation `agent_state_changed` to `error`, `ConversationErrorEvent`, observation `error` without a cause | failed chain |
//! | message of the user or of the system | input of the model call that follows; of a trajectory, a span of its own |
//!
//! Quirks of real files:
//! - Lists of events and files of events have no id of the run: their location serves as the id.
//! - An action without `tool_call_metadata` has no id of a call: it is the id of the event, which is the `cause` of its observation.
//! - Rows of old versions have pairs of an action and its observation.
//! - A command that failed is a normal observation with an `exit_code`.

use crate::model::{Annotation, Message, RejectionKind, Span, SpanKind, Status, ToolCall, ToolUse};
use crate::parse::record::{self, Record, keep_attribute};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, Position, RecordLocation, Signature, Skip, error_text, infer, messages};

/// The format of OpenHands' runs; see the [module docs](self).
pub(super) struct OpenHands;

impl Format for OpenHands {
    fn name(&self) -> &'static str {
        "openhands"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["instance_id", "test_result", "history", "metrics"]),
                Signature::unique(&["id", "timestamp", "source", "action", "args"]),
                Signature::unique(&["id", "timestamp", "source", "observation", "content", "extras"]),
                // Events of the SDK.
                Signature::unique(&["id", "timestamp", "source", "kind", "tool_call_id"]),
                Signature::unique(&["id", "timestamp", "source", "kind", "llm_message"]),
                Signature::unique(&["id", "timestamp", "source", "kind", "system_prompt"]),
                Signature::common(&["id", "timestamp", "source", "kind"]),
            ]
        }
    }

    fn parse_record(&self, record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("history") {
            return parse_row(record, location, out);
        }
        let event = record.into_value();
        if is_event(&event) {
            return parse_event(&event, location, out);
        }
        let reason = format!(
            "cannot read {location}: not an event of OpenHands\n  hint: an event has an action, an observation or a kind such as ActionEvent"
        );
        out.reject(location, RejectionKind::UnrecognisedFormat, reason)
    }
}

/// Whether a value is an event: other programs have objects with a `source` and a `kind` too.
fn is_event(value: &Value<'_>) -> bool {
    let is_kind = |kind: &str| kind.ends_with("Event") || kind.starts_with("Condensation") || kind == "UserRejectObservation";
    value.get("kind").as_str().is_some_and(is_kind) || value.first(&["action", "observation"]).as_str().is_some()
}

const ROOT: &str = "run";

/// Parses a row of an evaluation.
fn parse_row(mut row: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let history = row.take_tree("history");
    let mut run = Run { parent: Some(ROOT), fallback_ns: location.modified_at_ns, ..Run::default() };
    for event in history.items() {
        match event {
            Value::List(pair) => pair.iter().for_each(|event| run.add(event)),
            event => run.add(event),
        }
    }
    let times = || run.spans.iter().filter_map(|span| span.started_at_ns);
    let mut root = Span {
        span_id: ROOT.into(),
        name: row.take_text("instance_id").unwrap_or_else(|| ROOT.into()),
        kind: SpanKind::Agent,
        started_at_ns: Some(times().min().unwrap_or(location.modified_at_ns)),
        ended_at_ns: Some(times().max().unwrap_or(location.modified_at_ns)),
        input_text: row.take_text("instruction"),
        ..Span::default()
    };
    let resolved = row.take("test_result");
    if let Value::Bool(is_resolved) = resolved.get("report").get("resolved") {
        let label = Some(is_resolved.to_string());
        root.annotations.push(Annotation { name: "resolved".into(), label, score: None, comment: None });
    }
    keep_attribute(&mut root, "test_result".into(), resolved);
    if let Some(error) = row.take_text("error") {
        let exception = error_text::exception(&error);
        root.status = Status::Error;
        root.exceptions.extend((!exception.kind.is_empty()).then_some(exception));
        root.status_message = Some(error);
    }
    row.keep_rest(&mut root);
    let spans = std::iter::once(root).chain(run.spans);
    add_spans(spans, &location.to_string(), location, out)
}

/// Parses an event of a trajectory, which is a list of events, or a folder with a file for each.
fn parse_event(event: &Value<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let trace_id = match (location.uri.rsplit_once("/events/"), location.position) {
        (Some((conversation, _)), _) => conversation.to_owned(),
        (None, Position::Item(line, _)) => format!("{}#L{line}", location.uri),
        (None, _) => location.uri.to_owned(),
    };
    let mut run = Run { fallback_ns: location.modified_at_ns, ..Run::default() };
    run.add(event);
    let input = std::mem::take(&mut run.input);
    if let Some((id, time)) = run.last.take().filter(|_| run.spans.is_empty() && !input.is_empty()) {
        run.spans.push(Span {
            span_id: id,
            name: "message".into(),
            started_at_ns: Some(time),
            ended_at_ns: Some(time),
            input,
            ..Span::default()
        });
    }
    add_spans(run.spans.into_iter(), &trace_id, location, out)
}

fn add_spans(spans: impl Iterator<Item = Span>, trace_id: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let added: Vec<Accounted> = spans
        .map(|span| {
            let mut fragment = record::fragment(trace_id.to_owned(), infer::infer_fields(span), location);
            fragment.service = Some("openhands".to_owned());
            fragment.has_synthetic_id = true;
            out.span(fragment)
        })
        .collect();
    Accounted::of_parts(added).unwrap_or_else(|| out.skip(Skip::OtherEvent, location))
}

/// The events of a run, read in order. A single event is a run too.
#[derive(Default)]
struct Run {
    spans: Vec<Span>,
    parent: Option<&'static str>,
    /// The messages since the previous model call.
    input: Vec<Message>,
    /// Id and time of the last event.
    last: Option<(String, i64)>,
    fallback_ns: i64,
}

impl Run {
    fn add(&mut self, event: &Value<'_>) {
        self.fallback_ns = self.fallback_ns.saturating_add(1);
        let time = event.get("timestamp").as_time().unwrap_or(self.fallback_ns);
        let id = event.get("id").as_id().unwrap_or_else(|| format!("event-{}", self.fallback_ns));
        self.last = Some((id.clone(), time));
        let span = Span {
            span_id: id,
            parent_span_id: self.parent.map(str::to_owned),
            started_at_ns: Some(time),
            ended_at_ns: Some(time),
            ..Span::default()
        };
        let is_of_agent = event.get("source").as_str() == Some("agent");
        match (event.get("kind").as_str(), event.get("action").as_str(), event.get("observation").as_str()) {
            (Some(kind), ..) => self.add_of_sdk(kind, event, span, is_of_agent),
            (None, Some(action), _) => self.action(action, event, span, is_of_agent),
            (None, None, Some(observation)) => self.observation(observation, event, span),
            _ => {}
        }
    }

    fn action(&mut self, action: &str, event: &Value<'_>, span: Span, is_of_agent: bool) {
        let args = event.get("args");
        let text = args.first(&["thought", "content", "final_thought"]).to_text();
        match action {
            "system" => self.read_input("system", text),
            "message" if !is_of_agent => self.read_input("user", text),
            // They change the run itself.
            "change_agent_state" | "recall" | "null" | "pause" | "resume" | "stop" | "start" | "condensation" | "condensation_request" => {}
            _ if !is_of_agent => {}
            _ => {
                let call = event.get("tool_call_metadata");
                let response = call.get("model_response");
                let found = messages::conversation(response).unwrap_or_default();
                let first = found.messages.iter().flat_map(|message| &message.tool_calls).next().and_then(|first| first.id.as_deref());
                if first.is_some() && first != call.get("tool_call_id").as_str() {
                    // Another action of the same response.
                    return;
                }
                let mut span =
                    Span { kind: SpanKind::Llm, finish_reasons: found.finish_reasons, usage: found.usage, model: found.model, ..span };
                span.output = found.messages;
                if span.output.is_empty() {
                    let is_call = !matches!(action, "message" | "finish" | "think" | "reject");
                    let id = Some(span.span_id.clone());
                    let calls = is_call.then(|| ToolCall { id, name: action.to_owned(), arguments: args.to_text() });
                    let message =
                        Message { role: "assistant".into(), content: text, tool_calls: calls.into_iter().collect(), ..Message::default() };
                    span.output.push(message);
                }
                self.push_model_call(span);
            }
        }
    }

    fn observation(&mut self, observation: &str, event: &Value<'_>, mut span: Span) {
        let (extras, content) = (event.get("extras"), event.get("content").to_text());
        let call = event.get("tool_call_metadata");
        let call_id = call.get("tool_call_id").as_id().or_else(|| event.get("cause").as_id());
        match observation {
            "agent_state_changed" => {
                if extras.get("agent_state").as_str() == Some("error") {
                    fail(&mut span, "agent_state_changed", extras.get("reason").to_text());
                    self.spans.push(span);
                }
            }
            "null" | "recall" | "condense" | "system" => {}
            "error" if call_id.is_none() => {
                fail(&mut span, "error", content);
                span.error_type = extras.text_at("error_id").filter(|id| !id.is_empty());
                self.spans.push(span);
            }
            _ => {
                let name = call.text_at("function_name").unwrap_or_else(|| observation.to_owned());
                let exit_code = [extras.get("metadata").get("exit_code"), extras.get("exit_code")].into_iter().find(|code| !code.is_null());
                keep_attribute(&mut span, "exit_code".into(), exit_code.cloned().unwrap_or_default());
                let has_failed = matches!(observation, "error" | "user_rejected") || matches!(extras.get("error"), Value::Bool(true));
                self.push_tool(span, name, call_id, content, has_failed);
            }
        }
    }

    fn add_of_sdk(&mut self, kind: &str, event: &Value<'_>, mut span: Span, is_of_agent: bool) {
        let call_id = event.get("tool_call_id").as_id();
        let name = event.text_at("tool_name").unwrap_or_default();
        match kind {
            "SystemPromptEvent" => self.read_input("system", event.get("system_prompt").get("text").to_text()),
            "MessageEvent" => {
                let found = messages::message(event.get("llm_message")).unwrap_or_default();
                if is_of_agent {
                    self.push_model_call(Span { kind: SpanKind::Llm, output: vec![found], ..span });
                } else {
                    self.input.push(found);
                }
            }
            "ActionEvent" => {
                let arguments = event.get("tool_call").get("arguments").to_text();
                let call = ToolCall { id: call_id, name, arguments };
                let content = messages::tool_result_text(event.get("thought"));
                let content = if content == "[]" { String::new() } else { content };
                span.output = vec![Message { role: "assistant".into(), content, tool_calls: vec![call], ..Message::default() }];
                self.push_model_call(Span { kind: SpanKind::Llm, ..span });
            }
            "ObservationEvent" => {
                let observation = event.get("observation");
                let content = observation.first(&["content", "output", "text"]);
                let content = if content.is_null() { observation } else { content };
                keep_attribute(&mut span, "exit_code".into(), observation.get("exit_code").clone());
                let has_failed = matches!(observation.get("is_error"), Value::Bool(true));
                self.push_tool(span, name, call_id, messages::tool_result_text(content), has_failed);
            }
            "AgentErrorEvent" => self.push_tool(span, name, call_id, event.get("error").to_text(), true),
            "UserRejectObservation" => self.push_tool(span, name, call_id, event.get("rejection_reason").to_text(), true),
            "ConversationErrorEvent" => {
                fail(&mut span, "conversation", event.get("detail").to_text());
                span.error_type = event.text_at("code");
                self.spans.push(span);
            }
            _ => {}
        }
    }

    fn read_input(&mut self, role: &str, content: String) {
        self.input.push(Message { role: role.into(), content, ..Message::default() });
    }

    fn push_model_call(&mut self, span: Span) {
        let name = span.model.clone().unwrap_or_else(|| "model".into());
        self.spans.push(Span { name, input: std::mem::take(&mut self.input), ..span });
    }

    fn push_tool(&mut self, mut span: Span, name: String, call_id: Option<String>, result: String, has_failed: bool) {
        if self.parent.is_some() {
            self.input.push(Message { role: "tool".into(), content: result.clone(), tool_call_id: call_id.clone(), ..Message::default() });
        }
        span.kind = SpanKind::Tool;
        span.name.clone_from(&name);
        if has_failed {
            (span.status, span.status_message) = (Status::Error, Some(result.clone()));
        }
        // The arguments are in the message that requested the call.
        span.tool = Some(ToolUse { name, call_id, arguments: String::new(), result: Some(result) });
        self.spans.push(span);
    }
}

fn fail(span: &mut Span, name: &str, message: String) {
    (span.kind, span.name, span.status) = (SpanKind::Chain, name.to_owned(), Status::Error);
    span.status_message = Some(message).filter(|message| !message.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::{parse_at, parse_line};

    const ACTION: &str = r#"{"id":3,"timestamp":"2026-11-25T19:03:41.220","source":"agent","action":"run","args":{"command":"ls","thought":"look"},
        "tool_call_metadata":{"function_name":"execute_bash","tool_call_id":"c1","total_calls_in_response":2,"model_response":{"model":"gpt","choices":[{"finish_reason":"tool_calls",
        "message":{"role":"assistant","content":"look","tool_calls":[{"id":"c1","function":{"name":"execute_bash","arguments":"{}"}},{"id":"c2","function":{"name":"execute_bash","arguments":"{}"}}]}}],"usage":{"prompt_tokens":5,"completion_tokens":2}}}}"#;
    const OBSERVATION: &str = r#"{"id":4,"timestamp":"2026-11-25T19:03:42","source":"agent","observation":"run","content":"setup.py","cause":3,"extras":{"metadata":{"exit_code":2}},
        "tool_call_metadata":{"function_name":"execute_bash","tool_call_id":"c1","total_calls_in_response":2,"model_response":{}}}"#;

    #[test]
    fn a_row_is_a_run() {
        let second = ACTION.replace(r#""id":3"#, r#""id":5"#).replace(r#""tool_call_id":"c1","total"#, r#""tool_call_id":"c2","total"#);
        let user = r#"{"id":1,"timestamp":"2026-11-25T19:03:40","source":"user","action":"message","args":{"content":"fix"}}"#;
        let old = r#"[{"source":"agent","action":"run","id":7,"args":{"command":"pwd"}},{"observation":"error","id":8,"cause":7,"content":"no shell","extras":{}}]"#;
        let line = format!(
            r#"{{"instance_id":"acme-1","test_result":{{"report":{{"resolved":false}}}},"metrics":{{}},"error":"RuntimeError: Agent reached maximum iteration","history":[{user},{ACTION},{OBSERVATION},{second},{old}]}}"#
        );
        let spans: Vec<Span> = parse_line(&OpenHands, &line).fragments.into_iter().map(|fragment| fragment.span).collect();
        let kinds: Vec<_> = spans.iter().map(|span| (span.span_id.as_str(), span.kind, span.status)).collect();
        assert_eq!(
            kinds,
            [
                ("run", SpanKind::Agent, Status::Error),
                ("3", SpanKind::Llm, Status::Unset),
                ("4", SpanKind::Tool, Status::Unset),
                ("7", SpanKind::Llm, Status::Unset),
                ("8", SpanKind::Tool, Status::Error)
            ]
        );
        assert_eq!((spans[0].exceptions[0].kind.as_str(), spans[0].annotations[0].label.as_deref()), ("RuntimeError", Some("false")));
        assert_eq!((spans[1].input[0].content.as_str(), spans[1].usage.input, spans[1].output[0].tool_calls.len()), ("fix", Some(5), 2));
        assert_eq!((spans[2].tool.as_ref().unwrap().call_id.as_deref(), spans[2].attribute("exit_code")), (Some("c1"), Some("2")));
        assert_eq!(
            (spans[3].output[0].tool_calls[0].id.as_deref(), spans[4].tool.as_ref().unwrap().call_id.as_deref()),
            (Some("7"), Some("7"))
        );
    }

    #[test]
    fn events_of_a_list_belong_to_one_trace() {
        let of = |event: &str, item| parse_at(&OpenHands, event, Position::Item(1, item)).fragments.remove(0);
        let (call, tool) = (of(ACTION, 1), of(OBSERVATION, 2));
        assert_eq!((call.trace_id.as_str(), tool.trace_id.as_str(), call.has_synthetic_id), ("t.jsonl#L1", "t.jsonl#L1", true));
        let user = of(r#"{"id":1,"timestamp":"2026-11-25T19:03:40","source":"user","action":"message","args":{"content":"fix"}}"#, 3);
        assert_eq!((user.span.span_id.as_str(), user.span.input[0].content.as_str(), user.span.kind), ("1", "fix", SpanKind::Other));
        let state = r#"{"id":9,"timestamp":"2026-11-25T19:03:40","source":"environment","observation":"agent_state_changed","content":"","extras":{"agent_state":"error","reason":"RateLimitError: slow down"}}"#;
        assert_eq!(of(state, 4).span.status_message.as_deref(), Some("RateLimitError: slow down"));
        let out = parse_at(&OpenHands, &state.replace(r#""error","#, r#""running","#), Position::Item(1, 5));
        assert_eq!(out.records.skipped, 1);
    }

    #[test]
    fn events_of_the_sdk_are_read() {
        let event = |fields: &str| {
            let line = format!(r#"{{"id":"e1","timestamp":"2026-11-25T19:03:41","source":"agent",{fields}}}"#);
            parse_line(&OpenHands, &line).fragments.remove(0).span
        };
        let call = event(
            r#""kind":"ActionEvent","thought":[{"type":"text","text":"look"}],"tool_name":"terminal","tool_call_id":"c1","tool_call":{"id":"c1","name":"terminal","arguments":"{\"command\":\"ls\"}"},"llm_response_id":"r""#,
        );
        assert_eq!((call.output[0].content.as_str(), call.output[0].tool_calls[0].arguments.as_str()), ("look", r#"{"command":"ls"}"#));
        let tool = event(
            r#""kind":"ObservationEvent","tool_name":"terminal","tool_call_id":"c1","action_id":"e0","observation":{"kind":"TerminalObservation","content":[{"type":"text","text":"late"}],"is_error":true,"exit_code":1}"#,
        );
        assert_eq!(
            (tool.tool.as_ref().unwrap().result.as_deref(), tool.status, tool.attribute("exit_code")),
            (Some("late"), Status::Error, Some("1"))
        );
        let error = event(r#""kind":"ConversationErrorEvent","code":"LLMAuthenticationError","detail":"Incorrect API key""#);
        assert_eq!(
            (error.error_type.as_deref(), error.status_message.as_deref()),
            (Some("LLMAuthenticationError"), Some("Incorrect API key"))
        );
        let unknown = event(r#""kind":"AgentErrorEvent","tool_name":"nope","tool_call_id":"c2","error":"Tool 'nope' not found""#);
        assert_eq!((unknown.name.as_str(), unknown.status), ("nope", Status::Error));
        let other = parse_line(&OpenHands, r#"{"id":"1","timestamp":"2026-11-25T19:03:41","source":"billing","kind":"invoice"}"#);
        assert_eq!(other.rejections[0].kind, RejectionKind::UnrecognisedFormat);
    }
}
