//! Joins the parts of one span. Sessions of coding agents record the call of a tool and its result, and each block of an answer, in a record of its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Message, Part, Span, SpanKind, Status, TokenUsage, ToolUse};
use crate::parse::SpanFragment;

/// How many messages, exceptions and attributes at the end of a span are compared with those of its next part, so that a part that was delivered twice
/// counts once.
const COMPARED_ITEMS_MAX: usize = 64;
/// How many attributes a span keeps from its parts.
const ATTRIBUTES_MAX: usize = 256;

/// Replaces the parts of each span by the span. The parts are joined in the order of their times.
pub(super) fn join_parts(fragments: &mut Vec<SpanFragment>) {
    let mut parts: Vec<SpanFragment> = fragments.extract_if(.., |fragment| fragment.is_part).collect();
    if parts.is_empty() {
        return;
    }
    parts.sort_by(|a, b| {
        let times = |fragment: &SpanFragment| (fragment.span.started_at_ns.or(fragment.span.ended_at_ns), fragment.span.ended_at_ns);
        times(a).cmp(&times(b)).then_with(|| a.source.uri.cmp(&b.source.uri))
    });
    let mut by_id: HashMap<String, usize> = HashMap::with_capacity(parts.len());
    let mut joined: Vec<SpanFragment> = Vec::new();
    for part in parts {
        match by_id.entry(part.span.span_id.clone()) {
            Entry::Occupied(known) => {
                if let Some(known) = joined.get_mut(*known.get()) {
                    join(known, part);
                }
            }
            Entry::Vacant(new) => {
                new.insert(joined.len());
                joined.push(part);
            }
        }
    }
    for SpanFragment { span, .. } in &mut joined {
        // The record of the end may be the only one, and programs round times.
        span.started_at_ns = span.started_at_ns.or(span.ended_at_ns);
        span.ended_at_ns = span.ended_at_ns.map(|end| end.max(span.started_at_ns.unwrap_or(end)));
    }
    fragments.append(&mut joined);
}

/// Adds a part to those before it. What both describe is taken from the earlier one, except that an error outweighs a success.
fn join(known: &mut SpanFragment, part: SpanFragment) {
    known.service = known.service.take().or(part.service);
    known.environment = known.environment.take().or(part.environment);
    for (key, value) in part.context.iter() {
        known.context.add(key, value);
    }
    known.cost_usd = known.cost_usd.or(part.cost_usd);
    known.unread_fields = known.unread_fields.saturating_add(part.unread_fields);
    known.truncated_fields = known.truncated_fields.saturating_add(part.truncated_fields);
    for which in Part::ALL {
        if part.not_understood.contains(which) {
            known.not_understood.insert(which);
        }
        if part.inferred.contains(which) {
            known.inferred.insert(which);
        }
    }
    join_spans(&mut known.span, part.span);
}

fn join_spans(known: &mut Span, part: Span) {
    known.parent_span_id = known.parent_span_id.take().or(part.parent_span_id);
    if known.name.is_empty() {
        known.name = part.name;
    }
    if known.kind == SpanKind::Other {
        known.kind = part.kind;
    }
    known.started_at_ns = known.started_at_ns.or(part.started_at_ns);
    known.ended_at_ns = known.ended_at_ns.max(part.ended_at_ns);
    if known.status == Status::Unset || part.status == Status::Error {
        known.status = part.status;
    }
    known.status_message = known.status_message.take().or(part.status_message);
    known.error_type = known.error_type.take().or(part.error_type);
    known.model = known.model.take().or(part.model);
    known.provider = known.provider.take().or(part.provider);
    known.usage = TokenUsage { input: known.usage.input.max(part.usage.input), output: known.usage.output.max(part.usage.output) };
    known.input_text = known.input_text.take().or(part.input_text);
    known.output_text = known.output_text.take().or(part.output_text);
    known.documents = known.documents.take().or(part.documents);
    extend_new(&mut known.finish_reasons, part.finish_reasons);
    extend_new(&mut known.exceptions, part.exceptions);
    extend_new::<Message>(&mut known.input, part.input);
    extend_new::<Message>(&mut known.output, part.output);
    extend_new(&mut known.tools_offered, part.tools_offered);
    extend_new(&mut known.annotations, part.annotations);
    known.tool = match (known.tool.take(), part.tool) {
        (Some(call), Some(result)) => Some(join_tools(call, result)),
        (call, result) => call.or(result),
    };
    for attribute in part.attributes {
        let is_new = known.attributes.iter().all(|other| other.key != attribute.key);
        if is_new && known.attributes.len() < ATTRIBUTES_MAX {
            known.attributes.push(attribute);
        }
    }
}

fn join_tools(call: ToolUse, result: ToolUse) -> ToolUse {
    let or = |first: String, second: String| if first.is_empty() { second } else { first };
    ToolUse {
        name: or(call.name, result.name),
        call_id: call.call_id.or(result.call_id),
        arguments: or(call.arguments, result.arguments),
        result: call.result.or(result.result),
    }
}

/// Appends the items that are not among the last ones of the list, up to the limit of a list.
fn extend_new<T: PartialEq>(list: &mut Vec<T>, items: Vec<T>) {
    for item in items {
        if list.len() < SPAN_ITEMS_MAX && !list.iter().rev().take(COMPARED_ITEMS_MAX).any(|known| *known == item) {
            list.push(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::fragment;
    use super::*;

    fn part(id: usize, at: i64, span: Span) -> SpanFragment {
        let plain = fragment(0, id, "");
        let span = Span { span_id: plain.span.span_id.clone(), started_at_ns: Some(at), ..span };
        SpanFragment { is_part: true, span, ..plain }
    }

    fn answer(text: &str) -> Span {
        let message = Message { role: "assistant".into(), content: text.into(), ..Message::default() };
        Span { output: vec![message], ..Span::default() }
    }

    #[test]
    fn a_tool_call_and_its_result_become_one_span() {
        let use_of = |name: &str, result: Option<&str>| {
            let tool = ToolUse { name: name.into(), call_id: Some("c1".into()), result: result.map(str::to_owned), ..ToolUse::default() };
            Some(tool)
        };
        let call = Span { kind: SpanKind::Tool, name: "Bash".into(), tool: use_of("Bash", None), ..Span::default() };
        let result = Span { status: Status::Error, ended_at_ns: Some(9), tool: use_of("", Some("exit code 1")), ..Span::default() };
        let mut fragments = vec![part(1, 9, result), fragment(0, 2, "other"), part(1, 3, call)];
        join_parts(&mut fragments);
        let [_, joined] = fragments.as_slice() else { panic!("{fragments:?}") };
        let span = &joined.span;
        assert_eq!((span.name.as_str(), span.status, span.started_at_ns, span.ended_at_ns), ("Bash", Status::Error, Some(3), Some(9)));
        let tool = span.tool.as_ref().unwrap();
        assert_eq!((tool.name.as_str(), tool.result.as_deref()), ("Bash", Some("exit code 1")));
    }

    #[test]
    fn the_blocks_of_an_answer_are_joined_in_order_and_a_repeated_one_counts_once() {
        let mut fragments = vec![part(1, 2, answer("b")), part(1, 1, answer("a")), part(1, 2, answer("b"))];
        join_parts(&mut fragments);
        let texts: Vec<_> = fragments[0].span.output.iter().map(|message| message.content.as_str()).collect();
        assert_eq!((fragments.len(), texts), (1, vec!["a", "b"]));
    }
}
