//! Builds a trace from its fragments: removes duplicate spans, merges log records into their spans, takes service and environment also from
//! rows about the whole trace, and sorts by time.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::span_parts;
use crate::limits::{ID_BYTES_MAX, NAME_BYTES_MAX, TRACE_OBJECTS_MAX};
use crate::model::{
    Context, Message, Outcome, Rejection, RejectionKind, Span, SpanKind, Stage, Status, ToolUse, Trace, truncate_with_digest,
};
use crate::parse::{SpanFragment, format_name};

/// Builds a trace. The result does not depend on the order of the fragments.
pub(super) fn build_trace(mut fragments: Vec<SpanFragment>) -> Outcome<Trace> {
    let mut additions: Vec<SpanFragment> = fragments.extract_if(.., |fragment| fragment.addition).collect();
    if fragments.is_empty() {
        return Err(without_spans(&additions));
    }
    span_parts::join_parts(&mut fragments);
    let delivered = fragments.len();
    let mut spans = unique_spans(fragments);
    let mut notes = Vec::new();
    if delivered > spans.len() {
        notes.push(plural(delivered - spans.len(), "span was", "spans were") + " delivered more than once");
    }
    notes.extend(unread_notes(&spans));
    additions.sort_by(|a, b| (a.span.started_at_ns, &a.span.span_id).cmp(&(b.span.started_at_ns, &b.span.span_id)));
    additions.dedup();
    let all_additions = additions.clone();
    let orphaned = merge_additions(&mut spans, additions);
    if orphaned > 0 {
        notes.push(plural(orphaned, "log record belongs to a span", "log records belong to spans") + " that did not arrive");
    }
    recognize_tools(&mut spans);
    move_outputs_to_results(&mut spans);
    complete_tool_calls(&mut spans);
    complete_tool_results(&mut spans);
    if spans.iter().any(|fragment| fragment.has_synthetic_id) {
        notes.push("the chat log has no id or timestamp; the file location and modification time are used".to_owned());
    }
    Ok(assemble(spans, &all_additions, notes))
}

/// A count with the matching form of what is counted.
fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn without_spans(additions: &[SpanFragment]) -> Rejection {
    let (id, uri) = additions.first().map_or(("", ""), |fragment| (fragment.trace_id.as_str(), fragment.source.uri.as_str()));
    let reason = "the trace has only log records or rows about the whole trace, and no span";
    Rejection::for_trace(id, uri, Stage::Parse, RejectionKind::NoSpans, reason).of_objects(&source_uris(additions.iter()))
}

/// One fragment for each span id, sorted by start. Of a span that was delivered more than once, the most complete fragment is kept.
fn unique_spans(mut fragments: Vec<SpanFragment>) -> Vec<SpanFragment> {
    fragments.sort_by_cached_key(|fragment| (fragment.span.ended_at_ns.is_some(), text_bytes(&fragment.span), fragment.source.uri.clone()));
    // The last one replaces those before it.
    let mut unique: HashMap<String, SpanFragment> = HashMap::with_capacity(fragments.len());
    for fragment in fragments {
        unique.insert(fragment.span.span_id.clone(), fragment);
    }
    let mut spans: Vec<SpanFragment> = unique.into_values().collect();
    spans.sort_by(|a, b| (a.span.started_at_ns, &a.span.span_id).cmp(&(b.span.started_at_ns, &b.span.span_id)));
    spans
}

/// Builds the trace. Its service, environment and source are those of the first fragment that has one, the root before all others.
fn assemble(spans: Vec<SpanFragment>, additions: &[SpanFragment], notes: Vec<String>) -> Trace {
    let root = spans.iter().find(|fragment| fragment.span.parent_span_id.is_none()).or(spans.first());
    let by_rank = || root.into_iter().chain(&spans).chain(additions);
    // OpenTelemetry SDKs write `unknown_service` if no service name is configured.
    let is_named = |service: &String| !service.starts_with("unknown_service");
    let service = by_rank().find_map(|fragment| fragment.service.clone().filter(is_named));
    let environment = by_rank().find_map(|fragment| fragment.environment.clone());
    let name = |name: String| truncate_with_digest(name, NAME_BYTES_MAX);
    Trace {
        trace_id: truncate_with_digest(root.map(|fragment| fragment.trace_id.clone()).unwrap_or_default(), ID_BYTES_MAX),
        service: service.map(name),
        environment: environment.map(name),
        resource: Context::join(by_rank().map(|fragment| &fragment.context)),
        format: root.and_then(|fragment| format_name(fragment.format)),
        source: root.map(|fragment| fragment.source.clone()).unwrap_or_default(),
        source_uris: source_uris(by_rank()),
        spans: spans.into_iter().map(span_of).collect(),
        notes,
        ..Trace::default()
    }
}

