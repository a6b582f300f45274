//! Finds credentials by their format (`rules/secrets.toml`), and judges whether a value looks like a secret, a password or a placeholder.

use std::ops::Range;
use std::sync::OnceLock;

use regex::Regex;
use serde::Deserialize;

use super::text::Text;

/// How far an expression is matched. Without this limit a hostile text could make a rule read the rest of the text again and again.
const SECRET_BYTES_MAX: usize = 8192;

/// How far the end of a block of lines is searched. The key file of a 16,384-bit RSA key has 13 KB.
const BLOCK_BYTES_MAX: usize = 32 * 1024;

/// The contents of `rules/secrets.toml`.
#[derive(Debug, Deserialize)]
pub(super) struct SecretTable {
    pub(super) secret: Vec<SecretEntry>,
}

/// One credential format with its samples.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretEntry {
    /// The issuer, shown by `--explain`.
    pub(super) name: String,
    pub(super) kind: String,
    /// Literals, one of which every value contains. The expression is matched from there.
    pub(super) prefixes: Vec<String>,
    /// For values that begin before the prefix: an expression for the text up to it.
    #[serde(default)]
    pub(super) before: Option<String>,
    pub(super) expression: String,
    /// For a block of lines whose first line matches `expression`: an expression for its end.
    #[serde(default)]
    pub(super) block_end: Option<String>,
    /// Whether the prefix must start a word.
    #[serde(default = "yes")]
    pub(super) word: bool,
    /// Whether the value must also look random, because ordinary text may have the same format.
    #[serde(default)]
    pub(super) random: bool,
    /// Text before the samples that is not part of the value.
    #[serde(default)]
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    pub(super) named: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    pub(super) examples: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    pub(super) counterexamples: Vec<String>,
}

fn yes() -> bool {
    true
}

/// A compiled entry.
#[derive(Debug)]
pub(super) struct SecretRule {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    prefixes: Vec<String>,
    before: Option<LazyRegex>,
    expression: LazyRegex,
    /// Whether only the group `value` of the expression is the credential.
    has_group: bool,
    block_end: Option<LazyRegex>,
    word: bool,
    random: bool,
}

/// An expression that is compiled when its literal first occurs, because most runs see credentials of few issuers.
#[derive(Debug)]
struct LazyRegex {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl LazyRegex {
    fn new(source: String) -> Self {
        Self { source, compiled: OnceLock::new() }
    }

    fn get(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| Regex::new(&self.source).ok()).as_ref()
    }
}

pub(super) fn table() -> Option<SecretTable> {
    toml::from_str(include_str!("rules/secrets.toml")).ok()
}

impl SecretRule {
    pub(super) fn new(entry: &SecretEntry) -> Self {
        Self {
            name: to_static(&entry.name),
            kind: to_static(&entry.kind),
            prefixes: entry.prefixes.clone(),
            before: entry.before.as_ref().map(|before| LazyRegex::new(format!(r"(?:{before})\z"))),
            expression: LazyRegex::new(format!(r"\A(?:{})", entry.expression)),
            has_group: entry.expression.contains("(?<value>"),
            block_end: entry.block_end.clone().map(LazyRegex::new),
            word: entry.word,
            random: entry.random,
        }
    }

