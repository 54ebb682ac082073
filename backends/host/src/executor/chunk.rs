//! The memory that items lie in.

use std::mem::MaybeUninit;
use std::ptr;

use super::item::{self, Value, Vtable, Word};

/// How many words of items a chunk has; with its first field it is one KiB.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const WORDS: usize = 127;
/// So that two items of the models fill a chunk.
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const WORDS: usize = 9;

const _: () = assert!(item::MOST < WORDS, "an item and the mark of the end fit");

/// A run of items. What lies behind the last item is the mark of the end, which is a null pointer
/// where an item has its kind, and says that the next item lies in `next`.
pub(super) struct Chunk {
    next: *mut Chunk,
    words: [MaybeUninit<Word>; WORDS],
    #[cfg(gpu_stream_loom)]
    watched: [loom::cell::UnsafeCell<()>; WORDS],
}

/// A place in a chunk. A copy of a pointer, and as little checked as that.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    chunk: *mut Chunk,
    at: usize,
}

// SAFETY: a place gives nothing away by itself: every use of it is unsafe, and says what the thread
// that uses it must have.
unsafe impl Send for Cursor {}

impl Chunk {
    pub(super) fn new() -> *mut Chunk {
        Box::into_raw(Box::new(Chunk {
            next: ptr::null_mut(),
            words: [const { MaybeUninit::uninit() }; WORDS],
            #[cfg(gpu_stream_loom)]
            watched: std::array::from_fn(|_| loom::cell::UnsafeCell::new(())),
        }))
    }

    /// # Safety
    /// `chunk` comes from [`new`](Self::new), no item lies in it, and nobody uses it again; or it is
    /// null.
    pub(super) unsafe fn free(chunk: *mut Chunk) {
        if !chunk.is_null() {
            // SAFETY: the caller vouches for it.
            drop(unsafe { Box::from_raw(chunk) });
        }
    }
}

impl Cursor {
    pub(super) const NOWHERE: Cursor = Cursor { chunk: ptr::null_mut(), at: 0 };

    pub(super) fn start_of(chunk: *mut Chunk) -> Self {
        Cursor { chunk, at: 0 }
    }

    pub(super) fn chunk(self) -> *mut Chunk {
        self.chunk
    }

    /// Whether an item of `kind` fits here, and the mark of the end behind it.
    pub(super) fn has_room_for(self, kind: &Vtable) -> bool {
        !self.chunk.is_null() && self.at + kind.words < WORDS
    }

    /// The place behind an item of `kind`.
    pub(super) fn behind(self, kind: &Vtable) -> Cursor {
        Cursor { chunk: self.chunk, at: self.at + kind.words }
    }

    /// Puts an item here.
    ///
    /// # Safety
    /// The chunk lives, the item fits, and nobody else uses this place or what lies behind it.
    pub(super) unsafe fn put<T: Value>(self, value: T) {
        // SAFETY: the caller vouches for the place; the value fits behind the kind, and a word is
        // aligned enough for it (`is_inline`, and the assertion beside `Control`).
        unsafe {
            let place = self.word(true);
            place.cast::<*const Vtable>().write(T::VTABLE);
            place.add(1).cast::<T>().write(value);
        }
    }

    /// Puts the mark of the end here, and `next` behind this chunk.
    ///
    /// # Safety
    /// As for [`put`](Self::put).
    pub(super) unsafe fn put_end(self, next: *mut Chunk) {
        // SAFETY: the caller vouches for the place, and an item leaves room for the mark.
        unsafe {
            self.word(true).cast::<*const Vtable>().write(ptr::null());
            (*self.chunk).next = next;
        }
    }

    /// The kind of the item here; `None` at the end of the chunk.
    ///
    /// # Safety
    /// An item or the mark of the end was put here, and that has happened before.
    pub(super) unsafe fn kind(self) -> Option<&'static Vtable> {
        // SAFETY: the caller vouches for it; kinds are constants of the program.
        unsafe { self.word(false).cast::<*const Vtable>().read().as_ref() }
    }

    /// The chunk behind this one.
    ///
    /// # Safety
    /// The mark of the end lies here.
    pub(super) unsafe fn next(self) -> *mut Chunk {
        // SAFETY: it was written with the mark.
        unsafe { (*self.chunk).next }
    }

    /// Where the value of the item here lies.
    ///
    /// # Safety
    /// An item lies here.
    pub(super) unsafe fn value(self) -> *mut Word {
        // SAFETY: the value lies behind the kind.
        unsafe { self.word(false).add(1) }
    }

    /// # Safety
    /// The chunk lives and has this word. Nobody writes it meanwhile; if we are about to, nobody
    /// reads it either.
    unsafe fn word(self, writing: bool) -> *mut Word {
        self.watch(writing);
        // SAFETY: the word lies inside the chunk. No reference is made to any part of a chunk, since
        // the one who puts items in and the one who takes them out use it at the same time.
        unsafe { (&raw mut (*self.chunk).words).cast::<Word>().add(self.at) }
    }

    /// Has loom see that this thread reads or writes the item here.
    fn watch(self, writing: bool) {
        #[cfg(gpu_stream_loom)]
        {
            // SAFETY: loom's cells may be used by all threads: they are what notices.
            let watched = unsafe { &*(&raw const (*self.chunk).watched[self.at]) };
            if writing {
                watched.with_mut(|_| ());
            } else {
                watched.with(|_| ());
            }
        }
        #[cfg(not(gpu_stream_loom))]
        let _ = writing;
    }
}
