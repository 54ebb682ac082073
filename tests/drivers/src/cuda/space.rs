//! A context with all that a test needs in it: [`Space`].

use std::ffi::{c_int, c_uint};
use std::sync::OnceLock;

use super::context::{enter, new_context, new_stream, primary_context};
use super::driver::{Ptr, driver, ok};
use super::work::{Kernels, arena, hold};
use crate::numbers::{Arena, Gate};

/// A context of the first device, with kernels in it. Its methods panic if the driver fails.
#[derive(Debug)]
pub struct Space {
    /// The context.
    pub context: Ptr,
    kernels: Kernels,
    arena: Arena,
}

// SAFETY: the driver accepts contexts on any thread.
unsafe impl Send for Space {}
// SAFETY: the driver accepts contexts on any thread.
unsafe impl Sync for Space {}

impl Space {
    /// Returns the primary context of the first device.
    pub fn primary() -> &'static Space {
        static SPACE: OnceLock<Space> = OnceLock::new();
        SPACE.get_or_init(|| Space::of(primary_context()))
    }

    /// Returns another context of the first device.
    pub fn second() -> &'static Space {
        static SPACE: OnceLock<Space> = OnceLock::new();
        SPACE.get_or_init(|| Space::of(new_context()))
    }

    fn of(context: Ptr) -> Space {
        let kernels = Kernels::load(context).expect("the kernels");
        let space = Space { context, kernels, arena: arena(context).expect("pinned memory") };
        // The driver loads a kernel at its first launch, which may wait for running work.
        let (stream, words) = (space.stream(1, 0), space.words(2));
        space.slow_store(stream, words, 1, 1);
        space.copy(stream, words + 4, words);
        space.synchronize(stream);
        assert_eq!(space.read(words + 4, 1), [1], "the tests' kernels");
        space
    }

    /// Creates a stream that is never destroyed. Flags 1: it does not synchronize with the default stream.
    #[track_caller]
    pub fn stream(&self, flags: c_uint, priority: c_int) -> Ptr {
        new_stream(self.context, flags, priority)
    }

    /// Allocates `count` numbers in the device's memory, all 0, never freed.
    #[track_caller]
    pub fn words(&self, count: usize) -> u64 {
        let _current = enter(self.context);
        let mut address = 0;
        // SAFETY: `&mut address` is a valid out-pointer.
        ok("mem_alloc", unsafe { (driver().mem_alloc)(&mut address, count * 4) });
        self.clear(address, count);
        address
    }

    /// Sets `count` numbers to 0.
    #[track_caller]
    pub fn clear(&self, address: u64, count: usize) {
        let _current = enter(self.context);
        // SAFETY: the tests pass addresses of their own memory.
        ok("memset", unsafe { (driver().memset)(address, 0, count) });
        // The call is work of the default stream, which the tests' streams do not synchronize with. Without
        // a wait it could run after their first stores.
        self.synchronize(std::ptr::null_mut());
    }

    /// Returns `count` numbers.
    #[track_caller]
    pub fn read(&self, address: u64, count: usize) -> Vec<u32> {
        let _current = enter(self.context);
        let mut numbers = vec![0_u32; count];
        // SAFETY: the tests pass addresses of their own memory, and the buffer has room for it.
        ok("copy_to_host", unsafe {
            (driver().copy_to_host)(numbers.as_mut_ptr().cast(), address, count * 4)
        });
        numbers
    }

    /// Submits a store that takes that many turns.
    #[track_caller]
    pub fn slow_store(&self, stream: Ptr, to: u64, value: u32, turns: u32) {
        let _current = enter(self.context);
        // SAFETY: the tests' streams belong to this context, which is current. Their memory is never freed.
        unsafe { self.kernels.slow_store(stream, to, value, turns) }.expect("a slow store");
    }

    /// Submits a copy.
    #[track_caller]
    pub fn copy(&self, stream: Ptr, to: u64, from: u64) {
        let _current = enter(self.context);
        // SAFETY: the tests' streams belong to this context, which is current. Their memory is never freed.
        unsafe { self.kernels.copy(stream, to, from) }.expect("a copy");
    }

    /// Waits for all work of a stream.
    #[track_caller]
    pub fn synchronize(&self, stream: Ptr) {
        let _current = enter(self.context);
        // SAFETY: the tests' streams are never destroyed.
        ok("stream_synchronize", unsafe { (driver().stream_synchronize)(stream) });
    }

    /// Blocks the stream until the gate is opened or dropped.
    #[track_caller]
    pub fn gate(&self, stream: Ptr) -> Gate {
        let _current = enter(self.context);
        let number = self.arena.number(0).expect("a number");
        // SAFETY: the tests' streams are live.
        unsafe { hold(stream, number) }.expect("a gate");
        Gate::new(number)
    }
}
