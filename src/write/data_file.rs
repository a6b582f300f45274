//! One Parquet file, built in memory from rows and from row groups of other files, which are copied without decoding.
//!
//! Copying makes upserts cheap: of a file with superseded rows, only the row groups that contain one are decoded and encoded again. Files are
//! a few megabytes, and one request uploads one.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::{Buf, Bytes};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedFileWriter;

use crate::limits::{ROW_GROUP_ROWS, ROW_GROUP_ROWS_COPIED_MIN};

/// A file under construction; [`DataFile::finish`] returns its bytes.
pub(super) struct DataFile {
    writer: SerializedFileWriter<Vec<u8>>,
    groups: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    rows: usize,
}

impl DataFile {
    pub(super) fn new(schema: SchemaRef) -> Result<Self> {
        let level = ZstdLevel::try_new(3).unwrap_or_default();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let (writer, groups) = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?.into_serialized_writer()?;
        Ok(Self { writer, groups, schema, pending: Vec::new(), pending_rows: 0, rows: 0 })
    }

    /// Compressed bytes so far.
    pub(super) fn bytes(&self) -> usize {
        self.writer.bytes_written()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds rows; those of several calls share a row group.
    pub(super) fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.pending_rows += batch.num_rows();
        self.pending.push(batch);
        if self.pending_rows >= ROW_GROUP_ROWS { self.end_row_group() } else { Ok(()) }
    }

    /// Encodes the pending rows as one row group.
    pub(super) fn end_row_group(&mut self) -> Result<()> {
        if self.pending_rows == 0 {
            return Ok(());
        }
        let mut columns = self.groups.create_column_writers(self.writer.flushed_row_groups().len())?;
        for batch in std::mem::take(&mut self.pending) {
            let mut writers = columns.iter_mut();
            for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
                for leaf in compute_leaves(field, column)? {
                    let writer = writers.next().ok_or_else(|| ParquetError::General("more columns than the schema has".into()))?;
                    writer.write(&leaf)?;
                }
            }
        }
        self.pending_rows = 0;
        let mut group = self.writer.next_row_group()?;
        for column in columns {
            column.close()?.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(())
    }

    /// Whether a row group of a file with this metadata may be copied: it has the same columns with the same physical types, and enough rows.
    pub(super) fn can_copy(&self, source: &ParquetMetaData, group: &RowGroupMetaData) -> bool {
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let columns = self.writer.schema_descr().columns();
        rows >= ROW_GROUP_ROWS_COPIED_MIN
            && source.file_metadata().schema_descr().columns().get(..columns.len()).is_some_and(|found| found == columns)
    }

    /// Copies the first columns of a row group, as many as this file has: a staged file also has the partition column, which is last. `bytes` are
    /// those of [`row_group_range`].
    pub(super) fn copy(&mut self, group: &RowGroupMetaData, bytes: Bytes) -> Result<()> {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        let source = Source { start: row_group_range(group).start, bytes };
        let count = self.writer.schema_descr().num_columns();
        let mut copy = self.writer.next_row_group()?;
        for column in group.columns().iter().take(count) {
            let close = ColumnCloseResult {
                bytes_written: column.byte_range().1,
                rows_written: rows,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            copy.append_column(&source, close)?;
        }
        copy.close()?;
        self.rows += usize::try_from(rows).unwrap_or(0);
        Ok(())
    }

    /// The bytes of the file, and its metadata.
    pub(super) fn finish(mut self) -> Result<(Vec<u8>, ParquetMetaData)> {
        self.end_row_group()?;
        let metadata = self.writer.finish()?;
        Ok((std::mem::take(self.writer.inner_mut()), metadata))
    }
}

/// The byte range of a row group in its file.
pub(super) fn row_group_range(group: &RowGroupMetaData) -> Range<u64> {
    let ranges = || group.columns().iter().map(parquet::file::metadata::ColumnChunkMetaData::byte_range);
    let start = ranges().map(|(start, _)| start).min().unwrap_or(0);
    let end = ranges().map(|(start, length)| start + length).max().unwrap_or(0);
    start..end
}

/// Part of a file, addressed by offsets in the whole file.
struct Source {
    start: u64,
    bytes: Bytes,
}

impl Source {
    fn tail(&self, start: u64) -> Result<Bytes> {
        let offset = start.checked_sub(self.start).and_then(|offset| usize::try_from(offset).ok());
        match offset {
            Some(offset) if offset <= self.bytes.len() => Ok(self.bytes.slice(offset..)),
            _ => Err(ParquetError::EOF(format!("a column starts at byte {start}, outside its row group"))),
        }
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Source {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.tail(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(length);
        self.get_read(start)?.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}
