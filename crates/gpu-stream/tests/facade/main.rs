//! The facade's tests, in one program.

mod any;
mod available;
mod fake;
mod identity;
mod retained;
