//! Codes by which an error can be looked up: of the operating system, of a runtime, of the service that answered, and of the request.

use super::super::status;
use super::error::{DB_STATUS, REQUEST_ID};
use super::names::fact_names;
use super::texts::Source;
use super::value_field::letters;
use super::{Case, Extractor, Facts, Place};
use crate::model::Span;

fact_names! {
    ERROR_CODES = "error_codes", Text, "the codes that the error names";
    SERVICE_CODES = "service_codes", Text, "these codes, if they say more than the status of HTTP or gRPC";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Codes that are listed.
const CODES_MAX: usize = 4;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if case.root.is_none() || case.label.is_healthy() {
        return;
    }
    let mut sources = case.error_texts().to_vec();
    sources.truncate(24);
    let mut codes: Vec<&str> = Vec::new();
    let mut place = None;
    for source in &sources {
        for code in codes_in(source.text) {
            if !codes.contains(&code) && codes.len() < CODES_MAX {
                place.get_or_insert(source);
                codes.push(code);
            }
        }
    }
    // The root of the run may name the cause that the failed step lost on the way.
    let of_root = case.trace.root().into_iter().flat_map(|root| root.attributes.iter().map(move |item| (root, item)));
    for (_, item) in of_root.filter(|(_, item)| letters(&item.key).contains("error")).take(16) {
        for code in codes_in(super::super::text::clip(&item.value)) {
            if !codes.contains(&code) && codes.len() < CODES_MAX {
                codes.push(code);
            }
        }
    }
    // `RESOURCE_EXHAUSTED` is the name of a status.
    let is_status = |code: &&&str| status::number_of_grpc(code).is_some() || code.ends_with("_ERROR");
    let telling: Vec<&str> = codes.iter().filter(|code| !is_status(code)).copied().collect();
    if !telling.is_empty() {
        facts.add(&SERVICE_CODES, telling.join(", "), case.span().map_or(Place::Trace, Place::Span));
    }
    match (codes.as_slice(), place) {
        ([], _) => {}
        ([code], Some(source)) => facts.add(&ERROR_CODES, code, source.place()),
        (codes, _) => facts.add(&ERROR_CODES, codes.join(", "), case.span().map_or(Place::Trace, Place::Span)),
    }
    add_recorded(case, &sources, facts);
}

/// Codes that are written in capitals, in the order of the text.
fn codes_in(text: &str) -> Vec<&str> {
    const WORDS_MAX: usize = 3_000;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut at = 0;
    for word in text.split(|c: char| !is_part(c)).take(WORDS_MAX) {
        let start = at;
        // The separator after a word is one character, of any length.
        at += word.len();
        at += text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        if word.len() >= 5 && is_code(word) && is_in_place(text, start, word) {
            found.push(word);
        }
    }
    found
}

/// Whether a word has the form of a code.
fn is_code(word: &str) -> bool {
    let is_capital = word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    is_capital
        && word.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase())
        && word.len() <= 60
        && (word.contains('_') || ERRNO.contains(&word))
}

/// Names of errors of the operating system, as Node, Go and the C library write them.
const ERRNO: [&str; 32] = [
    "EACCES",
    "EADDRINUSE",
    "EADDRNOTAVAIL",
    "EAGAIN",
    "EAI_AGAIN",
    "EBADF",
    "EBUSY",
    "ECONNABORTED",
    "ECONNREFUSED",
    "ECONNRESET",
    "EDQUOT",
    "EEXIST",
    "EFBIG",
    "EHOSTUNREACH",
    "EINVAL",
    "EISDIR",
    "EMFILE",
    "ENAMETOOLONG",
    "ENETUNREACH",
    "ENFILE",
    "ENOENT",
    "ENOMEM",
    "ENOSPC",
    "ENOTCONN",
    "ENOTDIR",
    "ENOTEMPTY",
    "ENOTFOUND",
    "EPERM",
    "EPIPE",
    "EPROTO",
    "EROFS",
    "ETIMEDOUT",
];

