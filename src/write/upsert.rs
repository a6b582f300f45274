//! Replaces rows: new files come in, and of the files there were only those that hold a superseded row are rewritten.
//!
//! The key column alone is read to find them, and of a file only the row groups that hold one are encoded again, so an upsert costs what it
//! changes. Each attempt plans against one version and commits only on top of that version; the loser of a race plans again. A reader
//! sees the version before or the version after.
//!
//! In `patterns` a row that is there stays where the new one is of a smaller piece of the same trace ([`Extent`]). That too is decided anew
//! by each attempt, so that it holds whoever commits meanwhile.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake_core::kernel::{Action, Add, LogicalFileView, Remove, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaResult, DeltaTableError, Path};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use tokio::task::{JoinError, JoinSet};

use super::table::{Table, TableName, said};
use super::table_writer::{Bucket, Destination, Incoming, TableWriter, columns_of};
use crate::limits::{
    COMMIT_ATTEMPTS_MAX, COMMIT_STORE_FAILURES_MAX, DATA_FILE_TARGET_BYTES, KEY_READS_IN_FLIGHT_MAX, REWRITES_IN_FLIGHT_MAX,
    SMALL_FILE_BYTES_MAX, SMALL_FILES_PER_BUCKET_MAX,
};
use crate::model::key_hash;
use crate::runtime::pool;
use crate::store::Object;

/// How much of a trace a pattern was made of, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    spans: u64,
    /// A hash of the URI.
    source: u64,
}

impl Extent {
    /// That of a row which every other one may replace, and which replaces every other one.
    pub(super) const ANY: Self = Self { spans: u64::MAX, source: 0 };

    pub(super) fn new(spans: u64, source_uri: &str) -> Self {
        // The lower half of a hash that is even in all its bits.
        let source = u64::try_from(key_hash(source_uri) & u128::from(u64::MAX)).unwrap_or(0);
        Self { spans, source }
    }

    /// Whether a new row of this extent replaces a stored one: it has as many spans, or was read from the same object, of which a corrected
    /// export may have fewer. A later window that holds one late span of a trace does not replace the pattern of the whole.
    pub(super) fn replaces(self, stored: Self) -> bool {
        self.spans >= stored.spans || self.source == stored.source
    }
}

/// Which rows are replaced.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    /// Keys of trace ids and references; in `patterns` with the extent of the new row, which has to be large enough.
    pub(super) keys: HashMap<u128, Extent>,
    /// Keys of objects that were read again: rows that are keyed by a place in them go.
    pub(super) objects: HashSet<u128>,
    /// Rows of this run do not go with their object: an earlier commit of it brought them.
    pub(super) run_id: String,
}

impl Superseded {
    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.objects.is_empty()
    }
}

/// Data files that stay as they are, and for each the keys of rows in it that are fuller than the new ones. Data files never change, so that
/// they are looked at once, however often a commit is planned.
pub(super) type LookedAt = HashMap<String, Vec<u128>>;

/// By what a writer knows its commit again when it was not told how it ended.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) run_id: String,
    pub(super) part: i64,
}

impl Mark {
    fn application(&self) -> String {
        format!("failsift/{}", self.run_id)
    }

    /// Whether the commit is in the table.
    pub(super) async fn is_in(&self, table: &Table) -> DeltaResult<bool> {
        let state = table.delta.snapshot()?;
        let version = state.transaction_version(table.delta.log_store().as_ref(), self.application()).await?;
        Ok(version.is_some_and(|version| version >= self.part))
    }
}

/// The bucket of a trace id or reference: stable, and even whatever ids look like.
pub(super) fn bucket(text: &str, buckets: i32) -> i32 {
    bucket_of_key(key_hash(text), buckets)
}

fn bucket_of_key(key: u128, buckets: i32) -> i32 {
    i32::try_from(key % u128::from(buckets.unsigned_abs().max(1))).unwrap_or(0)
}

