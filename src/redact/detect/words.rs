//! One pass over the words of a text: dispatches numbers, capitalized words and long runs to their detectors.

use super::names::{self, NameMatch};
use super::text::{ByteClass, Text};
use super::{ENCODING_DEPTH_MAX, Match, Scanner, addresses, encoded, numbers, shapes};

/// Adds numbers, names, addresses and encoded data.
pub(super) fn match_words(
    text: Text<'_>,
    scanner: &Scanner<'_>,
    depth: usize,
    email_local_parts: &[String],
    matches: &mut Vec<Match>,
    name_matches: &mut Vec<NameMatch>,
) {
    let (mut at, mut run_end) = (0, 0);
    let mut words = Vec::with_capacity(8);
    while at < text.len() && !scanner.is_timed_out() {
        let byte = text.byte_at(at);
        let class = ByteClass::of(byte);
        if class == ByteClass::Other {
            let rest = text.bytes().get(at + 1..).unwrap_or_default();
            at += 1 + rest.iter().position(|byte| ByteClass::of(*byte) != ByteClass::Other).unwrap_or(rest.len());
            continue;
        }
        if at >= run_end && !matches!(class, ByteClass::NonAscii | ByteClass::Cjk) {
            run_end = text.skip_while(at, usize::MAX, encoded::is_run_byte);
            if run_end - at >= encoded::RUN_BYTES_MIN {
                match long_run(text, scanner, at, run_end, depth) {
                    Run::Sensitive(found) => {
                        at = found.range.end;
                        matches.push(found);
                        continue;
                    }
                    // The run was scanned including the lines over which it continues.
                    Run::Harmless(end) => run_end = run_end.max(end),
                    Run::Unknown => {}
                }
            }
        }
        match class {
            ByteClass::Digit => {
                let digits_end = text.skip_while(at, usize::MAX, |byte| byte.is_ascii_digit());
                if let Some(found) = numbers::at_digit(text, at) {
                    at = found.range.end.max(digits_end);
                    matches.push(found);
                    continue;
                }
                if digits_end - at <= 8 && text.is_word_start(at) {
                    matches.extend(addresses::at_number(text, at));
                }
                at = digits_end;
            }
            ByteClass::Upper | ByteClass::NonAscii | ByteClass::Cjk => {
                // `FE80:…`, `A0:…`, `AB-12-…`: a hex group that starts with a letter, in an IPv6 or hardware address.
                if class == ByteClass::Upper
                    && byte <= b'F'
                    && matches!(text.byte_at(at + 2), b':' | b'-') | matches!(text.byte_at(at + 4), b':' | b'.')
                    && let Some(found) = numbers::ipv6_at_letter(text, at)
                {
                    at = found.range.end;
                    matches.push(found);
                    continue;
                }
                // Not a name: a part of a path, a variable, a hashtag, a domain or a handle (`/Ada`, `$Ada`, `#Ada`, `.Ada`, `@Ada`).
                let is_start = text.is_word_start(at) && !matches!(text.byte_before(at), b'/' | b'\\' | b'$' | b'#' | b'-');
                let is_capital = class == ByteClass::Upper || text.char_at(at).is_some_and(char::is_uppercase);
                if is_start && is_capital && !matches!(text.byte_before(at), b'.' | b'@') {
                    let end = names::match_capitalized_run(text, at, email_local_parts, &mut words, name_matches);
                    at = end.max(at + 1);
                } else {
                    at = text.skip_while(at, usize::MAX, |byte| byte.is_ascii_alphabetic() || byte >= 0x80).max(at + 1);
                }
            }
            ByteClass::Lower => {
                let end = text.skip_while(at, usize::MAX, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
                // `fe80:…`, `a0:…`, `c0ff.ee…`: as above, in lower case.
                if end - at <= 4
                    && matches!(text.byte_at(end), b':' | b'-' | b'.' | b'0'..=b'9')
                    && byte <= b'f'
                    && let Some(found) = numbers::ipv6_at_letter(text, at)
                {
                    at = found.range.end;
                    matches.push(found);
                    continue;
                }
                at = end;
            }
            ByteClass::Other => at += 1,
        }
    }
}

/// The classification of a long run of letters and digits.
enum Run {
    Sensitive(Match),
    /// Encoded text that contains nothing sensitive and ends at this position.
    Harmless(usize),
    /// None of the known formats.
    Unknown,
}

/// Classifies a run of letters and digits: wallet, credential without a prefix, or encoded text.
fn long_run(text: Text<'_>, scanner: &Scanner<'_>, start: usize, end: usize, depth: usize) -> Run {
    if !text.is_word_start(start) {
        return Run::Unknown;
    }
    let word_end = text.skip_while(start, 128, |byte| byte.is_ascii_alphanumeric());
    if text.is_word_end(word_end)
        && let Some(found) = shapes::wallet(text, start..word_end)
            .or_else(|| shapes::twilio_key(text, start..word_end))
            .or_else(|| shapes::discord_token(text, start, end))
    {
        return Run::Sensitive(found);
    }
    if depth >= ENCODING_DEPTH_MAX || !encoded::starts_like_text(text, start) {
        return Run::Unknown;
    }
    let run = encoded::run_at(text, start);
    let Some(decoded) = encoded::decode(text.slice(run.clone())) else { return Run::Unknown };
    let inner = scanner.scan_nested(&decoded, depth + 1);
    match inner.iter().max_by_key(|detection| detection.range.len()) {
        Some(detection) => Run::Sensitive(Match { range: run, kind: detection.kind, detector: "encoded text" }),
        None => Run::Harmless(run.end),
    }
}
