//! Reads the result of a tool as a value, in whichever notation it was recorded.
//!
//! Unlike `parse`, it keeps for every text the piece of the source that contains it, so that evidence can quote it.
//!
//! | notation | example |
//! |---|---|
//! | JSON, also cut off, or with text after it | `{"error": "boom"}` |
//! | JSON inside a string | `"{\"error\": \"boom\"}"` |
//! | Python's `repr` | `{'error': 'boom', 'code': None}` |
//! | objects of Python | `CallToolResult(content=[], isError=True)`, `ValueError('boom')` |
//! | Pydantic's `str` | `content=[] isError=True` |
//! | Node's `util.inspect` | `{ error: 'boom' }` |

use std::borrow::Cow;

use super::field_names;

/// Deeper values are skipped: an error is reported near the top.
const DEPTH_MAX: usize = 6;
/// Fields of an object, or items of a list, that are kept. Further ones are counted.
const ITEMS_MAX: usize = 64;
/// Longer results are read up to this length. Fields such as `isError` may follow a long text.
const RESULT_BYTES_MAX: usize = 1024 * 1024;
/// Strings in strings that are read.
const QUOTING_MAX: u32 = 3;
/// Longer words are no keys and no classes.
const WORD_BYTES_MAX: usize = 100;

/// A value. Texts are pieces of the source.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'t> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Text<'t>),
    List(List<'t>),
    Object(Object<'t>),
    /// A word that is no string, such as a member of an enum.
    Word(&'t str),
}

/// A text in quotes, without them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Text<'t> {
    /// As in the source, with escapes.
    pub(super) source: &'t str,
    quoting: Quoting,
}

/// A list of which the first items are kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct List<'t> {
    pub(super) items: Vec<Value<'t>>,
    /// The number of items, also of those that were not kept.
    pub(super) len: usize,
}

/// An object of which the first fields are kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Object<'t> {
    /// The class, if the notation names it.
    pub(super) class: Option<&'t str>,
    /// `(key in lower case without separators, value)`. Arguments without a name have an empty key.
    pub(super) fields: Vec<(String, Value<'t>)>,
    /// The number of fields, also of those that were not kept.
    pub(super) len: usize,
}

impl<'t> Object<'t> {
    /// The value of the first of `keys` that is present.
    pub(super) fn get(&self, keys: &[&str]) -> Option<&Value<'t>> {
        keys.iter().find_map(|key| Some(&self.fields.iter().find(|(known, _)| known == key)?.1))
    }

    pub(super) fn text(&self, keys: &[&str]) -> Option<Text<'t>> {
        keys.iter().find_map(|key| self.fields.iter().find_map(|(known, value)| value.as_text().filter(|_| known == key)))
    }
}

impl<'t> Value<'t> {
    pub(super) fn as_text(&self) -> Option<Text<'t>> {
        if let Self::Text(text) = self { Some(*text) } else { None }
    }

    /// Whether there is nothing in it: `null`, an empty text, list or object, `false`, 0.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Number(value) => *value == 0.0,
            Self::Text(text) => text.source.trim().is_empty(),
            Self::List(list) => list.len == 0,
            Self::Object(object) => object.len == 0,
            Self::Word(word) => word.is_empty(),
        }
    }

    /// The value as a whole number, also if it is written as a text.
    pub(super) fn as_integer(&self) -> Option<i64> {
        let number = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.source.trim().parse().ok()?,
            _ => return None,
        };
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers of this size are exact")]
        (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
    }

    /// The value as a truth value, also if it is written as a text.
    pub(super) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Text(text) if text.source.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.source.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

impl<'t> Text<'t> {
    /// The text without escapes, of at most `bytes_max`.
    pub(super) fn decoded(&self, bytes_max: usize) -> Cow<'t, str> {
        let source = prefix(self.source, bytes_max);
        if source.contains('\\') { Cow::Owned(unescaped(source)) } else { Cow::Borrowed(source) }
    }

    /// The value that is written in this text, if there is one.
    pub(super) fn value(&self) -> Option<Value<'t>> {
        let parsed = (self.quoting.depth <= QUOTING_MAX).then(|| Parsed::of(self.source, self.quoting));
        parsed.flatten().map(|parsed| parsed.value)
    }
}

