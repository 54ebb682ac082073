//! Many programs on one backend: which, how many, and what is said of one that fails.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use gpu_stream_conformance::{Fixture, Verdict};
use gpu_stream_core::{Backend, BackendKind};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::check::{Limits, check};
use crate::generate::{Programs, Smaller};
use crate::order::Order;
use crate::program::Program;
use crate::run::{Counts, Failure, Options, Runner};

/// The environment variable that says how many programs to run.
pub const PROGRAMS: &str = "GPU_STREAM_MODEL_PROGRAMS";

/// The environment variable that says with which programs to begin: a seed, and after a colon the
/// number of the first program if it is not 0.
pub const SEED: &str = "GPU_STREAM_MODEL_SEED";

/// How many statements a program has at most, but for tasks that come with another statement.
const LENGTH: usize = 40;

/// How often a smaller program is run before it counts as one that passes: with threads, a failure
/// need not come every time.
const TRIES: usize = 4;

/// How long a smaller program may take. One that is only slow ends the search early, no more.
const LIMIT_OF_THE_SMALLER: Duration = Duration::from_secs(3);

/// Which programs to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Campaign {
    /// The seed, from which every program comes.
    pub seed: u64,
    /// The number of the first program.
    pub first: u64,
    /// How many.
    pub programs: u64,
}

/// A variable that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{variable}={value}: give {wanted}")]
pub struct BadVariable {
    variable: &'static str,
    value: String,
    wanted: &'static str,
}

impl Campaign {
    /// Seed 1, from the first program on.
    pub const fn new(programs: u64) -> Self {
        Campaign { seed: 1, first: 0, programs }
    }

    /// What the environment says, and else `programs` of seed 1.
    ///
    /// # Errors
    /// A variable that is no number.
    pub fn from_env(programs: u64) -> Result<Self, BadVariable> {
        let value = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::parse(programs, value(PROGRAMS).as_deref(), value(SEED).as_deref())
    }

    /// What the two variables say.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn parse(
        programs: u64,
        count: Option<&str>,
        seed: Option<&str>,
    ) -> Result<Self, BadVariable> {
        let mut campaign = Campaign::new(programs);
        if let Some(value) = count {
            let wanted = "how many programs to run, as a number";
            let bad = |_| BadVariable { variable: PROGRAMS, value: value.into(), wanted };
            campaign.programs = value.parse().map_err(bad)?;
        }
        if let Some(value) = seed {
            let wanted = "a seed, as a number, and after a colon the first program's number: 7 or \
                          7:1234";
            let bad = |_| BadVariable { variable: SEED, value: value.into(), wanted };
            let (seed, first) = value.split_once(':').unwrap_or((value, "0"));
            campaign.seed = seed.parse().map_err(bad)?;
            campaign.first = first.parse().map_err(bad)?;
        }
        Ok(campaign)
    }

    /// Program `number`, with what can be left out of it.
    ///
    /// # Errors
    /// proptest's reason, if it refuses to make one.
    pub fn program(&self, number: u64, limits: &Limits) -> Result<Smaller, Verdict> {
        // Seeds that differ in few bits would give programs that differ little.
        let bytes = mix(self.seed, number);
        let rng = TestRng::from_seed(RngAlgorithm::XorShift, &bytes);
        let mut runner = TestRunner::new_with_rng(config(), rng);
        let programs = Programs { limits: *limits, length: LENGTH };
        let refused = |reason| Verdict::failed(format_args!("proptest made no program: {reason}"));
        programs.new_tree(&mut runner).map_err(refused)
    }
}

fn config() -> Config {
    // Not `Config::default()`, which reads the environment each time.
    Config { failure_persistence: None, ..Config::with_cases(1) }
}

/// Sixteen bytes of which each depends on all of the seed and the number (splitmix64, twice).
fn mix(seed: u64, number: u64) -> [u8; 16] {
    let step = |state: u64| {
        let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let first = step(step(seed).wrapping_add(number));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&step(first).to_le_bytes());
    bytes
}

/// What a fixture allows.
pub fn limits_of<F: Fixture>(runner: &Runner<F>) -> Limits {
    let fixture = runner.fixture();
    Limits {
        devices: runner.devices().min(2),
        threads: 3,
        independent: fixture.independent(),
        destroy_waits: fixture.destroy_waits(),
    }
}

/// A program that fails, and the smallest that was found to fail as well.
#[derive(Clone, Debug)]
pub struct Caught {
    backend: BackendKind,
    seed: u64,
    /// Its number.
    pub number: u64,
    /// The program as it was made.
    pub program: Program,
    /// What it saw.
    pub failure: Failure,
    /// The smallest that fails.
    pub smallest: Program,
    /// What that one saw.
    pub then: Failure,
}

