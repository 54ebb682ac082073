//! Green contexts: parts of a device, each with its own context handle, on the device's primary
//! context. They share its memory and its faults.
//!
//! A stream of a green context belongs to that context's handle. Events of the green context and of
//! the primary context can be used on streams of both. The simulator has no multiprocessors: it
//! only checks that resources are given.

use std::ffi::{c_int, c_uint};
use std::sync::Arc;

use crate::call::{Ptr, exports, write_out};
use crate::codes::Code;
use crate::contexts::{GREATEST_PRIORITY, release_primary};
use crate::state::{Context, End, state};
use crate::streams::StreamKind;

pub struct Green {
    /// The handle that `cuCtxFromGreenCtx` returns.
    pub context: usize,
    pub device: usize,
}

/// The object that `cuDevResourceGenerateDesc` creates.
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
    initialized cuDeviceGetDevResource(device: c_int, resource: *mut Resource, kind: c_int) {
        state().device(device)?;
        if kind != MULTIPROCESSORS {
            return Err(Code::INVALID_RESOURCE_TYPE);
        }
        write_out(resource, Resource { kind, inner: [0; 92], multiprocessors: 1, rest: [0; 44] })
    }

    initialized cuDevResourceGenerateDesc(
        description: *mut Ptr,
        resources: *mut Resource,
        count: c_uint,
    ) {
        if resources.is_null() || count == 0 {
            return Err(Code::INVALID_VALUE);
        }
        if (0..count as usize).any(|index| (*resources.add(index)).kind != MULTIPROCESSORS) {
            return Err(Code::INVALID_RESOURCE_TYPE);
        }
        let made = state().resources.insert(|_| Resources);
        write_out(description, std::ptr::without_provenance_mut(made))
    }

    initialized cuGreenCtxCreate(green: *mut Ptr, description: Ptr, device: c_int, flags: c_uint) {
        let mut state = state();
        if green.is_null() || description.is_null() || flags != DEFAULT_STREAM {
            return Err(Code::INVALID_VALUE);
        }
        state.resources.check(description)?;
        let device = state.device(device)?;
        let primary = state.retain_primary(device)?;
        let fault = Arc::clone(&state.contexts.get(primary).fault);
        let context = state.contexts.insert(|_| Context::new(device, None, fault));
        state.create_default_stream(context)?;
        let made = state.greens.insert(|_| Green { context, device });
        state.contexts.get_mut(context).green = Some(made);
        write_out(green, std::ptr::without_provenance_mut(made))
    }

    initialized cuGreenCtxDestroy(green: Ptr) {
        let mut state = state();
        let green = state.greens.check(green)?;
        let Green { context, device } = state.greens.remove(green);
        state.end_context(context, End::Green);
        drop(state);
        release_primary(device)
    }

    initialized cuCtxFromGreenCtx(context: *mut Ptr, green: Ptr) {
        let state = state();
        let green = state.greens.check(green)?;
        write_out(context, std::ptr::without_provenance_mut(state.greens.get(green).context))
    }

    initialized cuGreenCtxStreamCreate(
        stream: *mut Ptr,
        green: Ptr,
        flags: c_uint,
        priority: c_int,
    ) {
        // A stream of a green context never synchronises with the default stream.
        if stream.is_null() || flags != 1 {
            return Err(Code::INVALID_VALUE);
        }
        let mut state = state();
        let green = state.greens.check(green)?;
        let context = state.greens.get(green).context;
        state.check_not_faulted(context)?;
        let priority = priority.clamp(GREATEST_PRIORITY, 0);
        let made = state.new_stream(context, StreamKind::Explicit, false, priority)?;
        gpu_stream_faults::made("stream", made);
        write_out(stream, std::ptr::without_provenance_mut(made))
    }

    initialized cuStreamGetGreenCtx(stream: Ptr, green: *mut Ptr) {
        let mut state = state();
        let stream = state.stream(stream)?;
        let found = state.contexts.get(state.streams.get(stream).context).green;
        write_out(green, std::ptr::without_provenance_mut(found.unwrap_or(0)))
    }
}
