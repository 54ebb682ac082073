//! Makes every call of the contract, one after the other: [`every_call`].

use gpu_stream_conformance::fixture::{EventOf, StreamOf};
use gpu_stream_conformance::{Fixture, Verdict};
use gpu_stream_core::{
    Backend, BackendKind, Device, Error, ErrorKind, Event, EventOptions, PerThread, Stream,
    StreamOptions,
};

use super::{device, stream};

/// Handles on which the calls are made. They were created before, and are idle.
pub(super) struct Handles<F: Fixture> {
    device: Device,
    pub(super) stream: StreamOf<F>,
    pub(super) other: StreamOf<F>,
    recorded: EventOf<F>,
    fresh: EventOf<F>,
    timed: (EventOf<F>, EventOf<F>),
}

/// Result of one call.
pub(super) struct CallResult {
    pub(super) call: &'static str,
    pub(super) outcome: Result<(), (ErrorKind, String)>,
}

impl<F: Fixture> Handles<F> {
    /// Creates handles around a new stream.
    pub(super) fn new(fx: &F) -> Result<Self, Verdict> {
        Self::on(fx, stream(fx)?)
    }

    /// Creates handles around an existing stream.
    pub(super) fn on(fx: &F, stream: StreamOf<F>) -> Result<Self, Verdict> {
        let (device, other) = (device(fx)?, self::stream(fx)?);
        let timed = || F::Backend::new_event(device, EventOptions::timed());
        let handles = Handles::<F> {
            device,
            recorded: stream.record_event()?,
            fresh: F::Backend::new_event(device, EventOptions::new())?,
            timed: (timed()?, timed()?),
            stream,
            other,
        };
        handles.stream.record(&handles.timed.0)?;
        handles.stream.record(&handles.timed.1)?;
        handles.stream.synchronize()?;
        Ok(handles)
    }
}

/// Makes every call, and returns the results. `own` is the per-thread stream of the calling thread, if any.
pub(super) fn every_call<F: Fixture>(
    _: &F,
    handles: &Handles<F>,
    own: Option<&PerThread<StreamOf<F>>>,
) -> Vec<CallResult> {
    let mut results = Vec::new();
    macro_rules! call {
        ($($name:literal: $call:expr;)*) => {$(
            let outcome = ($call).map(drop).map_err(|error| (error.kind(), error.to_string()));
            results.push(CallResult { call: $name, outcome });
        )*};
    }
    let Handles { device, stream, other, recorded, fresh, timed } = handles;
    let device = *device;
    call! {
        "query": stream.query();
        "synchronize": stream.synchronize();
        "record": stream.record(fresh);
        "record_event": stream.record_event();
        "wait_event": other.wait_event(recorded);
        "wait_stream": other.wait_stream(stream);
        "fork": stream.fork([other]);
        "join": stream.join([other]);
        "launch_host_func": stream.launch_host_func(Box::new(|| ()));
        "Event::status": recorded.status();
        "Event::query": recorded.query();
        "Event::synchronize": recorded.synchronize();
        "elapsed_since": timed.1.elapsed_since(&timed.0);
        "priority": stream.priority();
        "capture_status": stream.capture_status();
        "new_stream": F::Backend::new_stream(device, StreamOptions::new());
        "new_event": F::Backend::new_event(device, EventOptions::new());
        "new_event, timed": F::Backend::new_event(device, EventOptions::timed());
        "default_stream": F::Backend::default_stream(device);
        "per_thread_stream": F::Backend::per_thread_stream(device);
        "devices": F::Backend::devices();
        "probe": F::Backend::probe();
        "priority_range": F::Backend::priority_range(device);
    }
    // HIP has no ids before 7.2.
    let id = stream.id();
    if !id.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unsupported) {
        call! { "id": id; }
    }
    // SAFETY: `recorded` outlives the wrapper.
    let wrapped = unsafe { F::Backend::event_from_raw(recorded.raw(), Some(device)) };
    call! { "event_from_raw": wrapped; }
    if let Some(own) = own {
        call! {
            "own query": own.query();
            "own synchronize": own.synchronize();
            "own record_event": own.record_event();
            "own launch_host_func": own.launch_host_func(Box::new(|| ()));
            "own wait_stream": own.wait_stream(stream);
            "wait_stream of own": stream.wait_stream(own);
        }
    }
    results.retain(|result| !is_lacking::<F::Backend>(result));
    results
}

/// Returns `true` if OpenCL does not have the call.
fn is_lacking<B: Backend>(result: &CallResult) -> bool {
    let is_unsupported = matches!(result.outcome, Err((ErrorKind::Unsupported, _)));
    B::KIND == BackendKind::OpenCl && is_unsupported && LACKING_OPENCL.contains(&result.call)
}

/// Calls that OpenCL does not have.
const LACKING_OPENCL: &[&str] =
    &["priority", "default_stream", "per_thread_stream", "priority_range"];

/// Calls that can be answered without the driver, and so may succeed in any state of the process.
pub(super) const LOCAL_CALLS: &[&str] =
    &["elapsed_since", "priority", "id", "capture_status", "priority_range", "event_from_raw"];
