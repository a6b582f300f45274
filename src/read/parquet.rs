//! Parquet -> batches of rows, one row group after the other, never the whole file.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::errors::ParquetError;

use super::{Chunk, Rows};
use crate::limits::PARQUET_BATCH_ROWS;
use crate::model::{Kind, Outcome, OutcomeStream, Rejection, Stage};
use crate::store::{Object, ObjectReader};

/// The rows of a Parquet object; a page that cannot be read ends the object with a rejection, the rows before it are kept.
pub(super) fn rows(object: Arc<Object>) -> OutcomeStream<Chunk> {
    stream::once(async move {
        match open(&object).await {
            Ok(batches) => batches,
            Err(error) => {
                let rejection = failed(&object, 0, &error);
                stream::once(async { Err(rejection) }).boxed()
            }
        }
    })
    .flatten()
    .boxed()
}

async fn open(object: &Arc<Object>) -> Result<OutcomeStream<Chunk>, ParquetError> {
    let batches =
        ParquetRecordBatchStreamBuilder::new(ObjectReader::new(Arc::clone(object))).await?.with_batch_size(PARQUET_BATCH_ROWS).build()?;
    let object = Arc::clone(object);
    let rows = batches.scan((0, false), move |(next_row, ended), batch| {
        let item: Option<Outcome<Chunk>> = match batch {
            _ if *ended => None,
            Ok(batch) => {
                let first_row = *next_row;
                *next_row += batch.num_rows() as u64;
                Some(Ok(Chunk::Rows(Rows { object: Arc::clone(&object), batch, first_row })))
            }
            Err(error) => {
                *ended = true;
                Some(Err(failed(&object, *next_row, &error)))
            }
        };
        async move { item }
    });
    Ok(rows.boxed())
}

fn failed(object: &Object, row: u64, error: &ParquetError) -> Rejection {
    let uri = &object.uri;
    let said = error.to_string();
    let said = said.lines().next().unwrap_or_default();
    let reason =
        format!("cannot read {uri} from row {row} on: the Parquet file is cut or corrupt ({said}); write it again or leave it out");
    Rejection::at_place(format_args!("{uri}#row={row}"), uri, Stage::Read, Kind::CorruptParquet, reason)
}
