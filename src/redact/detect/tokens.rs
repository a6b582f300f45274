//! Recognizes redaction tokens of an earlier redaction, such as `<EMAIL:1a2b3c>`.
//!
//! Only known kinds with a suffix of the right form count as tokens. Anything else in angle brackets is ordinary text, so that
//! `<DE89370400440532013000>` is still redacted.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use super::CustomDetectors;
use super::literals::literals;
use super::text::Text;

/// Hex digits after the kind in a token.
pub(in crate::redact) const TOKEN_SUFFIX_DIGITS: usize = 6;

/// Length of the longest kind, including the kinds of custom detectors.
pub(super) const KIND_BYTES_MAX: usize = 32;

/// Length of the longest token: kind, suffix, `<`, `:` and `>`.
const TOKEN_BYTES_MAX: usize = KIND_BYTES_MAX + TOKEN_SUFFIX_DIGITS + 3;

/// Kinds of the detectors that are code; all other kinds are in the rule tables.
pub(super) const BUILTIN_KINDS: [&str; 18] = [
    "address",
    "api_key",
    "connection_string",
    "credit_card",
    "crypto_key",
    "crypto_wallet",
    "email",
    "iban",
    "ip",
    "mac",
    "organisation",
    "person",
    "phone",
    "session",
    "ssn",
    "url_credentials",
    "user",
    "username_path",
];

/// Kinds whose short values get a token without a suffix. There are so few PINs that equal suffixes would reveal them.
pub(in crate::redact) const LOW_ENTROPY_KINDS: [&str; 6] =
    ["password", "generic_secret", "basic_auth", "url_credentials", "connection_string", "session_cookie"];

/// The kinds of all built-in detectors, in upper case.
static KINDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let of_formats = literals().into_iter().flat_map(|literals| &literals.secrets).map(|rule| rule.kind);
    let of_labels = literals().into_iter().flat_map(|literals| &literals.labels).map(|rule| rule.kind);
    of_formats.chain(of_labels).chain(BUILTIN_KINDS).map(str::to_ascii_uppercase).collect()
});

/// Whether a redactor with these custom detectors makes tokens of this kind, given in upper case.
fn is_kind(kind: &str, custom: Option<&CustomDetectors>) -> bool {
    KINDS.contains(kind) || custom.is_some_and(|custom| custom.has_kind(kind))
}

/// The end of the token whose `<` is at `open`.
pub(super) fn token_end(text: Text<'_>, open: usize, custom: Option<&CustomDetectors>) -> Option<usize> {
    let kind_start = open + 1;
    let kind_end = text.skip_while(kind_start, KIND_BYTES_MAX + 1, |byte| byte.is_ascii_uppercase() || byte == b'_');
    let kind = text.slice(kind_start..kind_end);
    let end = match text.byte_at(kind_end) {
        b':' => {
            let end = text.skip_while(kind_end + 1, TOKEN_SUFFIX_DIGITS, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            (end == kind_end + 1 + TOKEN_SUFFIX_DIGITS).then_some(end)?
        }
        _ => LOW_ENTROPY_KINDS.iter().any(|low_entropy| low_entropy.eq_ignore_ascii_case(kind)).then_some(kind_end)?,
    };
    (text.byte_at(open) == b'<' && text.byte_at(end) == b'>' && is_kind(kind, custom)).then_some(end + 1)
}

/// Whether a text is one token and nothing else.
pub(in crate::redact) fn is_token(text: &str, custom: &CustomDetectors) -> bool {
    text.starts_with('<') && token_end(Text(text), 0, Some(custom)) == Some(text.len())
}

/// The token that contains the position `at`.
pub(super) fn token_around(text: Text<'_>, at: usize, custom: &CustomDetectors) -> Option<std::ops::Range<usize>> {
    let from = (at + 1).saturating_sub(TOKEN_BYTES_MAX);
    let open = from + memchr::memrchr(b'<', text.bytes().get(from..=at)?)?;
    token_end(text, open, Some(custom)).map(|end| open..end)
}

/// Replaces every token by `<>`, to check a redacted text. Implemented independently of [`token_around`], so that a check does not share the
/// defects of the exception that redaction makes for tokens.
pub(super) fn strip_tokens<'t>(text: &'t str, custom: &CustomDetectors) -> Cow<'t, str> {
    let mut parts = text.split('<');
    let Some(first) = parts.next().filter(|first| first.len() < text.len()) else { return Cow::Borrowed(text) };
    let mut left = String::with_capacity(text.len());
    left.push_str(first);
    for part in parts {
        left.push('<');
        let rest = part.split_once('>').and_then(|(token, rest)| {
            let (kind, suffix) = token.split_once(':').map_or((token, None), |(kind, suffix)| (kind, Some(suffix)));
            let has_suffix = suffix.is_some_and(|suffix| {
                suffix.len() == TOKEN_SUFFIX_DIGITS && suffix.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            });
            let is_short = suffix.is_none() && LOW_ENTROPY_KINDS.iter().any(|low_entropy| low_entropy.to_ascii_uppercase() == kind);
            ((has_suffix || is_short) && is_kind(kind, Some(custom))).then_some(rest)
        });
        match rest {
            Some(rest) => {
                left.push('>');
                left.push_str(rest);
            }
            None => left.push_str(part),
        }
    }
    Cow::Owned(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_kinds_with_a_valid_suffix_are_tokens() {
        let custom =
            CustomDetectors::new(&[("own.toml".into(), "[[detector]]\nkind = \"employee_id\"\nexpression = 'EMP-\\d{6}'\n".into())])
                .unwrap();
        for token in ["<EMAIL:1a2b3c>", "<PASSWORD>", "<OPENAI_KEY:000000>", "<EMPLOYEE_ID:abcdef>", "<CRYPTO_WALLET:123456>"] {
            assert_eq!(token_end(Text(token), 0, Some(&custom)), Some(token.len()), "{token}");
            assert_eq!(strip_tokens(&format!("a {token}< b"), &custom), "a <>< b");
            for at in 0..token.len() {
                assert_eq!(token_around(Text(token), at, &custom), Some(0..token.len()), "{token} at {at}");
            }
        }
        for other in [
            "<DE89370400440532013000>",
            "<EMAIL:ada>",
            "<EMAIL:1A2B3C>",
            "<EMAIL:1a2b3c4>",
            "<EMAIL>",
            "<AKIAX:1a2b3c>",
            "<email:1a2b3c>",
            "<EMAIL:1a2b3c",
            "EMAIL:1a2b3c>",
            "<>",
            "<:>",
        ] {
            assert_eq!(token_end(Text(other), 0, Some(&custom)), None, "{other}");
            assert_eq!(strip_tokens(other, &custom), other);
        }
        assert_eq!(token_end(Text("<EMPLOYEE_ID:abcdef>"), 0, None), None);
    }

    #[test]
    fn every_kind_fits_into_a_token() {
        for kind in KINDS.iter() {
            assert!(kind.len() <= KIND_BYTES_MAX && kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{kind}");
        }
    }
}
