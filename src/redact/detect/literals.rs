//! Searches a text for the literals of all rules in one pass: prefixes of credentials, labels, and home directories.
//!
//! Nearly all literals start a word or a part of an identifier. At such positions a table over the first three bytes excludes most words.
//! The few literals that may start anywhere are found by an Aho-Corasick automaton. Whether a rule applies is decided by the caller.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use foldhash::fast::FixedState;

use super::labels::{self, ValueType};
use super::secrets::{self, SecretRule, to_static};
use super::shapes;
use super::text::ByteClass;

/// The rule that a literal belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RuleRef {
    /// A credential format, by its index in [`Literals::secrets`].
    Secret(usize),
    /// A label, by its index in [`Literals::labels`].
    Label(usize),
    /// The parent of home directories, such as `/home/`.
    HomeDirectory,
}

/// How a scan continues after a literal was visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanControl {
    /// Try the other rules and shorter literals at the same position.
    NextRule,
    /// Continue after the literal.
    SkipLiteral,
    /// End the scan.
    Stop,
}

impl ScanControl {
    /// Skips a literal that was consumed.
    pub(super) fn skip_if(consumed: bool) -> Self {
        if consumed { Self::SkipLiteral } else { Self::NextRule }
    }
}

/// A label entry without its words.
#[derive(Debug, Clone, Copy)]
pub(super) struct LabelRule {
    pub(super) kind: &'static str,
    pub(super) value_type: ValueType,
}

/// The literals of all rules, and the rules.
#[derive(Debug)]
pub(super) struct Literals {
    /// Whether any literal starts with three bytes of this hash: a filter before the lookup in `by_start`.
    start_filter: Vec<bool>,
    /// Literals by their first three bytes in lower case, longest first.
    by_start: HashMap<u32, Vec<WordLiteral>, FixedState>,
    /// Literals that may occur anywhere, including inside a word.
    anywhere: Automaton,
    pub(super) secrets: Vec<SecretRule>,
    pub(super) labels: Vec<LabelRule>,
}

#[derive(Debug)]
struct Automaton {
    automaton: AhoCorasick,
    /// For each literal, the rules of all literals that are a prefix of it with their length, longest first.
    rules: Vec<Vec<(RuleRef, usize)>>,
}

/// A literal that starts a word or a part of an identifier.
#[derive(Debug)]
struct WordLiteral {
    text: String,
    rules: Vec<RuleRef>,
    /// Its first eight bytes in lower case, and a mask of those that it has: excludes most candidates in one comparison.
    head: u64,
    mask: u64,
}

impl WordLiteral {
    fn new(text: String, rules: Vec<RuleRef>) -> Self {
        let mask = if text.len() >= 8 { u64::MAX } else { (1 << (8 * text.len())) - 1 };
        let head = head_of(text.as_bytes()) & mask;
        Self { text, rules, head, mask }
    }

    fn is_at(&self, bytes: &[u8], head: u64) -> bool {
        (head & self.mask) == self.head
            && bytes.get(..self.text.len()).is_some_and(|shown| shown.eq_ignore_ascii_case(self.text.as_bytes()))
    }
}

/// Up to eight bytes as a number, each with the lower-case bit (0x20) set.
fn head_of(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    for (to, from) in eight.iter_mut().zip(bytes) {
        *to = *from | 0x20;
    }
    u64::from_le_bytes(eight)
}

const START_BITS: u32 = 15;

static LITERALS: LazyLock<Option<Literals>> = LazyLock::new(compile);

/// The compiled rule tables; `None` only if an embedded table is malformed, which a test excludes.
pub(super) fn literals() -> Option<&'static Literals> {
    LITERALS.as_ref()
}

fn compile() -> Option<Literals> {
    let secret_table = secrets::table()?;
    let label_table = labels::table()?;
    let (mut by_text, mut anywhere): (BTreeMap<String, Vec<RuleRef>>, BTreeMap<String, Vec<RuleRef>>) = Default::default();
    for (index, entry) in secret_table.secret.iter().enumerate() {
        for prefix in &entry.prefixes {
            if entry.word && begins_word(prefix) {
                by_text.entry(prefix.to_ascii_lowercase()).or_default().push(RuleRef::Secret(index));
            } else {
                anywhere.entry(prefix.clone()).or_default().push(RuleRef::Secret(index));
            }
        }
    }
    for (index, entry) in label_table.label.iter().enumerate() {
        for text in entry.words.iter().flat_map(|words| labels::spellings(words)) {
            // Matching ignores the case of ASCII letters only, so `şifre` also needs the spelling `Şifre`.
            let capital: String = text.chars().take(1).flat_map(char::to_uppercase).chain(text.chars().skip(1)).collect();
            for text in [text.to_ascii_lowercase(), capital.to_ascii_lowercase()] {
                let rules = by_text.entry(text).or_default();
                if !rules.contains(&RuleRef::Label(index)) {
                    rules.push(RuleRef::Label(index));
                }
            }
        }
    }
    for home in shapes::HOME_DIRECTORIES {
        anywhere.entry(home.to_owned()).or_default().push(RuleRef::HomeDirectory);
    }
    let mut start_filter = vec![false; 1 << START_BITS];
    let mut by_start: HashMap<u32, Vec<WordLiteral>, FixedState> = HashMap::default();
    let anywhere: Vec<_> = anywhere.into_iter().collect();
    for (text, rules) in by_text {
        let start = start_of(text.as_bytes())?;
        *start_filter.get_mut(hash(start))? = true;
        by_start.entry(start).or_default().push(WordLiteral::new(text, rules));
    }
    for literals in by_start.values_mut() {
        literals.sort_by_key(|literal| std::cmp::Reverse(literal.text.len()));
    }
    Some(Literals {
        start_filter,
        by_start,
        anywhere: Automaton::new(&anywhere)?,
        secrets: secret_table.secret.iter().map(SecretRule::new).collect(),
        labels: label_table.label.iter().map(|entry| LabelRule { kind: to_static(&entry.kind), value_type: entry.value }).collect(),
    })
}

