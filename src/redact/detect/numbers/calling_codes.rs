//! Calling codes of countries, with the lengths and first digits of their national numbers (`rules/calling_codes.txt`).

use std::sync::LazyLock;

/// The national numbers of some lengths that have a number plan entry.
#[derive(Debug)]
struct Plan {
    /// A bit for each length.
    lengths: u32,
    /// A bit for each pair of first digits.
    starts: u128,
}

/// The plans of each calling code.
static PLANS: LazyLock<Vec<Vec<Plan>>> = LazyLock::new(|| {
    let mut plans: Vec<Vec<Plan>> = (0..1000).map(|_| Vec::new()).collect();
    for line in include_str!("../rules/calling_codes.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split(' ');
        let code = fields.next().and_then(|code| code.parse::<usize>().ok());
        if let Some(slot) = code.and_then(|code| plans.get_mut(code)) {
            slot.extend(fields.filter_map(read_plan));
        }
    }
    plans
});

/// Reads `7/8:2,3[01],45`: numbers of seven or eight digits that start with 2, 30, 31 or 45.
fn read_plan(field: &str) -> Option<Plan> {
    let (lengths, starts) = field.split_once(':')?;
    let lengths = lengths.split('/').filter_map(|length| length.parse::<u32>().ok()).fold(0, |bits, length| bits | 1 << length);
    let starts = starts.split(',').fold(0, |bits, start| {
        let (first, second) = start.split_at_checked(1).unwrap_or((start, ""));
        let second = if second.is_empty() { "0123456789" } else { second.trim_matches(['[', ']']) };
        let first: u32 = first.parse().unwrap_or(0);
        second.chars().filter_map(|digit| digit.to_digit(10)).fold(bits, |bits, digit| bits | 1u128 << (first * 10 + digit))
    });
    Some(Plan { lengths, starts })
}

/// The calling code at the start of `digits`, and the national number after it. No code is a prefix of another.
fn split(digits: &[u8]) -> Option<(&'static [Plan], &[u8])> {
    (1..=3).find_map(|len| {
        let (code, national) = digits.split_at_checked(len)?;
        let code = std::str::from_utf8(code).ok()?.parse::<usize>().ok()?;
        let plans = PLANS.get(code).filter(|plans| !plans.is_empty())?;
        Some((plans.as_slice(), national))
    })
}

/// Whether `digits` (ASCII) are a calling code and a national number of the length and with the first digits that its country uses.
pub(super) fn is_international(digits: &[u8]) -> bool {
    let Some((plans, national)) = split(digits) else { return false };
    let start = national.iter().take(2).fold(0u32, |start, digit| start * 10 + u32::from(digit.saturating_sub(b'0')));
    let length = u32::try_from(national.len()).unwrap_or(31).min(31);
    plans.iter().any(|plan| (plan.lengths >> length) & 1 == 1 && start < 100 && (plan.starts >> start) & 1 == 1)
}

/// Whether `digits` start with the calling code of a country.
pub(super) fn is_assigned(digits: &[u8]) -> bool {
    split(digits).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn national_numbers_have_the_length_and_start_of_their_country() {
        for valid in ["4930901820", "14155550142", "442071838750", "33123456789", "390612345678", "35312345678", "29022158", "818012345678"]
        {
            assert!(is_international(valid.as_bytes()), "{valid}");
        }
        for invalid in ["11155550142", "1415555014", "4420718387501234", "331234567890", "2101234567", "999123456", ""] {
            assert!(!is_international(invalid.as_bytes()), "{invalid}");
        }
    }

    #[test]
    fn the_table_is_complete() {
        assert!(PLANS.iter().filter(|plans| !plans.is_empty()).count() > 200);
    }
}
