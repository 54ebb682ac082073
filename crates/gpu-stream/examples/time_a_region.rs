//! Takes the time of a region of a stream's work, with two events: the stream's own time, and not
//! the thread's, which goes on at once.
//!
//! `time` is for any backend, and so is all else here: work goes through `launch_host_func`. In a
//! program with kernels, only the launching part changes: the closure of `run`.

use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Instant;

use gpu_stream::DefaultBackend;
use gpu_stream::prelude::*;

/// The events around what `launch` submits to `stream`. Does not block.
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
            eprintln!("error: {error}"); // no driver, say: the text names what was tried
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

    end.synchronize()?; // elapsed time needs both events complete; before, it is an error that says so
    let milliseconds = end.elapsed_since(&start)?;
    let (sum, inside) = receive.recv()?;

    println!("the sum of 5,000,000 square roots on {device}: {sum:.3e}, in {milliseconds:.3} ms");
    // The region holds the work, so it took at least as long. (One in a hundred is for the clocks,
    // which are two if the stream is a GPU's, and for the rounding of the `f32`.)
    assert!(f64::from(milliseconds) / 1e3 >= inside.as_secs_f64() * 0.99);
    Ok(())
}
