//! Signals: handlers, timeouts, and changes without a wake-up.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::{TestQueue, address, stream_wait, wait, words};
use crate::abi::*;
use crate::agents::hsa_init;
use crate::handlers::hsa_amd_signal_async_handler;
use crate::kernels::MEMORY;
use crate::parking_lot;
use crate::signals::{
    Signal, hsa_amd_signal_value_pointer, hsa_signal_subtract_relaxed, hsa_signal_wait_scacquire,
};

#[test]
fn handler_is_called_until_it_returns_false() {
    unsafe extern "C" fn once(value: i64, sender: *mut c_void) -> bool {
        // SAFETY: `sender` points to the leaked sender below.
        unsafe { (*sender.cast::<mpsc::Sender<i64>>()).send(value).unwrap() };
        false
    }
    unsafe extern "C" fn thrice(_value: i64, count: *mut c_void) -> bool {
        // SAFETY: `count` points to the leaked number below.
        unsafe { (*count.cast::<AtomicUsize>()).fetch_add(1, Ordering::SeqCst) < 2 }
    }
    let (sender, receiver) = mpsc::channel::<i64>();
    // Leaked, because a handler may still be returning from `send` when its message has arrived.
    let (sender, count) = (Box::leak(Box::new(sender)), Box::leak(Box::new(AtomicUsize::new(0))));
    let (signal, at) = (Signal::create(2), (&raw mut *sender).cast());
    let to = (&raw mut *count).cast();
    // SAFETY: the signals are live, and the arguments live forever.
    unsafe {
        assert_eq!(hsa_init(), SUCCESS);
        hsa_amd_signal_async_handler(signal.handle(), CONDITION_LT, 1, Some(once), at);
        hsa_signal_subtract_relaxed(signal.handle(), 1);
        assert!(receiver.try_recv().is_err(), "called before the condition was met");
        hsa_signal_subtract_relaxed(signal.handle(), 1);
        assert_eq!(receiver.recv(), Ok(0));
        // This signal meets the condition at once, before each of the calls.
        hsa_amd_signal_async_handler(signal.handle(), CONDITION_EQ, 0, Some(thrice), to);
        // Handlers are called in the order in which they became ready. A call of a handler that is
        // registered now thus proves that the other one was called, if it is still registered.
        let last = Signal::create(0);
        for _ in 0..5 {
            hsa_amd_signal_async_handler(last.handle(), CONDITION_EQ, 0, Some(once), at);
            assert_eq!(receiver.recv(), Ok(0));
        }
    }
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[test]
fn signal_wait_ends_at_its_timeout() {
    let signal = Signal::create(1);
    // SAFETY: the handle is a live signal's.
    let value = unsafe { hsa_signal_wait_scacquire(signal.handle(), CONDITION_EQ, 0, 1, 0) };
    assert_eq!(value, 1);
}

#[test]
fn plain_stores_end_waits() {
    let (queue, waits, word) = (TestQueue::new(64), stream_wait(), &words(1)[0]);
    for round in 1..=50 {
        // Changes a signal through its address.
        let (signal, done, mut value) = (Signal::create(1), Signal::create(1), ptr::null_mut());
        // SAFETY: the signal is live, and `&mut value` is a valid out-pointer.
        unsafe { hsa_amd_signal_value_pointer(signal.handle(), &mut value) };
        queue.barrier(PACKET_BARRIER_AND, &[signal], Some(done));
        parking_lot::block_until_waited_for(signal.address());
        // SAFETY: `value` points to a live signal's value, which is written as a whole word.
        unsafe { value.write_volatile(0) };
        wait(done);
        signal.destroy();
        // Changes a word that a kernel waits for, from the host.
        let (done, block) = (Signal::create(1), [address(word), 0, round, 1, u64::MAX]);
        queue.kernel(waits, &block, Some(done));
        parking_lot::block_until_waited_for(&raw const MEMORY as usize);
        word.store(round as u32, Ordering::SeqCst);
        wait(done);
    }
}
