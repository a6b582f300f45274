//! Parses Python's `repr` of lists and dicts.
//!
//! A data frame whose columns were converted to text (`df.astype(str)`) contains them: single quotes, `None`, `True`, `nan`, and calls such
//! as `array([…], dtype=object)` around a value.

use std::borrow::Cow;

use super::json;
use super::value::Value;

/// Deeper nesting does not occur in data frames, and would exhaust the stack.
const DEPTH_MAX: usize = 64;

/// Parses the `repr` of a list, tuple or dict; `None` if the text is something else, or continues after it.
pub(super) fn parse(text: &str) -> Option<Value<'static>> {
    if !text.starts_with(['[', '{', '(']) {
        return None;
    }
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.skip_space();
    reader.rest.is_empty().then_some(value)
}

/// Parses a string literal at the start of `text`; returns it with the remaining text: `'a' b` is `a` and ` b`.
pub(super) fn leading_string(text: &str) -> Option<(String, &str)> {
    let mut reader = Reader { rest: text };
    let value = reader.string()?;
    Some((value, reader.rest))
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
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
            _ => self.word(depth),
        }
    }

    /// A value in a list or a dict, if the budget of the record allows it.
    fn item(&mut self, depth: usize) -> Option<Value<'static>> {
        if json::try_charge(size_of::<(String, Value<'static>)>()) { self.value(depth + 1) } else { None }
    }

    fn list(&mut self, open: char, close: char, depth: usize) -> Option<Value<'static>> {
        self.eat(open);
        let mut items = Vec::new();
        while !self.eat(close) {
            items.push(self.item(depth)?);
            // numpy writes arrays without commas.
            self.eat(',');
        }
        Some(Value::List(items))
    }

    fn dict(&mut self, depth: usize) -> Option<Value<'static>> {
        self.eat('{');
        let mut fields = Vec::new();
        while !self.eat('}') {
            let key = self.value(depth + 1)?;
            if !self.eat(':') {
                return None;
            }
            let value = self.item(depth)?;
            fields.push((Cow::Owned(key.into_text().unwrap_or_default()), value));
            if !self.eat(',') {
                return self.eat('}').then_some(Value::Map(fields));
            }
        }
        Some(Value::Map(fields))
    }

    /// A number, a constant such as `None`, or a call whose first argument is the value.
    fn word(&mut self, depth: usize) -> Option<Value<'static>> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-'))).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        match word {
            "" => None,
            "None" | "nan" | "NaN" | "NaT" => Some(Value::Null),
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            word if word.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                if !self.rest.starts_with('(') {
                    return None;
                }
                let Value::List(arguments) = self.arguments(depth)? else { return None };
                arguments.into_iter().next()
            }
            word => word.parse().map(Value::Int).or_else(|_| word.parse().map(Value::Double)).ok(),
        }
    }

    /// `(a, b, name=c)`
    fn arguments(&mut self, depth: usize) -> Option<Value<'static>> {
        self.eat('(');
        let mut items = Vec::new();
        while !self.eat(')') {
            self.skip_space();
            let named = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).and_then(|end| {
                let (name, rest) = self.rest.split_at_checked(end)?;
                (!name.is_empty()).then(|| rest.strip_prefix('=')).flatten()
            });
            if let Some(rest) = named {
                self.rest = rest;
                // The value may be a name: `dtype=object`.
                let end = self.rest.find([',', ')']).unwrap_or(self.rest.len());
                let is_name =
                    self.rest.get(..end).is_some_and(|word| word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.'));
                if is_name {
                    self.rest = self.rest.get(end..)?;
                } else {
                    self.value(depth + 1)?;
                }
            } else {
                items.push(self.item(depth)?);
            }
            if !self.eat(',') {
                return self.eat(')').then_some(Value::List(items));
            }
        }
        Some(Value::List(items))
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
                '\\' => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    'x' => text.push(hex(&mut chars, 2)?),
                    'u' => text.push(hex(&mut chars, 4)?),
                    'U' => text.push(hex(&mut chars, 8)?),
                    other => text.push(other),
                },
                c => text.push(c),
            }
        }
        None
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
    fn truncated_text_and_other_text_is_not_parsed() {
        for text in ["nan", "plain", "['cut", "{'a' 1}", "[1] and more", "[object]", &"[".repeat(100_000)] {
            assert_eq!(json(text), None, "{:?}", text.get(..20.min(text.len())));
        }
    }
}
