//! cuda-core and cudarc copy a tensor of torch, each on its own stream, in order with torch's stream.
//!
//! ```sh
//! cargo build --release -p gpu-stream-cuda --features cuda-core --example beside_torch   # cuda-core needs CUDA_HOME
//! python backends/cuda/examples/beside_torch.py target/release/examples/libbeside_torch.so
//! ```

use std::error::Error;
use std::sync::{Arc, OnceLock};

use cudarc::driver::CudaContext;
use gpu_stream_core::{Backend, RawStream, Stream};
use gpu_stream_cuda::interop::ContextGuard;
use gpu_stream_cuda::{Cuda, CudaStream};

/// The streams of both libraries, and our wrapper of each.
struct Streams {
    core: Arc<cuda_core::Stream>,
    cudarc: Arc<cudarc::driver::CudaStream>,
    ours: [CudaStream; 2],
}

impl Streams {
    /// Creates the streams. cudarc waits for all work of the context when it creates its first one.
    fn new(ordinal: usize) -> Result<Self, Box<dyn Error>> {
        let core = cuda_core::Context::new(ordinal)?.new_stream()?;
        let cudarc = CudaContext::new(ordinal)?.new_stream()?;
        let ours = [CudaStream::from_cuda_core(&core)?, CudaStream::from_cudarc(&cudarc)?];
        Ok(Streams { core, cudarc, ours })
    }

    /// Returns the streams that all calls share. They are on the device of the first call.
    fn shared(ordinal: usize) -> Result<&'static Self, Box<dyn Error>> {
        static STREAMS: OnceLock<Result<Streams, String>> = OnceLock::new();
        let streams =
            STREAMS.get_or_init(|| Streams::new(ordinal).map_err(|error| error.to_string()));
        Ok(streams.as_ref().map_err(String::as_str)?)
    }
}

/// Copies `bytes` from `source` to `middle` by cuda-core, and from there to `target` by cudarc. Does not block.
///
/// `flags`: 1 waits for torch's stream before the copies, 2 lets torch's stream wait for them, and 4 orders the copies.
/// A control leaves a bit out. Returns 0, or 1 after an error, whose text it prints.
///
/// # Safety
/// - `stream` is a live stream, and stays alive until the work is done. (The caller synchronizes.)
/// - The addresses are of so many bytes on the stream's device, and stay allocated until the work is done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_twice(
    stream: usize,
    source: u64,
    middle: u64,
    target: u64,
    bytes: usize,
    flags: u32,
) -> i32 {
    // SAFETY: the caller's contract.
    match unsafe { run(stream, [source, middle, target], bytes, flags) } {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("copy_twice: {error}");
            1
        }
    }
}

/// Makes the calls of [`copy_twice`].
///
/// # Safety
/// The contract of [`copy_twice`].
unsafe fn run(
    stream: usize,
    [source, middle, target]: [u64; 3],
    bytes: usize,
    flags: u32,
) -> Result<(), Box<dyn Error>> {
    let _guard = ContextGuard::save()?; // torch's thread keeps its context
    // SAFETY: the stream outlives the wrapper (caller contract).
    let torch = unsafe { Cuda::stream_from_raw(RawStream::from_bits(stream), None)? };
    let Streams { core, cudarc, ours: [first, second] } =
        Streams::shared(torch.device().ordinal() as usize)?;
    if flags & 1 != 0 {
        first.wait_stream(&torch)?;
    }
    // SAFETY: the memory has so many bytes and stays allocated (caller contract). The context is current.
    unsafe {
        core.context().bind_to_thread()?;
        cuda_core::memory::memcpy_dtod_async(middle, source, bytes, core.cu_stream())?;
    }
    if flags & 4 != 0 {
        second.wait_stream(first)?;
    }
    cudarc.context().bind_to_thread()?;
    // SAFETY: the memory has so many bytes and stays allocated (caller contract). The context is current.
    unsafe {
        cudarc::driver::result::memcpy_dtod_async(target, middle, bytes, cudarc.cu_stream())?
    };
    if flags & 2 != 0 {
        torch.join([first, second])?;
    }
    Ok(())
}
