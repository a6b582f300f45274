//! Values of facts as people write them, and texts of a bounded length.

use super::super::template::Form;
use super::names::Unit;
pub(in crate::analyze::embedded) use crate::model::{bytes, duration, with_separators};

/// A value in a sentence: `128,000 tokens`, `12.4 s`, `92 KB`, `3 attempts` is written by the sentence itself.
pub(super) fn display(value: &str, unit: Unit, form: Form) -> String {
    let number: Option<f64> = value.parse().ok();
    let Some(number) = number.filter(|_| unit != Unit::Text && form != Form::Raw) else { return value.to_owned() };
    match unit {
        Unit::Tokens if form == Form::Number => with_separators(value),
        Unit::Tokens => format!("{} {}", with_separators(value), if value == "1" { "token" } else { "tokens" }),
        Unit::Milliseconds if form == Form::RoundedUp => duration(rounded_up(number)),
        Unit::Milliseconds => duration(number),
        Unit::Bytes => bytes(number),
        Unit::Percent => format!("{value} %"),
        Unit::Dollars => format!("${value}"),
        Unit::Text | Unit::Count | Unit::Number => with_separators(value),
    }
}

/// The next longer duration that `duration` writes exactly: who waits for a shorter one is rejected again.
fn rounded_up(milliseconds: f64) -> f64 {
    let step = match milliseconds {
        ms if ms < 1e3 => 1.0,
        ms if ms < 60e3 => 100.0,
        ms if ms < 3.6e6 => 1e3,
        _ => 60e3,
    };
    (milliseconds / step).ceil() * step
}

/// A text of at most `chars_max` characters, cut at the end of a word and with `…` if something is missing.
pub(in crate::analyze::embedded) fn shortened(text: &str, chars_max: usize) -> String {
    let text = text.trim();
    let Some((end, _)) = text.char_indices().nth(chars_max) else { return text.to_owned() };
    let kept = text.get(..end).unwrap_or_default();
    // A text without white space near its end is cut in a word.
    let at_word = kept.rfind(char::is_whitespace).filter(|at| *at * 3 >= kept.len() * 2).and_then(|at| kept.get(..at));
    let kept = at_word.unwrap_or_else(|| kept.get(..kept.char_indices().next_back().map_or(0, |(at, _)| at)).unwrap_or_default());
    format!("{}…", kept.trim_end_matches([' ', ',', ';', ':', '-', '.', '(']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_people_write_them() {
        for (value, unit, expected) in [
            ("141397", Unit::Tokens, "141,397 tokens"),
            ("1", Unit::Tokens, "1 token"),
            ("4096", Unit::Count, "4096"),
            ("12345678", Unit::Count, "12,345,678"),
            ("3.2", Unit::Milliseconds, "3.2 ms"),
            ("850", Unit::Milliseconds, "850 ms"),
            ("12400", Unit::Milliseconds, "12.4 s"),
            ("60000", Unit::Milliseconds, "1 min"),
            ("200500", Unit::Milliseconds, "3 min 21 s"),
            ("59970", Unit::Milliseconds, "1 min"),
            ("65800", Unit::Milliseconds, "1 min 6 s"),
            ("999.7", Unit::Milliseconds, "1 s"),
            ("3599900", Unit::Milliseconds, "1 h"),
            ("7500000", Unit::Milliseconds, "2 h 5 min"),
            ("92431", Unit::Bytes, "92 KB"),
            ("512", Unit::Bytes, "512 bytes"),
            ("63", Unit::Percent, "63 %"),
            ("0.0123", Unit::Dollars, "$0.0123"),
            ("a word", Unit::Tokens, "a word"),
            ("12345", Unit::Text, "12345"),
        ] {
            assert_eq!(display(value, unit, Form::Shown), expected, "{value}");
        }
        assert_eq!(display("141397", Unit::Tokens, Form::Number), "141,397");
        for (value, expected) in
            [("14120", "14.2 s"), ("14100", "14.1 s"), ("65200", "1 min 6 s"), ("0.4", "1 ms"), ("3600001", "1 h 1 min")]
        {
            assert_eq!(display(value, Unit::Milliseconds, Form::RoundedUp), expected, "{value}");
        }
        assert_eq!(display("14120", Unit::Milliseconds, Form::Raw), "14120");
    }

    #[test]
    fn texts_are_cut_between_words() {
        assert_eq!(shortened("short text", 20), "short text");
        assert_eq!(shortened("the quick brown fox jumps", 18), "the quick brown…");
        assert_eq!(shortened(&"x".repeat(50), 10), format!("{}…", "x".repeat(9)));
        assert!(shortened(&"é ".repeat(50), 11).chars().count() <= 11);
    }
}
