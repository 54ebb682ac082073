//! Runs many random programs on one backend, and reports one that fails: [`Campaign`], [`run`].

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use gpu_stream_conformance::{Fixture, Verdict};
use gpu_stream_core::{Backend, BackendKind};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::check::{Limits, Schedule, check};
use crate::generate::Programs;
use crate::generate::accesses::access_program;
use crate::order::Order;
use crate::program::{Op, Program, Statement, StreamKind};
use crate::run::{Counts, Failure, Options, Runner};
use crate::shrink::ShrinkTree;

/// Environment variable with the number of programs.
pub const PROGRAMS: &str = "GPU_STREAM_MODEL_PROGRAMS";

/// Environment variable with the seed and, after a colon, the number of the first program (default 0).
pub const SEED: &str = "GPU_STREAM_MODEL_SEED";

/// Maximum number of statements of a program, not counting the tasks that accompany another statement.
const MAX_STATEMENTS: usize = 40;

/// Number of runs after which a smaller program passes. With threads, a failure need not occur in each run.
const RUNS_PER_CANDIDATE: usize = 4;

/// Time limit of a smaller program. A slow program only ends the search early.
const CANDIDATE_LIMIT: Duration = Duration::from_secs(3);

/// Selection of random programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Campaign {
    /// Seed of all programs.
    pub seed: u64,
    /// Number of the first program.
    pub first: u64,
    /// Number of programs.
    pub programs: u64,
}

/// Error for an environment variable with a wrong value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{variable}={value} is not valid; set it to {expected}")]
pub struct BadVariable {
    variable: &'static str,
    value: String,
    expected: &'static str,
}

impl Campaign {
    /// Creates a campaign of the first `programs` programs of seed 1.
    pub const fn new(programs: u64) -> Self {
        Campaign { seed: 1, first: 0, programs }
    }

    /// Creates a campaign from the environment variables. The default is [`new`](Self::new).
    ///
    /// # Errors
    /// A variable that is not a number.
    pub fn from_env(programs: u64) -> Result<Self, BadVariable> {
        let value = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::parse(programs, value(PROGRAMS).as_deref(), value(SEED).as_deref())
    }

    /// Creates a campaign from the values of the two variables.
    ///
    /// # Errors
    /// A value that is not a number.
    pub fn parse(
        programs: u64,
        count: Option<&str>,
        seed: Option<&str>,
    ) -> Result<Self, BadVariable> {
        let mut campaign = Campaign::new(programs);
        if let Some(value) = count {
            let expected = "a number of programs";
            let bad = |_| BadVariable { variable: PROGRAMS, value: value.into(), expected };
            campaign.programs = value.parse().map_err(bad)?;
        }
        if let Some(value) = seed {
            let expected =
                "a seed or a seed and the number of the first program, such as 7 or 7:1234";
            let bad = |_| BadVariable { variable: SEED, value: value.into(), expected };
            let (seed, first) = value.split_once(':').unwrap_or((value, "0"));
            campaign.seed = seed.parse().map_err(bad)?;
            campaign.first = first.parse().map_err(bad)?;
        }
        Ok(campaign)
    }

    /// Generates the program with this number, as a tree that can shrink.
    ///
    /// # Errors
    /// proptest's reason if it rejects the program.
    pub fn program(&self, number: u64, limits: &Limits) -> Result<ShrinkTree, Verdict> {
        // Mixed, because seeds that differ in few bits would generate similar programs.
        let bytes = mix(self.seed, number);
        let rng = TestRng::from_seed(RngAlgorithm::XorShift, &bytes);
        let mut runner = TestRunner::new_with_rng(config(), rng);
        let programs = Programs { limits: *limits, length: MAX_STATEMENTS };
        let rejected =
            |reason| Verdict::failed(format_args!("proptest generated no program: {reason}"));
        programs.new_tree(&mut runner).map_err(rejected)
    }

    /// Generates the program with accesses with this number, as a tree that can shrink.
    pub(crate) fn access_program(&self, number: u64, limits: &Limits) -> ShrinkTree {
        let mut rng = TestRng::from_seed(RngAlgorithm::XorShift, &mix(self.seed, number));
        ShrinkTree::new(access_program(&mut rng, limits, MAX_STATEMENTS), *limits)
    }
}

