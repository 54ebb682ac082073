//! The model against another one that knows no clocks: a machine that carries tiny programs out, one
//! step of one thread or one stream at a time, in every order that there is.

use std::collections::{BTreeMap, HashSet};

use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::campaign::LIKE_A_GPU;
use crate::check::{self, Limits};
use crate::generate;
use crate::order::{Order, Recorded};
use crate::program::{Op, Program, StreamKind};

/// A record: the statement that makes it, and which of its records it is.
type Record = (usize, usize);

/// What a stream is given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Act {
    Task(u8),
    Gate(u8),
    Mark(Record),
    Hold(Record),
}

/// What a thread that has begun to synchronize waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Blocked {
    Queue(usize, usize),
    Record(Option<Record>),
}

#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Machine {
    /// How many of its statements each thread is through with.
    through: Vec<usize>,
    blocked: Vec<Option<Blocked>>,
    messages: Vec<u8>,
    streams: BTreeMap<u8, usize>,
    default_queues: BTreeMap<(bool, u8), usize>,
    events: BTreeMap<u8, Option<Record>>,
    queues: Vec<Vec<Act>>,
    heads: Vec<usize>,
    open: Vec<u8>,
}

impl Machine {
    fn is_done(&self, queue: usize) -> bool {
        self.heads[queue] == self.queues[queue].len()
    }

    fn executed(&self) -> impl Iterator<Item = Act> {
        let parts = self.queues.iter().zip(&self.heads);
        parts.flat_map(|(queue, head)| queue[..*head].iter().copied())
    }

    fn is_passed(&self, record: Record) -> bool {
        self.executed().any(|act| act == Act::Mark(record))
    }

    fn queue(&mut self) -> usize {
        self.queues.push(Vec::new());
        self.heads.push(0);
        self.queues.len() - 1
    }

    fn give(&mut self, stream: u8, act: Act) {
        let queue = self.streams[&stream];
        self.queues[queue].push(act);
    }

    fn wait_stream(&mut self, stream: u8, other: u8, record: Record) {
        if self.streams[&stream] != self.streams[&other] {
            self.give(other, Act::Mark(record));
            self.give(stream, Act::Hold(record));
        }
    }
}

/// What was ever seen.
#[derive(Default)]
struct Seen {
    machines: HashSet<Machine>,
    /// Of two tasks: the second was done, and the first was not.
    overtaken: HashSet<(u8, u8)>,
    /// At a question: what the answer would be.
    answers: HashSet<(usize, bool)>,
    /// At a question: whether the event was recorded.
    recorded: HashSet<(usize, bool)>,
    /// The statements at which a machine stood from which nothing goes on.
    stuck: HashSet<usize>,
}

struct Explorer<'a> {
    program: &'a Program,
    /// The statements of each thread; a barrier is in all of them.
    lists: Vec<Vec<usize>>,
    tasks: Vec<u8>,
    gates: Vec<u8>,
    /// Whether gates are no gates: what comes before and behind one is then in order only by what
    /// else there is, and not because the thread that opens it knows something to be done.
    ungated: bool,
    seen: Seen,
}

/// More than this is not tiny.
const MANY: usize = 20_000;

impl<'a> Explorer<'a> {
    fn explore(program: &'a Program, ungated: bool) -> Option<Seen> {
        let threads = program.threads();
        let of = |thread: usize| {
            let all = program.0.iter().enumerate();
            let mine = all.filter(|(_, statement)| {
                usize::from(statement.thread) == thread || statement.op == Op::Barrier
            });
            mine.map(|(index, _)| index).collect()
        };
        let tasks = program.0.iter().filter_map(|statement| match statement.op {
            Op::Task { task, .. } => Some(task),
            _ => None,
        });
        let gates = program.0.iter().filter_map(|statement| match statement.op {
            Op::Gate { gate, .. } => Some(gate),
            _ => None,
        });
        let mut explorer = Explorer {
            program,
            lists: (0..threads).map(of).collect(),
            tasks: tasks.collect(),
            gates: gates.collect(),
            ungated,
            seen: Seen::default(),
        };
        let first = Machine {
            through: vec![0; threads],
            blocked: vec![None; threads],
            ..Machine::default()
        };
        let mut open = vec![first];
        while let Some(machine) = open.pop() {
            if explorer.seen.machines.len() > MANY {
                return None;
            }
            if explorer.seen.machines.contains(&machine) {
                continue;
            }
            explorer.check(&machine);
            let next = explorer.next(&machine);
            explorer.seen.machines.insert(machine);
            open.extend(next);
        }
        Some(explorer.seen)
    }