/// The objects of fragments, sorted; empty if there are more than [`TRACE_OBJECTS_MAX`].
fn source_uris<'a>(fragments: impl Iterator<Item = &'a SpanFragment>) -> Vec<String> {
    let uris: BTreeSet<&str> = fragments.map(|fragment| fragment.source.uri.as_str()).collect();
    if uris.len() > TRACE_OBJECTS_MAX { Vec::new() } else { uris.into_iter().map(str::to_owned).collect() }
}

/// The span of a fragment, with what is not encoded with it and with bounded ids.
fn span_of(fragment: SpanFragment) -> Span {
    let mut span =
        Span { not_understood: fragment.not_understood, inferred: fragment.inferred, cost_usd: fragment.cost_usd, ..fragment.span };
    span.span_id = truncate_with_digest(span.span_id, ID_BYTES_MAX);
    span.parent_span_id = span.parent_span_id.map(|id| truncate_with_digest(id, ID_BYTES_MAX));
    span
}

/// Notes about fields of spans that could not be read, or not completely.
fn unread_notes(spans: &[SpanFragment]) -> Vec<String> {
    let sum = |count: fn(&SpanFragment) -> u32| spans.iter().map(|fragment| count(fragment) as usize).sum::<usize>();
    let (unread, truncated) = (sum(|fragment| fragment.unread_fields), sum(|fragment| fragment.truncated_fields));
    let unread = (unread > 0).then(|| plural(unread, "span field", "span fields") + " could not be read");
    let truncated =
        (truncated > 0).then(|| plural(truncated, "span field was", "span fields were") + " truncated and read up to that point");
    unread.into_iter().chain(truncated).collect()
}

/// Merges additions, such as the messages of log records, into the spans that lack them. Returns how many refer to a span that is missing.
fn merge_additions(spans: &mut [SpanFragment], additions: Vec<SpanFragment>) -> usize {
    let mut orphaned = 0;
    let has_messages: Vec<(bool, bool)> =
        spans.iter().map(|fragment| (!fragment.span.input.is_empty(), !fragment.span.output.is_empty())).collect();
    let by_id: HashMap<String, usize> = spans.iter().enumerate().map(|(index, fragment)| (fragment.span.span_id.clone(), index)).collect();
    for SpanFragment { span: mut addition, .. } in additions {
        let Some(index) = by_id.get(&addition.span_id).copied() else {
            // A record without a span id is about the whole trace.
            orphaned += usize::from(!addition.span_id.is_empty());
            continue;
        };
        let (Some(SpanFragment { span, .. }), Some((has_input, has_output))) = (spans.get_mut(index), has_messages.get(index)) else {
            continue;
        };
        if addition.ended_at_ns.is_some() {
            complete_span(span, &mut addition);
        }
        // Several log records may each carry a part of the messages, so what counts is what the span itself had.
        if !has_input {
            span.input.extend(addition.input);
        }
        if !has_output {
            span.output.extend(addition.output);
        }
        if span.finish_reasons.is_empty() {
            span.finish_reasons = addition.finish_reasons;
        }
        // An exception that was logged in a span without an error may have been handled.
        if span.status == Status::Error && span.exceptions.is_empty() {
            span.exceptions = addition.exceptions;
        }
        if span.tools_offered.is_empty() {
            span.tools_offered = addition.tools_offered;
        }
    }
    orphaned
}

/// Completes a span that was exported in two parts, when it started and when it ended. The second part is known by its end, which log records lack.
fn complete_span(span: &mut Span, update: &mut Span) {
    span.ended_at_ns = span.ended_at_ns.or(update.ended_at_ns);
    if span.status == Status::Unset {
        span.status = update.status;
    }
    for (text, later) in [
        (&mut span.status_message, &mut update.status_message),
        (&mut span.error_type, &mut update.error_type),
        (&mut span.model, &mut update.model),
        (&mut span.input_text, &mut update.input_text),
        (&mut span.output_text, &mut update.output_text),
    ] {
        if text.is_none() {
            *text = later.take();
        }
    }
    span.usage.input = span.usage.input.or(update.usage.input);
    span.usage.output = span.usage.output.or(update.usage.output);
    if span.attributes.is_empty() {
        span.attributes = std::mem::take(&mut update.attributes);
    }
}

