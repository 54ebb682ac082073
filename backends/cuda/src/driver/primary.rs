//! The primary context of each device: [`PrimaryContext`].

use std::ffi::c_uint;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use gpu_stream_core::RawEvent;
use gpu_stream_driver_common::user_code::Lost;
use gpu_stream_driver_common::{Pool, RecordCoalescer, thread_number};

use super::Driver;
use super::call::{DriverCall, driver_error};
use super::context::Context;
use super::symbols::{DeviceHandle, Symbols};
use crate::error::Result;
use crate::host_func::USER_CODE;
use crate::{Cuda, CudaCode, CudaError};

/// One lifetime of a device's primary context, which all its users share, the runtime API and torch among them.
///
/// It is retained once and never released, just as the library is never closed. Another library can reset it
/// (`cudaDeviceReset`, `cuDevicePrimaryCtxReset`). The driver then frees everything that was created in it, and on
/// today's drivers the next lifetime has the same handle. Using an object of an earlier lifetime crashes. A new lifetime
/// therefore gets a new `PrimaryContext` with its own pools. The old one is never freed, because wrappers refer to it.
pub(crate) struct PrimaryContext {
    driver: &'static Driver,
    /// The device's ordinal.
    pub(crate) ordinal: u32,
    pub(crate) context: Context,
    device: DeviceHandle,
    /// The driver's id of this lifetime; `None` if the driver has no such ids.
    id: Option<u64>,
    /// What our calls have observed of this lifetime: [`ALIVE`], [`DOUBTFUL`] or [`OVER`]. Relaxed: no other memory is
    /// ordered by it.
    observed: AtomicU8,
    /// Unused events of this context. None was recorded in a capture.
    pool: Pool,
    /// Unused scratch events of this context: recorded and waited for within one call.
    scratch_events: Pool,
    /// The pending waits for streams of this context.
    pub(crate) coalescer: RecordCoalescer,
}

/// The reason why a context may have been reset.
#[derive(Clone, Copy)]
pub(crate) enum Doubt {
    /// A later lifetime was observed before.
    Over,
    /// The driver returned the id of another lifetime.
    OtherLifetime,
    /// The driver returned the id of this lifetime, after a doubtful answer.
    Cleared,
    /// The driver returned an error.
    NoAnswer(CudaCode),
}

/// No end of the context was observed.
const ALIVE: u8 = 0;
/// The driver last reported the context as destroyed. The next call asks again.
const DOUBTFUL: u8 = 1;
/// A later lifetime was observed.
const OVER: u8 = 2;

/// `CU_EVENT_DISABLE_TIMING`.
const DISABLE_TIMING: c_uint = 2;

impl PrimaryContext {
    fn new(driver: &'static Driver, ordinal: u32, device: DeviceHandle, context: Context) -> Self {
        PrimaryContext {
            driver,
            ordinal,
            context,
            device,
            id: context_id(&driver.symbols, context).ok(),
            observed: AtomicU8::new(ALIVE),
            pool: Pool::new(),
            scratch_events: Pool::new(),
            coalescer: RecordCoalescer::new(),
        }
    }

    /// Begins a driver call for an object of this context.
    #[inline]
    pub(crate) fn call(&self, operation: &'static str) -> DriverCall {
        DriverCall { driver: self.driver, operation }
    }

