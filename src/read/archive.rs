//! Reads the entries of a zip archive like objects of their own, with the URI `ARCHIVE!/NAME`.
//!
//! The index is at the end of an archive, so the archive is copied to an unnamed temporary file. Only entries whose names may be those of trace files are
//! read; the others are skipped. Entries are stored, or compressed with deflate or zstd.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use zip::{CompressionMethod, ZipArchive};

use super::decompress::GrowthLimit;
use super::{Chunk, Completion, Emit, ReadTask, read_failed, split_object, spool, unsupported};
use crate::limits::{ARCHIVE_ENTRIES_MAX, ARCHIVES_NESTED_MAX, ZSTD_WINDOW_LOG_MAX};
use crate::model::{Rejection, RejectionKind, Stage, escape_to_one_line};
use crate::store::Object;

/// Extensions of trace files, of compressed files, and of archives with trace files.
const TRACE_EXTENSIONS: [&str; 19] = [
    "bin", "bz2", "csv", "eval", "gz", "json", "jsonl", "log", "lz4", "ndjson", "parquet", "pb", "snappy", "traj", "txt", "xz", "zip",
    "zst", "zstd",
];

/// Splits the entries of an archive into records.
pub(super) fn split(task: &ReadTask, source: Box<dyn Read + Send>, emit: Emit<'_>) -> Completion {
    let ReadTask { object, shutdown, .. } = task;
    if object.archive_depth() >= ARCHIVES_NESTED_MAX {
        return Completion::complete_if(emit(Err(unsupported(object, "an archive in an archive in an archive", "unpack it"))));
    }
    let archive = match spool(source) {
        Ok(archive) => Arc::new(archive),
        Err(error) => {
            if !shutdown.is_cancelled() {
                emit(Err(read_failed(object, 1, &error)));
            }
            return Completion::Incomplete;
        }
    };
    let (entries, bytes) = match index(&archive) {
        Ok(index) => index,
        Err(reason) => {
            emit(Err(corrupt(object, &reason)));
            return Completion::Incomplete;
        }
    };
    if !entries.iter().any(Entry::may_have_traces) {
        return Completion::complete_if(emit(Err(unsupported(object, "a zip archive without trace files", "exclude it from the input"))));
    }
    let totals = Totals { archive_bytes: Arc::new(AtomicU64::new(bytes)), decompressed_bytes: Arc::default() };
    let mut completion = Completion::Complete;
    for entry in entries {
        if shutdown.is_cancelled() {
            return Completion::Incomplete;
        }
        let entry_object = Arc::new(object.entry(&entry.name));
        if !entry.may_have_traces() {
            if !emit(Ok(Chunk::Skipped(entry_object))) {
                return Completion::Incomplete;
            }
        } else if split_entry(task, &entry, entry_object, &archive, &totals, emit) == Completion::Incomplete {
            completion = Completion::Incomplete;
        }
    }
    completion
}

/// An entry of an archive.
struct Entry {
    name: String,
    method: CompressionMethod,
    is_encrypted: bool,
    start: u64,
    bytes: u64,
    crc: u32,
}

impl Entry {
    fn may_have_traces(&self) -> bool {
        let name = self.name.rsplit('/').next().unwrap_or_default();
        // What macOS adds to an archive.
        let is_hidden = name.starts_with('.') || self.name.starts_with("__MACOSX/");
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        !is_hidden && extension.is_some_and(|extension| TRACE_EXTENSIONS.contains(&extension.as_str()))
    }
}

/// Sizes over all entries, which bound a decompression bomb.
struct Totals {
    archive_bytes: Arc<AtomicU64>,
    decompressed_bytes: Arc<AtomicU64>,
}

/// The entries of an archive, and its size in bytes.
fn index(archive: &Arc<File>) -> Result<(Vec<Entry>, u64), String> {
    let bytes = archive.metadata().map_err(|error| crate::messages::io_cause(&error))?.len();
    let mut index = ZipArchive::new(io::BufReader::new(Section { file: Arc::clone(archive), at: 0, start: 0, end: bytes }))
        .map_err(|_| "the archive is truncated or corrupt\n  hint: copy the file again".to_owned())?;
    if index.len() > ARCHIVE_ENTRIES_MAX {
        return Err(format!("the archive has {} entries, more than the limit of {ARCHIVE_ENTRIES_MAX}\n  hint: unpack it", index.len()));
    }
    let mut entries = Vec::new();
    for number in 0..index.len() {
        let Ok(entry) = index.by_index_raw(number) else { return Err("its index is corrupt\n  hint: copy the file again".to_owned()) };
        if entry.is_dir() {
            continue;
        }
        entries.push(Entry {
            // A name may contain line feeds, which would break the lines of messages.
            name: escape_to_one_line(entry.name()),
            method: entry.compression(),
            is_encrypted: entry.encrypted(),
            start: entry.data_start().unwrap_or_default(),
            bytes: entry.compressed_size(),
            crc: entry.crc32(),
        });
    }
    Ok((entries, bytes))
}

