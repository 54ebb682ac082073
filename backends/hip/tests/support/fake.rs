//! The runtime without a device: compiled when a test asks for it, and loaded in a process of the
//! test's own.

use std::env;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};

use libloading::Library;
use libtest_mimic::{Arguments, Completion, Trial};

/// A case by its name.
pub type Case = (&'static str, fn(&Fake));

/// Runs each case in a process of its own, over the fake of each version.
pub fn main(cases: &'static [Case], versions: &'static [&'static str]) -> ExitCode {
    if let Ok(child) = env::var("GPU_STREAM_HIP_CHILD") {
        let case = cases.iter().find(|(name, _)| *name == child).expect("a case");
        (case.1)(&Fake::open());
        return ExitCode::SUCCESS;
    }
    let library = compile(false);
    let trials = cases.iter().flat_map(|&(name, _)| {
        let library = &library;
        versions.iter().map(move |version| {
            let library = library.clone();
            Trial::ignorable_test(format!("{name}_{}", &version[..1]), move || {
                let library = match library {
                    Ok(library) => library,
                    Err(reason) => return Ok(Completion::ignored_with(reason)),
                };
                let library = library.to_str().ok_or("the path is no text")?;
                let names = [("GPU_STREAM_HIP_LIBRARY", library), ("FAKE_HIP_VERSION", version)];
                let output = rerun(name, &names);
                if output.status.success() {
                    return Ok(Completion::Completed);
                }
                Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
            })
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Compiles the library; `old` leaves out what came after HIP 5.2. The reason if there is no
/// compiler.
pub fn compile(old: bool) -> Result<PathBuf, String> {
    let name = if old { "old" } else { "new" };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!("fake_hip_{name}_{}.so", std::process::id()));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/libamdhip64.rs");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(&rustc);
    command.args(["--edition=2024", "--crate-type=cdylib", "--crate-name=fake_hip", "-Awarnings"]);
    if old {
        command.arg("--cfg=old");
    }
    if cfg!(target_os = "linux") {
        // The name that the system's loader knows it by, whatever the file is called.
        command.arg("-Clink-arg=-Wl,-soname,libamdhip64.so.5");
    }
    let output = command.arg("-o").arg(&library).arg(source).output();
    let output = output.map_err(|error| format!("{} did not start: {error}", rustc.display()))?;
    // A compiler that is there and refuses the source is a failure of the test, not a reason to
    // skip.
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}

/// Runs this test program again, as `child`, with these variables.
pub fn rerun(child: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = hsa_sim::this_program().expect("this program");
    command.env("GPU_STREAM_HIP_CHILD", child).envs(variables.iter().copied());
    command.output().expect("this program runs a second time")
}

/// See [`Fake::hold_next`].
pub const MADE: &str = "hipEventRecord, made";

/// What the fake tells of itself.
pub struct Fake {
    fail: unsafe extern "C" fn(*const c_char, c_int),
    calls: unsafe extern "C" fn(*const c_char) -> usize,
    count: extern "C" fn(c_int) -> usize,
    busy: extern "C" fn(bool),
    hold_back: extern "C" fn(*mut c_void, bool),
    hold: extern "C" fn(bool) -> bool,
    hold_next: unsafe extern "C" fn(*const c_char),
    held: extern "C" fn(),
    release: extern "C" fn(),
    submit: extern "C" fn(*mut c_void) -> u64,
    waited: extern "C" fn(*mut c_void, *mut c_void) -> u64,
}

impl Fake {
    /// The library that `GPU_STREAM_HIP_LIBRARY` names.
    pub fn open() -> Self {
        let name = env::var_os("GPU_STREAM_HIP_LIBRARY").expect("the library's name");
        // SAFETY: the library is ours, without initialisers, and never closed; these are its
        // functions' types.
        unsafe {
            let library = Box::leak(Box::new(Library::new(name).expect("the fake")));
            Fake {
                fail: *library.get("fake_fail").unwrap(),
                calls: *library.get("fake_calls").unwrap(),
                count: *library.get("fake_count").unwrap(),
                busy: *library.get("fake_busy").unwrap(),
                hold_back: *library.get("fake_hold_back").unwrap(),
                hold: *library.get("fake_hold").unwrap(),
                hold_next: *library.get("fake_hold_next").unwrap(),
                held: *library.get("fake_held").unwrap(),
                release: *library.get("fake_release").unwrap(),
                submit: *library.get("fake_submit").unwrap(),
                waited: *library.get("fake_waited").unwrap(),
            }
        }
    }

    pub fn fail(&self, name: &str, code: c_int) {
        let name = CString::new(name).unwrap();
        // SAFETY: a string with a zero at its end.
        unsafe { (self.fail)(name.as_ptr(), code) }
    }

    pub fn work(&self) {
        // SAFETY: null is allowed.
        unsafe { (self.fail)(std::ptr::null(), 0) }
    }

    /// How often `name` was called since the last question; all calls, if the name is empty.
    pub fn calls(&self, name: &str) -> usize {
        let name = CString::new(name).unwrap();
        // SAFETY: a string with a zero at its end.
        unsafe { (self.calls)(name.as_ptr()) }
    }

    pub fn live_streams(&self) -> usize {
        (self.count)(0)
    }

    pub fn live_events(&self) -> usize {
        (self.count)(1)
    }

    /// Calls that reached a stream which was destroyed.
    pub fn stale(&self) -> usize {
        (self.count)(2)
    }

    /// Events that were recorded elsewhere, or destroyed where that matters, while the capture of
    /// their last record went on.
    pub fn lost(&self) -> usize {
        (self.count)(3)
    }

    /// Whether streams have work from now on.
    pub fn set_busy(&self, busy: bool) {
        (self.busy)(busy);
    }

    /// Holds the stream back, or lets it go on: records on it are pending, and so is what waits for them.
    pub fn hold_back(&self, stream: *mut c_void, held: bool) {
        (self.hold_back)(stream, held);
    }

    /// Holds questions for events back from now on, until it is called with false. Whether one is
    /// held.
    pub fn hold(&self, hold: bool) -> bool {
        (self.hold)(hold)
    }

    /// Holds back the next call of `name`, whoever makes it; with [`MADE`], the next record when it is
    /// made.
    pub fn hold_next(&self, name: &str) {
        let name = CString::new(name).unwrap();
        // SAFETY: a string with a zero at its end.
        unsafe { (self.hold_next)(name.as_ptr()) }
    }

    /// Waits until it is held back.
    pub fn wait_until_held(&self) {
        (self.held)();
    }

    pub fn release(&self) {
        (self.release)();
    }

    /// Submits work to a stream; returns how much that is by now.
    pub fn submit(&self, stream: *mut c_void) -> u64 {
        (self.submit)(stream)
    }

    /// How much of `source`'s work `waiter` waits for.
    pub fn waited(&self, waiter: *mut c_void, source: *mut c_void) -> u64 {
        (self.waited)(waiter, source)
    }
}
