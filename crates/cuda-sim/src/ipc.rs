//! Interprocess events: two counters in a shared memory file that every process with the event
//! maps. They count the records that were made and the records that were reached.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::{Ptr, exports, write_out};
use crate::codes::Code;
use crate::copies;
use crate::state::state;

/// `CUipcEventHandle`, which is passed by value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IpcHandle {
    reserved: [u8; 64],
}

/// The prefix of the simulator's handles. The process, the event's number and the copy follow.
const MAGIC: [u8; 16] = *b"cuda-sim ipcevnt";

struct EventName {
    process: u32,
    /// The number of the library's copy in that process.
    copy: u32,
    number: u64,
}

impl EventName {
    fn path(&self) -> String {
        format!("/dev/shm/gpu-stream-cuda-sim-{}-{}-{}", self.process, self.copy, self.number)
    }

    fn to_handle(&self) -> IpcHandle {
        let mut reserved = [0; 64];
        reserved[..16].copy_from_slice(&MAGIC);
        reserved[16..20].copy_from_slice(&self.process.to_le_bytes());
        reserved[20..28].copy_from_slice(&self.number.to_le_bytes());
        reserved[28..32].copy_from_slice(&self.copy.to_le_bytes());
        IpcHandle { reserved }
    }

    fn of_handle(handle: IpcHandle) -> Option<Self> {
        let rest = handle.reserved.strip_prefix(&MAGIC)?;
        let process = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?);
        let number = u64::from_le_bytes(rest.get(4..12)?.try_into().ok()?);
        let copy = u32::from_le_bytes(rest.get(12..16)?.try_into().ok()?);
        Some(EventName { process, copy, number })
    }
}

#[repr(C)]
struct RecordCounters {
    made: AtomicU64,
    reached: AtomicU64,
}

/// The state of an interprocess event, shared by all processes.
pub struct Shared {
    name: EventName,
    is_creator: bool,
    counters: *mut RecordCounters,
}

// SAFETY: the counters are atomic, and mapped as long as `self` lives.
unsafe impl Send for Shared {}
// SAFETY: the counters are atomic, and mapped as long as `self` lives.
unsafe impl Sync for Shared {}

impl Shared {
    pub fn create() -> Result<Self, Code> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = EventName {
            process: std::process::id(),
            copy: u32::try_from(copies::number()).unwrap_or(0),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(name.path());
        let file = file.map_err(|_| Code::OUT_OF_MEMORY)?;
        file.set_len(size_of::<RecordCounters>() as u64).map_err(|_| Code::OUT_OF_MEMORY)?;
        Self::map(&file, name, true)
    }

    fn open(name: EventName) -> Result<Self, Code> {
        let file = OpenOptions::new().read(true).write(true).open(name.path());
        Self::map(&file.map_err(|_| Code::MAP_FAILED)?, name, false)
    }

    fn map(file: &File, name: EventName, is_creator: bool) -> Result<Self, Code> {
        let (access, length) = (libc::PROT_READ | libc::PROT_WRITE, size_of::<RecordCounters>());
        // SAFETY: this creates a new mapping of an open file of at least this length.
        let memory = unsafe {
            libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(Code::MAP_FAILED);
        }
        Ok(Shared { name, is_creator, counters: memory.cast() })
    }

    fn counters(&self) -> &RecordCounters {
        // SAFETY: the mapping lives as long as `self` and is page-aligned. Every bit pattern is a
        // valid counter.
        unsafe { &*self.counters }
    }

    /// Starts a record and returns its number.
    pub fn next(&self) -> u64 {
        self.counters().made.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Notes that a stream has reached the record with this number.
    pub fn reach(&self, number: u64) {
        self.counters().reached.fetch_max(number, Ordering::SeqCst);
    }

    /// Returns the number of the last record that was made.
    pub fn made(&self) -> u64 {
        self.counters().made.load(Ordering::SeqCst)
    }

    pub fn has_reached(&self, number: u64) -> bool {
        self.counters().reached.load(Ordering::SeqCst) >= number
    }

    pub fn is_done(&self) -> bool {
        self.has_reached(self.made())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the counters are mapped, and this is their last use.
        unsafe { libc::munmap(self.counters.cast(), size_of::<RecordCounters>()) };
        if self.is_creator {
            // Processes that have mapped the file keep its memory.
            let _ = std::fs::remove_file(self.name.path());
        }
    }
}

exports! {
    initialized cuIpcGetEventHandle(handle: *mut IpcHandle, event: Ptr) {
        let state = state();
        let event = state.events.check(event)?;
        state.current()?;
        let shared = state.events.get(event).shared.as_ref().ok_or(Code::INVALID_HANDLE)?;
        write_out(handle, shared.name.to_handle())
    }

    initialized cuIpcOpenEventHandle(event: *mut Ptr, handle: IpcHandle) {
        let name = EventName::of_handle(handle).ok_or(Code::MAP_FAILED)?;
        if name.process == std::process::id() {
            return Err(Code::INVALID_CONTEXT);
        }
        let shared = Arc::new(Shared::open(name)?);
        let made = state().new_event(2 | 4, Some(shared))?;
        write_out(event, std::ptr::without_provenance_mut(made))
    }
}
