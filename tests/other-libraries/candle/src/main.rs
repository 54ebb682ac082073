//! Orders work of candle with a stream of gpu-stream, and leaves out one wait at a time as a control.
//!
//! ```sh
//! candle-order [ROUNDS]
//! ```
//!
//! Prints a row of a table. Exit status: 0, or 1 if data was wrong, or 77 if there is no device.

#[path = "../../rounds.rs"]
mod rounds;

use std::process::ExitCode;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, DType, Device, InplaceOp2, Layout, Tensor};
use cudarc::driver::DevicePtr;
use gpu_stream::CudaStream;
use gpu_stream::prelude::*;
use rounds::{COUNT, Chain, Outcome};

/// An operation in place, as a user of candle writes one: copies the other tensor on candle's stream.
struct Copy;

impl InplaceOp2 for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn cpu_fwd(
        &self,
        _: &mut CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<()> {
        candle_core::bail!("copy: for CUDA only")
    }

    fn cuda_fwd(
        &self,
        to: &mut CudaStorage,
        _: &Layout,
        from: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<()> {
        let device = from.device().clone();
        device.memcpy_dtod(from.as_cuda_slice::<f32>()?, to.as_cuda_slice_mut::<f32>()?)
    }
}

struct Candle {
    /// candle's own stream. Our wrapper keeps it alive.
    outer: CudaStream,
    inner: CudaStream,
    tensors: [Tensor; 4],
    addresses: [u64; 4],
}

impl Candle {
    fn new() -> Outcome<Self> {
        // `Device::new_cuda` uses the thread's default stream, which is another one on each thread.
        let device = Device::new_cuda_with_stream(0)?;
        let cuda = device.as_cuda_device()?;
        // SAFETY: all order comes from the waits of this program, and the tensors outlive its work. With the tracking,
        // cudarc would make waits of its own.
        unsafe { cuda.disable_event_tracking() };
        let theirs = cuda.cuda_stream();
        let outer = CudaStream::from_cudarc(&theirs)?;
        let inner = outer.new_stream(StreamOptions::new())?;
        let tensor = || Tensor::zeros(COUNT, DType::F32, &device);
        let tensors = [tensor()?, tensor()?, tensor()?, tensor()?];
        let mut addresses = [0; 4];
        for (address, tensor) in addresses.iter_mut().zip(&tensors) {
            let (storage, _) = tensor.storage_and_layout();
            let candle_core::Storage::Cuda(storage) = &*storage else {
                return Err("the tensor is not on the device".into());
            };
            (*address, _) = storage.as_cuda_slice::<f32>()?.device_ptr(&theirs);
        }
        outer.synchronize()?;
        Ok(Candle { outer, inner, tensors, addresses })
    }
}

impl Chain for Candle {
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
        number
    }

    fn first(&mut self) -> Outcome {
        let [source, middle, _, _] = &self.tensors;
        Ok(middle.inplace_op2(source, &Copy)?)
    }

    fn work(&mut self) -> Outcome {
        let [_, middle, target, _] = self.addresses;
        // SAFETY: the tensors have so many numbers and outlive the work, for which each round waits. candle made its
        // context current on this thread.
        unsafe { rounds::copy(&self.inner, target, middle) }
    }

    fn last(&mut self) -> Outcome {
        let [_, _, target, result] = &self.tensors;
        Ok(result.inplace_op2(target, &Copy)?)
    }
}

fn run() -> Outcome<bool> {
    let rounds = rounds::rounds_argument()?;
    let ordered =
        "the stream of `CudaDevice::cuda_stream()`, by `from_cudarc`; waits of gpu-stream";
    rounds::print_row(&mut Candle::new()?, rounds, "candle | 0.11.1", ordered)
}

fn main() -> ExitCode {
    match rounds::device() {
        Ok(_) => rounds::exit_code(run()),
        Err(reason) => rounds::skipped(reason),
    }
}
