//! What a failed call had that the calls alike that worked had not: another host, deployment, region or version.

use std::collections::BTreeSet;

use super::find::listed;
use super::names::fact_names;
use super::texts::model_call;
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::{Span, SpanKind};

fact_names! {
    WORKING_HOST = "working_host", Text, "the host at which calls alike worked in this run";
    FAILED_HOST = "failed_host", Text, "the host of the failed call, if calls alike worked at another one";
    WORKING_HOST_CALLS = "working_host_calls", Count, "the calls alike that worked at the other host";
    DIFFERING_SETTING = "differing_setting", Text, "a setting of the failed call that calls alike had with another value";
    FAILED_SETTING_VALUE = "failed_setting_value", Text, "the value of that setting in the failed call";
    WORKING_SETTING_VALUE = "working_setting_value", Text, "the value of that setting in the calls that worked";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Calls that are compared.
const CALLS_MAX: usize = 1_000;
const VALUE_CHARS_MAX: usize = 100;

/// Attributes with the host of a call.
const HOSTS: [&str; 5] = ["server.address", "net.peer.name", "http.host", "url.host", "api_base"];

/// The ends of names of other settings of a call that decide where and how it runs.
const SETTINGS: [&str; 14] = [
    "deployment",
    "deployment_name",
    "region",
    "cloud.region",
    "api_version",
    "api-version",
    "azure_deployment",
    "account",
    "tenant",
    "project",
    "zone",
    "endpoint",
    "base_url",
    "warehouse",
];

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let is_wanted = case.label.category() == "provider_error"
        || case.is(&["tool_auth_failed", "tool_unavailable", "tool_timeout", "retriever_error", "tool_resource_not_found"]);
    let Some(root) = case.root.filter(|_| is_wanted) else { return };
    let Some(failed) = model_call(case) else { return };
    let is_alike = |span: &Span| match failed.kind {
        SpanKind::Llm | SpanKind::Embedding => span.kind == failed.kind,
        _ => span.kind == failed.kind && span.name == failed.name,
    };
    let spans = case.trace.spans.iter().enumerate();
    let worked = spans.filter(|(index, span)| *index != root.index && is_alike(span) && !span.failed() && !std::ptr::eq(*span, failed));
    let worked: Vec<(usize, &Span)> = worked.take(CALLS_MAX).collect();
    if worked.is_empty() {
        return;
    }
    let is_comparable =
        |span: &Span, one: &str, other: &str| domain(one) == domain(other) || (span.model.is_some() && span.model == failed.model);
    if let Some((key, host)) = host_of(case, root.index, failed) {
        let hosts: Vec<(&Span, &str)> =
            worked.iter().filter_map(|(index, span)| host_of(case, *index, span).map(|(_, host)| (*span, host))).collect();
        // Another provider says nothing about this one.
        let hosts: Vec<(&Span, &str)> = hosts.into_iter().filter(|(span, other)| is_comparable(span, other, host)).collect();
        let distinct: BTreeSet<&str> = hosts.iter().map(|(_, host)| *host).collect();
        if let Some((span, _)) = hosts.first().filter(|_| !distinct.contains(host)) {
            let place = if distinct.len() == 1 { Place::Span(span) } else { Place::Trace };
            facts.add(&WORKING_HOST, listed(distinct, 3), place);
            facts.add(&WORKING_HOST_CALLS, hosts.len(), Place::Trace);
            facts.add(&FAILED_HOST, host, key.map_or(Place::Span(failed), |key| Place::Field(failed, key)));
        }
    }
    for attribute in &failed.attributes {
        let (key, value) = (attribute.key.as_str(), attribute.value.trim());
        let is_setting = SETTINGS.iter().any(|name| key == *name || key.strip_suffix(name).is_some_and(|rest| rest.ends_with(['.', '_'])));
        if !is_setting || value.is_empty() || value.len() > VALUE_CHARS_MAX {
            continue;
        }
        let others: Vec<(&Span, &str)> = worked.iter().filter_map(|(_, span)| Some((*span, span.attribute(key)?.trim()))).collect();
        if let Some((span, other)) = others.first().filter(|_| others.iter().all(|(_, other)| *other != value)) {
            facts.add(&DIFFERING_SETTING, shortened(key, VALUE_CHARS_MAX), Place::Span(failed));
            facts.add(&FAILED_SETTING_VALUE, value, Place::Field(failed, &format!("attributes.{key}")));
            facts.add(&WORKING_SETTING_VALUE, shortened(other, VALUE_CHARS_MAX), Place::Field(span, &format!("attributes.{key}")));
        }
    }
}

