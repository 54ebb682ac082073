//! The items of a stream, from submission to execution: [`TaskQueue`].
//!
//! Chunked MPSC queue. Submitters hold a one-word spin lock, the *tail lock*, while they append an
//! item. That is a few stores, and no code of the user. The runner is one thread at a time, by the
//! queue's [`RunState`](super::run_state::RunState). The flag on the *head* exists for threads that
//! inspect the queue from outside.
//!
//! The two sides share no cache line that either writes for each item, except those of the items.
//!
//! The word of the tail lock also has the flag `IDLE`: the runner found the queue empty and left.
//! Releasing the lock sets or clears the flag in the same store. A submission therefore costs one
//! atomic read-modify-write, which also tells whether the queue has to be scheduled.

#[cfg(all(test, target_os = "linux", not(any(gpu_stream_loom, gpu_stream_shuttle, miri))))]
mod stall_tests;

use std::ptr;

use crossbeam_utils::CachePadded;

use super::chunk::{Chunk, Cursor};
use super::item::{Control, Value, Vtable};
use super::task;
use crate::sync::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Backoff, Ordering, UnsafeCell};

/// An unbounded queue of items, with many submitters and one runner.
pub(super) struct TaskQueue {
    tail: CachePadded<Tail>,
    head: CachePadded<Head>,
}

/// The submitters' side.
struct Tail {
    /// The lock and its flags: [`LOCKED`], [`IDLE`], [`CLOSED`].
    word: AtomicU32,
    /// The number of the last item. Written under the lock, after the item itself.
    submitted: AtomicU64,
    /// The position of the next item. Accessed under the lock.
    end: UnsafeCell<Cursor>,
    /// The chunk of the very first item, where the runner begins.
    first: AtomicPtr<Chunk>,
    /// An emptied chunk, reused by the next submitter that needs one.
    spare: AtomicPtr<Chunk>,
}

const LOCKED: u32 = 1;
const IDLE: u32 = 2;
const CLOSED: u32 = 4;

/// The runner's side.
struct Head {
    /// `true` while a [`Reader`] exists. The runner has one as long as it runs. Another thread only
    /// tries to get one, and has it briefly, so the runner is never blocked for long.
    locked: AtomicBool,
    position: UnsafeCell<Position>,
}

/// The progress of the runner.
struct Position {
    /// The position of the next item. Null before the first item.
    cursor: Cursor,
    /// The number of items that were taken out.
    taken: u64,
    /// The last known value of `Tail::submitted`.
    published: u64,
}

// SAFETY:
// - `end` is accessed only under the tail lock.
// - `position` is accessed only by the thread whose `Reader` has set `locked`.
// - Items are `Send`. An item is accessed by its submitter until its number is published, and by
//   the thread that holds the `Reader` afterwards.
unsafe impl Sync for TaskQueue {}

/// The tail lock, held until [`release`](Self::release).
struct TailGuard<'q> {
    tail: &'q Tail,
    /// The other flags of the word.
    flags: u32,
}

/// The result of a push.
pub(super) struct Pushed {
    /// The number of the new item.
    pub(super) number: u64,
    /// `true` if the queue was idle. The submitter then has to schedule it.
    pub(super) was_idle: bool,
}

impl TaskQueue {
    /// Creates an empty, idle queue.
    pub(super) fn new() -> Self {
        TaskQueue {
            tail: CachePadded::new(Tail {
                word: AtomicU32::new(IDLE),
                submitted: AtomicU64::new(0),
                end: UnsafeCell::new(Cursor::NULL),
                first: AtomicPtr::new(ptr::null_mut()),
                spare: AtomicPtr::new(ptr::null_mut()),
            }),
            head: CachePadded::new(Head {
                locked: AtomicBool::new(false),
                position: UnsafeCell::new(Position {
                    cursor: Cursor::NULL,
                    taken: 0,
                    published: 0,
                }),
            }),
        }
    }

    /// Returns the number of the last item. Returns 0 before the first.
    #[inline]
    pub(super) fn submitted(&self) -> u64 {
        self.tail.submitted.load(Ordering::Acquire)
    }

    /// Returns `true` if the queue rejects new items.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.tail.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Rejects all items from now on.
    pub(super) fn close(&self) {
        let guard = self.tail.lock();
        let flags = guard.flags | CLOSED;
        guard.release(flags);
    }

