//! Splits JSON that is not one value per line: consecutive values with any separators between them (white space, commas, byte order marks, the
//! record separators of RFC 7464), and the items of a list one by one, so that an export of a gigabyte in one list is never in memory.
//!
//! A value that ends too early is rejected, and reading continues at the next line that starts with `{` or `[`. Text between values that is
//! not a value is rejected, too.

use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Chunk, Completion, Position, ReadOptions, Records, TRUNCATED, read_failed, read_more, rejected, too_long};
use crate::limits::CHUNK_BYTES;
use crate::model::{Outcome, Rejection, RejectionKind};
use crate::store::Object;

/// See [`super::Split`].
pub(super) fn split(
    mut source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    let splitter = Splitter::new(object, options.record_bytes_max);
    run(splitter, &mut source, shutdown, emit)
}

/// The same for values between lines of a log.
pub(super) fn split_in_log(
    mut source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    let splitter = Splitter { is_log: true, ..Splitter::new(object, options.record_bytes_max) };
    run(splitter, &mut source, shutdown, emit)
}

/// The same for values that never span lines: a line feed inside a value means that it is truncated.
pub(super) fn split_within_lines(
    mut source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    let splitter = Splitter { within_lines: true, ..Splitter::new(object, options.record_bytes_max) };
    run(splitter, &mut source, shutdown, emit)
}

fn run(
    mut splitter: Splitter<'_>,
    source: &mut dyn Read,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    while !shutdown.is_cancelled() {
        let is_received = match read_more(&mut splitter.buffer, source) {
            Ok(0) => {
                splitter.finish();
                return Completion::complete_if(splitter.flush(emit));
            }
            Ok(_) => {
                splitter.scan();
                (splitter.scanned < CHUNK_BYTES && splitter.rejections.len() < REJECTIONS_PENDING_MAX) || splitter.flush(emit)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => {
                if splitter.flush(emit) && !shutdown.is_cancelled() {
                    emit(Err(read_failed(splitter.object, splitter.line, &error)));
                }
                return Completion::Incomplete;
            }
        };
        if !is_received {
            break;
        }
    }
    Completion::Incomplete
}

/// Rejections that are collected before they are emitted.
const REJECTIONS_PENDING_MAX: usize = 1_000;

/// The state of the scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between values.
    Between,
    /// Inside a value, at this depth of brackets; 0 is a bare word or number.
    Inside(u32),
    /// Inside a string, at this depth of brackets.
    String(u32),
    /// Inside a string, after a backslash.
    Escaped(u32),
    /// Between values, after this many bytes of a byte order mark.
    ByteOrderMark(usize),
    /// After a truncated value, until a line starts with a bracket.
    Resynchronizing,
    /// After text that is not a value, until a bracket or the end of the line.
    SkippingText,
}

/// Separators between values, except for byte order marks.
fn is_separator(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | super::RECORD_SEPARATOR | 0)
}

#[expect(clippy::struct_excessive_bools, reason = "the flags of a byte scanner are independent of each other")]
struct Splitter<'a> {
    object: &'a Arc<Object>,
    record_bytes_max: usize,
    /// Bytes that are not emitted yet.
    buffer: Vec<u8>,
    /// Bytes of it that were scanned.
    scanned: usize,
    state: State,
    line: u64,
    at_line_start: bool,
    /// The line of the open list, and the number of its items so far.
    list: Option<(u64, usize)>,
    /// The last line on which a value began, and the number of values on it so far.
    values_on_line: (u64, usize),
    /// Values do not span lines.
    within_lines: bool,
    /// There are lines of a log between values.
    is_log: bool,
    /// Start and position of the open value.
    open: Option<(usize, Position)>,
    /// The open value is over the size limit and is discarded.
    oversize: bool,
    records: Vec<(Position, Range<usize>)>,
    rejections: Vec<Rejection>,
    first: bool,
}

impl<'a> Splitter<'a> {
    fn new(object: &'a Arc<Object>, record_bytes_max: usize) -> Self {
        Self {
            object,
            record_bytes_max,
            buffer: Vec::with_capacity(CHUNK_BYTES),
            scanned: 0,
            state: State::Between,
            line: 1,
            at_line_start: true,
            list: None,
            values_on_line: (0, 0),
            within_lines: false,
            is_log: false,
            open: None,
            oversize: false,
            records: Vec::new(),
            rejections: Vec::new(),
            first: true,
        }
    }

