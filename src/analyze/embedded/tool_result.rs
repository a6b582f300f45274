//! Whether the result of a tool is an error although its span has no error status. Many frameworks catch the exception of a tool and return its text to the
//! model, and many tools report errors in fields of their result.
//!
//! The structure of the result decides, and what the tool does ([`ToolNature`]): `{"status": "failed"}` is an error from a tool that pays, and may be the
//! state of a payment from one that looks it up.
//!
//! | result | |
//! |---|---|
//! | `{"error": {"code": 503, "message": "busy"}}`, `{"success": false, "message": "no"}` | an error |
//! | `{"id": 7, "status": "failed", "created_at": …}` from `get_order` | a record |
//! | `{"passed": 9, "failed": 1, "errors": ["test_a"]}` | a report |
//! | `[{"level": "error", …}, …]` | a list |
//! | `{"content": [{"type": "text", "text": "Error: no disk"}]}` | an envelope around a text, of which `result_text` decides |

use super::result_payload::{Payload, is_one_of};
use super::result_text::{self, TextError};
use super::result_value::{List, Object, Parsed, Text, Value};
use super::signals::http_status;
use super::text::clip;
use super::tool_nature::ToolNature;

/// An error that a tool returned.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ToolError<'t> {
    /// The pieces of the result that say what happened, the most important first.
    pub(super) messages: Vec<&'t str>,
    /// As the result names it: `ValueError`, `not_in_channel`.
    pub(super) error_type: Option<String>,
    pub(super) http_status: Option<u16>,
    pub(super) exit_code: Option<i64>,
}

impl<'t> ToolError<'t> {
    /// The error in a result; `None` if the tool worked.
    pub(super) fn in_result(name: &str, arguments: &str, result: &'t str) -> Option<Self> {
        let call = Call { nature: ToolNature::of(name, arguments), arguments: clip(arguments) };
        let error = if let Some(Parsed { value, rest }) = Parsed::of_result(result) {
            call.error_after(&value, rest, result)?
        } else {
            let error = result_text::error_in_text(result, call.nature)?;
            Self::of_text(&error, error.message)
        };
        Some(error.or_message(result.trim()))
    }

    fn of_text(error: &TextError<'_>, message: &'t str) -> Self {
        Self {
            messages: vec![message],
            error_type: error.error_type.map(str::to_owned),
            http_status: error.http_status,
            exit_code: error.exit_code,
        }
    }

    fn or_message(mut self, message: &'t str) -> Self {
        self.messages.retain(|message| !message.trim().is_empty());
        if self.messages.is_empty() {
            self.messages.push(message);
        }
        self
    }

    /// Adds what another description of the same error says.
    fn joined(mut self, other: Self) -> Self {
        const MESSAGES_MAX: usize = 3;
        for message in other.messages {
            if self.messages.len() < MESSAGES_MAX && self.messages.iter().all(|known| !known.contains(message)) {
                self.messages.push(message);
            }
        }
        self.error_type = self.error_type.or(other.error_type);
        self.http_status = self.http_status.or(other.http_status);
        self.exit_code = self.exit_code.or(other.exit_code);
        self
    }
}

/// Envelopes in envelopes that are opened.
const ENVELOPES_MAX: usize = 3;

/// Bytes of a text that are read to judge it.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The call whose result is read.
struct Call<'a> {
    nature: ToolNature,
    arguments: &'a str,
}

