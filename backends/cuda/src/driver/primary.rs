//! The primary context of each device: [`PrimaryContext`].

use std::ffi::c_uint;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use gpu_stream_core::RawEvent;
use gpu_stream_driver_common::{Pool, RecordCoalescer, thread_number};

use super::capture::CaptureModeGuard;
use super::code::CudaCode;
use super::{Context, DeviceEntry, Driver, check};
use crate::host_func::{self, DEFERRED, HOST_FUNCS};
use crate::{Cuda, CudaError};

/// One life of the context of a device that all its users share, the runtime API and torch among them.
///
/// It is retained once and never released, as the library is never closed. Another library can reset
/// it (`cudaDeviceReset`, `cuDevicePrimaryCtxReset`). The driver then frees all that was made in it, and
/// on today's drivers the next life has the same handle. To follow a handle of an earlier life
/// crashes. So a new life has a new `PrimaryContext`, with pools of its own, and the old one stays where it
/// is, since wrappers refer to it.
pub(crate) struct PrimaryContext {
    pub(crate) driver: &'static Driver,
    /// That of the device.
    pub(crate) ordinal: u32,
    pub(crate) context: Context,
    entry: &'static DeviceEntry,
    /// The driver's number of this life; `None` if the driver has no such numbers.
    id: Option<u64>,
    /// What calls of ours have seen of this life: [`ALIVE`], [`DOUBTFUL`] or [`OVER`]. Alone in what it
    /// tells: nothing else is read or written in its order.
    seen: AtomicU8,
    /// Events of this context that are not in use. None was recorded in a capture.
    pool: Pool,
    /// Events of this context for records that only the recording call sees.
    scratch_events: Pool,
    /// The streams of this context that another one waits for at the moment.
    pub(crate) coalescer: RecordCoalescer,
}

/// Nothing was seen of an end.
const ALIVE: u8 = 0;
/// The driver last called the context destroyed, which is to be asked again.
const DOUBTFUL: u8 = 1;
/// A later life was seen.
const OVER: u8 = 2;

/// `CU_EVENT_DISABLE_TIMING`.
const DISABLE_TIMING: c_uint = 2;

impl PrimaryContext {
    fn new(
        driver: &'static Driver,
        ordinal: u32,
        entry: &'static DeviceEntry,
        context: Context,
    ) -> Self {
        let id = driver.id_of(context).ok();
        let (pool, scratch_events, coalescer) = (Pool::new(), Pool::new(), RecordCoalescer::new());
        let seen = AtomicU8::new(ALIVE);
        PrimaryContext {
            driver,
            ordinal,
            context,
            entry,
            id,
            seen,
            pool,
            scratch_events,
            coalescer,
        }
    }

    /// Returns `true` if a call of ours has seen that the context was reset, or may have been. Asks the
    /// driver nothing.
    #[inline]
    pub(crate) fn may_be_over(&self) -> bool {
        self.seen.load(Ordering::Relaxed) != ALIVE
    }

    /// Notes what a call has seen, unless a later life was seen already.
    #[cold]
    fn note(&self, now: u8) {
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.seen.fetch_update(set, fetch, |before| (before != OVER).then_some(now));
    }

