//! Words near a number that tell what it is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::super::super::text::Text;
use super::{IdFormat, formats};

/// How far from a number its name may be, on the same line.
const BEFORE_BYTES: usize = 60;
const AFTER_BYTES: usize = 30;

/// The formats that the known words near a number name.
#[derive(Debug, Default)]
pub(super) struct Words {
    named: FormatSet,
}

/// A set of formats, by their position in [`formats`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct FormatSet([u64; FORMATS_MAX / 64]);

const FORMATS_MAX: usize = 256;

impl FormatSet {
    fn of(is_in: impl Fn(&IdFormat) -> bool) -> Self {
        let mut set = Self::default();
        formats().enumerate().filter(|(_, format)| is_in(format)).for_each(|(index, _)| set.insert(index));
        set
    }

    fn insert(&mut self, index: usize) {
        if let Some(bits) = self.0.get_mut(index / 64) {
            *bits |= 1 << (index % 64);
        }
    }

    fn contains(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|bits| (bits >> (index % 64)) & 1 == 1)
    }

    fn add(&mut self, other: &Self) {
        for (bits, more) in self.0.iter_mut().zip(other.0) {
            *bits |= more;
        }
    }
}

/// What a known word says about a number.
#[derive(Debug, Default)]
struct Meaning {
    /// The formats that it names, with general names.
    formats: FormatSet,
    /// The formats of the country that it names.
    of_country: FormatSet,
    names_number: bool,
    names_company: bool,
}

/// The meanings of all words, and an automaton that finds them.
struct Lexicon {
    meanings: Vec<Meaning>,
    automaton: Option<AhoCorasick>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut words: BTreeMap<&'static str, Meaning> = BTreeMap::new();
    for (index, format) in formats().enumerate() {
        for name in format.names {
            words.entry(name).or_default().formats.insert(index);
        }
    }
    let general = FormatSet::of(|format| format.accepts_general_names);
    for word in PERSON_NUMBERS {
        words.entry(word).or_default().formats.add(&general);
    }
    for (code, names) in COUNTRIES {
        let of_country = FormatSet::of(|format| format.country == *code);
        for name in *names {
            words.entry(name).or_default().of_country.add(&of_country);
        }
    }
    for word in NUMBER_WORDS {
        words.entry(word).or_default().names_number = true;
    }
    for word in COMPANY_WORDS {
        words.entry(word).or_default().names_company = true;
    }
    // A word starts a word of the text, except in scripts without spaces. A short one must be the whole word.
    let pattern = |word: &&str| {
        let (before, after) = (if word.is_ascii() { " " } else { "" }, if word.len() < 4 { " " } else { "" });
        format!("{before}{word}{after}")
    };
    let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(words.keys().map(pattern)).ok();
    Lexicon { meanings: words.into_values().collect(), automaton }
});

impl Words {
    /// The known words before and after a number on its line.
    pub(super) fn near(text: Text<'_>, range: &Range<usize>) -> Self {
        let from = text.0.floor_char_boundary(range.start.saturating_sub(BEFORE_BYTES));
        let left = text.slice(from..range.start).rsplit('\n').next().unwrap_or_default();
        let right = text.window(range.end, AFTER_BYTES).split('\n').next().unwrap_or_default();
        let (mut named, mut of_country) = (FormatSet::default(), FormatSet::default());
        let (mut names_number, mut names_company) = (false, false);
        for text in [left, right] {
            for_each_word(text, &mut |word| {
                named.add(&word.formats);
                of_country.add(&word.of_country);
                names_number |= word.names_number;
                names_company |= word.names_company;
            });
        }
        if names_number {
            named.add(&of_country);
        }
        Self { named: if names_company { FormatSet::default() } else { named } }
    }

    /// Whether they name the number of any format.
    pub(super) fn name_any(&self) -> bool {
        self.named != FormatSet::default()
    }

