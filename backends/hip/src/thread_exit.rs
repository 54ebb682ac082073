//! The end of threads, which takes their default streams with them.
//!
//! HIP destroys a thread's default stream (handle 2) when the thread ends, by the destructor of a
//! thread-local variable. Events refer to the stream that they were recorded on, may be anywhere
//! then, and no owner can keep a thread alive. So each such stream has a [`Rundown`], which the events
//! that were recorded on it share:
//!
//! - a call that gives such an event to the runtime *visits* the life;
//! - at the end of the thread, before HIP destroys the stream, its work is waited for, the life is
//!   marked as ended, and the visits that go on are waited for. From then on the events are
//!   complete, and go to the runtime only to be recorded elsewhere or to be destroyed.
//!
//! A thread that calls `exit` comes here too, before the functions of `atexit`. It waits for visits
//! no longer than those do. For the work of its own stream HIP itself waits there, in each version.
//!
//! Before HIP means: registered after it. Functions for the end of a thread run in the reverse
//! order of their registration, and HIP registers its own at the thread's first call, or, in 5.2,
//! at the first that names handle 2; such a call is made here just before. Rust's `thread_local!`
//! does not promise that order, hence glibc's own function. Elsewhere (ROCm on Linux is glibc's;
//! Windows ends the threads of a library before those of the program) the order cannot be had, and
//! threads' default streams are refused.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::catch_unwind;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Instant;

use gpu_stream_core::{BackendKind, CaptureStatus, ContractError};

use crate::driver::capture;
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{DeviceGuard, Driver, loaded, process_state};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::{HipError, stream};

#[cfg(all(test, gpu_stream_loom))]
mod loom_tests;

