//! Where a failed call went: host and port, whether that is this machine, a private network or a provider, and what the operating system said.

use super::super::byte_regex::ByteRegex;

use super::names::fact_names;
use super::network_problems::{PROBLEMS, first_causes};
use super::texts::{Source, add_meaning, find, is_called, spans_of_call};
use super::{Case, Extractor, Facts, Place};
use crate::model::Span;

fact_names! {
    ENDPOINT_HOST = "endpoint_host", Text, "the host that was called";
    ENDPOINT_PORT = "endpoint_port", Text, "the port that was called";
    ENDPOINT_CLASS = "endpoint_class", Text, "where the host is";
    ENDPOINT_PATH = "endpoint_path", Text, "the path that was called";
    NETWORK_PROBLEM = "network_problem", Text, "what the connection failed with";
    CERTIFICATE_PROBLEM = "certificate_problem", Text, "what is wrong with the certificate";
    LOCAL_SERVER = "local_server", Text, "the local or private server that was called";
    REFUSING_SERVER = "refusing_server", Text, "the public server that refused the connection";
    INTERRUPTION = "interruption", Text, "how a connection that was made broke off";
    UNRESOLVED_HOST = "unresolved_host", Text, "the host name that could not be resolved";
    GATEWAY = "gateway", Text, "the gateway that answered";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

const FACTORS: [&str; 13] = [
    "connection_failed",
    "provider_timeout",
    "provider_overloaded",
    "authentication_failed",
    "permission_denied",
    "model_not_found",
    "rate_limited",
    "tool_unavailable",
    "tool_timeout",
    "tool_auth_failed",
    "tool_rate_limited",
    "retriever_error",
    "tool_resource_not_found",
];

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    static GATEWAYS: ByteRegex =
        ByteRegex::new(r"(?i)(?-u:\b)(cloudflare|nginx|openresty|envoy|haproxy|cloudfront|traefik|istio|varnish|akamai|squid)(?-u:\b)");
    if !case.is(&FACTORS) {
        return;
    }
    let (mut sources, spans) = (case.error_texts().to_vec(), spans_of_call(case));
    sources.extend(first_causes(case));
    add_host(&sources, &spans, facts);
    if case.is(&["connection_failed", "tool_unavailable", "retriever_error", "provider_timeout"]) {
        let of_type = case.root.and_then(|root| root.error_type.as_deref());
        add_meaning(&NETWORK_PROBLEM, &sources, &PROBLEMS, facts);
        let by_type = of_type.and_then(|kind| PROBLEMS.iter().find(|(problem, _)| problem.is_match(kind)));
        if let Some(((_, meaning), span)) = by_type.zip(case.span()) {
            facts.add(&NETWORK_PROBLEM, meaning, Place::Span(span));
        }
    }
    add_derived(case, facts);
    if case.is(&["provider_overloaded", "provider_timeout", "tool_unavailable", "connection_failed", "permission_denied"])
        && let Some((source, captures)) = find(&sources, &GATEWAYS)
        && let Some(found) = captures.get(1)
    {
        facts.add(&GATEWAY, found.as_str(), source.place());
    }
}

/// Facts for what to do about a problem: the certificate, the name, or the server on this machine.
fn add_derived(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(span) = case.span() else { return };
    let known = |name| facts.get(name).map(str::to_owned);
    let (host, problem) = (known(&ENDPOINT_HOST), known(&NETWORK_PROBLEM));
    if let Some(problem) = problem.as_deref().filter(|problem| problem.contains("certificate")) {
        facts.add(&CERTIFICATE_PROBLEM, problem, Place::Span(span));
    }
    if let Some(problem) = problem.as_deref().filter(|problem| problem.contains("reset") || problem.contains("closed")) {
        facts.add(&INTERRUPTION, problem, Place::Span(span));
    }
    let Some(host) = host else { return };
    if problem.as_deref().is_some_and(|problem| problem.contains("resolved")) {
        facts.add(&UNRESOLVED_HOST, &host, Place::Span(span));
    } else if problem.is_some() && facts.get(&ENDPOINT_CLASS).is_some_and(|class| !class.contains("public")) {
        let server = facts.get(&ENDPOINT_PORT).map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        facts.add(&LOCAL_SERVER, server, Place::Span(span));
    } else if problem.as_deref().is_some_and(|problem| problem.contains("refused")) {
        let server = facts.get(&ENDPOINT_PORT).map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        facts.add(&REFUSING_SERVER, server, Place::Span(span));
    }
}

