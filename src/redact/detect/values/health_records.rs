//! Reads identifiers of persons in the formats of health care: FHIR, HL7 v2 and X12.
//!
//! HL7 v2 (chapter 3, patient administration) separates fields by `|`, components by `^` and repetitions by `~`; X12 (transaction sets 270, 271, 276,
//! 278, 834 and 837) separates elements by `*` and ends segments with `~`.

use std::ops::Range;

use super::identifiers::count_digits;
use super::{Match, Reader, ValueStart};

/// What a field of a segment contains.
#[derive(Debug, Clone, Copy)]
enum Field {
    /// An identifier of this kind, in its first component; there may be repetitions.
    Id(&'static str),
    Name,
    BirthDate,
    Address,
    Phone,
}

/// The detector of values in segments.
const SEGMENT: &str = "segment of a health record";

/// Length of a segment.
const SEGMENT_BYTES_MAX: usize = 2000;

/// Fields of the segment of a patient (PID), of a relative (NK1) and of an insurance (IN1), by their number.
const PATIENT: &[(usize, Field)] = &[
    (2, Field::Id("medical_id")),
    (3, Field::Id("medical_id")),
    (4, Field::Id("medical_id")),
    (5, Field::Name),
    (6, Field::Name),
    (7, Field::BirthDate),
    (9, Field::Name),
    (11, Field::Address),
    (13, Field::Phone),
    (14, Field::Phone),
    (18, Field::Id("medical_id")),
    (19, Field::Id("ssn")),
    (20, Field::Id("drivers_license")),
];
const RELATIVE: &[(usize, Field)] = &[(2, Field::Name), (4, Field::Address), (5, Field::Phone), (6, Field::Phone)];
const INSURANCE: &[(usize, Field)] =
    &[(16, Field::Name), (18, Field::BirthDate), (19, Field::Address), (36, Field::Id("medical_id")), (49, Field::Id("medical_id"))];

/// Codes of the types of identifiers (HL7 table 0203) with the kind of the value.
const IDENTIFIER_TYPES: &[(&str, &str)] = &[
    ("MR", "medical_id"),
    ("MRT", "medical_id"),
    ("PI", "medical_id"),
    ("PT", "medical_id"),
    ("PN", "medical_id"),
    ("AN", "medical_id"),
    ("VN", "medical_id"),
    ("MB", "medical_id"),
    ("MC", "medical_id"),
    ("MA", "medical_id"),
    ("HC", "medical_id"),
    ("JHN", "medical_id"),
    ("NH", "medical_id"),
    ("NHN", "medical_id"),
    ("NIIP", "medical_id"),
    ("SN", "medical_id"),
    ("SNO", "medical_id"),
    ("BRN", "national_id"),
    ("NI", "national_id"),
    ("PRC", "national_id"),
    ("CZ", "national_id"),
    ("SB", "national_id"),
    ("TAX", "national_id"),
    ("SS", "ssn"),
    ("DL", "drivers_license"),
    ("PPN", "passport"),
];

impl Reader<'_, '_> {
    /// The value of an identifier in FHIR whose type is a code: `"code": "MR"}]}, "value": "482913"`.
    pub(super) fn coded_id(&self, matches: &mut Vec<Match>) {
        const OBJECT_BYTES_MAX: usize = 90;
        let text = self.text;
        let end = self.label.identifier.end;
        // The code is after its system, or before it.
        let left_start = text.start_after_last(self.label.identifier.start, OBJECT_BYTES_MAX, [b'{', b'{']);
        let right = text.window(end, OBJECT_BYTES_MAX);
        let right_len = right.find('}').unwrap_or(right.len());
        let code_in = |from: usize, shown: &str| {
            let at = shown.find("\"code\"")? + "\"code\"".len();
            let open = from + at + shown.get(at..)?.find('"')? + 1;
            Some(open..text.skip_while(open, 8, |byte| byte.is_ascii_alphanumeric()))
        };
        let code = code_in(end, right.get(..right_len).unwrap_or_default())
            .or_else(|| code_in(left_start, text.slice(left_start..self.label.identifier.start)));
        let Some(code) = code else { return };
        let shown = text.slice(code.clone());
        let known = IDENTIFIER_TYPES.iter().find(|(known, _)| *known == shown).map(|(_, kind)| *kind);
        // `NN` and the country: a national number of a person.
        let national = (shown.len() == 5 && shown.starts_with("NN")).then_some("national_id");
        let Some(kind) = known.or(national) else { return };
        let Some(value_start) = self.value_field_after(end.max(code.end)) else { return };
        let range = self.unspaced_value(value_start);
        if range.len() >= 4 && count_digits(text.slice(range.clone())) >= 2 {
            matches.push(Match { range, kind, detector: "identifier type" });
        }
    }

