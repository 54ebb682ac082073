//! The runtime without a device: compiled on demand, and loaded in a process of the test's own.

use std::env;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::process::{ExitCode, Output};

pub use gpu_stream_test_support::completion;
use gpu_stream_test_support::{Children, FakeLibrary};
use libloading::Library;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The child processes of the HIP tests.
pub const CHILDREN: Children =
    Children { variable: "GPU_STREAM_HIP_CHILD", program: hsa_sim::this_program };

/// A test case: its name, and its function.
pub type Case = (&'static str, fn(&Fake));

/// Runs each case over the fake of each version, each in a process of its own.
pub fn main(cases: &[Case], versions: &[&'static str]) -> ExitCode {
    if run_as_child(cases) {
        return ExitCode::SUCCESS;
    }
    let library = compile(false);
    let trials = versions.iter().flat_map(|&version| {
        trials(cases, Version { title: &version[..1], number: version }, &library)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Runs the case of a child process. Returns `false` if this is not one.
pub fn run_as_child(cases: &[Case]) -> bool {
    let Some(case) = CHILDREN.case(cases) else { return false };
    case(&Fake::open());
    true
}

/// A version of the runtime that the fake plays.
#[derive(Clone, Copy)]
pub struct Version {
    /// The suffix of the cases' names.
    pub title: &'static str,
    /// The number that the runtime reports: 70253211 is 7.2.53211.
    pub number: &'static str,
}

/// Returns a trial for each case, over the fake of one version. They are ignored without a library.
pub fn trials(cases: &[Case], version: Version, library: &Result<PathBuf, String>) -> Vec<Trial> {
    let trial = |&(name, _): &Case| {
        let library = library.clone();
        Trial::ignorable_test(format!("{name}_{}", version.title), move || {
            in_child(name, &library, &[("FAKE_HIP_VERSION", version.number)])
        })
    };
    cases.iter().map(trial).collect()
}

/// Runs `child` over the fake library in a process of its own, with these variables.
pub fn in_child(
    child: &str,
    library: &Result<PathBuf, String>,
    variables: &[(&str, &str)],
) -> Result<Completion, Failed> {
    let library = match library {
        Ok(library) => library.to_str().ok_or("the library's path is not valid UTF-8")?,
        Err(reason) => return Ok(Completion::ignored_with(reason.clone())),
    };
    completion(&rerun(child, &[&[("GPU_STREAM_HIP_LIBRARY", library)][..], variables].concat()))
}

/// Compiles the library. `old` omits the functions that are newer than HIP 5.2. Returns the reason if
/// there is no compiler.
pub fn compile(old: bool) -> Result<PathBuf, String> {
    let library = FakeLibrary {
        name: "fake_hip",
        source: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/libamdhip64.rs"),
        folder: env!("CARGO_TARGET_TMPDIR"),
        soname: Some("libamdhip64.so.5"),
    };
    library.compile(old)
}

/// Runs this test program again as `child`, with these variables.
pub fn rerun(child: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = CHILDREN.command(child);
    command.envs(variables.iter().copied()).output().expect("this program runs a second time")
}

/// The end of a record, for [`Fake::hold_next`].
pub const RECORD_END: &str = "hipEventRecord, made";

/// The control functions of the fake runtime.
pub struct Fake {
    fail: unsafe extern "C" fn(*const c_char, c_int),
    calls: unsafe extern "C" fn(*const c_char) -> usize,
    count: extern "C" fn(c_int) -> usize,
    busy: extern "C" fn(bool),
    hold_back: extern "C" fn(*mut c_void, bool),
    hold_queries: extern "C" fn(bool) -> bool,
    hold_next: unsafe extern "C" fn(*const c_char),
    held: extern "C" fn(),
    release: extern "C" fn(),
    submit: extern "C" fn(*mut c_void) -> u64,
    waited: extern "C" fn(*mut c_void, *mut c_void) -> u64,
}

impl Fake {
    /// Opens the library that `GPU_STREAM_HIP_LIBRARY` names.
    pub fn open() -> Self {
        let name = env::var_os("GPU_STREAM_HIP_LIBRARY").expect("the library's name");
        // SAFETY: the library is ours, has no initializers and is never closed. These are its functions'
        // signatures.
        unsafe {
            let library = Box::leak(Box::new(Library::new(name).expect("the fake")));
            Fake {
                fail: *library.get("fake_fail").unwrap(),
                calls: *library.get("fake_calls").unwrap(),
                count: *library.get("fake_count").unwrap(),
                busy: *library.get("fake_busy").unwrap(),
                hold_back: *library.get("fake_hold_back").unwrap(),
                hold_queries: *library.get("fake_hold_queries").unwrap(),
                hold_next: *library.get("fake_hold_next").unwrap(),
                held: *library.get("fake_held").unwrap(),
                release: *library.get("fake_release").unwrap(),
                submit: *library.get("fake_submit").unwrap(),
                waited: *library.get("fake_waited").unwrap(),
            }
        }
    }

    /// Makes all calls of `name` fail with `code`, until the next call of `fail` or `work`.
    pub fn fail(&self, name: &str, code: c_int) {
        let name = CString::new(name).unwrap();
        // SAFETY: the string ends with a NUL.
        unsafe { (self.fail)(name.as_ptr(), code) }
    }

    /// Makes no call fail from now on.
    pub fn work(&self) {
        // SAFETY: the function accepts null.
        unsafe { (self.fail)(std::ptr::null(), 0) }
    }

    /// Returns the number of calls of `name` since the last count, or of all calls if the name is empty.
    pub fn calls(&self, name: &str) -> usize {
        let name = CString::new(name).unwrap();
        // SAFETY: the string ends with a NUL.
        unsafe { (self.calls)(name.as_ptr()) }
    }

    /// Returns the number of streams that were created and not destroyed.
    pub fn live_streams(&self) -> usize {
        (self.count)(0)
    }

    /// Returns the number of events that were created and not destroyed.
    pub fn live_events(&self) -> usize {
        (self.count)(1)
    }

    /// Returns the number of calls that used a destroyed stream.
    pub fn stale(&self) -> usize {
        (self.count)(2)
    }

    /// Returns the number of events that a capture lost: they were recorded elsewhere, or destroyed
    /// where that matters, while the capture of their last record was active.
    pub fn lost(&self) -> usize {
        (self.count)(3)
    }

    /// Makes all streams busy or idle from now on.
    pub fn set_busy(&self, busy: bool) {
        (self.busy)(busy);
    }

    /// Blocks the stream, or releases it. While it is blocked, its records are pending, and so are those
    /// that wait for them.
    pub fn hold_back(&self, stream: *mut c_void, held: bool) {
        (self.hold_back)(stream, held);
    }

    /// Blocks all queries of events from now on, or releases them with `false`. Returns `true` if a
    /// query is or was blocked.
    pub fn hold_queries(&self, hold: bool) -> bool {
        (self.hold_queries)(hold)
    }

    /// Blocks the next call of `name`, on whichever thread. With [`RECORD_END`], blocks the next record
    /// after the runtime has made it.
    pub fn hold_next(&self, name: &str) {
        let name = CString::new(name).unwrap();
        // SAFETY: the string ends with a NUL.
        unsafe { (self.hold_next)(name.as_ptr()) }
    }

    /// Waits until the call of [`hold_next`](Self::hold_next) is blocked.
    pub fn wait_until_held(&self) {
        (self.held)();
    }

    /// Releases the call that is blocked.
    pub fn release(&self) {
        (self.release)();
    }

    /// Submits work to a stream. Returns the total so far.
    pub fn submit(&self, stream: *mut c_void) -> u64 {
        (self.submit)(stream)
    }

    /// Returns the amount of `source`'s work that `waiter` waits for.
    pub fn waited(&self, waiter: *mut c_void, source: *mut c_void) -> u64 {
        (self.waited)(waiter, source)
    }
}
