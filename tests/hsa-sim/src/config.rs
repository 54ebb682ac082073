//! What the environment asks for, read once.

use std::env;
use std::sync::OnceLock;

/// More than any machine has; a number above it is a slip.
pub const MOST_GPUS: usize = 16;

/// How the simulated machine is made.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// Simulated GPUs: `HSA_SIM_GPUS`, 1 if it is not set. 0 is a machine with no GPU.
    pub gpus: usize,
    /// Where the log of packets goes: `HSA_SIM_TRACE`.
    pub trace: Trace,
}

/// Where the log goes.
#[derive(Debug, PartialEq)]
pub enum Trace {
    Off,
    Stderr,
    File(String),
}

/// The configuration, or what is wrong with it.
pub fn config() -> &'static Result<Config, String> {
    static CONFIG: OnceLock<Result<Config, String>> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let read = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        parse(read("HSA_SIM_GPUS").as_deref(), read("HSA_SIM_TRACE").as_deref())
    })
}

fn parse(gpus: Option<&str>, trace: Option<&str>) -> Result<Config, String> {
    let gpus = match gpus {
        None | Some("") => 1,
        Some(text) => match text.parse() {
            Ok(number) if number <= MOST_GPUS => number,
            _ => {
                return Err(format!(
                    "HSA_SIM_GPUS={text}: give the number of GPUs to simulate, 0 to {MOST_GPUS}"
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
    fn one_gpu_and_no_trace_unless_asked() {
        assert_eq!(parse(None, None), Ok(Config { gpus: 1, trace: Trace::Off }));
        assert_eq!(parse(Some(""), Some("0")), Ok(Config { gpus: 1, trace: Trace::Off }));
        assert_eq!(parse(Some("0"), Some("1")), Ok(Config { gpus: 0, trace: Trace::Stderr }));
        let file = Trace::File("log".into());
        assert_eq!(parse(Some("2"), Some("log")), Ok(Config { gpus: 2, trace: file }));
    }

    #[test]
    fn a_bad_number_is_named() {
        for bad in ["two", "-1", "17", "1.5"] {
            let message = parse(Some(bad), None).unwrap_err();
            assert!(message.contains(&format!("HSA_SIM_GPUS={bad}")), "{message}");
        }
    }
}
