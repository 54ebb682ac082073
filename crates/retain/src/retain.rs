//! The two ways of a value into the table: with its batch, and with marks of its own.

use std::any::TypeId;

use gpu_stream_core::{Backend, HandleKind, RawHandle, Stream, StreamOf};

use crate::batch::{Batch, check};
use crate::claim::{Claim, Drops};
use crate::key::hash_of;
use crate::reclaimer::Reclaimer;
use crate::table::shard_of;
use crate::value::Value;

/// Returns `true` if the reclaimer can keep clones of `streams`, to record them later and on any thread.
pub(crate) fn is_kept<S: Stream>(streams: &[&S]) -> bool {
    let is_per_thread =
        |stream: &&S| HandleKind::of(stream.raw_to_compare().to_bits()) == HandleKind::PerThread;
    TypeId::of::<S>() == TypeId::of::<StreamOf<S>>() && !streams.iter().any(is_per_thread)
}

impl<B: Backend> Reclaimer<B> {
    /// Keeps `value` in the open batch of `streams`. Returns it with the reason if that fails.
    #[track_caller]
    pub(crate) fn retain_for_batch<S>(
        &self,
        value: Value,
        streams: &[&S],
    ) -> (Option<(Value, B::Error)>, Drops)
    where
        S: Stream<Backend = B>,
    {
        let (hash, mut drops) = (hash_of(streams), Drops::default());
        let index = shard_of(hash);
        let mut table = self.lock(index);
        let open = table.find(hash, streams, true).filter(|(_, entry)| !entry.is_in_doubt());
        let (id, is_full) = if let Some((id, entry)) = open {
            entry.add(value, streams);
            (id, entry.is_full())
        } else {
            // Not under the lock: a call of the backend can run code of the user.
            drop(table);
            for stream in streams {
                if let Err(error) = check(*stream, true) {
                    return (Some((value, error)), drops);
                }
            }
            self.collect_before_batch(hash, streams, &mut drops);
            table = self.lock(index);
            let (id, entry) = table.find_or_add(hash, streams, true);
            entry.add(value, streams);
            (id, entry.is_full())
        };
        table.pending += 1;
        let claim = if is_full { Claim::take(self, index, &mut table, id) } else { None };
        drop(table);
        let Some(mut claim) = claim else { return (None, drops) };
        // After an error, this value is still the last of its batch, and has no mark.
        let outcome = claim.complete_batch(&mut drops);
        let refused =
            outcome.err().and_then(|error| Some((claim.take_last_value(&mut drops)?, error)));
        claim.end(&mut drops);
        (refused, drops)
    }

    /// Drops earlier values of `streams` that they are done with, if the next value begins a batch.
    ///
    /// A reset of the context kills the marks, and the new stream of the handle works. Values that wait for such marks
    /// must not hold back the next one.
    #[track_caller]
    fn collect_before_batch<S>(&self, hash: u64, streams: &[&S], drops: &mut Drops)
    where
        S: Stream<Backend = B>,
    {
        let index = shard_of(hash);
        let mut table = self.lock(index);
        let found = table.find(hash, streams, true).filter(|(_, entry)| entry.open.is_empty());
        let id = found.map(|(id, _)| id);
        if let Some(mut claim) = id.and_then(|id| Claim::take(self, index, &mut table, id)) {
            drop(table);
            // An error is about earlier values, and the next `collect` returns it.
            let _ = claim.collect(drops);
            claim.end(drops);
        }
    }

    /// Keeps `value` with marks that this call records, for streams that only this thread can record. Returns it
    /// with the reason if that fails.
    #[track_caller]
    pub(crate) fn retain_with_marks<S>(
        &self,
        value: Value,
        streams: &[&S],
    ) -> (Option<(Value, B::Error)>, Drops)
    where
        S: Stream<Backend = B>,
    {
        let (hash, mut drops) = (hash_of(streams), Drops::default());
        let index = shard_of(hash);
        let spare =
            self.lock(index).find(hash, streams, false).and_then(|(_, entry)| entry.spare.pop());
        let mut batch = spare.unwrap_or_else(Batch::new);
        if let Err(error) = record_each(&mut batch, streams) {
            // It can be the last one with the owner of a stream.
            drops.drop_one(batch);
            return (Some((value, error)), drops);
        }
        batch.is_marked = true;
        batch.values.push(value);
        let mut table = self.lock(index);
        let (id, entry) = table.find_or_add(hash, streams, false);
        entry.batches.push_back(batch);
        let is_due = entry.batches.len().is_multiple_of(16);
        table.pending += 1;
        let claim = if is_due { Claim::take(self, index, &mut table, id) } else { None };
        drop(table);
        if let Some(mut claim) = claim {
            // An error is about earlier values, and the next `collect` returns it.
            let _ = claim.collect(&mut drops);
            claim.end(&mut drops);
        }
        (None, drops)
    }
}

/// Records the marks of `batch`, one for each stream. Returns an error if a stream is being captured.
#[track_caller]
fn record_each<B, S>(batch: &mut Batch<B>, streams: &[&S]) -> Result<(), B::Error>
where
    B: Backend,
    S: Stream<Backend = B>,
{
    let mut count = 0;
    for (earlier, stream) in streams.iter().enumerate() {
        check(*stream, true)?;
        if !streams.iter().take(earlier).any(|other| other.is_same(*stream)) {
            batch.record_uncaptured(count, *stream)?;
            count += 1;
        }
    }
    Ok(())
}
