//! What a connection failed with, in the words of operating systems and clients, and the error below the one of an SDK that says so.

use super::super::byte_regex::ByteRegex;

use super::super::text::clip;
use super::texts::Source;
use super::{Case, frames};

/// What a connection failed with, the most specific first. Each completes "the connection …".
pub(super) static PROBLEMS: [(ByteRegex, &str); 15] = [
    (ByteRegex::new(r"(?i)self[- ]signed certificate"), "the certificate is self-signed"),
    (ByteRegex::new(r"(?i)certificate has expired|CERT_HAS_EXPIRED|certificate (?:is )?expired"), "the certificate has expired"),
    (
        ByteRegex::new(
            r"(?i)unable to get (?:local )?issuer certificate|UNABLE_TO_(?:VERIFY|GET)|unknown (?:ca|issuer)|certificate signed by unknown authority",
        ),
        "the issuer of the certificate is unknown",
    ),
    (
        ByteRegex::new(r"(?i)hostname mismatch|certificate is not valid for|ERR_TLS_CERT_ALTNAME|doesn't match"),
        "the certificate is for another host",
    ),
    (ByteRegex::new(r"(?i)certificate.verify.failed|SSLCertVerificationError"), "the certificate could not be verified"),
    (
        ByteRegex::new(
            r"(?i)SSLEOFError|EOF occurred in violation|tls handshake|ssl(?:v3)?[^a-z].{0,30}(?:alert|error|wrong version)|WRONG_VERSION_NUMBER|SSLError",
        ),
        "the TLS handshake failed",
    ),
    (
        ByteRegex::new(r"(?i)ECONNREFUSED|connection ?refused|actively refused|os error 111|errno 111|errno 61(?-u:\b)|WinError 10061"),
        "the connection was refused",
    ),
    (
        ByteRegex::new(
            r"(?i)ENOTFOUND|EAI_AGAIN|getaddrinfo|name or service not known|no such host|UnknownHost|failed to resolve|NameResolutionError|nodename nor servname|name resolution|could not resolve host|dns error",
        ),
        "the host name could not be resolved",
    ),
    (ByteRegex::new(r"(?i)ENETUNREACH|network is unreachable|EHOSTUNREACH|no route to host"), "the network was unreachable"),
    (ByteRegex::new(r"(?i)ECONNRESET|connection ?reset|os error 104|errno 104"), "the connection was reset"),
    (ByteRegex::new(r"(?i)EPIPE|broken ?pipe"), "the connection was closed while the request was sent"),
    (
        ByteRegex::new(
            r"(?i)incomplete (?:chunked )?read|peer closed|payload is not completed|IncompleteRead|ChunkedEncodingError|premature close|unexpected eof|stream (?:was |has been )?(?:disconnected|closed|interrupted|terminated|ended)|eof while reading|terminated",
        ),
        "the connection was closed in the middle of the answer",
    ),
    (
        ByteRegex::new(
            r"(?i)server disconnected|socket hang up|other side closed|connection (?:was )?closed|remote end closed|without response|ECONNABORTED|connection aborted|UND_ERR_SOCKET",
        ),
        "the server closed the connection without an answer",
    ),
    (
        ByteRegex::new(r"(?i)connect(?:ion|ing)? time(?:d )?-?out|ConnectTimeout|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT"),
        "no connection was made within the time limit",
    ),
    (ByteRegex::new(r"(?i)proxy"), "the proxy failed"),
];

/// The error that began the chain below the one of an SDK, which itself only says `Connection error.`: its message, then its type.
pub(super) fn first_causes<'t>(case: &Case<'_, 't>) -> Vec<Source<'t>> {
    let Some(span) = case.span() else { return Vec::new() };
    let last = span.exceptions.iter().enumerate().next_back();
    let stack =
        last.and_then(|(index, exception)| Some((index, exception.stack.as_deref().filter(|stack| frames::may_have_frames(stack))?)));
    let Some((index, (kind, message))) = stack.and_then(|(index, stack)| Some((index, frames::read(stack).first_cause?))) else {
        return Vec::new();
    };
    [message, kind].map(|text| Source { span, field: format!("exceptions[{index}].stack"), text: clip(text) }).into()
}
