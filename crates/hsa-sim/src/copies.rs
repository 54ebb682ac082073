//! Asynchronous copies.
//!
//! A copy waits for its signals and then moves the bytes, on a thread that no other waiting copy
//! uses. A waiting copy thus never delays another, as a real copy engine with its ring of commands
//! may. Threads are reused after a copy is done.

use std::collections::VecDeque;
use std::ptr;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::abi::*;
use crate::clock;
use crate::kernels;
use crate::signals::Signal;
use crate::trace::{trace, trace_line};

/// The bytes to copy.
enum Job {
    Line { to: *mut u8, from: *const u8, bytes: usize },
    Box { to: PitchedPtr, from: PitchedPtr, range: Dim3 },
}

struct Copy {
    job: Job,
    after: Vec<&'static Signal>,
    done: Option<&'static Signal>,
}

// SAFETY: only the thread that makes the copy uses the addresses. The program's signals ensure that
// no other code accesses the bytes meanwhile.
unsafe impl Send for Copy {}

#[derive(Default)]
struct CopyThreads {
    waiting: VecDeque<Copy>,
    /// The number of threads that wait for a copy.
    idle: usize,
}

static COPY_THREADS: Mutex<CopyThreads> =
    Mutex::new(CopyThreads { waiting: VecDeque::new(), idle: 0 });
static SUBMITTED: Condvar = Condvar::new();

/// Submits a copy to a thread.
fn submit(copy: Copy) -> Status {
    let mut threads = COPY_THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    // A thread that was woken counts as idle until it has taken its copy.
    if threads.waiting.len() >= threads.idle {
        let thread = std::thread::Builder::new().name("hsa-sim copy".into()).stack_size(128 * 1024);
        if let Err(error) = thread.spawn(work) {
            trace_line(format_args!("a thread for a copy cannot be started: {error}"));
            return OUT_OF_RESOURCES;
        }
        // The new thread counts as idle and takes the copy like any other.
        threads.idle += 1;
    }
    threads.waiting.push_back(copy);
    SUBMITTED.notify_one();
    SUCCESS
}

fn work() {
    let mut threads = COPY_THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(copy) = threads.waiting.pop_front() else {
            threads = SUBMITTED.wait(threads).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        threads.idle -= 1;
        drop(threads);
        // SAFETY: the addresses are valid, as the caller of the API function promised.
        unsafe { perform(&copy) };
        threads = COPY_THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        threads.idle += 1;
    }
}

/// Waits for the copy's signals, copies, and completes its own signal.
///
/// # Safety
///
/// The addresses are valid for the bytes once the signals are 0.
unsafe fn perform(copy: &Copy) {
    for signal in &copy.after {
        signal.wait(None, |value| value == 0);
    }
    let start = clock::now();
    match copy.job {
        Job::Line { to, from, bytes } => {
            trace!("copy of {bytes} bytes, {from:p} to {to:p}");
            // SAFETY: both ranges are valid (caller contract). They may overlap.
            unsafe { ptr::copy(from, to, bytes) };
        }
        Job::Box { to, from, range } => {
            trace!("copy of {}x{}x{}, {:p} to {:p}", range.x, range.y, range.z, from.base, to.base);
            for z in 0..range.z as usize {
                for y in 0..range.y as usize {
                    // SAFETY: every row lies in its box (caller contract).
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

/// Returns the signals in an array of handles.
///
/// # Safety
///
/// `handles` points to `count` handles, each 0 or a signal's.
unsafe fn signals(count: u32, handles: *const Handle) -> Vec<&'static Signal> {
    if handles.is_null() {
        return Vec::new();
    }
    // SAFETY: `handles` points to `count` handles, each 0 or a signal's (caller contract).
    (0..count as usize).filter_map(|i| unsafe { Signal::of(handles.add(i).read()) }).collect()
}

/// Moves the base of a box to a corner inside it.
///
/// # Safety
///
/// The pointers are valid for reads, and the corner lies in the box.
unsafe fn corner(region: *const PitchedPtr, offset: *const Dim3) -> PitchedPtr {
    // SAFETY: the pointers are valid for reads, and the corner lies in the box (caller contract).
    unsafe {
        let (region, offset) = (*region, *offset);
        let skip = offset.x as usize + offset.y as usize * region.pitch;
        PitchedPtr { base: region.base.add(skip + offset.z as usize * region.slice), ..region }
    }
}

hsa_api! {
    /// Copies once all signals are 0, then subtracts 1 from `done`.
    fn hsa_amd_memory_async_copy(
        to: *mut u8, _to_agent: Handle, from: *const u8, _from_agent: Handle, bytes: usize,
        count: u32, after: *const Handle, done: Handle,
    ) -> Status {
        // SAFETY: the handles are 0 or signals, and `after` points to `count` of them (caller
        // contract).
        let (after, done) = unsafe { (signals(count, after), Signal::of(done)) };
        submit(Copy { job: Job::Line { to, from, bytes }, after, done })
    }

    /// Copies once all signals are 0, then subtracts 1 from `done`. Ignores the caller's choice of
    /// an engine, because there are none.
    fn hsa_amd_memory_async_copy_on_engine(
        to: *mut u8, _to_agent: Handle, from: *const u8, _from_agent: Handle, bytes: usize,
        count: u32, after: *const Handle, done: Handle, _engine: u32, _force: bool,
    ) -> Status {
        // SAFETY: the handles are 0 or signals, and `after` points to `count` of them (caller
        // contract).
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
        // SAFETY: no pointer is null. The boxes and the handles are valid (caller contract).
        let (job, after, done) = unsafe {
            let (to, from) = (corner(to, to_offset), corner(from, from_offset));
            let job = Job::Box { to, from, range: *range };
            (job, signals(count, after), Signal::of(done))
        };
        submit(Copy { job, after, done })
    }

    /// Writes the only engine, which is always free.
    fn hsa_amd_memory_copy_engine_status(_to: Handle, _from: Handle, engines: *mut u32) -> Status {
        // SAFETY: the out-pointer is null or has room for a `u32` (caller contract).
        unsafe { write_out(engines.cast(), 1u32) }
    }

    /// Writes the only engine.
    fn hsa_amd_memory_get_preferred_copy_engine(
        _to: Handle, _from: Handle, engines: *mut u32,
    ) -> Status {
        // SAFETY: the out-pointer is null or has room for a `u32` (caller contract).
        unsafe { write_out(engines.cast(), 1u32) }
    }

    /// Does nothing: times of copies are always taken.
    fn hsa_amd_profiling_async_copy_enable(_enable: bool) -> Status {
        SUCCESS
    }

    /// Writes when the dispatch that completed a signal began and ended.
    fn hsa_amd_profiling_get_dispatch_time(
        _agent: Handle, signal: Handle, times: *mut ProfilingTime,
    ) -> Status {
        // SAFETY: the handle is 0 or a live signal's (caller contract).
        let Some(signal) = (unsafe { Signal::of(signal) }) else { return INVALID_SIGNAL };
        // SAFETY: the out-pointer is null or has room for two times (caller contract).
        unsafe { write_out(times.cast(), signal.times()) }
    }

    /// Writes when the copy that completed a signal began and ended.
    fn hsa_amd_profiling_get_async_copy_time(signal: Handle, times: *mut ProfilingTime) -> Status {
        // SAFETY: the handle is 0 or a live signal's (caller contract).
        let Some(signal) = (unsafe { Signal::of(signal) }) else { return INVALID_SIGNAL };
        // SAFETY: the out-pointer is null or has room for two times (caller contract).
        unsafe { write_out(times.cast(), signal.times()) }
    }
}
