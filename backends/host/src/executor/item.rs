//! One item of a stream, and its layout in memory: [`Value`], [`Vtable`], [`Control`].
//!
//! An item is a pointer to its [`Vtable`], followed by its value. The vtable is hand-made, as in
//! `bytes`. The value is a closure of the user or a [`Control`]. A closure therefore costs no
//! allocation, and runs where it lies. A closure that is too large, or that needs more alignment
//! than a word, is boxed; the item is then the box.

use std::mem::{align_of, size_of};

use super::record::{Record, Timestamp};
use crate::sync::Arc;

/// The unit of an item's size and alignment.
pub(super) type Word = u64;

/// The maximum number of words of a closure that is stored in the queue itself.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const MAX_INLINE_WORDS: usize = 16;
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const MAX_INLINE_WORDS: usize = 3;

/// The maximum number of words of an item: one for the vtable, the rest for the value.
pub(super) const MAX_WORDS: usize = MAX_INLINE_WORDS + 1;

/// An item that is not a closure of the user.
pub(crate) enum Control {
    /// Suspends the stream until the record is complete.
    Wait(Record),
    /// Sets a timestamp.
    Timestamp(Arc<Timestamp>),
}

const _: () = assert!(words_of::<Control>() <= MAX_INLINE_WORDS && align_of::<Control>() <= 8);

/// The size of an item's value, and the functions that consume it.
pub(super) struct Vtable {
    /// The size of the item in words, the vtable pointer included.
    pub(super) words: usize,
    /// `true` if the value is a [`Control`], `false` if it is a closure.
    pub(super) is_control: bool,
    /// Moves a closure out and calls it. Drops a control in place.
    pub(super) run: unsafe fn(*mut Word),
    /// Drops the value in place.
    pub(super) discard: unsafe fn(*mut Word),
}

const fn words_of<T>() -> usize {
    size_of::<T>().div_ceil(size_of::<Word>())
}

/// Returns `true` if a closure of type `F` is stored in the queue itself, without a box.
pub(super) const fn is_inline<F>() -> bool {
    words_of::<F>() <= MAX_INLINE_WORDS && align_of::<F>() <= align_of::<Word>()
}

/// A type that can be the value of an item.
pub(super) trait Value: Send + 'static {
    /// The vtable of items with a value of this type.
    const VTABLE: &'static Vtable;
}

/// A closure that runs once.
pub(super) struct Task<F>(pub(super) F);

impl<F: FnOnce() + Send + 'static> Value for Task<F> {
    const VTABLE: &'static Vtable = &Vtable {
        words: 1 + words_of::<Task<F>>(),
        is_control: false,
        run: run::<F>,
        discard: discard::<Task<F>>,
    };
}

impl Value for Control {
    const VTABLE: &'static Vtable = &Vtable {
        words: 1 + words_of::<Control>(),
        is_control: true,
        run: discard::<Control>,
        discard: discard::<Control>,
    };
}

/// Moves a closure out of the queue and calls it.
///
/// # Safety
/// `value` points to a valid [`Task<F>`], which is not used again.
unsafe fn run<F: FnOnce()>(value: *mut Word) {
    // SAFETY: `value` points to a valid `Task<F>`, and ownership passes to this call (caller
    // contract).
    let task = unsafe { value.cast::<Task<F>>().read() };
    (task.0)();
}

/// Drops a value in place.
///
/// # Safety
/// `value` points to a valid `T`, which is not used again.
unsafe fn discard<T>(value: *mut Word) {
    // SAFETY: `value` points to a valid `T`, and ownership passes to this call (caller contract).
    unsafe { value.cast::<T>().drop_in_place() };
}
