//! The integration tests, in one binary. Each module runs the built `failsift` like a user.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod accuracy;
mod captures;
mod cases;
mod check;
mod context;
mod docs;
mod envelopes;
mod eval;
mod faults;
mod fingerprints;
mod formats;
mod frameworks;
mod hostile;
mod incremental;
mod input;
mod layering;
mod maintenance;
mod messages;
mod model_stub;
mod models;
mod monitoring;
mod notifications;
mod packaging;
mod pages;
mod properties;
mod proxy;
mod queries;
mod query;
mod redaction;
mod remote;
mod run;
mod running;
mod runs;
mod scheduling;
mod staging;
mod support;
mod tables;
