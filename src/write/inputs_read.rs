//! What the last complete runs of a pipeline had read: the column `inputs_read` of `runs`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use deltalake_core::DeltaResult;
use futures::StreamExt;
use url::Url;

use super::error::{WriteError, table_error};
use super::keys::{project, text_column};
use super::table_files::objects;
use crate::model::{InputRead, RunStatus};
use crate::store::Object;
use crate::tables::{Table, TableName, open_existing};

/// What a run had read of one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRead {
    /// The run.
    pub run_id: String,
    /// What it had read.
    pub read: InputRead,
}

/// What the last complete run of `pipeline` into these tables had read of each input, with each selection. Nothing if there are no patterns: whoever
/// removed that table wants to have all of them again.
///
/// # Errors
/// [`WriteError`] if a table cannot be read.
pub async fn last_inputs_read(output: &Url, pipeline: &str) -> Result<Vec<LastRead>, WriteError> {
    let shown = output.to_string();
    let mut runs = None;
    for name in [TableName::Patterns, TableName::Runs] {
        let found = open_existing(output, name, None).await.map_err(|error| table_error(name, &shown, &error))?;
        let Some(delta) = found else { return Ok(Vec::new()) };
        runs = Some(Table { delta, name });
    }
    let Some(runs) = runs else { return Ok(Vec::new()) };
    newest(&runs, pipeline).await.map_err(|error| table_error(TableName::Runs, &shown, &error))
}

async fn newest(runs: &Table, pipeline: &str) -> DeltaResult<Vec<LastRead>> {
    let mut newest: HashMap<(String, String), LastRead> = HashMap::new();
    for object in objects(runs).await? {
        for found in of_file(&object, pipeline).await? {
            let key = (found.read.input.clone(), found.read.selection.clone());
            // Ids of runs sort by time.
            if newest.get(&key).is_none_or(|other| other.run_id < found.run_id) {
                newest.insert(key, found);
            }
        }
    }
    Ok(newest.into_values().collect())
}

async fn of_file(object: &Arc<Object>, pipeline: &str) -> DeltaResult<Vec<LastRead>> {
    let mut found = Vec::new();
    let mut batches = project(object, &["run_id", "pipeline", "status", "inputs_read"]).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        // Files of older versions lack it.
        let Some(lists) = batch.column_by_name("inputs_read").and_then(|column| column.as_list_opt::<i32>()) else { continue };
        let (run_ids, pipelines) = (text_column(&batch, "run_id")?, text_column(&batch, "pipeline")?);
        let statuses = text_column(&batch, "status")?;
        for row in 0..batch.num_rows() {
            let is_complete = statuses.value(row) == RunStatus::Complete.as_str();
            if !is_complete || pipelines.value(row) != pipeline || lists.is_null(row) {
                continue;
            }
            let items = lists.value(row);
            let Some(items) = items.as_struct_opt() else { continue };
            let read = inputs_read(items)?;
            found.extend(read.into_iter().map(|read| LastRead { run_id: run_ids.value(row).to_owned(), read }));
        }
    }
    Ok(found)
}

fn inputs_read(items: &StructArray) -> DeltaResult<Vec<InputRead>> {
    let batch = RecordBatch::from(items.clone());
    let text = |name: &str| text_column(&batch, name);
    let (inputs, newest, since) = (text("input")?, text("newest_object_at")?, text("traces_since")?);
    let (selections, settings, periods) = (text("selection")?, text("settings")?, text("periods")?);
    let counts = batch.column_by_name("objects").map(|column: &ArrayRef| cast(column, &DataType::Int64)).transpose()?;
    let counts = counts.as_ref().and_then(|column| column.as_any().downcast_ref::<Int64Array>());
    let owned = |column: &StringArray, row: usize| column.is_valid(row).then(|| column.value(row).to_owned());
    let read = |row: usize| InputRead {
        input: inputs.value(row).to_owned(),
        objects: counts.and_then(|column| u64::try_from(column.value(row)).ok()).unwrap_or(0),
        newest_object_at: owned(&newest, row),
        traces_since: owned(&since, row),
        selection: selections.value(row).to_owned(),
        settings: settings.value(row).to_owned(),
        periods: periods.value(row).to_owned(),
    };
    Ok((0..batch.num_rows()).map(read).collect())
}
