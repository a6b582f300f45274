//! Facts of arguments that a tool rejected, and of an output that broke its schema: the field, what was expected, what was given, and where the model took
//! the value from.

use super::super::byte_regex::ByteRegex;
use serde_json::Value;

use super::call::{RecordedCall, source_of};
use super::names::fact_names;
use super::tool_call::{CALLED_TOOL, add_arguments};
use super::violation::{Problem, Violation, in_message};
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::Span;

fact_names! {
    INVALID_ARGUMENT = "invalid_argument", Text, "the argument that was rejected";
    MISSING_PARAMETER = "missing_parameter", Text, "the argument that was missing";
    UNEXPECTED_PARAMETER = "unexpected_parameter", Text, "the argument that the tool or function does not have";
    INVALID_FIELD = "invalid_field", Text, "the field of the output that broke the schema";
    MISSING_FIELD = "missing_field", Text, "the field that was missing in the output";
    UNEXPECTED_FIELD = "unexpected_field", Text, "the field of the output that the schema does not have";
    EXPECTED_VALUE = "expected_value", Text, "the value that was expected";
    GIVEN_VALUE = "given_value", Text, "the value that was given";
    GIVEN_TYPE = "given_type", Text, "the type of the value that was given";
    VALUE_SOURCE = "value_source", Text, "the place where the given value first occurs";
    VALUE_SOURCE_TEXT = "value_source_text", Text, "the words around the given value where it first occurs";
    VIOLATION_TYPE = "violation_type", Text, "what the validator calls this kind of error";
    VIOLATION_MESSAGE = "violation_message", Text, "the sentence of the validator";
    GIVEN_ARGUMENTS = "given_arguments", Text, "the names of the arguments of the call";
    VALIDATION_ERRORS = "validation_errors", Count, "the number of validation errors";
    SCHEMA_NAME = "schema_name", Text, "the name of the schema";
    UNKNOWN_NAME = "unknown_name", Text, "the column, field or text that the target of the call does not have";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Characters of a value in a fact.
const VALUE_CHARS_MAX: usize = 100;

/// Characters of the sentence of a validator.
const MESSAGE_CHARS_MAX: usize = 160;

/// Characters of a name in a fact, which is quoted in titles.
const NAME_CHARS_MAX: usize = 60;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(span) = case.span() else { return };
    if case.is(&["invalid_tool_arguments"]) {
        add_of_arguments(case, span, facts);
    } else if case.is(&["schema_violation"]) {
        add_of_output(case, span, facts);
    }
}

