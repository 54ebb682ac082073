//! Medians, quartiles, and outliers.

use serde::{Deserialize, Serialize};

/// The median, the quartiles and the range of a set of measured values.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest value.
    pub min: f64,
    /// The first quartile: a quarter of the values is below.
    pub q1: f64,
    /// The median: half of the values is below.
    pub median: f64,
    /// The third quartile: a quarter of the values is above.
    pub q3: f64,
    /// The largest value.
    pub max: f64,
    /// The number of values.
    pub count: usize,
    /// The number of values that are more than 1.5 interquartile ranges outside of the quartiles.
    /// They are counted, not removed.
    pub outliers: usize,
}

impl Spread {
    /// Computes the spread of `values`. Returns `None` if there are no values, or if one is NaN.
    ///
    /// A quartile between two values is interpolated linearly.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        if sorted.iter().any(|value| value.is_nan()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let [q1, median, q3] = [0.25, 0.5, 0.75].map(|part| quantile(&sorted, part));
        let reach = 1.5 * (q3 - q1);
        let is_outlier = |value: &&f64| **value < q1 - reach || **value > q3 + reach;
        let outliers = sorted.iter().filter(is_outlier).count();
        Some(Spread { min, q1, median, q3, max, count: sorted.len(), outliers })
    }
}

impl Spread {
    /// Returns the spread of the same values multiplied by `factor`. A negative factor reverses their
    /// order.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let Spread { min, q1, median, q3, max, .. } = self;
        let [mut min, mut q1, median, mut q3, mut max] =
            [min, q1, median, q3, max].map(|value| value * factor);
        if factor < 0.0 {
            (min, q1, q3, max) = (max, q3, q1, min);
        }
        Spread { min, q1, median, q3, max, ..self }
    }
}

/// Returns the quantile `part` of the sorted values, with linear interpolation.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let position = part * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    below + (above - below) * position.fract()
}

/// The comparison of two interleaved series, round by round.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// The first value divided by the second, for each round.
    pub ratio: Spread,
    /// The first value minus the second, for each round.
    pub difference: Spread,
}

impl Comparison {
    /// Compares `one` with `other`, value by value. Returns `None` if their lengths differ, or if a
    /// ratio is NaN.
    ///
    /// The two values of a round were measured right after each other, so a machine that becomes
    /// slower affects both.
    pub fn of(one: &[f64], other: &[f64]) -> Option<Self> {
        if one.len() != other.len() {
            return None;
        }
        let pairs = || one.iter().zip(other);
        Some(Comparison {
            ratio: Spread::of(pairs().map(|(one, other)| one / other))?,
            difference: Spread::of(pairs().map(|(one, other)| one - other))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated() {
        let spread = Spread::of([5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!((spread.min, spread.max, spread.count), (1.0, 5.0, 5));
        assert_eq!((spread.q1, spread.median, spread.q3), (2.0, 3.0, 4.0));
        let even = Spread::of([1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((even.q1, even.median, even.q3), (1.75, 2.5, 3.25));
        let one = Spread::of([7.0]).unwrap();
        assert_eq!((one.q1, one.median, one.q3, one.outliers), (7.0, 7.0, 7.0, 0));
    }

    #[test]
    fn outliers_are_counted_and_kept() {
        let mut values = vec![10.0; 20];
        values.extend([11.0, 500.0]);
        let spread = Spread::of(values).unwrap();
        assert_eq!((spread.outliers, spread.max, spread.median), (2, 500.0, 10.0));
        // A value exactly 1.5 interquartile ranges outside is no outlier.
        let edge = Spread::of([0.0, 10.0, 20.0, 30.0, 40.0]).unwrap();
        assert_eq!(edge.outliers, 0);
    }

    #[test]
    fn scaling_by_a_negative_factor_reverses_the_order() {
        let turned = Spread::of([1.0, 2.0, 3.0, 4.0, 50.0]).unwrap().scaled(-2.0);
        assert_eq!((turned.min, turned.q1, turned.median), (-100.0, -8.0, -6.0));
        assert_eq!((turned.q3, turned.max, turned.outliers), (-4.0, -2.0, 1));
    }

    #[test]
    fn empty_and_nan_values_have_no_spread() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::NAN]), None);
        assert_eq!(Comparison::of(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(Comparison::of(&[0.0], &[0.0]), None);
    }

    /// On a machine that becomes slower with each round, the medians of the two series say little, but
    /// the ratio of each round stays the same.
    #[test]
    fn series_are_compared_round_by_round() {
        let slower: Vec<f64> = (1..=31).map(|round| 100.0 * f64::from(round)).collect();
        let one: Vec<f64> = slower.iter().map(|value| value * 1.5).collect();
        let comparison = Comparison::of(&one, &slower).unwrap();
        assert_eq!((comparison.ratio.q1, comparison.ratio.q3), (1.5, 1.5));
        assert_eq!(comparison.difference.median, 800.0);
    }
}
