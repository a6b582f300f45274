//! Test helpers of the parse stage, and properties that hold for every format.

use proptest::prelude::*;

use super::*;

pub(crate) fn location() -> RecordLocation<'static> {
    RecordLocation { uri: "t.jsonl", modified_at_ns: 1, position: Position::Line(4), span: None }
}

/// Parses one line.
pub(crate) fn parse_line(format: &'static dyn Format, line: &str) -> ParsedChunk {
    parse_at(format, line, Position::Line(4))
}

/// Parses one record at `position`.
pub(crate) fn parse_at(format: &'static dyn Format, record: &str, position: Position) -> ParsedChunk {
    parse_bytes(format, record.as_bytes(), position)
}

fn parse_bytes(format: &'static dyn Format, record: &[u8], position: Position) -> ParsedChunk {
    let mut out = ParsedChunk::default();
    let parser = text_record::Parser { format, forced: Some(format), is_log: false };
    let accounted = parser.parse(record, &RecordLocation { position, ..location() }, &mut out);
    out.records.add(accounted);
    out
}

/// Keys of real formats, so that generated records pass the first checks.
const NAMES: [&str; 53] = [
    "resourceSpans",
    "resourceLogs",
    "resourceMetrics",
    "resource",
    "scopeSpans",
    "scopeLogs",
    "spans",
    "logRecords",
    "traceId",
    "spanId",
    "trace_id",
    "span_id",
    "id",
    "name",
    "startTimeUnixNano",
    "start_time",
    "start_ns",
    "attributes",
    "key",
    "value",
    "stringValue",
    "events",
    "status",
    "data",
    "meta",
    "links",
    "body",
    "path",
    "headers",
    "type",
    "runs",
    "cursors",
    "messages",
    "role",
    "content",
    "context",
    "annotator_kind",
    "files",
    "projectId",
    "timestamp",
    "batches",
    "trace",
    "metrics",
    "_spanContext",
    "hrTime",
    "SpanContext",
    "Body",
    "severity_number",
    "scopeSpans",
    "parent_id",
    "kind",
    "localEndpoint",
    "annotations",
];

fn json() -> impl Strategy<Value = String> {
    let text = prop_oneof!["[a-z0-9]{0,8}", Just("5b8efff798038103d269b633813fc60c".to_owned()), Just("eee19b7ec3c1b174".to_owned())];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("NaN".to_owned()),
        Just("1795424023443017575".to_owned()),
        Just("\"2026-11-23T09:00:00Z\"".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        text.prop_map(|text| format!("{text:?}")),
    ];
    let key = prop_oneof![9 => prop::sample::select(NAMES.as_slice()).prop_map(str::to_owned), 1 => "[a-z]{1,4}"];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        let fields = prop::collection::vec((key.clone(), inner.clone()), 0..5);
        let object = fields.prop_map(|fields| {
            let fields: Vec<_> = fields.into_iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
            format!("{{{}}}", fields.join(","))
        });
        prop_oneof![2 => prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))), 3 => object]
    })
}

/// Asserts that one record was read, that it has exactly one outcome, and that the output contains what the outcome counts.
fn assert_accounted(out: &ParsedChunk, input: &str) {
    let records = &out.records;
    assert_eq!((records.read, records.accounted_for()), (1, 1), "{input}");
    let spans = out.fragments.iter().filter(|fragment| !fragment.addition).count();
    let companions = out.fragments.len() - spans + out.annotations.len() + out.expected.len();
    assert_eq!(records.spans > 0, spans > 0, "{input}");
    assert!(records.companions == 0 || companions > 0 || !out.skipped.is_empty(), "{input}");
    assert!(records.rejected == 0 || !out.rejections.is_empty(), "{input}");
    assert!(records.skipped == 0 || !records.skips.is_empty(), "{input}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_format_accounts_for_arbitrary_json(record in json()) {
        for format in FORMATS {
            assert_accounted(&parse_line(format, &record), &record);
        }
    }

    #[test]
    fn every_format_accounts_for_arbitrary_bytes(record in prop::collection::vec(any::<u8>(), 0..60)) {
        for format in FORMATS {
            assert_accounted(&parse_bytes(format, &record, Position::Line(1)), &String::from_utf8_lossy(&record));
            let mut out = ParsedChunk::default();
            let accounted = format.parse_message(&record, &location(), &mut out);
            out.records.add(accounted);
            assert_accounted(&out, &String::from_utf8_lossy(&record));
        }
    }
}
