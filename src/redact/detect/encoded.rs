//! Decodes base64 and hex. A run that decodes to text is scanned, and replaced as a whole if it contains a sensitive value.

use std::ops::Range;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::text::{ByteClass, Text};

/// Lines that are decoded together: about 64 KB. A multiple of four, so that the following lines start with a complete base64 group.
const LINES_MAX: usize = 832;

/// Shorter runs encode too little text to contain a value.
pub(super) const RUN_BYTES_MIN: usize = 16;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true);

/// Whether a byte belongs to a run: base64, hex and most ids consist of these bytes.
#[inline]
pub(super) fn is_run_byte(byte: u8) -> bool {
    matches!(ByteClass::of(byte), ByteClass::Digit | ByteClass::Lower | ByteClass::Upper) || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// The run of base64 or hex that begins at `start`, with its continuation lines and its padding.
pub(super) fn run_at(text: Text<'_>, start: usize) -> Range<usize> {
    let mut end = text.skip_while(start, usize::MAX, is_run_byte);
    // MIME and PEM wrap lines at 64 or 76 characters. Full lines belong together; a shorter one is the last.
    let first_line = end - start;
    let mut lines = 1;
    if matches!(first_line, 60..=76) {
        while matches!(text.byte_at(end), b'\n' | b'\r') && lines < LINES_MAX {
            lines += 1;
            let from = text.skip_while(end, 4, |byte| byte.is_ascii_whitespace());
            let to = text.skip_while(from, 80, is_run_byte);
            if to == from || to - from > first_line {
                break;
            }
            end = to;
            if to - from < first_line {
                break;
            }
        }
    }
    let end = text.skip_while(end, 2, |byte| byte == b'=');
    start..end
}

/// Whether the start of a run decodes to text. Excludes most runs, which are ids and words, without decoding them.
pub(super) fn starts_like_text(text: Text<'_>, start: usize) -> bool {
    text.bytes().get(start..start + RUN_BYTES_MIN).is_some_and(decodes_to_text)
}

/// Decodes a run; `None` if it is not encoded text.
pub(super) fn decode(run: &str) -> Option<String> {
    if run.len() < RUN_BYTES_MIN {
        return None;
    }
    let characters: Vec<u8> = run.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let is_hex = characters.len().is_multiple_of(2) && characters.iter().all(u8::is_ascii_hexdigit);
    if is_hex {
        let bytes: Option<Vec<u8>> =
            characters.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        return bytes.and_then(readable);
    }
    let body_len = characters.iter().take_while(|byte| **byte != b'=').count();
    let body = characters.get(..body_len)?;
    let body = if body.len() % 4 == 1 { body.get(..body.len() - 1)? } else { body };
    let alphabet = if body.iter().any(|byte| matches!(byte, b'-' | b'_')) { &URL_SAFE } else { &STANDARD };
    let engine = GeneralPurpose::new(alphabet, LENIENT);
    readable(engine.decode(body).ok()?)
}

/// Whether the first sixteen characters decode to bytes of text, as hex or as base64.
fn decodes_to_text(head: &[u8]) -> bool {
    let digit = |c: u8| char::from(c).to_digit(16);
    let pairs = head.chunks_exact(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    });
    let is_hex_text =
        pairs.clone().all(|byte| byte.is_some_and(|byte| u8::try_from(byte).is_ok_and(|byte| is_readable(byte) || byte == 0)));
    if is_hex_text {
        return true;
    }
    let sextet = |c: u8| -> u32 {
        u32::from(match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        })
    };
    let mut readable = 0;
    for four in head.chunks_exact(4) {
        let bits = four.iter().fold(0, |bits, c| (bits << 6) | sextet(*c));
        let [_, a, b, c] = bits.to_be_bytes();
        readable += [a, b, c].into_iter().filter(|byte| is_readable(*byte) || *byte == 0).count();
    }
    // One of the twelve bytes may be unreadable: a continuation byte of a multi-byte character.
    readable >= 11
}

fn is_readable(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) || matches!(byte, b'\n' | b'\r' | b'\t') || byte >= 0xc2
}

fn readable(bytes: Vec<u8>) -> Option<String> {
    // UTF-16, which Windows tools write: every other byte of ASCII text is zero.
    let zeros = memchr::memchr_iter(0, &bytes).count();
    let bytes = if zeros * 3 > bytes.len() { bytes.into_iter().filter(|byte| *byte != 0).collect() } else { bytes };
    let text = String::from_utf8(bytes).ok()?;
    let characters = text.chars().count();
    let plain = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).count();
    (characters >= 6 && plain == characters).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, scan};
    use super::*;

    #[test]
    fn values_in_encoded_text_are_found() {
        let standard = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new());
        let plain = "name=x\nmail=ada.lovelace@example.com\n";
        let hex = crate::model::hex(plain.as_bytes());
        for encoded in [standard.encode(plain), standard.encode(standard.encode(plain)), hex] {
            let text = format!("{{\"content\": \"{encoded}\", \"size\": 214}}");
            assert_eq!(scan(&text, &CustomDetectors::default()).len(), 1, "{text}");
            assert_eq!(text.get(scan(&text, &CustomDetectors::default())[0].range.clone()), Some(encoded.as_str()));
        }
        for text in
            ["iVBORw0KGgoAAAANSUhEUgAAN6dsRT1sBYsV4Y54c4pSm1QVZEHAfHUp", "43993eadc22e5ed0f9a1cc2e01626425", "aGVsbG8gd29ybGQgYW5kIGFsbA=="]
        {
            assert!(scan(text, &CustomDetectors::default()).is_empty(), "{text}");
        }
    }
}
