//! Contexts: whose they are, and the primary one of each device.

use std::ffi::c_uint;
use std::num::NonZero;

use gpu_stream_core::{BackendKind, ContractError, Device, ErrorKind, RawEvent};
use gpu_stream_relay::{Pool, Sources, thread_number};

use super::capture::Relaxed;
use super::code::CudaCode;
use super::current::{Current, current};
use super::symbols::Ptr;
use super::{DeviceEntry, Driver, check};
use crate::host_func;
use crate::{Cuda, CudaError};

/// A context that is alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Context(NonZero<usize>);

impl Context {
    pub(crate) fn new(pointer: Ptr) -> Option<Self> {
        NonZero::new(pointer.expose_provenance()).map(Context)
    }

    pub(crate) fn from_bits(bits: usize) -> Option<Self> {
        NonZero::new(bits).map(Context)
    }

    pub(crate) fn to_bits(self) -> usize {
        self.0.get()
    }

    pub(crate) fn as_ptr(self) -> Ptr {
        std::ptr::with_exposed_provenance_mut(self.0.get())
    }
}

/// The context of a device that all its users share, the runtime API and torch among them. Retained
/// once and never released, as the library is never closed.
pub(crate) struct Primary {
    pub(crate) driver: &'static Driver,
    /// That of the device.
    pub(crate) ordinal: u32,
    pub(crate) context: Context,
    /// Events of this context that nobody uses at the moment. None was recorded in a capture.
    pool: Pool,
    /// Likewise, for records that nobody sees but who waits for them at once.
    relays: Pool,
    /// The streams of this context that somebody waits for at the moment.
    pub(crate) sources: Sources,
}

impl Primary {
    fn new(driver: &'static Driver, ordinal: u32, context: Context) -> Self {
        let (pool, relays) = (Pool::new(), Pool::new());
        Primary { driver, ordinal, context, pool, relays, sources: Sources::new() }
    }

    /// An event that nobody uses, if there is one. It may have an old record, which is to be replaced
    /// before anybody sees it.
    #[inline]
    pub(crate) fn take(&self) -> Option<RawEvent<Cuda>> {
        self.pool.take(thread_number()).map(RawEvent::from_bits)
    }

    /// Takes the event back, or gives it back if there is no room.
    #[inline]
    pub(crate) fn give(&self, event: RawEvent<Cuda>) -> Result<(), RawEvent<Cuda>> {
        self.pool.give(event.to_bits(), thread_number()).map_err(RawEvent::from_bits)
    }

    /// An event that is to be recorded, waited for and given back.
    pub(crate) fn take_relay(&self, operation: &'static str) -> Result<RawEvent<Cuda>, CudaError> {
        match self.relays.take(thread_number()) {
            Some(event) => Ok(RawEvent::from_bits(event)),
            None => self.driver.create_event(self.context, DISABLE_TIMING, operation),
        }
    }

    pub(crate) fn give_relay(&self, event: RawEvent<Cuda>) {
        if let Err(event) = self.relays.give(event.to_bits(), thread_number()) {
            let (driver, event) = (self.driver, RawEvent::from_bits(event));
            // SAFETY: the event is ours, and this is its last use; nobody has waited for anything
            // but its record.
            host_func::outside(move || unsafe { driver.destroy_event(event) });
        }
    }
}

/// `CU_EVENT_DISABLE_TIMING`.
const DISABLE_TIMING: c_uint = 2;

