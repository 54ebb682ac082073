//! The 64 bytes of interprocess events: their way through our types, and over the simulated CUDA
//! driver, their opening. HIP opens none before 7.2.

use std::sync::OnceLock;

use gpu_stream_core::{Backend, Device, Error, ErrorKind, EventOptions};
use gpu_stream_cuda::{Cuda, ipc::IpcEventHandle};
use gpu_stream_hip::ipc::IpcEventHandle as HipIpcEventHandle;

/// The simulated driver's device, if it is there, and the handle of an event of this process.
fn simulated() -> Option<(Device, [u8; 64])> {
    static FOUND: OnceLock<Option<(Device, [u8; 64])>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // Another driver is not to be fed with bytes of chance.
        if !driver_sim::is_loaded() && !driver_sim::no_driver_here() {
            return None;
        }
        // SAFETY: nothing of the process reads the environment at the same time: the targets do not.
        unsafe { driver_sim::install(1) }.ok()?;
        let device = Cuda::device(0).ok()?;
        let options = EventOptions::builder().interprocess(true).build().ok()?;
        let event = Cuda::new_event(device, options).ok()?;
        let bytes = event.ipc_handle().ok()?.to_bytes();
        std::mem::forget(event);
        Some((device, bytes))
    })
}

/// Whether there is a driver to open handles with.
pub fn opens() -> bool {
    simulated().is_some()
}

/// A handle: the bytes as they are, or what is left of a good one when they are laid over it.
pub fn target(bytes: &[u8]) {
    let mut whole = [0; 64];
    let (rest, first) = bytes.split_last().map_or((&[][..], 0), |(first, rest)| (rest, *first));
    if let (Some((_, good)), true) = (simulated(), first.is_multiple_of(2)) {
        whole = good;
    }
    for (at, byte) in rest.iter().take(64).enumerate() {
        whole[at] ^= byte;
    }
    let handle = IpcEventHandle::from_bytes(whole);
    assert_eq!(handle.to_bytes(), whole);
    assert_eq!(HipIpcEventHandle::from_bytes(whole).to_bytes(), whole);
    assert_eq!(handle, IpcEventHandle::from_bytes(handle.to_bytes()));
    let Some((device, good)) = simulated() else { return };
    // SAFETY: no process has an event of that name, or it is this one's own, which is forgotten and
    // so never destroyed.
    let error = match unsafe { handle.open(device) } {
        Ok(event) => panic!("{whole:?} was opened as {event:?}"),
        Err(error) => error,
    };
    let text = error.to_string();
    // The driver is none the worse for it.
    if whole == good {
        assert_eq!(error.kind(), ErrorKind::InvalidHandle, "{text}");
        assert!(text.contains("which this process made"), "{text}");
        assert!(Cuda::new_event(device, EventOptions::new()).is_ok());
        return;
    }
    assert!(text.starts_with("IpcEventHandle::open: cuIpcOpenEventHandle answered"), "{text}");
    assert!(error.code().is_some_and(|code| code != 0), "{text}");
}
