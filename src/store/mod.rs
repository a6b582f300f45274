//! Lists and reads the objects of a location: local folders, buckets, web servers and pipes. The only module that knows clouds and
//! credentials. It must not know what is in an object.
//!
//! Credentials and endpoints come from the environment variables that `object_store`'s builders read (`AWS_*`, `GOOGLE_*`, `AZURE_*`),
//! listed at <https://docs.rs/object_store>.

mod bucket;
mod durable;
mod error;
mod glob;
mod local;
mod names;
mod object;
mod pipe;
mod probe;
mod retrying;
mod suggestion;
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
use self::error::first_line;
pub use self::error::{EMPTY_INPUT_HINT, StoreError};
use self::local::Folder;
pub use self::object::{Object, ObjectReader};
use self::pipe::Pipe;
pub use self::probe::{missing_credentials, probe_input, probe_output, unreachable_endpoint};
use self::retrying::Retrying;
use self::web::WebObject;
use crate::limits::SUMMARY_SKIPPED_OBJECTS_MAX;

/// An entry of a listing.
#[derive(Debug)]
pub enum Listed {
    /// An object that may contain traces.
    Object(Object),
    /// Excluded by its name or type: metadata of other programs, a socket. A folder represents everything in it.
    Skipped(Object),
    /// An object that cannot be requested because of its name.
    Unreadable {
        /// Its URI, as far as it can be displayed.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The entries of a location. An error means that the listing is incomplete, and ends it.
pub type Listing = BoxStream<'static, Result<Listed, StoreError>>;

/// Where objects are.
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
    /// Parses a path, a glob or a URL. Does not access it.
    ///
    /// # Errors
    /// [`StoreError::Location`] for an unknown scheme or an invalid glob.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let scheme = scheme(text);
        let (kind, shown) = match scheme {
            None if text == "-" => (LocationKind::Pipe(Pipe::stdin()), STDIN.to_owned()),
            None => (Self::local(LocalPath::new(text), text)?, text.to_owned()),
            Some("file") => {
                let url = Url::parse(text).map_err(|error| StoreError::location(text, error.to_string()))?;
                let path = url.to_file_path().map_err(|()| StoreError::location(text, "a file:// URL needs an absolute path"))?;
                (Self::local(&path, text)?, text.to_owned())
            }
            Some("http" | "https") => {
                let url = Url::parse(text).map_err(|error| StoreError::location(&without_query(text), error.to_string()))?;
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
        let absolute = std::path::absolute(path).map_err(|error| StoreError::location(text, error.to_string()))?;
        Ok(match Pipe::at(&absolute) {
            Some(pipe) => LocationKind::Pipe(pipe),
            None => LocationKind::Folder(Folder::parse(&absolute, text)?),
        })
    }

    /// Whether it is standard input or another pipe, which can be read once.
    pub fn is_pipe(&self) -> bool {
        matches!(self.kind, LocationKind::Pipe(_))
    }

    /// Whether it is reached over the network.
    pub fn is_remote(&self) -> bool {
        matches!(self.kind, LocationKind::Bucket(_) | LocationKind::Web(_))
    }

    fn is_glob(&self) -> bool {
        match &self.kind {
            LocationKind::Folder(folder) => folder.is_glob(),
            LocationKind::Bucket(bucket) => bucket.is_glob(),
            LocationKind::Pipe(_) | LocationKind::Web(_) => false,
        }
    }

    /// As the user gave it, without credentials.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// A normalized form: the same text for different spellings of a location.
    pub fn canonical(&self) -> String {
        match &self.kind {
            LocationKind::Folder(folder) => folder.canonical(),
            LocationKind::Bucket(bucket) => bucket.shown(),
            LocationKind::Pipe(_) | LocationKind::Web(_) => self.shown.clone(),
        }
    }

    /// Reads the object `name` below this location; `None` if it does not exist or is larger than `bytes_max`.
    ///
    /// The name comes from a trace and is not trusted: path segments such as `..` are not valid in an object name.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if the store refuses or fails.
    pub async fn read_below(&self, name: &str, bytes_max: u64) -> Result<Option<Bytes>, StoreError> {
        let Ok(name) = Path::parse(name) else { return Ok(None) };
        match &self.kind {
            LocationKind::Folder(folder) => folder.read_below(name.as_ref(), bytes_max).await,
            LocationKind::Bucket(bucket) => bucket.read_below(&name, bytes_max).await,
            LocationKind::Pipe(_) | LocationKind::Web(_) => Ok(None),
        }
        .map_err(|cause| StoreError::unreadable(&self.shown, cause))
    }

    /// The object at this location, or all objects below it that match its glob, without those of the tables at `output`.
    async fn list(&self, output: &Url) -> Result<Listing, StoreError> {
        match &self.kind {
            LocationKind::Folder(folder) => folder.list(&self.shown, output),
            LocationKind::Bucket(bucket) => bucket.list(&self.shown, output).await,
            LocationKind::Pipe(pipe) => Ok(single_object(pipe.object())),
            LocationKind::Web(web) => web.object(&self.shown).await.map(single_object),
        }
    }
}

fn single_object(object: Object) -> Listing {
    stream::once(async { Ok(Listed::Object(object)) }).boxed()
}

/// Lists the objects of all inputs, without those of the tables.
///
/// # Errors
/// [`StoreError::Empty`] for the first empty input unless `allow_empty` is set, [`StoreError::Unreadable`] if a store refuses or fails.
pub async fn objects(inputs: &[Location], tables: &Url, allow_empty: bool) -> Result<Listing, StoreError> {
    let mut listings = Vec::with_capacity(inputs.len());
    for input in inputs {
        listings.push(match non_empty(input, tables).await {
            Err(StoreError::Empty { .. }) if allow_empty => continue,
            listing => listing?,
        });
    }
    Ok(stream::iter(listings).flatten().boxed())
}

/// The listing of an input with at least one object that is not skipped.
async fn non_empty(input: &Location, tables: &Url) -> Result<Listing, StoreError> {
    let mut listing = input.list(tables).await?;
    let mut first = Vec::new();
    while let Some(listed) = listing.next().await {
        match listed? {
            skipped @ Listed::Skipped(_) => {
                // The run summary lists no more names than this.
                if first.len() < SUMMARY_SKIPPED_OBJECTS_MAX {
                    first.push(Ok(skipped));
                }
            }
            found => {
                first.push(Ok(found));
                return Ok(stream::iter(first).chain(listing).boxed());
            }
        }
    }
    Err(StoreError::empty(&input.shown, if input.is_glob() { "no files match" } else { "no trace files" }))
}

/// Whether an input is the location of the tables or inside one of the tables, so that a run would read its own output.
pub fn is_table_location(input: &Location, output: &Url) -> bool {
    match &input.kind {
        LocationKind::Folder(folder) => folder.is_in_tables(output),
        LocationKind::Bucket(bucket) => bucket.is_in_tables(output),
        LocationKind::Pipe(_) | LocationKind::Web(_) => false,
    }
}

/// Parses the location of tables into a URL. A local path becomes a `file://` URL without symbolic links.
///
/// # Errors
/// [`StoreError::Location`] if tables cannot be stored there.
pub fn table_url(text: &str) -> Result<Url, StoreError> {
    if let Ok(url) = Url::parse(text)
        && text.contains("://")
        && url.scheme() != "file"
    {
        if matches!(url.scheme(), "http" | "https") {
            return Err(StoreError::location(
                &without_credentials(&url),
                "tables cannot be stored on a plain web server, only in a folder, s3://, gs:// or az://",
            ));
        }
        return Ok(url);
    }
    let path: PathBuf = match Url::parse(text) {
        Ok(url) if url.scheme() == "file" => {
            url.to_file_path().map_err(|()| StoreError::location(text, "a file:// URL needs an absolute path"))?
        }
        _ => PathBuf::from(text),
    };
    let absolute = std::path::absolute(&path).map_err(|error| StoreError::location(text, error.to_string()))?;
    let absolute = absolute.canonicalize().unwrap_or(absolute);
    Url::from_directory_path(&absolute).map_err(|()| StoreError::location(text, "not an absolute path"))
}

/// The message for an object that cannot be opened: `cannot read URI: cause` and a hint.
pub fn unreadable(uri: &str, error: &std::io::Error) -> String {
    StoreError::unreadable(uri, error).to_string()
}

/// Standard input, as messages and `source_uri` name it.
pub const STDIN: &str = "stdin";

/// Opens the object store of a table location, with credentials from the environment. Local writes are durable when they return.
///
/// # Errors
/// [`StoreError::Location`] for a scheme that this build does not support.
pub fn open(url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), StoreError> {
    if url.scheme() == "file" {
        let path = url.to_file_path().map_err(|()| StoreError::location(url.as_str(), "a file:// URL needs an absolute path"))?;
        let path = Path::from_absolute_path(&path).map_err(|error| StoreError::location(url.as_str(), first_line(&error)))?;
        return Ok((Arc::new(DurableFileSystem::new()), path));
    }
    let (store, path) = object_store::parse_url_opts(url, options(url))
        .map_err(|error| StoreError::location(&without_credentials(url), first_line(&error)))?;
    Ok((Arc::new(Retrying::new(Arc::from(store))), path))
}

/// Removes files below a local location that interrupted writes left behind, if they are older than `age`. Returns how many; with `dry_run` how
/// many it would remove. Object stores need no such cleanup, because an incomplete upload does not create an object.
///
/// # Errors
/// If a folder cannot be read.
pub fn remove_incomplete(location: &Url, age: std::time::Duration, dry_run: bool) -> std::io::Result<usize> {
    location.to_file_path().map_or(Ok(0), |path| durable::remove_incomplete(&path, age, dry_run))
}

/// Options for the builders of `object_store`: the environment, and unencrypted HTTP if the URL asks for it.
fn options(url: &Url) -> Vec<(String, String)> {
    let environment = std::env::vars().map(|(key, value)| (key.to_ascii_lowercase(), value));
    let of_clouds = environment.filter(|(key, _)| ["aws_", "google_", "azure_"].iter().any(|prefix| key.starts_with(prefix)));
    let plain_http = (url.scheme() == "http").then(|| ("allow_http".to_owned(), "true".to_owned()));
    of_clouds.chain(plain_http).collect()
}

/// The scheme of a URL; `None` for a path.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    // A single letter is a Windows drive, not a scheme.
    let is_scheme = scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    is_scheme.then_some(scheme)
}

/// A URL for messages: without user, password and query, which may be a signature. Its path stays percent-encoded, so that it can be used as
/// an input again.
fn without_credentials(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// A location or another text for messages: a URL loses its user and password, and on the web its query, which may be a signature.
pub fn without_secrets(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // In keys of a bucket, ? is an ordinary character.
    let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    let rest = if is_web { rest.split(['?', '#']).next().unwrap_or_default() } else { rest };
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The same for a text that is not a valid URL.
fn without_query(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest)),
        None => text.to_owned(),
    }
}
