//! The runtime's own functions. Any code but success panics, unless the test handles the code.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream_core::Backend;
use gpu_stream_hip::Hip;
use libloading::Library;

/// Any handle.
pub type Ptr = *mut c_void;

/// A host function.
pub type HostFn = unsafe extern "C" fn(*mut c_void);

/// A callback, which older runtimes take instead of a host function.
pub type Callback = unsafe extern "C" fn(Ptr, c_int, *mut c_void);

macro_rules! functions {
    (
        required { $($field:ident = $name:literal ($($argument:ty),*);)* }
        optional { $($optional:ident = $optional_name:literal ($($of_optional:ty),*);)* }
    ) => {
        pub struct Bare {
            $(pub $field: unsafe extern "C" fn($($argument),*) -> c_int,)*
            $(pub $optional: Option<unsafe extern "C" fn($($of_optional),*) -> c_int>,)*
        }

        impl Bare {
            /// Resolves all functions. A function that the runtime lacks returns "not supported".
            fn resolve(library: &Library) -> Self {
                Bare {
                    $($field: {
                        type Function = unsafe extern "C" fn($($argument),*) -> c_int;
                        unsafe extern "C" fn missing($(_: $argument),*) -> c_int {
                            801
                        }
                        // SAFETY: this is the function's signature in `hip_runtime_api.h`, and the
                        // library is never closed.
                        let found = unsafe { library.get::<Function>($name) };
                        found.map_or(missing as Function, |found| *found)
                    },)*
                    // SAFETY: these are the functions' signatures in `hip_runtime_api.h`, and the
                    // library is never closed.
                    $($optional: unsafe { library.get($optional_name) }.ok().map(|found| *found),)*
                }
            }
        }
    };
}

functions! {
    required {
        get_device = "hipGetDevice" (*mut c_int);
        device_reset = "hipDeviceReset" ();
        set_device = "hipSetDevice" (c_int);
        device_count = "hipGetDeviceCount" (*mut c_int);
        device_get = "hipDeviceGet" (*mut c_int, c_int);
        device_name = "hipDeviceGetName" (*mut c_char, c_int, c_int);
        device_priorities = "hipDeviceGetStreamPriorityRange" (*mut c_int, *mut c_int);
        runtime_version = "hipRuntimeGetVersion" (*mut c_int);
        last_error = "hipGetLastError" ();
        peek_error = "hipPeekAtLastError" ();
        stream_create = "hipStreamCreateWithPriority" (*mut Ptr, c_uint, c_int);
        stream_destroy = "hipStreamDestroy" (Ptr);
        stream_priority = "hipStreamGetPriority" (Ptr, *mut c_int);
        stream_query = "hipStreamQuery" (Ptr);
        stream_synchronize = "hipStreamSynchronize" (Ptr);
        stream_wait_value = "hipStreamWaitValue32" (Ptr, Ptr, u32, c_uint, u32);
        stream_write_value = "hipStreamWriteValue32" (Ptr, Ptr, u32, c_uint);
        stream_wait_event = "hipStreamWaitEvent" (Ptr, Ptr, c_uint);
        add_callback = "hipStreamAddCallback" (Ptr, Callback, *mut c_void, c_uint);
        event_create = "hipEventCreateWithFlags" (*mut Ptr, c_uint);
        event_destroy = "hipEventDestroy" (Ptr);
        event_record = "hipEventRecord" (Ptr, Ptr);
        event_query = "hipEventQuery" (Ptr);
        event_synchronize = "hipEventSynchronize" (Ptr);
        event_elapsed = "hipEventElapsedTime" (*mut f32, Ptr, Ptr);
        host_alloc = "hipHostMalloc" (*mut Ptr, usize, c_uint);
        mem_alloc = "hipMalloc" (*mut Ptr, usize);
        mem_free = "hipFree" (Ptr);
        memset_words = "hipMemsetD32Async" (Ptr, c_int, usize, Ptr);
        copy_async = "hipMemcpyAsync" (Ptr, *const c_void, usize, c_int, Ptr);
        begin_capture = "hipStreamBeginCapture" (Ptr, c_int);
        end_capture = "hipStreamEndCapture" (Ptr, *mut Ptr);
        capture_status = "hipStreamIsCapturing" (Ptr, *mut c_int);
        exchange_capture_mode = "hipThreadExchangeStreamCaptureMode" (*mut c_int);
        capture_info = "hipStreamGetCaptureInfo_v2"
            (Ptr, *mut c_int, *mut u64, *mut Ptr, *mut *const Ptr, *mut usize);
        graph_instantiate = "hipGraphInstantiate" (*mut Ptr, Ptr, *mut Ptr, *mut c_char, usize);
        graph_launch = "hipGraphLaunch" (Ptr, Ptr);
        graph_destroy = "hipGraphDestroy" (Ptr);
        graph_exec_destroy = "hipGraphExecDestroy" (Ptr);
    }
    optional {
        stream_device = "hipStreamGetDevice" (Ptr, *mut c_int);
        stream_id = "hipStreamGetId" (Ptr, *mut u64);
        launch_host_func = "hipLaunchHostFunc" (Ptr, HostFn, *mut c_void);
    }
}

