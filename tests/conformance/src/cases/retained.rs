//! What the cases about retained values share: values whose drops are observed.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use super::support::*;
use crate::retention::{Retention, Value};

/// The values that were dropped, each with the thread that dropped it, in the order of the drops.
#[derive(Clone, Default)]
pub(super) struct Log(pub(super) Arc<Mutex<Vec<(u32, ThreadId)>>>);

/// A value whose drop is observed, and which then runs a closure.
pub(super) struct Logged {
    log: Log,
    pub(super) number: u32,
    on_drop: Option<Box<dyn FnOnce() + Send>>,
}

impl Drop for Logged {
    fn drop(&mut self) {
        let entry = (self.number, thread::current().id());
        self.log.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        if let Some(on_drop) = self.on_drop.take() {
            on_drop();
        }
    }
}

impl Log {
    pub(super) fn value(&self, number: u32) -> Value {
        Box::new(Logged { log: self.clone(), number, on_drop: None })
    }

    pub(super) fn value_with(&self, number: u32, on_drop: impl FnOnce() + Send + 'static) -> Value {
        Box::new(Logged { log: self.clone(), number, on_drop: Some(Box::new(on_drop)) })
    }

    pub(super) fn entries(&self) -> Vec<(u32, ThreadId)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks that the values `wanted` were dropped, in this order, and no others.
    #[track_caller]
    pub(super) fn check(&self, wanted: impl IntoIterator<Item = u32>) -> Outcome {
        let dropped: Vec<_> = self.entries().into_iter().map(|(number, _)| number).collect();
        let wanted: Vec<_> = wanted.into_iter().collect();
        let same = dropped.iter().zip(&wanted).take_while(|(seen, wanted)| seen == wanted).count();
        let is_equal = dropped.len() == wanted.len() && same == wanted.len();
        let (seen, right) = (dropped.get(same), wanted.get(same));
        let (count, right_count) = (dropped.len(), wanted.len());
        check(
            is_equal,
            format_args!(
                "{count} values were dropped and not {right_count}; number {same} is {seen:?} and should be {right:?}"
            ),
        )
    }

    /// Checks that the values `wanted`, which are sorted, were dropped in any order, and no others.
    #[track_caller]
    pub(super) fn check_in_any_order(&self, wanted: &[u32]) -> Outcome {
        let mut dropped: Vec<_> = self.entries().into_iter().map(|(number, _)| number).collect();
        dropped.sort_unstable();
        check_eq(dropped, wanted.to_vec(), "the list of dropped values, sorted")
    }
}

/// Drops what is done, of which there are `wanted` values in all. Where queries are exact, one collect must drop them.
///
/// Elsewhere the collect is repeated, until the time limit of the case.
pub(super) fn collect_done<F: Fixture>(
    fx: &F,
    kept: &dyn Retention<F::Backend>,
    log: &Log,
    wanted: usize,
) -> Result<(usize, usize), Verdict> {
    let first = kept.collect()?;
    let (mut dropped, mut pending) = (first.dropped, first.pending);
    while !fx.queries_are_exact() && log.entries().len() < wanted {
        thread::yield_now();
        let again = kept.collect()?;
        (dropped, pending) = (dropped + again.dropped, again.pending);
    }
    Ok((dropped, pending))
}

/// Retains `value`, which must succeed.
pub(super) fn retain<F: Fixture>(
    kept: &dyn Retention<F::Backend>,
    value: Value,
    streams: &[&StreamOf<F>],
) -> Outcome {
    Ok(kept.retain(value, streams).map_err(|refused| refused.into_error())?)
}
