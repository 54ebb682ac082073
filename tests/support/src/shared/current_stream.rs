//! The current stream of another library, by DLPack's C exchange API and by tvm-ffi's environment. The library is a
//! fake that has one current stream for each thread, as torch and tvm-ffi have.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;

use gpu_stream_core::exchange::dlpack::{ExchangeApi, ExchangeApiHeader, MAJOR_VERSION, Version};
use gpu_stream_core::exchange::tvm_ffi::EnvStream;
use gpu_stream_core::{
    Backend, BackendKind, CaptureStatus, Device, ErrorKind, RawStream, Stream, StreamOptions,
};

use crate::expect_kind;
use crate::vendor::{Capture, Ptr, StreamOf, Vendor, device, wrap};

thread_local! {
    /// The current stream of each device of this thread: the numbers that name it, and the handle.
    static CURRENT: Cell<((i32, i32), usize)> = const { Cell::new(((0, 0), 0)) };
}

/// Makes a stream of `device` current on this thread.
fn set_current(device: Device, stream: Ptr) {
    let device_type = if device.backend() == BackendKind::Hip { 10 } else { 2 };
    let ordinal = device.ordinal().try_into().expect("a small number");
    CURRENT.set(((device_type, ordinal), stream.expose_provenance()));
}

unsafe extern "C" fn env_get_stream(device_type: i32, device_id: i32) -> *mut c_void {
    let (device, stream) = CURRENT.get();
    let is_current = device == (device_type, device_id);
    if is_current { ptr::with_exposed_provenance_mut(stream) } else { ptr::null_mut() }
}

unsafe extern "C" fn current_work_stream(
    device_type: i32,
    device_id: i32,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: the caller passes a valid out-pointer, and the function takes any two numbers.
    unsafe { *out = env_get_stream(device_type, device_id) };
    0
}

/// The fake's table.
static TABLE: ExchangeApi = ExchangeApi {
    header: ExchangeApiHeader {
        version: Version { major: MAJOR_VERSION, minor: 3 },
        prev_api: ptr::null_mut(),
    },
    managed_tensor_allocator: ptr::null(),
    managed_tensor_from_py_object_no_sync: ptr::null(),
    managed_tensor_to_py_object_no_sync: ptr::null(),
    dltensor_from_py_object_no_sync: ptr::null(),
    current_work_stream: Some(current_work_stream),
};

/// How the fake is asked for the current stream of a device.
type Ask<V> = fn(Device) -> Result<StreamOf<V>, crate::vendor::ErrorOf<V>>;

/// Returns both ways.
fn ways<V: Vendor>() -> [Ask<V>; 2] {
    [
        |device| {
            // SAFETY: the fake's table is one, and it is a constant.
            let table =
                unsafe { ExchangeApi::from_ptr((&raw const TABLE).cast()) }.expect("a table");
            // SAFETY: the fake needs no interpreter, and the tests' streams are never destroyed.
            unsafe { table.current_stream::<V::Backend>(device) }
        },
        |device| {
            // SAFETY: the fake does what tvm-ffi's function does.
            let environment = unsafe { EnvStream::from_fn(env_get_stream) };
            // SAFETY: the tests' streams are never destroyed.
            unsafe { environment.current_stream::<V::Backend>(device) }
        },
    ]
}

/// Checks that each thread gets its own current stream, and the default stream where it has none.
pub fn current_stream_is_the_threads<V: Vendor>() {
    let device = device::<V>();
    for ask in ways::<V>() {
        let check = move || {
            set_current(device, ptr::null_mut());
            let default = V::Backend::default_stream(device).expect("the default stream");
            assert_eq!(ask(device).expect("the default stream"), default);
            set_current(device, ptr::without_provenance_mut(1));
            assert_eq!(ask(device).expect("the default stream by its other number"), default);
            let theirs = V::new_stream(0, 1, 0);
            set_current(device, theirs);
            let stream = ask(device).expect("the current stream");
            assert_eq!(stream, wrap::<V>(theirs));
            assert_eq!((stream.device(), stream.raw().as_ptr()), (device, theirs));
            stream
        };
        let here = check();
        let there = std::thread::spawn(check).join().expect("the other thread");
        assert_ne!(here, there);
        assert_eq!(ask(device).expect("the current stream of this thread"), here);
    }
}