impl Call<'_> {
    /// The error in a value that is followed by `rest`.
    fn error_after<'t>(&self, value: &Value<'t>, rest: &str, result: &'t str) -> Option<ToolError<'t>> {
        const ADVICE_BYTES_MAX: usize = 300;
        let rest = rest.trim();
        // The lines of a file of JSON lines, or a text that happens to start with a bracket: `[Errno 2] No such file`.
        let is_one_value =
            rest.is_empty() || (matches!(value, Value::Object(_)) && rest.len() <= ADVICE_BYTES_MAX && !rest.starts_with(['{', '[']));
        if is_one_value && !matches!(value, Value::Word(_) | Value::Number(_)) {
            return self.error_in(value, 0);
        }
        let error = result_text::error_in_text(result, self.nature)?;
        Some(ToolError::of_text(&error, error.message))
    }

    fn error_in<'t>(&self, value: &Value<'t>, envelopes: usize) -> Option<ToolError<'t>> {
        match value {
            Value::Text(text) => self.error_in_text(*text, envelopes),
            Value::List(list) => self.error_in_list(list, envelopes),
            Value::Object(object) => self.error_in_object(object, envelopes),
            _ => None,
        }
    }

    /// The error in a text, which may contain a value.
    fn error_in_text<'t>(&self, text: Text<'t>, envelopes: usize) -> Option<ToolError<'t>> {
        if envelopes > ENVELOPES_MAX {
            return None;
        }
        if let Some(value @ (Value::Object(_) | Value::List(_))) = text.value() {
            return self.error_in(&value, envelopes + 1);
        }
        let decoded = text.decoded(TEXT_BYTES_MAX);
        let error = result_text::error_in_text(&decoded, self.nature)?;
        Some(ToolError::of_text(&error, piece_of(text.source, &decoded, error.message)))
    }

    /// Parts of a message of a tool, or one envelope in a list. Several envelopes are records, unless a tool that changes something failed with each.
    fn error_in_list<'t>(&self, list: &List<'t>, envelopes: usize) -> Option<ToolError<'t>> {
        if envelopes > ENVELOPES_MAX {
            return None;
        }
        if list.len != 1 {
            return self.error_in_every_item(list, envelopes);
        }
        match list.items.first()? {
            Value::Object(part) if is_part(part) => self.error_in_text(part.text(&["text", "content", "value"])?, envelopes + 1),
            Value::Object(object) => self.error_in_object(object, envelopes + 1).filter(|_| Payload::of(object, self.arguments).is_none()),
            Value::Text(text) if envelopes > 0 => self.error_in_text(*text, envelopes + 1),
            _ => None,
        }
    }

    /// The error of the first item, if a tool that changes something says of every item that it failed.
    fn error_in_every_item<'t>(&self, list: &List<'t>, envelopes: usize) -> Option<ToolError<'t>> {
        let all_read = list.len == list.items.len();
        let failed = |item: &Value<'_>| matches!(item, Value::Object(object) if is_false(object, &FLAGS));
        let every_item_failed = self.nature.acts && all_read && list.items.iter().all(failed);
        match list.items.first() {
            Some(Value::Object(object)) if every_item_failed => self.error_in_object(object, envelopes + 1),
            _ => None,
        }
    }

    fn error_in_object<'t>(&self, object: &Object<'t>, envelopes: usize) -> Option<ToolError<'t>> {
        if envelopes > ENVELOPES_MAX {
            return None;
        }
        if let Some(error) = exception(object).or_else(|| typed_part(object)) {
            return Some(error);
        }
        let payload = Payload::of(object, self.arguments);
        let details = || details(object);
        if is_true(object, &["iserror", "haserror", "waserror", "iserrored"]) {
            let content = object.get(&["content", "output", "result", "contents"]).map(content_text).unwrap_or_default();
            return Some(content.into_iter().fold(details(), |error, message| error.joined(described(message))));
        }
        if let Some(error) = self.failed_program(object, &payload) {
            return Some(error);
        }
        let field = error_field(object);
        let is_false = is_false(object, &FLAGS);
        let status = self.http_status(object, &payload);
        let says_error = self.status_word(object, &payload);
        let several = errors_list(object);
        let reported = [field.is_some(), is_false, status.is_some(), says_error.is_some(), several.is_some()]
            .into_iter()
            .filter(|is_set| *is_set)
            .count();
        if reported > 0 {
            let is_record = payload.is_record() && !self.nature.acts;
            let only_listed = !is_false && status.is_none() && says_error.is_none();
            let is_partial = (payload.lists > 0 && (reported == 1 || self.nature.reports)) || (payload.objects > 0 && only_listed);
            let is_report = self.nature.reports && payload.plain > 0 && field.is_none();
            // A list of errors beside numbers counts findings.
            let is_finding = reported == 1 && several.is_some() && (!payload.is_none() || self.nature.reports);
            if is_record || is_partial || is_report || is_finding {
                return None;
            }
            let parts = [field, several, says_error].into_iter().flatten();
            let mut error = parts.fold(ToolError::default(), ToolError::joined).joined(details());
            if error.messages.is_empty() {
                let texts =
                    object.get(&["content", "text", "output", "result", "data", "value", "body"]).map(content_text).unwrap_or_default();
                error = texts.into_iter().fold(error, |error, text| error.joined(described(text)));
            }
            error.http_status = status.or(error.http_status);
            return Some(error);
        }
        if is_true(object, &FLAGS) || is_success(object) {
            return None;
        }
        let error = code_with_message(object, &payload)
            .or_else(|| self.return_code(object))
            .or_else(|| bare_message(object, self.nature, &payload))
            .or_else(|| self.only_stderr(object));
        error.or_else(|| self.error_in_envelope(object, &payload, envelopes))
    }

    /// The error in what an envelope contains.
    fn error_in_envelope<'t>(&self, object: &Object<'t>, payload: &Payload, envelopes: usize) -> Option<ToolError<'t>> {
        const CONTENT: [&str; 17] = [
            "result",
            "data",
            "response",
            "body",
            "output",
            "structuredcontent",
            "content",
            "kwargs",
            "update",
            "value",
            "payload",
            "return",
            "toolresult",
            "tooloutput",
            "rawoutput",
            "blocks",
            "functionresponse",
        ];
        let is_bare = payload.is_none() || !(self.nature.reads_text || self.nature.reads_records);
        CONTENT.iter().find_map(|key| match object.get(&[key])? {
            Value::List(list) => self.error_in_list(list, envelopes + 1),
            // The text of a page or of a message stands beside its title.
            Value::Text(text) if is_bare => self.error_in_text(*text, envelopes + 1),
            Value::Object(inner) => self.error_in_object(inner, envelopes + 1),
            _ => None,
        })
    }

    /// A program that ended with an exit code, with a signal, or because its time was up.
    fn failed_program<'t>(&self, object: &Object<'t>, payload: &Payload) -> Option<ToolError<'t>> {
        const CODES: [&str; 9] = ["exitcode", "returncode", "exitstatus", "exit", "returnvalue", "retcode", "statuscode", "code", "status"];
        const OUTPUTS: [&str; 6] = ["stderr", "stdout", "output", "logs", "combinedoutput", "aggregatedoutput"];
        let metadata = match object.get(&["metadata", "meta"]) {
            Some(Value::Object(metadata)) => metadata.get(&["exitcode", "returncode"]),
            _ => None,
        };
        let has_output = object.get(&OUTPUTS).is_some();
        // `code` and `status` have other meanings beside other fields.
        let is_code = |key: &&&str| ["exitcode", "returncode", "exitstatus", "retcode"].contains(*key) || has_output;
        let code = CODES.iter().filter(is_code).find_map(|key| object.get(&[key])?.as_integer()).or_else(|| metadata?.as_integer());
        let is_status = |code: i64| matches!(code, 100..600);
        let names_code =
            object.get(&["exitcode", "returncode", "exitstatus", "retcode", "stdout", "stderr"]).is_some() || metadata.is_some();
        let timed_out = has_output && is_true(object, &["timedout", "timeout", "istimeout"]);
        let code = code.filter(|code| names_code || !is_status(*code)).or(timed_out.then_some(124))?;
        // A report of tests counts them.
        let counts = object.get(&["passed", "failed", "tests", "total", "numfailedtests"]).is_some();
        let is_answer = code == 1 && self.nature.answers_with_exit_code;
        if code == 0 || is_answer || (self.nature.reports && (counts || payload.lists > 0)) {
            return None;
        }
        let texts = ["stderr", "error", "message", "exceptioninfo", "output", "stdout", "content", "combinedoutput", "aggregatedoutput"];
        let messages = texts.iter().filter_map(|key| object.text(&[key])).filter(|text| !text.source.trim().is_empty());
        let error = messages.take(2).fold(ToolError::default(), |error, text| error.joined(described(text)));
        Some(ToolError { exit_code: Some(code), http_status: None, ..error })
    }

    /// A program that wrote nothing but an error.
    fn only_stderr<'t>(&self, object: &Object<'t>) -> Option<ToolError<'t>> {
        let is_silent = |key: &str| object.get(&[key]).is_none_or(Value::is_empty);
        let stderr = object.text(&["stderr"]).filter(|_| is_silent("stdout") && is_silent("output"))?;
        self.error_in_text(stderr, ENVELOPES_MAX)
    }

    /// An HTTP status of 400 or more, unless it is what the tool was asked for.
    fn http_status(&self, object: &Object<'_>, payload: &Payload) -> Option<u16> {
        const NAMED: [&str; 7] =
            ["statuscode", "httpstatus", "httpstatuscode", "httpcode", "responsecode", "responsestatus", "httpresponsecode"];
        let status = |keys: &[&str]| {
            object.get(keys)?.as_integer().and_then(|status| u16::try_from(status).ok()).filter(|status| (400..600).contains(status))
        };
        let monitors = self.nature.reports;
        let explains = || {
            has_any(object, &["message", "msg", "error", "errormessage", "errmsg"]) || object.get(&["data"]).is_some_and(Value::is_empty)
        };
        let by_code = || status(&["code", "errorcode", "errcode", "cod"]).filter(|_| explains());
        status(&NAMED).or_else(|| status(&["status", "httpstatus"])).or_else(by_code).filter(|_| !monitors && !payload.is_record())
    }

    /// A number other than 0 as the return code of an envelope that says why and has no data: `{"ret": -1, "msg": "busy", "data": {}}`.
    fn return_code<'t>(&self, object: &Object<'t>) -> Option<ToolError<'t>> {
        let code = object.get(&["ret", "rtn", "retcode", "errno", "errcode", "errorcode", "rc"])?.as_integer()?;
        let explains = has_any(object, &["msg", "message", "errmsg", "errormessage", "retmsg", "desc"]);
        let has_data = has_any(object, &["data", "result", "results", "items", "list", "rows"]);
        (code != 0 && explains && !has_data && !self.nature.runs_code).then(|| details(object))
    }

    /// A word for an error as the status of an envelope.
    fn status_word<'t>(&self, object: &Object<'t>, payload: &Payload) -> Option<ToolError<'t>> {
        let word = ["status", "state", "outcome", "result", "type", "level", "code", "kind"].iter().find_map(|key| {
            let word = word_of(object.get(&[key])?)?;
            // `type: error`, `level: error` and a code are envelopes only with a message.
            let is_status = matches!(*key, "status" | "state" | "outcome" | "result");
            (is_status || has_any(object, &["message", "error", "detail", "msg"])).then_some((is_status, word))
        });
        let (is_status, word) = word?;
        let is_error = is_one_of(ERROR_WORDS, &word);
        let is_failed = is_status && is_one_of(FAILED_WORDS, &word);
        let explains = has_any(
            object,
            &[
                "message",
                "msg",
                "error",
                "errormessage",
                "errmsg",
                "detail",
                "details",
                "reason",
                "errorcode",
                "failurecode",
                "failurereason",
            ],
        );
        // A program prints the states of other things, too.
        let looks_up = (self.nature.reads_records || self.nature.runs_code) && !self.nature.acts;
        let fits = match (is_error, is_failed) {
            (true, _) if looks_up => explains && payload.plain <= 1 && !payload.has_time || payload.is_none() && !self.nature.runs_code,
            (true, _) => true,
            // The state of something else, which a tool looks up or a program reports.
            (_, true) => !looks_up && !self.nature.reports && (explains || (payload.plain <= 2 && !payload.is_record())),
            _ => false,
        };
        let is_own = payload.lists == 0 && (self.nature.acts || payload.plain <= 3);
        (fits && is_own).then(ToolError::default)
    }
}