    /// Whether they name the number of a format, by its position in [`formats`].
    pub(super) fn name(&self, format: usize) -> bool {
        self.named.contains(format)
    }
}

/// Calls `found` with the meaning of each known word in a text.
fn for_each_word(text: &str, found: &mut dyn FnMut(&Meaning)) {
    // In tables of numbers there are no words.
    if !text.bytes().any(|byte| byte.is_ascii_alphabetic() || byte >= 0x80) {
        return;
    }
    let Some(automaton) = &LEXICON.automaton else { return };
    let text = normalize(text);
    for word in automaton.find_overlapping_iter(&text) {
        LEXICON.meanings.get(word.pattern().as_usize()).into_iter().for_each(&mut *found);
    }
}

/// The text in lower case with single spaces between its words, which include the parts of identifiers: `taxId_2` as ` tax id 2 `.
pub(super) fn normalize(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + text.len() / 2 + 2);
    words.push(' ');
    let (mut last_is_lower, mut last_is_space) = (false, true);
    for c in text.chars() {
        let (is_part, is_upper) =
            if c.is_ascii() { (c.is_ascii_alphanumeric(), c.is_ascii_uppercase()) } else { (c.is_alphanumeric(), c.is_uppercase()) };
        if (!is_part || (last_is_lower && is_upper)) && !last_is_space {
            words.push(' ');
            last_is_space = true;
        }
        if c.is_ascii() && is_part {
            words.push(c.to_ascii_lowercase());
            last_is_space = false;
        } else if is_part {
            words.extend(c.to_lowercase());
            last_is_space = false;
        }
        last_is_lower = if c.is_ascii() { c.is_ascii_lowercase() } else { c.is_lowercase() };
    }
    words.push(' ');
    words
}

/// General names of numbers that identify a person, in the form of [`normalize`].
const PERSON_NUMBERS: &[&str] = &[
    "national id",
    "nationalid",
    "identity",
    "identification",
    "citizen",
    "personal id",
    "personal number",
    "personal no",
    "personal code",
    "person number",
    "id number",
    "id no",
    "id card",
    "id code",
    "idnumber",
    "tax id",
    "taxid",
    "tax number",
    "tax no",
    "tax code",
    "tax payer",
    "taxpayer",
    "tax file",
    "tax identif",
    "tin",
    "nin",
    "nid",
    "passport",
    "driving licen",
    "driver s licen",
    "driver licen",
    "drivers licen",
    "social security",
    "social insurance",
    "national insurance",
    "health card",
    "health number",
    "health insurance",
    "health id",
    "insurance number",
    "medicare",
    "patient",
    "resident",
    "civil id",
    "birth number",
    "government id",
    "govt id",
    "voter",
    "kyc",
    "ssn",
    "identité",
    "identite",
    "identidad",
    "identidade",
    "identità",
    "identita",
    "identitate",
    "identitet",
    "identifica",
    "cédula",
    "cedula",
    "fiscal",
    "contribuyente",
    "contribuinte",
    "contribuente",
    "ausweis",
    "steuer",
    "sozialversicherung",
    "versicherungsnummer",
    "sécurité sociale",
    "securite sociale",
    "seguridad social",
    "segurança social",
    "seguranca social",
    "паспорт",
    "личный номер",
    "налог",
    "удостоверен",
    "посвідчен",
    "податк",
    "身份",
    "身分",
    "個人番号",
    "证件",
    "證件",
    "주민",
    "kimlik",
    "vergi no",
    "vergi numar",
    "tożsamo",
    "tozsamo",
    "podatk",
    "osobní číslo",
    "osobné číslo",
    "občan",
    "rodné",
    "rodne",
    "személyi",
    "adóazonosító",
    "henkilö",
    "isikukood",
    "asmens",
    "personas kod",
    "personnummer",
    "personnr",
    "fødselsnummer",
    "fodselsnummer",
    "ταυτότητα",
    "هوية",
    "الهوية",
    "القومي",
    "זהות",
    "आधार",
    "บัตรประชาชน",
    "căn cước",
];