/// Recognizes tools of instrumentations that record no kind for them, such as Weave's: steps below the root with the name of a tool that a model call
/// before them requested. If any span of that name has the kind, the instrumentation records it, and other spans of that name are something else.
fn recognize_tools(spans: &mut [SpanFragment]) {
    let recorded: HashSet<String> = spans.iter().filter_map(|fragment| fragment.span.tool.as_ref()).map(|tool| tool.name.clone()).collect();
    let mut requested: HashSet<String> = HashSet::new();
    for SpanFragment { span, .. } in spans {
        requested.extend(span.output.iter().flat_map(|message| &message.tool_calls).map(|call| call.name.clone()));
        let is_step = matches!(span.kind, SpanKind::Other | SpanKind::Chain) && span.parent_span_id.is_some();
        if is_step && span.tool.is_none() && requested.contains(&span.name) && !recorded.contains(&span.name) {
            span.kind = SpanKind::Tool;
            let arguments = span.input_text.take().unwrap_or_default();
            span.tool = Some(ToolUse { name: span.name.clone(), call_id: None, arguments, result: span.output_text.take() });
        }
    }
}

/// Moves what a tool span has as its output to the result of the tool. Several formats record it as the text or the message that a step returned.
fn move_outputs_to_results(spans: &mut [SpanFragment]) {
    for SpanFragment { span, .. } in spans.iter_mut().filter(|fragment| fragment.span.kind == SpanKind::Tool) {
        let Some(tool) = span.tool.as_mut().filter(|tool| tool.result.is_none()) else { continue };
        let message = span.output.iter().rposition(|message| !message.content.is_empty() && message.tool_calls.is_empty());
        tool.result = span.output_text.take().or_else(|| Some(span.output.remove(message?).content));
    }
}

/// Adds the tool's name and arguments to tool spans that have only a call id. Both are in the message that requested the call.
fn complete_tool_calls(spans: &mut [SpanFragment]) {
    let is_incomplete =
        |span: &Span| span.tool.as_ref().is_some_and(|tool| tool.call_id.is_some() && (tool.name.is_empty() || tool.arguments.is_empty()));
    if !spans.iter().any(|fragment| is_incomplete(&fragment.span)) {
        return;
    }
    // Filled in the order of time, so that an id that is used twice means the latest call.
    let mut requested: HashMap<String, (String, String)> = HashMap::new();
    for SpanFragment { span, .. } in spans {
        for call in span.output.iter().flat_map(|message| &message.tool_calls) {
            if let Some(id) = &call.id {
                requested.insert(id.clone(), (call.name.clone(), call.arguments.clone()));
            }
        }
        let Some(tool) = span.tool.as_mut() else { continue };
        let Some((name, arguments)) = tool.call_id.as_ref().and_then(|id| requested.get(id)) else { continue };
        if tool.name.is_empty() {
            tool.name.clone_from(name);
            if span.name.is_empty() || span.name == "tool" {
                span.name.clone_from(name);
            }
        }
        if tool.arguments.is_empty() {
            tool.arguments.clone_from(arguments);
        }
    }
}

/// Adds the result to tool spans that have none, from the messages of the model call that follows: `AutoGen` and Google ADK record it only there. Their
/// spans have other ids for the calls than the messages, so what counts then is the name of the tool, or that it is the only call.
fn complete_tool_results(spans: &mut [SpanFragment]) {
    let lacks_result = |span: &Span| span.kind == SpanKind::Tool && span.tool.as_ref().is_some_and(|tool| tool.result.is_none());
    let mut pending: Vec<usize> = Vec::new();
    for index in 0..spans.len() {
        let Some(span) = spans.get(index).map(|fragment| &fragment.span) else { continue };
        if lacks_result(span) {
            pending.push(index);
        }
        if span.kind != SpanKind::Llm || span.input.is_empty() || pending.is_empty() {
            continue;
        }
        let mut answers = last_answers(span);
        for pending in std::mem::take(&mut pending) {
            let Some(tool) = spans.get_mut(pending).and_then(|fragment| fragment.span.tool.as_mut()) else { continue };
            let of_id = answers.iter().position(|answer| tool.call_id.is_some() && tool.call_id == answer.id);
            let of_name = || answers.iter().position(|answer| answer.tool == tool.name);
            if let Some(found) =
                of_id.or_else(of_name).or((answers.len() == 1 && answers.iter().all(|answer| answer.tool.is_empty())).then_some(0))
            {
                tool.result = Some(answers.swap_remove(found).result);
            }
        }
    }
}

