//! Many expressions over one text at once.
//!
//! One automaton finds the literals with which matches must begin, and an expression is tried only where one of its own stands. An
//! automaton over the expressions themselves (`RegexSet`) took a hundred times as long here: gaps such as `.{0,60}` in several of them
//! make states without number.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};
use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::literal::Extractor;

/// Expressions, ready to be looked for. Case is of no matter, `^` and `$` are ends of lines.
#[derive(Debug)]
pub(super) struct Finder {
    expressions: Vec<Regex>,
    literals: AhoCorasick,
    /// For each literal the expressions that can begin with it.
    begins: Vec<Vec<usize>>,
    /// Expressions that can begin with anything.
    anywhere: Vec<usize>,
}

/// Shorter literals stand everywhere and save nothing.
const LITERAL_BYTES_MIN: usize = 2;

/// Bytes of compiled expressions: generous for what people write, and a bound for what they do not.
const EXPRESSION_BYTES_MAX: usize = 4 * 1024 * 1024;

impl Finder {
    /// Compiles expressions.
    ///
    /// # Errors
    /// What is wrong with the first that cannot be compiled, and its place in the list.
    pub(super) fn of<'e>(expressions: impl IntoIterator<Item = &'e str>) -> Result<Self, (usize, String)> {
        let mut this = Self {
            expressions: Vec::new(),
            literals: automaton(&[]).map_err(|reason| (0, reason))?,
            begins: Vec::new(),
            anywhere: Vec::new(),
        };
        let mut literals: Vec<Vec<u8>> = Vec::new();
        for (index, text) in expressions.into_iter().enumerate() {
            let wrong = |reason: String| (index, format!("{text:?} is no expression: {reason}"));
            let syntax = syntax::Config::new().case_insensitive(true).multi_line(true);
            let expression = Regex::builder()
                .syntax(syntax)
                .configure(Config::new().nfa_size_limit(Some(EXPRESSION_BYTES_MAX)))
                .build(text)
                .map_err(|error| wrong(error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string)))?;
            this.expressions.push(expression);
            match beginnings(text) {
                Some(own) => {
                    for literal in own {
                        let known = literals.iter().position(|known| *known == literal).unwrap_or(literals.len());
                        if known == literals.len() {
                            literals.push(literal);
                            this.begins.push(Vec::new());
                        }
                        if let Some(begins) = this.begins.get_mut(known) {
                            begins.push(index);
                        }
                    }
                }
                None => this.anywhere.push(index),
            }
        }
        this.literals = automaton(&literals).map_err(|reason| (0, reason))?;
        Ok(this)
    }

    /// Calls `found` once for each wanted expression that matches anywhere in `text`.
    pub(super) fn matches(&self, text: &str, wanted: impl Fn(usize) -> bool, mut found: impl FnMut(usize)) {
        let mut seen = vec![false; self.expressions.len()];
        for index in &self.anywhere {
            if wanted(*index) && self.expressions.get(*index).is_some_and(|expression| expression.is_match(text)) {
                found(*index);
            }
        }
        for literal in self.literals.find_overlapping_iter(text) {
            for index in self.begins.get(literal.pattern().as_usize()).into_iter().flatten() {
                let (Some(expression), Some(seen)) = (self.expressions.get(*index), seen.get_mut(*index)) else { continue };
                if *seen || !wanted(*index) || !text.is_char_boundary(literal.start()) {
                    continue;
                }
                if expression.is_match(Input::new(text).range(literal.start()..).anchored(Anchored::Yes)) {
                    *seen = true;
                    found(*index);
                }
            }
        }
    }

    /// Where an expression matches first.
    pub(super) fn find(&self, expression: usize, text: &str) -> Option<std::ops::Range<usize>> {
        Some(self.expressions.get(expression)?.find(text)?.range())
    }
}

/// The literals with one of which every match begins, in lower case; nothing where there are none that save work.
fn beginnings(text: &str) -> Option<Vec<Vec<u8>>> {
    let tree = regex_syntax::ParserBuilder::new().multi_line(true).build().parse(text).ok()?;
    let found = Extractor::new().extract(&tree);
    let literals: Vec<Vec<u8>> = found.literals()?.iter().map(|literal| literal.as_bytes().to_ascii_lowercase()).collect();
    let all_save = !literals.is_empty() && literals.iter().all(|literal| literal.len() >= LITERAL_BYTES_MIN && literal.is_ascii());
    all_save.then_some(literals)
}

fn automaton(literals: &[Vec<u8>]) -> Result<AhoCorasick, String> {
    AhoCorasickBuilder::new()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .build(literals)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXPRESSIONS: [&str; 8] = [
        "let'?s assume",
        r"\bno such file\b",
        r"^stalled|replanning",
        r"\Aerror: .{0,20}(?:refused|denied)",
        r"[0-9]+ rows",
        "(?:source|page) .{0,10}outdated",
        "é?x",
        r"done\z",
    ];

    fn matches(text: &str) -> Vec<usize> {
        let finder = Finder::of(EXPRESSIONS).unwrap();
        let mut found = Vec::new();
        finder.matches(text, |_| true, |index| found.push(index));
        found.sort_unstable();
        found
    }

    proptest! {
        /// The automaton changes nothing but the time.
        #[test]
        fn what_is_found_is_what_the_expressions_match(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("Lets ASSUME"), Just("no such file"), Just("nosuch file"), Just("Stalled"), Just("error: it was denied"),
                    Just("12 rows"), Just("source is outdated"), Just("éx"), Just("done"), Just("K"), Just("ſ"), Just("page")
                ], 0..8),
            separator in prop_oneof![Just(" "), Just("\n"), Just("")],
        ) {
            let text = words.join(separator);
            let by_themselves: Vec<usize> = EXPRESSIONS
                .iter()
                .enumerate()
                .filter(|(_, expression)| {
                    regex::RegexBuilder::new(expression).case_insensitive(true).multi_line(true).build().unwrap().is_match(&text)
                })
                .map(|(index, _)| index)
                .collect();
            prop_assert_eq!(matches(&text), by_themselves);
        }
    }
}
