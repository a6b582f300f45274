//! Finds what interrupts a value although a reader skips it: markup inside a word (`AKIA<wbr>…`), the concatenation of string literals
//! (`"ghp_" + "…"`), and the spelled-out signs of an email address (`ada [at] example [dot] com`).
//!
//! One pass that looks at two adjacent bytes excludes nearly all positions. Each candidate is then checked within a fixed number of bytes.

use std::ops::Range;

use super::byte_search::BytePairs;
use super::characters::Shown;
use super::text::Text;

/// Inline elements of HTML, whose tags do not end a word.
const INLINE_TAGS: [&str; 18] =
    ["wbr", "b", "i", "em", "strong", "span", "code", "mark", "u", "s", "font", "small", "tt", "kbd", "samp", "var", "ins", "bdi"];

/// `@` and `.` in words, in English, German, French, Spanish and Portuguese.
const AT_WORDS: [&str; 5] = ["at", "ät", "arroba", "arobase", "@"];
const DOT_WORDS: [&str; 6] = ["dot", "punkt", "point", "punto", "ponto", "."];

/// Length of a tag with its attributes, and of the white space between two string literals.
const GAP_BYTES_MAX: usize = 96;

/// Whether an interruption may begin, or a spelled-out sign may be, at the first of two bytes. Without branches, so that many positions are
/// checked at once.
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "no branches")]
fn is_trigger(a: u8, b: u8) -> bool {
    let markup = (a == b'<') | ((a == b'*') & (b == b'*'));
    let quote = ((a == b'"') | (a == b'\'')) & ((b == b'+') | (b == b'\n') | (b == b' ') | (b == b'\''));
    // `at)`, `arroba]`, `arobase}`, `@)`. With this bit, `]` is `}`.
    let closes = (b == b')') | ((b | 0x20) == b'}');
    let at = closes & (((a | 0x20) == b't') | (a == b'a') | (a == b'e') | (a == b'@'));
    // ` dot `.
    let dot = (a == b' ') & ((b | 0x20) == b'd');
    markup | quote | at | dot
}

/// Whether the bytes around `at` agree with what [`is_trigger`] found.
fn is_candidate(text: Text<'_>, at: usize) -> bool {
    let byte = |distance: usize| text.byte_at(at + distance);
    match byte(0) {
        b'<' => is_value_byte(text.byte_before(at)) && (matches!(byte(1), b'!' | b'/') || byte(1).is_ascii_alphabetic()),
        b' ' => byte(2) | 0x20 == b'o' && byte(3) | 0x20 == b't',
        b'"' | b'\'' if byte(1) == b' ' => matches!(byte(2), b'+' | b'.' | b'&' | b'|' | b'\\'),
        _ => true,
    }
}

/// Calls `replace` with every interruption of a value, in order, and what to read in its place.
pub(super) fn find(text: &str, replace: &mut dyn FnMut(Range<usize>, Shown)) {
    let text = Text(text);
    let (mut from, mut done) = (0, 0);
    let mut triggers = BytePairs::new(text.bytes(), is_trigger);
    while let Some(at) = triggers.next(from) {
        from = at + 1;
        if !is_candidate(text, at) {
            continue;
        }
        let joint = match text.byte_at(at) {
            b'<' | b'*' => markup(text, at),
            b'\'' if text.byte_at(at + 1) == b'\'' => {
                // SQL and YAML double an apostrophe in a text.
                if text.byte_before(at).is_ascii_alphanumeric() && text.byte_at(at + 2).is_ascii_alphanumeric() {
                    (from, done) = (at + 2, at + 2);
                    replace(at..at + 2, Shown::Char('\''));
                }
                None
            }
            b'"' | b'\'' => concatenation(text, at),
            _ => {
                for (sign, shown) in spelled_email(text, at) {
                    if sign.start >= done {
                        done = sign.end;
                        replace(sign, Shown::Char(shown));
                    }
                }
                None
            }
        };
        if let Some(joint) = joint.filter(|joint| joint.start >= done) {
            (from, done) = (joint.end, joint.end);
            replace(joint, Shown::Nothing);
        }
    }
}

/// Whether a byte belongs to a credential, a number or an email address.
fn is_value_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'@')
}

