//! Target `args`: command lines, and the patterns of `--case`.

use arbitrary::{Arbitrary, Unstructured};
use clap::Parser;
use gpu_stream_cli::args::{Arguments, Check, Command};
use gpu_stream_cli::select;
use gpu_stream_conformance::cases;

/// Words that the command line accepts, and values at the edges of its limits.
const WORDS: &[&str] = &[
    "check",
    "info",
    "bench",
    "help",
    "--backend",
    "--case",
    "--list",
    "--json",
    "--repeat",
    "--plain",
    "--limit",
    "--operation",
    "--growth",
    "--peers",
    "--python",
    "--rounds",
    "--quick",
    "--svg",
    "--markdown",
    "--help",
    "--version",
    "-h",
    "-V",
    "--",
    "-",
    "host",
    "cuda",
    "hip",
    "rocm",
    "gpu",
    "0",
    "1",
    "31",
    "60",
    "1e9",
    "1e300",
    "inf",
    "NaN",
    "-1",
    "4294967295",
    "4294967296",
    "R11",
    "*",
    "?",
    "order::*",
    "wait*",
    "out.json",
    "--limit=0.5",
    "--repeat=3",
    "--backend=cpu",
    "--json=-",
    "",
];

#[derive(Arbitrary, Debug)]
enum Word {
    Known(u8),
    Joined(u8, u8),
    Number(i64),
    Fraction(f64),
    Text(String),
}

impl Word {
    fn text(&self) -> String {
        let known = |index: u8| WORDS[usize::from(index) % WORDS.len()];
        match self {
            Word::Known(index) => known(*index).into(),
            Word::Joined(one, other) => format!("{}={}", known(*one), known(*other)),
            Word::Number(number) => number.to_string(),
            Word::Fraction(number) => number.to_string(),
            Word::Text(text) => text.clone(),
        }
    }
}

/// Checks the limits of an accepted `check` command.
fn check_check_command(check: &Check) {
    assert!(!check.limit.is_zero());
    assert!(check.backend.iter().all(|kind| kind.to_string().parse() == Ok(*kind)));
    // An accepted limit must be a valid timeout.
    assert!(check.limit.as_secs_f64().is_finite());
}

/// Parses a command line, and selects cases by its words.
pub fn target(bytes: &[u8]) {
    let Ok(words) = Vec::<Word>::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let words: Vec<_> = words.iter().take(12).map(Word::text).collect();
    let line = std::iter::once("gpu-stream").chain(words.iter().map(String::as_str));
    match Arguments::try_parse_from(line) {
        Ok(arguments) => {
            let _ = arguments.is_plain();
            match &arguments.command {
                None => check_check_command(&arguments.check),
                Some(Command::Check(check)) => check_check_command(check),
                Some(Command::Info(_) | Command::Matrix(_)) => {}
                Some(Command::Bench(bench)) => assert!(bench.rounds >= 31, "{words:?}"),
            }
        }
        Err(error) => {
            // Exit code 0 for help and version. Otherwise 2, and the text names the wrong argument.
            let (code, text) = (error.exit_code(), error.to_string());
            assert!(matches!(code, 0 | 2) && !text.is_empty(), "{words:?}: {code} {text}");
            let requests = |prefix: &str| words.iter().any(|word| word.starts_with(prefix));
            if code == 0 {
                assert!(
                    ["-h", "-V", "--h", "--v", "help"].into_iter().any(requests),
                    "{words:?}: {text}"
                );
            }
        }
    }
    for pattern in words {
        match select::cases(cases::ALL, std::slice::from_ref(&pattern)) {
            Ok(found) => {
                assert!(!found.is_empty() && found.is_sorted() && found.len() <= cases::ALL.len());
                for index in found {
                    let case = &cases::ALL[index];
                    let name = select::full_name(case);
                    let is_wild = pattern.contains(['*', '?']);
                    let by_rule = case.rules.iter().any(|rule| rule.id == pattern);
                    assert!(is_wild || by_rule || name.contains(&pattern), "{pattern:?}: {name}");
                }
            }
            Err(error) => assert!(error.0.contains(&format!("{pattern:?}")), "{}", error.0),
        }
    }
}
