//! Labels: names such as `password` or `date of birth` that identify the value next to them (`rules/labels/`).
//!
//! Reads the tables, and recognizes a label in a text: rejects it if its identifier changes its meaning (`ip_address` is not an `address`). Where
//! its value is, is decided in [`super::value_start`]; whether the value fits the label, in [`super::values`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{LazyLock, PoisonError, RwLock};

use serde::Deserialize;

use super::lexicon::fold;
use super::literals::LabelRule;
use super::secrets::to_static;
use super::text::{Text, is_unspaced};
use super::tokens::token_end;
pub(super) use super::value_start::{
    LabelSyntax, ValueStart, ends_spaced_value, ends_unspaced_value, find_value_start, value_range, value_start_of_label,
};

/// The type of a label's value, which decides how the value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ValueType {
    Password,
    /// A password if it is assigned (`pwd=…`); the label is too common a word to match in a sentence ("tests pass").
    AssignedPassword,
    /// The answer to a security question: any words, if they are assigned.
    Answer,
    /// A code of a few digits: PIN, one-time code, card verification value.
    Pin,
    Secret,
    /// A secret that must look random, because its label (`key`) also has harmless values such as `partition_key: region`.
    Key,
    Authorization,
    /// User name and password, as the arguments of a call (`login("ada", "…")`) or with a slash between them.
    Pair,
    /// User name and password in base64: `"auth": "…"` of Docker and npm.
    EncodedPair,
    Cookie,
    Seed,
    Date,
    Id,
    /// An id next to its label, which is a common word or a short acronym (`document`, `RG`).
    WeakId,
    /// A number directly after a noun for a person: `patient 482913`.
    PersonNumber,
    /// The value of an identifier whose type is a code of HL7: `"code": "MR"`.
    CodedId,
    /// The fields of a segment about a person in a message between hospitals and insurers: `PID|…`, `NM1*…`.
    Segment,
    /// The last four digits of a number.
    LastDigits,
    Account,
    /// An account number next to its label (`account`), which has many other values.
    WeakAccount,
    Iban,
    Card,
    /// The month in which a card expires: `04/29`.
    Expiry,
    Phone,
    Coordinate,
    Address,
    PostalCode,
    Person,
    /// A person if the value looks like a name; the label (`name`, `user`, `from`) has many other values.
    WeakPerson,
}

impl ValueType {
    pub(super) fn is_person(self) -> bool {
        matches!(self, Self::Person | Self::WeakPerson)
    }

    /// Whether the value is a credential.
    pub(super) fn is_credential(self) -> bool {
        self == Self::Seed || self.is_argument()
    }

    /// Whether the syntax of calls and arguments (`password "…"`) marks the value.
    pub(super) fn is_argument(self) -> bool {
        matches!(
            self,
            Self::Password
                | Self::AssignedPassword
                | Self::Answer
                | Self::Pin
                | Self::Secret
                | Self::Key
                | Self::Authorization
                | Self::Pair
                | Self::EncodedPair
                | Self::Cookie
        )
    }
}

/// One `[[label]]` entry of the tables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelEntry {
    pub(super) kind: String,
    pub(super) value: ValueType,
    /// The names by language.
    pub(super) words: BTreeMap<String, Vec<String>>,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    pub(super) examples: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    pub(super) counterexamples: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelTable {
    pub(super) label: Vec<LabelEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixTable {
    prefix: Vec<PrefixRule>,
}

/// One `[[prefix]]` entry: words before a label in its identifier that change its meaning.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixRule {
    value: ValueType,
    /// With these the label does not match: `ip_address`.
    #[serde(default)]
    excluded: Vec<String>,
    /// Only with these the label matches: `customer_name`.
    #[serde(default)]
    only: Vec<String>,
}

static PREFIX_RULES: LazyLock<Vec<PrefixRule>> =
    LazyLock::new(|| toml::from_str(include_str!("rules/labels/prefixes.toml")).map(|table: PrefixTable| table.prefix).unwrap_or_default());

/// The sources of the label tables.
pub(super) const TABLES: [&str; 4] = [
    include_str!("rules/labels/credentials.toml"),
    include_str!("rules/labels/identity.toml"),
    include_str!("rules/labels/finance.toml"),
    include_str!("rules/labels/contact.toml"),
];

