//! Streams: creation, queries, destruction, implicit synchronization.

use std::ffi::{c_int, c_uint};

use gpu_stream_core::Stream as _;
use gpu_stream_host::HostStream;

use crate::call::{Answer, Ptr, exports, write_optional, write_out};
use crate::captures::Member;
use crate::codes::Code;
use crate::config::config;
use crate::contexts::GREATEST_PRIORITY;
use crate::state::{End, State, host_error, state};
use crate::{gates, thread};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// The default stream of a context.
    Legacy,
    /// The default stream of a thread.
    PerThread,
    Explicit,
}

pub struct Stream {
    pub context: usize,
    pub kind: StreamKind,
    /// `true` if it synchronises with the default stream.
    pub blocking: bool,
    pub priority: c_int,
    pub id: u64,
    pub host: HostStream,
    /// The stream's state in its capture, if it is capturing.
    pub member: Option<Member>,
    pub capture_info: CaptureInfoArrays,
}

/// The arrays that the stream's last `cuStreamGetCaptureInfo` returned: the dependencies of its
/// next node, and eight zero bytes for each edge.
#[derive(Default)]
pub struct CaptureInfoArrays {
    pub nodes: Vec<usize>,
    pub edges: Vec<u64>,
}

fn create(made: *mut Ptr, flags: c_uint, priority: c_int) -> Answer {
    if flags > 1 || made.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    let mut state = state();
    let context = state.current()?;
    let priority = priority.clamp(GREATEST_PRIORITY, 0);
    // In a green context, flags of 0 make a non-blocking stream, and the driver reports so.
    let blocking = flags == 0 && state.contexts.get(context).green.is_none();
    let stream = state.new_stream(context, StreamKind::Explicit, blocking, priority)?;
    gpu_stream_faults::made("stream", stream);
    // SAFETY: `made` is not null, so it is a valid out-pointer, as the driver requires of its
    // caller.
    unsafe { write_out(made, std::ptr::without_provenance_mut(stream)) }
}

/// Returns the stream's context and the host streams that must be idle for `stream` to be idle. For
/// the default stream these include all that it synchronises with.
///
/// Returns an error if the stream must not be queried.
fn streams_to_check(state: &mut State, stream: Ptr) -> Result<(usize, Vec<HostStream>), Code> {
    let stream = state.stream(stream)?;
    state.ensure_not_captured(stream)?;
    state.ensure_default_not_capturing(stream)?;
    state.ensure_capture_mode_allows()?;
    let it = state.streams.get(stream);
    let (context, mut all) = (it.context, vec![it.host.clone()]);
    if it.kind == StreamKind::Legacy {
        let blocking = &state.contexts.get(context).blocking;
        all.extend(blocking.iter().map(|&other| state.streams.get(other).host.clone()));
    }
    state.check_not_faulted(context)?;
    Ok((context, all))
}

/// Waits for all work that was submitted to a stream.
pub fn synchronize(stream: Ptr) -> Answer {
    gates::poll();
    let (context, all) = streams_to_check(&mut state(), stream)?;
    all.iter().try_for_each(|stream| stream.synchronize().map_err(host_error))?;
    state().check_not_faulted(context)
}

exports! {
    initialized cuStreamCreate(made: *mut Ptr, flags: c_uint) { create(made, flags, 0) }

    initialized cuStreamCreateWithPriority(made: *mut Ptr, flags: c_uint, priority: c_int) {
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
        // The stream is destroyed despite a fault, as far as is known.
        state.end_stream(stream, End::Destroyed);
        answer
    }

    inside cuStreamQuery(stream: Ptr) {
        gates::poll();
        let (context, all) = streams_to_check(&mut state(), stream)?;
        for stream in &all {
            if !stream.query().map_err(host_error)? {
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
        write_out(context, std::ptr::without_provenance_mut(found))
    }

    initialized cuStreamGetCtx_v2(stream: Ptr, context: *mut Ptr, green: *mut Ptr) {
        let mut state = state();
        let stream = state.stream(stream)?;
        let found = state.streams.get(stream).context;
        state.check_not_faulted(found)?;
        let of_it = state.contexts.get(found);
        let (plain, its_green) = match of_it.green {
            Some(green) => (state.primaries[of_it.device].context, green),
            None => (found, 0),
        };
        write_optional(green, std::ptr::without_provenance_mut(its_green));
        write_out(context, std::ptr::without_provenance_mut(plain))
    }

    initialized cuStreamGetDevice(stream: Ptr, device: *mut c_int) {
        let mut state = state();
        let stream = state.stream(stream)?;
        let found = state.contexts.get(state.streams.get(stream).context).device;
        write_out(device, c_int::try_from(found).map_err(|_| Code::UNKNOWN)?)
    }

    // Not measured on a capturing stream. It is assumed to break the capture, as `cuStreamGetId`
    // does.
    inside cuStreamGetFlags(stream: Ptr, flags: *mut c_uint) {
        let mut state = state();
        let stream = state.stream(stream)?;
        state.ensure_not_captured(stream)?;
        state.ensure_default_not_capturing(stream)?;
        write_out(flags, u32::from(!state.streams.get(stream).blocking))
    }

    inside cuStreamGetPriority(stream: Ptr, priority: *mut c_int) {
        let mut state = state();
        let stream = state.stream(stream)?;
        state.ensure_default_not_capturing(stream)?;
        write_out(priority, state.streams.get(stream).priority)
    }

    inside cuStreamGetId(stream: Ptr, id: *mut u64) {
        let mut state = state();
        let stream = state.stream(stream)?;
        state.ensure_not_captured(stream)?;
        state.ensure_default_not_capturing(stream)?;
        write_out(id, state.streams.get(stream).id)
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
    /// Applies implicit synchronization before the next work of a stream. A blocking stream waits
    /// for the default stream, and the default stream waits for all blocking streams.
    pub fn apply_implicit_sync(&mut self, stream: usize) -> Answer {
        self.ensure_default_not_capturing(stream)?;
        let it = self.streams.get(stream);
        self.check_not_faulted(it.context)?;
        if !it.blocking {
            return Ok(());
        }
        let context = self.contexts.get(it.context);
        let wait_for = |other: usize| {
            let other = &self.streams.get(other).host;
            if other.query().map_err(host_error)? {
                return Ok(());
            }
            it.host.wait_stream(other).map_err(host_error)
        };
        match it.kind {
            StreamKind::Legacy => context.blocking.iter().try_for_each(|&other| wait_for(other)),
            _ => wait_for(context.legacy),
        }
    }

    /// Returns an error, and breaks the captures concerned, if an active capture forbids unsafe
    /// calls of this thread in its capture mode.
    pub fn ensure_capture_mode_allows(&mut self) -> Answer {
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
