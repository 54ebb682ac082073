//! The kernels on CUDA: on a GPU if there is a driver, otherwise over the simulated driver, which knows these kernels by
//! name and computes their results itself.

mod cases;

use std::process::ExitCode;

use cases::{Setup, counting};
use gpu_stream::Cuda;
use gpu_stream::prelude::*;
use gpu_stream_conformance::Fixture;
use gpu_stream_conformance::fixtures::{CudaFixture, ask_for_cuda_queues};
use gpu_stream_faults::{At, Controls, InjectedFault, Threads};
use gpu_stream_portable_library::{Error, Vector, saxpy, sum};
use gpu_stream_test_support::skip;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe {
        ask_for_cuda_queues();
        if cuda_sim::no_driver_here()
            && let Err(reason) = cuda_sim::install(1)
        {
            eprintln!("note: no NVIDIA GPU, and no simulation of one: {reason}");
        }
    }
    let own: [cases::Case<_>; 1] =
        [("memory_of_unjoined_lanes_is_not_freed", memory_of_unjoined_lanes_is_not_freed)];
    cases::run(CudaFixture::new(), None, &own)
}

/// Fails each wait of a sum in turn, while a lane is held back. The lane would read freed memory if the vector's drop
/// freed it, and break the context.
fn memory_of_unjoined_lanes_is_not_freed(setup: &Setup<CudaFixture>) {
    const OUT_OF_MEMORY: i32 = 2;
    if !cuda_sim::is_loaded() {
        skip("needs the simulated driver, which fails on demand");
    }
    let controls = cuda_sim::library().and_then(Controls::of).expect("the simulator's controls");
    let mut refused = Vec::new();
    for wait in 1.. {
        let caller = setup.foreign::<Cuda>();
        let (_, lanes) = setup.lanes(&caller, 2);
        let x = Vector::<Cuda>::new(&caller.stream, &counting(1000)).unwrap();
        let (mut total, mut y) = (
            Vector::new(&caller.stream, &[0.0]).unwrap(),
            Vector::new(&caller.stream, &[0.0; 1000]).unwrap(),
        );
        caller.stream.synchronize().unwrap();
        let gates = [setup.gate(&lanes[0]), setup.gate(&lanes[1])];
        let fault = InjectedFault::Answer(OUT_OF_MEMORY);
        controls.set("cuStreamWaitEvent", At::Occurrence(wait), Threads::This, fault);
        let done = sum(&caller.stream, &lanes, &x, &mut total);
        let has_failed = controls.triggered() > 0;
        controls.clear();
        assert_eq!(done.is_err(), has_failed, "wait {wait}: {done:?}");
        if matches!(saxpy(&caller.stream, 1.0, &x, &mut y), Err(Error::Argument(_))) {
            refused.push(wait);
        }
        drop((x, total));
        // The lane that is not joined runs last: lane 0 if the first wait of the join has failed.
        let order = if wait == 3 { [1, 0] } else { [0, 1] };
        for lane in order {
            setup.fixture.open(&gates[lane]);
            setup.fixture.settle(&[&caller.stream, &lanes[0], &lanes[1]]);
        }
        for stream in lanes.iter().chain([&caller.stream]) {
            stream.synchronize().unwrap_or_else(|error| panic!("wait {wait}: {error}"));
        }
        if !has_failed {
            break;
        }
    }
    // The fork makes the waits 1 and 2, and the join 3 and 4.
    assert_eq!(refused, [3, 4]);
}