fn add_of_arguments(case: &Case<'_, '_>, span: &Span, facts: &mut Facts) {
    let mut call = RecordedCall::of(case);
    // The error of a model call or an agent names the tool in its text.
    if call.is_none()
        && let Some((field, named)) = case.messages().find_map(|(field, text)| Some((field, named_tool(text)?)))
    {
        facts.add(&CALLED_TOOL, named, Place::Field(span, field));
        call = RecordedCall::requested_of(case, named);
        if let Some(call) = &call {
            add_arguments(call, facts);
        }
    }
    let arguments = call.as_ref().and_then(RecordedCall::json).unwrap_or_default();
    let is_field = |word: &str| arguments.contains_key(word);
    let found = case.messages().find_map(|(field, text)| Some((field.to_owned(), in_message(text, &is_field)?)));
    if let Some((field, violation)) = &found {
        let place = Place::Field(span, field);
        let name = match violation.problem {
            Problem::Invalid => &INVALID_ARGUMENT,
            Problem::Missing => &MISSING_PARAMETER,
            Problem::Unexpected => &UNEXPECTED_PARAMETER,
        };
        // `int('two')` does not say whose value it was; the call does.
        let by_value = || violation.given.as_deref().and_then(|given| argument_with(&arguments, given));
        let argument = violation.field.clone().or_else(by_value);
        if let Some(argument) = &argument {
            // A path is written differently in the text.
            let is_written = !argument.contains('.') && violation.field.is_some();
            facts.add(name, shortened(argument, NAME_CHARS_MAX), if is_written { place } else { Place::Span(span) });
        }
        add_values(violation, span, field, facts);
        add_given(case, call.as_ref(), &arguments, argument.as_deref(), facts);
    }
    for (field, text) in case.messages() {
        if let Some(name) = unknown_name(text) {
            let holder = arguments.iter().find(|(_, value)| value.as_str().is_some_and(|value| value.contains(name)));
            facts.add(&UNKNOWN_NAME, shortened(name, VALUE_CHARS_MAX), Place::Field(span, field));
            if let (Some((argument, _)), Some(call)) = (holder, &call) {
                facts.add(&INVALID_ARGUMENT, argument, Place::Field(call.span, &call.field));
            }
        }
        if is_about_replaced_text(text)
            && let Some(call) = &call
            && let Some((argument, value)) = arguments.iter().find(|(key, _)| is_replaced_text(key))
        {
            facts.add(&INVALID_ARGUMENT, argument, Place::Field(call.span, &call.field));
            if let Some(first) = value.as_str().and_then(|value| value.trim().lines().next()) {
                facts.add(&GIVEN_VALUE, shortened(first, VALUE_CHARS_MAX), Place::Field(call.span, &call.field));
            }
        }
    }
    // An argument that the tool misses is not among those of the call that failed.
    let is_other = facts.get(&MISSING_PARAMETER).is_some_and(|missing| arguments.contains_key(missing));
    if let Some(call) = call.as_ref().filter(|_| !arguments.is_empty() && !is_other) {
        let names: Vec<&str> = arguments.keys().map(String::as_str).take(12).collect();
        facts.add(&GIVEN_ARGUMENTS, names.join(", "), Place::Span(call.span));
    }
}

/// The value that the call gave for the argument, if the message does not show it, and where the model took it from.
fn add_given<'t>(
    case: &Case<'_, 't>,
    call: Option<&RecordedCall<'t>>,
    arguments: &serde_json::Map<String, Value>,
    argument: Option<&str>,
    facts: &mut Facts,
) {
    let Some(argument) = argument else { return };
    if facts.has(&MISSING_PARAMETER) {
        return;
    }
    if let (Some(value), Some(call)) = (value_at(arguments, argument), call) {
        let written = written(value);
        facts.add(&GIVEN_VALUE, shortened(&written, VALUE_CHARS_MAX), Place::Span(call.span));
    }
    let value = value_at(arguments, argument).map(written).or_else(|| facts.get(&GIVEN_VALUE).map(str::to_owned));
    if let Some((value, source)) = value.and_then(|value| source_of(case, call, value.trim()).map(|source| (value, source))) {
        let place = call.map_or(Place::Trace, |call| Place::Span(call.span));
        if let Some(quote) = source.quote(value.trim()) {
            facts.add(&VALUE_SOURCE_TEXT, quote, place);
        }
        facts.add(&VALUE_SOURCE, source.place, place);
    }
}

fn add_values(violation: &Violation, span: &Span, field: &str, facts: &mut Facts) {
    let place = Place::Field(span, field);
    if let Some(expected) = violation.expected.as_deref().map(|expected| shortened(expected, VALUE_CHARS_MAX)) {
        // A list of options is joined, so that it is written differently in the text.
        let is_written = span_contains(span, field, &expected);
        facts.add(&EXPECTED_VALUE, expected, if is_written { place } else { Place::Span(span) });
    }
    if let Some(given) = &violation.given {
        facts.add(&GIVEN_VALUE, shortened(given, VALUE_CHARS_MAX), place);
    }
    if let Some(kind) = &violation.given_type {
        facts.add(&GIVEN_TYPE, kind, place);
    }
    if let Some(kind) = &violation.kind {
        facts.add(&VIOLATION_TYPE, kind, place);
    }
    if let Some(message) = &violation.message {
        let message = shortened(message, MESSAGE_CHARS_MAX);
        let is_written = span_contains(span, field, &message);
        facts.add(&VIOLATION_MESSAGE, message, if is_written { place } else { Place::Span(span) });
    }
    if let Some(count) = violation.count.filter(|count| *count > 1) {
        facts.add(&VALIDATION_ERRORS, count, Place::Span(span));
    }
}

