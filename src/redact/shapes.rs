//! What has a shape around a sign: mail addresses around `@`, credentials in URLs.

use super::detect::Hit;

/// Adds every hit in `text`.
pub(super) fn find(text: &str, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    for at in memchr::memchr_iter(b'@', bytes) {
        if let Some(hit) = url_credentials(bytes, at).or_else(|| email(bytes, at)) {
            hits.push(hit);
        }
    }
}

/// `local@domain.tld` (RFC 5321 without quoted locals; at most 64 and 255 bytes).
fn email(bytes: &[u8], at: usize) -> Option<Hit> {
    let is_local = |byte: &u8| byte.is_ascii_alphanumeric() || b"._%+-'".contains(byte) || *byte >= 0x80;
    let left = bytes.get(at.saturating_sub(64)..at)?;
    let mut start = at - left.iter().rev().take_while(|byte| is_local(byte)).count();
    // `\nada@…` inside JSON text: the `n` belongs to the escape.
    if start > 0 && bytes.get(start - 1) == Some(&b'\\') && matches!(bytes.get(start), Some(b'n' | b't' | b'r')) {
        start += 1;
    }
    while start < at && bytes.get(start).is_some_and(|byte| b".'-+%".contains(byte)) {
        start += 1;
    }
    // A cut in the middle of a character of several bytes.
    while start < at && bytes.get(start).is_some_and(|byte| (0x80..0xc0).contains(byte)) {
        start += 1;
    }
    if start == at {
        return None;
    }
    let right = bytes.get(at + 1..bytes.len().min(at + 256))?;
    let domain = right.get(..right.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte)).count())?;
    let domain = domain.get(..domain.iter().rposition(u8::is_ascii_alphanumeric)? + 1)?;
    let labels: Vec<&[u8]> = domain.split(|byte| *byte == b'.').collect();
    let top = labels.last()?;
    let well_formed =
        labels.len() >= 2 && labels.iter().all(|label| !label.is_empty()) && top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic);
    well_formed.then(|| Hit { range: start..at + 1 + domain.len(), kind: "EMAIL" })
}

/// The user and password of `scheme://user:password@host`.
fn url_credentials(bytes: &[u8], at: usize) -> Option<Hit> {
    let from = at.saturating_sub(256);
    let left = bytes.get(from..at)?;
    let start = from + left.iter().rposition(|byte| b"/ \"'<>\n\t".contains(byte))? + 1;
    let is_authority = bytes.get(..start)?.ends_with(b"://");
    let userinfo = bytes.get(start..at)?;
    let has_password = userinfo.iter().position(|byte| *byte == b':').is_some_and(|colon| colon + 1 < userinfo.len());
    (is_authority && has_password).then_some(Hit { range: start..at, kind: "URL_CREDENTIALS" })
}

#[cfg(test)]
mod tests {
    use super::super::detect::check;

    #[test]
    fn mail_addresses() {
        check(
            "EMAIL",
            &["marisol.ketterman@northwindmail.example", "a+b@x.co", "o'neil@mail.example.org", "jörg@example.de"],
            &["@property", "user@localhost", "a@b", "x @ y.com", "git@github", "me@1.2"],
        );
    }

    #[test]
    fn credentials_in_urls() {
        check("URL_CREDENTIALS", &[], &["https://host/a@b.com", "http://user@host", "see a:b @ c"]);
        let text = "connect to postgres://svc_orders:Wq7%21x6SWoUnvNPs@10.20.4.17:5432/orders";
        let found = super::super::detect::find(text);
        assert_eq!(text.get(found[0].range.clone()), Some("svc_orders:Wq7%21x6SWoUnvNPs"));
    }
}
