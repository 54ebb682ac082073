//! Kernels. Code for a GPU is not run; the kernels that HIP itself is made of are played by their
//! names.
//!
//! HIP fills, copies, writes and waits with kernels of its own ("blit" kernels, whose names begin
//! with `__amd_rocclr_`). Their arguments differ between versions, but the code object tells where
//! each lies and how it is called, so one reading serves all versions. Any other kernel does
//! nothing and is done at once, which the log says.

use std::fmt::{self, Display};
use std::sync::atomic::{Ordering, fence};

use crate::abi::*;
use crate::code_objects::{self, Kernel};
use crate::queues::Queue;
use crate::trace::{trace, trace_line};
use crate::{fills, memory, parking_lot, values};

/// What all kernels that wait for a value sleep at: there is no telling which bytes a copy changes.
pub static MEMORY: u8 = 0;

/// Bytes that kernels may wait for were changed by the simulated machine.
pub fn memory_changed() {
    // Copies are plain stores; the count of sleepers must not be read before them.
    fence(Ordering::SeqCst);
    parking_lot::wake(&raw const MEMORY as usize);
}

/// Why a kernel could not be played.
#[derive(Debug, PartialEq)]
pub enum Fault {
    /// Its metadata has no argument of this name: a version of HIP that is not known here.
    NoArgument(&'static str),
    /// It touches bytes that were neither allocated nor locked.
    Memory { address: usize, bytes: usize },
    /// A word that it waits for or writes does not lie at a multiple of its size.
    Unaligned { address: usize },
    /// A number that means nothing.
    Value { of: &'static str, value: u64 },
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoArgument(name) => {
                write!(f, "it has no argument {name}; this version of HIP is not known here")
            }
            Fault::Memory { address, bytes } => {
                write!(
                    f,
                    "it touches {bytes} bytes at 0x{address:x}, which were neither allocated from \
                     a pool nor locked, or not to that length"
                )
            }
            Fault::Unaligned { address } => write!(f, "the word at 0x{address:x} is not aligned"),
            Fault::Value { of, value } => write!(f, "{value} is no {of}"),
        }
    }
}

/// The arguments of one dispatch.
pub struct Arguments<'a> {
    kernel: &'a Kernel,
    address: u64,
}

impl Arguments<'_> {
    /// An argument, widened to 64 bits; `None` if the kernel has none of this name.
    ///
    /// # Safety
    ///
    /// The arguments lie at `address` as the kernel's metadata says.
    pub unsafe fn find(&self, name: &str) -> Option<u64> {
        let found = self.kernel.arguments.iter().find(|argument| argument.name == name)?;
        // SAFETY: as the caller promises. Argument blocks are aligned, and so are the offsets in
        // them.
        unsafe { Some(word(self.address as usize + found.offset, found.size)) }
    }

    /// An argument that has to be there.
    ///
    /// # Safety
    ///
    /// As [`find`](Self::find).
    pub unsafe fn get(&self, name: &'static str) -> Result<usize, Fault> {
        // SAFETY: as the caller promises.
        unsafe { self.find(name) }.map(|value| value as usize).ok_or(Fault::NoArgument(name))
    }

    /// Four numbers of 64 bits in one argument.
    ///
    /// # Safety
    ///
    /// As [`find`](Self::find).
    pub unsafe fn four(&self, name: &'static str) -> Result<[usize; 4], Fault> {
        let found = self.kernel.arguments.iter().find(|a| a.name == name && a.size == 32);
        let at = self.address as usize + found.ok_or(Fault::NoArgument(name))?.offset;
        // SAFETY: as the caller promises.
        Ok([0, 8, 16, 24].map(|skip| unsafe { word(at + skip, 8) } as usize))
    }

    /// A buffer that is given as one of several pointers, by the size of its elements: that size
    /// and the address.
    ///
    /// # Safety
    ///
    /// As [`find`](Self::find).
    pub unsafe fn buffer(&self, names: &[(&'static str, usize)]) -> Result<(usize, usize), Fault> {
        for &(name, size) in names {
            // SAFETY: as the caller promises.
            let address = unsafe { self.get(name) }?;
            if address != 0 {
                return Ok((size, address));
            }
        }
        Err(Fault::NoArgument(names[0].0))
    }
}

/// A number of 4 or 8 bytes.
///
/// # Safety
///
/// It can be read there.
pub unsafe fn word(address: usize, size: usize) -> u64 {
    // SAFETY: as the caller promises.
    unsafe {
        match size {
            4 => (address as *const u32).read_unaligned().into(),
            _ => (address as *const u64).read_unaligned(),
        }
    }
}

/// Plays a dispatch; false if the queue was destroyed while it waited.
///
/// # Safety
///
/// The packet's arguments lie where it says, and what they point at stays until it is done.
pub unsafe fn execute(queue: &Queue, index: u64, dispatch: &KernelDispatch) -> bool {
    let name = &queue.name;
    let Some(kernel) = code_objects::kernel(dispatch.kernel_object) else {
        trace_line(format_args!(
            "{name} #{index}: no loaded kernel at 0x{:x}; the packet does nothing",
            dispatch.kernel_object
        ));
        return true;
    };
    let arguments = Arguments { kernel: &kernel, address: dispatch.kernarg_address };
    // SAFETY: as the caller promises.
    let played = unsafe {
        match kernel.name.as_str() {
            "__amd_rocclr_fillBufferAligned" => fills::fill(&arguments),
            "__amd_rocclr_fillBufferAligned2D" => fills::fill_2d(&arguments, dispatch.grid_size[0]),
            "__amd_rocclr_copyBuffer" => fills::copy(&arguments),
            "__amd_rocclr_copyBufferAligned" => fills::copy_aligned(&arguments),
            "__amd_rocclr_copyBufferRect" => fills::copy_rect(&arguments, false),
            "__amd_rocclr_copyBufferRectAligned" => fills::copy_rect(&arguments, true),
            "__amd_rocclr_streamOpsWrite" => values::stream_write(&arguments),
            "__amd_rocclr_streamOpsWait" => values::stream_wait(queue, &arguments),
            "__amd_rocclr_batchMemOp" => values::batch(queue, &arguments),
            other => {
                trace!("{name} #{index}: kernel {other} is not simulated: it does nothing");
                return true;
            }
        }
    };
    match played {
        Ok(what) => trace!("{name} #{index}: {}: {what}", kernel.name),
        Err(fault) => {
            // As on a GPU, where nobody could tell what the bytes would be from here on.
            trace_line(format_args!(
                "{name} #{index}: kernel {}: {fault}. The process ends.",
                kernel.name
            ));
            std::process::abort();
        }
    }
    memory_changed();
    !queue.stopped()
}

/// A range that a GPU may touch.
pub fn range(address: usize, bytes: usize) -> Result<*mut u8, Fault> {
    if memory::reachable(address, bytes) {
        Ok(address as *mut u8)
    } else {
        Err(Fault::Memory { address, bytes })
    }
}
