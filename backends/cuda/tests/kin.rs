//! Events and streams that a stream creates in its own context; blocking streams; foreign events, and our
//! events that others record.

mod support;

use std::process::ExitCode;
use std::sync::Arc;

use gpu_stream_core::{
    Backend, ErrorKind, Event, EventOptions, EventStatus, RawEvent, RawStream, Stream,
    StreamOptions, StreamOwner,
};
use gpu_stream_cuda::{Cuda, CudaEvent, CudaStream};
use gpu_stream_test_support::{Vendor, shared_cases};
use libloading::Library;
use support::bare::{Ptr, Space, bare, enter, ok};
use support::{OnCuda, device, expect_kind, own_stream, wrap};

fn main() -> ExitCode {
    let shared = shared_cases![OnCuda, foreign:
        foreign_event_can_be_waited_for_and_recorded,
        event_owner_is_kept,
        invalid_event_handle_is_rejected,
        another_library_records_our_event,
        streams_report_whether_they_block
    ];
    let more: [support::Case; 6] = [
        ("siblings_in_any_context", siblings_in_any_context),
        ("siblings_keep_the_context", siblings_keep_the_context),
        ("green_contexts", green_contexts),
        ("elapsed_time_of_a_foreign_event", elapsed_time_of_a_foreign_event),
        ("foreign_event_of_another_context", foreign_event_of_another_context),
        ("interprocess_handle_of_this_process", interprocess_handle_of_this_process),
    ];
    support::main(&[&shared[..], &more].concat())
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

fn foreign_event(place: usize, flags: u32) -> CudaEvent {
    let theirs = RawEvent::from_ptr(OnCuda::new_event(place, flags));
    // SAFETY: the event is never destroyed.
    unsafe { Cuda::event_from_raw(theirs, Some(device())) }.expect("a foreign event")
}

fn elapsed_time_of_a_foreign_event() {
    let stream = own_stream();
    let [timed, plain] = [0, 2].map(|flags| foreign_event(0, flags));
    for event in [&timed, &plain] {
        stream.record(event).unwrap();
        event.synchronize().unwrap();
    }
    assert_eq!(timed.elapsed_since(&timed).unwrap(), 0.0);
    let elapsed = plain.elapsed_since(&plain);
    let text = expect_kind("elapsed_since", elapsed, ErrorKind::InvalidHandle);
    assert!(text.contains("without timing"), "{text}");
}

fn foreign_event_of_another_context() {
    let (event, stream) = (foreign_event(1, 2), own_stream());
    let text = expect_kind("of another context", stream.record(&event), ErrorKind::InvalidHandle);
    assert!(text.contains("another context") && text.contains("Stream::new_event"), "{text}");
    wrap(Space::second().stream(1, 0)).record(&event).unwrap();
    stream.wait_event(&event).unwrap();
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
