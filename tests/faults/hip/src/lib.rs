#![doc = include_str!("../README.md")]

mod forward;
mod functions;
mod last_error;
mod real;
mod records;

gpu_stream_faults::export_controls!();