pub(super) fn table() -> Option<LabelTable> {
    let mut label = Vec::new();
    for source in TABLES {
        label.extend(toml::from_str::<LabelTable>(source).ok()?.label);
    }
    Some(LabelTable { label })
}

/// How a label may stand in its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelForm {
    /// As it is, or with a plural or a word for "number".
    Whole,
    /// With an ending: `salasanani`.
    Stem,
    /// At the end of another word: `dbpassword`.
    Glued,
}

impl LabelForm {
    pub(super) const ALL: [Self; 3] = [Self::Whole, Self::Stem, Self::Glued];

    /// The form of a name in the tables, where `*` marks a stem.
    pub(super) fn of(words: &str) -> Self {
        if words.ends_with('*') { Self::Stem } else { Self::Whole }
    }
}

/// Labels that are also found at the end of other words. Few, because they are searched in every text at every position.
pub(super) const GLUED: [(&str, &str, ValueType); 6] = [
    ("password", "password", ValueType::Password),
    ("PASSWORD", "password", ValueType::Password),
    ("passwd", "password", ValueType::Password),
    ("passphrase", "password", ValueType::Password),
    ("apikey", "generic_secret", ValueType::Secret),
    ("secretkey", "generic_secret", ValueType::Secret),
];

/// The spellings of a label. A space also matches `_`, `-` and nothing, so `date of birth` matches `date_of_birth`; letters with accents also match
/// without. Searches ignore the case of ASCII letters only, so other letters are given in lower and upper case.
pub(super) fn spellings(words: &str) -> BTreeSet<String> {
    // A short word without its accents may be a word of another language: `tên` and `ten`.
    const FOLDED_BYTES_MIN: usize = 4;
    let words = words.trim_end_matches('*');
    let mut forms = BTreeSet::from([words.to_owned()]);
    for folded in [words.chars().filter_map(fold_label).collect(), transliterate(words)] {
        if folded.len() >= FOLDED_BYTES_MIN {
            forms.insert(folded);
        }
    }
    // `account no` is also written `account #`.
    if let Some(name) = words.strip_suffix(" no").or_else(|| words.strip_suffix(" number")) {
        forms.insert(format!("{name} #"));
    }
    let mut spellings = BTreeSet::new();
    for form in forms {
        let separated =
            if form.contains(' ') { [" ", "_", "-", ""].map(|separator| form.replace(' ', separator)).to_vec() } else { vec![form] };
        for spelling in separated {
            if !spelling.is_ascii() {
                spellings.insert(spelling.to_uppercase());
                spellings.insert(titlecase(&spelling));
                spellings.insert(capitalize(&spelling));
            }
            // The search needs three bytes, so two letters are given with what may follow them.
            if spelling.len() < 3 {
                spellings.extend(AFTER_SHORT_LABELS.iter().map(|next| format!("{spelling}{next}")));
            } else {
                spellings.insert(spelling);
            }
        }
    }
    spellings
}

/// What may follow a label of two letters.
const AFTER_SHORT_LABELS: [char; 16] = [':', ' ', ',', ';', '=', '"', '\'', '#', '-', '.', '_', '<', '>', '|', '\t', ')'];

/// A letter without its accents, also those of Vietnamese.
fn fold_label(letter: char) -> Option<char> {
    match letter {
        '\u{1ea0}'..='\u{1eb7}' => Some('a'),
        '\u{1eb8}'..='\u{1ec7}' => Some('e'),
        '\u{1ec8}'..='\u{1ecb}' => Some('i'),
        'ơ' | '\u{1ecc}'..='\u{1ee3}' => Some('o'),
        'ư' | '\u{1ee4}'..='\u{1ef1}' => Some('u'),
        '\u{1ef2}'..='\u{1ef9}' => Some('y'),
        other => fold(other),
    }
}

/// German and Scandinavian letters as two letters: `fuehrerschein`.
fn transliterate(words: &str) -> String {
    let mut plain = String::new();
    for letter in words.chars() {
        match letter {
            'ä' | 'æ' => plain.push_str("ae"),
            'ö' | 'ø' => plain.push_str("oe"),
            'ü' => plain.push_str("ue"),
            'å' => plain.push_str("aa"),
            'ß' => plain.push_str("ss"),
            other => plain.extend(fold(other)),
        }
    }
    plain
}

