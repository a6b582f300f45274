//! URL -> objects. The one place that knows clouds, credentials, pipes and how a local path becomes an object.
//!
//! Credentials and endpoints come from the environment variables that `object_store`'s builders read (`AWS_*`, `GOOGLE_*`,
//! `AZURE_*`); <https://docs.rs/object_store> lists them.

mod bucket;
mod durable;
mod local;
mod names;
mod object;
mod pipe;
mod retrying;
mod web;

use std::path::{Path as LocalPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

use self::bucket::Bucket;
use self::durable::DurableFileSystem;
use self::local::Folder;
pub use self::object::{Object, ObjectReader};
use self::pipe::Pipe;
use self::retrying::Retrying;
use self::web::WebObject;
use crate::limits::SUMMARY_SKIPPED_OBJECTS_MAX;

/// Why an input or output location could not be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The location is no path and no URL that failsift knows.
    #[error("cannot use {location}: {reason}\n  hint: give a path, a glob, - for standard input, file://, s3://, gs://, az:// or https://")]
    Location {
        /// As the user gave it, without credentials.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be read, or not be listed to the end.
    #[error("cannot read {location}: {reason}\n  hint: check the path, and for a bucket the credentials and region in the environment")]
    Unreadable {
        /// As the user gave it, without credentials.
        location: String,
        /// What the store said.
        reason: String,
    },
    /// No trace file lies there.
    #[error(
        "cannot read {location}: {reason}\n  hint: check the path; names that start with _ or . are no input, nor are failsift's own tables"
    )]
    Empty {
        /// As the user gave it, without credentials.
        location: String,
        /// What is missing.
        reason: String,
    },
}

