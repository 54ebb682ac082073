//! The jobs done with the bare driver's calls, as a careful program makes them to give the guarantees of
//! gpu-stream. The table in the crate's README says which rule each call is for.

use super::BenchStreams;
use super::bare::{BareEventOf, complete_event, with_event};
use crate::job::SIDES;
use crate::measure::calling;
use crate::{Bare, BenchFixture, BenchStream, Contender, Failed, Job, UnsafeCall};

/// Creates the contender that makes the careful calls for `job`. `None` if they are the bare calls.
pub(super) fn contender<'a, F: BenchFixture>(
    bare: &'a F::Bare,
    job: Job,
    streams: BenchStreams<'a, F>,
) -> Result<Option<Contender<'a>>, String> {
    Ok(Some(match job {
        Job::WrapChecked
        | Job::WrapUnchecked
        | Job::CaptureStatus
        | Job::Priority
        | Job::ElapsedSince => return Ok(None),
        Job::WaitEvent
        | Job::WaitStream
        | Job::Fork
        | Job::Join
        | Job::ShortLivedChecked
        | Job::ShortLived => order(bare, job, streams)?,
        Job::Query
        | Job::Synchronize
        | Job::Record
        | Job::RecordEvent
        | Job::EventQuery
        | Job::EventSynchronize
        | Job::NewStream
        | Job::NewEvent
        | Job::Id
        | Job::HostFunc => of_one_stream::<F>(bare, job, streams.main.foreign())?,
    }))
}

/// Creates the contender for a job that orders several streams.
///
/// # Errors
/// The driver's answer if the contender's event cannot be made, or a text for another job.
fn order<'a, F: BenchFixture>(
    bare: &'a F::Bare,
    job: Job,
    streams: BenchStreams<'a, F>,
) -> Result<Contender<'a>, String> {
    let (main, other) = (streams.main.foreign(), streams.other.foreign());
    Ok(match job {
        Job::WaitEvent => {
            let event = bare.new_event(false)?;
            record::<F>(bare, &event, other)?;
            calling(move || {
                bare.refuse_captured(main)?;
                bare.wait_event(main, &event)
            })
        }
        Job::WaitStream => {
            with_event::<F, _>(bare, main, move |event| wait_stream::<F>(bare, event, main, other))?
        }
        Job::Fork => with_event::<F, _>(bare, main, move |event| {
            fork::<F>(bare, event, main, streams.branches)
        })?,
        Job::Join => with_event::<F, _>(bare, main, move |event| {
            join::<F>(bare, event, main, streams.branches)
        })?,
        Job::ShortLivedChecked => with_event::<F, _>(bare, main, move |event| {
            bare.check_device(main)?;
            library_function(bare, event, streams)
        })?,
        Job::ShortLived => {
            with_event::<F, _>(bare, main, move |event| library_function(bare, event, streams))?
        }
        other => return Err(format!("{} orders no streams", other.name())),
    })
}

/// Creates the contender for a job on one stream or its events.
///
/// # Errors
/// The driver's answer if the contender's event cannot be made, or a text for another job.
fn of_one_stream<'a, F: BenchFixture>(
    bare: &'a F::Bare,
    job: Job,
    main: &'a F::Foreign,
) -> Result<Contender<'a>, String> {
    Ok(match job {
        Job::Query => calling(move || query(bare, main)),
        Job::Synchronize => calling(move || synchronize(bare, main)),
        Job::Record => with_event::<F, _>(bare, main, move |event| {
            bare.refuse_captured(main)?;
            record::<F>(bare, event, main)
        })?,
        Job::RecordEvent => calling(move || {
            bare.refuse_captured(main)?;
            let event = bare.with_current(|| bare.new_event(false))?;
            record::<F>(bare, &event, main)
        }),
        Job::EventQuery => {
            let event = complete_event::<F>(bare, main, false)?;
            let needs_check = bare.event_query_breaks_its_stream();
            calling(move || {
                if needs_check {
                    bare.refuse_captured(main)?;
                }
                bare.relaxed(UnsafeCall::EventQuery, || bare.event_query(&event))
            })
        }
        Job::EventSynchronize => with_event::<F, _>(bare, main, move |event| {
            bare.relaxed(UnsafeCall::EventSynchronize, || bare.event_synchronize(event))
        })?,
        Job::NewStream => calling(move || bare.with_current(|| bare.new_stream())),
        Job::NewEvent => calling(move || bare.with_current(|| bare.new_event(false))),
        Job::Id => calling(move || {
            bare.refuse_captured(main)?;
            bare.id(main)
        }),
        Job::HostFunc => calling(move || {
            bare.refuse_captured(main)?;
            bare.host_func(main)?;
            synchronize(bare, main)
        }),
        other => return Err(format!("{} is no job on one stream", other.name())),
    })
}