impl Caught {
    /// Returns what was found, without the smallest program.
    fn first(&self) -> String {
        let Caught { number, seed, backend, .. } = self;
        let program = with_failure(&self.program, &self.failure);
        format!(
            "program {number} of seed {seed} fails on {backend}:\n\n{program}\n{}",
            self.again()
        )
    }

    fn again(&self) -> String {
        format!("again: {SEED}={}:{} {PROGRAMS}=1", self.seed, self.number)
    }
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "program {} of seed {} fails on {}", self.number, self.seed, self.backend)?;
        writeln!(f, "the smallest program found that fails; to keep it, put it into a file of")?;
        writeln!(f, "tests/model/programs:\n")?;
        f.write_str(&with_failure(&self.smallest, &self.then))?;
        writeln!(f, "\nit comes from this one:\n")?;
        f.write_str(&with_failure(&self.program, &self.failure))?;
        writeln!(f, "\n{}", self.again())
    }
}

/// The text of a program, with what was seen as a comment at its place.
pub fn with_failure(program: &Program, failure: &Failure) -> String {
    let mut text = String::new();
    let seen = failure.seen.replace('\n', " ");
    for (index, statement) in program.0.iter().enumerate() {
        let _ = writeln!(text, "{statement}");
        if failure.statement == Some(index) {
            let _ = writeln!(text, "# ^ {seen}");
        }
    }
    if failure.statement.is_none() {
        let _ = writeln!(text, "# in the end: {seen}");
    }
    text
}

/// Runs the programs of a campaign until one fails, and makes that one smaller.
///
/// # Errors
/// The program that fails.
pub fn run<F: Fixture>(
    runner: &mut Runner<F>,
    campaign: &Campaign,
    options: &Options,
) -> Result<Counts, Box<Caught>> {
    let limits = limits_of(runner);
    let before = runner.counts();
    for number in campaign.first..campaign.first + campaign.programs {
        runner.label(format!("seed {}, program {number}", campaign.seed));
        let failure = |seen: Verdict| Failure { statement: None, seen: seen.reason().into() };
        let caught = |program, failure: Failure| Caught {
            backend: F::Backend::KIND,
            seed: campaign.seed,
            number,
            smallest: Program::clone(&program),
            program,
            then: failure.clone(),
            failure,
        };
        let tree = campaign.program(number, &limits);
        let tree = tree.map_err(|seen| caught(Program::default(), failure(seen)))?;
        // Every second one waits for what it does not know to be done.
        let careful = number % 2 == 0;
        if let Err(failure) = runner.run(tree.order(), careful) {
            let mut caught = caught(tree.current(), failure);
            // A smaller program can hang, or crash the process: what was found stands by then.
            if options.candidates > 0 {
                let found = caught.first();
                eprintln!("{found}\nlooking for a smaller program");
                runner.found(Some(found));
            }
            runner.limit(LIMIT_OF_THE_SMALLER);
            let failure = caught.failure.clone();
            (caught.smallest, caught.then) = smallest(tree, failure, options.candidates, |order| {
                try_smaller(runner, order, careful)
            });
            runner.limit(options.limit);
            runner.found(None);
            return Err(Box::new(caught));
        }
    }
    let mut counts = runner.counts();
    counts.subtract(before);
    Ok(counts)
}

/// What came of trying a smaller program.
enum Tried {
    Passes,
    Fails(Failure),
    /// The backend refuses every program, as in a process that is ending.
    Useless,
}

/// Runs a smaller program several times.
fn try_smaller<F: Fixture>(runner: &mut Runner<F>, order: &Arc<Order>, careful: bool) -> Tried {
    match (0..TRIES).find_map(|_| runner.run(order, careful).err()) {
        None => Tried::Passes,
        Some(_) if !runner.is_usable() => Tried::Useless,
        Some(failure) => Tried::Fails(failure),
    }
}

/// The smallest program of the tree that is found to fail, by proptest's protocol.
///
/// Once the backend refuses every program, a failure says nothing of the program. The search ends
/// then, with what was found before.
fn smallest(
    mut tree: Smaller,
    failure: Failure,
    candidates: usize,
    mut try_it: impl FnMut(&Arc<Order>) -> Tried,
) -> (Program, Failure) {
    let mut best = (tree.current(), failure);
    let mut more = candidates > 0 && tree.simplify();
    for _ in 0..candidates {
        if !more {
            break;
        }
        more = match try_it(tree.order()) {
            Tried::Useless => break,
            Tried::Fails(failure) => {
                best = (tree.current(), failure);
                tree.simplify()
            }
            Tried::Passes => tree.complicate(),
        };
    }
    best
}

