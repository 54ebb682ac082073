//! Which HIP library the command runs over the simulator: [`Choice`], and what came of it, [`HipLibrary`].

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::debian::{self, Packaged, Root};

/// The HIP library that the options ask for.
pub enum Choice {
    System,
    Own(PathBuf),
    Version(&'static Packaged),
}

/// The HIP library that was found.
pub enum HipLibrary {
    /// The one that the dynamic linker finds.
    System,
    /// A file of the user's.
    Own(PathBuf),
    /// A library of another Debian suite, with that suite's C library.
    Fetched { version: &'static str, root: Root },
}

impl HipLibrary {
    /// Returns the folder of the library. Returns `None` if the dynamic linker finds the library elsewhere than in
    /// Debian's folder.
    pub fn folder(&self) -> Option<PathBuf> {
        let debian = Path::new("/").join(debian::LIBRARIES);
        match self {
            HipLibrary::System => {
                Some(debian).filter(|folder| folder.join("libamdhip64.so").exists())
            }
            HipLibrary::Own(file) => file.parent().map(Path::to_owned),
            HipLibrary::Fetched { root, .. } => root.libraries.first().cloned(),
        }
    }
}

impl Choice {
    /// Returns what the values of `--hip` and `--library` ask for.
    ///
    /// # Errors
    ///
    /// A message for the user: an unknown version, no such file, or both options.
    pub fn from_options(version: Option<&str>, library: Option<&str>) -> Result<Self, String> {
        match (version, library) {
            (None, None) => Ok(Choice::System),
            (Some(version), None) => {
                let mut versions = debian::VERSIONS.iter();
                let packaged = versions.find(|packaged| packaged.version == version);
                let unknown = || {
                    let names = debian::version_names();
                    format!(
                        "--hip {version}: unknown version; use one of {names}, or --library PATH"
                    )
                };
                packaged.map(Choice::Version).ok_or_else(unknown)
            }
            (None, Some(path)) => {
                let file = fs::canonicalize(path).map_err(|error| {
                    format!("--library {path}: {error}; give the path of a libamdhip64.so")
                })?;
                // The dynamic linker must find the library under the name that the program asks for, which the
                // links beside the path have.
                let named = std::path::absolute(path).unwrap_or(file.clone());
                if let Some(version) = fetched_version(&file) {
                    return Err(format!(
                        "--library {path}: fetched by --hip, and needs that Debian suite's C library; use --hip {version}"
                    ));
                }
                if file.is_file() {
                    Ok(Choice::Own(named))
                } else {
                    Err(format!("--library {path}: not a file; give the path of a libamdhip64.so"))
                }
            }
            (Some(_), Some(_)) => {
                Err("--hip, --library: they exclude each other; leave one away".into())
            }
        }
    }

    /// Finds the library, and fetches it into the folder `cache` if that is what the options ask for.
    ///
    /// # Errors
    ///
    /// A message for the user: this system has no HIP library, or it could not be fetched.
    pub fn find(self, cache: &Path) -> Result<HipLibrary, String> {
        match self {
            Choice::Own(file) => Ok(HipLibrary::Own(file)),
            Choice::Version(packaged) if !debian::is_installed(packaged.version) => {
                let root = debian::root(packaged, cache)?;
                Ok(HipLibrary::Fetched { version: packaged.version, root })
            }
            _ if system_has_hip() => Ok(HipLibrary::System),
            _ => Err(format!(
                "this system has no libamdhip64; on Debian and Ubuntu, install libamdhip64-5 or what \
                 `apt-cache search libamdhip64` names; or name a library with --library PATH; or, on Debian, have \
                 one fetched with --hip VERSION ({})",
                debian::version_names(),
            )),
        }
    }
}

/// Returns the version of a library in a folder of fetched ones, `hsa-sim/hip-7.2`.
fn fetched_version(file: &Path) -> Option<&'static str> {
    file.ancestors().find_map(|folder| {
        let is_ours = folder.parent()?.file_name()? == super::NAME;
        let version = folder.file_name()?.to_str()?.strip_prefix("hip-").filter(|_| is_ours)?;
        debian::VERSIONS.iter().map(|known| known.version).find(|known| *known == version)
    })
}

/// Returns `true` if the dynamic linker finds a HIP library, or a variable names one.
fn system_has_hip() -> bool {
    if env::var_os("GPU_STREAM_HIP_LIBRARY").is_some_and(|name| !name.is_empty()) {
        return true;
    }
    let path = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let names = env::split_paths(&path).filter_map(|folder| fs::read_dir(folder).ok());
    let mut names = names.flatten().flatten().map(|entry| entry.file_name());
    if names.any(|name| name.as_encoded_bytes().starts_with(b"libamdhip64.so")) {
        return true;
    }
    // A user's PATH may lack the administrator's folder.
    ["ldconfig", "/sbin/ldconfig"].into_iter().any(|program| {
        let output = Command::new(program).arg("-p").output();
        output
            .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("libamdhip64.so"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_choice_is_named() {
        for (version, library, text) in [
            (Some("7.1"), None, "--hip 7.1: unknown version; use one of 5.2, 5.7, 6.4, 7.2"),
            (Some("7.2"), Some("x"), "they exclude each other"),
            (
                None,
                Some("/nowhere/libamdhip64.so"),
                "--library /nowhere/libamdhip64.so: No such file",
            ),
            (None, Some("/"), "--library /: not a file"),
        ] {
            let error = Choice::from_options(version, library).err().expect("an error");
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn fetched_library_is_refused_as_an_own_one() {
        let top = env::temp_dir().join(format!("hsa-sim-own-{}", std::process::id()));
        for (folder, is_fetched) in [("hsa-sim/hip-7.2/usr/lib", true), ("opt/hip-7.2/lib", false)]
        {
            let folder = top.join(folder);
            fs::create_dir_all(&folder).expect("a folder");
            let file = folder.join("libamdhip64.so");
            fs::write(&file, "").expect("a file");
            let error = Choice::from_options(None, file.to_str()).err().unwrap_or_default();
            assert_eq!(error.contains("use --hip 7.2"), is_fetched, "{error}");
            assert_eq!(error.is_empty(), !is_fetched, "{error}");
        }
        fs::remove_dir_all(&top).expect("the folder");
    }
}
