//! The contract's [`Stream`] for [`OpenClStream`].

use gpu_stream_core::{
    CaptureStatus, Device, Event as _, EventOptions, HostFunc, RawStream, Stream, StreamOptions,
};
use gpu_stream_driver_common::host_func::ensure_outside;

use super::{OpenClStream, new_stream};
use crate::driver::driver;
use crate::event::{OpenClEvent, check_options};
use crate::host_func::{self, call};
use crate::{OpenCl, OpenClError};

// SAFETY:
// - A queue is in-order, so a marker without a wait list is complete when all earlier work is. `query` and
//   `synchronize` ask a marker that the call enqueues. A marker with a negative status is an error.
// - A record is such a marker. The event keeps a reference, and so does a wait that was enqueued.
// - A wait is a barrier with the marker, or with a user event that is complete after the marker.
// - A host function holds a user event, for which later work waits.
unsafe impl Stream for OpenClStream {
    type Backend = OpenCl;

    fn raw(&self) -> RawStream<OpenCl> {
        RawStream::from_ptr(self.queue())
    }

    fn device(&self) -> Device {
        self.own_device()
    }

    /// Returns `true` if all work submitted so far is done. May return `false` for a moment after it is done, because
    /// the call enqueues a marker and asks it: repeat the query. Does not block.
    fn query(&self) -> Result<bool, OpenClError> {
        const OPERATION: &str = "Stream::query";
        call(|| {
            let is_idle = self.is_idle(OPERATION)?;
            self.check_panics(OPERATION)?;
            Ok(is_idle)
        })
    }

    fn synchronize(&self) -> Result<(), OpenClError> {
        const OPERATION: &str = "Stream::synchronize";
        call(|| {
            ensure_outside(OPERATION)?;
            let driver = driver()?;
            self.marker(driver, OPERATION)?.wait(driver, OPERATION)?;
            self.check_panics(OPERATION)
        })
    }

    fn record(&self, event: &OpenClEvent) -> Result<(), OpenClError> {
        const OPERATION: &str = "Stream::record";
        call(|| {
            self.device().check_can_record(event.device(), OPERATION)?;
            self.check_panics(OPERATION)?;
            let driver = driver()?;
            event.replace(|| self.marker(driver, OPERATION))
        })
    }

    fn wait_event(&self, event: &OpenClEvent) -> Result<(), OpenClError> {
        const OPERATION: &str = "Stream::wait_event";
        call(|| {
            self.check_panics(OPERATION)?;
            let driver = driver()?;
            match event.current(driver, OPERATION)? {
                Some(marker) => self.wait_for(driver, &marker, OPERATION),
                None => Ok(()),
            }
        })
    }

    fn new_event(&self, options: EventOptions) -> Result<OpenClEvent, OpenClError> {
        check_options(options, "Stream::new_event")?;
        Ok(OpenClEvent::new(self.device(), options))
    }

    /// Creates a queue with timing, in this stream's context and on its device. Does not block.
    ///
    /// # Errors
    /// [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) inside a host function, where OpenCL allows no new queue.
    /// Otherwise as [`Stream::new_stream`].
    fn new_stream(&self, options: StreamOptions) -> Result<OpenClStream, OpenClError> {
        call(|| {
            new_stream(
                self.device(),
                Some(self.context_and_device()),
                options,
                "Stream::new_stream",
            )
        })
    }

    /// Returns `None`: OpenCL has no captures of a queue.
    fn capture_status(&self) -> Result<CaptureStatus, OpenClError> {
        driver().map(|_| CaptureStatus::None)
    }

    fn launch_host_func(&self, func: HostFunc) -> Result<(), OpenClError> {
        const OPERATION: &str = "Stream::launch_host_func";
        call(|| {
            self.check_panics(OPERATION)?;
            host_func::launch(driver()?, self, func, OPERATION)
        })
    }
}
