//! Parses Python's `repr` of lists, dicts and objects.
//!
//! Instrumentations that call `str()` on a value write them (`LiteLLM`, smolagents, Haystack), and so does a data frame whose columns were
//! converted to text (`df.astype(str)`): single quotes, `None`, `True`, `nan`.
//!
//! | text | value |
//! |---|---|
//! | `Choice(index=0, finish_reason='stop')` | an object with these fields |
//! | `array(['a'], dtype=object)`, `Timestamp('2026')` | the first positional argument |
//! | `<ChatRole.USER: 'user'>` | the value of the enum |
//! | `FinishReason.STOP`, `<object at 0x7f…>` | the text |

use std::borrow::Cow;

use super::json;
use super::value::Value;

/// Deeper nesting does not occur in data frames, and would exhaust the stack.
const DEPTH_MAX: usize = 64;
/// Longer names of classes and arguments are not read.
const CLASS_BYTES_MAX: usize = 100;

/// Parses the `repr` of a list, tuple or dict; `None` if the text is something else, or continues after it.
pub(super) fn parse(text: &str) -> Option<Value<'static>> {
    if !text.starts_with(['[', '{', '(']) && !is_call(text) {
        return None;
    }
    let mut reader = Reader::new(text);
    let value = reader.value(0)?;
    reader.skip_space();
    reader.rest.is_empty().then_some(value)
}

/// Parses the beginning of the `repr` of a list or dict whose end was cut off, as far as it goes; `None` for other text.
pub(super) fn parse_truncated(text: &str) -> Option<Value<'static>> {
    let mut reader = Reader { closes_at_end: true, ..Reader::new(text) };
    let value = if text.starts_with(['[', '{']) { reader.value(0)? } else { return None };
    reader.rest.is_empty().then_some(value)
}

/// Whether the text starts like the `repr` of an object, `ChatCompletion(id='…'`: a class, and the name of an argument.
fn is_call(text: &str) -> bool {
    let Some((class, arguments)) = text.split_once('(') else { return false };
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    class.len() <= CLASS_BYTES_MAX
        && class.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && is_name(class)
        && arguments.split_once('=').is_some_and(|(name, _)| name.len() <= CLASS_BYTES_MAX && is_name(name))
}

/// Parses a string literal at the start of `text`; returns it with the remaining text: `'a' b` is `a` and ` b`.
pub(super) fn leading_string(text: &str) -> Option<(String, &str)> {
    let mut reader = Reader::new(text);
    let value = reader.string()?;
    Some((value, reader.rest))
}

