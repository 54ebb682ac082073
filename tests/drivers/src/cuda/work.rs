//! What a stream can do: kernels, and waits for a number. [`Kernels`], [`hold`].

use std::ffi::CStr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::context::ContextGuard;
use super::driver::{DriverError, Ptr, check, driver};
use crate::numbers::{Arena, Chunk, Number, SIZE};

/// The kernels, for the oldest devices that the driver still compiles for. The driver compiles this text
/// for the device at hand.
///
/// `slow_store` spins for `turns` thousand cycles of the GPU before it stores: at 2 GHz, half a microsecond
/// each.
pub const PTX: &CStr = c"
.version 6.0
.target sm_50
.address_size 64

.visible .entry store(.param .u64 to, .param .u32 value)
{
    .reg .b64 %to;
    .reg .b32 %value;
    ld.param.u64 %to, [to];
    ld.param.u32 %value, [value];
    st.volatile.u32 [%to], %value;
    ret;
}

.visible .entry slow_store(.param .u64 to, .param .u32 value, .param .u32 turns)
{
    .reg .pred %waiting;
    .reg .b64 %to, %since, %now, %cycles;
    .reg .b32 %value, %turns;
    ld.param.u64 %to, [to];
    ld.param.u32 %value, [value];
    ld.param.u32 %turns, [turns];
    mul.wide.u32 %cycles, %turns, 1000;
    mov.u64 %since, %clock64;
AGAIN:
    mov.u64 %now, %clock64;
    sub.u64 %now, %now, %since;
    setp.lt.u64 %waiting, %now, %cycles;
    @%waiting bra AGAIN;
    st.volatile.u32 [%to], %value;
    ret;
}

.visible .entry copy(.param .u64 to, .param .u64 from)
{
    .reg .b64 %to, %from;
    .reg .b32 %value;
    ld.param.u64 %to, [to];
    ld.param.u64 %from, [from];
    ld.volatile.u32 %value, [%from];
    st.volatile.u32 [%to], %value;
    ret;
}

.visible .entry trap()
{
    trap;
    ret;
}
";

/// The kernels of [`PTX`] in one context.
#[derive(Debug)]
pub struct Kernels {
    store: Ptr,
    slow_store: Ptr,
    copy: Ptr,
    trap: Ptr,
}

// SAFETY: functions of a module may be launched from any thread, and the module is never unloaded.
unsafe impl Send for Kernels {}
// SAFETY: functions of a module may be launched from any thread, and the module is never unloaded.
unsafe impl Sync for Kernels {}

impl Kernels {
    /// Loads the kernels in `context`.
    ///
    /// # Errors
    /// The driver's error.
    pub fn load(context: Ptr) -> Result<Self, DriverError> {
        let _current = ContextGuard::enter(context)?;
        let mut module = std::ptr::null_mut();
        // SAFETY: `&mut module` is a valid out-pointer, and the text is a C string.
        let code = unsafe { (driver().module_load)(&mut module, PTX.as_ptr().cast()) };
        check("cuModuleLoadData", code)?;
        let function = |name: &CStr| {
            let (get, mut function) = (driver().module_function, std::ptr::null_mut());
            // SAFETY: `&mut function` is a valid out-pointer, and the name is a C string.
            check("cuModuleGetFunction", unsafe { get(&mut function, module, name.as_ptr()) })?;
            Ok::<_, DriverError>(function)
        };
        Ok(Kernels {
            store: function(c"store")?,
            slow_store: function(c"slow_store")?,
            copy: function(c"copy")?,
            trap: function(c"trap")?,
        })
    }

    /// Submits `to = value`.
    ///
    /// # Errors
    /// The driver's error.
    ///
    /// # Safety
    /// - `stream` is live, belongs to the context of these kernels, and that is current.
    /// - `to` is the address of a number that lives longer than the work.
    pub unsafe fn store(&self, stream: Ptr, to: u64, value: u32) -> Result<(), DriverError> {
        let (mut to, mut value) = (to, value);
        // SAFETY: the parameters are those of the kernel. The rest is as the caller promises.
        unsafe { launch(self.store, stream, &mut [(&raw mut to).cast(), (&raw mut value).cast()]) }
    }

