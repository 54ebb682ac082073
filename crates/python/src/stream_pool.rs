//! A pool of streams to fork to: [`PooledStreams`].

use std::sync::{Mutex, PoisonError};

use gpu_stream::{Backend, CaptureStatus, Device, Stream, StreamOptions};

use crate::vendor::{Vendor, VendorError, VendorStream};

/// The unused streams of all devices.
///
/// A stream can be returned while its work still runs. The next user then waits a little longer, which
/// is harmless. A stream that was drawn into a capture belongs to it until the capture ends. Until then
/// it is neither reused nor destroyed.
static IDLE: Mutex<Vec<VendorStream>> = Mutex::new(Vec::new());

/// The capacity of the pool. Excess streams are destroyed when they are returned, unless they are
/// capturing.
const MAX_IDLE: usize = 64;

/// Streams of one device. They are returned to the pool on drop.
pub(crate) struct PooledStreams(Vec<VendorStream>);

impl PooledStreams {
    /// Takes `count` streams of `device` from the pool, and creates those that are missing.
    pub(crate) fn take(device: Device, count: usize) -> Result<Self, VendorError> {
        let mut taken = PooledStreams(Vec::with_capacity(count));
        {
            let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
            let mut index = 0;
            while index < idle.len() && taken.0.len() < count {
                if idle[index].device() == device && is_free(&idle[index]) {
                    taken.0.push(idle.swap_remove(index));
                } else {
                    index += 1;
                }
            }
        }
        while taken.0.len() < count {
            taken.0.push(Vendor::new_stream(device, StreamOptions::new())?);
        }
        Ok(taken)
    }
}

/// Returns `true` if the stream is not capturing. Returns `false` if the driver cannot tell.
fn is_free(stream: &VendorStream) -> bool {
    matches!(stream.capture_status(), Ok(CaptureStatus::None))
}

impl std::ops::Deref for PooledStreams {
    type Target = [VendorStream];

    fn deref(&self) -> &[VendorStream] {
        &self.0
    }
}

impl Drop for PooledStreams {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in self.0.drain(..) {
            if idle.len() < MAX_IDLE || !is_free(&stream) {
                idle.push(stream);
            }
        }
    }
}
