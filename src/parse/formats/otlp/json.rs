//! OTLP as JSON, in protobuf's JSON mapping and in the variants of exporters with a mapping of their own.
//!
//! The structs decode strictly, because that is fastest. If a field has another type than the protocol defines, [`lenient`] decodes the request
//! again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use super::json_value::{AnyValue, KeyValue, StatusCode, pairs};
use super::{LogTraceId, RawEvent, RawLog, RawSpan, RequestProgress, lenient, nonzero_id};
use crate::parse::json::{self, Integer, Text, json_object};
use crate::parse::{Accounted, ParsedChunk, RecordLocation, Skip};

/// Parses one export request.
///
/// # Errors
/// The parser's error, if the text is not a JSON object.
pub(super) fn parse(line: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Result<Accounted, serde_json::Error> {
    match json::parse::<Request<'_>>(line) {
        Ok(request) if request.single.is_some() && request.search_result.is_none() => {
            Ok(lenient::parse_request(json::parse(line)?, location, out))
        }
        Ok(request) => Ok(request.add_fragments(location, out)),
        // A field of the wrong type must not discard the other fields.
        Err(error) if error.is_data() && line.starts_with('{') => Ok(lenient::parse_request(json::parse(line)?, location, out)),
        Err(error) => Err(error),
    }
}

/// Parses a single span without a request around it, as Phoenix' REST API returns them.
///
/// # Errors
/// The parser's error, if the text is not a JSON object.
pub(in crate::parse) fn parse_span(
    line: &str,
    location: &RecordLocation<'_>,
    out: &mut ParsedChunk,
) -> Result<Accounted, serde_json::Error> {
    match json::parse::<OtlpSpan<'_>>(line) {
        Ok(span) => Ok(span.add_fragment(&super::Resource::default(), location, out)),
        Err(error) if error.is_data() && line.starts_with('{') => {
            Ok(lenient::parse_span(json::parse(line)?, &super::Resource::default(), location, out))
        }
        Err(error) => Err(error),
    }
}

json_object! {
    struct Request<'a> {
        "resourceSpans" | "resource_spans" | "batches" => resource_spans: Vec<ResourceSpans<'a>>,
        "resourceLogs" | "resource_logs" => resource_logs: Vec<ResourceLogs<'a>>,
        // The other signals, which a bucket may contain beside traces.
        "resourceMetrics" | "resource_metrics" | "resourceProfiles" | "resource_profiles" | "scopeMetrics" => other_signal: Option<IgnoredAny>,
        // What some programs, and Tempo, wrap the request in.
        "ExportTraceServiceRequest" | "exportTraceServiceRequest" | "export_trace_service_request" | "trace" => wrapped: Option<Box<Request<'a>>>,
        // One span or log record without a request around it.
        "startTimeUnixNano" | "timeUnixNano" | "observedTimeUnixNano" => single: Option<IgnoredAny>,
        // A result of Tempo's search.
        "rootServiceName" | "rootTraceName" => search_result: Option<IgnoredAny>,
        // One element of `resourceSpans` or `resourceLogs` without a request around it.
        "resource" => resource: Resource<'a>,
        "scopeSpans" | "scope_spans" | "instrumentationLibrarySpans" | "instrumentation_library_spans" => scope_spans: Vec<ScopeSpans<'a>>,
        "scopeLogs" | "scope_logs" | "instrumentationLibraryLogs" | "instrumentation_library_logs" => scope_logs: Vec<ScopeLogs<'a>>,
        ["metrics", "status", "message", "schemaUrl", "schema_url"] _ => other,
    }
}

json_object! {
    struct ResourceSpans<'a> {
        "resource" => resource: Resource<'a>,
        // The name before version 0.15 of the protocol.
        "scopeSpans" | "scope_spans" | "instrumentationLibrarySpans" | "instrumentation_library_spans" => scope_spans: Vec<ScopeSpans<'a>>,
        // Spans without a scope, written by exporters that ignore scopes.
        "spans" => spans: Vec<OtlpSpan<'a>>,
        ["schemaUrl", "schema_url"] _ => other,
    }
}

