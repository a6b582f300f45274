//! Finds text whose bytes are written one by one as numbers: `61 64 61`, `0x61, 0x64`, `6164 6140` (the groups of a dump), `[97, 100, 97]`.

use std::ops::Range;

use super::text::Text;

/// Shorter lists encode too little text to contain a value.
const BYTES_MIN: usize = 8;

/// How the bytes of a list are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notation {
    /// An even number of hex digits.
    Hex,
    /// `0x61`.
    PrefixedHex,
    Decimal,
}

/// The list that starts with the digit at `start`, and its bytes.
pub(super) fn list_at(text: Text<'_>, start: usize) -> Option<(Range<usize>, Vec<u8>)> {
    list_after(text, start, &mut 0)
}

/// As [`list_at`]. No list in hex starts before `hex_from`, which is moved after each list that is too short, so that a row of
/// numbers is read once. Nearly all numbers are excluded by the first bytes.
pub(super) fn list_after(text: Text<'_>, start: usize, hex_from: &mut usize) -> Option<(Range<usize>, Vec<u8>)> {
    let next = text.byte_at(start + 1);
    let may_be_decimal = text.byte_at(start + 2) == b',' || text.byte_at(start + 3) == b',';
    // A single digit, or a list in hex that was read.
    if !next.is_ascii_alphanumeric() || (start < *hex_from && next != b'x' && !may_be_decimal) {
        return None;
    }
    if !text.is_word_start(start) {
        return None;
    }
    let digits = text.skip_while(start, 5, |byte| byte.is_ascii_hexdigit()) - start;
    let is_separator = |at: usize| matches!(text.byte_at(at), b' ' | b',' | b':' | b'-' | b'\n' | b'\r');
    let notation = if text.byte_at(start) == b'0' && text.byte_at(start + 1) == b'x' {
        Notation::PrefixedHex
    } else if !is_separator(start + digits) {
        return None;
    } else if matches!(digits, 2..=3)
        && text.byte_at(start + digits) == b','
        && text.slice(start..start + digits).bytes().all(|byte| byte.is_ascii_digit())
    {
        Notation::Decimal
    } else if matches!(digits, 2 | 4) && matches!(text.byte_at(start), b'2'..=b'7') {
        // The first hex digit of all printable characters of ASCII.
        Notation::Hex
    } else {
        return None;
    };
    if notation == Notation::Hex && start < *hex_from {
        return None;
    }
    // Most lists of numbers end before any memory is needed for their bytes.
    let mut count = 0;
    let end = read(text, start, notation, &mut |_| {
        count += 1;
        count < BYTES_MIN
    });
    if count < BYTES_MIN {
        if notation == Notation::Hex {
            *hex_from = end;
        }
        return None;
    }
    let mut bytes = Vec::new();
    let end = read(text, start, notation, &mut |byte| {
        bytes.push(byte);
        true
    });
    text.is_word_end(end).then_some((start..end, bytes))
}

/// Calls `add` with the bytes of the list at `start` while it returns true. Returns the end of the last number.
fn read(text: Text<'_>, start: usize, notation: Notation, add: &mut impl FnMut(u8) -> bool) -> usize {
    let (mut end, mut at) = (start, start);
    while let Some(item_end) = item(text, at, notation, add) {
        end = item_end;
        at = text.skip_while(end, 4, |byte| matches!(byte, b' ' | b',' | b':' | b'-' | b'\n' | b'\r'));
        if at == end {
            break;
        }
    }
    end
}

/// Reads the number at `at`, which encodes one byte or, in a dump, several; returns its end, unless `add` wants no more.
fn item(text: Text<'_>, at: usize, notation: Notation, add: &mut impl FnMut(u8) -> bool) -> Option<usize> {
    let is_readable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t' | 0 | 0x80..);
    if notation == Notation::Decimal {
        let end = text.skip_while(at, 3, |byte| byte.is_ascii_digit());
        return add(text.slice(at..end).parse().ok().filter(is_readable)?).then_some(end);
    }
    let is_prefixed = || text.byte_at(at) == b'0' && text.byte_at(at + 1).eq_ignore_ascii_case(&b'x');
    let at = if notation == Notation::PrefixedHex { is_prefixed().then_some(at + 2)? } else { at };
    let end = text.skip_while(at, 4, |byte| byte.is_ascii_hexdigit());
    let (pairs, []) = text.bytes().get(at..end)?.as_chunks::<2>() else { return None };
    let digit = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { (byte | 0x20) - b'a' + 10 };
    for [high, low] in pairs {
        if !add(Some(digit(*high) << 4 | digit(*low)).filter(is_readable)?) {
            return None;
        }
    }
    (!pairs.is_empty()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, scan};
    use super::*;

    #[test]
    fn values_written_byte_by_byte_are_found() {
        let plain = "mail ada.lovelace@example.com";
        let list = |separator: &str, form: fn(u8) -> String| plain.bytes().map(form).collect::<Vec<_>>().join(separator);
        for encoded in [
            list(" ", |byte| format!("{byte:02x}")),
            list(":", |byte| format!("{byte:02X}")),
            list(", ", |byte| format!("0x{byte:02x}")),
            list(",", |byte| byte.to_string()),
            list(",\n", |byte| byte.to_string()),
        ] {
            let text = format!("{{\"type\": \"Buffer\", \"data\": [{encoded}]}}");
            let found = scan(&text, &CustomDetectors::default());
            assert_eq!(found.iter().map(|found| (found.kind, &found.value)).collect::<Vec<_>>(), [("email", &encoded)], "{text}");
        }
        assert_eq!(list_at(Text("6164 6140 7878 2e63 6f6d"), 0), Some((0..24, b"ada@xx.com".to_vec())));
        for text in
            ["10, 20, 30, 40, 50, 60, 70, 80, 90", "61 64", "2026-11-23", "4111 1111 1111 1111", "0x61", "100,200,300,400,500,600,700,800"]
        {
            assert_eq!(list_at(Text(text), 0).map(|(range, _)| range), None, "{text}");
        }
    }

    #[test]
    fn a_list_after_one_that_is_too_short_is_found() {
        let text = Text("61 64 61 10 6d 61 69 6c 20 61 64 61 40 78");
        let mut hex_from = 0;
        assert_eq!(list_after(text, 0, &mut hex_from), None);
        assert_eq!(hex_from, 8);
        assert_eq!(list_after(text, 3, &mut hex_from), None);
        assert_eq!(list_after(text, 12, &mut hex_from), Some((12..text.len(), b"mail ada@x".to_vec())));
    }

    #[test]
    fn a_text_of_lists_takes_linear_time() {
        let start = crate::redact::tests::thread_seconds();
        for text in ["61 ", "97, ", "0x61,"] {
            scan(&text.repeat(300_000), &CustomDetectors::default());
        }
        assert!(crate::redact::tests::thread_seconds() - start < 10.0);
    }
}
