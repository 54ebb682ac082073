//! Data proves order. Work that is held back, and then takes time, writes on a foreign stream; another stream
//! waits and reads. `GPU_STREAM_ROUNDS` sets the number of rounds.

use gpu_stream_core::{EventOptions, Stream};

use crate::Case;
use crate::vendor::{Ptr, StreamOf, Vendor, own_event, wrap};

/// The number of rounds that are submitted while the first is held back: far fewer than a queue takes before
/// it blocks the host.
const BATCH: u32 = 16;

/// The number of threads or branches.
const COUNT: usize = 8;

/// The size of a number.
const WORD: usize = 4;

/// Returns all cases.
pub fn cases<V: Vendor>() -> Vec<Case> {
    crate::shared_cases![V, data_order:
        // Needs a pair of streams that share no hardware queue, as the first pair does.
        copies_are_wrong_without_the_wait,
        wait_stream_orders,
        wait_event_orders,
        record_event_orders,
        fork_orders,
        join_orders,
        fork_and_join_order_many_branches,
        threads_with_their_own_streams_keep_order,
        threads_with_a_shared_source_keep_order
    ]
    .into()
}

/// A pair of foreign streams with their memory. All is made before the first gate is shut, because an
/// allocation may wait for all streams.
struct Lane<V: Vendor> {
    raw_from: Ptr,
    raw_to: Ptr,
    from: StreamOf<V>,
    to: StreamOf<V>,
    written: usize,
    copies: usize,
}

// SAFETY: the driver accepts streams and memory on any thread, and they are never freed.
unsafe impl<V: Vendor> Send for Lane<V> {}
// SAFETY: the driver accepts streams and memory on any thread, and they are never freed.
unsafe impl<V: Vendor> Sync for Lane<V> {}

impl<V: Vendor> Lane<V> {
    fn new() -> Self {
        let _current = V::enter(0);
        let (raw_from, raw_to) = (V::new_stream(0, 1, 0), V::new_stream(0, 1, 0));
        Lane {
            raw_from,
            raw_to,
            from: wrap::<V>(raw_from),
            to: wrap::<V>(raw_to),
            written: V::words(1),
            copies: V::words(V::rounds() as usize),
        }
    }

    fn copy_of(&self, round: u32) -> usize {
        self.copies + round as usize * WORD
    }
}

/// Orders the reader (second) after the writer (first).
type Order<'a, V> = &'a dyn Fn(&StreamOf<V>, &StreamOf<V>);

/// Runs all rounds and returns the number of wrong copies. In each round `from` writes the round's number, and
/// `to` copies it. With `None`, nothing orders the two.
fn wrong<V: Vendor>(lane: &Lane<V>, order: Option<Order<'_, V>>) -> usize {
    let (rounds, from, to) = (V::rounds(), &lane.from, &lane.to);
    let _current = V::enter(0);
    for batch in (0..rounds).step_by(BATCH as usize) {
        let gate = V::gate(lane.raw_from);
        for round in batch..rounds.min(batch + BATCH) {
            V::store_slowly(lane.raw_from, lane.written, round + 1);
            if let Some(order) = order {
                order(from, to);
            }
            V::copy(lane.raw_to, lane.copy_of(round), lane.written);
            // The next number comes after this copy.
            from.wait_stream(to).unwrap();
        }
        // The gate is still shut, so only the order keeps the reader from completing.
        match order {
            Some(_) => assert!(!to.query().unwrap(), "the reader did not wait for the writer"),
            None => to.synchronize().unwrap(),
        }
        drop(gate);
    }
    from.synchronize().unwrap();
    to.synchronize().unwrap();
    let wrong: Vec<_> = (1..)
        .zip(V::read(lane.copies, rounds as usize))
        .filter(|(wanted, copied)| wanted != copied)
        .collect();
    if let Some(first) = wrong.first() {
        eprintln!("{} copies are wrong; the first (wanted, copied): {first:?}", wrong.len());
    }
    wrong.len()
}

#[track_caller]
fn always_right<V: Vendor>(order: impl Fn(&StreamOf<V>, &StreamOf<V>)) {
    let wrong = wrong::<V>(&Lane::new(), Some(&order));
    assert_eq!(wrong, 0, "of {} copies, this many were made too early", V::rounds());
}

/// Checks that `wait_stream` orders.
pub fn wait_stream_orders<V: Vendor>() {
    always_right::<V>(|from, to| to.wait_stream(from).unwrap());
}

