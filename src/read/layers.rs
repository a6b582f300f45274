//! Removes the layers of compression and encoding around the records of an object, such as gzip in gzip, or UTF-16 in zstd.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::content::Content;
use super::decompress::{self, FailingSource, TrailingBytes};
use super::{encoding, framing, read_head};
use crate::limits::ENCODING_LAYERS_MAX;

/// The content of an object without its layers.
pub(super) enum Decoded {
    /// Records. `head` is a copy of the first bytes of `source`.
    Records { head: Vec<u8>, source: Box<dyn Read + Send> },
    /// A Parquet file.
    Parquet(Box<dyn Read + Send>),
    /// A zip archive.
    Zip(Box<dyn Read + Send>),
    /// An unsupported format, and a hint.
    Unsupported { content: &'static str, hint: &'static str },
}

/// Removes all layers. `compressed_bytes` is the number of bytes that were read of the object so far, which limits its decompressed size.
pub(super) fn decode_layers(
    mut source: Box<dyn Read + Send>,
    name: &str,
    compressed_bytes: &Arc<AtomicU64>,
    trailing: &TrailingBytes,
) -> Decoded {
    for _ in 0..=ENCODING_LAYERS_MAX {
        let (head, failure) = read_head(&mut source, framing::HEAD_BYTES);
        let whole: Box<dyn Read + Send> = Box::new(io::Cursor::new(head.clone()).chain(FailingSource(failure)).chain(source));
        source = match Content::of(&head, name) {
            Content::Compressed(_) => decompress::reader(whole, compressed_bytes, trailing),
            Content::Utf16(endian) => Box::new(encoding::Utf16::new(whole, endian)),
            Content::Parquet => return Decoded::Parquet(whole),
            Content::Zip => return Decoded::Zip(whole),
            Content::Unsupported(content, hint) => return Decoded::Unsupported { content, hint },
            Content::Records if encoding::has_cr_line_ends(&head) && !framing::Framing::of(&head).is_binary() => {
                let head = head.into_iter().map(|byte| if byte == b'\r' { b'\n' } else { byte }).collect();
                return Decoded::Records { head, source: Box::new(encoding::CrToLf(whole)) };
            }
            Content::Records => return Decoded::Records { head, source: whole },
        };
    }
    Decoded::Unsupported { content: "data that was compressed too many times", hint: "decompress it" }
}
