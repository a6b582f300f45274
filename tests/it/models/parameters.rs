//! Servers that do not support a parameter of the request: it is renamed or left out, which costs one request.

use std::time::Duration;

use serde_json::{Value, json};

use super::{run, workspace};
use crate::model_stub::{ModelStub, Reaction, gemini_error};
use crate::support::stderr;

/// A server that returns the error of `refuse`, if that returns one for the body of a request.
fn refusing_server(refuse: impl Fn(&Value) -> Option<(u16, Value)> + Send + Sync + 'static) -> ModelStub {
    ModelStub::start(move |request| match refuse(&request.body) {
        Some((status, body)) => Reaction::Status(status, body, None),
        None => Reaction::Answer,
    })
}

/// An error body of OpenAI.
fn openai_error(text: &str) -> Value {
    json!({"error": {"message": text, "type": "invalid_request_error", "param": null, "code": null}})
}

/// Server, JSON pointer of the unsupported parameter in the request, status and body of the error.
type Unsupported = (&'static str, &'static str, u16, Value);

fn unsupported_by_openai_servers() -> Vec<Unsupported> {
    let forbidden = |name: &str| json!({"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": 7}]});
    vec![
        (
            "OpenAI",
            "/max_tokens",
            400,
            json!({"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}}),
        ),
        (
            "OpenAI",
            "/temperature",
            400,
            json!({"error": {"message": "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.", "param": "temperature", "code": "unsupported_value"}}),
        ),
        ("Mistral", "/temperature", 422, forbidden("temperature")),
        ("DeepSeek", "/response_format/json_schema", 400, openai_error("This response_format type is unavailable now")),
        (
            "Azure",
            "/response_format/json_schema",
            400,
            openai_error("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."),
        ),
        (
            "OpenAI",
            "/response_format/json_schema/strict",
            400,
            openai_error("Invalid schema for response_format 'failure_pattern': In context=(), 'additionalProperties' is required"),
        ),
        (
            "llama.cpp",
            "/response_format/json_schema",
            500,
            json!({"error": {"code": 500, "message": "Failed to parse grammar", "type": "server_error"}}),
        ),
        (
            "vLLM",
            "/response_format/json_schema",
            400,
            json!({"object": "error", "message": "The provided JSON schema contains features not supported by xgrammar.", "type": "BadRequestError", "param": null, "code": 400}),
        ),
        ("Ollama", "/response_format/json_schema", 400, json!({"error": "invalid format: expected \"json\" or a JSON schema"})),
        (
            "LiteLLM",
            "/response_format",
            400,
            openai_error("litellm.UnsupportedParamsError: x does not support parameters: ['response_format'], for model=m."),
        ),
        ("Groq", "/reasoning_effort", 400, openai_error("`reasoning_effort` must be one of `none` or `default`")),
        ("a chat template", "/messages/1", 400, json!({"object": "error", "message": "System role not supported", "code": 400})),
        (
            "a gateway, in a successful response",
            "/temperature",
            200,
            json!({"error": {"message": "Unrecognized request argument supplied: temperature", "code": 400}}),
        ),
    ]
}

#[test]
fn an_unsupported_parameter_costs_one_request_and_no_trace() {
    for (server, pointer, status, body) in unsupported_by_openai_servers() {
        let workspace = workspace(6);
        let response = body.clone();
        let stub = refusing_server(move |body| body.pointer(pointer).map(|_| (status, response.clone())));
        let (output, summary) = run(&workspace, &stub, "openai", &["--concurrency", "4", "--thinking", "low"]);
        assert!(output.status.success() && summary["stored"] == 6, "{server} {pointer}: {summary} {}", stderr(&output));
        // LiteLLM refuses the whole parameter: the strict schema, the schema and plain JSON.
        let lost = if server == "LiteLLM" { 3 } else { 1 };
        assert!(stub.request_count() <= 6 + lost, "{server} {pointer}: {} requests", stub.request_count());
    }
}

#[test]
fn a_server_without_any_optional_parameter_gets_plain_requests() {
    let workspace = workspace(4);
    let names = ["/max_tokens", "/max_completion_tokens", "/temperature", "/response_format", "/reasoning_effort", "/messages/1"];
    let stub = refusing_server(move |body| {
        let name = names.iter().find(|name| body.pointer(name).is_some())?.trim_start_matches('/');
        let name = if name == "messages/1" { "system role" } else { name };
        Some((400, openai_error(&format!("Unsupported parameter: '{name}' is not supported"))))
    });
    let (output, summary) = run(&workspace, &stub, "openai", &["--thinking", "low"]);
    assert!(output.status.success() && summary["stored"] == 4, "{summary} {}", stderr(&output));
    assert!(stub.request_count() <= 4 + 8, "{} requests", stub.request_count());
}

#[test]
fn a_server_without_json_schema_is_asked_for_json() {
    let workspace = workspace(4);
    let stub = ModelStub::start(|request| {
        if request.body.pointer("/response_format/type") == Some(&json!("json_schema")) {
            return Reaction::Status(400, json!({"error": {"message": "'response_format.type' must be 'json_object' or 'text'"}}), None);
        }
        Reaction::Text(format!("Here you are:\n```json\n{}\n```", request.answer()), "STOP")
    });
    let (output, summary) = run(&workspace, &stub, "openai", &["--concurrency", "1"]);
    assert!(output.status.success() && summary["stored"] == 4, "{summary} {}", stderr(&output));
    assert_eq!(stub.request_count(), 5, "one request is refused");
    assert_eq!(stub.requests()[4].body["model"], "stub-model", "the only model of the server");
}

#[test]
fn requests_in_flight_are_repeated_when_a_parameter_becomes_unsupported() {
    let workspace = workspace(30);
    let stub = ModelStub::start(|request| {
        if request.number > 5 && request.body.get("temperature").is_some() {
            let refusal = Reaction::Status(400, openai_error("Unsupported value: 'temperature' does not support 0"), None);
            return Reaction::Delay(Duration::from_millis(200), Box::new(refusal));
        }
        Reaction::Answer
    });
    let (output, summary) = run(&workspace, &stub, "openai", &["--concurrency", "8"]);
    assert!(output.status.success() && summary["stored"] == 30, "{summary} {}", stderr(&output));
    assert!(stub.request_count() <= 30 + 8, "{} requests", stub.request_count());
}

#[test]
fn unsupported_parameters_of_gemini_are_left_out() {
    let cases: Vec<(&str, &str, &str)> = vec![
        (
            "complexity",
            "/generationConfig/responseJsonSchema",
            "The specified schema produces a constraint that has too many states for serving. Typical causes of this error are schemas with lots of text",
        ),
        ("unspecific", "/generationConfig/responseJsonSchema", "Request contains an invalid argument."),
        (
            "unknown",
            "/generationConfig/responseJsonSchema",
            "Invalid JSON payload received. Unknown name \"responseJsonSchema\" at 'generation_config': Cannot find field.",
        ),
        ("thinking", "/generationConfig/thinkingConfig", "Thinking level is not supported for this model."),
        ("JSON", "/generationConfig/responseMimeType", "JSON mode is not enabled for models/gemma-3-27b-it"),
    ];
    for (name, pointer, message) in cases {
        let workspace = workspace(6);
        let stub = refusing_server(move |body| body.pointer(pointer).map(|_| (400, gemini_error(400, message, &Value::Null))));
        let (output, summary) = run(&workspace, &stub, "gemini", &["--concurrency", "4"]);
        assert!(output.status.success() && summary["stored"] == 6, "{name}: {summary} {}", stderr(&output));
        assert_eq!(stub.request_count(), 7, "{name}");
        let instructions = stub.requests()[6].body.pointer("/systemInstruction/parts/0/text").unwrap().to_string();
        assert_eq!(instructions.contains("fits this JSON Schema"), name != "thinking", "{name}");
    }
}
