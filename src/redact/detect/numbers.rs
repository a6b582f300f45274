//! What is told by its digits: payment cards, social security numbers, IBANs, phone numbers, IP and hardware addresses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::Found;
use super::text::Text;

/// What starts at the first digit of a run, or a few signs before it.
pub(super) fn at_digit(text: Text<'_>, start: usize) -> Option<Found> {
    let found = |range: Option<Range<usize>>, kind: &'static str| range.map(|range| Found { range, kind, why: "shape" });
    if text.before(start).is_ascii_alphabetic() {
        return found(iban(text, start), "iban");
    }
    if !text.starts_word(start) {
        return None;
    }
    // What stands behind the digits rules most shapes out.
    let end = text.skip(start, 20, |byte| byte.is_ascii_digit());
    let (digits, after) = (end - start, text.at(end));
    match after {
        b'.' => found(ip(text, start), "ip").or_else(|| found(mac(text, start), "mac")).or_else(|| found(card(text, start), "credit_card")),
        b':' => {
            found(mac(text, start), "mac").or_else(|| found(ipv6(text, start), "ip")).or_else(|| found(card(text, start), "credit_card"))
        }
        b'-' => {
            found(ssn(text, start), "ssn").or_else(|| found(mac(text, start), "mac")).or_else(|| found(card(text, start), "credit_card"))
        }
        b'a'..=b'f' | b'A'..=b'F' if digits < 5 => return found(mac(text, start), "mac").or_else(|| found(ipv6(text, start), "ip")),
        b' ' if digits == 4 => found(card(text, start), "credit_card"),
        _ if digits >= 13 => found(card(text, start), "credit_card"),
        _ => None,
    }
    .or_else(|| found(phone(text, start), "phone"))
}

/// Digits from `start` on with single separators between them, and each `(number of digits, end)` at which a group ends.
fn groups(text: Text<'_>, start: usize, max: usize, separators: &[u8]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut digits, mut ends, mut at) = (Vec::new(), Vec::new(), start);
    loop {
        let byte = text.at(at);
        if byte.is_ascii_digit() && digits.len() < max {
            digits.push(byte - b'0');
            if !text.at(at + 1).is_ascii_digit() {
                ends.push((digits.len(), at + 1));
            }
        } else if !separators.contains(&byte) || at == start || !text.before(at).is_ascii_digit() {
            break;
        }
        at += 1;
    }
    (digits, ends)
}

/// ISO/IEC 7812: 13 to 19 digits in the ranges of the card issuers, Luhn's check digit. What follows after a blank may be another
/// number, so every end of a group is tried, the longest first.
fn card(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let first = text.at(start);
    if !matches!(first, b'2'..=b'6') || matches!(text.before(start), b'.' | b'-' | b'/') {
        return None;
    }
    let (digits, ends) = groups(text, start, 19, b" -.");
    let second = digits.get(1).copied()?;
    let is_card = |count: usize, end: usize| {
        let plausible = match (first, count) {
            (b'4', 13 | 16 | 19) | (b'5', 16) | (b'5' | b'6', 12..=19) => true,
            (b'2', 16) => (2..=7).contains(&second),
            (b'3', 14..=16) => matches!(second, 0 | 4..=8),
            _ => false,
        };
        let digits = digits.get(..count).unwrap_or_default();
        plausible && count >= 13 && digits.iter().any(|digit| Some(digit) != digits.first()) && text.ends_word(end) && luhn(digits)
    };
    let (_, end) = ends.into_iter().rev().find(|(count, end)| is_card(*count, *end))?;
    // Epoch times in nanoseconds have as many digits, and every tenth number passes the check.
    let is_grouped = text.slice(start..end).bytes().any(|byte| !byte.is_ascii_digit());
    (is_grouped || matches!(end - start, 13..=16)).then_some(start..end)
}

pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let digit = u32::from(*digit) << (index % 2);
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// US social security numbers as `AAA-GG-SSSS`; the ranges that were never issued are left alone, those of taxpayer numbers (9…) are not.
fn ssn(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let number = text.bytes().get(start..start + 11)?;
    let shaped = number.iter().enumerate().all(|(index, byte)| if matches!(index, 3 | 6) { *byte == b'-' } else { byte.is_ascii_digit() });
    let issued =
        !number.starts_with(b"000") && !number.starts_with(b"666") && number.get(4..6) != Some(b"00") && number.get(7..) != Some(b"0000");
    let free = text.ends_word(start + 11) && text.at(start + 11) != b'-' && text.before(start) != b'-';
    (shaped && issued && free).then_some(start..start + 11)
}

