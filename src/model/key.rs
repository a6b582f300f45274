//! A short key for a long text.

use sha2::{Digest, Sha256};

/// 16 bytes of SHA-256 of a trace id, a reference or a URI: what sets of them hold instead of the text, and by which they are spread.
pub fn text_key(text: &str) -> u128 {
    Sha256::digest(text.as_bytes()).first_chunk::<16>().map_or(0, |head| u128::from_be_bytes(*head))
}
