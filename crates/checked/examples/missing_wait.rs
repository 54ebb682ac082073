//! A library leaves out a wait, and the check finds it.
//!
//! `cargo run -p gpu-stream-checked --example missing_wait -- error.svg` prints the error.
//! It writes a picture of it to the file.

use std::error::Error;

use gpu_stream_checked::{Checked, Finding};
use gpu_stream_core::{Backend, ErrorOf, Region, Stream, StreamOptions};
use gpu_stream_host::Host;

type B = Checked<Host>;

/// Counts on a stream of its own.
fn count<S: Stream>(ours: &S, side: &S, input: &Region, counts: &Region) -> Result<(), ErrorOf<S>> {
    side.wait_stream(ours)?;
    side.reads(input);
    side.writes(counts);
    // … launch the kernel on `side` …
    Ok(()) // without `ours.wait_stream(side)?`
}

/// Sums the counts on the caller's stream.
fn sum<S: Stream>(ours: &S, side: &S, input: &Region) -> Result<(), ErrorOf<S>> {
    let counts = Region::new("counts", 0x2000, 256);
    count(ours, side, input, &counts)?;
    ours.reads(&counts);
    // … launch the kernel on `ours` …
    Ok(())
}

/// Runs the library under the check. Returns the first error that is found.
pub fn first_error() -> Result<Finding, Box<dyn Error>> {
    let device = B::device(0)?;
    let stream = B::new_stream(device, StreamOptions::new())?;
    let side = B::new_stream(device, StreamOptions::new())?;
    let input = Region::new("input", 0x1000, 4096);
    let (result, report) = B::scope(|_| {
        stream.writes(&input);
        sum(&stream, &side, &input)
    });
    result?;
    Ok(report.errors().next().ok_or("the check found no error")?.clone())
}

fn main() -> Result<(), Box<dyn Error>> {
    let error = first_error()?;
    println!("{error}");
    if let Some(path) = std::env::args_os().nth(1) {
        std::fs::write(path, error.to_svg())?;
    }
    Ok(())
}
