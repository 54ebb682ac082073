//! Events that other processes can wait for.
//!
//! One process creates an event with `interprocess`, takes its [`IpcEventHandle`], records the event and
//! sends the handle's 64 bytes. The other process opens the handle and waits for the event, on the host or
//! on a stream. Both have the same event, so records after the opening count, too.
//!
//! ```no_run
//! use gpu_stream_core::{Backend, EventOptions, Stream, StreamOptions};
//! use gpu_stream_cuda::Cuda;
//! use gpu_stream_cuda::ipc::IpcEventHandle;
//!
//! # fn send(_: [u8; 64]) {} fn receive() -> [u8; 64] { [0; 64] }
//! # fn here() -> Result<(), Box<dyn std::error::Error>> {
//! // In the one process:
//! let device = Cuda::device(0)?;
//! let stream = Cuda::new_stream(device, StreamOptions::new())?;
//! let event = Cuda::new_event(device, EventOptions::builder().interprocess(true).build()?)?;
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

use crate::driver::capture::CaptureModeGuard;
use crate::driver::check::{check, require};
use crate::driver::context::ContextGuard;
use crate::driver::driver;
use crate::driver::symbols::IpcHandle;
use crate::event::create::EventContext;
use crate::event::exported;
use crate::host_func::USER_CODE;
use crate::{CudaError, CudaEvent, device};

/// The handle of an interprocess event, for another process of the same machine.
///
/// Origin:
/// [`CUipcEventHandle`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MEM.html).
#[doc(alias("CUipcEventHandle", "cudaIpcEventHandle_t", "from_ipc_handle"))]
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

    /// Opens the other process's event in the primary context of `device`, which must be the device that it
    /// was created for. Does not block.
    ///
    /// The event can be waited for, queried and recorded. The driver does not tell whether it was recorded
    /// before it was opened. If it was not, its status is `Complete`.
    ///
    /// # Errors
    /// - [`BackendMismatch`](gpu_stream_core::ErrorKind::BackendMismatch),
    ///   [`InvalidDevice`](gpu_stream_core::ErrorKind::InvalidDevice).
    /// - [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the event is this process's own.
    /// - [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) if the system has no interprocess events.
    /// - The driver's error for an invalid handle.
    ///
    /// # Safety
    /// - The process that created the event does not destroy it while the returned event is used.
    ///
    /// Origin:
    /// [`cuIpcOpenEventHandle`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MEM.html),
    /// [`torch.cuda.Event.from_ipc_handle`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html).
    #[doc(alias("cuIpcOpenEventHandle", "cudaIpcOpenEventHandle", "from_ipc_handle"))]
    pub unsafe fn open(self, device: Device) -> Result<CudaEvent, CudaError> {
        // SAFETY: the other process keeps the event (caller contract).
        let opened = unsafe { self.open_in_primary(device) };
        USER_CODE.deferred.run();
        opened
    }

    /// Opens the event without ending the public call.
    ///
    /// # Safety
    /// - The process that created the event does not destroy it while the returned event is used.
    unsafe fn open_in_primary(self, device: Device) -> Result<CudaEvent, CudaError> {
        const OPERATION: &str = "IpcEventHandle::open";
        let driver = driver()?;
        if let Some(bits) = exported::find(&self.0) {
            let reason = "is the event of this interprocess handle, which this process made: use the event itself here; \
                          the handle is for another process";
            return Err(ContractError::InvalidHandle { operation: OPERATION, bits, reason }.into());
        }
        let ordinal = device::ordinal(device, OPERATION)?;
        let open = require(driver.symbols.ipc_open_event, OPERATION)?;
        let location = EventContext::of(driver.primary(ordinal, OPERATION)?);
        let options = EventOptions::builder().interprocess(true).build()?;
        let _relaxed = CaptureModeGuard::enter(&driver.symbols, OPERATION)?;
        let _current = ContextGuard::enter(&driver.symbols, location.context, OPERATION)?;
        let mut event = std::ptr::null_mut();
        // SAFETY: `&mut event` is a valid out-pointer, and the context is current. The driver accepts any
        // bytes as a handle.
        let code = unsafe { open(&mut event, IpcHandle { reserved: self.0 }) };
        check(code, OPERATION, "cuIpcOpenEventHandle")?;
        Ok(CudaEvent::opened(RawEvent::from_ptr(event), location, options))
    }
}

impl CudaEvent {
    /// Returns the handle by which another process can open this event. Does not block.
    ///
    /// # Errors
    /// - [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the event was not created with
    ///   `interprocess`.
    /// - [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) if the system has no interprocess events.
    /// - The driver's other errors.
    ///
    /// Origin:
    /// [`cuIpcGetEventHandle`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MEM.html),
    /// [`torch.cuda.Event.ipc_handle`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html).
    #[doc(alias("cuIpcGetEventHandle", "cudaIpcGetEventHandle"))]
    pub fn ipc_handle(&self) -> Result<IpcEventHandle, CudaError> {
        const OPERATION: &str = "CudaEvent::ipc_handle";
        if !self.options().is_interprocess() {
            let reason =
                "is an event for this process alone; make it with the option `interprocess`";
            let bits = self.as_ptr().addr();
            return Err(ContractError::InvalidHandle { operation: OPERATION, bits, reason }.into());
        }
        let driver = driver()?;
        self.check_reset(OPERATION)?;
        let get = require(driver.symbols.ipc_event_handle, OPERATION)?;
        let context = driver.primary(self.device().ordinal(), OPERATION)?.context;
        let _relaxed = CaptureModeGuard::enter(&driver.symbols, OPERATION)?;
        let _current = ContextGuard::enter(&driver.symbols, context, OPERATION)?;
        let mut handle = IpcHandle { reserved: [0; 64] };
        // SAFETY: `&mut handle` is a valid out-pointer, and `self` keeps the event alive.
        let code = unsafe { get(&mut handle, self.as_ptr()) };
        check(code, OPERATION, "cuIpcGetEventHandle")?;
        exported::add(handle.reserved, self.bits());
        Ok(IpcEventHandle(handle.reserved))
    }
}
