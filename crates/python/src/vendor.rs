//! Everything that depends on the vendor of this build. Another vendor needs another such file.

#[cfg(not(feature = "cuda"))]
compile_error!("no vendor is selected; enable the feature `cuda`");

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{self, CUpointer_attribute_enum};
use cudarc::driver::{CudaContext, CudaFunction, DriverError, LaunchConfig, PushKernelArg};
use gpu_stream::cuda::interop::ContextGuard;
use gpu_stream::{Backend, BackendKind, ContractError, Device, Error, ErrorKind, EventOptions};

pub(crate) type Vendor = gpu_stream::Cuda;
pub(crate) type VendorStream = gpu_stream::CudaStream;
pub(crate) type VendorEvent = gpu_stream::CudaEvent;
pub(crate) type VendorError = gpu_stream::CudaError;
pub(crate) type RawStream = gpu_stream::RawStream<Vendor>;

pub(crate) const KIND: BackendKind = Vendor::KIND;

/// torch's name for the vendor's devices, as in `torch.device("cuda:0")`. It is the same on ROCm.
pub(crate) const TORCH_NAME: &str = "cuda";

/// DLPack's number for the vendor's devices: `kDLCUDA`. On ROCm it is `kDLROCM`, 10.
pub(crate) const DLPACK_DEVICE: i64 = 2;

/// Creates an event in the context of `stream`.
pub(crate) fn new_event(
    stream: &VendorStream,
    options: EventOptions,
) -> Result<VendorEvent, VendorError> {
    stream.new_event(options)
}

/// The error of a call that launches work.
pub(crate) enum WorkError {
    /// A call on a stream failed.
    Stream(VendorError),
    /// A call that loads or launches a kernel failed.
    Driver { call: &'static str, error: DriverError },
    /// An argument is invalid.
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
    /// Returns the error's kind.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            WorkError::Stream(error) => error.kind(),
            WorkError::Driver { .. } => ErrorKind::Driver,
            WorkError::Misuse(kind, _) => *kind,
        }
    }

    /// Returns the driver's error code. `None` if the error does not come from the driver.
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

/// Returns a function that converts an error of `call`.
fn driver(call: &'static str) -> impl Fn(DriverError) -> WorkError {
    move |error| WorkError::Driver { call, error }
}

/// A stream as cudarc's type, to launch kernels on.
pub(crate) type LaunchStream = Arc<cudarc::driver::CudaStream>;

/// The kernels of this module on one device.
pub(crate) struct Kernels {
    context: Arc<CudaContext>,
    saxpy: CudaFunction,
}

const PTX: &str = include_str!("saxpy.ptx");

impl Kernels {
    /// Returns the kernels on `device`. The first call for a device loads them.
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

    /// Loads the kernels on `device`.
    fn load(device: Device) -> Result<Self, WorkError> {
        // Without this check, cudarc would panic if it does not find the driver.
        // SAFETY: the call opens the driver's library. Its initializers have already run, because a stream
        // was wrapped before.
        if !unsafe { sys::is_culib_present() } {
            let text = "cudarc, which launches the kernels, does not find the CUDA driver by its usual names, \
                        even if GPU_STREAM_CUDA_LIBRARY names it; put the driver's library on the loader's search \
                        path";
            return Err(WorkError::Misuse(ErrorKind::LibraryNotFound, text.into()));
        }
        let _guard = ContextGuard::save_relaxed()?;
        let context =
            CudaContext::new(device.ordinal() as usize).map_err(driver("CudaContext::new"))?;
        let text = cudarc::nvrtc::Ptx::from_src(PTX);
        let module = context.load_module(text).map_err(driver("cuModuleLoadData"))?;
        let saxpy = module.load_function("saxpy").map_err(driver("cuModuleGetFunction"))?;
        // Reading an attribute loads the function now. Otherwise the driver loads it at the first launch,
        // which may be in a capture, and loading may wait for running work.
        saxpy.num_regs().map_err(driver("cuFuncGetAttribute"))?;
        Ok(Kernels { context, saxpy })
    }

    /// Converts `stream` to cudarc's type.
    ///
    /// # Safety
    /// - `stream` outlives the returned value.
    pub(crate) unsafe fn launch_stream(
        &self,
        stream: &VendorStream,
    ) -> Result<LaunchStream, WorkError> {
        // SAFETY: `stream` outlives the result (caller contract).
        Ok(unsafe { stream.to_cudarc(&self.context) }?)
    }

    /// Returns the calling thread's own stream as cudarc's type, for use on this thread.
    pub(crate) fn per_thread_launch_stream(&self) -> LaunchStream {
        let handle = std::ptr::without_provenance_mut(RawStream::PER_THREAD.to_bits());
        // SAFETY: handle 2 is always live, in the context that cudarc makes current.
        unsafe { self.context.wrap_borrowed_stream(handle) }
    }

    /// Launches `y[i] += a * x[i]` for `len` elements. Restores the current context afterwards.
    ///
    /// # Safety
    /// - `x` and `y` are addresses of `len` `f32` on the kernels' device.
    /// - The memory stays allocated until the work is done, and nothing else writes it meanwhile.
    pub(crate) unsafe fn saxpy(
        &self,
        stream: &LaunchStream,
        a: f32,
        x: u64,
        y: u64,
        len: u64,
    ) -> Result<(), WorkError> {
        /// The number of threads in a block.
        const BLOCK: u32 = 256;
        /// The maximum number of blocks. Each thread loops over further elements.
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
        let _guard = ContextGuard::save_relaxed()?;
        // SAFETY: the arguments match the kernel's parameters. The memory is valid for `len` elements
        // until the work is done (caller contract).
        unsafe { launch.launch(config) }.map_err(driver("cuLaunchKernel"))?;
        Ok(())
    }

    /// Returns an error unless the driver knows `address` as memory of `device`.
    pub(crate) fn check_memory(
        &self,
        what: &str,
        address: u64,
        device: Device,
    ) -> Result<(), WorkError> {
        let _guard = ContextGuard::save_relaxed()?;
        self.context.bind_to_thread().map_err(driver("cuCtxSetCurrent"))?;
        let mut ordinal: c_int = -1;
        // SAFETY: the attribute is an `int`, and `&raw mut ordinal` is a valid out-pointer for it. The
        // driver looks the address up and does not dereference it.
        let code = unsafe {
            sys::cuPointerGetAttribute(
                (&raw mut ordinal).cast::<c_void>(),
                CUpointer_attribute_enum::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                address,
            )
        };
        if code != sys::CUresult::CUDA_SUCCESS {
            let text = format!(
                "{what}: address {address:#x} is not known to the driver ({code:?}); pass an array on {device}"
            );
            return Err(WorkError::Misuse(ErrorKind::InvalidHandle, text));
        }
        if u32::try_from(ordinal) != Ok(device.ordinal()) {
            let text = format!(
                "{what}: the array is on {}:{ordinal} and the stream on {device}; use one device for both",
                KIND.name()
            );
            return Err(WorkError::Misuse(ErrorKind::DeviceMismatch, text));
        }
        Ok(())
    }
}
