//! The two ways of a value into the table: with its batch, and with marks of its own.

use std::any::TypeId;

use gpu_stream_core::{Backend, HandleKind, RawHandle, Stream, StreamOf};

use crate::batch::{Batch, Value, check};
use crate::claim::{Claim, Drops};
use crate::reclaimer::Reclaimer;
use crate::table::shard_of;

/// Returns `true` if the reclaimer can keep clones of `streams`, to record them later and on any thread.
pub(crate) fn is_kept<S: Stream>(streams: &[&S]) -> bool {
    let is_per_thread =
        |stream: &&S| HandleKind::of(stream.raw_to_compare().to_bits()) == HandleKind::PerThread;
    TypeId::of::<S>() == TypeId::of::<StreamOf<S>>() && !streams.iter().any(is_per_thread)
}

impl<B: Backend> Reclaimer<B> {
    /// Keeps `value` in the open batch of `streams`. Returns it with the reason if that fails.
    pub(crate) fn retain_for_batch<S>(
        &self,
        value: Value,
        streams: &[&S],
    ) -> (Option<(Value, B::Error)>, Drops)
    where
        S: Stream<Backend = B>,
    {
        let (index, mut drops) = (shard_of(streams), Drops::default());
        let mut table = self.lock(index);
        if table.find(streams, true).is_none_or(|entry| entry.is_in_doubt()) {
            // Not under the lock: a call of the backend can run code of the user.
            drop(table);
            for stream in streams {
                if let Err(error) = check(*stream, true) {
                    return (Some((value, error)), drops);
                }
            }
            table = self.lock(index);
            // A reset of the context kills the marks, and the new stream of the handle works. Values that wait for
            // such marks must not hold back this one.
            let id = table
                .find(streams, true)
                .filter(|entry| entry.open.is_empty())
                .map(|entry| entry.id());
            if let Some(mut claim) = id.and_then(|id| Claim::take(self, index, &mut table, id)) {
                drop(table);
                // An error is about earlier values, and the next `collect` returns it.
                let _ = claim.collect(&mut drops);
                claim.end(&mut drops);
                table = self.lock(index);
            }
        }
        let entry = table.find_or_add(streams, true);
        entry.keep_streams(streams);
        entry.open.push(value);
        let (id, is_full) = (entry.id(), entry.is_full());
        table.pending += 1;
        let claim = if is_full { Claim::take(self, index, &mut table, id) } else { None };
        drop(table);
        let Some(mut claim) = claim else { return (None, drops) };
        // After an error, this value is still the last of its batch, and has no mark.
        let outcome = claim.collect(&mut drops);
        let refused =
            outcome.err().and_then(|error| Some((claim.take_last_value(&mut drops)?, error)));
        claim.end(&mut drops);
        (refused, drops)
    }

    /// Keeps `value` with marks that this call records, for streams that only this thread can record. Returns it
    /// with the reason if that fails.
    pub(crate) fn retain_with_marks<S>(
        &self,
        value: Value,
        streams: &[&S],
    ) -> (Option<(Value, B::Error)>, Drops)
    where
        S: Stream<Backend = B>,
    {
        let (index, mut drops) = (shard_of(streams), Drops::default());
        let spare = self.lock(index).find(streams, false).and_then(|entry| entry.spare.pop());
        let mut batch = spare.unwrap_or_else(Batch::new);
        let mut record = || {
            let mut count = 0;
            for (earlier, stream) in streams.iter().enumerate() {
                check(*stream, true)?;
                if !streams.iter().take(earlier).any(|other| other.is_same(*stream)) {
                    batch.record(count, *stream)?;
                    count += 1;
                }
            }
            Ok(())
        };
        if let Err(error) = record() {
            return (Some((value, error)), drops);
        }
        batch.is_marked = true;
        batch.values.push(value);
        let mut table = self.lock(index);
        let entry = table.find_or_add(streams, false);
        entry.batches.push_back(batch);
        let (id, is_due) = (entry.id(), entry.batches.len().is_multiple_of(16));
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
