//! Reads CSV with a header into batches of text columns. Quoting follows RFC 4180.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tokio_util::sync::CancellationToken;

use super::{Chunk, Completion, Position, ReadOptions, Rows, read_failed, rejected, too_many_columns};
use crate::limits::{CHUNK_BYTES, PARQUET_BATCH_ROWS, TABLE_COLUMNS_MAX};
use crate::model::{Outcome, Rejection, RejectionKind, Stage};
use crate::store::Object;

/// Whether the first line is a CSV header: at least three names of plain words.
pub(super) fn has_header(text: &[u8]) -> bool {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_name = |name: &[u8]| {
        let name = name.trim_ascii();
        let name = name.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(name);
        !name.is_empty()
            && !name.first().is_some_and(u8::is_ascii_digit)
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b' '))
    };
    line.split(|byte| *byte == b',').count() >= 3 && line.split(|byte| *byte == b',').all(is_name)
}

/// See [`super::Split`].
pub(super) fn split(
    source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    let bytes_left = Arc::new(AtomicU64::new(0));
    let reset_limit = || bytes_left.store(options.record_bytes_max as u64 + READ_AHEAD_BYTES, Ordering::Relaxed);
    reset_limit();
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(RowLimit { source, bytes_left: Arc::clone(&bytes_left) });
    let schema = match reader.byte_headers() {
        Ok(names) if names.len() > TABLE_COLUMNS_MAX => return Completion::complete_if(emit(Err(too_many_columns(object, names.len())))),
        Ok(names) => schema(names),
        Err(error) => {
            if !shutdown.is_cancelled() {
                emit(Err(csv_error(object, 1, error, options)));
            }
            return Completion::Incomplete;
        }
    };
    let mut rows = Columns::new(schema);
    let mut record = csv::ByteRecord::new();
    let mut next_row: u64 = 0;
    loop {
        if shutdown.is_cancelled() {
            return Completion::Incomplete;
        }
        reset_limit();
        match reader.read_byte_record(&mut record) {
            Ok(true) if record.len() == rows.builders.len() => rows.add(&record),
            Ok(true) => {
                // The rows before must be emitted first, because a batch has consecutive row numbers.
                let invalid_row = next_row + rows.len as u64;
                if !rows.flush(object, &mut next_row, emit)
                    || !emit(Err(wrong_cell_count(object, invalid_row, record.len(), rows.builders.len())))
                {
                    return Completion::Incomplete;
                }
                next_row += 1;
            }
            Ok(false) => return Completion::complete_if(rows.flush(object, &mut next_row, emit)),
            Err(error) => {
                let line = error.position().map_or_else(|| reader.position().line(), csv::Position::line);
                if rows.flush(object, &mut next_row, emit) && !shutdown.is_cancelled() {
                    emit(Err(csv_error(object, line, error, options)));
                }
                return Completion::Incomplete;
            }
        }
        let full = rows.len >= PARQUET_BATCH_ROWS || rows.bytes >= CHUNK_BYTES;
        if full && !rows.flush(object, &mut next_row, emit) {
            return Completion::Incomplete;
        }
    }
}

fn schema(names: &csv::ByteRecord) -> SchemaRef {
    let field = |name: &[u8]| Field::new(String::from_utf8_lossy(name).trim_start_matches('\u{feff}').trim(), DataType::Utf8, true);
    Arc::new(Schema::new(names.iter().map(field).collect::<Vec<_>>()))
}

/// Rows that are not emitted yet.
struct Columns {
    schema: SchemaRef,
    builders: Vec<StringBuilder>,
    len: usize,
    bytes: usize,
}

impl Columns {
    fn new(schema: SchemaRef) -> Self {
        let builders = schema.fields().iter().map(|_| StringBuilder::with_capacity(0, 0)).collect();
        Self { schema, builders, len: 0, bytes: 0 }
    }

    fn add(&mut self, record: &csv::ByteRecord) {
        for (builder, cell) in self.builders.iter_mut().zip(record) {
            // CSV has no null, so an empty cell is null.
            if cell.is_empty() {
                builder.append_null();
            } else {
                builder.append_value(String::from_utf8_lossy(cell));
            }
            self.bytes += cell.len();
        }
        self.len += 1;
    }

