//! Zipkin: spans as its API takes and returns them, in lists (`POST /api/v2/spans`, `GET /api/v2/trace/…`), lists of lists (`GET /api/v2/traces`) or one
//! per line.
//!
//! Specification: <https://zipkin.io/zipkin-api/>, version 2 of the span; how OpenTelemetry maps its spans:
//! <https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/zipkin/>. Checked against the exporters of OpenTelemetry for Python 1.20 and 1.45
//! and JavaScript 2.12, and the sources of those for Go and of the Collector.
//!
//! ```json
//! {"traceId": "5b8e…", "id": "eee1…", "parentId": "…", "name": "chat", "kind": "CLIENT", "timestamp": 1795424026335617, "duration": 483227,
//!  "localEndpoint": {"serviceName": "acme"}, "annotations": [{"timestamp": 1795424026335618, "value": "{\"exception\": {\"exception.type\": \"ValueError\"}}"}],
//!  "tags": {"gen_ai.operation.name": "chat", "otel.status_code": "ERROR", "error": "ValueError: no"}}
//! ```
//!
//! | span of Zipkin | span |
//! |---|---|
//! | `localEndpoint.serviceName` | service |
//! | `tags` | attributes, by the conventions; attributes of the resource are tags, too |
//! | `otel.status_code`, `error` | status and message; a tag `error` alone is an error |
//! | `annotations` | events, if they have attributes |
//!
//! Quirks of real exporters:
//! - Every tag is text; lists are JSON text (Python) or joined by commas (JavaScript).
//! - An event is `{"name": {…}}` (Python), `"name": {…}` (Java), `name: {…}` (Go), `name|{…}|0` (Collector), or its name only (JavaScript).
//! - Ids of traces have 16 or 32 hex digits. The server's half of a call has the same id as the client's, and `shared`.

use std::borrow::Cow;

use super::otlp::{RawEvent, RawSpan, Resource, nonzero_id};
use crate::model::Status;
use crate::parse::record::Record;
use crate::parse::span_fields;
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature};

/// The format of Zipkin; see the [module docs](self).
pub(super) struct Zipkin;

impl Format for Zipkin {
    fn name(&self) -> &'static str {
        "zipkin"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["traceId", "id", "localEndpoint"]),
                Signature::common(&["traceId", "id", "timestamp", "tags"]),
                Signature::common(&["traceId", "id", "timestamp", "annotations"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let mut unread_fields = 0;
        let tags = match record.take("tags") {
            Value::Map(tags) => tags,
            Value::Null => Vec::new(),
            _ => {
                unread_fields += 1;
                Vec::new()
            }
        };
        let service = record.take("localEndpoint").text_at("serviceName");
        let (tags, attributes) = Tags::split(tags);
        let (status, status_message) = tags.status();
        let started_at_ns = record.take("timestamp").as_time().unwrap_or_default();
        let duration_ns = record.take("duration").as_u64().and_then(|duration| i64::try_from(duration).ok()?.checked_mul(1_000));
        let span_id = hex_id(&record.take("id"));
        let parent_span_id = hex_id(&record.take("parentId"));
        let is_shared = record.take("shared") == Value::Bool(true);
        let events = record.take("annotations");
        let span = RawSpan {
            trace_id: hex_id(&record.take("traceId")),
            // The client's half has the id itself.
            span_id: if is_shared { span_id.as_ref().map(|id| format!("{id}.server")) } else { span_id.clone() },
            parent_span_id: if is_shared { span_id } else { parent_span_id },
            name: record.take_text("name").unwrap_or_default(),
            started_at_ns,
            ended_at_ns: duration_ns.and_then(|duration| started_at_ns.checked_add(duration)).unwrap_or_default(),
            status,
            status_message,
            events: events.items().iter().filter_map(|annotation| event(annotation.get("value").as_str()?)).collect(),
            attributes,
            unread_fields,
        };
        span.add_fragment(&tags.resource(service), location, out)
    }
}

/// The tags that are not attributes of the span.
#[derive(Default)]
struct Tags {
    error: Option<String>,
    status_code: Option<String>,
    status_description: Option<String>,
    scope: Option<String>,
    environment: Option<String>,
}

impl Tags {
    /// Takes these tags out of all tags; the others are attributes.
    fn split<'a>(all: Vec<(Cow<'a, str>, Value<'a>)>) -> (Self, Vec<(Cow<'a, str>, Value<'a>)>) {
        let mut tags = Self::default();
        let mut attributes = Vec::with_capacity(all.len());
        for (key, value) in all {
            let field = match key.as_ref() {
                "error" => &mut tags.error,
                "otel.status_code" => &mut tags.status_code,
                "otel.status_description" => &mut tags.status_description,
                "otel.scope.name" | "otel.library.name" => &mut tags.scope,
                "deployment.environment.name" | "deployment.environment" => &mut tags.environment,
                _ => {
                    attributes.push((key, value));
                    continue;
                }
            };
            *field = value.into_text().or(field.take());
        }
        (tags, attributes)
    }

    fn status(&self) -> (Status, String) {
        let is_error = self.error.as_deref().is_some_and(|error| error != "false");
        let status = match &self.status_code {
            Some(code) => span_fields::status(code),
            None if is_error => Status::Error,
            None => Status::Unset,
        };
        let message = self.error.as_ref().filter(|error| is_error && *error != "true").or(self.status_description.as_ref());
        (status, message.cloned().unwrap_or_default())
    }

    fn resource(self, service: Option<String>) -> Resource {
        let fields = [("service.name", service), ("deployment.environment", self.environment)];
        let fields = fields.into_iter().filter_map(|(key, value)| Some((Cow::Borrowed(key), Value::Text(Cow::Owned(value?)))));
        let mut resource = Resource::from_attributes(fields);
        resource.set_scope(self.scope.as_deref().unwrap_or_default());
        resource
    }
}

