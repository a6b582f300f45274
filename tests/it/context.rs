//! What describes a run: the user, the session, the version, the prompt, the cost and the link, from traces of several formats.

use prost::Message;
use serde_json::{Value, json};

use crate::support::{Place, call, stderr};

const USER: &str = "customer-7741-lovelace";
const SESSION: &str = "session-of-the-7741";

/// A trace of OTLP with a failed model call, as JSON.
fn otlp_trace(id: char, version: &str, user: Option<&str>) -> String {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let trace_id = id.to_string().repeat(32);
    let span = |span_id: &str, parent: &str, name: &str, attributes: Vec<Value>, status: Value| {
        json!({"traceId": trace_id, "spanId": span_id.repeat(16), "parentSpanId": if parent.is_empty() { String::new() } else { parent.repeat(16) },
            "name": name, "startTimeUnixNano": "1795424023443017575", "endTimeUnixNano": "1795424025443017575", "attributes": attributes, "status": status})
    };
    let mut root = vec![text("session.id", SESSION)];
    root.extend(user.map(|user| text("user.id", user)));
    let call = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.request.model", "gpt-4o"),
        json!({"key": "gen_ai.usage.input_tokens", "value": {"intValue": "120"}}),
        json!({"key": "gen_ai.usage.cost", "value": {"doubleValue": 0.25}}),
        text("error.type", "RateLimitError"),
    ];
    let failed = json!({"code": 2, "message": "Error code: 429 - Rate limit reached for gpt-4o"});
    json!({"resourceSpans": [{
        "resource": {"attributes": [text("service.name", "support"), text("service.version", version), text("service.instance.id", "pod-3"),
            text("vcs.ref.head.revision", "9f1c2d7e0b5a4c3d8e6f1a2b3c4d5e6f7a8b9c0d"), text("cloud.region", "eu-central-1"), text("host.arch", "amd64")]},
        "scopeSpans": [{"spans": [span("a", "", "agent", root, failed.clone()), span("b", "a", "chat gpt-4o", call, failed)]}]
    }]})
    .to_string()
        + "\n"
}

/// The same as a protobuf message: the fields of the protocol that these traces use.
mod protobuf {
    #[derive(Clone, prost::Message)]
    pub(super) struct Traces {
        #[prost(message, repeated, tag = "1")]
        pub(super) resource_spans: Vec<ResourceSpans>,
    }
    #[derive(Clone, prost::Message)]
    pub(super) struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        pub(super) resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(super) scope_spans: Vec<ScopeSpans>,
    }
    #[derive(Clone, prost::Message)]
    pub(super) struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub(super) attributes: Vec<KeyValue>,
    }
    #[derive(Clone, prost::Message)]
    pub(super) struct ScopeSpans {
        #[prost(message, repeated, tag = "2")]
        pub(super) spans: Vec<Span>,
    }
    #[derive(Clone, prost::Message)]
    #[expect(clippy::struct_field_names, reason = "the names of the protocol")]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        pub(super) name: String,
        #[prost(fixed64, tag = "7")]
        pub(super) start: u64,
        #[prost(fixed64, tag = "8")]
        pub(super) end: u64,
        #[prost(message, repeated, tag = "9")]
        pub(super) attributes: Vec<KeyValue>,
        #[prost(message, optional, tag = "15")]
        pub(super) status: Option<Status>,
    }
    #[derive(Clone, prost::Message)]
    pub(super) struct Status {
        #[prost(string, tag = "2")]
        pub(super) message: String,
        #[prost(int32, tag = "3")]
        pub(super) code: i32,
    }
    #[derive(Clone, prost::Message)]
    pub(super) struct KeyValue {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<AnyValue>,
    }
    #[derive(Clone, prost::Message)]
    pub(super) struct AnyValue {
        #[prost(string, tag = "1")]
        pub(super) text: String,
    }
}

