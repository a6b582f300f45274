//! What has a shape around a sign: mail addresses around `@`, credentials in URLs, user names in paths, wallets of crypto currencies.

use std::ops::Range;

use sha2::{Digest, Sha256};

use super::Found;
use super::secrets::{is_placeholder, looks_random};
use super::text::Text;

/// Adds every mail address and every URL with credentials.
pub(super) fn at_signs(text: Text<'_>, hits: &mut Vec<Found>) {
    for at in memchr::memchr_iter(b'@', text.bytes()) {
        if let Some(hit) = url_credentials(text, at).or_else(|| email(text, at)) {
            hits.push(hit);
        }
    }
}

/// `local@domain.tld` (RFC 5321 without quoted locals; at most 64 and 255 bytes).
fn email(text: Text<'_>, at: usize) -> Option<Found> {
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || b"._%+-'&=~!#".contains(&byte) || byte >= 0x80;
    let mut start = text.skip_back(at, 64, is_local);
    // `?email=ada@…`, `&to=ada@…`: the name of a parameter is no part.
    if let Some(sign) = text.slice(start..at).rfind(['=', '&', '#', '!']) {
        start += sign + 1;
    }
    while start < at && b".'-+%".contains(&text.at(start)) {
        start += 1;
    }
    // A cut in the middle of a character of several bytes.
    while start < at && (0x80..0xc0).contains(&text.at(start)) {
        start += 1;
    }
    // Kana and the like before an address are the sentence.
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
    // `types/node@22.js` and `git@github.com:` name packages and hosts.
    let is_git = text.slice(start..at) == "git" && text.at(at + 1 + domain.len()) == b':';
    (well_formed && !is_git).then(|| Found { range: start..at + 1 + domain.len(), kind: "email", why: "shape" })
}