/// ISO 13616: two letters, two check digits, up to 30 letters and digits, remainder 1 modulo 97. `start` is the first check digit.
fn iban(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let from = start.checked_sub(2)?;
    let country = text.bytes().get(from..start)?;
    if !text.at(start + 1).is_ascii_digit() || !country.iter().all(u8::is_ascii_alphabetic) || !text.starts_word(from) {
        return None;
    }
    let len = iban_len(country)?;
    let is_lower = country.iter().all(u8::is_ascii_lowercase);
    let (mut signs, mut at) = (Vec::new(), from);
    loop {
        let byte = text.at(at);
        if byte.is_ascii_digit() || (byte.is_ascii_alphabetic() && byte.is_ascii_lowercase() == is_lower) {
            signs.push(byte.to_ascii_uppercase());
        } else if !matches!(byte, b' ' | b'-') || !signs.len().is_multiple_of(4) || !text.before(at).is_ascii_alphanumeric() {
            return None;
        }
        at += 1;
        if signs.len() == len && text.before(at).is_ascii_alphanumeric() {
            // A mistyped one is a person's all the same: its length and its digits tell enough.
            let digits = signs.iter().filter(|sign| sign.is_ascii_digit()).count();
            let shaped = mod_97(&signs) == 1 || (!is_lower && digits * 3 >= len * 2);
            return (text.ends_word(at) && shaped).then_some(from..at);
        }
    }
}

/// The value beside a label that names an IBAN, whether its check digits are right or not.
pub(super) fn iban_shaped(text: Text<'_>, from: usize) -> Option<Range<usize>> {
    if !(text.at(from).is_ascii_alphabetic() && text.at(from + 1).is_ascii_alphabetic() && text.at(from + 2).is_ascii_digit()) {
        return None;
    }
    let (mut count, mut end, mut at) = (0, from, from);
    while count <= 34 {
        let byte = text.at(at);
        if byte.is_ascii_digit() || byte.is_ascii_uppercase() {
            count += 1;
            end = at + 1;
        } else if !matches!(byte, b' ' | b'-') || at != end {
            break;
        }
        at += 1;
    }
    (15..=34).contains(&count).then_some(from..end)
}

/// Lengths of the countries in the IBAN registry (SWIFT, release 99).
fn iban_len(country: &[u8]) -> Option<usize> {
    Some(match country.to_ascii_uppercase().as_slice() {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FO" | b"FI" | b"GL" | b"NL" | b"SD" | b"FK" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"XK" | b"LT" | b"LU" | b"MN" => 20,
        b"CR" | b"HR" | b"LI" | b"LV" | b"CH" => 21,
        b"BH" | b"BG" | b"GE" | b"DE" | b"IE" | b"ME" | b"RS" | b"GB" | b"VA" => 22,
        b"TL" | b"GI" | b"IQ" | b"IL" | b"AE" | b"OM" | b"SO" => 23,
        b"AD" | b"CZ" | b"MD" | b"PK" | b"RO" | b"SA" | b"SK" | b"ES" | b"SE" | b"TN" | b"VG" => 24,
        b"LY" | b"PT" | b"ST" => 25,
        b"IS" | b"TR" => 26,
        b"FR" | b"GR" | b"IT" | b"MR" | b"MC" | b"SM" | b"BI" | b"DJ" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"SV" | b"GT" | b"HU" | b"LB" | b"NI" | b"PL" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" | b"YE" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => return None,
    })
}

fn mod_97(signs: &[u8]) -> u32 {
    let rotated = signs.iter().skip(4).chain(signs.iter().take(4));
    rotated.fold(0, |rest, sign| match sign {
        b'0'..=b'9' => (rest * 10 + u32::from(sign - b'0')) % 97,
        _ => (rest * 100 + u32::from(sign - b'A') + 10) % 97,
    })
}

