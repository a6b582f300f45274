//! Reads names of persons next to their labels: in fields, in the two halves of a name, and in lists.

use std::ops::Range;

use super::{LabelSyntax, Reader, ValueStart};
use crate::redact::detect::names::{self, NameMatch};

/// Labels for a half of a name, which have other meanings as well: `"first": "Ada", "last": "Lovelace"`.
const HALVES: [&str; 14] =
    ["first", "last", "given", "family", "sn", "nom", "prenom", "prénom", "nombre", "apellido", "apellidos", "nome", "cognome", "middle"];

/// Names in a list, to bound the work.
const NAMES_MAX: usize = 100;

impl Reader<'_, '_> {
    pub(super) fn person(&self, value_start: ValueStart, strong: bool, name_matches: &mut Vec<NameMatch>) {
        let is_argument = value_start.syntax == LabelSyntax::Argument;
        if value_start.syntax == LabelSyntax::Sentence || (!strong && (is_argument || value_start.syntax == LabelSyntax::NextLine)) {
            // In sentences, names are found by cues instead.
            return;
        }
        let range = self.spaced_value(value_start);
        let strong = strong || value_start.quote != 0 && self.is_half_of_name(&range);
        let before = name_matches.len();
        name_matches.extend(names::match_field_value(self.text, range.clone(), strong));
        if name_matches.len() > before {
            self.names_after(value_start, &range, strong, name_matches);
        }
    }

    /// Whether the label is for a half of a name, and the label for the other half is beside the value.
    fn is_half_of_name(&self, value: &Range<usize>) -> bool {
        const DISTANCE_BYTES_MAX: usize = 40;
        let label = self.text.slice(self.label.word.clone()).to_lowercase();
        let is_half = |word: &str| HALVES.contains(&word) && word != label;
        if !HALVES.contains(&label.as_str()) || self.label.identifier.len() != self.label.word.len() {
            return false;
        }
        let start = self.text.0.ceil_char_boundary(self.label.start.saturating_sub(DISTANCE_BYTES_MAX));
        let left = self.text.slice(start..self.label.start).to_lowercase();
        let right = self.text.window(value.end, DISTANCE_BYTES_MAX).to_lowercase();
        // Only keys count: `"family": `.
        let has_half = |shown: &str| {
            shown.split('"').zip(shown.split('"').skip(1)).any(|(key, next)| is_half(key) && next.trim_start().starts_with(':'))
        };
        has_half(&left) || has_half(&right)
    }

    /// The other names of a list: `"attendees": ["Ada Lovelace", "Alan Turing"]`.
    fn names_after(&self, value_start: ValueStart, first: &Range<usize>, strong: bool, name_matches: &mut Vec<NameMatch>) {
        let text = self.text;
        let quote = value_start.quote;
        if quote == 0 || text.byte_before(value_start.offset.saturating_sub(1)) != b'[' {
            return;
        }
        let mut end = first.end;
        for _ in 0..NAMES_MAX {
            let comma = text.skip_while(end + 1, 4, |byte| byte.is_ascii_whitespace());
            let open = text.skip_while(comma + 1, 40, |byte| byte.is_ascii_whitespace());
            if text.byte_at(end) != quote || text.byte_at(comma) != b',' || text.byte_at(open) != quote {
                return;
            }
            let close = text.find_byte(open + 1, 100, quote);
            name_matches.extend(names::match_field_value(text, open + 1..close, strong));
            end = close;
        }
    }
}
