//! What the run had instead of a missing key, column or value: a name of nearly the same spelling in an earlier result, and the earlier result that held
//! nothing, with the reason that it gives.

use super::arguments::{MISSING_PARAMETER, UNKNOWN_NAME};
use super::call::RecordedCall;
use super::earlier::EarlierResult;
use super::exception::{ATTRIBUTE_OWNER, ERROR_CODE, MISSING_ATTRIBUTE, MISSING_KEY, NULL_VALUE};
use super::find::{capture, expressions};
use super::names::fact_names;
use super::records::{FieldValue, Record, records_in};
use super::tool_offer::words_of;
use super::value_field::letters;
use super::{Case, Extractor, Facts, Place, shortened};

fact_names! {
    NEAREST_KEY = "nearest_key", Text, "the key with nearly the same name in an earlier result or in the input";
    NEAREST_KEY_IN = "nearest_key_in", Text, "the result, call or input that has that key";
    EMPTY_FIELD = "empty_field", Text, "the field of an earlier result that held nothing";
    EMPTY_RESULT_OF = "empty_result_of", Text, "the tool or step whose result held nothing";
    EMPTY_REASON = "empty_reason", Text, "the reason that the result gives for holding nothing";
    EMPTY_ARGUMENTS = "empty_arguments", Text, "the arguments of the call whose result held nothing";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

const VALUE_CHARS_MAX: usize = 140;
const NAME_CHARS_MAX: usize = 60;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let is_code = case.is(&["application_exception", "tool_exception", "code_execution_error"]);
    if !is_code && !case.is(&["invalid_tool_arguments", "schema_violation"]) {
        return;
    }
    let is_null = is_code && (facts.has(&NULL_VALUE) || is_about_null(case));
    // The attribute of a value that is not there, or of a type of the language, says nothing about the keys of a result.
    let is_of_record = !is_null && facts.get(&ATTRIBUTE_OWNER).is_none_or(|owner| !is_builtin(owner));
    let attribute = facts.get(&MISSING_ATTRIBUTE).filter(|_| is_of_record);
    let missing = [&MISSING_KEY, &UNKNOWN_NAME, &MISSING_PARAMETER].iter().find_map(|name| facts.get(name)).or(attribute);
    let missing = missing.map(str::to_owned);
    if missing.is_none() && !is_null {
        return;
    }
    let results = case.earlier_results();
    if let Some(missing) = &missing {
        // Of a call without an argument, the argument may have another name.
        if !add_argument(case, missing, facts) {
            add_nearest(case, missing, results, facts);
        }
    }
    if is_null || (is_code && !facts.has(&NEAREST_KEY)) {
        let null = facts.get(&NULL_VALUE).map(str::to_owned);
        let code = facts.get(&ERROR_CODE).map(str::to_owned);
        let words = [null, code, missing].into_iter().flatten().flat_map(|text| identifiers(&text)).collect::<Vec<_>>();
        add_empty(&words, is_null, results, facts);
    }
}

/// Whether a type is one of the language, which has methods and no fields.
fn is_builtin(owner: &str) -> bool {
    const TYPES: [&str; 16] = [
        "list",
        "dict",
        "str",
        "int",
        "float",
        "tuple",
        "set",
        "bytes",
        "bool",
        "function",
        "coroutine",
        "generator",
        "module",
        "string",
        "array",
        "number",
    ];
    TYPES.contains(&owner.to_ascii_lowercase().as_str())
}

expressions! {
    NULL_ERROR = r"(NullPointerException|NullReferenceException|NoneType|[Nn]il pointer|nil:NilClass|for nil|of undefined|of null|is null|is undefined|is not iterable|Object reference not set|unexpectedly found nil|Option::unwrap|on null)";
}

/// Whether the error is that of a value that was not there.
fn is_about_null(case: &Case<'_, '_>) -> bool {
    let of_type = case.root.and_then(|root| root.error_type.as_deref()).is_some_and(|kind| capture(&NULL_ERROR, kind).is_some());
    of_type || case.messages().any(|(_, text)| capture(&NULL_ERROR, text).is_some())
}

