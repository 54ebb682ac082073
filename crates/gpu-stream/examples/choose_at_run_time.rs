//! Chooses the backend at run time: `choose_at_run_time [host|cuda|hip]`, or the best one without a
//! name.
//!
//! `a_library` is written for any stream, and does not depend on the choice. It submits work by
//! `launch_host_func`, which every backend may have. For a kernel, `AnyStream::downcast_ref`
//! returns the stream with its vendor's type.

use std::sync::mpsc;

use gpu_stream::prelude::*;
use gpu_stream::{Any, AnyError, HostFunc, HostStream, available, backend};

type Words = mpsc::Sender<&'static str>;

/// Runs a library's work on its own stream `mine`, which it keeps, between the caller's work.
fn a_library<S: Stream>(caller: &S, mine: &StreamOf<S>, sender: Words) -> Result<(), ErrorOf<S>> {
    mine.wait_stream(caller)?;
    mine.launch_host_func(send("library", sender))?;
    caller.wait_stream(mine)
}

/// Returns work that sends `word`. In a program with kernels, this is a kernel.
fn send(word: &'static str, sender: Words) -> HostFunc {
    Box::new(move || sender.send(word).expect("main receives until all senders are dropped"))
}

/// Returns the first device of the named backend, or of the best one that is ready.
fn choose(name: Option<String>) -> Result<Device, Box<dyn std::error::Error>> {
    match name {
        None => Ok(Any::device(0)?),
        Some(name) => Ok(backend(name.parse()?)?.devices()?[0]),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for backend in available() {
        println!("{backend}");
    }

    let device = match choose(std::env::args().nth(1)) {
        Ok(device) => device,
        Err(error) => {
            eprintln!("cannot use this backend: {error}");
            std::process::exit(1);
        }
    };
    println!("chosen: {device}");

    let (sender, receiver) = mpsc::channel();
    run(device, sender)?;
    let order: Vec<_> = receiver.iter().collect();
    println!("order: {}", order.join(", "));
    assert_eq!(order, ["before", "library", "after"]);
    Ok(())
}

fn run(device: Device, sender: Words) -> Result<(), AnyError> {
    let stream = Any::new_stream(device, StreamOptions::new())?;
    if stream.downcast_ref::<HostStream>().is_some() {
        println!("this is a stream of CPU threads");
    }
    let kept = stream.new_stream(StreamOptions::new())?; // once, for all calls of the library
    stream.launch_host_func(send("before", sender.clone()))?;
    a_library(&stream, &kept, sender.clone())?;
    stream.launch_host_func(send("after", sender))?;
    stream.synchronize()
}