    fn scan(&mut self) {
        // Taken out, because `step` borrows the rest of the scanner.
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = self.scanned;
        while let Some(byte) = buffer.get(at).copied() {
            if let State::String(depth) = self.state {
                // Most bytes are in strings, so this is the fast path.
                let rest = buffer.get(at..).unwrap_or_default();
                let Some(skip) = memchr::memchr3(b'"', b'\\', b'\n', rest) else {
                    at = buffer.len();
                    break;
                };
                at += skip;
                match buffer.get(at) {
                    Some(b'"') => self.state = State::Inside(depth),
                    Some(b'\\') => self.state = State::Escaped(depth),
                    _ => {
                        self.truncated("the line ends inside a string");
                        continue;
                    }
                }
                if self.state == State::Inside(0) {
                    self.close(at + 1);
                }
            } else {
                self.step(byte, at);
            }
            at += 1;
            self.discard_oversize(at);
        }
        self.discard_oversize(at);
        self.scanned = at;
        self.buffer = buffer;
    }

    /// Processes a byte outside of strings.
    fn step(&mut self, byte: u8, at: usize) {
        if byte == b'\n' {
            self.line += 1;
        }
        match (self.state, byte) {
            (State::Resynchronizing, b'{' | b'[') if self.at_line_start => {
                self.state = State::Between;
                self.list = None;
                self.reprocess(byte, at);
                return;
            }
            (State::Escaped(depth), b'\n') => {
                self.state = State::String(depth);
                self.truncated("the line ends inside a string");
            }
            (State::SkippingText, b'{' | b'[') => {
                self.state = State::Between;
                self.reprocess(byte, at);
                return;
            }
            (State::SkippingText, b'\n') | (State::ByteOrderMark(2), 0xbf) => self.state = State::Between,
            (State::Inside(depth), b'\n') if self.within_lines && depth > 0 => {
                self.line -= 1;
                self.truncated("the line ends inside the value");
                self.line += 1;
            }
            (State::Between, b'[') if self.list.is_none() && !self.within_lines => self.list = Some((self.line, 0)),
            (State::Between, b']') if self.list.is_some() => self.list = None,
            (State::Between, byte) if is_separator(byte) => {}
            (State::Between, 0xef) => self.state = State::ByteOrderMark(1),
            (State::ByteOrderMark(1), 0xbb) => self.state = State::ByteOrderMark(2),
            (State::ByteOrderMark(seen), _) => {
                self.begin(at.saturating_sub(seen));
                self.state = State::Inside(0);
                self.reprocess(byte, at);
                return;
            }
            (State::Between, b']' | b'}' | b':') => {
                self.begin(at);
                self.skip_text("unexpected bracket or colon between values");
            }
            (State::Between, byte) => {
                self.begin(at);
                self.state = match byte {
                    b'{' | b'[' => State::Inside(1),
                    b'"' => State::String(0),
                    _ => State::Inside(0),
                };
            }
            (State::Escaped(depth), _) | (State::Inside(depth), b'"') => self.state = State::String(depth),
            // A word directly before a value.
            (State::Inside(0), b'{' | b'[') => {
                self.close(at);
                self.reprocess(byte, at);
                return;
            }
            (State::Inside(depth), b'{' | b'[') => self.state = State::Inside(depth.saturating_add(1)),
            (State::Inside(0), b',' | b']' | b'}' | b'\n') => {
                self.close(at);
                // The byte is not part of the word.
                if byte != b'\n' {
                    self.reprocess(byte, at);
                    return;
                }
            }
            (State::Inside(1), b'}' | b']') => self.close(at + 1),
            (State::Inside(depth), b'}' | b']') => self.state = State::Inside(depth.saturating_sub(1)),
            (State::Inside(_) | State::String(_) | State::Resynchronizing | State::SkippingText, _) => {}
        }
        self.at_line_start = byte == b'\n';
    }

    /// Processes the same byte in another state, without counting its line again.
    fn reprocess(&mut self, byte: u8, at: usize) {
        self.line -= u64::from(byte == b'\n');
        self.step(byte, at);
    }

    fn begin(&mut self, at: usize) {
        let position = if let Some((line, items)) = &mut self.list {
            *items += 1;
            Position::Item(*line, *items)
        } else {
            let number = if self.values_on_line.0 == self.line { self.values_on_line.1 + 1 } else { 1 };
            self.values_on_line = (self.line, number);
            if number == 1 { Position::Line(self.line) } else { Position::Item(self.line, number) }
        };
        self.open = Some((at, position));
    }

    fn close(&mut self, end: usize) {
        self.state = State::Between;
        if let Some((start, position)) = self.open.take()
            && !std::mem::take(&mut self.oversize)
        {
            self.records.push((position, start..end));
        }
    }

