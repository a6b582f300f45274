//! Finds the conventions that read an attribute: by its namespace, which is the first segment of the key, or by the whole key.
//!
//! This lookup runs for every attribute of every span, and most keys are in the namespace of no convention. A table of buckets needs about
//! one comparison of short strings, independent of the number of conventions: measured as fast as a `match` over four conventions, and four
//! times as fast as a binary search.

use std::collections::BTreeSet;

use super::Convention;

/// A convention and its index in the list of conventions.
pub(super) type IndexedConvention = (&'static dyn Convention, usize);

/// The conventions of each namespace and of single keys, by a hash of the name.
pub(super) struct NamespaceTable([Vec<(&'static str, Vec<IndexedConvention>)>; TABLE_BUCKETS]);

const TABLE_BUCKETS: usize = 64;

impl NamespaceTable {
    pub(super) fn new(conventions: &[&'static dyn Convention]) -> Self {
        let mut table = Self(std::array::from_fn(|_| Vec::new()));
        let indexed = || conventions.iter().enumerate().map(|(index, convention)| (*convention, index));
        for (convention, index) in indexed() {
            for namespace in convention.namespaces() {
                table.insert(namespace, (convention, index));
            }
        }
        // A single key is offered to the conventions of its namespace too.
        for key in conventions.iter().flat_map(|convention| convention.keys()).collect::<BTreeSet<_>>() {
            let of_namespace: Vec<usize> = table.of(key).iter().map(|(_, index)| *index).collect();
            for (convention, index) in indexed() {
                if of_namespace.contains(&index) || convention.keys().contains(key) {
                    table.insert(key, (convention, index));
                }
            }
        }
        table
    }

    fn insert(&mut self, name: &'static str, convention: IndexedConvention) {
        let Some(bucket) = self.0.get_mut(bucket_of(name)) else { return };
        match bucket.iter_mut().find(|(known, _)| *known == name) {
            Some((_, conventions)) => conventions.push(convention),
            None => bucket.push((name, vec![convention])),
        }
    }

    /// The conventions that read an attribute, in the order of the list.
    pub(super) fn of(&self, key: &str) -> &[IndexedConvention] {
        let Some((namespace, _)) = key.split_once('.') else { return self.find(key).unwrap_or_default() };
        self.find(key).or_else(|| self.find(namespace)).unwrap_or_default()
    }

    fn find(&self, name: &str) -> Option<&[IndexedConvention]> {
        let bucket = self.0.get(bucket_of(name))?;
        bucket.iter().find(|(known, _)| *known == name).map(|(_, conventions)| conventions.as_slice())
    }
}

/// Mixes the length with the first and the last byte, by which the namespaces of conventions differ.
fn bucket_of(namespace: &str) -> usize {
    let byte = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
    let bytes = namespace.as_bytes();
    (byte(bytes.first()) ^ (byte(bytes.last()) << 1) ^ (bytes.len() << 2)) % TABLE_BUCKETS
}
