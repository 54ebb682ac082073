//! The values by the streams that they wait for: [`Shard`], [`Entry`].

use std::any::{Any, TypeId};
use std::collections::VecDeque;
use std::thread::{self, ThreadId};

use gpu_stream_core::{Backend, Device, ErrorKind, RawHandle, Stream};

use crate::batch::{BATCH_SIZE, Batch, Value};

/// The number of shards, each with a lock of its own.
pub(crate) const SHARDS: usize = 8;

/// The number of empty entries that a shard keeps, with their events, for the next value of their streams.
const MAX_IDLE: usize = 16;

/// The number of unused batches that an entry keeps.
const MAX_SPARE: usize = 64;

/// The name of a stream. Equal for two wrappers of one stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    /// The backend of the stream itself. Backends of one kind can have equal devices and handles.
    backend: TypeId,
    device: Device,
    bits: usize,
    /// The thread that records the marks, if no other may.
    thread: Option<ThreadId>,
}

impl Key {
    /// Returns the name of `stream` and, if the entry cannot keep the stream, of the calling thread.
    fn of<S: Stream>(stream: &S, is_kept: bool) -> Self {
        let thread = (!is_kept).then(|| thread::current().id());
        let (backend, device) = (stream.backend_type(), stream.device());
        Key { backend, device, bits: stream.raw_to_compare().to_bits(), thread }
    }

    /// Returns a number for the choice of a shard.
    fn spread(self) -> usize {
        // Fibonacci hashing: handles are multiples of large powers of two.
        (self.bits ^ self.device.ordinal() as usize).wrapping_mul(0x9E37_79B9) >> 16
    }
}

/// Returns the number of the shard with the entry of `streams`. Depends neither on their order nor on repetitions.
pub(crate) fn shard_of<S: Stream>(streams: &[&S]) -> usize {
    streams.iter().map(|stream| Key::of(*stream, true).spread()).max().unwrap_or(0) % SHARDS
}

/// The values of one set of streams.
pub(crate) struct Entry<B: Backend> {
    id: u64,
    /// The names of the streams, each once.
    keys: Vec<Key>,
    /// The values that have no mark yet.
    pub(crate) open: Vec<Value>,
    /// The streams of each value in `open`, as in a batch.
    pub(crate) open_streams: Vec<B::Stream>,
    /// The other values, the oldest first. Claims take them, and what comes in meanwhile is later.
    pub(crate) batches: VecDeque<Batch<B>>,
    /// Batches to use again.
    pub(crate) spare: Vec<Batch<B>>,
    /// `true` while a thread marks, asks or drops the entry's values.
    pub(crate) is_claimed: bool,
    /// A stream of the claim, for a thread that waits for its end.
    pub(crate) claimed_stream: Option<B::Stream>,
    /// The error that the last claim ended with.
    failure: Option<ErrorKind>,
    /// The shard's clock when the entry lost its last value.
    idle_since: u64,
}

impl<B: Backend> Entry<B> {
    /// Returns `true` if the values of the entry wait for what may never come: a fault, or marks from before a reset.
    fn is_lost(&self) -> bool {
        use ErrorKind::{Capturing, InvalidEvent, NotPermitted, OutOfMemory, Unsupported};
        let passes = |kind| {
            matches!(kind, Capturing | InvalidEvent | NotPermitted | OutOfMemory | Unsupported)
        };
        self.failure.is_some_and(|kind| !passes(kind))
    }

    /// Returns `true` if the entry has the values of exactly these streams, and takes more. One that is lost does not:
    /// after a reset, a new stream can have the handle of an old one.
    fn is_of<S: Stream<Backend = B>>(&self, streams: &[&S], is_kept: bool) -> bool {
        if self.is_lost() {
            return false;
        }
        let key = |stream: &&S| Key::of(*stream, is_kept);
        let is_given = |own: &Key| streams.iter().any(|stream| key(stream) == *own);
        streams.iter().all(|stream| self.keys.contains(&key(stream)))
            && (self.keys.len() == 1 || self.keys.iter().all(is_given))
    }

    /// Returns `true` if the values without a mark should get one. With many batches waiting they become larger, since
    /// a runtime can block a record while many are pending.
    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= BATCH_SIZE << (self.batches.len() / 4).min(5)
    }

    /// Returns `true` if the entry has no value. A claimed entry may have some in the claim.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.batches.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.is_empty() && !self.is_claimed
    }

    /// Returns `true` if the streams should be asked for a fault before the entry gets a value.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.open.is_empty() || self.failure.is_some()
    }

    /// Clones `streams`, each once, for the value that is added next.
    pub(crate) fn keep_streams<S: Stream<Backend = B>>(&mut self, streams: &[&S]) {
        for key in &self.keys {
            let named = streams.iter().find(|stream| Key::of(**stream, true) == *key);
            let stream = named.and_then(|stream| (*stream as &dyn Any).downcast_ref::<B::Stream>());
            self.open_streams.extend(stream.cloned());
        }
    }
}

/// A part of the table, which one lock protects.
pub(crate) struct Shard<B: Backend> {
    /// In the order of their numbers.
    pub(crate) entries: Vec<Entry<B>>,
    /// The number of values, in entries and in claims.
    pub(crate) pending: usize,
    /// The number of threads that wait for a claim to end.
    pub(crate) waiters: usize,
    /// Counts what gets an order: new entries, and entries that become empty.
    clock: u64,
}

/// What an entry does not need. Dropping its content can run code of the user, so that happens after the lock is
/// released.
#[must_use]
pub(crate) struct Unused<B: Backend> {
    /// The stream of a claim that has ended.
    pub(crate) stream: Option<B::Stream>,
    /// Batches, whose events an entry without values may not keep.
    pub(crate) spare: Vec<Batch<B>>,
    /// Batches and an entry that are no longer kept.
    pub(crate) rest: (Vec<Batch<B>>, Option<Entry<B>>),
}

