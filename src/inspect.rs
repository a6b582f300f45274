//! Reads an input and reports its contents and what would be rejected, without analyzing or storing anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limits::{GATHER_MEMORY_BYTES, RECORD_BYTES_MAX, SUMMARY_FAILURES_MAX};
use crate::model::Rejection;
use crate::parse::{Format, Inspection, ObjectFacts};
use crate::pipeline::{InputCounts, RunError, TraceSource};
use crate::redact::{self, RedactionKey, Redactor};
use crate::runtime::Shutdown;
use crate::store::{self, Location};

/// The contents of an input.
#[derive(Debug, Default)]
pub struct InputReport {
    /// Facts about each object, by URI.
    pub objects: BTreeMap<String, ObjectFacts>,
    /// Traces, each counted once even if its spans are in several objects.
    pub traces: u64,
    /// Spans of these traces, without duplicates.
    pub spans: u64,
    /// What would be rejected and why, the first [`SUMMARY_FAILURES_MAX`].
    pub rejections: Vec<Rejection>,
    /// The number of all rejections.
    pub rejected: u64,
    /// Objects that would be skipped.
    pub skipped: Vec<String>,
    /// Objects that a manifest names and that do not exist.
    pub missing: Vec<String>,
}

/// Reads a whole input.
///
/// # Errors
/// [`RunError`] if the location is empty or cannot be read to its end.
pub async fn inspect(location: Location, format: Option<&'static dyn Format>) -> Result<InputReport, RunError> {
    // Reasons may quote a trace. A random key is enough to redact them, because these tokens are never compared with others.
    let key = RedactionKey::from_text(&uuid::Uuid::new_v4().to_string())?;
    let redactor = Arc::new(Redactor::new(key));
    let source = TraceSource { inputs: vec![location], format, record_bytes_max: RECORD_BYTES_MAX, memory_bytes: GATHER_MEMORY_BYTES };
    let objects = source.objects(&store::table_url("failsift-out")?, false).await?;
    let counts = InputCounts::inspecting();
    let traces = source.traces(objects, &counts, true, &Shutdown::default())?;
    let mut traces = traces.map(|traces| redact::reasons(traces, &redactor));
    let mut report = InputReport::default();
    while let Some(trace) = traces.next().await {
        match trace {
            Ok(trace) => {
                report.traces += 1;
                report.spans += trace.spans.len() as u64;
            }
            Err(rejection) => {
                report.rejected += 1;
                if report.rejections.len() < SUMMARY_FAILURES_MAX {
                    report.rejections.push(rejection);
                }
            }
        }
    }
    traces.check_complete()?;
    report.objects = counts.parse.inspection.as_ref().map(Inspection::objects).unwrap_or_default();
    for facts in report.objects.values_mut() {
        let names = std::mem::take(&mut facts.unmapped);
        facts.unmapped = names.into_iter().map(|(name, count)| (redacted_name(&redactor, name), count)).collect();
    }
    report.skipped = counts.parse.skipped_objects();
    report.missing = counts.missing_objects();
    Ok(report)
}

fn redacted_name(redactor: &Redactor, mut name: String) -> String {
    redactor.redact_attribute_name(&mut name);
    name
}