struct Reader<'t> {
    rest: &'t str,
    /// Whether the end of the text closes what is open.
    closes_at_end: bool,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self { rest: text, closes_at_end: false }
    }

    /// Whether the text ends here, and that closes what is open.
    fn is_cut(&mut self) -> bool {
        self.skip_space();
        self.closes_at_end && self.rest.is_empty()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Value<'static>> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.skip_space();
        match self.rest.chars().next()? {
            '[' => self.list('[', ']', depth),
            '(' => self.list('(', ')', depth),
            '{' => self.dict(depth),
            '\'' | '"' => self.string().map(|text| Value::Text(Cow::Owned(text))),
            '<' => self.angle_brackets(),
            _ => self.word(depth),
        }
    }

    /// A value in a list or a dict, if the budget of the record allows it.
    fn item(&mut self, depth: usize) -> Option<Value<'static>> {
        if json::try_charge(size_of::<(String, Value<'static>)>()) { self.value(depth + 1) } else { None }
    }

    fn list(&mut self, open: char, close: char, depth: usize) -> Option<Value<'static>> {
        self.eat(open);
        let mut items: Vec<Value<'static>> = Vec::new();
        let mut has_comma = false;
        while !self.eat(close) && !self.is_cut() {
            let Some(item) = self.item(depth) else {
                self.is_cut().then_some(())?;
                break;
            };
            match (items.last_mut(), item) {
                // A long text in parentheses is split over several lines.
                (Some(Value::Text(text)), Value::Text(next)) if open == '(' && !has_comma => text.to_mut().push_str(&next),
                (_, item) => items.push(item),
            }
            // numpy writes arrays without commas.
            has_comma |= self.eat(',');
        }
        match (open, has_comma, items.len()) {
            ('(', false, 1) => items.pop(),
            _ => Some(Value::List(items)),
        }
    }

    /// A dict, or a set, which becomes a list.
    fn dict(&mut self, depth: usize) -> Option<Value<'static>> {
        self.eat('{');
        let mut fields = Vec::new();
        let mut items = Vec::new();
        while !self.eat('}') && !self.is_cut() {
            let key = self.item(depth);
            if self.is_cut() {
                break;
            }
            let key = key?;
            if self.eat(':') {
                let value = self.item(depth);
                if value.is_none() && self.is_cut() {
                    break;
                }
                let value = value?;
                fields.push((Cow::Owned(key.into_text().unwrap_or_default()), value));
            } else {
                items.push(key);
            }
            if !self.eat(',') {
                (self.eat('}') || self.is_cut()).then_some(())?;
                break;
            }
        }
        match (fields.is_empty(), items.is_empty()) {
            (_, true) => Some(Value::Map(fields)),
            (true, false) => Some(Value::List(items)),
            (false, false) => None,
        }
    }

    /// `<ChatRole.USER: 'user'>` is the value; other objects, `<object at 0x7f…>`, are their text.
    fn angle_brackets(&mut self) -> Option<Value<'static>> {
        const DESCRIPTION_BYTES_MAX: usize = 300;
        let end = self.rest.find('>').filter(|end| *end <= DESCRIPTION_BYTES_MAX)?;
        let (object, rest) = self.rest.split_at_checked(end + 1)?;
        self.rest = rest;
        let value = object.split_once(": ").and_then(|(_, value)| leading_string(value)).map(|(value, _)| value);
        Some(Value::Text(Cow::Owned(value.unwrap_or_else(|| object.to_owned()))))
    }

    /// A number, a constant such as `None`, or a call whose first argument is the value.
    fn word(&mut self, depth: usize) -> Option<Value<'static>> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-'))).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        match word {
            "" => None,
            "None" | "nan" | "NaN" | "NaT" | "..." => Some(Value::Null),
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            // The prefix of a literal: bytes, raw, formatted.
            "b" | "r" | "u" | "f" | "rb" | "br" if self.rest.starts_with(['\'', '"']) => {
                self.string().map(|text| Value::Text(Cow::Owned(text)))
            }
            word if word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                if self.rest.starts_with('(') {
                    return self.call(depth);
                }
                // The member of an enum.
                word.contains('.').then(|| Value::Text(Cow::Owned(word.to_owned())))
            }
            word => word.parse().map(Value::Int).or_else(|_| word.parse().map(Value::Double)).ok(),
        }
    }

    /// `(name=a, other=b)` is an object with these fields, `(a, name=b)` the first argument.
    fn call(&mut self, depth: usize) -> Option<Value<'static>> {
        self.eat('(');
        let mut first = None;
        let mut fields = Vec::new();
        while !self.eat(')') {
            self.skip_space();
            let name = self.argument_name();
            let start = self.rest;
            let value = match (self.item(depth), &name) {
                (None, Some(_)) => {
                    self.rest = start;
                    self.bare_name()
                }
                (value, _) => value,
            }?;
            match name {
                Some(name) => fields.push((Cow::Owned(name), value)),
                None => first = first.or(Some(value)),
            }
            if !self.eat(',') {
                self.eat(')').then_some(())?;
                break;
            }
        }
        Some(first.unwrap_or(Value::Map(fields)))
    }

    /// The `name` of `name=value`, which is consumed with the sign.
    fn argument_name(&mut self) -> Option<String> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|end| *end > 0)?;
        let (name, rest) = self.rest.split_at_checked(end)?;
        // `==` is no argument.
        self.rest = rest.strip_prefix('=').filter(|value| !value.starts_with('='))?;
        Some(name.to_owned())
    }

    /// The value of an argument may be a name: `dtype=object`.
    fn bare_name(&mut self) -> Option<Value<'static>> {
        let end = self.rest.find([',', ')']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end)?;
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.').then_some(())?;
        self.rest = rest;
        Some(Value::Text(Cow::Owned(name.to_owned())))
    }

    fn string(&mut self) -> Option<String> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(text);
                }
                '\\' => match escaped(&mut chars) {
                    Some(c) => text.push(c),
                    None => break,
                },
                c => text.push(c),
            }
        }
        self.closes_at_end.then(|| {
            self.rest = "";
            text
        })
    }
}

