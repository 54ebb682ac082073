//! Gives the cdylib the driver's own name, so that whoever asks the dynamic linker for
//! `libcuda.so.1` afterwards, as cudarc does, gets the simulator that is loaded already.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
    }
}
