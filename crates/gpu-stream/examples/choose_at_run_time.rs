//! Chooses the backend while the program runs: `choose_at_run_time [host|cuda|hip]`, or the best
//! one without a name.
//!
//! `a_library` is written for any stream, and knows nothing of the choice. Work goes through
//! `launch_host_func`, which every backend may have; for a kernel, `AnyStream::downcast_ref` gives
//! the stream as its vendor's type.

use std::sync::mpsc;

use gpu_stream::prelude::*;
use gpu_stream::{Any, AnyError, HostFunc, HostStream, available, backend};

type Words = mpsc::Sender<&'static str>;

/// What some library does with its caller's stream and one of its own, which it keeps.
fn a_library<S: Stream>(caller: &S, mine: &StreamOf<S>, said: Words) -> Result<(), ErrorOf<S>> {
    mine.wait_stream(caller)?;
    mine.launch_host_func(say("library", said))?;
    caller.wait_stream(mine)
}

/// The launching part: work that a stream can carry.
fn say(word: &'static str, said: Words) -> HostFunc {
    Box::new(move || said.send(word).expect("main listens until all have spoken"))
}

/// The first device of the backend that was asked for, or of the best one that is ready.
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

    let (said, heard) = mpsc::channel();
    run(device, said)?;
    let order: Vec<_> = heard.iter().collect();
    println!("order: {}", order.join(", "));
    assert_eq!(order, ["before", "library", "after"]);
    Ok(())
}

fn run(device: Device, said: Words) -> Result<(), AnyError> {
    let stream = Any::new_stream(device, StreamOptions::new())?;
    if stream.downcast_ref::<HostStream>().is_some() {
        println!("this is a stream of CPU threads");
    }
    let kept = stream.new_stream(StreamOptions::new())?; // once, for all calls of the library
    stream.launch_host_func(say("before", said.clone()))?;
    a_library(&stream, &kept, said.clone())?;
    stream.launch_host_func(say("after", said))?;
    stream.synchronize()
}
