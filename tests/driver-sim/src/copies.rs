//! Copies of the library in one process, each loaded from a file of its own. They share nothing. A
//! handle of one names nothing in another.

use std::sync::LazyLock;

/// Handles of copies lie in different parts of the address space. More copies than this share one:
/// higher up, the system maps programs.
const MOST: usize = 5;

/// The bits of a handle above this one are the copy's number.
pub const SHIFT: u32 = 44;

/// Where a copy reserves a page, so that the next copy finds the number taken. No handle lies there.
const MARK: usize = 15 << 40;

/// Returns the number of this copy: 0 for the first that made a handle.
pub fn number() -> usize {
    static NUMBER: LazyLock<usize> =
        LazyLock::new(|| (0..MOST).find(|&number| reserve((number << SHIFT) + MARK)).unwrap_or(0));
    *NUMBER
}

/// Returns `true` if nothing was mapped at `address`. Then one page is, which cannot be accessed.
fn reserve(address: usize) -> bool {
    let wanted = std::ptr::without_provenance_mut(address);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let (length, access, file, offset) = (1_usize, libc::PROT_NONE, -1, 0_usize);
    // The system is called directly: ThreadSanitizer's own `mmap` ends the process if the address is in
    // memory that the tool keeps for itself, where the system only refuses it.
    // SAFETY: the flags forbid to replace a mapping that exists. A kernel that does not know
    // `MAP_FIXED_NOREPLACE` takes the address as a wish, and maps nothing over another mapping.
    let place =
        unsafe { libc::syscall(libc::SYS_mmap, wanted, length, access, flags, file, offset) };
    let place = std::ptr::with_exposed_provenance_mut(place as usize);
    if place == libc::MAP_FAILED {
        return false;
    }
    if place != wanted {
        // SAFETY: `place` is the page that was mapped above, and nothing uses it.
        unsafe { libc::munmap(place, 1) };
    }
    place == wanted
}