/// A value at the start of a text, and what follows it.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed<'t> {
    pub(super) value: Value<'t>,
    pub(super) rest: &'t str,
}

impl<'t> Parsed<'t> {
    /// Reads the value at the start of a result; `None` if it is plain text.
    pub(super) fn of_result(result: &'t str) -> Option<Self> {
        Self::of(prefix(result, RESULT_BYTES_MAX), Quoting::default())
    }

    fn of(text: &'t str, quoting: Quoting) -> Option<Self> {
        let text = without_fence(text.trim_matches(char::is_whitespace));
        let mut reader = Reader { rest: text, quoting };
        reader.skip_space();
        let starts_value = reader.rest.starts_with(['{', '[', '(', '"', '\'', '\\']) || is_call(reader.rest);
        let value = if starts_value { reader.value(0) } else { reader.assignments() }?;
        reader.skip_space();
        Some(Self { value, rest: reader.rest })
    }
}

/// The content of a Markdown code block that is the whole text.
fn without_fence(text: &str) -> &str {
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```\n"));
    inner.map_or(text, |inner| inner.strip_suffix("```").unwrap_or(inner))
}

/// Whether the text starts like a call: `Result(`.
fn is_call(text: &str) -> bool {
    let word = word_at(text);
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.get(word.len()..).is_some_and(|rest| rest.starts_with('('))
}

/// The identifier, with dots, at the start of a text.
fn word_at(text: &str) -> &str {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'+' | b'$');
    let end = text.bytes().take(WORD_BYTES_MAX + 1).position(|byte| !is_part(byte)).unwrap_or(text.len().min(WORD_BYTES_MAX));
    text.get(..end).unwrap_or_default()
}

/// The first bytes of a text, cut at a character boundary.
fn prefix(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// How quotes are escaped at a place: every string around it doubles the backslashes, and those in the same quotes add one.
///
/// In `"{\"a\": \"b\"}"` the inner double quotes have one backslash each, and single quotes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Quoting {
    /// Strings around the place.
    depth: u32,
    /// Backslashes before a double quote that delimits a string here.
    double: usize,
    /// Backslashes before a single quote that delimits a string here.
    single: usize,
}

impl Quoting {
    fn inside(self, quote: char) -> Self {
        let added = |is_same: bool| usize::from(is_same);
        Self { depth: self.depth + 1, double: 2 * self.double + added(quote == '"'), single: 2 * self.single + added(quote == '\'') }
    }

    /// Whether a quote after so many backslashes delimits a string here.
    fn delimits(self, quote: char, backslashes: usize) -> bool {
        let expected = if quote == '"' { self.double } else { self.single };
        backslashes % (2 << self.depth) == expected
    }
}

struct Reader<'t> {
    rest: &'t str,
    quoting: Quoting,
}

