//! The type that names the backend: [`Hip`].

/// The HIP backend: streams of ROCm's runtime.
///
/// The first successful call starts the runtime. That is the one that the process has loaded, under any file name:
/// PyTorch for ROCm brings its own. Without one, it is `libamdhip64.so.8`, `.7`, `.6`, `.5`, or unversioned; on
/// Windows `amdhip64_7.dll`, `amdhip64_6.dll` or `amdhip64.dll`. If `GPU_STREAM_HIP_LIBRARY` names a file, no other
/// is used. Two loaded runtimes are an [error](gpu_stream_core::ErrorKind::AmbiguousLibrary). The [crate](crate)
/// documents the search. The library is never closed.
///
/// Where HIP differs from other backends:
///
/// | case | behavior |
/// |---|---|
/// | a handle that is no live stream | not detected reliably. Up to HIP 6 an error, [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle), unless other memory is there; in HIP 7 the process crashes |
/// | `hipDeviceReset` | a stream with an owner reports [`ContextDestroyed`](gpu_stream_core::ErrorKind::ContextDestroyed), another one [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle). From HIP 7 on the runtime follows the handle of a stream that the reset has freed, and the process may crash |
/// | failed work | AMD's runtime ends the process |
/// | handle 1 | becomes 0: some functions crash with it |
/// | handle 0 or 1 without a device | the default stream of the thread's current device |
/// | handle 0, 1 or 2 while the process has another runtime | refused: [`AmbiguousLibrary`](gpu_stream_core::ErrorKind::AmbiguousLibrary) |
/// | an event | keeps the owner of the stream that it was recorded on |
/// | a thread's default stream | ends with the thread, which may wait for its work. Its events are recorded on another stream, which waits for it. [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) except on Linux with glibc |
/// | interprocess events | [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported). Up to HIP 6.4 AMD's do not wait for earlier work, or a wait for one blocks the calling thread. In 7.2 the drop of one blocks until all work of the device is done |
/// | a captured stream waits for work outside of its capture | [`Capturing`](gpu_stream_core::ErrorKind::Capturing), and the capture goes on. HIP itself reports success, and no graph has the order |
/// | the default stream waits for a captured stream or event | [`Capturing`](gpu_stream_core::ErrorKind::Capturing), and the capture goes on: the default stream cannot be captured. On HIP 7.2 the runtime itself reports success, and crashes when the capture ends. If another library made the record, only the runtime knows, and it behaves so. A thread's default stream can be captured |
/// | many host functions on one stream | an event is recorded after one of 64. Without it the runtime links all of them, and releases the chain recursively, which overflows its thread's stack after some ten thousand. On HIP 6.4 it also links the records of a stream that has nothing but records and waits, until a host function or `hipStreamSynchronize` |
/// | a full queue | a record, a wait or a host function blocks until the queue has room. Queries and waits for an event do not wait for a blocked record of it, until [`raw`](gpu_stream_core::Event::raw) was called |
/// | destroying a stream | the runtime waits for its work. A busy stream of this crate is destroyed later, so that a drop does not block |
/// | a drop on a thread that has made no call of this crate | the value is destroyed at the end of the next call of another thread: the thread may be the runtime's, where destroying hangs |
/// | `synchronize` | polls, so that it does not block other threads' calls, as HIP's own function would |
/// | the first call on a thread other than the main one | with HIP 6.4, the process crashes at its end if the main thread has used HIP too. This is an error of the runtime, and happens without this crate, too |
/// | the end of the process | waits for no work. It sleeps for 5 ms, and waits at most 100 ms for threads that poll. Only for the default stream of the thread that calls `exit`, and for events recorded on it, it waits until they are done, as HIP itself does. The runtime shuts down before the `atexit` functions that were registered before the first call: in those, each call is [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) |
/// | the child of a fork | each call is [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted), if the parent had made one. End it by `_exit`: HIP's own functions can hang in `exit` there |
/// | `hipGetLastError` | has no error of this crate after a call. Up to HIP 6 each call of any library replaces it, so fetch yours before. From HIP 7 on yours stays, but is lost with a call of this crate that fails |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hip;
