//! Facts of any failed run: the versions that ran, and what the run used until it failed.

use super::names::fact_names;
use super::{Extractor, Facts, Place};
use crate::model::{Trace, TraceProfile};

fact_names! {
    SERVICE_VERSION = "service_version", Text, "the version of the service";
    VCS_REVISION = "vcs_revision", Text, "the revision of the source code";
    RUNTIME_VERSION = "runtime_version", Text, "the version of the language's runtime";
    PROMPT_NAME = "prompt_name", Text, "the name of the prompt";
    PROMPT_VERSION = "prompt_version", Text, "the version of the prompt";
    USER = "user", Text, "the token that stands for the user";
    SESSION = "session", Text, "the token that stands for the session";
    REGION = "region", Text, "the region in which the service ran";
    TRACE_INPUT_TOKENS = "trace_input_tokens", Tokens, "the input tokens of all model calls";
    TRACE_OUTPUT_TOKENS = "trace_output_tokens", Tokens, "the output tokens of all model calls";
    TRACE_COST = "trace_cost_usd", Dollars, "the cost of the whole run";
    TRACE_TOKENS = "trace_tokens", Tokens, "the tokens of all model calls, input and output";
}

/// The analyzer adds these facts with [`add`], because it reads the profile of every trace for its columns.
pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add: |_, _| {} };

/// Adds the facts of a failed run.
pub(in crate::analyze::embedded) fn add(trace: &Trace, profile: &TraceProfile, facts: &mut Facts) {
    let versions = [(&SERVICE_VERSION, &profile.service_version), (&VCS_REVISION, &profile.vcs_revision), (&REGION, &profile.region)];
    for (name, value) in versions {
        if let Some(value) = value {
            facts.add(name, value, Place::Trace);
        }
    }
    if let Some(version) = &profile.prompt_version {
        // `answer@7`
        match version.rsplit_once('@').filter(|(name, version)| !name.is_empty() && !version.is_empty()) {
            Some((name, version)) => {
                facts.add(&PROMPT_NAME, name, Place::Trace);
                facts.add(&PROMPT_VERSION, version, Place::Trace);
            }
            None => facts.add(&PROMPT_VERSION, version, Place::Trace),
        }
    }
    for (name, token) in [(&USER, &profile.user_token), (&SESSION, &profile.session_token)] {
        if let Some(token) = token {
            facts.add(name, token, Place::Trace);
        }
    }
    if let Some(version) = runtime_version(trace) {
        facts.add(&RUNTIME_VERSION, version, Place::Trace);
    }
    let (input, output) = (profile.trace_input_tokens, profile.trace_output_tokens);
    let sum = input.zip(output).map(|(input, output)| input.saturating_add(output));
    for (name, tokens) in [(&TRACE_INPUT_TOKENS, input), (&TRACE_OUTPUT_TOKENS, output), (&TRACE_TOKENS, sum)] {
        if let Some(tokens) = tokens {
            facts.add(name, tokens, Place::Trace);
        }
    }
    if let Some(cost) = profile.trace_cost_usd {
        facts.add(&TRACE_COST, cost, Place::Trace);
    }
}

/// The version of Python, Node.js or the JVM, as the resource or the first spans record it.
fn runtime_version(trace: &Trace) -> Option<&str> {
    const KEYS: [&str; 7] = [
        "process.runtime.version",
        "runtime.version",
        "runtime_version",
        "python.version",
        "python_version",
        "node.version",
        "node_version",
    ];
    const SPANS_READ_MAX: usize = 4;
    let of_spans = trace.spans.iter().take(SPANS_READ_MAX).flat_map(|span| &span.attributes);
    let mut attributes = trace.resource.iter().chain(of_spans);
    let is_named = |key: &str| KEYS.iter().any(|name| key.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    let found = attributes.find(|attribute| is_named(&attribute.key))?;
    // `3.11.5 (main, Sep 11 2023) [GCC 11.2.0]`
    found
        .value
        .split_whitespace()
        .next()
        .filter(|version| version.starts_with(|c: char| c.is_ascii_digit() || c == 'v') && version.len() <= 40)
}

#[cfg(test)]
mod tests {
    use super::super::super::deployment::profile;
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Attribute, Span, SpanKind, TokenUsage};

    fn facts_of(trace: &Trace) -> Vec<(String, String)> {
        let mut facts = Facts::default();
        add(trace, &profile(trace, &SpanTree::new(trace), None), &mut facts);
        facts.into_items().into_iter().map(|fact| (fact.name, fact.value)).collect()
    }

    #[test]
    fn a_failed_run_has_its_versions_and_totals() {
        let usage = TokenUsage { input: Some(12), output: Some(3) };
        let trace = Trace {
            resource: [("service.version", "1.4.2"), ("process.runtime.version", "3.12.11"), ("langfuse.prompt.version", "answer@7")]
                .map(|(key, value)| Attribute { key: key.into(), value: value.into() })
                .into(),
            user: Some("<USER:1a2b3c>".into()),
            spans: vec![Span { kind: SpanKind::Llm, usage, cost_usd: Some(0.01), ..Span::default() }],
            ..Trace::default()
        };
        let expected = [
            ("service_version", "1.4.2"),
            ("prompt_name", "answer"),
            ("prompt_version", "7"),
            ("user", "<USER:1a2b3c>"),
            ("runtime_version", "3.12.11"),
            ("trace_input_tokens", "12"),
            ("trace_output_tokens", "3"),
            ("trace_tokens", "15"),
            ("trace_cost_usd", "0.01"),
        ];
        assert_eq!(facts_of(&trace), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
