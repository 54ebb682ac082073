//! OpenCL behind a layer that fails on demand (`tests/faults/opencl`).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gpu_stream_faults::{Controls, built, without_symbols};

/// The variable that names the library, for the backend.
pub const LIBRARY: &str = "GPU_STREAM_OPENCL_LIBRARY";

/// The variable that names the loader behind the layer, for the layer and for the test drivers, which call it directly.
const REAL: &str = "OPENCL_FAULTS_REAL";

/// The variable with the functions that the layer of a child process lacks, separated by commas.
pub const HIDE: &str = "GPU_STREAM_FAULT_HIDE";

const LAYER: &str = "libopencl_faults.so";

/// The layer in use.
static IN_USE: OnceLock<PathBuf> = OnceLock::new();

/// Makes the backend load the layer. Must be called while the process has one thread.
///
/// # Errors
/// A message if the layer was not built for this system.
pub fn use_layer() -> Result<(), String> {
    built(LAYER).map(set_layer)
}

fn set_layer(path: PathBuf) {
    // SAFETY: no other thread is running yet (the callers' contract).
    unsafe {
        std::env::set_var(LIBRARY, &path);
        if std::env::var_os(REAL).is_none() {
            std::env::set_var(REAL, "libOpenCL.so.1");
        }
    }
    IN_USE.set(path).expect("one layer for each process");
}

/// Returns the controls of the layer in use.
pub fn controls() -> &'static Controls {
    static CONTROLS: OnceLock<Controls> = OnceLock::new();
    CONTROLS.get_or_init(|| {
        Controls::of(IN_USE.get().expect("a layer")).expect("the layer's plan of faults")
    })
}

/// Makes a child process use a copy of the layer of its own, without the functions of [`HIDE`]. The file
/// is deleted once it is loaded.
pub fn use_own_layer() {
    let hidden = std::env::var(HIDE).unwrap_or_default();
    let hidden: Vec<&str> = hidden.split(',').filter(|name| !name.is_empty()).collect();
    let name = format!("fault_sweep_{}.so", std::process::id());
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let layer = built(LAYER).expect("the layer");
    without_symbols(&layer, &hidden, &copy).expect("a copy of the layer");
    set_layer(copy.clone());
    let _ = controls();
    drop(std::fs::remove_file(copy));
}
