//! Checks a document of settings against the published schema of pipeline files, which is the only place that knows ranges.

use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::messages::did_you_mean;
use crate::schemas;

/// What is wrong with a key of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) section: String,
    /// `None` if the section itself is wrong.
    pub(super) key: Option<String>,
    pub(super) kind: MistakeKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MistakeKind {
    /// The section or key does not exist: the message about it.
    Unknown(String),
    /// The value is not allowed: why.
    Value(String),
}

/// The schema as a document.
fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(schemas::PIPELINE).unwrap_or_default());
    &SCHEMA
}

/// The description of a setting, for hints.
pub(super) fn description(section: &str, key: &str) -> Option<&'static str> {
    let keys = &schema().get("properties")?.get(section)?;
    let described = keys.get("properties").and_then(|keys| keys.get(key)).unwrap_or(keys);
    described.get("description")?.as_str()
}

/// Everything that is wrong with a document, one mistake for each key.
pub(super) fn mistakes(document: &Map<String, Value>) -> Vec<Mistake> {
    // A test checks that the schema is valid.
    static VALIDATOR: LazyLock<Option<Validator>> = LazyLock::new(|| jsonschema::draft202012::new(schema()).ok());
    let Some(validator) = &*VALIDATOR else { return Vec::new() };
    let document = Value::Object(document.clone());
    let mut found: Vec<Mistake> = Vec::new();
    for error in validator.iter_errors(&document) {
        for mistake in mistakes_of(&error) {
            let is_same = |other: &Mistake| other.section == mistake.section && other.key == mistake.key;
            // The type of a value is wrong before its range or its choice is.
            match found.iter_mut().find(|other| is_same(other)) {
                Some(other) if matches!(error.kind(), ValidationErrorKind::Type { .. }) => *other = mistake,
                Some(_) => {}
                None => found.push(mistake),
            }
        }
    }
    found
}

fn mistakes_of(error: &ValidationError<'_>) -> Vec<Mistake> {
    let path = error.instance_path().to_string();
    let mut steps = path.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    let (section, key) = (steps.next(), steps.next());
    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
        return unexpected.iter().map(|name| unknown(section.as_deref(), name)).collect();
    }
    // Names of variables are checked where they are read.
    let Some(section) = section.filter(|_| !matches!(error.kind(), ValidationErrorKind::PropertyNames { .. })) else { return Vec::new() };
    vec![Mistake { section, key, kind: MistakeKind::Value(reason(error)) }]
}

/// A section or key that does not exist.
fn unknown(section: Option<&str>, name: &str) -> Mistake {
    let sections = names(schema());
    let Some(section) = section else {
        let owner = sections.iter().find(|section| keys(section).contains(&name));
        let message = match owner {
            Some(section) => format!("key '{name}' outside of a section; it belongs below [{section}]"),
            None => format!("unknown section '{name}'{}", suggestion(name, &sections)),
        };
        return Mistake { section: name.to_owned(), key: None, kind: MistakeKind::Unknown(message) };
    };
    let known = keys(section);
    let owner = sections.iter().find(|other| **other != section && keys(other).contains(&name));
    let message = match owner {
        Some(owner) => format!("unknown key '{name}' in [{section}]; it is a key of [{owner}]"),
        None => format!("unknown key '{name}'{}", suggestion(name, &known)),
    };
    Mistake { section: section.to_owned(), key: Some(name.to_owned()), kind: MistakeKind::Unknown(message) }
}

fn suggestion(name: &str, known: &[&str]) -> String {
    match did_you_mean(name, known) {
        nothing if nothing.is_empty() => format!("; expected one of {}", known.join(", ")),
        suggestion => suggestion,
    }
}

fn names(schema: &'static Value) -> Vec<&'static str> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn keys(section: &str) -> Vec<&'static str> {
    schema().get("properties").and_then(|sections| sections.get(section)).map(names).unwrap_or_default()
}

/// Why a value is not allowed, without the value: it may be a secret.
fn reason(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Type { kind } => format!("expected {}, found {}", expected(kind), type_name(error.instance())),
        ValidationErrorKind::Enum { options } => {
            let known: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let value = error.instance().as_str().unwrap_or_default();
            format!("unknown value '{value}'{}", suggestion(value, &known))
        }
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        ValidationErrorKind::MaxItems { limit } => format!("must have at most {limit} items"),
        other => format!("does not match '{}' of the schema", other.keyword()),
    }
}

fn expected(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => json_type_name(*kind).to_owned(),
        TypeKind::Multiple(kinds) => kinds.iter().map(json_type_name).collect::<Vec<_>>().join(" or "),
    }
}

fn json_type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "a number",
        JsonType::Object => "a section",
        JsonType::String => "a text",
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a section",
    }
}
