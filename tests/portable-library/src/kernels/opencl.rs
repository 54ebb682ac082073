//! The kernels on OpenCL: OpenCL C, which the implementation compiles, by the functions of the library that gpu-stream
//! has loaded.
//!
//! An address is one of shared virtual memory (OpenCL 2.0), which belongs to a context. All streams of one call must
//! share a context.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, null, null_mut};
use std::sync::{Mutex, PoisonError};

use gpu_stream::prelude::*;
use gpu_stream::{OpenCl, RawStream};

use crate::error::check;
use crate::kernels::table::table;
use crate::kernels::{Address, BLOCK, Kernel, Kernels, Launcher, NAMES};
use crate::{Error, Result};

const SOURCE: &str = include_str!("device/kernels.cl");

type Ptr = *mut c_void;
type Events = *const Ptr;
type FreeCallback = unsafe extern "C" fn(Ptr, u32, *mut Ptr, *mut c_void);

table! {
    Functions of OpenCl {
        queue_info = "clGetCommandQueueInfo" (Ptr, u32, usize, *mut c_void, *mut usize);
        device_info = "clGetDeviceInfo" (Ptr, u32, usize, *mut c_void, *mut usize);
        create_program = "clCreateProgramWithSource" (Ptr, u32, *const *const c_char, *const usize, *mut c_int) -> Ptr;
        build_program = "clBuildProgram" (Ptr, u32, *const Ptr, *const c_char, *const c_void, Ptr);
        build_info = "clGetProgramBuildInfo" (Ptr, Ptr, u32, usize, *mut c_void, *mut usize);
        create_kernel = "clCreateKernel" (Ptr, *const c_char, *mut c_int) -> Ptr;
        release_kernel = "clReleaseKernel" (Ptr);
        set_value = "clSetKernelArg" (Ptr, u32, usize, *const c_void);
        set_address = "clSetKernelArgSVMPointer" (Ptr, u32, *const c_void);
        launch_kernel = "clEnqueueNDRangeKernel"
            (Ptr, Ptr, u32, *const usize, *const usize, *const usize, u32, Events, *mut Ptr);
        allocate = "clSVMAlloc" (Ptr, u64, usize, u32) -> Ptr;
        free_now = "clSVMFree" (Ptr, Ptr) -> ();
        free = "clEnqueueSVMFree" (Ptr, u32, *mut Ptr, FreeCallback, *mut c_void, u32, Events, *mut Ptr);
        copy = "clEnqueueSVMMemcpy" (Ptr, u32, Ptr, *const c_void, usize, u32, Events, *mut Ptr);
        flush = "clFlush" (Ptr);
    }
}

// SAFETY: every function of the launcher is one command of the stream's queue.
unsafe impl Kernels for OpenCl {
    fn launcher<S: Stream<Backend = OpenCl>>(stream: &S) -> Result<Box<dyn Launcher + '_>> {
        Ok(Box::new(OnOpenCl::new(stream.raw())?))
    }
}

/// A queue, and the program that is built for its context and device.
pub struct OnOpenCl {
    functions: &'static Functions,
    queue: Ptr,
    context: Ptr,
    program: Ptr,
}

impl OnOpenCl {
    /// Builds the program at the first call for a context and a device. The stream lives as long as the result.
    pub fn new(stream: RawStream<OpenCl>) -> Result<Self> {
        /// Each program keeps its context alive, and is never released: so no other context gets the number.
        static BUILT: Mutex<Option<HashMap<(usize, usize), usize>>> = Mutex::new(None);
        const CONTEXT: u32 = 0x1090;
        const DEVICE: u32 = 0x1091;
        let (functions, queue) = (Functions::load()?, stream.as_ptr());
        let fact = |number| {
            let mut value: Ptr = null_mut();
            let (room, size) = ((&raw mut value).cast(), size_of::<Ptr>());
            // SAFETY: the queue is live, and the fact is a pointer.
            let code = unsafe { (functions.queue_info)(queue, number, size, room, null_mut()) };
            check("clGetCommandQueueInfo", code).map(|()| value)
        };
        let (context, device) = (fact(CONTEXT)?, fact(DEVICE)?);
        let key = (context.expose_provenance(), device.expose_provenance());
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        let built = built.get_or_insert_default();
        let program = match built.get(&key) {
            Some(program) => *program,
            None => {
                let program = build(functions, context, device)?.expose_provenance();
                *built.entry(key).or_insert(program)
            }
        };
        let program = ptr::with_exposed_provenance_mut(program);
        Ok(OnOpenCl { functions, queue, context, program })
    }
}

