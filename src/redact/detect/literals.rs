//! All literals at once: what tells a credential, every label, and the folders of users. Each hit goes to the rules that it belongs to.
//!
//! Nearly all literals begin where a word or a part of an identifier begins, and there a table over the first three bytes rules nearly all
//! words out. The few that stand anywhere are left to an automaton.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use foldhash::fast::FixedState;

use super::labels::{self, Shape};
use super::secrets::{self, SecretRule, leak};
use super::shapes;
use super::text::Class;

/// What a literal belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// A format of a credential, by its place in the table.
    Secret(usize),
    /// A label, by its place in the table.
    Label(usize),
    /// A folder that holds the folders of users.
    Home,
}

/// Where a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// With the other literals and roles of the same place.
    Here,
    /// Behind the literal.
    Behind,
    /// Nowhere.
    Stop,
}

impl Next {
    /// Behind the literal where it is taken.
    pub(super) fn after(taken: bool) -> Self {
        if taken { Self::Behind } else { Self::Here }
    }
}

/// A label's entry without its words.
#[derive(Debug, Clone, Copy)]
pub(super) struct LabelKind {
    pub(super) kind: &'static str,
    pub(super) shape: Shape,
}

/// The literals and the rules behind them.
#[derive(Debug)]
pub(super) struct Literals {
    /// Whether some literal starts with three bytes of this hash.
    starts: Vec<bool>,
    /// By the first three bytes in lower case: the literals, longest first.
    by_start: HashMap<u32, Vec<WordLiteral>, FixedState>,
    /// Literals that stand anywhere, also inside a word.
    signs: Automaton,
    pub(super) secrets: Vec<SecretRule>,
    pub(super) labels: Vec<LabelKind>,
}

#[derive(Debug)]
struct Automaton {
    automaton: AhoCorasick,
    /// For each literal those that it begins with, longest first.
    roles: Vec<Vec<(Role, usize)>>,
}

/// A literal that begins a word.
#[derive(Debug)]
struct WordLiteral {
    text: String,
    roles: Vec<Role>,
    /// Its first eight bytes with the bit of small letters set, and which of them count: rules it out in one comparison.
    head: u64,
    mask: u64,
}

impl WordLiteral {
    fn new(text: String, roles: Vec<Role>) -> Self {
        let mask = if text.len() >= 8 { u64::MAX } else { (1 << (8 * text.len())) - 1 };
        let head = head_of(text.as_bytes()) & mask;
        Self { text, roles, head, mask }
    }

    fn is_at(&self, bytes: &[u8], head: u64) -> bool {
        (head & self.mask) == self.head
            && bytes.get(..self.text.len()).is_some_and(|shown| shown.eq_ignore_ascii_case(self.text.as_bytes()))
    }
}

/// Up to eight bytes as a number, each with the bit of small letters set.
fn head_of(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    for (to, from) in eight.iter_mut().zip(bytes) {
        *to = *from | 0x20;
    }
    u64::from_le_bytes(eight)
}

const START_BITS: u32 = 15;

static LITERALS: LazyLock<Option<Literals>> = LazyLock::new(compile);

/// The compiled tables; `None` only if a shipped table is broken, which a test rules out.
pub(super) fn literals() -> Option<&'static Literals> {
    LITERALS.as_ref()
}

