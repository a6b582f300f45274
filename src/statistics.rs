//! Statistical tests on counts. Pure functions.

/// How many items of a group have a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Items with the property.
    pub(crate) with: u64,
    /// Items of the group.
    pub(crate) of: u64,
}

impl Share {
    /// The share, from 0 to 1; 0 for an empty group.
    pub(crate) fn value(self) -> f64 {
        number(self.with) / number(self.of.max(1))
    }
}

/// The one-sided exact test of Fisher: the probability that at least `one.with` of the items with the property are in the first group, if the
/// property has nothing to do with the groups.
pub(crate) fn exact_test(one: Share, other: Share) -> f64 {
    let (with, all) = (one.with + other.with, one.of + other.of);
    let choices = |of: u64, chosen: u64| ln_factorial(of) - ln_factorial(chosen) - ln_factorial(of - chosen);
    let total = choices(all, one.of);
    let mut probability = 0.0;
    for count in one.with..=one.of.min(with) {
        // Without the value there must be enough traces for the rest.
        if one.of - count > all - with {
            continue;
        }
        let term = (choices(with, count) + choices(all - with, one.of - count) - total).exp();
        probability += term;
        // The terms only become smaller.
        if term <= probability * 1e-9 {
            break;
        }
    }
    probability.min(1.0)
}

/// The two-sided exact test: twice the probability of the side on which the shares differ, which is the smaller one.
pub(crate) fn exact_test_two_sided(one: Share, other: Share) -> f64 {
    let (more, less) = if one.value() >= other.value() { (one, other) } else { (other, one) };
    (2.0 * exact_test(more, less)).min(1.0)
}

/// The natural logarithm of `n!`: the series of Stirling, whose error is below 1e-9 from 20 on.
fn ln_factorial(n: u64) -> f64 {
    const EXACT_MAX: u64 = 20;
    if n <= EXACT_MAX {
        return (2..=n).map(|factor| number(factor).ln()).sum();
    }
    let x = number(n);
    x * x.ln() - x + 0.5 * (std::f64::consts::TAU * x).ln() + 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3))
}

/// A count, to calculate with it.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(with: u64, of: u64) -> Share {
        Share { with, of }
    }

    #[test]
    fn the_test_gives_the_known_probabilities() {
        // The tea of R. A. Fisher, and values of R: fisher.test(matrix(...), alternative = "greater").
        for (failed, healthy, expected) in
            [((4, 4), (0, 4), 1.0 / 70.0), ((3, 4), (1, 4), 17.0 / 70.0), ((5, 5), (0, 20), 1.0 / 53_130.0), ((10, 10), (10, 10), 1.0)]
        {
            let found = exact_test(share(failed.0, failed.1), share(healthy.0, healthy.1));
            assert!((found / expected - 1.0).abs() < 1e-6, "{failed:?} {healthy:?}: {found} and not {expected}");
        }
        let exact: f64 = (2..=170_u32).map(|factor| f64::from(factor).ln()).sum();
        assert!((ln_factorial(170) - exact).abs() < 1e-9);
        assert!(exact_test(share(1_000_000, 1_000_000), share(0, 1_000_000)) < 1e-300, "large counts do not overflow");
    }

    #[test]
    fn the_two_sided_test_is_symmetric_and_never_above_1() {
        for (one, other) in
            [(share(5, 100), share(20, 110)), (share(0, 10), share(0, 20)), (share(3, 3), share(0, 1)), (share(0, 0), share(0, 0))]
        {
            let (there, back) = (exact_test_two_sided(one, other), exact_test_two_sided(other, one));
            assert!((there - back).abs() < 1e-12 && there <= 1.0, "{one:?} {other:?}: {there} {back}");
        }
        assert!((exact_test_two_sided(share(4, 4), share(0, 4)) - 2.0 / 70.0).abs() < 1e-9);
        assert!(exact_test_two_sided(share(0, 1_000), share(20, 1_000)) < 1e-5);
        assert!(exact_test_two_sided(share(0, 1_000), share(2, 1_000)) > 0.4, "two traces say nothing");
    }
}
