//! The queries of `docs/queries.md`: each runs, and gives the rows that the traces below must give.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Place, call, stderr};

/// One run of an agent, in failsift's own format.
struct Run<'r> {
    id: &'r str,
    service: &'r str,
    version: &'r str,
    user: &'r str,
    /// Day and time: `24T10:00`.
    at: &'r str,
    seconds: u32,
    spans: Vec<Value>,
}

impl Run<'_> {
    /// A line of the input: an agent span over the whole run, and its steps. The agent failed if `error` is its message.
    fn line(self, error: Option<&str>) -> String {
        let mut root = span("root", "agent", "agent", (0, self.seconds * 1_000), json!({}));
        if let Some(error) = error {
            root["status"] = "error".into();
            root["status_message"] = error.into();
        }
        let time = |ms: &Value| {
            let start = format!("2026-11-{}:00Z", self.at).parse::<chrono::DateTime<chrono::Utc>>().unwrap();
            Value::from((start + chrono::Duration::milliseconds(ms.as_i64().unwrap())).to_rfc3339())
        };
        let mut spans = vec![root];
        spans.extend(self.spans);
        for (index, span) in spans.iter_mut().enumerate() {
            span["span_id"] = format!("{}-{index}", self.id).into();
            if index > 0 {
                span["parent_span_id"] = format!("{}-0", self.id).into();
            }
            for key in ["started_at", "ended_at"] {
                span[key] = time(&span[key]);
            }
        }
        json!({
            "trace_id": self.id, "service": self.service, "started_at": spans[0]["started_at"], "user": self.user,
            "session": format!("session-of-{}", self.user), "resource": { "service.version": self.version }, "spans": spans,
        })
        .to_string()
            + "\n"
    }
}

/// A step that begins and ends so many milliseconds after the run.
#[expect(clippy::needless_pass_by_value, reason = "a literal at each call")]
fn span(name: &str, kind: &str, display: &str, (start, end): (u32, u32), more: Value) -> Value {
    let mut span =
        json!({ "name": if name == "root" { display } else { name }, "kind": kind, "started_at": start, "ended_at": end, "status": "ok" });
    span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    span
}

/// A model call with this prompt version, of 1,000 tokens and two cents.
#[expect(clippy::needless_pass_by_value, reason = "a literal at each call")]
fn chat(times: (u32, u32), prompt: &str, more: Value) -> Value {
    let mut call = span(
        "chat",
        "llm",
        "",
        times,
        json!({
            "model": "gpt-4o-mini", "provider": "openai", "input_tokens": 900, "output_tokens": 100, "finish_reasons": ["stop"],
            "input": [{ "role": "user", "content": "Where is my order?" }], "output": [{ "role": "assistant", "content": "It is on its way." }],
            "attributes": { "gen_ai.usage.cost": 0.02, "gen_ai.prompt.version": prompt },
        }),
    );
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call
}

fn tool(name: &str, times: (u32, u32), result: Result<&str, &str>) -> Value {
    let used = json!({ "name": name, "arguments": { "id": 7 }, "result": result.ok() });
    match result {
        Ok(_) => span(name, "tool", "", times, json!({ "tool": used })),
        Err(message) => span(name, "tool", "", times, json!({ "tool": used, "status": "error", "status_message": message })),
    }
}

