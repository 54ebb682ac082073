//! Streams of our own to fork to, kept for the next call.

use std::sync::{Mutex, PoisonError};

use gpu_stream::{Backend, CaptureStatus, Device, Stream, StreamOptions};

use crate::vendor::{Vendor, VendorError, VendorStream};

/// The streams that nobody uses at the moment, of all devices.
///
/// A stream may go back while its work still runs: who takes it next waits a little longer, and for
/// nothing wrong. One that was drawn into a capture belongs to it until the capture ends, so it is
/// passed over until then, and not destroyed either.
static IDLE: Mutex<Vec<VendorStream>> = Mutex::new(Vec::new());

/// How many are kept; more are destroyed when they come back, unless they are captured.
const MOST: usize = 64;

/// Some streams of one device, which go back when this is dropped.
pub(crate) struct Lanes(Vec<VendorStream>);

impl Lanes {
    pub(crate) fn take(device: Device, count: usize) -> Result<Self, VendorError> {
        let mut lanes = Lanes(Vec::with_capacity(count));
        {
            let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
            let mut index = 0;
            while index < idle.len() && lanes.0.len() < count {
                if idle[index].device() == device && is_free(&idle[index]) {
                    lanes.0.push(idle.swap_remove(index));
                } else {
                    index += 1;
                }
            }
        }
        while lanes.0.len() < count {
            lanes.0.push(Vendor::new_stream(device, StreamOptions::new())?);
        }
        Ok(lanes)
    }
}

fn is_free(stream: &VendorStream) -> bool {
    matches!(stream.capture_status(), Ok(CaptureStatus::None))
}

impl std::ops::Deref for Lanes {
    type Target = [VendorStream];

    fn deref(&self) -> &[VendorStream] {
        &self.0
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in self.0.drain(..) {
            if idle.len() < MOST || !is_free(&lane) {
                idle.push(lane);
            }
        }
    }
}
