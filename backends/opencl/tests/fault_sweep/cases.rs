//! Faults that the sweep does not meet: calls that fail each time, and calls of the start.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use gpu_stream_core::{Backend, Error, ErrorKind, Event as _, RawStream, Stream};
use gpu_stream_faults::sweep::expect_combination;
use gpu_stream_faults::{At, InjectedFault, Threads};
use gpu_stream_opencl::{OpenCl, OpenClStream};
use gpu_stream_test_support::{Case, Children, cases, expect_kind, expect_success, opencl, skip};

use crate::front;
use crate::vendor::{self, OnOpenCl};

/// `CL_OUT_OF_HOST_MEMORY`.
const NO_MEMORY: i32 = -6;

/// The cases of this process.
pub const CASES: [Case; 7] = cases![
    failed_check_of_an_event_is_named,
    bridge_accepted_with_an_error_finds_nothing,
    launch_whose_start_is_refused_returns_the_error,
    refused_end_of_a_function_is_repeated_by_a_later_call,
    queue_of_a_panicked_function_is_kept_without_a_call,
    failed_context_is_created_by_the_next_call,
    failed_device_is_reported,
];

/// The processes in which a start fails.
pub const CHILDREN: Children = Children {
    variable: "GPU_STREAM_TEST_OPENCL_FAULT",
    program: || Ok(Command::new(std::env::current_exe()?)),
};

/// What a child process does.
pub const CHILD_CASES: [(&str, fn()); 2] = [("context", context), ("device", device)];

fn stream() -> OpenClStream {
    let device = OpenCl::device(0).expect("device 0");
    OpenCl::new_stream(device, Default::default()).expect("a stream")
}

/// Checks that the queue goes on: a call sets the statuses that were refused. A wait would hang otherwise.
fn expect_progress(stream: &OpenClStream) {
    let (event, since) = (stream.record_event().expect("a record"), Instant::now());
    while !event.query().expect("a query") {
        assert!(since.elapsed() < vendor::TOO_LONG, "the queue is held back");
        std::thread::yield_now();
    }
}

/// Makes each call of the function fail, until `clear`.
fn refuse(function: &str, threads: Threads) {
    front::controls().set(function, At::Always, threads, InjectedFault::Answer(NO_MEMORY));
}

fn failed_check_of_an_event_is_named() {
    for (operation, function) in [
        ("wrap_event, no device", "clGetEventInfo"),
        ("wrap_event, no device", "clGetDeviceInfo"),
        ("wait_event, own for ordinary", "clGetEventInfo"),
    ] {
        for fault in [InjectedFault::Answer(-5), InjectedFault::PassThenAnswer(-5)] {
            expect_combination::<OnOpenCl>(operation, (function, 1), fault);
        }
    }
}

/// The driver calls the callback of a wait across contexts although the wait returned an error.
fn bridge_accepted_with_an_error_finds_nothing() {
    let (controls, stream, queue) = (front::controls(), stream(), vendor::elsewhere());
    // SAFETY: the queue is never released.
    let other = unsafe { OpenCl::stream_from_raw(RawStream::from_ptr(queue), None) };
    let other = other.expect("wrapping a queue");
    let context = opencl::context_of(queue).expect("the context");
    let gate = opencl::Gate::shut(context, queue).expect("a gate");
    let event = other.record_event().expect("a record");
    let (alive, wrong) = (controls.live("event"), controls.wrong());
    let fault = InjectedFault::PassThenAnswer(NO_MEMORY);
    controls.set("clSetEventCallback", At::Occurrence(1), Threads::This, fault);
    let text = expect_kind("the wait", stream.wait_event(&event), ErrorKind::OutOfMemory);
    controls.clear();
    assert!(text.contains("clSetEventCallback"), "{text}");
    assert_eq!((controls.live("event"), controls.live("callback")), (alive, 1));
    drop(gate);
    vendor::await_callbacks();
    stream.synchronize().expect("nothing waits");
    assert_eq!(controls.wrong(), wrong, "a released event was used");
}

