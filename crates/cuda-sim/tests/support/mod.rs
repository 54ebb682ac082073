//! Calls of the simulated driver through its C interface, as a program calls the real one.

#![allow(dead_code, reason = "no test uses all of it")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::process::{Command, Output};
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use libloading::Library;

pub type Ptr = *mut c_void;
pub type HostFn = unsafe extern "C" fn(*mut c_void);

/// `CUDA_ERROR_NOT_READY`.
pub const NOT_READY: c_int = 600;

macro_rules! functions {
    ($($field:ident = $name:literal ($($argument:ty),*);)*) => {
        pub struct Driver {
            $(pub $field: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Driver {
            pub fn resolve(library: &Library) -> Self {
                // SAFETY: `cuda.h` declares the function with this signature, and the library is
                // never closed.
                Driver { $($field: *unsafe { library.get($name) }.expect($name),)* }
            }
        }
    };
}

functions! {
    init = "cuInit" (c_uint);
    version = "cuDriverGetVersion" (*mut c_int);
    error_name = "cuGetErrorName" (c_int, *mut *const c_char);
    error_text = "cuGetErrorString" (c_int, *mut *const c_char);
    device_count = "cuDeviceGetCount" (*mut c_int);
    device_name = "cuDeviceGetName" (*mut c_char, c_int, c_int);
    primary_retain = "cuDevicePrimaryCtxRetain" (*mut Ptr, c_int);
    primary_release = "cuDevicePrimaryCtxRelease_v2" (c_int);
    primary_reset = "cuDevicePrimaryCtxReset_v2" (c_int);
    primary_state = "cuDevicePrimaryCtxGetState" (c_int, *mut c_uint, *mut c_int);
    device_resource = "cuDeviceGetDevResource" (c_int, *mut [u64; 18], c_int);
    resource_desc = "cuDevResourceGenerateDesc" (*mut Ptr, *mut [u64; 18], c_uint);
    green_create = "cuGreenCtxCreate" (*mut Ptr, Ptr, c_int, c_uint);
    green_destroy = "cuGreenCtxDestroy" (Ptr);
    green_stream = "cuGreenCtxStreamCreate" (*mut Ptr, Ptr, c_uint, c_int);
    ctx_of_green = "cuCtxFromGreenCtx" (*mut Ptr, Ptr);
    ctx_device = "cuCtxGetDevice" (*mut c_int);
    ctx_id = "cuCtxGetId" (Ptr, *mut u64);
    ctx_push = "cuCtxPushCurrent_v2" (Ptr);
    ctx_create = "cuCtxCreate_v2" (*mut Ptr, c_uint, c_int);
    ctx_destroy = "cuCtxDestroy_v2" (Ptr);
    ctx_current = "cuCtxGetCurrent" (*mut Ptr);
    ctx_set_current = "cuCtxSetCurrent" (Ptr);
    ctx_pop = "cuCtxPopCurrent_v2" (*mut Ptr);
    get_limit = "cuCtxGetLimit" (*mut usize, c_int);
    set_limit = "cuCtxSetLimit" (c_int, usize);
    get_flags = "cuCtxGetFlags" (*mut c_uint);
    set_flags = "cuCtxSetFlags" (c_uint);
    mem_alloc = "cuMemAlloc_v2" (*mut u64, usize);
    mem_managed = "cuMemAllocManaged" (*mut u64, usize, c_uint);
    mem_info = "cuMemGetInfo_v2" (*mut usize, *mut usize);
    mem_range = "cuMemGetAddressRange_v2" (*mut u64, *mut usize, u64);
    mem_copy_async = "cuMemcpyAsync" (u64, u64, usize, Ptr);
    mem_copy_in_async = "cuMemcpyHtoDAsync_v2" (u64, *const c_void, usize, Ptr);
    mem_set = "cuMemsetD32_v2" (u64, c_uint, usize);
    mem_set_async = "cuMemsetD32Async" (u64, c_uint, usize, Ptr);
    host_register = "cuMemHostRegister_v2" (Ptr, usize, c_uint);
    host_unregister = "cuMemHostUnregister" (Ptr);
    mem_free = "cuMemFree_v2" (u64);
    host_alloc = "cuMemHostAlloc" (*mut Ptr, usize, c_uint);
    module_load = "cuModuleLoadData" (*mut Ptr, *const c_void);
    module_function = "cuModuleGetFunction" (*mut Ptr, Ptr, *const c_char);
    launch_kernel = "cuLaunchKernel"
        (Ptr, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Ptr, *mut Ptr, *mut Ptr);
    launch_host_func = "cuLaunchHostFunc" (Ptr, HostFn, Ptr);
    stream_create = "cuStreamCreateWithPriority" (*mut Ptr, c_uint, c_int);
    stream_destroy = "cuStreamDestroy_v2" (Ptr);
    stream_context = "cuStreamGetCtx" (Ptr, *mut Ptr);
    stream_context_v2 = "cuStreamGetCtx_v2" (Ptr, *mut Ptr, *mut Ptr);
    stream_flags = "cuStreamGetFlags" (Ptr, *mut c_uint);
    stream_green = "cuStreamGetGreenCtx" (Ptr, *mut Ptr);
    stream_query = "cuStreamQuery" (Ptr);
    stream_synchronize = "cuStreamSynchronize" (Ptr);
    stream_wait_event = "cuStreamWaitEvent" (Ptr, Ptr, c_uint);
    stream_wait_value = "cuStreamWaitValue32_v2" (Ptr, u64, u32, c_uint);
    stream_attach = "cuStreamAttachMemAsync" (Ptr, u64, usize, c_uint);
    stream_write_value = "cuStreamWriteValue32_v2" (Ptr, u64, u32, c_uint);
    begin_capture = "cuStreamBeginCapture_v2" (Ptr, c_int);
    end_capture = "cuStreamEndCapture" (Ptr, *mut Ptr);
    capture_status = "cuStreamIsCapturing" (Ptr, *mut c_int);
    capture_info = "cuStreamGetCaptureInfo_v2"
        (Ptr, *mut c_int, *mut u64, *mut Ptr, *mut *const Ptr, *mut usize);
    capture_info_v3 = "cuStreamGetCaptureInfo_v3"
        (Ptr, *mut c_int, *mut u64, *mut Ptr, *mut *const Ptr, *mut *const u64, *mut usize);
    graph_instantiate = "cuGraphInstantiateWithFlags" (*mut Ptr, Ptr, u64);
    graph_instantiate_v2 = "cuGraphInstantiate_v2"
        (*mut Ptr, Ptr, *mut Ptr, *mut c_char, usize);
    graph_instantiate_with = "cuGraphInstantiateWithParams" (*mut Ptr, Ptr, *mut [u64; 4]);
    graph_nodes = "cuGraphGetNodes" (Ptr, *mut Ptr, *mut usize);
    graph_launch = "cuGraphLaunch" (Ptr, Ptr);
    event_create = "cuEventCreate" (*mut Ptr, c_uint);
    event_destroy = "cuEventDestroy_v2" (Ptr);
    event_query = "cuEventQuery" (Ptr);
    event_record = "cuEventRecord" (Ptr, Ptr);
    event_record_with = "cuEventRecordWithFlags" (Ptr, Ptr, c_uint);
    event_synchronize = "cuEventSynchronize" (Ptr);
    ipc_event_handle = "cuIpcGetEventHandle" (*mut [u8; 64], Ptr);
}

pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let path = cuda_sim::library().expect("cargo has built the library");
        // SAFETY: the initialiser only reads the environment and hides the functions that it names.
        unsafe { Library::new(path) }.expect("the simulated driver")
    })
}

