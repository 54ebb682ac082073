//! A stream of the HIP runtime: [`HipStream`].

mod wrap;

use std::hash::{Hash, Hasher};

use gpu_stream_core::{
    BackendKind, CaptureStatus, Device, EventOptions, HandleKind, HostFunc, RawStream, Stream,
};

use crate::driver::capture::{self, Relaxed};
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{Current, Driver, driver, loaded, require};
use crate::fault::{self, Faults};
use crate::host_func::{self, Job};
use crate::slot::Keeper;
use crate::{Hip, HipError, HipEvent, event, order, thread_end};

#[cfg(feature = "hip-sys")] // where it is compared with the header's
pub(crate) use self::wrap::NON_BLOCKING;
pub(crate) use self::wrap::{
    create, default_stream, new_stream, per_thread_stream, wrap, wrap_unchecked,
};

/// `hipStreamPerThread`.
pub(crate) const PER_THREAD: RawStream<Hip> = RawStream::PER_THREAD;

/// A stream of the HIP backend: a `hipStream_t`, most often somebody else's.
///
/// A clone is the same stream. A stream that was made by [`Hip`] is destroyed after the last clone
/// and the last event that was recorded on it, and what was submitted to it still runs. HIP waits
/// for a stream's work when it destroys it; so that a drop does not block, a stream that is still
/// busy is put aside and destroyed by a later call that makes or drops a stream.
///
/// Handles 0 and 1 both mean the default stream of the device. Its wrapper has handle 0, whichever
/// was given: some of HIP's functions crash with 1 (`hipStreamLegacy`).
#[derive(Clone)]
pub struct HipStream {
    raw: RawStream<Hip>,
    device: u32,
    keeper: Keeper,
    faults: Faults,
}

impl HipStream {
    /// A new event of this stream's device, not recorded yet. Does not block.
    ///
    /// The same as [`Backend::new_event`](gpu_stream_core::Backend::new_event) with that device:
    /// where CUDA's streams have contexts, HIP's have devices alone.
    ///
    /// # Errors
    /// [`OutOfMemory`](gpu_stream_core::ErrorKind::OutOfMemory), and what else the runtime says.
    ///
    /// Origin: torch makes an event at its first record, on the device of that stream.
    #[doc(alias = "hipEventCreateWithFlags")]
    pub fn new_event(&self, options: EventOptions) -> Result<HipEvent, HipError> {
        HipEvent::new(driver()?, self.device, options, "HipStream::new_event")
    }

    /// Calls `ask` with what it needs current.
    ///
    /// Explicit handles need nothing; the default ones need their device.
    #[inline]
    fn ask<T>(
        &self,
        operation: &'static str,
        ask: impl FnOnce(&'static Driver, Ptr) -> Result<T, HipError>,
    ) -> Result<T, HipError> {
        let (driver, raw) = (driver()?, self.raw.as_ptr());
        let kind = self.raw.kind();
        if kind == HandleKind::PerThread {
            // First: what HIP has of the thread may be gone.
            thread_end::refuse_ended(operation)?;
        }
        if kind == HandleKind::Explicit {
            return ask(driver, raw);
        }
        let _current = Current::enter(driver, self.device, operation)?;
        ask(driver, raw)
    }

    /// An error for the default stream beside a captured stream that it synchronises with: there,
    /// whatever names it would break the capture. Asks nothing of other streams.
    ///
    /// # Safety
    /// As [`capture::status`].
    #[inline]
    unsafe fn look_if_default(
        &self,
        driver: &Driver,
        raw: Ptr,
        operation: &'static str,
    ) -> Result<(), HipError> {
        if self.raw.kind() == HandleKind::Default {
            // SAFETY: the caller promises the same.
            unsafe { capture::status(driver, raw, operation) }?;
        }
        Ok(())
    }

    /// The handle as an integer.
    #[inline]
    pub(crate) fn bits(&self) -> usize {
        self.raw.to_bits()
    }

    /// The ordinal of the device.
    #[inline]
    pub(crate) fn ordinal(&self) -> u32 {
        self.device
    }

    /// Whether both are wrappers of one stream.
    #[inline]
    pub(crate) fn is_the_same(&self, other: &Self) -> bool {
        self.raw == other.raw && self.device == other.device
    }

    /// The runtime, if this is an explicit stream and nothing was seen to be wrong with any.
    #[inline]
    pub(crate) fn quick(&self) -> Option<&'static Driver> {
        if self.raw.kind() == HandleKind::Explicit && !fault::any() { loaded() } else { None }
    }