/// A tool result among the messages of a model call.
struct Answer {
    id: Option<String>,
    tool: String,
    result: String,
}

/// The tool results at the end of the input of a model call, after which the model continues.
fn last_answers(span: &Span) -> Vec<Answer> {
    let calls: Vec<_> = span.input.iter().flat_map(|message| &message.tool_calls).collect();
    let trailing = span.input.iter().rev().take_while(|message| message.role == "tool");
    let answer = |message: &Message| {
        let call = calls.iter().rev().find(|call| call.id.is_some() && call.id == message.tool_call_id);
        Answer {
            id: message.tool_call_id.clone(),
            tool: call.map(|call| call.name.clone()).unwrap_or_default(),
            result: message.content.clone(),
        }
    };
    let mut answers: Vec<_> = trailing.map(answer).collect();
    answers.reverse();
    answers
}

fn text_bytes(span: &Span) -> usize {
    let mut bytes = 0;
    span.fields(&mut |_, text| {
        bytes += text.len();
        false
    });
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::tests::fragment;
    use super::*;

    #[test]
    fn the_order_of_fragments_and_duplicates_do_not_matter() {
        let fragments = vec![fragment(0, 3, "c"), fragment(0, 1, "a"), fragment(0, 2, "bb"), fragment(0, 2, "b")];
        let expected = build_trace(fragments.clone()).unwrap();
        assert_eq!(expected.spans.iter().filter_map(|span| span.output_text.as_deref()).collect::<Vec<_>>(), ["a", "bb", "c"]);
        assert_eq!(expected.notes, ["1 span was delivered more than once"]);
        for rotation in 1..4 {
            let mut rotated = fragments.clone();
            rotated.rotate_left(rotation);
            assert_eq!(build_trace(rotated).unwrap(), expected);
        }
    }

    #[test]
    fn what_a_tool_span_returned_is_the_result_of_the_tool() {
        let result = |text: Option<&str>, message: Option<&str>| {
            let mut tool = fragment(0, 1, "");
            tool.span.kind = SpanKind::Tool;
            tool.span.output_text = text.map(str::to_owned);
            tool.span.output =
                message.map(|content| Message { role: "tool".into(), content: content.into(), ..Message::default() }).into_iter().collect();
            tool.span.tool = Some(ToolUse { name: "lookup".into(), ..ToolUse::default() });
            let trace = build_trace(vec![tool]).unwrap();
            trace.spans[0].tool.as_ref().unwrap().result.clone()
        };
        assert_eq!(result(Some("text"), Some("message")).as_deref(), Some("text"));
        assert_eq!(result(None, Some("message")).as_deref(), Some("message"));
        assert_eq!(result(None, None), None);
    }

    #[test]
    fn a_result_is_taken_from_the_model_call_that_follows() {
        use crate::model::ToolCall;
        let mut tool = fragment(0, 1, "");
        tool.span.kind = SpanKind::Tool;
        tool.span.output_text = None;
        tool.span.tool = Some(ToolUse { name: "lookup".into(), call_id: Some("adk-1".into()), ..ToolUse::default() });
        let mut call = fragment(0, 2, "");
        call.span.kind = SpanKind::Llm;
        let request = ToolCall { id: Some("lookup_0".into()), name: "lookup".into(), arguments: "{}".into() };
        call.span.input = vec![
            Message { role: "assistant".into(), tool_calls: vec![request], ..Message::default() },
            Message { role: "tool".into(), content: "late".into(), tool_call_id: Some("lookup_0".into()), ..Message::default() },
        ];
        let trace = build_trace(vec![call, tool]).unwrap();
        assert_eq!(trace.spans[0].tool.as_ref().unwrap().result.as_deref(), Some("late"));
    }

    #[test]
    fn a_step_with_the_name_of_a_requested_tool_is_a_tool_unless_others_have_the_kind() {
        use crate::model::ToolCall;
        let mut call = fragment(0, 1, "");
        call.span.kind = SpanKind::Llm;
        let request = ToolCall { id: None, name: "lookup".into(), arguments: "{}".into() };
        call.span.output = vec![Message { role: "assistant".into(), tool_calls: vec![request], ..Message::default() }];
        let step = |number, parent: Option<&str>| {
            let mut step = fragment(0, number, "late");
            (step.span.name, step.span.input_text, step.span.parent_span_id) =
                ("lookup".into(), Some("{\"id\":17}".into()), parent.map(str::to_owned));
            step
        };
        let tools = |fragments: Vec<SpanFragment>| -> Vec<Option<ToolUse>> {
            build_trace(fragments).unwrap().spans.into_iter().map(|span| span.tool).collect()
        };
        let lookup = ToolUse { name: "lookup".into(), call_id: None, arguments: "{\"id\":17}".into(), result: Some("late".into()) };
        assert_eq!(tools(vec![call.clone(), step(2, Some("1"))]), [None, Some(lookup.clone())]);
        // A root, a step before the request, and a step around the tool itself.
        assert_eq!(tools(vec![call.clone(), step(2, None)]), [None, None]);
        assert_eq!(tools(vec![step(0, Some("1")), call.clone()]), [None, None]);
        let mut tool = step(3, Some("2"));
        (tool.span.kind, tool.span.tool) = (SpanKind::Tool, Some(lookup.clone()));
        assert_eq!(tools(vec![call, step(2, Some("1")), tool]), [None, None, Some(lookup)]);
    }

    #[test]
    fn a_span_that_was_exported_in_two_parts_is_joined() {
        let mut start = fragment(0, 1, "");
        (start.span.output_text, start.span.ended_at_ns) = (None, None);
        let mut end = fragment(0, 1, "late");
        (end.addition, end.span.ended_at_ns) = (true, Some(9));
        (end.span.status, end.span.status_message) = (Status::Error, Some("it broke".into()));
        let trace = build_trace(vec![end, start]).unwrap();
        let [span] = trace.spans.as_slice() else { panic!("one span") };
        assert_eq!((span.ended_at_ns, span.status, span.status_message.as_deref()), (Some(9), Status::Error, Some("it broke")));
        assert_eq!(span.output_text.as_deref(), Some("late"));
    }

    #[test]
    fn notes_count_what_was_not_read() {
        let incomplete = SpanFragment { unread_fields: 2, truncated_fields: 1, ..fragment(0, 1, "a") };
        let mut orphan = fragment(0, 9, "");
        orphan.addition = true;
        let trace = build_trace(vec![incomplete, fragment(0, 2, "b"), orphan]).unwrap();
        let expected = [
            "2 span fields could not be read",
            "1 span field was truncated and read up to that point",
            "1 log record belongs to a span that did not arrive",
        ];
        assert_eq!(trace.notes, expected);
    }

    #[test]
    fn ids_and_names_of_any_length_are_bounded_and_still_match() {
        let long = |mut fragment: SpanFragment, id: &str, parent: Option<&str>| {
            fragment.trace_id = "t".repeat(1_000_000);
            (fragment.service, fragment.environment) = (Some("s\u{1b}[2J".repeat(100_000)), Some("e".repeat(10_000)));
            (fragment.span.span_id, fragment.span.parent_span_id) = (id.repeat(100_000), parent.map(|parent| parent.repeat(100_000)));
            fragment
        };
        let fragments = vec![long(fragment(0, 1, "a"), "root", None), long(fragment(0, 2, "b"), "child", Some("root"))];
        let trace = build_trace(fragments).unwrap();
        let [root, child] = trace.spans.as_slice() else { panic!("two spans") };
        assert!(trace.trace_id.len() <= ID_BYTES_MAX && root.span_id.len() <= ID_BYTES_MAX);
        assert_eq!(child.parent_span_id.as_ref(), Some(&root.span_id));
        let names = [trace.service.unwrap(), trace.environment.unwrap()];
        assert!(names.iter().all(|name| name.len() <= NAME_BYTES_MAX && !name.contains('\u{1b}')), "{names:?}");
    }

    #[test]
    fn log_records_are_merged_into_their_span_or_rejected_without_one() {
        let mut log = fragment(0, 1, "");
        log.addition = true;
        log.span.output = vec![crate::model::Message { content: "hi".into(), ..Default::default() }];
        log.span.exceptions = vec![crate::model::Exception { kind: "E".into(), ..Default::default() }];
        let trace = build_trace(vec![log.clone(), fragment(0, 1, "a")]).unwrap();
        assert_eq!((trace.spans[0].output[0].content.as_str(), trace.spans[0].exceptions.len()), ("hi", 0));
        let mut failed = fragment(0, 1, "a");
        failed.span.status = Status::Error;
        assert_eq!(build_trace(vec![log.clone(), failed]).unwrap().spans[0].exceptions[0].kind, "E");
        assert_eq!(build_trace(vec![log]).unwrap_err().kind, RejectionKind::NoSpans);
    }
}
