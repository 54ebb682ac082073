//! Declared accesses are compiled to nothing on a backend without a check.
//!
//! In an optimized build the functions below are a return and nothing else. Other builds have nothing to check.
#![cfg(target_arch = "x86_64")]

use gpu_stream::prelude::*;
use gpu_stream::{Access, Host, HostStream, Region};

/// Declares an access of each kind.
#[inline(never)]
extern "C" fn declare(stream: &HostStream, region: &Region) {
    stream.reads(region);
    stream.writes(region);
    stream.released(region);
    Host::host_access(Access::Read, region);
}

/// Submits work.
#[inline(never)]
extern "C" fn submit(stream: &HostStream, region: &Region) {
    stream.reads(region);
    drop(stream.launch_host_func(Box::new(|| ())));
}

/// The instruction `ret`.
const RETURN: u8 = 0xc3;

/// Returns the first byte of a function's code.
fn first_byte(function: extern "C" fn(&HostStream, &Region)) -> u8 {
    // SAFETY: on x86-64, the address of a function is that of its code, which is readable and at least one byte long.
    unsafe { *(function as *const u8) }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "the build is not optimized; run it with --release")]
fn declarations_are_compiled_to_nothing() {
    assert_eq!(first_byte(declare), RETURN, "a declared access leaves code behind");
    assert_ne!(first_byte(submit), RETURN, "the first byte of a function that does something");
}
