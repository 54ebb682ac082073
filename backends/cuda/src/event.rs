//! A place in a CUDA stream's work: [`CudaEvent`].

mod questions;

use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::{
    BackendKind, ContractError, Device, Event, EventOptions, EventStatus, KeepAlive, RawEvent,
};

use crate::driver::symbols::Ptr;
use crate::driver::{Context, Driver, PrimaryContext, driver, loaded};
use crate::host_func::{self, DEFERRED};
use crate::record::{CapturedRecord, LastRecord, Mark};
use crate::{Cuda, CudaError, CudaStream, device, ipc};

/// An event of the CUDA backend: a `CUevent`.
///
/// It belongs to the context that it was made in. [`Cuda`]'s `new_event` makes it in the device's
/// primary context, which is that of torch, the runtime API and cudarc; a stream's `new_event` makes it
/// in the stream's own context. `Cuda`'s `event_from_raw` and `event_from_owner` wrap one that another
/// library made, whose context the driver does not tell.
///
/// It is good after the stream that it was recorded on is gone. An event that was recorded on a
/// stream under capture stands for a node of the graph and not for work: until it is recorded
/// outside, `status`, `query` and `synchronize` answer
/// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the capture goes on, and
/// [`InvalidEvent`](gpu_stream_core::ErrorKind::InvalidEvent) after that.
///
/// Another library can record an event whose [`raw`](Event::raw) handle it has. From the first `raw` on,
/// and for a wrapped event, every answer is the driver's. The driver does not tell whether an event
/// without timing was ever recorded: its status is then `Complete`.
///
/// Threads that record one event at the same time, one inside a capture and one outside, may get
/// the answers of either.
pub struct CudaEvent {
    raw: RawEvent<Cuda>,
    device: u32,
    /// `None` for an event of another library.
    context: Option<Context>,
    options: EventOptions,
    record: LastRecord,
    /// Another library may have the handle, and may still have it when this is dropped.
    is_escaped: AtomicBool,
    origin: Origin,
    /// The life of the device's primary context that the event is of, if it is of one.
    primary: Option<&'static PrimaryContext>,
    /// What keeps a context alive that is not the device's primary one, or an event of another library.
    owner: KeepAlive,
}

/// Where an event comes from, which decides where it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    /// Made for one record. The pool of its context may have it. An event that was asked for never goes
    /// there: a program that makes events and drops them would fill the pool, and each drop would look
    /// through all of it.
    Pool,
    /// Made for the caller, or opened for it.
    Asked,
    /// Made by another library.
    Foreign,
}

/// A context of a device.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) device: u32,
    pub(crate) context: Context,
    /// The life of the device's primary context, if this is it.
    pub(crate) primary: Option<&'static PrimaryContext>,
}

impl Place {
    pub(crate) fn of(primary: &'static PrimaryContext) -> Self {
        Place { device: primary.ordinal, context: primary.context, primary: Some(primary) }
    }
}

/// Makes a new event in the primary context of a device.
pub(crate) fn new_event(device: Device, options: EventOptions) -> Result<CudaEvent, CudaError> {
    const OPERATION: &str = "Backend::new_event";
    let ordinal = device::ordinal(device, OPERATION)?;
    let driver = driver()?;
    let place = Place::of(driver.primary(ordinal, OPERATION)?);
    CudaEvent::new(driver, place, options, KeepAlive::none(), OPERATION)
}

impl CudaEvent {
    /// Makes a new event. `owner` keeps the context alive.
    pub(crate) fn new(
        driver: &'static Driver,
        place: Place,
        options: EventOptions,
        owner: KeepAlive,
        operation: &'static str,
    ) -> Result<Self, CudaError> {
        // CU_EVENT_BLOCKING_SYNC, CU_EVENT_DISABLE_TIMING, CU_EVENT_INTERPROCESS.
        let flags = u32::from(options.is_blocking())
            | u32::from(!options.is_timed()) << 1
            | u32::from(options.is_interprocess()) << 2;
        let raw = driver.create_event(place.context, flags, operation)?;
        Ok(Self::of(raw, place, options, LastRecord::none(), Origin::Asked, owner))
    }

    /// Returns an event of a primary context, for one record, which must follow before the event is
    /// seen: from the pool, if there is one.
    pub(crate) fn for_record(
        primary: &'static PrimaryContext,
        operation: &'static str,
    ) -> Result<Self, CudaError> {
        let (options, nothing) = (EventOptions::new(), KeepAlive::none());
        match primary.take() {
            Some(raw) => {
                let (place, record) = (Place::of(primary), LastRecord::none());
                Ok(Self::of(raw, place, options, record, Origin::Pool, nothing))
            }
            None => Self::new(primary.driver, Place::of(primary), options, nothing, operation),
        }
    }

