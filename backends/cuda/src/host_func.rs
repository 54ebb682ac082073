//! User code: closures on a stream and owners, and where they run and are dropped.
//!
//! User code never runs with anything held: no lock, no claim, no context that was made current. A value
//! that is dropped inside a host function, or in the middle of a call, is deferred until a public call
//! ends.

use std::cell::Cell;
use std::ffi::c_void;

use gpu_stream_core::{Error, ErrorKind, KeepAlive};
use gpu_stream_driver_common::deferred::drop_here;
use gpu_stream_driver_common::host_func::{ensure_outside, is_inside};
use gpu_stream_driver_common::{Deferred, HostFuncs, Panics};

use crate::CudaError;
use crate::driver::context;
use crate::driver::symbols::Symbols;

/// The work that is deferred to the end of a public call.
pub(crate) static DEFERRED: Deferred = Deferred::new();

/// The closures that the driver has not called yet.
pub(crate) static HOST_FUNCS: HostFuncs = HostFuncs::new();

/// The streams on which a closure panicked.
pub(crate) static PANICS: Panics = Panics::new();

/// Runs the closure with this key. The driver calls it, on a thread of its own.
///
/// # Safety
/// No requirements: `key` may be any number. The function is unsafe because the driver requires the type.
pub(crate) unsafe extern "C" fn run(key: *mut c_void) {
    HOST_FUNCS.run(key, &PANICS);
}

/// Returns an error inside a host function of this process's backends. Blocking there would block the
/// thread that runs all host functions.
pub(crate) fn ensure_outside_host_func(operation: &'static str) -> Result<(), CudaError> {
    Ok(ensure_outside(operation)?)
}

/// Returns an error inside a callback that another library gave to `cuLaunchHostFunc`.
///
/// The driver would let the thread block there forever. It answers other calls with 800, so this makes one of them: it
/// reads the thread's current context. Callbacks run on threads of the driver, so each thread is checked once.
#[inline]
pub(crate) fn ensure_outside_callback(
    symbols: &Symbols,
    operation: &'static str,
) -> Result<(), CudaError> {
    thread_local! {
        static RUNS_NO_CALLBACKS: Cell<bool> = const { Cell::new(false) };
    }
    if !RUNS_NO_CALLBACKS.get() {
        match context::current_context(symbols, operation) {
            Ok(_) => RUNS_NO_CALLBACKS.set(true),
            Err(error) if error.kind() == ErrorKind::NotPermitted => return Err(error),
            // The blocking call itself reports what else is wrong.
            Err(_) => {}
        }
    }
    Ok(())
}

/// Runs `destroy`, which calls the driver and no user code. Inside a host function, where most driver calls
/// are not allowed, defers it to the end of the next call on another thread.
pub(crate) fn run_outside_host_func(destroy: impl FnOnce() + Send + 'static) {
    if is_inside() { DEFERRED.push(destroy) } else { destroy() }
}

/// Drops an owner where a value of the user is dropped. Inside a host function, defers it to the end of the
/// next call on another thread.
pub(crate) fn drop_owner(owner: KeepAlive) {
    if !owner.is_owned() {
        return;
    }
    if is_inside() { DEFERRED.push(move || drop(owner)) } else { drop_here(owner) }
}

/// Drops an owner at the end of the current public call.
pub(crate) fn drop_owner_later(owner: KeepAlive) {
    if owner.is_owned() {
        DEFERRED.push(move || drop(owner));
    }
}

/// Ends a public call: nothing is held, and user code may run.
///
/// Runs the deferred work, which costs one load if there is none. After a fault or the end of a context,
/// drops the closures that the context will never run. `scope` returns the key of that context, and is
/// called only then.
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
        // Closures that follow a panic never run.
        HOST_FUNCS.cancel(|stream| PANICS.has(stream));
    }
    if is_end_of_context(error)
        && !is_inside()
        && let Some(scope) = scope()
    {
        HOST_FUNCS.cancel(|stream| stream.scope == scope);
    }
}

/// Returns `true` if the error means that no work of the context will run any more.
pub(crate) fn is_end_of_context(error: &CudaError) -> bool {
    match error {
        // A panic belongs to the stream, and the context continues.
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

    /// Runs `func` as the driver does, for a stream with this scope.
    fn run_now(func: impl FnOnce() + Send + 'static, scope: usize) {
        let stream = StreamKey { scope, handle: 16, id: None };
        let launched = HOST_FUNCS.launch(Box::new(func), stream, |key| {
            // SAFETY: `run` accepts any number.
            unsafe { run(key) };
            Ok::<_, ()>(())
        });
        assert!(launched.is_ok());
    }

    #[test]
    fn value_dropped_inside_a_host_function_is_destroyed_outside() {
        let destroyed = Arc::new(AtomicUsize::new(0));
        let (inner, owner) = (Arc::clone(&destroyed), Arc::new(()));
        let reference = KeepAlive::owner(Arc::clone(&owner));
        run_now(
            move || {
                assert!(ensure_outside_host_func("here").is_err());
                let inside = Arc::clone(&inner);
                run_outside_host_func(move || _ = inside.fetch_add(1, Ordering::SeqCst));
                drop_owner(reference);
                assert!(end(Ok(()), || None).is_ok());
                assert_eq!(inner.load(Ordering::SeqCst), 0);
            },
            1,
        );
        assert!(end(Ok(()), || None).is_ok());
        // Another test may be running the queue now.
        while destroyed.load(Ordering::SeqCst) == 0 || Arc::strong_count(&owner) > 1 {
            std::thread::yield_now();
        }
        assert!(ensure_outside_host_func("here").is_ok());
    }

    #[test]
    fn context_fault_drops_its_closures_and_a_panic_does_not() {
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
