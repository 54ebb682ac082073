//! The start of a program over the simulator: [`search_path`] and [`replace_process`].

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Why the command did not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// Makes the failure for a wrong option or value: exit code 2.
    pub fn usage(text: impl Into<String>) -> Self {
        Failure { code: 2, text: text.into() }
    }

    /// Makes any other failure before the start of the command: exit code 1.
    pub fn start(text: impl Into<String>) -> Self {
        Failure { code: 1, text: text.into() }
    }

    /// Prints `NAME: TEXT` to standard error, and returns the exit code.
    pub fn report(&self, name: &str) -> ExitCode {
        eprintln!("{name}: {}", self.text);
        ExitCode::from(self.code)
    }
}

/// Returns the value of `LD_LIBRARY_PATH` in which `folder` comes first.
///
/// # Errors
/// A message that names the folder, if its path has a colon or a semicolon, which separate folders.
pub fn search_path(folder: &Path) -> Result<OsString, String> {
    let separators = [b':', b';'];
    if folder.as_os_str().as_encoded_bytes().iter().any(|byte| separators.contains(byte)) {
        let folder = folder.display();
        return Err(format!(
            "{folder}: the dynamic linker splits a path at `:` and `;`; use another folder"
        ));
    }
    let mut path = folder.as_os_str().to_owned();
    // An empty value is no folder, whereas an empty part would be the working folder.
    if let Some(before) = env::var_os("LD_LIBRARY_PATH").filter(|before| !before.is_empty()) {
        path.push(":");
        path.push(before);
    }
    Ok(path)
}

/// Runs `program` in place of this process, with its arguments and additional variables. The exit code is thus the
/// program's, and signals reach it.
///
/// Returns only if that fails. Without `exec`, as on Windows, it runs the program as a child and exits with its code.
pub fn replace_process(
    program: &[OsString],
    variables: impl IntoIterator<Item = (&'static str, OsString)>,
) -> Failure {
    let Some((name, arguments)) = program.split_first() else {
        return Failure::usage("give a command; see --help");
    };
    let mut command = Command::new(name);
    command.args(arguments).envs(variables);
    #[cfg(unix)]
    let error = std::os::unix::process::CommandExt::exec(&mut command);
    #[cfg(not(unix))]
    let error = match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    };
    let shown = PathBuf::from(name);
    let (code, remedy) = match error.kind() {
        ErrorKind::NotFound => (127, "; give its path, or a name in PATH"),
        ErrorKind::PermissionDenied => (126, "; it must be an executable file"),
        _ => (126, ""),
    };
    Failure { code, text: format!("{}: {error}{remedy}", shown.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_comes_first_in_the_search_path() {
        let path = search_path(Path::new("/a folder")).expect("a path");
        let path = path.to_str().expect("a text");
        assert_eq!(path.split(':').next(), Some("/a folder"));
        assert!(!path.ends_with(':'), "an empty part would be the working folder: {path}");
        let error = search_path(Path::new("/a:b")).expect_err("two folders");
        assert!(error.starts_with("/a:b: "), "{error}");
    }
}
