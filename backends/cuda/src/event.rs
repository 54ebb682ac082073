//! An event of the CUDA driver: [`CudaEvent`].

pub(crate) mod create;
pub(crate) mod exported;
mod query;

use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::{BackendKind, Device, Event, EventOptions, EventStatus, KeepAlive, RawEvent};

use crate::driver::{Context, DriverCall, PrimaryContext, Ptr, loaded};
use crate::host_func::USER_CODE;
use crate::last_record::{LastRecord, Mark};
use crate::{Cuda, CudaError};

/// An event of the CUDA backend: a `CUevent`.
///
/// It belongs to the context that it was created in. [`Cuda`]'s `new_event` creates it in the device's
/// primary context, which is that of torch, the runtime API and cudarc. A stream's `new_event` creates it
/// in the stream's own context. `Cuda`'s `event_from_raw` and `event_from_owner` wrap an event of another
/// library, whose context the driver does not tell.
///
/// It stays valid after the stream that recorded it is destroyed. An event that was recorded on a stream
/// under capture stands for a node of the graph and not for work. Until it is recorded outside of a
/// capture, `status`, `query` and `synchronize` return [`Capturing`](gpu_stream_core::ErrorKind::Capturing)
/// while the capture continues, and [`InvalidEvent`](gpu_stream_core::ErrorKind::InvalidEvent) after it.
///
/// Another library can record an event whose [`raw`](Event::raw) handle it has. From the first call of
/// `raw` on, and for a wrapped event, every answer comes from the driver. The driver does not tell whether
/// an event without timing was ever recorded: its status is then `Complete`.
///
/// If threads record one event at the same time, one inside a capture and one outside, later calls may
/// return the results for either record.
pub struct CudaEvent {
    raw: RawEvent<Cuda>,
    device: u32,
    /// `None` for an event of another library.
    context: Option<Context>,
    options: EventOptions,
    pub(crate) record: LastRecord,
    /// `true` if another library may have the handle, even after this event is dropped.
    is_escaped: AtomicBool,
    origin: Origin,
    /// The lifetime of the device's primary context that the event belongs to, if it does.
    primary: Option<&'static PrimaryContext>,
    /// The owner of a context that is not the device's primary one, or of a foreign event.
    owner: KeepAlive,
}

/// The origin of an event, which decides what its drop does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    /// Created for one record. May return to the pool of its context. A requested event never does: a program that
    /// creates events and drops them would fill the pool, and each drop would search all of it.
    Pool,
    /// Requested by the caller, opened for it, or created for a record that has not succeeded yet.
    Requested,
    /// Created by another library.
    Foreign,
}

impl CudaEvent {
    /// Returns the handle for our own calls. Does not mark it as escaped.
    #[inline]
    pub(crate) fn as_ptr(&self) -> Ptr {
        self.raw.as_ptr()
    }

    /// Returns the handle as an integer. Does not mark it as escaped.
    #[inline]
    pub(crate) fn bits(&self) -> usize {
        self.raw.to_bits()
    }

    /// Returns `true` if streams of `context` can record the event, as far as is known.
    #[inline]
    pub(crate) fn belongs_to(&self, context: Context) -> bool {
        self.context.is_none_or(|own| own == context)
    }

    /// Returns `true` if the event is known to belong to `context`.
    pub(crate) fn is_certainly_of(&self, context: Context) -> bool {
        self.context == Some(context)
    }

    /// Returns the lifetime of the primary context that the event belongs to, if it does.
    pub(crate) fn primary(&self) -> Option<&'static PrimaryContext> {
        self.primary
    }

    /// Returns `true` if a call has observed that the event's context ended, or may have. Does not call the driver.
    #[inline]
    pub(crate) fn may_be_gone(&self) -> bool {
        !USER_CODE.panics.is_calm() && self.primary.is_some_and(PrimaryContext::may_be_over)
    }

    /// Returns `true` if another library may have recorded the event. Then only the driver's answers count,
    /// not what this crate stored.
    #[inline]
    fn is_shared(&self) -> bool {
        self.is_escaped.load(Ordering::Relaxed)
    }

    /// Returns `true` if the stream with this mark on this device certainly made the last record.
    #[inline]
    pub(crate) fn is_last_record_by(&self, stream: Mark, device: Device) -> bool {
        // Handles 1 and 2 name a stream on each device.
        self.record.is_by(stream)
            && !self.is_shared()
            && Device::new(BackendKind::Cuda, self.device) == device
    }

    /// Returns `true` if the last record by this crate was made in a capture.
    #[inline]
    pub(crate) fn is_captured(&self) -> bool {
        self.record.is_captured() && !self.is_shared()
    }
}

