//! What the fields of an object say about an error: its message, type and status, an object or a list for errors, a code beside a message.

use super::result_payload::{Payload, is_one_of};
use super::result_text;
use super::result_value::{Object, Text, Value};
use super::tool_error::{TEXT_BYTES_MAX, ToolError, content_text, described};
use super::tool_nature::ToolNature;

/// Fields that describe an error.
const MESSAGES: [&str; 26] = [
    "message",
    "msg",
    "errormessage",
    "errormsg",
    "errmsg",
    "detail",
    "details",
    "reason",
    "description",
    "errordescription",
    "failuremessage",
    "failurereason",
    "failurecode",
    "declinecode",
    "error",
    "errors",
    "exception",
    "cause",
    "stderr",
    "hint",
    "errorcode",
    "errcode",
    "title",
    "explanation",
    "faultstring",
    "nachricht",
];

pub(super) fn has_any(object: &Object<'_>, keys: &[&str]) -> bool {
    keys.iter().any(|key| object.get(&[key]).is_some_and(|value| !value.is_empty()))
}

pub(super) fn is_true(object: &Object<'_>, keys: &[&str]) -> bool {
    keys.iter().any(|key| object.get(&[key]).and_then(Value::as_bool) == Some(true))
}

pub(super) fn is_false(object: &Object<'_>, keys: &[&str]) -> bool {
    let is_false = |key: &str, value: &Value<'_>| {
        // Elsewhere 0 is a count.
        value.as_bool() == Some(false) || (*value == Value::Number(0.0) && matches!(key, "ok" | "success"))
    };
    keys.iter().any(|key| object.get(&[key]).is_some_and(|value| is_false(key, value)))
}

/// A status in lower case: a text, or the member of an enum of Python.
pub(super) fn word_of(value: &Value<'_>) -> Option<String> {
    const WORD_BYTES_MAX: usize = 80;
    match value {
        Value::Text(text) => Some(text.decoded(WORD_BYTES_MAX).trim().to_lowercase()),
        // `<Status.ERROR: 'error'>`, `Status.ERROR`.
        Value::Word(word) => {
            let word = word.split('\'').nth(1).or_else(|| word.rsplit('.').next())?;
            (word.len() <= WORD_BYTES_MAX).then(|| word.to_lowercase())
        }
        _ => None,
    }
}

/// The message, type and status in the usual fields beside an error.
pub(super) fn details<'t>(object: &Object<'t>) -> ToolError<'t> {
    const TYPES: [&str; 12] = [
        "errortype",
        "errorname",
        "errorcode",
        "failurecode",
        "declinecode",
        "exceptiontype",
        "exception",
        "code",
        "errcode",
        "type",
        "name",
        "reason",
    ];
    let message = MESSAGES.iter().filter_map(|key| object.text(&[key])).find(|text| !text.source.trim().is_empty());
    let error = message.map(described).unwrap_or_default();
    let kind = TYPES.iter().find_map(|key| error_type(object.text(&[key])?));
    ToolError { error_type: kind.or_else(|| error.error_type.clone()), ..error }
}

/// A text as the name of a type of errors: one word, and no word for an error in general.
pub(super) fn error_type(text: Text<'_>) -> Option<String> {
    const NAME_BYTES_MAX: usize = 80;
    let word = text.source.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | ':' | '#' | '/');
    let is_general = matches!(
        word.to_ascii_lowercase().as_str(),
        "error" | "exception" | "unknown" | "about:blank" | "fail" | "failed" | "text" | "object" | "err"
    );
    let is_type =
        word.len() >= 3 && word.len() <= NAME_BYTES_MAX && word.chars().all(is_name) && word.contains(|c: char| c.is_ascii_alphabetic());
    (is_type && !is_general && !word.contains("://")).then(|| word.rsplit('#').next().unwrap_or(word).to_owned())
}

