//! Wraps the queues of other libraries, and creates queues.

use std::ptr::null_mut;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use gpu_stream_core::{BackendKind, ContractError, Device, KeepAlive, RawStream, StreamOptions};

use gpu_stream_driver_common::Seen;
use gpu_stream_driver_common::host_func::is_inside;

use super::{OpenClStream, Queue};
use crate::device::{QUEUE_DEVICE, ordinal_of};
use crate::driver::{Handle, Ptr, check, driver, info};
use crate::error::{Result, driver_error, invalid_handle};
use crate::host_func::USER_CODE;
use crate::{OpenCl, OpenClCode};

const QUEUE_CONTEXT: u32 = 0x1090;
const QUEUE_PROPERTIES: u32 = 0x1093;
const OUT_OF_ORDER: u64 = 1;
const PROFILING: u64 = 2;

const NO_QUEUE: &str = "is no command queue: OpenCL has no default stream and no stream for each thread; create a queue with \
     `Backend::new_stream`, or wrap one that was created by `clCreateCommandQueue`";
const IS_OUT_OF_ORDER: &str = "is an out-of-order command queue, and a stream runs its work in order; create the queue without \
     CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE";
const UNKNOWN_DEVICE: &str = "is a command queue of a device that is not in the list of devices: it was loaded after the first call, or its \
     version is below OpenCL 1.2";

/// [`clSetEventCallback`](https://registry.khronos.org/OpenCL/specs/3.0-unified/html/OpenCL_API.html#clSetEventCallback)
/// leaves undefined what a callback does that creates a context or a queue.
const INSIDE: &str = "it is called from a host function, where OpenCL allows no new queue; create the stream before, and let the \
     function use it";

/// Wraps a queue, and adds a reference to it.
///
/// # Safety
/// - `raw` is a live command queue, or one of the numbers 0, 1 and 2.
pub(crate) unsafe fn wrap(
    raw: RawStream<OpenCl>,
    device: Option<Device>,
    owner: KeepAlive,
    operation: &'static str,
) -> Result<OpenClStream> {
    // SAFETY: the queue is live (caller contract).
    match unsafe { retain(raw, device, operation) } {
        Ok((place, device)) => Ok(stream(raw.as_ptr(), place, device, owner)),
        Err(error) => {
            USER_CODE.drop_owner(owner);
            Err(error)
        }
    }
}

/// Checks a queue, and adds a reference to it. Returns its context and device, and the device's ordinal.
///
/// # Safety
/// - As [`wrap`].
unsafe fn retain(
    raw: RawStream<OpenCl>,
    device: Option<Device>,
    operation: &'static str,
) -> Result<((Ptr, Ptr), u32)> {
    let driver = driver()?;
    if let Some(given) = device {
        driver.device(given, operation)?;
    }
    let bits = raw.to_bits();
    // A pointer to an object is above them.
    if bits <= 2 {
        return Err(invalid_handle(operation, bits, NO_QUEUE));
    }
    let queue = raw.as_ptr();
    // SAFETY: the queue is live (caller contract), and the facts have these types.
    let (context, id, properties) = unsafe {
        let get = driver.symbols.queue_info;
        let parameter = |number| info(get, queue, number, null_mut());
        let facts = (
            parameter(QUEUE_CONTEXT),
            parameter(QUEUE_DEVICE),
            info(get, queue, QUEUE_PROPERTIES, 0),
        );
        match facts {
            (Ok(context), Ok(device), Ok(properties)) => (context, device, properties),
            (Err(code), ..) | (_, Err(code), _) | (.., Err(code)) => {
                let code = OpenClCode::new(code);
                return Err(driver_error(operation, "clGetCommandQueueInfo", code));
            }
        }
    };
    if properties & OUT_OF_ORDER != 0_u64 {
        return Err(invalid_handle(operation, bits, IS_OUT_OF_ORDER));
    }
    let ordinal = ordinal_of(driver, id, operation)?;
    let ordinal = ordinal.ok_or_else(|| invalid_handle(operation, bits, UNKNOWN_DEVICE))?;
    if let Some(given) = device {
        given.check_is(Device::new(BackendKind::OpenCl, ordinal), operation)?;
    }
    // SAFETY: the queue is live (caller contract).
    check(unsafe { (driver.symbols.queue_retain)(queue) }, operation, "clRetainCommandQueue")?;
    Ok(((context, id), ordinal))
}

/// Takes over a reference to a queue.
fn stream(queue: Ptr, (context, id): (Ptr, Ptr), device: u32, owner: KeepAlive) -> OpenClStream {
    let (raw, context, id) = (Handle(queue), Handle(context), Handle(id));
    let (asked, is_kept, seen) = (Mutex::new(None), AtomicBool::new(false), Seen::new());
    OpenClStream(Arc::new(Queue { raw, context, id, device, asked, is_kept, seen, owner }))
}

/// Creates a queue with timing, in the context and on the device of `place`, or in this crate's own context.
pub(crate) fn new_stream(
    device: Device,
    place: Option<(Ptr, Ptr)>,
    options: StreamOptions,
    operation: &'static str,
) -> Result<OpenClStream> {
    let driver = driver()?;
    let state = driver.device(device, operation)?;
    if is_inside() {
        return Err(ContractError::NotPermitted { operation, reason: INSIDE }.into());
    }
    let unsupported = |reason| {
        let backend = BackendKind::OpenCl;
        Err(ContractError::Unsupported { operation, backend, reason }.into())
    };
    if options.blocking {
        return unsupported("no stream is blocking, since OpenCL has no default stream");
    }
    if options.priority != 0 {
        return unsupported("OpenCL has no priorities of queues without an extension");
    }
    let (context, id) = match place {
        Some(place) => place,
        None => (driver.context(state, operation)?, state.id),
    };
    let mut code = 0;
    // SAFETY: the context is live and has the device, and `&mut code` is a valid out-pointer.
    let queue = unsafe { (driver.symbols.queue_create)(context, id, PROFILING, &mut code) };
    check(code, operation, "clCreateCommandQueue")?;
    Ok(stream(queue, (context, id), device.ordinal(), KeepAlive::none()))
}
