//! Detects sensitive values in attribute names, and in attribute values with the help of their names.

use super::detect::{Detection, Scanner, kind_of_value};
use crate::model::TextKind;

/// Detects values in a text of a trace according to its role.
pub(super) fn scan_text(scanner: &Scanner<'_>, kind: TextKind<'_>, text: &str) -> Vec<Detection> {
    match kind {
        _ if scanner.is_timed_out() => Vec::new(),
        TextKind::Text => scanner.scan(text),
        TextKind::ValueOf(name) => scan_value(scanner, name, text),
        TextKind::AttributeName => scan_name(scanner, text),
    }
}

/// Detects values in the value of an attribute, with the help of the name.
fn scan_value(scanner: &Scanner<'_>, name: &str, value: &str) -> Vec<Detection> {
    // Longer values are scanned without the name: they are documents rather than the single value that the name describes. A long value
    // without white space may still be one, such as a key file in base64.
    const NAMED_BYTES_MAX: usize = 1024;
    const NAMED_WORD_BYTES_MAX: usize = 256 * 1024;
    if value.len() > NAMED_WORD_BYTES_MAX {
        return scanner.scan(value);
    }
    let trimmed = value.trim();
    // The name may tell the kind of the whole value, whatever it looks like.
    let kind = kind_of_value(name, value).filter(|kind| scanner.replaces(kind, trimmed));
    if kind.is_none() && value.len() > NAMED_BYTES_MAX && value.contains(char::is_whitespace) {
        return scanner.scan(value);
    }
    let found = scan_named_value(scanner, name, value);
    let start = value.len() - value.trim_start().len();
    let range = start..start + trimmed.len();
    match kind {
        // Unless it is a value of a more specific kind, such as an email address.
        Some(kind) if !found.iter().any(|detection| detection.range.start <= range.start && detection.range.end >= range.end) => {
            vec![Detection { range, kind, detector: "attribute name", value: trimmed.to_owned() }]
        }
        _ => found,
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

#[cfg(test)]
mod tests {
    use super::super::detect::{CustomDetectors, KindOptions};
    use super::*;

    #[test]
    fn a_protected_value_is_found_as_a_whole() {
        let custom = CustomDetectors::default();
        let found = |name, value| -> Vec<(String, &str)> {
            scan_text(&Scanner::new(&custom), TextKind::ValueOf(name), value).into_iter().map(|found| (found.value, found.kind)).collect()
        };
        let sentence = format!("a 'quoted' phrase, {}", "longer than other values; ".repeat(80));
        assert_eq!(found("db.password", &sentence), [(sentence.trim().to_owned(), "password")]);
        assert_eq!(found("user.name", " zyrqel "), [("zyrqel".to_owned(), "user")]);
        assert_eq!(found("enduser.id", "ada@corp.example"), [("ada@corp.example".to_owned(), "email")]);
        assert_eq!(found("db.password", "<PASSWORD:1a2b3c>"), []);
        assert_eq!(found("tool.name", "zyrqel"), []);
    }

    #[test]
    fn kept_kinds_and_allowed_values_are_not_protected() {
        let files = [("own.toml".to_owned(), "allow = [\"the demo phrase\"]".to_owned())];
        let keeping = KindOptions { kept: vec!["password".to_owned()], ..KindOptions::default() };
        for (custom, value, is_found) in [
            (CustomDetectors::default(), "the demo phrase", true),
            (CustomDetectors::new(&files).unwrap(), "the demo phrase", false),
            (CustomDetectors::new(&files).unwrap(), "another phrase", true),
            (CustomDetectors::default().with_kinds(&keeping).unwrap(), "another phrase", false),
        ] {
            let found = scan_text(&Scanner::new(&custom), TextKind::ValueOf("db.password"), value);
            assert_eq!(!found.is_empty(), is_found, "{value}: {found:?}");
        }
    }
}
