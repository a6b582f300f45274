//! Finds keys without a prefix by the name of their vendor before them (`rules/vendors.toml`): `DATADOG = 9f8c…`.
//!
//! A vendor's name also stands next to commits, digests and ids of requests. So a key must have the form of the vendor's keys or be assigned to a
//! variable of the vendor, must look random, and no word between the name and the key may say that it is something else.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

use serde::Deserialize;

use super::Match;
use super::labels::spellings;
use super::lexicon;
use super::secret_values::{is_sample, looks_random};
use super::text::Text;

/// How far after the name a key may begin.
const DISTANCE_BYTES_MAX: usize = 80;
/// Shorter words are not keys.
const KEY_BYTES_MIN: usize = 16;
/// Longer words are not keys.
const KEY_BYTES_MAX: usize = 512;
/// The words between a name and a key.
const WORDS_MAX: usize = 12;
/// Lines from the name to the key.
const LINE_BREAKS_MAX: usize = 2;
/// A name that is as long also counts at the start of a longer word: `algoliasearch`.
const LONG_NAME_BYTES: usize = 6;

/// Words that say what a random value is, if not a key.
const OTHER_MEANINGS: &str = "\
    id ids sha sha1 sha224 sha256 sha384 sha512 md5 crc crc32 blake2 blake3 digest checksum hash hashes integrity fingerprint thumbprint commit \
    commits revision rev ref refs head tree blob branch merge pull compare diff tag tags release version image images layer manifest trace traceid span \
    spanid parent request requestid req correlation transaction run runs job jobs build builds workflow pipeline task event message msg session etag \
    nonce cursor page offset uuid guid urn object record row document doc file path folder bucket artifact snapshot package lock resolved cid \
    address wallet contract block tx txid txhash hex color cve issue ticket order invoice public pubkey";

/// Words that say that a value is a key.
const KEY_WORDS: &str = "key keys apikey token tokens secret secrets password passwd pwd pass auth credential credentials pat authorization bearer private access";

/// For each of these words, whether it names a key.
static MEANINGS: LazyLock<HashMap<&str, bool>> = LazyLock::new(|| {
    let others = OTHER_MEANINGS.split_whitespace().map(|word| (word, false));
    others.chain(KEY_WORDS.split_whitespace().map(|word| (word, true))).collect()
});

/// The contents of `rules/vendors.toml`: the forms of the keys by the name of the vendor.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VendorTable {
    vendors: BTreeMap<String, String>,
}

/// The characters of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Hex,
    Lower,
    Upper,
    Letters,
    Any,
    Uuid,
}

#[derive(Debug, Clone, Copy)]
struct Form {
    alphabet: Alphabet,
    min: usize,
    max: usize,
}

/// A vendor with the forms of its keys.
#[derive(Debug)]
pub(super) struct VendorRule {
    forms: Vec<Form>,
    /// Whether the name is an ordinary word too: `linear`, `segment`.
    is_word: bool,
}

/// The vendors, each with the spellings of its name.
pub(super) fn rules() -> Option<Vec<(Vec<String>, VendorRule)>> {
    let table: VendorTable = toml::from_str(include_str!("rules/vendors.toml")).ok()?;
    table
        .vendors
        .into_iter()
        .map(|(name, forms)| {
            let forms: Option<Vec<Form>> = forms.split(", ").filter(|form| !form.is_empty()).map(Form::new).collect();
            let entry = lexicon::look_up(&name);
            let is_word = entry.is_common_word() && !entry.is_common_elsewhere();
            Some((spellings(&name).into_iter().collect(), VendorRule { forms: forms?, is_word }))
        })
        .collect()
}

