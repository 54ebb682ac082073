//! Host functions that a driver has not called yet: [`HostFuncs`].

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests;

use std::cell::Cell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_core::ContractError;

use crate::deferred::{drop_quietly, forget_panic};
use crate::forks::User;
use crate::panics::{Panics, StreamKey};

/// A closure that a stream runs on the host.
pub type HostFunc = Box<dyn FnOnce() + Send + 'static>;

/// The closures that were given to a driver, by key.
///
/// The driver gets a key as its user data, never a pointer. It may call a function more than once: a
/// function that a capture took becomes a graph node, which runs with every launch of the graph. The first
/// call takes the closure, and every later call finds nothing. A key is never reused.
///
/// A closure that the driver will never call, because its context is broken or destroyed, is
/// [cancelled](Self::cancel) and dropped.
// The calling thread and the driver's thread write this in turn. Alone on its cache lines, it slows down no other
// call, which reads the flags beside it.
#[repr(align(128))]
pub struct HostFuncs {
    table: Mutex<Table>,
    /// The number of closures in the table.
    count: AtomicUsize,
    user: User,
}

/// The slots of the closures. A slot is used again, so a launch allocates nothing in the steady state.
struct Table {
    slots: Vec<Slot>,
    /// The index of the first empty slot; [`NONE`] if there is none.
    first_empty: u32,
    /// The number of closures that a new slot counts as having had: the greatest number of all slots that were freed.
    freed_uses: u32,
    /// The number of launches.
    launches: u64,
}

struct Slot {
    /// The number of closures that the slot has had. Part of the key, so that no key is reused.
    uses: u32,
    /// The index of the next empty slot, while this one is empty.
    next_empty: u32,
    waiting: Option<Waiting>,
}

/// The index of no slot.
const NONE: u32 = u32::MAX;

/// The number of slots that an empty table keeps. It frees all of them if it has more.
const KEPT: usize = 1024;

struct Waiting {
    func: HostFunc,
    stream: StreamKey,
    /// The position in the order of launches.
    launch: u64,
}

impl Table {
    /// Stores a closure, and returns its key.
    fn insert(&mut self, func: HostFunc, stream: StreamKey) -> usize {
        self.launches += 1;
        let waiting = Waiting { func, stream, launch: self.launches };
        if self.first_empty == NONE {
            // A closure in the table takes more than 64 bytes, so there are fewer than 2^32.
            self.first_empty = self.slots.len() as u32;
            self.slots.push(Slot { uses: self.freed_uses, next_empty: NONE, waiting: None });
        }
        let index = self.first_empty;
        let slot = &mut self.slots[index as usize];
        self.first_empty = slot.next_empty;
        slot.uses += 1;
        slot.waiting = Some(waiting);
        key(index, slot.uses)
    }

    /// Takes the closure with this key, unless it was taken before.
    fn remove(&mut self, key: usize) -> Option<Waiting> {
        let (index, uses) = (key as u32, (key >> u32::BITS) as u32);
        let slot = self.slots.get_mut(index as usize).filter(|slot| slot.uses == uses)?;
        let taken = slot.waiting.take()?;
        // A slot whose keys are used up stays empty.
        if slot.uses < u32::MAX {
            slot.next_empty = self.first_empty;
            self.first_empty = index;
        }
        Some(taken)
    }

    /// Takes the slots out of an empty table, if it has more than [`KEPT`] of them. The caller frees them without the
    /// lock.
    fn take_slots(&mut self) -> Vec<Slot> {
        if self.slots.len() <= KEPT {
            return Vec::new();
        }
        let uses = self.slots.iter().map(|slot| slot.uses).max().unwrap_or_default();
        // The keys of new slots continue after those of the old ones. If none are left, the slots stay.
        if uses == u32::MAX {
            return Vec::new();
        }
        (self.freed_uses, self.first_empty) = (uses, NONE);
        std::mem::take(&mut self.slots)
    }

    /// Returns the keys of the closures for whose stream `is_dead` returns `true`, in the order of their launches.
    fn keys_of(&self, is_dead: impl Fn(StreamKey) -> bool) -> Vec<usize> {
        let waiting = self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let waiting = slot.waiting.as_ref()?;
            is_dead(waiting.stream).then_some((waiting.launch, key(index as u32, slot.uses)))
        });
        let mut keys: Vec<_> = waiting.collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }
}

/// Returns the key of a slot's closure. It is never 0, because `uses` is not.
fn key(index: u32, uses: u32) -> usize {
    const { assert!(usize::BITS == 64, "the drivers exist for targets of 64 bits only") };
    (uses as usize) << u32::BITS | index as usize
}

