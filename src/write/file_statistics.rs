//! Statistics of a data file, as the transaction log records them: readers skip files by them.

use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

/// Delta's statistics of a file, for the columns that queries filter by.
///
/// Format: <https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics>. Bounds of texts may be
/// truncated, and are bounds nevertheless.
pub(super) fn statistics(metadata: &ParquetMetaData) -> Value {
    const COLUMNS: [&str; 12] = [
        "trace_id",
        "trace_ref",
        "category",
        "contributing_factor",
        "service",
        "fingerprint",
        "kind",
        "run_id",
        "trace_started_at",
        "extracted_at",
        "occurred_at",
        "started_at",
    ];
    let (mut min_values, mut max_values, mut null_count) = (Map::new(), Map::new(), Map::new());
    let descriptions = metadata.file_metadata().schema_descr().columns();
    for (index, description) in descriptions.iter().enumerate().filter(|(_, column)| COLUMNS.contains(&column.name())) {
        if description.path().parts().len() != 1 {
            continue;
        }
        let chunks = || metadata.row_groups().iter().filter_map(|group| group.columns().get(index)?.statistics());
        let complete = chunks().count() == metadata.row_groups().len();
        if !complete {
            continue;
        }
        null_count.insert(description.name().to_owned(), json!(chunks().filter_map(Statistics::null_count_opt).sum::<u64>()));
        let bounds: Option<Vec<(Value, Value)>> = chunks().filter(|chunk| chunk.min_bytes_opt().is_some()).map(bounds).collect();
        let by_text = |left: &Value, right: &Value| left.as_str().unwrap_or_default().cmp(right.as_str().unwrap_or_default());
        let Some(bounds) = bounds else { continue };
        let (lower, upper): (Vec<Value>, Vec<Value>) = bounds.into_iter().unzip();
        if let (Some(lower), Some(upper)) = (lower.into_iter().min_by(by_text), upper.into_iter().max_by(by_text)) {
            min_values.insert(description.name().to_owned(), lower);
            max_values.insert(description.name().to_owned(), upper);
        }
    }
    json!({
        "numRecords": metadata.file_metadata().num_rows(),
        "minValues": min_values, "maxValues": max_values, "nullCount": null_count,
    })
}

/// Bounds of a column in one row group, as Delta writes them. Texts and times both compare as texts.
fn bounds(statistics: &Statistics) -> Option<(Value, Value)> {
    match statistics {
        Statistics::ByteArray(bounds) => {
            let text = |bytes: Option<&parquet::data_type::ByteArray>| Some(Value::from(std::str::from_utf8(bytes?.data()).ok()?));
            text(bounds.min_opt()).zip(text(bounds.max_opt()))
        }
        Statistics::Int64(bounds) => {
            // Delta compares times in milliseconds, so the bounds are widened to whole ones.
            let time = |micros: i64| {
                let time = chrono::DateTime::from_timestamp_millis(micros)?;
                Some(Value::from(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)))
            };
            time(bounds.min_opt()?.div_euclid(1_000)).zip(time(bounds.max_opt()?.div_euclid(1_000) + 1))
        }
        _ => None,
    }
}
