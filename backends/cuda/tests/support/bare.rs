//! The driver's own functions, of the table that all tests share. Any code but success panics, unless the
//! test asks for the code.

#![allow(unused_imports, reason = "no test uses all of it")]

pub use gpu_stream_test_support::cuda::*;
pub use gpu_stream_test_support::cuda::{Driver as Bare, driver as bare};