    /// Rejects a truncated value. If values may span lines, the next one can only be recognized at the start of a line.
    fn truncated(&mut self, cause: &str) {
        let (state, next) = if self.within_lines {
            (State::Between, "the next line")
        } else {
            (State::Resynchronizing, "the next line that starts with a bracket")
        };
        self.reject(cause, next);
        self.state = state;
    }

    /// Rejects text between values.
    fn skip_text(&mut self, cause: &str) {
        self.reject(cause, "the next bracket or line");
        self.state = State::SkippingText;
    }

    fn reject(&mut self, cause: &str, next: &str) {
        let position = self.open.take().map_or(Position::Line(self.line), |(_, position)| position);
        if !std::mem::take(&mut self.oversize) {
            let cause = format!("invalid JSON: {cause} in line {}; reading continues at {next}", self.line);
            self.rejections.push(rejected(self.object, position, RejectionKind::MalformedJson, &cause));
        }
    }

    /// Rejects a value as soon as it is over the size limit; its rest is discarded.
    fn discard_oversize(&mut self, at: usize) {
        let Some((start, position)) = self.open else { return };
        if !self.oversize && at.saturating_sub(start) > self.record_bytes_max {
            self.oversize = true;
            self.rejections.push(rejected(self.object, position, RejectionKind::Oversize, &too_long(self.record_bytes_max)));
        }
    }

    /// Handles the end of the object: an open value or list is truncated.
    fn finish(&mut self) {
        match (self.state, self.open.take(), self.list) {
            (State::Inside(0), Some((start, position)), _) => self.records.push((position, start..self.buffer.len())),
            (_, Some((_, position)), _) if !self.oversize => {
                self.rejections.push(rejected(self.object, position, RejectionKind::Truncated, TRUNCATED));
            }
            (State::Between, None, Some((line, items))) => {
                let items = if items == 1 { "1 item".to_owned() } else { format!("{items} items") };
                let cause = format!("the file ends after {items} of the list\n  hint: it may be truncated; copy it again");
                self.rejections.push(rejected(self.object, Position::Line(line), RejectionKind::Truncated, &cause));
            }
            _ => {}
        }
        self.scanned = self.buffer.len();
        self.oversize = false;
    }

