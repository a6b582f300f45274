//! What other model calls of the run show: the models and providers that answered while this call failed, and how the input grew up to it.

use std::collections::BTreeMap;

use super::super::provider_names::{model_name, provider_of};
use super::names::fact_names;
use super::texts::model_call;
use super::{Case, Extractor, Facts, Place};
use crate::model::{Span, SpanKind};

fact_names! {
    WORKING_MODEL = "working_model", Text, "another model of the same provider that answered in this run";
    WORKING_MODEL_CALLS = "working_model_calls", Count, "the calls that the other model answered";
    WORKING_PROVIDER = "working_provider", Text, "another provider that answered in this run";
    WORKING_PROVIDER_CALLS = "working_provider_calls", Count, "the calls that the other provider answered";
    FIRST_CALL_INPUT = "first_call_input_tokens", Tokens, "the input tokens of the first model call of the run";
    LAST_CALL_INPUT = "last_call_input_tokens", Tokens, "the input tokens of the last model call that succeeded before the failure";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Model calls that are compared.
const CALLS_MAX: usize = 1_000;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let is_of_provider = case.label.category() == "provider_error";
    if !is_of_provider && !case.is(&["context_window_exceeded", "context_lost"]) {
        return;
    }
    let Some(root) = case.root else { return };
    let is_of_model = |index: usize| case.trace.spans.get(index).is_some_and(|span| span.kind == SpanKind::Llm);
    let outer = case.trace.spans.iter().enumerate().filter(|(index, span)| {
        span.kind == SpanKind::Llm && !span.failed() && !case.tree.parent(*index).is_some_and(is_of_model) && *index != root.index
    });
    let calls: Vec<&Span> = outer.map(|(_, span)| span).take(CALLS_MAX).collect();
    if !is_of_provider {
        add_inputs(root.span, &calls, facts);
    }
    if let Some(failed) = model_call(case).filter(|_| is_of_provider) {
        add_others(failed, root.error_type.as_deref(), &calls, facts);
    }
}

/// The inputs of the first and the last call.
fn add_inputs(failed: &Span, calls: &[&Span], facts: &mut Facts) {
    let end = failed.ended_at_ns.or(failed.started_at_ns);
    let is_before = |span: &&&Span| !std::ptr::eq(**span, failed) && span.ended_at_ns.zip(end).is_some_and(|(ended, end)| ended <= end);
    let mut before = calls.iter().filter(is_before).filter_map(|span| Some((*span, span.usage.input.filter(|tokens| *tokens > 0)?)));
    let Some(first) = before.next() else { return };
    if let Some((span, tokens)) = before.next_back() {
        facts.add(&FIRST_CALL_INPUT, first.1, Place::Field(first.0, "usage.input"));
        facts.add(&LAST_CALL_INPUT, tokens, Place::Field(span, "usage.input"));
    } else {
        facts.add(&LAST_CALL_INPUT, first.1, Place::Field(first.0, "usage.input"));
    }
}