/// An exception as an object: `ValueError('boom')`, `{"name": "TypeError", "message": "…", "stack": "…"}`, `{"__type": "…#AccessDenied", "message": "…"}`.
pub(super) fn exception<'t>(object: &Object<'t>) -> Option<ToolError<'t>> {
    const FIELDS: &str = "name|message|stack|cause|code|errno|syscall|path|address|port|status|statuscode|type|category|domain|id|details|data|\
    isretryable|url";
    let is_exception = |name: &str| name.ends_with("Error") || name.ends_with("Exception") || name.ends_with("Timeout");
    if let Some(class) = object.class.filter(|class| is_exception(class)) {
        let texts = object.fields.iter().filter_map(|(_, value)| value.as_text());
        let error = texts.take(2).fold(ToolError::default(), |error, text| error.joined(described(text)));
        return Some(ToolError { error_type: Some(class.to_owned()), ..error });
    }
    let name =
        object.text(&["name", "type", "errortype", "class"]).filter(|name| is_exception(name.source) || name.source.ends_with("_error"));
    let message = object.text(&["message", "errormessage", "msg"])?;
    let only_error = || object.fields.iter().all(|(key, _)| is_one_of(FIELDS, key) || key.starts_with("error"));
    let name = name.filter(|_| only_error())?;
    let error = described(message);
    let status = object.get(&["status", "statuscode", "code"]).and_then(Value::as_integer).and_then(|status| u16::try_from(status).ok());
    let http_status = status.filter(|status| (400..600).contains(status)).or(error.http_status);
    Some(ToolError { error_type: error_type(name).or_else(|| error.error_type.clone()), http_status, ..error })
}

/// A part of a message that is an error by its type: `{"type": "error-text", "value": "…"}`, `{"type": "web_search_tool_result_error", "error_code": "…"}`.
pub(super) fn typed_part<'t>(object: &Object<'t>) -> Option<ToolError<'t>> {
    let kind = object.text(&["type"])?.source;
    let is_error = kind.ends_with("_result_error")
        || matches!(kind, "error-text" | "error-json" | "tool-error" | "tool_error" | "execution-denied" | "output-error");
    if !is_error {
        return None;
    }
    let value = object.get(&["value", "error", "errortext", "message", "content"]).map(content_text).unwrap_or_default();
    let error = value.into_iter().fold(ToolError::default(), |error, text| error.joined(described(text)));
    Some(ToolError { error_type: object.text(&["errorcode", "code"]).and_then(error_type).or_else(|| error.error_type.clone()), ..error })
}

/// What the field for an error says: a text, an object or a flag.
pub(super) fn error_field<'t>(object: &Object<'t>) -> Option<ToolError<'t>> {
    const KEYS: [&str; 21] = [
        "error",
        "exception",
        "err",
        "errormessage",
        "errormsg",
        "fault",
        "errordescription",
        "exceptioninfo",
        "exceptionmessage",
        "toolerror",
        "failure",
        "errortext",
        "errordetail",
        "errordetails",
        "failurereason",
        "failuremessage",
        "fehler",
        "erreur",
        "erro",
        "错误",
        "エラー",
    ];
    // `{"status": {"error": "…"}}`.
    if let Some(Value::Object(status)) = object.get(&["status"])
        && let Some(error) = error_field(status)
    {
        return Some(error);
    }
    KEYS.iter().find_map(|key| match object.get(&[key])? {
        value @ (Value::Object(_) | Value::List(_)) if is_one_of(WORDS_OF_DOMAINS, key) && !reads_as_error(value) => None,
        Value::Text(text) => says_error(*text).then(|| {
            let error = described(*text);
            ToolError { error_type: error.error_type.clone().or_else(|| error_type(*text)), ..error }
        }),
        Value::Bool(true) => Some(ToolError::default()),
        Value::Object(inner) => error_object(inner),
        Value::List(list) => list.items.first().and_then(listed_error),
        Value::Number(code) if *code != 0.0 && code.fract() == 0.0 && has_any(object, &["message", "msg", "errormessage", "detail"]) => {
            Some(ToolError::default())
        }
        _ => None,
    })
}

/// Whether the text of an error field says that there is one.
pub(super) fn says_error(text: Text<'_>) -> bool {
    const NONE: &str = "|none|null|nil|no|no error|no errors|ok|success|0|false|n/a|undefined|{}";
    let text = text.source.trim();
    // A number is a measurement, unless it is an HTTP status.
    let is_measurement = text.parse::<f64>().is_ok_and(|number| !(400.0..600.0).contains(&number));
    !is_measurement && !is_one_of(NONE, &text.trim_end_matches('.').to_ascii_lowercase())
}