    /// As [`quick`](Self::quick), if it is not captured either.
    #[inline]
    pub(crate) fn quick_source(&self) -> Option<&'static Driver> {
        let driver = self.quick()?;
        // SAFETY: the stream is alive.
        if unsafe { capture::is_possible(driver, self.raw.as_ptr()) } { None } else { Some(driver) }
    }

    /// In which capture the stream is, if in one: asked behind a record, since one may have begun
    /// after the look before it.
    #[inline]
    fn captured_behind(&self, driver: &'static Driver) -> Option<Option<u64>> {
        let raw = self.raw.as_ptr();
        // SAFETY: the stream is alive.
        unsafe { capture::has_begun(driver, raw).then(|| capture::id(driver, raw)) }
    }

    /// The record of most events on most streams. `None` if this one needs more care.
    #[inline]
    fn quick_record(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Option<Result<(), HipError>> {
        if event.ordinal() != self.device {
            return None;
        }
        let (driver, raw) = (self.quick_source()?, self.raw.as_ptr());
        // SAFETY: the stream is alive, and so is the event, which is of its device.
        let record = |handle| unsafe { (driver.symbols.event_record)(handle, raw) };
        let captured = || self.captured_behind(driver);
        let (code, old) = event.quick_record((self.raw, &self.keeper), record, captured)?;
        let outcome = driver.check(code, operation, "hipEventRecord");
        // Runs code of a user, who may have had the last share in what the event kept.
        drop(old);
        Some(outcome)
    }

    /// Likewise, with an event of the pool.
    #[inline]
    fn quick_record_event(&self, operation: &'static str) -> Option<Result<HipEvent, HipError>> {
        let (driver, raw) = (self.quick_source()?, self.raw.as_ptr());
        let of = (driver.entry(self.device)?, self.device);
        // SAFETY: the stream is alive, and so is the event, which is of its device.
        let record = |handle| unsafe { (driver.symbols.event_record)(handle, raw) };
        let captured = || self.captured_behind(driver);
        let (code, event) = HipEvent::recorded(of, (self.raw, &self.keeper), record, captured)?;
        Some(driver.check(code, operation, "hipEventRecord").map(|()| event))
    }

    fn record_with_care(&self, event: &HipEvent, operation: &'static str) -> Result<(), HipError> {
        use gpu_stream_core::Event as _;
        event.device().check_is(self.device(), operation)?;
        self.check_fault(operation)?;
        let (outcome, left) = self.ask(operation, |driver, raw| {
            let captured = || {
                // SAFETY: the stream is alive, and `ask` has made current what a default one needs.
                Ok(match unsafe { capture::status(driver, raw, operation) }? {
                    CaptureStatus::None => None,
                    // SAFETY: as above.
                    _ => Some(unsafe { capture::id(driver, raw) }),
                })
            };
            // SAFETY: as above; the event is alive, and of the stream's device.
            let record = |handle| unsafe { (driver.symbols.event_record)(handle, raw) };
            let on = (self.raw, &self.keeper);
            Ok(event.record_by(driver, on, operation, captured, record))
        })?;
        // Runs code of a user, who may have had the last share in what the event kept.
        drop(left);
        outcome
    }

    pub(crate) fn record_event_for(&self, operation: &'static str) -> Result<HipEvent, HipError> {
        let event = HipEvent::for_record(driver()?, self.device, operation)?;
        self.record_with_care(&event, operation)?;
        Ok(event)
    }

    /// The wait of most streams for most events. `None` if this one needs more care.
    #[inline]
    fn quick_wait(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Option<Result<(), HipError>> {
        let driver = self.quick()?;
        event.with(|state| {
            if !state.is_plain() {
                return None;
            }
            let raw = self.raw.as_ptr();
            // SAFETY: the stream is alive, and so is the event, and what it points to; it may be of
            // any device. Flags are 0.
            let code = unsafe { (driver.symbols.stream_wait_event)(raw, state.raw.as_ptr(), 0) };
            Some(match code {
                HipCode::SUCCESS => Ok(()),
                code => Err(self.no_wait(driver, code, false, operation)),
            })
        })
    }

    pub(crate) fn wait_with_care(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Result<(), HipError> {
        self.check_fault(operation)?;
        self.ask(operation, |driver, raw| {
            // SAFETY: `ask` has made current what a default stream needs.
            unsafe { self.look_if_default(driver, raw, operation) }?;
            event.with(|state| {
                event.refuse_stale(driver, state, operation)?;
                let waited = state.visit(|| {
                    // SAFETY: the stream is alive, and `ask` has made current what a default one
                    // needs; the event is alive, and so is what it points to; it may be of any
                    // device. Flags are 0.
                    unsafe { (driver.symbols.stream_wait_event)(raw, state.raw.as_ptr(), 0) }
                });
                match waited {
                    Ok(HipCode::SUCCESS) => Ok(()),
                    Ok(code) => Err(self.no_wait(driver, code, state.is_captured(), operation)),
                    // What the event stands for is over: there is nothing to wait for.
                    Err(end) => end.answer(operation),
                }
            })
        })
    }

    /// The error for what the runtime answered to a wait of this stream for an event, whose last
    /// record was made in a capture or not. A default stream has its device current.
    #[cold]
    pub(crate) fn no_wait(
        &self,
        driver: &'static Driver,
        code: HipCode,
        in_a_capture: bool,
        operation: &'static str,
    ) -> HipError {
        driver.forget(code);
        let code = match code {
            HipCode::CAPTURE_ISOLATION => {
                // SAFETY: the stream is alive, and what a default one needs is current.
                match unsafe { capture::status(driver, self.raw.as_ptr(), operation) } {
                    // This stream is not captured, so the event's is: it is said of the event then,
                    // and by the code for that.
                    Ok(CaptureStatus::None) => HipCode::CAPTURED_EVENT,
                    Ok(_) => HipCode::CAPTURE_ISOLATION,
                    Err(error) => return error,
                }
            }
            code => code,
        };
        event::refused(in_a_capture, code, operation, "hipStreamWaitEvent")
    }

    /// The stream's id, if the runtime has ids.
    fn id_if_any(&self) -> Option<u64> {
        self.id().ok()
    }

    #[inline]
    fn check_fault(&self, operation: &'static str) -> Result<(), HipError> {
        self.faults.check(operation, || self.id_if_any())
    }
}

// SAFETY: `query` says true, and `synchronize` returns `Ok`, only if the runtime says success for
// the stream, or for an event recorded behind all of its work; the stream is alive by the contract
// of whoever made the wrapper; any other answer but "not ready" is an error. A stream that is
// captured, whose work does not run, is refused. `wait_event` is the runtime's, which binds to the
// event's record at the call and holds what it needs of it.
unsafe impl Stream for HipStream {
    type Backend = Hip;

    #[inline]
    fn raw(&self) -> RawStream<Hip> {
        self.raw
    }

    #[inline]
    fn device(&self) -> Device {
        Device::new(BackendKind::Hip, self.device)
    }

    #[inline]
    fn query(&self) -> Result<bool, HipError> {
        const OPERATION: &str = "Stream::query";
        let done = self.ask(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs.
            unsafe { capture::refuse(driver, raw, OPERATION) }?;
            // SAFETY: as above.
            unsafe { is_idle(driver, raw, self.device, OPERATION) }
        })?;
        self.check_fault(OPERATION)?;
        Ok(done)
    }

    /// As [`Stream::synchronize`].
    ///
    /// If the stream is not idle, it records an event, and asks for it again and again, with pauses
    /// that grow to a tenth of a millisecond. `hipStreamSynchronize` holds a lock in HIP 7 for which
    /// every other thread's query, record and host function on the stream has to wait, and those do
    /// not block; and up to HIP 5.7 it is refused while another stream is captured.
    ///
    /// # Errors
    /// As there.
    fn synchronize(&self) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::synchronize";
        host_func::refuse_inside(OPERATION)?;
        self.ask(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs.
            unsafe {
                capture::refuse(driver, raw, OPERATION)?;
                // An idle stream needs no record, which would be work that the device has to do.
                if is_idle(driver, raw, self.device, OPERATION)? {
                    return Ok(());
                }
                finish(driver, raw, self.device, OPERATION)
            }
        })?;
        self.check_fault(OPERATION)
    }

    /// As [`Stream::record`]. On a stream that is captured, the event becomes a node of the graph.
    #[inline]
    fn record(&self, event: &HipEvent) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::record";
        match self.quick_record(event, OPERATION) {
            Some(outcome) => outcome,
            None => self.record_with_care(event, OPERATION),
        }
    }

    #[inline]
    fn record_event(&self) -> Result<HipEvent, HipError> {
        const OPERATION: &str = "Stream::record_event";
        match self.quick_record_event(OPERATION) {
            Some(outcome) => outcome,
            None => self.record_event_for(OPERATION),
        }
    }

    #[inline]
    fn wait_event(&self, event: &HipEvent) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::wait_event";
        match self.quick_wait(event, OPERATION) {
            Some(outcome) => outcome,
            None => self.wait_with_care(event, OPERATION),
        }
    }

    /// As [`Stream::wait_stream`]. Threads that wait for one stream at the same moment may share a
    /// record of it, which is made after all of them have called.
    #[inline]
    fn wait_stream<O: Stream<Backend = Hip>>(&self, other: &O) -> Result<(), HipError> {
        match order::native(other) {
            Some(other) => order::wait_stream(self, other),
            // Something laid over a stream, which has its own way to record.
            None if self.is_same(other) => Ok(()),
            None => self.wait_event(&other.record_event()?),
        }
    }

    #[inline]
    fn fork<'a, I, O>(&self, branches: I) -> Result<(), HipError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Hip>,
    {
        let mut fork = order::Fork::of(self);
        for branch in branches {
            let next = match order::native(branch) {
                Some(branch) => fork.native(branch),
                None => fork.layered(branch),
            };
            if next.is_break() {
                break;
            }
        }
        fork.outcome
    }

    #[inline]
    fn join<'a, I, O>(&self, branches: I) -> Result<(), HipError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Hip>,
    {
        let (mut relay, mut outcome) = (order::Relay::new(), Ok(()));
        for branch in branches {
            let joined = match order::native(branch) {
                Some(branch) => relay.join(self, branch),
                None => self.wait_stream(branch),
            };
            order::keep_first(&mut outcome, joined);
        }
        outcome
    }

    /// As [`Stream::priority`].
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream while a stream is captured that
    /// it synchronises with.
    fn priority(&self) -> Result<i32, HipError> {
        const OPERATION: &str = "Stream::priority";
        self.ask(OPERATION, |driver, raw| {
            // SAFETY: `ask` has made current what a default stream needs.
            unsafe { self.look_if_default(driver, raw, OPERATION) }?;
            let _relaxed = Relaxed::enter(driver, OPERATION)?;
            let mut priority = 0;
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs;
            // `priority` is a place for the number.
            let code = unsafe { (driver.symbols.stream_priority)(raw, &mut priority) };
            driver.check(code, OPERATION, "hipStreamGetPriority")?;
            Ok(priority)
        })
    }

    /// As [`Stream::id`]. Needs HIP 7.2 or newer.
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the stream is captured, and for the default stream
    /// while a stream is that it synchronises with.
    fn id(&self) -> Result<u64, HipError> {
        const OPERATION: &str = "Stream::id";
        let stream_id = require(driver()?.symbols.stream_id, OPERATION)?;
        self.ask(OPERATION, |driver, raw| {
            // SAFETY: `ask` has made current what a default stream needs.
            unsafe { capture::refuse(driver, raw, OPERATION) }?;
            let _relaxed = Relaxed::enter(driver, OPERATION)?;
            let mut id = 0;
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs;
            // `id` is a place for the number.
            driver.check(unsafe { stream_id(raw, &mut id) }, OPERATION, "hipStreamGetId")?;
            Ok(id)
        })
    }

    /// As [`Stream::capture_status`].
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream, which itself is never captured,
    /// while a stream is that it synchronises with: then it cannot be used, and the runtime does
    /// not say more.
    fn capture_status(&self) -> Result<CaptureStatus, HipError> {
        const OPERATION: &str = "Stream::capture_status";
        self.ask(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs.
            unsafe { capture::status(driver, raw, OPERATION) }
        })
    }

    /// As [`Stream::launch_host_func`].
    ///
    /// A panic of the closure ends in it: it does not reach the runtime, what the closure held is
    /// dropped, and work behind it runs, since the runtime knows nothing of it. But from then on
    /// every call on this stream says [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) with the panic's
    /// message. Since HIP 7.2 streams have ids, and every wrapper of the stream says so; before,
    /// only the wrapper that the function was launched through, and its clones.
    ///
    /// Inside the closure `synchronize` is refused, and streams and events may be dropped: they are
    /// destroyed a little later, on another thread.
    ///
    /// A closure whose launch is an error is dropped and does not run any more. If the runtime took
    /// it in spite of what it answered, it may have run by then.
    ///
    /// # Errors
    /// Beside those, [`Capturing`](gpu_stream_core::ErrorKind::Capturing) on a stream that is captured: a graph may
    /// be launched many times, and the closure runs once.
    fn launch_host_func(&self, func: HostFunc) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::launch_host_func";
        self.check_fault(OPERATION)?;
        self.ask(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs.
            unsafe { capture::refuse(driver, raw, OPERATION) }
        })?;
        let job = Job::new(func, self.faults.key(|| self.id_if_any()));
        let launched = self.ask(OPERATION, |driver, raw| {
            let symbols = &driver.symbols;
            let launched = symbols.launch_host_func.function.map(|launch| {
                // SAFETY: as above. The function takes a share of the job, and the runtime calls it
                // once, since it is no part of a graph.
                unsafe { launch(raw, host_func::run, job.share()) }
            });
            let (code, function) = match launched {
                Some(code) if code != HipCode::NOT_SUPPORTED => {
                    (code, symbols.launch_host_func.name)
                }
                // The function is missing, or is there and does nothing.
                missing => {
                    driver.ignore(missing.unwrap_or(HipCode::SUCCESS));
                    // SAFETY: as above. Flags must be 0, and are.
                    let code = unsafe {
                        (symbols.add_callback)(raw, host_func::run_callback, job.share(), 0)
                    };
                    (code, "hipStreamAddCallback")
                }
            };
            driver.check(code, OPERATION, function)
        });
        if launched.is_err() {
            job.cancel();
        }
        launched
    }
}