    fn flush(&mut self, object: &Arc<Object>, next_row: &mut u64, emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        if self.len == 0 {
            return true;
        }
        let columns: Vec<ArrayRef> = self.builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
        let first_row = *next_row;
        *next_row += self.len as u64;
        (self.len, self.bytes) = (0, 0);
        match RecordBatch::try_new(Arc::clone(&self.schema), columns) {
            Ok(batch) => emit(Ok(Chunk::Rows(Rows { object: Arc::clone(object), batch, first_row }))),
            Err(error) => {
                let uri = &object.uri;
                let reason = format!("cannot read {uri}: invalid table: {error}");
                emit(Err(Rejection::at_location(uri, uri, Stage::Read, RejectionKind::MalformedRecord, reason)))
            }
        }
    }
}

fn wrong_cell_count(object: &Object, row: u64, found: usize, expected: usize) -> Rejection {
    let cells = if found == 1 { "1 cell".to_owned() } else { format!("{found} cells") };
    let cause = format!("the row has {cells}, the header has {expected}\n  hint: check the quotation marks of this row");
    rejected(object, Position::Row(row), RejectionKind::MalformedRecord, &cause)
}

fn csv_error(object: &Object, line: u64, error: csv::Error, options: &ReadOptions) -> Rejection {
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            let uri = &object.uri;
            let reason = format!(
                "cannot read {uri} from line {line}: a row is longer than {} bytes\n  hint: check the quotation marks of this row, or raise --max-record-bytes",
                options.record_bytes_max
            );
            Rejection::at_location(format_args!("{uri}#L{line}"), uri, Stage::Read, RejectionKind::Oversize, reason)
        }
        csv::ErrorKind::Io(error) => read_failed(object, line, &error),
        other => read_failed(object, line, &std::io::Error::other(description(&other))),
    }
}

fn description(kind: &csv::ErrorKind) -> String {
    match kind {
        csv::ErrorKind::Utf8 { .. } => "a cell is not valid UTF-8".to_owned(),
        _ => "invalid CSV".to_owned(),
    }
}

/// Bytes that the CSV reader may buffer beyond the current row.
const READ_AHEAD_BYTES: u64 = 64 * 1024;

/// Fails if a single row is too long: an unclosed quotation mark would read the rest of the object into memory.
struct RowLimit<R> {
    source: R,
    bytes_left: Arc<AtomicU64>,
}

impl<R: Read> Read for RowLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buffer)?;
        let left = self.bytes_left.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(read as u64) else { return Err(std::io::ErrorKind::FileTooLarge.into()) };
        self.bytes_left.store(left, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;
    use crate::read::tests::{Steps, object};

    fn split_all(text: &str, record_bytes_max: usize) -> (Vec<(u64, String)>, Vec<String>) {
        let (mut found, mut rejected) = (Vec::new(), Vec::new());
        split(
            Box::new(Steps(text.as_bytes().to_vec(), 7_000)),
            &object(),
            &ReadOptions { record_bytes_max },
            &CancellationToken::new(),
            &mut |item| {
                match item {
                    Ok(Chunk::Rows(rows)) => {
                        let last = rows.batch.column(rows.batch.num_columns() - 1).as_string::<i32>();
                        found.extend((rows.first_row..).zip(last.iter().map(|cell| cell.unwrap_or("-").to_owned())));
                    }
                    Ok(_) => unreachable!(),
                    Err(rejection) => rejected.push(format!("{} {}", rejection.trace_ref, rejection.kind.as_str())),
                }
                true
            },
        );
        (found, rejected)
    }

    #[test]
    fn quoted_cells_may_contain_anything_and_a_row_with_missing_cells_is_rejected() {
        let text = "a,b,c\n1,2,\"x\"\"y\n,z\"\n1,2\n1,2,\n";
        let (found, rejected) = split_all(text, 1_000);
        assert_eq!(found, [(0, "x\"y\n,z".to_owned()), (2, "-".to_owned())]);
        assert_eq!(rejected, ["a#row=1 malformed_record"]);
    }

    #[test]
    fn an_unclosed_quotation_mark_does_not_read_the_rest_into_memory() {
        let text = format!("a,b,c\n1,2,ok\n1,2,\"{}", "x".repeat(1_000_000));
        let (found, rejected) = split_all(&text, 10_000);
        assert_eq!(found, [(0, "ok".to_owned())]);
        assert_eq!(rejected, ["a#L3 oversize"]);
    }

    #[test]
    fn headers_are_distinguished_from_other_text() {
        assert!(has_header(b"id,trace_id,start_time\n") && has_header(b"\"id\",\"a b\",x.y\r\n"));
        assert!(!has_header(b"id\n") && !has_header(b"well, this is text, and 2 lines: of it\n") && !has_header(b"1,2,3\n"));
    }
}
