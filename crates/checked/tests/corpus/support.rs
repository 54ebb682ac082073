//! What the programs share: streams, memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_core::{Backend, Device, Region, StreamOptions};

/// What a program returns.
pub type Outcome<B> = Result<(), <B as Backend>::Error>;

/// The bytes of a region of [`memory`].
const BYTES: usize = 4096;

/// Returns the first device.
pub fn device<B: Backend>() -> Result<Device, B::Error> {
    B::device(0)
}

/// Returns two devices, or skips the case.
pub fn two_devices<B: Backend>() -> Result<(Device, Device), B::Error> {
    match B::devices()?[..] {
        [first, second, ..] => Ok((first, second)),
        _ => gpu_stream_test_support::skip("it needs two devices"),
    }
}

/// Creates a stream. Its place in a report is that of the call.
#[track_caller]
pub fn stream<B: Backend>() -> Result<B::Stream, B::Error> {
    match device::<B>() {
        Ok(device) => B::new_stream(device, StreamOptions::new()),
        Err(error) => Err(error),
    }
}

/// Returns a region for an allocation at an address that no other region had. No memory stands behind it: nothing here
/// computes.
pub fn memory(name: &'static str) -> Region {
    static NEXT: AtomicUsize = AtomicUsize::new(0x7000_0000_0000);
    Region::new(name, NEXT.fetch_add(BYTES, Ordering::Relaxed), BYTES)
}

/// Returns a region for a new allocation at the address of an old one.
pub fn again(old: &Region, name: &'static str) -> Region {
    let addresses = old.addresses();
    Region::new(name, addresses.start, addresses.len())
}
