//! The cases. A gate is a word that a stream waits for. Order is proven by data and by order, never
//! by time.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::hip::{
    DEVICE_TO_DEVICE, DEVICE_TO_HOST, HOST_TO_DEVICE, Hip, NO_DEVICE, NOT_READY, Stream, call,
};

/// A case. It runs in its own process.
pub struct Case {
    pub name: &'static str,
    pub run: fn(),
    /// The value of `HSA_SIM_GPUS`.
    pub gpus: &'static str,
    /// A text that its stderr must contain.
    pub expected_stderr: Option<&'static str>,
}

const fn case(name: &'static str, run: fn()) -> Case {
    Case { name, run, gpus: "1", expected_stderr: None }
}

pub const ALL: &[Case] = &[
    case("one_device_is_marked_as_simulated", one_device_is_marked_as_simulated),
    Case { gpus: "2", ..case("copy_between_two_devices", copy_between_two_devices) },
    Case { gpus: "0", ..case("no_device_is_reported", no_device_is_reported) },
    Case {
        gpus: "many",
        expected_stderr: Some("HSA_SIM_GPUS=many"),
        ..case("invalid_number_of_devices_is_reported", no_device_is_reported)
    },
    case("events_order_streams", events_order_streams),
    case("elapsed_time", elapsed_time),
    case("memset", memset),
    case("copies", copies),
    case("rows", rows),
    case("values", values),
    case("work_after_a_gate_waits", work_after_a_gate_waits),
    case("another_stream_opens_a_gate", another_stream_opens_a_gate),
    case("callbacks_run_in_order", callbacks_run_in_order),
    case("thousands_of_streams_work", thousands_of_streams_work),
    case("stream_ordered_memory_works", stream_ordered_memory_works),
    case("exit_with_work_pending", exit_with_work_pending),
    case("exit_while_a_callback_runs", exit_while_a_callback_runs),
];

/// A word of pinned memory.
#[derive(Clone, Copy)]
struct Word(*mut u8);

impl Word {
    fn new(hip: &Hip) -> Word {
        Word(hip.pinned_bytes(64))
    }

    fn atomic(&self) -> &AtomicU32 {
        // SAFETY: the address is pinned memory, aligned to more than a word, and never freed.
        unsafe { AtomicU32::from_ptr(self.0.cast()) }
    }

    fn get(&self) -> u32 {
        self.atomic().load(Ordering::SeqCst)
    }

    fn set(&self, value: u32) {
        self.atomic().store(value, Ordering::SeqCst);
    }

    /// Makes a stream wait until the word is at least `value`.
    fn gate(&self, hip: &Hip, stream: Stream, value: u32) {
        call!(hip.hipStreamWaitValue32(stream, self.0.cast(), value, 0, u32::MAX));
    }
}

fn bytes<'a>(at: *const u8, count: usize) -> &'a [u8] {
    // SAFETY: `at` is memory of the case, which waits for its work before it reads.
    unsafe { std::slice::from_raw_parts(at, count) }
}

fn query(hip: &Hip, stream: Stream) -> c_int {
    // SAFETY: the stream is live.
    unsafe { (hip.hipStreamQuery)(stream) }
}

fn start() -> Hip {
    let hip = Hip::load();
    call!(hip.hipInit(0));
    hip
}

fn count(hip: &Hip) -> c_int {
    let mut count = -1;
    call!(hip.hipGetDeviceCount(&mut count));
    count
}

