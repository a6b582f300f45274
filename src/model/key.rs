//! Short keys for long texts, and hex.

use sha2::{Digest, Sha256};

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// 16 bytes of SHA-256 of a trace id, a reference or a URI: what sets of them hold instead of the text, and by which they are spread.
pub fn key_hash(text: &str) -> u128 {
    Sha256::digest(text.as_bytes()).first_chunk::<16>().map_or(0, |head| u128::from_be_bytes(*head))
}
