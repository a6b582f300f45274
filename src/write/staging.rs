//! Finished outcomes that are durable and not visible yet: a folder of the run below the output location.
//!
//! ```text
//! _staging/RUN_ID/run.json                 which run over which job, rewritten every few seconds as a sign of life
//!                 patterns-000001.parquet  rows, one row group for each bucket where there are enough
//!                 errors-000002.parquet
//!                 taken-000003.parquet     patterns that a dead run of the same job left
//!                 commit.json              once there: these files are being committed, and whoever finds the run dead goes on with it
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{Array, Float64Array, RecordBatch, StringArray};
use bytes::Bytes;
use deltalake_core::{DeltaResult, Path};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::async_reader::AsyncFileReader;
use serde::{Deserialize, Serialize};
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

use super::LabelCount;
use super::lease::{self, Process};
use super::stored::UnusableAnswers;
use super::table::TableName;
use super::table_writer::columns_of;
use crate::limits::{HEARTBEAT_INTERVAL, STORE_REQUESTS_IN_FLIGHT_MAX};
use crate::model::{UnusableAnswer, key_hash};
use crate::store::{self, Object, ObjectReader, StoreError};

/// The folder below an output location.
const FOLDER: &str = "_staging";
const RECORD: &str = "run.json";
const COMMIT: &str = "commit.json";
const TAKEN: &str = "taken";

/// Why staged work cannot be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// The output is no usable place.
    #[error(transparent)]
    Location(#[from] StoreError),
    /// The store refuses or fails.
    #[error("{what}: {reason}")]
    Store {
        /// What was being done.
        what: String,
        /// What was said.
        reason: String,
    },
}

pub(super) fn failed(what: impl Into<String>, reason: impl std::fmt::Display) -> StagingError {
    StagingError::Store { what: what.into(), reason: reason.to_string().lines().next().unwrap_or_default().to_owned() }
}

/// What `run.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    run_id: String,
    /// The same for runs over the same input with the same settings.
    job: String,
    process: Option<Process>,
}

/// One staged file of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StagedFile {
    pub(super) name: String,
    /// Numbers of rows that are not committed, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) dropped: Vec<usize>,
    /// Numbers of rows that are not committed because the table has a pattern of a fuller piece of their trace, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) smaller: Vec<usize>,
}

impl StagedFile {
    fn whole(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// For each row whether it is committed; nothing where all are.
    pub(super) async fn kept(&self, object: &Arc<Object>) -> DeltaResult<Option<Vec<bool>>> {
        if self.dropped.is_empty() && self.smaller.is_empty() {
            return Ok(None);
        }
        let metadata = ObjectReader::new(Arc::clone(object)).get_metadata(None).await?;
        let mut kept = vec![true; usize::try_from(metadata.file_metadata().num_rows()).unwrap_or(0)];
        for row in self.dropped.iter().chain(&self.smaller) {
            if let Some(kept) = kept.get_mut(*row) {
                *kept = false;
            }
        }
        Ok(Some(kept))
    }
}

/// What `commit.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CommitRecord {
    /// Counts the commits of a run.
    pub(super) part: i64,
    /// The staged files of each table.
    pub(super) files: BTreeMap<String, Vec<StagedFile>>,
    /// Keys of objects that were read: errors that are keyed by a place in one of them are replaced.
    pub(super) objects: Vec<u128>,
    /// Keys of traces that leave `errors` without a new pattern: they have one of the same content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) settled: Vec<u128>,
}

