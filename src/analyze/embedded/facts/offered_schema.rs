//! What the request said about the arguments of a tool or about the answer: the schema of the tool, whether the model was held to it, and whether the
//! arguments fit it. An action that asks for what is there already is none.

use serde_json::{Map, Value};

use super::arguments::{INVALID_ARGUMENT, MISSING_PARAMETER};
use super::call::{RecordedCall, spans_before};
use super::names::fact_names;
use super::tool_call::CALLED_TOOL;
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::{Attribute, Span, SpanKind};

fact_names! {
    SCHEMA_STRICT = "schema_strict", Text, "whether the model was held to the schema of the tool";
    SCHEMA_STATES = "schema_states", Text, "what the schema of the tool says about the argument";
    ARGUMENTS_FIT_SCHEMA = "arguments_fit_schema", Text, "whether the arguments fit the schema that the model was offered";
    STRUCTURED_OUTPUT = "structured_output", Text, "how the request held the model to the structure of its answer";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Model calls whose request is read.
const CALLS_READ_MAX: usize = 8;

/// Longer attributes are not parsed.
const ATTRIBUTE_BYTES_MAX: usize = 512 * 1024;

/// How deeply definitions and schemas are read.
const DEPTH_MAX: usize = 8;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if case.is(&["invalid_tool_arguments"]) {
        add_tool(case, facts);
    } else if case.label.category() == "output_format"
        && let Some((span, what)) = calls_before(case).find_map(|span| Some((span, structured_output(span)?)))
    {
        facts.add(&STRUCTURED_OUTPUT, what, Place::Span(span));
    }
}

/// The failed span and the last model calls before it.
fn calls_before<'t>(case: &Case<'_, 't>) -> impl Iterator<Item = &'t Span> {
    let before = spans_before(case).rev().filter(|span| span.kind == SpanKind::Llm).take(CALLS_READ_MAX);
    case.span().into_iter().chain(case.step()).chain(before)
}

fn add_tool(case: &Case<'_, '_>, facts: &mut Facts) {
    let call = RecordedCall::of(case);
    let name = call.as_ref().map(|call| call.name).or_else(|| facts.get(&CALLED_TOOL)).map(str::to_owned);
    let Some(name) = name.filter(|name| !name.is_empty()) else { return };
    let Some((span, definition)) = calls_before(case).find_map(|span| Some((span, definition_in(span, &name)?))) else { return };
    if definition.is_strict {
        facts.add(&SCHEMA_STRICT, "yes", Place::Span(span));
    }
    let Some(schema) = &definition.schema else { return };
    let named = facts.get(&INVALID_ARGUMENT).map(str::to_owned);
    if let Some(says) = named.and_then(|argument| says_about(schema, &argument)) {
        facts.add(&SCHEMA_STATES, shortened(&says, 100), Place::Span(span));
    }
    let missing = facts.get(&MISSING_PARAMETER).map(str::to_owned);
    if missing.is_some_and(|argument| is_required(schema, &argument)) {
        facts.add(&SCHEMA_STATES, "required", Place::Span(span));
    }
    if call.as_ref().and_then(RecordedCall::json).is_some_and(|arguments| fits(schema, &Value::Object(arguments), 0)) {
        facts.add(&ARGUMENTS_FIT_SCHEMA, "yes", Place::Span(span));
    }
}

/// The definition of a tool in a request.
#[derive(Debug)]
struct Definition {
    schema: Option<Value>,
    is_strict: bool,
}

/// The definition of a tool among the attributes of a model call.
fn definition_in(span: &Span, name: &str) -> Option<Definition> {
    let has_schema = |attribute: &&Attribute| {
        let value = attribute.value.as_str();
        value.len() <= ATTRIBUTE_BYTES_MAX && value.contains(name) && value.contains("properties")
    };
    let parsed = span.attributes.iter().filter(has_schema).filter_map(|attribute| serde_json::from_str::<Value>(&attribute.value).ok());
    parsed.into_iter().find_map(|value| find_definition(&value, name, false, 0))
}

