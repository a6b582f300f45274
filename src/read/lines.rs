//! Splits a source into lines, chunk by chunk. A line over the size limit is discarded while it is read, so it is never in memory.

use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Chunk, Completion, Position, ReadOptions, Records, read_failed, read_more, rejected, too_long};
use crate::limits::CHUNK_BYTES;
use crate::model::{Outcome, Rejection, RejectionKind};
use crate::store::Object;

/// See [`super::Split`].
pub(super) fn split(
    source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    split_with(trim, source, object, options, shutdown, emit)
}

/// Splits into lines without removing anything but the line feed.
pub(super) fn split_untrimmed(
    source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    split_with(|_, line| line, source, object, options, shutdown, emit)
}

fn split_with(
    trim: fn(&[u8], Range<usize>) -> Range<usize>,
    mut source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    let mut splitter = Splitter {
        trim,
        object,
        record_bytes_max: options.record_bytes_max,
        buffer: Vec::with_capacity(CHUNK_BYTES),
        line: 1,
        discarding: false,
        first: true,
    };
    loop {
        if shutdown.is_cancelled() {
            return Completion::Incomplete;
        }
        match read_more(&mut splitter.buffer, &mut source) {
            Ok(0) => return Completion::complete_if(splitter.finish(emit)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                if splitter.flush(emit) && !shutdown.is_cancelled() {
                    emit(Err(read_failed(object, splitter.line, &error)));
                }
                return Completion::Incomplete;
            }
        }
        if splitter.buffer.len() >= CHUNK_BYTES && !splitter.flush(emit) {
            return Completion::Incomplete;
        }
    }
}

struct Splitter<'a> {
    /// Shortens the range of a line.
    trim: fn(&[u8], Range<usize>) -> Range<usize>,
    object: &'a Arc<Object>,
    record_bytes_max: usize,
    /// Lines that are not emitted yet. The last one may be incomplete.
    buffer: Vec<u8>,
    /// Line number of the start of `buffer`.
    line: u64,
    /// Inside a line over the size limit, whose rest is discarded.
    discarding: bool,
    first: bool,
}

impl Splitter<'_> {
    /// Emits all complete lines and keeps the rest. Discards the rest of an oversize line.
    fn flush(&mut self, emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        if self.discarding {
            let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
                self.buffer.clear();
                return true;
            };
            self.buffer.drain(..=end);
            self.discarding = false;
            self.line += 1;
        }
        let Some(end) = memchr::memrchr(b'\n', &self.buffer) else {
            if self.buffer.len() > self.record_bytes_max {
                if self.buffer.iter().all(|byte| *byte == 0) {
                    // Padding of a preallocated file.
                    self.buffer.clear();
                    return true;
                }
                self.buffer.clear();
                self.discarding = true;
                return emit(Err(self.oversize(self.line)));
            }
            return true;
        };
        let rest = self.buffer.split_off(end + 1);
        let mut next = Vec::with_capacity(CHUNK_BYTES.max(rest.len()));
        next.extend_from_slice(&rest);
        let complete = std::mem::replace(&mut self.buffer, next);
        self.emit_lines(complete, emit)
    }

    fn finish(&mut self, emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        if !self.flush(emit) {
            return false;
        }
        if self.discarding || self.buffer.is_empty() {
            return true;
        }
        let rest = std::mem::take(&mut self.buffer);
        self.emit_lines(rest, emit)
    }

    fn emit_lines(&mut self, bytes: Vec<u8>, emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        let mut lines = Vec::new();
        let mut oversize = Vec::new();
        let mut start = 0;
        let ends = memchr::memchr_iter(b'\n', &bytes).chain((bytes.last() != Some(&b'\n')).then_some(bytes.len()));
        for end in ends {
            let range = (self.trim)(&bytes, start..end);
            if range.len() > self.record_bytes_max {
                oversize.push(self.line);
            } else if !range.is_empty() {
                lines.push((Position::Line(self.line), range));
            }
            self.line += 1;
            start = end + 1;
        }
        let first = std::mem::replace(&mut self.first, false);
        oversize.into_iter().all(|line| emit(Err(self.oversize(line))))
            && (lines.is_empty()
                || emit(Ok(Chunk::Records(Records {
                    object: Arc::clone(self.object),
                    bytes: bytes.into(),
                    ranges: lines,
                    first,
                    binary: false,
                    is_log: false,
                }))))
    }

    fn oversize(&self, line: u64) -> Rejection {
        rejected(self.object, Position::Line(line), RejectionKind::Oversize, &too_long(self.record_bytes_max))
    }
}

