//! Judges whether a value looks like a secret, a password, a placeholder or a masked sample.

use super::lexicon;
use super::secrets::{SECRET_BYTES_MAX, beginning};

/// Starts of references to a secret that is stored elsewhere, and of code that reads one.
const REFERENCES: [&str; 44] = [
    "os.environ",
    "os.getenv",
    "getenv",
    "getpass",
    "process.env",
    "import.meta.env",
    "env.",
    "env:",
    "ENV[",
    "std::env",
    "Deno.env",
    "System.getenv",
    "secrets.",
    "config.",
    "settings.",
    "self.",
    "this.",
    "params.",
    "var.",
    "local.",
    "data.",
    "module.",
    "random_password.",
    "Field(",
    "@Microsoft.KeyVault",
    "ENC[",
    "ENC(",
    "arn:",
    "vault:",
    "vault/",
    "secret/",
    "secret:",
    "op://",
    "ref+",
    "sm://",
    "ssm:",
    "awssm:",
    "gcpsm:",
    "akv:",
    "keyring:",
    "keychain:",
    "file:",
    "projects/",
    "/run/secrets/",
];

/// Starts of words that stand for a secret.
const PLACEHOLDERS: [&str; 24] = [
    "your",
    "redacted",
    "placeholder",
    "changeme",
    "change-me",
    "change_me",
    "changeit",
    "replace",
    "insert",
    "enter-",
    "enter_",
    "put-",
    "put_",
    "paste-",
    "paste_",
    "todo",
    "dummy",
    "hidden",
    "masked",
    "removed",
    "filtered",
    "omitted",
    "not_set",
    "sanitized",
];

/// Words of which samples are made: `my-example-api-key`, `sk-your-key-here`.
const SAMPLE_WORDS: [&str; 44] = [
    "placeholder",
    "credential",
    "redacted",
    "changeme",
    "examples",
    "password",
    "sanitized",
    "example",
    "replace",
    "removed",
    "invalid",
    "testing",
    "secret",
    "sample",
    "dummy",
    "value",
    "token",
    "valid",
    "enter",
    "apikey",
    "access",
    "client",
    "bearer",
    "masked",
    "hidden",
    "insert",
    "paste",
    "your",
    "fake",
    "test",
    "here",
    "this",
    "some",
    "goes",
    "user",
    "demo",
    "with",
    "from",
    "auth",
    "key",
    "api",
    "the",
    "abc",
    "123",
];

/// Whether a value is a placeholder for a secret: `${TOKEN}`, `<your-api-key>`, `os.environ[…]`, `********`.
pub(super) fn is_placeholder(value: &str) -> bool {
    let value = beginning(value).trim();
    let bytes = value.as_bytes();
    let Some(first) = bytes.first() else { return true };
    if is_bracketed_placeholder(value, *first) && !(bytes.len() >= 10 && looks_random(value.trim_matches(['$', '%', '*']))) {
        return true;
    }
    // Tags of YAML: `!secret db_password`, `!Ref Token`.
    if value.strip_prefix('!').is_some_and(|tag| !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphabetic())) {
        return true;
    }
    // The keys in the documentation of AWS.
    if bytes.len() >= 16 && (value.ends_with("EXAMPLE") || value.ends_with("EXAMPLEKEY")) {
        return true;
    }
    if has_template(value) {
        return true;
    }
    if is_mask(value) || value.contains("...") || value.contains('…') {
        return true;
    }
    if starts_with_any(value, &REFERENCES) {
        return true;
    }
    let lower = value.to_ascii_lowercase();
    if starts_with_any(&lower, &PLACEHOLDERS) || starts_with_any(lower.trim_matches(['<', '[', '(', '>', ']', ')']), &PLACEHOLDERS) {
        return true;
    }
    if is_made_of_sample_words(value) {
        return true;
    }
    // `get_secret()`, `keys["a"]`: a call or an index, which is code.
    (value.ends_with(')') && value.contains('(')) || (value.ends_with(']') && value.contains('['))
}

/// Whether a value starts with any of `starts`. The first byte excludes nearly all of them.
fn starts_with_any(value: &str, starts: &[&str]) -> bool {
    starts.iter().any(|start| start.as_bytes().first() == value.as_bytes().first() && value.starts_with(start))
}

