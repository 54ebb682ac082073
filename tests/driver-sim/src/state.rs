//! All that the driver knows, behind one lock.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{Backend, Device, StreamOptions};
use gpu_stream_host::{Host, HostStream};

use crate::call::{Answer, Ptr};
use crate::captures::{Capture, Member};
use crate::codes::Code;
use crate::config::config;
use crate::events::Event;
use crate::graphs::{Executable, Graph};
use crate::green::{Green, Resources};
use crate::kernels::{Function, Module};
use crate::streams::{Kind, Stream, Told};
use crate::tables::{Sort, Table};
use crate::thread;
use crate::work::fail;

/// Why a context is of no use any more: a code that stays, or 0.
pub type Fault = Arc<AtomicI32>;

pub struct Context {
    pub device: usize,
    pub is_primary: bool,
    /// The green context that this one stands for.
    pub green: Option<usize>,
    /// What `cuCtxGetId` returns.
    pub id: u64,
    pub fault: Fault,
    /// The default stream.
    pub legacy: usize,
    /// Streams that synchronise with it.
    pub blocking: Vec<usize>,
}

/// The primary context of a device.
#[derive(Default)]
pub struct Primary {
    pub retained: usize,
    /// 0 if it is not active: it was never retained, was released, or was reset.
    pub context: usize,
    /// The handle of the last one that ended, or 0.
    pub before: usize,
    /// Set when one ends whose work has failed. Then there is no other in this process.
    pub failed: Option<Code>,
}

/// Since this version, streams of a green context that was destroyed are detached, and can be
/// destroyed.
const DETACHES: c_int = 13_010;

/// How a context ends. Decides what the handles of its objects answer afterwards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `cuCtxDestroy`: a use of an object ends the process.
    Destroyed,
    /// The primary context was reset, or released for the last time. Until it is retained again, its
    /// objects answer with a code. After that, a use of one ends the process.
    Reset,
    /// `cuGreenCtxDestroy`.
    Green,
}

