//! What the table was asked for.

use super::measure::COLUMNS;

/// The text for `--help`.
pub const USAGE: &str = "\
usage: cargo bench -p gpu-stream-host --bench table -- [OPTIONS]
  --rounds N    rounds, at least 1; 9 if not given
  --only NAME   only this workload: W1, W1p, W2, W2p, W3, W4, W4i or W5;
                may be repeated
  --quick       small sizes, to see that it runs; the figures mean nothing
  --help        this text
W1  one stream, 1,000,000 tasks, then a wait
W2  1,000 streams, 1,000 tasks each, round robin, then a wait for each
W1p W1 by four producers, a fourth of the tasks each
W2p W2 by four producers, a fourth of the streams each
W3  two streams by turns, each task behind a wait for the other's last event, 20,000 rounds of two hops
W4  one task for an idle stream and a wait; median / p99 of 5,000
W4i the same after the caller has spun for 200 µs; of 1,000
W5  64 streams get a task each, one waits for all of them, the caller for that one; median of 500";

/// The arguments.
pub struct Args {
    /// How many rounds to run.
    pub rounds: usize,
    /// The workloads to run; all if empty.
    pub only: Vec<&'static str>,
    /// Whether to run small sizes only.
    pub quick: bool,
    /// What to do.
    pub wanted: Wanted,
}

/// What to do.
pub enum Wanted {
    /// The table.
    Table,
    /// What one contender takes of the system, in a process of its own: how the table starts
    /// itself.
    Footprint {
        /// The title of the column.
        column: String,
        /// The number of the row.
        row: usize,
    },
    /// The usage.
    Help,
}

impl Args {
    /// Reads the arguments; the error says what is wrong with them.
    pub fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = Args { rounds: 9, only: Vec::new(), quick: false, wanted: Wanted::Table };
        let mut benching = false;
        while let Some(arg) = given.next() {
            let mut value = || given.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                // Given by `cargo bench`, and not by `cargo test --benches`.
                "--bench" => benching = true,
                "--rounds" => args.rounds = at_least(1, &arg, &value()?)?,
                "--only" => args.only.push(group(&value()?)?),
                "--quick" => args.quick = true,
                "--footprint" => {
                    benching = true;
                    let (column, row) = (value()?, at_least(0, &arg, &value()?)?);
                    args.wanted = Wanted::Footprint { column, row };
                }
                "--help" | "-h" => args.wanted = Wanted::Help,
                _ => return Err(format!("unknown argument {arg}")),
            }
        }
        if !benching {
            args.quick = true;
            args.rounds = 1;
        }
        Ok(args)
    }
}

fn at_least(least: usize, arg: &str, value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| *number >= least);
    number.ok_or(format!("{arg} {value}: this must be a whole number, at least {least}"))
}

fn group(value: &str) -> Result<&'static str, String> {
    let mut groups = COLUMNS.iter().map(|column| column.group);
    let found = groups.find(|group| group.eq_ignore_ascii_case(value));
    found.ok_or(format!("--only {value}: there is no such workload"))
}
