//! The machine as a program sees it: through the functions of the API, with packets of its own.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::abi::*;
use crate::agents::{Agent, hsa_init, hsa_iterate_agents};
use crate::code_objects;
use crate::copies::{hsa_amd_memory_async_copy, hsa_amd_memory_async_copy_rect};
use crate::handlers::hsa_amd_signal_async_handler;
use crate::kernels::MEMORY;
use crate::memory::{
    Pool, hsa_amd_memory_lock, hsa_amd_memory_pool_allocate, hsa_amd_memory_pool_free,
    hsa_amd_memory_unlock, hsa_amd_pointer_info,
};
use crate::parking_lot;
use crate::queues::{
    hsa_queue_add_write_index_screlease, hsa_queue_create, hsa_queue_destroy,
    hsa_queue_load_read_index_scacquire,
};
use crate::signals::{
    Signal, hsa_amd_signal_value_pointer, hsa_signal_store_screlease, hsa_signal_subtract_relaxed,
    hsa_signal_wait_scacquire,
};

const NO_TIMEOUT: u64 = u64::MAX;

/// A queue of the one GPU, with what a program needs to write packets.
struct TestQueue(*const c_void);

// SAFETY: a queue may be used from any thread.
unsafe impl Sync for TestQueue {}

impl TestQueue {
    fn new(size: u32) -> TestQueue {
        let mut queue = ptr::null();
        // SAFETY: the agent exists and `queue` has room for a pointer.
        let status = unsafe {
            assert_eq!(hsa_init(), SUCCESS);
            let gpu = Agent::Gpu(0).handle();
            hsa_queue_create(gpu, size, 0, ptr::null(), ptr::null_mut(), 0, 0, &mut queue)
        };
        assert_eq!(status, SUCCESS);
        TestQueue(queue)
    }

    fn shown(&self) -> &AmdQueue {
        // SAFETY: from `hsa_queue_create`, and not destroyed before the drop.
        unsafe { &*self.0.cast::<AmdQueue>() }
    }

    /// Writes a packet as a program does: a slot, the body, the header, the doorbell.
    fn submit(&self, packet: Packet) {
        // SAFETY: a live queue; the slot is reserved by the index and free once the reader is near.
        unsafe {
            let index = hsa_queue_add_write_index_screlease(self.0, 1);
            let size = u64::from(self.shown().size);
            while index - hsa_queue_load_read_index_scacquire(self.0) >= size {
                std::thread::yield_now();
            }
            let slot = self.shown().base_address.add((index % size) as usize);
            let bytes = (&raw const packet).cast::<u8>();
            slot.cast::<u8>().add(2).copy_from_nonoverlapping(bytes.add(2), 62);
            AtomicU16::from_ptr(slot.cast()).store(packet.head.header, Ordering::Release);
            hsa_signal_store_screlease(self.shown().doorbell_signal, index as i64);
        }
    }

