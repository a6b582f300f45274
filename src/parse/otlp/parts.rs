//! How much the parts of a protobuf message take once they are decoded, told from their tags without decoding: an empty message of two bytes
//! becomes a structure of some hundred.

use prost::encoding::{WireType, decode_key, decode_varint};

use crate::parse::json;

/// A type of message, as far as its fields hold others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// `ExportTraceServiceRequest` or `ExportLogsServiceRequest`: both nest in the same way.
    Request,
    Group,
    Resource,
    Scope,
    SpanOrLog,
    Event,
    KeyValue,
    AnyValue,
    Array,
    Map,
}

impl Kind {
    /// What a field of this number holds.
    fn inner(self, field: u32) -> Option<Self> {
        Some(match (self, field) {
            (Self::Request, 1) => Self::Group,
            (Self::Group, 1) => Self::Resource,
            (Self::Group, 2) => Self::Scope,
            (Self::Scope, 2) => Self::SpanOrLog,
            // Attributes of a span, body and attributes of a log record.
            (Self::SpanOrLog, 9 | 6) | (Self::Resource | Self::Map, 1) | (Self::Event, 3) => Self::KeyValue,
            (Self::SpanOrLog, 11) => Self::Event,
            (Self::SpanOrLog, 5) | (Self::KeyValue, 2) | (Self::Array, 1) => Self::AnyValue,
            (Self::AnyValue, 5) => Self::Array,
            (Self::AnyValue, 6) => Self::Map,
            _ => return None,
        })
    }

    /// Bytes of the decoded structure, and of what it becomes next.
    fn bytes(self) -> usize {
        match self {
            Self::SpanOrLog => 512,
            Self::Group | Self::Scope | Self::Event | Self::KeyValue => 128,
            Self::Resource | Self::AnyValue | Self::Array | Self::Map | Self::Request => 64,
        }
    }
}

/// Whether the budget of the record has room for its parts. What is no protobuf is left to the decoder.
pub(super) fn fit(message: &[u8], kind: Kind) -> bool {
    all_fit(message, kind, DEPTH_MAX)
}

/// prost refuses what nests deeper.
const DEPTH_MAX: usize = 100;

fn all_fit(mut rest: &[u8], kind: Kind, depth: usize) -> bool {
    if !json::has_room(kind.bytes()) {
        return false;
    }
    while !rest.is_empty() && depth > 0 {
        let Ok((field, wire_type)) = decode_key(&mut rest) else { break };
        let skipped = match wire_type {
            WireType::Varint => decode_varint(&mut rest).ok().map(|_| 0),
            WireType::SixtyFourBit => Some(8),
            WireType::ThirtyTwoBit => Some(4),
            WireType::LengthDelimited => decode_varint(&mut rest).ok().and_then(|length| usize::try_from(length).ok()),
            WireType::StartGroup | WireType::EndGroup => None,
        };
        let Some((value, behind)) = skipped.and_then(|length| rest.split_at_checked(length)) else { break };
        if wire_type == WireType::LengthDelimited
            && let Some(inner) = kind.inner(field)
            && !all_fit(value, inner, depth - 1)
        {
            return false;
        }
        rest = behind;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        let mut length = Vec::new();
        prost::encoding::encode_varint(value.len() as u64, &mut length);
        [&[number << 3 | 2][..], &length, value].concat()
    }

    #[test]
    fn millions_of_empty_messages_do_not_fit_and_a_real_one_does() {
        let spans = |count: usize| field(1, &field(2, &field(2, &[]).repeat(count)));
        for (count, fits) in [(10, true), (2_000_000, false)] {
            let message = spans(count);
            let _budget = json::Budget::for_record(message.len());
            assert_eq!(fit(&message, Kind::Request), fits);
        }
        assert!(fit(b"\x0a\xff\xff\xff\xff\x0fcut", Kind::Request), "the decoder says what is wrong");
    }
}
