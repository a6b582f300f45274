//! Reads the logs of containers: lines of the container runtime interface (CRI), and Docker's `json-file`. Both split a long line into parts, which are
//! joined; a record has the line number of its first part. An object over several lines, as the console exporters of OpenTelemetry print it, is one
//! record.
//!
//! ```text
//! 2026-11-25T10:02:38.614367Z stdout P {"resourceSpans": [{"resource":
//! 2026-11-25T10:02:38.614371Z stdout F  …}]}
//! {"log":"{\"resourceSpans\": [{\"resource\":","stream":"stdout","time":"2026-11-25T10:02:38.614367Z"}
//! {"log":" …}]}\n","stream":"stdout","time":"2026-11-25T10:02:38.614371Z"}
//! ```
//!
//! Specification: <https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md> and
//! <https://docs.docker.com/engine/logging/drivers/json-file/>. CRI marks a part with `P` and the last one with `F`; Docker ends the last part with a line
//! feed, and splits after 16 KiB.

use std::io::Read;
use std::sync::Arc;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::javascript::{as_json, continues_object};
use super::{Chunk, Completion, Position, ReadOptions, Records, lines, rejected, too_long};
use crate::model::{Outcome, RejectionKind};
use crate::store::Object;

/// See [`super::Split`].
pub(super) fn split(
    source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    let mut joiner = Joiner { object, record_bytes_max: options.record_bytes_max, open: Vec::new(), first: true };
    let completion = lines::split_untrimmed(source, object, options, shutdown, &mut |item| match item {
        Ok(Chunk::Records(records)) => joiner.join(&records).into_iter().all(&mut *emit),
        item => emit(item),
    });
    if completion == Completion::Complete && !joiner.finish().into_iter().all(emit) {
        return Completion::Incomplete;
    }
    completion
}

/// Whether a text starts with a line of a container's log.
pub(super) fn starts_with_line(text: &[u8]) -> bool {
    /// Longer than a prefix. The first bytes of an object may end inside a character of the text after it.
    const PREFIX_BYTES: usize = 100;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.starts_with(b"{") {
        return Line::of(line).is_some();
    }
    let prefix = line.get(..PREFIX_BYTES).unwrap_or(line).utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Line::of_cri(prefix).is_some()
}

/// A line of a container's log.
#[derive(Debug, PartialEq)]
struct Line<'l> {
    stream: &'l str,
    text: std::borrow::Cow<'l, str>,
    /// Whether the next line of the same stream continues it.
    is_part: bool,
}

impl<'l> Line<'l> {
    fn of(line: &'l [u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        if line.starts_with('{') { Self::of_docker(line) } else { Self::of_cri(line) }
    }

    fn of_cri(line: &'l str) -> Option<Self> {
        let mut fields = line.splitn(4, ' ');
        let (time, stream, tags) = (fields.next()?, fields.next()?, fields.next()?);
        let is_time = time.len() >= 19 && time.as_bytes().get(4) == Some(&b'-') && time.contains('T');
        let is_stream = matches!(stream, "stdout" | "stderr");
        let is_part = tags.split(':').next()? == "P";
        (is_time && is_stream && (is_part || tags.split(':').next()? == "F")).then(|| Self {
            stream,
            text: fields.next().unwrap_or_default().into(),
            is_part,
        })
    }

    fn of_docker(line: &'l str) -> Option<Self> {
        #[derive(Deserialize)]
        struct DockerLine<'l> {
            #[serde(borrow)]
            log: std::borrow::Cow<'l, str>,
            stream: &'l str,
            #[serde(rename = "time")]
            _time: &'l str,
        }
        let DockerLine { log, stream, .. } = serde_json::from_str(line).ok()?;
        Some(Self { stream, is_part: !log.ends_with('\n'), text: log })
    }
}

/// A record whose parts are being joined.
struct OpenRecord {
    stream: String,
    position: Position,
    text: Vec<u8>,
    /// It is over the size limit and is discarded.
    is_oversize: bool,
    /// An object of several lines, whose first line was `{`.
    is_object: bool,
    /// How far its last line was read.
    last_line: LineState,
}

/// How far the last line of a record was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineState {
    /// Not at all.
    Unread,
    /// Its last part is missing.
    Open,
    /// The same, for the line that ends an object.
    OpenEnd,
}

impl OpenRecord {
    fn new(stream: &str, position: Position) -> Self {
        Self { stream: stream.to_owned(), position, text: Vec::new(), is_oversize: false, is_object: false, last_line: LineState::Unread }
    }

