//! Finds names of people: by the lexicon, by words next to them (`my name is …`, `…, PhD`), by the form of a list or header, and in fields
//! that contain names.
//!
//! [`words`] collects runs of capitalized words, [`cues`] knows the words next to names. [`forms`] has names that their notation shows
//! (`Vantroba, Z.`), [`fields`] the values of labels and columns, [`spoken`] names without capitals after a cue, [`foreign`] names of
//! another script inside Latin text. Chinese, Japanese and Korean are handled in [`super::cjk`].

mod cues;
mod fields;
mod foreign;
mod forms;
mod organisations;
mod spoken;
mod words;

use std::ops::Range;

use self::cues::Cue;
pub(super) use self::cues::{SpokenCue, spoken_cues};
pub(super) use self::fields::match_field_value;
pub(super) use self::foreign::{is_foreign, match_foreign_run};
pub(super) use self::spoken::{after_cue, at_phrase_starts};
use self::words::collect_capitalized_words;
pub(super) use self::words::{Word, WordKind};
use super::lexicon;
use super::text::Text;

/// Words that are, or may be, a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameMatch {
    Certain(Range<usize>),
    /// A name only if other personal data is close to it.
    Candidate(Range<usize>),
}

/// Adds the names in the run of capitalized words that begins at `start`, and returns the end of the run.
pub(super) fn match_capitalized_run(
    text: Text<'_>,
    start: usize,
    email_local_parts: &[String],
    words: &mut Vec<Word>,
    found: &mut Vec<NameMatch>,
) -> usize {
    collect_capitalized_words(text, start, words);
    let Some(last) = words.last() else {
        return text.skip_while(start, usize::MAX, |byte| byte.is_ascii_alphabetic() || byte >= 0x80).max(start + 1);
    };
    let end = last.range.end;
    // Ordinary words split the run into parts, each of which may be a name: `Dear Ada Lovelace Thanks`.
    let mut from = 0;
    while from < words.len() {
        let part = words.get(from..).unwrap_or_default();
        let Some(first) = part.first() else { break };
        let outweighed = usize::from(is_outweighed(text, part));
        if (outweighed == 0 && first.is_ordinary()) || first.kind == WordKind::Particle || is_title(text, first) || is_closing(text, first)
        {
            from += 1;
            continue;
        }
        // `Zyrqel Vantroba Bey`: the title ends the name and confirms it.
        if let Some(len) = before_suffix(text, part)
            && let Some(range) = range_of(part.get(..len).unwrap_or_default())
        {
            found.push(NameMatch::Certain(range));
            from += len + 1;
            continue;
        }
        let len = outweighed + name_len(part.get(outweighed..).unwrap_or_default());
        let mut run = part.get(..len).unwrap_or_default();
        while run.last().is_some_and(|word| word.kind == WordKind::Particle) {
            run = run.get(..run.len() - 1).unwrap_or_default();
        }
        let following = part.get(run.len()..).unwrap_or_default();
        if let Some(range) = range_of(run) {
            if let Some(name_match) = forms::match_form(text, run, part) {
                let form_end = match &name_match {
                    NameMatch::Certain(range) | NameMatch::Candidate(range) => range.end,
                };
                found.push(name_match);
                if form_end > end {
                    return form_end;
                }
            } else if outweighed == 0
                && (organisations::is_brand(text, run) && !is_introduced(text, run, &[Cue::Title, Cue::Strong])
                    || organisations::is_organisation(text, run, following) && !is_introduced(text, run, &[Cue::Title]))
            {
                // A brand, or an organisation that is called after somebody.
                from += following.len().min(1);
            } else if is_abbreviation(text, run) {
                // Not a name, regardless of the words next to it.
            } else if outweighed > 0 || is_vocative(text, run) || is_name_by_lexicon(run) || occurs_in_email(text, run, email_local_parts) {
                found.push(NameMatch::Certain(range));
            } else {
                found.extend(match_by_context(text, run, range, following));
            }
        }
        from += len.max(1);
    }
    end
}

/// The number of words up to the first ordinary one. After a given name, words that are common elsewhere may be a family name: `Maria Asp`.
fn name_len(part: &[Word]) -> usize {
    let mut has_given_name = false;
    part.iter()
        .position(|word| {
            has_given_name |= word.kind == WordKind::Regular && word.entry.is_given_name();
            word.is_ordinary() && !(has_given_name && word.is_common_elsewhere())
        })
        .unwrap_or(part.len())
}