    /// The credential whose prefix is at `start`, if any.
    pub(super) fn find(&self, text: Text<'_>, start: usize) -> Option<Range<usize>> {
        let rest = text.rest(start);
        if !self.prefixes.iter().any(|prefix| rest.starts_with(prefix.as_str())) {
            return None;
        }
        if self.word && !text.is_word_start(start) {
            return None;
        }
        let from = match &self.before {
            Some(before) => {
                let mut left = start.saturating_sub(80);
                while !text.0.is_char_boundary(left) {
                    left += 1;
                }
                let found = before.get()?.find(text.slice(left..start))?;
                let from = left + found.start();
                text.is_word_start(from).then_some(from)?
            }
            None => start,
        };
        let window = text.window(start, SECRET_BYTES_MAX);
        if let Some(block_end) = &self.block_end {
            let first_line = self.value(window)?;
            return Some(from..Self::end_of_block(text, start + first_line.end, block_end.get()?));
        }
        if let Some(found) = self.value(window) {
            let range = if found.start == 0 { from..start + found.end } else { start + found.start..start + found.end };
            if self.random && !looks_random(text.slice(range.clone())) {
                return None;
            }
            let is_cut = found.end == window.len();
            return Some(if is_cut { range.start..end_of_word_run(text, range.end) } else { range });
        }
        let joined = JoinedLines::new(window)?;
        let found = self.value(&joined.text)?;
        let range = joined.to_window(&found);
        Some(if found.start == 0 { from..start + range.end } else { start + range.start..start + range.end })
    }

    /// The end of a block whose first line ends at `from`: after its last line or, if that is missing, after the last byte that a key file may
    /// contain.
    fn end_of_block(text: Text<'_>, from: usize, block_end: &Regex) -> usize {
        match block_end.find(text.window(from, BLOCK_BYTES_MAX)) {
            Some(found) => from + found.end(),
            None => text.skip_while(from, usize::MAX, |byte| {
                byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=\\:,.-".contains(&byte)
            }),
        }
    }

    /// The match of the expression at the start of `window`: its group `value` or, without such a group, the whole match.
    fn value(&self, window: &str) -> Option<Range<usize>> {
        if !self.has_group {
            return self.expression.get()?.find(window).map(|found| found.range());
        }
        let captures = self.expression.get()?.captures(window)?;
        captures.name("value").or_else(|| captures.get(0)).map(|found| found.range())
    }
}

/// The end of the run of non-separator bytes at `from`: the rest of a value that is longer than the limit up to which it was matched.
pub(super) fn end_of_word_run(text: Text<'_>, from: usize) -> usize {
    text.skip_while(from, usize::MAX, |byte| !byte.is_ascii_whitespace() && !b"\"'<>,;|`".contains(&byte))
}

/// The part of a value that is sufficient to judge what it is.
pub(super) fn beginning(value: &str) -> &str {
    const JUDGED_BYTES_MAX: usize = 512;
    value.get(..value.floor_char_boundary(JUDGED_BYTES_MAX)).unwrap_or(value)
}