    /// Submits `to = value`, which takes that many turns.
    ///
    /// # Errors
    /// The driver's error.
    ///
    /// # Safety
    /// As [`store`](Self::store).
    pub unsafe fn slow_store(
        &self,
        stream: Ptr,
        to: u64,
        value: u32,
        turns: u32,
    ) -> Result<(), DriverError> {
        let (mut to, mut value, mut turns) = (to, value, turns);
        let mut parameters =
            [(&raw mut to).cast(), (&raw mut value).cast(), (&raw mut turns).cast()];
        // SAFETY: the parameters are those of the kernel. The rest is as the caller promises.
        unsafe { launch(self.slow_store, stream, &mut parameters) }
    }

    /// Submits `to = from`.
    ///
    /// # Errors
    /// The driver's error.
    ///
    /// # Safety
    /// As [`store`](Self::store), and so for `from`.
    pub unsafe fn copy(&self, stream: Ptr, to: u64, from: u64) -> Result<(), DriverError> {
        let (mut to, mut from) = (to, from);
        // SAFETY: the parameters are those of the kernel. The rest is as the caller promises.
        unsafe { launch(self.copy, stream, &mut [(&raw mut to).cast(), (&raw mut from).cast()]) }
    }

    /// Submits work that fails, which ends the context.
    ///
    /// # Errors
    /// The driver's error.
    ///
    /// # Safety
    /// `stream` is as [`store`](Self::store) requires.
    pub unsafe fn trap(&self, stream: Ptr) -> Result<(), DriverError> {
        // SAFETY: the kernel has no parameters. The stream is as the caller promises.
        unsafe { launch(self.trap, stream, &mut []) }
    }
}

/// Launches a kernel with one thread.
///
/// # Safety
/// - `stream` is live, belongs to the context of `function`, and that is current.
/// - The parameters are those of the function. The call copies them.
unsafe fn launch(function: Ptr, stream: Ptr, parameters: &mut [Ptr]) -> Result<(), DriverError> {
    let (launch, none) = (driver().launch_kernel, std::ptr::null_mut());
    let parameters = parameters.as_mut_ptr();
    // SAFETY: one block of one thread, and no shared memory. The rest is as the caller promises.
    let code = unsafe { launch(function, 1, 1, 1, 1, 1, 1, 0, stream, parameters, none) };
    check("cuLaunchKernel", code)
}

/// Creates an arena of pinned memory in `context`.
///
/// # Errors
/// The driver's error.
pub fn arena(context: Ptr) -> Result<Arena, DriverError> {
    Arena::new(allocate, context.expose_provenance())
}

fn allocate(context: usize, count: usize) -> Result<Chunk, DriverError> {
    /// `CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP`.
    const FOR_ALL_DEVICES: u32 = 1 | 2;
    let _current = ContextGuard::enter(std::ptr::with_exposed_provenance_mut(context))?;
    let (mut memory, mut address) = (std::ptr::null_mut(), 0);
    // SAFETY: both are valid out-pointers, and the memory is allocated for the devices.
    unsafe {
        let code = (driver().host_alloc)(&mut memory, count * SIZE, FOR_ALL_DEVICES);
        check("cuMemHostAlloc", code)?;
        let code = (driver().host_device_pointer)(&mut address, memory, 0);
        check("cuMemHostGetDevicePointer", code)?;
    }
    // SAFETY: the driver allocated so many bytes, aligned to pages, which are never freed. The kernels and
    // the host access whole words, volatile or atomically.
    Ok(unsafe { Chunk::new(memory, address as usize, count) })
}

/// Holds back what is submitted to `stream` from now on, until the number is at least 1.
///
/// Drivers before CUDA 11.7 have no wait for a value. There a host function blocks.
///
/// # Errors
/// The driver's error.
///
/// # Safety
/// `stream` is live, and its context is current.
pub unsafe fn hold(stream: Ptr, number: Number) -> Result<(), DriverError> {
    let driver = driver();
    if driver.has("cuStreamWaitValue32_v2") {
        let address = number.address() as u64;
        // SAFETY: the stream is live and its context is current (caller contract). The number is never
        // freed. Flags 0: until it is at least 1.
        let code = unsafe { (driver.stream_wait_value)(stream, address, 1, 0) };
        return check("cuStreamWaitValue32", code);
    }
    // SAFETY: the stream is live and its context is current (caller contract). `block` takes the address
    // of a number that is never freed.
    check("cuLaunchHostFunc", unsafe { (driver.launch_host_func)(stream, block, number.as_ptr()) })
}

/// Blocks the thread of all host functions until the number is 1.
unsafe extern "C" fn block(number: Ptr) {
    // SAFETY: `number` is the address of a number that is never freed.
    let number = unsafe { AtomicU32::from_ptr(number.cast()) };
    while number.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
}
