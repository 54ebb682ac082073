//! Tests of the machine through the functions of the API, with hand-made packets.

mod kernels;
mod memory;
mod packets;
mod signals;

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use crate::abi::*;
use crate::agents::{Agent, hsa_init, hsa_iterate_agents};
use crate::code_objects;
use crate::memory::{Pool, hsa_amd_memory_pool_allocate};
use crate::queues::{
    hsa_queue_add_write_index_screlease, hsa_queue_create, hsa_queue_destroy,
    hsa_queue_load_read_index_scacquire,
};
use crate::signals::{Signal, hsa_signal_store_screlease, hsa_signal_wait_scacquire};

const NO_TIMEOUT: u64 = u64::MAX;

/// A queue of the only GPU, with what a program needs to write packets.
struct TestQueue(*const c_void);

// SAFETY: a queue can be used from any thread.
unsafe impl Sync for TestQueue {}

impl TestQueue {
    fn new(size: u32) -> TestQueue {
        let mut queue = ptr::null();
        // SAFETY: the agent exists, and `&mut queue` is a valid out-pointer.
        let status = unsafe {
            assert_eq!(hsa_init(), SUCCESS);
            let gpu = Agent::Gpu(0).handle();
            hsa_queue_create(gpu, size, 0, ptr::null(), ptr::null_mut(), 0, 0, &mut queue)
        };
        assert_eq!(status, SUCCESS);
        TestQueue(queue)
    }

    fn amd_queue(&self) -> &AmdQueue {
        // SAFETY: the queue is from `hsa_queue_create`, and is destroyed only on drop.
        unsafe { &*self.0.cast::<AmdQueue>() }
    }

    /// Writes a packet as a program does: reserves a slot, writes the body, then the header, and
    /// rings the doorbell.
    fn submit(&self, packet: Packet) {
        // SAFETY: the queue is live. The index reserves the slot, which is free once the reader is
        // near.
        unsafe {
            let index = hsa_queue_add_write_index_screlease(self.0, 1);
            let size = u64::from(self.amd_queue().size);
            while index - hsa_queue_load_read_index_scacquire(self.0) >= size {
                std::thread::yield_now();
            }
            let slot = self.amd_queue().base_address.add((index % size) as usize);
            let bytes = (&raw const packet).cast::<u8>();
            slot.cast::<u8>().add(2).copy_from_nonoverlapping(bytes.add(2), 62);
            AtomicU16::from_ptr(slot.cast()).store(packet.head.header, Ordering::Release);
            hsa_signal_store_screlease(self.amd_queue().doorbell_signal, index as i64);
        }
    }

    /// Submits a barrier that waits for `signals` and completes `done`.
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
        // SAFETY: the queue is from `hsa_queue_create`, and is not used afterwards.
        assert_eq!(unsafe { hsa_queue_destroy(self.0) }, SUCCESS);
    }
}

/// Waits until a signal is 0.
fn wait(signal: &'static Signal) {
    // SAFETY: the handle is a live signal's.
    let value =
        unsafe { hsa_signal_wait_scacquire(signal.handle(), CONDITION_EQ, 0, NO_TIMEOUT, 0) };
    assert_eq!(value, 0);
}

/// Allocates memory of the GPU, as words.
fn words(count: usize) -> &'static [AtomicU32] {
    let mut at = ptr::null_mut();
    // SAFETY: `&mut at` is a valid out-pointer.
    let status =
        unsafe { hsa_amd_memory_pool_allocate(Pool::Gpu(0).handle(), count * 4, 0, &mut at) };
    assert_eq!(status, SUCCESS);
    // SAFETY: the memory has this length, is zeroed and page-aligned, and is never freed.
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
fn machine_has_one_cpu_and_one_gpu() {
    unsafe extern "C" fn note(agent: Handle, found: *mut c_void) -> Status {
        // SAFETY: `found` points to the vector below.
        unsafe { (*found.cast::<Vec<Agent>>()).push(Agent::of(agent).unwrap()) };
        SUCCESS
    }
    let mut found: Vec<Agent> = Vec::new();
    // SAFETY: `note` expects a pointer to the vector.
    unsafe { hsa_iterate_agents(Some(note), (&raw mut found).cast()) };
    assert_eq!(found, [Agent::Cpu, Agent::Gpu(0)]);
    assert_eq!(Agent::of(Agent::Gpu(1).handle()), None);
    for pool in [Agent::Cpu, Agent::Gpu(0)].into_iter().flat_map(Pool::of_agent) {
        assert_eq!(Pool::of(pool.handle()), Some(pool));
    }
}
