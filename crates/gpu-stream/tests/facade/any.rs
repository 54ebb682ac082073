//! `Any`: streams and events without a vendor in their types, and the errors of calls that mix two
//! vendors.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::fake::{Fake, FakeStream, Ready};
use gpu_stream::prelude::*;
use gpu_stream::{
    Any, AnyError, AnyEvent, AnyRawEvent, AnyRawStream, AnyStream, Error, Host, HostError,
    HostEvent, HostFunc, HostStream, RawStream, StreamOwner, available, host,
};

/// A backend that no build has. (A driver would dereference a handle of an existing backend.)
const METAL: BackendKind = BackendKind::Other("metal");

const CUDA: Device = Device::new(BackendKind::Cuda, 0);

fn device() -> Device {
    Host::device(0).unwrap()
}

fn typed() -> HostStream {
    Host::new_stream(device(), StreamOptions::new()).unwrap()
}

fn any() -> AnyStream {
    Any::new_stream(device(), StreamOptions::new()).unwrap()
}

fn fake() -> AnyStream {
    AnyStream::new(FakeStream::<Ready>::new(5))
}

fn kind_of<T>(result: Result<T, AnyError>) -> ErrorKind {
    result.err().expect("this should have failed").kind()
}

/// Returns work that appends its name to the log.
fn note(log: &Arc<Mutex<Vec<&'static str>>>, name: &'static str) -> HostFunc {
    let log = log.clone();
    Box::new(move || log.lock().unwrap().push(name))
}

fn held(stream: &AnyStream) -> host::Gate {
    let gate = host::Gate::new(device()).unwrap();
    stream.downcast_ref::<HostStream>().unwrap().wait_event(gate.event()).unwrap();
    gate
}

#[test]
fn devices_are_those_of_the_backends_that_are_ready() {
    let mut ready: Vec<_> = available().into_iter().filter(|item| item.is_ready()).collect();
    ready.sort_by_key(|item| !item.is_default); // stable: the others stay in order
    let named: Vec<_> = ready.iter().flat_map(|item| item.devices().to_vec()).collect();
    let devices: Vec<_> = named.iter().map(|named| named.device).collect();
    assert_eq!(Any::devices().unwrap(), devices);
    assert!(devices.contains(&device()));
    assert_eq!(Any::device(0).unwrap(), devices[0]);
    let info = Any::probe().unwrap();
    assert_eq!(info.devices, named);
    let versions: Vec<_> =
        ready.iter().map(|item| format!("{} {}", item.backend, item.version().unwrap())).collect();
    assert_eq!(info.version, versions.join(", "));
    let error = Any::device(99).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidDevice);
    assert!(error.to_string().contains("any:99"), "{error}");
}

#[test]
fn any_stream_equals_every_wrapper_of_its_stream() {
    let stream = typed();
    let a = AnyStream::new(stream.clone());
    // SAFETY: `stream` outlives the wrapper.
    let b = unsafe { Any::stream_from_raw(stream.raw().into(), None) }.unwrap();
    assert_eq!(a, b);
    assert_eq!(HashSet::from([a.clone(), b.clone(), a.clone()]).len(), 1);
    assert_eq!(b.downcast_ref::<HostStream>(), Some(&stream));
    assert_ne!(a, any());
    assert!(a.downcast_ref::<FakeStream>().is_none());
}

#[test]
fn one_handle_of_two_backends_is_two_streams() {
    let host = any();
    let fake = AnyStream::new(FakeStream::<Ready>::new(host.raw().bits()));
    assert_eq!(fake.raw().bits(), host.raw().bits());
    assert_ne!(fake.raw().backend(), host.raw().backend());
    assert_ne!(fake, host);
    assert!(!fake.is_same(&host));
}

#[test]
fn raw_handles_reject_another_vendors_type() {
    let stream = any();
    let raw: AnyRawStream = stream.raw();
    assert_eq!(raw.backend(), BackendKind::Host);
    assert!(raw.typed::<Host>().is_ok());
    assert_eq!(kind_of(raw.typed::<Fake>()), ErrorKind::BackendMismatch);
    let event: AnyRawEvent = stream.record_event().unwrap().raw();
    assert_eq!(kind_of(event.typed::<Fake>()), ErrorKind::BackendMismatch);
}

#[test]
fn every_constructor_reports_a_backend_that_is_not_compiled() {
    let (raw, metal) = (AnyRawStream::new(METAL, 0x7f00), Device::new(METAL, 0));
    // SAFETY: the call is refused before the handle is used, which this test checks.
    let wrapped = unsafe { Any::stream_from_raw(raw, None) };
    // SAFETY: the call is refused before the handle is used, which this test checks.
    let believed = unsafe { Any::stream_from_raw_unchecked(raw, metal) };
    let kinds = [
        kind_of(wrapped),
        kind_of(believed),
        kind_of(Any::new_stream(metal, StreamOptions::new())),
        kind_of(Any::default_stream(metal)),
        kind_of(Any::per_thread_stream(metal)),
        kind_of(Any::new_event(metal, EventOptions::new())),
        kind_of(Any::priority_range(metal)),
    ];
    assert_eq!(kinds, [ErrorKind::NotCompiled; 7]);
}

