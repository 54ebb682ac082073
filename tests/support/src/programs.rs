//! The `main` of a vendor's test programs: [`main`], [`main_in_children`], [`main_over_faults`].

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use gpu_stream_core::Backend as _;
use libtest_mimic::{Arguments, Completion, Trial};

use crate::cases::{Case, is_required, run};
use crate::children::{completion, expect_success, run_to_exit};
use crate::vendor::Vendor;

/// A set of environment variables of child processes: the suffix of the cases' names, and the variables.
pub type Variables = (&'static str, &'static [(&'static str, &'static str)]);

/// Runs the cases on the devices of this machine, or on simulated ones.
pub fn main<V: Vendor>(cases: &[Case]) -> ExitCode {
    V::prepare();
    run::<V::Backend, _>(cases.iter().copied())
}

/// Runs each case as [`main`] does, but in a process of its own.
pub fn main_in_children<V: Vendor>(cases: &[Case]) -> ExitCode {
    if run_as_child::<V>(cases) {
        return ExitCode::SUCCESS;
    }
    V::prepare();
    run::<V::Backend, _>(cases.iter().map(|&(name, _)| (name, move || run_child::<V>(name))))
}

/// Runs the case of a child process of [`run_child`]. Returns `false` if this is not one.
///
/// # Panics
/// If there is no device.
pub fn run_as_child<V: Vendor>(cases: &[Case]) -> bool {
    let Some(case) = V::CHILDREN.case(cases) else { return false };
    V::prepare();
    // Starts the driver on the main thread. Otherwise HIP 6.4 crashes at process exit.
    V::Backend::probe().expect("a device");
    run_to_exit(case);
    true
}

/// Runs this program again as `child`, with freed memory filled, so that a use after free does not find a
/// valid pointer.
///
/// # Panics
/// If the child fails.
#[track_caller]
pub fn run_child<V: Vendor>(child: &str) {
    let mut command = V::CHILDREN.command(child);
    command.env("GLIBC_TUNABLES", "glibc.malloc.perturb=165");
    expect_success(child, &command.output().expect("this program runs a second time"));
}

/// Runs each case in a process of its own over [`Vendor::faulty_library`], once with each set of variables,
/// or once if there is none. Without the library the cases are skipped, which is a failure if
/// `GPU_STREAM_REQUIRE` names the backend.
pub fn main_over_faults<V: Vendor>(cases: &[Case], sets: &[Variables]) -> ExitCode {
    V::prepare_child();
    if let Some(case) = V::CHILDREN.case(cases) {
        run_to_exit(case);
        return ExitCode::SUCCESS;
    }
    run_trials(trials_over_faults::<V>(cases, sets))
}

/// Returns the trials of [`main_over_faults`].
pub fn trials_over_faults<V: Vendor>(cases: &[Case], sets: &[Variables]) -> Vec<Trial> {
    let sets = if sets.is_empty() { &[("", &[] as &[_])] } else { sets };
    let library = V::faulty_library();
    let trial = |&(name, _): &Case, &(set, variables): &Variables| {
        let library = library.clone();
        let shown = if set.is_empty() { name.into() } else { format!("{name}, {set}") };
        Trial::ignorable_test(shown, move || match &library {
            Ok(library) => {
                completion(&over::<V>(name, library).envs(variables.iter().copied()).output()?)
            }
            Err(reason) if is_required(V::Backend::KIND) => Err(reason.into()),
            Err(reason) => Ok(Completion::ignored_with(reason.clone())),
        })
    };
    cases.iter().flat_map(|case| sets.iter().map(move |set| trial(case, set))).collect()
}

/// Returns a command that runs this program again as `child` over a library.
pub fn over<V: Vendor>(child: &str, library: &Path) -> Command {
    let mut command = V::CHILDREN.command(child);
    command.env(V::LIBRARY, library);
    command
}

/// Returns a folder for the files of a test program, in the target folder.
///
/// # Panics
/// If the path of this program is unknown.
pub fn scratch_folder() -> PathBuf {
    // Under another dynamic linker, only the first argument names the program that cargo built.
    let program = std::env::args_os().next().expect("this program");
    let folder = Path::new(&program).parent().expect("a folder").join("scratch");
    std::fs::create_dir_all(&folder).expect("a new folder");
    folder.canonicalize().expect("a folder")
}

/// Runs trials, one after the other.
pub fn run_trials(trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}
