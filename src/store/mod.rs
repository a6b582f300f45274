//! URL -> object store. The one place that knows clouds, credentials and how a local path becomes an object.
//!
//! Credentials and endpoints come from the environment variables that `object_store`'s builders read (`AWS_*`, `GOOGLE_*`,
//! `AZURE_*`); <https://docs.rs/object_store> lists them.

mod durable;
mod retrying;

use std::ops::Range;
use std::path::{Path as LocalPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use url::Url;

use self::durable::DurableFileSystem;
use self::retrying::Retrying;

/// Why an input or output location could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The location is no path and no URL that failsift knows.
    #[error("cannot use {location}: {reason}\n  hint: give a path, a glob, file://, s3://, gs://, az:// or https://")]
    Location {
        /// As the user gave it, without credentials.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing lies there.
    #[error("cannot read {location}: {reason}\n  hint: check the path, and for a bucket the credentials and region in the environment")]
    Unreadable {
        /// As the user gave it, without credentials.
        location: String,
        /// What the store said.
        reason: String,
    },
}

/// One object below an input.
#[derive(Debug, Clone)]
pub struct Object {
    /// The store that holds it.
    pub store: Arc<dyn ObjectStore>,
    /// Its key in that store.
    pub path: Path,
    /// For people and tables: `s3://bucket/key`, or an absolute local path.
    pub uri: String,
    /// Its size in bytes, before decompression.
    pub size: u64,
    /// When it was written, in nanoseconds since 1970.
    pub modified_at_ns: i64,
}

impl Object {
    /// The last part of its key.
    pub fn name(&self) -> &str {
        self.path.filename().unwrap_or_default()
    }
}

/// A place where objects lie.
#[derive(Debug, Clone)]
pub struct Location {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// What stands before a key in a URI: `s3://bucket/`, or `/` for local files.
    uri_base: String,
    glob: Option<glob::Pattern>,
    shown: String,
    listable: bool,
}

impl Location {
    /// Understands a path, a glob or a URL; opens nothing.
    ///
    /// # Errors
    /// [`StoreError::Location`] for a scheme or a glob that is not understood.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        match Url::parse(text) {
            Ok(url) if url.scheme() == "file" => {
                let path = url.to_file_path().map_err(|()| bad_location(text, "a file:// URL needs an absolute path"))?;
                Self::local(&path, text)
            }
            // A single letter is a Windows drive, not a scheme.
            Ok(url) if url.scheme().len() > 1 && text.contains("://") => Self::remote(text, &url),
            _ => Self::local(LocalPath::new(text), text),
        }
    }

    fn local(path: &LocalPath, text: &str) -> Result<Self, StoreError> {
        let absolute = std::path::absolute(path).map_err(|error| bad_location(text, &error.to_string()))?;
        let (root, glob) = split_local_glob(&absolute, text)?;
        let (root, glob) = without_parent_steps(root, glob, text)?;
        let prefix = Path::from_absolute_path(&root).map_err(|error| bad_location(text, &error.to_string()))?;
        Ok(Self { store: Arc::new(LocalFileSystem::new()), prefix, uri_base: "/".into(), glob, shown: text.to_owned(), listable: true })
    }

    fn remote(text: &str, url: &Url) -> Result<Self, StoreError> {
        let shown = without_credentials(url);
        let (glob, listed) = split_remote_glob(&shown, url)?;
        let (store, prefix) =
            object_store::parse_url_opts(&listed, options(url)).map_err(|error| bad_location(&shown, &first_line(&error)))?;
        let key_start = shown.len() - shown_key(&shown).len();
        let uri_base = shown.get(..key_start).unwrap_or(text).to_owned();
        let listable = !matches!(url.scheme(), "http" | "https");
        Ok(Self { store: Arc::new(Retrying::new(Arc::from(store))), prefix, uri_base, glob, shown, listable })
    }

    /// As the user gave it, without credentials.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The same text for the same place, however it was written.
    pub fn canonical(&self) -> String {
        let glob = self.glob.as_ref().map(glob::Pattern::as_str).unwrap_or_default();
        format!("{} {glob}", self.uri(&self.prefix))
    }

    /// The URI of a key in this store.
    fn uri(&self, path: &Path) -> String {
        format!("{}{path}", self.uri_base)
    }

    fn object(&self, meta: ObjectMeta, uri: String) -> Object {
        let modified_at_ns = meta.last_modified.timestamp_nanos_opt().unwrap_or_default();
        Object { store: Arc::clone(&self.store), path: meta.location, uri, size: meta.size, modified_at_ns }
    }

    /// The object of that name below this location, which is a prefix; nothing where there is none, or where it is over `bytes_max`.
    ///
    /// The name comes from a trace, so it can lead nowhere else: steps such as `..` are no part of an object's name.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where the store refuses or fails.
    pub async fn read_below(&self, name: &str, bytes_max: u64) -> Result<Option<Bytes>, StoreError> {
        let Ok(name) = Path::parse(name) else { return Ok(None) };
        let path: Path = self.prefix.parts().chain(name.parts()).collect();
        if !self.listable || self.glob.as_ref().is_some_and(|glob| !glob.matches(&self.uri(&path))) {
            return Ok(None);
        }
        let found = match self.store.get(&path).await {
            Ok(found) if found.meta.size <= bytes_max => found,
            Ok(_) | Err(object_store::Error::NotFound { .. } | object_store::Error::Generic { .. }) => return Ok(None),
            Err(error) => return Err(unreadable(&self.shown, &error)),
        };
        found.bytes().await.map(Some).map_err(|error| unreadable(&self.shown, &error))
    }

    /// Every object that the location names: the object itself, or all below the prefix, as far as the glob matches.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where nothing lies there or the store refuses.
    pub async fn objects(&self) -> Result<BoxStream<'static, Result<Object, StoreError>>, StoreError> {
        if self.glob.is_none()
            && let Some(object) = self.single().await?
        {
            return Ok(stream::once(async { Ok(object) }).boxed());
        }
        let this = self.clone();
        let listed = self.store.list(Some(&self.prefix)).map_err({
            let shown = self.shown.clone();
            move |error| unreadable(&shown, &error)
        });
        let mut objects = listed
            .try_filter_map(move |meta| {
                let uri = this.uri(&meta.location);
                let wanted = this.glob.as_ref().is_none_or(|glob| glob.matches(&uri));
                let object = wanted.then(|| this.object(meta, uri));
                async move { Ok(object) }
            })
            .boxed()
            .peekable();
        match std::pin::Pin::new(&mut objects).next_if(Result::is_err).await {
            Some(Err(error)) => Err(error),
            _ if std::pin::Pin::new(&mut objects).peek().await.is_none() => {
                Err(StoreError::Unreadable { location: self.shown.clone(), reason: "no object lies there".into() })
            }
            _ => Ok(objects.boxed()),
        }
    }

    async fn single(&self) -> Result<Option<Object>, StoreError> {
        let uri = self.uri(&self.prefix);
        match self.store.head(&self.prefix).await {
            Ok(meta) => Ok(Some(self.object(meta, uri))),
            Err(error) if !self.listable => Err(unreadable(&self.shown, &error)),
            Err(object_store::Error::NotFound { .. } | object_store::Error::Generic { .. }) => Ok(None),
            Err(error) => Err(unreadable(&self.shown, &error)),
        }
    }
}