/// Commits the incoming rows and removes those that they supersede, all or nothing, once: a commit that is in the table already is not
/// repeated, whoever made it. Incoming rows of which a fuller one is there are left out.
pub(super) async fn commit(
    table: &mut Table,
    incoming: &Incoming<'_>,
    superseded: &Arc<Superseded>,
    mark: &Mark,
    looked_at: &mut LookedAt,
) -> DeltaResult<()> {
    let mut attempts = Attempts::default();
    let mut new = New::default();
    loop {
        table.delta.update_state().await?;
        // Also at first: several runs may be ending the same commit of a dead one.
        if mark.is_in(table).await? {
            return Ok(());
        }
        if !attempts.begun() {
            new.adds = incoming.write(table, &new.left_out).await?;
        }
        let (changes, fuller) = rewrites(table, superseded, &new.adds, looked_at).await?;
        if new.left_out != fuller {
            forget(table, &new.adds).await;
            new = New { adds: incoming.write(table, &fuller).await?, left_out: fuller };
        }
        if new.adds.is_empty() && changes.removed.is_empty() {
            return Ok(());
        }
        let rewritten = changes.added.clone();
        let adds = new.adds.iter().cloned().chain(changes.added).map(Action::Add);
        let actions: Vec<Action> = adds.chain(changes.removed.into_iter().map(Action::Remove)).collect();
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: table.partition_by(), predicate: None };
        let properties =
            CommitProperties::default().with_application_transaction(Transaction::new(mark.application(), mark.part)).with_max_retries(0);
        let Err(error) = try_commit(table, actions, operation, properties).await else { return Ok(()) };
        // It may have arrived although its answer did not: the next attempt finds out, and so does the last.
        if let Err(error) = attempts.wait(table.name, error).await {
            table.delta.update_state().await?;
            return if mark.is_in(table).await? { Ok(()) } else { Err(error) };
        }
        forget(table, &rewritten).await;
    }
}

/// New data files, and the keys of the incoming rows that are not in them.
#[derive(Default)]
struct New {
    adds: Vec<Add>,
    left_out: HashSet<u128>,
}

/// Of the rows that would come in, the keys of those of which a fuller one is in the current version.
pub(super) async fn fuller(table: &Table, superseded: &Superseded, looked_at: &mut LookedAt) -> DeltaResult<HashSet<u128>> {
    let buckets = table.buckets();
    let wanted: HashSet<Bucket> = superseded.keys.keys().map(|key| Some(bucket_of_key(*key, buckets))).collect();
    let files = files_by_bucket(table).await?.into_iter().filter(|(bucket, _)| wanted.contains(bucket)).flat_map(|(_, files)| files);
    let looks = futures::stream::iter(files).map(|file| async move {
        let look = look_at(table, &file, superseded, None).await?;
        Ok::<_, DeltaTableError>((file.path().into_owned(), look))
    });
    let mut looks = std::pin::pin!(looks.buffer_unordered(KEY_READS_IN_FLIGHT_MAX));
    let mut found = HashSet::new();
    while let Some(look) = looks.next().await {
        let (path, look) = look?;
        found.extend(look.fuller.iter().copied());
        if look.kept.is_none() {
            looked_at.insert(path, look.fuller);
        }
    }
    Ok(found)
}

/// Files of the current version and their bytes.
pub(super) async fn size(table: &Table) -> DeltaResult<(usize, u64)> {
    let files = files_of(table).await?;
    Ok((files.len(), files.iter().filter_map(|file| u64::try_from(file.size()).ok()).sum()))
}

/// How many files [`compact`] would merge.
pub(super) async fn mergeable(table: &Table) -> DeltaResult<usize> {
    Ok(files_by_bucket(table).await?.into_values().map(|files| below_size(files).len()).sum())
}

/// Merges the files of each bucket that are below the size that files should have; says how many.
pub(super) async fn compact(table: &mut Table) -> DeltaResult<usize> {
    let mut attempts = Attempts::default();
    loop {
        table.delta.update_state().await?;
        let mut changes = merges(table).await?;
        if changes.removed.is_empty() {
            return Ok(0);
        }
        changes.added.iter_mut().for_each(|add| add.data_change = false);
        changes.removed.iter_mut().for_each(|remove| remove.data_change = false);
        let merged = changes.removed.len();
        let rewritten = changes.added.clone();
        let adds = changes.added.into_iter().map(Action::Add);
        let actions: Vec<Action> = adds.chain(changes.removed.into_iter().map(Action::Remove)).collect();
        let operation =
            DeltaOperation::Optimize { predicate: None, target_size: i64::try_from(DATA_FILE_TARGET_BYTES).unwrap_or(i64::MAX) };
        let properties = CommitProperties::default().with_max_retries(0);
        let Err(error) = try_commit(table, actions, operation, properties).await else { return Ok(merged) };
        attempts.wait(table.name, error).await?;
        forget(table, &rewritten).await;
    }
}

