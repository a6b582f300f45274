//! What the failed step, the steps around it and the deployment record about how they are set up: the image, the cluster, the deployment of a model, the
//! model of an index, the release before.

use super::model_name::{API_VERSION, MODEL_DEPLOYMENT};
use super::names::{FactName, fact_names};
use super::records::records_in;
use super::value_field::letters;
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::Span;

fact_names! {
    INDEX_MODEL = "index_embedding_model", Text, "the model with which the index was built";
    INDEX_TIME = "index_built_at", Text, "when the index was built";
    PREVIOUS_VERSION = "previous_version", Text, "the release that ran before";
    CLUSTER = "cluster", Text, "the cluster in which the service ran";
    POD = "pod", Text, "the pod or container of the service";
    IMAGE = "image", Text, "the image of the sandbox or container";
    ROUTING = "routing_policy", Text, "how requests are spread over backends";
    RUN_HTTP_STATUS = "run_http_status", Count, "the HTTP status with which the request around the run ended";
    RECORDED_CAUSE = "recorded_cause", Text, "the cause that a span records beside the error";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// A setting: its fact, the letters in which the name of its attribute ends, and the categories of failures that it bears on; none for all.
type Setting = (&'static FactName, &'static [&'static str], &'static [&'static str]);

const SETTINGS: &[Setting] = &[
    (
        &INDEX_MODEL,
        &["indexembedmodel", "indexembeddingmodel", "indexmodel", "collectionembeddingmodel", "indexedwithmodel", "storeembeddingmodel"],
        &["retrieval_failure"],
    ),
    (&INDEX_TIME, &["indexbuiltat", "indexcreatedat", "indexupdatedat", "lastindexedat"], &["retrieval_failure"]),
    (&PREVIOUS_VERSION, &["previousrelease", "previousversion", "previousrevision", "previousdeployment", "priorversion"], &[]),
    (
        &CLUSTER,
        &["k8sclustername", "kubernetesclustername", "ecsclustername"],
        &["tool_failure", "provider_error", "environment_error", "coordination_failure"],
    ),
    (&POD, &["k8spodname", "kubernetespodname", "podname"], &["environment_error", "coordination_failure"]),
    (
        &IMAGE,
        &["containerimagename", "sandboximage", "dockerimage", "sandboximagename", "runtimeimage", "kernelimage"],
        &["environment_error"],
    ),
    (
        &MODEL_DEPLOYMENT,
        &["openaideployment", "azuredeployment", "deploymentname", "modeldeployment", "deploymentid", "azureopenaideploymentname"],
        &["provider_error", "content_blocked", "context_overflow"],
    ),
    (&API_VERSION, &["apiversion"], &["provider_error", "content_blocked", "tool_failure"]),
    (
        &ROUTING,
        &["backendpolicy", "routingpolicy", "routingstrategy", "loadbalancingpolicy", "loadbalancerpolicy", "backendselection"],
        &["provider_error", "tool_failure"],
    ),
    (&RECORDED_CAUSE, &["errorcause", "rootcause", "failurecause", "exceptioncause"], &[]),
];

const VALUE_CHARS_MAX: usize = 120;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if case.root.is_none() || case.label.is_healthy() {
        return;
    }
    let category = case.label.category();
    let wanted: Vec<&Setting> =
        SETTINGS.iter().filter(|(_, _, categories)| categories.is_empty() || categories.contains(&category)).collect();
    let spans = spans_around(case);
    for span in &spans {
        for attribute in &span.attributes {
            add_setting(&wanted, &attribute.key, &attribute.value, Place::Field(span, &format!("attributes.{}", attribute.key)), facts);
        }
    }
    for attribute in &case.trace.resource {
        add_setting(&wanted, &attribute.key, &attribute.value, Place::Trace, facts);
    }
    // Some keep all that an application adds in one attribute.
    for (span, key, value) in spans.iter().flat_map(|span| span.attributes.iter().map(move |item| (span, &item.key, &item.value))) {
        let is_holder = matches!(letters(key).as_str(), "metadata" | "extra" | "config" | "tags" | "settings" | "attributes");
        if !is_holder || value.len() > 16 * 1024 || !value.starts_with('{') {
            continue;
        }
        for record in records_in(value) {
            for (name, inner) in record.fields.iter().filter_map(|(name, inner)| Some((name, inner.as_scalar()?))) {
                add_setting(&wanted, name, inner, Place::Field(span, &format!("attributes.{key}")), facts);
            }
        }
    }
    add_image(case, facts);
    add_run_status(case, facts);
}

/// A sandbox may return its image with the result.
fn add_image(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(step) = case.step().filter(|_| case.label.category() == "environment_error") else { return };
    let of_tool = step.tool.as_ref().and_then(|tool| tool.result.as_deref()).map(|text| ("tool.result", text));
    let texts = of_tool.into_iter().chain(step.output_text.as_deref().map(|text| ("output_text", text)));
    for (field, text) in texts {
        for record in records_in(text) {
            let is_image = |key: &str| matches!(letters(key).as_str(), "image" | "imagename" | "container" | "sandboximage");
            let image = record.fields.iter().find(|(key, _)| is_image(key)).and_then(|(_, value)| value.as_scalar());
            if let Some(image) = image.filter(|image| image.contains(':') && !image.contains(' ') && image.len() <= VALUE_CHARS_MAX) {
                let place = if text.contains(image) { Place::Field(step, field) } else { Place::Span(step) };
                facts.add(&IMAGE, image, place);
            }
        }
    }
}

fn add_setting(wanted: &[&Setting], key: &str, value: &str, place: Place<'_>, facts: &mut Facts) {
    let value = value.trim();
    if value.is_empty() || value.starts_with(['{', '[']) {
        return;
    }
    // From the end, and without a copy: there are many attributes.
    let ends_in = |word: &str| {
        let mut letters = key.bytes().rev().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
        word.bytes().rev().all(|byte| letters.next() == Some(byte))
    };
    for (name, words, _) in wanted {
        if words.iter().any(|word| ends_in(word)) {
            let shown = shortened(value, VALUE_CHARS_MAX);
            let shown = shown.trim_end_matches('…');
            facts.add(name, shown, place);
        }
    }
}

/// The failed span, its step, those below and around it, and the root of the run.
fn spans_around<'t>(case: &Case<'_, 't>) -> Vec<&'t Span> {
    const CHILDREN_MAX: usize = 8;
    const ANCESTORS_MAX: usize = 6;
    let Some(root) = case.root else { return Vec::new() };
    let below = case.tree.children(root.index).iter().take(CHILDREN_MAX).copied();
    let around = case.tree.self_and_ancestors(root.index).skip(1).take(ANCESTORS_MAX);
    let others = below.chain(around).filter_map(|index| case.trace.spans.get(index));
    let mut spans: Vec<&Span> = [root.span].into_iter().chain(root.step).chain(others).chain(case.trace.root()).collect();
    let mut known: Vec<*const Span> = Vec::new();
    spans.retain(|span| {
        let is_new = !known.contains(&std::ptr::from_ref(*span));
        known.push(std::ptr::from_ref(*span));
        is_new
    });
    spans
}

/// The status that the caller of the run got, if the run was a request.
fn add_run_status(case: &Case<'_, '_>, facts: &mut Facts) {
    let (Some(outer), Some(root)) = (case.trace.root(), case.root) else { return };
    if std::ptr::eq(outer, root.span) {
        return;
    }
    let is_request =
        outer.attribute("http.request.method").or_else(|| outer.attribute("http.method")).or_else(|| outer.attribute("method"));
    let is_request = is_request.is_some() || outer.attribute("http.route").is_some();
    let keys = ["http.response.status_code", "http.status_code", "status"];
    let found = keys.iter().find_map(|key| Some((*key, outer.attribute(key)?.trim())));
    if let Some((key, status)) = found.filter(|(_, status)| is_request && status.len() == 3 && status.starts_with(['4', '5'])) {
        facts.add(&RUN_HTTP_STATUS, status, Place::Field(outer, &format!("attributes.{key}")));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Attribute, Label, Status, Trace};

    #[test]
    fn settings_are_found_around_the_failed_step_and_in_the_resource() {
        let attribute = |key: &str, value: &str| Attribute { key: key.into(), value: value.into() };
        let outer = Span {
            span_id: "1".into(),
            attributes: vec![
                attribute("http.request.method", "POST"),
                attribute("http.response.status_code", "503"),
                attribute("metadata", r#"{"index_embed_model": "embed-small", "previous_release": "41.7"}"#),
            ],
            ..Span::default()
        };
        let failed = Span {
            span_id: "2".into(),
            parent_span_id: Some("1".into()),
            status: Status::Error,
            attributes: vec![attribute("app.error.cause", "socket closed"), attribute("podName", "not of this label")],
            ..Span::default()
        };
        let resource = vec![attribute("acme.routing.policy", "round-robin a,b")];
        let trace = Trace { spans: vec![outer, failed], resource, ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let root = Incident::new(&trace, 1, IncidentKind::Error).unwrap();
        let of = |label: &str| {
            let case = Case::new(&trace, &tree, &[], Some(&root), Label::parse(label).unwrap());
            let mut facts = Facts::default();
            add(&case, &mut facts);
            facts
        };
        let facts = of("retrieval_failure/retriever_error");
        let found = [&INDEX_MODEL, &PREVIOUS_VERSION, &RUN_HTTP_STATUS, &RECORDED_CAUSE, &ROUTING].map(|name| facts.get(name));
        assert_eq!(found, [Some("embed-small"), Some("41.7"), Some("503"), Some("socket closed"), None]);
        let facts = of("provider_error/provider_overloaded");
        assert_eq!([&INDEX_MODEL, &ROUTING, &POD].map(|name| facts.get(name)), [None, Some("round-robin a,b"), None]);
    }
}