/// Tags of inline elements, comments or `**` at `start` inside a word.
fn markup(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    if !is_value_byte(text.byte_before(start)) {
        return None;
    }
    let mut end = start;
    for _ in 0..4 {
        end = match text.byte_at(end) {
            // Three and more are a mask or empty elements of a segment: `ab****cd`, `NM1*IL*1*QORU****MI*…`.
            b'*' if text.byte_at(end + 1) == b'*' && text.byte_at(end + 2) != b'*' => end + 2,
            b'<' => tag_end(text, end)?,
            _ => break,
        };
    }
    // `mail</b>.example`: a dot that does not end a sentence.
    let is_inside = is_value_byte(text.byte_at(end)) || (text.byte_at(end) == b'.' && text.byte_at(end + 1).is_ascii_alphanumeric());
    (end > start && is_inside).then_some(start..end)
}

/// Finds a value that starts at `start` and is split over the items of a list (`["ghp_abc", "def"]`), with `find` in the joined items. Unlike
/// other joints, it depends on the format of the value: most lists of texts are none.
pub(super) fn find_in_items(text: Text<'_>, start: usize, find: impl Fn(Text<'_>) -> Option<Range<usize>>) -> Option<Range<usize>> {
    const ITEMS_MAX: usize = 4;
    let quote = text.byte_before(start);
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    let (mut joined, mut items, mut at) = (String::new(), 0, start);
    while items < ITEMS_MAX {
        let end = text.skip_while(at, 128, |byte| is_value_byte(byte) || matches!(byte, b'+' | b'/' | b'=' | b'.'));
        if end == at || text.byte_at(end) != quote {
            break;
        }
        let offset = joined.len();
        joined.push_str(text.slice(at..end));
        items += 1;
        // A list of prefixes (`["AKIA", "ASIA"]`) has no digits.
        if items > 1
            && joined.bytes().any(|byte| byte.is_ascii_digit())
            && let Some(found) = find(Text(&joined)).filter(|found| found.start == 0 && found.end > offset)
        {
            return Some(start..at + found.end - offset);
        }
        let comma = text.skip_while(end + 1, 8, |byte| byte.is_ascii_whitespace());
        let next = text.skip_while(comma + 1, 32, |byte| byte.is_ascii_whitespace());
        if text.byte_at(comma) != b',' || text.byte_at(next) != quote {
            break;
        }
        at = next + 1;
    }
    None
}

/// The value of a match by [`find_in_items`], without the signs between the items.
pub(super) fn value_of_items(matched: &str) -> String {
    matched.chars().filter(|c| !matches!(c, '"' | '\'' | ',') && !c.is_whitespace()).collect()
}

/// The end of the tag or the empty comment at `start`.
fn tag_end(text: Text<'_>, start: usize) -> Option<usize> {
    let shown = text.window(start, GAP_BYTES_MAX);
    let end = shown.find('>')? + 1;
    let tag = shown.get(1..end - 1)?;
    let name = tag.trim_matches('/').split([' ', '\n']).next().unwrap_or_default();
    let is_comment = tag.starts_with("!--") && tag.ends_with("--");
    (is_comment || INLINE_TAGS.iter().any(|inline| inline.eq_ignore_ascii_case(name))).then_some(start + end)
}

/// From the quote at `start`, which ends a string literal, to the quote that begins the next one: `" + "`. Adjacent literals need no operator,
/// but the second one must be on an indented line of its own: in a table of quoted cells, lines begin with a quote.
fn concatenation(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let quote = text.byte_at(start);
    if !is_value_byte(text.byte_before(start)) {
        return None;
    }
    let is_blank = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\\');
    let operator = text.skip_while(start + 1, GAP_BYTES_MAX, is_blank);
    let after = text.skip_while(operator, 2, |byte| matches!(byte, b'+' | b'.' | b'&' | b'|'));
    let end = text.skip_while(after, GAP_BYTES_MAX, is_blank);
    let is_joined = match text.slice(operator..after) {
        "+" | "." | "&" | "||" | ".." => true,
        "" => matches!(text.byte_before(end), b' ' | b'\t') && text.slice(start..end).contains('\n'),
        _ => false,
    };
    (is_joined && text.byte_at(end) == quote && is_value_byte(text.byte_at(end + 1))).then_some(start..end + 1)
}

