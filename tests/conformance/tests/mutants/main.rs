//! Tests the suite by fault seeding (mutation testing): each mutant is a host backend that breaks
//! one rule. A case that names the rule must catch it.

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

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gpu_stream_conformance::cases::{self, Case};
use gpu_stream_conformance::rules::{self, Rule};
use gpu_stream_conformance::{Verdict, runner};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use fixture::MutantFixture;
use mutation::Mutation;

/// The time that a case may take on a mutant. A late case does not count as caught, so a busy
/// machine changes no result.
const LIMIT: Duration = Duration::from_secs(20);

/// The time for mutants whose fault is to hang.
const HANG_LIMIT: Duration = Duration::from_secs(2);

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
    ]
    .contains(&mutation);
    let limit = if hangs { HANG_LIMIT } else { LIMIT };
    let mut cases = cases::all::<MutantFixture>();
    cases.sort_by_key(|case| !case.info.rules.contains(&rule));
    if hangs {
        cases.retain(|case| case.info.rules.contains(&rule));
    }
    let mut caught = Vec::new();
    let mut caught_by_rule = false;
    for case in &cases {
        let outcome = run(Some(mutation), case, limit);
        if !hangs && runner::is_hang(&outcome) {
            continue;
        }
        if let Err(Verdict::Failed(seen)) = outcome {
            caught_by_rule |= case.info.rules.contains(&rule);
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

/// Checks that every case has caught a mutant: a case that cannot fail is worthless.
fn check_no_idle_case(table: &Table) -> Result<Completion, Failed> {
    let table = event::lock(table);
    if table.len() < Mutation::ALL.len() {
        return Ok(Completion::ignored_with("not all mutants were run and caught"));
    }
    let has_caught =
        |name| table.iter().any(|(_, caught)| caught.iter().any(|(by, _)| *by == name));
    let names = cases::ALL.iter().map(|case| case.name);
    let idle: Vec<_> =
        names.filter(|name| !has_caught(*name) && !ABOUT_THE_CONTRACT.contains(name)).collect();
    if idle.is_empty() {
        return Ok(Completion::Completed);
    }
    Err(format!("these cases caught no mutant: {idle:?}").into())
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Only one mutation is active at a time in the process.
    arguments.test_threads = Some(1);
    let table = Arc::new(Table::default());
    let mut trials = vec![Trial::test("control", control)];
    trials.extend(Mutation::ALL.iter().map(|&mutation| {
        let table = Arc::clone(&table);
        Trial::test(format!("{mutation:?}"), move || {
            let caught = find_catching_cases(mutation)?;
            event::lock(&table).push((mutation, caught));
            Ok(())
        })
    }));
    trials.push(Trial::test("every_rule_is_broken", every_rule_is_broken));
    let seen = Arc::clone(&table);
    trials.push(Trial::ignorable_test("every_case_catches_a_mutant", move || {
        check_no_idle_case(&seen)
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    print(&event::lock(&table));
    // Some mutants hang, and their threads still run.
    runner::end_process(if conclusion.has_failed() { 101 } else { 0 })
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
