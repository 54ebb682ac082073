//! Asynchronous copies.
//!
//! A copy waits for the signals it depends on and then moves the bytes, on a thread of its own: one
//! that has finished an earlier copy, if there is one. So a copy that waits never holds up another,
//! which a real copy engine, with its ring of commands, may do.

use std::collections::VecDeque;
use std::ptr;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::abi::*;
use crate::clock;
use crate::kernels;
use crate::signals::Signal;
use crate::trace::{trace, trace_line};

/// What to move.
enum Job {
    Line { to: *mut u8, from: *const u8, bytes: usize },
    Box { to: PitchedPtr, from: PitchedPtr, range: Dim3 },
}

struct Copy {
    job: Job,
    after: Vec<&'static Signal>,
    done: Option<&'static Signal>,
}

// SAFETY: the addresses are only used by the thread that makes the copy; that nobody else touches
// the bytes meanwhile is what the program promises with the signals.
unsafe impl Send for Copy {}

#[derive(Default)]
struct Engine {
    waiting: VecDeque<Copy>,
    /// Threads that sleep until there is a copy.
    idle: usize,
}

static ENGINE: Mutex<Engine> = Mutex::new(Engine { waiting: VecDeque::new(), idle: 0 });
static MORE: Condvar = Condvar::new();

/// Hands a copy to a thread.
fn submit(copy: Copy) -> Status {
    let mut engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    // A thread that was woken still counts as idle until it has taken its copy.
    if engine.waiting.len() >= engine.idle {
        let thread = std::thread::Builder::new().name("hsa-sim copy".into()).stack_size(128 * 1024);
        if let Err(error) = thread.spawn(work) {
            trace_line(format_args!("no thread for a copy: {error}"));
            return OUT_OF_RESOURCES;
        }
        // It finds the copy as the idle threads do.
        engine.idle += 1;
    }
    engine.waiting.push_back(copy);
    MORE.notify_one();
    SUCCESS
}

fn work() {
    let mut engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(copy) = engine.waiting.pop_front() else {
            engine = MORE.wait(engine).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        engine.idle -= 1;
        drop(engine);
        // SAFETY: who asked for the copy answers for its addresses.
        unsafe { make(&copy) };
        engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
        engine.idle += 1;
    }
}

/// Waits, copies and tells.
///
/// # Safety
///
/// The addresses are good for the bytes once the signals are 0.
unsafe fn make(copy: &Copy) {
    for signal in &copy.after {
        signal.wait(None, |value| value == 0);
    }
    let start = clock::now();
    match copy.job {
        Job::Line { to, from, bytes } => {
            trace!("copy of {bytes} bytes, {from:p} to {to:p}");
            // SAFETY: by the caller's promise. The ranges may overlap.
            unsafe { ptr::copy(from, to, bytes) };
        }
        Job::Box { to, from, range } => {
            trace!("copy of {}x{}x{}, {:p} to {:p}", range.x, range.y, range.z, from.base, to.base);
            for z in 0..range.z as usize {
                for y in 0..range.y as usize {
                    // SAFETY: by the caller's promise, every row lies in its box.
                    unsafe {
                        let to = to.base.add(z * to.slice + y * to.pitch);
                        let from = from.base.add(z * from.slice + y * from.pitch);
                        ptr::copy(from, to, range.x as usize);
                    }
                }
            }
        }
    }
    kernels::memory_changed();
    if let Some(signal) = copy.done {
        signal.complete(start, clock::now());
        trace!("s{} completed by a copy, now {}", signal.number, signal.load());
    }
}

/// The signals in an array of handles.
///
/// # Safety
///
/// `count` handles lie at `handles`, each 0 or a signal.
unsafe fn signals(count: u32, handles: *const Handle) -> Vec<&'static Signal> {
    if handles.is_null() {
        return Vec::new();
    }
    // SAFETY: by the caller's promise.
    (0..count as usize).filter_map(|i| unsafe { Signal::of(handles.add(i).read()) }).collect()
}

