//! JSON that does not stand one value a line -> records: the values of a document one after the other, whatever stands between them (nothing,
//! blanks, commas, byte order marks, the record separators of RFC 7464), and the items of a list each for itself, so that an export of a
//! gigabyte in one list is never held.
//!
//! A value that ends where it must not costs itself; reading goes on at the next line that starts with `{` or `[`. What stands between
//! values and is none is a rejection too.

use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Chunk, End, Position, ReadOptions, Records, failed_at, fill, over, rejected};
use crate::limits::CHUNK_BYTES;
use crate::model::{Outcome, Rejection, RejectionKind};
use crate::store::Object;

/// Reads `source` to its end and calls `emit` with chunks and rejections, until `emit` says that nobody listens.
pub(super) fn split(
    mut source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> End {
    let splitter = Splitter::new(object, options.record_bytes_max);
    run(splitter, &mut source, shutdown, emit)
}

/// The same for values that never go over lines: a line feed inside of one says that it was cut.
pub(super) fn split_within_lines(
    mut source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> End {
    let splitter = Splitter { within_lines: true, ..Splitter::new(object, options.record_bytes_max) };
    run(splitter, &mut source, shutdown, emit)
}

fn run(
    mut splitter: Splitter<'_>,
    source: &mut dyn Read,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> End {
    while !shutdown.is_cancelled() {
        let alive = match fill(&mut splitter.buffer, source) {
            Ok(0) => {
                splitter.finish();
                return End::whole_if(splitter.flush(emit));
            }
            Ok(_) => {
                splitter.scan();
                (splitter.scanned < CHUNK_BYTES && splitter.rejections.len() < REJECTIONS_HELD_MAX) || splitter.flush(emit)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => {
                if splitter.flush(emit) && !shutdown.is_cancelled() {
                    emit(Err(failed_at(splitter.object, splitter.line, &error)));
                }
                return End::Cut;
            }
        };
        if !alive {
            break;
        }
    }
    End::Cut
}

/// Rejections that wait until they are handed on.
const REJECTIONS_HELD_MAX: usize = 1_000;

/// Where the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between values.
    Between,
    /// Inside a value, so many brackets deep; 0 is a bare word or number.
    Inside(u32),
    /// Inside a text, so many brackets deep.
    Text(u32),
    /// Inside a text, behind a backslash.
    Escaped(u32),
    /// Between values, behind so many bytes of a byte order mark.
    Mark(usize),
    /// After a broken value, until a line starts with a bracket.
    Lost,
    /// After something that is no value, until a bracket or the end of the line.
    Stray,
}

/// What may stand between values, except for byte order marks.
fn is_separator(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | super::RECORD_SEPARATOR | 0)
}

#[expect(clippy::struct_excessive_bools, reason = "a scanner of bytes, whose facts are independent of each other")]
struct Splitter<'a> {
    object: &'a Arc<Object>,
    record_bytes_max: usize,
    /// What is not handed on yet.
    buffer: Vec<u8>,
    /// Bytes of it that were looked at.
    scanned: usize,
    state: State,
    line: u64,
    at_line_start: bool,
    /// The line of the list that is open, and how many of its items began.
    list: Option<(u64, usize)>,
    /// A line on which a value began, and how many.
    began: (u64, usize),
    /// No value goes over a line feed.
    within_lines: bool,
    /// Start and position of the value that is open.
    open: Option<(usize, Position)>,
    /// The value that is open is over the limit and thrown away.
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
            began: (0, 0),
            within_lines: false,
            open: None,
            oversize: false,
            records: Vec::new(),
            rejections: Vec::new(),
            first: true,
        }
    }

    fn scan(&mut self) {
        // Taken out, so that the steps below may change everything else.
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = self.scanned;
        while let Some(byte) = buffer.get(at).copied() {
            if let State::Text(depth) = self.state {
                // Most bytes stand in texts.
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
                        self.broken("a line ends inside a text");
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
            self.throw_away_oversize(at);
        }
        self.throw_away_oversize(at);
        self.scanned = at;
        self.buffer = buffer;
    }

    /// One byte that stands in no text.
    fn step(&mut self, byte: u8, at: usize) {
        if byte == b'\n' {
            self.line += 1;
        }
        match (self.state, byte) {
            (State::Lost, b'{' | b'[') if self.at_line_start => {
                self.state = State::Between;
                self.list = None;
                self.step_again(byte, at);
                return;
            }
            (State::Escaped(depth), b'\n') => {
                self.state = State::Text(depth);
                self.broken("a line ends inside a text");
            }
            (State::Stray, b'{' | b'[') => {
                self.state = State::Between;
                self.step_again(byte, at);
                return;
            }
            (State::Stray, b'\n') | (State::Mark(2), 0xbf) => self.state = State::Between,
            (State::Inside(depth), b'\n') if self.within_lines && depth > 0 => {
                self.line -= 1;
                self.broken("the line ends inside it");
                self.line += 1;
            }
            (State::Between, b'[') if self.list.is_none() && !self.within_lines => self.list = Some((self.line, 0)),
            (State::Between, b']') if self.list.is_some() => self.list = None,
            (State::Between, byte) if is_separator(byte) => {}
            (State::Between, 0xef) => self.state = State::Mark(1),
            (State::Mark(1), 0xbb) => self.state = State::Mark(2),
            (State::Mark(seen), _) => {
                self.begin(at.saturating_sub(seen));
                self.state = State::Inside(0);
                self.step_again(byte, at);
                return;
            }
            (State::Between, b']' | b'}' | b':') => {
                self.begin(at);
                self.stray("a bracket or a colon stands where a value should begin");
            }
            (State::Between, byte) => {
                self.begin(at);
                self.state = match byte {
                    b'{' | b'[' => State::Inside(1),
                    b'"' => State::Text(0),
                    _ => State::Inside(0),
                };
            }
            (State::Escaped(depth), _) | (State::Inside(depth), b'"') => self.state = State::Text(depth),
            // A word that a value follows.
            (State::Inside(0), b'{' | b'[') => {
                self.close(at);
                self.step_again(byte, at);
                return;
            }
            (State::Inside(depth), b'{' | b'[') => self.state = State::Inside(depth.saturating_add(1)),
            (State::Inside(0), b',' | b']' | b'}' | b'\n') => {
                self.close(at);
                // The byte belongs to what is around the word.
                if byte != b'\n' {
                    self.step_again(byte, at);
                    return;
                }
            }
            (State::Inside(1), b'}' | b']') => self.close(at + 1),
            (State::Inside(depth), b'}' | b']') => self.state = State::Inside(depth.saturating_sub(1)),
            (State::Inside(_) | State::Text(_) | State::Lost | State::Stray, _) => {}
        }
        self.at_line_start = byte == b'\n';
    }

    /// The same byte in another state; its line was counted.
    fn step_again(&mut self, byte: u8, at: usize) {
        self.line -= u64::from(byte == b'\n');
        self.step(byte, at);
    }

    fn begin(&mut self, at: usize) {
        let position = if let Some((line, items)) = &mut self.list {
            *items += 1;
            Position::Item(*line, *items)
        } else {
            let number = if self.began.0 == self.line { self.began.1 + 1 } else { 1 };
            self.began = (self.line, number);
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

    /// A value breaks off. Where values go over lines, only the start of a line tells where the next one begins.
    fn broken(&mut self, what: &str) {
        let (state, next) =
            if self.within_lines { (State::Between, "the next line") } else { (State::Lost, "the next line that starts with a bracket") };
        self.reject(what, next);
        self.state = state;
    }

    /// Something stands between values.
    fn stray(&mut self, what: &str) {
        self.reject(what, "the next bracket or line");
        self.state = State::Stray;
    }

    fn reject(&mut self, what: &str, next: &str) {
        let position = self.open.take().map_or(Position::Line(self.line), |(_, position)| position);
        if !std::mem::take(&mut self.oversize) {
            let what = format!("{what} (line {}); reading goes on at {next}", self.line);
            self.rejections.push(rejected(self.object, position, RejectionKind::MalformedJson, &what));
        }
    }

    /// Rejects a value as soon as it is over the limit; the rest of it is not kept.
    fn throw_away_oversize(&mut self, at: usize) {
        let Some((start, position)) = self.open else { return };
        if !self.oversize && at.saturating_sub(start) > self.record_bytes_max {
            self.oversize = true;
            self.rejections.push(rejected(self.object, position, RejectionKind::Oversize, &over(self.record_bytes_max)));
        }
    }

    /// The end of the object: what is open was cut.
    fn finish(&mut self) {
        match (self.state, self.open.take(), self.list) {
            (State::Inside(0), Some((start, position)), _) => self.records.push((position, start..self.buffer.len())),
            (_, Some((_, position)), _) if !self.oversize => {
                let what = "the object ends inside it; was the file cut?";
                self.rejections.push(rejected(self.object, position, RejectionKind::Truncated, what));
            }
            (State::Between, None, Some((line, items))) => {
                let what = format!("the object ends after {items} items of the list; was the file cut?");
                self.rejections.push(rejected(self.object, Position::Line(line), RejectionKind::Truncated, &what));
            }
            _ => {}
        }
        self.scanned = self.buffer.len();
        self.oversize = false;
    }

    /// Hands on what is complete and keeps the value that is open.
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
        emit(Ok(Chunk::Records(Records { object: Arc::clone(self.object), bytes: bytes.into(), ranges, first, binary: false })))
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
    fn items_of_a_list_and_values_over_lines_are_records() {
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
    fn values_one_behind_another_are_records_whatever_separates_them() {
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
    fn what_is_no_value_is_rejected_and_values_around_it_live() {
        let text = "{\"a\": 1}}{\"b\": 1}: nonsense {\"c\": 1}\nword{\"d\": 1}\u{feff}x\n";
        for step in [1, 1_000] {
            let (found, rejected) = split_all(text, step, 1_000);
            assert_eq!(found, ["L1 {\"a\": 1}", "L1.s3 {\"b\": 1}", "L1.s5 {\"c\": 1}", "L2 word", "L2.s2 {\"d\": 1}", "L2.s3 x"]);
            assert_eq!(rejected, ["a#L1.s2 malformed_json", "a#L1.s4 malformed_json"]);
        }
    }

    #[test]
    fn where_values_stay_within_lines_a_cut_one_costs_its_line() {
        let text = "{\"a\": {\n{\"b\": 1}{\"c\": \"cut\n [{\"d\": 1}]\n{\"e\": \"\\\n{\"f\": 1}";
        for step in [1, 1_000] {
            let (found, rejected) = collect(split_within_lines, text.as_bytes(), step, 1_000);
            assert_eq!(found, ["L2 {\"b\": 1}", "L3 [{\"d\": 1}]", "L5 {\"f\": 1}"]);
            assert_eq!(rejected, ["a#L1 malformed_json", "a#L2.s2 malformed_json", "a#L4 malformed_json"]);
        }
    }

    #[test]
    fn a_broken_list_costs_itself_and_its_neighbours_live() {
        let (found, rejected) = split_all("[{\"a\": \"cut\n[{\"b\": 1}]\n}\n{\"c\": 1}\n", 5, 1_000);
        assert_eq!(found, ["L2.s1 {\"b\": 1}", "L4 {\"c\": 1}"]);
        assert_eq!(rejected, ["a#L1.s1 malformed_json", "a#L3 malformed_json"]);
    }

    #[test]
    fn a_cut_document_says_so() {
        assert_eq!(split_all("[{\"a\": 1}, {\"b\": ", 100, 1_000), (vec!["L1.s1 {\"a\": 1}".into()], vec!["a#L1.s2 truncated".into()]));
        assert_eq!(split_all("[{\"a\": 1},", 100, 1_000), (vec!["L1.s1 {\"a\": 1}".into()], vec!["a#L1 truncated".into()]));
    }

    #[test]
    fn an_oversize_item_is_thrown_away_as_it_is_read() {
        let long = "y".repeat(CHUNK_BYTES * 3);
        let (found, rejected) = split_all(&format!("[{{\"a\": 1}}, {{\"b\": \"{long}\"}}, {{\"c\": 1}}]"), 60_000, 100);
        assert_eq!(found, ["L1.s1 {\"a\": 1}", "L1.s3 {\"c\": 1}"]);
        assert_eq!(rejected, ["a#L1.s2 oversize"]);
    }

    proptest! {
        #[test]
        fn every_item_comes_out_once_however_it_is_cut(texts in prop::collection::vec("[a-z\"\\\\{}\\[\\],\n]{0,20}", 0..20), step in 1usize..50) {
            let items: Vec<String> = texts.iter().map(|text| serde_json::json!({"t": text}).to_string()).collect();
            let (found, rejected) = split_all(&format!("[{}]", items.join(",\n")), step, 1_000);
            let expected: Vec<String> = items.iter().enumerate().map(|(index, item)| format!("L1.s{} {item}", index + 1)).collect();
            prop_assert_eq!(found, expected);
            prop_assert!(rejected.is_empty());
        }
    }
}