impl Context {
    pub fn new(device: usize, green: Option<usize>, fault: Fault) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let (legacy, blocking) = (0, Vec::new());
        Context { device, is_primary: false, green, id, fault, legacy, blocking }
    }
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
    pub greens: Table<Green>,
    pub resources: Table<Resources>,
    /// The devices of contexts that ended and whose handles answer with a code.
    pub ended: BTreeMap<usize, usize>,
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
        greens: Table::new(Sort::Green),
        resources: Table::new(Sort::Resources),
        ended: BTreeMap::new(),
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

    /// Returns an error if work of the context has failed, or if the context was reset.
    pub fn check_not_faulted(&self, context: usize) -> Answer {
        if self.contexts.retired(context).is_some() {
            return Err(Code::CONTEXT_IS_DESTROYED);
        }
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
        self.check_not_faulted(context)?;
        Ok(context)
    }

    pub fn device(&self, device: c_int) -> Result<usize, Code> {
        let index = usize::try_from(device).ok().filter(|&index| index < self.primaries.len());
        index.ok_or(Code::INVALID_DEVICE)
    }

    /// Makes a context of its own.
    pub fn new_context(&mut self, device: usize) -> Result<usize, Code> {
        let made = Context::new(device, None, Fault::default());
        let context = self.contexts.insert(|_| made);
        self.give_default_stream(context)
    }

    /// Retains the primary context of a device, and makes it if it is not active.
    pub fn retain_primary(&mut self, device: usize) -> Result<usize, Code> {
        if let Some(code) = self.primaries[device].failed {
            return Err(code);
        }
        if self.primaries[device].context == 0 {
            let mut made = Context::new(device, None, Fault::default());
            made.is_primary = true;
            let before = self.primaries[device].before;
            let context = if before != 0 && config().same_context {
                self.contexts.revive(before, made);
                self.ended.remove(&before);
                before
            } else {
                self.contexts.insert(|_| made)
            };
            if before != 0 {
                self.streams.forget_all(before);
                self.events.forget_all(before);
                self.functions.forget_all(before);
                self.modules.forget_all(before);
            }
            self.primaries[device].context = self.give_default_stream(context)?;
        }
        self.primaries[device].retained += 1;
        Ok(self.primaries[device].context)
    }

    /// Releases the primary context of a device. The last release ends it.
    pub fn release_primary(&mut self, device: usize) -> Answer {
        let primary = &mut self.primaries[device];
        primary.retained = primary.retained.checked_sub(1).ok_or(Code::INVALID_CONTEXT)?;
        if primary.retained == 0 {
            self.reset_primary(device)?;
        }
        Ok(())
    }

    /// Refuses to end a primary context on which a green one stands.
    pub fn refuse_beneath_green(&self, device: usize) -> Answer {
        let is_any = self.greens.all().any(|green| green.device == device);
        if is_any { Err(Code::NOT_PERMITTED) } else { Ok(()) }
    }

    /// Ends the primary context of a device. Does not release it: how often it is retained stays.
    pub fn reset_primary(&mut self, device: usize) -> Answer {
        self.refuse_beneath_green(device)?;
        let context = std::mem::take(&mut self.primaries[device].context);
        if context == 0 {
            return Ok(());
        }
        self.primaries[device].before = context;
        self.primaries[device].failed = self.check_not_faulted(context).err();
        self.end_context(context, End::Reset);
        Ok(())
    }

    /// Returns the context that says whether an event and a stream fit: for that of a green context,
    /// the primary one.
    pub fn root(&self, context: usize) -> usize {
        let found = self.contexts.get(context);
        if found.green.is_some() { self.primaries[found.device].context } else { context }
    }

    /// Gives a new context its default stream.
    pub fn give_default_stream(&mut self, context: usize) -> Result<usize, Code> {
        let legacy = self.new_stream(context, Kind::Legacy, true, 0)?;
        self.contexts.get_mut(context).legacy = legacy;
        Ok(context)
    }

    /// Ends a context with all that is in it. After a reset, work that has not begun is not done.
    /// Events of a green context stay with the primary one.
    pub fn end_context(&mut self, context: usize, end: End) {
        if end == End::Reset {
            fail(&self.contexts.get(context).fault, Code::CONTEXT_IS_DESTROYED);
        }
        for stream in self.streams.handles(|it| it.context == context) {
            if end == End::Reset && self.streams.get(stream).kind == Kind::Explicit {
                gpu_stream_faults::gone("stream", stream);
            }
            self.end_stream(stream, end);
        }
        let root = self.root(context);
        for event in self.events.handles(|it| it.context == context) {
            match end {
                End::Destroyed => drop(self.events.remove(event)),
                End::Green => self.events.get_mut(event).context = root,
                End::Reset => {
                    gpu_stream_faults::gone("event", event);
                    self.events.retire(event, Code::CONTEXT_IS_DESTROYED, context);
                }
            }
        }
        if end == End::Reset {
            for function in self.functions.handles(|it| it.context == context) {
                self.functions.retire(function, Code::CONTEXT_IS_DESTROYED, context);
            }
            for module in self.modules.handles(|it| it.context == context) {
                self.modules.retire(module, Code::CONTEXT_IS_DESTROYED, context);
            }
        }
        if end == End::Destroyed {
            self.contexts.remove(context);
        } else {
            let ended = self.contexts.retire(context, Code::CONTEXT_IS_DESTROYED, context);
            self.ended.insert(context, ended.device);
        }
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
        let stream = self.streams.insert(|_| Stream {
            context,
            kind,
            blocking,
            priority,
            id,
            host,
            member: None,
            told: Told::default(),
        });
        if blocking && kind != Kind::Legacy {
            self.contexts.get_mut(context).blocking.push(stream);
        }
        Ok(stream)
    }

    /// Ends a stream. What was submitted to it still runs. Destroying a stream that was drawn into a
    /// capture leaves the capture alive. The capture that began on the stream cannot be ended any
    /// more: it is over.
    pub fn end_stream(&mut self, stream: usize, end: End) {
        let of = self.streams.get(stream).context;
        let Stream { context, member, .. } = match end {
            End::Destroyed => self.streams.remove(stream),
            End::Reset => self.streams.retire(stream, Code::CONTEXT_IS_DESTROYED, of),
            End::Green if config().version < DETACHES => {
                self.streams.retire(stream, Code::CONTEXT_IS_DESTROYED, of)
            }
            End::Green => self.streams.retire(stream, Code::STREAM_DETACHED, of),
        };
        self.contexts.get_mut(context).blocking.retain(|&other| other != stream);
        let Some(Member { capture, .. }) = member else { return };
        if end != End::Destroyed {
            self.break_capture(capture);
        }
        if self.captures.get(&capture).is_some_and(|it| it.origin == stream) {
            self.abandon_capture(capture);
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
