//! `MLflow` traces: `Trace.to_json()` and `to_dict()`, the artifact `traces.json`, the data frame of `mlflow.search_traces()` as JSON, CSV or
//! Parquet, the trace tables of Databricks, and its inference tables.
//!
//! Specification: <https://mlflow.org/docs/latest/genai/concepts/trace/>, and `mlflow/entities/trace.py` and `span.py`; checked against files
//! of versions 2.17, 3.5 and 3.17, and against the source of 3.17, which reads those of 2.14 and later. Attributes follow the convention [`mlflow`](crate::parse::conventions), or the one of the instrumentation whose
//! spans `MLflow` received.
//!
//! ```json
//! {"info": {"trace_id": "tr-9437…", "request_time": "2026-11-26T15:17:05.568Z", "state": "ERROR", "tags": {…}, "trace_metadata": {…},
//!           "assessments": [{"assessment_name": "quality", "feedback": {"value": "bad"}, "rationale": "…"}]},
//!  "data": {"spans": [{"trace_id": "lDejatS3B7Nmvwn5bUyq7g==", "span_id": "ISHxyvJrtTE=", "parent_span_id": null, "name": "agent",
//!    "start_time_unix_nano": 1795706225568248958, "status": {"code": "STATUS_CODE_ERROR", "message": ""},
//!    "attributes": {"mlflow.spanType": "\"AGENT\"", "mlflow.spanInputs": "{…}"}, "events": [{"name": "exception", "attributes": {…}}]}]}}
//! ```
//!
//! | trace | span |
//! |---|---|
//! | `info.trace_id`, `info.request_id` | the trace id, instead of OpenTelemetry's |
//! | `attributes`, `events` | every field, by the conventions |
//! | `assessments`: `feedback` | annotations of the span that they name, else of the trace |
//! | `assessments`: `expectation`; `tags`, `trace_metadata` | attributes of the root span |
//!
//! Quirks of real files:
//! - Ids are in hex with `0x` (2.14 to 2.22), plain hex beside `tr-…` (3.5), or in base64 (3.0 to 3.17), which is read as hex.
//! - Every attribute is JSON text, so texts are in quotes.
//! - The cell `trace` of a data frame is JSON text (3.x); in 2.x it is an object, of which CSV has only `Trace(request_id=…)` and pandas' JSON a
//!   spelling of its own (`start_time_ns`, `status.status_code`). The cell `spans` has the spans in each case; in CSV as Python's `repr`.
//! - A failed span has no status message (3.x); the cause is in its exception event. An interrupted span has the status OK and no output (3.17).
//! - An assessment that was replaced by another one has `"valid": false`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::otlp::{self, RawEvent, RawSpan, Resource};
use crate::model::{Annotation, RejectionKind, hex};
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{Accounted, AnnotationTarget, DetectionScore, Format, ParsedChunk, RecordLocation, Signature, detect, span_fields};

/// The format of `MLflow`'s traces; see the [module docs](self).
pub(super) struct Mlflow;

impl Format for Mlflow {
    fn name(&self) -> &'static str {
        "mlflow"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                // A trace, and its artifact.
                Signature::common(&["info", "data"]),
                Signature::common(&["spans", "request", "response"]),
                // A row of a data frame or of a trace table, from version 3 and before it.
                Signature::unique(&["trace_id", "trace_metadata", "request_time"]),
                Signature::unique(&["request_id", "request_metadata", "timestamp_ms"]),
                // A span without its trace, before version 3.
                Signature::common(&["name", "context", "parent_id", "start_time", "status_code", "status_message"]),
                // A row of an inference table.
                Signature::common(&["databricks_request_id", "request", "response"]),
                Signature::common(&["databricks_request_id", "trace"]),
            ]
        }
    }

    fn detect_keys(&self, keys: &[String]) -> Option<DetectionScore> {
        if is_bare_span(keys) { Some(DetectionScore::Certain) } else { detect::best_score(self.signatures(), keys) }
    }

    fn parse_json(&self, json: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Result<Accounted, serde_json::Error> {
        let mut record = Record::from_json(json, self.skipped_fields())?;
        if is_span(&record) {
            match record.take("attributes") {
                // A span of another program.
                Value::List(_) => return otlp::parse_span(json, location, out),
                attributes => record.insert("attributes", attributes),
            }
        }
        Ok(self.parse_record(record, location, out))
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("traces") {
            // A page of the API, or the output of `mlflow traces search`.
            match record.take("traces") {
                Value::List(traces) => {
                    record::parse_each(traces, location, out, |trace, location, out| self.parse_record(trace, location, out))
                }
                _ => reject_no_trace("traces is not a list", location, out),
            }
        } else if record.has("info") {
            parse_trace(record, location, out)
        } else if record.has("databricks_request_id") {
            parse_inference(record, location, out)
        } else if is_span(&record) {
            parse_span(record, &mut TraceInfo::default(), location, out)
        } else {
            parse_row(record, location, out)
        }
    }
}

