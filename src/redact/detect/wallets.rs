//! Finds addresses and keys of cryptocurrencies: by a checksum where there is one, by prefix and length otherwise, and seed phrases.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::Match;
use super::text::Text;

/// The longest address: a Cardano address with two keys, or an extended key.
const WALLET_BYTES_MAX: usize = 128;

/// A wallet address or a private key at `range`, a word of letters and digits.
pub(super) fn wallet(text: Text<'_>, range: Range<usize>) -> Option<Match> {
    let word = text.slice(range.clone());
    let found = |kind: &'static str, detector: &'static str| Some(Match { range: range.clone(), kind, detector });
    let bytes = word.as_bytes();
    let first = *bytes.first()?;
    if word.starts_with("0x") && word.len() == 42 && bytes.iter().skip(2).all(u8::is_ascii_hexdigit) {
        return found("crypto_wallet", "20-byte hex address");
    }
    if word.len() > WALLET_BYTES_MAX || word.len() < 26 {
        return None;
    }
    let (lower, upper, digit) =
        (bytes.iter().any(u8::is_ascii_lowercase), bytes.iter().any(u8::is_ascii_uppercase), bytes.iter().any(u8::is_ascii_digit));
    // Bitcoin addresses have a distinctive form and match even if their checksum is wrong, because a mistyped address still identifies a
    // person. Other currencies need a valid checksum, if they have one.
    if (bytes.starts_with(b"bc1q") || bytes.starts_with(b"bc1p")) && (39..=74).contains(&word.len()) && !upper {
        return found("crypto_wallet", "shape");
    }
    if lower != upper && word.contains('1') && is_bech32(word) {
        // `nsec1…` and `AGE-SECRET-KEY-1…` are private keys.
        let is_secret = word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("nsec"));
        return found(if is_secret { "crypto_key" } else { "crypto_wallet" }, "Bech32 checksum");
    }
    if lower && !upper {
        // Filecoin, and Bitcoin Cash after its prefix.
        let is_filecoin = word.len() == 41 && word.starts_with("f1") && bytes.iter().skip(2).all(|byte| is_base32_lower(*byte));
        let is_cash = word.len() == 42
            && matches!(first, b'q' | b'p')
            && text.slice(range.start.saturating_sub(12)..range.start) == "bitcoincash:"
            && bytes.iter().all(|byte| BECH32.contains(byte));
        return if is_filecoin || is_cash { found("crypto_wallet", "shape") } else { None };
    }
    if upper && !lower {
        let is_base32 = bytes.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7'));
        if word.len() == 56 && matches!(first, b'G' | b'S' | b'M') && is_base32 && is_stellar(word) {
            return found(if first == b'S' { "crypto_key" } else { "crypto_wallet" }, "Stellar checksum");
        }
        return None;
    }
    if !(lower && upper && digit) {
        return None;
    }
    if let Some(found) = open_network(text, range.clone()) {
        return Some(found);
    }
    if word.contains(['0', 'O', 'I', 'l']) {
        return None;
    }
    if matches!(first, b'1' | b'3') && (32..=35).contains(&word.len()) {
        return found("crypto_wallet", "shape");
    }
    match word.len() {
        // Bitcoin and its descendants, Tron, XRP, Tezos, Zcash.
        26..=36 if is_base58_check(word) => found("crypto_wallet", "Base58Check"),
        // Private keys, and those that are protected by a password.
        51 | 52 | 58 if is_base58_check(word) => found("crypto_key", "Base58Check"),
        // Extended keys.
        107..=112 if is_base58_check(word) => {
            let is_public = word.get(1..4) == Some("pub");
            found(if is_public { "crypto_wallet" } else { "crypto_key" }, "Base58Check")
        }
        // Cardano before 2020.
        59 | 104 if word.starts_with("Ae2") || word.starts_with("DdzFF") => found("crypto_wallet", "shape"),
        // Monero, with a payment id or without.
        95 | 106 if matches!(first, b'4' | b'8') => found("crypto_wallet", "shape"),
        // Polkadot (0), Kusama (2) and other chains of Substrate (42): prefix, key and checksum.
        46..=48 => {
            let decoded = decode_base58(word, BITCOIN)?;
            (decoded.len() == 35 && matches!(decoded.first(), Some(0 | 2 | 42))).then(|| found("crypto_wallet", "shape"))?
        }
        // Solana has no checksum.
        43 | 44 | 87 | 88 => {
            let len = decode_base58(word, BITCOIN)?.len();
            let kind = if len == 64 { "crypto_key" } else { "crypto_wallet" };
            (matches!(len, 32 | 64) && is_after_wallet_word(text, range.start)).then(|| found(kind, "shape"))?
        }
        _ => None,
    }
}