/// Words for a company, whose number identifies no person: `RUC de la empresa`, `company tax id`.
const COMPANY_WORDS: &[&str] = &[
    "company",
    "firm",
    "supplier",
    "vendor",
    "corporate",
    "employer",
    "empresa",
    "compañía",
    "sociedad",
    "fornecedor",
    "entreprise",
    "société",
    "azienda",
    "società",
    "unternehmen",
    "firma",
    "lieferant",
    "organisation",
    "organization",
    "компани",
    "организаци",
    "юрлиц",
    "firmy",
];

/// Words that name a number of a person together with the country: `Estonian ID 37605030299`.
const NUMBER_WORDS: &[&str] = &["id", "no", "nr", "number", "code", "card", "document", "person", "user", "customer", "client"];

/// Names of countries and of their people: the common part.
const COUNTRIES: &[(&str, &[&str])] = &[
    ("AE", &["emirat", "uae"]),
    ("AR", &["argentin"]),
    ("AT", &["austria", "österreich"]),
    ("AU", &["australia"]),
    ("BE", &["belgi"]),
    ("BG", &["bulgaria"]),
    ("BR", &["brazil", "brasil"]),
    ("CA", &["canad"]),
    ("CH", &["swiss", "switzerland", "schweiz"]),
    ("CL", &["chile"]),
    ("CN", &["china", "chinese"]),
    ("CO", &["colombia"]),
    ("CU", &["cuba"]),
    ("CZ", &["czech"]),
    ("DE", &["german", "deutsch"]),
    ("DK", &["danish", "denmark"]),
    ("DO", &["dominican"]),
    ("EC", &["ecuador"]),
    ("EE", &["estonia"]),
    ("ES", &["spain", "spanish", "español"]),
    ("FI", &["finland", "finnish"]),
    ("FR", &["france", "french"]),
    ("GB", &["british", "united kingdom", "uk"]),
    ("GR", &["greece", "greek"]),
    ("HR", &["croatia"]),
    ("HU", &["hungar"]),
    ("ID", &["indonesia"]),
    ("IE", &["ireland", "irish"]),
    ("IL", &["israel"]),
    ("IN", &["india"]),
    ("IR", &["iran"]),
    ("IS", &["iceland"]),
    ("IT", &["ital"]),
    ("JP", &["japan"]),
    ("KR", &["korea"]),
    ("KZ", &["kazakh"]),
    ("LK", &["sri lanka"]),
    ("LT", &["lithuania"]),
    ("LV", &["latvia"]),
    ("MD", &["moldova"]),
    ("MX", &["mexic"]),
    ("MY", &["malaysia"]),
    ("NG", &["nigeria"]),
    ("NL", &["netherlands", "dutch"]),
    ("NO", &["norway", "norwegian"]),
    ("NZ", &["new zealand"]),
    ("PE", &["peru"]),
    ("PK", &["pakistan"]),
    ("PL", &["poland", "polish"]),
    ("PT", &["portug"]),
    ("PY", &["paraguay"]),
    ("RO", &["romania"]),
    ("RU", &["russia"]),
    ("SA", &["saudi"]),
    ("SE", &["sweden", "swedish"]),
    ("SG", &["singapore"]),
    ("SI", &["slovenia"]),
    ("TH", &["thai"]),
    ("TR", &["turk"]),
    ("TW", &["taiwan"]),
    ("UA", &["ukrain"]),
    ("US", &["american", "us"]),
    ("UY", &["uruguay"]),
    ("VN", &["vietnam"]),
    ("ZA", &["south africa"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_room_for_all_formats() {
        let all = FormatSet::of(|_| true);
        let in_set: u32 = all.0.iter().map(|bits| bits.count_ones()).sum();
        assert_eq!(usize::try_from(in_set), Ok(formats().count()));
    }
}
