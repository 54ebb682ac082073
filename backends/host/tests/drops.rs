//! Tests of closures that do not run, and of destructors that panic.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use gpu_stream_core::{
    Backend, Error, ErrorKind, Event, EventOptions, EventOwner, RawEvent, RawStream, Stream,
    StreamOptions, StreamOwner,
};
use gpu_stream_host::{Gate, Host, HostEvent, HostStream, raw};

/// The time after which a test fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(60);

fn stream() -> HostStream {
    Host::new_stream(Host::device(0).expect("device"), StreamOptions::new()).expect("stream")
}

/// Panics when it is dropped. The payload is a `Bomb` too, up to this depth.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Bomb(self.0 - 1));
        }
    }
}

/// Returns a closure that must not run. Dropping it closes the channel, and panics.
fn dropped_closure(sender: &Sender<()>) -> impl FnOnce() + Send + 'static {
    let (sender, bomb) = (sender.clone(), Bomb(3));
    move || {
        let _all = (&sender, &bomb);
        unreachable!("it is after a fault")
    }
}

/// A stream fails, and a chain of streams waits for it. All their closures are dropped, although no
/// handle is left and each drop panics.
#[test]
fn closures_after_a_fault_are_dropped_without_handles() {
    let (send, receive) = mpsc::channel();
    let gate = Gate::new(Host::device(0).expect("device")).expect("gate");
    let failing = stream();
    failing.wait_event(gate.event()).expect("wait");
    failing.launch(|| panic_any(Bomb(3))).expect("launch");
    (0..3).for_each(|_| failing.launch(dropped_closure(&send)).expect("launch"));
    let mut last = failing;
    for _ in 0..5 {
        let next = stream();
        next.wait_stream(&last).expect("wait");
        // A closure that is too large to be stored inline.
        let (large, closure) = ([0u64; 100], dropped_closure(&send));
        let boxed = move || {
            let _large = &large;
            closure();
        };
        next.launch(boxed).expect("launch");
        next.launch(dropped_closure(&send)).expect("launch");
        last = next;
    }
    let event = last.record_event().expect("event");
    drop((last, send, gate));
    assert_eq!(receive.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
    event.synchronize().expect_err("the fault was passed on");
}

#[test]
fn rejected_closure_is_dropped_by_the_call() {
    let stream = stream();
    stream.launch(|| panic!("intended")).expect("launch");
    stream.synchronize().expect_err("fault");
    let (send, receive) = mpsc::channel::<()>();
    let held = send.clone();
    stream.launch(move || drop(held)).expect_err("rejected");
    let held = send.clone();
    stream.launch_host_func(Box::new(move || drop(held))).expect_err("rejected");
    drop(send);
    assert_eq!(receive.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

/// Closures that run, and closures that are only dropped, panic on many streams at once, so that
/// each worker gets several.
#[test]
fn workers_survive_destructors_that_panic() {
    const STREAMS: usize = if cfg!(miri) { 4 } else { 64 };
    let (send, receive) = mpsc::channel();
    for _ in 0..STREAMS {
        let stream = stream();
        let (bomb, ran) = (Bomb(2), send.clone());
        let run = move || {
            ran.send(()).expect("send");
            drop(bomb);
        };
        stream.launch(run).expect("launch");
        for _ in 0..2 {
            // If the stream has failed by now, the call itself drops the closure, and its panic arrives here.
            let launched = catch_unwind(AssertUnwindSafe(|| stream.launch(dropped_closure(&send))));
            // The payload panics when it is dropped, too.
            std::mem::forget(launched);
        }
    }
    drop(send);
    let ran = std::iter::from_fn(|| match receive.recv_timeout(LIMIT) {
        Ok(()) => Some(()),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("a closure was neither run nor dropped"),
    });
    assert_eq!(ran.count(), STREAMS);
    // All workers are alive: they run as many streams again.
    let streams: Vec<_> = (0..STREAMS).map(|_| stream()).collect();
    streams.iter().for_each(|stream| stream.launch(|| ()).expect("launch"));
    streams.iter().for_each(|stream| stream.synchronize().expect("synchronize"));
}

/// An owner of a stream and an event. Its drop counts itself and panics.
struct PanickingOwner {
    stream: RawStream<Host>,
    event: RawEvent<Host>,
    dropped: Arc<AtomicUsize>,
}

// SAFETY: `raw` created the stream, and only `drop` destroys it. A test that destroys it before makes
// the handle invalid, which this backend detects.
unsafe impl StreamOwner<Host> for PanickingOwner {
    fn raw_stream(&self) -> RawStream<Host> {
        self.stream
    }
}

// SAFETY: `raw` created the event, and only `drop` destroys it.
unsafe impl EventOwner<Host> for PanickingOwner {
    fn raw_event(&self) -> RawEvent<Host> {
        self.event
    }
}

impl Drop for PanickingOwner {
    fn drop(&mut self) {
        let _ = raw::destroy(self.stream);
        raw::destroy_event(self.event).expect("the event is alive");
        self.dropped.fetch_add(1, Ordering::SeqCst);
        resume_unwind(Box::new("the owner's own"));
    }
}

impl PanickingOwner {
    fn new(dropped: &Arc<AtomicUsize>) -> Arc<Self> {
        let device = Host::device(0).expect("device");
        let stream = raw::create(device, StreamOptions::new()).expect("stream");
        let event = raw::create_event(device, EventOptions::new()).expect("event");
        Arc::new(PanickingOwner { stream, event, dropped: Arc::clone(dropped) })
    }

    fn wrapped(dropped: &Arc<AtomicUsize>) -> HostStream {
        Host::stream_from_owner(Self::new(dropped), None).expect("wrapper")
    }

    fn wrapped_event(dropped: &Arc<AtomicUsize>) -> HostEvent {
        Host::event_from_owner(Self::new(dropped), None).expect("wrapper")
    }
}

/// A wrapper holds the last reference to its owner, whose drop panics while the thread unwinds.
#[test]
fn an_owner_that_panics_while_its_thread_unwinds_does_not_abort() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _stream = PanickingOwner::wrapped(&dropped);
        let _event = PanickingOwner::wrapped(&dropped).record_event().expect("event");
        // This event has two owners: its own, and that of the stream that recorded it.
        let foreign = PanickingOwner::wrapped_event(&dropped);
        PanickingOwner::wrapped(&dropped).record(&foreign).expect("record");
        resume_unwind(Box::new("the program's own"));
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"the program's own"));
    assert_eq!(dropped.load(Ordering::SeqCst), 4);
}