    /// Adds a part of a line; returns whether the record ends with it.
    fn add(&mut self, part: &str, is_last: bool, record_bytes_max: usize) -> bool {
        if self.last_line == LineState::Unread {
            self.last_line = if part.starts_with('}') { LineState::OpenEnd } else { LineState::Open };
        }
        self.is_oversize |= self.text.len() + part.len() > record_bytes_max;
        if self.is_oversize {
            self.text = Vec::new();
        } else {
            self.text.extend_from_slice(part.as_bytes());
        }
        if !is_last {
            return false;
        }
        let is_end = std::mem::replace(&mut self.last_line, LineState::Unread) == LineState::OpenEnd;
        self.is_object |= self.text.trim_ascii_end() == b"{";
        if self.is_object && !self.is_oversize && !self.text.ends_with(b"\n") {
            self.text.push(b'\n');
        }
        !self.is_object || is_end
    }
}

/// Joins the parts of records.
struct Joiner<'o> {
    object: &'o Arc<Object>,
    record_bytes_max: usize,
    /// At most one for each stream.
    open: Vec<OpenRecord>,
    first: bool,
}

impl Joiner<'_> {
    fn join(&mut self, records: &Records) -> Vec<Outcome<Chunk>> {
        let mut chunk = ChunkBuilder::default();
        for (position, line) in records.iter() {
            let Some(Line { stream, text, is_part }) = Line::of(line) else {
                chunk.add(position, line);
                continue;
            };
            let open = self.open.iter().position(|open| open.stream == stream);
            let mut record = open.map_or_else(|| OpenRecord::new(stream, position), |index| self.open.swap_remove(index));
            if record.is_object && record.last_line == LineState::Unread && !continues_object(text.as_bytes()) {
                // Its end is missing.
                self.close(&record, &mut chunk);
                record = OpenRecord::new(stream, position);
            }
            if record.add(&text, !is_part, self.record_bytes_max) {
                self.close(&record, &mut chunk);
            } else {
                self.open.push(record);
            }
        }
        self.emit(chunk)
    }

    /// The records whose last part is missing, as the end of a file that is still written.
    fn finish(&mut self) -> Vec<Outcome<Chunk>> {
        let mut chunk = ChunkBuilder::default();
        for record in std::mem::take(&mut self.open) {
            self.close(&record, &mut chunk);
        }
        self.emit(chunk)
    }

    fn close(&self, record: &OpenRecord, chunk: &mut ChunkBuilder) {
        if record.is_oversize {
            let rejection = rejected(self.object, record.position, RejectionKind::Oversize, &too_long(self.record_bytes_max));
            chunk.rejections.push(Err(rejection));
        } else if record.is_object {
            let text = String::from_utf8_lossy(&record.text);
            chunk.add(record.position, as_json(text.trim()).as_bytes());
        } else {
            chunk.add(record.position, record.text.trim_ascii());
        }
    }

    fn emit(&mut self, chunk: ChunkBuilder) -> Vec<Outcome<Chunk>> {
        let ChunkBuilder { bytes, ranges, mut rejections } = chunk;
        if !ranges.is_empty() {
            let first = std::mem::replace(&mut self.first, false);
            let object = Arc::clone(self.object);
            rejections.push(Ok(Chunk::Records(Records { object, bytes: bytes.into(), ranges, first, binary: false, is_log: true })));
        }
        rejections
    }
}

/// Complete records of one chunk.
#[derive(Default)]
struct ChunkBuilder {
    bytes: Vec<u8>,
    ranges: Vec<(Position, std::ops::Range<usize>)>,
    rejections: Vec<Outcome<Chunk>>,
}

