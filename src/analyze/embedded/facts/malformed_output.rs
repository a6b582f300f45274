//! Facts of an output or of arguments that do not parse: the position, what is wrong there, the text around it, the marker that is missing.

use super::super::byte_regex::ByteRegex;

use super::super::incident::IncidentKind;
use super::super::text::clip;
use super::call::{RecordedCall, spans_before};
use super::find::attributes_ending_in;
use super::json_defect::{self, Defect};
use super::names::fact_names;
use super::{Case, Extractor, FactName, Facts, Place, shortened};
use crate::model::{Span, SpanKind};

fact_names! {
    PARSE_POSITION = "parse_position", Text, "the position at which the parser stopped";
    PARSE_LINE = "parse_line", Count, "the line at which the parser stopped";
    PARSE_COLUMN = "parse_column", Count, "the column at which the parser stopped";
    PARSE_OFFSET = "parse_offset", Count, "the character at which the parser stopped";
    PARSE_ERROR = "parse_error", Text, "the message of the parser";
    UNEXPECTED_TOKEN = "unexpected_token", Text, "the character or token at which the parser stopped";
    EXPECTED_TOKEN = "expected_token", Text, "what the parser expected there";
    OUTPUT_DEFECT = "output_defect", Text, "what is wrong with the text that does not parse";
    OUTPUT_BYTES = "malformed_bytes", Bytes, "the size of the text that does not parse";
    OUTPUT_START = "malformed_start", Text, "the start of the text that does not parse";
    TEXT_AT_DEFECT = "text_at_defect", Text, "the text at the place of the defect";
    MALFORMED_FUNCTION = "malformed_function", Text, "the tool of the call that the provider could not parse";
    MALFORMED_CALL = "malformed_call", Text, "the start of the call that the provider could not parse";
    MISSING_MARKER = "missing_marker", Text, "the marker, tag or section that the output lacks";
    TARGET_TYPE = "target_type", Text, "the type or class that the output was to become";
    EXPECTED_FIELDS = "expected_fields", Text, "the fields or sections that were expected in the output";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Characters of a quoted piece of output.
const QUOTE_CHARS_MAX: usize = 60;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(span) = case.span() else { return };
    let of_arguments = case.is(&["invalid_tool_arguments"]);
    let of_output = case.is(&["malformed_json", "format_instruction_ignored"]);
    if !of_arguments && !of_output {
        return;
    }
    for (field, text) in case.messages() {
        add_position(text, Place::Field(span, field), facts);
        add_parser_error(text, Place::Field(span, field), facts);
        if case.is(&["format_instruction_ignored"]) {
            add_marker(text, Place::Field(span, field), facts);
        }
    }
    if of_arguments {
        add_unparsed_call(span, facts);
    } else {
        add_target_type(case, span, facts);
    }
    let Some((of, field, text)) = (if of_arguments { arguments(case) } else { output(case) }) else { return };
    let place = Place::Field(of, &field);
    let defect = if case.is(&["format_instruction_ignored"]) { None } else { json_defect::of(text) };
    // Arguments of another failure are JSON.
    if of_arguments && defect.is_none() {
        return;
    }
    if defect.is_some() || of_output {
        facts.add(&OUTPUT_BYTES, text.len(), Place::Span(of));
        facts.add(&OUTPUT_START, shortened(clip(text), QUOTE_CHARS_MAX), place);
    }
    if let Some(Defect { what, at }) = defect {
        facts.add(&OUTPUT_DEFECT, what, Place::Span(of));
        if let Some(piece) = at.filter(|at| *at > 0).and_then(|at| around(text, at)) {
            facts.add(&TEXT_AT_DEFECT, piece, place);
        }
    }
}

/// The type that the parser was to make of the output: a setting of the span, or a name in the message of Jackson or System.Text.Json.
fn add_target_type(case: &Case<'_, '_>, span: &Span, facts: &mut Facts) {
    const KEYS: &[&str] = &["targettype", "targetclass", "expectedtype", "outputtype", "outputclass"];
    static TYPE: ByteRegex = ByteRegex::new(
        r"(?:deserialize (?:value of type|instance of) |could not be converted to |no String-argument constructor[^\n]{0,60}for type |Cannot construct instance of )[`']?([A-Za-z_][0-9A-Za-z_.$]{1,120})",
    );
    if let Some((key, name)) = attributes_ending_in(span, KEYS).find(|(_, name)| (1..=160).contains(&name.len())) {
        facts.add(&TARGET_TYPE, name, Place::Field(span, &format!("attributes.{key}")));
    }
    for (field, text) in case.messages() {
        if let Some(name) = TYPE.captures(text).and_then(|captures| captures.get(1)) {
            facts.add(&TARGET_TYPE, name.as_str().trim_end_matches('.'), Place::Field(span, field));
        }
    }
}

