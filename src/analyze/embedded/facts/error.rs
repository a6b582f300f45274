//! The error of any failed step as the trace records it: its type, its statuses and its message, and what the step called.

use std::borrow::Cow;

use super::super::byte_regex::ByteRegex;

use super::super::incident::{Incident, IncidentKind};
use super::super::signals::{protocol_status, recorded_status, type_in_text};
use super::super::status;
use super::super::text::message_of;
use super::super::totals::nearest_model_call;
use super::agents::name_of;
use super::find::{capture, expressions};
use super::names::fact_names;
use super::quote::quote;
use super::texts::{attribute, find};
use super::{Case, Extractor, Facts, Place, display_name};
use crate::model::{Span, SpanKind, last_segment};

fact_names! {
    ERROR_TYPE = "error_type", Text, "the type of the error";
    HTTP_STATUS = "http_status", Count, "the HTTP status of the error";
    ERROR_MESSAGE = "error_message", Text, "the part of the error message that says most";
    RPC_STATUS = "rpc_status", Text, "the gRPC status";
    RPC_STATUS_CODE = "rpc_status_code", Count, "the number of the gRPC status";
    DB_STATUS = "db_status", Text, "the error code of the database";
    REQUEST_ID = "request_id", Text, "the id of the request that failed";
    FAILED_STEP = "failed_step", Text, "the name of the failed step";
    AGENT = "agent", Text, "the agent that ran the failed step";
    MODEL = "model", Text, "the model of the failed step or of the last model call before it";
    PROVIDER = "provider", Text, "the provider of that model, as recorded";
    TOOL = "tool", Text, "the tool of the failed step";
    EMBEDDING_MODEL = "embedding_model", Text, "the model of the last embedding call up to the failure";
    ENVIRONMENT = "environment", Text, "the environment in which the service ran";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Ancestors among which the agent is searched.
const ANCESTORS_READ_MAX: usize = 50;

/// Characters of an error message that is quoted in a sentence.
const MESSAGE_CHARS_MAX: usize = 200;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if let Some(environment) = case.trace.environment.as_deref().filter(|_| !case.label.is_healthy()) {
        facts.add(&ENVIRONMENT, environment, Place::Trace);
    }
    // Formats without resources record it among the attributes.
    let of_root = case.trace.spans.first().into_iter().chain(case.step());
    let recorded = of_root.flat_map(|span| span.attributes.iter().map(move |attribute| (span, attribute))).find(|(_, attribute)| {
        let key = attribute.key.as_str();
        (key.ends_with("deployment.environment.name") || key.ends_with("deployment.environment")) && !attribute.value.trim().is_empty()
    });
    if let Some((span, attribute)) = recorded.filter(|_| !case.label.is_healthy()) {
        facts.add(&ENVIRONMENT, &attribute.value, Place::Field(span, &format!("attributes.{}", attribute.key)));
    }
    let Some(root) = case.root else { return };
    let is_error = matches!(root.kind, IncidentKind::Error | IncidentKind::ToolResult | IncidentKind::CannedAnswer);
    if is_error {
        add_type(root, facts);
        add_http_status(root, facts);
        add_rpc_status(case, root, facts);
        add_db_status(case, root, facts);
        if let Some((field, message)) = message_with_field(root) {
            facts.add(&ERROR_MESSAGE, message, Place::Field(root.span, field));
        }
        add_request_id(case, facts);
    }
    add_names(case, root, facts);
}

fn add_type(root: &Incident<'_>, facts: &mut Facts) {
    if let Some((kind, field)) = type_with_field(root) {
        facts.add(&ERROR_TYPE, kind, field.map_or(Place::Span(root.span), |field| Place::Field(root.span, field)));
    }
}