    /// Appends an item. Drops `value` and returns `None` if the queue is closed.
    pub(super) fn push<T: Value>(&self, value: T) -> Option<Pushed> {
        let guard = self.tail.lock();
        let flags = guard.flags;
        if flags & CLOSED != 0 {
            // Released before `value` is dropped: its destructor is code of the user.
            guard.release(flags);
            return None;
        }
        // SAFETY: this thread holds the tail lock, which makes `end` exclusive.
        let end = self.tail.end.with_mut(|end| unsafe {
            if !(*end).has_room_for(T::VTABLE) {
                *end = self.tail.grow(*end);
            }
            std::mem::replace(&mut *end, (*end).after(T::VTABLE))
        });
        // SAFETY: the item fits at `end`, whose chunk is live. No other thread accesses the
        // position: submitters need the lock, and the runner stops at the published number.
        unsafe { end.write(value) };
        let number = self.tail.submitted.load(Ordering::Relaxed) + 1;
        self.tail.submitted.store(number, Ordering::Release);
        guard.release(0);
        Some(Pushed { number, was_idle: flags & IDLE != 0 })
    }

    /// Locks the head. Blocks while another thread has a [`Reader`].
    pub(super) fn read(&self) -> Reader<'_> {
        let mut backoff = Backoff::new();
        loop {
            match self.try_read() {
                Some(reader) => return reader,
                None => backoff.wait(),
            }
        }
    }

    /// Tries to lock the head. Returns `None` if another thread has a [`Reader`].
    #[inline]
    pub(super) fn try_read(&self) -> Option<Reader<'_>> {
        let locked = &self.head.locked;
        locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).ok()?;
        Some(Reader { tasks: self })
    }
}

impl Tail {
    /// Acquires the tail lock.
    #[inline]
    fn lock(&self) -> TailGuard<'_> {
        let flags = self.word.load(Ordering::Relaxed);
        self.try_lock(flags).unwrap_or_else(|now| self.lock_slow(now))
    }

    /// Acquires the lock, which another thread had when the word was `flags`.
    #[cold]
    fn lock_slow(&self, mut flags: u32) -> TailGuard<'_> {
        let mut backoff = Backoff::exponential();
        loop {
            if flags & LOCKED != 0 {
                // The holder needs only a few stores more, unless it was preempted.
                backoff.wait();
                flags = self.word.load(Ordering::Relaxed);
            }
            match self.try_lock(flags) {
                Ok(guard) => return guard,
                Err(now) => flags = now,
            }
        }
    }

    /// Tries to acquire the lock. Fails if it is held or if the word is not `flags`, and returns the
    /// word.
    #[inline]
    fn try_lock(&self, flags: u32) -> Result<TailGuard<'_>, u32> {
        if flags & LOCKED != 0 {
            return Err(flags);
        }
        let (success, failure) = (Ordering::Acquire, Ordering::Relaxed);
        self.word.compare_exchange(flags, flags | LOCKED, success, failure)?;
        Ok(TailGuard { tail: self, flags })
    }

    /// Links a new chunk after the one that has no room left at `end`, and returns its start.
    ///
    /// # Safety
    /// The calling thread holds the tail lock.
    unsafe fn grow(&self, end: Cursor) -> Cursor {
        let mut chunk = self.spare.swap(ptr::null_mut(), Ordering::Acquire);
        if chunk.is_null() {
            chunk = Chunk::new();
        }
        if end.chunk().is_null() {
            // Relaxed: published together with the number of the first item.
            self.first.store(chunk, Ordering::Relaxed);
        } else {
            // SAFETY: the calling thread holds the lock, so no other thread writes to the chunk,
            // and the runner has not passed its last item. `has_room_for` leaves a word for the
            // marker.
            unsafe { end.write_end(chunk) };
        }
        Cursor::start_of(chunk)
    }
}

impl TailGuard<'_> {
    /// Releases the tail lock and sets the other flags to `flags`, which has no flag of the lock.
    #[inline]
    fn release(self, flags: u32) {
        // A plain store suffices: no other thread writes the word while it is locked.
        self.tail.word.store(flags, Ordering::Release);
    }
}

/// Exclusive access to the head of a queue.
pub(super) struct Reader<'q> {
    tasks: &'q TaskQueue,
}

impl<'q> Reader<'q> {
    fn position(&mut self) -> &mut Position {
        // SAFETY: a queue has at most one reader at a time, and the returned reference borrows it.
        self.tasks.head.position.with_mut(|position| unsafe { &mut *position })
    }

    /// Returns the number of items that were taken out.
    #[inline]
    pub(super) fn taken(&mut self) -> u64 {
        self.position().taken
    }

