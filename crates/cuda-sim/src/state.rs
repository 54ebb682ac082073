//! The state of the driver, behind one lock.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint};
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
use crate::limits::Settings;
use crate::streams::{CaptureInfoArrays, Stream, StreamKind};
use crate::tables::{HandleKind, Table};
use crate::thread;
use crate::work::fail;

/// The sticky error of a context: a code, or 0.
pub type Fault = Arc<AtomicI32>;

pub struct Context {
    pub device: usize,
    pub is_primary: bool,
    /// The green context that this context handle belongs to.
    pub green: Option<usize>,
    /// The number that `cuCtxGetId` returns.
    pub id: u64,
    pub fault: Fault,
    /// The default stream.
    pub legacy: usize,
    /// Streams that synchronise with the default stream.
    pub blocking: Vec<usize>,
    pub settings: Settings,
}

/// The primary context of a device.
#[derive(Default)]
pub struct PrimaryContext {
    pub retained: usize,
    /// The context, or 0 if it is not active: it was never retained, was released, or was reset.
    pub context: usize,
    /// The flags that the next primary context gets.
    pub flags: c_uint,
    /// The handle of the last primary context that ended, or 0.
    pub before: usize,
    /// The error of a primary context that ended after its work had failed. It prevents another one
    /// in this process.
    pub failed: Option<Code>,
}

/// The first version that detaches the streams of a destroyed green context. Detached streams can
/// be destroyed.
const DETACHES_SINCE: c_int = 13_010;

/// The way a context ends. It decides what calls on its objects' handles answer afterwards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `cuCtxDestroy`: a use of an object aborts the process.
    Destroyed,
    /// The primary context was reset, or released for the last time.
    ///
    /// Until it is retained again, calls on its objects return a code. After that, a use of one
    /// aborts the process.
    Reset,
    /// `cuGreenCtxDestroy`.
    Green,
}

impl Context {
    pub fn new(device: usize, green: Option<usize>, fault: Fault) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let (legacy, blocking) = (0, Vec::new());
        let settings = Settings::default();
        Context { device, is_primary: false, green, id, fault, legacy, blocking, settings }
    }
}

pub struct State {
    pub primaries: Vec<PrimaryContext>,
    pub contexts: Table<Context>,
    pub streams: Table<Stream>,
    pub events: Table<Event>,
    pub graphs: Table<Graph>,
    pub executables: Table<Executable>,
    pub modules: Table<Module>,
    pub functions: Table<Function>,
    pub greens: Table<Green>,
    pub resources: Table<Resources>,
    /// Contexts that ended and whose handles answer with a code, each with its device.
    pub ended: BTreeMap<usize, usize>,
    /// The captures, by number.
    pub captures: BTreeMap<u64, Capture>,
    last_number: u64,
}

static INITIALIZED: AtomicBool = AtomicBool::new(false);

static STATE: LazyLock<Mutex<State>> = LazyLock::new(|| {
    let primaries = (0..config().gpus).map(|_| PrimaryContext::default()).collect();
    Mutex::new(State {
        primaries,
        contexts: Table::new(HandleKind::Context),
        streams: Table::new(HandleKind::Stream),
        events: Table::new(HandleKind::Event),
        graphs: Table::new(HandleKind::Graph),
        executables: Table::new(HandleKind::Executable),
        modules: Table::new(HandleKind::Module),
        functions: Table::new(HandleKind::Function),
        greens: Table::new(HandleKind::Green),
        resources: Table::new(HandleKind::Resources),
        ended: BTreeMap::new(),
        captures: BTreeMap::new(),
        last_number: 0,
    })
});

/// Locks the state. The lock is never held while waiting for a stream's work.
pub fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns `true` if `cuInit` was called.
pub fn is_initialized() -> bool {
    INITIALIZED.load(Ordering::Relaxed)
}

pub fn initialize() {
    if !INITIALIZED.swap(true, Ordering::Relaxed) {
        // The real driver also does not wait for pending work when the process exits.
        gpu_stream_host::abandon_at_exit();
    }
}

/// Returns the host backend's only device, on which all streams run. The simulator itself keeps
/// track of the simulated devices.
pub fn host_device() -> Result<Device, Code> {
    Host::device(0).map_err(host_error)
}

/// Reports an error of the host backend (no thread, or an invalid setting) and returns the code for
/// it.
pub fn host_error(error: gpu_stream_host::HostError) -> Code {
    eprintln!("cuda-sim: {}: {error}", thread::current_call());
    Code::UNKNOWN
}

impl State {
    /// Returns a number that no stream and no capture has had before.
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

    /// Returns the current context. Returns an error if it was destroyed.
    pub fn current_of_thread(&self) -> Result<usize, Code> {
        let context = thread::current()?;
        if self.contexts.is_alive(context) { Ok(context) } else { Err(Code::CONTEXT_IS_DESTROYED) }
    }

    /// Returns the current context. Returns an error if it was destroyed or its work has failed.
    pub fn current(&self) -> Result<usize, Code> {
        let context = self.current_of_thread()?;
        self.check_not_faulted(context)?;
        Ok(context)
    }

