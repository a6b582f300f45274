//! Where a value of the failed call was copied from: the field of an earlier result that holds it, the field beside it that fits the argument, and what
//! the record of the value says about its state.

use super::arguments::{GIVEN_VALUE, INVALID_ARGUMENT};
use super::call::{RecordedCall, contains_word, is_searchable};
use super::calls::calls_of;
use super::earlier::EarlierResult;
use super::names::fact_names;
use super::records::{FieldValue, Record, records_in, with_parents};
use super::retrieval::FILTERS;
use super::tool_call::MISSING_RESOURCE;
use super::{Case, Extractor, Facts, Place, shortened};

fact_names! {
    COPIED_ARGUMENT = "copied_argument", Text, "the argument whose value stands in an earlier result";
    COPIED_VALUE = "copied_value", Text, "the value of that argument";
    COPIED_FIELD = "copied_field", Text, "the field of the earlier result with that value";
    COPIED_FROM = "copied_from", Text, "the tool or step with that result";
    FITTING_FIELD = "fitting_field", Text, "the field of the same record that fits the argument";
    FITTING_VALUE = "fitting_value", Text, "the value of the field that fits the argument";
    RECORD_STATE = "record_state", Text, "what the record of the value says about its state";
    RECORD_STATE_TIME = "record_state_time", Text, "the time of that state, as the record has it";
    SAME_ARGUMENT_TOOL = "same_argument_tool", Text, "another tool to which the run gave the same argument with another value";
    SAME_ARGUMENT_VALUE = "same_argument_value", Text, "the value of the argument in the call of the other tool";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

const VALUE_CHARS_MAX: usize = 100;
/// Arguments that are searched.
const ARGUMENTS_MAX: usize = 24;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let is_of_call = case.is(&["invalid_tool_arguments", "tool_resource_not_found", "tool_exception"]);
    if !is_of_call && !case.is(&["empty_retrieval", "irrelevant_retrieval"]) {
        return;
    }
    let mut arguments = if is_of_call { arguments_of(case) } else { Vec::new() };
    let filters = facts.get(&FILTERS).map(|filters| scalars(&records_in(filters))).unwrap_or_default();
    arguments.extend(filters.iter().cloned());
    arguments.truncate(ARGUMENTS_MAX);
    // Those that the error is about come first.
    let named = [&INVALID_ARGUMENT, &MISSING_RESOURCE, &GIVEN_VALUE].map(|name| facts.get(name).map(str::to_owned));
    let is_named = |argument: &Argument| {
        let is_one = named.iter().flatten().any(|name| *name == argument.name || *name == argument.value);
        is_one || case.messages().any(|(_, text)| contains_word(text, &argument.value.to_lowercase()))
    };
    arguments.sort_by_key(|argument| !is_named(argument));
    let searchable: Vec<&Argument> = arguments.iter().filter(|argument| is_specific(&argument.value)).collect();
    if !searchable.is_empty() {
        let results = case.earlier_results();
        let mut best: Option<(u8, Copied<'_>)> = None;
        for argument in searchable {
            let Some(copied) = copied(argument, results) else { continue };
            // A field that fits better, or a state, explains more than a source alone.
            // An argument that the error does not speak of may be right, unless it is the filter of a search that found nothing.
            let is_about = is_named(argument) || filters.contains(argument);
            let score = u8::from(copied.fitting.is_some()) * 4 + u8::from(copied.state.is_some()) * 4 + 1;
            if is_about && best.as_ref().is_none_or(|(known, _)| score > *known) {
                best = Some((score, copied));
            }
        }
        if let Some((_, copied)) = best {
            add_copied(&copied, facts);
        }
    }
    add_same_argument(case, facts);
}

/// An argument with its value as text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Argument {
    name: String,
    value: String,
}

fn arguments_of(case: &Case<'_, '_>) -> Vec<Argument> {
    const ARGUMENTS_BYTES_MAX: usize = 64 * 1024;
    let Some(call) = RecordedCall::of(case).filter(|call| call.arguments.len() <= ARGUMENTS_BYTES_MAX) else { return Vec::new() };
    scalars(&records_in(call.arguments))
}

