//! Compiles the kernels for AMD's GPUs with clang, if there is one, into a list of code objects.
//!
//! A missing compiler is no error of the build. An error at run time says which kernels are missing, and why.
//! `CLANG` names another compiler than `clang`, such as `/opt/rocm/llvm/bin/clang`.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const SOURCE: &str = "src/kernels/device/kernels.cl";

/// The targets. A compiler that is too old for one leaves it out.
const TARGETS: [&str; 12] = [
    "gfx900", "gfx906", "gfx908", "gfx90a", "gfx942", "gfx1010", "gfx1030", "gfx1100", "gfx1101",
    "gfx1102", "gfx1200", "gfx1201",
];

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-env-changed=CLANG");
    if env::var_os("CARGO_FEATURE_HIP").is_none() {
        return;
    }
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let (mut objects, mut missing) = (String::new(), Vec::new());
    for target in TARGETS {
        let object = Path::new(&out).join(format!("{target}.co"));
        match compile(&clang, target, &object) {
            Ok(()) => objects += &format!("({target:?}, aligned!({object:?})), "),
            Err(text) => missing.push(format!("{target}: {text}")),
        }
    }
    let missing = missing.join("; ");
    let text = format!(
        "const CODE_OBJECTS: &[(&str, &[u8])] = &[{objects}];\nconst MISSING: &str = {missing:?};\n"
    );
    fs::write(Path::new(&out).join("code_objects.rs"), text).expect("OUT_DIR can be written");
}

/// Compiles and links the kernels for one target. Returns the first line of the compiler's message if it fails.
fn compile(clang: &str, target: &str, object: &Path) -> Result<(), String> {
    let output = Command::new(clang)
        .args(["-x", "cl", "-cl-std=CL1.2", "--target=amdgcn-amd-amdhsa", "-nogpulib", "-O2"])
        .args([&format!("-mcpu={target}"), SOURCE, "-o"])
        .arg(object)
        .output()
        .map_err(|error| format!("{clang} cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let reason = text.lines().next().and_then(|line| line.split(';').next());
    Err(reason.unwrap_or("the compiler gives no reason").into())
}