/// The model and the provider that answered most calls, apart from those of the failed call.
fn add_others(failed: &Span, error_type: Option<&str>, calls: &[&Span], facts: &mut Facts) {
    let Some(model) = failed.model.as_deref().and_then(model_name) else { return };
    let provider = provider_of(failed, error_type);
    let (mut models, mut providers): (BTreeMap<&str, usize>, BTreeMap<&str, usize>) = (BTreeMap::new(), BTreeMap::new());
    for call in calls {
        let (other, other_provider) = (call.model.as_deref().and_then(model_name), provider_of(call, None));
        match (provider, other_provider) {
            (Some(provider), Some(other)) if provider != other => *providers.entry(other).or_default() += 1,
            (Some(_), Some(_)) if host(failed) == host(call) => {
                if let Some(other) = other.filter(|other| !is_same_model(other, model)) {
                    *models.entry(other).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    if let Some((other, count)) = most(models) {
        facts.add(&WORKING_MODEL, other, Place::Trace);
        facts.add(&WORKING_MODEL_CALLS, count, Place::Trace);
    }
    if let Some((other, count)) = most(providers) {
        facts.add(&WORKING_PROVIDER, other, Place::Trace);
        facts.add(&WORKING_PROVIDER_CALLS, count, Place::Trace);
    }
}

/// The name with the highest count. Of equal ones the first in the alphabet.
fn most(counts: BTreeMap<&str, usize>) -> Option<(&str, usize)> {
    counts.into_iter().rev().max_by_key(|(_, count)| *count)
}

/// Whether two names mean the same model: an answer names the dated version of the one that was requested.
fn is_same_model(one: &str, other: &str) -> bool {
    let is_version = |long: &str, short: &str| {
        let rest = long.strip_prefix(short).and_then(|rest| rest.strip_prefix(['-', '@', ':', '_']));
        // A date such as 2025-04-16 or 0613; `gpt-4-32k` and `claude-3-5-haiku` are other models.
        rest.is_some_and(|rest| rest == "latest" || rest.bytes().take_while(u8::is_ascii_digit).count() >= 4)
    };
    one == other || is_version(one, other) || is_version(other, one)
}

/// The host of a call, if it is recorded.
fn host(span: &Span) -> Option<&str> {
    ["server.address", "net.peer.name", "http.host", "url.host"].into_iter().find_map(|key| span.attribute(key))
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Attribute, Label, Status, TokenUsage, Trace};

    fn call(at: i64, provider: &str, model: &str, host: Option<&str>) -> Span {
        let host = host.map(|host| Attribute { key: "server.address".into(), value: host.into() });
        Span {
            span_id: at.to_string(),
            kind: SpanKind::Llm,
            provider: Some(provider.into()),
            model: Some(model.into()),
            started_at_ns: Some(at * 10),
            ended_at_ns: Some(at * 10 + 5),
            usage: TokenUsage { input: u64::try_from(at).ok().map(|at| at * 100), output: None },
            attributes: host.into_iter().collect(),
            ..Span::default()
        }
    }

    fn facts_of(label: &str, mut spans: Vec<Span>) -> Facts {
        if let Some(last) = spans.last_mut() {
            (last.status, last.usage) = (Status::Error, TokenUsage::default());
        }
        let trace = Trace { spans, ..Trace::default() };
        let (tree, root) = (SpanTree::new(&trace), Incident::new(&trace, trace.spans.len() - 1, IncidentKind::Error).unwrap());
        let mut facts = Facts::default();
        add(&Case::new(&trace, &tree, &[], Some(&root), Label::parse(label).unwrap()), &mut facts);
        facts
    }

    #[test]
    fn other_models_and_providers_that_answered_are_named() {
        let spans = vec![
            call(1, "anthropic", "claude-3-5-haiku-latest", None),
            call(2, "anthropic", "claude-3-5-haiku-latest", None),
            call(3, "openai", "gpt-4o", None),
            call(4, "openai", "o4-mini-2025-04-16", None),
            call(5, "openai", "o4-mini", None),
        ];
        let facts = facts_of("provider_error/invalid_request", spans);
        let found = [&WORKING_MODEL, &WORKING_MODEL_CALLS, &WORKING_PROVIDER, &WORKING_PROVIDER_CALLS].map(|name| facts.get(name));
        assert_eq!(found, [Some("gpt-4o"), Some("1"), Some("Anthropic"), Some("2")]);
        let calls = vec![call(1, "openai", "a", None), call(2, "openai", "a", None), call(3, "openai", "a", None)];
        let facts = facts_of("context_overflow/context_window_exceeded", calls);
        assert_eq!((facts.get(&FIRST_CALL_INPUT), facts.get(&LAST_CALL_INPUT)), (Some("100"), Some("200")));
    }

    #[test]
    fn dated_versions_are_the_same_model() {
        for (one, other, same) in [
            ("gpt-4o", "gpt-4o-2024-11-20", true),
            ("gpt-4", "gpt-4-0613", true),
            ("claude-3-5-haiku-latest", "claude-3-5-haiku", true),
            ("gpt-4", "gpt-4-32k", false),
            ("claude-3", "claude-3-5-haiku", false),
            ("gpt-4o", "gpt-4o-mini", false),
        ] {
            assert_eq!(is_same_model(one, other), same, "{one} {other}");
        }
    }

    #[test]
    fn a_deployment_of_another_resource_proves_nothing() {
        let spans = vec![
            call(1, "azure.ai.openai", "gpt-4o", Some("a.openai.azure.com")),
            call(2, "azure.ai.openai", "gpt-4.1-prod", Some("b.openai.azure.com")),
        ];
        let facts = facts_of("provider_error/model_not_found", spans);
        assert_eq!(facts.get(&WORKING_MODEL), None);
        assert_eq!(
            facts_of("tool_failure/tool_timeout", vec![call(1, "openai", "a", None), call(2, "openai", "b", None)]).into_items(),
            []
        );
    }
}
