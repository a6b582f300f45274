//! Results of tau2-bench: `results.json` with all simulations of a run, or one simulation per file.
//!
//! Specification: the classes `Results` and `SimulationRun` in `src/tau2/data_model/simulation.py` of <https://github.com/sierra-research/tau2-bench>,
//! checked against results of 0.2 and the source of 1.0.
//!
//! ```json
//! {"timestamp": "2026-11-25T19:03:47", "info": {"agent_info": {"llm": "gpt-4o-mini"}, "environment_info": {"domain_name": "airline"}}, "tasks": [],
//!  "simulations": [{"id": "0b1c…", "task_id": "7", "start_time": "2026-11-25T19:03:40.120", "end_time": "2026-11-25T19:03:47.480",
//!    "termination_reason": "user_stop", "reward_info": {"reward": 0.0}, "trial": 0, "messages": [{"role": "assistant", "content": "Hi!",
//!    "tool_calls": [{"id": "c1", "name": "get_user", "arguments": {}, "requestor": "assistant"}], "timestamp": "2026-11-25T19:03:41.220"}]}]}
//! ```
//!
//! | simulation | span |
//! |---|---|
//! | `id`, `info.environment_info.domain_name` | trace id, service |
//! | the simulation | agent; `termination_reason` other than `user_stop` and `agent_stop` is its error |
//! | `reward_info.reward`, `reward_breakdown` | annotations |
//! | message of the assistant | model call, with the messages since the previous one as its input; `usage`, and `raw_data`, the raw response |
//! | message of a tool | tool: the call with its id; `error` |
//!
//! Quirks of real files:
//! - Times have no zone, and are those at which a message was complete, so a step starts where the one before it ended.
//! - The simulated user is a model too, and calls tools in some domains (`requestor: user`). Its messages are input of the agent, its tools are spans.
//! - Full-duplex simulations (voice, 1.0) have `ticks` in place of `messages`: pieces of speech, and tool calls.

use std::collections::HashMap;

use crate::model::{Annotation, Message, Rejection, RejectionKind, Span, SpanKind, Stage, Status, ToolCall, ToolUse};
use crate::parse::record::{self, Record, keep_attribute};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip, infer, messages};

/// The format of tau2-bench's results; see the [module docs](self).
pub(super) struct Tau2;

impl Format for Tau2 {
    fn name(&self) -> &'static str {
        "tau2"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["info", "tasks", "simulations"]),
                // A simulation.
                Signature::unique(&["id", "task_id", "start_time", "end_time", "termination_reason"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if !record.has("simulations") {
            return parse_simulation(record, &Setup::default(), location, out);
        }
        let setup = Setup::of_info(&record.take("info"));
        match record.take("simulations") {
            Value::List(simulations) => record::parse_each(simulations, location, out, |simulation, location, out| {
                parse_simulation(simulation, &setup, location, out)
            }),
            // The simulations are files of their own.
            Value::Null => out.skip(Skip::OtherEvent, location),
            other => {
                let reason = format!("cannot read {location}: simulations must be a list, found {}", other.type_name());
                out.reject(location, RejectionKind::MalformedRecord, reason)
            }
        }
    }
}

/// What a run says about all its simulations.
#[derive(Default)]
struct Setup {
    domain: Option<String>,
    model: Option<String>,
}

impl Setup {
    fn of_info(info: &Value<'_>) -> Self {
        Self { domain: info.get("environment_info").text_at("domain_name"), model: info.get("agent_info").text_at("llm") }
    }
}

const ROOT: &str = "simulation";

fn parse_simulation(mut simulation: Record<'_>, setup: &Setup, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let Some(trace_id) = simulation.take("id").as_id() else {
        let reason = format!("cannot read {location}: the simulation has no id");
        return out.reject(location, RejectionKind::MissingId, reason);
    };
    let started_at_ns = simulation.take("start_time").as_time().or_else(|| simulation.take("timestamp").as_time());
    let Some(started_at_ns) = started_at_ns else {
        let reason = format!("cannot read {location}: start_time is missing or not a time");
        return out.reject_as(Rejection::for_trace(&trace_id, location.uri, Stage::Parse, RejectionKind::MissingTime, reason));
    };
    let mut turns = Turns { spans: Vec::new(), setup, now_ns: started_at_ns, input: Vec::new(), calls: HashMap::new(), index: 0 };
    let (list, ticks) = (simulation.take("messages"), simulation.take("ticks"));
    turns.add_all(&list);
    if list.is_empty() {
        turns.add_ticks(&ticks);
    }
    let mut root = Span {
        span_id: ROOT.into(),
        name: simulation.take("task_id").as_id().map_or_else(|| ROOT.into(), |task| format!("task {task}")),
        kind: SpanKind::Agent,
        started_at_ns: Some(started_at_ns),
        ended_at_ns: simulation.take("end_time").as_time(),
        annotations: annotations(&simulation.take("reward_info")),
        ..Span::default()
    };
    let ended = simulation.take_text("termination_reason").unwrap_or_default();
    if !matches!(ended.as_str(), "" | "user_stop" | "agent_stop") {
        let error = simulation.take("info").get("error").as_str().map(str::to_owned);
        root.status = Status::Error;
        root.status_message = Some(error.map_or_else(|| ended.clone(), |error| format!("{ended}: {error}")));
        root.error_type = Some(ended.clone());
    }
    keep_attribute(&mut root, "termination_reason".into(), Value::Text(ended.into()));
    simulation.discard(&["effect_timeline", "speech_environment"]);
    simulation.keep_rest(&mut root);
    let spans = std::iter::once(root).chain(turns.spans);
    let added: Vec<Accounted> = spans
        .map(|span| {
            let mut fragment = record::fragment(trace_id.clone(), infer::infer_fields(span), location);
            fragment.service.clone_from(&setup.domain);
            out.span(fragment)
        })
        .collect();
    Accounted::of_parts(added).unwrap_or_else(|| out.skip(Skip::Empty, location))
}