/// IPv4 in dotted decimal. Loopback, unspecified and broadcast addresses identify nobody; a fifth part makes it a version.
fn ip(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let end = text.skip(start, 16, |byte| byte.is_ascii_digit() || byte == b'.');
    let shown = text.slice(start..end).trim_end_matches('.');
    let address: Ipv4Addr = shown.parse().ok()?;
    let end = start + shown.len();
    let octets = address.octets();
    let before = text.before(start);
    let is_version = matches!(before, b'.' | b'v') || octets.first() == Some(&0) || (before == b'=' && text.before(start - 1) == b'=');
    // `File version 1.2.3.4`, `chrome/120.0.0.0`: small numbers after a name are versions.
    let is_product = before == b'/' && text.before(start - 1).is_ascii_alphabetic() || is_after_version_word(text, start);
    let nobody = address.is_loopback() || address.is_unspecified() || address.is_broadcast() || octets.starts_with(&[255]);
    (!is_version && !is_product && !nobody && text.ends_word(end) && text.at(end) != b'-').then_some(start..end)
}

fn is_after_version_word(text: Text<'_>, start: usize) -> bool {
    let left = text.slice(text.skip_back(start, 10, |byte| byte.is_ascii_alphabetic() || matches!(byte, b' ' | b':'))..start);
    let word = left.trim_end_matches([' ', ':']);
    ["version", "ver", "release"].iter().any(|name| word.len() >= name.len() && word.to_ascii_lowercase().ends_with(name))
}

