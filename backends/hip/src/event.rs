//! A place in a HIP stream's work: [`HipEvent`].

use std::ffi::c_uint;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gpu_stream_core::{
    BackendKind, CaptureStatus, ContractError, Device, Event, EventOptions, EventStatus,
    HandleKind, RawEvent, RawStream,
};

use crate::driver::capture::{self, Relaxed};
use crate::driver::code::HipCode;
use crate::driver::standing;
use crate::driver::symbols::Ptr;
use crate::driver::{Current, DeviceEntry, Driver, driver};
use crate::slot::{Keeper, Old, Record, State};
use crate::{Hip, HipError, host_func, stream, thread_end};

/// `hipEventBlockingSync`.
pub(crate) const BLOCKING: c_uint = 1;
/// `hipEventDisableTiming`.
pub(crate) const DISABLE_TIMING: c_uint = 2;
/// `hipEventInterprocess`.
pub(crate) const INTERPROCESS: c_uint = 4;

/// An event of the HIP backend: a `hipEvent_t`.
///
/// It belongs to the device that it was made for, and only streams of that device can record it.
///
/// HIP's events refer to the stream that they were recorded on, and a call for one may follow that
/// pointer. So an event shares the stream's owner from the record on, until it is recorded
/// elsewhere or dropped. Of a thread's default stream, which ends with the thread, the events are
/// complete from then on: the end of the thread waits for the stream's work, if such an event is
/// still there. Only [`elapsed_since`](Event::elapsed_since) cannot be answered after that.
///
/// An event that was recorded on a stream under capture stands for a node of the graph and not for
/// work: until it is recorded outside, `status`, `query` and `synchronize` answer
/// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the capture goes on, and
/// [`InvalidEvent`](gpu_stream_core::ErrorKind::InvalidEvent) after that. What another library does
/// with the [`raw`](Event::raw) handle is not seen here: if it records the event, it has to keep
/// that stream alive as long as the event is used.
///
/// Threads that record one event at the same time, one inside a capture and one outside, may get
/// the answers of either.
pub struct HipEvent {
    device: u32,
    options: EventOptions,
    place: Mutex<Place>,
}

/// What an event is at the moment.
#[derive(Debug)]
struct Place {
    state: State,
    /// What those share who synchronize, and wait for the current record.
    pin: Option<Arc<Pin>>,
}

/// Where those who synchronize find what they wait for: still in the event, or, if that was
/// recorded anew since they began, in here.
#[derive(Debug, Default)]
struct Pin(Mutex<Option<State>>);

impl Pin {
    fn moved(&self) -> MutexGuard<'_, Option<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether somebody synchronizes.
    #[inline]
    fn is_waited_for(&mut self) -> bool {
        self.pin.as_mut().is_some_and(|pin| Arc::get_mut(pin).is_none())
    }

    /// Moves what those wait for who synchronize to where they find it, and returns our share in
    /// that.
    fn unpin(&mut self, state: State) -> Option<Arc<Pin>> {
        let pin = self.pin.take()?;
        *pin.moved() = Some(state);
        Some(pin)
    }
}

/// What a record has made needless. To be dropped where code of a user may run: it may let an owner
/// go.
#[must_use = "to be dropped where code of a user may run"]
#[derive(Debug, Default)]
#[allow(dead_code, reason = "it is there to be dropped")]
pub(crate) struct Left {
    old: Old,
    unused: Option<State>,
    pin: Option<Arc<Pin>>,
}

impl HipEvent {
    /// A new event of the device with this ordinal.
    pub(crate) fn new(
        driver: &'static Driver,
        device: u32,
        options: EventOptions,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        host_func::clear();
        let raw = create(driver, device, options, operation)?;
        // Not for the pool: those who make events and drop them would fill it.
        Ok(Self::of(State::new(raw, device, options, false), device, options))
    }

    /// An event for one record, which must follow before anybody else sees it.
    pub(crate) fn for_record(
        driver: &'static Driver,
        device: u32,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let state = state_for_record(driver, device, EventOptions::new(), operation)?;
        Ok(Self::of(state, device, EventOptions::new()))
    }

