//! What the result of a tool contains beside the fields that report on the call itself.
//!
//! `{"error": "busy", "trace_id": "t"}` has nothing else, so that it is an error; `{"id": 7, "status": "failed", "created_at": "…"}` is a record of a thing
//! that failed. What repeats the arguments of the call, or helps to correct it, is no content.

use super::result_value::{Object, Value};

/// Whether `word` is one of `words`, which are separated by `|`.
pub(super) fn is_one_of(words: &str, word: &str) -> bool {
    words.split('|').any(|known| known == word)
}

/// Whether there is anything in a value but empty fields: `{"user": {"name": null}}` has no content.
pub(super) fn has_content(value: &Value<'_>) -> bool {
    match value {
        Value::Object(object) if !object.fields.is_empty() => object.fields.iter().any(|(_, value)| has_content(value)),
        _ => !value.is_empty(),
    }
}

/// What an object contains beside the fields of an envelope.
#[derive(Debug, Default)]
pub(super) struct Payload {
    /// Fields with a value.
    pub(super) plain: usize,
    /// Lists with items.
    pub(super) lists: usize,
    /// Objects with fields.
    pub(super) objects: usize,
    /// Whether there is an id that was not an argument of the call.
    pub(super) has_id: bool,
    /// Whether there are times of creation or change.
    pub(super) has_time: bool,
}

impl Payload {
    /// The content of a result of a call with these arguments.
    pub(super) fn of(object: &Object<'_>, arguments: &str) -> Self {
        const IDS: &str = "id|uuid|key|number";
        const TIMES: &str = "created|updated|started|finished|completed|modified|date|endedat|due|timestamp";
        let mut payload = Self::default();
        for (key, value) in &object.fields {
            if value.is_empty() || is_help(key) {
                continue;
            }
            let is_data = matches!(key.as_str(), "data" | "result" | "value" | "output" | "structuredcontent");
            if is_data {
                payload.lists += usize::from(matches!(value, Value::List(_)));
                payload.objects += usize::from(matches!(value, Value::Object(_)) && has_content(value));
            }
            if is_data || is_envelope_key(key) || is_argument(arguments, value) || !has_content(value) {
                continue;
            }
            payload.plain += 1;
            payload.lists += usize::from(matches!(value, Value::List(_)));
            payload.objects += usize::from(matches!(value, Value::Object(_)));
            payload.has_id |= is_one_of(IDS, key) || (key.ends_with("id") && !key.ends_with("paid") && !key.ends_with("valid"));
            payload.has_time |= TIMES.split('|').any(|word| key.contains(word));
        }
        payload
    }

    pub(super) fn is_none(&self) -> bool {
        self.plain == 0 && self.lists == 0
    }

    /// Whether the object describes a thing, such as an order or a run.
    pub(super) fn is_record(&self) -> bool {
        (self.has_id && (self.has_time || self.plain >= 2)) || (self.has_time && self.plain >= 3) || self.plain >= 6
    }
}

/// Whether a value repeats an argument of the call.
fn is_argument(arguments: &str, value: &Value<'_>) -> bool {
    const VALUE_BYTES_MAX: usize = 200;
    match value {
        Value::Text(text) => text.source.len() >= 2 && text.source.len() <= VALUE_BYTES_MAX && arguments.contains(text.source),
        Value::Number(number) => arguments.contains(&number.to_string()),
        _ => false,
    }
}

/// Whether a field belongs to envelopes, and is no content.
fn is_envelope_key(key: &str) -> bool {
    const KEYS: &str = "success|ok|succeeded|successful|issuccess|completed|status|state|outcome|statuscode|statustext|statusmessage|httpstatus|\
    httpstatuscode|code|subcode|message|msg|detail|details|reason|description|title|type|name|kind|level|severity|instance|path|\
    method|url|uri|timestamp|time|datetime|requestid|traceid|correlationid|xrequestid|callid|toolcallid|toolname|tool|function|\
    functionname|action|command|cmd|cwd|operation|jsonrpc|version|apiversion|retryable|isretryable|retry|retryafter|retryafterms|\
    attempts|attempt|retries|stack|stacktrace|traceback|cause|syscall|address|port|hostname|params|param|parameter|field|loc|input|args|arguments|kwargs|query|\
    stderr|stdout|signal|killed|timedout|timeout|duration|durationms|durationseconds|elapsed|elapsedms|executiontime|headers|\
    body|context|metadata|meta|extra|service|source|provider|domain|content|iserror|ishttp|text|output|data|result|response|\
    value|structuredcontent|responsemetadata|warning|warnings|deprecatedargument|docurl|documentationurl|moreinfo|fault|host|\
    server|region|category|class|needed|provided|exitcode|returncode|ret|rtn|rc|retcode|retmsg|resultcode";
    let is_error = ["err", "fail", "exception", "decline"].iter().any(|start| key.starts_with(start));
    is_error || is_one_of(KEYS, key)
}

/// Whether a field helps to correct a call.
fn is_help(key: &str) -> bool {
    const STARTS: &str = "available|valid|allowed|supported|known|suggest|didyoumean|option|choice|expected|required|missing|similar|example|hint|help|\
    note|nextstep|candidates";
    STARTS.split('|').any(|start| key.starts_with(start))
}