/// Removes white space, commas of a list, zero padding, record separators and byte order marks around a record. A byte order mark may be in
/// the middle of a file if files were concatenated.
fn trim(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let mut line = bytes.get(range.clone()).unwrap_or_default();
    let mut start = range.start;
    loop {
        let rest = match line {
            [first, rest @ ..] if is_padding(*first) => rest,
            [0xef, 0xbb, 0xbf, rest @ ..] => rest,
            _ => break,
        };
        start += line.len() - rest.len();
        line = rest;
    }
    while let [rest @ .., last] = line
        && is_padding(*last)
    {
        line = rest;
    }
    start..start + line.len()
}

fn is_padding(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | super::RECORD_SEPARATOR | 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::read::tests::{Steps, object};

    /// Splits `bytes`, read in steps of `step`; returns the lines and the locations of oversize ones.
    fn split_all(bytes: &[u8], step: usize, record_bytes_max: usize) -> (Vec<(u64, Vec<u8>)>, Vec<String>) {
        let (mut lines, mut rejected) = (Vec::new(), Vec::new());
        split(
            Box::new(Steps(bytes.to_vec(), step)),
            &object(),
            &ReadOptions { record_bytes_max },
            &CancellationToken::new(),
            &mut |item| {
                match item {
                    Ok(Chunk::Records(records)) => lines.extend(records.iter().map(|(position, line)| match position {
                        Position::Line(number) => (number, line.to_vec()),
                        other => unreachable!("{other}"),
                    })),
                    Ok(_) => unreachable!(),
                    Err(rejection) => rejected.push(rejection.trace_ref),
                }
                true
            },
        );
        (lines, rejected)
    }

    #[test]
    fn an_oversize_line_is_rejected_and_other_lines_are_kept() {
        let long = "y".repeat(CHUNK_BYTES * 3);
        let text = format!("\u{feff}one\n{long}\r\n\n  four  \nfive");
        for step in [1, 7, 100_000] {
            let (lines, rejected) = split_all(text.as_bytes(), step.max(1_000), 1_000);
            let lines: Vec<_> = lines.iter().map(|(number, line)| (*number, std::str::from_utf8(line).unwrap())).collect();
            assert_eq!(lines, [(1, "one"), (4, "four"), (5, "five")]);
            assert_eq!(rejected, ["a#L2"]);
        }
    }

    #[test]
    fn padding_and_separators_around_a_record_are_removed() {
        let text = "\u{feff}{1}\n\u{feff}\u{feff} {2},\r\n\u{1e}{3}\n,{4}\n\0\0\n{5}\0\0\0";
        let (lines, rejected) = split_all(text.as_bytes(), 1_000, 1_000);
        let lines: Vec<_> = lines.iter().map(|(number, line)| (*number, std::str::from_utf8(line).unwrap())).collect();
        assert_eq!(lines, [(1, "{1}"), (2, "{2}"), (3, "{3}"), (4, "{4}"), (6, "{5}")]);
        assert!(rejected.is_empty());
        let padded = [b"{1}\n".to_vec(), vec![0; CHUNK_BYTES * 3]].concat();
        assert_eq!(split_all(&padded, 100_000, 1_000), (vec![(1, b"{1}".to_vec())], vec![]));
    }

    proptest! {
        #[test]
        fn every_line_is_emitted_once_independently_of_read_sizes(lines in prop::collection::vec("[a-z]{0,40}", 0..50), step in 1usize..90) {
            let text = lines.join("\n");
            let (found, rejected) = split_all(text.as_bytes(), step, 30);
            let expected: Vec<_> = (1u64..).zip(&lines).filter(|(_, line)| !line.is_empty() && line.len() <= 30)
                .map(|(number, line)| (number, line.clone().into_bytes())).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(rejected.len(), lines.iter().filter(|line| line.len() > 30).count());
        }
    }
}