/// Blocks until all work of the stream is done. Other threads' calls on the stream go on meanwhile.
///
/// # Safety
/// `stream` is alive, or 0 or 2 with its device current; it is of the device `ordinal`.
pub(crate) unsafe fn finish(
    driver: &'static Driver,
    stream: Ptr,
    ordinal: u32,
    operation: &'static str,
) -> Result<(), HipError> {
    // SAFETY: the caller promises the same.
    let mark = unsafe { mark(driver, stream, ordinal, operation) }?;
    let _relaxed = relaxed_for_events(driver, operation)?;
    event::poll(false, || {
        if driver.query_breaks_captures {
            // One may have begun since.
            // SAFETY: the caller promises the same.
            unsafe { capture::refuse(driver, stream, operation) }?;
        }
        mark.is_mark_passed(driver, operation)
    })
}

/// Whether all work of the stream is done.
///
/// # Safety
/// As [`finish`].
#[inline]
pub(crate) unsafe fn is_idle(
    driver: &'static Driver,
    stream: Ptr,
    ordinal: u32,
    operation: &'static str,
) -> Result<bool, HipError> {
    let code = {
        let needed = driver.unsafe_calls.stream_query;
        let _relaxed = Relaxed::enter_if(needed, driver, operation)?;
        // SAFETY: the caller promises the stream.
        let code = unsafe { (driver.symbols.stream_query)(stream) };
        driver.ignore(code);
        code
    };
    match code {
        HipCode::SUCCESS => Ok(true),
        HipCode::NOT_READY => Ok(false),
        // HIP 5.7 refuses it beside a capture of another stream, in whichever mode the thread is,
        // and takes the question for an event.
        HipCode::CAPTURE_UNSUPPORTED => {
            // SAFETY: the caller promises the same.
            let mark = unsafe { mark(driver, stream, ordinal, operation) }?;
            let _relaxed = relaxed_for_events(driver, operation)?;
            mark.is_mark_passed(driver, operation)
        }
        code => Err(HipError::Driver { operation, function: "hipStreamQuery", code }),
    }
}

