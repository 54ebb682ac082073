//! Knowing that nothing moves any more.

use std::thread;
use std::time::Duration;

use super::queue::Queue;
use crate::sync::Arc;

/// How far a queue is, by its address: what two looks are compared by.
type Place = (*const Queue, u64, u64);

/// Blocks until none of `queues`, and none that they wait for, can go further by itself: each is
/// idle, or waits behind a gate that is shut.
pub(crate) fn settle(queues: &[Arc<Queue>]) {
    let mut round = 0u32;
    // One look takes the queues one after the other, and a queue may be woken behind its back. If
    // two looks agree, then every queue stood still from its place in the first to its place in the
    // second, and so all of them did between the two.
    while look(queues).is_none_or(|first| look(queues) != Some(first)) {
        if round < 100 {
            thread::yield_now();
        } else {
            thread::sleep(Duration::from_micros(50));
        }
        round = round.saturating_add(1);
    }
}

/// The places of all queues, those waited for included, if all are at rest.
fn look(queues: &[Arc<Queue>]) -> Option<Vec<Place>> {
    let mut places: Vec<Place> = Vec::new();
    let mut open = queues.to_vec();
    while let Some(queue) = open.pop() {
        let address = Arc::as_ptr(&queue);
        if places.iter().any(|(seen, ..)| *seen == address) {
            continue;
        }
        let rest = queue.at_rest()?;
        places.push((address, rest.submitted, rest.done));
        open.extend(rest.held_by);
    }
    Some(places)
}