/// Whether the object says that the tool worked.
fn is_success(object: &Object<'_>) -> bool {
    let status = object.get(&["statuscode", "status", "httpstatus", "code"]).and_then(Value::as_integer);
    let exit_code = object.get(&["exitcode", "returncode"]).and_then(Value::as_integer);
    status.is_some_and(|status| (200..300).contains(&status)) || exit_code == Some(0)
}

/// A status in lower case: a text, or the member of an enum of Python.
fn word_of(value: &Value<'_>) -> Option<String> {
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

/// Flags that are false if a tool failed.
const FLAGS: [&str; 7] = ["success", "ok", "succeeded", "successful", "issuccess", "issuccessful", "wassuccessful"];

/// Words of a status that only envelopes have, in several languages.
const ERROR_WORDS: &str = "error|err|errored|exception|fatal|fault|fail|timeout|timed_out|timed out|timedout|unauthorized|forbidden|not_found|not found|\
    unavailable|bad_request|internal_error|server_error|invalid_request|rate_limited|throttled|access_denied|permission_denied|\
    resource_exhausted|unauthenticated|invalid_argument|deadline_exceeded|错误|錯誤|异常|異常|超时|エラー|오류|에러|fehler|erreur|erro|errore|\
    ошибка|błąd|fout|fel|fejl|feil|virhe|hata|chyba|hiba|lỗi|kesalahan|eroare|помилка|خطأ|त्रुटि";

/// Words of a status that records have too.
const FAILED_WORDS: &str = "failed|failure|rejected|declined|denied|aborted|unsuccessful|blocked|crashed|not_ok|ko|nok|失败|失敗|실패|拒绝|fehlgeschlagen|\
    gescheitert|abgelehnt|échec|echec|échoué|refusé|fallido|fallo|falló|rechazado|falha|falhou|fallito|неудача|отклонено|mislukt|\
    misslyckades|başarısız|gagal";

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

fn has_any(object: &Object<'_>, keys: &[&str]) -> bool {
    keys.iter().any(|key| object.get(&[key]).is_some_and(|value| !value.is_empty()))
}

fn is_true(object: &Object<'_>, keys: &[&str]) -> bool {
    keys.iter().any(|key| object.get(&[key]).and_then(Value::as_bool) == Some(true))
}

fn is_false(object: &Object<'_>, keys: &[&str]) -> bool {
    let is_false = |key: &str, value: &Value<'_>| {
        // Elsewhere 0 is a count.
        value.as_bool() == Some(false) || (*value == Value::Number(0.0) && matches!(key, "ok" | "success"))
    };
    keys.iter().any(|key| object.get(&[key]).is_some_and(|value| is_false(key, value)))
}