impl CommitRecord {
    /// The staged files of a table.
    pub(super) fn files_of(&self, name: TableName) -> &[StagedFile] {
        self.files.get(name.as_str()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Where the folders of all runs over one output lie.
#[derive(Debug, Clone)]
pub(super) struct Place {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    local: Option<PathBuf>,
}

impl Place {
    pub(super) fn below(output: &Url) -> Result<Self, StagingError> {
        let (store, root) = store::open(output)?;
        Ok(Self { store, folder: root.join(FOLDER), local: output.to_file_path().ok().map(|path| path.join(FOLDER)) })
    }
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// Object stores have no folders, local files do.
    local: Option<PathBuf>,
    pub(super) run_id: String,
}

impl Folder {
    fn of(place: &Place, run_id: &str) -> Self {
        Self {
            store: Arc::clone(&place.store),
            path: place.folder.clone().join(run_id),
            local: place.local.as_ref().map(|folder| folder.join(run_id)),
            run_id: run_id.to_owned(),
        }
    }

    async fn put(&self, name: &str, bytes: impl Into<PutPayload>) -> Result<(), StagingError> {
        let path = self.path.clone().join(name);
        self.store.put(&path, bytes.into()).await.map(drop).map_err(|error| failed(format!("cannot keep finished work in {path}"), error))
    }

    /// Its content; nothing where there is none.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, StagingError> {
        let path = self.path.clone().join(name);
        let wrong = |error| failed(format!("cannot read {path}"), error);
        match self.store.get(&path).await {
            Ok(found) => found.bytes().await.map(Some).map_err(wrong),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(wrong(error)),
        }
    }

    async fn names(&self) -> Result<Vec<String>, StagingError> {
        let listed = self.store.list(Some(&self.path)).try_collect::<Vec<_>>().await;
        let found = listed.map_err(|error| failed(format!("cannot list {}", self.path), error))?;
        let mut names: Vec<String> = found.iter().filter_map(|meta| meta.location.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    /// Staged files as objects; nothing where one of them is gone. A long run has many.
    pub(super) async fn objects<'a>(&self, files: &'a [StagedFile]) -> Result<Option<Vec<(&'a StagedFile, Arc<Object>)>>, StagingError> {
        let looked_up = futures::stream::iter(files).map(|file| async move { self.object(&file.name).await.map(|object| (file, object)) });
        let found: Vec<(&StagedFile, Option<Arc<Object>>)> = looked_up.buffered(STORE_REQUESTS_IN_FLIGHT_MAX).try_collect().await?;
        Ok(found.into_iter().map(|(file, object)| Some((file, object?))).collect())
    }

    /// A staged file as an object; nothing where it is gone.
    async fn object(&self, name: &str) -> Result<Option<Arc<Object>>, StagingError> {
        let path = self.path.clone().join(name);
        match self.store.head(&path).await {
            Ok(meta) => {
                let uri = path.to_string();
                Ok(Some(Arc::new(Object::in_store(Arc::clone(&self.store), path, uri, meta.size, 0))))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(format!("cannot read {path}"), error)),
        }
    }

    async fn record(&self) -> Result<Option<Record>, StagingError> {
        // Half a record is one of a run that died at its start; it has no work.
        Ok(self.get(RECORD).await?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// The commit that the run began and nobody ended.
    pub(super) async fn commit_record(&self) -> Result<Option<CommitRecord>, StagingError> {
        let Some(bytes) = self.get(COMMIT).await? else { return Ok(None) };
        let path = self.path.clone().join(COMMIT);
        serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(format!("cannot read {path}"), error))
    }

    /// Whether nobody has ended this commit yet.
    pub(super) async fn is_committing(&self, record: &CommitRecord) -> Result<bool, StagingError> {
        Ok(self.commit_record().await?.is_some_and(|found| found.part == record.part))
    }

    /// Gives up a commit that cannot be ended, because its files are gone.
    pub(super) async fn give_up_commit(&self) -> Result<(), StagingError> {
        self.delete(COMMIT).await
    }

    /// Says that a commit has begun. From here on it happens, by this run or by a later one.
    pub(super) async fn begin_commit(&self, record: &CommitRecord) -> Result<(), StagingError> {
        let bytes = serde_json::to_vec(record).map_err(|error| failed("cannot write down what is committed", error))?;
        self.put(COMMIT, bytes).await
    }

    /// Forgets what was committed. The record goes first: what it names must be there as long as anybody may read it.
    pub(super) async fn end_commit(&self, record: &CommitRecord) -> Result<(), StagingError> {
        if self.is_committing(record).await? {
            self.delete(COMMIT).await?;
        }
        for file in record.files.values().flatten().filter(|file| file.dropped.is_empty()) {
            self.delete(&file.name).await?;
        }
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), StagingError> {
        let path = self.path.clone().join(name);
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(format!("cannot delete {path}"), error)),
        }
    }

    /// Removes everything; the record goes last, so that what is left has an owner.
    pub(super) async fn remove(&self) -> Result<(), StagingError> {
        for name in self.names().await?.iter().filter(|name| *name != RECORD) {
            self.delete(name).await?;
        }
        self.delete(RECORD).await?;
        if let Some(local) = &self.local {
            // One that is not empty stays: somebody else has put something there.
            let _ = std::fs::remove_dir(local);
        }
        Ok(())
    }
}

/// Another run's folder.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) folder: Folder,
    pub(super) job: String,
    pub(super) dead: bool,
    /// How long ago it was heard of, by the clock of the store.
    pub(super) silence: Duration,
}

/// The time by the clock of the store, by which it says when objects were written: told by an object that is written and removed again.
pub(super) async fn clock(place: &Place) -> Result<chrono::DateTime<chrono::Utc>, StagingError> {
    let folder = Folder::of(place, &format!("clock-{}", uuid::Uuid::now_v7()));
    let run_id = folder.run_id.clone();
    let record = serde_json::to_vec(&Record { run_id, job: String::new(), process: Process::this() });
    folder.put(RECORD, record.map_err(|error| failed("cannot describe the run", error))?).await?;
    let path = folder.path.clone().join(RECORD);
    let written = folder.store.head(&path).await.map_err(|error| failed(format!("cannot read {path}"), error));
    folder.remove().await?;
    Ok(written?.last_modified)
}

/// Every other run's folder. `now` is the time by the clock of the store.
pub(super) async fn others(place: &Place, own: &str, now: chrono::DateTime<chrono::Utc>) -> Result<Vec<Other>, StagingError> {
    let parent = &place.folder;
    let listed = match place.store.list(Some(parent)).try_collect::<Vec<_>>().await {
        Ok(listed) => listed,
        Err(object_store::Error::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(failed(format!("cannot list {parent}"), error)),
    };
    let mut heard: BTreeMap<String, chrono::DateTime<chrono::Utc>> = BTreeMap::new();
    for meta in listed {
        // A file beside the folders of runs belongs to none.
        let run_id = meta.location.prefix_match(parent).and_then(|mut parts| {
            let run_id = parts.next()?.as_ref().to_owned();
            parts.next().map(|_| run_id)
        });
        if let Some(run_id) = run_id.filter(|run_id| run_id != own) {
            let last = heard.entry(run_id).or_insert(meta.last_modified);
            *last = meta.last_modified.max(*last);
        }
    }
    let mut found = Vec::new();
    for (run_id, last) in heard {
        let folder = Folder::of(place, &run_id);
        let record = folder.record().await?;
        let silence = (now - last).to_std().unwrap_or_default();
        let dead = lease::is_dead(record.as_ref().and_then(|record| record.process.as_ref()), silence);
        found.push(Other { folder, job: record.map(|record| record.job).unwrap_or_default(), dead, silence });
    }
    Ok(found)
}

/// Staged work of this run.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) folder: Folder,
    next: AtomicU32,
    /// Staged files that are not committed yet, by table.
    files: Mutex<BTreeMap<String, Vec<StagedFile>>>,
    pub(super) taken: Arc<TakenUp>,
    heartbeat: AbortHandle,
    /// Ends the heart with the run.
    _heart: JoinSet<()>,
}

impl Staging {
    /// Makes the folder of a run, and finds those of others.
    ///
    /// # Errors
    /// [`StagingError`] where the output cannot be written.
    pub(super) async fn begin(output: &Url, run_id: &str, job: &str) -> Result<(Self, Vec<Other>), StagingError> {
        let place = Place::below(output)?;
        let folder = Folder::of(&place, run_id);
        let record = Record { run_id: run_id.to_owned(), job: job.to_owned(), process: Process::this() };
        let record = serde_json::to_vec(&record).map_err(|error| failed("cannot describe the run", error))?;
        folder.put(RECORD, record.clone()).await?;
        let path = folder.path.clone().join(RECORD);
        let now = folder.store.head(&path).await.map_err(|error| failed(format!("cannot read {path}"), error))?.last_modified;
        let others = others(&place, run_id, now).await?;
        let mut heart = JoinSet::new();
        let heartbeat = heart.spawn(heartbeat(folder.clone(), record));
        let staging = Self { folder, next: AtomicU32::new(1), files: Mutex::default(), taken: Arc::default(), heartbeat, _heart: heart };
        Ok((staging, others))
    }

