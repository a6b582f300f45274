//! Parquet -> batches of rows, one row group after the other, never the whole file.

use std::fs::File;
use std::io::{self, Read, Seek};
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

use super::{Chunk, Emit, End, Opening, Position, ReadCounts, ReadOptions, Rows, failed_at, over, rejected, too_wide};
use crate::limits::{
    CHUNK_BYTES, DECOMPRESSION_CHECK_BYTES_MIN, DECOMPRESSION_RATIO_MAX, PARQUET_BATCH_ROWS, PARQUET_FOOTER_BYTES, SPOOLED_BYTES_MAX,
    TABLE_COLUMNS_MAX,
};
use crate::model::{Outcome, OutcomeStream, Rejection, RejectionKind, Stage};
use crate::store::{Object, ObjectReader};

/// The first bytes of a Parquet file.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// The rows of a Parquet object, of which parts are read; a page that cannot be read ends the object with a rejection, the rows before it
/// are kept.
pub(super) fn rows(opening: Opening) -> OutcomeStream<Chunk> {
    async_stream::stream! {
        let Opening { object, options, counts, shutdown, is_whole, .. } = opening;
        let reader = ObjectReader::new(Arc::clone(&object));
        let mut rows_of = RowsOf::new(&object, reader.size(), options.record_bytes_max);
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
                    for chunk in rows_of.batch(&batch) {
                        yield chunk;
                    }
                    if rows_of.is_bomb() {
                        yield Err(rows_of.bomb());
                        return;
                    }
                }
                Err(error) => {
                    yield Err(failed(&object, rows_of.next_row, &error));
                    return;
                }
            }
        }
        is_whole.store(true, Ordering::Release);
    }
    .boxed()
}

/// The rows of a Parquet file that cannot be read in parts: it comes through a pipe or from a web server, or it is packed. It is kept in
/// a file that has no name while it is read.
pub(super) fn spooled(
    source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: Emit<'_>,
) -> End {
    let file = match spool(source) {
        Ok(file) => file,
        Err(error) => {
            if !shutdown.is_cancelled() {
                emit(Err(failed_at(object, 1, &error)));
            }
            return End::Cut;
        }
    };
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    let mut rows_of = RowsOf::new(object, bytes, options.record_bytes_max);
    let batches = match open_file(file) {
        Ok(batches) => batches,
        Err(error) => {
            emit(Err(error.rejection(object)));
            return End::Cut;
        }
    };
    for batch in batches {
        if shutdown.is_cancelled() {
            return End::Cut;
        }
        match batch {
            Ok(batch) => {
                if !rows_of.batch(&batch).into_iter().all(&mut *emit) {
                    return End::Cut;
                }
                if rows_of.is_bomb() {
                    emit(Err(rows_of.bomb()));
                    return End::Cut;
                }
            }
            Err(error) => {
                emit(Err(failed(object, rows_of.next_row, &error)));
                return End::Cut;
            }
        }
    }
    End::Whole
}

/// Why a file is not read at all.
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
            Self::Parquet(error) => failed(object, 0, error),
            Self::TooWide(columns) => too_wide(object, *columns),
        }
    }
}

async fn open(mut reader: CountingReader) -> Result<ParquetRecordBatchStream<CountingReader>, OpenError> {
    let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await?;
    let (metadata, rows) = (with_shared_texts(&metadata)?, batch_rows(metadata.metadata()));
    Ok(ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata).with_batch_size(rows).build()?)
}

fn open_file(file: File) -> Result<ParquetRecordBatchReader, OpenError> {
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
    let (metadata, rows) = (with_shared_texts(&metadata)?, batch_rows(metadata.metadata()));
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata).with_batch_size(rows).build()?)
}

/// Rows that are decoded at once: as many as have some chunks' bytes on average, and few where the data were packed so well that single rows may
/// hold most of them.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    const CHUNKS: usize = 4;
    const PACKED_RATIO_MAX: u64 = 50;
    let of_group = |group: &RowGroupMetaData| {
        let sum = |bytes: fn(&ColumnChunkMetaData) -> i64| {
            group.columns().iter().map(|column| u64::try_from(bytes(column)).unwrap_or(0)).sum::<u64>()
        };
        let (bytes, packed_bytes) = (sum(ColumnChunkMetaData::uncompressed_size), sum(ColumnChunkMetaData::compressed_size));
        if bytes / packed_bytes.max(1) > PACKED_RATIO_MAX {
            return 1;
        }
        let row_bytes = bytes / u64::try_from(group.num_rows()).unwrap_or(0).max(1);
        CHUNKS * CHUNK_BYTES / usize::try_from(row_bytes).unwrap_or(usize::MAX).max(1)
    };
    metadata.row_groups().iter().map(of_group).min().unwrap_or(PARQUET_BATCH_ROWS).clamp(1, PARQUET_BATCH_ROWS)
}

