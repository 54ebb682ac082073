//! The runtime links the commands of a stream into a chain, and releases it recursively. A chain of tens of
//! thousands overflows the stack, unless the stream's end is asked for in a way that cuts it.

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_core::{Backend, Stream, StreamOptions};
use gpu_stream_hip::{Hip, HipStream};
use support::bare::synchronize;
use support::device;

/// How many host functions are launched between two questions.
const BATCH: usize = 100;

const CHILDREN: [support::Case; 2] = [
    ("in a child: query", || launch(|stream| while !stream.query().unwrap() {})),
    ("in a child: synchronize", || launch(|stream| stream.synchronize().unwrap())),
];

fn main() -> ExitCode {
    // A thread of the runtime releases commands. On the simulated machine it is one of Rust's.
    // SAFETY: no other thread is running yet.
    unsafe { std::env::set_var("RUST_MIN_STACK", STACK.to_string()) };
    if support::run_as_child(&CHILDREN) {
        return ExitCode::SUCCESS;
    }
    support::main(&[
        ("query_does_not_let_commands_pile_up", || support::run_child(CHILDREN[0].0)),
        ("synchronize_does_not_let_commands_pile_up", || support::run_child(CHILDREN[1].0)),
    ])
}

/// The size of each thread's stack, on which the recursion does not end well.
const STACK: usize = 256 << 10;

/// How many host functions are launched.
const COUNT: usize = 20_000;

/// Launches host functions in batches. `wait` finds each batch done, so that it records no event.
fn launch(wait: fn(&HipStream)) {
    // The thread that synchronizes in the end releases commands, too.
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || launch_here(wait));
    thread.expect("a thread").join().expect("the end of the thread");
}

fn launch_here(wait: fn(&HipStream)) {
    let stream = Hip::new_stream(device(), StreamOptions::new()).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    for index in 1..=COUNT {
        let runs = Arc::clone(&ran);
        let func = move || _ = runs.fetch_add(1, Ordering::SeqCst);
        stream.launch_host_func(Box::new(func)).unwrap();
        if index % BATCH == 0 {
            while ran.load(Ordering::SeqCst) < index {
                std::thread::yield_now();
            }
            wait(&stream);
        }
    }
    // The runtime releases what is left of the chain.
    synchronize(stream.raw().as_ptr());
}
