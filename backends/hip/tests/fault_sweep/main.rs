//! Every call of the backend, with every call of the runtime that it makes failing in turn, with
//! every code: AMD's own runtime, behind the layer of `tests/faults/hip`.
//!
//! ```sh
//! cargo test -p gpu-stream-hip --test fault_sweep                          # a part of the codes
//! GPU_STREAM_FAULT_SWEEP=full cargo test -p gpu-stream-hip --test fault_sweep --release
//! GPU_STREAM_FAULT_TRACE=1 cargo test -p gpu-stream-hip --test fault_sweep # prints each combination
//! ```

mod allowed;
mod front;
#[path = "../support/mod.rs"]
mod support;
mod vendor;

use std::process::ExitCode;

use gpu_stream_core::{Backend, RawStream, Stream};
use gpu_stream_faults::sweep::{self, expect_combination};
use gpu_stream_faults::{At, InjectedFault, Threads};
use gpu_stream_hip::Hip;
use gpu_stream_test_support::{Case, cases, hip, run};
use vendor::OnHip;

fn main() -> ExitCode {
    if sweep::run_as_child::<OnHip>() {
        return ExitCode::SUCCESS;
    }
    front::use_layer("fault_sweep", &[]);
    let own: [Case; 5] = cases![
        pool_has_events_before_the_sweep,
        drop_of_a_busy_stream_does_not_wait,
        per_thread_stream_exists_after_a_failed_check,
        captured_event_is_destroyed_after_its_capture,
        await_asks_again_after_a_capture,
    ];
    run::<Hip, _>(own.into_iter().chain(sweep::cases::<OnHip>()))
}

/// A pool grows when more events are in use at once than ever before, which the sweep would take for a leak.
fn pool_has_events_before_the_sweep() {
    for device in Hip::devices().expect("devices") {
        let stream = Hip::new_stream(device, Default::default()).expect("a stream");
        let events: Vec<_> = (0..64).map(|_| stream.record_event().expect("a record")).collect();
        stream.synchronize().expect("synchronize");
        drop(events);
    }
}

/// While a stream is captured, its events answer `hipErrorCapturedEvent`. A future of earlier work asks again.
fn await_asks_again_after_a_capture() {
    for fault in [InjectedFault::Answer(907), InjectedFault::PassThenAnswer(907)] {
        let call = ("hipEventQuery", 1);
        expect_combination::<OnHip>("await: the future, not polled before", call, fault);
    }
}

/// A failed check must not make a busy stream look idle: the destroy call would wait for its work.
fn drop_of_a_busy_stream_does_not_wait() {
    for function in ["hipStreamIsCapturing", "hipStreamQuery"] {
        let stream = Hip::new_stream(Hip::device(0).expect("device 0"), Default::default())
            .expect("a stream");
        let gate = hip::gate(stream.raw().as_ptr());
        let controls = front::controls();
        controls.set(function, At::Always, Threads::All, InjectedFault::Answer(1));
        // A wait here would never end, because this thread opens the gate.
        drop(stream);
        controls.clear();
        gate.open();
    }
}

/// After a failed check, HIP's exit hook of the thread must still be registered before the one of the
/// crate.
fn per_thread_stream_exists_after_a_failed_check() {
    expect_combination::<OnHip>(
        "the thread's first call",
        ("hipStreamIsCapturing", 1),
        InjectedFault::Answer(1),
    );
}

/// HIP 5.2 writes to the events of a capture when it ends, even to those that were destroyed.
fn captured_event_is_destroyed_after_its_capture() {
    let controls = front::controls();
    let raw = hip::new_stream(0, 1, 0);
    // SAFETY: the stream is never destroyed.
    let stream = unsafe { Hip::stream_from_raw(RawStream::from_ptr(raw), None) };
    let stream = stream.expect("wrapping a stream");
    let event = stream.record_event().expect("a record");
    controls.watch(Threads::All);
    hip::begin_capture(raw, 0);
    stream.record(&event).expect("a record in a capture");
    drop(event);
    let destroyed = controls.seen().iter().filter(|call| *call == "hipEventDestroy").count();
    controls.clear();
    hip::end_capture(raw).expect("the end of the capture");
    let is_safe = hip::version() >= 50_500_000;
    assert_eq!(destroyed, usize::from(is_safe), "events destroyed before the capture's end");
}
