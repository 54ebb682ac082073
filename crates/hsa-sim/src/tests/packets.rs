//! Execution of packets: order, barriers, destruction of a waiting queue.

use std::sync::atomic::Ordering;

use super::{TestQueue, address, stream_wait, stream_write, wait, words};
use crate::abi::*;
use crate::signals::Signal;

#[test]
fn packets_execute_in_order() {
    // Wraps around a small ring many times. Each packet writes a number.
    let (queue, word, kernel) = (TestQueue::new(64), &words(1)[0], stream_write());
    let rounds = 1000;
    let blocks: Vec<[u64; 3]> = (1..=rounds).map(|n| [address(word), 0, n]).collect();
    let signals: Vec<_> = (0..rounds).map(|_| Signal::create(1)).collect();
    for (block, signal) in blocks.iter().zip(&signals) {
        queue.kernel(kernel, block, Some(signal));
    }
    wait(signals[rounds as usize - 1]);
    assert_eq!(u64::from(word.load(Ordering::SeqCst)), rounds);
    assert!(signals.iter().all(|signal| signal.load() == 0), "an earlier packet is not done");
    let ends: Vec<u64> = signals.iter().map(|signal| signal.times().end).collect();
    assert!(ends.is_sorted(), "a later packet ended before an earlier one");
    assert!(signals.iter().all(|signal| signal.times().start <= signal.times().end));
}

#[test]
fn packets_of_concurrent_writers_all_execute() {
    let (queue, done) = (TestQueue::new(64), Signal::create(8 * 200));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    queue.barrier(PACKET_BARRIER_AND, &[], Some(done));
                }
            });
        }
    });
    wait(done);
}

#[test]
fn barrier_and_waits_for_all_signals() {
    let queue = TestQueue::new(64);
    let (a, b, done) = (Signal::create(1), Signal::create(1), Signal::create(1));
    queue.barrier(PACKET_BARRIER_AND, &[a, b], Some(done));
    a.store(0);
    // Another queue continues meanwhile. The barrier is not done when that queue is.
    let (other, passed) = (TestQueue::new(64), Signal::create(1));
    other.barrier(PACKET_BARRIER_AND, &[a], Some(passed));
    wait(passed);
    assert_eq!(done.load(), 1);
    b.store(0);
    wait(done);
}

#[test]
fn barrier_or_waits_for_one_signal() {
    let queue = TestQueue::new(64);
    let (a, b, done) = (Signal::create(1), Signal::create(1), Signal::create(1));
    queue.barrier(PACKET_BARRIER_OR, &[a, b], Some(done));
    assert_eq!(done.load(), 1);
    b.store(0);
    wait(done);
    assert_eq!(a.load(), 1);
}

#[test]
fn barrier_value_compares_under_its_mask() {
    let (queue, signal, done) = (TestQueue::new(64), Signal::create(0xF0), Signal::create(1));
    queue.submit(Packet {
        value: BarrierValue {
            header: PACKET_VENDOR_SPECIFIC,
            amd_format: AMD_FORMAT_BARRIER_VALUE,
            reserved0: 0,
            reserved1: 0,
            signal: signal.handle(),
            value: 3,
            mask: 0xF,
            condition: CONDITION_EQ,
            reserved2: 0,
            reserved3: [0; 2],
            completion_signal: done.handle(),
        },
    });
    signal.store(0xF2);
    assert_eq!(done.load(), 1);
    signal.store(0xF3);
    wait(done);
}

/// Checks queues that each wait for the previous one. The last is submitted first, so that all of
/// them really wait.
fn chain(header: u16, others: &[&'static Signal]) {
    let queues: Vec<_> = (0..32).map(|_| TestQueue::new(64)).collect();
    let signals: Vec<_> = (0..=queues.len()).map(|_| Signal::create(1)).collect();
    for (i, queue) in queues.iter().enumerate().rev() {
        let waits: Vec<_> = others.iter().copied().chain([signals[i]]).collect();
        queue.barrier(header, &waits, Some(signals[i + 1]));
    }
    assert!(signals.iter().all(|signal| signal.load() == 1));
    signals[0].store(0);
    wait(signals[queues.len()]);
    let ends: Vec<u64> = signals[1..].iter().map(|signal| signal.times().end).collect();
    assert!(ends.is_sorted());
}

#[test]
fn chained_queues_keep_their_order() {
    chain(PACKET_BARRIER_AND, &[Signal::create(0)]);
    chain(PACKET_BARRIER_OR, &[Signal::create(1)]);
}

#[test]
fn waiting_queue_can_be_destroyed() {
    let (gate, memory, waits) = (Signal::create(1), words(1), stream_wait());
    let block = [address(&memory[0]), 0, 1, 0, u64::MAX];
    for _ in 0..50 {
        let (done, queue) = (Signal::create(1), TestQueue::new(64));
        queue.barrier(PACKET_BARRIER_AND, &[gate], Some(done));
        drop(queue);
        let queue = TestQueue::new(64);
        queue.kernel(waits, &block, Some(done));
        drop(queue);
        assert_eq!(done.load(), 1, "a dropped packet reports that it is done");
    }
}
