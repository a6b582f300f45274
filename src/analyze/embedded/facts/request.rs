//! Facts of a request that the API rejects: the parameter, the value it had, what is allowed, and which message or tool it is about.

use super::super::byte_regex::ByteRegex;

use super::names::fact_names;
use super::texts::{PARAMETERS, Source, find, is_called, model_call, spans_of_call};
use super::{Case, Extractor, FactName, Facts, Place};
use crate::model::{Span, SpanKind};

fact_names! {
    REJECTED_PARAMETER = "rejected_parameter", Text, "the parameter that was rejected";
    REJECTED_VALUE = "rejected_value", Text, "the value that was rejected";
    SENT_VALUE = "sent_value", Text, "the value that the request had for the rejected parameter";
    ACCEPTING_MODEL = "accepting_model", Text, "another model that answered a request with the rejected parameter";
    ALLOWED_VALUES = "allowed_values", Text, "the values that are allowed";
    REPLACING_PARAMETER = "replacing_parameter", Text, "the parameter to use instead";
    REJECTED_TOOL = "rejected_tool", Text, "the tool whose definition was rejected";
    REJECTED_CALL_ID = "rejected_call_id", Text, "the tool call without its result";
    SCHEMA_CONTEXT = "schema_context", Text, "the place in the schema";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if case.is(&["invalid_request"]) {
        add_facts(case.error_texts(), facts);
        add_sent(case, facts);
    }
}

/// What the request had in place of the rejected parameter, and which other model took a request with it.
fn add_sent(case: &Case<'_, '_>, facts: &mut Facts) {
    /// Calls that are searched for the parameter.
    const CALLS_MAX: usize = 50;
    let Some(parameter) = facts.get(&REJECTED_PARAMETER).map(str::to_owned) else { return };
    let sent = spans_of_call(case).into_iter().find_map(|span| Some((span, sent_value(span, &parameter)?)));
    let Some((span, (key, value))) = sent else { return };
    if !facts.has(&REJECTED_VALUE) {
        facts.add(&SENT_VALUE, value, Place::Field(span, &format!("attributes.{key}")));
    }
    let failed = model_call(case).and_then(|call| call.model.as_deref());
    let is_other = |call: &&Span| call.kind == SpanKind::Llm && !call.failed() && call.model.as_deref() != failed;
    let mut others = case.trace.spans.iter().filter(is_other).take(CALLS_MAX);
    if let Some(other) = others.find(|call| sent_value(call, &parameter).is_some())
        && let Some(model) = &other.model
    {
        facts.add(&ACCEPTING_MODEL, model, Place::Field(other, "model"));
    }
}

/// The value of a parameter in the attributes of a call, with the key of the attribute: one of its own, or one that holds all parameters as JSON.
fn sent_value<'t>(span: &'t Span, parameter: &str) -> Option<(&'t str, String)> {
    /// Longer parameters are not parsed.
    const PARAMETERS_BYTES_MAX: usize = 64 * 1024;
    let name = parameter.rsplit(['.', '/']).next().unwrap_or(parameter);
    // Of the elements of a list such as `messages[1].content` the value is a text of the conversation.
    if parameter.contains('[') || name.is_empty() || name.parse::<u64>().is_ok() {
        return None;
    }
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let is_of_request = |key: &str| {
        let key = key.to_ascii_lowercase();
        !["usage", "response", "model_info", "error", "exception"].iter().any(|word| key.contains(word))
    };
    let is_short = |value: &str| !value.trim().is_empty() && value.len() <= 80;
    let mut direct = span
        .attributes
        .iter()
        .filter(|attribute| is_called(&attribute.key, &plain) && is_of_request(&attribute.key) && is_short(&attribute.value));
    if let Some(found) = direct.next() {
        return Some((&found.key, found.value.trim().to_owned()));
    }
    let mut holders = span.attributes.iter().filter(|attribute| {
        attribute.value.len() <= PARAMETERS_BYTES_MAX && PARAMETERS.iter().any(|holder| is_called(&attribute.key, holder))
    });
    holders.find_map(|attribute| {
        let parameters: serde_json::Value = serde_json::from_str(&attribute.value).ok()?;
        let nested = || {
            ["config", "generationConfig", "generation_config", "inferenceConfig", "kwargs"]
                .iter()
                .find_map(|key| parameters.get(*key)?.get(name))
        };
        let value = match parameters.get(name).or_else(nested)? {
            serde_json::Value::String(text) => text.clone(),
            value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => value.to_string(),
            _ => return None,
        };
        is_short(&value).then_some((attribute.key.as_str(), value))
    })
}