#[test]
fn another_vendors_device_is_a_backend_mismatch() {
    assert_eq!(
        Host::new_stream(CUDA, StreamOptions::new()).unwrap_err().kind(),
        ErrorKind::BackendMismatch
    );
    let stream = typed();
    // SAFETY: `stream` outlives both attempts to wrap it.
    let wrapped = unsafe { Any::stream_from_raw(stream.raw().into(), Some(CUDA)) };
    assert_eq!(kind_of(wrapped), ErrorKind::BackendMismatch);
    // SAFETY: `stream` outlives the attempt; a wrong device is refused.
    let believed = unsafe { Any::stream_from_raw_unchecked(stream.raw().into(), CUDA) };
    assert_eq!(kind_of(believed), ErrorKind::BackendMismatch);
}

#[test]
fn another_vendors_stream_or_event_is_a_backend_mismatch() {
    let (ours, theirs) = (any(), fake());
    let our_event = ours.record_event().unwrap();
    let their_event =
        AnyEvent::new(<Fake>::new_event(theirs.device(), EventOptions::new()).unwrap());
    let kinds = [
        kind_of(ours.wait_event(&their_event)),
        kind_of(theirs.wait_event(&our_event)),
        kind_of(ours.record(&their_event)),
        kind_of(ours.wait_stream(&theirs)),
        kind_of(theirs.wait_stream(&ours)),
        kind_of(ours.fork([&theirs])),
        kind_of(ours.join([&theirs])),
        kind_of(our_event.elapsed_since(&their_event)),
        kind_of(their_event.elapsed_since(&our_event)),
    ];
    assert_eq!(kinds, [ErrorKind::BackendMismatch; 9]);
    let text = ours.wait_event(&their_event).unwrap_err().to_string();
    assert!(text.contains("host") && text.contains("fake"), "{text}");
    let calls = [
        ("Stream::wait_stream", ours.wait_stream(&theirs)),
        ("Stream::fork", ours.fork([&theirs])),
        ("Stream::join", ours.join([&theirs])),
    ];
    for (call, outcome) in calls {
        let text = outcome.unwrap_err().to_string();
        assert!(text.starts_with(call), "the text names the call: {text}");
        assert!(
            text.contains("belongs to backend fake, and must belong to backend host"),
            "{text}"
        );
    }
}

#[test]
fn any_error_keeps_kind_code_and_text_of_the_backend() {
    let stream = fake();
    let event = AnyEvent::new(<Fake>::new_event(stream.device(), EventOptions::new()).unwrap());
    let error = stream.wait_event(&event).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Driver, Some(7)));
    assert_eq!(error.to_string(), "the fake waits for nothing");
    // A capability that the backend lacks stays an error, too.
    assert_eq!(kind_of(stream.launch_host_func(Box::new(|| {}))), ErrorKind::Unsupported);
    assert_eq!(kind_of(stream.id()), ErrorKind::Unsupported);
}

#[test]
fn errors_of_backends_convert_to_any_error() {
    fn of_the_host() -> Result<(), AnyError> {
        Host::device(1_000)?;
        Ok(())
    }
    fn of_any_stream<S: Stream>(stream: &S) -> Result<(), AnyError> {
        stream.launch_host_func(Box::new(|| {})).map_err(AnyError::new)
    }
    let error = of_the_host().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidDevice);
    assert!(error.downcast_ref::<HostError>().is_some(), "the backend's error is inside");
    // The error of `AnyStream` is an `AnyError` before, and is not wrapped a second time.
    let error = of_any_stream(&fake()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.downcast_ref::<AnyError>().is_none(), "wrapped twice");
}

#[cfg(all(feature = "cuda", feature = "hip"))]
#[test]
fn errors_of_the_drivers_convert_to_any_error() {
    fn convert<E>()
    where
        E: Error,
        AnyError: From<E>,
    {
    }
    convert::<gpu_stream::CudaError>();
    convert::<gpu_stream::HipError>();
}

#[test]
fn wait_stream_orders_and_is_a_snapshot() {
    let log = Arc::default();
    let (first, second) = (any(), any());
    let gate = held(&first);
    first.launch_host_func(note(&log, "first")).unwrap();
    second.wait_stream(&first).unwrap();
    let late = held(&first); // after the snapshot, and stays closed
    second.launch_host_func(note(&log, "second")).unwrap();
    host::wait_quiescent(&[second.downcast_ref().unwrap()]).unwrap();
    assert!(!second.query().unwrap() && log.lock().unwrap().is_empty());
    gate.open();
    second.synchronize().unwrap();
    assert_eq!(*log.lock().unwrap(), ["first", "second"]);
    assert!(!first.query().unwrap());
    late.open();
    first.synchronize().unwrap();
}

