//! The start of programs over a fetched library: its suite's dynamic linker starts them, by a script.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::debian::Root;

/// Writes the script that starts a program with the dynamic linker and the libraries of `root`, and with the simulator
/// in the folder `simulator`. Returns its path.
///
/// # Errors
///
/// A message that names the file that could not be written, or the path that a script or the dynamic linker cannot have.
pub fn write(
    cache: &Path,
    version: &str,
    simulator: &Path,
    root: &Root,
) -> Result<PathBuf, String> {
    let folders = [simulator].into_iter().chain(root.libraries.iter().map(PathBuf::as_path));
    let path = env::join_paths(folders).map_err(|error| format!("{}: {error}", cache.display()))?;
    let path = text(Path::new(&path))?;
    let linker = text(&root.linker)?;
    let script = format!("#!/bin/sh\nexec '{linker}' --library-path '{path}' \"$@\"\n");
    let runner = cache.join(format!("runner-{version}"));
    let new = cache.join(format!("runner-{version}.{}", std::process::id()));
    let failed = |error| format!("{}: {error}", new.display());
    fs::write(&new, script).map_err(failed)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    // A rename replaces the script at once, for other commands that start now.
    fs::rename(&new, &runner).map_err(failed)?;
    Ok(runner)
}

fn text(path: &Path) -> Result<&str, String> {
    let usable = path.to_str().filter(|path| !path.contains('\''));
    usable.ok_or_else(|| {
        format!("{}: a quote or an invalid character; use another folder", path.display())
    })
}

/// Returns the variable that makes cargo start programs with `runner`.
///
/// # Errors
///
/// A message that names the path, if it has a space, where cargo would split it.
pub fn for_cargo(runner: &Path) -> Result<(&'static str, OsString), String> {
    if runner.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_whitespace) {
        let runner = runner.display();
        return Err(format!(
            "{runner}: cargo takes no runner whose path has a space; use another folder"
        ));
    }
    Ok(("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner.as_os_str().to_owned()))
}

/// Returns the path of the program that `command` names, if it is an ELF file. A name without a slash is looked up in
/// `PATH`.
pub fn elf_program(command: &OsStr) -> Option<PathBuf> {
    let is_elf = |path: &Path| {
        let mut magic = [0; 4];
        File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok())
            && magic == *b"\x7fELF"
    };
    let name = Path::new(command);
    if name.components().count() > 1 || command.as_encoded_bytes().contains(&b'/') {
        return is_elf(name).then(|| name.to_owned());
    }
    let path = env::var_os("PATH")?;
    // The first file of this name is the command, as for a shell, whatever it is.
    let found =
        env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))?;
    is_elf(&found).then_some(found)
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