/// The input: what happened in two services on two days.
fn traces() -> String {
    let checkout = |id, version, user, at, seconds, spans| Run { id, service: "checkout", version, user, at, seconds, spans };
    let search = |id, user, at, seconds, spans| Run { id, service: "search", version: "2.0.0", user, at, seconds, spans };
    let (unavailable, throttled) = ("HTTP 503 Service Unavailable", "HTTP 429 Too Many Requests");
    let mut text = String::new();
    // The old version of the checkout: three healthy runs and a failed one.
    for (id, user, at, seconds) in [("c01", "ada", "23T08:00", 2), ("c02", "ben", "23T08:20", 2), ("c03", "ada", "23T09:10", 4)] {
        text += &checkout(
            id,
            "1.4.1",
            user,
            at,
            seconds,
            vec![chat((100, 900), "7", json!({})), tool("lookup_order", (900, 1_000), Ok("sent"))],
        )
        .line(None);
    }
    let charge = |result| tool("charge_card", (1_000, 1_400), result);
    text += &checkout("c04", "1.4.1", "cleo", "23T09:30", 5, vec![chat((100, 900), "7", json!({})), charge(Err(unavailable))])
        .line(Some(unavailable));
    // The new version: four failed runs, one that recovered, and a healthy one.
    for (id, user, at) in [("c05", "ada", "24T10:00"), ("c06", "ben", "24T10:10")] {
        text +=
            &checkout(id, "1.4.2", user, at, 6, vec![chat((100, 900), "8", json!({})), charge(Err(unavailable))]).line(Some(unavailable));
    }
    let lookup = tool("lookup_order", (1_000, 3_500), Err(throttled));
    text += &checkout("c07", "1.4.2", "ada", "24T10:20", 4, vec![chat((100, 900), "8", json!({})), lookup]).line(Some(throttled));
    let invalid =
        "1 validation error for create_order\norder_id\n  Field required [type=missing, input_value={'id': 'A-7'}, input_type=dict]";
    let create = tool("create_order", (1_000, 1_100), Err(invalid));
    text += &checkout("c08", "1.4.2", "ben", "24T11:00", 3, vec![chat((100, 900), "8", json!({})), create]).line(Some(invalid));
    let retried = vec![
        tool("lookup_order", (100, 5_100), Err("Read timed out after 5 s")),
        tool("lookup_order", (5_200, 5_400), Ok("sent")),
        chat((6_000, 7_000), "8", json!({})),
    ];
    text += &checkout("c09", "1.4.2", "dan", "24T11:10", 8, retried).line(None);
    text += &checkout(
        "c10",
        "1.4.2",
        "dan",
        "24T11:20",
        2,
        vec![chat((100, 900), "8", json!({})), tool("lookup_order", (900, 1_000), Ok("sent"))],
    )
    .line(None);
    // The search: a healthy run, and one of each other kind.
    text += &search("s01", "eve", "23T08:00", 1, vec![chat((100, 900), "3", json!({})), tool("search_docs", (900, 1_000), Ok("sent"))])
        .line(None);
    for (id, at, tokens) in [("s02", "24T09:00", 141_397), ("s03", "24T09:05", 150_000)] {
        let message = format!(
            "Error code: 400 - This model's maximum context length is 128000 tokens. However, your messages resulted in {tokens} tokens."
        );
        let found = "a paragraph of the manual. ".repeat(1_000);
        let input = json!([
            { "role": "user", "content": "How do I return a chair?" },
            { "role": "assistant", "content": "", "tool_calls": [{ "id": "t1", "name": "search_docs", "arguments": "{}" }] },
            { "role": "tool", "tool_call_id": "t1", "content": found },
        ]);
        let overflow = json!({ "input": input, "output": [], "attributes": { "gen_ai.prompt.version": "3" }, "status": "error", "status_message": message, "input_tokens": null, "output_tokens": null, "finish_reasons": [] });
        text += &search(id, "eve", at, 9, vec![tool("search_docs", (100, 5_000), Ok(&found)), chat((6_000, 8_000), "3", overflow)])
            .line(Some(&message));
    }
    let limited = "Error code: 429 - rate_limit_error: Number of request tokens has exceeded your per-minute rate limit";
    let throttled_call = json!({
        "model": "claude-sonnet-4-5", "provider": "anthropic", "status": "error", "status_message": limited, "output": [], "input_tokens": null, "output_tokens": null, "finish_reasons": [],
        "attributes": { "gen_ai.prompt.version": "3" },
    });
    text += &search("s04", "fay", "24T09:10", 2, vec![chat((100, 900), "3", throttled_call)]).line(Some(limited));
    let mut loops = Vec::new();
    for index in 0..10 {
        loops.push(chat((index * 2_000, index * 2_000 + 900), "3", json!({
            "output": [{ "role": "assistant", "content": "", "tool_calls": [{ "id": format!("l{index}"), "name": "search_docs", "arguments": "{\"id\": 7}" }] }],
            "finish_reasons": ["tool_calls"],
        })));
        loops.push(tool("search_docs", (index * 2_000 + 900, index * 2_000 + 1_000), Ok("Nothing new.")));
    }
    let limit = "GraphRecursionError: Recursion limit of 20 reached without hitting a stop condition.";
    text += &search("s05", "fay", "24T09:15", 60, loops).line(Some(limit));
    let retriever = span("policy_search", "retriever", "", (100, 300), json!({ "documents": [], "input_text": "refund policy 2019" }));
    text += &search("s06", "eve", "24T09:20", 2, vec![retriever, chat((400, 900), "3", json!({}))]).line(None);
    let chain = vec![
        tool("search_docs", (100, 5_100), Err("Read timed out after 5 s")),
        tool("search_docs", (5_200, 5_400), Ok("found")),
        tool("fetch_rates", (6_000, 6_300), Err(unavailable)),
    ];
    text += &search("s07", "gus", "24T09:25", 7, chain).line(Some(unavailable));
    let silent = span("step", "chain", "", (100, 200), json!({ "status": "error" }));
    text += &search("s08", "gus", "24T09:30", 1, vec![silent]).line(None);
    text + "{\"trace_id\": \"s09\", \"spans\": [{]}\n"
}

