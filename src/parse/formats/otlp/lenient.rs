//! OTLP as JSON in which some field has another type than the protocol defines.
//!
//! The request is decoded field by field from a tree, and fields that cannot be decoded are counted. Only called if the strict decoder in
//! [`super::json`] failed.

use std::borrow::Cow;

use super::json::id;
use super::{LogTraceId, RawEvent, RawLog, RawSpan, RequestProgress, Resource};
use crate::model::{RejectionKind, Status};
use crate::parse::value::Value;
use crate::parse::{Accounted, ParsedChunk, RecordLocation, Skip, span_fields};

/// The fields of a resource's group that contain its scopes.
const SCOPE_SPANS: [&str; 4] = ["scopeSpans", "scope_spans", "instrumentationLibrarySpans", "instrumentation_library_spans"];
const SCOPE_LOGS: [&str; 4] = ["scopeLogs", "scope_logs", "instrumentationLibraryLogs", "instrumentation_library_logs"];

/// Parses one export request, or one group, span or log record of it.
pub(super) fn parse_request(tree: Value<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut progress = RequestProgress::new(*location);
    let mut fields = Fields::of(tree);
    let has = |keys: &[&str]| keys.iter().any(|key| fields.has(key));
    let skip = if has(&["resourceMetrics", "resource_metrics", "resourceProfiles", "resource_profiles", "scopeMetrics"]) {
        Some(Skip::OtherSignal)
    } else {
        has(&["rootServiceName", "rootTraceName"]).then_some(Skip::TraceWithoutSpans)
    };
    if skip.is_none() && has(&["startTimeUnixNano", "timeUnixNano", "observedTimeUnixNano"]) {
        return parse_single(fields, location, out);
    }
    if has(&SCOPE_SPANS) {
        spans_of_resource(Value::Map(fields.fields), &mut progress, out);
        return progress.finish(skip, None, out);
    }
    if has(&SCOPE_LOGS) {
        logs_of_resource(Value::Map(fields.fields), &mut progress, out);
        return progress.finish(skip, None, out);
    }
    for group in list(fields.take(&["resourceSpans", "resource_spans", "batches"])) {
        spans_of_resource(group, &mut progress, out);
    }
    for group in list(fields.take(&["resourceLogs", "resource_logs"])) {
        logs_of_resource(group, &mut progress, out);
    }
    match fields.take(&["ExportTraceServiceRequest", "exportTraceServiceRequest", "export_trace_service_request", "trace"]) {
        Value::Null => {}
        wrapped @ Value::Map(_) => progress.add(parse_request(wrapped, location, out)),
        _ => reject(&mut progress, "the request", out),
    }
    progress.finish(skip, fields.first_key(), out)
}

/// Parses one span or log record with its resource and scope among its fields.
fn parse_single(mut fields: Fields<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut resource = resource(fields.take(&["resource"]));
    resource.set_scope(fields.take(&["scope"]).get("name").as_str().unwrap_or_default());
    let is_span = fields.has("startTimeUnixNano");
    let single = Value::Map(fields.fields);
    if is_span { parse_span(single, &resource, location, out) } else { parse_log_record(single, &resource, location, out) }
}

fn spans_of_resource(group: Value<'_>, progress: &mut RequestProgress<'_>, out: &mut ParsedChunk) {
    let Ok(mut group) = Fields::of_map(group) else { return reject(progress, "resourceSpans[]", out) };
    let mut resource = resource(group.take(&["resource"]));
    let scopes = list(group.take(&SCOPE_SPANS));
    let direct = list(group.take(&["spans"]));
    progress.check_keys("resourceSpans[]", group.first_unknown_key(), scopes.is_empty() && direct.is_empty(), out);
    for scope in scopes {
        let Ok(mut scope) = Fields::of_map(scope) else {
            reject(progress, "resourceSpans[].scopeSpans[]", out);
            continue;
        };
        let spans = list(scope.take(&["spans"]));
        resource.set_scope(
            scope.take(&["scope", "instrumentationLibrary", "instrumentation_library"]).get("name").as_str().unwrap_or_default(),
        );
        progress.check_keys("resourceSpans[].scopeSpans[]", scope.first_unknown_key(), spans.is_empty(), out);
        for span in spans {
            let location = progress.next_location();
            progress.add(parse_span(span, &resource, &location, out));
        }
    }
    resource.set_scope("");
    for span in direct {
        let location = progress.next_location();
        progress.add(parse_span(span, &resource, &location, out));
    }
}

