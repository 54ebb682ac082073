//! The command of the hammer. See the README.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use gpu_stream_conformance::fixtures::HostFixture;
use gpu_stream_stress::{Limits, Plan, Report, Sample, run};

/// Many threads on shared and own streams of a backend. Ends with 1 if anything was found, with 2 if
/// it cannot run, with 3 if it hangs.
#[derive(Parser)]
struct Arguments {
    /// `run` looks for what is wrong; `soak` also for what grows.
    what: What,
    #[arg(long, value_enum, default_value = "host")]
    backend: Backend,
    /// Calls that all threads make together, as 1000000 or 1e6.
    #[arg(long, value_parser = number, default_value = "1e6")]
    operations: u64,
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Do only what has this in its name, as `query`; may be given several times.
    #[arg(long)]
    only: Vec<String>,
    /// Seconds without any progress after which the process is ended.
    #[arg(long, default_value_t = 180)]
    limit: u64,
    /// How many MiB of resident memory may come after the first part of a soak, or `any`, where the
    /// vendor's library is known to keep more and more.
    #[arg(long, value_parser = mebibytes, default_value = "4")]
    resident: u64,
    /// Where to write the report as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where to write the report as Markdown.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// The defect to plant.
    #[cfg(feature = "plant")]
    #[arg(long, value_enum)]
    plant: Option<gpu_stream_stress::seeded_bug::SeededBug>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
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
}

/// `1000000` or `1e6`.
fn number(text: &str) -> Result<u64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
    let fits = (1.0..=1e15).contains(&number) && number.fract() == 0.0;
    if fits { Ok(number as u64) } else { Err(format!("{text} is no count of calls")) }
}

/// Bytes of a number of MiB, or of `any`.
fn mebibytes(text: &str) -> Result<u64, String> {
    match text {
        "any" => Ok(u64::MAX),
        _ => Ok(text.parse::<u32>().map_err(|_| format!("{text} is no number of MiB"))?.into())
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
    #[cfg(feature = "plant")]
    {
        plan.plant = arguments.plant;
    }
    let report = match start(arguments.backend, &plan) {
        Ok(report) => report,
        Err(reason) => {
            eprintln!("it cannot run here: {reason}");
            return ExitCode::from(2);
        }
    };
    let mut findings = report.findings.clone();
    if arguments.what == What::Soak {
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
            findings.push(format!("{} cannot be written: {error}", path.display()));
        }
    }
    for finding in &findings {
        eprintln!("FOUND: {finding}");
    }
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn start(backend: Backend, plan: &Plan) -> Result<Report, String> {
    match backend {
        Backend::Host => Ok(run(HostFixture::new(), plan, progress)),
        #[cfg(feature = "cuda")]
        Backend::Cuda => {
            use gpu_stream_conformance::fixtures::{CudaFixture, ask_for_cuda_queues};
            // SAFETY: no other thread is running yet.
            unsafe { ask_for_cuda_queues() };
            if driver_sim::no_driver_here() {
                // SAFETY: as above.
                unsafe { driver_sim::install(1) }?;
            }
            Ok(run(CudaFixture::new()?, plan, progress))
        }
        #[cfg(feature = "hip")]
        Backend::Hip => {
            use gpu_stream_conformance::fixtures::{HipFixture, ask_for_hip_queues};
            // SAFETY: no other thread is running yet.
            unsafe { ask_for_hip_queues() };
            // AMD's kernel driver, without which there is no AMD GPU.
            if !std::path::Path::new("/dev/kfd").exists()
                && let Err(reason) = hsa_sim::preload()
            {
                // Whatever HIP then says is the outcome: it may be HIP's NVIDIA platform.
                eprintln!("note: no AMD GPU, and no simulation of one: {reason}");
            }
            Ok(run(HipFixture::new()?, plan, progress))
        }
    }
}

fn progress(sample: &Sample) {
    let resident = sample.resident_bytes.unwrap_or(0) / 1024;
    eprintln!(
        "part {}: {} calls, {:.0} s, heap {} bytes in {} blocks, resident {resident} KiB",
        sample.part, sample.operations, sample.seconds, sample.heap_bytes, sample.heap_blocks
    );
}
