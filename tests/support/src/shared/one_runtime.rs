//! Processes that have loaded a driver under any name, or two of them. The drivers are copies of one library.
//! Each case runs in a process of its own, because a driver is chosen once.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gpu_stream_core::{
    Backend, Device, Error, ErrorKind, HandleKind, PlainHandles, RawStream, Stream, StreamOptions,
};
use gpu_stream_faults::{copy_as, without_symbols};
use libloading::Library;
use libtest_mimic::{Completion, Trial};

use crate::vendor::{Vendor, device};
use crate::{Case, completion, expect_kind, is_required, run_to_exit, run_trials};

/// A vendor's libraries, as the cases copy and call them.
pub trait Libraries: Vendor {
    /// Functions without which a library is no driver.
    const KNOWN_BY: [&'static str; 2];

    /// Returns the driver's library and its soname.
    ///
    /// # Errors
    /// The reason if there is none.
    fn original() -> Result<(PathBuf, String), String>;

    /// Creates a stream with this library, without the backend.
    fn foreign_stream(library: &Library) -> RawStream<Self::Backend>;
}

/// Runs the shared cases and `more`, each in a process of its own. `also` are variables of a case's process.
pub fn main<V: Libraries>(
    more: &[Case],
    also: fn(&str) -> Vec<(&'static str, PathBuf)>,
) -> ExitCode {
    let shared = crate::shared_cases![V, one_runtime:
        renamed_driver_is_used,
        driver_opened_by_two_names_is_one,
        two_drivers_are_rejected_by_name,
        variable_chooses_one_of_two,
        second_driver_loaded_later_is_noticed,
        shim_with_some_functions_is_no_driver
    ];
    let cases = [&shared, more].concat();
    V::prepare_child();
    if let Some(case) = V::CHILDREN.case(&cases) {
        run_to_exit(case);
        return ExitCode::SUCCESS;
    }
    let original = V::original();
    let trials = cases.into_iter().map(|(name, _)| {
        let original = original.clone();
        Trial::ignorable_test(name, move || match &original {
            Ok(_) => {
                let mut command = V::CHILDREN.command(name);
                let output = command.env(V::LIBRARY, "").envs(also(name)).output()?;
                let _ = std::fs::remove_dir_all(folder::<V>(name));
                completion(&output)
            }
            Err(reason) if is_required(V::Backend::KIND) => Err(reason.into()),
            Err(reason) => Ok(Completion::ignored_with(reason.clone())),
        })
    });
    // One at a time, because each copies a large library.
    run_trials(trials.collect())
}

/// Returns the folder for the copies of a case.
pub fn folder<V: Vendor>(case: &str) -> PathBuf {
    let name = format!("gpu-stream-one-runtime-{}-{case}", V::Backend::KIND);
    crate::scratch_folder().join(name)
}

/// Copies the driver into a folder of its own. `name` becomes its file name and its soname.
///
/// # Panics
/// If the copy fails.
pub fn copy<V: Libraries>(case: &str, number: u32, name: &str) -> PathBuf {
    let (original, soname) = V::original().unwrap();
    let top = folder::<V>(case).join(number.to_string());
    copy_as(&original, &top, name, Some((&soname, name))).unwrap()
}

/// Copies the driver under a name that no list has.
pub fn wheel<V: Libraries>(case: &str, number: u32) -> PathBuf {
    copy::<V>(case, number, &format!("libwheel-{number}.so"))
}

/// Copies the driver twice, under names that no list has.
fn wheels<V: Libraries>(case: &str) -> [PathBuf; 2] {
    [1, 2].map(|number| wheel::<V>(case, number))
}

/// Loads a library with local symbols, as Python loads a module's. Never closes it.
///
/// # Panics
/// If it cannot be loaded.
pub fn load(file: &Path) -> &'static Library {
    // SAFETY: the initializers of the tests' libraries do no harm.
    Box::leak(Box::new(unsafe { Library::new(file) }.unwrap()))
}

/// Checks that the answer is `AmbiguousLibrary`, and that its text names both files and the variable.
#[track_caller]
pub fn expect_ambiguous<V: Vendor, T, E: Error>(answer: Result<T, E>, files: [&Path; 2]) {
    let text = expect_kind("a call beside two drivers", answer, ErrorKind::AmbiguousLibrary);
    for file in files {
        assert!(text.contains(file.to_str().unwrap()), "the text names {file:?}: {text}");
    }
    assert!(text.contains(V::LIBRARY), "{text}");
}

/// Makes every call that takes a handle which all drivers have, or no handle.
pub fn wrap_default_streams<B: PlainHandles>() -> Vec<Result<(), B::Error>> {
    let device = Device::new(B::KIND, 0);
    // SAFETY: the default streams always exist.
    let wrap = |raw, device| unsafe { B::stream_from_raw(raw, device) }.map(drop);
    vec![
        wrap(RawStream::DEFAULT, None),
        wrap(RawStream::DEFAULT, Some(device)),
        wrap(RawStream::LEGACY, None),
        // SAFETY: the default stream always exists.
        unsafe { B::stream_from_raw_unchecked(RawStream::DEFAULT, device) }.map(drop),
        B::default_stream(device).map(drop),
        B::per_thread_stream(device).map(drop),
    ]
}

/// Returns the library that the backend uses.
fn library_in_use<B: Backend>() -> PathBuf {
    B::probe().expect("a driver").library.expect("the file").into()
}

/// Checks that the backend uses the driver in `file`, whether it has been loaded or not.
///
/// # Panics
/// If it does not.
#[track_caller]
pub fn expect_used<V: Libraries>(file: &Path) {
    let library = load(file);
    assert_eq!(library_in_use::<V::Backend>(), file);
    let raw = V::foreign_stream(library);
    // SAFETY: the stream is never destroyed.
    let stream = unsafe { V::Backend::stream_from_raw(raw, None) }.unwrap();
    assert!(stream.query().unwrap());
    assert!(wrap_default_streams::<V::Backend>().iter().all(Result::is_ok));
}

/// Checks that a driver under a name that no list has is found among the loaded libraries.
pub fn renamed_driver_is_used<V: Libraries>() {
    expect_used::<V>(&wheel::<V>("renamed_driver_is_used", 1));
    let info = V::Backend::probe().unwrap();
    assert!(info.details.iter().any(|(name, how)| *name == "found" && how.contains("before")));
}

/// Checks that a file and a link to it are one driver.
pub fn driver_opened_by_two_names_is_one<V: Libraries>() {
    let file = wheel::<V>("driver_opened_by_two_names_is_one", 1);
    let link = file.with_file_name("another-name.so");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&file, &link).unwrap();
    #[cfg(windows)]
    std::os::windows::fs::symlink_file(&file, &link).unwrap();
    load(&link);
    expect_used::<V>(&file);
}

