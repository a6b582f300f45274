//! Finds values by their shape: email addresses and URL credentials around `@`, user names in paths, cryptocurrency wallets.

use std::ops::Range;

use sha2::{Digest, Sha256};

use super::Match;
use super::secrets::{is_placeholder, looks_random};
use super::text::Text;

/// Adds every email address, and the credentials of every URL.
pub(super) fn match_around_at_signs(text: Text<'_>, matches: &mut Vec<Match>) {
    for at in memchr::memchr_iter(b'@', text.bytes()) {
        if let Some(found) = url_credentials(text, at).or_else(|| email(text, at)) {
            matches.push(found);
        }
    }
}

/// An email address `local@domain.tld` (RFC 5321 without quoted local parts; at most 64 and 255 bytes).
fn email(text: Text<'_>, at: usize) -> Option<Match> {
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || b"._%+-'&=~!#".contains(&byte) || byte >= 0x80;
    let mut start = text.skip_back_while(at, 64, is_local);
    // `?email=ada@…`, `&to=ada@…`: the parameter name is not part of the address.
    if let Some(separator) = text.slice(start..at).rfind(['=', '&', '#', '!']) {
        start += separator + 1;
    }
    while start < at && b".'-+%".contains(&text.byte_at(start)) {
        start += 1;
    }
    // The limit of 64 bytes may be inside a multi-byte character.
    while start < at && (0x80..0xc0).contains(&text.byte_at(start)) {
        start += 1;
    }
    // CJK letters before an address belong to the sentence.
    if let Some((index, letter)) = text.slice(start..at).char_indices().rev().find(|(_, letter)| super::text::is_cjk(*letter)) {
        start += index + letter.len_utf8();
    }
    if start == at {
        return None;
    }
    let right = text.bytes().get(at + 1..text.len().min(at + 256))?;
    let domain = right.get(..right.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte)).count())?;
    let domain = domain.get(..domain.iter().rposition(u8::is_ascii_alphanumeric)? + 1)?;
    let labels: Vec<&[u8]> = domain.split(|byte| *byte == b'.').collect();
    let top = labels.last()?;
    let well_formed =
        labels.len() >= 2 && labels.iter().all(|label| !label.is_empty()) && top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic);
    // `git@github.com:acme/x.git` is a host, not an address.
    let is_git = text.slice(start..at) == "git" && text.byte_at(at + 1 + domain.len()) == b':';
    (well_formed && !is_git).then(|| Match { range: start..at + 1 + domain.len(), kind: "email", detector: "shape" })
}

