//! The HIP backend, and the runtime's own calls.

use std::ffi::{OsStr, c_int, c_uint, c_void};
use std::path::Path;
use std::ptr::null_mut;

use gpu_stream_core::dynamic;
use gpu_stream_core::{Backend, BackendInfo, Device, RawStream, StreamOwner};
use gpu_stream_hip::Hip;
use libloading::Library as SharedLibrary;

use crate::{Bare, Failed, Ground, Job};

type Ptr = *mut c_void;

/// `hipHostFn_t`.
type HostFn = unsafe extern "C" fn(Ptr);
/// `hipStreamCallback_t`: the stream, its status, and what was given with it.
type Callback = unsafe extern "C" fn(Ptr, c_int, Ptr);

/// `hipStreamNonBlocking`.
const NON_BLOCKING: c_uint = 1;
/// `hipEventDisableTiming`.
const WITHOUT_TIMING: c_uint = 2;
/// `hipEventReleaseToSystem`: who waits for the event sees what was written before it. CUDA's events
/// do without being asked, and HIP's NVIDIA platform has no such flag.
const RELEASE_TO_SYSTEM: c_uint = 0x8000_0000;
/// `hipErrorNotReady`.
const NOT_READY: c_int = 600;
/// The device that is measured.
const DEVICE: c_int = 0;

macro_rules! functions {
    (
        always { $($field:ident = $name:literal ($($argument:ty),*);)* }
        optional { $($rare:ident = $rare_name:literal ($($rare_argument:ty),*);)* }
    ) => {
        /// The functions of the runtime.
        #[derive(Debug)]
        struct Functions {
            $($field: unsafe extern "C" fn($($argument),*) -> c_int,)*
            $($rare: Option<unsafe extern "C" fn($($rare_argument),*) -> c_int>,)*
        }

        impl Functions {
            fn resolve(library: &SharedLibrary) -> Result<Self, libloading::Error> {
                Ok(Functions {
                    // SAFETY: that is the function's signature in `hip_runtime_api.h`; the library
                    // is never closed.
                    $($field: *unsafe { library.get($name) }?,)*
                    // SAFETY: as above.
                    $($rare: unsafe { library.get($rare_name) }.ok().map(|found| *found),)*
                })
            }
        }
    };
}

functions! {
    always {
        version = "hipRuntimeGetVersion" (*mut c_int);
        set_device = "hipSetDevice" (c_int);
        stream_create = "hipStreamCreateWithPriority" (*mut Ptr, c_uint, c_int);
        stream_destroy = "hipStreamDestroy" (Ptr);
        stream_is_capturing = "hipStreamIsCapturing" (Ptr, *mut c_int);
        stream_query = "hipStreamQuery" (Ptr);
        stream_synchronize = "hipStreamSynchronize" (Ptr);
        stream_wait_event = "hipStreamWaitEvent" (Ptr, Ptr, c_uint);
        stream_priority = "hipStreamGetPriority" (Ptr, *mut c_int);
        add_callback = "hipStreamAddCallback" (Ptr, Callback, Ptr, c_uint);
        event_create = "hipEventCreateWithFlags" (*mut Ptr, c_uint);
        event_destroy = "hipEventDestroy" (Ptr);
        event_query = "hipEventQuery" (Ptr);
        event_synchronize = "hipEventSynchronize" (Ptr);
        event_record = "hipEventRecord" (Ptr, Ptr);
        event_elapsed = "hipEventElapsedTime" (*mut f32, Ptr, Ptr);
    }
    optional {
        // Since 5.6.
        stream_device = "hipStreamGetDevice" (Ptr, *mut c_int);
        // Before that; AMD's own name.
        stream_device_id = "hipGetStreamDeviceId" (Ptr);
        // Since 5.3.
        launch_host_func = "hipLaunchHostFunc" (Ptr, HostFn, Ptr);
        // Since 7.2.
        stream_id = "hipStreamGetId" (Ptr, *mut u64);
    }
}

/// The ground of `gpu-stream-hip`: device 0, which is current on the threads that measure.
pub struct HipGround {
    bare: HipBare,
    device: Device,
    /// The library's file, without the folder.
    file: String,
}

impl HipGround {
    /// Starts the runtime.
    ///
    /// # Errors
    /// As [`Backend::probe`], or what the runtime says, as text.
    pub fn new() -> Result<Self, String> {
        let info = Hip::probe().map_err(|error| error.to_string())?;
        let device = Hip::device(0).map_err(|error| error.to_string())?;
        let bare = HipBare::load(info.library.as_deref().unwrap_or_default())?;
        bare.enter()?;
        Ok(HipGround { bare, device, file: file(&info) })
    }
}

