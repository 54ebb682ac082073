//! Right programs of the CUDA driver's own calls, whose captures and handles come again.

use gpu_stream_checked::Checked;
use gpu_stream_core::{Access, Backend, Event, RawStream, Stream, StreamOptions};
use gpu_stream_cuda::Cuda;
use gpu_stream_test_drivers::cuda::{self, Ptr, begin_capture, driver, end_capture, enter, ok};

use super::support::{Outcome, device, memory, stream, two_devices};

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

/// The vendor orders the default stream with a blocking stream and with the per-thread one. The host that waits for it waits for
/// their work, too.
pub fn blocking_streams_and_the_default_one() -> Outcome<B> {
    let default = B::default_stream(device::<B>()?)?;
    let mine = B::per_thread_stream(device::<B>()?)?;
    let blocking = B::new_stream(device::<B>()?, StreamOptions::new().blocking(true))?;
    let x = memory("x");
    default.writes(&x);
    mine.reads(&x);
    default.writes(&x);
    blocking.reads(&x);
    default.writes(&x);
    mine.writes(&x);
    default.synchronize()?;
    B::host_access(Access::Write, &x);
    mine.writes(&x);
    let event = default.record_event()?;
    event.synchronize()?;
    B::host_access(Access::Write, &x);
    blocking.writes(&x);
    let other = stream::<B>()?;
    other.wait_stream(&default)?;
    other.writes(&x);
    default.wait_stream(&other)?;
    mine.writes(&x);
    other.wait_event(&default.record_event()?)?;
    other.writes(&x);
    other.synchronize()
}
/// The default streams of two devices are two streams.
pub fn default_streams_of_two_devices() -> Outcome<B> {
    let (one, two) = two_devices::<B>()?;
    let (a, b) = (B::default_stream(one)?, B::default_stream(two)?);
    let x = memory("x");
    a.writes(&x);
    b.wait_stream(&a)?;
    b.writes(&x);
    let blocking = B::new_stream(two, StreamOptions::new().blocking(true))?;
    blocking.writes(&x);
    a.wait_stream(&blocking)?;
    a.writes(&x);
    let blocking = B::new_stream(one, StreamOptions::new().blocking(true))?;
    blocking.writes(&x);
    blocking.synchronize()?;
    b.writes(&x);
    Ok(())
}
/// Captures with forks, one after the other, from either stream, and ordered work between them.
pub fn captures_with_forks() -> Outcome<B> {
    let (a, b, c) = (stream::<B>()?, stream::<B>()?, stream::<B>()?);
    let (x, y) = (memory("x"), memory("y"));
    for _ in 0..3 {
        a.writes(&x);
        begin_capture(a.raw().as_ptr(), 2);
        a.writes(&x);
        a.fork([&b, &c])?;
        b.reads(&x);
        c.reads(&x);
        c.writes(&y);
        b.wait_stream(&c)?;
        b.reads(&y);
        a.join([&b, &c])?;
        a.writes(&x);
        a.writes(&y);
        end_capture(a.raw().as_ptr()).expect("ends");
        let raw = b.raw().as_ptr();
        b.wait_stream(&a)?;
        b.writes(&x);
        begin_capture(raw, 2);
        b.writes(&x);
        c.wait_event(&b.record_event()?)?;
        c.writes(&x);
        b.wait_stream(&c)?;
        end_capture(raw).expect("ends");
        a.wait_stream(&b)?;
        a.wait_stream(&c)?;
        a.writes(&x);
    }
    a.synchronize()
}
/// Two threads capture at the same time, with the same memory.
pub fn captures_on_two_threads() -> Outcome<B> {
    let x = memory("x");
    let work = || -> Outcome<B> {
        for _ in 0..20 {
            let (a, b) = (stream::<B>()?, stream::<B>()?);
            begin_capture(a.raw().as_ptr(), 1);
            a.writes(&x);
            b.wait_stream(&a)?;
            b.writes(&x);
            a.wait_stream(&b)?;
            a.reads(&x);
            end_capture(a.raw().as_ptr()).expect("ends");
        }
        Ok(())
    };
    std::thread::scope(|s| {
        let other = s.spawn(work);
        work()?;
        other.join().expect("no panic")
    })
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