/// Leaks a string of a rule table. The tables are compiled once per process.
pub(super) fn to_static(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// Length of the first line of a wrapped value.
const LINE_BYTES_MAX: usize = 512;
/// Number of continuation lines of a wrapped value.
const LINES_MAX: usize = 128;
/// Length of a continuation line that another line may follow.
const PART_BYTES_MIN: usize = 12;

/// A value that was wrapped over several lines, joined again.
#[derive(Debug)]
pub(super) struct JoinedLines {
    pub(super) text: String,
    /// For each line, its start in the joined text and in the window.
    lines: Vec<(usize, usize)>,
}

impl JoinedLines {
    /// Joins the first word of `window` with the lines that continue it; `None` if it is not wrapped.
    pub(super) fn new(window: &str) -> Option<Self> {
        // Values are wrapped at the width of a terminal or an email, so the first line is short.
        let head = window.as_bytes().get(..window.len().min(LINE_BYTES_MAX))?;
        memchr::memchr(b'\n', head)?;
        let mut lines = window.split_inclusive('\n');
        let first = lines.next()?;
        let content = |line: &str| -> (usize, usize) {
            let body = line.trim_end_matches(['\n', '\r']).trim_end();
            let body = body.strip_suffix(['\\', '=']).unwrap_or(body);
            let start = body.len() - body.trim_start_matches([' ', '\t', '>', '|', '#']).len();
            (start, body.len())
        };
        let (_, first_end) = content(first);
        if first_end == first.len() || first.get(..first_end)?.contains(char::is_whitespace) {
            return None;
        }
        let mut joined = Self { text: first.get(..first_end)?.to_owned(), lines: vec![(0, 0)] };
        let mut at = first.len();
        let mut longest = first_end;
        for line in lines.take(LINES_MAX) {
            let (start, end) = content(line);
            let part = line.get(start..end)?;
            let body = part.trim_end_matches('=');
            let is_part = !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/_.~-".contains(&byte));
            // `MAX_RETRIES`, `connection`: a word, so this line does not continue the value.
            let is_word = body.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
                || (body.len() < 12 && body.bytes().all(|byte| byte.is_ascii_lowercase()));
            // Wrapped lines have the same length except for the last, which is shorter. A longer line is not part of the value.
            if !is_part || is_word || (joined.lines.len() > 1 && part.len() > longest) || (joined.lines.len() == 1 && part.len() > 120) {
                break;
            }
            joined.lines.push((joined.text.len(), at + start));
            joined.text.push_str(part);
            let is_last = part.len() < PART_BYTES_MIN || (joined.lines.len() > 2 && part.len() < longest);
            longest = part.len();
            at += line.len();
            if is_last || !line.ends_with('\n') {
                break;
            }
        }
        (joined.lines.len() > 1).then_some(joined)
    }

    /// Maps bytes of the joined text to bytes of the window.
    pub(super) fn to_window(&self, range: &Range<usize>) -> Range<usize> {
        let map = |at: usize| {
            let index = self.lines.partition_point(|(joined, _)| *joined <= at).saturating_sub(1);
            self.lines.get(index).map_or(at, |(joined, window)| window + (at - joined))
        };
        map(range.start)..map(range.end.saturating_sub(1)) + 1
    }
}

/// Whether a value is a placeholder for a secret: `${TOKEN}`, `<your-api-key>`, `os.environ[…]`, `********`.
pub(super) fn is_placeholder(value: &str) -> bool {
    const CODE: [&str; 14] = [
        "os.environ",
        "os.getenv",
        "getenv",
        "getpass",
        "process.env",
        "env.",
        "secrets.",
        "config.",
        "settings.",
        "self.",
        "params.",
        "Field(",
        "System.getenv",
        "vault:",
    ];
    const PLACEHOLDERS: [&str; 16] = [
        "your",
        "redacted",
        "placeholder",
        "changeme",
        "change-me",
        "change_me",
        "replace",
        "insert",
        "todo",
        "dummy",
        "hidden",
        "masked",
        "removed",
        "filtered",
        "omitted",
        "not_set",
    ];
    let value = beginning(value).trim();
    let bytes = value.as_bytes();
    let Some(first) = bytes.first() else { return true };
    if matches!(first, b'$' | b'<' | b'{' | b'[' | b'(' | b'%' | b'*')
        && !(bytes.len() >= 10 && looks_random(value.trim_matches(['$', '%', '*'])))
    {
        return true;
    }
    // At most two distinct characters, or an ellipsis: `xxxxxxxx`, `********`, `0000`, `sk-...`.
    let mut distinct = [false; 256];
    let mut count = 0;
    for byte in bytes.iter().take(64) {
        if let Some(seen) = distinct.get_mut(usize::from(*byte)) {
            count += usize::from(!*seen);
            *seen = true;
        }
    }
    if count <= 2
        || value.contains("...")
        || value.contains('…')
        || value.contains("***")
        || value.contains("xxxx")
        || value.contains("XXXX")
    {
        return true;
    }
    if CODE.iter().any(|code| value.starts_with(code)) {
        return true;
    }
    let lower = value.to_ascii_lowercase();
    if PLACEHOLDERS.iter().any(|word| lower.starts_with(word) || lower.trim_matches(['<', '[', '(', '>', ']', ')']).starts_with(word)) {
        return true;
    }
    // `get_secret()`, `keys["a"]`: a call or an index, which is code.
    (value.ends_with(')') && value.contains('(')) || (value.ends_with(']') && value.contains('['))
}

/// Whether a value looks like a generated secret: long, with several character classes, and not a word, path, date or number.
pub(super) fn looks_random(value: &str) -> bool {
    if !(16..=SECRET_BYTES_MAX).contains(&value.len()) {
        return false;
    }
    let value = beginning(value);
    let bytes = value.as_bytes();
    let (mut lower, mut upper, mut digits, mut other, mut changes, mut last) = (0, 0, 0, 0, 0, 0);
    let mut distinct = [false; 256];
    let mut count = 0;
    for byte in bytes.iter().take(256) {
        let class = match byte {
            b'a'..=b'z' => {
                lower += 1;
                1
            }
            b'A'..=b'Z' => {
                upper += 1;
                2
            }
            b'0'..=b'9' => {
                digits += 1;
                3
            }
            _ => {
                other += 1;
                4
            }
        };
        changes += usize::from(class != last);
        last = class;
        if let Some(seen) = distinct.get_mut(usize::from(*byte)) {
            count += usize::from(!*seen);
            *seen = true;
        }
    }
    let len = bytes.len().min(256);
    let is_number = digits + other == len;
    // Excludes repetition (`abababab12abababab`), numbers (`2026-11-23T09:08:46`), paths and expressions with much punctuation, and URLs.
    if count < 8 || is_number || other * 3 > len || value.contains("://") || value.contains(' ') {
        return false;
    }
    // Letters and digits, or upper and lower case that alternates often: `kQzRtYbNmWxPvLcJhGdS`, but not `ChatCompletionMessage`.
    let has_mixture = digits > 0 && lower + upper > 0;
    let has_case = lower > 2 && upper > 2;
    let is_cased = has_case && len >= 20 && changes * 4 >= len;
    if !has_mixture && !is_cased {
        return false;
    }
    // Excludes words and numbers with separators: `gpt-4o-mini-2024-07-18`, `claude-sonnet-4-5`. At least one part must be neither.
    let parts = value.split(['-', '_', '.', '/', ':']).filter(|part| !part.is_empty());
    let (mut words, mut all) = (0, 0);
    for part in parts {
        all += 1;
        let letters = part.bytes().filter(u8::is_ascii_alphabetic).count();
        let is_word = letters == part.len()
            && (part.len() < 14)
            && (part.bytes().skip(1).all(|byte| byte.is_ascii_lowercase()) || part.bytes().all(|byte| byte.is_ascii_uppercase()));
        words += usize::from(is_word || letters == 0 && part.len() <= 4);
    }
    words < all
}

/// Whether a value looks like a password chosen by a person: letters, and a digit or symbol that words do not have.
pub(super) fn looks_like_password(value: &str) -> bool {
    let bytes = value.as_bytes();
    if !(6..=128).contains(&bytes.len())
        || value.contains("://")
        || value.contains(char::is_whitespace)
        || value.starts_with(['/', '.', '-', '(', '[', '{', '<', '$', '@', '#'])
    {
        return false;
    }
    let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let symbols = bytes.iter().filter(|byte| b"!@#$%^&*+=~?".contains(byte)).count();
    let inner_upper = bytes.windows(2).any(|pair| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()));
    // `hunter2`, `p@ssword`, `walnutHarbor`, but not `hunter`.
    letters >= 2 && (digits >= 1 || symbols >= 1 || (inner_upper && bytes.len() >= 10)) && !is_identifier_like(value)
}

/// Whether a value is a call, a path, a file, a host or a version: `reset_password(4)`, `src/main2`, `db-01.internal`, `v1.2.3`.
fn is_identifier_like(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    value.contains('(')
        || (value.contains('/') && !looks_random(value))
        || [".py", ".js", ".ts", ".json", ".internal", ".local", ".com", ".net", ".org", ".io", ".md", ".txt"]
            .iter()
            .any(|end| lower.ends_with(end))
        || (lower.starts_with('v') && lower.bytes().skip(1).all(|byte| byte.is_ascii_digit() || byte == b'.'))
}
