//! Lays the command line, the environment, the pipeline file and the defaults over each other, and records where each value comes from.
//!
//! All layers are documents of sections and keys. The one place that takes a value from a layer also records its origin, so no setting can lack
//! one.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::origin::{Origin, Origins};
use super::pipeline::Pipeline;
use super::pipeline_file::PipelineFile;
use super::schema_check::{self, MistakeKind};
use super::variables::{VariableOptions, Variables};
use super::{ConfigError, ConfigErrors};
use crate::store;

/// What a user gave on the command line and in the environment.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The pipeline file.
    pub file: Option<PathBuf>,
    /// Settings.
    pub settings: Pipeline,
    /// Where they come from.
    pub origins: Origins,
    /// Variables and the logical date.
    pub variables: VariableOptions,
    /// Whether `FAILSIFT_REDACTION_KEY` is set.
    pub has_key_in_environment: bool,
    /// Whether to ignore finished work of an interrupted run.
    pub fresh: bool,
    /// Whether to ask a model again about unchanged traces.
    pub force: bool,
}

/// Settings outside of a pipeline file in which variables are replaced. Elsewhere, braces of a flag are most likely literal.
const WITH_VARIABLES_IN_FLAGS: [(&str, &str); 4] = [("source", "inputs"), ("source", "since"), ("source", "until"), ("write", "output")];

/// A setting with its value and where that comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The section of the pipeline file.
    pub section: String,
    /// The key in the section.
    pub key: String,
    /// The value for messages, without secrets; null if it is not set.
    pub shown: Value,
    /// Where the value comes from.
    pub origin: Origin,
}

/// The settings of a run, each with its origin, and what is wrong with them.
#[derive(Debug)]
pub struct Resolution {
    /// All settings, in the order of sections and keys.
    pub settings: Vec<Setting>,
    /// The variables of the user and where their values come from. The values may be secrets, such as the signature of a URL.
    pub variables: Vec<(String, Origin)>,
    /// What is wrong. Wrong values are left out.
    pub problems: Vec<ConfigError>,
    pub(super) values: Pipeline,
    /// Sections and keys of values that were given and left out.
    left_out: BTreeSet<(String, String)>,
    /// The time from which ages count back.
    pub(super) date: chrono::DateTime<chrono::Utc>,
}

/// The origin of a setting, by section and key.
type OriginOf<'g> = Box<dyn Fn(&str, &str) -> Origin + 'g>;

/// Settings from one origin.
struct Layer<'g> {
    document: Map<String, Value>,
    /// The same for messages.
    shown: Map<String, Value>,
    origin: OriginOf<'g>,
}

impl Resolution {
    /// Resolves all settings.
    ///
    /// # Errors
    /// [`ConfigErrors`], if the pipeline file cannot be read. Wrong values in it are [`Self::problems`].
    pub fn new(given: &Given) -> Result<Self, ConfigErrors> {
        let now = chrono::Utc::now();
        let mut problems = Vec::new();
        let date = given.variables.date.as_deref();
        let mut variables = Variables::new(&given.variables.set, date, now).or_else(|error| {
            problems.push(ConfigError::InvalidValue(format!("{}: {error}", given.origins.argument("date"))));
            Variables::new(&given.variables.set, None, now).map_err(|error| ConfigErrors(vec![ConfigError::InvalidValue(error)]))
        })?;
        let file = given.file.as_deref().map(PipelineFile::read).transpose().map_err(ConfigErrors)?;
        if let Some(file) = &file {
            add_defaults_of_variables(file, &mut variables, &mut problems);
        }
        let mut layers = vec![given_layer(given, &mut variables, &mut problems)?];
        layers.extend(file.as_ref().map(|file| file_layer(file, &mut variables, &mut problems)));
        if let Err(error) = variables.check_used() {
            problems.push(ConfigError::InvalidValue(error));
        }
        let defaults = sections(&Pipeline::defaults())?;
        layers.push(Layer { shown: defaults.clone(), document: defaults, origin: Box::new(|_, _| Origin::Default) });
        let (values, mut settings) = merged(&layers)?;
        let documents: Vec<Map<String, Value>> =
            [sections(&given.settings)?].into_iter().chain(file.as_ref().map(|file| file.document.clone())).collect();
        let is_left_out = |setting: &&Setting| {
            let in_document = |document: &Map<String, Value>| document.get(&setting.section)?.get(&setting.key).map(is_given);
            setting.origin == Origin::NotSet && documents.iter().any(|document| in_document(document) == Some(true))
        };
        let left_out = settings.iter().filter(is_left_out).map(|setting| (setting.section.clone(), setting.key.clone())).collect();
        if given.has_key_in_environment {
            overridden_by_key(&mut settings);
        }
        let of_file =
            |name: &str| file.as_ref().map(|file| Origin::File { path: file.path.clone(), line: file.line("variables", Some(name)) });
        let is_set = |name: &str| given.variables.set.iter().any(|(set, _)| set == name);
        let origin = |name: &str| if is_set(name) { Some(Origin::Flag("--set".to_owned())) } else { of_file(name) };
        let origins = variables.names().filter_map(|name| Some((name.to_owned(), origin(name)?))).collect();
        Ok(Self { settings, variables: origins, problems, values, left_out, date: variables.date })
    }