/// Whether an object is a part of a message: `{"type": "text", "text": "…"}`, `TextContent(type='text', text='…')`.
fn is_part(object: &Object<'_>) -> bool {
    object.fields.iter().all(|(key, _)| {
        matches!(
            key.as_str(),
            "type"
                | "text"
                | "content"
                | "value"
                | "annotations"
                | "meta"
                | "blocktype"
                | "id"
                | "extras"
                | "cachecontrol"
                | "providermetadata"
        )
    }) && object.text(&["text", "content", "value"]).is_some()
}

/// The texts of the content of a message.
fn content_text<'t>(value: &Value<'t>) -> Vec<Text<'t>> {
    const PARTS_MAX: usize = 3;
    match value {
        Value::Text(text) => vec![*text],
        Value::List(list) => list.items.iter().take(PARTS_MAX).flat_map(content_text).collect(),
        Value::Object(part) => part.text(&["text", "message", "error", "content"]).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The error that a text describes: its type and its HTTP status, if it names them.
fn described(text: Text<'_>) -> ToolError<'_> {
    let decoded = text.decoded(TEXT_BYTES_MAX);
    match result_text::error_in_text(&decoded, ToolNature::default()) {
        Some(error) => ToolError::of_text(&error, piece_of(text.source, &decoded, error.message)),
        None => ToolError {
            messages: vec![text.source],
            http_status: http_status(&decoded).filter(|status| *status >= 400),
            ..ToolError::default()
        },
    }
}

/// The piece of the source for the end `message` of its decoded text. Escapes make the source longer, so that the last lines are counted from the end.
fn piece_of<'t>(source: &'t str, decoded: &str, message: &str) -> &'t str {
    if decoded == source {
        return decoded.find(message).and_then(|at| source.get(at..at + message.len())).unwrap_or(source);
    }
    let Some(at) = decoded.find(message).filter(|at| *at > 0 && decoded.trim_end().ends_with(message.trim_end())) else { return source };
    let lines = decoded.get(at..).unwrap_or_default().trim_end().lines().count();
    let is_escape = |before: &str| before.ends_with('n') && before.trim_end_matches('n').ends_with('\\');
    let mut start = source.trim_end().trim_end_matches("\\n").len();
    for _ in 0..lines {
        let before = source.get(..start).unwrap_or_default();
        let Some(newline) = before.rmatch_indices('n').map(|(at, _)| at).find(|at| before.get(..=*at).is_some_and(is_escape)) else {
            return source;
        };
        start = newline;
    }
    source.get(start + 1..).unwrap_or(source)
}

