//! Signals: 64-bit numbers that threads, packets and handlers wait for.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::abi::*;
use crate::handlers;
use crate::memory;
use crate::parking_lot::{self, WaitOptions};
use crate::trace::{trace, trace_line};

/// A signal. Its first 64 bytes are `amd_signal_t`, which HIP accesses directly.
///
/// Signals are reused but never freed. A thread that changed a signal may still be about to wake
/// its waiters when the owner, who saw the new value, destroys it.
#[repr(C, align(64))]
pub struct Signal {
    kind: i64,
    value: AtomicI64,
    event_mailbox: u64,
    event_id: u32,
    reserved1: u32,
    start: AtomicU64,
    end: AtomicU64,
    queue: u64,
    reserved3: [u32; 2],

    /// The signal's name in the log.
    pub number: u64,
    /// The number of changes, so that a queue notices each ring of its doorbell.
    changes: AtomicU64,
    /// The number of registered handlers.
    watchers: AtomicU32,
    /// `true` if the program has the value's address, and so may change it without a wake-up.
    exposed: AtomicBool,
}

const _: () = assert!(std::mem::offset_of!(Signal, value) == 8);
const _: () = assert!(std::mem::offset_of!(Signal, start) == 32);
const _: () = assert!(std::mem::offset_of!(Signal, number) == 64);

const KIND_USER: i64 = 1;

static FREE: Mutex<Vec<&'static Signal>> = Mutex::new(Vec::new());

/// The number of signals that were created and not destroyed.
static LIVE: AtomicU64 = AtomicU64::new(0);

