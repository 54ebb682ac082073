//! The vendor of this build, and nothing of it elsewhere: another one is another file like this.

#[cfg(not(feature = "cuda"))]
compile_error!("turn a vendor's feature on: cuda");

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{self, CUpointer_attribute_enum};
use cudarc::driver::{CudaContext, CudaFunction, DriverError, LaunchConfig, PushKernelArg, result};
use gpu_stream::{Backend, BackendKind, ContractError, Device, Error, ErrorKind, EventOptions};

pub(crate) type Vendor = gpu_stream::Cuda;
pub(crate) type VendorStream = gpu_stream::CudaStream;
pub(crate) type VendorEvent = gpu_stream::CudaEvent;
pub(crate) type VendorError = gpu_stream::CudaError;
pub(crate) type RawStream = gpu_stream::RawStream<Vendor>;

pub(crate) const KIND: BackendKind = Vendor::KIND;

/// What torch calls the vendor's devices, in `torch.device("cuda:0")`. (On ROCm it is the same.)
pub(crate) const TORCH_NAME: &str = "cuda";

/// A new event that streams of the same context as `stream` can record.
pub(crate) fn new_event(
    stream: &VendorStream,
    options: EventOptions,
) -> Result<VendorEvent, VendorError> {
    stream.new_event(options)
}

/// What can go wrong with work.
pub(crate) enum WorkError {
    /// With a stream.
    Stream(VendorError),
    /// With a kernel.
    Driver { call: &'static str, error: DriverError },
    /// With what was given.
    Misuse(ErrorKind, String),
}

impl From<VendorError> for WorkError {
    fn from(error: VendorError) -> Self {
        WorkError::Stream(error)
    }
}

impl From<ContractError> for WorkError {
    fn from(error: ContractError) -> Self {
        WorkError::Stream(error.into())
    }
}

impl WorkError {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            WorkError::Stream(error) => error.kind(),
            WorkError::Driver { .. } => ErrorKind::Driver,
            WorkError::Misuse(kind, _) => *kind,
        }
    }

    pub(crate) fn code(&self) -> Option<i32> {
        match self {
            WorkError::Stream(error) => error.code(),
            WorkError::Driver { error, .. } => Some(error.0 as i32),
            WorkError::Misuse(..) => None,
        }
    }
}

impl std::fmt::Display for WorkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WorkError::Stream(error) => error.fmt(f),
            WorkError::Driver { call, error } => write!(f, "{call}: {error:?}"),
            WorkError::Misuse(_, text) => f.write_str(text),
        }
    }
}

fn driver(call: &'static str) -> impl Fn(DriverError) -> WorkError {
    move |error| WorkError::Driver { call, error }
}

/// A stream to launch on, as cudarc has it.
pub(crate) type Lent = Arc<cudarc::driver::CudaStream>;

/// The kernels of this module on one device.
pub(crate) struct Kernels {
    context: Arc<CudaContext>,
    saxpy: CudaFunction,
}

const PTX: &str = include_str!("saxpy.ptx");

impl Kernels {
    /// The kernels on `device`, which are loaded by the first call for it.
    pub(crate) fn of(device: Device) -> Result<Arc<Self>, WorkError> {
        static LOADED: Mutex<Option<HashMap<u32, Arc<Kernels>>>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.get_or_insert_default();
        if let Some(kernels) = loaded.get(&device.ordinal()) {
            return Ok(Arc::clone(kernels));
        }
        let kernels = Arc::new(Self::load(device)?);
        loaded.insert(device.ordinal(), Arc::clone(&kernels));
        Ok(kernels)
    }

    fn load(device: Device) -> Result<Self, WorkError> {
        // SAFETY: it opens the driver's library, whose initialisers have run for the stream that
        // was wrapped before. Without this look, cudarc would panic where it finds none.
        if !unsafe { sys::is_culib_present() } {
            let text = "cudarc, which launches the kernels, finds no CUDA driver by its usual names, though \
                        GPU_STREAM_CUDA_LIBRARY may name one; put it where the loader looks";
            return Err(WorkError::Misuse(ErrorKind::LibraryNotFound, text.into()));
        }
        let _found = AsFound::enter()?;
        let context =
            CudaContext::new(device.ordinal() as usize).map_err(driver("CudaContext::new"))?;
        let text = cudarc::nvrtc::Ptx::from_src(PTX);
        let module = context.load_module(text).map_err(driver("cuModuleLoadData"))?;
        let saxpy = module.load_function("saxpy").map_err(driver("cuModuleGetFunction"))?;
        // The driver loads a function when it is first used, for which it may wait for what runs,
        // and which may be in a capture. To ask for an attribute loads it now.
        saxpy.num_regs().map_err(driver("cuFuncGetAttribute"))?;
        Ok(Kernels { context, saxpy })
    }