/// Whether a value has an expression that is replaced by a value later: `db-${TOKEN}`, `{{ token }}`, `$(cat key)`, but not `m{{h}o)p${e]n`.
fn has_template(value: &str) -> bool {
    [("${", "}"), ("{{", "}}"), ("$(", ")")].into_iter().any(|(open, close)| {
        value.match_indices(open).take(4).any(|(at, _)| {
            let inner = value.get(at + open.len()..).unwrap_or_default();
            // An expression that is cut at a quote or a space has no end.
            inner
                .find(close)
                .is_none_or(|end| inner.get(..end).is_some_and(|inner| !inner.contains([']', '>', '}', ')']) || is_balanced(inner)))
        })
    })
}

/// Whether every closing bracket in a text has an opening one before it, and every opening one a closing one.
fn is_balanced(text: &str) -> bool {
    let mut open = Vec::new();
    let closes = |byte: u8| match byte {
        b')' => b'(',
        b']' => b'[',
        _ => b'{',
    };
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open.push(byte),
            b')' | b']' | b'}' if open.pop() != Some(closes(byte)) => return false,
            _ => {}
        }
    }
    open.is_empty()
}

/// Whether a value has so many kinds of symbols, and brackets that do not match, that it is neither text nor code: `m{h}o)p$e]nob(ody#f>`.
pub(super) fn is_punctuated_secret(value: &str) -> bool {
    let value = beginning(value);
    let mut kinds: Vec<u8> = value.bytes().filter(u8::is_ascii_punctuation).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let symbols = kinds.iter().filter(|byte| b"!#$%^&*~?@".contains(byte)).count();
    let brackets = kinds.iter().filter(|byte| b"()[]{}<>".contains(byte)).count();
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    (10..=128).contains(&value.len())
        && letters >= 5
        && symbols >= 2
        && kinds.len() >= 5
        && (brackets == 0 || !is_balanced(value))
        && !value.contains(char::is_whitespace)
        && !value.contains("->")
        && !value.contains("::")
}

/// Whether a value is a passphrase of words: `walnut-harbor-lane-copper`.
pub(super) fn is_passphrase(value: &str) -> bool {
    const WORDS: std::ops::RangeInclusive<usize> = 4..=8;
    ['-', '_', '.'].into_iter().any(|separator| {
        let mut words = 0;
        let all = value.split(separator).all(|word| {
            words += 1;
            (3..=10).contains(&word.len())
                && word.bytes().skip(1).all(|byte| byte.is_ascii_lowercase())
                && word.bytes().all(|byte| byte.is_ascii_alphabetic())
        });
        all && WORDS.contains(&words)
    })
}

/// Whether a value is a long number without a mask: a secret of digits alone.
pub(super) fn is_long_number(value: &str) -> bool {
    (24..=64).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit()) && !is_mask(value)
}

/// Whether a value is a variable or stands in brackets, as placeholders do, and not a password that begins with such a character: `$TOKEN`,
/// `${TOKEN}`, `%TOKEN%`, `<token>`, but not `$up3rS3cret!`.
fn is_bracketed_placeholder(value: &str, first: u8) -> bool {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b':' | b'/'));
    let inner = value.get(1..value.len().saturating_sub(1)).unwrap_or_default();
    match first {
        b'$' => value.get(1..).is_some_and(|rest| rest.starts_with(['{', '(', '$']) || is_name(rest)),
        b'%' => value.ends_with('%') || value.get(1..).is_some_and(|rest| rest.starts_with(['(', '{']) || is_name(rest)),
        b'<' if value.ends_with('>') => !(is_mixed(inner) && is_name(inner) && !inner.contains(['-', '_'])),
        b'{' if value.ends_with('}') || value.starts_with("{{") => true,
        b'[' if value.ends_with(']') => true,
        b'(' if value.ends_with(')') => true,
        b'{' | b'[' | b'(' | b'<' | b'*' => value.len() < 8 || !is_mixed(value),
        _ => false,
    }
}

/// Whether a value has letters of both cases and digits.
pub(super) fn is_mixed(value: &str) -> bool {
    let has = |class: fn(&u8) -> bool| value.bytes().any(|byte| class(&byte));
    has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit)
}

/// Whether a value in the format of a credential is a mask or made for a documentation: `ghp_xxxxxxxx`, `AKIAIOSFODNN7EXAMPLE`.
pub(super) fn is_sample(value: &str) -> bool {
    let value = beginning(value);
    is_mask(value) || value.contains("...") || value.contains('…') || value.contains("EXAMPLE") || is_made_of_sample_words(value)
}

