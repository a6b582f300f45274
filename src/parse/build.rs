//! The pieces of one trace -> the trace: doubles dropped, log records and rows about the whole trace joined, in the order of time.

use std::collections::HashMap;

use super::Piece;
use crate::limits::{ID_BYTES_MAX, NAME_BYTES_MAX};
use crate::model::{Outcome, Rejection, RejectionKind, Span, Stage, Status, Trace, truncate_with_digest};

/// One trace of its pieces, the same whatever order they came in.
pub(super) fn build(mut pieces: Vec<Piece>) -> Outcome<Trace> {
    let mut additions: Vec<Piece> = pieces.extract_if(.., |piece| piece.addition).collect();
    if pieces.is_empty() {
        let (id, uri) = additions.first().map_or(("", ""), |piece| (piece.trace_id.as_str(), piece.source.uri.as_str()));
        return Err(Rejection::for_trace(
            id,
            uri,
            Stage::Parse,
            RejectionKind::NoSpans,
            "only log records or rows about the whole trace came, and no span",
        ));
    }
    let delivered = pieces.len();
    // Of a span that was delivered twice the fuller one comes last and wins.
    pieces.sort_by_cached_key(|piece| (piece.span.ended_at_ns.is_some(), text_bytes(&piece.span), piece.source.uri.clone()));
    let mut unique: HashMap<String, Piece> = HashMap::with_capacity(delivered);
    for piece in pieces {
        unique.insert(piece.span.span_id.clone(), piece);
    }
    let mut pieces: Vec<Piece> = unique.into_values().collect();
    pieces.sort_by(|a, b| (a.span.started_at_ns, &a.span.span_id).cmp(&(b.span.started_at_ns, &b.span.span_id)));

    let mut notes = Vec::new();
    if delivered > pieces.len() {
        notes.push(format!("{} spans were delivered more than once", delivered - pieces.len()));
    }
    notes.extend(unread_notes(&pieces));
    additions.sort_by(|a, b| (a.span.started_at_ns, &a.span.span_id).cmp(&(b.span.started_at_ns, &b.span.span_id)));
    additions.dedup();
    let of_trace = additions.clone();
    let orphaned = add_to_spans(&mut pieces, additions);
    if orphaned > 0 {
        notes.push(format!("{orphaned} log records belong to spans that did not come"));
    }
    join_tool_calls(&mut pieces);
    if pieces.iter().any(|piece| piece.place_is_id) {
        notes
            .push("the run has no id or time of its own: its place stands for the one and the time of its object for the other".to_owned());
    }

    let root = pieces.iter().find(|piece| piece.span.parent_span_id.is_none()).or(pieces.first());
    let by_rank = || root.into_iter().chain(&pieces).chain(&of_trace);
    // What the SDK of OpenTelemetry writes where nobody named the service.
    let is_named = |service: &String| !service.starts_with("unknown_service");
    let service = by_rank().find_map(|piece| piece.service.clone().filter(is_named));
    let environment = by_rank().find_map(|piece| piece.environment.clone());
    let name = |name: String| truncate_with_digest(name, NAME_BYTES_MAX);
    Ok(Trace {
        trace_id: truncate_with_digest(root.map(|piece| piece.trace_id.clone()).unwrap_or_default(), ID_BYTES_MAX),
        service: service.map(name),
        environment: environment.map(name),
        source: root.map(|piece| piece.source.clone()).unwrap_or_default(),
        spans: pieces.into_iter().map(|piece| with_bounded_ids(piece.span)).collect(),
        notes,
    })
}

fn with_bounded_ids(mut span: Span) -> Span {
    span.span_id = truncate_with_digest(span.span_id, ID_BYTES_MAX);
    span.parent_span_id = span.parent_span_id.map(|id| truncate_with_digest(id, ID_BYTES_MAX));
    span
}

/// What the spans could not be read of.
fn unread_notes(pieces: &[Piece]) -> Vec<String> {
    let sum = |count: fn(&Piece) -> u32| pieces.iter().map(|piece| u64::from(count(piece))).sum::<u64>();
    let (unread, cut) = (sum(|piece| piece.unread_fields), sum(|piece| piece.cut_fields));
    let unread = (unread > 0).then(|| format!("{unread} fields of spans could not be read"));
    let cut = (cut > 0).then(|| format!("{cut} fields of spans hold JSON that was cut off and is read as far as it goes"));
    unread.into_iter().chain(cut).collect()
}

/// Gives the messages of log records to their spans, where the spans carry none themselves. Returns how many name a span that is not there.
fn add_to_spans(pieces: &mut [Piece], additions: Vec<Piece>) -> usize {
    let mut orphaned = 0;
    let carries_own: Vec<(bool, bool)> = pieces.iter().map(|piece| (!piece.span.input.is_empty(), !piece.span.output.is_empty())).collect();
    let by_id: HashMap<String, usize> = pieces.iter().enumerate().map(|(index, piece)| (piece.span.span_id.clone(), index)).collect();
    for addition in additions {
        let Some(index) = by_id.get(&addition.span.span_id).copied() else {
            // A record without the id of a span is about the whole trace.
            orphaned += usize::from(!addition.span.span_id.is_empty());
            continue;
        };
        let (Some(piece), Some((own_input, own_output))) = (pieces.get_mut(index), carries_own.get(index)) else { continue };
        if !own_input {
            piece.span.input.extend(addition.span.input);
        }
        if !own_output {
            piece.span.output.extend(addition.span.output);
        }
        if piece.span.finish_reasons.is_empty() {
            piece.span.finish_reasons = addition.span.finish_reasons;
        }
        // An exception that was only logged may have been handled.
        if piece.span.status == Status::Error && piece.span.exceptions.is_empty() {
            piece.span.exceptions = addition.span.exceptions;
        }
        if piece.span.tools_offered.is_empty() {
            piece.span.tools_offered = addition.span.tools_offered;
        }
    }
    orphaned
}

