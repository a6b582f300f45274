//! Commits rows to a table: writes files with the incoming rows, and rewrites existing files that contain superseded rows.
//!
//! Each attempt loads the latest version, scans the key columns of the files that may be touched (`scan`), plans what happens to each of them
//! without I/O (`plan`), writes new files (`execute`), and commits on top of that version. If another writer was first, the next attempt plans
//! again. Only touched buckets are read (their key columns), and only row groups with superseded rows are encoded again. A reader sees the
//! version before or the version after.
//!
//! A row of `patterns` is kept if the incoming row of the same trace was made from fewer spans and comes from another object
//! ([`Coverage`](super::keys::Coverage)). Each attempt decides that again, because other writers may have committed meanwhile. Likewise, each
//! attempt merges rows of `fingerprints` with those of the version that it loaded.

mod attempts;
mod commit_tag;
mod compact;
mod execute;
mod plan;
mod scan;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use deltalake_core::DeltaResult;
use deltalake_core::kernel::Add;
use deltalake_core::kernel::transaction::CommitProperties;
use deltalake_core::protocol::{DeltaOperation, SaveMode};

use self::attempts::{Attempts, delete_unreferenced, try_commit};
pub(super) use self::commit_tag::CommitTag;
pub(super) use self::compact::{compact, plan_compaction};
use self::execute::move_rows;
pub(super) use self::plan::{FileAction, UpsertPlan};
use self::scan::scan;
pub(super) use self::scan::{ScanCache, Superseded, keys_kept_fuller};
use super::incoming::Incoming;
use super::table_files::Bucket;
use crate::limits::REWRITES_IN_FLIGHT_MAX;
use crate::tables::Table;

/// Commits incoming rows and removes those that they supersede, atomically and once: if the table has the commit already, from any run,
/// nothing happens. An incoming row is not added if the table has a fuller one: made from more spans, and from another object.
///
/// Returns the version that the commit made, or the loaded one if there was nothing to change; `None` if the commit was made earlier and its
/// version cannot be determined.
pub(super) async fn upsert(
    table: &mut Table,
    incoming: &Incoming<'_>,
    rows: &BTreeMap<Bucket, u64>,
    superseded: &Arc<Superseded>,
    tag: &CommitTag,
    cache: &mut ScanCache,
) -> DeltaResult<Option<u64>> {
    let mut attempts = Attempts::default();
    // Most incoming rows do not depend on the version of the table, so their files are kept from attempt to attempt.
    let mut new: Option<NewFiles> = None;
    loop {
        table.delta.update_state().await?;
        // Before the first attempt too: several runs may complete the commit of the same interrupted run.
        if tag.is_in(table).await? {
            return Ok(tag.version_in(table).await);
        }
        let (scans, files) = scan(table, superseded, rows.keys().copied(), cache).await?;
        let plan = UpsertPlan::new(table.name, table.buckets(), rows.clone(), scans);
        tracing::debug!(%plan, "planned a commit");
        if plan.is_empty() {
            if let Some(new) = new {
                delete_unreferenced(table, &new.adds).await;
            }
            return Ok(table.delta.version());
        }
        let changes = move_rows(table, &plan, &files, REWRITES_IN_FLIGHT_MAX).await?;
        let adds = match new.take() {
            Some(written) if written.kept_fuller == plan.kept_fuller && !Incoming::is_merged(table.name) => written.adds,
            outdated => {
                if let Some(outdated) = outdated {
                    delete_unreferenced(table, &outdated.adds).await;
                }
                incoming.write(table, &plan.kept_fuller).await?
            }
        };
        if adds.is_empty() && changes.removed.is_empty() {
            return Ok(table.delta.version());
        }
        let moved = changes.added.clone();
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: table.partition_columns(), predicate: None };
        let properties = CommitProperties::default().with_application_transaction(tag.transaction());
        let committed = try_commit(table, changes.into_actions(&adds), operation, properties).await;
        new = Some(NewFiles { adds, kept_fuller: plan.kept_fuller });
        let error = match committed {
            Ok(version) => return Ok(Some(version)),
            Err(error) => error,
        };
        // The commit may have succeeded although its response was lost. The next attempt checks that; after the last one it is checked here.
        if let Err(error) = attempts.pause(table.name, error).await {
            table.delta.update_state().await?;
            return if tag.is_in(table).await? { Ok(tag.version_in(table).await) } else { Err(error) };
        }
        delete_unreferenced(table, &moved).await;
    }
}

