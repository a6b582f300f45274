//! Local files and folders. They are listed with `walkdir`, because the listing of `object_store` silently skips names that it cannot
//! represent.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path as LocalPath, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use nix::errno::Errno;
use tokio::sync::mpsc;
use url::Url;
use walkdir::{DirEntry, WalkDir};

use super::error::Cause;
use super::glob::{Glob, PATH_WILDCARDS};
use super::names::{excluded_prefix, is_excluded, is_table_path};
use super::object::Object;
use super::suggestion::suggestion;
use super::{Listed, Listing, StoreError, single_object};
use crate::limits::LISTED_NAMES_QUEUED_MAX;

/// A file, or a folder with an optional glob for the files below it.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
    /// Matches paths relative to the root.
    glob: Option<Glob>,
    /// The path as the user gave it, for suggestions.
    given: PathBuf,
}

impl Folder {
    /// Splits `/logs/2026*/x.jsonl` into the folder before the first wildcard and a glob. A path that exists is not a glob, even if its name
    /// contains wildcards.
    pub(super) fn parse(absolute: &LocalPath, text: &str) -> Result<Self, StoreError> {
        let (root, below) = split(absolute);
        let glob = below.map(|below| Glob::new(&below)).transpose().map_err(|error| StoreError::location(text, error))?;
        // Paths are compared as text below, and the URI of an object must not contain `..`.
        let root = if root.components().any(|component| component == Component::ParentDir) { real_path(&root) } else { root };
        Ok(Self { root, glob, given: if text.contains("://") { absolute.to_owned() } else { PathBuf::from(text) } })
    }

    pub(super) fn is_glob(&self) -> bool {
        self.glob.is_some()
    }

    pub(super) fn canonical(&self) -> String {
        format!("{} {}", self.root.display(), self.glob.as_ref().map(Glob::as_str).unwrap_or_default())
    }

    pub(super) fn is_in_tables(&self, output: &Url) -> bool {
        self.glob.is_none() && self.below_output(output).is_some_and(|below| is_table_path(&below.to_string_lossy()))
    }

    /// The root relative to the location of the tables, if it is below it.
    fn below_output(&self, output: &Url) -> Option<PathBuf> {
        let output = real_path(&output.to_file_path().ok()?);
        real_path(&self.root).strip_prefix(output).map(LocalPath::to_owned).ok()
    }

    /// The content of a file; `None` if it does not exist or is larger than `bytes_max`.
    pub(super) async fn read_below(&self, name: &str, bytes_max: u64) -> Result<Option<Bytes>, Cause> {
        let path = self.root.join(name);
        if self.glob.as_ref().is_some_and(|glob| !glob.matches(name)) {
            return Ok(None);
        }
        let read = async {
            let found = tokio::fs::metadata(&path).await?;
            Ok(if found.is_file() && found.len() <= bytes_max { Some(tokio::fs::read(&path).await?.into()) } else { None })
        };
        match read.await {
            Err(error) if is_missing(&error) => Ok(None),
            read => read.map_err(Cause::from),
        }
    }

    pub(super) fn list(&self, shown: &str, output: &Url) -> Result<Listing, StoreError> {
        let found = match std::fs::metadata(&self.root) {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Err(self.missing(shown)),
            Err(error) => return Err(StoreError::unreadable(shown, error)),
        };
        if self.is_in_tables(output) {
            return Ok(stream::empty().boxed());
        }
        if !found.is_dir() {
            return Ok(single_object(file(self.root.clone(), &found)));
        }
        let requested = self.glob.as_ref().map(Glob::literal_segments).unwrap_or_default();
        let walk = Walk { folder: self.clone(), shown: shown.to_owned(), table_folders: table_folders(&found, output), requested };
        let (sender, receiver) = mpsc::channel(LISTED_NAMES_QUEUED_MAX);
        tokio::task::spawn_blocking(move || walk.run(&|listed| sender.blocking_send(listed).is_ok()));
        Ok(stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed())
    }

    /// The error for a path that does not exist, with a suggestion if a similar one does.
    fn missing(&self, shown: &str) -> StoreError {
        let similar = std::env::current_dir().ok().and_then(|current| suggestion(&self.given, &current));
        let reason = if self.glob.is_some() { "no files match" } else { "no such file or folder" };
        StoreError::missing(shown, reason, similar.map(|path| path.display().to_string()))
    }
}

