//! One pass over the words of a text: dispatches numbers, capitalized words and long runs to their detectors.

use std::ops::Range;

use super::names::{self, NameMatch};
use super::text::{ByteClass, Text};
use super::word_starts::{PLAIN_BYTES, WordStarts};
use super::{ENCODING_DEPTH_MAX, Match, Scanner, addresses, byte_lists, encoded, numbers, shapes, wallets};

/// The detector of encoded texts.
pub(super) const ENCODED_TEXT: &str = "encoded text";

/// Adds numbers, names, addresses and encoded data.
pub(super) fn match_words(
    text: Text<'_>,
    starts: &WordStarts,
    scanner: &Scanner<'_>,
    depth: usize,
    email_local_parts: &[String],
    matches: &mut Vec<Match>,
    name_matches: &mut Vec<NameMatch>,
) {
    let (mut at, mut run_end, mut list_end) = (0, 0, 0);
    let mut hex_list_from = 0;
    let mut words = Vec::with_capacity(8);
    while let Some(start) = starts.words.next(at)
        && !scanner.is_timed_out()
    {
        at = start;
        let byte = text.byte_at(at);
        let class = ByteClass::of(byte);
        if at >= run_end && starts.long_runs.contains(at) {
            run_end = text.skip_while(at, usize::MAX, encoded::is_run_byte);
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
        match class {
            ByteClass::Digit => {
                if at >= list_end
                    && depth < ENCODING_DEPTH_MAX
                    && let Some((list, bytes)) = byte_lists::list_after(text, at, &mut hex_list_from)
                {
                    list_end = list.end;
                    let plain = encoded::readable(bytes).unwrap_or_default();
                    if let Some(found) = longest_in(scanner, &plain, depth, list) {
                        at = found.range.end;
                        matches.push(found);
                        continue;
                    }
                }
                let digits_end = text.skip_while(at, usize::MAX, |byte| byte.is_ascii_digit());
                if let Some(found) = numbers::at_digit(text, at) {
                    at = found.range.end.max(digits_end);
                    matches.push(found);
                    continue;
                }
                // A number inside an address that was already found starts no other one.
                let is_in_address = matches.last().is_some_and(|last| last.kind == "address" && at < last.range.end);
                if digits_end - at <= 8 && !is_in_address {
                    if text.is_word_start(at) {
                        matches.extend(addresses::at_number(text, at));
                    } else if text.byte_before(at).is_ascii_uppercase() {
                        matches.extend(addresses::at_code(text, at));
                    }
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
                } else if is_start && class != ByteClass::Upper && text.char_at(at).is_some_and(names::is_foreign) {
                    let (end, found) = names::match_foreign_run(text, at);
                    name_matches.extend(found);
                    at = end;
                } else {
                    at += 1;
                }
            }
            ByteClass::Lower => {
                // `fe80:…`, `a0:…`, `c0ff.ee…`: as above, in lower case.
                let end = text.skip_while(at, 5, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
                if end - at <= 4
                    && matches!(text.byte_at(end), b':' | b'-' | b'.' | b'0'..=b'9')
                    && byte <= b'f'
                    && let Some(found) = numbers::ipv6_at_letter(text, at)
                {
                    at = found.range.end;
                    matches.push(found);
                    continue;
                }
                at += 1;
            }
            ByteClass::Other => at += 1,
        }
    }
}

/// Adds the seed phrases of wallets.
pub(super) fn match_seed_phrases(text: Text<'_>, starts: &WordStarts, matches: &mut Vec<Match>) {
    let mut end = 0;
    for at in starts.plain_words.iter().map(|at| at * PLAIN_BYTES) {
        if at < end {
            continue;
        }
        let cut = text.skip_while(at, PLAIN_BYTES, |byte| byte.is_ascii_lowercase());
        let start = text.skip_while(cut, 2, |byte| !byte.is_ascii_lowercase());
        if let Some(found) = wallets::seed_phrase(text, start) {
            end = found.range.end;
            matches.push(found);
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
        && let Some(found) = wallets::wallet(text, start..word_end)
            .or_else(|| shapes::twilio_key(text, start..word_end))
            .or_else(|| shapes::discord_token(text, start, end))
    {
        return Run::Sensitive(found);
    }
    if text.byte_at(word_end) == b'/'
        && let Some(found) = wallets::in_path(text, word_end, end)
    {
        return Run::Sensitive(found);
    }
    // `0x` before hex digits.
    let body = if text.byte_at(start) == b'0' && text.byte_at(start + 1) == b'x' { start + 2 } else { start };
    if depth >= ENCODING_DEPTH_MAX || !encoded::starts_like_text(text, body) {
        return Run::Unknown;
    }
    let run = encoded::run_at(text, body);
    let limit = scanner.decompression_limit();
    let Some(decoded) = encoded::decode(text.slice(run.clone()), limit) else { return Run::Unknown };
    scanner.count_decompressed(decoded.len().saturating_sub(run.len()));
    match longest_in(scanner, &decoded, depth, run.clone()) {
        Some(found) => Run::Sensitive(found),
        None => Run::Harmless(run.end),
    }
}

/// Adds text in Ascii85 that contains a sensitive value.
pub(super) fn match_ascii85(text: Text<'_>, scanner: &Scanner<'_>, depth: usize, matches: &mut Vec<Match>) {
    if depth < ENCODING_DEPTH_MAX {
        matches.extend(encoded::ascii85_texts(text).filter_map(|(range, plain)| longest_in(scanner, &plain, depth, range)));
    }
}

/// The value that an encoded text consists of, if it contains nothing else: an address in base64 gets the same token as the address.
pub(super) fn encoded_value(scanner: &Scanner<'_>, encoded: &str, depth: usize) -> Option<String> {
    let text = Text(encoded);
    let list = || byte_lists::list_at(text, 0).and_then(|(_, bytes)| encoded::readable(bytes));
    let ascii85 = || encoded::ascii85_texts(text).next().map(|(_, plain)| plain);
    let plain = list().or_else(ascii85).or_else(|| encoded::decode(encoded, scanner.decompression_limit()))?;
    match scanner.scan_nested(&plain, depth + 1).as_mut_slice() {
        [inner] if plain.get(inner.range.clone()) == Some(plain.trim()) => Some(std::mem::take(&mut inner.value)),
        _ => None,
    }
}

/// The match of an encoded text at `range` that decodes to `plain`: its kind is that of the longest value inside.
fn longest_in(scanner: &Scanner<'_>, plain: &str, depth: usize, range: Range<usize>) -> Option<Match> {
    let inner = scanner.scan_nested(plain, depth + 1);
    let longest = inner.iter().max_by_key(|detection| detection.range.len())?;
    Some(Match { range, kind: longest.kind, detector: ENCODED_TEXT })
}
