//! Reads the earlier objects of traces that continue in new ones, so that a pattern is always made from the whole trace.
//!
//! In: the traces of which something new was seen. Their rows list the objects that their spans are from. Out: the fragments of these traces in those
//! objects; everything else in them has its outcome already. Traces that failed temporarily are retried in the same way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::{self, BoxStream, StreamExt};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::ReadRecord;
use crate::gather::{self, EncodedChunk, GatherCounts, TraceKeys};
use crate::limits::{CONTINUED_TRACES_SEARCHED, RETRIED_OBJECT_AGE_MAX};
use crate::parse::{self, Format, ParseCounts};
use crate::read::{self, ReadCounts, ReadOptions};
use crate::runtime::FatalError;
use crate::store::{self, Listed, Listing};
use crate::write::{self, EarlierTrace, ReusableResults};

/// What is needed to find and read the objects.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct EarlierObjects {
    record: Arc<ReadRecord>,
    output: Url,
    /// Whether traces may have been read that have no row, because a selection left them out.
    has_unlisted_traces: bool,
    keys: Arc<TraceKeys>,
    continued: Arc<AtomicU64>,
}

/// How the objects are read.
pub(in crate::pipeline) struct Reading {
    pub(in crate::pipeline) options: ReadOptions,
    pub(in crate::pipeline) format: Option<&'static dyn Format>,
    /// Counts of the run: what it has opened is not read twice.
    pub(in crate::pipeline) read: Arc<ReadCounts>,
    pub(in crate::pipeline) gather: Arc<GatherCounts>,
    pub(in crate::pipeline) fatal: FatalError,
    pub(in crate::pipeline) stop: CancellationToken,
    /// Told which traces are incomplete.
    pub(in crate::pipeline) reusable: Arc<ReusableResults>,
}

impl EarlierObjects {
    pub(super) fn new(record: Arc<ReadRecord>, output: Url, has_unlisted_traces: bool) -> Self {
        Self { record, output, has_unlisted_traces, keys: Arc::default(), continued: Arc::default() }
    }

    /// Collects the traces of the new objects.
    pub(in crate::pipeline) fn keys(&self) -> Arc<TraceKeys> {
        Arc::clone(&self.keys)
    }

    /// The number of traces of which a part was read by an earlier run. Final when all traces are gathered.
    pub(in crate::pipeline) fn continued(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.continued)
    }

    /// The fragments of continued traces in earlier objects. Begins when it is polled, which must be after the new objects were parsed.
    pub(in crate::pipeline) fn fragments(self, reading: Reading) -> BoxStream<'static, EncodedChunk> {
        stream::once(async move {
            match self.find(&reading).await {
                Ok((found, listing)) => Self::read(found, listing, reading),
                Err(error) => {
                    reading.fatal.set(error.to_string());
                    stream::empty().boxed()
                }
            }
        })
        .flatten()
        .boxed()
    }

    /// Looks up the traces, and lists the objects that they need.
    async fn find(&self, reading: &Reading) -> Result<(Found, Listing), super::RunError> {
        if reading.stop.is_cancelled() {
            return Ok((Found::default(), stream::empty().boxed()));
        }
        let seen = self.keys.take();
        let traces = write::earlier_traces(&self.output, &seen).await?;
        let (mut objects, mut retried) = (HashSet::new(), HashSet::new());
        for (trace, earlier) in &traces {
            let unread: Vec<u128> = earlier.objects.iter().copied().filter(|object| !reading.read.has_opened_key(*object)).collect();
            let is_continued = seen.contains(trace);
            self.continued.fetch_add(u64::from(!unread.is_empty() && is_continued), Ordering::Relaxed);
            let needed = if is_continued { &mut objects } else { &mut retried };
            needed.extend(unread);
        }
        let searches = self.has_unlisted_traces && !seen.is_empty();
        if objects.is_empty() && retried.is_empty() && !searches {
            return Ok((Found { traces, ..Found::default() }, stream::empty().boxed()));
        }
        let mut wanted: HashSet<u128> = traces.keys().copied().collect();
        if searches {
            wanted.extend(&seen);
        }
        let all = store::objects(&self.record.locations(), &self.output, true).await?;
        let (record, read) = (Arc::clone(&self.record), Arc::clone(&reading.read));
        let listing = all.filter(move |listed| {
            let is_needed = match listed {
                Ok(Listed::Object(object)) => {
                    let key = write::object_key(&object.uri);
                    let is_earlier = objects.contains(&key)
                        || (retried.contains(&key) && record.is_recent(object, RETRIED_OBJECT_AGE_MAX))
                        || (searches && record.is_recent(object, CONTINUED_TRACES_SEARCHED));
                    // A pipe or a web server has no version, and was read.
                    is_earlier && object.version().is_some() && !read.has_opened(&object.uri)
                }
                Ok(Listed::Skipped(_) | Listed::Unreadable { .. }) => false,
                Err(_) => true,
            };
            std::future::ready(is_needed)
        });
        Ok((Found { traces, wanted: Arc::new(wanted) }, listing.boxed()))
    }

    /// Reads what belongs to the traces. At the end, says which of them are incomplete.
    fn read(found: Found, listing: Listing, reading: Reading) -> BoxStream<'static, EncodedChunk> {
        let counts = Arc::new(ReadCounts::default());
        let chunks = read::chunks(listing, reading.options, Arc::clone(&counts), &reading.fatal, reading.stop);
        let encoder = gather::encoder_of_traces(&reading.gather, found.wanted);
        let fragments = parse::fragments(chunks, reading.format, &Arc::new(ParseCounts::default()), encoder);
        let (now, reusable) = (reading.read, reading.reusable);
        let end = stream::once(async move {
            let completed = counts.object_keys();
            let is_read = |object: &u128| now.has_opened_key(*object) || completed.contains(object);
            let incomplete = |earlier: &EarlierTrace| earlier.has_more_objects || !earlier.objects.iter().all(is_read);
            let incomplete: HashMap<u128, u64> =
                found.traces.iter().filter(|(_, earlier)| incomplete(earlier)).map(|(trace, earlier)| (*trace, earlier.spans)).collect();
            reusable.keep_fuller(incomplete);
        });
        fragments.chain(end.filter_map(|()| std::future::ready(None))).boxed()
    }
}

#[derive(Default)]
struct Found {
    traces: HashMap<u128, EarlierTrace>,
    /// Traces of which fragments are taken.
    wanted: Arc<HashSet<u128>>,
}
