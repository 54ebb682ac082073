//! Lets a library that the program loads take functions from it: under a sanitizer the simulated CUDA
//! driver is built with it, too, and the sanitizer itself is in the program.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-link-arg-bins=-rdynamic");
    }
}
