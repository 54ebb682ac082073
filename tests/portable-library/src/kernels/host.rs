//! The kernels on the host: host functions in stream order.

use std::ptr::{slice_from_raw_parts_mut, with_exposed_provenance, with_exposed_provenance_mut};

use gpu_stream::Host;
use gpu_stream::prelude::*;

use super::{Address, Kernel, Kernels, Launcher};
use crate::Result;

// SAFETY: everything is a host function of the stream, except `read`, which waits for them.
unsafe impl Kernels for Host {
    fn launcher<S: Stream<Backend = Host>>(stream: &S) -> Result<Box<dyn Launcher + '_>> {
        Ok(Box::new(OnHost(stream)))
    }
}

/// A stream of the host, of its own type or of [`Any`](gpu_stream::Any).
pub struct OnHost<'s, S>(pub &'s S);

impl<S: Stream> Launcher for OnHost<'_, S> {
    fn allocate(&self, len: usize) -> Result<Address> {
        let memory = Box::into_raw(vec![0.0_f32; len].into_boxed_slice());
        Ok(Address(memory.cast::<f32>().expose_provenance() as u64))
    }

    unsafe fn free(&self, memory: Address, len: usize) -> Result<()> {
        // Frees only if it runs: a function that is dropped because its stream has failed may not come after the work
        // of the streams that this one should have waited for.
        let free = move || {
            let memory = with_exposed_provenance_mut(memory.0 as usize);
            // SAFETY: `allocate` made the memory of a box of this length, nothing frees it twice, and all work on it is
            // done (caller contract).
            drop(unsafe { Box::<[f32]>::from_raw(slice_from_raw_parts_mut(memory, len)) });
        };
        Ok(self.0.launch_host_func(Box::new(free))?)
    }

    unsafe fn launch(&self, kernel: Kernel) -> Result<()> {
        // SAFETY: the memory is allocated until the function has run, and the stream's order keeps other work on it
        // away (caller contract).
        Ok(self.0.launch_host_func(Box::new(move || unsafe { run(kernel) }))?)
    }

    unsafe fn write(&self, to: Address, values: &[f32]) -> Result<()> {
        let values = values.to_vec();
        let copy = move || {
            // SAFETY: as in `launch`; `values` is memory of its own.
            unsafe { element(to, 0).copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        };
        Ok(self.0.launch_host_func(Box::new(copy))?)
    }

    unsafe fn read(&self, from: Address, values: &mut [f32]) -> Result<()> {
        self.0.synchronize()?;
        let from = with_exposed_provenance::<f32>(from.0 as usize);
        // SAFETY: the memory is allocated, and all work on it is done (caller contract).
        unsafe { values.as_mut_ptr().copy_from_nonoverlapping(from, values.len()) };
        Ok(())
    }
}

fn element(memory: Address, index: u64) -> *mut f32 {
    with_exposed_provenance_mut(memory.at(index as usize).0 as usize)
}

/// Computes what the kernel computes, on this thread.
///
/// # Safety
/// - The kernel's memory is allocated, and nothing else accesses what the kernel writes.
unsafe fn run(kernel: Kernel) {
    match kernel {
        Kernel::Saxpy { a, x, y, len, .. } => {
            for index in 0..len {
                // SAFETY: both have `len` elements (caller contract).
                unsafe { *element(y, index) += a * *element(x, index) };
            }
        }
        Kernel::Sums { x, len, to, threads } => {
            for thread in 0..threads {
                let own = (thread..len).step_by(threads as usize);
                // SAFETY: `x` has `len` elements and `to` has `threads` (caller contract).
                unsafe { *element(to, thread) = own.map(|index| *element(x, index)).sum() };
            }
        }
    }
}
