//! What an upsert or a compaction does to each data file. Computed from the keys and sizes of files, without I/O.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use crate::limits::{DATA_FILE_TARGET_BYTES, SMALL_FILE_BYTES_MAX, SMALL_FILES_PER_BUCKET_MAX};
use crate::tables::{TableName, bucket_of_hash};
use crate::write::table_files::Bucket;

/// A data file of the version that is planned against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::write) struct FileStats {
    /// As the transaction log names it.
    pub(in crate::write) path: String,
    pub(in crate::write) bucket: Bucket,
    pub(in crate::write) bytes: u64,
}

/// How the rows of a data file relate to the incoming rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::write) struct FileScan {
    pub(in crate::write) file: FileStats,
    /// Numbers of the rows that are superseded, ascending.
    pub(in crate::write) superseded_rows: Vec<u32>,
    /// Keys of stored rows that are kept, because they were made from more spans than the incoming ones, and from another object.
    pub(in crate::write) kept_fuller: Vec<u128>,
}

/// What happens to a data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::write) enum FileAction {
    /// It stays.
    Keep,
    /// Its rows move to a new file, without those that are superseded.
    Rewrite {
        /// Numbers of the superseded rows, ascending. The plan is small next to the keys of the incoming rows, which are in memory anyway.
        superseded_rows: Vec<u32>,
    },
    /// All its rows move to a new file, together with those of other small files.
    Merge,
}

/// A data file, and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::write) struct PlannedFile {
    pub(in crate::write) stats: FileStats,
    pub(in crate::write) action: FileAction,
}

/// What one commit does to a table. Rows of one bucket that move share new files, and so do its incoming rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::write) struct UpsertPlan {
    pub(in crate::write) table: TableName,
    /// Incoming rows that are written, by bucket. Each bucket gets at least one new file.
    pub(in crate::write) incoming_rows: BTreeMap<Bucket, u64>,
    /// Keys of incoming rows that are not written, because the table has a row with more spans, from another object.
    pub(in crate::write) kept_fuller: HashSet<u128>,
    /// The data files of every bucket that incoming rows touch.
    pub(in crate::write) files: Vec<PlannedFile>,
}

impl UpsertPlan {
    /// Plans an upsert. `scans` are all data files of the buckets that it touches; `incoming_rows` are counted by bucket.
    pub(in crate::write) fn new(table: TableName, buckets: i32, incoming_rows: BTreeMap<Bucket, u64>, scans: Vec<FileScan>) -> Self {
        let mut small_files: BTreeMap<Bucket, usize> = BTreeMap::new();
        for scan in scans.iter().filter(|scan| is_small(&scan.file)) {
            *small_files.entry(scan.file.bucket).or_default() += 1;
        }
        let kept_fuller: HashSet<u128> = scans.iter().flat_map(|scan| scan.kept_fuller.iter().copied()).collect();
        let mut plan = Self { table, incoming_rows, kept_fuller, files: Vec::with_capacity(scans.len()) };
        for key in &plan.kept_fuller {
            if let Some(rows) = plan.incoming_rows.get_mut(&Some(bucket_of_hash(*key, buckets))) {
                *rows = rows.saturating_sub(1);
            }
        }
        plan.incoming_rows.retain(|_, rows| *rows > 0);
        for FileScan { file, superseded_rows, .. } in scans {
            // Every run adds a file to each bucket, so small ones are merged while a bucket is touched anyway.
            let merges = is_small(&file) && small_files.get(&file.bucket).is_some_and(|small| *small >= SMALL_FILES_PER_BUCKET_MAX);
            let action = match (superseded_rows.is_empty(), merges) {
                (false, _) => FileAction::Rewrite { superseded_rows },
                (true, true) => FileAction::Merge,
                (true, false) => FileAction::Keep,
            };
            plan.files.push(PlannedFile { stats: file, action });
        }
        plan
    }

    /// Plans a compaction: in each bucket, files of less than half the target size become fewer.
    pub(in crate::write) fn compaction(table: TableName, files: Vec<FileStats>) -> Self {
        let mut mergeable: BTreeMap<Bucket, usize> = BTreeMap::new();
        for file in files.iter().filter(|file| is_mergeable(file)) {
            *mergeable.entry(file.bucket).or_default() += 1;
        }
        let files = files.into_iter().map(|stats| {
            let merges = is_mergeable(&stats) && mergeable.get(&stats.bucket).is_some_and(|files| *files >= 2);
            PlannedFile { action: if merges { FileAction::Merge } else { FileAction::Keep }, stats }
        });
        Self { table, incoming_rows: BTreeMap::new(), kept_fuller: HashSet::new(), files: files.collect() }
    }

