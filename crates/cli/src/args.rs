//! The command line: [`Arguments`].

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use gpu_stream::BackendKind;

/// GPU streams of other libraries, with one meaning on every vendor: shows which backends this
/// machine has, and checks that they keep the contract. The default command is `check`.
#[derive(Parser, Clone, Debug)]
#[command(name = "gpu-stream", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// The command. `None` means `check`.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The arguments of `check` if the command is omitted.
    #[command(flatten)]
    pub check: Check,
}

/// The commands.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Run the conformance suite on every backend that this build and this machine have
    Check(Check),
    /// Show each backend, whether it is available, and what to do if it is not
    Info(Info),
    /// Measure each operation, compared with the bare driver's calls that do the same job
    Bench(Bench),
    /// Put the JSON reports of many runs and machines into one table
    Matrix(Matrix),
}

/// The arguments of `check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_STATUS)]
pub struct Check {
    /// Check only this backend: host, cuda, hip or opencl; can be repeated
    #[arg(long, value_name = "NAME", value_parser = parse_backend)]
    pub backend: Vec<BackendKind>,

    /// Run only the cases whose `area::name` contains this, or matches it if it has `*` or `?`; a
    /// rule (R11) selects its cases; can be repeated
    #[arg(long, value_name = "PATTERN")]
    pub case: Vec<String>,

    /// List the cases and the rules that they check, without running them
    #[arg(long)]
    pub list: bool,

    /// Write a JSON report to FILE; `-`, or no name, is stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<String>,

    /// Run each case N times; it passes if it passes every time
    #[arg(long, value_name = "N", default_value = "1")]
    pub repeat: NonZeroU32,

    /// Run the cases with a check of the order of accesses; what it finds in a case that is right is a failure
    #[arg(long)]
    pub checked: bool,

    /// Use no colors, lines or progress bar; results are still printed as they arrive
    #[arg(long)]
    pub plain: bool,

    /// The time limit after which a case counts as hung
    #[arg(long, value_name = "SECONDS", value_parser = parse_limit, default_value = DEFAULT_LIMIT)]
    pub limit: Duration,

    /// Run only the case with this index, and write its outcome for the parent process
    #[arg(long, hide = true, value_name = "INDEX")]
    pub single: Option<usize>,
}

/// The arguments of `info`.
#[derive(Args, Clone, Debug)]
pub struct Info {
    /// Write the information as JSON to FILE; `-`, or no name, is stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<String>,

    /// Use no colors
    #[arg(long)]
    pub plain: bool,
}

/// The arguments of `bench`.
#[derive(Args, Clone, Debug)]
#[command(after_help = BENCH_EXIT_STATUS)]
pub struct Bench {
    /// Measure only this backend: host, cuda or hip; can be repeated
    #[arg(long, value_name = "NAME", value_parser = parse_backend)]
    pub backend: Vec<BackendKind>,

    /// Measure only the operations whose name contains this, or matches it if it has `*` or `?`, and
    /// skip the measurements with several threads; can be repeated
    #[arg(long, value_name = "PATTERN")]
    pub operation: Vec<String>,

    /// List the operations, without measuring them
    #[arg(long)]
    pub list: bool,

    /// Also measure with up to 10,000 live streams and events, and with queues of up to 100,000 hops
    #[arg(long)]
    pub growth: bool,

    /// Also measure other libraries, by the scripts (*.py) in FOLDER, each in a separate process
    #[arg(long, value_name = "FOLDER")]
    pub peers: Option<PathBuf>,

    /// Also measure in child processes with 8 and with 32 hardware queues, which some programs ask for by
    /// CUDA_DEVICE_MAX_CONNECTIONS or GPU_MAX_HW_QUEUES
    #[arg(long)]
    pub environments: bool,

    /// Measure only the bare driver and gpu-stream, for a parent process
    #[arg(long, hide = true)]
    pub only_pairs: bool,

    /// The Python interpreter that runs the scripts
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: PathBuf,

    /// The number of rounds; each contender runs one batch per round
    #[arg(long, value_name = "N", default_value = "31", value_parser = parse_rounds)]
    pub rounds: u32,