impl ChunkBuilder {
    fn add(&mut self, position: Position, text: &[u8]) {
        if !text.is_empty() {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(text);
            self.ranges.push((position, start..self.bytes.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::collect;

    #[test]
    fn parts_of_a_line_are_joined_and_have_the_position_of_the_first() {
        let cri = "2026-11-25T10:02:38.614367Z stdout P {\"a\":\n\
                   2026-11-25T10:02:38.614368Z stderr F warning: slow\n\
                   2026-11-25T10:02:38.614369+02:00 stdout P  1,\n\
                   2026-11-25T10:02:38.614370Z stdout F \"b\": 2}\n\
                   2026-11-25T10:02:39Z stdout F {\"c\": 3}\n\
                   2026-11-25T10:02:40Z stdout P {\"d\":";
        let docker = "{\"log\":\"{\\\"a\\\":\",\"stream\":\"stdout\",\"time\":\"2026-11-25T10:02:38Z\"}\n\
                      {\"log\":\"warning: slow\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-25T10:02:38Z\"}\n\
                      {\"log\":\" 1,\",\"stream\":\"stdout\",\"time\":\"2026-11-25T10:02:38Z\"}\n\
                      {\"log\":\"\\\"b\\\": 2}\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-25T10:02:38Z\"}\n\
                      {\"log\":\"{\\\"c\\\": 3}\\r\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-25T10:02:39Z\"}\n\
                      {\"log\":\"{\\\"d\\\":\",\"stream\":\"stdout\",\"time\":\"2026-11-25T10:02:40Z\"}";
        for (text, first) in [(cri, "L1 {\"a\": 1,\"b\": 2}"), (docker, "L1 {\"a\": 1,\"b\": 2}")] {
            assert!(starts_with_line(text.as_bytes()));
            for step in [1, 50, 10_000] {
                let (records, rejections) = collect(split, text.as_bytes(), step, 1_000);
                assert_eq!(records, ["L2 warning: slow", first, "L5 {\"c\": 3}", "L6 {\"d\":"], "{text}");
                assert!(rejections.is_empty());
            }
        }
    }

    #[test]
    fn an_object_over_several_lines_is_one_record() {
        let lines = [
            ("stdout", "starting"),
            ("stdout", "{"),
            ("stdout", "    \"a\": \"}\","),
            ("stderr", "warning: slow"),
            ("stdout", "    \"b\": {}"),
            ("stdout", "}"),
            ("stdout", "{"),
            ("stdout", "  c: 'it\\'s'"),
            ("stdout", "}"),
            ("stdout", "{"),
            ("stdout", "  cut: 1"),
            ("stdout", "{\"d\": 1}"),
            ("stdout", "{"),
        ];
        let cri: Vec<String> = lines.iter().map(|(stream, text)| format!("2026-11-25T10:02:38Z {stream} F {text}\n")).collect();
        let docker: String = lines
            .iter()
            .map(|(stream, text)| {
                serde_json::json!({"log": format!("{text}\n"), "stream": stream, "time": "2026-11-25T10:02:38Z"}).to_string() + "\n"
            })
            .collect();
        for text in [cri.concat(), docker] {
            let (records, rejections) = collect(split, text.as_bytes(), 50, 1_000);
            assert_eq!(
                records,
                [
                    "L1 starting",
                    "L4 warning: slow",
                    "L2 {\n    \"a\": \"}\",\n    \"b\": {}\n}",
                    "L7 {\"c\":\"it's\"}",
                    "L10 {\n  cut: 1",
                    "L12 {\"d\": 1}",
                    "L13 {"
                ]
            );
            assert!(rejections.is_empty());
        }
    }

    #[test]
    fn an_object_over_the_limit_is_rejected_and_the_next_one_is_kept() {
        let lines = [&["{"][..], &["  a: 1,"; 30], &["}", "{", "  b: 2", "}"]].concat();
        let text: Vec<String> = lines.iter().map(|text| format!("2026-11-25T10:02:38Z stdout F {text}\n")).collect();
        let (records, rejections) = collect(split, text.concat().as_bytes(), 1_000, 100);
        assert_eq!((records, rejections), (vec!["L33 {\"b\":2}".to_owned()], vec!["a#L1 oversize".to_owned()]));
    }

    #[test]
    fn a_record_over_the_limit_is_rejected_however_it_is_split() {
        let part = "x".repeat(60);
        let text = format!(
            "2026-11-25T10:02:38Z stdout P {part}\n2026-11-25T10:02:38Z stdout P {part}\n2026-11-25T10:02:38Z stdout F {part}\n2026-11-25T10:02:38Z stdout F {{}}\n"
        );
        let (records, rejections) = collect(split, text.as_bytes(), 1_000, 100);
        assert_eq!((records, rejections), (vec!["L4 {}".to_owned()], vec!["a#L1 oversize".to_owned()]));
    }

    #[test]
    fn other_lines_are_no_lines_of_a_container() {
        for line in [
            &b"{\"log\": \"x\", \"date\": 1}"[..],
            b"2026-11-25 stdout F x",
            b"2026-11-25T10:02:38Z stdin F x",
            b"2026-11-25T10:02:38Z stdout X x",
            b"",
            b"\xff",
        ] {
            assert!(!starts_with_line(line), "{line:?}");
        }
    }
}
