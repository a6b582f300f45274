//! Tables of traces in `ClickHouse`: those of the OpenTelemetry Collector's exporter ([`collector`]) and of `SigNoz` ([`signoz`]), as rows of JSON
//! (`JSONEachRow`, `JSON`, `JSONCompact`), CSV with a header (`CSVWithNames`) and Parquet.
//!
//! Specification: <https://clickhouse.com/docs/interfaces/formats>, checked against the output of `ClickHouse` 26.9. Attributes follow any convention.
//!
//! ```json
//! {"meta": [{"name": "TraceId", "type": "String"}, {"name": "SpanId", "type": "String"}],
//!  "data": [["5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"]], "rows": 1, "statistics": {"elapsed": 0.001}}
//! ```
//!
//! Quirks of the output:
//! - The rows of `JSON` are objects, those of `JSONCompact` lists in the order of `meta`.
//! - In CSV, maps and lists are in `ClickHouse`'s own notation: `{'key':'value'}`.
//! - A JSON column is an object in JSON, and JSON text in CSV and Parquet.
//! - 64-bit integers are quoted by some settings, and in older versions.

mod collector;
mod signoz;

use std::borrow::Cow;

use super::otlp::nonzero_id;
use crate::model::{RejectionKind, Status};
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip, span_fields};

/// The format of tables in `ClickHouse`; see the [module docs](self).
pub(super) struct ClickHouse;

type Attribute<'a> = (Cow<'a, str>, Value<'a>);

impl Format for ClickHouse {
    fn name(&self) -> &'static str {
        "clickhouse"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["TraceId", "SpanId", "SpanName"]),
                // `otel_logs`.
                Signature::unique(&["TraceId", "SeverityText", "Body"]),
                Signature::unique(&["SeverityText", "Body", "LogAttributes"]),
                // `otel_metrics_*`.
                Signature::unique(&["MetricName", "MetricUnit", "ResourceAttributes"]),
                // `otel_traces_trace_id_ts`.
                Signature::common(&["TraceId", "Start", "End"]),
                // `signoz_index_v3`.
                Signature::unique(&["trace_id", "span_id", "attributes_string", "duration_nano"]),
                // The formats `JSON` and `JSONCompact`.
                Signature::common(&["meta", "data", "rows", "statistics"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("meta") && record.has("data") { parse_result(&mut record, location, out) } else { parse_row(record, location, out) }
    }
}

/// Parses the result of a query: `{"meta": [{"name", "type"}], "data": […]}`. The rows of `JSONCompact` are lists.
fn parse_result(record: &mut Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let columns: Vec<String> = record.take("meta").items().iter().map(|column| column.get("name").to_text()).collect();
    let Value::List(rows) = record.take("data") else {
        let reason = format!("cannot read {location}: data is not a list of rows\n  hint: export with FORMAT JSONEachRow");
        return out.reject(location, RejectionKind::MalformedRecord, reason);
    };
    if rows.is_empty() {
        return out.skip(Skip::Empty, location);
    }
    let row = |row| match row {
        Value::List(cells) => Value::Map(columns.iter().map(|name| Cow::Borrowed(name.as_str())).zip(cells).collect()),
        other => other,
    };
    record::parse_each(rows.into_iter().map(row).collect(), location, out, parse_row)
}

/// Parses a row of any of the tables.
fn parse_row(record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    if record.has("attributes_string") { signoz::parse_span(record, location, out) } else { collector::parse_row(record, location, out) }
}

/// An id; `None` if it is empty or zero.
fn id(value: &Value<'_>) -> Option<String> {
    value.as_id().and_then(|id| nonzero_id(id.to_ascii_lowercase()))
}

/// The fields of a map in a cell: itself, JSON text, or the notation of `ClickHouse`'s CSV, which Python's `repr` resembles.
fn fields(value: Value<'_>) -> Vec<Attribute<'_>> {
    match value.into_tree() {
        Value::Map(fields) => fields,
        _ => Vec::new(),
    }
}

/// `Error`, in older versions `STATUS_CODE_ERROR`.
fn status(word: &str) -> Status {
    span_fields::status(&word.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::parse_line;

    #[test]
    fn the_rows_of_a_compact_result_are_lists() {
        let out = parse_line(
            &ClickHouse,
            r#"{"meta":[{"name":"TraceId","type":"String"},{"name":"SpanId","type":"String"},{"name":"SpanName","type":"String"},{"name":"Timestamp","type":"DateTime64(9)"}],
            "data":[["5b8efff798038103d269b633813fc60c","eee19b7ec3c1b174","chat","2026-11-23 08:53:43.443017575"],["a"]],"rows":2,"statistics":{}}"#,
        );
        assert_eq!((out.fragments[0].span.name.as_str(), out.rejections[0].trace_ref.as_str()), ("chat", "t.jsonl#L4.s2"));
        let by_column = r#"{"meta":[{"name":"TraceId"}],"data":{"TraceId":["5b8efff798038103d269b633813fc60c"]},"rows":1,"statistics":{}}"#;
        assert_eq!(parse_line(&ClickHouse, by_column).rejections.len(), 1);
        assert_eq!(parse_line(&ClickHouse, r#"{"meta":[],"data":[],"rows":0,"statistics":{}}"#).skipped.len(), 1);
    }

    #[test]
    fn a_cell_of_csv_is_in_the_notation_of_clickhouse() {
        let found = Value::Text(r#"{'a':'it\'s \\ \n','b':'{"c": [1]}'}"#.into()).into_tree();
        assert_eq!((found.get("a").as_str(), found.get("b").as_str()), (Some("it's \\ \n"), Some(r#"{"c": [1]}"#)));
        assert_eq!(Value::Text("['x','']".into()).into_tree().into_texts(), ["x", ""]);
        assert_eq!(Value::Text(r#"{"a": 1}"#.into()).into_tree().get("a").as_u64(), Some(1));
    }
}