/// The call that Gemini wrote as Python and could not parse: `Malformed function call: print(default_api.search(query='x'))`.
fn add_unparsed_call(span: &Span, facts: &mut Facts) {
    static CALL: ByteRegex = ByteRegex::new(
        r"(?i)malformed function call:? ((?:print\()?(?:default_api\.)?(?P<name>[A-Za-z_][0-9A-Za-z_.]{0,80})\([^\n]{0,400})",
    );
    if !span.finish_reasons.iter().any(|reason| reason.to_ascii_lowercase().contains("malformed")) {
        return;
    }
    let attributes = span.attributes.iter().map(|attribute| (format!("attributes.{}", attribute.key), attribute.value.as_str()));
    let status = span.status_message.as_deref().map(|text| ("status_message".to_owned(), text));
    let outputs = span.output.iter().enumerate().map(|(at, message)| (format!("output[{at}].content"), message.content.as_str()));
    for (field, text) in status.into_iter().chain(outputs).chain(attributes).take(256) {
        let Some(captures) = CALL.captures(clip(text)) else { continue };
        let name = captures.name("name").map(|name| name.as_str().trim_start_matches("default_api."));
        if let Some((call, name)) = captures.get(1).zip(name) {
            facts.add(&MALFORMED_FUNCTION, name, Place::Field(span, &field));
            facts.add(&MALFORMED_CALL, shortened(call.as_str(), 100).trim_end_matches('…'), Place::Field(span, &field));
        }
        return;
    }
}

/// The arguments that do not parse.
fn arguments<'t>(case: &Case<'_, 't>) -> Option<(&'t Span, String, &'t str)> {
    let call = RecordedCall::of(case)?;
    let is_text = call.arguments.trim_start().starts_with(['{', '[', '"', '\'', '`']);
    if json_defect::of(call.arguments).is_none() {
        // A framework that could not parse them records none, and quotes them in its error.
        let span = case.span()?;
        return case.messages().find_map(|(field, text)| Some((span, field.to_owned(), quoted_arguments(text)?)));
    }
    (is_text && !is_python_object(call.arguments)).then_some((call.span, call.field, call.arguments))
}

/// Arguments that an error quotes on a line of their own: `Error parsing the following tool call arguments:`.
fn quoted_arguments(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("arguments:")?;
    let line = after.lines().map(str::trim).find(|line| !line.is_empty())?;
    (line.starts_with('{') && json_defect::of(line).is_some()).then_some(line)
}

/// Arguments that an instrumentation wrote as an object of Python: `{'id': 'A-17'}`. The model wrote JSON.
fn is_python_object(text: &str) -> bool {
    text.trim_start().starts_with("{'") && text.trim_end().ends_with('}')
}

/// The output that was parsed: of the failed model call, or of the last one in or before the failed step.
fn output<'t>(case: &Case<'_, 't>) -> Option<(&'t Span, String, &'t str)> {
    let of = |span: &'t Span| {
        let message = span.output.iter().enumerate().next_back().filter(|(_, message)| !message.content.trim().is_empty());
        let message = message.map(|(number, message)| (span, format!("output[{number}].content"), message.content.as_str()));
        let text = || span.output_text.as_deref().filter(|text| !text.trim().is_empty()).map(|text| (span, "output_text".to_owned(), text));
        message.or_else(text)
    };
    let is_call = |span: &&Span| span.kind == SpanKind::Llm;
    let own = case.span().filter(is_call).and_then(of);
    let incident = case.root?;
    let given = || {
        // A parser's own input is what it parsed.
        let span =
            Some(incident.span).filter(|span| !matches!(span.kind, SpanKind::Agent) && case.tree.children(incident.index).is_empty())?;
        let is_defective = |text: &&str| incident.kind == IncidentKind::Error && json_defect::of(text).is_some();
        let by_field = span.input_text.as_deref().filter(is_defective).map(|text| ("input_text", text));
        let by_attribute = || span.attribute("input").filter(is_defective).map(|text| ("attributes.input", text));
        let (field, text) = by_field.or_else(by_attribute)?;
        let name = span.name.to_ascii_lowercase();
        ["pars", "convert", "deserial", "decode"].iter().any(|word| name.contains(word)).then(|| (span, field.to_owned(), text))
    };
    own.or_else(given).or_else(|| spans_before(case).rev().find(is_call).and_then(of))
}