fn protobuf_trace(version: &str) -> Vec<u8> {
    use protobuf::{AnyValue, KeyValue, Resource, ResourceSpans, ScopeSpans, Span, Status, Traces};
    let text = |key: &str, value: &str| KeyValue { key: key.into(), value: Some(AnyValue { text: value.into() }) };
    let span = Span {
        trace_id: vec![0xee; 16],
        span_id: vec![0xee; 8],
        name: "chat gpt-4o".into(),
        start: 1_795_424_023_443_017_575,
        end: 1_795_424_025_443_017_575,
        attributes: vec![text("gen_ai.operation.name", "chat"), text("enduser.id", USER), text("gen_ai.conversation.id", SESSION)],
        status: Some(Status { message: "Error code: 429 - Rate limit reached".into(), code: 2 }),
    };
    let resource = Resource { attributes: vec![text("service.name", "support"), text("service.version", version)] };
    Traces { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans: vec![ScopeSpans { spans: vec![span] }] }] }
        .encode_to_vec()
}

/// The same failure in Langfuse's export, and in a span event of Datadog.
fn langfuse_trace() -> String {
    let observation = json!({"id": "o1", "trace_id": "lf-1", "project_id": "proj-1", "type": "GENERATION", "parent_observation_id": "", "name": "answer",
        "start_time": "2026-11-23 09:15:08.230000", "end_time": "2026-11-23 09:15:09.230000", "level": "ERROR",
        "status_message": "RateLimitError: Error code: 429 - Rate limit reached", "model": "gpt-4o", "prompt_name": "answer", "prompt_version": 7,
        "cost_details": {"total": 0.5}, "release": "1.4.3"});
    let trace = json!({"id": "lf-1", "timestamp": "2026-11-23 09:15:08.230000", "project_id": "proj-1", "user_id": USER, "session_id": SESSION,
        "release": "1.4.3", "html_path": "/project/proj-1/traces/lf-1"});
    format!("{observation}\n{trace}\n")
}

fn datadog_trace() -> String {
    let event = json!({"trace_id": "dd-1", "span_id": "7", "parent_id": "undefined", "name": "chat", "start_ns": 1_795_424_023_443_017_575_i64,
        "duration": 9_000_000, "status": "error", "session_id": SESSION, "metrics": {"input_tokens": 10, "total_cost": 0.125},
        "meta": {"span": {"kind": "llm"}, "error": {"type": "openai.RateLimitError", "message": "Error code: 429"}},
        "tags": ["service:support", "env:prod", "version:1.4.1", format!("user_id:{USER}"), "git.commit.sha:77aa"]});
    format!("{event}\n")
}

fn place_with_traces() -> Place {
    let place = Place::new();
    place.put(
        "a.jsonl",
        otlp_trace('1', "1.4.2", Some(USER)) + &otlp_trace('2', "1.4.1", Some("someone else")) + &otlp_trace('3', "1.4.3", None),
    );
    place.put("b.binpb", protobuf_trace("1.4.4"));
    place.put("langfuse.jsonl", langfuse_trace());
    place.put("datadog.jsonl", datadog_trace());
    place
}

#[test]
fn the_same_user_has_the_same_token_in_every_format_and_no_id_is_stored() {
    let place = place_with_traces();
    let summary = place.run(&[]);
    assert_eq!(summary["stored"], 6, "{summary}");
    let rows = place.rows("select trace_id, user_token, session_token from patterns order by trace_id");
    let token = |id: &str, column: &str| {
        let row = rows.iter().find(|row| row["trace_id"].as_str().is_some_and(|found| found.starts_with(id))).unwrap();
        row[column].as_str().map(str::to_owned)
    };
    let expected = token("111", "user_token").unwrap();
    assert!(expected.starts_with("<USER:"), "{expected}");
    for id in ["eee", "lf-1", "dd-1"] {
        assert_eq!(token(id, "user_token").as_ref(), Some(&expected), "{id}");
        assert_eq!(token(id, "session_token"), token("111", "session_token"), "{id}");
    }
    assert_eq!(token("333", "user_token"), None);
    assert!(token("222", "user_token").is_some_and(|other| other != expected));
    assert!(token("333", "session_token").unwrap().starts_with("<SESSION:"));
    let ids = place.rows(&format!(
        "select trace_id from patterns where concat(coalesce(user_token, ''), coalesce(session_token, '')) like '%{USER}%' or session_token like '%7741%'"
    ));
    assert_eq!(ids, Vec::<Value>::new());
    let users = place.rows("select count(distinct user_token) as users from patterns where contributing_factor = 'rate_limited'");
    assert_eq!(users[0]["users"], 2, "how many users were hit: {users:?}");
}

