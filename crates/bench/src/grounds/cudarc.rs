//! cudarc, on the same streams.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream, DriverError, sys};

use super::{CudaForeign, CudaGround};
use crate::job::SIDES;
use crate::measure::calling;
use crate::{Contender, Job, Library, Stage};

/// cudarc, in the primary context of device 0.
#[derive(Debug)]
pub(super) struct Cudarc {
    context: Arc<CudaContext>,
    // Whoever makes a stream while cudarc knows of none waits for the whole context.
    _first: Arc<CudaStream>,
}

fn text(error: DriverError) -> String {
    // Its `Display` asks the driver for more, in a way that depends on the version.
    format!("cudarc: {:?}", error.0)
}

impl Cudarc {
    /// `None` if cudarc does not find the driver under the names that it knows: it would panic.
    pub(super) fn new() -> Result<Option<Self>, String> {
        // SAFETY: loading runs the initialisers of what is called as the driver is.
        if !unsafe { sys::is_culib_present() } {
            return Ok(None);
        }
        let context = CudaContext::new(0).map_err(text)?;
        let first = context.new_stream().map_err(text)?;
        Ok(Some(Cudarc { context, _first: first }))
    }

    fn wrap(&self, stream: &CudaForeign) -> Arc<CudaStream> {
        // SAFETY: the stream is of this context, and the contender in which the wrapper is borrows
        // it; all of its work is submitted by this thread.
        unsafe { self.context.wrap_borrowed_stream(stream.as_ptr().cast()) }
    }
}

impl Library<CudaGround> for Cudarc {
    fn name(&self) -> &'static str {
        "cudarc"
    }

    fn version(&self) -> String {
        "0.19".into()
    }

    fn contender<'a>(
        &'a self,
        job: Job,
        stage: Stage<'a, CudaGround>,
    ) -> Result<Option<Contender<'a>>, String> {
        let context = &self.context;
        let raw = stage.main.foreign().as_ptr();
        let (main, other) = (self.wrap(stage.main.foreign()), self.wrap(stage.other.foreign()));
        let branches: Vec<_> =
            stage.branches.iter().map(|lane| self.wrap(lane.foreign())).collect();
        let event = |on: &CudaStream| on.record_event(None).map_err(text);
        let error = |result: Result<(), DriverError>| result.map_err(|error| Shown(error.0));
        Ok(Some(match job {
            Job::WrapUnchecked => {
                // SAFETY: as in `wrap`.
                let wrap = move || unsafe { context.wrap_borrowed_stream(raw.cast()) };
                calling(move || Ok::<_, Shown>(wrap()))
            }
            Job::Synchronize => calling(move || error(main.synchronize())),
            Job::Record => {
                let event = event(&main)?;
                calling(move || error(event.record(&main)))
            }
            Job::RecordEvent => calling(move || error(main.record_event(None).map(drop))),
            Job::EventQuery => {
                let event = event(&main)?;
                calling(move || error(event.try_is_complete().map(drop)))
            }
            Job::EventSynchronize => {
                let event = event(&main)?;
                calling(move || error(event.synchronize()))
            }
            Job::WaitEvent => {
                let event = event(&other)?;
                calling(move || error(main.wait(&event)))
            }
            Job::WaitStream => calling(move || error(main.join(&other))),
            Job::Fork => calling(move || {
                let event = main.record_event(None).map_err(|error| Shown(error.0))?;
                branches.iter().try_for_each(|branch| error(branch.wait(&event)))
            }),
            Job::Join => calling(move || branches.iter().try_for_each(|one| error(main.join(one)))),
            Job::NewStream => calling(move || error(context.new_stream().map(drop))),
            Job::NewEvent => calling(move || error(context.new_event(None).map(drop))),
            Job::ShortLived => calling(move || {
                // SAFETY: as in `wrap`.
                let theirs = unsafe { context.wrap_borrowed_stream(raw.cast()) };
                let sides = || branches.iter().take(SIDES);
                error(other.join(&theirs))?;
                let event = other.record_event(None).map_err(|error| Shown(error.0))?;
                sides().try_for_each(|side| error(side.wait(&event)))?;
                sides().try_for_each(|side| error(other.join(side)))?;
                error(theirs.join(&other))
            }),
            _ => return Ok(None),
        }))
    }
}

/// An error of cudarc, as the name of its code.
struct Shown(sys::CUresult);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cudarc: {:?}", self.0)
    }
}