/// Returns the functions of the runtime that the backend uses.
pub fn bare() -> &'static Bare {
    static BARE: OnceLock<Bare> = OnceLock::new();
    BARE.get_or_init(|| {
        let name = Hip::probe().expect("a runtime").library.expect("a library");
        // SAFETY: the backend has loaded the library by this name, so its initializers have run.
        let library =
            Box::leak(Box::new(unsafe { Library::new(&name) }.expect("the runtime's library")));
        Bare::resolve(library)
    })
}

/// Panics if `code` is not success.
#[track_caller]
pub fn ok(call: &str, code: c_int) {
    assert_eq!(code, 0, "the bare runtime's `{call}`");
}

/// Returns the runtime's version: 70253211 is 7.2.53211.
pub fn version() -> c_int {
    let mut version = 0;
    // SAFETY: `&mut version` is a valid out-pointer.
    ok("runtime_version", unsafe { (bare().runtime_version)(&mut version) });
    version
}

/// Returns `true` if errors stay in `hipGetLastError` until they are fetched.
pub fn keeps_errors() -> bool {
    !(1_000_000..70_000_000).contains(&version())
}

/// Returns the thread's last error without clearing it. Any other call may replace it.
pub fn peek_error() -> c_int {
    // SAFETY: the function takes no arguments.
    unsafe { (bare().peek_error)() }
}

/// Returns the thread's last error and clears it.
pub fn fetch_error() -> c_int {
    // SAFETY: the function takes no arguments.
    unsafe { (bare().last_error)() }
}

/// Returns the thread's current device and capture mode.
#[track_caller]
pub fn thread_state() -> (c_int, c_int) {
    let (mut device, mut mode) = (0, 0);
    // SAFETY: both are valid out-pointers. The second exchange restores the mode.
    unsafe {
        ok("get_device", (bare().get_device)(&mut device));
        ok("exchange_capture_mode", (bare().exchange_capture_mode)(&mut mode));
        let previous = mode;
        ok("exchange_capture_mode", (bare().exchange_capture_mode)(&mut mode));
        (device, previous)
    }
}

/// Makes a device current.
#[track_caller]
pub fn set_device(device: c_int) {
    // SAFETY: the function accepts any number.
    ok("set_device", unsafe { (bare().set_device)(device) });
}

/// Sets the thread's capture mode.
#[track_caller]
pub fn set_capture_mode(mut mode: c_int) {
    // SAFETY: `&mut mode` is a valid pointer to a valid mode.
    ok("exchange_capture_mode", unsafe { (bare().exchange_capture_mode)(&mut mode) });
}

/// A device that is current until this is dropped. The drop makes the previous one current again.
pub struct Entered(c_int);

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: the function accepts any number.
        let code = unsafe { (bare().set_device)(self.0) };
        // A second panic would abort the process and hide the first one.
        if !std::thread::panicking() {
            ok("set_device", code);
        }
    }
}

/// Makes a device current until the result is dropped.
#[track_caller]
pub fn enter(device: c_int) -> Entered {
    let mut before = 0;
    // SAFETY: `&mut before` is a valid out-pointer.
    ok("get_device", unsafe { (bare().get_device)(&mut before) });
    set_device(device);
    Entered(before)
}

/// Creates a stream, which only the test itself destroys. Flags 1: it does not synchronize with the
/// default stream.
#[track_caller]
pub fn new_stream(device: c_int, flags: c_uint, priority: c_int) -> Ptr {
    let _current = enter(device);
    let mut stream = std::ptr::null_mut();
    // SAFETY: `&mut stream` is a valid out-pointer.
    ok("stream_create", unsafe { (bare().stream_create)(&mut stream, flags, priority) });
    stream
}

