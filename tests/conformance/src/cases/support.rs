//! Helpers that many cases use.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(super) use gpu_stream_core::{
    Backend, CaptureStatus, Device, Error, ErrorKind, Event, EventOptions, EventStatus, HandleKind,
    PerThread, RawHandle, Stream, StreamOptions, StreamOwner,
};

pub(super) use crate::fixture::{EventOf, StreamOf};
pub(super) use crate::outcome::{check, check_eq, check_err, check_names};
pub(super) use crate::{Fixture, Outcome, Verdict};

/// Returns the device that most cases use.
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

/// Creates a stream on the first device.
pub(super) fn stream<F: Fixture>(fx: &F) -> Result<StreamOf<F>, Verdict> {
    stream_on::<F>(device(fx)?)
}

pub(super) fn streams<F: Fixture>(fx: &F, count: usize) -> Result<Vec<StreamOf<F>>, Verdict> {
    (0..count).map(|_| stream(fx)).collect()
}

/// Returns the default stream of a device. Skips the case where the engine has none.
pub(super) fn default_stream<F: Fixture>(device: Device) -> Result<StreamOf<F>, Verdict> {
    optional("default stream", F::Backend::default_stream(device))
}

/// Returns the calling thread's default stream. Skips the case where the engine has none.
pub(super) fn per_thread_stream<F: Fixture>(
    device: Device,
) -> Result<PerThread<StreamOf<F>>, Verdict> {
    optional("stream for each thread", F::Backend::per_thread_stream(device))
}

/// Turns the skip of an optional part of a case into `None`.
pub(super) fn if_any<T>(part: Result<T, Verdict>) -> Result<Option<T>, Verdict> {
    match part {
        Ok(part) => Ok(Some(part)),
        Err(verdict) if verdict.is_inapplicable() => Ok(None),
        Err(verdict) => Err(verdict),
    }
}

/// Returns the answer of a query of a stream whose work is done, or will be.
///
/// Where an engine has to enqueue something to ask, the answer may become `true` late: it is repeated then, until the
/// time limit of the case.
pub(super) fn is_idle<F: Fixture, S>(fx: &F, stream: &S) -> Result<bool, Verdict>
where
    S: Stream<Backend = F::Backend>,
{
    while !stream.query()? {
        if fx.queries_are_exact() {
            return Ok(false);
        }
        thread::yield_now();
    }
    Ok(true)
}

/// Creates a stream on the first device, with a closed gate on it.
pub(super) fn gated<F: Fixture>(fx: &F) -> Result<(StreamOf<F>, F::Gate), Verdict> {
    let stream = stream(fx)?;
    let gate = fx.gate(&stream)?;
    Ok((stream, gate))
}

pub(super) fn foreign<F: Fixture>(fx: &F) -> Result<F::Foreign, Verdict> {
    fx.foreign(device(fx)?, StreamOptions::new())
}

/// Creates an event on the first device, without timing, not recorded.
pub(super) fn event<F: Fixture>(fx: &F) -> Result<EventOf<F>, Verdict> {
    Ok(F::Backend::new_event(device(fx)?, EventOptions::new())?)
}

pub(super) fn timed<F: Fixture>(device: Device) -> Result<EventOf<F>, Verdict> {
    Ok(F::Backend::new_event(device, EventOptions::timed())?)
}

/// Submits work that changes a number from 0 to 1, and returns the number.
pub(super) fn work<F: Fixture, S>(fx: &F, stream: &S) -> Result<F::Data, Verdict>
where
    S: Stream<Backend = F::Backend>,
{
    let data = fx.data(stream.device(), 0)?;
    fx.store(stream, &data, 1)?;
    Ok(data)
}

/// Checks that the last of `streams` is held back before the [`work`] on `data`. It depends on the
/// others, in this order.
#[track_caller]
pub(super) fn check_held<F: Fixture>(fx: &F, streams: &[&StreamOf<F>], data: &F::Data) -> Outcome {
    fx.settle(streams);
    check_eq(fx.load(data)?, 0, "the number that held work would change")?;
    if let Some(last) = streams.last() {
        check(!last.query()?, "query of the held stream is true, with work before it pending")?;
    }
    Ok(())
}

