//! Driver calls that block: [`slow_call_blocks_no_other_stream`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use gpu_stream_core::{Backend, Event, EventOptions, Stream};

use super::{ErrorOf, FaultFixture, StreamOf};
use crate::{At, InjectedFault, Threads};

/// The time after which a test gives up that would hang otherwise.
const TOO_LONG: Duration = Duration::from_secs(60);

pub(super) fn slow_call_blocks_no_other_stream<V: FaultFixture>() {
    let wrong = slow_calls::<V>();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Holds a backend call inside a driver function on one thread, while another thread uses another
/// stream.
///
/// Returns a message for each problem.
fn slow_calls<V: FaultFixture>() -> Vec<String> {
    let controls = V::controls();
    let device = V::Backend::device(0).expect("device 0");
    let new = || V::Backend::new_stream(device, Default::default()).expect("a stream");
    let mut wrong = Vec::new();
    let (slow, quick, third) = (new(), new(), new());
    // Warms up, so that the second thread later meets both a filled and an empty event pool.
    work::<V>(&quick, &third).expect("work where nothing is held");
    for (function, call) in V::slow_calls() {
        let held = slow.clone();
        controls.set(function, At::Occurrence(1), Threads::Others, InjectedFault::Hold);
        let thread =
            std::thread::spawn(move || make::<V>(call, &held).map_err(|error| error.to_string()));
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlowCall {
    /// Queries the stream.
    Query,
    /// Waits for the stream.
    Synchronize,
    /// Reads the stream's capture status.
    CaptureStatus,
    /// Records a new event.
    RecordEvent,
    /// Waits for another stream's event.
    WaitEvent,
    /// Queries an event.
    EventQuery,
    /// Waits for an event.
    EventSynchronize,
    /// Creates an event, and drops it.
    NewEvent,
    /// Submits a host function.
    HostFunc,
    /// Creates a stream, and drops it.
    NewStream,
}

/// Makes a call on a stream.
fn make<V: FaultFixture>(call: SlowCall, stream: &StreamOf<V>) -> Result<(), ErrorOf<V>> {
    let new_stream = || V::Backend::new_stream(stream.device(), Default::default());
    match call {
        SlowCall::Query => stream.query().map(drop),
        SlowCall::Synchronize => stream.synchronize(),
        SlowCall::CaptureStatus => stream.capture_status().map(drop),
        SlowCall::RecordEvent => stream.record_event().map(drop),
        // Of another stream: a wait for the stream's own record makes no driver call.
        SlowCall::WaitEvent => stream.wait_event(&new_stream()?.record_event()?),
        SlowCall::EventQuery => stream.record_event()?.query().map(drop),
        SlowCall::EventSynchronize => stream.record_event()?.synchronize(),
        SlowCall::NewEvent => stream.new_event(EventOptions::timed()).map(drop),
        SlowCall::HostFunc => stream.launch_host_func(Box::new(|| ())),
        SlowCall::NewStream => new_stream().map(drop),
    }
}

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
