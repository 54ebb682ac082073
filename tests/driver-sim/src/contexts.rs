//! Contexts: the primary one of each device, others, and the thread's stack of them.

use std::ffi::{c_int, c_uint};

use gpu_stream_core::Stream as _;

use crate::call::{Answer, Ptr, exports, put};
use crate::codes::Code;
use crate::state::{End, state};
use crate::{gates, thread};

/// How urgent a stream can be; a lower number is more.
pub const MOST_URGENT: c_int = -5;

fn handle(context: usize) -> Ptr {
    std::ptr::without_provenance_mut(context)
}

/// A context to be made current, or 0.
fn named(context: Ptr) -> Result<usize, Code> {
    if context.is_null() {
        return Ok(0);
    }
    let state = state();
    // One that was reset can be made current. Most of what needs a current context is refused then.
    if state.contexts.retired(context.addr()).is_some() {
        return Ok(context.addr());
    }
    state.contexts.check(context)
}

/// Waits for all work of a context.
pub fn synchronize(context: usize) -> Answer {
    let streams = state().all_of(context);
    gates::look();
    streams.iter().try_for_each(|stream| stream.synchronize().map_err(crate::state::refused))?;
    state().check_not_faulted(context)
}

/// Waits for the work of a device's primary context, which is about to end.
fn finish_primary(device: usize) -> Answer {
    let context = {
        let state = state();
        state.refuse_beneath_green(device)?;
        state.primaries[device].context
    };
    if context != 0 {
        // Work that failed is no reason to keep the context.
        let _ = synchronize(context);
    }
    Ok(())
}

/// Releases the primary context of a device. The last release waits for its work.
pub fn release_primary(device: usize) -> Answer {
    let is_last = state().primaries[device].retained == 1;
    if is_last {
        finish_primary(device)?;
    }
    state().release_primary(device)
}

exports! {
    ready cuDevicePrimaryCtxRetain(context: *mut Ptr, device: c_int) {
        let mut state = state();
        let device = state.device(device)?;
        let retained = state.retain_primary(device)?;
        put(context, handle(retained))
    }

    ready cuDevicePrimaryCtxRelease_v2(device: c_int) {
        let device = state().device(device)?;
        release_primary(device)
    }

    ready cuDevicePrimaryCtxReset_v2(device: c_int) {
        let device = state().device(device)?;
        finish_primary(device)?;
        state().reset_primary(device)
    }

    ready cuDevicePrimaryCtxGetState(device: c_int, flags: *mut c_uint, active: *mut c_int) {
        let state = state();
        let device = state.device(device)?;
        put(flags, 0)?;
        put(active, c_int::from(state.primaries[device].context != 0))
    }

    ready cuCtxCreate_v2(context: *mut Ptr, _flags: c_uint, device: c_int) {
        let mut state = state();
        let device = state.device(device)?;
        let made = state.new_context(device)?;
        thread::push(made)?;
        put(context, handle(made))
    }

    ready cuCtxDestroy_v2(context: Ptr) {
        let mut state = state();
        let context = state.contexts.check(context)?;
        let of_it = state.contexts.get(context);
        if of_it.is_primary || of_it.green.is_some() {
            return Err(Code::INVALID_CONTEXT);
        }
        if thread::top() == context {
            thread::pop()?;
        }
        state.end_context(context, End::Destroyed);
        Ok(())
    }

    ready cuCtxGetCurrent(context: *mut Ptr) { put(context, handle(thread::top())) }

    ready cuCtxSetCurrent(context: Ptr) { thread::set_current(named(context)?) }

    ready cuCtxPushCurrent_v2(context: Ptr) {
        match named(context)? {
            0 => Err(Code::INVALID_CONTEXT),
            context => thread::push(context),
        }
    }

    ready cuCtxPopCurrent_v2(context: *mut Ptr) {
        let popped = handle(thread::pop()?);
        crate::call::put_if(context, popped);
        Ok(())
    }

    ready cuCtxGetDevice(device: *mut c_int) {
        let state = state();
        let found = match state.ended.get(&thread::current()?) {
            Some(&device) => device,
            None => state.contexts.get(state.current_of_thread()?).device,
        };
        put(device, c_int::try_from(found).map_err(|_| Code::UNKNOWN)?)
    }

    // Of the current context if none is given.
    ready cuCtxGetId(context: Ptr, id: *mut u64) {
        let state = state();
        let context = if context.is_null() {
            state.current_of_thread()?
        } else {
            state.contexts.check(context)?
        };
        put(id, state.contexts.get(context).id)
    }

    ready cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        state().current_of_thread()?;
        crate::call::put_if(least, 0);
        crate::call::put_if(greatest, MOST_URGENT);
        Ok(())
    }

    ready cuCtxSynchronize() {
        let context = {
            let mut state = state();
            state.refuse_beside_captures()?;
            state.current()?
        };
        synchronize(context)
    }

    inside cuThreadExchangeStreamCaptureMode(mode: *mut c_int) {
        if mode.is_null() || !(0..=2).contains(&mode.read()) {
            return Err(Code::INVALID_VALUE);
        }
        put(mode, thread::exchange_mode(mode.read()))
    }
}
