//! Numbers as people write them.

/// A whole number with a comma before each three digits; other texts as they are.
pub fn with_separators(value: &str) -> String {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.len() < 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.to_owned();
    }
    let mut text = String::with_capacity(value.len() + value.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value.starts_with('-') { format!("-{text}") } else { text }
}

/// `850 ms`, `12.4 s`, `3 min 20 s`, `2 h 5 min`: rounded to what is written.
pub fn duration(milliseconds: f64) -> String {
    const SECOND: f64 = 1e3;
    const MINUTE: f64 = 60.0 * SECOND;
    const HOUR: f64 = 60.0 * MINUTE;
    let pair = |large: f64, large_unit: &str, small: f64, small_unit: &str| {
        let rounded = (milliseconds / small).round() * small;
        let (first, rest) = ((rounded / large).floor(), (rounded % large / small).round());
        if rest == 0.0 { format!("{first} {large_unit}") } else { format!("{first} {large_unit} {rest} {small_unit}") }
    };
    // What rounds to a whole larger unit is written in it: 59.97 s is a minute.
    match milliseconds {
        ms if ms < SECOND - 0.5 => format!("{} ms", trimmed(ms, usize::from(ms < 10.0))),
        ms if ms < MINUTE - 50.0 => format!("{} s", trimmed(ms / SECOND, 1)),
        ms if ms < HOUR - 0.5 * SECOND => pair(MINUTE, "min", SECOND, "s"),
        _ => pair(HOUR, "h", MINUTE, "min"),
    }
}

/// `512 bytes`, `92 KB`, `1.4 MB`.
pub fn bytes(count: f64) -> String {
    match count {
        count if count < 1_000.0 => format!("{} bytes", trimmed(count, 0)),
        count if count < 1e6 => format!("{} KB", trimmed(count / 1e3, usize::from(count < 1e4))),
        count => format!("{} MB", trimmed(count / 1e6, 1)),
    }
}

/// A number with at most `digits` digits after the point, and without zeros at its end.
fn trimmed(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        assert_eq!(["4096", "12345", "-1234567", "1.5", "x"].map(with_separators), ["4096", "12,345", "-1,234,567", "1.5", "x"]);
        assert_eq!([0.4, 850.0, 12_400.0, 200_500.0, 7_500_000.0].map(duration), ["0.4 ms", "850 ms", "12.4 s", "3 min 21 s", "2 h 5 min"]);
        assert_eq!([999.7, 59_970.0, 65_800.0, 3_599_900.0, 5_399_000.0].map(duration), ["1 s", "1 min", "1 min 6 s", "1 h", "1 h 30 min"]);
        assert_eq!([512.0, 9_300.0, 92_431.0, 1_440_000.0].map(bytes), ["512 bytes", "9.3 KB", "92 KB", "1.4 MB"]);
    }
}
