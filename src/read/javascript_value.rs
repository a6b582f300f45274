//! Rewrites an object as Node.js displays it (`util.inspect`, `console.dir`, `console.log`) as JSON.
//!
//! Checked against Node.js 20. The texts of values keep everything that was displayed:
//!
//! | displayed | JSON |
//! |---|---|
//! | `{ name: 'a', 'x.y': "it's", [Symbol(s)]: 1 }` | an object with the keys `name`, `x.y`, `Symbol(s)` |
//! | `'first\n' +␤ 'second'`, `'cut'... 12 more characters` | one string; the note stays in it |
//! | `[ 1, 'a', ... 3 more items ]` | a list; the note is its last item |
//! | `undefined`, `null`, `NaN`, `Infinity` | `null` |
//! | `[Object]`, `[Array]`, `[Circular *1]`, `[Function: f]`, `<Buffer 68>`, `2026-11-23T09:00:00.000Z` | their text |
//! | `Map(1) { 'a' => 1 }`, `Set(1) { 1 }`, `Span { … }`, `[Object: null prototype] { … }`, `<ref *1> { … }` | an object or a list |
//! | `12n` | `12` |

use std::fmt::Write;

/// Objects and lists that are nested deeper are refused; the console exporters of OpenTelemetry display three levels.
const DEPTH_MAX: usize = 60;

/// The JSON of one displayed object or list; `None` if the text is something else.
pub(super) fn to_json(text: &str) -> Option<String> {
    let mut reader = Reader { rest: text.trim(), out: String::with_capacity(text.len()) };
    reader.value(0)?;
    reader.rest.trim().is_empty().then_some(reader.out)
}

struct Reader<'t> {
    rest: &'t str,
    out: String,
}

