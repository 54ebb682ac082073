//! Faults of a [`CudaStream`]: panics of its host functions, and the end of its context.

use super::CudaStream;
use crate::CudaError;
use crate::driver::capture::{self, CaptureModeGuard};
use crate::driver::check::check;
use crate::driver::driver;
use crate::host_func::{self, USER_CODE};

impl CudaStream {
    /// Ends a public call: see [`host_func::end`].
    #[inline]
    pub(crate) fn end<T>(&self, outcome: Result<T, CudaError>) -> Result<T, CudaError> {
        host_func::end(outcome, || self.known_scope().filter(|_| self.is_context_at_end()))
    }

    /// Ends a public call that also used another stream.
    #[inline]
    pub(super) fn end_with(
        &self,
        outcome: Result<(), CudaError>,
        other: &Self,
    ) -> Result<(), CudaError> {
        self.end(other.end(outcome))
    }

    /// Returns `true` if a second driver call confirms that no work of the stream's context will run any more. The
    /// error of one call alone is not enough to drop the closures of other callers.
    #[cold]
    fn is_context_at_end(&self) -> bool {
        const OPERATION: &str = "CudaStream::is_context_at_end";
        let answer = self.with_current(OPERATION, |symbols, raw| {
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            unsafe { capture::ensure_not_capturing(symbols, raw, OPERATION) }?;
            let _relaxed = CaptureModeGuard::enter(symbols, OPERATION)?;
            // SAFETY: the stream is alive, and its context is current if it needs one.
            check(unsafe { (symbols.stream_query)(raw) }, OPERATION, "cuStreamQuery")
        });
        answer.is_err_and(|error| host_func::is_end_of_context(&error))
    }

    /// Returns an error if a host function of the stream panicked.
    #[inline]
    pub(crate) fn check_fault(&self, operation: &'static str) -> Result<(), CudaError> {
        if USER_CODE.panics.is_clean(&self.seen) { Ok(()) } else { self.find_fault(operation) }
    }

    #[cold]
    fn find_fault(&self, operation: &'static str) -> Result<(), CudaError> {
        let stream = (self.scope(operation)?, self.bits());
        // During a capture the driver cannot tell the id. The next call asks again.
        let id = || self.find_id(operation).ok().flatten();
        match USER_CODE.panics.find(&self.seen, stream, id) {
            Some(message) => Err(CudaError::HostFunctionPanicked { operation, message }),
            None => Ok(()),
        }
    }

    /// Returns the stream's id; `None` if the driver has no ids.
    pub(super) fn find_id(&self, operation: &'static str) -> Result<Option<u64>, CudaError> {
        if driver()?.symbols.stream_id.function.is_none() {
            return Ok(None);
        }
        self.driver_id(operation).map(Some)
    }
}