json_object! {
    struct Resource<'a> {
        "attributes" => attributes: Vec<KeyValue<'a>>,
    }
}

json_object! {
    struct ScopeSpans<'a> {
        "scope" | "instrumentationLibrary" | "instrumentation_library" => scope: Scope<'a>,
        "spans" => spans: Vec<OtlpSpan<'a>>,
        ["schemaUrl", "schema_url"] _ => other,
    }
}

json_object! {
    struct Scope<'a> {
        "name" => name: Text<'a>,
    }
}

json_object! {
    struct OtlpSpan<'a> {
        "traceId" | "trace_id" => trace_id: Text<'a>,
        "spanId" | "span_id" => span_id: Text<'a>,
        "parentSpanId" | "parent_span_id" => parent_span_id: Text<'a>,
        "name" => name: Text<'a>,
        "startTimeUnixNano" | "start_time_unix_nano" => start_time_unix_nano: Integer,
        "endTimeUnixNano" | "end_time_unix_nano" => end_time_unix_nano: Integer,
        "attributes" => attributes: Vec<KeyValue<'a>>,
        "events" => events: Vec<Event<'a>>,
        "status" => status: OtlpStatus<'a>,
    }
}

json_object! {
    struct Event<'a> {
        "name" => name: Text<'a>,
        "attributes" => attributes: Vec<KeyValue<'a>>,
    }
}

json_object! {
    struct OtlpStatus<'a> {
        "message" => message: Text<'a>,
        "code" => code: StatusCode,
    }
}

json_object! {
    struct ResourceLogs<'a> {
        "resource" => resource: Resource<'a>,
        "scopeLogs" | "scope_logs" | "instrumentationLibraryLogs" | "instrumentation_library_logs" => scope_logs: Vec<ScopeLogs<'a>>,
        "logRecords" | "log_records" => log_records: Vec<LogRecord<'a>>,
        ["schemaUrl", "schema_url"] _ => other,
    }
}

json_object! {
    struct ScopeLogs<'a> {
        "logRecords" | "log_records" | "logs" => log_records: Vec<LogRecord<'a>>,
        ["scope", "schemaUrl", "schema_url", "instrumentationLibrary", "instrumentation_library"] _ => other,
    }
}

json_object! {
    struct LogRecord<'a> {
        "traceId" | "trace_id" => trace_id: Text<'a>,
        "spanId" | "span_id" => span_id: Text<'a>,
        "eventName" | "event_name" => event_name: Text<'a>,
        "timeUnixNano" | "time_unix_nano" => time_unix_nano: Integer,
        "observedTimeUnixNano" | "observed_time_unix_nano" => observed_time_unix_nano: Integer,
        "body" => body: AnyValue<'a>,
        "attributes" => attributes: Vec<KeyValue<'a>>,
    }
}

impl Resource<'_> {
    fn into_resource(self) -> super::Resource {
        super::Resource::from_attributes(pairs(self.attributes))
    }
}

