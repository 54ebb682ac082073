#![doc = include_str!("../README.md")]

pub mod args;
pub mod events;
pub mod exchange;
pub mod handles;
pub mod peers;
pub mod required;

/// Function that decodes an input from bytes and checks the result. Panics if a property does not hold.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const ALL: &[(&str, Target)] = &[
    ("args", args::target),
    ("events", events::target),
    ("exchange", exchange::target),
    ("handles", handles::target),
    ("peers", peers::target),
    ("required", required::target),
];

/// Returns the target with this name.
pub fn find(name: &str) -> Option<Target> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