/// Splits a path into the folder before its first wildcard and the rest.
fn split(absolute: &LocalPath) -> (PathBuf, Option<String>) {
    if absolute.symlink_metadata().is_ok() || !absolute.to_string_lossy().contains(PATH_WILDCARDS) {
        return (absolute.to_owned(), None);
    }
    let mut root = PathBuf::new();
    let mut components = absolute.components();
    for component in components.by_ref() {
        let next = root.join(component);
        if component.as_os_str().to_string_lossy().contains(PATH_WILDCARDS) && next.symlink_metadata().is_err() {
            let rest: PathBuf = std::iter::once(component).chain(components).collect();
            return (root, Some(rest.to_string_lossy().into_owned()));
        }
        root = next;
    }
    (root, None)
}

/// The path without symbolic links and `..`. Trailing components that do not exist are kept.
fn real_path(path: &LocalPath) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(mut real) = ancestor.canonicalize() {
            for component in path.strip_prefix(ancestor).into_iter().flat_map(LocalPath::components) {
                match component {
                    Component::ParentDir => drop(real.pop()),
                    Component::CurDir => {}
                    component => real.push(component),
                }
            }
            return real;
        }
    }
    path.to_owned()
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn file(path: PathBuf, found: &Metadata) -> Object {
    let modified = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified_at_ns = modified.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or_default();
    // The kernel sets the change time, also when a program sets the modification time or renames the file.
    Object::of_file(path, found.len(), modified_at_ns).with_version(&format!("{}.{:09}", found.ctime(), found.ctime_nsec()))
}

/// Device and inode: identifies a folder independently of its path.
type FolderId = (u64, u64);

fn folder_id(found: &Metadata) -> FolderId {
    (found.dev(), found.ino())
}

/// The folders to exclude: the location of the tables and the table folders in it. If the walk starts at the location itself, only the table
/// folders are excluded.
fn table_folders(root: &Metadata, output: &Url) -> Vec<FolderId> {
    let Ok(output) = output.to_file_path() else { return Vec::new() };
    let Ok(location) = output.metadata() else { return Vec::new() };
    let tables = super::names::TABLE_FOLDERS.iter().filter_map(|table| output.join(table).metadata().ok());
    let location = (folder_id(root) != folder_id(&location)).then(|| folder_id(&location));
    location.into_iter().chain(tables.map(|found| folder_id(&found))).collect()
}

/// Lists the files below a folder.
struct Walk {
    folder: Folder,
    shown: String,
    table_folders: Vec<FolderId>,
    /// Names that the user wrote in the glob, which are read even if they are excluded by default.
    requested: Vec<String>,
}

/// The handling of an entry of the walk.
enum Step {
    Ignore,
    /// Does not enter the folder, and possibly lists it as skipped.
    SkipFolder(Option<Listed>),
    List(Listed),
}

impl Walk {
    fn run(&self, emit: &dyn Fn(Result<Listed, StoreError>) -> bool) {
        let mut entries = WalkDir::new(&self.folder.root).follow_links(true).min_depth(1).into_iter();
        while let Some(entry) = entries.next() {
            let step = match entry {
                Ok(entry) => self.step(&entry),
                Err(error) => self.walk_error(&error),
            };
            let listed = match step {
                Ok(Step::Ignore) => continue,
                Ok(Step::SkipFolder(listed)) => {
                    entries.skip_current_dir();
                    let Some(listed) = listed else { continue };
                    Ok(listed)
                }
                Ok(Step::List(listed)) => Ok(listed),
                Err(error) => Err(error),
            };
            let is_end = listed.is_err();
            if !emit(listed) || is_end {
                return;
            }
        }
    }

    /// Whether the glob, if there is one, matches a path.
    fn is_match(&self, path: &LocalPath) -> bool {
        let Some(glob) = &self.folder.glob else { return true };
        path.strip_prefix(&self.folder.root).is_ok_and(|below| glob.matches(&below.to_string_lossy()))
    }

