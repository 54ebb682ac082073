//! The driver's own functions. Any code but success panics, unless the test asks for the code.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream_core::Backend;
use gpu_stream_cuda::Cuda;
use libloading::Library;

/// Any handle.
pub type Ptr = *mut c_void;

/// A host function.
pub type HostFn = unsafe extern "C" fn(*mut c_void);

macro_rules! functions {
    ($($field:ident = $name:literal ($($argument:ty),*);)*) => {
        pub struct Bare {
            $(pub $field: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Bare {
            /// Resolves all functions. A function that the driver lacks returns "not supported".
            fn resolve(library: &Library) -> Self {
                Bare { $($field: {
                    type Function = unsafe extern "C" fn($($argument),*) -> c_int;
                    unsafe extern "C" fn missing($(_: $argument),*) -> c_int {
                        801
                    }
                    // SAFETY: this is the function's signature in `cuda.h`, and the library is never
                    // closed.
                    let found = unsafe { library.get::<Function>($name) };
                    found.map_or(missing as Function, |found| *found)
                },)* }
            }
        }
    };
}

functions! {
    init = "cuInit" (c_uint);
    device_count = "cuDeviceGetCount" (*mut c_int);
    device_name = "cuDeviceGetName" (*mut c_char, c_int, c_int);
    device_get = "cuDeviceGet" (*mut c_int, c_int);
    primary_retain = "cuDevicePrimaryCtxRetain" (*mut Ptr, c_int);
    primary_state = "cuDevicePrimaryCtxGetState" (c_int, *mut c_uint, *mut c_int);
    ctx_device = "cuCtxGetDevice" (*mut c_int);
    ctx_priorities = "cuCtxGetStreamPriorityRange" (*mut c_int, *mut c_int);
    ctx_create = "cuCtxCreate_v2" (*mut Ptr, c_uint, c_int);
    ctx_current = "cuCtxGetCurrent" (*mut Ptr);
    ctx_set_current = "cuCtxSetCurrent" (Ptr);
    ctx_push = "cuCtxPushCurrent_v2" (Ptr);
    ctx_pop = "cuCtxPopCurrent_v2" (*mut Ptr);
    exchange_capture_mode = "cuThreadExchangeStreamCaptureMode" (*mut c_int);
    mem_alloc = "cuMemAlloc_v2" (*mut u64, usize);
    mem_free = "cuMemFree_v2" (u64);
    host_alloc = "cuMemHostAlloc" (*mut Ptr, usize, c_uint);
    copy_to_host = "cuMemcpyDtoH_v2" (Ptr, u64, usize);
    memset = "cuMemsetD32_v2" (u64, c_uint, usize);
    module_load = "cuModuleLoadData" (*mut Ptr, *const c_void);
    module_function = "cuModuleGetFunction" (*mut Ptr, Ptr, *const c_char);
    launch_kernel = "cuLaunchKernel"
        (Ptr, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Ptr, *mut Ptr, *mut Ptr);
    stream_create = "cuStreamCreateWithPriority" (*mut Ptr, c_uint, c_int);
    stream_destroy = "cuStreamDestroy_v2" (Ptr);
    stream_context = "cuStreamGetCtx" (Ptr, *mut Ptr);
    stream_id = "cuStreamGetId" (Ptr, *mut u64);
    stream_priority = "cuStreamGetPriority" (Ptr, *mut c_int);
    stream_query = "cuStreamQuery" (Ptr);
    stream_synchronize = "cuStreamSynchronize" (Ptr);
    stream_wait_value = "cuStreamWaitValue32_v2" (Ptr, u64, u32, c_uint);
    event_create = "cuEventCreate" (*mut Ptr, c_uint);
    event_destroy = "cuEventDestroy_v2" (Ptr);
    event_synchronize = "cuEventSynchronize" (Ptr);
    event_elapsed = "cuEventElapsedTime" (*mut f32, Ptr, Ptr);
    launch_host_func = "cuLaunchHostFunc" (Ptr, HostFn, Ptr);
    capture_info = "cuStreamGetCaptureInfo_v2"
        (Ptr, *mut c_int, *mut u64, *mut Ptr, *mut *const Ptr, *mut usize);
    event_record = "cuEventRecord" (Ptr, Ptr);
    event_query = "cuEventQuery" (Ptr);
    stream_wait_event = "cuStreamWaitEvent" (Ptr, Ptr, c_uint);
    begin_capture = "cuStreamBeginCapture_v2" (Ptr, c_int);
    end_capture = "cuStreamEndCapture" (Ptr, *mut Ptr);
    capture_status = "cuStreamIsCapturing" (Ptr, *mut c_int);
    graph_instantiate = "cuGraphInstantiateWithFlags" (*mut Ptr, Ptr, u64);
    graph_launch = "cuGraphLaunch" (Ptr, Ptr);
    graph_destroy = "cuGraphDestroy" (Ptr);
    graph_exec_destroy = "cuGraphExecDestroy" (Ptr);
}

pub fn bare() -> &'static Bare {
    static BARE: OnceLock<Bare> = OnceLock::new();
    BARE.get_or_init(|| {
        let name = Cuda::probe().expect("a driver").library.expect("a library");
        // SAFETY: the backend has loaded the library by this name, so its initializers have run.
        let library =
            Box::leak(Box::new(unsafe { Library::new(&name) }.expect("the driver's library")));
        Bare::resolve(library)
    })
}

#[track_caller]
pub fn ok(call: &str, code: c_int) {
    assert_eq!(code, 0, "the bare driver's `{call}`");
}

/// Returns the thread's current context and capture mode.
#[track_caller]
pub fn thread_state() -> (usize, c_int) {
    let (mut context, mut mode) = (std::ptr::null_mut(), 0);
    // SAFETY: the out-pointers are valid. The second exchange restores the mode.
    unsafe {
        ok("ctx_current", (bare().ctx_current)(&mut context));
        ok("exchange_capture_mode", (bare().exchange_capture_mode)(&mut mode));
        let found = mode;
        ok("exchange_capture_mode", (bare().exchange_capture_mode)(&mut mode));
        (context.addr(), found)
    }
}

/// Makes a context current, or none.
#[track_caller]
pub fn set_current(context: Ptr) {
    // SAFETY: the tests' contexts live as long as the process.
    ok("ctx_set_current", unsafe { (bare().ctx_set_current)(context) });
}

/// Sets the thread's capture mode.
#[track_caller]
pub fn set_capture_mode(mut mode: c_int) {
    // SAFETY: `&mut mode` is a valid pointer to a valid mode.
    ok("exchange_capture_mode", unsafe { (bare().exchange_capture_mode)(&mut mode) });
}

/// A context that is current until this is dropped. The drop makes the previous one current again.
pub struct Entered(Ptr);

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: the tests' contexts live as long as the process.
        let code = unsafe { (bare().ctx_set_current)(self.0) };
        // A second panic would abort the process and hide the first one.
        if !std::thread::panicking() {
            ok("ctx_set_current", code);
        }
    }
}

