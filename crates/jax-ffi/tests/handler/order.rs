//! The order of the handler's work with that of the execution stream, shown by gates and data.

use std::ffi::{c_int, c_void};

use gpu_stream::prelude::*;
use gpu_stream::{Cuda, CudaStream, RawStream};
use gpu_stream_jax_ffi::branches;
use gpu_stream_test_support::cuda::{self, Space, driver, ok};
use gpu_stream_test_support::{Case, cases, skip};

use crate::fake::{Call, FakeArray, table};

pub const CASES: &[Case] = &cases![
    work_is_between_the_earlier_and_the_later_work,
    later_work_waits_for_the_handlers_streams,
    without_the_fork_the_result_is_wrong,
    without_the_join_the_later_work_is_wrong,
    every_version_of_the_table_works,
    shapes_of_any_rank_and_no_elements,
    each_device_has_streams_of_its_own,
    threads_share_the_streams_of_a_device,
    a_captured_stream_gets_the_work_into_its_graph,
    the_thread_is_left_as_found,
];

/// The words of an array. Odd, so that the halves differ.
const WORDS: usize = 1001;

/// An execution stream, and the arrays of a call.
pub struct Execution {
    pub space: &'static Space,
    pub stream: *mut c_void,
    pub from: u64,
    pub to: u64,
    /// A copy of the result that is made by the execution stream's later work: of its first and last word.
    seen: u64,
}

impl Execution {
    pub fn new() -> Self {
        let space = Space::primary();
        let [from, to, seen] = [WORDS, WORDS, 2].map(|count| space.words(count));
        let execution = Execution { space, stream: space.stream(1, 0), from, to, seen };
        // The first call creates the handler's streams, and lets the driver load what it needs. Either may wait for all work
        // of the device, and so for a gate.
        let mut first = execution.call();
        first.attributes = vec![("clears", 1)];
        first.run().expect("the first call");
        execution.space.synchronize(execution.stream);
        execution
    }

    /// Returns the call of the handler.
    pub fn call(&self) -> Call {
        let shape = [WORDS as i64];
        let (from, to) = (FakeArray::words(self.from, &shape), FakeArray::words(self.to, &shape));
        Call::new(self.stream, from, to)
    }

    /// Submits the store of `value` into the first and the last word of the argument.
    pub fn write(&self, value: u32) {
        for word in [0, WORDS - 1] {
            self.space.slow_store(self.stream, self.from + 4 * word as u64, value, 1);
        }
    }

    /// Submits the later work.
    fn look(&self) {
        for (place, word) in [0, WORDS - 1].into_iter().enumerate() {
            let (to, from) = (self.seen + 4 * place as u64, self.to + 4 * word as u64);
            self.space.copy(self.stream, to, from);
        }
    }

    /// Waits for the execution stream, and returns what the later work has seen.
    fn seen(&self) -> Vec<u32> {
        self.space.synchronize(self.stream);
        self.space.read(self.seen, 2)
    }

    /// Returns a wrapper of the execution stream.
    pub fn wrapped(&self) -> CudaStream {
        wrap(self.stream)
    }

    /// Returns the handler's streams on this device.
    pub fn own(&self) -> [CudaStream; 2] {
        branches::of(&self.wrapped()).expect("the handler's streams")
    }
}

fn wrap(stream: *mut c_void) -> CudaStream {
    // SAFETY: the tests' streams are never destroyed.
    unsafe { Cuda::stream_from_raw(RawStream::from_ptr(stream), None) }.expect("a wrapper")
}

pub fn is_done(stream: &CudaStream) -> bool {
    stream.query().expect("a query")
}

fn work_is_between_the_earlier_and_the_later_work() {
    let execution = Execution::new();
    let own = execution.own();
    for value in 1..=20 {
        let gate = execution.space.gate(execution.stream);
        execution.write(value);
        execution.call().run().expect("the call");
        execution.look();
        assert!(!own.iter().any(is_done), "the handler's streams did not wait");
        gate.open();
        assert_eq!(execution.seen(), [value; 2]);
    }
}

fn later_work_waits_for_the_handlers_streams() {
    let execution = Execution::new();
    let own = execution.own();
    for value in 1..=20 {
        // One of the two is held, in turn.
        let gate = execution.space.gate(own[value as usize % 2].raw().as_ptr());
        execution.write(value);
        execution.call().run().expect("the call");
        execution.look();
        assert!(!is_done(&execution.wrapped()), "XLA's stream did not wait");
        gate.open();
        assert_eq!(execution.seen(), [value; 2]);
    }
}

fn without_the_fork_the_result_is_wrong() {
    let execution = Execution::new();
    let gate = execution.space.gate(execution.stream);
    execution.write(7);
    let mut call = execution.call();
    call.attributes = vec![("without", 1)];
    call.run().expect("the call");
    branches::synchronize().expect("the handler's streams do not wait for the gate");
    execution.look();
    gate.open();
    assert_eq!(execution.seen(), [0; 2], "this test cannot tell");
}

