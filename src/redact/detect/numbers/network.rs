//! IP addresses and hardware addresses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::super::Match;
use super::super::text::Text;

/// An IPv4 address in dotted decimal, except for loopback, unspecified and broadcast addresses, which identify nobody.
pub(super) fn ip(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let end = text.skip_while(start, 16, |byte| byte.is_ascii_digit() || byte == b'.');
    let shown = text.slice(start..end).trim_end_matches('.');
    if shown.bytes().filter(|byte| *byte == b'.').count() != 3 {
        return None;
    }
    let address: Ipv4Addr = shown.parse().ok()?;
    let end = start + shown.len();
    let octets = address.octets();
    let before = text.byte_before(start);
    // `1.2.3.4.5`, `v1.2.3.4`, `0.62.4.1`, `==1.2.3.4`.
    let is_version = matches!(before, b'.' | b'v') || octets.first() == Some(&0) || (before == b'=' && text.byte_before(start - 1) == b'=');
    // `chrome/120.0.0.0`, `File version 1.2.3.4`.
    let is_product = before == b'/' && text.byte_before(start - 1).is_ascii_alphabetic() || is_after_version_word(text, start);
    let is_reserved = address.is_loopback() || address.is_unspecified() || address.is_broadcast() || octets.starts_with(&[255]);
    (!is_version && !is_product && !is_reserved && text.is_word_end(end) && text.byte_at(end) != b'-').then_some(start..end)
}

fn is_after_version_word(text: Text<'_>, start: usize) -> bool {
    let left = text.slice(text.skip_back_while(start, 10, |byte| byte.is_ascii_alphabetic() || matches!(byte, b' ' | b':'))..start);
    let word = left.trim_end_matches([' ', ':']);
    ["version", "ver", "release", "section", "chapter", "clause", "paragraph", "build", "firmware"]
        .iter()
        .any(|name| word.len() >= name.len() && word.to_ascii_lowercase().ends_with(name))
}