#[track_caller]
pub fn enter(context: Ptr) -> Entered {
    let mut before = std::ptr::null_mut();
    // SAFETY: the out-pointer is valid.
    ok("ctx_current", unsafe { (bare().ctx_current)(&mut before) });
    set_current(context);
    Entered(before)
}

/// A context of the first device, with kernels in it.
pub struct Space {
    pub context: Ptr,
    slow_store: Ptr,
    copy: Ptr,
}

// SAFETY: the driver accepts contexts and functions on any thread.
unsafe impl Send for Space {}
// SAFETY: the driver accepts contexts and functions on any thread.
unsafe impl Sync for Space {}

/// The kernels. `slow_store` spins for `turns` thousand cycles of the GPU before it stores: at 2 GHz, half
/// a microsecond each.
pub const PTX: &CStr = c"
.version 6.0
.target sm_50
.address_size 64

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
";

impl Space {
    /// Returns the primary context of the first device.
    pub fn primary() -> &'static Space {
        static SPACE: OnceLock<Space> = OnceLock::new();
        SPACE.get_or_init(|| Space::of(primary_context()))
    }

    /// Returns another context of the first device.
    pub fn second() -> &'static Space {
        static SPACE: OnceLock<Space> = OnceLock::new();
        SPACE.get_or_init(|| Space::of(new_context()))
    }

    fn of(context: Ptr) -> Space {
        let _current = enter(context);
        let mut module = std::ptr::null_mut();
        let function = |module: Ptr, name: &CStr| {
            let mut function = std::ptr::null_mut();
            // SAFETY: the out-pointer is valid, and the name ends with a NUL.
            ok("module_function", unsafe {
                (bare().module_function)(&mut function, module, name.as_ptr())
            });
            function
        };
        // SAFETY: the out-pointer is valid, and the text ends with a NUL.
        ok("module_load", unsafe { (bare().module_load)(&mut module, PTX.as_ptr().cast()) });
        let (slow_store, copy) = (function(module, c"slow_store"), function(module, c"copy"));
        let space = Space { context, slow_store, copy };
        // The driver loads a kernel at its first launch, which may wait for running work.
        let (stream, words) = (space.stream(1, 0), space.words(2));
        space.slow_store(stream, words, 1, 1);
        space.copy(stream, words + 4, words);
        space.synchronize(stream);
        assert_eq!(space.read(words + 4, 1), [1], "the tests' kernels");
        space
    }

    /// Creates a stream that is never destroyed. Flags 1: it does not synchronize with the default stream.
    #[track_caller]
    pub fn stream(&self, flags: c_uint, priority: c_int) -> Ptr {
        new_stream(self.context, flags, priority)
    }

    /// Allocates `count` numbers in the device's memory, all 0, never freed.
    #[track_caller]
    pub fn words(&self, count: usize) -> u64 {
        let _current = enter(self.context);
        let mut address = 0;
        // SAFETY: the out-pointer is valid, and the memory is as long as the range that is set.
        unsafe {
            ok("mem_alloc", (bare().mem_alloc)(&mut address, count * 4));
            ok("memset", (bare().memset)(address, 0, count));
        }
        // The call is work of the default stream, which the tests' streams do not synchronize with. Without
        // a wait it could run after their first stores.
        self.synchronize(std::ptr::null_mut());
        address
    }

    #[track_caller]
    pub fn clear(&self, address: u64, count: usize) {
        let _current = enter(self.context);
        // SAFETY: the tests pass addresses of their own memory.
        ok("memset", unsafe { (bare().memset)(address, 0, count) });
        self.synchronize(std::ptr::null_mut());
    }

    #[track_caller]
    pub fn read(&self, address: u64, count: usize) -> Vec<u32> {
        let _current = enter(self.context);
        let mut numbers = vec![0_u32; count];
        // SAFETY: the tests pass addresses of their own memory, and the buffer has room for it.
        ok("copy_to_host", unsafe {
            (bare().copy_to_host)(numbers.as_mut_ptr().cast(), address, count * 4)
        });
        numbers
    }

    #[track_caller]
    pub fn slow_store(&self, stream: Ptr, mut to: u64, mut value: u32, mut turns: u32) {
        let mut parameters =
            [(&raw mut to).cast(), (&raw mut value).cast(), (&raw mut turns).cast()];
        self.launch(self.slow_store, stream, &mut parameters);
    }

    #[track_caller]
    pub fn copy(&self, stream: Ptr, mut to: u64, mut from: u64) {
        self.launch(self.copy, stream, &mut [(&raw mut to).cast(), (&raw mut from).cast()]);
    }

    #[track_caller]
    fn launch(&self, function: Ptr, stream: Ptr, parameters: &mut [Ptr]) {
        let _current = enter(self.context);
        let none = std::ptr::null_mut();
        // SAFETY: the parameters match the kernel's. The launch has one block of one thread.
        ok("launch_kernel", unsafe {
            (bare().launch_kernel)(
                function,
                1,
                1,
                1,
                1,
                1,
                1,
                0,
                stream,
                parameters.as_mut_ptr(),
                none,
            )
        });
    }

    #[track_caller]
    pub fn synchronize(&self, stream: Ptr) {
        let _current = enter(self.context);
        // SAFETY: the tests' streams are never destroyed.
        ok("stream_synchronize", unsafe { (bare().stream_synchronize)(stream) });
    }

    /// Blocks the stream until the number is 1.
    #[track_caller]
    pub fn gate(&self, stream: Ptr) -> Gate {
        let _current = enter(self.context);
        let mut memory = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid. The memory is pinned for all contexts, with the same address on
        // host and device.
        ok("host_alloc", unsafe { (bare().host_alloc)(&mut memory, 4, 1 | 2) });
        // SAFETY: the memory is aligned, long enough, and never freed.
        let number = unsafe { AtomicU32::from_ptr(memory.cast()) };
        number.store(0, Ordering::SeqCst);
        let address = memory.expose_provenance() as u64;
        // SAFETY: the stream is alive, and the memory is never freed. Flags 0: waits for a value of at
        // least 1.
        ok("stream_wait_value", unsafe { (bare().stream_wait_value)(stream, address, 1, 0) });
        Gate(number)
    }
}