impl Signal {
    /// Creates a signal, or reuses one, that has no waiters.
    pub fn create(initial: i64) -> &'static Signal {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let used = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let signal = used.unwrap_or_else(|| {
            Box::leak(Box::new(Signal {
                kind: KIND_USER,
                value: AtomicI64::new(0),
                event_mailbox: 0,
                event_id: 0,
                reserved1: 0,
                start: AtomicU64::new(0),
                end: AtomicU64::new(0),
                queue: 0,
                reserved3: [0; 2],
                number: NUMBER.fetch_add(1, Ordering::Relaxed),
                changes: AtomicU64::new(0),
                watchers: AtomicU32::new(0),
                exposed: AtomicBool::new(false),
            }))
        });
        signal.start.store(0, Ordering::Relaxed);
        signal.end.store(0, Ordering::Relaxed);
        signal.value.store(initial, Ordering::SeqCst);
        LIVE.fetch_add(1, Ordering::SeqCst);
        signal
    }

    /// Returns the signal to the free list.
    pub fn destroy(&'static self) {
        if self.exposed.swap(false, Ordering::SeqCst) {
            memory::unlock(self.value.as_ptr().cast());
        }
        LIVE.fetch_sub(1, Ordering::SeqCst);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    /// Returns the handle by which the API knows the signal.
    pub fn handle(&'static self) -> Handle {
        self as *const Signal as Handle
    }

    /// Returns the signal that a handle names. Returns `None` for the null handle, which many calls
    /// allow.
    ///
    /// # Safety
    ///
    /// `handle` is 0 or from [`Signal::handle`].
    pub unsafe fn of(handle: Handle) -> Option<&'static Signal> {
        // SAFETY: `handle` is 0 or a signal (caller contract), and signals are never freed.
        unsafe { (handle as *const Signal).as_ref() }
    }

    /// Returns the value.
    pub fn load(&self) -> i64 {
        self.value.load(Ordering::SeqCst)
    }

    /// Sets the value and wakes the waiters.
    pub fn store(&'static self, value: i64) {
        self.value.store(value, Ordering::SeqCst);
        self.changed();
    }

    /// Replaces the value by `change` of it, and wakes the waiters. Returns the old value.
    pub fn update(&'static self, mut change: impl FnMut(i64) -> i64) -> i64 {
        let mut old = self.load();
        loop {
            let new = change(old);
            match self.value.compare_exchange_weak(old, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => break,
                Err(seen) => old = seen,
            }
        }
        self.changed();
        old
    }

    /// Completes a packet or a copy: records the times, then subtracts 1.
    pub fn complete(&'static self, start: u64, end: u64) {
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.update(|value| value.wrapping_sub(1));
    }

    /// Returns when the work that completed the signal began and ended.
    pub fn times(&self) -> ProfilingTime {
        ProfilingTime {
            start: self.start.load(Ordering::Relaxed),
            end: self.end.load(Ordering::Relaxed),
        }
    }

    /// Returns the number of changes.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Waits until `condition` returns `true` for the value. Returns `false` if the deadline passed
    /// first.
    pub fn wait(&self, until: Option<Instant>, mut condition: impl FnMut(i64) -> bool) -> bool {
        let poll = self.exposed.load(Ordering::SeqCst);
        parking_lot::wait(self.address(), WaitOptions { until, poll }, || condition(self.load()))
    }

    /// Adds or removes a handler in the count. Changes are passed to the handlers only if there are
    /// any.
    pub fn watch(&self, is_new: bool) {
        if is_new {
            self.watchers.fetch_add(1, Ordering::SeqCst);
        } else {
            self.watchers.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Returns the address at which the waiters park.
    pub fn address(&self) -> usize {
        self as *const Signal as usize
    }

    fn changed(&'static self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        parking_lot::wake(self.address());
        if self.watchers.load(Ordering::SeqCst) > 0 {
            handlers::signal_changed(self);
        }
    }
}

/// Returns `true` if `value` meets an HSA condition against `compare`.
pub fn meets(value: i64, condition: u32, compare: i64) -> bool {
    match condition {
        CONDITION_EQ => value == compare,
        CONDITION_NE => value != compare,
        CONDITION_LT => value < compare,
        _ => value >= compare,
    }
}

/// Returns a wait's deadline, given its timeout in ticks of the clock. Returns `None` for the
/// longest timeout.
fn deadline(timeout: u64) -> Option<Instant> {
    if timeout == u64::MAX {
        return None;
    }
    // A timeout beyond the clock's range has no deadline either.
    Instant::now().checked_add(Duration::from_nanos(timeout))
}

/// Returns the answer of an operation that cannot report an error, for the null handle.
fn default_for_null_signal<T: Default>() -> T {
    trace_line(format_args!("an operation on the null signal was ignored"));
    T::default()
}

/// Creates a signal and writes its handle. Returns an error if `to` is null.
///
/// # Safety
///
/// `to` is null or has room for a handle.
unsafe fn create(initial: i64, to: *mut Handle) -> Status {
    if to.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: `to` is not null, so it has room for a handle (caller contract).
    unsafe { to.write(Signal::create(initial).handle()) };
    SUCCESS
}

hsa_api! {
    /// Creates a signal. The agents that will wait for it have no effect.
    fn hsa_signal_create(
        initial: i64, _consumers: u32, _agents: *const Handle, signal: *mut Handle,
    ) -> Status {
        // SAFETY: `signal` is null or has room for a handle (caller contract).
        unsafe { create(initial, signal) }
    }

    /// Creates a signal with AMD's attributes, which have no effect.
    fn hsa_amd_signal_create(
        initial: i64, _consumers: u32, _agents: *const Handle, _attributes: u64,
        signal: *mut Handle,
    ) -> Status {
        // SAFETY: `signal` is null or has room for a handle (caller contract).
        unsafe { create(initial, signal) }
    }

    /// Returns the number of signals that were created and not destroyed, those of queues included. No real runtime
    /// exports this function.
    fn hsa_sim_live_signals() -> u64 {
        LIVE.load(Ordering::SeqCst)
    }

    /// Destroys a signal.
    fn hsa_signal_destroy(signal: Handle) -> Status {
        // SAFETY: the handle is 0 or a live signal's (caller contract).
        let Some(signal) = (unsafe { Signal::of(signal) }) else { return INVALID_SIGNAL };
        signal.destroy();
        SUCCESS
    }

    /// Writes the value's address. From then on, waiters of the signal also poll.
    fn hsa_amd_signal_value_pointer(signal: Handle, pointer: *mut *mut i64) -> Status {
        // SAFETY: the handle is 0 or a live signal's (caller contract).
        let Some(signal) = (unsafe { Signal::of(signal) }) else { return INVALID_SIGNAL };
        if !signal.exposed.swap(true, Ordering::SeqCst) {
            // Kernels can write the value and wait for it, as for other memory.
            memory::lock(signal.value.as_ptr().cast(), size_of::<i64>());
        }
        trace!("s{}: its value is at {:p}", signal.number, signal.value.as_ptr());
        // SAFETY: the out-pointer is null or has room for a pointer (caller contract).
        unsafe { write_out(pointer.cast::<c_void>(), signal.value.as_ptr()) }
    }
}

/// Declares one signal operation for each of HSA's memory orders. All are sequentially consistent
/// here.
macro_rules! orders {
    (|$signal:ident| $body:block $(fn $name:ident)*) => {
        hsa_api! {
            $(
                /// Reads a signal, in one of HSA's memory orders.
                fn $name(handle: Handle) -> i64 {
                    // SAFETY: the handle is 0 or a live signal's (caller contract).
                    let Some($signal) = (unsafe { Signal::of(handle) }) else { return default_for_null_signal() };
                    $body
                }
            )*
        }
    };
    (|$signal:ident, $value:ident| -> $ret:ty $body:block $(fn $name:ident)*) => {
        hsa_api! {
            $(
                /// Changes a signal, in one of HSA's memory orders.
                fn $name(handle: Handle, $value: i64) -> $ret {
                    // SAFETY: the handle is 0 or a live signal's (caller contract).
                    let Some($signal) = (unsafe { Signal::of(handle) }) else { return default_for_null_signal() };
                    $body
                }
            )*
        }
    };
}

orders! {
    |signal| { signal.load() }
    fn hsa_signal_load_relaxed
    fn hsa_signal_load_scacquire
    fn hsa_signal_load_acquire
}

orders! {
    |signal, value| -> () { signal.store(value) }
    fn hsa_signal_store_relaxed
    fn hsa_signal_store_screlease
    fn hsa_signal_store_release
    fn hsa_signal_silent_store_relaxed
    fn hsa_signal_silent_store_screlease
}

orders! {
    |signal, value| -> i64 { signal.update(|_| value) }
    fn hsa_signal_exchange_relaxed
    fn hsa_signal_exchange_scacquire
    fn hsa_signal_exchange_screlease
    fn hsa_signal_exchange_scacq_screl
}

orders! {
    |signal, value| -> () { signal.update(|old| old.wrapping_add(value)); }
    fn hsa_signal_add_relaxed
    fn hsa_signal_add_scacquire
    fn hsa_signal_add_screlease
    fn hsa_signal_add_scacq_screl
}

orders! {
    |signal, value| -> () { signal.update(|old| old.wrapping_sub(value)); }
    fn hsa_signal_subtract_relaxed
    fn hsa_signal_subtract_scacquire
    fn hsa_signal_subtract_screlease
    fn hsa_signal_subtract_scacq_screl
}

orders! {
    |signal, value| -> () { signal.update(|old| old & value); }
    fn hsa_signal_and_relaxed
    fn hsa_signal_and_scacq_screl
}

orders! {
    |signal, value| -> () { signal.update(|old| old | value); }
    fn hsa_signal_or_relaxed
    fn hsa_signal_or_scacq_screl
}

orders! {
    |signal, value| -> () { signal.update(|old| old ^ value); }
    fn hsa_signal_xor_relaxed
    fn hsa_signal_xor_scacq_screl
}

/// Declares the waits and the exchanges, which take more than one value.
macro_rules! waits {
    ($(fn $name:ident)*) => {
        hsa_api! {
            $(
                /// Blocks until the value meets the condition, or until the timeout in ticks of the
                /// clock has passed. Returns the last value that it read.
                fn $name(
                    handle: Handle, condition: u32, compare: i64, timeout: u64, _state: u32,
                ) -> i64 {
                    // SAFETY: the handle is 0 or a live signal's (caller contract).
                    let Some(signal) = (unsafe { Signal::of(handle) }) else { return default_for_null_signal() };
                    let mut seen = 0;
                    signal.wait(deadline(timeout), |value| {
                        seen = value;
                        meets(value, condition, compare)
                    });
                    seen
                }
            )*
        }
    };
}

waits! {
    fn hsa_signal_wait_relaxed
    fn hsa_signal_wait_scacquire
    fn hsa_signal_wait_acquire
}

macro_rules! exchanges {
    ($(fn $name:ident)*) => {
        hsa_api! {
            $(
                /// Stores `value` if the signal is `expected`. Returns the previous value.
                fn $name(handle: Handle, expected: i64, value: i64) -> i64 {
                    // SAFETY: the handle is 0 or a live signal's (caller contract).
                    let Some(signal) = (unsafe { Signal::of(handle) }) else { return default_for_null_signal() };
                    signal.update(|old| if old == expected { value } else { old })
                }
            )*
        }
    };
}

exchanges! {
    fn hsa_signal_cas_relaxed
    fn hsa_signal_cas_scacquire
    fn hsa_signal_cas_screlease
    fn hsa_signal_cas_scacq_screl
}
