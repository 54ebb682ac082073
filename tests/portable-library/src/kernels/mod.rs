//! What this library needs from a backend beyond gpu-stream: memory in stream order, and kernels. [`Kernels`].
//!
//! A file for each backend. To add a kernel, add it to [`Kernel`], to `host.rs` and to the files in `device`.

mod any;
#[cfg(feature = "checked")]
mod checked;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "hip")]
mod hip;
mod host;
#[cfg(feature = "opencl")]
mod opencl;
#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
mod table;

#[cfg(any(feature = "cuda", feature = "hip"))]
use std::ffi::c_void;

use gpu_stream::prelude::*;

use crate::Result;

/// A backend that this library has kernels for. It is the one bound that a generic function needs:
///
/// ```
/// use gpu_stream::Stream;
/// use gpu_stream_portable_library::{Kernels, Result, Vector, saxpy};
///
/// fn twice<S: Stream>(stream: &S, x: &Vector<S::Backend>, y: &mut Vector<S::Backend>) -> Result<()>
/// where
///     S::Backend: Kernels,
/// {
///     saxpy(stream, 1.0, x, y)?;
///     saxpy(stream, 1.0, x, y)
/// }
/// ```
///
/// # Safety
/// - The launcher submits to `stream`, in its order, and does what the functions of [`Launcher`] say. Safe functions
///   free memory on the strength of it.
pub unsafe trait Kernels: Backend {
    /// Returns what can be submitted to `stream`. The first call for a device loads the kernels, which may block.
    ///
    /// # Errors
    /// The driver's error, or [`NoKernels`](crate::Error::NoKernels).
    fn launcher<S: Stream<Backend = Self>>(stream: &S) -> Result<Box<dyn Launcher + '_>>;
}

/// The address of the first of some `f32`s that a backend's kernels can access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address(pub u64);

impl Address {
    /// Returns the address of the element at `index`.
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        Address(self.0 + (index * size_of::<f32>()) as u64)
    }
}

/// Work for one stream. No function blocks, except `read` and `write`.
///
/// The addresses of all functions are of memory that the stream's device can access.
pub trait Launcher {
    /// Allocates `len` elements for work that is submitted to the stream from now on.
    ///
    /// # Errors
    /// The driver's error.
    fn allocate(&self, len: usize) -> Result<Address>;

    /// Frees memory of [`allocate`](Self::allocate), with its length, after the work that the stream has now.
    ///
    /// # Errors
    /// The driver's error. The memory is then not freed, as it is not if the stream fails before.
    ///
    /// # Safety
    /// - All work on the memory is earlier work of the stream, or ordered before it.
    unsafe fn free(&self, memory: Address, len: usize) -> Result<()>;

    /// Submits a kernel.
    ///
    /// # Errors
    /// The driver's error.
    ///
    /// # Safety
    /// - The kernel has at least one thread.
    /// - The kernel's memory stays allocated until the kernel is done, and work that writes it meanwhile is ordered
    ///   before or after the kernel.
    unsafe fn launch(&self, kernel: Kernel) -> Result<()>;

    /// Copies `values` to `to`. May block until the stream has done its work.
    ///
    /// # Errors
    /// The driver's error.
    ///
    /// # Safety
    /// - As [`launch`](Self::launch).
    /// - The stream is not capturing. A graph would keep the address of `values`, and read it at each launch.
    unsafe fn write(&self, to: Address, values: &[f32]) -> Result<()>;

    /// Fills `values` from `from`. Blocks until the stream has done its work.
    ///
    /// # Errors
    /// The driver's error.
    ///
    /// # Safety
    /// - As [`launch`](Self::launch).
    unsafe fn read(&self, from: Address, values: &mut [f32]) -> Result<()>;
}

/// A kernel and its arguments. Each takes any number of threads, at least 1.
#[derive(Clone, Copy, Debug)]
pub enum Kernel {
    /// `y[i] += a * x[i]` for each `i < len`. Each thread takes every `threads`th element.
    #[allow(missing_docs, reason = "the line above explains them")]
    Saxpy { a: f32, x: Address, y: Address, len: u64, threads: u64 },
    /// `to[t] = x[t] + x[t + threads] + x[t + 2 * threads] + …` for each `t < threads`.
    #[allow(missing_docs, reason = "the line above explains them")]
    Sums { x: Address, len: u64, to: Address, threads: u64 },
}

/// The number of threads in a block, on GPUs.
#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
const BLOCK: u32 = 256;

/// The names of the kernels, in the order of [`Kernel::index`].
#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
const NAMES: [&std::ffi::CStr; 2] = [c"saxpy", c"sums"];

#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
impl Kernel {
    /// Returns the kernel's place in [`NAMES`].
    fn index(&self) -> usize {
        match self {
            Kernel::Saxpy { .. } => 0,
            Kernel::Sums { .. } => 1,
        }
    }

    /// Returns the number of blocks that have all threads.
    fn blocks(&self) -> u32 {
        let (Kernel::Saxpy { threads, .. } | Kernel::Sums { threads, .. }) = self;
        threads.div_ceil(BLOCK.into()) as u32
    }

    /// Calls `launch` with pointers to the arguments, in the order of the kernel's parameters.
    #[cfg(any(feature = "cuda", feature = "hip"))]
    fn with_arguments<T>(&self, launch: impl FnOnce(&mut [*mut c_void]) -> T) -> T {
        fn pointer<T>(argument: &T) -> *mut c_void {
            std::ptr::from_ref(argument).cast_mut().cast()
        }
        match self {
            Kernel::Saxpy { a, x, y, len, threads } => launch(&mut [
                pointer(a),
                pointer(&x.0),
                pointer(&y.0),
                pointer(len),
                pointer(threads),
            ]),
            Kernel::Sums { x, len, to, threads } => {
                launch(&mut [pointer(&x.0), pointer(len), pointer(&to.0), pointer(threads)])
            }
        }
    }
}
