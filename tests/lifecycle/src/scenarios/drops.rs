//! Handles dropped in every order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream_conformance::outcome::{check, check_eq};
use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_core::{Backend, Stream, StreamOptions, StreamOwner};

use super::{check_usable, device, stream, wait_until};

/// How many things are dropped.
const THINGS: usize = 6;

/// A foreign stream that counts its end.
struct Counted<F: Fixture>(F::Foreign, Arc<AtomicU32>);

impl<F: Fixture> Drop for Counted<F> {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: the stream is that of the foreign owner inside, which lives as long as this.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for Counted<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.0.raw_stream()
    }
}

/// All orders of so many things, by Heap's algorithm.
fn orders() -> Vec<[usize; THINGS]> {
    fn heap(count: usize, order: &mut [usize; THINGS], all: &mut Vec<[usize; THINGS]>) {
        if count <= 1 {
            return all.push(*order);
        }
        for index in 0..count {
            heap(count - 1, order, all);
            if index + 1 < count {
                order.swap(if count.is_multiple_of(2) { index } else { 0 }, count - 1);
            }
        }
    }
    let mut all = Vec::new();
    heap(THINGS, &mut std::array::from_fn(|index| index), &mut all);
    all
}

pub(super) fn every_order<F: Fixture>(fx: &'static F) -> Outcome {
    let orders = orders();
    check_eq("how many orders there are", orders.len(), 720)?;
    for (index, order) in orders.iter().enumerate() {
        // The gate opens at another place each time: before the first, between two, or at the end.
        one_order(fx, order, Some(index % (THINGS + 1)))?;
    }
    check_usable(fx)
}

pub(super) fn every_order_idle<F: Fixture>(fx: &'static F) -> Outcome {
    for order in orders() {
        one_order(fx, &order, None)?;
    }
    check_usable(fx)
}

/// `open_at`: before which of the drops the gate is opened; with none, the work is over first.
fn one_order<F: Fixture>(fx: &'static F, order: &[usize], open_at: Option<usize>) -> Outcome {
    let ended = Arc::new(AtomicU32::new(0));
    let foreign = fx.foreign(device(fx)?, StreamOptions::new())?;
    let owner = Arc::new(Counted::<F>(foreign, Arc::clone(&ended)));
    let theirs = F::Backend::stream_from_owner(Arc::clone(&owner), None)?;
    let (ours, waiter) = (stream(fx)?, stream(fx)?);
    let mut gate = match open_at {
        Some(_) => Some(fx.gate(&theirs)?),
        None => None,
    };
    let data: [_; 3] =
        [fx.data(ours.device(), 0)?, fx.data(ours.device(), 0)?, fx.data(ours.device(), 0)?];
    fx.store(&theirs, &data[0], 1)?;
    let their_event = theirs.record_event()?;
    ours.wait_event(&their_event)?;
    fx.copy(&ours, &data[0], &data[1])?;
    let our_event = ours.record_event()?;
    waiter.wait_event(&our_event)?;
    waiter.wait_stream(&theirs)?;
    fx.copy(&waiter, &data[1], &data[2])?;
    if open_at.is_none() {
        waiter.synchronize()?;
    }
    let (mut owner, mut theirs, mut their_event) = (Some(owner), Some(theirs), Some(their_event));
    let (mut ours, mut our_event, mut waiter) = (Some(ours), Some(our_event), Some(waiter));
    for (position, thing) in order.iter().enumerate() {
        if open_at == Some(position) {
            gate = None;
        }
        match thing {
            0 => owner = None,
            1 => theirs = None,
            2 => their_event = None,
            3 => ours = None,
            4 => our_event = None,
            _ => waiter = None,
        }
        let is_needed = owner.is_some()
            || theirs.is_some()
            || (F::Backend::EVENTS_KEEP_OWNER && their_event.is_some());
        let seen = ended.load(Ordering::SeqCst);
        check(!(is_needed && seen > 0), format_args!("{order:?}: the owner was let go too early"))?;
        check(
            is_needed || seen == 1,
            format_args!("{order:?}: nobody needs the owner, and {seen} have ended"),
        )?;
    }
    drop(gate);
    drop((ours, our_event, waiter));
    // Whatever was dropped, what was submitted is run.
    wait_until(|| fx.load(&data[2]).is_ok_and(|seen| seen == 1));
    check_eq("how often the owner was dropped", ended.load(Ordering::SeqCst), 1)
}
