//! `--since-last-run`: reads the objects that are new or changed since the last complete run of the pipeline.
//!
//! Every complete run records what it has read of each input ([`InputRead`], in the table `runs`): for each period of modification times, how many
//! objects and a digest of them (`periods`). The next run leaves out the objects of periods that are the same (`record`). Whatever is missing from a
//! record is read again, because that costs time and never a row: a change of the inputs or of the selection, an object that could not be read, a run
//! that was interrupted. Traces that continue in new objects are read again from their earlier ones (`continued`).

mod continued;
mod periods;
mod record;

use std::sync::Arc;

use chrono::SecondsFormat::Micros;
use url::Url;

pub(super) use self::continued::{EarlierObjects, Reading};
use self::periods::Periods;
pub(super) use self::record::ReadRecord;
use crate::config::{AnalysisConfig, COMMAND_LINE};
use crate::model::{InputRead, RunStatus, RunSummary, key_hash};
use crate::pipeline::RunError;
use crate::store::Location;
use crate::write::{self, LastRead};

/// What a run knows of earlier runs of its pipeline, and what it reads itself.
#[derive(Debug)]
pub(super) struct Incremental {
    pub(super) record: Arc<ReadRecord>,
    /// For a run with `--since-last-run`.
    since: Option<Since>,
    selection: String,
    traces_since: Option<String>,
    /// Whether what is read by this run counts as read for the next one.
    is_recorded: bool,
}

/// The earlier runs.
#[derive(Debug, Default)]
struct Since {
    /// The last one whose record is used.
    run_id: Option<String>,
    /// The settings of the records that are used.
    settings: Vec<String>,
    /// Inputs of which everything is read.
    unknown_inputs: Vec<String>,
}

impl Incremental {
    /// Looks up what earlier runs have read of the inputs, if the configuration asks for it.
    pub(super) async fn new(config: &AnalysisConfig, inputs: &[Location], output: &Url) -> Result<Self, RunError> {
        let selection = selection_digest(config);
        let traces_since = config.selection.since_ns.map(|since| time(since).unwrap_or_default());
        let is_recorded = config.selection.until_ns.is_none();
        if !config.since_last_run {
            let record = ReadRecord::new(inputs.iter().map(|input| (input.clone(), Periods::default())));
            return Ok(Self { record, since: None, selection, traces_since, is_recorded });
        }
        let last = write::last_inputs_read(output, &config.pipeline).await?;
        let mut since = Since::default();
        let mut known = Vec::with_capacity(inputs.len());
        for input in inputs {
            let canonical = record::name(input);
            let found = last.iter().find(|last| {
                let read = &last.read;
                read.input == canonical && read.selection == selection && covers(read.traces_since.as_ref(), traces_since.as_ref())
            });
            let periods = found.and_then(|last| Periods::decode(&last.read.periods));
            match (found, &periods) {
                (Some(last), Some(_)) => since.add(last),
                _ => since.unknown_inputs.push(input.shown().to_owned()),
            }
            known.push((input.clone(), periods.unwrap_or_default()));
        }
        Ok(Self { record: ReadRecord::new(known), since: Some(since), selection, traces_since, is_recorded })
    }

    /// What reads the earlier objects of traces that continue in new ones; `None` if everything is read anyway.
    pub(super) fn earlier_objects(&self, config: &AnalysisConfig, output: &Url) -> Option<EarlierObjects> {
        let is_used = self.since.as_ref().is_some_and(|since| since.run_id.is_some());
        let has_unlisted_traces = config.selection != crate::select::Selection::default();
        is_used.then(|| EarlierObjects::new(Arc::clone(&self.record), output.clone(), has_unlisted_traces))
    }

    /// Adds to the summary what was read. `settings` is a digest of the settings of the analysis.
    pub(super) fn summarize(&self, summary: &mut RunSummary, settings: &str, traces_continued: u64) {
        if let Some(since) = &self.since {
            summary.since_run.clone_from(&since.run_id);
            summary.objects_unchanged = Some(self.record.unchanged());
            summary.traces_continued = Some(traces_continued);
        }
        if self.is_recorded && summary.status == RunStatus::Complete {
            let of_run = InputRead {
                selection: self.selection.clone(),
                settings: settings.to_owned(),
                traces_since: self.traces_since.clone(),
                ..InputRead::default()
            };
            summary.inputs_read = Some(self.record.inputs_read(&of_run));
        }
    }

    /// Whether objects were found and all of them were read by earlier runs.
    pub(super) fn has_unchanged(&self) -> bool {
        self.record.unchanged() > 0
    }

    /// What the user should know, each a sentence.
    pub(super) fn notes(&self, summary: &RunSummary, settings: &str) -> Vec<String> {
        let Some(since) = &self.since else { return Vec::new() };
        let mut notes = Vec::new();
        match &since.run_id {
            None => notes.push("no earlier run of this pipeline has read these inputs, so everything was read".to_owned()),
            Some(run_id) => {
                notes.extend(
                    since.unknown_inputs.iter().map(|input| {
                        format!("no earlier run of this pipeline has read {input} with this selection, so all of it was read")
                    }),
                );
                if summary.objects_read == 0 && summary.received == 0 {
                    let unchanged = summary.objects_unchanged.unwrap_or_default();
                    let objects = if unchanged == 1 { "the only object was".to_owned() } else { format!("all {unchanged} objects were") };
                    notes.push(format!("nothing is new since run {run_id}: {objects} read before"));
                }
                if since.settings.iter().any(|other| other != settings) {
                    notes.push(
                        "the settings of the analysis or the version of failsift changed since the last run; what was read before is not analyzed again\n  hint: run once without --since-last-run to analyze everything with the new settings"
                            .to_owned(),
                    );
                }
            }
        }
        notes
    }
}

impl Since {
    fn add(&mut self, last: &LastRead) {
        self.run_id = self.run_id.take().max(Some(last.run_id.clone()));
        self.settings.push(last.read.settings.clone());
    }
}

/// A digest of what decides which traces of an object are analyzed. The command line has no name, so its analyzer distinguishes it from others.
fn selection_digest(config: &AnalysisConfig) -> String {
    let unnamed = (config.pipeline == COMMAND_LINE).then(|| config.analyzer.as_str());
    let mut services = config.selection.services.clone();
    services.sort();
    let digested = serde_json::json!([config.input_format, config.selection.failed_only, services, unnamed]);
    format!("{:032x}", key_hash(&digested.to_string()))
}

/// Whether a run that excluded traces before `read` has seen all traces that one with `wanted` asks for. Both are in the same form, which sorts.
fn covers(read: Option<&String>, wanted: Option<&String>) -> bool {
    match (read, wanted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(read), Some(wanted)) => read <= wanted,
    }
}

fn time(nanoseconds: i64) -> Option<String> {
    let (seconds, rest) = (nanoseconds.div_euclid(1_000_000_000), nanoseconds.rem_euclid(1_000_000_000));
    Some(chrono::DateTime::from_timestamp(seconds, u32::try_from(rest).ok()?)?.to_rfc3339_opts(Micros, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_selection_is_not_covered() {
        let (early, late) = (time(1_000_000_000).unwrap(), time(90_000_000_000).unwrap());
        assert!(covers(None, None) && covers(None, Some(&early)) && covers(Some(&early), Some(&late)));
        assert!(!covers(Some(&early), None) && !covers(Some(&late), Some(&early)));
    }
}