/// Tells the answers of tools which call they answer, where only the message that asked for it says so.
fn join_tool_calls(pieces: &mut [Piece]) {
    let lacks =
        |span: &Span| span.tool.as_ref().is_some_and(|tool| tool.call_id.is_some() && (tool.name.is_empty() || tool.arguments.is_empty()));
    if !pieces.iter().any(|piece| lacks(&piece.span)) {
        return;
    }
    // In order, so that an id that is used again means the latest call.
    let mut asked: HashMap<String, (String, String)> = HashMap::new();
    for piece in pieces {
        for call in piece.span.output.iter().flat_map(|message| &message.tool_calls) {
            if let Some(id) = &call.id {
                asked.insert(id.clone(), (call.name.clone(), call.arguments.clone()));
            }
        }
        let Some(tool) = piece.span.tool.as_mut() else { continue };
        let Some((name, arguments)) = tool.call_id.as_ref().and_then(|id| asked.get(id)) else { continue };
        if tool.name.is_empty() {
            tool.name.clone_from(name);
            if piece.span.name.is_empty() || piece.span.name == "tool" {
                piece.span.name.clone_from(name);
            }
        }
        if tool.arguments.is_empty() {
            tool.arguments.clone_from(arguments);
        }
    }
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
    use super::*;
    use crate::parse::assemble::tests::piece;

    #[test]
    fn order_and_double_delivery_do_not_matter() {
        let pieces = vec![piece(0, 3, "c"), piece(0, 1, "a"), piece(0, 2, "bb"), piece(0, 2, "b")];
        let expected = build(pieces.clone()).unwrap();
        assert_eq!(expected.spans.iter().filter_map(|span| span.output_text.as_deref()).collect::<Vec<_>>(), ["a", "bb", "c"]);
        assert_eq!(expected.notes, ["1 spans were delivered more than once"]);
        for rotation in 1..4 {
            let mut rotated = pieces.clone();
            rotated.rotate_left(rotation);
            assert_eq!(build(rotated).unwrap(), expected);
        }
    }

    #[test]
    fn what_was_not_read_is_noted() {
        let odd = Piece { unread_fields: 2, cut_fields: 1, ..piece(0, 1, "a") };
        let mut orphan = piece(0, 9, "");
        orphan.addition = true;
        let trace = build(vec![odd, piece(0, 2, "b"), orphan]).unwrap();
        let said =
            ["2 fields of spans could not be read", "1 fields of spans hold JSON", "1 log records belong to spans that did not come"];
        assert!(said.iter().zip(&trace.notes).all(|(said, note)| note.starts_with(said)), "{:?}", trace.notes);
        assert_eq!(trace.notes.len(), said.len());
    }

    #[test]
    fn ids_and_names_of_any_length_are_bounded_and_still_join() {
        let long = |mut piece: Piece, id: &str, parent: Option<&str>| {
            piece.trace_id = "t".repeat(1_000_000);
            (piece.service, piece.environment) = (Some("s\u{1b}[2J".repeat(100_000)), Some("e".repeat(10_000)));
            (piece.span.span_id, piece.span.parent_span_id) = (id.repeat(100_000), parent.map(|parent| parent.repeat(100_000)));
            piece
        };
        let trace = build(vec![long(piece(0, 1, "a"), "root", None), long(piece(0, 2, "b"), "child", Some("root"))]).unwrap();
        let [root, child] = trace.spans.as_slice() else { panic!("two spans") };
        assert!(trace.trace_id.len() <= ID_BYTES_MAX && root.span_id.len() <= ID_BYTES_MAX);
        assert_eq!(child.parent_span_id.as_ref(), Some(&root.span_id));
        let names = [trace.service.unwrap(), trace.environment.unwrap()];
        assert!(names.iter().all(|name| name.len() <= NAME_BYTES_MAX && !name.contains('\u{1b}')), "{names:?}");
    }

    #[test]
    fn log_records_join_their_span_or_are_rejected_without_one() {
        let mut log = piece(0, 1, "");
        log.addition = true;
        log.span.output = vec![crate::model::Message { content: "hi".into(), ..Default::default() }];
        log.span.exceptions = vec![crate::model::Exception { kind: "E".into(), ..Default::default() }];
        let trace = build(vec![log.clone(), piece(0, 1, "a")]).unwrap();
        assert_eq!((trace.spans[0].output[0].content.as_str(), trace.spans[0].exceptions.len()), ("hi", 0));
        let mut failed = piece(0, 1, "a");
        failed.span.status = Status::Error;
        assert_eq!(build(vec![log.clone(), failed]).unwrap().spans[0].exceptions[0].kind, "E");
        assert_eq!(build(vec![log]).unwrap_err().kind, RejectionKind::NoSpans);
    }
}