/// The default stream of one thread on one device.
#[derive(Debug, Default)]
pub(crate) struct Rundown {
    state: Mutex<RundownState>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct RundownState {
    /// Calls that go on with an event of the stream.
    visits: usize,
    /// How the work ended, if the thread has.
    end: Option<FinalStatus>,
}

/// How the work of a thread's default stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FinalStatus {
    /// All of it is done.
    Done,
    /// The runtime's function answered with an error.
    Failed(&'static str, HipCode),
    /// It cannot be told.
    Unknown,
}

impl FinalStatus {
    /// The answer to who asks for an event of the stream.
    pub(crate) fn answer(self, operation: &'static str) -> Result<(), HipError> {
        match self {
            FinalStatus::Done => Ok(()),
            FinalStatus::Failed(function, code) => {
                Err(HipError::Driver { operation, function, code })
            }
            FinalStatus::Unknown => Err(HipError::ThreadEnded { operation }),
        }
    }
}

impl Rundown {
    fn state(&self) -> MutexGuard<'_, RundownState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses visits from now on, and blocks until those that go on are over.
    ///
    /// A visit can be blocked inside the runtime for ever: by a queue that is full. So after
    /// [`process_state::LIMIT`] this returns nevertheless if `is_exiting` returns `true`.
    fn end(&self, end: FinalStatus, is_exiting: impl FnOnce() -> bool) {
        let mut state = self.state();
        state.end = Some(end);
        let is_over = |state: &RundownState| state.visits == 0;
        let begin = Instant::now();
        while !is_over(&state) {
            let Some(rest) = process_state::LIMIT.checked_sub(begin.elapsed()) else { break };
            let waited = self.left.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if is_over(&state) {
            return;
        }
        // Visits end under the lock.
        drop(state);
        if is_exiting() {
            return;
        }
        let mut state = self.state();
        while !is_over(&state) {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// As [`RundownGuard`], for as long as its owner likes: the thread's end waits for it.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Rundown>);

impl Rundown {
    /// Returns what keeps the stream, `None` if its thread has ended.
    pub(crate) fn hold(self: &Arc<Self>) -> Option<Hold> {
        let mut state = self.state();
        if state.end.is_some() {
            return None;
        }
        state.visits += 1;
        drop(state);
        Some(Hold(Arc::clone(self)))
    }

    fn left(&self) {
        let mut state = self.state();
        state.visits -= 1;
        if state.visits == 0 {
            self.left.notify_all();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.left();
    }
}

/// While it lives, the stream is not destroyed.
struct RundownGuard<'l>(&'l Rundown);

impl Drop for RundownGuard<'_> {
    fn drop(&mut self) {
        self.0.left();
    }
}

/// Calls `call` while all of these streams are there; if one is gone, how its work ended.
pub(crate) fn with_guards<T>(
    lives: &mut dyn Iterator<Item = &Rundown>,
    call: impl FnOnce() -> T,
) -> Result<T, FinalStatus> {
    let Some(life) = lives.next() else { return Ok(call()) };
    let mut state = life.state();
    if let Some(end) = state.end {
        return Err(end);
    }
    state.visits += 1;
    drop(state);
    let _visit = RundownGuard(life);
    with_guards(lives, call)
}

/// By ordinal, those of one thread.
type Lives = RefCell<Vec<Option<Arc<Rundown>>>>;

/// What the calling thread has.
#[derive(Clone, Copy)]
enum Phase {
    /// No life yet.
    New,
    /// Freed by [`on_thread_exit`].
    Lives(*const Lives),
    Ended,
}

thread_local! {
    // Without a destructor, so that it is good until the thread's very end.
    static PHASE: Cell<Phase> = const { Cell::new(Phase::New) };
}

/// An error if the calling thread's default streams are gone: it is ending, and what calls is the
/// destructor of another thread-local variable.
pub(crate) fn ensure_thread_alive(operation: &'static str) -> Result<(), HipError> {
    if matches!(PHASE.get(), Phase::Ended) {
        let reason = "the thread is ending, and HIP has destroyed its default stream; use the stream before, or another one";
        return Err(ContractError::NotPermitted { operation, reason }.into());
    }
    Ok(())
}

/// Has the end of the calling thread noticed, if it is a thread that has not asked for its default
/// stream: one that is made when the thread has ended, by a function for the end of the process for
/// instance, HIP 7.2 destroys twice.
pub(crate) fn register_exit_hook() {
    thread_local! {
        static WATCHED: Cell<bool> = const { Cell::new(false) };
    }
    if WATCHED.replace(true) || !matches!(PHASE.get(), Phase::New) {
        return;
    }
    if let Some(at_thread_end) = at_thread_end() {
        // SAFETY: `ended` takes whatever it is given; the last argument is as in `register`. If there
        // is no memory for it, the end is not noticed; there is nothing better to do.
        unsafe { at_thread_end(ended, std::ptr::null_mut(), ours()) };
    }
}

/// Runs at the end of a thread that has not asked for its default stream.
unsafe extern "C" fn ended(_: *mut c_void) {
    if matches!(PHASE.get(), Phase::New) {
        PHASE.set(Phase::Ended);
    }
}

/// An address of this crate's, which keeps the library that it is part of from being unloaded before
/// the thread ends.
fn ours() -> *mut c_void {
    static OURS: u8 = 0;
    std::ptr::from_ref(&OURS).cast_mut().cast()
}

/// The life of the calling thread's default stream on a device.
pub(crate) fn current_rundown(
    driver: &'static Driver,
    ordinal: u32,
    operation: &'static str,
) -> Result<Arc<Rundown>, HipError> {
    ensure_thread_alive(operation)?;
    let lives = match PHASE.get() {
        Phase::Lives(lives) => lives,
        _ => register(driver, ordinal, operation)?,
    };
    // SAFETY: it is this thread's, and is freed at the end of the thread, when `PHASE` says so.
    // Nothing inside the borrow calls back.
    let mut lives = unsafe { &*lives }.borrow_mut();
    let index = ordinal as usize;
    if lives.len() <= index {
        lives.resize(index + 1, None);
    }
    Ok(Arc::clone(lives[index].get_or_insert_default()))
}

/// Whether it is the life of the calling thread's default stream on a device.
pub(crate) fn is_mine(ordinal: u32, life: &Arc<Rundown>) -> bool {
    let Phase::Lives(lives) = PHASE.get() else { return false };
    // SAFETY: as in `current_rundown`.
    let lives = unsafe { &*lives }.borrow();
    lives
        .get(ordinal as usize)
        .is_some_and(|mine| mine.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, life)))
}

#[cold]
fn register(
    driver: &'static Driver,
    ordinal: u32,
    operation: &'static str,
) -> Result<*const Lives, HipError> {
    let Some(at_thread_end) = at_thread_end() else {
        let reason = "its events would not be safe after the thread has ended, since the end of a thread cannot be noticed \
                      in time on this system; make a stream with `Backend::new_stream`";
        let backend = BackendKind::Hip;
        return Err(ContractError::Unsupported { operation, backend, reason }.into());
    };
    {
        // Makes the stream, so that HIP's own function is registered.
        let _current = DeviceGuard::enter(driver, ordinal, operation)?;
        let mut status = 0;
        // SAFETY: handle 2 is always there, and its device current; `status` is a place for the
        // number. A capture does not matter here.
        let code = unsafe {
            (driver.symbols.stream_is_capturing)(stream::PER_THREAD.as_ptr(), &mut status)
        };
        if code == HipCode::CAPTURE_IMPLICIT {
            driver.discard(code);
        } else {
            // Else the stream may not be there, and would end before ours is called.
            driver.check(code, operation, "hipStreamIsCapturing")?;
        }
    }
    let lives: *const Lives = Box::into_raw(Box::default());
    // SAFETY: `on_thread_exit` takes the lives, once.
    let failed = unsafe { at_thread_end(on_thread_exit, lives.cast_mut().cast(), ours()) };
    if failed != 0 {
        // SAFETY: nobody else has it.
        drop(unsafe { Box::from_raw(lives.cast_mut()) });
        let (function, code) = ("__cxa_thread_atexit_impl", HipCode::OUT_OF_MEMORY);
        return Err(HipError::Driver { operation, function, code });
    }
    PHASE.set(Phase::Lives(lives));
    Ok(lives)
}

type AtEnd = unsafe extern "C" fn(*mut c_void);
type AtThreadEnd = unsafe extern "C" fn(AtEnd, *mut c_void, *mut c_void) -> std::ffi::c_int;

/// The function that registers one for the end of the calling thread, in the order that is needed.
/// glibc has it since 2.18, and Rust programs run with older ones.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn at_thread_end() -> Option<AtThreadEnd> {
    static FOUND: OnceLock<Option<AtThreadEnd>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let program = libloading::os::unix::Library::this();
        // SAFETY: that is the function's signature; glibc is never unloaded.
        unsafe { program.get::<AtThreadEnd>("__cxa_thread_atexit_impl") }.ok().map(|found| *found)
    })
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn at_thread_end() -> Option<AtThreadEnd> {
    static NONE: OnceLock<Option<AtThreadEnd>> = OnceLock::new();
    *NONE.get_or_init(|| None)
}

