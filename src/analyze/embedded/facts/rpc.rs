//! What a failed network call says: the details of a gRPC status, the address, and the words of the operating system.

use super::super::byte_regex::ByteRegex;
use super::endpoint::{ENDPOINT_HOST, ENDPOINT_PORT};
use super::find::{bare, capture, expressions};
use super::names::fact_names;
use super::texts::Source;
use super::{Case, Extractor, Facts, shortened};

fact_names! {
    GRPC_DETAILS = "grpc_details", Text, "the details of the gRPC status";
    NETWORK_ADDRESS = "network_address", Text, "the address that was called";
    NETWORK_ERROR = "network_error", Text, "the network error in the words of the operating system";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

const DETAILS_CHARS_MAX: usize = 140;

expressions! {
    DETAILS_IN_TEXT = r#"(?-u:\b)details = "([^"\n]{3,400})|(?-u:\b)rpc error: code = [A-Za-z0-9_]{1,20} desc = ([^\n]{3,400})|(?-u:\b)Detail="([^"\n]{3,400})"#;
    ADDRESS_IN_TEXT =
        r"(?-u:\b)ipv4:(<IP:[0-9a-z]{1,16}>:[0-9]{1,5})|(?-u:\b)ipv4:(?:%?)([0-9]{1,3}(?:\.[0-9]{1,3}){3}:[0-9]{1,5})|(?-u:\b)ipv6:(?:%5B|\[)([0-9a-f:]{2,40}(?:%5D|\]):[0-9]{1,5})|(?-u:\b)dial tcp:? (?:lookup )?(\[?[A-Za-z0-9_.:-]{2,100}\]?:[0-9]{2,5})(?-u:\b)",
        r"|(?-u:\b)(?:ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH) ([A-Za-z0-9_.\-]{2,100}:[0-9]{2,5})(?-u:\b)|(?-u:\b)connect(?:ing|ion)? to ([A-Za-z0-9_.\-]{2,100}:[0-9]{2,5})(?-u:\b)|(?-u:\b)host ([A-Za-z0-9_.\-]{2,100}:[0-9]{2,5})(?-u:\b)|(?-u:\b)finishConnect\(\.\.\) failed: [^\n:]{3,40}: [A-Za-z0-9_.\-]{0,100}/([0-9]{1,3}(?:\.[0-9]{1,3}){3}:[0-9]{2,5})";
    ERROR_IN_TEXT =
        r"(?i)(?-u:\b)(connection refused|connection reset by peer|connection timed out|no route to host|network is unreachable|host is unreachable|name or service not known|temporary failure in name resolution|no such host|broken pipe|operation timed out|socket closed|connection aborted|nodename nor servname provided, or not known)";
}

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let is_network = matches!(case.label.category(), "tool_failure" | "provider_error") || case.is(&["retriever_error"]);
    if is_network {
        add_of_texts(case.error_texts(), facts);
    }
}

fn add_of_texts(sources: &[Source<'_>], facts: &mut Facts) {
    let find = |expression: &ByteRegex| sources.iter().find_map(|source| Some((source, capture(expression, source.text).map(bare)?)));
    if let Some((source, details)) = find(&DETAILS_IN_TEXT) {
        facts.add(&GRPC_DETAILS, shortened(details, DETAILS_CHARS_MAX), source.place());
    }
    if let Some((source, address)) = find(&ADDRESS_IN_TEXT) {
        facts.add(&NETWORK_ADDRESS, address, source.place());
        if let Some((host, port)) = address.rsplit_once(':').filter(|_| !facts.has(&ENDPOINT_HOST)) {
            facts.add(&ENDPOINT_HOST, host.trim_matches(['[', ']']), source.place());
            facts.add(&ENDPOINT_PORT, port, source.place());
        }
    }
    if let Some((source, error)) = find(&ERROR_IN_TEXT) {
        facts.add(&NETWORK_ERROR, error, source.place());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    #[test]
    fn addresses_and_network_errors_are_read() {
        for (text, details, address, error) in [
            (
                "<_InactiveRpcError of RPC that terminated with:\n\tstatus = StatusCode.UNAVAILABLE\n\tdetails = \"ipv4:10.42.7.19:50051: Failed to connect to remote host: Connection refused\"",
                "ipv4:10.42.7.19:50051: Failed to connect to remote host: Connection refused",
                "10.42.7.19:50051",
                "Connection refused",
            ),
            ("rpc error: code = DeadlineExceeded desc = context deadline exceeded", "context deadline exceeded", "", ""),
            ("14 UNAVAILABLE: No connection established. Last error: connect ECONNREFUSED 10.0.0.9:7070", "", "10.0.0.9:7070", ""),
            ("Status(StatusCode=\"PermissionDenied\", Detail=\"not yours\")", "not yours", "", ""),
            ("dial tcp 10.0.3.7:443: connect: no route to host", "", "10.0.3.7:443", "no route to host"),
            ("404 NOT FOUND: the page", "", "", ""),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            add_of_texts(&[Source { span: &span, field: "status_message".into(), text }], &mut facts);
            let found = [&GRPC_DETAILS, &NETWORK_ADDRESS, &NETWORK_ERROR].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [details, address, error], "{text}");
        }
    }
}
