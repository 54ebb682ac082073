//! The backend over another backend: [`Checked`].

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use gpu_stream_core::{
    Access, Backend, BackendInfo, BackendKind, Device, EventOptions, EventOwner, KeepAlive,
    PerThread, PlainHandles, PriorityRange, RawEvent, RawStream, Region, StreamOptions,
    StreamOwner,
};

use crate::engine::Origin;
use crate::owner::OwnerOf;
use crate::place::caller;
use crate::sink::engine_of;
use crate::{CheckedEvent, CheckedStream};

/// The backend `B` with a check of the order of accesses.
///
/// Each call is the call of `B`: with its result, its errors and their texts, and the work that it submits. In addition
/// the order that records and waits make is kept, and what has no order is found. Streams and events of `B` itself and of
/// `Checked<B>` do not mix in one program: [`wrap`](Self::wrap) converts them.
///
/// Order that the program makes by other means is not seen, and counts as missing: by calls on a raw handle, or by a host
/// function that sends on a channel. `query` or `synchronize` makes it known.
///
/// The order is that of the calls, in which they return, whatever threads make them. So a program whose threads happen to
/// call in the right order has no findings, although it may call in another order the next time.
///
/// ```
/// use gpu_stream_checked::{Checked, FindingKind};
/// use gpu_stream_core::{Backend, ErrorOf, Region, Stream, StreamOptions};
/// use gpu_stream_host::Host;
///
/// /// A library that forgets to let its caller wait.
/// fn a_library<S: Stream>(caller: &S, side: &S, data: &Region) -> Result<(), ErrorOf<S>> {
///     side.wait_stream(caller)?;
///     side.writes(data);
///     // … launch on `side.raw()` …
///     Ok(())
/// }
///
/// type B = Checked<Host>;
/// let caller = B::new_stream(B::device(0)?, StreamOptions::new())?;
/// let side = caller.new_stream(StreamOptions::new())?;
/// let (result, report) = B::scope(|_| {
///     let data = Region::new("data", 0x1000, 4096);
///     let result = a_library(&caller, &side, &data);
///     caller.reads(&data);
///     result
/// });
/// result?;
/// assert!(report.errors().any(|finding| finding.kind == FindingKind::ReadAfterWrite));
/// # Ok::<(), gpu_stream_host::HostError>(())
/// ```
pub struct Checked<B>(PhantomData<fn() -> B>);

impl<B> Checked<B> {
    /// Creates the value, which has no state: for the [object-safe form](gpu_stream_core::dynamic).
    pub const fn new() -> Self {
        Checked(PhantomData)
    }
}

impl<B: Backend> Checked<B> {
    /// Returns the stream with a check. Does not block.
    ///
    /// What was submitted to the stream before counts as done. Calls on `stream` itself are not seen.
    #[track_caller]
    pub fn wrap(stream: B::Stream) -> CheckedStream<B> {
        CheckedStream::open(stream, Origin::Foreign, caller())
    }

    /// Returns the event with a check. Does not block.
    ///
    /// Its last record was not seen, as that of a foreign event. A wait for it orders all earlier work.
    pub fn wrap_event(event: B::Event) -> CheckedEvent<B> {
        CheckedEvent::foreign(engine_of::<B>(), event)
    }
}

/// Converts a handle of `Checked<B>` to the same handle of `B`.
fn stream_handle<B: PlainHandles>(raw: RawStream<Checked<B>>) -> RawStream<B> {
    RawStream::from_bits(raw.to_bits())
}

/// Converts a handle of `Checked<B>` to the same handle of `B`.
fn event_handle<B: PlainHandles>(raw: RawEvent<Checked<B>>) -> RawEvent<B> {
    RawEvent::from_bits(raw.to_bits())
}

// SAFETY:
// - Every function calls its namesake of `B`, which upholds the contract, and returns the result of it inside a wrapper.
// - The owner is passed on to `B`, whose stream or event is a field of the wrapper and of all clones of it. So is the
//   value of `EVENTS_KEEP_OWNER`.
// - A handle of `Checked<B>` is a handle of `B`, and is passed to `B` alone.
// - A wrapper is dropped with its stream or event, and destroys nothing itself.
//
// The lint makes a function that is added to `Backend` an error here until it is forwarded.
#[deny(clippy::missing_trait_methods)]
unsafe impl<B: PlainHandles> Backend for Checked<B> {
    const KIND: BackendKind = B::KIND;
    const EVENTS_KEEP_OWNER: bool = B::EVENTS_KEEP_OWNER;

    type RawStream = RawStream<Self>;
    type RawEvent = RawEvent<Self>;
    type Stream = CheckedStream<B>;
    type Event = CheckedEvent<B>;
    type Error = B::Error;

    fn probe() -> Result<BackendInfo, B::Error> {
        B::probe()
    }

    fn devices() -> Result<Vec<Device>, B::Error> {
        B::devices()
    }

    fn device(ordinal: u32) -> Result<Device, B::Error> {
        B::device(ordinal)
    }

    #[track_caller]
    fn default_stream(device: Device) -> Result<CheckedStream<B>, B::Error> {
        Ok(CheckedStream::open(B::default_stream(device)?, Origin::Default, caller()))
    }