/// Reads texts as views, which share what a dictionary holds once: a page of a few kilobytes may name a value of a megabyte a million times.
fn with_shared_texts(metadata: &ArrowReaderMetadata) -> Result<ArrowReaderMetadata, OpenError> {
    let leaves = metadata.metadata().file_metadata().schema_descr().num_columns();
    if leaves > TABLE_COLUMNS_MAX {
        return Err(OpenError::TooWide(leaves));
    }
    let schema = metadata.schema();
    let fields: Vec<FieldRef> = schema.fields().iter().map(shared).collect();
    if fields.iter().eq(schema.fields().iter()) {
        return Ok(metadata.clone());
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    Ok(ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)?)
}

fn shared(field: &FieldRef) -> FieldRef {
    let inside = |fields: &Fields| fields.iter().map(shared).collect::<Fields>();
    let kind = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::List(item) => DataType::List(shared(item)),
        DataType::LargeList(item) => DataType::LargeList(shared(item)),
        DataType::Struct(fields) => DataType::Struct(inside(fields)),
        DataType::Map(entries, sorted) => DataType::Map(shared(entries), *sorted),
        _ => return Arc::clone(field),
    };
    Arc::new(field.as_ref().clone().with_data_type(kind))
}

/// Cuts batches into chunks of bounded size, in rows as they would be if no two shared a value.
struct RowsOf {
    object: Arc<Object>,
    object_bytes: u64,
    record_bytes_max: usize,
    next_row: u64,
    bytes: u64,
}

impl RowsOf {
    fn new(object: &Arc<Object>, object_bytes: u64, record_bytes_max: usize) -> Self {
        Self { object: Arc::clone(object), object_bytes, record_bytes_max, next_row: 0, bytes: 0 }
    }

    /// The rows of a batch; a row over the limit is a rejection.
    fn batch(&mut self, batch: &RecordBatch) -> Vec<Outcome<Chunk>> {
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
                chunks.push(Err(rejected(&self.object, position, RejectionKind::Oversize, &over(self.record_bytes_max))));
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

    /// Whether the rows read so far hold many times as much as the whole object.
    fn is_bomb(&self) -> bool {
        self.bytes > DECOMPRESSION_CHECK_BYTES_MIN && self.bytes / self.object_bytes.max(1) > DECOMPRESSION_RATIO_MAX
    }

    fn bomb(&self) -> Rejection {
        let uri = &self.object.uri;
        let reason = format!(
            "cannot read {uri} from row {} on: its rows hold more than {DECOMPRESSION_RATIO_MAX} times the size of the file; the rows before were read",
            self.next_row
        );
        Rejection::at_location(format_args!("{uri}#row={}", self.next_row), uri, Stage::Read, RejectionKind::CorruptCompression, reason)
    }
}

/// Bytes of the texts and numbers of each row.
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
    // An item takes its place also where it is null.
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
        // A number with what is kept around it.
        _ => 8,
    }
}

/// The value that a cell of a dictionary names.
fn dictionary_cell(column: &ArrayRef, row: usize) -> Option<(&ArrayRef, usize)> {
    let key = column.slice(row, 1).as_any_dictionary_opt()?.normalized_keys().first().copied()?;
    let values = column.as_any_dictionary_opt()?.values();
    (key < values.len()).then_some((values, key))
}

fn spool(source: Box<dyn Read + Send>) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    let copied = io::copy(&mut source.take(SPOOLED_BYTES_MAX + 1), &mut file)?;
    if copied > SPOOLED_BYTES_MAX {
        let what = format!("a Parquet file over {SPOOLED_BYTES_MAX} bytes cannot come this way; put it into a folder or a bucket");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    file.rewind()?;
    Ok(file)
}

/// Counts what is read of the object.
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

fn failed(object: &Object, row: u64, error: &dyn std::fmt::Display) -> Rejection {
    let uri = &object.uri;
    let said = error.to_string();
    let said = said.lines().next().unwrap_or_default();
    let reason =
        format!("cannot read {uri} from row {row} on: the Parquet file is cut or corrupt ({said}); write it again or leave it out");
    Rejection::at_location(format_args!("{uri}#row={row}"), uri, Stage::Read, RejectionKind::CorruptParquet, reason)
}
