//! Calls of other services that an instrumentation of an HTTP, RPC or database client recorded inside a step, such as `POST` below a model
//! call.
//!
//! Such a span is no step of the agent. Its failure is the failure of the step that made the call, if that step failed too and does not say why.

use super::tree::SpanTree;
use crate::model::{Span, SpanKind, Trace};

/// Whether the span is the call of another service, by the attributes of OpenTelemetry's conventions for HTTP, RPC, databases and networks.
pub(super) fn is_client_call(span: &Span) -> bool {
    const CLIENT_KEYS: [&str; 12] = [
        "http.request.method",
        "http.method",
        "http.url",
        "url.full",
        "http.response.status_code",
        "http.status_code",
        "db.system",
        "db.system.name",
        "rpc.system",
        "rpc.system.name",
        "net.transport",
        "network.transport",
    ];
    span.kind == SpanKind::Other && CLIENT_KEYS.iter().any(|key| span.attribute(key).is_some()) && !is_server(span)
}

/// Whether the span is the request that a server received.
fn is_server(span: &Span) -> bool {
    let has = |key: &str| span.attribute(key).is_some();
    ["http.route", "client.address", "http.client_ip", "http.server_name"].iter().any(|key| has(key))
        || (has("url.path") && !has("url.full"))
        || (has("http.target") && !has("http.url") && !has("net.peer.name"))
}

/// The step that made a call: the nearest ancestor that is not itself such a call.
pub(super) fn step_of(trace: &Trace, tree: &SpanTree, index: usize) -> Option<usize> {
    tree.self_and_ancestors(index).skip(1).find(|ancestor| trace.spans.get(*ancestor).is_some_and(|span| !is_client_call(span)))
}

/// The kind of step that fails if the call fails. Without a step that shows it, the called service decides: a model provider, or anything else,
/// which is a tool of the agent.
pub(super) fn kind_of_call(call: &Span, step: Option<&Span>) -> SpanKind {
    match step.map(|step| step.kind) {
        Some(kind @ (SpanKind::Llm | SpanKind::Embedding | SpanKind::Tool | SpanKind::Retriever | SpanKind::Guardrail)) => kind,
        _ if calls_provider(call) => SpanKind::Llm,
        _ => SpanKind::Tool,
    }
}

/// Whether the called service is the API of a model provider, by its host or by the path of the request.
pub(super) fn calls_provider(call: &Span) -> bool {
    let host = || ["server.address", "net.peer.name", "http.host", "peer.service"].iter().find_map(|key| call.attribute(key));
    let url = || ["url.full", "http.url", "url.path", "http.target"].iter().find_map(|key| call.attribute(key));
    host().is_some_and(is_provider_host) || url().is_some_and(|url| is_provider_host(host_of(url)) || is_provider_path(url))
}

/// The host in a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default()
}

/// Whether a host is an API of a model provider.
fn is_provider_host(host: &str) -> bool {
    const HOSTS: [&str; 40] = [
        "api.openai.com",
        "api.anthropic.com",
        "generativelanguage.googleapis.com",
        "aiplatform.googleapis.com",
        "api.mistral.ai",
        "codestral.mistral.ai",
        "api.cohere.com",
        "api.cohere.ai",
        "api.groq.com",
        "api.x.ai",
        "api.together.xyz",
        "api.together.ai",
        "api.deepseek.com",
        "openrouter.ai",
        "api.fireworks.ai",
        "api.perplexity.ai",
        "api.cerebras.ai",
        "api.replicate.com",
        "api.ai21.com",
        "api-inference.huggingface.co",
        "router.huggingface.co",
        "integrate.api.nvidia.com",
        "dashscope.aliyuncs.com",
        "dashscope-intl.aliyuncs.com",
        "open.bigmodel.cn",
        "api.z.ai",
        "api.moonshot.cn",
        "api.moonshot.ai",
        "api.minimax.chat",
        "api.minimax.io",
        "api.sambanova.ai",
        "api.deepinfra.com",
        "api.voyageai.com",
        "api.jina.ai",
        "models.github.ai",
        "models.inference.ai.azure.com",
        "gateway.ai.cloudflare.com",
        "ai-gateway.vercel.sh",
        "api.reka.ai",
        "api.writer.com",
    ];
    const SUFFIXES: [&str; 8] = [
        ".openai.azure.com",
        ".services.ai.azure.com",
        ".cognitiveservices.azure.com",
        "-aiplatform.googleapis.com",
        ".ml.cloud.ibm.com",
        ".endpoints.huggingface.cloud",
        ".volces.com",
        ".api.openai.com",
    ];
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_bedrock = host.starts_with("bedrock") && host.contains(".amazonaws.com");
    HOSTS.contains(&host.as_str()) || SUFFIXES.iter().any(|suffix| host.ends_with(suffix)) || is_bedrock
}

