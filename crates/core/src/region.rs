//! A range of memory with a name, for declared accesses: [`Region`].

use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How a stream's work or the host uses a region: for layers that check the order of accesses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// [`Stream::reads`](crate::Stream::reads).
    Read,
    /// [`Stream::writes`](crate::Stream::writes).
    Write,
    /// [`Stream::released`](crate::Stream::released), or memory that the host frees.
    Release,
}

/// A range of memory with a name, for [`Stream::reads`](crate::Stream::reads),
/// [`writes`](crate::Stream::writes) and [`released`](crate::Stream::released).
///
/// Each `Region` from [`new`](Self::new) or [`of_slice`](Self::of_slice) stands for one *allocation*. Copies and
/// [parts](Self::part) of it stand for the same one. So create it where the memory is allocated, and keep it with the
/// memory. Memory that is allocated again, at the same address, gets a new region: the release ends only the old one.
///
/// ```
/// use gpu_stream_core::{ErrorOf, Region, Stream};
///
/// fn scale<S: Stream>(stream: &S, input: &Region, output: &Region) -> Result<(), ErrorOf<S>> {
///     stream.reads(input);
///     stream.writes(&output.part(0..1024));
///     // … launch the kernel on `stream.raw()` …
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    name: &'static str,
    allocation: u64,
    start: usize,
    bytes: usize,
}

impl Region {
    /// Returns a region for an allocation of `bytes` bytes at an address of the device or of the host. A range that
    /// passes the end of the address space ends there.
    pub fn new(name: &'static str, start: usize, bytes: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let allocation = NEXT.fetch_add(1, Ordering::Relaxed);
        Region { name, allocation, start, bytes: bytes.min(usize::MAX - start) }
    }

    /// Returns a region for an allocation of `bytes` bytes of a memory pool in stream order, such as `cuMemAllocAsync`'s or
    /// torch's. It shares no address with any other region.
    ///
    /// Such a pool gives memory that one stream has freed to another stream, and orders the two itself. A check does not
    /// see that order, so it would report the new owner of an address.
    #[doc(alias("cuMemAllocAsync", "cudaMallocAsync", "hipMallocAsync", "CUmemoryPool"))]
    pub fn of_pool(name: &'static str, bytes: usize) -> Self {
        /// Above all addresses of the memory of processes and GPUs.
        const FIRST: usize = usize::MAX / 2 + 1;
        static NEXT: AtomicUsize = AtomicUsize::new(FIRST);
        let bytes = bytes.min(FIRST / 2);
        let start = NEXT.fetch_add(bytes, Ordering::Relaxed);
        // After so many bytes the addresses begin again.
        Self::new(name, start.max(FIRST), bytes)
    }

    /// Returns a region for the memory of a slice of the host.
    pub fn of_slice<T>(name: &'static str, slice: &[T]) -> Self {
        Self::new(name, slice.as_ptr().addr(), size_of_val(slice))
    }

    /// Returns the part of this region with these bytes, counted from its start. Bytes past its end are not in the
    /// part.
    #[must_use]
    pub fn part(&self, bytes: Range<usize>) -> Self {
        let start = bytes.start.min(self.bytes);
        let end = bytes.end.clamp(start, self.bytes);
        Region { start: self.start + start, bytes: end - start, ..*self }
    }

    /// Returns the name of the allocation.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the number of the allocation, which no other region of the process has.
    pub const fn allocation(&self) -> u64 {
        self.allocation
    }

    /// Returns the addresses in the region.
    pub const fn addresses(&self) -> Range<usize> {
        self.start..self.start + self.bytes
    }

    /// Returns `true` if a byte is in both regions, whatever their allocations are.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start < other.start + other.bytes
            && other.start < self.start + self.bytes
            && self.bytes > 0
            && other.bytes > 0
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({:?}, {:#x}, {} bytes)", self.name, self.start, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Region;

    #[test]
    fn parts_stay_within_the_allocation() {
        let whole = Region::new("whole", 1000, 100);
        let part = whole.part(90..200);
        assert_eq!(part.addresses(), 1090..1100);
        assert_eq!(part.allocation(), whole.allocation());
        assert_eq!(whole.part(core::ops::Range { start: 300, end: 200 }).addresses(), 1100..1100);
        assert_ne!(Region::new("again", 1000, 100).allocation(), whole.allocation());
        assert_eq!(Region::new("end", usize::MAX - 1, 9).addresses(), usize::MAX - 1..usize::MAX);
    }

    #[test]
    fn regions_of_a_pool_share_no_address() {
        let regions = [0, 1, 100, 4096, usize::MAX].map(|bytes| Region::of_pool("pool", bytes));
        for (index, region) in regions.iter().enumerate() {
            assert!(regions[..index].iter().all(|other| !region.overlaps(other)));
        }
        assert_eq!(regions[2].part(10..20).addresses().len(), 10);
    }

    #[test]
    fn regions_overlap_if_they_share_a_byte() {
        let [first, second] = [(0, 10), (9, 1)].map(|(start, bytes)| Region::new("", start, bytes));
        assert!(first.overlaps(&second) && second.overlaps(&first));
        assert!(!first.part(0..9).overlaps(&second) && !second.overlaps(&first.part(0..9)));
        assert!(!first.overlaps(&second.part(0..0)));
    }
}