    /// The number directly after a noun for a person: `patient #482913`, `member W882134177`.
    pub(super) fn person_number(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        const UNITS: [&str; 14] = [
            "days", "day", "years", "minutes", "hours", "times", "records", "visits", "rows", "cases", "weeks", "months", "seconds",
            "people",
        ];
        let text = self.text;
        let at = self.label.identifier.end;
        if self.label.is_plural || value_start.offset < at || self.label.identifier.len() != self.label.word.len() {
            return;
        }
        let start = text.skip_while(at, 3, |byte| matches!(byte, b' ' | b'#' | b'('));
        let has_sign = text.slice(at..start).contains('#');
        let end = text.skip_while(start, 24, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let value = text.slice(start..end);
        let digits = count_digits(value);
        let letters = value.bytes().take_while(u8::is_ascii_uppercase).count();
        let is_code = value.bytes().skip(letters).all(|byte| byte.is_ascii_digit() || byte == b'-') && !value.ends_with('-');
        // A member may be one of anything: only letters and digits, or a long number, are the number of an insured.
        let is_patient = self.text.slice(self.label.word.clone()).to_lowercase().starts_with(['p', 'п', '患', '病', '환', 'b', 'h']);
        let digits_min = match (is_patient, letters > 0, has_sign) {
            (true, true, _) | (true, _, true) => 4,
            (true, false, false) | (false, true, _) => 6,
            (false, false, _) => 9,
        };
        let next = text.byte_at(end);
        let is_decimal = matches!(next, b'.' | b',' | b':') && text.byte_at(end + 1).is_ascii_digit();
        let word = text.slice(end + 1..text.skip_while(end + 1, 10, |byte| byte.is_ascii_lowercase()));
        let is_counted = next == b' ' && UNITS.contains(&word);
        let is_date = digits == 8 && letters == 0 && (value.starts_with("19") || value.starts_with("20"));
        if start > at && letters <= 4 && digits >= digits_min && is_code && !is_decimal && next != b'%' && !is_counted && !is_date {
            self.push(start..end, matches);
        }
    }

    /// The fields of a segment.
    pub(super) fn segment(&self, matches: &mut Vec<Match>) {
        let text = self.text;
        let end = self.label.identifier.end;
        let start = self.label.identifier.start;
        if !matches!(text.byte_before(start), 0 | b'\n' | b'\r' | b'"' | b'~' | b'`' | b' ' | b'\x0b' | b'>') {
            return;
        }
        match (text.slice(self.label.identifier.clone()), text.byte_at(end)) {
            ("PID", b'|') => self.hl7_fields(PATIENT, matches),
            ("NK1", b'|') => self.hl7_fields(RELATIVE, matches),
            ("IN1", b'|') => self.hl7_fields(INSURANCE, matches),
            ("NM1", b'*') => self.x12_loop(matches),
            _ => {}
        }
    }

    fn hl7_fields(&self, fields: &[(usize, Field)], matches: &mut Vec<Match>) {
        let start = self.label.identifier.start;
        let segment = self.text.window(start, SEGMENT_BYTES_MAX);
        let segment = segment.get(..segment.find(['\n', '\r', '"']).unwrap_or(segment.len())).unwrap_or(segment);
        // A segment of HL7 has components, which tells it from a table drawn with bars.
        if segment.matches('|').count() < 3 || !segment.contains('^') {
            return;
        }
        let mut at = start;
        for (number, field) in segment.split('|').enumerate() {
            let range = at..at + field.len();
            at = range.end + 1;
            if let Some((_, content)) = fields.iter().find(|(known, _)| *known == number) {
                self.push_field(range, *content, matches);
            }
        }
    }

    fn push_field(&self, range: Range<usize>, content: Field, matches: &mut Vec<Match>) {
        let mut push = |range: Range<usize>, kind: &'static str| matches.push(Match { range, kind, detector: SEGMENT });
        let shown = self.text.slice(range.clone());
        let trimmed = shown.trim_end_matches(['^', '~', '&', ' ']);
        let whole = range.start..range.start + trimmed.len();
        let digits = count_digits(trimmed);
        match content {
            Field::Id(kind) => {
                let mut at = range.start;
                for repetition in shown.split('~') {
                    let id = repetition.split('^').next().unwrap_or_default();
                    if id.len() >= 3 && count_digits(id) >= 2 {
                        push(at..at + id.len(), kind);
                    }
                    at += repetition.len() + 1;
                }
            }
            Field::Name if trimmed.len() >= 2 && digits == 0 => push(whole, "person"),
            Field::BirthDate if (8..=24).contains(&trimmed.len()) && digits >= 8 => push(whole, "date_of_birth"),
            Field::Address if trimmed.len() >= 6 => push(whole, "address"),
            Field::Phone if digits >= 7 => {
                let number = trimmed.split('^').next().unwrap_or_default();
                let len = if count_digits(number) >= 7 { number.len() } else { trimmed.len() };
                push(range.start..range.start + len, "phone");
            }
            Field::Name | Field::BirthDate | Field::Address | Field::Phone => {}
        }
    }

    /// A person (`NM1`), and the segments after it that tell more about the same person.
    fn x12_loop(&self, matches: &mut Vec<Match>) {
        const SEGMENTS_MAX: usize = 8;
        let mut at = self.label.identifier.start;
        let window = self.text.window(at, SEGMENT_BYTES_MAX);
        for (index, segment) in window.split('~').take(SEGMENTS_MAX).enumerate() {
            let from = at + segment.len() - segment.trim_start().len();
            at += segment.len() + 1;
            let elements = elements_of(segment.trim_start(), from);
            let element = |number: usize| elements.get(number).cloned().filter(|range| !range.is_empty());
            let shown = |number: usize| element(number).map(|range| self.text.slice(range)).unwrap_or_default();
            let mut push = |range: Option<Range<usize>>, kind: &'static str| {
                matches.extend(range.filter(|range| range.len() >= 2).map(|range| Match { range, kind, detector: SEGMENT }));
            };
            match (shown(0), shown(1), shown(2)) {
                // The second element is 1 for a person, 2 for an organisation.
                ("NM1", _, "1") if index == 0 => {
                    push(element(3), "person");
                    push(element(4), "person");
                    push(element(9), if shown(8) == "34" { "ssn" } else { "medical_id" });
                }
                ("N3", ..) => push(element(1), "address"),
                ("N4", ..) => push(element(3), "address"),
                ("DMG", "D8", _) => push(element(2), "date_of_birth"),
                ("REF", "SY", _) => push(element(2), "ssn"),
                ("REF", "1L" | "0F" | "IG" | "1W" | "EJ", _) => push(element(2), "medical_id"),
                ("REF" | "PER" | "N1", ..) if index > 0 => {}
                _ => return,
            }
        }
    }
}

/// The elements of a segment of X12 at `from`.
fn elements_of(segment: &str, from: usize) -> Vec<Range<usize>> {
    let mut at = from;
    let mut elements = Vec::new();
    for element in segment.split('*') {
        elements.push(at..at + element.len());
        at += element.len() + 1;
    }
    elements
}