/// The last segment of the type of an error, with the field that names it.
pub(super) fn type_with_field<'i>(incident: &'i Incident<'_>) -> Option<(&'i str, Option<&'i str>)> {
    if let Some(kind) = incident.error_type.as_deref().map(last_segment).filter(|kind| !kind.is_empty()) {
        let mut signals = incident.signals.iter().rev();
        let signal = signals.find(|signal| signal.text.strip_prefix("error_type=") == Some(kind));
        return Some((kind, signal.and_then(|signal| signal.field.as_deref())));
    }
    incident.texts.iter().find_map(|(field, text)| {
        let text = message_of(text).trim_start();
        // `Error: KeyError: 'q3'`, as frameworks write the exception of a tool.
        let text = ["Error:", "ERROR:", "error:", "Uncaught"].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text);
        Some((last_segment(type_in_text(text)?), Some(field.as_str())))
    })
}

fn add_http_status(root: &Incident<'_>, facts: &mut Facts) {
    let Some(status) = root.status else { return };
    let written = format!("http_status={status}");
    let signal = root.signals.iter().find(|signal| signal.text == written).and_then(|signal| signal.field.clone());
    let recorded = || recorded_status(root.span).filter(|(recorded, _)| *recorded == status).map(|(_, field)| field);
    // One that only follows from a status of gRPC was not answered by any server.
    if let Some(field) = signal.or_else(recorded) {
        facts.add(&HTTP_STATUS, status, Place::Field(root.span, &field));
    }
}

expressions! {
    RPC_IN_TEXT =
        r"(?-u:\b)StatusCode[.=]\W?([A-Za-z_]{2,24})(?-u:\b)|(?-u:\b)rpc error: code = ([A-Za-z]{2,24})(?-u:\b)",
        r"|(?-u:\b)StatusRuntimeException: ([A-Z_]{2,24})(?-u:\b)|^(?:Error: )?[0-9]{1,2} ([A-Z_]{5,24}): |(?-u:\b)grpc[_ .-]status[_a-z]{0,8}\W{1,3}([0-9]{1,2}|[A-Z_]{2,24})(?-u:\b)";
    DB_IN_TEXT =
        r"(?-u:\b)SQLSTATE\W{1,4}([0-9A-Z]{5})(?-u:\b)|(?-u:\b)([0-9]{6}) \([0-9A-Z]{5}\)|(?-u:\b)(ORA-[0-9]{5})(?-u:\b)|(?-u:\b)ERROR ([0-9]{4}) \([0-9A-Z]{5}\)|(?-u:\b)Error ([0-9]{4}) \([0-9A-Z]{5}\)",
        r"|(?-u:\b)(?:Operational|Integrity|Programming|Data|Internal)Error\)? ?:? ?\(([0-9]{4}), |(?-u:\b)(E11000)(?-u:\b)|(?-u:\b)(SQLITE_[A-Z]{3,20})(?-u:\b)|(?-u:\b)Msg ([0-9]{2,6}), Level [0-9]{1,2}";
    REQUEST_ID_IN_TEXT =
        r#"(?i)(?-u:\b)(?:x-)?request[-_ ]?id["'\\]{0,3}\s{0,2}[:=]\s{0,2}\\?["']?([A-Za-z0-9][A-Za-z0-9_-]{7,79})(?-u:\b)|(?-u:\b)(req_[A-Za-z0-9]{16,60})(?-u:\b)"#;
}

fn add_rpc_status(case: &Case<'_, '_>, root: &Incident<'_>, facts: &mut Facts) {
    let mut push = |name: &str, written: &str, place: Place<'_>| {
        let is_number = written.bytes().all(|byte| byte.is_ascii_digit());
        facts.add(&RPC_STATUS, name, if written == name { place } else { Place::Span(root.span) });
        if let Some(number) = status::number_of_grpc(name) {
            facts.add(&RPC_STATUS_CODE, number, if is_number { place } else { Place::Span(root.span) });
        }
    };
    if let Some((name, field)) = protocol_status(root.span).and_then(|(signal, _)| {
        let name = signal.text.strip_prefix("rpc_status=")?.to_owned();
        Some((name, signal.field?))
    }) {
        let written = field.strip_prefix("attributes.").and_then(|key| root.span.attribute(key)).unwrap_or_default();
        push(&name, written, Place::Field(root.span, &field));
    }
    for (field, text) in case.messages() {
        let Some(written) = capture(&RPC_IN_TEXT, text.trim_start()) else { continue };
        if let Some((name, _)) = status::of_grpc(written) {
            push(name, written, Place::Field(root.span, field));
            return;
        }
    }
}

