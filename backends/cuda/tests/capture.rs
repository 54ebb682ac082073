//! Captures survive every call, and the graphs contain what was captured.

mod support;

use std::process::ExitCode;

use gpu_stream_core::Stream;
use gpu_stream_cuda::CudaStream;
use gpu_stream_test_support::{MODES, shared_cases};
use support::bare::{Space, bare, enter, ok};
use support::capture::Capture;
use support::{Case, OnCuda};

fn main() -> ExitCode {
    let shared = shared_cases![OnCuda, capture:
        queries_leave_the_capture_active,
        any_call_beside_a_capture_leaves_it_active,
        default_stream_beside_a_capture_is_rejected,
        record_outside_makes_a_captured_event_valid,
        events_of_a_capture_do_not_reach_the_pool,
        waits_alternate_inside_and_outside_of_a_capture
    ];
    let more: [Case; 2] = [
        ("bare_query_invalidates_a_capture", bare_query_invalidates_a_capture),
        ("cudarc_streams_beside_a_capture", cudarc_streams_beside_a_capture),
    ];
    support::main(&[&shared[..], &more].concat())
}

/// What the tests below would see if the backend did not check first.
fn bare_query_invalidates_a_capture() {
    let space = Space::primary();
    let _current = enter(space.context);
    let stream = space.stream(1, 0);
    let capture = Capture::begin(stream, 2);
    // SAFETY: the stream is alive.
    let code = unsafe { (bare().stream_query)(stream) };
    assert_ne!(code, 0, "the driver allowed a query of a capturing stream");
    let end = capture.end().err();
    assert_eq!(end, Some(901), "the capture should be broken after code {code}");
    for mode in MODES {
        // Prints what other captures do beside unguarded calls.
        let (other, mut event) = (space.stream(1, 0), std::ptr::null_mut());
        // SAFETY: the out-pointer is valid, and all handles are alive.
        unsafe {
            ok("event_create", (bare().event_create)(&mut event, 2));
            ok("event_record", (bare().event_record)(event, other));
        }
        let capture = Capture::begin(stream, mode);
        // SAFETY: all handles are alive.
        let codes = unsafe {
            [
                (bare().stream_query)(other),
                (bare().event_query)(event),
                (bare().stream_synchronize)(other),
            ]
        };
        let end = capture.end().map(|_| "alive").map_err(|code| format!("broken, {code}"));
        eprintln!(
            "mode {mode}: bare query, event query, synchronize of another stream: {codes:?}; capture {end:?}"
        );
    }
}

/// cudarc's streams are wrapped, and their last reference is dropped.
fn cudarc_streams_beside_a_capture() {
    let space = Space::primary();
    let theirs = cudarc::driver::CudaContext::new(0).expect("cudarc's context");
    for mode in MODES {
        let (raw, word) = (space.stream(1, 0), space.words(1));
        let streams =
            [theirs.new_stream(), theirs.new_stream()].map(|made| made.expect("cudarc's"));
        let _current = enter(space.context);
        let capture = Capture::begin(raw, mode);
        space.slow_store(raw, word, 8, 10);
        for stream in streams {
            let ours = CudaStream::from_cudarc(&stream).expect("from_cudarc");
            capture.alive("wrapping a cudarc stream");
            ours.query().expect("query");
            capture.alive("a query");
            drop(stream);
            drop(ours);
            capture.alive("dropping the last share of a cudarc stream");
        }
        let graph = capture.graph();
        graph.launch(raw);
        space.synchronize(raw);
        assert_eq!(space.read(word, 1), [8]);
    }
}
