//! Green contexts: parts of a device with a context handle of their own. They stand on the device's
//! primary context, whose memory and faults they have.
//!
//! Streams of one belong to its own context handle. Its events and the primary context's fit the streams
//! of both. The simulator has no multiprocessors,
//! so the resources are only checked for being some.

use std::ffi::{c_int, c_uint};
use std::sync::Arc;

use crate::call::{Ptr, exports, put};
use crate::codes::Code;
use crate::contexts::{MOST_URGENT, release_primary};
use crate::state::{Context, End, state};
use crate::streams::Kind;

pub struct Green {
    /// What `cuCtxFromGreenCtx` returns.
    pub context: usize,
    pub device: usize,
}

/// What `cuDevResourceGenerateDesc` makes.
pub struct Resources;

/// `CUdevResource`. The multiprocessors follow the inner bytes.
#[repr(C)]
pub struct Resource {
    kind: c_int,
    inner: [u8; 92],
    multiprocessors: c_uint,
    rest: [u8; 44],
}

const _: () = assert!(size_of::<Resource>() == 144);

/// `CU_DEV_RESOURCE_TYPE_SM`.
const MULTIPROCESSORS: c_int = 1;

/// `CU_GREEN_CTX_DEFAULT_STREAM`.
const DEFAULT_STREAM: c_uint = 1;

exports! {
    ready cuDeviceGetDevResource(device: c_int, resource: *mut Resource, kind: c_int) {
        state().device(device)?;
        if kind != MULTIPROCESSORS {
            return Err(Code::INVALID_RESOURCE_TYPE);
        }
        put(resource, Resource { kind, inner: [0; 92], multiprocessors: 1, rest: [0; 44] })
    }

    ready cuDevResourceGenerateDesc(description: *mut Ptr, resources: *mut Resource, count: c_uint) {
        if resources.is_null() || count == 0 {
            return Err(Code::INVALID_VALUE);
        }
        if (0..count as usize).any(|index| (*resources.add(index)).kind != MULTIPROCESSORS) {
            return Err(Code::INVALID_RESOURCE_TYPE);
        }
        let made = state().resources.insert(|_| Resources);
        put(description, std::ptr::without_provenance_mut(made))
    }

    ready cuGreenCtxCreate(green: *mut Ptr, description: Ptr, device: c_int, flags: c_uint) {
        let mut state = state();
        if green.is_null() || description.is_null() || flags != DEFAULT_STREAM {
            return Err(Code::INVALID_VALUE);
        }
        state.resources.check(description)?;
        let device = state.device(device)?;
        let primary = state.retain_primary(device)?;
        let fault = Arc::clone(&state.contexts.get(primary).fault);
        let context = state.contexts.insert(|_| Context::new(device, None, fault));
        state.give_default_stream(context)?;
        let made = state.greens.insert(|_| Green { context, device });
        state.contexts.get_mut(context).green = Some(made);
        put(green, std::ptr::without_provenance_mut(made))
    }

    ready cuGreenCtxDestroy(green: Ptr) {
        let mut state = state();
        let green = state.greens.check(green)?;
        let Green { context, device } = state.greens.remove(green);
        state.end_context(context, End::Green);
        drop(state);
        release_primary(device)
    }

    ready cuCtxFromGreenCtx(context: *mut Ptr, green: Ptr) {
        let state = state();
        let green = state.greens.check(green)?;
        put(context, std::ptr::without_provenance_mut(state.greens.get(green).context))
    }

    ready cuGreenCtxStreamCreate(stream: *mut Ptr, green: Ptr, flags: c_uint, priority: c_int) {
        // A stream of a green context never synchronises with the default stream.
        if stream.is_null() || flags != 1 {
            return Err(Code::INVALID_VALUE);
        }
        let mut state = state();
        let green = state.greens.check(green)?;
        let context = state.greens.get(green).context;
        state.check_not_faulted(context)?;
        let priority = priority.clamp(MOST_URGENT, 0);
        let made = state.new_stream(context, Kind::Explicit, false, priority)?;
        gpu_stream_faults::made("stream", made);
        put(stream, std::ptr::without_provenance_mut(made))
    }

    ready cuStreamGetGreenCtx(stream: Ptr, green: *mut Ptr) {
        let mut state = state();
        let stream = state.stream(stream)?;
        let found = state.contexts.get(state.streams.get(stream).context).green;
        put(green, std::ptr::without_provenance_mut(found.unwrap_or(0)))
    }
}
