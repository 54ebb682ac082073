#![doc = include_str!("../README.md")]

mod command_line;
mod library;
mod start;

pub use command_line::{CommandLine, OptionSpec, Takes};
pub use library::SimulatorLibrary;
pub use start::{Failure, replace_process, search_path};
