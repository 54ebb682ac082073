//! Faults of a [`CudaStream`]: panics of its host functions, and the end of its context.

use gpu_stream_core::{CaptureStatus, ContractError};
use gpu_stream_driver_common::Seen;
use gpu_stream_driver_common::user_code::Lost;

use super::CudaStream;
use crate::driver::{DriverCall, Ptr, driver};
use crate::error::Result;
use crate::host_func::{self, USER_CODE};
use crate::{CudaCode, CudaError};

impl CudaStream {
    /// Runs the body of a public call, and ends the call: see [`host_func::call`].
    #[inline]
    pub(crate) fn call<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T, CudaError> {
        host_func::call(body, || self.dead_scope())
    }

    /// Returns the key of the stream's context if no work of it will run any more.
    pub(super) fn dead_scope(&self) -> Option<usize> {
        self.known_scope().filter(|_| self.is_context_at_end())
    }

    /// Returns the key of the stream's context if no work of it will run any more. Drops the closures of `other`'s context
    /// in the same case. For a call on both streams, which must be over: dropping closures runs user code.
    #[cold]
    pub(super) fn dead_scope_of_two(&self, other: &Self) -> Option<usize> {
        USER_CODE.cancel(|| other.dead_scope().map(Lost::Scope));
        self.dead_scope()
    }

    /// Returns `true` if a second driver call confirms that no work of the stream's context will run any more. The
    /// error of one call alone is not enough to drop the closures of other callers.
    #[cold]
    fn is_context_at_end(&self) -> bool {
        let answer = self.ask_uncaptured("CudaStream::is_context_at_end", |call, raw| {
            // SAFETY: the stream is alive, and its context is current if it needs one.
            call.check(unsafe { (call.symbols().stream_query)(raw) }, "cuStreamQuery")
        });
        answer.is_err_and(|error| host_func::is_end_of_context(&error))
    }

    /// Returns an error if a host function of the stream panicked.
    #[inline]
    pub(crate) fn check_fault(&self, operation: &'static str) -> Result<()> {
        if USER_CODE.panics.is_clean(&self.seen) { Ok(()) } else { self.find_fault(operation) }
    }

    #[cold]
    fn find_fault(&self, operation: &'static str) -> Result<()> {
        let stream = (self.scope(operation)?, self.bits());
        // During a capture the driver cannot tell the id. The next call asks again.
        let id = || self.find_id(operation).ok().flatten();
        // Not `self.seen`: another thread that shares this wrapper must not find it clean before the check below.
        let seen = Seen::new();
        let message = USER_CODE.panics.find(&seen, stream, id);
        // The fast path does not check for the end of a context.
        if !self.may_be_gone() {
            self.seen.set(&seen);
        }
        match message {
            Some(message) => Err(CudaError::HostFunctionPanicked { operation, message }.into()),
            None => Ok(()),
        }
    }

    /// Returns the driver's id of the stream; `None` if the driver has no ids.
    pub(super) fn find_id(&self, operation: &'static str) -> Result<Option<u64>> {
        match driver()?.symbols.stream_id.function {
            Some(get) => self.ask_id(get, operation).map(Some),
            None => Ok(None),
        }
    }

    /// Returns the driver's id of the stream, for the launch of a host function; `None` if the driver has no ids.
    ///
    /// # Errors
    /// The stream is being captured.
    pub(super) fn find_id_for_launch(&self, operation: &'static str) -> Result<Option<u64>> {
        self.with_current(operation, |call, raw| {
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            if unsafe { call.capture_status(raw) }? != CaptureStatus::None {
                let bits = self.bits();
                return Err(ContractError::CaptureHostFunc { operation, bits }.into());
            }
            let Some(get) = call.symbols().stream_id.function else { return Ok(None) };
            let _relaxed = call.relaxed()?;
            // SAFETY: the stream is alive, and its context is current if it needs one.
            unsafe { read_id(call, raw, get) }.map(Some)
        })
    }

    /// Calls the driver for the stream's id.
    pub(super) fn ask_id(&self, get: GetId, operation: &'static str) -> Result<u64> {
        self.ask_uncaptured(operation, |call, raw| {
            // SAFETY: the stream is alive, and its context is current if it needs one.
            unsafe { read_id(call, raw, get) }
        })
    }

    /// Returns the capture status of the stream.
    #[inline(always)]
    pub(super) fn driver_capture_status(&self, operation: &'static str) -> Result<CaptureStatus> {
        // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
        self.with_current(operation, |call, raw| unsafe { call.capture_status(raw) })
    }
}

/// Returns the answer of `get` for the stream.
///
/// # Safety
/// - `stream` is alive, and its context is current if it needs one.
unsafe fn read_id(call: DriverCall, stream: Ptr, get: GetId) -> Result<u64> {
    let mut id = 0;
    // SAFETY: `stream` is alive (caller contract), and `&mut id` is a valid out-pointer.
    call.check(unsafe { get(stream, &mut id) }, "cuStreamGetId")?;
    Ok(id)
}

/// `cuStreamGetId`.
type GetId = unsafe extern "C" fn(Ptr, *mut u64) -> CudaCode;