/// The character after a backslash; `None` if the escape is not complete.
fn escaped(chars: &mut impl Iterator<Item = (usize, char)>) -> Option<char> {
    match chars.next()?.1 {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        'x' => hex(chars, 2),
        'u' => hex(chars, 4),
        'U' => hex(chars, 8),
        other => Some(other),
    }
}

fn hex(chars: &mut impl Iterator<Item = (usize, char)>, digits: usize) -> Option<char> {
    let number = (0..digits).try_fold(0u32, |number, _| Some((number << 4) | chars.next()?.1.to_digit(16)?))?;
    // An unpaired surrogate is not a character.
    Some(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Option<String> {
        parse(text).map(|value| value.to_text())
    }

    #[test]
    fn a_repr_becomes_a_value() {
        assert_eq!(
            json(r#"[{'a': "it's", 'b': None, 'c': True}, 'x\n\x1b\u20ac']"#).unwrap(),
            r#"[{"a":"it's","b":null,"c":true},"x\n\u001b€"]"#
        );
        assert_eq!(json("{'n': [1, -2.5, nan], 't': (1,)}").unwrap(), r#"{"n":[1,-2.5,null],"t":[1]}"#);
        assert_eq!(json("[array(['a', 'b'], dtype=object) Timestamp('2026')]").unwrap(), r#"[["a","b"],"2026"]"#);
        assert_eq!(json("[]").unwrap(), "[]");
    }

    #[test]
    fn the_repr_of_an_object_becomes_its_fields() {
        assert_eq!(
            json("ChatCompletion(id='c', choices=[Choice(finish_reason='stop', logprobs=None, message=Message(content='it\\'s', role=<Role.ASSISTANT: 'assistant'>))], created=datetime.datetime(2026, 1, 2))").unwrap(),
            r#"{"id":"c","choices":[{"finish_reason":"stop","logprobs":null,"message":{"content":"it's","role":"assistant"}}],"created":2026}"#
        );
        assert_eq!(
            json("[{'a': FinishReason.MAX_TOKENS, 'b': <object at 0x7f>, 'c': {'x', 'y'}, 'd': b'z'}]").unwrap(),
            r#"[{"a":"FinishReason.MAX_TOKENS","b":"<object at 0x7f>","c":["x","y"],"d":"z"}]"#
        );
        assert_eq!(json("['x', ('first '\n 'second')]").unwrap(), r#"["x","first second"]"#);
        assert_eq!(json("Result(found=object, n=1)").unwrap(), r#"{"found":"object","n":1}"#);
        for text in ["Error (code=5) in the middle", "Total(a) = 3", "f(x=1)", "Choice(a=1) and more", "Choice(a="] {
            assert_eq!(json(text), None, "{text}");
        }
    }

    #[test]
    fn a_repr_that_was_cut_off_is_read_up_to_the_cut() {
        let json = |text: &str| parse_truncated(text).map(|value| value.to_text());
        for (text, expected) in [
            ("[{'a': 'x', 'b': 'it is la", r#"[{"a":"x","b":"it is la"}]"#),
            ("[{'a': 'x', 'b':", r#"[{"a":"x"}]"#),
            ("[{'a': 'x', 'b", r#"[{"a":"x"}]"#),
            ("[{'a': [1, 2], 'b': No", r#"[{"a":[1,2]}]"#),
            ("[{'a': 'x'}, ", r#"[{"a":"x"}]"#),
            ("{'a': {'b': 'c'", r#"{"a":{"b":"c"}}"#),
            ("{'a': 'x\\", r#"{"a":"x"}"#),
        ] {
            assert_eq!(json(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["plain", "{'a' 1", "[1] and more", &"[".repeat(100_000)] {
            assert_eq!(json(text), None, "{:?}", text.get(..20.min(text.len())));
        }
    }

    #[test]
    fn truncated_text_and_other_text_is_not_parsed() {
        for text in ["nan", "plain", "['cut", "{'a' 1}", "[1] and more", "[object]", &"[".repeat(100_000)] {
            assert_eq!(json(text), None, "{:?}", text.get(..20.min(text.len())));
        }
    }
}
