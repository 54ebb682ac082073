//! The values of one set of streams: [`Entry`].

use std::any::Any;
use std::collections::VecDeque;

use gpu_stream_core::{Backend, Device, ErrorKind, Stream};

use crate::batch::{BATCH_SIZE, Batch};
use crate::key::Key;
use crate::value::Value;

/// The name of an entry in its shard. Sorts by the hash of the streams.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct EntryId {
    pub(crate) hash: u64,
    /// Counts the entries of the shard.
    pub(crate) number: u64,
}

/// The values of one set of streams.
pub(crate) struct Entry<B: Backend> {
    /// The names of the streams, each once.
    keys: Vec<Key>,
    /// The values that have no mark yet.
    pub(crate) open: Vec<Value>,
    /// The streams of `open`, as in a batch.
    pub(crate) open_streams: Vec<B::Stream>,
    /// The other values, the oldest first. Claims take them, and what comes in meanwhile is later.
    pub(crate) batches: VecDeque<Batch<B>>,
    /// Batches to use again. They have no streams, and no marks that keep an owner.
    pub(crate) spare: Vec<Batch<B>>,
    /// `true` while a thread marks, asks or drops the entry's values.
    pub(crate) is_claimed: bool,
    /// A stream of the claim, for a thread that waits for its end.
    pub(crate) claimed_stream: Option<B::Stream>,
    /// The error that the last claim ended with.
    pub(crate) failure: Option<ErrorKind>,
}

impl<B: Backend> Entry<B> {
    /// Creates an entry without values.
    pub(crate) fn new<S: Stream<Backend = B>>(streams: &[&S], is_kept: bool) -> Self {
        let mut keys = Vec::with_capacity(streams.len());
        for stream in streams {
            let key = Key::of(*stream, is_kept);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Entry {
            keys,
            open: Vec::new(),
            open_streams: Vec::new(),
            batches: VecDeque::new(),
            spare: Vec::new(),
            is_claimed: false,
            claimed_stream: None,
            failure: None,
        }
    }

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
    pub(crate) fn is_of<S: Stream<Backend = B>>(&self, streams: &[&S], is_kept: bool) -> bool {
        if self.is_lost() {
            return false;
        }
        let key = |stream: &&S| Key::of(*stream, is_kept);
        if let ([own], [stream]) = (&*self.keys, streams) {
            return *own == key(stream);
        }
        let is_given = |own: &Key| streams.iter().any(|stream| key(stream) == *own);
        streams.iter().all(|stream| self.keys.contains(&key(stream)))
            && self.keys.iter().all(is_given)
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

    pub(crate) fn is_idle(&self) -> bool {
        self.is_empty() && !self.is_claimed
    }

    /// Returns `true` if the streams should be asked for a fault before the entry gets a value.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.open.is_empty() || self.failure.is_some()
    }

    /// Adds a value that gets its mark later. The first one of a batch also brings the batch's streams.
    pub(crate) fn add<S: Stream<Backend = B>>(&mut self, value: Value, streams: &[&S]) {
        if self.open.is_empty() {
            for key in &self.keys {
                let named = streams.iter().find(|stream| Key::of(**stream, true) == *key);
                let stream =
                    named.and_then(|stream| (*stream as &dyn Any).downcast_ref::<B::Stream>());
                self.open_streams.extend(stream.cloned());
            }
        }
        self.open.push(value);
    }

    /// Puts back the oldest values that have no mark, which are older than those that came in meanwhile.
    pub(crate) fn put_open_back(&mut self, last: &mut Batch<B>) {
        last.values.append(&mut self.open);
        std::mem::swap(&mut last.values, &mut self.open);
        // The first wrappers serve all values. The others stay with them, as nothing is dropped under the lock.
        last.streams.append(&mut self.open_streams);
        std::mem::swap(&mut last.streams, &mut self.open_streams);
    }

    /// Returns the number of streams.
    pub(crate) fn width(&self) -> usize {
        self.keys.len()
    }

    /// Returns the device of the first stream.
    pub(crate) fn device(&self) -> Option<Device> {
        self.keys.first().map(|key| key.device)
    }

    pub(crate) fn count(&self) -> usize {
        self.open.len() + self.batches.iter().map(|batch| batch.values.len()).sum::<usize>()
    }
}
