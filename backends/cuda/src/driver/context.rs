//! Contexts: whose they are.

use std::ffi::c_uint;
use std::num::NonZero;

use gpu_stream_core::{BackendKind, ContractError, Device, ErrorKind, PriorityRange, RawEvent};

use super::capture::CaptureModeGuard;
use super::code::CudaCode;
use super::current::{ContextGuard, current};
use super::symbols::Ptr;
use super::{Driver, PrimaryContext, check, require};
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

impl Driver {
    /// Returns the live primary context of the device with this ordinal, which must be there.
    pub(crate) fn primary(
        &'static self,
        ordinal: u32,
        operation: &'static str,
    ) -> Result<&'static PrimaryContext, CudaError> {
        let found = self.devices.get(ordinal as usize);
        let entry = found.ok_or_else(|| {
            let given = Device::new(BackendKind::Cuda, ordinal);
            ContractError::InvalidDevice { operation, given, count: self.count() }
        })?;
        self.live_primary(ordinal, entry, operation)
    }

    /// The primary context of the device `ordinal`, if it is `context`. Asks nobody.
    #[inline]
    pub(crate) fn known_primary(
        &'static self,
        ordinal: u32,
        context: Context,
    ) -> Option<&'static PrimaryContext> {
        self.retained_primary(ordinal).filter(|primary| primary.context == context)
    }

    /// As [`known_primary`](Self::known_primary), of the context's present life: for a stream that is
    /// alive.
    pub(crate) fn live_known_primary(
        &'static self,
        ordinal: u32,
        context: Context,
        operation: &'static str,
    ) -> Result<Option<&'static PrimaryContext>, CudaError> {
        if self.known_primary(ordinal, context).is_none() {
            return Ok(None);
        }
        Ok(Some(self.primary(ordinal, operation)?).filter(|live| live.context == context))
    }

    /// The primary context of the device `ordinal`, if it was used before. Asks nobody. It may have
    /// been reset since.
    #[inline]
    pub(crate) fn retained_primary(&'static self, ordinal: u32) -> Option<&'static PrimaryContext> {
        self.devices.get(ordinal as usize)?.primary.get()
    }

    /// The primary context of an explicit stream, if it is one that was used before, and the
    /// device's with this ordinal, where one is given. `None` also if the driver does not say, and if
    /// the context was reset since.
    ///
    /// # Safety
    /// `stream` is alive.
    #[inline]
    pub(crate) unsafe fn primary_of(
        &'static self,
        stream: Ptr,
        ordinal: Option<u32>,
    ) -> Option<&'static PrimaryContext> {
        let ask = self.symbols.stream_context.function?;
        let mut context = std::ptr::null_mut();
        // SAFETY: the caller promises that the stream is alive; `context` is a place for one.
        let code = unsafe { ask(stream, &mut context) };
        if code != CudaCode::SUCCESS {
            return None;
        }
        let is_it = |primary: &&PrimaryContext| primary.context.to_bits() == context.addr();
        let found = match ordinal {
            Some(ordinal) => self.retained_primary(ordinal).filter(is_it),
            None => self.devices.iter().filter_map(|entry| entry.primary.get()).find(is_it),
        };
        found.filter(|primary| !primary.is_reset())
    }

    /// Makes a new event of the context. Runs no code of a user: the caller may hold a source.
    pub(crate) fn create_event(
        &'static self,
        context: Context,
        flags: c_uint,
        operation: &'static str,
    ) -> Result<RawEvent<Cuda>, CudaError> {
        let _relaxed = CaptureModeGuard::enter(self, operation)?;
        let _current = ContextGuard::enter(self, context, operation)?;
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
        let _relaxed = CaptureModeGuard::enter(self, "destroying an event").ok();
        // SAFETY: the caller promises it.
        let _ = unsafe { (self.symbols.event_destroy)(event.as_ptr()) };
    }

    /// Returns the priorities of streams of a context.
    pub(crate) fn priorities(
        &'static self,
        context: Context,
        operation: &'static str,
    ) -> Result<PriorityRange, CudaError> {
        let ask = require(self.symbols.ctx_priorities, operation)?;
        let _relaxed = CaptureModeGuard::enter(self, operation)?;
        let _current = ContextGuard::enter(self, context, operation)?;
        let (mut least, mut greatest) = (0, 0);
        // SAFETY: both are valid out-pointers, and the context is current.
        let code = unsafe { ask(&mut least, &mut greatest) };
        check(code, operation, "cuCtxGetStreamPriorityRange")?;
        Ok(PriorityRange { least, greatest })
    }

    /// Returns an error unless streams of the context have this priority. A driver without priorities
    /// has 0 only.
    pub(crate) fn check_priority(
        &'static self,
        context: Context,
        priority: i32,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        match self.priorities(context, operation) {
            Ok(range) => Ok(range.check(priority, operation)?),
            Err(error) if priority == 0 && lacks_priorities(&error) => Ok(()),
            Err(error) => Err(error),
        }
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
        let _relaxed = CaptureModeGuard::enter(self, operation)?;
        let mut handle = 0;
        {
            let _current = ContextGuard::enter(self, context, operation)?;
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
            // Today's drivers need no current context for this. One that does takes any.
            Err(CudaError::Driver { code: CudaCode::INVALID_CONTEXT, .. }) => {
                let any = self.primary(0, operation)?.context;
                let _current = ContextGuard::enter(self, any, operation)?;
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
        // A stream of a green context: some drivers have only the newer function take it, which names
        // the primary context beneath. Events of the green context's own fit the stream.
        let newer = self.symbols.stream_context_v2;
        if let (CudaCode::NOT_SUPPORTED, Some(ask)) = (code, newer.function) {
            let mut green = std::ptr::null_mut();
            // SAFETY: as above, and `green` is a valid out-pointer.
            code = unsafe { ask(stream, &mut context, &mut green) };
            function = newer.name;
            if let (false, Some(of_green)) = (green.is_null(), self.symbols.ctx_from_green.function)
            {
                // SAFETY: `context` is a valid out-pointer; the green context is alive as its stream is.
                code = unsafe { of_green(&mut context, green) };
                function = self.symbols.ctx_from_green.name;
            }
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

/// Returns `true` if the driver does not know priorities, rather than refuses for another reason.
fn lacks_priorities(error: &CudaError) -> bool {
    match error {
        CudaError::MissingSymbol { .. } => true,
        CudaError::Driver { function, code, .. } => {
            *function == "cuCtxGetStreamPriorityRange" && *code == CudaCode::NOT_SUPPORTED
        }
        _ => false,
    }
}
