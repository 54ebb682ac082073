//! Queues and events of other libraries: which are wrapped, which are refused, and what a wrapper keeps.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use gpu_stream_core::{
    Backend, Device, ErrorKind, Event, EventOptions, EventStatus, RawEvent, RawStream, Stream,
    StreamOptions, StreamOwner,
};
use gpu_stream_opencl::{OpenCl, OpenClError, OpenClStream};
use gpu_stream_test_support::opencl::{self, Gate, IN_ORDER, Number, OUT_OF_ORDER, PROFILING, Ptr};
use gpu_stream_test_support::{Case, expect_kind, skip};

fn main() -> ExitCode {
    let cases: &[Case] = &gpu_stream_test_support::cases![
        out_of_order_queue_is_refused_by_name,
        numbers_of_default_streams_are_refused,
        wrapper_works_after_its_owner_released_the_queue,
        dropped_wrapper_returns_its_reference,
        queue_of_a_sub_device_is_one_of_its_device,
        stream_makes_its_kin_in_its_own_context,
        wait_across_contexts_keeps_the_order,
        event_has_a_handle_from_its_record_on,
        event_of_a_command_is_waited_for,
        user_event_needs_a_device,
        untimed_queue_keeps_no_time,
        options_that_opencl_lacks_are_refused,
        host_function_runs_in_order_and_not_inside_the_launch,
        host_function_creates_no_queue,
        queue_that_a_host_function_drops_is_released_after_it,
        owner_of_a_panicked_stream_is_dropped,
        default_streams_are_unsupported,
    ];
    gpu_stream_test_support::run::<OpenCl, _>(cases.iter().copied())
}

fn device() -> Device {
    OpenCl::device(0).unwrap()
}

fn new_stream() -> OpenClStream {
    OpenCl::new_stream(device(), StreamOptions::new()).unwrap()
}

fn device_id(stream: &OpenClStream) -> Ptr {
    opencl::device_of(stream.raw().as_ptr()).unwrap()
}

fn wrap(queue: Ptr, device: Option<Device>) -> Result<OpenClStream, OpenClError> {
    // SAFETY: the queue is live, or one of the numbers 0, 1 and 2.
    unsafe { OpenCl::stream_from_raw(RawStream::from_ptr(queue), device) }
}

/// Creates a queue in the context of a stream.
fn foreign(stream: &OpenClStream, properties: u64) -> Ptr {
    opencl::create_queue(stream.raw_context(), device_id(stream), properties).unwrap()
}

fn out_of_order_queue_is_refused_by_name() {
    let stream = new_stream();
    let queue = match opencl::create_queue(stream.raw_context(), device_id(&stream), OUT_OF_ORDER) {
        Ok(queue) => queue,
        Err(error) => skip(&format!("the device has no out-of-order queues: {error}")),
    };
    for device in [None, Some(device())] {
        let text = expect_kind("wrapping", wrap(queue, device), ErrorKind::InvalidHandle);
        assert!(text.contains("Backend::stream_from_raw"), "{text}");
        assert!(text.contains(&format!("{:#x}", queue.addr())), "{text}");
        assert!(text.contains("CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE"), "{text}");
    }
    // SAFETY: the queue is live, and of this device.
    let unchecked =
        unsafe { OpenCl::stream_from_raw_unchecked(RawStream::from_ptr(queue), device()) };
    expect_kind("wrapping unchecked", unchecked, ErrorKind::InvalidHandle);
    assert_eq!(opencl::references(queue).unwrap(), 1, "a refused queue was retained");
    opencl::release_queue(queue).unwrap();
}

fn numbers_of_default_streams_are_refused() {
    for number in 0..3 {
        let queue = std::ptr::without_provenance_mut(number);
        let text = expect_kind("wrapping", wrap(queue, Some(device())), ErrorKind::InvalidHandle);
        assert!(text.contains("no default stream") && text.contains("new_stream"), "{text}");
    }
}