    /// A barrier that waits for `signals` and completes `done`.
    fn barrier(&self, header: u16, signals: &[&'static Signal], done: Option<&'static Signal>) {
        let mut dep_signal = [0; 5];
        for (slot, signal) in dep_signal.iter_mut().zip(signals) {
            *slot = signal.handle();
        }
        self.submit(Packet {
            barrier: Barrier {
                header,
                reserved0: 0,
                reserved1: 0,
                dep_signal,
                reserved2: 0,
                completion_signal: done.map_or(0, Signal::handle),
            },
        });
    }

    fn kernel(&self, kernel: u64, arguments: &[u64], done: Option<&'static Signal>) {
        self.submit(Packet {
            dispatch: KernelDispatch {
                header: PACKET_KERNEL_DISPATCH,
                setup: 1,
                workgroup_size: [1; 3],
                reserved0: 0,
                grid_size: [256, 1, 1],
                private_segment_size: 0,
                group_segment_size: 0,
                kernel_object: kernel,
                kernarg_address: arguments.as_ptr() as u64,
                reserved2: 0,
                completion_signal: done.map_or(0, Signal::handle),
            },
        });
    }
}

impl Drop for TestQueue {
    fn drop(&mut self) {
        // SAFETY: from `hsa_queue_create`, and used no more.
        assert_eq!(unsafe { hsa_queue_destroy(self.0) }, SUCCESS);
    }
}

/// Waits until a signal is 0.
fn wait(signal: &'static Signal) {
    // SAFETY: a signal.
    let value =
        unsafe { hsa_signal_wait_scacquire(signal.handle(), CONDITION_EQ, 0, NO_TIMEOUT, 0) };
    assert_eq!(value, 0);
}

/// Memory of the GPU, as words.
fn words(count: usize) -> &'static [AtomicU32] {
    let mut at = ptr::null_mut();
    // SAFETY: `at` has room for a pointer.
    let status =
        unsafe { hsa_amd_memory_pool_allocate(Pool::Gpu(0).handle(), count * 4, 0, &mut at) };
    assert_eq!(status, SUCCESS);
    // SAFETY: allocated with this length, zero and page-aligned, and never freed.
    unsafe { std::slice::from_raw_parts(at.cast(), count) }
}

fn load(words: &[AtomicU32]) -> Vec<u32> {
    words.iter().map(|word| word.load(Ordering::SeqCst)).collect()
}

fn stream_wait() -> u64 {
    code_objects::define(
        "__amd_rocclr_streamOpsWait",
        &[
            ("ptrInt", 0, 8),
            ("ptrUlong", 8, 8),
            ("value", 16, 8),
            ("flags", 24, 8),
            ("mask", 32, 8),
        ],
    )
}

fn stream_write() -> u64 {
    code_objects::define(
        "__amd_rocclr_streamOpsWrite",
        &[("ptrInt", 0, 8), ("ptrUlong", 8, 8), ("value", 16, 8)],
    )
}

fn address(word: &AtomicU32) -> u64 {
    word.as_ptr() as u64
}

#[test]
fn there_is_a_cpu_and_a_gpu() {
    unsafe extern "C" fn note(agent: Handle, found: *mut c_void) -> Status {
        // SAFETY: the vector below.
        unsafe { (*found.cast::<Vec<Agent>>()).push(Agent::of(agent).unwrap()) };
        SUCCESS
    }
    let mut found: Vec<Agent> = Vec::new();
    // SAFETY: the function takes the vector.
    unsafe { hsa_iterate_agents(Some(note), (&raw mut found).cast()) };
    assert_eq!(found, [Agent::Cpu, Agent::Gpu(0)]);
    assert_eq!(Agent::of(Agent::Gpu(1).handle()), None);
    for pool in [Agent::Cpu, Agent::Gpu(0)].into_iter().flat_map(Pool::of_agent) {
        assert_eq!(Pool::of(pool.handle()), Some(pool));
    }
}