/// Splits one entry into records.
fn split_entry(task: &ReadTask, entry: &Entry, object: Arc<Object>, archive: &Arc<File>, totals: &Totals, emit: Emit<'_>) -> Completion {
    let compressed =
        Section { file: Arc::clone(archive), at: entry.start, start: entry.start, end: entry.start.saturating_add(entry.bytes) };
    let content: Box<dyn Read + Send> = match entry.method {
        _ if entry.is_encrypted => {
            return Completion::complete_if(emit(Err(unsupported(&object, "an encrypted archive entry", "decrypt it"))));
        }
        CompressionMethod::STORE => Box::new(compressed),
        CompressionMethod::DEFLATE => Box::new(flate2::read::DeflateDecoder::new(compressed)),
        CompressionMethod::ZSTD => match zstd_decoder(compressed) {
            Ok(decoder) => decoder,
            Err(error) => {
                emit(Err(read_failed(&object, 1, &error)));
                return Completion::Incomplete;
            }
        },
        _ => return Completion::complete_if(emit(Err(unsupported(&object, "an unusual compression in an archive", "unpack the archive")))),
    };
    let checked = Checked { source: content, sum: flate2::Crc::new(), expected: entry.crc };
    let limited = GrowthLimit::new(checked, &totals.archive_bytes, &totals.decompressed_bytes);
    let entry_task = ReadTask {
        object,
        options: task.options.clone(),
        counts: Arc::clone(&task.counts),
        shutdown: task.shutdown.clone(),
        is_complete: Arc::new(AtomicBool::new(false)),
    };
    entry_task.counts.add_opened(&entry_task.object);
    let mut is_empty = true;
    let completion = split_object(&entry_task, Box::new(limited), &totals.archive_bytes, &mut |item| {
        is_empty = false;
        emit(item)
    });
    if completion == Completion::Complete {
        entry_task.counts.add_completed(&entry_task.object);
        if is_empty && !emit(Ok(Chunk::Skipped(entry_task.object))) {
            return Completion::Incomplete;
        }
    }
    completion
}

fn zstd_decoder(source: Section) -> io::Result<Box<dyn Read + Send>> {
    let mut decoder = zstd::stream::read::Decoder::new(source)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(Box::new(decoder))
}

/// The rejection of an archive whose index cannot be read.
fn corrupt(object: &Object, cause: &str) -> Rejection {
    let reason = format!("cannot read {}: {cause}", object.uri);
    Rejection::at_location(&object.uri, &object.uri, Stage::Read, RejectionKind::CorruptCompression, reason)
}

/// A range of a file, which shares no position with other readers of the file.
struct Section {
    file: Arc<File>,
    start: u64,
    at: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let remaining = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = remaining.min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..length).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl io::Seek for Section {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let at = match to {
            io::SeekFrom::Start(at) => self.start.checked_add(at),
            io::SeekFrom::End(offset) => self.end.checked_add_signed(offset),
            io::SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.filter(|at| *at >= self.start).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at - self.start)
    }
}

/// Compares the checksum of an entry with that in the index.
struct Checked {
    source: Box<dyn Read + Send>,
    sum: flate2::Crc,
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.sum.update(buffer.get(..read).unwrap_or_default());
        if read == 0 && !buffer.is_empty() && self.sum.sum() != self.expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of the entry is wrong"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::read::ReadOptions;
    use crate::read::decompress::tests::gzip;
    use crate::read::tests::object;

    const STORED: u16 = 0;
    const DEFLATED: u16 = 8;
    const LZMA: u16 = 14;
    const ZSTD: u16 = 93;

    fn compress(method: u16, content: &[u8]) -> Vec<u8> {
        match method {
            DEFLATED => {
                let mut compressed = Vec::new();
                flate2::read::DeflateEncoder::new(content, flate2::Compression::fast()).read_to_end(&mut compressed).unwrap();
                compressed
            }
            ZSTD => zstd::encode_all(content, 1).unwrap(),
            _ => content.to_vec(),
        }
    }

    /// A zip archive. The header of an entry in the index has the same fields as the one before its content.
    fn archive(entries: &[(&str, u16, &[u8])]) -> Vec<u8> {
        let (mut file, mut index) = (Vec::new(), Vec::new());
        for (name, method, content) in entries {
            let compressed = compress(*method, content);
            let mut sum = flate2::Crc::new();
            sum.update(content);
            let length = |bytes: usize| u32::try_from(bytes).unwrap().to_le_bytes();
            let name_length = u16::try_from(name.len()).unwrap().to_le_bytes();
            let fields = [
                &20_u16.to_le_bytes()[..],
                &[0, 0],
                &method.to_le_bytes(),
                &[0; 4],
                &sum.sum().to_le_bytes(),
                &length(compressed.len()),
                &length(content.len()),
                &name_length,
                &[0, 0],
            ]
            .concat();
            let start = length(file.len());
            file.extend([b"PK\x03\x04", &fields[..], name.as_bytes(), &compressed].concat());
            index.extend([b"PK\x01\x02", &20_u16.to_le_bytes()[..], &fields, &[0; 10], &start, name.as_bytes()].concat());
        }
        let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
        let (start, length) = (u32::try_from(file.len()).unwrap(), u32::try_from(index.len()).unwrap());
        file.extend(index);
        file.extend([b"PK\x05\x06", &[0; 4][..], &count, &count, &length.to_le_bytes(), &start.to_le_bytes(), &[0, 0]].concat());
        file
    }

