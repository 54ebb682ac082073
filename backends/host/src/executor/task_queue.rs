//! The items of a stream, between those who submit them and the one who runs them.
//!
//! The two sides share no cache line that either writes for each item, but the ones with the items
//! themselves. Those who submit take turns by a lock of one word: between taking it and giving it
//! back lie a few stores, and no code of a user. The side that runs is one thread at a time, by the
//! state of the queue, and its lock is there for whoever looks in from outside.
//!
//! The word of the lock also says that the queue is *quiet*: its runner has found it empty and left.
//! Both are told in one step, so that a submission costs one atomic read-modify-write, and finds out
//! with it whether somebody has to be told.

#[cfg(all(test, target_os = "linux", not(any(gpu_stream_loom, gpu_stream_shuttle, miri))))]
mod stall_tests;

use std::ptr;

use crossbeam_utils::CachePadded;

use super::chunk::{Chunk, Cursor};
use super::item::{Control, Value, Vtable};
use super::task;
use crate::sync::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Backoff, Ordering, UnsafeCell};

pub(super) struct TaskQueue {
    tail: CachePadded<Tail>,
    head: CachePadded<Head>,
}

/// The side of those who submit.
struct Tail {
    /// [`LOCKED`], [`IDLE`], [`CLOSED`].
    word: AtomicU32,
    /// The number of the last item; written under the lock, after the item itself.
    submitted: AtomicU64,
    /// Where the next item is put; used under the lock.
    end: UnsafeCell<Cursor>,
    /// The chunk with the very first item, for the other side to begin with.
    first: AtomicPtr<Chunk>,
    /// A chunk that was emptied, for the next time that one is needed.
    spare: AtomicPtr<Chunk>,
}

const LOCKED: u32 = 1;
const IDLE: u32 = 2;
const CLOSED: u32 = 4;

/// The side of the runner.
struct Head {
    /// Whether a thread is there. It is the runner, for as long as it runs, or one that looks in
    /// from outside, for a moment; so the one never waits for the other for long.
    taken: AtomicBool,
    position: UnsafeCell<Position>,
}

/// How far the runner has come.
struct Position {
    /// Where the next item lies; nowhere before the first.
    place: Cursor,
    /// How many items were taken.
    taken: u64,
    /// The number up to which items are known to be there.
    seen: u64,
}

// SAFETY: `end` is used only by the thread that holds the lock of `word`. The items themselves are
// `Send`, and each is used by the thread that puts it in, until that has published its number, and
// from then on by the thread that has taken `head`, as `position` is.
unsafe impl Sync for TaskQueue {}

/// The lock of the tail; `release` lets go of it.
struct TailGuard<'l> {
    tail: &'l Tail,
    /// The other bits of the word.
    flags: u32,
}

/// What became of an item that was pushed.
pub(super) struct Pushed {
    pub(super) number: u64,
    /// Whether the queue was quiet, so that nobody will come to the item unless told to.
    pub(super) was_quiet: bool,
}

impl TaskQueue {
    pub(super) fn new() -> Self {
        TaskQueue {
            tail: CachePadded::new(Tail {
                word: AtomicU32::new(IDLE),
                submitted: AtomicU64::new(0),
                end: UnsafeCell::new(Cursor::NOWHERE),
                first: AtomicPtr::new(ptr::null_mut()),
                spare: AtomicPtr::new(ptr::null_mut()),
            }),
            head: CachePadded::new(Head {
                taken: AtomicBool::new(false),
                position: UnsafeCell::new(Position { place: Cursor::NOWHERE, taken: 0, seen: 0 }),
            }),
        }
    }

