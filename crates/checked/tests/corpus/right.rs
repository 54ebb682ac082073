//! Programs that are right, and that look like mistakes: nothing is found.

use gpu_stream_core::{Access, Backend, Event, EventOptions, Stream};

use super::support::{Outcome, again, device, memory, stream};

/// A ring of three slots, whose first waits are for events that have no record yet. The last slots are not waited for.
pub fn ring_of_slots<B: Backend>() -> Outcome<B> {
    let copy = stream::<B>()?;
    let kernel = stream::<B>()?;
    let slots = ["slot 0", "slot 1", "slot 2"].map(memory);
    let mut events = Vec::new();
    for _ in &slots {
        events.push((copy.new_event(EventOptions::new())?, kernel.new_event(EventOptions::new())?));
    }
    for round in 0..10 {
        let (slot, (full, free)) = (&slots[round % 3], &events[round % 3]);
        copy.wait_event(free)?;
        copy.writes(slot);
        copy.record(full)?;
        kernel.wait_event(full)?;
        kernel.reads(slot);
        kernel.record(free)?;
    }
    Ok(())
}

/// The host reads what the event of a copy says is there, and fills the buffer again. The stream itself goes on.
pub fn host_waits_for_an_event<B: Backend>() -> Outcome<B> {
    let copy = stream::<B>()?;
    let (buffer, other) = (memory("buffer"), memory("other"));
    for _ in 0..3 {
        copy.writes(&buffer);
        let done = copy.record_event()?;
        copy.writes(&other);
        done.synchronize()?;
        B::host_access(Access::Read, &buffer);
        B::host_access(Access::Write, &buffer);
    }
    copy.synchronize()?;
    B::host_access(Access::Release, &buffer);
    Ok(())
}

/// The host polls a stream, and another stream then uses the memory without a wait.
pub fn query_that_says_true<B: Backend>() -> Outcome<B> {
    let work = stream::<B>()?;
    let other = stream::<B>()?;
    let data = memory("data");
    work.writes(&data);
    while !work.query()? {
        std::thread::yield_now();
    }
    other.writes(&data);
    other.synchronize()
}

/// A thread hands memory and an event to another thread, which uses it on its per-thread stream.
pub fn hand_over_to_a_thread<B: Backend>() -> Outcome<B> {
    let data = memory("data");
    let ours = stream::<B>()?;
    ours.writes(&data);
    let ready = ours.record_event()?;
    let theirs = || {
        let mine = B::per_thread_stream(device::<B>()?)?;
        mine.wait_event(&ready)?;
        mine.reads(&data);
        mine.record_event()
    };
    let done = std::thread::scope(|scope| scope.spawn(theirs).join().expect("no panic"))?;
    ours.wait_event(&done)?;
    ours.writes(&data);
    Ok(())
}

/// A stream-ordered allocator gives a block to the next allocation of the same stream, and to another stream by an event.
pub fn blocks_of_a_pool<B: Backend>() -> Outcome<B> {
    let first = stream::<B>()?;
    let second = stream::<B>()?;
    let mut block = memory("block");
    for _ in 0..3 {
        first.writes(&block);
        first.released(&block);
        block = again(&block, "block, again");
    }
    let freed = first.record_event()?;
    second.wait_event(&freed)?;
    second.writes(&block);
    second.released(&block);
    Ok(())
}

/// Three stages on three streams: the last is after the first, though it waits for the second only.
pub fn order_that_passes_through<B: Backend>() -> Outcome<B> {
    let one = stream::<B>()?;
    let two = stream::<B>()?;
    let three = stream::<B>()?;
    let data = memory("data");
    one.writes(&data);
    two.wait_stream(&one)?;
    three.wait_stream(&two)?;
    three.writes(&data);
    one.wait_stream(&three)?;
    one.reads(&data);
    Ok(())
}

/// Two branches write the two halves of one allocation, and read what a third stream has written.
pub fn halves_of_one_allocation<B: Backend>() -> Outcome<B> {
    let main = stream::<B>()?;
    let left = stream::<B>()?;
    let right = stream::<B>()?;
    let (input, output) = (memory("input"), memory("output"));
    main.writes(&input);
    main.fork([&left, &right])?;
    left.reads(&input);
    right.reads(&input);
    left.writes(&output.part(0..2048));
    right.writes(&output.part(2048..4096));
    main.join([&left, &right])?;
    main.reads(&output);
    main.writes(&input);
    Ok(())
}
