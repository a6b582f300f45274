//! Fixed-size hashes of keys, and hex encoding.

use sha2::{Digest, Sha256};

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// The first 16 bytes of the SHA-256 of a key: a trace id, a trace reference or a URI. Sets store it instead of the key, and keys are
/// partitioned by it.
pub fn key_hash(text: &str) -> u128 {
    Sha256::digest(text.as_bytes()).first_chunk::<16>().map_or(0, |head| u128::from_be_bytes(*head))
}
