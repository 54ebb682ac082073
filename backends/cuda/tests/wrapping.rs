//! Wrapping of streams: contexts, flags, priorities, owners, current streams, host functions, and cudarc in both directions.

mod support;

use std::ffi::c_void;
use std::process::ExitCode;
use std::sync::Arc;

use gpu_stream_core::{Backend, ErrorKind, Event, EventStatus, RawStream, Stream};
use gpu_stream_cuda::{Cuda, CudaError, CudaEvent, CudaStream};
use gpu_stream_test_support::shared_cases;
use support::bare::{Space, bare, enter, set_current};
use support::capture::Capture;
use support::{Case, OnCuda, device, expect_kind, own_stream, wrap};

fn main() -> ExitCode {
    let shared = shared_cases![OnCuda, wrapping:
        every_kind_of_stream,
        waits_cross_places_and_records_do_not,
        unchecked_stream_works,
        host_function_panic_is_a_stream_fault,
        objects_dropped_in_a_host_function
    ];
    let current = shared_cases![OnCuda, current_stream:
        current_stream_is_the_threads,
        work_is_ordered_with_the_current_stream,
        current_stream_of_a_capture_is_captured,
        current_stream_that_cannot_be_wrapped_is_rejected
    ];
    let more: &[Case] = &[
        ("default_handles_without_a_device", default_handles_without_a_device),
        (
            "synchronize_in_a_foreign_callback_is_rejected",
            synchronize_in_a_foreign_callback_is_rejected,
        ),
        #[cfg(feature = "cudarc")]
        ("cudarc_stream_as_the_owner", cudarc_stream_as_the_owner),
        #[cfg(feature = "cudarc")]
        ("stream_passed_to_cudarc", stream_passed_to_cudarc),
        #[cfg(feature = "cudarc")]
        ("per_thread_stream_passed_to_cudarc", per_thread_stream_passed_to_cudarc),
        #[cfg(feature = "cudarc")]
        ("cudarc_context_that_differs_is_rejected", cudarc_context_that_differs_is_rejected),
    ];
    support::main(&[&shared[..], &current, more].concat())
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

/// Another library's callback blocks on a stream or event. The driver would block forever, and the backend does not know
/// the callback.
fn synchronize_in_a_foreign_callback_is_rejected() {
    struct Arguments {
        streams: [CudaStream; 2],
        event: CudaEvent,
        results: std::sync::mpsc::Sender<[Result<(), CudaError>; 3]>,
    }
    unsafe extern "C" fn callback(arguments: *mut c_void) {
        // SAFETY: the pointer comes from the box below, and the driver calls once.
        let Arguments { streams, event, results } = *unsafe { Box::from_raw(arguments.cast()) };
        let [stream, captured] = streams.each_ref().map(CudaStream::synchronize);
        results.send([stream, captured, event.synchronize()]).unwrap();
    }
    let stream = own_stream();
    let event = stream.record_event().unwrap();
    stream.synchronize().unwrap();
    let (results, received) = std::sync::mpsc::channel();
    let [captured, carrier] = [(); 2].map(|()| Space::primary().stream(1, 0));
    let streams = [stream, wrap(captured)];
    let arguments = Box::into_raw(Box::new(Arguments { streams, event, results }));
    let _capture = Capture::begin(captured, 2);
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
    let (ours, reader) = (own_stream(), own_stream());
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

/// cudarc clears memory on this thread's default stream, in order with a gate on that stream.
#[cfg(feature = "cudarc")]
fn per_thread_stream_passed_to_cudarc() {
    use gpu_stream_cuda::interop::PerThreadExt;
    let context = cudarc::driver::CudaContext::new(0).unwrap();
    let mine = Cuda::per_thread_stream(device()).unwrap();
    // SAFETY: the streams of cudarc stay on this thread.
    let lent = unsafe { mine.to_cudarc(&context) }.unwrap();
    assert_eq!(lent.cu_stream(), context.per_thread_stream().cu_stream());
    assert_eq!(lent.cu_stream().cast(), mine.raw().as_ptr());

    let mut numbers = lent.clone_htod(&[1_u32, 2, 3]).unwrap();
    let (sender, gate) = std::sync::mpsc::channel::<()>();
    let wait = move || _ = gate.recv();
    mine.launch_host_func(Box::new(wait)).unwrap();
    lent.memset_zeros(&mut numbers).unwrap();
    let cleared = mine.record_event().unwrap();
    assert_eq!(cleared.status().unwrap(), EventStatus::Pending, "it is behind the gate");
    drop(sender);
    cleared.synchronize().unwrap();
    assert_eq!(lent.clone_dtoh(&numbers).unwrap(), [0, 0, 0]);

    let second = Space::second();
    let _current = enter(second.context);
    // SAFETY: the stream of cudarc stays on this thread.
    assert!(unsafe { mine.to_cudarc(&context) }.is_ok(), "whichever context is current");
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