impl Form {
    /// Reads `hex 32` or `letters 20-40`.
    fn new(form: &str) -> Option<Self> {
        let (alphabet, lengths) = form.split_once(' ').unwrap_or((form, "36"));
        let alphabet = match alphabet {
            "hex" => Alphabet::Hex,
            "lower" => Alphabet::Lower,
            "upper" => Alphabet::Upper,
            "letters" => Alphabet::Letters,
            "any" => Alphabet::Any,
            "uuid" => Alphabet::Uuid,
            _ => return None,
        };
        let (min, max) = lengths.split_once('-').unwrap_or((lengths, lengths));
        Some(Self { alphabet, min: min.parse().ok()?, max: max.parse().ok()? })
    }

    fn fits(&self, key: &str) -> bool {
        if !(self.min..=self.max).contains(&key.len()) {
            return false;
        }
        match self.alphabet {
            Alphabet::Hex => is_hex(key),
            Alphabet::Lower => is_hex(key) || key.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()),
            Alphabet::Upper => key.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()),
            Alphabet::Letters => key.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            Alphabet::Any => true,
            Alphabet::Uuid => is_uuid(key),
        }
    }
}

/// What the text between a vendor's name and a word says about it.
#[derive(Debug, Default)]
struct Context {
    /// A word such as `token`.
    names_key: bool,
    /// A word such as `commit`.
    names_other: bool,
    /// The words that were read.
    words: usize,
}

impl Context {
    fn read(&mut self, word: &str) {
        for part in parts_of(word) {
            self.words += 1;
            // The last word counts: `trace token`, `api key id`.
            if let Some(names_key) = MEANINGS.get(part.as_str()) {
                (self.names_key, self.names_other) = (*names_key, !names_key);
            }
        }
    }
}

/// The lower-case words of an identifier: `commitSha_1` is `commit`, `sha`, `1`.
fn parts_of(word: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut last = ' ';
    for c in word.chars() {
        let starts = !last.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && last.is_ascii_lowercase());
        if c.is_ascii_alphanumeric() {
            if starts {
                parts.push(String::new());
            }
            if let Some(part) = parts.last_mut() {
                part.push(c.to_ascii_lowercase());
            }
        }
        last = c;
    }
    parts
}

/// Adds the keys of the vendor whose name is at `name`.
pub(super) fn keys_after(text: Text<'_>, name: &Range<usize>, rule: &VendorRule, matches: &mut Vec<Match>) {
    if !ends_name(text, name) {
        return;
    }
    let limit = text.len().min(name.end + DISTANCE_BYTES_MAX);
    let mut at = name.end;
    loop {
        let start = text.skip_while(at, limit.saturating_sub(at), |byte| !is_key_byte(byte));
        if start >= limit {
            return;
        }
        let end = text.skip_while(start, KEY_BYTES_MAX, is_key_byte);
        at = end;
        let is_glued = start == name.end && glued_words_len(text.slice(start..end), true) == 0;
        if is_glued || end - start < KEY_BYTES_MIN {
            continue;
        }
        let word_start = start;
        let start = start + glued_words_len(text.slice(start..end), start == name.end);
        let word = text.slice(start..end).trim_end_matches(['.', '-', '/', '~']);
        if end - start >= KEY_BYTES_MAX || !may_be_key(word) {
            continue;
        }
        let end = text.skip_while(start + word.len(), 2, |byte| byte == b'=');
        if is_key(text, start..end, rule, name, start > word_start) {
            matches.push(Match { range: start..end, kind: "api_key", detector: "vendor name" });
        }
    }
}

/// The length of the words such as `key` before a key in the same word: of `token-` in `token-9f8c…`, or of `key-` after the name in `vendorkey-9f8c…`.
/// Only letters and digits or a UUID follow, because a key may contain hyphens itself.
fn glued_words_len(word: &str, follows_name: bool) -> usize {
    const LONG_KEY_BYTES: usize = 32;
    let mut rest = word;
    loop {
        let trimmed = rest.trim_start_matches(['-', '.', '_', '/']);
        if let Some(len) = key_word_len(trimmed) {
            rest = trimmed.get(len..).unwrap_or_default();
            continue;
        }
        let is_separated = rest.len() > trimmed.len() && (follows_name || rest.len() < word.len());
        let is_plain = is_uuid(trimmed)
            || (trimmed.len() >= KEY_BYTES_MIN && trimmed.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            || (trimmed.len() >= LONG_KEY_BYTES && word.len() - trimmed.len() > 3);
        return if is_separated && is_plain { word.len() - trimmed.len() } else { 0 };
    }
}

/// The length of a word for a key at the start of a text, in any case.
fn key_word_len(text: &str) -> Option<usize> {
    const WORDS: [&str; 10] = ["private", "access", "secret", "token", "apikey", "bearer", "auth", "key", "api", "pat"];
    WORDS.into_iter().find(|word| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))).map(str::len)
}

