//! Searches for many expressions in one text.
//!
//! One automaton finds the literals with which matches can begin, and an expression is tried only where one of its literals was found. One
//! automaton over all expressions (`RegexSet`) took a hundred times as long here, because several expressions have gaps such as `.{0,60}`,
//! whose combinations need too many states.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};
use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::literal::Extractor;

use super::super::text::expression_problem;

/// Compiled expressions. They ignore case, and `^` and `$` match at line ends.
#[derive(Debug)]
pub(super) struct PatternSet {
    expressions: Vec<Regex>,
    literals: AhoCorasick,
    /// By literal: the expressions that can begin with it.
    expressions_by_literal: Vec<Vec<usize>>,
    /// Expressions without a known first literal.
    without_literal: Vec<usize>,
}

/// Shorter literals occur in nearly every text and save nothing.
const LITERAL_BYTES_MIN: usize = 2;

/// Size of one compiled expression. Enough for hand-written ones, and a limit for accidents such as `(.{1000}){1000}`.
const EXPRESSION_BYTES_MAX: usize = 4 * 1024 * 1024;

impl PatternSet {
    /// Compiles expressions.
    ///
    /// # Errors
    /// `(index, reason)` of the first invalid expression.
    pub(super) fn compile<'e>(expressions: impl IntoIterator<Item = &'e str>) -> Result<Self, (usize, String)> {
        let mut this = Self {
            expressions: Vec::new(),
            literals: automaton(&[]).map_err(|reason| (0, reason))?,
            expressions_by_literal: Vec::new(),
            without_literal: Vec::new(),
        };
        let mut literals: Vec<Vec<u8>> = Vec::new();
        for (index, text) in expressions.into_iter().enumerate() {
            let invalid = |message: String| (index, format!("invalid expression '{text}': {}", expression_problem(&message)));
            let syntax = syntax::Config::new().case_insensitive(true).multi_line(true);
            let expression = Regex::builder()
                .syntax(syntax)
                .configure(Config::new().nfa_size_limit(Some(EXPRESSION_BYTES_MAX)))
                .build(text)
                .map_err(|error| invalid(error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string)))?;
            this.expressions.push(expression);
            match first_literals(text) {
                Some(first_literals) => {
                    for literal in first_literals {
                        let known = literals.iter().position(|known| *known == literal).unwrap_or(literals.len());
                        if known == literals.len() {
                            literals.push(literal);
                            this.expressions_by_literal.push(Vec::new());
                        }
                        if let Some(expressions) = this.expressions_by_literal.get_mut(known) {
                            expressions.push(index);
                        }
                    }
                }
                None => this.without_literal.push(index),
            }
        }
        this.literals = automaton(&literals).map_err(|reason| (0, reason))?;
        Ok(this)
    }

    /// Calls `found` for each wanted expression that matches in `text`, once per expression.
    pub(super) fn matches(&self, text: &str, wanted: impl Fn(usize) -> bool, mut found: impl FnMut(usize)) {
        let mut matched = vec![false; self.expressions.len()];
        for index in &self.without_literal {
            if wanted(*index) && self.expressions.get(*index).is_some_and(|expression| expression.is_match(text)) {
                found(*index);
            }
        }
        for literal in self.literals.find_overlapping_iter(text) {
            for index in self.expressions_by_literal.get(literal.pattern().as_usize()).into_iter().flatten() {
                let (Some(expression), Some(matched)) = (self.expressions.get(*index), matched.get_mut(*index)) else { continue };
                // Literals are bytes, so one may be found inside a multi-byte character.
                if *matched || !wanted(*index) || !text.is_char_boundary(literal.start()) {
                    continue;
                }
                // The match has to begin with the literal, so the rest of the text need not be searched.
                if expression.is_match(Input::new(text).range(literal.start()..).anchored(Anchored::Yes)) {
                    *matched = true;
                    found(*index);
                }
            }
        }
    }

    /// The first match of one expression.
    pub(super) fn find(&self, expression: usize, text: &str) -> Option<std::ops::Range<usize>> {
        Some(self.expressions.get(expression)?.find(text)?.range())
    }
}

/// Literals, in lower case, such that every match begins with one of them. `None` if there are none, or if they are too short or not ASCII.
fn first_literals(text: &str) -> Option<Vec<Vec<u8>>> {
    let tree = regex_syntax::ParserBuilder::new().multi_line(true).build().parse(text).ok()?;
    let found = Extractor::new().extract(&tree);
    let literals: Vec<Vec<u8>> = found.literals()?.iter().map(|literal| literal.as_bytes().to_ascii_lowercase()).collect();
    let all_selective = !literals.is_empty() && literals.iter().all(|literal| literal.len() >= LITERAL_BYTES_MIN && literal.is_ascii());
    all_selective.then_some(literals)
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
        let patterns = PatternSet::compile(EXPRESSIONS).unwrap();
        let mut found = Vec::new();
        patterns.matches(text, |_| true, |index| found.push(index));
        found.sort_unstable();
        found
    }

    proptest! {
        /// The literal automaton must not change the result.
        #[test]
        fn a_set_finds_what_each_expression_finds_alone(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("Lets ASSUME"), Just("no such file"), Just("nosuch file"), Just("Stalled"), Just("error: it was denied"),
                    Just("12 rows"), Just("source is outdated"), Just("éx"), Just("done"), Just("K"), Just("ſ"), Just("page")
                ], 0..8),
            separator in prop_oneof![Just(" "), Just("\n"), Just("")],
        ) {
            let text = words.join(separator);
            let alone: Vec<usize> = EXPRESSIONS
                .iter()
                .enumerate()
                .filter(|(_, expression)| {
                    regex::RegexBuilder::new(expression).case_insensitive(true).multi_line(true).build().unwrap().is_match(&text)
                })
                .map(|(index, _)| index)
                .collect();
            prop_assert_eq!(matches(&text), alone);
        }
    }
}