/// The spelled-out signs of the email address around `at`, in order.
fn spelled_email(text: Text<'_>, at: usize) -> Vec<(Range<usize>, char)> {
    let Some((at_sign, is_bracketed)) = spelled_at(text, at) else { return Vec::new() };
    let local_start = text.skip_back_while(at_sign.start, 64, is_part);
    if local_start == at_sign.start {
        return Vec::new();
    }
    // `ada dot lovelace at …`.
    let mut signs = Vec::new();
    let dots_before = sign_before(text, local_start, &DOT_WORDS).filter(|(range, _)| is_part(text.byte_before(range.start)));
    signs.extend(dots_before.map(|(range, _)| (range, '.')));
    signs.push((at_sign.clone(), '@'));
    let (mut end, mut labels, mut last) = (at_sign.end, 0, 0..0);
    let mut has_spelled_dot = false;
    while labels < 8 {
        let label_end = text.skip_while(end, 64, |byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte >= 0x80);
        if label_end == end {
            break;
        }
        (last, labels) = (end..label_end, labels + 1);
        if text.byte_at(label_end) == b'.' && is_part(text.byte_at(label_end + 1)) {
            end = label_end + 1;
            continue;
        }
        let Some((dot, _)) = sign_after(text, label_end, &DOT_WORDS).filter(|(range, _)| is_part(text.byte_at(range.end))) else { break };
        has_spelled_dot = true;
        end = dot.end;
        signs.push((dot, '.'));
    }
    let is_top = last.len() >= 2 && text.slice(last).bytes().all(|byte| byte.is_ascii_alphabetic());
    // `look at example.com` has neither brackets nor a spelled-out dot.
    if labels >= 2 && is_top && (is_bracketed || has_spelled_dot) { signs } else { Vec::new() }
}

/// A byte of a local part or a domain.
fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'.') || byte >= 0x80
}

