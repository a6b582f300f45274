//! An object of an input: opening it, and reading byte ranges of it for Parquet.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetResultPayload, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use tokio_util::io::{StreamReader, SyncIoBridge};
use tokio_util::sync::CancellationToken;

use super::error::Cause;
use super::pipe::Pipe;
use super::web::WebObject;
use crate::limits::PARQUET_FOOTER_BYTES;

/// The separator between the URI of an archive and the name of an entry.
const ENTRY_SEPARATOR: &str = "!/";

/// An object of an input.
#[derive(Debug, Clone)]
pub struct Object {
    source: Source,
    /// For messages and tables: `s3://bucket/key`, an absolute local path, a URL without its query, or `stdin`. Except for `stdin` and URLs
    /// with a query it can be used as an input.
    pub uri: String,
    /// Time of the last modification, in nanoseconds since 1970.
    pub modified_at_ns: i64,
    /// Size in bytes, before decompression; 0 if unknown: for pipes, and for files such as those in `/proc`.
    size: u64,
    /// See [`Self::version`].
    version: Option<String>,
}

#[derive(Debug, Clone)]
enum Source {
    Stored(Arc<dyn ObjectStore>, Path),
    File(PathBuf),
    Pipe(Pipe),
    Web(WebObject),
    /// A folder or special file that is listed as skipped, or an entry of an archive.
    Unopenable,
}

impl Object {
    /// An object of a store.
    pub fn in_store(store: Arc<dyn ObjectStore>, path: Path, uri: String, size: u64, modified_at_ns: i64) -> Self {
        Self { source: Source::Stored(store, path), uri, modified_at_ns, size, version: None }
    }

    pub(super) fn of_file(path: PathBuf, size: u64, modified_at_ns: i64) -> Self {
        let uri = path.display().to_string();
        Self { source: Source::File(path), uri, modified_at_ns, size, version: None }
    }

    /// The object with what its store calls its version: an `ETag`, or the change time of a file.
    pub(super) fn with_version(self, version: &str) -> Self {
        let version = format!("{version} {} {}", self.size, self.modified_at_ns);
        Self { version: Some(version), ..self }
    }

    /// Distinguishes the content of the object from earlier and later contents at the same URI. `None` if the store does not tell: the object must
    /// then be read to know whether it has changed.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(super) fn of_pipe(pipe: Pipe, uri: String) -> Self {
        let modified_at_ns = chrono::Utc::now().timestamp_nanos_opt().unwrap_or_default();
        Self { source: Source::Pipe(pipe), uri, modified_at_ns, size: 0, version: None }
    }

    pub(super) fn of_web(web: WebObject, uri: String, modified_at_ns: i64) -> Self {
        Self { source: Source::Web(web), uri, modified_at_ns, size: 0, version: None }
    }

    /// A folder or file that is listed as skipped and never opened.
    pub(super) fn unopenable(uri: String) -> Self {
        Self { source: Source::Unopenable, uri, modified_at_ns: 0, size: 0, version: None }
    }

    /// An entry of this archive. It is read while the archive is, and cannot be opened.
    #[must_use]
    pub fn entry(&self, name: &str) -> Self {
        let uri = format!("{}{ENTRY_SEPARATOR}{name}", self.uri);
        Self { source: Source::Unopenable, uri, modified_at_ns: self.modified_at_ns, size: 0, version: None }
    }

    /// The URI of the object that contains the one with this URI: the archive of an entry, and the object itself otherwise.
    pub fn container_uri(uri: &str) -> &str {
        uri.split_once(ENTRY_SEPARATOR).map_or(uri, |(archive, _)| archive)
    }

    /// The number of archives around the object.
    pub fn archive_depth(&self) -> usize {
        if matches!(self.source, Source::Unopenable) { self.uri.matches(ENTRY_SEPARATOR).count() } else { 0 }
    }

    /// The last path segment of the URI.
    pub fn name(&self) -> &str {
        self.uri.rsplit('/').next().unwrap_or_default()
    }

    /// The size in bytes, before decompression; `None` for pipes and web servers.
    pub fn known_size(&self) -> Option<u64> {
        matches!(self.source, Source::Stored(..) | Source::File(_)).then_some(self.size)
    }

    /// Whether byte ranges can be read, as Parquet needs.
    pub fn has_ranges(&self) -> bool {
        self.size > 0 && matches!(self.source, Source::Stored(..) | Source::File(_))
    }

    /// Opens the object with a single request, because some web servers do not support ranges, and buckets charge for requests. The reader
    /// blocks. It fails when `shutdown` is cancelled.
    ///
    /// # Errors
    /// If the system or the store refuses or fails.
    pub async fn open(&self, shutdown: CancellationToken) -> io::Result<Box<dyn Read + Send>> {
        match &self.source {
            Source::File(path) => {
                let path = path.clone();
                Ok(Box::new(tokio::task::spawn_blocking(move || File::open(path)).await??))
            }
            Source::Pipe(pipe) => Ok(Box::new(pipe.open(shutdown)?)),
            Source::Web(web) => Ok(blocking(web.body().await?, shutdown)),
            Source::Stored(store, path) => {
                let found =
                    store.get_opts(path, GetOptions::default()).await.map_err(|error| io::Error::other(Cause::from(&error).to_string()))?;
                Ok(match found.payload {
                    GetResultPayload::File(file, _) => Box::new(file),
                    GetResultPayload::Stream(body) => {
                        blocking(body.map(|part| part.map_err(|error| aborted(&Cause::from(&error).to_string()))).boxed(), shutdown)
                    }
                })
            }
            Source::Unopenable => Err(io::Error::other("not a readable object")),
        }
    }

    async fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        match &self.source {
            Source::Stored(store, path) => store.get_range(path, range).await.map_err(io::Error::other),
            Source::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || range_of_file(&path, range)).await?
            }
            Source::Pipe(_) | Source::Web(_) | Source::Unopenable => Err(io::Error::other("byte ranges of this object cannot be read")),
        }
    }
}

fn range_of_file(path: &std::path::Path, range: Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let file = File::open(path)?;
    // A corrupt footer may ask for a range of any size, so the range is checked before memory is allocated.
    if range.end > file.metadata()?.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

/// The parts of a body as a blocking reader.
fn blocking(body: BoxStream<'static, io::Result<Bytes>>, shutdown: CancellationToken) -> Box<dyn Read + Send> {
    let cancelled = shutdown.clone();
    let end = stream::once(async move { if cancelled.is_cancelled() { Err(interrupted()) } else { Ok(Bytes::new()) } });
    let body = body.take_until(shutdown.cancelled_owned()).chain(end.boxed());
    Box::new(SyncIoBridge::new(StreamReader::new(body.boxed())))
}

/// The error of a response that is cut off. It must be distinguishable from the end of the object.
pub(super) fn aborted(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, reason.to_owned())
}

/// The error of a reader when a shutdown is requested.
pub(super) fn interrupted() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the run was interrupted")
}

/// Reads byte ranges of an object for the Parquet reader.
#[derive(Debug)]
pub struct ObjectReader(Arc<Object>);

impl ObjectReader {
    /// Reads `object`, whose size must be known.
    pub fn new(object: Arc<Object>) -> Self {
        Self(object)
    }

    /// The size of the object in bytes.
    pub fn size(&self) -> u64 {
        self.0.size
    }
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { self.0.range(range).await.map_err(|error| ParquetError::External(Box::new(error))) }.boxed()
    }

    fn get_metadata<'a>(&'a mut self, _: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size();
            ParquetMetaDataReader::new().with_prefetch_hint(Some(PARQUET_FOOTER_BYTES)).load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}
