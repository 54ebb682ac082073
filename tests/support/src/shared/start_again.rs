//! A driver that does not start at first. A failure that can be temporary is not kept.
//!
//! The driver is [`Vendor::faulty_library`].

use std::sync::Barrier;

use gpu_stream_core::{Backend, Error, ErrorKind, Event, Stream};
use gpu_stream_faults::{At, Controls, InjectedFault, Threads};

use crate::vendor::{Vendor, own_stream};

/// A vendor's functions and codes at the start of its driver.
pub trait Starts: Vendor {
    /// The functions that fail at the start, each with a code, the error's kind, and the code's name.
    const FAILURES: &'static [(&'static str, i32, ErrorKind, &'static str)];
    /// The function that starts the driver.
    const INIT: &'static str;
    /// The function that returns the version.
    const VERSION: &'static str;
    /// The codes for a machine without a device, and the functions that return them.
    const NO_DEVICE: (&'static [i32], &'static [&'static str]);
    /// The variable that hides the devices, which the error names.
    const VISIBLE: &'static str;
    /// The variable of the library's version, an old version, and how the error shows it.
    const OLD: (&'static str, &'static str, &'static str);
}

/// Checks that the driver starts, and that a record works.
fn expect_works<V: Vendor>() {
    own_stream::<V>().record_event().and_then(|event| event.synchronize()).expect("a record");
}

/// Checks that the driver does not start: the kind, and the `parts` of the text.
#[track_caller]
fn expect_error<V: Vendor>(kind: ErrorKind, parts: &[&str]) {
    let error = V::Backend::probe().expect_err("the driver does not start");
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "the text names {part}: {text}");
    }
}

fn fail(controls: &Controls, function: &str, code: i32) {
    controls.clear();
    controls.set(function, At::Always, Threads::All, InjectedFault::Answer(code));
}

/// Checks that the driver starts after each call of the start has failed in turn.
pub fn failed_call_is_repeated<V: Starts>() {
    let library = std::env::var(V::LIBRARY).unwrap();
    let controls = V::controls();
    for &(function, code, kind, name) in V::FAILURES {
        fail(controls, function, code);
        expect_error::<V>(kind, &[&library, function, name]);
        if function != V::VERSION {
            expect_error::<V>(kind, &["version "]);
        }
    }
    let (codes, functions) = V::NO_DEVICE;
    for (function, code) in functions.iter().flat_map(|f| codes.iter().map(move |code| (f, *code)))
    {
        fail(controls, function, code);
        expect_error::<V>(ErrorKind::NoDevice, &[&library]);
    }
    controls.clear();
    expect_works::<V>();
}

/// Checks that a device is found that was missing at the first calls.
pub fn device_added_later_is_found<V: Starts>() {
    let controls = V::controls();
    fail(controls, V::INIT, V::NO_DEVICE.0[0]);
    for _ in 0..3 {
        expect_error::<V>(ErrorKind::NoDevice, &[V::VISIBLE]);
    }
    controls.clear();
    expect_works::<V>();
}

/// Checks that a library is found that was missing at the first call.
pub fn library_installed_later_is_found<V: Starts>() {
    let library = std::env::var(V::LIBRARY).unwrap();
    let later = format!("{library}.{}.later.so", std::process::id());
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var(V::LIBRARY, &later) };
    expect_error::<V>(ErrorKind::LibraryNotFound, &[&later]);
    std::fs::copy(&library, &later).unwrap();
    expect_works::<V>();
    std::fs::remove_file(&later).unwrap();
}

/// Checks that of many threads, one starts the driver.
pub fn threads_that_start_at_once_start_one_driver<V: Starts>() {
    let controls = V::controls();
    fail(controls, V::INIT, 3);
    let barrier = Barrier::new(8);
    let start_all = || {
        std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                V::Backend::devices().map(|devices| devices.len())
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        })
    };
    assert!(start_all().iter().all(Result::is_err));
    controls.clear();
    controls.watch(Threads::All);
    assert!(start_all().iter().all(|devices| devices.as_ref().is_ok_and(|&count| count > 0)));
    let starts = controls.seen().iter().filter(|call| *call == V::INIT).count();
    assert_eq!(starts, 1, "one thread starts the driver");
}

/// Checks that the version of a loaded library is asked once.
pub fn failure_of_an_old_driver_is_kept<V: Starts>() {
    let (variable, version, shown) = V::OLD;
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var(variable, version) };
    let controls = V::controls();
    expect_error::<V>(ErrorKind::DriverTooOld, &[shown]);
    controls.watch(Threads::All);
    expect_error::<V>(ErrorKind::DriverTooOld, &[shown]);
    assert!(!controls.seen().iter().any(|call| call == V::VERSION), "the version was asked again");
}
