//! Printing: results to stdout, messages to stderr. Control characters in either are escaped, because a terminal would
//! interpret them.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, WriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use serde_json::Map;
use tracing::Level;

use super::exit::Failure;
use super::log::{self, Stderr};
use crate::model::{escape_control_chars, is_unsafe_to_print, without_formula};
use crate::query::QueryError;

/// The output format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RowFormat {
    /// Human-readable table; long cells are truncated
    Table,
    /// One JSON array
    Json,
    /// CSV with a header; lists and structs as text, and an apostrophe before cells that a spreadsheet would evaluate as a formula
    Csv,
    /// A Parquet file
    Parquet,
}

/// Prints `error: …` with its hints, to stderr. Prints nothing for an empty message.
pub(super) fn error(message: &str) {
    if message.is_empty() {
        return;
    }
    if log::is_json() {
        return log::json_line(Level::ERROR, message, Map::new());
    }
    let mut stderr = Stderr;
    let (start, end) =
        if io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    // A closed stderr is not an error.
    let _ = writeln!(stderr, "{start}error:{end} {}", escape_control_chars(message));
}

/// Prints `note: …` to stderr.
pub(super) fn note(message: &str) {
    if log::is_json() {
        return log::json_line(Level::INFO, message, Map::new());
    }
    // A closed stderr is not an error.
    let _ = writeln!(Stderr, "note: {}", escape_control_chars(message));
}

/// Prints a line to stderr.
pub(super) fn plain(line: &str) {
    if log::is_json() {
        return log::json_line(Level::INFO, line, Map::new());
    }
    // A closed stderr is not an error.
    let _ = writeln!(Stderr, "{}", escape_control_chars(line));
}

/// Prints rows as they arrive.
pub(super) async fn rows(rows: SendableRecordBatchStream, format: RowFormat) -> Result<(), Failure> {
    match format {
        RowFormat::Table => table(rows).await,
        RowFormat::Json => json(rows).await,
        RowFormat::Csv => csv_rows(rows).await,
        RowFormat::Parquet => parquet(rows).await,
    }
}

async fn next(rows: &mut SendableRecordBatchStream) -> Result<Option<RecordBatch>, Failure> {
    rows.next().await.transpose().map_err(|error| match QueryError::from(error) {
        // The query itself is valid: reading data or computing a value failed.
        QueryError::Sql(reason) => Failure::failed(reason),
        other => other.into(),
    })
}

/// Rows that a table shows at most.
const TABLE_ROWS_MAX: usize = 10_000;

/// Prints a table and the number of rows. Keeps only the visible part of long cells in memory.
async fn table(mut rows: SendableRecordBatchStream) -> Result<(), Failure> {
    let mut shown = Vec::new();
    let mut count = 0;
    while let Some(batch) = next(&mut rows).await? {
        count += batch.num_rows();
        shown.push(table_cells(&batch).map_err(write_failed)?);
        if count > TABLE_ROWS_MAX {
            break;
        }
    }
    if shown.is_empty() {
        shown.push(table_cells(&RecordBatch::new_empty(rows.schema())).map_err(write_failed)?);
    }
    let text = pretty_format_batches(&shown).map_err(write_failed)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    let more = if count > TABLE_ROWS_MAX { " or more; use --format json, csv or parquet for all rows" } else { "" };
    writeln!(stdout, "{count} {}{more}", if count == 1 { "row" } else { "rows" })?;
    Ok(())
}

async fn json(mut rows: SendableRecordBatchStream) -> Result<(), Failure> {
    let stdout = JsonEscaping::new(io::BufWriter::new(io::stdout().lock()));
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(stdout);
    while let Some(batch) = next(&mut rows).await? {
        writer.write(&batch).map_err(write_failed)?;
    }
    writer.finish().map_err(write_failed)?;
    let mut stdout = writer.into_inner();
    writeln!(stdout)?;
    stdout.flush().map_err(Failure::from)
}

async fn csv_rows(mut rows: SendableRecordBatchStream) -> Result<(), Failure> {
    let mut writer = csv::Writer::new(io::BufWriter::new(io::stdout().lock()));
    let mut any = false;
    while let Some(batch) = next(&mut rows).await? {
        any = true;
        writer.write(&csv_cells(&batch).map_err(write_failed)?).map_err(write_failed)?;
    }
    if !any {
        let empty = RecordBatch::new_empty(rows.schema());
        writer.write(&csv_cells(&empty).map_err(write_failed)?).map_err(write_failed)?;
    }
    Ok(())
}

async fn parquet(mut rows: SendableRecordBatchStream) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::usage(
            "cannot print a Parquet file to a terminal\n  hint: redirect it: failsift query … --format parquet > result.parquet",
        ));
    }
    let failed = |error: ParquetError| Failure::failed(error.to_string());
    let mut writer = ArrowWriter::try_new(io::BufWriter::new(io::stdout()), rows.schema(), None).map_err(failed)?;
    while let Some(batch) = next(&mut rows).await? {
        writer.write(&batch).map_err(failed)?;
    }
    writer.close().map(|_| ()).map_err(failed)
}