/// The wallet in a path whose first part ends at `start`: `address/0x…`.
pub(super) fn in_path(text: Text<'_>, start: usize, end: usize) -> Option<Match> {
    const PARTS_MAX: usize = 8;
    let mut at = start;
    for _ in 0..PARTS_MAX {
        if at >= end || text.byte_at(at) != b'/' {
            return None;
        }
        let part_end = text.skip_while(at + 1, WALLET_BYTES_MAX, |byte| byte.is_ascii_alphanumeric());
        if text.is_word_end(part_end)
            && text.byte_at(part_end) != b'/'
            && let Some(found) = wallet(text, at + 1..part_end)
        {
            return Some(found);
        }
        at = part_end;
    }
    None
}

/// An address of The Open Network: base64url of tag, workchain, hash and CRC-16.
fn open_network(text: Text<'_>, range: Range<usize>) -> Option<Match> {
    if !matches!(text.slice(range.start..range.start + 2), "EQ" | "UQ" | "kQ" | "0Q") {
        return None;
    }
    let end = text.skip_while(range.start, 49, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let bytes = URL_SAFE_NO_PAD.decode(text.slice(range.start..end)).ok()?;
    let (body, check) = bytes.split_at_checked(34)?;
    (end - range.start == 48 && crc_16(body).to_be_bytes() == check).then_some(Match {
        range: range.start..end,
        kind: "crypto_wallet",
        detector: "CRC-16",
    })
}

/// Whether a word for a wallet is shortly before `start`.
fn is_after_wallet_word(text: Text<'_>, start: usize) -> bool {
    const WORDS: [&str; 12] =
        ["solana", "wallet", "pubkey", "public key", "phantom", "mint", "lamports", "sol ", "btc", "crypto", "usdc", "/address/"];
    let from = text.0.floor_char_boundary(start.saturating_sub(40));
    let left = text.slice(from..start).to_ascii_lowercase();
    WORDS.iter().any(|word| left.contains(word))
}

/// The words of BIP-39.
static SEED_WORDS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("lexicon/bip39_english.txt").lines().filter(|line| !line.starts_with('#')).collect());

/// The shortest and longest seed phrases, in words.
const PHRASE_WORDS_MIN: usize = 12;
const PHRASE_WORDS_MAX: usize = 24;

/// The seed phrase around the word at `start`. Words in alphabetical order are the list itself.
pub(super) fn seed_phrase(text: Text<'_>, start: usize) -> Option<Match> {
    let word_at = |at: usize| {
        let word = text.slice(at..text.skip_while(at, 9, |byte| byte.is_ascii_lowercase()));
        SEED_WORDS.contains(word).then_some(word)
    };
    let is_separator = |byte: u8| matches!(byte, b' ' | b'\n' | b',' | b'\t');
    let mut words = vec![word_at(start)?];
    let mut from = start;
    while words.len() < PHRASE_WORDS_MAX {
        let left = text.skip_back_while(from, 2, is_separator);
        let before = text.skip_back_while(left, 9, |byte| byte.is_ascii_lowercase());
        match word_at(before) {
            Some(word) if left < from && before + word.len() == left && text.is_word_start(before) => words.push(word),
            _ => break,
        }
        from = before;
    }
    let mut end = start + words.first()?.len();
    words.reverse();
    while words.len() < PHRASE_WORDS_MAX {
        let next = text.skip_while(end, 2, is_separator);
        let Some(word) = word_at(next).filter(|word| next > end && text.is_word_end(next + word.len())) else { break };
        words.push(word);
        end = next + word.len();
    }
    let is_phrase = words.len() >= PHRASE_WORDS_MIN && !words.is_sorted() && text.is_word_end(end);
    is_phrase.then_some(Match { range: from..end, kind: "crypto_key", detector: "words of BIP-39" })
}

fn is_base32_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || matches!(byte, b'2'..=b'7')
}

/// Whether the last two bytes of a Stellar key in base32 are the CRC-16 of the others.
fn is_stellar(word: &str) -> bool {
    let (mut bytes, mut bits, mut buffer) = (Vec::with_capacity(35), 0, 0u32);
    for byte in word.bytes() {
        let value = if byte.is_ascii_digit() { u32::from(byte - b'2') + 26 } else { u32::from(byte.wrapping_sub(b'A')) };
        buffer = (buffer << 5 | value) & 0xffff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).unwrap_or(0));
        }
    }
    let Some((body, check)) = bytes.split_at_checked(33) else { return false };
    crc_16(body).to_le_bytes() == check
}

