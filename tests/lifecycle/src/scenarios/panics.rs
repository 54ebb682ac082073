//! Panics while something is held.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use gpu_stream_conformance::outcome::{check, check_eq, check_err};
use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_core::{
    Backend, ErrorKind, Event, EventOptions, EventStatus, Stream, StreamOptions, StreamOwner,
};

use super::{check_usable, device, stream};

/// Unwinds as a panic does, without its message on stderr.
fn fail<T>() -> T {
    resume_unwind(Box::new("meant to"))
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        fail()
    }
}

/// Whether `run` panics.
fn panics<T>(run: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

pub(super) fn in_a_host_function<F: Fixture>(fx: &'static F) -> Outcome {
    let (first, second, third) = (stream(fx)?, stream(fx)?, stream(fx)?);
    let bomb = Bomb;
    first.launch_host_func(Box::new(fail::<()>))?;
    second.launch_host_func(Box::new(move || drop(bomb)))?;
    third.launch_host_func(Box::new(|| resume_unwind(Box::new(Bomb))))?;
    for faulty in [&first, &second, &third] {
        check_err("synchronize behind a panic", faulty.synchronize(), ErrorKind::StreamFault)?;
        check_err("query behind a panic", faulty.query(), ErrorKind::StreamFault)?;
        check_err("record behind a panic", faulty.record_event(), ErrorKind::StreamFault)?;
    }
    check_usable(fx)?;
    drop((first, second, third));
    check_usable(fx)
}

/// An owner whose end is a panic.
struct Explosive<F: Fixture>(F::Foreign);

impl<F: Fixture> Drop for Explosive<F> {
    fn drop(&mut self) {
        fail()
    }
}

// SAFETY: the stream is that of the foreign owner inside, which lives as long as this.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for Explosive<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.0.raw_stream()
    }
}

pub(super) fn in_an_owner<F: Fixture>(fx: &'static F) -> Outcome {
    let theirs = || {
        let foreign = fx.foreign(device(fx)?, StreamOptions::new())?;
        let stream = F::Backend::stream_from_owner(Arc::new(Explosive::<F>(foreign)), None)?;
        fx.store(&stream, &fx.data(stream.device(), 0)?, 1)?;
        Ok::<_, gpu_stream_conformance::Verdict>(stream)
    };
    let one = theirs()?;
    check(panics(move || drop(one)), "the last wrapper went, and its owner did not")?;
    check_usable(fx)?;

    let keeps = F::Backend::EVENTS_KEEP_OWNER;
    for options in [EventOptions::new(), EventOptions::timed()] {
        // With the event.
        let (one, event) = (theirs()?, F::Backend::new_event(device(fx)?, options)?);
        one.record(&event)?;
        check_eq("a panic with the wrapper", panics(move || drop(one)), !keeps)?;
        check_eq("a panic with the event", panics(move || drop(event)), keeps)?;
        check_usable(fx)?;

        // With the record, when another takes its place: which is made nevertheless.
        let (one, event) = (theirs()?, F::Backend::new_event(device(fx)?, options)?);
        one.record(&event)?;
        check_eq("a panic with the wrapper", panics(move || drop(one)), !keeps)?;
        let other = stream(fx)?;
        let gate = fx.gate(&other)?;
        // Caught by backends that put such a drop off until the call ends.
        let _ = panics(|| other.record(&event));
        check_eq("the status of the new record", event.status()?, EventStatus::Pending)?;
        drop(gate);
        event.synchronize()?;
        check_eq("the status of the new record", event.status()?, EventStatus::Complete)?;
    }

    // In a host function: a fault of that stream, or put off until a call ends, which catches the panic.
    let (carrier, one) = (stream(fx)?, theirs()?);
    carrier.launch_host_func(Box::new(move || drop(one)))?;
    let _ = carrier.synchronize();
    let came_out = panics(|| stream(fx).map(drop));
    check(!came_out, "the panic of an owner came out of a call that has nothing to do with it")?;
    check_usable(fx)
}

pub(super) fn with_all_alive<F: Fixture>(fx: &'static F) -> Outcome {
    let before = fx.thread_state()?;
    for _ in 0..20 {
        let unwound = panics(|| {
            let foreign = fx.foreign(device(fx)?, StreamOptions::new())?;
            let owner = Arc::new(Plain::<F>(foreign));
            let theirs = F::Backend::stream_from_owner(owner, None)?;
            let (ours, own) = (stream(fx)?, F::Backend::per_thread_stream(device(fx)?)?);
            let _gate = fx.gate(&theirs)?;
            ours.wait_stream(&theirs)?;
            ours.launch_host_func(Box::new(|| ()))?;
            let _events = [theirs.record_event()?, ours.record_event()?, own.record_event()?];
            fail::<Outcome>()
        });
        check(unwound, "nothing was unwound")?;
        check_usable(fx)?;
    }
    check_eq("the thread's state", fx.thread_state()?, before)
}

struct Plain<F: Fixture>(F::Foreign);

// SAFETY: the stream is that of the foreign owner inside, which lives as long as this.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for Plain<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.0.raw_stream()
    }
}

/// An owner that does not even say which stream it has.
struct Mute<F: Fixture>(#[allow(dead_code, reason = "it is there to be kept")] Arc<F::Foreign>);

// SAFETY: it never returns a handle.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for Mute<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        fail()
    }
}

pub(super) fn through_calls<F: Fixture>(fx: &'static F) -> Outcome {
    let before = fx.thread_state()?;
    let foreign = Arc::new(fx.foreign(device(fx)?, StreamOptions::new())?);
    let mute = Arc::new(Mute::<F>(Arc::clone(&foreign)));
    let wrapped = panics(|| F::Backend::stream_from_owner(Arc::clone(&mute), None));
    check(wrapped, "wrapping did not ask for the handle")?;
    check_eq("how many share the owner", Arc::strong_count(&mute), 1)?;
    fx.foreign_works(&foreign)?;

    let (main, branches) = (stream(fx)?, [stream(fx)?, stream(fx)?, stream(fx)?]);
    for stop in 0..=branches.len() {
        let some = || {
            branches.iter().enumerate().map(move |(index, branch)| match index {
                index if index == stop => fail(),
                _ => branch,
            })
        };
        let gate = fx.gate(&main)?;
        let data = fx.data(main.device(), 0)?;
        fx.store(&main, &data, 1)?;
        check_eq("a panic in fork", panics(|| main.fork(some())), stop < branches.len())?;
        // Those that came before the panic wait, and the others do not.
        for (index, branch) in branches.iter().enumerate() {
            if index < stop {
                check(!branch.query()?, format_args!("branch {index} of {stop} does not wait"))?;
            }
        }
        drop(gate);
        check_eq("a panic in join", panics(|| main.join(some())), stop < branches.len())?;
        main.synchronize()?;
        check_eq("the number", fx.load(&data)?, 1)?;
        check_eq("the thread's state", fx.thread_state()?, before.clone())?;
    }
    check_usable(fx)
}