/// Returns `true` if the stream is idle. Leaves every capture intact.
#[inline]
pub(crate) fn query<B: Bare>(bare: &B, stream: &B::Stream) -> Result<bool, Failed> {
    bare.refuse_captured(stream)?;
    bare.relaxed(UnsafeCall::StreamQuery, || bare.query_repeatedly(stream))
}

/// Blocks until the stream is idle. Leaves every capture intact.
#[inline]
fn synchronize<B: Bare>(bare: &B, stream: &B::Stream) -> Result<(), Failed> {
    bare.refuse_captured(stream)?;
    bare.relaxed(UnsafeCall::StreamSynchronize, || bare.synchronize_with_status(stream))
}

/// Makes `waiting` wait for `other`, unless it is capturing.
#[inline]
pub(crate) fn wait_stream<F: BenchFixture>(
    bare: &F::Bare,
    event: &BareEventOf<F>,
    waiting: &F::Foreign,
    other: &F::Foreign,
) -> Result<(), Failed> {
    bare.refuse_captured(waiting)?;
    wait_unchecked::<F>(bare, event, waiting, other)
}

/// Makes `waiting`, which is not capturing, wait for `other`.
#[inline]
fn wait_unchecked<F: BenchFixture>(
    bare: &F::Bare,
    event: &BareEventOf<F>,
    waiting: &F::Foreign,
    other: &F::Foreign,
) -> Result<(), Failed> {
    record::<F>(bare, event, other)?;
    bare.wait_event(waiting, event)
}

/// Records the event on the stream, so that any other stream can wait for it.
#[inline]
fn record<F: BenchFixture>(
    bare: &F::Bare,
    event: &BareEventOf<F>,
    stream: &F::Foreign,
) -> Result<(), Failed> {
    bare.record(event, stream)?;
    bare.flush(stream)
}

/// Makes the branches wait for `source`. Checks each of them for a capture.
#[inline]
fn fork<F: BenchFixture>(
    bare: &F::Bare,
    event: &BareEventOf<F>,
    source: &F::Foreign,
    branches: &[BenchStream<F>],
) -> Result<(), Failed> {
    record::<F>(bare, event, source)?;
    branches.iter().try_for_each(|branch| {
        bare.refuse_captured(branch.foreign())?;
        bare.wait_event(branch.foreign(), event)
    })
}

/// Makes `waiting` wait for the branches. Checks it once for a capture.
#[inline]
fn join<F: BenchFixture>(
    bare: &F::Bare,
    event: &BareEventOf<F>,
    waiting: &F::Foreign,
    branches: &[BenchStream<F>],
) -> Result<(), Failed> {
    bare.refuse_captured(waiting)?;
    branches
        .iter()
        .try_for_each(|branch| wait_unchecked::<F>(bare, event, waiting, branch.foreign()))
}

/// Makes the calls of [`Job::ShortLived`] after the wrapping.
#[inline]
fn library_function<F: BenchFixture>(
    bare: &F::Bare,
    event: &BareEventOf<F>,
    streams: BenchStreams<'_, F>,
) -> Result<(), Failed> {
    let (theirs, own) = (streams.main.foreign(), streams.other.foreign());
    let sides = &streams.branches[..SIDES.min(streams.branches.len())];
    wait_stream::<F>(bare, event, own, theirs)?;
    fork::<F>(bare, event, own, sides)?;
    join::<F>(bare, event, own, sides)?;
    wait_stream::<F>(bare, event, theirs, own)
}
