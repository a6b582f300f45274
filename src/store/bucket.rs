//! Buckets: keys as they are printed, and listings that go on behind a key that nobody can read.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::{Error as PathError, Path};
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, ObjectStoreScheme};
use url::Url;

use super::names::{bookkeeping, is_of_tables, literal_steps};
use super::object::Object;
use super::retrying::{Attempts, Retrying};
use super::{Listed, Listing, StoreError, bad_location, first_line, one, options, said, unreadable, without_credentials};
use crate::limits::LIST_PAGE_KEYS_MAX;

/// A key of a bucket, or all below it.
#[derive(Clone)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    pages: Arc<dyn PaginatedListStore>,
    base: Base,
    /// What the user wrote behind the bucket.
    key: String,
}

/// What stands before a key in a URI.
#[derive(Debug, Clone)]
enum Base {
    /// `s3://bucket/`: keys follow as they are.
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

/// As `object_store::parse_url_opts` does, which hides that the store can be listed page by page.
fn connect(url: &Url) -> object_store::Result<Connected> {
    match ObjectStoreScheme::parse(url)?.0 {
        #[cfg(feature = "aws")]
        ObjectStoreScheme::AmazonS3 => connected!(object_store::aws::AmazonS3Builder, url),
        #[cfg(feature = "gcp")]
        ObjectStoreScheme::GoogleCloudStorage => connected!(object_store::gcp::GoogleCloudStorageBuilder, url),
        #[cfg(feature = "azure")]
        ObjectStoreScheme::MicrosoftAzure => connected!(object_store::azure::MicrosoftAzureBuilder, url),
        scheme => Err(Error::Generic { store: "URL", source: format!("this build cannot reach {scheme:?}").into() }),
    }
}

const WILDCARDS: [char; 2] = ['*', '['];

impl Bucket {
    /// `s3://bucket/key`. Behind the bucket stands a key as it is printed: `#`, `?` and `%` are part of it.
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
        let shown_authority = match authority.split_once('@') {
            Some((user, host)) => format!("{}@{host}", user.split(':').next().unwrap_or_default()),
            None => authority.to_owned(),
        };
        let base = format!("{scheme}://{shown_authority}/");
        let bad = |reason: &str| bad_location(&format!("{base}{key}"), reason);
        let url = Url::parse(&format!("{scheme}://{authority}/")).map_err(|error| bad(&error.to_string()))?;
        if url.host_str().is_none_or(str::is_empty) || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it names no bucket"));
        }
        let Connected { store, pages } = connect(&url).map_err(|error| bad(&first_line(&error)))?;
        Ok(Self { store: Arc::new(Retrying::new(store)), pages, base: Base::Literal(base), key: key.to_owned() })
    }

    /// An `https://` address of a cloud that is reached with credentials; nothing for other servers, or where the address brings its own.
    pub(super) fn of_web_address(url: &Url) -> Result<Option<Self>, StoreError> {
        let shown = without_credentials(url);
        let bad = |reason: &dyn fmt::Display| bad_location(&shown, &first_line(reason));
        let (scheme, key) = ObjectStoreScheme::parse(url).map_err(|error| bad(&error))?;
        if scheme == ObjectStoreScheme::Http || url.query().is_some() {
            return Ok(None);
        }
        let mut base = url.clone();
        base.set_fragment(None);
        if let Ok(mut steps) = base.path_segments_mut() {
            steps.pop_if_empty();
            for _ in key.parts() {
                steps.pop();
            }
        }
        let Connected { store, pages } = connect(url).map_err(|error| bad(&error))?;
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
                if let Ok(mut steps) = url.path_segments_mut() {
                    steps.pop_if_empty().extend(key.split('/'));
                }
                without_credentials(&url)
            }
        }
    }

    fn object(&self, meta: ObjectMeta) -> Object {
        let modified_at_ns = meta.last_modified.timestamp_nanos_opt().unwrap_or_default();
        let uri = self.uri(meta.location.as_ref());
        Object::in_store(Arc::clone(&self.store), meta.location, uri, meta.size, modified_at_ns)
    }

    pub(super) fn is_in_tables(&self, output: &Url) -> bool {
        !self.key.contains(WILDCARDS)
            && self.key_of_tables(output).is_some_and(|tables| below(&self.key, &tables).is_some_and(is_of_tables))
    }

    /// The key of the location of the tables, where it is in this bucket.
    fn key_of_tables(&self, output: &Url) -> Option<String> {
        let Base::Literal(base) = &self.base else { return None };
        let (own, other) = (BucketId::of(&Url::parse(base).ok()?)?, BucketId::of(output)?);
        let is_same = own.family == other.family && own.name == other.name;
        let is_account_same = own.account.is_none() || other.account.is_none() || own.account == other.account;
        (is_same && is_account_same).then(|| Path::from_url_path(output.path()).map(String::from).ok()).flatten()
    }

    pub(super) async fn read_below(&self, name: &Path, bytes_max: u64) -> Result<Option<Bytes>, String> {
        let glob = self.glob().map_err(|error| error.to_string())?;
        let Ok(folder) = Path::parse(glob.as_ref().map_or(self.key.as_str(), |glob| &glob.folder)) else { return Ok(None) };
        let path: Path = folder.parts().chain(name.parts()).collect();
        if glob.is_some_and(|glob| !glob.pattern.matches(path.as_ref())) {
            return Ok(None);
        }
        let found = match self.store.get(&path).await {
            Ok(found) if found.meta.size <= bytes_max => found,
            Ok(_) | Err(Error::NotFound { .. } | Error::Generic { .. }) => return Ok(None),
            Err(error) => return Err(said(&error)),
        };
        found.bytes().await.map(Some).map_err(|error| said(&error))
    }

    pub(super) async fn list(&self, shown: &str, output: &Url) -> Result<Listing, StoreError> {
        if self.is_in_tables(output) {
            return Ok(stream::empty().boxed());
        }
        if let Some(object) = self.single(shown).await? {
            return Ok(one(object));
        }
        let wanted = self.wanted(shown, output);
        let Some(glob) = self.glob()? else { return Ok(self.below(wanted)) };
        // A prefix may have the characters of a pattern in its name.
        let mut literal = self.below(wanted.clone());
        match literal.next().await {
            Some(first) => Ok(stream::iter([first]).chain(literal).boxed()),
            None => Ok(self.below(Wanted { prefix: glob.prefix, folder: glob.folder, glob: Some(glob.pattern), ..wanted })),
        }
    }

    /// The object of exactly that key. There is none of an empty key, and none of a key that says that it is a folder.
    async fn single(&self, shown: &str) -> Result<Option<Object>, StoreError> {
        if self.key.is_empty() || self.key.ends_with('/') {
            return Ok(None);
        }
        let Ok(key) = Path::parse(&self.key) else { return Ok(None) };
        match self.store.head(&key).await {
            Ok(meta) => Ok(Some(self.object(meta))),
            Err(Error::NotFound { .. } | Error::Generic { .. }) => Ok(None),
            Err(error) => Err(unreadable(shown, said(&error))),
        }
    }

    /// What is wanted where the key is a prefix.
    fn wanted(&self, shown: &str, output: &Url) -> Wanted {
        let key = &self.key;
        // Of a key that no request for an object can hold, what is below it and itself.
        let is_whole = key.is_empty() || key.ends_with('/') || Path::parse(key).is_err();
        let prefix = if is_whole { key.clone() } else { format!("{key}/") };
        let tables = self.key_of_tables(output).map(|tables| {
            let is_around = below(key, &tables).is_some();
            Tables { key: tables, is_around }
        });
        Wanted { folder: prefix.clone(), prefix, glob: None, tables, shown: shown.to_owned() }
    }

    fn glob(&self) -> Result<Option<Glob>, StoreError> {
        let Some(wildcard) = self.key.find(WILDCARDS) else { return Ok(None) };
        let prefix = self.key.get(..wildcard).unwrap_or_default().to_owned();
        let folder = prefix.rfind('/').and_then(|slash| prefix.get(..=slash)).unwrap_or_default().to_owned();
        let pattern = glob::Pattern::new(&self.key.replace('?', "[?]")).map_err(|error| bad_location(&self.uri(&self.key), error.msg))?;
        Ok(Some(Glob { prefix, folder, pattern }))
    }

    /// What is wanted of the keys that start with a prefix.
    fn below(&self, wanted: Wanted) -> Listing {
        let this = self.clone();
        async_stream::stream! {
            let meant = wanted.glob.as_ref().map(|glob| literal_steps(glob.as_str())).unwrap_or_default();
            let mut folder_left_out = String::new();
            let mut keys = this.keys(wanted.prefix.clone());
            while let Some(found) = keys.next().await {
                let meta = match found {
                    Ok(Key::Object(meta)) => meta,
                    Ok(Key::Unreadable(key)) => {
                        if wanted.has(&key) {
                            let reason = "its key has an empty step, or one that no request can hold; rename it".to_owned();
                            yield Ok(Listed::Unreadable { uri: this.uri(&key), reason });
                        }
                        continue;
                    }
                    Err(reason) => {
                        yield Err(unreadable(&wanted.shown, format!("the listing cannot be completed: {reason}")));
                        return;
                    }
                };
                let key = meta.location.as_ref();
                let is_left_out = !folder_left_out.is_empty() && key.starts_with(&folder_left_out);
                if is_left_out || !wanted.has(key) {
                    continue;
                }
                let below = key.strip_prefix(&wanted.folder).unwrap_or(key);
                if let Some(step) = bookkeeping(below, &meant) {
                    let end = key.len() - below.len() + step.len();
                    folder_left_out = if step.ends_with('/') { key.get(..end).unwrap_or(key).to_owned() } else { String::new() };
                    yield Ok(Listed::Skipped(Object::named(this.uri(key.get(..end).unwrap_or(key)))));
                    continue;
                }
                match this.is_marker(&meta, &wanted.folder).await {
                    Ok(true) => {}
                    Ok(false) => yield Ok(Listed::Object(this.object(meta))),
                    Err(error) => {
                        yield Err(unreadable(&wanted.shown, said(&error)));
                        return;
                    }
                }
            }
        }
        .boxed()
    }

    /// Whether it is an empty object whose key ends in `/`, by which consoles make a folder. The slash is cut off by `object_store`.
    async fn is_marker(&self, meta: &ObjectMeta, folder: &str) -> object_store::Result<bool> {
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

    /// All keys that start with a prefix. A page with a key that no [`Path`] can hold comes as an error as a whole, so smaller pages are
    /// asked for until the key stands alone; then the listing goes on behind it.
    fn keys(&self, prefix: String) -> BoxStream<'static, Result<Key, String>> {
        let pages = Arc::clone(&self.pages);
        async_stream::stream! {
            let (mut from, mut keys_max) = (From::Start, LIST_PAGE_KEYS_MAX);
            loop {
                match page(&*pages, &prefix, &from, keys_max).await {
                    Ok(found) => {
                        if found.result.objects.first().is_some_and(|first| from.is_behind(first.location.as_ref())) {
                            yield Err(from.is_ignored());
                            return;
                        }
                        for meta in found.result.objects {
                            yield Ok(Key::Object(meta));
                        }
                        let Some(token) = found.page_token else { return };
                        (from, keys_max) = (From::Token(token), (keys_max * SHRINK).min(LIST_PAGE_KEYS_MAX));
                    }
                    Err(Error::InvalidPath { .. }) if keys_max > 1 => keys_max = (keys_max / SHRINK).max(1),
                    Err(Error::InvalidPath { source: PathError::EmptySegment { path } | PathError::BadSegment { path, .. } }) => {
                        if from.is_behind(&path) {
                            yield Err(from.is_ignored());
                            return;
                        }
                        yield Ok(Key::Unreadable(path.clone()));
                        from = From::Behind(path);
                    }
                    Err(error) => {
                        yield Err(said(&error));
                        return;
                    }
                }
            }
        }
        .boxed()
    }
}