    /// The name of a setting in messages: its flag, its variable, or its key and the file.
    pub(super) fn name_of(&self, section: &str, key: &str) -> String {
        let setting = self.settings.iter().find(|setting| setting.section == section && setting.key == key);
        setting.map_or_else(|| format!("[{section}] {key}"), |setting| setting.origin.name_of(section, key))
    }

    /// Reports that a setting has no value, unless its value is reported to be wrong.
    pub(super) fn report_missing(&mut self, section: &str, key: &str, problem: ConfigError) {
        if !self.left_out.contains(&(section.to_owned(), key.to_owned())) {
            self.problems.push(problem);
        }
    }

    /// Where a setting comes from.
    pub(super) fn origin_of(&self, section: &str, key: &str) -> Option<&Origin> {
        self.settings.iter().find(|setting| setting.section == section && setting.key == key).map(|setting| &setting.origin)
    }
}

/// The settings from the command line and the environment.
fn given_layer<'g>(given: &'g Given, variables: &mut Variables, problems: &mut Vec<ConfigError>) -> Result<Layer<'g>, ConfigErrors> {
    let origin = |section: &str, key: &str| given.origins.get(section, key);
    let expands = |section: &str, key: &str| WITH_VARIABLES_IN_FLAGS.contains(&(section, key));
    let (mut document, mut shown) = expanded(sections(&given.settings)?, expands, variables, |section, key, error| {
        problems.push(ConfigError::InvalidValue(format!("{}: {error}", origin(section, key).name_of(section, key))));
    });
    for mistake in schema_check::mistakes(&document) {
        let (section, key) = (mistake.section, mistake.key.unwrap_or_default());
        let (MistakeKind::Unknown(reason) | MistakeKind::Value(reason)) = mistake.kind;
        problems.push(invalid_value(&origin(&section, &key), &section, &key, &reason));
        remove(&mut document, &section, &key);
        remove(&mut shown, &section, &key);
    }
    Ok(Layer { document, shown, origin: Box::new(origin) })
}

/// The settings from the pipeline file.
fn file_layer<'f>(file: &'f PipelineFile, variables: &mut Variables, problems: &mut Vec<ConfigError>) -> Layer<'f> {
    let origin = |section: &str, key: &str| Origin::File { path: file.path.clone(), line: file.line(section, Some(key)) };
    let mut found = Vec::new();
    // The placeholders of links are those of a trace.
    let expands = |section: &str, _: &str| !matches!(section, "links" | "variables");
    let (mut document, mut shown) = expanded(file.document.clone(), expands, variables, |section, key, error| {
        found.push((
            file.line(section, Some(key)),
            ConfigError::InvalidValue(format!("{}: {error}", origin(section, key).name_of(section, key))),
        ));
    });
    for mistake in schema_check::mistakes(&document) {
        let line = file.line(&mistake.section, mistake.key.as_deref());
        let problem = match (&mistake.key, mistake.kind) {
            (Some(key), MistakeKind::Value(reason)) => invalid_value(&origin(&mistake.section, key), &mistake.section, key, &reason),
            (_, MistakeKind::Unknown(reason) | MistakeKind::Value(reason)) => {
                let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
                ConfigError::Malformed { path: file.path.clone(), reason: format!("{line}{reason}") }
            }
        };
        found.push((line, problem));
        for document in [&mut document, &mut shown] {
            match &mistake.key {
                Some(key) => remove(document, &mistake.section, key),
                None => drop(document.remove(&mistake.section)),
            }
        }
    }
    found.sort_by_key(|(line, _)| *line);
    problems.extend(found.into_iter().map(|(_, problem)| problem));
    for document in [&mut document, &mut shown] {
        document.remove("variables");
    }
    Layer { document, shown, origin: Box::new(origin) }
}

fn add_defaults_of_variables(file: &PipelineFile, variables: &mut Variables, problems: &mut Vec<ConfigError>) {
    for (name, value) in file.document.get("variables").and_then(Value::as_object).into_iter().flatten() {
        // Any other type is a mistake that the schema reports.
        if let Some(value) = value.as_str()
            && let Err(error) = variables.add_default(name, value)
        {
            let origin = Origin::File { path: file.path.clone(), line: file.line("variables", Some(name)) };
            problems.push(ConfigError::InvalidValue(format!("{}: {error}", origin.name_of("variables", name))));
        }
    }
}

