//! Target `events`: the 64 bytes of interprocess events.
//!
//! Checks the round trip through the handle types and, over the simulated CUDA driver, the opening of a handle.

use std::sync::OnceLock;

use gpu_stream_core::{Backend, Device, Error, ErrorKind, EventOptions};
use gpu_stream_cuda::{Cuda, ipc::IpcEventHandle};

/// Returns the device of the simulated driver and the handle of an event of this process.
///
/// Returns `None` if the simulated driver is not available.
fn simulated_driver() -> Option<(Device, [u8; 64])> {
    static DRIVER: OnceLock<Option<(Device, [u8; 64])>> = OnceLock::new();
    *DRIVER.get_or_init(|| {
        // A real driver must not receive random bytes.
        if !cuda_sim::is_loaded() && !cuda_sim::no_driver_here() {
            return None;
        }
        // SAFETY: no other thread reads the environment now: the targets do not read it.
        unsafe { cuda_sim::install(1) }.ok()?;
        let device = Cuda::device(0).ok()?;
        let options = EventOptions::builder().interprocess(true).build().ok()?;
        let event = Cuda::new_event(device, options).ok()?;
        let bytes = event.ipc_handle().ok()?.to_bytes();
        std::mem::forget(event);
        Some((device, bytes))
    })
}

/// Returns `true` if the target can open handles, over the simulated driver.
pub fn can_open() -> bool {
    simulated_driver().is_some()
}

/// Opens a handle: the bytes themselves, or a valid handle modified by them.
pub fn target(bytes: &[u8]) {
    let mut handle_bytes = [0; 64];
    let (mask, selector) =
        bytes.split_last().map_or((&[][..], 0), |(selector, mask)| (mask, *selector));
    if let (Some((_, valid)), true) = (simulated_driver(), selector.is_multiple_of(2)) {
        handle_bytes = valid;
    }
    for (index, byte) in mask.iter().take(64).enumerate() {
        handle_bytes[index] ^= byte;
    }
    let handle = IpcEventHandle::from_bytes(handle_bytes);
    assert_eq!(handle.to_bytes(), handle_bytes);
    assert_eq!(handle, IpcEventHandle::from_bytes(handle.to_bytes()));
    let Some((device, valid)) = simulated_driver() else { return };
    // SAFETY: no process has an event with this name, or it is the event of this process, which is leaked
    // and so never destroyed.
    let error = match unsafe { handle.open(device) } {
        Ok(event) => panic!("{handle_bytes:?} was opened as {event:?}"),
        Err(error) => error,
    };
    let text = error.to_string();
    // The driver must keep working.
    if handle_bytes == valid {
        assert_eq!(error.kind(), ErrorKind::InvalidHandle, "{text}");
        assert!(text.contains("which this process made"), "{text}");
        assert!(Cuda::new_event(device, EventOptions::new()).is_ok());
        return;
    }
    assert!(text.starts_with("IpcEventHandle::open: cuIpcOpenEventHandle answered"), "{text}");
    assert!(error.code().is_some_and(|code| code != 0), "{text}");
}