    fn step(&self, entry: &DirEntry) -> Result<Step, StoreError> {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy();
        let kind = entry.file_type();
        let skipped =
            |suffix: &str| self.is_match(path).then(|| Listed::Skipped(Object::unopenable(format!("{}{suffix}", path.display()))));
        if is_excluded(&name) && excluded_prefix(&name, &self.requested).is_some() {
            return Ok(if kind.is_dir() { Step::SkipFolder(skipped("/")) } else { skipped("").map_or(Step::Ignore, Step::List) });
        }
        if kind.is_dir() {
            let found = entry.metadata().map_err(|error| StoreError::unreadable(&self.shown, io::Error::from(error)))?;
            return Ok(if self.table_folders.contains(&folder_id(&found)) { Step::SkipFolder(None) } else { Step::Ignore });
        }
        if !self.is_match(path) {
            return Ok(Step::Ignore);
        }
        if !kind.is_file() {
            return Ok(skipped("").map_or(Step::Ignore, Step::List));
        }
        let Some(shown) = path.to_str() else {
            let reason = "the file name is not valid UTF-8\n  hint: rename the file".to_owned();
            return Ok(Step::List(Listed::Unreadable { uri: path.display().to_string(), reason }));
        };
        match entry.metadata() {
            Ok(found) => Ok(Step::List(Listed::Object(file(path.to_owned(), &found)))),
            // The file was removed after its folder was read.
            Err(error) if error.io_error().is_some_and(is_missing) => Ok(Step::Ignore),
            Err(error) => Err(StoreError::unreadable(shown, io::Error::from(error))),
        }
    }

