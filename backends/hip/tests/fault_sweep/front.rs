//! AMD's own runtime behind a layer that fails on demand (`tests/faults/hip`).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gpu_stream_faults::{Controls, built, without_symbols};
use libloading::Library;

/// The functions that some versions of the runtime lack, and the backend does without.
pub const OPTIONAL: [&str; 12] = [
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

/// Newest first, as the backend has them.
const NAMES: [&str; 4] =
    ["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so"];

/// A copy of the layer, under a name of its own, with the functions that the real runtime has and
/// none of `hidden`. A sentence if there is no runtime.
pub fn layer(name: &str, hidden: &[&str]) -> Result<PathBuf, String> {
    // SAFETY: it is AMD's runtime, which is to be loaded in any case.
    let real = NAMES.iter().find_map(|name| unsafe { Library::new(*name) }.ok());
    let real = real.ok_or("there is no libamdhip64")?;
    let is_missing = |function: &&str| {
        // SAFETY: the function is not called.
        unsafe { real.get::<unsafe extern "C" fn()>(*function) }.is_err()
    };
    let mut absent: Vec<&str> = OPTIONAL.iter().copied().filter(is_missing).collect();
    let hidden: Vec<&str> =
        hidden.iter().copied().filter(|name| !name.is_empty() && !absent.contains(name)).collect();
    absent.extend(hidden);
    // Never closed: the process has one runtime.
    std::mem::forget(real);
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.so"));
    // Processes of one test program may make the same copy at the same time.
    let fresh = out.with_extension(std::process::id().to_string());
    without_symbols(&built("libhip_faults.so")?, &absent, &fresh)?;
    std::fs::rename(&fresh, &out).map_err(|error| format!("{}: {error}", out.display()))?;
    Ok(out)
}

static LAYER: OnceLock<PathBuf> = OnceLock::new();

/// Has the backend load the layer, if there is a runtime behind it. While the process has one
/// thread.
pub fn use_layer(name: &str, hidden: &[&str]) {
    crate::support::prepare();
    match layer(name, hidden) {
        Ok(path) => {
            // SAFETY: no other thread is running yet.
            unsafe { std::env::set_var("GPU_STREAM_HIP_LIBRARY", &path) };
            LAYER.set(path).expect("one layer for each process");
        }
        Err(reason) => eprintln!("note: {reason}"),
    }
}

/// The plan of the layer in use.
pub fn controls() -> &'static Controls {
    static CONTROLS: OnceLock<Controls> = OnceLock::new();
    CONTROLS.get_or_init(|| {
        Controls::of(LAYER.get().expect("a layer")).expect("the layer's plan of faults")
    })
}

/// Deletes the file of the layer, which is loaded: for a process that has a copy of its own.
pub fn remove_layer() {
    let _ = controls();
    drop(std::fs::remove_file(LAYER.get().expect("a layer")));
}
