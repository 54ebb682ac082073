//! AMD's own runtime behind a layer that fails on demand (`tests/faults/hip`).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gpu_stream_faults::sweep::FaultFixture;
use gpu_stream_faults::{Controls, built, without_symbols};
use libloading::Library;

use crate::vendor::OnHip;

/// The variable that names the runtime's library, for the backend.
pub const LIBRARY: &str = "GPU_STREAM_HIP_LIBRARY";

/// The variable with the functions that the layer of a child process lacks, separated by commas.
pub const HIDE: &str = "GPU_STREAM_FAULT_HIDE";

/// The names of the runtime, newest first, as in the backend.
const NAMES: [&str; 4] =
    ["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so"];

/// Makes a copy of the layer, under a name of its own, that exports the functions of the real runtime
/// except `hidden`. Returns the reason if there is no runtime.
fn layer(name: &str, hidden: &[&str]) -> Result<PathBuf, String> {
    // SAFETY: the library is AMD's runtime, whose initializers the backend runs as well.
    let real = NAMES.iter().find_map(|name| unsafe { Library::new(*name) }.ok());
    let real = real.ok_or("there is no libamdhip64")?;
    let is_missing = |function: &&str| {
        // SAFETY: the function is not called.
        unsafe { real.get::<unsafe extern "C" fn()>(*function) }.is_err()
    };
    let optional = OnHip::OPTIONAL.iter().map(|(name, _)| *name);
    let mut absent: Vec<&str> = optional.filter(is_missing).collect();
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

/// The layer in use.
static LAYER: OnceLock<PathBuf> = OnceLock::new();

/// Makes the backend load the layer, if there is a runtime to put it in front of. Must be called while
/// the process has one thread.
pub fn use_layer(name: &str, hidden: &[&str]) {
    crate::support::prepare();
    match layer(name, hidden) {
        Ok(path) => {
            // SAFETY: no other thread is running yet.
            unsafe { std::env::set_var(LIBRARY, &path) };
            LAYER.set(path).expect("one layer for each process");
        }
        Err(reason) => eprintln!("note: {reason}"),
    }
}

/// Returns the controls of the layer in use.
pub fn controls() -> &'static Controls {
    static CONTROLS: OnceLock<Controls> = OnceLock::new();
    CONTROLS.get_or_init(|| {
        Controls::of(LAYER.get().expect("a layer")).expect("the layer's plan of faults")
    })
}

/// Makes a child process use a copy of the layer of its own, without the functions of [`HIDE`]. The file
/// is deleted once it is loaded.
pub fn use_own_layer() {
    let hidden = std::env::var(HIDE).unwrap_or_default();
    let hidden: Vec<&str> = hidden.split(',').collect();
    use_layer(&format!("fault_sweep_{}", std::process::id()), &hidden);
    let _ = controls();
    drop(std::fs::remove_file(LAYER.get().expect("a layer")));
}