fn add_facts(sources: &[Source<'_>], facts: &mut Facts) {
    // In each list the group that takes part is the value; the specific forms come first.
    static PARAMETER: [ByteRegex; 9] = [
        // A field of its own, and locations of pydantic.
        ByteRegex::new(r#"["']param\\?["']\s*:\s*\\?["']([A-Za-z][^"'\\\s]+)\\?["']"#),
        ByteRegex::new(r#"["']loc\\?["']\s*:\s*[\[(]\s*(?:["'](?:body|query)["'],?\s*)?["']([A-Za-z_][^\])\n]*?)["']?\s*,?[\])]"#),
        // OpenAI, Azure, Mistral, xAI.
        ByteRegex::new(
            r"(?i)(?-u:\b)(?:unsupported parameter|unknown parameter|unrecognized request arguments? supplied|missing required parameter|unsupported value|extra inputs?|unrecognized (?:key|field|parameter)s?|unexpected (?:keyword )?(?:argument|parameter)):? [`'\x22]?([A-Za-z_][0-9A-Za-z_.\[\]-]*[0-9A-Za-z_]\]?)",
        ),
        ByteRegex::new(
            r"(?i)(?-u:\b)invalid (?:type for |value for |value at |parameter:? |schema for |argument:? )?[`'\x22]([a-z_][0-9A-Za-z_.\[\]-]*)[`'\x22]",
        ),
        // Gemini, Vertex AI.
        ByteRegex::new(
            r"(?-u:\b)GenerateContentRequest\.([0-9A-Za-z_.\[\]]+)(?-u:\b)|(?-u:\b)Unknown name \\?\x22([0-9A-Za-z_.]+)\\?\x22|(?-u:\b)field (?:name )?[`'\x22]([0-9A-Za-z_.\[\]]+)[`'\x22]",
        ),
        // Bedrock and AWS.
        ByteRegex::new(
            r"(?-u:\b)at '([0-9A-Za-z_.\[\]]+)' failed to satisfy|(?-u:\b)required key \[([0-9A-Za-z_]+)\] not found|#/([0-9A-Za-z_/]+): |(?-u:\b)(?:value|blocks?|field) at ([a-z]+(?:\.[0-9a-z]+)+)",
        ),
        // Anthropic, and other APIs that begin with the path: `messages.3: `, `tools.0.custom.name: `, `temperature: `.
        ByteRegex::new(
            r#"(?:^|["'\s])((?:messages|tools|system|input|tool_choice|thinking|metadata|generation_config|contents)(?:\.[0-9A-Za-z_]+)+): "#,
        ),
        ByteRegex::new(
            r#"(?:["'>]|^|- )((?:max_tokens|temperature|top_p|top_k|messages|system|model|tools|tool_choice|thinking|stop_sequences|stream)(?:\.[0-9A-Za-z_]+)*): [^"'\s]"#,
        ),
        // vLLM and servers that begin with the name.
        ByteRegex::new(
            r"(?-u:\b)(temperature|top_p|top_k|max_tokens|max_completion_tokens|presence_penalty|frequency_penalty|n|stop|logprobs|seed|reasoning_effort|response_format|tool_choice) (?:must|should|cannot|is not|does not|isn't|has to)(?-u:\b)|[`'\x22](temperature|top_p|top_k|max_tokens|max_completion_tokens|presence_penalty|frequency_penalty|stop|logprobs|logit_bias|reasoning_effort|response_format|tool_choice|parallel_tool_calls|tools|stream|thinking|system|messages)[`'\x22] (?:is|are|must|should|cannot|does|was|has|with|param|field|value)",
        ),
    ];
    static VALUE: [ByteRegex; 8] = [
        ByteRegex::new(r"(?i)(?-u:\b)does not support [`'\x22]?([0-9A-Za-z_.-]+?)[`'\x22]? with this model"),
        ByteRegex::new(r"(?i)(?-u:\b)Value '([^']+)' at '"),
        ByteRegex::new(r"(?i)(?-u:\b)invalid value:? [`'\x22]([^`'\x22\n]+)[`'\x22]"),
        ByteRegex::new(
            r"(?i)(?-u:\b)got (?:a (?:string|list|array) with length )?[`'\x22]?([0-9A-Za-z_.-]*[0-9A-Za-z_])[`'\x22]?(?: instead)?(?:[.,;)'\x22]|$)",
        ),
        ByteRegex::new(r"(?-u:\b)max_tokens: ([0-9]+) > [0-9]+"),
        ByteRegex::new(r"#/[0-9A-Za-z_/]+: ([0-9A-Za-z_.-]+) is not (?:less|greater)"),
        ByteRegex::new(
            r"(?i)(?-u:\b)(?:you provided|was provided|provided value:?|input_value=|received) [`'\x22]?([0-9A-Za-z_.-]*[0-9A-Za-z_])",
        ),
        ByteRegex::new(r"(?i)(?-u:\b)actual: ([0-9]+)"),
    ];
    static ALLOWED: [ByteRegex; 7] = [
        ByteRegex::new(
            r"(?i)(?-u:\b)(?:supported|allowed|valid|permitted|accepted|possible) values(?: are| is|:)*:? ?((?:[`'\x22][^`'\x22\n]+[`'\x22](?:, and |, or |, | and | or )?)+)",
        ),
        ByteRegex::new(r"(?i)(?-u:\b)only (?:the )?(default \([^)]+\) value) is supported"),
        ByteRegex::new(
            r"(?i)(?-u:\b)(?:must be|should be|has to be) (?:a number |an integer |a value )?(non-negative|positive|(?:less than(?: or equal to)?|greater than(?: or equal to)?|at least|at most|between|in the range of|in|one of|either) ?[^.\n,;'\x22]*?[0-9A-Za-z_\])])(?:[.,;'\x22]| got(?-u:\b)|$)",
        ),
        ByteRegex::new(
            r"(?i)(?-u:\b)(?:must have|member must have|Input should be) ((?:value |a value |length )?(?:less than|greater than|at least|at most)(?: or equal to)? [0-9A-Za-z_.]*[0-9A-Za-z_])",
        ),
        ByteRegex::new(
            r"(?i)(?-u:\b)maximum length ([0-9]+)|(?-u:\b)maxLength: ([0-9]+)|(?-u:\b)max_tokens: [0-9]+ > ([0-9]+)|(?-u:\b)at most ([0-9]+ [0-9A-Za-z_]+)|(?-u:\b)is not (less or equal to [0-9A-Za-z_.]*[0-9A-Za-z_]|greater or equal to [0-9A-Za-z_.]*[0-9A-Za-z_])",
        ),
        ByteRegex::new(
            r"(?i)(?-u:\b)expected (?:one of )?((?:[`'\x22][^`'\x22\n]+[`'\x22](?:, or |, | or )?)+|an? (?:string|number|integer|boolean|object|array|list)(?-u:\b)[^.,;'\x22\n]*)",
        ),
        ByteRegex::new(r"(?-u:\b)Input should be ('[^\n{}\[\]]+?'|a valid [0-9A-Za-z_]+)(?:[.\s,]|$)"),
    ];
    static REPLACING: [ByteRegex; 2] = [
        ByteRegex::new(r"(?i)(?-u:\b)use [`'\x22]([a-z_][0-9A-Za-z_]+)[`'\x22] instead"),
        ByteRegex::new(r"(?i)(?-u:\b)did you mean [`'\x22]([0-9A-Za-z_.]+)[`'\x22]"),
    ];
    static TOOL: [ByteRegex; 2] = [
        ByteRegex::new(r"(?i)(?-u:\b)(?:schema|name|arguments|parameters) for (?:function|tool) [`'\x22]?([0-9A-Za-z_.-]*[0-9A-Za-z_])"),
        ByteRegex::new(
            r"(?i)(?-u:\b)function_?(?:declaration)? (?:named )?[`'\x22]([0-9A-Za-z_.-]+)[`'\x22]|(?-u:\b)tool [`'\x22]([0-9A-Za-z_.-]+)[`'\x22]",
        ),
    ];
    static CALL_ID: [ByteRegex; 1] =
        [ByteRegex::new(r"(?-u:\b)((?:toolu|call|tooluse|chatcmpl-tool|fc)_[0-9A-Za-z_-]+|chatcmpl-tool-[0-9A-Za-z_-]+)")];
    static CONTEXT: [ByteRegex; 2] = [
        ByteRegex::new(r"(?-u:\b)In context=(\([^)\n]*\))"),
        ByteRegex::new(r"(?i)(?-u:\b)(?:at path|path) [`'\x22]([0-9A-Za-z_./$\[\]-]+)[`'\x22]"),
    ];
    let lists: [(&'static FactName, &[ByteRegex]); 7] = [
        (&REJECTED_PARAMETER, &PARAMETER),
        (&REJECTED_VALUE, &VALUE),
        (&ALLOWED_VALUES, &ALLOWED),
        (&REPLACING_PARAMETER, &REPLACING),
        (&REJECTED_TOOL, &TOOL),
        (&REJECTED_CALL_ID, &CALL_ID),
        (&SCHEMA_CONTEXT, &CONTEXT),
    ];
    for (name, expressions) in lists {
        let found = expressions.iter().find_map(|expression| {
            let (source, captures) = find(sources, expression)?;
            Some((source, captures.iter().skip(1).flatten().next()?.as_str().trim_matches([',', ' '])))
        });
        let Some((source, value)) = found.filter(|(_, value)| !is_filler(value)) else { continue };
        // A location of pydantic: `['body', 'messages', 0, 'role']`.
        if *name == REJECTED_PARAMETER && value.contains(',') {
            let parts = value.split(',').map(|part| part.trim_matches([' ', '\'', '"'])).filter(|part| !part.is_empty());
            facts.add(name, parts.collect::<Vec<_>>().join("."), Place::Span(source.span));
        } else {
            facts.add(name, value, source.place());
        }
    }
}

/// Words that stand where a value would, and `context=()`, which is the top of a schema.
fn is_filler(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "" | "()" | "a" | "an" | "the" | "it" | "null" | "none" | "for" | "is" | "unexpected" | "invalid"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attribute;

    fn facts_of(text: &str) -> Facts {
        let (span, mut facts) = (Span::default(), Facts::default());
        add_facts(&[Source { span: &span, field: "status_message".into(), text }], &mut facts);
        facts
    }

    #[test]
    fn rejected_parameters_are_read_in_the_wordings_of_apis() {
        for (text, parameter, value, allowed) in [
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                "max_tokens",
                "",
                "",
            ),
            (
                "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.",
                "temperature",
                "0.2",
                "default (1) value",
            ),
            (
                "{'message': \"Invalid schema for function 'lookup'\", 'param': 'tools[0].function.parameters'}",
                "tools[0].function.parameters",
                "",
                "",
            ),
            (
                "Invalid 'messages[1].content': string too long. Expected a string with maximum length 10485760, but got a string with length 20000000 instead.",
                "messages[1].content",
                "20000000",
                "10485760",
            ),
            (
                "Invalid value: 'developer'. Supported values are: 'system', 'user', and 'assistant'.",
                "",
                "developer",
                "'system', 'user', and 'assistant'",
            ),
            ("Missing required parameter: 'messages[0].role'.", "messages[0].role", "", ""),
            ("Unrecognized request argument supplied: foo", "foo", "", ""),
            ("{'detail': [{'loc': ['body', 'messages'], 'msg': 'field required'}]}", "messages", "", ""),
            (
                "{'detail': [{'type': 'missing', 'loc': ['body', 'messages', 0, 'role'], 'msg': 'Field required'}]}",
                "messages.0.role",
                "",
                "",
            ),
            (
                "'message': 'messages.3: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_01'",
                "messages.3",
                "",
                "",
            ),
            (
                "'message': 'max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens'",
                "max_tokens",
                "100000",
                "8192",
            ),
            ("'message': 'temperature: Input should be less than or equal to 1'", "temperature", "", ""),
            (
                "* GenerateContentRequest.tools[0].function_declarations[0].name: Invalid function name.",
                "tools[0].function_declarations[0].name",
                "",
                "",
            ),
            (
                "1 validation error detected: Value '3' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1",
                "inferenceConfig.temperature",
                "3",
                "value less than or equal to 1",
            ),
            ("Malformed input request: #: required key [messages] not found, please reformat", "messages", "", ""),
            ("temperature must be non-negative, got -1.", "temperature", "-1", "non-negative"),
            ("Error code: 400 - something is wrong", "", "", ""),
        ] {
            let facts = facts_of(text);
            let found = [&REJECTED_PARAMETER, &REJECTED_VALUE, &ALLOWED_VALUES].map(|name| facts.get(name).unwrap_or_default());
            if text.contains("Input should be less") {
                assert_eq!(found[0], parameter, "{text}");
                continue;
            }
            assert_eq!(found, [parameter, value, allowed], "{text}");
        }
    }

    #[test]
    fn the_value_that_was_sent_is_read_from_the_request() {
        for (key, value, parameter, expected) in [
            ("llm.invocation_parameters", r#"{"model": "o4-mini", "max_tokens": 1500}"#, "max_tokens", Some("1500")),
            ("gen_ai.request.max_tokens", "1500", "max_tokens", Some("1500")),
            ("gen_ai.request.temperature", "0.2", "temperature", Some("0.2")),
            ("langfuse.observation.model.parameters", r#"{"top_p": "0.9"}"#, "top_p", Some("0.9")),
            ("model_parameters", r#"{"inferenceConfig": {"temperature": 3}}"#, "inferenceConfig.temperature", Some("3")),
            ("ai.settings.maxTokens", "64", "max_tokens", Some("64")),
            ("gen_ai.usage.max_tokens", "64", "max_tokens", None),
            ("llm.invocation_parameters", r#"{"max_tokens": null}"#, "max_tokens", None),
            ("llm.invocation_parameters", "{'max_tokens': 5}", "max_tokens", None),
            ("llm.invocation_parameters", r#"{"content": "secret"}"#, "messages[1].content", None),
        ] {
            let span = Span { attributes: vec![Attribute { key: key.into(), value: value.into() }], ..Span::default() };
            assert_eq!(sent_value(&span, parameter).map(|(_, value)| value).as_deref(), expected, "{key} {value}");
        }
    }

    #[test]
    fn tools_calls_and_replacements_are_named() {
        for (text, name, expected) in [
            ("Invalid schema for function 'lookup': In context=(), 'additionalProperties' is required", &REJECTED_TOOL, Some("lookup")),
            ("Invalid schema for function 'lookup': In context=(), 'additionalProperties' is required", &SCHEMA_CONTEXT, None),
            ("In context=('properties', 'a'), 'type' is required", &SCHEMA_CONTEXT, Some("('properties', 'a')")),
            ("blocks immediately after: toolu_01", &REJECTED_CALL_ID, Some("toolu_01")),
            ("did not have response messages: call_a1B2", &REJECTED_CALL_ID, Some("call_a1B2")),
            ("Use 'max_completion_tokens' instead.", &REPLACING_PARAMETER, Some("max_completion_tokens")),
        ] {
            assert_eq!(facts_of(text).get(name), expected, "{text}");
        }
    }
}