/// Attempts at a commit, with a pause after each that grows.
#[derive(Default)]
struct Attempts {
    lost: usize,
    failed: usize,
}

impl Attempts {
    fn begun(&self) -> bool {
        self.lost + self.failed > 0
    }

    /// Waits before the next attempt; the error where there were too many.
    async fn wait(&mut self, table: TableName, error: DeltaTableError) -> DeltaResult<()> {
        let race = is_race(&error);
        if race {
            self.lost += 1;
        } else {
            self.failed += 1;
        }
        if self.lost >= COMMIT_ATTEMPTS_MAX || self.failed >= COMMIT_STORE_FAILURES_MAX {
            return Err(error);
        }
        tracing::debug!(table = table.as_str(), race, "a commit was not made, planning again");
        let delay = Duration::from_millis(20 << (self.lost + self.failed).min(7)).min(Duration::from_secs(2));
        let random = uuid::Uuid::new_v4().as_bytes().first().copied().unwrap_or(0);
        tokio::time::sleep(delay / 2 + delay * u32::from(random) / 512).await;
        Ok(())
    }
}

fn is_race(error: &DeltaTableError) -> bool {
    let text = error.to_string();
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::MaxCommitAttempts(_)
                    | TransactionError::VersionAlreadyExists(_)
                    | TransactionError::CommitConflict(_)
            }
    ) || text.contains("already exists")
}

/// Removes files that no commit names, because the attempt that made them lost. What cannot be removed is vacuumed later.
async fn forget(table: &mut Table, files: &[Add]) {
    // The attempt may have been repeated by the store and lost against itself; then the files are in the table.
    let named: HashSet<String> = match table.delta.update_state().await {
        Ok(()) => files_of(table).await.map(|files| files.iter().map(|file| file.path().into_owned()).collect()).unwrap_or_default(),
        Err(_) => return,
    };
    for file in files.iter().filter(|file| !named.contains(&file.path)) {
        let _ = table.delta.object_store().delete(&Path::from(file.path.as_str())).await;
    }
}

/// Commits on top of the version that was planned against, or not at all.
async fn try_commit(table: &mut Table, actions: Vec<Action>, operation: DeltaOperation, properties: CommitProperties) -> DeltaResult<()> {
    let state = table.delta.snapshot()?;
    CommitBuilder::from(properties).with_actions(actions).build(Some(state), table.delta.log_store(), operation).await?;
    Ok(())
}

/// What happens to files that are there.
#[derive(Debug, Default)]
struct Changes {
    removed: Vec<Remove>,
    added: Vec<Add>,
}

async fn files_of(table: &Table) -> DeltaResult<Vec<LogicalFileView>> {
    table.delta.snapshot()?.snapshot().file_views(table.delta.log_store().as_ref(), None).try_collect().await
}

async fn files_by_bucket(table: &Table) -> DeltaResult<BTreeMap<Bucket, Vec<LogicalFileView>>> {
    let mut buckets: BTreeMap<Bucket, Vec<LogicalFileView>> = BTreeMap::new();
    for file in files_of(table).await? {
        let bucket = file.partition_values_map().get("bucket").cloned().flatten().and_then(|bucket| bucket.parse().ok());
        buckets.entry(bucket).or_default().push(file);
    }
    Ok(buckets)
}

