//! Creates [`CudaEvent`]s: new ones, pooled ones, and wrappers of foreign ones.

use std::sync::atomic::AtomicBool;

use gpu_stream_core::{Device, EventOptions, KeepAlive, RawEvent};

use super::{CudaEvent, Origin};
use crate::driver::{Context, DriverCall, PrimaryContext};
use crate::error::{Result, invalid_handle};
use crate::last_record::{LastRecord, Mark};
use crate::{Cuda, device};

/// The context that an event is created in.
#[derive(Clone, Copy)]
pub(crate) struct EventContext {
    pub(crate) device: u32,
    pub(crate) context: Context,
    /// The lifetime of the device's primary context, if this is it.
    pub(crate) primary: Option<&'static PrimaryContext>,
}

impl EventContext {
    pub(crate) fn of(primary: &'static PrimaryContext) -> Self {
        EventContext { device: primary.ordinal, context: primary.context, primary: Some(primary) }
    }
}

/// The parts of an event that was created in the primary context of a device.
///
/// They pass through a call in registers. The event itself is large, and would be copied several times.
pub(crate) struct NewEvent {
    raw: RawEvent<Cuda>,
    primary: &'static PrimaryContext,
}

impl NewEvent {
    /// Creates the event.
    #[inline]
    pub(crate) fn create(device: Device, options: EventOptions) -> Result<Self> {
        const OPERATION: &str = "Backend::new_event";
        let ordinal = device::ordinal(device, OPERATION)?;
        let call = DriverCall::begin(OPERATION)?;
        let primary = call.primary(ordinal)?;
        Ok(NewEvent { raw: call.create_event(primary.context, flags(options))?, primary })
    }

    /// Adds the options that the event was created with.
    #[inline]
    pub(crate) fn with(self, options: EventOptions) -> CudaEvent {
        let (location, record) = (EventContext::of(self.primary), LastRecord::none());
        let nothing = KeepAlive::none();
        CudaEvent::of(self.raw, location, options, record, Origin::Requested, nothing)
    }
}

/// Returns the driver's flags: `CU_EVENT_BLOCKING_SYNC`, `CU_EVENT_DISABLE_TIMING`, `CU_EVENT_INTERPROCESS`.
#[inline]
fn flags(options: EventOptions) -> u32 {
    u32::from(options.is_blocking())
        | u32::from(!options.is_timed()) << 1
        | u32::from(options.is_interprocess()) << 2
}

impl CudaEvent {
    /// Creates an event. `owner` keeps the context alive.
    // Inlined, because an event is large, and would be copied.
    #[inline]
    pub(crate) fn new(
        call: DriverCall,
        location: EventContext,
        options: EventOptions,
        owner: KeepAlive,
    ) -> Result<Self> {
        let raw = call.create_event(location.context, flags(options))?;
        Ok(Self::of(raw, location, options, LastRecord::none(), Origin::Requested, owner))
    }

    /// Returns an event of a primary context for one record: from the pool if it has one, else a new one.
    /// The caller must record it before it becomes visible.
    pub(crate) fn for_record(
        primary: &'static PrimaryContext,
        operation: &'static str,
    ) -> Result<Self> {
        let (location, options) = (EventContext::of(primary), EventOptions::new());
        let (record, nothing) = (LastRecord::none(), KeepAlive::none());
        match primary.take() {
            Some(raw) => Ok(Self::of(raw, location, options, record, Origin::Pool, nothing)),
            None => Self::new(primary.call(operation), location, options, nothing),
        }
    }

    /// Lets the event return to the pool. For an event that was [created for a record](Self::for_record),
    /// after that record.
    pub(crate) fn allow_pooling(&mut self) {
        self.origin = Origin::Pool;
    }

    /// Returns a pooled event whose record by this thread, outside of a capture, must follow before the
    /// event becomes visible.
    #[inline]
    pub(crate) fn from_pool_recorded(
        raw: RawEvent<Cuda>,
        primary: &'static PrimaryContext,
        stream: Mark,
    ) -> Self {
        let (record, nothing) = (LastRecord::outside(stream), KeepAlive::none());
        Self::of(raw, EventContext::of(primary), EventOptions::new(), record, Origin::Pool, nothing)
    }

    /// Returns an event of another process, opened in this context.
    pub(crate) fn opened(
        raw: RawEvent<Cuda>,
        location: EventContext,
        options: EventOptions,
    ) -> Self {
        let (record, nothing) = (LastRecord::elsewhere(), KeepAlive::none());
        Self::of(raw, location, options, record, Origin::Requested, nothing)
    }

    /// Wraps a foreign event: see `Backend::event_from_raw_with_owner`. If the device is not given, it is that of the
    /// current context: the driver does not tell an event's device.
    pub(crate) fn foreign(
        raw: RawEvent<Cuda>,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: &mut KeepAlive,
    ) -> Result<Self> {
        let operation = owner.event_operation();
        if raw.to_bits() == 0 {
            return Err(invalid_handle(operation, 0, "is no event: the null handle names none"));
        }
        let call = DriverCall::begin(operation)?;
        let device = match device {
            Some(device) => device::ordinal(device, operation)?,
            None => match call.current_context()? {
                Some(context) => call.ordinal_of(context)?,
                None => 0,
            },
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
            owner: std::mem::take(owner),
        })
    }

    #[inline]
    fn of(
        raw: RawEvent<Cuda>,
        EventContext { device, context, primary }: EventContext,
        options: EventOptions,
        record: LastRecord,
        origin: Origin,
        owner: KeepAlive,
    ) -> Self {
        let (context, is_escaped) = (Some(context), AtomicBool::new(false));
        CudaEvent { raw, device, context, options, record, is_escaped, origin, primary, owner }
    }
}