/// Whether a word is long enough for a key and has letters and digits or letters of both cases: excludes nearly all words without a judgement.
fn may_be_key(word: &str) -> bool {
    let has = |class: fn(&u8) -> bool| word.bytes().any(|byte| class(&byte));
    word.len() >= KEY_BYTES_MIN && (has(u8::is_ascii_digit) || (has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)))
}

/// What the words before the name, on its line, and between the name and `key` say; `None` if the key is too far away.
fn context_of(text: Text<'_>, name: &Range<usize>, key: usize) -> Option<Context> {
    let between = text.slice(name.end..key);
    if between.bytes().filter(|byte| *byte == b'\n').count() > LINE_BREAKS_MAX {
        return None;
    }
    let mut context = Context::default();
    read_words_before(text, name.start, &mut context);
    context.names_key = false;
    context.read(between);
    (context.words <= WORDS_MAX).then_some(context)
}

/// The words directly before the name: `sha256 of docker`.
fn read_words_before(text: Text<'_>, name: usize, context: &mut Context) {
    const BYTES_MAX: usize = 24;
    let mut from = text.start_after_last(name, BYTES_MAX, [b'\n', b'"']);
    // The limit of the look back may be inside a word.
    while from < name && !text.is_word_start(from) {
        from += 1;
    }
    context.read(text.slice(from..name));
    context.words = 0;
}

/// Whether the word at `range` is a key of the vendor.
fn is_key(text: Text<'_>, range: Range<usize>, rule: &VendorRule, name: &Range<usize>, is_glued: bool) -> bool {
    let key = text.slice(range.clone());
    // A part of a path, a call, a variable or an anchor.
    let is_in_path = (!is_glued && matches!(text.byte_before(range.start), b'/' | b'@' | b'#' | b'$' | b'{' | b'\\' | b'.'))
        || matches!(text.byte_at(range.end), b'(' | b'{' | b'\\' | b'@')
        || has_plain_parts(key)
        || text.slice(range.start.saturating_sub(2)..range.start) == "::"
        || is_host(key)
        || is_name_of_code(key);
    if is_in_path || !looks_random(key) || is_sample(key) {
        return false;
    }
    let Some(mut context) = context_of(text, name, range.start).filter(|context| !context.names_other) else { return false };
    // `vendorPRIVATEkey-9f8c…`.
    context.names_key |= is_glued && range.start > name.end + 1;
    // Digests are not written in both cases.
    let has = |class: fn(&u8) -> bool| key.bytes().any(|byte| class(&byte));
    let is_plain_hex = is_hex(key) && !(has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)) || is_uuid(key);
    let fits = rule.forms.iter().any(|form| form.fits(key));
    // The key directly follows the identifier that contains the name: `DATADOG_API = '…'`, `"datadog": "…"`.
    let identifier_end = text.skip_while(name.end, 48, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    let is_assigned = is_assigned(text, range.start);
    let follows =
        text.slice(identifier_end.min(range.start)..range.start).bytes().all(|byte| !byte.is_ascii_alphanumeric() && byte != b'\n');
    // Any generated value that is assigned to the vendor's variable, other than in the forms that digests and ids of records have.
    let is_generated = !is_plain_hex && key.len() >= 20;
    match () {
        () if is_typed_id(key) && !context.names_key => false,
        () if is_assigned && follows => fits || is_generated,
        () if context.names_key => fits || (is_glued && is_generated),
        () if rule.is_word => false,
        // `datadog 9f8c…`: nothing else stands between them.
        () if is_plain_hex => fits && (is_assigned || (range.start <= name.end + 1)),
        () => fits,
    }
}

