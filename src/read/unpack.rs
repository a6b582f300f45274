//! Packed and encoded bytes -> what is in them, layer by layer: gzip in gzip, UTF-16 in zstd, Parquet in either.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::content::Content;
use super::decompress::{self, Failed, Trailing};
use super::{begin_of, shape, text};
use crate::limits::ENCODING_LAYERS_MAX;

/// What is in an object.
pub(super) enum Unpacked {
    /// Records of some shape, of which the first bytes are also given.
    Records { head: Vec<u8>, source: Box<dyn Read + Send> },
    /// A Parquet file.
    Parquet(Box<dyn Read + Send>),
    /// Something that cannot be read: what it is, and what to do.
    Other { what: &'static str, hint: &'static str },
}

/// Takes off every layer around the records. `packed_bytes` counts what was read of the object, against which it may grow so far.
pub(super) fn unpacked(mut source: Box<dyn Read + Send>, name: &str, packed_bytes: &Arc<AtomicU64>, trailing: &Trailing) -> Unpacked {
    for _ in 0..=ENCODING_LAYERS_MAX {
        let (head, failure) = begin_of(&mut source, shape::HEAD_BYTES);
        let whole: Box<dyn Read + Send> = Box::new(io::Cursor::new(head.clone()).chain(Failed(failure)).chain(source));
        source = match Content::of(&head, name) {
            Content::Packed(_) => decompress::reader(whole, packed_bytes, trailing),
            Content::Utf16(endian) => Box::new(text::Utf16::new(whole, endian)),
            Content::Parquet => return Unpacked::Parquet(whole),
            Content::Other(what, hint) => return Unpacked::Other { what, hint },
            Content::Records if text::ends_lines_with_returns(&head) && !shape::Shape::of(&head).is_binary() => {
                let head = head.into_iter().map(|byte| if byte == b'\r' { b'\n' } else { byte }).collect();
                return Unpacked::Records { head, source: Box::new(text::LineFeeds(whole)) };
            }
            Content::Records => return Unpacked::Records { head, source: whole },
        };
    }
    Unpacked::Other { what: "compressed many times over", hint: "unpack it" }
}
