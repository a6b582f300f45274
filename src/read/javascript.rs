//! Splits the output of a Node.js program into the objects that it displayed with `console.dir` or `console.log`, each of which is rewritten as JSON.
//! The console exporters of OpenTelemetry write such objects between the other output of the program.
//!
//! An object that spans lines begins with a line `{` and ends with a line `}`; everything inside it is indented. An object on one line is also
//! a record, and so is any other line, which may be a line of the program's log.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::javascript_value::to_json;
use super::{Chunk, Completion, Position, ReadOptions, Records, TRUNCATED, read_failed, read_more, rejected, too_long};
use crate::limits::CHUNK_BYTES;
use crate::model::{Outcome, RejectionKind};
use crate::store::Object;

/// Whether a text begins with an object that Node.js displayed over several lines.
pub(super) fn begins_with_object(text: &[u8]) -> bool {
    let mut lines = text.splitn(3, |byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    lines.next() == Some(b"{") && lines.next().is_some_and(begins_with_field)
}

/// Whether such an object begins on any line of a text.
pub(super) fn contains_object(text: &[u8]) -> bool {
    let mut after_line_feeds = memchr::memmem::find_iter(text, b"\n{").filter_map(|at| text.get(at + 1..));
    begins_with_object(text) || after_line_feeds.any(begins_with_object)
}

/// Whether a line belongs to the object before it, which is indented and ends with a bracket.
pub(super) fn continues_object(line: &[u8]) -> bool {
    matches!(line.first(), None | Some(b' ' | b'\t' | b'\r' | b'}'))
}

/// The JSON of an object that Node.js displayed; JSON and other text as it is.
pub(super) fn as_json(text: &str) -> Cow<'_, str> {
    let is_displayed = text.strip_prefix('{').is_some_and(|rest| !rest.trim_start().starts_with('"'));
    is_displayed.then(|| to_json(text)).flatten().map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Whether a line is `  name: …` or `  'quoted name': …`, which JSON does not have.
fn begins_with_field(line: &[u8]) -> bool {
    let Some(field) = line.strip_prefix(b"  ") else { return false };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    match field {
        [b'\'', rest @ ..] => memchr::memmem::find(rest, b"': ").is_some(),
        [first, ..] if is_name(first) => field.iter().find(|byte| !is_name(byte)) == Some(&b':'),
        _ => false,
    }
}

/// See [`super::Split`].
pub(super) fn split(
    mut source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    let mut splitter = Splitter::new(object, options.record_bytes_max);
    let mut buffer = Vec::with_capacity(CHUNK_BYTES);
    while !shutdown.is_cancelled() {
        match read_more(&mut buffer, &mut source) {
            Ok(0) => return Completion::complete_if(splitter.add_line(&buffer, emit) && splitter.finish(emit)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                if splitter.flush(emit) && !shutdown.is_cancelled() {
                    emit(Err(read_failed(object, splitter.line, &error)));
                }
                return Completion::Incomplete;
            }
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &buffer) {
            if !splitter.add_line(buffer.get(start..end).unwrap_or_default(), emit) {
                return Completion::Incomplete;
            }
            start = end + 1;
        }
        buffer.drain(..start);
        if buffer.len() > options.record_bytes_max {
            splitter.line_is_oversize = true;
            buffer.clear();
        }
    }
    Completion::Incomplete
}

struct Splitter<'a> {
    object: &'a Arc<Object>,
    record_bytes_max: usize,
    /// The number of the next line.
    line: u64,
    /// The open object, and the line on which it begins.
    open: Option<(u64, Vec<u8>)>,
    /// The open object is over the size limit and is discarded.
    is_oversize: bool,
    /// The next line is over the size limit, and its first bytes were discarded.
    line_is_oversize: bool,
    /// Objects as JSON, and other lines, that are not emitted yet.
    bytes: Vec<u8>,
    ranges: Vec<(Position, Range<usize>)>,
    first: bool,
}

impl<'a> Splitter<'a> {
    fn new(object: &'a Arc<Object>, record_bytes_max: usize) -> Self {
        Self {
            object,
            record_bytes_max,
            line: 1,
            open: None,
            is_oversize: false,
            line_is_oversize: false,
            bytes: Vec::new(),
            ranges: Vec::new(),
            first: true,
        }
    }

    /// Adds a line without its line feed. Returns false if the receiver was dropped.
    fn add_line(&mut self, line: &[u8], emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        let number = self.line;
        self.line += 1;
        let text = line.trim_ascii_end();
        let is_oversize = std::mem::take(&mut self.line_is_oversize);
        match &mut self.open {
            Some(_) if is_oversize => {
                self.is_oversize = true;
                true
            }
            None if is_oversize => {
                let oversize = rejected(self.object, Position::Line(number), RejectionKind::Oversize, &too_long(self.record_bytes_max));
                emit(Err(oversize))
            }
            Some((_, object)) if continues_object(line) => {
                if object.len() + line.len() > self.record_bytes_max {
                    self.is_oversize = true;
                }
                if !self.is_oversize {
                    object.extend_from_slice(line);
                    object.push(b'\n');
                }
                !text.starts_with(b"}") || self.close(emit)
            }
            Some(_) => {
                let cause = format!("the object ends in line {}, before its closing bracket", number - 1);
                self.reject_open(&cause, RejectionKind::MalformedJson, emit) && self.begin(number, text, emit)
            }
            None => self.begin(number, text, emit),
        }
    }

