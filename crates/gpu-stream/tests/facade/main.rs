//! The facade's own tests, as one program.

mod any;
mod available;
mod fake;
mod identity;
