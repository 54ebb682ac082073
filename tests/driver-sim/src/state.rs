//! All that the driver knows, behind one lock.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{Backend, Device, StreamOptions};
use gpu_stream_host::{Host, HostStream};

use crate::call::{Answer, Ptr};
use crate::captures::{Capture, Member};
use crate::codes::Code;
use crate::config::config;
use crate::events::Event;
use crate::graphs::{Executable, Graph};
use crate::kernels::{Function, Module};
use crate::streams::{Kind, Stream};
use crate::tables::{Sort, Table};
use crate::thread;

/// Why a context is of no use any more: a code that stays, or 0.
pub type Fault = Arc<AtomicI32>;

pub struct Context {
    pub device: usize,
    pub is_primary: bool,
    pub fault: Fault,
    /// The default stream.
    pub legacy: usize,
    /// Streams that synchronise with it.
    pub blocking: Vec<usize>,
}

/// The primary context of a device: how often it is retained, and what it is.
#[derive(Default)]
pub struct Primary {
    pub retained: usize,
    pub context: usize,
}

pub struct State {
    pub primaries: Vec<Primary>,
    pub contexts: Table<Context>,
    pub streams: Table<Stream>,
    pub events: Table<Event>,
    pub graphs: Table<Graph>,
    pub executables: Table<Executable>,
    pub modules: Table<Module>,
    pub functions: Table<Function>,
    /// By number.
    pub captures: BTreeMap<u64, Capture>,
    last_number: u64,
}

static STARTED: AtomicBool = AtomicBool::new(false);

static STATE: LazyLock<Mutex<State>> = LazyLock::new(|| {
    let primaries = (0..config().gpus).map(|_| Primary::default()).collect();
    Mutex::new(State {
        primaries,
        contexts: Table::new(Sort::Context),
        streams: Table::new(Sort::Stream),
        events: Table::new(Sort::Event),
        graphs: Table::new(Sort::Graph),
        executables: Table::new(Sort::Executable),
        modules: Table::new(Sort::Module),
        functions: Table::new(Sort::Function),
        captures: BTreeMap::new(),
        last_number: 0,
    })
});

/// Never held while a stream's work is waited for.
pub fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `cuInit` was called.
pub fn is_started() -> bool {
    STARTED.load(Ordering::Relaxed)
}

pub fn start() {
    if !STARTED.swap(true, Ordering::Relaxed) {
        // As the real driver: what is pending at the end of the process is not waited for.
        gpu_stream_host::abandon_at_exit();
    }
}

/// The one device of the host backend that all streams are on. Which simulated device they belong
/// to is kept here.
pub fn host_device() -> Result<Device, Code> {
    Host::device(0).map_err(refused)
}

/// What the host backend refuses: it has no thread or a setting of it is wrong.
pub fn refused(error: gpu_stream_host::HostError) -> Code {
    eprintln!("driver-sim: {}: {error}", thread::call());
    Code::UNKNOWN
}

impl State {
    /// A number that no stream and no capture had before.
    pub fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// An error if work of the context has failed.
    pub fn sound(&self, context: usize) -> Answer {
        match self.contexts.get(context).fault.load(Ordering::Acquire) {
            0 => Ok(()),
            code => Err(Code(code)),
        }
    }

    /// The current context, if it has not been destroyed.
    pub fn current_of_thread(&self) -> Result<usize, Code> {
        let context = thread::current()?;
        if self.contexts.is_alive(context) { Ok(context) } else { Err(Code::CONTEXT_IS_DESTROYED) }
    }

    /// Likewise, if none of its work has failed.
    pub fn current(&self) -> Result<usize, Code> {
        let context = self.current_of_thread()?;
        self.sound(context)?;
        Ok(context)
    }

    pub fn device(&self, device: c_int) -> Result<usize, Code> {
        let index = usize::try_from(device).ok().filter(|&index| index < self.primaries.len());
        index.ok_or(Code::INVALID_DEVICE)
    }

    pub fn new_context(&mut self, device: usize, is_primary: bool) -> Result<usize, Code> {
        let context = self.contexts.insert(|_| Context {
            device,
            is_primary,
            fault: Fault::default(),
            legacy: 0,
            blocking: Vec::new(),
        });
        let legacy = self.new_stream(context, Kind::Legacy, true, 0)?;
        self.contexts.get_mut(context).legacy = legacy;
        Ok(context)
    }

    /// Ends a context with all that is in it.
    pub fn end_context(&mut self, context: usize) {
        let of_it: Vec<usize> =
            self.streams.all().filter(|it| it.context == context).map(|it| it.handle).collect();
        of_it.into_iter().for_each(|stream| self.end_stream(stream));
        let of_it: Vec<usize> =
            self.events.all().filter(|it| it.context == context).map(|it| it.handle).collect();
        for event in of_it {
            self.events.remove(event);
        }
        self.contexts.remove(context);
    }

    pub fn new_stream(
        &mut self,
        context: usize,
        kind: Kind,
        blocking: bool,
        priority: c_int,
    ) -> Result<usize, Code> {
        let options = StreamOptions::new().priority(if priority < 0 { -1 } else { 0 });
        let host = Host::new_stream(host_device()?, options).map_err(refused)?;
        let id = self.next_number();
        let stream = self.streams.insert(|handle| Stream {
            handle,
            context,
            kind,
            blocking,
            priority,
            id,
            host,
            member: None,
        });
        if blocking && kind != Kind::Legacy {
            self.contexts.get_mut(context).blocking.push(stream);
        }
        Ok(stream)
    }

    /// Ends a stream. What was submitted to it still runs; a capture that it began is over, and one
    /// that it was drawn into is broken.
    pub fn end_stream(&mut self, stream: usize) {
        let Stream { context, member, .. } = self.streams.remove(stream);
        self.contexts.get_mut(context).blocking.retain(|&other| other != stream);
        if let Some(Member { capture, .. }) = member {
            self.break_capture(capture);
            if self.captures.get(&capture).is_some_and(|it| it.origin == stream) {
                self.forget_capture(capture);
            }
        }
    }

    /// The stream that a handle means on this thread.
    pub fn stream(&mut self, stream: Ptr) -> Result<usize, Code> {
        match stream.addr() {
            0 | 1 => Ok(self.contexts.get(self.current_of_thread()?).legacy),
            2 => {
                let context = self.current_of_thread()?;
                if let Some(own) = thread::own_stream(context)?
                    && self.is_own_stream(context, own)
                {
                    return Ok(own);
                }
                let own = self.new_stream(context, Kind::PerThread, true, 0)?;
                thread::keep_own_stream(context, own);
                Ok(own)
            }
            _ => self.streams.check(stream),
        }
    }

    /// Whether what a thread has noted as its own stream is that still: it goes with its context.
    pub fn is_own_stream(&self, context: usize, stream: usize) -> bool {
        self.streams.is_alive(stream) && {
            let it = self.streams.get(stream);
            it.context == context && it.kind == Kind::PerThread
        }
    }

    /// The streams of a context, as the host backend has them.
    pub fn all_of(&self, context: usize) -> Vec<HostStream> {
        let of_it = self.streams.all().filter(|stream| stream.context == context);
        of_it.map(|stream| stream.host.clone()).collect()
    }
}
