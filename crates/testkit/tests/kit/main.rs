//! The test kit on every backend, and what it says of tests that fail, hang, crash or cannot run.
//!
//! The tests of `backends` and `samples` are marked as ignored, because the tests of this file run them:
//! this program is started again with the environment that each needs.

mod backends;
mod checked;
mod outcomes;
mod program;
mod reports;
mod samples;
