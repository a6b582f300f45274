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

use super::error_fields::{
    bare_message, code_with_message, details, error_field, errors_list, exception, has_any, is_false, is_true, typed_part, word_of,
};
use super::result_payload::{Payload, is_one_of};
use super::result_text;
use super::result_value::{List, Object, Parsed, Text, Value};
use super::text::clip;
use super::tool_error::{TEXT_BYTES_MAX, ToolError, content_text, described, piece_of};
use super::tool_nature::ToolNature;

/// The error in a result; `None` if the tool worked.
pub(super) fn error_in_result<'t>(name: &str, arguments: &str, result: &'t str) -> Option<ToolError<'t>> {
    let call = Call { nature: ToolNature::of(name, arguments), arguments: clip(arguments) };
    let error = if let Some(Parsed { value, rest }) = Parsed::of_result(result) {
        call.error_after(&value, rest, result)?
    } else {
        let error = result_text::error_in_text(result, call.nature)?;
        ToolError::of_text(&error, error.message)
    };
    Some(error.or_message(result.trim()))
}

/// Envelopes in envelopes that are opened.
const ENVELOPES_MAX: usize = 3;

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
            let found = error_in_result(&tool, &arguments, &result);
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
            assert_eq!(error_in_result("f", "{}", result).unwrap().messages.first(), Some(&message), "{result}");
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
                let _ = error_in_result("bash", "{}", &text);
                start.elapsed().as_secs_f64()
            };
            time(1_000);
            let (short, long) = (time(5_000), time(40_000));
            assert!(long < 0.5 + 30.0 * short, "shape {number}: {short} s, then {long} s");
        }
    }
}
