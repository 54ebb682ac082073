//! Knowing that nothing moves any more.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::queue::Queue;
use crate::sync::{Arc, yield_now};

/// How far a queue is, by its address: what two looks are compared by.
type Places = BTreeMap<*const Queue, (u64, u64)>;

/// Blocks until none of the queues in `list`, and none that they wait for, can go further by
/// itself: each is idle, or waits behind a gate that is shut. Or until `stop` says so.
pub(crate) fn wait_quiescent(list: impl Fn() -> Vec<Arc<Queue>>, mut stop: impl FnMut() -> bool) {
    let mut round = 0u32;
    // One look takes the queues one after the other, and a queue may be woken behind its back, or
    // be new. If two looks agree, then every queue stood still from its place in the first to its
    // place in the second, and so all of them did between the two.
    while snapshot(list()).is_none_or(|first| snapshot(list()) != Some(first)) {
        if stop() {
            return;
        }
        pause(round);
        round = round.saturating_add(1);
    }
}

/// Lets others run.
fn pause(round: u32) {
    if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) || round < 100 {
        yield_now();
    } else {
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}

/// The places of all queues, those waited for included, if all are at rest.
fn snapshot(mut open: Vec<Arc<Queue>>) -> Option<Places> {
    let mut places = Places::new();
    while let Some(queue) = open.pop() {
        if let Entry::Vacant(place) = places.entry(Arc::as_ptr(&queue)) {
            let rest = queue.quiescence()?;
            if rest.submitted == 0 {
                // Nothing to rest from. Threads that make streams while the process ends would
                // never let two looks agree.
                continue;
            }
            place.insert((rest.submitted, rest.done));
            open.extend(rest.blocked_on);
        }
    }
    Some(places)
}
