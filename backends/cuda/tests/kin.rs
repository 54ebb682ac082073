//! Events and streams that a stream creates in its own context; blocking streams; foreign events, and our
//! events that others record.

mod support;

use std::process::ExitCode;
use std::sync::Arc;

use gpu_stream_core::{
    Backend, Device, ErrorKind, Event, EventOptions, EventOwner, EventStatus, RawEvent, RawStream,
    Stream, StreamOptions, StreamOwner,
};
use gpu_stream_cuda::{Cuda, CudaStream};
use libloading::Library;
use support::bare::{Ptr, Space, bare, enter, ok};
use support::{device, expect_kind, wrap};

fn main() -> ExitCode {
    support::main(&[
        ("siblings_in_any_context", siblings_in_any_context),
        ("siblings_keep_the_context", siblings_keep_the_context),
        ("blocking_streams", blocking_streams),
        ("green_contexts", green_contexts),
        ("foreign_events", foreign_events),
        ("unsuitable_foreign_events_are_rejected", unsuitable_foreign_events_are_rejected),
        ("event_owner_is_kept_and_dropped", event_owner_is_kept_and_dropped),
        ("another_library_records_our_event", another_library_records_our_event),
        ("interprocess_handle_of_this_process", interprocess_handle_of_this_process),
    ])
}

/// Does what the documentation's examples do with the caller's stream.
fn is_useful(caller: &CudaStream) {
    let side = caller.new_stream(StreamOptions::new()).unwrap();
    assert_eq!(side.device(), caller.device());
    let (start, end) = (
        caller.new_event(EventOptions::timed()).unwrap(),
        side.new_event(EventOptions::timed()).unwrap(),
    );
    caller.record(&start).unwrap();
    side.wait_event(&start).unwrap();
    side.record(&end).unwrap();
    caller.wait_stream(&side).unwrap();
    side.record(&caller.new_event(EventOptions::new()).unwrap()).unwrap();
    caller.record(&side.record_event().unwrap()).unwrap();
    caller.fork([&side]).unwrap();
    caller.join([&side]).unwrap();
    caller.synchronize().unwrap();
    assert!(end.elapsed_since(&start).unwrap() >= 0.0);
    drop(side);
    assert_eq!(end.status().unwrap(), EventStatus::Complete);
}

fn siblings_in_any_context() {
    for space in [Space::primary(), Space::second()] {
        let raw = space.stream(1, 0);
        let caller = wrap(raw);
        is_useful(&caller);
        // SAFETY: the stream is never destroyed, and belongs to this device.
        is_useful(&unsafe { Cuda::stream_from_raw_unchecked(caller.raw(), device()) }.unwrap());
        let side = caller.new_stream(StreamOptions::new().priority(-1)).unwrap();
        assert_eq!(side.priority().unwrap(), -1);
        let mut context = std::ptr::null_mut();
        // SAFETY: the stream is alive, and the out-pointer is valid.
        let code = unsafe { (bare().stream_context)(side.raw().as_ptr(), &mut context) };
        ok("stream_context", code);
        assert_eq!(context, space.context);
        let text = expect_kind(
            "a priority that is not there",
            caller.new_stream(StreamOptions::new().priority(99)),
            ErrorKind::InvalidOptions,
        );
        assert!(text.contains("99"), "{text}");
    }
    is_useful(&Cuda::default_stream(device()).unwrap());
}

struct Theirs(Ptr);

// SAFETY: the driver accepts the handle on any thread.
unsafe impl Send for Theirs {}
// SAFETY: the driver accepts the handle on any thread.
unsafe impl Sync for Theirs {}

// SAFETY: the tests' streams are never destroyed.
unsafe impl StreamOwner<Cuda> for Theirs {
    fn raw_stream(&self) -> RawStream<Cuda> {
        RawStream::from_ptr(self.0)
    }
}

// SAFETY: the tests' events are never destroyed.
unsafe impl EventOwner<Cuda> for Theirs {
    fn raw_event(&self) -> RawEvent<Cuda> {
        RawEvent::from_ptr(self.0)
    }

    fn options(&self) -> Option<EventOptions> {
        Some(EventOptions::timed())
    }
}

fn siblings_keep_the_context() {
    let owner = Arc::new(Theirs(Space::second().stream(1, 0)));
    let caller = Cuda::stream_from_owner(Arc::clone(&owner), None).unwrap();
    let side = caller.new_stream(StreamOptions::new()).unwrap();
    let event = side.new_event(EventOptions::new()).unwrap();
    drop(caller);
    assert!(Arc::strong_count(&owner) > 1, "the stream keeps what keeps its context");
    drop(side);
    assert!(Arc::strong_count(&owner) > 1, "so does the event");
    drop(event);
    assert_eq!(Arc::strong_count(&owner), 1);
}

