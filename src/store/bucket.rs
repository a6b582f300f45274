//! Buckets. Keys are used exactly as they are displayed, and a listing continues after a key that `object_store` cannot represent.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::{Error as PathError, Path};
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, ObjectStoreScheme};
use url::Url;

use super::error::{Cause, first_line};
use super::glob::{Glob, KEY_WILDCARDS};
use super::names::{excluded_prefix, is_table_path};
use super::object::Object;
use super::retrying::{Attempts, Retrying};
use super::{Listed, Listing, StoreError, options, single_object, without_credentials};
use crate::limits::LIST_PAGE_KEYS_MAX;

/// A bucket, with the key, prefix or glob of the objects to read.
#[derive(Clone)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    pages: Arc<dyn PaginatedListStore>,
    base: Base,
    /// What the user wrote after the bucket.
    key: String,
}

/// The part of a URI before the key.
#[derive(Debug, Clone)]
enum Base {
    /// `s3://bucket/`: keys follow unencoded.
    Literal(String),
    /// `https://account.blob.core.windows.net/container/`: keys follow percent-encoded.
    Address(Url),
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("base", &self.base).field("key", &self.key).finish_non_exhaustive()
    }
}

struct Connected {
    store: Arc<dyn ObjectStore>,
    pages: Arc<dyn PaginatedListStore>,
}

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
macro_rules! connected {
    ($builder:ty, $url:expr) => {{
        let mut builder = <$builder>::new().with_url($url.as_str());
        for (key, value) in options($url) {
            if let Ok(key) = key.parse() {
                builder = builder.with_config(key, value);
            }
        }
        let store = Arc::new(builder.build()?);
        Ok(Connected { store: Arc::clone(&store) as Arc<dyn ObjectStore>, pages: store })
    }};
}

/// The reason why a client cannot be built, without the name of the store's kind.
fn reason_of(error: &Error) -> String {
    match error {
        Error::Generic { source, .. } => first_line(source),
        other => first_line(other),
    }
}

/// Does the same as `object_store::parse_url_opts`, whose result cannot be listed page by page.
fn connect(url: &Url) -> object_store::Result<Connected> {
    let unknown = |_| Error::Generic { store: "URL", source: format!("unknown URL scheme '{}'", url.scheme()).into() };
    match ObjectStoreScheme::parse(url).map_err(unknown)?.0 {
        #[cfg(feature = "aws")]
        ObjectStoreScheme::AmazonS3 => connected!(object_store::aws::AmazonS3Builder, url),
        #[cfg(feature = "gcp")]
        ObjectStoreScheme::GoogleCloudStorage => connected!(object_store::gcp::GoogleCloudStorageBuilder, url),
        #[cfg(feature = "azure")]
        ObjectStoreScheme::MicrosoftAzure => connected!(object_store::azure::MicrosoftAzureBuilder, url),
        scheme => Err(Error::Generic { store: "URL", source: format!("this build does not support {scheme:?}").into() }),
    }
}

