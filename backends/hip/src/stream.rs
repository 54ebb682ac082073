//! A stream of the HIP runtime: [`HipStream`].

mod contract;
mod launch;
mod ordering;
mod record;
mod wait;
mod wrap;

use std::hash::{Hash, Hasher};

use gpu_stream_core::{
    CaptureStatus, Error, ErrorKind, EventOptions, HandleKind, KeepAlive, RawStream, Stream,
};
use gpu_stream_driver_common::Seen;
use gpu_stream_driver_common::captures::Capturable;
use gpu_stream_driver_common::user_code::Lost;

use crate::call::public_call;
use crate::driver::symbols::Ptr;
use crate::driver::{CaptureModeGuard, DeviceGuard, Driver, capture, driver, loaded, require};
use crate::error::of_owned_stream;
use crate::host_func::USER_CODE;
use crate::poll::is_idle;
use crate::{Hip, HipError, HipEvent, per_thread, thread};

pub(crate) use self::wrap::{default_stream, new_stream, per_thread_stream, wrap, wrap_unchecked};

/// A stream of the HIP backend: a `hipStream_t`, usually of another library.
///
/// A clone is the same stream. A stream that [`Hip`] created is destroyed after its last clone and after the
/// last event that was recorded on it. Work that was submitted to it still runs. HIP waits for a stream's work
/// when it destroys the stream. So that a drop does not block, a busy stream is queued, and destroyed by a
/// later call that creates or drops a stream.
///
/// Handles 0 and 1 both mean the default stream of the device. Its wrapper has handle 0, whichever
/// was given: some of HIP's functions crash with 1 (`hipStreamLegacy`).
#[derive(Clone)]
pub struct HipStream {
    raw: RawStream<Hip>,
    device: u32,
    owner: KeepAlive,
    /// The key of panics where the runtime has no stream ids. Clones share it. 0 where it has ids.
    number: u64,
    /// The last panic of the process that is known to be of another stream.
    seen: Seen,
    /// Whether a capture of the stream is possible.
    capturable: Capturable,
}

impl HipStream {
    /// Creates an event of this stream's device, not recorded yet. Does not block.
    ///
    /// The same as [`Backend::new_event`](gpu_stream_core::Backend::new_event) with that device:
    /// CUDA's streams have contexts, HIP's have devices alone.
    ///
    /// # Errors
    /// [`OutOfMemory`](gpu_stream_core::ErrorKind::OutOfMemory), and any other error of the runtime.
    ///
    /// Origin: torch creates an event at its first record, on the device of that stream.
    #[doc(alias = "hipEventCreateWithFlags")]
    pub fn new_event(&self, options: EventOptions) -> Result<HipEvent, HipError> {
        self.call(|| HipEvent::new(driver()?, self.device, options, "HipStream::new_event"))
    }

    /// Runs the body of a public call.
    #[inline]
    fn call<T>(&self, body: impl FnOnce() -> Result<T, HipError>) -> Result<T, HipError> {
        public_call(|| body().map_err(|error| self.after_error(error)))
    }

    /// Drops the closures that can no longer run after `error`. Returns what the error means for this stream.
    #[cold]
    fn after_error(&self, error: HipError) -> HipError {
        let is_owned = self.owner.is_owned() && self.raw.kind() == HandleKind::Explicit;
        let error = if is_owned { of_owned_stream(error, self.raw) } else { error };
        let (scope, handle) = self.panic_key();
        USER_CODE.cancel(|| match (&error, error.kind()) {
            (HipError::HostFunctionPanicked { .. }, _) => Some(Lost::AfterPanics),
            (HipError::Driver { .. }, ErrorKind::StreamFault) if self.is_broken() => {
                Some(Lost::Scope(scope))
            }
            (_, ErrorKind::ContextDestroyed) if self.is_gone() => {
                Some(Lost::Stream { scope, handle })
            }
            _ => None,
        });
        error
    }

    /// Asks once more. Returns `true` if the runtime does not know the stream.
    fn is_gone(&self) -> bool {
        self.read_known_status("Stream::capture_status").is_err()
    }

