//! Names that their notation shows: `Vantroba, Zyrqel`, `Z. Q. Vantroba`, `Zyrqel "Zed" Vantroba`, `Zyrqel <z@mail.example>`,
//! `N:Vantroba;Zyrqel;;;`.

use std::ops::Range;

use super::super::text::Text;
use super::words::word_at;
use super::{NameMatch, Word, WordKind, cues, cues::Cue, range_of};

/// The name in `run` by its notation. `part` is the run with the ordinary words after it.
pub(super) fn match_form(text: Text<'_>, run: &[Word], part: &[Word]) -> Option<NameMatch> {
    let range = range_of(run)?;
    let end = given_name_after_comma(text, run)
        .or_else(|| initials_after_comma(text, run))
        .or_else(|| ticketed_name(text, run))
        .or_else(|| nicknamed(text, run))
        .or_else(|| {
            let is_name = run.len() == part.len() && is_before_email(text, run, range.end)
                || has_initials(text, run)
                || has_telling_particle(text, run)
                || is_card_field(text, &range);
            is_name.then_some(range.end)
        })?;
    Some(NameMatch::Certain(range.start..end))
}

fn is_name_or_unknown(word: &Word) -> bool {
    word.is_unknown() || word.is_unambiguous_name()
}

/// The end of the given name in `Hernandez, Joseph`. The given name must end the phrase: `Hernandez, Joseph went` is an enumeration.
fn given_name_after_comma(text: Text<'_>, run: &[Word]) -> Option<usize> {
    let [.., last] = run else { return None };
    if run.len() > 3 || !is_name_or_unknown(last) || text.byte_at(last.range.end) != b',' || text.byte_at(last.range.end + 1) != b' ' {
        return None;
    }
    let given = word_at(text, last.range.end + 2, false).filter(|given| given.kind != WordKind::Initial)?;
    let mut end = given.range.end;
    // A second given name or an initial: `Hernandez, Joseph A.`.
    if let Some(middle) = (text.byte_at(end) == b' ').then(|| word_at(text, end + 1, true)).flatten()
        && !middle.is_ordinary()
    {
        end = middle.range.end;
    }
    let start = run.first()?.range.start;
    let ends_phrase = end >= text.len() || matches!(text.byte_at(end), b'\n' | b'\r' | b';' | b'"' | b'<' | b'|' | b')' | b'\t');
    let is_family_name = run.len() <= 2 && (last.is_unknown() || (last.is_unambiguous_name() && last.entry.is_family_name()));
    let is_known_given = given.is_unambiguous_name() && given.entry.is_given_name();
    if is_family_name
        && is_known_given
        && (!last.is_unknown() || !given.entry.is_family_name())
        && !matches!(text.byte_at(given.range.end), b' ')
    {
        return Some(end.max(given.range.end));
    }
    // `"Vantroba, Zyrqel"`, `Patient: Vantroba, Zyrqel`: the field or the cue shows that it is a name.
    let is_whole_field = start == 0
        || matches!(text.byte_before(start), b'"' | b'>' | b'|' | b';' | b'\n')
        || (text.byte_before(start) == b' ' && matches!(text.byte_before(start - 1), b';' | b':'));
    let is_cued = matches!(cues::before(text, start), Some(Cue::Strong | Cue::Title | Cue::Pair));
    let is_known = run.iter().any(Word::is_unambiguous_name) || given.is_unambiguous_name();
    let is_email_name = text.byte_at(end) == b'"' && text.rest(end + 1).starts_with(" <");
    let accepted = !given.is_ordinary() && ends_phrase && (is_cued || is_email_name || (is_whole_field && is_known));
    accepted.then_some(end)
}

/// The end of the initials in `Vantroba, Z. Q.`.
fn initials_after_comma(text: Text<'_>, run: &[Word]) -> Option<usize> {
    let [.., last] = run else { return None };
    if run.len() > 3 || !run.iter().all(|word| is_name_or_unknown(word) || word.kind == WordKind::Particle) {
        return None;
    }
    if text.byte_at(last.range.end) != b',' || text.byte_at(last.range.end + 1) != b' ' {
        return None;
    }
    let mut at = last.range.end + 2;
    let mut end = None;
    for _ in 0..3 {
        if !text.byte_at(at).is_ascii_uppercase() || text.byte_at(at + 1) != b'.' {
            break;
        }
        end = Some(at + 2);
        at = text.skip_while(at + 2, 1, |byte| matches!(byte, b' ' | b'-'));
    }
    let end = end?;
    // `Washington, D.C.` and `Zilog, U.S.A.` are places.
    let shown = text.slice(last.range.end + 2..end);
    let is_place = matches!(shown, "D.C." | "U.S." | "U.S.A." | "U.K." | "B.C." | "N.Y." | "A.D." | "N.V." | "S.A." | "B.V." | "P.C.");
    (!is_place && text.is_word_end(end)).then_some(end)
}

/// The end of a name as on a flight ticket: `VANTROBA/ZYRQEL MR`.
fn ticketed_name(text: Text<'_>, run: &[Word]) -> Option<usize> {
    let [word] = run else { return None };
    let is_capital = |byte: u8| byte.is_ascii_uppercase();
    if text.byte_at(word.range.end) != b'/' || !text.slice(word.range.clone()).bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let end = text.skip_while(word.range.end + 1, 30, is_capital);
    let title_start = text.skip_while(end, 1, |byte| byte == b' ');
    let title = text.slice(title_start..text.skip_while(title_start, 5, is_capital));
    (end > word.range.end + 2 && matches!(title, "MR" | "MRS" | "MS" | "MISS" | "MSTR" | "CHD" | "INF" | "DR")).then_some(end)
}