/// The texts and numbers of records. The operator of a filter, as in `{"client": {"$eq": "K-1"}}`, is not the name of a value.
fn scalars(records: &[Record]) -> Vec<Argument> {
    let name_of = |record: &Record, key: &str| {
        let is_operator = key.starts_with('$') || matches!(key, "eq" | "equals" | "value" | "match" | "in" | "any");
        if is_operator && !record.name.is_empty() { record.name.clone() } else { key.to_owned() }
    };
    let of_record = |record: &Record| {
        let values = record.fields.iter().flat_map(|(key, value)| {
            let texts: Vec<&str> = match value {
                FieldValue::List(_, texts) => texts.iter().map(String::as_str).collect(),
                other => other.as_scalar().into_iter().collect(),
            };
            texts.into_iter().map(|value| Argument { name: name_of(record, key), value: value.to_owned() }).collect::<Vec<_>>()
        });
        values.collect::<Vec<_>>()
    };
    records.iter().flat_map(of_record).take(ARGUMENTS_MAX * 2).collect()
}

/// Whether a value occurs in another place only because it was copied from there: an id or a name, not a small number or a word of an enum.
fn is_specific(value: &str) -> bool {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b','));
    let length = value.chars().count();
    is_searchable(value) && length <= 120 && if is_number { length >= 5 } else { length >= 4 }
}

/// An argument with the field that has its value.
struct Copied<'r> {
    argument: &'r Argument,
    result: &'r EarlierResult<'r>,
    field: &'r str,
    fitting: Option<(&'r str, &'r str)>,
    state: Option<(&'r str, String)>,
    time: Option<&'r str>,
}

/// The field with the value of an argument: one whose name fits the argument, else the last one.
fn copied<'r>(argument: &'r Argument, results: &'r [EarlierResult<'r>]) -> Option<Copied<'r>> {
    let mut found: Option<(u8, &EarlierResult<'_>, usize, &str)> = None;
    for result in results.iter().filter(|result| result.text.contains(argument.value.as_str())) {
        for (index, record) in result.records.iter().enumerate() {
            let fields = record.fields.iter().filter(|(key, value)| value.as_scalar().is_some_and(|value| is_source(argument, key, value)));
            for (key, _) in fields {
                let score = fit(&argument.name, key);
                if found.as_ref().is_none_or(|(known, ..)| score >= *known) {
                    found = Some((score, result, index, key));
                }
            }
        }
    }
    let (score, result, index, field) = found?;
    let fitting = (score < FITS).then(|| fitting_field(argument, field, &result.records, index)).flatten();
    let state = with_parents(&result.records, index).take(2).find_map(state_of);
    let time = state.as_ref().and_then(|_| with_parents(&result.records, index).take(2).find_map(time_of_state));
    Some(Copied { argument, result, field, fitting, state, time })
}

/// Whether a field has the value of an argument. A name may be shortened: `Acme Rail` for `Acme Rail Holding AG`.
fn is_source(argument: &Argument, key: &str, value: &str) -> bool {
    const NAME_CHARS_MIN: usize = 6;
    let is_shortened = || {
        let rest = value.strip_prefix(argument.value.as_str());
        is_display_name(key)
            && argument.value.chars().count() >= NAME_CHARS_MIN
            && rest.is_some_and(|rest| rest.starts_with([' ', ',', '-', '(']))
    };
    value == argument.value || is_shortened()
}

/// A field of the record, or of those around it, that fits the argument better than the one that was copied.
fn fitting_field<'r>(argument: &Argument, copied: &str, records: &'r [Record], index: usize) -> Option<(&'r str, &'r str)> {
    let candidates = with_parents(records, index).take(3).flat_map(|record| record.fields.iter()).filter_map(|(key, value)| {
        let value = value.as_scalar().filter(|value| *value != argument.value && value.chars().count() <= VALUE_CHARS_MAX)?;
        let is_id = is_display_name(copied) && is_identifier(key) && value.chars().count() >= 2;
        let score = fit(&argument.name, key).max(if is_id { FITS } else { 0 });
        (score >= FITS && is_same_shape(&argument.value, value, is_id)).then_some((score, key.as_str(), value))
    });
    // Of equal ones the nearest.
    let best = candidates.fold(None, |best: Option<(u8, &str, &str)>, item| best.filter(|best| best.0 >= item.0).or(Some(item)));
    best.map(|(_, key, value)| (key, value))
}

