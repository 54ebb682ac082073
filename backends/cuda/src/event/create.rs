//! Creates [`CudaEvent`]s: new ones, pooled ones, and wrappers of foreign ones.

use std::sync::atomic::AtomicBool;

use gpu_stream_core::{ContractError, Device, EventOptions, KeepAlive, RawEvent};

use super::{CudaEvent, Origin};
use crate::driver::context::{Context, current_context};
use crate::driver::create::create_event;
use crate::driver::driver;
use crate::driver::primary::PrimaryContext;
use crate::driver::symbols::Symbols;
use crate::host_func::USER_CODE;
use crate::last_record::{LastRecord, Mark};
use crate::{Cuda, CudaError, device};

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

/// Creates an event in the primary context of a device.
pub(crate) fn new_event(device: Device, options: EventOptions) -> Result<CudaEvent, CudaError> {
    const OPERATION: &str = "Backend::new_event";
    let ordinal = device::ordinal(device, OPERATION)?;
    let driver = driver()?;
    let location = EventContext::of(driver.primary(ordinal, OPERATION)?);
    CudaEvent::new(&driver.symbols, location, options, KeepAlive::none(), OPERATION)
}

impl CudaEvent {
    /// Creates an event. `owner` keeps the context alive.
    pub(crate) fn new(
        symbols: &'static Symbols,
        location: EventContext,
        options: EventOptions,
        owner: KeepAlive,
        operation: &'static str,
    ) -> Result<Self, CudaError> {
        // CU_EVENT_BLOCKING_SYNC, CU_EVENT_DISABLE_TIMING, CU_EVENT_INTERPROCESS.
        let flags = u32::from(options.is_blocking())
            | u32::from(!options.is_timed()) << 1
            | u32::from(options.is_interprocess()) << 2;
        let raw = create_event(symbols, location.context, flags, operation)?;
        Ok(Self::of(raw, location, options, LastRecord::none(), Origin::Requested, owner))
    }

    /// Returns an event of a primary context for one record: from the pool if it has one, else a new one.
    /// The caller must record it before it becomes visible.
    pub(crate) fn for_record(
        primary: &'static PrimaryContext,
        operation: &'static str,
    ) -> Result<Self, CudaError> {
        let (options, nothing) = (EventOptions::new(), KeepAlive::none());
        match primary.take() {
            Some(raw) => {
                let (location, record) = (EventContext::of(primary), LastRecord::none());
                Ok(Self::of(raw, location, options, record, Origin::Pool, nothing))
            }
            None => {
                Self::new(primary.symbols, EventContext::of(primary), options, nothing, operation)
            }
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

    /// Returns the given device, or that of the current context: the driver does not tell an event's
    /// device.
    fn device_of_foreign(
        device: Option<Device>,
        operation: &'static str,
    ) -> Result<u32, CudaError> {
        let driver = driver()?;
        match device {
            Some(device) => device::ordinal(device, operation),
            None => match current_context(&driver.symbols, operation)? {
                Some(context) => driver.ordinal_of(context, operation),
                None => Ok(0),
            },
        }
    }

    /// Wraps a foreign event: see `Backend::event_from_raw_with_owner`.
    pub(crate) fn foreign(
        raw: RawEvent<Cuda>,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<Self, CudaError> {
        let operation = owner.event_operation();
        if raw.to_bits() == 0 {
            let reason = "is no event: the null handle names none";
            USER_CODE.drop_owner(owner);
            return Err(ContractError::InvalidHandle { operation, bits: 0, reason }.into());
        }
        let device = match Self::device_of_foreign(device, operation) {
            Ok(device) => device,
            Err(error) => {
                USER_CODE.drop_owner(owner);
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
