//! Finds credentials by their format (`rules/secrets.toml` and `rules/formats.toml`).

use std::ops::Range;
use std::sync::OnceLock;

use regex::Regex;
use serde::Deserialize;

use super::formats;
use super::secret_values::is_sample;
pub(super) use super::secret_values::{
    is_digit_password, is_letter_password, is_long_number, is_mixed, is_passphrase, is_placeholder, is_punctuated_secret,
    is_symbolic_password, looks_like_password, looks_random,
};
use super::text::Text;

/// How far an expression is matched. Without this limit a hostile text could make a rule read the rest of the text again and again.
pub(super) const SECRET_BYTES_MAX: usize = 8192;

/// A text in the format of a credential that is as long and not a credential is not searched again.
const JUDGED_BYTES_MIN: usize = 512;

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
#[expect(clippy::struct_excessive_bools, reason = "independent properties of a format")]
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
    /// Whether the case of the letters of the prefix does not matter.
    #[serde(default)]
    pub(super) any_case: bool,
    /// Whether the value must not continue with a letter or digit after the match.
    #[serde(default)]
    pub(super) whole: bool,
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
#[expect(clippy::struct_excessive_bools, reason = "independent properties of a format")]
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
    any_case: bool,
    whole: bool,
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

/// The entries of both tables of formats.
pub(super) fn entries() -> Option<Vec<SecretEntry>> {
    // The first entry that matches a literal counts. The formats are wider, so that they find the whole value.
    let mut entries = formats::entries()?;
    entries.extend(table()?.secret);
    Some(entries)
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
            any_case: entry.any_case,
            whole: entry.whole,
        }
    }

    /// The credential whose prefix is at `start`, if any. Sets `judged` to the end of a long text in the right format that is not a credential, in
    /// which the caller need not search again: every prefix in it would be matched up to its end.
    pub(super) fn find(&self, text: Text<'_>, start: usize, judged: &mut usize) -> Option<Range<usize>> {
        let rest = text.rest(start);
        let is_prefix = |prefix: &&String| {
            let shown = rest.get(..prefix.len()).unwrap_or_default();
            if self.any_case { shown.eq_ignore_ascii_case(prefix) } else { shown == prefix.as_str() }
        };
        let prefix_len = self.prefixes.iter().find(is_prefix)?.len();
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
            let value = text.slice(range.clone());
            let continues = self.whole && text.byte_at(range.end).is_ascii_alphanumeric();
            if continues || (self.random && !looks_random(value)) || self.is_harmless(value, prefix_len) {
                if range.len() >= JUDGED_BYTES_MIN {
                    *judged = range.end;
                }
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

    /// Whether a value in the right format is a placeholder or a mask: `ghp_xxxxxxxx`, `mysql -p$PASSWORD`.
    fn is_harmless(&self, value: &str, prefix_len: usize) -> bool {
        if matches!(self.kind, "password" | "basic_auth") {
            return is_placeholder(value);
        }
        let starts_with_prefix = self.before.is_none() && !self.has_group;
        // `hf_requiredTypesForDisplayMetadata`: a name in code.
        let is_name = starts_with_prefix && prefix_len < 8 && value.get(prefix_len..).is_some_and(is_camel_case_name);
        is_name || is_sample(value) || (starts_with_prefix && value.get(prefix_len..).is_some_and(is_sample))
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

/// Whether a value is made of words in camel case and no digits.
fn is_camel_case_name(value: &str) -> bool {
    let capitals = value.bytes().filter(u8::is_ascii_uppercase).count();
    capitals >= 1 && value.bytes().all(|byte| byte.is_ascii_alphabetic()) && (capitals + 1) * 4 <= value.len()
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