    /// An event that nobody uses at the moment, recorded on a stream that is not captured. `None` if
    /// there is none. `entry` is that of the device.
    #[inline]
    pub(crate) fn recorded(
        (entry, device): (&DeviceEntry, u32),
        on: (RawStream<Hip>, &Keeper),
        record: impl FnOnce(Ptr) -> HipCode,
        captured: impl FnOnce() -> Option<Option<u64>>,
    ) -> Option<(HipCode, Self)> {
        let mut state = State::new(entry.events.take()?, device, EventOptions::new(), true);
        let code = record(state.raw.as_ptr());
        if code == HipCode::SUCCESS {
            let (stream, keeper) = (on.0, on.1.clone());
            state.last = Some(Record { stream, keeper, captured: captured() });
            state.for_the_pool = !state.is_captured();
        }
        Some((code, Self::of(state, device, EventOptions::new())))
    }

    /// An event of another process, opened for the device.
    pub(crate) fn opened(raw: RawEvent<Hip>, device: u32, options: EventOptions) -> Self {
        let mut state = State::new(raw, device, options, false);
        // When and where it was recorded is not known; nothing of this process is to be kept.
        let (stream, keeper) = (RawStream::DEFAULT, Keeper::Owner(Default::default()));
        state.last = Some(Record { stream, keeper, captured: None });
        state.given_out = true;
        Self::of(state, device, options)
    }

    #[inline]
    fn of(state: State, device: u32, options: EventOptions) -> Self {
        HipEvent { device, options, place: Mutex::new(Place { state, pin: None }) }
    }

    /// The ordinal of the event's device.
    #[inline]
    pub(crate) fn ordinal(&self) -> u32 {
        self.device
    }