fn find_definition(value: &Value, name: &str, is_strict: bool, depth: usize) -> Option<Definition> {
    const SCHEMAS: [&str; 6] = ["parameters", "parameters_json_schema", "input_schema", "inputSchema", "json_schema", "schema"];
    if depth > DEPTH_MAX {
        return None;
    }
    match value {
        Value::Object(fields) => {
            let is_strict = is_strict || fields.get("strict").and_then(Value::as_bool).unwrap_or_default();
            if fields.get("name").and_then(Value::as_str) == Some(name) {
                let schema = SCHEMAS.iter().find_map(|key| fields.get(*key)).filter(|schema| schema.is_object());
                return Some(Definition { schema: schema.cloned(), is_strict });
            }
            fields.values().find_map(|field| find_definition(field, name, is_strict, depth + 1))
        }
        Value::Array(items) => items.iter().find_map(|item| find_definition(item, name, is_strict, depth + 1)),
        // A definition as JSON text in JSON.
        Value::String(text) if text.contains(name) && text.trim_start().starts_with(['{', '[']) => {
            find_definition(&serde_json::from_str(text).ok()?, name, is_strict, depth + 1)
        }
        _ => None,
    }
}

/// What a schema demands of an argument beyond its type: `"format":"date"`, `"enum":["a","b"]`.
fn says_about(schema: &Value, argument: &str) -> Option<String> {
    const CONSTRAINTS: [&str; 10] =
        ["enum", "const", "format", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"];
    let path = argument.split('.').filter(|name| name.parse::<usize>().is_err());
    let mut property = schema;
    for name in path.take(DEPTH_MAX) {
        let items = property.get("items").unwrap_or(property);
        property = items.get("properties")?.get(name)?;
    }
    let said: Map<String, Value> = property
        .as_object()?
        .iter()
        .filter(|(key, _)| CONSTRAINTS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!said.is_empty()).then(|| Value::Object(said).to_string().trim_matches(['{', '}']).to_owned())
}

fn is_required(schema: &Value, argument: &str) -> bool {
    schema.get("required").and_then(Value::as_array).is_some_and(|required| required.iter().any(|name| name.as_str() == Some(argument)))
}

/// Whether a value fits a schema as far as providers enforce it: types, required and additional properties, and lists of values.
fn fits(schema: &Value, value: &Value, depth: usize) -> bool {
    if depth > DEPTH_MAX {
        return true;
    }
    let any_of = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)?.as_array());
    if let Some(alternatives) = any_of {
        return alternatives.iter().any(|alternative| fits(alternative, value, depth + 1));
    }
    if !has_type(schema, value) || schema.get("enum").and_then(Value::as_array).is_some_and(|allowed| !allowed.contains(value)) {
        return false;
    }
    match value {
        Value::Object(fields) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
            let required = schema.get("required").and_then(Value::as_array);
            required.is_none_or(|names| names.iter().filter_map(Value::as_str).all(|name| fields.contains_key(name)))
                && fields.iter().all(|(name, field)| match properties.and_then(|known| known.get(name)) {
                    Some(property) => fits(property, field, depth + 1),
                    None => !is_closed,
                })
        }
        Value::Array(items) => schema.get("items").is_none_or(|each| items.iter().all(|item| fits(each, item, depth + 1))),
        _ => true,
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let is_of = |word: &str| match word.to_ascii_lowercase().as_str() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    };
    match schema.get("type") {
        Some(Value::String(word)) => is_of(word),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).any(is_of),
        _ => true,
    }
}

