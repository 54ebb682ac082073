//! Events that another process waits for.
//!
//! One process creates an event with `interprocess`, takes its [`IpcEventHandle`], records the event, and sends the
//! handle's 64 bytes. The other process opens it and waits, on the host or on a stream. Records after the opening
//! count, too: it is one event.
//!
//! On AMD's runtime each call is refused with [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported), because its
//! interprocess events do not keep the contract. Up to 6.4 (5.2, 5.7 and 6.4 were tried) such an event does not wait
//! for earlier work, or a wait for it blocks the calling thread. In 7.2 waits are right, but destroying the event
//! blocks until *all* work of the device is done. A drop could then wait for work that its own thread holds back. The
//! rest of this page is for HIP's NVIDIA platform.
//!
//! ```no_run
//! use gpu_stream_core::{Backend, EventOptions, Stream, StreamOptions};
//! use gpu_stream_hip::Hip;
//! use gpu_stream_hip::ipc::IpcEventHandle;
//!
//! # fn send(_: [u8; 64]) {} fn receive() -> [u8; 64] { [0; 64] }
//! # fn here() -> Result<(), Box<dyn std::error::Error>> {
//! // In the one process:
//! let device = Hip::device(0)?;
//! let stream = Hip::new_stream(device, StreamOptions::new())?;
//! let event = Hip::new_event(device, EventOptions::builder().interprocess(true).build()?)?;
//! stream.record(&event)?;
//! send(event.ipc_handle()?.to_bytes());
//!
//! // In the other:
//! let handle = IpcEventHandle::from_bytes(receive());
//! // SAFETY: the first process keeps `event` until this one says that it is done.
//! let theirs = unsafe { handle.open(device)? };
//! stream.wait_event(&theirs)?;
//! # Ok(()) }
//! ```

use gpu_stream_core::{ContractError, Device, Event, EventOptions, RawEvent};

use crate::code::HipCode;
use crate::driver::CaptureModeGuard;
use crate::driver::symbols::IpcHandle;
use crate::driver::{DeviceGuard, driver, require};
use crate::{HipError, HipEvent, device};

/// The handle of an interprocess event, to be sent to another process of the same machine.
///
/// Origin:
/// [`hipIpcEventHandle_t`](https://rocm.docs.amd.com/projects/HIP/en/latest/doxygen/html/group___device.html).
#[doc(alias("hipIpcEventHandle_t", "cudaIpcEventHandle_t", "from_ipc_handle"))]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IpcEventHandle([u8; 64]);

impl IpcEventHandle {
    /// Creates the handle from the bytes that another process sent.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        IpcEventHandle(bytes)
    }

    /// Returns the bytes to send.
    pub const fn to_bytes(self) -> [u8; 64] {
        self.0
    }

    /// Opens the other process's event on `device`, which must be the device that it was created for. Does not block.
    ///
    /// The event can be waited for, queried and recorded. Its status is `Complete` if it was not recorded before it
    /// was opened, because the runtime cannot tell.
    ///
    /// # Errors
    /// [`BackendMismatch`](gpu_stream_core::ErrorKind::BackendMismatch),
    /// [`InvalidDevice`](gpu_stream_core::ErrorKind::InvalidDevice);
    /// [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) on AMD's runtime;
    /// [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) for a handle of this process's own event; any
    /// other error of the runtime for bytes that are no handle.
    ///
    /// # Safety
    /// The process that created the event does not destroy it while the returned event is used.
    ///
    /// Origin:
    /// [`hipIpcOpenEventHandle`](https://rocm.docs.amd.com/projects/HIP/en/latest/doxygen/html/group___device.html),
    /// [`torch.cuda.Event.from_ipc_handle`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html).
    #[doc(alias("hipIpcOpenEventHandle", "cudaIpcOpenEventHandle", "from_ipc_handle"))]
    pub unsafe fn open(self, device: Device) -> Result<HipEvent, HipError> {
        const OPERATION: &str = "IpcEventHandle::open";
        let ordinal = device::ordinal(device, OPERATION)?;
        let driver = driver()?;
        driver.require_interprocess(OPERATION)?;
        let open = require(driver.symbols.ipc_open_event, OPERATION)?;
        let options = EventOptions::builder().interprocess(true).build()?;
        let _relaxed = CaptureModeGuard::enter_if(true, driver, OPERATION)?;
        let _current = DeviceGuard::enter(driver, ordinal, OPERATION)?;
        let mut event = std::ptr::null_mut();
        // SAFETY: `&mut event` is a valid out-pointer, and the device is current. The runtime validates the handle.
        let code = unsafe { open(&mut event, IpcHandle { reserved: self.0 }) };
        if code == HipCode::INVALID_CONTEXT {
            driver.clear_last_error(code);
            let reason = "this process has created the event itself, and the runtime opens only events of other processes; \
                          use the event that the handle was taken from";
            return Err(ContractError::NotPermitted { operation: OPERATION, reason }.into());
        }
        driver.check(code, OPERATION, "hipIpcOpenEventHandle")?;
        Ok(HipEvent::opened(RawEvent::from_ptr(event), ordinal, options))
    }
}

impl HipEvent {
    /// Returns the handle by which another process can open this event. Does not block.
    ///
    /// # Errors
    /// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the event lacks the option
    /// `interprocess`; [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) where the system
    /// has no interprocess events; any other error of the runtime.
    ///
    /// Origin:
    /// [`hipIpcGetEventHandle`](https://rocm.docs.amd.com/projects/HIP/en/latest/doxygen/html/group___device.html),
    /// [`torch.cuda.Event.ipc_handle`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html).
    #[doc(alias("hipIpcGetEventHandle", "cudaIpcGetEventHandle"))]
    pub fn ipc_handle(&self) -> Result<IpcEventHandle, HipError> {
        const OPERATION: &str = "HipEvent::ipc_handle";
        if !self.options().is_interprocess() {
            let reason =
                "is an event for this process alone; create it with the option `interprocess`";
            let bits = self.in_use().raw().addr();
            return Err(ContractError::InvalidHandle { operation: OPERATION, bits, reason }.into());
        }
        let driver = driver()?;
        let get = require(driver.symbols.ipc_event_handle, OPERATION)?;
        let _relaxed = CaptureModeGuard::enter_if(true, driver, OPERATION)?;
        let _current = DeviceGuard::enter(driver, self.device().ordinal(), OPERATION)?;
        let mut handle = IpcHandle { reserved: [0; 64] };
        // The other process knows this handle, so it cannot be replaced.
        let raw = self.expose_raw();
        // SAFETY: `&mut handle` is a valid out-pointer. The event is live: `self` owns it.
        let code = unsafe { get(&mut handle, raw.as_ptr()) };
        driver.check(code, OPERATION, "hipIpcGetEventHandle")?;
        Ok(IpcEventHandle(handle.reserved))
    }
}
