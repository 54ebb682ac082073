//! Execution of AQL packets.

use crate::abi::*;
use crate::clock;
use crate::kernels;
use crate::queues::Queue;
use crate::signals::{Signal, meets};
use crate::trace::{trace, trace_line};

/// An executed packet, with its completion signal and its times.
pub struct CompletedPacket {
    signal: Option<&'static Signal>,
    start: u64,
    end: u64,
}

impl CompletedPacket {
    /// Completes the packet's signal, if it has one.
    pub fn complete(self) {
        if let Some(signal) = self.signal {
            signal.complete(self.start, self.end);
            trace!("s{} completed, now {}", signal.number, signal.load());
        }
    }
}

/// Executes one packet. Returns `None` if the queue was destroyed while the packet waited.
///
/// # Safety
///
/// The packet's handles and addresses are valid for as long as HSA requires.
pub unsafe fn execute(queue: &Queue, index: u64, packet: &Packet) -> Option<CompletedPacket> {
    let (name, start) = (&queue.name, clock::now());
    // SAFETY: every packet begins with a `PacketHead`.
    let head = unsafe { packet.head };
    let completion = match head.header & 0xFF {
        PACKET_KERNEL_DISPATCH => {
            // SAFETY: the header says that this is a dispatch.
            let dispatch = unsafe { &packet.dispatch };
            // SAFETY: the dispatch's addresses are valid (caller contract).
            unsafe { kernels::execute(queue, index, dispatch) }
                .then_some(dispatch.completion_signal)
        }
        PACKET_BARRIER_AND => {
            // SAFETY: the header says that this is a barrier.
            let barrier = unsafe { &packet.barrier };
            for handle in barrier.dep_signal {
                // SAFETY: the handles are 0 or signals (caller contract).
                let Some(signal) = (unsafe { Signal::of(handle) }) else { continue };
                trace!("{name} #{index}: barrier waits for s{} = {}", signal.number, signal.load());
                signal.wait(None, |value| value == 0 || queue.is_stopped());
            }
            (!queue.is_stopped()).then_some(barrier.completion_signal)
        }
        PACKET_BARRIER_OR => {
            // SAFETY: the header says that this is a barrier.
            let barrier = unsafe { &packet.barrier };
            // SAFETY: the handles are 0 or signals (caller contract).
            unsafe { wait_for_any(queue, index, &barrier.dep_signal) };
            (!queue.is_stopped()).then_some(barrier.completion_signal)
        }
        PACKET_VENDOR_SPECIFIC if head.amd_format == AMD_FORMAT_BARRIER_VALUE => {
            // SAFETY: the header and the format say that this is a barrier-value packet.
            let barrier = unsafe { &packet.value };
            // SAFETY: the handle is 0 or a signal (caller contract).
            if let Some(signal) = unsafe { Signal::of(barrier.signal) } {
                trace!("{name} #{index}: waits for the value of s{}", signal.number);
                signal.wait(None, |value| {
                    meets(value & barrier.mask, barrier.condition, barrier.value)
                        || queue.is_stopped()
                });
            }
            (!queue.is_stopped()).then_some(barrier.completion_signal)
        }
        kind => {
            trace_line(format_args!(
                "{name} #{index}: a packet of type {kind}, format {}, is not supported; it is \
                 skipped",
                head.amd_format
            ));
            // SAFETY: all standard packets have the completion signal at the same offset.
            Some(unsafe { packet.barrier.completion_signal })
        }
    }?;
    trace!("{name} #{index}: done");
    // SAFETY: the handle is 0 or a signal (caller contract).
    Some(CompletedPacket { signal: unsafe { Signal::of(completion) }, start, end: clock::now() })
}

/// Waits until one of the signals is 0. Returns at once if there are none.
///
/// # Safety
///
/// The handles are 0 or signals.
unsafe fn wait_for_any(queue: &Queue, index: u64, handles: &[Handle; 5]) {
    // SAFETY: the handles are 0 or signals (caller contract).
    let signals: Vec<_> = handles.iter().filter_map(|&h| unsafe { Signal::of(h) }).collect();
    let any = || signals.iter().any(|signal| signal.load() == 0) || queue.is_stopped();
    trace!("{} #{index}: barrier waits for one of {}", queue.name, signals.len());
    // Polls, because a thread cannot park at several addresses. HIP does not send these packets.
    while !signals.is_empty() && !any() {
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}
