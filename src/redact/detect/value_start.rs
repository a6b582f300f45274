//! Locates the value of a label by the syntax between them: assignments, table cells, XML, calls, arguments, forms and sentences.

use std::ops::Range;

use super::decoded_text::DecodedText;
use super::labels::Label;
use super::text::Text;

/// How a value follows its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelSyntax {
    /// `label: value`, `label=value`.
    Assignment,
    /// A value that only its place marks: `--label value`, `LABEL 'value'`, `setLabel("value")`.
    Argument,
    /// The next cell of a table, or the text inside or after an HTML tag.
    TableCell,
    /// The line after a line that has only the label.
    NextLine,
    /// `label is value`, with words in between that the reader of the value type skips.
    Sentence,
}

/// The position after a label where its value begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueStart {
    pub(super) offset: usize,
    pub(super) syntax: LabelSyntax,
    /// The opening quote, 0 if the value is unquoted.
    pub(super) quote: u8,
    /// Bytes of the opening quote in the original text, which tell its escaping level: 1 for `"`, 2 for `\"`.
    pub(super) quote_len: usize,
}

impl ValueStart {
    /// The start of a quoted value.
    pub(super) fn quoted(offset: usize, quote: u8) -> Self {
        Self { offset, syntax: LabelSyntax::Assignment, quote, quote_len: 1 }
    }

    /// The start of a value in a sentence after `offset`.
    pub(super) fn sentence(offset: usize) -> Self {
        Self { offset, syntax: LabelSyntax::Sentence, quote: 0, quote_len: 0 }
    }
}

/// The start of the value of a label in a text.
pub(super) fn value_start_of_label(decoded: &DecodedText<'_>, text: Text<'_>, label: &Label, is_credential: bool) -> Option<ValueStart> {
    let Range { start, end } = label.identifier;
    let before = text.byte_before(start);
    // `<dob type="x">1968-06-04</dob>`: the value follows the attributes of the element.
    let is_element = before == b'<' || (before == b':' && is_namespace(text, start - 1));
    if is_element && text.byte_at(end).is_ascii_whitespace() {
        let close = text.skip_while(end, 200, |byte| !matches!(byte, b'<' | b'>'));
        let is_open = text.byte_at(close) == b'>' && text.byte_before(close) != b'/';
        if is_open && !text.slice(end..close).contains("=>") {
            return Some(ValueStart { offset: skip_html_tags(text, close + 1), syntax: LabelSyntax::TableCell, quote: 0, quote_len: 0 });
        }
    }
    let found = find_value_start(decoded, text, end)?;
    if found.syntax == LabelSyntax::Argument && !is_credential {
        let is_call = text.byte_at(end) == b'(';
        return Some(if is_call { found } else { ValueStart::sentence(end) });
    }
    // `--password value`: an argument of a command.
    let is_flag = text.byte_at(start) == b'-' && !before.is_ascii_alphanumeric();
    if is_flag && found.syntax == LabelSyntax::Sentence && text.byte_at(end) == b' ' {
        let at = text.skip_while(end, 4, |byte| byte == b' ');
        return Some(quoted_or_plain(decoded, text, at, LabelSyntax::Argument));
    }
    Some(found)
}

