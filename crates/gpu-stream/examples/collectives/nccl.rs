//! The functions of NCCL that the example calls. RCCL, AMD's library, has the same.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicPtr, Ordering};

use gpu_stream::prelude::*;
use libloading::Library;

use crate::device::{DeviceBuffer, Failed, Gpu, load_library};

/// `ncclUint32` and `ncclSum` in `nccl.h`.
const UINT32: c_int = 3;
const SUM: c_int = 0;

type Ptr = *mut c_void;

/// `ncclUniqueId`: what the ranks of one communicator share at the start.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct UniqueId([u8; 128]);

impl UniqueId {
    /// Returns the id in hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    pub fn from_hex(text: &str) -> Result<Self, Failed> {
        let wrong =
            || format!("--id {text}: an id has 256 hexadecimal digits, as rank 0 prints it");
        if text.len() != 256 || !text.is_ascii() {
            return Err(wrong().into());
        }
        let mut id = [0; 128];
        for (byte, at) in id.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(UniqueId(id))
    }
}

/// NCCL, loaded at run time.
pub struct Nccl {
    get_version: unsafe extern "C" fn(*mut c_int) -> c_int,
    get_error_string: unsafe extern "C" fn(c_int) -> *const c_char,
    get_unique_id: unsafe extern "C" fn(*mut UniqueId) -> c_int,
    init_rank: unsafe extern "C" fn(*mut Ptr, c_int, UniqueId, c_int) -> c_int,
    group_start: unsafe extern "C" fn() -> c_int,
    group_end: unsafe extern "C" fn() -> c_int,
    all_reduce: unsafe extern "C" fn(u64, u64, usize, c_int, c_int, Ptr, Ptr) -> c_int,
    destroy: unsafe extern "C" fn(Ptr) -> c_int,
}

impl Nccl {
    /// Loads the library that belongs to the backend `B`. It is never unloaded.
    pub fn load<B: Gpu>() -> Result<&'static Self, Failed> {
        let library: &Library =
            Box::leak(Box::new(load_library::<B>("nccl", "GPU_STREAM_NCCL_LIBRARY")?));
        // SAFETY: the types are those of `nccl.h`.
        unsafe {
            Ok(Box::leak(Box::new(Nccl {
                get_version: *library.get("ncclGetVersion")?,
                get_error_string: *library.get("ncclGetErrorString")?,
                get_unique_id: *library.get("ncclGetUniqueId")?,
                init_rank: *library.get("ncclCommInitRank")?,
                group_start: *library.get("ncclGroupStart")?,
                group_end: *library.get("ncclGroupEnd")?,
                all_reduce: *library.get("ncclAllReduce")?,
                destroy: *library.get("ncclCommDestroy")?,
            })))
        }
    }

    fn check(&self, call: &str, code: c_int) -> Result<(), Failed> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: NCCL returns a text that is never freed, for any code.
        let text = unsafe { CStr::from_ptr((self.get_error_string)(code)) };
        Err(format!("{call}: {} ({code}); NCCL_DEBUG=INFO tells more", text.to_string_lossy())
            .into())
    }

    /// Returns the version, for example `2.27.3`.
    pub fn version(&self) -> Result<String, Failed> {
        let mut number = 0;
        // SAFETY: the out-pointer is valid.
        self.check("ncclGetVersion", unsafe { (self.get_version)(&mut number) })?;
        Ok(format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100))
    }

    /// Creates an id, which all ranks of one communicator must get.
    pub fn unique_id(&self) -> Result<UniqueId, Failed> {
        let mut id = UniqueId([0; 128]);
        // SAFETY: the out-pointer is valid.
        self.check("ncclGetUniqueId", unsafe { (self.get_unique_id)(&mut id) })?;
        Ok(id)
    }

    /// Runs `calls` as one group: NCCL submits them together at the end. One thread that calls for several devices needs
    /// it, because otherwise the first call would wait for the second.
    pub fn group<T>(&self, calls: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
        // SAFETY: the calls have no pointers, and each start has its end.
        self.check("ncclGroupStart", unsafe { (self.group_start)() })?;
        let outcome = calls();
        // SAFETY: the call has no pointers, and the group was started above.
        let ended = self.check("ncclGroupEnd", unsafe { (self.group_end)() });
        outcome.and_then(|value| ended.map(|()| value))
    }
}

/// One rank of a communicator, on the device that was current when it was created.
pub struct Communicator {
    nccl: &'static Nccl,
    /// Never freed: in a group, NCCL writes it at the group's end.
    handle: &'static AtomicPtr<c_void>,
}

impl Communicator {
    /// Joins as `rank` of `ranks`. Blocks until all ranks have called, or, in a group, until its end.
    pub fn new(
        nccl: &'static Nccl,
        ranks: usize,
        id: UniqueId,
        rank: usize,
    ) -> Result<Self, Failed> {
        let handle: &AtomicPtr<c_void> = Box::leak(Box::new(AtomicPtr::default()));
        // SAFETY: the out-pointer is valid for ever.
        let code = unsafe { (nccl.init_rank)(handle.as_ptr(), ranks as c_int, id, rank as c_int) };
        nccl.check("ncclCommInitRank", code)?;
        Ok(Communicator { nccl, handle })
    }

    /// Submits the sum over all ranks of `send` to `stream`. Both buffers must outlive the work.
    pub fn all_reduce<S>(
        &self,
        send: &DeviceBuffer,
        receive: &DeviceBuffer,
        stream: &S,
    ) -> Result<(), Failed>
    where
        S: Stream<Backend: Gpu>,
    {
        let (count, handle) = (send.words.min(receive.words), stream.raw().as_ptr());
        let (send, receive) = (send.address, receive.address);
        let communicator = self.handle.load(Ordering::Relaxed);
        // SAFETY: the communicator and the stream are live, and the buffers have so many numbers.
        let code = unsafe {
            (self.nccl.all_reduce)(send, receive, count, UINT32, SUM, communicator, handle)
        };
        self.nccl.check("ncclAllReduce", code)
    }
}

impl Drop for Communicator {
    fn drop(&mut self) {
        let handle = self.handle.load(Ordering::Relaxed);
        if handle.is_null() {
            return; // the group did not end well
        }
        // SAFETY: the communicator is live, and this is its last use. The caller has waited for its work.
        let code = unsafe { (self.nccl.destroy)(handle) };
        if let Err(error) = self.nccl.check("ncclCommDestroy", code) {
            eprintln!("{error}");
        }
    }
}