    /// Emits complete values and keeps the open one.
    fn flush(&mut self, emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        let keep_from = match self.open {
            Some(_) if self.oversize => self.scanned,
            Some((start, _)) => start,
            None => self.scanned,
        };
        let rest = self.buffer.split_off(keep_from.min(self.buffer.len()));
        let bytes = std::mem::replace(&mut self.buffer, rest);
        self.scanned = self.scanned.saturating_sub(keep_from);
        if let Some((start, _)) = &mut self.open {
            *start = 0;
        }
        if !std::mem::take(&mut self.rejections).into_iter().all(|rejection| emit(Err(rejection))) {
            return false;
        }
        let ranges = std::mem::take(&mut self.records);
        if ranges.is_empty() {
            return true;
        }
        let first = std::mem::replace(&mut self.first, false);
        emit(Ok(Chunk::Records(Records {
            object: Arc::clone(self.object),
            bytes: bytes.into(),
            ranges,
            first,
            binary: false,
            is_log: self.is_log,
        })))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::read::tests::collect;

    fn split_all(text: &str, step: usize, record_bytes_max: usize) -> (Vec<String>, Vec<String>) {
        collect(split, text.as_bytes(), step, record_bytes_max)
    }

    #[test]
    fn list_items_and_values_that_span_lines_are_records() {
        let text = "\u{feff}[{\"a\": \"]}\\\"\"},\n {\"b\": [1, {\"c\": 2}]}]\n{\n  \"d\": 1\n}\n[[1], 7, \"x\"]\n[]";
        for step in [1, 3, 1_000] {
            let (found, rejected) = split_all(text, step, 1_000);
            assert_eq!(
                found,
                [
                    "L1.s1 {\"a\": \"]}\\\"\"}",
                    "L1.s2 {\"b\": [1, {\"c\": 2}]}",
                    "L3 {\n  \"d\": 1\n}",
                    "L6.s1 [1]",
                    "L6.s2 7",
                    "L6.s3 \"x\""
                ]
            );
            assert!(rejected.is_empty(), "{rejected:?}");
        }
    }

    #[test]
    fn consecutive_values_are_records_with_any_separator_between_them() {
        let (a, b, c) = ("{\"a\": \"}{\"}", "{\"b\": {}}", "{\"c\": 1}");
        let expected = [format!("L1 {a}"), format!("L1.s2 {b}"), format!("L1.s3 {c}")];
        for separator in ["", " ", ",", ", ", "\u{feff}", "\u{1e}", "\0\0", "\r"] {
            let text = format!("{separator}{a}{separator}{b}{separator}{c}{separator}");
            for step in [1, 2, 1_000] {
                for split in [split as crate::read::Split, split_within_lines] {
                    assert_eq!(collect(split, text.as_bytes(), step, 1_000), (expected.to_vec(), vec![]), "{separator:?} {step}");
                }
            }
        }
        let pretty = format!("{{\n  \"x\": 1\n}}\n\u{1e}{{\n}},\n\u{feff}{b}\n");
        assert_eq!(split_all(&pretty, 3, 1_000), (vec!["L1 {\n  \"x\": 1\n}".into(), "L4 {\n}".into(), format!("L6 {b}")], vec![]));
    }

    #[test]
    fn text_between_values_is_rejected_and_values_are_kept() {
        let text = "{\"a\": 1}}{\"b\": 1}: nonsense {\"c\": 1}\nword{\"d\": 1}\u{feff}x\n";
        for step in [1, 1_000] {
            let (found, rejected) = split_all(text, step, 1_000);
            assert_eq!(found, ["L1 {\"a\": 1}", "L1.s3 {\"b\": 1}", "L1.s5 {\"c\": 1}", "L2 word", "L2.s2 {\"d\": 1}", "L2.s3 x"]);
            assert_eq!(rejected, ["a#L1.s2 malformed_json", "a#L1.s4 malformed_json"]);
        }
    }

    #[test]
    fn within_lines_a_truncated_value_affects_only_its_line() {
        let text = "{\"a\": {\n{\"b\": 1}{\"c\": \"cut\n [{\"d\": 1}]\n{\"e\": \"\\\n{\"f\": 1}";
        for step in [1, 1_000] {
            let (found, rejected) = collect(split_within_lines, text.as_bytes(), step, 1_000);
            assert_eq!(found, ["L2 {\"b\": 1}", "L3 [{\"d\": 1}]", "L5 {\"f\": 1}"]);
            assert_eq!(rejected, ["a#L1 malformed_json", "a#L2.s2 malformed_json", "a#L4 malformed_json"]);
        }
    }

    #[test]
    fn a_truncated_list_is_rejected_and_later_values_are_kept() {
        let (found, rejected) = split_all("[{\"a\": \"cut\n[{\"b\": 1}]\n}\n{\"c\": 1}\n", 5, 1_000);
        assert_eq!(found, ["L2.s1 {\"b\": 1}", "L4 {\"c\": 1}"]);
        assert_eq!(rejected, ["a#L1.s1 malformed_json", "a#L3 malformed_json"]);
    }

    #[test]
    fn a_truncated_document_is_rejected() {
        assert_eq!(split_all("[{\"a\": 1}, {\"b\": ", 100, 1_000), (vec!["L1.s1 {\"a\": 1}".into()], vec!["a#L1.s2 truncated".into()]));
        assert_eq!(split_all("[{\"a\": 1},", 100, 1_000), (vec!["L1.s1 {\"a\": 1}".into()], vec!["a#L1 truncated".into()]));
    }

    #[test]
    fn an_oversize_item_is_discarded_while_it_is_read() {
        let long = "y".repeat(CHUNK_BYTES * 3);
        let (found, rejected) = split_all(&format!("[{{\"a\": 1}}, {{\"b\": \"{long}\"}}, {{\"c\": 1}}]"), 60_000, 100);
        assert_eq!(found, ["L1.s1 {\"a\": 1}", "L1.s3 {\"c\": 1}"]);
        assert_eq!(rejected, ["a#L1.s2 oversize"]);
    }

    proptest! {
        #[test]
        fn every_item_is_emitted_once_independently_of_read_sizes(texts in prop::collection::vec("[a-z\"\\\\{}\\[\\],\n]{0,20}", 0..20), step in 1usize..50) {
            let items: Vec<String> = texts.iter().map(|text| serde_json::json!({"t": text}).to_string()).collect();
            let (found, rejected) = split_all(&format!("[{}]", items.join(",\n")), step, 1_000);
            let expected: Vec<String> = items.iter().enumerate().map(|(index, item)| format!("L1.s{} {item}", index + 1)).collect();
            prop_assert_eq!(found, expected);
            prop_assert!(rejected.is_empty());
        }
    }
}