    fn check(&mut self, machine: &Machine) {
        let done: Vec<u8> = machine
            .executed()
            .filter_map(|act| if let Act::Task(task) = act { Some(task) } else { None })
            .collect();
        for second in &done {
            for first in self.tasks.iter().filter(|first| !done.contains(first)) {
                self.seen.overtaken.insert((*first, *second));
            }
        }
    }

    fn at(&self, machine: &Machine, thread: usize) -> Option<usize> {
        self.lists[thread].get(machine.through[thread]).copied()
    }

    fn next(&mut self, machine: &Machine) -> Vec<Machine> {
        let mut all = Vec::new();
        for queue in 0..machine.queues.len() {
            let Some(act) = machine.queues[queue].get(machine.heads[queue]) else { continue };
            let can = match act {
                Act::Task(_) | Act::Mark(_) => true,
                Act::Gate(gate) => self.ungated || machine.open.contains(gate),
                Act::Hold(record) => machine.is_passed(*record),
            };
            if can {
                let mut next = machine.clone();
                next.heads[queue] += 1;
                all.push(next);
            }
        }
        for thread in 0..machine.through.len() {
            all.extend(self.call(machine, thread));
        }
        let threads = 0..machine.through.len();
        if threads.clone().all(|thread| self.at(machine, thread).is_none()) {
            // All gates are opened in the end.
            let mut next = machine.clone();
            next.open = self.gates.clone();
            if next.open != machine.open {
                all.push(next);
            }
        }
        let waiting: Vec<_> = threads.filter_map(|thread| self.at(machine, thread)).collect();
        if all.is_empty() {
            self.seen.stuck.extend(waiting);
        }
        all
    }

    /// The next step of a thread, if there is one that it can take.
    fn call(&mut self, machine: &Machine, thread: usize) -> Option<Machine> {
        let index = self.at(machine, thread)?;
        let mut next = machine.clone();
        next.through[thread] += 1;
        let streams = &machine.streams;
        match &self.program.0[index].op {
            Op::Stream { stream, sort, device } => {
                let queue = match sort {
                    StreamKind::Default | StreamKind::Own => {
                        let key = (*sort == StreamKind::Own, *device);
                        let known = next.default_queues.get(&key).copied();
                        let queue = known.unwrap_or_else(|| next.queue());
                        next.default_queues.insert(key, queue);
                        queue
                    }
                    _ => next.queue(),
                };
                next.streams.insert(*stream, queue);
            }
            Op::Clone { stream, of } => drop(next.streams.insert(*stream, streams[of])),
            Op::Event { event, .. } => drop(next.events.insert(*event, None)),
            Op::RecordNew { event, stream } | Op::Record { stream, event } => {
                next.give(*stream, Act::Mark((index, 0)));
                next.events.insert(*event, Some((index, 0)));
            }
            Op::Task { stream, task, .. } => next.give(*stream, Act::Task(*task)),
            Op::Gate { stream, gate } => next.give(*stream, Act::Gate(*gate)),
            Op::Open { gate } => next.open.push(*gate),
            Op::Wait { stream, event } => {
                if let Some(record) = machine.events[event] {
                    next.give(*stream, Act::Hold(record));
                }
            }
            Op::WaitStream { stream, other } => next.wait_stream(*stream, *other, (index, 0)),
            Op::Fork { stream, branches } => {
                let others = branches.iter().filter(|other| streams[*other] != streams[stream]);
                let others: Vec<_> = others.collect();
                if !others.is_empty() {
                    next.give(*stream, Act::Mark((index, 0)));
                }
                others.into_iter().for_each(|other| next.give(*other, Act::Hold((index, 0))));
            }
            Op::Join { stream, branches } => {
                for (number, other) in branches.iter().enumerate() {
                    next.wait_stream(*stream, *other, (index, number));
                }
            }
            Op::Query { stream } => {
                self.seen.answers.insert((index, machine.is_done(streams[stream])));
            }
            Op::QueryEvent { event } => {
                let record = machine.events[event];
                let done = record.is_none_or(|record| machine.is_passed(record));
                self.seen.answers.insert((index, done));
                self.seen.recorded.insert((index, record.is_some()));
            }
            Op::Sync { stream } => {
                let queue = streams[stream];
                let begin = Blocked::Queue(queue, machine.queues[queue].len());
                return self.block(machine, thread, begin);
            }
            Op::SyncEvent { event } => {
                return self.block(machine, thread, Blocked::Record(machine.events[event]));
            }
            Op::Check => {}
            Op::DropStream { stream } => drop(next.streams.remove(stream)),
            Op::DropEvent { event } => drop(next.events.remove(event)),
            Op::Barrier => {
                let all = 0..machine.through.len();
                let here = |thread: usize| self.at(machine, thread) == Some(index);
                // The first of them takes all across.
                if thread > 0 || !all.clone().all(here) {
                    return None;
                }
                all.skip(1).for_each(|thread| next.through[thread] += 1);
            }
            Op::Send { channel } => next.messages.push(*channel),
            Op::Recv { channel } if machine.messages.contains(channel) => {}
            Op::Recv { .. } => return None,
        }
        Some(next)
    }

