//! A value that was copied from the result of one tool into the argument of another whose name says another unit: `{"amount_cents": 4590}` and then
//! `{"amount_eur": 4590}`. Both names carry their unit and are otherwise the same, so that the value is wrong whatever the tool makes of it.

use serde_json::Value;

use super::incident::{Incident, IncidentKind};
use super::signals::Signal;
use crate::model::{Span, SpanKind, Trace};

/// Larger texts are not read.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Bytes of all results together that are read. In a chat history each message is repeated by every later call.
const RESULTS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Fields with a unit that are kept of all results.
const FIELDS_MAX: usize = 2_000;

/// Units by dimension; the first word of each unit is its name.
const DIMENSIONS: [&[&[&str]]; 6] = [
    &[&["cents", "cent", "pence", "minor"], &["eur", "euro", "euros"], &["usd", "dollar", "dollars"], &["gbp"], &["chf"], &["jpy", "yen"]],
    &[
        &["ms", "millis", "milliseconds", "msec"],
        &["s", "sec", "secs", "seconds"],
        &["min", "mins", "minutes"],
        &["h", "hours", "hrs"],
        &["days"],
        &["us", "micros", "microseconds"],
        &["ns", "nanos", "nanoseconds"],
    ],
    &[&["km", "kilometers", "kilometres"], &["mi", "miles"], &["meters", "metres"], &["cm"], &["mm"], &["ft", "feet"], &["inches"]],
    &[&["kg", "kilograms"], &["g", "grams"], &["lb", "lbs"], &["oz", "ounces"]],
    &[&["celsius"], &["fahrenheit"], &["kelvin"]],
    &[&["bytes"], &["kb"], &["mb"], &["gb"], &["tb"], &["kib"], &["mib"], &["gib"]],
];

/// A number in a field whose name ends with a unit.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    /// The name as it is written.
    field: String,
    /// The name without the unit, in lower case.
    stem: String,
    dimension: usize,
    unit: &'static str,
    number: f64,
}

/// The first call with such an argument, unless its number stands in the request as well.
pub(super) fn find(trace: &Trace) -> Option<Incident<'_>> {
    let mut arguments = trace.spans.iter().filter_map(|span| span.tool.as_ref().filter(|_| span.kind == SpanKind::Tool));
    if !arguments.any(|tool| !measured_in(&tool.arguments).is_empty()) {
        return None;
    }
    let mut known = KnownFields { fields: Vec::new(), budget: RESULTS_BYTES_MAX };
    for (index, span) in trace.spans.iter().enumerate() {
        if span.kind == SpanKind::Tool {
            let Some(tool) = span.tool.as_ref() else { continue };
            if let Some((source, argument)) =
                copied(&known.fields, &tool.arguments).filter(|(_, argument)| !is_in_request(trace, argument.number))
            {
                return incident(trace, index, &source, &argument);
            }
            known.add(tool.result.as_deref().unwrap_or_default());
        } else if span.tool.is_none() {
            // Results of tools without a span.
            let results = span.input.iter().filter(|message| message.role == "tool");
            results.for_each(|message| known.add(&message.content));
        }
    }
    None
}

fn incident<'t>(trace: &'t Trace, index: usize, source: &Measured, argument: &Measured) -> Option<Incident<'t>> {
    let mut incident = Incident::new(trace, index, IncidentKind::CopiedUnit)?;
    let tool = incident.span.tool.as_ref()?;
    incident.signals.push(Signal::new("argument", "copied_in_another_unit", "tool.arguments"));
    incident.signals.push(Signal::new("copied_field", &source.field, "tool.arguments"));
    incident.signals.push(Signal::new("argument_field", &argument.field, "tool.arguments"));
    incident.texts.push(("tool.arguments".into(), &tool.arguments));
    Some(incident)
}

/// A known value, and the argument into which it was copied in another unit. A value that is also known in the unit of the argument is right.
fn copied(known: &[Measured], arguments: &str) -> Option<(Measured, Measured)> {
    if known.is_empty() {
        return None;
    }
    measured_in(arguments).into_iter().find_map(|argument| {
        let alike = |other: &&Measured| {
            other.stem == argument.stem && other.dimension == argument.dimension && is_same(other.number, argument.number)
        };
        let source = known.iter().find(|other| alike(other) && other.unit != argument.unit)?;
        let is_right = known.iter().any(|other| alike(&other) && other.unit == argument.unit);
        (!is_right).then(|| (source.clone(), argument))
    })
}

fn is_same(left: f64, right: f64) -> bool {
    (left - right).abs() <= f64::EPSILON * left.abs()
}

/// Whether someone else than a tool gave the number.
fn is_in_request(trace: &Trace, number: f64) -> bool {
    let written = number.to_string();
    let in_text = |text: &str| text.split(|c: char| !c.is_ascii_digit() && c != '.').any(|word| word.trim_end_matches('.') == written);
    let of_span =
        |span: &Span| span.input.iter().any(|message| matches!(message.role.as_str(), "user" | "system") && in_text(&message.content));
    trace.spans.iter().filter(|span| span.kind != SpanKind::Tool).any(of_span)
}

/// The fields with a unit of the results so far.
struct KnownFields {
    fields: Vec<Measured>,
    /// Bytes of results that may still be read.
    budget: usize,
}

