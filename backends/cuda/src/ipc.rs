//! Events that another process waits for.
//!
//! One process makes an event with `interprocess`, takes its [`IpcEventHandle`], records the event
//! and sends the handle's 64 bytes; the other opens it and waits, on the host or on a stream.
//! Records after the opening count too: it is one event.
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

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{ContractError, Device, Event, EventOptions, RawEvent};

use crate::driver::capture::CaptureModeGuard;
use crate::driver::symbols::IpcHandle;
use crate::driver::{ContextGuard, check, driver, require};
use crate::event::Place;
use crate::host_func::DEFERRED;
use crate::{Cuda, CudaError, CudaEvent, device};

/// The handles of events that this process made and has not dropped, each with its event. The driver
/// does not open one of them here, and answers with a code that says nothing of the reason.
static MADE_HERE: Mutex<BTreeMap<[u8; 64], usize>> = Mutex::new(BTreeMap::new());

fn made_here() -> MutexGuard<'static, BTreeMap<[u8; 64], usize>> {
    MADE_HERE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets the handles of an event that is dropped.
pub(crate) fn forget(event: RawEvent<Cuda>) {
    made_here().retain(|_, of| *of != event.to_bits());
}

/// The name of an interprocess event, to be sent to another process of the same machine.
///
/// Origin:
/// [`CUipcEventHandle`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MEM.html).
#[doc(alias("CUipcEventHandle", "cudaIpcEventHandle_t", "from_ipc_handle"))]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IpcEventHandle([u8; 64]);

impl IpcEventHandle {
    /// The handle that another process sent.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        IpcEventHandle(bytes)
    }

    /// The bytes to send.
    pub const fn to_bytes(self) -> [u8; 64] {
        self.0
    }

    /// Opens the other process's event, in the primary context of `device`, which must be the
    /// device that it was made for. Does not block.
    ///
    /// The event can be waited for, queried and recorded. Whether it was recorded before it was
    /// opened cannot be told: its status is `Complete` if it was not.
    ///
    /// # Errors
    /// [`BackendMismatch`](gpu_stream_core::ErrorKind::BackendMismatch),
    /// [`InvalidDevice`](gpu_stream_core::ErrorKind::InvalidDevice);
    /// [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) where the system has no such thing;
    /// what the driver says of a handle that is none, or is this process's own.
    ///
    /// # Safety
    /// The process that made the event does not destroy it while the event that this returns is
    /// used.
    ///
    /// Origin:
    /// [`cuIpcOpenEventHandle`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MEM.html),
    /// [`torch.cuda.Event.from_ipc_handle`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html).
    #[doc(alias("cuIpcOpenEventHandle", "cudaIpcOpenEventHandle", "from_ipc_handle"))]
    pub unsafe fn open(self, device: Device) -> Result<CudaEvent, CudaError> {
        // SAFETY: the caller promises the same.
        let opened = unsafe { self.open_in_primary(device) };
        DEFERRED.run();
        opened
    }

    /// # Safety
    /// As [`open`](Self::open).
    unsafe fn open_in_primary(self, device: Device) -> Result<CudaEvent, CudaError> {
        const OPERATION: &str = "IpcEventHandle::open";
        let driver = driver()?;
        let own = made_here().get(&self.0).copied();
        if let Some(bits) = own {
            let reason = "is the event of this interprocess handle, which this process made: use the event itself here; \
                          the handle is for another process";
            return Err(ContractError::InvalidHandle { operation: OPERATION, bits, reason }.into());
        }
        let ordinal = device::ordinal(device, OPERATION)?;
        let open = require(driver.symbols.ipc_open_event, OPERATION)?;
        let place = Place::of(driver.primary(ordinal, OPERATION)?);
        let options = EventOptions::builder().interprocess(true).build()?;
        let _relaxed = CaptureModeGuard::enter(driver, OPERATION)?;
        let _current = ContextGuard::enter(driver, place.context, OPERATION)?;
        let mut event = std::ptr::null_mut();
        // SAFETY: `event` is a place for one event, and the context is current. The driver looks
        // the handle up.
        let code = unsafe { open(&mut event, IpcHandle { reserved: self.0 }) };
        check(code, OPERATION, "cuIpcOpenEventHandle")?;
        Ok(CudaEvent::opened(RawEvent::from_ptr(event), place, options))
    }
}

impl CudaEvent {
    /// The handle by which another process can open this event. Does not block.
    ///
    /// # Errors
    /// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the event was not made with
    /// `interprocess`; [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) where the system
    /// has no such thing; what else the driver says.
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
        let _relaxed = CaptureModeGuard::enter(driver, OPERATION)?;
        let _current = ContextGuard::enter(driver, context, OPERATION)?;
        let mut handle = IpcHandle { reserved: [0; 64] };
        // SAFETY: `handle` is a place for one handle, and the event is ours and alive.
        let code = unsafe { get(&mut handle, self.as_ptr()) };
        check(code, OPERATION, "cuIpcGetEventHandle")?;
        made_here().insert(handle.reserved, self.bits());
        Ok(IpcEventHandle(handle.reserved))
    }
}
