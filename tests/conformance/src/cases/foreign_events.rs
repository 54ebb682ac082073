//! Events that another library made, and events of the backend that another library records.
//! Skipped where the fixture makes no events without the backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::EventOwner;

use super::support::*;
use crate::fixture::RawEventOf;

/// An event of the bare driver, destroyed when the case is over.
struct ForeignEvent<'f, F: Fixture> {
    fx: &'f F,
    raw: RawEventOf<F>,
    device: Device,
}

impl<'f, F: Fixture> ForeignEvent<'f, F> {
    fn new(fx: &'f F, options: EventOptions) -> Result<Self, Verdict> {
        Self::on(fx, device(fx)?, options)
    }

    fn on(fx: &'f F, device: Device, options: EventOptions) -> Result<Self, Verdict> {
        Ok(ForeignEvent { fx, raw: fx.create_event(device, options)?, device })
    }

    /// Wraps the event. The wrapper has to be dropped before `self`.
    fn wrap(&self) -> Result<EventOf<F>, Verdict> {
        // SAFETY: the cases drop the wrapper before `self`, which destroys the event.
        let wrapped = unsafe { F::Backend::event_from_raw(self.raw, Some(self.device)) };
        optional("foreign events", wrapped)
    }
}

impl<F: Fixture> Drop for ForeignEvent<'_, F> {
    fn drop(&mut self) {
        // Fails only if a broken wrapper has destroyed the event, and the cases check that.
        let _ = self.fx.destroy_event(self.raw);
    }
}

/// An owner of a foreign event, which knows the device and options that the case gives it.
struct Owner<F: Fixture> {
    raw: RawEventOf<F>,
    device: Option<Device>,
    options: Option<EventOptions>,
    gone: Arc<AtomicBool>,
}

impl<F: Fixture> Owner<F> {
    fn of(foreign: &ForeignEvent<'_, F>) -> Self {
        Owner { raw: foreign.raw, device: None, options: None, gone: Arc::default() }
    }
}

impl<F: Fixture> Drop for Owner<F> {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

// SAFETY: the event belongs to a `ForeignEvent`, which the cases drop after every wrapper and so after
// every use of the handle.
unsafe impl<F: Fixture> EventOwner<F::Backend> for Owner<F> {
    fn raw_event(&self) -> RawEventOf<F> {
        self.raw
    }

    fn device(&self) -> Option<Device> {
        self.device
    }