/// For each bucket that changes: the removal of files that hold a superseded row, and of small ones where there are too many, and new
/// files with the rows that stay. Also the keys of incoming rows of which a fuller one is there.
async fn rewrites(
    table: &Table,
    superseded: &Arc<Superseded>,
    new: &[Add],
    looked_at: &mut LookedAt,
) -> DeltaResult<(Changes, HashSet<u128>)> {
    let buckets = table.buckets();
    let mut wanted: HashSet<Bucket> =
        superseded.keys.keys().chain(&superseded.objects).map(|key| Some(bucket_of_key(*key, buckets))).collect();
    wanted.extend(new.iter().map(|add| add.partition_values.get("bucket").cloned().flatten().and_then(|bucket| bucket.parse().ok())));
    let files = files_by_bucket(table).await?.into_iter().filter(|(bucket, _)| wanted.contains(bucket));
    // Tasks of their own, because decoding and encoding keep a core busy.
    let shared = Arc::new(table.clone());
    let mut tasks = JoinSet::new();
    let (mut all, mut fuller) = (Changes::default(), HashSet::new());
    let mut take = |rewritten: Result<DeltaResult<Rewritten>, JoinError>, looked_at: &mut LookedAt| -> DeltaResult<()> {
        let rewritten = pool::join_result(rewritten).ok_or_else(stopped)??;
        all.removed.extend(rewritten.changes.removed);
        all.added.extend(rewritten.changes.added);
        for (path, keys) in rewritten.looked_at {
            fuller.extend(keys.iter().copied());
            looked_at.insert(path, keys);
        }
        fuller.extend(rewritten.fuller);
        Ok(())
    };
    for (bucket, files) in files {
        if tasks.len() >= REWRITES_IN_FLIGHT_MAX
            && let Some(rewritten) = tasks.join_next().await
        {
            take(rewritten, looked_at)?;
        }
        let files = files.into_iter().map(|file| (looked_at.get(&*file.path()).cloned(), file)).collect();
        tasks.spawn(rewrite_bucket(Arc::clone(&shared), bucket, files, Arc::clone(superseded)));
    }
    while let Some(rewritten) = tasks.join_next().await {
        take(rewritten, looked_at)?;
    }
    Ok((all, fuller))
}

fn stopped() -> DeltaTableError {
    DeltaTableError::Generic("the run was stopped".into())
}

/// What becomes of a bucket.
#[derive(Default)]
struct Rewritten {
    changes: Changes,
    /// Files that stay as they are.
    looked_at: LookedAt,
    /// Keys of fuller rows in the other files.
    fuller: Vec<u128>,
}

async fn rewrite_bucket(
    table: Arc<Table>,
    bucket: Bucket,
    files: Vec<(Option<Vec<u128>>, LogicalFileView)>,
    superseded: Arc<Superseded>,
) -> DeltaResult<Rewritten> {
    let small = files.iter().filter(|(_, file)| is_below(file, SMALL_FILE_BYTES_MAX)).count();
    let merge = small >= SMALL_FILES_PER_BUCKET_MAX;
    let mut done = Rewritten::default();
    let mut writer = TableWriter::new(&table);
    let looked_at = futures::stream::iter(files).map(|(known, file)| {
        let (table, superseded) = (&table, &superseded);
        async move {
            let look = look_at(table, &file, superseded, known).await;
            (file, look)
        }
    });
    let mut looked_at = std::pin::pin!(looked_at.buffered(KEY_READS_IN_FLIGHT_MAX));
    while let Some((file, look)) = looked_at.next().await {
        let look = look?;
        if look.kept.is_none() && !(merge && is_below(&file, SMALL_FILE_BYTES_MAX)) {
            done.looked_at.insert(file.path().into_owned(), look.fuller);
            continue;
        }
        done.fuller.extend(look.fuller);
        done.changes.removed.push(file.remove_action(true));
        let object = object_of(&table, &file);
        let brought = writer.bring(&object, look.kept.as_deref(), Destination::Bucket(bucket)).await;
        brought.map_err(|error| unreadable(table.name, &object, &error))?;
    }
    done.changes.added = writer.finish().await?;
    Ok(done)
}