/// An IPv6 address that starts with a digit or, called by [`ipv6_at_letter`], with a letter.
pub(super) fn ipv6(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    // `10: value` is a key of YAML or a line number.
    let first = text.skip_while(start, 5, |byte| byte.is_ascii_hexdigit());
    if first - start > 4 || text.byte_at(first) != b':' || text.byte_at(first + 1).is_ascii_whitespace() {
        return None;
    }
    // `::ffff:10.1.2.3`, but not the path of code `std::dead::beef`.
    let is_compressed =
        text.byte_before(start) == b':' && start >= 2 && text.byte_before(start - 1) == b':' && text.is_word_start(start - 2);
    let from = if is_compressed { start - 2 } else { start };
    let end = text.skip_while(start, 46, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    let shown = text.slice(from..end).trim_end_matches('.');
    // Most are times.
    if shown.bytes().filter(|byte| *byte == b':').count() < 6 && !shown.contains("::") {
        return None;
    }
    let (address, len) =
        [shown, shown.trim_end_matches(':')].into_iter().find_map(|shown| Some((shown.parse::<Ipv6Addr>().ok()?, shown.len())))?;
    let is_code = is_compressed && !text.slice(from..from + len).bytes().any(|byte| byte.is_ascii_digit());
    if address.is_loopback() || address.is_unspecified() || is_code || (!is_compressed && text.byte_before(start) == b':') {
        return None;
    }
    // `be::` is a path of code.
    if text.byte_at(from + len - 1) == b':' && !text.slice(from..from + len - 2).contains(':') {
        return None;
    }
    // A zone belongs to the address: `fe80::1%eth0`.
    let mut end = from + len;
    if text.byte_at(end) == b'%' {
        let zone = text.skip_while(end + 1, 16, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        end = if zone > end + 1 { zone } else { end };
    }
    text.is_word_end(end).then_some(from..end)
}

/// An IPv6 or hardware address whose first group starts with a letter: `fe80::1`, `fd00:…`, `a0:…`.
pub(in super::super) fn ipv6_at_letter(text: Text<'_>, start: usize) -> Option<Match> {
    if !text.is_word_start(start) {
        return None;
    }
    mac(text, start)
        .map(|range| Match { range, kind: "mac", detector: "shape" })
        .or_else(|| ipv6(text, start).map(|range| Match { range, kind: "ip", detector: "shape" }))
}

/// A hardware address: six or eight pairs (EUI-48, EUI-64) with `:` or `-`, or three or four groups of four with dots. Other forms need a word
/// such as `mac` before them: no separators, spaces, and pairs without leading zeros.
pub(super) fn mac(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let end = text.skip_while(start, 24, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'-' | b'.'));
    if end - start < 11 {
        return if end == start + 2 && text.byte_at(end) == b' ' { spaced_mac(text, start) } else { None };
    }
    let shown = text.slice(start..end).trim_end_matches(['.', ':', '-']);
    let end = start + shown.len();
    let separator = shown.bytes().find(|byte| !byte.is_ascii_hexdigit()).unwrap_or(0);
    let groups = || shown.split(char::from(separator));
    let count = groups().count();
    let has_len = |len: usize| groups().all(|group| group.len() == len);
    let is_delimited = text.is_word_end(end) && text.byte_before(start) != separator;
    // All zeros, or the broadcast address.
    let is_reserved = shown.bytes().filter(u8::is_ascii_hexdigit).all(|byte| matches!(byte, b'0' | b'f' | b'F'));
    match separator {
        _ if is_reserved => None,
        b':' | b'-' if matches!(count, 6 | 8) && has_len(2) => is_delimited.then_some(start..end),
        // `001b.6384.45e6`, but not the decimal number `1000.2000.3000`.
        b'.' if matches!(count, 3 | 4) && has_len(4) => {
            (is_delimited && shown.bytes().any(|byte| byte.is_ascii_alphabetic())).then_some(start..end)
        }
        b':' if count == 6 && groups().all(|group| matches!(group.len(), 1 | 2)) => {
            (is_delimited && is_after_hardware_word(text, start)).then_some(start..end)
        }
        0 if matches!(shown.len(), 12 | 16) => (is_delimited && is_after_hardware_word(text, start)).then_some(start..end),
        _ => None,
    }
}

/// Six pairs with spaces between them.
fn spaced_mac(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let pairs = text.bytes().get(start..)?.first_chunk::<17>()?;
    let fits = pairs.iter().enumerate().all(|(index, byte)| if index % 3 == 2 { *byte == b' ' } else { byte.is_ascii_hexdigit() });
    (fits && text.is_word_end(start + 17) && is_after_hardware_word(text, start)).then_some(start..start + 17)
}

/// How far before a hardware address a word for it may be.
const HARDWARE_WORD_BYTES: usize = 24;

/// Whether a word for a hardware address is shortly before `start`: `mac: `, `HWaddr `, `"bssid":"`.
fn is_after_hardware_word(text: Text<'_>, start: usize) -> bool {
    const WORDS: &[&[u8]] =
        &[b"hwaddr", b"ether", b"bssid", b"macaddr", b"macaddress", b"lladdr", b"eui48", b"eui64", b"hwaddress", b"bluetooth"];
    let left = text.bytes().get(start.saturating_sub(HARDWARE_WORD_BYTES)..start).unwrap_or_default();
    // Most words near a number are numbers.
    let has_letter = |bytes: &[u8]| bytes.iter().fold(false, |any, byte| any | byte.is_ascii_alphabetic());
    // A fixed length is checked with few instructions.
    if !left.first_chunk::<HARDWARE_WORD_BYTES>().map_or_else(|| has_letter(left), |left| has_letter(left)) {
        return false;
    }
    let mut words = left.rsplit(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).take(3);
    // `mac`, `wlanmac`.
    let is_mac = |word: &[u8]| word.last_chunk::<3>().is_some_and(|end| end.eq_ignore_ascii_case(b"mac"));
    words.any(|word| is_mac(word) || WORDS.iter().any(|name| word.eq_ignore_ascii_case(name)))
}
