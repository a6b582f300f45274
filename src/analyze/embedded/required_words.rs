//! The words without which an expression cannot match.
//!
//! To look for a few words in a text costs less than to compile the expression, and most texts have none of them.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Words of which every match of an expression contains one.
#[derive(Debug)]
pub(super) enum RequiredWords {
    /// Not known, so the expression may match in any text.
    Unknown,
    OneOf(AhoCorasick),
}

/// More words, or longer ones, are not worth their search.
const WORDS_MAX: usize = 32;
const WORD_BYTES_MAX: usize = 24;
/// Almost every text contains a shorter one.
const WORD_BYTES_MIN: usize = 2;
/// The strings that a class of letters stands for: two for the cases of a letter.
const CLASS_STRINGS_MAX: usize = 4;

impl RequiredWords {
    /// The words of an expression with or without Unicode classes.
    pub(super) fn of(source: &str, unicode: bool) -> Self {
        let parsed = ParserBuilder::new().unicode(unicode).utf8(false).build().parse(source);
        let words = parsed.ok().and_then(|hir| Strings::of(&hir).into_required());
        let search = words.and_then(|words| {
            AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(AhoCorasickKind::ContiguousNFA)).build(words).ok()
        });
        search.map_or(Self::Unknown, Self::OneOf)
    }

    pub(super) fn may_occur_in(&self, text: &str) -> bool {
        match self {
            Self::Unknown => true,
            Self::OneOf(words) => words.is_match(text),
        }
    }
}

/// A set of lower-case strings.
type Set = Vec<Vec<u8>>;

/// What is known about the matches of a part of an expression, in ASCII lower case.
enum Strings {
    /// Every match is one of these.
    Exactly(Set),
    /// Every match contains one of these.
    OneOf(Set),
    Unknown,
}

impl Strings {
    fn of(hir: &Hir) -> Self {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::Exactly(vec![Vec::new()]),
            HirKind::Literal(literal) => Self::Exactly(vec![literal.0.to_ascii_lowercase()]),
            HirKind::Class(class) => letters_of(class).map_or(Self::Unknown, Self::Exactly),
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Repetition(repetition) => {
                let inner = Self::of(&repetition.sub);
                match (repetition.min, repetition.max, inner) {
                    (1, Some(1), inner) => inner,
                    (0, Some(1), Self::Exactly(set)) => Self::Exactly([set, vec![Vec::new()]].concat()),
                    (0, ..) => Self::Unknown,
                    (_, _, inner) => inner.into_required().map_or(Self::Unknown, Self::OneOf),
                }
            }
            HirKind::Concat(parts) => Self::of_sequence(parts),
            HirKind::Alternation(branches) => Self::of_alternatives(branches),
        }
    }

    /// Adjoining strings are joined; of the parts that cannot be joined the best one is taken.
    fn of_sequence(parts: &[Hir]) -> Self {
        let mut joined: Set = vec![Vec::new()];
        let mut best: Option<Set> = None;
        let mut is_exact = true;
        for part in parts {
            let part = Self::of(part);
            if let Self::Exactly(set) = &part
                && let Some(longer) = product(&joined, set)
            {
                joined = longer;
                continue;
            }
            is_exact = false;
            best = better(best, usable(std::mem::replace(&mut joined, vec![Vec::new()])));
            match part {
                // Too many to join: they begin the next string.
                Self::Exactly(set) => joined = set,
                other => best = better(best, other.into_required()),
            }
        }
        if is_exact {
            return Self::Exactly(joined);
        }
        better(best, usable(joined)).map_or(Self::Unknown, Self::OneOf)
    }

    fn of_alternatives(branches: &[Hir]) -> Self {
        let branches: Vec<Self> = branches.iter().map(Self::of).collect();
        if branches.iter().all(|branch| matches!(branch, Self::Exactly(_))) {
            let sets = branches.into_iter().flat_map(|branch| if let Self::Exactly(set) = branch { set } else { Vec::new() });
            return Self::Exactly(sets.collect());
        }
        let required: Option<Vec<Set>> = branches.into_iter().map(Self::into_required).collect();
        required.and_then(|sets| usable(sets.concat())).map_or(Self::Unknown, Self::OneOf)
    }

    fn into_required(self) -> Option<Set> {
        match self {
            Self::Exactly(set) => usable(set),
            Self::OneOf(set) => Some(set),
            Self::Unknown => None,
        }
    }
}

