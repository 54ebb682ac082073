//! One thing that a stream does when it comes to it, as it lies in memory.
//!
//! An item is a pointer to its [`Vtable`], and behind that its value: a closure, as the user gave it,
//! or a [`Control`]. So a closure costs no allocation, and is run where it lies. One that is large
//! or wants more alignment than a word is boxed, and the box is the closure.

use std::mem::{align_of, size_of};

use super::record::{Record, Timestamp};
use crate::sync::Arc;

/// What items are measured in, and aligned to.
pub(super) type Word = u64;

/// The most words of a closure that lies in the queue itself.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const MOST_INLINE: usize = 16;
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const MOST_INLINE: usize = 3;

/// The most words of an item.
pub(super) const MOST: usize = MOST_INLINE + 1;

/// What is not a user's closure.
pub(crate) enum Control {
    Wait(Record),
    Timestamp(Arc<Timestamp>),
}

const _: () = assert!(words_of::<Control>() <= MOST_INLINE && align_of::<Control>() <= 8);

/// How the value of an item is used.
pub(super) struct Vtable {
    /// How many words the item takes.
    pub(super) words: usize,
    /// Whether the value is a [`Control`]; otherwise it is a closure.
    pub(super) is_control: bool,
    /// Takes the value out of its place and calls it; of a control, drops it.
    pub(super) run: unsafe fn(*mut Word),
    /// Drops the value in its place.
    pub(super) discard: unsafe fn(*mut Word),
}

const fn words_of<T>() -> usize {
    size_of::<T>().div_ceil(size_of::<Word>())
}

/// Whether a closure of this type lies in the queue itself.
pub(super) const fn is_inline<F>() -> bool {
    words_of::<F>() <= MOST_INLINE && align_of::<F>() <= align_of::<Word>()
}

/// Types that an item can be of.
pub(super) trait Value: Send + 'static {
    const VTABLE: &'static Vtable;
}

/// A closure that is run once.
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

/// # Safety
/// A [`Task<F>`] lies at `place`, and nobody uses it again.
unsafe fn run<F: FnOnce()>(place: *mut Word) {
    // SAFETY: the caller vouches for the value, and leaves it to us.
    let task = unsafe { place.cast::<Task<F>>().read() };
    (task.0)();
}

/// # Safety
/// A `T` lies at `place`, and nobody uses it again.
unsafe fn discard<T>(place: *mut Word) {
    // SAFETY: the caller vouches for the value, and leaves it to us.
    unsafe { place.cast::<T>().drop_in_place() };
}
