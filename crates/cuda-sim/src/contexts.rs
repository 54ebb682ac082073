//! Contexts: primary contexts, explicit contexts, and each thread's context stack.

use std::ffi::{c_int, c_uint, c_void};

use gpu_stream_core::Stream as _;

use crate::call::{Answer, Ptr, exports, write_out};
use crate::codes::Code;
use crate::limits::check_flags;
use crate::state::{End, state};
use crate::{gates, thread};

/// The highest stream priority. Lower numbers are more urgent.
pub const GREATEST_PRIORITY: c_int = -5;

fn handle(context: usize) -> Ptr {
    std::ptr::without_provenance_mut(context)
}

/// Returns a context that can be made current, or 0 for none.
fn named(context: Ptr) -> Result<usize, Code> {
    if context.is_null() {
        return Ok(0);
    }
    let state = state();
    // A context that was reset can be made current. Most calls that need a current context then
    // fail.
    if state.contexts.retired(context.addr()).is_some() {
        return Ok(context.addr());
    }
    state.contexts.check(context)
}

/// Waits for all work of a context.
pub fn synchronize(context: usize) -> Answer {
    let streams = state().all_of(context);
    gates::poll();
    streams.iter().try_for_each(|stream| stream.synchronize().map_err(crate::state::host_error))?;
    state().check_not_faulted(context)
}

/// Waits for the work of a device's primary context, which is about to end.
fn finish_primary(device: usize) -> Answer {
    let context = {
        let state = state();
        state.ensure_no_green_context(device)?;
        state.primaries[device].context
    };
    if context != 0 {
        // Failed work does not keep the context alive.
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

/// Creates an explicit context and makes it current.
///
/// # Safety
/// `context` is null or a valid out-pointer.
unsafe fn create(context: *mut Ptr, flags: c_uint, device: c_int) -> Answer {
    check_flags(flags)?;
    let mut state = state();
    let device = state.device(device)?;
    let made = state.new_context(device, flags)?;
    thread::push(made)?;
    // SAFETY: `context` is null or a valid out-pointer (caller contract).
    unsafe { write_out(context, handle(made)) }
}

exports! {
    initialized cuDevicePrimaryCtxRetain(context: *mut Ptr, device: c_int) {
        let mut state = state();
        let device = state.device(device)?;
        let retained = state.retain_primary(device)?;
        write_out(context, handle(retained))
    }

    initialized cuDevicePrimaryCtxRelease_v2(device: c_int) {
        let device = state().device(device)?;
        release_primary(device)
    }

    initialized cuDevicePrimaryCtxReset_v2(device: c_int) {
        let device = state().device(device)?;
        finish_primary(device)?;
        state().reset_primary(device)
    }

    initialized cuDevicePrimaryCtxGetState(device: c_int, flags: *mut c_uint, active: *mut c_int) {
        let state = state();
        let device = state.device(device)?;
        write_out(flags, state.primaries[device].flags)?;
        write_out(active, c_int::from(state.primaries[device].context != 0))
    }

    initialized cuCtxCreate_v2(context: *mut Ptr, flags: c_uint, device: c_int) {
        create(context, flags, device)
    }

    // With an execution affinity: for MPS, which is not simulated.
    initialized cuCtxCreate_v3(
        context: *mut Ptr,
        affinities: *const c_void,
        count: c_int,
        flags: c_uint,
        device: c_int,
    ) {
        if !affinities.is_null() || count != 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        create(context, flags, device)
    }

    // With parameters: for MPS and for compute in graphics, neither of which is simulated.
    initialized cuCtxCreate_v4(
        context: *mut Ptr,
        parameters: *const c_void,
        flags: c_uint,
        device: c_int,
    ) {
        if !parameters.is_null() {
            return Err(Code::NOT_SUPPORTED);
        }
        create(context, flags, device)
    }

    initialized cuCtxDestroy_v2(context: Ptr) {
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

    initialized cuCtxGetCurrent(context: *mut Ptr) { write_out(context, handle(thread::top())) }

    initialized cuCtxSetCurrent(context: Ptr) { thread::set_current(named(context)?) }

    initialized cuCtxPushCurrent_v2(context: Ptr) {
        match named(context)? {
            0 => Err(Code::INVALID_CONTEXT),
            context => thread::push(context),
        }
    }

    initialized cuCtxPopCurrent_v2(context: *mut Ptr) {
        let popped = handle(thread::pop()?);
        crate::call::write_optional(context, popped);
        Ok(())
    }

    initialized cuCtxGetDevice(device: *mut c_int) {
        let state = state();
        let found = match state.ended.get(&thread::current()?) {
            Some(&device) => device,
            None => state.contexts.get(state.current_of_thread()?).device,
        };
        write_out(device, c_int::try_from(found).map_err(|_| Code::UNKNOWN)?)
    }

    // A null `context` means the current one.
    initialized cuCtxGetId(context: Ptr, id: *mut u64) {
        let state = state();
        let context = if context.is_null() {
            state.current_of_thread()?
        } else {
            state.contexts.check(context)?
        };
        write_out(id, state.contexts.get(context).id)
    }

    initialized cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        state().current_of_thread()?;
        crate::call::write_optional(least, 0);
        crate::call::write_optional(greatest, GREATEST_PRIORITY);
        Ok(())
    }

    initialized cuCtxSynchronize() {
        let context = {
            let mut state = state();
            state.ensure_capture_mode_allows()?;
            let context = state.current()?;
            state.ensure_context_not_capturing(context)?;
            context
        };
        synchronize(context)
    }

    inside cuThreadExchangeStreamCaptureMode(mode: *mut c_int) {
        if mode.is_null() || !(0..=2).contains(&mode.read()) {
            return Err(Code::INVALID_VALUE);
        }
        write_out(mode, thread::exchange_mode(mode.read()))
    }
}
