//! Finds values by their digits: payment cards, social security numbers, IBANs, phone numbers, IP and hardware addresses.
//!
//! Each function takes the position of a digit and returns the range of the value around it. Check digits and reserved ranges exclude most of
//! the ids, versions, dates and measurements that look similar.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::Match;
use super::text::Text;

/// The value that starts at the first digit of a run, or a few characters before it (`+49 …`, `DE89 …`).
pub(super) fn at_digit(text: Text<'_>, start: usize) -> Option<Match> {
    let found = |range: Option<Range<usize>>, kind: &'static str| range.map(|range| Match { range, kind, detector: "shape" });
    if text.byte_before(start).is_ascii_alphabetic() {
        return found(iban(text, start), "iban");
    }
    if !text.is_word_start(start) {
        return None;
    }
    // The character after the digits excludes most formats.
    let end = text.skip_while(start, 20, |byte| byte.is_ascii_digit());
    let (digits, after) = (end - start, text.byte_at(end));
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

/// At most `max` digits from `start`, with single separators between them, and `(number of digits, position)` at each end of a group.
fn digit_groups(text: Text<'_>, start: usize, max: usize, separators: &[u8]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut digits, mut ends, mut at) = (Vec::new(), Vec::new(), start);
    loop {
        let byte = text.byte_at(at);
        if byte.is_ascii_digit() && digits.len() < max {
            digits.push(byte - b'0');
            if !text.byte_at(at + 1).is_ascii_digit() {
                ends.push((digits.len(), at + 1));
            }
        } else if !separators.contains(&byte) || at == start || !text.byte_before(at).is_ascii_digit() {
            break;
        }
        at += 1;
    }
    (digits, ends)
}

/// A payment card number (ISO/IEC 7812): 13 to 19 digits in the ranges of the issuers, with a valid Luhn check digit. The group after a space
/// may be another number, so every end of a group is tried, the longest first.
fn card(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    // Not inside a decimal number, a range or a path: `0.4111111111111111`.
    let first = text.byte_at(start);
    if !matches!(first, b'2'..=b'6') || matches!(text.byte_before(start), b'.' | b'-' | b'/') {
        return None;
    }
    let (digits, ends) = digit_groups(text, start, 19, b" -.");
    let second = digits.get(1).copied()?;
    let is_card = |count: usize, end: usize| {
        // Visa, Mastercard and Maestro, Mastercard's 2-series, American Express and Diners Club.
        let plausible = match (first, count) {
            (b'4', 13 | 16 | 19) | (b'5', 16) | (b'5' | b'6', 12..=19) => true,
            (b'2', 16) => (2..=7).contains(&second),
            (b'3', 14..=16) => matches!(second, 0 | 4..=8),
            _ => false,
        };
        let digits = digits.get(..count).unwrap_or_default();
        plausible && count >= 13 && digits.iter().any(|digit| Some(digit) != digits.first()) && text.is_word_end(end) && luhn(digits)
    };
    let (_, end) = ends.into_iter().rev().find(|(count, end)| is_card(*count, *end))?;
    // A plain number of more than 16 digits is more likely an epoch time in nanoseconds or an id: every tenth of them passes the check.
    let is_grouped = text.slice(start..end).bytes().any(|byte| !byte.is_ascii_digit());
    (is_grouped || matches!(end - start, 13..=16)).then_some(start..end)
}

/// Whether the last digit is a valid Luhn check digit.
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

/// A US social security number, written `AAA-GG-SSSS`, except for ranges that are never issued. Taxpayer numbers (9…) are included.
fn ssn(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let number = text.bytes().get(start..start + 11)?;
    let shaped = number.iter().enumerate().all(|(index, byte)| if matches!(index, 3 | 6) { *byte == b'-' } else { byte.is_ascii_digit() });
    let issued =
        !number.starts_with(b"000") && !number.starts_with(b"666") && number.get(4..6) != Some(b"00") && number.get(7..) != Some(b"0000");
    // Not a part of a longer number: `078-05-1120-7`.
    let is_delimited = text.is_word_end(start + 11) && text.byte_at(start + 11) != b'-' && text.byte_before(start) != b'-';
    (shaped && issued && is_delimited).then_some(start..start + 11)
}

/// An IBAN (ISO 13616): two letters, two check digits and up to 30 letters and digits. `start` is the first check digit.
fn iban(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let from = start.checked_sub(2)?;
    let country = text.bytes().get(from..start)?;
    if !text.byte_at(start + 1).is_ascii_digit() || !country.iter().all(u8::is_ascii_alphabetic) || !text.is_word_start(from) {
        return None;
    }
    let len = iban_len(country)?;
    let is_lower = country.iter().all(u8::is_ascii_lowercase);
    let (mut characters, mut at) = (Vec::new(), from);
    loop {
        let byte = text.byte_at(at);
        if byte.is_ascii_digit() || (byte.is_ascii_alphabetic() && byte.is_ascii_lowercase() == is_lower) {
            characters.push(byte.to_ascii_uppercase());
        } else if !matches!(byte, b' ' | b'-') || !characters.len().is_multiple_of(4) || !text.byte_before(at).is_ascii_alphanumeric() {
            return None;
        }
        at += 1;
        if characters.len() == len && text.byte_before(at).is_ascii_alphanumeric() {
            // Mistyped IBANs still identify a person: with upper-case letters, the length and the share of digits are sufficient. Lower-case ones
            // must be valid, because hex ids have the same form (`bc84…`).
            let digits = characters.iter().filter(|c| c.is_ascii_digit()).count();
            let shaped = mod_97(&characters) == 1 || (!is_lower && digits * 3 >= len * 2);
            return (text.is_word_end(at) && shaped).then_some(from..at);
        }
    }
}

/// An IBAN next to its label, regardless of its country and check digits.
pub(super) fn labelled_iban(text: Text<'_>, from: usize) -> Option<Range<usize>> {
    if !(text.byte_at(from).is_ascii_alphabetic()
        && text.byte_at(from + 1).is_ascii_alphabetic()
        && text.byte_at(from + 2).is_ascii_digit())
    {
        return None;
    }
    let (mut count, mut end, mut at) = (0, from, from);
    while count <= 34 {
        let byte = text.byte_at(at);
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

/// The IBAN length of a country (SWIFT IBAN registry, release 99).
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

/// The check of ISO 13616: the number modulo 97, 1 if valid.
fn mod_97(characters: &[u8]) -> u32 {
    let rotated = characters.iter().skip(4).chain(characters.iter().take(4));
    rotated.fold(0, |rest, c| match c {
        b'0'..=b'9' => (rest * 10 + u32::from(c - b'0')) % 97,
        _ => (rest * 100 + u32::from(c - b'A') + 10) % 97,
    })
}

/// An IPv4 address in dotted decimal, except for loopback, unspecified and broadcast addresses, which identify nobody.
fn ip(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let end = text.skip_while(start, 16, |byte| byte.is_ascii_digit() || byte == b'.');
    let shown = text.slice(start..end).trim_end_matches('.');
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
    ["version", "ver", "release"].iter().any(|name| word.len() >= name.len() && word.to_ascii_lowercase().ends_with(name))
}

/// An IPv6 address that starts with a digit or, called by [`ipv6_at_letter`], with a letter.
fn ipv6(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    // `10: value` is a key of YAML or a line number.
    let first = text.skip_while(start, 5, |byte| byte.is_ascii_hexdigit());
    if first - start > 4 || text.byte_at(first) != b':' || text.byte_at(first + 1).is_ascii_whitespace() {
        return None;
    }
    let end = text.skip_while(start, 46, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    let shown = text.slice(start..end).trim_end_matches([':', '.']);
    let address: Ipv6Addr = shown.parse().ok()?;
    let end = start + shown.len();
    let is_reserved = address.is_loopback() || address.is_unspecified();
    (!is_reserved && text.byte_before(start) != b':' && text.is_word_end(end)).then_some(start..end)
}

/// An IPv6 or hardware address whose first group starts with a letter: `fe80::1`, `fd00:…`, `a0:…`.
pub(super) fn ipv6_at_letter(text: Text<'_>, start: usize) -> Option<Match> {
    if !text.is_word_start(start) {
        return None;
    }
    mac(text, start)
        .map(|range| Match { range, kind: "mac", detector: "shape" })
        .or_else(|| ipv6(text, start).map(|range| Match { range, kind: "ip", detector: "shape" }))
}

/// A hardware address (EUI-48) as six pairs with `:` or `-`, or as three groups of four with dots.
fn mac(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let shown = text.bytes().get(start..start + 17).unwrap_or_default();
    let separator = shown.get(2).copied().unwrap_or(0);
    let in_pairs = matches!(separator, b':' | b'-')
        && shown.iter().enumerate().all(|(index, byte)| if index % 3 == 2 { *byte == separator } else { byte.is_ascii_hexdigit() });
    if in_pairs {
        let is_delimited = text.is_word_end(start + 17) && text.byte_at(start + 17) != separator && text.byte_before(start) != separator;
        // All zeros, or the broadcast address.
        let is_reserved = shown.iter().filter(|byte| byte.is_ascii_hexdigit()).all(|byte| matches!(byte, b'0' | b'f' | b'F'));
        return (is_delimited && !is_reserved).then_some(start..start + 17);
    }
    let shown = text.bytes().get(start..start + 14)?;
    let in_fours = shown.iter().enumerate().all(|(index, byte)| if index % 5 == 4 { *byte == b'.' } else { byte.is_ascii_hexdigit() });
    // `001b.6384.45e6`, but not the decimal number `1000.2000.3000`.
    let has_letter = shown.iter().any(u8::is_ascii_alphabetic);
    (in_fours && has_letter && text.is_word_end(start + 14) && text.byte_at(start + 14) != b'.' && text.byte_before(start) != b'.')
        .then_some(start..start + 14)
}

/// A phone number without a label: international (`+49 30 901820`), North American (`415-555-0142`), or national with a trunk zero or
/// brackets and several groups (`030 / 8486578`). A plain run of digits is not accepted, because most of them are ids.
fn phone(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    // Most numbers have none of the possible beginnings and are excluded here.
    let before = text.byte_before(start);
    let separated = matches!(text.byte_at(start + 3), b' ' | b'-' | b'.' | b')');
    if text.byte_at(start) != b'0' && !separated && !matches!(before, b'+' | b'(') {
        return None;
    }
    // `(+358) 635836962` or `(+358 635836962)`.
    if before == b'+' && text.byte_before(start - 1) == b'(' {
        return phone_shaped(text, start - 2, 8).or_else(|| phone_shaped(text, start - 1, 8));
    }
    if before == b'+' && (text.is_word_start(start - 1) || text.byte_before(start - 1) == b'.') {
        return phone_shaped(text, start - 1, 8);
    }
    // `+(49) 30 901820`.
    if before == b'(' && text.byte_before(start - 1) == b'+' {
        return phone_shaped(text, start - 2, 8);
    }
    // The bracket is part of the number in `(0161) 928 5582`, but not in `(07462 996164)`.
    let close = text.skip_while(start, 6, |byte| byte.is_ascii_digit());
    let from = if before == b'(' && text.byte_at(close) == b')' { start - 1 } else { start };
    // Not a part of a decimal number, a path, an issue number, an amount or an identifier: `.030`, `/030`, `#030`, `$030`, `_030`.
    if matches!(before, b'.' | b'-' | b'/' | b'#' | b'=' | b':' | b'$' | b'_') && !matches!(before, b':' | b'=') {
        return None;
    }
    // `package==030.1`.
    if matches!(before, b'=') && text.byte_before(start - 1) == b'=' {
        return None;
    }
    north_american(text, start).or_else(|| {
        let range = phone_shaped(text, from, 9)?;
        let shown = text.slice(range.clone());
        let parts: Vec<&str> = shown.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
        let first = parts.first()?;
        // `030 / 8486578`, but not `0 306` or `000 123`; `(11) 90608-4758`.
        let trunk = first.starts_with('0') && first.len() >= 2 && parts.len() >= 2 && !first.starts_with("000");
        let brackets = from < start && matches!(parts.len(), 2..=4) && matches!(first.len(), 2..=5);
        // `01.27.97.08.41`, but not the decimal number `03.14159` or a mix such as `03.14-15`.
        let by_dots = shown.contains('.');
        let dots_fit = !by_dots || (parts.len() >= 3 && !shown.contains(['-', '/']));
        let after = text.byte_at(range.end);
        ((trunk || brackets) && dots_fit && !is_date(&parts) && !matches!(after, b':' | b'%' | b'/') && !is_decimal_tail(text, range.end))
            .then_some(range)
    })
}

/// Whether decimals follow: `030 901.5`.
fn is_decimal_tail(text: Text<'_>, end: usize) -> bool {
    matches!(text.byte_at(end), b'.' | b',') && text.byte_at(end + 1).is_ascii_digit()
}

/// A North American number: `(415) 555-0142`, `415.555.0142`. Area code and exchange never start with 0 or 1.
fn north_american(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let digits_at =
        |from: usize, count: usize| text.bytes().get(from..from + count).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let is_separator = |at: usize| matches!(text.byte_at(at), b' ' | b'-' | b'.');
    let in_brackets = text.byte_before(start) == b'(' && text.byte_at(start + 3) == b')';
    let (from, second) = if in_brackets {
        (start - 1, start + 4 + usize::from(is_separator(start + 4)))
    } else if is_separator(start + 3) {
        (start, start + 4)
    } else {
        return None;
    };
    let area = matches!(text.byte_at(start), b'2'..=b'9') && digits_at(start, 3);
    let exchange = matches!(text.byte_at(second), b'2'..=b'9') && digits_at(second, 3);
    let line = is_separator(second + 3) && digits_at(second + 4, 4);
    let same_separators = in_brackets || text.byte_at(start + 3) == text.byte_at(second + 3);
    let mut end = second + 8;
    if text.byte_at(end) == b'x' && text.byte_at(end + 1).is_ascii_digit() {
        end = text.skip_while(end + 1, 6, |byte| byte.is_ascii_digit());
    }
    // Not a part of a longer number: `978-415-555-0142`.
    let is_delimited = text.is_word_end(end) && text.byte_at(end) != b'-' && !matches!(text.byte_before(from), b'-' | b'.');
    (area && exchange && line && same_separators && is_delimited).then_some(from..end)
}

/// `min` to 15 digits from `from` (a `+`, a bracket or a digit), grouped like a phone number: `+44 (0)161 928 5582`, `030 / 8486578`.
pub(super) fn phone_shaped(text: Text<'_>, from: usize, min: usize) -> Option<Range<usize>> {
    let (mut count, mut best, mut last, mut at) = (0usize, None, from, from);
    if text.byte_at(at) == b'+' {
        at += 1;
        last = at;
    }
    let mut open = false;
    while at < text.len() {
        match text.byte_at(at) {
            b'0'..=b'9' => {
                count += 1;
                if count > 15 {
                    break;
                }
                last = at + 1;
                let has_extension = text.byte_at(last) == b'x' && text.byte_at(last + 1).is_ascii_digit();
                if count >= min && (text.is_word_end(last) || has_extension) && !open {
                    best = Some(last);
                }
            }
            b'(' if !open && at - last < 2 && (text.byte_at(at + 1).is_ascii_digit() || text.byte_at(at + 1) == b'+') => {
                open = true;
                at += usize::from(text.byte_at(at + 1) == b'+');
            }
            b')' if open && at == last => {
                open = false;
                last = at + 1;
                // A digit may directly follow the bracket: `(0)494`.
                at += 1;
                continue;
            }
            // One separator between groups, or one with spaces around it (` - `, ` / `).
            b' ' | b'-' | b'.' | b'/' if at > from && at - last < 1 => {}
            b' ' | b'-' | b'/' if at > from && at - last < 3 && (text.byte_before(at) == b' ' || text.byte_at(at) == b' ') => {}
            0xc2 if text.byte_at(at + 1) == 0xa0 => at += 1,
            _ => break,
        }
        at += 1;
    }
    // E.164 allows 15 digits; a longer plain run is an id.
    let end = best?;
    if count > 15 && text.slice(from..end).bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // An extension: `555-0142 x12`.
    let mut end = end;
    if text.slice(end..text.len().min(end + 2)) == " x" || text.byte_at(end) == b'x' {
        let digits = text.skip_while(end, 2, |byte| matches!(byte, b' ' | b'x'));
        let tail = text.skip_while(digits, 6, |byte| byte.is_ascii_digit());
        if tail > digits {
            end = tail;
        }
    }
    Some(from..end)
}

/// Whether groups of digits form a date: `01.10.1944`, `2026-11-23`.
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
    use crate::redact::tests::thread_seconds;

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
        let start = thread_seconds();
        super::super::scan(&text, &super::super::CustomDetectors::default());
        assert!(thread_seconds() - start < 5.0);
    }
}
