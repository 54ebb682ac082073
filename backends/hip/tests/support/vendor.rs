//! HIP for the shared tests: [`OnHip`].

use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gpu_stream_core::{Backend, ErrorKind, RawStream};
use gpu_stream_hip::{Hip, HipError, HipEvent};
use gpu_stream_test_support::shared::start_again::Starts;
use gpu_stream_test_support::{Children, Vendor};

use super::bare::{self, DeviceGuard, Gate, Ptr, bare, ok, version};
use super::{devices, layer, operations};

/// HIP, for the tests that it shares with CUDA.
pub struct OnHip;

/// The graph that a capture recorded.
pub struct CapturedGraph(Ptr);

impl Drop for CapturedGraph {
    fn drop(&mut self) {
        // SAFETY: the graph is alive, and this is its last use.
        unsafe { (bare().graph_destroy)(self.0) };
    }
}

/// An executable graph.
pub struct Graph(Ptr);

impl Graph {
    /// Launches the graph on `stream`.
    #[track_caller]
    pub fn launch(&self, stream: Ptr) {
        // SAFETY: the graph and the stream are alive.
        ok("graph_launch", unsafe { (bare().graph_launch)(self.0, stream) });
    }
}

/// The size of a number.
const WORD: usize = 4;

/// Numbers in the memory of one device, from which streams copy.
struct Ramp {
    /// Each number is its index.
    numbers: usize,
    /// Numbers that are never read.
    scratch: usize,
    /// The count of numbers in a slow copy.
    slow: usize,
}

/// Returns the ramp of the current device.
fn ramp() -> &'static Ramp {
    static RAMPS: [OnceLock<Ramp>; 2] = [const { OnceLock::new() }; 2];
    let mut device = 0;
    // SAFETY: `&mut device` is a valid out-pointer.
    ok("get_device", unsafe { (bare().get_device)(&mut device) });
    RAMPS[device as usize].get_or_init(|| {
        // HIP takes kernels only as compiled for the device at hand, so slow work is a copy within the
        // device's memory. A fill would do, but HIP 5.2 waits on the host for about every 32nd, and with it
        // for a shut gate. 16 MiB, so that a reader which starts together with it is too early. A simulated
        // device, whose memory a thread of the processor copies, takes long enough for less.
        let slow = if hsa_sim::loaded_version().is_some() { 16 << 10 } else { 4 << 20 };
        let count = slow.max(OnHip::rounds() as usize + 1_000);
        let ramp = Ramp { numbers: OnHip::words(count), scratch: OnHip::words(slow), slow };
        let numbers: Vec<u32> = (0..count as u32).collect();
        transfer(pointer(ramp.numbers), numbers.as_ptr().cast_mut().cast(), count, 1);
        ramp
    })
}

fn pointer(address: usize) -> Ptr {
    std::ptr::with_exposed_provenance_mut(address)
}

/// Copies numbers between host (kind 1: from it, 2: to it) and device, and waits.
fn transfer(to: Ptr, from: Ptr, count: usize, kind: c_int) {
    let default = std::ptr::null_mut();
    // SAFETY: both sides have `count` numbers, and live until the copy is done.
    ok("copy_async", unsafe { (bare().copy_async)(to, from, count * WORD, kind, default) });
    bare::synchronize(default);
}

/// Copies numbers within the device's memory.
fn copy(stream: Ptr, to: usize, from: usize, count: usize) {
    const WITHIN_THE_DEVICE: c_int = 3;
    let (to, from, size) = (pointer(to), pointer(from), count * WORD);
    // SAFETY: the stream is alive. Both sides have `count` numbers and are never freed.
    ok("copy_async", unsafe { (bare().copy_async)(to, from, size, WITHIN_THE_DEVICE, stream) });
}

impl Vendor for OnHip {
    type Backend = Hip;
    type Gate = Gate;
    type Entered = DeviceGuard;
    type Captured = CapturedGraph;
    type Graph = Graph;

    const LIBRARY: &'static str = "GPU_STREAM_HIP_LIBRARY";
    const CHILDREN: Children =
        Children { variable: "GPU_STREAM_HIP_CHILD", program: hsa_sim::this_program };
    const CREATES_EVENT: &'static str = "hipEventCreateWithFlags";
    const RECORDS: &'static str = "hipEventRecord";
    const WAITS: &'static str = "hipStreamWaitEvent";
    const QUERIES: &'static str = "hipStreamQuery";
    const PENDING_ALLOCATES: bool = true;
    /// The state of the event, which calls share.
    const RECORD_EVENT_ALLOCATES: usize = 1;

    fn prepare() {
        let set = |name: &str, value: &str| {
            if std::env::var_os(name).is_none() {
                // SAFETY: no other thread is running yet.
                unsafe { std::env::set_var(name, value) };
            }
        };
        // Streams that share a hardware queue also block each other.
        set("GPU_MAX_HW_QUEUES", "32");
        set("HSA_SIM_GPUS", "2");
        // The device node of AMD's kernel driver.
        if !Path::new("/dev/kfd").exists()
            && let Err(reason) = hsa_sim::preload()
        {
            eprintln!("note: no AMD GPU, and no simulation of one: {reason}");
        }
    }

    fn faulty_library() -> Result<PathBuf, String> {
        layer::make()
    }

    fn places() -> usize {
        devices().min(2) as usize
    }

    fn enter(place: usize) -> DeviceGuard {
        let entered = bare::enter(place as c_int);
        // Made while no gate is shut that the default stream would wait for.
        ramp();
        entered
    }

    fn thread_state() -> String {
        let (device, mode) = bare::thread_state();
        format!("device {device}, capture mode {mode}")
    }

