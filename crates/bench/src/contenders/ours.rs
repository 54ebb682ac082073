//! The jobs done with the backend, as a program uses it.

use gpu_stream_core::{Backend, Device, Event, EventOptions, Stream, StreamOptions, StreamOwner};

use super::{BenchStreams, text};
use crate::fixture::{ErrorOf, EventOf, StreamOf};
use crate::job::SIDES;
use crate::measure::calling;
use crate::{BenchFixture, Contender, Job};

/// Creates the contender that does `job` with the backend.
pub(super) fn contender<'a, F: BenchFixture>(
    job: Job,
    streams: BenchStreams<'a, F>,
) -> Result<Contender<'a>, String> {
    let (device, raw) = (streams.fixture.device(), streams.main.foreign().raw_stream());
    let (main, other) = (streams.main.ours(), streams.other.ours());
    let branches = || streams.branches.iter().map(|stream| stream.ours());
    let event = |options| complete_event::<F>(device, main, options);
    let plain = || event(EventOptions::new());
    // SAFETY of the four wrap calls below:
    // - `raw` is live: the contender borrows `streams`, and each wrapper is dropped within its call.
    // - `raw` is a stream of `device`: the fixture created it there.
    Ok(match job {
        Job::WrapChecked => {
            // SAFETY: `raw` is a live stream of `device` (see the start of the match).
            let wrap = move || unsafe { F::Backend::stream_from_raw(raw, Some(device)) };
            calling(wrap)
        }
        Job::WrapUnchecked => {
            // SAFETY: `raw` is a live stream of `device` (see the start of the match).
            calling(move || unsafe { F::Backend::stream_from_raw_unchecked(raw, device) })
        }
        Job::Query => calling(move || main.query()),
        Job::Synchronize => calling(move || main.synchronize()),
        Job::Record => plain().map(|event| calling(move || main.record(&event)))?,
        Job::RecordEvent => calling(move || main.record_event()),
        Job::EventQuery => plain().map(|event| calling(move || event.query()))?,
        Job::EventSynchronize => plain().map(|event| calling(move || event.synchronize()))?,
        Job::WaitEvent => {
            let event = text(other.record_event())?;
            calling(move || main.wait_event(&event))
        }
        Job::WaitStream => calling(move || main.wait_stream(other)),
        Job::Fork => calling(move || main.fork(branches())),
        Job::Join => calling(move || main.join(branches())),
        Job::NewStream => calling(move || F::Backend::new_stream(device, StreamOptions::new())),
        Job::NewEvent => calling(move || F::Backend::new_event(device, EventOptions::new())),
        Job::ShortLivedChecked => calling(move || {
            // SAFETY: `raw` is a live stream of `device` (see the start of the match).
            let theirs = unsafe { F::Backend::stream_from_raw(raw, Some(device)) }?;
            library_function(streams, &theirs)
        }),
        Job::ShortLived => calling(move || {
            // SAFETY: `raw` is a live stream of `device` (see the start of the match).
            let theirs = unsafe { F::Backend::stream_from_raw_unchecked(raw, device) }?;
            library_function(streams, &theirs)
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

/// Creates an event that is recorded on `main` and complete.
fn complete_event<F: BenchFixture>(
    device: Device,
    main: &StreamOf<F>,
    options: EventOptions,
) -> Result<EventOf<F>, String> {
    let event = text(F::Backend::new_event(device, options))?;
    text(main.record(&event))?;
    text(event.synchronize())?;
    Ok(event)
}

/// Creates the contender that does [`Job::ShortLived`] with an existing wrapper. `None` for other jobs.
pub(super) fn kept<'a, F: BenchFixture>(
    job: Job,
    streams: BenchStreams<'a, F>,
) -> Result<Option<Contender<'a>>, String> {
    Ok(match job {
        Job::ShortLived | Job::ShortLivedChecked => {
            Some(calling(move || library_function(streams, streams.main.ours())))
        }
        _ => None,
    })
}

/// Makes the calls of [`Job::ShortLived`] after the wrapping.
#[inline]
fn library_function<F: BenchFixture>(
    streams: BenchStreams<'_, F>,
    theirs: &StreamOf<F>,
) -> Result<(), ErrorOf<F>> {
    let own = streams.other.ours();
    let sides = || streams.branches.iter().take(SIDES).map(|stream| stream.ours());
    own.wait_stream(theirs)?;
    own.fork(sides())?;
    own.join(sides())?;
    theirs.wait_stream(own)
}

/// Creates a contender that wraps the stream returned by `next` in each call.
pub(crate) fn wrap_checked<'a, F: BenchFixture>(
    device: Device,
    mut next: impl FnMut() -> &'a F::Foreign + 'a,
) -> Contender<'a> {
    calling(move || {
        // SAFETY: the stream is live: the contender borrows it for `'a`, and the wrapper is dropped
        // within the call. It is a stream of `device`: the fixture created it there.
        unsafe { F::Backend::stream_from_raw(next().raw_stream(), Some(device)) }
    })
}
