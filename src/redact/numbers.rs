//! What is told by its digits: payment cards, social security numbers, IBANs, phone numbers, IP addresses.

use super::detect::{Hit, ends_word, starts_word};

/// Adds every hit in `text`.
pub(super) fn find(text: &str, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(distance) = bytes.get(at..).and_then(|rest| rest.iter().position(u8::is_ascii_digit)) {
        let start = at + distance;
        let hit = at_digit(bytes, start);
        let run = bytes.get(start..).map_or(0, |rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
        at = hit.as_ref().map_or(start + run, |hit| hit.range.end.max(start + run));
        hits.extend(hit);
    }
}

/// What starts at the first digit of a run, or a few signs before it.
fn at_digit(bytes: &[u8], start: usize) -> Option<Hit> {
    iban(bytes, start).or_else(|| {
        let start_is_free = starts_word(bytes, start);
        start_is_free
            .then(|| ssn(bytes, start).or_else(|| card(bytes, start)).or_else(|| ip(bytes, start)).or_else(|| phone(bytes, start)))
            .flatten()
    })
}

/// Digits from `start` on with single separators between them, and each `(number of digits, end)` at which a group ends.
fn groups(bytes: &[u8], start: usize, max: usize, separators: &[u8]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut digits, mut ends, mut at) = (Vec::new(), Vec::new(), start);
    while let Some(byte) = bytes.get(at) {
        let after_digit = at > start && bytes.get(at - 1).is_some_and(u8::is_ascii_digit);
        if byte.is_ascii_digit() && digits.len() < max {
            digits.push(byte - b'0');
            if bytes.get(at + 1).is_none_or(|next| !next.is_ascii_digit()) {
                ends.push((digits.len(), at + 1));
            }
        } else if !separators.contains(byte) || !after_digit {
            break;
        }
        at += 1;
    }
    (digits, ends)
}

/// ISO/IEC 7812: 13 to 19 digits in the ranges of the card issuers, Luhn's check digit. What follows after a blank may be another
/// number, so every end of a group is tried, the longest first.
fn card(bytes: &[u8], start: usize) -> Option<Hit> {
    let first = bytes.get(start)?;
    if !matches!(first, b'2'..=b'6') || matches!(bytes.get(start.wrapping_sub(1)), Some(b'.' | b'-' | b'/')) {
        return None;
    }
    let (digits, ends) = groups(bytes, start, 19, b" -");
    let second = digits.get(1).copied()?;
    let is_card = |count: usize, end: usize| {
        let plausible = match (*first, count) {
            (b'4', 13 | 16 | 19) | (b'5', 16) | (b'6', 16..=19) => true,
            (b'2', 16) => (2..=7).contains(&second),
            (b'3', 14..=16) => matches!(second, 0 | 4..=8),
            _ => false,
        };
        let digits = digits.get(..count).unwrap_or_default();
        plausible && digits.iter().any(|digit| Some(digit) != digits.first()) && ends_word(bytes, end) && luhn(digits)
    };
    let (_, end) = ends.into_iter().rev().find(|(count, end)| is_card(*count, *end))?;
    Some(Hit { range: start..end, kind: "CARD" })
}

