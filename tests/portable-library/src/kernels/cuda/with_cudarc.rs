//! CUDA by cudarc: its context and functions, and its calls on the caller's handle.
//!
//! A library that passes its callers' streams to cudarc's own types converts them by `CudaStream::to_cudarc`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, CudaFunction, DriverError, result, sys};
use gpu_stream::cuda::interop::ContextGuard;
use gpu_stream::{Cuda, Device, RawStream};

use crate::kernels::{Address, BLOCK, Kernel, Launcher, NAMES};
use crate::{Error, Result};

/// The device's primary context and the kernels in it.
#[derive(Clone)]
struct Loaded {
    context: Arc<CudaContext>,
    functions: Arc<[CudaFunction]>,
}

/// A stream of the device's primary context, and the kernels there. Streams of other contexts get the driver's error.
pub struct OnCuda {
    loaded: Loaded,
    stream: sys::CUstream,
}

impl OnCuda {
    /// Loads the kernels on the device at the first call. The stream lives as long as the result.
    pub fn new(stream: RawStream<Cuda>, device: Device) -> Result<Self> {
        static LOADED: Mutex<Option<HashMap<u32, Loaded>>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.get_or_insert_default();
        let loaded = match loaded.get(&device.ordinal()) {
            Some(loaded) => loaded.clone(),
            None => loaded.entry(device.ordinal()).or_insert(load(device)?).clone(),
        };
        Ok(OnCuda { loaded, stream: stream.as_ptr().cast() })
    }

    /// Makes the context current, as cudarc needs it, until the guard is dropped.
    fn bind(&self) -> Result<ContextGuard> {
        let guard = ContextGuard::save_relaxed()?;
        self.loaded.context.bind_to_thread().map_err(failed("cuCtxSetCurrent"))?;
        Ok(guard)
    }
}

/// Loads the kernels on a device.
fn load(device: Device) -> Result<Loaded> {
    // Without this check, cudarc would panic if it does not find the driver by its usual names.
    // SAFETY: gpu-stream has loaded the driver, so its initializers have run.
    if !unsafe { sys::is_culib_present() } {
        let text = "cudarc does not find the driver that gpu-stream has loaded; put its folder on the loader's path";
        return Err(Error::NoKernels(text.into()));
    }
    let _guard = ContextGuard::save_relaxed()?;
    let context = CudaContext::new(device.ordinal() as usize);
    let context = context.map_err(failed("CudaContext::new"))?;
    // This library orders its work with gpu-stream. cudarc need not do it again with events of its own.
    // SAFETY: no memory of cudarc is used.
    unsafe { context.disable_event_tracking() };
    let text = cudarc::nvrtc::Ptx::from_src(include_str!("../device/kernels.ptx"));
    let module = context.load_module(text).map_err(failed("cuModuleLoadData"))?;
    let functions = NAMES.iter().map(|name| {
        let name = name.to_str().unwrap_or_default();
        let function = module.load_function(name).map_err(failed("cuModuleGetFunction"))?;
        // Loads the function now. Otherwise its first launch would, which may be in a capture, and wait for running
        // work.
        function.num_regs().map_err(failed("cuFuncGetAttribute"))?;
        Ok(function)
    });
    Ok(Loaded { functions: functions.collect::<Result<_>>()?, context })
}

/// Returns a function that converts an error of `call`.
fn failed(call: &'static str) -> impl Fn(DriverError) -> Error {
    move |error| Error::Driver { call, code: error.0 as i32 }
}

impl Launcher for OnCuda {
    fn allocate(&self, len: usize) -> Result<Address> {
        let _guard = self.bind()?;
        let bytes = len.max(1) * size_of::<f32>();
        // SAFETY: the stream is live. The memory is written before it is read.
        let memory = unsafe { result::malloc_async(self.stream, bytes) };
        Ok(Address(memory.map_err(failed("cuMemAllocAsync"))?))
    }

    unsafe fn free(&self, memory: Address, _len: usize) -> Result<()> {
        let _guard = self.bind()?;
        // SAFETY: `allocate` returned the memory, and nothing uses it later (caller contract).
        let freed = unsafe { result::free_async(memory.0, self.stream) };
        freed.map_err(failed("cuMemFreeAsync"))
    }

    unsafe fn launch(&self, kernel: Kernel) -> Result<()> {
        let _guard = self.bind()?;
        let function = &self.loaded.functions[kernel.index()];
        let (grid, block) = ((kernel.blocks(), 1, 1), (BLOCK, 1, 1));
        // SAFETY: the arguments are those of the function's parameters, and the driver copies them in the call. The
        // memory is as required (caller contract).
        let launched = kernel.with_arguments(|arguments| unsafe {
            result::launch_kernel(function.cu_function(), grid, block, 0, self.stream, arguments)
        });
        launched.map_err(failed("cuLaunchKernel"))
    }

    unsafe fn write(&self, to: Address, values: &[f32]) -> Result<()> {
        let _guard = self.bind()?;
        // SAFETY: the memory has room for the values, and the stream is not capturing (caller contract). Outside of a
        // capture, the driver copies ordinary memory before the call returns.
        let copied = unsafe { result::memcpy_htod_async(to.0, values, self.stream) };
        copied.map_err(failed("cuMemcpyHtoDAsync"))
    }

    unsafe fn read(&self, from: Address, values: &mut [f32]) -> Result<()> {
        let _guard = self.bind()?;
        // SAFETY: the memory has so many values (caller contract), and `values` lives until the stream has copied them.
        let copied = unsafe { result::memcpy_dtoh_async(values, from.0, self.stream) };
        copied.map_err(failed("cuMemcpyDtoHAsync"))?;
        // SAFETY: the stream is live.
        unsafe { result::stream::synchronize(self.stream) }.map_err(failed("cuStreamSynchronize"))
    }
}