    #[inline]
    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `call` with what the event is at the moment. No record comes in between.
    #[inline]
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut State) -> T) -> T {
        call(&mut self.place().state)
    }

    /// As [`record_by`](Self::record_by), on a stream that was not captured a moment ago; `captured`
    /// is asked after the record. `None`, and nothing was asked, if this one needs more care:
    /// somebody synchronizes, or a capture has the event.
    #[inline]
    pub(crate) fn quick_record(
        &self,
        on: (RawStream<Hip>, &Keeper),
        record: impl FnOnce(Ptr) -> HipCode,
        captured: impl FnOnce() -> Option<Option<u64>>,
    ) -> Option<(HipCode, Option<Old>)> {
        let mut place = self.place();
        if place.is_waited_for() || place.state.is_captured() {
            return None;
        }
        let code = record(place.state.raw.as_ptr());
        if code != HipCode::SUCCESS {
            place.state.not_recorded(on.1);
            return Some((code, None));
        }
        let captured = captured();
        if captured.is_none() {
            return Some((code, place.state.recorded_outside(on.0, on.1)));
        }
        let record = Record { stream: on.0, keeper: on.1.clone(), captured };
        Some((code, Some(place.state.recorded(record))))
    }

    /// Records on a stream of the event's device: `record` asks the runtime, and `captured` is
    /// asked before and after that, in which capture the stream is, if in one. What is returned
    /// beside the outcome is to be dropped outside of all guards.
    pub(crate) fn record_by(
        &self,
        driver: &'static Driver,
        on: (RawStream<Hip>, &Keeper),
        operation: &'static str,
        captured: impl Fn() -> Result<Option<Option<u64>>, HipError>,
        record: impl FnOnce(Ptr) -> HipCode,
    ) -> (Result<(), HipError>, Left) {
        let place = &mut *self.place();
        let before = match captured() {
            Ok(before) => before,
            Err(error) => return (Err(error), Default::default()),
        };
        let make = |state: &mut State| {
            let code = record(state.raw.as_ptr());
            if let Err(error) = driver.check(code, operation, "hipEventRecord") {
                state.not_recorded(on.1);
                return (Err(error), Old::default());
            }
            // Asked again: a capture that began or ended in between counts as well. If the runtime
            // does not say, once more, and then none did.
            let behind = || captured().or_else(|_| captured()).unwrap_or(None);
            let captured = before.or_else(behind);
            (Ok(()), state.recorded(Record { stream: on.0, keeper: on.1.clone(), captured }))
        };
        let (waited_for, leaves) = (place.is_waited_for(), place.state.is_captured());
        if leaves && before.is_none() && place.state.given_out && driver.captures_keep_recorded {
            // The handle has to stay, and who waits for it would be drawn into that capture.
            let error = self.capture_error(driver, &place.state, operation);
            if let Some(error @ HipError::Capturing { .. }) = error {
                return (Err(error), Left::default());
            }
        }
        // As good as always: nobody synchronizes.
        if !waited_for && (!leaves || place.state.given_out) {
            let (outcome, old) = make(&mut place.state);
            return (outcome, Left { old, ..Left::default() });
        }
        // Who synchronizes waits for the record that was there when it began, and keeps it; and a
        // capture has pointers to the events that were recorded in it.
        if place.state.given_out {
            let pin = match self.leave_a_mark(driver, &place.state, operation) {
                Ok(mark) => place.unpin(mark),
                Err(error) => return (Err(error), Left::default()),
            };
            let (outcome, old) = make(&mut place.state);
            return (outcome, Left { old, pin, unused: None });
        }
        let mut fresh = match state_for_record(driver, self.device, self.options, operation) {
            Ok(fresh) => fresh,
            Err(error) => return (Err(error), Left::default()),
        };
        let (outcome, old) = make(&mut fresh);
        if outcome.is_err() {
            return (outcome, Left { old, unused: Some(fresh), pin: None });
        }
        let before = std::mem::replace(&mut place.state, fresh);
        if !waited_for {
            return (outcome, Left { old, unused: Some(before), pin: None });
        }
        let pin = place.unpin(before);
        (outcome, Left { old, pin, unused: None })
    }

    /// Gives those who synchronize an event of their own that stands for the last record, since the
    /// handle, which others have, is to be recorded again.
    ///
    /// HIP has no copy of an event. So a stream waits for it, and the mark is made on that; the
    /// stream is put aside until it is idle, which is when the record is done.
    #[cold]
    fn leave_a_mark(
        &self,
        driver: &'static Driver,
        state: &State,
        operation: &'static str,
    ) -> Result<State, HipError> {
        let (stream, owner) = stream::create(driver, self.device, 0, operation)?;
        let raw = create(driver, self.device, EventOptions::new(), operation)?;
        // Destroyed wherever it is dropped.
        let mut mark = State::new(raw, self.device, self.options, false);
        // If we made none, others who have the handle may have made one.
        let is_ordinary = state.last.as_ref().is_none_or(|last| last.captured.is_none());
        let wait = || {
            let symbols = &driver.symbols;
            // SAFETY: both are alive, and so is what the event points to. Flags are 0.
            let code =
                unsafe { (symbols.stream_wait_event)(stream.as_ptr(), state.raw.as_ptr(), 0) };
            driver.check(code, operation, "hipStreamWaitEvent")?;
            // SAFETY: both are alive, and of one device.
            let code = unsafe { (symbols.event_record)(raw.as_ptr(), stream.as_ptr()) };
            driver.check(code, operation, "hipEventRecord")
        };
        // Of a record in a capture, or of a thread that has ended, the runtime is not asked.
        match if is_ordinary { state.visit(wait).ok() } else { None } {
            Some(outcome) => {
                outcome?;
                let keeper = Keeper::Owner(owner);
                mark.last = Some(Record { stream, keeper, captured: None });
            }
            None => mark.copy(state),
        }
        Ok(mark)
    }

    /// Whether the stream is another thread's own, which cannot be named on this one.
    fn is_elsewhere(&self, keeper: &Keeper) -> bool {
        match keeper {
            Keeper::Owner(_) => false,
            Keeper::Thread(life) => !thread_end::is_mine(self.device, life),
        }
    }

    /// Why the event cannot be asked, if its last record was made in a capture.
    #[cold]
    fn capture_error(
        &self,
        driver: &'static Driver,
        state: &State,
        operation: &'static str,
    ) -> Option<HipError> {
        let Record { stream, keeper, captured } = state.last.as_ref()?;
        let id = (*captured)?;
        let now = || {
            let _current = Current::enter(driver, self.device, operation).ok()?;
            // SAFETY: the record keeps the stream alive, and its device is current.
            unsafe { capture::id(driver, stream.as_ptr()) }
        };
        // Handle 2 means another stream on another thread; there, the capture is taken to be over.
        let now = if self.is_elsewhere(keeper) { None } else { now() };
        Some(if now.is_some() && now == id {
            let what = "the stream that the event was last recorded on";
            HipError::Capturing { operation, what }
        } else {
            HipError::CapturedEvent { operation }
        })
    }

    /// An error if the event was last recorded in a capture that is over. To wait for one that goes
    /// on is how another stream is drawn into the capture.
    pub(crate) fn refuse_stale(
        &self,
        driver: &'static Driver,
        state: &State,
        operation: &'static str,
    ) -> Result<(), HipError> {
        match self.capture_error(driver, state, operation) {
            Some(stale @ HipError::CapturedEvent { .. }) => Err(stale),
            _ => Ok(()),
        }
    }

    /// An error if the stream of the last record is being captured now, where the question would
    /// break that capture.
    fn refuse_beside(
        &self,
        driver: &'static Driver,
        state: &State,
        operation: &'static str,
    ) -> Result<(), HipError> {
        let Some(Record { stream, keeper, .. }) = &state.last else { return Ok(()) };
        let _current = match stream.kind() {
            HandleKind::Default => return Ok(()),
            HandleKind::PerThread if self.is_elsewhere(keeper) => return Ok(()),
            HandleKind::PerThread => Some(Current::enter(driver, self.device, operation)?),
            HandleKind::Explicit => None,
        };
        // SAFETY: the record keeps the stream alive, and the device is current if it is a thread's.
        match unsafe { capture::status(driver, stream.as_ptr(), operation) }? {
            CaptureStatus::None => Ok(()),
            _ => Err(refused(
                state.is_captured(),
                HipCode::CAPTURED_EVENT,
                operation,
                "hipEventQuery",
            )),
        }
    }

    /// The runtime's answer, if it can be had without harm. What the event points to is alive, and
    /// its last record was made outside of captures.
    #[inline]
    fn ask(
        &self,
        driver: &'static Driver,
        state: &State,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if driver.query_breaks_captures {
            self.refuse_beside(driver, state, operation)?;
        }
        let needed = driver.unsafe_calls.event_query;
        let _relaxed = Relaxed::enter_if(needed, driver, operation)?;
        ask(driver, state, operation)
    }

    /// Whether the last record's work is done; if there was none, it is.
    #[inline]
    fn is_done(
        &self,
        driver: &'static Driver,
        state: &State,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if state.is_plain() {
            return self.ask(driver, state, operation);
        }
        self.is_done_with_care(driver, state, operation)
    }

    #[cold]
    fn is_done_with_care(
        &self,
        driver: &'static Driver,
        state: &State,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if let Some(error) = self.capture_error(driver, state, operation) {
            return Err(error);
        }
        let answer = state.visit(|| self.ask(driver, state, operation));
        answer.unwrap_or_else(|end| end.answer(operation).map(|()| true))
    }

    /// Whether the record is done that was there when `pin` was taken.
    fn is_pinned_done(
        &self,
        driver: &'static Driver,
        pin: &Pin,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        // Both, in this order, as who records: so nothing is moved in between.
        let place = self.place();
        let moved = pin.moved();
        let Some(state) = &*moved else { return self.is_done(driver, &place.state, operation) };
        drop(place);
        self.is_done(driver, state, operation)
    }

    /// Whether all work in front of a private mark is done, on a stream that is alive.
    pub(crate) fn is_mark_passed(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        self.with(|state| ask(driver, state, operation))
    }
}

