//! Reads the rows of a Parquet file, one row group at a time.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Fields, Schema};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::StreamExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use tokio_util::sync::CancellationToken;

use super::{
    Chunk, Completion, Emit, Position, ReadCounts, ReadOptions, ReadTask, Rows, read_failed, rejected, spool, too_long, too_many_columns,
};
use crate::limits::{
    CHUNK_BYTES, DECOMPRESSION_CHECK_BYTES_MIN, DECOMPRESSION_RATIO_MAX, PARQUET_BATCH_ROWS, PARQUET_FOOTER_BYTES, TABLE_COLUMNS_MAX,
};
use crate::model::{Outcome, OutcomeStream, Rejection, RejectionKind, Stage};
use crate::store::{Object, ObjectReader};

/// The first bytes of a Parquet file.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// The rows of an object whose byte ranges can be read. A page that cannot be read is a rejection and ends the object; the rows before it are
/// kept.
pub(super) fn rows(task: ReadTask) -> OutcomeStream<Chunk> {
    async_stream::stream! {
        let ReadTask { object, options, counts, shutdown, is_complete, .. } = task;
        let reader = ObjectReader::new(Arc::clone(&object));
        let mut chunker = RowChunker::new(&object, reader.size(), options.record_bytes_max);
        let opened = open(CountingReader { reader, counts }).await;
        let mut batches = match opened {
            Ok(batches) => batches,
            Err(error) => {
                yield Err(error.rejection(&object));
                return;
            }
        };
        while let Some(batch) = batches.next().await {
            if shutdown.is_cancelled() {
                return;
            }
            match batch {
                Ok(batch) => {
                    for chunk in chunker.split(&batch) {
                        yield chunk;
                    }
                    if chunker.exceeds_ratio() {
                        yield Err(chunker.ratio_exceeded());
                        return;
                    }
                }
                Err(error) => {
                    yield Err(corrupt(&object, chunker.next_row, &error));
                    return;
                }
            }
        }
        is_complete.store(true, Ordering::Release);
    }
    .boxed()
}

/// The rows of a Parquet file whose byte ranges cannot be read, because it comes from a pipe or a web server or is compressed. It is copied
/// to an unnamed temporary file.
pub(super) fn rows_of_stream(
    source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: Emit<'_>,
) -> Completion {
    let file = match spool(source) {
        Ok(file) => file,
        Err(error) => {
            if !shutdown.is_cancelled() {
                emit(Err(read_failed(object, 1, &error)));
            }
            return Completion::Incomplete;
        }
    };
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    let mut chunker = RowChunker::new(object, bytes, options.record_bytes_max);
    let batches = match open_file(file) {
        Ok(batches) => batches,
        Err(error) => {
            emit(Err(error.rejection(object)));
            return Completion::Incomplete;
        }
    };
    for batch in batches {
        if shutdown.is_cancelled() {
            return Completion::Incomplete;
        }
        match batch {
            Ok(batch) => {
                if !chunker.split(&batch).into_iter().all(&mut *emit) {
                    return Completion::Incomplete;
                }
                if chunker.exceeds_ratio() {
                    emit(Err(chunker.ratio_exceeded()));
                    return Completion::Incomplete;
                }
            }
            Err(error) => {
                emit(Err(corrupt(object, chunker.next_row, &error)));
                return Completion::Incomplete;
            }
        }
    }
    Completion::Complete
}

/// Why a file cannot be opened.
enum OpenError {
    Parquet(ParquetError),
    TooWide(usize),
}

impl From<ParquetError> for OpenError {
    fn from(error: ParquetError) -> Self {
        Self::Parquet(error)
    }
}

impl OpenError {
    fn rejection(&self, object: &Object) -> Rejection {
        match self {
            Self::Parquet(error) => corrupt(object, 0, error),
            Self::TooWide(columns) => too_many_columns(object, *columns),
        }
    }
}

async fn open(mut reader: CountingReader) -> Result<ParquetRecordBatchStream<CountingReader>, OpenError> {
    let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await?;
    let (metadata, rows) = (with_view_types(&metadata)?, batch_rows(metadata.metadata()));
    Ok(ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata).with_batch_size(rows).build()?)
}

