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

use gpu_stream_core::{Device, Event, EventOptions, RawEvent};

use crate::driver::{DriverCall, IpcHandle};
use crate::error::invalid_handle;
use crate::event::create::EventContext;
use crate::event::exported;
use crate::{CudaError, CudaEvent, device, host_func};

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
        let open = || {
            let call = DriverCall::begin("IpcEventHandle::open")?;
            if let Some(bits) = exported::find(&self.0) {
                let reason = "is the event of this interprocess handle, which this process made: use the event itself \
                              here; the handle is for another process";
                return Err(invalid_handle(call.operation, bits, reason));
            }
            let ordinal = device::ordinal(device, call.operation)?;
            let open = call.require(call.symbols().ipc_open_event)?;
            let location = EventContext::of(call.primary(ordinal)?);
            let options = EventOptions::builder().interprocess(true).build()?;
            let _relaxed = call.relaxed()?;
            let _current = call.enter(location.context)?;
            let mut event = std::ptr::null_mut();
            // SAFETY: `&mut event` is a valid out-pointer, and the context is current. The driver accepts any bytes as
            // a handle. The other process keeps the event (caller contract).
            let code = unsafe { open(&mut event, IpcHandle { reserved: self.0 }) };
            call.check(code, "cuIpcOpenEventHandle")?;
            Ok(CudaEvent::opened(RawEvent::from_ptr(event), location, options))
        };
        host_func::call(open, || None)
    }
}

impl CudaEvent {
    /// Returns the handle by which another process can open this event. Does not block.
    ///
    /// # Errors
    /// - [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the event was not created with `interprocess`.
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
            return Err(invalid_handle(OPERATION, self.bits(), reason).into());
        }
        let call = DriverCall::begin(OPERATION)?;
        self.check_reset(OPERATION)?;
        let get = call.require(call.symbols().ipc_event_handle)?;
        let context = call.primary(self.device().ordinal())?.context;
        let _relaxed = call.relaxed()?;
        let _current = call.enter(context)?;
        let mut handle = IpcHandle { reserved: [0; 64] };
        // SAFETY: `&mut handle` is a valid out-pointer, and `self` keeps the event alive.
        call.check(unsafe { get(&mut handle, self.as_ptr()) }, "cuIpcGetEventHandle")?;
        exported::add(handle.reserved, self.bits());
        Ok(IpcEventHandle(handle.reserved))
    }
}