/// The sign for `@` that contains `at`, or that precedes the spelled-out dot there; and whether it is in brackets.
fn spelled_at(text: Text<'_>, at: usize) -> Option<(Range<usize>, bool)> {
    const LETTERS_MAX: usize = 12;
    if text.byte_at(at) == b' ' {
        // ` dot ` in `ada at example dot com`: the word before the domain.
        let domain = text.skip_back_while(at, 64, is_part);
        return sign_before(text, domain, &AT_WORDS);
    }
    let open = text.skip_back_while(at, LETTERS_MAX, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
    let before = text.skip_back_while(open.checked_sub(1)?, 2, |byte| byte == b' ');
    sign_after(text, before, &AT_WORDS)
}

/// A spelled-out sign directly after `start`: ` dot `, `(dot)`, ` [dot] `; and whether it is in brackets.
fn sign_after(text: Text<'_>, start: usize, words: &[&str]) -> Option<(Range<usize>, bool)> {
    let open = text.skip_while(start, 2, |byte| byte == b' ');
    let close = match text.byte_at(open) {
        b'(' => b')',
        b'[' => b']',
        b'{' => b'}',
        _ if open > start => b' ',
        _ => return None,
    };
    let word_start = open + usize::from(close != b' ');
    let word_end = text.find_byte(word_start, 12, close);
    let word = text.slice(word_start..word_end);
    if text.byte_at(word_end) != close || !words.iter().any(|known| *known == word || known.eq_ignore_ascii_case(word)) {
        return None;
    }
    let end = text.skip_while(word_end + 1, if close == b' ' { 1 } else { 2 }, |byte| byte == b' ');
    Some((start..end, close != b' '))
}

/// As [`sign_after`], for the sign that ends at `end`.
fn sign_before(text: Text<'_>, end: usize, words: &[&str]) -> Option<(Range<usize>, bool)> {
    let word_end = text.skip_back_while(end, 2, |byte| matches!(byte, b' ' | b')' | b']' | b'}'));
    let word_start = text.skip_back_while(word_end, 12, |byte| byte.is_ascii_alphabetic() || byte >= 0x80 || matches!(byte, b'@'));
    let start = text.skip_back_while(word_start, 2, |byte| matches!(byte, b' ' | b'(' | b'[' | b'{'));
    sign_after(text, start, words).filter(|(range, _)| range.end == end)
}

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, scan};
    use super::*;

    fn joined(text: &str) -> String {
        let (mut out, mut from) = (String::new(), 0);
        find(text, &mut |range, shown| {
            out.push_str(text.get(from..range.start).unwrap());
            match shown {
                Shown::Char(c) => out.push(c),
                Shown::Text(text) => out.push_str(text),
                Shown::Nothing => {}
            }
            from = range.end;
        });
        out.push_str(text.get(from..).unwrap());
        out
    }

    #[test]
    fn markup_and_concatenation_inside_a_value_are_skipped() {
        for (text, expected) in [
            ("key AKIA<wbr>QX3<b class=\"x\">UV</b>7 end", "key AKIAQX3UV7 end"),
            ("4111<!-- -->1111", "41111111"),
            ("AKIA**QX3** end", "AKIAQX3** end"),
            ("<span>gh</span><span>p_</span>", "<span>ghp_</span>"),
            ("k = \"sk-ab\" + \"cd\"", "k = \"sk-abcd\""),
            ("k = 'sk-ab' . 'cd'", "k = 'sk-abcd'"),
            ("k = \"sk-ab\"\n    \"cd\"", "k = \"sk-abcd\""),
            ("k = \"sk-ab\" \\\n  \"cd\"", "k = \"sk-abcd\""),
            ("k = 'sk-ab' ||\n 'cd'", "k = 'sk-abcd'"),
            ("n = 'O''Neil', ''", "n = 'O'Neil', ''"),
        ] {
            assert_eq!(joined(text), expected, "{text}");
        }
        for text in [
            "<td>a</td><td>b</td>",
            "a <b>c</b> d",
            "**bold** x**",
            "\"a\", \"b\"",
            "\"ada@example.com\"\n\"bob@example.com\"",
            "print(\"a: \" + \"b\")",
            "ab****cd, QORU***MI",
            "\"a\" + 'b'",
            "x<body>y",
        ] {
            assert_eq!(joined(text), text);
        }
    }

    #[test]
    fn spelled_out_email_addresses() {
        for text in [
            "mail ada(at)example(dot)com now",
            "mail ada [at] example [dot] com now",
            "mail ada {at} example.com now",
            "mail ada AT example DOT com now",
            "mail ada at example dot com now",
            "mail ada(ät)example(punkt)com now",
            "mail ada [@] example [.] com now",
            "mail ada (arroba) example (punto) com now",
        ] {
            assert_eq!(joined(text), "mail ada@example.com now", "{text}");
        }
        assert_eq!(joined("ada dot lovelace at mail dot example dot org."), "ada.lovelace@mail.example.org.");
        for text in [
            "look at example.com",
            "(look at) x.com",
            "put a dot at the end",
            "at dot com",
            "x[at] + y[dot]",
            "see it at once dot",
            "item[at]",
        ] {
            assert_eq!(joined(text), text);
        }
    }

    #[test]
    fn a_credential_is_found_in_several_items_of_a_list() {
        let key = concat!("gh", "p_Zq8Lm2Xv7Rt4Ks9Bn3Wc6Yd1Hf5Jg0Pa2Ue4");
        for text in [
            format!("[\"{}\", \"{}\"]", key.get(..9).unwrap(), key.get(9..).unwrap()),
            format!("['{}',\n  '{}', '{}', 'x']", key.get(..5).unwrap(), key.get(5..30).unwrap(), key.get(30..).unwrap()),
        ] {
            let found = scan(&text, &CustomDetectors::default());
            assert_eq!(found.iter().map(|found| (found.kind, found.value.as_str())).collect::<Vec<_>>(), [("github_token", key)], "{text}");
        }
        let prefixes = "[\"AKIA\", \"ASIA\", \"ABIA\", \"ACCA\", \"AGPA\", \"AIDA\"], [\"ghp_\", \"gho_1\"]";
        assert!(scan(prefixes, &CustomDetectors::default()).is_empty());
    }

    #[test]
    fn many_candidates_take_linear_time() {
        let start = crate::redact::tests::thread_seconds();
        for text in ["a<b ", "a \" +", " dot ", "a(at)", "a at a dot ", "a**"] {
            joined(&text.repeat(400_000));
        }
        assert!(crate::redact::tests::thread_seconds() - start < 10.0);
    }
}