/// CRC-16/XMODEM.
fn crc_16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |check, byte| {
        (0..8).fold(check ^ (u16::from(*byte) << 8), |check, _| if check & 0x8000 == 0 { check << 1 } else { check << 1 ^ 0x1021 })
    })
}

const BITCOIN: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const RIPPLE: &[u8] = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz";
const BECH32: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// The bytes of a base58 number.
fn decode_base58(word: &str, alphabet: &[u8]) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(WALLET_BYTES_MAX);
    for c in word.bytes() {
        let mut carry = alphabet.iter().position(|letter| *letter == c)?;
        // From the last byte of the number to the first.
        for byte in &mut bytes {
            carry += usize::from(*byte) * 58;
            *byte = u8::try_from(carry & 0xff).unwrap_or(0);
            carry >>= 8;
        }
        while carry > 0 {
            bytes.push(u8::try_from(carry & 0xff).unwrap_or(0));
            carry >>= 8;
        }
    }
    let zero = alphabet.first().copied()?;
    bytes.extend(word.bytes().take_while(|c| *c == zero).map(|_| 0));
    bytes.reverse();
    Some(bytes)
}

/// Whether the last four bytes are the start of the double SHA-256 of the rest.
fn is_base58_check(word: &str) -> bool {
    let alphabet = if word.starts_with('r') { RIPPLE } else { BITCOIN };
    let Some(bytes) = decode_base58(word, alphabet) else { return false };
    let Some((body, check)) = bytes.len().checked_sub(4).and_then(|split| bytes.split_at_checked(split)) else { return false };
    !body.is_empty() && Sha256::digest(Sha256::digest(body)).starts_with(check)
}