fn wrapper_works_after_its_owner_released_the_queue() {
    let home = new_stream();
    let queue = foreign(&home, IN_ORDER);
    let stream = wrap(queue, None).unwrap();
    assert_eq!((stream.device(), opencl::references(queue).unwrap()), (device(), 2));
    opencl::release_queue(queue).unwrap();
    let number = Number::new(stream.raw_context(), 1).unwrap();
    number.store(queue, 2).unwrap();
    let event = stream.record_event().unwrap();
    home.wait_event(&event).unwrap();
    home.synchronize().unwrap();
    assert_eq!(number.load(home.raw().as_ptr()).unwrap(), 2);
}

fn dropped_wrapper_returns_its_reference() {
    let home = new_stream();
    let queue = foreign(&home, IN_ORDER);
    let stream = wrap(queue, None).unwrap();
    let clone = stream.clone();
    assert_eq!(stream, clone);
    stream.synchronize().unwrap();
    drop(stream);
    clone.synchronize().unwrap();
    drop(clone);
    opencl::finish(queue).unwrap();
    // An event of OpenCL refers to its queue, and may live for a moment after the command.
    while opencl::references(queue).unwrap() > 1 {
        std::thread::yield_now();
    }
    opencl::release_queue(queue).unwrap();
}

fn queue_of_a_sub_device_is_one_of_its_device() {
    let home = new_stream();
    let part = match opencl::sub_device(device_id(&home)) {
        Ok(part) => part,
        Err(error) => skip(&format!("the device cannot be divided: {error}")),
    };
    let context = opencl::create_context(part).unwrap();
    let queue = opencl::create_queue(context, part, PROFILING).unwrap();
    let stream = wrap(queue, Some(device())).unwrap();
    assert_eq!((stream.device(), stream.raw_context()), (device(), context));
    // The parent is no device of this context, so kin is made on the part.
    let kin = stream.new_stream(StreamOptions::new()).unwrap();
    assert_eq!(device_id(&kin), part);
    kin.wait_stream(&stream).unwrap();
    home.wait_stream(&kin).unwrap();
    home.synchronize().unwrap();
    drop((stream, kin));
    opencl::release_queue(queue).unwrap();
    opencl::release_context(context).unwrap();
}

fn stream_makes_its_kin_in_its_own_context() {
    let home = new_stream();
    let context = opencl::create_context(device_id(&home)).unwrap();
    let queue = opencl::create_queue(context, device_id(&home), IN_ORDER).unwrap();
    let stream = wrap(queue, None).unwrap();
    assert_ne!(stream.raw_context(), home.raw_context());
    let kin = stream.new_stream(StreamOptions::new()).unwrap();
    assert_eq!(kin.raw_context(), context);
    drop((stream, kin));
    opencl::release_queue(queue).unwrap();
    opencl::release_context(context).unwrap();
}

fn wait_across_contexts_keeps_the_order() {
    let home = new_stream();
    let context = opencl::create_context(device_id(&home)).unwrap();
    let queue = opencl::create_queue(context, device_id(&home), IN_ORDER).unwrap();
    let other = wrap(queue, None).unwrap();
    let number = Number::new(home.raw_context(), 0).unwrap();
    let reader = foreign(&home, IN_ORDER);
    let gate = Gate::shut(context, queue).unwrap();
    home.wait_stream(&other).unwrap();
    number.store(home.raw().as_ptr(), 1).unwrap();
    let after = home.record_event().unwrap();
    for _ in 0..50 {
        assert_eq!(after.status().unwrap(), EventStatus::Pending, "the wait was not enqueued");
        std::thread::yield_now();
    }
    assert_eq!(number.load(reader).unwrap(), 0);
    gate.open();
    after.synchronize().unwrap();
    assert_eq!(number.load(reader).unwrap(), 1);
    // A wait for an event that is complete already.
    home.wait_stream(&other).unwrap();
    home.synchronize().unwrap();
    drop((other, gate));
    opencl::release_queue(reader).unwrap();
    opencl::release_queue(queue).unwrap();
    opencl::release_context(context).unwrap();
}