/// By how much a page with an unreadable key shrinks, and grows again behind it.
const SHRINK: usize = 4;

async fn page(pages: &dyn PaginatedListStore, prefix: &str, from: &From, keys_max: usize) -> object_store::Result<PaginatedListResult> {
    let mut attempts = Attempts::default();
    loop {
        let options = PaginatedListOptions {
            offset: if let From::Behind(key) = from { Some(key.clone()) } else { None },
            page_token: if let From::Token(token) = from { Some(token.clone()) } else { None },
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
enum From {
    Start,
    Token(String),
    Behind(String),
}

impl From {
    /// Whether a key that came should have come before: the store takes no notice of where it shall start.
    fn is_behind(&self, key: &str) -> bool {
        matches!(self, Self::Behind(last) if key <= last.as_str())
    }

    fn is_ignored(&self) -> String {
        let key = if let Self::Behind(key) = self { key.as_str() } else { "" };
        format!("the key {key:?} cannot be read, and the store does not list what is behind it; rename that object")
    }
}

struct Glob {
    /// What stands before the first wildcard.
    prefix: String,
    /// The folder of that.
    folder: String,
    pattern: glob::Pattern,
}

/// What of a listing is wanted.
#[derive(Clone)]
struct Wanted {
    prefix: String,
    /// The folder below which names count.
    folder: String,
    glob: Option<glob::Pattern>,
    tables: Option<Tables>,
    shown: String,
}

#[derive(Clone)]
struct Tables {
    key: String,
    /// The listing starts below them, so only the tables themselves are left out.
    is_around: bool,
}

impl Wanted {
    fn has(&self, key: &str) -> bool {
        let is_of_tables = |tables: &Tables| below(key, &tables.key).is_some_and(|below| !tables.is_around || is_of_tables(below));
        self.glob.as_ref().is_none_or(|glob| glob.matches(key)) && !self.tables.as_ref().is_some_and(is_of_tables)
    }
}

/// What of a key stands below a folder; the empty text for the folder itself.
fn below<'a>(key: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() {
        return Some(key);
    }
    let rest = key.strip_prefix(folder)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Tells a bucket, however its URL is written.
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

    /// A bucket whose pages fail as a whole where a key is no path, as those of clouds do.
    struct Pages {
        keys: Vec<String>,
        requests: Mutex<usize>,
        takes_offsets: bool,
    }

    #[async_trait]
    impl PaginatedListStore for Pages {
        async fn list_paginated(&self, prefix: Option<&str>, options: PaginatedListOptions) -> object_store::Result<PaginatedListResult> {
            *self.requests.lock().unwrap() += 1;
            let offset = options.offset.filter(|_| self.takes_offsets);
            let after = options.page_token.or(offset).unwrap_or_default();
            let behind: Vec<&String> =
                self.keys.iter().filter(|key| key.starts_with(prefix.unwrap_or_default()) && **key > after).collect();
            let page = &behind[..behind.len().min(options.max_keys.unwrap())];
            let page_token = (page.len() < behind.len()).then(|| (*page.last().unwrap()).clone());
            let meta = |key: &&String| -> object_store::Result<ObjectMeta> {
                let size = u64::from(!key.ends_with('/'));
                Ok(ObjectMeta { location: Path::parse(key)?, last_modified: chrono::Utc::now(), size, e_tag: None, version: None })
            };
            let objects = page.iter().map(meta).collect::<object_store::Result<_>>()?;
            Ok(PaginatedListResult { result: ListResult { common_prefixes: vec![], objects }, page_token })
        }
    }

    fn bucket(base: &str, key: &str, keys: &[&str], takes_offsets: bool) -> (Bucket, Arc<Pages>) {
        let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        keys.sort();
        let store = InMemory::new();
        for key in keys.iter().filter(|key| !key.ends_with('/')).filter_map(|key| Path::parse(key).ok()) {
            futures::executor::block_on(store.put(&key, "x".into())).unwrap();
        }
        let pages = Arc::new(Pages { keys, requests: Mutex::new(0), takes_offsets });
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
    async fn a_key_that_nobody_can_read_is_named_and_all_others_come_once() {
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
    async fn a_store_that_cannot_go_on_behind_a_key_fails_instead_of_turning_in_circles() {
        let (bucket, _) = bucket("b:", "", &["a", "x//y", "z"], false);
        let found = found(&bucket, "s3://elsewhere").await;
        assert!(found.last().unwrap().starts_with("error cannot read b: the listing cannot be completed"), "{found:?}");
    }

    #[tokio::test]
    async fn keys_are_names_first_and_patterns_then() {
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
    async fn markers_bookkeeping_and_own_tables_are_no_input() {
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
        // Traces beside the tables.
        let (around, _) = bucket("s3://b/", "in/my out", &keys, true);
        let output = Url::parse("s3://b/in/my out").unwrap();
        assert!(around.is_in_tables(&output) && found(&around, output.as_str()).await.is_empty());
        let (glob, _) = bucket("s3://b/", "in/my out/*", &keys, true);
        assert_eq!(found(&glob, output.as_str()).await, ["s3://b/in/my out/y"]);
    }
}
