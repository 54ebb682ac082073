//! Exports the cdylib's functions under the names that libamdhip64 looks up.
//!
//! The rlib of this crate is linked into test programs that also link or load the HIP runtime. If
//! its functions were called `hsa_*` there, the linker could bind HIP to the copy in the program.
//! They are therefore compiled as `simulated_hsa_*`, and only the cdylib gets the real names, as
//! aliases.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed=rocr.map");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    link_by_lld();
    let argument = |text: String| println!("cargo:rustc-cdylib-link-arg=-Wl,{text}");
    argument("-soname,libhsa-runtime64.so.1".into());
    argument(format!("--version-script={here}/rocr.map"));
    for name in exported(&Path::new(&here).join("src")) {
        argument(format!("--defsym={name}=simulated_{name}"));
    }
}

/// Makes the C compiler link the cdylib by lld, whichever linker is the default. GNU ld rejects `rocr.map` beside the
/// version script that rustc writes. Prefers the lld that comes with Rust.
fn link_by_lld() {
    let argument = |text: String| println!("cargo:rustc-cdylib-link-arg={text}");
    match lld_of_rust() {
        Some(folder) => argument(format!("-B{}", folder.display())),
        None if is_lld_installed() => {}
        None => {
            // Cargo runs this script again for a file that is missing, and so finds an lld that is installed later.
            println!("cargo:rerun-if-changed=no-lld");
            println!(
                "cargo:warning=no lld was found, neither with Rust nor as ld.lld in PATH. GNU ld cannot link \
                 libhsa_sim.so: \"anonymous version tag cannot be combined with other version tags\". Install lld, \
                 on Debian and Ubuntu the package lld"
            );
            return;
        }
    }
    argument("-fuse-ld=lld".into());
}

/// Returns the folder of the compiler with an `ld.lld` for a C compiler. Rust of a distribution may lack it.
fn lld_of_rust() -> Option<PathBuf> {
    let output = Command::new(env::var_os("RUSTC")?).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    let host = env::var_os("HOST")?;
    let folder = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin/gcc-ld");
    folder.join("ld.lld").is_file().then_some(folder)
}

fn is_lld_installed() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join("ld.lld").is_file())
}

/// Returns the API functions in the sources. The declaring macros have each on its own line, which
/// begins with `fn hsa_`.
fn exported(sources: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(sources).expect("the folder src") {
        let path = entry.expect("an entry of src").path();
        if path.is_dir() {
            continue; // the unit tests, which declare no function of the API
        }
        let text = fs::read_to_string(path).expect("a source");
        for line in text.lines().map(str::trim_start) {
            let Some(rest) = line.strip_prefix("fn ") else { continue };
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &rest[..end.unwrap_or(rest.len())];
            if name.starts_with("hsa_") {
                names.push(name.to_owned());
            }
        }
    }
    names
}
