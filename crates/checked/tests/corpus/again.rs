//! Right programs whose streams, handles and memory come again.

use gpu_stream_checked::{Checked, CheckedStream};
use gpu_stream_core::{Access, Backend, EventOptions, PlainHandles, Region, Stream};

use super::support::{Outcome, device, memory, stream};

/// Number of streams that make the check forget what it can.
const MANY: usize = 300;

/// Creates and drops many streams, and the events of their work.
fn many_streams<B: Backend>() -> Outcome<B> {
    for _ in 0..MANY {
        let one = stream::<B>()?;
        let scratch = memory("scratch");
        one.writes(&scratch);
        one.synchronize()?;
    }
    Ok(())
}

/// Wraps the stream for one call, as an extension of another library does.
fn wrapped<B: Backend>(theirs: &B::Stream) -> Result<B::Stream, B::Error> {
    // SAFETY: `theirs` outlives the wrapper, which is dropped within one of the programs below.
    unsafe { B::stream_from_raw(theirs.raw(), Some(theirs.device())) }
}

/// Wrappers of a raw handle are made for one call each, while many other streams come and go.
pub fn wrapper_for_each_call<B: Backend>() -> Outcome<B> {
    let torch = stream::<B>()?;
    let side = stream::<B>()?;
    let (data, result) = (memory("data"), memory("result"));
    for _ in 0..3 {
        wrapped::<B>(&torch)?.writes(&data);
        side.wait_stream(&wrapped::<B>(&torch)?)?;
        many_streams::<B>()?;
        side.reads(&data);
        side.writes(&result);
        wrapped::<B>(&torch)?.wait_stream(&side)?;
        many_streams::<B>()?;
        wrapped::<B>(&torch)?.reads(&result);
    }
    Ok(())
}

/// A foreign stream waits, has no wrapper for a while, and reads.
pub fn order_without_a_wrapper<B: PlainHandles>() -> Outcome<Checked<B>> {
    let theirs = B::new_stream(device::<Checked<B>>()?, Default::default())?;
    let side = stream::<Checked<B>>()?;
    let data = memory("data");
    side.writes(&data);
    Checked::<B>::wrap(theirs.clone()).wait_stream(&side)?;
    many_streams::<Checked<B>>()?;
    Checked::<B>::wrap(theirs.clone()).reads(&data);
    let again: CheckedStream<B> = Checked::<B>::wrap(theirs);
    again.writes(&data);
    side.wait_stream(&again)?;
    drop(again);
    many_streams::<Checked<B>>()?;
    side.writes(&data);
    Ok(())
}

/// The stream inside outlives its wrapper, and is wrapped again after many other streams.
pub fn stream_inside_is_kept<B: PlainHandles>() -> Outcome<Checked<B>> {
    let side = stream::<Checked<B>>()?;
    let data = memory("data");
    side.writes(&data);
    let checked = stream::<Checked<B>>()?;
    checked.wait_stream(&side)?;
    let inside = checked.inner().clone();
    drop(checked);
    many_streams::<Checked<B>>()?;
    Checked::<B>::wrap(inside).reads(&data);
    Ok(())
}

/// An event is waited for after its stream is gone, and after that many others.
pub fn event_outlives_its_stream<B: Backend>() -> Outcome<B> {
    let (first, last) = (stream::<B>()?, stream::<B>()?);
    let (data, other) = (memory("data"), memory("other"));
    first.writes(&other);
    let middle = stream::<B>()?;
    middle.wait_stream(&first)?;
    middle.writes(&data);
    let event = middle.record_event()?;
    drop(middle);
    many_streams::<B>()?;
    last.wait_event(&event)?;
    last.writes(&data);
    last.writes(&other);
    Ok(())
}

/// Regions at the ends of the address space, empty ones, and the largest one.
pub fn regions_of_all_sizes<B: Backend>() -> Outcome<B> {
    let one = stream::<B>()?;
    let two = stream::<B>()?;
    for (start, bytes) in [(0, 0), (usize::MAX, 0), (usize::MAX, 9), (0x10, 0)] {
        let empty = Region::new("empty", start, bytes);
        one.writes(&empty);
        two.writes(&empty);
        one.released(&empty);
        two.writes(&empty);
    }
    let half = Region::new("half", 1 << 63, 1 << 63);
    one.writes(&half);
    two.wait_stream(&one)?;
    two.writes(&half);
    two.released(&half);
    two.synchronize()?;
    B::host_access(Access::Write, &Region::new("half, again", 1 << 63, usize::MAX));
    Ok(())
}

/// Forks within forks, and events of a pool that are recorded again by other streams.
pub fn nested_forks<B: Backend>() -> Outcome<B> {
    let main = stream::<B>()?;
    let outer = [stream::<B>()?, stream::<B>()?];
    let inner = [stream::<B>()?, stream::<B>()?, stream::<B>()?];
    let pool = [main.new_event(EventOptions::new())?, main.new_event(EventOptions::new())?];
    let data = memory("data");
    for round in 0..5 {
        main.writes(&data);
        main.fork(&outer)?;
        for branch in &outer {
            branch.reads(&data);
            branch.fork(&inner)?;
            for leaf in &inner {
                leaf.reads(&data);
            }
            branch.join(&inner)?;
        }
        for (index, branch) in outer.iter().enumerate() {
            let event = &pool[(index + round) % 2];
            branch.record(event)?;
            main.wait_event(event)?;
        }
        main.writes(&data);
    }
    Ok(())
}

/// Each of many threads that end uses its per-thread stream.
pub fn threads_that_end<B: Backend>() -> Outcome<B> {
    let main = stream::<B>()?;
    let data = memory("data");
    for _ in 0..100 {
        main.writes(&data);
        let ready = main.record_event()?;
        let use_it = || {
            let mine = B::per_thread_stream(device::<B>()?)?;
            mine.wait_event(&ready)?;
            mine.writes(&data);
            mine.record_event()
        };
        let done = std::thread::scope(|scope| scope.spawn(use_it).join().expect("no panic"))?;
        main.wait_event(&done)?;
    }
    main.writes(&data);
    Ok(())
}
