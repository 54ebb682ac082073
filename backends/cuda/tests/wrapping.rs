//! Wrapping of streams: contexts, flags, priorities, owners, host functions, and cudarc in both directions.

mod support;

use std::ffi::c_void;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream_core::{
    Backend, ErrorKind, Event, EventOptions, EventStatus, RawStream, Stream, StreamOptions,
};
use gpu_stream_cuda::{Cuda, CudaError, CudaEvent, CudaStream};
use support::bare::{Space, bare, enter, set_current};
use support::{device, expect_kind, wrap};

fn main() -> ExitCode {
    support::main(&[
        ("every_kind_of_stream", every_kind_of_stream),
        ("streams_of_two_contexts", streams_of_two_contexts),
        ("event_of_another_context_is_rejected", event_of_another_context_is_rejected),
        ("default_handles_without_a_device", default_handles_without_a_device),
        ("unchecked_finds_its_context_later", unchecked_finds_its_context_later),
        ("host_function_panic_is_a_stream_fault", host_function_panic_is_a_stream_fault),
        ("objects_dropped_in_a_host_function", objects_dropped_in_a_host_function),
        (
            "synchronize_in_a_foreign_callback_is_rejected",
            synchronize_in_a_foreign_callback_is_rejected,
        ),
        #[cfg(feature = "cudarc")]
        ("cudarc_stream_as_the_owner", cudarc_stream_as_the_owner),
        #[cfg(feature = "cudarc")]
        ("stream_passed_to_cudarc", stream_passed_to_cudarc),
        #[cfg(feature = "cudarc")]
        ("cudarc_context_that_differs_is_rejected", cudarc_context_that_differs_is_rejected),
    ])
}

/// Streams of both contexts, blocking and not, of every priority: each works, and has the properties that
/// it was created with.
fn every_kind_of_stream() {
    let range = Cuda::priority_range(device()).unwrap();
    eprintln!("priorities {range:?}");
    for space in [Space::primary(), Space::second()] {
        let waiter = wrap(space.stream(1, 0));
        for flags in [0, 1] {
            for priority in range.greatest..=range.least {
                let raw = space.stream(flags, priority);
                let stream = wrap(raw);
                assert_eq!(stream.device(), device());
                assert_eq!(stream.raw().as_ptr(), raw);
                assert_eq!(stream.priority().unwrap(), priority);
                stream.id().unwrap();
                // Before the gate: setting memory waits for the default stream, which waits for blocking
                // streams.
                let words = space.words(2);
                let gate = space.gate(raw);
                assert!(!stream.query().unwrap());
                space.slow_store(raw, words, 3, 10);
                waiter.wait_stream(&stream).unwrap();
                space.copy(waiter.raw().as_ptr(), words + 4, words);
                gate.open();
                waiter.synchronize().unwrap();
                assert_eq!(space.read(words, 2), [3, 3]);
                assert!(stream.query().unwrap());
            }
        }
    }
}

/// Waits work across contexts of one device, in both directions, whatever context is current.
fn streams_of_two_contexts() {
    let (first, second) = (Space::primary(), Space::second());
    let (raw_first, raw_second) = (first.stream(1, 0), second.stream(1, 0));
    let (one, other) = (wrap(raw_first), wrap(raw_second));
    assert_ne!(one, other);
    let words = first.words(3);
    for current in [std::ptr::null_mut(), first.context, second.context] {
        let _current = enter(current);
        first.clear(words, 3);
        let gate = first.gate(raw_first);
        first.slow_store(raw_first, words, 4, 10);
        other.wait_stream(&one).unwrap();
        let event = other.record_event().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        one.wait_event(&event).unwrap();
        first.copy(raw_first, words + 4, words);
        gate.open();
        one.synchronize().unwrap();
        other.synchronize().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
        assert_eq!(first.read(words, 2), [4, 4]);
    }
}

/// An event belongs to a context. A stream of another context cannot record it, and the error names a
/// suitable event.
fn event_of_another_context_is_rejected() {
    let (first, second) = (Space::primary(), Space::second());
    let (one, other) = (wrap(first.stream(1, 0)), wrap(second.stream(1, 0)));
    let event = Cuda::new_event(device(), EventOptions::new()).unwrap();
    let text =
        expect_kind("record across contexts", other.record(&event), ErrorKind::InvalidHandle);
    assert!(text.contains("Stream::new_event"), "{text}");
    assert_eq!(event.status().unwrap(), EventStatus::Unrecorded);
    one.record(&event).unwrap();
    let (start, end) = (
        other.new_event(EventOptions::timed()).unwrap(),
        other.new_event(EventOptions::timed()).unwrap(),
    );
    other.record(&start).unwrap();
    other.record(&end).unwrap();
    end.synchronize().unwrap();
    assert!(end.elapsed_since(&start).unwrap() >= 0.0);
    expect_kind("record across contexts", one.record(&end), ErrorKind::InvalidHandle);
    one.wait_event(&end).unwrap();
    one.synchronize().unwrap();
}

