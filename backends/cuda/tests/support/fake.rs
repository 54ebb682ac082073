//! The driver without a device: compiled on demand, and loaded in a process of the test's own.

use std::env;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::process::{Command, Output};

use libloading::Library;

/// Compiles the library. `old` omits the functions that are newer than CUDA 11.0. Returns the reason if
/// there is no compiler.
pub fn compile(old: bool) -> Result<PathBuf, String> {
    let name = if old { "old" } else { "new" };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!("fake_cuda_{name}_{}.so", std::process::id()));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/libcuda.rs");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(&rustc);
    command.args(["--edition=2024", "--crate-type=cdylib", "--crate-name=fake_cuda", "-Awarnings"]);
    if old {
        command.arg("--cfg=old");
    }
    let output = command.arg("-o").arg(&library).arg(source).output();
    let output = output.map_err(|error| format!("{} did not start: {error}", rustc.display()))?;
    // If a compiler exists and rejects the source, the test fails and is not skipped.
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}

/// Runs this test program again, as `child`, with these variables.
pub fn rerun(child: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.env("GPU_STREAM_CUDA_CHILD", child).envs(variables.iter().copied());
    command.output().expect("this program runs a second time")
}

/// The control functions of the fake driver.
pub struct Fake {
    fail: unsafe extern "C" fn(*const c_char, c_int),
    calls: unsafe extern "C" fn(*const c_char) -> usize,
    depth: extern "C" fn() -> usize,
    live: extern "C" fn(c_int) -> usize,
    hold: unsafe extern "C" fn(*const c_char),
    held: extern "C" fn(),
    release: extern "C" fn(),
    submit: extern "C" fn(*mut c_void) -> u64,
    waited: extern "C" fn(*mut c_void, *mut c_void) -> u64,
}

impl Fake {
    /// Opens the library that `GPU_STREAM_CUDA_LIBRARY` names.
    pub fn open() -> Self {
        let name = env::var_os("GPU_STREAM_CUDA_LIBRARY").expect("the library's name");
        // SAFETY: the library is ours, has no initializers and is never closed. These are its functions'
        // signatures.
        unsafe {
            let library = Box::leak(Box::new(Library::new(name).expect("the fake")));
            Fake {
                fail: *library.get("fake_fail").unwrap(),
                calls: *library.get("fake_calls").unwrap(),
                depth: *library.get("fake_depth").unwrap(),
                live: *library.get("fake_live").unwrap(),
                hold: *library.get("fake_hold").unwrap(),
                held: *library.get("fake_held").unwrap(),
                release: *library.get("fake_release").unwrap(),
                submit: *library.get("fake_submit").unwrap(),
                waited: *library.get("fake_waited").unwrap(),
            }
        }
    }

    pub fn fail(&self, name: &str, code: c_int) {
        let name = CString::new(name).unwrap();
        // SAFETY: the string ends with a NUL.
        unsafe { (self.fail)(name.as_ptr(), code) }
    }

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

    /// Blocks the next call of `name`, on whichever thread.
    pub fn block_next(&self, name: &str) {
        let name = CString::new(name).unwrap();
        // SAFETY: the string ends with a NUL.
        unsafe { (self.hold)(name.as_ptr()) }
    }

    /// Waits until the call is blocked.
    pub fn wait_until_held(&self) {
        (self.held)();
    }

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

    pub fn depth(&self) -> usize {
        (self.depth)()
    }

    pub fn live_streams(&self) -> usize {
        (self.live)(0)
    }

    pub fn live_events(&self) -> usize {
        (self.live)(1)
    }
}
