//! What an object is, told by its first bytes: packed, a table, something known that holds no traces, or text.

use super::decompress::Compression;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Packed(Compression),
    Parquet,
    Utf16(Endian),
    /// Something that cannot be read: what it is, and what to do.
    Other(&'static str, &'static str),
    /// JSON, CSV or binary messages, or nothing known.
    Records,
}

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

const UNPACK: &str = "unpack it and give what is in it";
const CONVERT: &str = "write it as JSON lines or Parquet";
const NO_TRACES: &str = "it holds no traces; leave it out";

/// First bytes of what is told from text, and what it is.
const OTHERS: [(&[u8], &str, &str); 30] = [
    (b"PK\x03\x04", "a zip archive", UNPACK),
    (b"PK\x05\x06", "an empty zip archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (b"!<arch>\n", "an ar archive", UNPACK),
    (b"\x02\x21\x4c\x18", "compressed with LZ4 in its legacy format", "compress it with lz4, gzip or zstd again"),
    (b"\x89LZO\0\r\n\x1a\n", "compressed with LZO", "compress it with gzip or zstd"),
    (b"\x5d\0\0", "compressed with LZMA in the format before xz", "compress it with xz, gzip or zstd"),
    (b"\x1f\x9d", "compressed with compress (.Z)", "compress it with gzip or zstd"),
    (b"\x78\x01", "compressed with zlib, without the header of gzip", "compress it with gzip or zstd"),
    (b"\x78\x9c", "compressed with zlib, without the header of gzip", "compress it with gzip or zstd"),
    (b"\x78\xda", "compressed with zlib, without the header of gzip", "compress it with gzip or zstd"),
    (b"Obj\x01", "an Avro file", CONVERT),
    (b"ORC", "an ORC file", CONVERT),
    (b"ARROW1", "an Arrow IPC file", CONVERT),
    (b"\xff\xff\xff\xff", "a stream of Arrow IPC", CONVERT),
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
    (b"SQLite format 3\0", "an SQLite database", "export its tables as JSON lines or CSV"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", CONVERT),
    (b"\xd0\xcf\x11\xe0", "a document of an office program", CONVERT),
    (b"\x80\x04\x95", "a Python pickle", CONVERT),
    (b"\x80\x05\x95", "a Python pickle", CONVERT),
    (b"%PDF-", "a PDF document", NO_TRACES),
    (b"\x89PNG", "a PNG image", NO_TRACES),
    (b"\xff\xd8\xff", "a JPEG image", NO_TRACES),
    (b"GIF8", "a GIF image", NO_TRACES),
    (b"\x7fELF", "a program", NO_TRACES),
    (b"\xff\xfe\0\0", "text in UTF-32", "write it as UTF-8"),
    (b"\0\0\xfe\xff", "text in UTF-32", "write it as UTF-8"),
    (b"version https://git-lfs.github.com/", "a pointer of Git LFS", "fetch the file itself with git lfs pull"),
];

/// First bytes with which a text may begin too: a header of columns.
const WORDS: [&[u8]; 4] = [b"ORC", b"ARROW1", b"PARE", b"GIF8"];

/// Whether it may be text, as far as the first bytes show.
fn is_text(head: &[u8]) -> bool {
    let head = head.get(..512).unwrap_or(head);
    !head.contains(&0) && std::str::from_utf8(head).err().is_none_or(|error| error.error_len().is_none())
}

impl Content {
    pub(super) fn of(head: &[u8], name: &str) -> Self {
        if let Some(compression) = Compression::of(head) {
            return Self::Packed(compression);
        }
        if head.starts_with(b"PAR1") {
            return Self::Parquet;
        }
        let is_other = |magic: &[u8]| head.starts_with(magic) && !(WORDS.contains(&magic) && is_text(head));
        if let Some((_, what, hint)) = OTHERS.iter().find(|(magic, _, _)| is_other(magic)) {
            return Self::Other(what, hint);
        }
        if head.get(257..262) == Some(b"ustar") {
            return Self::Other("a tar archive", UNPACK);
        }
        match head {
            [0xff, 0xfe, ..] | [b'{' | b'[', 0, _, 0, ..] => return Self::Utf16(Endian::Little),
            [0xfe, 0xff, ..] | [0, b'{' | b'[', 0, b'"' | b'{' | b' ' | b'\r' | b'\n', 0, ..] => return Self::Utf16(Endian::Big),
            _ => {}
        }
        // These say by no byte what they are.
        let lower = name.to_ascii_lowercase();
        let ends = |suffix: &str| lower.ends_with(suffix) && !is_text(head);
        if ends(".br") {
            return Self::Other("compressed with Brotli", "compress it with gzip or zstd");
        }
        if ends(".snappy") || ends(".sz") {
            return Self::Other("compressed with Snappy without frames", "write it with the framing format of Snappy, or gzip or zstd");
        }
        Self::Records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        let mut tar = vec![b'a'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        for (head, said) in [
            (&b"PK\x03\x04rest"[..], "a zip archive"),
            (&tar, "a tar archive"),
            (b"Obj\x01\x04", "an Avro file"),
            (b"SQLite format 3\0...", "an SQLite database"),
            (b"\x78\x9c\xab", "compressed with zlib, without the header of gzip"),
            (b"\xff\xfe\0\0{\0\0\0", "text in UTF-32"),
        ] {
            assert!(matches!(Content::of(head, "a.jsonl"), Content::Other(what, _) if what == said), "{said}");
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
        assert_eq!(Content::of(b"{\0\"\0a\0", "a"), Content::Utf16(Endian::Little));
        assert_eq!(Content::of(b"\0{\0\"\0a", "a"), Content::Utf16(Endian::Big));
        assert!(matches!(Content::of(b"\x8b\x02\x80{\xff}", "a.jsonl.br"), Content::Other("compressed with Brotli", _)));
    }
}