fn open_file(file: File) -> Result<ParquetRecordBatchReader, OpenError> {
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
    let (metadata, rows) = (with_view_types(&metadata)?, batch_rows(metadata.metadata()));
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata).with_batch_size(rows).build()?)
}

/// Rows per batch: as many as have the size of some chunks on average. Just one if the data is compressed so well that a single row may be
/// most of it.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    const CHUNKS: usize = 4;
    const COMPRESSION_RATIO_MAX: u64 = 50;
    let rows_of_group = |group: &RowGroupMetaData| {
        let sum = |bytes: fn(&ColumnChunkMetaData) -> i64| {
            group.columns().iter().map(|column| u64::try_from(bytes(column)).unwrap_or(0)).sum::<u64>()
        };
        let (bytes, compressed_bytes) = (sum(ColumnChunkMetaData::uncompressed_size), sum(ColumnChunkMetaData::compressed_size));
        if bytes / compressed_bytes.max(1) > COMPRESSION_RATIO_MAX {
            return 1;
        }
        let row_bytes = bytes / u64::try_from(group.num_rows()).unwrap_or(0).max(1);
        CHUNKS * CHUNK_BYTES / usize::try_from(row_bytes).unwrap_or(usize::MAX).max(1)
    };
    metadata.row_groups().iter().map(rows_of_group).min().unwrap_or(PARQUET_BATCH_ROWS).clamp(1, PARQUET_BATCH_ROWS)
}

/// Reads text columns as views, which share the values of a dictionary. A page of a few kilobytes may refer to a value of a megabyte a million
/// times.
fn with_view_types(metadata: &ArrowReaderMetadata) -> Result<ArrowReaderMetadata, OpenError> {
    let leaves = metadata.metadata().file_metadata().schema_descr().num_columns();
    if leaves > TABLE_COLUMNS_MAX {
        return Err(OpenError::TooWide(leaves));
    }
    let schema = metadata.schema();
    let fields: Vec<FieldRef> = schema.fields().iter().map(as_view).collect();
    if fields.iter().eq(schema.fields().iter()) {
        return Ok(metadata.clone());
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    Ok(ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)?)
}

fn as_view(field: &FieldRef) -> FieldRef {
    let inside = |fields: &Fields| fields.iter().map(as_view).collect::<Fields>();
    let kind = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::List(item) => DataType::List(as_view(item)),
        DataType::LargeList(item) => DataType::LargeList(as_view(item)),
        DataType::Struct(fields) => DataType::Struct(inside(fields)),
        DataType::Map(entries, sorted) => DataType::Map(as_view(entries), *sorted),
        _ => return Arc::clone(field),
    };
    Arc::new(field.as_ref().clone().with_data_type(kind))
}

/// Splits batches into chunks of bounded size. Values that rows share count once per row.
struct RowChunker {
    object: Arc<Object>,
    object_bytes: u64,
    record_bytes_max: usize,
    next_row: u64,
    bytes: u64,
}

impl RowChunker {
    fn new(object: &Arc<Object>, object_bytes: u64, record_bytes_max: usize) -> Self {
        Self { object: Arc::clone(object), object_bytes, record_bytes_max, next_row: 0, bytes: 0 }
    }

    /// Splits a batch. A row over the size limit becomes a rejection.
    fn split(&mut self, batch: &RecordBatch) -> Vec<Outcome<Chunk>> {
        let sizes = row_bytes(batch);
        let mut chunks = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (row, size) in sizes.iter().copied().enumerate() {
            self.bytes = self.bytes.saturating_add(size as u64);
            let is_oversize = size > self.record_bytes_max;
            if row > start && (is_oversize || bytes + size > CHUNK_BYTES) {
                chunks.push(Ok(self.rows(batch, start..row)));
                (start, bytes) = (row, 0);
            }
            if is_oversize {
                let position = Position::Row(self.next_row + row as u64);
                chunks.push(Err(rejected(&self.object, position, RejectionKind::Oversize, &too_long(self.record_bytes_max))));
                start = row + 1;
            } else {
                bytes += size;
            }
        }
        if start < batch.num_rows() {
            chunks.push(Ok(self.rows(batch, start..batch.num_rows())));
        }
        self.next_row += batch.num_rows() as u64;
        chunks
    }