impl<B: Backend> Unused<B> {
    /// Returns `true` if there is memory to use again.
    pub(crate) fn has_memory(&self) -> bool {
        self.spare.capacity() > 0
    }
}

impl<B: Backend> Shard<B> {
    pub(crate) const fn new() -> Self {
        Shard { entries: Vec::new(), pending: 0, waiters: 0, clock: 0 }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Returns the entry with the values of these streams.
    ///
    /// `is_kept` says whether the entry keeps the streams. Otherwise it is an entry of the calling thread.
    pub(crate) fn find<S>(&mut self, streams: &[&S], is_kept: bool) -> Option<&mut Entry<B>>
    where
        S: Stream<Backend = B>,
    {
        self.entries.iter_mut().find(|entry| entry.is_of(streams, is_kept))
    }

    /// Returns the entry with the values of these streams, as [`find`](Self::find). Creates it if there is none.
    pub(crate) fn find_or_add<S>(&mut self, streams: &[&S], is_kept: bool) -> &mut Entry<B>
    where
        S: Stream<Backend = B>,
    {
        let found = self.entries.iter().position(|entry| entry.is_of(streams, is_kept));
        let index = found.unwrap_or_else(|| {
            let id = self.tick();
            let mut keys = Vec::with_capacity(streams.len());
            for stream in streams {
                let key = Key::of(*stream, is_kept);
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            self.entries.push(Entry {
                id,
                keys,
                open: Vec::new(),
                open_streams: Vec::new(),
                batches: VecDeque::new(),
                spare: Vec::new(),
                is_claimed: false,
                claimed_stream: None,
                failure: None,
                idle_since: id,
            });
            self.entries.len() - 1
        });
        &mut self.entries[index]
    }

    /// Returns the entry with this number.
    pub(crate) fn by_id(&mut self, id: u64) -> Option<&mut Entry<B>> {
        let index = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.entries.get_mut(index)
    }

    /// Returns the first entry with values whose number is greater than `after`, and at most `last`.
    pub(crate) fn next(&self, after: u64, last: u64) -> Option<&Entry<B>> {
        let first = self.entries.partition_point(|entry| entry.id <= after);
        let entry = self.entries.iter().skip(first).find(|entry| !entry.is_idle());
        entry.filter(|entry| entry.id <= last)
    }

    /// Returns the greatest number of an entry.
    pub(crate) fn last_id(&self) -> u64 {
        self.entries.last().map_or(0, Entry::id)
    }

    /// Adds an entry of another table.
    pub(crate) fn adopt(&mut self, mut entry: Entry<B>) {
        entry.id = self.tick();
        self.pending += entry.count();
        self.entries.push(entry);
    }

    /// Ends a claim: puts what is left of the values back. Returns what the entry does not need.
    pub(crate) fn put_back(
        &mut self,
        id: u64,
        mut batches: VecDeque<Batch<B>>,
        mut spare: Vec<Batch<B>>,
        failure: Option<ErrorKind>,
    ) -> Unused<B> {
        let now = self.tick();
        // A split at the end would allocate.
        let is_long = spare.len() > MAX_SPARE;
        let extra = if is_long { spare.split_off(MAX_SPARE) } else { Vec::new() };
        let mut unused = Unused { stream: None, spare: Vec::new(), rest: (extra, None) };
        let Some(entry) = self.by_id(id) else {
            // A claimed entry is never removed.
            return unused;
        };
        if batches.back().is_some_and(|last| !last.is_marked && !last.streams.is_empty()) {
            // Its values are older than those that came in meanwhile.
            if let Some(mut last) = batches.pop_back() {
                last.values.append(&mut entry.open);
                std::mem::swap(&mut last.values, &mut entry.open);
                last.streams.append(&mut entry.open_streams);
                std::mem::swap(&mut last.streams, &mut entry.open_streams);
                spare.push(last);
            }
        }
        batches.append(&mut entry.batches);
        entry.batches = batches;
        // A retain with marks of its own may have taken from an empty list meanwhile, and never adds.
        entry.spare = spare;
        entry.is_claimed = false;
        unused.stream = entry.claimed_stream.take();
        entry.failure = failure;
        if !entry.is_empty() {
            return unused;
        }
        entry.idle_since = now;
        if B::EVENTS_KEEP_OWNER {
            // The events would keep the owners of the streams alive.
            unused.spare = std::mem::take(&mut entry.spare);
        }
        let idle = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_idle());
        if idle.clone().count() > MAX_IDLE {
            let oldest = idle.min_by_key(|(_, entry)| entry.idle_since).map(|(index, _)| index);
            unused.rest.1 = oldest.map(|index| self.entries.remove(index));
        }
        unused
    }

    /// Gives the memory of an entry's lists back, to be used again.
    pub(crate) fn put_memory_back(&mut self, id: u64, unused: Unused<B>) {
        let Some(entry) = self.by_id(id).filter(|entry| !entry.is_claimed) else { return };
        if entry.spare.capacity() == 0 {
            entry.spare = unused.spare;
        }
    }
}

impl<B: Backend> Entry<B> {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Returns the number of streams.
    pub(crate) fn width(&self) -> usize {
        self.keys.len()
    }

    /// Returns the device of the first stream.
    pub(crate) fn device(&self) -> Option<Device> {
        self.keys.first().map(|key| key.device)
    }

    fn count(&self) -> usize {
        self.open.len() + self.batches.iter().map(|batch| batch.values.len()).sum::<usize>()
    }
}