/// Whether the `:` at `colon` ends a namespace prefix of an element: `<wsse:Password …>`.
fn is_namespace(text: Text<'_>, colon: usize) -> bool {
    let start = text.skip_back_while(colon, 20, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    text.byte_before(start) == b'<'
}

/// Finds the start of the value after a label that ends at `end`.
pub(super) fn find_value_start(decoded: &DecodedText<'_>, text: Text<'_>, end: usize) -> Option<ValueStart> {
    let end = skip_number_word(text, end);
    let is_closing = |byte: u8| matches!(byte, b'"' | b'\'' | b'`' | b'*' | b']' | b')');
    let closed = text.skip_while(end, 4, is_closing);
    let at = skip_blanks(text, closed, 8);
    let rest = text.rest(at);
    let next = text.byte_at(at + 1);
    let is_spaced = at > closed && matches!(next, b' ' | b'\t');
    let (syntax, start) = match text.byte_at(at) {
        // `password ::= value`.
        b':' if rest.starts_with("::=") => (LabelSyntax::Assignment, at + 3),
        b':' if rest.starts_with(":::=") => (LabelSyntax::Assignment, at + 4),
        // A default of make: `PASSWORD ?= value`.
        b'?' if next == b'=' => (LabelSyntax::Assignment, at + 2),
        // Appends: `$password .= "value"`.
        b'.' if rest.starts_with(".=") => (LabelSyntax::Assignment, at + 2),
        // Comparisons: `password != "value"`.
        b'!' if rest.starts_with("!=") => (LabelSyntax::Assignment, text.skip_while(at, 3, |byte| matches!(byte, b'!' | b'='))),
        // An array of characters: `char password[25] = "value"`.
        b'[' if at == end && array_len(text, at) > 0 => (LabelSyntax::Assignment, at + array_len(text, at)),
        // Blocks and calls that give a default value: `ENV.fetch("PASSWORD") { "value" }`.
        b'{' if closed > end && has_quote_after(text, at + 1) => (LabelSyntax::Assignment, at + 1),
        b'.' if closed > end && default_call_len(rest) > 0 => (LabelSyntax::Assignment, at + default_call_len(rest)),
        // `token::new()`, `password://`: a path of code or a URL scheme.
        b':' if matches!(next, b':' | b'/') => return None,
        // The default value in `${PASSWORD:-value}`.
        b':' if next == b'-' && is_shell_variable(text, end) => (LabelSyntax::Assignment, at + 2),
        b':' | b'=' => {
            let after = text.skip_while(at, 3, |byte| matches!(byte, b':' | b'=' | b'>' | b'~'));
            // Markdown: `**Name:** value`.
            (LabelSyntax::Assignment, text.skip_while(after, 2, |byte| byte == b'*'))
        }
        // A chained call: `find("password").send_keys("value")`.
        b'.' if closed > end && input_call_len(rest) > 0 => (LabelSyntax::Argument, at + input_call_len(rest)),
        b'-' if next == b'>' => (LabelSyntax::Assignment, at + 2),
        b'-' if is_spaced => (LabelSyntax::Assignment, at + 2),
        // Default operators: `env.PASSWORD || "value"`.
        b'|' | b'?' | b'o' | b'/' if default_operator_len(rest) > 0 && has_quote_after(text, at + default_operator_len(rest)) => {
            (LabelSyntax::Assignment, at + default_operator_len(rest))
        }
        b'>' => (LabelSyntax::TableCell, skip_html_tags(text, at + 1)),
        b'<' if matches!(next, b'/' | b'b' | b't' | b'd' | b's') => (LabelSyntax::TableCell, skip_html_tags(text, at)),
        b'|' | b'\t' => (LabelSyntax::TableCell, at + 1),
        // vCard: `TEL;TYPE=cell:98138978`.
        b';' if at == end && next.is_ascii_uppercase() => {
            let colon = text.skip_while(at, 60, |byte| !matches!(byte, b':' | b'\n'));
            if text.byte_at(colon) != b':' || !text.slice(at..colon).contains('=') {
                return Some(ValueStart::sentence(closed));
            }
            (LabelSyntax::Assignment, colon + 1)
        }
        // A call: `setPassword("value")`.
        b'(' if at == end && has_quote_after(text, at + 1) => (LabelSyntax::Argument, at + 1),
        // SQL and configuration: `PASSWORD 'value'`.
        b'"' | b'\'' if at > end && closed == end => (LabelSyntax::Argument, at),
        // A part of a form: `name="password"`, an empty line, the value.
        b'\r' | b'\n' if closed > end && (rest.starts_with("\r\n\r\n") || rest.starts_with("\n\n")) && is_form_part(text, end) => {
            (LabelSyntax::Argument, text.skip_while(at, 4, |byte| matches!(byte, b'\r' | b'\n')))
        }
        b'\r' | b'\n' if closed == end && is_alone_in_line(text, end) => (LabelSyntax::NextLine, at),
        // `MRN-361271`.
        b'-' if next.is_ascii_digit() && at == closed => return Some(ValueStart::sentence(closed + 1)),
        // The label is part of encoded data, a path or an expression: `pass/word`, `key+1`, `token(x)`.
        b'+' | b'/' | b'-' | b'@' | b'%' | b'\\' | b'(' if at == closed => return None,
        _ => match rest.chars().next() {
            // A type between the name and its value: `var password string = "value"`.
            Some(first) if at > end && first.is_ascii_lowercase() && typed_assignment_len(text, at) > 0 => {
                (LabelSyntax::Assignment, at + typed_assignment_len(text, at))
            }
            Some('：') => (LabelSyntax::Assignment, at + '：'.len_utf8()),
            Some(dash @ ('–' | '—')) if at > closed => (LabelSyntax::Assignment, at + dash.len_utf8()),
            _ => return Some(ValueStart::sentence(closed)),
        },
    };
    let mut start = skip_blanks(text, start, 80);
    if syntax == LabelSyntax::Assignment {
        start = skip_type(text, start);
        // `<b>SSN:</b> 418-55-2093`.
        if text.byte_at(start) == b'<' && matches!(text.byte_at(start + 1), b'/' | b'b' | b's' | b'i' | b'e') {
            start = skip_html_tags(text, start);
        }
    }
    if matches!(syntax, LabelSyntax::Assignment | LabelSyntax::NextLine) && matches!(text.byte_at(start), b'\n' | b'\r') {
        return Some(next_line(decoded, text, start).unwrap_or(ValueStart { offset: start, syntax, quote: 0, quote_len: 0 }))
            .filter(|value_start| value_start.offset <= text.len());
    }
    let value_start = quoted_or_plain(decoded, text, start, syntax);
    (value_start.offset <= text.len()).then_some(value_start)
}

/// Skips spaces, tabs and no-break spaces.
fn skip_blanks(text: Text<'_>, at: usize, max: usize) -> usize {
    let mut end = text.skip_while(at, max, |byte| matches!(byte, b' ' | b'\t'));
    while let Some(blank @ ('\u{a0}' | '\u{202f}' | '\u{3000}')) = text.char_at(end) {
        end = text.skip_while(end + blank.len_utf8(), max, |byte| matches!(byte, b' ' | b'\t'));
    }
    end
}

/// The end of a word for "number" after a label, such as `no.`, `#` or `№`; `end` if there is none.
fn skip_number_word(text: Text<'_>, end: usize) -> usize {
    const NUMBER_WORDS: [&str; 38] = [
        "numbers",
        "number",
        "nummer",
        "numéro",
        "número",
        "numero",
        "numer",
        "номер",
        "nomor",
        "nombor",
        "nambari",
        "broj",
        "szám",
        "numara",
        "numarası",
        "număr",
        "αριθμός",
        "αρ",
        "رقم",
        "מספר",
        "संख्या",
        "नंबर",
        "নম্বর",
        "เลขที่",
        "番号",
        "号码",
        "號碼",
        "번호",
        "号",
        "nro",
        "num",
        "nº",
        "n°",
        "№",
        "no",
        "nr",
        "id",
        "#",
    ];
    // An abbreviated label: `D.O.B.`, `Tel.`.
    let dot = usize::from(text.byte_at(end) == b'.' && text.byte_before(end).is_ascii_alphanumeric());
    let at = text.skip_while(end + dot, 2, |byte| byte == b' ');
    let rest = text.window(at, 24);
    if rest.is_empty() || rest.starts_with(['"', '\'', '\n', ':', '=', ',']) {
        return if dot > 0 && rest.starts_with([':', '=']) { end + dot } else { end };
    }
    let ends =
        |len: usize| !rest.get(len..).is_some_and(|tail| tail.starts_with(|next: char| next.is_alphanumeric() && next.is_alphabetic()));
    let len = NUMBER_WORDS.iter().find_map(|word| {
        let head = rest.get(..word.len())?;
        (head.eq_ignore_ascii_case(word) && (ends(word.len()) || !word.is_ascii())).then_some(word.len())
    });
    match len {
        Some(len) => {
            let dotted = at + len;
            dotted + usize::from(matches!(text.byte_at(dotted), b'.') && !text.byte_at(dotted + 1).is_ascii_digit())
        }
        None if dot > 0 && (at > end + dot || rest.starts_with('<')) => end + dot,
        None => end,
    }
}

/// The length of `[25] =` at `at`; 0 if there is no array or no value.
fn array_len(text: Text<'_>, at: usize) -> usize {
    let close = text.skip_while(at + 1, 12, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let equals = text.skip_while(close + 1, 4, |byte| byte == b' ');
    let is_array = text.byte_at(close) == b']' && text.byte_at(equals) == b'=' && text.byte_at(equals + 1) != b'=';
    if is_array && has_quote_after(text, equals + 1) { equals + 1 - at } else { 0 }
}

/// The length of a type and `=` at `at`; 0 if there is no type or no quoted value.
fn typed_assignment_len(text: Text<'_>, at: usize) -> usize {
    let type_end = text.skip_while(at, 20, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let equals = text.skip_while(type_end, 2, |byte| byte == b' ');
    let is_assigned = equals > type_end && text.byte_at(equals) == b'=' && text.byte_at(equals + 1) != b'=';
    if is_assigned && has_quote_after(text, equals + 1) { equals + 1 - at } else { 0 }
}

/// The length of a call that gives a default value, up to its quote: `.unwrap_or_else(|_| "value"`, `.orElse("value"`; 0 if there is none.
fn default_call_len(rest: &str) -> usize {
    const CALLS: [&str; 8] = [".unwrap_or", ".orElse", ".or_else", ".getOrElse", ".getOrDefault", ".or(", ".presence", ".get_or_insert"];
    const BYTES_MAX: usize = 40;
    let is_call = CALLS.into_iter().any(|call| rest.starts_with(call));
    let window = rest.get(..rest.floor_char_boundary(BYTES_MAX)).unwrap_or(rest);
    window
        .find(['"', '\'', '\n', ';'])
        .filter(|at| is_call && window.as_bytes().get(*at).is_some_and(|byte| matches!(byte, b'"' | b'\'')))
        .unwrap_or(0)
}

/// Whether the identifier that ends at `end` is the variable of `${…`.
fn is_shell_variable(text: Text<'_>, end: usize) -> bool {
    let start = text.skip_back_while(end, 64, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
    text.byte_before(start) == b'{'
}

/// The length of an operator that gives a default value, and of the space after it; 0 if there is none.
fn default_operator_len(rest: &str) -> usize {
    const OPERATORS: [&str; 8] = ["|| ", "??= ", "?? ", "?: ", "or ", "// ", "||", "??"];
    OPERATORS.into_iter().find(|operator| rest.starts_with(operator)).map_or(0, str::len)
}

/// Skips what a language or YAML writes between a label and its value: a type (`password: str = "value"`), the mark of a block of lines (`|`), and tags
/// (`!vault`).
fn skip_type(text: Text<'_>, start: usize) -> usize {
    const TYPE_BYTES_MAX: usize = 30;
    let is_type_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_&<>[]|.?* ".contains(&byte);
    let type_end = text.skip_while(start, TYPE_BYTES_MAX, is_type_byte);
    if type_end > start && text.byte_at(type_end) == b'=' && text.byte_at(type_end + 1) == b' ' && has_quote_after(text, type_end + 1) {
        return skip_blanks(text, type_end + 1, 4);
    }
    if matches!(text.byte_at(start), b'|' | b'>') {
        let end = text.skip_while(start + 1, 2, |byte| matches!(byte, b'-' | b'+' | b'0'..=b'9'));
        return if matches!(text.byte_at(end), b'\n' | b'\r') { end } else { start };
    }
    // PowerShell: `$password = (ConvertTo-SecureString "value" -AsPlainText)`.
    let rest = text.rest(start);
    if let Some(call) = rest.strip_prefix('(').unwrap_or(rest).strip_prefix("ConvertTo-SecureString ") {
        let argument = call.strip_prefix("-String ").unwrap_or(call);
        return if argument.starts_with(['"', '\'']) { start + rest.len() - argument.len() } else { start };
    }
    if text.byte_at(start) == b'!' && text.byte_at(start + 1).is_ascii_alphabetic() {
        let end = text.skip_while(start, 20, |byte| !byte.is_ascii_whitespace());
        return skip_blanks(text, end, 4);
    }
    start
}

/// The length of a call that fills a form field, up to its argument; 0 if there is none.
fn input_call_len(rest: &str) -> usize {
    const CALLS: [&str; 9] = [".send_keys(", ".sendKeys(", ".type(", ".fill(", ".setValue(", ".set_value(", ".val(", ".set(", ".input("];
    CALLS.into_iter().find(|call| rest.starts_with(call)).map_or(0, str::len)
}

fn has_quote_after(text: Text<'_>, at: usize) -> bool {
    matches!(text.byte_at(text.skip_while(at, 4, |byte| byte == b' ')), b'"' | b'\'' | b'`')
}

/// Whether the label that ends at `end` is the name in `Content-Disposition: form-data; name="…"`.
fn is_form_part(text: Text<'_>, end: usize) -> bool {
    let line = text.start_after_last(end, 200, [b'\n', b'\n']);
    text.slice(line..end).contains("form-data")
}

/// Whether the line of the label that ends at `end` has only a few words.
fn is_alone_in_line(text: Text<'_>, end: usize) -> bool {
    const LABEL_LINE_BYTES_MAX: usize = 60;
    let line = text.start_after_last(end, LABEL_LINE_BYTES_MAX + 1, [b'\n', b'\n']);
    let left = text.slice(line..end);
    left.len() <= LABEL_LINE_BYTES_MAX && left.split_whitespace().count() <= 5 && !left.contains([':', '=', '{', '<', ';', '"', '('])
}

/// The value in the line after a label: the first line with text, if it is neither a field with its own label nor the start of a block.
fn next_line(decoded: &DecodedText<'_>, text: Text<'_>, line_end: usize) -> Option<ValueStart> {
    let is_blank = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'-' | b'*' | b'>' | b'#');
    let start = text.skip_while(line_end, 40, is_blank);
    let line = text.slice(start..text.find_byte(start, 200, b'\n'));
    let is_field = line.contains([':', '=', '{', '}', '|', '<']) || line.is_empty();
    (!is_field).then(|| quoted_or_plain(decoded, text, start, LabelSyntax::NextLine))
}

/// The start of a value at `at`, after its quote and the marks of string literals.
fn quoted_or_plain(decoded: &DecodedText<'_>, text: Text<'_>, start: usize, syntax: LabelSyntax) -> ValueStart {
    let mut at = start;
    // Prefixes of string literals, and lists: `b"…"`, `@"…"`, `N'…'`, `["…"]`.
    let is_quote = |byte: u8| matches!(byte, b'"' | b'\'');
    if matches!(text.byte_at(at), b'b' | b'f' | b'r' | b'u' | b'@' | b'L' | b'N') && is_quote(text.byte_at(at + 1)) {
        at += 1;
    }
    if text.byte_at(at) == b'[' && is_quote(text.byte_at(at + 1)) {
        at += 1;
    }
    match text.byte_at(at) {
        quote @ (b'"' | b'\'') if text.rest(at).starts_with(r#"""""#) || text.rest(at).starts_with("'''") => {
            ValueStart { offset: at + 3, syntax, quote, quote_len: decoded.raw_len_at(at) }
        }
        quote @ (b'"' | b'\'' | b'`') => ValueStart { offset: at + 1, syntax, quote, quote_len: decoded.raw_len_at(at) },
        b'*' => ValueStart { offset: text.skip_while(at, 2, |byte| byte == b'*'), syntax, quote: 0, quote_len: 0 },
        _ => ValueStart { offset: start, syntax, quote: 0, quote_len: 0 },
    }
}

/// Skips up to four HTML tags and the white space around them.
fn skip_html_tags(text: Text<'_>, mut at: usize) -> usize {
    for _ in 0..4 {
        at = text.skip_while(at, 40, |byte| byte.is_ascii_whitespace());
        if text.byte_at(at) != b'<' {
            break;
        }
        let end = text.skip_while(at, 120, |byte| byte != b'>' && byte != b'\n');
        if text.byte_at(end) != b'>' {
            break;
        }
        at = end + 1;
    }
    at
}

/// How far the closing quote of a quoted value is searched.
const QUOTED_BYTES_MAX: usize = 8192;

/// The value at `value_start`: up to its closing quote or, unquoted, up to the first byte that `ends` accepts and at most `max` bytes.
pub(super) fn value_range(
    decoded: &DecodedText<'_>,
    text: Text<'_>,
    value_start: ValueStart,
    max: usize,
    ends: impl Fn(u8) -> bool,
) -> Range<usize> {
    if value_start.quote != 0 {
        let window = text.bytes().get(value_start.offset..text.len().min(value_start.offset + QUOTED_BYTES_MAX)).unwrap_or_default();
        // A quote with more backslashes than the opening one is nested inside the value.
        for distance in memchr::memchr_iter(value_start.quote, window) {
            let at = value_start.offset + distance;
            if decoded.raw_len_at(at) <= value_start.quote_len {
                return value_start.offset..at;
            }
        }
    }
    value_start.offset..text.skip_while(value_start.offset, max, |byte| !ends(byte))
}

/// Whether `byte` ends an unquoted value without spaces, such as a key.
pub(super) fn ends_unspaced_value(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b'&' | b'"' | b'\'' | b')' | b'}' | b']' | b'<' | b'>' | b'|' | b'`')
}

/// Whether `byte` ends an unquoted value that may contain spaces, such as a name.
pub(super) fn ends_spaced_value(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b'\t' | b',' | b';' | b'&' | b'"' | b'|' | b'<' | b'>' | b'}' | b']' | b'*' | b'(')
}