/// The message, type and status in the usual fields beside an error.
fn details<'t>(object: &Object<'t>) -> ToolError<'t> {
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
fn error_type(text: Text<'_>) -> Option<String> {
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
fn exception<'t>(object: &Object<'t>) -> Option<ToolError<'t>> {
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
fn typed_part<'t>(object: &Object<'t>) -> Option<ToolError<'t>> {
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
fn error_field<'t>(object: &Object<'t>) -> Option<ToolError<'t>> {
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
fn says_error(text: Text<'_>) -> bool {
    const NONE: &str = "|none|null|nil|no|no error|no errors|ok|success|0|false|n/a|undefined|{}";
    let text = text.source.trim();
    // A number is a measurement, unless it is an HTTP status.
    let is_measurement = text.parse::<f64>().is_ok_and(|number| !(400.0..600.0).contains(&number));
    !is_measurement && !is_one_of(NONE, &text.trim_end_matches('.').to_ascii_lowercase())
}

/// An object for an error: with a message, a type or a code, or with messages by field.
fn error_object<'t>(object: &Object<'t>) -> Option<ToolError<'t>> {
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

fn listed_error<'t>(value: &Value<'t>) -> Option<ToolError<'t>> {
    match value {
        Value::Text(text) => says_error(*text).then(|| described(*text)),
        Value::Object(inner) => error_object(inner),
        _ => None,
    }
}

