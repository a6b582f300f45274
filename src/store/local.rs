//! Local files and folders, listed by hand: `object_store` leaves out names that it cannot hold, and says nothing of it.

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

use super::names::{bookkeeping, is_bookkeeping, is_of_tables, literal_steps};
use super::object::Object;
use super::{Listed, Listing, StoreError, bad_location, one, unreadable};
use crate::limits::LISTED_NAMES_QUEUED_MAX;

/// A file, or a folder and the names of interest below it.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
    /// Over the path below the root.
    glob: Option<glob::Pattern>,
}

const WILDCARDS: [char; 3] = ['*', '?', '['];

impl Folder {
    /// Splits `/logs/2026*/x.jsonl` into the folder before the first wildcard and a pattern. What exists is no pattern, whatever its name.
    pub(super) fn parse(absolute: &LocalPath, text: &str) -> Result<Self, StoreError> {
        let (root, below) = split(absolute);
        let glob = below.map(|below| glob::Pattern::new(&below)).transpose().map_err(|error| bad_location(text, error.msg))?;
        // Paths are compared as text further on, and steps back are no part of the URI of an object.
        let root = if root.components().any(|step| step == Component::ParentDir) { real(&root) } else { root };
        Ok(Self { root, glob })
    }

    pub(super) fn canonical(&self) -> String {
        format!("{} {}", self.root.display(), self.glob.as_ref().map(glob::Pattern::as_str).unwrap_or_default())
    }

    pub(super) fn is_in_tables(&self, output: &Url) -> bool {
        self.glob.is_none() && self.below_output(output).is_some_and(|below| is_of_tables(&below.to_string_lossy()))
    }

    /// The root as a path below the location of the tables, where it is one.
    fn below_output(&self, output: &Url) -> Option<PathBuf> {
        let output = real(&output.to_file_path().ok()?);
        real(&self.root).strip_prefix(output).map(LocalPath::to_owned).ok()
    }

    /// The content of a file; nothing where there is none, or where it is over `bytes_max`.
    pub(super) async fn read_below(&self, name: &str, bytes_max: u64) -> Result<Option<Bytes>, String> {
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
            read => read.map_err(|error| error.to_string()),
        }
    }

    pub(super) fn list(&self, shown: &str, output: &Url) -> Result<Listing, StoreError> {
        let found = match std::fs::metadata(&self.root) {
            Ok(found) => found,
            Err(error) if is_missing(&error) => {
                return Err(StoreError::Empty { location: shown.to_owned(), reason: "no such file or folder".into() });
            }
            Err(error) => return Err(unreadable(shown, error)),
        };
        if self.is_in_tables(output) {
            return Ok(stream::empty().boxed());
        }
        if !found.is_dir() {
            return Ok(one(file(self.root.clone(), &found)));
        }
        let meant = self.glob.as_ref().map(|glob| literal_steps(glob.as_str())).unwrap_or_default();
        let walk = Walk { folder: self.clone(), shown: shown.to_owned(), own: own_folders(&found, output), meant };
        let (sender, receiver) = mpsc::channel(LISTED_NAMES_QUEUED_MAX);
        tokio::task::spawn_blocking(move || walk.run(&|listed| sender.blocking_send(listed).is_ok()));
        Ok(stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed())
    }
}

fn split(absolute: &LocalPath) -> (PathBuf, Option<String>) {
    if absolute.symlink_metadata().is_ok() || !absolute.to_string_lossy().contains(WILDCARDS) {
        return (absolute.to_owned(), None);
    }
    let mut root = PathBuf::new();
    let mut steps = absolute.components();
    for step in steps.by_ref() {
        let next = root.join(step);
        if step.as_os_str().to_string_lossy().contains(WILDCARDS) && next.symlink_metadata().is_err() {
            let rest: PathBuf = std::iter::once(step).chain(steps).collect();
            return (root, Some(rest.to_string_lossy().into_owned()));
        }
        root = next;
    }
    (root, None)
}

