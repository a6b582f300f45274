//! Parquet and CSV columns -> values.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::value::Value;

/// One cell as a value; NaN and null are nothing, times are nanoseconds.
pub(super) fn cell(column: &ArrayRef, row: usize) -> Value<'_> {
    if column.is_null(row) {
        return Value::Null;
    }
    let double = |number: f64| if number.is_nan() { Value::Null } else { Value::Double(number) };
    match column.data_type() {
        DataType::Utf8 => Value::Text(Cow::Borrowed(column.as_string::<i32>().value(row))),
        DataType::LargeUtf8 => Value::Text(Cow::Borrowed(column.as_string::<i64>().value(row))),
        DataType::Utf8View => Value::Text(Cow::Borrowed(column.as_string_view().value(row))),
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int8 => Value::Int(column.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Value::Int(column.as_primitive::<Int16Type>().value(row).into()),
        DataType::UInt8 => Value::Int(column.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => Value::Int(column.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => Value::Int(column.as_primitive::<UInt32Type>().value(row).into()),
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
            let entries = fields
                .iter()
                .zip(values.columns())
                .map(|(field, values)| (Cow::Owned(field.name().clone()), cell(values, row).into_owned()));
            Value::Map(entries.filter(|(_, value)| *value != Value::Null).collect())
        }
        // ClickHouse writes Langfuse's details as maps.
        DataType::Map(_, _) => {
            let entries = column.as_map().value(row);
            let pair = |index: usize| {
                let key = cell(entries.column(0), index).into_text().unwrap_or_default();
                (Cow::Owned(key), cell(entries.column(1), index).into_owned())
            };
            Value::Map((0..entries.len()).map(pair).collect())
        }
        DataType::Dictionary(_, _) => {
            let Ok(values) = arrow::compute::cast(&column.slice(row, 1), &DataType::Utf8) else { return Value::Null };
            cell(&values, 0).into_owned()
        }
        _ => ArrayFormatter::try_new(column, &FormatOptions::default())
            .map_or(Value::Null, |formatter| Value::Text(Cow::Owned(formatter.value(row).to_string()))),
    }
}

fn list<'a>(items: &ArrayRef) -> Value<'a> {
    Value::List((0..items.len()).map(|index| cell(items, index).into_owned()).collect())
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
