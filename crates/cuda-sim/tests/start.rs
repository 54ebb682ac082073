//! Drivers that never start or start late, and two drivers in one process.
#![cfg(target_os = "linux")]

mod support;

use std::ffi::c_int;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::ptr::null_mut;

use gpu_stream_faults::{At, Controls, InjectedFault, Threads};
use libloading::Library;
use support::{Driver, Ptr, driver, ok, run_child};

#[test]
fn stub_library_answers_34() {
    passes("stub", &[("CUDA_SIM_STUB", "1")]);
    passes("no stub", &[("CUDA_SIM_STUB", "0")]);
    passes("a stub beside a driver", &[("CUDA_SIM_STUB", "other.so,libstub.so")]);
}

#[test]
fn driver_starts_after_the_configured_failures() {
    passes("starts late", &[("CUDA_SIM_INIT_FAILS", "3:2")]);
    passes("finds its devices late", &[("CUDA_SIM_INIT_FAILS", "100:1")]);
}

#[test]
fn invalid_or_unknown_variable_is_named() {
    for (variable, value) in
        [("CUDA_SIM_STUB", "yes"), ("CUDA_SIM_INIT_FAILS", "3"), ("CUDA_SIM_GREEN_801", "2")]
    {
        let output = run_child("nothing", &[(variable, value)]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(6), "{stderr}");
        assert!(stderr.contains(&format!("{variable}={value}")), "{stderr}");
    }
    let output = run_child("nothing", &[("CUDA_SIM_DEVICES", "2")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "{stderr}");
    assert!(stderr.contains("CUDA_SIM_DEVICES: no such variable"), "{stderr}");
}

fn passes(part: &str, variables: &[(&str, &str)]) {
    let output = run_child(part, variables);
    assert!(output.status.success(), "{part}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Copies of the simulator under names of their own. Dropping this removes them.
struct Copies(PathBuf);

impl Copies {
    fn new() -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("cuda-sim-copies-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Copies(folder)
    }

    fn load(&self, name: &str) -> (&'static Library, PathBuf) {
        let path = self.0.join(name);
        std::fs::copy(cuda_sim::library().expect("the library"), &path).expect("a copy");
        // SAFETY: the initialiser only reads the environment and hides the functions that it names.
        let library = unsafe { Library::new(&path) }.expect("the copy");
        (Box::leak(Box::new(library)), path)
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Creates a context and returns a stream of it.
fn stream_of(driver: &Driver) -> Ptr {
    let (mut context, mut stream) = (null_mut(), null_mut());
    // SAFETY: the out-pointers are valid.
    unsafe {
        ok((driver.ctx_create)(&mut context, 0, 0));
        ok((driver.stream_create)(&mut stream, 1, 0));
    }
    stream
}

#[test]
fn copies_share_no_state() {
    let copies = Copies::new();
    let (first, first_path) = copies.load("libcuda-one.so");
    let (second, second_path) = copies.load("libother.so.7");
    let (first, second) = (Driver::resolve(first), Driver::resolve(second));
    let mut count = 0;
    // SAFETY: flags are 0, the out-pointers are valid, and the simulator checks every handle.
    unsafe {
        ok((first.init)(0));
        assert_eq!((second.device_count)(&mut count), 3, "the other was started");
        ok((second.init)(0));
        let (one, two) = (stream_of(&first), stream_of(&second));
        assert_ne!(one, two, "a handle names one thing");
        // Each copy has its own current context and its own faults.
        let (mut of_first, mut of_second) = (null_mut(), null_mut());
        ok((first.ctx_current)(&mut of_first));
        ok((second.ctx_current)(&mut of_second));
        assert_ne!(of_first, of_second);
        let plan = Controls::of(&first_path).expect("the plan of faults");
        plan.set("cuStreamQuery", At::Always, Threads::All, InjectedFault::Answer(999));
        assert_eq!([(first.stream_query)(one), (second.stream_query)(two)], [999, 0]);
        plan.clear();
        let other_plan = Controls::of(&second_path).expect("the plan of faults");
        assert_eq!((plan.live("stream"), other_plan.live("stream")), (1, 1));
        // An interprocess event of one copy is unknown to the other.
        let mut names = Vec::new();
        for driver in [&first, &second] {
            let (mut event, mut name) = (null_mut(), [0; 64]);
            ok((driver.event_create)(&mut event, 2 | 4));
            ok((driver.ipc_event_handle)(&mut name, event));
            names.push(name);
        }
        assert_ne!(names[0], names[1]);
        ok((first.stream_destroy)(one));
        assert_eq!((second.stream_query)(two), 0);
    }
}

#[test]
fn handle_of_another_copy_aborts() {
    let output = run_child("a handle of another copy", &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "{stderr}");
    let text = "cuStreamQuery: stream 0x20000000200 was never made";
    assert!(stderr.contains(text), "{stderr}");
}

/// Checks that a driver starts after its first calls of `cuInit` have returned these codes.
fn starts_after(codes: &[c_int]) {
    let driver = driver();
    let (mut count, mut version) = (0, 0);
    // SAFETY: flags are 0, and the out-pointers are valid.
    unsafe {
        for &code in codes {
            ok((driver.version)(&mut version));
            assert_eq!((driver.init)(0), code);
            assert_eq!((driver.device_count)(&mut count), 3);
        }
        ok((driver.init)(0));
        ok((driver.init)(0));
        ok((driver.device_count)(&mut count));
        assert_eq!(count, 1);
    }
}

/// Runs the parts that need a process of their own.
#[test]
fn child() {
    match support::child().as_deref() {
        Some(part @ ("stub" | "no stub")) => {
            let driver = driver();
            let wanted = if part == "stub" { 34 } else { 0 };
            let (mut version, mut text, mut count) = (0, std::ptr::null(), 0);
            // SAFETY: flags are 0, and the out-pointers are valid.
            let codes = unsafe {
                [
                    (driver.version)(&mut version),
                    (driver.init)(0),
                    (driver.device_count)(&mut count),
                    (driver.error_name)(0, &mut text),
                ]
            };
            assert_eq!(codes, [wanted; 4]);
        }
        Some("a stub beside a driver") => {
            let copies = Copies::new();
            for (name, code) in [("libstub.so", 34), ("libdriver.so", 0), ("other.so", 34)] {
                // SAFETY: flags are 0.
                assert_eq!(unsafe { (Driver::resolve(copies.load(name).0).init)(0) }, code);
            }
        }
        Some("starts late") => starts_after(&[3, 3]),
        Some("finds its devices late") => starts_after(&[100]),
        Some("nothing") => drop(driver()),
        Some("a handle of another copy") => {
            let copies = Copies::new();
            let first = Driver::resolve(copies.load("one.so").0);
            let second = Driver::resolve(copies.load("two.so").0);
            drop(copies);
            // SAFETY: flags are 0. The last call passes a bad handle on purpose, and aborts.
            unsafe {
                ok((first.init)(0));
                ok((second.init)(0));
                let one = stream_of(&first);
                stream_of(&second);
                (second.stream_query)(one);
            }
        }
        _ => {}
    }
}
