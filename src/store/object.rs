//! One object: how it is opened, and byte ranges of it for Parquet.

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

use super::pipe::Pipe;
use super::said;
use super::web::WebObject;
use crate::limits::PARQUET_FOOTER_BYTES;

/// One object below an input.
#[derive(Debug, Clone)]
pub struct Object {
    source: Source,
    /// For people and tables: `s3://bucket/key`, an absolute local path, a URL without its query, `stdin`. What it says can be given as an
    /// input again, where that makes sense.
    pub uri: String,
    /// When it was written, in nanoseconds since 1970.
    pub modified_at_ns: i64,
    /// Its size in bytes, before decompression; 0 where nobody knows: for a pipe, and for files of the system that claim to be empty.
    size: u64,
}

#[derive(Debug, Clone)]
enum Source {
    Stored(Arc<dyn ObjectStore>, Path),
    File(PathBuf),
    Pipe(Pipe),
    Web(WebObject),
    /// A folder or a special file that is only named.
    Named,
}

impl Object {
    /// An object of a store.
    pub fn in_store(store: Arc<dyn ObjectStore>, path: Path, uri: String, size: u64, modified_at_ns: i64) -> Self {
        Self { source: Source::Stored(store, path), uri, modified_at_ns, size }
    }

    pub(super) fn of_file(path: PathBuf, size: u64, modified_at_ns: i64) -> Self {
        let uri = path.display().to_string();
        Self { source: Source::File(path), uri, modified_at_ns, size }
    }

    pub(super) fn of_pipe(pipe: Pipe, uri: String) -> Self {
        let modified_at_ns = chrono::Utc::now().timestamp_nanos_opt().unwrap_or_default();
        Self { source: Source::Pipe(pipe), uri, modified_at_ns, size: 0 }
    }

    pub(super) fn of_web(web: WebObject, uri: String, modified_at_ns: i64) -> Self {
        Self { source: Source::Web(web), uri, modified_at_ns, size: 0 }
    }

    /// Something that is named and never read.
    pub(super) fn named(uri: String) -> Self {
        Self { source: Source::Named, uri, modified_at_ns: 0, size: 0 }
    }

    /// The last step of its name.
    pub fn name(&self) -> &str {
        self.uri.rsplit('/').next().unwrap_or_default()
    }

    /// Whether parts of it can be read, as Parquet needs.
    pub fn has_ranges(&self) -> bool {
        self.size > 0 && matches!(self.source, Source::Stored(..) | Source::File(_))
    }

    /// Opens it with one request: plain web servers know no ranges, and buckets bill requests. What comes is to be read on a thread that
    /// may block; it ends with an error once `shutdown` is cancelled.
    ///
    /// # Errors
    /// What the system or the store says.
    pub async fn open(&self, shutdown: CancellationToken) -> io::Result<Box<dyn Read + Send>> {
        match &self.source {
            Source::File(path) => {
                let path = path.clone();
                Ok(Box::new(tokio::task::spawn_blocking(move || File::open(path)).await??))
            }
            Source::Pipe(pipe) => Ok(Box::new(pipe.open(shutdown)?)),
            Source::Web(web) => Ok(blocking(web.body().await?, shutdown)),
            Source::Stored(store, path) => {
                let found = store.get_opts(path, GetOptions::default()).await.map_err(|error| io::Error::other(said(&error)))?;
                Ok(match found.payload {
                    GetResultPayload::File(file, _) => Box::new(file),
                    GetResultPayload::Stream(body) => {
                        blocking(body.map(|part| part.map_err(|error| aborted(&said(&error)))).boxed(), shutdown)
                    }
                })
            }
            Source::Named => Err(io::Error::other("it is no object that can be read")),
        }
    }

    async fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        match &self.source {
            Source::Stored(store, path) => store.get_range(path, range).await.map_err(io::Error::other),
            Source::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || range_of_file(&path, range)).await?
            }
            Source::Pipe(_) | Source::Web(_) | Source::Named => Err(io::Error::other("parts of it cannot be read")),
        }
    }
}

fn range_of_file(path: &std::path::Path, range: Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let file = File::open(path)?;
    // A footer that lies names parts of any size, so the file says how much there is.
    if range.end > file.metadata()?.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

/// The parts of a body as a reader for a thread that may block.
fn blocking(body: BoxStream<'static, io::Result<Bytes>>, shutdown: CancellationToken) -> Box<dyn Read + Send> {
    let cut = shutdown.clone();
    let end = stream::once(async move { if cut.is_cancelled() { Err(stopped()) } else { Ok(Bytes::new()) } });
    let body = body.take_until(shutdown.cancelled_owned()).chain(end.boxed());
    Box::new(SyncIoBridge::new(StreamReader::new(body.boxed())))
}

/// A body that ends in the middle is no end.
pub(super) fn aborted(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, reason.to_owned())
}

/// What a reader says once it shall stop.
pub(super) fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the run was interrupted")
}

/// Byte ranges of an object for the Parquet reader.
#[derive(Debug)]
pub struct ObjectReader(Arc<Object>);

impl ObjectReader {
    /// Reads `object`, whose size is known.
    pub fn new(object: Arc<Object>) -> Self {
        Self(object)
    }

    /// The size of the object.
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