/// Whether an object with these keys is a span of the artifact `{"spans": […]}` of version 3. The spans of OTLP and of Phoenix have a kind, too.
fn is_bare_span(keys: &[String]) -> bool {
    const KEYS: [&str; 5] = ["trace_id", "span_id", "start_time_unix_nano", "attributes", "status"];
    let has = |wanted: &str| keys.iter().any(|key| key == wanted);
    KEYS.into_iter().all(has) && !has("kind")
}

/// Whether a record is a span without its trace, in any of the spellings.
fn is_span(record: &Record<'_>) -> bool {
    record.has("name") && ["start_time", "start_time_ns", "start_time_unix_nano"].iter().any(|key| record.has(key))
}

/// Parses a trace: `{"info": {…}, "data": {"spans": […]}}`.
fn parse_trace(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let (Some(info), data) = (Record::from_value(record.take_tree("info")), record.take_tree("data")) else {
        return reject_no_trace("info is not an object", location, out);
    };
    let mut info = TraceInfo::take(info);
    if info.trace_id.is_none() && data.get("spans").is_null() {
        return reject_no_trace("info has no trace_id, and data no spans", location, out);
    }
    let spans = Record::from_value(data).map(|mut data| data.take_tree("spans")).unwrap_or_default();
    parse_spans(spans, &mut info, location, out)
}

/// Parses a row of a data frame or of a trace table, or the artifact of a trace, which has spans only.
fn parse_row(mut row: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let trace = row.take("trace");
    let spans = spans_of(&mut row);
    // The spelling of pandas lacks the ids of spans' traces, so it is read only if there is nothing else.
    let trace = trace.tree().filter(|trace| trace.as_ref().get("info").fields().len() > 1 && (trace_is_complete(trace) || spans.is_null()));
    if let Some(trace) = trace.and_then(|trace| Record::from_value(trace.into_owned().into_owned())) {
        return parse_trace(trace, location, out);
    }
    let mut info = TraceInfo::take(row);
    if info.trace_id.is_none() && spans.is_null() {
        return reject_no_trace("the row has neither a trace_id nor spans", location, out);
    }
    parse_spans(spans, &mut info, location, out)
}

/// Whether the spans of a trace have the ids of `to_dict()`, and not the names of properties.
fn trace_is_complete(trace: &Value<'_>) -> bool {
    trace.get("data").get("spans").items().iter().all(|span| span.get("start_time_ns").is_null())
}

/// The cell `spans`: a list, or JSON or Python's `repr` of one.
fn spans_of(row: &mut Record<'_>) -> Value<'static> {
    let cell = row.take("spans");
    cell.any_tree().map(|tree| tree.into_owned().into_owned()).unwrap_or_default()
}

/// Parses a row of an inference table, whose response contains the trace if the application asked for it.
fn parse_inference(mut row: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let column = row.take_tree("trace");
    let response = row.take_tree("response");
    let nested = response.get("databricks_output").get("trace");
    let trace = if nested.is_null() { &column } else { nested };
    match Record::from_value(trace.clone()) {
        Some(trace) => parse_trace(trace, location, out),
        None => reject_no_trace("the row has no trace, neither in its column nor in databricks_output of its response", location, out),
    }
}

fn reject_no_trace(cause: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let reason = format!("cannot read {location}: {cause}\n  hint: export traces with mlflow.search_traces() or Trace.to_json()");
    out.reject(location, RejectionKind::MalformedRecord, reason)
}

/// What the information about a trace says about its spans.
#[derive(Default)]
struct TraceInfo<'a> {
    trace_id: Option<String>,
    assessments: Value<'a>,
    /// Attributes for the first root span, which takes them.
    attributes: Vec<(Cow<'static, str>, Value<'static>)>,
    /// The experiment, and the revision of the code.
    resource: Resource,
}