/// Runs at the end of a thread, just before HIP destroys the thread's default streams.
///
/// # Safety
/// `lives` is of [`register`], on this thread, and this is called once.
unsafe extern "C" fn on_thread_exit(lives: *mut c_void) {
    // SAFETY: the caller promises it.
    let lives = *unsafe { Box::from_raw(lives.cast::<Lives>()) };
    PHASE.set(Phase::Ended);
    for (ordinal, life) in (0..).zip(lives.into_inner()) {
        let Some(life) = life else { continue };
        // Nobody who has no share can get one: events get theirs from this thread's streams.
        if Arc::strong_count(&life) > 1 {
            let end = || loaded().map_or(FinalStatus::Unknown, |driver| finish(driver, ordinal));
            // Nothing in it should panic; if something does, it must not leave this function.
            life.end(catch_unwind(end).unwrap_or(FinalStatus::Unknown), process_state::is_in_exit);
        }
    }
}

/// Waits for all work of the calling thread's default stream on a device.
fn finish(driver: &'static Driver, ordinal: u32) -> FinalStatus {
    const OPERATION: &str = "the end of a thread";
    let own: Ptr = stream::PER_THREAD.as_ptr();
    let finish = || {
        let _current = DeviceGuard::enter(driver, ordinal, OPERATION)?;
        // SAFETY: the thread's own stream is still there, and its device is current.
        let captured = unsafe { capture::status(driver, own, OPERATION) }?;
        if captured != CaptureStatus::None {
            // It ends with the thread in any case, and what is recorded now would go into it. Not
            // every version lets it be ended here: what was in front of it cannot be told then.
            // SAFETY: as above.
            let ended = unsafe { capture::end(driver, own, OPERATION) };
            ended.map_err(|_| HipError::ThreadEnded { operation: OPERATION })?;
        }
        // SAFETY: as above.
        unsafe { stream::finish(driver, own, ordinal, OPERATION) }
    };
    match finish() {
        Ok(()) => FinalStatus::Done,
        Err(HipError::Driver { function, code, .. }) => FinalStatus::Failed(function, code),
        Err(_) => FinalStatus::Unknown,
    }
}

#[cfg(all(test, not(gpu_stream_loom)))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    /// The limit is over when `is_exiting` is asked.
    #[test]
    fn the_end_of_a_thread_waits_for_visits_without_a_limit() {
        let (life, is_over) = (Arc::<Rundown>::default(), Arc::new(AtomicBool::new(false)));
        let visit = life.hold().expect("the thread lives");
        let (say, hear) = channel();
        let ending = {
            let (life, is_over) = (Arc::clone(&life), Arc::clone(&is_over));
            thread::spawn(move || {
                life.end(FinalStatus::Done, || say.send(()).is_err());
                assert!(is_over.load(Ordering::SeqCst), "a visit goes on");
            })
        };
        hear.recv().expect("the end of the limit");
        assert!(life.hold().is_none(), "a visit after the end");
        is_over.store(true, Ordering::SeqCst);
        drop(visit);
        ending.join().expect("no panic");
    }

    /// Otherwise this would not end.
    #[test]
    fn exit_does_not_wait_for_visits_without_a_limit() {
        let life = Arc::<Rundown>::default();
        let _visit = life.hold().expect("the thread lives");
        life.end(FinalStatus::Done, || true);
        assert!(life.hold().is_none(), "a visit after the end");
    }
}
