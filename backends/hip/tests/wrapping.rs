//! Wrapping of streams: devices, flags, priorities, handles, owners, current streams and host functions.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{Backend, ErrorKind, Event, EventOptions, EventStatus, RawStream, Stream};
use gpu_stream_hip::Hip;
use gpu_stream_test_support::{cases, shared_cases};
use support::bare::{bare, enter, new_stream, version};
use support::{OnHip, device, devices, expect_kind, own_stream, skip};

fn main() -> ExitCode {
    let shared = shared_cases![OnHip, wrapping:
        every_kind_of_stream,
        waits_cross_places_and_records_do_not,
        unchecked_stream_works,
        host_function_panic_is_a_stream_fault,
        objects_dropped_in_a_host_function
    ];
    let current = shared_cases![OnHip, current_stream:
        current_stream_is_the_threads,
        work_is_ordered_with_the_current_stream,
        current_stream_of_a_capture_is_captured,
        current_stream_that_cannot_be_wrapped_is_rejected
    ];
    let more: [support::Case; 5] = cases![
        default_handles_name_the_current_devices_stream,
        legacy_handle_never_reaches_the_runtime,
        handle_of_a_destroyed_stream_is_rejected,
        every_option_of_an_event,
        probe_reports_the_runtime
    ];
    support::main(&[&shared[..], &current, &more].concat())
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
        if options.is_interprocess() {
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
