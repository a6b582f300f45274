//! Detects the content of an object by its first bytes: compressed data, a Parquet file, a zip archive, an unsupported format, or records.

use super::decompress::Compression;

/// The detected content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Compressed(Compression),
    Parquet,
    Zip,
    Utf16(Endian),
    /// An unsupported format: its name and a hint.
    Unsupported(&'static str, &'static str),
    /// JSON, CSV, binary messages, or unknown content.
    Records,
}

/// The byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

const UNPACK: &str = "unpack it and use its files as input";
const CONVERT: &str = "convert it to JSON Lines or Parquet";
const EXCLUDE: &str = "exclude it from the input";

/// Magic numbers of unsupported formats, with their names and hints.
const UNSUPPORTED: [(&[u8], &str, &str); 29] = [
    (b"PK\x05\x06", "an empty zip archive", EXCLUDE),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (b"!<arch>\n", "an ar archive", UNPACK),
    (b"\x02\x21\x4c\x18", "LZ4 data in the legacy format", "compress it again with lz4, gzip or zstd"),
    (b"\x89LZO\0\r\n\x1a\n", "LZO data", "compress it with gzip or zstd"),
    (b"\x5d\0\0", "LZMA data in the format before xz", "compress it with xz, gzip or zstd"),
    (b"\x1f\x9d", "compress (.Z) data", "compress it with gzip or zstd"),
    (b"\x78\x01", "zlib data without a gzip header", "compress it with gzip or zstd"),
    (b"\x78\x9c", "zlib data without a gzip header", "compress it with gzip or zstd"),
    (b"\x78\xda", "zlib data without a gzip header", "compress it with gzip or zstd"),
    (b"Obj\x01", "an Avro file", CONVERT),
    (b"ORC", "an ORC file", CONVERT),
    (b"ARROW1", "an Arrow IPC file", CONVERT),
    (b"\xff\xff\xff\xff", "an Arrow IPC stream", CONVERT),
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
    (b"SQLite format 3\0", "an SQLite database", "export its tables as JSON Lines or CSV"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", CONVERT),
    (b"\xd0\xcf\x11\xe0", "an Office document", CONVERT),
    (b"\x80\x04\x95", "a Python pickle", CONVERT),
    (b"\x80\x05\x95", "a Python pickle", CONVERT),
    (b"%PDF-", "a PDF document", EXCLUDE),
    (b"\x89PNG", "a PNG image", EXCLUDE),
    (b"\xff\xd8\xff", "a JPEG image", EXCLUDE),
    (b"GIF8", "a GIF image", EXCLUDE),
    (b"\x7fELF", "an executable", EXCLUDE),
    (b"\xff\xfe\0\0", "text in UTF-32", "write it as UTF-8"),
    (b"\0\0\xfe\xff", "text in UTF-32", "write it as UTF-8"),
    (b"version https://git-lfs.github.com/", "a Git LFS pointer", "run git lfs pull to get the file itself"),
];

/// Magic numbers that may also be the start of a text, such as a CSV header.
const TEXT_LIKE: [&[u8]; 4] = [b"ORC", b"ARROW1", b"PARE", b"GIF8"];

/// Whether the first bytes may be text.
fn is_text(head: &[u8]) -> bool {
    let head = head.get(..512).unwrap_or(head);
    !head.contains(&0) && std::str::from_utf8(head).err().is_none_or(|error| error.error_len().is_none())
}

impl Content {
    pub(super) fn of(head: &[u8], name: &str) -> Self {
        if let Some(compression) = Compression::of(head) {
            return Self::Compressed(compression);
        }
        if head.starts_with(b"PAR1") {
            return Self::Parquet;
        }
        if head.starts_with(b"PK\x03\x04") {
            return Self::Zip;
        }
        let is_match = |magic: &[u8]| head.starts_with(magic) && !(TEXT_LIKE.contains(&magic) && is_text(head));
        if let Some((_, name, hint)) = UNSUPPORTED.iter().find(|(magic, _, _)| is_match(magic)) {
            return Self::Unsupported(name, hint);
        }
        if head.get(257..262) == Some(b"ustar") {
            return Self::Unsupported("a tar archive", UNPACK);
        }
        match head {
            [0xff, 0xfe, ..] | [b'{' | b'[', 0, _, 0, ..] => return Self::Utf16(Endian::Little),
            [0xfe, 0xff, ..] | [0, b'{' | b'[', 0, b'"' | b'{' | b' ' | b'\r' | b'\n', 0, ..] => return Self::Utf16(Endian::Big),
            _ => {}
        }
        // These formats have no magic number.
        let lower = name.to_ascii_lowercase();
        let has_suffix = |suffix: &str| lower.ends_with(suffix) && !is_text(head);
        if has_suffix(".br") {
            return Self::Unsupported("Brotli data", "compress it with gzip or zstd");
        }
        if has_suffix(".snappy") || has_suffix(".sz") {
            return Self::Unsupported("unframed Snappy data", "use the Snappy framing format, gzip or zstd");
        }
        Self::Records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_detected_by_its_first_bytes() {
        let mut tar = vec![b'a'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        for (head, expected) in [
            (&tar[..], "a tar archive"),
            (b"Obj\x01\x04", "an Avro file"),
            (b"SQLite format 3\0...", "an SQLite database"),
            (b"\x78\x9c\xab", "zlib data without a gzip header"),
            (b"\xff\xfe\0\0{\0\0\0", "text in UTF-32"),
        ] {
            assert!(matches!(Content::of(head, "a.jsonl"), Content::Unsupported(name, _) if name == expected), "{expected}");
        }
        for head in [
            &b"{\"a\": 1}"[..],
            b"x^2 is text",
            b"",
            b"\0\0\x4b\xbd\x0a\xb9\x97\x01",
            b"\0\0\0\x7b{\"a\"",
            b"BZh what",
            b"ORC_ID,PARENT,x\n",
        ] {
            assert_eq!(Content::of(head, "a.jsonl"), Content::Records, "{head:?}");
        }
        assert_eq!(Content::of(b"PK\x03\x04rest", "a.eval"), Content::Zip);
        assert_eq!(Content::of(b"{\0\"\0a\0", "a"), Content::Utf16(Endian::Little));
        assert_eq!(Content::of(b"\0{\0\"\0a", "a"), Content::Utf16(Endian::Big));
        assert!(matches!(Content::of(b"\x8b\x02\x80{\xff}", "a.jsonl.br"), Content::Unsupported("Brotli data", _)));
    }
}