    /// Only test that everything runs, with few and short batches whose figures mean nothing
    #[arg(long, conflicts_with = "rounds")]
    pub quick: bool,

    /// Write a JSON report to FILE; `-`, or no name, is stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<String>,

    /// Write an SVG picture to FILE
    #[arg(long, value_name = "FILE")]
    pub svg: Option<String>,

    /// Write Markdown tables to FILE
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<String>,

    /// Use no colors, lines or progress bar
    #[arg(long)]
    pub plain: bool,
}

/// The arguments of `matrix`.
#[derive(Args, Clone, Debug)]
#[command(after_help = MATRIX_EXIT_STATUS)]
pub struct Matrix {
    /// The reports: files of `check --json`, or the folder of gpu-stream-testkit
    #[arg(required = true, value_name = "REPORT")]
    pub reports: Vec<PathBuf>,

    /// Write the table as Markdown to FILE; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<String>,

    /// Write the table as one HTML page to FILE; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub html: Option<String>,

    /// The title of the Markdown and of the page. By default it names the package, for tests of one package with
    /// gpu-stream-testkit; without one, Markdown has no title
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,

    /// Use no colors or lines
    #[arg(long)]
    pub plain: bool,
}

const DEFAULT_LIMIT: &str = "60";

const EXIT_STATUS: &str = "Exit status: 0 if nothing failed, 1 if a case failed or a named backend ran no case, 2 if \
                           the command line names something that does not exist, or a backend that is not ready.\n\
                           GPU_STREAM_REQUIRE=host,cuda makes a skip on these backends a failure; cuda:2 requires two \
                           devices.";

const BENCH_EXIT_STATUS: &str = "Exit status: 0 if everything was measured, 1 if something failed, 2 if the command line \
                                 names something that does not exist, or a backend that is not ready.";

const MATRIX_EXIT_STATUS: &str = "Exit status: 0 if no report has a failed case, 1 if one has, or if none of its cases ran, 2 if a report cannot be \
                                  read or a file cannot be written.";

/// The minimum of `--rounds`. Fewer rounds say too little about their spread.
const FEWEST_ROUNDS: u32 = 31;

impl Arguments {
    /// Returns `true` if the command has `--plain`.
    pub fn is_plain(&self) -> bool {
        match &self.command {
            None => self.check.plain,
            Some(Command::Check(check)) => check.plain,
            Some(Command::Info(info)) => info.plain,
            Some(Command::Bench(bench)) => bench.plain,
            Some(Command::Matrix(matrix)) => matrix.plain,
        }
    }
}

/// Parses the value of `--backend`.
fn parse_backend(name: &str) -> Result<BackendKind, gpu_stream::UnknownBackend> {
    name.parse()
}

/// Parses the value of `--rounds`.
fn parse_rounds(text: &str) -> Result<u32, String> {
    let rounds: u32 = text.parse().map_err(|_| "not a whole number".to_owned())?;
    if rounds < FEWEST_ROUNDS {
        return Err(format!("it must be at least {FEWEST_ROUNDS}; --quick makes fewer"));
    }
    Ok(rounds)
}

/// Parses the value of `--limit`.
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
    fn command_line_definition_is_valid() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn check_is_the_default_command() {
        for word in ["", "check "] {
            let check = check(&format!("{word}--backend host --backend rocm --case a* --repeat 3"));
            assert_eq!(check.backend, [BackendKind::Host, BackendKind::Hip]);
            assert_eq!((check.case[0].as_str(), check.repeat.get()), ("a*", 3));
            assert_eq!(check.limit, Duration::from_secs(60));
        }
        assert!(parse("").unwrap().command.is_none());
    }

    #[test]
    fn json_without_a_file_name_is_stdout() {
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
        assert!(!bench.environments && !bench.only_pairs);
        assert_eq!(bench.python, PathBuf::from("python3"));
        assert!(parse("bench --plain").unwrap().is_plain());
    }

    #[test]
    fn invalid_arguments_are_rejected() {
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
        assert!(text.contains("host, cuda, hip and opencl"), "{text}");
    }
}