    fn rows(&self, batch: &RecordBatch, rows: Range<usize>) -> Chunk {
        let first_row = self.next_row + rows.start as u64;
        Chunk::Rows(Rows { object: Arc::clone(&self.object), batch: batch.slice(rows.start, rows.len()), first_row })
    }

    /// Whether the rows read so far are many times larger than the whole object.
    fn exceeds_ratio(&self) -> bool {
        self.bytes > DECOMPRESSION_CHECK_BYTES_MIN && self.bytes / self.object_bytes.max(1) > DECOMPRESSION_RATIO_MAX
    }

    fn ratio_exceeded(&self) -> Rejection {
        let uri = &self.object.uri;
        let reason = format!(
            "cannot read {uri} from row {}: its rows are more than {DECOMPRESSION_RATIO_MAX} times the size of the file\n  hint: the rows before it were read; write the file again with less compression if its content is expected",
            self.next_row
        );
        Rejection::at_location(format_args!("{uri}#row={}", self.next_row), uri, Stage::Read, RejectionKind::CorruptCompression, reason)
    }
}

/// The size of the values of each row in bytes.
fn row_bytes(batch: &RecordBatch) -> Vec<usize> {
    let mut sizes = vec![0_usize; batch.num_rows()];
    for column in batch.columns() {
        for (row, size) in sizes.iter_mut().enumerate() {
            *size = size.saturating_add(cell_bytes(column, row));
        }
    }
    sizes
}

fn cell_bytes(column: &ArrayRef, row: usize) -> usize {
    if column.is_null(row) {
        return 0;
    }
    // A null item needs memory, too.
    let all = |items: &ArrayRef| (0..items.len()).map(|item| 8 + cell_bytes(items, item)).fold(0, usize::saturating_add);
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().value(row).len(),
        DataType::BinaryView => column.as_binary_view().value(row).len(),
        DataType::Utf8 => column.as_string::<i32>().value(row).len(),
        DataType::Binary => column.as_binary::<i32>().value(row).len(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).len(),
        DataType::LargeBinary => column.as_binary::<i64>().value(row).len(),
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or(0),
        DataType::List(_) => all(&column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => all(&column.as_list::<i64>().value(row)),
        DataType::FixedSizeList(_, _) => all(&column.as_fixed_size_list().value(row)),
        DataType::Map(_, _) => column.as_map().value(row).columns().iter().map(all).fold(0, usize::saturating_add),
        DataType::Struct(_) => column.as_struct().columns().iter().map(|values| cell_bytes(values, row)).fold(0, usize::saturating_add),
        DataType::Dictionary(_, _) => dictionary_cell(column, row).map_or(0, |(values, key)| cell_bytes(values, key)),
        // A number.
        _ => 8,
    }
}

/// The values of a dictionary column and the index of a cell's value.
fn dictionary_cell(column: &ArrayRef, row: usize) -> Option<(&ArrayRef, usize)> {
    let key = column.slice(row, 1).as_any_dictionary_opt()?.normalized_keys().first().copied()?;
    let values = column.as_any_dictionary_opt()?.values();
    (key < values.len()).then_some((values, key))
}

/// Counts the bytes that are read from the object.
struct CountingReader {
    reader: ObjectReader,
    counts: Arc<ReadCounts>,
}

impl AsyncFileReader for CountingReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            let bytes = self.reader.get_bytes(range).await?;
            self.counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(bytes)
        }
        .boxed()
    }

    fn get_metadata<'a>(&'a mut self, _: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.reader.size();
            ParquetMetaDataReader::new().with_prefetch_hint(Some(PARQUET_FOOTER_BYTES)).load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}

fn corrupt(object: &Object, row: u64, error: &dyn std::fmt::Display) -> Rejection {
    let uri = &object.uri;
    let cause = error.to_string();
    let cause = cause.lines().next().unwrap_or_default().trim_start_matches("Parquet error: ").trim_start_matches("Invalid Parquet file. ");
    let from_row = if row == 0 { String::new() } else { format!(" from row {row}") };
    let reason = format!("cannot read {uri}{from_row}: truncated or corrupt Parquet file: {cause}\n  hint: write it again or exclude it");
    Rejection::at_location(format_args!("{uri}#row={row}"), uri, Stage::Read, RejectionKind::CorruptParquet, reason)
}