/// Whether a path is one of a model API, which gateways and self-hosted models share: `/v1/chat/completions`.
fn is_provider_path(url: &str) -> bool {
    const PATHS: [&str; 10] = [
        "/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/embeddings",
        ":generateContent",
        ":streamGenerateContent",
        ":embedContent",
        "/converse",
        "/invoke-with-response-stream",
    ];
    let path = url.split(['?', '#']).next().unwrap_or_default();
    PATHS.iter().any(|known| path.ends_with(known)) || (path.contains("/model/") && path.ends_with("/invoke"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attribute;

    fn span(kind: SpanKind, attributes: &[(&str, &str)]) -> Span {
        let attributes = attributes.iter().map(|(key, value)| Attribute { key: (*key).into(), value: (*value).into() }).collect();
        Span { kind, attributes, ..Span::default() }
    }

    #[test]
    fn calls_are_distinguished_from_steps_and_from_served_requests() {
        for attributes in [
            &[("http.request.method", "POST"), ("server.address", "orders.internal")][..],
            &[("http.method", "GET"), ("http.url", "http://orders.internal/A-17"), ("http.target", "/A-17")],
            &[("db.system", "redis")],
            &[("rpc.system", "grpc")],
        ] {
            assert!(is_client_call(&span(SpanKind::Other, attributes)), "{attributes:?}");
            assert!(!is_client_call(&span(SpanKind::Llm, attributes)), "{attributes:?}");
        }
        for attributes in [
            &[("http.request.method", "POST"), ("url.path", "/chat"), ("http.route", "/chat")][..],
            &[("http.method", "POST"), ("http.target", "/chat")],
            &[("server.address", "orders.internal")],
        ] {
            assert!(!is_client_call(&span(SpanKind::Other, attributes)), "{attributes:?}");
        }
    }

    #[test]
    fn a_call_without_a_step_is_of_a_provider_or_of_a_tool() {
        for (attributes, kind) in [
            (&[("server.address", "api.openai.com")][..], SpanKind::Llm),
            (&[("server.address", "bedrock-runtime.us-east-1.amazonaws.com")], SpanKind::Llm),
            (&[("net.peer.name", "europe-west4-aiplatform.googleapis.com")], SpanKind::Llm),
            (&[("url.full", "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent?alt=sse")], SpanKind::Llm),
            (&[("url.full", "http://litellm:4000/v1/chat/completions")], SpanKind::Llm),
            (&[("http.url", "https://user@orders.internal:8443/v1/messages/17")], SpanKind::Tool),
            (&[("server.address", "orders.internal"), ("url.full", "http://orders.internal/api.openai.com")], SpanKind::Tool),
            (&[("db.system", "redis")], SpanKind::Tool),
        ] {
            assert_eq!(kind_of_call(&span(SpanKind::Other, attributes), None), kind, "{attributes:?}");
        }
        let tool = span(SpanKind::Tool, &[]);
        assert_eq!(kind_of_call(&span(SpanKind::Other, &[("server.address", "api.openai.com")]), Some(&tool)), SpanKind::Tool);
    }
}