/// The argument of the failed call with nearly the name of the one that is missing. Returns whether there is one.
fn add_argument(case: &Case<'_, '_>, missing: &str, facts: &mut Facts) -> bool {
    if !facts.has(&MISSING_PARAMETER) {
        return false;
    }
    let Some(call) = RecordedCall::of(case).filter(|call| call.arguments.len() <= 64 * 1024) else { return false };
    let records = records_in(call.arguments);
    let Some((_, key)) = nearest_in(missing, &records) else { return false };
    facts.add(&NEAREST_KEY, shortened(key, VALUE_CHARS_MAX), Place::Span(call.span));
    facts.add(&NEAREST_KEY_IN, "the arguments of the call", Place::Span(call.span));
    true
}

/// The key with nearly the same name: of the last result, or in the input of the failed step.
fn add_nearest(case: &Case<'_, '_>, missing: &str, results: &[EarlierResult<'_>], facts: &mut Facts) {
    let of_results = results.iter().rev().filter_map(|result| {
        let (score, key) = nearest_in(missing, &result.records).or_else(|| nearest_of(missing, header(result.text)))?;
        Some((score, key, result))
    });
    let best =
        of_results.fold(None, |best: Option<(usize, &str, &EarlierResult<'_>)>, item| best.filter(|best| best.0 >= item.0).or(Some(item)));
    if let Some((_, key, result)) = best {
        facts.add(&NEAREST_KEY, shortened(key, VALUE_CHARS_MAX), result.place(key));
        facts.add(&NEAREST_KEY_IN, format!("the result of {}", shortened(&result.tool, NAME_CHARS_MAX)), Place::Span(result.span));
        return;
    }
    let Some((span, text)) = case.step().and_then(|span| Some((span, span.input_text.as_deref()?))) else { return };
    let records = records_in(text);
    if let Some((_, key)) = nearest_in(missing, &records) {
        let place = if text.contains(key) { Place::Field(span, "input_text") } else { Place::Span(span) };
        facts.add(&NEAREST_KEY, shortened(key, VALUE_CHARS_MAX), place);
        facts.add(&NEAREST_KEY_IN, "the input of the step", Place::Span(span));
    }
}

/// Keys and columns of records.
fn keys_of(records: &[Record]) -> impl Iterator<Item = &str> {
    records.iter().flat_map(|record| record.fields.iter().map(|(key, _)| key.as_str()).chain(columns_of(record)))
}

/// The columns that a record lists.
fn columns_of(record: &Record) -> impl Iterator<Item = &str> {
    let is_columns =
        |key: &str| matches!(letters(key).as_str(), "columns" | "fields" | "header" | "headers" | "columnnames" | "fieldnames" | "keys");
    let lists = record.fields.iter().filter(move |(key, _)| is_columns(key)).filter_map(|(_, value)| match value {
        FieldValue::List(_, texts) => Some(texts.iter().map(String::as_str)),
        _ => None,
    });
    lists.flatten()
}

fn nearest_in<'r>(missing: &str, records: &'r [Record]) -> Option<(usize, &'r str)> {
    nearest_of(missing, keys_of(records))
}

/// The name that is most similar, if none is the missing one itself: the same letters, or so few edits that it is the same word.
fn nearest_of<'n>(missing: &str, names: impl IntoIterator<Item = &'n str>) -> Option<(usize, &'n str)> {
    const NAMES_MAX: usize = 2_000;
    const NAME_BYTES_MAX: usize = 80;
    let wanted = letters(missing);
    if !(2..=NAME_BYTES_MAX).contains(&wanted.len()) {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for name in names.into_iter().take(NAMES_MAX).filter(|name| name.len() <= NAME_BYTES_MAX) {
        if name == missing {
            return None;
        }
        let score = similarity(missing, name);
        if score >= SIMILAR && best.is_none_or(|(known, _)| score > known) {
            best = Some((score, name));
        }
    }
    best
}

/// Below this, names mean different things.
const SIMILAR: usize = 70;

/// How similar two names are, in hundredths: the same letters, few edits, or one with further words.
fn similarity(one: &str, other: &str) -> usize {
    /// Names that mean something else with another word: `name` and `file_name`.
    const GENERIC: [&str; 14] =
        ["name", "type", "date", "time", "value", "text", "data", "status", "title", "code", "label", "result", "message", "content"];
    let (first, second) = (letters(one), letters(other));
    if first == second {
        return 100;
    }
    let (short, long) = (first.chars().count().min(second.chars().count()), first.chars().count().max(second.chars().count()).max(1));
    let by_edits = if short >= 5 { 100 * long.saturating_sub(strsim::osa_distance(&first, &second)) / long } else { 0 };
    if by_edits >= 80 {
        return by_edits;
    }
    // `customer` and `customer_id`, `amount` and `total_amount`.
    let (one, other) = (words_of(one), words_of(other));
    let (few, many) = if one.len() < other.len() { (&one, &other) } else { (&other, &one) };
    let is_part = few.len() < many.len()
        && (many.starts_with(few) || many.ends_with(few))
        && !matches!(few.as_slice(), [word] if GENERIC.contains(&word.as_str()));
    if is_part && short >= 4 { SIMILAR } else { 0 }
}

/// The names in the first line of a table: `id,net_revenue` or `| id | net |`.
fn header(text: &str) -> impl Iterator<Item = &str> {
    const LINE_BYTES_MAX: usize = 2_000;
    let line = text.trim_start().lines().next().filter(|line| line.len() <= LINE_BYTES_MAX && !line.contains(['{', '[']));
    let separator = line.and_then(|line| [',', '|', '\t', ';'].into_iter().find(|separator| line.matches(*separator).count() > 0));
    let cells = line.zip(separator).map(|(line, separator)| line.split(separator).map(|cell| cell.trim().trim_matches('"')));
    cells.into_iter().flatten().filter(|cell| !cell.is_empty() && !cell.contains(' '))
}

/// The names in an expression: `order.getCustomer().name` has `order`, `getCustomer`, `Customer` and `name`.
fn identifiers(text: &str) -> Vec<String> {
    const IDENTIFIERS_MAX: usize = 24;
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.len() >= 3 && word.contains(char::is_alphabetic));
    let words = words.flat_map(|word| [Some(word), word.strip_prefix("get").filter(|rest| rest.len() >= 3)]).flatten();
    words.map(letters).take(IDENTIFIERS_MAX).collect()
}

/// The last result that held nothing under one of these names, or that says that it found nothing.
fn add_empty(words: &[String], is_null: bool, results: &[EarlierResult<'_>], facts: &mut Facts) {
    let found = results.iter().rev().find_map(|result| {
        let mut fields = result.records.iter().flat_map(|record| record.fields.iter().map(move |field| (record, field)));
        let named = fields.find(|(_, (key, value))| value.is_empty() && words.contains(&letters(key)));
        let (record, key) = named.map(|(record, (key, _))| (record, key.as_str())).or_else(|| {
            let has_none = |record: &&Record| is_null && record.fields.iter().any(|(key, value)| says_none(key, value));
            let record = result.records.iter().take(2).find(has_none)?;
            let field = record.fields.iter().find(|(key, value)| value.is_empty() || says_none(key, value));
            Some((record, field?.0.as_str()))
        })?;
        Some((result, record, key))
    });
    let Some((result, record, key)) = found else { return };
    facts.add(&EMPTY_FIELD, shortened(key, VALUE_CHARS_MAX), result.place(key));
    facts.add(&EMPTY_RESULT_OF, shortened(&result.tool, VALUE_CHARS_MAX), Place::Span(result.span));
    if let Some(reason) = reason_of(record) {
        facts.add(&EMPTY_REASON, shortened(reason, VALUE_CHARS_MAX), result.place(reason));
    }
    let arguments = result.span.tool.as_ref().map(|tool| tool.arguments.trim()).filter(|text| !matches!(*text, "" | "{}" | "null"));
    if let Some(arguments) = arguments.filter(|_| result.field == "tool.result") {
        facts.add(
            &EMPTY_ARGUMENTS,
            shortened(arguments, VALUE_CHARS_MAX).trim_end_matches('…'),
            Place::Field(result.span, "tool.arguments"),
        );
    }
}

/// Whether a field says that nothing was found.
fn says_none(key: &str, value: &FieldValue) -> bool {
    let name = letters(key);
    match value {
        FieldValue::Bool(false) => matches!(name.as_str(), "found" | "exists" | "isfound" | "matched" | "hasresult" | "hasresults"),
        FieldValue::Word(number) => {
            number == "0" && matches!(name.as_str(), "count" | "total" | "totalcount" | "hits" | "rowcount" | "matches")
        }
        FieldValue::Text(text) => name == "status" && matches!(letters(text).as_str(), "notfound" | "missing" | "none" | "empty"),
        _ => false,
    }
}

/// The sentence in which a record says why.
fn reason_of(record: &Record) -> Option<&str> {
    const WORDS: [&str; 12] =
        ["reason", "hint", "message", "warning", "note", "detail", "details", "info", "error", "explanation", "description", "remark"];
    let text = |word: &str| record.fields.iter().find(|(key, _)| letters(key) == word).and_then(|(_, value)| value.as_scalar());
    WORDS.iter().find_map(|word| text(word).filter(|text| text.trim().len() >= 8))
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, Span, SpanKind, Status, ToolUse, Trace};

    fn facts_of(result: &str, error_type: &str, message: &str) -> Facts {
        let tool = Span {
            span_id: "1".into(),
            name: "load".into(),
            kind: SpanKind::Tool,
            started_at_ns: Some(10),
            ended_at_ns: Some(15),
            tool: Some(ToolUse {
                name: "load".into(),
                arguments: r#"{"code": "K-7"}"#.into(),
                result: Some(result.into()),
                ..ToolUse::default()
            }),
            ..Span::default()
        };
        let failed = Span {
            span_id: "2".into(),
            name: "build".into(),
            kind: SpanKind::Chain,
            started_at_ns: Some(20),
            ended_at_ns: Some(25),
            status: Status::Error,
            error_type: Some(error_type.into()),
            status_message: Some(message.into()),
            ..Span::default()
        };
        let trace = Trace { spans: vec![tool, failed], ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let mut root = Incident::new(&trace, 1, IncidentKind::Error).unwrap();
        root.texts.push(("status_message".into(), message));
        let label = Label::parse("environment_error/application_exception").unwrap();
        let case = Case::new(&trace, &tree, &[], Some(&root), label);
        let mut facts = Facts::default();
        (super::super::exception::EXTRACTOR.add)(&case, &mut facts);
        add(&case, &mut facts);
        facts
    }

    #[test]
    fn a_key_of_nearly_the_same_name_is_found() {
        for (result, key, nearest) in [
            (r#"{"rows": [{"unitPrice": 3, "qty": 2}]}"#, "unit_price", "unitPrice"),
            (r#"[{"customer_id": 1}]"#, "customerId", "customer_id"),
            (r#"{"columns": ["city", "Postal Code"], "data": [[1, 2]]}"#, "postal_code", "Postal Code"),
            ("city,postalcode\nGraz,8010", "postal_code", "postalcode"),
            (r#"{"adress": "x"}"#, "address", "adress"),
            (r#"{"total_amount": 4}"#, "amount", "total_amount"),
            (r#"{"amount": 4}"#, "amount", ""),
            (r#"{"file_name": "x", "username": "y"}"#, "name", ""),
            (r#"{"city": "Graz"}"#, "amount", ""),
        ] {
            let facts = facts_of(result, "KeyError", &format!("KeyError: '{key}'"));
            assert_eq!(facts.get(&NEAREST_KEY).unwrap_or_default(), nearest, "{result}");
            assert_eq!(facts.get(&NEAREST_KEY_IN).unwrap_or_default(), if nearest.is_empty() { "" } else { "the result of load" });
        }
    }

    #[test]
    fn the_result_that_held_nothing_is_found_with_its_reason() {
        let java = r#"Cannot invoke "com.acme.Contract.owner()" because "contract" is null"#;
        for (result, kind, message, field, reason) in [
            (
                r#"{"contract": null, "reason": "moved to the archive in 2030"}"#,
                "NullPointerException",
                java,
                "contract",
                "moved to the archive in 2030",
            ),
            (
                r#"{"found": false, "message": "no contract under K-7"}"#,
                "AttributeError",
                "'NoneType' object has no attribute 'owner'",
                "found",
                "no contract under K-7",
            ),
            (r#"{"contract": {"id": 1}}"#, "NullPointerException", java, "", ""),
            (r#"{"next": null, "contract": {"id": 1}}"#, "NullPointerException", java, "", ""),
        ] {
            let facts = facts_of(result, kind, message);
            let found = [&EMPTY_FIELD, &EMPTY_REASON].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [field, reason], "{result}");
        }
    }
}