/// Whether a value is the id of an object, whose type is its first part: `call_MtPffiIxJ7lMrZGiWX8vaMoY`, `evt_…`.
fn is_typed_id(key: &str) -> bool {
    let Some((kind, id)) = key.split_once(['_', '-']) else { return false };
    (2..=12).contains(&kind.len())
        && kind.bytes().all(|byte| byte.is_ascii_lowercase())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a value is a name of a type, function or constant: `NamedKeyCredential`, `RSA_PKCS1_3072_SHA384`.
fn is_name_of_code(key: &str) -> bool {
    let has = |class: fn(&u8) -> bool| key.bytes().any(|byte| class(&byte));
    let is_constant = key.contains('_') && !has(u8::is_ascii_lowercase);
    let is_one_case = !(has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase));
    is_constant || (is_one_case && !has(u8::is_ascii_digit)) || is_camel_case(key)
}

/// Whether a value is made of words in camel case, whose parts are longer than those of random letters: `HttpClient2026ConfigLoader`.
fn is_camel_case(key: &str) -> bool {
    let bytes = key.as_bytes();
    let starts_part = |pair: &&[u8]| match pair {
        [before, byte] => {
            (byte.is_ascii_uppercase() && !before.is_ascii_uppercase())
                || (byte.is_ascii_digit() && !before.is_ascii_digit())
                || (byte.is_ascii_lowercase() && before.is_ascii_digit())
        }
        _ => false,
    };
    let parts = 1 + bytes.windows(2).filter(starts_part).count();
    let has_both = bytes.iter().any(u8::is_ascii_lowercase) && bytes.iter().any(u8::is_ascii_uppercase);
    has_both && parts * 4 <= key.len()
}

/// Whether a word is made of others with separators: a path, a host, a module, a version.
fn has_plain_parts(key: &str) -> bool {
    let is_plain = |part: &str| part.len() >= 4 && part.bytes().all(|byte| byte.is_ascii_lowercase());
    key.contains(['/', '.']) && key.split(['/', '.', '-', '_']).any(is_plain)
        || key.split(['-', '_']).filter(|part| is_plain(part)).count() >= 2
}

/// Whether `=`, `:` or the like stands before `start`, with quotes and spaces between.
fn is_assigned(text: Text<'_>, start: usize) -> bool {
    let before = text.skip_back_while(start, 4, |byte| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'('));
    matches!(text.byte_before(before), b'=' | b':' | b'>' | b',' | b'|')
}

/// Whether a word is the name of a host.
fn is_host(key: &str) -> bool {
    const ENDS: [&str; 9] = [".com", ".net", ".org", ".io", ".dev", ".app", ".cloud", ".ai", ".co"];
    ENDS.iter().any(|end| key.ends_with(end))
}

fn ends_name(text: Text<'_>, name: &Range<usize>) -> bool {
    let (last, next) = (text.byte_before(name.end), text.byte_at(name.end));
    name.len() >= LONG_NAME_BYTES
        || key_word_len(text.window(name.end, 8)).is_some()
        || !next.is_ascii_alphabetic()
        || (next.is_ascii_uppercase() && last.is_ascii_lowercase())
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'.' | b'~')
}