/// An object for an error: with a message, a type or a code, or with messages by field.
pub(super) fn error_object<'t>(object: &Object<'t>) -> Option<ToolError<'t>> {
    let is_filled = |value: &Value<'_>| !value.is_empty() && value.as_text().is_none_or(says_error);
    if !object.fields.iter().any(|(_, value)| is_filled(value)) {
        return None;
    }
    let status = ["status", "statuscode", "code", "httpstatus"].iter().find_map(|key| object.get(&[key])?.as_integer());
    let nested = object.get(&["error", "cause", "status", "errors"]).and_then(|value| match value {
        Value::Object(inner) => error_object(inner),
        Value::List(list) => list.items.first().and_then(listed_error),
        _ => None,
    });
    let kind = object.text(&["status"]).and_then(error_type);
    let own = details(object);
    let error = ToolError { error_type: own.error_type.clone().or(kind), ..own }.joined(nested.unwrap_or_default());
    let http_status =
        status.and_then(|status| u16::try_from(status).ok()).filter(|status| (400..600).contains(status)).or(error.http_status);
    let first = || object.fields.iter().find_map(|(_, value)| content_text(value).into_iter().next());
    let messages = if error.messages.is_empty() { first().map(|text| text.source).into_iter().collect() } else { error.messages };
    Some(ToolError { messages, http_status, ..error })
}

pub(super) fn listed_error<'t>(value: &Value<'t>) -> Option<ToolError<'t>> {
    match value {
        Value::Text(text) => says_error(*text).then(|| described(*text)),
        Value::Object(inner) => error_object(inner),
        _ => None,
    }
}

/// Words for errors that are also words of other domains: the exceptions to opening hours, the fault of a machine, the failure of a delivery.
const WORDS_OF_DOMAINS: &str = "exception|exceptions|fault|failure";

/// Whether a value has the form of an error: it has a field that only errors have, or a text that reads like one. A record of something else with such a
/// name has neither.
fn reads_as_error(value: &Value<'_>) -> bool {
    const FIELDS_OF_ERRORS: [&str; 15] = [
        "message",
        "msg",
        "errormessage",
        "errmsg",
        "error",
        "errors",
        "errortype",
        "errorcode",
        "errcode",
        "exceptiontype",
        "faultstring",
        "faultcode",
        "stack",
        "stacktrace",
        "traceback",
    ];
    const FIELDS_OF_MANY_THINGS: [&str; 8] = ["detail", "details", "description", "reason", "cause", "code", "type", "name"];
    let is_failure = |text: Text<'_>| {
        let decoded = text.decoded(TEXT_BYTES_MAX);
        let words = decoded.to_lowercase();
        OF_FAILURES.split('|').any(|known| words.contains(known)) || result_text::error_in_text(&decoded, ToolNature::default()).is_some()
    };
    match value {
        Value::Text(text) => is_failure(*text),
        Value::List(list) => list.items.first().is_some_and(reads_as_error),
        Value::Object(object) => {
            has_any(object, &FIELDS_OF_ERRORS)
                || FIELDS_OF_MANY_THINGS.iter().filter_map(|key| object.text(&[key])).any(is_failure)
                || object.get(&["statuscode", "httpstatus"]).is_some()
        }
        _ => false,
    }
}

/// The first of several errors in a list, or in an object by field.
pub(super) fn errors_list<'t>(object: &Object<'t>) -> Option<ToolError<'t>> {
    const KEYS: [&str; 4] = ["errors", "exceptions", "validationerrors", "errormessages"];
    let (key, value) = KEYS.iter().find_map(|key| Some((*key, object.get(&[key])?)))?;
    if is_one_of(WORDS_OF_DOMAINS, key) && !reads_as_error(value) {
        return None;
    }
    match value {
        Value::List(list) => list.items.first().and_then(listed_error),
        Value::Object(inner) => error_object(inner),
        Value::Text(text) => says_error(*text).then(|| described(*text)),
        _ => None,
    }
}

/// Parts of the names of errors.
pub(super) const OF_FAILURES: &str = "error|exception|denied|notfound|not_found|invalid|exceeded|unavailable|failed|missing|unauthorized|forbidden|conflict|\
expired|timeout|throttl|limit|quota|refused|reject";

