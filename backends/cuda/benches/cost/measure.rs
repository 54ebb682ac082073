//! Measures pairs of batches, and summarizes them.

use std::time::Instant;

/// The number of pairs of batches per row.
const PAIRS: usize = 101;

/// The number of calls per batch. More would fill a stream's queue.
const CALLS: u32 = 256;

/// The median and the quartiles.
#[derive(Clone, Copy)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |quarters: usize| values[(values.len() - 1) * quarters / 4];
        Spread { low: at(1), median: at(2), high: at(3) }
    }
}

/// The costs of two ways to do one job, in nanoseconds per call.
pub struct Paired {
    pub bare: Spread,
    pub ours: Spread,
    /// The ratio of ours to bare, of each pair.
    pub ratio: Spread,
    /// The difference of ours and bare, of each pair.
    pub more: Spread,
}

impl Paired {
    /// Returns the median costs of the pairs: bare, ours.
    pub fn of(pairs: &[(f64, f64)]) -> Self {
        let spread = |value: fn(&(f64, f64)) -> f64| Spread::of(pairs.iter().map(value).collect());
        Paired {
            bare: spread(|pair| pair.0),
            ours: spread(|pair| pair.1),
            ratio: spread(|pair| pair.1 / pair.0),
            more: spread(|pair| pair.1 - pair.0),
        }
    }
}

/// Measures both in turn. Calls `settle` between the batches, which is not measured.
pub fn pair(settle: &dyn Fn(), mut bare: impl FnMut(), mut ours: impl FnMut()) -> Paired {
    for _ in 0..3 {
        batch(&mut bare);
        batch(&mut ours);
        settle();
    }
    let pairs: Vec<_> = (0..PAIRS)
        .map(|index| {
            if index % 2 == 0 {
                let first = batch(&mut bare);
                settle();
                let second = batch(&mut ours);
                settle();
                (first, second)
            } else {
                let first = batch(&mut ours);
                settle();
                let second = batch(&mut bare);
                settle();
                (second, first)
            }
        })
        .collect();
    Paired::of(&pairs)
}

fn batch(call: &mut impl FnMut()) -> f64 {
    let since = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    since.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}