/// Every object of every input, without those of the tables where they lie below an input.
///
/// # Errors
/// [`StoreError::Unreadable`] where nothing lies at an input or its store refuses.
pub async fn objects(inputs: &[Location], tables: &Url) -> Result<BoxStream<'static, Result<Object, StoreError>>, StoreError> {
    let mut listings = Vec::with_capacity(inputs.len());
    for input in inputs {
        listings.push(input.objects().await?);
    }
    let own = tables.to_file_path().map_or_else(|()| tables.to_string(), |path| path.display().to_string());
    let own = format!("{}/", own.trim_end_matches('/'));
    let others = stream::iter(listings).flatten().try_filter(move |object| std::future::ready(!object.uri.starts_with(&own)));
    Ok(others.boxed())
}

/// The URL of a table location for Delta, with a local folder created so that it belongs to its owner alone.
///
/// # Errors
/// [`StoreError`] where it is no usable location.
pub fn table_url(text: &str) -> Result<Url, StoreError> {
    if let Ok(url) = Url::parse(text)
        && text.contains("://")
        && url.scheme() != "file"
    {
        if matches!(url.scheme(), "http" | "https") {
            return Err(bad_location(&without_credentials(&url), "tables cannot be kept on a plain web server"));
        }
        return Ok(url);
    }
    let path: PathBuf = match Url::parse(text) {
        Ok(url) if url.scheme() == "file" => url.to_file_path().map_err(|()| bad_location(text, "a file:// URL needs an absolute path"))?,
        _ => PathBuf::from(text),
    };
    let absolute = std::path::absolute(&path).map_err(|error| bad_location(text, &error.to_string()))?;
    let absolute = absolute.canonicalize().unwrap_or(absolute);
    Url::from_directory_path(&absolute).map_err(|()| bad_location(text, "it is no absolute path"))
}

