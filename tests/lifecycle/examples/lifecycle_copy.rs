//! Shared library with its own copies of the backends, like a plug-in that was built separately.

use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream_core::{Backend, Error, ErrorKind, RawStream, Stream, StreamOptions};
use gpu_stream_cuda::Cuda;
use gpu_stream_hip::Hip;
use gpu_stream_host::Host;
use gpu_stream_opencl::OpenCl;

/// Increments `number` from `from` in stream order, on a stream of this copy that `stream` then waits for.
///
/// `backend` is 1 for CUDA, 2 for HIP, 3 for OpenCL, and any other number for the host. Returns 0 on success, 2 for an error
/// of the kind `InvalidHandle`, and 1 for any other error.
///
/// # Safety
/// - `stream` is a live stream of the backend.
/// - `number` stays valid until the process exits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lifecycle_copy_run(
    backend: u32,
    stream: usize,
    number: *const AtomicU32,
    from: u32,
) -> i32 {
    // SAFETY: `number` is valid until the process exits (caller contract).
    let number = unsafe { &*number };
    // SAFETY: `stream` is a live stream of the backend (caller contract).
    let outcome = unsafe {
        match backend {
            1 => order_through_own_stream::<Cuda>(stream, number, from),
            2 => order_through_own_stream::<Hip>(stream, number, from),
            3 => order_through_own_stream::<OpenCl>(stream, number, from),
            _ => order_through_own_stream::<Host>(stream, number, from),
        }
    };
    match outcome {
        Ok(()) => 0,
        Err(ErrorKind::InvalidHandle) => 2,
        Err(_) => 1,
    }
}

/// Orders the increment after `stream`, and `stream` after the increment.
///
/// # Safety
/// `stream` is a live stream of the backend.
unsafe fn order_through_own_stream<B>(
    stream: usize,
    number: &'static AtomicU32,
    from: u32,
) -> Result<(), ErrorKind>
where
    B: Backend<RawStream = RawStream<B>>,
{
    let kind = |error: B::Error| {
        eprintln!("copy: {error}");
        error.kind()
    };
    // SAFETY: `stream` is live (caller contract), and no record of the wrapper outlives this call.
    let wrapped = unsafe { B::stream_from_raw(RawStream::from_bits(stream), None) };
    // Not printed, because the host is expected to return this error.
    let foreign = wrapped.map_err(|error| error.kind())?;
    let own = B::new_stream(foreign.device(), StreamOptions::new()).map_err(kind)?;
    own.wait_stream(&foreign).map_err(kind)?;
    let step = move || {
        let _ = number.compare_exchange(from, from + 1, Ordering::SeqCst, Ordering::SeqCst);
    };
    own.launch_host_func(Box::new(step)).map_err(kind)?;
    foreign.wait_stream(&own).map_err(kind)?;
    // This event comes from the pool of this copy.
    let event = foreign.record_event().map_err(kind)?;
    own.wait_event(&event).map_err(kind)
}
