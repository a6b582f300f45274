//! Cutting and showing text that came out of a trace.

use std::borrow::Cow;
use std::ops::Range;

use super::key_hash;
use crate::limits::EXCERPT_CHARS_MAX;

/// A piece of `text` around `focus` with at most [`EXCERPT_CHARS_MAX`] characters, never cut inside a redaction token such as
/// `<EMAIL:1a2b3c>`. The result is a substring of `text`, so that it can be found there again.
pub fn excerpt_around(text: &str, focus: Range<usize>) -> &str {
    let start = floor_boundary(text, focus.start.min(text.len()));
    let end = ceil_boundary(text, focus.end.clamp(start, text.len()));
    let focus_chars = text.get(start..end).map_or(0, |focus| focus.chars().take(EXCERPT_CHARS_MAX).count());
    let before = (EXCERPT_CHARS_MAX - focus_chars) / 3;
    let from = text.get(..start).map_or(0, |head| head.char_indices().rev().take(before).last().map_or(start, |(index, _)| index));
    let to = text.get(from..).map_or(from, |tail| tail.char_indices().nth(EXCERPT_CHARS_MAX).map_or(text.len(), |(index, _)| from + index));
    let from = token_around(text, from).map_or(from, |token| token.end);
    let to = token_around(text, to).map_or(to, |token| token.start.max(from));
    text.get(from..to).unwrap_or_default().trim()
}

/// The redaction token that `at` cuts in two, if any.
fn token_around(text: &str, at: usize) -> Option<Range<usize>> {
    const TOKEN_BYTES_MAX: usize = 48;
    let window_start = floor_boundary(text, at.saturating_sub(TOKEN_BYTES_MAX));
    let start = window_start + text.get(window_start..at)?.rfind('<')?;
    let window_end = floor_boundary(text, (start + TOKEN_BYTES_MAX).min(text.len()));
    let end = start + text.get(start..window_end)?.find('>')? + 1;
    let inside = text.get(start + 1..end - 1)?;
    let is_token = inside.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase())
        && inside.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'));
    (start < at && at < end && is_token).then_some(start..end)
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil_boundary(text: &str, mut at: usize) -> usize {
    while at < text.len() && !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// An id or a name out of the input with at most `bytes_max` bytes and without characters that a terminal would obey or hide. One that is
/// changed ends in a digest of what it was, so that distinct ones stay distinct and the same one stays the same.
pub fn bounded(text: String, bytes_max: usize) -> String {
    const DIGEST_DIGITS: usize = 16;
    let is_odd = |c: char| is_hostile(c) || matches!(c, '\n' | '\t');
    if text.len() <= bytes_max && !text.contains(is_odd) {
        return text;
    }
    let digest: String = format!("{:032x}", key_hash(&text)).chars().take(DIGEST_DIGITS).collect();
    let cut = floor_boundary(&text, bytes_max.saturating_sub(DIGEST_DIGITS + 1).min(text.len()));
    let kept = without_sequences(text.get(..cut).unwrap_or_default());
    // What nobody sees goes, so that it cannot stand between the signs of a value that redaction looks for.
    let kept: String = kept.chars().filter(|c| !is_hostile(*c)).map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c }).collect();
    format!("{kept}~{digest}")
}

/// `text` without the sequences that set a terminal's colours or move its cursor (`ESC [ 31 m`).
fn without_sequences(text: &str) -> String {
    const PARAMETERS_MAX: usize = 32;
    let mut parts = text.split("\u{1b}[");
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let parameters = part.bytes().take(PARAMETERS_MAX).take_while(|byte| (0x20..0x40).contains(byte)).count();
        let is_sequence = part.as_bytes().get(parameters).is_some_and(|last| (0x40..0x7f).contains(last));
        left.push_str(if is_sequence { part.get(parameters + 1..).unwrap_or_default() } else { part });
    }
    left
}

/// `text` for a terminal: control characters, those that reorder text (Unicode bidirectional controls) and those that nobody sees become
/// visible escapes, so that a trace cannot move the cursor, set a title or hide words.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_hostile(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect())
}

/// As [`visible`], and on one line, so that a value cannot look like the next line of a page.
pub fn one_line(text: &str) -> String {
    visible(text).replace('\n', " ")
}

/// Whether a character does something to a terminal or to a reader instead of being read: see [`visible`].
pub fn is_hostile(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c,
            // Marks and embeddings of direction, separators of lines, and characters without a shape.
            '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            // Tags: whole texts that no terminal shows.
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_stands_in_the_text() {
        let text = "é".repeat(1_000) + "boom" + &"ü".repeat(1_000);
        let at = text.find("boom").unwrap();
        let excerpt = excerpt_around(&text, at..at + 4);
        assert!(excerpt.contains("boom"), "{excerpt}");
        assert!(excerpt.chars().count() <= EXCERPT_CHARS_MAX);
        assert!(text.contains(excerpt));
    }

    #[test]
    fn an_excerpt_never_cuts_a_token() {
        for pad in 0..300 {
            let text =
                format!("{}<EMAIL:1a2b3c>{} boom {}<CARD:aaaaaa>{}", "x".repeat(20), "a".repeat(pad), "b".repeat(pad), "y".repeat(300));
            let at = text.find("boom").unwrap();
            let excerpt = excerpt_around(&text, at..at + 4);
            let without = excerpt.replace("<EMAIL:1a2b3c>", "").replace("<CARD:aaaaaa>", "");
            assert!(!without.contains(['<', '>', ':']), "{excerpt}");
        }
    }

    #[test]
    fn a_long_focus_is_cut_to_the_limit() {
        let text = "x".repeat(10_000);
        assert_eq!(excerpt_around(&text, 0..10_000).len(), EXCERPT_CHARS_MAX);
    }

    #[test]
    fn ids_that_are_changed_stay_distinct() {
        assert_eq!(bounded("ünï-1".to_owned(), 20), "ünï-1");
        let (long, longer) = (bounded("é".repeat(30), 40), bounded("é".repeat(31), 40));
        assert!(long.len() <= 40 && longer.len() <= 40 && long != longer, "{long} {longer}");
        let (bell, escape) = (bounded("a\u{7}".to_owned(), 40), bounded("a\u{1b}".to_owned(), 40));
        assert!(bell != escape && bell.starts_with("a~") && visible(&escape) == escape, "{bell} {escape}");
        let coloured = bounded("\u{1b}[31mada@example.com\u{1b}[0m\u{200b}\nx".to_owned(), 60);
        assert!(coloured.starts_with("ada@example.com x~"), "{coloured}");
        assert_eq!(bounded("a\u{7}".to_owned(), 40), bell);
    }

    #[test]
    fn escapes_are_shown_and_not_obeyed() {
        assert_eq!(visible("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(visible("ok\nnext"), "ok\nnext");
        assert_eq!(visible("\u{202e}evil"), "\\u{202e}evil");
        assert_eq!(visible("\u{9b}2J\u{e0041}\u{2028}"), "\\u{9b}2J\\u{e0041}\\u{2028}");
    }
}
