//! The cases, in terms of the bindings that the test program calls `api`.
//!
//! A gate keeps a stream busy until the host opens it, so that each case decides what has run and what has not. Data
//! shows the order: no case sleeps or measures time.

use std::ffi::c_void;
use std::ptr::{null_mut, with_exposed_provenance_mut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::api::*;

/// The number of bytes that are written and copied.
const BYTES: usize = 1 << 16;

const NON_BLOCKING: u32 = 1;
const DISABLE_TIMING: u32 = 2;
const WAIT_UNTIL_EQUAL: u32 = 1;

/// Calls a function of HIP and asserts success.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: the handles are live, and the memory outlives the work: `Drop` waits for it.
        let code = unsafe { $name($($argument),*) };
        assert_eq!(code, SUCCESS, stringify!($name));
    }};
}

struct TestStream(hipStream_t);

impl TestStream {
    fn new() -> Self {
        let mut stream = null_mut();
        call!(hipStreamCreateWithFlags(&mut stream, NON_BLOCKING));
        TestStream(stream)
    }

    fn is_idle(&self) -> bool {
        // SAFETY: the stream is live.
        match unsafe { hipStreamQuery(self.0) } {
            SUCCESS => true,
            NOT_READY => false,
            code => panic!("hipStreamQuery: {code:?}"),
        }
    }

    fn set(&self, at: &DeviceBytes, value: i32) {
        call!(hipMemsetAsync(at.0, value, BYTES, self.0));
    }

    fn read(&self, from: &DeviceBytes, to: &PinnedBytes) {
        call!(hipMemcpyAsync(to.0, from.0, BYTES, DEVICE_TO_HOST, self.0));
    }

    fn synchronize(&self) {
        call!(hipStreamSynchronize(self.0));
    }
}

impl Drop for TestStream {
    fn drop(&mut self) {
        // SAFETY: the stream is live, and not used after this.
        unsafe { hipStreamSynchronize(self.0) };
        // SAFETY: as above.
        unsafe { hipStreamDestroy(self.0) };
    }
}

struct TestEvent(hipEvent_t);

impl TestEvent {
    fn new(flags: u32) -> Self {
        let mut event = null_mut();
        call!(hipEventCreateWithFlags(&mut event, flags));
        TestEvent(event)
    }

    fn record(&self, stream: &TestStream) {
        call!(hipEventRecord(self.0, stream.0));
    }

    fn is_done(&self) -> bool {
        // SAFETY: the event is live.
        match unsafe { hipEventQuery(self.0) } {
            SUCCESS => true,
            NOT_READY => false,
            code => panic!("hipEventQuery: {code:?}"),
        }
    }
}

impl Drop for TestEvent {
    fn drop(&mut self) {
        // SAFETY: the event is live, and not used after this.
        unsafe { hipEventDestroy(self.0) };
    }
}

/// Device memory, filled with zeros.
struct DeviceBytes(*mut c_void);

impl DeviceBytes {
    fn new() -> Self {
        let mut at = null_mut();
        call!(hipMalloc(&mut at, BYTES));
        call!(hipMemset(at, 0, BYTES));
        call!(hipDeviceSynchronize());
        DeviceBytes(at)
    }
}

impl Drop for DeviceBytes {
    fn drop(&mut self) {
        // SAFETY: no work uses the memory: the streams are dropped first.
        unsafe { hipFree(self.0) };
    }
}

/// Pinned host memory, filled with zeros.
struct PinnedBytes(*mut c_void);

impl PinnedBytes {
    fn new() -> Self {
        let mut at = null_mut();
        call!(hipHostMalloc(&mut at, BYTES, 0));
        // SAFETY: the memory has this length.
        unsafe { at.cast::<u8>().write_bytes(0, BYTES) };
        PinnedBytes(at)
    }

    /// Returns the value of all bytes.
    ///
    /// # Panics
    /// If they differ.
    fn value(&self) -> u8 {
        // SAFETY: the memory has this length and is initialised. No copy into it is pending: the caller has waited.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.cast::<u8>(), BYTES) };
        assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a copy of half");
        bytes[0]
    }
}

impl Drop for PinnedBytes {
    fn drop(&mut self) {
        // SAFETY: no work uses the memory: the streams are dropped first.
        unsafe { hipHostFree(self.0) };
    }
}

/// Keeps a stream busy until it is opened or dropped.
struct Gate<'a> {
    word: PinnedBytes,
    stream: &'a TestStream,
}

impl<'a> Gate<'a> {
    fn new(stream: &'a TestStream) -> Self {
        let word = PinnedBytes::new();
        call!(hipStreamWaitValue32(stream.0, word.0, 1, WAIT_UNTIL_EQUAL, u32::MAX));
        Gate { word, stream }
    }

    fn open(&self) {
        // SAFETY: the word is aligned and live. The device reads it, and only this writes it.
        let word = unsafe { AtomicU32::from_ptr(self.word.0.cast()) };
        word.store(1, Ordering::Release);
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        self.open();
        // The stream reads the word, which is freed next.
        // SAFETY: the stream is live.
        unsafe { hipStreamSynchronize(self.stream.0) };
    }
}

/// Runs a case alone: a case that fails shows the state that it left, and no other's.
fn alone(case: impl FnOnce()) {
    static LOCK: Mutex<()> = Mutex::new(());
    let _lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    call!(hipInit(0));
    case();
}

