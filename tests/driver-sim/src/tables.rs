//! Handles, and the things that they name. A handle that names nothing ends the process: the real
//! driver would follow it. A handle that the driver itself knows to be dead answers with a code.

use crate::call::Ptr;
use crate::codes::Code;
use crate::config::config;
use crate::{copies, thread};

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
    Green,
    Resources,
    Node,
}

impl Sort {
    const ALL: [Sort; 10] = [
        Sort::Context,
        Sort::Stream,
        Sort::Event,
        Sort::Graph,
        Sort::Executable,
        Sort::Module,
        Sort::Function,
        Sort::Green,
        Sort::Resources,
        Sort::Node,
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
            Sort::Green => "green context",
            Sort::Resources => "description of resources",
            Sort::Node => "node",
        }
    }
}

/// Nothing is mapped there, so whoever follows a handle crashes.
const SHIFT: u32 = 40;
const STEP: usize = 0x100;

/// Returns the handle of the node with this number. Nodes are in no table, since no function of the
/// simulator takes one.
pub fn node_handle(number: usize) -> usize {
    handle(Sort::Node, number)
}

fn handle(sort: Sort, index: usize) -> usize {
    first(sort) + (index + 1) * STEP
}

fn first(sort: Sort) -> usize {
    (copies::number() << copies::SHIFT) + ((sort as usize) << SHIFT)
}

/// All things of one sort. A handle is not used again, unless `DRIVER_SIM_REUSE` asks for it: then
/// the one that was freed last is the next.
pub struct Table<T> {
    sort: Sort,
    slots: Vec<Slot<T>>,
    freed: Vec<usize>,
}

/// What a handle stands for.
enum Slot<T> {
    Free,
    Alive(Box<T>),
    /// A dead object whose handle the driver still recognises. Calls on it answer with the code.
    Dead(Code),
}

impl<T> Table<T> {
    pub fn new(sort: Sort) -> Self {
        Table { sort, slots: Vec::new(), freed: Vec::new() }
    }

    /// The handle of what `make` makes of it.
    pub fn insert(&mut self, make: impl FnOnce(usize) -> T) -> usize {
        let index = self.freed.pop().unwrap_or(self.slots.len());
        let handle = handle(self.sort, index);
        let made = Slot::Alive(Box::new(make(handle)));
        match self.slots.get_mut(index) {
            Some(slot) => *slot = made,
            None => self.slots.push(made),
        }
        handle
    }

    fn index(&self, handle: usize) -> usize {
        let index = handle.wrapping_sub(first(self.sort)) / STEP;
        let is_one = handle.is_multiple_of(STEP) && index != 0 && index <= self.slots.len();
        if is_one { index - 1 } else { bad(self.sort, handle) }
    }

    pub fn get(&self, handle: usize) -> &T {
        match &self.slots[self.index(handle)] {
            Slot::Alive(found) => found,
            _ => dead(self.sort, handle),
        }
    }

    pub fn get_mut(&mut self, handle: usize) -> &mut T {
        let index = self.index(handle);
        match &mut self.slots[index] {
            Slot::Alive(found) => found,
            _ => dead(self.sort, handle),
        }
    }

    /// Frees the handle.
    pub fn remove(&mut self, handle: usize) -> T {
        let index = self.index(handle);
        let found = self.take(handle, Slot::Free);
        if config().reuse {
            self.freed.push(index);
        }
        found
    }

    /// Ends the object but keeps the handle: from now on, calls on it answer with `code`.
    pub fn retire(&mut self, handle: usize, code: Code) -> T {
        self.take(handle, Slot::Dead(code))
    }

    fn take(&mut self, handle: usize, left: Slot<T>) -> T {
        let index = self.index(handle);
        match std::mem::replace(&mut self.slots[index], left) {
            Slot::Alive(found) => *found,
            _ => dead(self.sort, handle),
        }
    }

    /// Gives a retired handle to a new object.
    pub fn revive(&mut self, handle: usize, made: T) {
        let index = self.index(handle);
        self.slots[index] = Slot::Alive(Box::new(made));
    }

    /// Frees the handle of a retired object.
    pub fn forget(&mut self, handle: usize) {
        let index = self.index(handle);
        self.slots[index] = Slot::Free;
        if config().reuse {
            self.freed.push(index);
        }
    }

    /// Returns the handle as a number if it names an object that is alive. A null handle and a
    /// retired one are refused with a code.
    pub fn check(&self, handle: Ptr) -> Result<usize, Code> {
        if handle.is_null() {
            return Err(Code::INVALID_HANDLE);
        }
        match &self.slots[self.index(handle.addr())] {
            Slot::Alive(_) => Ok(handle.addr()),
            Slot::Dead(code) => Err(*code),
            Slot::Free => dead(self.sort, handle.addr()),
        }
    }

    /// Returns `true` if the handle names an object that is alive.
    pub fn is_alive(&self, handle: usize) -> bool {
        matches!(self.slots[self.index(handle)], Slot::Alive(_))
    }

    /// Returns the code of a retired handle. Returns `None` for the null handle.
    pub fn retired(&self, handle: usize) -> Option<Code> {
        if handle == 0 {
            return None;
        }
        match self.slots[self.index(handle)] {
            Slot::Dead(code) => Some(code),
            _ => None,
        }
    }

    /// Those that are alive.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Alive(found) => Some(&**found),
            _ => None,
        })
    }

    /// Returns the handles of the objects that are alive and as `wanted` says.
    pub fn handles(&self, wanted: impl Fn(&T) -> bool) -> Vec<usize> {
        let is_one = |slot: &Slot<T>| matches!(slot, Slot::Alive(found) if wanted(found));
        let found = self.slots.iter().enumerate().filter(|(_, slot)| is_one(slot));
        found.map(|(index, _)| handle(self.sort, index)).collect()
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Alive(found) => Some(&mut **found),
            _ => None,
        })
    }
}

#[cold]
fn bad(sort: Sort, handle: usize) -> ! {
    let other = Sort::ALL.into_iter().find(|&other| first(other) >> SHIFT == handle >> SHIFT);
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
