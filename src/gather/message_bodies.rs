//! Fetches message bodies that were stored separately from the span, as OpenTelemetry's `GenAI` utilities (`gen_ai.input.messages_ref` = URI) and
//! Bedrock's invocation logs (`inputBodyS3Path` = URI) do.
//!
//! A reference is trace text and thus untrusted. Its host and absolute path are ignored: only an object below a location that the user gave
//! as input is read, if its key ends like the reference.

use std::io::Read;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

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

/// Trailing path segments of a reference that may form a key below an input: `uploads/2026/11/<name>`,
/// `AWSLogs/<account>/BedrockModelInvocationLogs/<region>/2026/11/26/15/data/<name>`.
const KEY_SEGMENTS_MAX: usize = 12;

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
        let bytes_max = self.bytes_max.min(bytes_left);
        for input in self.inputs.iter() {
            for count in 1..=segments.len().min(KEY_SEGMENTS_MAX) {
                let name = segments.get(segments.len() - count..).unwrap_or_default().join("/");
                match input.read_below(&name, bytes_max).await {
                    Ok(Some(bytes)) => return text(&bytes, bytes_max),
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

/// The text of a body, which may be compressed; `None` if it is larger than `bytes_max`, or not text.
fn text(bytes: &[u8], bytes_max: u64) -> Option<String> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return String::from_utf8(bytes.to_vec()).ok();
    }
    let mut text = String::new();
    MultiGzDecoder::new(bytes).take(bytes_max.saturating_add(1)).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= bytes_max).then_some(text)
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
    async fn compressed_bodies_of_bedrock_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let hour = folder.path().join("AWSLogs/1/BedrockModelInvocationLogs/eu-west-1/2026/11/26/15/data");
        std::fs::create_dir_all(&hour).unwrap();
        for (name, body) in [
            ("u_input.json.gz", r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#),
            ("u_output.json.gz", r#"[{"contentBlockDelta":{"delta":{"text":"ok"}}},{"messageStop":{"stopReason":"end_turn"}}]"#),
            ("large_input.json.gz", &format!(r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#, " ".repeat(2_000))),
        ] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, body.as_bytes()).unwrap();
            std::fs::write(hour.join(name), encoder.finish().unwrap()).unwrap();
        }
        let bodies = MessageBodies::new(vec![Location::parse(folder.path().to_str().unwrap()).unwrap()], 1_000);
        let path = "s3://acme/AWSLogs/1/BedrockModelInvocationLogs/eu-west-1/2026/11/26/15/data";
        let reference = |key: &str, name: &str| Attribute { key: key.into(), value: format!("{path}/{name}.json.gz") };
        let span = Span {
            kind: crate::model::SpanKind::Llm,
            attributes: vec![reference("inputBodyS3Path", "u_input"), reference("outputBodyS3Path", "u_output")],
            ..Span::default()
        };
        let large = Span { attributes: vec![reference("inputBodyS3Path", "large_input")], ..span.clone() };
        let trace = bodies.fetch_into(Trace { spans: vec![span, large], ..Trace::default() }).await;
        let read = &trace.spans[0];
        assert_eq!((read.input[0].content.as_str(), read.output[0].content.as_str()), ("hi", "ok"));
        assert_eq!((read.finish_reasons.as_slice(), read.attributes.len()), (&["end_turn".to_owned()][..], 0));
        assert!(trace.notes[0].starts_with("1 uploaded message body was not found"), "{:?}", trace.notes);
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
