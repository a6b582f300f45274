//! Tokens that an earlier redaction left in a text: `<EMAIL:1a2b3c>`. Only the kinds that a redactor knows count, with the suffix that it
//! writes; anything else in angle brackets is a text like any other.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use super::text::Text;
use super::{CustomDetectors, labels, secrets};

/// Hex digits behind the kind of a token.
pub(in crate::redact) const SUFFIX_DIGITS: usize = 6;

/// Bytes of the longest kind, those of the user's detectors included.
pub(super) const KIND_BYTES_MAX: usize = 32;

/// Bytes of the longest token: the kind with `<`, `:` and `>`, and its suffix.
const TOKEN_BYTES_MAX: usize = KIND_BYTES_MAX + SUFFIX_DIGITS + 3;

/// Kinds of the detectors that are code; the others are in the tables.
pub(super) const CODE_KINDS: [&str; 16] = [
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
    "ssn",
    "url_credentials",
    "username_path",
];

/// Kinds whose short values get a token without a suffix: who holds many tokens could tell which PINs are equal.
pub(in crate::redact) const UNNUMBERED_KINDS: [&str; 6] =
    ["password", "generic_secret", "basic_auth", "url_credentials", "connection_string", "session_cookie"];

/// Every kind of the shipped detectors, in capitals.
static KINDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let secrets = secrets::table().into_iter().flat_map(|table| table.secret).map(|entry| entry.kind);
    let labels = labels::table().into_iter().flat_map(|table| table.label).map(|entry| entry.kind);
    let code = CODE_KINDS.into_iter().map(ToOwned::to_owned);
    secrets.chain(labels).chain(code).map(|kind| kind.to_ascii_uppercase()).collect()
});

/// Whether a redactor with the detectors of `own` writes tokens of this kind, given in capitals.
fn is_kind(kind: &str, own: Option<&CustomDetectors>) -> bool {
    KINDS.contains(kind) || own.is_some_and(|own| own.has_kind(kind))
}

/// Where the token that opens at `open` ends.
pub(super) fn token_end(text: Text<'_>, open: usize, own: Option<&CustomDetectors>) -> Option<usize> {
    let kind_start = open + 1;
    let kind_end = text.skip(kind_start, KIND_BYTES_MAX + 1, |byte| byte.is_ascii_uppercase() || byte == b'_');
    let kind = text.slice(kind_start..kind_end);
    let end = match text.at(kind_end) {
        b':' => {
            let end = text.skip(kind_end + 1, SUFFIX_DIGITS, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            (end == kind_end + 1 + SUFFIX_DIGITS).then_some(end)?
        }
        _ => UNNUMBERED_KINDS.iter().any(|unnumbered| unnumbered.eq_ignore_ascii_case(kind)).then_some(kind_end)?,
    };
    (text.at(open) == b'<' && text.at(end) == b'>' && is_kind(kind, own)).then_some(end + 1)
}

/// The token around a position.
pub(super) fn token_around(text: Text<'_>, at: usize, own: &CustomDetectors) -> Option<std::ops::Range<usize>> {
    let from = (at + 1).saturating_sub(TOKEN_BYTES_MAX);
    let open = from + memchr::memrchr(b'<', text.bytes().get(from..=at)?)?;
    token_end(text, open, Some(own)).map(|end| open..end)
}

/// The text with `<>` for each token, for those who look through what was redacted: they make no exception for any place of a text, so that
/// what the redactor's own exception lets through is seen.
pub(super) fn without_tokens<'t>(text: &'t str, own: &CustomDetectors) -> Cow<'t, str> {
    let mut parts = text.split('<');
    let Some(first) = parts.next().filter(|first| first.len() < text.len()) else { return Cow::Borrowed(text) };
    let mut left = String::with_capacity(text.len());
    left.push_str(first);
    for part in parts {
        left.push('<');
        let rest = part.split_once('>').and_then(|(token, rest)| {
            let (kind, suffix) = token.split_once(':').map_or((token, None), |(kind, suffix)| (kind, Some(suffix)));
            let is_numbered = suffix.is_some_and(|suffix| {
                suffix.len() == SUFFIX_DIGITS && suffix.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            });
            let is_short = suffix.is_none() && UNNUMBERED_KINDS.iter().any(|unnumbered| unnumbered.to_ascii_uppercase() == kind);
            ((is_numbered || is_short) && is_kind(kind, Some(own))).then_some(rest)
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
    fn only_known_kinds_with_their_suffix_are_tokens() {
        let own = CustomDetectors::new(&[("own.toml".into(), "[[detector]]\nkind = \"employee_id\"\nexpression = 'EMP-\\d{6}'\n".into())])
            .unwrap();
        for token in ["<EMAIL:1a2b3c>", "<PASSWORD>", "<OPENAI_KEY:000000>", "<EMPLOYEE_ID:abcdef>", "<CRYPTO_WALLET:123456>"] {
            assert_eq!(token_end(Text(token), 0, Some(&own)), Some(token.len()), "{token}");
            assert_eq!(without_tokens(&format!("a {token}< b"), &own), "a <>< b");
            for at in 0..token.len() {
                assert_eq!(token_around(Text(token), at, &own), Some(0..token.len()), "{token} at {at}");
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
            assert_eq!(token_end(Text(other), 0, Some(&own)), None, "{other}");
            assert_eq!(without_tokens(other, &own), other);
        }
        assert_eq!(token_end(Text("<EMPLOYEE_ID:abcdef>"), 0, None), None);
    }

    #[test]
    fn kinds_fit_into_a_token() {
        for kind in KINDS.iter() {
            assert!(kind.len() <= KIND_BYTES_MAX && kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{kind}");
        }
    }
}
