//! Failing work, missing kernels, and the names of codes.
#![cfg(target_os = "linux")]

mod support;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, Ordering};

use support::{Context, NOT_READY, address, driver, get, name, ok, set, started};

/// Failing work breaks its context permanently, and no other context.
#[test]
fn failing_work_breaks_its_context_only() {
    let driver = started();
    for code in [719, 700, 710] {
        let (broken, sound) = (Context::new(0), Context::new(0));
        let whole = sound.stream(1);
        broken.make_current();
        let (stream, held) = (broken.stream(1), broken.stream(1));
        let (before, later) = (broken.event(), broken.event());
        let [gate, shut, done] = broken.words(3) else { unreachable!() };
        static RUN: AtomicI32 = AtomicI32::new(0);
        unsafe extern "C" fn run(_: *mut c_void) {
            RUN.fetch_add(1, Ordering::SeqCst);
        }
        broken.gate(stream, gate);
        broken.gate(held, shut);
        // SAFETY: the simulator checks every handle.
        unsafe {
            ok((driver.event_record)(before, stream));
            if code == 700 {
                let (mut nowhere, mut value) = (0x10_u64, 1_u32);
                let mut parameters = [(&raw mut nowhere).cast(), (&raw mut value).cast()];
                ok(broken.launch(c"store", stream, &mut parameters));
            } else if code == 719 {
                ok(broken.launch(c"trap", stream, &mut []));
            } else {
                cuda_sim::fail(stream.addr(), code).expect("the simulator is loaded");
            }
            ok((driver.launch_host_func)(stream, run, null_mut()));
            broken.store(stream, done, 1);
            ok((driver.event_record)(later, stream));
            assert_eq!(broken.query(stream), NOT_READY);
            set(gate, 1);
            assert_eq!((driver.stream_synchronize)(stream), code);
            // The call does not wait for the closed gate. Neither would a GPU that is lost.
            assert_eq!((driver.stream_synchronize)(held), code);
            let mut made = null_mut();
            let mut status = 0;
            let answers = [
                (driver.capture_status)(stream, &mut status),
                broken.query(stream),
                broken.query(null_mut()),
                (driver.event_query)(before),
                (driver.event_query)(later),
                (driver.event_synchronize)(later),
                (driver.event_record)(later, stream),
                (driver.stream_wait_event)(stream, before, 0),
                (driver.event_create)(&mut made, 2),
                (driver.stream_create)(&mut made, 1, 0),
                (driver.launch_host_func)(stream, run, null_mut()),
            ];
            assert_eq!(answers, [code; 11]);
            assert_eq!((get(done), RUN.load(Ordering::SeqCst)), (0, 0), "later work ran");
            // Destroys are carried out, and report the fault as well.
            assert_eq!((driver.event_destroy)(later), code);
            assert_eq!((driver.stream_destroy)(stream), code);
        }
        sound.make_current();
        sound.store(whole, done, 1);
        sound.synchronize(whole);
        assert_eq!(get(done), 1);
    }
}

/// Fills whose length in bytes is more than a number can hold, or than the memory has.
#[test]
fn too_long_fill_is_an_error() {
    let (context, driver) = (Context::new(0), driver());
    let stream = context.stream(1);
    let word = &context.words(1)[0];
    for count in [2, (1 << 62) + 1, usize::MAX] {
        // SAFETY: the simulator checks the memory.
        let codes = unsafe {
            [
                (driver.mem_set)(address(word), 7, count),
                (driver.mem_set_async)(address(word), 7, count, stream),
            ]
        };
        assert_eq!(codes, [1; 2], "{count}");
    }
    // SAFETY: the word is never freed.
    ok(unsafe { (driver.mem_set_async)(address(word), 7, 1, stream) });
    context.synchronize(stream);
    assert_eq!(get(word), 7);
}

#[test]
fn missing_kernel_is_reported() {
    let context = Context::new(0);
    assert_eq!(context.function(c"nothing").map_err(name), Err("CUDA_ERROR_NOT_FOUND".into()));
    // `saxpy` has other parameters than the simulated kernel of this name.
    for kernel in [c"unknown", c"saxpy"] {
        let found = context.function(kernel).map_err(name);
        assert_eq!(found, Err("CUDA_ERROR_NOT_SUPPORTED".into()), "{kernel:?}");
    }
    let other = Context::new(0);
    let stream = other.stream(1);
    assert_eq!(context.launch(c"trap", stream, &mut []), 400, "a stream of another context");
    assert_eq!(other.query(stream), 0);
}

/// Every number of the header has a name and a description. No other number has.
#[test]
fn every_code_has_a_name_and_a_description() {
    let driver = driver();
    let text_of = |text_function: unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int,
                   code| {
        let mut text = std::ptr::null();
        // SAFETY: the out-pointer is valid. On success it points to a static string of the library.
        unsafe {
            (text_function(code, &mut text) == 0)
                .then(|| CStr::from_ptr(text).to_str().unwrap().to_owned())
        }
    };
    let known = |code: &c_int| text_of(driver.error_name, *code).is_some();
    assert_eq!((-10..2000).filter(known).count(), 106);
    for code in (-10..2000).filter(known) {
        let (name, text) = (text_of(driver.error_name, code), text_of(driver.error_text, code));
        assert!(name.unwrap().starts_with("CUDA_"), "{code}");
        assert!(!text.unwrap().is_empty(), "{code}");
    }
    assert_eq!(name(719), "CUDA_ERROR_LAUNCH_FAILED");
    assert_eq!(text_of(driver.error_text, 123_456), None);
}