    /// Returns the driver's functions.
    #[inline]
    pub(crate) fn symbols(&self) -> &'static Symbols {
        &self.driver.symbols
    }

    /// Returns `true` if a call has observed that the context was reset, or may have been. Does not call the driver.
    #[inline]
    pub(crate) fn may_be_over(&self) -> bool {
        self.observed.load(Ordering::Relaxed) != ALIVE
    }

    /// Stores what a call has observed, unless a later lifetime was observed before. After an end, wrappers are checked
    /// again before they use the fast path.
    #[cold]
    fn observe(&self, now: u8) {
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.observed.fetch_update(set, fetch, |before| (before != OVER).then_some(now));
        if now != ALIVE {
            USER_CODE.panics.recheck_all();
        }
    }

    /// Returns a doubt unless the context was certainly not reset, or the driver has no ids.
    ///
    /// Calls the driver once, with the handle of the context, which stays valid. A driver without ids (before CUDA
    /// 12.0) is not called.
    #[inline]
    pub(crate) fn find_doubt(&self) -> Option<Doubt> {
        let observed = self.observed.load(Ordering::Relaxed);
        if observed == OVER {
            return Some(Doubt::Over);
        }
        let id = self.id?;
        match context_id(self.symbols(), self.context) {
            Ok(now) if now != id => Some(Doubt::OtherLifetime),
            Ok(_) if observed == ALIVE => None,
            Ok(_) => Some(Doubt::Cleared),
            Err(code) => Some(Doubt::NoAnswer(code)),
        }
    }

    /// Returns an error if the doubt means that the context was reset. Returns `Ok` if the driver cannot tell.
    #[cold]
    pub(crate) fn resolve(&self, doubt: Doubt, operation: &'static str) -> Result<()> {
        match doubt {
            // Also after `Over`: the thread that stored it may not have announced it yet.
            Doubt::Over | Doubt::OtherLifetime => self.observe(OVER),
            Doubt::Cleared => {
                self.observe(ALIVE);
                return Ok(());
            }
            Doubt::NoAnswer(code) if code.is_of_dead_context() => {
                self.observe(DOUBTFUL);
                return Err(driver_error(code, operation, "cuCtxGetId"));
            }
            Doubt::NoAnswer(_) => return Ok(()),
        }
        Err(CudaError::ContextReset { operation, stream: None }.into())
    }

    /// Returns an error if the context was reset. Returns `Ok` if the driver cannot tell.
    #[inline]
    pub(crate) fn check_alive(&self, operation: &'static str) -> Result<()> {
        self.find_doubt().map_or(Ok(()), |doubt| self.resolve(doubt, operation))
    }

    /// Returns `true` if [`check_alive`](Self::check_alive) returns an error: the context was reset.
    #[inline]
    pub(crate) fn is_reset(&self) -> bool {
        self.find_doubt().is_some_and(|doubt| self.resolve(doubt, "").is_err())
    }

    /// Returns `true` if the context was reset and is not in use again. A driver without ids tells no more.
    #[cold]
    fn is_inactive(&self) -> bool {
        let Ok(_relaxed) = self.call("PrimaryContext::is_inactive").relaxed() else { return false };
        let (mut flags, mut active) = (0, 0);
        // SAFETY: both are valid out-pointers, and the driver returned the device's handle.
        let code = unsafe { (self.symbols().primary_state)(self.device, &mut flags, &mut active) };
        code == CudaCode::SUCCESS && active == 0
    }

    /// Returns `true` if the context is alive, as far as the driver tells.
    fn is_alive(&self) -> bool {
        if self.id.is_some() { !self.is_reset() } else { !self.is_inactive() }
    }

    /// Returns the key of this context for host functions and their panics. No other context has it, nor a later
    /// lifetime of this one.
    pub(crate) fn scope(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Takes an event from the pool, or returns `None` if the pool is empty. The event may have an old record, which
    /// the caller must replace before the event becomes visible.
    #[inline]
    pub(crate) fn take(&self) -> Option<RawEvent<Cuda>> {
        self.pool.take(thread_number()).map(RawEvent::from_bits)
    }

    /// Returns the event to the pool.
    ///
    /// # Errors
    /// The event, if the pool is full.
    #[inline]
    pub(crate) fn give(&self, event: RawEvent<Cuda>) -> Result<(), RawEvent<Cuda>> {
        self.pool.give(event.to_bits(), thread_number()).map_err(RawEvent::from_bits)
    }

    /// Returns a scratch event, from the pool or a new one. Runs no user code, so the caller may hold a bucket of the
    /// coalescer.
    pub(crate) fn acquire_scratch(&self) -> Result<RawEvent<Cuda>> {
        match self.scratch_events.take(thread_number()) {
            Some(event) => Ok(RawEvent::from_bits(event)),
            None => self.call("acquiring an event").create_event(self.context, DISABLE_TIMING),
        }
    }

    /// Takes a scratch event back. Runs no user code, so the caller may hold a bucket of the coalescer.
    pub(crate) fn release_scratch(&'static self, event: RawEvent<Cuda>) {
        if let Err(event) = self.scratch_events.give(event.to_bits(), thread_number()) {
            let event = RawEvent::from_bits(event);
            USER_CODE.run_outside_host_func(move || {
                let Some(call) = DriverCall::if_loaded("releasing an event") else { return };
                if !self.is_reset() {
                    // SAFETY:
                    // - The event is ours, and this is its last use: the waits for its record are enqueued.
                    // - Its context is alive, as the check before has shown.
                    unsafe { call.destroy_event(event) };
                }
            });
        }
    }
}

/// The state of one device: its handle, and the current lifetime of its primary context.
pub(crate) struct DeviceState {
    pub(super) handle: DeviceHandle,
    /// Null if the context was not used yet.
    primary: AtomicPtr<PrimaryContext>,
}

impl DeviceState {
    pub(super) const fn new(handle: DeviceHandle) -> Self {
        DeviceState { handle, primary: AtomicPtr::new(null_mut()) }
    }

