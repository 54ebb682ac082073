//! Test target of cargo that runs the corpus and random programs: [`main`].

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gpu_stream_conformance::{Fixture, Outcome, Required, Verdict};
use gpu_stream_core::{Backend, BackendKind};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::campaign::{self, Campaign};
use crate::corpus;
use crate::run::{Counts, Options, Runner};

/// Number of runs of each program of the corpus.
const CORPUS_RUNS: usize = 20;

/// Runs the corpus and random programs on the fixture, and prints what was checked. Blocks until all have run.
///
/// `programs` is the default number of random programs. Without a fixture, all tests are skipped with that reason,
/// or fail if `GPU_STREAM_REQUIRE` names the backend.
pub fn main<F: Fixture, E: Display>(
    fixture: Result<F, E>,
    programs: u64,
    options: Options,
) -> ExitCode {
    let backend = F::Backend::KIND;
    let Some((required, campaign)) = settings(backend, programs) else {
        return ExitCode::FAILURE;
    };
    let mut arguments = Arguments::from_args();
    // The tests share one runner.
    arguments.test_threads = Some(1);
    let fixture = fixture.map_err(|reason| Verdict::skipped(reason));
    let runner = fixture.and_then(|fixture| Runner::new(Arc::new(fixture), options));
    let runner = Arc::new(Mutex::new(runner));
    let on_runner = move |body: &dyn Fn(&mut Runner<F>) -> Outcome| {
        let mut runner = runner.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *runner {
            Ok(runner) => body(runner),
            Err(verdict) => Err(verdict.clone()),
        }
    };
    let mut trials = Vec::new();
    for (name, text) in corpus::ALL {
        let (on_runner, required) = (on_runner.clone(), required.clone());
        trials.push(Trial::ignorable_test(format!("corpus::{name}"), move || {
            let outcome = on_runner(&|runner| campaign::replay(runner, text, CORPUS_RUNS));
            finish(backend, &required, outcome)
        }));
    }
    trials.push(Trial::ignorable_test("random::programs", move || {
        let outcome = on_runner(&|runner| random(runner, &campaign, &options));
        finish(backend, &required, outcome)
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Returns what the environment asks for. Prints what is wrong with it, and returns `None`.
pub(crate) fn settings(backend: BackendKind, programs: u64) -> Option<(Required, Campaign)> {
    match (Required::from_env(&[backend]), Campaign::from_env(programs)) {
        (Ok(required), Ok(campaign)) => Some((required, campaign)),
        (required, campaign) => {
            let errors =
                [required.err().map(|e| e.to_string()), campaign.err().map(|e| e.to_string())];
            errors.into_iter().flatten().for_each(|error| eprintln!("error: {error}"));
            None
        }
    }
}

/// Runs the random programs.
fn random<F: Fixture>(runner: &mut Runner<F>, campaign: &Campaign, options: &Options) -> Outcome {
    let start = Instant::now();
    let counts = campaign::run(runner, campaign, options)
        .map_err(|caught| Verdict::Failed(format!("\n{caught}")))?;
    let backend = F::Backend::KIND;
    println!("{backend}: {} in {:.1} s", summary(campaign, &counts), start.elapsed().as_secs_f32());
    let unchecked = unchecked(&counts);
    // A few programs need not contain all kinds of checks.
    if campaign.programs >= 1_000 && !unchecked.is_empty() {
        return Err(Verdict::Failed(format!("these checks never ran: {}", unchecked.join(", "))));
    }
    Ok(())
}

/// Formats what a campaign has checked.
pub fn summary(campaign: &Campaign, counts: &Counts) -> String {
    format!(
        "{} programs of seed {} from number {} ({} with threads, {} with two devices), {} \
         statements, {} tasks; {} reads of the new number and {} of the old one, {} numbers blocked \
         by a gate, {} queries that must be false and {} that must be true, {} synchronize calls \
         that returned while a gate was closed",
        counts.programs,
        campaign.seed,
        campaign.first,
        counts.with_threads,
        counts.with_devices,
        counts.statements,
        counts.tasks,
        counts.read_new,
        counts.read_old,
        counts.held,
        counts.must_be_false,
        counts.must_be_true,
        counts.beside_a_gate
    )
}

/// Returns the checks that never ran. Programs that check nothing would pass too.
fn unchecked(counts: &Counts) -> Vec<&'static str> {
    let all = [
        ("programs with threads", counts.with_threads),
        ("reads of the new number", counts.read_new),
        ("reads of the old number", counts.read_old),
        ("numbers blocked by a gate", counts.held),
        ("queries that must be false", counts.must_be_false),
        ("queries that must be true", counts.must_be_true),
        ("synchronize while a gate is closed", counts.beside_a_gate),
    ];
    all.into_iter().filter(|(_, count)| *count == 0).map(|(what, _)| what).collect()
}

/// Converts an outcome to a test result.
pub(crate) fn finish(
    backend: BackendKind,
    required: &Required,
    outcome: Outcome,
) -> Result<Completion, Failed> {
    match required.apply(backend, outcome) {
        Ok(()) => Ok(Completion::Completed),
        Err(Verdict::Skipped(skip)) => Ok(Completion::ignored_with(skip.reason())),
        Err(Verdict::Failed(reason)) => Err(Failed::from(reason)),
    }
}
