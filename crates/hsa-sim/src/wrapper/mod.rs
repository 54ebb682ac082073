//! Runs another command over the simulated HSA runtime, on Linux.

mod debian;
mod hip_library;
mod runner;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sim_common::{
    CommandLine, Failure, OptionSpec, SimulatorLibrary, Takes, replace_process, search_path,
};

use hip_library::{Choice, HipLibrary};

const NAME: &str = "hsa-sim";

/// The maximum of `--devices`, as of `HSA_SIM_GPUS`.
const MAX_GPUS: usize = 16;

const LIBRARY: SimulatorLibrary = SimulatorLibrary {
    name: NAME,
    package: env!("CARGO_PKG_NAME"),
    sources: env!("CARGO_MANIFEST_DIR"),
    file: "libhsa_sim.so",
    names: &["libhsa-runtime64.so.1"],
    variable: "HSA_SIM_LIBRARY",
};

const OPTIONS: [OptionSpec; 8] = [
    OptionSpec { name: "--devices", takes: Takes::Value("the number of devices, such as 2") },
    OptionSpec { name: "--hip", takes: Takes::Value("a version of HIP, such as 7.2") },
    OptionSpec { name: "--library", takes: Takes::Value("the path of a libamdhip64.so") },
    OptionSpec { name: "--trace", takes: Takes::OptionalValue },
    OptionSpec { name: "--fetch", takes: Takes::Nothing },
    OptionSpec { name: "--folder", takes: Takes::Nothing },
    OptionSpec { name: "--help", takes: Takes::Nothing },
    OptionSpec { name: "-h", takes: Takes::Nothing },
];

