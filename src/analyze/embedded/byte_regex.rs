//! Expressions over texts that are compiled for bytes, and only if a text needs them.
//!
//! The many expressions of the facts are about names, numbers and English words. With Unicode classes each would need hundreds of kilobytes and
//! milliseconds to compile: `\w` has some 700 ranges, and in `.{0,80}` each dot is an automaton of its own. Here `\w`, `\d`, `\s`, `\b` and
//! case are those of ASCII, and any other character is matched by its bytes. A match never ends inside a character.
//!
//! Few of them match anything in one run. An expression is compiled when a text first contains one of the words without which it cannot match.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use regex::bytes::{self, RegexBuilder};

use super::required_words::RequiredWords;

/// An expression over the bytes of a text.
#[derive(Debug)]
pub(super) struct ByteRegex {
    source: Cow<'static, str>,
    words: OnceLock<RequiredWords>,
    /// `None` for an invalid expression, which the tests of its user rule out.
    compiled: OnceLock<Option<bytes::Regex>>,
}

impl From<String> for ByteRegex {
    fn from(source: String) -> Self {
        Self { source: Cow::Owned(source), words: OnceLock::new(), compiled: OnceLock::new() }
    }
}

/// A match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match<'t> {
    text: &'t str,
    start: usize,
    end: usize,
}

/// The groups of a match.
#[derive(Debug)]
pub(super) struct Captures<'t> {
    text: &'t str,
    groups: bytes::Captures<'t>,
}

impl ByteRegex {
    pub(super) const fn new(source: &'static str) -> Self {
        Self { source: Cow::Borrowed(source), words: OnceLock::new(), compiled: OnceLock::new() }
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.compiled_for(text).is_some_and(|regex| regex.is_match(text.as_bytes()))
    }

    /// The leftmost match.
    pub(super) fn find<'t>(&self, text: &'t str) -> Option<Match<'t>> {
        self.compiled_for(text)?.find(text.as_bytes()).map(|found| Match::new(text, found.range()))
    }

    /// The groups of the leftmost match.
    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.compiled_for(text)?.captures(text.as_bytes()).map(|groups| Captures { text, groups })
    }

    /// The groups of all matches that do not overlap.
    pub(super) fn captures_iter<'r, 't>(&'r self, text: &'t str) -> impl Iterator<Item = Captures<'t>> + use<'r, 't> {
        let matches = self.compiled_for(text).map(|regex| regex.captures_iter(text.as_bytes()));
        matches.into_iter().flatten().map(move |groups| Captures { text, groups })
    }

    /// The compiled expression, if it may match in this text.
    fn compiled_for(&self, text: &str) -> Option<&bytes::Regex> {
        #[cfg(test)]
        assert!(self.compiled().is_some(), "invalid expression: {}", self.source);
        // An expression with other letters than ASCII, such as quotation marks in a class, needs Unicode.
        let words = self.words.get_or_init(|| RequiredWords::of(&self.source, !self.source.is_ascii()));
        words.may_occur_in(text).then(|| self.compiled()).flatten()
    }

    fn compiled(&self) -> Option<&bytes::Regex> {
        /// Memory for the states of one expression, on each thread. There are hundreds of expressions, and the texts are short.
        const STATES_BYTES_MAX: usize = 1024 * 1024;
        let compile = || RegexBuilder::new(&self.source).unicode(!self.source.is_ascii()).dfa_size_limit(STATES_BYTES_MAX).build().ok();
        self.compiled.get_or_init(compile).as_ref()
    }
}

impl<'t> Match<'t> {
    /// A match by bytes may begin or end inside a character; then the character is left out.
    fn new(text: &'t str, range: Range<usize>) -> Self {
        let start = text.ceil_char_boundary(range.start);
        Self { text, start, end: text.floor_char_boundary(range.end).max(start) }
    }

    pub(super) fn as_str(&self) -> &'t str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn start(&self) -> usize {
        self.start
    }

    pub(super) fn end(&self) -> usize {
        self.end
    }
}

impl<'t> Captures<'t> {
    /// A group by its number; 0 is the whole match.
    pub(super) fn get(&self, group: usize) -> Option<Match<'t>> {
        self.groups.get(group).map(|found| Match::new(self.text, found.range()))
    }

    /// A group by its name.
    pub(super) fn name(&self, name: &str) -> Option<Match<'t>> {
        self.groups.name(name).map(|found| Match::new(self.text, found.range()))
    }

    /// All groups, the whole match first. A group that took no part in the match is `None`.
    pub(super) fn iter(&self) -> impl Iterator<Item = Option<Match<'t>>> + '_ {
        self.groups.iter().map(|found| found.map(|found| Match::new(self.text, found.range())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_texts_without_parts_of_characters() {
        let text = "limit: „größe“ 12 ümläut";
        let found = |source: &str| ByteRegex::from(source.to_owned()).captures(text).map(|groups| groups.get(1).unwrap().as_str());
        assert_eq!(found(r"limit: (.*?) \d"), Some("„größe“"));
        // The bound ends inside of a character, once at its end and once at its start.
        assert_eq!(found(r"(gr.{1,1})"), Some("gr"));
        assert_eq!(found(r"12 .(.*)"), Some("mläut"));
        assert_eq!(found(r"„([^“]+)“"), Some("größe"));
        assert_eq!(found(r"(\d+) (?-u:\b)"), None);
        let all: Vec<_> = ByteRegex::new(r"(?<word>[a-z]+)").captures_iter("ab cd").map(|groups| groups.name("word").unwrap()).collect();
        assert_eq!(all.iter().map(|word| (word.as_str(), word.start(), word.end())).collect::<Vec<_>>(), [("ab", 0, 2), ("cd", 3, 5)]);
    }

    #[test]
    fn an_invalid_expression_matches_nothing() {
        assert!(ByteRegex::new("(").compiled().is_none());
    }

    #[test]
    fn an_expression_finds_the_same_with_and_without_the_search_for_words() {
        for (source, text, is_found) in [
            (r"(?i)rate.?limit", "a RATE LIMIT of 5", true),
            (r"(?i)rate.?limit", "a rate of 5", false),
            (r"[0-9]+", "5", true),
            ("„([^“]+)“", "„größe“", true),
        ] {
            assert_eq!(ByteRegex::new(source).is_match(text), is_found, "{source}");
        }
    }
}