/// Whether a title or a strong cue outweighs that a word is common in another language: `Pani Mago`.
fn is_outweighed(text: Text<'_>, part: &[Word]) -> bool {
    let Some((first, rest)) = part.split_first().filter(|(first, _)| first.is_common_elsewhere()) else { return false };
    match cues::before(text, first.range.start) {
        Some(Cue::Title | Cue::Strong) => true,
        Some(Cue::Pair | Cue::Closing) => rest.first().is_some_and(|next| !next.is_ordinary()),
        _ => false,
    }
}

/// The number of words before a suffix or a title that follows names.
fn before_suffix(text: Text<'_>, part: &[Word]) -> Option<usize> {
    let len = 1 + part.iter().skip(1).position(|word| {
        let shown = text.slice(word.range.clone());
        word.range.len() <= 12 && cues::is_after_word(shown)
    })?;
    let before = part.get(..len)?;
    let is_numeral = part.get(len).is_some_and(|word| text.slice(word.range.clone()).bytes().all(|byte| matches!(byte, b'I' | b'V')));
    // `Zyrqel III` may be a product.
    let is_name = before.iter().all(|word| !word.is_ordinary()) && (!is_numeral || len >= 2);
    (len <= 4 && is_name && before.iter().any(|word| word.is_unknown() || word.is_unambiguous_name())).then_some(len)
}

fn range_of(words: &[Word]) -> Option<Range<usize>> {
    Some(words.first()?.range.start..words.last()?.range.end)
}

/// Whether a word is a title or a cue, and not a name itself: `Pani` in `Pani Zyrqel`, `Kunden` in `Kunden Zyrqel Vantroba`.
/// Whether a word ends the words before a signature in the same line: `Cumprimentos, Z. Vantroba`, `Hälsningar Zyrqel`.
fn is_closing(text: Text<'_>, word: &Word) -> bool {
    let next = text.skip_while(word.range.end, 2, |byte| matches!(byte, b' ' | b','));
    next > word.range.end && !word.is_unambiguous_name() && matches!(cues::before(text, next), Some(Cue::Closing | Cue::Greeting))
}

fn is_title(text: Text<'_>, word: &Word) -> bool {
    word.kind == WordKind::Regular && !(word.is_unambiguous_name() && word.entry.is_given_name()) && {
        let shown = text.slice(word.range.clone());
        shown.len() <= 32 && cues::is_opening(shown)
    }
}

/// `MAC`, `MAX`: a single word in capitals is an abbreviation and not a name, except after a title or a cue (`DEAR OYELARAN`).
fn is_abbreviation(text: Text<'_>, run: &[Word]) -> bool {
    match run {
        [word] => {
            text.slice(word.range.clone()).chars().all(char::is_uppercase)
                && !(word.range.len() > 4 && matches!(cues::before(text, word.range.start), Some(Cue::Title | Cue::Strong)))
        }
        _ => false,
    }
}

