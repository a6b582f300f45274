//! Decodes base64, base32 and hex, also of compressed text, and Ascii85. A run that decodes to text is scanned, and replaced as a whole if it
//! contains a sensitive value.

use std::io::Read;
use std::ops::Range;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::{GzDecoder, ZlibDecoder};

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
    // MIME and PEM wrap lines at 64 or 76 characters, terminals and forms at fewer. Full lines belong together; a shorter one is the last.
    let first_line = end - start;
    let mut lines = 1;
    if matches!(first_line, 32..=76) {
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
    // Base64 has up to two, base32 up to six.
    let end = text.skip_while(end, 6, |byte| byte == b'=');
    start..end
}

/// Whether the start of a run decodes to text. Excludes most runs, which are ids and words, without decoding them.
pub(super) fn starts_like_text(text: Text<'_>, start: usize) -> bool {
    text.bytes().get(start..start + RUN_BYTES_MIN).is_some_and(|head| {
        decodes_to_text(head) || COMPRESSED_STARTS.iter().any(|start| head.starts_with(start)) || base32(head).and_then(readable).is_some()
    })
}

/// Decodes a run; `None` if it is not encoded text. At most `limit` bytes are decompressed.
pub(super) fn decode(run: &str, limit: usize) -> Option<String> {
    if run.len() < RUN_BYTES_MIN {
        return None;
    }
    let characters: Vec<u8> = run.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let is_hex = characters.len().is_multiple_of(2) && characters.iter().all(u8::is_ascii_hexdigit);
    if is_hex {
        let bytes: Option<Vec<u8>> =
            characters.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        let bytes = bytes?;
        return decompress(&bytes, limit).or(Some(bytes)).and_then(readable);
    }
    let body_len = characters.iter().take_while(|byte| **byte != b'=').count();
    let body = characters.get(..body_len)?;
    let body = if body.len() % 4 == 1 { body.get(..body.len() - 1)? } else { body };
    let alphabet = if body.iter().any(|byte| matches!(byte, b'-' | b'_')) { &URL_SAFE } else { &STANDARD };
    let engine = GeneralPurpose::new(alphabet, LENIENT);
    let as_base64 = engine.decode(body).ok().and_then(|bytes| decompress(&bytes, limit).or(Some(bytes)).and_then(readable));
    as_base64.or_else(|| base32(&characters).and_then(readable))
}

/// The first characters of gzip in base64 and in hex, and of zlib in base64 for each compression level.
const COMPRESSED_STARTS: [&[u8]; 7] = [b"H4sI", b"1f8b08", b"1F8B08", b"eJ", b"eN", b"eA", b"eF"];

/// At most `limit` decompressed bytes of gzip or zlib. A part of a text is a text.
fn decompress(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let limit = u64::try_from(limit).ok()?;
    let mut plain = Vec::new();
    // A truncated stream is an error after the bytes that could be read.
    let _ = match bytes {
        [0x1f, 0x8b, ..] => GzDecoder::new(bytes).take(limit).read_to_end(&mut plain),
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => ZlibDecoder::new(bytes).take(limit).read_to_end(&mut plain),
        _ => return None,
    };
    // The limit may be inside a character.
    let len = std::str::from_utf8(&plain).map_or_else(|error| error.valid_up_to(), str::len);
    if plain.len() - len < 4 {
        plain.truncate(len);
    }
    (!plain.is_empty()).then_some(plain)
}