    /// Makes rows durable; gives the name of their file.
    pub(super) async fn put(&self, table: TableName, bytes: Vec<u8>) -> Result<String, StagingError> {
        self.replace(table, &[], bytes).await
    }

    /// Makes rows durable that stand in files of this run already, and removes these.
    pub(super) async fn replace(&self, table: TableName, replaced: &[String], bytes: Vec<u8>) -> Result<String, StagingError> {
        let name = self.name(table.as_str());
        self.folder.put(&name, bytes).await?;
        {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            let files = files.entry(table.as_str().to_owned()).or_default();
            files.retain(|file| !replaced.contains(&file.name));
            files.push(StagedFile::whole(name.clone()));
        }
        for name in replaced {
            self.folder.delete(name).await?;
        }
        Ok(name)
    }

    fn name(&self, kind: &str) -> String {
        format!("{kind}-{:06}.parquet", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes up what dead runs of the same job left; what others left stays where it is.
    pub(super) async fn take_up(&mut self, others: &[Other]) -> Result<(), StagingError> {
        let mut taken = TakenUp::default();
        for other in others {
            let names = other.folder.names().await?;
            for name in names.iter().filter(|name| name.starts_with(TableName::Errors.as_str())) {
                let Some(object) = other.folder.object(name).await? else { continue };
                if let Err(error) = taken.unusable.add(&object, None).await {
                    tracing::warn!(%error, "what an earlier run knew of unusable answers is lost");
                }
            }
            let patterns = names.into_iter().filter(|name| name.starts_with(TableName::Patterns.as_str()) || name.starts_with(TAKEN));
            // A run that asked a model may have left hundreds of small files.
            let files = futures::stream::iter(patterns.map(|name| self.take_up_file(&other.folder, name)));
            let mut files = std::pin::pin!(files.buffered(STORE_REQUESTS_IN_FLIGHT_MAX));
            while let Some(file) = files.next().await {
                let Some((name, batches)) = file? else { continue };
                // What cannot be read cannot be used; its traces are analysed again.
                if let Err(error) = batches.and_then(|batches| taken.add(name, &batches)) {
                    tracing::warn!(%error, "work of an earlier run is lost");
                }
            }
            other.folder.remove().await?;
        }
        self.taken = Arc::new(taken);
        Ok(())
    }

    /// Makes a file of a dead run one of this run, and reads what is needed to know its rows again.
    async fn take_up_file(
        &self,
        folder: &Folder,
        name: String,
    ) -> Result<Option<(String, Result<Vec<RecordBatch>, StagingError>)>, StagingError> {
        let own = self.name(TAKEN);
        let (from, to) = (folder.path.clone().join(name), self.folder.path.clone().join(own.clone()));
        match self.folder.store.rename(&from, &to).await {
            // A run that started at the same moment took it.
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(format!("cannot take up {from}"), error)),
            Ok(()) => {}
        }
        let Some(object) = self.folder.object(&own).await? else { return Ok(None) };
        let batches = taken_rows(&object).await;
        let batches = batches.map_err(|error| failed(format!("cannot read {to}, which an earlier run left"), error));
        Ok(Some((own, batches)))
    }

    /// Whether nothing is staged that is not committed.
    pub(super) fn is_empty(&self) -> bool {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The files of the next commit: what is staged, and of what was taken up the rows of traces that came again unchanged.
    pub(super) fn files(&self, with_taken: bool) -> BTreeMap<String, Vec<StagedFile>> {
        let mut files = std::mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner));
        if with_taken {
            let taken = self.taken.files.iter().filter_map(TakenFile::staged);
            files.entry(TableName::Patterns.as_str().to_owned()).or_default().extend(taken);
        }
        files
    }

