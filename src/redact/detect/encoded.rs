//! Sensitive text inside base64 and hex: a run that decodes to text is looked through, and goes as a whole where something is found.

use std::ops::Range;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::text::{Class, Text};

/// Lines that are decoded together, some 64 KB. A multiple of four, so that what follows begins with a whole group of base64.
const LINES_MAX: usize = 832;

/// A shorter run holds no value worth hiding.
pub(super) const RUN_MIN: usize = 16;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true);

/// Signs of base64, of hex and of most ids.
#[inline]
pub(super) fn is_run(byte: u8) -> bool {
    matches!(Class::of(byte), Class::Digit | Class::Lower | Class::Upper) || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// The run of base64 or hex that holds `at`, with its padding and with the lines that it goes on over.
pub(super) fn run_at(text: Text<'_>, start: usize) -> Range<usize> {
    let mut end = text.skip(start, usize::MAX, is_run);
    // MIME and PEM wrap at 64 or 76: full lines that belong together.
    let first_line = end - start;
    let mut lines = 1;
    if matches!(first_line, 60..=76) {
        while matches!(text.at(end), b'\n' | b'\r') && lines < LINES_MAX {
            lines += 1;
            let from = text.skip(end, 4, |byte| byte.is_ascii_whitespace());
            let to = text.skip(from, 80, is_run);
            if to == from || to - from > first_line {
                break;
            }
            end = to;
            if to - from < first_line {
                break;
            }
        }
    }
    let end = text.skip(end, 2, |byte| byte == b'=');
    start..end
}

/// Whether the beginning of a run decodes to text: most runs are ids and words, and the first signs tell.
pub(super) fn may_be_text(text: Text<'_>, start: usize) -> bool {
    text.bytes().get(start..start + RUN_MIN).is_some_and(decodes_to_text)
}

/// The text that a run decodes to, if it is text.
pub(super) fn decoded(run: &str) -> Option<String> {
    if run.len() < RUN_MIN {
        return None;
    }
    let signs: Vec<u8> = run.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let is_hex = signs.len().is_multiple_of(2) && signs.iter().all(u8::is_ascii_hexdigit);
    if is_hex {
        let bytes: Option<Vec<u8>> = signs.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        return bytes.and_then(readable);
    }
    let body_len = signs.iter().take_while(|byte| **byte != b'=').count();
    let body = signs.get(..body_len)?;
    let body = if body.len() % 4 == 1 { body.get(..body.len() - 1)? } else { body };
    let alphabet = if body.iter().any(|byte| matches!(byte, b'-' | b'_')) { &URL_SAFE } else { &STANDARD };
    let engine = GeneralPurpose::new(alphabet, LENIENT);
    readable(engine.decode(body).ok()?)
}

/// Whether the first sixteen signs give bytes of text, as base64 or as hex.
fn decodes_to_text(head: &[u8]) -> bool {
    let digit = |sign: u8| char::from(sign).to_digit(16);
    let pairs = head.chunks_exact(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    });
    let is_hex_text =
        pairs.clone().all(|byte| byte.is_some_and(|byte| u8::try_from(byte).is_ok_and(|byte| is_readable(byte) || byte == 0)));
    if is_hex_text {
        return true;
    }
    let sextet = |sign: u8| -> u32 {
        u32::from(match sign {
            b'A'..=b'Z' => sign - b'A',
            b'a'..=b'z' => sign - b'a' + 26,
            b'0'..=b'9' => sign - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        })
    };
    let mut readable = 0;
    for four in head.chunks_exact(4) {
        let bits = four.iter().fold(0, |bits, sign| (bits << 6) | sextet(*sign));
        let [_, a, b, c] = bits.to_be_bytes();
        readable += [a, b, c].into_iter().filter(|byte| is_readable(*byte) || *byte == 0).count();
    }
    readable >= 11
}

fn is_readable(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) || matches!(byte, b'\n' | b'\r' | b'\t') || byte >= 0xc2
}

fn readable(bytes: Vec<u8>) -> Option<String> {
    // UTF-16 of Windows tools: every other byte is zero.
    let zeros = memchr::memchr_iter(0, &bytes).count();
    let bytes = if zeros * 3 > bytes.len() { bytes.into_iter().filter(|byte| *byte != 0).collect() } else { bytes };
    let text = String::from_utf8(bytes).ok()?;
    let signs = text.chars().count();
    let plain = text.chars().filter(|sign| !sign.is_control() || matches!(sign, '\n' | '\r' | '\t')).count();
    (signs >= 6 && plain == signs).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, find};
    use super::*;

    #[test]
    fn what_is_encoded_is_found() {
        let standard = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new());
        let plain = "name=x\nmail=ada.lovelace@example.com\n";
        let hex = crate::model::hex(plain.as_bytes());
        for encoded in [standard.encode(plain), standard.encode(standard.encode(plain)), hex] {
            let text = format!("{{\"content\": \"{encoded}\", \"size\": 214}}");
            assert_eq!(find(&text, &CustomDetectors::default()).len(), 1, "{text}");
            assert_eq!(text.get(find(&text, &CustomDetectors::default())[0].range.clone()), Some(encoded.as_str()));
        }
        for text in
            ["iVBORw0KGgoAAAANSUhEUgAAN6dsRT1sBYsV4Y54c4pSm1QVZEHAfHUp", "43993eadc22e5ed0f9a1cc2e01626425", "aGVsbG8gd29ybGQgYW5kIGFsbA=="]
        {
            assert!(find(text, &CustomDetectors::default()).is_empty(), "{text}");
        }
    }
}
