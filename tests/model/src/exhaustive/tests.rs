//! Compares the model with the explored states of tiny programs.

use std::collections::HashSet;

use proptest::test_runner::{RngAlgorithm, TestRng};

use super::{Explorer, Observed};
use crate::campaign::GPU_LIMITS;
use crate::check::{self, Limits};
use crate::generate;
use crate::order::{Order, Recorded};
use crate::program::{Op, Program};

/// Generates a tiny program.
fn tiny(number: u64, limits: &Limits, length: usize) -> Program {
    let mut seed = [7; 16];
    seed[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::XorShift, &seed);
    generate::draft(&mut rng, limits, length)
}

/// Counts of the comparisons.
#[derive(Default, Debug)]
struct Compared {
    programs: usize,
    ordered: usize,
    unordered: usize,
    /// Orders that hold but that the model does not derive. Possible only with several threads.
    missed: usize,
    rejected: usize,
    queries: usize,
}

/// Compares the model with all observations of a program: what the model derives must hold.
///
/// With one thread, the model must also derive everything that holds. Then `ungated` has the observations without
/// gates.
fn compare(
    order: &Order,
    observed: &Observed,
    ungated: Option<&Observed>,
    compared: &mut Compared,
) {
    let exact = ungated.is_some();
    let program = &order.program;
    for first in &order.tasks {
        for second in order.tasks.iter().filter(|second| second.name != first.name) {
            let derived = first.step.is_in(&second.after);
            let (a, b) = (first.name, second.name);
            let always = |observed: &Observed| !observed.overtaken.contains(&(a, b));
            let (holds, by_order) = (always(observed), always(ungated.unwrap_or(observed)));
            assert!(!derived || holds, "t{a} does not always come before t{b}:\n{program}");
            assert!(!exact || derived == by_order, "t{a} always comes before t{b}:\n{program}");
            compared.ordered += usize::from(derived);
            compared.unordered += usize::from(!holds);
            compared.missed += usize::from(by_order && !derived);
        }
    }
    for (index, statement) in program.0.iter().enumerate() {
        let expectation = &order.expectations[index];
        if !matches!(statement.op, Op::Query { .. } | Op::QueryEvent { .. }) {
            continue;
        }
        let held = order.holding(&expectation.clock, index) != 0;
        let can_be_true = observed.answers.contains(&(index, true));
        let can_be_false = observed.answers.contains(&(index, false));
        assert!(!held || !can_be_true, "`{statement}` (statement {index}) can be true:\n{program}");
        if exact {
            assert!(
                held || can_be_true,
                "`{statement}` (statement {index}) is never true:\n{program}"
            );
            let known = expectation.clock.is_within(&expectation.known);
            assert_eq!(
                known, !can_be_false,
                "`{statement}` (statement {index}) can be false:\n{program}"
            );
        }
        compared.queries += 1;
        if matches!(statement.op, Op::QueryEvent { .. }) {
            let was = |recorded| observed.recorded.contains(&(index, recorded));
            match expectation.recorded {
                Recorded::Never => assert!(!was(true), "{index} is recorded:\n{program}"),
                Recorded::Yes => assert!(!was(false), "{index} is not recorded:\n{program}"),
                Recorded::Unknown => assert!(!exact, "{index} is unknown:\n{program}"),
            }
        }
    }
}

const LIMITS: Limits = Limits { independent: usize::MAX, ..GPU_LIMITS };

/// Compares many generated programs of a number of threads.
fn compare_many(threads: usize, count: u64, length: usize) -> Compared {
    let limits = Limits { threads, ..LIMITS };
    let mut compared = Compared::default();
    for number in 0..count {
        let draft = tiny(number, &limits, length);
        if draft.threads() != threads {
            continue;
        }
        let order = check::repair(&draft, &limits);
        let Some(observed) = Explorer::explore(&order.program, false) else { continue };
        let ungated = match threads {
            1 => Explorer::explore(&order.program, true),
            _ => None,
        };
        assert!(observed.stuck.is_empty(), "{:?} can hang:\n{}", observed.stuck, order.program);
        compare(&order, &observed, ungated.as_ref(), &mut compared);
        compared.programs += 1;
    }
    compared
}

#[test]
fn model_is_exact_for_one_thread() {
    let compared = compare_many(1, 600, 16);
    assert!(compared.programs > 400, "{compared:?}");
    assert!(compared.ordered > 400 && compared.unordered > 400, "{compared:?}");
    assert!(compared.queries > 200 && compared.missed == 0, "{compared:?}");
}

#[test]
fn model_is_correct_for_two_threads() {
    let compared = compare_many(2, 900, 20);
    assert!(compared.programs > 60, "{compared:?}");
    assert!(compared.ordered > 60 && compared.unordered > 50, "{compared:?}");
    // The model misses few orders.
    assert!(compared.missed * 10 < compared.ordered, "{compared:?}");
}

/// With one thread, the model rejects exactly the calls that would not return.
#[test]
fn rejected_programs_of_one_thread_would_hang() {
    let limits = Limits { threads: 1, ..LIMITS };
    let mut compared = Compared::default();
    for number in 0..4_000 {
        let well_formed = check::well_formed(&tiny(number, &limits, 16), &limits, |_, _| ());
        let order = Order::of(well_formed, limits.schedule);
        let rejected = (0..order.program.0.len())
            .find(|index| check::context_error(&order, &limits, *index).is_err());
        if rejected.is_none() && number % 10 > 0 {
            continue; // most programs are not rejected
        }
        let Some(observed) = Explorer::explore(&order.program, false) else { continue };
        assert_eq!(
            rejected.into_iter().collect::<HashSet<_>>(),
            observed.stuck,
            "\n{}",
            order.program
        );
        compared.rejected += usize::from(rejected.is_some());
        compared.programs += 1;
    }
    assert!(compared.programs > 400 && compared.rejected > 30, "{compared:?}");
}

