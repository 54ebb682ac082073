//! Contexts: the primary one of each device, others, and the thread's stack of them.

use std::ffi::{c_int, c_uint};

use gpu_stream_core::Stream as _;

use crate::call::{Answer, Ptr, exports, put};
use crate::codes::Code;
use crate::state::{State, state};
use crate::{gates, thread};

/// How urgent a stream can be; a lower number is more.
pub const MOST_URGENT: c_int = -5;

fn handle(context: usize) -> Ptr {
    std::ptr::without_provenance_mut(context)
}

/// A context to be made current, or 0.
fn named(context: Ptr) -> Result<usize, Code> {
    if context.is_null() { Ok(0) } else { state().contexts.check(context) }
}

/// Waits for all work of a context.
pub fn synchronize(context: usize) -> Answer {
    let streams = state().all_of(context);
    gates::look();
    streams.iter().try_for_each(|stream| stream.synchronize().map_err(crate::state::refused))?;
    state().sound(context)
}

fn release_primary(state: &mut State, device: c_int) -> Answer {
    let device = state.device(device)?;
    let primary = &mut state.primaries[device];
    primary.retained = primary.retained.checked_sub(1).ok_or(Code::INVALID_CONTEXT)?;
    let context = primary.context;
    if primary.retained == 0 {
        primary.context = 0;
        state.end_context(context);
    }
    Ok(())
}

exports! {
    ready cuDevicePrimaryCtxRetain(context: *mut Ptr, device: c_int) {
        let mut state = state();
        let device = state.device(device)?;
        if state.primaries[device].retained == 0 {
            state.primaries[device].context = state.new_context(device, true)?;
        }
        state.primaries[device].retained += 1;
        put(context, handle(state.primaries[device].context))
    }

    ready cuDevicePrimaryCtxRelease_v2(device: c_int) { release_primary(&mut state(), device) }

    ready cuDevicePrimaryCtxGetState(device: c_int, flags: *mut c_uint, active: *mut c_int) {
        let state = state();
        let device = state.device(device)?;
        put(flags, 0)?;
        put(active, c_int::from(state.primaries[device].retained > 0))
    }

    ready cuCtxCreate_v2(context: *mut Ptr, _flags: c_uint, device: c_int) {
        let mut state = state();
        let device = state.device(device)?;
        let made = state.new_context(device, false)?;
        thread::push(made)?;
        put(context, handle(made))
    }

    ready cuCtxDestroy_v2(context: Ptr) {
        let mut state = state();
        let context = state.contexts.check(context)?;
        if state.contexts.get(context).is_primary {
            return Err(Code::INVALID_CONTEXT);
        }
        if thread::top() == context {
            thread::pop()?;
        }
        state.end_context(context);
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
        let found = state.contexts.get(state.current_of_thread()?).device;
        put(device, c_int::try_from(found).map_err(|_| Code::UNKNOWN)?)
    }

    ready cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        thread::current()?;
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

    ready cuThreadExchangeStreamCaptureMode(mode: *mut c_int) {
        if mode.is_null() || !(0..=2).contains(&mode.read()) {
            return Err(Code::INVALID_VALUE);
        }
        put(mode, thread::exchange_mode(mode.read()))
    }
}
