//! The simulator's shared library: [`SimulatorLibrary`].

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

/// How the command of a simulator finds the simulator's shared library, and gives it the names under which programs
/// look for the real one.
#[derive(Clone, Copy, Debug)]
pub struct SimulatorLibrary {
    /// The simulator's name, which its folders have: `cuda-sim`.
    pub name: &'static str,
    /// The package's name: `env!("CARGO_PKG_NAME")`.
    pub package: &'static str,
    /// The package's folder when the command was compiled: `env!("CARGO_MANIFEST_DIR")`.
    pub sources: &'static str,
    /// The file name that cargo gives the shared library: `libcuda_sim.so`.
    pub file: &'static str,
    /// The names under which programs look for the real library: `libcuda.so.1` and others.
    pub names: &'static [&'static str],
    /// The variable with which a user names the simulator's library, for the text of errors.
    pub variable: &'static str,
}

impl SimulatorLibrary {
    /// Builds the library from the sources with `cargo build --release`, in the user's cache, and returns its path.
    ///
    /// Blocks while cargo builds. Cargo's output goes to standard error. If the library is up to date, this takes a
    /// fraction of a second. Without the sources or cargo, it takes a library that was built before. It also does so if
    /// cargo fails, and says so on standard error.
    ///
    /// # Errors
    /// A message that says what is missing (the sources, cargo, the cache's folder) or that the build failed, and the
    /// remedy.
    pub fn build(&self) -> Result<PathBuf, String> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        self.build_by(Path::new(&cargo), &self.cache()?)
    }

    fn build_by(&self, cargo: &Path, cache: &Path) -> Result<PathBuf, String> {
        let manifest = Path::new(self.sources).join("Cargo.toml");
        // One folder for each place of sources: another version must not replace this one's library.
        let target = cache.join(format!("built-{:x}", hash(Path::new(self.sources))));
        let library = target.join("release").join(self.file);
        let is_built = library.is_file();
        let remedy = format!(
            "install {} again, or set {} to the file {}",
            self.package, self.variable, self.file
        );
        if !manifest.is_file() && is_built {
            return Ok(library);
        }
        if !manifest.is_file() {
            return Err(format!("{}: the sources are gone; {remedy}", manifest.display()));
        }
        if !is_built {
            eprintln!("{}: building {} once, into {}", self.name, self.file, target.display());
        }
        let mut command = Command::new(cargo);
        command.args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--lib",
            "--package",
            self.package,
        ]);
        command.arg("--manifest-path").arg(&manifest).arg("--target-dir").arg(&target);
        // Cargo's settings in the working folder and in variables are meant for the user's own build. A build for
        // another target would lie in another folder.
        command.current_dir(self.sources);
        for meant_for_others in
            ["CARGO_BUILD_TARGET", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WRAPPER"]
        {
            command.env_remove(meant_for_others);
        }
        // Standard output belongs to the user's command.
        command.stdout(process::Stdio::null());
        let status = match command.status() {
            Err(_) if is_built => return Ok(library),
            Err(error) => {
                let (cargo, variable) = (cargo.display(), self.variable);
                return Err(format!(
                    "{cargo}: {error}; put cargo into PATH, which builds the library, or set {variable} to the file {}",
                    self.file
                ));
            }
            Ok(status) => status,
        };
        if !status.success() && is_built {
            eprintln!(
                "{}: cargo could not bring {} up to date in {} ({status}); it is used as it was built before",
                self.name,
                library.display(),
                self.sources
            );
            return Ok(library);
        }
        if !status.success() {
            return Err(format!(
                "cargo could not build {} in {} ({status}); {remedy}",
                self.package, self.sources
            ));
        }
        if library.is_file() {
            Ok(library)
        } else {
            Err(format!("{}: cargo built no such file; {remedy}", library.display()))
        }
    }

    /// Returns a folder in which `library` has the names under which programs look for the real one, as symbolic
    /// links. The folder is beside the library, or in the user's cache if that place cannot be written.
    ///
    /// Programs that run over an older library keep it.
    ///
    /// # Errors
    /// A message that names the folders that were tried.
    pub fn named(&self, library: &Path) -> Result<PathBuf, String> {
        let library = fs::canonicalize(library).map_err(|error| at(library, &error))?;
        let beside = library.parent().map(|folder| folder.join(self.name));
        let beside = beside.ok_or_else(|| format!("{}: not a file", library.display()))?;
        let in_place = self.link_into(&beside, &library);
        in_place.or_else(|first| {
            // Commands over different libraries must not share a folder.
            let folder = self.cache()?.join(format!("of-{:x}", hash(&library)));
            self.link_into(&folder, &library).map_err(|second| format!("{first}; {second}"))
        })
    }

    fn link_into(&self, folder: &Path, library: &Path) -> Result<PathBuf, String> {
        fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
        for name in self.names {
            let link = folder.join(name);
            if fs::read_link(&link).is_ok_and(|target| target == library) {
                continue;
            }
            let new = folder.join(format!("{name}.{}", process::id()));
            make_link(library, &new).map_err(|error| at(&new, &error))?;
            // A rename replaces the link at once, for other commands that start now.
            fs::rename(&new, &link).map_err(|error| at(&link, &error))?;
        }
        Ok(folder.to_owned())
    }

    /// Returns this simulator's folder in the user's cache: in `XDG_CACHE_HOME`, or in `.cache` in the home folder.
    ///
    /// # Errors
    /// A message that says which variable to set.
    pub fn cache(&self) -> Result<PathBuf, String> {
        let variable =
            |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let absolute = |path: &PathBuf| path.is_absolute();
        let cache = variable("XDG_CACHE_HOME").filter(absolute);
        let cache =
            cache.or_else(|| variable("HOME").filter(absolute).map(|home| home.join(".cache")));
        let cache = cache.ok_or(
            "neither XDG_CACHE_HOME nor HOME names a folder; set one, to an absolute path",
        )?;
        Ok(cache.join("gpu-stream").join(self.name))
    }
}