fn luhn(digits: &[u8]) -> bool {
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

/// US social security numbers as `AAA-GG-SSSS`; the ranges that were never issued are left alone.
fn ssn(bytes: &[u8], start: usize) -> Option<Hit> {
    let text = bytes.get(start..start + 11)?;
    let shaped = text.iter().enumerate().all(|(index, byte)| if matches!(index, 3 | 6) { *byte == b'-' } else { byte.is_ascii_digit() });
    let issued = !text.starts_with(b"000")
        && !text.starts_with(b"666")
        && text.first() != Some(&b'9')
        && text.get(4..6) != Some(b"00")
        && text.get(7..) != Some(b"0000");
    let free = ends_word(bytes, start + 11) && bytes.get(start + 11) != Some(&b'-');
    (shaped && issued && free).then_some(Hit { range: start..start + 11, kind: "SSN" })
}

/// ISO 13616: two letters, two check digits, up to 30 letters and digits, remainder 1 modulo 97. `start` is the first check digit.
fn iban(bytes: &[u8], start: usize) -> Option<Hit> {
    let from = start.checked_sub(2)?;
    if !bytes.get(from..start)?.iter().all(u8::is_ascii_uppercase) || !starts_word(bytes, from) {
        return None;
    }
    let (mut signs, mut end, mut at) = (Vec::new(), from, from);
    while let Some(byte) = bytes.get(at) {
        if byte.is_ascii_digit() || byte.is_ascii_uppercase() {
            signs.push(*byte);
            end = at + 1;
        } else if *byte != b' ' || at != end || signs.len() % 4 != 0 {
            break;
        }
        at += 1;
        // What follows in upper case after a blank may be the next word; the check digits say where it ends.
        if (15..=34).contains(&signs.len()) && bytes.get(at).is_none_or(|next| !next.is_ascii_alphanumeric()) && mod_97(&signs) == 1 {
            return Some(Hit { range: from..end, kind: "IBAN" });
        }
        if signs.len() > 34 {
            break;
        }
    }
    None
}

fn mod_97(signs: &[u8]) -> u32 {
    let rotated = signs.iter().skip(4).chain(signs.iter().take(4));
    rotated.fold(0, |rest, sign| match sign {
        b'0'..=b'9' => (rest * 10 + u32::from(sign - b'0')) % 97,
        _ => (rest * 100 + u32::from(sign - b'A') + 10) % 97,
    })
}

/// IPv4 in dotted decimal. Loopback, unspecified and broadcast addresses identify nobody; a fifth part makes it a version.
fn ip(bytes: &[u8], start: usize) -> Option<Hit> {
    let end = start + bytes.get(start..)?.iter().take(16).take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let text = std::str::from_utf8(bytes.get(start..end)?).ok()?.trim_end_matches('.');
    let before = start.checked_sub(1).and_then(|index| bytes.get(index));
    let address: std::net::Ipv4Addr = text.parse().ok()?;
    let end = start + text.len();
    let is_version = matches!(before, Some(b'.' | b'v' | b'=')) || address.octets().first() == Some(&0);
    let nobody = address.is_loopback() || address.is_unspecified() || address.is_broadcast();
    (!is_version && !nobody && ends_word(bytes, end)).then_some(Hit { range: start..end, kind: "IP" })
}

/// International numbers with a `+`, and North American ones in their usual spellings. Bare digits are left alone: they are mostly ids.
fn phone(bytes: &[u8], start: usize) -> Option<Hit> {
    let before = |distance: usize| start.checked_sub(distance).and_then(|index| bytes.get(index)).copied();
    if before(1) == Some(b'+') {
        let plus = start - 1;
        if !starts_word(bytes, plus) {
            return None;
        }
        let (mut found, mut best, mut last, mut at) = (0, None, start, start);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'0'..=b'9' => {
                    found += 1;
                    last = at + 1;
                    if (8..=15).contains(&found) && ends_word(bytes, last) {
                        best = Some(last);
                    }
                }
                b' ' | b'-' | b'.' | b'(' | b')' | b'/' if at - last < 2 => {}
                _ => break,
            }
            at += 1;
            if found > 15 {
                break;
            }
        }
        return best.map(|end| Hit { range: plus..end, kind: "PHONE" });
    }
    let digits_at = |from: usize, count: usize| bytes.get(from..from + count).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let separator = |at: usize| bytes.get(at).copied().filter(|byte| b" -.".contains(byte));
    let in_brackets = before(1) == Some(b'(') && bytes.get(start + 3) == Some(&b')');
    let (from, second) = if in_brackets {
        (start - 1, start + 4 + usize::from(separator(start + 4).is_some()))
    } else {
        separator(start + 3)?;
        (start, start + 4)
    };
    // Area codes and exchanges never start with 0 or 1.
    let area = matches!(bytes.get(start), Some(b'2'..=b'9')) && digits_at(start, 3);
    let exchange = matches!(bytes.get(second), Some(b'2'..=b'9')) && digits_at(second, 3);
    let line = separator(second + 3).is_some() && digits_at(second + 4, 4);
    let same_separators = in_brackets || separator(start + 3) == separator(second + 3);
    let end = second + 8;
    let free = ends_word(bytes, end) && !matches!(bytes.get(end), Some(b'-')) && !matches!(before(1), Some(b'-' | b'.'));
    (area && exchange && line && same_separators && free).then_some(Hit { range: from..end, kind: "PHONE" })
}

#[cfg(test)]
mod tests {
    use super::super::detect::check;

    #[test]
    fn payment_cards() {
        check(
            "CARD",
            &["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "6011000990139424"],
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
        check(
            "SSN",
            &["078-05-1120", "219-09-9999"],
            &["000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "2026-11-23", "123-45-67890"],
        );
    }

    #[test]
    fn ibans() {
        check(
            "IBAN",
            &["DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "NO9386011117947"],
            &["DE89370400440532013001", "AB12", "XDE89370400440532013000"],
        );
    }

    #[test]
    fn phone_numbers() {
        check(
            "PHONE",
            &["+49 30 901820", "+1 (415) 555-0142", "(415) 555-0142", "415-555-0142", "415.555.0142", "+442071838750"],
            &["2026-11-23", "1795424023", "+100", "100-200-3000", "3.14.1592", "-0.12345678", "1+12345678901"],
        );
    }

    #[test]
    fn ip_addresses() {
        check(
            "IP",
            &["10.20.4.17", "192.168.0.1", "8.8.8.8"],
            &["127.0.0.1", "1.2.3.4.5", "v1.2.3.4", "0.62.4.1", "300.1.1.1", "==1.2.3.4", "255.255.255.255"],
        );
    }

    #[test]
    fn a_text_of_digits_takes_linear_time() {
        let text = "4 ".repeat(500_000);
        let start = std::time::Instant::now();
        super::super::detect::find(&text);
        assert!(start.elapsed() < std::time::Duration::from_secs(5));
    }
}
