//! Tests the suite by fault seeding (mutation testing): each mutant is a host backend that breaks
//! one rule. A case that names the rule must catch it.
//!
//! Each mutant runs in a process of its own, because only one mutation is active at a time in a process. Several
//! run at once: many wait for a case that hangs.

mod awaiting;
mod backend;
mod capture;
mod error;
mod event;
mod family;
mod fixture;
mod mutation;
mod retention;
mod stream;
mod tasks;
mod vendor;

use std::io::Write;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gpu_stream_conformance::cases::{self, Case};
use gpu_stream_conformance::rules::{self, Rule};
use gpu_stream_conformance::{Verdict, runner};
use libtest_mimic::{Arguments, Failed, Trial};

use fixture::MutantFixture;
use mutation::Mutation;

/// The time that a case of the mutant's rule may take. A late case does not count as caught, so a busy machine changes no
/// result.
const LIMIT: Duration = Duration::from_secs(60);

/// The time that another case may take, whose answer decides nothing.
const OTHER_LIMIT: Duration = Duration::from_secs(5);

/// The time for mutants whose fault is to hang.
const HANG_LIMIT: Duration = Duration::from_secs(2);

/// Names the mutant that the process runs, and no other test.
const CHILD: &str = "GPU_STREAM_TEST_MUTANT";

/// What the lines with the result of a child begin with.
const RESULT: &str = "caught by\t";

/// A case that failed on a mutant, and what it saw.
type Caught = (&'static str, String);

/// The mutants that were caught, with the cases that caught them.
type Table = Mutex<Vec<(Mutation, Vec<Caught>)>>;

/// The cases that no mutant of a backend can fail. The contract's own code builds the options, and
/// distinguishes two backends of one name.
const ABOUT_THE_CONTRACT: [&str; 2] =
    ["interprocess_with_timing_is_refused", "namesake_is_another_backend"];

fn run(
    mutation: Option<Mutation>,
    case: &Case<MutantFixture>,
    limit: Duration,
) -> Result<(), Verdict> {
    *event::lock(&stream::SPREAD) = None;
    vendor::reset_state();
    mutation::set(mutation);
    let outcome = runner::run(&Arc::new(MutantFixture), case, limit).outcome;
    mutation::set(None);
    outcome
}

/// Checks that without a mutation every case passes, and none is skipped.
fn control() -> Result<(), Failed> {
    for case in cases::all::<MutantFixture>() {
        if let Err(verdict) = run(None, &case, runner::LIMIT) {
            return Err(format!("{}: {verdict:?}", case.info.name).into());
        }
    }
    Ok(())
}

/// Runs the mutant in this process, and prints the cases that catch it.
fn run_child(mutation: Mutation) -> ExitCode {
    match find_catching_cases(mutation) {
        Ok(caught) => {
            for (case, seen) in caught {
                println!("{RESULT}{case}\t{}", seen.replace('\n', " "));
            }
            // The process ends without a flush.
            let _ = std::io::stdout().flush();
            runner::end_process(0)
        }
        Err(failed) => {
            eprintln!("{}", failed.message().unwrap_or("the mutant was not caught"));
            runner::end_process(1)
        }
    }
}

/// Runs the mutant in a process of its own. Returns the cases that catch it.
fn catch_in_a_process(mutation: Mutation) -> Result<Vec<Caught>, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.env(CHILD, format!("{mutation:?}")).output()?;
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("{}: {stderr}", output.status).into());
    }
    let parse = |line: &str| {
        let (name, seen) = line.strip_prefix(RESULT)?.split_once('\t')?;
        let case = cases::ALL.iter().find(|case| case.name == name)?;
        Some((case.name, seen.to_owned()))
    };
    Ok(stdout.lines().filter_map(parse).collect())
}

