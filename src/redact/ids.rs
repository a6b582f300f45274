//! Recognizes generated ids, which need no redaction.

/// Whether an id is generated and contains no data: a hex id as in OTLP, a digest, a UUID, or a decimal number that is too long for
/// anything but a random number of 64 bits or more.
///
/// Numbers of up to sixteen digits are not opaque, because they may be payment cards or phone numbers.
pub(super) fn is_opaque(id: &str) -> bool {
    const NUMBER_DIGITS_MIN: usize = 17;
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte) || (b'A'..=b'F').contains(byte);
    let bytes = id.as_bytes();
    if bytes.iter().all(u8::is_ascii_digit) {
        return bytes.is_empty() || (NUMBER_DIGITS_MIN..=39).contains(&bytes.len());
    }
    let is_uuid = || {
        bytes.len() == 36
            && bytes.iter().enumerate().all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { *byte == b'-' } else { is_hex(byte) })
    };
    (matches!(bytes.len(), 16 | 32 | 40 | 64) && bytes.iter().all(is_hex)) || is_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_are_opaque() {
        for id in
            ["43993eadc22e5ed0f9a1cc2e01626425", "6f412e510c8b3906", "019ab0c8-1c2d-7e3f-8a9b-0c1d2e3f4a5b", "1795424023443017575", ""]
        {
            assert!(is_opaque(id), "{id}");
        }
        for id in ["4111111111111111", "4930901820", "run-7", "ada@example.com", "6f412e510c8b390", "DE89370400440532013000"] {
            assert!(!is_opaque(id), "{id}");
        }
    }
}