/// How a request held the model to the structure of its answer.
fn structured_output(span: &Span) -> Option<String> {
    const SCHEMA_WORDS: [&str; 4] = ["json_schema", "responseSchema", "response_schema", "responseJsonSchema"];
    for attribute in span.attributes.iter().filter(|attribute| attribute.value.len() <= ATTRIBUTE_BYTES_MAX) {
        let (key, value) = (attribute.key.as_str(), attribute.value.as_str());
        let is_format = key.to_ascii_lowercase().contains("response_format") || value.contains("response_format");
        let names_schema = SCHEMA_WORDS.iter().any(|word| value.contains(word));
        if is_format && names_schema || value.contains("responseSchema") || value.contains("\"response_schema\"") {
            return Some("a schema of the response".to_owned());
        }
        // Pydantic AI lists the tools with which the model returns its answer.
        if value.contains("\"output_tools\"")
            && let Ok(parameters) = serde_json::from_str::<Value>(value)
            && let Some(name) = parameters.pointer("/output_tools/0/name").and_then(Value::as_str)
        {
            return Some(format!("the output tool {}", shortened(name, 60)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, ToolUse, Trace};

    fn call(key: &str, value: &str) -> Span {
        let attributes = vec![Attribute { key: key.into(), value: value.into() }];
        Span { kind: SpanKind::Llm, attributes, ..Span::default() }
    }

    const TOOLS: &str = r#"{"tools": [{"type": "function", "strict": true, "function": {"name": "book", "parameters": {"type": "object",
        "properties": {"day": {"type": "string", "format": "date"}, "guests": {"type": "integer"}}, "required": ["day"],
        "additionalProperties": false}}}, {"name": "other", "input_schema": {"properties": {"x": {}}}}]}"#;

    #[test]
    fn the_schema_of_a_tool_is_found_in_the_shapes_of_requests() {
        let definition = definition_in(&call("request", TOOLS), "book").unwrap();
        assert!(definition.is_strict);
        let schema = definition.schema.unwrap();
        assert_eq!(says_about(&schema, "day").as_deref(), Some("\"format\":\"date\""));
        assert_eq!((says_about(&schema, "guests"), says_about(&schema, "x")), (None, None));
        assert!(is_required(&schema, "day") && !is_required(&schema, "guests"));
        assert!(!definition_in(&call("request", TOOLS), "other").unwrap().is_strict);
        assert!(definition_in(&call("request", TOOLS), "cancel").is_none());
        let wrapped = format!("[{}]", serde_json::to_string(TOOLS).unwrap());
        assert!(definition_in(&call("request", &wrapped), "book").unwrap().is_strict);
    }

    #[test]
    fn arguments_are_compared_with_the_schema() {
        let schema = definition_in(&call("request", TOOLS), "book").unwrap().schema.unwrap();
        for (arguments, expected) in [
            (r#"{"day": "tomorrow"}"#, true),
            (r#"{"day": "2031-01-02", "guests": 2}"#, true),
            (r#"{"guests": 2}"#, false),
            (r#"{"day": 5}"#, false),
            (r#"{"day": "x", "guests": "two"}"#, false),
            (r#"{"day": "x", "pets": 1}"#, false),
        ] {
            assert_eq!(fits(&schema, &serde_json::from_str(arguments).unwrap(), 0), expected, "{arguments}");
        }
    }

    #[test]
    fn structured_output_is_recognized_where_the_request_is_recorded() {
        for (key, value, expected) in [
            ("llm.invocation_parameters", r#"{"response_format": {"type": "json_schema", "json_schema": {}}}"#, true),
            ("gen_ai.request.response_format", r#"{"type": "json_schema"}"#, true),
            ("gcp.vertex.agent.llm_request", r#"{"config": {"response_schema": {}}}"#, true),
            ("parameters", r#"{"function_tools": [], "output_tools": [{"name": "final_result"}]}"#, true),
            ("llm.invocation_parameters", r#"{"response_format": {"type": "json_object"}}"#, false),
            ("parameters", r#"{"output_tools": []}"#, false),
            ("temperature", "0", false),
        ] {
            assert_eq!(structured_output(&call(key, value)).is_some(), expected, "{key} {value}");
        }
    }

    #[test]
    fn the_schema_of_the_rejected_call_is_a_fact() {
        let tool = |arguments: &str| Some(ToolUse { name: "book".into(), arguments: arguments.into(), ..ToolUse::default() });
        for (arguments, fits) in [(r#"{"day": "tomorrow"}"#, Some("yes")), (r#"{"guests": 2}"#, None)] {
            let failed = Span { span_id: "1".into(), kind: SpanKind::Tool, tool: tool(arguments), ..Span::default() };
            let trace = Trace { spans: vec![call("request", TOOLS), failed], ..Trace::default() };
            let (tree, root) = (SpanTree::new(&trace), Incident::new(&trace, 1, IncidentKind::Error).unwrap());
            let mut facts = Facts::default();
            let label = Label::parse("tool_misuse/invalid_tool_arguments").unwrap();
            add(&Case::new(&trace, &tree, &[], Some(&root), label), &mut facts);
            assert_eq!((facts.get(&SCHEMA_STRICT), facts.get(&ARGUMENTS_FIT_SCHEMA)), (Some("yes"), fits), "{arguments}");
        }
    }
}
