//! Names that belong to no person: companies and brands (`lexicon/brands.txt`), places, theorems, and what is called after somebody.

use std::collections::HashSet;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::super::text::Text;
use super::{Word, cues};

static BRANDS: LazyLock<HashSet<&'static str, FixedState>> =
    LazyLock::new(|| include_str!("../lexicon/brands.txt").lines().filter(|line| !line.starts_with('#')).collect());

/// Words after a name that make it the name of an organisation, a building or a prize: `Marguerite Oyelaran Foundation`. None is a family name, as
/// `Hall` and `Park` are.
const ORGANISATION_WORDS: [&str; 52] = [
    "Inc",
    "LLC",
    "Ltd",
    "Limited",
    "GmbH",
    "Corp",
    "Corporation",
    "Company",
    "Co",
    "Bros",
    "Brothers",
    "Sons",
    "Group",
    "Holdings",
    "Partners",
    "Associates",
    "Industries",
    "Enterprises",
    "Capital",
    "Bank",
    "Trust",
    "Insurance",
    "Airlines",
    "Motors",
    "Pharmaceuticals",
    "Pharma",
    "Laboratories",
    "Labs",
    "Foundation",
    "Institute",
    "University",
    "College",
    "School",
    "Academy",
    "Hospital",
    "Clinic",
    "Museum",
    "Library",
    "Theatre",
    "Theater",
    "Stadium",
    "Arena",
    "Airport",
    "Station",
    "Hotel",
    "Resort",
    "Prize",
    "Award",
    "Medal",
    "Scholarship",
    "Festival",
    "Trophy",
];

/// Nouns after the genitive of a name that is called after its discoverer: `Murphy's law`.
const DISCOVERIES: [&str; 34] = [
    "law",
    "laws",
    "theorem",
    "lemma",
    "conjecture",
    "algorithm",
    "method",
    "rule",
    "principle",
    "paradox",
    "razor",
    "equation",
    "equations",
    "formula",
    "inequality",
    "identity",
    "test",
    "constant",
    "number",
    "numbers",
    "sequence",
    "triangle",
    "disease",
    "syndrome",
    "sign",
    "palsy",
    "scale",
    "index",
    "model",
    "criterion",
    "cycle",
    "curve",
    "effect",
    "distance",
];

/// Given names that are also the name of a town, a state or a country.
const PLACES: [&str; 70] = [
    "Adelaide",
    "Alberta",
    "Alexandria",
    "America",
    "Asia",
    "Aspen",
    "Austin",
    "Berlin",
    "Boston",
    "Brisbane",
    "Britain",
    "Brittany",
    "Brooklyn",
    "Bronx",
    "Camden",
    "Cardiff",
    "Carolina",
    "Catalina",
    "Chad",
    "Chandler",
    "Charleston",
    "Charlotte",
    "Chelsea",
    "China",
    "Cleveland",
    "Dakota",
    "Dallas",
    "Denver",
    "Devon",
    "Diego",
    "Eden",
    "Egypt",
    "Florence",
    "Georgia",
    "Geneva",
    "Glen",
    "Havana",
    "Houston",
    "India",
    "Indiana",
    "Ireland",
    "Israel",
    "Italia",
    "Jackson",
    "Jamaica",
    "Jordan",
    "Kent",
    "Kenya",
    "Kingston",
    "Lincoln",
    "London",
    "Louisiana",
    "Lourdes",
    "Madison",
    "Milan",
    "Montana",
    "Odessa",
    "Orlando",
    "Paris",
    "Persia",
    "Petra",
    "Phoenix",
    "Roma",
    "Savannah",
    "Siena",
    "Sydney",
    "Valencia",
    "Verona",
    "Victoria",
    "Vienna",
];

/// Words before the name of a place.
const BEFORE_PLACES: [&str; 34] = [
    "in", "near", "at", "to", "from", "of", "around", "through", "via", "visit", "visited", "visiting", "leaving", "between", "across",
    "outside", "inside", "downtown", "north", "south", "east", "west", "northern", "southern", "eastern", "western", "greater", "central",
    "the", "lake", "mount", "port", "fort", "over",
];

