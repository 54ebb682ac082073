//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use gpu_stream::BackendKind;

/// GPU streams that somebody else allocated, with one meaning on every vendor: see what this
/// machine has, and check that it keeps the contract. Without a command, it is `check`.
#[derive(Parser, Clone, Debug)]
#[command(name = "gpu-stream", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What `check` takes, for when the word is left out.
    #[command(flatten)]
    pub check: Check,
}

/// What the command can do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Run the conformance suite on every backend that this build and this machine have
    Check(Check),
    /// Say what each backend is, whether it is there, and what to do about what is missing
    Info(Info),
    /// Measure what each operation costs, beside the bare driver's calls that do the same job
    Bench(Bench),
}

/// How to check.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_STATUS)]
pub struct Check {
    /// Check this backend only: host, cuda or hip; may be given several times
    #[arg(long, value_name = "NAME", value_parser = parse_backend)]
    pub backend: Vec<BackendKind>,

    /// Run the cases whose `area::name` contains this, or matches it if it has `*` or `?`; a rule
    /// (R11) stands for its cases; may be given several times
    #[arg(long, value_name = "PATTERN")]
    pub case: Vec<String>,

    /// List the cases and the rules that they check, and run none
    #[arg(long)]
    pub list: bool,

    /// Write a report for programs to FILE; `-`, or no name, is stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<String>,

    /// Run each case so many times; it passes if it passes every time
    #[arg(long, value_name = "N", default_value = "1")]
    pub repeat: NonZeroU32,

    /// No colour, no lines, no progress bar; results are printed as they come all the same
    #[arg(long)]
    pub plain: bool,

    /// How long one case may take before it counts as hung
    #[arg(long, value_name = "SECONDS", value_parser = parse_limit, default_value = DEFAULT_LIMIT)]
    pub limit: Duration,

    /// Run the case with this index alone, and write its outcome for the command that started this
    #[arg(long, hide = true, value_name = "INDEX")]
    pub single: Option<usize>,
}

/// How to inform.
#[derive(Args, Clone, Debug)]
pub struct Info {
    /// Write it for programs to FILE; `-`, or no name, is stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<String>,

    /// No colour
    #[arg(long)]
    pub plain: bool,
}

/// How to measure.
#[derive(Args, Clone, Debug)]
#[command(after_help = BENCH_EXIT_STATUS)]
pub struct Bench {
    /// Measure this backend only: host, cuda or hip; may be given several times
    #[arg(long, value_name = "NAME", value_parser = parse_backend)]
    pub backend: Vec<BackendKind>,

    /// Measure the operations whose name contains this, or matches it if it has `*` or `?`, and not
    /// several threads at once; may be given several times
    #[arg(long, value_name = "PATTERN")]
    pub operation: Vec<String>,

    /// List the operations, and measure none
    #[arg(long)]
    pub list: bool,

    /// Measure also among up to 10,000 streams and events, and with queues of up to 100,000 hops
    #[arg(long)]
    pub growth: bool,

    /// Let the scripts (*.py) in FOLDER take part: other libraries, each in a process of its own
    #[arg(long, value_name = "FOLDER")]
    pub peers: Option<PathBuf>,

    /// What runs the scripts
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: PathBuf,

    /// Rounds, in each of which everybody has one batch
    #[arg(long, value_name = "N", default_value = "31", value_parser = parse_rounds)]
    pub rounds: u32,

    /// Only see that everything runs: few and short batches, whose figures mean nothing
    #[arg(long, conflicts_with = "rounds")]
    pub quick: bool,

    /// Write a report for programs to FILE; `-`, or no name, is stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<String>,

    /// Draw a picture into FILE
    #[arg(long, value_name = "FILE")]
    pub svg: Option<String>,

    /// Write tables for a document to FILE
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<String>,

    /// No colour, no lines, no progress bar
    #[arg(long)]
    pub plain: bool,
}

const DEFAULT_LIMIT: &str = "60";

const EXIT_STATUS: &str = "Exit status: 0 if nothing failed, 1 if a case failed or a backend that was named ran no \
                           case, 2 if the command line asks for something that is not there.\n\
                           GPU_STREAM_REQUIRE=host,cuda makes a skip on these backends a failure; cuda:2 asks for two \
                           devices.";

const BENCH_EXIT_STATUS: &str = "Exit status: 0 if all was measured, 1 if something failed, 2 if the command line asks for \
                                 something that is not there.";

/// Fewer rounds say too little about their spread.
const FEWEST_ROUNDS: u32 = 31;

impl Arguments {
    /// Whether the output should be plain.
    pub fn is_plain(&self) -> bool {
        match &self.command {
            None => self.check.plain,
            Some(Command::Check(check)) => check.plain,
            Some(Command::Info(info)) => info.plain,
            Some(Command::Bench(bench)) => bench.plain,
        }
    }
}

fn parse_backend(name: &str) -> Result<BackendKind, gpu_stream::UnknownBackend> {
    name.parse()
}

fn parse_rounds(text: &str) -> Result<u32, String> {
    let rounds: u32 = text.parse().map_err(|_| "not a whole number".to_owned())?;
    if rounds < FEWEST_ROUNDS {
        return Err(format!("it must be at least {FEWEST_ROUNDS}; --quick makes fewer"));
    }
    Ok(rounds)
}

fn parse_limit(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    let limit = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if limit.is_zero() {
        return Err("it must be more than 0".into());
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(format!("gpu-stream {line}").split_whitespace())
    }

    fn check(line: &str) -> Check {
        match parse(line).unwrap() {
            Arguments { command: Some(Command::Check(check)), .. } => check,
            Arguments { command: None, check } => check,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_declaration_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn without_a_word_it_is_check() {
        for word in ["", "check "] {
            let check = check(&format!("{word}--backend host --backend rocm --case a* --repeat 3"));
            assert_eq!(check.backend, [BackendKind::Host, BackendKind::Hip]);
            assert_eq!((check.case[0].as_str(), check.repeat.get()), ("a*", 3));
            assert_eq!(check.limit, Duration::from_secs(60));
        }
        assert!(parse("").unwrap().command.is_none());
    }

    #[test]
    fn json_without_a_name_is_stdout() {
        assert_eq!(check("check --json").json.as_deref(), Some("-"));
        assert_eq!(check("check --json - --plain").json.as_deref(), Some("-"));
        assert_eq!(check("--json out.json").json.as_deref(), Some("out.json"));
        assert_eq!(check("").json, None);
    }

    #[test]
    fn bench_has_options_of_its_own() {
        let line = "bench --backend cuda --operation wait* --rounds 51 --svg a.svg --json";
        let Some(Command::Bench(bench)) = parse(line).unwrap().command else { panic!("no bench") };
        assert_eq!((bench.backend, bench.rounds), (vec![BackendKind::Cuda], 51));
        assert_eq!((bench.svg.as_deref(), bench.json.as_deref()), (Some("a.svg"), Some("-")));
        assert_eq!((bench.peers, bench.growth, bench.quick), (None, false, false));
        assert_eq!(bench.python, PathBuf::from("python3"));
        assert!(parse("bench --plain").unwrap().is_plain());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let lines = [
            "--repeat 0",
            "--limit 0",
            "--limit soon",
            "--limit -1",
            "--backend gpu",
            "chek",
            "--growth",
            "bench --rounds 30",
            "bench --rounds many",
            "bench --rounds 31 --quick",
            "bench --case a",
        ];
        for line in lines {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        let text = parse("--backend gpu").unwrap_err().to_string();
        assert!(text.contains("host, cuda and hip"), "{text}");
    }
}