/// The characters around a place, on one line.
fn around(text: &str, at: usize) -> Option<String> {
    const BEFORE_BYTES: usize = 24;
    const AFTER_BYTES: usize = 16;
    let (mut start, mut end) = (at.saturating_sub(BEFORE_BYTES), (at + AFTER_BYTES).min(text.len()));
    while !text.is_char_boundary(start) {
        start += 1;
    }
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let piece = text.get(start..end)?.trim();
    (!piece.is_empty()).then(|| piece.to_owned())
}

/// Where a parser stopped, in the words of Python, V8, serde, Go, Jackson, .NET, Gson, orjson and PHP.
fn add_position(text: &str, place: Place<'_>, facts: &mut Facts) {
    static POSITION: ByteRegex = ByteRegex::new(concat!(
        r"(?i)(?P<a>line:? [0-9]{1,9},? (?:and )?column:? [0-9]{1,9}(?: \(char [0-9]{1,9}\))?)|(?P<b>(?:at )?(?:position|pos|offset|index|char(?:acter)?) [0-9]{1,9}(?: \(line [0-9]{1,9} column [0-9]{1,9}\))?)",
        r"|(?P<c>LineNumber: [0-9]{1,9} \| BytePositionInLine: [0-9]{1,9})|(?P<d>after (?:offset )?[0-9]{1,9} (?:bytes|characters))|(?P<e>\(char [0-9]{1,9}\))",
    ));
    static TOKEN: ByteRegex = ByteRegex::new(concat!(
        r#"(?i)(?:unexpected|invalid) (?:token|character|symbol|non-whitespace character|string|number|identifier)?s? ?(?:in JSON )?[("'`]{1,2}(?P<t>[^"'`\n]{1,20})["'`]"#,
        r"|unexpected token (?P<u>[^\s,]{1,20})(?: in| ,|,)|(?P<v>unexpected end of (?:JSON )?(?:input|data|file|string))|(?P<w>EOF while parsing an? [A-Za-z0-9_]{1,12})",
    ));
    static EXPECTED: ByteRegex = ByteRegex::new(
        r#"(?i)expect(?:ed|ing) (?P<e>(?:double-quoted )?(?:property name(?: enclosed in double quotes)?|value|['"`][^\n]{1,3}['"`](?: delimiter)?(?: or ['"`][^\n]{1,3}['"`])?(?: after [a-z ]{4,40})?))(?: |:|,|$)"#,
    );
    if let Some(found) = POSITION.find(text) {
        facts.add(&PARSE_POSITION, without_brackets(found.as_str().trim_start_matches("at ")), place);
    }
    let token = TOKEN.captures(text);
    if let Some(token) =
        token.and_then(|found| ["t", "u", "v", "w"].iter().find_map(|name| found.name(name).map(|token| token.as_str().to_owned())))
    {
        facts.add(&UNEXPECTED_TOKEN, token, place);
    }
    if let Some(expected) = EXPECTED.captures(text).and_then(|captures| captures.name("e")) {
        let expected = expected.as_str().split(" in JSON").next().unwrap_or_default();
        facts.add(&EXPECTED_TOKEN, expected.trim_end_matches([':', ',']), place);
    }
}

