//! The compact table of credential formats (`rules/formats.toml`): a prefix that only one issuer uses, and an expression for the rest.

use serde::Deserialize;

use super::secrets::SecretEntry;

/// Shorter prefixes also occur in other cases with another meaning: `Sat.` and `sat.`.
const ANY_CASE_BYTES_MIN: usize = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormatTable {
    formats: Vec<Format>,
}

/// One line of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    issuer: String,
    #[serde(default = "api_key")]
    kind: String,
    prefixes: Vec<String>,
    /// An expression for the part of the value before the prefix.
    #[serde(default)]
    before: Option<String>,
    /// Whether the prefix must stand in a URL.
    #[serde(default)]
    url: bool,
    tail: String,
}

fn api_key() -> String {
    "api_key".to_owned()
}

fn table() -> Option<FormatTable> {
    toml::from_str(include_str!("rules/formats.toml")).ok()
}

/// The formats as entries like those of `rules/secrets.toml`.
pub(super) fn entries() -> Option<Vec<SecretEntry>> {
    Some(table()?.formats.into_iter().map(Format::into_entry).collect())
}

impl Format {
    fn into_entry(self) -> SecretEntry {
        let any_case = self.prefixes.iter().all(|prefix| prefix.len() >= ANY_CASE_BYTES_MIN);
        let mut prefixes: Vec<String> = self.prefixes.iter().map(|prefix| regex::escape(prefix)).collect();
        prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        let flag = if any_case { "i" } else { "" };
        let begins_word =
            self.before.is_none() && self.prefixes.iter().all(|prefix| prefix.starts_with(|c: char| c.is_ascii_alphanumeric()));
        // Enough of the text before for the scheme and the host.
        let before = if self.url { Some(r#"https?://[^\s"'<>]{0,70}"#.to_owned()) } else { self.before };
        SecretEntry {
            name: self.issuer,
            kind: self.kind,
            expression: format!("(?{flag}:{}){}", prefixes.join("|"), self.tail),
            prefixes: self.prefixes,
            before,
            block_end: None,
            word: begins_word,
            random: true,
            any_case,
            whole: true,
            named: String::new(),
            examples: Vec::new(),
            counterexamples: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, scan};
    use super::*;

    /// Makes values of the simple expressions of the table: literals, classes, groups with alternatives, and counts.
    struct Maker<'e> {
        rest: &'e str,
        state: u64,
    }

    impl Maker<'_> {
        fn next(&mut self, below: usize) -> usize {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.state >> 33).unwrap() % below
        }

        fn take(&mut self) -> char {
            let c = self.rest.chars().next().unwrap();
            self.rest = self.rest.get(c.len_utf8()..).unwrap();
            c
        }

        /// The characters of a class whose `[` was read.
        fn class(&mut self) -> Vec<char> {
            let negated = self.rest.starts_with('^');
            if negated {
                let end = self.rest.find(']').unwrap();
                self.rest = self.rest.get(end + 1..).unwrap();
                return "abcdefgh0123".chars().collect();
            }
            let mut all = Vec::new();
            loop {
                let c = match self.take() {
                    ']' => return all,
                    '\\' => self.take(),
                    c => c,
                };
                if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                    self.take();
                    let last = self.take();
                    all.extend(c..=last);
                } else {
                    all.push(c);
                }
            }
        }

        /// The least and the greatest count after an atom; an open end is a few more than the least.
        fn counts(&mut self) -> (usize, usize) {
            if self.rest.starts_with('?') {
                self.take();
                return (0, 1);
            }
            let Some(inner) = self.rest.strip_prefix('{') else { return (1, 1) };
            let (counts, rest) = inner.split_once('}').unwrap();
            self.rest = rest.strip_prefix('?').unwrap_or(rest);
            let (low, high) = counts.split_once(',').unwrap_or((counts, counts));
            let low: usize = low.parse().unwrap();
            (low, high.parse().unwrap_or(low + 6).min(low + 6))
        }

        /// A value of the alternatives up to the end of the expression or of its group.
        fn make(&mut self) -> String {
            let mut alternatives = vec![String::new()];
            while !self.rest.is_empty() {
                let before = self.rest;
                let c = self.take();
                let mut atom: Box<dyn FnMut(&mut Self) -> String> = match c {
                    ')' => break,
                    '|' => {
                        alternatives.push(String::new());
                        continue;
                    }
                    '(' => {
                        let start = if self.rest.starts_with("?:") { 2 } else { self.rest.find('>').unwrap() + 1 };
                        self.rest = self.rest.get(start..).unwrap();
                        let value = self.make();
                        Box::new(move |_| value.clone())
                    }
                    '[' => {
                        let class = self.class();
                        Box::new(move |maker| class[maker.next(class.len())].to_string())
                    }
                    '\\' => {
                        let escaped = self.take();
                        Box::new(move |_| escaped.to_string())
                    }
                    c => Box::new(move |_| c.to_string()),
                };
                assert!(before.len() > self.rest.len());
                let (low, high) = self.counts();
                let count = low + self.next(high - low + 1);
                let made: String = (0..count).map(|_| atom(self)).collect();
                alternatives.last_mut().unwrap().push_str(&made);
            }
            let index = self.next(alternatives.len());
            alternatives.swap_remove(index)
        }
    }

    fn value_of(expression: &str, seed: u64) -> String {
        Maker { rest: expression, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) }.make()
    }

    #[test]
    fn values_of_every_format_are_found_and_no_words_or_masks_with_its_prefix() {
        let mut complaints = Vec::new();
        for format in table().unwrap().formats {
            for (seed, prefix) in format.prefixes.iter().enumerate() {
                let seed = u64::try_from(seed).unwrap() + 7;
                let host = if format.url { "https://api.example.com/x/" } else { "" };
                let before = format.before.as_deref().map_or_else(|| host.to_owned(), |before| value_of(before, seed));
                let tail = value_of(&format.tail, seed + 1);
                let value = format!("{before}{prefix}{tail}");
                for text in [value.clone(), format!("see {value} and more"), format!("{{\"k\": \"{value}\"}}"), format!("X={value}\n")] {
                    let found = scan(&text, &CustomDetectors::default());
                    if !found.iter().any(|found| found.value.contains(&tail) || value.contains(&found.value) && found.value.len() >= 12) {
                        complaints.push(format!("{} is not found in {text:?}: {found:?}", format.issuer));
                    }
                }
                let masked: String = tail.chars().map(|c| if c.is_ascii_alphanumeric() { 'x' } else { c }).collect();
                for text in
                    [prefix.clone(), format!("{prefix}short"), format!("{prefix}YOUR_TOKEN_HERE"), format!("{before}{prefix}{masked}")]
                {
                    let is_harmless = before.is_empty() || !text.starts_with(&before);
                    let found = scan(&text, &CustomDetectors::default());
                    if is_harmless && found.iter().any(|found| found.detector == format.issuer) {
                        complaints.push(format!("{} is wrongly found in {text:?}: {found:?}", format.issuer));
                    }
                }
            }
        }
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    #[test]
    fn a_prefix_is_matched_in_any_case_and_a_longer_word_is_not_a_value() {
        let found = |text: &str| !scan(text, &CustomDetectors::default()).is_empty();
        assert!(found("see nrak-q2gwvpjumdw8i86gy9j64luz6mr"));
        assert!(!found(&format!("see da2-q2gwvpjumdw8i86gy9j64luz6m{}", "abcdefgh".repeat(4))));
        assert!(!found("rootly_incident_management_for_the_platform_team_of_the_company_2026"));
    }
}