/// For each bucket: its files that are worth merging, merged.
async fn merges(table: &Table) -> DeltaResult<Changes> {
    let mut all = Changes::default();
    for (bucket, files) in files_by_bucket(table).await? {
        let mut writer = TableWriter::new(table);
        for file in below_size(files) {
            let object = object_of(table, &file);
            let brought = writer.bring(&object, None, Destination::Bucket(bucket)).await;
            brought.map_err(|error| unreadable(table.name, &object, &error))?;
            all.removed.push(file.remove_action(true));
        }
        all.added.extend(writer.finish().await?);
    }
    Ok(all)
}

/// Files that are worth merging, which takes two.
fn below_size(mut files: Vec<LogicalFileView>) -> Vec<LogicalFileView> {
    files.retain(|file| is_below(file, DATA_FILE_TARGET_BYTES / 2));
    if files.len() < 2 { Vec::new() } else { files }
}

fn is_below(file: &LogicalFileView, bytes: usize) -> bool {
    usize::try_from(file.size()).is_ok_and(|size| size < bytes)
}

fn unreadable(table: TableName, object: &Object, error: &DeltaTableError) -> DeltaTableError {
    DeltaTableError::Generic(format!("the data file {}/{} cannot be rewritten: {}", table.as_str(), object.uri, said(error)))
}

fn object_of(table: &Table, file: &LogicalFileView) -> Arc<Object> {
    let path: Path = file.object_store_path();
    let size = u64::try_from(file.size()).unwrap_or(0);
    let uri = path.to_string();
    Arc::new(Object::in_store(table.delta.object_store(), path, uri, size, 0))
}

/// What a commit means for the rows of a data file.
#[derive(Debug, Default)]
struct Look {
    /// For each row whether it stays; nothing where all do.
    kept: Option<Vec<bool>>,
    /// Keys of rows that stay because they are fuller than the new ones.
    fuller: Vec<u128>,
}

/// Looks at the key columns of a data file, unless it is known that it stays as it is, with these fuller rows.
async fn look_at(table: &Table, file: &LogicalFileView, superseded: &Superseded, known: Option<Vec<u128>>) -> DeltaResult<Look> {
    if let Some(fuller) = known {
        return Ok(Look { kept: None, fuller });
    }
    if superseded.is_empty() {
        return Ok(Look::default());
    }
    let object = object_of(table, file);
    let name = table.name;
    let (mut kept, mut fuller) = (Vec::new(), Vec::new());
    let looked = each_key(name, &object, |row| {
        let key = key_hash(row.reference);
        let stays = match superseded.keys.get(&key) {
            Some(new) if name == TableName::Patterns => {
                let stays = row.extent().is_some_and(|stored| !new.replaces(stored));
                fuller.extend(stays.then_some(key));
                stays
            }
            Some(_) => false,
            None => !row.is_of(superseded),
        };
        kept.push(stays);
    });
    looked.await.map_err(|error| unreadable(name, &object, &error))?;
    Ok(Look { kept: kept.contains(&false).then_some(kept), fuller })
}

/// The data files of the current version.
pub(super) async fn objects(table: &Table) -> DeltaResult<Vec<Arc<Object>>> {
    Ok(files_of(table).await?.iter().map(|file| object_of(table, file)).collect())
}

/// Calls `visit` with some text columns of each row; not at all where the file lacks one of them.
pub(super) async fn each_row(object: &Arc<Object>, columns: &[&str], mut visit: impl FnMut(&[Option<&str>])) -> DeltaResult<()> {
    let mut batches = columns_of(object, columns).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let Ok(texts) = columns.iter().map(|name| text_column(&batch, name)).collect::<DeltaResult<Vec<_>>>() else { return Ok(()) };
        for row in 0..batch.num_rows() {
            let values: Vec<Option<&str>> = texts.iter().map(|column| column.is_valid(row).then(|| column.value(row))).collect();
            visit(&values);
        }
    }
    Ok(())
}

/// What identifies a row, and what decides whether it is replaced.
pub(super) struct KeyRow<'a> {
    /// The trace id, or the place.
    pub(super) reference: &'a str,
    /// The object that it came from.
    source: Option<&'a str>,
    run_id: Option<&'a str>,
    spans: Option<u64>,
}

