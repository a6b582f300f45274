//! What the message of a validator says: which field broke the schema, what was expected, and what was given.
//!
//! `violation_wordings` has the sentences of validators and binders; this module reads lists of errors, as Pydantic, Zod, Ajv, FastAPI and Valibot return
//! them, in the notation of JSON, Python or Node.

use std::borrow::Cow;

use super::super::result_value::{Object, Parsed, Value};
use super::violation_wordings as wordings;

/// How a field broke the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Problem {
    #[default]
    Invalid,
    Missing,
    Unexpected,
}

/// The first error that a validator reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Violation {
    /// With dots: `items.0.sku`.
    pub(super) field: Option<String>,
    pub(super) problem: Problem,
    pub(super) expected: Option<String>,
    pub(super) given: Option<String>,
    /// The type of what was given, where the validator names only the type.
    pub(super) given_type: Option<String>,
    /// The number of errors, if the validator reports several or counts them.
    pub(super) count: Option<usize>,
    /// What the validator calls this kind of error: `int_parsing`, `invalid_type`, `enum`.
    pub(super) kind: Option<String>,
    /// The sentence of the validator.
    pub(super) message: Option<String>,
}

impl Violation {
    fn says_something(&self) -> bool {
        self.field.is_some() || self.expected.is_some() || self.given.is_some()
    }
}

/// The violation that a message describes. `is_field` tells whether a word is the name of a field; sentences of applications are read only if it is, or if
/// the word looks like one.
pub(super) fn in_message(text: &str, is_field: &dyn Fn(&str) -> bool) -> Option<Violation> {
    // A list as it is may hold escaped quotes in its sentences, which are part of the JSON.
    let as_it_is = Some(text).filter(|text| text.contains('\\')).and_then(listed);
    let text = unescaped(text);
    let count = wordings::count(&text);
    let listed = as_it_is.filter(|found| found.field.is_some()).or_else(|| listed(&text).filter(|found| found.field.is_some()));
    let found = listed.or_else(|| wordings::find(&text, is_field)).filter(Violation::says_something)?;
    Some(Violation { count: count.or(found.count), ..found })
}

/// A text in which escaped line feeds and quotes are plain, however often it was escaped.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        let mut backslashes = 1;
        while chars.next_if_eq(&'\\').is_some() {
            backslashes += 1;
        }
        match chars.peek() {
            Some('"' | '\'' | '/') => {}
            Some('n') => {
                chars.next();
                plain.push('\n');
            }
            Some('t') => {
                chars.next();
                plain.push(' ');
            }
            _ => plain.extend(std::iter::repeat_n('\\', backslashes.min(2))),
        }
    }
    Cow::Owned(plain)
}

/// The first error of a list in the text.
fn listed(text: &str) -> Option<Violation> {
    /// Places where a list or an object may start.
    const STARTS_MAX: usize = 6;
    let starts = text.match_indices(['[', '{']).map(|(at, _)| at);
    starts.take(STARTS_MAX).find_map(|at| of_value(&Parsed::of_result(text.get(at..)?)?.value, 0))
}

fn of_value(value: &Value<'_>, depth: usize) -> Option<Violation> {
    /// `{"error": {"details": {"issues": [{…}]}}}`.
    const DEPTH_MAX: usize = 4;
    match value {
        Value::List(list) => {
            let first = list.items.iter().find_map(|item| if let Value::Object(object) = item { of_object(object) } else { None })?;
            Some(Violation { count: (list.len > 1).then_some(list.len), ..first })
        }
        Value::Object(object) => of_object(object).or_else(|| {
            let lists = ["errors", "issues", "detail", "details", "error", "data", "validationerrors", "cause", "name"];
            let inner = lists.iter().filter_map(|key| object.get(&[key])).filter(|_| depth < DEPTH_MAX);
            inner.into_iter().find_map(|value| of_value(value, depth + 1))
        }),
        _ => None,
    }
}

