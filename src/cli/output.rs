//! Printing: results to stdout, messages to stderr, hostile text made visible on both.

use std::borrow::Cow;
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

use super::exit::Failure;
use crate::model::{escape_control_chars, is_unsafe_to_print};
use crate::query::QueryError;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RowFormat {
    /// For reading; long cells are cut.
    Table,
    /// One JSON array.
    Json,
    /// With a header; lists and structs as text, and an apostrophe before what a spreadsheet would take for a formula.
    Csv,
    /// A Parquet file.
    Parquet,
}

/// Prints `error: …` with its hints; says nothing for an empty message.
pub(super) fn error(message: &str) {
    if message.is_empty() {
        return;
    }
    let mut stderr = io::stderr().lock();
    let (start, end) = if stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(stderr, "{start}error:{end} {}", escape_control_chars(message));
}

/// Prints `note: …` beside the result.
pub(super) fn note(message: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "note: {}", escape_control_chars(message));
}

/// Prints a line beside the result.
pub(super) fn plain(line: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", escape_control_chars(line));
}

/// Prints rows as they come.
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
        // The query was understood; what fails is what it reads, or a value.
        QueryError::Sql(reason) => Failure::failed(reason),
        other => other.into(),
    })
}

/// Rows that a table for reading shows; more belong into a file.
const TABLE_ROWS_MAX: usize = 10_000;

/// Prints a table, and how many rows there are. Of long cells only what is shown is kept.
async fn table(mut rows: SendableRecordBatchStream) -> Result<(), Failure> {
    let mut shown = Vec::new();
    let mut count = 0;
    while let Some(batch) = next(&mut rows).await? {
        count += batch.num_rows();
        shown.push(readable(&batch).map_err(write_failed)?);
        if count > TABLE_ROWS_MAX {
            break;
        }
    }
    if shown.is_empty() {
        shown.push(readable(&RecordBatch::new_empty(rows.schema())).map_err(write_failed)?);
    }
    let text = pretty_format_batches(&shown).map_err(write_failed)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    let more = if count > TABLE_ROWS_MAX { " or more; --format json, csv or parquet gives all" } else { "" };
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
        writer.write(&for_csv(&batch).map_err(write_failed)?).map_err(write_failed)?;
    }
    if !any {
        let empty = RecordBatch::new_empty(rows.schema());
        writer.write(&for_csv(&empty).map_err(write_failed)?).map_err(write_failed)?;
    }
    Ok(())
}

async fn parquet(mut rows: SendableRecordBatchStream) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::usage("a Parquet file is no text for a terminal\n  hint: failsift query … --format parquet > result.parquet"));
    }
    let failed = |error: ParquetError| Failure::failed(error.to_string());
    let mut writer = ArrowWriter::try_new(io::BufWriter::new(io::stdout()), rows.schema(), None).map_err(failed)?;
    while let Some(batch) = next(&mut rows).await? {
        writer.write(&batch).map_err(failed)?;
    }
    writer.close().map(|_| ()).map_err(failed)
}

/// Every cell as visible text on one line, cut to what fits into a table.
fn readable(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
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

/// Texts as cells that no spreadsheet takes for a formula and no terminal obeys, and lists and structs as text too, for CSV has none.
fn for_csv(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let is_text = |kind: &DataType| {
        let plain = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        kind.is_nested() || plain(kind) || matches!(kind, DataType::Dictionary(_, values) if plain(values))
    };
    text_columns(batch, is_text, |text| escape_control_chars(&without_formula(text)).into_owned())
}

/// A cell with which a spreadsheet would compute gets an apostrophe at its start, which makes it text there (OWASP, "CSV Injection").
/// Numbers stay numbers.
fn without_formula(cell: &str) -> Cow<'_, str> {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    if is_formula && cell.parse::<f64>().is_err() { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

fn text_columns(batch: &RecordBatch, wanted: impl Fn(&DataType) -> bool, text: impl Fn(&str) -> String) -> Result<RecordBatch, ArrowError> {
    let options = FormatOptions::default().with_null("");
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let name = text(field.name());
        if wanted(field.data_type()) {
            let formatter = ArrayFormatter::try_new(column, &options)?;
            // No cell and an empty one are the same to whoever reads.
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

/// JSON as it is written, with what a terminal would obey or hide as escapes of JSON. Such characters stand only inside of strings, so the
/// data are the same.
struct JsonEscaping<W> {
    out: W,
    /// The begin of a character of which the rest comes with the next bytes.
    begun: Vec<u8>,
}

impl<W: Write> JsonEscaping<W> {
    fn new(out: W) -> Self {
        Self { out, begun: Vec::new() }
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
        self.begun.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.begun);
        for chunk in bytes.utf8_chunks() {
            self.write_text(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                self.begun = chunk.invalid().to_vec();
            }
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// JSON in one text, as [`JsonEscaping`] writes it.
pub(super) fn escaped_json(json: &str) -> String {
    let mut escaping = JsonEscaping::new(Vec::with_capacity(json.len()));
    // Nothing fails that goes to memory.
    let _ = escaping.write_text(json);
    String::from_utf8(escaping.out).unwrap_or_default()
}

fn write_failed(error: ArrowError) -> Failure {
    match error {
        ArrowError::IoError(_, error) => Failure::from(error),
        other => Failure::failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_becomes_text_and_a_number_stays_one() {
        for formula in ["=cmd()", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "\u{ff1d}1"] {
            assert_eq!(without_formula(formula), format!("'{formula}"));
        }
        for plain in ["", "-5", "+3.5", "-1e9", "a=b", "'=x", " =1"] {
            assert_eq!(without_formula(plain), plain);
        }
    }

    #[test]
    fn json_is_the_same_data_and_no_terminal_obeys_it() {
        let text = "a\u{9b}31m\u{202e}b\u{e0041}c\u{7f}é\u{1f600}";
        let json = serde_json::to_string(text).unwrap();
        let escaped = escaped_json(&json);
        assert!(!escaped.contains(['\u{9b}', '\u{202e}', '\u{e0041}', '\u{7f}']) && escaped.contains("é"), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        // Also where a character comes in two parts.
        let mut parts = JsonEscaping::new(Vec::new());
        json.as_bytes().chunks(1).for_each(|byte| parts.write_all(byte).unwrap());
        assert_eq!(String::from_utf8(parts.out).unwrap(), escaped);
    }
}
