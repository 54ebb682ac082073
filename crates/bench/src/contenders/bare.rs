//! The jobs done with the fewest calls of the bare driver. Every result is checked, and events are created
//! once and reused.

use std::hint::black_box;

use gpu_stream_core::StreamOwner;

use super::BenchStreams;
use crate::job::SIDES;
use crate::measure::calling;
use crate::{Bare, BenchFixture, Contender, Failed, Job};

/// The driver's event type of fixture `F`.
pub(super) type BareEventOf<F> = <<F as BenchFixture>::Bare as Bare>::Event;

/// Creates the contender that does `job` with the bare driver, without any guarantee beyond the driver's.
pub(super) fn contender<'a, F: BenchFixture>(
    bare: &'a F::Bare,
    job: Job,
    streams: BenchStreams<'a, F>,
) -> Result<Contender<'a>, String> {
    let (main, other) = (streams.main.foreign(), streams.other.foreign());
    let complete = |timed| complete_event::<F>(bare, main, timed);
    Ok(match job {
        Job::WrapChecked => calling(move || bare.check_device(main)),
        Job::WrapUnchecked => calling(move || Ok::<_, Failed>(black_box(main.raw_stream()))),
        Job::Query => calling(move || bare.query(main)),
        Job::Synchronize => calling(move || bare.synchronize(main)),
        Job::Record => with_event::<F, _>(bare, main, move |event| bare.record(event, main))?,
        Job::RecordEvent => calling(move || {
            let event = bare.new_event(false)?;
            bare.record(&event, main)
        }),
        Job::EventQuery => with_event::<F, _>(bare, main, move |event| bare.event_query(event))?,
        Job::EventSynchronize => {
            with_event::<F, _>(bare, main, move |event| bare.event_synchronize(event))?
        }
        Job::WaitEvent => {
            let event = bare.new_event(false)?;
            bare.record(&event, other)?;
            calling(move || bare.wait_event(main, &event))
        }
        Job::WaitStream => {
            with_event::<F, _>(bare, main, move |event| wait_stream::<F>(bare, event, main, other))?
        }
        Job::Fork => with_event::<F, _>(bare, main, move |event| {
            bare.record(event, main)?;
            let mut branches = streams.branches.iter();
            branches.try_for_each(|branch| bare.wait_event(branch.foreign(), event))
        })?,
        Job::Join => with_event::<F, _>(bare, main, move |event| {
            let mut branches = streams.branches.iter();
            branches.try_for_each(|one| wait_stream::<F>(bare, event, main, one.foreign()))
        })?,
        Job::NewStream => calling(move || bare.new_stream()),
        Job::NewEvent => calling(move || bare.new_event(false)),
        Job::ShortLivedChecked => with_event::<F, _>(bare, main, move |event| {
            bare.check_device(main)?;
            library_function(bare, event, streams)
        })?,
        Job::ShortLived => {
            with_event::<F, _>(bare, main, move |event| library_function(bare, event, streams))?
        }
        Job::CaptureStatus => calling(move || bare.capture_status(main)),
        Job::Priority => calling(move || bare.priority(main)),
        Job::Id => calling(move || bare.id(main)),
        Job::ElapsedSince => {
            let (start, end) = (complete(true)?, complete(true)?);
            calling(move || bare.elapsed(&start, &end))
        }
        Job::HostFunc => calling(move || {
            bare.host_func(main)?;
            bare.synchronize(main)
        }),
    })
}

/// Creates an event that is recorded on `main` and complete.
pub(super) fn complete_event<F: BenchFixture>(
    bare: &F::Bare,
    main: &F::Foreign,
    timed: bool,
) -> Result<BareEventOf<F>, Failed> {
    let event = bare.new_event(timed)?;
    bare.record(&event, main)?;
    bare.event_synchronize(&event)?;
    Ok(event)
}

/// Creates a contender that makes `call` with one reused event.
pub(super) fn with_event<'a, F: BenchFixture, T>(
    bare: &F::Bare,
    main: &F::Foreign,
    mut call: impl FnMut(&BareEventOf<F>) -> Result<T, Failed> + 'a,
) -> Result<Contender<'a>, String>
where
    BareEventOf<F>: 'a,
{
    let event = complete_event::<F>(bare, main, false)?;
    Ok(calling(move || call(&event)))
}

/// Makes `waiting` wait for `other`, through `event`.
///
/// A wait binds to the event's record at the time of the call, so one event can be reused.
#[inline]
pub(crate) fn wait_stream<F: BenchFixture>(
    bare: &F::Bare,
    event: &BareEventOf<F>,
    waiting: &F::Foreign,
    other: &F::Foreign,
) -> Result<(), Failed> {
    bare.record(event, other)?;
    bare.wait_event(waiting, event)
}

/// Makes the calls of [`Job::ShortLived`] after the wrapping.
#[inline]
fn library_function<F: BenchFixture>(
    bare: &F::Bare,
    event: &BareEventOf<F>,
    streams: BenchStreams<'_, F>,
) -> Result<(), Failed> {
    let (theirs, own) = (streams.main.foreign(), streams.other.foreign());
    let sides = || streams.branches.iter().take(SIDES).map(|stream| stream.foreign());
    wait_stream::<F>(bare, event, own, theirs)?;
    bare.record(event, own)?;
    sides().try_for_each(|side| bare.wait_event(side, event))?;
    sides().try_for_each(|side| wait_stream::<F>(bare, event, own, side))?;
    wait_stream::<F>(bare, event, theirs, own)
}