fn is_hex(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_uuid(key: &str) -> bool {
    key.len() == 36
        && key
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_alphanumeric() })
}

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, scan};
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let found = scan(text, &CustomDetectors::default());
        found.first().and_then(|detection| text.get(detection.range.clone()))
    }

    #[test]
    fn a_key_in_the_form_of_a_vendor_is_found_near_its_name() {
        const HEX: &str = "9f8c2b7a6d5e4f3a2b1c0d9e8f7a6b5c";
        const LETTERS: &str = "kQ3zRtYb7NmWxPvLcJhGdS2aFqTe9UiO";
        for (text, key) in [
            (format!("ADOBE = {HEX}"), HEX),
            (format!("\"adobe\": \"{HEX}\""), HEX),
            (format!("export ALGOLIA_API={LETTERS}"), LETTERS),
            (format!("# Algolia\nvalue = \"{LETTERS}\""), LETTERS),
            (format!("https://api.accuweather.com/v1/items?x={LETTERS}"), LETTERS),
            (format!("zendesk -> '{LETTERS}'"), LETTERS),
            (format!("pdfshift PRIVATE {HEX}"), HEX),
            (format!("pdfshiftACCESS {HEX}"), HEX),
            (format!("pdfshift {HEX}"), HEX),
            (format!("pdfshift-token-{HEX}"), HEX),
            (format!("pdfshiftkey-{HEX}"), HEX),
            (format!("pdfshiftPRIVATEkey-{HEX}"), HEX),
            (format!("hellosignACCESS-TOKEN-{LETTERS}+{LETTERS}x7"), &format!("{LETTERS}+{LETTERS}x7")),
            (format!("abstractSECRET.{HEX}"), HEX),
            ("codatoken-5a0c1b7e-93d2-4f68-8b1d-2c7e9a4f6035".to_owned(), "5a0c1b7e-93d2-4f68-8b1d-2c7e9a4f6035"),
            ("refinertoken-5a0c1b7e-93d2-4f68-8b1d-2c7e9a4f6035".to_owned(), "5a0c1b7e-93d2-4f68-8b1d-2c7e9a4f6035"),
            ("sourcegraph: 9F8c2b7a6d5E4f3a2b1c0d9e8F7a6b5c4d3e2f1a".to_owned(), "9F8c2b7a6d5E4f3a2b1c0d9e8F7a6b5c4d3e2f1a"),
        ] {
            assert_eq!(found(&text), Some(key), "{text}");
        }
    }

    #[test]
    fn commits_digests_and_ids_next_to_a_vendor_stay() {
        const SHA: &str = "3f786850e387550fdab836ed7e6dc881de23001b";
        const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for text in [
            format!("github commit {SHA}"),
            format!("https://github.com/acme/widgets/commit/{SHA}"),
            format!("uses: actions/checkout@{SHA} # github"),
            format!("docker pull acme/app@sha256:{SHA256}"),
            format!("aha sha256 = {SHA256}"),
            format!("sha256 of aha: {SHA256}"),
            format!("newrelic trace_id={SHA}"),
            format!("okta request id: {SHA}"),
            "stripe customer 0a20e5eb-087a-4411-bf7e-2a50f62dead9 updated".to_owned(),
            "heroku = docs/redaction/internals_of_the_scanner_v2.md".to_owned(),
            "datadog.yaml: site: us5.datadoghq.com".to_owned(),
            "AUTH0_DOMAIN = 'dev-k3q9zr71xw0b.us.auth0.com'".to_owned(),
            format!("github-commit-{SHA}"),
            "algolia = xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(),
            "zendesk: call_MtPffiIxJ7lMrZGiWX8vaMoY returned 3 items".to_owned(),
            "flightlabs = \"FlightlabsClient2026ConfigLoader\"".to_owned(),
            "aws_lc_rs::RSA_PKCS1_3072_8192_SHA384".to_owned(),
            "import { AzureNamedKeyCredential } from x".to_owned(),
            "from segment import AnalyticsBatchConsumerV2Client".to_owned(),
        ] {
            assert_eq!(found(&text), None, "{text}");
        }
    }

    #[test]
    fn every_form_of_the_table_is_read() {
        let rules = rules().unwrap();
        assert!(rules.len() > 500);
        assert!(rules.iter().flat_map(|(_, rule)| &rule.forms).all(|form| form.min >= KEY_BYTES_MIN && form.max >= form.min));
    }
}