fn relaxed_for_events(
    driver: &'static Driver,
    operation: &'static str,
) -> Result<Relaxed, HipError> {
    Relaxed::enter_if(driver.unsafe_calls.event_query, driver, operation)
}

/// An event that stands for all work of the stream so far, for questions while the stream is alive.
/// Nobody else has it, and it goes back to the pool.
///
/// # Safety
/// As [`finish`].
unsafe fn mark(
    driver: &'static Driver,
    stream: Ptr,
    ordinal: u32,
    operation: &'static str,
) -> Result<HipEvent, HipError> {
    let mark = HipEvent::for_record(driver, ordinal, operation)?;
    mark.with(|state| {
        // SAFETY: the caller promises the stream; the event is alive, and of its device.
        let code = unsafe { (driver.symbols.event_record)(state.raw.as_ptr(), stream) };
        driver.check(code, operation, "hipEventRecord")?;
        // Somebody may have begun a capture since the caller looked, and the mark be a part of it,
        // which stands for no work.
        // SAFETY: as above.
        let captured = unsafe { capture::refuse(driver, stream, operation) };
        match &captured {
            Ok(()) => {}
            Err(HipError::Capturing { .. }) => state.taken_by_a_capture(driver),
            // The runtime does not say.
            Err(_) => state.for_the_pool = false,
        }
        captured
    })?;
    Ok(mark)
}

impl Drop for HipStream {
    #[inline]
    fn drop(&mut self) {
        // The last share in an owner runs code of a user, who may destroy the stream.
        if let Keeper::Owner(owner) = &mut self.keeper
            && owner.is_owned()
            && host_func::is_inside()
        {
            let owner = std::mem::take(owner);
            host_func::outside(move || drop(owner));
        }
    }
}

/// Equal if the device and the handle are.
impl PartialEq for HipStream {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

impl Eq for HipStream {}

impl Hash for HipStream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.device, self.raw).hash(state);
    }
}

impl std::fmt::Debug for HipStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("HipStream");
        text.field("raw", &self.raw).field("device", &self.device());
        match &self.keeper {
            Keeper::Owner(owner) => text.field("owner", owner),
            Keeper::Thread(_) => text.field("owner", &"the thread"),
        };
        text.finish()
    }
}
