//! Numbers that the host and all devices can access: [`Number`], [`Arena`].

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::driver::{DriverError, Ptr};

/// The number of numbers in one allocation.
pub(crate) const COUNT: usize = 1 << 20;

/// The size of a number in bytes.
pub(crate) const SIZE: usize = size_of::<AtomicU32>();

/// A number in memory that the host and all devices can access. It is never freed.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    host: &'static AtomicU32,
    address: usize,
}

impl Number {
    /// Returns the value.
    pub fn get(&self) -> u32 {
        self.host.load(Ordering::SeqCst)
    }

    /// Sets the value.
    pub fn set(&self, value: u32) {
        self.host.store(value, Ordering::SeqCst);
    }

    /// Returns a pointer to the number, for the host and its functions.
    pub fn as_ptr(&self) -> Ptr {
        self.host.as_ptr().cast()
    }

    /// Returns the address of the number on the devices.
    pub fn address(&self) -> usize {
        self.address
    }
}

/// A gate that holds a stream back until a number is 1. The drop opens it.
#[derive(Debug)]
pub struct Gate(Number);

impl Gate {
    /// Returns the gate of a stream that waits for `number`.
    pub fn new(number: Number) -> Self {
        Gate(number)
    }

    /// Opens the gate. A second call does nothing.
    pub fn open(&self) {
        self.0.set(1);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

/// Numbers in a row, and their address on the devices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    numbers: &'static [AtomicU32],
    address: usize,
}

impl Chunk {
    /// Returns the `count` numbers at `memory`.
    ///
    /// # Safety
    /// - `memory` points to `count` aligned numbers that are never freed.
    /// - Host and devices access them only as whole words, atomically or volatile.
    /// - `address` is their address on the devices.
    pub(crate) unsafe fn new(memory: Ptr, address: usize, count: usize) -> Self {
        // SAFETY: the memory is valid for the rest of the process (caller contract), and every bit
        // pattern is a valid number.
        let numbers = unsafe { std::slice::from_raw_parts(memory.cast::<AtomicU32>(), count) };
        Chunk { numbers, address }
    }

    /// Returns the number at `index`.
    pub(crate) fn at(&self, index: usize) -> Number {
        Number { host: &self.numbers[index], address: self.address + index * SIZE }
    }

    /// Removes the first `count` numbers and returns them, all 0.
    fn take(&mut self, count: usize) -> Self {
        let (taken, rest) = self.numbers.split_at(count);
        taken.iter().for_each(|number| number.store(0, Ordering::SeqCst));
        let taken = Chunk { numbers: taken, address: self.address };
        *self = Chunk { numbers: rest, address: self.address + count * SIZE };
        taken
    }
}

/// Allocates that many numbers in a context, or on a device.
type Allocate = fn(usize, usize) -> Result<Chunk, DriverError>;

/// An arena of pinned memory, which hands out numbers and never reuses or frees them.
///
/// Work that is pending when a number is dropped, or a gate that the device has not passed, may still
/// access it. Freeing the memory would wait for all streams, shut gates included.
///
/// The numbers are not in device memory, because the host must read them while streams are held back.
pub struct Arena {
    allocate: Allocate,
    /// The context or the device that the memory is allocated in.
    place: usize,
    chunk: Mutex<Chunk>,
}

impl Arena {
    pub(crate) fn new(allocate: Allocate, place: usize) -> Result<Self, DriverError> {
        Ok(Arena { allocate, place, chunk: Mutex::new(allocate(place, COUNT)?) })
    }

    /// Returns a number that no other call has returned.
    ///
    /// # Errors
    /// The driver's error.
    pub fn number(&self, value: u32) -> Result<Number, DriverError> {
        let number = self.numbers(1)?.at(0);
        number.set(value);
        Ok(number)
    }

    /// Returns numbers in a row that no other call has returned, all 0.
    pub(crate) fn numbers(&self, count: usize) -> Result<Chunk, DriverError> {
        let mut chunk = self.chunk.lock().unwrap_or_else(PoisonError::into_inner);
        if chunk.numbers.len() < count {
            *chunk = (self.allocate)(self.place, COUNT.max(count))?;
        }
        Ok(chunk.take(count))
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("place", &self.place).finish_non_exhaustive()
    }
}
