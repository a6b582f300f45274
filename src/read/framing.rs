//! Detects how records are delimited in an object, by its first bytes after decompression and not by its name.

use super::{container_log, csv};

/// How records are delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// One JSON record per line.
    Lines,
    /// One or more JSON values without a line feed in the first bytes.
    SingleLine,
    /// JSON values that may span lines, and lists of them.
    Values,
    /// Lines of a container's log, each with a prefix or in an object.
    ContainerLog,
    /// Comma-separated values with a header.
    Csv,
    /// Messages, each with its length before it in four bytes (big-endian), as written by the Collector's file exporter.
    Messages,
    /// One binary message, as written by the Collector's S3 exporter.
    SingleMessage,
}

/// The number of first bytes by which the framing is detected.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// The largest plausible length of a message. Four bytes of text, read as a length, are over half a gigabyte.
const MESSAGE_BYTES_MAX: u32 = 0x0800_0000;

/// The tag of field 1 of a protobuf message, length-delimited: `resource_spans` or `resource_logs`.
const FIRST_FIELD: u8 = 0x0a;

impl Framing {
    pub(super) fn is_binary(self) -> bool {
        matches!(self, Self::Messages | Self::SingleMessage)
    }

    pub(super) fn of(head: &[u8]) -> Self {
        if let [a, b, c, d, rest @ ..] = head {
            let length = u32::from_be_bytes([*a, *b, *c, *d]);
            let starts_a_message = matches!(rest, [FIRST_FIELD | b'{', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..]);
            if (1..=MESSAGE_BYTES_MAX).contains(&length) && starts_a_message {
                return Self::Messages;
            }
        }
        // A text that starts with an empty line has the same first byte, but contains no control characters.
        let is_control = |byte: &u8| matches!(byte, 0x00..=0x08 | 0x0e..=0x1a);
        if head.first() == Some(&FIRST_FIELD) && head.iter().take(512).any(is_control) {
            return Self::SingleMessage;
        }
        let text = without_separators(head);
        match text {
            text if container_log::starts_with_line(text) => Self::ContainerLog,
            [b'[', rest @ ..] if matches!(rest.trim_ascii_start(), [b'{' | b'[' | b']', ..]) => Self::Values,
            [b'{', ..] if spans_lines(text) => Self::Values,
            [b'{' | b'[', ..] if memchr::memchr(b'\n', text).is_none() => Self::SingleLine,
            [b'{' | b'[', ..] => Self::Lines,
            _ if csv::has_header(text) => Self::Csv,
            _ => Self::Lines,
        }
    }
}

/// Whether the first bytes are JSON and not prose in brackets.
pub(super) fn begins_with_json(head: &[u8]) -> bool {
    match without_separators(head) {
        [b'{', rest @ ..] => matches!(rest.trim_ascii_start(), [b'"' | b'}', ..]),
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start(), [b'{' | b'[' | b']', ..]),
        _ => false,
    }
}

/// The text without separators before its first value.
fn without_separators(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r' | b',' | super::RECORD_SEPARATOR | 0, rest @ ..] | [0xef, 0xbb, 0xbf, rest @ ..] = text {
        text = rest;
    }
    text
}

/// Whether the first JSON object spans several lines: its first line ends inside it, and the second line continues it. In contrast, after a
/// truncated line of JSON Lines the next line starts a new record.
fn spans_lines(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n');
    let is_open = lines.next().is_some_and(|line| matches!(line.trim_ascii_end().last(), Some(b'{' | b'[' | b',')));
    let next = lines.find(|line| !line.trim_ascii().is_empty());
    is_open && next.is_some_and(|line| matches!(line.first(), Some(b' ' | b'\t' | b'"' | b'}' | b']')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_framing_is_detected_by_the_first_bytes() {
        for (head, framing) in [
            (&b"{\"a\": 1}\n{\"a\": 2}\n"[..], Framing::Lines),
            (b"\xef\xbb\xbf{\"a\": 1}", Framing::SingleLine),
            (b"\x1e{\"a\": 1}\n\x1e{\"a\": 2}\n", Framing::Lines),
            (b"{\"a\": 1}{\"a\": 2}", Framing::SingleLine),
            (b"broken\n{\"a\": 2}\n", Framing::Lines),
            (b"[2026-11-23] INFO, started, well\n{\"a\": 2}\n", Framing::Lines),
            (b"", Framing::Lines),
            (b"[{\"a\": 1}, {\"a\": 2}]", Framing::Values),
            (b"\n [\n  {", Framing::Values),
            (b"[]", Framing::Values),
            (b"{\n  \"a\": 1\n}", Framing::Values),
            (b"{\"resourceSpans\": [\n\t{", Framing::Values),
            (b"{\"resourceSpans\": [\n{\"resourceSpans\": []}\n", Framing::Lines),
            (b"id,trace_id,\"start_time\"\n1,2,3\n", Framing::Csv),
            (b"\x00\x00\x4b\xbd\x0a\xb9\x97\x01", Framing::Messages),
            (b"\x00\x00\x0f\x6a\x28\xb5\x2f\xfd\x60", Framing::Messages),
            (b"\x0a\xb9\x97\x01\x0a\xc6\x02", Framing::SingleMessage),
            (b"\n\n\n{\"a\": 1}", Framing::SingleLine),
            (b"2026-11-25T10:02:38.614367Z stdout F {\"a\": 1}\n", Framing::ContainerLog),
            (b"{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-25T10:02:38Z\"}\n", Framing::ContainerLog),
        ] {
            assert_eq!(Framing::of(head), framing, "{:?}", String::from_utf8_lossy(head));
        }
    }
}