/// The name of the file that was loaded, which tells AMD's runtime from one that stands in for it.
fn file(info: &BackendInfo) -> String {
    let file = info.details.iter().find(|(what, _)| *what == "file").map(|(_, path)| path);
    let path = file.or(info.library.as_ref()).map_or(Path::new(""), Path::new);
    path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

/// The runtime's calls, on one device.
#[derive(Clone, Copy, Debug)]
pub struct HipBare {
    functions: &'static Functions,
    /// A flag for events: [`RELEASE_TO_SYSTEM`], where HIP has it.
    release: c_uint,
}

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

/// What is called although the runtime lacks it: not if [`Ground::left_out`] is heeded.
#[cold]
fn lacking(function: &'static str) -> Failed {
    Failed { function, code: -1 }
}

/// The library that the process has by this name. None is loaded: a process must not have two
/// runtimes, since the streams of one mean nothing to the other.
#[cfg(target_os = "linux")]
fn opened(library: &str) -> Result<SharedLibrary, libloading::Error> {
    use libloading::os::unix;
    const RTLD_NOLOAD: c_int = 4;
    // SAFETY: nothing is loaded, so that no initialiser runs.
    unsafe { unix::Library::open(Some(library), unix::RTLD_LAZY | unix::RTLD_LOCAL | RTLD_NOLOAD) }
        .map(SharedLibrary::from)
}

/// Elsewhere the loader itself takes the one that is there, if the name is the same.
#[cfg(not(target_os = "linux"))]
fn opened(library: &str) -> Result<SharedLibrary, libloading::Error> {
    // SAFETY: the backend has loaded it by this name, so that its initialisers have run.
    unsafe { SharedLibrary::new(library) }
}

impl HipBare {
    /// The library that the backend has loaded, a second time.
    fn load(library: &str) -> Result<Self, String> {
        let broken = |error: libloading::Error| format!("{library}, for the bare calls: {error}");
        let loaded = Box::leak(Box::new(opened(library).map_err(broken)?));
        let functions: &Functions =
            Box::leak(Box::new(Functions::resolve(loaded).map_err(broken)?));
        let mut version = 0;
        // SAFETY: `version` is a place for the number.
        ok("hipRuntimeGetVersion", unsafe { (functions.version)(&mut version) })?;
        // HIP's are eight digits, and on NVIDIA's platform it is CUDA's, of five.
        let release = if version < 1_000_000 { 0 } else { RELEASE_TO_SYSTEM };
        Ok(HipBare { functions, release })
    }

    fn enter(&self) -> Result<(), Failed> {
        // SAFETY: takes any number.
        ok("hipSetDevice", unsafe { (self.functions.set_device)(DEVICE) })
    }
}

/// A stream of the bare runtime. Dropping it destroys it.
#[derive(Debug)]
pub struct HipForeign {
    bare: HipBare,
    raw: Ptr,
}

// SAFETY: streams may be used from any thread.
unsafe impl Send for HipForeign {}
// SAFETY: as above.
unsafe impl Sync for HipForeign {}

impl Drop for HipForeign {
    fn drop(&mut self) {
        // SAFETY: the stream is ours, and this is its last use.
        unsafe { (self.bare.functions.stream_destroy)(self.raw) };
    }
}

// SAFETY: the stream lives until the value is dropped.
unsafe impl StreamOwner<Hip> for HipForeign {
    fn raw_stream(&self) -> RawStream<Hip> {
        RawStream::from_ptr(self.raw)
    }
}

/// An event of the bare runtime. Dropping it destroys it.
#[derive(Debug)]
pub struct HipBareEvent {
    bare: HipBare,
    raw: Ptr,
}

// SAFETY: events may be used from any thread.
unsafe impl Send for HipBareEvent {}
// SAFETY: as above.
unsafe impl Sync for HipBareEvent {}

impl Drop for HipBareEvent {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and this is its last use.
        unsafe { (self.bare.functions.event_destroy)(self.raw) };
    }
}

unsafe extern "C" fn nothing(_: Ptr) {}

unsafe extern "C" fn nothing_either(_: Ptr, _: c_int, _: Ptr) {}