    /// Processes a line outside of objects.
    fn begin(&mut self, number: u64, text: &[u8], emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        if text.is_empty() {
            return true;
        }
        self.open = Some((number, [text, b"\n"].concat()));
        text == b"{" || self.close(emit)
    }

    /// Ends the open object.
    fn close(&mut self, emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        if self.is_oversize {
            return self.reject_open(&too_long(self.record_bytes_max), RejectionKind::Oversize, emit);
        }
        let Some((number, object)) = self.open.take() else { return true };
        let text = String::from_utf8_lossy(&object);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(as_json(text.trim()).as_bytes());
        self.ranges.push((Position::Line(number), start..self.bytes.len()));
        self.bytes.len() < CHUNK_BYTES || self.flush(emit)
    }

    fn reject_open(&mut self, cause: &str, kind: RejectionKind, emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        self.is_oversize = false;
        let Some((number, _)) = self.open.take() else { return true };
        emit(Err(rejected(self.object, Position::Line(number), kind, cause)))
    }

    /// Emits the complete objects and other lines.
    fn flush(&mut self, emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        let (bytes, ranges) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ranges));
        if ranges.is_empty() {
            return true;
        }
        let first = std::mem::replace(&mut self.first, false);
        let object = Arc::clone(self.object);
        emit(Ok(Chunk::Records(Records { object, bytes: bytes.into(), ranges, first, binary: false, is_log: true })))
    }

    /// Handles the end of the source.
    fn finish(&mut self, emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        self.reject_open(TRUNCATED, RejectionKind::Truncated, emit) && self.flush(emit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::read::tests::collect;

    #[test]
    fn objects_are_found_by_the_names_of_their_fields() {
        for text in ["{\n  resource: {\n", "> node app.js\n\n{\r\n  'a b': 1\r\n}", "started\n{\n  $x: 1,"] {
            assert!(contains_object(text.as_bytes()), "{text:?}");
        }
        for text in ["{\n  \"a\": 1\n}", "{\"a\": {\n  b: 1", "{\n}", "{\n  // {\n  a b: 1", "{\n  'it is a sentence'\n", "{", ""] {
            assert!(!contains_object(text.as_bytes()) && !begins_with_object(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn displayed_objects_and_other_lines_are_records() {
        let text = "> node app.js\n\n{\n  a: '}',\n  b: {\n    c: 1\n  }\n}\r\n{ d: 1 }\n{\"e\": 1}\nlistening\non 80\n\n{\n  f: 'it\\'s\\n' +\n    'two'\n}\nbye";
        for step in [1, 7, 1_000] {
            let (found, rejected) = collect(split, text.as_bytes(), step, 1_000);
            assert_eq!(
                found,
                [
                    "L1 > node app.js",
                    "L3 {\"a\":\"}\",\"b\":{\"c\":1}}",
                    "L9 {\"d\":1}",
                    "L10 {\"e\": 1}",
                    "L11 listening",
                    "L12 on 80",
                    "L14 {\"f\":\"it's\\ntwo\"}",
                    "L18 bye"
                ]
            );
            assert!(rejected.is_empty(), "{rejected:?}");
        }
    }

    #[test]
    fn an_object_that_is_cut_off_affects_no_other() {
        let (found, rejected) = collect(split, b"{\n  a: 1,\n{\n  b: 2\n}\n{\n  c 1\n}\n{\n  d: 4", 5, 1_000);
        assert_eq!(found, ["L3 {\"b\":2}", "L6 {\n  c 1\n}"]);
        assert_eq!(rejected, ["a#L1 malformed_json", "a#L9 truncated"]);
    }

    #[test]
    fn an_oversize_object_is_discarded_while_it_is_read() {
        let long = "y".repeat(CHUNK_BYTES * 3);
        let lines = "  b: 1,\n".repeat(100);
        let text = format!("{{\n  a: 1\n}}\n{{\n  b: '{long}'\n}}\n{{\n{lines}}}\n{long}\n{{\n  c: 1\n}}\n");
        let (found, rejected) = collect(split, text.as_bytes(), 60_000, 100);
        assert_eq!(found, ["L1 {\"a\":1}", "L110 {\"c\":1}"]);
        assert_eq!(rejected, ["a#L4 oversize", "a#L7 oversize", "a#L109 oversize"]);
    }

    proptest! {
        #[test]
        fn every_line_is_in_a_record_or_a_rejection(text in "[{}a: \n'x]{0,60}", step in 1usize..20) {
            let (found, rejected) = collect(split, text.as_bytes(), step, 1_000);
            let is_empty = text.trim().is_empty();
            prop_assert_eq!(found.is_empty() && rejected.is_empty(), is_empty, "{:?} {:?}", found, rejected);
        }
    }
}