    /// The event [was made for a record](Self::for_record), which is made: the pool may have it next.
    pub(crate) fn is_for_pool(&mut self) {
        self.origin = Origin::Pool;
    }

    /// Returns an event of the pool that is recorded by this thread before it is seen, outside of a
    /// capture.
    #[inline]
    pub(crate) fn from_pool_recorded(
        raw: RawEvent<Cuda>,
        primary: &'static PrimaryContext,
        stream: Mark,
    ) -> Self {
        let (record, nothing) = (LastRecord::outside(stream), KeepAlive::none());
        Self::of(raw, Place::of(primary), EventOptions::new(), record, Origin::Pool, nothing)
    }

    /// Returns an event of another process, opened in this context.
    pub(crate) fn opened(raw: RawEvent<Cuda>, place: Place, options: EventOptions) -> Self {
        let (record, nothing) = (LastRecord::elsewhere(), KeepAlive::none());
        Self::of(raw, place, options, record, Origin::Asked, nothing)
    }

    /// Returns the device that is given, or that of the current context: the driver tells none.
    fn device_of_foreign(
        device: Option<Device>,
        operation: &'static str,
    ) -> Result<u32, CudaError> {
        let driver = driver()?;
        match device {
            Some(device) => device::ordinal(device, operation),
            None => match driver.current_context(operation)? {
                Some(context) => driver.ordinal_of(context, operation),
                None => Ok(0),
            },
        }
    }

    /// Wraps an event of another library: see `Backend::event_from_raw_with_owner`.
    pub(crate) fn foreign(
        raw: RawEvent<Cuda>,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<Self, CudaError> {
        const OPERATION: &str = "Backend::event_from_raw";
        if raw.to_bits() == 0 {
            let reason = "is no event: the null handle names none";
            host_func::drop_owner(owner);
            return Err(
                ContractError::InvalidHandle { operation: OPERATION, bits: 0, reason }.into()
            );
        }
        let device = match Self::device_of_foreign(device, OPERATION) {
            Ok(device) => device,
            Err(error) => {
                host_func::drop_owner(owner);
                return Err(error);
            }
        };
        Ok(CudaEvent {
            raw,
            device,
            context: None,
            options: options.unwrap_or_default(),
            record: LastRecord::elsewhere(),
            is_escaped: AtomicBool::new(true),
            origin: Origin::Foreign,
            primary: None,
            owner,
        })
    }

    #[inline]
    fn of(
        raw: RawEvent<Cuda>,
        Place { device, context, primary }: Place,
        options: EventOptions,
        record: LastRecord,
        origin: Origin,
        owner: KeepAlive,
    ) -> Self {
        let (context, is_escaped) = (Some(context), AtomicBool::new(false));
        CudaEvent { raw, device, context, options, record, is_escaped, origin, primary, owner }
    }

    /// The handle for our own calls, which does not count as given out.
    #[inline]
    pub(crate) fn as_ptr(&self) -> Ptr {
        self.raw.as_ptr()
    }

    /// The handle as an integer, which does not count as given out.
    #[inline]
    pub(crate) fn bits(&self) -> usize {
        self.raw.to_bits()
    }

    /// Returns `true` if streams of `context` can record the event, as far as is known.
    #[inline]
    pub(crate) fn belongs_to(&self, context: Context) -> bool {
        self.context.is_none_or(|own| own == context)
    }

    /// Returns `true` if the event is known to be of `context`.
    pub(crate) fn is_certainly_of(&self, context: Context) -> bool {
        self.context == Some(context)
    }

    /// Returns the life of the primary context that the event is of, if it is of one.
    pub(crate) fn primary(&self) -> Option<&'static PrimaryContext> {
        self.primary
    }

    /// Returns `true` if the event may have gone with its context, by what calls have seen. Asks the driver
    /// nothing.
    #[inline]
    pub(crate) fn may_be_gone(&self) -> bool {
        self.primary.is_some_and(PrimaryContext::may_be_over)
    }

    /// Returns `true` if another library may have recorded the event: then the driver is asked and
    /// nothing that was noted here counts.
    #[inline]
    fn is_shared(&self) -> bool {
        self.is_escaped.load(Ordering::Relaxed)
    }

    /// A record is about to be made.
    #[inline]
    pub(crate) fn record_begins(&self) {
        self.record.begin();
    }

