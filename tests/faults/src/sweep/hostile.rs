//! Other hostile conditions: calls that block, missing functions, and reused handles.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use gpu_stream_core::{Backend, Error, ErrorKind, Event, EventOptions, RawStream, Stream};

use super::{ErrorOf, FaultFixture, Sort, StreamOf};
use crate::{At, Controls, InjectedFault, Threads};

/// The time after which a test gives up that would hang otherwise.
const TOO_LONG: Duration = Duration::from_secs(60);

/// Holds a backend call inside a driver function on one thread, while another thread uses another
/// stream.
///
/// Returns a message for each problem.
pub fn slow_calls<V: FaultFixture>(
    controls: &Controls,
    functions: &[(&str, Held<V>)],
) -> Vec<String> {
    let device = V::Backend::device(0).expect("device 0");
    let new = || V::Backend::new_stream(device, Default::default()).expect("a stream");
    let mut wrong = Vec::new();
    let (slow, quick, third) = (new(), new(), new());
    // Warms up, so that the second thread later meets both a filled and an empty event pool.
    work::<V>(&quick, &third).expect("work where nothing is held");
    for (function, call) in functions {
        let held = slow.clone();
        let call = *call;
        controls.set(function, At::Occurrence(1), Threads::Others, InjectedFault::Hold);
        let thread = std::thread::spawn(move || call(&held).map_err(|error| error.to_string()));
        if !controls.await_held(1, TOO_LONG) {
            wrong.push(format!("{function}: the call never reaches it"));
        }
        let gave_up = AtomicBool::new(false);
        let (done, wait) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let gave_up = &gave_up;
            scope.spawn(move || {
                if wait.recv_timeout(TOO_LONG).is_err() {
                    gave_up.store(true, Ordering::SeqCst);
                    controls.release();
                }
            });
            if let Err(error) = work::<V>(&quick, &third) {
                wrong.push(format!(
                    "{function}: calls on other streams fail while it is held: {error}"
                ));
            }
            done.send(()).expect("the watchdog");
        });
        if gave_up.load(Ordering::SeqCst) {
            wrong.push(format!(
                "{function}: a call on another thread and stream blocks while it is held"
            ));
        }
        controls.clear();
        if let Err(error) = thread.join().expect("the call that was held") {
            wrong.push(format!("{function}: the held call fails after its release: {error}"));
        }
    }
    wrong
}

/// A backend call that calls the held driver function.
pub type Held<V> = fn(&StreamOf<V>) -> Result<(), ErrorOf<V>>;

/// Makes the second thread's calls while the first thread's call is held.
fn work<V: FaultFixture>(one: &StreamOf<V>, other: &StreamOf<V>) -> Result<(), ErrorOf<V>> {
    one.record_event()?.synchronize()?;
    one.wait_stream(other)?;
    one.fork([other])?;
    let timed = V::Backend::new_event(one.device(), EventOptions::timed())?;
    one.record(&timed)?;
    other.wait_event(&timed)?;
    other.synchronize()?;
    one.query()?;
    timed.status()?;
    drop(V::Backend::new_stream(one.device(), Default::default())?);
    Ok(())
}

/// The name and the result of one call of [`basics`].
pub type Answer = (&'static str, Result<(), (ErrorKind, String)>);

/// Makes one of each call, on a driver that may lack functions. Returns the result of each.
pub fn basics<V: FaultFixture>() -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut note = |name, answer: Result<(), ErrorOf<V>>| {
        answers.push((name, answer.map_err(|error| (error.kind(), error.to_string()))));
    };
    if let Err(error) = V::Backend::probe() {
        note("probe", Err(error));
        return answers;
    }
    let device = V::Backend::device(0).expect("device 0");
    note("priority_range", V::Backend::priority_range(device).map(drop));
    let stream = V::Backend::new_stream(device, Default::default()).expect("a stream");
    let raw = RawStream::from_bits(V::new_stream(Sort::Ordinary).expect("a stream"));
    // SAFETY: the stream is never destroyed.
    note("wrap", unsafe { V::Backend::stream_from_raw(raw, None) }.map(drop));
    note("query", stream.query().map(drop));
    note("id", stream.id().map(drop));
    note("capture_status", stream.capture_status().map(drop));
    note("record_event", stream.record_event().and_then(|event| event.synchronize()));
    let default = V::Backend::default_stream(device);
    note("wait_stream", default.and_then(|default| default.wait_stream(&stream)));
    let timed = || V::Backend::new_event(device, EventOptions::timed());
    note(
        "elapsed_since",
        (|| {
            let (start, end) = (timed()?, timed()?);
            stream.record(&start)?;
            stream.record(&end)?;
            end.synchronize()?;
            end.elapsed_since(&start).map(drop)
        })(),
    );
    let ran = Arc::new(AtomicBool::new(false));
    let run = Arc::clone(&ran);
    let launched = stream.launch_host_func(Box::new(move || run.store(true, Ordering::SeqCst)));
    let is_refused = launched.is_err();
    note("host function", launched.and_then(|()| stream.synchronize()));
    assert!(is_refused || ran.load(Ordering::SeqCst), "the host function did not run");
    let options = EventOptions::builder().interprocess(true).build().expect("options");
    note("interprocess event", V::Backend::new_event(device, options).map(drop));
    let mine = V::Backend::per_thread_stream(device);
    note("thread's stream", mine.and_then(|mine| mine.record_event()?.synchronize()));
    V::begin_capture(raw.to_bits());
    note("query beside a capture", stream.query().map(drop));
    // SAFETY: the stream is never destroyed.
    let captured = unsafe { V::Backend::stream_from_raw_unchecked(raw, device) };
    note("record in a capture", captured.and_then(|captured| captured.record_event().map(drop)));
    V::end_capture(raw.to_bits());
    answers
}

/// Checks that a stream with a reused handle does not inherit the failure of the stream that had it
/// before.
///
/// Returns `None` if the driver reused no handle.
pub fn reused_handles<V: FaultFixture>() -> Option<()> {
    let device = V::Backend::device(0).expect("device 0");
    let new = || V::Backend::new_stream(device, Default::default()).expect("a stream");
    let panics = |stream: &StreamOf<V>| {
        let func = || std::panic::resume_unwind(Box::new("meant to fail"));
        stream.launch_host_func(Box::new(func)).expect("a host function");
        let answer = stream.synchronize().expect_err("the panic is reported");
        assert_eq!(answer.kind(), ErrorKind::StreamFault, "{answer}");
    };
    let mut found = None;
    for _ in 0..200 {
        let first = new();
        let event = first.record_event().expect("a record");
        panics(&first);
        let handle = first.raw().to_bits();
        drop((first, event));
        let others: Vec<_> = (0..3).map(|_| new()).collect();
        for second in others.iter().filter(|second| second.raw().to_bits() == handle) {
            second.synchronize().expect("a stream with a reused handle");
            assert!(second.query().expect("a stream with a reused handle"));
            let event = second.record_event().expect("a record");
            event.synchronize().expect("synchronize");
            found = Some(());
        }
        if found.is_some() {
            break;
        }
    }
    found
}