/// The user and password in `scheme://user:password@host`, or the token in `scheme://token@host`.
fn url_credentials(text: Text<'_>, at: usize) -> Option<Match> {
    let from = text.skip_back_while(at, 256, |byte| !b"/ \"'<>\n\t`".contains(&byte));
    if !text.0.get(..from)?.ends_with("://") {
        return None;
    }
    // A password may contain `@`, so the last one before the host counts.
    let end = text.skip_while(at, 128, |byte| !byte.is_ascii_whitespace() && !b"/\"'<>`,;)".contains(&byte));
    let at = from + text.slice(from..end).rfind('@')?;
    let userinfo = text.slice(from..at);
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let start = if password.is_empty() { from } else { from + user.len() + 1 };
    let secret = if password.is_empty() { user } else { password };
    // `https://user:${PASSWORD}@host`; `http://user@host`, where the user is not a token.
    if is_placeholder(secret) || (password.is_empty() && !looks_random(user)) {
        return None;
    }
    let scheme_from = text.skip_back_while(from - 3, 24, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-'));
    let scheme = text.slice(scheme_from..from - 3);
    // In a connection string the user name is not sensitive and useful for analysis, so only the password is replaced.
    let is_web = scheme.starts_with("http") || matches!(scheme, "ftp" | "ftps" | "ssh" | "git" | "sftp");
    let found = if is_web {
        Match { range: from..at, kind: if password.is_empty() { "api_key" } else { "url_credentials" }, detector: "credentials in a URL" }
    } else {
        Match { range: start..at, kind: "connection_string", detector: "password in a connection string" }
    };
    Some(found)
}

/// Parents of home directories.
pub(super) const HOME_DIRECTORIES: [&str; 5] = ["/home/", "/Users/", "\\Users\\", ":/Users/", "\\Documents and Settings\\"];

/// The user name in `/home/NAME/`, `/Users/NAME/`, `C:\Users\NAME\`. The parent directory is at `start..end`.
pub(super) fn user_of_path(text: Text<'_>, start: usize, end: usize) -> Option<Match> {
    // `/users/7` is a route of a web API; only the exact case is a directory.
    if !HOME_DIRECTORIES.contains(&text.slice(start..end)) {
        return None;
    }
    // `https://site.example/home/…` and `site.example/home/…` are URLs; `/mnt/c/Users/…` is a directory.
    let word = text.slice(text.skip_back_while(start, 120, |byte| !byte.is_ascii_whitespace() && !b"\"'`(<>=,".contains(&byte))..start);
    let is_web = (word.contains("://") && !word.starts_with("file:"))
        || word.split('/').next().is_some_and(|host| host.contains('.') && host.len() > 3);
    if is_web {
        return None;
    }
    let accept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') || byte >= 0x80;
    let mut name_end = text.skip_while(end, 64, accept);
    while name_end > end && matches!(text.byte_before(name_end), b'.' | b'-') {
        name_end -= 1;
    }
    // `C:\Users\Jane Doe\`.
    if text.byte_at(name_end) == b' ' && text.byte_before(end) == b'\\' {
        let more = text.skip_while(name_end + 1, 32, accept);
        if text.byte_at(more) == b'\\' {
            name_end = more;
        }
    }
    let name = text.slice(end..name_end);
    let lower = name.to_ascii_lowercase();
    let is_person = name.len() >= 2
        && name.bytes().any(|byte| byte.is_ascii_alphabetic() || byte >= 0x80)
        && !GENERIC_USERS.split_whitespace().any(|user| user == lower);
    is_person.then_some(Match { range: end..name_end, kind: "username_path", detector: "home directory" })
}

/// A wallet address: `0x` and 40 hex digits, `Base58Check` (Bitcoin, Litecoin, Dogecoin, Tron), Bech32 (`bc1…`); or a WIF private key.
pub(super) fn wallet(text: Text<'_>, range: Range<usize>) -> Option<Match> {
    let word = text.slice(range.clone());
    let found = |kind: &'static str, detector: &'static str| Some(Match { range: range.clone(), kind, detector });
    let bytes = word.as_bytes();
    if word.starts_with("0x") && word.len() == 42 && bytes.iter().skip(2).all(u8::is_ascii_hexdigit) {
        return found("crypto_wallet", "20-byte hex address");
    }
    // Bitcoin addresses have a distinctive form and match even if their checksum is wrong, because a mistyped address still identifies a
    // person. Other currencies need a valid checksum.
    let (lower, upper, digit) =
        (bytes.iter().any(u8::is_ascii_lowercase), bytes.iter().any(u8::is_ascii_uppercase), bytes.iter().any(u8::is_ascii_digit));
    if (bytes.starts_with(b"bc1q") || bytes.starts_with(b"bc1p")) && (39..=74).contains(&word.len()) && !upper {
        return found("crypto_wallet", "shape");
    }
    if matches!(bytes.first(), Some(b'1' | b'3'))
        && (32..=35).contains(&word.len())
        && lower
        && upper
        && digit
        && !word.contains(['0', 'O', 'I', 'l'])
    {
        return found("crypto_wallet", "shape");
    }
    if (bytes.starts_with(b"bc1") || bytes.starts_with(b"tb1") || bytes.starts_with(b"ltc1") || bytes.starts_with(b"BC1"))
        && is_bech32(word)
    {
        return found("crypto_wallet", "Bech32 checksum");
    }
    let first = *bytes.first()?;
    if (26..=35).contains(&word.len())
        && matches!(first, b'1' | b'3' | b'L' | b'M' | b'D' | b'T' | b'r' | b'X' | b'2' | b'm' | b'n')
        && is_base58_check(word)
    {
        return found("crypto_wallet", "Base58Check");
    }
    if (51..=52).contains(&word.len()) && matches!(first, b'5' | b'K' | b'L') && is_base58_check(word) {
        return found("crypto_key", "Base58Check");
    }
    None
}

/// A Twilio API key or account: `SK` or `AC` and 32 hex digits.
pub(super) fn twilio_key(text: Text<'_>, range: Range<usize>) -> Option<Match> {
    let word = text.slice(range.clone());
    let hex = word.strip_prefix("SK").or_else(|| word.strip_prefix("AC"))?;
    let fits = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    fits.then_some(Match { range, kind: "api_key", detector: "twilio" })
}

/// A Discord bot token: the user id in base64, a timestamp and an HMAC, separated by dots.
pub(super) fn discord_token(text: Text<'_>, start: usize, first_end: usize) -> Option<Match> {
    let part = |from: usize| text.skip_while(from, 64, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !matches!(text.byte_at(start), b'M' | b'N' | b'O') || !(23..=28).contains(&(first_end - start)) || text.byte_at(first_end) != b'.' {
        return None;
    }
    let second_end = part(first_end + 1);
    let third_end = part(second_end + 1);
    let fits = (5..=7).contains(&(second_end - first_end - 1))
        && text.byte_at(second_end) == b'.'
        && (27..=40).contains(&(third_end - second_end - 1));
    fits.then_some(Match { range: start..third_end, kind: "api_key", detector: "discord" })
}

/// Whether the last four bytes are the start of the double SHA-256 of the rest.
fn is_base58_check(word: &str) -> bool {
    const BITCOIN: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    const RIPPLE: &[u8] = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz";
    let alphabet = if word.starts_with('r') { RIPPLE } else { BITCOIN };
    let mut bytes: Vec<u8> = Vec::with_capacity(40);
    for c in word.bytes() {
        let Some(digit) = alphabet.iter().position(|letter| *letter == c) else { return false };
        let mut carry = digit;
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = u8::try_from(carry & 0xff).unwrap_or(0);
            carry >>= 8;
        }
        while carry > 0 {
            bytes.insert(0, u8::try_from(carry & 0xff).unwrap_or(0));
            carry >>= 8;
        }
    }
    let zero = alphabet.first().copied().unwrap_or(b'1');
    let zeros = word.bytes().take_while(|c| *c == zero).count();
    let mut all = vec![0; zeros];
    all.extend(bytes);
    let Some(split) = all.len().checked_sub(4) else { return false };
    let (body, check) = all.split_at(split);
    !body.is_empty() && Sha256::digest(Sha256::digest(body)).starts_with(check)
}

/// Whether the Bech32 checksum (BIP 173 and 350) is valid.
fn is_bech32(word: &str) -> bool {
    const ALPHABET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let lower = word.to_ascii_lowercase();
    let Some((human, data)) = lower.rsplit_once('1') else { return false };
    if !(14..=90).contains(&word.len()) || data.len() < 6 {
        return false;
    }
    let mut check = 1u32;
    let mut add = |value: u32| {
        let top = check >> 25;
        check = ((check & 0x01ff_ffff) << 5) ^ value;
        for (bit, generator) in GENERATOR.iter().enumerate() {
            if (top >> bit) & 1 == 1 {
                check ^= generator;
            }
        }
    };
    human.bytes().for_each(|byte| add(u32::from(byte) >> 5));
    add(0);
    human.bytes().for_each(|byte| add(u32::from(byte) & 31));
    for c in data.bytes() {
        let Some(value) = ALPHABET.iter().position(|letter| *letter == c) else { return false };
        add(u32::try_from(value).unwrap_or(0));
    }
    matches!(check, 1 | 0x2bc8_30a3)
}

/// Home directories that do not belong to a person.
const GENERIC_USERS: &str = "\
    user users username ubuntu root app node runner vscode shared public default jovyan appuser ec2-user circleci linuxbrew \
    airflow admin guest debian centos vagrant docker jenkins gitlab-runner postgres nobody worker agent builder codespace name \
    you envs conda miniconda miniconda3 anaconda3 venv site data work src project projects code local workspace service";

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, check, scan};

    #[test]
    fn email_addresses() {
        check(
            "email",
            &["marisol.ketterman@northwindmail.example", "a+b@x.co", "o'neil@mail.example.org", "jörg@example.de"],
            &["@property", "user@localhost", "a@b", "x @ y.com", "git@github", "me@1.2", "git@github.com:acme/x.git"],
        );
        let found = scan("?email=ada@example.com&x=1", &CustomDetectors::default());
        assert_eq!(found[0].range, 7..22);
    }

    #[test]
    fn credentials_in_urls() {
        check("url_credentials", &[], &["https://host/a@b.com", "http://user@host", "see a:b @ c", "https://user:${PASSWORD}@host"]);
        for (text, expected) in [
            ("connect to postgres://svc_orders:Wq7%21x6SWoUnvNPs@10.20.4.17:5432/orders", "Wq7%21x6SWoUnvNPs"),
            ("https://jsmith:mkad@OZKTPutZ@git.initech.co/x", "jsmith:mkad@OZKTPutZ"),
            ("https://2114682895c9142d499b03eb3aa1a2aa@o4501.ingest.sentry.io/4", "2114682895c9142d499b03eb3aa1a2aa"),
        ] {
            assert_eq!(text.get(scan(text, &CustomDetectors::default())[0].range.clone()), Some(expected));
        }
    }

    #[test]
    fn user_names_in_paths() {
        check(
            "username_path",
            &[],
            &[
                "https://site.example/home/jane/x",
                "www.site.example/home/jane",
                "/home/runner/work",
                "/Users/Shared/x",
                "/home/",
                "C:\\Users\\Public\\x",
            ],
        );
        for (text, expected) in [
            ("/home/ahansson/.cache", "ahansson"),
            ("C:\\Users\\nora\\x", "nora"),
            ("/Users/j.doe/a", "j.doe"),
            ("/mnt/c/Users/nora/x", "nora"),
            ("/export/home/nora/x", "nora"),
        ] {
            assert_eq!(text.get(scan(text, &CustomDetectors::default())[0].range.clone()), Some(expected), "{text}");
        }
    }

    #[test]
    fn wallets() {
        check(
            "crypto_wallet",
            &[
                "0x9bec21a35dceedcea2bfc91e613a68ac22801cf8",
                "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
                "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
            ],
            &["0x7f8de1a4008d", "43993eadc22e5ed0f9a1cc2e01626425", "call_371tcjMqAq4Yir0obt4w9wJQ"],
        );
    }
}
