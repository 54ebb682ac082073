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
pub use plan::{Action, PendingHold, on_call};

use std::env;
use std::path::{Path, PathBuf};

/// Returns the path of a dev-dependency's cdylib, given its file name. Searches the folders around
/// the running test program, where cargo puts it.
///
/// # Errors
/// A message that lists the paths that were tried.
pub fn built(file: &str) -> Result<PathBuf, String> {
    // Under another dynamic linker, the running program is that linker. Only the first argument
    // then names the program that cargo built.
    let programs = [env::current_exe().ok(), env::args_os().next().map(PathBuf::from)];
    let folders = programs.iter().flatten().filter_map(|program| program.parent());
    let paths_near =
        |folder: &Path| ["", "deps", "../deps", ".."].map(|step| folder.join(step).join(file));
    let candidates: Vec<PathBuf> = folders.flat_map(paths_near).collect();
    candidates.iter().find(|candidate| candidate.is_file()).cloned().ok_or_else(|| {
        let names: Vec<String> =
            candidates.iter().map(|candidate| candidate.display().to_string()).collect();
        format!("{file} was not found; build it with cargo (looked for {})", names.join(", "))
    })
}