fn logs_of_resource(group: Value<'_>, progress: &mut RequestProgress<'_>, out: &mut ParsedChunk) {
    let Ok(mut group) = Fields::of_map(group) else { return reject(progress, "resourceLogs[]", out) };
    let resource = resource(group.take(&["resource"]));
    let scopes = list(group.take(&SCOPE_LOGS));
    let mut records = list(group.take(&["logRecords", "log_records"]));
    progress.check_keys("resourceLogs[]", group.first_unknown_key(), scopes.is_empty() && records.is_empty(), out);
    for scope in scopes {
        let Ok(mut scope) = Fields::of_map(scope) else {
            reject(progress, "resourceLogs[].scopeLogs[]", out);
            continue;
        };
        let found = list(scope.take(&["logRecords", "log_records", "logs"]));
        progress.check_keys("resourceLogs[].scopeLogs[]", scope.first_unknown_key(), found.is_empty(), out);
        records.extend(found);
    }
    for record in records {
        let location = progress.next_location();
        progress.add(parse_log_record(record, &resource, &location, out));
    }
}

fn reject(progress: &mut RequestProgress<'_>, group: &str, out: &mut ParsedChunk) {
    let location = progress.next_location();
    progress.add(out.reject(&location, RejectionKind::MalformedRecord, format!("cannot read {location}: {group} is not a JSON object")));
}

/// Parses one span.
pub(super) fn parse_span(span: Value<'_>, resource: &Resource, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut fields = match Fields::of_map(span) {
        Ok(fields) => fields,
        Err(found) => return not_an_object("span", &found, location, out),
    };
    let trace_id = fields.id(&["traceId", "trace_id"], 16);
    let span_id = fields.id(&["spanId", "span_id"], 8);
    let parent_span_id = fields.id(&["parentSpanId", "parent_span_id"], 8);
    let name = fields.text(&["name"]);
    let started_at_ns = fields.time(&["startTimeUnixNano", "start_time_unix_nano"]);
    let ended_at_ns = fields.time(&["endTimeUnixNano", "end_time_unix_nano"]);
    let (status, status_message) = fields.status();
    let events = fields.take(&["events"]);
    let events: Vec<_> = fields.items(events);
    let events = events.into_iter().filter_map(|event| fields.event(event)).collect();
    let attributes = fields.take(&["attributes"]);
    let attributes = fields.attributes(attributes);
    let raw = RawSpan {
        trace_id,
        span_id,
        parent_span_id,
        name,
        started_at_ns,
        ended_at_ns,
        status,
        status_message,
        events,
        attributes,
        unread_fields: fields.unread,
    };
    raw.add_fragment(resource, location, out)
}

fn parse_log_record(record: Value<'_>, resource: &Resource, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut fields = match Fields::of_map(record) {
        Ok(fields) => fields,
        Err(found) => return not_an_object("log record", &found, location, out),
    };
    let trace_id = match fields.take(&["traceId", "trace_id"]) {
        Value::Null => LogTraceId::Absent,
        Value::Text(text) if text.bytes().all(|byte| matches!(byte, b'0' | b' ')) => LogTraceId::Absent,
        value => value.as_str().and_then(|text| id(text, 16)).map_or(LogTraceId::Invalid, LogTraceId::Valid),
    };
    let span_id = fields.id(&["spanId", "span_id"], 8);
    let event_name = fields.text(&["eventName", "event_name"]);
    let at_ns = match fields.time(&["timeUnixNano", "time_unix_nano"]) {
        0 => fields.time(&["observedTimeUnixNano", "observed_time_unix_nano"]),
        time => time,
    };
    let body = any_value(fields.take(&["body"]));
    let attributes = fields.take(&["attributes"]);
    let attributes = fields.attributes(attributes);
    RawLog { trace_id, span_id, event_name, at_ns, body, attributes }.add_fragment(resource, location, out)
}