    /// A call that blocks begins, or ends if it can.
    fn block(&self, machine: &Machine, thread: usize, begin: Blocked) -> Option<Machine> {
        let mut next = machine.clone();
        let Some(blocked) = machine.blocked[thread] else {
            next.blocked[thread] = Some(begin);
            return Some(next);
        };
        let ends = match blocked {
            Blocked::Queue(queue, length) => machine.heads[queue] >= length,
            Blocked::Record(record) => record.is_none_or(|record| machine.is_passed(record)),
        };
        next.blocked[thread] = None;
        next.through[thread] += 1;
        ends.then_some(next)
    }
}

fn tiny(number: u64, limits: &Limits, length: usize) -> Program {
    let mut seed = [7; 16];
    seed[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::XorShift, &seed);
    generate::draft(&mut rng, limits, length)
}

#[derive(Default, Debug)]
struct Compared {
    programs: usize,
    ordered: usize,
    unordered: usize,
    /// Orders that hold and of which the model does not know: only with threads.
    missed: usize,
    refused: usize,
    answers: usize,
}

/// Holds what the model says of a program against all that was seen of it: what it says must hold.
/// With one thread, of which `ungated` tells, it must say no less either.
fn compare(order: &Order, seen: &Seen, ungated: Option<&Seen>, compared: &mut Compared) {
    let exact = ungated.is_some();
    let program = &order.program;
    for first in &order.tasks {
        for second in order.tasks.iter().filter(|second| second.name != first.name) {
            let said = first.step.is_in(&second.after);
            let (a, b) = (first.name, second.name);
            let always = |seen: &Seen| !seen.overtaken.contains(&(a, b));
            let (holds, by_order) = (always(seen), always(ungated.unwrap_or(seen)));
            assert!(!said || holds, "t{a} does not always come before t{b}:\n{program}");
            assert!(!exact || said == by_order, "t{a} always comes before t{b}:\n{program}");
            compared.ordered += usize::from(said);
            compared.unordered += usize::from(!holds);
            compared.missed += usize::from(by_order && !said);
        }
    }
    for (index, statement) in program.0.iter().enumerate() {
        let fact = &order.facts[index];
        if !matches!(statement.op, Op::Query { .. } | Op::QueryEvent { .. }) {
            continue;
        }
        let held = order.holding(&fact.clock, index) != 0;
        let yes = seen.answers.contains(&(index, true));
        let no = seen.answers.contains(&(index, false));
        assert!(!held || !yes, "`{statement}` (statement {index}) can say yes:\n{program}");
        if exact {
            assert!(held || yes, "`{statement}` (statement {index}) says no:\n{program}");
            let known = fact.clock.is_within(&fact.known);
            assert_eq!(known, !no, "`{statement}` (statement {index}) can say no:\n{program}");
        }
        compared.answers += 1;
        if matches!(statement.op, Op::QueryEvent { .. }) {
            let was = |recorded| seen.recorded.contains(&(index, recorded));
            match fact.recorded {
                Recorded::Never => assert!(!was(true), "{index} is recorded:\n{program}"),
                Recorded::Yes => assert!(!was(false), "{index} is not recorded:\n{program}"),
                Recorded::Unknown => assert!(!exact, "{index} is unknown:\n{program}"),
            }
        }
    }
}

