//! Numbers that are looked for in a trace, and the numbers in a text.

use super::claims::Claim;
use super::units::Dimension;

/// Claims that are looked for, as ranges of the numbers that would support them. A number of the trace is looked up in logarithmic time, because a
/// trace may have millions.
#[derive(Debug)]
pub(super) struct Sought {
    /// Where ranges start or end, in order.
    bounds: Vec<f64>,
    /// For each bound: the claims whose ranges cover the numbers from it to the next bound, as bits.
    covered: Vec<u64>,
    /// Claims that no number supports yet, as bits.
    missing: u64,
}

impl Sought {
    /// At most 64 claims; a longer list is cut.
    pub(super) fn new(claims: &[Claim]) -> Self {
        let mut ranges: Vec<(f64, f64, u64)> = Vec::new();
        for (index, claim) in claims.iter().take(64).enumerate() {
            // Numbers without a unit may be in any, such as the milliseconds of a field for seconds in prose.
            let variants =
                claim.variants().flat_map(|(low, high)| claim.dimension.scales().iter().map(move |scale| (low / scale, high / scale)));
            ranges.extend(variants.chain([claim.as_written()]).map(|(low, high)| (low, high, 1 << index)));
        }
        let mut bounds: Vec<f64> = ranges.iter().flat_map(|(low, high, _)| [*low, *high]).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let mut covered = vec![0; bounds.len()];
        for (low, high, bit) in ranges {
            let from = bounds.partition_point(|bound| *bound < low);
            for (bound, bits) in bounds.iter().zip(&mut covered).skip(from) {
                if *bound >= high {
                    break;
                }
                *bits |= bit;
            }
        }
        let count = claims.len().min(64);
        Self { bounds, covered, missing: if count == 64 { u64::MAX } else { (1 << count) - 1 } }
    }

    /// Notes a number of the trace.
    pub(super) fn see(&mut self, number: f64) {
        self.see_for(number, u64::MAX);
    }

    /// Notes a number that can support only some of the claims, as bits.
    pub(super) fn see_for(&mut self, number: f64, claims: u64) {
        let at = self.bounds.partition_point(|bound| *bound <= number.abs());
        let covering = at.checked_sub(1).and_then(|at| self.covered.get(at));
        self.missing &= !(covering.copied().unwrap_or_default() & claims);
    }

    /// Notes every number in a text.
    pub(super) fn see_text(&mut self, text: &str) {
        visit_numbers(text, &mut |number| self.see(number));
    }

    /// Notes that the trace shows a claim otherwise.
    pub(super) fn support(&mut self, index: usize) {
        self.missing &= !(1 << index.min(63));
    }

    pub(super) fn is_missing(&self, index: usize) -> bool {
        index < 64 && self.missing & (1 << index) != 0
    }

    pub(super) fn all_found(&self) -> bool {
        self.missing == 0
    }
}

/// The bits of the claims with one of these dimensions.
pub(super) fn bits_of(claims: &[Claim], is_meant: impl Fn(&Claim) -> bool) -> u64 {
    claims.iter().take(64).enumerate().filter(|(_, claim)| is_meant(claim)).fold(0, |bits, (index, _)| bits | (1 << index))
}

/// Calls `visit` with every number in a text, read in each way that is possible: `128.000` may be 128 or 128,000, and `[1,234]` may be two
/// numbers. A duration such as `1m30s` is visited in milliseconds too.
pub(super) fn visit_numbers(text: &str, visit: &mut impl FnMut(f64)) {
    let mut rest = text.as_bytes();
    // The part of a duration before the rest, in milliseconds.
    let mut duration: Option<f64> = None;
    while let Some(at) = rest.iter().position(u8::is_ascii_digit) {
        if at > 0 {
            duration = None;
        }
        rest = rest.get(at..).unwrap_or_default();
        let (integer, digits) = leading_integer(rest);
        visit(integer);
        if digits <= 3 {
            visit_grouped(rest, digits, integer, visit);
        }
        rest = rest.get(digits..).unwrap_or_default();
        let mut number = integer;
        if let Some((fraction, digits)) = leading_fraction(rest) {
            number += fraction;
            visit(number);
            rest = rest.get(1 + digits..).unwrap_or_default();
        }
        if let Some((power, bytes)) = leading_exponent(rest) {
            visit(number * 10_f64.powi(power));
            rest = rest.get(bytes..).unwrap_or_default();
        }
        let (unit, bytes) = match rest {
            [b'm', b's', ..] => (Some(1.0), 2),
            [b'h', ..] => (Some(3.6e6), 1),
            [b'm', ..] => (Some(6e4), 1),
            [b's', ..] => (Some(1e3), 1),
            [b'k' | b'K', next, ..] if !next.is_ascii_alphanumeric() => {
                visit(number * 1e3);
                (None, 1)
            }
            [b'M', next, ..] if !next.is_ascii_alphanumeric() => {
                visit(number * 1e6);
                (None, 1)
            }
            _ => (None, 0),
        };
        duration = unit.map(|unit| {
            let sum = number * unit;
            duration.map_or(sum, |before| {
                visit(before + sum);
                before + sum
            })
        });
        rest = rest.get(bytes..).unwrap_or_default();
    }
}