/// Returns the driver's functions, without initializing the driver.
pub fn driver() -> &'static Driver {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    DRIVER.get_or_init(|| Driver::resolve(library()))
}

/// Returns the driver's functions, after initializing the driver.
pub fn started() -> &'static Driver {
    // SAFETY: flags are 0.
    ok(unsafe { (driver().init)(0) });
    driver()
}

#[track_caller]
pub fn ok(code: c_int) {
    assert_eq!(code, 0, "{}", name(code));
}

pub fn name(code: c_int) -> String {
    let mut name = std::ptr::null();
    // SAFETY: the out-pointer is valid. Afterwards it is null or points to a static string of the
    // library.
    unsafe {
        (driver().error_name)(code, &mut name);
        if name.is_null() {
            code.to_string()
        } else {
            CStr::from_ptr(name).to_str().unwrap().into()
        }
    }
}

const PTX: &CStr = c".version 6.0
.visible .entry store(.param .u64 to, .param .u32 value) { ret; }
.visible .entry copy(.param .u64 to, .param .u64 from) { ret; }
.visible .entry trap() { trap; }
.visible .entry saxpy(.param .u64 x, .param .u64 y) { ret; }
.visible .entry unknown() { ret; }
";

/// A context of a device. It is current on the thread that created it.
pub struct Context {
    pub handle: Ptr,
    module: Ptr,
}

impl Context {
    pub fn new(device: c_int) -> Self {
        let (driver, mut handle, mut module) = (started(), null_mut(), null_mut());
        // SAFETY: the out-pointers are valid, and the text is terminated by a NUL.
        unsafe {
            ok((driver.ctx_create)(&mut handle, 0, device));
            ok((driver.module_load)(&mut module, PTX.as_ptr().cast()));
        }
        Context { handle, module }
    }

    /// Retains the primary context of a device and makes it current.
    pub fn primary(device: c_int) -> Self {
        let (driver, mut handle, mut module) = (started(), null_mut(), null_mut());
        // SAFETY: the out-pointers are valid, and the text is terminated by a NUL.
        unsafe {
            ok((driver.primary_retain)(&mut handle, device));
            ok((driver.ctx_set_current)(handle));
            ok((driver.module_load)(&mut module, PTX.as_ptr().cast()));
        }
        Context { handle, module }
    }

    /// Wraps an existing context and makes it current. It has no kernels.
    pub fn of(handle: Ptr) -> Self {
        let context = Context { handle, module: null_mut() };
        context.make_current();
        context
    }