/// Checks that the work of the current stream is waited for, and that it waits.
pub fn work_is_ordered_with_the_current_stream<V: Vendor>() {
    let device = device::<V>();
    let ours = V::Backend::new_stream(device, StreamOptions::new()).expect("a stream");
    for ask in ways::<V>() {
        let raw = V::new_stream(0, 1, 0);
        set_current(device, raw);
        let words = V::words(2);
        let gate = V::gate(raw);
        V::store(raw, words, 7);
        let theirs = ask(device).expect("the current stream");
        ours.wait_stream(&theirs).expect("wait for the current stream");
        V::copy(ours.raw().as_ptr(), words + size_of::<u32>(), words);
        theirs.wait_stream(&ours).expect("the current stream waits");
        assert!(!ours.query().expect("query"), "the work did not wait for the current stream");
        drop(theirs);
        drop(gate);
        V::synchronize(raw);
        assert_eq!(V::read(words, 2), [7, 7], "the work ran before that of the current stream");
    }
}

/// Checks that the current stream's capture goes on, and gets the work of another stream.
pub fn current_stream_of_a_capture_is_captured<V: Vendor>() {
    let device = device::<V>();
    for ask in ways::<V>() {
        let _current = V::enter(0);
        // A new one each time: with some versions of HIP, a stream stays in the capture into which it was drawn.
        let ours = V::Backend::new_stream(device, StreamOptions::new()).expect("a stream");
        let raw = V::new_stream(0, 1, 0);
        set_current(device, raw);
        let words = V::words(2);
        let capture = Capture::<V>::begin(raw, crate::vendor::MODES[0]);
        V::store(raw, words, 9);
        let theirs = ask(device).expect("the current stream, which is captured");
        capture.alive("the question for the current stream");
        assert_eq!(theirs.capture_status().expect("its status"), CaptureStatus::Active);
        ours.wait_stream(&theirs).expect("fork");
        V::copy(ours.raw().as_ptr(), words + size_of::<u32>(), words);
        theirs.wait_stream(&ours).expect("join");
        capture.alive("a fork and a join");
        let graph = capture.graph();
        assert_eq!(V::read(words, 2), [0, 0], "captured work ran");
        V::launch(&graph, raw);
        V::synchronize(raw);
        assert_eq!(V::read(words, 2), [9, 9]);
    }
}

/// Checks that a device or handle that cannot be wrapped is an error that names the call.
pub fn current_stream_that_cannot_be_wrapped_is_rejected<V: Vendor>() {
    let device = device::<V>();
    let kind = V::Backend::KIND;
    let others = [BackendKind::Cuda, BackendKind::Hip, BackendKind::Host];
    for ask in ways::<V>() {
        set_current(device, V::new_stream(0, 1, 0));
        for other in others.into_iter().filter(|other| *other != kind) {
            let text = expect_kind(
                "another vendor",
                ask(Device::new(other, 0)),
                ErrorKind::BackendMismatch,
            );
            assert!(text.contains("current_stream") && text.contains(other.name()), "{text}");
        }
        // The fake answers null, and the driver says that there is no such device.
        let none = Device::new(kind, 4_000);
        let text = expect_kind("no such device", ask(none), ErrorKind::InvalidDevice);
        assert!(text.contains("4000"), "{text}");
        let none = Device::new(kind, u32::MAX);
        expect_kind("no such number in DLPack", ask(none), ErrorKind::InvalidDevice);
        set_current(device, RawStream::<V::Backend>::PER_THREAD.as_ptr());
        expect_kind("the thread's own stream", ask(device), ErrorKind::InvalidHandle);
        set_current(device, ptr::without_provenance_mut(usize::MAX));
        let text = expect_kind("-1", ask(device), ErrorKind::InvalidHandle);
        assert!(text.contains("current_stream") && text.contains("negative"), "{text}");
    }
}
