//! Local files whose writes survive a power loss.
//!
//! `object_store`'s [`LocalFileSystem`] does not sync, so after a power loss a committed file may be empty. Here a write returns when the
//! content and the folder entry are on the disk. An incomplete file has a name that listings exclude (`name.x7Fq2B#1`).

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::path::Path as LocalPath;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// The end of the name of an incomplete file. Listings of `LocalFileSystem` exclude names that end with `#` and digits.
const INCOMPLETE_SUFFIX: &str = "#1";

/// The end of the name of a file by which processes take turns. Like incomplete files, `maintain` removes it when it is old.
const TURN_SUFFIX: &str = "#0";

/// The local file system with durable writes.
#[derive(Debug, Clone)]
pub(super) struct DurableFileSystem(LocalFileSystem);

impl DurableFileSystem {
    pub(super) fn new() -> Self {
        Self(LocalFileSystem::new())
    }
}

impl std::fmt::Display for DurableFileSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("local files")
    }
}

impl DurableFileSystem {
    /// Replaces a file if it still has this `ETag`. Processes that do so take turns, by a lock on a file beside it.
    async fn replace(&self, location: &Path, payload: PutPayload, expected: Option<String>) -> Result<PutResult> {
        let path = self.0.path_to_filesystem(location)?;
        let failed = |error: std::io::Error| Error::Generic { store: "local files", source: Box::new(error) };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let turn = path.with_file_name(format!("{name}{TURN_SUFFIX}"));
        let _turn = tokio::task::spawn_blocking(move || {
            let turn = File::options().create(true).append(true).open(turn)?;
            turn.lock()?;
            Ok(turn)
        })
        .await?
        .map_err(failed)?;
        let current = self.0.head(location).await?;
        if current.e_tag != expected {
            let source = "the file has changed".into();
            return Err(Error::Precondition { path: location.to_string(), source });
        }
        tokio::task::spawn_blocking(move || write(&path, &payload, false)).await?.map_err(failed)?;
        Ok(PutResult { e_tag: None, version: None })
    }
}

#[deny(clippy::missing_trait_methods, reason = "a default implementation would bypass what the local file system does better")]
#[async_trait]
impl ObjectStore for DurableFileSystem {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Overwrite => false,
            PutMode::Create => true,
            PutMode::Update(expected) => return self.replace(location, payload, expected.e_tag).await,
        };
        let path = self.0.path_to_filesystem(location)?;
        let shown = location.to_string();
        let written = tokio::task::spawn_blocking(move || write(&path, &payload, create)).await;
        match written {
            Ok(Ok(())) => Ok(PutResult { e_tag: None, version: None }),
            Ok(Err(error)) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: shown, source: Box::new(error) })
            }
            Ok(Err(error)) => Err(Error::Generic { store: "local files", source: Box::new(error) }),
            Err(error) => Err(Error::JoinError { source: error }),
        }
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload { store: self.clone(), location: location.clone(), parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

/// Writes a temporary file beside `path` and moves it there when its content is on the disk.
fn write(path: &LocalPath, payload: &PutPayload, create: bool) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(LocalPath::new("/"));
    create_folder(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut file = tempfile::Builder::new().prefix(&format!("{name}.")).suffix(INCOMPLETE_SUFFIX).tempfile_in(folder)?;
    payload.iter().try_for_each(|bytes| file.write_all(bytes))?;
    file.as_file().sync_all()?;
    if create {
        file.persist_noclobber(path)?
    } else {
        file.persist(path)?
    };
    File::open(folder)?.sync_all()
}

/// Creates a folder and its parents durably.
fn create_folder(folder: &LocalPath) -> std::io::Result<()> {
    let missing: Vec<&LocalPath> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    std::fs::create_dir_all(folder)?;
    missing.iter().filter_map(|folder| folder.parent()).try_for_each(|parent| File::open(parent)?.sync_all())
}

/// See [`super::remove_incomplete`].
pub(super) fn remove_incomplete(folder: &LocalPath, age: Duration, dry_run: bool) -> std::io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A file that no longer exists was completed by its writer.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            removed += remove_incomplete(&entry.path(), age, dry_run)?;
        } else if is_incomplete(&entry.file_name().to_string_lossy())
            && metadata.modified().is_ok_and(|modified| modified.elapsed().is_ok_and(|elapsed| elapsed >= age))
            && (dry_run || std::fs::remove_file(entry.path()).is_ok())
        {
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_incomplete(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A multipart upload, buffered in memory. Delta uses it for checkpoints, which are small compared to the memory of a run.
#[derive(Debug)]
struct Upload {
    store: DurableFileSystem,
    location: Path,
    parts: Vec<PutPayload>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.push(data);
        Box::pin(async { Ok(()) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload = std::mem::take(&mut self.parts).into_iter().flatten().collect();
        self.store.put_opts(&self.location, payload, PutOptions::default()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn a_conditional_write_fails_if_the_file_exists_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = DurableFileSystem::new();
        let path = Path::from_absolute_path(folder.path().join("a/b.json")).unwrap();
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&path, "one".into(), create()).await.unwrap();
        let lost = store.put_opts(&path, "two".into(), create()).await.unwrap_err();
        assert!(matches!(lost, Error::AlreadyExists { .. }), "{lost}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one");
        store.put(&path, "three".into()).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "three");
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 1, "no incomplete file is left");
    }

    #[tokio::test]
    async fn parts_are_joined_in_order_and_incomplete_files_are_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        let store = DurableFileSystem::new();
        let path = Path::from_absolute_path(folder.path().join("c.parquet")).unwrap();
        let mut upload = store.put_multipart(&path).await.unwrap();
        upload.put_part("one".into()).await.unwrap();
        upload.put_part("two".into()).await.unwrap();
        assert!(store.get(&path).await.is_err());
        upload.complete().await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "onetwo");
        std::fs::write(folder.path().join("c.parquet#77"), "half").unwrap();
        let prefix = Path::from_absolute_path(folder.path()).unwrap();
        let listed: Vec<_> = store.list(Some(&prefix)).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(remove_incomplete(folder.path(), Duration::from_mins(1), false).unwrap(), 0, "it may be in progress");
        assert_eq!(remove_incomplete(folder.path(), Duration::ZERO, true).unwrap(), 1);
        assert_eq!(remove_incomplete(folder.path(), Duration::ZERO, false).unwrap(), 1, "a dry run removed nothing");
        assert!(store.get(&path).await.is_ok());
    }
}