/// The object store of a table location, with credentials from the environment. Writes to local files are on the disk once they return.
///
/// # Errors
/// [`StoreError::Location`] for a scheme that this build does not know.
pub fn open(url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), StoreError> {
    if url.scheme() == "file" {
        let path = url.to_file_path().map_err(|()| bad_location(url.as_str(), "a file:// URL needs an absolute path"))?;
        let path = Path::from_absolute_path(&path).map_err(|error| bad_location(url.as_str(), &first_line(&error)))?;
        return Ok((Arc::new(DurableFileSystem::new()), path));
    }
    let (store, path) =
        object_store::parse_url_opts(url, options(url)).map_err(|error| bad_location(&without_credentials(url), &first_line(&error)))?;
    Ok((Arc::new(Retrying::new(Arc::from(store))), path))
}

/// Removes what writes of killed processes left unfinished below a local location, once it is older than `age`; says how many files it
/// was. On object stores nothing is left: an upload that does not end is no object.
///
/// # Errors
/// What the system says of a folder that cannot be read.
pub fn remove_unfinished(location: &Url, age: std::time::Duration) -> std::io::Result<usize> {
    location.to_file_path().map_or(Ok(0), |path| durable::remove_unfinished(&path, age))
}

/// What the builders of `object_store` are told: the environment, and that who writes `http://` means it.
fn options(url: &Url) -> Vec<(String, String)> {
    let environment = std::env::vars().map(|(key, value)| (key.to_ascii_lowercase(), value));
    let of_clouds = environment.filter(|(key, _)| ["aws_", "google_", "azure_"].iter().any(|prefix| key.starts_with(prefix)));
    let plain_http = (url.scheme() == "http").then(|| ("allow_http".to_owned(), "true".to_owned()));
    of_clouds.chain(plain_http).collect()
}

/// Splits `/logs/2026*/x.jsonl` into the folder before the first wildcard and a pattern over whole paths.
fn split_local_glob(path: &LocalPath, text: &str) -> Result<(PathBuf, Option<glob::Pattern>), StoreError> {
    let as_text = path.to_string_lossy();
    if path.exists() || !as_text.contains(['*', '?', '[']) {
        return Ok((path.to_owned(), None));
    }
    let pattern = glob::Pattern::new(&as_text).map_err(|error| bad_location(text, error.msg))?;
    let root = path.ancestors().find(|ancestor| !ancestor.to_string_lossy().contains(['*', '?', '['])).unwrap_or(LocalPath::new("/"));
    Ok((root.to_owned(), Some(pattern)))
}

/// Resolves `..`, which object paths do not know, in the folder before a glob and in the glob.
fn without_parent_steps(root: PathBuf, glob: Option<glob::Pattern>, text: &str) -> Result<(PathBuf, Option<glob::Pattern>), StoreError> {
    if !root.components().any(|step| step == std::path::Component::ParentDir) {
        return Ok((root, glob));
    }
    let resolved = root.canonicalize().map_err(|error| StoreError::Unreadable { location: text.to_owned(), reason: error.to_string() })?;
    let moved = |glob: glob::Pattern| {
        let rest = glob.as_str().strip_prefix(&*root.to_string_lossy()).unwrap_or_default().to_owned();
        glob::Pattern::new(&format!("{}{rest}", resolved.display())).map_err(|error| bad_location(text, error.msg))
    };
    let glob = glob.map(moved).transpose()?;
    Ok((resolved, glob))
}