fn add_db_status(case: &Case<'_, '_>, root: &Incident<'_>, facts: &mut Facts) {
    let recorded =
        protocol_status(root.span).and_then(|(signal, _)| Some((signal.text.strip_prefix("db_status=")?.to_owned(), signal.field?)));
    if let Some((code, field)) = recorded {
        facts.add(&DB_STATUS, code, Place::Field(root.span, &field));
    }
    for (field, text) in case.messages() {
        if let Some(code) = capture(&DB_IN_TEXT, text) {
            facts.add(&DB_STATUS, code, Place::Field(root.span, field));
        }
    }
}

/// The id with which the provider or service finds the request in its own log.
fn add_request_id(case: &Case<'_, '_>, facts: &mut Facts) {
    const NAMES: [&str; 5] = ["requestid", "xrequestid", "responserequestid", "providerrequestid", "awsrequestid"];
    let Some(span) = case.span() else { return };
    if let Some(id) = attribute(&[span], &NAMES).filter(|source| source.text.len() >= 8) {
        facts.add(&REQUEST_ID, id.text.trim(), id.place());
    }
    let own: Vec<_> = case.error_texts().iter().filter(|source| std::ptr::eq(source.span, span)).cloned().collect();
    if let Some((source, captures)) = find(&own, &REQUEST_ID_IN_TEXT)
        && let Some(id) = captures.iter().skip(1).flatten().next()
    {
        facts.add(&REQUEST_ID, id.as_str(), source.place());
    }
}

/// The model, the provider and the tool of the step.
fn add_names(case: &Case<'_, '_>, root: &Incident<'_>, facts: &mut Facts) {
    const FRAMEWORKS: [&str; 6] = ["strands-agents", "gcp.vertex.agent", "langchain", "crewai", "autogen", "spring_ai"];
    let step = root.step.unwrap_or(root.span);
    facts.add(&FAILED_STEP, display_name(step), Place::Span(step));
    let above = case.tree.self_and_ancestors(root.index).skip(1).take(ANCESTORS_READ_MAX).filter_map(|index| case.trace.spans.get(index));
    let agent = above.into_iter().find(|span| span.kind == SpanKind::Agent);
    if let Some((agent, (name, field))) = agent.and_then(|agent| Some((agent, name_of(agent)?))) {
        facts.add(&AGENT, name, field.as_deref().map_or(Place::Span(agent), |field| Place::Field(agent, field)));
    }
    if let Some(tool) = step.tool.as_ref().filter(|tool| !tool.name.is_empty()) {
        facts.add(&TOOL, &tool.name, Place::Field(step, "tool.name"));
    } else if let Some(tool) = root.tool.as_deref() {
        facts.add(&TOOL, tool, Place::Span(root.span));
    }
    if matches!(step.kind, SpanKind::Retriever | SpanKind::Embedding) || case.label.category() == "retrieval_failure" {
        let is_before = |span: &&Span| span.kind == SpanKind::Embedding && span.started_at_ns.is_none_or(|start| start <= root.at_ns);
        if let Some((call, model)) = case.trace.spans.iter().rev().filter(is_before).find_map(|span| Some((span, span.model.as_ref()?))) {
            facts.add(&EMBEDDING_MODEL, model, Place::Field(call, "model"));
        }
    }
    let of_step = |span: &&Span| span.model.is_some();
    let Some(call) = [step, root.span].into_iter().find(of_step).or_else(|| nearest_model_call(case.trace, step)) else {
        add_recorded_model(case, facts);
        return;
    };
    if let Some(model) = &call.model {
        facts.add(&MODEL, model, Place::Field(call, "model"));
    }
    // Some frameworks write their own name where the provider of the model belongs.
    if let Some(provider) = call.provider.as_ref().filter(|provider| !FRAMEWORKS.contains(&provider.as_str())) {
        facts.add(&PROVIDER, provider, Place::Field(call, "provider"));
    }
}

