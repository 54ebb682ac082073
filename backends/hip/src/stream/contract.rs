//! The contract's trait, implemented for [`HipStream`].

use gpu_stream_core::{
    BackendKind, CaptureStatus, Device, Event as _, EventOptions, HandleKind, HostFunc, RawStream,
    Stream, StreamOptions,
};
use gpu_stream_driver_common::ordering::{downcast, fork, join};

use super::HipStream;
use super::ordering::{self, HipOrdering};
use super::wrap::new_stream;
use crate::driver::{CaptureModeGuard, driver, require};
use crate::host_wait::finish;
use crate::owned_stream::NON_BLOCKING;
use crate::poll::{is_idle, poll};
use crate::{Hip, HipError, HipEvent, host_func};

// SAFETY:
// - `query` returns `true`, and `synchronize` returns `Ok`, only if the runtime reports success for the stream,
//   or for an event recorded after all of its work. Any other code but "not ready" is an error.
// - The stream is alive by the contract of the wrapper's constructor.
// - A captured stream, whose work does not run, is refused.
// - `wait_event` is the runtime's. It binds to the event's record at the call, and holds what it needs of it.
unsafe impl Stream for HipStream {
    type Backend = Hip;

    #[inline]
    fn raw(&self) -> RawStream<Hip> {
        self.capturable.set();
        self.raw
    }

    #[inline]
    fn device(&self) -> Device {
        Device::new(BackendKind::Hip, self.device)
    }

    #[inline]
    fn query(&self) -> Result<bool, HipError> {
        const OPERATION: &str = "Stream::query";
        self.call(|| {
            let done = self.with_uncaptured(OPERATION, |driver, raw| {
                // SAFETY: `raw` is live: `self` keeps it alive. Its device is current if it is a default stream.
                let idle = unsafe { is_idle(driver, raw, self.device, OPERATION) }?;
                Ok(idle && self.events_are_complete(driver, OPERATION)?)
            })?;
            self.check_fault(OPERATION)?;
            Ok(done)
        })
    }

