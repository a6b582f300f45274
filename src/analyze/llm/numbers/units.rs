//! Units of numbers in prose, and what a number with a unit may look like elsewhere: `12.4 s` is `12400` in a field of milliseconds.

/// What a number measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dimension {
    /// A count or a number without a unit.
    Plain,
    Tokens,
    /// In milliseconds.
    Time,
    /// In bytes or characters.
    Size,
    Percent,
    /// `3x`: a ratio.
    Times,
    /// In US dollars or another currency.
    Money,
}

impl Dimension {
    /// The dimension of a fact by its unit.
    pub(super) fn of_fact(unit: Option<&str>) -> Self {
        match unit {
            Some("tokens") => Self::Tokens,
            Some("ms") => Self::Time,
            Some("bytes") => Self::Size,
            Some("percent") => Self::Percent,
            Some("usd") => Self::Money,
            _ => Self::Plain,
        }
    }

    /// Whether numbers of both dimensions can be subtracted from each other. Tokens are often written without their unit.
    pub(super) fn is_comparable(self, other: Self) -> bool {
        let plain = |dimension| if dimension == Self::Tokens { Self::Plain } else { dimension };
        plain(self) == plain(other)
    }

    /// Factors by which a number without a known unit may have to be multiplied for the unit in which this dimension is measured.
    pub(super) fn scales(self) -> &'static [f64] {
        match self {
            Self::Plain | Self::Tokens | Self::Times => &[1.0],
            // From nanoseconds to days.
            Self::Time => &[1e-6, 1e-3, 1.0, 1e3, 6e4, 3.6e6, 8.64e7],
            Self::Size => &[1.0, 1e3, 1_024.0, 1e6, 1_048_576.0, 1e9, 1_073_741_824.0],
            Self::Percent => &[1.0, 100.0],
            Self::Money => &[1.0, 0.01],
        }
    }
}

/// A unit of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit {
    pub(super) dimension: Dimension,
    /// How many of the unit in which the dimension is measured.
    pub(super) factor: f64,
    /// The same with powers of 1,024.
    pub(super) binary_factor: f64,
}

impl Unit {
    pub(super) const PLAIN: Self = Self::new(Dimension::Plain, 1.0);
    pub(super) const PERCENT: Self = Self::new(Dimension::Percent, 1.0);
    pub(super) const MONEY: Self = Self::new(Dimension::Money, 1.0);

    const fn new(dimension: Dimension, factor: f64) -> Self {
        Self { dimension, factor, binary_factor: factor }
    }

    /// The unit that a word names; `None` if it names none. `is_attached`: the word follows the digits without a space.
    pub(super) fn of_word(word: &str, is_attached: bool) -> Option<Self> {
        let size = |factor: f64, binary_factor: f64| Some(Self { dimension: Dimension::Size, factor, binary_factor });
        let time = |factor: f64| Some(Self::new(Dimension::Time, factor));
        match word {
            // A model of `7B` parameters has no bytes.
            "B" if is_attached => return None,
            "B" => return size(1.0, 1.0),
            "m" => return time(6e4),
            "M" | "S" | "H" | "D" | "X" => return None,
            _ => {}
        }
        match word.to_ascii_lowercase().as_str() {
            "ns" | "nanosecond" | "nanoseconds" => time(1e-6),
            "us" | "µs" | "μs" | "microsecond" | "microseconds" => time(1e-3),
            "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => time(1.0),
            "s" | "sec" | "secs" | "second" | "seconds" => time(1e3),
            "min" | "mins" | "minute" | "minutes" => time(6e4),
            "h" | "hr" | "hrs" | "hour" | "hours" => time(3.6e6),
            "d" | "day" | "days" => time(8.64e7),
            "byte" | "bytes" | "char" | "chars" | "character" | "characters" => size(1.0, 1.0),
            "kb" | "kib" | "kilobyte" | "kilobytes" => size(1e3, 1_024.0),
            "mb" | "mib" | "megabyte" | "megabytes" => size(1e6, 1_048_576.0),
            "gb" | "gib" | "gigabyte" | "gigabytes" => size(1e9, 1_073_741_824.0),
            "token" | "tokens" => Some(Self::new(Dimension::Tokens, 1.0)),
            "percent" | "pct" | "percentage" => Some(Self::PERCENT),
            "x" | "×" | "times" => Some(Self::new(Dimension::Times, 1.0)),
            "usd" | "dollar" | "dollars" | "eur" | "euro" | "euros" => Some(Self::MONEY),
            "cent" | "cents" => Some(Self::new(Dimension::Money, 0.01)),
            _ => None,
        }
    }