impl<'a> TraceInfo<'a> {
    /// Takes the fields of `info`, or those of a row of a data frame.
    fn take(mut info: Record<'a>) -> Self {
        let trace_id = info.take("trace_id").as_id().or(info.take("request_id").as_id());
        let assessments = into_tree(info.take("assessments"));
        let mut attributes = Vec::new();
        let mut resource = Resource::default();
        resource.add_context("mlflow.experimentId", info.get("trace_location").get("mlflow_experiment").get("experiment_id"));
        resource.add_context("mlflow.experimentId", info.get("experiment_id"));
        for key in ["tags", "trace_metadata", "request_metadata"] {
            let Value::Map(fields) = into_tree(info.take(key)) else { continue };
            for (name, value) in fields.iter().filter(|(name, _)| name == "mlflow.source.git.commit") {
                resource.add_context(name, value);
            }
            let prompts = fields.iter().find(|(name, _)| name == "mlflow.linkedPrompts").and_then(|(_, value)| value.any_tree());
            if let Some(prompt) = prompts.as_deref().and_then(|prompts| prompts.items().first()) {
                let version = format!("{}@{}", prompt.get("name").to_text(), prompt.get("version").to_text());
                resource.add_context("prompt_version", &Value::Text(Cow::Owned(version)));
            }
            attributes.extend(
                fields.into_iter().filter(|(name, _)| !is_derived(name)).map(|(name, value)| (prefixed(key, &name), value.into_owned())),
            );
        }
        attributes.push((Cow::Borrowed("client_request_id"), info.take("client_request_id").into_owned()));
        for assessment in assessments.items() {
            let expected = assessment.get("expectation");
            let value = expected.first(&["value"]);
            let value = if value.is_null() { expected.get("serialized_value").get("value") } else { value };
            if !value.is_null() {
                attributes.push((prefixed("expectation", &name_of(assessment)), value.clone().into_owned()));
            }
        }
        attributes.retain(|(_, value)| !value.is_empty());
        Self { trace_id, assessments, attributes, resource }
    }
}

/// Tags and metadata that repeat the spans, or describe the storage of the trace.
fn is_derived(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "mlflow.traceInputs",
        "mlflow.traceOutputs",
        "mlflow.traceSpans",
        "mlflow.traceName",
        "mlflow.artifactLocation",
        "mlflow.trace_schema.version",
        "mlflow.trace.infoFinalized",
        "mlflow.trace.spansLocation",
    ];
    NAMES.contains(&name) || name.starts_with("mlflow.trace.size") || name.starts_with("mlflow.source.")
}

fn prefixed(prefix: &str, name: &str) -> Cow<'static, str> {
    Cow::Owned(format!("{prefix}.{name}"))
}

/// The list or object in a cell, also if it is JSON text or Python's `repr`; other values unchanged.
fn into_tree(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Text(_) => value.any_tree().map(|tree| tree.into_owned().into_owned()).unwrap_or(value),
        other => other,
    }
}

fn parse_spans(spans: Value<'_>, info: &mut TraceInfo<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let spans = record::parse_each_span(into_tree(spans), location, out, |span, location, out| parse_span(span, info, location, out));
    add_assessments(info, location, out).map_or(spans, |companions| spans.and(companions))
}

/// Parses a span in any of the spellings; see the [module docs](self).
fn parse_span(mut span: Record<'_>, info: &mut TraceInfo<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let context = span.take_tree("context");
    let (own_trace_id, own_span_id) = (span.take("trace_id"), span.take("span_id"));
    let mut raw = RawSpan {
        trace_id: None,
        span_id: [context.get("span_id"), &own_span_id].into_iter().find_map(Value::as_id).map(|id| hex_id(&id)),
        parent_span_id: take_first(&mut span, &["parent_span_id", "parent_id"]).as_id().map(|id| hex_id(&id)),
        name: span.take_text("name").unwrap_or_default(),
        started_at_ns: take_first(&mut span, &["start_time_unix_nano", "start_time_ns", "start_time"]).as_time().unwrap_or_default(),
        ended_at_ns: take_first(&mut span, &["end_time_unix_nano", "end_time_ns", "end_time"]).as_time().unwrap_or_default(),
        status: crate::model::Status::Unset,
        status_message: String::new(),
        events: Vec::new(),
        attributes: Vec::new(),
        unread_fields: 0,
    };
    set_status(&mut raw, &mut span);
    raw.attributes = attributes(into_tree(span.take("attributes")), &mut raw.unread_fields);
    let request_id = raw.attributes.iter().find(|(key, _)| key == "mlflow.traceRequestId");
    let request_id = request_id.and_then(|(_, value)| value.clone().unquoted().as_id());
    let of_span = || [context.get("trace_id"), &own_trace_id].into_iter().find_map(Value::as_id).map(|id| hex_id(&id));
    raw.trace_id = info.trace_id.clone().or(request_id).or_else(of_span);
    raw.attributes.retain(|(key, _)| !matches!(key.as_ref(), "mlflow.traceRequestId" | "mlflow.spanLogLevel"));
    if raw.parent_span_id.is_none() {
        raw.attributes.extend(std::mem::take(&mut info.attributes));
    }
    raw.events = events(into_tree(span.take("events")), &mut raw.unread_fields);
    raw.add_fragment(&info.resource, location, out)
}