/// The end of `Zyrqel "Zed" Vantroba`, if one of the names is known.
fn nicknamed(text: Text<'_>, run: &[Word]) -> Option<usize> {
    let [.., last] = run else { return None };
    let (open, close) = match (text.byte_at(last.range.end), text.rest(last.range.end + 1).chars().next()?) {
        (b' ', '"') => ("\"", "\""),
        (b' ', '“') => ("“", "”"),
        (b' ', '„') => ("„", "“"),
        (b' ', '\'') => ("'", "'"),
        (b' ', '«') => ("«", "»"),
        (b' ', '(') => ("(", ")"),
        _ => return None,
    };
    let nickname = word_at(text, last.range.end + 1 + open.len(), false)?;
    let after = nickname.range.end + close.len();
    if !text.rest(nickname.range.end).starts_with(close) || text.byte_at(after) != b' ' {
        return None;
    }
    let family = word_at(text, after + 1, false)?;
    let is_known = run.iter().any(Word::is_unambiguous_name) || family.is_unambiguous_name();
    (is_known && run.len() <= 3 && !family.is_ordinary() && run.iter().all(|word| !word.is_ordinary())).then_some(family.range.end)
}

/// Whether an email address in angle brackets follows: `Zyrqel Vantroba <z@mail.example>`, but not `Support Team <…>`.
fn is_before_email(text: Text<'_>, run: &[Word], end: usize) -> bool {
    const EMAIL_BYTES_MAX: usize = 100;
    let open = text.skip_while(end, 2, |byte| matches!(byte, b' ' | b'"' | b'\''));
    if open == end || text.byte_at(open) != b'<' || !run.iter().all(|word| is_name_or_unknown(word) || word.kind != WordKind::Regular) {
        return false;
    }
    let close = text.find_byte(open, EMAIL_BYTES_MAX, b'>');
    let address = text.slice(open + 1..close);
    let is_address = address.contains('@') && !address.contains(char::is_whitespace);
    // `GitHub <noreply@…>`: a single unknown word is more often a service.
    is_address
        && (run.len() > 1
            || run.iter().all(Word::is_unambiguous_name)
            || matches!(cues::before(text, run.first().map_or(0, |word| word.range.start)), Some(Cue::Strong | Cue::Pair)))
}

/// `J. R. R. Vantroba`, `Z. Vantroba`, `Zyrqel Q. Vantroba`: initials before a family name that is not a common word.
fn has_initials(text: Text<'_>, run: &[Word]) -> bool {
    let initials = run.iter().filter(|word| word.kind == WordKind::Initial && text.byte_before(word.range.end) == b'.').count();
    let Some((last, before)) = run.split_last() else { return false };
    // `Vantroba Z.,` and `Vantroba Z. (2019)` in a list of authors.
    if last.kind == WordKind::Initial && initials > 0 && before.iter().all(is_name_or_unknown) && (1..=2).contains(&before.len()) {
        return matches!(text.byte_at(last.range.end), b',' | b';')
            || text.rest(last.range.end).starts_with(" (")
            || text.rest(last.range.end).starts_with(" &");
    }
    if initials == 0 || run.len() > 5 || !is_name_or_unknown(last) || last.range.len() < 3 {
        return false;
    }
    let starts_with_initial = before.first().is_some_and(|word| word.kind == WordKind::Initial);
    if !starts_with_initial {
        return before.iter().all(|word| word.kind != WordKind::Regular || is_name_or_unknown(word));
    }
    // `A. Zyrqel` at the start of a line is an item of a list.
    let start = before.first().map_or(0, |word| word.range.start);
    let is_listed = || [",", ";", " and ", " & ", " et al"].iter().any(|next| text.rest(last.range.end).starts_with(next));
    let starts_line = (start == 0 || matches!(text.byte_before(start), b'\n' | b'\r')) && !is_listed();
    initials >= 2 || !starts_line && before.len() == 1 && !matches!(text.byte_before(start.saturating_sub(1)), b'.' | b'!' | b'?')
}

/// `Zyrqel van der Vantroba`, `Zyrqel bin Qoru`: particles that occur only in names. Others (`von`, `de`) are prepositions between nouns.
fn has_telling_particle(text: Text<'_>, run: &[Word]) -> bool {
    let particle = |word: &Word| if word.kind == WordKind::Particle { text.slice(word.range.clone()) } else { "" };
    let is_telling = |(index, word): (usize, &Word)| {
        matches!(particle(word), "bin" | "ibn" | "bint" | "binti" | "ben")
            || particle(word) == "van" && run.get(index + 1).is_some_and(|next| matches!(particle(next), "der" | "den" | "het"))
    };
    let telling = run.iter().enumerate().position(is_telling);
    telling.is_some_and(|at| at > 0 && at + 1 < run.len())
        && run.len() <= 6
        && run.iter().all(|word| word.kind != WordKind::Regular || is_name_or_unknown(word))
}

/// Whether a run is a component of the name in a vCard: `N:Vantroba;Zyrqel;;;`.
fn is_card_field(text: Text<'_>, range: &Range<usize>) -> bool {
    if !matches!(text.byte_before(range.start), b':' | b';') || !matches!(text.byte_at(range.end), b';' | b'\r' | b'\n' | b',' | 0) {
        return false;
    }
    let line = text.start_after_last(range.start, 80, [b'\n', b'\n']);
    let left = text.slice(line..range.start);
    (left.starts_with("N:") || left.starts_with("N;")) && left.contains(':')
}
