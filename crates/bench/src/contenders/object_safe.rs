//! The jobs done through the backend's object-safe traits, as in a program that chooses the vendor at
//! run time.

use std::hint::black_box;

use gpu_stream_core::EventOptions;
use gpu_stream_core::dynamic::DynStream;

use super::{BenchStreams, text};
use crate::measure::calling;
use crate::{BenchFixture, Contender, Job};

/// Creates the contender that does `job` through [`DynStream`]. `None` if it cannot do the job.
pub(super) fn contender<'a, F: BenchFixture>(
    job: Job,
    streams: BenchStreams<'a, F>,
) -> Result<Option<Contender<'a>>, String> {
    // Keeps the optimizer from devirtualizing the calls, which it could do only in this benchmark.
    let main: &'a dyn DynStream = black_box(streams.main.ours());
    let other: &'a dyn DynStream = black_box(streams.other.ours());
    let event =
        || text(streams.fixture.dynamic().new_event(streams.fixture.device(), EventOptions::new()));
    Ok(Some(match job {
        Job::Query => calling(move || main.query()),
        Job::Synchronize => calling(move || main.synchronize()),
        Job::Record => {
            let event = event()?;
            calling(move || main.record(&*event))
        }
        Job::RecordEvent => calling(move || main.record_event()),
        Job::EventQuery => {
            let event = event()?;
            text(main.record(&*event))?;
            calling(move || event.query())
        }
        Job::EventSynchronize => {
            let event = event()?;
            text(main.record(&*event))?;
            calling(move || event.synchronize())
        }
        Job::WaitEvent => {
            let event = text(other.record_event())?;
            calling(move || main.wait_event(&*event))
        }
        Job::WaitStream => calling(move || main.wait_stream(other)),
        Job::CaptureStatus => calling(move || main.capture_status()),
        Job::Priority => calling(move || main.priority()),
        Job::Id => calling(move || main.id()),
        _ => return Ok(None),
    }))
}