/// Whether a value is masked: at most two distinct characters, or a run of the same character that chance does not make.
fn is_mask(value: &str) -> bool {
    /// Of the characters that masks are made of.
    const MASK_RUN: usize = 4;
    /// Of other characters. Zero bytes in base64 are runs of `A`.
    const OTHER_RUN: usize = 8;
    let mut distinct = [false; 256];
    let (mut count, mut run, mut last) = (0, 0, 0);
    for byte in value.bytes().take(64) {
        if let Some(seen) = distinct.get_mut(usize::from(byte)) {
            count += usize::from(!*seen);
            *seen = true;
        }
        run = if byte == last { run + 1 } else { 1 };
        last = byte;
        let is_mask = match byte {
            b'x' | b'X' | b'*' | b'#' | b'?' => run >= MASK_RUN,
            b'A' | b'-' | b'_' | b'=' | b'/' => false,
            _ => run >= OTHER_RUN,
        };
        if is_mask {
            return true;
        }
    }
    count <= 2 || value.contains("***") || value.contains("••")
}

/// Whether three quarters of the letters and digits of a value are words such as `example` and `key`, and it has such a word that nobody
/// would choose for a password alone.
fn is_made_of_sample_words(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let (mut rest, mut words, mut others, mut telling) = (lower.as_str(), 0, 0, false);
    while let Some(c) = rest.chars().next() {
        // Most values have too many other letters long before their end.
        if words + rest.len() < 3 * others {
            return false;
        }
        let word = SAMPLE_WORDS.iter().find(|word| word.as_bytes().first() == rest.as_bytes().first() && rest.starts_with(**word));
        if let Some(word) = word {
            words += word.len();
            telling |= matches!(
                *word,
                "your"
                    | "example"
                    | "examples"
                    | "sample"
                    | "dummy"
                    | "fake"
                    | "placeholder"
                    | "here"
                    | "test"
                    | "testing"
                    | "demo"
                    | "redacted"
                    | "changeme"
            );
            rest = rest.get(word.len()..).unwrap_or_default();
        } else {
            others += usize::from(c.is_alphanumeric());
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }
    telling && words >= 3 * others
}

/// Whether a value looks like a generated secret: long, with several character classes, and not a word, path, date or number.
pub(super) fn looks_random(value: &str) -> bool {
    if !(16..=SECRET_BYTES_MAX).contains(&value.len()) {
        return false;
    }
    let value = beginning(value);
    let bytes = value.as_bytes();
    let (mut lower, mut upper, mut digits, mut other, mut changes, mut last) = (0, 0, 0, 0, 0, 0);
    let mut distinct = [false; 256];
    let mut count = 0;
    for byte in bytes.iter().take(256) {
        let class = match byte {
            b'a'..=b'z' => {
                lower += 1;
                1
            }
            b'A'..=b'Z' => {
                upper += 1;
                2
            }
            b'0'..=b'9' => {
                digits += 1;
                3
            }
            _ => {
                other += 1;
                4
            }
        };
        changes += usize::from(class != last);
        last = class;
        if let Some(seen) = distinct.get_mut(usize::from(*byte)) {
            count += usize::from(!*seen);
            *seen = true;
        }
    }
    let len = bytes.len().min(256);
    // The path of a file: `reports/2026/sales_final_v2.parquet`.
    if is_file_path(value) {
        return false;
    }
    let is_number = digits + other == len;
    // Excludes repetition (`abababab12abababab`), numbers (`2026-11-23T09:08:46`), paths and expressions with much punctuation, and URLs.
    if count < 8 || is_number || other * 3 > len || value.contains("://") || value.contains(' ') {
        return false;
    }
    // Letters and digits, or upper and lower case that alternates often: `kQzRtYbNmWxPvLcJhGdS`, but not `ChatCompletionMessage`.
    let has_mixture = digits > 0 && lower + upper > 0;
    let has_case = lower > 2 && upper > 2;
    let is_cased = has_case && len >= 20 && changes * 4 >= len;
    if !has_mixture && !is_cased {
        return false;
    }
    // Excludes words and numbers with separators: `gpt-4o-mini-2024-07-18`, `claude-sonnet-4-5`. At least one part must be neither.
    let parts = value.split(['-', '_', '.', '/', ':']).filter(|part| !part.is_empty());
    let (mut words, mut all) = (0, 0);
    for part in parts {
        all += 1;
        let letters = part.bytes().filter(u8::is_ascii_alphabetic).count();
        let is_word = letters == part.len()
            && (part.len() < 14)
            && (part.bytes().skip(1).all(|byte| byte.is_ascii_lowercase()) || part.bytes().all(|byte| byte.is_ascii_uppercase()));
        words += usize::from(is_word || letters == 0 && part.len() <= 4);
    }
    words < all
}

/// Whether a value is a relative path with folders and a file with a known extension, whose parts are words and numbers.
fn is_file_path(value: &str) -> bool {
    const EXTENSIONS: [&str; 27] = [
        "avro", "bin", "csv", "doc", "docx", "gz", "html", "jpeg", "jpg", "json", "jsonl", "log", "md", "mp3", "mp4", "orc", "parquet",
        "pdf", "png", "pptx", "txt", "wav", "xls", "xlsx", "xml", "yaml", "zip",
    ];
    /// A longer part may be a secret.
    const PART_BYTES_MAX: usize = 24;
    let Some((path, extension)) = value.rsplit_once('.') else { return false };
    let mut parts = path.split(['/', '_', '-', '.']).peekable();
    // Case within a word, or digits within it, are the marks of a secret.
    let is_plain = |part: &str| {
        let letters = part.trim_end_matches(|c: char| c.is_ascii_digit()).trim_start_matches(|c: char| c.is_ascii_digit());
        let has_one_case =
            !(letters.bytes().any(|byte| byte.is_ascii_lowercase()) && letters.bytes().skip(1).any(|byte| byte.is_ascii_uppercase()));
        part.len() <= PART_BYTES_MAX && has_one_case && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    path.contains('/') && EXTENSIONS.contains(&extension) && parts.all(is_plain)
}

/// Whether a value looks like a password chosen by a person: letters, and a digit or symbol that words do not have.
pub(super) fn looks_like_password(value: &str) -> bool {
    let bytes = value.as_bytes();
    if !(6..=128).contains(&bytes.len())
        || value.contains("://")
        || value.contains(char::is_whitespace)
        || value.starts_with(['/', '.', '-', '(', '[', '{', '}', '<', '$', '@', '#'])
    {
        return false;
    }
    let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let symbols = bytes.iter().filter(|byte| b"!@#$%^&*+=~?".contains(byte)).count();
    let inner_upper = bytes.windows(2).any(|pair| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()));
    // `hunter2`, `p@ssword`, `walnutHarbor`, but not `hunter`.
    letters >= 2 && (digits >= 1 || symbols >= 1 || (inner_upper && bytes.len() >= 10)) && !is_identifier_like(value)
}

/// Whether an assigned value is a password because of its symbols, although it begins or ends like code: `$up3rS3cret!`, `(Kx7}qpz2{`.
pub(super) fn is_symbolic_password(value: &str) -> bool {
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let symbols = value.bytes().filter(u8::is_ascii_punctuation).count();
    let is_call = value.ends_with([')', ']', ';', ',', '(', '[']) || value.contains("()") || value.contains("::") || value.contains("->");
    (7..=64).contains(&value.len())
        && letters >= 2
        && digits >= 1
        && symbols >= 2
        && !is_call
        && !value.contains(['/', '\\', ' ', '.', '-', '_'])
}

/// Whether an assigned value is a password of digits alone, and not a date: `48213377`.
pub(super) fn is_digit_password(value: &str) -> bool {
    let is_date = value.len() == 8 && (value.starts_with("19") || value.starts_with("20"));
    (6..=16).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit()) && !is_date
}

