//! Drivers without a device: [`FakeLibrary`].

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A driver without a device, which a test compiles on demand.
#[derive(Clone, Copy, Debug)]
pub struct FakeLibrary {
    /// The name of the crate.
    pub name: &'static str,
    /// The path of the source, a single file.
    pub source: &'static str,
    /// The folder of the compiled library: `CARGO_TARGET_TMPDIR`.
    pub folder: &'static str,
    /// The soname of the library on Linux, by which the system's loader knows it. Its file has another name.
    pub soname: Option<&'static str>,
}

impl FakeLibrary {
    /// Compiles the library. `old` sets `--cfg old`, with which the source omits newer functions.
    ///
    /// # Errors
    /// The reason if there is no compiler.
    ///
    /// # Panics
    /// If the compiler rejects the source.
    pub fn compile(&self, old: bool) -> Result<PathBuf, String> {
        let age = if old { "old" } else { "new" };
        let file = format!("{}_{age}_{}.so", self.name, std::process::id());
        let library = Path::new(self.folder).join(file);
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(&rustc);
        command.args(["--edition=2024", "--crate-type=cdylib", "-Awarnings"]);
        command.arg("--crate-name").arg(self.name);
        if old {
            command.arg("--cfg=old");
        }
        if let Some(soname) = self.soname.filter(|_| cfg!(target_os = "linux")) {
            command.arg(format!("-Clink-arg=-Wl,-soname,{soname}"));
        }
        let output = command.arg("-o").arg(&library).arg(self.source).output();
        let output =
            output.map_err(|error| format!("{} did not start: {error}", rustc.display()))?;
        // A rejected source is a failure of the test, not a reason to skip.
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(library)
    }
}
