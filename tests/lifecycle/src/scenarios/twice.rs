//! Several copies of the backend in one process, each with its own statics.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use gpu_stream_conformance::outcome::{check, check_eq};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, BackendKind, RawHandle, Stream, StreamOptions, StreamOwner};
use libloading::Library;

use super::{check_usable, device, say};

/// `examples/ends_copy.rs`: waits for what was submitted to the stream, changes the number from the
/// one value to the other on it, and lets it go on after a stream of the copy's own. 0, or what was
/// wrong.
type Play =
    unsafe extern "C" fn(backend: u32, stream: usize, number: *const AtomicU32, from: u32) -> i32;

/// What a copy answers to a handle that is none of its backend's.
const INVALID_HANDLE: i32 = 2;

/// The library that cargo has built beside this program.
fn library() -> Result<PathBuf, Verdict> {
    let programs = [env::current_exe().ok(), env::args_os().next().map(PathBuf::from)];
    let folders: Vec<_> =
        programs.iter().flatten().filter_map(|program| program.parent()).collect();
    let steps = ["examples", "../examples", "."];
    let places = folders
        .iter()
        .flat_map(|folder| steps.map(|step| folder.join(step).join("libends_copy.so")));
    let mut places = places;
    places.find(|place| place.is_file()).ok_or_else(|| {
        Verdict::skipped("libends_copy.so is not there; cargo test builds it, or cargo build --example ends_copy")
    })
}

/// Another copy of the library: the loader takes a file of another name for another library.
fn copy(of: &Path, number: u32) -> Result<Library, Verdict> {
    let name = format!("gpu-stream-lifecycle-{}-{number}.so", std::process::id());
    let path = env::temp_dir().join(name);
    fs::copy(of, &path)?;
    // SAFETY: it is our own, and its initialisers are those of Rust's standard library.
    let library = unsafe { Library::new(&path) };
    fs::remove_file(&path)?;
    Ok(library?)
}

fn code_of(kind: BackendKind) -> u32 {
    match kind {
        BackendKind::Cuda => 1,
        BackendKind::Hip => 2,
        _ => 0,
    }
}

pub(super) fn two_copies<F: Fixture>(fx: &'static F) -> Outcome {
    let file = library()?;
    // Never closed: their drivers' threads may still be there.
    let copies = Box::leak(Box::new([copy(&file, 1)?, copy(&file, 2)?]));
    let mut plays = Vec::new();
    for library in copies.iter() {
        // SAFETY: that is the function's signature.
        plays.push(*unsafe { library.get::<Play>("ends_copy_play") }?);
    }
    let foreign = Arc::new(fx.foreign(device(fx)?, StreamOptions::new())?);
    let (bits, kind) = (foreign.raw_stream().to_bits(), code_of(F::Backend::KIND));
    // SAFETY: `foreign` outlives the wrapper, and nothing is recorded.
    let ours = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    let number: &'static AtomicU32 = Box::leak(Box::default());
    let gate = fx.gate(&ours)?;
    let mut value = 0;
    for _ in 0..10 {
        let from = value;
        let step = move || {
            let _ = number.compare_exchange(from, from + 1, Ordering::SeqCst, Ordering::SeqCst);
        };
        ours.launch_host_func(Box::new(step))?;
        value += 1;
        for run_scenario in &plays {
            // SAFETY: the stream is alive, and the number for ever.
            let answer = unsafe { run_scenario(kind, bits, number, value) };
            if F::Backend::KIND == BackendKind::Host {
                // Each copy has streams of its own, and says so.
                check_eq("the answer of a copy", answer, INVALID_HANDLE)?;
                continue;
            }
            check_eq("the answer of a copy", answer, 0)?;
            value += 1;
        }
    }
    check_eq("the number with the gate shut", number.load(Ordering::SeqCst), 0)?;
    check(!ours.query()?, "the stream is done with the gate shut")?;
    drop(gate);
    ours.synchronize()?;
    check_eq("the number that all have changed in turn", number.load(Ordering::SeqCst), value)?;
    say(&format!("note: {value} steps by three copies"));
    fx.foreign_works(&foreign)?;
    check_usable(fx)
}
