//! failsift: traces of LLM and agent runs in, one structured failure pattern per trace out.
//!
//! ```text
//! objects -read-> Chunk -parse-> SpanFragment -gather-> Trace -redact-> RedactedTrace -analyze-> Draft -validate-> Pattern -write-> tables
//!            \______________\____________________\_______________\_ Rejection { stage, kind, reason } _\_______________\___-> errors, runs
//! ```
//!
//! Each stage takes a stream of outcomes and returns one; [`pipeline`] connects them, and no other module knows them all.

pub mod analyze;
pub mod audit;
pub mod check;
pub mod cli;
pub mod config;
pub mod eval;
pub mod gather;
mod http;
pub mod inspect;
pub mod limits;
mod messages;
pub mod model;
pub mod notify;
pub mod parse;
pub mod pipeline;
pub mod plan;
pub mod query;
pub mod read;
pub mod redact;
pub mod runs;
pub mod runtime;
pub mod schemas;
pub mod select;
pub mod spans;
pub mod spill;
mod statistics;
pub mod store;
pub mod tables;
pub mod telemetry;
mod text_file;
pub mod validate;
pub mod write;
