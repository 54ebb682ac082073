//! Several copies of the backend in one process, each with its own statics.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use gpu_stream_conformance::outcome::{check, check_eq};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, BackendKind, RawHandle, Stream, StreamOptions, StreamOwner};
use libloading::Library;

use super::{check_usable, device, print_line};

/// Type of `lifecycle_copy_run` in `examples/lifecycle_copy.rs`.
///
/// It increments the number in stream order, through a stream of the copy. Returns 0, or an error number.
type RunCopy =
    unsafe extern "C" fn(backend: u32, stream: usize, number: *const AtomicU32, from: u32) -> i32;

/// Error number for a handle that does not belong to the copy's backend.
const INVALID_HANDLE: i32 = 2;

/// Returns the path of the library, which cargo builds next to this program.
fn library() -> Result<PathBuf, Verdict> {
    let programs = [env::current_exe().ok(), env::args_os().next().map(PathBuf::from)];
    let folders: Vec<_> =
        programs.iter().flatten().filter_map(|program| program.parent()).collect();
    let steps = ["examples", "../examples", "."];
    let candidates = folders
        .iter()
        .flat_map(|folder| steps.map(|step| folder.join(step).join("liblifecycle_copy.so")));
    let mut candidates = candidates;
    candidates.find(|path| path.is_file()).ok_or_else(|| {
        Verdict::skipped("liblifecycle_copy.so was not found; run cargo test, or cargo build --example lifecycle_copy")
    })
}

/// Loads another copy of the library, under another file name, so that the loader does not reuse the first.
fn copy(of: &Path, number: u32) -> Result<Library, Verdict> {
    let name = format!("gpu-stream-lifecycle-{}-{number}.so", std::process::id());
    let path = env::temp_dir().join(name);
    fs::copy(of, &path)?;
    // SAFETY: the library is built from this crate, and its only initializers are those of std.
    let library = unsafe { Library::new(&path) };
    fs::remove_file(&path)?;
    Ok(library?)
}

/// Returns the number of the backend in calls of the library.
fn code_of(kind: BackendKind) -> u32 {
    match kind {
        BackendKind::Cuda => 1,
        BackendKind::Hip => 2,
        BackendKind::OpenCl => 3,
        _ => 0,
    }
}

pub(super) fn three_copies<F: Fixture>(fx: &'static F) -> Outcome {
    let file = library()?;
    // Never unloaded, because threads of their drivers may still run.
    let copies = Box::leak(Box::new([copy(&file, 1)?, copy(&file, 2)?]));
    let mut run_copies = Vec::new();
    for library in copies.iter() {
        // SAFETY: `RunCopy` is the signature of the exported function.
        run_copies.push(*unsafe { library.get::<RunCopy>("lifecycle_copy_run") }?);
    }
    let foreign = Arc::new(fx.foreign(device(fx)?, StreamOptions::new())?);
    let (bits, kind) = (foreign.raw_stream().to_bits(), code_of(F::Backend::KIND));
    // SAFETY: `foreign` outlives the wrapper, and no event is recorded.
    let stream = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    let number: &'static AtomicU32 = Box::leak(Box::default());
    let gate = fx.gate(&stream)?;
    let mut value = 0;
    for _ in 0..10 {
        let from = value;
        let step = move || {
            let _ = number.compare_exchange(from, from + 1, Ordering::SeqCst, Ordering::SeqCst);
        };
        stream.launch_host_func(Box::new(step))?;
        value += 1;
        for run_copy in &run_copies {
            // SAFETY: `foreign` keeps the stream alive, and `number` is leaked.
            let code = unsafe { run_copy(kind, bits, number, value) };
            if F::Backend::KIND == BackendKind::Host {
                // Each copy has its own streams, and rejects those of the others.
                check_eq(code, INVALID_HANDLE, "the result of a copy")?;
                continue;
            }
            check_eq(code, 0, "the result of a copy")?;
            value += 1;
        }
    }
    check_eq(number.load(Ordering::SeqCst), 0, "the number while the gate is closed")?;
    check(!stream.query()?, "the stream is idle while the gate is closed")?;
    drop(gate);
    stream.synchronize()?;
    check_eq(number.load(Ordering::SeqCst), value, "the number after all increments")?;
    print_line(&format!("note: {value} increments by three copies"));
    fx.foreign_works(&foreign)?;
    check_usable(fx)
}
