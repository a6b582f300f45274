//! Both APIs: requests, columns of the rows, credentials, comparison by `failsift eval`.

use serde_json::{Value, json};

use super::{KEY, command, run, workspace};
use crate::model_stub::{ModelStub, Reaction, USAGE};
use crate::support::{stderr, stdout};

#[test]
fn rows_have_analyzer_model_usage_and_cost() {
    for analyzer in ["gemini", "openai"] {
        let (workspace, stub) = (workspace(5), ModelStub::start(|_| Reaction::Answer));
        let (output, summary) = run(&workspace, &stub, analyzer, &[]);
        assert!(output.status.success(), "{analyzer}: {}", stderr(&output));
        assert_eq!((summary["stored"].as_u64(), stub.request_count()), (Some(5), 5), "{summary}");
        assert_eq!((summary["input_tokens"].as_u64(), summary["output_tokens"].as_u64()), (Some(5 * USAGE.0), Some(5 * USAGE.1)));
        assert_eq!(summary["grounding_rate"], json!(1.0));
        let rows = workspace.rows("SELECT * FROM patterns ORDER BY trace_id");
        let row = &rows[2];
        assert_eq!((row["analyzer"].as_str(), row["model"].as_str()), (Some(analyzer), Some("stub-model-001")));
        assert_eq!((row["input_tokens"].as_u64(), row["output_tokens"].as_u64()), (Some(USAGE.0), Some(USAGE.1)));
        assert_eq!((row["spans_seen"].as_u64(), row["spans_total"].as_u64()), (Some(2), Some(2)));
        assert_eq!(row["settings_digest"].as_str().map(str::len), Some(64));
        let evidence = &row["evidence"][0];
        assert_eq!((evidence["kind"].as_str(), evidence["verified"].as_bool()), (Some("excerpt"), Some(true)));
        assert!(evidence["excerpt"].as_str().unwrap().contains("shelf 2 is empty"), "{evidence}");
        let costs = rows.iter().map(|row| row["cost_usd"].as_f64().unwrap()).sum::<f64>();
        let expected = if analyzer == "gemini" { 5.0 * (1_000.0 * 1.5 + 200.0 * 9.0) / 1e6 } else { 0.0 };
        assert!((costs - expected).abs() < 1e-9 && (summary["cost_usd"].as_f64().unwrap() - expected).abs() < 1e-9, "{costs} {expected}");
        let request = &stub.requests()[0];
        let has_key = request.head.to_lowercase().contains(&format!("x-goog-api-key: {}", KEY.to_lowercase()));
        assert_eq!(has_key, analyzer == "gemini", "{}", request.head);
        assert!(!request.head.contains("key="), "the URL must not contain the key");
        assert_eq!(request.schema()["properties"]["label"]["enum"].as_array().map(Vec::len), Some(63));
    }
}

#[test]
fn the_schema_has_evidence_before_the_verdict() {
    for analyzer in ["gemini", "openai"] {
        let (workspace, stub) = (workspace(1), ModelStub::start(|_| Reaction::Answer));
        run(&workspace, &stub, analyzer, &[]);
        let body = &stub.requests()[0].raw_body;
        let (_, schema) = body.split_once("\"additionalProperties\": false").unwrap();
        let order: Vec<usize> = ["\"evidence\": {", "\"signals\": {", "\"label\": {", "\"title\": {", "\"summary\": {"]
            .iter()
            .map(|name| schema.find(name).unwrap_or_else(|| panic!("{name} is missing: {schema}")))
            .collect();
        assert!(order.is_sorted(), "{analyzer}: {order:?}");
    }
}

/// The name of a field that servers use, and a function that puts an answer into it.
type AnswerAt = (&'static str, fn(String) -> Value);

#[test]
fn answers_are_found_in_all_fields_that_servers_use() {
    let response = |message: Value| {
        json!({"choices": [{"message": message, "finish_reason": "stop"}], "model": "m",
        "usage": {"prompt_tokens": USAGE.0, "completion_tokens": USAGE.1}})
    };
    let messages: [AnswerAt; 4] = [
        ("reasoning_content", |answer| json!({"content": null, "reasoning_content": answer})),
        (
            "parts",
            |answer| json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "{"}]}, {"type": "text", "text": answer}]}),
        ),
        ("thinking in the content", |answer| json!({"content": format!("<think>\nIs it {{this}}?\n</think>\n\n{answer}")})),
        ("tool call", |answer| json!({"content": "", "tool_calls": [{"function": {"name": "json", "arguments": answer}}]})),
    ];
    for (name, message) in messages {
        let workspace = workspace(4);
        let stub = ModelStub::start(move |request| Reaction::Status(200, response(message(request.answer().to_string())), None));
        let (output, summary) = run(&workspace, &stub, "openai", &[]);
        assert!(output.status.success() && summary["stored"] == 4 && stub.request_count() == 4, "{name}: {summary} {}", stderr(&output));
    }
    // An error in a successful response of a gateway is handled like any other.
    let workspace = workspace(4);
    let stub = ModelStub::start(|request| match request.number {
        0 => Reaction::Status(200, json!({"error": {"code": 502, "message": "Provider returned error"}}), None),
        _ => Reaction::Answer,
    });
    let (output, summary) = run(&workspace, &stub, "openai", &[]);
    assert!(output.status.success() && summary["stored"] == 4 && stub.request_count() == 5, "{summary} {}", stderr(&output));
}

