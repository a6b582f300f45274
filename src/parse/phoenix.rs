//! The Parquet of an Arize Phoenix span dataframe (`client.spans.get_spans_dataframe()` written with pandas).
//!
//! Columns: `name`, `span_kind`, `parent_id`, `start_time`, `end_time`, `status_code`, `status_message`, `events`,
//! `context.span_id`, `context.trace_id`, and one `attributes.X` for each attribute that some span has.
//!
//! Quirks of real exports (Phoenix 20.26): struct fields contain dots (`message.role`); counts are doubles and NaN where absent;
//! attributes that no convention names are whole structs (`attributes.http`); `to_parquet` refuses mixed columns, so users write object
//! columns as JSON text; the index stands again in `__index_level_0__`.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type, Schema, TimeUnit, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::conventions::{self, SpanAttributes};
use super::value::Value;
use super::{Format, Parsed, Piece, Place, Position, json};
use crate::model::{Exception, Kind, Source, Span, SpanKind};

/// See the module.
pub(super) struct Phoenix;

const ATTRIBUTES: &str = "attributes.";

impl Format for Phoenix {
    fn name(&self) -> &'static str {
        "phoenix"
    }

    fn recognises_keys(&self, _: &[String]) -> bool {
        false
    }

    fn recognises_columns(&self, columns: &Schema) -> bool {
        ["context.trace_id", "context.span_id", "start_time"].iter().all(|name| columns.field_with_name(name).is_ok())
    }

    fn parse_line(&self, _: &str, place: &Place<'_>, out: &mut Parsed) {
        out.reject(
            place,
            Kind::UnrecognisedFormat,
            format!("cannot read {place}: the phoenix format is the Parquet of a span dataframe, and this is text"),
        );
    }

    fn parse_rows(&self, batch: &RecordBatch, place: &Place<'_>, out: &mut Parsed) {
        let columns = Columns::of(batch);
        let Position::Row(first_row) = place.position else { return };
        for row in 0..batch.num_rows() {
            let place = Place { position: Position::Row(first_row + row as u64), ..*place };
            columns.row(row, &place, out);
        }
    }
}

struct Columns<'a> {
    batch: &'a RecordBatch,
    /// `(attribute, column)`
    attributes: Vec<(String, &'a ArrayRef)>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Self {
        let schema = batch.schema();
        let names = schema.fields().iter().map(|field| field.name().strip_prefix(ATTRIBUTES).map(str::to_owned));
        let attributes = names.zip(batch.columns()).filter_map(|(name, column)| Some((name?, column))).collect();
        Self { batch, attributes }
    }

    fn cell(&self, name: &str, row: usize) -> Value<'a> {
        self.batch.column_by_name(name).map_or(Value::Null, |column| cell(column, row))
    }

    fn text(&self, name: &str, row: usize) -> Option<String> {
        self.cell(name, row).into_text().filter(|text| !is_missing(text))
    }

    fn row(&self, row: usize, place: &Place<'_>, out: &mut Parsed) {
        let (Some(trace_id), Some(span_id)) = (self.text("context.trace_id", row), self.text("context.span_id", row)) else {
            out.reject(place, Kind::MissingId, format!("cannot read {place}: context.trace_id or context.span_id is empty"));
            return;
        };
        let Some(started_at_ns) = self.time("start_time", row) else {
            out.reject(place, Kind::MissingTime, format!("cannot read {place}: start_time is empty or no time"));
            return;
        };
        let mut span = SpanAttributes::new(Span {
            span_id,
            parent_span_id: self.text("parent_id", row),
            name: self.text("name", row).unwrap_or_default(),
            kind: self.text("span_kind", row).and_then(|kind| SpanKind::from_word(&kind)).unwrap_or_default(),
            started_at_ns: Some(started_at_ns),
            ended_at_ns: self.time("end_time", row),
            status: conventions::status(&self.text("status_code", row).unwrap_or_default()),
            status_message: self.text("status_message", row).filter(|message| !message.is_empty()),
            exceptions: self.exceptions(row),
            ..Span::default()
        });
        for (key, column) in &self.attributes {
            set_flat(&mut span, Cow::Borrowed(key), cell(column, row));
        }
        out.pieces.push(Piece {
            trace_id: trace_id.to_ascii_lowercase(),
            service: None,
            environment: None,
            source: Source { uri: place.uri.to_owned() },
            span: span.finish(),
            addition: false,
        });
    }

    fn time(&self, name: &str, row: usize) -> Option<i64> {
        match self.cell(name, row) {
            Value::Int(nanoseconds) => Some(nanoseconds),
            Value::Text(text) => super::time_from_text(&text),
            _ => None,
        }
    }

    fn exceptions(&self, row: usize) -> Vec<Exception> {
        let events = match self.cell("events", row) {
            Value::Text(text) => json::parse_tree(&text).unwrap_or_default(),
            other => other.to_json(),
        };
        let is_exception = |event: &&serde_json::Value| event["name"] == "exception";
        let attributes = |event: &serde_json::Value| {
            let fields = event["attributes"].as_object().cloned().unwrap_or_default();
            conventions::exception(fields.into_iter().map(|(key, value)| (key, value.as_str().map(str::to_owned))))
        };
        events.as_array().into_iter().flatten().filter(is_exception).map(attributes).collect()
    }
}

