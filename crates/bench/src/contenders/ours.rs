//! The backend, as a program uses it.

use gpu_stream_core::{Backend, Device, Event, EventOptions, Stream, StreamOptions, StreamOwner};

use super::{BenchStreams, text};
use crate::fixture::{ErrorOf, StreamOf};
use crate::job::SIDES;
use crate::measure::calling;
use crate::{BenchFixture, Contender, Job};

pub(super) fn contender<'a, G: BenchFixture>(
    job: Job,
    stage: BenchStreams<'a, G>,
) -> Result<Contender<'a>, String> {
    let (device, raw) = (stage.fixture.device(), stage.main.foreign().raw_stream());
    let (main, other) = (stage.main.ours(), stage.other.ours());
    let branches = || stage.branches.iter().map(|lane| lane.ours());
    let event = |options| -> Result<_, String> {
        let event = text(G::Backend::new_event(device, options))?;
        text(main.record(&event))?;
        text(event.synchronize())?;
        Ok(event)
    };
    let plain = || event(EventOptions::new());
    // SAFETY, of the four wrappings below: `main` is borrowed as long as the contender lives, and
    // with it the stream; the wrapper ends with the call. The stream is one of `device`.
    Ok(match job {
        Job::WrapChecked => {
            // SAFETY: above.
            let wrap = move || unsafe { G::Backend::stream_from_raw(raw, Some(device)) };
            calling(wrap)
        }
        Job::WrapUnchecked => {
            // SAFETY: above.
            calling(move || unsafe { G::Backend::stream_from_raw_unchecked(raw, device) })
        }
        Job::Query => calling(move || main.query()),
        Job::Synchronize => calling(move || main.synchronize()),
        Job::Record => {
            let event = plain()?;
            calling(move || main.record(&event))
        }
        Job::RecordEvent => calling(move || main.record_event()),
        Job::EventQuery => {
            let event = plain()?;
            calling(move || event.query())
        }
        Job::EventSynchronize => {
            let event = plain()?;
            calling(move || event.synchronize())
        }
        Job::WaitEvent => {
            let event = text(other.record_event())?;
            calling(move || main.wait_event(&event))
        }
        Job::WaitStream => calling(move || main.wait_stream(other)),
        Job::Fork => calling(move || main.fork(branches())),
        Job::Join => calling(move || main.join(branches())),
        Job::NewStream => calling(move || G::Backend::new_stream(device, StreamOptions::new())),
        Job::NewEvent => calling(move || G::Backend::new_event(device, EventOptions::new())),
        Job::ShortLivedChecked => calling(move || {
            // SAFETY: above.
            let theirs = unsafe { G::Backend::stream_from_raw(raw, Some(device)) }?;
            library_function(stage, &theirs)
        }),
        Job::ShortLived => calling(move || {
            // SAFETY: above.
            let theirs = unsafe { G::Backend::stream_from_raw_unchecked(raw, device) }?;
            library_function(stage, &theirs)
        }),
        Job::CaptureStatus => calling(move || main.capture_status()),
        Job::Priority => calling(move || main.priority()),
        Job::Id => calling(move || main.id()),
        Job::ElapsedSince => {
            let (start, end) = (event(EventOptions::timed())?, event(EventOptions::timed())?);
            calling(move || end.elapsed_since(&start))
        }
        Job::HostFunc => calling(move || {
            main.launch_host_func(Box::new(|| {}))?;
            main.synchronize()
        }),
    })
}

/// The library's function of [`Job::ShortLived`], with a wrapper that there is already.
pub(super) fn kept<'a, G: BenchFixture>(
    job: Job,
    stage: BenchStreams<'a, G>,
) -> Result<Option<Contender<'a>>, String> {
    Ok(match job {
        Job::ShortLived | Job::ShortLivedChecked => {
            Some(calling(move || library_function(stage, stage.main.ours())))
        }
        _ => None,
    })
}

/// What a library does with its caller's stream.
#[inline]
fn library_function<G: BenchFixture>(
    stage: BenchStreams<'_, G>,
    theirs: &StreamOf<G>,
) -> Result<(), ErrorOf<G>> {
    let own = stage.other.ours();
    let sides = || stage.branches.iter().take(SIDES).map(|lane| lane.ours());
    own.wait_stream(theirs)?;
    own.fork(sides())?;
    own.join(sides())?;
    theirs.wait_stream(own)
}

/// Streams of one backend, for the growth of its costs.
pub(crate) fn wrap_checked<'a, G: BenchFixture>(
    device: Device,
    mut next: impl FnMut() -> &'a G::Foreign + 'a,
) -> Contender<'a> {
    calling(move || {
        // SAFETY: the stream is borrowed as long as the contender lives, and is one of the device;
        // the wrapper ends with the call.
        unsafe { G::Backend::stream_from_raw(next().raw_stream(), Some(device)) }
    })
}
