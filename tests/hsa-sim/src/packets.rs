//! What each kind of AQL packet does when its queue comes to it.

use crate::abi::*;
use crate::clock;
use crate::kernels;
use crate::queues::Queue;
use crate::signals::{Signal, meets};
use crate::trace::{trace, trace_line};

/// A packet that has been played, and whom to tell.
pub struct Done {
    signal: Option<&'static Signal>,
    start: u64,
    end: u64,
}

impl Done {
    /// Completes the packet's signal, if it has one.
    pub fn tell(self) {
        if let Some(signal) = self.signal {
            signal.complete(self.start, self.end);
            trace!("s{} completed, now {}", signal.number, signal.load());
        }
    }
}

/// Plays one packet; `None` if the queue was destroyed while the packet waited.
///
/// # Safety
///
/// The packet's handles and addresses are valid for as long as HSA asks.
pub unsafe fn execute(queue: &Queue, index: u64, packet: &Packet) -> Option<Done> {
    let (name, start) = (&queue.name, clock::now());
    // SAFETY: every packet begins with this.
    let head = unsafe { packet.head };
    let completion = match head.header & 0xFF {
        PACKET_KERNEL_DISPATCH => {
            // SAFETY: the header says that it is one.
            let dispatch = unsafe { &packet.dispatch };
            // SAFETY: the caller answers for the addresses in it.
            unsafe { kernels::execute(queue, index, dispatch) }
                .then_some(dispatch.completion_signal)
        }
        PACKET_BARRIER_AND => {
            // SAFETY: the header says that it is one.
            let barrier = unsafe { &packet.barrier };
            for handle in barrier.dep_signal {
                // SAFETY: the caller answers for the handles.
                let Some(signal) = (unsafe { Signal::of(handle) }) else { continue };
                trace!("{name} #{index}: barrier waits for s{} = {}", signal.number, signal.load());
                signal.wait(None, |value| value == 0 || queue.stopped());
            }
            (!queue.stopped()).then_some(barrier.completion_signal)
        }
        PACKET_BARRIER_OR => {
            // SAFETY: the header says that it is one.
            let barrier = unsafe { &packet.barrier };
            // SAFETY: the caller answers for the handles.
            unsafe { wait_for_any(queue, index, &barrier.dep_signal) };
            (!queue.stopped()).then_some(barrier.completion_signal)
        }
        PACKET_VENDOR_SPECIFIC if head.amd_format == AMD_FORMAT_BARRIER_VALUE => {
            // SAFETY: the header and the format say that it is one.
            let barrier = unsafe { &packet.value };
            // SAFETY: the caller answers for the handle.
            if let Some(signal) = unsafe { Signal::of(barrier.signal) } {
                trace!("{name} #{index}: waits for the value of s{}", signal.number);
                signal.wait(None, |value| {
                    meets(value & barrier.mask, barrier.condition, barrier.value) || queue.stopped()
                });
            }
            (!queue.stopped()).then_some(barrier.completion_signal)
        }
        kind => {
            trace_line(format_args!(
                "{name} #{index}: a packet of type {kind}, format {}, is not known here; it is \
                 passed over",
                head.amd_format
            ));
            // SAFETY: all packets of the standard have the completion signal in one place.
            Some(unsafe { packet.barrier.completion_signal })
        }
    }?;
    trace!("{name} #{index}: done");
    // SAFETY: the caller answers for the handles.
    Some(Done { signal: unsafe { Signal::of(completion) }, start, end: clock::now() })
}

/// Waits until one of the signals is 0; not at all if there are none.
///
/// # Safety
///
/// The handles are 0 or signals.
unsafe fn wait_for_any(queue: &Queue, index: u64, handles: &[Handle; 5]) {
    // SAFETY: by the caller's promise.
    let signals: Vec<_> = handles.iter().filter_map(|&h| unsafe { Signal::of(h) }).collect();
    let any = || signals.iter().any(|signal| signal.load() == 0) || queue.stopped();
    trace!("{} #{index}: barrier waits for one of {}", queue.name, signals.len());
    // Sleeping at several addresses is not possible; HIP does not send these packets.
    while !signals.is_empty() && !any() {
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}
