//! Prefix sums on the lanes of a [`Pipeline`]: [`prefix_sum`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gpu_stream::prelude::*;

use crate::{Pipeline, Stage};

/// Numbers that streams work on, in several parts. Cloning it clones a reference to them.
#[derive(Clone, Debug)]
pub struct Numbers(Arc<[Mutex<Vec<u64>>]>);

impl Numbers {
    /// Splits `values` into `parts` parts of nearly equal size.
    pub fn new(values: &[u64], parts: usize) -> Self {
        let parts = parts.max(1);
        let cut = |part: usize| part * values.len() / parts;
        let range = |part| values[cut(part)..cut(part + 1)].to_vec();
        Numbers((0..parts).map(range).map(Mutex::new).collect())
    }

    /// Returns the number of parts.
    pub fn parts(&self) -> usize {
        self.0.len()
    }

    /// Changes every number, part by part.
    pub fn change(&self, change: impl Fn(u64) -> u64) {
        for part in 0..self.parts() {
            self.part(part).iter_mut().for_each(|value| *value = change(*value));
        }
    }

    /// Returns the current numbers.
    pub fn to_vec(&self) -> Vec<u64> {
        (0..self.parts()).flat_map(|part| self.part(part).clone()).collect()
    }

    // The lock is never contended in a run: the order of the streams keeps the lanes apart.
    fn part(&self, part: usize) -> MutexGuard<'_, Vec<u64>> {
        self.0[part].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces each number by the sum of it and all before it, on the lanes of `pipeline`. Does not
/// block: later work of `caller` sees the sums in `numbers`.
///
/// # Errors
/// As [`Pipeline::run`].
pub fn prefix_sum<S: Stream>(
    pipeline: &Pipeline<S::Backend>,
    caller: &S,
    numbers: &Numbers,
) -> Result<(), ErrorOf<S>> {
    pipeline.run(caller, &stages(numbers, pipeline.lanes().len()))
}

/// Returns the two stages: the sums within each part, then the addition of the totals of all
/// earlier parts. A lane has every `lanes`th part.
fn stages(numbers: &Numbers, lanes: usize) -> [Stage; 2] {
    let parts = numbers.parts();
    let of_lane = move |lane: usize| (lane..parts).step_by(lanes);
    let totals: Arc<[Mutex<u64>]> = (0..numbers.parts()).map(|_| Mutex::new(0)).collect();
    let (first, second) = (numbers.clone(), numbers.clone());
    let (write, read) = (Arc::clone(&totals), totals);
    let alone = move |lane: usize| {
        for part in of_lane(lane) {
            let mut sum = 0;
            for value in first.part(part).iter_mut() {
                sum += *value;
                *value = sum;
            }
            *write[part].lock().unwrap_or_else(PoisonError::into_inner) = sum;
        }
    };
    let together = move |lane: usize| {
        let total = |total: &Mutex<u64>| *total.lock().unwrap_or_else(PoisonError::into_inner);
        for part in of_lane(lane) {
            let before: u64 = read[..part].iter().map(total).sum();
            second.part(part).iter_mut().for_each(|value| *value += before);
        }
    };
    [Arc::new(alone), Arc::new(together)]
}