/// The digits at the start of a text as a number, and how many there are.
fn leading_integer(text: &[u8]) -> (f64, usize) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold((0.0, 0), |(number, count), digit| (number * 10.0 + f64::from(digit - b'0'), count + 1))
}

/// The digits after a point at the start of a text as a number below 1, and how many there are.
fn leading_fraction(text: &[u8]) -> Option<(f64, usize)> {
    /// Further digits are below the precision of a number.
    const DIGITS_MAX: usize = 15;
    let digits = text.strip_prefix(b".")?;
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, read) = leading_integer(digits.get(..count.min(DIGITS_MAX))?);
    (count > 0).then(|| (number / 10_f64.powi(i32::try_from(read).unwrap_or_default()), count))
}

/// The exponent at the start of a text, `e5` or `E-5`, and its length.
fn leading_exponent(text: &[u8]) -> Option<(i32, usize)> {
    let rest = text.strip_prefix(b"e").or_else(|| text.strip_prefix(b"E"))?;
    let is_negative = rest.first() == Some(&b'-');
    let signs = usize::from(is_negative || rest.first() == Some(&b'+'));
    let digits: Vec<u8> = rest.iter().skip(signs).take(3).take_while(|byte| byte.is_ascii_digit()).copied().collect();
    let power = digits.iter().fold(0, |power, digit| power * 10 + i32::from(digit - b'0'));
    (1..=2).contains(&digits.len()).then_some((if is_negative { -power } else { power }, 1 + signs + digits.len()))
}

/// Visits a number whose thousands are separated: `141,397`, `141 397`, `141_397`, with its fraction.
fn visit_grouped(text: &[u8], digits: usize, integer: f64, visit: &mut impl FnMut(f64)) {
    /// More groups are a list. The limit keeps the time linear.
    const GROUPS_MAX: usize = 4;
    let (mut number, mut rest) = (integer, text.get(digits..).unwrap_or_default());
    for _ in 0..GROUPS_MAX {
        let [b',' | b'.' | b'_' | b' ' | b'\'', group @ ..] = rest else { break };
        let (next, 3) = leading_integer(group.get(..group.len().min(4)).unwrap_or_default()) else { break };
        number = number * 1e3 + next;
        rest = group.get(3..).unwrap_or_default();
        visit(number);
    }
    if let Some((fraction, _)) = leading_fraction(rest).filter(|_| number > integer) {
        visit(number + fraction);
    }
}

/// Whether a claim is one of a ratio: a share, a multiple, or a number with a fraction.
pub(super) fn is_ratio(claim: &Claim) -> bool {
    matches!(claim.dimension, Dimension::Percent | Dimension::Times) || (claim.dimension == Dimension::Plain && claim.value.fract() != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<f64> {
        let mut found = Vec::new();
        visit_numbers(text, &mut |number| found.push(number));
        found
    }

    #[test]
    fn numbers_are_read_in_every_format() {
        for (text, expected) in [
            ("at most 128000 tokens", 128_000.0),
            ("at most 128,000 tokens", 128_000.0),
            ("at most 128_000 tokens", 128_000.0),
            ("höchstens 128.000 Token", 128_000.0),
            ("au plus 128 000 jetons", 128_000.0),
            ("1,234,567.5", 1_234_567.5),
            ("\"elapsed\":12.4034,", 12.4034),
            ("1.28e5", 128_000.0),
            ("1.5E-3s", 0.0015),
            ("try again in 1m30s", 90_000.0),
            ("try again in 1h2m3.5s.", 3_723_500.0),
            ("took 7m12.345s", 432_345.0),
            ("[1,234,5]", 234.0),
            ("x86_64", 64.0),
            ("the 128k model", 128_000.0),
            ("id-0042", 42.0),
            ("\u{a0}7", 7.0),
        ] {
            assert!(numbers(text).iter().any(|number| (number - expected).abs() < 1e-6), "{text}: {:?}", numbers(text));
        }
        assert!(numbers("none, é…").is_empty());
        // The end of a fraction is no number of its own.
        assert!(!numbers("0.141397").contains(&141_397.0));
        assert!(!numbers("took 1m then 30s").contains(&90_000.0));
    }

    #[test]
    fn hostile_digits_are_read_in_linear_time() {
        let start = std::time::Instant::now();
        for text in ["9".repeat(1_000_000), "1,234".repeat(200_000), "1.1".repeat(300_000), "1m".repeat(500_000), "1e9".repeat(300_000)] {
            numbers(&text);
        }
        assert!(start.elapsed().as_secs() < 5);
    }
}
