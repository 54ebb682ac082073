//! AMD's own runtime behind the layer of `tests/faults/hip`, which fails, blocks and counts calls:
//! [`Layer`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use gpu_stream_core::Event as _;
use gpu_stream_faults::{At, Controls, InjectedFault, Threads, built, without_symbols};
use gpu_stream_hip::HipEvent;
use gpu_stream_test_support::{Vendor, scratch_folder};
use libloading::Library;

use super::OnHip;

/// The functions that some versions of the runtime lack, and the backend can do without.
const OPTIONAL: [&str; 12] = [
    "hipStreamGetDevice",
    "hipGetStreamDeviceId",
    "hipLaunchHostFunc",
    "hipThreadExchangeStreamCaptureMode",
    "hipStreamEndCapture",
    "hipGraphDestroy",
    "hipIpcGetEventHandle",
    "hipIpcOpenEventHandle",
    "hipStreamGetCaptureInfo_v2",
    "hipStreamUpdateCaptureDependencies",
    "hipStreamGetFlags",
    "hipStreamGetId",
];

/// The names of the runtime, newest first, as in the backend.
pub const NAMES: [&str; 4] =
    ["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so"];

/// Makes a copy of the layer that exports the functions of the real runtime. Returns the reason if there is
/// no runtime.
pub fn make() -> Result<PathBuf, String> {
    // SAFETY: the library is AMD's runtime, whose initializers the backend runs as well.
    let real = NAMES.iter().find_map(|name| unsafe { Library::new(*name) }.ok());
    let real = real.ok_or("there is no libamdhip64")?;
    let is_missing = |function: &&str| {
        // SAFETY: the function is not called.
        unsafe { real.get::<unsafe extern "C" fn()>(*function) }.is_err()
    };
    let missing: Vec<&str> = OPTIONAL.iter().copied().filter(is_missing).collect();
    // Never closed: the process has one runtime.
    std::mem::forget(real);
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default().display().to_string();
    let out = scratch_folder().join(format!("libhip_faults-{name}.so"));
    // Another process may run the same program.
    let fresh = out.with_extension(std::process::id().to_string());
    without_symbols(&built("libhip_faults.so")?, &missing, &fresh)?;
    std::fs::rename(&fresh, &out).map_err(|error| format!("{}: {error}", out.display()))?;
    Ok(out)
}

/// Returns the version of AMD's library behind the layer, whatever the layer presents. Returns `None` if there
/// is no library.
pub fn real_version() -> Option<i32> {
    type Function = unsafe extern "C" fn(*mut i32) -> i32;
    let mut version = 0;
    // SAFETY: the library is AMD's runtime, the function has this signature, and `&mut version` is a valid
    // out-pointer.
    unsafe {
        let real = NAMES.iter().find_map(|name| Library::new(*name).ok())?;
        let ask = *real.get::<Function>("hipRuntimeGetVersion").ok()?;
        std::mem::forget(real);
        (ask(&mut version) == 0).then_some(version)
    }
}

/// Waits until an event is done.
#[track_caller]
pub fn await_event(event: &HipEvent) {
    while !event.query().expect("query") {
        std::thread::yield_now();
    }
}

/// The layer that this process runs over, as a child process does.
pub struct Layer(&'static Controls);

impl Layer {
    pub fn get() -> Self {
        Layer(OnHip::controls())
    }

    /// Makes all calls of `name` fail with `code`, until [`work`](Self::work).
    pub fn fail(&self, name: &str, code: i32) {
        self.0.set(name, At::Always, Threads::All, InjectedFault::Answer(code));
    }

    /// Makes all calls of `name` fail with `code` after their work.
    pub fn fail_after(&self, name: &str, code: i32) {
        self.0.set(name, At::Always, Threads::All, InjectedFault::PassThenAnswer(code));
    }

    /// Makes no call fail or block from now on.
    pub fn work(&self) {
        self.0.clear();
    }

    /// Blocks the next call of `name`, on whichever thread.
    pub fn hold_next(&self, name: &str) {
        self.hold(name, At::Occurrence(1));
    }

    /// Blocks the call of `name` with this number from now on, or all of them.
    pub fn hold(&self, name: &str, at: At) {
        self.0.set(name, at, Threads::All, InjectedFault::Hold);
    }

    /// Blocks the next call of `name` after its work, on whichever thread.
    pub fn hold_next_after(&self, name: &str) {
        self.0.set(name, At::Occurrence(1), Threads::All, InjectedFault::PassThenHold);
    }

    /// Waits until a call is blocked.
    pub fn wait_until_held(&self) {
        self.wait_until_all_held(1);
    }

    /// Waits until `count` calls are blocked.
    pub fn wait_until_all_held(&self, count: u64) {
        let is_held = self.0.await_held(count, Duration::from_secs(60));
        assert!(is_held, "fewer than {count} calls are blocked");
    }

    /// Calls [`work`](Self::work) when the result is dropped, so that a case that fails blocks no thread.
    pub fn work_at_drop(&self) -> impl Drop + use<> {
        struct AtDrop(&'static Controls);
        impl Drop for AtDrop {
            fn drop(&mut self) {
                self.0.clear();
            }
        }
        AtDrop(self.0)
    }

    /// Returns the number of calls of `name` since the last count, or of all calls if the name is empty.
    pub fn calls(&self, name: &str) -> usize {
        let seen = self.0.seen();
        self.0.watch(Threads::All);
        seen.iter().filter(|call| name.is_empty() || *call == name).count()
    }

    /// Returns what [`calls`](Self::calls) does. The count goes on.
    pub fn calls_so_far(&self, name: &str) -> usize {
        self.0.seen().iter().filter(|call| name.is_empty() || *call == name).count()
    }

    /// Returns the number of streams that were created and not destroyed.
    pub fn live_streams(&self) -> u64 {
        self.0.live("stream")
    }

    /// Returns the number of events that were created and not destroyed.
    pub fn live_events(&self) -> u64 {
        self.0.live("event")
    }

    /// Returns the number of calls that used a destroyed stream.
    pub fn stale(&self) -> u64 {
        self.0.live("stale use")
    }

    /// Returns the number of events that a capture lost.
    pub fn lost(&self) -> u64 {
        self.0.live("lost event")
    }
}
