//! Marks, asks and drops the values of one set of streams: [`Claim`].

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use gpu_stream_core::{Backend, Error, ErrorKind, Event, KnownWork, Stream};

use crate::batch::{Batch, is_of_capture};
use crate::entry::{Entry, EntryId};
use crate::reclaimer::Reclaimer;
use crate::table::Shard;
use crate::value::Value;

thread_local! {
    /// The number of claims that this thread has.
    static CLAIMS: Cell<usize> = const { Cell::new(0) };
}

/// Returns `true` if this thread has a claim: it runs a destructor, or code of a user inside a call of the backend.
pub(crate) fn is_inside() -> bool {
    CLAIMS.get() > 0
}

/// What the destructors of values have done.
#[derive(Default)]
pub(crate) struct Drops {
    /// The number of values that were dropped.
    pub(crate) count: usize,
    /// The first panic.
    panic: Option<Box<dyn Any + Send>>,
}

impl Drops {
    /// Drops the values in their order.
    fn drop_all(&mut self, values: &mut Vec<Value>) {
        self.count += values.len();
        let mut rest = values.drain(..);
        // Each panic ends a round.
        while rest.len() > 0 {
            self.catch(|| rest.by_ref().for_each(drop));
        }
    }

    /// Drops `value`. A panic of its destructor loses no other value.
    pub(crate) fn drop_one<T>(&mut self, value: T) {
        self.catch(|| drop(value));
    }

    /// Drops one by one what can keep owners of streams: a second panic within one drop would abort the process.
    pub(crate) fn drop_owners<B: Backend>(&mut self, entry: &mut Entry<B>) {
        entry.open_streams.drain(..).for_each(|stream| self.drop_one(stream));
        for batch in entry.batches.iter_mut().chain(&mut entry.spare) {
            batch.streams.drain(..).for_each(|stream| self.drop_one(stream));
            batch.marks.drain(..).for_each(|mark| self.drop_one(mark));
        }
    }

    /// Calls `run`, and keeps its panic.
    fn catch(&mut self, run: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            match &self.panic {
                None => self.panic = Some(panic),
                Some(_) => forget_panic(panic),
            }
        }
    }

    /// Hands the first panic on to the caller. A thread that is unwinding already would abort the process.
    pub(crate) fn hand_on_panic(self) -> usize {
        match self.panic {
            Some(panic) if std::thread::panicking() => forget_panic(panic),
            Some(panic) => resume_unwind(panic),
            None => {}
        }
        self.count
    }

    /// Drops the panic, which the panic hook has reported.
    pub(crate) fn discard_panic(self) {
        if let Some(panic) = self.panic {
            forget_panic(panic);
        }
    }
}

/// Drops the payload of a panic. Leaks what a panicking destructor of the payload throws in turn.
fn forget_panic(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

/// The values of an entry, taken out of the table. No lock is held meanwhile, so that the backend, and what it runs
/// of the user, can use the reclaimer. Other threads leave the entry's values alone, which keeps their order.
pub(crate) struct Claim<'a, B: Backend> {
    reclaimer: &'a Reclaimer<B>,
    shard: usize,
    id: EntryId,
    /// The number of streams.
    width: usize,
    /// The oldest first. Only the last one, or one whose record went into a capture, is not marked.
    batches: VecDeque<Batch<B>>,
    spare: Vec<Batch<B>>,
    failure: Option<ErrorKind>,
    has_ended: bool,
}

impl<'a, B: Backend> Claim<'a, B> {
    /// Takes the values of the entry with this number. Returns `None` if another thread has them, or there are none.
    pub(crate) fn take(
        reclaimer: &'a Reclaimer<B>,
        shard: usize,
        table: &mut Shard<B>,
        id: EntryId,
    ) -> Option<Self> {
        let entry = table.by_id(id).filter(|entry| !entry.is_claimed && !entry.is_empty())?;
        entry.is_claimed = true;
        let (batches, spare) = (take(&mut entry.batches), take(&mut entry.spare));
        let width = entry.width();
        let mut claim =
            Claim { reclaimer, shard, id, width, batches, spare, failure: None, has_ended: false };
        if !entry.open.is_empty() {
            let mut last = claim.spare.pop().unwrap_or_else(Batch::new);
            last.is_marked = false;
            last.known = KnownWork::new();
            std::mem::swap(&mut last.values, &mut entry.open);
            std::mem::swap(&mut last.streams, &mut entry.open_streams);
            claim.batches.push_back(last);
        }
        let first = claim.batches.front().and_then(|batch| batch.streams.first());
        entry.claimed_stream = first.cloned();
        CLAIMS.set(CLAIMS.get() + 1);
        Some(claim)
    }

