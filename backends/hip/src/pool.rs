//! Creating, reusing and destroying the runtime's events.
//!
//! Creating an event would be the largest cost of a wait for a stream. A wait binds to the record before it, so an
//! event is free as soon as its waits are enqueued. Each device has a pool of unused events. Three kinds never go there:
//! events that were recorded in a capture, events whose handle is known outside of this crate, and events with options.
//!
//! A pooled event may still point to the stream of its last record, which may be destroyed. HIP does not follow that
//! pointer when the event is recorded or destroyed, and a pooled event is recorded before any other call.

use std::ffi::c_uint;

use gpu_stream_core::{BackendKind, ContractError, EventOptions, KeepAlive, RawEvent};
use gpu_stream_driver_common::thread_number;

use crate::driver::symbols::Ptr;
use crate::driver::{CaptureModeGuard, DeviceGuard, Driver, loaded};
use crate::host_func::USER_CODE;
use crate::thread::may_destroy;
use crate::{Hip, HipError};

/// `hipEventBlockingSync`.
pub(crate) const BLOCKING: c_uint = 1;
/// `hipEventDisableTiming`.
pub(crate) const DISABLE_TIMING: c_uint = 2;

/// An event without options, for a record. Dropping it returns it to the pool of its device.
pub(crate) struct PooledEvent {
    driver: &'static Driver,
    device: u32,
    raw: RawEvent<Hip>,
}

impl PooledEvent {
    /// Takes an event from the pool, or creates one. The caller records it before any other use.
    #[inline]
    pub(crate) fn take(
        driver: &'static Driver,
        device: u32,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let pooled =
            driver.device_state(device).and_then(|state| state.events.take(thread_number()));
        let raw = match pooled {
            Some(event) => RawEvent::from_bits(event),
            None => create(driver, device, EventOptions::new(), operation)?,
        };
        Ok(PooledEvent { driver, device, raw })
    }

    /// Returns the handle.
    #[inline]
    pub(crate) fn raw(&self) -> Ptr {
        self.raw.as_ptr()
    }

    /// Returns the handle, which the caller gives back with [`give`] or destroys.
    #[inline]
    pub(crate) fn into_raw(self) -> RawEvent<Hip> {
        let raw = self.raw;
        std::mem::forget(self);
        raw
    }
}

impl Drop for PooledEvent {
    #[inline]
    fn drop(&mut self) {
        give(self.driver, self.device, self.raw);
    }
}

/// Returns an event without options to the pool. Destroys it if the pool is full.
#[inline]
pub(crate) fn give(driver: &'static Driver, device: u32, event: RawEvent<Hip>) {
    let state = driver.device_state(device);
    let given =
        state.is_some_and(|state| state.events.give(event.to_bits(), thread_number()).is_ok());
    if !given {
        destroy_soon(driver, event, Vec::new);
    }
}

/// Creates an event of the runtime.
pub(crate) fn create(
    driver: &'static Driver,
    device: u32,
    options: EventOptions,
    operation: &'static str,
) -> Result<RawEvent<Hip>, HipError> {
    if options.is_interprocess() {
        let reason = "an interprocess event of AMD's runtime does not wait for earlier work (up to HIP 6.4), or its drop blocks \
                      until all work of the device is done (7.2); use an event of one process, and notify the other process \
                      by other means";
        return Err(
            ContractError::Unsupported { operation, backend: BackendKind::Hip, reason }.into()
        );
    }
    let flag = |on: bool, flag: c_uint| if on { flag } else { 0 };
    let flags = driver.quirks.event_flags
        | flag(options.is_blocking(), BLOCKING)
        | flag(!options.is_timed(), DISABLE_TIMING);
    let _relaxed = CaptureModeGuard::enter(driver, operation)?;
    let _current = DeviceGuard::enter(driver, device, operation)?;
    let mut event = std::ptr::null_mut();
    // SAFETY: `&mut event` is a valid out-pointer, the flags are valid, and the device is current.
    let code = unsafe { (driver.symbols.event_create)(&mut event, flags) };
    driver.check(code, operation, "hipEventCreateWithFlags")?;
    Ok(RawEvent::from_ptr(event))
}

/// Destroys an event now, or at the end of the next public call on a thread that may destroy. In the second case,
/// `owners` returns the owners of the streams that the event points to, which are dropped after it.
pub(crate) fn destroy_soon(
    driver: &'static Driver,
    event: RawEvent<Hip>,
    owners: impl FnOnce() -> Vec<KeepAlive>,
) {
    if may_destroy() {
        destroy(driver, event.as_ptr());
    } else {
        let owners = owners();
        USER_CODE.deferred.push(move || {
            destroy(driver, event.as_ptr());
            drop(owners);
        });
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
