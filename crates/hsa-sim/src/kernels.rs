//! Kernel dispatches. The simulator runs no GPU code. It executes HIP's built-in kernels by name.
//!
//! HIP fills, copies, writes and waits with kernels of its own ("blit" kernels, whose names begin
//! with `__amd_rocclr_`). Their arguments differ between versions. The code object describes the
//! name and offset of each argument, so one implementation serves all versions. Any other kernel
//! does nothing and completes at once, and the log says so.

use std::fmt::{self, Display};
use std::sync::atomic::{Ordering, fence};

use crate::abi::*;
use crate::code_objects::{self, Kernel};
use crate::queues::Queue;
use crate::trace::{trace, trace_line};
use crate::{fills, memory, parking_lot, values};

/// The address at which all value-waiting kernels park. A single one is used because a copy does
/// not reveal which bytes it changes.
pub static MEMORY: u8 = 0;

/// Wakes waiting kernels after the simulated machine has changed memory.
pub fn memory_changed() {
    // Copies are plain stores, so the number of waiters must not be read before them.
    fence(Ordering::SeqCst);
    parking_lot::wake(&raw const MEMORY as usize);
}

/// The reason why a kernel cannot be executed.
#[derive(Debug, PartialEq)]
pub enum Fault {
    /// The metadata has no argument of this name: the HIP version is unknown.
    NoArgument(&'static str),
    /// The kernel accesses bytes that were neither allocated nor locked.
    Memory { address: usize, bytes: usize },
    /// The kernel waits for or writes a word that is not aligned to its size.
    Unaligned { address: usize },
    /// An argument has an invalid value.
    Value { name: &'static str, value: u64 },
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoArgument(name) => {
                write!(f, "it has no argument {name}; this version of HIP is not supported")
            }
            Fault::Memory { address, bytes } => {
                write!(
                    f,
                    "it accesses {bytes} bytes at 0x{address:x}, which are not within one allocation \
                     or locked range"
                )
            }
            Fault::Unaligned { address } => write!(f, "the word at 0x{address:x} is not aligned"),
            Fault::Value { name, value } => write!(f, "{value} is not a valid {name}"),
        }
    }
}

/// The arguments of one dispatch.
pub struct Arguments<'a> {
    kernel: &'a Kernel,
    address: u64,
}

impl Arguments<'_> {
    /// Returns an argument, widened to 64 bits. Returns `None` if the kernel has none of this name.
    ///
    /// # Safety
    ///
    /// The arguments at `address` have the layout that the kernel's metadata describes.
    pub unsafe fn find(&self, name: &str) -> Option<u64> {
        let found = self.kernel.arguments.iter().find(|argument| argument.name == name)?;
        // SAFETY: the argument lies at its offset (caller contract). Argument blocks and the
        // offsets in them are aligned.
        unsafe { Some(read_word(self.address as usize + found.offset, found.size)) }
    }

    /// Returns an argument. Returns an error if the kernel has none of this name.
    ///
    /// # Safety
    ///
    /// The requirements of [`find`](Self::find).
    pub unsafe fn get(&self, name: &'static str) -> Result<usize, Fault> {
        // SAFETY: the arguments have the layout that the metadata describes (caller contract).
        unsafe { self.find(name) }.map(|value| value as usize).ok_or(Fault::NoArgument(name))
    }

    /// Returns the four 64-bit numbers of one argument.
    ///
    /// # Safety
    ///
    /// The requirements of [`find`](Self::find).
    pub unsafe fn four(&self, name: &'static str) -> Result<[usize; 4], Fault> {
        let found = self.kernel.arguments.iter().find(|a| a.name == name && a.size == 32);
        let at = self.address as usize + found.ok_or(Fault::NoArgument(name))?.offset;
        // SAFETY: the arguments have the layout that the metadata describes (caller contract).
        Ok([0, 8, 16, 24].map(|skip| unsafe { read_word(at + skip, 8) } as usize))
    }

    /// Returns the element size and the address of a buffer. The kernel has one pointer argument
    /// for each element size, and only one of them is not null.
    ///
    /// # Safety
    ///
    /// The requirements of [`find`](Self::find).
    pub unsafe fn buffer(&self, names: &[(&'static str, usize)]) -> Result<(usize, usize), Fault> {
        for &(name, size) in names {
            // SAFETY: the arguments have the layout that the metadata describes (caller contract).
            let address = unsafe { self.get(name) }?;
            if address != 0 {
                return Ok((size, address));
            }
        }
        Err(Fault::NoArgument(names[0].0))
    }
}

/// Reads a number of 4 or 8 bytes.
///
/// # Safety
///
/// `address` is valid for reads of `size` bytes.
pub unsafe fn read_word(address: usize, size: usize) -> u64 {
    // SAFETY: `address` is valid for reads of `size` bytes (caller contract).
    unsafe {
        match size {
            4 => (address as *const u32).read_unaligned().into(),
            _ => (address as *const u64).read_unaligned(),
        }
    }
}

/// Executes a dispatch. Returns `false` if the queue was destroyed while the kernel waited.
///
/// # Safety
///
/// The packet's arguments lie at its address, and the memory that they point to stays valid until
/// the dispatch is done.
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
    // SAFETY: the arguments and the memory that they point to are valid (caller contract).
    let result = unsafe {
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
    match result {
        Ok(what) => trace!("{name} #{index}: {}: {what}", kernel.name),
        Err(fault) => {
            // Aborts, as on a GPU, where the contents of memory would be unknown from here on.
            trace_line(format_args!(
                "{name} #{index}: kernel {}: {fault}. The process ends.",
                kernel.name
            ));
            std::process::abort();
        }
    }
    memory_changed();
    !queue.is_stopped()
}

/// Returns a pointer to a range of memory. Returns an error if a GPU may not access it.
pub fn checked_range(address: usize, bytes: usize) -> Result<*mut u8, Fault> {
    if memory::is_accessible(address, bytes) {
        Ok(address as *mut u8)
    } else {
        Err(Fault::Memory { address, bytes })
    }
}