/// Returns the configuration of proptest.
fn config() -> Config {
    // `Config::default()` would read the environment each time.
    Config { failure_persistence: None, ..Config::with_cases(1) }
}

/// Returns sixteen bytes that each depend on all bits of the seed and the number (SplitMix64).
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

/// Returns the limits of a fixture.
pub fn limits_of<F: Fixture>(runner: &Runner<F>) -> Limits {
    let fixture = runner.fixture();
    Limits {
        devices: runner.devices().min(2),
        threads: 3,
        independent: fixture.independent(),
        destroy_waits: fixture.destroy_waits(),
        schedule: Schedule::Concurrent,
        default_streams: runner.has_default_streams(),
        captures: false,
    }
}

/// Failing program, and the smallest failing program that was found from it.
#[derive(Clone, Debug)]
pub struct FailingProgram {
    backend: BackendKind,
    seed: u64,
    /// Number of the program.
    pub number: u64,
    /// Program as it was generated.
    pub program: Program,
    /// Failure of the program.
    pub failure: Failure,
    /// Smallest failing program.
    pub smallest: Program,
    /// Failure of the smallest program.
    pub smallest_failure: Failure,
}

impl FailingProgram {
    /// Creates it from the backend, seed and number, the program as it was generated, and the smallest one.
    pub(crate) fn new(
        (backend, seed, number): (BackendKind, u64, u64),
        (program, failure): (Program, Failure),
        (smallest, smallest_failure): (Program, Failure),
    ) -> Self {
        FailingProgram { backend, seed, number, program, failure, smallest, smallest_failure }
    }

    /// Formats the failure of the original program.
    fn original(&self) -> String {
        let FailingProgram { number, seed, backend, .. } = self;
        let program = with_failure(&self.program, &self.failure);
        format!(
            "program {number} of seed {seed} fails on {backend}:\n\n{program}\n{}",
            self.rerun()
        )
    }

    /// Formats the variables that run the program again.
    fn rerun(&self) -> String {
        format!("run again with: {SEED}={}:{} {PROGRAMS}=1", self.seed, self.number)
    }
}

impl fmt::Display for FailingProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "program {} of seed {} fails on {}", self.number, self.seed, self.backend)?;
        writeln!(f, "the smallest failing program; to add it to the corpus, save it as a file of")?;
        writeln!(f, "tests/model/programs:\n")?;
        f.write_str(&with_failure(&self.smallest, &self.smallest_failure))?;
        writeln!(f, "\nit was found from this program:\n")?;
        f.write_str(&with_failure(&self.program, &self.failure))?;
        writeln!(f, "\n{}", self.rerun())
    }
}

/// Formats a program, with the failure as a comment after its statement.
pub fn with_failure(program: &Program, failure: &Failure) -> String {
    let mut text = String::new();
    let message = failure.message.replace('\n', " ");
    for (index, statement) in program.0.iter().enumerate() {
        let _ = writeln!(text, "{statement}");
        if failure.statement == Some(index) {
            let _ = writeln!(text, "# ^ {message}");
        }
    }
    if failure.statement.is_none() {
        let _ = writeln!(text, "# at the end: {message}");
    }
    text
}