fn blocking_streams() {
    let space = Space::primary();
    let blocking = Cuda::new_stream(device(), StreamOptions::new().blocking(true)).unwrap();
    let plain = Cuda::new_stream(device(), StreamOptions::new()).unwrap();
    let sibling = plain.new_stream(StreamOptions::new().blocking(true)).unwrap();
    let default = Cuda::default_stream(device()).unwrap();
    let mine = Cuda::per_thread_stream(device()).unwrap();
    for (stream, expected) in
        [(&blocking, true), (&plain, false), (&sibling, true), (&default, true)]
    {
        assert_eq!(stream.is_blocking().unwrap(), expected, "{stream:?}");
    }
    assert!(mine.is_blocking().unwrap());
    assert!(wrap(space.stream(0, 0)).is_blocking().unwrap());
    assert!(!wrap(space.stream(1, 0)).is_blocking().unwrap());
    // The effect: the default stream waits for the blocking stream only.
    for (stream, holds) in [(&blocking, true), (&plain, false)] {
        let gate = space.gate(stream.raw().as_ptr());
        let event = default.record_event().unwrap();
        if holds {
            assert_eq!(event.status().unwrap(), EventStatus::Pending);
        } else {
            event.synchronize().unwrap();
        }
        gate.open();
        event.synchronize().unwrap();
        stream.synchronize().unwrap();
    }
}

/// Returns a stream of a green context. Returns `None` if the driver has no green contexts.
fn green_stream() -> Option<Ptr> {
    let library = Cuda::probe().unwrap().library.unwrap();
    // SAFETY: the backend has loaded the library, so its initializers have run.
    let library = Box::leak(Box::new(unsafe { Library::new(library) }.unwrap()));
    let _current = enter(Space::primary().context);
    // `CUdevResource` is not longer than this.
    let mut resource = [0_u64; 32];
    let resource: Ptr = resource.as_mut_ptr().cast();
    let [mut description, mut green, mut stream] = [std::ptr::null_mut(); 3];
    // SAFETY: these are the functions' signatures, and all out-pointers are valid.
    unsafe {
        let of_device = *library
            .get::<unsafe extern "C" fn(i32, Ptr, i32) -> i32>("cuDeviceGetDevResource")
            .ok()?;
        let describe = *library
            .get::<unsafe extern "C" fn(*mut Ptr, Ptr, u32) -> i32>("cuDevResourceGenerateDesc")
            .ok()?;
        let create = *library
            .get::<unsafe extern "C" fn(*mut Ptr, Ptr, i32, u32) -> i32>("cuGreenCtxCreate")
            .ok()?;
        let create_stream = *library
            .get::<unsafe extern "C" fn(*mut Ptr, Ptr, u32, i32) -> i32>("cuGreenCtxStreamCreate")
            .ok()?;
        ok("cuDeviceGetDevResource", of_device(0, resource, 1));
        ok("cuDevResourceGenerateDesc", describe(&mut description, resource, 1));
        ok("cuGreenCtxCreate", create(&mut green, description, 0, 1));
        ok("cuGreenCtxStreamCreate", create_stream(&mut stream, green, 1, 0));
    }
    Some(stream)
}

fn green_contexts() {
    let Some(raw) = green_stream() else { return };
    let caller = wrap(raw);
    is_useful(&caller);
    // SAFETY: the stream is never destroyed, and belongs to this device.
    is_useful(&unsafe { Cuda::stream_from_raw_unchecked(caller.raw(), device()) }.unwrap());
    let side = caller.new_stream(StreamOptions::new()).unwrap();
    let green_of = |stream: &CudaStream| {
        let library = Cuda::probe().unwrap().library.unwrap();
        let mut green = std::ptr::null_mut();
        // SAFETY: the library is loaded, the function has this signature, and the stream is alive.
        unsafe {
            let library = Library::new(library).unwrap();
            let ask = *library
                .get::<unsafe extern "C" fn(Ptr, *mut Ptr) -> i32>("cuStreamGetGreenCtx")
                .unwrap();
            ok("cuStreamGetGreenCtx", ask(stream.raw().as_ptr(), &mut green));
        }
        green
    };
    assert!(!green_of(&side).is_null() && green_of(&side) == green_of(&caller));
    let blocking = caller.new_stream(StreamOptions::new().blocking(true));
    let text = expect_kind("a blocking stream", blocking, ErrorKind::Unsupported);
    assert!(text.contains("green context") && text.contains("Backend::new_stream"), "{text}");
}

fn foreign(space: &Space, flags: u32) -> Ptr {
    let _current = enter(space.context);
    let mut event = std::ptr::null_mut();
    // SAFETY: the out-pointer is valid.
    ok("event_create", unsafe { (bare().event_create)(&mut event, flags) });
    event
}