/// The host and port: from the error, then from the attributes of the call.
fn add_host(sources: &[Source<'_>], spans: &[&Span], facts: &mut Facts) {
    const URL_KEYS: [&str; 12] = [
        "urlfull",
        "httpurl",
        "url",
        "baseurl",
        "apibase",
        "openaiapibase",
        "endpoint",
        "modelbaseurl",
        "endpointurl",
        "azureendpoint",
        "ollamahost",
        "full",
    ];
    static IN_TEXT: ByteRegex = ByteRegex::new(concat!(
        // urllib3, aiohttp, Node.js, Go, Java, redis-py, libpq, pymongo.
        r"(?i)ConnectionPool\(host='(?P<h1>[^']+)', port='?(?P<p1>[0-9]{1,5})|(?-u:\b)host (?P<h2>[0-9A-Za-z_.-]{2,}):(?P<p2>[0-9]{2,5}) ssl|",
        r"(?-u:\b)(?:ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH) (?P<h3>[0-9A-Za-z_.-]{2,}|::1|\[[0-9a-f:]+\]):(?P<p3>[0-9]{2,5})|(?-u:\b)(?:ENOTFOUND|EAI_AGAIN) (?P<h4>[0-9A-Za-z_.-]{2,})|",
        r"(?-u:\b)dial tcp:? (?:lookup )?(?P<h5>[0-9A-Za-z_.-]{2,})(?::(?P<p5>[0-9]{2,5}))?|(?-u:\b)UnknownHostException: (?P<h6>[0-9A-Za-z_.-]{2,})|(?-u:\b)resolve (?:host )?'(?P<h7>[0-9A-Za-z_.-]{2,})'|",
        r"(?-u:\b)connect(?:ing)? to (?P<h8>[0-9A-Za-z_.-]{2,})(?:/[0-9.]+)?:(?P<p8>[0-9]{2,5})|(?-u:\b)server on host \x22(?P<h9>[0-9A-Za-z_.-]+)\x22[^\n]*port (?P<p9>[0-9]{2,5})|",
        r"(?-u:\b)server at \x22?(?P<h10>[0-9A-Za-z_.-]{2,})\x22?(?: \([^)]*\))?, port (?P<p10>[0-9]{2,5})|(?-u:\b)server on '(?P<h11>[0-9A-Za-z_.-]+)'|(?-u:\b)connect call failed \('(?P<h13>[0-9A-Za-z_.:-]{2,})', (?P<p13>[0-9]{2,5})|",
        // A URL in a sentence about the call.
        r"(?:(?-u:\b)url[:=]? ?\(?|(?-u:\b)when requesting |(?-u:\b)(?:requests?|calls?|connections?|connect|connecting|response) (?:to|from|for) |(?-u:\b)(?:POST|GET) )['\x22(]?https?://(?P<h12>[0-9A-Za-z_.-]{2,})(?::(?P<p12>[0-9]{2,5}))?(?P<path>/[^\s'\x22)?>]+)?",
    ));
    static URL: ByteRegex =
        ByteRegex::new(r"^\s*(?:https?|grpcs?|wss?)://(?:[^/@\s]+@)?([0-9A-Za-z_.-]{2,}|\[[0-9a-f:]+\])(?::([0-9]{2,5}))?");
    static IN_HEADERS: ByteRegex = ByteRegex::new(r#"["']api_base["']\s*:\s*["']https?://([0-9A-Za-z_.-]{2,})(?::([0-9]{2,5}))?"#);
    if let Some((source, captures)) = find(sources, &IN_TEXT) {
        let group = |prefix: char| (1..=13).find_map(|number| captures.name(&format!("{prefix}{number}"))).map(|found| found.as_str());
        if let Some(host) = group('h').map(|host| host.trim_end_matches('.')).filter(|host| is_host(host)) {
            facts.add(&ENDPOINT_HOST, host, source.place());
            add_class(host, source.span, facts);
            if let Some(port) = group('p') {
                facts.add(&ENDPOINT_PORT, port, source.place());
            }
            if let Some(path) = captures.name("path").map(|path| path.as_str()).filter(|path| *path != "/") {
                facts.add(&ENDPOINT_PATH, path.trim_end_matches(['.', ',', ';', ':']), source.place());
            }
            return;
        }
    }
    for span in spans {
        const ADDRESS_KEYS: [&str; 9] = [
            "server.address",
            "net.peer.name",
            "network.peer.address",
            "http.host",
            "net.peer.ip",
            "peer.address",
            "peer.hostname",
            "http.server_name",
            "server.host",
        ];
        let address = span
            .attributes
            .iter()
            .find(|attribute| ADDRESS_KEYS.iter().any(|key| attribute.key.ends_with(key)) && is_host(attribute.value.trim()));
        if let Some(found) = address {
            let text = super::super::text::clip(&found.value);
            // Some instrumentations write the whole base URL.
            let in_url = URL.captures(text).and_then(|captures| captures.get(1)).map(|host| host.as_str());
            let text = in_url.unwrap_or_else(|| text.trim().split([':', '/']).next().filter(|_| !text.contains("::")).unwrap_or(text));
            let source = Source { span, field: format!("attributes.{}", found.key), text };
            facts.add(&ENDPOINT_HOST, source.text.trim(), source.place());
            add_class(source.text.trim(), span, facts);
            let is_port = |key: &str| ["server.port", "peer.port"].iter().any(|end| key.ends_with(end));
            let port = span.attributes.iter().find(|attribute| is_port(&attribute.key) && attribute.value.trim().parse::<u16>().is_ok());
            if let Some(port) = port {
                facts.add(&ENDPOINT_PORT, port.value.trim(), Place::Field(span, &format!("attributes.{}", port.key)));
            }
            return;
        }
        let is_url_key = |key: &str| URL_KEYS.iter().any(|name| is_called(key, name)) || is_called(key, "hiddenparams");
        for attribute in span.attributes.iter().filter(|attribute| is_url_key(&attribute.key)).take(8) {
            let text = super::super::text::clip(&attribute.value);
            let expressions = [&URL, &IN_HEADERS];
            let found = expressions.iter().find_map(|expression| expression.captures(text));
            let Some(host) = found.as_ref().and_then(|captures| captures.get(1)).filter(|host| is_host(host.as_str())) else { continue };
            let field = format!("attributes.{}", attribute.key);
            facts.add(&ENDPOINT_HOST, host.as_str(), Place::Field(span, &field));
            add_class(host.as_str(), span, facts);
            if let Some(port) = found.as_ref().and_then(|captures| captures.get(2)) {
                facts.add(&ENDPOINT_PORT, port.as_str(), Place::Field(span, &field));
            }
            return;
        }
    }
}

/// Whether a word is a host: an address, a name with a dot, `localhost`, or a short name of a container, and no type of a message.
fn is_host(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && word.len() <= 253
        && !word.contains("Error")
        && !word.contains("Exception")
        && !matches!(word, "the" | "server" | "host" | "all" | "remote" | "upstream" | "api" | "service")
}

fn add_class(host: &str, span: &Span, facts: &mut Facts) {
    facts.add(&ENDPOINT_CLASS, class_of(host), Place::Span(span));
}

/// Where a host is.
fn class_of(host: &str) -> &'static str {
    const PROVIDERS: [&str; 26] = [
        "api.openai.com",
        "api.anthropic.com",
        "googleapis.com",
        "openai.azure.com",
        "cognitiveservices.azure.com",
        "services.ai.azure.com",
        "amazonaws.com",
        "api.mistral.ai",
        "api.cohere.com",
        "api.cohere.ai",
        "api.groq.com",
        "api.deepseek.com",
        "api.x.ai",
        "openrouter.ai",
        "api.together.xyz",
        "api.fireworks.ai",
        "huggingface.co",
        "api.perplexity.ai",
        "dashscope.aliyuncs.com",
        "bigmodel.cn",
        "moonshot.cn",
        "moonshot.ai",
        "api.cerebras.ai",
        "models.inference.ai.azure.com",
        "api.voyageai.com",
        "api.sambanova.ai",
    ];
    let name = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let octets: Vec<u8> = name.split('.').filter_map(|part| part.parse().ok()).collect();
    let is_address = octets.len() == 4 && name.split('.').count() == 4;
    let is_private = match octets.as_slice() {
        [10, ..] | [192, 168, ..] | [169, 254, ..] => is_address,
        [172, second, ..] => is_address && (16..32).contains(second),
        _ => false,
    };
    if name == "localhost"
        || name.ends_with(".localhost")
        || name == "::1"
        || (is_address && octets.first() == Some(&127))
        || name == "0.0.0.0"
    {
        return "the machine itself";
    }
    let is_internal =
        [".internal", ".local", ".lan", ".svc", ".cluster.local", ".corp", ".intranet", ".home.arpa"].iter().any(|end| name.ends_with(end));
    if is_private || is_internal || (!name.contains('.') && !name.contains(':')) {
        return "a private network";
    }
    if PROVIDERS.iter().any(|provider| {
        name == *provider
            || name.ends_with(&format!(".{provider}"))
            || (name.ends_with(provider) && name.ends_with(&format!("-{provider}")))
    }) {
        return "a public model provider";
    }
    "a public host"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attribute;

    #[test]
    fn the_error_that_began_a_chain_says_why_a_connection_failed() {
        use super::super::super::incident::{Incident, IncidentKind};
        use super::super::super::tree::SpanTree;
        use crate::model::{Exception, Label, SpanKind, Status, Trace};
        for (cause, expected, server) in [
            ("httpx.ConnectError: [Errno 111] Connection refused", "the connection was refused", None),
            (
                "ConnectionRefusedError: [Errno 111] Connect call failed ('10.0.3.7', 8000)",
                "the connection was refused",
                Some("10.0.3.7:8000"),
            ),
            ("ConnectionResetError: [Errno 104] Connection reset by peer", "the connection was reset", None),
            (
                "httpx.RemoteProtocolError: Server disconnected without sending a response.",
                "the server closed the connection without an answer",
                None,
            ),
            ("socket.gaierror: [Errno -2] Name or service not known", "the host name could not be resolved", None),
        ] {
            let stack = format!(
                "Traceback (most recent call last):\n  File \"/app/a.py\", line 1, in call\n    send()\n{cause}\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"/app/b.py\", line 2, in run\n    call()\nopenai.APIConnectionError: Connection error.\n"
            );
            let exception = Exception { kind: "openai.APIConnectionError".into(), message: "Connection error.".into(), stack: Some(stack) };
            let failed = Span { kind: SpanKind::Llm, status: Status::Error, exceptions: vec![exception], ..Span::default() };
            let trace = Trace { spans: vec![failed], ..Trace::default() };
            let (tree, root) = (SpanTree::new(&trace), Incident::new(&trace, 0, IncidentKind::Error).unwrap());
            let label = Label::parse("provider_error/connection_failed").unwrap();
            let mut facts = Facts::default();
            add(&Case::new(&trace, &tree, &[], Some(&root), label), &mut facts);
            assert_eq!((facts.get(&NETWORK_PROBLEM), facts.get(&LOCAL_SERVER)), (Some(expected), server), "{cause}");
        }
    }

    #[test]
    fn hosts_are_read_in_the_messages_of_http_clients() {
        for (text, host, port, class) in [
            (
                "HTTPConnectionPool(host='localhost', port=11434): Max retries exceeded with url: /api/chat (Caused by …)",
                "localhost",
                "11434",
                "the machine itself",
            ),
            (
                "Cannot connect to host api.openai.com:443 ssl:default [Connect call failed]",
                "api.openai.com",
                "443",
                "a public model provider",
            ),
            ("connect ECONNREFUSED 127.0.0.1:8080", "127.0.0.1", "8080", "the machine itself"),
            ("getaddrinfo ENOTFOUND api.acme.example", "api.acme.example", "", "a public host"),
            ("Post \"…\": dial tcp 10.0.3.7:443: connect: connection refused", "10.0.3.7", "443", "a private network"),
            ("dial tcp: lookup llm.internal: no such host", "llm.internal", "", "a private network"),
            ("java.net.UnknownHostException: inference.svc.cluster.local", "inference.svc.cluster.local", "", "a private network"),
            ("Error 111 connecting to localhost:6379. Connection refused.", "localhost", "6379", "the machine itself"),
            (
                "error sending request for url (https://generativelanguage.googleapis.com/v1beta/models)",
                "generativelanguage.googleapis.com",
                "",
                "a public model provider",
            ),
            ("503 Server Error: Service Unavailable for url: https://search.internal/query", "search.internal", "", "a private network"),
            ("Failed to resolve 'api.mistral.ai' ([Errno -2] Name or service not known)", "api.mistral.ai", "", "a public model provider"),
            (
                "Could not connect to the endpoint URL: \"https://bedrock-runtime.us-east-1.amazonaws.com/model/x\"",
                "bedrock-runtime.us-east-1.amazonaws.com",
                "",
                "a public model provider",
            ),
            ("Connection error.", "", "", ""),
            ("[Errno 111] Connection refused", "", "", ""),
            ("[Errno 111] Connect call failed ('127.0.0.1', 18499)", "127.0.0.1", "18499", "the machine itself"),
            ("read ECONNRESET", "", "", ""),
            ("Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.", "", "", ""),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            add_host(&[Source { span: &span, field: "status_message".into(), text }], &[], &mut facts);
            let found = [&ENDPOINT_HOST, &ENDPOINT_PORT, &ENDPOINT_CLASS].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [host, port, class], "{text}");
        }
    }

    #[test]
    fn hosts_are_read_in_attributes() {
        for (key, value, host) in [
            ("server.address", "api.anthropic.com", Some("api.anthropic.com")),
            ("net.peer.name", "10.1.2.3", Some("10.1.2.3")),
            ("server.address", "http://127.0.0.1:33049/v1/", Some("127.0.0.1")),
            ("server.address", "llm.acme.example:8080", Some("llm.acme.example")),
            ("url.full", "https://api.openai.com/v1/chat/completions", Some("api.openai.com")),
            ("gen_ai.openai.api_base", "http://127.0.0.1:42769/v1/", Some("127.0.0.1")),
            ("http.url", "https://user@llm.acme.example:8443/v1", Some("llm.acme.example")),
            ("hidden_params", r#"{"model_id": null, "api_base": "http://127.0.0.1:4000"}"#, Some("127.0.0.1")),
            ("client.address", "203.0.113.9", None),
            ("user.address", "12 Main Street", None),
        ] {
            let span = Span { attributes: vec![Attribute { key: key.into(), value: value.into() }], ..Span::default() };
            let mut facts = Facts::default();
            add_host(&[], &[&span], &mut facts);
            assert_eq!(facts.get(&ENDPOINT_HOST), host, "{key}");
        }
    }

    #[test]
    fn problems_of_connections_are_distinguished() {
        let problem = |text: &str| PROBLEMS.iter().find(|(expression, _)| expression.is_match(text)).map(|(_, meaning)| *meaning);
        for (text, expected) in [
            (
                "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain",
                "the certificate is self-signed",
            ),
            ("[Errno 111] Connection refused", "the connection was refused"),
            ("getaddrinfo ENOTFOUND api.acme.example", "the host name could not be resolved"),
            ("ConnectionResetError(104, 'Connection reset by peer')", "the connection was reset"),
            (
                "peer closed connection without sending complete message body (incomplete chunked read)",
                "the connection was closed in the middle of the answer",
            ),
            ("Server disconnected without sending a response.", "the server closed the connection without an answer"),
            ("socket hang up", "the server closed the connection without an answer"),
            ("dial tcp: no route to host", "the network was unreachable"),
            ("SSLError(SSLEOFError(8, 'EOF occurred in violation of protocol'))", "the TLS handshake failed"),
        ] {
            assert_eq!(problem(text), Some(expected), "{text}");
        }
        assert_eq!(problem("Connection error."), None);
    }
}
