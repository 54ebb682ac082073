//! Values that share a mark on each of their streams: [`Batch`].

use gpu_stream_core::{
    Backend, CaptureStatus, ContractError, Error, ErrorKind, ErrorOf, Event, EventOf, EventStatus,
    KnownWork, Stream,
};

use crate::value::Value;

/// The number of values in a batch, unless many batches wait.
pub(crate) const BATCH_SIZE: usize = 64;

/// The number of records of a mark, if a capture has begun and ended during each.
const MAX_RECORDS: usize = 8;

/// Values that wait for the same records.
pub(crate) struct Batch<B: Backend> {
    /// In the order of their retains.
    pub(crate) values: Vec<Value>,
    /// The streams as the retain of the first value named them, in the order of the entry's keys. A wrapper keeps an
    /// owner, or is promised to be alive, until that value is dropped, and all values are dropped together. More may
    /// follow, of other values. Empty for streams that only their thread can record.
    pub(crate) streams: Vec<B::Stream>,
    /// One event for each stream, recorded again for each use of the batch.
    pub(crate) marks: Vec<B::Event>,
    /// `true` if the marks were recorded after the values came in.
    pub(crate) is_marked: bool,
    /// What the marks and the streams have answered: for the destructors of the values, and for no other code.
    pub(crate) known: KnownWork,
}

impl<B: Backend> Batch<B> {
    /// Creates an empty batch, whose marks are created by its first record.
    pub(crate) fn new() -> Self {
        let (values, streams) = (Vec::with_capacity(BATCH_SIZE), Vec::new());
        let (marks, known) = (Vec::new(), KnownWork::new());
        Batch { values, streams, marks, is_marked: false, known }
    }

    /// Returns a wrapper of each of the `count` streams, if the batch has them.
    pub(crate) fn first_streams(&self, count: usize) -> &[B::Stream] {
        self.streams.get(..count).unwrap_or_default()
    }

    /// Records the marks on the first `count` streams. Leaves the batch unmarked if a stream is being captured: a
    /// record that goes into a graph stands for no work that runs.
    #[track_caller]
    pub(crate) fn mark(&mut self, count: usize) -> Result<(), B::Error> {
        let Batch { streams, marks, is_marked, .. } = self;
        let streams = streams.get(..count).unwrap_or_default();
        if are_capturing(streams)? {
            return Ok(());
        }
        for (index, stream) in streams.iter().enumerate() {
            match record(marks, index, stream) {
                // A capture began after the check.
                Err(error) if is_of_capture(error.kind()) => return Ok(()),
                other => other?,
            }
        }
        // A capture that began after the check can have the record. Its event is not asked: that breaks captures of
        // CUDA, and HIP reports the event as complete.
        *is_marked = !streams.is_empty() && !are_capturing(streams)?;
        Ok(())
    }