/// Moves the base of a box to a corner inside it.
///
/// # Safety
///
/// The pointers are good to read, and the corner lies in the box.
unsafe fn corner(place: *const PitchedPtr, offset: *const Dim3) -> PitchedPtr {
    // SAFETY: by the caller's promise.
    unsafe {
        let (place, offset) = (*place, *offset);
        let skip = offset.x as usize + offset.y as usize * place.pitch;
        PitchedPtr { base: place.base.add(skip + offset.z as usize * place.slice), ..place }
    }
}

hsa_api! {
    /// Copies once the signals are 0, then takes 1 from `done`.
    fn hsa_amd_memory_async_copy(
        to: *mut u8, _to_agent: Handle, from: *const u8, _from_agent: Handle, bytes: usize,
        count: u32, after: *const Handle, done: Handle,
    ) -> Status {
        // SAFETY: as the caller promises.
        let (after, done) = unsafe { (signals(count, after), Signal::of(done)) };
        submit(Copy { job: Job::Line { to, from, bytes }, after, done })
    }

    /// The same on an engine of the caller's choice: there are no engines here.
    fn hsa_amd_memory_async_copy_on_engine(
        to: *mut u8, _to_agent: Handle, from: *const u8, _from_agent: Handle, bytes: usize,
        count: u32, after: *const Handle, done: Handle, _engine: u32, _force: bool,
    ) -> Status {
        // SAFETY: as the caller promises.
        let (after, done) = unsafe { (signals(count, after), Signal::of(done)) };
        submit(Copy { job: Job::Line { to, from, bytes }, after, done })
    }

    /// Copies a box of rows and slices.
    fn hsa_amd_memory_async_copy_rect(
        to: *const PitchedPtr, to_offset: *const Dim3, from: *const PitchedPtr,
        from_offset: *const Dim3, range: *const Dim3, _agent: Handle, _direction: u32, count: u32,
        after: *const Handle, done: Handle,
    ) -> Status {
        if to.is_null() || to_offset.is_null() || from.is_null() || from_offset.is_null()
            || range.is_null()
        {
            return INVALID_ARGUMENT;
        }
        // SAFETY: none is null, and the rest is as the caller promises.
        let (job, after, done) = unsafe {
            let (to, from) = (corner(to, to_offset), corner(from, from_offset));
            let job = Job::Box { to, from, range: *range };
            (job, signals(count, after), Signal::of(done))
        };
        submit(Copy { job, after, done })
    }

    /// Every engine is free at any time; there is one.
    fn hsa_amd_memory_copy_engine_status(_to: Handle, _from: Handle, engines: *mut u32) -> Status {
        // SAFETY: the caller gives room for a number.
        unsafe { put(engines.cast(), 1u32) }
    }

    /// The one engine there is.
    fn hsa_amd_memory_get_preferred_copy_engine(
        _to: Handle, _from: Handle, engines: *mut u32,
    ) -> Status {
        // SAFETY: the caller gives room for a number.
        unsafe { put(engines.cast(), 1u32) }
    }

    /// Times of copies are always taken.
    fn hsa_amd_profiling_async_copy_enable(_enable: bool) -> Status {
        SUCCESS
    }

    /// When the dispatch that completed a signal began and ended.
    fn hsa_amd_profiling_get_dispatch_time(
        _agent: Handle, signal: Handle, times: *mut ProfilingTime,
    ) -> Status {
        // SAFETY: a signal's handle, by the caller's promise.
        let Some(signal) = (unsafe { Signal::of(signal) }) else { return INVALID_SIGNAL };
        // SAFETY: the caller gives room for two times.
        unsafe { put(times.cast(), signal.times()) }
    }

    /// When the copy that completed a signal began and ended.
    fn hsa_amd_profiling_get_async_copy_time(signal: Handle, times: *mut ProfilingTime) -> Status {
        // SAFETY: a signal's handle, by the caller's promise.
        let Some(signal) = (unsafe { Signal::of(signal) }) else { return INVALID_SIGNAL };
        // SAFETY: the caller gives room for two times.
        unsafe { put(times.cast(), signal.times()) }
    }
}
