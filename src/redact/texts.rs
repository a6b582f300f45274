//! The texts of one trace on their way through the redactor.

use std::collections::HashMap;

use super::detect::Hit;
use crate::model::TextKind;

/// The distinct texts of a trace: a conversation stands in every call of a model again, and is looked at once.
#[derive(Default)]
pub(super) struct Texts {
    /// Each text and its number.
    numbers: HashMap<Known, usize>,
    /// What was found in each.
    pub(super) found: Vec<Vec<Hit>>,
    /// The number of each text of the trace, in the order in which they are visited.
    pub(super) order: Vec<usize>,
}

/// A text that was looked at.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Known {
    is_key: bool,
    /// The name of the attribute that it is the value of.
    name: Option<String>,
    text: String,
}

impl Texts {
    /// Looks at the next text of the trace, with `find` where it is new.
    pub(super) fn look_at(&mut self, kind: TextKind<'_>, text: &str, find: impl FnOnce(TextKind<'_>, &str) -> Vec<Hit>) {
        let next = self.found.len();
        let name = if let TextKind::ValueOf(name) = kind { Some(name.to_owned()) } else { None };
        let known = Known { is_key: kind == TextKind::Key, name, text: text.to_owned() };
        let number = *self.numbers.entry(known).or_insert(next);
        if number == next {
            self.found.push(find(kind, text));
        }
        self.order.push(number);
    }

    /// Each text as `redact` leaves it, by its number; `None` where it stays as it is.
    pub(super) fn redacted(&mut self, redact: impl Fn(&str, Vec<Hit>) -> Option<String>) -> Vec<Option<String>> {
        let mut redacted = vec![None; self.found.len()];
        for (Known { text, .. }, number) in &self.numbers {
            if let (Some(hits), Some(redacted)) = (self.found.get_mut(*number), redacted.get_mut(*number)) {
                *redacted = redact(text, std::mem::take(hits));
            }
        }
        redacted
    }
}
