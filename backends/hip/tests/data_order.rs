//! Checks order by data. Work that is held back, and then takes time, writes on a foreign stream;
//! another stream waits and reads. `GPU_STREAM_ROUNDS` sets the number of rounds (2000).
//!
//! HIP takes kernels only as compiled for the device at hand, so the work is a copy within the device's
//! memory. A fill would do, but HIP 5.2 waits on the host for about every 32nd, and with it for a shut
//! gate.

mod support;

use std::ffi::c_int;
use std::process::ExitCode;
use std::sync::OnceLock;

use gpu_stream_core::{EventOptions, Stream};
use gpu_stream_hip::HipStream;
use support::bare::{self, Ptr, Words, bare, ok};
use support::{own_event, wrap};

fn main() -> ExitCode {
    support::main(&[
        // Needs a pair of streams that share no hardware queue, as the first pair does.
        ("copies_are_wrong_without_the_wait", copies_are_wrong_without_the_wait),
        ("wait_stream_orders", || always_right(|from, to| to.wait_stream(from).unwrap())),
        ("wait_event_orders", wait_event_orders),
        ("record_event_orders", || {
            always_right(|from, to| to.wait_event(&from.record_event().unwrap()).unwrap());
        }),
        ("fork_orders", || always_right(|from, to| from.fork([to]).unwrap())),
        ("join_orders", || always_right(|from, to| to.join([from]).unwrap())),
        ("fork_and_join_order_many_branches", fork_and_join_order_many_branches),
        ("threads_with_their_own_streams_keep_order", threads_with_their_own_streams_keep_order),
    ])
}

fn rounds() -> u32 {
    let rounds = std::env::var("GPU_STREAM_ROUNDS").ok();
    rounds.map_or(2_000, |text| text.parse().expect("GPU_STREAM_ROUNDS is a number"))
}

/// The number of rounds that are submitted while the first is held back: far fewer than a queue takes
/// before it blocks the host.
const BATCH: u32 = 16;

/// Orders the reader (second) after the writer (first).
type Order<'a> = &'a dyn Fn(&HipStream, &HipStream);

/// Runs all rounds and returns the number of wrong copies. In each round `from` writes numbers that end
/// with [`Lane::wanted`], and `to` copies that last one. With `None`, nothing orders the two.
fn wrong(lane: &Lane, order: Option<Order<'_>>) -> usize {
    let (rounds, from, to) = (rounds(), &lane.from, &lane.to);
    lane.clear();
    for batch in (0..rounds).step_by(BATCH as usize) {
        let gate = lane.gates.gate(lane.raw_from, batch as usize);
        for round in batch..rounds.min(batch + BATCH) {
            lane.write(round);
            if let Some(order) = order {
                order(from, to);
            }
            copy(lane.raw_to, lane.copies.at(round), lane.written.last(), 1);
            // The next numbers come after this copy.
            from.wait_stream(to).unwrap();
        }
        // The gate is still shut, so only the order keeps the reader from completing.
        match order {
            Some(_) => assert!(!to.query().unwrap(), "the reader did not wait for the writer"),
            None => to.synchronize().unwrap(),
        }
        drop(gate);
    }
    from.synchronize().unwrap();
    to.synchronize().unwrap();
    let wanted = (0..rounds).map(|round| lane.wanted(round));
    let wrong: Vec<_> =
        wanted.zip(lane.copies.read(rounds)).filter(|(wanted, copied)| wanted != copied).collect();
    if let Some(first) = wrong.first() {
        eprintln!("{} copies are wrong; the first (wanted, copied): {first:?}", wrong.len());
    }
    wrong.len()
}

#[track_caller]
fn always_right(order: impl Fn(&HipStream, &HipStream)) {
    let wrong = wrong(&lanes()[0], Some(&order));
    assert_eq!(wrong, 0, "of {} copies, this many were made too early", rounds());
}

fn wait_event_orders() {
    let event = own_event(EventOptions::new());
    always_right(|from, to| {
        from.record(&event).unwrap();
        to.wait_event(&event).unwrap();
    });
}

/// The same program without the wait. If its copies were right too, the tests above would show nothing.
fn copies_are_wrong_without_the_wait() {
    assert_eq!(wrong(&lanes()[0], None), rounds() as usize, "the copies that were made too early");
}

/// Forks to eight branches, and joins them.
fn fork_and_join_order_many_branches() {
    const BATCH: u32 = 4;
    let (lanes, rounds) = (lanes(), rounds() / 8);
    let (lane, count) = (&lanes[0], lanes.len() as u32);
    let branches: Vec<_> = lanes.iter().map(|lane| lane.to.clone()).collect();
    let (middle, results) = (Numbers::new(count), Numbers::new(count * rounds));
    lane.clear();
    for batch in (0..rounds).step_by(BATCH as usize) {
        let _gate = lane.gates.gate(lane.raw_from, batch as usize);
        for round in batch..rounds.min(batch + BATCH) {
            lane.write(round);
            lane.from.fork(&branches).unwrap();
            for (index, branch) in (0..).zip(lanes) {
                copy(branch.raw_to, middle.at(index), lane.written.last(), 1);
            }
            lane.from.join(&branches).unwrap();
            for index in 0..count {
                copy(lane.raw_from, results.at(round * count + index), middle.at(index), 1);
            }
        }
    }
    lane.from.synchronize().unwrap();
    let copied = results.read(count * rounds);
    let wrong = (0..).zip(&copied).filter(|&(index, &copy)| copy != lane.wanted(index / count));
    assert_eq!(wrong.count(), 0, "of {} copies, this many were made too early", copied.len());
}