/// Checks that `record` and `wait_event` order.
pub fn wait_event_orders<V: Vendor>() {
    let event = own_event::<V>(EventOptions::new());
    always_right::<V>(|from, to| {
        from.record(&event).unwrap();
        to.wait_event(&event).unwrap();
    });
}

/// Checks that `record_event` and `wait_event` order.
pub fn record_event_orders<V: Vendor>() {
    always_right::<V>(|from, to| to.wait_event(&from.record_event().unwrap()).unwrap());
}

/// Checks that `fork` orders.
pub fn fork_orders<V: Vendor>() {
    always_right::<V>(|from, to| from.fork([to]).unwrap());
}

/// Checks that `join` orders.
pub fn join_orders<V: Vendor>() {
    always_right::<V>(|from, to| to.join([from]).unwrap());
}

/// Checks that the copies are wrong if nothing orders them. If they were right, the other cases would show
/// nothing.
pub fn copies_are_wrong_without_the_wait<V: Vendor>() {
    let wrong = wrong::<V>(&Lane::new(), None);
    assert_eq!(wrong, V::rounds() as usize, "the copies that were made too early");
}

/// Checks that a fork to eight branches and their join order.
pub fn fork_and_join_order_many_branches<V: Vendor>() {
    const BATCH: u32 = 4;
    let (lane, rounds) = (Lane::<V>::new(), V::rounds() / COUNT as u32);
    let raw: Vec<_> = (0..COUNT).map(|_| V::new_stream(0, 1, 0)).collect();
    let branches: Vec<_> = raw.iter().map(|raw| wrap::<V>(*raw)).collect();
    let _current = V::enter(0);
    let (middle, results) = (V::words(COUNT), V::words(COUNT * rounds as usize));
    for batch in (0..rounds).step_by(BATCH as usize) {
        let _gate = V::gate(lane.raw_from);
        for round in batch..rounds.min(batch + BATCH) {
            V::store_slowly(lane.raw_from, lane.written, round + 1);
            lane.from.fork(&branches).unwrap();
            for (index, branch) in raw.iter().enumerate() {
                V::copy(*branch, middle + index * WORD, lane.written);
            }
            lane.from.join(&branches).unwrap();
            for index in 0..COUNT {
                let result = results + (round as usize * COUNT + index) * WORD;
                V::copy(lane.raw_from, result, middle + index * WORD);
            }
        }
    }
    lane.from.synchronize().unwrap();
    let copied = V::read(results, COUNT * rounds as usize);
    let wanted = |index: usize| (index / COUNT) as u32 + 1;
    let wrong = copied.iter().enumerate().filter(|&(index, &copy)| copy != wanted(index));
    assert_eq!(wrong.count(), 0, "of {} copies, this many were made too early", copied.len());
}

/// Checks that threads keep order that share one pool of events, each with its own pair of streams.
pub fn threads_with_their_own_streams_keep_order<V: Vendor>() {
    let lanes: Vec<_> = (0..COUNT).map(|_| Lane::<V>::new()).collect();
    std::thread::scope(|scope| {
        let run = |lane| wrong::<V>(lane, Some(&|from, to| to.wait_stream(from).unwrap()));
        let threads: Vec<_> = lanes.iter().map(|lane| scope.spawn(move || run(lane))).collect();
        let wrong = threads.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(wrong.sum::<usize>(), 0, "copies made too early");
    });
}

/// Checks that threads keep order that submit to one stream, each of which makes a stream of its own wait for
/// it. They may share records of it, but none from before the thread's own work.
pub fn threads_with_a_shared_source_keep_order<V: Vendor>() {
    let lanes: Vec<_> = (0..COUNT).map(|_| Lane::<V>::new()).collect();
    let (source, rounds) = (&lanes[0], V::rounds() / COUNT as u32);
    std::thread::scope(|scope| {
        for lane in &lanes {
            scope.spawn(move || {
                let _current = V::enter(0);
                for round in 0..rounds {
                    V::store_slowly(source.raw_from, lane.written, round + 1);
                    lane.to.wait_stream(&source.from).unwrap();
                    V::copy(lane.raw_to, lane.copy_of(round), lane.written);
                    // The next number comes after this copy.
                    source.from.wait_stream(&lane.to).unwrap();
                }
                lane.to.synchronize().unwrap();
                let wanted = (1..=rounds).collect::<Vec<_>>();
                assert_eq!(V::read(lane.copies, rounds as usize), wanted);
            });
        }
    });
}
