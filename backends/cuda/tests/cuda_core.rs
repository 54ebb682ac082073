//! NVIDIA's cuda-core, cudarc and a stream that only the driver knows work on one buffer. All order comes from this
//! crate. `GPU_STREAM_ROUNDS` sets the number of rounds (2000; 200 over the simulated driver).

mod support;

use std::process::ExitCode;
use std::sync::Arc;

use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg};
use gpu_stream_core::{Backend, ErrorKind, Event, RawStream, Stream, StreamOwner};
use gpu_stream_cuda::interop::CudaCoreStream;
use gpu_stream_cuda::{Cuda, CudaEvent, CudaStream};
use gpu_stream_test_support::Vendor;
use support::bare::{PTX, Ptr, Space};
use support::{OnCuda, device, expect_kind, own_stream};

fn main() -> ExitCode {
    support::main(&[
        ("three_libraries_in_order", || always_right(|from, to| to.wait_stream(from).unwrap())),
        ("event_of_cuda_core_recorded_by_us", || {
            let context = cuda_core::Context::new(0).unwrap();
            let theirs = Arc::new(context.new_event_with_flags(None).unwrap());
            let event = CudaEvent::from_cuda_core(&theirs).unwrap();
            always_right(|from, to| {
                from.record(&event).unwrap();
                // The stream as cuda-core's own waits for cuda-core's own event.
                to.to_cuda_core(&context).unwrap().wait_event(&theirs).unwrap();
            });
        }),
        ("event_of_cuda_core_recorded_by_cuda_core", || {
            let context = cuda_core::Context::new(0).unwrap();
            always_right(|from, to| {
                let from = from.to_cuda_core(&context).unwrap();
                let theirs = Arc::new(from.record_event(None).unwrap());
                to.wait_event(&CudaEvent::from_cuda_core(&theirs).unwrap()).unwrap();
            });
        }),
        ("our_stream_between", || {
            let between = own_stream();
            always_right(|from, to| {
                from.fork([&between]).unwrap();
                to.join([&between]).unwrap();
            });
        }),
        ("copies_are_wrong_without_the_wait", || {
            let (wrong, rounds) = (wrong(|_, _| ()), OnCuda::rounds() as usize);
            assert!(
                wrong >= rounds / 2,
                "only {wrong} of {rounds} copies were made too early, so this test cannot tell"
            );
        }),
        ("their_stream_lives_as_long_as_our_wrapper", their_stream_lives_as_long_as_our_wrapper),
        ("our_owner_lives_as_long_as_their_stream", our_owner_lives_as_long_as_their_stream),
        ("their_event_lives_as_long_as_our_wrapper", their_event_lives_as_long_as_our_wrapper),
        ("handles_and_devices_are_kept", handles_and_devices_are_kept),
        ("another_context_is_rejected", another_context_is_rejected),
        ("thread_is_left_as_found", thread_is_left_as_found),
    ])
}

/// The three streams, each as its library knows it, and our wrapper of each.
struct Libraries {
    cuda_core: (Arc<cuda_core::Stream>, CudaStream),
    cudarc: (Arc<cudarc::driver::CudaStream>, CudaStream),
    driver: (Ptr, CudaStream),
}

impl Libraries {
    fn new(
        core: &Arc<cuda_core::Context>,
        cudarc: &Arc<CudaContext>,
        driver: &'static Space,
    ) -> Self {
        let of_core = core.new_stream().unwrap();
        let of_cudarc = cudarc.new_stream().unwrap();
        let of_driver = driver.stream(1, 0);
        Libraries {
            cuda_core: (of_core.clone(), CudaStream::from_cuda_core(&of_core).unwrap()),
            cudarc: (of_cudarc.clone(), CudaStream::from_cudarc(&of_cudarc).unwrap()),
            driver: (of_driver, support::wrap(of_driver)),
        }
    }
}