/// Structs that no convention takes whole are flattened again to dotted keys.
fn set_flat(span: &mut SpanAttributes, key: Cow<'_, str>, value: Value<'_>) {
    let taken_whole =
        matches!(key.as_ref(), "metadata" | "tool.parameters" | "llm.invocation_parameters" | "llm.prompt_template.variables");
    match value {
        Value::Map(fields) if !taken_whole => {
            for (name, value) in fields {
                set_flat(span, Cow::Owned(format!("{key}.{name}")), value);
            }
        }
        Value::Text(text) if is_missing(&text) => {}
        Value::Null => {}
        other => span.set(key, other),
    }
}

/// How pandas writes a missing value into a text column.
fn is_missing(text: &str) -> bool {
    matches!(text, "nan" | "NaT" | "None")
}

/// One cell as a value; NaN and null are nothing, times are nanoseconds.
fn cell(column: &ArrayRef, row: usize) -> Value<'_> {
    if column.is_null(row) {
        return Value::Null;
    }
    let double = |number: f64| if number.is_nan() { Value::Null } else { Value::Double(number) };
    match column.data_type() {
        DataType::Utf8 => Value::Text(Cow::Borrowed(column.as_string::<i32>().value(row))),
        DataType::LargeUtf8 => Value::Text(Cow::Borrowed(column.as_string::<i64>().value(row))),
        DataType::Utf8View => Value::Text(Cow::Borrowed(column.as_string_view().value(row))),
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int32 => Value::Int(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => i64::try_from(column.as_primitive::<UInt64Type>().value(row)).map_or(Value::Null, Value::Int),
        DataType::Float32 => double(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(unit, _) => timestamp(column, *unit, row),
        DataType::List(_) => list(&column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(&column.as_list::<i64>().value(row)),
        DataType::Struct(fields) => {
            let values = column.as_struct();
            let entries =
                fields.iter().zip(values.columns()).map(|(field, values)| (Cow::Owned(field.name().clone()), owned(cell(values, row))));
            Value::Map(entries.filter(|(_, value)| *value != Value::Null).collect())
        }
        _ => ArrayFormatter::try_new(column, &FormatOptions::default())
            .map_or(Value::Null, |formatter| Value::Text(Cow::Owned(formatter.value(row).to_string()))),
    }
}

fn list<'a>(items: &ArrayRef) -> Value<'a> {
    Value::List((0..items.len()).map(|index| owned(cell(items, index))).collect())
}

/// The slice of a list column lives no longer than the call, so nested values are copied.
fn owned<'a>(value: Value<'_>) -> Value<'a> {
    match value {
        Value::Null => Value::Null,
        Value::Bool(value) => Value::Bool(value),
        Value::Int(value) => Value::Int(value),
        Value::Double(value) => Value::Double(value),
        Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
        Value::List(items) => Value::List(items.into_iter().map(owned).collect()),
        Value::Map(entries) => Value::Map(entries.into_iter().map(|(key, value)| (Cow::Owned(key.into_owned()), owned(value))).collect()),
    }
}

fn timestamp<'a>(column: &ArrayRef, unit: TimeUnit, row: usize) -> Value<'a> {
    use arrow::datatypes::{TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType};
    let (value, factor) = match unit {
        TimeUnit::Second => (column.as_primitive::<TimestampSecondType>().value(row), 1_000_000_000),
        TimeUnit::Millisecond => (column.as_primitive::<TimestampMillisecondType>().value(row), 1_000_000),
        TimeUnit::Microsecond => (column.as_primitive::<TimestampMicrosecondType>().value(row), 1_000),
        TimeUnit::Nanosecond => (column.as_primitive::<TimestampNanosecondType>().value(row), 1),
    };
    value.checked_mul(factor).map_or(Value::Null, Value::Int)
}