/// Compiles the kernels for a device.
fn build(functions: &Functions, context: Ptr, device: Ptr) -> Result<Ptr> {
    const SVM_CAPABILITIES: u32 = 0x1053;
    const COARSE_GRAINED: u64 = 1;
    const LOG: u32 = 0x1183;
    let (mut capabilities, mut code) = (0_u64, 0);
    let room = (&raw mut capabilities).cast();
    // SAFETY: the device is live, and the fact is a `u64`. A version without it returns an error.
    let known = unsafe { (functions.device_info)(device, SVM_CAPABILITIES, 8, room, null_mut()) };
    if known != 0 || capabilities & COARSE_GRAINED == 0 {
        let text = "the device has no shared virtual memory, which the kernels' addresses need; use a device of \
                    OpenCL 2.0 or newer that has it (clinfo lists \"SVM capabilities\")";
        return Err(Error::NoKernels(text.into()));
    }
    let (text, len) = (SOURCE.as_ptr().cast(), SOURCE.len());
    // SAFETY: the context is live, and one text of this length is given.
    let program = unsafe { (functions.create_program)(context, 1, &text, &len, &mut code) };
    check("clCreateProgramWithSource", code)?;
    // SAFETY: the program and the device are live, and the options end with 0. Without a callback, the call blocks.
    let code =
        unsafe { (functions.build_program)(program, 1, &device, c"".as_ptr(), null(), null_mut()) };
    if code == 0 {
        return Ok(program);
    }
    let mut log = [0_u8; 4096];
    let room = log.as_mut_ptr().cast();
    // SAFETY: the program and the device are live. The room is larger by a 0 than the given size.
    unsafe { (functions.build_info)(program, device, LOG, log.len() - 1, room, null_mut()) };
    let log = CStr::from_bytes_until_nul(&log).unwrap_or_default().to_string_lossy();
    let log = log.trim();
    Err(Error::NoKernels(format!("clBuildProgram returned {code} for the kernels: {log}")))
}

fn pointer(memory: Address) -> Ptr {
    ptr::with_exposed_provenance_mut(memory.0 as usize)
}

/// A kernel object of one launch: two threads must not set the arguments of one.
struct OneLaunch<'f>(&'f Functions, Ptr);

impl OneLaunch<'_> {
    fn set_value<T: Copy>(&self, index: u32, value: T) -> Result<()> {
        // SAFETY: the kernel is live, and the parameter has this type. The value is copied in the call.
        let code =
            unsafe { (self.0.set_value)(self.1, index, size_of::<T>(), (&raw const value).cast()) };
        check("clSetKernelArg", code)
    }

    fn set_address(&self, index: u32, address: Address) -> Result<()> {
        // SAFETY: the kernel is live, and the parameter is a pointer.
        let code = unsafe { (self.0.set_address)(self.1, index, pointer(address)) };
        check("clSetKernelArgSVMPointer", code)
    }
}

impl Drop for OneLaunch<'_> {
    fn drop(&mut self) {
        // SAFETY: the kernel is live. A command that was enqueued keeps it.
        unsafe { (self.0.release_kernel)(self.1) };
    }
}

/// Memory that the queue frees. The list lives until the callback.
struct Freed {
    context: usize,
    memory: [Ptr; 1],
}

/// # Safety
/// - `data` is a [`Freed`] in a box, which belongs to this call. All work on its memory is done.
unsafe extern "C" fn free_memory(_: Ptr, _: u32, _: *mut Ptr, data: *mut c_void) {
    // SAFETY: the box belongs to this call (caller contract).
    let freed = unsafe { Box::from_raw(data.cast::<Freed>()) };
    if let Ok(functions) = Functions::load() {
        let context = ptr::with_exposed_provenance_mut(freed.context);
        // SAFETY: the memory was allocated in the context, which the program of the context keeps alive.
        unsafe { (functions.free_now)(context, freed.memory[0]) };
    }
}

