//! Code of users: closures on a stream, owners, and where they run and are dropped.
//!
//! It never runs with anything held: no lock, no claim, no context that was made current. What is
//! dropped inside a host function, or in the middle of a call, is put off until a public call ends.

use std::ffi::c_void;

use gpu_stream_core::{ContractError, Error, ErrorKind, KeepAlive};
use gpu_stream_driver_common::deferred::drop_here;
use gpu_stream_driver_common::host_func::is_inside;
use gpu_stream_driver_common::{Deferred, HostFuncs, Panics};

use crate::CudaError;

/// What waits for the end of a public call.
pub(crate) static DEFERRED: Deferred = Deferred::new();

/// The closures that the driver has.
pub(crate) static HOST_FUNCS: HostFuncs = HostFuncs::new();

/// The streams on which a closure panicked.
pub(crate) static PANICS: Panics = Panics::new();

/// What the driver calls, on a thread of its own.
///
/// # Safety
/// None: `key` is a number, and may be any. It has the type that the driver asks for.
pub(crate) unsafe extern "C" fn run(key: *mut c_void) {
    HOST_FUNCS.run(key, &PANICS);
}

/// Returns an error inside a host function: to block there would block the thread that all host
/// functions run on.
pub(crate) fn ensure_outside_host_func(operation: &'static str) -> Result<(), CudaError> {
    if !is_inside() {
        return Ok(());
    }
    let reason = "it is called from a host function, which must not wait for the GPU; let another stream wait for an event instead";
    Err(ContractError::NotPermitted { operation, reason }.into())
}

/// Runs `destroy`, which calls the driver and no code of a user: now, or, inside a host function,
/// where the driver may not be called, at the end of the next call on another thread.
pub(crate) fn run_outside_host_func(destroy: impl FnOnce() + Send + 'static) {
    if is_inside() { DEFERRED.push(destroy) } else { destroy() }
}

/// Drops an owner where a value of the user is dropped: here, or, inside a host function, at the end of
/// the next call on another thread.
pub(crate) fn drop_owner(owner: KeepAlive) {
    if !owner.is_owned() {
        return;
    }
    if is_inside() { DEFERRED.push(move || drop(owner)) } else { drop_here(owner) }
}

/// Drops an owner at the end of the public call that this is a part of.
pub(crate) fn drop_owner_later(owner: KeepAlive) {
    if owner.is_owned() {
        DEFERRED.push(move || drop(owner));
    }
}

/// The end of a public call: nothing is held, and code of users may run.
///
/// Runs what was put off, which costs one load where there is nothing. After a fault of the context,
/// or its end, drops the closures that it will never run: those of the `scope` that is then asked for.
#[inline]
pub(crate) fn end<T>(
    outcome: Result<T, CudaError>,
    scope: impl Fn() -> Option<usize>,
) -> Result<T, CudaError> {
    if let Err(error) = &outcome {
        cancel_after(error, scope);
    }
    DEFERRED.run();
    outcome
}

#[cold]
fn cancel_after(error: &CudaError, scope: impl Fn() -> Option<usize>) {
    if matches!(error, CudaError::HostFunctionPanicked { .. }) && !is_inside() {
        // What stands behind a panic never runs.
        HOST_FUNCS.cancel(|stream| PANICS.has(stream));
    }
    if is_end_of_context(error)
        && !is_inside()
        && let Some(scope) = scope()
    {
        HOST_FUNCS.cancel(|stream| stream.scope == scope);
    }
}

/// Returns `true` if the error says that no work of the context will run any more.
pub(crate) fn is_end_of_context(error: &CudaError) -> bool {
    match error {
        // The panic is the stream's, and the context goes on.
        CudaError::HostFunctionPanicked { .. } => false,
        error => matches!(error.kind(), ErrorKind::StreamFault | ErrorKind::ContextDestroyed),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use gpu_stream_driver_common::StreamKey;

    use super::*;

    /// Runs `func` as the driver does, for a stream of this scope.
    fn run_now(func: impl FnOnce() + Send + 'static, scope: usize) {
        let stream = StreamKey { scope, handle: 16, id: None };
        let launched = HOST_FUNCS.launch(Box::new(func), stream, |key| {
            // SAFETY: any number is a key.
            unsafe { run(key) };
            Ok::<_, ()>(())
        });
        assert!(launched.is_ok());
    }

    #[test]
    fn what_is_dropped_inside_is_destroyed_outside() {
        let destroyed = Arc::new(AtomicUsize::new(0));
        let (inner, owner) = (Arc::clone(&destroyed), Arc::new(()));
        let share = KeepAlive::owner(Arc::clone(&owner));
        run_now(
            move || {
                assert!(ensure_outside_host_func("here").is_err());
                let inside = Arc::clone(&inner);
                run_outside_host_func(move || _ = inside.fetch_add(1, Ordering::SeqCst));
                drop_owner(share);
                assert!(end(Ok(()), || None).is_ok());
                assert_eq!(inner.load(Ordering::SeqCst), 0);
            },
            1,
        );
        assert!(end(Ok(()), || None).is_ok());
        // Another test may run the list at this moment.
        while destroyed.load(Ordering::SeqCst) == 0 || Arc::strong_count(&owner) > 1 {
            std::thread::yield_now();
        }
        assert!(ensure_outside_host_func("here").is_ok());
    }

    #[test]
    fn a_fault_drops_what_its_context_will_not_run_and_a_panic_does_not() {
        let (held, other) = (Arc::new(()), Arc::new(()));
        for (scope, held) in [(2, &held), (3, &other)] {
            let held = Arc::clone(held);
            let stream = StreamKey { scope, handle: 16, id: None };
            let taken =
                HOST_FUNCS.launch(Box::new(move || drop(held)), stream, |_| Ok::<_, ()>(()));
            assert!(taken.is_ok());
        }
        let fault = |code| {
            let (operation, function) = ("here", "cuStreamQuery");
            Err::<(), _>(CudaError::Driver {
                operation,
                function,
                code: crate::CudaCode::new(code),
            })
        };
        let panicked = CudaError::HostFunctionPanicked { operation: "here", message: "".into() };
        assert!(end(Err::<(), _>(panicked), || Some(2)).is_err());
        assert!(end(fault(400), || Some(2)).is_err());
        assert_eq!(Arc::strong_count(&held), 2);
        assert!(end(fault(700), || Some(2)).is_err());
        assert_eq!((Arc::strong_count(&held), Arc::strong_count(&other)), (1, 2));
        assert!(end(fault(709), || Some(3)).is_err());
        assert_eq!(Arc::strong_count(&other), 1);
    }
}
