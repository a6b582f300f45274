//! Detects how records are delimited in an object, by its first bytes after decompression and not by its name.

use super::{container_log, csv, javascript};

/// How records are delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// One JSON record per line.
    Lines,
    /// One or more JSON values without a line feed in the first bytes.
    SingleLine,
    /// JSON values that may span lines, and lists of them.
    Values,
    /// JSON values that may span lines, between lines of a program's log.
    ValuesInLog,
    /// Lines of a container's log, each with a prefix or in an object.
    ContainerLog,
    /// Objects as Node.js displays them, between other output of the program.
    JavaScript,
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

    /// Whether records are between lines of a log.
    pub(super) fn is_program_output(self) -> bool {
        matches!(self, Self::ValuesInLog | Self::ContainerLog | Self::JavaScript)
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
            [b'{', ..] if javascript::begins_with_object(text) => Self::JavaScript,
            [b'{', ..] if spans_lines(text) && contains_log_line(text) => Self::ValuesInLog,
            [b'{', ..] if spans_lines(text) => Self::Values,
            [b'{' | b'[', ..] if memchr::memchr(b'\n', text).is_none() => Self::SingleLine,
            text if contains_indented_object(text) => Self::ValuesInLog,
            [b'{' | b'[', ..] => Self::Lines,
            _ if csv::has_header(text) => Self::Csv,
            _ if javascript::contains_object(text) => Self::JavaScript,
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

/// Whether some line of indented JSON is not part of it.
fn contains_log_line(text: &[u8]) -> bool {
    let is_json = |first: u8| {
        first.is_ascii_whitespace() || matches!(first, b'{' | b'}' | b'[' | b']' | b'"' | b',' | super::RECORD_SEPARATOR | 0 | 0xef)
    };
    text.split(|byte| *byte == b'\n').any(|line| line.first().is_some_and(|first| !is_json(*first)))
}

/// Whether some line begins a JSON object that spans lines: a program that prints such objects prints other lines, too.
fn contains_indented_object(text: &[u8]) -> bool {
    memchr::memmem::find_iter(text, b"\n{").filter_map(|at| text.get(at + 1..)).any(|rest| {
        let mut lines = rest.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let is_indented = |line: &[u8]| line.starts_with(b" ") || line.starts_with(b"\t");
        lines.next() == Some(b"{") && lines.next().is_some_and(|line| is_indented(line) && line.trim_ascii_start().starts_with(b"\""))
    })
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
            (b"Started.\n\n{\n    \"a\": 1\n}", Framing::ValuesInLog),
            (b"{\n  \"a\": 1\n}\nINFO ready\n", Framing::ValuesInLog),
            ("{\n  \"a\": 1\n}\n🚀 ready\n".as_bytes(), Framing::ValuesInLog),
            (b"{\n\t\"a\": 1\n}\n\xef\xbb\xbf{\n\t\"a\": 1\n}\n", Framing::Values),
            (b"{\"a\": 1}\r\n{\r\n\t\"a\": 1\r\n}", Framing::ValuesInLog),
            (b"{\"a\": 1}\n{\n{\"a\": 1}", Framing::Lines),
            (b"{\n  a: 1\n}", Framing::JavaScript),
            (b"> node app.js\n{\n  'a': 1\n}", Framing::JavaScript),
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