    /// The files whose rows move, by bucket.
    pub(in crate::write) fn moved_files(&self) -> BTreeMap<Bucket, Vec<&PlannedFile>> {
        let mut moved: BTreeMap<Bucket, Vec<&PlannedFile>> = BTreeMap::new();
        for file in self.files.iter().filter(|file| file.action != FileAction::Keep) {
            moved.entry(file.stats.bucket).or_default().push(file);
        }
        moved
    }

    /// Whether nothing changes.
    pub(in crate::write) fn is_empty(&self) -> bool {
        self.incoming_rows.is_empty() && self.files.iter().all(|file| file.action == FileAction::Keep)
    }

    /// The number of files that are merged.
    pub(in crate::write) fn files_merged(&self) -> usize {
        self.count(|action| *action == FileAction::Merge).0
    }

    /// How many files the moved rows will be in: a file is closed at the target size. Compression may make it differ for large files.
    pub(in crate::write) fn files_written(&self) -> usize {
        let target = DATA_FILE_TARGET_BYTES as u64;
        let of_bucket = |files: Vec<&PlannedFile>| {
            let (mut written, mut open) = (0, 0);
            for file in files {
                open += file.stats.bytes;
                if open >= target {
                    (written, open) = (written + 1, 0);
                }
            }
            written + usize::from(open > 0)
        };
        self.moved_files().into_values().map(of_bucket).sum()
    }

    /// Superseded rows, in all files.
    pub(in crate::write) fn rows_superseded(&self) -> usize {
        let superseded = self.files.iter().map(|file| match &file.action {
            FileAction::Rewrite { superseded_rows } => superseded_rows.len(),
            FileAction::Keep | FileAction::Merge => 0,
        });
        superseded.sum()
    }

    /// The number of files with such an action, and their bytes.
    fn count(&self, wanted: impl Fn(&FileAction) -> bool) -> (usize, u64) {
        let files = self.files.iter().filter(|file| wanted(&file.action));
        files.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.stats.bytes))
    }
}

fn is_small(file: &FileStats) -> bool {
    file.bytes < SMALL_FILE_BYTES_MAX as u64
}

fn is_mergeable(file: &FileStats) -> bool {
    file.bytes < (DATA_FILE_TARGET_BYTES / 2) as u64
}

