//! Message bodies that an instrumentation uploaded apart from the span (`gen_ai.input.messages_ref` = URI), as OpenTelemetry's
//! `GenAI` utilities do: <https://github.com/open-telemetry/opentelemetry-python-contrib/tree/main/util/opentelemetry-util-genai>.
//!
//! A reference is text of a trace, so it is never followed to where it points: only to an object whose key ends as the reference does,
//! below a location that the user gave as input.

use std::sync::Arc;

use super::json;
use super::messages;
use super::value::Value;
use crate::limits::{MESSAGE_BODIES_PER_TRACE_MAX, TRACE_BYTES_MAX};
use crate::model::{Span, Trace};
use crate::store::Location;

/// The places where bodies may lie.
#[derive(Debug, Clone, Default)]
pub struct Bodies {
    inputs: Arc<Vec<Location>>,
    bytes_max: u64,
}

/// The attributes that refer to a body, without `gen_ai.` and `_ref`.
const INPUT: &str = "gen_ai.input.messages_ref";
const OUTPUT: &str = "gen_ai.output.messages_ref";
const SYSTEM: &str = "gen_ai.system_instructions_ref";
const TOOLS: &str = "gen_ai.tool.definitions_ref";
const REFERENCES: [&str; 4] = [INPUT, OUTPUT, SYSTEM, TOOLS];

/// The last steps of a reference that may be a key below an input: `uploads/2026/11/<name>`.
const STEPS_MAX: usize = 6;

impl Bodies {
    /// Looks below `inputs`; a body over `bytes_max` is not read.
    pub fn new(inputs: Vec<Location>, bytes_max: usize) -> Self {
        Self { inputs: Arc::new(inputs), bytes_max: bytes_max as u64 }
    }

    /// Puts the bodies that the spans refer to into them.
    pub(super) async fn fill(&self, mut trace: Trace) -> Trace {
        let refers = |span: &Span| span.attributes.iter().any(|attribute| REFERENCES.contains(&attribute.key.as_str()));
        if !trace.spans.iter().any(refers) {
            return trace;
        }
        let (mut followed, mut missing, mut bytes_left) = (0, 0, TRACE_BYTES_MAX as u64);
        for span in &mut trace.spans {
            for reference in REFERENCES {
                let Some(target) = span.attribute(reference).map(str::to_owned) else { continue };
                followed += 1;
                let body = if followed > MESSAGE_BODIES_PER_TRACE_MAX { None } else { self.read(&target, bytes_left).await };
                bytes_left = bytes_left.saturating_sub(body.as_ref().map_or(0, String::len) as u64);
                match body.filter(|body| put(span, reference, body)) {
                    Some(_) => span.attributes.retain(|attribute| attribute.key != reference),
                    None => missing += 1,
                }
            }
        }
        if missing > 0 {
            trace.notes.push(format!("{missing} uploaded message bodies were not found below the inputs, or are too large together"));
        }
        trace
    }

    /// A body of at most `bytes_left`: one that many spans name shall not make a trace larger than traces may be.
    async fn read(&self, reference: &str, bytes_left: u64) -> Option<String> {
        let path = reference.split_once("://").map_or(reference, |(_, path)| path);
        let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
        for input in self.inputs.iter() {
            for count in 1..=steps.len().min(STEPS_MAX) {
                let name = steps.get(steps.len() - count..).unwrap_or_default().join("/");
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

/// Takes a body: a JSON list, or JSON lines.
fn put(span: &mut Span, reference: &str, body: &str) -> bool {
    let _budget = json::Budget::for_record(body.len());
    let tree = Value::parse(body).filter(|tree| matches!(tree, Value::List(_)));
    let tree = tree.unwrap_or_else(|| Value::List(body.lines().filter_map(Value::parse).collect()));
    if tree.items().is_empty() {
        return false;
    }
    if reference == TOOLS {
        span.tools_offered = tree.items().iter().filter_map(messages::tool_name).collect();
        return true;
    }
    if reference == SYSTEM {
        let parts = Value::Map(vec![("role".into(), Value::Text("system".into())), ("parts".into(), tree)]);
        span.input.splice(0..0, messages::message(&parts));
        return true;
    }
    let Some((found, reasons)) = messages::from_tree(&tree) else { return false };
    if reference == INPUT {
        span.input.extend(found);
    } else {
        span.output.extend(found);
        if span.finish_reasons.is_empty() {
            span.finish_reasons = reasons;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attribute;

    #[tokio::test]
    async fn a_reference_is_followed_below_the_inputs_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("traces");
        std::fs::create_dir_all(inside.join("uploads")).unwrap();
        std::fs::write(inside.join("uploads/a_inputs.jsonl"), "{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"hi\"}]}\n")
            .unwrap();
        std::fs::write(folder.path().join("secret.jsonl"), "{\"role\":\"user\",\"content\":\"outside\"}\n").unwrap();
        let bodies = Bodies::new(vec![Location::parse(inside.to_str().unwrap()).unwrap()], 1_000);
        let outside = folder.path().join("secret.jsonl").display().to_string();
        for (reference, found) in [
            ("s3://bucket/app/uploads/a_inputs.jsonl".to_owned(), Some("hi")),
            (format!("file://{outside}"), None),
            ("file:///x/../secret.jsonl".to_owned(), None),
            ("file:///uploads/%2e%2e/%2e%2e/secret.jsonl".to_owned(), None),
        ] {
            let span = Span { attributes: vec![Attribute { key: INPUT.into(), value: reference.clone() }], ..Span::default() };
            let trace = bodies.fill(Trace { spans: vec![span], ..Trace::default() }).await;
            assert_eq!(trace.spans[0].input.first().map(|message| message.content.as_str()), found, "{reference}");
            assert_eq!(trace.notes.is_empty(), found.is_some());
        }
    }

    #[tokio::test]
    async fn a_body_that_many_spans_name_does_not_make_a_trace_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let content = "x".repeat(10 * 1024 * 1024);
        std::fs::write(folder.path().join("a_inputs.jsonl"), format!("{{\"role\":\"user\",\"content\":\"{content}\"}}\n")).unwrap();
        let bodies = Bodies::new(vec![Location::parse(folder.path().to_str().unwrap()).unwrap()], 16 * 1024 * 1024);
        let span = Span { attributes: vec![Attribute { key: INPUT.into(), value: "s3://b/a_inputs.jsonl".into() }], ..Span::default() };
        let trace = bodies.fill(Trace { spans: vec![span; 20], ..Trace::default() }).await;
        assert_eq!(trace.spans.iter().filter(|span| !span.input.is_empty()).count(), 6);
        assert!(trace.notes[0].starts_with("14 uploaded"), "{:?}", trace.notes);
    }
}
