//! One event of the runtime: [`OwnedEvent`], and the counted reference to it, [`EventRef`].

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use gpu_stream_core::{EventOptions, KeepAlive, RawEvent};

use crate::call::{discard, may_destroy};
use crate::driver::symbols::Ptr;
use crate::driver::{CaptureModeGuard, Driver, loaded};
use crate::host_func::DEFERRED;
use crate::{Hip, HipError, event};

/// The event is recorded in place, because the handle is known outside of this crate.
const FIXED: u8 = 1;
/// Another library may record the event.
const ESCAPED: u8 = 2;
/// A capture has, or may have, a pointer to the event.
const CAPTURED: u8 = 4;
/// A capture other than that of the last record has a pointer to the event, and writes to it when it ends.
/// The event is never destroyed then.
const LEAKED: u8 = 8;

/// An event of the runtime: destroyed on drop, unless it is foreign.
#[derive(Debug)]
pub(crate) struct OwnedEvent {
    pub(crate) raw: RawEvent<Hip>,
    device: u32,
    /// The event may go to the pool.
    poolable: bool,
    /// The flags above.
    state: AtomicU8,
    /// What keeps a foreign event alive. `None` for an event that this crate created.
    foreign: Option<KeepAlive>,
}

impl OwnedEvent {
    #[inline]
    pub(crate) fn new(raw: RawEvent<Hip>, device: u32, poolable: bool) -> Self {
        OwnedEvent { raw, device, poolable, state: AtomicU8::new(0), foreign: None }
    }

    /// Wraps an event of another library, which is never destroyed here.
    pub(crate) fn foreign(raw: RawEvent<Hip>, device: u32, owner: KeepAlive) -> Self {
        let state = AtomicU8::new(FIXED | ESCAPED);
        OwnedEvent { raw, device, poolable: false, state, foreign: Some(owner) }
    }

    #[inline]
    fn has(&self, bits: u8) -> bool {
        self.state.load(Ordering::Relaxed) & bits != 0
    }

    fn set(&self, bits: u8) {
        self.state.fetch_or(bits, Ordering::Relaxed);
    }

    /// Makes all later records in place.
    pub(crate) fn fix(&self) {
        self.set(FIXED);
    }

    /// Marks the event as known to other libraries, which may record it from now on.
    pub(crate) fn set_escaped(&self) {
        if !self.has(ESCAPED) {
            self.set(FIXED | ESCAPED);
        }
    }

    /// Returns `true` if records are made in place.
    #[inline]
    pub(crate) fn is_fixed(&self) -> bool {
        self.has(FIXED)
    }

    /// Returns `true` if another library may record the event.
    #[inline]
    pub(crate) fn is_escaped(&self) -> bool {
        self.has(ESCAPED)
    }

    /// Marks the event as known to a capture, which may write to it when it ends.
    #[cold]
    pub(crate) fn mark_captured(&self) {
        self.set(CAPTURED);
    }

    /// Marks the event as recorded elsewhere while a capture has a pointer to it.
    #[cold]
    pub(crate) fn mark_leaked_to_capture(&self) {
        self.set(CAPTURED | LEAKED);
    }

    /// Returns `true` if a capture may write to it that is not the one of the last record.
    #[cfg(all(test, not(gpu_stream_loom)))]
    pub(crate) fn is_leaked_to_capture(&self) -> bool {
        self.has(LEAKED)
    }

    /// Returns `true` if no capture has had a pointer to it.
    pub(crate) fn is_free_of_captures(&self) -> bool {
        !self.has(CAPTURED)
    }

    /// Returns `true` if it can be recorded for another use: no other pointer to it exists.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.has(FIXED | CAPTURED)
    }
}

