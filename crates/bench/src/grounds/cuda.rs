//! The CUDA backend, and the driver's own calls.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::null_mut;

use gpu_stream_core::dynamic;
use gpu_stream_core::{Backend, Device, RawStream, StreamOwner};
use gpu_stream_cuda::Cuda;
use libloading::Library as SharedLibrary;

use crate::{Bare, Failed, Ground, Job, Library};

type Ptr = *mut c_void;

/// `CU_STREAM_NON_BLOCKING`.
const NON_BLOCKING: c_uint = 1;
/// `CU_EVENT_DISABLE_TIMING`.
const WITHOUT_TIMING: c_uint = 2;
/// `CUDA_ERROR_NOT_READY`.
const NOT_READY: c_int = 600;

macro_rules! functions {
    ($($field:ident = $name:literal ($($argument:ty),*);)*) => {
        /// The functions of the driver.
        #[derive(Debug)]
        struct Functions {
            $($field: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Functions {
            fn resolve(library: &SharedLibrary) -> Result<Self, libloading::Error> {
                Ok(Functions {
                    // SAFETY: that is the function's signature in `cuda.h`; the library is never
                    // closed.
                    $($field: *unsafe { library.get($name) }?,)*
                })
            }
        }
    };
}

functions! {
    device_get = "cuDeviceGet" (*mut c_int, c_int);
    primary_retain = "cuDevicePrimaryCtxRetain" (*mut Ptr, c_int);
    ctx_set_current = "cuCtxSetCurrent" (Ptr);
    stream_create = "cuStreamCreateWithPriority" (*mut Ptr, c_uint, c_int);
    stream_destroy = "cuStreamDestroy_v2" (Ptr);
    stream_context = "cuStreamGetCtx" (Ptr, *mut Ptr);
    stream_is_capturing = "cuStreamIsCapturing" (Ptr, *mut c_int);
    stream_query = "cuStreamQuery" (Ptr);
    stream_synchronize = "cuStreamSynchronize" (Ptr);
    stream_wait_event = "cuStreamWaitEvent" (Ptr, Ptr, c_uint);
    stream_priority = "cuStreamGetPriority" (Ptr, *mut c_int);
    stream_id = "cuStreamGetId" (Ptr, *mut u64);
    host_func = "cuLaunchHostFunc" (Ptr, unsafe extern "C" fn(Ptr), Ptr);
    event_create = "cuEventCreate" (*mut Ptr, c_uint);
    event_destroy = "cuEventDestroy_v2" (Ptr);
    event_query = "cuEventQuery" (Ptr);
    event_synchronize = "cuEventSynchronize" (Ptr);
    event_record = "cuEventRecord" (Ptr, Ptr);
    event_elapsed = "cuEventElapsedTime" (*mut f32, Ptr, Ptr);
}

/// The ground of `gpu-stream-cuda`: device 0, in its primary context, which is current on the
/// threads that measure, as it is in a program of the runtime API.
pub struct CudaGround {
    bare: CudaBare,
    device: Device,
    #[cfg(feature = "cudarc")]
    cudarc: Option<super::cudarc::Cudarc>,
}

impl CudaGround {
    /// Starts the driver.
    ///
    /// # Errors
    /// As [`Backend::probe`], or what the driver says, as text.
    pub fn new() -> Result<Self, String> {
        let info = Cuda::probe().map_err(|error| error.to_string())?;
        let device = Cuda::device(0).map_err(|error| error.to_string())?;
        let bare = CudaBare::load(&info.library.unwrap_or_default())?;
        bare.enter()?;
        Ok(CudaGround {
            #[cfg(feature = "cudarc")]
            cudarc: super::cudarc::Cudarc::new()?,
            bare,
            device,
        })
    }
}

/// The driver's calls, in one context.
#[derive(Clone, Copy, Debug)]
pub struct CudaBare {
    functions: &'static Functions,
    context: Ptr,
}

// SAFETY: contexts may be used from any thread.
unsafe impl Send for CudaBare {}
// SAFETY: as above.
unsafe impl Sync for CudaBare {}

/// An error unless `code` is success.
#[inline]
fn ok(function: &'static str, code: c_int) -> Result<(), Failed> {
    if code == 0 { Ok(()) } else { Err(Failed { function, code }) }
}

/// Whether it is done.
#[inline]
fn done(function: &'static str, code: c_int) -> Result<bool, Failed> {
    if code == NOT_READY { Ok(false) } else { ok(function, code).map(|()| true) }
}

impl CudaBare {
    /// The library that the backend has loaded, a second time.
    fn load(library: &str) -> Result<Self, String> {
        let broken = |error: libloading::Error| format!("{library}, for the bare calls: {error}");
        // SAFETY: the backend has loaded it by this name, so that its initialisers have run.
        let loaded = Box::leak(Box::new(unsafe { SharedLibrary::new(library) }.map_err(broken)?));
        let functions: &Functions =
            Box::leak(Box::new(Functions::resolve(loaded).map_err(broken)?));
        let (mut device, mut context) = (0, null_mut());
        // SAFETY: `device` is a place for one device.
        ok("cuDeviceGet", unsafe { (functions.device_get)(&mut device, 0) })?;
        // SAFETY: `context` is a place for one context. It is retained for ever.
        let code = unsafe { (functions.primary_retain)(&mut context, device) };
        ok("cuDevicePrimaryCtxRetain", code)?;
        Ok(CudaBare { functions, context })
    }

    fn enter(&self) -> Result<(), Failed> {
        // SAFETY: the context is retained for ever.
        ok("cuCtxSetCurrent", unsafe { (self.functions.ctx_set_current)(self.context) })
    }
}

/// A stream of the bare driver. Dropping it destroys it.
#[derive(Debug)]
pub struct CudaForeign {
    bare: CudaBare,
    raw: Ptr,
}

// SAFETY: streams may be used from any thread.
unsafe impl Send for CudaForeign {}
// SAFETY: as above.
unsafe impl Sync for CudaForeign {}

impl CudaForeign {
    #[cfg(feature = "cudarc")]
    pub(super) fn as_ptr(&self) -> Ptr {
        self.raw
    }
}

impl Drop for CudaForeign {
    fn drop(&mut self) {
        // SAFETY: the stream is ours, and this is its last use.
        unsafe { (self.bare.functions.stream_destroy)(self.raw) };
    }
}

// SAFETY: the stream lives until the value is dropped.
unsafe impl StreamOwner<Cuda> for CudaForeign {
    fn raw_stream(&self) -> RawStream<Cuda> {
        RawStream::from_ptr(self.raw)
    }
}

/// An event of the bare driver. Dropping it destroys it.
#[derive(Debug)]
pub struct CudaBareEvent {
    bare: CudaBare,
    raw: Ptr,
}

// SAFETY: events may be used from any thread.
unsafe impl Send for CudaBareEvent {}
// SAFETY: as above.
unsafe impl Sync for CudaBareEvent {}

impl Drop for CudaBareEvent {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and this is its last use.
        unsafe { (self.bare.functions.event_destroy)(self.raw) };
    }
}

unsafe extern "C" fn nothing(_: Ptr) {}

// In all calls below, the handles are alive, since what owns them is borrowed, and what is pointed
// to is a place for what the driver writes.
impl Bare for CudaBare {
    type Stream = CudaForeign;
    type Event = CudaBareEvent;

    fn calls(&self, job: Job) -> &'static str {
        match job {
            Job::WrapChecked => "cuStreamGetCtx, compared",
            Job::WrapUnchecked => "nothing",
            Job::Query => "cuStreamIsCapturing, cuStreamQuery",
            Job::Synchronize => "cuStreamIsCapturing, cuStreamSynchronize",
            Job::Record => "cuEventRecord",
            Job::RecordEvent => "cuEventCreate, cuEventRecord, cuEventDestroy",
            Job::EventQuery => "cuEventQuery",
            Job::EventSynchronize => "cuEventSynchronize",
            Job::WaitEvent => "cuStreamWaitEvent",
            Job::WaitStream => "cuEventRecord, cuStreamWaitEvent; the event reused",
            Job::Fork => "1 cuEventRecord, 16 cuStreamWaitEvent; the event reused",
            Job::Join => "16 of cuEventRecord and cuStreamWaitEvent; the event reused",
            Job::NewStream => "cuStreamCreateWithPriority, cuStreamDestroy",
            Job::NewEvent => "cuEventCreate, cuEventDestroy",
            Job::ShortLivedChecked => {
                "cuStreamGetCtx, compared; 7 of cuEventRecord, 10 of cuStreamWaitEvent; the event reused"
            }
            Job::ShortLived => "7 of cuEventRecord, 10 of cuStreamWaitEvent; the event reused",
            Job::CaptureStatus => "cuStreamIsCapturing",
            Job::Priority => "cuStreamGetPriority",
            Job::Id => "cuStreamIsCapturing, cuStreamGetId",
            Job::ElapsedSince => "cuEventElapsedTime",
            Job::HostFunc => "cuLaunchHostFunc, cuStreamIsCapturing, cuStreamSynchronize",
        }
    }

    #[inline]
    fn new_event(&self, timed: bool) -> Result<CudaBareEvent, Failed> {
        let (mut raw, flags) = (null_mut(), if timed { 0 } else { WITHOUT_TIMING });
        // SAFETY: above; the context is current on threads that measure.
        ok("cuEventCreate", unsafe { (self.functions.event_create)(&mut raw, flags) })?;
        Ok(CudaBareEvent { bare: *self, raw })
    }

    #[inline]
    fn new_stream(&self) -> Result<CudaForeign, Failed> {
        let mut raw = null_mut();
        // SAFETY: above; the context is current on threads that measure.
        let code = unsafe { (self.functions.stream_create)(&mut raw, NON_BLOCKING, 0) };
        ok("cuStreamCreateWithPriority", code)?;
        Ok(CudaForeign { bare: *self, raw })
    }

    #[inline]
    fn check_device(&self, stream: &CudaForeign) -> Result<(), Failed> {
        let mut context = null_mut();
        // SAFETY: above.
        let code = unsafe { (self.functions.stream_context)(stream.raw, &mut context) };
        ok("cuStreamGetCtx", code)?;
        if context == self.context {
            return Ok(());
        }
        Err(Failed { function: "the comparison of contexts", code: -1 })
    }

    #[inline]
    fn capture_status(&self, stream: &CudaForeign) -> Result<bool, Failed> {
        let mut status = 0;
        // SAFETY: above.
        let code = unsafe { (self.functions.stream_is_capturing)(stream.raw, &mut status) };
        ok("cuStreamIsCapturing", code)?;
        Ok(status != 0)
    }

    #[inline]
    fn query_only(&self, stream: &CudaForeign) -> Result<bool, Failed> {
        // SAFETY: above.
        done("cuStreamQuery", unsafe { (self.functions.stream_query)(stream.raw) })
    }

    #[inline]
    fn synchronize_only(&self, stream: &CudaForeign) -> Result<(), Failed> {
        // SAFETY: above.
        ok("cuStreamSynchronize", unsafe { (self.functions.stream_synchronize)(stream.raw) })
    }

    #[inline]
    fn record(&self, event: &CudaBareEvent, stream: &CudaForeign) -> Result<(), Failed> {
        // SAFETY: above.
        ok("cuEventRecord", unsafe { (self.functions.event_record)(event.raw, stream.raw) })
    }

    #[inline]
    fn wait_event(&self, stream: &CudaForeign, event: &CudaBareEvent) -> Result<(), Failed> {
        // SAFETY: above.
        let code = unsafe { (self.functions.stream_wait_event)(stream.raw, event.raw, 0) };
        ok("cuStreamWaitEvent", code)
    }

    #[inline]
    fn event_query(&self, event: &CudaBareEvent) -> Result<bool, Failed> {
        // SAFETY: above.
        done("cuEventQuery", unsafe { (self.functions.event_query)(event.raw) })
    }

    #[inline]
    fn event_synchronize(&self, event: &CudaBareEvent) -> Result<(), Failed> {
        // SAFETY: above.
        ok("cuEventSynchronize", unsafe { (self.functions.event_synchronize)(event.raw) })
    }

    #[inline]
    fn priority(&self, stream: &CudaForeign) -> Result<i32, Failed> {
        let mut priority = 0;
        // SAFETY: above.
        let code = unsafe { (self.functions.stream_priority)(stream.raw, &mut priority) };
        ok("cuStreamGetPriority", code)?;
        Ok(priority)
    }

    #[inline]
    fn id(&self, stream: &CudaForeign) -> Result<u64, Failed> {
        self.refuse_captured(stream)?;
        let mut id = 0;
        // SAFETY: above.
        ok("cuStreamGetId", unsafe { (self.functions.stream_id)(stream.raw, &mut id) })?;
        Ok(id)
    }

    #[inline]
    fn elapsed(&self, start: &CudaBareEvent, end: &CudaBareEvent) -> Result<f32, Failed> {
        let mut time = 0.0;
        // SAFETY: above.
        let code = unsafe { (self.functions.event_elapsed)(&mut time, start.raw, end.raw) };
        ok("cuEventElapsedTime", code)?;
        Ok(time)
    }

    #[inline]
    fn host_func(&self, stream: &CudaForeign) -> Result<(), Failed> {
        // SAFETY: above; the function takes any pointer.
        let code = unsafe { (self.functions.host_func)(stream.raw, nothing, null_mut()) };
        ok("cuLaunchHostFunc", code)
    }
}

impl Ground for CudaGround {
    type Backend = Cuda;
    type Foreign = CudaForeign;
    type Bare = CudaBare;

    fn device(&self) -> Device {
        self.device
    }

    fn dynamic(&self) -> &dyn dynamic::DynBackend {
        &Cuda
    }

    fn foreign(&self) -> Result<CudaForeign, Failed> {
        self.bare.new_stream()
    }

    fn bare(&self) -> Option<&CudaBare> {
        Some(&self.bare)
    }

    fn enter_thread(&self) -> Result<(), Failed> {
        self.bare.enter()
    }

    #[cfg(feature = "cudarc")]
    fn libraries(&self) -> Vec<&dyn Library<Self>> {
        self.cudarc.iter().map(|cudarc| cudarc as &dyn Library<Self>).collect()
    }

    #[cfg(not(feature = "cudarc"))]
    fn libraries(&self) -> Vec<&dyn Library<Self>> {
        Vec::new()
    }
}
