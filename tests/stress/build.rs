//! Exports the program's symbols to the libraries that it loads.
//!
//! Under a sanitizer, the simulated CUDA driver is instrumented too, and its sanitizer runtime is in the program.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-link-arg-bins=-rdynamic");
    }
}