fn default_handles_without_a_device() {
    let (first, second) = (Space::primary(), Space::second());
    for bits in [0, 1] {
        // SAFETY: the default stream always exists.
        let wrap = || unsafe { Cuda::stream_from_raw(RawStream::from_bits(bits), None) };
        set_current(std::ptr::null_mut());
        assert_eq!(wrap().unwrap(), Cuda::default_stream(device()).unwrap());
        assert_eq!(wrap().unwrap().raw(), RawStream::LEGACY);
        let _current = enter(first.context);
        assert_eq!(wrap().unwrap(), Cuda::default_stream(device()).unwrap());
        let _current = enter(second.context);
        let text = expect_kind("handle of a second context", wrap(), ErrorKind::InvalidHandle);
        assert!(text.contains("primary"), "{text}");
        // SAFETY: the default stream always exists.
        let named = unsafe { Cuda::stream_from_raw(RawStream::from_bits(bits), Some(device())) };
        assert!(named.unwrap().query().is_ok());
    }
}

fn unchecked_finds_its_context_later() {
    for space in [Space::primary(), Space::second()] {
        let raw = space.stream(1, 0);
        let handle = RawStream::from_ptr(raw);
        // SAFETY: the stream belongs to this device and is never destroyed.
        let stream = unsafe { Cuda::stream_from_raw_unchecked(handle, device()) }.unwrap();
        assert!(stream.query().unwrap());
        let gate = space.gate(raw);
        let event = stream.record_event().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        gate.open();
        event.synchronize().unwrap();
        assert_eq!(stream, wrap(raw));
    }
}

fn host_function_panic_is_a_stream_fault() {
    let raw = Space::primary().stream(1, 0);
    let (stream, other) = (wrap(raw), wrap(Space::primary().stream(1, 0)));
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    stream
        .launch_host_func(Box::new(move || {
            let _inside = inside;
            std::panic::resume_unwind(Box::new("meant to fail"));
        }))
        .unwrap();
    let event = Cuda::new_event(device(), EventOptions::new()).unwrap();
    for _ in 0..2 {
        let text = expect_kind("synchronize", stream.synchronize(), ErrorKind::StreamFault);
        assert!(text.contains("meant to fail"), "{text}");
        expect_kind("query", stream.query(), ErrorKind::StreamFault);
        expect_kind("record", stream.record(&event), ErrorKind::StreamFault);
        expect_kind("query by another wrapper", wrap(raw).query(), ErrorKind::StreamFault);
        expect_kind(
            "host function",
            stream.launch_host_func(Box::new(|| ())),
            ErrorKind::StreamFault,
        );
    }
    assert_eq!(Arc::strong_count(&held), 1, "what the function held was not dropped");
    other.record(&event).unwrap();
    other.synchronize().unwrap();
    assert!(other.query().unwrap());
}

/// A host function drops the last reference to a stream and to events. Nothing blocks, and the later
/// functions run.
fn objects_dropped_in_a_host_function() {
    let carrier = Cuda::new_stream(device(), StreamOptions::new()).unwrap();
    let ran = Arc::new(AtomicU32::new(0));
    for _ in 0..100 {
        let stream = Cuda::new_stream(device(), StreamOptions::new()).unwrap();
        let event = Cuda::new_event(device(), EventOptions::timed()).unwrap();
        stream.record(&event).unwrap();
        let ran = Arc::clone(&ran);
        let all = (stream.record_event().unwrap(), event, stream);
        let func = move || {
            assert!(all.2.synchronize().is_err(), "synchronize inside a host function");
            drop(all);
            ran.fetch_add(1, Ordering::SeqCst);
        };
        carrier.launch_host_func(Box::new(func)).unwrap();
    }
    carrier.synchronize().unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 100);
}

