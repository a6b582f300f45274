//! The sections and keys of a pipeline file, as serde reads them from TOML.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{AnalyzerName, ConfigError, Excerpts, ModelOptions, NotifyOptions, SelectMode};
use crate::redact::RedactionLevel;
use crate::{messages, text_file};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PipelineFile {
    pub(super) source: SourceSection,
    pub(super) redact: RedactSection,
    pub(super) analyze: AnalyzeSection,
    pub(super) model: ModelOptions,
    /// Templates by format.
    pub(super) links: BTreeMap<String, String>,
    pub(super) write: WriteSection,
    pub(super) notify: NotifyOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SourceSection {
    pub(super) inputs: Vec<String>,
    pub(super) format: Option<String>,
    pub(super) select: Option<SelectMode>,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    pub(super) services: Vec<String>,
    pub(super) max_record_bytes: Option<usize>,
    pub(super) memory_limit_mb: Option<usize>,
    pub(super) allow_empty: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RedactSection {
    pub(super) key_file: Option<PathBuf>,
    pub(super) rules: Vec<PathBuf>,
    pub(super) level: Option<RedactionLevel>,
    pub(super) redact_kinds: Vec<String>,
    pub(super) keep_kinds: Vec<String>,
    pub(super) excerpts: Option<Excerpts>,
    pub(super) canaries: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AnalyzeSection {
    pub(super) analyzer: Option<AnalyzerName>,
    pub(super) rules: Vec<PathBuf>,
    pub(super) trace_timeout_seconds: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WriteSection {
    pub(super) output: Option<String>,
    pub(super) max_error_rate: Option<f64>,
    pub(super) commit_every: Option<String>,
}

pub(super) fn read_pipeline_file(path: &Path) -> Result<PipelineFile, ConfigError> {
    let text = text_file::read(path).map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?;
    toml::from_str(&text).map_err(|error| ConfigError::Malformed { path: path.to_owned(), reason: messages::toml_error(&text, &error) })
}