pub struct Gate(&'static AtomicU32);

impl Gate {
    pub fn open(&self) {
        self.0.store(1, Ordering::SeqCst);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

/// Returns the primary context of the first device.
#[track_caller]
pub fn primary_context() -> Ptr {
    let mut context = std::ptr::null_mut();
    // SAFETY: the out-pointer is valid.
    ok("primary_retain", unsafe { (bare().primary_retain)(&mut context, first_device()) });
    context
}

/// Creates another context of the first device. Does not leave it current.
#[track_caller]
pub fn new_context() -> Ptr {
    let mut before = std::ptr::null_mut();
    let mut context = std::ptr::null_mut();
    let mut popped = std::ptr::null_mut();
    // SAFETY: the out-pointers are valid. The new context is pushed, and popped again.
    unsafe {
        ok("ctx_current", (bare().ctx_current)(&mut before));
        ok("ctx_create", (bare().ctx_create)(&mut context, 0, first_device()));
        ok("ctx_pop", (bare().ctx_pop)(&mut popped));
        let mut now = std::ptr::null_mut();
        ok("ctx_current", (bare().ctx_current)(&mut now));
        assert_eq!((popped, now), (context, before));
    }
    context
}

/// Creates a stream of the context, which is never destroyed. Flags 1: it does not synchronize with the
/// default stream.
#[track_caller]
pub fn new_stream(context: Ptr, flags: c_uint, priority: c_int) -> Ptr {
    let _current = enter(context);
    let mut stream = std::ptr::null_mut();
    // SAFETY: the out-pointer is valid.
    ok("stream_create", unsafe { (bare().stream_create)(&mut stream, flags, priority) });
    stream
}

fn first_device() -> c_int {
    let mut device = 0;
    // SAFETY: the out-pointer is valid.
    ok("device_get", unsafe { (bare().device_get)(&mut device, 0) });
    device
}

/// Begins a capture on a stream of the primary context: mode 0 is global, 1 thread-local, 2 relaxed.
#[track_caller]
pub fn begin_capture(stream: Ptr, mode: c_int) {
    let _current = enter(primary_context());
    // SAFETY: the stream is alive.
    ok("begin_capture", unsafe { (bare().begin_capture)(stream, mode) });
}
