//! HIP's built-in kernels, with the arguments of several HIP versions.

use std::sync::atomic::Ordering;

use super::{TestQueue, address, load, stream_wait, stream_write, wait, words};
use crate::abi::*;
use crate::code_objects;
use crate::signals::Signal;

#[test]
fn wait_kernel_blocks_its_queue_until_the_host_stores() {
    let (queue, memory) = (TestQueue::new(64), words(2));
    let (gate, number) = (&memory[0], &memory[1]);
    let (waits, writes) = (stream_wait(), stream_write());
    let (wait_block, write_block) = ([address(gate), 0, 1, 0, u64::MAX], [address(number), 0, 42]);
    let done = Signal::create(1);
    queue.kernel(waits, &wait_block, None);
    queue.kernel(writes, &write_block, Some(done));
    // Another queue finishes while this one waits at the gate.
    let (other, passed) = (TestQueue::new(64), Signal::create(1));
    other.barrier(PACKET_BARRIER_AND, &[], Some(passed));
    wait(passed);
    assert_eq!((done.load(), number.load(Ordering::SeqCst)), (1, 0));
    gate.store(1, Ordering::SeqCst);
    wait(done);
    assert_eq!(number.load(Ordering::SeqCst), 42);
}

#[test]
fn write_kernel_wakes_another_queue() {
    let (memory, waits, writes) = (words(2), stream_wait(), stream_write());
    let (a, b) = (TestQueue::new(64), TestQueue::new(64));
    let turns = 200;
    // Two queues pass a number back and forth, each waiting for the other's.
    let blocks: Vec<([u64; 5], [u64; 3])> = (0..turns)
        .map(|turn| {
            let at = address(&memory[0]);
            ([at, 0, turn, 1, u64::MAX], [at, 0, turn + 1])
        })
        .collect();
    let done = Signal::create(turns as i64);
    for (turn, (wait_block, write_block)) in blocks.iter().enumerate() {
        let queue = if turn % 2 == 0 { &a } else { &b };
        queue.kernel(waits, wait_block, None);
        queue.kernel(writes, write_block, Some(done));
    }
    wait(done);
    assert_eq!(u64::from(memory[0].load(Ordering::SeqCst)), turns);
}

#[test]
fn fills_and_copies_work_with_arguments_of_hip_5_and_6() {
    let (queue, memory) = (TestQueue::new(64), words(64));
    let base = address(&memory[0]);
    let pattern = words(1);
    pattern[0].store(0x0102_0304, Ordering::SeqCst);
    let old_fill = code_objects::define(
        "__amd_rocclr_fillBufferAligned",
        &[
            ("bufUChar", 0, 8),
            ("bufUShort", 8, 8),
            ("bufUInt", 16, 8),
            ("bufULong", 24, 8),
            ("pattern", 32, 8),
            ("patternSize", 40, 4),
            ("offset", 48, 8),
            ("size", 56, 8),
        ],
    );
    let new_fill = code_objects::define(
        "__amd_rocclr_fillBufferAligned",
        &[
            ("buf", 0, 8),
            ("pattern", 8, 8),
            ("pattern_size", 16, 4),
            ("alignment", 20, 4),
            ("end_ptr", 24, 8),
            ("next_chunk", 32, 4),
        ],
    );
    let old_copy = code_objects::define(
        "__amd_rocclr_copyBuffer",
        &[
            ("srcI", 0, 8),
            ("dstI", 8, 8),
            ("srcOrigin", 16, 8),
            ("dstOrigin", 24, 8),
            ("size", 32, 8),
            ("remain", 40, 4),
        ],
    );
    let new_copy = code_objects::define(
        "__amd_rocclr_copyBuffer",
        &[
            ("src", 0, 8),
            ("dst", 8, 8),
            ("size", 16, 8),
            ("remainder", 24, 4),
            ("aligned_size", 28, 4),
            ("end_ptr", 32, 8),
            ("next_chunk", 40, 4),
        ],
    );
    let done = Signal::create(4);
    // The fills write words 1 to 3 and words 8 to 9. The copies write 6 bytes to word 16 and 5
    // bytes to word 20.
    let blocks = [
        vec![0, 0, base, 0, address(&pattern[0]), 1, 1, 3],
        vec![base + 32, address(&pattern[0]), 4 << 32 | 1, base + 40, 256],
        vec![base, base, 4, 64, 2, 2],
        vec![base + 32, base + 80, 5, 4 << 32 | 1, base + 84, 256],
    ];
    for (kernel, block) in [old_fill, new_fill, old_copy, new_copy].into_iter().zip(&blocks) {
        queue.kernel(kernel, block, Some(done));
    }
    wait(done);
    let found = load(memory);
    assert_eq!(found[..5], [0, 0x0102_0304, 0x0102_0304, 0x0102_0304, 0]);
    assert_eq!(found[7..11], [0, 0x0102_0304, 0x0102_0304, 0]);
    assert_eq!(found[16..19], [0x0102_0304, 0x0304, 0]);
    assert_eq!(found[20..23], [0x0102_0304, 0x04, 0]);
}

#[test]
fn unknown_kernel_completes() {
    let (queue, done) = (TestQueue::new(64), Signal::create(1));
    queue.kernel(code_objects::define("vector_add", &[]), &[0], Some(done));
    wait(done);
}
