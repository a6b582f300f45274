//! How an object is cut into records, told by the bytes at its start (after decompression), not by its name.

use super::csv;

/// The ways in which records stand in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One JSON record a line.
    Lines,
    /// JSON values without a line feed, as far as the first bytes show: one of them, or many one behind another.
    OneLine,
    /// JSON values that may go over lines, and lists of them.
    Values,
    /// Comma-separated values under a header.
    Csv,
    /// Messages, each after its length in four bytes (big-endian), as the Collector's file exporter writes them.
    Messages,
    /// One binary message, as the Collector's S3 exporter writes it.
    Message,
}

/// Bytes by which the shape is told.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// The largest message that a length at the start is believed to announce. Four bytes of text announce over half a gigabyte.
const MESSAGE_BYTES_MAX: u32 = 0x0800_0000;

/// Field 1 of a protobuf message, length-delimited: `resource_spans` and `resource_logs`.
const FIRST_FIELD: u8 = 0x0a;

impl Shape {
    pub(super) fn is_binary(self) -> bool {
        matches!(self, Self::Messages | Self::Message)
    }

    pub(super) fn of(head: &[u8]) -> Self {
        if let [a, b, c, d, rest @ ..] = head {
            let length = u32::from_be_bytes([*a, *b, *c, *d]);
            let starts_a_message = matches!(rest, [FIRST_FIELD | b'{', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..]);
            if (1..=MESSAGE_BYTES_MAX).contains(&length) && starts_a_message {
                return Self::Messages;
            }
        }
        // A text that starts with an empty line has no control characters behind it.
        let is_control = |byte: &u8| matches!(byte, 0x00..=0x08 | 0x0e..=0x1a);
        if head.first() == Some(&FIRST_FIELD) && head.iter().take(512).any(is_control) {
            return Self::Message;
        }
        let text = without_separators(head);
        match text {
            [b'[', rest @ ..] if matches!(rest.trim_ascii_start(), [b'{' | b'[' | b']', ..]) => Self::Values,
            [b'{', ..] if goes_over_lines(text) => Self::Values,
            [b'{' | b'[', ..] if memchr::memchr(b'\n', text).is_none() => Self::OneLine,
            [b'{' | b'[', ..] => Self::Lines,
            _ if csv::has_header(text) => Self::Csv,
            _ => Self::Lines,
        }
    }
}

/// Whether the first bytes are those of JSON and not of prose: `{` or a list.
pub(super) fn begins_with_json(head: &[u8]) -> bool {
    match without_separators(head) {
        [b'{', rest @ ..] => matches!(rest.trim_ascii_start(), [b'"' | b'}', ..]),
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start(), [b'{' | b'[' | b']', ..]),
        _ => false,
    }
}

/// A text from its first value on.
fn without_separators(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r' | b',' | super::RECORD_SEPARATOR | 0, rest @ ..] | [0xef, 0xbb, 0xbf, rest @ ..] = text {
        text = rest;
    }
    text
}

/// Whether an object is written over several lines: its first line ends where no record ends, and the second one goes on inside it.
/// Where a line of JSON lines was cut, the next one starts with a record of its own.
fn goes_over_lines(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n');
    let is_open = lines.next().is_some_and(|line| matches!(line.trim_ascii_end().last(), Some(b'{' | b'[' | b',')));
    let next = lines.find(|line| !line.trim_ascii().is_empty());
    is_open && next.is_some_and(|line| matches!(line.first(), Some(b' ' | b'\t' | b'"' | b'}' | b']')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_told_by_their_first_bytes() {
        for (head, shape) in [
            (&b"{\"a\": 1}\n{\"a\": 2}\n"[..], Shape::Lines),
            (b"\xef\xbb\xbf{\"a\": 1}", Shape::OneLine),
            (b"\x1e{\"a\": 1}\n\x1e{\"a\": 2}\n", Shape::Lines),
            (b"{\"a\": 1}{\"a\": 2}", Shape::OneLine),
            (b"broken\n{\"a\": 2}\n", Shape::Lines),
            (b"[2026-11-23] INFO, started, well\n{\"a\": 2}\n", Shape::Lines),
            (b"", Shape::Lines),
            (b"[{\"a\": 1}, {\"a\": 2}]", Shape::Values),
            (b"\n [\n  {", Shape::Values),
            (b"[]", Shape::Values),
            (b"{\n  \"a\": 1\n}", Shape::Values),
            (b"{\"resourceSpans\": [\n\t{", Shape::Values),
            (b"{\"resourceSpans\": [\n{\"resourceSpans\": []}\n", Shape::Lines),
            (b"id,trace_id,\"start_time\"\n1,2,3\n", Shape::Csv),
            (b"\x00\x00\x4b\xbd\x0a\xb9\x97\x01", Shape::Messages),
            (b"\x00\x00\x0f\x6a\x28\xb5\x2f\xfd\x60", Shape::Messages),
            (b"\x0a\xb9\x97\x01\x0a\xc6\x02", Shape::Message),
            (b"\n\n\n{\"a\": 1}", Shape::OneLine),
        ] {
            assert_eq!(Shape::of(head), shape, "{:?}", String::from_utf8_lossy(head));
        }
    }
}
