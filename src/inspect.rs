//! What an input holds and what would become of it, without analysing or storing anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::limits::{GATHER_MEMORY_BYTES, RECORD_BYTES_MAX, SUMMARY_FAILURES_MAX};
use crate::model::Rejection;
use crate::parse::{self, AssembleOptions, Bodies, Format, Inspection, ObjectFacts, ParseCounts, SpillFolder};
use crate::pipeline::RunError;
use crate::read::{self, ReadCounts, ReadOptions};
use crate::redact::{self, RedactionKey, Redactor};
use crate::runtime::{FatalError, Shutdown};
use crate::store::{self, Location};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// By URI of the object.
    pub objects: BTreeMap<String, ObjectFacts>,
    /// Traces, spans of several objects brought together.
    pub traces: u64,
    /// Spans of these traces, those that came twice counted once.
    pub spans: u64,
    /// What would be rejected and why, the first [`SUMMARY_FAILURES_MAX`].
    pub rejections: Vec<Rejection>,
    /// How much would be rejected.
    pub rejected: u64,
    /// Objects that would be skipped.
    pub skipped: Vec<String>,
    /// Objects that a manifest names and that are not there.
    pub missing: Vec<String>,
}

/// Reads all of an input.
///
/// # Errors
/// [`RunError`] where nothing lies there, or gathering fails.
pub async fn inspect(location: Location, format: Option<&'static dyn Format>) -> Result<Found, RunError> {
    // ReasonCounts may quote a trace; nobody has to know these tokens again.
    let key = RedactionKey::from_text(&uuid::Uuid::new_v4().to_string())?;
    let redactor = Arc::new(Redactor::new(key));
    let nowhere = store::table_url("failsift-out")?;
    let objects = store::objects(std::slice::from_ref(&location), &nowhere, false).await?;
    let temporary = std::env::temp_dir();
    let spill = SpillFolder::create(&temporary).map_err(|reason| RunError::Spill { folder: temporary.display().to_string(), reason })?;
    let options = AssembleOptions {
        format,
        memory_bytes: GATHER_MEMORY_BYTES,
        spill_folder: spill.path().to_owned(),
        bodies: Bodies::new(vec![location], RECORD_BYTES_MAX),
        shutdown: Shutdown::default(),
        names_interrupted: true,
    };
    let read_counts = Arc::new(ReadCounts::default());
    let parse_counts = Arc::new(ParseCounts::inspecting());
    let fatal = FatalError::default();
    let reading = ReadOptions { record_bytes_max: RECORD_BYTES_MAX };
    let records = read::records(objects, reading, Arc::clone(&read_counts), &fatal, CancellationToken::new());
    let traces = parse::traces(records, &options, Arc::clone(&parse_counts), &fatal);
    let mut traces = redact::reasons(traces, &redactor);
    let mut found = Found::default();
    while let Some(trace) = traces.next().await {
        match trace {
            Ok(trace) => {
                found.traces += 1;
                found.spans += trace.spans.len() as u64;
            }
            Err(rejection) => {
                found.rejected += 1;
                if found.rejections.len() < SUMMARY_FAILURES_MAX {
                    found.rejections.push(rejection);
                }
            }
        }
    }
    if let Some(reason) = fatal.get() {
        return Err(RunError::Gather(reason.to_owned()));
    }
    found.objects = parse_counts.inspection.as_ref().map(Inspection::objects).unwrap_or_default();
    for facts in found.objects.values_mut() {
        let names = std::mem::take(&mut facts.unmapped);
        facts.unmapped = names.into_iter().map(|(name, count)| (redacted(&redactor, name), count)).collect();
    }
    found.skipped = parse_counts.skipped_objects();
    found.missing = parse::missing_objects(&parse_counts, &read_counts);
    Ok(found)
}

fn redacted(redactor: &Redactor, mut text: String) -> String {
    redactor.redact_key(&mut text);
    text
}