impl<'t> Reader<'t> {
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Skips white space. Inside a string it is escaped: `\n`.
    fn skip_space(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let escape = self.rest.trim_start_matches('\\');
            let is_escaped_space = self.quoting.depth > 0 && escape.len() < self.rest.len() && escape.starts_with(['n', 'r', 't']);
            if !is_escaped_space {
                return;
            }
            self.rest = escape.get(1..).unwrap_or_default();
        }
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Value<'t>> {
        self.skip_space();
        match self.rest.chars().next()? {
            '{' if depth >= DEPTH_MAX => self.skip_brackets().map(|len| Value::Object(Object { len, ..Object::default() })),
            '[' | '(' if depth >= DEPTH_MAX => self.skip_brackets().map(|len| Value::List(List { len, ..List::default() })),
            '{' => self.object(depth).map(Value::Object),
            '[' => self.list(']', depth).map(Value::List),
            '(' => self.list(')', depth).map(Value::List),
            '<' => Some(self.angle_brackets()),
            '"' | '\'' | '\\' => self.string().map(Value::Text),
            _ => self.word(depth),
        }
    }

    /// A string. One that does not end was cut off.
    fn string(&mut self) -> Option<Text<'t>> {
        let backslashes = self.rest.bytes().take_while(|byte| *byte == b'\\').count();
        let quote = self.rest.get(backslashes..)?.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        if !self.quoting.delimits(quote, backslashes) {
            return None;
        }
        self.skip(backslashes + 1);
        let inside = self.quoting.inside(quote);
        let mut searched = 0;
        while let Some(found) = self.rest.get(searched..)?.find(quote) {
            let at = searched + found;
            let content = self.rest.get(..at)?;
            let escapes = content.bytes().rev().take_while(|byte| *byte == b'\\').count();
            if self.quoting.delimits(quote, escapes) {
                // The backslashes of the delimiter are not part of the content.
                let expected = if quote == '"' { self.quoting.double } else { self.quoting.single };
                let source = content.get(..content.len().saturating_sub(expected)).unwrap_or(content);
                self.skip(at + 1);
                return Some(Text { source, quoting: inside });
            }
            searched = at + 1;
        }
        let source = std::mem::take(&mut self.rest);
        Some(Text { source, quoting: inside })
    }

    fn object(&mut self, depth: usize) -> Option<Object<'t>> {
        self.eat('{');
        let mut object = Object::default();
        while !self.eat('}') && !self.rest.is_empty() {
            let Some(key) = self.key() else { return self.cut(object) };
            if !self.eat(':') {
                return self.cut(object);
            }
            let Some(value) = self.value(depth + 1) else { return self.cut(object) };
            object.push(key, value);
            if !self.eat(',') && !self.rest.starts_with('}') && !self.rest.is_empty() {
                return None;
            }
        }
        Some(object)
    }

    /// What was read of an object, if its end is missing. `None` if it continues in another way.
    fn cut(&mut self, object: Object<'t>) -> Option<Object<'t>> {
        self.skip_space();
        self.rest.is_empty().then_some(object)
    }

    fn key(&mut self) -> Option<String> {
        self.skip_space();
        if self.rest.starts_with(['"', '\'', '\\']) {
            return Some(field_names::normalized(&self.string()?.decoded(WORD_BYTES_MAX)));
        }
        let word = word_at(self.rest);
        self.skip(word.len());
        (!word.is_empty()).then(|| field_names::normalized(word))
    }

    fn list(&mut self, close: char, depth: usize) -> Option<List<'t>> {
        self.skip(1);
        let mut list = List::default();
        while !self.eat(close) && !self.rest.is_empty() {
            let Some(value) = self.value(depth + 1) else {
                self.skip_space();
                return self.rest.is_empty().then_some(list);
            };
            list.len += 1;
            if list.items.len() < ITEMS_MAX {
                list.items.push(value);
            }
            if !self.eat(',') && !self.rest.starts_with(close) && !self.rest.is_empty() {
                return None;
            }
        }
        Some(list)
    }

    /// A number, a constant, a member of an enum, or an object of Python.
    fn word(&mut self, depth: usize) -> Option<Value<'t>> {
        let word = word_at(self.rest);
        if word.is_empty() {
            return None;
        }
        self.skip(word.len());
        if self.rest.starts_with('(') {
            if depth >= DEPTH_MAX {
                return self.skip_brackets().map(|len| Value::Object(Object { class: Some(word), len, ..Object::default() }));
            }
            return self.arguments(word, depth).map(Value::Object);
        }
        // Python's bytes and raw strings.
        if matches!(word, "b" | "r" | "u") && self.rest.starts_with(['"', '\'']) {
            return self.string().map(Value::Text);
        }
        Some(match word {
            "null" | "None" | "undefined" | "nil" | "NaN" | "nan" => Value::Null,
            "true" | "True" => Value::Bool(true),
            "false" | "False" => Value::Bool(false),
            _ => word.parse().map_or(Value::Word(word), Value::Number),
        })
    }

    /// The arguments of an object of Python: `(content=[], 'x')`.
    fn arguments(&mut self, class: &'t str, depth: usize) -> Option<Object<'t>> {
        self.skip(1);
        let mut object = Object { class: Some(class), ..Object::default() };
        while !self.eat(')') && !self.rest.is_empty() {
            let word = word_at(self.rest);
            let is_named = !word.is_empty() && self.rest.get(word.len()..).is_some_and(|rest| rest.starts_with('='));
            if is_named {
                self.skip(word.len() + 1);
            }
            let Some(value) = self.value(depth + 1) else { return self.cut(object) };
            object.push(if is_named { field_names::normalized(word) } else { String::new() }, value);
            if !self.eat(',') && !self.rest.starts_with(')') && !self.rest.is_empty() {
                return None;
            }
        }
        Some(object)
    }

    /// The `str` of a Pydantic model, which is the whole text: `meta=None content=[] isError=True`.
    fn assignments(&mut self) -> Option<Value<'t>> {
        let mut object = Object::default();
        loop {
            self.skip_space();
            if self.rest.is_empty() {
                return (object.len >= 2).then_some(Value::Object(object));
            }
            let word = word_at(self.rest);
            let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic())
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !is_name || !self.rest.get(word.len()..)?.starts_with('=') {
                return None;
            }
            self.skip(word.len() + 1);
            let value = self.value(1)?;
            object.push(field_names::normalized(word), value);
        }
    }

    /// `<Response [404]>`, `<Role.USER: 'user'>`.
    fn angle_brackets(&mut self) -> Value<'t> {
        let end = self.rest.find('>').map_or(self.rest.len(), |at| at + 1);
        let word = self.rest.get(..end).unwrap_or_default();
        self.skip(end);
        Value::Word(word)
    }

    /// Skips a value in brackets without keeping it, and returns about how many values it has.
    fn skip_brackets(&mut self) -> Option<usize> {
        let (mut open, mut values) = (0_usize, 0);
        loop {
            self.skip_space();
            match self.rest.chars().next() {
                None => return Some(values),
                Some('{' | '[' | '(') => {
                    open += 1;
                    self.skip(1);
                }
                Some('}' | ']' | ')') => {
                    open = open.saturating_sub(1);
                    self.skip(1);
                    if open == 0 {
                        return Some(values);
                    }
                }
                Some('"' | '\'' | '\\') => {
                    self.string()?;
                    values += 1;
                }
                Some(other) => {
                    let word = word_at(self.rest).len();
                    values += usize::from(word > 0);
                    self.skip(word.max(other.len_utf8()));
                }
            }
        }
    }
}