    /// `stream` as one of cudarc's.
    ///
    /// # Safety
    /// `stream` outlives what is returned.
    pub(crate) unsafe fn lend(&self, stream: &VendorStream) -> Result<Lent, WorkError> {
        // SAFETY: the caller promises the same.
        Ok(unsafe { stream.to_cudarc(&self.context) }?)
    }

    /// The calling thread's own stream as one of cudarc's, for this thread.
    pub(crate) fn lend_own(&self) -> Lent {
        let handle = std::ptr::without_provenance_mut(RawStream::PER_THREAD.to_bits());
        // SAFETY: handle 2 is always there, in the context that cudarc makes current.
        unsafe { self.context.wrap_borrowed_stream(handle) }
    }

    /// Submits `y[i] += a * x[i]` for `len` elements. Leaves what is current as it is.
    ///
    /// # Safety
    /// `x` and `y` are addresses of `len` `f32` on the kernels' device, which live until the work
    /// is done, and nobody else writes meanwhile.
    pub(crate) unsafe fn saxpy(
        &self,
        stream: &Lent,
        a: f32,
        x: u64,
        y: u64,
        len: u64,
    ) -> Result<(), WorkError> {
        /// Threads of a block.
        const BLOCK: u32 = 256;
        /// Blocks at most; a thread goes on to further elements.
        const BLOCKS: u64 = 4096;
        if len == 0 {
            return Ok(());
        }
        let blocks = len.div_ceil(u64::from(BLOCK)).min(BLOCKS) as u32;
        let config = LaunchConfig {
            grid_dim: (blocks, 1, 1),
            block_dim: (BLOCK, 1, 1),
            shared_mem_bytes: 0,
        };
        let mut launch = stream.launch_builder(&self.saxpy);
        launch.arg(&a).arg(&x).arg(&y).arg(&len);
        let _found = AsFound::enter()?;
        // SAFETY: these are the kernel's parameters; the caller promises the rest.
        unsafe { launch.launch(config) }.map_err(driver("cuLaunchKernel"))?;
        Ok(())
    }

    /// `Ok` if `address` is memory of `device`, as far as the driver can tell.
    pub(crate) fn check_memory(
        &self,
        what: &str,
        address: u64,
        device: Device,
    ) -> Result<(), WorkError> {
        let _found = AsFound::enter()?;
        self.context.bind_to_thread().map_err(driver("cuCtxSetCurrent"))?;
        let mut ordinal: c_int = -1;
        // SAFETY: that attribute is an `int`, for which there is a place; the address is looked up
        // and not followed.
        let code = unsafe {
            sys::cuPointerGetAttribute(
                (&raw mut ordinal).cast::<c_void>(),
                CUpointer_attribute_enum::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                address,
            )
        };
        if code != sys::CUresult::CUDA_SUCCESS {
            let text = format!(
                "{what}: {address:#x} is no memory that the driver knows ({code:?}); give an array that is on {device}"
            );
            return Err(WorkError::Misuse(ErrorKind::InvalidHandle, text));
        }
        if u32::try_from(ordinal) != Ok(device.ordinal()) {
            let text = format!(
                "{what}: the array is on {}:{ordinal} and the stream on {device}; bring them to one device",
                KIND.name()
            );
            return Err(WorkError::Misuse(ErrorKind::DeviceMismatch, text));
        }
        Ok(())
    }
}

/// What cudarc does changes which context is current, and may not be asked beside somebody's
/// capture: while this lives the thread's capture mode is "relaxed", and when it goes, both are as
/// they were.
struct AsFound {
    context: sys::CUcontext,
    mode: sys::CUstreamCaptureMode,
}

impl AsFound {
    fn enter() -> Result<Self, WorkError> {
        let context = result::ctx::get_current().map_err(driver("cuCtxGetCurrent"))?;
        let mut mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: a mode, and a place for the one before.
        let code = unsafe { sys::cuThreadExchangeStreamCaptureMode(&mut mode) };
        code.result().map_err(driver("cuThreadExchangeStreamCaptureMode"))?;
        Ok(AsFound { context: context.unwrap_or(std::ptr::null_mut()), mode })
    }
}

impl Drop for AsFound {
    fn drop(&mut self) {
        // SAFETY: the context was current on this thread a moment ago, or is none, and the mode was
        // the thread's. If the driver refuses there is nobody to tell.
        unsafe {
            let _ = result::ctx::set_current(self.context);
            let _ = sys::cuThreadExchangeStreamCaptureMode(&mut self.mode);
        }
    }
}