/// Whether a value may stand in place of another: both numbers, or both texts without spaces.
fn is_same_shape(one: &str, other: &str, is_name: bool) -> bool {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // Redaction replaces one of two numbers by a token, if it looks like that of a phone.
    let is_token = |text: &str| text.starts_with('<') && text.ends_with('>');
    is_name || is_token(one) || is_token(other) || (is_number(one) == is_number(other) && one.contains(' ') == other.contains(' '))
}

/// From here on a field fits an argument.
const FITS: u8 = 2;

/// How well the name of a field fits that of an argument.
fn fit(argument: &str, key: &str) -> u8 {
    // `start_date` is not the `date` of another thing.
    const GENERIC: [&str; 12] = ["name", "type", "date", "time", "value", "text", "data", "status", "title", "content", "query", "message"];
    let (argument, key) = (letters(argument), letters(key));
    if argument == key {
        return 4;
    }
    if IDENTIFIERS.contains(&key.as_str()) && argument.ends_with(key.as_str()) {
        return 3;
    }
    let is_generic = GENERIC.contains(&key.as_str()) || GENERIC.contains(&argument.as_str());
    let is_long = key.len() >= 4 && argument.len() >= 4;
    let is_end = || argument.ends_with(key.as_str()) || key.ends_with(argument.as_str());
    let is_start = || key.starts_with(argument.as_str()) && is_identifier(&key);
    if !is_generic && is_long && (is_end() || is_start()) { FITS } else { 0 }
}

/// A name in lower case without separators.
pub(super) fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Names of fields by which a thing is found.
const IDENTIFIERS: [&str; 22] = [
    "id",
    "uuid",
    "guid",
    "gid",
    "oid",
    "key",
    "code",
    "slug",
    "handle",
    "number",
    "nummer",
    "no",
    "nr",
    "kennung",
    "identifier",
    "ref",
    "reference",
    "sku",
    "symbol",
    "ticker",
    "iso",
    "arn",
];

fn is_identifier(key: &str) -> bool {
    let key = letters(key);
    IDENTIFIERS.iter().any(|word| key == *word || (word.len() > 1 && key.len() > word.len() && key.ends_with(word)))
}

/// Names of fields that people read.
fn is_display_name(key: &str) -> bool {
    const WORDS: [&str; 14] = [
        "name",
        "title",
        "label",
        "displayname",
        "fullname",
        "description",
        "bezeichnung",
        "titel",
        "nombre",
        "titulo",
        "nom",
        "nome",
        "anzeigename",
        "caption",
    ];
    WORDS.contains(&letters(key).as_str()) || letters(key).ends_with("name")
}

/// The field that says that a record is no longer, or not yet, of use.
fn state_of(record: &Record) -> Option<(&str, String)> {
    const GONE: [&str; 19] = [
        "expired",
        "deleted",
        "archived",
        "removed",
        "revoked",
        "disabled",
        "cancelled",
        "canceled",
        "closed",
        "locked",
        "deprecated",
        "inactive",
        "draft",
        "trashed",
        "suspended",
        "blocked",
        "isdeleted",
        "isexpired",
        "isarchived",
    ];
    const PRESENT: [&str; 9] = ["active", "enabled", "available", "exists", "found", "valid", "published", "isactive", "instock"];
    record.fields.iter().find_map(|(key, value)| {
        let name = letters(key);
        let is_told = match value {
            FieldValue::Bool(true) => GONE.contains(&name.as_str()),
            FieldValue::Bool(false) => PRESENT.contains(&name.as_str()),
            FieldValue::Text(text) | FieldValue::Word(text) => {
                matches!(name.as_str(), "status" | "state" | "lifecycle" | "lifecyclestate") && GONE.contains(&letters(text).as_str())
            }
            _ => false,
        };
        let written = match value {
            FieldValue::Bool(is_set) => is_set.to_string(),
            other => other.as_scalar().unwrap_or_default().to_owned(),
        };
        is_told.then_some((key.as_str(), written))
    })
}

