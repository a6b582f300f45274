//! Check digits and dates of identity numbers. Each algorithm is here once; the formats select them with their own weights.

/// The longest number without its separators.
const CHARACTERS_MAX: usize = 28;

/// Nobody alive was born before or after these years.
const BIRTH_YEARS: std::ops::RangeInclusive<u32> = 1880..=2039;

/// A number without its separators: digits and upper-case letters. Positions outside it read as zero.
#[derive(Debug)]
pub(super) struct Number {
    characters: [u8; CHARACTERS_MAX],
    len: usize,
}

impl Number {
    /// The letters and digits of `shown`; `None` if there are too many of them.
    pub(super) fn new(shown: &str) -> Option<Self> {
        let mut number = Self { characters: [0; CHARACTERS_MAX], len: 0 };
        for byte in shown.bytes().filter(u8::is_ascii_alphanumeric) {
            *number.characters.get_mut(number.len)? = byte.to_ascii_uppercase();
            number.len += 1;
        }
        Some(number)
    }

    pub(super) fn characters(&self) -> &[u8] {
        self.characters.get(..self.len).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The character at `index`.
    pub(super) fn at(&self, index: usize) -> u8 {
        self.characters.get(index).copied().unwrap_or(0)
    }

    /// Whether the character at `index` is one of `set`.
    pub(super) fn is_one_of(&self, index: usize, set: &str) -> bool {
        set.as_bytes().contains(&self.at(index))
    }

    /// Whether the text of the number starts with one of these.
    pub(super) fn starts_with_any(&self, starts: &[&str]) -> bool {
        starts.iter().any(|start| self.characters().starts_with(start.as_bytes()))
    }

    /// The digit at `index`, a letter as 10 to 35.
    pub(super) fn digit(&self, index: usize) -> u32 {
        value(self.at(index))
    }

    /// The number in `count` digits from `from`.
    pub(super) fn number(&self, from: usize, count: usize) -> u64 {
        (from..from + count).fold(0, |number, index| number * 10 + u64::from(self.digit(index)))
    }

    fn part(&self, from: usize, count: usize) -> u32 {
        u32::try_from(self.number(from, count)).unwrap_or(u32::MAX)
    }

    /// The sum of the digits from the first, each multiplied by its weight.
    pub(super) fn sum(&self, weights: &[u32]) -> u32 {
        self.sum_from(0, weights)
    }

    /// The sum of the digits from `from`, each multiplied by its weight.
    pub(super) fn sum_from(&self, from: usize, weights: &[u32]) -> u32 {
        weights.iter().enumerate().map(|(index, weight)| weight * self.digit(from + index)).sum()
    }

    /// The remainder of `modulus` that completes a weighted sum: `-sum mod modulus`.
    pub(super) fn complement(&self, weights: &[u32], modulus: u32) -> u32 {
        (modulus - self.sum(weights) % modulus) % modulus
    }

    pub(super) fn last(&self) -> u32 {
        self.digit(self.len.saturating_sub(1))
    }

    /// Whether all characters are the same, as in a placeholder.
    pub(super) fn is_uniform(&self) -> bool {
        self.characters().iter().all(|character| *character == self.at(0))
    }

    /// Luhn's check over all digits.
    pub(super) fn luhn(&self) -> bool {
        self.luhn_of(0, self.len)
    }

    /// Luhn's check over `count` digits from `from`.
    pub(super) fn luhn_of(&self, from: usize, count: usize) -> bool {
        luhn((from..from + count).rev().map(|index| self.digit(index)))
    }

    /// Verhoeff's check over the first `count` digits.
    pub(super) fn verhoeff(&self, count: usize) -> bool {
        const PERMUTATION: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
        // The dihedral group D5: rotations 0 to 4 and reflections 5 to 9.
        let multiply = |a: u32, b: u32| match (a < 5, b < 5) {
            (true, true) => (a + b) % 5,
            (true, false) => (a + b) % 5 + 5,
            (false, true) => (a + 5 - b) % 5 + 5,
            (false, false) => (a + 5 - b) % 5,
        };
        let permute = |digit: u32| usize::try_from(digit).ok().and_then(|index| PERMUTATION.get(index)).copied().unwrap_or(0);
        let check = (0..count).rev().enumerate().fold(0, |check, (distance, index)| {
            let digit = (0..distance % 8).fold(self.digit(index), |digit, _| permute(digit));
            multiply(check, digit)
        });
        check == 0
    }

    /// ISO 7064 mod 11,10 over all digits.
    pub(super) fn mod_11_10(&self) -> bool {
        let check = self.characters().iter().take(self.len.saturating_sub(1)).fold(10, |check, character| {
            let sum = (check + value(*character)) % 10;
            (if sum == 0 { 10 } else { sum }) * 2 % 11
        });
        (check + self.last()) % 10 == 1
    }

    /// ISO 7064 mod 11,2 over all digits; the last may be X for 10.
    pub(super) fn mod_11_2(&self) -> bool {
        let check =
            self.characters().iter().take(self.len.saturating_sub(1)).fold(0, |check, character| (check + value(*character)) * 2 % 11);
        let last = if self.at(self.len.saturating_sub(1)) == b'X' { 10 } else { self.last() };
        (check + last) % 11 == 1
    }

    /// The check digit of GTIN-13, also used by Swiss social insurance numbers.
    pub(super) fn ean_13(&self) -> bool {
        self.sum(&[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
    }

    /// A date with a year of two digits from `from`: `yymmdd`. Months and days with one of these amounts added are valid as well.
    pub(super) fn ymd(&self, from: usize, month_offsets: &[u32], day_offsets: &[u32]) -> bool {
        is_day(self.part(from + 2, 2), self.part(from + 4, 2), month_offsets, day_offsets)
    }

    /// As [`Self::ymd`], for `ddmmyy`.
    pub(super) fn dmy(&self, from: usize, month_offsets: &[u32], day_offsets: &[u32]) -> bool {
        is_day(self.part(from + 2, 2), self.part(from, 2), month_offsets, day_offsets)
    }

    /// A date `yyyymmdd` in the life of a person.
    pub(super) fn full_date(&self, from: usize) -> bool {
        BIRTH_YEARS.contains(&self.part(from, 4)) && self.ymd(from + 2, &[0], &[0, 60])
    }

    /// Whether a year of two digits at `from` in the century of `first_year` is not in the future.
    pub(super) fn is_past(&self, from: usize, first_year: u32) -> bool {
        BIRTH_YEARS.contains(&(first_year + self.part(from, 2)))
    }

    /// Whether the number in `count` digits from `from` is in a range.
    pub(super) fn in_range(&self, from: usize, count: usize, range: std::ops::RangeInclusive<u64>) -> bool {
        range.contains(&self.number(from, count))
    }
}

/// The value of a digit, and of a letter as 10 to 35.
fn value(character: u8) -> u32 {
    match character {
        b'0'..=b'9' => u32::from(character - b'0'),
        b'A'..=b'Z' => u32::from(character - b'A') + 10,
        _ => 0,
    }
}

/// Luhn's check over the digits from the last to the first.
pub(in super::super) fn luhn(digits_from_last: impl Iterator<Item = u32>) -> bool {
    let sum: u32 = digits_from_last
        .enumerate()
        .map(|(index, digit)| {
            let digit = digit << (index % 2);
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether a day exists in a month of any year.
fn is_day(month: u32, day: u32, month_offsets: &[u32], day_offsets: &[u32]) -> bool {
    let month = month_offsets.iter().filter_map(|offset| month.checked_sub(*offset)).find(|month| (1..=12).contains(month));
    let days = match month {
        None => return false,
        Some(2) => 29,
        Some(4 | 6 | 9 | 11) => 30,
        Some(_) => 31,
    };
    day_offsets.iter().filter_map(|offset| day.checked_sub(*offset)).any(|day| (1..=days).contains(&day))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Completes `body` with each digit and returns those that `is_valid` accepts.
    fn completions(body: &str, is_valid: impl Fn(&Number) -> bool) -> String {
        "0123456789X".chars().filter(|last| is_valid(&Number::new(&format!("{body}{last}")).unwrap())).collect()
    }

    #[test]
    fn each_algorithm_accepts_one_check_digit() {
        // The examples of the standards and of the articles that describe the algorithms.
        assert_eq!(completions("7992739871", |n| n.at(10) != b'X' && n.luhn()), "3");
        assert_eq!(completions("236", |n| n.at(3) != b'X' && n.verhoeff(4)), "3");
        assert_eq!(completions("079", |n| n.at(3) != b'X' && n.mod_11_2()), "");
        assert_eq!(completions("0794", Number::mod_11_10), "5");
        assert_eq!(completions("079", Number::mod_11_2), "X");
        assert_eq!(completions("400638133393", |n| n.at(12) != b'X' && n.ean_13()), "1");
    }

    #[test]
    fn a_wrong_digit_or_a_swap_fails() {
        let number = "2363";
        for (at, digit) in (0..4).flat_map(|at| ('0'..='9').map(move |digit| (at, digit))) {
            let mut changed: Vec<char> = number.chars().collect();
            if changed[at] != digit {
                changed[at] = digit;
                assert!(!Number::new(&String::from_iter(changed)).unwrap().verhoeff(4));
            }
        }
        assert!(!Number::new("3263").unwrap().verhoeff(4));
    }

    #[test]
    fn days_of_months() {
        let date = |shown: &str| Number::new(shown).unwrap().ymd(0, &[0, 50], &[0, 40]);
        for valid in ["850709", "855709", "850749", "000229"] {
            assert!(date(valid), "{valid}");
        }
        for invalid in ["851309", "850732", "850230", "850700", "850039", "856309", "850772"] {
            assert!(!date(invalid), "{invalid}");
        }
    }
}
