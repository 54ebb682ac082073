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

/// A signal. Its first 64 bytes are `amd_signal_t`, which HIP looks into.
///
/// Signals are never given back to the system, only used again: a thread that changed one may still
/// be about to wake its waiters when the owner, who saw the new value, destroys it.
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

    /// Its name in the log.
    pub number: u64,
    /// Counts every change, so that a queue hears each ring of its doorbell.
    changes: AtomicU64,
    /// Handlers registered for it.
    watchers: AtomicU32,
    /// Whether somebody asked for the address of the value, and so may change it in silence.
    exposed: AtomicBool,
}

const _: () = assert!(std::mem::offset_of!(Signal, value) == 8);
const _: () = assert!(std::mem::offset_of!(Signal, start) == 32);
const _: () = assert!(std::mem::offset_of!(Signal, number) == 64);

const KIND_USER: i64 = 1;

static FREE: Mutex<Vec<&'static Signal>> = Mutex::new(Vec::new());

impl Signal {
    /// A new one, with nobody waiting for it.
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
        signal
    }

    /// Puts it aside to be used again.
    pub fn destroy(&'static self) {
        if self.exposed.swap(false, Ordering::SeqCst) {
            memory::unlock(self.value.as_ptr().cast());
        }
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    /// The handle that the API knows it by.
    pub fn handle(&'static self) -> Handle {
        self as *const Signal as Handle
    }

    /// The signal behind a handle; `None` for the null handle, which many calls allow.
    ///
    /// # Safety
    ///
    /// A handle other than 0 came from [`Signal::handle`].
    pub unsafe fn of(handle: Handle) -> Option<&'static Signal> {
        // SAFETY: null or a signal, by the caller's promise, and signals stay for ever.
        unsafe { (handle as *const Signal).as_ref() }
    }

    /// The value now.
    pub fn load(&self) -> i64 {
        self.value.load(Ordering::SeqCst)
    }

    /// Changes the value and wakes who waits for it.
    pub fn store(&'static self, value: i64) {
        self.value.store(value, Ordering::SeqCst);
        self.changed();
    }

    /// Changes the value by `change`, which computes the new one from the old, and gives the old.
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

    /// What a finished packet or copy does to its completion signal: notes the times, then takes 1.
    pub fn complete(&'static self, start: u64, end: u64) {
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.update(|value| value.wrapping_sub(1));
    }

    /// When the work that completed it began and ended.
    pub fn times(&self) -> ProfilingTime {
        ProfilingTime {
            start: self.start.load(Ordering::Relaxed),
            end: self.end.load(Ordering::Relaxed),
        }
    }

    /// How often it was changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Waits until `holds` is true of the value; false if it gave up first.
    pub fn wait(&self, until: Option<Instant>, mut holds: impl FnMut(i64) -> bool) -> bool {
        let look_again = self.exposed.load(Ordering::SeqCst);
        parking_lot::wait(self.address(), WaitOptions { until, look_again }, || holds(self.load()))
    }

    /// Counts a handler in or out, so that changes are told to the handlers only when there are
    /// any.
    pub fn watch(&self, one_more: bool) {
        if one_more {
            self.watchers.fetch_add(1, Ordering::SeqCst);
        } else {
            self.watchers.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The address that its waiters sleep at.
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

/// Whether `value` meets an HSA condition against `compare`.
pub fn meets(value: i64, condition: u32, compare: i64) -> bool {
    match condition {
        CONDITION_EQ => value == compare,
        CONDITION_NE => value != compare,
        CONDITION_LT => value < compare,
        _ => value >= compare,
    }
}

/// A wait's end, from its timeout in ticks of the clock. The longest one means no end.
fn deadline(timeout: u64) -> Option<Instant> {
    if timeout == u64::MAX {
        return None;
    }
    // A timeout too far away for the clock has no end either.
    Instant::now().checked_add(Duration::from_nanos(timeout))
}

/// What an operation that cannot report an error answers for handle 0, which is no signal.
fn no_signal<T: Default>() -> T {
    trace_line(format_args!("an operation on the signal with handle 0 was left out"));
    T::default()
}

/// # Safety
///
/// `to` is null or has room for a handle.
unsafe fn create(initial: i64, to: *mut Handle) -> Status {
    if to.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, so it has room for a handle.
    unsafe { to.write(Signal::create(initial).handle()) };
    SUCCESS
}

hsa_api! {
    /// Creates a signal. Which agents will wait for it makes no difference here.
    fn hsa_signal_create(
        initial: i64, _consumers: u32, _agents: *const Handle, signal: *mut Handle,
    ) -> Status {
        // SAFETY: as the caller promises.
        unsafe { create(initial, signal) }
    }

    /// Creates a signal with AMD's attributes, which make no difference here.
    fn hsa_amd_signal_create(
        initial: i64, _consumers: u32, _agents: *const Handle, _attributes: u64,
        signal: *mut Handle,
    ) -> Status {
        // SAFETY: as the caller promises.
        unsafe { create(initial, signal) }
    }

    /// Destroys a signal.
    fn hsa_signal_destroy(signal: Handle) -> Status {
        // SAFETY: a signal's handle, by the caller's promise.
        let Some(signal) = (unsafe { Signal::of(signal) }) else { return INVALID_SIGNAL };
        signal.destroy();
        SUCCESS
    }

    /// Where the value lies. From then on its waiters look at it from time to time.
    fn hsa_amd_signal_value_pointer(signal: Handle, pointer: *mut *mut i64) -> Status {
        // SAFETY: a signal's handle, by the caller's promise.
        let Some(signal) = (unsafe { Signal::of(signal) }) else { return INVALID_SIGNAL };
        if !signal.exposed.swap(true, Ordering::SeqCst) {
            // Kernels write it and wait for it as they do with other memory.
            memory::lock(signal.value.as_ptr().cast(), size_of::<i64>());
        }
        trace!("s{}: its value is at {:p}", signal.number, signal.value.as_ptr());
        // SAFETY: the caller gave it for a pointer to be written.
        unsafe { put(pointer.cast::<c_void>(), signal.value.as_ptr()) }
    }
}

/// One operation on signals, in each of HSA's memory orders. All are sequentially consistent here.
macro_rules! orders {
    (|$signal:ident| $body:block $(fn $name:ident)*) => {
        hsa_api! {
            $(
                /// Reads a signal, in one of HSA's memory orders.
                fn $name(handle: Handle) -> i64 {
                    // SAFETY: a signal's handle, by the caller's promise.
                    let Some($signal) = (unsafe { Signal::of(handle) }) else { return no_signal() };
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
                    // SAFETY: a signal's handle, by the caller's promise.
                    let Some($signal) = (unsafe { Signal::of(handle) }) else { return no_signal() };
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

/// The waits and exchanges, which take more than one value.
macro_rules! waits {
    ($(fn $name:ident)*) => {
        hsa_api! {
            $(
                /// Blocks until the value meets the condition or the timeout, in ticks of the
                /// clock, has passed; the answer is the value that was seen last.
                fn $name(
                    handle: Handle, condition: u32, compare: i64, timeout: u64, _state: u32,
                ) -> i64 {
                    // SAFETY: a signal's handle, by the caller's promise.
                    let Some(signal) = (unsafe { Signal::of(handle) }) else { return no_signal() };
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
                /// Stores `value` if the signal is `expected`; the answer is what it was.
                fn $name(handle: Handle, expected: i64, value: i64) -> i64 {
                    // SAFETY: a signal's handle, by the caller's promise.
                    let Some(signal) = (unsafe { Signal::of(handle) }) else { return no_signal() };
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
