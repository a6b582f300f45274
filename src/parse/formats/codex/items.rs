//! Items of a rollout, as OpenAI's Responses API has them: messages, calls, and outputs of tools.

use super::events::exit_code;
use crate::model::{Message, Part, SpanKind, Status};
use crate::parse::formats::session::{Step, fail};
use crate::parse::messages;
use crate::parse::value::Value;
use crate::parse::{Accounted, ParsedChunk, Skip};

/// Whether a bare record is an item.
pub(super) fn is_item(kind: &str) -> bool {
    matches!(kind, "message" | "reasoning") || kind.ends_with("_call") || kind.ends_with("_call_output")
}

/// Adds what an item describes.
pub(super) fn parse(item: &Value<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let kind = item.get("type").as_str().unwrap_or_default();
    let id = || item.get("id").as_id().unwrap_or_else(|| step.place());
    match kind {
        "message" => parse_message(item, id(), step, out),
        _ if kind.ends_with("_output") => add_output(item, step, out),
        _ if kind.ends_with("_call") => add_call(item, id(), step, out),
        // `reasoning`, `compaction`, `ghost_snapshot`, and what later versions add.
        _ => out.skip_event(Skip::OtherEvent),
    }
}

fn parse_message(item: &Value<'_>, id: String, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let read = messages::message(item);
    if item.get("role").as_str() == Some("assistant") {
        let mut span = step.span(id, SpanKind::Llm, "assistant");
        span.provider = Some("openai".to_owned());
        match read {
            Some(message) => span.output.push(message),
            None => span.not_understood.insert(Part::Output),
        }
        return step.add(span, out);
    }
    let mut message = read.unwrap_or_default();
    // The program sends its instructions and the state of the machine in the name of the user.
    if ["<environment_context>", "<user_instructions>", "# AGENTS.md instructions"].iter().any(|start| message.content.starts_with(start)) {
        "system".clone_into(&mut message.role);
    }
    step.add(step.input(id, message), out)
}

/// Adds the answer of the model that calls a tool, and opens the span of the tool.
fn add_call(item: &Value<'_>, id: String, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut all = Vec::new();
    messages::add_messages(item, &mut all);
    let mut span = step.span(id, SpanKind::Llm, "assistant");
    span.provider = Some("openai".to_owned());
    if all.is_empty() {
        span.not_understood.insert(Part::Output);
    }
    span.output = all;
    let mut accounted = None;
    // The provider runs its own tools, such as a search; they have an id, but no output follows.
    if !item.get("call_id").is_null() {
        step.add_calls(span.output.iter().flat_map(|message| &message.tool_calls), &mut accounted, out);
    }
    let answer = step.add(span, out);
    accounted.map_or(answer, |accounted| accounted.and(answer))
}

fn add_output(item: &Value<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let Some(call_id) = item.get("call_id").as_id() else { return out.skip_event(Skip::OtherEvent) };
    let output = item.first(&["output", "result", "tools"]);
    let tree = output.tree();
    let envelope = tree.as_deref().filter(|tree| !tree.get("metadata").is_null() || !tree.get("success").is_null());
    let text = envelope.map_or_else(|| text_of(output), |envelope| envelope.first(&["output", "content"]).to_text());
    let exit_code = envelope.map_or_else(|| exit_code_in(&text), |envelope| exit_code(envelope.get("metadata")));
    let says_failed = envelope.is_some_and(|envelope| envelope.get("success") == &Value::Bool(false)) || is_refusal(&text);
    let mut span = step.tool_end(call_id, item.get("name").as_str(), Some(text.clone()));
    if says_failed || exit_code.is_some_and(|code| code != 0) {
        fail(&mut span, text);
    } else if exit_code.is_some() {
        span.status = Status::Ok;
    }
    step.add(span, out)
}

/// The text of an output, which may consist of parts.
fn text_of(output: &Value<'_>) -> String {
    if output.items().is_empty() {
        return output.to_text();
    }
    let wrapped = Value::Map(vec![("role".into(), Value::Text("tool".into())), ("content".into(), output.clone())]);
    let read: Option<Message> = messages::message(&wrapped);
    read.map(|message| message.content).filter(|text| !text.is_empty()).unwrap_or_else(|| output.to_text())
}

/// The exit code of a command in the first lines of its output: `Exit code: 1`, `Process exited with code 1`.
fn exit_code_in(text: &str) -> Option<i64> {
    const HEAD_LINES: usize = 5;
    let mut head = text.lines().take(HEAD_LINES).take_while(|line| !line.starts_with("Output:"));
    let code =
        |line: &str| line.strip_prefix("Exit code: ").or_else(|| line.strip_prefix("Process exited with code "))?.trim().parse().ok();
    head.find_map(code)
}

/// Whether Codex itself refused a call, in the words of its sources.
fn is_refusal(text: &str) -> bool {
    const STARTS: [&str; 8] = [
        "unsupported call:",
        "unsupported custom tool call:",
        "failed to parse function arguments",
        "apply_patch verification failed",
        "execution error:",
        "exec_command failed",
        "tool call error:",
        "err:",
    ];
    STARTS.iter().any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_in_the_head_of_the_output() {
        for (text, code) in [
            ("Exit code: 1\nWall time: 0 seconds\nOutput:\nno such order", Some(1)),
            ("Chunk ID: c5af8d\nWall time: 0.0000 seconds\nProcess exited with code 0\nOutput:\n", Some(0)),
            ("Wall time: 1 seconds\nOutput:\nExit code: 7", None),
            ("ok", None),
        ] {
            assert_eq!(exit_code_in(text), code, "{text}");
        }
    }
}
