//! Wrapping of streams: devices, flags, priorities, handles, owners and host functions.

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream_core::{
    Backend, ErrorKind, Event, EventOptions, EventStatus, RawStream, Stream, StreamOptions,
};
use gpu_stream_hip::Hip;
use gpu_stream_test_support::cases;
use support::bare::{bare, enter, gate, new_stream, version, words};
use support::{
    device, devices, expect_kind, has_interprocess, need_two_devices, own_event, own_stream, skip,
    wrap,
};

fn main() -> ExitCode {
    support::main(&cases![
        every_kind_of_stream,
        waits_cross_devices_and_records_do_not,
        default_handles_name_the_current_devices_stream,
        legacy_handle_never_reaches_the_runtime,
        unchecked_stream_works,
        handle_of_a_destroyed_stream_is_rejected,
        every_option_of_an_event,
        host_function_panic_is_a_stream_fault,
        objects_dropped_in_a_host_function,
        probe_reports_the_runtime
    ])
}

/// On each device, streams with each blocking flag and priority work, and have the properties that they
/// were created with.
fn every_kind_of_stream() {
    for ordinal in 0..devices().min(2) {
        let of = Hip::device(ordinal as u32).unwrap();
        let range = Hip::priority_range(of).unwrap();
        eprintln!("{of}: priorities {range:?}");
        let waiter = Hip::new_stream(of, StreamOptions::new()).unwrap();
        let _current = enter(ordinal);
        for flags in [0, 1] {
            for priority in range.greatest..=range.least {
                let raw = new_stream(ordinal, flags, priority);
                let stream = wrap(raw);
                assert_eq!(stream.device(), of);
                assert_eq!(stream.raw().as_ptr(), raw);
                assert_eq!(stream.priority().unwrap(), priority);
                let id = stream.id();
                assert_eq!(id.is_ok(), bare().stream_id.is_some(), "{id:?}");
                let words = words(3);
                let gate = words.gate(raw, 0);
                assert!(!stream.query().unwrap());
                words.store(raw, 1, 3);
                waiter.wait_stream(&stream).unwrap();
                words.copy(waiter.raw().as_ptr(), 2, 1);
                gate.open();
                waiter.synchronize().unwrap();
                assert_eq!([words.get(1), words.get(2)], [3, 3]);
                assert!(stream.query().unwrap());
            }
        }
    }
}

/// Waits cross devices in both directions, whichever device is current. Records do not.
fn waits_cross_devices_and_records_do_not() {
    need_two_devices();
    let (raw_first, raw_second) = (new_stream(0, 1, 0), new_stream(1, 1, 0));
    let (one, other) = (wrap(raw_first), wrap(raw_second));
    assert_ne!(one, other);
    // SAFETY: the handle is rejected before it is used.
    let wrong = unsafe { Hip::stream_from_raw(one.raw(), Some(other.device())) };
    let text = expect_kind("a wrong device", wrong, ErrorKind::DeviceMismatch);
    assert!(text.contains("hip:0") && text.contains("hip:1"), "{text}");
    for current in [0, 1] {
        let _current = enter(current);
        let gate = gate(raw_first);
        other.wait_stream(&one).unwrap();
        let event = other.record_event().unwrap();
        assert_eq!(event.device(), other.device());
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        one.wait_event(&event).unwrap();
        expect_kind("record across devices", one.record(&event), ErrorKind::DeviceMismatch);
        let own = other.new_event(EventOptions::new()).unwrap();
        other.record(&own).unwrap();
        gate.open();
        one.synchronize().unwrap();
        other.synchronize().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
        assert_eq!(own.status().unwrap(), EventStatus::Complete);
    }
}

fn default_handles_name_the_current_devices_stream() {
    for bits in [0, 1] {
        for ordinal in 0..devices().min(2) {
            let _current = enter(ordinal);
            // SAFETY: the default stream always exists.
            let stream = unsafe { Hip::stream_from_raw(RawStream::from_bits(bits), None) }.unwrap();
            let of = Hip::device(ordinal as u32).unwrap();
            assert_eq!(stream, Hip::default_stream(of).unwrap());
            assert_eq!(stream.raw(), RawStream::DEFAULT);
        }
    }
    // SAFETY: the per-thread stream always exists.
    let own = unsafe { Hip::stream_from_raw(RawStream::PER_THREAD, None) };
    let text = expect_kind("handle 2", own, ErrorKind::InvalidHandle);
    assert!(text.contains("per_thread_stream"), "{text}");
}

/// Each of these calls crashes with handle 1 in some version.
fn legacy_handle_never_reaches_the_runtime() {
    // SAFETY: the default stream always exists.
    let stream = unsafe { Hip::stream_from_raw_unchecked(RawStream::LEGACY, device()) }.unwrap();
    let other = own_stream();
    stream.priority().unwrap();
    stream.capture_status().unwrap();
    let event = stream.record_event().unwrap();
    other.wait_event(&event).unwrap();
    stream.wait_stream(&other).unwrap();
    stream.launch_host_func(Box::new(|| ())).unwrap();
    stream.synchronize().unwrap();
    assert!(stream.query().unwrap());
    if bare().stream_id.is_some() {
        stream.id().unwrap();
    }
}