const LIMITS: Limits = Limits { independent: usize::MAX, ..LIKE_A_GPU };

fn compare_many(threads: usize, count: u64, length: usize) -> Compared {
    let limits = Limits { threads, ..LIMITS };
    let mut compared = Compared::default();
    for number in 0..count {
        let draft = tiny(number, &limits, length);
        if draft.threads() != threads {
            continue;
        }
        let order = check::repair(&draft, &limits);
        let Some(seen) = Explorer::explore(&order.program, false) else { continue };
        let ungated = match threads {
            1 => Explorer::explore(&order.program, true),
            _ => None,
        };
        assert!(seen.stuck.is_empty(), "{:?} can hang:\n{}", seen.stuck, order.program);
        compare(&order, &seen, ungated.as_ref(), &mut compared);
        compared.programs += 1;
    }
    compared
}

#[test]
fn with_one_thread_the_model_says_what_is_so_and_no_less() {
    let compared = compare_many(1, 600, 16);
    assert!(compared.programs > 400, "{compared:?}");
    assert!(compared.ordered > 400 && compared.unordered > 400, "{compared:?}");
    assert!(compared.answers > 200 && compared.missed == 0, "{compared:?}");
}

#[test]
fn with_threads_the_model_says_nothing_that_is_not_so() {
    let compared = compare_many(2, 900, 20);
    assert!(compared.programs > 60, "{compared:?}");
    assert!(compared.ordered > 60 && compared.unordered > 50, "{compared:?}");
    // What it does not know is little.
    assert!(compared.missed * 10 < compared.ordered, "{compared:?}");
}

/// With one thread, the calls that the model refuses are those that would not return.
#[test]
fn what_is_refused_would_hang() {
    let limits = Limits { threads: 1, ..LIMITS };
    let mut compared = Compared::default();
    for number in 0..4_000 {
        let sound = check::sound(&tiny(number, &limits, 16), &limits, |_, _| ());
        let order = Order::of(sound);
        let refused = (0..order.program.0.len())
            .find(|index| check::unbearable(&order, &limits, *index).is_err());
        if refused.is_none() && number % 10 > 0 {
            continue; // most programs have nothing to refuse
        }
        let Some(seen) = Explorer::explore(&order.program, false) else { continue };
        assert_eq!(refused.into_iter().collect::<HashSet<_>>(), seen.stuck, "\n{}", order.program);
        compared.refused += usize::from(refused.is_some());
        compared.programs += 1;
    }
    assert!(compared.programs > 400 && compared.refused > 30, "{compared:?}");
}