/// Runs one program several times: with threads or without gates, not every run is the same.
///
/// # Errors
/// What was seen, or why the program may not be run. A program that needs more devices than there
/// are is skipped.
pub fn replay<F: Fixture>(runner: &mut Runner<F>, text: &str, times: usize) -> Result<(), Verdict> {
    let program: Program = text.parse()?;
    let limits = limits_of(runner);
    if program.devices() > limits.devices {
        return Err(Verdict::needs_devices(u32::try_from(program.devices())?));
    }
    let order = Arc::new(check(&program, &limits)?);
    for turn in 0..times {
        runner.run(&order, turn % 2 == 0).map_err(|failure| {
            Verdict::Failed(format!("\n{}", with_failure(&program, &failure)))
        })?;
    }
    Ok(())
}

/// What every fixture of this project allows.
pub const LIKE_A_GPU: Limits =
    Limits { devices: 2, threads: 3, independent: 4, destroy_waits: false };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_say_which_programs() {
        let parse = |count, seed| Campaign::parse(10, count, seed);
        assert_eq!(parse(None, None), Ok(Campaign { seed: 1, first: 0, programs: 10 }));
        let both = parse(Some("3"), Some("7:12"));
        assert_eq!(both, Ok(Campaign { seed: 7, first: 12, programs: 3 }));
        assert!(parse(Some("many"), None).unwrap_err().to_string().contains("many"));
        for wrong in ["x", "7:", ":7", "7:x", "-1"] {
            let error = parse(None, Some(wrong)).unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }

    #[test]
    fn programs_are_sound_varied_and_the_same_each_time() {
        let campaign = Campaign::new(0);
        let mut texts = std::collections::BTreeSet::new();
        for number in 0..300 {
            let program = campaign.program(number, &LIKE_A_GPU).unwrap().current();
            let again = campaign.program(number, &LIKE_A_GPU).unwrap().current();
            assert_eq!(program, again);
            check(&program, &LIKE_A_GPU).unwrap_or_else(|error| panic!("{error}\n{program}"));
            let read: Program = program.to_string().parse().unwrap();
            assert_eq!(read, program);
            texts.insert(program.to_string());
        }
        assert!(texts.len() > 290, "only {} of 300 programs differ", texts.len());
    }

    #[test]
    fn a_process_that_ends_does_not_replace_the_finding() {
        let failure = |seen: &str| Failure { statement: None, seen: seen.into() };
        let tree = || Campaign::new(0).program(0, &LIKE_A_GPU).unwrap();
        let first = || (tree().current(), failure("a wrong number"));
        let mut tried = 0;
        let found = smallest(tree(), failure("a wrong number"), 1_000, |_| {
            tried += 1;
            if tried > 1 { Tried::Useless } else { Tried::Passes }
        });
        assert_eq!((found, tried), (first(), 2));
        let found = smallest(tree(), failure("a wrong number"), 1_000, |order| {
            match order.program.0.len() {
                0..3 => Tried::Useless,
                _ => Tried::Fails(failure("a wrong number, too")),
            }
        });
        assert!(found.0.0.len() >= 3 && found.1.seen == "a wrong number, too", "{found:?}");
    }

    #[test]
    fn what_fails_becomes_small() {
        // As if a second wait of one stream failed whatever else is there.
        let fails = |program: &Program| {
            let text = program.to_string();
            text.lines().filter(|line| line.starts_with("s1 wait ")).count() > 1
        };
        let campaign = Campaign::new(0);
        let found = (0..1_000).find_map(|number| {
            let tree = campaign.program(number, &LIKE_A_GPU).unwrap();
            (fails(&tree.current()) && tree.current().0.len() > 20).then_some(tree)
        });
        let mut tree = found.expect("a program that fails");
        let mut best = tree.current();
        let mut more = tree.simplify();
        while more {
            let current = tree.current();
            assert!(current.0.len() <= best.0.len());
            check(&current, &LIKE_A_GPU).unwrap();
            more = if fails(&current) {
                best = current;
                tree.simplify()
            } else {
                tree.complicate()
            };
        }
        // A stream, one or two events to wait for, and the waits.
        assert!(best.0.len() <= 5, "{best}");
        assert!(fails(&best));
    }
}