/// The sentence of the parser, and its position as numbers.
fn add_parser_error(text: &str, place: Place<'_>, facts: &mut Facts) {
    const SENTENCE_CHARS_MAX: usize = 140;
    static SENTENCE: ByteRegex = ByteRegex::new(concat!(
        // Python, V8, serde, Go, Jackson, .NET, orjson, PyYAML.
        r"((?:Expecting [^\n]{3,60}|Unterminated string starting at|Extra data|Invalid (?:control character at|\\+escape)|Illegal trailing comma[^\n:]{0,40}): line [0-9]{1,9} column [0-9]{1,9}(?: \(char [0-9]{1,9}\))?)",
        r"|((?:Unexpected (?:token|end of JSON|non-whitespace|number|string)|Expected [^\n]{1,60}|Bad (?:control character|escaped character)|Unterminated string|Expected property name)[^\n]{0,80}(?:in JSON(?: at position [0-9]{1,9})?(?: \(line [0-9]{1,9} column [0-9]{1,9}\))?|is not valid JSON|JSON input))",
        r"|((?:expected|EOF while parsing|trailing|key must be|invalid|control character|missing field|recursion limit)[^\n]{0,100} at line [0-9]{1,9} column [0-9]{1,9})",
        r"|(invalid character '[^\n]{1,6}' [^\n]{3,60}|unexpected end of JSON input|Unexpected character \([^\n]{1,12}\)[^\n]{0,80}|'[^\n]{1,6}' is an invalid [^\n]{3,120}|(?:mapping|block) [^\n]{3,60} are not allowed here)",
    ));
    static NUMBERS: [(&FactName, ByteRegex); 3] = [
        (&PARSE_LINE, ByteRegex::new(r"(?i)\bline(?:Number)?:? ?([0-9]{1,9})\b")),
        (&PARSE_COLUMN, ByteRegex::new(r"(?i)\b(?:column|BytePositionInLine):? ?([0-9]{1,9})\b")),
        (&PARSE_OFFSET, ByteRegex::new(r"(?i)\b(?:char(?:acter)?|position|offset|pos) ([0-9]{1,9})\b")),
    ];
    let first =
        |found: super::super::byte_regex::Captures<'_>| found.iter().skip(1).flatten().next().map(|group| group.as_str().to_owned());
    let sentence = SENTENCE.captures(text).and_then(first);
    let Some(sentence) = sentence else { return };
    for (name, number) in &NUMBERS {
        if let Some(number) = number.captures(&sentence).and_then(|captures| captures.get(1)) {
            facts.add(name, number.as_str(), place);
        }
    }
    facts.add(&PARSE_ERROR, shortened(sentence.trim_end_matches(['.', ' ']), SENTENCE_CHARS_MAX), place);
}

/// A text without the brackets around it.
fn without_brackets(text: &str) -> &str {
    text.strip_prefix('(').map_or(text, |inner| inner.trim_end_matches(')'))
}

