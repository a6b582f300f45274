//! Facts of a failure: what an expert would look up in the trace to understand it, with the place that shows it.
//!
//! In: a failure ([`Case`]): the trace, its incidents, and the label of the root cause. Out: [`Facts`], from which `drafts` composes the sentences of a
//! pattern. An extractor is one file with the names of its facts, and one line in [`EXTRACTORS`]. It decides by the case whether it applies, reads
//! bounded parts of texts, and adds only what the trace shows: a value that occurs in a field, or one that is counted or computed from several.

mod absence;
mod agents;
mod arguments;
mod attempts;
mod bot_page;
mod call;
mod call_differences;
mod calls;
mod cancel;
mod case;
pub(super) mod chain;
mod consequence;
mod content_filter;
mod context_growth;
mod context_lost;
mod context_window;
mod context_wordings;
mod credentials;
mod database;
mod denied;
pub(super) mod deployment;
pub(super) mod dialogue;
mod display_name;
mod earlier;
mod empty_output;
mod endpoint;
mod environment;
mod error;
mod error_codes;
mod exception;
mod executions;
mod failed_item;
mod filters;
mod find;
mod frames;
mod guardrail;
mod handoff;
mod json_defect;
mod largest_result;
mod libraries;
pub(super) mod loops;
mod malformed_output;
mod missing_name;
mod model_call;
mod model_name;
mod names;
mod network_problems;
mod object_store;
mod offered_schema;
mod outcome;
mod provider_error;
mod provider_timeout;
mod quote;
mod rate_limit;
mod rate_limit_kinds;
mod records;
mod relevance;
mod request;
mod retrieval;
mod retrieval_wordings;
mod returned;
mod rpc;
pub(super) mod run;
#[cfg(test)]
mod run_tests;
mod settings;
pub(super) mod step;
mod stops;
mod texts;
mod timeouts;
mod tool_call;
mod tool_history;
mod tool_offer;
mod truncation;
mod value_field;
mod values;
mod violation;
mod violation_wordings;
mod working_models;

use std::fmt::Display;

pub(super) use self::case::{Case, duration_ms, milliseconds_between};
pub(super) use self::consequence::{
    ATTEMPTS_DURATION, FAILED_CALLS, FINAL_ERROR_MESSAGE, FINAL_ERROR_SPAN, FINAL_ERROR_TYPE, is_same_error,
};
pub(super) use self::display_name::display_name;
pub(super) use self::error::quoted_message;
pub(super) use self::guardrail::{GUARDRAIL_NAME, GUARDRAIL_SIDE};
pub(super) use self::names::{FactName, Unit};
pub(super) use self::tool_call::CALLED_TOOL;
pub(super) use self::values::shortened;
use super::template::Placeholder;
use crate::limits::{FACT_CHARS_MAX, FACTS_MAX};
use crate::model::{Fact, Span};

/// One extractor of facts: the names that it uses, and the function that adds them.
struct Extractor {
    names: &'static [&'static FactName],
    add: fn(&Case<'_, '_>, &mut Facts),
}

/// All extractors. Those of the cause come first, because the number of facts is limited.
const EXTRACTORS: &[Extractor] = &[
    context_window::EXTRACTOR,
    context_growth::EXTRACTOR,
    context_lost::EXTRACTOR,
    model_call::EXTRACTOR,
    truncation::EXTRACTOR,
    rate_limit::EXTRACTOR,
    credentials::EXTRACTOR,
    model_name::EXTRACTOR,
    request::EXTRACTOR,
    guardrail::EXTRACTOR,
    bot_page::EXTRACTOR,
    content_filter::EXTRACTOR,
    endpoint::EXTRACTOR,
    rpc::EXTRACTOR,
    provider_timeout::EXTRACTOR,
    attempts::EXTRACTOR,
    call_differences::EXTRACTOR,
    working_models::EXTRACTOR,
    provider_error::EXTRACTOR,
    arguments::EXTRACTOR,
    tool_offer::EXTRACTOR,
    tool_call::EXTRACTOR,
    database::EXTRACTOR,
    object_store::EXTRACTOR,
    absence::EXTRACTOR,
    offered_schema::EXTRACTOR,
    returned::EXTRACTOR,
    tool_history::EXTRACTOR,
    timeouts::EXTRACTOR,
    malformed_output::EXTRACTOR,
    empty_output::EXTRACTOR,
    retrieval::EXTRACTOR,
    relevance::EXTRACTOR,
    value_field::EXTRACTOR,
    loops::EXTRACTOR,
    largest_result::EXTRACTOR,
    environment::EXTRACTOR,
    executions::EXTRACTOR,
    handoff::EXTRACTOR,
    agents::EXTRACTOR,
    stops::EXTRACTOR,
    cancel::EXTRACTOR,
    dialogue::EXTRACTOR,
    outcome::EXTRACTOR,
    exception::EXTRACTOR,
    missing_name::EXTRACTOR,
    failed_item::EXTRACTOR,
    error_codes::EXTRACTOR,
    settings::EXTRACTOR,
    error::EXTRACTOR,
    step::EXTRACTOR,
    consequence::EXTRACTOR,
    chain::EXTRACTOR,
    run::EXTRACTOR,
    deployment::EXTRACTOR,
];

