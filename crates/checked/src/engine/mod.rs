//! The order of a backend's calls, and the accesses that it does not cover: [`Engine`].

// The wrapper calls these functions.
#![allow(dead_code)]

mod event;
mod line;
mod scope;

use std::any::TypeId;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{Access, Backend, Region};

use crate::finding::{Finding, Report};

pub(crate) use event::{EventState, Mark};
pub(crate) use line::{Line, Origin, StreamKey};
pub(crate) use scope::{Entered, Scope};

/// A place in the program's source.
pub(crate) type Place = &'static Location<'static>;

/// A function that is called with each finding outside of all scopes, when it is found for the first time.
pub(crate) type Hook = Arc<dyn Fn(&Finding) + Send + Sync>;

/// What is known of the streams of one backend type. All threads of the process feed it.
pub(crate) struct Engine {
    _state: Mutex<()>,
}

impl Engine {
    /// Returns the engine of a backend type.
    pub(crate) fn of<B: Backend>() -> &'static Engine {
        static ENGINES: Mutex<Option<HashMap<TypeId, &'static Engine>>> = Mutex::new(None);
        let mut engines = lock(&ENGINES);
        engines
            .get_or_insert_default()
            .entry(TypeId::of::<B>())
            .or_insert_with(|| Box::leak(Box::new(Engine::new())))
    }

    /// Creates an engine that has seen no call.
    pub(crate) fn new() -> Self {
        Engine { _state: Mutex::new(()) }
    }

    /// Returns the line of a stream. A stream that is known already has its line; [`Origin::Created`] always begins
    /// a new one. `blocking` is [`Stream::is_blocking`](gpu_stream_core::Stream::is_blocking), `false` if unsupported.
    pub(crate) fn open(
        &'static self,
        key: StreamKey,
        origin: Origin,
        blocking: bool,
        place: Place,
    ) -> Line {
        let _ = blocking;
        Line::new(self, key, origin, place)
    }

    /// Tells whether a capture includes the stream at the next call on it.
    pub(crate) fn captured(&self, line: &Line, is_captured: bool) {
        let _ = (line, is_captured);
    }

    /// Notes that work may follow: the program took the stream's handle, or launched a host function.
    pub(crate) fn submit(&self, line: &Line, place: Place) {
        let _ = (line, place);
    }

    /// Notes a declared access of the stream, and reports the earlier ones that it is not ordered after.
    pub(crate) fn access(&self, line: &Line, access: Access, region: &Region, place: Place) {
        let _ = (line, access, region, place);
    }

    /// Notes that the calling thread itself reads or writes memory, and reports the earlier accesses of streams that
    /// the host has not waited for.
    pub(crate) fn host_access(&self, access: Access, region: &Region, place: Place) {
        let _ = (access, region, place);
    }

    /// Notes a record that succeeded.
    pub(crate) fn record(&self, line: &Line, event: &EventState, place: Place) {
        let _ = (line, event, place);
    }

    /// Notes a wait for an event that succeeded.
    pub(crate) fn wait(&self, line: &Line, event: &EventState, place: Place) {
        let _ = (line, event, place);
    }

    /// Notes that `line` waits for all work of `other` so far.
    pub(crate) fn wait_stream(&self, line: &Line, other: &Line, place: Place) {
        let _ = (line, other, place);
    }

    /// Returns what a call of the host that begins now waits for: all work of the stream so far.
    pub(crate) fn mark(&self, line: &Line) -> Mark {
        let _ = line;
        Mark::new()
    }

    /// Returns what a call of the host that begins now waits for: the event's record.
    pub(crate) fn mark_event(&self, event: &EventState) -> Mark {
        let _ = event;
        Mark::new()
    }

    /// Notes that the host knows that the work of `mark` is done.
    pub(crate) fn host_waited(&self, mark: Mark, place: Place) {
        let _ = (mark, place);
    }

    /// Notes that a call returned [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault).
    pub(crate) fn faulted(&self, line: &Line, place: Place) {
        let _ = (line, place);
    }

    /// Notes that the program took the event's handle. From now on, others may record it.
    pub(crate) fn escaped(&self, event: &EventState) {
        let _ = event;
    }

    /// Creates a scope: what the threads in it find goes into its report.
    pub(crate) fn scope(&'static self) -> Scope {
        Scope::new(self)
    }

    /// Takes what was found outside of all scopes, after it has decided the kinds that a later call can still excuse.
    pub(crate) fn take_report(&self) -> Report {
        Report::default()
    }

    /// Sets the function that is called with each finding outside of all scopes. It is called with no lock held.
    pub(crate) fn set_hook(&self, hook: Option<Hook>) {
        let _ = hook;
    }
}

/// Locks a mutex, also if a thread panicked while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