/// Whether a field of a span contains a text as it is.
fn span_contains(span: &Span, field: &str, wanted: &str) -> bool {
    span.fields(&mut |name, text| name.to_string() == field && text.contains(wanted))
}

fn add_of_output(case: &Case<'_, '_>, span: &Span, facts: &mut Facts) {
    let found = case.messages().find_map(|(field, text)| Some((field.to_owned(), in_message(text, &|_| false)?)));
    // Node prints the error of the validator as the cause, below the frames of the error around it.
    let in_causes = || {
        span.exceptions.iter().enumerate().find_map(|(at, exception)| {
            let (_, thrown) = exception.stack.as_deref()?.split_once("[cause]: ")?;
            let errors = thrown.split_once("Error message: ").map_or(thrown, |(_, errors)| errors);
            let errors = errors.rfind(']').and_then(|end| errors.get(..=end)).unwrap_or(errors);
            let violation = in_message(super::super::text::clip(errors), &|_| false)?;
            let given = || value_in_cause(thrown, violation.field.as_deref()?);
            let given = violation.given.clone().or_else(given);
            Some((format!("exceptions[{at}].stack"), Violation { given, ..violation }))
        })
    };
    let found = found.or_else(in_causes);
    if let Some((field, violation)) = &found {
        let place = Place::Field(span, field);
        let name = match violation.problem {
            Problem::Invalid => &INVALID_FIELD,
            Problem::Missing => &MISSING_FIELD,
            Problem::Unexpected => &UNEXPECTED_FIELD,
        };
        if let Some(field) = &violation.field {
            facts.add(name, shortened(field, NAME_CHARS_MAX), if field.contains('.') { Place::Span(span) } else { place });
        }
        add_values(violation, span, field, facts);
    }
    for (field, text) in case.messages() {
        if let Some(name) = schema_name(text) {
            facts.add(&SCHEMA_NAME, name, Place::Field(span, field));
        }
    }
}