/// In each round, cuda-core writes the round's number slowly, cudarc copies it, and the driver copies the copy.
/// Returns the number of wrong copies at the end of the chain.
fn wrong(order: impl Fn(&CudaStream, &CudaStream)) -> usize {
    let (space, rounds) = (Space::primary(), OnCuda::rounds());
    let text = PTX.to_str().unwrap();
    let core = cuda_core::Context::new(0).unwrap();
    let slow_store =
        core.load_module_from_ptx_src(text).unwrap().load_function("slow_store").unwrap();
    let context = CudaContext::new(0).unwrap();
    // SAFETY: no memory of cudarc is used here, so it needs no tracking.
    unsafe { context.disable_event_tracking() };
    let module = context.load_module(cudarc::nvrtc::Ptx::from_src(text)).unwrap();
    let copy = module.load_function("copy").unwrap();
    let streams = Libraries::new(&core, &context, space);
    let ((of_core, first), (of_cudarc, second), (of_driver, third)) =
        (&streams.cuda_core, &streams.cudarc, &streams.driver);

    let (word, between, copies) = (space.words(1), space.words(1), space.words(rounds as usize));
    let write = |value: u32| {
        let (mut to, mut value, mut turns) = (word, value, 150_u32);
        let mut parameters =
            [(&raw mut to).cast(), (&raw mut value).cast(), (&raw mut turns).cast()];
        // SAFETY: the arguments match the kernel's parameters, and the memory is never freed.
        unsafe {
            cuda_core::launch_kernel_on_stream(
                &slow_store,
                (1, 1, 1),
                (1, 1, 1),
                0,
                of_core,
                &mut parameters,
            )
        }
        .unwrap();
    };
    let copy_word = || {
        let mut launch = of_cudarc.launch_builder(&copy);
        launch.arg(&between).arg(&word);
        // SAFETY: the arguments match the kernel's parameters, and the memory is never freed.
        unsafe { launch.launch(ONE) }.unwrap();
    };
    // The driver loads a kernel at its first launch, which may wait for running work.
    write(0);
    first.synchronize().unwrap();
    copy_word();
    second.synchronize().unwrap();

    for round in 0..rounds {
        write(round + 1);
        order(first, second);
        copy_word();
        order(second, third);
        space.copy(*of_driver, copies + u64::from(round) * 4, between);
        // The next write must follow both copies.
        first.wait_stream(second).unwrap();
        first.wait_stream(third).unwrap();
        if round % 256 == 255 {
            first.synchronize().unwrap();
        }
    }
    first.synchronize().unwrap();
    let seen = space.read(copies, rounds as usize);
    let wrong: Vec<_> = (1..).zip(seen).filter(|(wanted, seen)| wanted != seen).collect();
    if let Some(example) = wrong.first() {
        eprintln!("{} copies are wrong; the first (wanted, seen): {example:?}", wrong.len());
    }
    wrong.len()
}

/// A launch of one thread.
const ONE: LaunchConfig =
    LaunchConfig { grid_dim: (1, 1, 1), block_dim: (1, 1, 1), shared_mem_bytes: 0 };

#[track_caller]
fn always_right(order: impl Fn(&CudaStream, &CudaStream)) {
    let wrong = wrong(order);
    assert_eq!(wrong, 0, "number of early copies, of {}", OnCuda::rounds());
}

fn their_stream_lives_as_long_as_our_wrapper() {
    let theirs = cuda_core::Context::new(0).unwrap().new_stream().unwrap();
    let ours = CudaStream::from_cuda_core(&theirs).unwrap();
    let clone = ours.clone();
    assert_eq!(Arc::strong_count(&theirs), 2);
    drop(ours);
    assert_eq!(Arc::strong_count(&theirs), 2, "the clone keeps it");
    drop(clone);
    assert_eq!(Arc::strong_count(&theirs), 1);
}

/// A stream of the tests as an owner that can be counted.
struct Owner(Ptr);

// SAFETY: the handle is used through the driver, which accepts it on any thread.
unsafe impl Send for Owner {}
// SAFETY: the handle is used through the driver, which accepts it on any thread.
unsafe impl Sync for Owner {}
// SAFETY: the tests' streams are never destroyed.
unsafe impl StreamOwner<Cuda> for Owner {
    fn raw_stream(&self) -> RawStream<Cuda> {
        RawStream::from_ptr(self.0)
    }
}