/// An id in hex, of 64 or 128 bits.
fn hex_id(value: &Value<'_>) -> Option<String> {
    let text = value.as_str()?;
    let is_id = matches!(text.len(), 16 | 32) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    nonzero_id(is_id.then(|| text.to_ascii_lowercase())?)
}

/// The event in an annotation; `None` if it has no attributes.
fn event(annotation: &str) -> Option<RawEvent<'static>> {
    let start = annotation.find('{')?;
    let end = annotation.rfind('}')?;
    let attributes = Value::parse(annotation.get(start..=end)?)?.into_owned();
    let Value::Map(mut fields) = attributes else { return None };
    let name = annotation.get(..start)?.trim_end_matches([' ', ':', '|']).trim_matches('"');
    match (name, fields.pop()) {
        ("", Some((name, Value::Map(attributes)))) if fields.is_empty() => Some(RawEvent { name, attributes }),
        (_, Some(last)) => {
            fields.push(last);
            Some(RawEvent { name: Cow::Owned(name.to_owned()), attributes: fields })
        }
        (_, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RejectionKind;

    fn parse(line: &str) -> ParsedChunk {
        crate::parse::tests::parse_line(&Zipkin, line)
    }

    const SPAN: &str = r#""traceId":"5b8efff798038103d269b633813fc60c","id":"eee19b7ec3c1b174","name":"chat","kind":"CLIENT","timestamp":1795424026335617"#;

    #[test]
    fn a_span_has_the_fields_of_its_object() {
        let out = parse(&format!(
            r#"[[{{{SPAN},"parentId":"0000000000000001","duration":483227,"localEndpoint":{{"serviceName":"acme"}},
            "annotations":[{{"timestamp":1,"value":"{{\"exception\": {{\"exception.type\": \"ValueError\", \"exception.message\": \"no\"}}}}"}}],
            "tags":{{"gen_ai.operation.name":"chat","gen_ai.usage.input_tokens":"5","gen_ai.response.finish_reasons":"[\"stop\"]","otel.status_code":"ERROR","error":"ValueError: no",
              "otel.scope.name":"x","service.name":"acme","deployment.environment":"staging"}}}}]]"#
        ));
        let fragment = &out.fragments[0];
        let span = &fragment.span;
        assert_eq!((fragment.trace_id.as_str(), span.span_id.as_str()), ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"));
        assert_eq!(
            (span.parent_span_id.as_deref(), span.status, span.status_message.as_deref()),
            (Some("0000000000000001"), Status::Error, Some("ValueError: no"))
        );
        assert_eq!((span.started_at_ns, span.ended_at_ns), (Some(1_795_424_026_335_617_000), Some(1_795_424_026_818_844_000)));
        assert_eq!(
            (span.exceptions[0].kind.as_str(), span.usage.input, &span.finish_reasons),
            ("ValueError", Some(5), &vec!["stop".to_owned()])
        );
        assert_eq!(
            (fragment.service.as_deref(), fragment.environment.as_deref(), span.instrumentation.as_deref()),
            (Some("acme"), Some("staging"), Some("x"))
        );
    }

    #[test]
    fn annotations_of_every_exporter_are_events() {
        for annotation in [
            r#"{"exception": {"exception.type": "E {}"}}"#,
            r#""exception": {"exception.type":"E {}"}"#,
            r#"exception: {"exception.type":"E {}"}"#,
            r#"exception|{"exception.type":"E {}"}|0"#,
        ] {
            let event = event(annotation).unwrap();
            assert_eq!((event.name.as_ref(), event.attributes[0].1.as_str()), ("exception", Some("E {}")), "{annotation}");
        }
        for annotation in ["exception", "ws", "}{", "{", "x: {cut", "{}", ""] {
            assert!(event(annotation).is_none(), "{annotation}");
        }
    }

    #[test]
    fn an_error_is_a_tag() {
        for (tags, status, message) in [
            (r#"{"error":"no such host"}"#, Status::Error, Some("no such host")),
            (r#"{"error":"true"}"#, Status::Error, None),
            (r#"{"error":"false"}"#, Status::Unset, None),
            (r#"{"otel.status_code":"ERROR","otel.status_description":"no"}"#, Status::Error, Some("no")),
            (r#"{"otel.status_code":"OK"}"#, Status::Ok, None),
            ("{}", Status::Unset, None),
        ] {
            let out = parse(&format!(r#"{{{SPAN},"localEndpoint":{{}},"tags":{tags}}}"#));
            let span = &out.fragments[0].span;
            assert_eq!((span.status, span.status_message.as_deref()), (status, message), "{tags}");
        }
    }

    #[test]
    fn the_halves_of_a_call_are_two_spans() {
        let out = parse(&format!(r#"{{{SPAN},"parentId":"0000000000000001","localEndpoint":{{}},"shared":true}}"#));
        let span = &out.fragments[0].span;
        assert_eq!((span.span_id.as_str(), span.parent_span_id.as_deref()), ("eee19b7ec3c1b174.server", Some("eee19b7ec3c1b174")));
    }

    #[test]
    fn a_span_without_id_or_time_is_rejected() {
        let out = parse(
            r#"[{"traceId":"x","id":"eee19b7ec3c1b174","localEndpoint":{},"timestamp":1795424026335617},{"traceId":"5b8efff798038103","id":"eee19b7ec3c1b174","localEndpoint":{}}]"#,
        );
        let kinds: Vec<_> = out.rejections.iter().map(|rejection| rejection.kind).collect();
        assert_eq!(kinds, [RejectionKind::MissingId, RejectionKind::MissingTime]);
    }
}