    /// A record was refused, as far as the driver says.
    #[cold]
    pub(crate) fn record_failed(&self) {
        self.record.failed();
    }

    /// A record was made, in a capture or outside.
    #[inline]
    pub(crate) fn recorded(&self, stream: Mark, captured: Option<CapturedRecord>) {
        self.record.set(stream, captured);
    }

    /// Returns `true` if the last record was made by `stream`, for certain.
    #[inline]
    pub(crate) fn is_last_of(&self, stream: &CudaStream) -> bool {
        // Handles 1 and 2 name a stream on each device.
        self.record.is_by(stream.mark())
            && !self.is_shared()
            && Device::new(BackendKind::Cuda, self.device)
                == gpu_stream_core::Stream::device(stream)
    }

    /// Returns `true` if the last record that was made here was made in a capture.
    #[inline]
    pub(crate) fn is_captured(&self) -> bool {
        self.record.is_captured() && !self.is_shared()
    }
}

// SAFETY: `status` says complete, and `synchronize` returns `Ok`, only if the driver says success
// for the event, which stands for all work before its last record, by whichever library; any other
// answer but "not ready" is an error. An event from the pool is recorded before it can be asked, so an
// old record is never asked. The driver binds a wait to the record and holds what it needs of it, so
// destroying or recording the event again is sound at any time. A foreign event is not destroyed.
unsafe impl Event for CudaEvent {
    type Backend = Cuda;

    fn raw(&self) -> RawEvent<Cuda> {
        self.is_escaped.store(true, Ordering::Relaxed);
        self.raw
    }

    fn device(&self) -> Device {
        Device::new(BackendKind::Cuda, self.device)
    }

    fn options(&self) -> EventOptions {
        self.options
    }

    fn is_foreign(&self) -> bool {
        self.origin == Origin::Foreign
    }

    fn status(&self) -> Result<EventStatus, CudaError> {
        self.end(self.ask_status())
    }

    fn synchronize(&self) -> Result<(), CudaError> {
        self.end(self.wait_here())
    }

    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, CudaError> {
        self.end(self.ask_elapsed(start))
    }
}

impl Drop for CudaEvent {
    #[inline]
    fn drop(&mut self) {
        match self.primary {
            Some(primary)
                if self.origin == Origin::Pool
                    && !*self.is_escaped.get_mut()
                    && !self.record.was_ever_captured() =>
            {
                if let Err(raw) = primary.give(self.raw) {
                    self.destroy(raw);
                }
            }
            _ => self.destroy(self.raw),
        }
        if self.owner.is_owned() || self.record.was_ever_captured() {
            self.drop_owners();
        }
        DEFERRED.run();
    }
}

impl CudaEvent {
    /// Destroys the handle, which is this event's, if it is ours.
    #[cold]
    fn destroy(&mut self, raw: RawEvent<Cuda>) {
        // In the child of a fork, another thread of the parent may have held the lock of the handles.
        if self.options.is_interprocess() && loaded().is_some() {
            ipc::forget(raw);
        }
        if self.origin == Origin::Foreign {
            return;
        }
        let primary = self.primary;
        host_func::run_outside_host_func(move || {
            // An event exists only if the driver does. In the child of a fork it is left alone, also if
            // it was put off before the fork.
            let Some(driver) = loaded() else { return };
            if !primary.is_some_and(PrimaryContext::is_reset) {
                // SAFETY: the event is ours, and this is its last use; its context is alive until the
                // owner is dropped, which comes after.
                unsafe { driver.destroy_event(raw) };
            }
        });
    }

    /// Drops the owner of the context or of the event, and that of a stream that recorded the event in
    /// a capture. A panic of one loses no other.
    #[cold]
    fn drop_owners(&mut self) {
        struct Last(KeepAlive);
        impl Drop for Last {
            fn drop(&mut self) {
                host_func::drop_owner(std::mem::take(&mut self.0));
            }
        }
        let _last = Last(self.record.take_owner());
        host_func::drop_owner(std::mem::take(&mut self.owner));
    }
}

impl std::fmt::Debug for CudaEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Asks the driver nothing: printing must not disturb a capture.
        let record = match (self.record.is_any(), self.record.is_captured()) {
            (false, _) => "none",
            (true, false) => "made",
            (true, true) => "made in a capture",
        };
        let mut text = f.debug_struct("CudaEvent");
        text.field("raw", &self.raw).field("device", &self.device());
        text.field("options", &self.options).field("record", &record).finish()
    }
}
