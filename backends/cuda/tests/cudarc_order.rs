//! cudarc launches kernels on its own streams, and our wrappers order these streams. cudarc's own event
//! tracking is off, so all order comes from this crate. `GPU_STREAM_ROUNDS` sets the number of rounds
//! (2000; 200 over the simulated driver).

mod support;

use std::process::ExitCode;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, LaunchConfig, PushKernelArg};
use gpu_stream_core::{Backend, EventOptions, Stream};
use gpu_stream_cuda::{Cuda, CudaStream};
use gpu_stream_test_support::Vendor;
use support::bare::{PTX, Space};
use support::{OnCuda, device};

fn main() -> ExitCode {
    support::main(&[
        ("wait_stream_orders_cudarc", || {
            always_right(|from, to| to.wait_stream(from).unwrap());
        }),
        ("our_event_orders_cudarc", || {
            let event = Cuda::new_event(device(), EventOptions::new()).unwrap();
            always_right(|from, to| {
                from.record(&event).unwrap();
                to.wait_event(&event).unwrap();
            });
        }),
        ("our_stream_between_orders_cudarc", || {
            let between = Cuda::new_stream(device(), Default::default()).unwrap();
            always_right(|from, to| {
                from.fork([&between]).unwrap();
                to.join([&between]).unwrap();
            });
        }),
        ("copies_are_wrong_without_the_wait", || {
            let wrong = wrong(|_, _| ());
            let rounds = OnCuda::rounds();
            assert!(
                wrong >= rounds as usize / 2,
                "only {wrong} of {rounds} copies were made too early, so this test cannot tell"
            );
        }),
    ])
}

/// A stream of cudarc, and our wrapper, which holds a reference to it.
struct StreamPair {
    theirs: Arc<cudarc::driver::CudaStream>,
    ours: CudaStream,
}

impl StreamPair {
    fn new(context: &Arc<CudaContext>) -> Self {
        let theirs = context.new_stream().unwrap();
        let ours = CudaStream::from_cudarc(&theirs).unwrap();
        StreamPair { theirs, ours }
    }

    fn slow_store(&self, kernel: &CudaFunction, to: u64, value: u32) {
        let turns = 150_u32;
        let mut launch = self.theirs.launch_builder(kernel);
        launch.arg(&to).arg(&value).arg(&turns);
        // SAFETY: the arguments match the kernel's parameters, and the memory is never freed.
        unsafe { launch.launch(ONE) }.unwrap();
    }

    fn copy(&self, kernel: &CudaFunction, to: u64, from: u64) {
        let mut launch = self.theirs.launch_builder(kernel);
        launch.arg(&to).arg(&from);
        // SAFETY: the arguments match the kernel's parameters, and the memory is never freed.
        unsafe { launch.launch(ONE) }.unwrap();
    }
}

/// A launch of one thread.
const ONE: LaunchConfig =
    LaunchConfig { grid_dim: (1, 1, 1), block_dim: (1, 1, 1), shared_mem_bytes: 0 };

/// Writes the round's number slowly on one stream, and copies it on the other, in each round. Returns the
/// number of wrong copies.
fn wrong(order: impl Fn(&CudaStream, &CudaStream)) -> usize {
    let (space, rounds) = (Space::primary(), OnCuda::rounds());
    let context = CudaContext::new(0).unwrap();
    // SAFETY: no memory of cudarc is used here, so it needs no tracking.
    unsafe { context.disable_event_tracking() };
    let text = PTX.to_str().unwrap();
    let module = context.load_module(cudarc::nvrtc::Ptx::from_src(text)).unwrap();
    let [slow_store, copy] = ["slow_store", "copy"].map(|name| module.load_function(name).unwrap());
    let (from, to) = (StreamPair::new(&context), StreamPair::new(&context));
    let (word, copies) = (space.words(1), space.words(rounds as usize));
    // The driver loads a kernel at its first launch, which may wait for running work.
    from.slow_store(&slow_store, word, 0);
    from.copy(&copy, word, word);
    from.ours.synchronize().unwrap();
    for round in 0..rounds {
        from.slow_store(&slow_store, word, round + 1);
        order(&from.ours, &to.ours);
        to.copy(&copy, copies + u64::from(round) * 4, word);
        // The next write must follow this copy.
        from.ours.wait_stream(&to.ours).unwrap();
        if round % 256 == 255 {
            to.ours.synchronize().unwrap();
        }
    }
    from.ours.synchronize().unwrap();
    to.ours.synchronize().unwrap();
    let seen = space.read(copies, rounds as usize);
    let wrong: Vec<_> = (1..).zip(seen).filter(|(wanted, seen)| wanted != seen).collect();
    if let Some(first) = wrong.first() {
        eprintln!("{} copies are wrong; the first (wanted, seen): {first:?}", wrong.len());
    }
    wrong.len()
}

#[track_caller]
fn always_right(order: impl Fn(&CudaStream, &CudaStream)) {
    let wrong = wrong(order);
    assert_eq!(wrong, 0, "number of early copies, of {}", OnCuda::rounds());
}
