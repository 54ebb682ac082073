//! The memory of a stream's items: [`Chunk`], and [`Cursor`], a position in one.

use std::mem::MaybeUninit;
use std::ptr;

use super::item::{self, Value, Vtable, Word};

/// The number of words for items in a chunk. With the pointer to the next chunk it is 1 KiB.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const WORDS: usize = 127;
/// The number of words for items in a chunk: two items of the models fill it.
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const WORDS: usize = 9;

/// A sequence of items, terminated by an end marker.
///
/// The end marker is a null pointer where an item has its vtable. It says that the next item is the
/// first of the chunk `next`.
pub(super) struct Chunk {
    next: *mut Chunk,
    words: [MaybeUninit<Word>; WORDS],
    #[cfg(all(test, gpu_stream_loom))]
    watched: [loom::cell::UnsafeCell<()>; WORDS],
}

/// A position in a chunk. It is a plain pointer: copying is free, and nothing checks its validity.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    chunk: *mut Chunk,
    offset: usize,
}

// SAFETY: a cursor gives no access by itself. Each method that dereferences it is unsafe, and
// states which access the calling thread needs.
unsafe impl Send for Cursor {}

impl Chunk {
    /// Allocates a chunk without items.
    pub(super) fn new() -> *mut Chunk {
        const { assert!(item::MAX_WORDS < WORDS, "an item and the end marker fit") };
        Box::into_raw(Box::new(Chunk {
            next: ptr::null_mut(),
            words: [const { MaybeUninit::uninit() }; WORDS],
            #[cfg(all(test, gpu_stream_loom))]
            watched: std::array::from_fn(|_| loom::cell::UnsafeCell::new(())),
        }))
    }

    /// Frees a chunk. Does nothing if `chunk` is null.
    ///
    /// # Safety
    /// `chunk` is null, or comes from [`new`](Self::new), contains no item, and is not used again.
    pub(super) unsafe fn free(chunk: *mut Chunk) {
        if !chunk.is_null() {
            // SAFETY: `chunk` comes from `Box::into_raw` in `new`, and no other use of it follows
            // (caller contract).
            drop(unsafe { Box::from_raw(chunk) });
        }
    }
}

impl Cursor {
    /// The cursor that points into no chunk.
    pub(super) const NULL: Cursor = Cursor { chunk: ptr::null_mut(), offset: 0 };

    /// Returns the position of the first item of `chunk`.
    pub(super) fn start_of(chunk: *mut Chunk) -> Self {
        Cursor { chunk, offset: 0 }
    }

    /// Returns the chunk that the cursor points into, or null.
    pub(super) fn chunk(self) -> *mut Chunk {
        self.chunk
    }

    /// Returns `true` if an item with this vtable fits here, followed by the end marker.
    pub(super) fn has_room_for(self, vtable: &Vtable) -> bool {
        !self.chunk.is_null() && self.offset + vtable.words < WORDS
    }

    /// Returns the position after an item with this vtable.
    pub(super) fn after(self, vtable: &Vtable) -> Cursor {
        Cursor { chunk: self.chunk, offset: self.offset + vtable.words }
    }

    /// Writes an item at this position.
    ///
    /// # Safety
    /// - The chunk is live, and the item fits ([`has_room_for`](Self::has_room_for)).
    /// - No other thread accesses this position or a later one of the chunk.
    pub(super) unsafe fn write<T: Value>(self, value: T) {
        // SAFETY:
        // - The position is writable and exclusive (caller contract).
        // - The value fits after the vtable pointer (caller contract).
        // - A word is aligned enough for it (`is_inline`, and the assertion beside `Control`).
        unsafe {
            let word = self.word(true);
            word.cast::<*const Vtable>().write(T::VTABLE);
            word.add(1).cast::<T>().write(value);
        }
    }

    /// Writes the end marker at this position, and links `next` to this chunk.
    ///
    /// # Safety
    /// - The chunk is live, and at least one word is left.
    /// - No other thread accesses this position or a later one of the chunk.
    pub(super) unsafe fn write_end(self, next: *mut Chunk) {
        // SAFETY: the chunk is live, and the word is inside it and exclusive (caller contract). The
        // reader accesses `next` only after it has read the end marker.
        unsafe {
            self.word(true).cast::<*const Vtable>().write(ptr::null());
            (*self.chunk).next = next;
        }
    }

    /// Returns the vtable of the item at this position. Returns `None` at the end marker.
    ///
    /// # Safety
    /// An item or the end marker was written at this position, and the write happens before this
    /// call.
    pub(super) unsafe fn vtable(self) -> Option<&'static Vtable> {
        // SAFETY: the word holds null or a pointer to a vtable (caller contract). Vtables are
        // constants of the program.
        unsafe { self.word(false).cast::<*const Vtable>().read().as_ref() }
    }

    /// Returns the chunk after this one.
    ///
    /// # Safety
    /// The end marker is at this position, and its write happens before this call.
    pub(super) unsafe fn next_chunk(self) -> *mut Chunk {
        // SAFETY: `next` was written together with the end marker (caller contract).
        unsafe { (*self.chunk).next }
    }

    /// Returns a pointer to the value of the item at this position.
    ///
    /// # Safety
    /// An item is at this position, and its write happens before this call.
    pub(super) unsafe fn value(self) -> *mut Word {
        // SAFETY: an item is here (caller contract), and its value follows the vtable pointer.
        unsafe { self.word(false).add(1) }
    }

    /// Returns a pointer to the word at this position.
    ///
    /// # Safety
    /// - The chunk is live and has this word.
    /// - No other thread writes the word meanwhile. If `writing`, no other thread reads it either.
    unsafe fn word(self, writing: bool) -> *mut Word {
        self.watch(writing);
        // SAFETY: the word is inside the live chunk (caller contract). No reference to any part of
        // the chunk is created, because a submitter and the runner access it at the same time.
        unsafe { (&raw mut (*self.chunk).words).cast::<Word>().add(self.offset) }
    }

    /// Reports to loom that this thread reads or writes the item at this position.
    fn watch(self, writing: bool) {
        #[cfg(all(test, gpu_stream_loom))]
        {
            // SAFETY: the chunk is live (contract of `word`). Loom's cells are `Sync` in effect:
            // they exist to detect conflicting accesses.
            let watched = unsafe { &*(&raw const (*self.chunk).watched[self.offset]) };
            if writing {
                watched.with_mut(|_| ());
            } else {
                watched.with(|_| ());
            }
        }
        #[cfg(not(all(test, gpu_stream_loom)))]
        let _ = writing;
    }
}