#[test]
fn event_orders_two_streams() {
    alone(|| {
        let (memory, seen) = (DeviceBytes::new(), PinnedBytes::new());
        let event = TestEvent::new(DISABLE_TIMING);
        let (producer, consumer) = (TestStream::new(), TestStream::new());
        let gate = Gate::new(&producer);
        producer.set(&memory, 7);
        event.record(&producer);
        call!(hipStreamWaitEvent(consumer.0, event.0, 0));
        consumer.read(&memory, &seen);
        assert!(!event.is_done() && !producer.is_idle() && !consumer.is_idle());
        gate.open();
        consumer.synchronize();
        assert_eq!(seen.value(), 7);
        assert!(event.is_done() && producer.is_idle());
    });
}

/// Shows that the case above can fail: without the wait, the copy does not see the data.
#[test]
fn streams_without_an_event_have_no_order() {
    alone(|| {
        let (memory, seen) = (DeviceBytes::new(), PinnedBytes::new());
        let (producer, consumer) = (TestStream::new(), TestStream::new());
        let gate = Gate::new(&producer);
        producer.set(&memory, 7);
        consumer.read(&memory, &seen);
        consumer.synchronize();
        assert_eq!(seen.value(), 0);
        assert!(!producer.is_idle());
        gate.open();
        producer.synchronize();
        consumer.read(&memory, &seen);
        consumer.synchronize();
        assert_eq!(seen.value(), 7);
    });
}

#[test]
fn copies_carry_data_to_the_device_and_back() {
    alone(|| {
        let (memory, from, to) = (DeviceBytes::new(), PinnedBytes::new(), PinnedBytes::new());
        let stream = TestStream::new();
        // SAFETY: the memory has this length, and no work uses it yet.
        unsafe { from.0.cast::<u8>().write_bytes(9, BYTES) };
        call!(hipMemcpyAsync(memory.0, from.0, BYTES, HOST_TO_DEVICE, stream.0));
        stream.read(&memory, &to);
        stream.synchronize();
        assert_eq!(to.value(), 9);
    });
}

#[test]
fn elapsed_time_needs_both_events_to_be_done() {
    alone(|| {
        let (start, end) = (TestEvent::new(0), TestEvent::new(0));
        let stream = TestStream::new();
        start.record(&stream);
        let gate = Gate::new(&stream);
        end.record(&stream);
        let mut milliseconds = -1.0;
        // SAFETY: the events are live, and the out-pointer is valid.
        let code = unsafe { hipEventElapsedTime(&mut milliseconds, start.0, end.0) };
        assert_eq!(code, NOT_READY);
        gate.open();
        call!(hipEventSynchronize(end.0));
        call!(hipEventElapsedTime(&mut milliseconds, start.0, end.0));
        assert!(milliseconds >= 0.0, "{milliseconds}");
    });
}

/// Notes that a callback ran, and its place in the order.
unsafe extern "C" fn note(_stream: hipStream_t, code: hipError_t, data: *mut c_void) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    // SAFETY: `data` is a live atomic, which the case keeps until the stream is idle.
    let place = unsafe { &*data.cast::<AtomicU32>() };
    if code == SUCCESS {
        place.store(NEXT.fetch_add(1, Ordering::Relaxed), Ordering::Release);
    }
}

#[test]
fn callbacks_run_in_the_order_of_the_stream() {
    alone(|| {
        let places = [const { AtomicU32::new(0) }; 3];
        let stream = TestStream::new();
        let gate = Gate::new(&stream);
        for place in &places {
            let data = with_exposed_provenance_mut((&raw const *place).expose_provenance());
            call!(hipStreamAddCallback(stream.0, Some(note), data, 0));
        }
        assert!(places.iter().all(|place| place.load(Ordering::Acquire) == 0));
        gate.open();
        stream.synchronize();
        let seen = places.each_ref().map(|place| place.load(Ordering::Acquire));
        assert!(seen[0] > 0 && seen.is_sorted(), "{seen:?}");
    });
}

#[test]
fn graph_of_a_capture_runs_when_it_is_launched() {
    alone(|| {
        let (memory, seen) = (DeviceBytes::new(), PinnedBytes::new());
        let stream = TestStream::new();
        let (mut graph, mut executable) = (null_mut(), null_mut());
        call!(hipStreamBeginCapture(stream.0, CAPTURE_MODE));
        stream.set(&memory, 5);
        stream.read(&memory, &seen);
        call!(hipStreamEndCapture(stream.0, &mut graph));
        call!(hipGraphInstantiate(&mut executable, graph, null_mut(), null_mut(), 0));
        stream.synchronize();
        assert_eq!(seen.value(), 0);
        call!(hipGraphLaunch(executable, stream.0));
        stream.synchronize();
        assert_eq!(seen.value(), 5);
        call!(hipGraphExecDestroy(executable));
        call!(hipGraphDestroy(graph));
    });
}

#[test]
fn memory_is_freed_in_the_order_of_the_stream() {
    alone(|| {
        let seen = PinnedBytes::new();
        let stream = TestStream::new();
        let gate = Gate::new(&stream);
        let mut at = null_mut();
        call!(hipMallocAsync(&mut at, BYTES, stream.0));
        call!(hipMemsetAsync(at, 3, BYTES, stream.0));
        call!(hipMemcpyAsync(seen.0, at, BYTES, DEVICE_TO_HOST, stream.0));
        call!(hipFreeAsync(at, stream.0));
        gate.open();
        stream.synchronize();
        assert_eq!(seen.value(), 3);
        // In HIP 5.2.3, `hipStreamDestroy` never returns while the pool keeps freed memory.
        let mut pool = null_mut();
        call!(hipDeviceGetDefaultMemPool(&mut pool, 0));
        call!(hipMemPoolTrimTo(pool, 0));
    });
}

#[test]
fn null_event_is_an_error() {
    alone(|| {
        let stream = TestStream::new();
        // SAFETY: HIP checks for null.
        assert_ne!(unsafe { hipStreamWaitEvent(stream.0, null_mut(), 0) }, SUCCESS);
        stream.synchronize();
    });
}
