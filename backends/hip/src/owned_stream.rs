//! Streams that this crate creates: [`create`].

use std::sync::Arc;

use gpu_stream_core::{BackendKind, Device, KeepAlive, RawStream, StreamOptions};

use crate::driver::{CaptureModeGuard, DeviceGuard, Driver, loaded};
use crate::{Hip, HipError, device, pending_destroy};

/// `hipStreamNonBlocking`: does not synchronize with the default stream.
pub(crate) const NON_BLOCKING: u32 = 1;
/// `hipStreamDefault`: synchronizes with the default stream.
const BLOCKING: u32 = 0;

/// The owner of a stream that this crate created. Destroys it on drop.
struct OwnedStream {
    raw: RawStream<Hip>,
    device: u32,
    number: u64,
}

impl Drop for OwnedStream {
    fn drop(&mut self) {
        // The stream leaks if the runtime must not be called any more.
        let Some(driver) = loaded() else { return };
        let key = if self.number != 0 { self.number as usize } else { self.raw.to_bits() };
        // SAFETY: this crate created the stream, on this device. This is its last use: no wrapper exists any more, and
        // no event outside of the pool points to it.
        unsafe { pending_destroy::destroy(driver, self.raw, self.device, key) };
    }
}

/// Creates a stream of the runtime. `number` is the key of its panics, or 0.
pub(crate) fn create(
    driver: &'static Driver,
    device: u32,
    number: u64,
    options: StreamOptions,
    operation: &'static str,
) -> Result<(RawStream<Hip>, KeepAlive), HipError> {
    let _relaxed = CaptureModeGuard::enter(driver, operation)?;
    let _current = DeviceGuard::enter(driver, device, operation)?;
    let mut stream = std::ptr::null_mut();
    let flags = if options.blocking { BLOCKING } else { NON_BLOCKING };
    // SAFETY: `&mut stream` is a valid out-pointer, the flags are valid, and the device is current.
    let code = unsafe { (driver.symbols.stream_create)(&mut stream, flags, options.priority) };
    driver.check(code, operation, "hipStreamCreateWithPriority")?;
    let raw = RawStream::from_ptr(stream);
    Ok((raw, KeepAlive::owner(Arc::new(OwnedStream { raw, device, number }))))
}

/// Creates a stream that only waits for other streams, and records events.
///
/// It has the greatest priority. The runtime has hardware queues of their own for each priority, and a wait blocks all
/// streams of its queue. So a stream of the program does not hold back the events, and they hold back none.
pub(crate) fn create_for_markers(
    driver: &'static Driver,
    ordinal: u32,
    operation: &'static str,
) -> Result<(RawStream<Hip>, KeepAlive), HipError> {
    let range = device::priority_range(Device::new(BackendKind::Hip, ordinal), operation)?;
    let options = StreamOptions::new().priority(range.greatest);
    create(driver, ordinal, 0, options, operation)
}