thread_local! {
    // Has no destructor, so it stays usable until the thread has ended.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Returns `true` if the calling thread is inside a host function of a backend with a driver.
#[inline]
pub fn is_inside() -> bool {
    INSIDE.get()
}

/// Returns an error inside a host function of a backend with a driver. Blocking there would block the thread that runs all
/// host functions.
pub fn ensure_outside(operation: &'static str) -> Result<(), ContractError> {
    if !is_inside() {
        return Ok(());
    }
    let reason = "it is called from a host function, which must not wait for the GPU; let another stream wait for an event instead";
    Err(ContractError::NotPermitted { operation, reason })
}

/// Marks the thread as inside a host function, until it is dropped.
struct Inside(bool);

impl Inside {
    fn enter() -> Self {
        Inside(INSIDE.replace(true))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

impl Default for HostFuncs {
    fn default() -> Self {
        HostFuncs::new()
    }
}

impl HostFuncs {
    /// Creates an empty table.
    pub const fn new() -> Self {
        let table = Table { slots: Vec::new(), first_empty: NONE, freed_uses: 0, launches: 0 };
        HostFuncs { table: Mutex::new(table), count: AtomicUsize::new(0), user: User::new() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Launches `func`: `call` gives the driver the key as its user data.
    ///
    /// Holds no lock during `call`, which may block. If `call` fails, the closure is dropped before this
    /// function returns, unless the driver has called it already.
    ///
    /// # Errors
    /// The error of `call`.
    pub fn launch<E>(
        &self,
        func: HostFunc,
        stream: StreamKey,
        call: impl FnOnce(*mut c_void) -> Result<(), E>,
    ) -> Result<(), E> {
        // From the first launch on, the table belongs to this process.
        let _ = self.user.is_this_process();
        let mut table = self.table();
        let key = table.insert(func, stream);
        self.count.fetch_add(1, Ordering::Release);
        drop(table);
        let launched = call(std::ptr::without_provenance_mut(key));
        if launched.is_err() {
            drop(self.take(key));
        }
        launched
    }

    fn take(&self, key: usize) -> Option<Waiting> {
        let mut table = self.table();
        let taken = table.remove(key)?;
        self.removed(1, table);
        Some(taken)
    }

    /// Counts the closures that were removed, and releases the lock. Frees the slots if none has a closure and they are
    /// many.
    fn removed(&self, number: usize, mut table: MutexGuard<'_, Table>) {
        // The count changes under the lock only.
        let is_empty = self.count.fetch_sub(number, Ordering::Release) == number;
        let slots = if is_empty { table.take_slots() } else { Vec::new() };
        drop(table);
        drop(slots);
    }

    /// Runs the closure with the key that `launch` gave to the driver. Does nothing for a key that was
    /// used. Must be called by the driver's callback, on the driver's thread.
    ///
    /// A closure that follows a panicked one on the same stream is dropped unrun. A panic is caught here
    /// and recorded in `panics`. What the closure captured is dropped before this function returns.
    pub fn run(&self, user_data: *mut c_void, panics: &Panics) {
        let Some(Waiting { func, stream, .. }) = self.take(user_data.addr()) else { return };
        let _inside = Inside::enter();
        if panics.has(stream) {
            drop_quietly(func);
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(func)) {
            panics.record_panic(stream, &*panic);
            forget_panic(panic);
        }
    }

    /// Drops the closure with this key, which the driver will not call because earlier work failed. Called by the driver's
    /// callback.
    pub fn discard(&self, user_data: *mut c_void) {
        if let Some(waiting) = self.take(user_data.addr()) {
            let _inside = Inside::enter();
            drop_quietly(waiting.func);
        }
    }

    /// Removes the closures of all streams for which `is_dead` returns `true`, and drops them with no lock
    /// held, in the order of their launches.
    ///
    /// Must be called outside the driver's callbacks, at the end of a call that saw a fault of the driver.
    /// If the driver calls such a closure anyway, the call finds nothing. Does nothing in the child of a
    /// fork: the closures are the parent's.
    pub fn cancel(&self, is_dead: impl Fn(StreamKey) -> bool) {
        if self.count.load(Ordering::Acquire) == 0 || !self.user.is_this_process() {
            return;
        }
        let mut table = self.table();
        let keys = table.keys_of(is_dead);
        let dead: Vec<_> = keys.into_iter().filter_map(|key| table.remove(key)).collect();
        self.removed(dead.len(), table);
        dead.into_iter().for_each(|waiting| drop_quietly(waiting.func));
    }

    /// Returns the number of closures that the driver has.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Returns `true` if the driver has no closure.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
