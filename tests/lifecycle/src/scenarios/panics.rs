//! Panics of host functions, owners and callers.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use gpu_stream_conformance::outcome::{check, check_eq, check_err};
use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_core::{
    Backend, ErrorKind, Event, EventOptions, EventStatus, Stream, StreamOptions, StreamOwner,
};

use super::{check_usable, device, own_stream, stream};

/// Panics without a message on stderr.
fn panic_silently<T>() -> T {
    resume_unwind(Box::new("deliberate"))
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_silently()
    }
}

/// Returns `true` if `run` panics.
fn panics<T>(run: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

pub(super) fn in_a_host_function<F: Fixture>(fx: &'static F) -> Outcome {
    let (first, second, third) = (stream(fx)?, stream(fx)?, stream(fx)?);
    let bomb = Bomb;
    first.launch_host_func(Box::new(panic_silently::<()>))?;
    second.launch_host_func(Box::new(move || drop(bomb)))?;
    third.launch_host_func(Box::new(|| resume_unwind(Box::new(Bomb))))?;
    for faulty in [&first, &second, &third] {
        check_err(faulty.synchronize(), ErrorKind::StreamFault, "synchronize after a panic")?;
        check_err(faulty.query(), ErrorKind::StreamFault, "query after a panic")?;
        check_err(faulty.record_event(), ErrorKind::StreamFault, "record after a panic")?;
    }
    check_usable(fx)?;
    drop((first, second, third));
    check_usable(fx)
}

/// Owner whose drop panics.
struct PanickingOwner<F: Fixture>(F::Foreign);

impl<F: Fixture> Drop for PanickingOwner<F> {
    fn drop(&mut self) {
        panic_silently()
    }
}

// SAFETY: `raw_stream` returns the handle of the foreign stream in `self`, which lives as long as `self`.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for PanickingOwner<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.0.raw_stream()
    }
}

pub(super) fn in_an_owner<F: Fixture>(fx: &'static F) -> Outcome {
    let wrap_foreign = || {
        let foreign = fx.foreign(device(fx)?, StreamOptions::new())?;
        let stream = F::Backend::stream_from_owner(Arc::new(PanickingOwner::<F>(foreign)), None)?;
        fx.store(&stream, &fx.data(stream.device(), 0)?, 1)?;
        Ok::<_, gpu_stream_conformance::Verdict>(stream)
    };
    let one = wrap_foreign()?;
    check(panics(move || drop(one)), "the last wrapper was dropped, but its owner was not")?;
    check_usable(fx)?;

    let keeps = F::Backend::EVENTS_KEEP_OWNER;
    for options in [EventOptions::new(), EventOptions::timed()] {
        // The owner is dropped with the event, if the event keeps it.
        let (one, event) = (wrap_foreign()?, F::Backend::new_event(device(fx)?, options)?);
        one.record(&event)?;
        check_eq(panics(move || drop(one)), !keeps, "a panic with the wrapper")?;
        check_eq(panics(move || drop(event)), keeps, "a panic with the event")?;
        check_usable(fx)?;

        // The owner is dropped when a new record replaces the old one. The new record is made anyway.
        let (one, event) = (wrap_foreign()?, F::Backend::new_event(device(fx)?, options)?);
        one.record(&event)?;
        check_eq(panics(move || drop(one)), !keeps, "a panic with the wrapper")?;
        let other = stream(fx)?;
        let gate = fx.gate(&other)?;
        // Backends that defer the drop to the end of the call catch the panic.
        let _ = panics(|| other.record(&event));
        check_eq(event.status()?, EventStatus::Pending, "the status of the new record")?;
        drop(gate);
        event.synchronize()?;
        check_eq(event.status()?, EventStatus::Complete, "the status of the new record")?;
    }

    // In a host function the panic is a fault of that stream, or the drop is deferred to a call that catches it.
    let (carrier, one) = (stream(fx)?, wrap_foreign()?);
    carrier.launch_host_func(Box::new(move || drop(one)))?;
    let _ = carrier.synchronize();
    let escaped = panics(|| stream(fx).map(drop));
    check(!escaped, "the panic of an owner escaped from an unrelated call")?;
    check_usable(fx)
}

pub(super) fn with_all_alive<F: Fixture>(fx: &'static F) -> Outcome {
    let before = fx.thread_state()?;
    for _ in 0..20 {
        let unwound = panics(|| {
            let foreign = fx.foreign(device(fx)?, StreamOptions::new())?;
            let owner = Arc::new(ForeignOwner::<F>(foreign));
            let foreign_stream = F::Backend::stream_from_owner(owner, None)?;
            let (new_stream, own) = (stream(fx)?, own_stream(fx)?);
            let _gate = fx.gate(&foreign_stream)?;
            new_stream.wait_stream(&foreign_stream)?;
            new_stream.launch_host_func(Box::new(|| ()))?;
            let _events =
                [foreign_stream.record_event()?, new_stream.record_event()?, own.record_event()?];
            panic_silently::<Outcome>()
        });
        check(unwound, "the panic did not unwind")?;
        check_usable(fx)?;
    }
    check_eq(fx.thread_state()?, before, "the thread's state")
}

/// Owner of a foreign stream.
struct ForeignOwner<F: Fixture>(F::Foreign);

// SAFETY: `raw_stream` returns the handle of the foreign stream in `self`, which lives as long as `self`.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for ForeignOwner<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.0.raw_stream()
    }
}

/// Owner that panics when it is asked for its handle.
struct HandlelessOwner<F: Fixture>(
    #[allow(dead_code, reason = "keeps the stream alive")] Arc<F::Foreign>,
);

// SAFETY: `raw_stream` never returns.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for HandlelessOwner<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        panic_silently()
    }
}

pub(super) fn through_calls<F: Fixture>(fx: &'static F) -> Outcome {
    let before = fx.thread_state()?;
    let foreign = Arc::new(fx.foreign(device(fx)?, StreamOptions::new())?);
    let owner = Arc::new(HandlelessOwner::<F>(Arc::clone(&foreign)));
    let wrapped = panics(|| F::Backend::stream_from_owner(Arc::clone(&owner), None));
    check(wrapped, "wrapping did not read the handle")?;
    check_eq(Arc::strong_count(&owner), 1, "references to the owner")?;
    fx.foreign_works(&foreign)?;

    let (main, branches) = (stream(fx)?, [stream(fx)?, stream(fx)?, stream(fx)?]);
    for stop in 0..=branches.len() {
        let panicking_branches = || {
            branches.iter().enumerate().map(move |(index, branch)| match index {
                index if index == stop => panic_silently(),
                _ => branch,
            })
        };
        let gate = fx.gate(&main)?;
        let data = fx.data(main.device(), 0)?;
        fx.store(&main, &data, 1)?;
        check_eq(
            panics(|| main.fork(panicking_branches())),
            stop < branches.len(),
            "a panic in fork",
        )?;
        // Exactly the branches before the panic wait.
        for (index, branch) in branches.iter().enumerate() {
            if index < stop {
                check(!branch.query()?, format_args!("branch {index} of {stop} does not wait"))?;
            }
        }
        drop(gate);
        check_eq(
            panics(|| main.join(panicking_branches())),
            stop < branches.len(),
            "a panic in join",
        )?;
        main.synchronize()?;
        check_eq(fx.load(&data)?, 1, "the number")?;
        check_eq(fx.thread_state()?, before.clone(), "the thread's state")?;
    }
    check_usable(fx)
}