    /// The end of a run that committed all it had. What it took up and nobody asked for is of traces that changed or are gone, unless the
    /// run did not come to its end: then it stays for the next one.
    pub(super) async fn finish(&self, complete: bool) -> Result<(), StagingError> {
        self.heartbeat.abort();
        if complete || self.taken.files.iter().all(TakenFile::is_used_up) {
            return self.folder.remove().await;
        }
        for name in self.folder.names().await? {
            let left = name == RECORD || self.taken.files.iter().any(|file| file.name == name && !file.is_used_up());
            if !left {
                self.folder.delete(&name).await?;
            }
        }
        Ok(())
    }

    /// Leaves everything as a kill does.
    #[cfg(test)]
    pub(super) async fn die(&self, job: &str) {
        self.heartbeat.abort();
        let record = Record { run_id: self.folder.run_id.clone(), job: job.to_owned(), process: Process::ended() };
        self.folder.put(RECORD, serde_json::to_vec(&record).unwrap()).await.unwrap();
    }

    /// The end of a run that failed: what it finished stays for the next one, and nothing stays of nothing.
    pub(super) async fn leave(&self) {
        self.heartbeat.abort();
        let empty = self.folder.names().await.is_ok_and(|names| names.iter().all(|name| name == RECORD));
        if empty {
            // The run has failed already; why is said.
            let _ = self.folder.remove().await;
        }
    }
}

async fn heartbeat(folder: Folder, record: Vec<u8>) {
    loop {
        tokio::time::sleep(HEARTBEAT_INTERVAL).await;
        if let Err(error) = folder.put(RECORD, record.clone()).await {
            tracing::warn!(%error, "cannot give a sign of life");
        }
    }
}

/// Patterns that dead runs of the same job left, by trace.
#[derive(Debug, Default)]
pub(super) struct TakenUp {
    rows: HashMap<u128, TakenRow>,
    files: Vec<TakenFile>,
    /// Answers that the dead runs paid for and could not use; each is staged again once its trace comes.
    unusable: UnusableAnswers,
    /// The labels of all rows, each with how many there are.
    labels: Vec<(String, u64)>,
    used: Mutex<BTreeMap<String, LabelCount>>,
}

/// There may be as many of these as the dead run had traces, so they are small.
#[derive(Debug)]
struct TakenRow {
    content: u128,
    confidence: f64,
    label: usize,
    file: usize,
    row: usize,
    /// For the first rows of a label only: one of them is its example.
    title: Option<Box<str>>,
}

/// What is read of the rows of dead runs.
const TAKEN_COLUMNS: [&str; 6] = ["trace_id", "content_digest", "category", "contributing_factor", "title", "confidence"];

async fn taken_rows(object: &Arc<Object>) -> DeltaResult<Vec<RecordBatch>> {
    Ok(columns_of(object, &TAKEN_COLUMNS).await?.try_collect().await?)
}

/// Rows of each label that keep their title.
const TITLES_KEPT: u64 = 16;

#[derive(Debug)]
struct TakenFile {
    name: String,
    /// For each row whether its trace came again as it was.
    used: Vec<AtomicBool>,
}

impl TakenFile {
    fn is_used_up(&self) -> bool {
        self.used.iter().all(|used| used.load(Ordering::Relaxed))
    }