fn not_an_object(what: &str, found: &Value<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let found = found.type_name();
    out.reject(location, RejectionKind::MalformedRecord, format!("cannot read {location}: the {what} is {found}, not a JSON object"))
}

fn resource(resource: Value<'_>) -> Resource {
    let mut fields = Fields::of(resource);
    let attributes = fields.take(&["attributes"]);
    Resource::from_attributes(fields.attributes(attributes))
}

/// The items of a list; any other value counts as a list with one item.
fn list(value: Value<'_>) -> Vec<Value<'_>> {
    match value {
        Value::List(items) => items,
        Value::Null => Vec::new(),
        other => vec![other],
    }
}

/// The fields of an object, which are taken one by one, and the number of those that could not be decoded.
struct Fields<'a> {
    fields: Vec<(Cow<'a, str>, Value<'a>)>,
    unread: u32,
}

impl<'a> Fields<'a> {
    /// The fields of a map; none for other values.
    fn of(value: Value<'a>) -> Self {
        Self::of_map(value).unwrap_or_else(|_| Self { fields: Vec::new(), unread: 0 })
    }

    fn of_map(value: Value<'a>) -> Result<Self, Value<'a>> {
        match value {
            Value::Map(fields) => Ok(Self { fields, unread: 0 }),
            other => Err(other),
        }
    }

    fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|(name, _)| name == key)
    }

    /// Takes the fields with the names `keys`. Several lists are concatenated; of several other values the last counts.
    fn take(&mut self, keys: &[&str]) -> Value<'a> {
        let mut taken = Value::Null;
        for (_, value) in self.fields.extract_if(.., |(name, value)| keys.contains(&name.as_ref()) || value.is_null()) {
            taken = match (taken, value) {
                (taken, Value::Null) => taken,
                (Value::List(mut items), Value::List(more)) => {
                    items.extend(more);
                    Value::List(items)
                }
                (Value::Null, value) => value,
                (_, value) => {
                    self.unread += 1;
                    value
                }
            };
        }
        taken
    }

    fn first_key(&self) -> Option<&str> {
        self.fields.first().map(|(key, _)| key.as_ref())
    }

    /// The first remaining key that a group may not have beside its spans.
    fn first_unknown_key(&self) -> Option<&str> {
        const KNOWN: [&str; 6] = ["scope", "schemaUrl", "schema_url", "instrumentationLibrary", "instrumentation_library", "resource"];
        self.fields.iter().map(|(key, _)| key.as_ref()).find(|key| !KNOWN.contains(key))
    }

    fn id(&mut self, keys: &[&str], bytes: usize) -> Option<String> {
        self.take(keys).as_str().and_then(|text| id(text, bytes))
    }

    /// A text, also from a number or a boolean.
    fn text(&mut self, keys: &[&str]) -> String {
        match self.take(keys) {
            Value::List(_) | Value::Map(_) => {
                self.unread += 1;
                String::new()
            }
            other => other.into_text().unwrap_or_default(),
        }
    }

    /// Nanoseconds since 1970 from a number, digits or RFC 3339; 0 if there is no time.
    fn time(&mut self, keys: &[&str]) -> i64 {
        let value = self.take(keys);
        let is_absent = value.is_empty();
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and such large times are invalid anyway")]
        let time = match value {
            Value::Int(number) => Some(number),
            Value::Double(number) => Some(number as i64),
            Value::Text(text) => text.trim().parse().ok().or_else(|| crate::parse::value::time_from_text(text.trim())),
            _ => None,
        };
        self.unread += u32::from(time.is_none() && !is_absent);
        time.unwrap_or_default()
    }

    fn status(&mut self) -> (Status, String) {
        match self.take(&["status"]) {
            value @ Value::Map(_) => {
                let mut status = Fields::of(value);
                let code = span_fields::status(&status.text(&["code"]));
                let message = status.text(&["message"]);
                self.unread += status.unread;
                (code, message)
            }
            Value::List(_) => {
                self.unread += 1;
                (Status::Unset, String::new())
            }
            other => (span_fields::status(&other.to_text()), String::new()),
        }
    }

    /// The items of a list; any other value counts as unread.
    fn items(&mut self, value: Value<'a>) -> Vec<Value<'a>> {
        match value {
            Value::List(items) => items,
            Value::Null => Vec::new(),
            _ => {
                self.unread += 1;
                Vec::new()
            }
        }
    }

    fn event(&mut self, event: Value<'a>) -> Option<RawEvent<'a>> {
        let Ok(mut event) = Fields::of_map(event) else {
            self.unread += 1;
            return None;
        };
        let name = Cow::Owned(event.text(&["name"]));
        let attributes = event.take(&["attributes"]);
        let attributes = event.attributes(attributes);
        self.unread += event.unread;
        Some(RawEvent { name, attributes })
    }

    /// Attributes as the protocol defines them, `[{"key": …, "value": {…}}]`, or as a plain object.
    fn attributes(&mut self, value: Value<'a>) -> Vec<(Cow<'a, str>, Value<'a>)> {
        match value {
            Value::Map(fields) => fields.into_iter().map(|(key, value)| (key, any_value(value))).collect(),
            other => {
                let items = self.items(other);
                let found: Vec<_> = items.into_iter().map(|item| key_value(item, 0)).collect();
                self.unread += u32::try_from(found.iter().filter(|found| found.is_none()).count()).unwrap_or(u32::MAX);
                found.into_iter().flatten().collect()
            }
        }
    }
}

/// How deep tagged values are decoded; deeper ones are kept as they are.
const DEPTH_MAX: usize = 32;

/// Decodes a tagged value such as `{"stringValue": …}`, also if its content has another type, or a plain value.
fn any_value(value: Value<'_>) -> Value<'_> {
    any_value_at(value, 0)
}

fn any_value_at(value: Value<'_>, depth: usize) -> Value<'_> {
    if depth >= DEPTH_MAX {
        return value;
    }
    let Value::Map(mut fields) = value else { return value };
    let is_tag = |(key, value): &(Cow<'_, str>, Value<'_>)| TAGS.contains(&key.as_ref()) && !value.is_null();
    let Some(index) = fields.iter().position(is_tag) else {
        // Phoenix writes every tag, with null for those that are not set.
        let is_null = fields.iter().all(|(key, _)| TAGS.contains(&key.as_ref()));
        return if is_null { Value::Null } else { Value::Map(fields) };
    };
    let (key, inner) = fields.swap_remove(index);
    match key.as_ref() {
        "arrayValue" | "array_value" => Value::List(values(inner).into_iter().map(|item| any_value_at(item, depth + 1)).collect()),
        "kvlistValue" | "kvlist_value" => Value::Map(values(inner).into_iter().filter_map(|entry| key_value(entry, depth + 1)).collect()),
        "intValue" | "int_value" => match inner {
            Value::Text(text) => text.parse().map_or(Value::Text(text), Value::Int),
            other => other,
        },
        _ => inner,
    }
}

/// Decodes `{"key": …, "value": {…}}`; `None` if there is no key.
fn key_value(entry: Value<'_>, depth: usize) -> Option<(Cow<'_, str>, Value<'_>)> {
    let mut entry = Fields::of(entry);
    match entry.take(&["key"]) {
        Value::Text(key) => Some((key, any_value_at(entry.take(&["value"]), depth))),
        _ => None,
    }
}

/// The tags of values.
const TAGS: [&str; 14] = [
    "stringValue",
    "string_value",
    "bytesValue",
    "bytes_value",
    "intValue",
    "int_value",
    "doubleValue",
    "double_value",
    "boolValue",
    "bool_value",
    "arrayValue",
    "array_value",
    "kvlistValue",
    "kvlist_value",
];

/// `{"values": […]}`, or the list itself.
fn values(value: Value<'_>) -> Vec<Value<'_>> {
    match value {
        Value::Map(_) => list(Fields::of(value).take(&["values"])),
        other => list(other),
    }
}