    /// Records the mark with this index on a stream that is not kept, so that no later call can record it again. The
    /// first record creates it. Records it again if a capture has begun and ended meanwhile.
    ///
    /// # Errors
    /// - `Capturing` if the stream is being captured.
    /// - `InvalidEvent` or `NotPermitted` if captures begin and end during each of [`MAX_RECORDS`] records.
    /// - As [`Stream::record_event`], [`Stream::query`] and [`Event::status`].
    #[track_caller]
    pub(crate) fn record_uncaptured<S>(&mut self, index: usize, stream: &S) -> Result<(), B::Error>
    where
        S: Stream<Backend = B>,
    {
        let mut records = 0;
        loop {
            record(&mut self.marks, index, stream)?;
            records += 1;
            let is_captured = is_capturing(stream)?;
            // The answers order nothing, and how far the work is does not matter.
            let mut known = KnownWork::new();
            if is_captured {
                stream.query_into(&mut known)?;
            }
            // The mark is in no capture that lasts, so the question breaks none. HIP reports one of a capture that is
            // over as complete.
            match self.marks[index].status_into(&mut known) {
                Err(error) if error.kind() != ErrorKind::InvalidEvent || records == MAX_RECORDS => {
                    return Err(error);
                }
                Ok(_) if !is_captured => return Ok(()),
                Ok(_) if records == MAX_RECORDS => return Err(always_captured()),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Returns `true` if the batch has the first `count` streams, and they have done all work that was submitted before. A
    /// stream that is being captured has not.
    #[track_caller]
    pub(crate) fn are_idle(&mut self, count: usize) -> Result<bool, B::Error> {
        let Batch { streams, known, .. } = self;
        let streams = streams.get(..count).unwrap_or_default();
        for stream in streams {
            match stream.query_into(known) {
                Ok(true) => {}
                Err(error) if error.kind() != ErrorKind::Capturing => return Err(error),
                Ok(false) | Err(_) => return Ok(false),
            }
        }
        Ok(!streams.is_empty())
    }

    /// Returns `true` if all marks are reached, and there are any. Asks them in turn, up to the first that is not.
    #[track_caller]
    pub(crate) fn is_reached(&mut self) -> Result<bool, B::Error> {
        for mark in &self.marks {
            // A mark without a record stands for nothing, so it is not reached.
            if mark.status_into(&mut self.known)? != EventStatus::Complete {
                return Ok(false);
            }
        }
        Ok(!self.marks.is_empty())
    }
}

/// Records the mark with this index on `stream`. The first record creates it.
#[track_caller]
fn record<S: Stream>(
    marks: &mut Vec<EventOf<S>>,
    index: usize,
    stream: &S,
) -> Result<(), ErrorOf<S>> {
    let Some(mark) = marks.get_mut(index) else {
        marks.push(stream.record_event()?);
        return Ok(());
    };
    match stream.record(mark) {
        // The event belongs to an earlier stream of this handle, in another context.
        Err(error) if is_unusable(error.kind()) => *mark = stream.record_event()?,
        other => other?,
    }
    Ok(())
}

/// Returns `true` for the errors of a record that another event may not have.
fn is_unusable(kind: ErrorKind) -> bool {
    use ErrorKind::{ContextDestroyed, DeviceMismatch, InvalidHandle};
    matches!(kind, ContextDestroyed | DeviceMismatch | InvalidHandle)
}

/// Returns `true` for the errors of a mark whose record went into a capture.
pub(crate) fn is_of_capture(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Capturing | ErrorKind::InvalidEvent)
}

/// Returns the error of a stream that was being captured after each record, and not any more at the next question.
fn always_captured<E: From<ContractError>>() -> E {
    let reason = "captures of the stream begin and end during each record of the value's mark; \
                  retain the value before them, or after them";
    ContractError::NotPermitted { operation: "Reclaimer::retain", reason }.into()
}

/// Returns `true` if `stream` is being captured.
#[track_caller]
fn is_capturing<S: Stream>(stream: &S) -> Result<bool, ErrorOf<S>> {
    match stream.capture_status() {
        Ok(status) => Ok(status != CaptureStatus::None),
        // The backend has no captures.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
        // The default stream, while a capture that would include its work lasts.
        Err(error) if error.kind() == ErrorKind::Capturing => Ok(true),
        Err(error) => Err(error),
    }
}

#[track_caller]
fn are_capturing<S: Stream>(streams: &[S]) -> Result<bool, ErrorOf<S>> {
    for stream in streams {
        if is_capturing(stream)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns an error if `stream` takes no values: if it is being captured or, with `asks`, if it reports a fault.
#[track_caller]
pub(crate) fn check<S: Stream>(stream: &S, asks: bool) -> Result<(), ErrorOf<S>> {
    // The query's error says what the stream is, and what to do. Whether the stream is done does not matter.
    let ask = || stream.query_into(&mut KnownWork::new()).map(drop);
    if asks || is_capturing(stream)? { ask() } else { Ok(()) }
}
