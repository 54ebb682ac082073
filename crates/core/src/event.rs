//! A point in a stream's work: the trait [`Event`].

use crate::{Backend, ContractError, Device, Error as _, ErrorKind, EventOptions};

/// Where an event's last record stands: the answer of [`Event::status`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventStatus {
    /// Never recorded. [`query`](Event::query) calls this done, and a wait for it is nothing. A
    /// program that expected a record has a bug, and this is how to see it.
    ///
    /// Drivers do not tell such an event from a complete one. An event whose handle another library
    /// has ([`Event::raw`], [`Backend::event_from_raw`]) may have been recorded there, and then the
    /// answer is [`Complete`](Self::Complete) where it is not certain.
    Unrecorded,
    /// Recorded, and the stream has not come to it yet.
    Pending,
    /// The stream has passed the last record.
    Complete,
}

/// A point in a stream's work, that others can wait for and that may keep the time.
///
/// An event is made once ([`Backend::new_event`]) and recorded as often as one likes
/// ([`Stream::record`](crate::Stream::record)). A wait binds to the record that is current **when
/// the wait is called**: recording again moves the event on and leaves the waits that were made
/// before it as they are. So an event can be reused, or dropped, as soon as the waits for it are
/// enqueued.
///
/// The last record counts, for `query` as for everything else; two threads that record the same
/// event at once get an event that holds one of the two records.
///
/// # For backend authors
/// Required: [`raw`](Self::raw), [`device`](Self::device), [`options`](Self::options),
/// [`status`](Self::status), [`synchronize`](Self::synchronize),
/// [`elapsed_unchecked`](Self::elapsed_unchecked). The reasons of
/// [`elapsed_since`](Self::elapsed_since), and their order, are written here once. Override it only
/// for a type that holds events of several backends, which are told apart before their devices are.
///
/// # Safety
/// Safe code frees memory on the strength of what an event answers. An implementation promises:
///
/// - `query` answers `Ok(true)`, `status` answers `Ok(Complete)`, and `synchronize` returns `Ok`, only
///   when all work that stood in the stream before the last record has ended and its effects are
///   visible to the calling thread, or when there was no record. The last record is the last one of
///   any library. A failure of the driver is an error and never `true`.
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
pub unsafe trait Event: Sized + 'static {
    /// The backend whose event this is.
    type Backend: Backend;

    /// The handle, for another library's API. It is good as long as the event lives. Does not
    /// block.
    #[doc(alias("cuda_event", "event_id"))]
    fn raw(&self) -> <Self::Backend as Backend>::RawEvent;

    /// The device that the event was made for; only streams of it can record the event. Does not
    /// block.
    fn device(&self) -> Device;

    /// How the event was made. Does not block.
    fn options(&self) -> EventOptions;

    /// Returns `true` if the event is another library's, wrapped by
    /// [`Backend::event_from_raw`] or [`Backend::event_from_owner`]. Does not block.
    fn is_foreign(&self) -> bool {
        false
    }

    /// Where the last record stands. Does not block.
    ///
    /// torch has no counterpart: there an unrecorded event and a complete one look the same.
    ///
    /// # Errors
    /// [`StreamFault`](crate::ErrorKind::StreamFault) if the work before the record failed;
    /// [`Capturing`](crate::ErrorKind::Capturing) or
    /// [`InvalidEvent`](crate::ErrorKind::InvalidEvent) if the record was made in a capture.
    fn status(&self) -> Result<EventStatus, <Self::Backend as Backend>::Error>;

    /// Whether all work before the last record is done; true for an event that was never recorded.
    /// Does not block.
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

    /// The milliseconds from `start` to this event. Does not block.
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
    /// The unit and the type are the drivers'. The answer is negative if this event came first, and
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
    /// [`EventPending`](crate::ErrorKind::EventPending). Of two events with the same fault, the
    /// start is named. After that, what [`status`](Self::status) can say.
    #[doc(alias(
        "elapsed_time",
        "cuEventElapsedTime",
        "cudaEventElapsedTime",
        "hipEventElapsedTime"
    ))]
    fn elapsed_since(&self, start: &Self) -> Result<f32, <Self::Backend as Backend>::Error> {
        start.device().check_is(self.device(), "Event::elapsed_since")?;
        // The driver is asked first: a success says all that the checks below ask for.
        let error = match self.elapsed_unchecked(start) {
            Ok(milliseconds) => return Ok(milliseconds),
            // Two backends can have one name, which the devices do not tell.
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

    /// For backend authors: the driver's answer, in milliseconds, for two events of one device. Does
    /// not block.
    ///
    /// `Ok` says that both events keep time, were recorded and are complete.
    /// [`elapsed_since`](Self::elapsed_since) finds the reason for an error.
    ///
    /// # Errors
    /// What the driver says, in particular for an event that keeps no time, was not recorded or is
    /// pending.
    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, <Self::Backend as Backend>::Error>;
}
