//! Test target of cargo that runs random programs with accesses on a checked backend: [`main`].

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gpu_stream_checked::Checked;
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, PlainHandles};
use libtest_mimic::{Arguments, Trial};

use super::counts::{CaptureCounts, Counts};
use super::mutation::{self, Mutation};
use super::{Runner, run};
use crate::campaign::Campaign;
use crate::check::Limits;
use crate::harness::{finish, settings};

/// Number of programs that run on a mutant. It is several times what any mutant needs.
const MUTANT_PROGRAMS: u64 = 2_000;

/// Maximum number of smaller programs that are tried after a failure.
const CANDIDATES: usize = 2_000;

/// Runs the random programs, and again with each [`Mutation`], which must then fail. Blocks until all have run.
///
/// `programs` is the default number of random programs. `implicit` is as in [`Runner::new`]. Without a fixture, all tests
/// are skipped with that reason, or fail if `GPU_STREAM_REQUIRE` names the backend.
pub fn main<F, B, E>(fixture: Result<F, E>, implicit: bool, programs: u64) -> ExitCode
where
    F: Fixture<Backend = Checked<B>>,
    B: PlainHandles,
    E: Display,
{
    let backend = B::KIND;
    let Some((required, campaign)) = settings(backend, programs) else {
        return ExitCode::FAILURE;
    };
    let mut arguments = Arguments::from_args();
    // The mutation is global to the process, so one test runs at a time.
    arguments.test_threads = Some(1);
    let fixture = fixture.map_err(|reason| Verdict::skipped(reason));
    let runner = fixture.and_then(|fixture| Runner::new(fixture, implicit));
    let runner = Arc::new(Mutex::new(runner));
    let on_runner = move |body: &dyn Fn(&mut Runner<F>) -> Outcome| {
        let mut runner = runner.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *runner {
            Ok(runner) => body(runner),
            Err(verdict) => Err(verdict.clone()),
        }
    };
    let mut trials = Vec::new();
    let (on_all, required_all) = (on_runner.clone(), required.clone());
    trials.push(Trial::ignorable_test("random::programs", move || {
        let outcome = on_all(&|runner| random(runner, &campaign));
        finish(backend, &required_all, outcome)
    }));
    for mutation in Mutation::ALL {
        // The backends with that order are those with captures.
        if (mutation.needs_implicit_order() || mutation.needs_captures()) && !implicit {
            continue;
        }
        let (on_runner, required) = (on_runner.clone(), required.clone());
        trials.push(Trial::ignorable_test(format!("mutants::{mutation:?}"), move || {
            let outcome = on_runner(&|runner| must_be_detected(runner, *mutation));
            finish(backend, &required, outcome)
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Runs the random programs.
fn random<F, B>(runner: &mut Runner<F>, campaign: &Campaign) -> Outcome
where
    F: Fixture<Backend = Checked<B>>,
    B: PlainHandles,
{
    let start = Instant::now();
    runner.counts = Counts::default();
    run(runner, campaign, CANDIDATES).map_err(|found| Verdict::Failed(format!("\n{found}")))?;
    let counts = runner.counts;
    println!("{}", summary::<F::Backend>(campaign, &counts, start.elapsed().as_secs_f32()));
    let never = unchecked(&counts, &runner.limits());
    // A few programs need not contain all kinds.
    if campaign.programs >= 1_000 && !never.is_empty() {
        return Err(Verdict::Failed(format!("these never occurred: {}", never.join(", "))));
    }
    Ok(())
}

/// Formats what a campaign has compared.
fn summary<B: Backend>(campaign: &Campaign, counts: &Counts, seconds: f32) -> String {
    let [reads, overwrites, writes, releases] = counts.findings;
    format!(
        "Checked<{}>: {} programs of seed {} from number {} agree with the reference ({} with threads, {} with two \
         devices), {} accesses, {} of them by the host; {} programs have findings, {} have none; {reads} reads after a write, {overwrites} \
         writes after a read, {writes} writes after a write, {releases} uses after a release; {} queries returned \
         true, and {} calls a time; {} findings were removed by the missing wait; {} waits for events that are never \
         recorded, {} for events that are recorded later; {} works that nothing joins, {} of them certain; {}; {seconds:.1} s",
        B::KIND,
        counts.programs,
        campaign.seed,
        campaign.first,
        counts.with_threads,
        counts.with_devices,
        counts.accesses,
        counts.by_host,
        counts.flagged,
        counts.programs - counts.flagged,
        counts.answered,
        counts.measured,
        counts.mended,
        counts.lost_waits[0],
        counts.lost_waits[1],
        counts.unjoined[0],
        counts.unjoined[1],
        capture_summary(&counts.captures),
    )
}

/// Formats what a campaign has compared of captures.
fn capture_summary(counts: &CaptureCounts) -> String {
    let CaptureCounts { programs, flagged, joined, accesses, findings, refused } = *counts;
    format!(
        "{programs} programs with captures, {flagged} of them with findings and {} with none ({joined} captures of \
         several streams, {accesses} captured accesses, {findings} findings about two of them, {refused} refused calls)",
        programs - flagged,
    )
}

/// Returns what never occurred. Programs without it would agree too.
fn unchecked(counts: &Counts, limits: &Limits) -> Vec<&'static str> {
    let CaptureCounts { programs, flagged, joined, accesses, findings, refused } = counts.captures;
    let (devices, needs) = (limits.devices, |count| if limits.captures { count } else { 1 });
    let [reads, overwrites, writes, releases] = counts.findings;
    let all = [
        ("programs with threads", counts.with_threads),
        ("programs with two devices", if devices > 1 { counts.with_devices } else { 1 }),
        ("programs with findings", counts.flagged),
        ("programs without findings", counts.programs - counts.flagged),
        ("reads after a write", reads),
        ("writes after a read", overwrites),
        ("writes after a write", writes),
        ("uses after a release", releases),
        ("accesses by the host", counts.by_host),
        ("queries that returned true", counts.answered),
        ("times between two events", counts.measured),
        ("findings that the missing wait removed", counts.mended),
        ("waits for events that are never recorded", counts.lost_waits[0]),
        ("waits for events that are recorded later", counts.lost_waits[1]),
        ("works that certainly nothing joins", counts.unjoined[1]),
        ("programs with captures", needs(programs)),
        ("programs with captures and findings", needs(flagged)),
        ("programs with captures and without findings", needs(programs - flagged)),
        ("captures of several streams", needs(joined)),
        ("captured accesses", needs(accesses)),
        ("findings about two captured accesses", needs(findings)),
        ("calls that a capture refuses", needs(refused)),
    ];
    all.into_iter().filter(|(_, count)| *count == 0).map(|(what, _)| what).collect()
}

/// Checks that a program differs from the reference with the mutation.
fn must_be_detected<F, B>(runner: &mut Runner<F>, mutation: Mutation) -> Outcome
where
    F: Fixture<Backend = Checked<B>>,
    B: PlainHandles,
{
    mutation::set(Some(mutation));
    let outcome = run(runner, &Campaign::new(MUTANT_PROGRAMS), 0);
    mutation::set(None);
    match outcome {
        Err(found) => {
            println!("{mutation:?}: program {}: {}", found.number, found.failure.message);
            Ok(())
        }
        Ok(()) => Err(Verdict::Failed(format!("none of {MUTANT_PROGRAMS} programs detected it"))),
    }
}