/// Whether the words around a run make it a name. `range` is the range of the run, `following` are the words after it, the first of which is
/// an ordinary word.
#[expect(clippy::too_many_lines, reason = "a list of contexts, the strongest first")]
fn match_by_context(text: Text<'_>, run: &[Word], mut range: Range<usize>, following: &[Word]) -> Option<NameMatch> {
    let is_two_or_three = (2..=3).contains(&run.len());
    let is_name_or_unknown = |word: &Word| word.is_unknown() || word.is_unambiguous_name();
    let has_capitals = run.iter().any(|word| word.kind == WordKind::Capitals);
    let cue = cues::before(text, range.start);
    if following.is_empty() && run.len() <= 4 && !has_capitals && run.iter().any(is_name_or_unknown) && cues::is_after(text, range.end) {
        return Some(NameMatch::Certain(range));
    }
    let is_plain =
        following.is_empty() && !has_capitals && run.iter().all(|word| word.kind != WordKind::Regular || is_name_or_unknown(word));
    if is_plain && is_two_or_three {
        let is_known = run.iter().any(Word::is_unambiguous_name);
        let is_genitive = is_known
            && run
                .last()
                .is_some_and(|word| text.slice(word.range.clone()).ends_with(['s', '\'']) && text.slice(word.range.clone()).contains("'s"));
        // `Marguerite Zyrqel: thanks`; `["Marguerite Zyrqel", …]`.
        let is_speaker = is_known && text.byte_at(range.end) == b':' && matches!(text.byte_before(range.start), b'\n' | 0);
        let is_value = is_known && is_delimited(text, &range);
        if is_genitive
            || is_speaker
            || is_value
            || cues::verb_after(text, range.end).is_some_and(|accepts_unknown| is_known || accepts_unknown)
        {
            return Some(NameMatch::Certain(range));
        }
    }
    // `Marguerite: "Who is there?"`.
    if is_plain && is_speaker(text, run, &range) {
        return Some(NameMatch::Certain(range));
    }
    match cue {
        // `My name is Mike`: a given name that is a common word as well.
        Some(Cue::Strong)
            if following.is_empty()
                && matches!(run, [word] if word.entry.is_given_name() && word.kind == WordKind::Regular)
                && ["name is ", "name's ", "call me ", " named ", " me llamo ", " heiße "]
                    .iter()
                    .any(|cue| text.0.get(..range.start).is_some_and(|left| left.ends_with(cue))) =>
        {
            Some(NameMatch::Certain(range))
        }
        // `the patient is Zyrqel`, but not `the patient is Will`: at least one word must be unknown or only a name. After a title it may also be a
        // common word: `Mr. Page`.
        Some(cue @ (Cue::Strong | Cue::Title))
            if run.len() <= 4 && run.iter().any(|word| is_name_or_unknown(word) || (cue == Cue::Title && word.entry.is_name())) =>
        {
            // `Dear Augustín Macho`: the last word may be an ordinary word and a family name.
            if run.len() == 1
                && let [next] = following
                && !next.entry.is_name()
                && run.iter().all(is_name_or_unknown)
            {
                range.end = next.range.end;
            }
            Some(NameMatch::Certain(range))
        }
        // `prepared for Zyrqel Vantroba`, but not `prepared for Zyrqel`.
        Some(Cue::Pair) if (2..=4).contains(&run.len()) && following.is_empty() && run.iter().any(is_name_or_unknown) => {
            Some(NameMatch::Certain(range))
        }
        // `Kind regards,⏎Zyrqel Vantroba`.
        Some(Cue::Closing)
            if run.len() <= 4 && following.is_empty() && run.iter().any(is_name_or_unknown) && ends_line(text, range.end) =>
        {
            // `Kind regards, Zyrqel` may be a company.
            let is_person = run.len() > 1 || run.iter().all(Word::is_unambiguous_name);
            Some(if is_person { NameMatch::Certain(range) } else { NameMatch::Candidate(range) })
        }
        // In capitals, only a cue makes an unknown word a name: `SELECT ZYRQEL`.
        _ if has_capitals => None,
        // `Hi Zyrqel,`.
        Some(Cue::Greeting)
            if run.len() <= 3 && following.is_empty() && run.iter().all(is_name_or_unknown) && ends_greeting(text, range.end) =>
        {
            Some(NameMatch::Certain(range))
        }
        // `a trip to Florence`, `the law of Murphy`.
        Some(Cue::Weak) if matches!(run, [word] if organisations::is_place_or_discovery(text, word)) => None,
        // `hi Marguerite`, but not `hi Zyrqel`.
        Some(Cue::Weak | Cue::Greeting | Cue::Closing | Cue::Pair)
            if run.iter().any(|word| word.is_unambiguous_name() && word.entry.is_given_name()) && run.len() <= 4 =>
        {
            Some(NameMatch::Certain(range))
        }
        // `soy Salud Pablo`: names that are common words of other languages.
        Some(Cue::Weak | Cue::Greeting | Cue::Closing | Cue::Pair)
            if (2..=3).contains(&run.len())
                && following.is_empty()
                && run.iter().all(|word| word.entry.is_name() && (!word.entry.is_common_word() || word.is_common_elsewhere())) =>
        {
            Some(NameMatch::Certain(range))
        }
        // `regards, Zyrqel Oyelaran`, but not `from Oyelaran`: a family name alone is not enough.
        Some(Cue::Weak | Cue::Greeting | Cue::Closing | Cue::Pair)
            if (2..=4).contains(&run.len()) && run.iter().any(Word::is_unambiguous_name) =>
        {
            Some(NameMatch::Certain(range))
        }
        // `Visitor: Zyrqel Vantroba`.
        _ if is_plain && is_two_or_three && is_labelled(text, &range) => Some(NameMatch::Certain(range)),
        // `I met Zyrqel Vantroba at the fair`: in English, two words that are neither common nor technical.
        _ if is_plain
            && is_two_or_three
            && text.byte_at(range.end) != b':'
            && run.iter().all(|word| word.kind == WordKind::Regular)
            && cues::is_in_english(text, &range) =>
        {
            Some(NameMatch::Certain(range))
        }
        // Two or three words that fill a field, follow a cue or include a known name: `<td>Zyrqel Vantroba</td>`.
        _ if is_two_or_three && is_delimited(text, &range) => Some(NameMatch::Candidate(range)),
        Some(_) if is_two_or_three => Some(NameMatch::Candidate(range)),
        _ if is_two_or_three && run.iter().any(Word::is_unambiguous_name) => Some(NameMatch::Candidate(range)),
        // `I told Marguerite about it`: in an English sentence, a given name alone is nearly always a person.
        _ if following.is_empty()
            && is_lone_name(text, run)
            && (cues::verb_after(text, range.end).is_some() || is_listed(text, &range) || cues::is_in_english(text, &range)) =>
        {
            Some(NameMatch::Certain(range))
        }
        // `Joseph wants a refund`, but not `Joseph, a` or `Joseph.`: a given name as the subject of a sentence.
        _ if run.len() == 1
            && run.iter().all(|word| word.is_unambiguous_name() && word.entry.is_given_name())
            && text.byte_at(range.end) == b' '
            && text.byte_at(range.end + 1).is_ascii_lowercase() =>
        {
            Some(NameMatch::Candidate(range))
        }
        _ => None,
    }
}

