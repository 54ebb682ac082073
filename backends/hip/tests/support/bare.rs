//! The runtime's own calls. Whatever they answer but success is a panic, unless the test asks for
//! the code.

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

/// What older runtimes take instead.
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
            /// A function that the runtime lacks answers that it is not supported.
            fn resolve(library: &Library) -> Self {
                Bare {
                    $($field: {
                        type Function = unsafe extern "C" fn($($argument),*) -> c_int;
                        unsafe extern "C" fn missing($(_: $argument),*) -> c_int {
                            801
                        }
                        // SAFETY: that is the function's signature in `hip_runtime_api.h`; the
                        // library is never closed.
                        let found = unsafe { library.get::<Function>($name) };
                        found.map_or(missing as Function, |found| *found)
                    },)*
                    // SAFETY: as above.
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

pub fn bare() -> &'static Bare {
    static BARE: OnceLock<Bare> = OnceLock::new();
    BARE.get_or_init(|| {
        let name = Hip::probe().expect("a runtime").library.expect("a library");
        // SAFETY: the backend has loaded it by this name, so that its initialisers have run.
        let library =
            Box::leak(Box::new(unsafe { Library::new(&name) }.expect("the runtime's library")));
        Bare::resolve(library)
    })
}

#[track_caller]
pub fn ok(call: &str, code: c_int) {
    assert_eq!(code, 0, "the bare runtime's `{call}`");
}

/// The runtime's version: 70253211 is 7.2.53211.
pub fn version() -> c_int {
    let mut version = 0;
    // SAFETY: a place for the number.
    ok("runtime_version", unsafe { (bare().runtime_version)(&mut version) });
    version
}

/// Whether errors stay in `hipGetLastError` until they are fetched.
pub fn keeps_errors() -> bool {
    !(1_000_000..70_000_000).contains(&version())
}

/// The thread's last error, which stays. Any other call may replace it.
pub fn peek_error() -> c_int {
    // SAFETY: takes nothing.
    unsafe { (bare().peek_error)() }
}

/// The thread's last error, which is then gone.
pub fn fetch_error() -> c_int {
    // SAFETY: takes nothing.
    unsafe { (bare().last_error)() }
}

/// The thread's current device and capture mode.
#[track_caller]
pub fn thread_state() -> (c_int, c_int) {
    let (mut device, mut mode) = (0, 0);
    // SAFETY: places for one device and one mode; the second exchange puts the mode back.
    unsafe {
        ok("get_device", (bare().get_device)(&mut device));
        ok("exchange_capture_mode", (bare().exchange_capture_mode)(&mut mode));
        let found = mode;
        ok("exchange_capture_mode", (bare().exchange_capture_mode)(&mut mode));
        (device, found)
    }
}

/// Makes a device current.
#[track_caller]
pub fn set_device(device: c_int) {
    // SAFETY: takes any number.
    ok("set_device", unsafe { (bare().set_device)(device) });
}

/// Sets the thread's capture mode.
#[track_caller]
pub fn set_capture_mode(mut mode: c_int) {
    // SAFETY: a mode, and a place for the one before.
    ok("exchange_capture_mode", unsafe { (bare().exchange_capture_mode)(&mut mode) });
}

/// A device, current until this is dropped; then what was current before is so again.
pub struct Entered(c_int);

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: takes any number.
        let code = unsafe { (bare().set_device)(self.0) };
        // A second panic would hide the first one.
        if !std::thread::panicking() {
            ok("set_device", code);
        }
    }
}

#[track_caller]
pub fn enter(device: c_int) -> Entered {
    let mut before = 0;
    // SAFETY: a place for one device.
    ok("get_device", unsafe { (bare().get_device)(&mut before) });
    set_device(device);
    Entered(before)
}

/// A stream, never destroyed but by the test itself. Flags 1: it does not synchronise with the
/// default stream.
#[track_caller]
pub fn new_stream(device: c_int, flags: c_uint, priority: c_int) -> Ptr {
    let _current = enter(device);
    let mut stream = std::ptr::null_mut();
    // SAFETY: a place for one stream.
    ok("stream_create", unsafe { (bare().stream_create)(&mut stream, flags, priority) });
    stream
}

#[track_caller]
pub fn synchronize(stream: Ptr) {
    // SAFETY: the tests' streams are alive.
    ok("stream_synchronize", unsafe { (bare().stream_synchronize)(stream) });
}

/// Begins a capture: mode 0 is global, 1 thread-local, 2 relaxed.
#[track_caller]
pub fn begin_capture(stream: Ptr, mode: c_int) {
    // SAFETY: the stream is alive.
    ok("begin_capture", unsafe { (bare().begin_capture)(stream, mode) });
}

/// Numbers in pinned memory that host and device share, all 0, never freed; and as many in the
/// device's memory, for copies: from host to host the runtime copies by the host's hand, and waits.
#[derive(Clone, Copy)]
pub struct Words {
    host: *const AtomicU32,
    between: Ptr,
}

// SAFETY: the memory may be used from any thread, and is never freed.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

#[track_caller]
pub fn words(count: usize) -> Words {
    const PORTABLE_AND_MAPPED: c_uint = 1 | 2;
    let (mut host, mut between) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: places for one pointer each; the memory is as long as what is set.
    unsafe {
        ok("host_alloc", (bare().host_alloc)(&mut host, count * 4, PORTABLE_AND_MAPPED));
        host.cast::<u8>().write_bytes(0, count * 4);
        ok("mem_alloc", (bare().mem_alloc)(&mut between, count * 4));
    }
    Words { host: host.cast(), between }
}

impl Words {
    fn at(self, index: usize) -> &'static AtomicU32 {
        // SAFETY: the tests name numbers that they have, and the memory is never freed.
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

    /// The stream stores the number, with its device current.
    #[track_caller]
    pub fn store(self, stream: Ptr, index: usize, value: u32) {
        // SAFETY: the stream is alive and the memory never freed.
        ok("stream_write_value", unsafe {
            (bare().stream_write_value)(stream, self.address(index), value, 0)
        });
    }

    /// The stream copies one number to the place of another.
    #[track_caller]
    pub fn copy(self, stream: Ptr, to: usize, from: usize) {
        const TO_DEVICE: c_int = 1;
        const TO_HOST: c_int = 2;
        let between = self.between.wrapping_byte_add(from * 4);
        // SAFETY: the stream is alive and the memory never freed.
        unsafe {
            ok(
                "copy_async",
                (bare().copy_async)(between, self.address(from), 4, TO_DEVICE, stream),
            );
            ok("copy_async", (bare().copy_async)(self.address(to), between, 4, TO_HOST, stream));
        }
    }

    /// Holds the stream back until the number is 1.
    #[track_caller]
    pub fn gate(self, stream: Ptr, index: usize) -> Gate {
        self.set(index, 0);
        const EQUAL: c_uint = 1;
        // SAFETY: the stream is alive and the memory never freed.
        ok("stream_wait_value", unsafe {
            (bare().stream_wait_value)(stream, self.address(index), 1, EQUAL, u32::MAX)
        });
        Gate(self.at(index))
    }
}

/// Holds the stream back until it is opened or dropped.
#[track_caller]
pub fn gate(stream: Ptr) -> Gate {
    words(1).gate(stream, 0)
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
