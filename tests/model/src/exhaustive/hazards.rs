//! Compares the hazards of the model with the explored states of tiny programs with accesses.

use std::collections::BTreeSet;

use gpu_stream_core::Access;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::Explorer;
use crate::campaign::GPU_LIMITS;
use crate::check::{Limits, Schedule};
use crate::generate::accesses::access_program;
use crate::generate::mend::with_missing_wait;
use crate::hazard::{self, Hazard, HazardKind};
use crate::order::Order;
use crate::program::{Op, Program};

/// Generates a program.
fn generated(number: u64, limits: &Limits, length: usize) -> Program {
    let mut seed = [9; 16];
    seed[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::XorShift, &seed);
    access_program(&mut rng, limits, length).program
}

/// Returns the hazards by what was observed: of each two accesses of a byte, whether the later one was seen to run
/// first. Bytes, allocations and releases are followed one by one.
fn observed_hazards(program: &Program, overtaken: &dyn Fn(u8, u8) -> bool) -> BTreeSet<Hazard> {
    let mut regions = std::collections::BTreeMap::new();
    // For each byte, its accesses: statement, access, allocation.
    let mut bytes: Vec<Vec<(usize, Access, usize)>> = vec![Vec::new(); 256];
    for (index, statement) in program.0.iter().enumerate() {
        match statement.op {
            Op::Region { region, start, .. } => drop(regions.insert(region, (index, start))),
            Op::Access { access, region, start, end, .. }
            | Op::HostAccess { access, region, start, end } => {
                let (allocation, base) = regions[&region];
                for byte in base + start..base + end {
                    bytes[usize::from(byte)].push((index, access, allocation));
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    for log in bytes {
        for (position, (second, to, new)) in log.iter().enumerate() {
            for (first, from, old) in &log[..position] {
                let is_reversed = overtaken(*first as u8, *second as u8);
                let kind = match (from, to, old == new, is_reversed) {
                    (Access::Release, _, true, _) => HazardKind::UseAfterRelease,
                    (_, Access::Release, true, true) => HazardKind::UseAfterRelease,
                    (_, Access::Release, ..) | (_, _, _, false) => continue,
                    (Access::Release, ..) => HazardKind::UseAfterRelease,
                    (Access::Write, Access::Read, ..) => HazardKind::ReadAfterWrite,
                    (Access::Read, Access::Write, ..) => HazardKind::WriteAfterRead,
                    (Access::Write, Access::Write, ..) => HazardKind::WriteAfterWrite,
                    (Access::Read, Access::Read, ..) => continue,
                };
                found.insert(Hazard { kind, first: *first, second: *second });
            }
        }
    }
    found
}

/// Returns the statements of queries, of which every second has returned `true`.
fn answered(program: &Program, number: u64) -> Vec<usize> {
    let all = program.0.iter().enumerate();
    let queries = all.filter(|(_, statement)| {
        matches!(statement.op, Op::Query { .. } | Op::QueryEvent { .. } | Op::Elapsed { .. })
    });
    queries
        .map(|(index, _)| index)
        .filter(|index| (*index as u64 + number).is_multiple_of(2))
        .collect()
}

/// Checks the hazards of generated programs. Returns the numbers of programs, of hazards, of programs with threads and
/// of queries that returned `true`.
fn compare_hazards(schedule: Schedule) -> [usize; 4] {
    let limits = Limits { independent: usize::MAX, schedule, ..GPU_LIMITS };
    let mut counts = [0; 4];
    for number in 0..1_500 {
        let program = generated(number, &limits, 16);
        let answered = answered(&program, number);
        let is_implicit = schedule == Schedule::Serial { implicit: true };
        let Some(observed) = Explorer::explore_serial(&program, is_implicit, &answered) else {
            continue;
        };
        assert!(observed.stuck.is_empty(), "\n{program}");
        let order = Order::of_run(program, schedule, &answered);
        let program = &order.program;
        let overtaken = |first, second| observed.overtaken.contains(&(first, second));
        let hazards = hazard::all(&order);
        assert_eq!(hazards, observed_hazards(program, &overtaken), "{answered:?}\n{program}");
        counts[0] += 1;
        counts[1] += hazards.len();
        counts[2] += usize::from(program.threads() > 1);
        counts[3] += answered.len();
    }
    counts
}

#[test]
fn hazards_are_exactly_the_pairs_that_can_run_in_the_other_order() {
    let [programs, hazards, threads, answered] =
        compare_hazards(Schedule::Serial { implicit: false });
    let counts = format!("{programs} {hazards} {threads} {answered}");
    println!("{counts}");
    assert!(programs > 1_000 && hazards > 600 && threads > 100 && answered > 100, "{counts}");
}

#[test]
fn hazards_follow_the_implicit_order_of_blocking_streams() {
    let [programs, hazards, threads, answered] =
        compare_hazards(Schedule::Serial { implicit: true });
    let counts = format!("{programs} {hazards} {threads} {answered}");
    println!("{counts}");
    assert!(programs > 1_000 && hazards > 600 && threads > 100 && answered > 100, "{counts}");
}

#[test]
fn latest_accesses_show_whether_there_is_a_hazard() {
    let mut counts = [0; 4];
    for number in 0..4_000 {
        let schedule = Schedule::Serial { implicit: number % 2 == 0 };
        let limits = Limits { schedule, captures: number % 2 == 0, ..GPU_LIMITS };
        let order = Order::of(generated(number, &limits, 40), schedule);
        let (all, latest) = (hazard::all(&order), hazard::latest(&order));
        assert!(latest.is_subset(&all), "{}", order.program);
        assert_eq!(latest.is_empty(), all.is_empty(), "{}", order.program);
        counts[usize::from(all.is_empty())] += 1;
        counts[2] += latest.len();
        // The missing wait mends the hazard.
        for hazard in &latest {
            let Some(program) = with_missing_wait(&order, hazard) else { continue };
            let moved = Hazard { second: hazard.second + 1, ..*hazard };
            let mended = Order::of(program, schedule);
            if mended.refused[hazard.second] {
                continue; // a capture does not hold the wait
            }
            assert!(!hazard::all(&mended).contains(&moved), "{hazard:?}\n{}", order.program);
            counts[3] += 1;
        }
    }
    println!("{counts:?}");
    assert!(counts.iter().all(|count| *count > 1_000), "{counts:?}");
}
