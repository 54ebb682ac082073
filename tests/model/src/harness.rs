//! Random programs, and those that are kept, as a test target of cargo.

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

/// How often each kept program is run.
const TIMES: usize = 20;

/// Runs the kept programs and as many random ones as the environment says, or `programs`, on the
/// fixture. If there is none, everything is skipped, with that reason, and `GPU_STREAM_REQUIRE`
/// makes it fail.
///
/// Prints what was checked. Blocks until all have run.
pub fn main<F: Fixture, E: Display>(
    fixture: Result<F, E>,
    programs: u64,
    options: Options,
) -> ExitCode {
    let backend = F::Backend::KIND;
    let (required, campaign) = match (Required::from_env(&[backend]), Campaign::from_env(programs))
    {
        (Ok(required), Ok(campaign)) => (required, campaign),
        (required, campaign) => {
            let errors =
                [required.err().map(|e| e.to_string()), campaign.err().map(|e| e.to_string())];
            errors.into_iter().flatten().for_each(|error| eprintln!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let mut arguments = Arguments::from_args();
    // One runner, which all take in turn.
    arguments.test_threads = Some(1);
    let made = fixture.map_err(|reason| Verdict::skipped(reason));
    let runner = made.and_then(|fixture| Runner::new(Arc::new(fixture), options));
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
        trials.push(Trial::ignorable_test(format!("kept::{name}"), move || {
            let outcome = on_runner(&|runner| campaign::replay(runner, text, TIMES));
            finish(backend, &required, outcome)
        }));
    }
    trials.push(Trial::ignorable_test("random::programs", move || {
        let outcome = on_runner(&|runner| random(runner, &campaign, &options));
        finish(backend, &required, outcome)
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn random<F: Fixture>(runner: &mut Runner<F>, campaign: &Campaign, options: &Options) -> Outcome {
    let since = Instant::now();
    let counts = campaign::run(runner, campaign, options)
        .map_err(|caught| Verdict::Failed(format!("\n{caught}")))?;
    let backend = F::Backend::KIND;
    println!("{backend}: {} in {:.1} s", said(campaign, &counts), since.elapsed().as_secs_f32());
    let idle = idle(&counts);
    // A few programs need not have everything.
    if campaign.programs >= 1_000 && !idle.is_empty() {
        return Err(Verdict::Failed(format!("nothing was checked of: {}", idle.join(", "))));
    }
    Ok(())
}

/// What a campaign has checked, in a sentence.
pub fn said(campaign: &Campaign, counts: &Counts) -> String {
    format!(
        "{} programs of seed {} from number {} ({} with threads, {} with two devices), {} \
         statements, {} tasks; {} reads had to see the new number and {} the old one, {} numbers \
         were held back by a gate, {} answers had to be no and {} yes, {} synchronize calls \
         returned beside a shut gate",
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

/// What was never checked: programs that check nothing pass, too.
fn idle(counts: &Counts) -> Vec<&'static str> {
    let all = [
        ("programs with threads", counts.with_threads),
        ("reads of the new number", counts.read_new),
        ("reads of the old number", counts.read_old),
        ("numbers held back", counts.held),
        ("answers that must be no", counts.must_be_false),
        ("answers that must be yes", counts.must_be_true),
        ("synchronize beside a shut gate", counts.beside_a_gate),
    ];
    all.into_iter().filter(|(_, count)| *count == 0).map(|(what, _)| what).collect()
}

fn finish(
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
