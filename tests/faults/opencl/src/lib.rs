#![doc = include_str!("../README.md")]

mod forward;
mod functions;
mod real;

gpu_stream_faults::export_controls!();
