//! The order of a backend's calls, and the accesses that it does not cover: [`Engine`].
//!
//! The calls of all threads are in one total order: the order in which they reach the engine. So an order that threads
//! only have by chance can hide a mistake, and never makes one up.
//!
//! - Each life of a stream is a [`Line`] with a count of epochs, and a clock of what happens before its next work
//!   ([`clock`]).
//! - Records keep a clock, waits join it ([`ordering`]). Default streams and blocking streams wait for each other
//!   ([`implicit`]). Captured calls have lines of their own ([`capture`]).
//! - What the host has waited for happens before all later calls, and is forgotten ([`sweep`]). What a layer has asked on
//!   its own is known to the code that it runs for that, and not to the rest of the program ([`known`]).
//! - Accesses are compared with the latest ones of the same bytes ([`memory`]).

mod access;
mod capture;
mod clock;
mod event;
#[cfg(unix)]
mod forks;
mod found;
mod implicit;
mod known;
mod late;
mod line;
mod memory;
mod ordering;
mod scope;
mod state;
mod steps;
mod sweep;
#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{Access, Backend, BackendKind, Device, Region};

use crate::finding::{Action, Finding, Report};
use state::State;

pub(crate) use event::{EventState, Mark, Recording};
pub(crate) use line::{Line, Origin, StreamKey};
pub(crate) use scope::{Entered, Scope};

/// A place in the program's source.
pub(crate) type Place = &'static Location<'static>;

/// A function that is called with each finding outside of all scopes, when it is found for the first time.
pub(crate) type Hook = Arc<dyn Fn(&Finding) + Send + Sync>;

/// What is known of the streams of one backend type. All threads of the process feed it.
pub(crate) struct Engine {
    kind: BackendKind,
    state: Mutex<State>,
}

/// The engines of the process.
static ENGINES: Mutex<Option<HashMap<TypeId, &'static Engine>>> = Mutex::new(None);

