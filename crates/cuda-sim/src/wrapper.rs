//! Runs another command over the simulated driver, on Linux.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use cuda_sim::{FILE, MAX_GPUS};
use sim_common::{
    CommandLine, Failure, OptionSpec, SimulatorLibrary, Takes, replace_process, search_path,
};

const NAME: &str = "cuda-sim";

const LIBRARY: SimulatorLibrary = SimulatorLibrary {
    name: NAME,
    package: env!("CARGO_PKG_NAME"),
    sources: env!("CARGO_MANIFEST_DIR"),
    file: FILE,
    // Some programs look for the name without a version first, as cudarc does.
    names: &["libcuda.so.1", "libcuda.so"],
    variable: "CUDA_SIM_LIBRARY",
};

const OPTIONS: [OptionSpec; 6] = [
    OptionSpec { name: "--devices", takes: Takes::Value("the number of devices, such as 2") },
    OptionSpec { name: "--version", takes: Takes::Value("a CUDA version, such as 12.4") },
    OptionSpec { name: "--empty-kernels", takes: Takes::Nothing },
    OptionSpec { name: "--folder", takes: Takes::Nothing },
    OptionSpec { name: "--help", takes: Takes::Nothing },
    OptionSpec { name: "-h", takes: Takes::Nothing },
];

const HELP: &str = concat!(
    "gpu-stream-cuda-sim ",
    env!("CARGO_PKG_VERSION"),
    "
Runs COMMAND over a simulated CUDA driver, on a machine without a GPU. Your kernels compute nothing.

Usage: gpu-stream-cuda-sim [OPTIONS] [--] COMMAND [ARGUMENTS...]
       cargo run -p gpu-stream-cuda-sim -- [OPTIONS] [--] COMMAND [ARGUMENTS...]

COMMAND and its children find the simulator as libcuda.so.1 and libcuda.so. COMMAND is a program or a
script, by path or by name, or cargo: the programs that cargo runs find the simulator as well.

Options:
  --devices N     simulate N devices, 0 to 16 [default: 1]
  --version X.Y   report this CUDA version, 11.0 or later, and lack all newer functions [default: 13.0]
  --empty-kernels launch the kernels of other programs without effect, where they fail by default
  --folder        print the folder that has libcuda.so.1 and libcuda.so, and run nothing
  -h, --help      print this text

Variables that it sets for COMMAND:
  LD_LIBRARY_PATH           the folder comes first
  GPU_STREAM_CUDA_LIBRARY   the library, for gpu-stream's CUDA backend
  CUDA_SIM_LIBRARY          the library, for cuda_sim::library and cuda_sim::install
  CUDA_SIM_GPUS, CUDA_SIM_VERSION, CUDA_SIM_EMPTY_KERNELS   as the options say

It reads CUDA_SIM_LIBRARY: the simulator's file, in place of the one beside this program. Without either, the
library is built from this program's sources by cargo, once, into the user's cache.

The exit code is that of COMMAND. It is 1 if the simulator could not be found or built, 2 for a wrong option,
126 if COMMAND is not executable, and 127 if it was not found.

Examples:
  gpu-stream-cuda-sim cargo test
  gpu-stream-cuda-sim --devices 2 --version 12.4 ./program
  gpu-stream-cuda-sim python3 program.py
  cc program.c -L\"$(gpu-stream-cuda-sim --folder)\" -lcuda
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
    let mut variables = Vec::new();
    for (option, variable, check) in [
        ("--devices", "CUDA_SIM_GPUS", is_device_count as fn(&str) -> bool),
        ("--version", "CUDA_SIM_VERSION", is_version),
    ] {
        let Some(value) = line.value(option) else { continue };
        if !check(value) {
            let what = if option == "--devices" {
                format!("give the number of devices, 0 to {MAX_GPUS}")
            } else {
                "give a CUDA version from 11.0 on, such as 12.4".into()
            };
            return Err(Failure::usage(format!("{option} {value}: {what}")));
        }
        variables.push((variable, value.into()));
    }
    if line.has("--empty-kernels") {
        variables.push(("CUDA_SIM_EMPTY_KERNELS", "1".into()));
    }
    if line.command.is_empty() && !line.has("--folder") {
        return Err(Failure::usage("give a command to run over the simulated driver; see --help"));
    }
    let folder = folder().map_err(Failure::start)?;
    if line.has("--folder") {
        println!("{}", folder.display());
        return Ok(());
    }
    variables.push(("LD_LIBRARY_PATH", search_path(&folder).map_err(Failure::start)?));
    let library = folder.join(LIBRARY.names[0]);
    variables.push(("GPU_STREAM_CUDA_LIBRARY", library.clone().into()));
    variables.push((LIBRARY.variable, library.into()));
    Err(replace_process(&line.command, variables))
}

fn is_device_count(text: &str) -> bool {
    text.parse::<usize>().is_ok_and(|count| count <= MAX_GPUS)
}

/// Returns `true` for a version whose functions the simulator knows: before 11.0, it would have those of 11.0.
fn is_version(text: &str) -> bool {
    cuda_sim::number_of(text).is_some_and(|number| number >= 11_000)
}

/// Returns the folder in which the simulator has the driver's names.
fn folder() -> Result<PathBuf, String> {
    let is_named = env::var_os(LIBRARY.variable).is_some_and(|value| !value.is_empty());
    let library = match cuda_sim::library() {
        Err(_) if !is_named => LIBRARY.build()?,
        found => found?,
    };
    LIBRARY.named(&library)
}
