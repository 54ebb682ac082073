//! The configuration, read once from the environment.

use std::env;
use std::sync::OnceLock;

/// The maximum number of GPUs. It exceeds any real machine, so a larger number is a typing error.
pub const MAX_GPUS: usize = 16;

/// The configuration of the simulated machine.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// `HSA_SIM_GPUS`: the number of GPUs. Default: 1. 0 simulates a machine without a GPU.
    pub gpus: usize,
    /// `HSA_SIM_TRACE`: the destination of the log.
    pub trace: Trace,
}

/// The destination of the log.
#[derive(Debug, PartialEq)]
pub enum Trace {
    Off,
    Stderr,
    File(String),
}

/// Returns the configuration, or a message about an invalid or unknown variable.
pub fn config() -> &'static Result<Config, String> {
    static CONFIG: OnceLock<Result<Config, String>> = OnceLock::new();
    CONFIG.get_or_init(|| {
        check_names(env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()))?;
        let read = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        parse(read("HSA_SIM_GPUS").as_deref(), read("HSA_SIM_TRACE").as_deref())
    })
}

/// The variables that begin with `HSA_SIM_`. Only the command and `library` read the last two.
const VARIABLES: [&str; 4] = ["HSA_SIM_GPUS", "HSA_SIM_TRACE", "HSA_SIM_LIBRARY", "HSA_SIM_RUNNER"];

/// Returns an error for a name that begins with `HSA_SIM_` and is no variable of the simulator, such as a misspelt one.
fn check_names(mut names: impl Iterator<Item = String>) -> Result<(), String> {
    let is_unknown =
        |name: &String| name.starts_with("HSA_SIM_") && !VARIABLES.contains(&name.as_str());
    match names.find(is_unknown) {
        None => Ok(()),
        Some(name) => {
            let known = VARIABLES.join(", ");
            Err(format!("{name}: no such variable; unset it, or use one of {known}"))
        }
    }
}

fn parse(gpus: Option<&str>, trace: Option<&str>) -> Result<Config, String> {
    let gpus = match gpus {
        None | Some("") => 1,
        Some(text) => match text.parse() {
            Ok(number) if number <= MAX_GPUS => number,
            _ => {
                return Err(format!(
                    "HSA_SIM_GPUS={text}: give the number of GPUs to simulate, 0 to {MAX_GPUS}"
                ));
            }
        },
    };
    let trace = match trace {
        None | Some("" | "0") => Trace::Off,
        Some("1") => Trace::Stderr,
        Some(path) => Trace::File(path.to_owned()),
    };
    Ok(Config { gpus, trace })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_defaults_to_one_gpu_without_trace() {
        assert_eq!(parse(None, None), Ok(Config { gpus: 1, trace: Trace::Off }));
        assert_eq!(parse(Some(""), Some("0")), Ok(Config { gpus: 1, trace: Trace::Off }));
        assert_eq!(parse(Some("0"), Some("1")), Ok(Config { gpus: 0, trace: Trace::Stderr }));
        let file = Trace::File("log".into());
        assert_eq!(parse(Some("2"), Some("log")), Ok(Config { gpus: 2, trace: file }));
    }

    #[test]
    fn invalid_number_is_named() {
        for bad in ["two", "-1", "17", "1.5"] {
            let message = parse(Some(bad), None).unwrap_err();
            assert!(message.contains(&format!("HSA_SIM_GPUS={bad}")), "{message}");
        }
    }

    #[test]
    fn unknown_variable_is_named() {
        let check = |names: &[&str]| check_names(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(check(&VARIABLES), Ok(()));
        assert_eq!(check(&["PATH", "MY_HSA_SIM_GPU", "HSA_SIMILAR"]), Ok(()));
        for name in ["HSA_SIM_DEVICES", "HSA_SIM_gpus", "HSA_SIM_"] {
            let message = check(&["PATH", name]).expect_err(name);
            assert!(message.starts_with(&format!("{name}: no such variable")), "{message}");
        }
    }
}