// In all calls below, the handles are alive, since what owns them is borrowed, and what is pointed
// to is a place for what the runtime writes.
impl Bare for HipBare {
    type Stream = HipForeign;
    type Event = HipBareEvent;

    fn calls(&self, job: Job) -> &'static str {
        let by_code = self.functions.stream_device.is_some();
        match job {
            Job::WrapChecked if by_code => "hipStreamGetDevice, compared",
            Job::WrapChecked => "hipGetStreamDeviceId, compared",
            Job::WrapUnchecked => "nothing",
            Job::Query => "hipStreamIsCapturing, hipStreamQuery",
            Job::Synchronize => "hipStreamIsCapturing, hipStreamSynchronize",
            Job::Record => "hipEventRecord",
            Job::RecordEvent => "hipEventCreateWithFlags, hipEventRecord, hipEventDestroy",
            Job::EventQuery => "hipEventQuery",
            Job::EventSynchronize => "hipEventSynchronize",
            Job::WaitEvent => "hipStreamWaitEvent",
            Job::WaitStream => "hipEventRecord, hipStreamWaitEvent; the event reused",
            Job::Fork => "hipEventRecord, 16 of hipStreamWaitEvent; the event reused",
            Job::Join => "16 of hipEventRecord and hipStreamWaitEvent; the event reused",
            Job::NewStream => "hipStreamCreateWithPriority, hipStreamDestroy",
            Job::NewEvent => "hipEventCreateWithFlags, hipEventDestroy",
            Job::ShortLivedChecked if by_code => {
                "hipStreamGetDevice, compared; 7 of hipEventRecord, 10 of hipStreamWaitEvent; the event reused"
            }
            Job::ShortLivedChecked => {
                "hipGetStreamDeviceId, compared; 7 of hipEventRecord, 10 of hipStreamWaitEvent; the event reused"
            }
            Job::ShortLived => "7 of hipEventRecord, 10 of hipStreamWaitEvent; the event reused",
            Job::CaptureStatus => "hipStreamIsCapturing",
            Job::Priority => "hipStreamGetPriority",
            Job::Id => "hipStreamIsCapturing, hipStreamGetId",
            Job::ElapsedSince => "hipEventElapsedTime",
            Job::HostFunc if self.functions.launch_host_func.is_some() => {
                "hipLaunchHostFunc, hipStreamIsCapturing, hipStreamSynchronize"
            }
            Job::HostFunc => "hipStreamAddCallback, hipStreamIsCapturing, hipStreamSynchronize",
        }
    }

    #[inline]
    fn new_event(&self, timed: bool) -> Result<HipBareEvent, Failed> {
        let mut raw = null_mut();
        let flags = self.release | if timed { 0 } else { WITHOUT_TIMING };
        // SAFETY: above; the device is current on threads that measure.
        let code = unsafe { (self.functions.event_create)(&mut raw, flags) };
        ok("hipEventCreateWithFlags", code)?;
        Ok(HipBareEvent { bare: *self, raw })
    }

    #[inline]
    fn new_stream(&self) -> Result<HipForeign, Failed> {
        let mut raw = null_mut();
        // SAFETY: above; the device is current on threads that measure.
        let code = unsafe { (self.functions.stream_create)(&mut raw, NON_BLOCKING, 0) };
        ok("hipStreamCreateWithPriority", code)?;
        Ok(HipForeign { bare: *self, raw })
    }

    #[inline]
    fn check_device(&self, stream: &HipForeign) -> Result<(), Failed> {
        let device = if let Some(ask) = self.functions.stream_device {
            let mut device = -1;
            // SAFETY: above.
            ok("hipStreamGetDevice", unsafe { ask(stream.raw, &mut device) })?;
            device
        } else if let Some(ask) = self.functions.stream_device_id {
            // SAFETY: above.
            unsafe { ask(stream.raw) }
        } else {
            return Err(lacking("hipStreamGetDevice"));
        };
        if device == DEVICE {
            return Ok(());
        }
        Err(Failed { function: "the comparison of devices", code: device })
    }

    #[inline]
    fn capture_status(&self, stream: &HipForeign) -> Result<bool, Failed> {
        let mut status = 0;
        // SAFETY: above.
        let code = unsafe { (self.functions.stream_is_capturing)(stream.raw, &mut status) };
        ok("hipStreamIsCapturing", code)?;
        Ok(status != 0)
    }

    #[inline]
    fn query_only(&self, stream: &HipForeign) -> Result<bool, Failed> {
        // SAFETY: above.
        done("hipStreamQuery", unsafe { (self.functions.stream_query)(stream.raw) })
    }

    #[inline]
    fn synchronize_only(&self, stream: &HipForeign) -> Result<(), Failed> {
        // SAFETY: above.
        ok("hipStreamSynchronize", unsafe { (self.functions.stream_synchronize)(stream.raw) })
    }

    #[inline]
    fn record(&self, event: &HipBareEvent, stream: &HipForeign) -> Result<(), Failed> {
        // SAFETY: above.
        ok("hipEventRecord", unsafe { (self.functions.event_record)(event.raw, stream.raw) })
    }

    #[inline]
    fn wait_event(&self, stream: &HipForeign, event: &HipBareEvent) -> Result<(), Failed> {
        // SAFETY: above.
        let code = unsafe { (self.functions.stream_wait_event)(stream.raw, event.raw, 0) };
        ok("hipStreamWaitEvent", code)
    }

    #[inline]
    fn event_query(&self, event: &HipBareEvent) -> Result<bool, Failed> {
        // SAFETY: above.
        done("hipEventQuery", unsafe { (self.functions.event_query)(event.raw) })
    }

    #[inline]
    fn event_synchronize(&self, event: &HipBareEvent) -> Result<(), Failed> {
        // SAFETY: above.
        ok("hipEventSynchronize", unsafe { (self.functions.event_synchronize)(event.raw) })
    }

    #[inline]
    fn priority(&self, stream: &HipForeign) -> Result<i32, Failed> {
        let mut priority = 0;
        // SAFETY: above.
        let code = unsafe { (self.functions.stream_priority)(stream.raw, &mut priority) };
        ok("hipStreamGetPriority", code)?;
        Ok(priority)
    }

    #[inline]
    fn id(&self, stream: &HipForeign) -> Result<u64, Failed> {
        let ask = self.functions.stream_id.ok_or_else(|| lacking("hipStreamGetId"))?;
        self.refuse_captured(stream)?;
        let mut id = 0;
        // SAFETY: above.
        ok("hipStreamGetId", unsafe { ask(stream.raw, &mut id) })?;
        Ok(id)
    }

    #[inline]
    fn elapsed(&self, start: &HipBareEvent, end: &HipBareEvent) -> Result<f32, Failed> {
        let mut time = 0.0;
        // SAFETY: above.
        let code = unsafe { (self.functions.event_elapsed)(&mut time, start.raw, end.raw) };
        ok("hipEventElapsedTime", code)?;
        Ok(time)
    }

    #[inline]
    fn host_func(&self, stream: &HipForeign) -> Result<(), Failed> {
        if let Some(launch) = self.functions.launch_host_func {
            // SAFETY: above; the function takes any pointer.
            return ok("hipLaunchHostFunc", unsafe { launch(stream.raw, nothing, null_mut()) });
        }
        // SAFETY: above; the function takes anything. Flags must be 0, and are.
        let code =
            unsafe { (self.functions.add_callback)(stream.raw, nothing_either, null_mut(), 0) };
        ok("hipStreamAddCallback", code)
    }
}

