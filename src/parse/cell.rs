//! Converts cells of Parquet and CSV columns to values.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::value::Value;

/// The value of one cell. NaN is null, a time is in nanoseconds.
pub(super) fn cell_value(column: &ArrayRef, row: usize) -> Value<'_> {
    if column.is_null(row) {
        return Value::Null;
    }
    let double = |number: f64| if number.is_nan() { Value::Null } else { Value::Double(number) };
    match column.data_type() {
        DataType::Utf8 => Value::Text(Cow::Borrowed(column.as_string::<i32>().value(row))),
        DataType::LargeUtf8 => Value::Text(Cow::Borrowed(column.as_string::<i64>().value(row))),
        DataType::Utf8View => Value::Text(Cow::Borrowed(column.as_string_view().value(row))),
        DataType::Binary => bytes(column, row, column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(column, row, column.as_binary::<i64>().value(row)),
        DataType::BinaryView => bytes(column, row, column.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => bytes(column, row, column.as_fixed_size_binary().value(row)),
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
                .map(|(field, values)| (Cow::Owned(field.name().clone()), cell_value(values, row).into_owned()));
            Value::Map(entries.filter(|(_, value)| *value != Value::Null).collect())
        }
        // Such as Langfuse's `usage_details`, which ClickHouse exports as a map.
        DataType::Map(_, _) => {
            let entries = column.as_map().value(row);
            let pair = |index: usize| {
                let key = cell_value(entries.column(0), index).into_text().unwrap_or_default();
                (Cow::Owned(key), cell_value(entries.column(1), index).into_owned())
            };
            Value::Map((0..entries.len()).map(pair).collect())
        }
        DataType::Dictionary(_, _) => {
            let key = column.slice(row, 1).as_any_dictionary_opt().and_then(|one| one.normalized_keys().first().copied());
            match (column.as_any_dictionary_opt(), key) {
                (Some(column), Some(key)) if key < column.values().len() => cell_value(column.values(), key),
                _ => Value::Null,
            }
        }
        _ => formatted(column, row),
    }
}

/// Text in a column that the writer did not mark as text. Other bytes, such as a binary id, are formatted in hexadecimal.
fn bytes<'a>(column: &ArrayRef, row: usize, value: &'a [u8]) -> Value<'a> {
    let is_control = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t' | 0x1b);
    match std::str::from_utf8(value) {
        Ok(text) if !value.iter().any(is_control) => Value::Text(Cow::Borrowed(text)),
        _ => formatted(column, row),
    }
}

fn formatted<'a>(column: &ArrayRef, row: usize) -> Value<'a> {
    ArrayFormatter::try_new(column, &FormatOptions::default())
        .map_or(Value::Null, |formatter| Value::Text(Cow::Owned(formatter.value(row).to_string())))
}

fn list<'a>(items: &ArrayRef) -> Value<'a> {
    Value::List((0..items.len()).map(|index| cell_value(items, index).into_owned()).collect())
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, FixedSizeBinaryArray, LargeBinaryArray, LargeStringArray, StringArray, StringViewArray};
    use arrow::compute::cast;

    use super::*;

    fn text(text: &str) -> Value<'_> {
        Value::Text(Cow::Borrowed(text))
    }

    #[test]
    fn text_is_decoded_from_every_column_type() {
        let values = [Some("ünï"), None, Some("{\"a\": 1}\n")];
        let bytes: Vec<Option<&[u8]>> = values.iter().map(|value| value.map(str::as_bytes)).collect();
        let dictionary = |values: DataType| DataType::Dictionary(Box::new(DataType::Int16), Box::new(values));
        let strings: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(LargeStringArray::from(values.to_vec())),
            Arc::new(StringViewArray::from(values.to_vec())),
            Arc::new(BinaryArray::from(bytes.clone())),
            Arc::new(LargeBinaryArray::from(bytes.clone())),
            cast(&strings, &DataType::BinaryView).unwrap(),
            cast(&strings, &dictionary(DataType::Utf8)).unwrap(),
            cast(&strings, &dictionary(DataType::LargeUtf8)).unwrap(),
            cast(&strings, &dictionary(DataType::Binary)).unwrap(),
            strings,
        ];
        for column in columns {
            let found: Vec<Value<'_>> = (0..3).map(|row| cell_value(&column, row)).collect();
            assert_eq!(found, [text("ünï"), Value::Null, text("{\"a\": 1}\n")], "{}", column.data_type());
            // A slice of a column counts its rows from its own start.
            assert_eq!(cell_value(&column.slice(2, 1), 0), text("{\"a\": 1}\n"), "{}", column.data_type());
        }
    }

    #[test]
    fn fixed_size_bytes_are_text_or_hexadecimal() {
        let ids: [&[u8]; 2] = [b"4bf92f3577b34da6", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]];
        let column: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter(ids.into_iter()).unwrap());
        assert_eq!(cell_value(&column, 0), text("4bf92f3577b34da6"));
        assert_eq!(cell_value(&column, 1), text("000102030405060708090a0b0c0d0eff"));
    }
}