impl KeyRow<'_> {
    /// How much of its trace a pattern was made of; nothing where an older failsift wrote the row.
    pub(super) fn extent(&self) -> Option<Extent> {
        Some(Extent::new(self.spans?, self.source.unwrap_or_default()))
    }

    /// Whether it is keyed by a place in one of the objects, and an earlier run brought it.
    fn is_of(&self, superseded: &Superseded) -> bool {
        self.source.is_some_and(|uri| {
            let is_place = self.reference.strip_prefix(uri).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'));
            is_place && self.run_id != Some(&superseded.run_id) && superseded.objects.contains(&key_hash(uri))
        })
    }
}

/// Calls `visit` with what identifies each row of `patterns` or `errors`.
pub(super) async fn each_key(name: TableName, object: &Arc<Object>, mut visit: impl FnMut(&KeyRow<'_>)) -> DeltaResult<()> {
    let (key, columns): (&str, &[&str]) = match name {
        TableName::Errors => ("trace_ref", &["trace_ref", "source_uri", "run_id"]),
        TableName::Patterns | TableName::Runs => ("trace_id", &["trace_id", "source_uri", "spans_total"]),
    };
    let mut batches = columns_of(object, columns).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let references = text_column(&batch, key)?;
        // Files of older versions may lack the others.
        let (sources, runs) = (text_column(&batch, "source_uri").ok(), text_column(&batch, "run_id").ok());
        let spans = batch.column_by_name("spans_total").and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        for row in 0..batch.num_rows() {
            visit(&KeyRow {
                reference: references.value(row),
                source: sources.as_ref().map(|column| column.value(row)),
                run_id: runs.as_ref().map(|column| column.value(row)),
                spans: spans.filter(|column| column.is_valid(row)).and_then(|column| u64::try_from(column.value(row)).ok()),
            });
        }
    }
    Ok(())
}

fn text_column(batch: &RecordBatch, name: &str) -> DeltaResult<StringArray> {
    let column = batch.column_by_name(name).ok_or_else(|| DeltaTableError::Generic(format!("a data file lacks the column {name}")))?;
    let column: ArrayRef = match column.as_any().downcast_ref::<StringViewArray>() {
        Some(_) => cast(column, &DataType::Utf8)?,
        None => Arc::clone(column),
    };
    column.as_any().downcast_ref::<StringArray>().cloned().ok_or_else(|| DeltaTableError::Generic(format!("the column {name} is no text")))
}

#[cfg(test)]
mod tests {
    use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
    use deltalake_core::kernel::{DataType as KernelType, StructField};

    use super::*;
    use crate::model::PatternRow;
    use crate::validate::PatternSchema;
    use crate::write::staging::StagedFile;
    use crate::write::{columns, encode_patterns};

    async fn row(trace_id: &str, summary: &str) -> PatternRow {
        let draft = crate::model::Draft { trace_id: trace_id.to_owned(), ..crate::model::Draft::sample(summary) };
        let stream = futures::stream::iter([Ok(draft.into())]).boxed();
        crate::validate::patterns(stream, PatternSchema::new("a-run").unwrap()).next().await.unwrap().unwrap().into_row()
    }

    async fn rows(range: std::ops::Range<usize>, summary: &str) -> Vec<PatternRow> {
        let one = row("t", summary).await;
        range.map(|number| PatternRow { trace_id: format!("t-{number}"), ..one.clone() }).collect()
    }

    /// Stages rows, and gives what a run knows of them.
    async fn staged(table: &Table, rows: Vec<PatternRow>) -> (Arc<Superseded>, Arc<Object>) {
        let keys = rows.iter().map(|row| (key_hash(&row.trace_id), Extent::new(row.spans_total, &row.source_uri))).collect();
        let staged = table.delta.object_store();
        let path = Path::from(format!("staged-{}.parquet", uuid::Uuid::now_v7()));
        let bytes = encode_patterns(rows, table.buckets()).unwrap();
        let size = bytes.len() as u64;
        staged.put(&path, bytes.into()).await.unwrap();
        let object = Arc::new(Object::in_store(staged, path.clone(), path.to_string(), size, 0));
        (Arc::new(Superseded { keys, ..Superseded::default() }), object)
    }

