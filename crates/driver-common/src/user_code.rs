//! The user code of one backend, and where it runs: [`UserCode`].

use std::ffi::c_void;

use gpu_stream_core::KeepAlive;

use crate::deferred::{Deferred, drop_here};
use crate::host_func::{HostFuncs, is_inside};
use crate::panics::Panics;

/// The user code of one backend: closures on streams, their panics, and owners to drop.
///
/// User code never runs with anything held: no lock, no claim, no context that was made current. A value that is
/// dropped inside a host function, or in the middle of a call, is deferred until a public call ends.
pub struct UserCode {
    /// The closures that the driver has not called yet.
    pub host_funcs: HostFuncs,
    /// The streams on which a closure panicked.
    pub panics: Panics,
    /// The work that is deferred to the end of a public call.
    pub deferred: Deferred,
}

/// The closures that the driver will never call after an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// Those that follow a panic on their stream.
    AfterPanics,
    /// Those of all streams of a context or device.
    Scope(usize),
    /// Those of one stream.
    Stream {
        /// The stream's context or device.
        scope: usize,
        /// The stream's handle.
        handle: usize,
    },
}

impl Default for UserCode {
    fn default() -> Self {
        UserCode::new()
    }
}

impl UserCode {
    /// Creates the state of a backend that has run no user code.
    pub const fn new() -> Self {
        UserCode { host_funcs: HostFuncs::new(), panics: Panics::new(), deferred: Deferred::new() }
    }

    /// Runs the closure with this key. Must be called by the driver's callback, on the driver's thread.
    pub fn run_host_func(&self, key: *mut c_void) {
        self.host_funcs.run(key, &self.panics);
    }

    /// Runs `destroy`, which calls the driver and no user code. Inside a host function, where most driver calls are
    /// not allowed, defers it to the end of the next call on another thread.
    pub fn run_outside_host_func(&self, destroy: impl FnOnce() + Send + 'static) {
        if is_inside() { self.deferred.push(destroy) } else { destroy() }
    }

    /// Drops an owner where a value of the user is dropped. Inside a host function, defers it to the end of the next
    /// call on another thread.
    pub fn drop_owner(&self, owner: KeepAlive) {
        if !owner.is_owned() {
            return;
        }
        if is_inside() { self.deferred.push(move || drop(owner)) } else { drop_here(owner) }
    }

    /// Drops an owner at the end of the current public call.
    pub fn drop_owner_later(&self, owner: KeepAlive) {
        if owner.is_owned() {
            self.deferred.push(move || drop(owner));
        }
    }

    /// Runs the body of a public call, and ends the call: nothing is held then, and user code may run.
    ///
    /// The end runs the deferred work, which costs one load if there is none. After an error, it first
    /// [cancels](Self::cancel) the closures that the driver will never call.
    #[inline]
    pub fn call<T, E>(
        &self,
        body: impl FnOnce() -> Result<T, E>,
        lost: impl FnOnce(&E) -> Option<Lost>,
    ) -> Result<T, E> {
        match body() {
            Ok(value) => {
                self.deferred.run();
                Ok(value)
            }
            Err(error) => {
                self.cancel(|| lost(&error));
                self.deferred.run();
                Err(error)
            }
        }
    }

    /// Drops the closures that the driver will never call. `lost` is called outside of host functions only: inside,
    /// the next call that reports the error drops them.
    #[cold]
    pub fn cancel(&self, lost: impl FnOnce() -> Option<Lost>) {
        if is_inside() {
            return;
        }
        match lost() {
            None => {}
            Some(Lost::AfterPanics) => self.host_funcs.cancel(|stream| self.panics.has(stream)),
            Some(Lost::Scope(scope)) => self.host_funcs.cancel(|stream| stream.scope == scope),
            Some(Lost::Stream { scope, handle }) => {
                self.host_funcs.cancel(|stream| (stream.scope, stream.handle) == (scope, handle));
            }
        }
    }
}

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::StreamKey;

    /// Gives a closure to the driver that holds a reference to `held`.
    fn launch(user_code: &UserCode, stream: StreamKey, held: &Arc<()>) -> *mut c_void {
        let (held, mut key) = (Arc::clone(held), std::ptr::null_mut());
        let launched = user_code.host_funcs.launch(Box::new(move || drop(held)), stream, |data| {
            key = data;
            Ok::<_, ()>(())
        });
        assert!(launched.is_ok());
        key
    }

    #[test]
    fn value_dropped_inside_a_host_function_is_dropped_outside() {
        static USER_CODE: UserCode = UserCode::new();
        let (destroyed, owner, count) = (Arc::new(()), Arc::new(()), Arc::strong_count);
        let (inner, reference) = (Arc::clone(&destroyed), KeepAlive::owner(Arc::clone(&owner)));
        let stream = StreamKey { scope: 1, handle: 16, id: None };
        let func = move || {
            USER_CODE.run_outside_host_func(move || drop(inner));
            USER_CODE.drop_owner(reference);
            assert_eq!(USER_CODE.call(|| Err::<(), _>(1), |_| panic!("asked inside")), Err(1));
        };
        let launched = USER_CODE.host_funcs.launch(Box::new(func), stream, |key| {
            USER_CODE.run_host_func(key);
            Ok::<_, ()>(())
        });
        assert_eq!((launched, count(&destroyed), count(&owner)), (Ok(()), 2, 2));
        assert!(!USER_CODE.panics.has(stream));
        assert_eq!(USER_CODE.call(|| Ok::<_, ()>(7), |_| None), Ok(7));
        assert_eq!((count(&destroyed), count(&owner)), (1, 1));
    }

    #[test]
    fn error_drops_the_closures_that_are_lost_and_no_others() {
        let (user_code, held) = (UserCode::new(), [(); 4].map(Arc::new));
        let keys = [(1, 16), (1, 32), (2, 16), (2, 32)];
        for ((scope, handle), held) in keys.into_iter().zip(&held) {
            launch(&user_code, StreamKey { scope, handle, id: None }, held);
        }
        let alive = || held.each_ref().map(|held| Arc::strong_count(held) == 2);
        let end = |lost| _ = user_code.call(|| Err::<(), _>(()), |()| lost);
        end(None);
        assert_eq!(alive(), [true; 4]);
        end(Some(Lost::Stream { scope: 1, handle: 32 }));
        assert_eq!(alive(), [true, false, true, true]);
        end(Some(Lost::Scope(1)));
        assert_eq!(alive(), [false, false, true, true]);
        user_code.panics.record_panic(StreamKey { scope: 2, handle: 32, id: None }, &"meant");
        end(Some(Lost::AfterPanics));
        assert_eq!(alive(), [false, false, true, false]);
    }
}