/// One error: `{"type": "missing", "loc": ["order_id"], "msg": "Field required"}`.
fn of_object(object: &Object<'_>) -> Option<Violation> {
    let text = |key: &str| object.text(&[key]).map(|text| text.decoded(VALUE_BYTES_MAX).into_owned());
    let path = object.get(&["loc", "path", "instancepath", "datapath"])?;
    // Some applications keep only the code.
    let message = text("msg").or_else(|| text("message")).or_else(|| text("code").filter(|_| text("expected").is_some()))?;
    let (code, keyword) = (text("type").or_else(|| text("code")).unwrap_or_default(), text("keyword").unwrap_or_default());
    let params = if let Some(Value::Object(params)) = object.get(&["params"]) { Some(params) } else { None };
    let parameter = |key: &str| params.and_then(|params| scalar(params.get(&[key])?));
    let received = text("received");
    let is_undefined = received.as_deref() == Some("undefined") || message.ends_with("received undefined");
    let keys = object.get(&["keys"]).and_then(|keys| if let Value::List(list) = keys { scalar(list.items.first()?) } else { None });
    let of_path = path_of(path);
    let below = |name: Option<String>| match (&of_path, name) {
        (Some(path), Some(name)) => Some(format!("{path}.{name}")),
        (None, Some(name)) => Some(name),
        (path, None) => path.clone(),
    };
    let (problem, field) = if code.contains("missing") || is_undefined || keyword == "required" || matches!(message.as_str(), "Required") {
        (Problem::Missing, below(parameter("missingproperty")))
    } else if matches!(code.as_str(), "extra_forbidden" | "unexpected_keyword_argument" | "value_error.extra" | "unrecognized_keys")
        || keyword == "additionalProperties"
    {
        (Problem::Unexpected, below(keys.or_else(|| parameter("additionalproperty"))))
    } else {
        (Problem::Invalid, of_path.clone())
    };
    let kind = Some(if code.is_empty() { keyword } else { code }).filter(|kind| wordings::is_kind(kind));
    let sentence = Some(message.trim().to_owned()).filter(|message| message.contains(' '));
    if problem != Problem::Invalid {
        return Some(Violation { field, problem, kind, message: sentence, ..Violation::default() });
    }
    let options = object.get(&["options", "values"]).and_then(|options| if let Value::List(list) = options { Some(list) } else { None });
    let options = options.map(|list| list.items.iter().filter_map(scalar).collect::<Vec<_>>().join(", "));
    let of_wording = wordings::of_sentence(&message);
    let expected = options.or_else(|| text("expected")).or_else(|| parameter("type")).or_else(|| parameter("format"));
    // Zod's `received` is a type, except of an enumeration.
    let is_type = |word: &String| wordings::is_type(word);
    Some(Violation {
        field,
        problem,
        expected: expected.or(of_wording.expected).or_else(|| Some(message.trim().trim_end_matches('.').to_owned())),
        given: object.get(&["input", "value"]).and_then(scalar).or_else(|| received.clone().filter(|word| !is_type(word))),
        given_type: received.filter(is_type).or(of_wording.given_type),
        count: None,
        kind,
        message: sentence,
    })
}

/// Bytes of a value that are read.
const VALUE_BYTES_MAX: usize = 400;

/// The path of a field with dots. `body`, `query` and `args` say where the arguments were, and are left out.
fn path_of(value: &Value<'_>) -> Option<String> {
    const PARTS_MAX: usize = 12;
    const PLACES: [&str; 8] = ["body", "query", "header", "args", "kwargs", "arguments", "input", "params"];
    let joined = match value {
        Value::Text(text) => wordings::dotted(&text.decoded(VALUE_BYTES_MAX)),
        Value::List(list) => {
            let part = |item: &Value<'_>| match item {
                // Valibot's path items are objects.
                Value::Object(object) => scalar(object.get(&["key"])?),
                item => scalar(item),
            };
            let mut parts: Vec<String> = list.items.iter().take(PARTS_MAX).filter_map(part).collect();
            if parts.len() > 1 && parts.first().is_some_and(|first| PLACES.contains(&first.as_str())) {
                parts.remove(0);
            }
            parts.join(".")
        }
        _ => return None,
    };
    (!joined.is_empty()).then_some(joined)
}

