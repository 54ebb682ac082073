//! Detects that no queue makes progress any more: [`wait_quiescent`].
//!
//! Double collect (Afek, Attiya, Dolev, Gafni, Merritt, Shavit, JACM 1993): two equal snapshots in
//! a row prove that nothing moved between them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::queue::Queue;
use crate::sync::{Arc, yield_now};

/// The numbers of submitted and completed items of each queue, by the queue's address.
type Snapshot = BTreeMap<*const Queue, (u64, u64)>;

/// Blocks until no queue in `list`, and none that they wait for, can continue by itself: each is
/// idle, or waits for a closed gate. Returns early if `stop` returns `true`.
pub(crate) fn wait_quiescent(list: impl Fn() -> Vec<Arc<Queue>>, mut stop: impl FnMut() -> bool) {
    let mut round = 0u32;
    // A snapshot visits queues one by one, so a queue can be created or resumed after its visit.
    // Two equal snapshots rule that out: each queue stood still from its visit in the first to its
    // visit in the second. So all of them stood still between the two.
    while snapshot(list()).is_none_or(|first| snapshot(list()) != Some(first)) {
        if stop() {
            return;
        }
        pause(round);
        round = round.saturating_add(1);
    }
}

/// Yields the core, or sleeps in later rounds.
fn pause(round: u32) {
    if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) || round < 100 {
        yield_now();
    } else {
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}

/// Returns the progress of all queues in `open`, and of those that they wait for. Returns `None` if
/// one can continue.
fn snapshot(mut open: Vec<Arc<Queue>>) -> Option<Snapshot> {
    let mut snapshot = Snapshot::new();
    while let Some(queue) = open.pop() {
        if let Entry::Vacant(entry) = snapshot.entry(Arc::as_ptr(&queue)) {
            let quiescence = queue.quiescence()?;
            if quiescence.submitted == 0 {
                // A queue without items is left out. Otherwise no two snapshots would be equal
                // while other threads create streams during process exit.
                continue;
            }
            entry.insert((quiescence.submitted, quiescence.done));
            open.extend(quiescence.blocked_on);
        }
    }
    Some(snapshot)
}