/// The runtime's event, without anything of ours.
pub(crate) fn create(
    driver: &'static Driver,
    device: u32,
    options: EventOptions,
    operation: &'static str,
) -> Result<RawEvent<Hip>, HipError> {
    if options.is_interprocess() {
        driver.require_interprocess(operation)?;
    }
    let flag = |on: bool, flag: c_uint| if on { flag } else { 0 };
    let flags = driver.release
        | flag(options.is_blocking(), BLOCKING)
        | flag(!options.is_timed(), DISABLE_TIMING)
        | flag(options.is_interprocess(), INTERPROCESS);
    let _relaxed = Relaxed::enter(driver, operation)?;
    let _current = Current::enter(driver, device, operation)?;
    let mut event = std::ptr::null_mut();
    // SAFETY: `event` is a place for one event, the flags are those of the options, and the device
    // is current.
    let code = unsafe { (driver.symbols.event_create)(&mut event, flags) };
    driver.check(code, operation, "hipEventCreateWithFlags")?;
    Ok(RawEvent::from_ptr(event))
}

/// An event for a record, which must follow before anybody asks it: from the pool, if one is there.
fn state_for_record(
    driver: &'static Driver,
    device: u32,
    options: EventOptions,
    operation: &'static str,
) -> Result<State, HipError> {
    let entry = driver.entry(device).filter(|_| options == EventOptions::new());
    let raw = match entry.and_then(|entry| entry.events.take()) {
        Some(raw) => raw,
        None => create(driver, device, options, operation)?,
    };
    Ok(State::new(raw, device, options, true))
}

