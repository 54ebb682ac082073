//! CUDA for the shared tests: [`OnCuda`].

use std::ffi::c_int;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use gpu_stream_core::{Backend, Device, ErrorKind, RawStream};
use gpu_stream_cuda::ipc::IpcEventHandle;
use gpu_stream_cuda::{Cuda, CudaError, CudaEvent};
use gpu_stream_test_support::shared::start_again::Starts;
use gpu_stream_test_support::{Children, Vendor};

use super::bare::{self, ContextGuard, Gate, Ptr, Space, bare, enter, ok};
use super::operations;

/// CUDA, for the tests that it shares with HIP.
pub struct OnCuda;

fn this_program() -> io::Result<Command> {
    std::env::current_exe().map(Command::new)
}

/// Returns the current context, or the primary one, with its kernels.
fn here() -> &'static Space {
    let mut current = std::ptr::null_mut();
    // SAFETY: the out-pointer is valid.
    ok("ctx_current", unsafe { (bare().ctx_current)(&mut current) });
    let is_second = SECOND.get().is_some_and(|second| second.context == current);
    place(usize::from(is_second))
}

static SECOND: OnceLock<&Space> = OnceLock::new();

fn place(place: usize) -> &'static Space {
    if place == 0 { Space::primary() } else { SECOND.get_or_init(Space::second) }
}

/// A graph that a capture recorded.
pub struct CapturedGraph(Ptr);

impl Drop for CapturedGraph {
    fn drop(&mut self) {
        // SAFETY: the graph is alive, and this is its last use.
        unsafe { (bare().graph_destroy)(self.0) };
    }
}

/// An executable graph.
pub struct Graph {
    exec: Ptr,
    context: Ptr,
}

impl Graph {
    #[track_caller]
    pub fn launch(&self, stream: Ptr) {
        let _current = enter(self.context);
        // SAFETY: the graph and the stream are alive.
        ok("graph_launch", unsafe { (bare().graph_launch)(self.exec, stream) });
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: the graph is alive, and this is its last use. The driver completes pending launches.
        unsafe { (bare().graph_exec_destroy)(self.exec) };
    }
}

impl Vendor for OnCuda {
    type Backend = Cuda;
    type Gate = Gate;
    type Entered = ContextGuard;
    type Captured = CapturedGraph;
    type Graph = Graph;

    const LIBRARY: &'static str = "GPU_STREAM_CUDA_LIBRARY";
    const CHILDREN: Children = Children { variable: "GPU_STREAM_CUDA_CASE", program: this_program };
    const CREATES_EVENT: &'static str = "cuEventCreate";
    const RECORDS: &'static str = "cuEventRecord";
    const WAITS: &'static str = "cuStreamWaitEvent";
    const QUERIES: &'static str = "cuStreamQuery";

    fn prepare() {
        if cuda_sim::no_driver_here() {
            // SAFETY: no other thread is running yet.
            match unsafe { cuda_sim::install(1) } {
                Ok(()) => eprintln!("note: no CUDA driver; these tests run over a simulated one"),
                Err(reason) => eprintln!("note: no CUDA driver, and no simulated one: {reason}"),
            }
        }
    }

    fn prepare_child() {}

    fn faulty_library() -> Result<PathBuf, String> {
        cuda_sim::library()
    }

    fn places() -> usize {
        2
    }

    fn enter(place: usize) -> ContextGuard {
        enter(self::place(place).context)
    }

    fn leave() {
        bare::set_current(std::ptr::null_mut());
    }

    fn thread_state() -> String {
        let (context, mode) = bare::thread_state();
        format!("context {context:#x}, capture mode {mode}")
    }

    fn new_stream(place: usize, flags: u32, priority: i32) -> Ptr {
        self::place(place).stream(flags, priority)
    }

    fn new_event(place: usize, flags: u32) -> Ptr {
        let _current = Self::enter(place);
        let mut event = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid.
        ok("event_create", unsafe { (bare().event_create)(&mut event, flags) });
        event
    }

    fn record(event: Ptr, stream: Ptr) {
        // SAFETY: the tests' events and streams are alive.
        ok("event_record", unsafe { (bare().event_record)(event, stream) });
    }

    fn gate(stream: Ptr) -> Gate {
        here().gate(stream)
    }

    fn open(gate: &Gate) {
        gate.open();
    }

    fn synchronize(stream: Ptr) {
        here().synchronize(stream);
    }

