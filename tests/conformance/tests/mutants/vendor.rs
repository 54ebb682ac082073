//! Simulated features of a vendor's driver that the host lacks: blocking streams, several contexts
//! of a device, and resets. A stream is identified by its handle, which the host never reuses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use gpu_stream_core::{Backend, Device, RawStream, Stream};
use gpu_stream_host::{Host, HostError, HostStream};

use crate::event::lock;
use crate::mutation::{Mutation, on};

struct Vendor {
    /// The blocking streams, and their devices.
    blocking: BTreeMap<usize, Device>,
    /// The context of each stream that is not in its device's own, which is 0.
    contexts: BTreeMap<usize, usize>,
    /// The number of resets of each device.
    resets: BTreeMap<u32, u64>,
    /// The lock that `wait_stream` of one mutant holds, for a case.
    claim: Option<Arc<Mutex<()>>>,
    recording: Option<Arc<Mutex<()>>>,
}

static VENDOR: Mutex<Vendor> = Mutex::new(Vendor {
    blocking: BTreeMap::new(),
    contexts: BTreeMap::new(),
    resets: BTreeMap::new(),
    claim: None,
    recording: None,
});

/// Resets the state for the next case. Threads of a hung case keep what they hold.
pub fn reset_state() {
    let vendor = &mut *lock(&VENDOR);
    vendor.blocking.clear();
    vendor.contexts.clear();
    vendor.resets.clear();
    (vendor.claim, vendor.recording) = (None, None);
}

pub fn make_blocking(stream: usize, device: Device) {
    lock(&VENDOR).blocking.insert(stream, device);
}

pub fn is_blocking(stream: usize) -> bool {
    stream == 0 || lock(&VENDOR).blocking.contains_key(&stream)
}

/// Applies implicit synchronization: later work of a blocking stream waits for the default stream,
/// and that of the default stream for all blocking streams.
pub fn apply_implicit_sync(stream: &HostStream) -> Result<(), HostError> {
    let (device, bits) = (stream.device(), stream.raw().to_bits());
    let every = on(Mutation::EveryStreamBlocks) && bits > 2;
    if on(Mutation::BlockingOrdersNothing) || !(every || is_blocking(bits)) {
        return Ok(());
    }
    if bits != 0 {
        return stream.wait_stream(&Host::default_stream(device)?);
    }
    let blocking: Vec<_> = {
        let vendor = lock(&VENDOR);
        let of_device = vendor.blocking.iter().filter(|(_, its)| **its == device);
        of_device.map(|(bits, _)| *bits).collect()
    };
    for bits in blocking {
        // SAFETY: the host validates every handle, and refuses one that was destroyed.
        if let Ok(other) = unsafe { Host::stream_from_raw(RawStream::from_bits(bits), None) } {
            stream.wait_stream(&other)?;
        }
    }
    Ok(())
}

pub fn context_of(stream: usize) -> usize {
    lock(&VENDOR).contexts.get(&stream).copied().unwrap_or(0)
}

pub fn put_into_context(stream: usize, context: usize) {
    lock(&VENDOR).contexts.insert(stream, context);
}

pub fn reset(device: Device) {
    *lock(&VENDOR).resets.entry(device.ordinal()).or_default() += 1;
}

/// Returns the number of resets of `device`.
pub fn resets_of(device: Device) -> u64 {
    lock(&VENDOR).resets.get(&device.ordinal()).copied().unwrap_or(0)
}

/// Returns the lock that `wait_stream` holds too long.
pub fn claim() -> Arc<Mutex<()>> {
    Arc::clone(lock(&VENDOR).claim.get_or_insert_default())
}

/// Returns the lock that a record holds too long, and that a query takes.
pub fn recording() -> Arc<Mutex<()>> {
    Arc::clone(lock(&VENDOR).recording.get_or_insert_default())
}

/// Takes one of the two locks, if the mutant that holds them too long is active.
pub fn held(lock_of: &Arc<Mutex<()>>) -> Option<MutexGuard<'_, ()>> {
    on(Mutation::DestructorsUnderALock).then(|| lock(lock_of))
}
