//! One integration binary: each module drives the built `failsift` as its user would.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod accuracy;
mod captures;
mod cases;
mod docs;
mod eval;
mod faults;
mod formats;
mod hostile;
mod input;
mod layering;
mod messages;
mod model_stub;
mod models;
mod properties;
mod proxy;
mod query;
mod redaction;
mod remote;
mod run;
mod staging;
mod support;
mod tables;
mod upkeep;
