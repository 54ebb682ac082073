//! The state that the wrappers of one stream share: [`Family`].

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread::ThreadId;

use gpu_stream_core::{HostFunc, RawStream};
use gpu_stream_host::{Host, HostStream, raw};

use crate::capture;
use crate::event::MutantEvent;
use crate::mutation::{Mutation, on};
use crate::tasks::Tasks;

/// The state that a wrapper and its clones share.
#[derive(Default)]
pub struct Family {
    /// Deferred waits and functions.
    pub deferred: Mutex<Vec<Deferred>>,
    pub tasks: Tasks,
    /// The thread that submitted last, for the mutants that defer submissions.
    pub last: Mutex<Option<ThreadId>>,
    pub fault_seen: AtomicBool,
    pub is_owned: bool,
    /// The foreign stream, if it is one.
    pub foreign: Option<RawStream<Host>>,
    /// The stream's handle.
    pub bits: usize,
}

/// A call that a mutant has deferred.
pub enum Deferred {
    Event(MutantEvent),
    Stream(HostStream),
    Func(HostFunc),
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Family")
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if self.is_owned && on(Mutation::OwnedDropAbandons) {
            self.tasks.abandon();
        }
        if let (Some(capture), true) = (capture::of(self.bits), on(Mutation::DropBreaksCapture)) {
            capture::break_one(capture);
        }
        if let (Some(raw), true) = (self.foreign, on(Mutation::DestroyOnDrop)) {
            let _ = raw::destroy(raw);
        }
    }
}