/// Checks that all of `streams` finish although something else is held back, and that the [`work`]
/// on `data` was done. The streams are named in the order of their dependence.
#[track_caller]
pub(super) fn check_goes_on<F: Fixture>(
    fx: &F,
    streams: &[&StreamOf<F>],
    data: &F::Data,
) -> Outcome {
    check(fx.finishes(streams)?, "the stream is held back, and should wait for nothing")?;
    check_eq(fx.load(data)?, 1, "the number that the stream's work changes")
}

/// Checks that the [`work`] on `data` was done.
#[track_caller]
pub(super) fn check_done<F: Fixture>(fx: &F, data: &F::Data) -> Outcome {
    check_eq(fx.load(data)?, 1, "the number that the work changes")
}

/// The time in which something that should not happen could happen. It decides nothing for a
/// correct backend.
const CHANCE: Duration = Duration::from_millis(2);

/// Yields for 2 ms, or until `is_over` returns `true`.
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
            // A correct backend blocks until the gate opens, however long this takes.
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

/// Turns an [`Unsupported`](ErrorKind::Unsupported) error into a skip.
pub(super) fn optional<T, E: Error>(what: &str, result: Result<T, E>) -> Result<T, Verdict> {
    result.map_err(|error| match error.kind() {
        ErrorKind::Unsupported => Verdict::inapplicable(format_args!("no {what}: {error}")),
        _ => error.into(),
    })
}

/// Returns a device of the backend that does not exist.
pub(super) fn absent_device<F: Fixture>(fx: &F) -> Device {
    Device::new(fx.device_backend(), 9_999)
}

/// An owner of a foreign stream whose drop is observable.
pub(super) struct TrackedOwner<F: Fixture> {
    foreign: F::Foreign,
    device: Option<Device>,
    gone: Arc<AtomicBool>,
}

/// Observes whether the owner was dropped.
pub(super) struct DropObserver(pub(super) Arc<AtomicBool>);

impl DropObserver {
    pub(super) fn is_gone(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    #[track_caller]
    pub(super) fn check_alive(&self, why: &str) -> Outcome {
        check(!self.is_gone(), format_args!("the owner was dropped, although {why}"))
    }

    #[track_caller]
    pub(super) fn check_gone(&self, why: &str) -> Outcome {
        check(self.is_gone(), format_args!("the owner is still alive, although {why}"))
    }
}

/// Creates a foreign stream on the first device, with an owner that names `device`.
pub(super) fn watched<F: Fixture>(
    fx: &F,
    device: Option<Device>,
) -> Result<(Arc<TrackedOwner<F>>, DropObserver), Verdict> {
    let gone = Arc::new(AtomicBool::new(false));
    let owner = TrackedOwner { foreign: foreign(fx)?, device, gone: Arc::clone(&gone) };
    Ok((Arc::new(owner), DropObserver(gone)))
}

impl<F: Fixture> Drop for TrackedOwner<F> {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

// SAFETY: the handle is that of the stream inside, which upholds the contract and lives as long as
// `self`.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for TrackedOwner<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.foreign.raw_stream()
    }

    fn device(&self) -> Option<Device> {
        self.device
    }
}

/// The time for which a closure that never runs may be kept after its stream has reported the
/// fault. Only a backend that keeps the closure makes a case wait so long.
pub const DROP_LIMIT: Duration = Duration::from_secs(10);

/// Checks that a number becomes `wanted`. The backend's own thread may still be dropping what is
/// counted.
#[track_caller]
pub fn check_becomes(what: &str, number: impl Fn() -> usize, wanted: usize) -> Outcome {
    let begun = Instant::now();
    while number() != wanted && begun.elapsed() < DROP_LIMIT {
        thread::yield_now();
    }
    check_eq(number(), wanted, what)
}

/// Returns the call that the error for handle 2 names: the one for the thread's stream, or, where the engine has none,
/// the one for a new stream.
pub(super) fn advice_for_handle_two<F: Fixture>(device: Device) -> Result<&'static str, Verdict> {
    let has_one = if_any(per_thread_stream::<F>(device).map(drop))?.is_some();
    Ok(if has_one { "per_thread_stream" } else { "new_stream" })
}
