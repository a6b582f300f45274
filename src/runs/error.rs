//! Why runs cannot be read or compared.

use crate::query::QueryError;

/// Why runs cannot be read or compared.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// The tables cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A row of `runs` is not as this version of failsift writes it.
    #[error("cannot read a row of the table runs: {0}\n  hint: it may be of a newer failsift; use that one")]
    Unreadable(String),
    /// There is no such run.
    #[error("no run {id} in the tables at {location}\n  hint: list runs with failsift runs --tables {location}")]
    NotFound {
        /// The id or its beginning.
        id: String,
        /// The location of the tables.
        location: String,
    },
    /// Several runs have ids with this beginning.
    #[error("{id} is the beginning of several run ids, such as {first} and {second}\n  hint: give more characters")]
    Ambiguous {
        /// The beginning of the ids.
        id: String,
        /// One of them.
        first: String,
        /// Another one.
        second: String,
    },
    /// There are not enough runs to compare.
    #[error("cannot compare runs: {reason}\n  hint: {hint}")]
    NothingToCompare {
        /// What is missing.
        reason: String,
        /// What to do.
        hint: String,
    },
}