/// Creates an event on the current device, which only the test itself destroys. Flags 2: without timing.
#[track_caller]
pub fn new_event(flags: c_uint) -> Ptr {
    let mut event = std::ptr::null_mut();
    // SAFETY: `&mut event` is a valid out-pointer.
    ok("event_create", unsafe { (bare().event_create)(&mut event, flags) });
    event
}

/// Records an event on a stream of its device.
#[track_caller]
pub fn record(event: Ptr, stream: Ptr) {
    // SAFETY: the tests' events and streams are alive.
    ok("event_record", unsafe { (bare().event_record)(event, stream) });
}

/// Waits for all work of a stream.
#[track_caller]
pub fn synchronize(stream: Ptr) {
    // SAFETY: the tests' streams are alive.
    ok("stream_synchronize", unsafe { (bare().stream_synchronize)(stream) });
}

/// Begins a capture: mode 0 is global, 1 thread-local, 2 relaxed.
#[track_caller]
pub fn begin_capture(stream: Ptr, mode: c_int) {
    // SAFETY: the tests' streams are alive.
    ok("begin_capture", unsafe { (bare().begin_capture)(stream, mode) });
}

/// Numbers in pinned memory that host and device share, all 0, never freed. As many numbers in the
/// device's memory serve copies: the runtime makes a copy from host to host on the host, and waits for
/// it.
#[derive(Clone, Copy)]
pub struct Words {
    host: *const AtomicU32,
    between: Ptr,
}

// SAFETY: the memory is valid on any thread, and never freed.
unsafe impl Send for Words {}
// SAFETY: the memory is valid on any thread, and never freed.
unsafe impl Sync for Words {}

/// Allocates `count` numbers, all 0.
#[track_caller]
pub fn words(count: usize) -> Words {
    const PORTABLE_AND_MAPPED: c_uint = 1 | 2;
    let (mut host, mut between) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: both are valid out-pointers. The host's memory is as long as the range that is set.
    unsafe {
        ok("host_alloc", (bare().host_alloc)(&mut host, count * 4, PORTABLE_AND_MAPPED));
        host.cast::<u8>().write_bytes(0, count * 4);
        ok("mem_alloc", (bare().mem_alloc)(&mut between, count * 4));
    }
    Words { host: host.cast(), between }
}

impl Words {
    fn at(self, index: usize) -> &'static AtomicU32 {
        // SAFETY: the tests pass indices below the count, and the memory is never freed.
        unsafe { &*self.host.add(index) }
    }

    pub fn get(self, index: usize) -> u32 {
        self.at(index).load(Ordering::SeqCst)
    }

    pub fn set(self, index: usize, value: u32) {
        self.at(index).store(value, Ordering::SeqCst);
    }

    fn address(self, index: usize) -> Ptr {
        std::ptr::from_ref(self.at(index)).cast_mut().cast()
    }

    /// Makes the stream store the number. The stream's device must be current.
    #[track_caller]
    pub fn store(self, stream: Ptr, index: usize, value: u32) {
        // SAFETY: the stream is alive, and the memory is never freed.
        ok("stream_write_value", unsafe {
            (bare().stream_write_value)(stream, self.address(index), value, 0)
        });
    }

    /// Makes the stream copy the number at `from` to `to`.
    #[track_caller]
    pub fn copy(self, stream: Ptr, to: usize, from: usize) {
        const TO_DEVICE: c_int = 1;
        const TO_HOST: c_int = 2;
        let between = self.between.wrapping_byte_add(from * 4);
        // SAFETY: the stream is alive, and the memory is never freed.
        unsafe {
            ok(
                "copy_async",
                (bare().copy_async)(between, self.address(from), 4, TO_DEVICE, stream),
            );
            ok("copy_async", (bare().copy_async)(self.address(to), between, 4, TO_HOST, stream));
        }
    }

    /// Blocks the stream until the number is 1.
    #[track_caller]
    pub fn gate(self, stream: Ptr, index: usize) -> Gate {
        self.set(index, 0);
        const EQUAL: c_uint = 1;
        // SAFETY: the stream is alive, and the memory is never freed.
        ok("stream_wait_value", unsafe {
            (bare().stream_wait_value)(stream, self.address(index), 1, EQUAL, u32::MAX)
        });
        Gate(self.at(index))
    }
}

/// Blocks the stream until the gate is opened or dropped.
#[track_caller]
pub fn gate(stream: Ptr) -> Gate {
    words(1).gate(stream, 0)
}

/// A gate that blocks a stream. The drop opens it.
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
