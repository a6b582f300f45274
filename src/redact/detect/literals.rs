//! Searches a text for the literals of all rules in one pass: prefixes of credentials, labels, and home directories.
//!
//! Nearly all literals start a word or a part of an identifier. At such positions ([`WordStarts`]) a filter over the first bytes excludes most
//! words.
//! The few literals that may start anywhere are found by an Aho-Corasick automaton. Whether a rule applies is decided by the caller.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind, packed};
use foldhash::fast::FixedState;

use super::labels::{self, LabelForm, ValueType};
use super::names::{self, SpokenCue};
use super::secrets::{self, SecretRule, to_static};
use super::shapes;
use super::text::is_unspaced;
use super::vendors::{self, VendorRule};
use super::word_starts::WordStarts;

/// The rule that a literal belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RuleRef {
    /// A credential format, by its index in [`Literals::secrets`].
    Secret(usize),
    /// A label, by its index in [`Literals::labels`].
    Label(usize),
    /// A vendor of keys, by its index in [`Literals::vendors`].
    Vendor(usize),
    /// The parent of home directories, such as `/home/`.
    HomeDirectory,
    /// Words before the name of a person.
    NameCue(SpokenCue),
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
    /// How the label may stand in its word.
    pub(super) form: LabelForm,
}

/// The literals of all rules, and the rules.
#[derive(Debug)]
pub(super) struct Literals {
    /// The literals that start a word.
    at_word_starts: WordLiterals,
    /// Literals that may occur anywhere, including inside a word: those that begin with a letter or a digit, and those that begin with a sign. The search
    /// compares few bits of three bytes, and finds fewer wrong candidates if these are similar in all literals: together both take a third of the time
    /// that one search would.
    anywhere: Automaton,
    anywhere_signs: Automaton,
    /// Those of two bytes, which would slow down the search for the other ones.
    anywhere_short: Automaton,
    /// Those in a script without spaces between words, which most texts have none of.
    anywhere_unspaced: Automaton,
    pub(super) secrets: Vec<SecretRule>,
    pub(super) labels: Vec<LabelRule>,
    pub(super) vendors: Vec<VendorRule>,
}

#[derive(Debug, Default)]
struct WordLiterals {
    /// Whether any literal starts with these bytes, in lower case: filters before the lookups below.
    long_starts: Filter<17>,
    short_starts: Filter<15>,
    /// Whether a literal of four or five bytes starts with four bytes, one of six or seven with six, and a longer one with eight: many words of code
    /// share the first four bytes of a literal.
    four_or_five: Filter<15>,
    sixes: Filter<15>,
    eights: Filter<17>,
    /// Where the literals are: those of at least eight bytes by their first eight, those of at least four by their first four, and shorter ones.
    long: HashMap<u64, Bucket, FixedState>,
    middle: HashMap<u64, Bucket, FixedState>,
    short: HashMap<u64, Bucket, FixedState>,
    /// Of each literal, its first eight bytes in lower case, and a mask of those that it has: excludes most candidates in one comparison.
    heads: Vec<(u64, u64)>,
    literals: Vec<WordLiteral>,
}

/// A set of hashes of `BITS` bits.
#[derive(Debug)]
struct Filter<const BITS: u32>(Vec<u64>);

impl<const BITS: u32> Default for Filter<BITS> {
    fn default() -> Self {
        Self(vec![0; 1 << (BITS - 6)])
    }
}

impl<const BITS: u32> Filter<BITS> {
    #[inline]
    fn place(start: u32) -> (usize, u64) {
        let hash = start.wrapping_mul(0x9e37_79b1) >> (32 - BITS);
        ((hash >> 6) as usize, 1 << (hash & 63))
    }

    fn insert(&mut self, start: u32) {
        let (index, bit) = Self::place(start);
        if let Some(bits) = self.0.get_mut(index) {
            *bits |= bit;
        }
    }

    #[inline]
    fn contains(&self, start: u32) -> bool {
        let (index, bit) = Self::place(start);
        self.0.get(index).is_some_and(|bits| bits & bit != 0)
    }
}

#[derive(Debug)]
struct Automaton {
    search: AhoCorasick,
    /// Finds the same literals with vector instructions, if there are few enough of them and the processor has these.
    vectorized: Option<packed::Searcher>,
    /// For each literal, the rules of all literals that are a prefix of it with their length, longest first.
    rules: Vec<Vec<(RuleRef, usize)>>,
}

