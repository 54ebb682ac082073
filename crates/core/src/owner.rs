//! Owners, which keep a foreign stream or event alive: [`StreamOwner`], [`EventOwner`] and
//! [`KeepAlive`].

use alloc::sync::Arc;
use core::any::Any;
use core::fmt;

use crate::{Backend, Device, EventOptions};

/// Something that a stream belongs to and that keeps it alive: a cudarc stream, a Python object, a
/// C++ handle class.
///
/// With an owner, wrapping is safe: [`Backend::stream_from_owner`] takes an `Arc` of it. The
/// wrapper and all its clones hold that `Arc`. Where the vendor needs it, every event recorded
/// through them holds it, too. Dropping the last of them drops the owner.
///
/// ```
/// use gpu_stream_core::{Backend, RawStream, StreamOwner};
///
/// /// A stream that some C library made for us, on one vendor's device, and destroys in `Drop`.
/// struct TheirStream<B> { handle: RawStream<B> }
///
/// // SAFETY: the handle is a stream of `B` from `new` to `drop`, and nothing else destroys it.
/// unsafe impl<B: Backend<RawStream = RawStream<B>>> StreamOwner<B> for TheirStream<B> {
///     fn raw_stream(&self) -> RawStream<B> {
///         self.handle
///     }
/// }
/// ```
///
/// The program can keep a reference to the owner (here the caller's `Arc`), and can use the owner
/// as before.
///
/// ```
/// use std::sync::Arc;
/// use gpu_stream_core::{Backend, Stream, StreamOwner};
///
/// fn wait_for<B: Backend, T: StreamOwner<B>>(theirs: &Arc<T>) -> Result<(), B::Error> {
///     B::stream_from_owner(Arc::clone(theirs), None)?.synchronize()
/// }
/// ```
///
/// # What an owner must not keep
/// A wrapper keeps its owner, and so does an event where
/// [`EVENTS_KEEP_OWNER`](Backend::EVENTS_KEEP_OWNER) is set. An owner that keeps a wrapper of its
/// own stream, or an event recorded on it, is a reference cycle: owner, event, owner. It is never
/// dropped. Keep such an event beside the owner and not in it, or take it out before the last
/// handle is dropped. A closure that holds its own stream and never runs is such a cycle, too.
///
/// # Where an owner is dropped
/// The last reference may be dropped on any thread, at the end of any call of the backend. It is
/// never dropped inside the driver's callbacks, nor while a lock of the backend is held. A panic of
/// the owner's `Drop` in such a call may be caught there, after the panic hook has reported it. It is
/// also caught if the thread is already unwinding.
///
/// The host backend has no driver. An owner that a host function drops is dropped inside that
/// function, and a panic of its `Drop` gives the stream that runs the function a fault.
///
/// # Safety
/// While a value of the type lives:
///
/// - [`raw_stream`](Self::raw_stream) returns one and the same handle, and [`device`](Self::device)
///   one and the same answer.
/// - The handle is a live stream of backend `B` (or 0 or 1, the default stream), and nothing
///   destroys that stream.
///
/// Dropping the value on any thread is allowed.
pub unsafe trait StreamOwner<B: Backend>: Send + Sync + 'static {
    /// Returns the handle of the stream that this value keeps alive. Does not block.
    fn raw_stream(&self) -> B::RawStream;

    /// Returns the device, where the owner knows it. It is compared with what the driver says. Does
    /// not block.
    fn device(&self) -> Option<Device> {
        None
    }
}