impl Request<'_> {
    fn add_fragments(self, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let mut progress = RequestProgress::new(*location);
        for group in self.resource_spans {
            let mut resource = group.resource.into_resource();
            progress.check_keys("resourceSpans[]", group.other.as_deref(), group.scope_spans.is_empty() && group.spans.is_empty(), out);
            add_scope_spans(group.scope_spans, &mut resource, &mut progress, out);
            resource.set_scope("");
            for span in group.spans {
                let location = progress.next_location();
                progress.add(span.add_fragment(&resource, &location, out));
            }
        }
        for group in self.resource_logs {
            let resource = group.resource.into_resource();
            progress.check_keys("resourceLogs[]", group.other.as_deref(), group.scope_logs.is_empty() && group.log_records.is_empty(), out);
            add_scope_logs(group.scope_logs, &resource, &mut progress, out);
            for record in group.log_records {
                let location = progress.next_location();
                progress.add(record.add_fragment(&resource, &location, out));
            }
        }
        let mut resource = self.resource.into_resource();
        add_scope_spans(self.scope_spans, &mut resource, &mut progress, out);
        add_scope_logs(self.scope_logs, &resource, &mut progress, out);
        if let Some(request) = self.wrapped {
            progress.add(request.add_fragments(location, out));
        }
        let other_signal = self.other_signal.map(|_| Skip::OtherSignal);
        let skip = other_signal.or(self.search_result.map(|_| Skip::TraceWithoutSpans));
        progress.finish(skip, self.other.as_deref(), out)
    }
}

fn add_scope_spans(scopes: Vec<ScopeSpans<'_>>, resource: &mut super::Resource, progress: &mut RequestProgress<'_>, out: &mut ParsedChunk) {
    for scope in scopes {
        progress.check_keys("resourceSpans[].scopeSpans[]", scope.other.as_deref(), scope.spans.is_empty(), out);
        resource.set_scope(&scope.scope.name.0);
        for span in scope.spans {
            let location = progress.next_location();
            progress.add(span.add_fragment(resource, &location, out));
        }
    }
}

fn add_scope_logs(scopes: Vec<ScopeLogs<'_>>, resource: &super::Resource, progress: &mut RequestProgress<'_>, out: &mut ParsedChunk) {
    for scope in scopes {
        progress.check_keys("resourceLogs[].scopeLogs[]", scope.other.as_deref(), scope.log_records.is_empty(), out);
        for record in scope.log_records {
            let location = progress.next_location();
            progress.add(record.add_fragment(resource, &location, out));
        }
    }
}

impl OtlpSpan<'_> {
    fn add_fragment(self, resource: &super::Resource, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let raw = RawSpan {
            trace_id: id(&self.trace_id.0, 16),
            span_id: id(&self.span_id.0, 8),
            parent_span_id: id(&self.parent_span_id.0, 8),
            name: self.name.0.into_owned(),
            started_at_ns: self.start_time_unix_nano.0,
            ended_at_ns: self.end_time_unix_nano.0,
            status: self.status.code.0,
            status_message: self.status.message.0.into_owned(),
            events: self
                .events
                .into_iter()
                .map(|event| RawEvent { name: event.name.0, attributes: pairs(event.attributes).collect() })
                .collect(),
            attributes: pairs(self.attributes).collect(),
            unread_fields: 0,
        };
        raw.add_fragment(resource, location, out)
    }
}

impl LogRecord<'_> {
    fn add_fragment(self, resource: &super::Resource, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let raw = RawLog {
            trace_id: LogTraceId::from_text(&self.trace_id.0),
            span_id: id(&self.span_id.0, 8),
            event_name: self.event_name.0.into_owned(),
            at_ns: if self.time_unix_nano.0 > 0 { self.time_unix_nano.0 } else { self.observed_time_unix_nano.0 },
            body: self.body.0,
            attributes: pairs(self.attributes).collect(),
        };
        raw.add_fragment(resource, location, out)
    }
}

impl LogTraceId {
    /// The id in a text; of zeros or empty outside of a trace.
    pub(in crate::parse) fn from_text(text: &str) -> Self {
        if text.bytes().all(|byte| matches!(byte, b'0' | b' ')) { Self::Absent } else { id(text, 16).map_or(Self::Invalid, Self::Valid) }
    }
}

/// An id of `bytes` bytes as lower-case hex, from hex or base64; `None` if it is neither, empty, or all zeros.
pub(in crate::parse) fn id(text: &str, bytes: usize) -> Option<String> {
    let hex = if text.len() == bytes * 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        text.to_ascii_lowercase()
    } else {
        crate::model::hex(&STANDARD.decode(text).ok().filter(|decoded| decoded.len() == bytes)?)
    };
    nonzero_id(hex)
}