fn compile() -> Option<Literals> {
    let secret_table = secrets::table()?;
    let label_table = labels::table()?;
    let (mut by_text, mut anywhere): (BTreeMap<String, Vec<Role>>, BTreeMap<String, Vec<Role>>) = Default::default();
    for (index, entry) in secret_table.secret.iter().enumerate() {
        for prefix in &entry.prefixes {
            if entry.word && begins_word(prefix) {
                by_text.entry(prefix.to_ascii_lowercase()).or_default().push(Role::Secret(index));
            } else {
                anywhere.entry(prefix.clone()).or_default().push(Role::Secret(index));
            }
        }
    }
    for (index, entry) in label_table.label.iter().enumerate() {
        for text in entry.words.iter().flat_map(|words| labels::spellings(words)) {
            // Only the case of ASCII letters is ignored.
            let capital: String = text.chars().take(1).flat_map(char::to_uppercase).chain(text.chars().skip(1)).collect();
            for text in [text.to_ascii_lowercase(), capital.to_ascii_lowercase()] {
                let roles = by_text.entry(text).or_default();
                if !roles.contains(&Role::Label(index)) {
                    roles.push(Role::Label(index));
                }
            }
        }
    }
    for home in shapes::HOMES {
        anywhere.entry(home.to_owned()).or_default().push(Role::Home);
    }
    let mut starts = vec![false; 1 << START_BITS];
    let mut by_start: HashMap<u32, Vec<WordLiteral>, FixedState> = HashMap::default();
    let signs: Vec<_> = anywhere.into_iter().collect();
    for (text, roles) in by_text {
        let start = start_of(text.as_bytes())?;
        *starts.get_mut(hash(start))? = true;
        by_start.entry(start).or_default().push(WordLiteral::new(text, roles));
    }
    for literals in by_start.values_mut() {
        literals.sort_by_key(|literal| std::cmp::Reverse(literal.text.len()));
    }
    Some(Literals {
        starts,
        by_start,
        signs: Automaton::new(&signs)?,
        secrets: secret_table.secret.iter().map(SecretRule::new).collect(),
        labels: label_table.label.iter().map(|entry| LabelKind { kind: leak(&entry.kind), shape: entry.value }).collect(),
    })
}

/// Whether a literal is found by the word that it begins.
fn begins_word(text: &str) -> bool {
    text.starts_with(|sign: char| sign.is_ascii_alphanumeric()) && text.len() >= 3
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
    fn new(literals: &[(String, Vec<Role>)]) -> Option<Self> {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::DFA))
            .build(literals.iter().map(|(text, _)| text))
            .ok()?;
        let roles = literals
            .iter()
            .map(|(text, _)| {
                let mut shorter: Vec<_> = literals.iter().filter(|(other, _)| text.starts_with(other.as_str())).collect();
                shorter.sort_by_key(|(other, _)| std::cmp::Reverse(other.len()));
                shorter.into_iter().flat_map(|(other, roles)| roles.iter().map(|role| (*role, other.len()))).collect()
            })
            .collect();
        Some(Self { automaton, roles })
    }

    fn scan(&self, text: &str, visit: &mut dyn FnMut(Range<usize>, Role) -> Next) -> Next {
        for hit in self.automaton.find_iter(text) {
            for (role, len) in self.roles.get(hit.pattern().as_usize()).into_iter().flatten() {
                match visit(hit.start()..hit.start() + len, *role) {
                    Next::Here => {}
                    Next::Behind => break,
                    Next::Stop => return Next::Stop,
                }
            }
        }
        Next::Behind
    }
}

impl Literals {
    /// Calls `visit` with every literal and its roles, at one place the longest first; it says where to go on.
    pub(super) fn scan(&self, text: &str, visit: &mut dyn FnMut(Range<usize>, Role) -> Next) {
        if self.signs.scan(text, visit) == Next::Stop {
            return;
        }
        let bytes = text.as_bytes();
        let (mut before, mut skip_until) = (Class::Other, 0);
        for (at, byte) in bytes.iter().enumerate() {
            let class = Class::of(*byte);
            let starts = (STARTS.get(before as usize).copied().unwrap_or(0) >> class as u8) & 1 == 1;
            before = class;
            if !starts || at < skip_until {
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(start) = start_of(rest) else { break };
            if self.starts.get(hash(start)) != Some(&true) {
                continue;
            }
            let Some(literals) = self.by_start.get(&start) else { continue };
            let head = head_of(rest);
            'literals: for literal in literals.iter().filter(|literal| literal.is_at(rest, head)) {
                for role in &literal.roles {
                    match visit(at..at + literal.text.len(), *role) {
                        Next::Here => {}
                        Next::Behind => {
                            // `date of birth` is one label, not `birth` besides.
                            skip_until = at + literal.text.len();
                            break 'literals;
                        }
                        Next::Stop => return,
                    }
                }
            }
        }
    }
}

/// For each class the classes, as bits, before which a word or a part of an identifier begins: `user_name`, `userName`.
const STARTS: [u8; 6] = {
    const fn bits(classes: &[Class]) -> u8 {
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
    let any = bits(&[Class::Digit, Class::Lower, Class::Upper, Class::Wide, Class::Cjk]);
    let within = bits(&[Class::Cjk]);
    let after_small = bits(&[Class::Upper, Class::Cjk]);
    // In the order of the classes.
    [any, within, after_small, within, after_small, any]
};
