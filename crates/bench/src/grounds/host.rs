//! The host backend. There is no driver beneath it; its module `raw` stands beside it where it does
//! the same job.

use gpu_stream_core::dynamic;
use gpu_stream_core::{Backend, Device, RawStream, StreamOptions, StreamOwner};
use gpu_stream_host::{Host, raw};

use crate::ground::NoBare;
use crate::measure::calling;
use crate::{Contender, Failed, Ground, Job, Library, Stage};

/// The ground of `gpu-stream-host`.
#[derive(Clone, Copy, Debug)]
pub struct HostGround {
    device: Device,
    raw: RawModule,
}

impl HostGround {
    /// Device 0.
    ///
    /// # Errors
    /// As [`Backend::probe`], as text.
    pub fn new() -> Result<Self, String> {
        let device = Host::device(0).map_err(|error| error.to_string())?;
        Ok(HostGround { device, raw: RawModule })
    }
}

/// A stream that was made without our wrapper. Dropping it destroys it.
#[derive(Debug)]
pub struct HostForeign(RawStream<Host>);

impl Drop for HostForeign {
    fn drop(&mut self) {
        // Nobody else has the handle, so that it is alive.
        let _ = raw::destroy(self.0);
    }
}

// SAFETY: the stream lives until the value is dropped, and handles are never reused.
unsafe impl StreamOwner<Host> for HostForeign {
    fn raw_stream(&self) -> RawStream<Host> {
        self.0
    }
}

impl Ground for HostGround {
    type Backend = Host;
    type Foreign = HostForeign;
    type Bare = NoBare<HostForeign>;

    fn device(&self) -> Device {
        self.device
    }

    fn dynamic(&self) -> &dyn dynamic::DynBackend {
        &Host
    }

    fn foreign(&self) -> Result<HostForeign, Failed> {
        let made = raw::create(self.device, StreamOptions::new());
        // Only a device that is not there or a bad option is refused.
        made.map(HostForeign).map_err(|_| Failed { function: "raw::create", code: -1 })
    }

    fn bare(&self) -> Option<&NoBare<HostForeign>> {
        None
    }

    fn enter_thread(&self) -> Result<(), Failed> {
        Ok(())
    }

    fn libraries(&self) -> Vec<&dyn Library<Self>> {
        vec![&self.raw]
    }
}

/// Streams without a wrapper.
#[derive(Clone, Copy, Debug)]
struct RawModule;

impl Library<HostGround> for RawModule {
    fn name(&self) -> &'static str {
        "host::raw"
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn contender<'a>(
        &'a self,
        job: Job,
        stage: Stage<'a, HostGround>,
    ) -> Result<Option<Contender<'a>>, String> {
        Ok(match job {
            Job::NewStream => Some(calling(move || stage.ground.foreign())),
            _ => None,
        })
    }
}