#[test]
fn a_per_thread_stream_can_be_waited_for() {
    let log = Arc::default();
    let mine = Any::per_thread_stream(device()).unwrap();
    let other = any();
    let gate = held(&other);
    mine.wait_stream(&other).unwrap();
    mine.launch_host_func(note(&log, "mine")).unwrap();
    let after = any();
    after.wait_stream(&mine).unwrap();
    after.launch_host_func(note(&log, "after")).unwrap();
    host::wait_quiescent(&[after.downcast_ref().unwrap()]).unwrap();
    assert!(!after.query().unwrap() && log.lock().unwrap().is_empty());
    gate.open();
    after.synchronize().unwrap();
    assert_eq!(*log.lock().unwrap(), ["mine", "after"]);
}

#[test]
fn wait_stream_for_itself_changes_nothing() {
    let stream = any();
    stream.wait_stream(&stream.clone()).unwrap();
    stream.wait_stream(&AnyStream::new(typed())).unwrap();
    stream.synchronize().unwrap();
    // No backend is called: any wait on the fake would be an error.
    fake().wait_stream(&fake()).unwrap();
}

/// A wrapper type around a stream of `Any`, such as a tracing library might have.
struct Layer(AnyStream);

// SAFETY: every method forwards to the stream inside.
unsafe impl Stream for Layer {
    type Backend = Any;

    fn raw(&self) -> AnyRawStream {
        self.0.raw()
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn query(&self) -> Result<bool, AnyError> {
        self.0.query()
    }

    fn synchronize(&self) -> Result<(), AnyError> {
        self.0.synchronize()
    }

    fn record(&self, event: &AnyEvent) -> Result<(), AnyError> {
        self.0.record(event)
    }

    fn wait_event(&self, event: &AnyEvent) -> Result<(), AnyError> {
        self.0.wait_event(event)
    }
}

#[test]
fn a_wrapper_type_can_be_waited_for() {
    let log = Arc::default();
    let (first, second) = (Layer(any()), any());
    let gate = held(&first.0);
    second.wait_stream(&first).unwrap();
    second.launch_host_func(note(&log, "second")).unwrap();
    host::wait_quiescent(&[second.downcast_ref().unwrap()]).unwrap();
    assert!(log.lock().unwrap().is_empty());
    gate.open();
    second.synchronize().unwrap();
    assert_eq!(*log.lock().unwrap(), ["second"]);
}

#[test]
fn any_event_keeps_its_type_and_options() {
    let event = Any::new_event(device(), EventOptions::timed()).unwrap();
    assert!(event.downcast_ref::<HostEvent>().is_some());
    assert!(event.options().is_timed());
    assert_eq!(event.device(), device());
    assert_eq!(event.status().unwrap(), EventStatus::Unrecorded);
    let stream = any();
    stream.record(&event).unwrap();
    event.synchronize().unwrap();
    assert_eq!(event.elapsed_since(&event).unwrap(), 0.0);
    let untimed = stream.record_event().unwrap();
    assert_eq!(kind_of(untimed.elapsed_since(&event)), ErrorKind::EventNotTimed);
}

struct Owner {
    raw: RawStream<Host>,
    _alive: Arc<()>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        host::raw::destroy(self.raw).unwrap();
    }
}

// SAFETY: the handle is a live stream until the value is dropped, and nothing else destroys it.
unsafe impl StreamOwner<Any> for Owner {
    fn raw_stream(&self) -> AnyRawStream {
        self.raw.into()
    }
}

#[test]
fn an_owner_lives_as_long_as_a_wrapper() {
    let raw = host::raw::create(device(), StreamOptions::new()).unwrap();
    let alive = Arc::new(());
    let stream =
        Any::stream_from_owner(Arc::new(Owner { raw, _alive: alive.clone() }), None).unwrap();
    let clone = stream.clone();
    drop(stream);
    assert_eq!(Arc::strong_count(&alive), 2);
    clone.synchronize().unwrap();
    drop(clone);
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(!host::raw::is_alive(raw));
}

#[test]
fn dropping_a_raw_wrapper_leaves_the_stream_alive() {
    let raw = host::raw::create(device(), StreamOptions::new()).unwrap();
    // SAFETY: the stream is destroyed after the wrapper is dropped.
    drop(unsafe { Any::stream_from_raw(raw.into(), Some(device())) }.unwrap());
    assert!(host::raw::is_alive(raw));
    host::raw::destroy(raw).unwrap();
}
