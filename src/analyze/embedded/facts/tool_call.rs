//! Facts of any failed tool call: its name, arguments and error, the request that it made, and the resource that it did not find.

use super::super::byte_regex::ByteRegex;
use serde_json::Value;

use super::super::incident::IncidentKind;
use super::call::{RecordedCall, contains_word, source_of};
use super::names::fact_names;
use super::quote::quote;
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::{Span, SpanKind};

fact_names! {
    CALLED_TOOL = "called_tool", Text, "the name of the called tool";
    CALL_ARGUMENTS = "call_arguments", Text, "the arguments of the call";
    TOOL_ERROR = "tool_error", Text, "the message of the tool";
    HTTP_METHOD = "http_method", Text, "the HTTP method of the tool's request";
    REQUESTED_URL = "requested_url", Text, "the URL or path that the tool requested";
    MISSING_RESOURCE = "missing_resource", Text, "the id, path or name that was not found";
    EXISTING_MODE = "existing_mode", Text, "the mode of the service in which the missing thing exists";
    RESOURCE_KIND = "resource_kind", Text, "the kind of thing that was not found";
    RESOURCE_ARGUMENT = "resource_argument", Text, "the argument with the id of the missing thing";
    RESOURCE_SOURCE = "resource_source", Text, "the place where the id of the missing thing first occurs";
    RESOURCE_SOURCE_TEXT = "resource_source_text", Text, "the words around the id of the missing thing where it first occurs";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Characters of arguments and messages in a fact.
const TEXT_CHARS_MAX: usize = 120;

/// Characters of the message of a tool.
const ERROR_CHARS_MAX: usize = 200;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some((incident, span)) = case.root.zip(case.span()) else { return };
    let is_about_tool =
        incident.span_kind() == SpanKind::Tool || case.label.category() == "tool_failure" || case.label.category() == "tool_misuse";
    if !is_about_tool || case.is(&["unknown_tool"]) {
        return;
    }
    let call = RecordedCall::of(case);
    let name = call.as_ref().map(|call| (call.span, call.name)).or_else(|| Some((span, incident.tool.as_deref()?)));
    if let Some((span, name)) = name.filter(|(_, name)| !name.trim().is_empty()) {
        facts.add(&CALLED_TOOL, name, Place::Span(span));
    }
    // An argument that the tool misses is not among those of the call that failed.
    let is_call = |call: &&RecordedCall<'_>| {
        let missing = facts.get(&super::arguments::MISSING_PARAMETER).map(str::to_owned);
        missing.is_none_or(|missing| call.json().is_none_or(|arguments| !arguments.contains_key(&missing)))
    };
    if let Some(call) = call.as_ref().filter(is_call) {
        add_arguments(call, facts);
    }
    let is_error = matches!(incident.kind, IncidentKind::Error | IncidentKind::ToolResult | IncidentKind::CannedAnswer);
    let details = facts.get(&super::rpc::GRPC_DETAILS).map(str::to_owned);
    if let (Some(details), Some((field, _))) = (details, case.messages().next()) {
        facts.add(&TOOL_ERROR, details, Place::Field(span, field));
    } else if let Some((field, line)) =
        case.messages().filter(|_| is_error).find_map(|(field, text)| Some((field.to_owned(), telling_line(text)?)))
    {
        // Of an unfinished call, the text is its arguments.
        if !field.contains("tool_calls") {
            facts.add(&TOOL_ERROR, quote(line.trim_end_matches(['.', ' ']), ERROR_CHARS_MAX), Place::Field(span, &field));
        }
    }
    add_request(case, span, facts);
    if case.is(&["tool_resource_not_found"]) {
        add_resource(case, span, call.as_ref(), facts);
    }
}

/// The arguments of the call as they were recorded, without what an instrumentation wraps them in.
pub(super) fn add_arguments(call: &RecordedCall<'_>, facts: &mut Facts) {
    let is_wrapped = call.arguments.contains("\"kwargs\"");
    let inner = if is_wrapped { call.json().and_then(|fields| serde_json::to_string(&fields).ok()) } else { None };
    let text = inner.as_deref().unwrap_or(call.arguments);
    if !matches!(text.trim(), "" | "{}" | "[]" | "null") {
        // What was unwrapped is written in another order.
        let place = if inner.is_some() { Place::Span(call.span) } else { Place::Field(call.span, &call.field) };
        facts.add(&CALL_ARGUMENTS, shortened(text, TEXT_CHARS_MAX), place);
    }
}