    /// Asks once more. Returns `true` if the runtime reports a fault of the device again: the code of one
    /// call may be about that call alone.
    fn is_broken(&self) -> bool {
        const OPERATION: &str = "Stream::query";
        let again = self.with_uncaptured(OPERATION, |driver, raw| {
            // SAFETY: `raw` is live: `self` keeps it alive. Its device is current if it is a default stream.
            unsafe { is_idle(driver, raw, self.device, OPERATION) }
        });
        again.is_err_and(|error| error.kind() == ErrorKind::StreamFault)
    }

    /// Calls `call` as [`with_current`](Self::with_current) does. Returns an error if the stream has an owner, and a reset
    /// of the device has freed it nevertheless.
    #[inline]
    fn with_known<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&'static Driver, Ptr) -> Result<T, HipError>,
    ) -> Result<T, HipError> {
        self.with_current(operation, |driver, raw| {
            if self.owner.is_owned() && self.raw.kind() == HandleKind::Explicit {
                // SAFETY: the stream was alive when it was last used. Its owner has not destroyed it since.
                unsafe { driver.ensure_known(raw, operation) }?;
            }
            call(driver, raw)
        })
    }

    /// Calls `call` as [`with_known`](Self::with_known) does. Returns an error if the stream is captured.
    #[inline]
    fn with_uncaptured<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&'static Driver, Ptr) -> Result<T, HipError>,
    ) -> Result<T, HipError> {
        self.with_known(operation, |driver, raw| {
            self.ensure_uncaptured(driver, raw, operation)?;
            call(driver, raw)
        })
    }

    /// Returns an error if the stream is captured. The device of a default stream is current.
    #[inline]
    fn ensure_uncaptured(
        &self,
        driver: &Driver,
        raw: Ptr,
        operation: &'static str,
    ) -> Result<(), HipError> {
        if self.capturable.get() {
            // SAFETY: `raw` is live: `self` keeps it alive. Its device is current if it is a default stream.
            unsafe { capture::ensure_not_capturing(driver, raw, operation) }?;
        }
        Ok(())
    }

    /// Returns the capture status, which does not affect the capture.
    fn read_capture_status(&self, operation: &'static str) -> Result<CaptureStatus, HipError> {
        self.with_current(operation, |driver, raw| {
            // SAFETY: `raw` is live: `self` keeps it alive. Its device is current if it is a default stream.
            unsafe { capture::status(driver, raw, operation) }
        })
    }

    /// Returns the capture status. Returns an error if a reset of the device has freed the stream, whose status some
    /// versions would read.
    fn read_known_status(&self, operation: &'static str) -> Result<CaptureStatus, HipError> {
        self.with_known(operation, |_, _| self.read_capture_status(operation))
    }

    /// Calls `call` with the driver and the handle. The device is current if the handle is a default stream.
    #[inline]
    fn with_current<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&'static Driver, Ptr) -> Result<T, HipError>,
    ) -> Result<T, HipError> {
        let (driver, raw) = (driver()?, self.raw.as_ptr());
        let kind = self.raw.kind();
        if kind == HandleKind::PerThread {
            // First, since HIP may have freed what it has of the thread.
            thread::ensure_alive(operation)?;
        }
        if kind == HandleKind::Explicit {
            return call(driver, raw);
        }
        let _current = DeviceGuard::enter(driver, self.device, operation)?;
        call(driver, raw)
    }

    /// Returns `true` if this idle stream's events are complete. Only those of a thread's default stream, which
    /// another stream records, can be pending.
    #[inline]
    fn events_are_complete(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        match self.raw.kind() {
            HandleKind::PerThread => {
                per_thread::events_are_complete(driver, self.device, operation)
            }
            _ => Ok(true),
        }
    }

    /// Returns the handle as an integer.
    #[inline]
    pub(crate) fn bits(&self) -> usize {
        self.raw.to_bits()
    }

    /// Returns the ordinal of the device.
    #[inline]
    pub(crate) fn ordinal(&self) -> u32 {
        self.device
    }

    /// Returns `true` if both are wrappers of one stream.
    #[inline]
    pub(crate) fn is_same_stream(&self, other: &Self) -> bool {
        self.raw == other.raw && self.device == other.device
    }

    /// Returns the driver if this is an explicit stream, and no panic of it is possible.
    #[inline]
    pub(crate) fn fast_driver(&self) -> Option<&'static Driver> {
        if self.raw.kind() == HandleKind::Explicit && USER_CODE.panics.is_clean(&self.seen) {
            loaded()
        } else {
            None
        }
    }

    /// Returns the driver if this is an explicit stream that is not captured, and no panic of it is possible. For a wait
    /// for a live event: the runtime itself refuses a waiting stream that a reset has destroyed.
    #[inline]
    pub(crate) fn try_waiter_fast(&self) -> Option<&'static Driver> {
        let driver = self.fast_driver()?;
        (!self.capturable.get() || self.is_seen_uncaptured(driver)).then_some(driver)
    }

    /// Returns the driver if this is an explicit stream that is not captured, and no panic of it is possible. For a
    /// record, which does not refuse a stream that a reset has destroyed. So versions whose check refuses it are asked.
    #[inline]
    pub(crate) fn try_source_fast(&self) -> Option<&'static Driver> {
        let driver = self.fast_driver()?;
        let is_trusted = driver.quirks.follows_stale && !self.capturable.get();
        (is_trusted || self.is_seen_uncaptured(driver)).then_some(driver)
    }

    /// Notes that a wait for `source`, which is not asked whether it is captured, may make this stream part of a capture.
    #[inline]
    pub(crate) fn follow_unchecked(&self, source: &Self) {
        if source.capturable.get() {
            self.capturable.set();
        }
    }

    /// Returns an error if the runtime does not know this explicit stream. Asks only versions that check the handle.
    #[cold]
    fn ensure_seen(&self, driver: &Driver, operation: &'static str) -> Result<(), HipError> {
        if !driver.quirks.follows_stale {
            // SAFETY: the stream is live: `self` keeps it alive, or a reset has destroyed it, and the handle is checked.
            unsafe { capture::status(driver, self.raw.as_ptr(), operation) }?;
        }
        Ok(())
    }

    /// Asks the runtime. Returns `true` if this explicit stream is known and not captured.
    #[inline]
    fn is_seen_uncaptured(&self, driver: &Driver) -> bool {
        // SAFETY: the stream is live: `self` keeps it alive.
        !unsafe { capture::may_be_capturing(driver, self.raw.as_ptr()) }
    }

    /// Returns the stream's id. `None` if the runtime has no ids or refuses to tell it.
    fn known_id(&self) -> Option<u64> {
        if self.number != 0 { None } else { self.query_id("Stream::id").ok() }
    }

    /// Returns the scope and the handle under which closures and panics of the stream are stored.
    fn panic_key(&self) -> (usize, usize) {
        let of_stream = if self.number != 0 { self.number as usize } else { self.bits() };
        (self.device as usize, of_stream)
    }

    /// Returns an error if a host function of the stream panicked.
    #[inline]
    fn check_fault(&self, operation: &'static str) -> Result<(), HipError> {
        match USER_CODE.panics.check(&self.seen, self.panic_key(), || self.known_id()) {
            None => Ok(()),
            Some(message) => Err(HipError::HostFunctionPanicked { operation, message }),
        }
    }

    fn query_id(&self, operation: &'static str) -> Result<u64, HipError> {
        let stream_id = require(driver()?.symbols.stream_id, operation)?;
        self.with_current(operation, |driver, raw| {
            self.ensure_uncaptured(driver, raw, operation)?;
            let _relaxed = CaptureModeGuard::enter(driver, operation)?;
            let mut id = 0;
            // SAFETY: `raw` is live: `self` keeps it alive. Its device is current if it is a default stream. `&mut id` is a
            // valid out-pointer.
            driver.check(unsafe { stream_id(raw, &mut id) }, operation, "hipStreamGetId")?;
            Ok(id)
        })
    }
}

impl Drop for HipStream {
    #[inline]
    fn drop(&mut self) {
        // The last reference to an owner runs user code, which may destroy the stream.
        if self.owner.is_owned() {
            USER_CODE.drop_owner(std::mem::take(&mut self.owner));
        }
    }
}

/// Equal if the device and the handle are.
impl PartialEq for HipStream {
    fn eq(&self, other: &Self) -> bool {
        self.is_same_stream(other)
    }
}

impl Eq for HipStream {}

impl Hash for HipStream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.device, self.raw).hash(state);
    }
}

impl std::fmt::Debug for HipStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("HipStream");
        text.field("raw", &self.raw).field("device", &self.device());
        text.field("owner", &self.owner).finish()
    }
}
