//! Retries requests whose response was cut off.
//!
//! `object_store` retries failed requests and resumes the body of an object, but fails if the response of a listing or of an error is cut
//! off. Here a listing resumes after the last object that was received, and every request that is safe to repeat is repeated.

use std::error::Error as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::limits::TRUNCATED_RESPONSE_RETRIES_MAX;

/// A remote store with retries.
#[derive(Debug, Clone)]
pub(super) struct Retrying(Arc<dyn ObjectStore>);

impl Retrying {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self(store)
    }

    fn listing(&self, prefix: Option<&Path>, offset: Option<Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix, mut last) = (Arc::clone(&self.0), prefix.cloned(), offset);
        async_stream::stream! {
            let mut attempts = Attempts::default();
            loop {
                let mut listed = match &last {
                    Some(offset) => store.list_with_offset(prefix.as_ref(), offset),
                    None => store.list(prefix.as_ref()),
                };
                let error = loop {
                    match listed.next().await {
                        Some(Ok(meta)) => {
                            last = Some(meta.location.clone());
                            yield Ok(meta);
                        }
                        Some(Err(error)) => break error,
                        None => return,
                    }
                };
                if let Err(error) = attempts.wait(error).await {
                    yield Err(error);
                    return;
                }
            }
        }
        .boxed()
    }
}

/// Objects of one bulk delete request: the maximum of S3.
const BULK_DELETE_MAX: usize = 1_000;

/// Deletes `locations`, and again those that may not have been deleted.
fn deleted(store: Arc<dyn ObjectStore>, locations: Vec<Result<Path>>) -> BoxStream<'static, Result<Path>> {
    async_stream::stream! {
        let mut attempts = Attempts::default();
        let mut remaining = Vec::new();
        for location in locations {
            match location {
                Ok(location) => remaining.push(location),
                Err(error) => yield Err(error),
            }
        }
        while !remaining.is_empty() {
            let is_repeated = attempts.0 > 0;
            let mut results = store.delete_stream(futures::stream::iter(remaining.clone()).map(Ok).boxed());
            let mut failure = None;
            while let Some(result) = results.next().await {
                match result {
                    Ok(location) => {
                        remaining.retain(|other| *other != location);
                        yield Ok(location);
                    }
                    Err(Error::NotFound { path, .. }) if is_repeated => remaining.retain(|location| location.as_ref() != path),
                    Err(error) => failure = Some(error),
                }
            }
            let Some(error) = failure else { return };
            if let Err(error) = attempts.wait(error).await {
                yield Err(error);
                return;
            }
        }
    }
    .boxed()
}

/// How often a response was cut off.
#[derive(Default)]
pub(super) struct Attempts(u32);

impl Attempts {
    /// Waits before the next attempt. Returns the error if another attempt would not help.
    pub(super) async fn wait(&mut self, error: Error) -> Result<()> {
        self.0 += 1;
        if self.0 > TRUNCATED_RESPONSE_RETRIES_MAX || !was_cut_off(&error) {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(100 << self.0.min(5))).await;
        Ok(())
    }
}

/// Whether a response began and was cut off.
fn was_cut_off(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return http.kind() != HttpErrorKind::Connect;
        }
        source = error.source();
    }
    false
}

impl std::fmt::Display for Retrying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[deny(clippy::missing_trait_methods, reason = "a default implementation would bypass what the store does better")]
#[async_trait]
impl ObjectStore for Retrying {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let mut attempts = Attempts::default();
        loop {
            match self.0.put_opts(location, payload.clone(), options.clone()).await {
                // A conditional write is not repeated: if the first one succeeded, the second would fail.
                Err(error) if options.mode == PutMode::Overwrite => attempts.wait(error).await?,
                put => return put,
            }
        }
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut attempts = Attempts::default();
        loop {
            match self.0.get_opts(location, options.clone()).await {
                Err(error) => attempts.wait(error).await?,
                got => return got,
            }
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut attempts = Attempts::default();
        loop {
            match self.0.get_ranges(location, ranges).await {
                Err(error) => attempts.wait(error).await?,
                got => return got,
            }
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = Arc::clone(&self.0);
        // Deleting an object twice is safe, but the bulk deletes of stores do not retry.
        locations.chunks(BULK_DELETE_MAX).flat_map(move |chunk| deleted(Arc::clone(&store), chunk)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut attempts = Attempts::default();
        loop {
            match self.0.list_with_delimiter(prefix).await {
                Err(error) => attempts.wait(error).await?,
                listed => return listed,
            }
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}
