//! Reads a pipeline file: its values, and the line of each key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use crate::{messages, text_file};

/// A pipeline file as a document; its keys and values are not checked yet.
#[derive(Debug)]
pub(super) struct PipelineFile {
    pub(super) path: PathBuf,
    pub(super) document: Map<String, Value>,
    /// The line of each key, by its path in the document: `/source/since`.
    lines: BTreeMap<String, usize>,
}

impl PipelineFile {
    /// # Errors
    /// [`ConfigError::Unreadable`], or a [`ConfigError::Malformed`] for each syntax error.
    pub(super) fn read(path: &Path) -> Result<Self, Vec<ConfigError>> {
        let text = text_file::read(path).map_err(|reason| vec![ConfigError::Unreadable { path: path.to_owned(), reason }])?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Vec<ConfigError>> {
        let malformed =
            |error: &toml::de::Error| ConfigError::Malformed { path: path.to_owned(), reason: messages::toml_error(text, error) };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors.iter().map(malformed).collect());
        }
        let document: toml::Table = toml::from_str(text).map_err(|error| vec![malformed(&error)])?;
        let document = document.into_iter().map(|(key, value)| (key, json(value))).collect();
        let mut lines = BTreeMap::new();
        add_lines(text, "", table.get_ref(), &mut lines);
        Ok(Self { path: path.to_owned(), document, lines })
    }

    /// The line of a section, or of a key in it.
    pub(super) fn line(&self, section: &str, key: Option<&str>) -> Option<usize> {
        let path = key.map_or_else(|| format!("/{section}"), |key| format!("/{section}/{key}"));
        self.lines.get(&path).copied()
    }
}

fn add_lines(text: &str, parent: &str, table: &DeTable<'_>, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let path = format!("{parent}/{}", key.get_ref());
        let before = text.get(..key.span().start).unwrap_or_default();
        if let DeValue::Table(table) = value.get_ref() {
            add_lines(text, &path, table, lines);
        }
        lines.insert(path, before.matches('\n').count() + 1);
    }
}

/// A value as JSON. A date becomes text, so that `since = 2026-11-23` needs no quotes; so do numbers that JSON lacks.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        // A whole number with a decimal point is as good as one without.
        toml::Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            format!("{number:.0}").parse::<i64>().map_or(Value::Null, Value::from)
        }
        toml::Value::Float(number) => Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number),
        toml::Value::Boolean(is) => Value::Bool(is),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => Value::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_lines_and_dates_need_no_quotes() {
        let text = "# nightly\n[source]\ninputs = [\n  'a',\n]\nsince = 2026-11-23\n[model]\nmax_cost_usd = nan\nconcurrency = 4.0\n";
        let file = PipelineFile::parse(Path::new("x.toml"), text).unwrap();
        assert_eq!(
            (file.line("source", None), file.line("source", Some("since")), file.line("source", Some("x"))),
            (Some(2), Some(6), None)
        );
        let document = Value::Object(file.document);
        assert_eq!(document["source"]["since"], "2026-11-23");
        assert_eq!((&document["model"]["max_cost_usd"], &document["model"]["concurrency"]), (&"NaN".into(), &4.into()));
    }

    #[test]
    fn every_syntax_error_is_reported() {
        let errors = PipelineFile::parse(Path::new("x.toml"), "[source]\ninputs = [\n[write]\noutput = \n").unwrap_err();
        assert!(errors.len() > 1, "{errors:?}");
        assert!(errors[0].to_string().starts_with("cannot use the pipeline file x.toml: line "), "{}", errors[0]);
    }
}