/// Decodes base32 (RFC 4648) in capitals, with or without padding.
fn base32(characters: &[u8]) -> Option<Vec<u8>> {
    let body = characters.iter().take_while(|byte| **byte != b'=');
    let mut bytes = Vec::with_capacity(characters.len() * 5 / 8);
    let (mut bits, mut count) = (0u32, 0);
    for byte in body {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5) | u32::from(digit);
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

/// The texts in Ascii85 between `<~` and `~>`.
pub(super) fn ascii85_texts(text: Text<'_>) -> impl Iterator<Item = (Range<usize>, String)> {
    let mut done = 0;
    memchr::memmem::find_iter(text.bytes(), b"<~").filter_map(move |start| {
        if start < done {
            return None;
        }
        let len = memchr::memmem::find(text.bytes().get(start + 2..)?, b"~>").unwrap_or(text.len() - start);
        done = start + 2 + len;
        let plain = readable(ascii85(text.bytes().get(start + 2..start + 2 + len)?)?)?;
        Some((start..(start + len + 4).min(text.len()), plain))
    })
}

fn ascii85(characters: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(characters.len() * 4 / 5);
    let (mut value, mut count) = (0u64, 0);
    for byte in characters.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        match byte {
            b'z' if count == 0 => bytes.extend([0; 4]),
            b'!'..=b'u' => {
                value = value * 85 + u64::from(byte - b'!');
                count += 1;
            }
            _ => return None,
        }
        if count == 5 {
            bytes.extend(u32::try_from(value).ok()?.to_be_bytes());
            (value, count) = (0, 0);
        }
    }
    if count > 1 {
        // The last group is padded with the highest digit.
        let padded = (count..5).fold(value, |value, _| value * 85 + 84);
        bytes.extend(u32::try_from(padded).ok()?.to_be_bytes().iter().take(count - 1));
    }
    Some(bytes)
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

/// The text of decoded bytes, if they are one.
pub(super) fn readable(bytes: Vec<u8>) -> Option<String> {
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
    use super::super::{CustomDetectors, Scanner, remaining_in, scan};
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
        let mut compressed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut compressed, plain.as_bytes()).unwrap();
        let zlib = standard.encode(compressed.finish().unwrap());
        let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut compressed, plain.as_bytes()).unwrap();
        let gzip = compressed.finish().unwrap();
        let base32 = "NZQW2ZJ5PAFG2YLJNQ6WCZDBFZWG65TFNRQWGZKAMV4GC3LQNRSS4Y3PNUFA====";
        let ascii85 = "<~DIIBn4a7<N@;0O@@:We!Ci=K.Cgggb5\\51KD/a<&/n8g:$3~>";
        for encoded in [zlib.as_str(), &standard.encode(&gzip), &crate::model::hex(&gzip), base32, ascii85] {
            let found = scan(&format!("data: {encoded} end"), &CustomDetectors::default());
            assert_eq!(found.iter().map(|found| (found.kind, found.value.as_str())).collect::<Vec<_>>(), [("email", encoded)]);
            let remaining = remaining_in(encoded, &CustomDetectors::default());
            assert_eq!(remaining.iter().map(|found| found.kind).collect::<Vec<_>>(), ["email"]);
        }
        // After `0x`, and in lines of 40 characters.
        let hex = format!("0x{}", crate::model::hex(plain.as_bytes()));
        let lines: Vec<String> =
            standard.encode(plain.repeat(3)).as_bytes().chunks(40).map(|line| String::from_utf8_lossy(line).into()).collect();
        for text in [hex, format!("{}\n{}", lines[0], lines[1..].join("\n"))] {
            let found = scan(&text, &CustomDetectors::default());
            assert!(found.first().is_some_and(|found| found.kind == "email" && found.value.len() >= text.len() - 2), "{text}: {found:?}");
        }
        for text in
            ["iVBORw0KGgoAAAANSUhEUgAAN6dsRT1sBYsV4Y54c4pSm1QVZEHAfHUp", "43993eadc22e5ed0f9a1cc2e01626425", "aGVsbG8gd29ybGQgYW5kIGFsbA=="]
        {
            assert!(scan(text, &CustomDetectors::default()).is_empty(), "{text}");
        }
    }
    #[test]
    fn decompression_is_limited() {
        let bomb = |plain: &[u8]| {
            let mut compressed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::Write::write_all(&mut compressed, plain).unwrap();
            GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new()).encode(compressed.finish().unwrap())
        };
        let mut nested = "a".repeat(20_000_000);
        for _ in 0..3 {
            nested = bomb(nested.as_bytes());
        }
        assert_eq!(decode(&bomb("a".repeat(100_000).as_bytes()), 5_000).map(|plain| plain.len()), Some(5_000));
        let start = crate::redact::tests::thread_seconds();
        let small = bomb("ab ".repeat(60_000).as_bytes());
        for text in [format!("{nested} "), format!("{small} ").repeat(1_000)] {
            assert!(scan(&text, &CustomDetectors::default()).is_empty());
        }
        // All data of a text together.
        let custom = CustomDetectors::default();
        let scanner = Scanner::new(&custom);
        scanner.scan(&format!("{small} ").repeat(1_000));
        assert!(scanner.decompression_limit() < 2 * small.len(), "{}", scanner.decompression_limit());
        assert!(crate::redact::tests::thread_seconds() - start < 10.0);
    }
}