/// The first line that says something: not one that only announces the next.
fn telling_line(text: &str) -> Option<&str> {
    // A fence of Markdown is no message.
    let mut lines = text.lines().map(str::trim).filter(|line| line.contains(char::is_alphanumeric) && !line.starts_with("```"));
    let first = lines.next()?;
    let announces = first.ends_with(':') || first.ends_with("[{") || first.ends_with('{') || first.ends_with('[');
    // The items of a list say less than the line before it.
    let is_item = |line: &&str| line.starts_with(['-', '*', '•']);
    if announces { lines.next().filter(|next| next.len() > 3 && !is_item(next)).or(Some(first)) } else { Some(first) }
}

/// The method and the URL of the request, from the message or by the conventions for HTTP.
fn add_request(case: &Case<'_, '_>, span: &Span, facts: &mut Facts) {
    static REQUEST: ByteRegex = ByteRegex::new(concat!(
        r#"\b(?P<m>GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)\b[ "'`:(]{1,3}(?P<u>(?:https?://|/)[^\s"'`<>,;)\]}]{1,300})"#,
        r#"|(?:for|from|to|at|url:?|requesting|fetch(?:ing)?|GET|open) ["'`<(]?(?P<v>https?://[^\s"'`<>,;)\]}]{4,300})"#,
    ));
    for (field, text) in case.messages() {
        let Some(found) = REQUEST.captures(text) else { continue };
        if let Some(method) = found.name("m") {
            facts.add(&HTTP_METHOD, method.as_str(), Place::Field(span, field));
        }
        if let Some(url) = found.name("u").or_else(|| found.name("v")) {
            let url = url.as_str().trim_end_matches(['.', ':']);
            facts.add(&REQUESTED_URL, shortened(url, TEXT_CHARS_MAX), Place::Field(span, field));
        }
    }
    // The request that failed may have a span of its own below the tool's.
    let index = case.root.map_or(0, |incident| incident.index);
    let below = case.tree.children(index).iter().filter_map(|child| case.trace.spans.get(*child)).filter(|child| child.failed());
    for request in std::iter::once(span).chain(below.take(8)) {
        for (name, keys) in [
            (&HTTP_METHOD, ["http.request.method", "http.method", "http.request_method"].as_slice()),
            (&REQUESTED_URL, ["url.full", "http.url", "url.template", "http.route", "url.path", "http.target"].as_slice()),
        ] {
            let found = keys.iter().find_map(|key| Some((*key, request.attribute(key)?)));
            if let Some((key, value)) = found.filter(|(_, value)| !value.is_empty()) {
                facts.add(name, shortened(value, TEXT_CHARS_MAX), Place::Field(request, &format!("attributes.{key}")));
            }
        }
    }
}