/// Every cell as one line of escaped text, truncated to the width of a table cell.
fn table_cells(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    const CELL_CHARS_MAX: usize = 72;
    let shown = |text: &str| {
        let line = text.replace('\n', " ");
        let line = escape_control_chars(&line);
        if line.chars().count() <= CELL_CHARS_MAX {
            return line.into_owned();
        }
        line.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect()
    };
    text_columns(batch, |_| true, shown)
}

/// Texts are escaped for spreadsheets and terminals. Lists and structs become text, because CSV has no such types.
fn csv_cells(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let is_text = |kind: &DataType| {
        let plain = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        kind.is_nested() || plain(kind) || matches!(kind, DataType::Dictionary(_, values) if plain(values))
    };
    text_columns(batch, is_text, |text| escape_control_chars(&without_formula(text)).into_owned())
}

fn text_columns(batch: &RecordBatch, wanted: impl Fn(&DataType) -> bool, text: impl Fn(&str) -> String) -> Result<RecordBatch, ArrowError> {
    let options = FormatOptions::default().with_null("");
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let name = text(field.name());
        if wanted(field.data_type()) {
            let formatter = ArrayFormatter::try_new(column, &options)?;
            // Nulls are shown as empty cells.
            let values = (0..batch.num_rows()).map(|row| text(&formatter.value(row).to_string()));
            columns.push(Arc::new(StringArray::from_iter_values(values)));
            fields.push(Field::new(name, DataType::Utf8, true));
        } else {
            columns.push(Arc::clone(column));
            fields.push(field.as_ref().clone().with_name(name));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

/// Writes JSON, with characters that a terminal would interpret or hide as `\\u` escapes. They occur in strings only, so the data are unchanged.
struct JsonEscaping<W> {
    out: W,
    /// The first bytes of a character whose rest arrives with the next write.
    partial: Vec<u8>,
}

impl<W: Write> JsonEscaping<W> {
    fn new(out: W) -> Self {
        Self { out, partial: Vec::new() }
    }

    fn write_text(&mut self, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some((at, found)) = rest.char_indices().find(|(_, c)| !c.is_ascii_control() && is_unsafe_to_print(*c) || *c == '\u{7f}') {
            let (before, from) = rest.split_at(at);
            self.out.write_all(before.as_bytes())?;
            for unit in found.encode_utf16(&mut [0; 2]) {
                write!(self.out, "\\u{unit:04x}")?;
            }
            rest = from.strip_prefix(found).unwrap_or_default();
        }
        self.out.write_all(rest.as_bytes())
    }
}

impl<W: Write> Write for JsonEscaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len();
        self.partial.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.partial);
        for chunk in bytes.utf8_chunks() {
            self.write_text(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                self.partial = chunk.invalid().to_vec();
            }
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Escapes JSON as [`JsonEscaping`] does.
pub(super) fn escaped_json(json: &str) -> String {
    let mut escaping = JsonEscaping::new(Vec::with_capacity(json.len()));
    // Writing to memory cannot fail.
    let _ = escaping.write_text(json);
    String::from_utf8(escaping.out).unwrap_or_default()
}

fn write_failed(error: ArrowError) -> Failure {
    match error {
        ArrowError::IoError(_, error) => Failure::from(error),
        other => Failure::failed(other.to_string()),
    }
}

/// A text of several lines, such as a reason with its hint, whose further lines are indented by `columns`. Control characters are escaped, and
/// no line can look like the next entry of a list.
pub(super) fn indented(text: &str, columns: usize) -> String {
    let lines: Vec<String> = text.lines().map(|line| escape_control_chars(line).into_owned()).collect();
    lines.join(&format!("\n{:columns$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_lines_of_a_reason_are_indented_and_escaped() {
        let reason = "cannot read a.jsonl: it failed\n  hint: try \u{1b}[31mred";
        assert_eq!(indented(reason, 4), "cannot read a.jsonl: it failed\n      hint: try \\u{1b}[31mred");
    }

    #[test]
    fn escaped_json_is_the_same_data_without_control_characters() {
        let text = "a\u{9b}31m\u{202e}b\u{e0041}c\u{7f}é\u{1f600}";
        let json = serde_json::to_string(text).unwrap();
        let escaped = escaped_json(&json);
        assert!(!escaped.contains(['\u{9b}', '\u{202e}', '\u{e0041}', '\u{7f}']) && escaped.contains("é"), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        // Also if a character arrives in parts.
        let mut parts = JsonEscaping::new(Vec::new());
        json.as_bytes().chunks(1).for_each(|byte| parts.write_all(byte).unwrap());
        assert_eq!(String::from_utf8(parts.out).unwrap(), escaped);
    }
}
