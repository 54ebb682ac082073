//! HIP's built-in kernels that write a word and wait for one: `hipStreamWriteValue32`,
//! `hipStreamWaitValue32` and their variants.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::kernels::{Arguments, Fault, MEMORY, checked_range, memory_changed, read_word};
use crate::parking_lot::{self, WaitOptions};
use crate::queues::Queue;
use crate::trace::trace;

/// The pointer arguments of these kernels, with their word sizes.
const WORDS: [(&str, usize); 2] = [("ptrInt", 4), ("ptrUlong", 8)];

/// Executes a write of a word.
///
/// # Safety
///
/// The requirements of [`Arguments::find`].
pub unsafe fn stream_write(arguments: &Arguments<'_>) -> Result<String, Fault> {
    // SAFETY: the arguments have the layout that the metadata describes (caller contract).
    let ((size, address), value) =
        unsafe { (arguments.buffer(&WORDS)?, arguments.get("value")? as u64) };
    write_word(address, size, value)?;
    Ok(format!("{value} to 0x{address:x}, {size} bytes"))
}

/// Executes a wait for a word.
///
/// # Safety
///
/// The requirements of [`Arguments::find`].
pub unsafe fn stream_wait(queue: &Queue, arguments: &Arguments<'_>) -> Result<String, Fault> {
    // SAFETY: the arguments have the layout that the metadata describes (caller contract).
    let ((size, address), wait) = unsafe {
        let compare = Compare::of(arguments.get("flags")? as u64)?;
        let (value, mask) = (arguments.get("value")? as u64, arguments.get("mask")? as u64);
        (arguments.buffer(&WORDS)?, ValueWait { value, mask, compare })
    };
    wait_for_word(queue, address, size, wait)
}

/// Executes a batch of write and wait operations, 48 bytes each, in sequence.
///
/// # Safety
///
/// The requirements of [`Arguments::find`].
pub unsafe fn batch(queue: &Queue, arguments: &Arguments<'_>) -> Result<String, Fault> {
    const BYTES: usize = 48;
    // SAFETY: the arguments have the layout that the metadata describes (caller contract).
    let (operations, count) = unsafe { (arguments.get("params")?, arguments.get("count")?) };
    checked_range(operations, count * BYTES)?;
    for at in (0..count).map(|index| operations + index * BYTES) {
        // SAFETY: the range was checked. Each operation holds its kind, an address, a value and
        // flags.
        let (kind, address, value, flags) = unsafe {
            (
                read_word(at, 4),
                read_word(at + 8, 8) as usize,
                read_word(at + 16, 8),
                read_word(at + 24, 4),
            )
        };
        let wait = |compare| ValueWait { value, mask: u64::MAX, compare };
        match kind {
            1 => drop(wait_for_word(queue, address, 4, wait(Compare::of(flags)?))?),
            2 => write_word(address, 4, value)?,
            4 => drop(wait_for_word(queue, address, 8, wait(Compare::of(flags)?))?),
            5 => write_word(address, 8, value)?,
            value => return Err(Fault::Value { name: "kind of operation", value }),
        }
    }
    Ok(format!("{count} operations"))
}

/// The comparison of a wait, by HIP's numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Compare {
    AtLeast,
    Equal,
    And,
    Nor,
}

impl Compare {
    fn of(flags: u64) -> Result<Compare, Fault> {
        match flags {
            0 => Ok(Compare::AtLeast),
            1 => Ok(Compare::Equal),
            2 => Ok(Compare::And),
            3 => Ok(Compare::Nor),
            value => Err(Fault::Value { name: "comparison", value }),
        }
    }
}

/// The condition for a word's value.
#[derive(Clone, Copy, Debug)]
struct ValueWait {
    value: u64,
    mask: u64,
    compare: Compare,
}

impl ValueWait {
    /// Returns `true` if `word` meets the condition. All three are truncated to the word's width
    /// before.
    fn holds(self, word: u64) -> bool {
        let masked = word & self.mask;
        match self.compare {
            Compare::AtLeast => masked >= self.value,
            Compare::Equal => masked == self.value,
            Compare::And => masked & self.value != 0,
            Compare::Nor => (word | self.value) & self.mask != self.mask,
        }
    }

    fn cut(self, size: usize) -> ValueWait {
        let cut = |number: u64| if size == 4 { number & u64::from(u32::MAX) } else { number };
        ValueWait { value: cut(self.value), mask: cut(self.mask), ..self }
    }
}

/// A word of memory that other threads can change at any time.
#[derive(Clone, Copy)]
enum Word {
    Four(&'static AtomicU32),
    Eight(&'static AtomicU64),
}

impl Word {
    fn at(address: usize, size: usize) -> Result<Word, Fault> {
        let pointer = checked_range(address, size)?;
        if !address.is_multiple_of(size) {
            return Err(Fault::Unaligned { address });
        }
        // SAFETY: the address was checked and is aligned. The program keeps the memory until the
        // packet is done, and changes it in whole words, as with memory that a GPU polls.
        Ok(unsafe {
            match size {
                4 => Word::Four(AtomicU32::from_ptr(pointer.cast())),
                _ => Word::Eight(AtomicU64::from_ptr(pointer.cast())),
            }
        })
    }

    fn load(self) -> u64 {
        match self {
            Word::Four(word) => word.load(Ordering::SeqCst).into(),
            Word::Eight(word) => word.load(Ordering::SeqCst),
        }
    }

    fn store(self, value: u64) {
        match self {
            Word::Four(word) => word.store(value as u32, Ordering::SeqCst),
            Word::Eight(word) => word.store(value, Ordering::SeqCst),
        }
    }
}

fn write_word(address: usize, size: usize, value: u64) -> Result<(), Fault> {
    Word::at(address, size)?.store(value);
    // Wakes waiters now and not only when the kernel is done, because a later operation of a batch
    // may wait.
    memory_changed();
    Ok(())
}

fn wait_for_word(
    queue: &Queue,
    address: usize,
    size: usize,
    wait: ValueWait,
) -> Result<String, Fault> {
    let (word, wait) = (Word::at(address, size)?, wait.cut(size));
    let name = &queue.name;
    trace!("{name}: waits for 0x{address:x}, {size} bytes, now {}: {wait:?}", word.load());
    // The program may open the gate with a plain store, which wakes no thread.
    let options = WaitOptions { until: None, poll: true };
    parking_lot::wait(&raw const MEMORY as usize, options, || {
        wait.holds(word.load()) || queue.is_stopped()
    });
    Ok(format!("0x{address:x} is {}", word.load()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(value: u64, mask: u64, compare: Compare) -> ValueWait {
        ValueWait { value, mask, compare }
    }

    #[test]
    fn comparisons_match_hip() {
        let all = u64::MAX;
        assert!(wait(5, all, Compare::AtLeast).holds(5));
        assert!(wait(5, all, Compare::AtLeast).holds(6));
        assert!(!wait(5, all, Compare::AtLeast).holds(4));
        assert!(wait(5, 0xF, Compare::Equal).holds(0x35));
        assert!(!wait(5, all, Compare::Equal).holds(0x35));
        assert!(wait(6, all, Compare::And).holds(2));
        assert!(!wait(6, all, Compare::And).holds(9));
        assert!(wait(6, all, Compare::Nor).holds(8));
        assert!(!wait(!8, all, Compare::Nor).holds(8));
    }

    #[test]
    fn four_byte_wait_ignores_the_upper_half() {
        let wait = wait(0xFFFF_FFFF_0000_0001, u64::MAX, Compare::Equal).cut(4);
        assert!(wait.holds(1));
    }
}