/// The user and password of `scheme://user:password@host`, or the token of `scheme://token@host`.
fn url_credentials(text: Text<'_>, at: usize) -> Option<Found> {
    let from = text.skip_back(at, 256, |byte| !b"/ \"'<>\n\t`".contains(&byte));
    if !text.0.get(..from)?.ends_with("://") {
        return None;
    }
    // A password may hold an `@` of its own: the last one before the host counts.
    let end = text.skip(at, 128, |byte| !byte.is_ascii_whitespace() && !b"/\"'<>`,;)".contains(&byte));
    let at = from + text.slice(from..end).rfind('@')?;
    let userinfo = text.slice(from..at);
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let start = if password.is_empty() { from } else { from + user.len() + 1 };
    let secret = if password.is_empty() { user } else { password };
    if is_placeholder(secret) || (password.is_empty() && !looks_random(user)) {
        return None;
    }
    let scheme_from = text.skip_back(from - 3, 24, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-'));
    let scheme = text.slice(scheme_from..from - 3);
    let is_web = scheme.starts_with("http") || matches!(scheme, "ftp" | "ftps" | "ssh" | "git" | "sftp");
    let found = if is_web {
        Found { range: from..at, kind: if password.is_empty() { "api_key" } else { "url_credentials" }, why: "credentials in a URL" }
    } else {
        Found { range: start..at, kind: "connection_string", why: "password of a connection string" }
    };
    Some(found)
}

/// Folders that hold the folders of users.
pub(super) const HOMES: [&str; 5] = ["/home/", "/Users/", "\\Users\\", ":/Users/", "\\Documents and Settings\\"];

/// The user name in `/home/NAME/`, `/Users/NAME/`, `C:\Users\NAME\`; `end` is behind the folder's name and sign.
pub(super) fn user_of_path(text: Text<'_>, start: usize, end: usize) -> Option<Found> {
    // `/users/7` is a route; the automaton does not tell cases apart.
    if !HOMES.contains(&text.slice(start..end)) {
        return None;
    }
    // `https://site.example/home/…` is no folder; `/mnt/c/Users/…` is one.
    let word = text.slice(text.skip_back(start, 120, |byte| !byte.is_ascii_whitespace() && !b"\"'`(<>=,".contains(&byte))..start);
    let is_web = (word.contains("://") && !word.starts_with("file:"))
        || word.split('/').next().is_some_and(|host| host.contains('.') && host.len() > 3);
    if is_web {
        return None;
    }
    let accept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') || byte >= 0x80;
    let mut name_end = text.skip(end, 64, accept);
    while name_end > end && matches!(text.before(name_end), b'.' | b'-') {
        name_end -= 1;
    }
    // `C:\Users\Jane Doe\`
    if text.at(name_end) == b' ' && text.before(end) == b'\\' {
        let more = text.skip(name_end + 1, 32, accept);
        if text.at(more) == b'\\' {
            name_end = more;
        }
    }
    let name = text.slice(end..name_end);
    let lower = name.to_ascii_lowercase();
    let is_somebody = name.len() >= 2
        && name.bytes().any(|byte| byte.is_ascii_alphabetic() || byte >= 0x80)
        && !NOBODY.split_whitespace().any(|nobody| nobody == lower);
    is_somebody.then_some(Found { range: end..name_end, kind: "username_path", why: "home folder" })
}

/// Wallet addresses: `0x` and 40 hex digits, `Base58Check` (Bitcoin, Litecoin, Dogecoin, Tron), Bech32 (`bc1…`), and WIF private keys.
pub(super) fn wallet(text: Text<'_>, range: Range<usize>) -> Option<Found> {
    let word = text.slice(range.clone());
    let found = |kind: &'static str, why: &'static str| Some(Found { range: range.clone(), kind, why });
    let bytes = word.as_bytes();
    if word.starts_with("0x") && word.len() == 42 && bytes.iter().skip(2).all(u8::is_ascii_hexdigit) {
        return found("crypto_wallet", "hex address of 20 bytes");
    }
    // Shapes that nothing else has need no checksum: a mistyped address is a person's all the same.
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

/// `SK` or `AC` and 32 hex digits: an API key or account of Twilio.
pub(super) fn twilio_key(text: Text<'_>, range: Range<usize>) -> Option<Found> {
    let word = text.slice(range.clone());
    let hex = word.strip_prefix("SK").or_else(|| word.strip_prefix("AC"))?;
    let fits = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    fits.then_some(Found { range, kind: "api_key", why: "twilio" })
}

/// A Discord bot's token: the user id in base64, a time, an HMAC.
pub(super) fn discord_token(text: Text<'_>, start: usize, first_end: usize) -> Option<Found> {
    let part = |from: usize| text.skip(from, 64, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !matches!(text.at(start), b'M' | b'N' | b'O') || !(23..=28).contains(&(first_end - start)) || text.at(first_end) != b'.' {
        return None;
    }
    let second_end = part(first_end + 1);
    let third_end = part(second_end + 1);
    let fits =
        (5..=7).contains(&(second_end - first_end - 1)) && text.at(second_end) == b'.' && (27..=40).contains(&(third_end - second_end - 1));
    fits.then_some(Found { range: start..third_end, kind: "api_key", why: "discord" })
}

/// The last four bytes are the start of a double SHA-256 over the rest.
fn is_base58_check(word: &str) -> bool {
    const BITCOIN: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    const RIPPLE: &[u8] = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz";
    let alphabet = if word.starts_with('r') { RIPPLE } else { BITCOIN };
    let mut bytes: Vec<u8> = Vec::with_capacity(40);
    for sign in word.bytes() {
        let Some(digit) = alphabet.iter().position(|letter| *letter == sign) else { return false };
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
    let zeros = word.bytes().take_while(|sign| *sign == zero).count();
    let mut all = vec![0; zeros];
    all.extend(bytes);
    let Some(split) = all.len().checked_sub(4) else { return false };
    let (body, check) = all.split_at(split);
    !body.is_empty() && Sha256::digest(Sha256::digest(body)).starts_with(check)
}

/// BIP 173 and 350: the checksum of the parts before and after the last `1`.
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
    for sign in data.bytes() {
        let Some(value) = ALPHABET.iter().position(|letter| *letter == sign) else { return false };
        add(u32::try_from(value).unwrap_or(0));
    }
    matches!(check, 1 | 0x2bc8_30a3)
}

/// Folders of home folders that are nobody's.
const NOBODY: &str = "\
    user users username ubuntu root app node runner vscode shared public default jovyan appuser ec2-user circleci linuxbrew \
    airflow admin guest debian centos vagrant docker jenkins gitlab-runner postgres nobody worker agent builder codespace name \
    you envs conda miniconda miniconda3 anaconda3 venv site data work src project projects code local workspace service";

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, check, find};

    #[test]
    fn mail_addresses() {
        check(
            "email",
            &["marisol.ketterman@northwindmail.example", "a+b@x.co", "o'neil@mail.example.org", "jörg@example.de"],
            &["@property", "user@localhost", "a@b", "x @ y.com", "git@github", "me@1.2", "git@github.com:acme/x.git"],
        );
        let found = find("?email=ada@example.com&x=1", &CustomDetectors::default());
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
            assert_eq!(text.get(find(text, &CustomDetectors::default())[0].range.clone()), Some(expected));
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
            assert_eq!(text.get(find(text, &CustomDetectors::default())[0].range.clone()), Some(expected), "{text}");
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
