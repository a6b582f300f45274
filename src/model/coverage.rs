//! What failsift knows about each part of a span: whether it was read, absent, or recorded in a form that failsift does not understand.
//!
//! "Not understood" must not be taken for "absent": an answer that could not be read is not an empty answer.

use serde::{Deserialize, Serialize};

use super::{Span, SpanKind};

/// A part of a span whose absence means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Messages or text that the step received; the arguments of a tool.
    Input,
    /// Messages or text that the step returned; the result of a tool, the documents of a retriever.
    Output,
    /// Why the model stopped.
    FinishReason,
    /// What a failed step reported.
    Error,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 4] = [Self::Input, Self::Output, Self::FinishReason, Self::Error];

    /// The name in reports: `finish reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::FinishReason => "finish reason",
            Self::Error => "error",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PartSet(u8);

impl PartSet {
    /// Adds a part.
    pub fn insert(&mut self, part: Part) {
        self.0 |= part.bit();
    }

    /// Removes a part.
    pub fn remove(&mut self, part: Part) {
        self.0 &= !part.bit();
    }

    /// Whether the set contains the part.
    pub fn contains(self, part: Part) -> bool {
        self.0 & part.bit() != 0
    }

    /// Whether the set has no part.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Whether a part of a span is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coverage {
    /// The part was read.
    Understood,
    /// The record contains nothing that looks like the part.
    Absent,
    /// The record contains something that looks like the part, and it could not be read.
    NotUnderstood,
}

impl Span {
    /// What is known about a part of the span.
    pub fn coverage(&self, part: Part) -> Coverage {
        // Log records may have added the messages since.
        let was_read_since = (part == Part::Input && !self.input.is_empty()) || (part == Part::Output && !self.output.is_empty());
        if self.not_understood.contains(part) && !was_read_since {
            Coverage::NotUnderstood
        } else if self.has_part(part) {
            Coverage::Understood
        } else {
            Coverage::Absent
        }
    }

    /// Whether a part that a complete record of this kind of span has is recorded in a form that is not understood.
    pub fn is_not_understood(&self) -> bool {
        !self.not_understood.is_empty() && self.expected_parts().any(|part| self.coverage(part) == Coverage::NotUnderstood)
    }

    /// Whether the span has content for the part.
    pub(crate) fn has_part(&self, part: Part) -> bool {
        let tool = self.tool.as_ref();
        match part {
            Part::Input => !self.input.is_empty() || self.input_text.is_some() || tool.is_some_and(|tool| !tool.arguments.is_empty()),
            Part::Output => {
                !self.output.is_empty()
                    || self.output_text.is_some()
                    || tool.is_some_and(|tool| tool.result.is_some())
                    || self.documents.is_some()
            }
            Part::FinishReason => !self.finish_reasons.is_empty(),
            Part::Error => self.status_message.is_some() || self.error_type.is_some() || !self.exceptions.is_empty(),
        }
    }

    /// The parts that a complete record of this kind of span has: a model call has a finish reason, and a failed step an error.
    pub fn expected_parts(&self) -> impl Iterator<Item = Part> + '_ {
        Part::ALL.into_iter().filter(|part| match part {
            Part::Input => matches!(self.kind, SpanKind::Llm | SpanKind::Tool | SpanKind::Retriever),
            Part::Output => matches!(self.kind, SpanKind::Llm | SpanKind::Tool | SpanKind::Retriever) && !self.failed(),
            Part::FinishReason => self.kind == SpanKind::Llm && !self.failed(),
            Part::Error => self.failed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Message, Status};

    #[test]
    fn a_part_is_understood_absent_or_not_understood() {
        let mut span = Span { kind: SpanKind::Llm, input: vec![Message::default()], ..Span::default() };
        span.not_understood.insert(Part::Output);
        let coverage = Part::ALL.map(|part| span.coverage(part));
        assert_eq!(coverage, [Coverage::Understood, Coverage::NotUnderstood, Coverage::Absent, Coverage::Absent]);
        assert!(!span.not_understood.contains(Part::Input) && !span.not_understood.is_empty());
    }

    #[test]
    fn a_failed_call_needs_no_output() {
        let mut span = Span { kind: SpanKind::Llm, ..Span::default() };
        span.not_understood.insert(Part::Output);
        assert!(span.is_not_understood());
        assert!(!Span { status: Status::Error, ..span }.is_not_understood());
    }

    #[test]
    fn the_expected_parts_depend_on_the_kind_and_the_status() {
        let expected = |kind, status| Span { kind, status, ..Span::default() }.expected_parts().collect::<Vec<_>>();
        assert_eq!(expected(SpanKind::Llm, Status::Ok), [Part::Input, Part::Output, Part::FinishReason]);
        assert_eq!(expected(SpanKind::Tool, Status::Error), [Part::Input, Part::Error]);
        assert!(expected(SpanKind::Chain, Status::Ok).is_empty());
    }
}
