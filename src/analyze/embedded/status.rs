//! What statuses of HTTP and gRPC say, and how they are found in texts.
//!
//! Sources: the IANA registry of HTTP status codes, the codes that nginx, Cloudflare and model providers add, and
//! <https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>.

use std::sync::LazyLock;

use regex::Regex;

use super::condition::{Condition, Side};
use super::text::expression;

/// What an HTTP error status says; `None` for one that is not registered or says nothing.
pub(super) fn condition(status: u16, side: Side) -> Option<Condition> {
    Some(match status {
        // A body that is too large is a prompt that is too long only at a model provider.
        413 if side == Side::Provider => Condition::ContextWindowExceeded,
        // nginx: 494 header too large, 495 and 496 client certificate, 497 HTTP sent to HTTPS. Esri: 498 for tokens.
        400 | 405 | 406 | 411..=417 | 421 | 422 | 426 | 428 | 431 | 494 | 497 | 505 | 510 => Condition::InvalidRequest,
        401 | 407 | 495 | 496 | 498 | 511 => Condition::AuthenticationFailed,
        402 => Condition::QuotaExhausted,
        403 | 451 => Condition::PermissionDenied,
        404 | 410 => Condition::NotFound,
        408 | 504 | 524 | 598 | 599 => Condition::Timeout,
        409 | 423 => Condition::Conflict,
        420 | 429 | 509 => Condition::RateLimited,
        // nginx: the client closed the request.
        444 | 460 | 499 => Condition::RunCancelled,
        501 => Condition::Unsupported,
        507 => Condition::ResourceExhausted,
        525 | 526 => Condition::ConnectionFailed,
        424 | 425 | 500 | 502 | 503 | 506 | 508 | 520..=523 | 527 | 529 | 530 => Condition::Overloaded,
        _ => return None,
    })
}

/// The HTTP status in the text of a failure: `Error code: 429`, `-> 500 Internal`, `429 RESOURCE_EXHAUSTED`, `HTTP 503`, `Not Found (404)`.
///
/// A number alone is not a status (`took 429 ms`): it needs a word before it, or its reason phrase beside it.
pub(super) fn in_text(text: &str) -> Option<u16> {
    static STATUS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            r"(?i)(?:error code|status code|status_code|statuscode|http/1\.[01]|http/2|http status|http error|http|code|\bstatus)['\x22]?\s*[:= ]\s*['\x22]?([3-5]\d\d)(?-u:\b)",
            r"|-> ([45]\d\d)(?-u:\b)|(?-u:\b)error:? ([45]\d\d)(?: \w+)?:|^\W{0,3}([45]\d\d)(?:\]? [A-Z{\[\x22]|: |, | - |$)|(?-u:\b)([45]\d\d) (?:Client|Server) Error",
            // A verb of a client.
            r"|(?-u:\b)(?:returned|responded with|replied with|answered with|failed with)(?: an?)?(?: http)?(?: error| status| response)?(?: code)?:? ([45]\d\d)(?-u:\b)",
            // The reason phrase, before or after the number.
            r"|(?-u:\b)([45]\d\d)[\s:,()\]\[-]{1,3}(?:bad request|unauthorized|payment required|forbidden|not found|method not allowed|request timeout|conflict|gone|payload too large|unprocessable|too many requests|internal server error|not implemented|bad gateway|service unavailable|gateway time-?out)",
            r"|(?:bad request|unauthorized|payment required|forbidden|not found|method not allowed|request timeout|payload too large|unprocessable \w+|too many requests|internal server error|bad gateway|service unavailable|gateway time-?out)[\s:,(\[-]{1,3}([45]\d\d)(?-u:\b)",
        ))
    });
    let captures = STATUS.as_ref()?.captures(text)?;
    captures.iter().skip(1).flatten().next()?.as_str().parse().ok()
}

