use super::*;
use crate::model::{Part, Span, SpanKind, Status};
use crate::parse::tests::parse_line;
use crate::parse::{Position, SpanFragment};

fn parse(line: &str) -> Vec<SpanFragment> {
    let out = parse_line(&InspectAi, line);
    assert!(out.rejections.is_empty(), "{:?}", out.rejections);
    out.fragments
}

fn sample(fields: &str) -> Vec<Span> {
    let line = format!(r#"{{"id":1,"epoch":1,"uuid":"u","input":"hi","target":"x","messages":[],"output":{{"choices":[]}},{fields}}}"#);
    parse(&line).into_iter().map(|fragment| fragment.span).collect()
}

#[test]
fn a_sample_without_uuid_is_named_by_its_eval() {
    let body = r#""id":7,"epoch":2,"input":"hi","target":"x","messages":[],"output":{},"events":[]"#;
    let log = format!(
        r#"{{"version":2,"status":"success","eval":{{"run_id":"r","task_id":"t","task":"support","created":"2026-11-25T19:03:47+00:00"}},"plan":{{}},"samples":[{{{body}}}]}}"#
    );
    let found = parse(&log);
    assert_eq!((found[0].trace_id.as_str(), found[0].service.as_deref(), found[0].has_synthetic_id), ("r/t/7/2", Some("support"), false));
    let entry = |uri| {
        let mut out = ParsedChunk::default();
        let location = RecordLocation { uri, modified_at_ns: 1, position: Position::Line(1), span: None };
        let _ = InspectAi.parse_json(&format!("{{{body}}}"), &location, &mut out).unwrap();
        out.fragments.remove(0)
    };
    let found = entry("s3://b/2026-11-25T19-03-47-00-00_support-eval_TfabP.eval!/samples/7_epoch_2.json");
    assert_eq!(
        (found.trace_id.as_str(), found.service.as_deref()),
        ("2026-11-25T19-03-47-00-00_support-eval_TfabP/7/2", Some("support-eval"))
    );
    let found = entry("s3://b/nightly_run.eval!/samples/7_epoch_2.json");
    assert_eq!((found.trace_id.as_str(), found.service), ("nightly_run/7/2", None));
    assert!(entry("s3://b/sample.json").has_synthetic_id);
}

#[test]
fn a_log_without_samples_is_a_trace_only_if_no_sample_ran() {
    let log = |rest: &str| {
        parse_line(
            &InspectAi,
            &format!(r#"{{"version":2,"eval":{{"eval_id":"e","task":"t","created":"2026-11-25T19:03:47+00:00"}},"plan":{{}},{rest}}}"#),
        )
    };
    let failed = log(r#""status":"error","error":{"message":"KeyError('path')","traceback":""},"stats":{"model_usage":{}}"#);
    let span = &failed.fragments[0].span;
    assert_eq!((span.status, span.exceptions[0].kind.as_str(), span.exceptions[0].message.as_str()), (Status::Error, "KeyError", "path"));
    for rest in [r#""status":"success""#, r#""status":"error","error":{"message":"x"},"stats":{"model_usage":{"m":{"input_tokens":1}}}"#] {
        let out = log(rest);
        assert_eq!((out.fragments.len(), out.records.skipped), (0, 1), "{rest}");
    }
}

#[test]
fn entries_that_are_no_samples_are_skipped() {
    let mut out = ParsedChunk::default();
    let location =
        RecordLocation { uri: "x.eval!/samples/1_epoch_1/sample.json", modified_at_ns: 1, position: Position::Line(1), span: None };
    let _ = InspectAi.parse_json(r#"{"id":1,"epoch":1,"input":"hi","target":"x"}"#, &location, &mut out).unwrap();
    assert!(out.rejections[0].reason.contains("in chunks"));
    for entry in [
        r#"{"id":1,"epoch":1,"input":"hi","target":"x","scores":{}}"#,
        r#"{"scorer":"includes","samples":[]}"#,
        r#"{"version":2,"eval":{},"plan":{}}"#,
    ] {
        assert_eq!(parse_line(&InspectAi, entry).records.skipped, 1, "{entry}");
    }
}

#[test]
fn references_to_the_pool_and_to_attachments_are_resolved() {
    let spans = sample(
        r#""attachments":{"h":"Where is A-17?"},"events_data":{"messages":[{"role":"user","content":"attachment://h"},{"role":"assistant","content":"wait"}]},
        "events":[{"event":"model","timestamp":"2026-11-25T19:03:48+00:00","model":"openai/gpt-4o-mini","input":[],"input_refs":[[0,1]],
          "output":{"model":"gpt-4o-mini","choices":[{"message":{"role":"assistant","content":"attachment://gone"},"stop_reason":"stop"}],"time":0.5}},
         {"event":"model","timestamp":"2026-11-25T19:03:49+00:00","model":"m","input":[],"input_refs":[[1,9]],"output":{"choices":[]}}]"#,
    );
    let call = &spans[1];
    assert_eq!((call.input[0].content.as_str(), call.output[0].content.as_str()), ("Where is A-17?", "attachment://gone"));
    assert_eq!((call.provider.as_deref(), call.ended_at_ns), (Some("openai"), Some(1_764_097_428_500_000_000 + 31_536_000_000_000_000)));
    assert!(spans[2].not_understood.contains(Part::Input) && spans[2].unread_fields == 1);
}

#[test]
fn repeated_conversations_are_limited() {
    let mut repeated = content::Repeated::default();
    let text = "x".repeat(4 * 1024 * 1024);
    let pool: Vec<_> = ["user", "assistant", "user"]
        .iter()
        .map(|role| {
            let json = format!(r#"{{"role":"{role}","content":"{}"}}"#, if *role == "assistant" { "short" } else { &text });
            crate::parse::value::Value::parse(&json).unwrap().into_owned()
        })
        .collect();
    let refs = crate::parse::value::Value::parse("[[0,3]]").unwrap();
    let mut read = || {
        let mut span = Span::default();
        content::set_input(&mut span, &[], &refs, &pool, &mut repeated);
        (span.input.len(), span.truncated_fields, span.not_understood.contains(Part::Input))
    };
    let found: Vec<_> = (0..6).map(|_| read()).collect();
    assert_eq!(found, [(3, 0, false), (1, 1, false), (1, 1, false), (1, 1, false), (0, 1, true), (0, 1, true)]);
}

#[test]
fn a_failed_model_call_has_no_answer() {
    let event = |fields: &str| {
        let line = format!(r#""events":[{{"event":"model","timestamp":"2026-11-25T19:03:48+00:00","model":"m","input":[],{fields}}}]"#);
        sample(&line).remove(1)
    };
    let failed = event(
        r#""output":{"choices":[{"message":{"role":"assistant","content":""},"stop_reason":"stop"}],"completion":""},"error":"Error code: 429 - slow down""#,
    );
    assert_eq!((failed.status, failed.output.len(), failed.finish_reasons.len()), (Status::Error, 0, 0));
    // The provider refused the request, and Inspect made its message the answer.
    let refused = event(
        r#""output":{"choices":[{"message":{"role":"assistant","content":"too long"},"stop_reason":"model_length"}],"completion":"too long"},"call":{"request":{},"response":{},"error":true}"#,
    );
    assert_eq!(
        (refused.status, refused.status_message.as_deref(), refused.finish_reasons[0].as_str()),
        (Status::Error, Some("too long"), "model_length")
    );
    let filtered = event(
        r#""output":{"choices":[{"message":{"role":"assistant","content":"no"},"stop_reason":"unknown"}],"completion":"no"},
        "call":{"response":{"choices":[{"finish_reason":"SAFETY","message":{"role":"assistant","content":null,"refusal":"I cannot"}}]}}"#,
    );
    assert_eq!((filtered.finish_reasons[0].as_str(), filtered.output[0].refusal.as_deref()), ("SAFETY", Some("I cannot")));
}

#[test]
fn steps_and_nested_events_have_their_parents() {
    let spans = sample(
        r#""events":[{"event":"step","timestamp":"2025-01-01T00:00:01+00:00","action":"begin","type":"solver","name":"generate"},
         {"event":"tool","timestamp":"2025-01-01T00:00:02+00:00","id":"c","function":"ask","arguments":{"q":1},"result":[{"type":"text","text":"late"}],"events":[
           {"event":"model","timestamp":"2025-01-01T00:00:02.5+00:00","model":"m","input":[],"output":{"choices":[]}}]},
         {"event":"step","timestamp":"2025-01-01T00:00:03+00:00","action":"end","type":"solver","name":"generate"},
         {"event":"info","timestamp":"2025-01-01T00:00:04+00:00","source":"me","data":{"note":"hello"}}]"#,
    );
    let tree: Vec<_> = spans.iter().map(|span| (span.span_id.as_str(), span.parent_span_id.as_deref(), span.kind)).collect();
    assert_eq!(
        tree,
        [
            ("sample", None, SpanKind::Agent),
            ("event-1", Some("sample"), SpanKind::Chain),
            ("event-2", Some("event-1"), SpanKind::Tool),
            ("event-3", Some("event-2"), SpanKind::Llm),
        ]
    );
    assert_eq!(spans[2].tool.as_ref().unwrap().result.as_deref(), Some("late"));
    assert!(spans[0].attribute("event.info").is_some_and(|text| text.contains("hello")));
    assert_eq!(spans[1].ended_at_ns.unwrap() - spans[1].started_at_ns.unwrap(), 2_000_000_000);
}

#[test]
fn the_span_of_a_tool_call_is_below_the_tool() {
    let spans = sample(
        r#""events":[{"event":"span_begin","timestamp":"2026-01-01T00:00:01+00:00","span_id":"s","id":"s","type":"tool","name":"ask"},
         {"event":"tool","timestamp":"2026-01-01T00:00:01+00:00","uuid":"t","id":"c","function":"ask","arguments":{},"result":"","failed":true,"completed":"2026-01-01T00:00:02+00:00"},
         {"event":"error","timestamp":"2026-01-01T00:00:02+00:00","span_id":"s","error":{"message":"ValueError('bad')","traceback":""}},
         {"event":"span_end","timestamp":"2026-01-01T00:00:02+00:00","span_id":"s","id":"s"}]"#,
    );
    assert_eq!((spans[1].parent_span_id.as_deref(), spans[1].exceptions[0].kind.as_str()), (Some("t"), "ValueError"));
    assert_eq!((spans[2].status, spans[2].tool.as_ref().unwrap().result.as_deref()), (Status::Error, None));
}

#[test]
fn limits_errors_and_attempts_fail_the_sample() {
    let limited = sample(
        r#""limit":{"type":"message","limit":6.0},"events":[{"event":"sample_limit","timestamp":"2026-01-01T00:00:01+00:00","type":"message","message":"Message limit exceeded. count: 7; limit: 6","limit":6.0}]"#,
    );
    assert_eq!(
        (limited[0].status, limited[0].status_message.as_deref(), limited[0].error_type.as_deref()),
        (Status::Error, Some("Message limit exceeded. count: 7; limit: 6"), Some("LimitExceededError"))
    );
    let old = sample(r#""limit":{"type":"token","limit":200},"events":[]"#);
    assert_eq!((old[0].status, old[0].status_message.as_deref()), (Status::Error, Some("Exceeded token limit: 200")));
    let retried = sample(
        r#""error_retries":[{"message":"ValueError('first')","traceback":"","events":[]}],
        "events":[{"event":"span_begin","timestamp":"2026-01-01T00:00:01+00:00","id":"s","name":"solvers"}]"#,
    );
    assert_eq!((retried[0].status, retried[1].status, retried[1].exceptions[0].message.as_str()), (Status::Unset, Status::Error, "first"));
    assert_eq!((retried[2].status, retried[3].parent_span_id.as_deref()), (Status::Unset, Some("attempt-2")));
}

#[test]
fn scores_become_annotations() {
    let spans = sample(
        r#""scores":{"includes":{"value":"I","explanation":"lost"},"grade":{"value":{"style":0.5,"facts":true}},"none":{"value":null}},"events":[]"#,
    );
    let found: Vec<_> = spans[0].annotations.iter().map(|found| (found.name.as_str(), found.label.as_deref(), found.score)).collect();
    assert_eq!(found, [("includes", Some("I"), None), ("grade.style", None, Some(0.5)), ("grade.facts", Some("true"), Some(1.0))]);
    assert_eq!(spans[0].annotations[0].comment.as_deref(), Some("lost"));
}

#[test]
fn a_sample_without_events_has_a_span_for_each_answer_and_result() {
    let line = r#"{"id":1,"epoch":1,"uuid":"u","input":"hi","target":"x","output":{"choices":[]},"messages":[{"role":"user","content":"hi"},
        {"role":"assistant","content":"","tool_calls":[{"id":"c","function":"ask","arguments":{"q":1},"type":"function"}]},
        {"role":"tool","content":"","tool_call_id":"c","function":"ask","error":{"type":"timeout","message":"late"}},{"role":"assistant","content":"sorry"}]}"#;
    let spans = parse(line);
    let (first, tool, last) = (&spans[1].span, &spans[2].span, &spans[3].span);
    assert_eq!((first.input[0].content.as_str(), first.output[0].tool_calls[0].name.as_str()), ("hi", "ask"));
    assert_eq!(
        (tool.status, tool.error_type.as_deref(), tool.tool.as_ref().unwrap().result.as_deref()),
        (Status::Error, Some("timeout"), Some("late"))
    );
    assert_eq!((last.input[0].role.as_str(), last.input[0].content.as_str()), ("tool", "late"));
}