#[cfg(test)]
mod tests {
    use super::super::Otlp;
    use super::*;
    use crate::model::{RejectionKind, Status};

    fn parse(line: &str) -> ParsedChunk {
        crate::parse::tests::parse_line(&Otlp, line)
    }

    fn line(span: &str) -> String {
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"acme"}}}}]}},"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#
        )
    }

    const IDS: &str = r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174""#;

    #[test]
    fn ids_are_read_in_hex_and_in_base64() {
        let hex = parse(&line(&format!(r#"{{{IDS},"startTimeUnixNano":"5"}}"#)));
        let base64 = parse(&line(
            r#"{"traceId":"W47/95gDgQPSabYzgT/GDA==","spanId":"7uGbfsPBsXQ=","startTimeUnixNano":5,"status":{"code":"STATUS_CODE_ERROR"}}"#,
        ));
        assert_eq!(hex.fragments[0].trace_id, "5b8efff798038103d269b633813fc60c");
        assert_eq!(hex.fragments[0].trace_id, base64.fragments[0].trace_id);
        assert_eq!(hex.fragments[0].span.span_id, base64.fragments[0].span.span_id);
        assert_eq!((hex.fragments[0].span.status, base64.fragments[0].span.status), (Status::Unset, Status::Error));
        assert_eq!(hex.fragments[0].service.as_deref(), Some("acme"));
    }

    #[test]
    fn a_span_without_id_or_time_is_rejected_with_its_location() {
        let out = parse(&line(&format!(r#"{{{IDS},"startTimeUnixNano":"5"}},{{"name":"no ids"}},{{{IDS}}}"#)));
        assert_eq!(out.fragments.len(), 1);
        let refs: Vec<_> = out.rejections.iter().map(|rejection| (rejection.trace_ref.as_str(), rejection.kind)).collect();
        assert_eq!(refs, [("t.jsonl#L4.s2", RejectionKind::MissingId), ("t.jsonl#L4.s3", RejectionKind::MissingTime)]);
    }

    #[test]
    fn a_field_of_the_wrong_type_does_not_affect_other_fields() {
        let odd = format!(
            r#"{{{IDS},"startTimeUnixNano":"5"}},
            {{{IDS},"startTimeUnixNano":"2026-11-23T09:00:00Z","name":{{"a":1}},"status":"ERROR","attributes":[7,{{"key":"k","value":{{"stringValue":7}}}},{{"value":1}}]}},
            {{{IDS},"startTimeUnixNano":5,"attributes":{{"plain":"map","n":{{"intValue":"3"}}}},"events":[{{"name":"exception","attributes":[{{"key":"exception.type","value":{{"stringValue":"E"}}}}]}},"odd"]}},
            "secret",
            {{{IDS},"startTimeUnixNano":{{}}}}"#
        );
        let out = parse(&line(&odd));
        assert_eq!((out.fragments.len(), out.rejections.len(), out.records.spans), (3, 2, 1), "{:?}", out.rejections);
        let spans: Vec<_> = out.fragments.iter().map(|fragment| &fragment.span).collect();
        assert_eq!((spans[1].attribute("k"), spans[1].status, spans[1].unread_fields), (Some("7"), Status::Error, 3));
        assert_eq!(spans[1].started_at_ns, Some(1_795_424_400_000_000_000));
        assert_eq!((spans[2].attribute("plain"), spans[2].attribute("n"), spans[2].unread_fields), (Some("map"), Some("3"), 1));
        assert_eq!(spans[2].exceptions[0].kind, "E");
        assert_eq!(out.fragments[1].service.as_deref(), Some("acme"));
        let places: Vec<_> = out.rejections.iter().map(|rejection| (rejection.trace_ref.as_str(), rejection.kind)).collect();
        assert_eq!(places, [("t.jsonl#L4.s4", RejectionKind::MalformedRecord), ("t.jsonl#L4.s5", RejectionKind::MissingTime)]);
        assert!(!out.rejections[0].reason.contains("secret"), "{}", out.rejections[0].reason);
    }

    #[test]
    fn an_invalid_log_record_is_rejected_and_its_neighbors_stay() {
        let both = |record: &str| {
            format!(
                r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{IDS},"startTimeUnixNano":"5"}}]}}]}}],"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#
            )
        };
        for (record, rejected, skipped, additions) in [
            ("7", 1, 0, 0),
            (r#"{"traceId":"short"}"#, 1, 0, 0),
            (r#"{"traceId":7}"#, 1, 0, 0),
            (r#"{"body":{"stringValue":"untraced"}}"#, 0, 1, 0),
            (r#"{"traceId":"00000000000000000000000000000000"}"#, 0, 1, 0),
            (r#"{"traceId":"5B8EFFF798038103D269B633813FC60C","timeUnixNano":"soon"}"#, 0, 0, 1),
        ] {
            let out = parse(&both(record));
            let found = out.fragments.iter().filter(|fragment| fragment.addition).count();
            assert_eq!(
                (out.fragments.len() - found, out.rejections.len(), out.skipped.len(), found),
                (1, rejected, skipped, additions),
                "{record}"
            );
        }
    }

    #[test]
    fn old_and_misplaced_groups_are_read_and_unknown_keys_are_rejected() {
        let span = format!(r#"{{{IDS},"startTimeUnixNano":"5"}}"#);
        for read in [
            format!(
                r#"{{"resourceSpans":[{{"instrumentationLibrarySpans":[{{"instrumentationLibrary":{{"name":"x"}},"spans":[{span}]}}]}}]}}"#
            ),
            format!(r#"{{"resourceSpans":[{{"resource":{{}},"spans":[{span}]}}]}}"#),
            format!(r#"{{"ExportTraceServiceRequest":{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}}}"#),
            format!(r#"{{"resource_spans":{{"scope_spans":{{"spans":{span}}}}}}}"#),
            format!(r#"{{"resourceSpans":[],"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}],"spans":[]}}]}}]}}"#),
            format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}],"scope_spans":null}}],"resource_spans":[]}}"#),
            format!(r#"{{"resourceMetrics":[{{}}],"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#),
        ] {
            let out = parse(&read);
            assert_eq!((out.fragments.len(), out.rejections.len(), out.skipped.len()), (1, 0, 0), "{read} {:?}", out.rejections);
        }
        for (rejected, key) in [
            (format!(r#"{{"resourceSpans":[{{"scopeSpan":[{{"spans":[{span}]}}]}}]}}"#), "scopeSpan"),
            (format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"span":[{span}]}}]}}]}}"#), "span"),
            (r#"{"spans":[]}"#.to_owned(), "spans"),
            (r#"{"trace":{"services":[]},"metrics":{}}"#.to_owned(), "services"),
            (format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}},{{"ScopeSpans":[]}}]}}"#), "ScopeSpans"),
        ] {
            let out = parse(&rejected);
            assert_eq!(out.rejections.len(), 1, "{rejected}");
            assert!(out.rejections[0].reason.contains(&format!("{key:?}")), "{}", out.rejections[0].reason);
        }
        for empty in
            ["{}", r#"{"resourceSpans":[]}"#, r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[{"resource":{},"scopeSpans":[]}]}"#]
        {
            let out = parse(empty);
            assert_eq!((out.fragments.len(), out.rejections.len(), out.skipped.len(), out.records.skipped), (0, 0, 1, 1), "{empty}");
        }
    }

    #[test]
    fn a_span_and_a_log_record_of_cloudwatch_are_read() {
        let resource = r#""resource":{"attributes":{"service.name":"acme","cloud.platform":"aws_bedrock_agentcore"}},"scope":{"name":"strands.telemetry.tracer","version":""}"#;
        let out = parse(&format!(
            r#"{{{resource},{IDS},"parentSpanId":"0000000000000001","flags":256,"name":"chat","kind":"CLIENT","startTimeUnixNano":1795424400000000000,"endTimeUnixNano":1795424402000000000,
            "durationNano":2000000000,"attributes":{{"gen_ai.operation.name":"chat","gen_ai.usage.input_tokens":5,"gen_ai.response.finish_reasons":["tool_use"]}},
            "events":[{{"timeUnixNano":1795424401000000000,"name":"exception","attributes":{{"exception.type":"ThrottlingException"}}}}],"status":{{"code":"ERROR"}}}}"#
        ));
        let fragment = &out.fragments[0];
        let span = &fragment.span;
        assert_eq!((fragment.service.as_deref(), span.instrumentation.as_deref()), (Some("acme"), Some("strands.telemetry.tracer")));
        assert_eq!((span.status, span.usage.input, &span.finish_reasons), (Status::Error, Some(5), &vec!["tool_use".to_owned()]));
        assert_eq!((span.exceptions[0].kind.as_str(), span.ended_at_ns), ("ThrottlingException", Some(1_795_424_402_000_000_000)));
        let out = parse(&format!(
            r#"{{{resource},"timeUnixNano":1795424401000000000,"observedTimeUnixNano":1795424401000000001,"severityNumber":9,"severityText":"","flags":1,{IDS},
            "attributes":{{"event.name":"strands.telemetry.tracer","session.id":"s"}},
            "body":{{"input":{{"messages":[{{"role":"user","content":"hi"}}]}},"output":{{"messages":[{{"role":"assistant","content":"hello"}}]}}}}}}"#
        ));
        let fragment = &out.fragments[0];
        assert_eq!((fragment.addition, fragment.span.span_id.as_str()), (true, "eee19b7ec3c1b174"));
        assert_eq!((fragment.span.input[0].content.as_str(), fragment.span.output[0].content.as_str()), ("hi", "hello"));
        let out = parse(&format!(
            r#"{{{resource},"timeUnixNano":1795424401000000000,"observedTimeUnixNano":1,"body":"ready","attributes":{{}}}}"#
        ));
        assert_eq!(out.records.skips.get(&Skip::LogWithoutTrace), Some(&1));
        // Attributes as in a request.
        let out = parse(&format!(r#"{{{IDS},"startTimeUnixNano":"5","attributes":[{{"key":"k","value":{{"stringValue":"v"}}}}]}}"#));
        assert_eq!(out.fragments[0].span.attribute("k"), Some("v"));
    }

    #[test]
    fn an_element_without_a_request_is_read() {
        let resource = r#""resource":{"attributes":[{"key":"service.name","value":{"stringValue":"acme"}}]}"#;
        for wrong_type in ["", r#","schemaUrl":7,"resourceLogs":7"#] {
            let out = parse(&format!(
                r#"{{{resource},"scopeSpans":[{{"scope":{{"name":"x","attributes":[]}},"spans":[{{{IDS},"startTimeUnixNano":"5"}}]}}]{wrong_type}}}"#
            ));
            let fragment = &out.fragments[0];
            assert_eq!((fragment.service.as_deref(), fragment.span.instrumentation.as_deref()), (Some("acme"), Some("x")));
            let out = parse(&format!(
                r#"{{{resource},"scopeLogs":[{{"logRecords":[{{{IDS},"timeUnixNano":"5","body":{{"stringValue":"x"}}}}]}}]{wrong_type}}}"#
            ));
            assert_eq!((out.fragments.len(), out.fragments[0].addition), (1, true));
        }
        assert_eq!(parse(&format!(r#"{{{resource},"scopeMetrics":[]}}"#)).records.skips.get(&Skip::OtherSignal), Some(&1));
    }

    #[test]
    fn traces_of_tempo_are_read_and_results_of_its_search_are_skipped() {
        let span = r#"{"traceId":"W47/95gDgQPSabYzgT/GDA==","spanId":"7uGbfsPBsXQ=","startTimeUnixNano":"5"}"#;
        let groups = [
            format!(r#"[{{"resource":{{}},"scopeSpans":[{{"scope":{{}},"spans":[{span}]}}]}}]"#),
            format!(r#"[{{"instrumentationLibrarySpans":[{{"instrumentationLibrary":{{}},"spans":[{span}]}}]}}]"#),
        ];
        for group in groups {
            for trace in [
                format!(r#"{{"batches":{group}}}"#),
                format!(r#"{{"trace":{{"resourceSpans":{group}}},"metrics":{{"inspectedBytes":"7"}}}}"#),
                format!(r#"{{"trace":{{"batches":{group}}},"metrics":{{}},"status":"PARTIAL","message":"Trace exceeds maximum size"}}"#),
                // Also if a field has another type.
                format!(r#"{{"batches":{group},"status":{{}},"resourceLogs":7}}"#),
                format!(r#"{{"trace":{{"resourceSpans":{group},"resourceLogs":7}}}}"#),
            ] {
                let out = parse(&trace);
                assert_eq!(out.fragments.len(), 1, "{trace} {:?}", out.rejections);
                assert_eq!(out.fragments[0].trace_id, "5b8efff798038103d269b633813fc60c");
            }
        }
        for result in [
            r#"{"traceID":"2f3e0cee77ae5dc9c17ade3689eb2e54","rootServiceName":"shop","rootTraceName":"order","startTimeUnixNano":"1","durationMs":2}"#,
            r#"{"traceID":"2f3e","rootServiceName":"shop","durationMs":2,"spanSet":{"spans":[],"matched":1}}"#,
        ] {
            let out = parse(result);
            assert_eq!((out.fragments.len(), out.records.skips.get(&Skip::TraceWithoutSpans)), (0, Some(&1)), "{result}");
        }
    }

    #[test]
    fn a_truncated_line_is_rejected_with_the_column() {
        let out = parse(r#"{"resourceSpans": ["#);
        assert_eq!(out.rejections[0].kind, RejectionKind::MalformedJson);
        assert!(out.rejections[0].reason.contains("unexpected end of JSON"), "{}", out.rejections[0].reason);
    }

    #[test]
    fn metrics_are_skipped() {
        let out = parse(r#"{"resourceMetrics":[{"scopeMetrics":[]}]}"#);
        assert_eq!((out.fragments.len(), out.rejections.len(), out.skipped.len()), (0, 0, 1));
    }

    #[test]
    fn a_value_nested_too_deep_is_rejected() {
        let deep = r#"{"arrayValue":{"values":["#.repeat(100_000);
        let out = parse(&line(&format!(r#"{{{IDS},"attributes":[{{"key":"k","value":{deep}"#)));
        assert_eq!((out.fragments.len(), out.rejections.len()), (0, 1));
    }

    #[test]
    fn values_of_any_type_are_kept_as_text() {
        let attribute = |value: &str| {
            let out = parse(&line(&format!(r#"{{{IDS},"startTimeUnixNano":"5","attributes":[{{"key":"k","value":{value}}}]}}"#)));
            out.fragments[0].span.attribute("k").map(str::to_owned)
        };
        assert_eq!(attribute(r#"{"intValue":"7"}"#).as_deref(), Some("7"));
        assert_eq!(attribute(r#"{"doubleValue":"NaN"}"#).as_deref(), Some("NaN"));
        assert_eq!(attribute(r#"{"doubleValue":0.5}"#).as_deref(), Some("0.5"));
        assert_eq!(attribute(r#"{"arrayValue":{"values":[{"stringValue":"a"},{"boolValue":true}]}}"#).as_deref(), Some(r#"["a",true]"#));
        assert_eq!(attribute(r"{}"), None);
    }
}
