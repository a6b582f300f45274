//! Printing: results to stdout, messages to stderr, hostile text made visible on both.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, WriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;

use super::exit::Failure;
use crate::model::visible;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RowFormat {
    /// For reading; long cells are cut.
    Table,
    /// One JSON array.
    Json,
    /// With a header; lists and structs as JSON.
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
    let _ = writeln!(stderr, "{start}error:{end} {}", visible(message));
}

/// Prints `note: …` beside the result.
pub(super) fn note(message: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "note: {}", visible(message));
}

/// Prints a line beside the result.
pub(super) fn plain(line: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", visible(line));
}

/// Prints rows as they come.
pub(super) async fn rows(mut rows: SendableRecordBatchStream, format: RowFormat) -> Result<(), Failure> {
    let schema = rows.schema();
    match format {
        RowFormat::Table => {
            let mut batches = Vec::new();
            let mut count = 0;
            while let Some(batch) = rows.next().await {
                let batch = batch.map_err(|error| Failure::failed(error.strip_backtrace()))?;
                count += batch.num_rows();
                batches.push(batch);
                if count > TABLE_ROWS_MAX {
                    break;
                }
            }
            if batches.is_empty() {
                batches.push(RecordBatch::new_empty(schema));
            }
            table(&batches)
        }
        RowFormat::Json => {
            let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(io::BufWriter::new(io::stdout().lock()));
            while let Some(batch) = rows.next().await {
                writer.write(&batch.map_err(|error| Failure::failed(error.strip_backtrace()))?).map_err(write_failed)?;
            }
            writer.finish().map_err(write_failed)?;
            writeln!(writer.into_inner()).map_err(Failure::from)
        }
        RowFormat::Csv => {
            let mut writer = csv::Writer::new(io::BufWriter::new(io::stdout().lock()));
            let mut any = false;
            while let Some(batch) = rows.next().await {
                any = true;
                writer
                    .write(&flat(&batch.map_err(|error| Failure::failed(error.strip_backtrace()))?).map_err(write_failed)?)
                    .map_err(write_failed)?;
            }
            if !any {
                writer.write(&flat(&RecordBatch::new_empty(schema)).map_err(write_failed)?).map_err(write_failed)?;
            }
            Ok(())
        }
        RowFormat::Parquet => {
            if io::stdout().is_terminal() {
                return Err(Failure::usage(
                    "a Parquet file is no text for a terminal\n  hint: failsift query … --format parquet > result.parquet",
                ));
            }
            let mut writer =
                ArrowWriter::try_new(io::BufWriter::new(io::stdout()), schema, None).map_err(|error| Failure::failed(error.to_string()))?;
            while let Some(batch) = rows.next().await {
                let batch = batch.map_err(|error| Failure::failed(error.strip_backtrace()))?;
                writer.write(&batch).map_err(|error| Failure::failed(error.to_string()))?;
            }
            writer.close().map(|_| ()).map_err(|error| Failure::failed(error.to_string()))
        }
    }
}

/// Rows that a table for reading shows; more belong into a file.
const TABLE_ROWS_MAX: usize = 10_000;

/// Prints batches as a table, and how many rows there are.
pub(super) fn table(batches: &[RecordBatch]) -> Result<(), Failure> {
    const CELL_CHARS_MAX: usize = 72;
    let shown: Vec<RecordBatch> =
        batches.iter().map(|batch| readable(batch, CELL_CHARS_MAX)).collect::<Result<_, _>>().map_err(write_failed)?;
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let text = pretty_format_batches(&shown).map_err(write_failed)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    let more = if count > TABLE_ROWS_MAX { " or more; --format json, csv or parquet gives all" } else { "" };
    writeln!(stdout, "{count} {}{more}", if count == 1 { "row" } else { "rows" })?;
    Ok(())
}

/// Every cell as visible text on one line, cut at `chars_max`.
fn readable(batch: &RecordBatch, chars_max: usize) -> Result<RecordBatch, ArrowError> {
    text_columns(
        batch,
        |_| true,
        |text| {
            let line = text.replace('\n', " ");
            let line = visible(&line);
            if line.chars().count() <= chars_max {
                return line.into_owned();
            }
            line.chars().take(chars_max - 1).chain(['…']).collect()
        },
    )
}

/// Lists and structs as JSON text, for formats that have none.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    text_columns(batch, DataType::is_nested, std::borrow::ToOwned::to_owned)
}

fn text_columns(batch: &RecordBatch, wanted: impl Fn(&DataType) -> bool, text: impl Fn(&str) -> String) -> Result<RecordBatch, ArrowError> {
    let options = FormatOptions::default().with_null("");
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if wanted(field.data_type()) {
            let formatter = ArrayFormatter::try_new(column, &options)?;
            let values = (0..batch.num_rows()).map(|row| text(&formatter.value(row).to_string()));
            columns.push(Arc::new(StringArray::from_iter_values(values)));
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        } else {
            columns.push(Arc::clone(column));
            fields.push(Arc::clone(field));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn write_failed(error: ArrowError) -> Failure {
    match error {
        ArrowError::IoError(_, error) => Failure::from(error),
        other => Failure::failed(other.to_string()),
    }
}