/// The letters of a class that has few, each once for both cases.
fn letters_of(class: &Class) -> Option<Set> {
    let class = match class {
        Class::Bytes(class) => class.clone(),
        Class::Unicode(class) => class.to_byte_class()?,
    };
    let letters = class.ranges().iter().flat_map(|range| range.start()..=range.end());
    let mut letters: Set = letters.take(2 * CLASS_STRINGS_MAX + 1).map(|letter| vec![letter.to_ascii_lowercase()]).collect();
    letters.sort();
    letters.dedup();
    (1..=CLASS_STRINGS_MAX).contains(&letters.len()).then_some(letters)
}

/// Each string of the first set followed by each of the second one.
fn product(first: &Set, second: &Set) -> Option<Set> {
    let longest = |set: &Set| set.iter().map(Vec::len).max().unwrap_or_default();
    let is_small = first.len() * second.len() <= WORDS_MAX && longest(first) + longest(second) <= WORD_BYTES_MAX;
    is_small.then(|| first.iter().flat_map(|start| second.iter().map(move |end| [start.as_slice(), end].concat())).collect())
}

/// The set, if it is worth a search.
fn usable(set: Set) -> Option<Set> {
    (!set.is_empty() && set.len() <= WORDS_MAX && shortest(&set) >= WORD_BYTES_MIN).then_some(set)
}

fn shortest(set: &Set) -> usize {
    set.iter().map(Vec::len).min().unwrap_or_default()
}

/// The set with the longer words, or else with fewer.
fn better(first: Option<Set>, second: Option<Set>) -> Option<Set> {
    let rank = |set: &Set| (shortest(set).min(8), usize::MAX - set.len());
    first.into_iter().chain(second).max_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        let hir = ParserBuilder::new().unicode(!source.is_ascii()).utf8(false).build().parse(source).unwrap();
        let mut words: Vec<String> =
            Strings::of(&hir).into_required().unwrap_or_default().into_iter().map(|word| String::from_utf8(word).unwrap()).collect();
        words.sort();
        words
    }

    #[test]
    fn words_are_those_without_which_nothing_matches() {
        assert_eq!(words(r"(?i)\brate limit(?:ed)?: ([0-9]+)"), ["rate limit: ", "rate limited: "]);
        assert_eq!(words(r"[0-9]+ (?:tokens|requests) per [a-z]+"), [" requests per ", " tokens per "]);
        assert_eq!(words(r"(?:quota|limit)[^\n]{0,80}exceeded"), ["exceeded"]);
        assert_eq!(words(r"(?:retry|wait)[ ,]{1,3}[0-9]+"), ["retry", "wait"]);
        assert_eq!(words(r"(?:limit: )+[0-9]"), ["limit: "]);
        assert_eq!(words(r"上限(?: is)?"), ["上限", "上限 is"]);
    }

    #[test]
    fn an_expression_without_such_words_may_match_anywhere() {
        for source in [r"[0-9]+", r"(?:limit)?[0-9]", r"(?:limit|[0-9]+)x", r"(?:limit){0,3}", r"", r"(?i)k"] {
            assert_eq!(words(source), Vec::<String>::new(), "{source}");
            assert!(RequiredWords::of(source, false).may_occur_in("5"));
        }
    }

    #[test]
    fn words_are_found_in_any_case() {
        let words = RequiredWords::of("(?i)retry-after: [0-9]+", false);
        assert!(words.may_occur_in("Retry-After: 5") && !words.may_occur_in("retry later"));
    }
}