/// Whether an assigned value is a password of letters alone: `walnutharbor`, but not a word (`required`) or a name of code (`userpassword`).
pub(super) fn is_letter_password(value: &str) -> bool {
    const PARTS_OF_NAMES: [&str; 26] = [
        "pass",
        "pwd",
        "secret",
        "token",
        "user",
        "login",
        "auth",
        "config",
        "setting",
        "field",
        "input",
        "string",
        "value",
        "param",
        "form",
        "hash",
        "text",
        "type",
        "env",
        "name",
        "prompt",
        "credential",
        "default",
        "request",
        "option",
        "none",
    ];
    let lower = value.to_ascii_lowercase();
    (8..=32).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_lowercase())
        && !PARTS_OF_NAMES.iter().any(|part| lower.contains(part))
        && !lexicon::look_up(&lower).is_common_word()
}

/// Whether a value is a call, a path, a file, a host or a version: `reset_password(4)`, `src/main2`, `db-01.internal`, `v1.2.3`.
fn is_identifier_like(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    // A bracket after a name: `get_password(4)`, but not `h}o(p`.
    let is_call = value.split_once('(').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'$' | b'-'))
    });
    is_call
        || (value.contains('/') && !looks_random(value))
        || [".py", ".js", ".ts", ".json", ".internal", ".local", ".com", ".net", ".org", ".io", ".md", ".txt"]
            .iter()
            .any(|end| lower.ends_with(end))
        || (lower.starts_with('v') && lower.bytes().skip(1).all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

#[cfg(test)]
mod tests;
