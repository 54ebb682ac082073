//! Gives the cdylib the driver's SONAME. A later lookup of `libcuda.so.1`, such as cudarc's, then
//! finds the loaded simulator.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
    }
}