#[test]
fn vertex_ai_uses_application_default_credentials() {
    let (workspace, stub) = (workspace(3), ModelStub::start(|_| Reaction::Answer));
    let credentials = workspace.path().join("adc.json");
    let adc = json!({
        "type": "authorized_user", "client_id": "id", "client_secret": "secret", "refresh_token": "refresh",
        "token_uri": format!("{}/token", stub.url),
    });
    std::fs::write(&credentials, adc.to_string()).unwrap();
    let (input, out) = (workspace.input(), workspace.output());
    let vertex = |project: bool| {
        let mut command = command(&stub, "gemini", &["run", "--input", &input, "--output", &out]);
        command.env("GOOGLE_GENAI_USE_VERTEXAI", "true").env("GOOGLE_APPLICATION_CREDENTIALS", &credentials);
        command.env("GOOGLE_VERTEX_BASE_URL", &stub.url).env_remove("GEMINI_API_KEY").env_remove("GOOGLE_CLOUD_PROJECT");
        if project {
            command.env("GOOGLE_CLOUD_PROJECT", "acme").env("GOOGLE_CLOUD_LOCATION", "europe-west1");
        }
        command.output().unwrap()
    };
    let output = vertex(false);
    assert!(output.status.code() == Some(2) && stderr(&output).contains("GOOGLE_CLOUD_PROJECT"), "{}", stderr(&output));
    let output = vertex(true);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!((workspace.rows("SELECT 1 FROM patterns WHERE analyzer = 'gemini'").len(), stub.request_count()), (3, 3));
    let request = &stub.requests()[0];
    assert_eq!(request.path, "/v1/projects/acme/locations/europe-west1/publishers/google/models/gemini-3.5-flash:generateContent");
    assert!(request.head.to_lowercase().contains("authorization: bearer a-token-of-google"), "{}", request.head);
}

#[test]
fn eval_compares_analyzers() {
    let workspace = workspace(8);
    let labels = workspace.path().join("labels.jsonl");
    let label =
        |number: usize| json!({"trace_id": format!("t{number}"), "category": "tool_failure", "contributing_factor": "tool_exception"});
    std::fs::write(&labels, (0..8).map(|number| label(number).to_string() + "\n").collect::<String>()).unwrap();
    // Three of four answers are right.
    let stub = ModelStub::start(|request| match request.number % 4 {
        0 => Reaction::AnswerWith(json!({"label": "tool_misuse/unknown_tool"})),
        _ => Reaction::Answer,
    });
    let (input, labels) = (workspace.input(), labels.display().to_string());
    let base = ["eval", "--input", &input, "--labels", &labels, "--analyzer", "embedded", "--analyzer", "gemini"];
    let output = command(&stub, "gemini", &base).args(["--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    let accuracy = |number: usize| comparison["analyzers"][number]["figures"]["accuracy"].as_f64().unwrap();
    assert_eq!((accuracy(0), accuracy(1)), (1.0, 0.75), "{comparison}");
    assert_eq!(comparison["agreement"][0], json!({"left": "embedded", "right": "gemini", "both": 8, "category": 6, "label": 6}));
    assert!((comparison["analyzers"][1]["cost_usd"].as_f64().unwrap() - 8.0 * 0.0033).abs() < 1e-9, "{comparison}");
    let shown = stdout(&command(&stub, "gemini", &base).output().unwrap());
    assert!(shown.contains("agree on the category of 6 and on the category and factor of 6 of 8"), "{shown}");
    let low = command(&stub, "gemini", &base).args(["--min-accuracy", "0.9"]).output().unwrap();
    assert_eq!(low.status.code(), Some(3));
}
