//! The runtime's own functions, of the table that all tests share. Any code but success panics, unless the
//! test handles the code.

#![allow(unused_imports, reason = "no test uses all of it")]

pub use gpu_stream_test_support::hip::*;
pub use gpu_stream_test_support::hip::{Driver as Bare, driver as bare};