/// The first letter as a capital: `Дата рождения`, `Д.р`.
fn capitalize(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// Every word with a capital.
fn titlecase(words: &str) -> String {
    let mut title = String::new();
    let mut last = ' ';
    for letter in words.chars() {
        if last.is_alphabetic() {
            title.push(letter);
        } else {
            title.extend(letter.to_uppercase());
        }
        last = letter;
    }
    title
}

/// A label in a text, with the identifier that contains it.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) start: usize,
    /// The label itself, as it is in the tables but for the case of its letters.
    pub(super) word: Range<usize>,
    /// The whole identifier, such as `customer.phone` around `phone`.
    pub(super) identifier: Range<usize>,
    /// Whether the identifier has another word that may change the meaning of the label, so that its value must be clearer: `token_store`.
    pub(super) is_weak: bool,
    /// Whether the label is in the plural, so that a list may follow.
    pub(super) is_plural: bool,
}

/// The detector of the values next to a label: `label "date of birth"`. Only words of the tables are labels, so there are few different ones.
pub(super) fn detector_of(label: &str) -> &'static str {
    static DETECTORS: LazyLock<RwLock<HashMap<String, &'static str>>> = LazyLock::new(RwLock::default);
    let label = label.to_lowercase();
    if let Some(detector) = DETECTORS.read().unwrap_or_else(PoisonError::into_inner).get(&label) {
        return detector;
    }
    let detector = to_static(&format!("label \"{label}\""));
    DETECTORS.write().unwrap_or_else(PoisonError::into_inner).entry(label).or_insert(detector)
}