/// What was not found: its kind and id as the message names them, the argument that has it, and where the id came from.
fn add_resource<'t>(case: &Case<'_, 't>, span: &Span, call: Option<&RecordedCall<'t>>, facts: &mut Facts) {
    // Stripe, and services after it, keep test data apart.
    static MODE: ByteRegex = ByteRegex::new(r"(?i)similar object exists in (test|live|sandbox|production) mode");
    let arguments = call.and_then(RecordedCall::json).unwrap_or_default();
    let values = scalars(&arguments);
    let named = case.messages().find_map(|(field, text)| Some((field.to_owned(), resource_in(text)?)));
    // The message may repeat the value of an argument in words that no expression knows.
    let repeated = case.messages().find_map(|(field, text)| {
        let (name, value) = values.iter().find(|(_, value)| is_id(value) && contains_word(text, &value.to_lowercase()))?;
        Some((field.to_owned(), name.clone(), value.clone()))
    });
    let mut id = None;
    if let Some((field, resource)) = &named {
        if let Some(kind) = &resource.kind {
            let is_written = case.messages().any(|(_, text)| text.contains(kind.as_str()));
            facts.add(&RESOURCE_KIND, kind, if is_written { Place::Field(span, field) } else { Place::Span(span) });
        }
        if let Some(found) = &resource.id {
            facts.add(&MISSING_RESOURCE, shortened(found, TEXT_CHARS_MAX), Place::Field(span, field));
            id = Some(found.clone());
        }
    }
    if let (None, Some((field, _, value))) = (&id, &repeated) {
        facts.add(&MISSING_RESOURCE, shortened(value, TEXT_CHARS_MAX), Place::Field(span, field));
        id = Some(value.clone());
    }
    let Some(id) = id else { return };
    for (field, text) in case.messages() {
        if let Some(mode) = MODE.captures(text).and_then(|captures| captures.get(1)) {
            facts.add(&EXISTING_MODE, mode.as_str(), Place::Field(span, field));
        }
    }
    let argument = values.iter().find(|(_, value)| value.eq_ignore_ascii_case(&id)).or_else(|| {
        // A path of the message may be absolute, and that of the call relative.
        let is_part = |value: &str| value.len() >= 3 && (id.ends_with(value) || value.ends_with(id.as_str()));
        values.iter().find(|(_, value)| is_part(value))
    });
    if let (Some((name, _)), Some(call)) = (argument, call) {
        facts.add(&RESOURCE_ARGUMENT, name, Place::Span(call.span));
    }
    if let Some(source) = source_of(case, call, &id) {
        if let Some(quote) = source.quote(&id) {
            facts.add(&RESOURCE_SOURCE_TEXT, quote, Place::Trace);
        }
        facts.add(&RESOURCE_SOURCE, source.place, Place::Trace);
    }
}

/// The texts and numbers in arguments, with their paths. Lists and objects inside are read to a small depth.
fn scalars(arguments: &serde_json::Map<String, Value>) -> Vec<(String, String)> {
    const VALUES_MAX: usize = 50;
    fn visit(path: &str, value: &Value, depth: usize, found: &mut Vec<(String, String)>) {
        if found.len() >= VALUES_MAX || depth > 3 {
            return;
        }
        match value {
            Value::String(text) => found.push((path.to_owned(), text.clone())),
            Value::Number(number) => found.push((path.to_owned(), number.to_string())),
            Value::Array(items) => items.iter().for_each(|item| visit(path, item, depth + 1, found)),
            Value::Object(fields) => fields.iter().for_each(|(key, value)| visit(&format!("{path}.{key}"), value, depth + 1, found)),
            Value::Null | Value::Bool(_) => {}
        }
    }
    let mut found = Vec::new();
    for (key, value) in arguments {
        visit(key, value, 0, &mut found);
    }
    found
}

/// Whether a value is short enough for an id or a name: a statement of SQL is none.
fn is_id(value: &str) -> bool {
    (3..=80).contains(&value.chars().count()) && value.split_whitespace().count() <= 4
}

/// A thing that was not found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Resource {
    kind: Option<String>,
    id: Option<String>,
}