/// A call that fails drops the owner that it was given.
#[test]
fn an_owner_that_a_failing_call_drops_while_its_thread_unwinds_does_not_abort() {
    struct Wraps(Arc<AtomicUsize>);
    impl Drop for Wraps {
        fn drop(&mut self) {
            let owner = PanickingOwner::new(&self.0);
            raw::destroy(owner.stream).expect("the stream is alive");
            let kind = Host::stream_from_owner(owner, None).map_err(|error| error.kind());
            assert_eq!(kind.err(), Some(ErrorKind::InvalidHandle));
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _wraps = Wraps(Arc::clone(&dropped));
        resume_unwind(Box::new("the program's own"));
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"the program's own"));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

/// Without unwinding, the panic reaches the caller. The second of two panics is caught.
#[test]
fn an_owner_that_panics_alone_reaches_the_caller() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let stream = PanickingOwner::wrapped(&dropped);
    let panic = catch_unwind(AssertUnwindSafe(|| drop(stream))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"the owner's own"));
    let pair = (PanickingOwner::wrapped(&dropped), PanickingOwner::wrapped_event(&dropped));
    catch_unwind(AssertUnwindSafe(|| drop(pair))).unwrap_err();
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
}

/// A host function holds the last wrapper. The panic of its owner gives the running stream a fault. If
/// the function itself panics, the fault has the function's message.
#[test]
fn an_owner_that_panics_in_a_host_function_faults_the_stream() {
    let dropped = Arc::new(AtomicUsize::new(0));
    for (panics, message) in [(false, "the owner's own"), (true, "the function's own")] {
        let (held, running) = (PanickingOwner::wrapped(&dropped), stream());
        let func = move || {
            let _held = &held;
            if panics {
                resume_unwind(Box::new("the function's own"));
            }
        };
        running.launch_host_func(Box::new(func)).expect("launch");
        let error = running.synchronize().expect_err("fault");
        assert_eq!(error.kind(), ErrorKind::StreamFault);
        assert!(error.to_string().contains(message), "{error}");
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    let other = stream();
    other.launch(|| ()).expect("launch");
    other.synchronize().expect("the other stream continues");
}