    /// The file with the rows that are used; nothing where none is.
    fn staged(&self) -> Option<StagedFile> {
        let unused = |(row, used): (usize, &AtomicBool)| (!used.load(Ordering::Relaxed)).then_some(row);
        let dropped: Vec<usize> = self.used.iter().enumerate().filter_map(unused).collect();
        (dropped.len() < self.used.len()).then(|| StagedFile { dropped, ..StagedFile::whole(self.name.clone()) })
    }
}

impl TakenUp {
    /// Whether there is nothing to ask for.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.unusable.is_empty()
    }

    /// What was wrong with the answer that a dead run paid for a trace of this content.
    pub(super) fn unusable(&self, trace_id: &str, digest: &str) -> Option<UnusableAnswer> {
        self.unusable.get(trace_id, digest)
    }

    /// Whether the pattern of a trace is there already. What is asked for is committed with the run. `digest` is that of the redacted trace.
    pub(super) fn has(&self, trace_id: &str, digest: &str) -> bool {
        let Some(found) = self.rows.get(&key_hash(trace_id)).filter(|row| row.content == key_hash(digest)) else { return false };
        let Some(used) = self.files.get(found.file).and_then(|file| file.used.get(found.row)) else { return false };
        if !used.swap(true, Ordering::Relaxed) {
            let label = self.labels.get(found.label).map_or("", |(label, _)| label);
            let mut counts = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            LabelCount::add(&mut counts, label, found.confidence, found.title.as_deref().unwrap_or_default(), trace_id);
        }
        true
    }