/// The runtime's answer. What the event points to is alive.
#[inline]
fn ask(driver: &'static Driver, state: &State, operation: &'static str) -> Result<bool, HipError> {
    // SAFETY: the event is alive: it is destroyed with the state.
    let code = unsafe { (driver.symbols.event_query)(state.raw.as_ptr()) };
    if code == HipCode::SUCCESS {
        return Ok(true);
    }
    driver.forget(code);
    match code {
        HipCode::NOT_READY => Ok(false),
        code => Err(refused(state.is_captured(), code, operation, "hipEventQuery")),
    }
}

/// The error for what the runtime said of an event.
#[cold]
pub(crate) fn refused(
    in_a_capture: bool,
    code: HipCode,
    operation: &'static str,
    function: &'static str,
) -> HipError {
    match code {
        // HIP does not tell a record from before a capture from one inside of it: while the stream
        // is captured, it answers for all of its events so, and the capture goes on.
        HipCode::CAPTURED_EVENT if !in_a_capture => {
            let what = "the stream that the event was last recorded on";
            HipError::Capturing { operation, what }
        }
        code => HipError::Driver { operation, function, code },
    }
}

// SAFETY: `status` says complete, and `synchronize` returns `Ok`, only if the runtime says success
// for the event, which stands for all work before its last record, or if it said so of all work of
// the stream when its thread ended; any other answer but "not ready" is an error. An event from the
// pool is recorded before anybody can ask it, so an old record is never asked. The runtime binds a
// wait to the record and holds what it needs of it, so destroying or recording the event again is
// sound at any time.
unsafe impl Event for HipEvent {
    type Backend = Hip;

    fn raw(&self) -> RawEvent<Hip> {
        self.with(|state| {
            state.given_out = true;
            state.raw
        })
    }

    #[inline]
    fn device(&self) -> Device {
        Device::new(BackendKind::Hip, self.device)
    }

    #[inline]
    fn options(&self) -> EventOptions {
        self.options
    }

    #[inline]
    fn status(&self) -> Result<EventStatus, HipError> {
        let driver = driver()?;
        self.with(|state| {
            let done = self.is_done(driver, state, "Event::status")?;
            Ok(match done {
                true if state.last.is_none() => EventStatus::Unrecorded,
                true => EventStatus::Complete,
                false => EventStatus::Pending,
            })
        })
    }