fn time_of_state(record: &Record) -> Option<&str> {
    const STARTS: [&str; 11] =
        ["expire", "expiry", "expiration", "delete", "archive", "remove", "revoke", "disable", "cancel", "deprecat", "suspend"];
    record.fields.iter().find_map(|(key, value)| {
        let name = letters(key);
        let is_time = STARTS.iter().any(|start| name.starts_with(start));
        value.as_scalar().filter(|value| is_time && value.len() >= 8 && value.contains(|c: char| c.is_ascii_digit()))
    })
}

fn add_copied(copied: &Copied<'_>, facts: &mut Facts) {
    let place = |value: &str| copied.result.place(value);
    facts.add(&COPIED_ARGUMENT, shortened(&copied.argument.name, VALUE_CHARS_MAX), Place::Trace);
    facts.add(&COPIED_VALUE, &copied.argument.value, place(&copied.argument.value));
    facts.add(&COPIED_FIELD, shortened(copied.field, VALUE_CHARS_MAX), place(copied.field));
    facts.add(&COPIED_FROM, shortened(&copied.result.tool, VALUE_CHARS_MAX), Place::Span(copied.result.span));
    if let Some((key, value)) = copied.fitting {
        facts.add(&FITTING_FIELD, shortened(key, VALUE_CHARS_MAX), place(key));
        facts.add(&FITTING_VALUE, value, place(value));
    }
    if let Some((key, value)) = &copied.state {
        facts.add(&RECORD_STATE, format!("{key} = {value}"), Place::Span(copied.result.span));
        if let Some(time) = copied.time {
            facts.add(&RECORD_STATE_TIME, time, place(time));
        }
    }
}

