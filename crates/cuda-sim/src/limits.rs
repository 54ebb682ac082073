//! Settings of a context, which the driver keeps and returns: flags, limits, cache configuration.

use std::ffi::{c_int, c_uint};

use crate::call::{Answer, Ptr, exports, write_out};
use crate::codes::Code;
use crate::state::state;

/// The limits (`CU_LIMIT_…`), each with its first value, as measured on an H100.
///
/// The driver knows two more and does not support them there: the depth of synchronization on the device (3), and the
/// fallback of shared memory beside graphics work (9).
const LIMITS: [(c_int, usize); 8] = [
    (0, 1024),      // stack of a thread
    (1, 8_650_752), // buffer of printf
    (2, 8 << 20),   // heap of malloc on the device
    (4, 2048),      // pending launches on the device
    (5, 64),        // granularity of fetches into the second-level cache
    (6, 9_830_400), // persisting part of the second-level cache
    (7, 232_448),   // shared memory that a kernel can have
    (8, 0),         // whether CUDA runs inside graphics work
];

/// The last limit that the driver knows.
const LAST_LIMIT: c_int = 9;

/// The first of the limits that can only be queried, as NVIDIA documents. The code of a set is not measured.
const FIRST_QUERY_ONLY: c_int = 7;

/// The flags of a context: how the host waits (0, 1, 2, 4), and five bits without effect here.
const ALLOWED_FLAGS: c_uint = 0xff;

/// `CU_CTX_MAP_HOST`. Measured on an H100 for a new primary context; that every context has it is a guess.
const MAP_HOST: c_uint = 8;

/// Settings of a context.
#[derive(Clone, Copy, Default)]
pub struct Settings {
    pub flags: c_uint,
    cache: c_int,
    limits: [Option<usize>; LIMITS.len()],
}

/// Returns an error for flags that are unknown, or that name two ways of waiting.
pub fn check_flags(flags: c_uint) -> Answer {
    let is_valid = flags & !ALLOWED_FLAGS == 0 && (flags & 7).count_ones() <= 1;
    if is_valid { Ok(()) } else { Err(Code::INVALID_VALUE) }
}

fn index_of(limit: c_int) -> Result<usize, Code> {
    if !(0..=LAST_LIMIT).contains(&limit) {
        return Err(Code::INVALID_VALUE);
    }
    LIMITS.iter().position(|(known, _)| *known == limit).ok_or(Code::UNSUPPORTED_LIMIT)
}

exports! {
    initialized cuCtxGetFlags(flags: *mut c_uint) {
        let state = state();
        let context = state.current()?;
        // Measured on an H100: 32 and 64 can be set, and are not returned.
        write_out(flags, state.contexts.get(context).settings.flags & !0x60 | MAP_HOST)
    }

    initialized cuCtxSetFlags(flags: c_uint) {
        check_flags(flags)?;
        let mut state = state();
        let context = state.current()?;
        state.contexts.get_mut(context).settings.flags = flags;
        Ok(())
    }

    initialized cuCtxGetLimit(value: *mut usize, limit: c_int) {
        let state = state();
        let context = state.current()?;
        let index = index_of(limit)?;
        let set = state.contexts.get(context).settings.limits[index];
        write_out(value, set.unwrap_or(LIMITS[index].1))
    }

    initialized cuCtxSetLimit(limit: c_int, value: usize) {
        let mut state = state();
        state.ensure_capture_mode_allows()?;
        let context = state.current()?;
        let index = index_of(limit)?;
        if limit >= FIRST_QUERY_ONLY {
            return Err(Code::NOT_PERMITTED);
        }
        state.contexts.get_mut(context).settings.limits[index] = Some(value);
        Ok(())
    }

    initialized cuCtxGetCacheConfig(cache: *mut c_int) {
        let state = state();
        let context = state.current()?;
        write_out(cache, state.contexts.get(context).settings.cache)
    }

    initialized cuCtxSetCacheConfig(cache: c_int) {
        if !(0..=3).contains(&cache) {
            return Err(Code::INVALID_VALUE);
        }
        let mut state = state();
        let context = state.current()?;
        state.contexts.get_mut(context).settings.cache = cache;
        Ok(())
    }

    // A null `context` means the current one.
    initialized cuCtxGetApiVersion(context: Ptr, version: *mut c_uint) {
        let state = state();
        match context.is_null() {
            true => state.current_of_thread()?,
            false => state.contexts.check(context)?,
        };
        write_out(version, 3020)
    }

    // No device accesses another's memory by this way: all memory is accessible to all.
    initialized cuDeviceCanAccessPeer(can: *mut c_int, device: c_int, peer: c_int) {
        let state = state();
        state.device(device)?;
        state.device(peer)?;
        write_out(can, 0)
    }

    initialized cuCtxEnablePeerAccess(peer: Ptr, _flags: c_uint) {
        state().contexts.check(peer)?;
        Err(Code::PEER_ACCESS_UNSUPPORTED)
    }

    initialized cuDevicePrimaryCtxSetFlags_v2(device: c_int, flags: c_uint) {
        check_flags(flags)?;
        let mut state = state();
        let device = state.device(device)?;
        state.primaries[device].flags = flags;
        match state.primaries[device].context {
            0 => {}
            context => state.contexts.get_mut(context).settings.flags = flags,
        }
        Ok(())
    }
}
