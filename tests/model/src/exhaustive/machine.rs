//! The state of an explored program: [`Machine`].

use std::collections::BTreeMap;

use crate::program::StreamKind;

/// Record: its statement, and its number in that statement.
pub(super) type RecordId = (usize, usize);

/// Item of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Item {
    Task(u8),
    Gate(u8),
    Record(RecordId),
    Wait(RecordId),
    /// Waits until a queue has executed this many items, as a blocking stream and the default stream do.
    Behind(usize, usize),
}

/// Condition that a thread in `synchronize` waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Blocked {
    /// A queue has executed this many items.
    Queue(usize, usize),
    /// A record is reached; `None` is always reached.
    Record(Option<RecordId>),
}

/// State of a program: its threads and its queues.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Machine {
    /// Program counter of each thread.
    pub(super) pc: Vec<usize>,
    pub(super) blocked: Vec<Option<Blocked>>,
    /// Channels on which a thread has sent.
    pub(super) messages: Vec<u8>,
    pub(super) streams: BTreeMap<u8, usize>,
    pub(super) default_queues: BTreeMap<(Option<u8>, u8), usize>,
    /// The default streams and the blocking streams: queue, device, and `true` for a default stream.
    pub(super) implicit: Vec<(usize, u8, bool)>,
    pub(super) events: BTreeMap<u8, Option<RecordId>>,
    pub(super) queues: Vec<Vec<Item>>,
    /// Number of executed items of each queue.
    pub(super) heads: Vec<usize>,
    pub(super) open: Vec<u8>,
    /// Statements of the accesses that the host has made itself.
    pub(super) host: Vec<u8>,
}

impl Machine {
    /// Returns `true` if all items of the queue are executed. Those of a default stream include the items of the blocking
    /// streams.
    pub(super) fn is_idle(&self, queue: usize) -> bool {
        let is_empty = |queue: usize| self.heads[queue] == self.queues[queue].len();
        let own = self.implicit.iter().find(|(own, _, is_default)| *own == queue && *is_default);
        let is_awaited = |(other, device, is_default): &(usize, u8, bool)| {
            own.is_some_and(|own| own.1 == *device) && !is_default && !is_empty(*other)
        };
        is_empty(queue) && !self.implicit.iter().any(is_awaited)
    }

    /// Returns all executed items.
    pub(super) fn executed(&self) -> impl Iterator<Item = Item> {
        let parts = self.queues.iter().zip(&self.heads);
        parts.flat_map(|(queue, head)| queue[..*head].iter().copied())
    }

    /// Returns `true` if the record is executed.
    pub(super) fn is_reached(&self, record: RecordId) -> bool {
        self.executed().any(|item| item == Item::Record(record))
    }

    /// Creates a queue.
    pub(super) fn queue(&mut self) -> usize {
        self.queues.push(Vec::new());
        self.heads.push(0);
        self.queues.len() - 1
    }

    /// Returns the queue of a new stream: the default one, the per-thread one, or a new queue.
    pub(super) fn queue_of_new(&mut self, kind: StreamKind, device: u8, thread: u8) -> usize {
        let queue = match kind {
            StreamKind::Default | StreamKind::Own => {
                let key = ((kind == StreamKind::Own).then_some(thread), device);
                let known = self.default_queues.get(&key).copied();
                let queue = known.unwrap_or_else(|| self.queue());
                self.default_queues.insert(key, queue);
                queue
            }
            _ => self.queue(),
        };
        let entry = (queue, device, kind == StreamKind::Default);
        let is_implicit =
            matches!(kind, StreamKind::Default | StreamKind::Own | StreamKind::Blocking);
        if is_implicit && !self.implicit.contains(&entry) {
            self.implicit.push(entry);
        }
        queue
    }

    /// Appends an item to the queue of a stream.
    pub(super) fn submit(&mut self, stream: u8, item: Item) {
        let queue = self.streams[&stream];
        if let Some((_, device, is_default)) =
            self.implicit.iter().find(|(own, ..)| *own == queue).copied()
        {
            let others =
                self.implicit.iter().filter(|(_, on, other)| *on == device && *other != is_default);
            let lengths: Vec<_> =
                others.map(|(other, ..)| Item::Behind(*other, self.queues[*other].len())).collect();
            self.queues[queue].extend(lengths);
        }
        self.queues[queue].push(item);
    }

    /// Records on `stream`, and makes all branches on other queues wait for the record.
    pub(super) fn fork(&mut self, stream: u8, branches: &[u8], record: RecordId) {
        let source = self.streams[&stream];
        let others = branches.iter().filter(|branch| self.streams[*branch] != source);
        let others: Vec<u8> = others.copied().collect();
        if !others.is_empty() {
            self.submit(stream, Item::Record(record));
        }
        others.into_iter().for_each(|other| self.submit(other, Item::Wait(record)));
    }

    /// Makes `stream` wait for the earlier work of `other`.
    pub(super) fn wait_stream(&mut self, stream: u8, other: u8, record: RecordId) {
        if self.streams[&stream] != self.streams[&other] {
            self.submit(other, Item::Record(record));
            self.submit(stream, Item::Wait(record));
        }
    }
}