/// What a listing finds.
#[derive(Debug)]
pub enum Listed {
    /// An object that may hold traces.
    Object(Object),
    /// What is no input by its name or kind: bookkeeping of a table, a socket. A folder stands for all that is in it.
    Skipped(Object),
    /// Something whose name no request can hold, so nobody can read it.
    Unreadable {
        /// Its URI, as far as it can be shown.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a location lists. After an error, which says that the listing is not complete, nothing comes any more.
pub type Listing = BoxStream<'static, Result<Listed, StoreError>>;

/// A place where objects lie.
#[derive(Debug, Clone)]
pub struct Location {
    kind: LocationKind,
    shown: String,
}

#[derive(Debug, Clone)]
enum LocationKind {
    Folder(Folder),
    Pipe(Pipe),
    Bucket(Bucket),
    Web(WebObject),
}

impl Location {
    /// Understands a path, a glob or a URL; opens nothing.
    ///
    /// # Errors
    /// [`StoreError::Location`] for a scheme or a glob that is not understood.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let scheme = scheme(text);
        let (kind, shown) = match scheme {
            None if text == "-" => (LocationKind::Pipe(Pipe::stdin()), "stdin".to_owned()),
            None => (Self::local(LocalPath::new(text), text)?, text.to_owned()),
            Some("file") => {
                let url = Url::parse(text).map_err(|error| bad_location(text, &error.to_string()))?;
                let path = url.to_file_path().map_err(|()| bad_location(text, "a file:// URL needs an absolute path"))?;
                (Self::local(&path, text)?, text.to_owned())
            }
            Some("http" | "https") => {
                let url = Url::parse(text).map_err(|error| bad_location(&without_query(text), &error.to_string()))?;
                match Bucket::of_web_address(&url)? {
                    Some(bucket) => (LocationKind::Bucket(bucket), without_credentials(&url)),
                    None => (LocationKind::Web(WebObject::new(&url)?), without_credentials(&url)),
                }
            }
            Some(_) => {
                let bucket = Bucket::parse(text)?;
                let shown = bucket.shown();
                (LocationKind::Bucket(bucket), shown)
            }
        };
        Ok(Self { kind, shown })
    }

    fn local(path: &LocalPath, text: &str) -> Result<LocationKind, StoreError> {
        let absolute = std::path::absolute(path).map_err(|error| bad_location(text, &error.to_string()))?;
        Ok(match Pipe::at(&absolute) {
            Some(pipe) => LocationKind::Pipe(pipe),
            None => LocationKind::Folder(Folder::parse(&absolute, text)?),
        })
    }

    /// As the user gave it, without credentials.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The same text for the same place, however it was written.
    pub fn canonical(&self) -> String {
        match &self.kind {
            LocationKind::Folder(folder) => folder.canonical(),
            LocationKind::Bucket(bucket) => bucket.shown(),
            LocationKind::Pipe(_) | LocationKind::Web(_) => self.shown.clone(),
        }
    }

    /// The object of that name below this location, which is a prefix; nothing where there is none, or where it is over `bytes_max`.
    ///
    /// The name comes from a trace, so it can lead nowhere else: steps such as `..` are no part of an object's name.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where the store refuses or fails.
    pub async fn read_below(&self, name: &str, bytes_max: u64) -> Result<Option<Bytes>, StoreError> {
        let Ok(name) = Path::parse(name) else { return Ok(None) };
        match &self.kind {
            LocationKind::Folder(folder) => folder.read_below(name.as_ref(), bytes_max).await,
            LocationKind::Bucket(bucket) => bucket.read_below(&name, bytes_max).await,
            LocationKind::Pipe(_) | LocationKind::Web(_) => Ok(None),
        }
        .map_err(|reason| StoreError::Unreadable { location: self.shown.clone(), reason })
    }

    /// Everything that the location names: the object itself, or all below the prefix, as far as the glob matches, without what belongs
    /// to the tables at `output`.
    async fn list(&self, output: &Url) -> Result<Listing, StoreError> {
        match &self.kind {
            LocationKind::Folder(folder) => folder.list(&self.shown, output),
            LocationKind::Bucket(bucket) => bucket.list(&self.shown, output).await,
            LocationKind::Pipe(pipe) => Ok(one(pipe.object())),
            LocationKind::Web(web) => web.object(&self.shown).await.map(one),
        }
    }
}

fn one(object: Object) -> Listing {
    stream::once(async { Ok(Listed::Object(object)) }).boxed()
}

/// Everything below every input, without the tables where they lie below an input. An input with nothing is an error, unless it may be
/// empty.
///
/// # Errors
/// [`StoreError::Empty`] for the first input with nothing, [`StoreError::Unreadable`] where a store refuses.
pub async fn objects(inputs: &[Location], tables: &Url, allow_empty: bool) -> Result<Listing, StoreError> {
    let mut listings = Vec::with_capacity(inputs.len());
    for input in inputs {
        listings.push(match begun(input, tables).await {
            Err(StoreError::Empty { .. }) if allow_empty => continue,
            begun => begun?,
        });
    }
    Ok(stream::iter(listings).flatten().boxed())
}

/// The listing of an input in which something was found.
async fn begun(input: &Location, tables: &Url) -> Result<Listing, StoreError> {
    let mut listing = input.list(tables).await?;
    let mut begin = Vec::new();
    while let Some(listed) = listing.next().await {
        match listed? {
            skipped @ Listed::Skipped(_) => {
                // Their names are shown up to a limit, so more need not be kept.
                if begin.len() < SUMMARY_SKIPPED_OBJECTS_MAX {
                    begin.push(Ok(skipped));
                }
            }
            found => {
                begin.push(Ok(found));
                return Ok(stream::iter(begin).chain(listing).boxed());
            }
        }
    }
    Err(StoreError::Empty { location: input.shown.clone(), reason: "no trace files".into() })
}

/// Whether an input is the place of the tables, or one of the tables: reading it would read what was written.
pub fn same_place(input: &Location, output: &Url) -> bool {
    match &input.kind {
        LocationKind::Folder(folder) => folder.is_in_tables(output),
        LocationKind::Bucket(bucket) => bucket.is_in_tables(output),
        LocationKind::Pipe(_) | LocationKind::Web(_) => false,
    }
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

/// The scheme of a URL; nothing for a path.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    // A single letter is a Windows drive, not a scheme.
    let is_scheme = scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    is_scheme.then_some(scheme)
}

/// A URL for people: no user, no password, no query (signatures stand there). Its path stays percent-encoded, so that it can be given again.
fn without_credentials(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// The same of a text that is no URL, as far as it can be told.
fn without_query(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest)),
        None => text.to_owned(),
    }
}

fn bad_location(location: &str, reason: &str) -> StoreError {
    StoreError::Location { location: location.to_owned(), reason: reason.to_owned() }
}

fn unreadable(location: &str, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable { location: location.to_owned(), reason: first_line(&reason) }
}

/// What a store says of a request that failed.
fn said(error: &object_store::Error) -> String {
    match error {
        object_store::Error::NotFound { .. } => "no such object".to_owned(),
        other => first_line(other),
    }
}

fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