#[test]
fn the_columns_about_the_run_are_filled() {
    let place = place_with_traces();
    place.run(&[]);
    let columns = "service_version, service_instance_id, vcs_revision, prompt_version, project, region, trace_input_tokens, trace_cost_usd, \
        trace_duration_ms, root_span_name, trace_url";
    let row = |id: &str| place.rows(&format!("select {columns} from patterns where trace_id like '{id}%'")).remove(0);
    assert_eq!(
        row("111"),
        json!({"service_version": "1.4.2", "service_instance_id": "pod-3", "vcs_revision": "9f1c2d7e0b5a4c3d8e6f1a2b3c4d5e6f7a8b9c0d", "prompt_version": null, "project": null,
            "region": "eu-central-1", "trace_input_tokens": 120, "trace_cost_usd": 0.25, "trace_duration_ms": 2000.0, "root_span_name": "agent",
            "trace_url": null})
    );
    let langfuse = row("lf-1");
    assert_eq!(
        ["service_version", "prompt_version", "project"].map(|column| langfuse[column].as_str().unwrap_or_default()),
        ["1.4.3", "answer@7", "proj-1"]
    );
    assert_eq!(langfuse["trace_cost_usd"], 0.5);
    let datadog = row("dd-1");
    assert_eq!(
        (&datadog["service_version"], &datadog["vcs_revision"], &datadog["trace_cost_usd"]),
        (&json!("1.4.1"), &json!("77aa"), &json!(0.125))
    );
    let since = place.rows("select service_version from patterns where service_version >= '1.4.2' order by 1");
    assert_eq!(since.len(), 4, "what failed since version 1.4.2: {since:?}");
    let facts = place.rows("select fact['value'] as value from (select unnest(facts) as fact from patterns where trace_id like '111%') where fact['name'] = 'service_version'");
    assert_eq!(facts[0]["value"], "1.4.2");
}

#[test]
fn links_come_from_the_template_of_the_format() {
    let place = place_with_traces();
    let default = "https://traces.example/{service}/{trace_id}?span={span_id}";
    place.run(&["--trace-url", default, "--trace-url", "langfuse=https://langfuse.example{path}"]);
    let rows = place.rows("select trace_id, trace_url from patterns where trace_id in ('lf-1', 'dd-1') order by trace_id");
    assert_eq!(rows[0]["trace_url"], "https://traces.example/support/dd-1?span=7");
    assert_eq!(rows[1]["trace_url"], "https://langfuse.example/project/proj-1/traces/lf-1");
}

#[test]
fn a_template_that_is_no_link_is_an_error_with_a_hint() {
    let place = place_with_traces();
    for (template, reason) in [
        ("javascript:alert({trace_id})", "it is no HTTP URL"),
        ("https://x.example/{traceid}", "did you mean 'trace_id'?"),
        ("langfsue=https://x.example/{trace_id}", "did you mean 'langfuse'?"),
    ] {
        let output = call(&["run", "--input", &place.input(), "--output", &place.output(), "--trace-url", template]);
        let message = stderr(&output);
        assert!(output.status.code() != Some(0) && message.contains(reason) && message.contains("hint: "), "{template}: {message}");
    }
}