/// The label at `literal`, if it is a word or a part of an identifier and the rest of the identifier does not change its meaning.
pub(super) fn label_at(text: Text<'_>, literal: Range<usize>, rule: LabelRule) -> Option<Label> {
    let (start, mut end) = (literal.start, literal.end);
    // A label of two letters was found with the character after it.
    if literal.len() == 3 && !text.byte_before(end).is_ascii_alphanumeric() && text.byte_at(start + 1).is_ascii_alphanumeric() {
        end -= 1;
    }
    let (before, first) = (text.byte_before(start), text.byte_at(start));
    let is_unspaced_label = text.char_at(start).is_some_and(is_unspaced);
    // The label starts a word (`phone`, `home_phone`) or a camel-case part (`homePhone`), but not inside a word (`headphone`).
    let is_part_start = is_unspaced_label
        || if before >= 0x80 {
            !text.char_before(start).is_some_and(|letter| letter.is_alphanumeric() && !is_unspaced(letter))
        } else {
            // Also after an abbreviation: `ETSYToken`.
            !before.is_ascii_alphanumeric()
                || (first.is_ascii_uppercase() && (!before.is_ascii_uppercase() || text.byte_at(start + 1).is_ascii_lowercase()))
        };
    if is_part_start == (rule.form == LabelForm::Glued) {
        return None;
    }
    let identifier_start = text.skip_back_while(start, 64, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    // The kind in a redaction token is not a label: `PASSWORD` in `<PASSWORD:1a2b3c>`.
    if text.byte_before(identifier_start) == b'<' && token_end(text, identifier_start - 1, None).is_some() {
        return None;
    }
    let mut is_plural = false;
    if !is_unspaced_label {
        (end, is_plural) = end_of_word(text, start..end, rule)?;
    }
    let mut label = Label { start, word: start..end, identifier: identifier_start..end, is_weak: false, is_plural };
    if !is_unspaced_label && identifier_continues(text, end) {
        let identifier_end = text.skip_while(end, 40, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        // `MRN-361271`: the value follows a hyphen. Otherwise only neutral words may follow: `password_hash`, but not `token_type`.
        if !(text.byte_at(end) == b'-' && text.byte_at(end + 1).is_ascii_digit() && literal.len() >= 3) {
            label.identifier.end = identifier_end;
            for word in words_of(text.slice(end..identifier_end)) {
                match suffix_meaning(&word, rule.value_type) {
                    SuffixMeaning::Neutral => {}
                    SuffixMeaning::Weak => label.is_weak = true,
                    SuffixMeaning::Other => return None,
                }
            }
        }
    }
    prefix_is_compatible(text.slice(identifier_start..start), text.slice(start..end), rule.value_type).then_some(label)
}

/// Endings of a label in its word: the plural and words for "number", such as `passwords`, `passportNumber`, `steuernr`.
const NUMBER_ENDINGS: [&str; 16] = [
    "no", "nr", "num", "nbr", "number", "numbers", "nummer", "nummern", "nro", "numero", "numer", "numeris", "numurs", "numbri", "szam",
    "szama",
];

/// The end of the word of a label, and whether it is a plural; `None` if another word continues it (`nom` in `nomás`, `pass` in `passenger`).
fn end_of_word(text: Text<'_>, label: Range<usize>, rule: LabelRule) -> Option<(usize, bool)> {
    const ENDING_BYTES_MAX: usize = 24;
    let end = label.end;
    let window = text.window(end, ENDING_BYTES_MAX);
    let is_continuation = |letter: char| letter.is_alphabetic() && !is_unspaced(letter) && !letter.is_ascii_uppercase();
    let ending = window.get(..window.find(|letter| !is_continuation(letter)).unwrap_or(window.len())).unwrap_or_default();
    // In capitals the word also continues with capitals: `PASSWORDS`. In camel case a capital starts the next word.
    let is_capitals = text.byte_before(end).is_ascii_uppercase() && text.byte_before(end - 1).is_ascii_uppercase();
    let ending = if ending.is_empty() && is_capitals {
        window.get(..window.find(|letter: char| !letter.is_ascii_uppercase()).unwrap_or(window.len())).unwrap_or_default()
    } else {
        ending
    };
    if ending.is_empty() {
        return Some((end, false));
    }
    let lower = ending.to_ascii_lowercase();
    let is_number = || NUMBER_ENDINGS.contains(&lower.as_str()) && !rule.value_type.is_person();
    match rule.form {
        LabelForm::Stem if ending.chars().count() <= 10 => Some((end + ending.len(), false)),
        _ if (lower == "s" && label.len() >= 3 || lower == "es" && label.len() >= 5) && !rule.value_type.is_person() => {
            Some((end + ending.len(), true))
        }
        _ if is_number() && label.len() >= 4 => Some((end + ending.len(), lower == "numbers")),
        _ => None,
    }
}

/// Whether the identifier continues after a word: `phone_number`, `phoneNumber`, `phone2`.
fn identifier_continues(text: Text<'_>, end: usize) -> bool {
    if text.byte_before(end) == b'#' {
        return false;
    }
    match text.byte_at(end) {
        b'_' | b'-' => text.byte_at(end + 1).is_ascii_alphanumeric(),
        next => next.is_ascii_digit() || (next.is_ascii_uppercase() && text.byte_before(end).is_ascii_lowercase()),
    }
}

/// Splits a part of an identifier into lower-case words: `customerPhone_2` into `customer`, `phone`, `2`.
fn words_of(part: &str) -> impl Iterator<Item = String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = ' ';
    for c in part.chars() {
        if c.is_alphanumeric() {
            let starts_word = !last.is_alphanumeric() || (c.is_uppercase() && last.is_lowercase()) || (c.is_numeric() != last.is_numeric());
            if starts_word || words.is_empty() {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        last = c;
    }
    words.into_iter()
}

/// What a word after a label in its identifier does to the label's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SuffixMeaning {
    /// It keeps the meaning: `phone_number`, `api_key_prod`.
    Neutral,
    /// It probably keeps the meaning: `password_zabbix`.
    Weak,
    /// It changes the meaning: `token_type`.
    Other,
}

/// Words after a label that keep its meaning.
const NEUTRAL_SUFFIXES: &str = "\
    value text number no nr num nbr nummer numero plain raw str string full line primary secondary current new old main confirm confirmation hash base \
    b64 base64 encoded prod production dev test live staging stage secret home work mobile office business legal formatted input app io com terraform \
    env v one two first last patient customer client user admin root owner member employee holder s e164 national international cell direct on file \
    last4 original provided given known verified entered real code card default osobe osoby osoba persona personal pessoa cliente paciente titular \
    receptor emisor solicitante asegurado beneficiario beneficiary kunde kunden klant client klienta pacjenta pacienta zakaznika assure adherent ref val";

/// Words after the label of a credential that change its meaning: the value is a rule, a place or a property of the credential.
const CREDENTIAL_PROPERTIES: &str = "\
    backends encoders validators age algorithm at attempts auth box budget button callback changed check class column config count created date dialog dir disabled discovery \
    duration enabled encoder endpoint env error exists expiration expired expires expiry factory field file filename flow folder form format from \
    generator grant group handler hashers handlers header hint history icon id ids in index info input_type interval is issuer iv kind label last_changed latency len \
    length level lifetime limit limits link list location loader manager mapping mask max message meta method min mismatch mode model name names needed \
    ok only option options page params parameter path pattern per placeholder policies policy position prefix probability probs processor prompt \
    provider quota range rate ratio reader ref reference regex required requirement requirements requires reset resolver response retries revoked \
    rotation rule rules scheme schema scope scopes score service set size source spec split state status store strategy strength suffix template time \
    timeout title to toggle total ttl type types uri url usage usages used util utils uuid valid validate validation validator version view visibility \
    visible was window with";

/// Whether a word after the label of a credential names one of its properties: `token type`, `signature algorithm`.
pub(super) fn is_credential_property(word: &str) -> bool {
    static PROPERTIES: LazyLock<BTreeSet<&str>> = LazyLock::new(|| CREDENTIAL_PROPERTIES.split_whitespace().collect());
    PROPERTIES.contains(word)
}

fn suffix_meaning(word: &str, value_type: ValueType) -> SuffixMeaning {
    static NEUTRAL: LazyLock<BTreeSet<&str>> = LazyLock::new(|| NEUTRAL_SUFFIXES.split_whitespace().collect());
    let is_credential = matches!(value_type, ValueType::Password | ValueType::AssignedPassword | ValueType::Secret);
    // `secret_ref` and `token_file` name a place; `patient_ref` is a number.
    if is_credential && matches!(word, "ref" | "file") {
        return SuffixMeaning::Other;
    }
    if NEUTRAL.contains(word) || word.bytes().all(|byte| byte.is_ascii_digit()) {
        SuffixMeaning::Neutral
    } else if is_credential && !is_credential_property(word) {
        SuffixMeaning::Weak
    } else {
        SuffixMeaning::Other
    }
}

/// Whether the label keeps its meaning after `prefix`, the part of its identifier before it.
fn prefix_is_compatible(prefix: &str, label: &str, value_type: ValueType) -> bool {
    if prefix.is_empty() {
        return true;
    }
    // Only the last word of the prefix counts, in lower case: `remote` in `server.remoteAddress`.
    let body = prefix.trim_end_matches(['_', '-', '.']);
    let mut from = body.len();
    for (index, c) in body.char_indices().rev() {
        if !c.is_ascii_alphanumeric() {
            break;
        }
        from = index;
        if c.is_ascii_uppercase() && body.get(index + 1..).is_some_and(|tail| tail.starts_with(|next: char| next.is_ascii_lowercase())) {
            break;
        }
    }
    let last = body.get(from..).unwrap_or_default().to_ascii_lowercase();
    let last = last.as_str();
    let excluded = |value_type: ValueType| {
        PREFIX_RULES.iter().any(|prefix| prefix.value == value_type && prefix.excluded.iter().any(|word| word == last))
    };
    match value_type {
        // `customer.name`, but not `tool.name`.
        ValueType::WeakPerson if label.eq_ignore_ascii_case("name") => {
            PREFIX_RULES.iter().any(|prefix| prefix.value == value_type && prefix.only.iter().any(|word| word == last))
        }
        // `message.author`, but not `coauthor`.
        ValueType::WeakPerson => prefix.ends_with(['.', '-', '_']) && !excluded(value_type),
        ValueType::AssignedPassword | ValueType::Answer => !excluded(ValueType::Password),
        ValueType::Account | ValueType::WeakAccount | ValueType::WeakId => !excluded(ValueType::Id),
        _ => !excluded(value_type),
    }
}
