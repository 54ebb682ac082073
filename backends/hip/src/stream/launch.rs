//! Host functions of a stream.

use std::ffi::c_void;

use gpu_stream_core::{CaptureStatus, ContractError, Error as _, ErrorKind, HostFunc};
use gpu_stream_driver_common::StreamKey;

use super::HipStream;
use crate::HipError;
use crate::code::HipCode;
use crate::driver::Driver;
use crate::driver::symbols::Ptr;
use crate::host_func::{self, USER_CODE};
use crate::poll::record_marker;

impl HipStream {
    /// Launches a closure on the stream. Returns an error if the stream is captured.
    pub(super) fn launch(&self, func: HostFunc, operation: &'static str) -> Result<(), HipError> {
        self.check_fault(operation)?;
        if self.read_known_status(operation)? != CaptureStatus::None {
            let bits = self.bits();
            return Err(ContractError::CaptureHostFunc { operation, bits }.into());
        }
        let (scope, handle) = self.panic_key();
        // An id that is not known now would hide an earlier panic.
        let id = match self.number {
            0 => match self.query_id(operation) {
                Err(error) if error.kind() == ErrorKind::Unsupported => None,
                id => Some(id?),
            },
            _ => None,
        };
        USER_CODE.host_funcs.launch(func, StreamKey { scope, handle, id }, |user_data| {
            self.with_current(operation, |driver, raw| {
                let (code, function) = launch_by_runtime(driver, raw, user_data);
                driver.check(code, operation, function)?;
                if cuts_chain(user_data) {
                    // A failure concerns the marker alone: the closure is launched.
                    // SAFETY: `raw` is live: `self` keeps it alive. `with_current` has set the device of a
                    // default stream.
                    drop(unsafe { record_marker(driver, raw, self.device, operation) });
                }
                Ok(())
            })
        })
    }
}

/// Launches the closure with the key `user_data`. Returns the runtime's code and the function's name.
fn launch_by_runtime(
    driver: &'static Driver,
    stream: Ptr,
    user_data: *mut c_void,
) -> (HipCode, &'static str) {
    let symbols = &driver.symbols;
    let launched = symbols.launch_host_func.function.map(|launch| {
        // SAFETY: `stream` is live (caller contract of `HipStream::launch`). `run` takes any user data, and
        // can be called any number of times.
        unsafe { launch(stream, host_func::run, user_data) }
    });
    match launched {
        Some(code) if code != HipCode::NOT_SUPPORTED => (code, symbols.launch_host_func.name),
        // The function is missing, or is present and does nothing.
        missing => {
            driver.discard(missing.unwrap_or(HipCode::SUCCESS));
            // SAFETY: `stream` is live, and `run_callback` takes any user data. Flags must be 0.
            let code =
                unsafe { (symbols.add_callback)(stream, host_func::run_callback, user_data, 0) };
            (code, "hipStreamAddCallback")
        }
    }
}

/// Returns `true` for one closure of 64, by its key: an event is recorded after that one.
///
/// The runtime links each host function of a stream to the one before, until an event is recorded or
/// `hipStreamSynchronize` is called. It releases the chain recursively, and tens of thousands of links
/// overflow its thread's stack.
///
/// A key has the index of a slot in its lower half, and counts the uses of the slot in its upper half. All streams share
/// the slots. So some bits could avoid one stream for ever. They are mixed by the finalizer of SplitMix64 (Steele, Lea,
/// Flood, OOPSLA 2014).
fn cuts_chain(key: *mut c_void) -> bool {
    let mut bits = key.addr() as u64;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)).is_multiple_of(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_is_cut_within_2_000_closures_of_each_stream() {
        // Streams whose closures run one after the other take turns with one slot.
        for (index, streams) in
            (0..8).flat_map(|index| (1..=32).map(move |streams| (index, streams)))
        {
            let mut length = 0;
            for uses in (1_usize..).step_by(streams).take(20_000) {
                length += 1;
                if cuts_chain(std::ptr::without_provenance_mut(uses << u32::BITS | index)) {
                    length = 0;
                }
                assert!(length <= 2_000, "{streams} streams, slot {index}");
            }
        }
        // A stream that runs ahead takes new slots.
        let mut length = 0;
        for index in 0..100_000_usize {
            length += 1;
            if cuts_chain(std::ptr::without_provenance_mut(1 << u32::BITS | index)) {
                length = 0;
            }
            assert!(length <= 2_000, "slot {index}");
        }
    }
}