/// Small programs of two threads, and the pairs of tasks that must be in order.
const OF_THREADS: &[(&str, &[(u8, u8)])] = &[
    // What the teller does afterwards is not known to who hears.
    (
        "s0 = stream 0\nbarrier\ns0 task t0\ntell c0\ns0 task t1\n1: hear c0\n1: s0 task t2",
        &[(0, 1), (0, 2)],
    ),
    // Nor is what it has waited for afterwards.
    (
        "s0 = stream 0\ns1 = stream 0\nbarrier\ns0 task t0\ntell c0\nsync s0\n1: hear c0\n1: s1 task t1",
        &[],
    ),
    // What it had waited for is.
    (
        "s0 = stream 0\ns1 = stream 0\nbarrier\ns0 task t0\nsync s0\ntell c0\n1: hear c0\n1: s1 task t1",
        &[(0, 1)],
    ),
    // After a barrier all know everything.
    (
        "s0 = stream 0\ns1 = stream 0\nbarrier\ns0 task t0\n1: s1 task t1\nbarrier\n\
         s0 wait s1\n1: s1 wait s0\ns0 task t2\n1: s1 task t3",
        &[(0, 2), (0, 3), (1, 2), (1, 3)],
    ),
    // One of two records: which one, nobody knows.
    (
        "s0 = stream 0\ns1 = stream 0\ns2 = stream 0\ne0 = event 0\ns0 task t0\ns1 task t1\n\
         s1 wait s0\nbarrier\ns0 record e0\n1: s1 record e0\nbarrier\ns2 wait e0\ns2 task t2",
        &[(0, 2)],
    ),
    // A record that is being made while another thread waits.
    (
        "s0 = stream 0\ns1 = stream 0\ns2 = stream 0\ns0 task t0\ne0 = record s0\nbarrier\n\
         s1 record e0\n1: s2 wait e0\n1: s2 task t1",
        &[],
    ),
    // The same, the other way round in the text.
    (
        "s0 = stream 0\ns1 = stream 0\ns2 = stream 0\ns0 task t0\ne0 = record s0\nbarrier\n\
         1: s2 wait e0\n1: s2 task t1\ns1 record e0",
        &[],
    ),
    // Who hears of a record waits for it.
    (
        "s0 = stream 0\ns1 = stream 0\ne0 = event 0\nbarrier\ns0 task t0\ns0 record e0\ntell c0\n\
         1: hear c0\n1: s1 wait e0\n1: s1 task t1",
        &[(0, 1)],
    ),
    // wait_stream is a snapshot of what its thread knows.
    (
        "s0 = stream 0\ns1 = stream 0\nbarrier\ns0 task t0\n1: s0 task t1\n1: s1 wait s0\n1: s1 task t2",
        &[(1, 2)],
    ),
];

#[test]
fn of_threads_the_model_knows_what_it_should() {
    for (text, pairs) in OF_THREADS {
        let program: Program = text.parse().unwrap();
        let order = check::check(&program, &LIMITS).unwrap_or_else(|why| panic!("{why}\n{text}"));
        let seen = Explorer::explore(&program, false).unwrap();
        compare(&order, &seen, None, &mut Compared::default());
        let said = order.tasks.iter().flat_map(|first| {
            let later = order.tasks.iter().filter(|second| first.step.is_in(&second.after));
            later.map(|second| (first.name, second.name))
        });
        assert_eq!(said.collect::<Vec<_>>(), *pairs, "\n{program}");
    }
}

/// Programs of two threads of which one may wait for ever, and must be refused.
const THAT_MAY_HANG: &[&str] = &[
    // The gate may come before what is waited for,
    "s0 = stream 0\nbarrier\n1: s0 task t0\n1: sync s0\ns0 gate g0",
    // and so may the record behind a gate,
    "s0 = stream 0\ns1 = stream 0\ne0 = event 0\nbarrier\n\
     s0 gate g0\ns0 record e0\n1: s1 wait e0\n1: sync s1",
    // for which the thread itself may wait, too.
    "s0 = stream 0\ne0 = event 0\nbarrier\n1: sync e0\ns0 gate g0\ns0 record e0",
    // It opens the gate only after it has heard of the other, which waits for the gate.
    "s0 = stream 0\nbarrier\ns0 gate g0\n1: sync s0\n1: tell c0\nhear c0\nopen g0",
];

#[test]
fn of_threads_what_may_hang_is_refused() {
    for text in THAT_MAY_HANG {
        let program: Program = text.parse().unwrap();
        let seen = Explorer::explore(&program, false).unwrap();
        assert!(!seen.stuck.is_empty(), "it cannot hang:\n{program}");
        let refused = check::check(&program, &LIMITS).unwrap_err();
        assert!(refused.to_string().contains("would not return"), "{refused}");
    }
}