    fn options(&self) -> Option<EventOptions> {
        self.options
    }
}

/// Checks that a foreign event that another library has recorded holds back its waiters. Query,
/// status and synchronize use that record.
pub fn foreign_event_is_waited_for<F: Fixture>(fx: &F) -> Outcome {
    let foreign = ForeignEvent::new(fx, EventOptions::new())?;
    let (stream, gate) = gated(fx)?;
    let before = work(fx, &stream)?;
    fx.record_bare(&stream, foreign.raw)?;
    let event = foreign.wrap()?;
    let waiter = stream_on::<F>(stream.device())?;
    waiter.wait_event(&event)?;
    let after = work(fx, &waiter)?;
    check_held(fx, &[&stream, &waiter], &after)?;
    check(!event.query()?, "query of the foreign event is true while pending")?;
    check_eq(event.status()?, EventStatus::Pending, "its status")?;
    fx.open(&gate);
    event.synchronize()?;
    check_done(fx, &before)?;
    check(event.query()?, "query of the foreign event is false when done")?;
    check_eq(event.status()?, EventStatus::Complete, "its status")?;
    waiter.synchronize()?;
    check_done(fx, &after)
}

/// Checks that a record of a foreign event through the wrapper counts for the bare driver, too, and
/// replaces the other library's record.
pub fn foreign_event_is_recorded<F: Fixture>(fx: &F) -> Outcome {
    let foreign = ForeignEvent::new(fx, EventOptions::new())?;
    let event = foreign.wrap()?;
    let (idle, (stream, gate)) = (stream(fx)?, gated(fx)?);
    fx.record_bare(&idle, foreign.raw)?;
    idle.synchronize()?;
    check(event.query()?, "query of the foreign event is false when done")?;
    stream.record(&event)?;
    check(
        !fx.query_bare(foreign.raw)?,
        "the driver reports the event as complete, but it is pending",
    )?;
    check_eq(event.status()?, EventStatus::Pending, "its status")?;
    fx.open(&gate);
    event.synchronize()?;
    check(
        fx.query_bare(foreign.raw)?,
        "the driver reports the event as pending, but it is complete",
    )?;
    check_eq(event.status()?, EventStatus::Complete, "its status")
}

/// Checks that a foreign event that was never recorded is done, and a wait for it has no effect.
pub fn unrecorded_foreign_event<F: Fixture>(fx: &F) -> Outcome {
    let foreign = ForeignEvent::new(fx, EventOptions::new())?;
    let (event, waiter) = (foreign.wrap()?, stream(fx)?);
    check(event.query()?, "query of an unrecorded event is false")?;
    event.synchronize()?;
    waiter.wait_event(&event)?;
    let data = work(fx, &waiter)?;
    check_goes_on(fx, &[&waiter], &data)
}

/// Checks that a wrapper returns the foreign handle and `is_foreign` is true; it is false for the
/// backend's own events.
pub fn foreign_event_is_foreign<F: Fixture>(fx: &F) -> Outcome {
    let foreign = ForeignEvent::new(fx, EventOptions::new())?;
    let wrapped = foreign.wrap()?;
    check_eq(wrapped.raw(), foreign.raw, "the wrapper's handle")?;
    check_eq(wrapped.device(), foreign.device, "the wrapper's device")?;
    check(wrapped.is_foreign(), "a wrapped event is not foreign")?;
    let own = [event(fx)?, stream(fx)?.record_event()?];
    for event in own {
        check(!event.is_foreign(), "an event of the backend is foreign")?;
    }
    let timed = ForeignEvent::new(fx, EventOptions::timed())?;
    let mut owner = Owner::of(&timed);
    owner.options = Some(EventOptions::timed());
    let wrapped = F::Backend::event_from_owner(Arc::new(owner), Some(timed.device))?;
    check_eq(wrapped.options(), EventOptions::timed(), "the options that the owner names")
}

/// Checks that dropping wrappers destroys no foreign event, unrecorded, pending or complete, and no
/// new event of the backend gets its handle.
pub fn foreign_event_is_not_destroyed<F: Fixture>(fx: &F) -> Outcome {
    let foreign = ForeignEvent::new(fx, EventOptions::new())?;
    drop(foreign.wrap()?);
    let (stream, gate) = gated(fx)?;
    for _ in 0..3 {
        let wrapped = foreign.wrap()?;
        stream.record(&wrapped)?;
        drop(wrapped);
        let events = (0..8).map(|_| stream.record_event()).collect::<Result<Vec<_>, _>>()?;
        let reused = events.iter().any(|event| event.raw() == foreign.raw);
        check(!reused, "an event of the backend has the handle of a live foreign one")?;
    }
    check(
        !fx.query_bare(foreign.raw)?,
        "the driver reports the event as complete, but it is pending",
    )?;
    fx.open(&gate);
    stream.synchronize()?;
    drop(foreign.wrap()?);
    fx.record_bare(&stream, foreign.raw)?;
    stream.synchronize()?;
    check(
        fx.query_bare(foreign.raw)?,
        "the driver reports the event as pending, but it is complete",
    )?;
    fx.destroy_event(foreign.raw)?;
    std::mem::forget(foreign);
    Ok(())
}

/// Checks that the owner of a foreign event lives as long as the wrapper, also across records
/// through it, and is dropped with it.
pub fn foreign_event_keeps_its_owner<F: Fixture>(fx: &F) -> Outcome {
    let foreign = ForeignEvent::new(fx, EventOptions::new())?;
    let mut owner = Owner::of(&foreign);
    owner.device = Some(foreign.device);
    let gone = Arc::clone(&owner.gone);
    let wrapped = F::Backend::event_from_owner(Arc::new(owner), None);
    let wrapped = optional("foreign events", wrapped)?;
    let stream = stream(fx)?;
    for _ in 0..3 {
        stream.record(&wrapped)?;
        wrapped.synchronize()?;
        check(!gone.load(Ordering::SeqCst), "the owner was dropped, although a wrapper lives")?;
    }
    stream.wait_event(&wrapped)?;
    stream.synchronize()?;
    drop(wrapped);
    check(gone.load(Ordering::SeqCst), "the owner is still alive, although the wrapper is dropped")
}

/// Checks that handle 0 is not an event, and the error names it.
pub fn foreign_event_of_handle_zero<F: Fixture>(fx: &F) -> Outcome {
    drop(ForeignEvent::new(fx, EventOptions::new())?.wrap()?);
    let zero = fx.raw_event(0)?;
    // SAFETY: handle 0 is refused.
    let wrapped = unsafe { F::Backend::event_from_raw(zero, Some(device(fx)?)) };
    check_names(&check_err(wrapped, ErrorKind::InvalidHandle, "wrapping event 0")?, "0x0")
}

/// Checks that a device that does not fit a foreign event is an error, while wrapping or at the
/// first record.
pub fn foreign_event_of_another_device<F: Fixture>(fx: &F) -> Outcome {
    let (first, second) = two_devices(fx)?;
    let foreign = ForeignEvent::on(fx, first, EventOptions::new())?;
    let mut owner = Owner::of(&foreign);
    owner.device = Some(first);
    let refused = F::Backend::event_from_owner(Arc::new(owner), Some(second));
    let text = check_err(refused, ErrorKind::DeviceMismatch, "two devices for an event")?;
    check_names(&text, first)?;
    check_names(&text, second)?;
    // SAFETY: `foreign` is alive until the end of the case.
    match unsafe { F::Backend::event_from_raw(foreign.raw, Some(second)) } {
        Err(error) => {
            check_eq(error.kind(), ErrorKind::DeviceMismatch, "the kind of the error")?;
        }
        Ok(wrapped) => {
            let recorded = stream_on::<F>(second)?.record(&wrapped);
            let kind = recorded.err().map(|error| error.kind());
            let is_found =
                matches!(kind, Some(ErrorKind::DeviceMismatch | ErrorKind::InvalidHandle));
            check(is_found, format_args!("a record on {second} answered {kind:?}"))?;
        }
    }
    let wrapped = foreign.wrap()?;
    let recorded = stream_on::<F>(second)?.record(&wrapped);
    check_err(recorded, ErrorKind::DeviceMismatch, "a record on another device").map(drop)
}

/// Checks that if another library records an event of the backend, query, status, synchronize and
/// waits use that record.
pub fn our_event_recorded_by_another<F: Fixture>(fx: &F) -> Outcome {
    let (idle, (stream, gate)) = (stream(fx)?, gated(fx)?);
    for recorded_before in [false, true] {
        let event = idle.new_event(EventOptions::new())?;
        if recorded_before {
            idle.record(&event)?;
            idle.synchronize()?;
        }
        if let Err(verdict) = fx.record_bare(&stream, event.raw()) {
            fx.open(&gate);
            return Err(verdict);
        }
        check(!event.query()?, "query is true, with another library's record pending")?;
        check_eq(event.status()?, EventStatus::Pending, "the status")?;
        let waiter = stream_on::<F>(stream.device())?;
        waiter.wait_event(&event)?;
        let data = work(fx, &waiter)?;
        check_held(fx, &[&stream, &waiter], &data)?;
        if recorded_before {
            fx.open(&gate);
            event.synchronize()?;
            check(event.query()?, "query is false, with the other library's record done")?;
            check_eq(event.status()?, EventStatus::Complete, "the status")?;
        }
    }
    stream.synchronize()?;
    let event = idle.new_event(EventOptions::new())?;
    fx.record_bare(&idle, event.raw())?;
    event.synchronize()?;
    check_eq(
        event.status()?,
        EventStatus::Complete,
        "the status of an event that only another library recorded",
    )
}

/// Checks that elapsed time uses the records that another library made, of foreign events and of
/// the backend's own.
pub fn elapsed_of_foreign_records<F: Fixture>(fx: &F) -> Outcome {
    let foreign = ForeignEvent::new(fx, EventOptions::timed())?;
    let (stream, gate) = gated(fx)?;
    let start = stream.new_event(EventOptions::timed())?;
    let (ours, wrapped) = (stream.new_event(EventOptions::timed())?, foreign.wrap()?);
    stream.record(&start)?;
    fx.record_bare(&stream, ours.raw())?;
    fx.record_bare(&stream, foreign.raw)?;
    check_err(ours.elapsed_since(&start), ErrorKind::EventPending, "elapsed while pending")?;
    check_err(wrapped.elapsed_since(&start), ErrorKind::EventPending, "elapsed while pending")?;
    fx.open(&gate);
    stream.synchronize()?;
    for event in [&ours, &wrapped] {
        let time = event.elapsed_since(&start)?;
        check(time >= 0.0, format_args!("elapsed to a later event is {time}"))?;
        let back = start.elapsed_since(event)?;
        check(back <= 0.0, format_args!("elapsed to an earlier event is {back}"))?;
    }
    Ok(())
}