fn launch_whose_start_is_refused_returns_the_error() {
    let (controls, stream, ran) = (front::controls(), stream(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&ran);
    refuse("clSetUserEventStatus", Threads::All);
    let launched =
        stream.launch_host_func(Box::new(move || _ = count.fetch_add(1, Ordering::SeqCst)));
    let text = expect_kind("the launch", launched, ErrorKind::OutOfMemory);
    assert!(text.contains("clSetUserEventStatus"), "{text}");
    assert_eq!(Arc::strong_count(&ran), 1, "the function is kept");
    controls.clear();
    expect_progress(&stream);
    vendor::await_callbacks();
    assert_eq!(ran.load(Ordering::SeqCst), 0, "the function ran after an error");
}

fn refused_end_of_a_function_is_repeated_by_a_later_call() {
    let (controls, stream, (sender, ran)) = (front::controls(), stream(), mpsc::channel());
    refuse("clSetUserEventStatus", Threads::Others);
    let func = move || sender.send(()).expect("the test");
    stream.launch_host_func(Box::new(func)).expect("a launch");
    ran.recv().expect("the function runs");
    vendor::await_callbacks();
    assert!(controls.triggered() > 0, "no status was refused");
    controls.clear();
    expect_progress(&stream);
}

fn queue_of_a_panicked_function_is_kept_without_a_call() {
    let home = stream();
    let device = opencl::device_of(home.raw().as_ptr()).expect("the device");
    let queue = opencl::create_queue(home.raw_context(), device, 0).expect("a queue");
    // SAFETY: the queue is never released.
    let stream = unsafe { OpenCl::stream_from_raw(RawStream::from_ptr(queue), None) };
    let stream = stream.expect("wrapping a queue");
    refuse("clRetainCommandQueue", Threads::All);
    stream
        .launch_host_func(Box::new(|| std::panic::resume_unwind(Box::new("meant"))))
        .expect("a launch");
    expect_kind("synchronizing", stream.synchronize(), ErrorKind::StreamFault);
    vendor::await_callbacks();
    front::controls().clear();
    drop(stream);
    // Runs what the callback has deferred.
    home.synchronize().expect("synchronize");
    opencl::finish(queue).expect("the queue is idle");
    let kept = opencl::references(queue).expect("the references");
    assert!(kept >= 2, "the handle can be used again: {kept} references");
}

fn failed_context_is_created_by_the_next_call() {
    expect_success("context", &CHILDREN.command("context").output().expect("this program"));
}

/// The first stream of the process creates the context of its device.
fn context() {
    let controls = front::controls();
    let device = OpenCl::device(0).expect("device 0");
    for fault in [InjectedFault::Answer(NO_MEMORY), InjectedFault::PassThenAnswer(NO_MEMORY)] {
        controls.set("clCreateContext", At::Occurrence(1), Threads::This, fault);
        let made = OpenCl::new_stream(device, Default::default());
        let text = expect_kind("new_stream", made, ErrorKind::OutOfMemory);
        assert!(text.contains("clCreateContext") && text.contains("-6"), "{text}");
        controls.clear();
    }
    stream().synchronize().expect("synchronize");
    // The driver has made the one that it returned with an error.
    assert_eq!(controls.live("context"), 2);
}

fn failed_device_is_reported() {
    let mut command = CHILDREN.command("device");
    // Two devices of PoCL.
    command.env("POCL_DEVICES", "pthread pthread");
    expect_success("device", &command.output().expect("this program"));
}

fn device() {
    // Three facts of each device.
    let last = At::Occurrence(6);
    let fault = InjectedFault::Answer(NO_MEMORY);
    front::controls().set("clGetDeviceInfo", last, Threads::This, fault);
    let info = OpenCl::probe().expect("a device works");
    if front::controls().triggered() == 0 {
        skip("there is one device");
    }
    let failed = info.details.iter().find(|(name, _)| *name == "failed");
    let text = failed.map(|(_, text)| text.as_str()).unwrap_or_default();
    assert_eq!(text, "clGetDeviceInfo answered -6 CL_OUT_OF_HOST_MEMORY");
    let error = OpenCl::device(info.devices.len() as u32).expect_err("no such device");
    assert_eq!(error.kind(), ErrorKind::InvalidDevice, "{error}");
}
