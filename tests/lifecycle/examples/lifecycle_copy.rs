//! A library with copies of the backends of its own: what a plug-in is that was built by itself.

use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream_core::{Backend, Error, ErrorKind, RawStream, Stream, StreamOptions};
use gpu_stream_cuda::Cuda;
use gpu_stream_hip::Hip;
use gpu_stream_host::Host;

/// Changes the number from `from` to the next one on the stream, behind what it has, and lets it go
/// on only after a stream of this copy's own. 0; 1 for an error, 2 for one of the kind
/// `InvalidHandle`.
///
/// # Safety
/// `stream` is a live stream of the backend, 1 for CUDA, 2 for HIP, else the host's; `number` is
/// there for ever.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ends_copy_play(
    backend: u32,
    stream: usize,
    number: *const AtomicU32,
    from: u32,
) -> i32 {
    // SAFETY: the caller promises the same, here and below.
    let number = unsafe { &*number };
    // SAFETY: as above.
    let played = unsafe {
        match backend {
            1 => run_scenario::<Cuda>(stream, number, from),
            2 => run_scenario::<Hip>(stream, number, from),
            _ => run_scenario::<Host>(stream, number, from),
        }
    };
    match played {
        Ok(()) => 0,
        Err(ErrorKind::InvalidHandle) => 2,
        Err(_) => 1,
    }
}

/// # Safety
/// `stream` is a live stream of the backend.
unsafe fn run_scenario<B>(
    stream: usize,
    number: &'static AtomicU32,
    from: u32,
) -> Result<(), ErrorKind>
where
    B: Backend<RawStream = RawStream<B>>,
{
    let kind = |error: B::Error| {
        eprintln!("a copy: {error}");
        error.kind()
    };
    // SAFETY: the caller promises that the stream is alive; nothing that is recorded through the
    // wrapper is there after this call.
    let wrapped = unsafe { B::stream_from_raw(RawStream::from_bits(stream), None) };
    // Not printed: on the host it is what has to come.
    let theirs = wrapped.map_err(|error| error.kind())?;
    let ours = B::new_stream(theirs.device(), StreamOptions::new()).map_err(kind)?;
    ours.wait_stream(&theirs).map_err(kind)?;
    let step = move || {
        let _ = number.compare_exchange(from, from + 1, Ordering::SeqCst, Ordering::SeqCst);
    };
    ours.launch_host_func(Box::new(step)).map_err(kind)?;
    theirs.wait_stream(&ours).map_err(kind)?;
    // Comes and goes with the copy's own pool.
    let event = theirs.record_event().map_err(kind)?;
    ours.wait_event(&event).map_err(kind)
}