/// The positions of the literals with the same first bytes, longest first.
type Bucket = Range<u32>;

/// A literal that starts a word or a part of an identifier.
#[derive(Debug)]
struct WordLiteral {
    text: String,
    rules: Vec<RuleRef>,
}

/// Up to eight bytes as a number, each with the lower-case bit (0x20) set.
#[inline]
fn head_of(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk() {
        return u64::from_le_bytes(*eight) | 0x2020_2020_2020_2020;
    }
    let mut eight = [0; 8];
    for (to, from) in eight.iter_mut().zip(bytes) {
        *to = *from | 0x20;
    }
    u64::from_le_bytes(eight)
}

/// The first three of four bytes.
const THREE_BYTES: u32 = 0xff_ffff;

impl WordLiterals {
    fn new(by_text: BTreeMap<String, Vec<RuleRef>>) -> Self {
        let mut all = Self::default();
        let mut literals: Vec<_> = by_text.into_iter().map(|(text, rules)| WordLiteral { text, rules }).collect();
        let start_of = |text: &str| {
            let head = head_of(text.as_bytes());
            match text.len() {
                8.. => head,
                4.. => u64::from(four_of(head)),
                _ => u64::from(four_of(head) & THREE_BYTES),
            }
        };
        literals
            .sort_by_cached_key(|literal| (literal.text.len().min(8) / 4, start_of(&literal.text), std::cmp::Reverse(literal.text.len())));
        for (position, literal) in (0..).zip(literals) {
            let len = literal.text.len();
            let head = head_of(literal.text.as_bytes());
            let mask = if len >= 8 { u64::MAX } else { (1 << (8 * len)) - 1 };
            let buckets = match len {
                8.. => &mut all.long,
                4.. => &mut all.middle,
                _ => &mut all.short,
            };
            match len {
                8.. => all.eights.insert(eight_of(head)),
                6.. => all.sixes.insert(six_of(head)),
                4.. => all.four_or_five.insert(four_of(head)),
                _ => all.short_starts.insert(four_of(head) & THREE_BYTES),
            }
            if len >= 4 {
                all.long_starts.insert(four_of(head));
            }
            let start = start_of(&literal.text);
            buckets.entry(start).or_insert(position..position).end = position + 1;
            all.heads.push((head & mask, mask));
            all.literals.push(literal);
        }
        all
    }

    /// The buckets of the literals that may be at the start of `bytes`, those of the longest first, and the [`head_of`] the bytes.
    #[inline]
    fn buckets_at(&self, bytes: &[u8]) -> Option<([Bucket; 3], u64)> {
        let head = head_of(bytes);
        let start = four_of(head);
        let (is_long, is_short) = (self.long_starts.contains(start), self.short_starts.contains(start & THREE_BYTES));
        if !(is_long || is_short) {
            return None;
        }
        let (mut long, mut middle, mut short) = (None, None, None);
        if is_long && self.eights.contains(eight_of(head)) {
            long = self.long.get(&head);
        }
        if is_long && (self.four_or_five.contains(start) || self.sixes.contains(six_of(head))) {
            middle = self.middle.get(&u64::from(start));
        }
        if is_short {
            short = self.short.get(&u64::from(start & THREE_BYTES));
        }
        let buckets = [long, middle, short];
        buckets.iter().any(Option::is_some).then(|| (buckets.map(|bucket| bucket.cloned().unwrap_or_default()), head))
    }

    /// The literal at `position`, if it is at the start of `bytes`, whose [`head_of`] is `head`.
    #[inline]
    fn literal_at(&self, position: usize, bytes: &[u8], head: u64) -> Option<&WordLiteral> {
        let (expected, mask) = self.heads.get(position)?;
        if head & mask != *expected {
            return None;
        }
        let literal = self.literals.get(position)?;
        bytes.get(..literal.text.len())?.eq_ignore_ascii_case(literal.text.as_bytes()).then_some(literal)
    }
}

/// The first four of eight bytes.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn four_of(head: u64) -> u32 {
    head as u32
}

/// A hash of eight bytes.
#[inline]
fn eight_of(head: u64) -> u32 {
    four_of(head) ^ four_of(head >> 32).wrapping_mul(0x85eb_ca6b)
}

/// A hash of the first six of eight bytes.
#[inline]
fn six_of(head: u64) -> u32 {
    let more = four_of(head >> 32) & 0xffff;
    four_of(head) ^ more.wrapping_mul(0x85eb_ca6b)
}