/// Files with the incoming rows, without those whose keys are `kept_fuller`.
struct NewFiles {
    adds: Vec<Add>,
    kept_fuller: HashSet<u128>,
}

/// What [`upsert`] would do to the loaded version of the table.
pub(super) async fn plan_upsert(table: &Table, rows: &BTreeMap<Bucket, u64>, superseded: &Arc<Superseded>) -> DeltaResult<UpsertPlan> {
    let (scans, _) = scan(table, superseded, rows.keys().copied(), &mut ScanCache::new()).await?;
    Ok(UpsertPlan::new(table.name, table.buckets(), rows.clone(), scans))
}

#[cfg(test)]
mod tests {
    use deltalake_core::Path;
    use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
    use deltalake_core::kernel::{DataType as KernelType, StructField};
    use futures::StreamExt;
    use object_store::ObjectStoreExt;

    use super::*;
    use crate::model::{PatternRow, key_hash};
    use crate::store::Object;
    use crate::tables::{TableName, patterns_schema};
    use crate::validate::PatternSchema;
    use crate::write::encode::encode_patterns;
    use crate::write::incoming::IncomingKeys;
    use crate::write::keys::{Coverage, text_column};
    use crate::write::staging::StagedFile;
    use crate::write::table_files::{files_of, object_of};

    async fn row(trace_id: &str, summary: &str) -> PatternRow {
        let draft = crate::model::Draft { trace_id: trace_id.to_owned(), ..crate::model::Draft::sample(summary) };
        let stream = futures::stream::iter([Ok(draft.into())]).boxed();
        crate::validate::patterns(stream, PatternSchema::new("a-run").unwrap()).next().await.unwrap().unwrap().into_row()
    }

    async fn rows(range: std::ops::Range<usize>, summary: &str) -> Vec<PatternRow> {
        let one = row("t", summary).await;
        range.map(|number| PatternRow { trace_id: format!("t-{number}"), ..one.clone() }).collect()
    }

    /// Stages rows. Returns what they supersede, and their file.
    async fn staged(table: &Table, rows: Vec<PatternRow>) -> (Arc<Superseded>, Arc<Object>) {
        let keys = rows.iter().map(|row| (key_hash(&row.trace_id), Coverage::new(row.spans_total, &row.source_uri))).collect();
        let staged = table.delta.object_store();
        let path = Path::from(format!("staged-{}.parquet", uuid::Uuid::now_v7()));
        let bytes = encode_patterns(rows, table.buckets()).unwrap();
        let size = bytes.len() as u64;
        staged.put(&path, bytes.into()).await.unwrap();
        let object = Arc::new(Object::in_store(staged, path.clone(), path.to_string(), size, 0));
        (Arc::new(Superseded { keys, ..Superseded::default() }), object)
    }

    /// Upserts rows as a run does: from a staged file.
    async fn upsert_rows(table: &mut Table, rows: Vec<PatternRow>, tag: &CommitTag) {
        let (superseded, object) = staged(table, rows).await;
        let file = StagedFile::default();
        let incoming = Incoming::new(vec![(&file, object)]);
        let keys = IncomingKeys::read(table, &incoming).await.unwrap();
        upsert(table, &incoming, &keys.rows, &superseded, tag, &mut ScanCache::new()).await.unwrap();
        table.delta.update_state().await.unwrap();
    }

    async fn summaries(table: &Table) -> BTreeMap<String, Vec<String>> {
        let provider = table.delta.table_provider().await.unwrap();
        let frame = datafusion::prelude::SessionContext::new().read_table(provider).unwrap();
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for batch in frame.select_columns(&["trace_id", "summary"]).unwrap().collect().await.unwrap() {
            let (ids, summaries) = (text_column(&batch, "trace_id").unwrap(), text_column(&batch, "summary").unwrap());
            for row in 0..batch.num_rows() {
                found.entry(ids.value(row).to_owned()).or_default().push(summaries.value(row).to_owned());
            }
        }
        found
    }

    async fn row_groups(table: &Table) -> Vec<i64> {
        use parquet::arrow::async_reader::AsyncFileReader;
        let mut found = Vec::new();
        for file in files_of(table).await.unwrap() {
            let metadata = crate::store::ObjectReader::new(object_of(table, &file)).get_metadata(None).await.unwrap();
            found.extend(metadata.row_groups().iter().map(parquet::file::metadata::RowGroupMetaData::num_rows));
        }
        found
    }