/// Whether a quotation and a verb of speaking precede: `…," says Zyrqel`.
fn follows_speech(text: Text<'_>, start: usize) -> bool {
    let left = text.slice(text.0.floor_char_boundary(start.saturating_sub(16))..start);
    let Some((before, verb)) = left.trim_end().rsplit_once(' ') else { return false };
    before.ends_with(['"', '”', '»', '\'', '’', ','])
        && matches!(verb, "says" | "said" | "added" | "explained" | "replied" | "noted" | "wrote")
}

/// Whether a given name is next to another one in an enumeration: `Marguerite, Joseph and Hannah`.
fn is_listed(text: Text<'_>, range: &Range<usize>) -> bool {
    let is_given = |range: Range<usize>| {
        let word = text.slice(range);
        let entry = lexicon::look_up(word);
        word.starts_with(char::is_uppercase) && entry.is_unambiguous_name() && entry.is_given_name()
    };
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte >= 0x80;
    let after = [", and ", ", ", " and "].iter().find(|gap| text.rest(range.end).starts_with(**gap)).map(|gap| range.end + gap.len());
    let left = text.0.get(..range.start).unwrap_or_default();
    let before = [", and ", ", ", " and "].iter().find(|gap| left.ends_with(**gap)).map(|gap| range.start - gap.len());
    let is_before = before.is_some_and(|end| is_given(text.skip_back_while(end, 24, is_letter)..end));
    let is_after = after.is_some_and(|start| is_given(start..text.skip_while(start, 24, is_letter)));
    is_before || is_after
}

/// Whether a given name at the start of a line precedes what the person says.
fn is_speaker(text: Text<'_>, run: &[Word], range: &Range<usize>) -> bool {
    let starts_line = range.start == 0 || matches!(text.byte_before(range.start), b'\n');
    let said = text.rest(range.end).strip_prefix(':').map(|said| said.strip_prefix(' ').unwrap_or(said)).unwrap_or_default();
    let is_speech = said.starts_with(['"', '“', '«', '„']) || said.starts_with(char::is_uppercase);
    starts_line && is_speech && matches!(run, [word] if word.is_unambiguous_name() && word.entry.is_given_name())
}

/// Whether one of these cues precedes a run, so that it is a person although an organisation has the same name.
fn is_introduced(text: Text<'_>, run: &[Word], by: &[Cue]) -> bool {
    run.first().and_then(|first| cues::before(text, first.range.start)).is_some_and(|cue| by.contains(&cue))
}

