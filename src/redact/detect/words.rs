//! One pass over the words of a text.

use super::names::{self, Verdict};
use super::text::{Class, Text};
use super::{DEPTH_MAX, Found, Search, addresses, encoded, numbers, shapes};

/// One pass over the words: numbers, capitalised names, and long runs that may be encoded.
pub(super) fn by_words(
    text: Text<'_>,
    search: &Search<'_>,
    depth: usize,
    mails: &[String],
    hits: &mut Vec<Found>,
    verdicts: &mut Vec<Verdict>,
) {
    let (mut at, mut run_end) = (0, 0);
    let mut words = Vec::with_capacity(8);
    while at < text.len() && !search.is_over() {
        let byte = text.at(at);
        let class = Class::of(byte);
        if class == Class::Other {
            let rest = text.bytes().get(at + 1..).unwrap_or_default();
            at += 1 + rest.iter().position(|byte| Class::of(*byte) != Class::Other).unwrap_or(rest.len());
            continue;
        }
        if at >= run_end && !matches!(class, Class::Wide | Class::Cjk) {
            run_end = text.skip(at, usize::MAX, encoded::is_run);
            if run_end - at >= encoded::RUN_MIN {
                match long_run(text, search, at, run_end, depth) {
                    Run::Sensitive(found) => {
                        at = found.range.end;
                        hits.push(found);
                        continue;
                    }
                    // The lines that it goes on over were looked through too.
                    Run::Harmless(end) => run_end = run_end.max(end),
                    Run::Unknown => {}
                }
            }
        }
        match class {
            Class::Digit => {
                let digits_end = text.skip(at, usize::MAX, |byte| byte.is_ascii_digit());
                if let Some(found) = numbers::at_digit(text, at) {
                    at = found.range.end.max(digits_end);
                    hits.push(found);
                    continue;
                }
                if digits_end - at <= 8 && text.starts_word(at) {
                    hits.extend(addresses::at_number(text, at));
                }
                at = digits_end;
            }
            Class::Upper | Class::Wide | Class::Cjk => {
                if class == Class::Upper
                    && byte <= b'F'
                    && matches!(text.at(at + 2), b':' | b'-') | matches!(text.at(at + 4), b':' | b'.')
                    && let Some(found) = numbers::ipv6_at_letter(text, at)
                {
                    at = found.range.end;
                    hits.push(found);
                    continue;
                }
                let is_start = text.starts_word(at) && !matches!(text.before(at), b'/' | b'\\' | b'$' | b'#' | b'-');
                let is_capital = class == Class::Upper || text.char_at(at).is_some_and(char::is_uppercase);
                if is_start && is_capital && !matches!(text.before(at), b'.' | b'@') {
                    let end = names::at_capital(text, at, mails, &mut words, verdicts);
                    at = end.max(at + 1);
                } else {
                    at = text.skip(at, usize::MAX, |byte| byte.is_ascii_alphabetic() || byte >= 0x80).max(at + 1);
                }
            }
            Class::Lower => {
                let end = text.skip(at, usize::MAX, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
                if end - at <= 4
                    && matches!(text.at(end), b':' | b'-' | b'.' | b'0'..=b'9')
                    && byte <= b'f'
                    && let Some(found) = numbers::ipv6_at_letter(text, at)
                {
                    at = found.range.end;
                    hits.push(found);
                    continue;
                }
                at = end;
            }
            Class::Other => at += 1,
        }
    }
}

/// What a long run of letters and digits is.
enum Run {
    Sensitive(Found),
    /// Encoded text up to this place without anything sensitive.
    Harmless(usize),
    /// Nothing that is known.
    Unknown,
}

/// Wallets, tokens without a prefix, and encoded text in a run of letters and digits.
fn long_run(text: Text<'_>, search: &Search<'_>, start: usize, end: usize, depth: usize) -> Run {
    if !text.starts_word(start) {
        return Run::Unknown;
    }
    let word_end = text.skip(start, 128, |byte| byte.is_ascii_alphanumeric());
    if text.ends_word(word_end)
        && let Some(found) = shapes::wallet(text, start..word_end)
            .or_else(|| shapes::twilio_key(text, start..word_end))
            .or_else(|| shapes::discord_token(text, start, end))
    {
        return Run::Sensitive(found);
    }
    if depth >= DEPTH_MAX || !encoded::may_be_text(text, start) {
        return Run::Unknown;
    }
    let run = encoded::run_at(text, start);
    let Some(decoded) = encoded::decoded(text.slice(run.clone())) else { return Run::Unknown };
    let inner = search.find_deep(&decoded, depth + 1);
    match inner.iter().max_by_key(|hit| hit.range.len()) {
        Some(hit) => Run::Sensitive(Found { range: run, kind: hit.kind, why: "inside an encoded text" }),
        None => Run::Harmless(run.end),
    }
}
