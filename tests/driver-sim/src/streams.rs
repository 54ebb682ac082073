//! Streams: making, asking, destroying.

use std::ffi::{c_int, c_uint};

use gpu_stream_core::Stream as _;
use gpu_stream_host::HostStream;

use crate::call::{Answer, Ptr, exports, put, put_if};
use crate::captures::Member;
use crate::codes::Code;
use crate::config::config;
use crate::contexts::MOST_URGENT;
use crate::state::{End, State, refused, state};
use crate::{gates, thread};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The default stream of a context.
    Legacy,
    /// A thread's own.
    PerThread,
    Explicit,
}

pub struct Stream {
    pub context: usize,
    pub kind: Kind,
    /// Whether it synchronises with the default stream.
    pub blocking: bool,
    pub priority: c_int,
    pub id: u64,
    pub host: HostStream,
    /// The capture that it is in.
    pub member: Option<Member>,
    pub told: Told,
}

/// What the last `cuStreamGetCaptureInfo` of a stream points to: the nodes that the stream's next
/// one comes after, and for each edge eight bytes of zeros.
#[derive(Default)]
pub struct Told {
    pub nodes: Vec<usize>,
    pub edges: Vec<u64>,
}

fn create(made: *mut Ptr, flags: c_uint, priority: c_int) -> Answer {
    if flags > 1 || made.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    let mut state = state();
    let context = state.current()?;
    let priority = priority.clamp(MOST_URGENT, 0);
    let stream = state.new_stream(context, Kind::Explicit, flags == 0, priority)?;
    gpu_stream_faults::made("stream", stream);
    // SAFETY: not null, and whoever calls promises that it is a place for one stream.
    unsafe { put(made, std::ptr::without_provenance_mut(stream)) }
}

/// What has to be done before a stream's work is: its own, and for the default stream that of all
/// which it synchronises with. An error where asking is refused.
fn asked(state: &mut State, stream: Ptr) -> Result<(usize, Vec<HostStream>), Code> {
    let stream = state.stream(stream)?;
    state.refuse_captured(stream)?;
    state.refuse_default(stream)?;
    state.refuse_beside_captures()?;
    let it = state.streams.get(stream);
    let (context, mut all) = (it.context, vec![it.host.clone()]);
    if it.kind == Kind::Legacy {
        let blocking = &state.contexts.get(context).blocking;
        all.extend(blocking.iter().map(|&other| state.streams.get(other).host.clone()));
    }
    state.check_not_faulted(context)?;
    Ok((context, all))
}

/// Waits for what a stream was given so far.
pub fn synchronize(stream: Ptr) -> Answer {
    gates::look();
    let (context, all) = asked(&mut state(), stream)?;
    all.iter().try_for_each(|stream| stream.synchronize().map_err(refused))?;
    state().check_not_faulted(context)
}