/// A document with its variables replaced, and the same for messages. Calls `report` for a value that cannot be replaced and leaves it out.
fn expanded(
    document: Map<String, Value>,
    expands: impl Fn(&str, &str) -> bool,
    variables: &mut Variables,
    mut report: impl FnMut(&str, &str, String),
) -> (Map<String, Value>, Map<String, Value>) {
    let (mut texts, mut shown) = (document.clone(), document);
    for (section, keys) in &mut texts {
        for key in keys.as_object().map(|keys| keys.keys().cloned().collect::<Vec<_>>()).unwrap_or_default() {
            if !expands(section, &key) {
                continue;
            }
            let Some(value) = keys.get_mut(&key) else { continue };
            let shown = shown.get_mut(section).and_then(Value::as_object_mut);
            match expand_value(value, variables) {
                Ok(for_messages) => drop(shown.map(|keys| keys.insert(key, for_messages))),
                Err(error) => {
                    report(section, &key, error);
                    shown.map(|keys| keys.remove(&key));
                    keys.as_object_mut().map(|keys| keys.remove(&key));
                }
            }
        }
    }
    (texts, shown)
}

/// Replaces the variables in the texts of a value. Returns the value for messages.
fn expand_value(value: &mut Value, variables: &mut Variables) -> Result<Value, String> {
    match value {
        Value::String(text) => {
            let expanded = variables.expand(text)?;
            *text = expanded.text;
            Ok(expanded.shown.into())
        }
        Value::Array(items) => items.iter_mut().map(|item| expand_value(item, variables)).collect(),
        other => Ok(other.clone()),
    }
}

/// Takes each setting from the first layer that has it.
fn merged(layers: &[Layer<'_>]) -> Result<(Pipeline, Vec<Setting>), ConfigErrors> {
    let all_keys = document(&Pipeline::default())?;
    let (mut values, mut settings) = (Map::new(), Vec::new());
    for (section, known) in &all_keys {
        let of_layers = layers.iter().filter_map(|layer| layer.document.get(section));
        let keys: BTreeSet<&String> =
            [known].into_iter().chain(of_layers).filter_map(Value::as_object).flat_map(|keys| keys.keys()).collect();
        let mut of_section = Map::new();
        for key in keys {
            let found =
                layers.iter().find_map(|layer| Some((layer, layer.document.get(section)?.get(key).filter(|value| is_given(value))?)));
            let (shown, origin) = match found {
                Some((layer, value)) => {
                    of_section.insert(key.clone(), value.clone());
                    let shown = layer.shown.get(section).and_then(|keys| keys.get(key)).cloned().unwrap_or_default();
                    (without_secrets(shown), (layer.origin)(section, key))
                }
                None => (Value::Null, Origin::NotSet),
            };
            settings.push(Setting { section: section.clone(), key: key.clone(), shown, origin });
        }
        values.insert(section.clone(), Value::Object(of_section));
    }
    Ok((serde_json::from_value(Value::Object(values)).map_err(unexpected)?, settings))
}

/// The key of the environment overrides the key file of the pipeline file, but not the flag.
fn overridden_by_key(settings: &mut [Setting]) {
    let key_file = settings.iter_mut().find(|setting| setting.section == "redact" && setting.key == "key_file");
    if let Some(setting) = key_file.filter(|setting| !matches!(setting.origin, Origin::Flag(_))) {
        setting.shown = "<secret>".into();
        setting.origin = Origin::Variable("FAILSIFT_REDACTION_KEY".to_owned());
    }
}

/// Whether a value of a layer is one; an empty list is not.
fn is_given(value: &Value) -> bool {
    !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty())
}

/// The settings as a document of sections and keys, without those that are not given.
fn sections(settings: &Pipeline) -> Result<Map<String, Value>, ConfigErrors> {
    let mut document = document(settings)?;
    for keys in document.values_mut().filter_map(Value::as_object_mut) {
        keys.retain(|_, value| is_given(value));
    }
    Ok(document)
}

/// The settings as a document of sections and keys.
fn document(settings: &Pipeline) -> Result<Map<String, Value>, ConfigErrors> {
    match serde_json::to_value(settings).map_err(unexpected)? {
        Value::Object(document) => Ok(document),
        _ => Ok(Map::new()),
    }
}

/// Only a path that is not UTF-8 cannot be part of a document; types were checked.
fn unexpected(error: impl fmt::Display) -> ConfigErrors {
    ConfigErrors(vec![ConfigError::InvalidValue(format!("cannot use a setting: {error}"))])
}

fn invalid_value(origin: &Origin, section: &str, key: &str, reason: &str) -> ConfigError {
    let hint = schema_check::description(section, key).map(|text| format!("\n  hint: {key}: {text}")).unwrap_or_default();
    ConfigError::InvalidValue(format!("invalid {}: {reason}{hint}", origin.name_of(section, key)))
}

fn remove(document: &mut Map<String, Value>, section: &str, key: &str) {
    document.get_mut(section).and_then(Value::as_object_mut).map(|keys| keys.remove(key));
}

/// A value without the user, password and signature of URLs.
fn without_secrets(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(store::without_secrets(&text)),
        Value::Array(items) => items.into_iter().map(without_secrets).collect(),
        other => other,
    }
}