impl Bucket {
    /// Parses `s3://bucket/key`. The key is used as it is written: `#`, `?` and `%` are ordinary characters.
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
        let shown_authority = match authority.split_once('@') {
            Some((user, host)) => format!("{}@{host}", user.split(':').next().unwrap_or_default()),
            None => authority.to_owned(),
        };
        let base = format!("{scheme}://{shown_authority}/");
        let invalid = |reason: &str| StoreError::location(&format!("{base}{key}"), reason);
        let url = Url::parse(&format!("{scheme}://{authority}/")).map_err(|error| invalid(&error.to_string()))?;
        if authority.is_empty() {
            return Err(StoreError::location(&format!("{scheme}://"), "the bucket name is missing"));
        }
        if url.host_str().is_none_or(str::is_empty) || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("the bucket name is missing"));
        }
        let Connected { store, pages } = connect(&url).map_err(|error| invalid(&reason_of(&error)))?;
        Ok(Self { store: Arc::new(Retrying::new(store)), pages, base: Base::Literal(base), key: key.to_owned() })
    }

    /// Parses an `https://` URL of a cloud that is accessed with credentials; `None` for other servers and for signed URLs.
    pub(super) fn of_web_address(url: &Url) -> Result<Option<Self>, StoreError> {
        let shown = without_credentials(url);
        let invalid = |reason: &dyn fmt::Display| StoreError::location(&shown, first_line(reason));
        let (scheme, key) = ObjectStoreScheme::parse(url).map_err(|error| invalid(&error))?;
        if scheme == ObjectStoreScheme::Http || url.query().is_some() {
            return Ok(None);
        }
        let mut base = url.clone();
        base.set_fragment(None);
        if let Ok(mut segments) = base.path_segments_mut() {
            segments.pop_if_empty();
            for _ in key.parts() {
                segments.pop();
            }
        }
        let Connected { store, pages } = connect(url).map_err(|error| invalid(&error))?;
        Ok(Some(Self { store: Arc::new(Retrying::new(store)), pages, base: Base::Address(base), key: key.as_ref().to_owned() }))
    }

    pub(super) fn shown(&self) -> String {
        self.uri(&self.key)
    }

    fn uri(&self, key: &str) -> String {
        match &self.base {
            Base::Literal(base) => format!("{base}{key}"),
            Base::Address(base) => {
                let mut url = base.clone();
                if let Ok(mut segments) = url.path_segments_mut() {
                    segments.pop_if_empty().extend(key.split('/'));
                }
                without_credentials(&url)
            }
        }
    }

    fn object(&self, meta: ObjectMeta) -> Object {
        let modified_at_ns = meta.last_modified.timestamp_nanos_opt().unwrap_or_default();
        let uri = self.uri(meta.location.as_ref());
        let version = meta.e_tag.or(meta.version).unwrap_or_default();
        Object::in_store(Arc::clone(&self.store), meta.location, uri, meta.size, modified_at_ns).with_version(&version)
    }

    pub(super) fn is_glob(&self) -> bool {
        self.key.contains(KEY_WILDCARDS)
    }

    pub(super) fn is_in_tables(&self, output: &Url) -> bool {
        !self.key.contains(KEY_WILDCARDS)
            && self.tables_key(output).is_some_and(|tables| path_below(&self.key, &tables).is_some_and(is_table_path))
    }

    /// The key of the location of the tables, if it is in this bucket.
    fn tables_key(&self, output: &Url) -> Option<String> {
        let Base::Literal(base) = &self.base else { return None };
        let (own, other) = (BucketId::of(&Url::parse(base).ok()?)?, BucketId::of(output)?);
        let is_same = own.family == other.family && own.name == other.name;
        let is_account_same = own.account.is_none() || other.account.is_none() || own.account == other.account;
        (is_same && is_account_same).then(|| Path::from_url_path(output.path()).map(String::from).ok()).flatten()
    }

    pub(super) async fn read_below(&self, name: &Path, bytes_max: u64) -> Result<Option<Bytes>, Cause> {
        let glob = self.glob().map_err(Cause::other)?;
        let Ok(folder) = Path::parse(glob.as_ref().map_or(self.key.as_str(), |glob| &glob.folder)) else { return Ok(None) };
        let path: Path = folder.parts().chain(name.parts()).collect();
        if glob.is_some_and(|glob| !glob.pattern.matches(path.as_ref())) {
            return Ok(None);
        }
        let found = match self.store.get(&path).await {
            Ok(found) if found.meta.size <= bytes_max => found,
            Ok(_) | Err(Error::NotFound { .. } | Error::Generic { .. }) => return Ok(None),
            Err(error) => return Err(Cause::from(&error)),
        };
        found.bytes().await.map(Some).map_err(|error| Cause::from(&error))
    }

    pub(super) async fn list(&self, shown: &str, output: &Url) -> Result<Listing, StoreError> {
        if self.is_in_tables(output) {
            return Ok(stream::empty().boxed());
        }
        if let Some(object) = self.single(shown).await? {
            return Ok(single_object(object));
        }
        let filter = self.filter(shown, output);
        let Some(glob) = self.glob()? else { return Ok(self.matching(filter)) };
        // A prefix may contain the characters of a glob.
        let mut literal = self.matching(filter.clone());
        match literal.next().await {
            Some(first) => Ok(stream::iter([first]).chain(literal).boxed()),
            None => Ok(self.matching(KeyFilter { prefix: glob.prefix, folder: glob.folder, glob: Some(glob.pattern), ..filter })),
        }
    }

    /// The object whose key is exactly the given one, if the key can be that of an object.
    async fn single(&self, shown: &str) -> Result<Option<Object>, StoreError> {
        if self.key.is_empty() || self.key.ends_with('/') {
            return Ok(None);
        }
        let Ok(key) = Path::parse(&self.key) else { return Ok(None) };
        match self.store.head(&key).await {
            Ok(meta) => Ok(Some(self.object(meta))),
            Err(Error::NotFound { .. } | Error::Generic { .. }) => Ok(None),
            Err(error) => Err(StoreError::unreadable(shown, &error)),
        }
    }

    /// The filter for all objects below the key.
    fn filter(&self, shown: &str, output: &Url) -> KeyFilter {
        let key = &self.key;
        // A key that is not a valid object path may itself be listed, so no slash is added to it.
        let is_prefix = key.is_empty() || key.ends_with('/') || Path::parse(key).is_err();
        let prefix = if is_prefix { key.clone() } else { format!("{key}/") };
        let tables = self.tables_key(output).map(|tables| {
            let contains_listing = path_below(key, &tables).is_some();
            Tables { key: tables, contains_listing }
        });
        KeyFilter { folder: prefix.clone(), prefix, glob: None, tables, shown: shown.to_owned() }
    }

    fn glob(&self) -> Result<Option<KeyGlob>, StoreError> {
        let Some(wildcard) = self.key.find(KEY_WILDCARDS) else { return Ok(None) };
        let prefix = self.key.get(..wildcard).unwrap_or_default().to_owned();
        let folder = prefix.rfind('/').and_then(|slash| prefix.get(..=slash)).unwrap_or_default().to_owned();
        let pattern = Glob::new(&self.key.replace('?', "[?]")).map_err(|error| StoreError::location(&self.uri(&self.key), error))?;
        Ok(Some(KeyGlob { prefix, folder, pattern }))
    }

    /// Lists the objects that pass a filter.
    fn matching(&self, filter: KeyFilter) -> Listing {
        let this = self.clone();
        async_stream::stream! {
            let requested = filter.glob.as_ref().map(Glob::literal_segments).unwrap_or_default();
            let mut skipped_folder = String::new();
            let mut keys = this.keys(filter.prefix.clone());
            while let Some(found) = keys.next().await {
                let meta = match found {
                    Ok(Key::Object(meta)) => meta,
                    Ok(Key::Unreadable(key)) => {
                        if filter.includes(&key) {
                            let reason = "its key has an empty or invalid path segment\n  hint: rename the object".to_owned();
                            yield Ok(Listed::Unreadable { uri: this.uri(&key), reason });
                        }
                        continue;
                    }
                    Err(cause) => {
                        yield Err(StoreError::unreadable_because(&filter.shown, "the listing cannot be completed: ", cause));
                        return;
                    }
                };
                let key = meta.location.as_ref();
                let is_skipped = !skipped_folder.is_empty() && key.starts_with(&skipped_folder);
                if is_skipped || !filter.includes(key) {
                    continue;
                }
                let relative = key.strip_prefix(&filter.folder).unwrap_or(key);
                if let Some(excluded) = excluded_prefix(relative, &requested) {
                    let end = key.len() - relative.len() + excluded.len();
                    skipped_folder = if excluded.ends_with('/') { key.get(..end).unwrap_or(key).to_owned() } else { String::new() };
                    yield Ok(Listed::Skipped(Object::unopenable(this.uri(key.get(..end).unwrap_or(key)))));
                    continue;
                }
                match this.is_folder_marker(&meta, &filter.folder).await {
                    Ok(true) => {}
                    Ok(false) => yield Ok(Listed::Object(this.object(meta))),
                    Err(error) => {
                        yield Err(StoreError::unreadable(&filter.shown, &error));
                        return;
                    }
                }
            }
        }
        .boxed()
    }

    /// Whether it is an empty object whose key ends in `/`, as cloud consoles create for a folder. `object_store` removes the slash, so a
    /// request for the key without the slash finds nothing.
    async fn is_folder_marker(&self, meta: &ObjectMeta, folder: &str) -> object_store::Result<bool> {
        if meta.size > 0 {
            return Ok(false);
        }
        if meta.location.as_ref() == folder.trim_end_matches('/') {
            return Ok(true);
        }
        match self.store.head(&meta.location).await {
            Ok(_) => Ok(false),
            Err(Error::NotFound { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// All keys with a prefix. If a key is not a valid [`Path`], its whole page fails. Smaller pages are then requested until that key is the
    /// only one of its page, and the listing continues after it.
    fn keys(&self, prefix: String) -> BoxStream<'static, Result<Key, Cause>> {
        let pages = Arc::clone(&self.pages);
        async_stream::stream! {
            let (mut start, mut keys_max) = (PageStart::Beginning, LIST_PAGE_KEYS_MAX);
            loop {
                match page(&*pages, &prefix, &start, keys_max).await {
                    Ok(found) => {
                        if found.result.objects.first().is_some_and(|first| start.is_ignored_by(first.location.as_ref())) {
                            yield Err(start.ignored());
                            return;
                        }
                        for meta in found.result.objects {
                            yield Ok(Key::Object(meta));
                        }
                        let Some(token) = found.page_token else { return };
                        (start, keys_max) = (PageStart::Token(token), (keys_max * PAGE_SHRINK_FACTOR).min(LIST_PAGE_KEYS_MAX));
                    }
                    Err(Error::InvalidPath { .. }) if keys_max > 1 => keys_max = (keys_max / PAGE_SHRINK_FACTOR).max(1),
                    Err(Error::InvalidPath { source: PathError::EmptySegment { path } | PathError::BadSegment { path, .. } }) => {
                        if start.is_ignored_by(&path) {
                            yield Err(start.ignored());
                            return;
                        }
                        yield Ok(Key::Unreadable(path.clone()));
                        start = PageStart::After(path);
                    }
                    Err(error) => {
                        yield Err(Cause::from(&error));
                        return;
                    }
                }
            }
        }
        .boxed()
    }
}

/// The factor by which pages shrink until an unreadable key is alone, and grow again after it.
const PAGE_SHRINK_FACTOR: usize = 4;

/// Requests one page of a listing.
async fn page(
    pages: &dyn PaginatedListStore,
    prefix: &str,
    start: &PageStart,
    keys_max: usize,
) -> object_store::Result<PaginatedListResult> {
    let mut attempts = Attempts::default();
    loop {
        let options = PaginatedListOptions {
            offset: if let PageStart::After(key) = start { Some(key.clone()) } else { None },
            page_token: if let PageStart::Token(token) = start { Some(token.clone()) } else { None },
            max_keys: Some(keys_max),
            ..PaginatedListOptions::default()
        };
        match pages.list_paginated((!prefix.is_empty()).then_some(prefix), options).await {
            Err(error) => attempts.wait(error).await?,
            found => return found,
        }
    }
}

enum Key {
    Object(ObjectMeta),
    Unreadable(String),
}

/// Where a page starts.
enum PageStart {
    Beginning,
    Token(String),
    After(String),
}

impl PageStart {
    /// Whether the first key of the page shows that the store ignored where the page was to start.
    fn is_ignored_by(&self, key: &str) -> bool {
        matches!(self, Self::After(last) if key <= last.as_str())
    }

    fn ignored(&self) -> Cause {
        let key = if let Self::After(key) = self { key.as_str() } else { "" };
        Cause::Other(format!("the key {key:?} is invalid, and the store cannot list the keys after it; rename that object"))
    }
}

struct KeyGlob {
    /// The key up to the first wildcard.
    prefix: String,
    /// The folder of the prefix.
    folder: String,
    pattern: Glob,
}

/// Decides which keys of a listing are part of the input.
#[derive(Clone)]
struct KeyFilter {
    prefix: String,
    /// The folder below which names are checked for exclusion.
    folder: String,
    glob: Option<Glob>,
    tables: Option<Tables>,
    shown: String,
}

#[derive(Clone)]
struct Tables {
    key: String,
    /// The listing starts inside the location of the tables, so only the tables themselves are excluded and not all of the location.
    contains_listing: bool,
}

impl KeyFilter {
    fn includes(&self, key: &str) -> bool {
        let is_in_tables =
            |tables: &Tables| path_below(key, &tables.key).is_some_and(|path| !tables.contains_listing || is_table_path(path));
        self.glob.as_ref().is_none_or(|glob| glob.matches(key)) && !self.tables.as_ref().is_some_and(is_in_tables)
    }
}

/// A key relative to a folder; empty for the folder itself, `None` outside of it.
fn path_below<'a>(key: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() {
        return Some(key);
    }
    let rest = key.strip_prefix(folder)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Identifies a bucket independently of how its URL is written.
struct BucketId {
    family: &'static str,
    name: String,
    account: Option<String>,
}

impl BucketId {
    fn of(url: &Url) -> Option<Self> {
        let host = url.host_str()?.to_owned();
        let family = match url.scheme() {
            "s3" | "s3a" => "s3",
            "gs" => "gs",
            "az" | "adl" | "azure" | "abfs" | "abfss" => "az",
            _ => return None,
        };
        if url.username().is_empty() {
            return Some(Self { family, name: host, account: None });
        }
        let account = host.split('.').next().map(str::to_owned);
        Some(Self { family, name: url.username().to_owned(), account })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use object_store::ListResult;
    use object_store::memory::InMemory;

    use super::*;

    /// A bucket whose pages fail if one of their keys is not a valid path, as those of clouds do.
    struct Pages {
        keys: Vec<String>,
        requests: Mutex<usize>,
        supports_offsets: bool,
    }

    #[async_trait]
    impl PaginatedListStore for Pages {
        async fn list_paginated(&self, prefix: Option<&str>, options: PaginatedListOptions) -> object_store::Result<PaginatedListResult> {
            *self.requests.lock().unwrap() += 1;
            let offset = options.offset.filter(|_| self.supports_offsets);
            let after = options.page_token.or(offset).unwrap_or_default();
            let after_start: Vec<&String> =
                self.keys.iter().filter(|key| key.starts_with(prefix.unwrap_or_default()) && **key > after).collect();
            let page = &after_start[..after_start.len().min(options.max_keys.unwrap())];
            let page_token = (page.len() < after_start.len()).then(|| (*page.last().unwrap()).clone());
            let meta = |key: &&String| -> object_store::Result<ObjectMeta> {
                let size = u64::from(!key.ends_with('/'));
                Ok(ObjectMeta { location: Path::parse(key)?, last_modified: chrono::Utc::now(), size, e_tag: None, version: None })
            };
            let objects = page.iter().map(meta).collect::<object_store::Result<_>>()?;
            Ok(PaginatedListResult { result: ListResult { common_prefixes: vec![], objects }, page_token })
        }
    }

    fn bucket(base: &str, key: &str, keys: &[&str], supports_offsets: bool) -> (Bucket, Arc<Pages>) {
        let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        keys.sort();
        let store = InMemory::new();
        for key in keys.iter().filter(|key| !key.ends_with('/')).filter_map(|key| Path::parse(key).ok()) {
            futures::executor::block_on(store.put(&key, "x".into())).unwrap();
        }
        let pages = Arc::new(Pages { keys, requests: Mutex::new(0), supports_offsets });
        let base = Base::Literal(base.to_owned());
        (Bucket { store: Arc::new(store), pages: Arc::clone(&pages) as _, base, key: key.to_owned() }, pages)
    }

    async fn found(bucket: &Bucket, output: &str) -> Vec<String> {
        let mut listing = bucket.list("b", &Url::parse(output).unwrap()).await.unwrap();
        let mut found = Vec::new();
        while let Some(listed) = listing.next().await {
            found.push(match listed {
                Ok(Listed::Object(object)) => object.uri,
                Ok(Listed::Skipped(object)) => format!("- {}", object.uri),
                Ok(Listed::Unreadable { uri, .. }) => format!("! {uri}"),
                Err(error) => format!("error {error}"),
            });
        }
        found
    }

    async fn listed(key: &str, keys: &[&str]) -> Vec<String> {
        let (bucket, _) = bucket("b:", key, keys, true);
        found(&bucket, "s3://elsewhere").await
    }

    #[tokio::test]
    async fn an_invalid_key_is_reported_and_all_other_keys_are_listed_once() {
        let mut keys: Vec<String> = (0..2_500).map(|number| format!("day/{number:05}.jsonl")).collect();
        let unreadable = ["day/00001//x", "day/02400.jsonl//", "day//a", "day//b", "../x", "day/\u{7}.jsonl", "x//y"];
        keys.extend(unreadable.map(str::to_owned));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (bucket, pages) = bucket("b:", "", &keys, true);
        let found = found(&bucket, "s3://elsewhere").await;
        let objects: Vec<_> = found.iter().filter(|uri| uri.starts_with("b:")).collect();
        assert_eq!((objects.len(), objects.is_sorted()), (2_500, true));
        let mut expected = unreadable.map(|key| format!("! b:{key}"));
        expected.sort();
        assert_eq!(found.iter().filter(|uri| uri.starts_with("! ")).cloned().collect::<Vec<_>>(), expected);
        assert!(*pages.requests.lock().unwrap() < 90, "{} requests", pages.requests.lock().unwrap());
    }

    #[tokio::test]
    async fn a_store_that_cannot_continue_after_a_key_fails_instead_of_looping() {
        let (bucket, _) = bucket("b:", "", &["a", "x//y", "z"], false);
        let found = found(&bucket, "s3://elsewhere").await;
        assert!(found.last().unwrap().starts_with("error cannot read b: the listing cannot be completed"), "{found:?}");
    }

    #[tokio::test]
    async fn keys_are_tried_as_names_before_globs() {
        let keys = ["a/x.jsonl", "a/[y]*.jsonl", "a/y1.jsonl", "q?/a", "q1/a", "p[q]/z", "p%20q/z", "h#1/z"];
        assert_eq!(listed("a/[y]*.jsonl", &keys).await, ["b:a/[y]*.jsonl"]);
        assert_eq!(listed("a/[xy]*.jsonl", &keys).await, ["b:a/x.jsonl", "b:a/y1.jsonl"]);
        assert_eq!(listed("*.jsonl", &keys).await, ["b:a/[y]*.jsonl", "b:a/x.jsonl", "b:a/y1.jsonl"]);
        assert_eq!(listed("q?/*", &keys).await, ["b:q?/a"]);
        assert_eq!(listed("p[q]", &keys).await, ["b:p[q]/z"]);
        assert_eq!(listed("p%20q/z", &keys).await, ["b:p%20q/z"]);
        assert_eq!(listed("h#1", &keys).await, ["b:h#1/z"]);
        assert_eq!(listed("", &["a", "b"]).await, ["b:a", "b:b"]);
        assert_eq!(listed("x//y", &["x//y", "x//y/z", "x/y"]).await, ["! b:x//y", "! b:x//y/z"]);
    }

    #[tokio::test]
    async fn folder_markers_metadata_and_failsift_tables_are_excluded() {
        assert!(listed("in", &["in/"]).await.is_empty() && listed("in/", &["in/", "in/sub/"]).await.is_empty());
        let keys =
            ["in/", "in/_SUCCESS", "in/_delta_log/0.json", "in/_delta_log/1.json", "in/a.jsonl", "in/.b.crc", "in/_day=1/c", "in/d/_t/e"];
        let expected = ["- b:in/.b.crc", "- b:in/_SUCCESS", "b:in/_day=1/c", "- b:in/_delta_log/", "b:in/a.jsonl", "- b:in/d/_t/"];
        assert_eq!(listed("in", &keys).await, expected);

        let keys = ["in/a", "in/my out/patterns/x", "in/my out/y", "in/my outer/z"];
        for output in ["s3://b/in/my out", "s3a://b/in/my%20out/", "s3://b/x/../in/my%20out"] {
            let (bucket, _) = bucket("s3://b/", "in", &keys, true);
            assert_eq!(found(&bucket, output).await, ["s3://b/in/a", "s3://b/in/my outer/z"], "{output}");
        }
        // Traces in the location of the tables.
        let (around, _) = bucket("s3://b/", "in/my out", &keys, true);
        let output = Url::parse("s3://b/in/my out").unwrap();
        assert!(around.is_in_tables(&output) && found(&around, output.as_str()).await.is_empty());
        let (glob, _) = bucket("s3://b/", "in/my out/*", &keys, true);
        assert_eq!(found(&glob, output.as_str()).await, ["s3://b/in/my out/y"]);
    }
}