    /// As [`Event::synchronize`].
    ///
    /// It asks again and again, with pauses that grow to a tenth of a millisecond, or to one
    /// millisecond if the event was made with `blocking`. `hipEventSynchronize` would hold a lock
    /// meanwhile for which every other thread's query, wait and record of the event has to wait,
    /// and those do not block.
    ///
    /// # Errors
    /// As there.
    fn synchronize(&self) -> Result<(), HipError> {
        const OPERATION: &str = "Event::synchronize";
        host_func::refuse_inside(OPERATION)?;
        let driver = driver()?;
        // The record of now.
        let pin = {
            let place = &mut *self.place();
            if self.is_done(driver, &place.state, OPERATION)? {
                return Ok(());
            }
            Arc::clone(place.pin.get_or_insert_default())
        };
        poll(self.options.is_blocking(), || self.is_pinned_done(driver, &pin, OPERATION))
    }

    /// As [`Event::elapsed_since`].
    ///
    /// # Errors
    /// Beside those, [`InvalidEvent`](gpu_stream_core::ErrorKind::InvalidEvent) if one of the
    /// events was recorded on the default stream of a thread that has ended.
    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, HipError> {
        const OPERATION: &str = "Event::elapsed_since";
        let driver = driver()?;
        let elapsed = |start: &State, end: &State| {
            let mut milliseconds = 0.0;
            let code = start.visit(|| {
                end.visit(|| {
                    let _relaxed = Relaxed::enter(driver, OPERATION)?;
                    let (start, end) = (start.raw.as_ptr(), end.raw.as_ptr());
                    // SAFETY: the first is a place for the number; both events are ours and alive,
                    // and so is what they point to.
                    let code =
                        unsafe { (driver.symbols.event_elapsed)(&mut milliseconds, start, end) };
                    driver.ignore(code);
                    Ok(code)
                })
            });
            match code.flatten() {
                Ok(code) => code.map(|code| (code, milliseconds)),
                Err(_) => Err(HipError::ThreadEnded { operation: OPERATION }),
            }
        };
        // Both are locked, always in one order.
        let (code, milliseconds) = match std::ptr::from_ref(start).cmp(&std::ptr::from_ref(self)) {
            std::cmp::Ordering::Equal => self.with(|state| elapsed(state, state)),
            std::cmp::Ordering::Less => start.with(|s| self.with(|end| elapsed(s, end))),
            std::cmp::Ordering::Greater => self.with(|end| start.with(|s| elapsed(s, end))),
        }?;
        match code {
            // One of the two was recorded again a moment ago.
            HipCode::NOT_READY => {
                let which = if start.status()? == EventStatus::Pending { "start" } else { "end" };
                Err(ContractError::EventPending { which }.into())
            }
            code => {
                driver.check(code, OPERATION, "hipEventElapsedTime")?;
                Ok(milliseconds)
            }
        }
    }
}

/// How often a wait asks before it makes pauses.
const SPINS: u32 = 200;

/// Returns when `done` says so.
pub(crate) fn poll(
    blocking: bool,
    done: impl Fn() -> Result<bool, HipError>,
) -> Result<(), HipError> {
    let longest = Duration::from_micros(if blocking { 1_000 } else { 100 });
    let mut pause = Duration::ZERO;
    let mut turns = if blocking { SPINS } else { 0 };
    let done = || {
        let _asking = standing::ask()?;
        done()
    };
    while !done()? {
        if turns < SPINS {
            turns += 1;
            std::thread::yield_now();
        } else {
            pause = (pause * 2).clamp(Duration::from_micros(10), longest);
            std::thread::sleep(pause);
        }
    }
    Ok(())
}

impl std::fmt::Debug for HipEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Asks the runtime nothing: printing must not disturb a capture.
        let (raw, record) = self.with(|state| {
            let record = match state.last.as_ref().map(|last| last.captured.is_some()) {
                None => "none",
                Some(false) => "made",
                Some(true) => "made in a capture",
            };
            (state.raw, record)
        });
        let mut text = f.debug_struct("HipEvent");
        text.field("raw", &raw).field("device", &self.device());
        text.field("options", &self.options).field("record", &record).finish()
    }
}