fn event_has_a_handle_from_its_record_on() {
    let stream = new_stream();
    let event = OpenCl::new_event(device(), EventOptions::new()).unwrap();
    assert_eq!((event.raw().to_bits(), event.status().unwrap()), (0, EventStatus::Unrecorded));
    let gate = Gate::shut(stream.raw_context(), stream.raw().as_ptr()).unwrap();
    stream.record(&event).unwrap();
    let first = event.raw().as_ptr();
    assert!(!first.is_null());
    opencl::retain_event(first).unwrap();
    stream.record(&event).unwrap();
    assert_ne!(event.raw().as_ptr(), first, "a record makes an event, and the first one is live");
    assert!(!opencl::is_complete(first).unwrap());
    gate.open();
    event.synchronize().unwrap();
    assert!(opencl::is_complete(first).unwrap());
    opencl::release_event(first).unwrap();
}

fn event_of_a_command_is_waited_for() {
    let (stream, other) = (new_stream(), new_stream());
    let gate = Gate::shut(stream.raw_context(), stream.raw().as_ptr()).unwrap();
    let theirs = opencl::record(stream.raw().as_ptr()).unwrap();
    // SAFETY: the event is live.
    let event = unsafe { OpenCl::event_from_raw(RawEvent::from_ptr(theirs), None) }.unwrap();
    // The wrapper has a reference of its own.
    opencl::release_event(theirs).unwrap();
    assert!(event.is_foreign());
    assert_eq!((event.device(), event.status().unwrap()), (device(), EventStatus::Pending));
    other.wait_event(&event).unwrap();
    let after = other.record_event().unwrap();
    assert_eq!(after.status().unwrap(), EventStatus::Pending);
    gate.open();
    after.synchronize().unwrap();
    assert_eq!(event.status().unwrap(), EventStatus::Complete);
}

fn user_event_needs_a_device() {
    let stream = new_stream();
    let theirs = opencl::create_user_event(stream.raw_context()).unwrap();
    // SAFETY: the event is live.
    let unnamed = unsafe { OpenCl::event_from_raw(RawEvent::from_ptr(theirs), None) };
    let text = expect_kind("wrapping", unnamed, ErrorKind::InvalidHandle);
    assert!(text.contains("user event"), "{text}");
    // SAFETY: the event is live.
    let event =
        unsafe { OpenCl::event_from_raw(RawEvent::from_ptr(theirs), Some(device())) }.unwrap();
    stream.wait_event(&event).unwrap();
    let after = stream.record_event().unwrap();
    assert_eq!(after.status().unwrap(), EventStatus::Pending);
    opencl::complete_user_event(theirs).unwrap();
    after.synchronize().unwrap();
    opencl::release_event(theirs).unwrap();
    // SAFETY: 0 is refused.
    let none = unsafe { OpenCl::event_from_raw(RawEvent::from_bits(0), Some(device())) };
    expect_kind("wrapping 0", none, ErrorKind::InvalidHandle);
}

fn untimed_queue_keeps_no_time() {
    let home = new_stream();
    let queue = foreign(&home, IN_ORDER);
    let stream = wrap(queue, None).unwrap();
    let timed = || stream.new_event(EventOptions::timed()).unwrap();
    let (start, end) = (timed(), timed());
    for event in [&start, &end] {
        stream.record(event).unwrap();
    }
    end.synchronize().unwrap();
    let text = expect_kind("elapsed_since", end.elapsed_since(&start), ErrorKind::EventNotTimed);
    assert!(text.contains("CL_QUEUE_PROFILING_ENABLE"), "{text}");
    for event in [&start, &end] {
        home.record(event).unwrap();
    }
    end.synchronize().unwrap();
    assert!(end.elapsed_since(&start).unwrap() >= 0.0, "a queue of new_stream keeps time");
    drop(stream);
    opencl::release_queue(queue).unwrap();
}

fn options_that_opencl_lacks_are_refused() {
    let refused = |options| {
        expect_kind("new_stream", OpenCl::new_stream(device(), options), ErrorKind::Unsupported)
    };
    assert!(refused(StreamOptions::new().blocking(true)).contains("blocking"));
    assert!(refused(StreamOptions::new().priority(-1)).contains("priorities"));
    let options = EventOptions::builder().interprocess(true).build().unwrap();
    expect_kind("new_event", OpenCl::new_event(device(), options), ErrorKind::Unsupported);
    let event = new_stream().new_event(options);
    expect_kind("Stream::new_event", event, ErrorKind::Unsupported);
}