    /// Splits an archive; returns its records, skipped entries and rejections, each with its location.
    fn split_all(bytes: Vec<u8>) -> (Vec<String>, Completion) {
        let task = ReadTask {
            object: object(),
            options: ReadOptions { record_bytes_max: 10_000 },
            counts: Arc::default(),
            shutdown: CancellationToken::new(),
            is_complete: Arc::default(),
        };
        let mut found = Vec::new();
        let completion = split_object(&task, Box::new(io::Cursor::new(bytes)), &Arc::new(AtomicU64::new(1)), &mut |item| {
            match item {
                Ok(Chunk::Records(records)) => found
                    .extend(records.iter().map(|(at, record)| format!("{}#{at} {}", records.object.uri, String::from_utf8_lossy(record)))),
                Ok(Chunk::Skipped(object)) => found.push(format!("{} skipped", object.uri)),
                Ok(Chunk::Rows(_)) => unreachable!(),
                Err(rejection) => found.push(format!("{} {}", rejection.trace_ref, rejection.kind.as_str())),
            }
            true
        });
        (found, completion)
    }

    #[test]
    fn each_entry_is_read_like_an_object() {
        let line = b"{\"a\": 1}\n{\"b\": 2}\n";
        let inner = archive(&[("deep.json", DEFLATED, b"{\"c\": 3}")]);
        let bytes = archive(&[
            ("one.jsonl", STORED, line),
            ("fol\n\x1bder/two.json", DEFLATED, b"{\"a\": 1}"),
            ("three.json", ZSTD, b"{\"a\": 1}"),
            ("four.json.gz", STORED, &gzip(b"{\"a\": 1}")),
            ("weights.safetensors", STORED, b"binary"),
            ("__MACOSX/._one.jsonl", STORED, b"binary"),
            ("empty.json", STORED, b""),
            ("rare.json", LZMA, b"{}"),
            ("log.eval", DEFLATED, &inner),
        ]);
        let (found, completion) = split_all(bytes);
        assert_eq!(
            found,
            [
                "a!/one.jsonl#L1 {\"a\": 1}",
                "a!/one.jsonl#L2 {\"b\": 2}",
                "a!/fol \\u{1b}der/two.json#L1 {\"a\": 1}",
                "a!/three.json#L1 {\"a\": 1}",
                "a!/four.json.gz#L1 {\"a\": 1}",
                "a!/weights.safetensors skipped",
                "a!/__MACOSX/._one.jsonl skipped",
                "a!/empty.json skipped",
                "a!/rare.json unrecognised_format",
                "a!/log.eval!/deep.json#L1 {\"c\": 3}",
            ]
        );
        assert_eq!(completion, Completion::Complete);
    }

    #[test]
    fn archives_nested_too_deep_and_those_without_trace_files_are_rejected() {
        let mut bytes = archive(&[("a.json", STORED, b"{}")]);
        for _ in 0..2 {
            bytes = archive(&[("inner.zip", STORED, &bytes)]);
        }
        assert_eq!(split_all(bytes).0, ["a!/inner.zip!/inner.zip unrecognised_format"]);
        assert_eq!(split_all(archive(&[("[Content_Types].xml", STORED, b"<x/>")])).0, ["a unrecognised_format"]);
    }

    #[test]
    fn damaged_archives_are_rejected_and_their_other_entries_read() {
        let mut bytes = archive(&[("a.json", DEFLATED, b"{\"a\": 1}"), ("b.json", STORED, b"{\"b\": 2}")]);
        let at = bytes.windows(8).position(|window| window == b"{\"b\": 2}").unwrap();
        bytes[at + 6] = b'9';
        let (found, completion) = split_all(bytes.clone());
        assert_eq!((found[0].as_str(), found.last().unwrap().as_str()), ("a!/a.json#L1 {\"a\": 1}", "a!/b.json#L1 corrupt_compression"));
        assert_eq!(completion, Completion::Incomplete);
        bytes.truncate(bytes.len() - 30);
        assert_eq!(split_all(bytes).0, ["a corrupt_compression"]);
    }

    #[test]
    fn a_bomb_of_many_entries_is_stopped() {
        let zeros = vec![b' '; 40 * 1024 * 1024];
        let names = ["a.json", "b.json", "c.json", "d.json", "e.json", "f.json", "g.json", "h.json"];
        let entries: Vec<_> = names.iter().map(|name| (*name, ZSTD, zeros.as_slice())).collect();
        let (found, completion) = split_all(archive(&entries));
        assert!(found.iter().any(|item| item.ends_with("corrupt_compression")), "{found:?}");
        assert_eq!(completion, Completion::Incomplete);
    }
}