/// The path without links and steps back, also where its end does not exist.
fn real(path: &LocalPath) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(mut real) = ancestor.canonicalize() {
            for step in path.strip_prefix(ancestor).into_iter().flat_map(LocalPath::components) {
                match step {
                    Component::ParentDir => drop(real.pop()),
                    Component::CurDir => {}
                    step => real.push(step),
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
    Object::of_file(path, found.len(), modified_at_ns)
}

/// Tells a folder, however its path is written.
type FolderId = (u64, u64);

fn id(found: &Metadata) -> FolderId {
    (found.dev(), found.ino())
}

/// The location of the tables and their folders. Where the walk starts at the location itself, only its tables are left out.
fn own_folders(root: &Metadata, output: &Url) -> Vec<FolderId> {
    let Ok(output) = output.to_file_path() else { return Vec::new() };
    let Ok(location) = output.metadata() else { return Vec::new() };
    let tables = super::names::TABLES.iter().filter_map(|table| output.join(table).metadata().ok());
    let location = (id(root) != id(&location)).then(|| id(&location));
    location.into_iter().chain(tables.map(|found| id(&found))).collect()
}

struct Walk {
    folder: Folder,
    shown: String,
    own: Vec<FolderId>,
    meant: Vec<String>,
}

/// What the walk does with an entry.
enum Step {
    Nothing,
    /// A folder that is not entered; it may be worth a word.
    Leave(Option<Listed>),
    Found(Listed),
}

impl Walk {
    fn run(&self, emit: &dyn Fn(Result<Listed, StoreError>) -> bool) {
        let mut entries = WalkDir::new(&self.folder.root).follow_links(true).min_depth(1).into_iter();
        while let Some(entry) = entries.next() {
            let step = match entry {
                Ok(entry) => self.step(&entry),
                Err(error) => self.broken(&error),
            };
            let listed = match step {
                Ok(Step::Nothing) => continue,
                Ok(Step::Leave(listed)) => {
                    entries.skip_current_dir();
                    let Some(listed) = listed else { continue };
                    Ok(listed)
                }
                Ok(Step::Found(listed)) => Ok(listed),
                Err(error) => Err(error),
            };
            let is_end = listed.is_err();
            if !emit(listed) || is_end {
                return;
            }
        }
    }

    /// Whether a path below the root is of interest.
    fn is_wanted(&self, path: &LocalPath) -> bool {
        let Some(glob) = &self.folder.glob else { return true };
        path.strip_prefix(&self.folder.root).is_ok_and(|below| glob.matches(&below.to_string_lossy()))
    }

    fn step(&self, entry: &DirEntry) -> Result<Step, StoreError> {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy();
        let kind = entry.file_type();
        let named = |end: &str| self.is_wanted(path).then(|| Listed::Skipped(Object::named(format!("{}{end}", path.display()))));
        if is_bookkeeping(&name) && bookkeeping(&name, &self.meant).is_some() {
            return Ok(if kind.is_dir() { Step::Leave(named("/")) } else { named("").map_or(Step::Nothing, Step::Found) });
        }
        if kind.is_dir() {
            let found = entry.metadata().map_err(|error| unreadable(&self.shown, error))?;
            return Ok(if self.own.contains(&id(&found)) { Step::Leave(None) } else { Step::Nothing });
        }
        if !self.is_wanted(path) {
            return Ok(Step::Nothing);
        }
        if !kind.is_file() {
            return Ok(named("").map_or(Step::Nothing, Step::Found));
        }
        let Some(shown) = path.to_str() else {
            let reason = "its name is no UTF-8; rename it".to_owned();
            return Ok(Step::Found(Listed::Unreadable { uri: path.display().to_string(), reason }));
        };
        match entry.metadata() {
            Ok(found) => Ok(Step::Found(Listed::Object(file(path.to_owned(), &found)))),
            // A file that was taken away after its folder was read.
            Err(error) if error.io_error().is_some_and(is_missing) => Ok(Step::Nothing),
            Err(error) => Err(unreadable(shown, error)),
        }
    }

    /// What cannot be followed. A folder that cannot be read may hold anything, so the listing is not complete.
    fn broken(&self, error: &walkdir::Error) -> Result<Step, StoreError> {
        let path = error.path().unwrap_or(&self.folder.root);
        let uri = path.display().to_string();
        if error.loop_ancestor().is_some() {
            // What it leads to is read where it stands.
            return Ok(Step::Found(Listed::Skipped(Object::named(uri))));
        }
        match error.io_error() {
            Some(error) if is_missing(error) || error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                let is_link = path.symlink_metadata().is_ok_and(|found| found.file_type().is_symlink());
                if !is_link || !self.is_wanted(path) {
                    return Ok(Step::Nothing);
                }
                Ok(Step::Found(Listed::Unreadable { uri, reason: "it is a symbolic link that leads to nothing".into() }))
            }
            Some(error) => Err(unreadable(&uri, format!("the folder cannot be listed: {error}"))),
            None => Err(unreadable(&uri, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::super::{Location, objects, same_place, table_url};
    use super::*;

    /// What is listed: names of objects, of what is skipped with a `-`, of what cannot be read with a `!`.
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

    /// A folder with a folder `in`, and both as text.
    fn place() -> (tempfile::TempDir, PathBuf, String) {
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
    async fn names_that_mean_something_elsewhere_are_names() {
        let (_folder, input, text) = place();
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
    async fn what_cannot_be_read_is_named_and_its_neighbours_live() {
        let (_folder, input, text) = place();
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
    async fn bookkeeping_and_own_tables_are_no_input_however_they_are_reached() {
        let (folder, input, text) = place();
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
            let place = |input: &LocalPath| same_place(&Location::parse(input.to_str().unwrap()).unwrap(), &table_url(&output).unwrap());
            assert!(place(&own) && place(&own.join("patterns")) && place(&linked.join("./patterns/..")), "{output}");
            assert!(!place(&input) && !place(&own.join("in")), "{output}");
        }
        assert_eq!(listed(&format!("{text}/_S*"), "/nowhere").await.unwrap_err().to_string().lines().count(), 2);
        assert_eq!(listed(&format!("{text}/_SUCCESS"), "/nowhere").await.unwrap(), ["_SUCCESS"]);
    }

    #[tokio::test]
    async fn what_is_empty_or_missing_says_so() {
        let (_folder, input, text) = place();
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