/// Takes the first of several fields that is not null.
fn take_first<'a>(record: &mut Record<'a>, keys: &[&str]) -> Value<'a> {
    keys.iter().map(|key| record.take(key)).find(|value| !value.is_null()).unwrap_or_default()
}

/// Sets the status: `status_code` and `status_message`, or `status` with a code and a message.
fn set_status(raw: &mut RawSpan<'_>, span: &mut Record<'_>) {
    let (code, message) = (span.take_text("status_code"), span.take_text("status_message"));
    let status = into_tree(span.take("status"));
    let code = code.unwrap_or_else(|| status.first(&["code", "status_code"]).to_text());
    raw.status = span_fields::status(&code);
    raw.status_message = message.unwrap_or_else(|| status.first(&["message", "description"]).to_text());
}

/// The attributes of a span. Texts of `MLflow`'s own attributes keep their quotes, which its convention reads.
fn attributes<'a>(value: Value<'a>, unread: &mut u32) -> Vec<(Cow<'a, str>, Value<'a>)> {
    match value {
        Value::Map(fields) => {
            let plain = |(key, value): (Cow<'a, str>, Value<'a>)| {
                let value = if key.starts_with("mlflow.") { value } else { value.unquoted() };
                (key, value)
            };
            fields.into_iter().map(plain).collect()
        }
        other => {
            *unread += u32::from(!other.is_null());
            Vec::new()
        }
    }
}

fn events<'a>(value: Value<'a>, unread: &mut u32) -> Vec<RawEvent<'a>> {
    let Value::List(items) = value else {
        *unread += u32::from(!value.is_null());
        return Vec::new();
    };
    let event = |item: Value<'a>| {
        let mut event = Record::from_value(item)?;
        let attributes = attributes(into_tree(event.take("attributes")), unread);
        Some(RawEvent { name: Cow::Owned(event.take_text("name").unwrap_or_default()), attributes })
    };
    items.into_iter().filter_map(event).collect()
}

/// An id in base64 as hex; other ids unchanged.
fn hex_id(text: &str) -> String {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let decoded = STANDARD.decode(text).ok().filter(|bytes| !is_hex && matches!(bytes.len(), 8 | 16));
    decoded.map_or_else(|| text.to_owned(), |bytes| hex(&bytes))
}

