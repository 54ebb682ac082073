//! The bare driver, used as well as it can be: events are made once and reused.

use std::hint::black_box;

use gpu_stream_core::StreamOwner;

use super::BenchStreams;
use crate::job::SIDES;
use crate::measure::calling;
use crate::{Bare, BenchFixture, Contender, Failed, Job};

pub(super) fn contender<'a, G: BenchFixture>(
    bare: &'a G::Bare,
    job: Job,
    stage: BenchStreams<'a, G>,
) -> Result<Contender<'a>, String> {
    let (main, other) = (stage.main.foreign(), stage.other.foreign());
    let event = |timed| -> Result<_, Failed> {
        let event = bare.new_event(timed)?;
        bare.record(&event, main)?;
        bare.event_synchronize(&event)?;
        Ok(event)
    };
    let plain = || event(false);
    Ok(match job {
        Job::WrapChecked => calling(move || bare.check_device(main)),
        Job::WrapUnchecked => calling(move || Ok::<_, Failed>(black_box(main.raw_stream()))),
        Job::Query => calling(move || bare.query(main)),
        Job::Synchronize => calling(move || bare.synchronize(main)),
        Job::Record => {
            let event = plain()?;
            calling(move || bare.record(&event, main))
        }
        Job::RecordEvent => calling(move || {
            let event = bare.new_event(false)?;
            bare.record(&event, main)
        }),
        Job::EventQuery => {
            let event = plain()?;
            calling(move || bare.event_query(&event))
        }
        Job::EventSynchronize => {
            let event = plain()?;
            calling(move || bare.event_synchronize(&event))
        }
        Job::WaitEvent => {
            let event = bare.new_event(false)?;
            bare.record(&event, other)?;
            calling(move || bare.wait_event(main, &event))
        }
        Job::WaitStream => {
            let event = plain()?;
            calling(move || wait_stream::<G>(bare, &event, main, other))
        }
        Job::Fork => {
            let event = plain()?;
            let branches = stage.branches;
            calling(move || {
                bare.record(&event, main)?;
                branches.iter().try_for_each(|branch| bare.wait_event(branch.foreign(), &event))
            })
        }
        Job::Join => {
            let event = plain()?;
            let branches = stage.branches;
            calling(move || {
                let mut branches = branches.iter().map(|lane| lane.foreign());
                branches.try_for_each(|branch| wait_stream::<G>(bare, &event, main, branch))
            })
        }
        Job::NewStream => calling(move || bare.new_stream()),
        Job::NewEvent => calling(move || bare.new_event(false)),
        Job::ShortLivedChecked => {
            let event = plain()?;
            calling(move || {
                bare.check_device(main)?;
                library_function(bare, &event, stage)
            })
        }
        Job::ShortLived => {
            let event = plain()?;
            calling(move || library_function(bare, &event, stage))
        }
        Job::CaptureStatus => calling(move || bare.capture_status(main)),
        Job::Priority => calling(move || bare.priority(main)),
        Job::Id => calling(move || bare.id(main)),
        Job::ElapsedSince => {
            let (start, end) = (event(true)?, event(true)?);
            calling(move || bare.elapsed(&start, &end))
        }
        Job::HostFunc => calling(move || {
            bare.host_func(main)?;
            bare.synchronize(main)
        }),
    })
}

/// The same without the look at the capture, where the job has one.
pub(super) fn without_look<'a, G: BenchFixture>(
    bare: &'a G::Bare,
    job: Job,
    stage: BenchStreams<'a, G>,
) -> Option<Contender<'a>> {
    let main = stage.main.foreign();
    match job {
        Job::Query => Some(calling(move || bare.query_only(main))),
        Job::Synchronize => Some(calling(move || bare.synchronize_only(main))),
        _ => None,
    }
}

/// The same with a look at the capture, where the backend takes one and the job has none.
pub(super) fn with_look<'a, G: BenchFixture>(
    bare: &'a G::Bare,
    job: Job,
    stage: BenchStreams<'a, G>,
) -> Result<Option<Contender<'a>>, String> {
    let main = stage.main.foreign();
    Ok(match job {
        Job::Record => {
            let event = bare.new_event(false)?;
            Some(calling(move || {
                bare.refuse_captured(main)?;
                bare.record(&event, main)
            }))
        }
        _ => None,
    })
}

/// A wait binds to the record that is current at the call, so one event does for all.
#[inline]
pub(crate) fn wait_stream<G: BenchFixture>(
    bare: &G::Bare,
    event: &<G::Bare as Bare>::Event,
    waiting: &G::Foreign,
    other: &G::Foreign,
) -> Result<(), Failed> {
    bare.record(event, other)?;
    bare.wait_event(waiting, event)
}

#[inline]
fn library_function<G: BenchFixture>(
    bare: &G::Bare,
    event: &<G::Bare as Bare>::Event,
    stage: BenchStreams<'_, G>,
) -> Result<(), Failed> {
    let (theirs, own) = (stage.main.foreign(), stage.other.foreign());
    let sides = || stage.branches.iter().take(SIDES).map(|lane| lane.foreign());
    wait_stream::<G>(bare, event, own, theirs)?;
    bare.record(event, own)?;
    sides().try_for_each(|side| bare.wait_event(side, event))?;
    sides().try_for_each(|side| wait_stream::<G>(bare, event, own, side))?;
    wait_stream::<G>(bare, event, theirs, own)
}