    /// Handles an entry that cannot be read. A folder that cannot be read makes the listing incomplete, which is an error.
    fn walk_error(&self, error: &walkdir::Error) -> Result<Step, StoreError> {
        let path = error.path().unwrap_or(&self.folder.root);
        let uri = path.display().to_string();
        if error.loop_ancestor().is_some() {
            // A symbolic link to one of its own parent folders, whose files are listed anyway.
            return Ok(Step::List(Listed::Skipped(Object::unopenable(uri))));
        }
        match error.io_error() {
            Some(error) if is_missing(error) || error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                let is_link = path.symlink_metadata().is_ok_and(|found| found.file_type().is_symlink());
                if !is_link || !self.is_match(path) {
                    return Ok(Step::Ignore);
                }
                Ok(Step::List(Listed::Unreadable { uri, reason: "broken symbolic link\n  hint: remove it or restore its target".into() }))
            }
            Some(error) => Err(StoreError::unreadable_because(&uri, "cannot list the folder: ", error)),
            None => Err(StoreError::unreadable(&uri, Cause::other(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::super::{Location, is_table_location, objects, table_url};
    use super::*;

    /// Names of the listed objects; `-` marks skipped and `!` unreadable ones.
    async fn listed(input: &str, output: &str) -> Result<Vec<String>, StoreError> {
        let location = Location::parse(input)?;
        let mut listing = objects(&[location], &table_url(output).unwrap(), false).await?;
        let mut found = Vec::new();
        while let Some(listed) = listing.next().await {
            found.push(match listed? {
                Listed::Object(object) => object.name().to_owned(),
                Listed::Skipped(object) => format!("-{}", object.uri.rsplit_once("/in/").unwrap().1),
                Listed::Unreadable { uri, .. } => format!("!{}", uri.rsplit('/').next().unwrap()),
            });
        }
        found.sort();
        Ok(found)
    }

    /// A temporary folder, the folder `in` in it, and that path as text.
    fn input_folder() -> (tempfile::TempDir, PathBuf, String) {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in");
        std::fs::create_dir(&input).unwrap();
        let text = input.to_str().unwrap().to_owned();
        (folder, input, text)
    }

    fn put(path: &LocalPath) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }

    #[tokio::test]
    async fn special_characters_in_file_names_are_literal() {
        let (_folder, input, text) = input_folder();
        let names = ["team#1", "x#2", "p%20q.jsonl", "[a]*?.jsonl", "with blank.jsonl", "ünï.jsonl", "tab\t.jsonl"];
        for name in names {
            put(&input.join(name));
        }
        let mut expected = names.map(str::to_owned);
        expected.sort();
        assert_eq!(listed(&text, "/nowhere").await.unwrap(), expected);
        for name in names {
            assert_eq!(listed(&format!("{text}/{name}"), "/nowhere").await.unwrap(), [name]);
        }
        put(&input.join("[b]/c1.jsonl"));
        assert_eq!(listed(&format!("{text}/[b]/c*.jsonl"), "/nowhere").await.unwrap(), ["c1.jsonl"]);
    }

    #[tokio::test]
    async fn unreadable_entries_are_reported_and_others_are_listed() {
        let (_folder, input, text) = input_folder();
        put(&input.join("a.jsonl"));
        put(&input.join("sub/z.jsonl"));
        put(&input.join(std::ffi::OsStr::from_bytes(b"latin-\xe9.jsonl")));
        symlink(input.join("gone"), input.join("dangling.jsonl")).unwrap();
        symlink(input.join("itself.jsonl"), input.join("itself.jsonl")).unwrap();
        symlink(&input, input.join("sub/round")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(input.join("socket")).unwrap();
        nix::unistd::mkfifo(&input.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let expected =
            ["!dangling.jsonl", "!itself.jsonl", "!latin-\u{fffd}.jsonl", "-fifo", "-socket", "-sub/round", "a.jsonl", "z.jsonl"];
        assert_eq!(listed(&text, "/nowhere").await.unwrap(), expected);
    }

    #[tokio::test]
    async fn metadata_and_failsift_tables_are_excluded_however_their_path_is_written() {
        let (folder, input, text) = input_folder();
        for name in ["a.jsonl", "_SUCCESS", ".a.jsonl.crc", "other/_delta_log/0.json", "other/_temporary/0/b.jsonl", "other/c.jsonl"] {
            put(&input.join(name));
        }
        let own = input.join("my out #1");
        put(&own.join("patterns/bucket=1/x.parquet"));
        put(&own.join("_staging/y.parquet"));
        let (linked, expected) = (folder.path().join("link"), ["-.a.jsonl.crc", "-_SUCCESS", "-other/_delta_log/", "-other/_temporary/"]);
        symlink(&own, &linked).unwrap();
        let expected: Vec<_> = expected.into_iter().chain(["a.jsonl", "c.jsonl"]).collect();
        let plain = own.to_str().unwrap().to_owned();
        let encoded = Url::from_file_path(&own).unwrap().to_string();
        let steps = format!("{text}/other/../my out #1/");
        for output in [plain, encoded, steps, linked.to_str().unwrap().to_owned()] {
            assert_eq!(listed(&text, &output).await.unwrap(), expected, "{output}");
            let is_output =
                |input: &LocalPath| is_table_location(&Location::parse(input.to_str().unwrap()).unwrap(), &table_url(&output).unwrap());
            assert!(is_output(&own) && is_output(&own.join("patterns")) && is_output(&linked.join("./patterns/..")), "{output}");
            assert!(!is_output(&input) && !is_output(&own.join("in")), "{output}");
        }
        assert_eq!(listed(&format!("{text}/_S*"), "/nowhere").await.unwrap_err().to_string().lines().count(), 2);
        assert_eq!(listed(&format!("{text}/_SUCCESS"), "/nowhere").await.unwrap(), ["_SUCCESS"]);
    }

    #[tokio::test]
    async fn empty_and_missing_inputs_are_errors() {
        let (_folder, input, text) = input_folder();
        let missing = listed(&format!("{text}/no"), "/nowhere").await.unwrap_err();
        assert!(matches!(&missing, StoreError::Empty { reason, .. } if reason == "no such file or folder"), "{missing}");
        for input in [text.clone(), format!("{text}/*.jsonl")] {
            assert!(matches!(listed(&input, "/nowhere").await.unwrap_err(), StoreError::Empty { .. }));
        }
        let locations = [Location::parse(&text).unwrap()];
        assert!(objects(&locations, &table_url("/nowhere").unwrap(), true).await.unwrap().next().await.is_none());
        put(&input.join("_SUCCESS"));
        assert!(matches!(listed(&text, "/nowhere").await.unwrap_err(), StoreError::Empty { .. }));
    }
}
