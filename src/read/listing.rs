//! Lists ahead of reading, so that the size of the whole input is known early: for progress, and because pages of a bucket take time.

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{ReadCounts, is_message_body};
use crate::limits::LISTED_AHEAD_MAX;
use crate::store::{Listed, StoreError};

/// The objects that a listing has returned so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListedTotal {
    /// Objects to be read.
    pub objects: u64,
    /// Their size in bytes, before decompression.
    pub bytes: u64,
    /// Objects of unknown size: pipes, and objects of web servers.
    pub unsized_objects: u64,
    /// Whether the listing has ended, so that these are all objects of the input.
    pub is_complete: bool,
}

impl ListedTotal {
    /// The size of the whole input in bytes, if it is known.
    pub fn bytes_total(self) -> Option<u64> {
        (self.is_complete && self.unsized_objects == 0).then_some(self.bytes)
    }

    fn add(&mut self, listed: &Listed) {
        // Message bodies are read by the gather stage, if at all.
        let Listed::Object(object) = listed else { return };
        if is_message_body(&object.name().to_ascii_lowercase()) {
            return;
        }
        self.objects += 1;
        match object.known_size() {
            Some(bytes) => self.bytes = self.bytes.saturating_add(bytes),
            None => self.unsized_objects += 1,
        }
    }
}

/// The same listing, polled by a task that runs ahead by at most [`LISTED_AHEAD_MAX`] objects, and counted in `counts`.
pub(super) fn listed_ahead(
    mut listing: BoxStream<'static, Result<Listed, StoreError>>,
    counts: Arc<ReadCounts>,
) -> BoxStream<'static, Result<Listed, StoreError>> {
    let (sender, receiver) = mpsc::channel(LISTED_AHEAD_MAX);
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Some(listed) = listing.next().await {
            let is_error = listed.is_err();
            if let Ok(listed) = &listed {
                counts.change_listed(|total| total.add(listed));
            }
            // The receiver is gone when reading ends early.
            if sender.send(listed).await.is_err() || is_error {
                return;
            }
        }
        counts.change_listed(|total| total.is_complete = true);
    });
    // The stream owns the task, so dropping the stream ends it.
    futures::stream::unfold((receiver, task), |(mut receiver, task)| async move {
        receiver.recv().await.map(|listed| (listed, (receiver, task)))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &std::path::Path, name: &str, bytes: usize) {
        std::fs::write(folder.join(name), "x".repeat(bytes)).unwrap();
    }

    #[tokio::test]
    async fn the_total_is_known_when_the_listing_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "a.jsonl", 7);
        file(folder.path(), "b.jsonl", 5);
        let location = crate::store::Location::parse(&folder.path().display().to_string()).unwrap();
        let nowhere = "file:///nowhere".parse().unwrap();
        let listing = crate::store::objects(&[location], &nowhere, false).await.unwrap();
        let counts = Arc::new(ReadCounts::default());
        assert_eq!(counts.listed().bytes_total(), None);
        let listed: Vec<_> = listed_ahead(listing, Arc::clone(&counts)).collect().await;
        assert_eq!((listed.len(), counts.listed().objects, counts.listed().bytes_total()), (2, 2, Some(12)));
    }

    #[tokio::test]
    async fn a_pipe_has_no_size() {
        let location = crate::store::Location::parse("-").unwrap();
        let nowhere = "file:///nowhere".parse().unwrap();
        let listing = crate::store::objects(&[location], &nowhere, false).await.unwrap();
        let counts = Arc::new(ReadCounts::default());
        assert_eq!(listed_ahead(listing, Arc::clone(&counts)).count().await, 1);
        let total = counts.listed();
        assert_eq!((total.objects, total.is_complete, total.bytes_total()), (1, true, None));
    }
}