fn foreign_events() {
    let space = Space::primary();
    let (raw, raw_waiter) = (space.stream(1, 0), space.stream(1, 0));
    let (stream, waiter) = (wrap(raw), wrap(raw_waiter));
    for current in [std::ptr::null_mut(), space.context, Space::second().context] {
        let _current = enter(current);
        for flags in [0, 2] {
            let theirs = foreign(space, flags);
            // SAFETY: the event is never destroyed.
            let event = unsafe { Cuda::event_from_raw(RawEvent::from_ptr(theirs), None) }.unwrap();
            assert!(event.is_foreign() && event.device() == device());
            assert_eq!(event.raw(), RawEvent::from_ptr(theirs));
            assert!(event.query().unwrap());
            let gate = space.gate(raw);
            // SAFETY: both handles are alive.
            ok("event_record", unsafe { (bare().event_record)(theirs, raw) });
            waiter.wait_event(&event).unwrap();
            assert_eq!(event.status().unwrap(), EventStatus::Pending);
            assert!(!waiter.query().unwrap(), "the wait was left out");
            gate.open();
            event.synchronize().unwrap();
            assert_eq!(event.status().unwrap(), EventStatus::Complete);
            waiter.synchronize().unwrap();
            stream.record(&event).unwrap();
            event.synchronize().unwrap();
            if flags == 0 {
                assert_eq!(event.elapsed_since(&event).unwrap(), 0.0);
            } else {
                let elapsed = event.elapsed_since(&event);
                let text = expect_kind("elapsed_since", elapsed, ErrorKind::InvalidHandle);
                assert!(text.contains("without timing"), "{text}");
            }
            drop(event);
            // SAFETY: the event is alive: a wrapper does not destroy it.
            ok("event_query", unsafe { (bare().event_query)(theirs) });
        }
    }
}

fn unsuitable_foreign_events_are_rejected() {
    let null = RawEvent::from_bits(0);
    // SAFETY: the handle is null, which is rejected.
    let wrapped = unsafe { Cuda::event_from_raw(null, None) };
    expect_kind("the null handle", wrapped, ErrorKind::InvalidHandle);
    let theirs = RawEvent::from_ptr(foreign(Space::second(), 2));
    let nowhere = Device::new(Cuda::KIND, 99);
    // SAFETY: the event is never destroyed.
    let wrapped = unsafe { Cuda::event_from_raw(theirs, Some(nowhere)) };
    expect_kind("no device", wrapped, ErrorKind::InvalidDevice);
    // SAFETY: the event is never destroyed.
    let event = unsafe { Cuda::event_from_raw(theirs, Some(device())) }.unwrap();
    let stream = Cuda::new_stream(device(), StreamOptions::new()).unwrap();
    let text = expect_kind("of another context", stream.record(&event), ErrorKind::InvalidHandle);
    assert!(text.contains("another context") && text.contains("Stream::new_event"), "{text}");
    wrap(Space::second().stream(1, 0)).record(&event).unwrap();
    stream.wait_event(&event).unwrap();
}

fn event_owner_is_kept_and_dropped() {
    let owner = Arc::new(Theirs(foreign(Space::primary(), 0)));
    let event = Cuda::event_from_owner(Arc::clone(&owner), None).unwrap();
    assert!(event.options().is_timed() && event.is_foreign());
    assert_eq!(Arc::strong_count(&owner), 2);
    assert_eq!(event.status().unwrap(), EventStatus::Unrecorded, "a timed one is certain");
    drop(event);
    assert_eq!(Arc::strong_count(&owner), 1);
    let wrong = Device::new(Cuda::KIND, 99);
    expect_kind(
        "no device",
        Cuda::event_from_owner(Arc::clone(&owner), Some(wrong)),
        ErrorKind::InvalidDevice,
    );
    assert_eq!(Arc::strong_count(&owner), 1, "a rejected owner is dropped");
}

fn another_library_records_our_event() {
    let space = Space::primary();
    let raw = space.stream(1, 0);
    let new = |options| Cuda::new_event(device(), options).unwrap();
    let (start, end, plain) =
        (new(EventOptions::timed()), new(EventOptions::timed()), new(EventOptions::new()));
    let handles = [&start, &end, &plain].map(|event| event.raw().as_ptr());
    assert_eq!(end.status().unwrap(), EventStatus::Unrecorded, "a timed one is certain");
    expect_kind("elapsed_since", end.elapsed_since(&start), ErrorKind::EventNotRecorded);
    let gate = space.gate(raw);
    for handle in handles {
        // SAFETY: both handles are alive.
        ok("event_record", unsafe { (bare().event_record)(handle, raw) });
    }
    for event in [&start, &end, &plain] {
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
    }
    expect_kind("elapsed_since", end.elapsed_since(&start), ErrorKind::EventPending);
    gate.open();
    for event in [&start, &end, &plain] {
        event.synchronize().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
    }
    assert!(end.elapsed_since(&start).unwrap() >= 0.0);
    expect_kind("elapsed_since", plain.elapsed_since(&plain), ErrorKind::EventNotTimed);
}

fn interprocess_handle_of_this_process() {
    let options = EventOptions::builder().interprocess(true).build().unwrap();
    let event = Cuda::new_event(device(), options).unwrap();
    let handle = event.ipc_handle().unwrap();
    // SAFETY: the event is alive.
    let opened = unsafe { handle.open(device()) };
    let text = expect_kind("open", opened, ErrorKind::InvalidHandle);
    assert!(text.contains("this process") && text.contains("use the event itself"), "{text}");
    drop(event);
    // SAFETY: no event has the handle any more, which the driver checks.
    assert!(unsafe { handle.open(device()) }.is_err());
}
