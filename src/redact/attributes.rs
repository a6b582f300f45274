//! Detects sensitive values in attribute names, and in attribute values with the help of their names.

use super::detect::{Detection, Scanner};
use crate::model::TextKind;

/// Detects values in a text of a trace according to its role.
pub(super) fn scan_text(scanner: &Scanner<'_>, kind: TextKind<'_>, text: &str) -> Vec<Detection> {
    // Longer values are scanned without the name: they are documents rather than the single value that the name describes. A long value
    // without white space may still be one, such as a key file in base64.
    const NAMED_BYTES_MAX: usize = 1024;
    const NAMED_WORD_BYTES_MAX: usize = 256 * 1024;
    let is_short = text.len() <= NAMED_BYTES_MAX || (text.len() <= NAMED_WORD_BYTES_MAX && !text.contains(char::is_whitespace));
    match kind {
        _ if scanner.is_timed_out() => Vec::new(),
        TextKind::ValueOf(name) if is_short => scan_named_value(scanner, name, text),
        TextKind::Text | TextKind::ValueOf(_) => scanner.scan(text),
        TextKind::AttributeName => scan_name(scanner, text),
    }
}

/// Detects values in an attribute name, as a whole and in each of its parts: nested names are joined by dots, and a value between dots does
/// not end at a word boundary.
pub(super) fn scan_name(scanner: &Scanner<'_>, name: &str) -> Vec<Detection> {
    const SUFFIXES_MAX: usize = 16;
    let mut detections = scanner.scan(name);
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_'));
    if !detections.is_empty() || is_plain {
        return detections;
    }
    let mut start = 0;
    for part in name.split('.') {
        let in_part = scanner.scan(part).into_iter();
        detections
            .extend(in_part.map(|detection| Detection { range: detection.range.start + start..detection.range.end + start, ..detection }));
        start += part.len() + 1;
    }
    // `ada@corp.example.0.name`: an email address contains dots, and `.0.name` is not part of its domain. So suffixes are removed one by one.
    let mut ends = name.rmatch_indices('.').take_while(|(at, _)| name.get(..*at).is_some_and(|left| left.contains('@'))).take(SUFFIXES_MAX);
    let before_suffix = ends.find_map(|(at, _)| Some(scanner.scan(name.get(..at)?)).filter(|found| !found.is_empty()));
    detections.extend(before_suffix.into_iter().flatten());
    detections
}

/// Detects values in the value of an attribute whose name may be a label: `enduser.email`, `db.password`.
fn scan_named_value(scanner: &Scanner<'_>, name: &str, value: &str) -> Vec<Detection> {
    // In quotes unless it contains some, so that a value of several words is read as one.
    let is_quotable = !value.contains(['"', '\\', '\n']);
    let (named, prefix_len) =
        if is_quotable { (format!("{name}: \"{value}\""), name.len() + 3) } else { (format!("{name}: {value}"), name.len() + 2) };
    let in_value = |detection: Detection| Detection {
        range: detection.range.start.saturating_sub(prefix_len)..(detection.range.end - prefix_len).min(value.len()),
        ..detection
    };
    scanner.scan(&named).into_iter().filter(|detection| detection.range.end > prefix_len).map(in_value).collect()
}
