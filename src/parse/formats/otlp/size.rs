//! The memory that a protobuf message needs when it is decoded, estimated from its field tags.
//!
//! A nested message of two bytes becomes a struct of hundreds, so a small hostile file could exhaust memory. The estimate does not decode.

use prost::encoding::{WireType, decode_key, decode_varint};

use crate::parse::json;

/// A message type, as far as its fields contain other messages.
#[derive(Debug, Clone, Copy)]
pub(super) enum MessageType {
    /// `ExportTraceServiceRequest` or `ExportLogsServiceRequest`, whose messages are nested in the same way.
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

impl MessageType {
    /// The message type of a field; `None` if it is not a message.
    fn field_type(self, field: u32) -> Option<Self> {
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

    /// The size of the decoded struct and of the values that are made of it.
    fn decoded_bytes(self) -> usize {
        match self {
            Self::SpanOrLog => 512,
            Self::Group | Self::Scope | Self::Event | Self::KeyValue => 128,
            Self::Resource | Self::AnyValue | Self::Array | Self::Map | Self::Request => 64,
        }
    }
}

/// Whether the budget of the record suffices for its parts. Errors are left to the decoder.
pub(super) fn fits_budget(message: &[u8], message_type: MessageType) -> bool {
    charge_parts(message, message_type, DEPTH_MAX)
}

/// prost refuses messages that are nested deeper.
const DEPTH_MAX: usize = 100;

fn charge_parts(mut rest: &[u8], message_type: MessageType, depth: usize) -> bool {
    if !json::try_charge(message_type.decoded_bytes()) {
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
        let Some((value, after)) = skipped.and_then(|length| rest.split_at_checked(length)) else { break };
        if wire_type == WireType::LengthDelimited
            && let Some(inner) = message_type.field_type(field)
            && !charge_parts(value, inner, depth - 1)
        {
            return false;
        }
        rest = after;
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
    fn millions_of_empty_messages_exceed_the_budget() {
        let spans = |count: usize| field(1, &field(2, &field(2, &[]).repeat(count)));
        for (count, fits) in [(10, true), (2_000_000, false)] {
            let message = spans(count);
            let _budget = json::Budget::for_record(message.len());
            assert_eq!(fits_budget(&message, MessageType::Request), fits);
        }
        assert!(fits_budget(b"\x0a\xff\xff\xff\xff\x0fcut", MessageType::Request), "errors are left to the decoder");
    }
}
