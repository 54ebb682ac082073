//! Medians, quartiles, and what lies far outside of them.

use serde::{Deserialize, Serialize};

/// Where the middle of some measured values lies, and how far they are spread.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest value.
    pub min: f64,
    /// A quarter of the values is below.
    pub q1: f64,
    /// Half of the values is below.
    pub median: f64,
    /// A quarter of the values is above.
    pub q3: f64,
    /// The largest value.
    pub max: f64,
    /// How many values there are.
    pub count: usize,
    /// How many of them lie more than one and a half times the distance of the quartiles outside of
    /// the quartiles. They are counted and not taken out.
    pub outliers: usize,
}

impl Spread {
    /// The spread of `values`; `None` if there is none, or one that is not a number.
    ///
    /// A quartile between two values lies between them in proportion.
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
    /// The spread of the same values, each times `factor`; a negative one turns them round.
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

/// The value below which this part of the sorted values lies.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// How two series that were measured in turn compare, round by round.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// The one's value through the other's, of each round.
    pub ratio: Spread,
    /// The one's value less the other's, of each round.
    pub difference: Spread,
}

impl Comparison {
    /// Compares `one` with `other`, value by value: the two of a round were measured right after
    /// each other, so that a machine that grows slower does so for both. `None` if they are not of
    /// the same length, or a ratio is not a number.
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
    fn quartiles_lie_where_they_should() {
        let spread = Spread::of([5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!((spread.min, spread.max, spread.count), (1.0, 5.0, 5));
        assert_eq!((spread.q1, spread.median, spread.q3), (2.0, 3.0, 4.0));
        let even = Spread::of([1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((even.q1, even.median, even.q3), (1.75, 2.5, 3.25));
        let one = Spread::of([7.0]).unwrap();
        assert_eq!((one.q1, one.median, one.q3, one.outliers), (7.0, 7.0, 7.0, 0));
    }

    #[test]
    fn outliers_are_counted_and_stay() {
        let mut values = vec![10.0; 20];
        values.extend([11.0, 500.0]);
        let spread = Spread::of(values).unwrap();
        assert_eq!((spread.outliers, spread.max, spread.median), (2, 500.0, 10.0));
        // At one and a half times the distance, a value is still inside.
        let edge = Spread::of([0.0, 10.0, 20.0, 30.0, 40.0]).unwrap();
        assert_eq!(edge.outliers, 0);
    }

    #[test]
    fn what_is_scaled_keeps_its_order() {
        let turned = Spread::of([1.0, 2.0, 3.0, 4.0, 50.0]).unwrap().scaled(-2.0);
        assert_eq!((turned.min, turned.q1, turned.median), (-100.0, -8.0, -6.0));
        assert_eq!((turned.q3, turned.max, turned.outliers), (-4.0, -2.0, 1));
    }

    #[test]
    fn nothing_has_no_middle() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::NAN]), None);
        assert_eq!(Comparison::of(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(Comparison::of(&[0.0], &[0.0]), None);
    }

    /// A machine that gets ten times slower halfway through: the medians of the two series say
    /// little, and the ratio of each round is what it was.
    #[test]
    fn rounds_are_compared_one_by_one() {
        let slower: Vec<f64> = (1..=31).map(|round| 100.0 * f64::from(round)).collect();
        let one: Vec<f64> = slower.iter().map(|value| value * 1.5).collect();
        let comparison = Comparison::of(&one, &slower).unwrap();
        assert_eq!((comparison.ratio.q1, comparison.ratio.q3), (1.5, 1.5));
        assert_eq!(comparison.difference.median, 800.0);
    }
}