    pub fn make_current(&self) {
        // SAFETY: the context is alive.
        ok(unsafe { (driver().ctx_set_current)(self.handle) });
    }

    /// Creates a stream. Flags 1: it does not synchronise with the default stream.
    pub fn stream(&self, flags: c_uint) -> Ptr {
        let mut stream = null_mut();
        // SAFETY: `&mut stream` is a valid out-pointer.
        ok(unsafe { (driver().stream_create)(&mut stream, flags, 0) });
        stream
    }

    /// Creates an event without timing.
    pub fn event(&self) -> Ptr {
        let mut event = null_mut();
        // SAFETY: `&mut event` is a valid out-pointer.
        ok(unsafe { (driver().event_create)(&mut event, 2) });
        event
    }

    /// Allocates words that host and device can access. They are 0 and never freed.
    pub fn words(&self, count: usize) -> &'static [AtomicU32] {
        let mut memory = null_mut();
        // SAFETY: the out-pointer is valid. The memory is aligned, has this length, and is never
        // freed.
        unsafe {
            ok((driver().host_alloc)(&mut memory, count * 4, 3));
            std::slice::from_raw_parts(memory.cast::<AtomicU32>(), count)
        }
    }

    pub fn function(&self, name: &CStr) -> Result<Ptr, c_int> {
        let mut function = null_mut();
        // SAFETY: `&mut function` is a valid out-pointer, and the name is terminated by a NUL.
        match unsafe { (driver().module_function)(&mut function, self.module, name.as_ptr()) } {
            0 => Ok(function),
            code => Err(code),
        }
    }

    pub fn launch(&self, name: &CStr, stream: Ptr, parameters: &mut [Ptr]) -> c_int {
        let function = self.function(name).expect("a kernel");
        let all = parameters.as_mut_ptr();
        let none = null_mut();
        // SAFETY: the parameters have the kernel's types.
        unsafe { (driver().launch_kernel)(function, 1, 1, 1, 1, 1, 1, 0, stream, all, none) }
    }

    #[track_caller]
    pub fn store(&self, stream: Ptr, to: &AtomicU32, mut value: u32) {
        let mut to = address(to);
        ok(self.launch(c"store", stream, &mut [(&raw mut to).cast(), (&raw mut value).cast()]));
    }

    #[track_caller]
    pub fn copy(&self, stream: Ptr, to: &AtomicU32, from: &AtomicU32) {
        let (mut to, mut from) = (address(to), address(from));
        ok(self.launch(c"copy", stream, &mut [(&raw mut to).cast(), (&raw mut from).cast()]));
    }

    /// Blocks a stream until `number` is 1.
    #[track_caller]
    pub fn gate(&self, stream: Ptr, number: &AtomicU32) {
        // SAFETY: `number` is never freed.
        ok(unsafe { (driver().stream_wait_value)(stream, address(number), 1, 0) });
    }

    #[track_caller]
    pub fn synchronize(&self, stream: Ptr) {
        // SAFETY: the simulator checks every handle.
        ok(unsafe { (driver().stream_synchronize)(stream) });
    }

    pub fn query(&self, stream: Ptr) -> c_int {
        // SAFETY: the simulator checks the handle.
        unsafe { (driver().stream_query)(stream) }
    }
}

pub fn address(number: &AtomicU32) -> u64 {
    number.as_ptr().expose_provenance() as u64
}

pub fn get(number: &AtomicU32) -> u32 {
    number.load(Ordering::SeqCst)
}

pub fn set(number: &AtomicU32, value: u32) {
    number.store(value, Ordering::SeqCst);
}

/// Returns `true` if the primary context of device 0 is active.
pub fn is_active() -> bool {
    let (mut flags, mut active) = (0, 0);
    // SAFETY: the out-pointers are valid.
    ok(unsafe { (driver().primary_state)(0, &mut flags, &mut active) });
    active != 0
}

/// Resets the primary context of device 0.
pub fn reset() {
    // SAFETY: the simulator checks handles that outlive the context.
    ok(unsafe { (driver().primary_reset)(0) });
}

/// Returns the answers of calls that need a current context. The last one also works with a dead
/// context.
pub fn answers_by_current() -> [c_int; 5] {
    let (mut made, mut device) = (null_mut(), 9);
    // SAFETY: the simulator checks every handle, and the out-pointers are valid.
    let codes = unsafe {
        [
            (driver().event_create)(&mut made, 2),
            (driver().stream_create)(&mut made, 1, 0),
            (driver().stream_query)(null_mut()),
            (driver().stream_query)(std::ptr::without_provenance_mut(2)),
            (driver().ctx_device)(&mut device),
        ]
    };
    assert_eq!(device, 0);
    codes
}

/// The answers of [`answers_by_current`] with a dead current context.
pub const DEAD: [c_int; 5] = [709, 709, 709, 709, 0];

/// The variable that tells a child process which part of the test to run.
const CHILD: &str = "GPU_STREAM_TEST_PART";

pub fn child() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Runs the test `child` of this program in a process of its own, as the part `part`.
pub fn run_child(part: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(CHILD, part);
    command.envs(variables.iter().copied()).output().expect("a second process")
}
