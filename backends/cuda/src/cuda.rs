//! The type that names the backend: [`Cuda`].

/// The CUDA backend: streams of NVIDIA's driver.
///
/// The first call that succeeds starts the driver. That is the driver that the process has loaded, under any name; else
/// `libcuda.so.1` or `libcuda.so` (`nvcuda.dll` on Windows), or the file that `GPU_STREAM_CUDA_LIBRARY` names. Two loaded
/// drivers are an [error](gpu_stream_core::ErrorKind::AmbiguousLibrary); the [crate](crate) documentation describes the
/// search. The library is never closed. The primary context of a device, once used, stays retained until the process
/// ends.
///
/// What is particular to this backend:
///
/// | | |
/// |---|---|
/// | a handle that is no live stream | not detected: the driver follows the pointer, and the process may crash |
/// | failed work | breaks the whole context: every call for its device returns [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) |
/// | handle 0 | becomes 1, which means the default stream to every library, however it was compiled |
/// | handle 0 or 1 without a device | the default stream of the current context's device, or of device 0 if there is no current context |
/// | handle 0 or 1 while a context is current that is not its device's primary one | rejected without a device: [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) |
/// | events and streams of a context that is not the primary one | created by the stream's own `new_event`, `new_stream`, `record_event` |
/// | a stream of a green context | its `new_stream` creates one of that green context, which cannot be blocking |
/// | foreign events | wrapped as they are; the driver does not tell their device, so the first record detects a wrong one |
/// | a primary context that another library reset | objects created before return [`ContextDestroyed`](gpu_stream_core::ErrorKind::ContextDestroyed); objects created after work |
/// | handle 0, 1 or 2 while the process has another driver | rejected: [`AmbiguousLibrary`](gpu_stream_core::ErrorKind::AmbiguousLibrary) |
/// | a driver without `cuStreamGetCtx` | a handle is accepted by `stream_from_raw_unchecked` only, in the primary context of the given device |
/// | a panic in a host function | stays with its stream: an event recorded after it completes, and a stream that waits for that event continues |
/// | pending work at the end of the process | lost: a host function that has not started is neither run nor dropped |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cuda;
