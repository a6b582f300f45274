//! Secrets with a known prefix, from the table `rules/secrets.toml`: one automaton finds the prefixes, and each rule's expression is
//! matched only there.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::Regex;
use serde::Deserialize;

use super::detect::{Hit, starts_word};

/// How far a rule's expression may look from its prefix on: a private key block of 4096 bits has 3.2 KB.
const SECRET_BYTES_MAX: usize = 8 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    secret: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: String,
    prefixes: Vec<String>,
    /// Of the whole secret, prefix included. A group named `value` is the secret, where the prefix is its name.
    expression: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    examples: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    counterexamples: Vec<String>,
    /// What stands before the examples in a text, where the prefix is the name of the secret.
    #[serde(default)]
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    named: String,
}

struct Rules {
    automaton: AhoCorasick,
    /// `(prefix, kind, expression)`
    rules: Vec<(String, &'static str, Regex)>,
}

static RULES: LazyLock<Option<Rules>> = LazyLock::new(|| compile(&table()?));

fn table() -> Option<Table> {
    toml::from_str(include_str!("rules/secrets.toml")).ok()
}

fn compile(table: &Table) -> Option<Rules> {
    let mut rules = Vec::new();
    for entry in &table.secret {
        let expression = Regex::new(&format!(r"\A(?:{})", entry.expression)).ok()?;
        let kind: &'static str = Box::leak(entry.kind.clone().into_boxed_str());
        rules.extend(entry.prefixes.iter().map(|prefix| (prefix.clone(), kind, expression.clone())));
    }
    let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(rules.iter().map(|(prefix, ..)| prefix)).ok()?;
    Some(Rules { automaton, rules })
}

/// Adds every hit in `text`.
pub(super) fn find(text: &str, hits: &mut Vec<Hit>) {
    let Some(Rules { automaton, rules }) = RULES.as_ref() else { return };
    for anchor in automaton.find_iter(text) {
        let start = anchor.start();
        if !starts_word(text.as_bytes(), start) {
            continue;
        }
        let mut end = text.len().min(start + SECRET_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let Some(window) = text.get(start..end) else { continue };
        let matching = rules.iter().filter(|(prefix, ..)| window.starts_with(prefix.as_str()));
        let found = matching.filter_map(|(_, kind, expression)| Some((secret(expression, window)?, *kind)));
        if let Some((found, kind)) = found.max_by_key(|(found, _)| found.end) {
            hits.push(Hit { range: start + found.start..start + found.end, kind });
        }
    }
}

/// What an expression finds at the start of `window`: its group `value`, or all of it.
fn secret(expression: &Regex, window: &str) -> Option<Range<usize>> {
    let captures = expression.captures(window)?;
    captures.name("value").or_else(|| captures.get(0)).map(|found| found.range())
}

#[cfg(test)]
mod tests {
    use super::super::detect::check;
    use super::*;

    #[test]
    fn every_rule_finds_its_examples_and_leaves_its_counterexamples() {
        assert!(RULES.is_some(), "rules/secrets.toml does not compile");
        for entry in table().unwrap().secret {
            // A value in two parts, so that no scanner takes this repository for a leak.
            let join = |texts: &[String]| texts.iter().map(|text| text.replace('␣', "")).collect::<Vec<_>>();
            let (examples, counterexamples) = (join(&entry.examples), join(&entry.counterexamples));
            assert!(!examples.is_empty() && !counterexamples.is_empty(), "{} has no samples", entry.kind);
            if !entry.named.is_empty() {
                for example in &examples {
                    let text = format!("env: {}{example} and more", entry.named);
                    let found = super::super::detect::find(&text);
                    let is_it = |hit: &Hit| hit.kind == entry.kind && text.get(hit.range.clone()) == Some(example.as_str());
                    assert!(found.iter().any(is_it), "{text}");
                }
                check(&entry.kind, &[], &counterexamples.iter().map(String::as_str).collect::<Vec<_>>());
                continue;
            }
            check(
                &entry.kind,
                &examples.iter().map(String::as_str).collect::<Vec<_>>(),
                &counterexamples.iter().map(String::as_str).collect::<Vec<_>>(),
            );
        }
    }
}
