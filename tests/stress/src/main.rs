//! Command line of the stress test. See the README.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use gpu_stream_conformance::fixtures::HostFixture;
use gpu_stream_stress::{Limits, Plan, Report, Sample, run};

/// Stress-tests a backend: many threads on shared and private streams.
///
/// Exit status: 1 if there are findings, 2 if the backend cannot run here, 3 after a hang.
#[derive(Parser)]
struct Arguments {
    /// `run` checks behaviour; `soak` also checks that memory does not grow.
    mode: Mode,
    /// The backend to test.
    #[arg(long, value_enum, default_value = "host")]
    backend: Backend,
    /// Number of calls of all threads together, such as 1000000 or 1e6.
    #[arg(long, value_parser = parse_count, default_value = "1e6")]
    operations: u64,
    /// Number of threads.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Seed of the random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the operations whose name contains this text, such as `query`. Can be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Seconds without any progress after which the process exits with status 3.
    #[arg(long, default_value_t = 180)]
    limit: u64,
    /// Allowed growth of resident memory after the first part of a soak, in MiB. `any` if the vendor's
    /// library is known to retain memory.
    #[arg(long, value_parser = parse_mebibytes, default_value = "4")]
    resident: u64,
    /// File for the report in JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// File for the report in Markdown.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// The bug to seed.
    #[cfg(feature = "seeded-bugs")]
    #[arg(long, value_enum)]
    seeded_bug: Option<gpu_stream_stress::seeded_bug::SeededBug>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Run,
    Soak,
}

#[derive(Clone, Copy, ValueEnum)]
enum Backend {
    Host,
    #[cfg(feature = "cuda")]
    Cuda,
    #[cfg(feature = "hip")]
    Hip,
    #[cfg(feature = "opencl")]
    #[value(name = "opencl")]
    OpenCl,
}

/// Parses a number of calls, such as `1000000` or `1e6`.
fn parse_count(text: &str) -> Result<u64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text} is not a number"))?;
    let fits = (1.0..=1e15).contains(&number) && number.fract() == 0.0;
    if fits {
        Ok(number as u64)
    } else {
        Err(format!("{text} is not a number of calls; pass an integer from 1 to 1e15"))
    }
}

/// Parses a number of MiB, or `any`, to bytes.
fn parse_mebibytes(text: &str) -> Result<u64, String> {
    match text {
        "any" => Ok(u64::MAX),
        _ => Ok(text
            .parse::<u32>()
            .map_err(|_| format!("{text} is not a number of MiB; pass an integer or `any`"))?
            .into())
        .map(|count: u64| count << 20),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut plan = Plan::new(arguments.operations);
    plan.threads = usize::from(arguments.threads);
    plan.seed = arguments.seed;
    plan.only = arguments.only;
    plan.limit = Duration::from_secs(arguments.limit);
    #[cfg(feature = "seeded-bugs")]
    {
        plan.seeded_bug = arguments.seeded_bug;
    }
    let report = match start(arguments.backend, &plan) {
        Ok(report) => report,
        Err(reason) => {
            eprintln!("cannot run here: {reason}");
            return ExitCode::from(2);
        }
    };
    let mut findings = report.findings.clone();
    if arguments.mode == Mode::Soak {
        findings.extend(
            report.growth(Limits { resident_bytes: arguments.resident, ..Limits::default() }),
        );
    }
    print!("{}", report.markdown());
    let files = [(arguments.json, report.json()), (arguments.markdown, report.markdown())];
    for (path, text) in files {
        if let Some(path) = path
            && let Err(error) = std::fs::write(&path, text)
        {
            findings.push(format!("{} could not be written: {error}", path.display()));
        }
    }
    for finding in &findings {
        eprintln!("FOUND: {finding}");
    }
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the plan on the backend. Returns the reason if the backend cannot run here.
fn start(backend: Backend, plan: &Plan) -> Result<Report, String> {
    match backend {
        Backend::Host => Ok(run(HostFixture::new(), plan, progress)),
        #[cfg(feature = "cuda")]
        Backend::Cuda => {
            use gpu_stream_conformance::fixtures::{CudaFixture, ask_for_cuda_queues};
            // SAFETY: no other thread is running yet.
            unsafe { ask_for_cuda_queues() };
            if cuda_sim::no_driver_here() {
                // SAFETY: no other thread is running yet.
                unsafe { cuda_sim::install(1) }?;
            }
            Ok(run(CudaFixture::new()?, plan, progress))
        }
        #[cfg(feature = "hip")]
        Backend::Hip => {
            use gpu_stream_conformance::fixtures::{HipFixture, ask_for_hip_queues};
            // SAFETY: no other thread is running yet.
            unsafe { ask_for_hip_queues() };
            // The device node of AMD's kernel driver; without it there is no AMD GPU.
            if !std::path::Path::new("/dev/kfd").exists()
                && let Err(reason) = hsa_sim::preload()
            {
                // Continue: this may be HIP's NVIDIA platform. Otherwise HIP reports the error.
                eprintln!("note: no AMD GPU and no simulated one: {reason}");
            }
            Ok(run(HipFixture::new()?, plan, progress))
        }
        #[cfg(feature = "opencl")]
        Backend::OpenCl => {
            use gpu_stream_conformance::fixtures::OpenClFixture;
            let fixture = OpenClFixture::new().map_err(|error| error.to_string())?;
            Ok(run(fixture, plan, progress))
        }
    }
}

/// Prints one line for a sample.
fn progress(sample: &Sample) {
    let resident = sample.resident_bytes.unwrap_or(0) / 1024;
    eprintln!(
        "part {}: {} calls, {:.0} s, heap {} bytes in {} blocks, resident {resident} KiB",
        sample.part, sample.operations, sample.seconds, sample.heap_bytes, sample.heap_blocks
    );
}