    /// Blocks until all work submitted so far is done, as [`Stream::synchronize`] says.
    ///
    /// If the stream is not idle, records an event that no other code has, and waits for it inside the runtime
    /// (`hipEventSynchronize`). HIP 5.7 refuses that call beside a capture, and the event is polled. It does not call
    /// `hipStreamSynchronize`, for two reasons. In HIP 7 that call holds a lock, and other threads' queries, records and
    /// host functions on the stream wait for it. Up to HIP 5.7 it is refused while another stream is captured.
    ///
    /// # Errors
    /// Errors as [`Stream::synchronize`].
    fn synchronize(&self) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::synchronize";
        host_func::ensure_outside_host_func(OPERATION)?;
        self.call(|| {
            self.with_uncaptured(OPERATION, |driver, raw| {
                // An idle stream needs no record, which would be work for the device.
                // SAFETY: `raw` is live: `self` keeps it alive. Its device is current if it is a default stream.
                unsafe {
                    if !is_idle(driver, raw, self.device, OPERATION)? {
                        finish(driver, raw, self.device, OPERATION)?;
                    }
                }
                if self.raw.kind() == HandleKind::PerThread {
                    poll(|| self.events_are_complete(driver, OPERATION))?;
                }
                Ok(())
            })?;
            self.check_fault(OPERATION)
        })
    }

    /// Records `event`, as [`Stream::record`] says. On a captured stream, the event stands for nodes of the
    /// graph.
    #[inline]
    fn record(&self, event: &HipEvent) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::record";
        self.call(|| {
            self.device().check_can_record(event.device(), OPERATION)?;
            self.record_with(OPERATION, |driver, record, capturable| {
                // SAFETY: `record_with` passes a live stream, whose device is current if it is a default stream.
                unsafe { event.record(driver, record, capturable, OPERATION) }
            })
        })
    }

    #[inline]
    fn record_event(&self) -> Result<HipEvent, HipError> {
        const OPERATION: &str = "Stream::record_event";
        self.call(|| {
            self.record_with(OPERATION, |driver, record, capturable| {
                // SAFETY: `record_with` passes a live stream, whose device is current if it is a default stream.
                unsafe { HipEvent::recorded(driver, self.device, record, capturable, OPERATION) }
            })
        })
    }

    fn new_event(&self, options: EventOptions) -> Result<HipEvent, HipError> {
        self.call(|| HipEvent::new(driver()?, self.device, options, "Stream::new_event"))
    }

    fn new_stream(&self, options: StreamOptions) -> Result<HipStream, HipError> {
        self.call(|| new_stream(self.device(), options, "Stream::new_stream"))
    }

    /// Makes later work of this stream wait for `event`, as [`Stream::wait_event`] says.
    ///
    /// # Errors
    /// Errors as [`Stream::wait_event`]. Also [`Capturing`](gpu_stream_core::ErrorKind::Capturing) in two cases:
    ///
    /// - This stream is captured, and the event's record is not of the same capture. HIP itself reports
    ///   success, and no graph has the order.
    /// - This stream is the default stream, and the event was recorded in a capture that goes on. HIP 7.2
    ///   itself reports success, and crashes when the capture ends.
    #[inline]
    fn wait_event(&self, event: &HipEvent) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::wait_event";
        self.call(|| match self.try_wait_fast(event, OPERATION) {
            Some(outcome) => outcome,
            None => self.wait_event_slow(event, OPERATION),
        })
    }

    /// Makes later work of this stream wait for the work of `other` so far, as [`Stream::wait_stream`] says.
    ///
    /// Threads that wait for one stream at the same moment may share a record of it. It is made after all of
    /// them have called.
    #[inline]
    fn wait_stream<O: Stream<Backend = Hip>>(&self, other: &O) -> Result<(), HipError> {
        self.call(|| match downcast(other) {
            Some(other) => ordering::wait_stream(self, other),
            // A type that wraps a stream, and records in its own way.
            None if self.is_same(other) => Ok(()),
            None => self.wait_event(&other.record_event()?),
        })
    }

    #[inline]
    fn fork<'a, I, O>(&self, branches: I) -> Result<(), HipError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Hip>,
    {
        self.call(|| fork::<HipOrdering, O>(self, branches))
    }

    #[inline]
    fn join<'a, I, O>(&self, branches: I) -> Result<(), HipError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Hip>,
    {
        self.call(|| join::<HipOrdering, O>(self, branches))
    }

    /// Returns the priority, as [`Stream::priority`] says. That of the default stream is 0.
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream, while a stream is captured that
    /// it synchronizes with.
    fn priority(&self) -> Result<i32, HipError> {
        const OPERATION: &str = "Stream::priority";
        self.call(|| match self.raw.kind() {
            HandleKind::Default => self.read_capture_status(OPERATION).map(|_| 0),
            _ => self.with_known(OPERATION, |driver, raw| {
                let _relaxed = CaptureModeGuard::enter(driver, OPERATION)?;
                let mut priority = 0;
                // SAFETY: `raw` is live: `self` keeps it alive. The device of a per-thread stream is current. `&mut
                // priority` is a valid out-pointer.
                let code = unsafe { (driver.symbols.stream_priority)(raw, &mut priority) };
                driver.check(code, OPERATION, "hipStreamGetPriority")?;
                Ok(priority)
            }),
        })
    }

    /// Returns `true` if the stream synchronizes with the default stream. Also returns `true` for the default
    /// stream.
    ///
    /// # Errors
    /// Errors as [`Stream::is_blocking`].
    fn is_blocking(&self) -> Result<bool, HipError> {
        const OPERATION: &str = "Stream::is_blocking";
        self.call(|| match self.raw.kind() {
            // A call could break a capture of another stream.
            HandleKind::Default => driver().map(|_| true),
            _ => self.with_known(OPERATION, |driver, raw| {
                let get = require(driver.symbols.stream_flags, OPERATION)?;
                let _relaxed = CaptureModeGuard::enter(driver, OPERATION)?;
                let mut flags = 0;
                // SAFETY: `raw` is live: `self` keeps it alive. The device of a per-thread stream is current. `&mut
                // flags` is a valid out-pointer.
                let code = unsafe { get(raw, &mut flags) };
                driver.check(code, OPERATION, "hipStreamGetFlags")?;
                Ok(flags & NON_BLOCKING == 0)
            }),
        })
    }

    /// Returns the stream's id. Needs HIP 7.2 or newer.
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the stream is captured. For the default stream,
    /// also while a stream is captured that it synchronizes with.
    fn id(&self) -> Result<u64, HipError> {
        const OPERATION: &str = "Stream::id";
        self.call(|| self.with_known(OPERATION, |_, _| self.query_id(OPERATION)))
    }

    /// Returns the capture status. Does not affect the capture.
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream, while a stream is captured that
    /// it synchronizes with. The default stream itself is never captured, and cannot be used meanwhile.
    fn capture_status(&self) -> Result<CaptureStatus, HipError> {
        self.call(|| self.read_known_status("Stream::capture_status"))
    }

    /// Launches a closure on the stream, as [`Stream::launch_host_func`] says.
    ///
    /// A panic does not leave the closure, and what the closure held is dropped. Later device work runs, since
    /// the runtime does not know of the panic. Later closures are dropped unrun. From then on each call on this
    /// stream is a [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) with the panic's message. From HIP 7.2
    /// on streams have ids, and each wrapper of the stream reports the fault. Before, only the wrapper that
    /// launched the closure does, and its clones.
    ///
    /// Inside the closure `synchronize` is refused. Streams and events can be dropped there: they are
    /// destroyed at the end of the next call of this crate.
    ///
    /// The runtime gets a key, never a pointer. If another thread begins a capture of the stream during the
    /// call, the graph gets a node that runs the closure once, and does nothing in later launches.
    ///
    /// # Errors
    /// Errors as [`Stream::launch_host_func`]. Also [`Capturing`](gpu_stream_core::ErrorKind::Capturing) on a
    /// captured stream: a graph can be launched many times, and the closure runs once.
    fn launch_host_func(&self, func: HostFunc) -> Result<(), HipError> {
        self.call(|| self.launch(func, "Stream::launch_host_func"))
    }
}