fn our_owner_lives_as_long_as_their_stream() {
    let context = cuda_core::Context::new(0).unwrap();
    let space = Space::primary();
    let owner = Arc::new(Owner(space.stream(1, 0)));
    let ours = Cuda::stream_from_owner(Arc::clone(&owner), None).unwrap();
    let theirs = ours.to_cuda_core(&context).unwrap();
    drop(ours);
    assert_eq!(Arc::strong_count(&owner), 2, "cuda-core's stream keeps our clone");
    let gate = space.gate(owner.0);
    drop(theirs); // cuda-core keeps the clone until the work is done
    assert_eq!(Arc::strong_count(&owner), 2, "work is pending");
    OnCuda::open(&gate);
    // A thread of cuda-core drops it. A lost reference would hang here, and not pass.
    while Arc::strong_count(&owner) > 1 {
        std::thread::yield_now();
    }
}

fn their_event_lives_as_long_as_our_wrapper() {
    let context = cuda_core::Context::new(0).unwrap();
    let theirs = Arc::new(context.new_event_with_flags(None).unwrap());
    let event = CudaEvent::from_cuda_core(&theirs).unwrap();
    assert_eq!(event.raw().as_ptr(), theirs.cu_event().cast());
    assert_eq!((event.device(), Arc::strong_count(&theirs)), (device(), 2));
    let stream = own_stream();
    let gate = OnCuda::gate(stream.raw().as_ptr());
    stream.record(&event).unwrap();
    assert!(!theirs.query().unwrap(), "our record is behind the gate");
    OnCuda::open(&gate);
    theirs.synchronize().unwrap();
    assert!(event.query().unwrap());
    drop(event);
    assert_eq!(Arc::strong_count(&theirs), 1);
}

fn handles_and_devices_are_kept() {
    let context = cuda_core::Context::new(0).unwrap();
    let theirs = context.new_stream().unwrap();
    let ours = Cuda::stream_from_owner(Arc::new(CudaCoreStream::from(theirs.clone())), None);
    let ours = ours.unwrap();
    assert_eq!(ours.raw().as_ptr(), theirs.cu_stream().cast());
    assert_eq!(ours.device(), device());
    let again = ours.to_cuda_core(&context).unwrap();
    assert_eq!(again.cu_stream(), theirs.cu_stream());
    let default = CudaStream::from_cuda_core(&context.default_stream()).unwrap();
    assert_eq!(default, Cuda::default_stream(device()).unwrap());
}

fn another_context_is_rejected() {
    let primary = cuda_core::Context::new(0).unwrap();
    // SAFETY: the context is never destroyed.
    let second = unsafe {
        cuda_core::Context::borrow_raw(Space::second().context.cast(), primary.cu_device(), 0)
    };
    let ours = own_stream().to_cuda_core(&second);
    expect_kind("a stream of the primary context", ours, ErrorKind::InvalidHandle);
    let default = CudaStream::from_cuda_core(&second.default_stream());
    expect_kind("the default stream of another context", default, ErrorKind::InvalidHandle);
    let other = second.new_stream().unwrap();
    let ours = CudaStream::from_cuda_core(&other).unwrap();
    ours.synchronize().unwrap();
    assert_eq!(ours.to_cuda_core(&second).unwrap().cu_stream(), other.cu_stream());
    // SAFETY: the device is not the stream's, and nothing is called in the context.
    let elsewhere = unsafe { cuda_core::Context::borrow_raw(Space::second().context.cast(), 7, 7) };
    let ours = own_stream().to_cuda_core(&elsewhere);
    expect_kind("a context of another device", ours, ErrorKind::DeviceMismatch);
    // SAFETY: the handle is that of each thread's default stream.
    let per_thread =
        unsafe { cuda_core::Stream::borrow_raw(std::ptr::without_provenance_mut(2), &primary) };
    let ours = CudaStream::from_cuda_core(&per_thread);
    expect_kind("a thread's default stream", ours, ErrorKind::InvalidHandle);
}

fn thread_is_left_as_found() {
    let context = cuda_core::Context::new(0).unwrap();
    let theirs = context.new_stream().unwrap();
    let event = Arc::new(context.new_event().unwrap());
    OnCuda::leave();
    let before = OnCuda::thread_state();
    let ours = CudaStream::from_cuda_core(&theirs).unwrap();
    let wrapped = CudaEvent::from_cuda_core(&event).unwrap();
    let lent = own_stream().to_cuda_core(&context).unwrap();
    assert_eq!(OnCuda::thread_state(), before, "after wrapping");
    drop((theirs, event)); // ours are the last references
    drop((ours, wrapped));
    assert_eq!(OnCuda::thread_state(), before, "after the last references");
    drop(lent);
}
