#![doc = include_str!("../README.md")]

mod controls;
mod copies;
mod elf;
#[doc(hidden)]
pub mod exports;
mod objects;
mod plan;
pub mod sweep;

pub use controls::{At, Controls, InjectedFault, Threads};
pub use copies::copy_as;
pub use elf::{without_symbol, without_symbols};
pub use objects::{gone, made};
pub use plan::{Action, on_call};

use std::env;
use std::path::{Path, PathBuf};

/// The cdylib of a dev-dependency, by the name of its file: where cargo put it, seen from the
/// running test program.
///
/// # Errors
/// A sentence that names the places where it was looked for.
pub fn built(file: &str) -> Result<PathBuf, String> {
    // Under another dynamic linker the running program is that linker, and only the first argument
    // tells the program that cargo built.
    let programs = [env::current_exe().ok(), env::args_os().next().map(PathBuf::from)];
    let folders = programs.iter().flatten().filter_map(|program| program.parent());
    let beside =
        |folder: &Path| ["", "deps", "../deps", ".."].map(|step| folder.join(step).join(file));
    let places: Vec<PathBuf> = folders.flat_map(beside).collect();
    places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
        let names: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        format!("{file} was not found; looked for {}", names.join(", "))
    })
}
