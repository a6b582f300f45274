//! Which objects of each input a run reads, and which it leaves out because an earlier run has read them.
//!
//! In: the listing of an input. Out: the objects to read. At the end of a complete run: what is read of each input now, for the next run.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::StreamExt;
use url::Url;

use super::periods::{Periods, Seen};
use crate::model::{InputRead, key_hash};
use crate::store::{self, Listed, Listing, Location, Object, StoreError};

/// What a run reads of its inputs.
#[derive(Debug)]
pub(in crate::pipeline) struct ReadRecord {
    inputs: Vec<InputRecord>,
    /// Recorded objects by a hash of their URI, with the index of their input.
    objects: Mutex<HashMap<u128, (usize, Seen)>>,
}

#[derive(Debug)]
struct InputRecord {
    location: Location,
    /// What earlier runs have read; empty if there was none, or if this run reads everything.
    known: Periods,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Objects that this run reads.
    read: Periods,
    /// Objects in periods that earlier runs have read.
    listed: Periods,
    /// Periods whose objects differ from those that were read.
    changed: BTreeSet<i64>,
    is_listed: bool,
}

impl InputRecord {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an object of a known period. Returns whether it is outside of all known periods, and must be read.
    fn is_new(&self, seen: Seen) -> bool {
        let Some(start) = self.known.period_of(seen.second) else { return true };
        self.state().listed.add_listed(start, seen);
        false
    }

    /// Called when the first listing has ended. Returns whether some periods must be read again.
    fn compare(&self) -> bool {
        let mut state = self.state();
        state.changed = self.known.starts().filter(|start| !self.known.is_same(&state.listed, *start)).collect();
        let listed: BTreeSet<i64> = state.listed.starts().collect();
        !state.changed.is_disjoint(&listed)
    }

    fn is_changed(&self, seen: Seen) -> bool {
        self.known.period_of(seen.second).is_some_and(|start| self.state().changed.contains(&start))
    }

    /// Everything that is read now, by this run or an earlier one.
    fn all_read(&self) -> Periods {
        let state = self.state();
        let mut all = self.known.filter(|start| !state.changed.contains(&start));
        all.extend(&state.read);
        all.coarser()
    }
}

/// The object as periods see it; `None` if it has no version, and must be read to know whether it has changed.
fn seen(listed: &Listed) -> Option<(&str, Seen)> {
    let (uri, second, version) = match listed {
        Listed::Object(object) => (&object.uri, object.modified_at_ns.div_euclid(1_000_000_000), object.version()?),
        Listed::Unreadable { uri, .. } => (uri, 0, ""),
        Listed::Skipped(_) => return None,
    };
    let hash = u64::try_from(key_hash(&format!("{uri}\n{version}")) & u128::from(u64::MAX)).unwrap_or(0);
    Some((uri, Seen { second, hash }))
}

/// The name of an input in records: without credentials, and the same for different spellings of a location.
pub(super) fn name(input: &Location) -> String {
    input.canonical().trim_end().to_owned()
}

impl ReadRecord {
    /// A record for inputs with what is known of each.
    pub(super) fn new(inputs: impl IntoIterator<Item = (Location, Periods)>) -> Arc<Self> {
        let inputs = inputs.into_iter().map(|(location, known)| InputRecord { location, known, state: Mutex::default() });
        Arc::new(Self { inputs: inputs.collect(), objects: Mutex::default() })
    }

    /// Lists the objects to read of all inputs.
    ///
    /// # Errors
    /// [`StoreError`] if an input cannot be listed, or is empty and `allow_empty` is false. An input whose objects are all known is not empty.
    pub(in crate::pipeline) async fn unread(self: &Arc<Self>, tables: &Url, allow_empty: bool) -> Result<Listing, StoreError> {
        let mut listings = Vec::with_capacity(self.inputs.len());
        for (index, input) in self.inputs.iter().enumerate() {
            let all = store::objects(std::slice::from_ref(&input.location), tables, allow_empty).await?;
            listings.push(Arc::clone(self).unread_of(index, all, tables.clone()));
        }
        Ok(futures::stream::iter(listings).flatten().boxed())
    }

    fn unread_of(self: Arc<Self>, index: usize, all: Listing, tables: Url) -> Listing {
        async_stream::try_stream! {
            let Some(input) = self.inputs.get(index) else { return };
            let mut all = all;
            while let Some(listed) = all.next().await.transpose()? {
                if seen(&listed).is_none_or(|(_, seen)| input.is_new(seen)) {
                    self.add(index, &listed);
                    yield listed;
                }
            }
            if input.compare() {
                let mut again = store::objects(std::slice::from_ref(&input.location), &tables, true).await?;
                while let Some(listed) = again.next().await.transpose()? {
                    if seen(&listed).is_some_and(|(_, seen)| input.is_changed(seen)) {
                        self.add(index, &listed);
                        yield listed;
                    }
                }
            }
            input.state().is_listed = true;
        }
        .boxed()
    }