impl Ground for HipGround {
    type Backend = Hip;
    type Foreign = HipForeign;
    type Bare = HipBare;

    fn device(&self) -> Device {
        self.device
    }

    fn dynamic(&self) -> &dyn dynamic::DynBackend {
        &Hip
    }

    fn foreign(&self) -> Result<HipForeign, Failed> {
        self.bare.new_stream()
    }

    fn bare(&self) -> Option<&HipBare> {
        Some(&self.bare)
    }

    fn enter_thread(&self) -> Result<(), Failed> {
        self.bare.enter()
    }

    fn left_out(&self, job: Job) -> Option<String> {
        let functions = self.bare.functions;
        let lacks = |what: &str| Some(format!("this runtime has no {what}"));
        match job {
            Job::Id if functions.stream_id.is_none() => {
                lacks("hipStreamGetId, which is of HIP 7.2")
            }
            Job::WrapChecked | Job::ShortLivedChecked
                if functions.stream_device.is_none() && functions.stream_device_id.is_none() =>
            {
                lacks("hipStreamGetDevice, which is of HIP 5.6, and no hipGetStreamDeviceId")
            }
            _ => None,
        }
    }

    fn facts(&self) -> Vec<(String, String)> {
        vec![("library".into(), self.file.clone())]
    }
}