    fn words(count: usize) -> usize {
        here().words(count) as usize
    }

    fn clear(address: usize, count: usize) {
        here().clear(address as u64, count);
    }

    fn read(address: usize, count: usize) -> Vec<u32> {
        here().read(address as u64, count)
    }

    fn store(stream: Ptr, to: usize, value: u32) {
        here().slow_store(stream, to as u64, value, 1);
    }

    fn store_slowly(stream: Ptr, to: usize, value: u32) {
        // About 75 microseconds on an H100.
        here().slow_store(stream, to as u64, value, 150);
    }

    fn copy(stream: Ptr, to: usize, from: usize) {
        here().copy(stream, to as u64, from as u64);
    }

    fn begin_capture(stream: Ptr, mode: c_int) {
        bare::begin_capture(stream, mode);
    }

    fn capture_status(stream: Ptr) -> Result<c_int, c_int> {
        let mut status = 0;
        // SAFETY: the tests' streams are alive, and the out-pointer is valid.
        match unsafe { (bare().capture_status)(stream, &mut status) } {
            0 => Ok(status),
            code => Err(code),
        }
    }

    fn end_capture(stream: Ptr) -> Result<CapturedGraph, c_int> {
        let mut graph = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid, and the stream is alive.
        match unsafe { (bare().end_capture)(stream, &mut graph) } {
            0 => Ok(CapturedGraph(graph)),
            code => Err(code),
        }
    }

    fn instantiate(captured: CapturedGraph, stream: Ptr) -> Graph {
        let (mut context, mut exec) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the tests' streams are alive, and the out-pointer is valid.
        ok("stream_context", unsafe { (bare().stream_context)(stream, &mut context) });
        let _current = enter(context);
        // SAFETY: the out-pointer is valid, and the captured graph is alive.
        let code = unsafe { (bare().graph_instantiate)(&mut exec, captured.0, 0) };
        ok("graph_instantiate", code);
        Graph { exec, context }
    }

    fn launch(graph: &Graph, stream: Ptr) {
        graph.launch(stream);
    }

    fn beside_a_capture(stream: RawStream<Cuda>, check: &dyn Fn(&str)) {
        operations::beside_a_capture(stream, check);
    }

    fn ipc_handle(event: &CudaEvent) -> Result<[u8; 64], CudaError> {
        event.ipc_handle().map(|handle| handle.to_bytes())
    }

    unsafe fn ipc_open(bytes: [u8; 64]) -> Result<CudaEvent, CudaError> {
        // SAFETY: the process that made the event keeps it (caller contract).
        unsafe { IpcEventHandle::from_bytes(bytes).open(Device::new(Cuda::KIND, 0)) }
    }

    fn rounds() -> u32 {
        let rounds = std::env::var("GPU_STREAM_ROUNDS").ok();
        let usual = if cuda_sim::is_loaded() { 200 } else { 2_000 };
        rounds.map_or(usual, |text| text.parse().expect("GPU_STREAM_ROUNDS is a number"))
    }
}

impl Starts for OnCuda {
    const FAILURES: &'static [(&'static str, i32, ErrorKind, &'static str)] = &[
        ("cuDriverGetVersion", 3, ErrorKind::Driver, "CUDA_ERROR_NOT_INITIALIZED"),
        ("cuInit", 3, ErrorKind::Driver, "CUDA_ERROR_NOT_INITIALIZED"),
        ("cuInit", 2, ErrorKind::OutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY"),
        ("cuInit", 802, ErrorKind::Driver, "CUDA_ERROR_SYSTEM_NOT_READY"),
        ("cuInit", 999, ErrorKind::Driver, "CUDA_ERROR_UNKNOWN"),
        ("cuDeviceGetCount", 3, ErrorKind::Driver, "CUDA_ERROR_NOT_INITIALIZED"),
        ("cuDeviceGet", 46, ErrorKind::Driver, "CUDA_ERROR_DEVICE_UNAVAILABLE"),
    ];
    const INIT: &'static str = "cuInit";
    const VERSION: &'static str = "cuDriverGetVersion";
    const NO_DEVICE: (&'static [i32], &'static [&'static str]) = (&[100], &["cuInit"]);
    const VISIBLE: &'static str = "CUDA_VISIBLE_DEVICES";
    const OLD: (&'static str, &'static str, &'static str) = ("CUDA_SIM_VERSION", "10.2", "10.2");
}