fn host_function_runs_in_order_and_not_inside_the_launch() {
    let (stream, count) = (new_stream(), Arc::new(AtomicUsize::new(0)));
    let caller = std::thread::current().id();
    let (sender, receiver) = mpsc::channel();
    for number in 0..20 {
        let (count, sender) = (Arc::clone(&count), sender.clone());
        let func = move || {
            let order = count.fetch_add(1, Ordering::SeqCst);
            let _ = sender.send((number, order, std::thread::current().id()));
        };
        stream.launch_host_func(Box::new(func)).unwrap();
    }
    stream.synchronize().unwrap();
    drop(sender);
    for (expected, (number, order, thread)) in receiver.iter().enumerate() {
        assert_eq!((number, order), (expected, expected));
        assert_ne!(thread, caller, "a closure ran inside a call of the backend");
    }
    assert_eq!(count.load(Ordering::SeqCst), 20);
}

fn host_function_creates_no_queue() {
    let stream = new_stream();
    let (sender, receiver) = mpsc::channel();
    let own = stream.clone();
    let func = move || {
        let options = StreamOptions::new();
        let _ = sender.send([own.new_stream(options), OpenCl::new_stream(own.device(), options)]);
    };
    stream.launch_host_func(Box::new(func)).unwrap();
    stream.synchronize().unwrap();
    for created in receiver.try_recv().expect("the function has run") {
        let text = expect_kind("creating", created, ErrorKind::NotPermitted);
        assert!(text.contains("new_stream") && text.contains("host function"), "{text}");
    }
}

fn queue_that_a_host_function_drops_is_released_after_it() {
    let (stream, queue) = (new_stream(), foreign(&new_stream(), IN_ORDER));
    let dropped = wrap(queue, None).unwrap();
    let event = dropped.record_event().unwrap();
    event.synchronize().unwrap();
    // The event may have another reference to the queue.
    let before = opencl::references(queue).unwrap();
    let (sender, receiver) = mpsc::channel();
    let address = queue.expose_provenance();
    let func = move || {
        drop((dropped, event));
        let queue = std::ptr::with_exposed_provenance_mut(address);
        let _ = sender.send(opencl::references(queue).unwrap());
    };
    stream.launch_host_func(Box::new(func)).unwrap();
    stream.synchronize().unwrap();
    assert_eq!(receiver.try_recv().expect("the function has run"), before);
    // The end of a call releases it, and that of another test's call can be at it now.
    while opencl::references(queue).unwrap() > 1 {
        stream.query().unwrap();
    }
    opencl::release_queue(queue).unwrap();
}

/// An owner that releases its queue.
struct Owner(usize);

impl Drop for Owner {
    fn drop(&mut self) {
        opencl::release_queue(std::ptr::with_exposed_provenance_mut(self.0)).unwrap();
    }
}

// SAFETY: the queue is live until the drop, which releases the owner's own reference.
unsafe impl StreamOwner<OpenCl> for Owner {
    fn raw_stream(&self) -> RawStream<OpenCl> {
        RawStream::from_bits(self.0)
    }
}

fn owner_of_a_panicked_stream_is_dropped() {
    let home = new_stream();
    let owner = Arc::new(Owner(foreign(&home, IN_ORDER).expose_provenance()));
    let stream = OpenCl::stream_from_owner(Arc::clone(&owner), None).unwrap();
    stream.launch_host_func(Box::new(|| std::panic::resume_unwind(Box::new("meant")))).unwrap();
    expect_kind("synchronizing", stream.synchronize(), ErrorKind::StreamFault);
    drop(stream);
    // The driver's thread may have the last wrapper, which the end of a later call drops.
    let is_dropped = (0..100_000).any(|_| {
        home.synchronize().unwrap();
        Arc::strong_count(&owner) == 1
    });
    assert!(is_dropped, "the owner is kept");
}

fn default_streams_are_unsupported() {
    let default = OpenCl::default_stream(device());
    let text = expect_kind("default_stream", default, ErrorKind::Unsupported);
    assert!(text.contains("Backend::new_stream"), "{text}");
    let per_thread = OpenCl::per_thread_stream(device());
    expect_kind("per_thread_stream", per_thread, ErrorKind::Unsupported);
}