/// Runs the programs of a campaign until one fails, and shrinks that program.
///
/// # Errors
/// The failing program.
pub fn run<F: Fixture>(
    runner: &mut Runner<F>,
    campaign: &Campaign,
    options: &Options,
) -> Result<Counts, Box<FailingProgram>> {
    let limits = limits_of(runner);
    let before = runner.counts();
    for number in campaign.first..campaign.first + campaign.programs {
        runner.label(format!("seed {}, program {number}", campaign.seed));
        let failure =
            |verdict: Verdict| Failure { statement: None, message: verdict.reason().into() };
        let caught = |program, failure: Failure| FailingProgram {
            backend: F::Backend::KIND,
            seed: campaign.seed,
            number,
            smallest: Program::clone(&program),
            program,
            smallest_failure: failure.clone(),
            failure,
        };
        let tree = campaign.program(number, &limits);
        let tree = tree.map_err(|verdict| caught(Program::default(), failure(verdict)))?;
        // Every second program synchronizes without a query before it.
        let settle_first = number % 2 == 0;
        if let Err(failure) = runner.run(tree.order(), settle_first) {
            let mut caught = caught(tree.current(), failure);
            // A smaller program can hang or crash the process, so the original failure is printed first.
            if options.candidates > 0 {
                let original = caught.original();
                eprintln!("{original}\nsearching for a smaller program");
                runner.set_finding(Some(original));
            }
            runner.limit(CANDIDATE_LIMIT);
            let failure = caught.failure.clone();
            (caught.smallest, caught.smallest_failure) =
                shrink(tree, failure, options.candidates, |order| {
                    try_smaller(runner, order, settle_first)
                });
            runner.limit(options.limit);
            runner.set_finding(None);
            return Err(Box::new(caught));
        }
    }
    let mut counts = runner.counts();
    counts.subtract(before);
    Ok(counts)
}

/// Result of running a smaller program several times.
pub(crate) enum Attempt {
    Passes,
    Fails(Failure),
    /// The backend rejects every program, as in a process that is exiting.
    BackendUnusable,
}

/// Runs a smaller program several times, until it fails.
fn try_smaller<F: Fixture>(
    runner: &mut Runner<F>,
    order: &Arc<Order>,
    settle_first: bool,
) -> Attempt {
    match (0..RUNS_PER_CANDIDATE).find_map(|_| runner.run(order, settle_first).err()) {
        None => Attempt::Passes,
        Some(_) if !runner.is_usable() => Attempt::BackendUnusable,
        Some(failure) => Attempt::Fails(failure),
    }
}

/// Returns the smallest failing program of the tree, by proptest's protocol.
///
/// Once the backend rejects every program, a failure no longer depends on the program. The search then ends with
/// the result so far.
pub(crate) fn shrink(
    mut tree: ShrinkTree,
    failure: Failure,
    candidates: usize,
    mut attempt: impl FnMut(&Arc<Order>) -> Attempt,
) -> (Program, Failure) {
    let mut best = (tree.current(), failure);
    let mut more = candidates > 0 && tree.simplify();
    for _ in 0..candidates {
        if !more {
            break;
        }
        more = match attempt(tree.order()) {
            Attempt::BackendUnusable => break,
            Attempt::Fails(failure) => {
                best = (tree.current(), failure);
                tree.simplify()
            }
            Attempt::Passes => tree.complicate(),
        };
    }
    best
}

/// Runs one program several times, because with threads or without gates the runs differ.
///
/// # Errors
/// The failure, or the reason why the program may not run. A skip if the program needs more devices than exist.
pub fn replay<F: Fixture>(runner: &mut Runner<F>, text: &str, times: usize) -> Result<(), Verdict> {
    let program: Program = text.parse()?;
    let limits = limits_of(runner);
    if program.devices() > limits.devices {
        return Err(Verdict::needs_devices(u32::try_from(program.devices())?));
    }
    let uses_default = |statement: &Statement| {
        matches!(statement.op, Op::Stream { kind: StreamKind::Default | StreamKind::Own, .. })
    };
    if !limits.default_streams && program.0.iter().any(uses_default) {
        return Err(Verdict::inapplicable("the engine has no default streams"));
    }
    let order = Arc::new(check(&program, &limits)?);
    for run in 0..times {
        runner.run(&order, run % 2 == 0).map_err(|failure| {
            Verdict::Failed(format!("\n{}", with_failure(&program, &failure)))
        })?;
    }
    Ok(())
}

/// Limits that every fixture of this project allows.
pub const GPU_LIMITS: Limits = Limits {
    devices: 2,
    threads: 3,
    independent: 4,
    destroy_waits: false,
    schedule: Schedule::Concurrent,
    default_streams: true,
    captures: false,
};

#[cfg(test)]
mod tests;
