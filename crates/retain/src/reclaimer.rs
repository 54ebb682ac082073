//! Keeps values until streams are done with them: [`Reclaimer`].

use std::any::Any;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{Backend, ContractError, Device, Event, EventOptions, Stream};

use crate::batch::check;
use crate::claim::{Claim, Drops, is_inside};
use crate::dropped_work::DroppedWork;
use crate::entry::{Entry, EntryId};
use crate::retain::is_kept;
use crate::table::{SHARDS, Shard};
use crate::value::Value;
use crate::{Refused, forks, process_wide};

/// What a [`collect`](Reclaimer::collect) has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Collected {
    /// The number of values that the call dropped.
    pub dropped: usize,
    /// The number of values that are still kept.
    pub pending: usize,
}

/// Keeps values until streams are done with them, and then drops them on a thread that calls it.
///
/// [`retain`](Self::retain) takes a value that work on some streams uses: a buffer, a guard, a Python object.
/// [`collect`](Self::collect) drops those that the streams no longer use, and
/// [`drain`](Self::drain) waits for all. There is no thread behind it: without further calls, values stay.
///
/// ```
/// use gpu_stream_core::{Backend, Stream, StreamOptions};
/// use gpu_stream_host::Host;
/// use gpu_stream_retain::Reclaimer;
///
/// let reclaimer = Reclaimer::new();
/// let stream = Host::new_stream(Host::device(0)?, StreamOptions::new())?;
/// let buffer = vec![0_u8; 4096];
/// // … submit work that uses `buffer` to `stream` …
/// reclaimer.retain(buffer, &[&stream]).map_err(|refused| refused.leak())?;
/// // Later, now and then: drops what is done.
/// reclaimer.collect()?;
/// // At the end: waits for the streams.
/// reclaimer.drain()?;
/// assert_eq!(reclaimer.pending(), 0);
/// # Ok::<(), gpu_stream_host::HostError>(())
/// ```
///
/// # Marks
/// Values of the same streams share one event for each stream, which is recorded after the last of them came in:
/// by the retain that completes a batch, or by the next [`collect`](Self::collect) or [`drain`](Self::drain). So work
/// that is submitted between the retain and that record keeps the value, too. The events are recorded again for
/// later values. A batch has 64 values, and up to 2,048 while many others wait.
///
/// A mark is a submission to the stream, by whichever thread makes the call. If another thread begins a capture of the
/// stream meanwhile, the value stays until the capture is over. On HIP, a capture that begins *and* ends during the record is
/// not noticed, and the value is dropped too early. A program that makes one calls [`collect`](Self::collect) before it, so
/// that no value lacks a mark.
///
/// For a [`PerThread`](gpu_stream_core::PerThread), and for a type of the program around a stream, the retain itself
/// records the mark. If a capture has begun meanwhile, the value comes back. If that capture is over, the mark is recorded
/// again.
///
/// Until a value is dropped, the reclaimer keeps clones of its streams: for all values of a batch, as the first of them
/// named the streams. A stream that was wrapped by [`Backend::stream_from_raw`] has to stay alive as long.
///
/// # Memory
/// A value of up to three words is kept without an allocation, and a larger one in a box.
///
/// # Destructors
/// Values are dropped by the calls of this type, on the calling thread, while no lock is held. A destructor may
/// call the reclaimer and the backend. If it panics, the other values are dropped anyway, and the call hands
/// the first panic on to its caller.
///
/// Values of the same streams are dropped in the order of their retains. While a thread runs their destructors, other
/// threads leave the values of the same streams alone, and drop those of other streams.
///
/// # Faults
/// A value is dropped only if its streams *say* that they are done. Behind a fault, or a context that was
/// destroyed, values stay, because the device may still use them. [`abandon`](Self::abandon) hands them over.
///
/// # The end
/// Dropping a reclaimer never blocks. It hands the values that are left to the one of the process
/// ([`process_wide`](Self::process_wide)), whose values stay when the process exits. The child of a fork leaves
/// all values of its parent alone: calls of a reclaimer from before the fork return
/// [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted).
pub struct Reclaimer<B: Backend> {
    shards: [(Mutex<Shard<B>>, Condvar); SHARDS],
    pub(crate) dropped_work: DroppedWork,
    /// The process that the values belong to.
    process: usize,
}

