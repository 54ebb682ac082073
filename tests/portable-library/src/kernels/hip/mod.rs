//! The kernels on HIP: code objects that clang has compiled for AMD's GPUs, by the functions of the HIP runtime that
//! gpu-stream has loaded.

mod stream_cache;

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use gpu_stream::prelude::*;
use gpu_stream::{Device, HandleKind, Hip, RawStream};

use crate::error::check;
use crate::kernels::table::table;
use crate::kernels::{Address, BLOCK, Kernel, Kernels, Launcher, NAMES};
use crate::{Error, Result};

/// Includes a file at the alignment that a code object needs.
macro_rules! aligned {
    ($file:literal) => {{
        #[repr(align(4096))]
        struct Aligned<T>(T);
        static OBJECT: Aligned<[u8; include_bytes!($file).len()]> = Aligned(*include_bytes!($file));
        &OBJECT.0
    }};
}

// `CODE_OBJECTS`, each with its target, and `MISSING`, the other targets. The build script writes both.
include!(concat!(env!("OUT_DIR"), "/code_objects.rs"));

/// HIP also runs on NVIDIA's GPUs, where PTX takes the place of a code object.
const PTX: &str = concat!(include_str!("../device/kernels.ptx"), "\0");

type Ptr = *mut c_void;

table! {
    Runtime of Hip {
        version = "hipRuntimeGetVersion" (*mut c_int);
        get_device = "hipGetDevice" (*mut c_int);
        set_device = "hipSetDevice" (c_int);
        last_error = "hipGetLastError" ();
        exchange_capture_mode = "hipThreadExchangeStreamCaptureMode" (*mut c_int);
        module_load = "hipModuleLoadData" (*mut Ptr, *const c_void);
        module_function = "hipModuleGetFunction" (*mut Ptr, Ptr, *const c_char);
        launch_kernel = "hipModuleLaunchKernel" (
            Ptr, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Ptr, *mut Ptr, *mut Ptr
        );
        allocate = "hipMallocAsync" (*mut Ptr, usize, Ptr);
        free = "hipFreeAsync" (Ptr, Ptr);
        allocate_now = "hipMalloc" (*mut Ptr, usize);
        is_capturing = "hipStreamIsCapturing" (Ptr, *mut c_int);
        copy_in = "hipMemcpyHtoDAsync" (Ptr, *const c_void, usize, Ptr);
        copy_out = "hipMemcpyDtoHAsync" (*mut c_void, Ptr, usize, Ptr);
        synchronize = "hipStreamSynchronize" (Ptr);
    }
}

// SAFETY: every function of the launcher is one call of the runtime with the stream's handle.
unsafe impl Kernels for Hip {
    fn launcher<S: Stream<Backend = Hip>>(stream: &S) -> Result<Box<dyn Launcher + '_>> {
        Ok(Box::new(OnHip::new(stream.raw(), stream.device())?))
    }
}

/// The functions of the loaded module, as numbers, in the order of [`NAMES`].
type Functions = [usize; NAMES.len()];

/// A stream, and the kernels that are loaded on its device.
pub struct OnHip {
    runtime: &'static Runtime,
    stream: Ptr,
    device: c_int,
    functions: Functions,
    /// The stream's key in the cache, if the runtime is so old that it is needed.
    cached: Option<stream_cache::Key>,
}

impl OnHip {
    /// Loads the kernels on the device at the first call. The stream lives as long as the result.
    pub fn new(stream: RawStream<Hip>, device: Device) -> Result<Self> {
        /// Loaded once for each device, and never unloaded.
        static LOADED: Mutex<Option<HashMap<c_int, Functions>>> = Mutex::new(None);
        let (runtime, device) = (Runtime::load()?, device.ordinal() as c_int);
        let mut version = 0;
        // SAFETY: the out-pointer is valid.
        check("hipRuntimeGetVersion", unsafe { (runtime.version)(&mut version) })?;
        // On NVIDIA's GPUs, this is CUDA's version: 12090 is 12.9, where HIP's 50221153 is 5.2.
        let is_nvidia = version < 1_000_000;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.get_or_insert_default();
        let functions = match loaded.get(&device) {
            Some(functions) => *functions,
            None => *loaded.entry(device).or_insert(load(runtime, device, is_nvidia)?),
        };
        let is_old = !is_nvidia && version < 50_700_000;
        if is_old && stream.kind() == HandleKind::PerThread {
            let text = "this HIP runtime, older than 5.7, crashes if a kernel is launched on a thread's default \
                        stream; pass another stream";
            return Err(Error::NoKernels(text.into()));
        }
        let cached = is_old.then_some((device, stream.to_bits()));
        Ok(OnHip { runtime, stream: stream.as_ptr(), device, functions, cached })
    }
}

/// Loads the first image that the device accepts.
fn load(runtime: &'static Runtime, device: c_int, is_nvidia: bool) -> Result<Functions> {
    const RELAXED: c_int = 2;
    let _current = Current::enter(runtime, device)?;
    let (mut mode, mut tried) = (RELAXED, Vec::new());
    let images = if is_nvidia { &[("PTX", PTX.as_bytes())] } else { CODE_OBJECTS };
    // SAFETY: all pointers are valid for the calls, a code object says how long it is, and the texts end with 0.
    unsafe {
        // Otherwise loading would invalidate a capture that is going on, here or on another thread.
        check("hipThreadExchangeStreamCaptureMode", (runtime.exchange_capture_mode)(&mut mode))?;
        let module = images.iter().find_map(|(name, image)| {
            let mut module = ptr::null_mut();
            let code = (runtime.module_load)(&mut module, image.as_ptr().cast());
            tried.push(format!("{name}: {code}"));
            (code == 0).then_some(module)
        });
        (runtime.last_error)(); // a failure above is none of the caller's
        check("hipThreadExchangeStreamCaptureMode", (runtime.exchange_capture_mode)(&mut mode))?;
        let module = module.ok_or_else(|| {
            let tried = tried.join(", ");
            Error::NoKernels(format!(
                "device {device} accepts none of the kernels ({tried}); build the library with a clang that knows the \
                 device, which CLANG can name (not compiled here: {MISSING})"
            ))
        })?;
        let mut functions = [0; NAMES.len()];
        for (name, place) in NAMES.iter().zip(&mut functions) {
            let mut function = ptr::null_mut();
            let found = (runtime.module_function)(&mut function, module, name.as_ptr());
            check("hipModuleGetFunction", found)?;
            *place = function.expose_provenance();
        }
        Ok(functions)
    }
}