/// The statuses of gRPC from number 1, and the HTTP statuses with the same meaning.
const GRPC_STATUSES: [(&str, u16); 16] = [
    ("CANCELLED", 499),
    ("UNKNOWN", 500),
    ("INVALID_ARGUMENT", 400),
    ("DEADLINE_EXCEEDED", 504),
    ("NOT_FOUND", 404),
    ("ALREADY_EXISTS", 409),
    ("PERMISSION_DENIED", 403),
    ("RESOURCE_EXHAUSTED", 429),
    ("FAILED_PRECONDITION", 400),
    ("ABORTED", 409),
    ("OUT_OF_RANGE", 400),
    ("UNIMPLEMENTED", 501),
    ("INTERNAL", 500),
    ("UNAVAILABLE", 503),
    ("DATA_LOSS", 500),
    ("UNAUTHENTICATED", 401),
];

/// The name of a gRPC status other than OK, given as its number or its name, and the HTTP status with the same meaning.
pub(super) fn of_grpc(code: &str) -> Option<(&'static str, u16)> {
    match code.parse::<usize>() {
        Ok(number) => GRPC_STATUSES.get(number.checked_sub(1)?).copied(),
        // `DEADLINE_EXCEEDED`, `DeadlineExceeded` and `deadline_exceeded` are one code.
        Err(_) => GRPC_STATUSES.into_iter().find(|(name, _)| is_same_word(name, code)),
    }
}

/// The number of a gRPC status, given as its name.
pub(super) fn number_of_grpc(name: &str) -> Option<usize> {
    GRPC_STATUSES.iter().position(|(known, _)| *known == name).map(|index| index + 1)
}

fn is_same_word(left: &str, right: &str) -> bool {
    let letters = |text: &'_ str| text.bytes().filter(|byte| *byte != b'_').map(|byte| byte.to_ascii_lowercase()).collect::<Vec<_>>();
    letters(left) == letters(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_found_where_software_writes_them() {
        for (text, status) in [
            ("Error code: 429 - Rate limit reached", Some(429)),
            ("GET /api/orders/A-2210 -> 500 Internal Server Error", Some(500)),
            ("429 RESOURCE_EXHAUSTED. {'error': {'code': 429", Some(429)),
            ("HTTP status 503", Some(503)),
            ("404 Client Error: Not Found for url", Some(404)),
            (r#"404 {"type":"error","error":{"type":"not_found_error"}}"#, Some(404)),
            ("Request failed with status code 404", Some(404)),
            ("upstream returned 502 for /v1/chat", Some(502)),
            ("the gateway responded with HTTP 503", Some(503)),
            ("Service Unavailable (503)", Some(503)),
            ("webhook failed: 422 Unprocessable Entity", Some(422)),
            (r#"{"code":"404","message":"gone"}"#, Some(404)),
            ("529: Overloaded", Some(529)),
            ("[400] HTTP endpoint does not stream", Some(400)),
            ("Response status code does not indicate success: 401 (Unauthorized).", Some(401)),
            ("googleapi: Error 403: Request had insufficient authentication scopes.", Some(403)),
            ("line 1 column 500", None),
            ("took 429 ms", None),
            ("order 503 was late", None),
        ] {
            assert_eq!(in_text(text), status, "{text}");
        }
    }

    #[test]
    fn every_registered_error_status_says_something() {
        const REGISTERED: [u16; 40] = [
            400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 425, 426, 428,
            429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 511, 529,
        ];
        for status in REGISTERED {
            let label = condition(status, Side::Provider).and_then(|condition| condition.label(Side::Provider));
            assert!(label.is_some(), "{status}");
        }
        assert_eq!((condition(200, Side::Tool), condition(302, Side::Tool), condition(418, Side::Tool)), (None, None, None));
        assert_eq!(condition(413, Side::Tool), Some(Condition::InvalidRequest));
    }

    #[test]
    fn a_grpc_code_is_one_in_every_spelling() {
        for code in ["4", "DEADLINE_EXCEEDED", "DeadlineExceeded", "deadline_exceeded"] {
            assert_eq!(of_grpc(code), Some(("DEADLINE_EXCEEDED", 504)), "{code}");
        }
        assert_eq!((of_grpc("0"), of_grpc("OK"), of_grpc("17")), (None, None, None));
        assert_eq!((number_of_grpc("UNAVAILABLE"), number_of_grpc("UNAUTHENTICATED"), number_of_grpc("x")), (Some(14), Some(16), None));
    }
}