impl Drop for OwnedEvent {
    #[inline]
    fn drop(&mut self) {
        if let Some(owner) = self.foreign.take() {
            if owner.is_owned() {
                discard(owner);
            }
            return;
        }
        // At the end of the process there is no runtime any more, and the event leaks.
        let Some(driver) = loaded() else { return };
        if self.has(LEAKED) || self.has(CAPTURED) && driver.quirks.captures_keep_destroyed {
            return;
        }
        destroy_soon(driver, self.raw);
    }
}

/// A counted reference to an event. The last one returns the event to the pool, if it is poolable.
#[derive(Clone, Debug)]
pub(crate) struct EventRef(ManuallyDrop<Arc<OwnedEvent>>);

impl EventRef {
    #[inline]
    pub(crate) fn new(handle: OwnedEvent) -> Self {
        EventRef(ManuallyDrop::new(Arc::new(handle)))
    }

    /// Takes an event from the pool, or creates one. The caller records it before any other use.
    #[inline]
    pub(crate) fn for_record(
        driver: &'static Driver,
        device: u32,
        options: EventOptions,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let poolable = options == EventOptions::new();
        let entry = driver.device_state(device).filter(|_| poolable);
        if let Some(event) = entry.and_then(|entry| entry.events.take()) {
            return Ok(event);
        }
        let raw = event::create(driver, device, options, operation)?;
        Ok(EventRef::new(OwnedEvent::new(raw, device, poolable)))
    }

    /// Returns `true` if no other reference exists.
    #[inline]
    pub(crate) fn is_only(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }

    /// Returns `true` if both refer to one event.
    #[inline]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Converts the reference to a number that is not 0, for [`from_bits`](Self::from_bits).
    #[inline]
    pub(crate) fn into_bits(self) -> usize {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, and not used after this line.
        Arc::into_raw(unsafe { ManuallyDrop::take(&mut this.0) }).expose_provenance()
    }

    /// Converts a number back to the reference.
    ///
    /// # Safety
    /// The number is from [`into_bits`](Self::into_bits), and is used once.
    #[inline]
    pub(crate) unsafe fn from_bits(bits: usize) -> Self {
        // SAFETY: the pointer is from `Arc::into_raw`, and is used once (caller contract).
        EventRef(ManuallyDrop::new(unsafe {
            Arc::from_raw(std::ptr::with_exposed_provenance(bits))
        }))
    }
}

impl std::ops::Deref for EventRef {
    type Target = OwnedEvent;

    #[inline]
    fn deref(&self) -> &OwnedEvent {
        &self.0
    }
}

impl Drop for EventRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the field is not used after this line.
        let mut handle = unsafe { ManuallyDrop::take(&mut self.0) };
        // A pooled event is recorded before it is queried or waited for. Until then its pointer to the old
        // stream is not followed.
        if Arc::get_mut(&mut handle).is_some_and(|handle| handle.poolable && handle.is_reusable())
            && let Some(driver) = loaded()
            && let Some(events) = driver.events(handle.device)
        {
            let unused = events.give(EventRef(ManuallyDrop::new(handle)));
            if let Err(mut unused) = unused.map_err(ManuallyDrop::new) {
                // SAFETY: `unused` is not dropped, and not used after this line.
                drop(unsafe { ManuallyDrop::take(&mut unused.0) });
            }
        }
    }
}

/// Destroys an event now, or at the end of the next public call on a thread that may destroy.
pub(crate) fn destroy_soon(driver: &'static Driver, raw: RawEvent<Hip>) {
    if may_destroy() {
        destroy(driver, raw.as_ptr());
    } else {
        DEFERRED.push(move || destroy(driver, raw.as_ptr()));
    }
}

fn destroy(driver: &'static Driver, event: Ptr) {
    // The end of the process may have begun since.
    if loaded().is_none() {
        return;
    }
    // Without the guard a capture may break. Without the destruction, the event leaks, which is worse.
    let _relaxed = CaptureModeGuard::enter(driver, "HipEvent::drop").ok();
    // SAFETY: this crate created the event, and this is its last use. No caller is there to get an error.
    driver.discard(unsafe { (driver.symbols.event_destroy)(event) });
}