/// One line, for people.
impl fmt::Display for UpsertPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let files = |(count, bytes): (usize, u64), verb: &str| {
            #[expect(clippy::cast_precision_loss, reason = "for reading")]
            let megabytes = bytes as f64 / 1e6;
            format!("{} {verb} ({megabytes:.1} MB)", plural(count as u64, "file"))
        };
        let rewritten = self.count(|action| matches!(action, FileAction::Rewrite { .. }));
        let mut parts = Vec::new();
        if !self.incoming_rows.is_empty() {
            let rows = plural(self.incoming_rows.values().sum(), "row");
            let partitioned = self.incoming_rows.keys().any(Option::is_some);
            let buckets = if partitioned { format!(" in {}", plural(self.incoming_rows.len() as u64, "bucket")) } else { String::new() };
            parts.push(format!("{rows} added{buckets}"));
        }
        if rewritten.0 > 0 {
            let superseded = plural(self.rows_superseded() as u64, "superseded row");
            parts.push(format!("{} without {superseded}", files(rewritten, "rewritten")));
        }
        if self.files_merged() > 0 {
            parts.push(files(self.count(|action| *action == FileAction::Merge), "merged"));
        }
        if !self.kept_fuller.is_empty() {
            let rows = plural(self.kept_fuller.len() as u64, "row");
            parts.push(format!("{rows} not added, because the table has patterns with more spans, from other objects"));
        }
        let summary = if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
        write!(f, "{}: {summary}", self.table.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(path: &str, bucket: i32, megabytes: u64, superseded_rows: &[u32], kept_fuller: &[u128]) -> FileScan {
        let file = FileStats { path: path.to_owned(), bucket: Some(bucket), bytes: megabytes * 1_000_000 };
        FileScan { file, superseded_rows: superseded_rows.to_vec(), kept_fuller: kept_fuller.to_vec() }
    }

    fn actions(plan: &UpsertPlan) -> Vec<(&str, &FileAction)> {
        plan.files.iter().map(|file| (file.stats.path.as_str(), &file.action)).collect()
    }

    fn rows(rows: &[(i32, u64)]) -> BTreeMap<Bucket, u64> {
        rows.iter().map(|(bucket, rows)| (Some(*bucket), *rows)).collect()
    }

    #[test]
    fn only_files_with_superseded_rows_are_rewritten() {
        let scans = vec![scan("a", 0, 9, &[3, 7], &[]), scan("b", 0, 9, &[], &[]), scan("c", 1, 9, &[0], &[])];
        let plan = UpsertPlan::new(TableName::Patterns, 16, rows(&[(0, 2), (1, 1)]), scans);
        let rewrite = |rows: &[u32]| FileAction::Rewrite { superseded_rows: rows.to_vec() };
        assert_eq!(actions(&plan), [("a", &rewrite(&[3, 7])), ("b", &FileAction::Keep), ("c", &rewrite(&[0]))]);
        assert_eq!((plan.rows_superseded(), plan.files_merged(), plan.files_written()), (3, 0, 2));
        assert_eq!(plan.to_string(), "patterns: 3 rows added in 2 buckets, 2 files rewritten (18.0 MB) without 3 superseded rows");
    }

    #[test]
    fn small_files_of_a_bucket_are_merged_when_there_are_too_many() {
        let few = (0..SMALL_FILES_PER_BUCKET_MAX - 1).map(|number| scan(&format!("few-{number}"), 0, 1, &[], &[]));
        let many =
            (0..SMALL_FILES_PER_BUCKET_MAX).map(|number| scan(&format!("many-{number}"), 1, 1, if number == 0 { &[5] } else { &[] }, &[]));
        let large = std::iter::once(scan("large", 1, 9, &[], &[]));
        let plan = UpsertPlan::new(TableName::Patterns, 16, rows(&[(1, 1)]), few.chain(many).chain(large).collect());
        let merged: Vec<&str> =
            plan.files.iter().filter(|file| file.action == FileAction::Merge).map(|file| file.stats.path.as_str()).collect();
        assert_eq!(merged.len(), SMALL_FILES_PER_BUCKET_MAX - 1, "the one with a superseded row is rewritten: {merged:?}");
        assert!(merged.iter().all(|path| path.starts_with("many-")));
        assert_eq!(plan.moved_files().len(), 1, "they all move into new files of one bucket");
        assert_eq!(plan.files_written(), 1);
    }

    #[test]
    fn incoming_rows_are_not_added_when_the_table_has_fuller_ones() {
        let plan = UpsertPlan::new(
            TableName::Patterns,
            16,
            rows(&[(1, 1), (2, 2)]),
            vec![scan("a", 1, 9, &[], &[17]), scan("b", 2, 9, &[], &[18])],
        );
        assert_eq!(plan.incoming_rows, rows(&[(2, 1)]), "17 and 18 are in the buckets 1 and 2");
        assert_eq!(plan.kept_fuller, HashSet::from([17, 18]));
        assert!(!plan.is_empty());
        assert_eq!(
            plan.to_string(),
            "patterns: 1 row added in 1 bucket, 2 rows not added, because the table has patterns with more spans, from other objects"
        );
    }

    #[test]
    fn a_plan_without_rows_and_with_nothing_superseded_is_empty() {
        let plan = UpsertPlan::new(TableName::Errors, 16, BTreeMap::new(), vec![scan("a", 0, 1, &[], &[])]);
        assert!(plan.is_empty());
        assert_eq!(plan.to_string(), "errors: nothing to do");
    }

    #[test]
    fn a_compaction_merges_two_or_more_files_below_half_the_target_size() {
        let file = |path: &str, bucket: Bucket, megabytes: u64| FileStats { path: path.to_owned(), bucket, bytes: megabytes * 1_000_000 };
        let files = vec![
            file("a", Some(0), 1),
            file("b", Some(0), 7),
            file("large", Some(0), 9),
            file("alone", Some(1), 1),
            file("r1", None, 1),
            file("r2", None, 1),
        ];
        let plan = UpsertPlan::compaction(TableName::Patterns, files);
        let merged: Vec<&str> =
            plan.files.iter().filter(|file| file.action == FileAction::Merge).map(|file| file.stats.path.as_str()).collect();
        assert_eq!(merged, ["a", "b", "r1", "r2"]);
        assert_eq!((plan.files_merged(), plan.files_written()), (4, 2));
        assert_eq!(plan.to_string(), "patterns: 4 files merged (10.0 MB)");
    }
}
