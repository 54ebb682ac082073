//! The faults of the mutants in tasks.

use std::any::Any;
use std::cell::Cell;
use std::mem::{forget, take};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gpu_stream_core::{HostFunc, Stream};
use gpu_stream_host::{HostError, HostStream};

use crate::event::lock;
use crate::mutation::{Mutation, current};

/// The tasks of one stream that a mutant has not submitted or run yet.
#[derive(Default)]
pub struct Tasks {
    /// The task that the next one overtakes.
    overtaken: Mutex<Option<HostFunc>>,
    /// The tasks that run after the stream has reported that it is done.
    after_done: Mutex<Vec<HostFunc>>,
    /// The tasks of `after_done` that the stream has reported as done.
    due: Mutex<Vec<HostFunc>>,
    is_running: Arc<AtomicBool>,
    is_abandoned: Arc<AtomicBool>,
    is_broken: Arc<AtomicBool>,
}

thread_local! {
    /// `true` if this thread is inside a task whose drops a mutant defers.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Streams that were dropped inside tasks, and are kept.
static DEFERRED: Mutex<Vec<HostStream>> = Mutex::new(Vec::new());

/// A guard: the thread is inside a task until it is dropped.
struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

pub fn is_inside() -> bool {
    INSIDE.get()
}

pub fn defer_drop(stream: HostStream) {
    lock(&DEFERRED).push(stream);
}

pub fn drop_deferred() {
    let all = take(&mut *lock(&DEFERRED));
    drop(all);
}

/// A task that runs when it is dropped without having been run.
struct RunOnDrop(Option<HostFunc>);

impl RunOnDrop {
    fn run(mut self) {
        if let Some(func) = self.0.take() {
            func();
        }
    }
}

impl Drop for RunOnDrop {
    fn drop(&mut self) {
        if let Some(func) = self.0.take() {
            func();
        }
    }
}

/// The number of pending functions of streams with a high or a low priority. While there are any, a
/// mutant gives the other streams no turn.
static FAVORED: AtomicUsize = AtomicUsize::new(0);

/// Returns `true` if a function on `host` has to wait for those of the other priorities.
pub fn is_starved(host: &HostStream) -> Result<bool, HostError> {
    let is_starving = current() == Some(Mutation::MiddlePriorityStarves);
    Ok(is_starving && host.priority()? == 0 && FAVORED.load(Ordering::SeqCst) > 0)
}

/// Drops `panic`. Returns `true` if that panicked as well.
fn drop_panics(panic: Box<dyn Any + Send>) -> bool {
    match catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        Ok(()) => false,
        Err(again) => {
            forget(again);
            true
        }
    }
}

/// A function whose drop is observed. Once the drop of one has panicked, later functions are not
/// dropped.
struct Fragile {
    func: Option<HostFunc>,
    is_broken: Arc<AtomicBool>,
}

impl Drop for Fragile {
    fn drop(&mut self) {
        let Some(func) = self.func.take() else { return };
        if self.is_broken.load(Ordering::SeqCst) {
            forget(func);
        } else if catch_unwind(AssertUnwindSafe(|| drop(func))).is_err() {
            self.is_broken.store(true, Ordering::SeqCst);
        }
    }
}

impl Tasks {
    /// Discards all tasks that have not run yet.
    pub fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::SeqCst);
    }

    /// Submits the task that no other has overtaken.
    pub fn flush(&self, host: &HostStream) -> Result<(), HostError> {
        let overtaken = lock(&self.overtaken).take();
        overtaken.map_or(Ok(()), |func| host.launch_host_func(func))
    }

    /// Returns `true` if the drop of a panic's payload has panicked.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::SeqCst)
    }

    /// Notes that the stream has reported done.
    pub fn mark_done(&self) {
        let after_done = take(&mut *lock(&self.after_done));
        lock(&self.due).extend(after_done);
    }

    /// Runs the tasks that the stream has reported as done.
    pub fn run_due(&self) {
        let due = take(&mut *lock(&self.due));
        due.into_iter().for_each(|func| func());
    }

    pub fn launch(&self, host: &HostStream, func: HostFunc) -> Result<(), HostError> {
        match current() {
            Some(Mutation::HostFunctionsRunAtOnce) => {
                func();
                Ok(())
            }
            Some(Mutation::OwnersAccumulate | Mutation::DestructorsUnderALock) => {
                host.launch(|| {
                    INSIDE.set(true);
                    let _inside = Inside;
                    func();
                })
            }
            Some(Mutation::TasksOverlap) => {
                if self.is_running.load(Ordering::SeqCst) {
                    func();
                    return Ok(());
                }
                let is_running = Arc::clone(&self.is_running);
                host.launch(move || {
                    is_running.store(true, Ordering::SeqCst);
                    func();
                    is_running.store(false, Ordering::SeqCst);
                })
            }
            Some(Mutation::TasksOutOfOrder) => {
                let mut overtaken = lock(&self.overtaken);
                match overtaken.take() {
                    None => {
                        *overtaken = Some(func);
                        Ok(())
                    }
                    Some(first) => {
                        host.launch_host_func(func)?;
                        host.launch_host_func(first)
                    }
                }
            }
            Some(Mutation::TasksRunAfterDone) => {
                lock(&self.after_done).push(func);
                host.launch(|| ())
            }
            Some(Mutation::UnrunTasksLeak) => {
                let slot = Arc::new(Mutex::new(Some(func)));
                forget(Arc::clone(&slot));
                host.launch(move || {
                    let func = lock(&slot).take();
                    if let Some(func) = func {
                        func();
                    }
                })
            }
            Some(Mutation::WorkAfterFaultIsRun) => {
                let func = RunOnDrop(Some(func));
                host.launch(move || func.run())
            }
            Some(Mutation::OwnedDropAbandons) => {
                let is_abandoned = Arc::clone(&self.is_abandoned);
                host.launch(move || {
                    if !is_abandoned.load(Ordering::SeqCst) {
                        func();
                    }
                })
            }
            Some(Mutation::PayloadDropHidesTheFault | Mutation::PayloadDropStopsTheStream) => {
                let is_broken = Arc::clone(&self.is_broken);
                host.launch(move || {
                    let Err(panic) = catch_unwind(AssertUnwindSafe(func)) else { return };
                    if !drop_panics(panic) {
                        resume_unwind(Box::new("a panic whose payload was dropped"));
                    }
                    is_broken.store(true, Ordering::SeqCst);
                })
            }
            Some(Mutation::UnrunDropPanicLosesTheRest) => {
                let is_broken = Arc::clone(&self.is_broken);
                let mut fragile = Fragile { func: Some(func), is_broken };
                host.launch(move || {
                    if let Some(func) = fragile.func.take() {
                        func();
                    }
                })
            }
            Some(Mutation::MiddlePriorityStarves) if host.priority()? != 0 => {
                FAVORED.fetch_add(1, Ordering::SeqCst);
                host.launch(move || {
                    func();
                    FAVORED.fetch_sub(1, Ordering::SeqCst);
                })
            }
            _ => host.launch_host_func(func),
        }
    }
}