    /// The unit at a place after digits, and how many bytes it takes: ` ms`, `k tokens`, `-second`, ` %`.
    pub(super) fn after(text: &str, at: usize) -> Option<(usize, Self)> {
        let rest = text.get(at..)?;
        let (gap, word) = word_after(rest);
        let is_attached = gap == 0;
        if rest.get(gap..)?.starts_with('%') {
            return Some((gap + 1, Self::PERCENT));
        }
        if let Some(unit) = Self::of_word(word, is_attached) {
            let end = gap + word.len();
            // `2m` of `2m30s` ends at a digit, `4s1` is a name.
            let next = rest.get(end..)?.chars().next();
            let is_name = next.is_some_and(|c| c == '_' || (c.is_numeric() && !(is_attached && matches!(word, "h" | "m"))));
            return (!is_name).then_some((end, unit));
        }
        let thousands = thousands_of_word(word)?;
        let end = gap + word.len();
        let rest = rest.get(end..)?;
        if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return None;
        }
        let (gap, word) = word_after(rest);
        let unit = Self::of_word(word, false).filter(|unit| unit.dimension != Dimension::Time);
        Some(unit.map_or((end, Self::PLAIN.multiplied(thousands)), |unit| (end + gap + word.len(), unit.multiplied(thousands))))
    }

    /// This unit for a number in thousands, millions or billions.
    pub(super) fn multiplied(self, thousands: i32) -> Self {
        Self {
            dimension: self.dimension,
            factor: self.factor * 1e3_f64.powi(thousands),
            // `128k` tokens are often 131,072.
            binary_factor: self.binary_factor * 1_024_f64.powi(thousands),
        }
    }
}

/// The word at the start of a text, after at most one space or hyphen, and the length of that.
pub(super) fn word_after(text: &str) -> (usize, &str) {
    let gap = text.chars().next().filter(|c| matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '-')).map_or(0, char::len_utf8);
    let word = text.get(gap..).unwrap_or_default();
    let end = word.find(|c: char| !c.is_alphabetic() && c != '×').unwrap_or(word.len());
    (gap, word.get(..end).unwrap_or_default())
}

/// The power of a thousand that a word after a number names: 1 for `k`, 2 for `million`.
pub(super) fn thousands_of_word(word: &str) -> Option<i32> {
    match word {
        "k" | "K" | "thousand" => Some(1),
        "M" | "mn" | "mio" | "million" => Some(2),
        "bn" | "billion" => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_units_and_other_letters_do_not() {
        for (word, is_attached, dimension, factor) in [
            ("ms", true, Dimension::Time, 1.0),
            ("seconds", false, Dimension::Time, 1e3),
            ("m", true, Dimension::Time, 6e4),
            ("KB", true, Dimension::Size, 1e3),
            ("MiB", false, Dimension::Size, 1e6),
            ("B", false, Dimension::Size, 1.0),
            ("Tokens", false, Dimension::Tokens, 1.0),
            ("x", true, Dimension::Times, 1.0),
        ] {
            let unit = Unit::of_word(word, is_attached).unwrap();
            assert_eq!(unit.dimension, dimension, "{word}");
            assert!((unit.factor - factor).abs() < f64::EPSILON, "{word}");
        }
        for (word, is_attached) in [("B", true), ("b", true), ("M", true), ("o", true), ("D", true), ("requests", false), ("", false)] {
            assert!(Unit::of_word(word, is_attached).is_none(), "{word}");
        }
        assert_eq!((thousands_of_word("k"), thousands_of_word("million"), thousands_of_word("s")), (Some(1), Some(2), None));
    }
}