/// The value of a field in the output that the AI SDK quotes before the errors: `Type validation failed: Value: {…}. Error message: […]`.
fn value_in_cause(cause: &str, field: &str) -> Option<String> {
    const VALUE_BYTES_MAX: usize = 16 * 1024;
    let (value, _) = cause.split_once("Value: ")?.1.split_once("Error message: ")?;
    let value = Some(value.trim().trim_end_matches('.')).filter(|value| value.len() <= VALUE_BYTES_MAX)?;
    let value: Value = serde_json::from_str(value).ok()?;
    match value.get(field)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The model class of `2 validation errors for Ticket`.
fn schema_name(text: &str) -> Option<&str> {
    static NAME: ByteRegex = ByteRegex::new(
        r#"validation errors? for (?:call\[)?(?P<n>[A-Z][A-Za-z0-9_]{1,60})|(?i:schema|type|model) ["'`](?P<m>[A-Z][A-Za-z0-9_]{1,60})["'`]|for type '(?P<o>[A-Z][A-Za-z0-9_]{1,60})'"#,
    );
    let found = NAME.captures(text)?;
    ["n", "m", "o"].iter().find_map(|name| found.name(name)).map(|name| name.as_str())
}

/// The tool that an error names: `Invalid arguments for tool weather: …`.
fn named_tool(text: &str) -> Option<&str> {
    static NAME: ByteRegex = ByteRegex::new(
        r#"(?i)(?:arguments?|input|parameters?)(?: given)? (?:for|to|of) (?:the )?(?:tool|function) ["'`]?(?P<n>[A-Za-z0-9_.:-]{2,80})|malformed (?:function|tool) call:? (?P<p>[A-Za-z_][A-Za-z0-9_.]{1,80})\(|<function=(?P<m>[A-Za-z0-9_.:-]{2,80})|invoking tool ["'`](?P<o>[A-Za-z0-9_.:-]{2,80})"#,
    );
    let found = NAME.captures(text)?;
    ["n", "m", "o", "p"].iter().find_map(|name| found.name(name)).map(|name| name.as_str().trim_end_matches([':', '.']))
}

/// A column, field or type that a database or an API does not have.
fn unknown_name(text: &str) -> Option<&str> {
    static NAME: ByteRegex = ByteRegex::new(concat!(
        r#"(?i)(?:no such column:? |unknown column |invalid column name |unrecognized name:? |unrecognised name:? |invalid identifier |cannot query field |no such (?:field|property):? "#,
        r#"|column reference |unresolved column |could not find (?:the )?(?:column|field) |column |field )\\?["'`\[]?(?P<n>[A-Za-z_][A-Za-z0-9_.]{0,80})\\?["'`\]]?"#,
        r#"(?P<after> (?:of relation [^\s]{1,60} )?(?:does not exist|not found|cannot be resolved|doesn't exist|is ambiguous))?"#,
    ));
    static ORACLE: ByteRegex = ByteRegex::new(r#"(?i)["'](?P<n>[A-Za-z0-9_."]{1,80})["']: invalid identifier"#);
    let is_verb = |start: &str| {
        let start = start.to_ascii_lowercase();
        !(start.starts_with("column ") || start.starts_with("field ") || start.starts_with("column reference"))
    };
    let mut found = NAME.captures_iter(text).take(8);
    let known = found.find(|captures| captures.name("after").is_some() || captures.get(0).is_some_and(|whole| is_verb(whole.as_str())));
    known.or_else(|| ORACLE.captures(text))?.name("n").map(|name| name.as_str().trim_end_matches('.'))
}

/// Whether an editor did not find the text that it was to replace.
fn is_about_replaced_text(text: &str) -> bool {
    static REPLACED: ByteRegex = ByteRegex::new(
        r"(?i)old_str(?:ing)?|occurrences? (?:were |was )?found|strings? (?:that should be |to be |to )replaced?|search (?:text|block|string).{0,40}not|no match(?:es)? (?:was |were )?found for (?:the )?(?:search|replace)",
    );
    REPLACED.is_match(text)
}

fn is_replaced_text(key: &str) -> bool {
    matches!(key, "old_string" | "old_str" | "oldString" | "oldText" | "old_text" | "search" | "search_text" | "target" | "old_content")
}

/// The value at a path with dots.
fn value_at<'v>(arguments: &'v serde_json::Map<String, Value>, path: &str) -> Option<&'v Value> {
    let direct = || arguments.get(path);
    let mut parts = path.split('.');
    let mut value = arguments.get(parts.next()?);
    for part in parts {
        value = value.and_then(|value| part.parse::<usize>().map_or_else(|_| value.get(part), |index| value.get(index)));
    }
    value.or_else(direct)
}

/// The argument with this value, if only one has it.
fn argument_with(arguments: &serde_json::Map<String, Value>, wanted: &str) -> Option<String> {
    let mut having = arguments.iter().filter(|(_, value)| written(value) == wanted).map(|(key, _)| key);
    let first = having.next()?;
    having.next().is_none().then(|| first.clone())
}

/// A value as text: a string without quotes, others as JSON.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_given_value_is_read_from_the_quoted_output() {
        let cause = "Type validation failed: Value: {\"size\": \"huge\", \"count\": 3}.\nError message: [{}]";
        assert_eq!(value_in_cause(cause, "size").as_deref(), Some("huge"));
        assert_eq!(value_in_cause(cause, "count").as_deref(), Some("3"));
        assert_eq!(value_in_cause(cause, "color"), None);
        assert_eq!(value_in_cause("Value: {broken. Error message: []", "size"), None);
    }
}