    /// Returns the primary context if it was used before. Does not call the driver: the context may have been reset.
    #[inline]
    pub(super) fn retained_primary(&self) -> Option<&'static PrimaryContext> {
        // SAFETY: the pointer is null, or comes from a box that is never freed.
        unsafe { self.primary.load(Ordering::Acquire).as_ref() }
    }

    /// Returns the live primary context. Retains it again if it was reset.
    pub(super) fn live_primary(
        &self,
        call: DriverCall,
        ordinal: u32,
    ) -> Result<&'static PrimaryContext> {
        match self.retained_primary() {
            Some(primary) if primary.is_alive() => Ok(primary),
            before => self.retain(call, ordinal, before),
        }
    }

    #[cold]
    fn retain(
        &self,
        call: DriverCall,
        ordinal: u32,
        before: Option<&'static PrimaryContext>,
    ) -> Result<&'static PrimaryContext> {
        const FUNCTION: &str = "cuDevicePrimaryCtxRetain";
        let _relaxed = call.relaxed()?;
        let mut context = null_mut();
        // SAFETY: `&mut context` is a valid out-pointer, and the driver returned the device's handle.
        let code = unsafe { (call.symbols().primary_retain)(&mut context, self.handle) };
        call.check(code, FUNCTION)?;
        let invalid = |function| call.error(CudaCode::INVALID_CONTEXT, function);
        // No known driver succeeds with a null context. An error is better than a later crash.
        let context = Context::new(context).ok_or_else(|| invalid(FUNCTION))?;
        let new = PrimaryContext::new(call.driver, ordinal, self.handle, context);
        if let Some(before) = before {
            if before.id.is_some() && new.id.is_none() {
                // The driver has ids and did not return one, so it is not known whether the lifetime is the same.
                return Err(invalid("cuCtxGetId"));
            }
            if new.id.is_some() && new.id == before.id {
                // The same lifetime: only the check had failed.
                before.observe(ALIVE);
                return Ok(before);
            }
            if new.id.is_some() || before.id.is_none() {
                before.observe(OVER);
            }
            // The streams of the old lifetime are destroyed, so their host functions never run. They are dropped at
            // the end of the call, where nothing is held.
            let scope = before.scope();
            USER_CODE.deferred.push(move || USER_CODE.cancel(|| Some(Lost::Scope(scope))));
        }
        // Two concurrent threads retain it twice, which is harmless for a context that is never released.
        Ok(self.replace(before, new))
    }

    /// Replaces `old` by `new`. Returns the context of another thread if that thread was first.
    fn replace(
        &self,
        old: Option<&'static PrimaryContext>,
        new: PrimaryContext,
    ) -> &'static PrimaryContext {
        let old = old.map_or(null_mut(), |old| std::ptr::from_ref(old).cast_mut());
        let new = Box::into_raw(Box::new(new));
        match self.primary.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: `new` comes from a box, which is never freed from here on.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: `new` comes from the box above, and no other thread has seen it. It has no events yet.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: `other` comes from a box that is never freed. It is not null: a context is replaced only by
                // another one.
                unsafe { &*other }
            }
        }
    }
}

/// Returns the driver's id of a context's current lifetime.
#[inline]
fn context_id(symbols: &Symbols, context: Context) -> Result<u64, CudaCode> {
    let Some(get) = symbols.ctx_id.function else { return Err(CudaCode::NOT_SUPPORTED) };
    let mut id = 0;
    // SAFETY: `&mut id` is a valid out-pointer. The handle of a primary context is valid for the life of the process.
    match unsafe { get(context.as_ptr(), &mut id) } {
        CudaCode::SUCCESS => Ok(id),
        code => Err(code),
    }
}

#[cfg(all(test, target_os = "linux", not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests {
    use std::path::{Path, PathBuf};

    use gpu_stream_driver_common::Seen;
    use gpu_stream_driver_common::library::Library;

    use super::*;

    /// Returns the file of the simulated driver, which cargo puts beside the test program. Returns `None` outside of
    /// the repository, because the simulator is not published.
    fn simulated_driver() -> Option<PathBuf> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/cuda-sim");
        if !source.is_dir() {
            return None;
        }
        // Under another dynamic linker, only the first argument names the program that cargo built.
        let program = std::env::args_os().next().map(PathBuf::from).expect("a program");
        let file = program.with_file_name("libcuda_sim.so");
        assert!(file.is_file(), "{}: build it with cargo", file.display());
        Some(file)
    }

    /// Another thread has stored the end, and has not announced it yet.
    #[test]
    fn call_that_returns_the_end_has_announced_it_to_all_wrappers() {
        let Some(file) = simulated_driver() else {
            eprintln!("not run: it needs the simulated driver, which is in the repository only");
            return;
        };
        // SAFETY: the library's initializers have no requirements.
        let library = unsafe { Library::new(file) }.expect("a library");
        let driver = Box::leak(Box::new(Driver::unstarted(library)));
        let context = Context::from_bits(8).expect("not null");
        let primary = PrimaryContext::new(driver, 0, 0, context);
        let (panics, seen) = (&USER_CODE.panics, Seen::new());
        panics.recheck_all();
        assert_eq!(panics.find(&seen, (1, 16), || None), None);
        assert!(panics.is_clean(&seen));
        primary.observed.store(OVER, Ordering::Relaxed);
        assert!(primary.check_alive("here").is_err());
        assert!(!panics.is_clean(&seen));
    }
}