/// Eight threads, each with its own pair of streams, share one pool of events.
fn threads_with_their_own_streams_keep_order() {
    let lanes = lanes();
    std::thread::scope(|scope| {
        let run = |lane| wrong(lane, Some(&|from, to| to.wait_stream(from).unwrap()));
        let threads: Vec<_> = lanes.iter().map(|lane| scope.spawn(move || run(lane))).collect();
        let wrong = threads.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(wrong.sum::<usize>(), 0, "copies made too early");
    });
}

/// A pair of foreign streams with their memory. All are created before the first gate is shut, and none
/// is ever freed, because an allocation or a free may wait for all streams.
struct Lane {
    raw_from: Ptr,
    raw_to: Ptr,
    from: HipStream,
    to: HipStream,
    /// Each number is its index plus 1.
    ramp: Numbers,
    written: Numbers,
    copies: Numbers,
    /// One gate for each batch. A stream might not have passed a gate yet when it is shut again.
    gates: Words,
}

// SAFETY: the runtime accepts streams and memory on any thread, and they are never freed.
unsafe impl Send for Lane {}
// SAFETY: the runtime accepts streams and memory on any thread, and they are never freed.
unsafe impl Sync for Lane {}

/// Returns the lanes of all tests.
fn lanes() -> &'static [Lane] {
    static LANES: OnceLock<Vec<Lane>> = OnceLock::new();
    LANES.get_or_init(|| (0..8).map(|_| Lane::new(written())).collect())
}

impl Lane {
    fn new(written: u32) -> Self {
        let (raw_from, raw_to) = (bare::new_stream(0, 1, 0), bare::new_stream(0, 1, 0));
        let ramp = Numbers::new(written + rounds());
        ramp.set(&(1..=written + rounds()).collect::<Vec<_>>());
        Lane {
            raw_from,
            raw_to,
            from: wrap(raw_from),
            to: wrap(raw_to),
            ramp,
            written: Numbers::new(written),
            copies: Numbers::new(rounds()),
            gates: bare::words(rounds() as usize),
        }
    }

    /// Writes consecutive numbers, of which the last is `wanted`: a window onto the ramp.
    fn write(&self, round: u32) {
        copy(self.raw_from, self.written.at(0), self.ramp.at(round), self.written.count);
    }

    fn wanted(&self, round: u32) -> u32 {
        round + self.written.count
    }

    /// Zeroes the memory that streams write. All zeros are written when it returns.
    fn clear(&self) {
        // On HIP's NVIDIA platform some calls require the device to be current, even for its streams.
        bare::set_device(0);
        for numbers in [&self.written, &self.copies] {
            // SAFETY: the memory has `count` numbers, and the stream is alive.
            ok("memset_words", unsafe {
                (bare().memset_words)(numbers.at(0), 0, numbers.count as usize, self.raw_from)
            });
        }
        self.from.synchronize().unwrap();
    }
}

/// Returns the count of numbers in a write: 16 MiB, so that a reader which starts together with it is
/// too early. A simulated device, whose memory a thread of the processor copies, takes long enough for
/// less.
fn written() -> u32 {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer is 256 bytes long.
    ok("device_name", unsafe { (bare().device_name)(name.as_mut_ptr().cast(), 256, 0) });
    let simulated = String::from_utf8_lossy(&name).contains("simulated");
    if simulated { 16 << 10 } else { 4 << 20 }
}

/// Numbers in the device's memory, never freed.
struct Numbers {
    address: Ptr,
    count: u32,
}

impl Numbers {
    fn new(count: u32) -> Self {
        bare::set_device(0);
        let mut address = std::ptr::null_mut();
        // SAFETY: `&mut address` is a valid out-pointer.
        ok("mem_alloc", unsafe { (bare().mem_alloc)(&mut address, count as usize * 4) });
        Numbers { address, count }
    }

    #[track_caller]
    fn at(&self, index: u32) -> Ptr {
        assert!(index < self.count, "number {index} of {}", self.count);
        self.address.wrapping_byte_add(index as usize * 4)
    }

    fn last(&self) -> Ptr {
        self.at(self.count - 1)
    }

    fn set(&self, numbers: &[u32]) {
        assert_eq!(numbers.len(), self.count as usize);
        let (to, from) = (self.address, numbers.as_ptr().cast());
        transfer(to, from, numbers.len() * 4, 1);
    }

    fn read(&self, count: u32) -> Vec<u32> {
        assert!(count <= self.count);
        let mut numbers = vec![0_u32; count as usize];
        transfer(numbers.as_mut_ptr().cast(), self.address, numbers.len() * 4, 2);
        numbers
    }
}

/// Copies between host (kind 1: from it, 2: to it) and device, and waits. Both sides have `size` bytes.
fn transfer(to: Ptr, from: *const std::ffi::c_void, size: usize, kind: c_int) {
    let default = std::ptr::null_mut();
    // SAFETY: both sides have `size` bytes, and live until the copy is done.
    ok("copy_async", unsafe { (bare().copy_async)(to, from, size, kind, default) });
    bare::synchronize(default);
}

/// Copies `count` numbers within the device's memory.
fn copy(stream: Ptr, to: Ptr, from: Ptr, count: u32) {
    // SAFETY: the stream is alive. Both sides have `count` numbers and are never freed. Kind 3: within
    // the device.
    ok("copy_async", unsafe { (bare().copy_async)(to, from, count as usize * 4, 3, stream) });
}