    fn tag(run: &str) -> CommitTag {
        CommitTag { run_id: run.into(), part: 0 }
    }

    async fn table(folder: &tempfile::TempDir) -> Table {
        let location = url::Url::from_directory_path(folder.path()).unwrap();
        Table::open(&location, TableName::Patterns).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn superseded_rows_are_removed_and_row_groups_without_them_are_copied() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = table(&folder).await;
        upsert_rows(&mut table, rows(0..9_000, "old").await, &tag("one")).await;
        let before = row_groups(&table).await;
        assert_eq!(before.len(), 16, "a row group for each bucket: {before:?}");
        // The second upsert adds a row group to the merged file of each bucket.
        upsert_rows(&mut table, rows(9_000..18_000, "old").await, &tag("two")).await;
        compact(&mut table).await.unwrap();
        table.delta.update_state().await.unwrap();
        let copied = row_groups(&table).await;
        assert_eq!((files_of(&table).await.unwrap().len(), copied.len()), (16, 32), "compaction copies row groups: {copied:?}");
        upsert_rows(&mut table, rows(5..6, "new").await, &tag("three")).await;
        let found = summaries(&table).await;
        assert_eq!(found.len(), 18_000);
        assert!(found.iter().all(|(id, summaries)| summaries.as_slice() == [if id == "t-5" { "new" } else { "old" }]));
        let mut after = row_groups(&table).await;
        after.retain(|rows| !copied.contains(rows));
        assert!(after.iter().sum::<i64>() < 1_000, "one row group was encoded again, and one row is new: {after:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_writer_that_planned_against_an_outdated_version_plans_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut table, mut other) = (table(&folder).await, table(&folder).await);
        upsert_rows(&mut table, rows(0..10, "old").await, &tag("one")).await;
        assert!(tag("one").is_in(&table).await.unwrap() && !tag("two").is_in(&table).await.unwrap());
        upsert_rows(&mut other, rows(5..15, "new").await, &tag("two")).await;
        let found = summaries(&other).await;
        assert_eq!(found.len(), 15);
        assert!(found.values().all(|summaries| summaries.len() == 1));
        assert_eq!(found.values().filter(|summaries| summaries[0] == "new").count(), 10);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_table_of_an_older_version_gets_the_new_columns_and_keeps_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let current = patterns_schema();
        let older: Vec<StructField> = current
            .fields()
            .iter()
            .filter(|field| field.name() != "cost_usd" && field.name() != "environment")
            .map(|field| field.as_ref().try_into_kernel().unwrap())
            .collect();
        let location = url::Url::from_directory_path(folder.path()).unwrap();
        let of_patterns = url::Url::from_directory_path(folder.path().join("patterns")).unwrap();
        let delta = deltalake_core::operations::create::CreateBuilder::new()
            .with_location(of_patterns.to_string())
            .with_columns(older)
            .with_partition_columns(["bucket"])
            .await
            .unwrap();
        let mut old = Table { delta, name: TableName::Patterns };
        upsert_rows(&mut old, rows(0..600, "old").await, &tag("one")).await;
        let mut table = Table::open(&location, TableName::Patterns).await.unwrap();
        let known = table.delta.snapshot().unwrap().schema();
        assert_eq!(known.field("cost_usd").map(StructField::data_type), Some(&KernelType::DOUBLE));
        assert_eq!(row_groups(&table).await.iter().sum::<i64>(), 600, "its files are unchanged");
        upsert_rows(&mut table, rows(300..301, "new").await, &tag("two")).await;
        let provider = table.delta.table_provider().await.unwrap();
        let context = datafusion::prelude::SessionContext::new();
        context.register_table("patterns", provider).unwrap();
        let sql = "select count(*), count(cost_usd), count(distinct trace_id) from patterns";
        let counted = context.sql(sql).await.unwrap().collect().await.unwrap();
        let number = |column: usize| counted[0].column(column).as_any().downcast_ref::<arrow::array::Int64Array>().unwrap().value(0);
        assert_eq!((number(0), number(1), number(2)), (600, 1, 600), "old rows have nulls, the new one has its value");
        let configuration = table.delta.snapshot().unwrap().metadata().configuration().clone();
        assert_eq!(configuration.get("failsift.schema_version").map(String::as_str), Some(crate::model::PATTERN_SCHEMA_VERSION));
        // Opening it again changes nothing.
        let version = table.delta.version();
        assert_eq!(Table::open(&location, TableName::Patterns).await.unwrap().delta.version(), version);
    }
}
