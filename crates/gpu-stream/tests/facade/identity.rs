//! Streams of two backends with one name in `AnyStream`, as with two versions of one crate; and
//! streams of a backend that the facade does not know.

use std::collections::HashSet;
use std::sync::Arc;

use gpu_stream::prelude::*;
use gpu_stream::{Any, AnyError, AnyEvent, AnyStream, Error, Reclaimer, StreamOf};

use crate::fake::{Fake, FakeStream, Probe};

/// The first version of a third-party backend.
struct One;

impl Probe for One {
    const FAILS: Option<(ErrorKind, &'static str)> = None;
    const WAITS: bool = true;
}

/// The second version: another type with the same name.
struct Other;

impl Probe for Other {
    const FAILS: Option<(ErrorKind, &'static str)> = None;
    const WAITS: bool = true;
}

/// Returns two streams with one backend name, device and handle.
fn twins() -> (AnyStream, AnyStream) {
    let one = AnyStream::new(FakeStream::<One>::new(0x1000));
    let other = AnyStream::new(FakeStream::<Other>::new(0x1000));
    assert_eq!((one.raw(), one.device()), (other.raw(), other.device()));
    (one, other)
}

#[track_caller]
fn check_mismatch<T>(call: &str, result: Result<T, AnyError>) {
    let error = result.err().unwrap_or_else(|| panic!("{call} returned Ok, and orders nothing"));
    assert_eq!(error.kind(), ErrorKind::BackendMismatch, "{call}: {error}");
}

#[test]
fn twins_are_neither_equal_nor_the_same() {
    let (one, other) = twins();
    assert_ne!(one, other);
    assert!(!one.is_same(&other) && !other.is_same(&one));
    assert_eq!(HashSet::from([one.clone(), other.clone(), one.clone()]).len(), 2);
    let again = AnyStream::new(FakeStream::<One>::new(0x1000));
    assert_eq!(one, again);
    assert!(one.is_same(&again));
}

#[test]
fn every_call_that_orders_twins_is_a_mismatch() {
    let (one, other) = twins();
    for (one, other) in [(&one, &other), (&other, &one)] {
        check_mismatch("fork", one.fork([other]));
        check_mismatch("join", one.join([other]));
        check_mismatch("wait_stream", one.wait_stream(other));
        let event = other.record_event().unwrap();
        check_mismatch("wait_event", one.wait_event(&event));
        check_mismatch("record", one.record(&event));
        for options in [EventOptions::timed(), EventOptions::new()] {
            let new = |stream: &AnyStream| stream.new_event(options).unwrap();
            check_mismatch("elapsed_since", new(one).elapsed_since(&new(other)));
        }
    }
    // A stream is skipped only if it is the same stream.
    one.fork([&one]).unwrap();
    one.join([&one.clone()]).unwrap();
    one.wait_stream(&one).unwrap();
}

/// A version whose stream belongs to another device.
struct Elsewhere;

impl Probe for Elsewhere {
    const FAILS: Option<(ErrorKind, &'static str)> = None;
    const ORDINAL: u32 = 1;
}

#[test]
fn mismatch_of_twins_is_found_before_that_of_their_devices() {
    let one = AnyStream::new(FakeStream::<One>::new(0x1000));
    let other = AnyStream::new(FakeStream::<Elsewhere>::new(0x1000));
    let new = |stream: &AnyStream| stream.new_event(EventOptions::new()).unwrap();
    check_mismatch("record", one.record(&new(&other)));
    check_mismatch("elapsed_since", new(&one).elapsed_since(&new(&other)));
}

#[test]
fn the_mismatch_of_twins_says_that_the_names_are_equal() {
    let (one, other) = twins();
    let text = one.wait_stream(&other).unwrap_err().to_string();
    assert!(text.contains("fake") && text.contains("two versions"), "{text}");
}

#[test]
fn fork_and_join_report_a_mismatched_branch() {
    let (one, other) = twins();
    let good = AnyStream::new(FakeStream::<One>::new(0x2000));
    check_mismatch("fork", one.fork([&other, &good]));
    check_mismatch("join", one.join([&other, &good]));
}

/// A library that keeps a stream of its own, as in the README.
struct Library<S: Stream> {
    side: StreamOf<S>,
}

impl<S: Stream> Library<S> {
    fn new(caller: &S) -> Result<Self, ErrorOf<S>> {
        Ok(Library { side: caller.new_stream(StreamOptions::new())? })
    }

    fn run(&self, caller: &S) -> Result<(), ErrorOf<S>> {
        self.side.wait_stream(caller)?;
        caller.wait_stream(&self.side)?;
        let event = caller.new_event(EventOptions::new())?;
        caller.record(&event)?;
        self.side.wait_event(&event)
    }
}

#[test]
fn a_library_runs_on_a_stream_of_an_unknown_backend() {
    let caller = AnyStream::new(FakeStream::<One>::new(0x1000));
    // `Any` cannot make a stream on its device, which names an unknown backend.
    let by_device = Any::new_stream(caller.device(), StreamOptions::new());
    assert_eq!(by_device.unwrap_err().kind(), ErrorKind::NotCompiled);
    let library = Library::new(&caller).unwrap();
    assert!(library.side.downcast_ref::<FakeStream<One>>().is_some());
    library.run(&caller).unwrap();
    let event: AnyEvent = caller.new_event(EventOptions::timed()).unwrap();
    assert!(event.downcast_ref::<<Fake<One> as Backend>::Event>().is_some());
    assert_eq!(event.options(), EventOptions::timed());
}

/// A version of the backend whose streams are busy.
struct Busy;

impl Probe for Busy {
    const FAILS: Option<(ErrorKind, &'static str)> = None;
    const IS_IDLE: bool = false;
}

#[test]
fn value_waits_for_the_stream_of_its_own_backend() {
    let idle = AnyStream::new(FakeStream::<One>::new(0x1000));
    let busy = AnyStream::new(FakeStream::<Busy>::new(0x1000));
    let (reclaimer, first, held) = (Reclaimer::new(), Arc::new(()), Arc::new(()));
    reclaimer.retain(Arc::clone(&first), &[&idle]).expect("retain");
    reclaimer.retain(Arc::clone(&held), &[&busy]).expect("retain");
    let collected = reclaimer.collect().expect("collect");
    assert_eq!((collected.dropped, collected.pending), (1, 1));
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&held)), (1, 2));
}
