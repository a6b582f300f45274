//! Which of several alike steps failed: the value of its input that the others did not have, and how many of them finished.

use std::collections::HashMap;

use super::names::fact_names;
use super::records::records_in;
use super::value_field::letters;
use super::{Case, Extractor, Facts, Place, display_name, shortened};
use crate::model::{Span, SpanKind};

fact_names! {
    FAILED_ITEM = "failed_item", Text, "the value that tells the failed step from the steps alike";
    FAILED_ITEM_FIELD = "failed_item_field", Text, "the field of the input with that value";
    STEPS_ALIKE = "steps_alike", Count, "the number of steps of that name below the same parent";
    STEPS_ALIKE_DONE = "steps_alike_done", Count, "how many of these finished without an error";
    ITEM_STEP = "item_step", Text, "the name of the steps that are alike";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

const VALUE_CHARS_MAX: usize = 80;
/// Steps that are compared.
const STEPS_MAX: usize = 64;
/// Levels up to the step that the failed one belongs to.
const LEVELS_MAX: usize = 4;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(root) = case.root.filter(|_| !case.label.is_healthy()) else { return };
    if matches!(case.label.category(), "tool_misuse" | "runaway_execution" | "reasoning_error") {
        return;
    }
    // The failed step itself, or the agent or branch of which it is a part.
    for index in case.tree.self_and_ancestors(root.index).take(LEVELS_MAX) {
        let Some((span, parent)) = case.trace.spans.get(index).zip(case.tree.parent(index)) else { return };
        // The calls of a model follow one another: each has the dialogue of the one before.
        if span.kind == SpanKind::Llm {
            continue;
        }
        let overlaps = |other: &Span| {
            let ends = |span: &Span| span.started_at_ns.zip(span.ended_at_ns);
            ends(span).zip(ends(other)).is_some_and(|((start, end), (from, to))| start < to && from < end)
        };
        let siblings = case.tree.children(parent).iter().filter_map(|index| case.trace.spans.get(*index));
        let alike: Vec<&Span> = siblings.filter(|other| is_alike(span, other)).take(STEPS_MAX).collect();
        if alike.len() < 2 {
            continue;
        }
        let others: Vec<HashMap<String, String>> =
            alike.iter().filter(|other| !std::ptr::eq(**other, span)).map(|other| values_of(other)).collect();
        let Some((field, value)) = distinguishing(span, &others) else { return };
        // Steps one after the other are about items only if they differ in an id: another query is another try.
        let is_parallel = alike.iter().any(|other| !std::ptr::eq(*other, span) && overlaps(other));
        if !is_parallel && !is_item(&field, &value) {
            return;
        }
        facts.add(&FAILED_ITEM, shortened(&value, VALUE_CHARS_MAX), Place::Span(span));
        if field != WHOLE {
            facts.add(&FAILED_ITEM_FIELD, shortened(&field, VALUE_CHARS_MAX), Place::Span(span));
        }
        facts.add(&ITEM_STEP, shortened(&display_name(span), VALUE_CHARS_MAX), Place::Span(span));
        facts.add(&STEPS_ALIKE, alike.len(), Place::Trace);
        let failed: Vec<*const Span> = case.incidents.iter().map(|incident| std::ptr::from_ref(incident.span)).collect();
        let is_done = |other: &&&Span| !other.failed() && !failed.contains(&std::ptr::from_ref(**other)) && !std::ptr::eq(**other, span);
        let done = alike.iter().filter(is_done).count();
        if done > 0 {
            facts.add(&STEPS_ALIKE_DONE, done, Place::Trace);
        }
        return;
    }
}

/// Whether a value is the id of an item, and not a query, a page or the number of a step.
fn is_item(field: &str, value: &str) -> bool {
    const OTHER: [&str; 9] = ["page", "step", "offset", "cursor", "attempt", "index", "iteration", "timestamp", "time"];
    let is_short = (3..=60).contains(&value.chars().count()) && !value.contains(char::is_whitespace);
    field != WHOLE && is_short && value.contains(|c: char| c.is_ascii_digit()) && !OTHER.iter().any(|word| letters(field).ends_with(word))
}

fn is_alike(one: &Span, other: &Span) -> bool {
    let tool = |span: &Span| span.tool.as_ref().map(|tool| tool.name.clone());
    one.name == other.name && one.kind == other.kind && tool(one) == tool(other)
}

/// The field of an input that is one text.
const WHOLE: &str = "";

