//! What the wrappers of one stream have in common: [`Family`].

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

/// What a wrapper and its clones share.
#[derive(Default)]
pub struct Family {
    /// Waits that are made late.
    pub owed: Mutex<Vec<Owed>>,
    pub tasks: Tasks,
    /// The thread that submitted last, for the mutants whose submissions come late.
    pub last: Mutex<Option<ThreadId>>,
    pub fault_seen: AtomicBool,
    pub is_owned: bool,
    /// The stream that somebody else made.
    pub foreign: Option<RawStream<Host>>,
    /// The stream's handle.
    pub bits: usize,
}

/// What a mutant does late.
pub enum Owed {
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