    /// Drops what the streams are done with, and marks what has no mark. Does not block.
    ///
    /// Asks the oldest mark of the streams, and a later one only if the one before it is reached.
    #[track_caller]
    pub(crate) fn collect(&mut self, drops: &mut Drops) -> Result<(), B::Error> {
        let mut done = 0;
        let mut outcome = Ok(());
        while done < self.batches.len() {
            match self.is_done(done) {
                Ok(true) => done += 1,
                Ok(false) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        // Marked first: what a destructor submits holds back none of the others.
        if outcome.is_ok() {
            outcome = self.mark(done);
        }
        self.failure = outcome.as_ref().err().map(Error::kind);
        self.drop_first(done, drops);
        outcome
    }

    /// Does for a batch that is full what [`collect`](Self::collect) does, but asks no mark of an earlier batch. The
    /// retain that began this one has asked, and that of the next one will.
    #[track_caller]
    pub(crate) fn complete_batch(&mut self, drops: &mut Drops) -> Result<(), B::Error> {
        if self.batches.len() < 2 {
            return self.collect(drops);
        }
        let outcome = self.mark(0);
        self.failure = outcome.as_ref().err().map(Error::kind);
        outcome
    }

    /// Drops all values, each after its streams are done. Blocks the thread until then.
    #[track_caller]
    pub(crate) fn drain(&mut self, drops: &mut Drops) -> Result<(), B::Error> {
        self.collect(drops)?;
        while let Some(batch) = self.batches.front_mut() {
            let streams = batch.first_streams(self.width);
            let mut reached = Ok(());
            if batch.is_marked {
                for mark in &batch.marks {
                    reached = mark.synchronize();
                    if reached.is_err() {
                        break;
                    }
                }
            } else {
                // Its streams were being captured. If they still are, the error says so.
                for stream in streams {
                    reached = stream.query().map(drop);
                    if reached.is_err() {
                        break;
                    }
                }
            }
            let is_lost = |error: &B::Error| batch.is_marked && is_of_capture(error.kind());
            let reached = match reached {
                Err(error) if !is_lost(&error) || streams.is_empty() => Err(error),
                _ => self.is_done(0),
            };
            let outcome = match reached {
                Ok(true) => {
                    self.drop_first(1, drops);
                    continue;
                }
                Ok(false) => self.mark(0),
                Err(error) => Err(error),
            };
            self.failure = outcome.as_ref().err().map(Error::kind);
            outcome?;
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Takes the last value of the last batch.
    pub(crate) fn take_last_value(&mut self, drops: &mut Drops) -> Option<Value> {
        let batch = self.batches.back_mut()?;
        let value = batch.values.pop()?;
        self.reclaimer.lock(self.shard).pending -= 1;
        if batch.values.is_empty()
            && let Some(batch) = self.batches.pop_back()
        {
            self.recycle(batch, drops);
        }
        Some(value)
    }

    /// Returns `true` if the streams are done with the batch of this index.
    #[track_caller]
    fn is_done(&mut self, index: usize) -> Result<bool, B::Error> {
        let Some(batch) = self.batches.get_mut(index) else { return Ok(false) };
        if batch.is_marked {
            match batch.is_reached() {
                // The record went into a capture that began at the same moment, and stands for nothing. Without
                // the streams it cannot be repeated.
                Err(error) if is_of_capture(error.kind()) && !batch.streams.is_empty() => {
                    batch.is_marked = false;
                }
                answer => return answer,
            }
        }
        batch.are_idle(self.width)
    }

    /// Marks the batches from `from` on that have no mark: the first one, if its record went into a capture, and
    /// the last one.
    #[track_caller]
    fn mark(&mut self, from: usize) -> Result<(), B::Error> {
        let last = self.batches.len().saturating_sub(1);
        for index in [from, last] {
            if let Some(batch) = self.batches.get_mut(index)
                && index >= from
                && !batch.is_marked
            {
                batch.mark(self.width)?;
            }
        }
        Ok(())
    }

    /// Drops the values of the first `count` batches.
    fn drop_first(&mut self, count: usize, drops: &mut Drops) {
        let values: usize = self.batches.iter().take(count).map(|batch| batch.values.len()).sum();
        if values > 0 {
            self.reclaimer.lock(self.shard).pending -= values;
        }
        for _ in 0..count {
            let Some(mut batch) = self.batches.pop_front() else { break };
            let known = take(&mut batch.known);
            known.run(|| {
                drops.drop_all(&mut batch.values);
                self.recycle(batch, drops);
            });
            self.reclaimer.dropped_work.add(&known);
        }
    }

    /// Keeps a batch without values to be used again. Drops what can keep the streams' owners, whose destructors may
    /// run here.
    fn recycle(&mut self, mut batch: Batch<B>, drops: &mut Drops) {
        batch.streams.drain(..).for_each(|stream| drops.drop_one(stream));
        if B::EVENTS_KEEP_OWNER {
            batch.marks.drain(..).for_each(|mark| drops.drop_one(mark));
        }
        self.spare.push(batch);
    }
}

impl<B: Backend> Claim<'_, B> {
    /// Puts what is left back into the table. Dropping what is not needed can run destructors of the streams' owners.
    pub(crate) fn end(mut self, drops: &mut Drops) {
        self.put_back(drops);
    }

    fn put_back(&mut self, drops: &mut Drops) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let (batches, spare) = (take(&mut self.batches), take(&mut self.spare));
        let mut table = self.reclaimer.lock(self.shard);
        let unused = table.put_back(self.id, batches, spare, self.failure);
        let wakes = table.waiters > 0;
        drop(table);
        if wakes {
            self.reclaimer.wake(self.shard);
        }
        unused.marks.into_iter().for_each(|mark| drops.drop_one(mark));
        drops.drop_one(unused.stream);
        drops.drop_one(unused.rest);
        CLAIMS.set(CLAIMS.get() - 1);
    }
}

/// For a call of the backend that panics.
impl<B: Backend> Drop for Claim<'_, B> {
    fn drop(&mut self) {
        let mut drops = Drops::default();
        self.put_back(&mut drops);
        drops.discard_panic();
    }
}