impl Launcher for OnOpenCl {
    fn allocate(&self, len: usize) -> Result<Address> {
        const READ_WRITE: u64 = 1;
        const FAILED: c_int = -4; // CL_MEM_OBJECT_ALLOCATION_FAILURE: the call returns no code
        let bytes = len.max(1) * size_of::<f32>();
        // SAFETY: the context is live.
        let memory = unsafe { (self.functions.allocate)(self.context, READ_WRITE, bytes, 0) };
        check("clSVMAlloc", if memory.is_null() { FAILED } else { 0 })?;
        Ok(Address(memory.expose_provenance() as u64))
    }

    unsafe fn free(&self, memory: Address, _: usize) -> Result<()> {
        let context = self.context.expose_provenance();
        let freed = Box::into_raw(Box::new(Freed { context, memory: [pointer(memory)] }));
        // SAFETY: `allocate` returned the memory, and all work on it is earlier work of the queue (caller contract). The
        // callback takes over the box, in which the list stays where it is.
        let code = unsafe {
            let list = (&raw mut (*freed).memory).cast();
            let free = self.functions.free;
            free(self.queue, 1, list, free_memory, freed.cast(), 0, null(), null_mut())
        };
        check("clEnqueueSVMFree", code).inspect_err(|_| {
            // SAFETY: the queue has not taken the box.
            drop(unsafe { Box::from_raw(freed) });
        })?;
        // SAFETY: the queue is live.
        check("clFlush", unsafe { (self.functions.flush)(self.queue) })
    }

    unsafe fn launch(&self, kernel: Kernel) -> Result<()> {
        let mut code = 0;
        let name = NAMES[kernel.index()].as_ptr();
        // SAFETY: the program is built, and the name ends with 0.
        let created = unsafe { (self.functions.create_kernel)(self.program, name, &mut code) };
        check("clCreateKernel", code)?;
        let launched = OneLaunch(self.functions, created);
        match kernel {
            Kernel::Saxpy { a, x, y, len, threads } => {
                launched.set_value(0, a)?;
                launched.set_address(1, x)?;
                launched.set_address(2, y)?;
                launched.set_value(3, len)?;
                launched.set_value(4, threads)?;
            }
            Kernel::Sums { x, len, to, threads } => {
                launched.set_address(0, x)?;
                launched.set_value(1, len)?;
                launched.set_address(2, to)?;
                launched.set_value(3, threads)?;
            }
        }
        let (block, all) = (BLOCK as usize, kernel.blocks() as usize * BLOCK as usize);
        // SAFETY: the queue and the kernel are live, of one context, and all arguments are set. The memory is as
        // required (caller contract).
        let code = unsafe {
            let launch = self.functions.launch_kernel;
            launch(self.queue, created, 1, null(), &all, &block, 0, null(), null_mut())
        };
        check("clEnqueueNDRangeKernel", code)?;
        // SAFETY: the queue is live.
        check("clFlush", unsafe { (self.functions.flush)(self.queue) })
    }

    unsafe fn write(&self, to: Address, values: &[f32]) -> Result<()> {
        // SAFETY: the memory has room for the values (caller contract), which live until the call returns.
        unsafe { self.copy(pointer(to), values.as_ptr().cast(), size_of_val(values)) }
    }

    unsafe fn read(&self, from: Address, values: &mut [f32]) -> Result<()> {
        let (to, bytes) = (values.as_mut_ptr().cast(), size_of_val(values));
        // SAFETY: the memory has so many values (caller contract), and `values` lives until the call returns.
        unsafe { self.copy(to, pointer(from), bytes) }
    }
}

impl OnOpenCl {
    /// Copies the bytes. Blocks until the queue has done it.
    ///
    /// # Safety
    /// - Both have `bytes` bytes, and are used by no other work meanwhile.
    unsafe fn copy(&self, to: Ptr, from: *const c_void, bytes: usize) -> Result<()> {
        const BLOCKING: u32 = 1;
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the queue is live, and the memory is as required (caller contract).
        let code = unsafe {
            (self.functions.copy)(self.queue, BLOCKING, to, from, bytes, 0, null(), null_mut())
        };
        check("clEnqueueSVMMemcpy", code)
    }
}
