//! What many cases need.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(super) use gpu_stream_core::{
    Backend, CaptureStatus, Device, Error, ErrorKind, Event, EventOptions, EventStatus, HandleKind,
    RawHandle, Stream, StreamOptions, StreamOwner,
};

pub(super) use crate::fixture::{EventOf, StreamOf};
pub(super) use crate::outcome::{check, check_eq, check_err, check_names};
pub(super) use crate::{Fixture, Outcome, Verdict};

/// The device that most cases use.
pub(super) fn device<F: Fixture>(fx: &F) -> Result<Device, Verdict> {
    fx.devices()?.first().copied().ok_or_else(|| Verdict::skipped("the backend has no device"))
}

pub(super) fn two_devices<F: Fixture>(fx: &F) -> Result<(Device, Device), Verdict> {
    match fx.devices()?[..] {
        [first, second, ..] => Ok((first, second)),
        _ => Err(Verdict::needs_devices(2)),
    }
}

pub(super) fn stream_on<F: Fixture>(device: Device) -> Result<StreamOf<F>, Verdict> {
    Ok(F::Backend::new_stream(device, StreamOptions::new())?)
}

/// A stream of the first device.
pub(super) fn stream<F: Fixture>(fx: &F) -> Result<StreamOf<F>, Verdict> {
    stream_on::<F>(device(fx)?)
}

pub(super) fn streams<F: Fixture>(fx: &F, count: usize) -> Result<Vec<StreamOf<F>>, Verdict> {
    (0..count).map(|_| stream(fx)).collect()
}

/// A stream of the first device, with a shut gate on it.
pub(super) fn gated<F: Fixture>(fx: &F) -> Result<(StreamOf<F>, F::Gate), Verdict> {
    let stream = stream(fx)?;
    let gate = fx.gate(&stream)?;
    Ok((stream, gate))
}

pub(super) fn foreign<F: Fixture>(fx: &F) -> Result<F::Foreign, Verdict> {
    fx.foreign(device(fx)?, StreamOptions::new())
}

/// An event of the first device, without timing, not recorded.
pub(super) fn event<F: Fixture>(fx: &F) -> Result<EventOf<F>, Verdict> {
    Ok(F::Backend::new_event(device(fx)?, EventOptions::new())?)
}

pub(super) fn timed<F: Fixture>(device: Device) -> Result<EventOf<F>, Verdict> {
    Ok(F::Backend::new_event(device, EventOptions::timed())?)
}

/// Submits work that turns the number that it returns from 0 to 1.
pub(super) fn work<F: Fixture, S>(fx: &F, stream: &S) -> Result<F::Data, Verdict>
where
    S: Stream<Backend = F::Backend>,
{
    let data = fx.data(stream.device(), 0)?;
    fx.store(stream, &data, 1)?;
    Ok(data)
}

/// Checks that the last of `streams` is held back before the [`work`] on `data`. The others are
/// what it depends on, in this order.
#[track_caller]
pub(super) fn check_held<F: Fixture>(fx: &F, streams: &[&StreamOf<F>], data: &F::Data) -> Outcome {
    fx.settle(streams);
    check_eq("the number that held work would change", fx.load(data)?, 0)?;
    if let Some(last) = streams.last() {
        check(!last.query()?, "query of the held stream is true, with work before it pending")?;
    }
    Ok(())
}

/// Checks that all of `streams`, which come in the order of their dependence, come to their end
/// although something else is held back, and that the [`work`] on `data` was done.
#[track_caller]
pub(super) fn check_goes_on<F: Fixture>(
    fx: &F,
    streams: &[&StreamOf<F>],
    data: &F::Data,
) -> Outcome {
    check(fx.finishes(streams)?, "the stream is held back, and should wait for nothing")?;
    check_eq("the number that the stream's work changes", fx.load(data)?, 1)
}

/// Checks that the [`work`] on `data` was done.
#[track_caller]
pub(super) fn check_done<F: Fixture>(fx: &F, data: &F::Data) -> Outcome {
    check_eq("the number that the work changes", fx.load(data)?, 1)
}

/// How long something that should not happen gets to happen. It decides nothing for a backend that is
/// right.
const CHANCE: Duration = Duration::from_millis(2);

/// Yields for a moment, or until `is_over`.
pub(super) fn give_a_chance(is_over: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_over() && start.elapsed() < CHANCE {
        thread::yield_now();
    }
}

/// Calls `blocks` while another thread calls `open`, late enough for a call that does not block to
/// have returned.
pub(super) fn returns_before_open<T>(
    open: impl FnOnce() + Send,
    blocks: impl FnOnce() -> Result<T, Verdict>,
) -> Result<T, Verdict> {
    let returned = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // A backend that is right blocks until the gate opens, however long this takes.
            give_a_chance(|| returned.load(Ordering::SeqCst));
            open();
        });
        let result = blocks();
        returned.store(true, Ordering::SeqCst);
        result
    })
}

pub(super) fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Turns "this backend does not have it" into a skip.
pub(super) fn optional<T, E: Error>(what: &str, result: Result<T, E>) -> Result<T, Verdict> {
    result.map_err(|error| match error.kind() {
        ErrorKind::Unsupported => Verdict::inapplicable(format_args!("no {what}: {error}")),
        _ => error.into(),
    })
}

/// A device of the backend that is not there.
pub(super) fn absent_device<F: Fixture>(fx: &F) -> Device {
    Device::new(fx.device_backend(), 9_999)
}

/// An owner of a foreign stream, whose end can be seen.
pub(super) struct TrackedOwner<F: Fixture> {
    foreign: F::Foreign,
    device: Option<Device>,
    gone: Arc<AtomicBool>,
}

/// Tells whether the owner has been let go.
pub(super) struct Watch(Arc<AtomicBool>);

impl Watch {
    pub(super) fn is_gone(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    #[track_caller]
    pub(super) fn check_alive(&self, why: &str) -> Outcome {
        check(!self.is_gone(), format_args!("the owner was let go, although {why}"))
    }

    #[track_caller]
    pub(super) fn check_gone(&self, why: &str) -> Outcome {
        check(self.is_gone(), format_args!("the owner is still kept, although {why}"))
    }
}

/// A foreign stream of the first device with an owner that says `device`.
pub(super) fn watched<F: Fixture>(
    fx: &F,
    device: Option<Device>,
) -> Result<(Arc<TrackedOwner<F>>, Watch), Verdict> {
    let gone = Arc::new(AtomicBool::new(false));
    let owner = TrackedOwner { foreign: foreign(fx)?, device, gone: Arc::clone(&gone) };
    Ok((Arc::new(owner), Watch(gone)))
}

impl<F: Fixture> Drop for TrackedOwner<F> {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

// SAFETY: the handle is that of the stream inside, which upholds the contract and lives as long as
// this.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for TrackedOwner<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.foreign.raw_stream()
    }

    fn device(&self) -> Option<Device> {
        self.device
    }
}

/// How long a closure that never runs may be kept after its stream has reported why. Only a backend that
/// keeps it waits so long.
pub const LIMIT_OF_A_DROP: Duration = Duration::from_secs(10);

/// Checks that a number becomes `wanted`. The backend's own thread may be dropping what is counted.
#[track_caller]
pub fn check_becomes(what: &str, number: impl Fn() -> usize, wanted: usize) -> Outcome {
    let begun = Instant::now();
    while number() != wanted && begun.elapsed() < LIMIT_OF_A_DROP {
        thread::yield_now();
    }
    check_eq(what, number(), wanted)
}
