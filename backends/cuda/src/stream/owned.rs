//! The owner of a stream that this crate created: [`Owned`].

use gpu_stream_core::{KeepAlive, RawStream};
use gpu_stream_driver_common::user_code::Lost;

use crate::Cuda;
use crate::CudaCode;
use crate::driver::{DriverCall, PrimaryContext, Ptr, Symbols, may_be_capturing};
use crate::host_func::USER_CODE;

/// The owner of a stream that this crate created. Destroys the stream on drop.
pub(super) struct Owned {
    raw: RawStream<Cuda>,
    /// The lifetime of the primary context that the stream was created in, if it was created in one.
    primary: Option<&'static PrimaryContext>,
    /// The key of the context for host functions and panics.
    scope: usize,
    /// The owner of a context that is not the device's primary one.
    context_owner: KeepAlive,
}

impl Owned {
    pub(super) fn new(
        raw: RawStream<Cuda>,
        primary: Option<&'static PrimaryContext>,
        scope: usize,
        context_owner: KeepAlive,
    ) -> Self {
        Owned { raw, primary, scope, context_owner }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let (raw, primary, scope) = (self.raw, self.primary, self.scope);
        USER_CODE.run_outside_host_func(move || {
            // In the child of a fork the stream is left alone.
            let Some(call) = DriverCall::if_loaded("CudaStream::drop") else { return };
            // Before the driver can reuse the handle.
            USER_CODE.panics.remove(scope, raw.to_bits());
            // SAFETY: the stream is ours and alive, unless its context was reset, and this is its last use.
            let code = unsafe { destroy(call, raw.as_ptr(), primary) };
            if code.is_end_of_context() {
                // The capture mode is restored by now: dropping the closures runs user code.
                USER_CODE.cancel(|| Some(Lost::Scope(scope)));
            }
        });
        USER_CODE.drop_owner(std::mem::take(&mut self.context_owner));
    }
}

/// Destroys the stream. Returns the code of its context's fault, if there is one, else that of the call.
///
/// # Safety
/// - The stream is ours and alive, unless `primary` was reset. This is its last use.
unsafe fn destroy(
    call: DriverCall,
    stream: Ptr,
    primary: Option<&'static PrimaryContext>,
) -> CudaCode {
    if primary.is_some_and(PrimaryContext::is_reset) {
        // The reset destroyed the stream, and the driver would use a dangling handle.
        return CudaCode::CONTEXT_IS_DESTROYED;
    }
    let _relaxed = call.relaxed().ok();
    // SAFETY: the stream is alive (caller contract).
    let before = unsafe { fault_of(call.symbols(), stream) };
    // SAFETY: the stream is ours, and this is its last use (caller contract). Submitted work still runs. At the end of
    // the process the driver may be shut down and return an error, which no caller is left to receive.
    let code = unsafe { (call.symbols().stream_destroy)(stream) };
    before.unwrap_or(code)
}

/// Returns the code of the context's fault, if the driver has a closure that could be lost by it. A driver may destroy a
/// stream without reporting the fault.
///
/// # Safety
/// - The stream is alive, and the thread's capture mode is relaxed.
unsafe fn fault_of(symbols: &Symbols, stream: Ptr) -> Option<CudaCode> {
    // A stream under capture is not queried.
    // SAFETY: the stream is alive (caller contract).
    if USER_CODE.host_funcs.is_empty() || unsafe { may_be_capturing(symbols, stream) } {
        return None;
    }
    // SAFETY: the stream is alive (caller contract).
    let code = unsafe { (symbols.stream_query)(stream) };
    code.is_end_of_context().then_some(code)
}