/// The marker that an output lacks, and what was expected in it: `ReAct`, tags, regular expressions, `DSPy`, code blocks.
fn add_marker(text: &str, place: Place<'_>, facts: &mut Facts) {
    static MARKERS: [ByteRegex; 6] = [
        ByteRegex::new(r#"(?i)missing ["'`](?P<m>[^"'`\n]{2,60})["'`]"#),
        ByteRegex::new(
            r#"(?i)(?:could not find|couldn't find|did not find|no|missing|without|lacks?|expected)(?: an?| the)? ["'`]?(?P<m></?[A-Za-z0-9_-]{1,40}>)"#,
        ),
        ByteRegex::new(
            r#"(?i)(?:could not find|couldn't find|did not find|missing|lacks?|expected)(?: an?| the| any)? ["'`]?(?P<m>[A-Za-z0-9_ #:-]{2,40}?)["'`]? (?:tag|marker|section|block|header|prefix|delimiter|field)\b"#,
        ),
        ByteRegex::new(r"(?i)regex pattern (?P<m>[^\n]{2,80}?) was not found"),
        ByteRegex::new(
            r"(?P<m>Action(?: Input)?:|Final Answer:|Thought:|Observation:)['\x22`]? (?:was |is )?(?:missing|not found|expected)",
        ),
        ByteRegex::new(r"(?i)no (?P<m>code|answer|tool call|json|action) (?:block|blob|snippet)?s? ?(?:was |were )?found"),
    ];
    static FIELDS: ByteRegex = ByteRegex::new(
        r"(?i)expected to find (?:output )?fields in the (?:LM )?response: ?(?P<f>\[[^\]\n]{1,160}\])|expected (?:output )?(?:fields|keys|sections):? (?P<g>\[[^\]\n]{1,160}\])",
    );
    let marker = MARKERS.iter().find_map(|marker| marker.captures(text)?.name("m").map(|found| found.as_str().trim().to_owned()));
    if let Some(marker) =
        marker.filter(|marker| !matches!(marker.to_ascii_lowercase().as_str(), "a" | "the" | "any" | "required" | "output"))
    {
        facts.add(&MISSING_MARKER, marker, place);
    }
    let fields = FIELDS.captures(text);
    if let Some(fields) = fields.and_then(|found| found.name("f").or_else(|| found.name("g")).map(|fields| fields.as_str().to_owned())) {
        facts.add(&EXPECTED_FIELDS, fields, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(add: impl Fn(&str, Place<'_>, &mut Facts), text: &str, name: &super::super::FactName) -> String {
        let (span, mut facts) = (Span::default(), Facts::default());
        add(text, Place::Span(&span), &mut facts);
        facts.get(name).unwrap_or_default().to_owned()
    }

    #[test]
    fn the_position_is_read_in_the_wording_of_parsers() {
        for (text, position, token, expected) in [
            ("Expecting ',' delimiter: line 1 column 17 (char 16)", "line 1 column 17 (char 16)", "", "',' delimiter"),
            ("Expecting value: line 1 column 1 (char 0)", "line 1 column 1 (char 0)", "", "value"),
            (
                "Expecting property name enclosed in double quotes: line 2 column 1 (char 2)",
                "line 2 column 1 (char 2)",
                "",
                "property name enclosed in double quotes",
            ),
            ("Extra data: line 3 column 1 (char 112)", "line 3 column 1 (char 112)", "", ""),
            ("Expected ',' or '}' after property value in JSON at position 64", "position 64", "", "',' or '}' after property value"),
            ("Unexpected token 'H', \"Here is th\"... is not valid JSON", "", "H", ""),
            ("Unexpected token } in JSON at position 12", "position 12", "}", ""),
            ("Unexpected end of JSON input", "", "Unexpected end of JSON input", ""),
            ("EOF while parsing a string at line 1 column 20", "line 1 column 20", "EOF while parsing a string", ""),
            ("invalid character 'H' looking for beginning of value", "", "H", ""),
            (
                "Unexpected character ('}' (code 125)): was expecting double-quote at [Source: x; line: 1, column: 9]",
                "line: 1, column: 9",
                "}",
                "",
            ),
            (
                "'H' is an invalid start of a value. Path: $ | LineNumber: 0 | BytePositionInLine: 0.",
                "LineNumber: 0 | BytePositionInLine: 0",
                "",
                "",
            ),
            ("expected value at line 1 column 1", "line 1 column 1", "", "value"),
        ] {
            assert_eq!(found(add_position, text, &PARSE_POSITION), position, "{text}");
            assert_eq!(found(add_position, text, &UNEXPECTED_TOKEN), token, "{text}");
            assert_eq!(found(add_position, text, &EXPECTED_TOKEN), expected, "{text}");
        }
        assert_eq!(found(add_position, "connection refused", &PARSE_POSITION), "");
    }

    #[test]
    fn the_sentence_of_the_parser_is_quoted_and_its_numbers_are_read() {
        for (text, sentence, numbers) in [
            (
                "JSONDecodeError: Expecting ',' delimiter: line 13 column 5 (char 438)",
                "Expecting ',' delimiter: line 13 column 5 (char 438)",
                ["13", "5", "438"],
            ),
            ("Extra data: line 3 column 1 (char 112)", "Extra data: line 3 column 1 (char 112)", ["3", "1", "112"]),
            (
                "SyntaxError: Expected ',' or '}' after property value in JSON at position 64 (line 2 column 9)",
                "Expected ',' or '}' after property value in JSON at position 64 (line 2 column 9)",
                ["2", "9", "64"],
            ),
            ("EOF while parsing a string at line 1 column 20", "EOF while parsing a string at line 1 column 20", ["1", "20", ""]),
            ("invalid character 'H' looking for beginning of value", "invalid character 'H' looking for beginning of value", ["", "", ""]),
            ("the service is down", "", ["", "", ""]),
        ] {
            assert_eq!(found(add_parser_error, text, &PARSE_ERROR), sentence, "{text}");
            assert_eq!([&PARSE_LINE, &PARSE_COLUMN, &PARSE_OFFSET].map(|name| found(add_parser_error, text, name)), numbers, "{text}");
        }
    }

    #[test]
    fn the_missing_marker_is_read() {
        for (text, marker) in [
            ("Invalid Format: Missing 'Action:' after 'Thought:'", "Action:"),
            ("Could not find <answer> tag in model output", "<answer>"),
            (
                "Your code snippet is invalid, because the regex pattern ```(?:py|python)?\\n(.*?)\\n``` was not found in it.",
                "```(?:py|python)?\\n(.*?)\\n```",
            ),
            ("No code block found in the response", "code"),
            ("Please always provide EXACTLY ONE action in triple backticks.", ""),
            ("Could not parse LLM output: `I should look up the order first.`", ""),
            ("FormatError", ""),
        ] {
            assert_eq!(found(add_marker, text, &MISSING_MARKER), marker, "{text}");
        }
        let text = "Expected to find output fields in the LM response: [reasoning, answer]";
        assert_eq!(found(add_marker, text, &EXPECTED_FIELDS), "[reasoning, answer]");
    }

    #[test]
    fn the_text_around_a_place_is_short() {
        assert_eq!(around("{\"a\": 1,}", 8).as_deref(), Some("{\"a\": 1,}"));
        assert!(around(&"é".repeat(100), 101).unwrap().len() <= 40);
        assert_eq!(around("", 0), None);
    }
}
