//! Orders work of ONNX Runtime on a stream of gpu-stream, and leaves out one wait at a time as a control.
//!
//! ```sh
//! ORT_DYLIB_PATH=/path/to/libonnxruntime.so.1 onnxruntime-order [ROUNDS]
//! ```
//!
//! The library is one with the CUDA provider, as in Python's `onnxruntime-gpu`. Prints a row of a table. Exit status: 0,
//! or 1 if data was wrong, or 77 if there is no device, no library or no provider.

#[path = "../../rounds.rs"]
mod rounds;

use std::process::ExitCode;

use cudarc::driver::{CudaContext, CudaSlice, DevicePtr};
use gpu_stream::CudaStream;
use gpu_stream::prelude::*;
use ort::editor::{Graph, Model, Node, ONNX_DOMAIN, Opset};
use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider};
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, RunOptions, Session, builder::SessionBuilder};
use ort::value::{Outlet, Shape, SymbolicDimensions, Tensor, TensorElementType, ValueType};
use rounds::{COUNT, Chain, Outcome};

/// Adds an array to itself by ONNX Runtime on `inner`, between two copies on `outer`, a stream of cudarc.
struct OnnxRuntime {
    // In the order in which they are dropped: the session uses `inner`, and its tensors are in the binding.
    binding: IoBinding,
    session: Session,
    options: RunOptions,
    outer: CudaStream,
    /// Our stream, on which the session works. It outlives the session.
    inner: CudaStream,
    addresses: [u64; 4],
    _memory: [CudaSlice<f32>; 2],
}

/// Returns a model with one node: the sum of its input and its input.
fn model() -> ort::Result<Model> {
    let array = |name| {
        let dimension_symbols = SymbolicDimensions::empty(1);
        let shape = Shape::new([COUNT as i64]);
        Outlet::new(
            name,
            ValueType::Tensor { ty: TensorElementType::Float32, shape, dimension_symbols },
        )
    };
    let mut graph = Graph::new()?;
    graph.set_inputs([array("input")])?;
    graph.set_outputs([array("output")])?;
    graph.add_node(Node::new("Add", ONNX_DOMAIN, "add", ["input", "input"], ["output"], [])?)?;
    let mut model = Model::new([Opset::new(ONNX_DOMAIN, 20)?])?;
    model.set_graph(graph)?;
    Ok(model)
}

impl OnnxRuntime {
    fn new(environment: &Environment) -> Outcome<Self> {
        let context = CudaContext::new(0)?;
        // SAFETY: all order comes from the waits of this program. With the tracking, cudarc would make waits of its own.
        unsafe { context.disable_event_tracking() };
        let theirs = context.new_stream()?;
        let outer = CudaStream::from_cudarc(&theirs)?;
        let inner = outer.new_stream(StreamOptions::new())?;
        let memory = [theirs.alloc_zeros::<f32>(COUNT)?, theirs.alloc_zeros::<f32>(COUNT)?];
        outer.synchronize()?;

        let stream = inner.raw().as_ptr().cast();
        // SAFETY: the stream outlives the session: `inner` is dropped after it.
        let provider = unsafe { CUDA::default().with_device_id(0).with_compute_stream(stream) };
        let builder = SessionBuilder::new(environment)?
            .with_execution_providers([provider.build().error_on_failure()])
            .map_err(|error| error.to_string())?;
        let session = model()?.into_session(&builder)?;
        // Tensors of the session's own: `bind_input` copies one that borrows its memory, when it is bound.
        let place =
            MemoryInfo::new(AllocationDevice::CUDA, 0, AllocatorType::Device, MemoryType::Default)?;
        let allocator = Allocator::new(&session, place)?;
        let input = Tensor::<f32>::new(&allocator, [COUNT])?;
        let output = Tensor::<f32>::new(&allocator, [COUNT])?;
        let [source, result] = memory.each_ref().map(|slice| slice.device_ptr(&theirs).0);
        let addresses = [source, input.data_ptr() as u64, output.data_ptr() as u64, result];
        let mut binding = session.create_binding()?;
        binding.bind_input("input", &input)?;
        binding.bind_output("output", output)?;
        let mut options = RunOptions::new()?;
        // Without this, each run waits until the stream is done.
        options.disable_device_sync()?;
        Ok(OnnxRuntime { binding, session, options, outer, inner, addresses, _memory: memory })
    }
}

impl Chain for OnnxRuntime {
    fn outer(&self) -> &CudaStream {
        &self.outer
    }

    fn inner(&self) -> &CudaStream {
        &self.inner
    }

    fn addresses(&self) -> [u64; 4] {
        self.addresses
    }

    fn expected(&self, number: f32) -> f32 {
        2.0 * number
    }

    fn first(&mut self) -> Outcome {
        let [source, middle, _, _] = self.addresses;
        // SAFETY: the arrays have so many numbers and outlive the work, for which each round waits. cudarc made its
        // context current on this thread.
        unsafe { rounds::copy(&self.outer, middle, source) }
    }

    fn work(&mut self) -> Outcome {
        self.session.run_binding_with_options(&self.binding, &self.options)?;
        Ok(())
    }

    fn last(&mut self) -> Outcome {
        let [_, _, target, result] = self.addresses;
        // SAFETY: as in `first`.
        unsafe { rounds::copy(&self.outer, result, target) }
    }
}

/// Loads the library. Returns its environment, or the reason why it cannot be used.
fn environment() -> Outcome<Environment> {
    let path = std::env::var("ORT_DYLIB_PATH")
        .map_err(|_| "no library: set ORT_DYLIB_PATH to a libonnxruntime with the CUDA provider")?;
    let environment = ort::init_from(&path)?.build()?;
    if !CUDA::is_available()? {
        return Err(format!("{path} was built without the CUDA provider").into());
    }
    Ok(environment)
}

fn run(environment: &Environment) -> Outcome<bool> {
    let rounds = rounds::rounds_argument()?;
    let library = format!("ONNX Runtime | {}", version());
    let ordered = "our stream, as `user_compute_stream` of the CUDA provider; waits of gpu-stream";
    rounds::print_row(&mut OnnxRuntime::new(environment)?, rounds, &library, ordered)
}

/// Returns the version of the loaded library, with that of ort.
fn version() -> String {
    let build = ort::info();
    let version = build.split("git-branch=").nth(1).and_then(|rest| rest.split([',', ' ']).next());
    format!("{} by ort 2.0.0-rc.15", version.unwrap_or(build))
}

fn main() -> ExitCode {
    if let Err(reason) = rounds::device() {
        return rounds::skipped(reason);
    }
    match environment() {
        Ok(environment) => rounds::exit_code(run(&environment)),
        Err(reason) => rounds::skipped(reason),
    }
}