/// Whether a literal can be found at word starts: it begins with a letter or digit and has the three bytes that the table needs.
fn begins_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.len() >= 3
}

/// The first three bytes in lower case as a number.
#[inline]
fn start_of(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [a, b, c, ..] => {
            Some(u32::from(a.to_ascii_lowercase()) | u32::from(b.to_ascii_lowercase()) << 8 | u32::from(c.to_ascii_lowercase()) << 16)
        }
        _ => None,
    }
}

fn hash(start: u32) -> usize {
    (start.wrapping_mul(0x9e37_79b1) >> (32 - START_BITS)) as usize
}

impl Automaton {
    fn new(literals: &[(String, Vec<RuleRef>)]) -> Option<Self> {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::DFA))
            .build(literals.iter().map(|(text, _)| text))
            .ok()?;
        let rules = literals
            .iter()
            .map(|(text, _)| {
                let mut shorter: Vec<_> = literals.iter().filter(|(other, _)| text.starts_with(other.as_str())).collect();
                shorter.sort_by_key(|(other, _)| std::cmp::Reverse(other.len()));
                shorter.into_iter().flat_map(|(other, rules)| rules.iter().map(|rule| (*rule, other.len()))).collect()
            })
            .collect();
        Some(Self { automaton, rules })
    }

    fn scan(&self, text: &str, visit: &mut dyn FnMut(Range<usize>, RuleRef) -> ScanControl) -> ScanControl {
        for literal in self.automaton.find_iter(text) {
            for (rule, len) in self.rules.get(literal.pattern().as_usize()).into_iter().flatten() {
                match visit(literal.start()..literal.start() + len, *rule) {
                    ScanControl::NextRule => {}
                    ScanControl::SkipLiteral => break,
                    ScanControl::Stop => return ScanControl::Stop,
                }
            }
        }
        ScanControl::SkipLiteral
    }
}

impl Literals {
    /// Calls `visit` with every literal and each of its rules, the longest literal at a position first. `visit` decides how to continue.
    pub(super) fn scan(&self, text: &str, visit: &mut dyn FnMut(Range<usize>, RuleRef) -> ScanControl) {
        if self.anywhere.scan(text, visit) == ScanControl::Stop {
            return;
        }
        let bytes = text.as_bytes();
        let (mut before, mut skip_until) = (ByteClass::Other, 0);
        for (at, byte) in bytes.iter().enumerate() {
            let class = ByteClass::of(*byte);
            let starts = (STARTS.get(before as usize).copied().unwrap_or(0) >> class as u8) & 1 == 1;
            before = class;
            if !starts || at < skip_until {
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(start) = start_of(rest) else { break };
            if self.start_filter.get(hash(start)) != Some(&true) {
                continue;
            }
            let Some(literals) = self.by_start.get(&start) else { continue };
            let head = head_of(rest);
            'literals: for literal in literals.iter().filter(|literal| literal.is_at(rest, head)) {
                for rule in &literal.rules {
                    match visit(at..at + literal.text.len(), *rule) {
                        ScanControl::NextRule => {}
                        ScanControl::SkipLiteral => {
                            // `date of birth` is one label; `birth` inside it is not another one.
                            skip_until = at + literal.text.len();
                            break 'literals;
                        }
                        ScanControl::Stop => return,
                    }
                }
            }
        }
    }
}

/// For each byte class, a bit set of the classes that start a word or a part of an identifier after it: `n` in `user_name`, `N` in
/// `userName`.
const STARTS: [u8; 6] = {
    const fn bits(classes: &[ByteClass]) -> u8 {
        let (mut bits, mut index) = (0, 0);
        while index < classes.len() {
            #[expect(clippy::indexing_slicing, reason = "in the bounds of the loop, at compile time")]
            {
                bits |= 1 << classes[index] as u8;
            }
            index += 1;
        }
        bits
    }
    let any = bits(&[ByteClass::Digit, ByteClass::Lower, ByteClass::Upper, ByteClass::NonAscii, ByteClass::Cjk]);
    let within = bits(&[ByteClass::Cjk]);
    let after_lower = bits(&[ByteClass::Upper, ByteClass::Cjk]);
    // In the order of the variants of `ByteClass`.
    [any, within, after_lower, within, after_lower, any]
};