/// The facts of any failure. They are kept where there are too many.
const ALWAYS_KEPT: [&Extractor; 4] = [&error::EXTRACTOR, &consequence::EXTRACTOR, &run::EXTRACTOR, &deployment::EXTRACTOR];

/// Where a fact stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// In a field of a span, which contains the value.
    Field(&'a Span, &'a str),
    /// In a span, computed from several of its fields.
    Span(&'a Span),
    /// In the trace as a whole.
    Trace,
}

/// The facts of a failure. A name occurs once; the first value stays.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    items: Vec<(&'static FactName, Fact)>,
}

impl Facts {
    /// Everything that the extractors find in a failure.
    pub(super) fn of(case: &Case<'_, '_>) -> Self {
        let mut facts = Self::default();
        for extractor in EXTRACTORS {
            (extractor.add)(case, &mut facts);
        }
        facts
    }

    /// Leaves out the last facts of those that not every failure needs, down to [`FACTS_MAX`].
    fn limit(&mut self) {
        let mut excess = self.items.len().saturating_sub(FACTS_MAX);
        let mut kept = Vec::with_capacity(self.items.len());
        for (name, fact) in std::mem::take(&mut self.items).into_iter().rev() {
            if excess > 0 && !ALWAYS_KEPT.iter().any(|extractor| extractor.names.contains(&name)) {
                excess -= 1;
            } else {
                kept.push((name, fact));
            }
        }
        kept.reverse();
        self.items = kept;
    }

    /// Adds a fact, unless it is empty or its name is known already. The number of names bounds that of the facts.
    pub(super) fn add(&mut self, name: &'static FactName, value: impl Display, place: Place<'_>) {
        if self.has(name) {
            return;
        }
        let value: String = value.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if value.is_empty() {
            return;
        }
        let (span, field) = match place {
            Place::Field(span, field) => (Some(span), Some(field.to_owned())),
            Place::Span(span) => (Some(span), None),
            Place::Trace => (None, None),
        };
        let fact = Fact {
            name: name.name.to_owned(),
            value: values::shortened(&value, FACT_CHARS_MAX),
            unit: name.unit.as_str().map(str::to_owned),
            span_id: span.map(|span| span.span_id.clone()),
            field,
        };
        self.items.push((name, fact));
    }

    pub(super) fn has(&self, name: &FactName) -> bool {
        self.get(name).is_some()
    }

    /// The value of a fact.
    pub(super) fn get(&self, name: &FactName) -> Option<&str> {
        self.items.iter().find(|(known, _)| known.name == name.name).map(|(_, fact)| fact.value.as_str())
    }

    /// The value of the fact with this name.
    pub(super) fn value_of(&self, name: &str) -> Option<&str> {
        self.items.iter().find(|(known, _)| known.name == name).map(|(_, fact)| fact.value.as_str())
    }

    /// The value of a fact as a person writes it: `128,000 tokens`, `12.4 s`.
    pub(super) fn display(&self, placeholder: &Placeholder) -> Option<String> {
        let (name, fact) = self.items.iter().find(|(name, _)| name.name == placeholder.name)?;
        Some(values::display(&fact.value, name.unit, placeholder.form))
    }

    /// The facts of a pattern, at most [`FACTS_MAX`].
    pub(super) fn into_items(mut self) -> Vec<Fact> {
        self.limit();
        self.items.into_iter().map(|(_, fact)| fact).collect()
    }
}

/// All names, in the order of the extractors.
pub(super) fn fact_names() -> impl Iterator<Item = &'static FactName> {
    EXTRACTORS.iter().flat_map(|extractor| extractor.names.iter().copied())
}

/// The fact with this name.
pub(super) fn fact_name(name: &str) -> Option<&'static FactName> {
    fact_names().find(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write;

    use super::*;

    #[test]
    fn the_first_facts_and_those_of_any_failure_are_kept() {
        let mut facts = Facts::default();
        for name in fact_names() {
            facts.add(name, "5", Place::Trace);
        }
        let all = facts.items.len();
        facts.limit();
        assert_eq!(facts.items.len(), FACTS_MAX);
        assert!(all > FACTS_MAX && facts.has(&context_window::REQUEST_TOKENS) && facts.has(&run::SPANS) && facts.has(&error::MODEL));
        assert!(!facts.has(&exception::MISSING_KEY));
    }

    #[test]
    fn names_are_unique_and_documented() {
        let mut known = HashSet::new();
        assert!(fact_names().all(|name| known.insert(name.name)), "a name is used twice");
        let mut table = String::from("| name | unit | what it is |\n|---|---|---|\n");
        for FactName { name, unit, says } in fact_names() {
            let _ = writeln!(table, "| `{name}` | {} | {says} |", unit.as_str().unwrap_or_default());
        }
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/facts.md")).unwrap();
        assert!(page.contains(&table), "docs/facts.md needs this table:\n{table}");
    }
}