/// What a message says was not found.
#[expect(clippy::too_many_lines, reason = "a table of wordings")]
fn resource_in(text: &str) -> Option<Resource> {
    /// `(kind, expression)`; without a kind, the group `k` has it.
    static WORDINGS: [(Option<&str>, ByteRegex); 24] = [
        // Files: Python, Node, Go, Java, .NET, coreutils.
        (Some("file"), ByteRegex::new(r#"(?i)no such file or directory:? ["'`](?P<id>[^"'`\n]{1,300})["'`]"#)),
        (Some("file"), ByteRegex::new(r#"(?i)no such file or directory, [A-Za-z0-9_]{1,12} ["'`](?P<id>[^"'`\n]{1,300})["'`]"#)),
        (
            Some("file"),
            ByteRegex::new(
                r#"(?i)(?:open|stat|lstat|read|access|cannot access|chdir|cannot open|cat|ls|head|tail|cd|rm|grep|sed):? ["'`]?(?P<id>[^"'`\n:]{1,300}?)["'`]?: no such file or directory"#,
            ),
        ),
        (
            Some("file"),
            ByteRegex::new(r#"(?i)cannot (?:access|stat|open|find|remove|read) ["'`‘](?P<id>[^"'`’\n]{1,300})["'`’]: no such file"#),
        ),
        (
            Some("file"),
            ByteRegex::new(
                r#"(?i)(?:could not find|couldn't find|cannot find|can't find) (?:the )?(?:file|path|directory|folder):? ["'`]?(?P<id>[^"'`\n,;]{1,300}?)["'`]?(?:[.]?$|[.] |\n|,)"#,
            ),
        ),
        (
            Some("file"),
            ByteRegex::new(
                r#"(?i)(?:file|path|directory|folder)(?: or directory)? (?:not found|does not exist|doesn't exist|could not be found|not exist):? ["'`]?(?P<id>[^"'`\n,;]{1,300}?)["'`]?(?:[.]?$|[.] |\n|,)"#,
            ),
        ),
        (
            Some("file"),
            ByteRegex::new(
                r#"(?i)(?:file|path|directory|folder) ["'`](?P<id>[^"'`\n]{1,300})["'`] (?:was |is |could )?(?:not|does not|doesn't|cannot)"#,
            ),
        ),
        (
            Some("file"),
            ByteRegex::new(
                r#"(?i)(?:file|path) (?P<id>[^\s"'`]{2,300}) (?:was not found|not found|does not exist|doesn't exist|could not be found)"#,
            ),
        ),
        (
            Some("file"),
            ByteRegex::new(
                r"(?P<id>[A-Za-z0-9_./\\~-]{2,300}) \((?:No such file or directory|The system cannot find the file specified)\)",
            ),
        ),
        // Databases and stores.
        (
            Some("table"),
            ByteRegex::new(
                r#"(?i)(?:relation|table|view) \\?["'`»„](?P<id>[^"'`«“\n]{1,120}?)\\?["'`«“] (?:does not|doesn't|not|existiert)"#,
            ),
        ),
        (Some("table"), ByteRegex::new(r"(?i)no such table:? (?P<id>[A-Za-z0-9_.]{1,120})")),
        (Some("index"), ByteRegex::new(r#"(?i)no such index:? \[?["'`]?(?P<id>[A-Za-z0-9_.*-]{1,120})"#)),
        (
            None,
            ByteRegex::new(
                r#"(?i)\b(?P<k>index|collection|bucket|database|schema|namespace|topic|queue|repository|branch|deployment|container|pod|channel|workspace) (?:named |with name |called )?\\?["'`\[(]?(?P<id>[A-Za-z0-9_./:*-]{2,120}?)\\?["'`\])]? (?:was |is |could )?(?:not (?:be )?found|not (?:exist|known)|does not exist|doesn't exist|not exist)"#,
            ),
        ),
        // A kind with an id in quotes, in brackets, or with digits.
        (
            None,
            ByteRegex::new(
                r#"(?i)\b(?P<k>[a-z][a-z_]{2,30}) (?:with |for |having )?(?:the |an? )?(?:given |requested |specified )?(?:id|uuid|key|name|code|number|no\.|slug|email|sku|reference|identifier)(?: of)?\s?[:=#]?\s?["'`(\[]{0,2}(?P<id>[A-Za-z0-9_.:/@+#-]{1,100}?)["'`)\]]{0,2} (?:was |is |could |were )?(?:not (?:be )?(?:found|located)|not (?:exist|known)|does not exist|doesn't exist|does not match|unknown|cannot be found)"#,
            ),
        ),
        (
            None,
            ByteRegex::new(
                r#"(?i)\b(?P<k>[a-z][a-z_]{2,30})[:=# ]{1,2}["'`(\[]{1,2}(?P<id>[^"'`)\]\n]{1,100})["'`)\]]{1,2} (?:was |is |could |were )?(?:not (?:be )?(?:found|located)|not (?:exist|known)|does not exist|doesn't exist|unknown|cannot be found)"#,
            ),
        ),
        (
            None,
            ByteRegex::new(
                r"(?i)\b(?P<k>[a-z][a-z_]{2,30})[:=# ]{1,2}(?P<id>[A-Za-z0-9_.:/@+#-]{0,60}[0-9][A-Za-z0-9_.:/@+#-]{0,60}) (?:was |is |could |were )?(?:not (?:be )?(?:found|located)|not (?:exist|known)|does not exist|doesn't exist|unknown|cannot be found|nicht gefunden|introuvable|no encontrad)",
            ),
        ),
        (
            None,
            ByteRegex::new(
                r#"(?i)\bno (?:such )?(?P<k>[a-z][a-z_]{2,30}) (?:was |is |could be |exists? |record )?(?:found |available |matching |registered |has |have |known )?(?:for |with |under |by |at |in )?(?:the |an? )?(?:id|uuid|key|name|code|number|slug|e-?mail(?: address)?|sku|reference|identifier)?\s?[:=]?\s?["'`(\[]{0,2}(?P<id>[A-Za-z0-9_.:/@+#<-]{0,60}[0-9][A-Za-z0-9_.:/@+#>-]{0,60})"#,
            ),
        ),
        (
            None,
            ByteRegex::new(
                r#"(?i)\bno (?:such )?(?P<k>[a-z][a-z_]{2,30}) (?:was |is |could be |exists? |record )?(?:found |available |matching |registered |has |have |known )?(?:for |with |under |by |at |in )?(?:the |an? )?(?:id|uuid|key|name|code|number|slug|email|sku|reference|identifier)?\s?[:=]?\s?["'`](?P<id>[^"'`\n]{1,100})["'`]"#,
            ),
        ),
        (
            None,
            ByteRegex::new(
                r#"(?i)\b(?P<k>[a-z][a-z_]{2,30}) (?:not found|does not exist|doesn't exist|unknown|could not be found)(?: for(?: [A-Za-z0-9_]{2,20})?)?[:=] ?["'`]?(?P<id>[^\s"'`,;]{1,100})"#,
            ),
        ),
        (
            None,
            ByteRegex::new(
                r#"(?i)\b(?:unknown|could not find|couldn't find|cannot find|can't find|failed to find|did not find)(?: the| an?)? (?P<k>[a-z][a-z_]{2,30})(?: with(?: the)? id)?[:=]? ["'`]?(?P<id>[A-Za-z0-9_.:/@+#-]{0,60}[0-9][A-Za-z0-9_.:/@+#-]{0,60}|[^"'`\n]{1,100}["'`])"#,
            ),
        ),
        (None, ByteRegex::new(r"(?P<k>[A-Z][A-Za-z0-9_]{2,40}) matching query does not exist")),
        (
            None,
            ByteRegex::new(
                r#"(?i)["'`](?P<id>[^"'`\n]{1,120})["'`] (?:was |is |could )?(?:not (?:be )?found|does not exist|doesn't exist|not exist)"#,
            ),
        ),
        // The path of a request: `GET /orders/A-2210 -> 404`.
        (
            None,
            ByteRegex::new(r"(?i)/(?P<k>[a-z][a-z_-]{2,30})/(?P<id>[A-Za-z0-9_.:@-]{0,60}[0-9][A-Za-z0-9_.:@-]{0,60})(?:[?\s'`)>,;]|$)"),
        ),
        (
            None,
            ByteRegex::new(
                r#"(?P<id>[A-Za-z0-9_.:/@+#-]{2,100})\s?(?:不存在|未找到|找不到|見つかりません)|(?:不存在|未找到|找不到)(?:该|的)?[^A-Za-z0-9_\s]{0,2}\s?["'`「“]?(?P<id2>[A-Za-z0-9][A-Za-z0-9_.:/@+#-]{1,100})"#,
            ),
        ),
    ];
    const NO_IDS: [&str; 14] = ["does", "do", "is", "was", "not", "could", "has", "the", "in", "this", "that", "found", "exist", "be"];
    WORDINGS.iter().find_map(|(kind, wording)| {
        let captures = wording.captures(text)?;
        let kind = kind.map(str::to_owned).or_else(|| captures.name("k").and_then(|kind| kind_of(kind.as_str())));
        let id = captures.name("id").or_else(|| captures.name("id2"));
        let id = id
            .map(|id| id.as_str().trim().trim_matches(['"', '\'', '`', '.', ',', ':', '(', '[', '\\']).to_owned())
            .filter(|id| !id.is_empty());
        if id.as_deref().is_some_and(|id| NO_IDS.contains(&id.to_ascii_lowercase().as_str())) {
            return None;
        }
        (kind.is_some() || id.is_some()).then_some(Resource { kind, id })
    })
}

/// A word for a kind of things, if it is one: `order`, and not `error`.
fn kind_of(word: &str) -> Option<String> {
    const NO_KINDS: [&str; 40] = [
        "error",
        "errors",
        "was",
        "were",
        "not",
        "the",
        "that",
        "this",
        "with",
        "and",
        "for",
        "http",
        "https",
        "api",
        "status",
        "code",
        "message",
        "client",
        "server",
        "resource",
        "name",
        "value",
        "result",
        "results",
        "such",
        "data",
        "match",
        "matches",
        "matching",
        "entry",
        "argument",
        "tool",
        "detail",
        "request",
        "response",
        "named",
        "called",
        "given",
        "requested",
        "url",
    ];
    let lower = word.trim_matches(['_', '-']).to_ascii_lowercase();
    if NO_KINDS.contains(&lower.as_str()) || lower.ends_with("error") || lower.ends_with("exception") {
        return None;
    }
    // `/orders/17` is an order.
    let singular = lower.strip_suffix('s').filter(|word| word.len() >= 3 && !word.ends_with(['s', 'u', 'i']));
    Some(singular.map_or_else(|| lower.clone(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_thing_is_found_in_the_wording_of_systems() {
        for (text, kind, id) in [
            ("customer C-17 not found", "customer", "C-17"),
            ("[Errno 2] No such file or directory: '/mnt/cards/1911.json'", "file", "/mnt/cards/1911.json"),
            ("ENOENT: no such file or directory, open '/srv/a.txt'", "file", "/srv/a.txt"),
            ("open /etc/app.yaml: no such file or directory", "file", "/etc/app.yaml"),
            ("cat: notes.md: No such file or directory", "file", "notes.md"),
            ("/tmp/x.csv (No such file or directory)", "file", "/tmp/x.csv"),
            ("File not found: reports/q3.pdf", "file", "reports/q3.pdf"),
            ("relation \"orders_2019\" does not exist", "table", "orders_2019"),
            ("no such table: invoices", "table", "invoices"),
            ("No order has the id \"missing\".", "order", "missing"),
            ("No customer found with id 4711", "customer", "4711"),
            ("Order with id 'A-2210' does not exist", "order", "A-2210"),
            ("Entity not found: 42", "entity", "42"),
            ("GET /api/orders/A-2210 -> 404 Not Found", "order", "A-2210"),
            ("Collection kb-prod not found", "collection", "kb-prod"),
            ("Order matching query does not exist.", "order", ""),
            ("订单A-2210不存在", "", "A-2210"),
            ("FEHLER:  Relation »lagerbestand_neu« existiert nicht", "table", "lagerbestand_neu"),
            ("CRM: no customer with e-mail <EMAIL:9d9e4d> (requested by x)", "customer", "<EMAIL:9d9e4d>"),
            ("pods \"web-1\" not found", "pod", "web-1"),
        ] {
            let found = resource_in(text).unwrap_or_default();
            assert_eq!((found.kind.as_deref().unwrap_or(""), found.id.as_deref().unwrap_or("")), (kind, id), "{text}");
        }
        for text in ["404 Not Found", "Not found", "the page was not found", "The specified key does not exist.", ""] {
            assert_eq!(resource_in(text), None, "{text}");
        }
    }

    #[test]
    fn the_line_that_tells_something_is_quoted() {
        assert_eq!(telling_line("Traceback:\nboom happened\n"), Some("boom happened"));
        assert_eq!(telling_line("\n  one line"), Some("one line"));
        assert_eq!(telling_line("must be one of:\n- a colleague\n- another"), Some("must be one of:"));
        assert_eq!(telling_line("---\n"), None);
    }
}