    /// Returns the next item, which stays in place until it is run or discarded. Returns `None` if
    /// the queue is empty.
    #[inline]
    pub(super) fn front(&mut self) -> Option<Front<'_>> {
        let tail = &self.tasks.tail;
        let position = self.position();
        if position.taken == position.published {
            position.published = tail.submitted.load(Ordering::Acquire);
            if position.taken == position.published {
                return None;
            }
        }
        if position.cursor.chunk().is_null() {
            position.cursor = Cursor::start_of(tail.first.load(Ordering::Relaxed));
        }
        loop {
            // SAFETY: item `taken + 1` is published. So the cursor is at that item or at the end
            // marker before it; both were written before the number was published.
            match unsafe { position.cursor.vtable() } {
                Some(vtable) => return Some(Front { position, vtable }),
                None => {
                    let emptied = position.cursor.chunk();
                    // SAFETY: the cursor is at the end marker, as the vtable was null.
                    position.cursor = Cursor::start_of(unsafe { position.cursor.next_chunk() });
                    let old = tail.spare.swap(emptied, Ordering::AcqRel);
                    // SAFETY: `old` is null or an emptied chunk. A submitter that takes the spare
                    // chunk leaves null, so no other thread has `old`.
                    unsafe { Chunk::free(old) };
                }
            }
        }
    }

    /// Marks the queue idle and returns `None` if it is empty. Otherwise returns the reader again.
    ///
    /// Calls `on_idle` before the queue becomes idle, with `true` if the queue is closed. The next
    /// submitter observes everything that `on_idle` did.
    pub(super) fn leave_if_empty(mut self, on_idle: impl FnOnce(bool)) -> Option<Self> {
        let tail = &self.tasks.tail;
        let guard = tail.lock();
        let flags = guard.flags;
        let position = self.position();
        if tail.submitted.load(Ordering::Relaxed) != position.taken {
            guard.release(flags);
            return Some(self);
        }
        // This thread has both sides. They restart at the beginning of the chunk, which is in the
        // cache.
        position.cursor = Cursor::start_of(position.cursor.chunk());
        // SAFETY: this thread holds the tail lock, which makes `end` exclusive.
        tail.end.with_mut(|end| unsafe { *end = Cursor::start_of((*end).chunk()) });
        drop(self);
        on_idle(flags & CLOSED != 0);
        guard.release(flags | IDLE);
        None
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.tasks.head.locked.store(false, Ordering::Release);
    }
}

/// The next item of a queue.
pub(super) struct Front<'r> {
    position: &'r mut Position,
    vtable: &'static Vtable,
}

impl Front<'_> {
    /// Returns the item if it is a control. Returns `None` for a closure.
    #[inline]
    pub(super) fn control(&self) -> Option<&Control> {
        // SAFETY: the vtable says that the value is a `Control`. It stays in place until it is
        // taken out, which consumes `self`.
        self.vtable.is_control.then(|| unsafe { &*self.position.cursor.value().cast::<Control>() })
    }

    /// Takes the item out and runs the closure, which is dropped by that. Drops a control.
    #[inline]
    pub(super) fn run(self) {
        let run = self.vtable.run;
        // SAFETY: `take` returns a valid value of the vtable's type, and no other call takes it.
        // Its memory stays unchanged until the next item is requested or the queue is left.
        unsafe { run(self.take()) };
    }

    /// Takes the item out and drops it.
    pub(super) fn discard(self) {
        let discard = self.vtable.discard;
        // SAFETY: `take` returns a valid value of the vtable's type, and no other call takes it.
        // Its memory stays unchanged until the next item is requested or the queue is left.
        unsafe { discard(self.take()) };
    }

    /// Advances past the item and returns a pointer to its value, which the caller then owns.
    #[inline]
    fn take(self) -> *mut super::item::Word {
        // SAFETY: an item is at the cursor: `self` was created from its vtable.
        let value = unsafe { self.position.cursor.value() };
        // Advances before the value is used: after a panic, the item must not run or drop again.
        self.position.cursor = self.position.cursor.after(self.vtable);
        self.position.taken += 1;
        value
    }
}

impl Drop for TaskQueue {
    fn drop(&mut self) {
        if super::process_state::is_forked() {
            // A thread of the parent can have left the queue half changed.
            return;
        }
        let mut reader = self.read();
        while let Some(front) = reader.front() {
            task::discard(|| front.discard());
        }
        let mut last = reader.position().cursor.chunk();
        drop(reader);
        // SAFETY: the queue is dropped exclusively, and neither chunk contains an item any more.
        unsafe {
            if last.is_null() {
                last = self.tail.first.load(Ordering::Relaxed);
            }
            Chunk::free(last);
            Chunk::free(self.tail.spare.load(Ordering::Relaxed));
        }
    }
}
