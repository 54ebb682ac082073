//! A stream of the HIP runtime: [`HipStream`].

mod idle;
mod record;
mod wait;
mod wrap;

use std::hash::{Hash, Hasher};

use gpu_stream_core::{
    BackendKind, CaptureStatus, ContractError, Device, Error, ErrorKind, EventOptions, HandleKind,
    HostFunc, RawStream, Stream, StreamOptions,
};
use gpu_stream_driver_common::{Seen, StreamKey};

use crate::call::public_call;
use crate::driver::capture::{self, CaptureModeGuard};
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{DeviceGuard, Driver, driver, loaded, require};
use crate::host_func::{self, HOST_FUNCS, PANICS};
use crate::owned_event::StreamKeepAlive;
use crate::{Hip, HipError, HipEvent, ordering, thread_exit};

pub(crate) use self::idle::{finish, is_idle, record_marker};
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
    keeper: StreamKeepAlive,
    /// What panics are found by, where the runtime has no ids: shared with the clones. 0 where it has.
    number: u64,
    /// Up to which panic of the process this stream was found to have none.
    seen: Seen,
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
        self.call(|| HipEvent::new(driver()?, self.device, options, "HipStream::new_event"))
    }

    /// Runs the body of a public call.
    #[inline]
    fn call<T>(&self, body: impl FnOnce() -> Result<T, HipError>) -> Result<T, HipError> {
        public_call(|| body().map_err(|error| self.after(error)))
    }

    /// Drops the closures that can no longer run after `error`, and says what it means for this stream.
    #[cold]
    fn after(&self, error: HipError) -> HipError {
        let is_owned = self.keeper.is_owner() && self.raw.kind() == HandleKind::Explicit;
        let error = if is_owned { error.of_owned_stream(self.raw) } else { error };
        if host_func::is_inside() {
            return error;
        }
        let (device, handle) = self.place_of_panics();
        match (&error, error.kind()) {
            (HipError::HostFunctionPanicked { .. }, _) => {
                HOST_FUNCS.cancel(|stream| PANICS.has(stream));
            }
            (HipError::Driver { .. }, ErrorKind::StreamFault) if self.is_broken() => {
                HOST_FUNCS.cancel(|stream| stream.scope == device);
            }
            (_, ErrorKind::ContextDestroyed) if self.is_gone() => {
                HOST_FUNCS.cancel(|stream| (stream.scope, stream.handle) == (device, handle));
            }
            _ => {}
        }
        error
    }

    /// Returns an error if the stream has an owner, and a reset of the device has freed it all the same.
    ///
    /// # Safety
    /// As [`Driver::ensure_known`].
    #[inline]
    unsafe fn ensure_known(
        &self,
        driver: &'static Driver,
        raw: Ptr,
        operation: &'static str,
    ) -> Result<(), HipError> {
        if !driver.quirks.follows_stale || !self.keeper.is_owner() {
            return Ok(());
        }
        if self.raw.kind() != HandleKind::Explicit {
            return Ok(());
        }
        // SAFETY: the caller promises the same.
        unsafe { driver.ensure_known(raw, operation) }
    }

    /// Returns `true` if the runtime does not know the stream when it is asked again.
    fn is_gone(&self) -> bool {
        const OPERATION: &str = "Stream::capture_status";
        let again = self.with_current(OPERATION, |driver, raw| {
            // SAFETY: the handle was a stream; the runtime looks it up for these questions.
            unsafe {
                self.ensure_known(driver, raw, OPERATION)?;
                capture::status(driver, raw, OPERATION)
            }
        });
        again.is_err()
    }

    /// Returns `true` if the runtime still reports a fault of the device when it is asked again: the
    /// code of one call may be about that call alone.
    fn is_broken(&self) -> bool {
        const OPERATION: &str = "Stream::query";
        let again = self.with_current(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
            unsafe {
                capture::ensure_not_capturing(driver, raw, OPERATION)?;
                is_idle(driver, raw, self.device, OPERATION)
            }
        });
        again.is_err_and(|error| error.kind() == ErrorKind::StreamFault)
    }

    /// Calls `ask` with what it needs current.
    ///
    /// Explicit handles need nothing; the default ones need their device.
    #[inline]
    fn with_current<T>(
        &self,
        operation: &'static str,
        ask: impl FnOnce(&'static Driver, Ptr) -> Result<T, HipError>,
    ) -> Result<T, HipError> {
        let (driver, raw) = (driver()?, self.raw.as_ptr());
        let kind = self.raw.kind();
        if kind == HandleKind::PerThread {
            // First: what HIP has of the thread may be gone.
            thread_exit::ensure_thread_alive(operation)?;
        }
        if kind == HandleKind::Explicit {
            return ask(driver, raw);
        }
        let _current = DeviceGuard::enter(driver, self.device, operation)?;
        ask(driver, raw)
    }

    /// An error for the default stream beside a captured stream that it synchronises with: there,
    /// whatever names it would break the capture. Asks nothing of other streams.
    ///
    /// # Safety
    /// As [`capture::status`].
    #[inline]
    unsafe fn ensure_default_not_capturing(
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
    pub(crate) fn fast_driver(&self) -> Option<&'static Driver> {
        if self.raw.kind() == HandleKind::Explicit && PANICS.is_clean(&self.seen) {
            loaded()
        } else {
            None
        }
    }

    /// As [`fast_driver`](Self::fast_driver), if it is not captured either.
    #[inline]
    pub(crate) fn try_source_fast(&self) -> Option<&'static Driver> {
        let driver = self.fast_driver()?;
        // SAFETY: the stream is alive.
        if unsafe { capture::may_be_capturing(driver, self.raw.as_ptr()) } {
            None
        } else {
            Some(driver)
        }
    }

    /// Returns the stream's id, if the runtime has ids and tells it.
    fn id_if_any(&self) -> Option<u64> {
        if self.number != 0 { None } else { self.ask_id("Stream::id").ok() }
    }

    /// Returns what closures and panics of the stream are found by.
    fn place_of_panics(&self) -> (usize, usize) {
        let of_stream = if self.number != 0 { self.number as usize } else { self.bits() };
        (self.device as usize, of_stream)
    }

    /// Returns an error if a host function of the stream panicked.
    #[inline]
    fn check_fault(&self, operation: &'static str) -> Result<(), HipError> {
        match PANICS.check(&self.seen, self.place_of_panics(), || self.id_if_any()) {
            None => Ok(()),
            Some(message) => Err(HipError::HostFunctionPanicked { operation, message }),
        }
    }

    fn ask_id(&self, operation: &'static str) -> Result<u64, HipError> {
        let stream_id = require(driver()?.symbols.stream_id, operation)?;
        self.with_current(operation, |driver, raw| {
            // SAFETY: `with_current` has made current what a default stream needs.
            unsafe { capture::ensure_not_capturing(driver, raw, operation) }?;
            let _relaxed = CaptureModeGuard::enter(driver, operation)?;
            let mut id = 0;
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs;
            // `&mut id` is a valid out-pointer.
            driver.check(unsafe { stream_id(raw, &mut id) }, operation, "hipStreamGetId")?;
            Ok(id)
        })
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
        self.call(|| {
            let done = self.with_current(OPERATION, |driver, raw| {
                // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
                unsafe {
                    self.ensure_known(driver, raw, OPERATION)?;
                    capture::ensure_not_capturing(driver, raw, OPERATION)?;
                    is_idle(driver, raw, self.device, OPERATION)
                }
            })?;
            self.check_fault(OPERATION)?;
            Ok(done)
        })
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
        host_func::ensure_outside_host_func(OPERATION)?;
        self.call(|| {
            self.with_current(OPERATION, |driver, raw| {
                // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
                unsafe {
                    self.ensure_known(driver, raw, OPERATION)?;
                    capture::ensure_not_capturing(driver, raw, OPERATION)?;
                    // An idle stream needs no record, which would be work that the device has to do.
                    if is_idle(driver, raw, self.device, OPERATION)? {
                        return Ok(());
                    }
                    finish(driver, raw, self.device, OPERATION)
                }
            })?;
            self.check_fault(OPERATION)
        })
    }

    /// As [`Stream::record`]. On a stream that is captured, the event becomes a node of the graph.
    #[inline]
    fn record(&self, event: &HipEvent) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::record";
        self.call(|| match self.try_record_fast(event, OPERATION) {
            Some(outcome) => outcome,
            None => self.record_slow(event, OPERATION),
        })
    }

    #[inline]
    fn record_event(&self) -> Result<HipEvent, HipError> {
        const OPERATION: &str = "Stream::record_event";
        self.call(|| match self.try_record_event_fast(OPERATION) {
            Some(outcome) => outcome,
            None => self.record_event_slow(OPERATION),
        })
    }

    fn new_event(&self, options: EventOptions) -> Result<HipEvent, HipError> {
        self.call(|| HipEvent::new(driver()?, self.device, options, "Stream::new_event"))
    }

    fn new_stream(&self, options: StreamOptions) -> Result<HipStream, HipError> {
        self.call(|| new_stream(self.device(), options, "Stream::new_stream"))
    }

    /// As [`Stream::wait_event`].
    ///
    /// # Errors
    /// Beside those, [`Capturing`](gpu_stream_core::ErrorKind::Capturing) if this stream is captured,
    /// and the event's record is not of the same capture. HIP itself answers with success, and the
    /// order is in no graph.
    #[inline]
    fn wait_event(&self, event: &HipEvent) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::wait_event";
        self.call(|| match self.try_wait_fast(event, OPERATION) {
            Some(outcome) => outcome,
            None => self.wait_event_slow(event, OPERATION),
        })
    }

    /// As [`Stream::wait_stream`]. Threads that wait for one stream at the same moment may share a
    /// record of it, which is made after all of them have called.
    #[inline]
    fn wait_stream<O: Stream<Backend = Hip>>(&self, other: &O) -> Result<(), HipError> {
        self.call(|| match ordering::downcast(other) {
            Some(other) => ordering::wait_stream(self, other),
            // Something laid over a stream, which has its own way to record.
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
        self.call(|| {
            let mut fork = ordering::Fork::of(self);
            for branch in branches {
                let next = match ordering::downcast(branch) {
                    Some(branch) => fork.wait_own_type(branch),
                    None => fork.wait_wrapped_type(branch),
                };
                if next.is_break() {
                    break;
                }
            }
            fork.outcome
        })
    }

    #[inline]
    fn join<'a, I, O>(&self, branches: I) -> Result<(), HipError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Hip>,
    {
        self.call(|| {
            let (mut scratch, mut outcome) = (ordering::ScratchEvent::new(), Ok(()));
            for branch in branches {
                let joined = match ordering::downcast(branch) {
                    Some(branch) => scratch.join(self, branch),
                    None => self.wait_stream(branch),
                };
                ordering::keep_first(&mut outcome, joined);
            }
            outcome
        })
    }

    /// As [`Stream::priority`].
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream while a stream is captured that
    /// it synchronises with.
    fn priority(&self) -> Result<i32, HipError> {
        const OPERATION: &str = "Stream::priority";
        let ask = |driver: &'static Driver, raw| {
            // SAFETY: `with_current` has made current what a default stream needs.
            unsafe { self.ensure_default_not_capturing(driver, raw, OPERATION) }?;
            let _relaxed = CaptureModeGuard::enter(driver, OPERATION)?;
            let mut priority = 0;
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs;
            // `&mut priority` is a valid out-pointer.
            let code = unsafe { (driver.symbols.stream_priority)(raw, &mut priority) };
            driver.check(code, OPERATION, "hipStreamGetPriority")?;
            Ok(priority)
        };
        self.call(|| self.with_current(OPERATION, ask))
    }

    /// As [`Stream::is_blocking`].
    ///
    /// # Errors
    /// As there.
    fn is_blocking(&self) -> Result<bool, HipError> {
        const OPERATION: &str = "Stream::is_blocking";
        let ask = |driver: &'static Driver, raw| {
            let get = require(driver.symbols.stream_flags, OPERATION)?;
            let _relaxed = CaptureModeGuard::enter(driver, OPERATION)?;
            let mut flags = 0;
            // SAFETY: the stream is alive, and `with_current` has made current what a thread's own one needs;
            // `&mut flags` is a valid out-pointer.
            let code = unsafe { get(raw, &mut flags) };
            driver.check(code, OPERATION, "hipStreamGetFlags")?;
            Ok(flags & wrap::NON_BLOCKING == 0)
        };
        self.call(|| match self.raw.kind() {
            // The stream that the others block for. HIP may break a capture beside it for an answer.
            HandleKind::Default => driver().map(|_| true),
            _ => self.with_current(OPERATION, ask),
        })
    }

    /// As [`Stream::id`]. Needs HIP 7.2 or newer.
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the stream is captured, and for the default stream
    /// while a stream is that it synchronises with.
    fn id(&self) -> Result<u64, HipError> {
        self.call(|| self.ask_id("Stream::id"))
    }

    /// As [`Stream::capture_status`].
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream, which itself is never captured,
    /// while a stream is that it synchronises with: then it cannot be used, and the runtime does
    /// not say more.
    fn capture_status(&self) -> Result<CaptureStatus, HipError> {
        const OPERATION: &str = "Stream::capture_status";
        self.call(|| {
            self.with_current(OPERATION, |driver, raw| {
                // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
                unsafe { capture::status(driver, raw, OPERATION) }
            })
        })
    }

    /// As [`Stream::launch_host_func`].
    ///
    /// A panic of the closure ends in it: it does not reach the runtime, and what the closure held is
    /// dropped. Device work behind it runs, since the runtime knows nothing of the panic; closures
    /// behind it are dropped unrun. From then on every call on this stream says
    /// [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) with the panic's message. Since HIP 7.2
    /// streams have ids, and every wrapper of the stream says so; before, only the wrapper that the
    /// function was launched through, and its clones.
    ///
    /// Inside the closure `synchronize` is refused, and streams and events may be dropped: they are
    /// destroyed at the end of the next call of this crate.
    ///
    /// The runtime is given a key, and never a pointer: if another thread begins a capture of the
    /// stream during the call, the graph has a node that runs the closure once and then does nothing.
    ///
    /// # Errors
    /// Beside those, [`Capturing`](gpu_stream_core::ErrorKind::Capturing) on a stream that is captured: a graph may
    /// be launched many times, and the closure runs once.
    fn launch_host_func(&self, func: HostFunc) -> Result<(), HipError> {
        const OPERATION: &str = "Stream::launch_host_func";
        self.call(|| {
            self.check_fault(OPERATION)?;
            let status = self.with_current(OPERATION, |driver, raw| {
                // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
                unsafe { capture::status(driver, raw, OPERATION) }
            })?;
            if status != CaptureStatus::None {
                let (operation, bits) = (OPERATION, self.bits());
                return Err(ContractError::CaptureHostFunc { operation, bits }.into());
            }
            let (scope, handle) = self.place_of_panics();
            // An id that is not told now would hide an earlier panic.
            let id = match self.number {
                0 => match self.ask_id(OPERATION) {
                    Err(error) if error.kind() == ErrorKind::Unsupported => None,
                    told => Some(told?),
                },
                _ => None,
            };
            let key = StreamKey { scope, handle, id };
            HOST_FUNCS.launch(func, key, |user_data| {
                self.with_current(OPERATION, |driver, raw| {
                    let symbols = &driver.symbols;
                    let launched = symbols.launch_host_func.function.map(|launch| {
                        // SAFETY: the stream is alive, and `with_current` has made current what a default one
                        // needs. The function takes any user data, and any number of calls.
                        unsafe { launch(raw, host_func::run, user_data) }
                    });
                    let (code, function) = match launched {
                        Some(code) if code != HipCode::NOT_SUPPORTED => {
                            (code, symbols.launch_host_func.name)
                        }
                        // The function is missing, or is there and does nothing.
                        missing => {
                            driver.discard(missing.unwrap_or(HipCode::SUCCESS));
                            // SAFETY: as above. Flags must be 0, and are.
                            let code = unsafe {
                                (symbols.add_callback)(raw, host_func::run_callback, user_data, 0)
                            };
                            (code, "hipStreamAddCallback")
                        }
                    };
                    driver.check(code, OPERATION, function)?;
                    if cuts_chain(user_data) {
                        // SAFETY: as above. A failure is about the marker alone: the closure is
                        // launched.
                        drop(unsafe { record_marker(driver, raw, self.device, OPERATION) });
                    }
                    Ok(())
                })
            })
        })
    }
}

/// Returns `true` for one closure of 64, by its key: an event is recorded after it.
///
/// The runtime keeps each host function of a stream with the one before it until an event is recorded, or
/// `hipStreamSynchronize` is called, and releases them recursively: tens of thousands overflow the stack
/// of its thread. Keys count up. Multiplied by the golden ratio, those of one stream fall evenly,
/// however many streams share them.
fn cuts_chain(key: *mut std::ffi::c_void) -> bool {
    const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
    (key.addr() as u64).wrapping_mul(GOLDEN_RATIO) >> 58 == 0
}

impl Drop for HipStream {
    #[inline]
    fn drop(&mut self) {
        // The last share in an owner runs code of a user, who may destroy the stream.
        if let StreamKeepAlive::Owner(owner) = &mut self.keeper
            && owner.is_owned()
        {
            host_func::drop_owner(std::mem::take(owner));
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
            StreamKeepAlive::Owner(owner) => text.field("owner", owner),
            StreamKeepAlive::PerThread(_) => text.field("owner", &"the thread"),
        };
        text.finish()
    }
}