impl<B: Backend> Default for Reclaimer<B> {
    fn default() -> Self {
        Reclaimer::new()
    }
}

impl<B: Backend> fmt::Debug for Reclaimer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reclaimer").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

impl<B: Backend> Reclaimer<B> {
    /// Creates an empty reclaimer. Calls no driver.
    pub fn new() -> Self {
        forks::watch();
        let shard = |_| (Mutex::new(Shard::new()), Condvar::new());
        let (shards, dropped_work) = (std::array::from_fn(shard), DroppedWork::new());
        Reclaimer { shards, dropped_work, process: forks::current() }
    }

    /// Returns the reclaimer that all code of the process shares, which is never dropped.
    ///
    /// Its values are dropped by whichever code calls it next, so their destructors run on any thread.
    ///
    /// The child of a fork has one of its own, so call this again there. The parent's leaves its values alone in the
    /// child, as each reclaimer from before the fork.
    pub fn process_wide() -> &'static Self {
        process_wide::of()
    }

    /// Keeps `value` until `streams` have done all work that was submitted before this call. Does not block.
    ///
    /// Work that is submitted later, before the [mark](Self#marks), keeps the value as well. Naming a stream twice
    /// changes nothing. Without any stream, the value is dropped at once.
    ///
    /// The streams may be of several devices. They are all ordinary streams, or all
    /// [`PerThread`](gpu_stream_core::PerThread). For the latter, and for a type of the program around a stream, each call
    /// records marks at once, and asks their events.
    ///
    /// Each call asks each stream for a capture, which is most of its cost on CUDA and HIP. So make one value of the objects of
    /// a launch: a `Vec`, or a tuple.
    ///
    /// A call that begins or completes a batch also drops what its streams are done with. It can block like any
    /// submission, if the vendor's queue is full.
    ///
    /// # Errors
    /// The value comes back in the error.
    ///
    /// - [`Capturing`](gpu_stream_core::ErrorKind::Capturing) if a stream is being captured: a graph may run its work
    ///   many times. The capture goes on.
    /// - [`InvalidEvent`](gpu_stream_core::ErrorKind::InvalidEvent) or
    ///   [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) if the call records marks at once, and a capture begins and ends
    ///   during each of eight records.
    /// - As [`Stream::query`], [`Event::status`] and [`Stream::record_event`]. If the stream fails after that, the value
    ///   stays.
    /// - [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) in the child of a fork.
    ///
    /// # Panics
    /// If the destructor of an earlier value panics, after all others have run. This value is retained then.
    ///
    /// Origin:
    /// [`torch.Tensor.record_stream`](https://docs.pytorch.org/docs/stable/generated/torch.Tensor.record_stream.html).
    #[doc(alias("record_stream", "recordStream", "keep_alive", "defer_release"))]
    #[track_caller]
    pub fn retain<T, S>(&self, value: T, streams: &[&S]) -> Result<(), Refused<T, B::Error>>
    where
        T: Send + 'static,
        S: Stream<Backend = B>,
    {
        if let Err(error) = self.ensure_not_forked() {
            return Err(Refused::new(value, error));
        }
        for stream in streams {
            if let Err(error) = check(*stream, false) {
                return Err(Refused::new(value, error));
            }
        }
        if streams.is_empty() {
            return Ok(());
        }
        let (refused, drops) = match is_kept(streams) {
            true => self.retain_for_batch(Value::new(value), streams),
            false => self.retain_with_marks(Value::new(value), streams),
        };
        match refused {
            None => {
                drops.hand_on_panic();
                Ok(())
            }
            // The panic of another value's destructor would drop this value.
            Some((value, error)) => {
                drops.discard_panic();
                let value = value.into_box().downcast::<T>().expect("the value of this call");
                Err(Refused::new(*value, error))
            }
        }
    }

    /// Drops all values that their streams are done with, and marks the values that have no mark. Does not block.
    ///
    /// Which values it drops depends on how fast the work is. So under a check of the order, the call orders the destructors
    /// after the work, and no other code. [`drain`](Self::drain) orders all that follows.
    ///
    /// Asks at most one event of each stream that is not reached: the oldest one. While a value has no mark, it asks
    /// the stream itself. Leaves captures of other threads alive. Values of a stream that is being captured since
    /// they were retained stay until the capture is over.
    ///
    /// # Errors
    /// The first error of any stream, after all streams were asked. What is behind a fault stays, and every later
    /// call returns the error.
    ///
    /// - As [`Stream::query`], [`Event::status`] and [`Stream::record_event`].
    /// - [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) in the child of a fork.
    ///
    /// # Panics
    /// If the destructor of a value panics, after all others have run.
    #[track_caller]
    pub fn collect(&self) -> Result<Collected, B::Error> {
        self.ensure_not_forked()?;
        let (mut drops, mut outcome) = (Drops::default(), Ok(()));
        let mut pending = 0;
        for index in 0..SHARDS {
            let mut table = self.lock(index);
            if table.pending == 0 {
                continue;
            }
            let (mut after, newest) = (None, table.newest());
            while let Some((id, _)) = table.next(after, newest) {
                after = Some(id);
                if let Some(mut claim) = Claim::take(self, index, &mut table, id) {
                    drop(table);
                    let collected = claim.collect(&mut drops);
                    claim.end(&mut drops);
                    outcome = outcome.and(collected);
                    table = self.lock(index);
                }
            }
            pending += table.pending;
        }
        // Destructors may have retained values in shards that come earlier.
        if drops.count > 0 {
            pending = self.pending();
        }
        let dropped = drops.hand_on_panic();
        outcome.map(|()| Collected { dropped, pending })
    }

    /// Blocks until the streams are done with all values that were retained before this call, and drops the values.
    ///
    /// The work that the values were kept for is then done, whichever call dropped them.
    ///
    /// Waits also for other threads that are dropping some of them at this moment. In a destructor that such a call
    /// runs, it leaves out what the calls around it, and other threads, are dropping.
    ///
    /// # Errors
    /// The first error of any stream, after all others were drained. The values of that stream stay.
    ///
    /// - [`Capturing`](gpu_stream_core::ErrorKind::Capturing) if a stream is being captured since a value was retained.
    /// - As [`Event::synchronize`], and as [`collect`](Self::collect).
    ///
    /// # Panics
    /// If the destructor of a value panics, after all others have run.
    #[track_caller]
    pub fn drain(&self) -> Result<(), B::Error> {
        self.ensure_not_forked()?;
        let (mut drops, mut outcome) = (Drops::default(), Ok(()));
        for index in 0..SHARDS {
            let (mut after, newest) = (None, self.lock(index).newest());
            loop {
                let mut table = self.lock(index);
                let Some((id, entry)) = table.next(after, newest) else { break };
                let device = entry.device();
                if entry.is_claimed && !is_inside() {
                    let stream = entry.claimed_stream.clone();
                    drop(table);
                    // Work of a stream may not wait for another thread that waits for the stream.
                    let waited = self.ensure_may_block(stream.as_ref(), device);
                    // It can be the last one with the owner.
                    drops.drop_one(stream);
                    if waited.is_ok() {
                        self.wait_for_claim(index, id);
                    } else {
                        after = Some(id);
                    }
                    outcome = outcome.and(waited);
                    continue;
                }
                after = Some(id);
                let claim = Claim::take(self, index, &mut table, id);
                drop(table);
                if let Some(mut claim) = claim {
                    let drained = claim.drain(&mut drops);
                    claim.end(&mut drops);
                    outcome = outcome.and(drained);
                }
            }
        }
        self.dropped_work.order();
        drops.hand_on_panic();
        outcome
    }

    /// Returns the number of values that are kept. Returns 0 in the child of a fork, whose parent has them.
    pub fn pending(&self) -> usize {
        match self.ensure_not_forked() {
            Ok(()) => (0..SHARDS).map(|index| self.lock(index).pending).sum(),
            Err(_) => 0,
        }
    }

    /// Returns all values, whatever their streams are doing: those of each set of streams in the order of their
    /// retains. Does not block, and asks no stream.
    ///
    /// The device may still use them. Behind a fault, keep them for as long as the process lives, or drop what is
    /// only on the host. Returns nothing in the child of a fork.
    ///
    /// The reclaimer's clones of the streams are dropped. A panic of an owner's destructor is caught, as it would drop
    /// the values.
    pub fn abandon(mut self) -> Vec<Box<dyn Any + Send>> {
        let is_forked = self.ensure_not_forked().is_err();
        let (mut values, mut drops) = (Vec::new(), Drops::default());
        for (_, mut entry) in self.take_entries().flatten() {
            if is_forked {
                std::mem::forget(entry);
                continue;
            }
            entry.batches.iter_mut().for_each(|batch| values.append(&mut batch.values));
            values.append(&mut entry.open);
            drops.drop_owners(&mut entry);
        }
        drops.discard_panic();
        values.into_iter().map(Value::into_box).collect()
    }

    fn take_entries(&mut self) -> impl Iterator<Item = Vec<(EntryId, Box<Entry<B>>)>> {
        self.shards.iter_mut().map(|(shard, _)| {
            let shard = shard.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(shard, Shard::new()).entries
        })
    }

    /// Locks a shard. Until it is unlocked, the backend is not called but for a stream's handle, device and clone, and
    /// nothing of the user is dropped.
    pub(crate) fn lock(&self, index: usize) -> MutexGuard<'_, Shard<B>> {
        self.shards[index].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the threads that wait for a claim of this shard.
    pub(crate) fn wake(&self, index: usize) {
        self.shards[index].1.notify_all();
    }

    /// Blocks until the entry with this number is not claimed.
    fn wait_for_claim(&self, index: usize, id: EntryId) {
        let mut table = self.lock(index);
        table.waiters += 1;
        while table.by_id(id).is_some_and(|entry| entry.is_claimed) {
            table = self.shards[index].1.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
        table.waiters -= 1;
    }

    /// Returns the backend's error if this thread may not block, because it runs the work of a stream.
    ///
    /// Asks an event of `stream`, if there is one: a backend that forwards to others may not know that of a device.
    fn ensure_may_block(
        &self,
        stream: Option<&B::Stream>,
        device: Option<Device>,
    ) -> Result<(), B::Error> {
        let options = EventOptions::new();
        let event = match (stream, device) {
            (Some(stream), _) => stream.new_event(options)?,
            (None, Some(device)) => B::new_event(device, options)?,
            (None, None) => return Ok(()),
        };
        event.synchronize()
    }

    fn ensure_not_forked(&self) -> Result<(), B::Error> {
        if self.process == forks::current() {
            return Ok(());
        }
        Err(ContractError::ProcessForked { backend: B::KIND }.into())
    }
}

/// Hands what is left to the reclaimer of the process. Never blocks on a stream, and drops no value.
impl<B: Backend> Drop for Reclaimer<B> {
    fn drop(&mut self) {
        let is_forked = self.ensure_not_forked().is_err();
        for (index, entries) in self.take_entries().enumerate() {
            if is_forked {
                std::mem::forget(entries);
                continue;
            }
            for (id, entry) in entries.into_iter().filter(|(_, entry)| !entry.is_empty()) {
                let heir = Self::process_wide();
                match heir.ensure_not_forked() {
                    Ok(()) => heir.lock(index).adopt(id.hash, entry),
                    Err(_) => std::mem::forget(entry),
                }
            }
        }
    }
}