impl Driver {
    /// The primary context of the device with this ordinal, which must be there.
    pub(crate) fn primary(
        &'static self,
        ordinal: u32,
        operation: &'static str,
    ) -> Result<&'static Primary, CudaError> {
        let found = self.devices.get(ordinal as usize);
        let entry = found.ok_or_else(|| {
            let given = Device::new(BackendKind::Cuda, ordinal);
            ContractError::InvalidDevice { operation, given, count: self.count() }
        })?;
        match entry.primary.get() {
            Some(primary) => Ok(primary),
            None => self.retain_primary(ordinal, entry, operation),
        }
    }

    #[cold]
    fn retain_primary(
        &'static self,
        ordinal: u32,
        entry: &'static DeviceEntry,
        operation: &'static str,
    ) -> Result<&'static Primary, CudaError> {
        let _relaxed = Relaxed::enter(self, operation)?;
        let mut context = std::ptr::null_mut();
        // SAFETY: `context` is a place for one context, and the device is one that the driver
        // named.
        let code = unsafe { (self.symbols.primary_retain)(&mut context, entry.handle) };
        const FUNCTION: &str = "cuDevicePrimaryCtxRetain";
        check(code, operation, FUNCTION)?;
        // Success with a null context is nothing that the driver does; better an error than a later
        // crash.
        let none =
            CudaError::Driver { operation, function: FUNCTION, code: CudaCode::INVALID_CONTEXT };
        let context = Context::new(context).ok_or(none)?;
        // Two threads at once retain it twice, which is no harm for something that is never
        // released.
        Ok(entry.primary.get_or_init(|| Primary::new(self, ordinal, context)))
    }

    /// The primary context of the device `ordinal`, if it is `context`. Asks nobody.
    #[inline]
    pub(crate) fn known_primary(
        &'static self,
        ordinal: u32,
        context: Context,
    ) -> Option<&'static Primary> {
        self.retained_primary(ordinal).filter(|primary| primary.context == context)
    }

    /// The primary context of the device `ordinal`, if it was used before. Asks nobody.
    #[inline]
    pub(crate) fn retained_primary(&'static self, ordinal: u32) -> Option<&'static Primary> {
        self.devices.get(ordinal as usize)?.primary.get()
    }

    /// The primary context of an explicit stream, if it is one that was used before, and the
    /// device's with this ordinal, where one is given. `None` also if the driver does not say.
    ///
    /// # Safety
    /// `stream` is alive.
    #[inline]
    pub(crate) unsafe fn primary_of(
        &'static self,
        stream: Ptr,
        ordinal: Option<u32>,
    ) -> Option<&'static Primary> {
        let ask = self.symbols.stream_context.function?;
        let mut context = std::ptr::null_mut();
        // SAFETY: the caller promises that the stream is alive; `context` is a place for one.
        let code = unsafe { ask(stream, &mut context) };
        if code != CudaCode::SUCCESS {
            return None;
        }
        let is_it = |primary: &&Primary| primary.context.to_bits() == context.addr();
        match ordinal {
            Some(ordinal) => self.retained_primary(ordinal).filter(is_it),
            None => self.devices.iter().filter_map(|entry| entry.primary.get()).find(is_it),
        }
    }

    /// A new event of the context.
    pub(crate) fn create_event(
        &'static self,
        context: Context,
        flags: c_uint,
        operation: &'static str,
    ) -> Result<RawEvent<Cuda>, CudaError> {
        host_func::clear();
        let _relaxed = Relaxed::enter(self, operation)?;
        let _current = Current::enter(self, context, operation)?;
        let mut event = std::ptr::null_mut();
        // SAFETY: `event` is a place for one event, the flags are valid ones, and the context is
        // current.
        let code = unsafe { (self.symbols.event_create)(&mut event, flags) };
        check(code, operation, "cuEventCreate")?;
        Ok(RawEvent::from_ptr(event))
    }

    /// Destroys an event. If it cannot, the event leaks: there is nobody to tell, and at the end of
    /// the process the driver may be gone.
    ///
    /// # Safety
    /// The event is ours, its context is alive, and this is its last use.
    pub(crate) unsafe fn destroy_event(&'static self, event: RawEvent<Cuda>) {
        // Without it a capture may break.
        let _relaxed = Relaxed::enter(self, "destroying an event").ok();
        // SAFETY: the caller promises it.
        let _ = unsafe { (self.symbols.event_destroy)(event.as_ptr()) };
    }

    /// The ordinal of the device that `context` belongs to.
    pub(crate) fn ordinal_of(
        &'static self,
        context: Context,
        operation: &'static str,
    ) -> Result<u32, CudaError> {
        for ordinal in 0..self.count() {
            if self.known_primary(ordinal, context).is_some() {
                return Ok(ordinal);
            }
        }
        let _relaxed = Relaxed::enter(self, operation)?;
        let mut handle = 0;
        {
            let _current = Current::enter(self, context, operation)?;
            // SAFETY: `handle` is a place for the device.
            let code = unsafe { (self.symbols.ctx_device)(&mut handle) };
            check(code, operation, "cuCtxGetDevice")?;
        }
        let position = self.devices.iter().position(|entry| entry.handle == handle);
        let ordinal = position.and_then(|index| u32::try_from(index).ok()).ok_or_else(|| {
            let reason = "belongs to a context of a device that the driver did not name";
            ContractError::InvalidHandle { operation, bits: context.to_bits(), reason }
        })?;
        // If it is the device's primary one, the next wrapper finds it above. One that is not
        // active cannot be it, and is not made active for this.
        let (mut flags, mut active) = (0, 0);
        // SAFETY: both are places for their numbers.
        let code = unsafe { (self.symbols.primary_state)(handle, &mut flags, &mut active) };
        check(code, operation, "cuDevicePrimaryCtxGetState")?;
        if active != 0 {
            self.primary(ordinal, operation)?;
        }
        Ok(ordinal)
    }

    /// The context that is current on the calling thread, if there is one.
    pub(crate) fn current_context(
        &self,
        operation: &'static str,
    ) -> Result<Option<Context>, CudaError> {
        Ok(Context::new(current(self, operation)?))
    }

    /// The context of an explicit stream.
    ///
    /// # Safety
    /// `stream` is alive.
    pub(crate) unsafe fn context_of(
        &'static self,
        stream: Ptr,
        operation: &'static str,
    ) -> Result<Context, CudaError> {
        // Harmless to captures, also to that of this stream: no other mode is needed.
        // SAFETY: the caller promises that the stream is alive.
        match unsafe { self.ask_context_of(stream, operation) } {
            // Today's drivers need no current context for this. One that does is content with any.
            Err(CudaError::Driver { code: CudaCode::INVALID_CONTEXT, .. }) => {
                let any = self.primary(0, operation)?.context;
                let _current = Current::enter(self, any, operation)?;
                // SAFETY: as above.
                unsafe { self.ask_context_of(stream, operation) }
            }
            answer => answer,
        }
    }

    /// # Safety
    /// As [`context_of`](Self::context_of).
    unsafe fn ask_context_of(
        &self,
        stream: Ptr,
        operation: &'static str,
    ) -> Result<Context, CudaError> {
        let mut context = std::ptr::null_mut();
        let mut function = self.symbols.stream_context.name;
        let mut code = match self.symbols.stream_context.function {
            // SAFETY: the caller promises that the stream is alive; `context` is a place for one
            // context.
            Some(ask) => unsafe { ask(stream, &mut context) },
            None => CudaCode::NOT_SUPPORTED,
        };
        // A stream of a green context: only the newer function takes it, and names the primary
        // context beneath.
        let newer = self.symbols.stream_context_v2;
        if let (CudaCode::NOT_SUPPORTED, Some(ask)) = (code, newer.function) {
            let mut green = std::ptr::null_mut();
            // SAFETY: as above, and `green` is a place for one green context.
            code = unsafe { ask(stream, &mut context, &mut green) };
            function = newer.name;
        }
        if code == CudaCode::NOT_SUPPORTED {
            let reason = "the driver does not tell a stream's context: cuStreamGetCtx is missing or answers 'not supported'; use `stream_from_raw_unchecked`, and give the device";
            let backend = BackendKind::Cuda;
            return Err(ContractError::Unsupported { operation, backend, reason }.into());
        }
        if code.kind() == ErrorKind::InvalidHandle {
            self.check_only_runtime(operation)?;
        }
        check(code, operation, function)?;
        let Some(context) = Context::new(context) else {
            self.check_only_runtime(operation)?;
            let reason = "has no context, so it is no stream that is alive";
            let bits = stream.expose_provenance();
            return Err(ContractError::InvalidHandle { operation, bits, reason }.into());
        };
        Ok(context)
    }
}