    /// The number of the last item.
    #[inline]
    pub(super) fn submitted(&self) -> u64 {
        self.tail.submitted.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.tail.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Takes nothing any more.
    pub(super) fn refuse(&self) {
        let turn = self.tail.lock();
        let flags = turn.flags | CLOSED;
        turn.release(flags);
    }

    /// Puts `value` behind all others; `None`, and drops it, if the queue refuses.
    pub(super) fn push<T: Value>(&self, value: T) -> Option<Pushed> {
        let turn = self.tail.lock();
        let flags = turn.flags;
        if flags & CLOSED != 0 {
            // Dropping runs code of a user.
            turn.release(flags);
            return None;
        }
        // SAFETY: we hold the lock.
        let end = self.tail.end.with_mut(|end| unsafe {
            if !(*end).has_room_for(T::VTABLE) {
                *end = self.tail.grow(*end);
            }
            std::mem::replace(&mut *end, (*end).behind(T::VTABLE))
        });
        // SAFETY: there is room, which no one else uses: the number says that nothing lies there.
        unsafe { end.put(value) };
        let number = self.tail.submitted.load(Ordering::Relaxed) + 1;
        self.tail.submitted.store(number, Ordering::Release);
        turn.release(0);
        Some(Pushed { number, was_quiet: flags & IDLE != 0 })
    }

    /// The side of the runner; waits while another thread is there.
    pub(super) fn read(&self) -> Reader<'_> {
        let mut backoff = Backoff::new();
        loop {
            match self.try_read() {
                Some(reader) => return reader,
                None => backoff.wait(),
            }
        }
    }

    /// The same, unless another thread is there.
    #[inline]
    pub(super) fn try_read(&self) -> Option<Reader<'_>> {
        let taken = &self.head.taken;
        taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).ok()?;
        Some(Reader { log: self })
    }
}

impl Tail {
    #[inline]
    fn lock(&self) -> TailGuard<'_> {
        let mut flags = self.word.load(Ordering::Relaxed);
        let mut backoff = Backoff::new();
        loop {
            if flags & LOCKED == 0 {
                let taken = flags | LOCKED;
                match self.word.compare_exchange(flags, taken, Ordering::Acquire, Ordering::Relaxed)
                {
                    Ok(_) => return TailGuard { tail: self, flags },
                    Err(now) => flags = now,
                }
                continue;
            }
            // The holder needs no more than a few stores, unless the system has stopped it there.
            backoff.wait();
            flags = self.word.load(Ordering::Relaxed);
        }
    }

    /// A chunk behind the one that has no room at `end`.
    ///
    /// # Safety
    /// The caller holds the lock.
    unsafe fn grow(&self, end: Cursor) -> Cursor {
        let mut chunk = self.spare.swap(ptr::null_mut(), Ordering::Acquire);
        if chunk.is_null() {
            chunk = Chunk::new();
        }
        if end.chunk().is_null() {
            // Published with the number of the first item.
            self.first.store(chunk, Ordering::Relaxed);
        } else {
            // SAFETY: nobody else puts anything in, and items leave room for this.
            unsafe { end.put_end(chunk) };
        }
        Cursor::start_of(chunk)
    }
}

impl TailGuard<'_> {
    #[inline]
    fn release(self, flags: u32) {
        // Nobody else changes the word while it is locked.
        self.tail.word.store(flags & !LOCKED, Ordering::Release);
    }
}

/// The side of the runner, for as long as this thread is there.
pub(super) struct Reader<'l> {
    log: &'l TaskQueue,
}

impl<'l> Reader<'l> {
    fn position(&mut self) -> &mut Position {
        // SAFETY: a reader is the only one of its log, and lends this no longer than itself.
        self.log.head.position.with_mut(|position| unsafe { &mut *position })
    }

    /// How many items were taken.
    #[inline]
    pub(super) fn taken(&mut self) -> u64 {
        self.position().taken
    }