/// The values of the input of a step by their fields: of arguments, or the words of a text.
fn values_of(span: &Span) -> HashMap<String, String> {
    const BYTES_MAX: usize = 4 * 1024;
    let arguments = span.tool.as_ref().map(|tool| tool.arguments.as_str()).filter(|text| !text.trim().is_empty());
    let first = || span.input.iter().find(|message| message.role != "system").map(|message| message.content.as_str());
    let Some(text) = arguments.or(span.input_text.as_deref()).or_else(first) else { return HashMap::new() };
    let text = super::texts::head(text, BYTES_MAX);
    let mut values = HashMap::new();
    for record in records_in(text).iter().take(8) {
        for (key, value) in record.fields.iter().filter_map(|(key, value)| Some((key, value.as_scalar()?))) {
            values.entry(key.clone()).or_insert_with(|| value.to_owned());
        }
    }
    if values.is_empty() {
        values.insert(WHOLE.to_owned(), text.to_owned());
    }
    values
}

/// The value of the failed step that no other has under the same field. The shortest one names the item.
fn distinguishing(span: &Span, others: &[HashMap<String, String>]) -> Option<(String, String)> {
    let own = values_of(span);
    let mut differing: Vec<(&String, &String)> = own
        .iter()
        .filter(|(key, value)| {
            let held: Vec<&String> = others.iter().filter_map(|other| other.get(*key)).collect();
            !held.is_empty() && held.len() == others.len() && held.iter().all(|other| other != value) && !value.trim().is_empty()
        })
        .collect();
    differing.sort_by_key(|(key, value)| (value.chars().count(), key.as_str()));
    let (key, value) = differing.first()?;
    if value.chars().count() <= VALUE_CHARS_MAX {
        return Some(((*key).clone(), (*value).clone()));
    }
    // Of long texts, the first word that is a name or an id and that no other text has.
    let is_name = |word: &&str| {
        let upper = word.chars().filter(|c| c.is_uppercase()).count();
        (3..=24).contains(&word.chars().count()) && (upper >= 2 || word.contains(|c: char| c.is_ascii_digit()))
    };
    let words = value
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '(' | ')' | '"' | '\''))
        .map(|word| word.trim_matches(['.', '!', '?']));
    let found =
        words.take(100).filter(is_name).find(|word| others.iter().all(|other| other.get(*key).is_some_and(|text| !text.contains(word))));
    found.map(|word| (WHOLE.to_owned(), word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, Status, Trace};

    fn facts_of(inputs: [&str; 3]) -> Facts {
        let outer = Span { span_id: "0".into(), ..Span::default() };
        let steps = inputs.iter().zip(0_i64..).map(|(input, at)| Span {
            span_id: format!("s{at}"),
            parent_span_id: Some("0".into()),
            name: "review".into(),
            kind: SpanKind::Agent,
            // Those of texts run at the same time.
            started_at_ns: Some(if input.starts_with('{') { at * 10 } else { 1 }),
            ended_at_ns: Some(if input.starts_with('{') { at * 10 + 5 } else { 9 }),
            status: if at == 1 { Status::Error } else { Status::Ok },
            input_text: Some((*input).into()),
            ..Span::default()
        });
        let trace = Trace { spans: std::iter::once(outer).chain(steps).collect(), ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let root = Incident::new(&trace, 2, IncidentKind::Error).unwrap();
        let label = Label::parse("tool_failure/tool_exception").unwrap();
        let mut facts = Facts::default();
        add(&Case::new(&trace, &tree, &[], Some(&root), label), &mut facts);
        facts
    }

    #[test]
    fn the_item_of_the_failed_step_is_named() {
        let long = |name: &str| format!("Read the annual report of {name} and list {}", "all of the risks that it names, ".repeat(5));
        let (one, two, three) = (long("ABCX"), long("QRST"), long("MNOP"));
        assert!(!facts_of([r#"{"page": "101"}"#, r#"{"page": "102"}"#, r#"{"page": "103"}"#]).has(&FAILED_ITEM));
        for (inputs, field, item) in [
            ([r#"{"doc": "D-1", "lang": "de"}"#, r#"{"doc": "D-2", "lang": "de"}"#, r#"{"doc": "D-3", "lang": "fr"}"#], "doc", "D-2"),
            ([one.as_str(), two.as_str(), three.as_str()], "", "QRST"),
            (["the same", "the same", "the same"], "", ""),
        ] {
            let facts = facts_of(inputs);
            let found = [&FAILED_ITEM_FIELD, &FAILED_ITEM].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [field, item], "{inputs:?}");
            assert_eq!(facts.get(&STEPS_ALIKE_DONE), (!item.is_empty()).then_some("2"));
        }
    }
}
