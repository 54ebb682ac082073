//! HIP's kernels that write a word and wait for one: `hipStreamWriteValue32`,
//! `hipStreamWaitValue32` and their kin.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::kernels::{Arguments, Fault, MEMORY, memory_changed, range, word};
use crate::parking_lot::{self, WaitOptions};
use crate::queues::Queue;
use crate::trace::trace;

/// The words of the kernels that write and wait.
const WORDS: [(&str, usize); 2] = [("ptrInt", 4), ("ptrUlong", 8)];

/// # Safety
///
/// As [`Arguments::find`].
pub unsafe fn stream_write(arguments: &Arguments<'_>) -> Result<String, Fault> {
    // SAFETY: as the caller promises.
    let ((size, address), value) =
        unsafe { (arguments.buffer(&WORDS)?, arguments.get("value")? as u64) };
    write_word(address, size, value)?;
    Ok(format!("{value} to 0x{address:x}, {size} bytes"))
}

/// # Safety
///
/// As [`Arguments::find`].
pub unsafe fn stream_wait(queue: &Queue, arguments: &Arguments<'_>) -> Result<String, Fault> {
    // SAFETY: as the caller promises.
    let ((size, address), wait) = unsafe {
        let compare = Compare::of(arguments.get("flags")? as u64)?;
        let (value, mask) = (arguments.get("value")? as u64, arguments.get("mask")? as u64);
        (arguments.buffer(&WORDS)?, ValueWait { value, mask, compare })
    };
    wait_for_word(queue, address, size, wait)
}

/// HIP's batches: write and wait operations of 48 bytes each, which this plays one after another.
///
/// # Safety
///
/// As [`Arguments::find`].
pub unsafe fn batch(queue: &Queue, arguments: &Arguments<'_>) -> Result<String, Fault> {
    const BYTES: usize = 48;
    // SAFETY: as the caller promises.
    let (operations, count) = unsafe { (arguments.get("params")?, arguments.get("count")?) };
    range(operations, count * BYTES)?;
    for at in (0..count).map(|index| operations + index * BYTES) {
        // SAFETY: the range was looked up; each operation is its kind, an address, a value and
        // flags.
        let (kind, address, value, flags) =
            unsafe { (word(at, 4), word(at + 8, 8) as usize, word(at + 16, 8), word(at + 24, 4)) };
        let wait = |compare| ValueWait { value, mask: u64::MAX, compare };
        match kind {
            1 => drop(wait_for_word(queue, address, 4, wait(Compare::of(flags)?))?),
            2 => write_word(address, 4, value)?,
            4 => drop(wait_for_word(queue, address, 8, wait(Compare::of(flags)?))?),
            5 => write_word(address, 8, value)?,
            value => return Err(Fault::Value { of: "kind of operation", value }),
        }
    }
    Ok(format!("{count} operations"))
}

/// How a wait compares, in HIP's numbers.
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
            value => Err(Fault::Value { of: "comparison", value }),
        }
    }
}

/// What a word has to become.
#[derive(Clone, Copy, Debug)]
struct ValueWait {
    value: u64,
    mask: u64,
    compare: Compare,
}

impl ValueWait {
    /// Whether `word` will do; all three are cut to the word's width before.
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

/// A word of memory that others change while it is looked at.
#[derive(Clone, Copy)]
enum Word {
    Four(&'static AtomicU32),
    Eight(&'static AtomicU64),
}

impl Word {
    fn at(address: usize, size: usize) -> Result<Word, Fault> {
        let pointer = range(address, size)?;
        if !address.is_multiple_of(size) {
            return Err(Fault::Unaligned { address });
        }
        // SAFETY: looked up and aligned. The program keeps the memory until the packet is done, and
        // changes it as one changes memory that a GPU polls: a word at a time.
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
    // Here too, and not only when the kernel is done: a later operation of a batch may wait.
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
    // The program may open the gate with a store of its own, which wakes nobody.
    let patience = WaitOptions { until: None, look_again: true };
    parking_lot::wait(&raw const MEMORY as usize, patience, || {
        wait.holds(word.load()) || queue.stopped()
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
    fn comparisons_are_those_of_hip() {
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
    fn a_word_of_four_bytes_is_not_asked_for_more() {
        let wait = wait(0xFFFF_FFFF_0000_0001, u64::MAX, Compare::Equal).cut(4);
        assert!(wait.holds(1));
    }
}