/// Something that an event belongs to and that keeps it alive: an event of cudarc, a Python object, a
/// C++ handle class.
///
/// With an owner, wrapping is safe: [`Backend::event_from_owner`] takes an `Arc` of it, and the
/// wrapper holds that `Arc`. The rules of [`StreamOwner`] about cycles and drops hold here, too.
///
/// ```
/// use gpu_stream_core::{Backend, EventOptions, EventOwner, RawEvent};
///
/// /// An event that some C library made for us, with timing, and destroys in `Drop`.
/// struct TheirEvent<B> { handle: RawEvent<B> }
///
/// // SAFETY: the handle is an event of `B` from `new` to `drop`, and nothing else destroys it.
/// unsafe impl<B: Backend<RawEvent = RawEvent<B>>> EventOwner<B> for TheirEvent<B> {
///     fn raw_event(&self) -> RawEvent<B> {
///         self.handle
///     }
///
///     fn options(&self) -> Option<EventOptions> {
///         Some(EventOptions::timed())
///     }
/// }
/// ```
///
/// # Safety
/// While a value of the type lives, [`raw_event`](Self::raw_event) returns one and the same handle.
/// The handle is a live event of backend `B`, and nothing destroys that event. Dropping the value
/// on any thread is allowed.
pub unsafe trait EventOwner<B: Backend>: Send + Sync + 'static {
    /// Returns the handle of the event that this value keeps alive. Does not block.
    fn raw_event(&self) -> B::RawEvent;

    /// Returns the device that the event was made for, where the owner knows it. Does not block.
    fn device(&self) -> Option<Device> {
        None
    }

    /// Returns the options that the event was made with, where the owner knows them. Does not block.
    fn options(&self) -> Option<EventOptions> {
        None
    }
}

/// A reference to the owner of a stream or event, whatever its type; or none, for a stream that
/// needs no owner.
///
/// For backend authors: hold it in the stream type and clone it with the stream. If
/// [`Backend::EVENTS_KEEP_OWNER`] is set, an event holds a clone from one record until the next.
#[derive(Clone, Default)]
pub struct KeepAlive(Option<Arc<dyn Any + Send + Sync>>);

impl KeepAlive {
    /// Creates a value without an owner: the caller of the `unsafe` wrapping promised that the
    /// stream outlives its wrappers.
    pub const fn none() -> Self {
        KeepAlive(None)
    }

    /// Creates a reference to `owner`. A type-erased `Arc` is converted by `From`.
    pub fn owner<T: Any + Send + Sync>(owner: Arc<T>) -> Self {
        KeepAlive(Some(owner))
    }

    /// Returns `true` if there is an owner.
    pub const fn is_owned(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the call that errors of
    /// [`stream_from_raw_with_owner`](Backend::stream_from_raw_with_owner) name. For backend authors.
    ///
    /// It is [`stream_from_owner`](Backend::stream_from_owner) if there is an owner, and
    /// [`stream_from_raw`](Backend::stream_from_raw) otherwise.
    #[inline]
    pub const fn stream_operation(&self) -> &'static str {
        if self.is_owned() { "Backend::stream_from_owner" } else { "Backend::stream_from_raw" }
    }

    /// Returns the call that errors of
    /// [`stream_from_raw_with_owner_unchecked`](Backend::stream_from_raw_with_owner_unchecked) name.
    /// For backend authors.
    #[inline]
    pub const fn unchecked_stream_operation(&self) -> &'static str {
        if self.is_owned() {
            "Backend::stream_from_raw_with_owner_unchecked"
        } else {
            "Backend::stream_from_raw_unchecked"
        }
    }

    /// Returns the call that errors of
    /// [`event_from_raw_with_owner`](Backend::event_from_raw_with_owner) name. For backend authors.
    ///
    /// It is [`event_from_owner`](Backend::event_from_owner) if there is an owner, and
    /// [`event_from_raw`](Backend::event_from_raw) otherwise.
    #[inline]
    pub const fn event_operation(&self) -> &'static str {
        if self.is_owned() { "Backend::event_from_owner" } else { "Backend::event_from_raw" }
    }

    /// Returns `true` if both refer to one owner, or both to none. Then either keeps alive what the
    /// other does.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl From<Arc<dyn Any + Send + Sync>> for KeepAlive {
    fn from(owner: Arc<dyn Any + Send + Sync>) -> Self {
        KeepAlive(Some(owner))
    }
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_owned() { "KeepAlive(owner)" } else { "KeepAlive(nothing)" })
    }
}
