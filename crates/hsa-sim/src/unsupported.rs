//! Stubs for platforms without the simulated runtime.

use std::process::Command;
use std::{env, io};

/// Returns an error: the runtime is simulated on Linux only.
///
/// # Errors
///
/// Always, on this platform.
pub fn preload() -> Result<(), String> {
    Err("the simulated HSA runtime is for Linux only".into())
}

/// Returns `None`: the simulator cannot be loaded on this platform.
pub fn loaded_version() -> Option<String> {
    None
}

/// Returns `None`: the simulator cannot be loaded on this platform.
pub fn live_signals() -> Option<u64> {
    None
}

/// Returns a command that starts the running program again.
///
/// # Errors
///
/// Errors of [`std::env::current_exe`].
pub fn this_program() -> io::Result<Command> {
    env::current_exe().map(Command::new)
}
