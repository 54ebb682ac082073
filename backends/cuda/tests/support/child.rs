//! Runs cases over the simulated driver, each in a process of its own.

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

use super::Case;

/// The variable that names the case of a child process.
const CHILD: &str = "GPU_STREAM_CUDA_CASE";

/// A set of variables for child processes: its name, and the variables.
pub type Variables = (&'static str, &'static [(&'static str, &'static str)]);

/// Runs each case in a process of its own over the simulated driver, once with each set of variables, or
/// once if there is none.
pub fn main(cases: &[Case], sets: &'static [Variables]) -> ExitCode {
    if let Ok(child) = std::env::var(CHILD) {
        let case = cases.iter().find(|(name, _)| *name == child).expect("a case");
        (case.1)();
        return ExitCode::SUCCESS;
    }
    let sets = if sets.is_empty() { &[("", &[] as &[_])] } else { sets };
    let library = driver_sim::library().expect("the simulated driver");
    let trials = cases.iter().flat_map(|&(name, _)| {
        let library = library.clone();
        sets.iter().map(move |&(set, variables)| {
            let library = library.clone();
            let shown = if set.is_empty() { name.into() } else { format!("{name}, {set}") };
            Trial::test(shown, move || {
                let mut command = Command::new(std::env::current_exe()?);
                command.env(CHILD, name).env("GPU_STREAM_CUDA_LIBRARY", library);
                let output = command.envs(variables.iter().copied()).output()?;
                if output.status.success() {
                    return Ok(());
                }
                let text = String::from_utf8_lossy(&output.stderr);
                Err(Failed::from(format!("{}\n{text}", output.status)))
            })
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
