//! The columns of a pattern about the run as a whole: what ran, for whom, how long, and what it used.
//!
//! In: a redacted trace. Out: [`TraceProfile`]. A value that the trace does not record stays empty.

use super::facts::milliseconds_between;
use super::totals::{Totals, prompt_version};
use super::tree::SpanTree;
use crate::model::{ContextField, RunContext, Span, Trace, TraceProfile};

/// The run as a whole. `step` is the step that failed, if one did: of several prompts, its prompt is the one that matters.
pub(super) fn profile(trace: &Trace, tree: &SpanTree, step: Option<&Span>) -> TraceProfile {
    let (root, values) = (trace.root(), RunContext::of(trace));
    let totals = Totals::of(trace, tree, &values);
    TraceProfile {
        root_span_id: root.map(|span| span.span_id.clone()),
        root_span_name: root.map(|span| span.name.clone()).filter(|name| !name.is_empty()),
        trace_duration_ms: trace.started_at_ns().zip(trace.ended_at_ns()).and_then(|(start, end)| milliseconds_between(start, end)),
        trace_input_tokens: totals.input_tokens,
        trace_output_tokens: totals.output_tokens,
        trace_cost_usd: totals.cost_usd,
        service_version: values.text(ContextField::ServiceVersion),
        service_instance_id: values.text(ContextField::ServiceInstance),
        vcs_revision: values.text(ContextField::Revision),
        prompt_version: prompt_version(trace, step, &values),
        project: values.text(ContextField::Project),
        region: values.text(ContextField::Region),
        user_token: trace.user.clone(),
        session_token: trace.session.clone(),
        trace_url: None,
        source_uris: (!trace.source_uris.is_empty()).then(|| trace.source_uris.clone()),
        format: trace.format,
        path: values.text(ContextField::Path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attribute, SpanKind};

    fn attribute(key: &str, value: &str) -> Attribute {
        Attribute { key: key.into(), value: value.into() }
    }

    fn span(id: &str, parent: Option<&str>, kind: SpanKind) -> Span {
        Span { span_id: id.into(), parent_span_id: parent.map(str::to_owned), kind, ..Span::default() }
    }

    #[test]
    fn a_profile_has_what_the_trace_records() {
        let answer = Span {
            model: Some("m".into()),
            attributes: vec![
                attribute("langfuse.observation.prompt.name", "answer"),
                attribute("langfuse.observation.prompt.version", "7"),
            ],
            ..span("b", Some("a"), SpanKind::Llm)
        };
        let trace = Trace {
            resource: vec![attribute("service.version", "1.4.2"), attribute("cloud.region", "eu-central-1")],
            user: Some("<USER:1a2b3c>".into()),
            spans: vec![
                Span { name: "agent".into(), started_at_ns: Some(1), ended_at_ns: Some(5_000_001), ..span("a", None, SpanKind::Agent) },
                answer,
                span("c", Some("a"), SpanKind::Tool),
            ],
            ..Trace::default()
        };
        let found = profile(&trace, &SpanTree::new(&trace), trace.spans.get(2));
        assert_eq!((found.service_version.as_deref(), found.region.as_deref()), (Some("1.4.2"), Some("eu-central-1")));
        assert_eq!((found.prompt_version.as_deref(), found.trace_duration_ms), (Some("answer@7"), Some(5.0)));
        assert_eq!((found.root_span_name.as_deref(), found.user_token.as_deref()), (Some("agent"), Some("<USER:1a2b3c>")));
        assert_eq!((found.project, found.vcs_revision, found.trace_cost_usd), (None, None, None));
    }
}
