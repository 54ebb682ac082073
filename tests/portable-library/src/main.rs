//! A program that chooses the backend at run time, and uses the portable library through `Any`.
//!
//! Usage: `gpu-stream-portable-library [--backend NAME]`, or `--api`, which prints the items of
//! gpu-stream in this build.

mod api;

use std::error::Error;
use std::process::ExitCode;

use gpu_stream::prelude::*;
use gpu_stream::{Any, AnyStream, available, backend};
use gpu_stream_portable_library::{Numbers, Pipeline, prefix_sum};

const USAGE: &str = "usage: gpu-stream-portable-library [--backend host|cuda|hip|opencl] | --api";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => run(None),
        ["--backend", name] => run(Some(name)),
        ["--api"] => {
            print_api();
            Ok(())
        }
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Computes the sums of the squares, on the named backend or on the best one that is ready.
fn run(name: Option<&str>) -> Result<(), Box<dyn Error>> {
    let device = match name {
        Some(name) => backend(name.parse()?)?.devices()?[0],
        None => Any::device(0)?,
    };
    let caller: AnyStream = Any::new_stream(device, StreamOptions::new())?;
    let pipeline = Pipeline::new(&caller, 4)?;
    let numbers = Numbers::new(&(1..=1000).collect::<Vec<_>>(), 4);

    // The caller's own work, before and after the library's work.
    let squares = numbers.clone();
    caller.launch_host_func(Box::new(move || squares.change(|value| value * value)))?;
    prefix_sum(&pipeline, &caller, &numbers)?;
    let halves = numbers.clone();
    caller.launch_host_func(Box::new(move || halves.change(|value| value / 2)))?;
    caller.synchronize()?;

    let last = numbers.to_vec()[999];
    println!("half of the sum of the first 1000 squares, on {device}: {last}");
    if last != 1000 * 1001 * 2001 / 6 / 2 {
        return Err("the sum is wrong".into());
    }
    Ok(())
}

/// Prints one line for each backend and item, so that the lines of two builds can be compared.
fn print_api() {
    for item in available() {
        println!("known {}", item.backend);
        if item.is_compiled() {
            println!("compiled {}", item.backend);
        }
    }
    for item in api::ITEMS {
        println!("item {item}");
    }
}
