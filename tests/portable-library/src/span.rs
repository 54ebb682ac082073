//! Memory, and what a check knows it by: [`Span`].

use std::ops::Range;

use gpu_stream::Region;

use crate::kernels::Address;

/// Some `f32`s in a device's memory, and their region.
///
/// On a checked backend, the accesses that this library declares are compared. On all others a region costs two words of
/// memory, and its use nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) address: Address,
    pub(crate) len: usize,
    pub(crate) region: Region,
}

impl Span {
    /// Returns the span of memory that was just allocated by [`Launcher::allocate`](crate::Launcher::allocate).
    ///
    /// The memory is of a pool in stream order.
    pub(crate) fn allocated(name: &'static str, address: Address, len: usize) -> Self {
        Span { address, len, region: Region::of_pool(name, len * size_of::<f32>()) }
    }

    /// Returns the span of memory of another library.
    pub(crate) fn foreign(name: &'static str, address: Address, len: usize) -> Self {
        let region = Region::new(name, address.0 as usize, len * size_of::<f32>());
        Span { address, len, region }
    }

    /// Returns the part with these elements, which the span has.
    pub(crate) fn part(&self, elements: Range<usize>) -> Self {
        let bytes = elements.start * size_of::<f32>()..elements.end * size_of::<f32>();
        Span {
            address: self.address.at(elements.start),
            len: elements.len(),
            region: self.region.part(bytes),
        }
    }
}