/// Another tool that had the rejected argument under the same name, with another value, before the failure.
fn add_same_argument(case: &Case<'_, '_>, facts: &mut Facts) {
    if !case.is(&["invalid_tool_arguments"]) {
        return;
    }
    let (Some(argument), Some(failed)) = (facts.get(&INVALID_ARGUMENT).map(str::to_owned), case.root) else { return };
    let Some(failed_call) = RecordedCall::of(case) else { return };
    let own = arguments_of(case).into_iter().find(|own| own.name == argument);
    let given = own.map(|own| own.value).or_else(|| facts.get(&GIVEN_VALUE).map(str::to_owned));
    let Some(given) = given else { return };
    let calls = calls_of(case);
    let is_before = |at: Option<i64>| at.is_none_or(|at| failed.span.started_at_ns.is_none_or(|failed| at <= failed));
    let others =
        calls.iter().rev().filter(|call| call.name != failed_call.name && !call.span.failed() && is_before(call.span.started_at_ns));
    for call in others.take(50) {
        let found = scalars(&records_in(super::texts::head(call.arguments, 16 * 1024)));
        if let Some(other) =
            found.iter().find(|other| fit(&argument, &other.name) >= FITS && other.value != given && other.value.len() >= 2)
        {
            let field = if call.has_span { "tool.arguments" } else { "" };
            let is_written = call.has_span && call.arguments.contains(other.value.as_str());
            let place = if is_written { Place::Field(call.span, field) } else { Place::Span(call.span) };
            facts.add(&SAME_ARGUMENT_VALUE, shortened(&other.value, VALUE_CHARS_MAX), place);
            facts.add(&SAME_ARGUMENT_TOOL, shortened(call.name, VALUE_CHARS_MAX), Place::Span(call.span));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, Span, SpanKind, Status, ToolUse, Trace};

    fn tool(at: i64, name: &str, arguments: &str, result: &str) -> Span {
        Span {
            span_id: at.to_string(),
            name: name.into(),
            kind: SpanKind::Tool,
            started_at_ns: Some(at * 10),
            ended_at_ns: Some(at * 10 + 5),
            tool: Some(ToolUse { name: name.into(), arguments: arguments.into(), result: Some(result.into()), ..ToolUse::default() }),
            ..Span::default()
        }
    }

    /// The facts of a run whose last call failed with a message.
    fn facts_of(label: &str, mut spans: Vec<Span>, message: &str) -> Facts {
        if let Some(last) = spans.last_mut() {
            (last.status, last.status_message) = (Status::Error, Some(message.into()));
        }
        let index = spans.len() - 1;
        let trace = Trace { spans, ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let mut root = Incident::new(&trace, index, IncidentKind::Error).unwrap();
        root.texts.push(("status_message".into(), trace.spans[index].status_message.as_deref().unwrap()));
        let case = Case::new(&trace, &tree, &[], Some(&root), Label::parse(label).unwrap());
        let mut facts = Facts::default();
        (super::super::arguments::EXTRACTOR.add)(&case, &mut facts);
        add(&case, &mut facts);
        facts
    }

    #[test]
    fn the_field_beside_the_copied_one_that_fits_is_found() {
        for (result, arguments, message, copied, fitting, value) in [
            (
                r#"{"items": [{"id": "551200913", "props": {"owner": "Lea", "parent_account": "778120044"}}]}"#,
                r#"{"accountId": "778120044", "note": "call back"}"#,
                "400: account 778120044 is not valid",
                "parent_account",
                "id",
                "551200913",
            ),
            (
                r#"[{"employee_id": "E-1007", "manager_id": "E-0002"}]"#,
                r#"{"employeeId": "E-0002"}"#,
                "employee E-0002 may not be changed",
                "manager_id",
                "employee_id",
                "E-1007",
            ),
            (
                r"{'name': 'Bergbahn Arosa', 'code': 'bba-07'}",
                r#"{"customer": "Bergbahn Arosa"}"#,
                "unknown customer Bergbahn Arosa",
                "name",
                "code",
                "bba-07",
            ),
        ] {
            let facts = facts_of(
                "tool_misuse/invalid_tool_arguments",
                vec![tool(1, "lookup", "{}", result), tool(2, "change", arguments, "")],
                message,
            );
            let found = [&COPIED_FIELD, &FITTING_FIELD, &FITTING_VALUE, &COPIED_FROM].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [copied, fitting, value, "lookup"], "{result}");
        }
    }

    #[test]
    fn a_value_from_the_field_of_its_name_has_no_better_one() {
        let facts = facts_of(
            "tool_misuse/invalid_tool_arguments",
            vec![
                tool(1, "lookup", "{}", r#"{"order_id": "A-2210", "id": "row-17", "customer_id": "C-88"}"#),
                tool(2, "change", r#"{"orderId": "A-2210"}"#, ""),
            ],
            "order A-2210 is locked",
        );
        assert_eq!(facts.get(&COPIED_FIELD), Some("order_id"));
        assert!(!facts.has(&FITTING_FIELD));
    }

    #[test]
    fn the_record_of_the_value_tells_its_state() {
        for (result, state, time) in [
            (r#"[{"id": "art-90412", "expired": true, "expires_at": "2030-01-02T00:00:00Z"}]"#, "expired = true", "2030-01-02T00:00:00Z"),
            (r#"{"files": [{"id": "art-90412", "status": "archived"}]}"#, "status = archived", ""),
            (r#"{"id": "art-90412", "available": false}"#, "available = false", ""),
            (r#"{"id": "art-90412", "expired": false, "status": "ready"}"#, "", ""),
        ] {
            let facts = facts_of(
                "tool_failure/tool_resource_not_found",
                vec![tool(1, "list", "{}", result), tool(2, "get", r#"{"id": "art-90412"}"#, "")],
                "410 art-90412",
            );
            let found = [&RECORD_STATE, &RECORD_STATE_TIME].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [state, time], "{result}");
        }
    }
}
