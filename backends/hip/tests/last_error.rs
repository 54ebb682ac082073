//! Calls of the crate leave nothing in `hipGetLastError`. An error of the caller stays there while the
//! calls succeed, in versions whose runtime keeps it.

mod support;

use std::ffi::c_int;
use std::process::ExitCode;

use gpu_stream_core::{Backend, Event, RawStream, Stream};
use gpu_stream_hip::Hip;
use gpu_stream_test_support::cases;
use support::bare::{
    Bare, Ptr, bare, fetch_error, gate, keeps_errors, new_event, new_stream, ok, peek_error,
    record, synchronize, version,
};
use support::{own_stream, wrap};

fn main() -> ExitCode {
    support::main(&cases![
        not_ready_is_cleared,
        rejection_is_cleared,
        callers_error_stays,
        successful_call_leaves_no_error
    ])
}

fn not_ready_is_cleared() {
    let raw = new_stream(0, 1, 0);
    let stream = wrap(raw);
    let gate = gate(raw);
    let event = stream.record_event().unwrap();
    // Both call the runtime, and so come first.
    let (expected, version) = (if keeps_errors() { 0 } else { 600 }, version());
    fetch_error();
    // SAFETY: the stream is alive.
    assert_eq!(unsafe { (bare().stream_query)(raw) }, 600);
    assert_eq!(peek_error(), expected, "after a bare query, in version {version}");
    fetch_error();
    for _ in 0..3 {
        assert!(!stream.query().unwrap());
        assert_eq!(peek_error(), 0, "query");
        assert!(!event.query().unwrap());
        assert_eq!(peek_error(), 0, "event query");
    }
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            event.synchronize().unwrap();
            stream.synchronize().unwrap();
            peek_error()
        });
        gate.open();
        assert_eq!(waiting.join().unwrap(), 0, "synchronize");
    });
}

fn rejection_is_cleared() {
    if version() < 70_000_000 {
        let raw = new_stream(0, 1, 0);
        // SAFETY: the stream is alive, and this is its last use by the runtime.
        unsafe { (bare().stream_destroy)(raw) };
        fetch_error();
        // SAFETY: up to HIP 6 the runtime recognizes a destroyed stream, and the handle is rejected.
        let rejected = unsafe { Hip::stream_from_raw(RawStream::from_ptr(raw), None) };
        assert!(rejected.is_err());
        assert_eq!(peek_error(), 0, "after wrapping a destroyed stream");
    }
}

/// From HIP 7 on, an error stays until the program fetches it.
fn callers_error_stays() {
    let raw = new_stream(0, 1, 0);
    let stream = wrap(raw);
    let gate = gate(raw);
    let keeps_errors = keeps_errors();
    fetch_error();
    let error = fail();
    assert_eq!(peek_error(), error);
    let other = own_stream();
    assert!(!stream.query().unwrap());
    other.wait_stream(&stream).unwrap();
    let event = stream.record_event().unwrap();
    assert!(!event.query().unwrap());
    if keeps_errors {
        assert_eq!(peek_error(), error, "the caller's error was lost");
    } else {
        assert_eq!(peek_error(), 0, "every call replaces it, and the crate's leave nothing");
    }
    fetch_error();
    gate.open();
    other.synchronize().unwrap();
}

/// The functions after which the backend does not check the last error. On success each keeps the
/// previous error, or resets it to success, and leaves no error of its own.
fn successful_call_leaves_no_error() {
    type Call = fn(&Bare, Ptr, Ptr) -> c_int;
    macro_rules! calls {
        (|$d:ident, $stream:ident, $event:ident| $($name:literal $call:expr;)*) => {
            [$((
                $name,
                // SAFETY: the handles are alive, and all out-pointers are valid.
                (|$d, $stream, $event| unsafe { let _ = ($stream, $event); $call }) as Call,
            )),*]
        };
    }
    let calls = calls! { |d, stream, event|
        "hipGetDevice" (d.get_device)(&mut 0);
        "hipSetDevice" (d.set_device)(0);
        "hipDeviceGetStreamPriorityRange" (d.device_priorities)(&mut 0, &mut 0);
        "hipThreadExchangeStreamCaptureMode" (d.exchange_capture_mode)(&mut 0);
        "hipStreamIsCapturing" (d.capture_status)(stream, &mut 0);
        "hipStreamGetDevice" d.stream_device.map_or(0, |f| f(stream, &mut 0));
        "hipStreamGetId" d.stream_id.map_or(0, |f| f(stream, &mut 0));
        "hipStreamGetPriority" (d.stream_priority)(stream, &mut 0);
        "hipStreamQuery" (d.stream_query)(stream);
        "hipStreamWaitEvent" (d.stream_wait_event)(stream, event, 0);
        "hipEventRecord" (d.event_record)(event, stream);
        "hipEventQuery" { synchronize(stream); fail(); (d.event_query)(event) };
        "hipEventElapsedTime" { synchronize(stream); fail(); (d.event_elapsed)(&mut 0.0, event, event) };
    };
    let (stream, event) = (new_stream(0, 1, 0), new_event(0));
    record(event, stream);
    synchronize(stream);
    let error = fail();
    for (name, call) in calls {
        fail();
        ok(name, call(bare(), stream, event));
        let left = peek_error();
        eprintln!("{name}: {}", if left == error { "the caller's" } else { "success" });
        let may_be_lost = !keeps_errors() && left == 0;
        assert!(left == error || may_be_lost, "{name} leaves {left}");
        fetch_error();
    }
}

/// Causes an error of the caller, and returns its code.
fn fail() -> c_int {
    // SAFETY: the function accepts any number.
    unsafe { (bare().set_device)(9_999) }
}