/// Programs of two threads, and the pairs of tasks that must be ordered.
const TWO_THREADS: &[(&str, &[(u8, u8)])] = &[
    // The receiver does not know what the sender submits after the send.
    (
        "s0 = stream 0\nbarrier\ns0 task t0\nsend c0\ns0 task t1\n1: recv c0\n1: s0 task t2",
        &[(0, 1), (0, 2)],
    ),
    // The receiver does not know what the sender waits for after the send.
    (
        "s0 = stream 0\ns1 = stream 0\nbarrier\ns0 task t0\nsend c0\nsync s0\n1: recv c0\n1: s1 task t1",
        &[],
    ),
    // The receiver knows what the sender waited for before the send.
    (
        "s0 = stream 0\ns1 = stream 0\nbarrier\ns0 task t0\nsync s0\nsend c0\n1: recv c0\n1: s1 task t1",
        &[(0, 1)],
    ),
    // After a barrier, each thread knows what all threads knew.
    (
        "s0 = stream 0\ns1 = stream 0\nbarrier\ns0 task t0\n1: s1 task t1\nbarrier\n\
         s0 wait s1\n1: s1 wait s0\ns0 task t2\n1: s1 task t3",
        &[(0, 2), (0, 3), (1, 2), (1, 3)],
    ),
    // Either of two concurrent records may be current.
    (
        "s0 = stream 0\ns1 = stream 0\ns2 = stream 0\ne0 = event 0\ns0 task t0\ns1 task t1\n\
         s1 wait s0\nbarrier\ns0 record e0\n1: s1 record e0\nbarrier\ns2 wait e0\ns2 task t2",
        &[(0, 2)],
    ),
    // A record concurrent with a wait of another thread.
    (
        "s0 = stream 0\ns1 = stream 0\ns2 = stream 0\ns0 task t0\ne0 = record s0\nbarrier\n\
         s1 record e0\n1: s2 wait e0\n1: s2 task t1",
        &[],
    ),
    // A record concurrent with a wait of another thread, later in the text.
    (
        "s0 = stream 0\ns1 = stream 0\ns2 = stream 0\ns0 task t0\ne0 = record s0\nbarrier\n\
         1: s2 wait e0\n1: s2 task t1\ns1 record e0",
        &[],
    ),
    // A receiver waits for a record that happens before the send.
    (
        "s0 = stream 0\ns1 = stream 0\ne0 = event 0\nbarrier\ns0 task t0\ns0 record e0\nsend c0\n\
         1: recv c0\n1: s1 wait e0\n1: s1 task t1",
        &[(0, 1)],
    ),
    // wait_stream waits for what its thread knows.
    (
        "s0 = stream 0\ns1 = stream 0\nbarrier\ns0 task t0\n1: s0 task t1\n1: s1 wait s0\n1: s1 task t2",
        &[(1, 2)],
    ),
];

#[test]
fn model_orders_exactly_the_expected_tasks_of_two_threads() {
    for (text, pairs) in TWO_THREADS {
        let program: Program = text.parse().unwrap();
        let order = check::check(&program, &LIMITS).unwrap_or_else(|why| panic!("{why}\n{text}"));
        let observed = Explorer::explore(&program, false).unwrap();
        compare(&order, &observed, None, &mut Compared::default());
        let derived = order.tasks.iter().flat_map(|first| {
            let later = order.tasks.iter().filter(|second| first.step.is_in(&second.after));
            later.map(|second| (first.name, second.name))
        });
        assert_eq!(derived.collect::<Vec<_>>(), *pairs, "\n{program}");
    }
}

/// Programs of two threads that may hang, and must be rejected.
const MAY_HANG: &[&str] = &[
    // The gate may come before the task that is waited for.
    "s0 = stream 0\nbarrier\n1: s0 task t0\n1: sync s0\ns0 gate g0",
    // A record after the gate may be current when the other stream waits.
    "s0 = stream 0\ns1 = stream 0\ne0 = event 0\nbarrier\n\
     s0 gate g0\ns0 record e0\n1: s1 wait e0\n1: sync s1",
    // A record after the gate may be current when the thread waits.
    "s0 = stream 0\ne0 = event 0\nbarrier\n1: sync e0\ns0 gate g0\ns0 record e0",
    // The gate is opened only after a message from the thread that waits for the gate.
    "s0 = stream 0\nbarrier\ns0 gate g0\n1: sync s0\n1: send c0\nrecv c0\nopen g0",
];

#[test]
fn programs_of_two_threads_that_may_hang_are_rejected() {
    for text in MAY_HANG {
        let program: Program = text.parse().unwrap();
        let observed = Explorer::explore(&program, false).unwrap();
        assert!(!observed.stuck.is_empty(), "the program cannot hang:\n{program}");
        let rejected = check::check(&program, &LIMITS).unwrap_err();
        assert!(rejected.to_string().contains("would not return"), "{rejected}");
    }
}