/// The model of a call that is recorded in an attribute of no convention, as far as all calls have the same.
fn add_recorded_model(case: &Case<'_, '_>, facts: &mut Facts) {
    const KEYS: [&str; 4] = ["model", "model_name", "llm.model", "request.model"];
    const CALLS_MAX: usize = 100;
    let calls = case.trace.spans.iter().filter(|span| span.kind == SpanKind::Llm).take(CALLS_MAX);
    let named = calls.filter_map(|span| KEYS.iter().find_map(|key| Some((span, *key, span.attribute(key)?.trim_matches(['"', ' '])))));
    let mut named = named.filter(|(_, _, model)| !model.is_empty() && model.len() <= 100 && !model.contains(' '));
    if let Some((span, key, model)) = named.next()
        && named.all(|(_, _, other)| other == model)
    {
        facts.add(&MODEL, model, Place::Field(span, &format!("attributes.{key}")));
    }
}

/// The message of the error with its field, for a quotation inside of a sentence: without a period.
pub(in crate::analyze::embedded) fn quoted_message<'i>(incident: &'i Incident<'_>) -> Option<(&'i str, String)> {
    let (field, message) = message_with_field(incident)?;
    Some((field, message.trim_end_matches('.').to_owned()))
}

/// The message of the error with its field. The class of an exception alone is no message, and of a text that is only a part of a later one, such as a
/// status that the exporter cut, the later one is.
pub(super) fn message_with_field<'i>(incident: &'i Incident<'_>) -> Option<(&'i str, String)> {
    let mut found: Option<(&'i str, String)> = None;
    for (field, text) in &incident.texts {
        let Some(words) = words_of(incident, text) else { continue };
        match &mut found {
            None => found = Some((field, words)),
            Some(known) if is_part(&known.1, &words) => *known = (field, words),
            Some(_) => {}
        }
    }
    found.map(|(field, words)| (field, quote(&words, MESSAGE_CHARS_MAX)))
}

/// Whether a message is a fragment of another one: the same words, cut at one end.
fn is_part(fragment: &str, whole: &str) -> bool {
    let fragment = fragment.trim_end_matches(['.', '…', ' ']);
    fragment.len() < whole.len() && (whole.starts_with(fragment) || whole.ends_with(fragment))
}

/// What a text of an error says, in one line; `None` if it is only the class.
fn words_of(incident: &Incident<'_>, text: &str) -> Option<String> {
    /// A class, with what an exporter writes before it, and the colon or the parentheses that follow it.
    static CLASS: ByteRegex = ByteRegex::new(r"^(?:[a-z]{2,20}:)?[A-Za-z_][\w.$]{0,150}(?:\(\))?:?$");
    let message = message_of(text).trim();
    let first = in_json(message).map_or_else(|| first_paragraph(message), Cow::Borrowed);
    let words: String = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = words.trim_end_matches([':', ' ']).trim_matches('"');
    let kind = incident.error_type.as_deref().map(last_segment);
    let is_class = Some(words) == incident.error_type.as_deref()
        || kind.is_some_and(|kind| words.trim_end_matches("()") == kind)
        || (words.ends_with("Error") || words.ends_with("Exception") || words.ends_with("()")) && CLASS.is_match(words);
    // A call that was rejected may be recorded by the name of its tool alone.
    if words.is_empty() || is_class || Some(words) == incident.tool.as_deref() { raised_at_end(text) } else { Some(words.to_owned()) }
}

/// The message of the exception at the end of a Python stack trace, which a class alone stands before.
fn raised_at_end(text: &str) -> Option<String> {
    const LINES_READ_MAX: usize = 12;
    static RAISED: ByteRegex = ByteRegex::new(r"^[A-Za-z_][A-Za-z0-9_.]{0,120}(?:Error|Exception|Exceeded|Timeout): ([^\n]{4,})$");
    let (_, trace) = text.split_once("Traceback (most recent call last)")?;
    let end = super::super::text::ends_of(trace).last()?;
    let raised = end.lines().rev().take(LINES_READ_MAX).find_map(|line| RAISED.captures(line.trim())?.get(1))?;
    Some(raised.as_str().split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The message in the JSON, or Python's `repr` of it, that an API answered: the whole text, or its end after a few words about the request.
fn in_json(message: &str) -> Option<&str> {
    /// Characters before the JSON.
    const BEFORE_CHARS_MAX: usize = 160;
    static IN_JSON: ByteRegex = ByteRegex::new(concat!(
        r#""(?:message|error_message|detail|error|msg|reason)"\s{0,5}:\s{0,5}"((?:[^"\\]|\\.){3,600})""#,
        r#"|'(?:message|error_message|detail|error|msg|reason)'\s{0,5}:\s{0,5}(?:"((?:[^"\\]|\\.){3,600})"|'((?:[^'\\]|\\.){3,600})')"#,
    ));
    let at = message.find(['{', '['])?;
    let is_bare = at == 0;
    let is_body = at <= BEFORE_CHARS_MAX && message.ends_with(['}', ']']) && message.get(at..).is_some_and(|body| body.contains(':'));
    if !is_bare && !is_body {
        return None;
    }
    let captures = IN_JSON.captures(message.get(at..)?)?;
    let found = captures.iter().skip(1).flatten().next()?.as_str();
    // A code in place of a message: the words before the JSON may say more.
    (is_bare || found.contains(' ') || message.get(..at).is_some_and(|before| before.split_whitespace().count() <= 4)).then_some(found)
}

/// The first line of a message, and the lines below it that continue a short one: the fields that are invalid, the details of a database or an RPC.
fn first_paragraph(message: &str) -> Cow<'_, str> {
    /// A longer first line says what happened.
    const SHORT_CHARS: usize = 100;
    const LINES_MAX: usize = 12;
    /// Lines that libraries add to any error.
    const NOISE: [&str; 7] = [
        "For more information",
        "For further information",
        "For troubleshooting",
        "On how to mitigate this issue",
        "During task with name",
        "Traceback",
        "Stack",
    ];
    /// A status without a word of what happened: `HTTP 401 (401)`, `Status: 500`.
    static STATUS_ONLY: ByteRegex =
        ByteRegex::new(r"(?i)^(?:http|error|error code|status|status code)?[ :=]{0,2}[1-5][0-9]{2}(?: \([A-Za-z0-9 ]{0,30}\))?[.:]?$");
    let is_noise = |line: &str| {
        // The class of the exception may stand before it.
        let said = line.split_once("Error: ").map_or(line, |(class, rest)| if class.contains(' ') { line } else { rest });
        let is_class = line.ends_with("Error:") || line.ends_with("Exception:");
        NOISE.iter().any(|noise| said.starts_with(noise)) || (line.starts_with("http") || is_class) && !line.contains(' ')
    };
    let mut lines = message.lines().map(str::trim).skip_while(|line| line.is_empty() || is_noise(line)).take(LINES_MAX);
    let Some(first) = lines.next() else { return Cow::Borrowed(message.lines().next().unwrap_or_default().trim()) };
    let is_status = STATUS_ONLY.is_match(first);
    let is_heading = first.ends_with(':') || is_status;
    if first.chars().count() > SHORT_CHARS && !is_heading {
        return Cow::Borrowed(first);
    }
    let mut paragraph = Cow::Borrowed(if is_status { "" } else { first });
    for line in lines.skip_while(|line| is_heading && line.is_empty()).take_while(|line| !line.is_empty()) {
        if paragraph.is_empty() {
            paragraph = Cow::Borrowed(line);
        } else if !is_noise(line) {
            paragraph = Cow::Owned(format!("{paragraph} {line}"));
        }
    }
    // A status that nothing follows.
    if paragraph.is_empty() { Cow::Borrowed(first) } else { paragraph }
}

#[cfg(test)]
mod tests {
    use super::super::super::signals::Signal;
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Attribute, Label, ToolUse, Trace};

    /// The facts of a tool call that failed with this message and these attributes.
    fn facts_of(message: &str, attributes: &[(&str, &str)]) -> Facts {
        let attributes = attributes.iter().map(|(key, value)| Attribute { key: (*key).into(), value: (*value).into() }).collect();
        let tool = ToolUse { name: "lookup".into(), ..ToolUse::default() };
        let call = Span {
            span_id: "c".into(),
            kind: SpanKind::Llm,
            model: Some("gpt-4o".into()),
            provider: Some("azure.ai.openai".into()),
            ..Span::default()
        };
        let span = Span {
            span_id: "t".into(),
            kind: SpanKind::Tool,
            tool: Some(tool),
            status_message: Some(message.into()),
            attributes,
            ..Span::default()
        };
        let trace = Trace { spans: vec![call, span], environment: Some("staging".into()), ..Trace::default() };
        let (tree, mut root) = (SpanTree::new(&trace), Incident::new(&trace, 1, IncidentKind::Error).unwrap());
        root.texts.push(("status_message".into(), trace.spans[1].status_message.as_deref().unwrap()));
        if let Some(status) = status::in_text(message) {
            root.status = Some(status);
            root.signals.push(Signal::new("http_status", status, "status_message"));
        }
        let label = Label::parse("tool_failure/tool_unavailable").unwrap();
        let mut facts = Facts::default();
        add(&Case::new(&trace, &tree, &[], Some(&root), label), &mut facts);
        facts
    }

    #[test]
    fn the_error_of_any_step_has_its_type_status_and_message() {
        let facts = facts_of("HTTPError: 503 Server Error for url\nmore", &[]);
        for (name, expected) in [
            (&ERROR_TYPE, Some("HTTPError")),
            (&HTTP_STATUS, Some("503")),
            (&ERROR_MESSAGE, Some("HTTPError: 503 Server Error for url more")),
            (&TOOL, Some("lookup")),
            (&MODEL, Some("gpt-4o")),
            (&PROVIDER, Some("azure.ai.openai")),
            (&ENVIRONMENT, Some("staging")),
            (&RPC_STATUS, None),
        ] {
            assert_eq!(facts.get(name), expected, "{}", name.name);
        }
        assert_eq!(facts_of("Error: NoSuchKey is gone", &[]).get(&ERROR_TYPE), None);
        assert_eq!(facts_of("Error: builtins.KeyError: 'q3'", &[]).get(&ERROR_TYPE), Some("KeyError"));
    }

    #[test]
    fn a_short_first_line_is_continued() {
        for (message, expected) in [
            ("deadlock detected\nDETAIL: Process 7 waits for ShareLock", "deadlock detected DETAIL: Process 7 waits for ShareLock"),
            (
                "1 validation error for Args\ncheck_in\n  Input should be a valid date\n    For further information visit https://x",
                "1 validation error for Args check_in Input should be a valid date",
            ),
            ("one of the options:\n\n- writer\n- editor", "one of the options: - writer - editor"),
            ("The queue is full.\n\nSee the manual.", "The queue is full."),
            ("Server error '502 Bad Gateway'\nFor more information check: https://x", "Server error '502 Bad Gateway'"),
        ] {
            assert_eq!(first_paragraph(message), expected, "{message}");
        }
        let long = format!("{}\nsecond", "x".repeat(120));
        assert_eq!(first_paragraph(&long), "x".repeat(120));
    }

    #[test]
    fn the_words_of_a_person_are_found_behind_what_software_adds() {
        let quoted = |texts: &[&'static str]| {
            let trace = Trace { spans: vec![Span::default()], ..Trace::default() };
            let mut incident = Incident::new(&trace, 0, IncidentKind::Error).unwrap();
            incident.texts.extend(texts.iter().map(|text| ("status_message".to_owned(), *text)));
            message_with_field(&incident).map(|(_, message)| message)
        };
        for (texts, expected) in [
            (&["HTTP 403 (403)\r\n\r\nThe plan does not include exports.\r\n"][..], Some("The plan does not include exports.")),
            (&[r#"HTTP 529 - {"type":"error","error":{"message":"Overloaded"}}"#], Some("Overloaded")),
            (
                &["ModelError: status_code: 400, model_name: m, body: {'code': 'x', 'message': \"It's too long for us\"}"],
                Some("It's too long for us"),
            ),
            (&["server:OutOfSpaceErrorTraceback (most recent call last):\n  File \"a.py\", line 1", "disk is full"], Some("disk is full")),
            (&["server:OutOfSpaceError", "the disk of the store is full"], Some("the disk of the store is full")),
            (&["The upload was", "The upload was rejected by the scanner"], Some("The upload was rejected by the scanner")),
            (
                &[
                    "_QuotaError: On how to mitigate this issue, please refer to:\n\nhttps://example.com/errors\n\n\n429 Quota of 5 a day is used up",
                ],
                Some("429 Quota of 5 a day is used up"),
            ),
            (&["lookup failed for {'id': 5, 'message': 'a'} of the list"], Some("lookup failed for {'id': 5, 'message': 'a'} of the list")),
            (&["ValueError"], None),
            (
                &["_QuotaError:\nOn how to mitigate this issue, please refer to:\n\nhttps://example.com/errors\n\n\n5 a day are used up"],
                Some("5 a day are used up"),
            ),
            (
                &[
                    "server:FullErrorTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    raise x\nstore.FullError: nothing more fits\nDuring task with name 'f'",
                ],
                Some("nothing more fits"),
            ),
        ] {
            assert_eq!(quoted(texts).as_deref(), expected, "{texts:?}");
        }
    }

    #[test]
    fn statuses_of_rpc_are_read_from_attributes_and_texts() {
        for (message, attributes, name, code) in [
            ("failed", &[("rpc.grpc.status_code", "14")][..], "UNAVAILABLE", "14"),
            ("failed", &[("rpc.response.status_code", "DEADLINE_EXCEEDED")], "DEADLINE_EXCEEDED", "4"),
            ("<_InactiveRpcError of RPC that terminated with:\n\tstatus = StatusCode.UNAVAILABLE\n>", &[], "UNAVAILABLE", "14"),
            ("rpc error: code = NotFound desc = no such order", &[], "NOT_FOUND", "5"),
            ("io.grpc.StatusRuntimeException: RESOURCE_EXHAUSTED: too large", &[], "RESOURCE_EXHAUSTED", "8"),
            ("Error: 7 PERMISSION_DENIED: no access", &[], "PERMISSION_DENIED", "7"),
            (r#"Status(StatusCode="Internal", Detail="x")"#, &[], "INTERNAL", "13"),
        ] {
            let facts = facts_of(message, attributes);
            assert_eq!((facts.get(&RPC_STATUS), facts.get(&RPC_STATUS_CODE)), (Some(name), Some(code)), "{message}");
        }
        assert_eq!(facts_of("the status is UNAVAILABLE today", &[]).get(&RPC_STATUS), None);
    }

    #[test]
    fn codes_of_databases_and_ids_of_requests_are_found() {
        for (message, code) in [
            ("ERROR: deadlock detected (SQLSTATE 40P01)", Some("40P01")),
            ("SQLSTATE[42S02]: Base table or view not found", Some("42S02")),
            ("ORA-00942: table or view does not exist", Some("ORA-00942")),
            ("ERROR 1213 (40001): Deadlock found", Some("1213")),
            ("(pymysql.err.OperationalError) (1205, 'Lock wait timeout exceeded')", Some("1205")),
            ("E11000 duplicate key error collection", Some("E11000")),
            ("SQLITE_BUSY: database is locked", Some("SQLITE_BUSY")),
            ("Msg 1205, Level 13, State 51", Some("1205")),
            ("002003 (42S02): SQL compilation error", Some("002003")),
            ("error 4711 (late)", None),
        ] {
            assert_eq!(facts_of(message, &[]).get(&DB_STATUS), code, "{message}");
        }
        for (message, id) in [
            ("Error code: 529 - {'request_id': 'req_011CdukFZdDByjQ8mcMKGeZxmn5N'}", Some("req_011CdukFZdDByjQ8mcMKGeZxmn5N")),
            ("AccessDenied (Request ID: 8f2e7c1a-55aa-4f0e, HTTP status 403)", Some("8f2e7c1a-55aa-4f0e")),
            ("x-request-id: 4bf92f3577b34da6", Some("4bf92f3577b34da6")),
            ("request id is missing", None),
        ] {
            assert_eq!(facts_of(message, &[]).get(&REQUEST_ID), id, "{message}");
        }
    }
}
