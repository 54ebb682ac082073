//! CUDA by the bare driver, whose functions are found in the library that gpu-stream has loaded.

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use gpu_stream::{Cuda, Device, HandleKind, RawStream};

use crate::Result;
use crate::error::check;
use crate::kernels::table::table;
use crate::kernels::{Address, BLOCK, Kernel, Launcher, NAMES};

type Ptr = *mut c_void;

table! {
    Driver of Cuda {
        device_get = "cuDeviceGet" (*mut c_int, c_int);
        primary_retain = "cuDevicePrimaryCtxRetain" (*mut Ptr, c_int);
        stream_context = "cuStreamGetCtx" (Ptr, *mut Ptr);
        context_push = "cuCtxPushCurrent_v2" (Ptr);
        context_pop = "cuCtxPopCurrent_v2" (*mut Ptr);
        exchange_capture_mode = "cuThreadExchangeStreamCaptureMode" (*mut c_int);
        module_load = "cuModuleLoadData" (*mut Ptr, *const c_void);
        module_function = "cuModuleGetFunction" (*mut Ptr, Ptr, *const c_char);
        function_attribute = "cuFuncGetAttribute" (*mut c_int, c_int, Ptr);
        launch_kernel = "cuLaunchKernel" (
            Ptr, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Ptr, *mut Ptr, *mut Ptr
        );
        allocate = "cuMemAllocAsync" (*mut u64, usize, Ptr);
        free = "cuMemFreeAsync" (u64, Ptr);
        copy_in = "cuMemcpyHtoDAsync_v2" (u64, *const c_void, usize, Ptr);
        copy_out = "cuMemcpyDtoHAsync_v2" (*mut c_void, u64, usize, Ptr);
        synchronize = "cuStreamSynchronize" (Ptr);
    }
}

/// The functions of the loaded module, as numbers, in the order of [`NAMES`].
type Functions = [usize; NAMES.len()];

/// A stream, its context, and the kernels that are loaded in it.
pub struct OnCuda {
    driver: &'static Driver,
    stream: Ptr,
    context: Ptr,
    functions: Functions,
}

impl OnCuda {
    /// Finds the context of a stream, and loads the kernels there at the first call. The stream lives as long as the
    /// result, and its context as long as the process.
    pub fn new(stream: RawStream<Cuda>, device: Device) -> Result<Self> {
        /// Modules belong to contexts. They are loaded once, and never unloaded.
        static LOADED: Mutex<Option<HashMap<usize, Functions>>> = Mutex::new(None);
        let driver = Driver::load()?;
        let context = context_of(driver, stream, device)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.get_or_insert_default();
        let functions = match loaded.get(&context.expose_provenance()) {
            Some(functions) => *functions,
            None => {
                let functions = load(driver, context)?;
                loaded.insert(context.expose_provenance(), functions);
                functions
            }
        };
        Ok(OnCuda { driver, stream: stream.as_ptr(), context, functions })
    }
}

/// Returns the context that the stream belongs to.
fn context_of(driver: &Driver, stream: RawStream<Cuda>, device: Device) -> Result<Ptr> {
    let mut context = ptr::null_mut();
    // SAFETY: the out-pointers are valid, and the stream is live (the caller has a wrapper of it).
    unsafe {
        if stream.kind() == HandleKind::Explicit {
            check("cuStreamGetCtx", (driver.stream_context)(stream.as_ptr(), &mut context))?;
            return Ok(context);
        }
        // The handle of a default stream is the same in every context: gpu-stream's is that of the primary one.
        let mut handle = 0;
        check("cuDeviceGet", (driver.device_get)(&mut handle, device.ordinal() as c_int))?;
        // Never released: the kernels stay loaded.
        check("cuDevicePrimaryCtxRetain", (driver.primary_retain)(&mut context, handle))?;
    }
    Ok(context)
}