/// An older input: the mail service, of which every run of the new version fails.
fn mail() -> String {
    let mut text = String::new();
    for index in 0..9 {
        for (version, hour) in [("1.0", "08"), ("1.1", "09")] {
            let result = if version == "1.1" { Err("TemplateError: the template 'welcome' has no subject") } else { Ok("sent") };
            let (id, at) = (format!("m{version}-{index}"), format!("22T{hour}:0{index}"));
            let spans = vec![tool("send_mail", (100, 200), result)];
            text += &Run { id: &id, service: "mail", version, user: "hal", at: &at, seconds: 1, spans }.line(result.err());
        }
    }
    text
}

/// The queries of the page by number.
fn queries() -> BTreeMap<u32, String> {
    let page = std::fs::read_to_string("docs/queries.md").unwrap();
    let blocks = page.split("\n### ").skip(1).map(|section| {
        let number = section.split_once('.').expect("a number").0.parse().expect("a number");
        let sql = section.split("```sql\n").nth(1).expect("a query").split("```").next().unwrap();
        assert_eq!(section.matches("```sql").count(), 1, "one query answers a question: {section}");
        (number, sql.trim().trim_end_matches(';').to_owned())
    });
    blocks.collect()
}

/// The rows that each query must give, as lists of the values of these columns.
#[expect(clippy::too_many_lines, reason = "a table of all questions")]
fn expected() -> Vec<(u32, &'static [&'static str], Value)> {
    vec![
        (
            1,
            &["contributing_factor", "failed_span_name", "traces"],
            json!([
                ["tool_unavailable", "charge_card", 2],
                ["invalid_tool_arguments", "create_order", 1],
                ["tool_rate_limited", "lookup_order", 1]
            ]),
        ),
        (
            2,
            &["service", "service_version", "traces", "failed", "failed_percent"],
            json!([
                ["mail", "1.1", 9, 9, 100.0],
                ["search", "2.0.0", 8, 7, 87.5],
                ["checkout", "1.4.2", 6, 4, 66.7],
                ["checkout", "1.4.1", 4, 1, 25.0],
                ["mail", "1.0", 9, 0, 0.0]
            ]),
        ),
        (
            3,
            &["first_seen", "traces"],
            json!([
                ["2026-11-24T09:00:00Z", 2],
                ["2026-11-24T09:10:00Z", 1],
                ["2026-11-24T09:15:00Z", 1],
                ["2026-11-24T09:20:00Z", 1],
                ["2026-11-24T09:25:00Z", 1],
                ["2026-11-24T09:30:00Z", 1],
                ["2026-11-24T10:20:00Z", 1],
                ["2026-11-24T11:00:00Z", 1]
            ]),
        ),
        (
            4,
            &["hour", "traces", "failed_percent"],
            json!([
                ["2026-11-22T08:00:00Z", 9, 0.0],
                ["2026-11-22T09:00:00Z", 9, 100.0],
                ["2026-11-23T08:00:00Z", 3, 0.0],
                ["2026-11-23T09:00:00Z", 2, 50.0],
                ["2026-11-24T09:00:00Z", 7, 100.0],
                ["2026-11-24T10:00:00Z", 3, 100.0],
                ["2026-11-24T11:00:00Z", 3, 33.3]
            ]),
        ),
        (5, &["prompt_version", "traces", "failed_percent"], json!([["3", 6, 83.3], ["8", 6, 66.7], ["7", 4, 25.0]])),
        (
            6,
            &["contributing_factor", "failed_span_name", "traces", "users"],
            json!([
                ["tool_unavailable", "charge_card", 3, 3],
                ["tool_exception", "send_mail", 9, 1],
                ["context_window_exceeded", "chat", 2, 1],
                ["application_exception", "step", 1, 1],
                ["empty_retrieval", "policy_search", 1, 1],
                ["invalid_tool_arguments", "create_order", 1, 1],
                ["max_iterations_reached", "agent", 1, 1],
                ["rate_limited", "chat", 1, 1],
                ["tool_rate_limited", "lookup_order", 1, 1],
                ["tool_unavailable", "fetch_rates", 1, 1]
            ]),
        ),
        (7, &["trace_id"], json!([["c05"], ["c07"]])),
        (
            8,
            &["tool_name", "http_status", "contributing_factor", "traces"],
            json!([
                ["send_mail", null, "tool_exception", 9],
                ["charge_card", 503, "tool_unavailable", 3],
                ["fetch_rates", 503, "tool_unavailable", 1],
                ["lookup_order", 429, "tool_rate_limited", 1]
            ]),
        ),
        (
            9,
            &["failed_span_name", "failed_span_kind", "traces", "slowest_s", "mean_s"],
            json!([
                ["agent", "agent", 1, 60.0, 60.0],
                ["lookup_order", "tool", 1, 2.5, 2.5],
                ["chat", "llm", 3, 2.0, 1.6],
                ["charge_card", "tool", 3, 0.4, 0.4],
                ["fetch_rates", "tool", 1, 0.3, 0.3],
                ["policy_search", "retriever", 1, 0.2, 0.2],
                ["send_mail", "tool", 9, 0.1, 0.1],
                ["create_order", "tool", 1, 0.1, 0.1],
                ["step", "chain", 1, 0.1, 0.1]
            ]),
        ),
        (
            10,
            &["provider", "model_name", "http_status", "contributing_factor", "traces"],
            json!([
                ["openai", "gpt-4o-mini", 400, "context_window_exceeded", 2],
                ["anthropic", "claude-sonnet-4-5", 429, "rate_limited", 1]
            ]),
        ),
        (11, &["largest_message_of", "traces"], json!([["search_docs", 2]])),
        (12, &["trace_id", "limit_tokens", "excess_tokens"], json!([["s03", 128_000, 22_000], ["s02", 128_000, 13_397]])),
        (13, &["tool_name", "problem", "argument", "traces"], json!([["create_order", "missing_parameter", "order_id", 1]])),
        (14, &["failed_span_name", "query", "traces"], json!([["policy_search", "refund policy 2019", 1]])),
        (
            16,
            &["step", "label", "incidents", "traces"],
            json!([["lookup_order", "tool_failure/tool_timeout", 1, 1], ["search_docs", "tool_failure/tool_timeout", 1, 1]]),
        ),
        (17, &["first_failure", "followed_by", "traces"], json!([["tool_failure/tool_timeout", "tool_failure/tool_unavailable", 1]])),
        (
            18,
            &["category", "traces", "cost_usd", "tokens"],
            json!([
                ["runaway_execution", 1, 0.2, 10_000],
                ["tool_failure", 14, 0.08, 4_000],
                ["retrieval_failure", 1, 0.02, 1_000],
                ["tool_misuse", 1, 0.02, 1_000],
                ["context_overflow", 2, null, null],
                ["environment_error", 1, null, null],
                ["provider_error", 1, null, null]
            ]),
        ),
        (19, &["trace_id", "tokens", "trace_cost_usd", "seconds"], json!([["s05", 10_000, 0.2, 60.0]])),
        (
            20,
            &["service", "failed_p95_ms", "healthy_p95_ms"],
            json!([["checkout", 6000.0, 8000.0], ["mail", 1000.0, 1000.0], ["search", 60000.0, 1000.0]]),
        ),
        (
            21,
            &["service", "category", "traces", "percent"],
            json!([
                ["checkout", "unclassified", 5, 50.0],
                ["checkout", "tool_failure", 4, 40.0],
                ["checkout", "tool_misuse", 1, 10.0],
                ["mail", "tool_failure", 9, 50.0],
                ["mail", "unclassified", 9, 50.0],
                ["search", "context_overflow", 2, 25.0],
                ["search", "environment_error", 1, 12.5],
                ["search", "provider_error", 1, 12.5],
                ["search", "retrieval_failure", 1, 12.5],
                ["search", "runaway_execution", 1, 12.5],
                ["search", "tool_failure", 1, 12.5],
                ["search", "unclassified", 1, 12.5]
            ]),
        ),
        (22, &["trace_id", "trace_url"], json!([["s08", "https://traces.example/s08"]])),
        (25, &["stage", "kind", "retryable", "records"], json!([["parse", "malformed_json", false, 1]])),
        (26, &["status", "received", "stored", "error_percent"], json!([["complete", 37, 36, 2.7], ["complete", 18, 18, 0.0]])),
        (
            27,
            &["service", "traces", "users", "first_seen_at", "example_trace_id"],
            json!([
                ["checkout", 3, 3, "2026-11-23T09:30:00Z", "c06"],
                ["search", 2, 1, "2026-11-24T09:00:00Z", "s03"],
                ["search", 1, 1, "2026-11-24T09:10:00Z", "s04"],
                ["search", 1, 1, "2026-11-24T09:15:00Z", "s05"],
                ["search", 1, 1, "2026-11-24T09:20:00Z", "s06"],
                ["search", 1, 1, "2026-11-24T09:25:00Z", "s07"],
                ["search", 1, 1, "2026-11-24T09:30:00Z", "s08"],
                ["checkout", 1, 1, "2026-11-24T10:20:00Z", "c07"],
                ["checkout", 1, 1, "2026-11-24T11:00:00Z", "c08"]
            ]),
        ),
        (28, &["service", "dimension", "value", "failed", "healthy"], json!([["mail", "service_version", "1.1", 9, 0]])),
        (29, &["service", "runs_seen", "traces"], json!([["mail", 2, 9]])),
    ]
}

#[test]
fn every_question_is_answered_by_one_query() {
    let place = Place::new();
    let options = ["--max-error-rate", "1", "--trace-url", "https://traces.example/{trace_id}"];
    place.put("mail.jsonl", mail());
    place.run(&options);
    place.put("traces.jsonl", traces());
    place.run(&options);
    let queries = queries();
    assert!(queries.len() >= 25, "{}", queries.len());
    let mut answers: BTreeMap<u32, Vec<Value>> = BTreeMap::new();
    for (number, sql) in &queries {
        let output = call(&["query", "--tables", &place.output(), sql, "--format", "json"]);
        assert!(output.status.success(), "{number}: {}", stderr(&output));
        answers.insert(*number, serde_json::from_slice(&output.stdout).unwrap());
    }
    for (number, columns, expected) in expected() {
        let rows = answers.get(&number).unwrap_or_else(|| panic!("the page has no question {number}"));
        let found: Vec<Vec<&Value>> = rows.iter().map(|row| columns.iter().map(|column| &row[*column]).collect()).collect();
        assert_eq!(json!(found), expected, "{number}");
    }
}