/// Returns a hash of a path (FNV-1a, 64 bits), which is the same in every process.
fn hash(path: &Path) -> u64 {
    path.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(unix)]
fn make_link(library: &Path, link: &Path) -> std::io::Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(library, link)
}

#[cfg(not(unix))]
fn make_link(_library: &Path, _link: &Path) -> std::io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

fn at(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Returns a description of a library, and an empty folder of the test's own.
    fn fixture(name: &str) -> (SimulatorLibrary, PathBuf) {
        let folder = env::temp_dir().join(format!("sim-common-{}-{name}", process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let library = SimulatorLibrary {
            name: "sim",
            package: "a-package",
            sources: "/no/such/folder",
            file: "libsim.so",
            names: &["libreal.so.1", "libreal.so"],
            variable: "SIM_LIBRARY",
        };
        (library, folder)
    }

    #[test]
    fn library_gets_the_names_in_a_folder_beside_it() {
        let (simulator, folder) = fixture("named");
        for content in ["old", "new"] {
            let library = folder.join(format!("{content}.so"));
            fs::write(&library, content).expect("a file");
            let named = simulator.named(&library).expect("a folder");
            assert_eq!(named, fs::canonicalize(&folder).expect("a folder").join("sim"));
            for name in simulator.names {
                assert_eq!(fs::read_to_string(named.join(name)).expect(name), content);
            }
            assert_eq!(fs::read_dir(&named).expect("a folder").count(), 2, "nothing else is left");
        }
        fs::remove_dir_all(&folder).expect("the folder");
    }

    #[test]
    fn library_that_was_built_before_is_used_if_cargo_fails() {
        let (mut simulator, folder) = fixture("built");
        fs::write(folder.join("Cargo.toml"), "").expect("a file");
        simulator.sources = folder.display().to_string().leak();
        let build = |cargo: &str| simulator.build_by(Path::new(cargo), &folder.join("cache"));
        assert!(build("false").expect_err("no library").contains("could not build a-package"));
        assert!(build("/no/such/cargo").expect_err("no library").contains("put cargo into PATH"));
        let place = folder.join(format!("cache/built-{:x}/release", hash(&folder)));
        fs::create_dir_all(&place).expect("a folder");
        fs::write(place.join(simulator.file), "").expect("a file");
        for cargo in ["false", "/no/such/cargo"] {
            assert_eq!(build(cargo), Ok(place.join(simulator.file)), "{cargo}");
        }
        fs::remove_dir_all(&folder).expect("the folder");
    }

    #[test]
    fn failure_names_the_file_and_the_remedy() {
        let (simulator, folder) = fixture("missing");
        let missing = simulator.named(&folder.join("none.so")).expect_err("no such file");
        assert!(missing.contains("none.so"), "{missing}");
        // Without a folder for the cache, the message names the variables.
        let built = simulator.build().expect_err("no sources");
        assert!(built.contains("install a-package again") || built.contains("HOME"), "{built}");
        fs::remove_dir_all(&folder).expect("the folder");
    }
}
