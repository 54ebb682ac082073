//! The records that the watcher has: [`Waiting`].

use std::any::TypeId;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::{self, ThreadId};

use gpu_stream_core::{Device, HandleKind, RawHandle, Stream};

use crate::pending::Watched;

/// The stream of a record, to group the records by.
///
/// Two streams can have one key: a driver reuses handles, and the default streams of two contexts have one handle. So
/// the key decides how often an event is asked, and never its answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StreamKey {
    backend: TypeId,
    device: Device,
    bits: usize,
    /// The thread of a per-thread stream, whose handle is the same on every thread.
    thread: Option<ThreadId>,
}

impl StreamKey {
    /// Returns the key of a stream of the calling thread.
    pub(crate) fn of<S: Stream>(stream: &S) -> Self {
        StreamKey::new(stream.backend_type(), stream.device(), stream.raw_to_compare().to_bits())
    }

    /// Returns the key of the stream with this handle on the calling thread.
    pub(crate) fn new(backend: TypeId, device: Device, bits: usize) -> Self {
        let is_per_thread = HandleKind::of(bits) == HandleKind::PerThread;
        let thread = is_per_thread.then(|| thread::current().id());
        StreamKey { backend, device, bits, thread }
    }
}

/// The records that are not done yet, by stream and in the order of their records.
#[derive(Default)]
pub(crate) struct Waiting {
    queues: HashMap<StreamKey, VecDeque<Arc<dyn Watched>>>,
    /// Empty queues, whose memory is used again.
    spare: Vec<VecDeque<Arc<dyn Watched>>>,
    /// The number of records.
    count: usize,
    /// The number of calls of `settle`, which selects the record that is asked out of order.
    round: usize,
}

/// The greatest number of empty queues that are kept.
const MOST_SPARE: usize = 64;

impl Waiting {
    /// Adds the latest record of a stream.
    pub(crate) fn push(&mut self, key: StreamKey, watched: Arc<dyn Watched>) {
        let spare = &mut self.spare;
        let new = || spare.pop().unwrap_or_default();
        self.queues.entry(key).or_insert_with(new).push_back(watched);
        self.count += 1;
    }

    /// Returns the number of records.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Asks the oldest record of each stream, and the next one while the answer is yes. Passes those whose work has ended
    /// to `end`. Returns `true` if there were any.
    ///
    /// Of each queue it also asks one younger record, another one each time. That matters only for streams that have one
    /// key: none of them waits for another one forever.
    pub(crate) fn settle(&mut self, mut end: impl FnMut(Arc<dyn Watched>)) -> bool {
        let (before, round) = (self.count, self.round);
        let Waiting { queues, spare, count, .. } = self;
        queues.retain(|_, queue| {
            while queue.front().is_some_and(|oldest| oldest.settle()) {
                *count -= 1;
                queue.pop_front().into_iter().for_each(&mut end);
            }
            if queue.len() > 1 {
                let younger = 1 + round % (queue.len() - 1);
                if queue[younger].settle() {
                    *count -= 1;
                    queue.remove(younger).into_iter().for_each(&mut end);
                }
            }
            keep(queue, spare)
        });
        self.round = round.wrapping_add(1);
        self.count < before
    }

    /// Removes the records whose futures were dropped, and returns them. Drops none: the destructor of a record can run
    /// code of users.
    pub(crate) fn remove_abandoned(&mut self) -> Vec<Arc<dyn Watched>> {
        let mut removed = Vec::new();
        let Waiting { queues, spare, count, .. } = self;
        queues.retain(|_, queue| {
            // Each record goes to the back or out, so the order stays.
            for _ in 0..queue.len() {
                let Some(watched) = queue.pop_front() else { break };
                let is_abandoned = watched.is_abandoned();
                if is_abandoned { removed.push(watched) } else { queue.push_back(watched) }
            }
            keep(queue, spare)
        });
        *count -= removed.len();
        removed
    }
}

/// Returns `true` if the queue has records. Otherwise moves its memory to `spare`.
fn keep(
    queue: &mut VecDeque<Arc<dyn Watched>>,
    spare: &mut Vec<VecDeque<Arc<dyn Watched>>>,
) -> bool {
    if queue.is_empty() && spare.len() < MOST_SPARE {
        spare.push(std::mem::take(queue));
    }
    !queue.is_empty()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::Waker;

    use gpu_stream_core::BackendKind;

    use super::*;

    #[derive(Default)]
    struct Record {
        is_done: AtomicBool,
        is_abandoned: AtomicBool,
        asked: AtomicUsize,
    }

    impl Watched for Record {
        fn settle(&self) -> bool {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.is_done.load(Ordering::Relaxed)
        }

        fn take_waker(&self) -> Option<Waker> {
            None
        }

        fn is_abandoned(&self) -> bool {
            self.is_abandoned.load(Ordering::Relaxed)
        }
    }

    fn key(bits: usize) -> StreamKey {
        StreamKey::new(TypeId::of::<()>(), Device::new(BackendKind::Host, 0), 16 + bits)
    }

    fn filled(streams: usize, each: usize) -> (Waiting, Vec<Arc<Record>>) {
        let mut waiting = Waiting::default();
        let records: Vec<_> = (0..streams * each).map(|_| Arc::new(Record::default())).collect();
        for (index, record) in records.iter().enumerate() {
            waiting.push(key(index % streams), Arc::clone(record) as _);
        }
        (waiting, records)
    }

    #[test]
    fn two_records_of_each_stream_are_asked() {
        let (mut waiting, records) = filled(8, 100);
        assert!(!waiting.settle(|_| panic!("none is done")));
        let asked: usize = records.iter().map(|record| record.asked.load(Ordering::Relaxed)).sum();
        assert_eq!(asked, 2 * 8);
    }

    #[test]
    fn all_that_are_done_end_in_order() {
        let (mut waiting, records) = filled(1, 10);
        records[..7].iter().for_each(|record| record.is_done.store(true, Ordering::Relaxed));
        let mut ended = Vec::new();
        assert!(waiting.settle(|record| ended.push(Arc::as_ptr(&record).cast::<Record>())));
        assert_eq!(ended, records[..7].iter().map(Arc::as_ptr).collect::<Vec<_>>());
        assert_eq!(waiting.len(), 3);
    }

    #[test]
    fn record_behind_a_pending_one_with_its_key_ends() {
        let (mut waiting, records) = filled(1, 10);
        records[6].is_done.store(true, Ordering::Relaxed);
        let ended = (0..9).filter(|_| waiting.settle(drop)).count();
        assert_eq!((ended, waiting.len()), (1, 9));
    }

    #[test]
    fn abandoned_records_are_removed_and_no_others() {
        let (mut waiting, records) = filled(3, 4);
        for record in records.iter().step_by(2) {
            record.is_abandoned.store(true, Ordering::Relaxed);
        }
        let removed = waiting.remove_abandoned();
        assert_eq!((removed.len(), waiting.len()), (6, 6));
        // The watcher has no other reference, which would be dropped elsewhere.
        assert!(removed.iter().all(|record| Arc::strong_count(record) == 2));
        for queue in waiting.queues.values() {
            let left: Vec<_> = queue.iter().map(|left| Arc::as_ptr(left).cast()).collect();
            let index = |left| records.iter().position(|record| Arc::as_ptr(record) == left);
            assert!(left.iter().copied().map(index).is_sorted(), "the order of the others is kept");
        }
        records.iter().for_each(|record| record.is_done.store(true, Ordering::Relaxed));
        assert!(waiting.settle(drop));
        assert_eq!((waiting.len(), waiting.queues.len()), (0, 0));
    }
}