exports! {
    ready cuStreamCreate(made: *mut Ptr, flags: c_uint) { create(made, flags, 0) }

    ready cuStreamCreateWithPriority(made: *mut Ptr, flags: c_uint, priority: c_int) {
        create(made, flags, priority)
    }

    inside cuStreamDestroy_v2(stream: Ptr) {
        if stream.addr() <= 2 {
            return Err(Code::INVALID_HANDLE);
        }
        let mut state = state();
        if state.streams.retired(stream.addr()) == Some(Code::STREAM_DETACHED) {
            gpu_stream_faults::gone("stream", stream.addr());
            state.streams.forget(stream.addr());
            return Ok(());
        }
        let stream = state.streams.check(stream)?;
        gpu_stream_faults::gone("stream", stream);
        let answer = state.check_not_faulted(state.streams.get(stream).context);
        // After a fault it is destroyed all the same, as far as is known.
        state.end_stream(stream, End::Destroyed);
        answer
    }

    inside cuStreamQuery(stream: Ptr) {
        gates::look();
        let (context, all) = asked(&mut state(), stream)?;
        for stream in &all {
            if !stream.query().map_err(refused)? {
                return Err(Code::NOT_READY);
            }
        }
        state().check_not_faulted(context)
    }

    inside cuStreamSynchronize(stream: Ptr) { synchronize(stream) }

    inside cuStreamGetCtx(stream: Ptr, context: *mut Ptr) {
        let mut state = state();
        let stream = state.stream(stream)?;
        let found = state.streams.get(stream).context;
        state.check_not_faulted(found)?;
        if config().green_801 && state.contexts.get(found).green.is_some() {
            return Err(Code::NOT_SUPPORTED);
        }
        put(context, std::ptr::without_provenance_mut(found))
    }

    ready cuStreamGetCtx_v2(stream: Ptr, context: *mut Ptr, green: *mut Ptr) {
        let mut state = state();
        let stream = state.stream(stream)?;
        let found = state.streams.get(stream).context;
        state.check_not_faulted(found)?;
        let of_it = state.contexts.get(found);
        let (plain, its_green) = match of_it.green {
            Some(green) => (state.primaries[of_it.device].context, green),
            None => (found, 0),
        };
        put_if(green, std::ptr::without_provenance_mut(its_green));
        put(context, std::ptr::without_provenance_mut(plain))
    }

    ready cuStreamGetDevice(stream: Ptr, device: *mut c_int) {
        let mut state = state();
        let stream = state.stream(stream)?;
        let found = state.contexts.get(state.streams.get(stream).context).device;
        put(device, c_int::try_from(found).map_err(|_| Code::UNKNOWN)?)
    }

    // Not measured on a captured stream: taken to break the capture, as `cuStreamGetId` does.
    inside cuStreamGetFlags(stream: Ptr, flags: *mut c_uint) {
        let mut state = state();
        let stream = state.stream(stream)?;
        state.refuse_captured(stream)?;
        state.refuse_default(stream)?;
        put(flags, u32::from(!state.streams.get(stream).blocking))
    }

    inside cuStreamGetPriority(stream: Ptr, priority: *mut c_int) {
        let mut state = state();
        let stream = state.stream(stream)?;
        state.refuse_default(stream)?;
        put(priority, state.streams.get(stream).priority)
    }

    inside cuStreamGetId(stream: Ptr, id: *mut u64) {
        let mut state = state();
        let stream = state.stream(stream)?;
        state.refuse_captured(stream)?;
        state.refuse_default(stream)?;
        put(id, state.streams.get(stream).id)
    }

    inside cuStreamWaitEvent(stream: Ptr, event: Ptr, flags: c_uint) {
        if flags > 1 {
            return Err(Code::INVALID_VALUE);
        }
        let mut state = state();
        let stream = state.stream(stream)?;
        let event = state.events.check(event)?;
        state.wait_event(stream, event)
    }
}

impl State {
    /// Puts what is enqueued next on a stream behind the default stream's work, or behind that of
    /// the streams that the default stream synchronises with.
    pub fn apply_implicit_sync(&mut self, stream: usize) -> Answer {
        self.refuse_default(stream)?;
        let it = self.streams.get(stream);
        self.check_not_faulted(it.context)?;
        if !it.blocking {
            return Ok(());
        }
        let context = self.contexts.get(it.context);
        let wait_for = |other: usize| {
            let other = &self.streams.get(other).host;
            if other.query().map_err(refused)? {
                return Ok(());
            }
            it.host.wait_stream(other).map_err(refused)
        };
        match it.kind {
            Kind::Legacy => context.blocking.iter().try_for_each(|&other| wait_for(other)),
            _ => wait_for(context.legacy),
        }
    }

    /// Whether this thread's mode lets a call be that might have to do with somebody's capture.
    pub fn refuse_beside_captures(&mut self) -> Answer {
        if self.captures.is_empty() {
            return Ok(());
        }
        let (mode, thread) = (thread::mode(), thread::number());
        let is_hit = |own: bool, of: c_int| match mode {
            0 => {
                if own {
                    of != 2
                } else {
                    of == 0
                }
            }
            1 => own && of != 2,
            _ => false,
        };
        let mut hit = false;
        for capture in self.captures.values_mut() {
            if is_hit(capture.thread == thread, capture.mode) {
                (hit, capture.is_broken) = (true, true);
            }
        }
        if hit { Err(Code::CAPTURE_UNSUPPORTED) } else { Ok(()) }
    }
}
