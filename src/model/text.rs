//! Truncating and printing untrusted text from traces.

use std::borrow::Cow;
use std::ops::Range;

use super::key_hash;
use crate::limits::EXCERPT_CHARS_MAX;

/// An excerpt of `text` around `focus`, at most [`EXCERPT_CHARS_MAX`] characters long. The result is a substring of `text`, so that it can be
/// verified, and never cuts a redaction token such as `<EMAIL:1a2b3c>`.
pub fn excerpt_around(text: &str, focus: Range<usize>) -> &str {
    let start = text.floor_char_boundary(focus.start.min(text.len()));
    let end = text.ceil_char_boundary(focus.end.clamp(start, text.len()));
    let focus_chars = text.get(start..end).map_or(0, |focus| focus.chars().take(EXCERPT_CHARS_MAX).count());
    // A third of the context before the focus, the rest after it: what follows an error usually explains more.
    let chars_before = (EXCERPT_CHARS_MAX - focus_chars) / 3;
    let from = text.get(..start).map_or(0, |head| head.char_indices().rev().take(chars_before).last().map_or(start, |(index, _)| index));
    let to = text.get(from..).map_or(from, |tail| tail.char_indices().nth(EXCERPT_CHARS_MAX).map_or(text.len(), |(index, _)| from + index));
    let from = redaction_token_around(text, from).map_or(from, |token| token.end);
    let to = redaction_token_around(text, to).map_or(to, |token| token.start.max(from));
    text.get(from..to).unwrap_or_default().trim()
}

/// The redaction token that a cut at `at` would split, if any.
fn redaction_token_around(text: &str, at: usize) -> Option<Range<usize>> {
    const TOKEN_BYTES_MAX: usize = 48;
    let window_start = text.floor_char_boundary(at.saturating_sub(TOKEN_BYTES_MAX));
    let start = window_start + text.get(window_start..at)?.rfind('<')?;
    let window_end = text.floor_char_boundary((start + TOKEN_BYTES_MAX).min(text.len()));
    let end = start + text.get(start..window_end)?.find('>')? + 1;
    let inside = text.get(start + 1..end - 1)?;
    let is_token = inside.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase())
        && inside.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'));
    (start < at && at < end && is_token).then_some(start..end)
}

/// An id or a name from the input, at most `bytes_max` bytes long and without the characters of [`is_unsafe_to_print`]. A changed text ends
/// in a digest of the original, so that different ids stay different and equal ids stay equal.
pub fn truncate_with_digest(text: String, bytes_max: usize) -> String {
    const DIGEST_DIGITS: usize = 16;
    let is_replaced = |c: char| is_unsafe_to_print(c) || matches!(c, '\n' | '\t');
    if text.len() <= bytes_max && !text.contains(is_replaced) {
        return text;
    }
    let digest: String = format!("{:032x}", key_hash(&text)).chars().take(DIGEST_DIGITS).collect();
    let cut = text.floor_char_boundary(bytes_max.saturating_sub(DIGEST_DIGITS + 1).min(text.len()));
    let kept = strip_escape_sequences(text.get(..cut).unwrap_or_default());
    // Invisible characters are removed rather than escaped: an escape in the middle of a value would hide it from redaction.
    let kept: String = kept.chars().filter(|c| !is_unsafe_to_print(*c)).map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c }).collect();
    format!("{kept}~{digest}")
}

/// Removes the escape sequences that set a terminal's colours or move its cursor, such as `ESC [ 31 m`.
fn strip_escape_sequences(text: &str) -> String {
    const PARAMETERS_MAX: usize = 32;
    let mut parts = text.split("\u{1b}[");
    let mut stripped = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let parameters = part.bytes().take(PARAMETERS_MAX).take_while(|byte| (0x20..0x40).contains(byte)).count();
        let is_sequence = part.as_bytes().get(parameters).is_some_and(|last| (0x40..0x7f).contains(last));
        stripped.push_str(if is_sequence { part.get(parameters + 1..).unwrap_or_default() } else { part });
    }
    stripped
}

/// Escapes control, bidirectional and invisible characters as `\u{1b}`, so that a trace cannot move the terminal's cursor, set its title,
/// reorder text or hide words.
pub fn escape_control_chars(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe_to_print) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_unsafe_to_print(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect())
}

/// Like [`escape_control_chars`], with line feeds replaced by spaces, so that a value cannot imitate the next line of the output.
pub fn escape_to_one_line(text: &str) -> String {
    escape_control_chars(text).replace('\n', " ")
}

/// Whether a character controls a terminal or deceives a reader instead of being displayed: see [`escape_control_chars`].
pub fn is_unsafe_to_print(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c,
            // Bidirectional marks and embeddings, line separators, and invisible characters.
            '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            // Tag characters, which can encode a whole invisible text.
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_a_short_substring_around_the_focus() {
        let text = "é".repeat(1_000) + "boom" + &"ü".repeat(1_000);
        let at = text.find("boom").unwrap();
        let excerpt = excerpt_around(&text, at..at + 4);
        assert!(excerpt.contains("boom"), "{excerpt}");
        assert!(excerpt.chars().count() <= EXCERPT_CHARS_MAX);
        assert!(text.contains(excerpt));
    }

    #[test]
    fn an_excerpt_never_cuts_a_redaction_token() {
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
    fn a_long_focus_is_truncated_to_the_limit() {
        let text = "x".repeat(10_000);
        assert_eq!(excerpt_around(&text, 0..10_000).len(), EXCERPT_CHARS_MAX);
    }

    #[test]
    fn truncated_ids_stay_distinct() {
        assert_eq!(truncate_with_digest("ünï-1".to_owned(), 20), "ünï-1");
        let (long, longer) = (truncate_with_digest("é".repeat(30), 40), truncate_with_digest("é".repeat(31), 40));
        assert!(long.len() <= 40 && longer.len() <= 40 && long != longer, "{long} {longer}");
        let (bell, escape) = (truncate_with_digest("a\u{7}".to_owned(), 40), truncate_with_digest("a\u{1b}".to_owned(), 40));
        assert!(bell != escape && bell.starts_with("a~") && escape_control_chars(&escape) == escape, "{bell} {escape}");
        let coloured = truncate_with_digest("\u{1b}[31mada@example.com\u{1b}[0m\u{200b}\nx".to_owned(), 60);
        assert!(coloured.starts_with("ada@example.com x~"), "{coloured}");
        assert_eq!(truncate_with_digest("a\u{7}".to_owned(), 40), bell);
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escape_control_chars("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(escape_control_chars("ok\nnext"), "ok\nnext");
        assert_eq!(escape_control_chars("\u{202e}evil"), "\\u{202e}evil");
        assert_eq!(escape_control_chars("\u{9b}2J\u{e0041}\u{2028}"), "\\u{9b}2J\\u{e0041}\\u{2028}");
    }
}