    #[track_caller]
    fn per_thread_stream(device: Device) -> Result<PerThread<CheckedStream<B>>, B::Error> {
        // SAFETY: the stream is moved into another `PerThread` at once, on this thread.
        let stream = unsafe { B::per_thread_stream(device)?.into_inner_unchecked() };
        let checked = CheckedStream::open(stream, Origin::PerThread, caller());
        // SAFETY: it wraps the calling thread's default stream, and `B` gives no other thread a wrapper of that.
        Ok(unsafe { PerThread::new_unchecked(checked) })
    }

    #[track_caller]
    fn new_stream(device: Device, options: StreamOptions) -> Result<CheckedStream<B>, B::Error> {
        let stream = B::new_stream(device, options)?;
        Ok(CheckedStream::created(stream, options, caller()))
    }

    fn new_event(device: Device, options: EventOptions) -> Result<CheckedEvent<B>, B::Error> {
        Ok(CheckedEvent::created(engine_of::<B>(), B::new_event(device, options)?))
    }

    fn priority_range(device: Device) -> Result<PriorityRange, B::Error> {
        B::priority_range(device)
    }

    #[track_caller]
    unsafe fn stream_from_raw(
        raw: RawStream<Self>,
        device: Option<Device>,
    ) -> Result<CheckedStream<B>, B::Error> {
        // SAFETY: the handle is a stream of `B`, which outlives the wrapper, its clones and its events (caller contract).
        let stream = unsafe { B::stream_from_raw(stream_handle(raw), device)? };
        Ok(CheckedStream::open(stream, Origin::Foreign, caller()))
    }

    #[track_caller]
    unsafe fn stream_from_raw_unchecked(
        raw: RawStream<Self>,
        device: Device,
    ) -> Result<CheckedStream<B>, B::Error> {
        // SAFETY: the handle is a stream of `B` and of `device`, which outlives the wrapper, its clones and its events
        // (caller contract).
        let stream = unsafe { B::stream_from_raw_unchecked(stream_handle(raw), device)? };
        Ok(CheckedStream::open(stream, Origin::Foreign, caller()))
    }

    #[track_caller]
    fn stream_from_owner<T: StreamOwner<Self>>(
        owner: Arc<T>,
        device: Option<Device>,
    ) -> Result<CheckedStream<B>, B::Error> {
        let stream = B::stream_from_owner(Arc::new(OwnerOf(owner)), device)?;
        Ok(CheckedStream::open(stream, Origin::Owner, caller()))
    }

    #[track_caller]
    unsafe fn stream_from_raw_with_owner(
        raw: RawStream<Self>,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<CheckedStream<B>, B::Error> {
        let origin = origin_of(&owner);
        // SAFETY: the handle is a stream of `B`, which stays alive as long as `owner` is held (caller contract). The stream
        // of `B` holds it.
        let stream = unsafe { B::stream_from_raw_with_owner(stream_handle(raw), device, owner)? };
        Ok(CheckedStream::open(stream, origin, caller()))
    }

    #[track_caller]
    unsafe fn stream_from_raw_with_owner_unchecked(
        raw: RawStream<Self>,
        device: Device,
        owner: KeepAlive,
    ) -> Result<CheckedStream<B>, B::Error> {
        let origin = origin_of(&owner);
        // SAFETY: the handle is a stream of `B` and of `device`, which stays alive as long as `owner` is held (caller
        // contract). The stream of `B` holds it.
        let stream =
            unsafe { B::stream_from_raw_with_owner_unchecked(stream_handle(raw), device, owner)? };
        Ok(CheckedStream::open(stream, origin, caller()))
    }

    unsafe fn event_from_raw(
        raw: RawEvent<Self>,
        device: Option<Device>,
    ) -> Result<CheckedEvent<B>, B::Error> {
        // SAFETY: the handle is an event of `B`, which outlives the wrapper (caller contract).
        let event = unsafe { B::event_from_raw(event_handle(raw), device)? };
        Ok(CheckedEvent::foreign(engine_of::<B>(), event))
    }

    fn event_from_owner<T: EventOwner<Self>>(
        owner: Arc<T>,
        device: Option<Device>,
    ) -> Result<CheckedEvent<B>, B::Error> {
        let event = B::event_from_owner(Arc::new(OwnerOf(owner)), device)?;
        Ok(CheckedEvent::foreign(engine_of::<B>(), event))
    }

    unsafe fn event_from_raw_with_owner(
        raw: RawEvent<Self>,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<CheckedEvent<B>, B::Error> {
        // SAFETY: the handle is an event of `B`, which stays alive as long as `owner` is held (caller contract). The event
        // of `B` holds it.
        let event =
            unsafe { B::event_from_raw_with_owner(event_handle(raw), device, options, owner)? };
        Ok(CheckedEvent::foreign(engine_of::<B>(), event))
    }

    #[track_caller]
    fn host_access(access: Access, region: &Region) {
        engine_of::<B>().host_access(access, region, caller());
        B::host_access(access, region);
    }
}

/// Returns where a stream with this owner comes from.
fn origin_of(owner: &KeepAlive) -> Origin {
    if owner.is_owned() { Origin::Owner } else { Origin::Foreign }
}

// Implemented by hand: a derive would require the same trait of `B`, which is only a name here.
impl<B> Clone for Checked<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Checked<B> {}

impl<B> Default for Checked<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> fmt::Debug for Checked<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checked")
    }
}