/// Whether the first two or three words of a run are a brand.
pub(super) fn is_brand(text: Text<'_>, run: &[Word]) -> bool {
    let [first, second, ..] = run else { return false };
    let is_brand = |last: &Word| {
        let phrase = text.slice(first.range.start..last.range.end).to_lowercase().replace(['-', '\u{2019}'], " ");
        BRANDS.contains(phrase.as_str())
    };
    is_brand(second) || run.get(2).is_some_and(is_brand)
}

/// Whether the words after a run make it the name of an organisation: `Levi Strauss & Co`, `Marguerite Oyelaran Foundation`.
pub(super) fn is_organisation(text: Text<'_>, run: &[Word], following: &[Word]) -> bool {
    let end = run.last().map_or(0, |last| last.range.end);
    let rest = text.rest(end);
    // `Levi Strauss & Co`, `Warner Bros. Discovery`, `Zyrqel Vantroba, Inc.`.
    let is_word = |word: &str| ORGANISATION_WORDS.contains(&word.trim_end_matches('.'));
    let next = rest.strip_prefix(" & ").or_else(|| rest.strip_prefix(", ")).or_else(|| rest.strip_prefix(" and "));
    let is_partner = next.is_some_and(|next| {
        let word = next.split(|letter: char| !letter.is_alphabetic()).next().unwrap_or_default();
        matches!(word, "Co" | "Sons" | "Inc" | "LLC" | "Ltd" | "Associates" | "Partners" | "Company" | "GmbH")
    });
    is_partner || following.first().is_some_and(|word| is_word(text.slice(word.range.clone())))
}

/// Whether a single name belongs to a place or a discovery: `a trip to Florence`, `Murphy's law`, `the Wilson score`.
pub(super) fn is_place_or_discovery(text: Text<'_>, word: &Word) -> bool {
    let shown = text.slice(word.range.clone());
    let name = shown.strip_suffix("'s").or_else(|| shown.strip_suffix("\u{2019}s"));
    let next_end = text.skip_while(word.range.end + 1, 16, |byte| byte.is_ascii_lowercase());
    let next = text.slice(word.range.end + 1..next_end.max(word.range.end + 1));
    if name.is_some() && DISCOVERIES.contains(&next) {
        return true;
    }
    let before_end = text.skip_back_while(word.range.start, 1, |byte| byte == b' ');
    let before_start = text.skip_back_while(before_end, 16, |byte| byte.is_ascii_alphabetic());
    let before = text.slice(before_start..before_end).to_ascii_lowercase();
    let is_subject = cues::verb_after(text, word.range.end) == Some(true);
    // `the Wilson score`, but not `the Marguerite we know`.
    if before == "the" && !is_subject && (word.entry.is_family_name() || !word.entry.is_given_name()) {
        return true;
    }
    let is_place = |name: &str| PLACES.contains(&name);
    if !is_place(name.unwrap_or(shown)) || is_subject {
        return false;
    }
    // `Florence and Siena`: both are places.
    let is_listed = before == "and" && {
        let end = text.skip_back_while(before_start, 1, |byte| byte == b' ');
        is_place(text.slice(text.skip_back_while(end, 16, |byte| byte.is_ascii_alphabetic())..end))
    };
    is_listed
        || BEFORE_PLACES.contains(&before.as_str())
        || text.rest(word.range.end).starts_with(", ") && starts_with_place(text, word.range.end + 2)
}

/// Whether a capitalized word of two letters, or a place, follows: `Charlotte, NC`, `Paris, France`.
fn starts_with_place(text: Text<'_>, start: usize) -> bool {
    let end = text.skip_while(start, 20, |byte| byte.is_ascii_alphabetic());
    let word = text.slice(start..end);
    let is_state = word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    is_state || PLACES.contains(&word) || super::lexicon::look_up(word).is_place_or_product()
}