/// Returns the cases that catch the mutant, those that name its rule first.
fn find_catching_cases(mutation: Mutation) -> Result<Vec<Caught>, Failed> {
    let rule = mutation.breaks();
    // The fault of these mutants is to hang, so a hang is the proof. For them only the cases of
    // their rule are run.
    let hangs = [
        Mutation::WaitBlocksHost,
        Mutation::PayloadDropStopsTheStream,
        Mutation::DestructorsUnderALock,
        Mutation::DroppedUnderTheLock,
        Mutation::FuturesShareAnEvent,
        Mutation::TaskIsNotWoken,
        Mutation::FirstTaskIsWoken,
        Mutation::FaultLeavesFuturesPending,
        Mutation::WakerRunsOnTheStream,
    ]
    .contains(&mutation);
    let limit = |is_of_rule: bool| match (hangs, is_of_rule) {
        (true, _) => HANG_LIMIT,
        (false, true) => LIMIT,
        (false, false) => OTHER_LIMIT,
    };
    let mut cases = cases::all::<MutantFixture>();
    cases.sort_by_key(|case| !case.info.rules.contains(&rule));
    if hangs {
        cases.retain(|case| case.info.rules.contains(&rule));
    }
    let mut caught = Vec::new();
    let mut caught_by_rule = false;
    for case in &cases {
        let is_of_rule = case.info.rules.contains(&rule);
        let outcome = run(Some(mutation), case, limit(is_of_rule));
        if !hangs && runner::is_hang(&outcome) {
            continue;
        }
        if let Err(Verdict::Failed(seen)) = outcome {
            caught_by_rule |= is_of_rule;
            caught.push((case.info.name, seen));
        }
    }
    if caught_by_rule {
        return Ok(caught);
    }
    let names: Vec<_> = caught.iter().map(|(name, _)| *name).collect();
    let wrong = mutation.wrong();
    Err(format!("{wrong}: no case that names the rule caught it, only {names:?}; {rule}").into())
}

/// The rule that no mutant of a backend can break: the contract itself implements the object-safe
/// form.
const BY_THE_CONTRACT: Rule = rules::C3;

fn every_rule_is_broken() -> Result<(), Failed> {
    let is_broken = |rule: &Rule| Mutation::ALL.iter().any(|mutation| mutation.breaks() == *rule);
    let is_elsewhere = |rule: &Rule| rules::ELSEWHERE.iter().any(|(other, _)| other == rule);
    let mut breakable = rules::ALL.iter().filter(|rule| **rule != BY_THE_CONTRACT);
    let unbroken = breakable.find(|rule| !is_broken(rule) && !is_elsewhere(rule));
    unbroken.map_or(Ok(()), |rule| Err(format!("no mutant breaks {rule}").into()))
}

/// Checks that every case has caught a mutant: a case that cannot fail is worthless. Does nothing unless all mutants
/// were run and caught.
fn check_no_idle_case(table: &[(Mutation, Vec<Caught>)]) -> Result<(), String> {
    if table.len() < Mutation::ALL.len() {
        return Ok(());
    }
    let has_caught =
        |name| table.iter().any(|(_, caught)| caught.iter().any(|(by, _)| *by == name));
    let names = cases::ALL.iter().map(|case| case.name);
    let idle: Vec<_> =
        names.filter(|name| !has_caught(*name) && !ABOUT_THE_CONTRACT.contains(name)).collect();
    if idle.is_empty() { Ok(()) } else { Err(format!("these cases caught no mutant: {idle:?}")) }
}

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(CHILD) {
        let mutation = Mutation::ALL.iter().find(|mutation| format!("{mutation:?}") == name);
        return run_child(*mutation.expect("the name of a mutant"));
    }
    let mut arguments = Arguments::from_args();
    // More than processors, because the mutants that hang take time and no processor.
    let processors = thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads = arguments.test_threads.or(Some(2 * processors));
    let table = Arc::new(Table::default());
    let mut trials = vec![Trial::test("control", control)];
    trials.extend(Mutation::ALL.iter().map(|&mutation| {
        let table = Arc::clone(&table);
        Trial::test(format!("{mutation:?}"), move || {
            let caught = catch_in_a_process(mutation)?;
            event::lock(&table).push((mutation, caught));
            Ok(())
        })
    }));
    trials.push(Trial::test("every_rule_is_broken", every_rule_is_broken));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let table = event::lock(&table);
    print(&table);
    let idle = check_no_idle_case(&table);
    if let Err(text) = &idle {
        eprintln!("{text}");
    }
    if conclusion.has_failed() || idle.is_err() { ExitCode::from(101) } else { ExitCode::SUCCESS }
}

fn print(table: &[(Mutation, Vec<Caught>)]) {
    for (mutation, caught) in table {
        let names: Vec<_> = caught.iter().take(4).map(|(name, _)| *name).collect();
        let more = caught.len() - names.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let (rule, wrong) = (mutation.breaks(), mutation.wrong());
        println!("{:4} {wrong}\n     caught by {}{more}", rule.id, names.join(", "));
        if let Some((_, seen)) = caught.first() {
            println!("     which saw: {seen}");
        }
    }
}