impl<'t> Object<'t> {
    fn push(&mut self, key: String, value: Value<'t>) {
        self.len += 1;
        if self.fields.len() < ITEMS_MAX {
            self.fields.push((key, value));
        } else if matches!(key.as_str(), "iserror" | "exitcode" | "returncode" | "error" | "status" | "success") {
            // Such a field often follows the content.
            self.fields.push((key, value));
        }
    }
}

/// A text without escapes. A run of backslashes is one escape, however deep the string is nested.
fn unescaped(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        decoded.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default().trim_start_matches('\\');
        let Some(escape) = rest.chars().next() else { break };
        let mut length = escape.len_utf8();
        match escape {
            'n' => decoded.push('\n'),
            'r' => decoded.push('\r'),
            't' => decoded.push('\t'),
            'u' => match code_unit(rest) {
                Some(first) => {
                    length = 5;
                    let second = rest.get(5..).map(|rest| rest.trim_start_matches('\\')).and_then(code_unit);
                    let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
                    match (char::from_u32(u32::from(first)), pair) {
                        (Some(c), _) => decoded.push(c),
                        (None, Some(c)) => {
                            decoded.push(c);
                            rest = rest.get(5..).unwrap_or_default().trim_start_matches('\\');
                        }
                        (None, None) => decoded.push('\u{fffd}'),
                    }
                }
                None => decoded.push('u'),
            },
            other => decoded.push(other),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    decoded.push_str(rest);
    decoded
}

/// The UTF-16 code unit in `u4e2d`.
fn code_unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn object(text: &str) -> Object<'_> {
        match Parsed::of_result(text).map(|parsed| parsed.value) {
            Some(Value::Object(object)) => object,
            Some(Value::Text(inner)) => match inner.value() {
                Some(Value::Object(object)) => object,
                other => panic!("{text}: {other:?}"),
            },
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_notation_gives_the_same_fields() {
        for text in [
            r#"{"error": "no disk", "isError": true, "code": 7, "hint": null}"#,
            r#""{\"error\": \"no disk\", \"isError\": true, \"code\": 7, \"hint\": null}""#,
            "{'error': 'no disk', 'is_error': True, 'code': 7, 'hint': None}",
            r#""{'error': 'no disk', 'is_error': True, 'code': 7, 'hint': None}""#,
            "ToolResult(error='no disk', isError=True, code=7, hint=None)",
            "error='no disk' is_error=True code=7 hint=None",
            "{\n  error: 'no disk',\n  isError: true,\n  code: 7,\n  hint: undefined\n}",
            "```json\n{\"error\": \"no disk\", \"isError\": true, \"code\": 7, \"hint\": null}\n```",
        ] {
            let object = object(text);
            let error = object.text(&["error"]).unwrap();
            assert_eq!((error.source, object.len), ("no disk", 4), "{text}");
            assert_eq!(object.get(&["iserror"]).and_then(Value::as_bool), Some(true), "{text}");
            assert_eq!(object.get(&["code"]).and_then(Value::as_integer), Some(7), "{text}");
            assert_eq!(object.get(&["hint"]), Some(&Value::Null), "{text}");
        }
    }

    #[test]
    fn strings_in_strings_are_pieces_of_the_source() {
        let innermost = r#"{"a": "say \"hi\" to C:\\"}"#;
        let nested = |text: &str| serde_json::to_string(text).unwrap();
        let twice = nested(&format!(r#"{{"result": {}}}"#, nested(innermost)));
        let outer = object(&twice);
        let Some(Value::Object(inner)) = outer.text(&["result"]).unwrap().value() else { panic!("{outer:?}") };
        let text = inner.text(&["a"]).unwrap();
        assert!(twice.contains(text.source));
        assert_eq!(text.decoded(100), r#"say "hi" to C:\"#.replace(":\\", ":"));
        // Python in JSON: single quotes need no escape, and double ones inside need one.
        let python = r#"{"result": "{'a': 'it\\'s \"so\"'}"}"#;
        let Some(Value::Object(inner)) = object(python).text(&["result"]).unwrap().value() else { panic!() };
        assert_eq!(inner.text(&["a"]).unwrap().decoded(100), r#"it's "so""#);
    }

    #[test]
    fn escapes_of_other_scripts_are_decoded() {
        let object = object(r#"{"status": "\u5931\u8d25", "note": "\ud83d\ude80 x"}"#);
        assert_eq!(object.text(&["status"]).unwrap().decoded(100), "失败");
        assert_eq!(object.text(&["note"]).unwrap().decoded(100), "\u{1f680} x");
    }

    #[test]
    fn a_value_that_is_cut_off_is_read_as_far_as_it_goes() {
        for (text, fields) in [(r#"{"a": 1, "b": "x"#, 2), (r#"{"a": 1, "b": [1, {"c"#, 2), (r#"{"a": 1, "b"#, 1), (r#"{"a": 1,"#, 1)] {
            assert_eq!(object(text).len, fields, "{text}");
        }
        for text in ["plain text", "{not a value", "a = b", "x=1", "f(x", "error: 'x'", "", "[1, 2} 3"] {
            let parsed = Parsed::of_result(text);
            assert!(
                parsed.as_ref().is_none_or(|parsed| !matches!(&parsed.value, Value::Object(object) if object.class.is_none())),
                "{text}: {parsed:?}"
            );
        }
        assert_eq!(Parsed::of_result("{\"a\": 1}\nmore").unwrap().rest, "more");
    }

    #[test]
    fn time_is_linear_for_hostile_text() {
        let shapes: [fn(usize) -> String; 9] = [
            |n| "[".repeat(n),
            |n| "{\"a\":".repeat(n),
            |n| format!("\"{}", "\\\"".repeat(n)),
            |n| format!("[\"{}", "\\".repeat(n)),
            |n| "\"a\",".repeat(n),
            |n| format!("[{}]", "'x',".repeat(n)),
            |n| "a(".repeat(n),
            |n| "x=1 ".repeat(n),
            |n| format!("{{\"a\":\"{}\"}}", "\\n".repeat(n)),
        ];
        for (number, shape) in shapes.into_iter().enumerate() {
            let time = |count: usize| {
                let text = shape(count);
                let start = Instant::now();
                let parsed = Parsed::of_result(&text);
                let nested = parsed.and_then(|parsed| parsed.value.as_text()?.value());
                drop(nested);
                start.elapsed().as_secs_f64()
            };
            let (short, long) = (time(10_000), time(80_000));
            assert!(long < 0.2 + 30.0 * short, "shape {number}: {short} s, then {long} s");
        }
    }
}