impl Engine {
    /// Returns the engine of a backend type. A [`Line`] and an [`EventState`] know theirs at no cost.
    pub(crate) fn of<B: Backend>() -> &'static Engine {
        #[cfg(unix)]
        forks::watch();
        let mut engines = lock(&ENGINES);
        engines
            .get_or_insert_default()
            .entry(TypeId::of::<B>())
            .or_insert_with(|| Engine::new(B::KIND))
    }

    /// Creates an engine that has seen no call. It lives as long as the process.
    pub(crate) fn new(kind: BackendKind) -> &'static Engine {
        Box::leak(Box::new(Engine { kind, state: Mutex::default() }))
    }

    /// Opens a wrapper of a stream. A stream that is known already keeps its line. [`Origin::Created`] always begins a
    /// new one. `blocking` is [`Stream::is_blocking`](gpu_stream_core::Stream::is_blocking), `false` if unsupported.
    pub(crate) fn open(
        &'static self,
        key: StreamKey,
        origin: Origin,
        blocking: bool,
        place: Place,
    ) -> Line {
        self.with(|state| state.open(self, key, origin, blocking, place))
    }

    /// Reports a use of a stream that was destroyed. For the beginning of a call: the call itself may fail, or never
    /// return.
    pub(crate) fn used(&self, line: &Line, place: Place) {
        if line.flags().is_destroyed() {
            let scope = scope::current(self);
            self.with(|state| state.used(line.id(), place, scope));
        }
    }

    /// Tells whether a capture includes the stream at the next call on it.
    pub(crate) fn captured(&self, line: &Line, is_captured: bool) {
        if is_captured || line.flags().is_captured() {
            self.with(|state| state.captured(line.id(), is_captured));
        }
    }

    /// Notes that work may follow: the program took the stream's handle, or launched a host function.
    pub(crate) fn submit(&self, line: &Line, place: Place) {
        let scope = scope::current(self);
        self.submitting(line, |state| {
            let id = state.current(line.id());
            state.work(id, place, Action::Submit, scope);
        });
    }

    /// Notes a declared access of the stream, and reports the earlier ones that it is not ordered after.
    pub(crate) fn access(&self, line: &Line, access: Access, region: &Region, place: Place) {
        let scope = scope::current(self);
        self.submitting(line, |state| state.access(line.id(), access, region, place, scope));
    }

    /// Notes that the calling thread itself accesses memory, and reports the earlier accesses of streams that the host
    /// has not waited for.
    pub(crate) fn host_access(&self, access: Access, region: &Region, place: Place) {
        let scope = scope::current(self);
        let device = Device::new(self.kind, 0);
        let known = known::of_thread(self).unwrap_or_default();
        self.with(|state| state.host_access(device, access, region, &known, place, scope));
    }

    /// Notes a record that succeeded, of an event that no other thread knew until now.
    pub(crate) fn record(&self, line: &Line, event: &EventState, place: Place) {
        let scope = scope::current(self);
        self.submitting(line, |state| {
            let recording = state.begin_record(line.id(), event, place, scope);
            state.end_record(event, recording, place);
        });
    }

    /// Notes that a call is going to record an event. Another thread can see the record before the call returns.
    pub(crate) fn begin_record(&self, line: &Line, event: &EventState, place: Place) -> Recording {
        let scope = scope::current(self);
        self.submitting(line, |state| state.begin_record(line.id(), event, place, scope))
    }

    /// Notes that the call succeeded, or that it failed.
    pub(crate) fn end_record(
        &self,
        event: &EventState,
        recording: Recording,
        is_recorded: bool,
        place: Place,
    ) {
        self.with(|state| match is_recorded {
            true => state.end_record(event, recording, place),
            false => state.fail_record(event, recording),
        });
    }

    /// Notes a wait for an event that succeeded.
    pub(crate) fn wait(&self, line: &Line, event: &EventState, place: Place) {
        let scope = scope::current(self);
        self.submitting(line, |state| state.wait(line.id(), event, place, scope));
    }

    /// Notes that `line` waits for all work of `other` so far.
    pub(crate) fn wait_stream(&self, line: &Line, other: &Line, place: Place) {
        let scope = scope::current(self);
        self.submitting(line, |state| state.wait_stream(line.id(), other.id(), place, scope));
    }

    /// Returns what a call of the host that begins now waits for: all work of the stream so far.
    pub(crate) fn mark(&self, line: &Line) -> Mark {
        self.with(|state| state.mark(line.id()))
    }

    /// Returns what a call of the host that begins now waits for: the event's record.
    pub(crate) fn mark_event(&self, event: &EventState) -> Mark {
        self.with(|state| state.mark_event(event))
    }

    /// Notes that the host knows that the work of `mark` is done.
    pub(crate) fn host_waited(&self, mark: Mark, place: Place) {
        let scope = scope::current(self);
        self.with(|state| state.host_waited(&mark, place, scope));
    }

    /// Notes that a call has found the event complete. `mark` was taken before the call.
    pub(crate) fn event_completed(&self, mark: Mark, event: &EventState, place: Place) {
        let scope = scope::current(self);
        self.with(|state| {
            let mark = state.completed(mark, event);
            state.host_waited(&mark, place, scope);
        });
    }

    /// Notes that a call returned [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault).
    pub(crate) fn faulted(&self, line: &Line, place: Place) {
        self.with(|state| state.faulted(line.id(), place));
    }

    /// Notes that the program took the event's handle. From now on, others may record it.
    pub(crate) fn escaped(&self, event: &EventState) {
        self.with(|state| state.escaped(event));
    }

    /// Opens a scope: what the threads in it find goes into its report.
    pub(crate) fn scope(&'static self) -> Scope {
        Scope::new(self)
    }

    /// Takes what was found outside of all scopes, after it has decided the kinds that a later call can still excuse.
    pub(crate) fn take_report(&self) -> Report {
        self.with(|state| state.take_report(0))
    }

    /// Sets the function that is called with each finding outside of all scopes. It is called with no lock held.
    pub(crate) fn set_hook(&self, hook: Option<Hook>) {
        let old = self.with(|state| std::mem::replace(&mut state.hook, hook));
        drop(old); // not while the state is locked
    }

    /// Runs `call` on the state, which notes a submission to a stream: after what the calling code knows.
    fn submitting<T>(&self, line: &Line, call: impl FnOnce(&mut State) -> T) -> T {
        let known = known::of_thread(self);
        self.with(|state| {
            if let Some(known) = known {
                state.join_known(line.id(), &known);
            }
            call(state)
        })
    }

    /// Runs `call` on the state, and then the hook, which is the program's, with no lock held.
    fn with<T>(&self, call: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        let result = call(&mut state);
        let fresh = state.found.take_fresh();
        if fresh.is_empty() {
            return result;
        }
        let hook = state.hook.clone();
        drop(state);
        if let Some(hook) = hook {
            fresh.iter().for_each(|finding| hook(finding));
        }
        result
    }
}

/// Locks a mutex, also if a thread panicked while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