    /// Upserts rows as a run does: staged, brought into data files, committed.
    async fn upsert(table: &mut Table, rows: Vec<PatternRow>, mark: &Mark) {
        let (superseded, object) = staged(table, rows).await;
        let file = StagedFile::default();
        let incoming = Incoming::new(TableName::Patterns, vec![(&file, object)]);
        commit(table, &incoming, &superseded, mark, &mut LookedAt::new()).await.unwrap();
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

    fn mark(run: &str) -> Mark {
        Mark { run_id: run.into(), part: 0 }
    }

    async fn table(folder: &tempfile::TempDir) -> Table {
        let location = url::Url::from_directory_path(folder.path()).unwrap();
        Table::open(&location, TableName::Patterns).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn replaced_rows_go_others_stay_and_untouched_row_groups_are_copied() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = table(&folder).await;
        upsert(&mut table, rows(0..9_000, "old").await, &mark("one")).await;
        let before = row_groups(&table).await;
        assert_eq!(before.len(), 16, "a row group for each bucket: {before:?}");
        // A second batch makes a second row group in each bucket's merged file.
        upsert(&mut table, rows(9_000..18_000, "old").await, &mark("two")).await;
        compact(&mut table).await.unwrap();
        table.delta.update_state().await.unwrap();
        let copied = row_groups(&table).await;
        assert_eq!((files_of(&table).await.unwrap().len(), copied.len()), (16, 32), "compaction copies row groups: {copied:?}");
        upsert(&mut table, rows(5..6, "new").await, &mark("three")).await;
        let found = summaries(&table).await;
        assert_eq!(found.len(), 18_000);
        assert!(found.iter().all(|(id, summaries)| summaries.as_slice() == [if id == "t-5" { "new" } else { "old" }]));
        let mut after = row_groups(&table).await;
        after.retain(|rows| !copied.contains(rows));
        assert!(after.iter().sum::<i64>() < 1_000, "one row group was encoded again, and one row is new: {after:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_writer_that_planned_on_an_older_version_plans_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut table, mut other) = (table(&folder).await, table(&folder).await);
        upsert(&mut table, rows(0..10, "old").await, &mark("one")).await;
        assert!(mark("one").is_in(&table).await.unwrap() && !mark("two").is_in(&table).await.unwrap());
        upsert(&mut other, rows(5..15, "new").await, &mark("two")).await;
        let found = summaries(&other).await;
        assert_eq!(found.len(), 15);
        assert!(found.values().all(|summaries| summaries.len() == 1));
        assert_eq!(found.values().filter(|summaries| summaries[0] == "new").count(), 10);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_table_of_an_older_version_gets_the_new_columns_and_keeps_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let whole = columns::patterns_schema();
        let older: Vec<StructField> = whole
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
        upsert(&mut old, rows(0..600, "old").await, &mark("one")).await;
        let mut table = Table::open(&location, TableName::Patterns).await.unwrap();
        let known = table.delta.snapshot().unwrap().schema();
        assert_eq!(known.field("cost_usd").map(StructField::data_type), Some(&KernelType::DOUBLE));
        assert_eq!(row_groups(&table).await.iter().sum::<i64>(), 600, "its files are as they were");
        upsert(&mut table, rows(300..301, "new").await, &mark("two")).await;
        let provider = table.delta.table_provider().await.unwrap();
        let context = datafusion::prelude::SessionContext::new();
        context.register_table("patterns", provider).unwrap();
        let sql = "select count(*), count(cost_usd), count(distinct trace_id) from patterns";
        let counted = context.sql(sql).await.unwrap().collect().await.unwrap();
        let number = |column: usize| counted[0].column(column).as_any().downcast_ref::<arrow::array::Int64Array>().unwrap().value(0);
        assert_eq!((number(0), number(1), number(2)), (600, 1, 600), "old rows have nulls, the new one has its value");
        let configuration = table.delta.snapshot().unwrap().metadata().configuration().clone();
        assert_eq!(configuration.get("failsift.schema_version").map(String::as_str), Some(crate::model::PATTERN_SCHEMA_VERSION));
        // Once more is no change.
        let version = table.delta.version();
        assert_eq!(Table::open(&location, TableName::Patterns).await.unwrap().delta.version(), version);
    }
}
