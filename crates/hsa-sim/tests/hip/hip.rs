//! The HIP functions that the cases need.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr;

/// The library's names, newest first.
const NAMES: [&CStr; 3] = [c"libamdhip64.so.7", c"libamdhip64.so.6", c"libamdhip64.so.5"];

pub type Stream = *mut c_void;
pub type Event = *mut c_void;

pub const NOT_READY: c_int = 600;
pub const NO_DEVICE: [c_int; 2] = [100, 101];

/// Kinds of a copy.
pub const HOST_TO_DEVICE: c_int = 1;
pub const DEVICE_TO_HOST: c_int = 2;
pub const DEVICE_TO_DEVICE: c_int = 3;

/// Loads the simulator and then the HIP library, once. Returns a reason if that fails.
pub fn library() -> Result<*mut c_void, String> {
    hsa_sim::preload()?;
    let open = |name: &CStr| {
        // SAFETY: the name is a C string. AMD's library can be loaded at any time.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        (!library.is_null()).then_some(library)
    };
    let found = match std::env::var("GPU_STREAM_HIP_LIBRARY") {
        Ok(name) => open(&CString::new(name).map_err(|error| error.to_string())?),
        Err(_) => NAMES.into_iter().find_map(open),
    };
    found.ok_or_else(|| {
        "there is no libamdhip64 on this system (on Debian: apt-get install libamdhip64-5)".into()
    })
}

macro_rules! functions {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {
        /// The HIP library, with methods that assert success.
        #[allow(non_snake_case, reason = "HIP's names")]
        pub struct Hip {
            $(pub $name: unsafe extern "C" fn($($ty),*) -> c_int,)*
        }

        impl Hip {
            /// Loads the library and resolves the functions.
            pub fn load() -> Hip {
                let library = library().expect("HIP, as the parent found it");
                let find = |name: &CStr| {
                    // SAFETY: `library` is an open library, and the name is a C string.
                    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
                    assert!(!found.is_null(), "{name:?} is missing");
                    found
                };
                Hip {
                    $(
                        // SAFETY: HIP's function of this name has this type in all versions.
                        $name: unsafe {
                            let name = concat!(stringify!($name), "\0");
                            let name = CStr::from_bytes_with_nul(name.as_bytes()).unwrap();
                            std::mem::transmute::<
                                *mut c_void,
                                unsafe extern "C" fn($($ty),*) -> c_int,
                            >(find(name))
                        },
                    )*
                }
            }
        }
    };
}

functions! {
    hipInit(flags: c_uint);
    hipGetDeviceCount(count: *mut c_int);
    hipDeviceGetName(name: *mut c_char, length: c_int, device: c_int);
    hipSetDevice(device: c_int);
    hipStreamCreateWithFlags(stream: *mut Stream, flags: c_uint);
    hipStreamDestroy(stream: Stream);
    hipStreamQuery(stream: Stream);
    hipStreamSynchronize(stream: Stream);
    hipStreamWaitEvent(stream: Stream, event: Event, flags: c_uint);
    hipStreamAddCallback(
        stream: Stream, callback: unsafe extern "C" fn(Stream, c_int, *mut c_void),
        data: *mut c_void, flags: c_uint
    );
    hipStreamWriteValue32(stream: Stream, at: *mut c_void, value: u32, flags: c_uint);
    hipStreamWriteValue64(stream: Stream, at: *mut c_void, value: u64, flags: c_uint);
    hipStreamWaitValue32(stream: Stream, at: *mut c_void, value: u32, flags: c_uint, mask: u32);
    hipEventCreateWithFlags(event: *mut Event, flags: c_uint);
    hipEventRecord(event: Event, stream: Stream);
    hipEventQuery(event: Event);
    hipEventSynchronize(event: Event);
    hipEventElapsedTime(milliseconds: *mut f32, start: Event, end: Event);
    hipEventDestroy(event: Event);
    hipMalloc(pointer: *mut *mut c_void, bytes: usize);
    hipFree(pointer: *mut c_void);
    hipMallocAsync(pointer: *mut *mut c_void, bytes: usize, stream: Stream);
    hipFreeAsync(pointer: *mut c_void, stream: Stream);
    hipHostMalloc(pointer: *mut *mut c_void, bytes: usize, flags: c_uint);
    hipMemsetAsync(at: *mut c_void, value: c_int, bytes: usize, stream: Stream);
    hipMemsetD32Async(at: *mut c_void, value: c_int, count: usize, stream: Stream);
    hipMemset2DAsync(
        at: *mut c_void, pitch: usize, value: c_int, width: usize, height: usize, stream: Stream
    );
    hipMemcpyAsync(
        to: *mut c_void, from: *const c_void, bytes: usize, kind: c_int, stream: Stream
    );
    hipMemcpy2DAsync(
        to: *mut c_void, to_pitch: usize, from: *const c_void, from_pitch: usize, width: usize,
        height: usize, kind: c_int, stream: Stream
    );
    hipMemcpyPeerAsync(
        to: *mut c_void, to_device: c_int, from: *const c_void, from_device: c_int, bytes: usize,
        stream: Stream
    );
}

/// Calls a function of HIP and asserts success.
macro_rules! call {
    ($hip:ident . $name:ident ( $($arg:expr),* $(,)? )) => {{
        // SAFETY: the case passes live handles, and pointers to memory that outlives the work.
        let code = unsafe { ($hip.$name)($($arg),*) };
        assert_eq!(code, 0, concat!(stringify!($name), " answered {}"), code);
    }};
}
pub(crate) use call;

impl Hip {
    /// Creates a stream that does not synchronise with the default stream.
    pub fn stream(&self) -> Stream {
        let mut stream = ptr::null_mut();
        call!(self.hipStreamCreateWithFlags(&mut stream, 1));
        stream
    }

    /// Creates an event, with or without timing.
    pub fn event(&self, timing: bool) -> Event {
        let mut event = ptr::null_mut();
        call!(self.hipEventCreateWithFlags(&mut event, if timing { 0 } else { 2 }));
        event
    }

    /// Allocates zeroed memory of the current device.
    pub fn device_bytes(&self, bytes: usize) -> *mut u8 {
        let mut at = ptr::null_mut();
        call!(self.hipMalloc(&mut at, bytes));
        at.cast()
    }

    /// Allocates zeroed pinned host memory.
    pub fn pinned_bytes(&self, bytes: usize) -> *mut u8 {
        let mut at = ptr::null_mut();
        call!(self.hipHostMalloc(&mut at, bytes, 0));
        // SAFETY: the memory was allocated with this length.
        unsafe { at.cast::<u8>().write_bytes(0, bytes) };
        at.cast()
    }
}
