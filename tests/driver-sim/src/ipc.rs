//! Interprocess events: two numbers in a file in memory, which every process that has the event
//! maps. One counts the records that were made, the other those that were come to.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::{Ptr, exports, put};
use crate::codes::Code;
use crate::copies;
use crate::state::state;

/// `CUipcEventHandle`, which is passed by value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IpcHandle {
    reserved: [u8; 64],
}

/// What a handle of ours begins with; the process, the event's number and the copy follow.
const MAGIC: [u8; 16] = *b"driver-sim event";

struct Name {
    process: u32,
    /// Which copy of the library in that process.
    copy: u32,
    number: u64,
}

impl Name {
    fn path(&self) -> String {
        format!("/dev/shm/gpu-stream-driver-sim-{}-{}-{}", self.process, self.copy, self.number)
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
        Some(Name { process, copy, number })
    }
}

#[repr(C)]
struct Numbers {
    made: AtomicU64,
    reached: AtomicU64,
}

/// An interprocess event, as all processes see it.
pub struct Shared {
    name: Name,
    is_ours: bool,
    numbers: *mut Numbers,
}

// SAFETY: the numbers are atomic, and mapped as long as this lives.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub fn create() -> Result<Self, Code> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = Name {
            process: std::process::id(),
            copy: u32::try_from(copies::number()).unwrap_or(0),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        };
        let mut how = OpenOptions::new();
        let file = how.read(true).write(true).create(true).truncate(true).open(name.path());
        let file = file.map_err(|_| Code::OUT_OF_MEMORY)?;
        file.set_len(size_of::<Numbers>() as u64).map_err(|_| Code::OUT_OF_MEMORY)?;
        Self::map(&file, name, true)
    }

    fn open(name: Name) -> Result<Self, Code> {
        let file = OpenOptions::new().read(true).write(true).open(name.path());
        Self::map(&file.map_err(|_| Code::MAP_FAILED)?, name, false)
    }

    fn map(file: &File, name: Name, is_ours: bool) -> Result<Self, Code> {
        let (access, length) = (libc::PROT_READ | libc::PROT_WRITE, size_of::<Numbers>());
        // SAFETY: a new mapping of a file that is open and as long.
        let place = unsafe {
            libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if place == libc::MAP_FAILED {
            return Err(Code::MAP_FAILED);
        }
        Ok(Shared { name, is_ours, numbers: place.cast() })
    }

    fn numbers(&self) -> &Numbers {
        // SAFETY: mapped as long as this lives, aligned to a page, and any bits are numbers.
        unsafe { &*self.numbers }
    }

    /// The number of a record that is being made.
    pub fn next(&self) -> u64 {
        self.numbers().made.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A stream has come to the record of this number.
    pub fn reach(&self, number: u64) {
        self.numbers().reached.fetch_max(number, Ordering::SeqCst);
    }

    /// The number of the last record that was made.
    pub fn made(&self) -> u64 {
        self.numbers().made.load(Ordering::SeqCst)
    }

    pub fn has_reached(&self, number: u64) -> bool {
        self.numbers().reached.load(Ordering::SeqCst) >= number
    }

    pub fn is_done(&self) -> bool {
        self.has_reached(self.made())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: it is mapped, and this is its last use.
        unsafe { libc::munmap(self.numbers.cast(), size_of::<Numbers>()) };
        if self.is_ours {
            // Who has the file mapped keeps it.
            let _ = std::fs::remove_file(self.name.path());
        }
    }
}

exports! {
    ready cuIpcGetEventHandle(handle: *mut IpcHandle, event: Ptr) {
        let state = state();
        let event = state.events.check(event)?;
        state.current()?;
        let shared = state.events.get(event).shared.as_ref().ok_or(Code::INVALID_HANDLE)?;
        put(handle, shared.name.to_handle())
    }

    ready cuIpcOpenEventHandle(event: *mut Ptr, handle: IpcHandle) {
        let name = Name::of_handle(handle).ok_or(Code::MAP_FAILED)?;
        if name.process == std::process::id() {
            return Err(Code::INVALID_CONTEXT);
        }
        let shared = Arc::new(Shared::open(name)?);
        let made = state().new_event(2 | 4, Some(shared))?;
        put(event, std::ptr::without_provenance_mut(made))
    }
}
