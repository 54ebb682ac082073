//! A stream of the CUDA driver: [`CudaStream`].

mod context;
mod contract;
pub(crate) mod create;
mod failure;
mod ordering;
mod owned;
pub(crate) mod wrap;

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use gpu_stream_core::{BackendKind, Device, EventOptions, HandleKind, KeepAlive, RawStream};
use gpu_stream_driver_common::Seen;

use crate::driver::{PrimaryContext, Ptr};
use crate::host_func::USER_CODE;
use crate::last_record::{CapturedRecord, Mark};
use crate::{Cuda, CudaError, CudaEvent};

/// A stream of the CUDA backend: a `CUstream`, usually one that another library created.
///
/// A clone is the same stream. A stream that [`Cuda`] created is destroyed with the last clone, and its submitted work
/// still runs.
///
/// Handles 0 and 1 both mean the legacy default stream of the device's primary context. Its wrapper has handle 1,
/// whichever was given. To a library that was compiled for per-thread default streams, 0 means a thread's own stream;
/// 1 means the same to every library.
pub struct CudaStream {
    raw: RawStream<Cuda>,
    device: u32,
    /// The context, or 0 if it is not known yet.
    context: AtomicUsize,
    /// The lifetime of the device's primary context that the stream is known to belong to; else null.
    primary: AtomicPtr<PrimaryContext>,
    /// The latest panic of a host function that the stream was checked against.
    seen: Seen,
    /// Tells the stream from others that had its handle: see [`Mark`]. 0 until it is needed.
    number: AtomicU64,
    owner: KeepAlive,
}

impl CudaStream {
    /// Creates an event in this stream's own context: [`Stream::new_event`](gpu_stream_core::Stream::new_event)
    /// without the trait. Does not block.
    ///
    /// # Errors
    /// Errors as [`Stream::new_event`](gpu_stream_core::Stream::new_event).
    pub fn new_event(&self, options: EventOptions) -> Result<CudaEvent, CudaError> {
        self.call(|| self.new_event_slow(options, "Stream::new_event"))
    }

    /// Returns the handle as an integer.
    #[inline]
    pub(crate) fn bits(&self) -> usize {
        self.raw.to_bits()
    }

    /// Returns the handle for driver calls.
    #[inline]
    pub(crate) fn as_ptr(&self) -> Ptr {
        self.raw.as_ptr()
    }

    /// Returns the stream's device.
    #[inline]
    pub(crate) fn own_device(&self) -> Device {
        Device::new(BackendKind::Cuda, self.device)
    }

    /// Returns a record in the capture with this id, which keeps the stream alive.
    pub(crate) fn captured_record(&self, id: Option<u64>) -> CapturedRecord {
        CapturedRecord { stream: self.raw, id, owner: self.owner.clone() }
    }

    /// Returns `true` if both wrappers stand for one stream.
    #[inline]
    pub(crate) fn is_same_stream(&self, other: &Self) -> bool {
        self.raw == other.raw && self.device == other.device
    }

    /// Returns `true` if the handle means one stream, whichever context is current.
    #[inline]
    pub(crate) fn is_explicit(&self) -> bool {
        self.raw.kind() == HandleKind::Explicit
    }

    /// Returns `true` if this is the default stream of a context, and not that of a thread.
    pub(crate) fn is_default(&self) -> bool {
        self.raw.kind() == HandleKind::Default
    }

    /// Returns `true` if the fast path is possible: the stream is explicit, has no fault, and its context is not known
    /// to have ended.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.is_explicit() && (USER_CODE.panics.is_calm() || self.is_clean())
    }

    /// Returns `true` if the fast path is possible for both streams.
    #[inline]
    pub(crate) fn are_plain(one: &Self, other: &Self) -> bool {
        // One load for both.
        let is_clean = || USER_CODE.panics.is_calm() || one.is_clean() && other.is_clean();
        one.is_explicit() && other.is_explicit() && is_clean()
    }

    /// Returns `true` if the stream has no panic, and its context is not known to have ended. Each wrapper searches once
    /// after each such event of the process.
    fn is_clean(&self) -> bool {
        USER_CODE.panics.is_clean(&self.seen)
            || self.check_fault("CudaStream::is_clean").is_ok() && !self.may_be_gone()
    }

    /// Returns the mark that tells this stream's records from those of other streams.
    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        if self.owner.is_owned() {
            Mark::of_number(&self.number)
        } else {
            Mark::of_handle(self.raw)
        }
    }

    /// Returns the number for a clone. Assigns this wrapper's number first, so that both count as one stream.
    fn number_for_clone(&self) -> u64 {
        if self.owner.is_owned() {
            Mark::of_number(&self.number);
        }
        self.number.load(Ordering::Relaxed)
    }
}

impl Drop for CudaStream {
    #[inline]
    fn drop(&mut self) {
        // Dropping the last reference to an owner runs user code, which may destroy the stream.
        if self.owner.is_owned() {
            USER_CODE.drop_owner(std::mem::take(&mut self.owner));
            USER_CODE.deferred.run();
        }
    }
}

impl Clone for CudaStream {
    fn clone(&self) -> Self {
        CudaStream {
            raw: self.raw,
            device: self.device,
            context: AtomicUsize::new(self.context.load(Ordering::Relaxed)),
            primary: AtomicPtr::new(self.primary.load(Ordering::Acquire)),
            seen: self.seen.clone(),
            number: AtomicU64::new(self.number_for_clone()),
            owner: self.owner.clone(),
        }
    }
}

/// Two wrappers are equal if their devices and handles are.
impl PartialEq for CudaStream {
    fn eq(&self, other: &Self) -> bool {
        self.is_same_stream(other)
    }
}

impl Eq for CudaStream {}

impl Hash for CudaStream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.device, self.raw).hash(state);
    }
}

impl std::fmt::Debug for CudaStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("CudaStream");
        text.field("raw", &self.raw).field("device", &self.own_device());
        text.field("owner", &self.owner).finish()
    }
}