/// Adds the feedback on the trace and its spans; `None` if there is none.
fn add_assessments(info: &TraceInfo<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Option<Accounted> {
    let is_valid = |assessment: &&Value<'_>| *assessment.get("valid") != Value::Bool(false);
    let feedback = info.assessments.items().iter().filter(is_valid).filter(|assessment| !assessment.get("feedback").is_null());
    let added = feedback.filter_map(|assessment| {
        let of_span = assessment.get("span_id").as_id().map(|id| AnnotationTarget::Span(hex_id(&id)));
        let target = of_span.or_else(|| info.trace_id.clone().map(AnnotationTarget::Trace))?;
        Some(out.annotation(target, annotation(assessment), location))
    });
    Accounted::of_parts(added.collect::<Vec<_>>())
}

/// The name of an assessment; `name` before version 3.
fn name_of(assessment: &Value<'_>) -> String {
    assessment.first(&["assessment_name", "name"]).to_text()
}

fn annotation(assessment: &Value<'_>) -> Annotation {
    let feedback = assessment.get("feedback");
    let value = feedback.get("value");
    let score = value.as_f64().filter(|_| value.as_str().is_none());
    let label = if score.is_some() { None } else { value.clone().into_text() };
    // A judge that failed has an error instead of a value.
    let comment = assessment.text_at("rationale").or_else(|| feedback.get("error").text_at("error_message"));
    Annotation { name: name_of(assessment), label, score, comment }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SpanKind, Status};
    use crate::parse::tests::parse_line;

    const V3: &str = r#"{"trace_id":"lDejatS3B7Nmvwn5bUyq7g==","span_id":"ISHxyvJrtTE=","parent_span_id":null,"name":"agent","start_time_unix_nano":1795706225568248958,
        "end_time_unix_nano":1795706226192903148,"events":[{"name":"exception","attributes":{"exception.type":"E","exception.message":"m"}}],
        "status":{"code":"STATUS_CODE_ERROR","message":""},"attributes":{"mlflow.traceRequestId":"\"tr-1\"","mlflow.spanType":"\"AGENT\"","tenant":"\"acme\""}}"#;

    fn parse(line: &str) -> ParsedChunk {
        parse_line(&Mlflow, line)
    }

    #[test]
    fn a_trace_of_version_3_is_read_with_its_assessments() {
        let out = parse(&format!(
            r#"{{"info":{{"trace_id":"tr-1","tags":{{"team":"a","mlflow.traceName":"agent"}},"assessments":[
            {{"assessment_name":"quality","feedback":{{"value":"bad"}},"rationale":"why","valid":true}},
            {{"assessment_name":"quality","feedback":{{"value":"good"}},"valid":false}},
            {{"assessment_name":"relevant","span_id":"2121f1caf26bb531","feedback":{{"value":false}}}},
            {{"assessment_name":"judge","feedback":{{"value":null,"error":{{"error_message":"judge failed"}}}}}},
            {{"assessment_name":"answer","expectation":{{"value":"Friday"}}}}]}},"data":{{"spans":[{V3}]}}}}"#
        ));
        let fragment = &out.fragments[0];
        let span = &fragment.span;
        assert_eq!((fragment.trace_id.as_str(), span.span_id.as_str(), span.kind), ("tr-1", "2121f1caf26bb531", SpanKind::Agent));
        assert_eq!((span.status, span.exceptions[0].kind.as_str(), span.attribute("tenant")), (Status::Error, "E", Some("acme")));
        assert_eq!(
            (span.attribute("tags.team"), span.attribute("expectation.answer"), span.attributes.len()),
            (Some("a"), Some("Friday"), 3)
        );
        let found: Vec<_> =
            out.annotations.iter().map(|(target, note)| (target.clone(), note.label.as_deref(), note.comment.as_deref())).collect();
        let trace = || AnnotationTarget::Trace("tr-1".into());
        assert_eq!(
            found,
            [
                (trace(), Some("bad"), Some("why")),
                (AnnotationTarget::Span("2121f1caf26bb531".into()), Some("false"), None),
                (trace(), None, Some("judge failed"))
            ]
        );
    }

    #[test]
    fn the_spellings_of_older_versions_are_read() {
        for (line, trace_id, span_id) in [
            // The artifact of 2.x.
            (
                r#"{"spans":[{"name":"f","context":{"span_id":"0x0c8f","trace_id":"0xd906"},"parent_id":null,"start_time":1795706470949161038,"end_time":1795706471336642517,"status_code":"ERROR","status_message":"E: m","attributes":{"mlflow.traceRequestId":"\"r1\""},"events":[]}],"request":"{}","response":null}"#,
                "r1",
                "0x0c8f",
            ),
            // A span of 3.5.
            (
                r#"{"trace_id":"tr-1","span_id":"2121f1caf26bb531","parent_span_id":null,"name":"f","start_time_unix_nano":"1795706470949161038","status":{"code":"ERROR","message":"E: m"},"attributes":{"mlflow.traceRequestId":"\"tr-1\""}}"#,
                "tr-1",
                "2121f1caf26bb531",
            ),
            // A row of pandas, whose spans are in both spellings.
            (
                r#"{"request_id":"r1","request_metadata":{},"timestamp_ms":1,"trace":{"info":{"request_id":"r1","a":1},"data":{"spans":[{"span_id":"x","start_time_ns":1795706470949161038}]}},"spans":[{"name":"f","context":{"span_id":"0x0c8f","trace_id":"0xd906"},"start_time":1795706470949161038,"status_code":"ERROR","status_message":"E: m"}]}"#,
                "r1",
                "0x0c8f",
            ),
            // The same without the column of spans.
            (
                r#"{"request_id":"r1","request_metadata":{},"timestamp_ms":1,"trace":{"info":{"request_id":"r1","a":1},"data":{"spans":[{"name":"f","span_id":"0x0c8f","start_time_ns":1795706470949161038,"status":{"status_code":"ERROR","description":"E: m"}}]}}}"#,
                "r1",
                "0x0c8f",
            ),
            // A cell of CSV.
            (
                r#"{"trace_id":"tr-1","trace_metadata":"{}","request_time":1,"spans":"[{'name': 'f', 'span_id': 'ISHxyvJrtTE=', 'parent_span_id': None, 'start_time_unix_nano': 1795706470949161038, 'status': {'code': 'STATUS_CODE_ERROR', 'message': 'E: m'}}]"}"#,
                "tr-1",
                "2121f1caf26bb531",
            ),
        ] {
            let out = parse(line);
            let fragment = out.fragments.first().unwrap_or_else(|| panic!("{line}: {:?}", out.rejections));
            let span = &fragment.span;
            assert_eq!(
                (fragment.trace_id.as_str(), span.span_id.as_str(), span.parent_span_id.as_deref()),
                (trace_id, span_id, None),
                "{line}"
            );
            assert_eq!((span.status, span.status_message.as_deref(), span.name.as_str()), (Status::Error, Some("E: m"), "f"), "{line}");
            assert_eq!(span.started_at_ns, Some(1_795_706_470_949_161_038), "{line}");
        }
    }

    #[test]
    fn the_spans_of_an_artifact_and_the_traces_of_a_page_are_read() {
        let keys = |span: &str| crate::parse::json::top_level_keys(span).unwrap();
        assert_eq!(Mlflow.detect_keys(&keys(V3)), Some(DetectionScore::Certain));
        assert_eq!(Mlflow.detect_keys(&keys(&V3.replacen('{', "{\"kind\":1,", 1))), None);
        let bare = parse(V3).fragments.remove(0);
        assert_eq!((bare.trace_id.as_str(), bare.span.span_id.as_str()), ("tr-1", "2121f1caf26bb531"));
        let foreign = parse(
            r#"{"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174","name":"f","start_time_unix_nano":1795706225568248958,
            "status":{"code":2},"attributes":[{"key":"a","value":{"string_value":"b"}}]}"#,
        );
        assert_eq!(foreign.fragments[0].span.attribute("a"), Some("b"));
        let page = parse(&format!(r#"{{"traces":[{{"info":{{"trace_id":"tr-1"}},"data":{{"spans":[{V3}]}}}}],"next_page_token":""}}"#));
        assert_eq!((page.fragments.len(), page.rejections.len()), (1, 0));
    }

    #[test]
    fn an_inference_row_has_its_trace_in_the_response() {
        let trace = format!(r#"{{"info":{{"trace_id":"tr-1"}},"data":{{"spans":[{V3}]}}}}"#);
        let response = format!(r#"{{"choices":[],"databricks_output":{{"trace":{trace}}}}}"#);
        for row in [
            format!(r#"{{"databricks_request_id":"d","request":"{{}}","response":{}}}"#, serde_json::to_string(&response).unwrap()),
            format!(r#"{{"databricks_request_id":"d","trace":{}}}"#, serde_json::to_string(&trace).unwrap()),
        ] {
            assert_eq!(parse(&row).fragments.len(), 1, "{row}");
        }
        assert_eq!(parse(r#"{"databricks_request_id":"d","request":"{}","response":"{}"}"#).rejections.len(), 1);
    }

    #[test]
    fn a_trace_without_spans_is_skipped_and_other_objects_are_rejected() {
        let outcome = |line: &str| {
            let out = parse(line);
            (out.fragments.len(), out.skipped.len(), out.rejections.len())
        };
        assert_eq!(outcome(r#"{"info":{"trace_id":"tr-1"},"data":{"spans":[]}}"#), (0, 1, 0));
        assert_eq!(outcome(r#"{"trace_id":"tr-1","trace_metadata":{},"request_time":1}"#), (0, 1, 0));
        assert_eq!(outcome(r#"{"info":{"title":"x"},"data":[1]}"#), (0, 0, 1));
        assert_eq!(outcome(r#"{"info":7,"data":{}}"#), (0, 0, 1));
        assert_eq!(outcome(r#"{"info":{"trace_id":"t"},"data":{"spans":7}}"#), (0, 0, 1));
    }
}
