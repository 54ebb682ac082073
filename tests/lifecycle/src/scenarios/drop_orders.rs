//! Drops handles in every order, and beside a host function.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use gpu_stream_conformance::outcome::{check, check_eq};
use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_core::{Backend, Stream, StreamOptions, StreamOwner};

use super::{check_usable, device, stream, wait_until};

/// Number of values that are dropped.
const VALUES: usize = 6;

/// Owner of a foreign stream that counts its own drop.
struct CountingOwner<F: Fixture>(F::Foreign, Arc<AtomicU32>);

impl<F: Fixture> Drop for CountingOwner<F> {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: `raw_stream` returns the handle of the foreign stream in `self`, which lives as long as `self`.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for CountingOwner<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.0.raw_stream()
    }
}

/// Returns all permutations of the values (Heap's algorithm, 1963).
fn orders() -> Vec<[usize; VALUES]> {
    fn permute(count: usize, order: &mut [usize; VALUES], all: &mut Vec<[usize; VALUES]>) {
        if count <= 1 {
            return all.push(*order);
        }
        for index in 0..count {
            permute(count - 1, order, all);
            if index + 1 < count {
                order.swap(if count.is_multiple_of(2) { index } else { 0 }, count - 1);
            }
        }
    }
    let mut all = Vec::new();
    permute(VALUES, &mut std::array::from_fn(|index| index), &mut all);
    all
}

pub(super) fn every_order<F: Fixture>(fx: &'static F) -> Outcome {
    let orders = orders();
    check_eq(orders.len(), 720, "the number of orders")?;
    for (index, order) in orders.iter().enumerate() {
        // The gate opens at a different position each time: before, between or after the drops.
        one_order(fx, order, Some(index % (VALUES + 1)))?;
    }
    check_usable(fx)
}

pub(super) fn every_order_idle<F: Fixture>(fx: &'static F) -> Outcome {
    for order in orders() {
        one_order(fx, &order, None)?;
    }
    check_usable(fx)
}

/// Drops the values in one order.
///
/// The gate opens before the drop with the number `open_at`. Without it, the work completes before the drops.
fn one_order<F: Fixture>(fx: &'static F, order: &[usize], open_at: Option<usize>) -> Outcome {
    let dropped = Arc::new(AtomicU32::new(0));
    let foreign = fx.foreign(device(fx)?, StreamOptions::new())?;
    let owner = Arc::new(CountingOwner::<F>(foreign, Arc::clone(&dropped)));
    let foreign_stream = F::Backend::stream_from_owner(Arc::clone(&owner), None)?;
    let (own_stream, waiter) = (stream(fx)?, stream(fx)?);
    let mut gate = match open_at {
        Some(_) => Some(fx.gate(&foreign_stream)?),
        None => None,
    };
    let new_data = || fx.data(own_stream.device(), 0);
    let data = [new_data()?, new_data()?, new_data()?];
    fx.store(&foreign_stream, &data[0], 1)?;
    let foreign_event = foreign_stream.record_event()?;
    own_stream.wait_event(&foreign_event)?;
    fx.copy(&own_stream, &data[0], &data[1])?;
    let own_event = own_stream.record_event()?;
    waiter.wait_event(&own_event)?;
    waiter.wait_stream(&foreign_stream)?;
    fx.copy(&waiter, &data[1], &data[2])?;
    if open_at.is_none() {
        waiter.synchronize()?;
    }
    let (mut owner, mut foreign_stream, mut foreign_event) =
        (Some(owner), Some(foreign_stream), Some(foreign_event));
    let (mut own_stream, mut own_event, mut waiter) =
        (Some(own_stream), Some(own_event), Some(waiter));
    for (position, value) in order.iter().enumerate() {
        if open_at == Some(position) {
            gate = None;
        }
        match value {
            0 => owner = None,
            1 => foreign_stream = None,
            2 => foreign_event = None,
            3 => own_stream = None,
            4 => own_event = None,
            _ => waiter = None,
        }
        let is_needed = owner.is_some()
            || foreign_stream.is_some()
            || (F::Backend::EVENTS_KEEP_OWNER && foreign_event.is_some());
        let drops = dropped.load(Ordering::SeqCst);
        check(
            !(is_needed && drops > 0),
            format_args!("{order:?}: the owner was dropped too early"),
        )?;
        check(
            is_needed || drops == 1,
            format_args!("{order:?}: the owner is not referenced, but was dropped {drops} times"),
        )?;
    }
    drop(gate);
    drop((own_stream, own_event, waiter));
    // The submitted work runs although all handles were dropped.
    wait_until(|| fx.load(&data[2]).is_ok_and(|value| value == 1));
    check_eq(dropped.load(Ordering::SeqCst), 1, "drops of the owner")
}

pub(super) fn beside_a_host_function<F: Fixture>(fx: &'static F) -> Outcome {
    let (busy, idle) = (stream(fx)?, stream(fx)?);
    let used = stream(fx)?;
    used.launch_host_func(Box::new(|| ()))?;
    used.synchronize()?;
    let begun = Arc::new(AtomicBool::new(false));
    let dropped = Arc::new(AtomicBool::new(false));
    let (begin, release) = (Arc::clone(&begun), Arc::clone(&dropped));
    busy.launch_host_func(Box::new(move || {
        begin.store(true, Ordering::SeqCst);
        wait_until(|| release.load(Ordering::SeqCst));
    }))?;
    wait_until(|| begun.load(Ordering::SeqCst));
    // A drop that waits for the host function never returns.
    drop((idle, used));
    dropped.store(true, Ordering::SeqCst);
    busy.synchronize()?;
    check_usable(fx)
}