    /// How many patterns were asked for and were there, by label.
    pub(super) fn used(&self) -> BTreeMap<String, LabelCount> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of a label, and how many rows of it there are now.
    fn label(&mut self, label: &str) -> (usize, u64) {
        if let Some((number, (_, count))) = self.labels.iter_mut().enumerate().find(|(_, (known, _))| known == label) {
            *count += 1;
            return (number, *count);
        }
        self.labels.push((label.to_owned(), 1));
        (self.labels.len() - 1, 1)
    }

    /// Rows of a file, which hold [`TAKEN_COLUMNS`].
    fn add(&mut self, name: String, batches: &[RecordBatch]) -> Result<(), StagingError> {
        let (file, mut row) = (self.files.len(), 0);
        for batch in batches {
            let texts =
                |column| text_column(batch, column).ok_or_else(|| failed(format!("cannot use {name}"), format!("no column {column}")));
            let (ids, digests) = (texts("trace_id")?, texts("content_digest")?);
            let (categories, factors, titles) = (texts("category")?, texts("contributing_factor")?, texts("title")?);
            let confidences = batch.column_by_name("confidence").and_then(|column| column.as_any().downcast_ref::<Float64Array>());
            for index in 0..batch.num_rows() {
                let (label, count) = self.label(&format!("{}/{}", categories.value(index), factors.value(index)));
                let taken = TakenRow {
                    content: key_hash(digests.value(index)),
                    confidence: confidences.map_or(0.0, |column| column.value(index)),
                    label,
                    file,
                    row,
                    title: (count <= TITLES_KEPT).then(|| titles.value(index).into()),
                };
                self.rows.insert(key_hash(ids.value(index)), taken);
                row += 1;
            }
        }
        self.files.push(TakenFile { name, used: (0..row).map(|_| AtomicBool::new(false)).collect() });
        Ok(())
    }
}

/// A column of texts.
pub(super) fn text_column<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StringArray> {
    batch.column_by_name(name)?.as_any().downcast_ref()
}
