//! AQL queues: rings of packets, each executed by its own thread.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::abi::*;
use crate::agents::{self, Agent};
use crate::packets;
use crate::parking_lot;
use crate::signals::Signal;
use crate::trace::{trace, trace_line};

/// The queue sizes that [`hsa_queue_create`] accepts and that an agent reports.
pub const MIN_SIZE: u32 = 64;
pub const MAX_SIZE: u32 = 131_072;

/// The stack size of a thread that only executes packets.
const STACK: usize = 256 * 1024;

/// A queue. It begins with the part that the API exposes.
#[repr(C)]
pub struct Queue {
    amd_queue: UnsafeCell<AmdQueue>,
    ring: Box<[UnsafeCell<Packet>]>,
    doorbell: &'static Signal,
    /// The name in the log: agent and number.
    pub name: String,
    stop: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

// SAFETY: AQL's protocol governs access to the ring and the indices. A packet's header
// names its owner, and headers and indices are accessed atomically only. All other exposed fields
// are written before the queue is shared.
unsafe impl Sync for Queue {}
// SAFETY: the argument for `Sync` holds, and no field is bound to a thread.
unsafe impl Send for Queue {}

impl Queue {
    /// Creates a queue and starts its thread.
    fn create(agent: Agent, size: u32, kind: u32) -> Option<&'static Queue> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let id = NUMBER.fetch_add(1, Ordering::Relaxed);
        let empty = Barrier {
            header: PACKET_INVALID,
            reserved0: 0,
            reserved1: 0,
            dep_signal: [0; 5],
            reserved2: 0,
            completion_signal: 0,
        };
        let ring: Box<[_]> =
            (0..size).map(|_| UnsafeCell::new(Packet { barrier: empty })).collect();
        let doorbell = Signal::create(-1);
        let amd_queue = UnsafeCell::new(AmdQueue {
            queue_type: kind,
            features: QUEUE_FEATURE_KERNEL_DISPATCH,
            base_address: ring.as_ptr().cast::<Packet>().cast_mut(),
            doorbell_signal: doorbell.handle(),
            size,
            reserved0: 0,
            id,
            reserved1: [0; 4],
            write_dispatch_id: AtomicU64::new(0),
            group_segment_aperture_base_hi: 0,
            private_segment_aperture_base_hi: 0,
            max_cu_id: agents::COMPUTE_UNITS - 1,
            max_wave_id: agents::WAVES_PER_CU - 1,
            max_legacy_doorbell: 0,
            legacy_doorbell_lock: 0,
            reserved2: [0; 9],
            read_dispatch_id: AtomicU64::new(0),
            read_dispatch_id_offset: 128,
            rest: [0; 29],
        });
        let queue: &'static Queue = Box::leak(Box::new(Queue {
            amd_queue,
            ring,
            doorbell,
            name: format!("{agent}.q{id}"),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
        }));
        let thread = std::thread::Builder::new().name(queue.name.clone()).stack_size(STACK);
        match thread.spawn(|| queue.run()) {
            Ok(thread) => {
                *queue.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
            }
            Err(error) => {
                trace_line(format_args!("{}: its thread cannot be started: {error}", queue.name));
                // SAFETY: `queue` is from `Box::leak` above, and no other code has a reference to
                // it.
                drop(unsafe { Box::from_raw(ptr::from_ref(queue).cast_mut()) });
                return None;
            }
        }
        trace!("{}: created with room for {size} packets", queue.name);
        Some(queue)
    }

    /// Stops the thread, if necessary during a wait, and frees the queue. Packets that were not
    /// executed stay incomplete.
    fn destroy(&'static self) {
        self.stop.store(true, Ordering::SeqCst);
        parking_lot::wake_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        trace!("{}: destroyed", self.name);
        self.doorbell.destroy();
        // SAFETY: `self` is from `Box::leak`. Its thread has ended, and the program no longer uses
        // it.
        drop(unsafe { Box::from_raw(ptr::from_ref(self).cast_mut()) });
    }

    /// Returns `true` if the thread must end. Waits inside packets check this too.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn read_index(&self) -> &AtomicU64 {
        // SAFETY: the field is accessed atomically only, once the queue is shared.
        unsafe { &(*self.amd_queue.get()).read_dispatch_id }
    }

    fn write_index(&self) -> &AtomicU64 {
        // SAFETY: the field is accessed atomically only, once the queue is shared.
        unsafe { &(*self.amd_queue.get()).write_dispatch_id }
    }

    /// Executes packets in order until the queue is destroyed.
    fn run(&self) {
        while !self.is_stopped() {
            // Reads the doorbell before the ring: a packet that is not in the ring yet changes it
            // later.
            let rings = self.doorbell.changes();
            while self.execute_next() {}
            self.doorbell.wait(None, |_| self.is_stopped() || self.doorbell.changes() != rings);
        }
    }

    /// Executes the next packet. Returns `false` if there is none.
    fn execute_next(&self) -> bool {
        let index = self.read_index().load(Ordering::Relaxed);
        let slot = self.ring[index as usize & (self.ring.len() - 1)].get();
        // SAFETY: every packet begins with its header, which both sides access atomically.
        let header = unsafe { AtomicU16::from_ptr(slot.cast::<u16>()) };
        if self.is_stopped() || header.load(Ordering::Acquire) & 0xFF == PACKET_INVALID {
            return false;
        }
        // SAFETY: a valid header passes ownership of the packet to the queue, and the acquire load
        // makes all of it visible.
        let packet = unsafe { slot.read() };
        // SAFETY: the program that wrote the packet ensures that its handles and addresses are
        // valid.
        let Some(done) = (unsafe { packets::execute(self, index, &packet) }) else { return false };
        // The order matters: the slot, then the index that marks it free, then the completion
        // signal.
        header.store(PACKET_INVALID, Ordering::Release);
        self.read_index().store(index + 1, Ordering::SeqCst);
        done.complete();
        true
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        trace!("{}: freed", self.name);
    }
}

