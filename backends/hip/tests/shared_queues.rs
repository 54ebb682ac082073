//! Streams that share a hardware queue. The runtime has few queues for each priority, and a wait blocks all streams of its
//! queue. The streams that this crate creates for events must not wait for the program's streams.

mod support;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use gpu_stream_core::{
    Backend, Event, EventOptions, EventStatus, PerThread, Stream, StreamOptions,
};
use gpu_stream_hip::{Hip, HipStream};
use gpu_stream_test_support::{
    Vendor, cases, ptr, run_to_exit, run_trials, skip, trials_over_faults,
};
use support::bare::{Gate, Ptr, bare};
use support::layer::Layer;
use support::{OnHip, device, own_event, own_stream};

const CASES: [support::Case; 3] = cases![
    synchronize_passes_the_gates_of_other_streams,
    events_of_a_threads_stream_pass_the_gates_of_other_streams,
    threads_stream_is_done_when_its_events_are
];

/// More streams than there are hardware queues of one priority.
const STREAMS: usize = 40;

/// The time after which a case fails that would never end.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    support::prepare();
    if let Some(case) = OnHip::CHILDREN.case(&CASES) {
        run_to_exit(case);
        return ExitCode::SUCCESS;
    }
    let (with_many, with_few) = CASES.split_at(2);
    let mut trials = trials_over_faults::<OnHip>(with_many, &[]);
    // So few that each hardware queue of a priority has some of the streams.
    trials.extend(trials_over_faults::<OnHip>(with_few, &[("", &[("GPU_MAX_HW_QUEUES", "4")])]));
    run_trials(trials)
}

fn per_thread() -> PerThread<HipStream> {
    Hip::per_thread_stream(device()).expect("per_thread_stream")
}

fn gate(stream: &HipStream) -> Gate {
    OnHip::gate(ptr::<OnHip>(stream))
}

/// Returns `true` once `done` does, and `false` after the limit.
fn becomes(limit: Duration, done: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    while !done() {
        if begin.elapsed() > limit {
            return false;
        }
        thread::yield_now();
    }
    true
}

/// Returns `true` if the thread's default stream is idle, whatever its events are.
fn is_idle() -> bool {
    let per_thread: Ptr = std::ptr::without_provenance_mut(2);
    // SAFETY: handle 2 is always valid.
    unsafe { (bare().stream_query)(per_thread) == 0 }
}

/// The handle has escaped, so the call waits for a marker.
fn synchronize_passes_the_gates_of_other_streams() {
    let layer = Layer::get();
    let first = own_stream();
    let others: Vec<_> = (0..STREAMS).map(|_| own_stream()).collect();
    let event = own_event(EventOptions::new());
    event.raw();
    let shut = gate(&first);
    first.record(&event).expect("a record");
    let gates: Vec<_> = others.iter().map(gate).collect();
    thread::scope(|scope| {
        layer.calls("");
        let waiting = scope.spawn(|| event.synchronize());
        while layer.calls_so_far("hipEventSynchronize") == 0 {
            thread::yield_now();
        }
        OnHip::open(&shut);
        let is_over = becomes(LIMIT, || waiting.is_finished());
        gates.iter().for_each(OnHip::open);
        waiting.join().expect("no panic").expect("synchronize");
        assert!(is_over, "the call waits for other streams");
    });
}

fn events_of_a_threads_stream_pass_the_gates_of_other_streams() {
    let others: Vec<_> = (0..STREAMS).map(|_| own_stream()).collect();
    let stream = per_thread();
    stream.record_event().expect("a record").synchronize().expect("synchronize");
    let mut passed = 0;
    for other in &others {
        let shut = gate(other);
        let event = stream.record_event().expect("a record");
        // The thread's own stream shares a queue with some of the others.
        if becomes(Duration::from_secs(1), is_idle) {
            passed += 1;
            let is_complete = becomes(LIMIT, || event.query().expect("query"));
            assert!(is_complete, "the event waits for another stream");
        }
        OnHip::open(&shut);
        event.synchronize().expect("synchronize");
    }
    assert!(passed > 0, "the thread's stream waits for each other one");
}

/// Other streams hold back the thread's events, and not its stream.
fn threads_stream_is_done_when_its_events_are() {
    let greatest = Hip::priority_range(device()).expect("priority_range").greatest;
    let options = StreamOptions::new().priority(greatest);
    let stream = per_thread();
    stream.record_event().expect("a record").synchronize().expect("synchronize");
    let others: Vec<_> =
        (0..STREAMS).map(|_| Hip::new_stream(device(), options).expect("a stream")).collect();
    let gates: Vec<_> = others.iter().map(gate).collect();
    // A record without unfinished work before it needs no hardware queue, and is complete at once.
    let before = own_stream();
    let shut = gate(&before);
    stream.wait_stream(&before).expect("wait_stream");
    let event = stream.record_event().expect("a record");
    OnHip::open(&shut);
    if !becomes(LIMIT, is_idle) {
        skip("another stream shares the hardware queue of the thread's stream");
    }
    // In this order: an event that is pending at first may be complete by the query of the stream.
    let is_done = stream.query().expect("query");
    let is_complete = event.query().expect("query");
    assert!(is_complete || !is_done, "the stream is done before its event");
    if is_complete {
        skip("the stream for the event shares no hardware queue");
    }
    let opening = thread::spawn(move || {
        gates.iter().for_each(OnHip::open);
        gates
    });
    stream.synchronize().expect("synchronize");
    assert_eq!(event.status().expect("status"), EventStatus::Complete);
    opening.join().expect("no panic");
}