/// A code of an error beside its message: `{"code": "42P01", "message": "…", "hint": null}` of `PostgREST`, `{"errcode": 40001, "errmsg": "…"}`,
/// `{"code": 1001, "msg": "参数错误", "data": null}`.
pub(super) fn code_with_message<'t>(object: &Object<'t>, payload: &Payload) -> Option<ToolError<'t>> {
    const SUCCESSES: &str = "success|successful|succeeded|ok|done|成功|操作成功|请求成功|查询成功|完了";
    let message =
        object.text(&["message", "msg", "errmsg", "errormessage", "errormsg", "retmsg"]).filter(|text| !text.source.trim().is_empty())?;
    let message = message.decoded(200).trim().trim_end_matches(['.', '!', '。']).to_lowercase();
    let has_no_data = object.get(&["data", "result", "results"]).is_none_or(Value::is_empty);
    if !payload.is_none() || !has_no_data || is_one_of(SUCCESSES, &message) {
        return None;
    }
    let (key, code) = ["errcode", "errorcode", "errno", "ret", "rtn", "rc", "retcode", "code", "resultcode"]
        .iter()
        .find_map(|key| Some((*key, object.get(&[key])?)))?;
    let is_failure = match code.as_integer() {
        Some(number) => {
            let is_success = matches!(number, 0 | 1 | 200..300 | 2_000 | 10_000 | 20_000);
            // JSON-RPC, and the status of gRPC.
            let is_of_protocol = number <= -32_000 || (matches!(number, 1..17) && object.get(&["details"]).is_some() && object.len <= 3);
            if is_of_protocol {
                return Some(details(object));
            }
            !is_success && (key != "code" || object.get(&["data", "msg"]).is_some() || (number >= 400 && object.len <= 3))
        }
        None => code.as_text().is_some_and(|text| {
            let word = text.source.to_ascii_lowercase();
            let is_errno =
                text.source.len() >= 5 && text.source.starts_with('E') && text.source.bytes().all(|byte| byte.is_ascii_uppercase());
            let is_of_database = object.get(&["hint"]).is_some() && object.get(&["details", "detail"]).is_some();
            is_errno || is_of_database || OF_FAILURES.split('|').any(|known| word.contains(known))
        }),
    };
    is_failure.then(|| details(object))
}

/// The detail of an answer of FastAPI: the arguments that do not validate, or an object of the application.
pub(super) fn detail<'t>(value: &Value<'t>) -> Option<ToolError<'t>> {
    match value {
        Value::List(list) => match list.items.first()? {
            Value::Object(item) if has_any(item, &["msg"]) && has_any(item, &["loc", "type"]) => listed_error(list.items.first()?),
            _ => None,
        },
        Value::Object(inner) => {
            let word = word_of(inner.get(&["status", "code", "type", "error"])?)?;
            let is_failure = OF_FAILURES.split('|').any(|known| word.contains(known));
            is_failure.then(|| error_object(inner)).flatten()
        }
        _ => None,
    }
}

/// An object with nothing but a message that has the form of an error: `{"detail": "Not authenticated"}` of FastAPI, `{"message": "Internal server error"}` of
/// API gateways.
pub(super) fn bare_message<'t>(object: &Object<'t>, nature: ToolNature, payload: &Payload) -> Option<ToolError<'t>> {
    if let Some(error) = object.get(&["detail"]).filter(|_| object.len <= 2).and_then(detail) {
        return Some(error);
    }
    let text = object.text(&["message", "detail", "msg", "title"])?;
    let is_bare = payload.is_none() && object.get(&["data", "result", "results", "content", "output", "body", "value"]).is_none();
    let decoded = text.decoded(TEXT_BYTES_MAX);
    let is_phrase = || {
        matches!(
            decoded.trim().trim_end_matches('.').to_ascii_lowercase().as_str(),
            "not found" | "forbidden" | "bad request" | "conflict" | "gone"
        )
    };
    let error = result_text::error_in_text(&decoded, nature);
    // APIs add where the error is documented.
    let is_documented = || object.len <= 3 && object.get(&["documentationurl", "moreinfo", "docurl", "helpurl"]).is_some();
    (is_bare && (error.is_some() || is_phrase() || is_documented())).then(|| details(object))
}
