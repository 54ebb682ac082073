//! Captures and events of the CUDA driver's own calls.

use gpu_stream_checked::{Checked, CheckedStream};
use gpu_stream_core::{Backend, Event, RawEvent, Stream};
use gpu_stream_cuda::Cuda;
use gpu_stream_test_drivers::cuda::{self, Ptr, begin_capture, driver, end_capture, enter, ok};

use super::support::{Outcome, device, memory, stream};

type B = Checked<Cuda>;

/// Within a capture, memory is freed on the stream where the capture began, and used on a side stream of the capture.
///
/// Mended: the free is after the side stream's work.
pub fn freed_in_a_capture(mended: bool) -> Outcome<B> {
    let origin = stream::<B>()?;
    let side = stream::<B>()?;
    let scratch = memory("scratch");
    captured(&origin, || {
        side.wait_stream(&origin)?;
        side.writes(&scratch); // first
        if mended {
            origin.wait_stream(&side)?;
        }
        origin.released(&scratch); // second
        origin.wait_stream(&side)
    })
}

/// A captured fork names a branch twice, as one that collects its branches from a list can do.
///
/// Mended: the branch waits for the write.
pub fn branch_twice_in_a_capture(mended: bool) -> Outcome<B> {
    let origin = stream::<B>()?;
    let side = stream::<B>()?;
    let data = memory("data");
    captured(&origin, || {
        origin.fork([&side, &side])?;
        origin.writes(&data); // first
        if mended {
            side.wait_stream(&origin)?;
        }
        side.writes(&data); // second
        origin.join([&side, &origin, &side])?;
        origin.writes(&data);
        Ok(())
    })
}

/// A captured fork and join, beside work that is not captured and uses the same memory: when the graph runs is not known.
pub fn capture_beside_other_work() -> Outcome<B> {
    let origin = stream::<B>()?;
    let side = stream::<B>()?;
    let other = stream::<B>()?;
    let data = memory("data");
    other.writes(&data);
    captured(&origin, || {
        origin.writes(&data);
        side.wait_stream(&origin)?;
        side.reads(&data);
        origin.wait_stream(&side)?;
        origin.writes(&data);
        Ok(())
    })?;
    other.reads(&data);
    other.synchronize()
}

/// A side stream is joined, and then captured. The first call in the capture takes its handle, for a launch.
pub fn launch_in_a_capture_after_the_join() -> Outcome<B> {
    let caller = stream::<B>()?;
    let side = stream::<B>()?;
    side.wait_stream(&caller)?;
    let raw = side.raw().as_ptr();
    caller.wait_stream(&side)?;
    begin_capture(raw, 2);
    let launched_on = side.raw().as_ptr();
    end_capture(launched_on).expect("the capture ends");
    let _ = caller.raw();
    Ok(())
}

/// Captures what `work` submits to the stream and to those that join it. The graph is not launched.
fn captured(origin: &CheckedStream<Cuda>, work: impl FnOnce() -> Outcome<B>) -> Outcome<B> {
    let raw = origin.raw().as_ptr();
    begin_capture(raw, 2);
    let outcome = work();
    end_capture(raw).expect("the capture ends");
    outcome
}

/// Another library records an event of its own after its work and ours. What its record stands for is not known,
/// so the wait counts as one for all earlier work.
pub fn event_of_another_library() -> Outcome<B> {
    let ours = stream::<B>()?;
    let theirs = stream::<B>()?;
    let data = memory("data");
    theirs.writes(&data);
    let event = driver_event();
    record(event, theirs.raw().as_ptr());
    // SAFETY: the event is never destroyed.
    let wrapped = unsafe { B::event_from_raw(RawEvent::from_ptr(event), Some(device::<B>()?))? };
    ours.wait_event(&wrapped)?;
    ours.writes(&data);
    ours.synchronize()
}

/// Another library records one of our events, after a record of ours.
pub fn our_event_in_another_library() -> Outcome<B> {
    let ours = stream::<B>()?;
    let theirs = stream::<B>()?;
    let event = ours.record_event()?;
    let data = memory("data");
    theirs.writes(&data);
    record(event.raw().as_ptr(), theirs.raw().as_ptr());
    ours.wait_event(&event)?;
    ours.writes(&data);
    ours.synchronize()
}

fn driver_event() -> Ptr {
    let _current = enter(cuda::primary_context());
    cuda::new_event(2) // without timing
}

fn record(event: Ptr, stream: Ptr) {
    let _current = enter(cuda::primary_context());
    // SAFETY: both are live.
    ok("cuEventRecord", unsafe { (driver().event_record)(event, stream) });
}