/// A text or a number as a text.
fn scalar(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.decoded(VALUE_BYTES_MAX).into_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Word(word) => Some((*word).to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, problem: Problem, field: &str, expected: &str, given: &str) {
        let found = in_message(text, &|_| false).unwrap_or_default();
        let values = (found.problem, found.field.as_deref(), found.expected.as_deref(), found.given.as_deref());
        let some = |text: &'static str| Some(text).filter(|text| !text.is_empty());
        let (field, expected, given): (&'static str, &'static str, &'static str) =
            (String::from(field).leak(), String::from(expected).leak(), String::from(given).leak());
        assert_eq!(values, (problem, some(field), some(expected), some(given)), "{text}");
    }

    #[test]
    fn lists_of_errors_are_read() {
        use Problem::{Invalid, Missing, Unexpected};
        for (text, problem, field, expected, given) in [
            (
                r#"2 validation errors: [{"type": "missing", "loc": ["order_id"], "msg": "Field required", "input": {}}, {"type": "x"}]"#,
                Missing,
                "order_id",
                "",
                "",
            ),
            (
                r"[{'type': 'int_parsing', 'loc': ('body', 'items', 0, 'count'), 'msg': 'Input should be a valid integer, unable to parse string as an integer', 'input': 'two'}]",
                Invalid,
                "items.0.count",
                "a valid integer",
                "two",
            ),
            (r#"{"detail":[{"type":"missing","loc":["body","order_id"],"msg":"Field required"}]}"#, Missing, "order_id", "", ""),
            (
                r#"MCP error -32602: Invalid arguments for tool lookup: [{"code":"invalid_type","expected":"number","received":"string","path":["days"],"message":"Expected number, received string"}]"#,
                Invalid,
                "days",
                "number",
                "",
            ),
            (
                r#"[{"code":"invalid_type","expected":"string","received":"undefined","path":["order","id"],"message":"Required"}]"#,
                Missing,
                "order.id",
                "",
                "",
            ),
            (
                r#"[{"expected":"string","code":"invalid_type","path":["city"],"message":"Invalid input: expected string, received undefined"}]"#,
                Missing,
                "city",
                "",
                "",
            ),
            (
                r#"[{"code":"unrecognized_keys","keys":["unit"],"path":[],"message":"Unrecognized key(s) in object: 'unit'"}]"#,
                Unexpected,
                "unit",
                "",
                "",
            ),
            (
                r#"[{"received":"kelvin","code":"invalid_enum_value","options":["celsius","fahrenheit"],"path":["unit"],"message":"Invalid enum value."}]"#,
                Invalid,
                "unit",
                "celsius, fahrenheit",
                "kelvin",
            ),
            (
                r##"[{"instancePath":"/days","schemaPath":"#/properties/days/type","keyword":"type","params":{"type":"integer"},"message":"must be integer"}]"##,
                Invalid,
                "days",
                "integer",
                "",
            ),
            (
                r#"[{"instancePath":"","keyword":"required","params":{"missingProperty":"order_id"},"message":"must have required property 'order_id'"}]"#,
                Missing,
                "order_id",
                "",
                "",
            ),
            (
                "Validation failed: [\\n  {\\n    \\\"code\\\": \\\"too_small\\\",\\n    \\\"minimum\\\": 1,\\n    \\\"path\\\": [\\\"rooms\\\"],\\n    \\\"message\\\": \\\"Number must be greater than 0\\\"\\n  }\\n]",
                Invalid,
                "rooms",
                "greater than 0",
                "",
            ),
        ] {
            check(text, problem, field, expected, given);
        }
        let several = in_message(
            r#"[{"loc":["a"],"msg":"Field required","type":"missing"},{"loc":["b"],"msg":"Field required","type":"missing"}]"#,
            &|_| false,
        );
        assert_eq!(several.unwrap().count, Some(2));
    }

    #[test]
    fn escapes_are_removed_however_many_there_are() {
        assert_eq!(unescaped(r#"a\nb \"c\" \\\"d\\\" \\n e"#), "a\nb \"c\" \"d\" \n e");
        assert_eq!(unescaped(r"C:\dir"), r"C:\dir");
        assert_eq!(unescaped("plain"), "plain");
    }

    #[test]
    fn other_lists_are_no_violations() {
        for text in [r#"{"results": [{"path": "/a.txt", "size": 7}]}"#, "[1, 2, 3]", "connection refused", "", "[{}]"] {
            assert_eq!(in_message(text, &|_| false), None, "{text}");
        }
    }
}