/// Whether a run is a single name and does not stand where places and things stand: `in Charlotte`, `Lake Charlotte`.
fn is_lone_name(text: Text<'_>, run: &[Word]) -> bool {
    let [word] = run else { return false };
    // A family name alone may be a company, a place or an algorithm.
    let is_person =
        word.entry.is_given_name() || cues::verb_after(text, word.range.end) == Some(true) || follows_speech(text, word.range.start);
    if !word.is_unambiguous_name()
        || !is_person
        || organisations::is_place_or_discovery(text, word)
        || text.slice(word.range.clone()).contains(['-', '–'])
    {
        return false;
    }
    let before_end = text.skip_back_while(word.range.start, 1, |byte| byte == b' ');
    let before_start = text.skip_back_while(before_end, 24, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
    let before = text.slice(before_start..before_end);
    let is_place = before_end < word.range.start
        && (matches!(before, "in" | "near" | "visit" | "visited" | "leaving") || before.starts_with(char::is_uppercase));
    !is_place
}

/// Whether a run is the whole value of an English label: `Visitor: Zyrqel Vantroba`.
fn is_labelled(text: Text<'_>, range: &Range<usize>) -> bool {
    if text.slice(range.start.saturating_sub(2)..range.start) != ": " || !matches!(text.byte_at(range.end), b'\n' | b'\r' | b';' | b',' | 0)
    {
        return false;
    }
    let end = range.start - 2;
    let start = text.skip_back_while(end, 24, |byte| byte.is_ascii_alphabetic());
    let entry = lexicon::look_up(text.slice(start..end));
    entry.is_common_word() && !entry.is_common_elsewhere() && !entry.is_place_or_product()
}

fn ends_line(text: Text<'_>, end: usize) -> bool {
    let at = text.skip_while(end, 2, |byte| matches!(byte, b' ' | b'.' | b',' | b'!'));
    at >= text.len() || matches!(text.byte_at(at), b'\n' | b'\r' | b'"' | b'<')
}

fn ends_greeting(text: Text<'_>, end: usize) -> bool {
    end >= text.len() || matches!(text.byte_at(end), b'\n' | b'\r' | b',' | b'!')
}

/// Whether the lexicon alone identifies a run as a name: a given name, and another word that may be a name.
fn is_name_by_lexicon(run: &[Word]) -> bool {
    let words = run.iter().filter(|word| word.kind != WordKind::Particle).count();
    if !(2..=5).contains(&words) {
        return false;
    }
    let given = run.iter().any(|word| word.is_unambiguous_name() && word.entry.is_given_name());
    let family = run.iter().any(|word| word.is_unambiguous_name() && word.entry.is_family_name());
    let capitals = run.iter().filter(|word| word.kind == WordKind::Capitals).count();
    let unknown = run.iter().filter(|word| word.is_unknown()).count();
    let common_given = run.iter().any(|word| word.kind == WordKind::Regular && word.entry.is_given_name() && word.entry.is_common_word());
    // `Marguerite Oyelaran`, `Marguerite Zyrqel`, but not `Marguerite` with three unknown words, and in capitals not `MARGUERITE ZYRQEL
    // VANTR`.
    if given {
        return unknown <= 2 && (capitals == 0 || (capitals == 1 && words == 2));
    }
    if capitals > 0 {
        return false;
    }
    // `J. Oyelaran`.
    if family && run.first().is_some_and(|word| word.kind == WordKind::Initial) {
        return unknown == 0;
    }
    // `Grace Oyelaran`: the given name is also a common word, so the family name must be known.
    family && common_given && unknown == 0
}

/// Whether a run is a form of address: `If this was not you, Mikael, reset your password`. After `you, ` the name may be unknown.
fn is_vocative(text: Text<'_>, run: &[Word]) -> bool {
    let [word] = run else { return false };
    let addressed = text.slice(word.range.start.saturating_sub(2)..word.range.start) == ", " && text.byte_at(word.range.end) == b',';
    let entry = word.is_unambiguous_name() && word.entry.is_given_name();
    // `Zyrqel, please call me`.
    let starts_line = matches!(text.byte_before(word.range.start), b'\n' | b'"' | 0);
    let is_request = [", please ", ", can you ", ", could you ", ", would you ", ", thank you", ", thanks for"];
    if starts_line
        && (word.is_unknown() || word.entry.is_name())
        && is_request.iter().any(|words| text.rest(word.range.end).starts_with(words))
    {
        return true;
    }
    addressed && (entry || (!word.entry.is_common_word() && text.0.get(..word.range.start).is_some_and(|left| left.ends_with(" you, "))))
}

/// Whether a run fills a table cell, an HTML tag or a quoted field.
fn is_delimited(text: Text<'_>, range: &Range<usize>) -> bool {
    matches!(text.byte_before(range.start), b'>' | b'"' | b'\'' | b'*' | b'|' | b';')
        && matches!(text.byte_at(range.end), b'<' | b'"' | b'\'' | b'*' | b'|' | b';')
}

/// Whether the local part of an email address in the text contains a word of the run: `Zyrqel Vantroba <z.vantroba@mail.example>`.
fn occurs_in_email(text: Text<'_>, run: &[Word], email_local_parts: &[String]) -> bool {
    !email_local_parts.is_empty()
        && run.len() <= 4
        && run.iter().filter(|word| word.kind == WordKind::Regular && word.range.len() >= 3).any(|word| {
            let folded: String =
                text.slice(word.range.clone()).to_lowercase().chars().filter_map(lexicon::fold).filter(|c| c.is_alphanumeric()).collect();
            let long_enough = folded.len() >= if run.len() > 1 { 3 } else { 5 };
            long_enough
                && (run.len() > 1 || !word.entry.is_common_word())
                && email_local_parts.iter().any(|local_part| local_part.contains(&folded))
        })
}

#[cfg(test)]
mod tests;
