//! Numbers of the library's copies in one process, each loaded from its own file.
//!
//! Copies share nothing. A handle of one copy is invalid in another.

use std::sync::LazyLock;

/// The maximum number of copies with a part of the address space of their own. Later copies share
/// the last part, because the system maps programs above it.
const MAX_COPIES: usize = 5;

/// The lowest bit of the copy's number in a handle.
pub const SHIFT: u32 = 44;

/// The offset of the page that a copy reserves to claim its number. No handle lies there.
const MARK: usize = 15 << 40;

/// Returns the number of this copy: 0 for the first copy that created a handle.
pub fn number() -> usize {
    static NUMBER: LazyLock<usize> = LazyLock::new(|| {
        (0..MAX_COPIES).find(|&number| reserve((number << SHIFT) + MARK)).unwrap_or(0)
    });
    *NUMBER
}

/// Tries to map one inaccessible page at `address`. Returns `false` if another mapping is there.
fn reserve(address: usize) -> bool {
    let wanted = std::ptr::without_provenance_mut(address);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let (length, access, file, offset) = (1_usize, libc::PROT_NONE, -1, 0_usize);
    // Uses the system call directly. ThreadSanitizer's `mmap` ends the process if the address lies
    // in the tool's own memory, where the system only fails.
    //
    // SAFETY: the flags forbid replacing an existing mapping. A kernel that does not know
    // `MAP_FIXED_NOREPLACE` takes the address as a hint and replaces no mapping either.
    let page =
        unsafe { libc::syscall(libc::SYS_mmap, wanted, length, access, flags, file, offset) };
    let page = std::ptr::with_exposed_provenance_mut(page as usize);
    if page == libc::MAP_FAILED {
        return false;
    }
    if page != wanted {
        // SAFETY: `page` was mapped above, and nothing uses it.
        unsafe { libc::munmap(page, 1) };
    }
    page == wanted
}