/// IPv6 that starts with a digit or, through [`ipv6_at_letter`], with a letter.
fn ipv6(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let first = text.skip(start, 5, |byte| byte.is_ascii_hexdigit());
    if first - start > 4 || text.at(first) != b':' || text.at(first + 1).is_ascii_whitespace() {
        return None;
    }
    let end = text.skip(start, 46, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    let shown = text.slice(start..end).trim_end_matches([':', '.']);
    let address: Ipv6Addr = shown.parse().ok()?;
    let end = start + shown.len();
    let nobody = address.is_loopback() || address.is_unspecified();
    (!nobody && text.before(start) != b':' && text.ends_word(end)).then_some(start..end)
}

/// An IPv6 address whose first part starts with a letter: `fe80::1`, `fd00:…`.
pub(super) fn ipv6_at_letter(text: Text<'_>, start: usize) -> Option<Found> {
    if !text.starts_word(start) {
        return None;
    }
    mac(text, start)
        .map(|range| Found { range, kind: "mac", why: "shape" })
        .or_else(|| ipv6(text, start).map(|range| Found { range, kind: "ip", why: "shape" }))
}

/// EUI-48 as six pairs with `:` or `-`, or three fours with dots.
fn mac(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let shown = text.bytes().get(start..start + 17).unwrap_or_default();
    let separator = shown.get(2).copied().unwrap_or(0);
    let in_pairs = matches!(separator, b':' | b'-')
        && shown.iter().enumerate().all(|(index, byte)| if index % 3 == 2 { *byte == separator } else { byte.is_ascii_hexdigit() });
    if in_pairs {
        let free = text.ends_word(start + 17) && text.at(start + 17) != separator && text.before(start) != separator;
        let nobody = shown.iter().filter(|byte| byte.is_ascii_hexdigit()).all(|byte| matches!(byte, b'0' | b'f' | b'F'));
        return (free && !nobody).then_some(start..start + 17);
    }
    let shown = text.bytes().get(start..start + 14)?;
    let in_fours = shown.iter().enumerate().all(|(index, byte)| if index % 5 == 4 { *byte == b'.' } else { byte.is_ascii_hexdigit() });
    let has_letter = shown.iter().any(u8::is_ascii_alphabetic);
    (in_fours && has_letter && text.ends_word(start + 14) && text.at(start + 14) != b'.' && text.before(start) != b'.')
        .then_some(start..start + 14)
}

/// A phone number that needs no name beside it: international, North American, or with a leading zero and groups. Bare digits are left
/// alone, for they are mostly ids.
fn phone(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let before = text.before(start);
    let separated = matches!(text.at(start + 3), b' ' | b'-' | b'.' | b')');
    if text.at(start) != b'0' && !separated && !matches!(before, b'+' | b'(') {
        return None;
    }
    if before == b'+' && text.before(start - 1) == b'(' {
        return phone_shaped(text, start - 2, 8).or_else(|| phone_shaped(text, start - 1, 8));
    }
    if before == b'+' && (text.starts_word(start - 1) || text.before(start - 1) == b'.') {
        return phone_shaped(text, start - 1, 8);
    }
    if before == b'(' && text.before(start - 1) == b'+' {
        return phone_shaped(text, start - 2, 8);
    }
    // `(0161) 928 5582` and `(07462 996164)`: the bracket is a part of the number, or stands around it.
    let close = text.skip(start, 6, |byte| byte.is_ascii_digit());
    let from = if before == b'(' && text.at(close) == b')' { start - 1 } else { start };
    if matches!(before, b'.' | b'-' | b'/' | b'#' | b'=' | b':' | b'$' | b'_') && !matches!(before, b':' | b'=') {
        return None;
    }
    if matches!(before, b'=') && text.before(start - 1) == b'=' {
        return None;
    }
    north_american(text, start).or_else(|| {
        let range = phone_shaped(text, from, 9)?;
        let shown = text.slice(range.clone());
        let parts: Vec<&str> = shown.split(|sign: char| !sign.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
        let first = parts.first()?;
        let trunk = first.starts_with('0') && first.len() >= 2 && parts.len() >= 2 && !first.starts_with("000");
        let brackets = from < start && matches!(parts.len(), 2..=4) && matches!(first.len(), 2..=5);
        let by_dots = shown.contains('.');
        let dots_fit = !by_dots || (parts.len() >= 3 && !shown.contains(['-', '/']));
        let after = text.at(range.end);
        ((trunk || brackets) && dots_fit && !is_date(&parts) && !matches!(after, b':' | b'%' | b'/') && !is_decimal_tail(text, range.end))
            .then_some(range)
    })
}

fn is_decimal_tail(text: Text<'_>, end: usize) -> bool {
    matches!(text.at(end), b'.' | b',') && text.at(end + 1).is_ascii_digit()
}

/// Area code and exchange of North America, which never start with 0 or 1: `(415) 555-0142`, `415.555.0142`.
fn north_american(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let digits_at =
        |from: usize, count: usize| text.bytes().get(from..from + count).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let is_separator = |at: usize| matches!(text.at(at), b' ' | b'-' | b'.');
    let in_brackets = text.before(start) == b'(' && text.at(start + 3) == b')';
    let (from, second) = if in_brackets {
        (start - 1, start + 4 + usize::from(is_separator(start + 4)))
    } else if is_separator(start + 3) {
        (start, start + 4)
    } else {
        return None;
    };
    let area = matches!(text.at(start), b'2'..=b'9') && digits_at(start, 3);
    let exchange = matches!(text.at(second), b'2'..=b'9') && digits_at(second, 3);
    let line = is_separator(second + 3) && digits_at(second + 4, 4);
    let same_separators = in_brackets || text.at(start + 3) == text.at(second + 3);
    let mut end = second + 8;
    if text.at(end) == b'x' && text.at(end + 1).is_ascii_digit() {
        end = text.skip(end + 1, 6, |byte| byte.is_ascii_digit());
    }
    let free = text.ends_word(end) && text.at(end) != b'-' && !matches!(text.before(from), b'-' | b'.');
    (area && exchange && line && same_separators && free).then_some(from..end)
}

/// Digits in the groups of a phone number from `from` on (`+`, a bracket or a digit): `min` to 15 of them.
pub(super) fn phone_shaped(text: Text<'_>, from: usize, min: usize) -> Option<Range<usize>> {
    let (mut count, mut best, mut last, mut at) = (0usize, None, from, from);
    if text.at(at) == b'+' {
        at += 1;
        last = at;
    }
    let mut open = false;
    while at < text.len() {
        match text.at(at) {
            b'0'..=b'9' => {
                count += 1;
                if count > 15 {
                    break;
                }
                last = at + 1;
                let has_extension = text.at(last) == b'x' && text.at(last + 1).is_ascii_digit();
                if count >= min && (text.ends_word(last) || has_extension) && !open {
                    best = Some(last);
                }
            }
            b'(' if !open && at - last < 2 && (text.at(at + 1).is_ascii_digit() || text.at(at + 1) == b'+') => {
                open = true;
                at += usize::from(text.at(at + 1) == b'+');
            }
            b')' if open && at == last => {
                open = false;
                last = at + 1;
                // A bracket takes no room: `(0)494`.
                at += 1;
                continue;
            }
            b' ' | b'-' | b'.' | b'/' if at > from && at - last < 1 => {}
            b' ' | b'-' | b'/' if at > from && at - last < 3 && (text.before(at) == b' ' || text.at(at) == b' ') => {}
            0xc2 if text.at(at + 1) == 0xa0 => at += 1,
            _ => break,
        }
        at += 1;
    }
    // A digit run that goes on past fifteen is no phone number.
    let end = best?;
    if count > 15 && text.slice(from..end).bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut end = end;
    if text.slice(end..text.len().min(end + 2)) == " x" || text.at(end) == b'x' {
        let digits = text.skip(end, 2, |byte| matches!(byte, b' ' | b'x'));
        let tail = text.skip(digits, 6, |byte| byte.is_ascii_digit());
        if tail > digits {
            end = tail;
        }
    }
    Some(from..end)
}

/// Whether groups of digits read as a date: `01.10.1944`, `2026-11-23`.
pub(super) fn is_date(parts: &[&str]) -> bool {
    let number = |index: usize| parts.get(index).and_then(|part| part.parse::<u32>().ok()).unwrap_or(9999);
    let len = |index: usize| parts.get(index).map_or(0, |part| part.len());
    if parts.len() < 3 {
        return false;
    }
    let year_first = len(0) == 4 && (1800..2200).contains(&number(0)) && (1..=12).contains(&number(1)) && number(2) <= 31;
    let year_last = len(2) == 4 && (1800..2200).contains(&number(2)) && number(0) <= 31 && number(1) <= 31 && len(0) <= 2 && len(1) <= 2;
    year_first || year_last
}

#[cfg(test)]
mod tests {
    use super::super::check;

    #[test]
    fn payment_cards() {
        check(
            "credit_card",
            &["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "6011000990139424", "3405 617397 72853"],
            &[
                "4111111111111112",
                "1795424023443017575",
                "4444444444444444",
                "41111111111111110000000",
                "0.4111111111111111",
                "a4111111111111111",
            ],
        );
    }

    #[test]
    fn social_security_numbers() {
        check("ssn", &["078-05-1120", "219-09-9999"], &["000-12-3456", "666-12-3456", "123-00-4567", "2026-11-23", "123-45-67890"]);
    }

    #[test]
    fn ibans() {
        check(
            "iban",
            &[
                "DE89370400440532013000",
                "DE89 3704 0044 0532 0130 00",
                "GB29NWBK60161331926819",
                "NO9386011117947",
                "de89370400440532013000",
            ],
            &["AB12", "bc84-77955cdc9244", "fc6d18be75d4a75a", "XDE89370400440532013000"],
        );
    }

    #[test]
    fn phone_numbers() {
        check(
            "phone",
            &[
                "+49 30 901820",
                "+1 (415) 555-0142",
                "(415) 555-0142",
                "415-555-0142",
                "415.555.0142",
                "+442071838750",
                "+33(0)494431539",
                "030 / 8486578",
                "0151-60823059",
                "07462 996164",
                "0049 89 7371472",
                "(11) 90608-4758",
                "01.27.97.08.41",
                "080-2441 3733",
                "06 76 46 57 56",
                "+44 (0)161 928 5582",
                "(+358) 635836962",
            ],
            &[
                "2026-11-23",
                "1795424023",
                "+100",
                "100-200-3000",
                "3.14.1592",
                "-0.12345678",
                "1+12345678901",
                "01.10.1944",
                "0-306-40615-2",
                "0.036742, -0.023210",
                "978-2-1182-7027-5",
                "10:11:12 0000",
                "5,568,953,218",
            ],
        );
    }

    #[test]
    fn ip_addresses() {
        check(
            "ip",
            &["10.20.4.17", "192.168.0.1", "8.8.8.8", "2001:db8:85a3::8a2e:370:7334", "fe80::1ff:fe23:4567:890a"],
            &[
                "127.0.0.1",
                "1.2.3.4.5",
                "v1.2.3.4",
                "0.62.4.1",
                "300.1.1.1",
                "==1.2.3.4",
                "255.255.255.255",
                "::1",
                "Chrome/120.0.0.0",
                "version 6.0.3.1",
            ],
        );
    }

    #[test]
    fn hardware_addresses() {
        check(
            "mac",
            &["3c:22:fb:9a:10:4e", "00-1B-63-84-45-E6", "001b.6384.45e6"],
            &["00:00:00:00:00:00", "10:11:12:13", "ff:ff:ff:ff:ff:ff"],
        );
    }

    #[test]
    fn a_text_of_digits_takes_linear_time() {
        let text = "4 ".repeat(500_000);
        let start = std::time::Instant::now();
        super::super::find(&text, &super::super::CustomDetectors::default());
        assert!(start.elapsed() < std::time::Duration::from_secs(5));
    }
}