/// Returns the queue that the API's pointer refers to. Returns `None` if it is null.
///
/// # Safety
///
/// `queue` is null, or from [`hsa_queue_create`] and not destroyed.
unsafe fn of(queue: *const c_void) -> Option<&'static Queue> {
    // SAFETY: `queue` is null or a live queue (caller contract). `Queue` begins with the part that
    // the API exposes, so both have one address.
    unsafe { queue.cast::<Queue>().as_ref() }
}

hsa_api! {
    /// Creates a queue of a GPU. Errors in packets are reported on stderr, never through the
    /// callback.
    fn hsa_queue_create(
        agent: Handle, size: u32, kind: u32, _callback: *const c_void, _data: *mut c_void,
        _private_segment_size: u32, _group_segment_size: u32, queue: *mut *const c_void,
    ) -> Status {
        let Some(agent) = Agent::of(agent) else { return INVALID_AGENT };
        if queue.is_null() || !size.is_power_of_two() || size > MAX_SIZE {
            return INVALID_ARGUMENT;
        }
        if !agent.is_gpu() {
            return INVALID_QUEUE_CREATION;
        }
        let Some(created) = Queue::create(agent, size, kind) else { return OUT_OF_RESOURCES };
        // SAFETY: `queue` is not null, so it is a valid out-pointer (caller contract).
        unsafe { queue.write(ptr::from_ref(created).cast()) };
        SUCCESS
    }

    /// Destroys a queue. Waiting packets are dropped without changing their completion signals.
    fn hsa_queue_destroy(queue: *const c_void) -> Status {
        // SAFETY: `queue` is null or a live queue (caller contract).
        let Some(queue) = (unsafe { of(queue) }) else { return INVALID_QUEUE };
        queue.destroy();
        SUCCESS
    }

    /// Does nothing: priorities are accepted without effect.
    fn hsa_amd_queue_set_priority(_queue: *const c_void, _priority: u32) -> Status {
        SUCCESS
    }

    /// Does nothing: masks of compute units are accepted without effect.
    fn hsa_amd_queue_cu_set_mask(_queue: *const c_void, _bits: u32, _mask: *const u32) -> Status {
        SUCCESS
    }

    /// Does nothing: times are always taken.
    fn hsa_amd_profiling_set_profiler_enabled(_queue: *const c_void, _enable: i32) -> Status {
        SUCCESS
    }
}

/// Declares an access to an index of a queue for each of HSA's memory orders.
macro_rules! indices {
    (|$queue:ident| $body:block $(fn $name:ident)*) => {
        hsa_api! {
            $(
                /// Reads an index of a queue, in one of HSA's memory orders.
                fn $name(queue: *const c_void) -> u64 {
                    // SAFETY: `queue` is null or a live queue (caller contract).
                    let Some($queue) = (unsafe { of(queue) }) else { return 0 };
                    $body
                }
            )*
        }
    };
    (|$queue:ident, $value:ident| -> $ret:ty $body:block $(fn $name:ident)*) => {
        hsa_api! {
            $(
                /// Changes the write index of a queue, in one of HSA's memory orders.
                fn $name(queue: *const c_void, $value: u64) -> $ret {
                    // SAFETY: `queue` is null or a live queue (caller contract).
                    let Some($queue) = (unsafe { of(queue) }) else { return Default::default() };
                    $body
                }
            )*
        }
    };
}

indices! {
    |queue| { queue.read_index().load(Ordering::SeqCst) }
    fn hsa_queue_load_read_index_relaxed
    fn hsa_queue_load_read_index_scacquire
}

indices! {
    |queue| { queue.write_index().load(Ordering::SeqCst) }
    fn hsa_queue_load_write_index_relaxed
    fn hsa_queue_load_write_index_scacquire
}

indices! {
    |queue, value| -> u64 { queue.write_index().fetch_add(value, Ordering::SeqCst) }
    fn hsa_queue_add_write_index_relaxed
    fn hsa_queue_add_write_index_scacquire
    fn hsa_queue_add_write_index_screlease
    fn hsa_queue_add_write_index_scacq_screl
}

indices! {
    |queue, value| -> () { queue.write_index().store(value, Ordering::SeqCst) }
    fn hsa_queue_store_write_index_relaxed
    fn hsa_queue_store_write_index_screlease
}