fn one_device_is_marked_as_simulated() {
    let hip = start();
    assert_eq!(count(&hip), 1);
    let mut name = [0; 256];
    call!(hip.hipDeviceGetName(name.as_mut_ptr(), 256, 0));
    // SAFETY: HIP terminates the name with a NUL.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_str().unwrap();
    assert_eq!(name, "simulated gfx1030 (no GPU)");
    assert_eq!(hsa_sim::loaded_version().as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(hsa_sim::preload(), Ok(()), "a second call");
}

fn copy_between_two_devices() {
    let hip = start();
    assert_eq!(count(&hip), 2);
    let (from, stream) = (hip.device_bytes(4096), hip.stream());
    call!(hip.hipSetDevice(1));
    let (to, other) = (hip.device_bytes(4096), hip.stream());
    let event = hip.event(false);
    call!(hip.hipMemsetAsync(to.cast(), 1, 4096, other));
    call!(hip.hipEventRecord(event, other));
    call!(hip.hipSetDevice(0));
    call!(hip.hipMemsetAsync(from.cast(), 9, 4096, stream));
    call!(hip.hipStreamWaitEvent(stream, event, 0));
    call!(hip.hipMemcpyPeerAsync(to.cast(), 1, from.cast(), 0, 4000, stream));
    call!(hip.hipStreamSynchronize(stream));
    assert!(bytes(to, 4000).iter().all(|&b| b == 9) && bytes(to, 4096)[4000..] == [1; 96]);
}

fn no_device_is_reported() {
    let hip = Hip::load();
    let mut count = -1;
    // SAFETY: `&mut count` is a valid out-pointer.
    let code = unsafe { (hip.hipGetDeviceCount)(&mut count) };
    assert!(NO_DEVICE.contains(&code), "hipGetDeviceCount answered {code}");
}

fn events_order_streams() {
    let hip = start();
    let (a, b, gate) = (hip.stream(), hip.stream(), Word::new(&hip));
    let (number, copy) = (Word::new(&hip), hip.device_bytes(4));
    let event = hip.event(false);
    gate.gate(&hip, a, 1);
    call!(hip.hipStreamWriteValue32(a, number.0.cast(), 5, 0));
    call!(hip.hipEventRecord(event, a));
    call!(hip.hipStreamWaitEvent(b, event, 0));
    call!(hip.hipMemcpyAsync(copy.cast(), number.0.cast(), 4, HOST_TO_DEVICE, b));
    // SAFETY: the event is live.
    assert_eq!(unsafe { (hip.hipEventQuery)(event) }, NOT_READY);
    assert_eq!(query(&hip, b), NOT_READY);
    gate.set(1);
    call!(hip.hipStreamSynchronize(b));
    assert_eq!(bytes(copy, 4), [5, 0, 0, 0]);
    call!(hip.hipEventQuery(event));
    call!(hip.hipStreamQuery(a));
    call!(hip.hipEventDestroy(event));
    call!(hip.hipStreamDestroy(a));
    call!(hip.hipStreamDestroy(b));
}

fn elapsed_time() {
    let hip = start();
    let (stream, at) = (hip.stream(), hip.device_bytes(1 << 20));
    let (first, second) = (hip.event(true), hip.event(true));
    call!(hip.hipEventRecord(first, stream));
    call!(hip.hipMemsetAsync(at.cast(), 1, 1 << 20, stream));
    call!(hip.hipEventRecord(second, stream));
    call!(hip.hipEventSynchronize(second));
    let mut milliseconds = -1.0;
    call!(hip.hipEventElapsedTime(&mut milliseconds, first, second));
    assert!(milliseconds >= 0.0, "{milliseconds} ms");
}

fn memset() {
    let hip = start();
    let (stream, at) = (hip.stream(), hip.device_bytes(1 << 20));
    call!(hip.hipMemsetAsync(at.cast(), 0x5A, 1 << 20, stream));
    // The address and the size are unaligned.
    let odd = at.wrapping_add(3);
    call!(hip.hipMemsetAsync(odd.cast(), 0x17, 1001, stream));
    let words = at.wrapping_add(8192);
    call!(hip.hipMemsetD32Async(words.cast(), 0x0102_0304, 100, stream));
    call!(hip.hipStreamSynchronize(stream));
    let found = bytes(at, 1 << 20);
    assert_eq!((found[2], found[1004]), (0x5A, 0x5A));
    assert!(found[3..1004].iter().all(|&byte| byte == 0x17));
    assert!(found[8192..8592].chunks(4).all(|word| word == [4, 3, 2, 1]));
    assert!(found[8592..].iter().all(|&byte| byte == 0x5A));
}

fn copies() {
    let hip = start();
    let (stream, size) = (hip.stream(), 100_003);
    let (a, b) = (hip.device_bytes(size), hip.device_bytes(size));
    let (pinned, back) = (hip.pinned_bytes(size), hip.pinned_bytes(size));
    let pageable: Vec<u8> = (0..size).map(|i| (i * 7) as u8).collect();
    // Covers pageable to device, device to device at odd addresses, device to pinned, and pinned to
    // device.
    call!(hip.hipMemcpyAsync(a.cast(), pageable.as_ptr().cast(), size, HOST_TO_DEVICE, stream));
    let (to, from) = (b.wrapping_add(5).cast(), a.wrapping_add(1).cast());
    call!(hip.hipMemcpyAsync(to, from, size - 6, DEVICE_TO_DEVICE, stream));
    call!(hip.hipMemcpyAsync(pinned.cast(), b.cast(), size, DEVICE_TO_HOST, stream));
    call!(hip.hipMemcpyAsync(a.cast(), pinned.cast(), size, HOST_TO_DEVICE, stream));
    call!(hip.hipMemcpyAsync(back.cast(), a.cast(), size, DEVICE_TO_HOST, stream));
    call!(hip.hipStreamSynchronize(stream));
    assert_eq!(bytes(back, size)[..5], [0; 5]);
    assert_eq!(bytes(back, size)[5..size - 1], pageable[1..size - 5]);
    assert_eq!(bytes(pinned, size), bytes(back, size));
}

fn rows() {
    let hip = start();
    let (stream, a, b) = (hip.stream(), hip.device_bytes(4096), hip.device_bytes(4096));
    call!(hip.hipMemset2DAsync(a.cast(), 64, 3, 40, 10, stream));
    // With 33 bytes a row HIP copies bytes, and with 32 it copies elements of 16 bytes.
    for (at, width) in [(b, 33), (b.wrapping_add(2048), 32)] {
        let (to, from) = (at.cast(), a.cast());
        call!(hip.hipMemcpy2DAsync(to, 128, from, 64, width, 10, DEVICE_TO_DEVICE, stream));
        call!(hip.hipStreamSynchronize(stream));
        for row in bytes(at, 1280).chunks(128) {
            assert!(row[..width].iter().all(|&byte| byte == 3));
            assert!(row[width..].iter().all(|&byte| byte == 0));
        }
    }
    let row = &bytes(a, 64);
    assert!(row[..40].iter().all(|&byte| byte == 3) && row[40..].iter().all(|&byte| byte == 0));
}

fn values() {
    let hip = start();
    let (stream, at, word) = (hip.stream(), hip.device_bytes(64), Word::new(&hip));
    call!(hip.hipStreamWriteValue32(stream, word.0.cast(), 77, 0));
    call!(hip.hipStreamWriteValue64(stream, at.wrapping_add(8).cast(), 1 << 40, 0));
    call!(hip.hipStreamSynchronize(stream));
    assert_eq!(word.get(), 77);
    // At least, equal, equal under a mask, any bit of the value, and any bit that neither has. Each
    // case also has the word before, and the word that ends the wait.
    let waits: [(u32, u32, u32, u32, u32); 5] = [
        (70, 0, !0, 69, 77),
        (77, 1, !0, 78, 77),
        (5, 1, 0xF, 0xF4, 0xF5),
        (6, 2, !0, 9, 2),
        (!2, 3, !0, 2, 0),
    ];
    for (value, flags, mask, before, after) in waits {
        word.set(before);
        call!(hip.hipStreamWaitValue32(stream, word.0.cast(), value, flags, mask));
        assert_eq!(query(&hip, stream), NOT_READY, "value {value}, flags {flags}");
        word.set(after);
        call!(hip.hipStreamSynchronize(stream));
    }
    assert_eq!(bytes(at, 16)[8..], (1u64 << 40).to_le_bytes());
}

fn work_after_a_gate_waits() {
    let hip = start();
    let (stream, gate, size) = (hip.stream(), Word::new(&hip), 4096);
    let (at, source, result) =
        (hip.device_bytes(size), hip.pinned_bytes(size), hip.pinned_bytes(size));
    gate.gate(&hip, stream, 1);
    // No call may wait for the gate, which only this thread opens.
    call!(hip.hipMemsetAsync(at.cast(), 1, size, stream));
    call!(hip.hipMemcpyAsync(at.cast(), source.cast(), 100, HOST_TO_DEVICE, stream));
    call!(hip.hipMemcpyAsync(result.cast(), at.cast(), size, DEVICE_TO_HOST, stream));
    assert_eq!(query(&hip, stream), NOT_READY);
    assert_eq!((bytes(at, 1)[0], bytes(result, 1)[0]), (0, 0));
    // Another stream's work continues meanwhile.
    let (other, free) = (hip.stream(), hip.device_bytes(4));
    call!(hip.hipMemsetAsync(free.cast(), 2, 4, other));
    call!(hip.hipStreamSynchronize(other));
    assert_eq!(bytes(free, 4), [2; 4]);
    // The copy reads the source when the gate opens.
    //
    // SAFETY: `source` is pinned memory of this case, which is not read before the gate is open.
    unsafe { source.write_bytes(8, 100) };
    gate.set(1);
    call!(hip.hipStreamSynchronize(stream));
    assert!(bytes(result, size)[..100].iter().all(|&byte| byte == 8));
    assert!(bytes(result, size)[100..].iter().all(|&byte| byte == 1));
}

fn another_stream_opens_a_gate() {
    let hip = start();
    let (a, b, word) = (hip.stream(), hip.stream(), Word::new(&hip));
    for turn in 0..100 {
        word.gate(&hip, a, 2 * turn + 1);
        call!(hip.hipStreamWriteValue32(b, word.0.cast(), 2 * turn + 1, 0));
        call!(hip.hipStreamWriteValue32(a, word.0.cast(), 2 * turn + 2, 0));
        word.gate(&hip, b, 2 * turn + 2);
    }
    call!(hip.hipStreamSynchronize(a));
    call!(hip.hipStreamSynchronize(b));
    assert_eq!(word.get(), 200);
}

fn callbacks_run_in_order() {
    unsafe extern "C" fn note(_stream: Stream, status: c_int, next: *mut c_void) {
        assert_eq!(status, 0);
        // SAFETY: `next` points to the number below, which outlives the callbacks.
        unsafe { (*next.cast::<AtomicU32>()).fetch_add(1, Ordering::SeqCst) };
    }
    let hip = start();
    let (stream, gate, seen) = (hip.stream(), Word::new(&hip), AtomicU32::new(0));
    gate.gate(&hip, stream, 1);
    // Few, because HIP 5.2 blocks the caller when more than about 16 wait behind a gate.
    for _ in 0..8 {
        let data = (&raw const seen).cast_mut().cast();
        call!(hip.hipStreamAddCallback(stream, note, data, 0));
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
    gate.set(1);
    call!(hip.hipStreamSynchronize(stream));
    assert_eq!(seen.load(Ordering::SeqCst), 8);
}

fn thousands_of_streams_work() {
    let hip = start();
    let at = hip.device_bytes(4 * 2000);
    let streams: Vec<Stream> = (0..2000).map(|_| hip.stream()).collect();
    for (i, &stream) in streams.iter().enumerate() {
        let word = at.wrapping_add(4 * i);
        call!(hip.hipMemsetD32Async(word.cast(), i as c_int, 1, stream));
    }
    for &stream in &streams {
        call!(hip.hipStreamSynchronize(stream));
        call!(hip.hipStreamDestroy(stream));
    }
    let found = bytes(at, 8000);
    let words = found.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    assert!(words.eq(0..2000));
}

fn stream_ordered_memory_works() {
    let hip = start();
    let (stream, mut at) = (hip.stream(), ptr::null_mut());
    for round in 1..10 {
        call!(hip.hipMallocAsync(&mut at, 4096, stream));
        call!(hip.hipMemsetAsync(at, round, 4096, stream));
        call!(hip.hipStreamSynchronize(stream));
        assert!(bytes(at.cast(), 4096).iter().all(|&byte| c_int::from(byte) == round));
        call!(hip.hipFreeAsync(at, stream));
    }
    call!(hip.hipStreamSynchronize(stream));
    call!(hip.hipMalloc(&mut at, 64));
    call!(hip.hipFree(at));
}

fn exit_with_work_pending() {
    let hip = start();
    let (stream, other, event) = (hip.stream(), hip.stream(), hip.event(true));
    let (gate, at) = (Word::new(&hip), hip.device_bytes(64));
    gate.gate(&hip, stream, 1);
    call!(hip.hipMemsetAsync(at.cast(), 1, 64, stream));
    call!(hip.hipEventRecord(event, stream));
    call!(hip.hipStreamWaitEvent(other, event, 0));
    call!(hip.hipMemcpyAsync(gate.0.wrapping_add(32).cast(), at.cast(), 4, DEVICE_TO_HOST, other));
    assert_eq!(query(&hip, other), NOT_READY);
    // Ends `main` while everything is pending.
}

fn exit_while_a_callback_runs() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" fn stay(_stream: Stream, _status: c_int, _data: *mut c_void) {
        RUNS.store(1, Ordering::SeqCst);
        loop {
            std::thread::park();
        }
    }
    let hip = start();
    let stream = hip.stream();
    call!(hip.hipStreamAddCallback(stream, stay, ptr::null_mut(), 0));
    while RUNS.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(query(&hip, stream), NOT_READY);
}