fn unchecked_stream_works() {
    let raw = new_stream(0, 1, 0);
    let handle = RawStream::from_ptr(raw);
    // SAFETY: the stream belongs to this device, and is never destroyed.
    let stream = unsafe { Hip::stream_from_raw_unchecked(handle, device()) }.unwrap();
    assert!(stream.query().unwrap());
    let gate = gate(raw);
    let event = stream.record_event().unwrap();
    assert_eq!(event.status().unwrap(), EventStatus::Pending);
    gate.open();
    event.synchronize().unwrap();
    assert_eq!(stream, wrap(raw));
}

/// Up to HIP 6 the runtime validates a handle. HIP 7 follows it, so there is nothing to test.
fn handle_of_a_destroyed_stream_is_rejected() {
    if !(1_000_000..70_000_000).contains(&version()) {
        skip("HIP 7 follows every handle, and so does CUDA");
    }
    let raw = new_stream(0, 1, 0);
    // SAFETY: the stream is alive, and this is its last use by the runtime.
    unsafe { (bare().stream_destroy)(raw) };
    // SAFETY: the runtime validates the handle, and rejects it.
    let wrapped = unsafe { Hip::stream_from_raw(RawStream::from_ptr(raw), None) };
    let text = expect_kind("a destroyed stream", wrapped, ErrorKind::InvalidHandle);
    assert!(text.contains(&format!("{:#x}", raw.addr())), "{text}");
}

fn every_option_of_an_event() {
    let stream = own_stream();
    for bits in 0..8 {
        let builder = EventOptions::builder().timing(bits & 1 != 0).blocking(bits & 2 != 0);
        let Ok(options) = builder.interprocess(bits & 4 != 0).build() else { continue };
        let event = Hip::new_event(device(), options);
        if options.is_interprocess() && !has_interprocess() {
            expect_kind("an interprocess event", event, ErrorKind::Unsupported);
            continue;
        }
        let event = event.unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Unrecorded);
        stream.record(&event).unwrap();
        event.synchronize().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
    }
}

fn host_function_panic_is_a_stream_fault() {
    let raw = new_stream(0, 1, 0);
    let (stream, other) = (wrap(raw), wrap(new_stream(0, 1, 0)));
    let clone = stream.clone();
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    stream
        .launch_host_func(Box::new(move || {
            let _inside = inside;
            std::panic::resume_unwind(Box::new("meant to fail"));
        }))
        .unwrap();
    let event = own_event(EventOptions::new());
    for _ in 0..2 {
        let text = expect_kind("synchronize", stream.synchronize(), ErrorKind::StreamFault);
        assert!(text.contains("meant to fail"), "{text}");
        expect_kind("query", stream.query(), ErrorKind::StreamFault);
        expect_kind("record", stream.record(&event), ErrorKind::StreamFault);
        expect_kind("query by a clone", clone.query(), ErrorKind::StreamFault);
        let launched = stream.launch_host_func(Box::new(|| ()));
        expect_kind("host function", launched, ErrorKind::StreamFault);
        if bare().stream_id.is_some() {
            expect_kind("query by another wrapper", wrap(raw).query(), ErrorKind::StreamFault);
        }
    }
    assert_eq!(Arc::strong_count(&held), 1, "the function's captures were not dropped");
    other.record(&event).unwrap();
    other.synchronize().unwrap();
    assert!(other.query().unwrap());
}

/// A host function drops the last reference to a stream and to events. Nothing hangs, and the functions
/// after it run.
fn objects_dropped_in_a_host_function() {
    let carrier = own_stream();
    let ran = Arc::new(AtomicU32::new(0));
    for _ in 0..100 {
        let stream = own_stream();
        let event = own_event(EventOptions::timed());
        stream.record(&event).unwrap();
        let ran = Arc::clone(&ran);
        let all = (stream.record_event().unwrap(), event, stream);
        let func = move || {
            assert!(all.2.synchronize().is_err(), "synchronize inside a host function");
            drop(all);
            ran.fetch_add(1, Ordering::SeqCst);
        };
        carrier.launch_host_func(Box::new(func)).unwrap();
    }
    carrier.synchronize().unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 100);
}

fn probe_reports_the_runtime() {
    let info = Hip::probe().unwrap();
    eprintln!("{info:#?}");
    let detail = |wanted: &str| {
        let found = info.details.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, text)| text.as_str()).unwrap_or_default()
    };
    assert_eq!(detail("number"), version().to_string());
    if cfg!(target_os = "linux") {
        assert!(detail("file").starts_with('/'), "{info:?}");
    }
    let lacks_ids = detail("lacks").contains("hipStreamGetId");
    assert_eq!(lacks_ids, bare().stream_id.is_none());
}