/// Whether a word stands where a code does: it is one of an operating system or runtime, or a value or key in quotes, or follows the word `code`.
fn is_in_place(text: &str, start: usize, word: &str) -> bool {
    if ERRNO.contains(&word) || word.starts_with("ERR_") || word.starts_with("UND_ERR") {
        return true;
    }
    let before = text.get(..start).unwrap_or_default();
    let after = text.get(start + word.len()..).and_then(|after| after.chars().next());
    let is_quoted = before.ends_with(['"', '\'']) && matches!(after, Some('"' | '\'' | '\\'));
    let near = before.char_indices().rev().nth(24).map_or(before, |(at, _)| before.get(at..).unwrap_or(before)).to_ascii_lowercase();
    let names_code = ["code", "errno", "category", "reason", "status", "type"].iter().any(|name| near.contains(name));
    let is_key = is_quoted
        && text.get(start + word.len()..).is_some_and(|after| after.trim_start_matches(['"', '\'', '\\']).trim_start().starts_with(':'));
    // A list under the key is the context of an error: `{"INVALID_OBJECT_IDS": ["…"]}`.
    let holds_list = || {
        text.get(start + word.len()..).is_some_and(|after| after.trim_start_matches(['"', '\'', '\\', ':', ' ']).starts_with(['[', '{']))
    };
    if is_key { holds_list() } else { names_code && (is_quoted || near.trim_end().ends_with([':', '='])) }
}

/// Codes that instrumentations record in attributes of their own: of the database, and the id of the request at the provider.
fn add_recorded(case: &Case<'_, '_>, sources: &[Source<'_>], facts: &mut Facts) {
    const REQUEST_IDS: [&str; 12] = [
        "apimrequestid",
        "xrequestid",
        "xmsrequestid",
        "xmsclientrequestid",
        "xamznrequestid",
        "xamzrequestid",
        "awsrequestid",
        "cfray",
        "xgithubrequestid",
        "anthropicrequestid",
        "openairequestid",
        "requestid",
    ];
    const CHILDREN_MAX: usize = 8;
    let Some(root) = case.root else { return };
    let below = case.tree.children(root.index).iter().rev().take(CHILDREN_MAX).filter_map(|index| case.trace.spans.get(*index));
    let spans: Vec<&Span> = [root.span].into_iter().chain(root.step).chain(below).chain(sources.iter().map(|source| source.span)).collect();
    for span in spans {
        for item in span.attributes.iter().filter(|item| !item.value.is_empty() && item.value.len() <= 100) {
            let name = letters(&item.key);
            let place = Place::Field(span, &format!("attributes.{}", item.key));
            if REQUEST_IDS.iter().any(|id| name.ends_with(id)) && item.value.len() >= 8 {
                facts.add(&REQUEST_ID, item.value.trim(), place);
            } else if name.ends_with("sqlstate") || name.ends_with("dberrorcode") || name.ends_with("dbresponsestatuscode") {
                facts.add(&DB_STATUS, item.value.trim(), place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Attribute, Label, Status, Trace};

    #[test]
    fn codes_are_found_where_they_are_codes() {
        for (text, expected) in [
            ("Error: ENOSPC: no space left on device, write", vec!["ENOSPC"]),
            (r#"{"status":"error","context":{"BAD_OWNER_IDS":["x"]},"category":"RULE_ERROR"}"#, vec!["BAD_OWNER_IDS", "RULE_ERROR"]),
            ("TypeError: terminated / UND_ERR_SOCKET", vec!["UND_ERR_SOCKET"]),
            ("code: ERR_STREAM_PREMATURE_CLOSE", vec!["ERR_STREAM_PREMATURE_CLOSE"]),
            ("errors.code=ITEM_LOCKED for é", vec!["ITEM_LOCKED"]),
            ("the variable MY_HOME_DIR is not set", vec![]),
            ("SELECT COUNT FROM SALES_2030 WHERE X", vec![]),
            (r#"{"USER_NAME": "x"}"#, vec![]),
            ("plain words", vec![]),
        ] {
            assert_eq!(codes_in(text), expected, "{text}");
        }
    }

    #[test]
    fn the_codes_of_the_error_and_of_the_run_are_a_fact() {
        let run = Span {
            span_id: "0".into(),
            attributes: vec![Attribute { key: "app.error".into(), value: "ERR_BODY_CUT".into() }],
            ..Span::default()
        };
        let failed = Span {
            span_id: "1".into(),
            parent_span_id: Some("0".into()),
            status: Status::Error,
            status_message: Some("Error: ENOSPC: no space left on device, write".into()),
            ..Span::default()
        };
        let trace = Trace { spans: vec![run, failed], ..Trace::default() };
        let (tree, root) = (SpanTree::new(&trace), Incident::new(&trace, 1, IncidentKind::Error).unwrap());
        let mut facts = Facts::default();
        let label = Label::parse("environment_error/resource_exhausted").unwrap();
        add(&Case::new(&trace, &tree, &[], Some(&root), label), &mut facts);
        assert_eq!(facts.get(&SERVICE_CODES), Some("ENOSPC, ERR_BODY_CUT"));
    }
}
