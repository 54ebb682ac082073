//! The entries of many sets of streams: [`Shard`].

use std::collections::VecDeque;

use gpu_stream_core::{Backend, ErrorKind, Stream};

use crate::batch::Batch;
use crate::entry::{Entry, EntryId};

/// The number of shards, each with a lock of its own.
pub(crate) const SHARDS: usize = 8;

/// The number of empty entries that a shard keeps for the next value of their streams.
const MAX_IDLE: usize = 16;

/// The number of unused batches that an entry keeps.
const MAX_SPARE: usize = 64;

/// Returns the number of the shard with the sets of this hash.
pub(crate) fn shard_of(hash: u64) -> usize {
    hash as usize % SHARDS
}

/// A part of the table, which one lock protects.
pub(crate) struct Shard<B: Backend> {
    /// Sorted by their names. A box keeps the moves of an insertion short.
    pub(crate) entries: Vec<(EntryId, Box<Entry<B>>)>,
    /// The entries without values and without a claim. The last one became empty last.
    idle: Vec<EntryId>,
    /// The number of values, in entries and in claims.
    pub(crate) pending: usize,
    /// The number of threads that wait for a claim to end.
    pub(crate) waiters: usize,
    /// The number of the newest entry.
    newest: u64,
}

/// What an entry does not need. Dropping its content can run code of the user, so that happens after the lock is
/// released.
#[must_use]
pub(crate) struct Unused<B: Backend> {
    /// The stream of a claim that has ended.
    pub(crate) stream: Option<B::Stream>,
    /// Marks that may keep an owner.
    pub(crate) marks: Vec<B::Event>,
    /// Batches and an entry that are no longer kept.
    pub(crate) rest: (Vec<Batch<B>>, Option<Box<Entry<B>>>),
}

impl<B: Backend> Shard<B> {
    pub(crate) const fn new() -> Self {
        Shard { entries: Vec::new(), idle: Vec::new(), pending: 0, waiters: 0, newest: 0 }
    }

    /// Returns the number of the newest entry.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Returns the position of the entry with the values of these streams.
    fn position<S>(&self, hash: u64, streams: &[&S], is_kept: bool) -> Option<usize>
    where
        S: Stream<Backend = B>,
    {
        let first = self.entries.partition_point(|(id, _)| id.hash < hash);
        let of_hash = self.entries[first..].iter().take_while(|(id, _)| id.hash == hash);
        of_hash
            .map(|(_, entry)| entry.is_of(streams, is_kept))
            .position(|is_found| is_found)
            .map(|index| first + index)
    }

    /// Returns the entry with the values of these streams, whose [`hash_of`](crate::key::hash_of) is `hash`.
    ///
    /// `is_kept` says whether the entry keeps the streams. Otherwise it is an entry of the calling thread.
    pub(crate) fn find<S>(
        &mut self,
        hash: u64,
        streams: &[&S],
        is_kept: bool,
    ) -> Option<(EntryId, &mut Entry<B>)>
    where
        S: Stream<Backend = B>,
    {
        let index = self.position(hash, streams, is_kept)?;
        let (id, entry) = self.entries.get_mut(index)?;
        Some((*id, entry))
    }

    /// Returns the entry with the values of these streams, as [`find`](Self::find). Creates it if there is none.
    ///
    /// The caller adds a value to the entry.
    pub(crate) fn find_or_add<S>(
        &mut self,
        hash: u64,
        streams: &[&S],
        is_kept: bool,
    ) -> (EntryId, &mut Entry<B>)
    where
        S: Stream<Backend = B>,
    {
        let index = match self.position(hash, streams, is_kept) {
            Some(index) => index,
            None => self.insert(hash, Box::new(Entry::new(streams, is_kept))),
        };
        let (id, entry) = &mut self.entries[index];
        if entry.is_idle() {
            self.idle.retain(|idle| idle != id);
        }
        (*id, entry)
    }

    /// Adds an entry, and returns its position.
    fn insert(&mut self, hash: u64, entry: Box<Entry<B>>) -> usize {
        self.newest += 1;
        let id = EntryId { hash, number: self.newest };
        let index = self.entries.partition_point(|(other, _)| *other < id);
        self.entries.insert(index, (id, entry));
        index
    }

    /// Adds an entry of another table, which has values.
    pub(crate) fn adopt(&mut self, hash: u64, entry: Box<Entry<B>>) {
        self.pending += entry.count();
        self.insert(hash, entry);
    }

    /// Returns the entry with this name.
    pub(crate) fn by_id(&mut self, id: EntryId) -> Option<&mut Entry<B>> {
        let index = self.entries.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.entries.get_mut(index).map(|(_, entry)| &mut **entry)
    }

    /// Returns the first entry with values behind `after`, or of all. Leaves out those that are newer than number
    /// `newest`.
    pub(crate) fn next(&self, after: Option<EntryId>, newest: u64) -> Option<(EntryId, &Entry<B>)> {
        let first = self.entries.partition_point(|(id, _)| Some(*id) <= after);
        let mut rest = self.entries[first..].iter();
        rest.find(|(id, entry)| id.number <= newest && !entry.is_idle())
            .map(|(id, entry)| (*id, &**entry))
    }

    /// Ends a claim: puts what is left of the values back. Returns what the entry does not need.
    pub(crate) fn put_back(
        &mut self,
        id: EntryId,
        mut batches: VecDeque<Batch<B>>,
        mut spare: Vec<Batch<B>>,
        failure: Option<ErrorKind>,
    ) -> Unused<B> {
        let mut unused = Unused { stream: None, marks: Vec::new(), rest: (Vec::new(), None) };
        let Some(entry) = self.by_id(id) else {
            // A claimed entry is never removed.
            return unused;
        };
        if batches.back().is_some_and(|last| !last.is_marked && !last.streams.is_empty())
            && let Some(mut last) = batches.pop_back()
        {
            entry.put_open_back(&mut last);
            if B::EVENTS_KEEP_OWNER {
                // Some of the marks may have been recorded.
                unused.marks = std::mem::take(&mut last.marks);
            }
            spare.push(last);
        }
        // A split at the end would allocate.
        if spare.len() > MAX_SPARE {
            unused.rest.0 = spare.split_off(MAX_SPARE);
        }
        batches.append(&mut entry.batches);
        entry.batches = batches;
        // A retain with marks of its own may have taken from an empty list meanwhile, and never adds.
        entry.spare = spare;
        entry.is_claimed = false;
        unused.stream = entry.claimed_stream.take();
        entry.failure = failure;
        if entry.is_empty() {
            self.idle.push(id);
            if self.idle.len() > MAX_IDLE {
                unused.rest.1 = self.remove(0);
            }
        }
        unused
    }

    /// Removes the idle entry with this index in the list of idle ones.
    fn remove(&mut self, index: usize) -> Option<Box<Entry<B>>> {
        let id = self.idle.remove(index);
        let index = self.entries.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.entries.remove(index).1)
    }
}