/// The host of a call, with the field of the span itself that has it: of the call, or of the request below it.
pub(super) fn host_of<'t>(case: &Case<'_, 't>, index: usize, span: &'t Span) -> Option<(Option<&'static str>, &'t str)> {
    const FIELDS: [&str; 5] =
        ["attributes.server.address", "attributes.net.peer.name", "attributes.http.host", "attributes.url.host", "attributes.api_base"];
    const CHILDREN_MAX: usize = 4;
    let of = |span: &'t Span| {
        let direct = HOSTS.iter().zip(FIELDS).find_map(|(key, field)| Some((Some(field), span.attribute(key)?.trim())));
        let url = || ["url.full", "http.url"].iter().find_map(|key| host_in(span.attribute(key)?)).map(|host| (None, host));
        direct.filter(|(_, host)| !host.is_empty()).or_else(url)
    };
    let below = || {
        let children = case.tree.children(index).iter().rev().take(CHILDREN_MAX).filter_map(|child| case.trace.spans.get(*child));
        children.into_iter().find_map(of).map(|(_, host)| (None, host))
    };
    of(span).or_else(below)
}

/// The domain of a host: its last two labels.
fn domain(host: &str) -> Vec<&str> {
    let host = host.split(':').next().unwrap_or(host);
    host.rsplit('.').take(2).collect()
}

fn host_in(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    rest.split(['/', '?', ':', '#']).next().filter(|host| host.contains('.') || *host == "localhost")
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Attribute, Label, Status, Trace};

    /// The attributes of a call, and whether it succeeded.
    type Call<'c> = (&'c [(&'c str, &'c str)], bool);

    fn facts_of(calls: &[Call<'_>]) -> Facts {
        let span = |(at, (attributes, is_ok)): (usize, &Call<'_>)| Span {
            span_id: at.to_string(),
            name: "chat".into(),
            kind: SpanKind::Llm,
            status: if *is_ok { Status::Ok } else { Status::Error },
            attributes: attributes.iter().map(|(key, value)| Attribute { key: (*key).into(), value: (*value).into() }).collect(),
            ..Span::default()
        };
        let trace = Trace { spans: calls.iter().enumerate().map(span).collect(), ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let root = Incident::new(&trace, calls.len() - 1, IncidentKind::Error).unwrap();
        let label = Label::parse("provider_error/authentication_failed").unwrap();
        let mut facts = Facts::default();
        add(&Case::new(&trace, &tree, &[], Some(&root), label), &mut facts);
        facts
    }

    #[test]
    fn the_host_and_the_setting_of_calls_that_worked_are_compared() {
        let one: &[(&str, &str)] = &[("server.address", "north.acme.example"), ("acme.region", "north")];
        let other: &[(&str, &str)] = &[("url.full", "https://south.acme.example/v1?x=1"), ("acme.region", "south")];
        let facts = facts_of(&[(one, true), (one, true), (other, false)]);
        let found =
            [&WORKING_HOST, &FAILED_HOST, &WORKING_HOST_CALLS, &DIFFERING_SETTING, &WORKING_SETTING_VALUE].map(|name| facts.get(name));
        assert_eq!(found, [Some("north.acme.example"), Some("south.acme.example"), Some("2"), Some("acme.region"), Some("north")]);
        for calls in [vec![(one, true), (one, false)], vec![(one, true), (other, true), (other, false)], vec![(one, false)]] {
            let facts = facts_of(&calls);
            assert!(!facts.has(&WORKING_HOST) && !facts.has(&DIFFERING_SETTING));
        }
    }
}
