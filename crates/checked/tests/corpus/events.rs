//! Events that do not stand for what was meant.

use gpu_stream_core::{Backend, Event, EventOptions, Stream, StreamOptions};

use super::support::{Outcome, again, memory, stream, two_devices};

/// One event is recorded on each of several streams, and then waited for once: the last record is the only one.
///
/// Mended: a wait after each record.
pub fn one_event_for_all_streams<B: Backend>(mended: bool) -> Outcome<B> {
    let main = stream::<B>()?;
    let one = stream::<B>()?;
    let two = stream::<B>()?;
    let parts = memory("parts");
    one.writes(&parts.part(0..2048)); // first
    two.writes(&parts.part(2048..4096));
    let barrier = main.new_event(EventOptions::new())?;
    one.record(&barrier)?;
    if mended {
        main.wait_event(&barrier)?;
    }
    two.record(&barrier)?;
    main.wait_event(&barrier)?;
    main.reads(&parts); // second
    Ok(())
}

/// Before a write, only the event of the last read is waited for.
///
/// Mended: the event of the last write, too.
pub fn writes_not_waited_for<B: Backend>(mended: bool) -> Outcome<B> {
    let one = stream::<B>()?;
    let two = stream::<B>()?;
    let array = memory("array");
    one.reads(&array);
    let read = one.record_event()?;
    one.writes(&array); // first
    let written = one.record_event()?;
    two.wait_event(&read)?;
    if mended {
        two.wait_event(&written)?;
    }
    two.writes(&array); // second
    two.synchronize()
}

/// A test holds a stream back by an event that it records later. The wait has no effect, and the test cannot fail.
///
/// Mended: the event is recorded before the wait.
pub fn gate_recorded_after_the_wait<B: Backend>(mended: bool) -> Outcome<B> {
    let side = stream::<B>()?;
    let blocker = stream::<B>()?;
    let gate = blocker.new_event(EventOptions::new())?;
    if mended {
        blocker.record(&gate)?;
    }
    side.wait_event(&gate)?; // first
    let _launched_on = side.raw();
    if !mended {
        blocker.record(&gate)?; // second
    }
    side.synchronize() // before
}

/// A test lets a stream wait for an event that is never recorded, so that its later events stay pending. They do not.
///
/// Mended: the event is recorded behind work of another stream, which a test would hold back.
pub fn event_that_is_never_recorded<B: Backend>(mended: bool) -> Outcome<B> {
    let work = stream::<B>()?;
    let held = stream::<B>()?;
    let never = work.new_event(EventOptions::new())?;
    if mended {
        held.launch_host_func(Box::new(|| {}))?;
        held.record(&never)?;
    }
    work.wait_event(&never)?; // second
    work.record_event()?.synchronize()
}

/// The compute stream's progress is taken for that of the copy, and so the wait is left out.
///
/// Mended: the event of the copy is asked.
pub fn wrong_stream_asked<B: Backend>(mended: bool) -> Outcome<B> {
    let compute = stream::<B>()?;
    let upload = stream::<B>()?;
    let input = memory("input");
    upload.writes(&input); // first
    let ready = upload.record_event()?;
    let is_past = if mended { ready.query()? } else { compute.query()? };
    if !is_past {
        compute.wait_event(&ready)?;
    }
    compute.reads(&input); // second
    Ok(())
}

/// A pool's event was made for another device. The record fails, and the failure is ignored.
///
/// Mended: an event of the stream's own device.
pub fn event_of_another_device<B: Backend>(mended: bool) -> Outcome<B> {
    let (here, there) = two_devices::<B>()?;
    let upload = B::new_stream(here, StreamOptions::new())?;
    let next = B::new_stream(there, StreamOptions::new())?;
    let pooled = B::new_event(if mended { here } else { there }, EventOptions::new())?;
    let slab = memory("slab");
    upload.reads(&slab); // first
    let _ignored = upload.record(&pooled);
    next.wait_event(&pooled)?;
    let same = again(&slab, "slab, again");
    next.writes(&same); // second
    next.synchronize()
}