    /// Returns the device of the current context. Errors as [`State::current`].
    pub fn current_device(&self) -> Result<usize, Code> {
        Ok(self.contexts.get(self.current()?).device)
    }

    pub fn device(&self, device: c_int) -> Result<usize, Code> {
        let index = usize::try_from(device).ok().filter(|&index| index < self.primaries.len());
        index.ok_or(Code::INVALID_DEVICE)
    }

    /// Creates an explicit context.
    pub fn new_context(&mut self, device: usize, flags: c_uint) -> Result<usize, Code> {
        let mut made = Context::new(device, None, Fault::default());
        made.settings.flags = flags;
        let context = self.contexts.insert(|_| made);
        self.create_default_stream(context)
    }

    /// Retains the primary context of a device. Creates it if it is not active.
    pub fn retain_primary(&mut self, device: usize) -> Result<usize, Code> {
        if let Some(code) = self.primaries[device].failed {
            return Err(code);
        }
        if self.primaries[device].context == 0 {
            let mut made = Context::new(device, None, Fault::default());
            made.is_primary = true;
            made.settings.flags = self.primaries[device].flags;
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
            self.primaries[device].context = self.create_default_stream(context)?;
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

    /// Returns an error if a green context exists on the device's primary context, which then
    /// cannot end.
    pub fn ensure_no_green_context(&self, device: usize) -> Answer {
        let is_any = self.greens.all().any(|green| green.device == device);
        if is_any { Err(Code::NOT_PERMITTED) } else { Ok(()) }
    }

    /// Ends the primary context of a device. Its retain count stays.
    pub fn reset_primary(&mut self, device: usize) -> Answer {
        self.ensure_no_green_context(device)?;
        let context = std::mem::take(&mut self.primaries[device].context);
        if context == 0 {
            return Ok(());
        }
        self.primaries[device].before = context;
        self.primaries[device].failed = self.check_not_faulted(context).err();
        self.end_context(context, End::Reset);
        Ok(())
    }

    /// Returns the context that decides whether an event and a stream fit. For a green context that
    /// is the primary one.
    pub fn root(&self, context: usize) -> usize {
        let found = self.contexts.get(context);
        if found.green.is_some() { self.primaries[found.device].context } else { context }
    }

    /// Creates the default stream of a new context.
    pub fn create_default_stream(&mut self, context: usize) -> Result<usize, Code> {
        let legacy = self.new_stream(context, StreamKind::Legacy, true, 0)?;
        self.contexts.get_mut(context).legacy = legacy;
        Ok(context)
    }

    /// Ends a context and its objects. A reset cancels work that has not begun. Events of a green
    /// context stay with the primary context.
    pub fn end_context(&mut self, context: usize, end: End) {
        if end == End::Reset {
            fail(&self.contexts.get(context).fault, Code::CONTEXT_IS_DESTROYED);
        }
        for stream in self.streams.handles(|it| it.context == context) {
            if end == End::Reset && self.streams.get(stream).kind == StreamKind::Explicit {
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
        kind: StreamKind,
        blocking: bool,
        priority: c_int,
    ) -> Result<usize, Code> {
        let options = StreamOptions::new().priority(if priority < 0 { -1 } else { 0 });
        let host = Host::new_stream(host_device()?, options).map_err(host_error)?;
        let id = self.next_number();
        let stream = self.streams.insert(|_| Stream {
            context,
            kind,
            blocking,
            priority,
            id,
            host,
            member: None,
            capture_info: CaptureInfoArrays::default(),
        });
        if blocking && kind != StreamKind::Legacy {
            self.contexts.get_mut(context).blocking.push(stream);
        }
        Ok(stream)
    }

    /// Ends a stream. Its submitted work still runs.
    ///
    /// A capture survives the destruction of a stream that joined it. It ends with the destruction
    /// of its origin, because it can no longer be ended there.
    pub fn end_stream(&mut self, stream: usize, end: End) {
        let of = self.streams.get(stream).context;
        let Stream { context, member, .. } = match end {
            End::Destroyed => self.streams.remove(stream),
            End::Reset => self.streams.retire(stream, Code::CONTEXT_IS_DESTROYED, of),
            End::Green if config().version < DETACHES_SINCE => {
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

    /// Returns the stream that a handle means on this thread.
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
                let own = self.new_stream(context, StreamKind::PerThread, true, 0)?;
                thread::keep_own_stream(context, own);
                Ok(own)
            }
            _ => self.streams.check(stream),
        }
    }

    /// Returns `true` if `stream` is still the thread's own stream in `context`. The stream ends
    /// with its context.
    pub fn is_own_stream(&self, context: usize, stream: usize) -> bool {
        self.streams.is_alive(stream) && {
            let it = self.streams.get(stream);
            it.context == context && it.kind == StreamKind::PerThread
        }
    }

    /// Returns the host backend's streams of a context.
    pub fn all_of(&self, context: usize) -> Vec<HostStream> {
        let of_it = self.streams.all().filter(|stream| stream.context == context);
        of_it.map(|stream| stream.host.clone()).collect()
    }
}
