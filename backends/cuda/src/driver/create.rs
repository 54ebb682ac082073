//! Creates streams and events in a context, and destroys events.

use std::ffi::c_uint;

use gpu_stream_core::{
    BackendKind, ContractError, PriorityRange, RawEvent, RawStream, StreamOptions,
};

use super::call::DriverCall;
use super::context::Context;
use super::symbols::Ptr;
use crate::error::Result;
use crate::{Cuda, CudaCode, CudaError};

/// `CU_STREAM_NON_BLOCKING`: the stream does not synchronize with the default stream.
pub(crate) const NON_BLOCKING: c_uint = 1;

const PRIORITIES: &str = "cuCtxGetStreamPriorityRange";

impl DriverCall {
    /// Creates an event in the context. Runs no user code, so the caller may hold a bucket of the coalescer.
    pub(crate) fn create_event(self, context: Context, flags: c_uint) -> Result<RawEvent<Cuda>> {
        let _relaxed = self.relaxed_to_create()?;
        let _current = self.enter(context)?;
        let mut event = std::ptr::null_mut();
        // SAFETY: `&mut event` is a valid out-pointer, the flags are valid, and the context is current.
        let code = unsafe { (self.symbols().event_create)(&mut event, flags) };
        self.check(code, "cuEventCreate")?;
        Ok(RawEvent::from_ptr(event))
    }

    /// Destroys an event. Leaks it if the driver returns an error: no caller is left to report it to, and at the end
    /// of the process the driver may be shut down.
    ///
    /// # Safety
    /// - The event was created by this crate, its context is alive, and this is its last use.
    pub(crate) unsafe fn destroy_event(self, event: RawEvent<Cuda>) {
        let _relaxed = self.relaxed_to_create().ok();
        // SAFETY: the event is ours, and this is its last use (caller contract).
        let _ = unsafe { (self.symbols().event_destroy)(event.as_ptr()) };
    }

    /// Creates a stream in the context.
    pub(crate) fn create_stream(
        self,
        context: Context,
        options: StreamOptions,
    ) -> Result<RawStream<Cuda>> {
        let _relaxed = self.relaxed_to_create()?;
        let _current = self.enter(context)?;
        let flags = if options.blocking { 0 } else { NON_BLOCKING };
        let mut stream = std::ptr::null_mut();
        // SAFETY: `&mut stream` is a valid out-pointer, the flags are valid, and the context is current.
        let code = unsafe { (self.symbols().stream_create)(&mut stream, flags, options.priority) };
        self.check(code, "cuStreamCreateWithPriority")?;
        Ok(RawStream::from_ptr(stream))
    }

    /// Creates a stream in a green context.
    ///
    /// # Errors
    /// [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) for a blocking stream. The driver creates none there:
    /// with flags 0 and a green context current, `cuStreamCreate` returns a non-blocking stream.
    ///
    /// # Safety
    /// - `green` is a live green context.
    pub(crate) unsafe fn create_green_stream(
        self,
        green: Ptr,
        options: StreamOptions,
    ) -> Result<RawStream<Cuda>> {
        if options.blocking {
            let reason = "no stream of a green context is blocking; ask for a non-blocking one, or create it in the \
                          device's primary context with `Backend::new_stream`";
            let (operation, backend) = (self.operation, BackendKind::Cuda);
            return Err(ContractError::Unsupported { operation, backend, reason }.into());
        }
        let symbol = self.symbols().green_stream_create;
        let create = self.require(symbol)?;
        let _relaxed = self.relaxed()?;
        let mut stream = std::ptr::null_mut();
        // SAFETY: `green` is live (caller contract), and `&mut stream` is a valid out-pointer.
        let code = unsafe { create(&mut stream, green, NON_BLOCKING, options.priority) };
        self.check(code, symbol.name)?;
        Ok(RawStream::from_ptr(stream))
    }

    /// Returns the priorities that streams of the context can have.
    pub(crate) fn priorities(self, context: Context) -> Result<PriorityRange> {
        let get = self.require(self.symbols().ctx_priorities)?;
        let _relaxed = self.relaxed()?;
        let _current = self.enter(context)?;
        let (mut least, mut greatest) = (0, 0);
        // SAFETY: both are valid out-pointers, and the context is current.
        self.check(unsafe { get(&mut least, &mut greatest) }, PRIORITIES)?;
        Ok(PriorityRange { least, greatest })
    }

    /// Returns an error unless streams of the context can have this priority. A driver without priorities supports 0
    /// only.
    pub(crate) fn check_priority(self, context: Context, priority: i32) -> Result<()> {
        let lacks_priorities = |error: &CudaError| {
            matches!(
                error,
                CudaError::MissingSymbol { .. }
                    | CudaError::Driver { function: PRIORITIES, code: CudaCode::NOT_SUPPORTED, .. }
            )
        };
        match self.priorities(context) {
            Ok(range) => Ok(range.check(priority, self.operation)?),
            Err(error) if priority == 0 && lacks_priorities(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
