//! Memory that is used again, or freed, too early.

use gpu_stream_core::{Access, Backend, Event, Region, Stream};
use gpu_stream_retain::{Reclaimer, Refused, release_on};

use super::support::{Outcome, again, device, memory, stream};

/// A download runs on a side stream while the main stream gives the tensor back to its allocator.
///
/// Mended: the allocator is told of the side stream (`record_stream`).
pub fn freed_during_a_download<B: Backend>(mended: bool) -> Outcome<B> {
    let main = stream::<B>()?;
    let side = stream::<B>()?;
    let tensor = memory("tensor");
    main.writes(&tensor);
    side.wait_stream(&main)?;
    side.reads(&tensor); // first: the download
    if mended {
        main.wait_stream(&side)?;
    }
    main.released(&tensor); // second
    Ok(())
}

/// A caching allocator gives the block of a freed tensor to a tensor of another stream.
///
/// Mended: the new stream waits for those that used the block.
pub fn block_given_to_another_stream<B: Backend>(mended: bool) -> Outcome<B> {
    let main = stream::<B>()?;
    let side = stream::<B>()?;
    let freed = memory("freed tensor");
    main.writes(&freed);
    main.reads(&freed); // first
    let new = again(&freed, "new tensor"); // the allocator's list has the block, which no stream is asked about
    if mended {
        side.wait_stream(&main)?;
    }
    side.writes(&new); // second
    side.synchronize()
}

/// A memory plan lets two branches of a diamond use one slot.
///
/// Mended: a slot is not used again by another stream.
pub fn slot_of_the_memory_plan<B: Backend>(mended: bool) -> Outcome<B> {
    let main = stream::<B>()?;
    let left = stream::<B>()?;
    let right = stream::<B>()?;
    let plan = memory("plan");
    main.writes(&plan.part(0..1024));
    main.fork([&left, &right])?;
    left.reads(&plan.part(0..1024));
    left.writes(&plan.part(1024..2048));
    left.reads(&plan.part(1024..2048)); // first: the last read of this slot in the plan's order
    right.reads(&plan.part(0..1024));
    let slot = if mended { 2048..3072 } else { 1024..2048 };
    right.writes(&plan.part(slot)); // second
    main.join([&left, &right])?;
    main.reads(&plan);
    Ok(())
}

/// An arena's blocks are filled on the copy stream and on the compute stream, and it knows of no stream.
///
/// Mended: copies run in the compute stream.
pub fn arena_and_copy_stream<B: Backend>(mended: bool) -> Outcome<B> {
    let compute = stream::<B>()?;
    let copy = if mended { compute.clone() } else { stream::<B>()? };
    let first = memory("first value");
    copy.writes(&first); // first
    let second = again(&first, "second value");
    compute.writes(&second); // second
    compute.synchronize()
}

/// A buffer frees itself on the stream that allocated it, and another stream still uses it.
///
/// Mended: the stream of the free waits for the user.
pub fn free_on_the_allocating_stream<B: Backend>(mended: bool) -> Outcome<B> {
    struct Buffer<S: Stream> {
        home: S,
        memory: Region,
    }
    impl<S: Stream> Drop for Buffer<S> {
        fn drop(&mut self) {
            self.home.released(&self.memory); // second
        }
    }
    let home = stream::<B>()?;
    let user = stream::<B>()?;
    let buffer = Buffer { home: home.clone(), memory: memory("buffer") };
    user.wait_stream(&home)?;
    user.writes(&buffer.memory); // first
    if mended { release_on(&home, [&user], buffer).map_err(Refused::into_error) } else { Ok(()) }
}