static LITERALS: LazyLock<Option<Literals>> = LazyLock::new(compile);

/// The compiled rule tables; `None` only if an embedded table is malformed, which a test excludes.
pub(super) fn literals() -> Option<&'static Literals> {
    LITERALS.as_ref()
}

fn compile() -> Option<Literals> {
    let secret_entries = secrets::entries()?;
    let label_table = labels::table()?;
    let (mut by_text, mut anywhere): (BTreeMap<String, Vec<RuleRef>>, BTreeMap<String, Vec<RuleRef>>) = Default::default();
    for (index, entry) in secret_entries.iter().enumerate() {
        for prefix in &entry.prefixes {
            if entry.word && begins_word(prefix) {
                by_text.entry(prefix.to_ascii_lowercase()).or_default().push(RuleRef::Secret(index));
            } else {
                anywhere.entry(prefix.clone()).or_default().push(RuleRef::Secret(index));
            }
        }
    }
    let mut labels = Vec::new();
    for entry in &label_table.label {
        for words in entry.words.values().flatten() {
            let rule = RuleRef::Label(labels.len() + LabelForm::of(words) as usize);
            for text in labels::spellings(words) {
                let text = text.to_ascii_lowercase();
                let rules = by_text.entry(text).or_default();
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
        for (word, kind, value_type) in labels::GLUED {
            if entry.kind == kind && entry.value == value_type {
                let rule = RuleRef::Label(labels.len() + LabelForm::Glued as usize);
                anywhere.entry(word.to_owned()).or_default().push(rule);
            }
        }
        labels.extend(LabelForm::ALL.map(|form| LabelRule { kind: to_static(&entry.kind), value_type: entry.value, form }));
    }
    for (words, cue) in names::spoken_cues() {
        let rule = RuleRef::NameCue(*cue);
        if words.starts_with(|letter: char| ('\u{e00}'..='\u{e7f}').contains(&letter)) {
            // Thai has no spaces, so that a cue may be inside a run of letters.
            anywhere.entry((*words).to_owned()).or_default().push(rule);
        } else if words.len() >= 3 {
            by_text.entry(words.to_ascii_lowercase()).or_default().push(rule);
        }
    }
    let mut vendors = Vec::new();
    for (index, (names, rule)) in vendors::rules()?.into_iter().enumerate() {
        for name in names {
            by_text.entry(name).or_default().push(RuleRef::Vendor(index));
        }
        vendors.push(rule);
    }
    for home in shapes::HOME_DIRECTORIES {
        anywhere.entry(home.to_owned()).or_default().push(RuleRef::HomeDirectory);
    }
    let is_unspaced_literal = |text: &str| text.starts_with(is_unspaced);
    let (unspaced, anywhere): (Vec<_>, Vec<_>) = anywhere.into_iter().partition(|(text, _)| is_unspaced_literal(text));
    let (short, anywhere): (Vec<_>, Vec<_>) = anywhere.into_iter().partition(|(text, _)| text.len() < 3);
    let (letters, signs): (Vec<_>, Vec<_>) =
        anywhere.into_iter().partition(|(text, _)| text.starts_with(|first: char| first.is_ascii_alphanumeric()));
    Some(Literals {
        at_word_starts: WordLiterals::new(by_text),
        anywhere: Automaton::new(&letters)?,
        anywhere_signs: Automaton::new(&signs)?,
        anywhere_short: Automaton::new(&short)?,
        anywhere_unspaced: Automaton::new(&unspaced)?,
        secrets: secret_entries.iter().map(SecretRule::new).collect(),
        labels,
        vendors,
    })
}

/// Whether a literal can be found at word starts: it begins with a letter or digit and has the three bytes that the table needs.
fn begins_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.len() >= 3
}

impl Automaton {
    fn new(literals: &[(String, Vec<RuleRef>)]) -> Option<Self> {
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::DFA))
            .build(literals.iter().map(|(text, _)| text))
            .ok()?;
        let vectorized = packed::Config::new()
            .match_kind(packed::MatchKind::LeftmostLongest)
            .heuristic_pattern_limits(false)
            .builder()
            .extend(literals.iter().map(|(text, _)| text))
            .build();
        let rules = literals
            .iter()
            .map(|(text, _)| {
                let mut shorter: Vec<_> = literals.iter().filter(|(other, _)| text.starts_with(other.as_str())).collect();
                shorter.sort_by_key(|(other, _)| std::cmp::Reverse(other.len()));
                shorter.into_iter().flat_map(|(other, rules)| rules.iter().map(|rule| (*rule, other.len()))).collect()
            })
            .collect();
        Some(Self { search, vectorized, rules })
    }

    /// The first literal at `from` or later.
    fn find(&self, text: &str, from: usize) -> Option<aho_corasick::Match> {
        match &self.vectorized {
            Some(searcher) => searcher.find_in(text, (from..text.len()).into()),
            None => self.search.find(Input::new(text).range(from..)),
        }
    }

    fn scan(&self, text: &str, visit: &mut dyn FnMut(Range<usize>, RuleRef) -> ScanControl) -> ScanControl {
        let mut at = 0;
        while let Some(literal) = self.find(text, at) {
            at = literal.end();
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
        self.scan_at(text, &WordStarts::of(text.as_bytes()), visit);
    }

    /// As [`Self::scan`], with the known word starts of the text.
    pub(super) fn scan_at(&self, text: &str, starts: &WordStarts, visit: &mut dyn FnMut(Range<usize>, RuleRef) -> ScanControl) {
        let unspaced = starts.has_cjk.then_some(&self.anywhere_unspaced);
        for automaton in [&self.anywhere, &self.anywhere_signs, &self.anywhere_short].into_iter().chain(unspaced) {
            if automaton.scan(text, visit) == ScanControl::Stop {
                return;
            }
        }
        let mut from = 0;
        while let Some(at) = starts.literals.next(from) {
            from = at + 1;
            let rest = text.as_bytes().get(at..).unwrap_or_default();
            let Some((buckets, head)) = self.at_word_starts.buckets_at(rest) else { continue };
            for position in buckets.into_iter().flatten() {
                let Some(literal) = self.at_word_starts.literal_at(position as usize, rest, head) else { continue };
                let mut is_consumed = false;
                for rule in &literal.rules {
                    match visit(at..at + literal.text.len(), *rule) {
                        ScanControl::NextRule => {}
                        // The same word may be a label of several kinds: `auth` of a password in a call, and of a pair in base64.
                        ScanControl::SkipLiteral => is_consumed = true,
                        ScanControl::Stop => return,
                    }
                }
                if is_consumed {
                    // `date of birth` is one label; `birth` inside it is not another one.
                    from = at + literal.text.len();
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectorized_search_finds_the_same_literals() {
        let rule = || vec![RuleRef::HomeDirectory];
        let list: Vec<_> = ["_key_", "_ke", "y_x", "$2a$", "/home/", "password", "pass"].map(|text| (text.to_owned(), rule())).into();
        let fast = Automaton::new(&list).unwrap();
        let slow = Automaton { vectorized: None, ..Automaton::new(&list).unwrap() };
        let text = "a_key_x passwords /home/ada $2a$10 _ke y_xy_key_ pas ".repeat(5);
        for from in 0..text.len() {
            let found = |automaton: &Automaton| automaton.find(&text, from).map(|found| (found.pattern(), found.range()));
            assert_eq!(found(&fast), found(&slow), "{from}");
        }
        for text in ["", "_", "_ke", "a _key_"] {
            assert_eq!(fast.find(text, 0), slow.find(text, 0), "{text}");
        }
    }

    #[test]
    fn literals_that_share_first_bytes_are_found() {
        let texts = ["pass", "passw", "password", "passport", "pas", "national", "nation"];
        let literals = WordLiterals::new(texts.map(|text| (text.to_owned(), vec![RuleRef::HomeDirectory])).into());
        let found = |text: &str| -> Vec<String> {
            let bytes = text.as_bytes();
            let (buckets, head) = literals.buckets_at(bytes).unwrap_or_default();
            buckets
                .into_iter()
                .flatten()
                .filter_map(|position| literals.literal_at(position as usize, bytes, head))
                .map(|literal| literal.text.clone())
                .collect()
        };
        assert_eq!(found("PassWord of"), ["password", "passw", "pass", "pas"]);
        assert_eq!(found("passing"), ["pass", "pas"]);
        assert_eq!(found("passport"), ["passport", "pass", "pas"]);
        assert_eq!(found("pas"), ["pas"]);
        assert_eq!(found("Nationalität"), ["national", "nation"]);
        assert!(found("path").is_empty() && found("nati").is_empty() && found("native").is_empty());
    }
}