    fn new_stream(place: usize, flags: u32, priority: i32) -> Ptr {
        bare::new_stream(place as c_int, flags, priority)
    }

    fn new_event(place: usize, flags: u32) -> Ptr {
        let _current = Self::enter(place);
        bare::new_event(flags)
    }

    fn record(event: Ptr, stream: Ptr) {
        let _current = Self::enter(0);
        bare::record(event, stream);
    }

    fn gate(stream: Ptr) -> Gate {
        ramp();
        bare::gate(stream)
    }

    fn open(gate: &Gate) {
        gate.open();
    }

    fn plays_another_version() -> bool {
        std::env::var_os("HIP_FAULTS_VERSION").is_some()
    }

    fn synchronize(stream: Ptr) {
        bare::synchronize(stream);
    }

    fn words(count: usize) -> usize {
        let mut address = std::ptr::null_mut();
        // SAFETY: `&mut address` is a valid out-pointer.
        ok("mem_alloc", unsafe { (bare().mem_alloc)(&mut address, count * WORD) });
        Self::clear(address.expose_provenance(), count);
        address.expose_provenance()
    }

    fn clear(address: usize, count: usize) {
        let default = std::ptr::null_mut();
        // SAFETY: the memory has `count` numbers.
        ok("memset_words", unsafe { (bare().memset_words)(pointer(address), 0, count, default) });
        bare::synchronize(default);
    }

    fn read(address: usize, count: usize) -> Vec<u32> {
        let mut numbers = vec![0_u32; count];
        transfer(numbers.as_mut_ptr().cast(), pointer(address), count, 2);
        numbers
    }

    fn store(stream: Ptr, to: usize, value: u32) {
        copy(stream, to, ramp().numbers + value as usize * WORD, 1);
    }

    fn store_slowly(stream: Ptr, to: usize, value: u32) {
        let ramp = ramp();
        copy(stream, ramp.scratch, ramp.numbers, ramp.slow);
        Self::store(stream, to, value);
    }

    fn copy(stream: Ptr, to: usize, from: usize) {
        copy(stream, to, from, 1);
    }

    fn begin_capture(stream: Ptr, mode: c_int) {
        // Made outside of the capture.
        ramp();
        bare::begin_capture(stream, mode);
    }

    fn capture_status(stream: Ptr) -> Result<c_int, c_int> {
        let mut status = 0;
        // SAFETY: the tests' streams are alive, and `&mut status` is a valid out-pointer.
        match unsafe { (bare().capture_status)(stream, &mut status) } {
            0 => Ok(status),
            code => Err(code),
        }
    }

    fn end_capture(stream: Ptr) -> Result<CapturedGraph, c_int> {
        let mut graph = std::ptr::null_mut();
        // SAFETY: the stream is alive, and `&mut graph` is a valid out-pointer.
        match unsafe { (bare().end_capture)(stream, &mut graph) } {
            0 => Ok(CapturedGraph(graph)),
            code => Err(code),
        }
    }

    fn instantiate(captured: CapturedGraph, _: Ptr) -> Graph {
        let (mut exec, none) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the captured graph is alive, and `&mut exec` is a valid out-pointer. Null requests no
        // error text.
        let code = unsafe {
            (bare().graph_instantiate)(&mut exec, captured.0, none, std::ptr::null_mut(), 0)
        };
        ok("graph_instantiate", code);
        // HIP 5.2 reads the captured graph when the executable one is launched.
        std::mem::forget(captured);
        Graph(exec)
    }

    fn launch(graph: &Graph, stream: Ptr) {
        graph.launch(stream);
    }

    fn beside_a_capture(stream: RawStream<Hip>, check: &dyn Fn(&str)) {
        operations::beside_a_capture(stream, check);
    }

    fn has_stream_ids() -> bool {
        bare().stream_id.is_some()
    }

    fn default_stream_sees_captures() -> bool {
        version() >= 50_700_000
    }

    fn releases_drawn_streams() -> bool {
        version() >= 50_700_000
    }

    fn confuses_earlier_events() -> bool {
        true
    }

    fn has_interprocess() -> bool {
        false
    }

    fn ipc_handle(_: &HipEvent) -> Result<[u8; 64], HipError> {
        Err(operations::no_interprocess())
    }

    unsafe fn ipc_open(_: [u8; 64]) -> Result<HipEvent, HipError> {
        Hip::devices()?;
        Err(operations::no_interprocess())
    }
}

impl Starts for OnHip {
    const FAILURES: &'static [(&'static str, i32, ErrorKind, &'static str)] = &[
        ("hipRuntimeGetVersion", 3, ErrorKind::Driver, "hipErrorNotInitialized"),
        ("hipInit", 3, ErrorKind::Driver, "hipErrorNotInitialized"),
        ("hipInit", 2, ErrorKind::OutOfMemory, "hipErrorOutOfMemory"),
        ("hipInit", 999, ErrorKind::Driver, "hipErrorUnknown"),
        ("hipGetDeviceCount", 3, ErrorKind::Driver, "hipErrorNotInitialized"),
    ];
    const INIT: &'static str = "hipInit";
    const VERSION: &'static str = "hipRuntimeGetVersion";
    const NO_DEVICE: (&'static [i32], &'static [&'static str]) =
        (&[100, 101], &["hipRuntimeGetVersion", "hipInit", "hipGetDeviceCount"]);
    const VISIBLE: &'static str = "HIP_VISIBLE_DEVICES";
    const OLD: (&'static str, &'static str, &'static str) =
        ("HIP_FAULTS_VERSION", "40421401", "4.4.21401");
}