/// A device that is current until this is dropped. The thread is left as it was found.
struct Current(&'static Runtime, c_int);

impl Current {
    fn enter(runtime: &'static Runtime, device: c_int) -> Result<Self> {
        let mut before = 0;
        // SAFETY: the out-pointer is valid.
        check("hipGetDevice", unsafe { (runtime.get_device)(&mut before) })?;
        // SAFETY: the function accepts any number.
        check("hipSetDevice", unsafe { (runtime.set_device)(device) })?;
        Ok(Current(runtime, before))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: the function accepts any number.
        unsafe { (self.0.set_device)(self.1) };
    }
}

fn pointer(memory: Address) -> Ptr {
    ptr::with_exposed_provenance_mut(memory.0 as usize)
}

impl OnHip {
    /// Allocates on a runtime that is too old for `hipMallocAsync`.
    fn allocate_cached(&self, key: stream_cache::Key, len: usize) -> Result<Address> {
        const NOT_SUPPORTED: c_int = 801;
        let (mut memory, mut capturing) = (ptr::null_mut(), 0);
        // SAFETY: the out-pointers are valid, and the stream is live.
        let code = unsafe { (self.runtime.is_capturing)(self.stream, &mut capturing) };
        check("hipStreamIsCapturing", code)?;
        if capturing != 0 {
            // A graph would use the memory again when other work has it.
            check("hipMallocAsync", NOT_SUPPORTED)?;
        }
        if let Some(freed) = stream_cache::take(key, len) {
            return Ok(Address(freed));
        }
        // SAFETY: the out-pointer is valid.
        let code =
            unsafe { (self.runtime.allocate_now)(&mut memory, len.max(1) * size_of::<f32>()) };
        check("hipMalloc", code)?;
        Ok(Address(memory.expose_provenance() as u64))
    }
}

impl Launcher for OnHip {
    fn allocate(&self, len: usize) -> Result<Address> {
        let _current = Current::enter(self.runtime, self.device)?;
        if let Some(key) = self.cached {
            return self.allocate_cached(key, len);
        }
        let (mut memory, bytes) = (ptr::null_mut(), len.max(1) * size_of::<f32>());
        // SAFETY: the out-pointer is valid, and the stream is live.
        let code = unsafe { (self.runtime.allocate)(&mut memory, bytes, self.stream) };
        check("hipMallocAsync", code)?;
        Ok(Address(memory.expose_provenance() as u64))
    }

    unsafe fn free(&self, memory: Address, len: usize) -> Result<()> {
        if let Some(key) = self.cached {
            stream_cache::put(key, len, memory.0);
            return Ok(());
        }
        let _current = Current::enter(self.runtime, self.device)?;
        // SAFETY: `allocate` returned the memory, and nothing uses it later (caller contract).
        check("hipFreeAsync", unsafe { (self.runtime.free)(pointer(memory), self.stream) })
    }

    unsafe fn launch(&self, kernel: Kernel) -> Result<()> {
        let _current = Current::enter(self.runtime, self.device)?;
        let function = ptr::with_exposed_provenance_mut(self.functions[kernel.index()]);
        // SAFETY: the function was loaded on the stream's device, and the arguments are those of its parameters. The
        // runtime copies them in the call. The memory is as required (caller contract).
        let code = kernel.with_arguments(|arguments| unsafe {
            let (arguments, extra) = (arguments.as_mut_ptr(), ptr::null_mut());
            let launch = self.runtime.launch_kernel;
            launch(function, kernel.blocks(), 1, 1, BLOCK, 1, 1, 0, self.stream, arguments, extra)
        });
        check("hipModuleLaunchKernel", code)
    }

    unsafe fn write(&self, to: Address, values: &[f32]) -> Result<()> {
        let _current = Current::enter(self.runtime, self.device)?;
        let (from, bytes) = (values.as_ptr().cast(), size_of_val(values));
        // SAFETY: the memory has room for the values, and the stream is not capturing (caller contract). So it has copied
        // the values when both calls have returned.
        unsafe {
            let code = (self.runtime.copy_in)(pointer(to), from, bytes, self.stream);
            check("hipMemcpyHtoDAsync", code)?;
            check("hipStreamSynchronize", (self.runtime.synchronize)(self.stream))
        }
    }

    unsafe fn read(&self, from: Address, values: &mut [f32]) -> Result<()> {
        let _current = Current::enter(self.runtime, self.device)?;
        let (to, bytes) = (values.as_mut_ptr().cast(), size_of_val(values));
        // SAFETY: the memory has so many values (caller contract), and `values` lives until the stream has copied them.
        unsafe {
            let code = (self.runtime.copy_out)(to, pointer(from), bytes, self.stream);
            check("hipMemcpyDtoHAsync", code)?;
            check("hipStreamSynchronize", (self.runtime.synchronize)(self.stream))
        }
    }
}