fn without_the_join_the_later_work_is_wrong() {
    let execution = Execution::new();
    let own = execution.own();
    let gates = own.each_ref().map(|branch| execution.space.gate(branch.raw().as_ptr()));
    execution.write(7);
    let mut call = execution.call();
    call.attributes = vec![("without", 2)];
    call.run().expect("the call");
    execution.look();
    assert_eq!(execution.seen(), [0; 2], "this test cannot tell");
    drop(gates);
    branches::synchronize().expect("the handler's streams");
}

fn every_version_of_the_table_works() {
    let execution = Execution::new();
    for minor in [1, 3, 4, 9] {
        let value = 10 + minor as u32;
        execution.write(value);
        let mut call = execution.call();
        call.table = Some(table(minor));
        call.attributes = vec![("clears", 3), ("without", 0)];
        call.run().expect("the call");
        execution.look();
        assert_eq!(execution.seen(), [value; 2], "version 0.{minor}");
    }
}

fn shapes_of_any_rank_and_no_elements() {
    let execution = Execution::new();
    execution.write(5);
    for (dims, is_copied) in [(&[7_i64, 11, 13][..], true), (&[0, 5], false), (&[], false)] {
        execution.space.synchronize(execution.stream);
        execution.space.clear(execution.to, WORDS);
        let mut call = execution.call();
        (call.args[0].dims, call.rets[0].dims) = (dims.into(), dims.into());
        call.run().expect("the call");
        execution.look();
        let last = if is_copied { 5 } else { 0 };
        let first = if dims.first() == Some(&0) { 0 } else { 5 };
        assert_eq!(execution.seen(), [first, last], "{dims:?}");
    }
}

fn each_device_has_streams_of_its_own() {
    if Cuda::device(1).is_err() {
        skip("one device");
    }
    let here = Execution::new();
    let context = cuda::retain_primary(1).expect("the context of device 1");
    let there = cuda::new_stream(context, 1, 0);
    let words = |value: u32| {
        let (_current, mut address) = (cuda::enter(context), 0);
        // SAFETY: the out-pointer is valid, and the memory has so many words.
        unsafe {
            ok("mem_alloc", (driver().mem_alloc)(&mut address, WORDS * 4));
            ok("memset", (driver().memset)(address, value, WORDS));
            ok("ctx_synchronize", (driver().ctx_synchronize)());
        }
        address
    };
    let (from, to) = (words(9), words(0));
    let arrays = [from, to].map(|address| FakeArray::words(address, &[WORDS as i64]));
    let [from, to] = arrays;
    let on_second = Call::new(there, from, to.clone());
    for value in 1..=5 {
        here.write(value);
        here.call().run().expect("the call on device 0");
        on_second.run().expect("the call on device 1");
        here.look();
        assert_eq!(here.seen(), [value; 2]);
    }
    let (first, second) = (here.wrapped(), wrap(there));
    assert_eq!((first.device().ordinal(), second.device().ordinal()), (0, 1));
    second.synchronize().expect("device 1");
    for stream in [first, second] {
        let own = branches::of(&stream).expect("the handler's streams");
        assert_eq!(own.map(|branch| branch.device()), [stream.device(); 2]);
    }
    let (_current, mut seen) = (cuda::enter(context), vec![0_u32; WORDS]);
    // SAFETY: the buffer has room for the array.
    ok("copy_to_host", unsafe {
        (driver().copy_to_host)(seen.as_mut_ptr().cast(), to.address, WORDS * 4)
    });
    assert_eq!(seen, [9; WORDS]);
}

fn threads_share_the_streams_of_a_device() {
    Space::primary(); // loads the kernels, which waits for running work
    let work = |thread: u32| {
        move || {
            let execution = Execution::new();
            for round in 1..=50 {
                let value = thread * 100 + round;
                execution.write(value);
                execution.call().run().expect("the call");
                execution.look();
                assert_eq!(execution.seen(), [value; 2]);
            }
        }
    };
    let threads: Vec<_> = (0..4).map(|thread| std::thread::spawn(work(thread))).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
}

fn a_captured_stream_gets_the_work_into_its_graph() {
    const MODES: [c_int; 3] = [0, 1, 2];
    let (execution, other) = (Execution::new(), Execution::new());
    for mode in MODES {
        cuda::begin_capture(execution.stream, mode);
        let outcome = execution.call().run();
        // A call for a stream that is not captured, on the same device.
        other.write(50 + mode as u32);
        let outcome = outcome.and_then(|()| other.call().run());
        other.look();
        execution.look();
        let graph = cuda::end_capture(execution.stream);
        outcome.expect("the calls");
        assert_eq!(other.seen(), [50 + mode as u32; 2], "mode {mode}");
        let graph = graph.expect("a graph");
        for value in [3, 4] {
            execution.write(value + mode as u32);
            let _current = cuda::enter(execution.space.context);
            graph.launch(execution.stream).expect("a launch");
            assert_eq!(execution.seen(), [value + mode as u32; 2], "mode {mode}");
        }
    }
}

fn the_thread_is_left_as_found() {
    let execution = Execution::new();
    for context in [std::ptr::null_mut(), cuda::new_context(), execution.space.context] {
        cuda::set_current(context);
        let before = cuda::thread_state();
        execution.call().run().expect("the call");
        assert_eq!(cuda::thread_state(), before);
    }
    execution.space.synchronize(execution.stream);
}