/// Whether the Bech32 checksum (BIP 173 and 350) is valid.
fn is_bech32(word: &str) -> bool {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let lower = word.to_ascii_lowercase();
    let Some((human, data)) = lower.rsplit_once('1') else { return false };
    if !(14..=WALLET_BYTES_MAX).contains(&word.len()) || data.len() < 6 {
        return false;
    }
    let mut check = 1u32;
    let mut add = |value: u32| {
        let top = check >> 25;
        check = ((check & 0x01ff_ffff) << 5) ^ value;
        for (bit, generator) in GENERATOR.iter().enumerate() {
            if (top >> bit) & 1 == 1 {
                check ^= generator;
            }
        }
    };
    human.bytes().for_each(|byte| add(u32::from(byte) >> 5));
    add(0);
    human.bytes().for_each(|byte| add(u32::from(byte) & 31));
    for c in data.bytes() {
        let Some(value) = BECH32.iter().position(|letter| *letter == c) else { return false };
        add(u32::try_from(value).unwrap_or(0));
    }
    matches!(check, 1 | 0x2bc8_30a3)
}

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, check, scan};
    use super::*;

    #[test]
    fn wallets() {
        check(
            "crypto_wallet",
            &[
                "0x9bec21a35dceedcea2bfc91e613a68ac22801cf8",
                "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
                "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
                // Tron, XRP, Tezos, Zcash, Dogecoin.
                "TL4GporNTN4vwuxTLJkyymeNMvkA6WXzLT",
                "rChQ8D4qtUr2Dypjt37ZsLBsSjY6FuB6D",
                "tz1XtHXJG8MLacLjpTrbpNCPhuyanJGvYBia",
                "t1eXjRD2oABwAgyEqAKmnuY5XaLJ6pNWjD1",
                "DMQfaUy4hH2BN9ncp7Sev8oXeBJPvUiRTT",
                // Stellar, The Open Network, Cardano, Cosmos, MultiversX, Nostr.
                "GAHSK6AKNTHGVOWDNUDWDIF2LYVWOSQXWTCCYO7SSCSLO42UQKDPHJZA",
                "EQBV4p25F6QubKZzOyiFGB4rLF7uPBY6JA2pDmccb6TmIW6E",
                "addr180ve4qdnv55alhcmsrk2jxd3lhd9zf5htu7rvyr2juevvqd88kcwdkehvtr7ggk235vqp0e2hv37xpgzqudt322qad9qt4fh7w",
                "cosmos19dz8sdqvhwd2er7tdvuntex8h9tuxqwt3hlacu",
                "erd1kjelk3u7qdm40egh8n8jdncwpvv42yfnchm88dwgzl479st6tyqs9tu8k5",
                "npub1ty5ls6angxa78r23wstgd5w8cks6vjzyqqn4p6g3tjan29xksdjs7jt7n3",
                // Monero, Polkadot, Substrate, an extended public key.
                "4qeDzwDN1z69b2Z6dYbDT5SDhq6meACfo34JckfwApJpd38xnSzGBgZ3pQwkaedrm6xP8xyeQVESDdp2RtfN1U8EFVJMu6L",
                "1fnQC2JZCob3GzZsB1QEBRKMDYe6e8SUD3G5JaLgUzCJfn6",
                "5GiLXnZHHfMrtkNxjgLMM5ThAH2LkUWKdXsKFBaCm8kkb3jd",
                "xpubEFReUwzWubNnzbq5c3CvifQ3v2dFbbGSSSzswHJAsf7j9pKw9tKXitNeqGdHA4uoYDXTgghLWR28fPtQUxumpbHxCs5FARUp5bkgiyJjzzG",
            ],
            &[
                "0x7f8de1a4008d",
                "43993eadc22e5ed0f9a1cc2e01626425",
                "call_371tcjMqAq4Yir0obt4w9wJQ",
                // One character changed.
                "TL4GporNTN4vwuxTLJkyymeNMvkA6WXzLU",
                "GAHSK6AKNTHGVOWDNUDWDIF2LYVWOSQXWTCCYO7SSCSLO42UQKDPHJZB",
                "EQBV4p25F6QubKZzOyiFGB4rLF7uPBY6JA2pDmccb6TmIW6F",
                "cosmos19dz8sdqvhwd2er7tdvuntex8h9tuxqwt3hlacv",
                // Without a word for a wallet before it.
                "EnMijWNYfUjTDKzAo7iocm6XanW6Uei9XHpujXS1oJrz",
            ],
        );
        let found = scan("Solana wallet EnMijWNYfUjTDKzAo7iocm6XanW6Uei9XHpujXS1oJrz", &CustomDetectors::default());
        assert_eq!(found[0].kind, "crypto_wallet");
    }

    #[test]
    fn private_keys() {
        check(
            "crypto_key",
            &[
                "5KkuKrdQLDgaVg2DcovpRKq6bwF5WFXaobUM6Lo3m1fBdtsrcnX",
                "Kxr5nU31mvtuE8WYA9AiVFEuk2MG5PrSx8qFJXHXhXjM4ButEYBf",
                "cW4iQBkznfwAMMtNutYEAs6SvisMtnM6top6UNjvFWAu8n5Aeo8F",
                "6P2gt369AQAaUSMswZ42xrb2ychLs5K3NL9YPP7VYFYxe8rBmdVfFQF4QG",
                "xprvCYy6aQP3kNbU1T9MQgf1NYCUreXrZp5AjgchSW7nokT7b9ALgXzmvnxReJxTZC75e6mV8gwBr4Uy1hk232qKshaaVesXqitWuXDyCpoP5NB",
                "SBBUOAJEEJMR26YHZHNI7LIYDFDRUEJGEOJ2UNXW46SSUFTPCZOL7CFJ",
                "nsec1nas98rnd2hr5hl689jewrwfsrcm0tjss6pdgq67dl288xkp60sjqa7sktm",
            ],
            &["cW4iQBkznfwAMMtNutYEAs6SvisMtnM6top6UNjvFWAu8n5Aeo8G"],
        );
    }

    #[test]
    fn seed_phrases() {
        for phrase in [
            "final middle wood raw crazy boat misery double flavor clinic fantasy impact",
            "allow gun foam verb truth short clever flat walnut main capital attitude tenant own canoe oil can index edit crumble credit wing trial bus",
            "final\nmiddle\nwood\nraw\ncrazy\nboat\nmisery\ndouble\nflavor\nclinic\nfantasy\nimpact",
        ] {
            for text in [phrase.to_owned(), format!("they wrote: {phrase}. Then"), format!("keep the backup {phrase} safe from everyone")] {
                let found = scan(&text, &CustomDetectors::default());
                assert!(found.iter().any(|found| found.kind == "crypto_key" && found.value.contains(phrase)), "{text}: {found:?}");
            }
        }
        let listed =
            SEED_WORDS.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().take(30).collect::<Vec<_>>().join(" ");
        for text in [
            "final middle wood raw crazy boat misery double flavor clinic fantasy",
            "the server started normally and every client could connect without waiting after that",
            listed.as_str(),
        ] {
            assert!(scan(text, &CustomDetectors::default()).is_empty(), "{text}");
        }
    }

    #[test]
    fn many_words_of_the_list_take_linear_time() {
        let text = "wood boat ".repeat(200_000);
        let start = crate::redact::tests::thread_seconds();
        scan(&text, &CustomDetectors::default());
        assert!(crate::redact::tests::thread_seconds() - start < 5.0);
    }
}
