//! Numbers for tests that panic if the runtime fails: [`Words`], [`words`], [`gate`].

use std::ffi::c_int;
use std::sync::OnceLock;

use super::device::current;
use super::driver::Ptr;
use super::work::{self, arena, staging};
use crate::numbers::{Arena, Chunk, Gate, SIZE};

/// Returns the arena that the words come from.
#[track_caller]
fn pinned() -> &'static Arena {
    const FIRST: c_int = 0;
    static ARENA: OnceLock<Arena> = OnceLock::new();
    ARENA.get_or_init(|| arena(FIRST).expect("pinned memory"))
}

/// Numbers in pinned memory that host and device share, never freed. As many numbers in the device's
/// memory serve copies. The methods panic if the runtime fails.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    numbers: Chunk,
    /// The address of the numbers in the device's memory.
    staging: usize,
}

/// Allocates `count` numbers, all 0, for streams of the current device.
///
/// # Panics
/// If the runtime fails.
#[track_caller]
pub fn words(count: usize) -> Words {
    let device = current().expect("the current device");
    Words {
        numbers: pinned().numbers(count).expect("pinned memory"),
        staging: staging(device, count).expect("device memory").expose_provenance(),
    }
}

impl Words {
    /// Returns the number at `index`.
    pub fn get(self, index: usize) -> u32 {
        self.numbers.at(index).get()
    }

    /// Sets the number at `index`.
    pub fn set(self, index: usize, value: u32) {
        self.numbers.at(index).set(value);
    }

    /// Makes the stream store the number. The stream's device must be current.
    #[track_caller]
    pub fn store(self, stream: Ptr, index: usize, value: u32) {
        // SAFETY: the tests' streams are live.
        unsafe { work::store(stream, self.numbers.at(index), value) }.expect("a store");
    }

    /// Makes the stream copy the number at `from` to `to`. The stream's device must be current.
    #[track_caller]
    pub fn copy(self, stream: Ptr, to: usize, from: usize) {
        let staging = std::ptr::with_exposed_provenance_mut(self.staging + from * SIZE);
        let (to, from) = (self.numbers.at(to), self.numbers.at(from));
        // SAFETY: the tests' streams are live, and no two of their copies from one number overlap.
        unsafe { work::copy(stream, to, from, staging) }.expect("a copy");
    }

    /// Blocks the stream until the number is 1.
    #[track_caller]
    pub fn gate(self, stream: Ptr, index: usize) -> Gate {
        let number = self.numbers.at(index);
        number.set(0);
        // SAFETY: the tests' streams are live.
        unsafe { work::wait_for(stream, number) }.expect("a gate");
        Gate::new(number)
    }
}

/// Blocks the stream until the gate is opened or dropped.
///
/// # Panics
/// If the runtime fails.
#[track_caller]
pub fn gate(stream: Ptr) -> Gate {
    let number = pinned().number(0).expect("a number");
    // SAFETY: the tests' streams are live.
    unsafe { work::wait_for(stream, number) }.expect("a gate");
    Gate::new(number)
}