/// The first of several errors in a list, or in an object by field.
fn errors_list<'t>(object: &Object<'t>) -> Option<ToolError<'t>> {
    match object.get(&["errors", "exceptions", "validationerrors", "errormessages"])? {
        Value::List(list) => list.items.first().and_then(listed_error),
        Value::Object(inner) => error_object(inner),
        Value::Text(text) => says_error(*text).then(|| described(*text)),
        _ => None,
    }
}

/// Parts of the names of errors.
const OF_FAILURES: &str = "error|exception|denied|notfound|not_found|invalid|exceeded|unavailable|failed|missing|unauthorized|forbidden|conflict|\
expired|timeout|throttl|limit|quota|refused|reject";

/// A code of an error beside its message: `{"code": "42P01", "message": "…", "hint": null}` of `PostgREST`, `{"errcode": 40001, "errmsg": "…"}`,
/// `{"code": 1001, "msg": "参数错误", "data": null}`.
fn code_with_message<'t>(object: &Object<'t>, payload: &Payload) -> Option<ToolError<'t>> {
    const SUCCESSES: &str = "success|successful|succeeded|ok|done|成功|操作成功|请求成功|查询成功|完了";
    let message =
        object.text(&["message", "msg", "errmsg", "errormessage", "errormsg", "retmsg"]).filter(|text| !text.source.trim().is_empty())?;
    let message = message.decoded(200).trim().trim_end_matches(['.', '!', '。']).to_lowercase();
    let has_no_data = object.get(&["data", "result", "results"]).is_none_or(Value::is_empty);
    if !payload.is_none() || !has_no_data || is_one_of(SUCCESSES, &message) {
        return None;
    }
    let (key, code) = ["errcode", "errorcode", "errno", "ret", "retcode", "code", "resultcode"]
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
fn detail<'t>(value: &Value<'t>) -> Option<ToolError<'t>> {
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
fn bare_message<'t>(object: &Object<'t>, nature: ToolNature, payload: &Payload) -> Option<ToolError<'t>> {
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// One line of `tool_results.jsonl`: a result of a tool, and the error that it is, if it is one.
    #[derive(serde::Deserialize)]
    struct Case {
        tool: String,
        arguments: String,
        result: String,
        error: Option<CaseError>,
    }

    /// What an error says. What it says more is not checked.
    #[derive(serde::Deserialize)]
    struct CaseError {
        http_status: Option<u16>,
        #[serde(rename = "type")]
        kind: Option<String>,
        exit_code: Option<i64>,
    }

    fn cases() -> Vec<Case> {
        include_str!("tool_results.jsonl")
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    #[test]
    fn results_are_distinguished_from_errors() {
        let mut wrong = Vec::new();
        for Case { tool, arguments, result, error: expected } in cases() {
            let found = ToolError::in_result(&tool, &arguments, &result);
            let is_right = match (&found, &expected) {
                (None, None) => true,
                (Some(found), Some(expected)) => {
                    let quotes = |message: &&str| !message.trim().is_empty() && result.contains(*message);
                    (expected.http_status.is_none() || expected.http_status == found.http_status)
                        && (expected.kind.is_none() || expected.kind == found.error_type)
                        && expected.exit_code == found.exit_code
                        && !found.messages.is_empty()
                        && found.messages.iter().all(quotes)
                }
                _ => false,
            };
            if !is_right {
                wrong.push(format!("{tool} {arguments}: {result}\n  {found:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn the_message_is_what_happened_and_not_the_envelope() {
        for (result, message) in [
            (r#"{"error": {"code": "busy", "message": "backend busy"}, "trace_id": "t"}"#, "backend busy"),
            (r#"{"content": [{"type": "text", "text": "disk quota"}], "isError": true}"#, "disk quota"),
            (
                r#"{"stdout": "", "stderr": "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'x'", "exit_code": 1}"#,
                "KeyError: 'x'",
            ),
            ("Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'", "KeyError: 'x'"),
        ] {
            assert_eq!(ToolError::in_result("f", "{}", result).unwrap().messages.first(), Some(&message), "{result}");
        }
    }

    #[test]
    fn time_is_linear_for_hostile_results() {
        let shapes: [fn(usize) -> String; 8] = [
            |n| "{\"error\":".repeat(n),
            |n| format!("{{\"result\": \"{}\"}}", "{\\\"a\\\": ".repeat(n)),
            |n| format!("Error: {}", "a ".repeat(n)),
            |n| "Traceback (most recent call last):\n".repeat(n),
            |n| "\n  File \"a\", line 1\n".repeat(n),
            |n| format!("{{\"errors\": [{}]}}", "{\"message\": \"x\"},".repeat(n)),
            |n| "<error>".repeat(n),
            |n| format!("{{\"isError\": true, \"content\": [{}]}}", "{\"text\": \"a\\n\"},".repeat(n)),
        ];
        for (number, shape) in shapes.into_iter().enumerate() {
            let time = |count: usize| {
                let text = shape(count);
                let start = Instant::now();
                let _ = ToolError::in_result("bash", "{}", &text);
                start.elapsed().as_secs_f64()
            };
            time(1_000);
            let (short, long) = (time(5_000), time(40_000));
            assert!(long < 0.5 + 30.0 * short, "shape {number}: {short} s, then {long} s");
        }
    }
}
