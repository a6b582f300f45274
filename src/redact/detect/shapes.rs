//! Finds values by their shape: email addresses and URL credentials around `@`, user names in paths.

use std::ops::Range;

use super::Match;
use super::secrets::{is_placeholder, looks_random};
use super::text::{Text, is_cjk};

/// Adds every email address, and the credentials of every URL.
pub(super) fn match_around_at_signs(text: Text<'_>, matches: &mut Vec<Match>) {
    for at in memchr::memchr_iter(b'@', text.bytes()) {
        if let Some(found) = url_credentials(text, at).or_else(|| email(text, at)) {
            matches.push(found);
        }
    }
}

/// An email address `local@domain.tld` (RFC 5321, RFC 6531; at most 64 and 255 bytes). The local part may be in quotes.
fn email(text: Text<'_>, at: usize) -> Option<Match> {
    let start = quoted_local_part(text, at).or_else(|| local_part(text, at))?;
    let end = domain_end(text, at + 1)?;
    // `git@github.com:acme/x.git` is a host, not an address.
    let is_git = text.slice(start..at) == "git" && text.byte_at(end) == b':';
    (!is_git).then_some(Match { range: start..end, kind: "email", detector: "shape" })
}

/// The start of a local part without quotes that ends at `at`.
fn local_part(text: Text<'_>, at: usize) -> Option<usize> {
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
    if let Some((index, letter)) = text.slice(start..at).char_indices().rev().find(|(_, letter)| is_cjk(*letter)) {
        start += index + letter.len_utf8();
    }
    (start < at).then_some(start)
}

/// The start of `"ada lovelace"` before the `@` at `at`.
fn quoted_local_part(text: Text<'_>, at: usize) -> Option<usize> {
    let close = at.checked_sub(1).filter(|close| text.byte_at(*close) == b'"')?;
    let inner = text.skip_back_while(close, 62, |byte| !byte.is_ascii_control() && !matches!(byte, b'"' | b'<' | b'>' | b'{' | b'}'));
    let start = inner.checked_sub(1).filter(|start| text.byte_at(*start) == b'"' && inner < close)?;
    (!text.byte_before(start).is_ascii_alphanumeric()).then_some(start)
}

/// The end of the domain name at `start`, if it has a top-level domain. Letters of other scripts belong to it (`exämple.de`, `пример.рф`); CJK
/// letters only if it begins with one, because a sentence may continue directly after an address.
fn domain_end(text: Text<'_>, start: usize) -> Option<usize> {
    let has_cjk = text.char_at(start).is_some_and(is_cjk);
    let ascii_end = text.skip_while(start, 255, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let shown = if text.byte_at(ascii_end) < 0x80 {
        text.slice(start..ascii_end)
    } else {
        let is_part = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '-') || (!c.is_ascii() && c.is_alphanumeric() && (has_cjk || !is_cjk(c)))
        };
        let window = text.window(start, 255);
        window.get(..window.find(|c| !is_part(c)).unwrap_or(window.len()))?
    };
    let shown = shown.trim_end_matches(['.', '-']);
    let (host, top) = shown.rsplit_once('.')?;
    // `例え.jpです`: the sentence continues after the top-level domain.
    let ascii_len = top.bytes().take_while(u8::is_ascii_alphabetic).count();
    let top = if ascii_len >= 2 && has_cjk { top.get(..ascii_len)? } else { top };
    let well_formed = top.chars().count() >= 2
        && top.chars().all(|c| c.is_ascii_alphabetic() || !c.is_ascii())
            | top.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"))
        && host.split('.').all(|label| !label.is_empty());
    well_formed.then_some(start + host.len() + 1 + top.len())
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
    // `scp x deploy@10.1.2.3:/home/nora/`.
    let is_remote_copy = word.ends_with(':') && !word.contains('/');
    let is_web = !is_remote_copy && (word.contains("://") && !word.starts_with("file:"))
        || !is_remote_copy && word.split('/').next().is_some_and(|host| host.contains('.') && host.len() > 3);
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

/// A Twilio API key or account: `SK` or `AC` and 32 hex digits.
pub(super) fn twilio_key(text: Text<'_>, range: Range<usize>) -> Option<Match> {
    let word = text.slice(range.clone());
    let hex = word.strip_prefix("SK").or_else(|| word.strip_prefix("AC"))?;
    let fits = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
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
            &[
                "marisol.ketterman@northwindmail.example",
                "a+b@x.co",
                "o'neil@mail.example.org",
                "jörg@example.de",
                "ada@exämple.de",
                "ada@пример.рф",
                "ada@bücher.xn--p1ai",
            ],
            &["@property", "user@localhost", "a@b", "x @ y.com", "git@github", "me@1.2", "git@github.com:acme/x.git"],
        );
        let found = scan("?email=ada@example.com&x=1", &CustomDetectors::default());
        assert_eq!(found[0].range, 7..22);
        for (text, expected) in [
            ("an \"ada lovelace\"@example.com now", "\"ada lovelace\"@example.com"),
            ("联系ada@example.com谢谢", "ada@example.com"),
            ("ada@例え.jpです", "ada@例え.jp"),
            ("x=ada@example.com.", "ada@example.com"),
        ] {
            let found = scan(text, &CustomDetectors::default());
            assert_eq!(found.iter().map(|found| found.value.as_str()).collect::<Vec<_>>(), [expected], "{text}");
        }
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
        let found = scan("rsync -a out/ ci@build7.example.net:/home/nora/out", &CustomDetectors::default());
        assert!(found.iter().any(|found| found.kind == "username_path" && found.value == "nora"), "{found:?}");
    }
}
