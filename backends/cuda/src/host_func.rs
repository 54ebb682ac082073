//! User code: closures on a stream and owners, and where they run and are dropped.

use std::ffi::c_void;

use gpu_stream_core::{Error, ErrorKind};
use gpu_stream_driver_common::UserCode;
use gpu_stream_driver_common::user_code::Lost;

use crate::CudaError;
use crate::error::{BoxedError, Result};

/// The user code of this backend.
pub(crate) static USER_CODE: UserCode = UserCode::new();

/// Runs the closure with this key. The driver calls it, on a thread of its own.
///
/// # Safety
/// No requirements: `key` may be any number. The function is unsafe because the driver requires the type.
pub(crate) unsafe extern "C" fn run(key: *mut c_void) {
    USER_CODE.run_host_func(key);
}

/// Runs the body of a public call, and ends the call: see [`UserCode::call`]. `dead_scope` returns the key of the
/// call's context if no work of it will run any more. It is called only after an error that says so.
#[inline]
pub(crate) fn call<T>(
    body: impl FnOnce() -> Result<T>,
    dead_scope: impl FnOnce() -> Option<usize>,
) -> Result<T, CudaError> {
    let lost = |error: &BoxedError| match &**error {
        // A panic belongs to the stream, and the context continues.
        CudaError::HostFunctionPanicked { .. } => Some(Lost::AfterPanics),
        error if is_end_of_context(error) => dead_scope().map(Lost::Scope),
        _ => None,
    };
    Ok(USER_CODE.call(body, lost)?)
}

/// Returns `true` if the error means that no work of the context will run any more.
pub(crate) fn is_end_of_context(error: &CudaError) -> bool {
    let is_panic = matches!(error, CudaError::HostFunctionPanicked { .. });
    !is_panic && matches!(error.kind(), ErrorKind::StreamFault | ErrorKind::ContextDestroyed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gpu_stream_driver_common::StreamKey;

    use super::*;
    use crate::CudaCode;

    #[test]
    fn context_fault_drops_its_closures_and_a_panic_does_not() {
        let (held, other) = (Arc::new(()), Arc::new(()));
        for (scope, held) in [(2, &held), (3, &other)] {
            let held = Arc::clone(held);
            let stream = StreamKey { scope, handle: 16, id: None };
            let funcs = &USER_CODE.host_funcs;
            let taken = funcs.launch(Box::new(move || drop(held)), stream, |_| Ok::<_, ()>(()));
            assert!(taken.is_ok());
        }
        let fault = |code| {
            let (operation, function) = ("here", "cuStreamQuery");
            CudaError::Driver { operation, function, code: CudaCode::new(code) }
        };
        let fail = |error, scope| {
            assert!(call(|| Err::<(), _>(BoxedError::from(error)), || Some(scope)).is_err())
        };
        fail(CudaError::HostFunctionPanicked { operation: "here", message: "".into() }, 2);
        fail(fault(400), 2);
        assert_eq!(Arc::strong_count(&held), 2);
        fail(fault(700), 2);
        assert_eq!((Arc::strong_count(&held), Arc::strong_count(&other)), (1, 2));
        fail(fault(709), 3);
        assert_eq!(Arc::strong_count(&other), 1);
    }
}