// SAFETY:
// - `status` returns complete, and `synchronize` returns `Ok`, only if the driver returns success for the event. The
//   event covers all work before its last record, by whichever library. Any other code than "not ready" is an error.
// - A pooled event is recorded before it becomes visible, so an old record is never queried.
// - The driver binds a wait to the record and keeps what it needs of it, so the event may be destroyed or
//   recorded again at any time.
// - A foreign event is not destroyed.
unsafe impl Event for CudaEvent {
    type Backend = Cuda;

    fn raw(&self) -> RawEvent<Cuda> {
        self.is_escaped.store(true, Ordering::Relaxed);
        self.raw
    }

    fn device(&self) -> Device {
        Device::new(BackendKind::Cuda, self.device)
    }

    fn options(&self) -> EventOptions {
        self.options
    }

    fn is_foreign(&self) -> bool {
        self.origin == Origin::Foreign
    }

    fn status(&self) -> Result<EventStatus, CudaError> {
        self.call(|| self.status_for("Event::status"))
    }

    /// Returns `true` if the work before the last record is done, or if there was no record. Does not block.
    fn query(&self) -> Result<bool, CudaError> {
        self.call(|| Ok(self.status_for("Event::query")? != EventStatus::Pending))
    }

    fn synchronize(&self) -> Result<(), CudaError> {
        self.call(|| self.wait_on_host())
    }

    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, CudaError> {
        self.call(|| self.elapsed_since_start(start))
    }
}

impl Drop for CudaEvent {
    #[inline]
    fn drop(&mut self) {
        match self.primary {
            Some(primary)
                if self.origin == Origin::Pool
                    && !*self.is_escaped.get_mut()
                    && !self.record.was_ever_captured() =>
            {
                if let Err(raw) = primary.give(self.raw) {
                    self.destroy(raw);
                }
            }
            _ => self.destroy(self.raw),
        }
        if self.owner.is_owned() || self.record.was_ever_captured() {
            self.drop_owners();
        }
        USER_CODE.deferred.run();
    }
}

impl CudaEvent {
    /// Destroys the event `raw`, unless it is foreign.
    #[cold]
    fn destroy(&mut self, raw: RawEvent<Cuda>) {
        // In the child of a fork the table's lock may be held by a thread of the parent.
        if self.options.is_interprocess() && loaded().is_some() {
            exported::forget(raw);
        }
        if self.origin == Origin::Foreign {
            return;
        }
        let primary = self.primary;
        USER_CODE.run_outside_host_func(move || {
            // An event exists only after the driver was loaded. In the child of a fork it is left alone, also if its
            // destruction was deferred before the fork.
            let Some(call) = DriverCall::if_loaded("CudaEvent::drop") else { return };
            if !primary.is_some_and(PrimaryContext::is_reset) {
                // SAFETY: the event is ours, and this is its last use. Its context is alive until the owner
                // is dropped, which comes after.
                unsafe { call.destroy_event(raw) };
            }
        });
    }

    /// Drops the owner of the context or of the event, and that of a stream that recorded the event in a
    /// capture. A panic of one does not lose the other.
    #[cold]
    fn drop_owners(&mut self) {
        struct Last(KeepAlive);
        impl Drop for Last {
            fn drop(&mut self) {
                USER_CODE.drop_owner(std::mem::take(&mut self.0));
            }
        }
        let _last = Last(self.record.take_owner());
        USER_CODE.drop_owner(std::mem::take(&mut self.owner));
    }
}

impl std::fmt::Debug for CudaEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Does not call the driver: formatting must not disturb a capture.
        let record = match (self.record.is_any(), self.record.is_captured()) {
            (false, _) => "none",
            (true, false) => "made",
            (true, true) => "made in a capture",
        };
        let mut text = f.debug_struct("CudaEvent");
        text.field("raw", &self.raw).field("device", &self.device());
        text.field("options", &self.options).field("record", &record).finish()
    }
}
