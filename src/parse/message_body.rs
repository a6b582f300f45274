//! Decodes message bodies that were stored separately from the span; the gather stage fetches them. They are uploads of OpenTelemetry's `GenAI`
//! utilities (<https://github.com/open-telemetry/opentelemetry-python-contrib/tree/main/util/opentelemetry-util-genai>), and large bodies of
//! Bedrock's invocation logs.

use super::formats::add_bedrock_body;
use super::json;
use super::messages;
use super::value::Value;
use crate::model::{Part, Span};

const INPUT: &str = "gen_ai.input.messages_ref";
const OUTPUT: &str = "gen_ai.output.messages_ref";
const SYSTEM: &str = "gen_ai.system_instructions_ref";
const TOOLS: &str = "gen_ai.tool.definitions_ref";
const BEDROCK_INPUT: &str = "inputBodyS3Path";
const BEDROCK_OUTPUT: &str = "outputBodyS3Path";

/// The attributes whose value is the URI of a body.
pub(crate) const REFERENCE_ATTRIBUTES: [&str; 6] = [INPUT, OUTPUT, SYSTEM, TOOLS, BEDROCK_INPUT, BEDROCK_OUTPUT];

/// Adds a body, a JSON list, JSON lines, or an object of Bedrock, to the fields of the span that correspond to the reference attribute. Returns whether it had
/// any content.
pub(crate) fn add_message_body(span: &mut Span, reference_attribute: &str, body: &str) -> bool {
    let _budget = json::Budget::for_record(body.len());
    match reference_attribute {
        BEDROCK_INPUT => return Value::parse(body).is_some_and(|body| add_bedrock_body(span, Part::Input, body)),
        BEDROCK_OUTPUT => return Value::parse(body).is_some_and(|body| add_bedrock_body(span, Part::Output, body)),
        _ => {}
    }
    let list = Value::parse(body).filter(|value| matches!(value, Value::List(_)));
    let list = list.unwrap_or_else(|| Value::List(body.lines().filter_map(Value::parse).collect()));
    if list.items().is_empty() {
        return false;
    }
    if reference_attribute == TOOLS {
        span.tools_offered = list.items().iter().filter_map(messages::tool_name).collect();
        return true;
    }
    if reference_attribute == SYSTEM {
        let message = Value::Map(vec![("role".into(), Value::Text("system".into())), ("parts".into(), list)]);
        span.input.splice(0..0, messages::message(&message));
        return true;
    }
    let Some((found, finish_reasons)) = messages::from_tree(&list) else { return false };
    if reference_attribute == INPUT {
        span.input.extend(found);
    } else {
        span.output.extend(found);
        if span.finish_reasons.is_empty() {
            span.finish_reasons = finish_reasons;
        }
    }
    true
}