#[test]
fn packets_are_played_in_their_order() {
    // Many times around a small ring, with a number written by each packet.
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
fn packets_of_many_threads_are_all_played() {
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
fn a_barrier_waits_for_all_its_signals() {
    let queue = TestQueue::new(64);
    let (a, b, done) = (Signal::create(1), Signal::create(1), Signal::create(1));
    queue.barrier(PACKET_BARRIER_AND, &[a, b], Some(done));
    a.store(0);
    // Another queue goes on meanwhile, and the barrier is not done when it is.
    let (other, passed) = (TestQueue::new(64), Signal::create(1));
    other.barrier(PACKET_BARRIER_AND, &[a], Some(passed));
    wait(passed);
    assert_eq!(done.load(), 1);
    b.store(0);
    wait(done);
}

#[test]
fn a_barrier_or_waits_for_one_of_its_signals() {
    let queue = TestQueue::new(64);
    let (a, b, done) = (Signal::create(1), Signal::create(1), Signal::create(1));
    queue.barrier(PACKET_BARRIER_OR, &[a, b], Some(done));
    assert_eq!(done.load(), 1);
    b.store(0);
    wait(done);
    assert_eq!(a.load(), 1);
}

#[test]
fn a_barrier_value_packet_compares_under_its_mask() {
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

/// Queues that each wait for the one before. The last is submitted first, so all of them really wait.
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
fn a_chain_of_queues_keeps_its_order() {
    chain(PACKET_BARRIER_AND, &[Signal::create(0)]);
    chain(PACKET_BARRIER_OR, &[Signal::create(1)]);
}

#[test]
fn a_chain_of_copies_keeps_its_order() {
    let memory = words(65);
    let signals: Vec<_> = (0..65).map(|_| Signal::create(1)).collect();
    for i in (0..64).rev() {
        let (after, gpu) = ([signals[i].handle()], Agent::Gpu(0).handle());
        // SAFETY: words of this test, which live for ever, and signals.
        let status = unsafe {
            let (to, from) = (memory[i + 1].as_ptr().cast(), memory[i].as_ptr().cast());
            let done = signals[i + 1].handle();
            hsa_amd_memory_async_copy(to, gpu, from, gpu, 4, 1, after.as_ptr(), done)
        };
        assert_eq!(status, SUCCESS);
    }
    memory[0].store(7, Ordering::SeqCst);
    signals[0].store(0);
    wait(signals[64]);
    assert_eq!(load(memory), [7; 65]);
}

#[test]
fn a_copy_waits_for_what_it_depends_on() {
    let (memory, after, done) = (words(8), Signal::create(1), Signal::create(1));
    let (from, to) = (&memory[..4], &memory[4..]);
    let submit = |from: &[AtomicU32], to: &[AtomicU32], after: &[Handle], done: &'static Signal| {
        // SAFETY: words of this test, which live for ever.
        let status = unsafe {
            let (gpu, count) = (Agent::Gpu(0).handle(), after.len() as u32);
            let (to, from) = (to.as_ptr().cast_mut().cast(), from.as_ptr().cast());
            hsa_amd_memory_async_copy(to, gpu, from, gpu, 16, count, after.as_ptr(), done.handle())
        };
        assert_eq!(status, SUCCESS);
    };
    submit(from, to, &[after.handle()], done);
    // A later copy, of other words, is not held up.
    let (free, spare) = (Signal::create(1), words(8));
    submit(&spare[..4], &spare[4..], &[], free);
    wait(free);
    assert_eq!(done.load(), 1);
    // What is copied is what the source has when the signal comes.
    from.iter().for_each(|word| word.store(7, Ordering::SeqCst));
    after.store(0);
    wait(done);
    assert_eq!(load(to), [7; 4]);
}

#[test]
fn a_box_is_copied_row_by_row() {
    let memory = words(64);
    let (from, to) = (&memory[..32], &memory[32..]);
    from.iter().enumerate().for_each(|(i, word)| word.store(i as u32, Ordering::SeqCst));
    let place = |words: &[AtomicU32], pitch: usize| PitchedPtr {
        base: words.as_ptr().cast_mut().cast(),
        pitch,
        slice: 0,
    };
    let (to_place, from_place) = (place(to, 32), place(from, 16));
    let (corner, origin) = (Dim3 { x: 4, y: 1, z: 0 }, Dim3 { x: 0, y: 0, z: 0 });
    let (range, done) = (Dim3 { x: 8, y: 2, z: 1 }, Signal::create(1));
    // SAFETY: both boxes lie in the words, and all pointers are to locals.
    let status = unsafe {
        hsa_amd_memory_async_copy_rect(
            &to_place,
            &origin,
            &from_place,
            &corner,
            &range,
            Agent::Gpu(0).handle(),
            3,
            0,
            ptr::null(),
            done.handle(),
        )
    };
    assert_eq!(status, SUCCESS);
    wait(done);
    assert_eq!(load(&to[..10]), [5, 6, 0, 0, 0, 0, 0, 0, 9, 10]);
}

#[test]
fn a_wait_kernel_holds_its_queue_until_the_host_stores() {
    let (queue, memory) = (TestQueue::new(64), words(2));
    let (gate, number) = (&memory[0], &memory[1]);
    let (waits, writes) = (stream_wait(), stream_write());
    let (wait_block, write_block) = ([address(gate), 0, 1, 0, u64::MAX], [address(number), 0, 42]);
    let done = Signal::create(1);
    queue.kernel(waits, &wait_block, None);
    queue.kernel(writes, &write_block, Some(done));
    // Another queue comes to its end; this one stands at the gate.
    let (other, passed) = (TestQueue::new(64), Signal::create(1));
    other.barrier(PACKET_BARRIER_AND, &[], Some(passed));
    wait(passed);
    assert_eq!((done.load(), number.load(Ordering::SeqCst)), (1, 0));
    gate.store(1, Ordering::SeqCst);
    wait(done);
    assert_eq!(number.load(Ordering::SeqCst), 42);
}

#[test]
fn a_write_kernel_opens_the_gate_of_another_queue() {
    let (memory, waits, writes) = (words(2), stream_wait(), stream_write());
    let (a, b) = (TestQueue::new(64), TestQueue::new(64));
    let turns = 200;
    // Two queues hand a number to and fro, each waiting for the other's.
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
fn fills_and_copies_of_hip_5_and_of_hip_6() {
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
    // Words 1 to 3, words 8 and 9; then 6 bytes to word 16, and 5 bytes to word 20.
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
fn other_kernels_complete() {
    let (queue, done) = (TestQueue::new(64), Signal::create(1));
    queue.kernel(code_objects::define("vector_add", &[]), &[0], Some(done));
    wait(done);
}

#[test]
fn a_queue_may_be_destroyed_while_it_waits() {
    let (gate, memory, waits) = (Signal::create(1), words(1), stream_wait());
    let block = [address(&memory[0]), 0, 1, 0, u64::MAX];
    for _ in 0..50 {
        let (done, queue) = (Signal::create(1), TestQueue::new(64));
        queue.barrier(PACKET_BARRIER_AND, &[gate], Some(done));
        drop(queue);
        let queue = TestQueue::new(64);
        queue.kernel(waits, &block, Some(done));
        drop(queue);
        assert_eq!(done.load(), 1, "a packet that was dropped says that it is done");
    }
}

#[test]
fn handlers_are_called_once_or_again() {
    unsafe extern "C" fn once(value: i64, sender: *mut c_void) -> bool {
        // SAFETY: the sender below.
        unsafe { (*sender.cast::<mpsc::Sender<i64>>()).send(value).unwrap() };
        false
    }
    unsafe extern "C" fn thrice(_value: i64, count: *mut c_void) -> bool {
        // SAFETY: the number below.
        unsafe { (*count.cast::<AtomicUsize>()).fetch_add(1, Ordering::SeqCst) < 2 }
    }
    let (sender, receiver) = mpsc::channel::<i64>();
    // For ever: a handler may still be on its way out of `send` when its message is here.
    let (sender, count) = (Box::leak(Box::new(sender)), Box::leak(Box::new(AtomicUsize::new(0))));
    let (signal, at) = (Signal::create(2), (&raw mut *sender).cast());
    let to = (&raw mut *count).cast();
    // SAFETY: signals of this test, and arguments that live for ever.
    unsafe {
        assert_eq!(hsa_init(), SUCCESS);
        hsa_amd_signal_async_handler(signal.handle(), CONDITION_LT, 1, Some(once), at);
        hsa_signal_subtract_relaxed(signal.handle(), 1);
        assert!(receiver.try_recv().is_err(), "called before the condition was met");
        hsa_signal_subtract_relaxed(signal.handle(), 1);
        assert_eq!(receiver.recv(), Ok(0));
        // This signal meets the condition at once, and for each of the calls.
        hsa_amd_signal_async_handler(signal.handle(), CONDITION_EQ, 0, Some(thrice), to);
        // Handlers are called in the order in which they became ready: one that is registered now
        // and called proves a call of the other, if that is still there.
        let last = Signal::create(0);
        for _ in 0..5 {
            hsa_amd_signal_async_handler(last.handle(), CONDITION_EQ, 0, Some(once), at);
            assert_eq!(receiver.recv(), Ok(0));
        }
    }
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[test]
fn a_wait_ends_with_its_timeout() {
    let signal = Signal::create(1);
    // SAFETY: a signal.
    let value = unsafe { hsa_signal_wait_scacquire(signal.handle(), CONDITION_EQ, 0, 1, 0) };
    assert_eq!(value, 1);
}

#[test]
fn what_is_changed_without_a_word_is_noticed() {
    let (queue, waits, word) = (TestQueue::new(64), stream_wait(), &words(1)[0]);
    for round in 1..=50 {
        // A signal, through its address.
        let (signal, done, mut value) = (Signal::create(1), Signal::create(1), ptr::null_mut());
        // SAFETY: a signal, and room for a pointer.
        unsafe { hsa_amd_signal_value_pointer(signal.handle(), &mut value) };
        queue.barrier(PACKET_BARRIER_AND, &[signal], Some(done));
        parking_lot::until_waited_for(signal.address());
        // SAFETY: the value of a live signal, written whole.
        unsafe { value.write_volatile(0) };
        wait(done);
        signal.destroy();
        // A word that a kernel waits for, by the host.
        let (done, block) = (Signal::create(1), [address(word), 0, round, 1, u64::MAX]);
        queue.kernel(waits, &block, Some(done));
        parking_lot::until_waited_for(&raw const MEMORY as usize);
        word.store(round as u32, Ordering::SeqCst);
        wait(done);
    }
}

#[test]
fn the_book_of_memory_knows_what_lies_where() {
    let ask = |at: *const c_void| {
        let size = size_of::<PointerInfo>() as u32;
        // SAFETY: zeros are a valid info, whose size is set before the call.
        unsafe {
            let mut info: PointerInfo = std::mem::zeroed();
            info.size = size;
            assert_eq!(
                hsa_amd_pointer_info(at, &mut info, ptr::null(), ptr::null_mut(), ptr::null_mut()),
                SUCCESS
            );
            info
        }
    };
    let mut at = ptr::null_mut();
    // SAFETY: room for a pointer; what is allocated is freed once; the local is locked while it
    // lives.
    unsafe {
        let pool = Pool::Gpu(0).handle();
        assert_eq!(hsa_amd_memory_pool_allocate(pool, 5000, 0, &mut at), SUCCESS);
        let inside = at.cast::<u8>().add(4999).cast::<c_void>();
        let info = ask(inside);
        assert_eq!((info.kind, info.agent_base, info.bytes), (POINTER_HSA, at, 8192));
        assert_eq!(info.owner, Agent::Gpu(0).handle());
        assert_eq!(hsa_amd_memory_pool_free(at), SUCCESS);
        assert_eq!(ask(inside).kind, POINTER_UNKNOWN);
        assert_eq!(hsa_amd_memory_pool_free(at), INVALID_ALLOCATION);

        let mut local = [0u8; 64];
        let local = local.as_mut_ptr().cast::<c_void>();
        let mut seen = ptr::null_mut();
        assert_eq!(hsa_amd_memory_lock(local, 64, ptr::null(), 0, &mut seen), SUCCESS);
        assert_eq!((seen, ask(local).kind), (local, POINTER_LOCKED));
        hsa_amd_memory_unlock(local);
        assert_eq!(ask(local).kind, POINTER_UNKNOWN);
    }
}
