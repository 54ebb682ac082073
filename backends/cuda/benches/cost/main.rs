//! The cost of our calls beside the driver calls that do the same: nanoseconds per call and the ratio, on
//! idle streams of one device, in one process.
//!
//! ```sh
//! cargo bench -p gpu-stream-cuda --bench cost [-- --json FILE]
//! ```
//!
//! Each row measures pairs of batches: one with the driver's calls and one with ours, one right after the
//! other, in alternating order. The ratio is the median of the pairs' ratios, with the quartiles beside it.
//! Streams are synchronized between the batches, so that no batch waits for a full queue.

#[path = "../../tests/support/mod.rs"]
mod support;

mod calls;
mod measure;
mod table;
mod threads;

use std::process::ExitCode;

use gpu_stream_core::Backend;
use gpu_stream_cuda::Cuda;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let json = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => None,
        (Some("--json"), Some(file)) => Some(file),
        (Some(other), _) => {
            eprintln!("{other}: not understood; the only option is --json FILE");
            return ExitCode::FAILURE;
        }
    };
    let info = match Cuda::probe() {
        Ok(info) => info,
        Err(error) => {
            println!("skipped: {error}");
            return ExitCode::SUCCESS;
        }
    };
    let device = info.devices.first().map(|device| device.name.clone()).unwrap_or_default();
    let mut table = table::Table::new(format!("{device}, CUDA {}", info.version));
    calls::measure(&mut table);
    threads::measure(&mut table);
    match json.map(|file| std::fs::write(&file, table.to_json()).map_err(|error| (file, error))) {
        Some(Err((file, error))) => {
            eprintln!("{file}: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
