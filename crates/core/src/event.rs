//! A point in a stream's work: the trait [`Event`].

use crate::{Backend, ContractError, Device, Error as _, ErrorKind, EventOptions, KnownWork};

/// The state of an event's last record: the result of [`Event::status`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventStatus {
    /// Never recorded. [`query`](Event::query) returns `true`, and a wait for the event has no
    /// effect. This status shows the bug of a program that expected a record.
    ///
    /// Drivers do not distinguish such an event from a complete one. Another library that has the
    /// handle ([`Event::raw`], [`Backend::event_from_raw`]) may have recorded the event. Where that
    /// is not certain, the status is [`Complete`](Self::Complete).
    Unrecorded,
    /// Recorded, and the stream has not reached the record yet.
    #[doc(alias("CUDA_ERROR_NOT_READY", "cudaErrorNotReady", "hipErrorNotReady"))]
    Pending,
    /// The stream has passed the last record.
    Complete,
}

/// A point in a stream's work. Streams and threads can wait for it, and it can keep the time.
///
/// An event is created once ([`Stream::new_event`](crate::Stream::new_event)) and can be recorded
/// any number of times ([`Stream::record`](crate::Stream::record)). A wait binds to the record that
/// is current **when the wait is called**. Recording the event again does not change the waits that
/// were made before. So an event can be reused, or dropped, as soon as the waits for it are
/// enqueued.
///
/// Every call uses the last record. If two threads record the same event at once, it holds one of
/// the two records.
///
/// # For backend authors
/// Required: [`raw`](Self::raw), [`device`](Self::device), [`options`](Self::options),
/// [`status`](Self::status), [`synchronize`](Self::synchronize),
/// [`elapsed_unchecked`](Self::elapsed_unchecked). [`elapsed_since`](Self::elapsed_since) fixes the
/// errors and their order for all backends. Override it only for a type that holds events of
/// several backends: a backend mismatch must be found before a device mismatch.
///
/// # Safety
/// Safe code frees memory on the strength of an event's answer. An implementation promises:
///
/// - `query` returns `Ok(true)`, `status` returns `Ok(Complete)`, and `synchronize` returns `Ok`,
///   only if all work submitted to the stream before the last record has ended, or if there was no
///   record. The effects of that work are then visible to the calling thread. The last record is
///   the last one of any library. A failure of the driver is an error and never `true`.
/// - `raw`, `device` and `options` answer the same for the life of the value. `raw` is a live event
///   until the value is dropped.
/// - Dropping the event is sound at any time, pending waits included, and never destroys an event of
///   another library.
///
/// Origin:
/// [`torch.cuda.Event`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html),
/// [CUDA events](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__EVENT.html), [HIP
/// events](https://rocm.docs.amd.com/projects/HIP/en/latest/doxygen/html/group___event.html).
#[doc(alias("CUevent", "cudaEvent_t", "hipEvent_t"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event of gpu-stream",
    label = "not an `Event`",
    note = "`Stream::new_event` creates one, and `Backend::event_from_raw` wraps one of another library",
    note = "generic code takes `EventOf<S>` of its stream `S`; see the docs of `gpu_stream::Event`"
)]
pub unsafe trait Event: Sized + 'static {
    /// The backend whose event this is.
    type Backend: Backend;

    /// Returns the handle, for another library's API. It is valid as long as the event lives. Does
    /// not block.
    ///
    /// Where a record makes the handle, as on OpenCL, it is null before the first record, and valid until the next one.
    #[doc(alias("cuda_event", "event_id"))]
    fn raw(&self) -> <Self::Backend as Backend>::RawEvent;

    /// Returns the device that the event was made for. Only streams of that device can record the
    /// event. Does not block.
    fn device(&self) -> Device;

    /// Returns the options that the event was made with. Does not block.
    fn options(&self) -> EventOptions;

    /// Returns `true` if the event is another library's, wrapped by
    /// [`Backend::event_from_raw`] or [`Backend::event_from_owner`]. Does not block.
    fn is_foreign(&self) -> bool {
        false
    }

    /// Returns whether the last record is pending or complete, or that there is none. Does not block.
    ///
    /// torch has no counterpart: it does not distinguish an unrecorded event from a complete one.
    ///
    /// # Errors
    /// - [`StreamFault`](crate::ErrorKind::StreamFault) if the work before the record failed. A panic
    ///   of a host function before the record counts as such only on the host.
    /// - [`Capturing`](crate::ErrorKind::Capturing) if the record was made in a capture that lasts.
    /// - [`InvalidEvent`](crate::ErrorKind::InvalidEvent) if the record was made in a capture that is
    ///   over, until the event is recorded outside of a capture.
    fn status(&self) -> Result<EventStatus, <Self::Backend as Backend>::Error>;

    /// Returns [`status`](Self::status). Under a check, `Complete` is no order for the caller, and is added to `known`. For
    /// layers that ask on their own: [`KnownWork`]. Does not block.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    #[doc(hidden)]
    #[inline]
    fn status_into(
        &self,
        known: &mut KnownWork,
    ) -> Result<EventStatus, <Self::Backend as Backend>::Error> {
        let _ = known;
        self.status()
    }

    /// Returns `true` if all work before the last record is done. Also returns `true` for an event
    /// that was never recorded. Does not block.
    ///
    /// Origin:
    /// [`torch.cuda.Event.query`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html).
    /// Not ready is `Ok(false)`, never an error.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    #[doc(alias("cuEventQuery", "cudaEventQuery", "hipEventQuery"))]
    fn query(&self) -> Result<bool, <Self::Backend as Backend>::Error> {
        Ok(self.status()? != EventStatus::Pending)
    }

    /// Blocks the calling thread until all work before the last record is done; returns at once if
    /// there is no record.
    ///
    /// The record that counts is the one that is current when the call begins.
    ///
    /// Origin:
    /// [`torch.cuda.Event.synchronize`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html).
    ///
    /// # Errors
    /// As [`status`](Self::status), and [`NotPermitted`](crate::ErrorKind::NotPermitted) from
    /// inside work that a stream is running.
    #[doc(alias("cuEventSynchronize", "cudaEventSynchronize", "hipEventSynchronize"))]
    fn synchronize(&self) -> Result<(), <Self::Backend as Backend>::Error>;

    /// Returns the milliseconds from `start` to this event. Does not block.
    ///
    /// ```
    /// # use gpu_stream_core::{ErrorOf, Event, EventOptions, Stream};
    /// fn milliseconds<S: Stream>(stream: &S, work: impl Fn(&S)) -> Result<f32, ErrorOf<S>> {
    ///     let start = stream.new_event(EventOptions::timed())?;
    ///     let end = stream.new_event(EventOptions::timed())?;
    ///     stream.record(&start)?;
    ///     work(stream);
    ///     stream.record(&end)?;
    ///     end.synchronize()?;
    ///     end.elapsed_since(&start)
    /// }
    /// ```
    ///
    /// The unit and the type are the drivers'. The result is negative if this event came first, and
    /// 0 for an event and itself. The events may have been recorded on different streams of one
    /// device.
    ///
    /// Origin:
    /// [`torch.cuda.Event.elapsed_time`](https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html),
    /// where it is `start.elapsed_time(end)`.
    ///
    /// # Errors
    /// In this order: [`BackendMismatch`](crate::ErrorKind::BackendMismatch);
    /// [`DeviceMismatch`](crate::ErrorKind::DeviceMismatch);
    /// [`EventNotTimed`](crate::ErrorKind::EventNotTimed);
    /// [`EventNotRecorded`](crate::ErrorKind::EventNotRecorded);
    /// [`EventPending`](crate::ErrorKind::EventPending). If both events have the same fault, the
    /// error names the start. After these, the errors of [`status`](Self::status).
    #[doc(alias(
        "elapsed_time",
        "cuEventElapsedTime",
        "cudaEventElapsedTime",
        "hipEventElapsedTime"
    ))]
    fn elapsed_since(&self, start: &Self) -> Result<f32, <Self::Backend as Backend>::Error> {
        let across_devices = |error| match error {
            ContractError::DeviceMismatch { given: start, actual: end, .. } => {
                ContractError::ElapsedAcrossDevices { start, end }
            }
            other => other,
        };
        start.device().check_is(self.device(), "Event::elapsed_since").map_err(across_devices)?;
        // The driver is asked first: its success implies everything that is checked below.
        let error = match self.elapsed_unchecked(start) {
            Ok(milliseconds) => return Ok(milliseconds),
            // Two backends can have one name. Then the check of the devices does not find the
            // mismatch.
            Err(error) if error.kind() == ErrorKind::BackendMismatch => return Err(error),
            Err(error) => error,
        };
        let both = [("start", start), ("end", self)];
        for (which, event) in both {
            if !event.options().is_timed() && !event.is_foreign() {
                return Err(ContractError::EventNotTimed { which }.into());
            }
        }
        let states = [start.status()?, self.status()?];
        for ((which, _), state) in both.into_iter().zip(states) {
            if state == EventStatus::Unrecorded {
                return Err(ContractError::EventNotRecorded { which }.into());
            }
        }
        for ((which, _), state) in both.into_iter().zip(states) {
            if state == EventStatus::Pending {
                return Err(ContractError::EventPending { which }.into());
            }
        }
        // A record that was pending a moment ago may be complete now.
        self.elapsed_unchecked(start).map_err(|_| error)
    }

    /// Asks the driver for the milliseconds between two events of one device. For backend authors.
    /// Does not block.
    ///
    /// `Ok` means that both events keep time, were recorded and are complete.
    /// [`elapsed_since`](Self::elapsed_since) finds the reason for an error.
    ///
    /// # Errors
    /// The driver's error, in particular for an event that keeps no time, was not recorded or is
    /// pending.
    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, <Self::Backend as Backend>::Error>;
}
