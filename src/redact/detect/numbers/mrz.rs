//! Machine-readable zones of passports, visas and identity cards (ICAO 9303): lines of 30, 36 or 44 capitals, digits and `<`, with check digits.

use std::ops::Range;

use super::super::Match;
use super::super::text::Text;

/// Length of the lines of an identity card (three lines), of a small and of a large document (two lines).
const CARD: usize = 30;
const SMALL: usize = 36;
const LARGE: usize = 44;

/// Where the date of birth begins in the second line of documents with two lines: after the number, its check digit and the nationality.
const BIRTH_AT: usize = 13;

/// The zone around the date of birth at `start`: six digits and a check digit, the sex, then the date of expiry with its check digit.
pub(super) fn at_birth_date(text: Text<'_>, start: usize) -> Option<Match> {
    let date =
        |at: usize| text.bytes().get(at..at + 7).filter(|date| date.iter().all(u8::is_ascii_digit)).filter(|date| has_check_digit(date));
    date(start)?;
    date(start + 8)?;
    let line_start = text.skip_back_while(start, BIRTH_AT + 1, is_zone_byte);
    let line_end = text.skip_while(start, LARGE + 1, is_zone_byte);
    let line = line_start..line_end;
    let has_number = line_start + BIRTH_AT == start && has_check_digit(text.bytes().get(line_start..line_start + 10)?);
    let (kind, lines_after) = match line.len() {
        LARGE | SMALL if has_number => ("passport", 0),
        CARD if line_start == start => ("national_id", 1),
        _ => return None,
    };
    let before = line_before(text, &line).filter(|before| before.len() == line.len()).unwrap_or(line.clone());
    let mut end = line_end;
    if lines_after > 0
        && let Some(after) = line_after(text, &line).filter(|after| after.len() == line.len())
    {
        end = after.end;
    }
    let kind = if text.byte_at(before.start) == b'I' { "national_id" } else { kind };
    Some(Match { range: before.start..end, kind, detector: "machine-readable zone" })
}

fn is_zone_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'<'
}

fn is_gap(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b' ' | b'\t' | b'>' | b'|')
}

/// The line of a zone before another one.
fn line_before(text: Text<'_>, line: &Range<usize>) -> Option<Range<usize>> {
    let end = text.skip_back_while(line.start, 12, is_gap);
    let start = text.skip_back_while(end, LARGE + 1, is_zone_byte);
    (end < line.start && start < end).then_some(start..end)
}

/// The line of a zone after another one.
fn line_after(text: Text<'_>, line: &Range<usize>) -> Option<Range<usize>> {
    let start = text.skip_while(line.end, 12, is_gap);
    let end = text.skip_while(start, LARGE + 1, is_zone_byte);
    (start > line.end && start < end).then_some(start..end)
}

/// Whether the last character is the check digit of the ones before it: weights 7, 3 and 1, letters from 10, `<` as 0.
fn has_check_digit(characters: &[u8]) -> bool {
    let Some((check, body)) = characters.split_last() else { return false };
    let value = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'Z' => u32::from(byte - b'A') + 10,
        _ => 0,
    };
    let sum: u32 = body.iter().zip([7, 3, 1].into_iter().cycle()).map(|(byte, weight)| value(*byte) * weight).sum();
    check.is_ascii_digit() && sum % 10 == u32::from(check - b'0')
}

#[cfg(test)]
mod tests {
    use super::super::super::{CustomDetectors, scan};

    fn found(text: &str) -> Vec<(&'static str, String)> {
        scan(text, &CustomDetectors::default()).into_iter().map(|found| (found.kind, found.value)).collect()
    }

    /// The documents of ICAO 9303, parts 4 to 6, and two made for this test, whose check digits were computed by hand.
    #[test]
    fn zones_of_all_sizes() {
        for (kind, zone) in [
            ("passport", "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10"),
            ("national_id", "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<"),
            ("national_id", "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nD231458907UTO7408122F1204159<<<<<<<6"),
            ("passport", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"),
            ("passport", "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL8988901C4XXX4009078F96121096ZE184226B<<<<<<"),
        ] {
            for text in [zone.to_owned(), format!("scan:\n{zone}\nend"), format!("{{\"mrz\": \"{}\"}}", zone.replace('\n', "\\n"))] {
                let found = found(&text);
                assert!(
                    found.iter().any(|(found, value)| *found == kind && value.ends_with(zone.get(zone.len() - 20..).unwrap())),
                    "{text}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn lines_with_wrong_check_digits_are_no_zone() {
        for text in [
            "L898902C36UTO7408123F1204159ZE184226B<<<<<10",
            "L898902C36UTO7408122F1204158ZE184226B<<<<<10",
            "L898902C46UTO7408122F1204159ZE184226B<<<<<10",
            "L898902C36UTO7408122F1204159ZE184226B<<<<<1",
        ] {
            assert!(!found(text).iter().any(|(kind, _)| *kind == "passport"), "{text}: {:?}", found(text));
        }
    }
}