/// The host frees a buffer as soon as its last reference goes, while the compute stream uses it.
///
/// Mended: the free is deferred until the stream is done.
pub fn freed_by_the_host<B: Backend>(mended: bool) -> Outcome<B> {
    struct Buffer<S: Stream>(Region, std::marker::PhantomData<S>);
    impl<S: Stream> Drop for Buffer<S> {
        fn drop(&mut self) {
            S::Backend::host_access(Access::Release, &self.0); // second
        }
    }
    fn buffer<S: Stream>(_: &S) -> Buffer<S> {
        Buffer(memory("buffer"), std::marker::PhantomData)
    }
    let compute = stream::<B>()?;
    let buffer = buffer(&compute);
    compute.writes(&buffer.0); // first
    if mended {
        let reclaimer = Reclaimer::<B>::new();
        reclaimer.retain(buffer, &[&compute]).map_err(Refused::leak)?;
        reclaimer.drain()?;
    }
    Ok(())
}

/// An allocator maps pages anew after a stream's wait for their last user. The wait holds the stream back, not the host.
///
/// Mended: the host waits.
pub fn pages_mapped_behind_a_wait<B: Backend>(mended: bool) -> Outcome<B> {
    let ours = stream::<B>()?;
    let user = stream::<B>()?;
    let pages = memory("pages");
    user.writes(&pages); // first
    let freed = user.record_event()?;
    ours.wait_event(&freed)?;
    if mended {
        freed.synchronize()?;
    }
    B::host_access(Access::Release, &pages); // second
    Ok(())
}

/// A pool moves a block from one stream's list to another's. The second stream waits for the first, but the event of its
/// list is of before.
///
/// Mended: the event is recorded again.
pub fn block_of_a_merged_list<B: Backend>(mended: bool) -> Outcome<B> {
    let donor = stream::<B>()?;
    let merging = stream::<B>()?;
    let taking = stream::<B>()?;
    let merged = merging.record_event()?; // of an earlier block of this list
    let block = memory("block");
    donor.writes(&block); // first
    let freed = donor.record_event()?;
    merging.wait_event(&freed)?;
    if mended {
        merging.record(&merged)?;
    }
    taking.wait_event(&merged)?;
    let stolen = again(&block, "stolen block");
    taking.writes(&stolen); // second
    taking.synchronize()
}

/// An allocator takes a new stream with an old handle for the old stream, whose work goes on after its destruction.
///
/// Mended: the stream is synchronized before it is destroyed.
pub fn stream_handle_used_again<B: Backend>(mended: bool) -> Outcome<B> {
    let old = stream::<B>()?;
    let block = memory("block");
    old.writes(&block); // first
    if mended {
        old.synchronize()?;
    }
    drop(old);
    let new = stream::<B>()?;
    let same = again(&block, "same block"); // "freed on this stream", by the handle
    new.writes(&same); // second
    new.synchronize()
}

/// A pool of pinned memory hands a slab to the next caller, and the upload from it is pending on another stream.
///
/// Mended: an event is recorded when the slab is freed, and the next stream waits for it.
pub fn slab_without_a_stream<B: Backend>(mended: bool) -> Outcome<B> {
    let upload = stream::<B>()?;
    let next = stream::<B>()?;
    let slab = memory("slab");
    upload.reads(&slab); // first
    let freed = upload.record_event()?;
    if mended {
        next.wait_event(&freed)?;
    }
    let same = again(&slab, "slab, again");
    next.writes(&same); // second
    next.synchronize()
}

/// An allocator takes the per-thread streams of two threads for one stream: they have one handle.
///
/// Mended: the block comes with an event.
pub fn per_thread_handle_of_two_threads<B: Backend>(mended: bool) -> Outcome<B> {
    let block = memory("block");
    let other_thread = || {
        let theirs = B::per_thread_stream(device::<B>()?)?;
        theirs.writes(&block); // first
        theirs.record_event()
    };
    let freed = std::thread::scope(|scope| scope.spawn(other_thread).join().expect("no panic"))?;
    let ours = B::per_thread_stream(device::<B>()?)?;
    if mended {
        ours.wait_event(&freed)?;
    }
    let same = again(&block, "same block"); // "freed on this stream", by the handle
    ours.writes(&same); // second
    ours.synchronize()
}