const HELP: &str = concat!(
    "gpu-stream-hsa-sim ",
    env!("CARGO_PKG_VERSION"),
    "
Runs COMMAND so that AMD's HIP library, which COMMAND loads or links, runs over a simulated HSA runtime
instead of over GPUs. Only HIP's own kernels compute anything.

Usage: gpu-stream-hsa-sim [OPTIONS] [--] COMMAND [ARGUMENTS...]
       cargo run -p gpu-stream-hsa-sim -- [OPTIONS] [--] COMMAND [ARGUMENTS...]

Options:
  --devices N       simulate N GPUs, 0 to 16 [default: 1]
  --hip VERSION     5.2, 5.7, 6.4 or 7.2: the HIP library of Debian bookworm, trixie, sid or experimental.
                    If this system's package has another version, apt fetches the library and all that it
                    depends on from this system's Debian mirror. They are unpacked into a cache; nothing is
                    installed [default: this system's library]
  --library PATH    a libamdhip64.so of your own, on any Linux: /opt/rocm/lib/libamdhip64.so
  --trace[=FILE]    log the simulated machine's events to standard error or to FILE
  --fetch           fetch and build only; with --hip, print the library's folder, to link with it
  --folder          print the folder that has libhsa-runtime64.so.1, and run nothing
  -h, --help        print this text

COMMAND is one of:
  cargo ...    cargo itself runs unchanged; the programs that it runs, tests included, run over the simulator
  a program    an ELF file, by path or by name; with a fetched library, the dynamic linker and the C library
               of that Debian suite start it. A program that is linked with a libamdhip64 of another version
               is refused: exit code 1
  a script, a shell, env, make and the like
               runs with the variables set; with a fetched library, it must start its programs with
               $HSA_SIM_RUNNER

Variables that it sets for COMMAND:
  LD_LIBRARY_PATH   the simulator's folder comes first, then that of --library; not with a fetched library
  GPU_STREAM_HIP_LIBRARY            with --library: its path, for gpu-stream's HIP backend
  HSA_SIM_LIBRARY   the simulator
  HSA_SIM_RUNNER    with a fetched library: the command that starts a program; else empty
  HSA_SIM_GPUS, HSA_SIM_TRACE       as the options say

It reads HSA_SIM_LIBRARY: the simulator's file, in place of the one beside this program. Without either, the
simulator is built from this program's sources by cargo, once, into the user's cache.

The exit code is that of COMMAND. It is 1 if the simulator or the HIP library could not be found or made,
or the program is linked with another one, 2 for a wrong option, 126 if COMMAND is not executable, and 127 if it was not found.

Examples:
  gpu-stream-hsa-sim cargo test
  gpu-stream-hsa-sim --hip 7.2 --devices 2 ./program
  gpu-stream-hsa-sim --trace python3 program.py
"
);

pub fn main() -> ExitCode {
    match run(env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(NAME),
    }
}

/// Does what the arguments say. Returns `Ok` only if no command was to be run.
fn run(arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let line = CommandLine::parse(arguments, &OPTIONS).map_err(Failure::usage)?;
    if line.has("--help") || line.has("-h") {
        print!("{HELP}");
        return Ok(());
    }
    let mut variables = variables(&line).map_err(Failure::usage)?;
    let choice = Choice::from_options(line.value("--hip"), line.value("--library"))
        .map_err(Failure::usage)?;
    if line.command.is_empty() && !line.has("--fetch") && !line.has("--folder") {
        return Err(Failure::usage("give a command to run over the simulated GPU; see --help"));
    }
    let simulator = simulator().map_err(Failure::start)?;
    if line.has("--folder") {
        println!("{}", simulator.display());
        return Ok(());
    }
    // Only a library that is fetched needs the cache, and so HOME.
    let cache = match choice {
        Choice::Version(_) => cache().map_err(Failure::start)?,
        Choice::System | Choice::Own(_) => PathBuf::new(),
    };
    let library = choice.find(&cache).map_err(Failure::start)?;
    if line.has("--fetch") {
        if let Some(folder) = library.folder().filter(|_| line.has("--hip")) {
            println!("{}", folder.display());
        }
        return Ok(());
    }
    variables.push(("HSA_SIM_LIBRARY", simulator.join(LIBRARY.names[0]).into()));
    let HipLibrary::Fetched { version, root } = library else {
        let mut path = search_path(&simulator).map_err(Failure::start)?;
        if let HipLibrary::Own(file) = library {
            path = own_search_path(&simulator, &file).map_err(Failure::start)?;
            variables.push(("GPU_STREAM_HIP_LIBRARY", file.into()));
        }
        variables.push(("LD_LIBRARY_PATH", path));
        variables.push(("HSA_SIM_RUNNER", OsString::new()));
        return Err(replace_process(&line.command, variables));
    };
    let runner = runner::write(&cache, version, &simulator, &root).map_err(Failure::start)?;
    variables.push(("HSA_SIM_RUNNER", runner.clone().into()));
    let mut command = line.command;
    if Path::new(&command[0]).file_name() == Some(OsStr::new("cargo")) {
        variables.push(runner::for_cargo(&runner).map_err(Failure::start)?);
    } else {
        if let Some(note) = runner::note_for(&command, version) {
            eprintln!("{NAME}: {note}");
        }
        if let Some(program) = runner::elf_program(&command[0]) {
            command[0] = program.into();
            command.insert(0, runner.into());
        }
    }
    Err(replace_process(&command, variables))
}

/// Returns the simulator's own variables, as the options say.
fn variables(line: &CommandLine) -> Result<Vec<(&'static str, OsString)>, String> {
    let mut variables = Vec::new();
    if let Some(count) = line.value("--devices") {
        if !count.parse::<usize>().is_ok_and(|count| count <= MAX_GPUS) {
            return Err(format!("--devices {count}: give the number of devices, 0 to {MAX_GPUS}"));
        }
        variables.push(("HSA_SIM_GPUS", count.into()));
    }
    if line.has("--trace") {
        let file = line.value("--trace").map(std::path::absolute).transpose();
        let file = file.map_err(|error| format!("--trace: {error}; give a file's path"))?;
        variables.push(("HSA_SIM_TRACE", file.map_or_else(|| "1".into(), PathBuf::into_os_string)));
    }
    Ok(variables)
}

/// Returns the folder in which the simulator has its name as a library.
fn simulator() -> Result<PathBuf, String> {
    let is_named = env::var_os(LIBRARY.variable).is_some_and(|value| !value.is_empty());
    let library = match hsa_sim::library() {
        Err(_) if !is_named => LIBRARY.build()?,
        found => found?,
    };
    LIBRARY.named(&library)
}

/// Returns the folder for what this command keeps: in cargo's target folder if cargo built the simulator there, and else
/// in the user's cache.
fn cache() -> Result<PathBuf, String> {
    let program = env::current_exe().ok();
    let folder = program.as_deref().and_then(Path::parent);
    let target = folder.filter(|folder| folder.join(LIBRARY.file).is_file()).and_then(Path::parent);
    let cache = match target {
        Some(target) => target.join(NAME),
        None => LIBRARY.cache()?,
    };
    fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    Ok(cache)
}

/// Returns the value of `LD_LIBRARY_PATH` in which the simulator's folder comes first, and then that of `library`.
fn own_search_path(simulator: &Path, library: &Path) -> Result<OsString, String> {
    let folder = library.parent().unwrap_or(Path::new("/"));
    let rest = search_path(folder)?;
    search_path(simulator)?; // checks the characters
    Ok([simulator.as_os_str(), OsStr::new(":"), &rest].into_iter().collect())
}
