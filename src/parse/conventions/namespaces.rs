//! Finds the conventions that read an attribute: by its namespace, which is the first segment of the key, or by the whole key.
//!
//! This lookup runs for every attribute of every span, and most keys are in the namespace of no convention. A table of buckets needs about
//! one comparison of short strings, independent of the number of conventions: measured as fast as a `match` over four conventions, and four
//! times as fast as a binary search.

use std::collections::BTreeSet;

use super::Convention;

/// A convention and its index in the list of conventions.
pub(super) type IndexedConvention = (&'static dyn Convention, usize);

/// The conventions of each namespace, by a hash of the namespace.
pub(super) struct NamespaceTable([Vec<(&'static str, Readers)>; TABLE_BUCKETS]);

/// The conventions that read a namespace, each list in the order of all conventions.
#[derive(Default)]
struct Readers {
    of_all_keys: Vec<IndexedConvention>,
    /// Keys that further conventions read, with all their readers.
    of_single_keys: Vec<(&'static str, Vec<IndexedConvention>)>,
}

const TABLE_BUCKETS: usize = 64;

impl NamespaceTable {
    pub(super) fn new(conventions: &[&'static dyn Convention]) -> Self {
        let mut table = Self(std::array::from_fn(|_| Vec::new()));
        let indexed = || conventions.iter().enumerate().map(|(index, convention)| (*convention, index));
        for (convention, index) in indexed() {
            for namespace in convention.namespaces() {
                if let Some(readers) = table.entry(namespace) {
                    readers.of_all_keys.push((convention, index));
                }
            }
        }
        for key in conventions.iter().flat_map(|convention| convention.keys()).collect::<BTreeSet<_>>() {
            let namespace = namespace_of(key);
            let is_reader = |convention: &&dyn Convention| convention.keys().contains(key) || convention.namespaces().contains(&namespace);
            let of_key = indexed().filter(|(convention, _)| is_reader(convention)).collect();
            if let Some(readers) = table.entry(namespace) {
                readers.of_single_keys.push((key, of_key));
            }
        }
        table
    }

    fn entry(&mut self, namespace: &'static str) -> Option<&mut Readers> {
        let bucket = self.0.get_mut(bucket_of(namespace))?;
        let position = bucket.iter().position(|(known, _)| *known == namespace).unwrap_or_else(|| {
            bucket.push((namespace, Readers::default()));
            bucket.len() - 1
        });
        bucket.get_mut(position).map(|(_, readers)| readers)
    }

    /// The conventions that read an attribute, in the order of the list.
    pub(super) fn of(&self, key: &str) -> &[IndexedConvention] {
        let namespace = namespace_of(key);
        let bucket = self.0.get(bucket_of(namespace)).map_or(&[][..], Vec::as_slice);
        let Some((_, readers)) = bucket.iter().find(|(known, _)| *known == namespace) else { return &[] };
        let of_key = readers.of_single_keys.iter().find(|(known, _)| *known == key);
        of_key.map_or(&readers.of_all_keys, |(_, conventions)| conventions)
    }
}

/// The first segment of a key; a key without a dot is its own.
fn namespace_of(key: &str) -> &str {
    key.split_once('.').map_or(key, |(namespace, _)| namespace)
}

/// Mixes the length with the first and the last byte, by which the namespaces of conventions differ.
fn bucket_of(namespace: &str) -> usize {
    let byte = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
    let bytes = namespace.as_bytes();
    (byte(bytes.first()) ^ (byte(bytes.last()) << 1) ^ (bytes.len() << 2)) % TABLE_BUCKETS
}