impl KnownFields {
    fn add(&mut self, text: &str) {
        if self.fields.len() < FIELDS_MAX && text.len() <= self.budget {
            self.budget -= text.len();
            self.fields.extend(measured_in(text));
        }
    }
}

/// The numbers with a unit in a text of JSON.
fn measured_in(text: &str) -> Vec<Measured> {
    let mut found = Vec::new();
    if text.len() <= TEXT_BYTES_MAX
        && text.trim_start().starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str::<Value>(text)
    {
        collect(&value, 0, &mut found);
    }
    found
}

fn collect(value: &Value, depth: usize, found: &mut Vec<Measured>) {
    const DEPTH_MAX: usize = 8;
    const FIELDS_OF_ONE_MAX: usize = 200;
    if depth > DEPTH_MAX || found.len() >= FIELDS_OF_ONE_MAX {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, depth + 1, found)),
        Value::Object(fields) => {
            for (field, value) in fields {
                match value.as_f64().filter(|number| *number != 0.0) {
                    Some(number) => found.extend(measured(field, number)),
                    None => collect(value, depth + 1, found),
                }
            }
        }
        _ => {}
    }
}

/// A number, if the name of its field ends with a unit: `amount_cents`, `timeoutMs`.
fn measured(field: &str, number: f64) -> Option<Measured> {
    let (stem, unit) = field.rsplit_once('_').or_else(|| {
        let at = field.rfind(|c: char| c.is_ascii_uppercase())?;
        // `timeoutMS`
        let before = field.get(..at)?.trim_end_matches(|c: char| c.is_ascii_uppercase()).len();
        Some((field.get(..before)?, field.get(before..)?))
    })?;
    let unit = unit.to_ascii_lowercase();
    let (dimension, unit) = DIMENSIONS.iter().enumerate().find_map(|(dimension, units)| {
        let found = units.iter().find(|words| words.contains(&unit.as_str()))?;
        Some((dimension, *found.first()?))
    })?;
    let stem: String = stem.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    (!stem.is_empty()).then(|| Measured { field: field.to_owned(), stem, dimension, unit, number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Message, ToolUse};

    fn tool(arguments: &str, result: &str) -> Span {
        let tool = ToolUse { name: "t".into(), arguments: arguments.into(), result: Some(result.into()), ..ToolUse::default() };
        Span { kind: SpanKind::Tool, tool: Some(tool), ..Span::default() }
    }

    fn is_found(spans: Vec<Span>) -> bool {
        find(&Trace { spans, ..Trace::default() }).is_some()
    }

    #[test]
    fn a_number_that_is_copied_under_another_unit_is_found() {
        for (result, arguments, expected) in [
            (r#"{"lines": [{"amount_cents": 4590}]}"#, r#"{"amount_eur": 4590}"#, true),
            (r#"{"priceUsd": 12.5}"#, r#"{"price_eur": 12.5}"#, true),
            (r#"{"timeout_ms": 3000}"#, r#"{"timeoutSeconds": 3000}"#, true),
            (r#"{"distance_km": 80}"#, r#"{"distance_miles": 80}"#, true),
            (r#"{"size_mb": 512}"#, r#"{"size_bytes": 512}"#, true),
            // Converted, the same unit, another thing, and a name without a unit.
            (r#"{"amount_cents": 4590}"#, r#"{"amount_eur": 45.9}"#, false),
            (r#"{"amount_eur": 45.9}"#, r#"{"amountEuros": 45.9}"#, false),
            (r#"{"tax_cents": 4590}"#, r#"{"amount_eur": 4590}"#, false),
            (r#"{"amount_cents": 4590}"#, r#"{"amount": 4590}"#, false),
            (r#"{"amount_cents": 4590, "net": {"amount_eur": 4590}}"#, r#"{"amount_eur": 4590}"#, false),
            (r#"{"amount_cents": 0}"#, r#"{"amount_eur": 0}"#, false),
        ] {
            assert_eq!(is_found(vec![tool("{}", result), tool(arguments, "ok")]), expected, "{result} then {arguments}");
        }
    }

    #[test]
    fn a_number_of_the_request_is_not_copied_from_a_result() {
        let message = |role: &str, text: &str| Message { role: role.into(), content: text.into(), ..Message::default() };
        let asked = Span { kind: SpanKind::Llm, input: vec![message("user", "Refund 4590 euros.")], ..Span::default() };
        let steps = || vec![tool("{}", r#"{"amount_cents": 4590}"#), tool(r#"{"amount_eur": 4590}"#, "ok")];
        assert!(!is_found(std::iter::once(asked).chain(steps()).collect()));
        let read = Span { kind: SpanKind::Llm, input: vec![message("tool", r#"{"amount_cents": 4590}"#)], ..Span::default() };
        assert!(is_found(vec![read, tool(r#"{"amount_eur": 4590}"#, "ok")]));
    }

    #[test]
    fn the_results_that_are_read_are_limited() {
        let text = "x".repeat(TEXT_BYTES_MAX - r#"{"note": ""}"#.len());
        let large = format!(r#"{{"note": "{text}"}}"#);
        let steps = |count: usize| {
            let read = (0..count).map(|_| tool("{}", &large));
            read.chain([tool("{}", r#"{"amount_cents": 4590}"#), tool(r#"{"amount_eur": 4590}"#, "ok")]).collect()
        };
        assert!(is_found(steps(10)));
        assert!(!is_found(steps(RESULTS_BYTES_MAX / TEXT_BYTES_MAX + 2)));
    }
}
