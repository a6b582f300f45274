//! Reads labels, the expected answers: JSON lines with one object per trace.
//!
//! ```json
//! {"trace_id": "7f3a…", "category": "tool_failure", "contributing_factor": "tool_timeout", "also": ["provider_error/provider_timeout"],
//!  "span_id": "9c01…", "certain": true}
//! ```
//!
//! `also` lists other right labels. The culprit is `span_id`, `span` (an id, or an object with `span_id`), or `step` (the index of a message).
//! Labels with `"certain": false` are left out. Other keys are ignored.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::limits::LABEL_FILE_BYTES_MAX;
use crate::messages::io_cause;
use crate::model::{Label, UnknownLabel};

/// The expected answers for one trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedLabel {
    /// The label that people gave.
    pub label: Label,
    /// Other labels that are right.
    pub also: Vec<Label>,
    /// The culprit span.
    pub span: Option<String>,
}

impl ExpectedLabel {
    /// Whether category and factor are right.
    pub fn accepts(&self, answer: Label) -> bool {
        answer == self.label || self.also.contains(&answer)
    }

    /// Whether the category is right.
    pub fn accepts_category(&self, answer: Label) -> bool {
        std::iter::once(&self.label).chain(&self.also).any(|label| label.category() == answer.category())
    }

    /// Every right answer.
    pub fn accepted(&self) -> Vec<Label> {
        std::iter::once(self.label).chain(self.also.iter().copied()).collect()
    }
}

/// Expected labels by normalized trace id.
#[derive(Debug, Default)]
pub struct Labels(BTreeMap<String, ExpectedLabel>);

/// Why labels cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The file cannot be read.
    #[error("cannot read the labels {}: {}\n  hint: --labels takes JSON Lines", path.display(), io_cause(reason))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: std::io::Error,
    },
    /// A line is not a label.
    #[error(
        "cannot read the labels {}, line {line}: {reason}\n  hint: a line has the form {{\"trace_id\": …, \"category\": …, \"contributing_factor\": …}}; \
         `failsift schema pattern` lists the vocabulary",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The files contain no label, or only uncertain ones.
    #[error("the label files contain no usable label\n  hint: labels with \"certain\": false are left out")]
    None,
}

impl Labels {
    /// Reads JSON lines, plain or gzip.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn read(paths: &[PathBuf]) -> Result<Self, LabelError> {
        let mut labels = BTreeMap::new();
        for path in paths {
            let text = text_of(path).map_err(|reason| LabelError::Unreadable { path: path.clone(), reason })?;
            for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let malformed = |reason: String| LabelError::Malformed { path: path.clone(), line: index + 1, reason };
                let value: Value =
                    serde_json::from_str(line).map_err(|error| malformed(format!("invalid JSON at column {}", error.column())))?;
                if value.get("certain") == Some(&Value::Bool(false)) {
                    continue;
                }
                let (id, truth) = label_of(&value).map_err(malformed)?;
                labels.insert(normalized(&id), truth);
            }
        }
        if labels.is_empty() { Err(LabelError::None) } else { Ok(Self(labels)) }
    }

    /// Normalized trace ids with their expected labels.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &ExpectedLabel)> {
        self.0.iter()
    }
}

/// A trace id without dashes, in lower case: exporters write UUIDs either way.
pub(super) fn normalized(trace_id: &str) -> String {
    trace_id.replace('-', "").to_lowercase()
}

fn text_of(path: &Path) -> std::io::Result<String> {
    let bytes = std::fs::read(path)?;
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(bytes.as_slice()).take(LABEL_FILE_BYTES_MAX).read_to_string(&mut text)?;
    } else {
        bytes.as_slice().take(LABEL_FILE_BYTES_MAX).read_to_string(&mut text)?;
    }
    Ok(text)
}

fn label_of(value: &Value) -> Result<(String, ExpectedLabel), String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).ok_or_else(|| format!("`{key}` is missing or not a string"));
    let label = Label::parse(&format!("{}/{}", text("category")?, text("contributing_factor")?)).map_err(|error| error.to_string())?;
    let listed = value.get("also").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let also = listed.iter().map(|also| Label::parse(also.as_str().unwrap_or_default())).collect::<Result<_, UnknownLabel>>();
    let span = ["span_id", "span", "step"].iter().find_map(|key| match value.get(key)? {
        Value::String(id) => Some(id.clone()),
        Value::Number(step) => Some(step.to_string()),
        Value::Object(span) => span.get("span_id")?.as_str().map(str::to_owned),
        _ => None,
    });
    Ok((text("trace_id")?.to_owned(), ExpectedLabel { label, also: also.map_err(|error| error.to_string())?, span }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Labels, LabelError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Labels::read(&[file.path().to_owned()])
    }

    #[test]
    fn labels_are_read_and_uncertain_ones_are_left_out() {
        let labels = read(
            "{\"trace_id\":\"AB-1\",\"category\":\"tool_failure\",\"contributing_factor\":\"tool_timeout\",\
             \"also\":[\"provider_error/provider_timeout\"],\"span\":{\"span_id\":\"s\"}}\n\n\
             {\"trace_id\":\"c\",\"category\":\"tool_failure\",\"contributing_factor\":\"tool_timeout\",\"certain\":false}\n",
        )
        .unwrap();
        let (id, truth) = labels.iter().next().unwrap();
        assert_eq!((id.as_str(), truth.span.as_deref(), labels.iter().count()), ("ab1", Some("s"), 1));
        assert!(truth.accepts(Label::parse("provider_error/provider_timeout").unwrap()));
        assert!(!truth.accepts(Label::parse("tool_failure/tool_exception").unwrap()));
        assert!(truth.accepts_category(Label::parse("tool_failure/tool_exception").unwrap()));
    }

    #[test]
    fn an_unknown_label_is_named_with_its_line() {
        let error = read("{\"trace_id\":\"a\",\"category\":\"tool_failure\",\"contributing_factor\":\"slow\"}").unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("tool_failure/slow"), "{error}");
        assert!(matches!(read(""), Err(LabelError::None)));
        let error = read("{\"trace_id\": x}").unwrap_err().to_string();
        assert!(error.contains("line 1: invalid JSON at column 14"), "{error}");
        let error = read("{\"trace_id\":\"a\",\"category\":7}").unwrap_err().to_string();
        assert!(error.contains("line 1: `category` is missing or not a string"), "{error}");
    }
}