    fn add(&self, index: usize, listed: &Listed) {
        let (Some((uri, seen)), Some(input)) = (seen(listed), self.inputs.get(index)) else { return };
        input.state().read.add(seen);
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).insert(key_hash(uri), (index, seen));
    }

    /// The object could not be read now. The next run reads it again.
    pub(in crate::pipeline) fn set_unread(&self, uri: &str) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let found = objects.remove(&key_hash(uri)).or_else(|| objects.remove(&key_hash(Object::container_uri(uri))));
        if let Some((index, seen)) = found
            && let Some(input) = self.inputs.get(index)
        {
            input.state().read.remove(seen);
        }
    }

    /// Objects that were left out because an earlier run has read them. Final when everything is listed.
    pub(in crate::pipeline) fn unchanged(&self) -> u64 {
        let count = |input: &InputRecord| {
            let state = input.state();
            state.listed.filter(|start| !state.changed.contains(&start)).count()
        };
        self.inputs.iter().map(count).sum()
    }

    /// What is read of each input now. Final when everything is read. Pipes and web servers have no versions and are left out, and so are empty
    /// inputs. `selection`, `settings` and `traces_since` are those of the run.
    pub(in crate::pipeline) fn inputs_read(&self, of_run: &InputRead) -> Vec<InputRead> {
        let read = |input: &InputRecord| {
            let periods = input.all_read();
            let newest = periods.newest().and_then(|second| chrono::DateTime::from_timestamp(second, 0))?;
            input.state().is_listed.then(|| InputRead {
                input: name(&input.location),
                objects: periods.count(),
                newest_object_at: Some(newest.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
                periods: periods.encode(),
                ..of_run.clone()
            })
        };
        self.inputs.iter().filter_map(read).collect()
    }

    /// Whether the object is at most this much older than the newest one that earlier runs have read of an input.
    pub(super) fn is_recent(&self, object: &Object, age_max: Duration) -> bool {
        let age_max = i64::try_from(age_max.as_secs()).unwrap_or(i64::MAX);
        let second = object.modified_at_ns.div_euclid(1_000_000_000);
        self.inputs.iter().filter_map(|input| input.known.newest()).any(|newest| second >= newest.saturating_sub(age_max))
    }

    /// All inputs.
    pub(super) fn locations(&self) -> Vec<Location> {
        self.inputs.iter().map(|input| input.location.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of what is read of a folder, and what a later run knows of it.
    async fn read(folder: &std::path::Path, known: Periods, unread: Option<&str>) -> (Vec<String>, Periods) {
        let location = Location::parse(folder.to_str().unwrap()).unwrap();
        let record = ReadRecord::new([(location, known)]);
        let mut listing = record.unread(&store::table_url("/nowhere").unwrap(), false).await.unwrap();
        let mut names = Vec::new();
        while let Some(listed) = listing.next().await {
            let Listed::Object(object) = listed.unwrap() else { continue };
            if unread.is_some_and(|unread| object.uri.ends_with(unread)) {
                record.set_unread(&object.uri);
            }
            names.push(object.name().to_owned());
        }
        names.sort();
        let read = record.inputs_read(&InputRead::default());
        (names, Periods::decode(&read[0].periods).unwrap())
    }

    fn put(folder: &std::path::Path, name: &str, second: u64) {
        std::fs::write(folder.join(name), "x").unwrap();
        let file = std::fs::File::options().append(true).open(folder.join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(second)).unwrap();
    }

    #[tokio::test]
    async fn what_could_not_be_read_is_read_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for (name, second) in [("a", 1_700_000_000), ("b", 1_700_100_000), ("c", 1_700_200_000)] {
            put(folder.path(), name, second);
        }
        let (names, known) = read(folder.path(), Periods::default(), Some("b")).await;
        assert_eq!(names, ["a", "b", "c"]);
        let (names, known) = read(folder.path(), known, None).await;
        assert_eq!(names, ["b"]);
        assert_eq!(read(folder.path(), known, None).await.0, Vec::<String>::new());
    }

    #[tokio::test]
    async fn an_object_that_vanished_leaves_the_record() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a", 1_700_000_000);
        put(folder.path(), "b", 1_700_100_000);
        let (_, known) = read(folder.path(), Periods::default(), None).await;
        std::fs::remove_file(folder.path().join("a")).unwrap();
        let (names, later) = read(folder.path(), known.clone(), None).await;
        assert_eq!((names.len(), known.count(), later.count()), (0, 2, 1));
        // One that comes back is new.
        put(folder.path(), "a", 1_700_000_000);
        assert_eq!(read(folder.path(), later, None).await.0, ["a"]);
    }
}