impl<'t> Reader<'t> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Consumes `wanted` after white space.
    fn eat(&mut self, wanted: &str) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Consumes `length` bytes and returns them.
    fn take(&mut self, length: usize) -> Option<&'t str> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.skip_space();
        match self.rest.bytes().next()? {
            b'\'' | b'"' | b'`' => {
                let text = self.strings()?;
                self.write_text(&text);
                Some(())
            }
            b'{' => self.object(depth),
            b'[' if is_marker(self.rest) => self.marker(depth),
            b'[' => self.list(depth),
            b'<' => self.angle_brackets(depth),
            _ => self.word(depth),
        }
    }

    /// An object, or the contents of a `Map`.
    fn object(&mut self, depth: usize) -> Option<()> {
        if depth >= DEPTH_MAX || !self.eat("{") {
            return None;
        }
        self.out.push('{');
        let mut is_first = true;
        while !self.eat("}") {
            if !std::mem::take(&mut is_first) {
                self.out.push(',');
            }
            if self.rest.starts_with("... ") {
                // `... 3 more items` of a `Map`.
                let note = self.note();
                self.write_text(note);
                self.out.push_str(":null");
            } else {
                let key = self.key()?;
                self.write_text(&key);
                self.out.push(':');
                if !self.eat(":") && !self.eat("=>") {
                    return None;
                }
                self.value(depth + 1)?;
            }
            if !self.eat(",") {
                self.eat("}").then_some(())?;
                break;
            }
        }
        self.out.push('}');
        Some(())
    }

    /// A list between brackets, or the contents of a `Set` between braces.
    fn items(&mut self, open: &str, close: &str, depth: usize) -> Option<()> {
        if depth >= DEPTH_MAX || !self.eat(open) {
            return None;
        }
        self.out.push('[');
        let mut is_first = true;
        while !self.eat(close) {
            if !std::mem::take(&mut is_first) {
                self.out.push(',');
            }
            if self.rest.starts_with("... ") {
                let note = self.note();
                self.write_text(note);
            } else {
                self.value(depth + 1)?;
            }
            if !self.eat(",") {
                self.eat(close).then_some(())?;
                break;
            }
        }
        self.out.push(']');
        Some(())
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        self.items("[", "]", depth)
    }

    /// `... 3 more items`, until the bracket or the end of the line.
    fn note(&mut self) -> &'t str {
        let end = self.rest.find(['\n', ']', '}', ',']).unwrap_or(self.rest.len());
        self.take(end).unwrap_or_default().trim_end()
    }

    fn key(&mut self) -> Option<String> {
        match self.rest.bytes().next()? {
            b'\'' | b'"' | b'`' => self.strings(),
            b'[' => {
                let end = self.rest.find(']')?;
                let key = self.take(end + 1)?;
                Some(key.trim_matches(['[', ']']).to_owned())
            }
            _ => {
                let end = self.rest.find(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | '}' | '='))?;
                let key = self.take(end)?;
                (!key.is_empty()).then(|| key.to_owned())
            }
        }
    }

    /// `[Object]`, or a description before an object: `[Object: null prototype] { … }`.
    fn marker(&mut self, depth: usize) -> Option<()> {
        let end = self.rest.find(']')?;
        let marker = self.take(end + 1)?;
        if self.rest.starts_with(" {") {
            return self.object(depth);
        }
        self.write_text(marker);
        Some(())
    }

    /// `<ref *1> { … }` is the object, anything else its text: `<Buffer 68 69>`.
    fn angle_brackets(&mut self, depth: usize) -> Option<()> {
        let end = self.rest.find('>')?;
        let text = self.take(end + 1)?;
        if text.starts_with("<ref ") {
            return self.value(depth);
        }
        self.write_text(text);
        Some(())
    }

    /// A number, a constant, a date, or the class of the object or list that follows.
    fn word(&mut self, depth: usize) -> Option<()> {
        let end = self.rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | '}' | ']' | '{' | '[')).unwrap_or(self.rest.len());
        let word = self.take(end)?;
        let is_class = word.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$'));
        match self.rest.trim_start_matches(' ').bytes().next() {
            Some(b'{') if is_class && word.starts_with("Set(") => return self.items("{", "}", depth),
            Some(b'{') if is_class => return self.object(depth),
            Some(b'[') if is_class => return self.list(depth),
            _ => {}
        }
        match word {
            "" => return None,
            "true" | "false" | "null" => self.out.push_str(word),
            "undefined" | "NaN" | "Infinity" | "-Infinity" => self.out.push_str("null"),
            number if is_number(number) => self.out.push_str(number),
            number if number.strip_suffix('n').is_some_and(is_number) => self.out.push_str(number.trim_end_matches('n')),
            other => self.write_text(other),
        }
        Some(())
    }

    /// A string, or several with plus signs between them, and the note that a string was cut off.
    fn strings(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            self.string(&mut text)?;
            let rest = self.rest;
            if self.eat("+") {
                self.skip_space();
                continue;
            }
            self.rest = rest;
            if rest.starts_with("... ") {
                text.push_str(self.note());
            }
            return Some(text);
        }
    }

    fn string(&mut self, text: &mut String) -> Option<()> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'))?;
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(());
                }
                '\\' => text.push(match chars.next()?.1 {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'v' => '\u{b}',
                    'x' => hexadecimal(&mut chars, 2)?,
                    // Only unpaired surrogates are displayed so.
                    'u' => hexadecimal(&mut chars, 4)?,
                    other => other,
                }),
                c => text.push(c),
            }
        }
        None
    }

    fn write_text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                c if c < ' ' => {
                    let _infallible = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// Whether a bracket opens a description, `[Object]`, and not a list, `[ 'a' ]`.
fn is_marker(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Whether a word is a number of JSON.
fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e')) && serde_json::from_str::<f64>(word).is_ok()
}

fn hexadecimal(chars: &mut impl Iterator<Item = (usize, char)>, digits: usize) -> Option<char> {
    let number = (0..digits).try_fold(0_u32, |number, _| Some((number << 4) | chars.next()?.1.to_digit(16)?))?;
    Some(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Option<serde_json::Value> {
        to_json(text).map(|json| serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}")))
    }

    #[test]
    fn a_displayed_object_becomes_json() {
        let text = r#"{
  name: 'chat',
  'gen_ai.system': "it's",
  text: `it's "quoted"`,
  [Symbol(s)]: 1,
  list: [
    1, -2.5e-7, true, undefined,
    NaN, 12n
  ],
  tags: [ 'a', 'b' ],
  empty: {},
  none: [],
  lines: 'first\n' +
    'it\'s \x1B \uD83D' +
    'third\\',
  at: 2026-11-23T09:00:00.000Z,
  kind: 0
}"#;
        assert_eq!(
            tree(text).unwrap(),
            serde_json::json!({"name": "chat", "gen_ai.system": "it's", "text": "it's \"quoted\"", "Symbol(s)": 1,
                "list": [1, -2.5e-7, true, null, null, 12], "tags": ["a", "b"], "empty": {}, "none": [],
                "lines": "first\nit's \u{1b} \u{fffd}third\\", "at": "2026-11-23T09:00:00.000Z", "kind": 0})
        );
    }

    #[test]
    fn what_is_not_displayed_stays_visible() {
        let text = "<ref *1> Span { a: [Object], b: [ [Array], ... 2 more items ], c: 'cut'... 12 more characters, d: [Circular *1], e: [Function: f], f: <Buffer 68 69> }";
        assert_eq!(
            tree(text).unwrap(),
            serde_json::json!({"a": "[Object]", "b": ["[Array]", "... 2 more items"], "c": "cut... 12 more characters", "d": "[Circular *1]",
                "e": "[Function: f]", "f": "<Buffer 68 69>"})
        );
    }

    #[test]
    fn maps_sets_and_classes_are_objects_and_lists() {
        let text = "{ a: Map(2) { 'x' => 1, 2 => { y: Set(2) { 'p', 'q' } } }, b: [Object: null prototype] { z: 1 }, c: Uint8Array(2) [ 1, 2 ], d: Error {} }";
        assert_eq!(tree(text).unwrap(), serde_json::json!({"a": {"x": 1, "2": {"y": ["p", "q"]}}, "b": {"z": 1}, "c": [1, 2], "d": {}}));
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "{",
            "{ a: 'cut",
            "{ a 1 }",
            "{ a: 1 } b",
            "",
            "{ a: [ 1 2 ] }",
            "{ a: '\\x' }",
            &"[ ".repeat(100_000),
            &"{ a: ".repeat(100_000),
        ] {
            assert_eq!(tree(text), None, "{:?}", text.get(..20.min(text.len())));
        }
    }

    /// The text that Node.js 20 displays for a span of the console exporter of `@opentelemetry/sdk-trace-base` 2.
    #[test]
    fn a_span_of_the_console_exporter_is_read() {
        let span = tree("{\n  resource: { attributes: { 'service.name': 'acme' } },\n  parentSpanContext: undefined,\n  duration: 483227.558,\n  events: [\n    {\n      name: 'exception',\n      attributes: [Object],\n      time: [ 1795706376, 163000000 ],\n      droppedAttributesCount: 0\n    }\n  ],\n  links: []\n}").unwrap();
        assert_eq!((&span["parentSpanContext"], &span["duration"]), (&serde_json::Value::Null, &serde_json::json!(483_227.558)));
        assert_eq!(
            (&span["events"][0]["time"][1], &span["events"][0]["attributes"]),
            (&serde_json::json!(163_000_000), &serde_json::json!("[Object]"))
        );
    }
}
