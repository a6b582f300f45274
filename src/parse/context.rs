//! Collects what a record says about the deployment and the run as a whole, where that does not become an attribute of a span.

use super::value::Value;
use crate::model::{Context, ContextField};

/// Adds the entries of metadata that mean something for every program: a user, a session, a version. Other entries are left out.
pub(super) fn add_metadata(context: &mut Context, metadata: &Value<'_>) {
    const ENTRIES_MAX: usize = 256;
    for (name, value) in metadata.fields().iter().take(ENTRIES_MAX) {
        let key = format!("metadata.{name}");
        if ContextField::of(&key).is_some() {
            add(context, &key, value);
        }
    }
}

/// Adds a text or a number.
pub(super) fn add(context: &mut Context, key: &str, value: &Value<'_>) {
    match value {
        Value::Text(text) => context.add(key, text),
        Value::Int(_) | Value::Double(_) => context.add(key, &value.to_text()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::format_named;
    use crate::parse::tests::parse_line;

    /// What the fragments of a record say, and their costs.
    fn context_of(format: &str, line: &str) -> (Vec<(String, String)>, Vec<f64>) {
        let out = parse_line(format_named(format).unwrap().unwrap(), line);
        assert!(out.rejections.is_empty() && !out.fragments.is_empty(), "{format}: {:?}", out.rejections);
        let contexts = out.fragments.iter().flat_map(|fragment| fragment.context.iter());
        let mut all: Vec<_> = contexts.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        all.sort();
        all.dedup();
        (all, out.fragments.iter().filter_map(|fragment| fragment.cost_usd).collect())
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of one record of each family")]
    fn every_family_of_formats_keeps_what_describes_the_run() {
        /// Format, record, resource attributes, and costs.
        type Family = (&'static str, String, &'static [(&'static str, &'static str)], &'static [f64]);
        let attributes = r#"[{"key":"service.version","value":{"stringValue":"1.4"}},{"key":"host.arch","value":{"stringValue":"arm64"}}]"#;
        let spans = r#"[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"chat","startTimeUnixNano":"5"}]"#;
        let cases: [Family; 14] = [
            (
                "otlp",
                format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":{attributes}}},"scopeSpans":[{{"spans":{spans}}}]}}]}}"#),
                &[("service.version", "1.4")],
                &[],
            ),
            (
                // Names in snake case are read by the lenient decoder.
                "otlp",
                format!(r#"{{"resource_spans":[{{"resource":{{"attributes":{attributes}}},"scope_spans":[{{"spans":{spans}}}]}}]}}"#),
                &[("service.version", "1.4")],
                &[],
            ),
            (
                "opentelemetry_sdk",
                r#"{"name":"chat","context":{"trace_id":"0x5b8efff798038103d269b633813fc60c","span_id":"0xeee19b7ec3c1b174","trace_state":"[]"},"kind":"SpanKind.CLIENT",
                "parent_id":null,"start_time":"2026-11-25T19:03:47Z","end_time":"2026-11-25T19:03:48Z","status":{"status_code":"UNSET"},"attributes":{},"events":[],
                "links":[],"resource":{"attributes":{"service.name":"acme","service.version":"1.4"},"schema_url":""}}"#
                    .into(),
                &[("service.version", "1.4")],
                &[],
            ),
            (
                "jaeger",
                r#"{"traceID":"5b8efff798038103d269b633813fc60c","spans":[{"traceID":"5b8efff798038103d269b633813fc60c","spanID":"eee19b7ec3c1b174","operationName":"chat",
                "startTime":1795424023443017,"duration":5,"processID":"p1","tags":[],"logs":[]}],
                "processes":{"p1":{"serviceName":"support","tags":[{"key":"service.version","type":"string","value":"1.4"}]}}}"#
                    .into(),
                &[("service.version", "1.4")],
                &[],
            ),
            (
                "xray",
                r#"{"id":"6226467e3f845502","name":"support","start_time":1795424023.5,"end_time":1795424024.5,"trace_id":"1-581cf771-a006649127e371903a2de979",
                "user":"u1","service":{"version":"1.4"},"aws":{"region":"eu-west-1"}}"#
                    .into(),
                &[("cloud.region", "eu-west-1"), ("service.version", "1.4"), ("user.id", "u1")],
                &[],
            ),
            (
                "clickhouse",
                r#"{"Timestamp":"2026-11-25 19:03:47","TraceId":"5b8efff798038103d269b633813fc60c","SpanId":"eee19b7ec3c1b174","ParentSpanId":"","TraceState":"","SpanName":"chat",
                "SpanKind":"Client","ServiceName":"support","ResourceAttributes":{"service.version":"1.4"},"SpanAttributes":{},"Duration":5,"StatusCode":"Ok","StatusMessage":""}"#
                    .into(),
                &[("service.version", "1.4")],
                &[],
            ),
            (
                "logfire",
                r#"{"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174","kind":"span","span_name":"chat","start_timestamp":"2026-11-25T19:03:47Z",
                "project_id":"p","service_name":"support","service_version":"1.4","otel_resource_attributes":{"vcs.repository.ref.revision":"9f1c"},"attributes":{}}"#
                    .into(),
                &[("logfire.project.id", "p"), ("service.version", "1.4"), ("vcs.repository.ref.revision", "9f1c")],
                &[],
            ),
            (
                "mlflow",
                r#"{"info":{"trace_id":"tr-1","experiment_id":"7","tags":{"mlflow.source.git.commit":"9f1c","mlflow.linkedPrompts":"[{\"name\":\"answer\",\"version\":\"7\"}]"}},
                "data":{"spans":[{"name":"chat","trace_id":"tr-1","span_id":"eee19b7ec3c1b174","start_time_unix_nano":5,"end_time_unix_nano":6,"status":{"code":"STATUS_CODE_OK"},"attributes":{}}]}}"#
                    .into(),
                &[("mlflow.experimentId", "7"), ("mlflow.source.git.commit", "9f1c"), ("prompt_version", "answer@7")],
                &[],
            ),
            (
                "braintrust",
                r#"{"id":"r","span_id":"s","root_span_id":"s","project_id":"p","span_attributes":{"type":"llm","name":"c"},"created":"2026-11-26T15:19:18Z","metrics":{"estimated_cost":0.25}}"#.into(),
                &[("braintrust.project", "p")],
                &[0.25],
            ),
            (
                "weave",
                r#"{"id":"c","trace_id":"t","project_id":"acme/support","op_name":"agent","started_at":"2026-11-26T15:19:18Z","inputs":{},
                "summary":{"weave":{"costs":{"gpt-4o":{"prompt_tokens_total_cost":0.25,"completion_tokens_total_cost":0.5}}}}}"#
                    .into(),
                &[("weave.project", "acme/support")],
                &[0.75],
            ),
            (
                "openai_agents",
                r#"{"object":"trace","id":"trace_7","workflow_name":"support","group_id":"s1","metadata":{"user_id":"u1","tenant":"x"}}"#.into(),
                &[("metadata.user_id", "u1"), ("session.id", "s1")],
                &[],
            ),
            (
                "litellm",
                r#"{"request_id":"c1","call_type":"acompletion","startTime":1795706432.5,"endTime":1795706433.5,"session_id":"s1","spend":0.25,"end_user":"u1","metadata":"{}","messages":"{}","response":"{}"}"#.into(),
                &[("end_user", "u1"), ("session.id", "s1")],
                &[0.25],
            ),
            (
                "claude_code",
                r#"{"parentUuid":null,"isSidechain":false,"version":"2.1","sessionId":"s1","uuid":"u1","timestamp":"2026-11-26T15:15:59.158Z","type":"user","message":{"role":"user","content":"Fix it"}}"#.into(),
                &[("service.version", "2.1"), ("session.id", "s1")],
                &[],
            ),
            (
                "failsift",
                r#"{"trace_id":"r1","user":"u1","session":"s1","resource":{"service.version":"1.4"},"started_at":"2026-11-23T09:00:00Z","spans":[{"span_id":"1"}]}"#.into(),
                &[("service.version", "1.4"), ("session.id", "s1"), ("user.id", "u1")],
                &[],
            ),
        ];
        for (format, line, expected, costs) in cases {
            let line = line.replace('\n', " ");
            let expected: Vec<_> = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(context_of(format, &line), (expected, costs.to_vec()), "{format}");
        }
    }
}
