//! Right programs of the CUDA driver's own calls, whose captures and handles come again.

use gpu_stream_checked::Checked;
use gpu_stream_core::{Access, Backend, RawStream, Stream};
use gpu_stream_cuda::Cuda;
use gpu_stream_test_drivers::cuda::{self, Ptr, begin_capture, driver, end_capture, enter, ok};

use super::support::{Outcome, device, memory, stream};

type B = Checked<Cuda>;

/// A graph is captured from one stream, and then one from another stream.
pub fn captures_in_a_row() -> Outcome<B> {
    let one = stream::<B>()?;
    let two = stream::<B>()?;
    let data = memory("data");
    begin_capture(one.raw().as_ptr(), 2);
    one.writes(&data);
    two.wait_stream(&one)?;
    two.reads(&data);
    one.wait_stream(&two)?;
    one.writes(&data);
    end_capture(one.raw().as_ptr()).expect("the capture ends");
    begin_capture(two.raw().as_ptr(), 2);
    two.writes(&data);
    end_capture(two.raw().as_ptr()).expect("the capture ends");
    Ok(())
}

/// The host waits for a stream after its capture.
pub fn host_waits_after_a_capture() -> Outcome<B> {
    let stream = stream::<B>()?;
    let raw = stream.raw().as_ptr();
    let (data, other) = (memory("data"), memory("other"));
    stream.writes(&data);
    begin_capture(raw, 2);
    stream.writes(&other);
    end_capture(raw).expect("the capture ends");
    stream.synchronize()?;
    B::host_access(Access::Read, &data);
    Ok(())
}

/// Another library destroys its stream, and creates one of the other sort at the same handle.
pub fn blocking_stream_at_an_old_handle() -> Outcome<B> {
    let default = B::default_stream(device::<B>()?)?;
    let data = memory("data");
    let old = driver_stream(1);
    wrapped(old)?.synchronize()?;
    destroy(old);
    let new = driver_stream(0);
    assert_eq!(old, new, "the simulated driver uses handles again");
    default.writes(&data);
    wrapped(new)?.writes(&data);
    default.reads(&data);
    default.synchronize()?;
    destroy(new);
    Ok(())
}

fn wrapped(raw: Ptr) -> Result<<B as Backend>::Stream, <B as Backend>::Error> {
    // SAFETY: the stream is live, and its wrapper is dropped before it is destroyed.
    unsafe { B::stream_from_raw(RawStream::from_ptr(raw), Some(device::<B>()?)) }
}

fn driver_stream(flags: u32) -> Ptr {
    let _current = enter(cuda::primary_context());
    cuda::new_stream(cuda::primary_context(), flags, 0)
}

fn destroy(raw: Ptr) {
    let _current = enter(cuda::primary_context());
    // SAFETY: nothing uses the stream any more.
    ok("cuStreamDestroy", unsafe { (driver().stream_destroy)(raw) });
}