    /// The next item, which stays where it is until it is run or discarded.
    #[inline]
    pub(super) fn front(&mut self) -> Option<Front<'_>> {
        let tail = &self.log.tail;
        let position = self.position();
        if position.taken == position.seen {
            position.seen = tail.submitted.load(Ordering::Acquire);
            if position.taken == position.seen {
                return None;
            }
        }
        if position.place.chunk().is_null() {
            position.place = Cursor::start_of(tail.first.load(Ordering::Relaxed));
        }
        loop {
            // SAFETY: an item with the number behind `taken` is there, and so lies here, or the mark
            // of the end does. Both were written before the number.
            match unsafe { position.place.kind() } {
                Some(kind) => return Some(Front { position, kind }),
                None => {
                    let emptied = position.place.chunk();
                    // SAFETY: the mark of the end lies here.
                    position.place = Cursor::start_of(unsafe { position.place.next() });
                    let old = tail.spare.swap(emptied, Ordering::AcqRel);
                    // SAFETY: who takes a spare chunk leaves null, so this one is ours alone.
                    unsafe { Chunk::free(old) };
                }
            }
        }
    }

    /// Leaves an empty queue to whoever submits to it next; `None` then, and otherwise the reader
    /// again, since something was submitted. Calls `idle` in between, with whether the queue refuses:
    /// what that does has happened for who submits next.
    pub(super) fn leave(mut self, idle: impl FnOnce(bool)) -> Option<Self> {
        let tail = &self.log.tail;
        let turn = tail.lock();
        let flags = turn.flags;
        let position = self.position();
        if tail.submitted.load(Ordering::Relaxed) != position.taken {
            turn.release(flags);
            return Some(self);
        }
        // Both sides are ours, and begin again at the start of the chunk: the cache has that.
        position.place = Cursor::start_of(position.place.chunk());
        // SAFETY: we hold the lock.
        tail.end.with_mut(|end| unsafe { *end = Cursor::start_of((*end).chunk()) });
        drop(self);
        idle(flags & CLOSED != 0);
        turn.release(flags | IDLE);
        None
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.log.head.taken.store(false, Ordering::Release);
    }
}

/// The item in front.
pub(super) struct Front<'r> {
    position: &'r mut Position,
    kind: &'static Vtable,
}

impl Front<'_> {
    /// What it is, if it is no closure.
    #[inline]
    pub(super) fn control(&self) -> Option<&Control> {
        // SAFETY: the kind says what lies there, and it stays until we take it, which needs `self`.
        self.kind.is_control.then(|| unsafe { &*self.position.place.value().cast::<Control>() })
    }

    /// Takes the item out, runs the closure and drops it; a control is only dropped.
    #[inline]
    pub(super) fn run(self) {
        let run = self.kind.run;
        // SAFETY: the value lies there and is taken by nobody else. Its memory stays as it is until
        // the next item is asked for, or the queue is left.
        unsafe { run(self.take()) };
    }

    /// Takes the item out and drops it.
    pub(super) fn discard(self) {
        let discard = self.kind.discard;
        // SAFETY: as for `run`.
        unsafe { discard(self.take()) };
    }

    #[inline]
    fn take(self) -> *mut super::item::Word {
        // SAFETY: an item lies here.
        let value = unsafe { self.position.place.value() };
        // First, so that a panic leaves nothing behind that is run or dropped again.
        self.position.place = self.position.place.behind(self.kind);
        self.position.taken += 1;
        value
    }
}

impl Drop for TaskQueue {
    fn drop(&mut self) {
        if super::process_state::is_forked() {
            // Whoever was there stayed behind, and may have left anything half done.
            return;
        }
        let mut reader = self.read();
        while let Some(front) = reader.front() {
            task::discard(|| front.discard());
        }
        let mut last = reader.position().place.chunk();
        drop(reader);
        // SAFETY: nobody is there any more, and nothing is left in either.
        unsafe {
            if last.is_null() {
                last = self.tail.first.load(Ordering::Relaxed);
            }
            Chunk::free(last);
            Chunk::free(self.tail.spare.load(Ordering::Relaxed));
        }
    }
}