/// The reward, and what it consists of: `{"DB": 1.0, "COMMUNICATE": 0.0}`.
fn annotations(reward_info: &Value<'_>) -> Vec<Annotation> {
    let annotation = |name: String, value: &Value<'_>| Annotation { name, score: value.as_f64(), ..Annotation::default() };
    let total = std::iter::once(("reward".to_owned(), reward_info.get("reward")));
    let parts = reward_info.get("reward_breakdown").fields().iter().map(|(name, value)| (format!("reward.{name}"), value));
    total.chain(parts).filter(|(_, value)| !value.is_null()).map(|(name, value)| annotation(name, value)).collect()
}

/// The messages of a simulation, read in order.
struct Turns<'s> {
    spans: Vec<Span>,
    setup: &'s Setup,
    now_ns: i64,
    /// The messages since the previous model call.
    input: Vec<Message>,
    /// The calls so far, by their id.
    calls: HashMap<String, ToolCall>,
    index: usize,
}

impl Turns<'_> {
    fn add_all(&mut self, list: &Value<'_>) {
        for message in list.items() {
            // Several results are one message in memory, and in old files.
            match message.get("tool_messages") {
                Value::List(results) => results.iter().for_each(|result| self.add(result)),
                _ => self.add(message),
            }
        }
    }

    fn add_ticks(&mut self, ticks: &Value<'_>) {
        for tick in ticks.items() {
            for (chunk, role) in [("user_chunk", "user"), ("agent_chunk", "assistant")] {
                let (calls, results) =
                    if role == "user" { ("user_tool_calls", "user_tool_results") } else { ("agent_tool_calls", "agent_tool_results") };
                let text = tick.get(chunk).get("content").as_str().unwrap_or_default();
                if !text.is_empty() || !tick.get(calls).is_empty() {
                    let field = |key: &'static str, value: Value<'static>| (key.into(), value);
                    let message = Value::Map(vec![
                        field("role", Value::Text(role.into())),
                        field("content", Value::Text(text.to_owned().into())),
                        field("tool_calls", tick.get(calls).clone().into_owned()),
                        field("timestamp", tick.get("timestamp").clone().into_owned()),
                    ]);
                    self.add(&message);
                }
                tick.get(results).items().iter().for_each(|result| self.add(result));
            }
        }
    }

    fn add(&mut self, value: &Value<'_>) {
        let Some(message) = messages::message(value) else { return };
        let started_at_ns = self.now_ns;
        // Messages of one turn may have the same time.
        self.now_ns = value.get("timestamp").as_time().unwrap_or(started_at_ns).max(started_at_ns.saturating_add(1));
        let step = Span {
            span_id: self.index.to_string(),
            parent_span_id: Some(ROOT.into()),
            started_at_ns: Some(started_at_ns),
            ended_at_ns: Some(self.now_ns),
            ..Span::default()
        };
        self.index += 1;
        for call in &message.tool_calls {
            self.calls.extend(call.id.clone().map(|id| (id, call.clone())));
        }
        match message.role.as_str() {
            "assistant" => self.model_call(value, message, step),
            "tool" => {
                self.tool(value, &message, step);
                self.input.push(message);
            }
            _ => self.input.push(message),
        }
    }

    fn model_call(&mut self, value: &Value<'_>, message: Message, mut span: Span) {
        let raw = messages::conversation(value.get("raw_data")).unwrap_or_default();
        span.kind = SpanKind::Llm;
        span.model = raw.model.or_else(|| self.setup.model.clone());
        span.name = self.setup.model.clone().unwrap_or_else(|| "model".into());
        span.finish_reasons = raw.finish_reasons;
        let usage = value.get("usage");
        span.usage.input = usage.get("prompt_tokens").as_u64().or(raw.usage.input);
        span.usage.output = usage.get("completion_tokens").as_u64().or(raw.usage.output);
        span.input = std::mem::take(&mut self.input);
        span.output = vec![message];
        keep_attribute(&mut span, "cost".into(), value.get("cost").clone());
        self.spans.push(span);
    }

    fn tool(&mut self, value: &Value<'_>, message: &Message, mut span: Span) {
        let call = message.tool_call_id.as_ref().and_then(|id| self.calls.remove(id)).unwrap_or_default();
        span.kind = SpanKind::Tool;
        span.name.clone_from(&call.name);
        if matches!(value.get("error"), Value::Bool(true)) {
            span.status = Status::Error;
            span.status_message = Some(message.content.clone());
        }
        span.tool = Some(ToolUse {
            name: call.name,
            call_id: message.tool_call_id.clone(),
            arguments: call.arguments,
            result: Some(message.content.clone()),
        });
        keep_attribute(&mut span, "requestor".into(), value.get("requestor").clone());
        self.spans.push(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::parse_line;

    fn simulation(fields: &str) -> String {
        format!(r#"{{"id":"s1","task_id":"7","start_time":"2026-11-25T19:03:40","end_time":"2026-11-25T19:03:47",{fields}}}"#)
    }

    #[test]
    fn results_name_the_domain_and_the_model_of_their_simulations() {
        let one = simulation(
            r#""termination_reason":"max_steps","reward_info":{"reward":0.0,"reward_breakdown":{"DB":1.0}},"messages":[{"role":"user","content":"hi","timestamp":"2026-11-25T19:03:41"},
            {"role":"assistant","content":null,"tool_calls":[{"id":"c","name":"f","arguments":{"x":1},"requestor":"assistant"}],"timestamp":"2026-11-25T19:03:42","usage":{"prompt_tokens":5,"completion_tokens":2},"raw_data":{"finish_reason":"tool_calls","index":0,"message":{"role":"assistant"}}},
            {"id":"c","role":"tool","content":"Error: none","requestor":"assistant","error":true,"timestamp":"2026-11-25T19:03:42"}]"#,
        );
        let line = format!(
            r#"{{"timestamp":"t","info":{{"agent_info":{{"llm":"gpt"}},"environment_info":{{"domain_name":"airline"}}}},"tasks":[],"simulations":[{one}]}}"#
        );
        let out = parse_line(&Tau2, &line);
        assert_eq!(
            (out.fragments.len(), out.fragments[0].service.as_deref(), out.fragments[0].trace_id.as_str()),
            (3, Some("airline"), "s1")
        );
        let spans: Vec<&Span> = out.fragments.iter().map(|fragment| &fragment.span).collect();
        assert_eq!(
            (spans[0].status, spans[0].status_message.as_deref(), spans[0].annotations.len()),
            (Status::Error, Some("max_steps"), 2)
        );
        assert_eq!(
            (spans[1].model.as_deref(), spans[1].usage.input, spans[1].finish_reasons[0].as_str(), spans[1].input.len()),
            (Some("gpt"), Some(5), "tool_calls", 1)
        );
        let tool = spans[2].tool.as_ref().unwrap();
        assert_eq!(
            (tool.name.as_str(), tool.arguments.as_str(), spans[2].status, spans[2].parent_span_id.as_deref()),
            ("f", r#"{"x":1}"#, Status::Error, Some("simulation"))
        );
        assert_eq!(spans[2].ended_at_ns.unwrap() - spans[2].started_at_ns.unwrap(), 1);
    }

    #[test]
    fn ticks_replace_messages() {
        let line = simulation(
            r#""termination_reason":"user_stop","messages":null,"ticks":[{"tick_id":0,"timestamp":"2026-11-25T19:03:41","user_chunk":{"role":"user","content":"hi"}},
            {"tick_id":1,"timestamp":"2026-11-25T19:03:42","agent_chunk":{"role":"assistant","content":""},"agent_tool_calls":[{"id":"c","name":"f","arguments":{}}],"agent_tool_results":[{"id":"c","role":"tool","content":"ok"}]}]"#,
        );
        let out = parse_line(&Tau2, &line);
        let kinds: Vec<_> = out.fragments.iter().map(|fragment| (fragment.span.kind, fragment.span.name.as_str())).collect();
        assert_eq!(kinds, [(SpanKind::Agent, "task 7"), (SpanKind::Llm, "model"), (SpanKind::Tool, "f")]);
    }

    #[test]
    fn what_is_no_simulation_is_rejected_or_skipped() {
        assert_eq!(parse_line(&Tau2, r#"{"info":{},"tasks":[],"simulations":7}"#).rejections[0].kind, RejectionKind::MalformedRecord);
        assert_eq!(parse_line(&Tau2, r#"{"info":{},"tasks":[],"simulations":null}"#).records.skipped, 1);
        let kind = |line: &str| parse_line(&Tau2, line).rejections[0].kind;
        assert_eq!(kind(r#"{"task_id":"7","start_time":"2026-11-25T19:03:40","termination_reason":"x"}"#), RejectionKind::MissingId);
        assert_eq!(kind(r#"{"id":"s","task_id":"7","start_time":"soon","termination_reason":"x"}"#), RejectionKind::MissingTime);
    }
}