fn split_remote_glob(shown: &str, url: &Url) -> Result<(Option<glob::Pattern>, Url), StoreError> {
    let key = shown_key(shown);
    let Some(wildcard) = key.find(['*', '[']) else { return Ok((None, url.clone())) };
    let pattern = glob::Pattern::new(shown).map_err(|error| bad_location(shown, error.msg))?;
    let folder = key.get(..wildcard).and_then(|head| head.rfind('/').and_then(|slash| head.get(..slash))).unwrap_or_default();
    let mut listed = url.clone();
    listed.set_path(folder);
    Ok((Some(pattern), listed))
}

/// The part of a URL after `scheme://bucket/`.
fn shown_key(shown: &str) -> &str {
    let after_scheme = shown.split_once("://").map_or(shown, |(_, rest)| rest);
    after_scheme.split_once('/').map_or("", |(_, key)| key)
}

/// A URL for people: no user, no password, no query (signatures stand there).
fn without_credentials(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = percent_decode(url.path());
    format!("{}://{host}{port}{path}", url.scheme())
}

fn percent_decode(path: &str) -> String {
    Path::from_url_path(path)
        .map_or_else(|_| path.to_owned(), |decoded| if decoded.as_ref().is_empty() { "/".into() } else { format!("/{decoded}") })
}

fn bad_location(location: &str, reason: &str) -> StoreError {
    StoreError::Location { location: location.to_owned(), reason: reason.to_owned() }
}

fn unreadable(location: &str, error: &object_store::Error) -> StoreError {
    let reason = match error {
        object_store::Error::NotFound { .. } => "no such object".to_owned(),
        other => first_line(other),
    };
    StoreError::Unreadable { location: location.to_owned(), reason }
}

fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Bytes at the end of a Parquet file that are read at once; most footers are within.
const FOOTER_BYTES: usize = 64 * 1024;

/// Byte ranges of an object for the Parquet reader.
#[derive(Debug)]
pub struct ObjectReader(Arc<Object>);

impl ObjectReader {
    /// Reads `object`, whose size is known.
    pub fn new(object: Arc<Object>) -> Self {
        Self(object)
    }
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { self.0.store.get_range(&self.0.path, range).await.map_err(|error| ParquetError::External(Box::new(error))) }.boxed()
    }

    fn get_metadata<'a>(&'a mut self, _: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.0.size;
            ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_BYTES)).load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn names(location: &str) -> Result<Vec<String>, StoreError> {
        let mut names: Vec<String> =
            Location::parse(location)?.objects().await?.map_ok(|object| object.name().to_owned()).try_collect().await?;
        names.sort();
        Ok(names)
    }

    #[tokio::test]
    async fn a_path_a_folder_and_a_glob_name_objects() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        for name in ["a.jsonl", "b.jsonl.gz", "sub/c.jsonl"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let root = folder.path().to_str().unwrap();
        assert_eq!(names(root).await.unwrap(), ["a.jsonl", "b.jsonl.gz", "c.jsonl"]);
        assert_eq!(names(&format!("{root}/a.jsonl")).await.unwrap(), ["a.jsonl"]);
        assert_eq!(names(&format!("{root}/*.gz")).await.unwrap(), ["b.jsonl.gz"]);
        assert_eq!(names(&format!("file://{root}/sub")).await.unwrap(), ["c.jsonl"]);
        assert_eq!(names(&format!("{root}/sub/../a.jsonl")).await.unwrap(), ["a.jsonl"]);
        assert_eq!(names(&format!("{root}/sub/../*.gz")).await.unwrap(), ["b.jsonl.gz"]);
    }

    #[tokio::test]
    async fn what_does_not_exist_is_named() {
        let error = names("/no/such/folder").await.unwrap_err().to_string();
        assert!(error.contains("/no/such/folder") && error.contains("hint:"), "{error}");
        let error = names("gopher://x/y").await.unwrap_err().to_string();
        assert!(error.contains("gopher://x/y"), "{error}");
    }

    #[test]
    fn credentials_in_a_url_are_never_shown() {
        let url = Url::parse("https://user:secret@host:9000/a%20b/c.jsonl?X-Amz-Signature=abc").unwrap();
        assert_eq!(without_credentials(&url), "https://host:9000/a b/c.jsonl");
    }
}
