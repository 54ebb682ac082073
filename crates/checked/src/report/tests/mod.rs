//! Tests of the reports.

mod golden;
mod program;
mod properties;
mod samples;
