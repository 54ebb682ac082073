//! The command line: [`Args`].

use super::measure::COLUMNS;

/// The output of `--help`.
pub const USAGE: &str = "\
usage: cargo bench -p gpu-stream-host --bench table -- [OPTIONS]
  --rounds N    number of rounds, at least 1 (default: 9)
  --only NAME   only this workload: W1, W1p, W2, W2p, W3, W4, W4i or W5;
                may be repeated
  --quick       small sizes, to check that it runs; the figures mean nothing
  --help        print this text
W1  one stream, 1,000,000 tasks, then a wait
W2  1,000 streams, 1,000 tasks each, round robin, then a wait for each
W1p W1 with four producers, a quarter of the tasks each
W2p W2 with four producers, a quarter of the streams each
W3  two streams alternate, each task after a wait for the other's last event, 20,000 rounds of two hops
W4  one task for an idle stream and a wait; median / p99 of 5,000
W4i W4 after the caller has spun for 200 µs; of 1,000
W5  64 streams get a task each, one waits for all of them, the caller waits for that one; median of 500";

/// The arguments.
pub struct Args {
    /// The number of rounds.
    pub rounds: usize,
    /// The workloads to run. Empty: all.
    pub only: Vec<&'static str>,
    /// `true` for small sizes.
    pub quick: bool,
    /// The action.
    pub command: Command,
}

/// The action that the arguments request.
pub enum Command {
    /// Prints the table.
    Table,
    /// Prints the memory or the threads of one contender. The table starts itself with this,
    /// because both belong to a process.
    Footprint {
        /// The title of the column.
        column: String,
        /// The number of the row.
        row: usize,
    },
    /// Prints the usage.
    Help,
}

impl Args {
    /// Parses the arguments. Returns a message if they are invalid.
    pub fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = Args { rounds: 9, only: Vec::new(), quick: false, command: Command::Table };
        let mut benching = false;
        while let Some(arg) = given.next() {
            let mut value = || given.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                // Passed by `cargo bench`, not by `cargo test --benches`.
                "--bench" => benching = true,
                "--rounds" => args.rounds = at_least(1, &arg, &value()?)?,
                "--only" => args.only.push(group(&value()?)?),
                "--quick" => args.quick = true,
                "--footprint" => {
                    benching = true;
                    let (column, row) = (value()?, at_least(0, &arg, &value()?)?);
                    args.command = Command::Footprint { column, row };
                }
                "--help" | "-h" => args.command = Command::Help,
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
    number.ok_or(format!("{arg} {value}: not a whole number of at least {least}"))
}

fn group(value: &str) -> Result<&'static str, String> {
    let mut groups = COLUMNS.iter().map(|column| column.group);
    let found = groups.find(|group| group.eq_ignore_ascii_case(value));
    found.ok_or(format!("--only {value}: no such workload"))
}