    /// Returns an error if the context was reset since. Returns `Ok` if the driver cannot tell.
    ///
    /// Asks the driver once, by the handle of the context, which stays good. A driver without ids
    /// (before CUDA 12.0) is not asked.
    #[inline]
    pub(crate) fn check_alive(&self, operation: &'static str) -> Result<(), CudaError> {
        if self.seen.load(Ordering::Relaxed) == OVER {
            return Err(CudaError::ContextReset { operation });
        }
        match self.id.map(|id| (id, self.driver.id_of(self.context))) {
            Some((id, Ok(now))) if now != id => {
                self.note(OVER);
                Err(CudaError::ContextReset { operation })
            }
            Some((_, Err(code))) if code.is_of_dead_context() => {
                self.note(DOUBTFUL);
                Err(CudaError::Driver { operation, function: "cuCtxGetId", code })
            }
            Some((_, Ok(_))) if self.may_be_over() => {
                self.note(ALIVE);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Returns `true` if the context was reset since, as [`check_alive`](Self::check_alive) tells.
    #[inline]
    pub(crate) fn is_reset(&self) -> bool {
        self.check_alive("").is_err()
    }

    /// Returns `true` if the context was reset since and is not in use again: all that a driver without
    /// ids tells.
    #[cold]
    fn is_inactive(&self) -> bool {
        let Ok(_relaxed) = CaptureModeGuard::enter(self.driver, "Primary::is_inactive") else {
            return false;
        };
        let (mut flags, mut active) = (0, 0);
        // SAFETY: both are valid out-pointers, and the driver named the device.
        let code = unsafe {
            (self.driver.symbols.primary_state)(self.entry.handle, &mut flags, &mut active)
        };
        code == CudaCode::SUCCESS && active == 0
    }

    /// Returns `true` if the context is alive, as far as the driver tells.
    fn is_alive(&self) -> bool {
        if self.id.is_some() { !self.is_reset() } else { !self.is_inactive() }
    }

    /// What host functions and their panics know this context by. No other has it, nor a later life.
    pub(crate) fn scope(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Takes an event from the pool. It may have an old record, which must be replaced before the event
    /// is seen.
    #[inline]
    pub(crate) fn take(&self) -> Option<RawEvent<Cuda>> {
        self.pool.take(thread_number()).map(RawEvent::from_bits)
    }

    /// Returns the event to the pool.
    ///
    /// # Errors
    /// The event, if there is no room.
    #[inline]
    pub(crate) fn give(&self, event: RawEvent<Cuda>) -> Result<(), RawEvent<Cuda>> {
        self.pool.give(event.to_bits(), thread_number()).map_err(RawEvent::from_bits)
    }

    /// Takes an event that is to be recorded, waited for and given back.
    ///
    /// Runs no code of a user: the caller holds a source.
    pub(crate) fn acquire_scratch(
        &self,
        operation: &'static str,
    ) -> Result<RawEvent<Cuda>, CudaError> {
        match self.scratch_events.take(thread_number()) {
            Some(event) => Ok(RawEvent::from_bits(event)),
            None => self.driver.create_event(self.context, DISABLE_TIMING, operation),
        }
    }

    /// Gives a relay back. Runs no code of a user: the caller may hold a source.
    pub(crate) fn release_scratch(&'static self, event: RawEvent<Cuda>) {
        if let Err(event) = self.scratch_events.give(event.to_bits(), thread_number()) {
            let event = RawEvent::from_bits(event);
            host_func::run_outside_host_func(move || {
                // In the child of a fork it is left alone.
                let Some(driver) = super::loaded() else { return };
                if !self.is_reset() {
                    // SAFETY: the event is ours, and this is its last use: the waits for its record are
                    // made. Its context was alive a moment ago.
                    unsafe { driver.destroy_event(event) };
                }
            });
        }
    }
}

/// The current life of a device's primary context, if it was used before.
pub(crate) struct PrimaryCell(AtomicPtr<PrimaryContext>);

impl PrimaryCell {
    pub(super) const fn new() -> Self {
        PrimaryCell(AtomicPtr::new(null_mut()))
    }

    /// Returns the `PrimaryContext`, without a question to the driver. It may have been reset.
    #[inline]
    pub(super) fn get(&self) -> Option<&'static PrimaryContext> {
        // SAFETY: it is null, or was made from a box that is never freed.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Puts `made` in the place of `old`. Returns what another thread put there first, if one did.
    fn replace(
        &self,
        old: Option<&'static PrimaryContext>,
        made: PrimaryContext,
    ) -> &'static PrimaryContext {
        let old = old.map_or(null_mut(), |old| std::ptr::from_ref(old).cast_mut());
        let new = Box::into_raw(Box::new(made));
        match self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it was made from a box, which is never freed from here on.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: it was made from a box a moment ago, and no other thread has seen it. It has
                // no events yet.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: it was made from a box that is never freed. It is not null, since a `PrimaryContext`
                // is replaced by another one only.
                unsafe { &*other }
            }
        }
    }
}

impl Driver {
    /// Returns the number of a context's life.
    #[inline]
    fn id_of(&self, context: Context) -> Result<u64, CudaCode> {
        let Some(ask) = self.symbols.ctx_id.function else { return Err(CudaCode::NOT_SUPPORTED) };
        let mut id = 0;
        // SAFETY: `id` is a valid out-pointer. The handle of a primary context is good for the life of
        // the process.
        match unsafe { ask(context.as_ptr(), &mut id) } {
            CudaCode::SUCCESS => Ok(id),
            code => Err(code),
        }
    }

    /// Returns the live primary context of the device, retained anew if it was reset.
    pub(super) fn live_primary(
        &'static self,
        ordinal: u32,
        entry: &'static DeviceEntry,
        operation: &'static str,
    ) -> Result<&'static PrimaryContext, CudaError> {
        match entry.primary.get() {
            Some(primary) if primary.is_alive() => Ok(primary),
            before => self.retain_primary(ordinal, entry, before, operation),
        }
    }

    #[cold]
    fn retain_primary(
        &'static self,
        ordinal: u32,
        entry: &'static DeviceEntry,
        before: Option<&'static PrimaryContext>,
        operation: &'static str,
    ) -> Result<&'static PrimaryContext, CudaError> {
        let _relaxed = CaptureModeGuard::enter(self, operation)?;
        let mut context = null_mut();
        // SAFETY: `context` is a valid out-pointer, and the driver named the device.
        let code = unsafe { (self.symbols.primary_retain)(&mut context, entry.handle) };
        const FUNCTION: &str = "cuDevicePrimaryCtxRetain";
        check(code, operation, FUNCTION)?;
        // No driver succeeds with a null context. An error is better than a later crash.
        let none =
            CudaError::Driver { operation, function: FUNCTION, code: CudaCode::INVALID_CONTEXT };
        let context = Context::new(context).ok_or(none)?;
        let made = PrimaryContext::new(self, ordinal, entry, context);
        if let Some(before) = before {
            if made.id.is_some() && made.id == before.id {
                // It is the same life. What failed was the question.
                before.note(ALIVE);
                return Ok(before);
            }
            if made.id.is_some() || before.id.is_none() {
                before.note(OVER);
            }
            // The streams of that life are gone, and what they did not run. At the end of the call,
            // where nothing is held.
            let scope = before.scope();
            DEFERRED.push(move || HOST_FUNCS.cancel(|stream| stream.scope == scope));
        }
        // Two threads at once retain it twice, which is harmless for what is never released.
        Ok(entry.primary.replace(before, made))
    }
}