/// Checks that two drivers are rejected, and that the error names both files.
pub fn two_drivers_are_rejected_by_name<V: Libraries>() {
    let [first, second] = wheels::<V>("two_drivers_are_rejected_by_name");
    load(&first);
    load(&second);
    let device = Device::new(V::Backend::KIND, 0);
    expect_ambiguous::<V, _, _>(V::Backend::probe(), [&first, &second]);
    let created = V::Backend::new_stream(device, StreamOptions::new());
    expect_ambiguous::<V, _, _>(created, [&first, &second]);
    for answer in wrap_default_streams::<V::Backend>() {
        expect_ambiguous::<V, _, _>(answer, [&first, &second]);
    }
}

/// Checks that the variable chooses one of two drivers.
pub fn variable_chooses_one_of_two<V: Libraries>() {
    let [first, second] = wheels::<V>("variable_chooses_one_of_two");
    load(&first);
    load(&second);
    // SAFETY: no other thread reads the environment.
    unsafe { std::env::set_var(V::LIBRARY, &second) };
    expect_used::<V>(&second);
}

/// Checks that calls with a handle that each driver has are rejected from the second driver on. Existing
/// objects continue to work.
pub fn second_driver_loaded_later_is_noticed<V: Libraries>() {
    let [first, second] = wheels::<V>("second_driver_loaded_later_is_noticed");
    expect_used::<V>(&first);
    let before = V::Backend::default_stream(device::<V>()).unwrap();
    // Another loaded object changes nothing.
    load(Path::new("libm.so.6"));
    assert!(wrap_default_streams::<V::Backend>().iter().all(Result::is_ok));
    load(&second);
    for answer in (0..2).flat_map(|_| wrap_default_streams::<V::Backend>()) {
        expect_ambiguous::<V, _, _>(answer, [&first, &second]);
    }
    let own = crate::own_stream::<V>();
    own.wait_stream(&before).unwrap();
    // SAFETY: `own` outlives the wrapper.
    let again = unsafe { V::Backend::stream_from_raw(own.raw(), None) }.unwrap();
    assert_eq!(again.raw().kind(), HandleKind::Explicit);
    again.query().unwrap();
}

/// Checks that a library with some of the driver's functions does not count.
pub fn shim_with_some_functions_is_no_driver<V: Libraries>() {
    let [file, shim] = wheels::<V>("shim_with_some_functions_is_no_driver");
    let other = shim.with_extension("shim");
    without_symbols(&shim, &V::KNOWN_BY, &other).unwrap();
    load(&other);
    expect_used::<V>(&file);
}
