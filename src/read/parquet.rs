//! Parquet -> batches of rows, one row group after the other, never the whole file.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::StreamExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use tokio_util::sync::CancellationToken;

use super::{Chunk, Emit, End, Opening, ReadCounts, Rows, failed_at};
use crate::limits::{PARQUET_BATCH_ROWS, PARQUET_FOOTER_BYTES, SPOOLED_BYTES_MAX};
use crate::model::{Kind, OutcomeStream, Rejection, Stage};
use crate::store::{Object, ObjectReader};

/// The first bytes of a Parquet file.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// The rows of a Parquet object, of which parts are read; a page that cannot be read ends the object with a rejection, the rows before it
/// are kept.
pub(super) fn rows(opening: Opening) -> OutcomeStream<Chunk> {
    async_stream::stream! {
        let Opening { object, counts, shutdown, is_whole, .. } = opening;
        let reader = CountingReader { reader: ObjectReader::new(Arc::clone(&object)), counts };
        let mut first_row = 0;
        let opened = async {
            ParquetRecordBatchStreamBuilder::new(reader).await?.with_batch_size(PARQUET_BATCH_ROWS).build()
        };
        let mut batches = match opened.await {
            Ok(batches) => batches,
            Err(error) => {
                yield Err(failed(&object, first_row, &error));
                return;
            }
        };
        while let Some(batch) = batches.next().await {
            if shutdown.is_cancelled() {
                return;
            }
            match batch {
                Ok(batch) => {
                    let rows = batch.num_rows() as u64;
                    yield Ok(Chunk::Rows(Rows { object: Arc::clone(&object), batch, first_row }));
                    first_row += rows;
                }
                Err(error) => {
                    yield Err(failed(&object, first_row, &error));
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
pub(super) fn spooled(source: Box<dyn Read + Send>, object: &Arc<Object>, shutdown: &CancellationToken, emit: Emit<'_>) -> End {
    let file = match spool(source) {
        Ok(file) => file,
        Err(error) => {
            if !shutdown.is_cancelled() {
                emit(Err(failed_at(object, 1, &error)));
            }
            return End::Cut;
        }
    };
    let mut first_row = 0;
    let opened = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.with_batch_size(PARQUET_BATCH_ROWS).build());
    let batches = match opened {
        Ok(batches) => batches,
        Err(error) => {
            emit(Err(failed(object, first_row, &error)));
            return End::Cut;
        }
    };
    for batch in batches {
        if shutdown.is_cancelled() {
            return End::Cut;
        }
        let (rows, chunk) = match batch {
            Ok(batch) => (batch.num_rows() as u64, Ok(Chunk::Rows(Rows { object: Arc::clone(object), batch, first_row }))),
            Err(error) => {
                emit(Err(failed(object, first_row, &error)));
                return End::Cut;
            }
        };
        if !emit(chunk) {
            return End::Cut;
        }
        first_row += rows;
    }
    End::Whole
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
    Rejection::at_place(format_args!("{uri}#row={row}"), uri, Stage::Read, Kind::CorruptParquet, reason)
}
