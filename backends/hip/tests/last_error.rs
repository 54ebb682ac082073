//! What our calls leave in `hipGetLastError`: nothing. And what the caller had there stays, where
//! the runtime itself keeps it, as long as none of our calls fails.

mod support;

use std::ffi::c_int;
use std::process::ExitCode;

use gpu_stream_core::{Backend, Event, RawStream, Stream, StreamOptions};
use gpu_stream_hip::Hip;
use support::bare::{
    Bare, Ptr, bare, fetch_error, gate, keeps_errors, new_stream, ok, peek_error, synchronize,
    version,
};
use support::{device, wrap};

fn main() -> ExitCode {
    support::main(&[
        ("not_ready_does_not_stay", not_ready_does_not_stay),
        ("a_refusal_does_not_stay", a_refusal_does_not_stay),
        ("what_the_caller_had", what_the_caller_had),
        ("what_a_call_that_succeeds_leaves", what_a_call_that_succeeds_leaves),
    ])
}

fn not_ready_does_not_stay() {
    let raw = new_stream(0, 1, 0);
    let stream = wrap(raw);
    let gate = gate(raw);
    let event = stream.record_event().unwrap();
    // These ask the runtime, and so come first.
    let (stays, version) = (if keeps_errors() { 0 } else { 600 }, version());
    fetch_error();
    // What a bare question leaves there.
    // SAFETY: the stream is alive.
    assert_eq!(unsafe { (bare().stream_query)(raw) }, 600);
    assert_eq!(peek_error(), stays, "of a bare question, in version {version}");
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

fn a_refusal_does_not_stay() {
    if version() < 70_000_000 {
        let raw = new_stream(0, 1, 0);
        // SAFETY: its last use; up to HIP 6 the runtime knows that it is gone.
        unsafe { (bare().stream_destroy)(raw) };
        fetch_error();
        // SAFETY: as above: it is refused.
        let refused = unsafe { Hip::stream_from_raw(RawStream::from_ptr(raw), None) };
        assert!(refused.is_err());
        assert_eq!(peek_error(), 0, "wrapping a stream that is gone");
    }
    // SAFETY: the runtime looks the handle up.
    let opened = unsafe { gpu_stream_hip::ipc::IpcEventHandle::from_bytes([0; 64]).open(device()) };
    eprintln!("opening 64 zeros: {:?}", opened.map(drop));
    assert_eq!(peek_error(), 0, "opening a handle that is none");
}

/// From HIP 7 on, an error stays until its cause's author fetches it.
fn what_the_caller_had() {
    let raw = new_stream(0, 1, 0);
    let stream = wrap(raw);
    let gate = gate(raw);
    let keeps_errors = keeps_errors();
    fetch_error();
    let error = fail();
    assert_eq!(peek_error(), error);
    let other = Hip::new_stream(device(), StreamOptions::new()).unwrap();
    assert!(!stream.query().unwrap());
    other.wait_stream(&stream).unwrap();
    let event = stream.record_event().unwrap();
    assert!(!event.query().unwrap());
    if keeps_errors {
        assert_eq!(peek_error(), error, "the caller's error is lost");
    } else {
        assert_eq!(peek_error(), 0, "every call replaces it, and ours leave nothing");
    }
    fetch_error();
    gate.open();
    other.synchronize().unwrap();
}

/// The functions that the backend calls, and does not look at the last error for: one that succeeds
/// leaves the error that was there, or success, and nothing of its own.
fn what_a_call_that_succeeds_leaves() {
    type Call = fn(&Bare, Ptr, Ptr) -> c_int;
    macro_rules! calls {
        (|$d:ident, $stream:ident, $event:ident| $($name:literal $call:expr;)*) => {
            [$((
                $name,
                // SAFETY: the handles are alive, and what is written has its place.
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
    let (stream, mut event) = (new_stream(0, 1, 0), std::ptr::null_mut());
    // SAFETY: a place for one event; the stream is alive.
    unsafe {
        ok("event_create", (bare().event_create)(&mut event, 0));
        ok("event_record", (bare().event_record)(event, stream));
    }
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

/// An error of the caller's; returns its code.
fn fail() -> c_int {
    // SAFETY: takes any number.
    unsafe { (bare().set_device)(9_999) }
}
