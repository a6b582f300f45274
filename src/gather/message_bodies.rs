//! Fetches message bodies that an instrumentation uploaded separately from the span, as OpenTelemetry's `GenAI` utilities do
//! (`gen_ai.input.messages_ref` = URI).
//!
//! A reference is trace text and thus untrusted. Its host and absolute path are ignored: only an object below a location that the user gave
//! as input is read, if its key ends like the reference.

use std::sync::Arc;

use crate::limits::{MESSAGE_BODIES_PER_TRACE_MAX, TRACE_BYTES_MAX};
use crate::model::{Span, Trace};
use crate::parse::message_body::{REFERENCE_ATTRIBUTES, add_message_body};
use crate::store::Location;

/// Where message bodies are looked up.
#[derive(Debug, Clone, Default)]
pub struct MessageBodies {
    inputs: Arc<Vec<Location>>,
    bytes_max: u64,
}

/// Trailing path segments of a reference that may form a key below an input: `uploads/2026/11/<name>`.
const KEY_SEGMENTS_MAX: usize = 6;

impl MessageBodies {
    /// Looks below `inputs`; a body larger than `bytes_max` is not read.
    pub fn new(inputs: Vec<Location>, bytes_max: usize) -> Self {
        Self { inputs: Arc::new(inputs), bytes_max: bytes_max as u64 }
    }

    /// Fetches the bodies that the spans refer to and adds them to the spans. Missing ones are counted in a note of the trace.
    pub(super) async fn fetch_into(&self, mut trace: Trace) -> Trace {
        let has_reference = |span: &Span| span.attributes.iter().any(|attribute| REFERENCE_ATTRIBUTES.contains(&attribute.key.as_str()));
        if !trace.spans.iter().any(has_reference) {
            return trace;
        }
        let (mut requested, mut missing, mut bytes_left) = (0, 0, TRACE_BYTES_MAX as u64);
        for span in &mut trace.spans {
            for attribute in REFERENCE_ATTRIBUTES {
                let Some(reference) = span.attribute(attribute).map(str::to_owned) else { continue };
                requested += 1;
                let body = if requested > MESSAGE_BODIES_PER_TRACE_MAX { None } else { self.fetch(&reference, bytes_left).await };
                bytes_left = bytes_left.saturating_sub(body.as_ref().map_or(0, String::len) as u64);
                match body.filter(|body| add_message_body(span, attribute, body)) {
                    Some(_) => span.attributes.retain(|other| other.key != attribute),
                    None => missing += 1,
                }
            }
        }
        if missing > 0 {
            let (bodies, exceed) = if missing == 1 { ("body was", "exceeds") } else { ("bodies were", "exceed") };
            trace.notes.push(format!("{missing} uploaded message {bodies} not found below the inputs, or {exceed} the size limit"));
        }
        trace
    }

    /// Fetches a body of at most `bytes_left`, so that a body that many spans refer to cannot make a trace larger than traces may be.
    async fn fetch(&self, reference: &str, bytes_left: u64) -> Option<String> {
        let path = reference.split_once("://").map_or(reference, |(_, path)| path);
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        for input in self.inputs.iter() {
            for count in 1..=segments.len().min(KEY_SEGMENTS_MAX) {
                let name = segments.get(segments.len() - count..).unwrap_or_default().join("/");
                match input.read_below(&name, self.bytes_max.min(bytes_left)).await {
                    Ok(Some(bytes)) => return String::from_utf8(bytes.to_vec()).ok(),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot read an uploaded message body");
                        return None;
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attribute;

    const INPUT: &str = "gen_ai.input.messages_ref";

    #[tokio::test]
    async fn references_are_resolved_below_the_inputs_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("traces");
        std::fs::create_dir_all(inside.join("uploads")).unwrap();
        std::fs::write(inside.join("uploads/a_inputs.jsonl"), "{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"hi\"}]}\n")
            .unwrap();
        std::fs::write(folder.path().join("secret.jsonl"), "{\"role\":\"user\",\"content\":\"outside\"}\n").unwrap();
        let bodies = MessageBodies::new(vec![Location::parse(inside.to_str().unwrap()).unwrap()], 1_000);
        let outside = folder.path().join("secret.jsonl").display().to_string();
        for (reference, found) in [
            ("s3://bucket/app/uploads/a_inputs.jsonl".to_owned(), Some("hi")),
            (format!("file://{outside}"), None),
            ("file:///x/../secret.jsonl".to_owned(), None),
            ("file:///uploads/%2e%2e/%2e%2e/secret.jsonl".to_owned(), None),
        ] {
            let span = Span { attributes: vec![Attribute { key: INPUT.into(), value: reference.clone() }], ..Span::default() };
            let trace = bodies.fetch_into(Trace { spans: vec![span], ..Trace::default() }).await;
            assert_eq!(trace.spans[0].input.first().map(|message| message.content.as_str()), found, "{reference}");
            assert_eq!(trace.notes.is_empty(), found.is_some());
        }
    }

    #[tokio::test]
    async fn a_body_that_many_spans_refer_to_is_limited_by_the_size_of_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let content = "x".repeat(10 * 1024 * 1024);
        std::fs::write(folder.path().join("a_inputs.jsonl"), format!("{{\"role\":\"user\",\"content\":\"{content}\"}}\n")).unwrap();
        let bodies = MessageBodies::new(vec![Location::parse(folder.path().to_str().unwrap()).unwrap()], 16 * 1024 * 1024);
        let span = Span { attributes: vec![Attribute { key: INPUT.into(), value: "s3://b/a_inputs.jsonl".into() }], ..Span::default() };
        let trace = bodies.fetch_into(Trace { spans: vec![span; 20], ..Trace::default() }).await;
        assert_eq!(trace.spans.iter().filter(|span| !span.input.is_empty()).count(), 6);
        assert!(trace.notes[0].starts_with("14 uploaded message bodies were not found"), "{:?}", trace.notes);
    }
}