/// Loads the kernels in a context.
fn load(driver: &'static Driver, context: Ptr) -> Result<Functions> {
    const PTX: &str = concat!(include_str!("../device/kernels.ptx"), "\0");
    const RELAXED: c_int = 2;
    const NUM_REGS: c_int = 4;
    let _current = Current::enter(driver, context)?;
    let (mut mode, mut module, mut functions) = (RELAXED, ptr::null_mut(), [0; NAMES.len()]);
    // SAFETY: all pointers are valid for the calls, and both texts end with 0.
    unsafe {
        // Otherwise loading would invalidate a capture that is going on, here or on another thread.
        check("cuThreadExchangeStreamCaptureMode", (driver.exchange_capture_mode)(&mut mode))?;
        let mut load = || {
            check("cuModuleLoadData", (driver.module_load)(&mut module, PTX.as_ptr().cast()))?;
            for (name, place) in NAMES.iter().zip(&mut functions) {
                let (mut function, mut registers) = (ptr::null_mut(), 0);
                let found = (driver.module_function)(&mut function, module, name.as_ptr());
                check("cuModuleGetFunction", found)?;
                // Loads the function now. Otherwise its first launch would, which may be in a capture, and wait for
                // running work.
                let read = (driver.function_attribute)(&mut registers, NUM_REGS, function);
                check("cuFuncGetAttribute", read)?;
                *place = function.expose_provenance();
            }
            Ok(())
        };
        let loaded: Result<()> = load();
        check("cuThreadExchangeStreamCaptureMode", (driver.exchange_capture_mode)(&mut mode))?;
        loaded?;
    }
    Ok(functions)
}

/// A context that is current until this is dropped. The thread is left as it was found.
struct Current(&'static Driver);

impl Current {
    fn enter(driver: &'static Driver, context: Ptr) -> Result<Self> {
        // SAFETY: the context is live, as long as the process.
        check("cuCtxPushCurrent", unsafe { (driver.context_push)(context) })?;
        Ok(Current(driver))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: the out-pointer is valid, and `enter` has pushed a context.
        unsafe { (self.0.context_pop)(&mut ptr::null_mut()) };
    }
}

impl Launcher for OnCuda {
    fn allocate(&self, len: usize) -> Result<Address> {
        let _current = Current::enter(self.driver, self.context)?;
        let (mut memory, bytes) = (0, len.max(1) * size_of::<f32>());
        // SAFETY: the out-pointer is valid, and the stream is live.
        let code = unsafe { (self.driver.allocate)(&mut memory, bytes, self.stream) };
        check("cuMemAllocAsync", code)?;
        Ok(Address(memory))
    }

    unsafe fn free(&self, memory: Address, _len: usize) -> Result<()> {
        let _current = Current::enter(self.driver, self.context)?;
        // SAFETY: `allocate` returned the memory, and nothing uses it later (caller contract).
        check("cuMemFreeAsync", unsafe { (self.driver.free)(memory.0, self.stream) })
    }

    unsafe fn launch(&self, kernel: Kernel) -> Result<()> {
        let _current = Current::enter(self.driver, self.context)?;
        let function = ptr::with_exposed_provenance_mut(self.functions[kernel.index()]);
        // SAFETY: the function was loaded in the stream's context, and the arguments are those of its parameters. The
        // driver copies them in the call. The memory is as required (caller contract).
        let code = kernel.with_arguments(|arguments| unsafe {
            let (arguments, extra) = (arguments.as_mut_ptr(), ptr::null_mut());
            let launch = self.driver.launch_kernel;
            launch(function, kernel.blocks(), 1, 1, BLOCK, 1, 1, 0, self.stream, arguments, extra)
        });
        check("cuLaunchKernel", code)
    }

    unsafe fn write(&self, to: Address, values: &[f32]) -> Result<()> {
        let _current = Current::enter(self.driver, self.context)?;
        let (from, bytes) = (values.as_ptr().cast(), size_of_val(values));
        // SAFETY: the memory has room for the values, and the stream is not capturing (caller contract). Outside of a
        // capture, the driver copies ordinary memory before the call returns.
        check("cuMemcpyHtoDAsync", unsafe { (self.driver.copy_in)(to.0, from, bytes, self.stream) })
    }

    unsafe fn read(&self, from: Address, values: &mut [f32]) -> Result<()> {
        let _current = Current::enter(self.driver, self.context)?;
        let (to, bytes) = (values.as_mut_ptr().cast(), size_of_val(values));
        // SAFETY: the memory has so many values (caller contract), and `values` lives until the stream has copied them.
        unsafe {
            check("cuMemcpyDtoHAsync", (self.driver.copy_out)(to, from.0, bytes, self.stream))?;
            check("cuStreamSynchronize", (self.driver.synchronize)(self.stream))
        }
    }
}
