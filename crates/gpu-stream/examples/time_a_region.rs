//! Measures the time of a region of a stream's work, with two events. It is the stream's time and
//! not the thread's, which continues at once.
//!
//! Everything here is for any backend, since it submits work by `launch_host_func`. In a program
//! with kernels, only the closure of `run` changes.

use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Instant;

use gpu_stream::DefaultBackend;
use gpu_stream::prelude::*;

/// Returns events recorded before and after what `launch` submits to `stream`. Does not block.
fn time<S: Stream>(
    stream: &S,
    launch: impl FnOnce(&S) -> Result<(), ErrorOf<S>>,
) -> Result<(EventOf<S>, EventOf<S>), ErrorOf<S>> {
    let new_event = || stream.new_event(EventOptions::timed()); // of the stream's own context
    let (start, end) = (new_event()?, new_event()?);
    stream.record(&start)?;
    launch(stream)?;
    stream.record(&end)?;
    Ok((start, end))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}"); // for example no driver: the text names what was tried
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let device = DefaultBackend::device(0)?;
    let stream = DefaultBackend::new_stream(device, StreamOptions::new())?;

    let (send, receive) = mpsc::channel();
    let (start, end) = time(&stream, |stream| {
        stream.launch_host_func(Box::new(move || {
            let begin = Instant::now();
            let sum: f64 = (1..=5_000_000).map(|n| f64::from(n).sqrt()).sum();
            let _ = send.send((sum, begin.elapsed()));
        }))
    })?;

    end.synchronize()?; // elapsed time is an error until both events are complete
    let milliseconds = end.elapsed_since(&start)?;
    let (sum, inside) = receive.recv()?;

    println!("the sum of 5,000,000 square roots on {device}: {sum:.3e}, in {milliseconds:.3} ms");
    // The region contains the work, so it took at least as long. The tolerance of 1 % covers the
    // rounding of the `f32`, and the two clocks if the stream belongs to a GPU.
    assert!(f64::from(milliseconds) / 1e3 >= inside.as_secs_f64() * 0.99);
    Ok(())
}
