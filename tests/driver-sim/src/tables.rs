//! Handles, and the things that they name. A handle that names nothing ends the process: the real
//! driver would follow it.

use crate::call::Ptr;
use crate::codes::Code;
use crate::config::config;
use crate::thread;

/// What a handle can name. Its number is where its handles lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    Context = 1,
    Stream,
    Event,
    Graph,
    Executable,
    Module,
    Function,
}

impl Sort {
    const ALL: [Sort; 7] = [
        Sort::Context,
        Sort::Stream,
        Sort::Event,
        Sort::Graph,
        Sort::Executable,
        Sort::Module,
        Sort::Function,
    ];

    fn name(self) -> &'static str {
        match self {
            Sort::Context => "context",
            Sort::Stream => "stream",
            Sort::Event => "event",
            Sort::Graph => "graph",
            Sort::Executable => "executable graph",
            Sort::Module => "module",
            Sort::Function => "function",
        }
    }
}

/// Nothing is mapped there, so whoever follows a handle crashes.
const SHIFT: u32 = 40;
const STEP: usize = 0x100;

/// All things of one sort. A handle is not used again, unless `DRIVER_SIM_REUSE` asks for it: then
/// the one that was freed last is the next.
pub struct Table<T> {
    sort: Sort,
    slots: Vec<Option<Box<T>>>,
    freed: Vec<usize>,
}

impl<T> Table<T> {
    pub fn new(sort: Sort) -> Self {
        Table { sort, slots: Vec::new(), freed: Vec::new() }
    }

    /// The handle of what `make` makes of it.
    pub fn insert(&mut self, make: impl FnOnce(usize) -> T) -> usize {
        let index = self.freed.pop().unwrap_or(self.slots.len());
        let handle = ((self.sort as usize) << SHIFT) + (index + 1) * STEP;
        let made = Some(Box::new(make(handle)));
        match self.slots.get_mut(index) {
            Some(slot) => *slot = made,
            None => self.slots.push(made),
        }
        handle
    }

    fn index(&self, handle: usize) -> usize {
        let index = handle.wrapping_sub((self.sort as usize) << SHIFT) / STEP;
        let is_one = handle.is_multiple_of(STEP) && index != 0 && index <= self.slots.len();
        if is_one { index - 1 } else { bad(self.sort, handle) }
    }

    pub fn get(&self, handle: usize) -> &T {
        match &self.slots[self.index(handle)] {
            Some(found) => found,
            None => dead(self.sort, handle),
        }
    }

    pub fn get_mut(&mut self, handle: usize) -> &mut T {
        let index = self.index(handle);
        match &mut self.slots[index] {
            Some(found) => found,
            None => dead(self.sort, handle),
        }
    }

    pub fn remove(&mut self, handle: usize) -> T {
        let index = self.index(handle);
        match self.slots[index].take() {
            Some(found) => {
                if config().reuse {
                    self.freed.push(index);
                }
                *found
            }
            None => dead(self.sort, handle),
        }
    }

    /// The handle as a number, if it is not null; it names something that is alive.
    pub fn check(&self, handle: Ptr) -> Result<usize, Code> {
        if handle.is_null() {
            return Err(Code::INVALID_HANDLE);
        }
        self.get(handle.addr());
        Ok(handle.addr())
    }

    /// Whether the handle names something that is alive.
    pub fn is_alive(&self, handle: usize) -> bool {
        self.slots[self.index(handle)].is_some()
    }

    /// Those that are alive.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.as_deref())
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.as_deref_mut())
    }
}

#[cold]
fn bad(sort: Sort, handle: usize) -> ! {
    let other = Sort::ALL.into_iter().find(|&other| other as usize == handle >> SHIFT);
    match other.filter(|&other| other != sort) {
        Some(other) => die(sort, handle, &format!("is a handle of a {}", other.name())),
        None => die(sort, handle, "was never made"),
    }
}

#[cold]
fn dead(sort: Sort, handle: usize) -> ! {
    die(sort, handle, "was destroyed")
}

#[cold]
fn die(sort: Sort, handle: usize, what: &str) -> ! {
    eprintln!(
        "driver-sim: {}: {} {handle:#x} {what}; a real driver would follow the handle",
        thread::call(),
        sort.name()
    );
    std::process::abort()
}