/// Another library's callback blocks on a stream or event. The driver would block forever, and the backend does not know
/// the callback.
fn synchronize_in_a_foreign_callback_is_rejected() {
    struct Arguments {
        stream: CudaStream,
        event: CudaEvent,
        results: std::sync::mpsc::Sender<[Result<(), CudaError>; 2]>,
    }
    unsafe extern "C" fn callback(arguments: *mut c_void) {
        // SAFETY: the pointer comes from the box below, and the driver calls once.
        let Arguments { stream, event, results } = *unsafe { Box::from_raw(arguments.cast()) };
        results.send([stream.synchronize(), event.synchronize()]).unwrap();
    }
    let stream = Cuda::new_stream(device(), StreamOptions::new()).unwrap();
    let event = stream.record_event().unwrap();
    stream.synchronize().unwrap();
    let (results, received) = std::sync::mpsc::channel();
    let arguments = Box::into_raw(Box::new(Arguments { stream, event, results }));
    let carrier = Space::primary().stream(1, 0);
    // SAFETY: the stream is alive, and `arguments` is valid until the one call.
    let code = unsafe { (bare().launch_host_func)(carrier, callback, arguments.cast()) };
    assert_eq!(code, 0);
    for result in received.recv().unwrap() {
        let text = expect_kind("in a foreign callback", result, ErrorKind::NotPermitted);
        assert!(text.contains("host function"), "{text}");
    }
}

#[cfg(feature = "cudarc")]
fn cudarc_stream_as_the_owner() {
    let context = cudarc::driver::CudaContext::new(0).unwrap();
    let theirs = context.new_stream().unwrap();
    let stream = CudaStream::from_cudarc(&theirs).unwrap();
    assert_eq!(stream.device(), device());
    assert_eq!(stream.raw().as_ptr(), theirs.cu_stream().cast());
    let watch = Arc::downgrade(&theirs);
    let numbers = theirs.clone_htod(&[1_u32, 2, 3]).unwrap();
    let event = stream.record_event().unwrap();
    stream.synchronize().unwrap();
    drop((numbers, theirs));
    assert!(watch.upgrade().is_some(), "the wrapper keeps the stream");
    assert!(stream.clone().query().unwrap());
    let before = support::bare::thread_state();
    set_current(std::ptr::null_mut());
    let none = support::bare::thread_state();
    drop(stream);
    assert_eq!(support::bare::thread_state(), none, "cudarc left its context current");
    set_current(std::ptr::with_exposed_provenance_mut(before.0));
    assert!(watch.upgrade().is_none(), "the stream is dropped with its last wrapper");
    assert_eq!(event.status().unwrap(), EventStatus::Complete);

    let default = CudaStream::from_cudarc(&context.default_stream()).unwrap();
    assert_eq!(default, Cuda::default_stream(device()).unwrap());
    let own = CudaStream::from_cudarc(&context.per_thread_stream());
    let text = expect_kind("cudarc's per-thread stream", own, ErrorKind::InvalidHandle);
    assert!(text.contains("per_thread_stream"), "{text}");
}

/// cudarc launches a kernel on a borrowed stream of ours, in order with other work.
#[cfg(feature = "cudarc")]
fn stream_passed_to_cudarc() {
    use cudarc::driver::{LaunchConfig, PushKernelArg};
    let context = cudarc::driver::CudaContext::new(0).unwrap();
    let text = support::bare::PTX.to_str().unwrap();
    let module = context.load_module(cudarc::nvrtc::Ptx::from_src(text)).unwrap();
    let slow_store = module.load_function("slow_store").unwrap();
    let (ours, reader) = (
        Cuda::new_stream(device(), StreamOptions::new()).unwrap(),
        Cuda::new_stream(device(), StreamOptions::new()).unwrap(),
    );
    // SAFETY: `ours` outlives the streams of cudarc.
    let lent = unsafe { ours.to_cudarc(&context) }.unwrap();
    assert_eq!(lent.cu_stream().cast(), ours.raw().as_ptr());
    let mut number = lent.alloc_zeros::<u32>(1).unwrap();
    let one = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (1, 1, 1), shared_mem_bytes: 0 };
    for round in 1..=100_u32 {
        let turns = 40_u32;
        let mut launch = lent.launch_builder(&slow_store);
        launch.arg(&mut number).arg(&round).arg(&turns);
        // SAFETY: the arguments match the kernel's parameters.
        unsafe { launch.launch(one) }.unwrap();
        reader.wait_stream(&ours).unwrap();
        // SAFETY: `reader` outlives the streams of cudarc.
        let reading = unsafe { reader.to_cudarc(&context) }.unwrap();
        assert_eq!(reading.clone_dtoh(&number).unwrap(), [round]);
        ours.wait_stream(&reader).unwrap();
    }
    drop((number, lent));
    assert!(ours.query().is_ok());
}

#[cfg(feature = "cudarc")]
fn cudarc_context_that_differs_is_rejected() {
    let context = cudarc::driver::CudaContext::new(0).unwrap();
    let stream = wrap(Space::second().stream(1, 0));
    // SAFETY: the call is rejected, so no stream is created.
    let lent = unsafe { stream.to_cudarc(&context) };
    expect_kind("to_cudarc of another context", lent, ErrorKind::InvalidHandle);
    assert!(CudaStream::from_cudarc(&context.new_stream().unwrap()).is_ok());
}
