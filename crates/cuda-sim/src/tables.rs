//! Handles and the objects that they name.
//!
//! A handle that names no object aborts the process, where the real driver would follow it. A
//! retired handle, which the real driver knows to be dead, answers with a code.

use crate::call::Ptr;
use crate::codes::Code;
use crate::config::config;
use crate::{copies, thread};

/// The kind of object that a handle names. Its number selects the kind's address range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandleKind {
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

impl HandleKind {
    const ALL: [HandleKind; 10] = [
        HandleKind::Context,
        HandleKind::Stream,
        HandleKind::Event,
        HandleKind::Graph,
        HandleKind::Executable,
        HandleKind::Module,
        HandleKind::Function,
        HandleKind::Green,
        HandleKind::Resources,
        HandleKind::Node,
    ];

    fn name(self) -> &'static str {
        match self {
            HandleKind::Context => "context",
            HandleKind::Stream => "stream",
            HandleKind::Event => "event",
            HandleKind::Graph => "graph",
            HandleKind::Executable => "executable graph",
            HandleKind::Module => "module",
            HandleKind::Function => "function",
            HandleKind::Green => "green context",
            HandleKind::Resources => "description of resources",
            HandleKind::Node => "node",
        }
    }
}

/// The lowest bit of the kind in a handle. Nothing is mapped in that range, so code that follows a
/// handle crashes.
const KIND_SHIFT: u32 = 40;
const STEP: usize = 0x100;

/// Returns the handle of the node with this number. Nodes are in no table, since no function of the
/// simulator takes one.
pub fn node_handle(number: usize) -> usize {
    handle(HandleKind::Node, number)
}

fn handle(kind: HandleKind, index: usize) -> usize {
    first(kind) + (index + 1) * STEP
}

fn first(kind: HandleKind) -> usize {
    (copies::number() << copies::SHIFT) + ((kind as usize) << KIND_SHIFT)
}

/// All objects of one kind.
///
/// Handles are not reused unless `CUDA_SIM_REUSE` is set. Then the handle that was freed last is
/// used next.
pub struct Table<T> {
    kind: HandleKind,
    slots: Vec<Slot<T>>,
    freed: Vec<usize>,
}

/// The state of a handle.
enum Slot<T> {
    Free,
    Alive(Box<T>),
    /// A dead object of `context`, whose handle the driver still recognises. Calls on it return
    /// `code`.
    Dead {
        code: Code,
        context: usize,
    },
}

impl<T> Table<T> {
    pub fn new(kind: HandleKind) -> Self {
        Table { kind, slots: Vec::new(), freed: Vec::new() }
    }

    /// Inserts the object that `make` returns for the new handle. Returns the handle.
    pub fn insert(&mut self, make: impl FnOnce(usize) -> T) -> usize {
        let index = self.freed.pop().unwrap_or(self.slots.len());
        let handle = handle(self.kind, index);
        let made = Slot::Alive(Box::new(make(handle)));
        match self.slots.get_mut(index) {
            Some(slot) => *slot = made,
            None => self.slots.push(made),
        }
        handle
    }

    fn index(&self, handle: usize) -> usize {
        let index = handle.wrapping_sub(first(self.kind)) / STEP;
        let is_one = handle.is_multiple_of(STEP) && index != 0 && index <= self.slots.len();
        if is_one { index - 1 } else { bad(self.kind, handle) }
    }

    pub fn get(&self, handle: usize) -> &T {
        match &self.slots[self.index(handle)] {
            Slot::Alive(found) => found,
            _ => dead(self.kind, handle),
        }
    }

    pub fn get_mut(&mut self, handle: usize) -> &mut T {
        let index = self.index(handle);
        match &mut self.slots[index] {
            Slot::Alive(found) => found,
            _ => dead(self.kind, handle),
        }
    }

    /// Removes the object and frees its handle.
    pub fn remove(&mut self, handle: usize) -> T {
        let index = self.index(handle);
        let found = self.take(handle, Slot::Free);
        if config().reuse {
            self.freed.push(index);
        }
        found
    }

    /// Removes an object of `context` but keeps its handle. From now on, calls on it return `code`.
    pub fn retire(&mut self, handle: usize, code: Code, context: usize) -> T {
        self.take(handle, Slot::Dead { code, context })
    }

    fn take(&mut self, handle: usize, left: Slot<T>) -> T {
        let index = self.index(handle);
        match std::mem::replace(&mut self.slots[index], left) {
            Slot::Alive(found) => *found,
            _ => dead(self.kind, handle),
        }
    }

    /// Assigns a retired handle to a new object.
    pub fn revive(&mut self, handle: usize, made: T) {
        let index = self.index(handle);
        self.slots[index] = Slot::Alive(Box::new(made));
    }

    /// Frees a retired handle.
    pub fn forget(&mut self, handle: usize) {
        let index = self.index(handle);
        self.slots[index] = Slot::Free;
        if config().reuse {
            self.freed.push(index);
        }
    }

    /// Frees all retired handles of `context`.
    pub fn forget_all(&mut self, context: usize) {
        for index in 0..self.slots.len() {
            if matches!(self.slots[index], Slot::Dead { context: its, .. } if its == context) {
                self.forget(handle(self.kind, index));
            }
        }
    }

    /// Returns the handle as a number if it names a live object. Returns an error if the handle is
    /// null or retired.
    pub fn check(&self, handle: Ptr) -> Result<usize, Code> {
        if handle.is_null() {
            return Err(Code::INVALID_HANDLE);
        }
        match &self.slots[self.index(handle.addr())] {
            Slot::Alive(_) => Ok(handle.addr()),
            Slot::Dead { code, .. } => Err(*code),
            Slot::Free => dead(self.kind, handle.addr()),
        }
    }

    /// Returns `true` if the handle names a live object.
    pub fn is_alive(&self, handle: usize) -> bool {
        matches!(self.slots[self.index(handle)], Slot::Alive(_))
    }

    /// Returns the code of a retired handle. Returns `None` for a live or null handle.
    pub fn retired(&self, handle: usize) -> Option<Code> {
        if handle == 0 {
            return None;
        }
        match self.slots[self.index(handle)] {
            Slot::Dead { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Returns the live objects.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Alive(found) => Some(&**found),
            _ => None,
        })
    }

    /// Returns the handles of the live objects that `wanted` accepts.
    pub fn handles(&self, wanted: impl Fn(&T) -> bool) -> Vec<usize> {
        let is_one = |slot: &Slot<T>| matches!(slot, Slot::Alive(found) if wanted(found));
        let found = self.slots.iter().enumerate().filter(|(_, slot)| is_one(slot));
        found.map(|(index, _)| handle(self.kind, index)).collect()
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Alive(found) => Some(&mut **found),
            _ => None,
        })
    }
}

#[cold]
fn bad(kind: HandleKind, handle: usize) -> ! {
    let other = HandleKind::ALL
        .into_iter()
        .find(|&other| first(other) >> KIND_SHIFT == handle >> KIND_SHIFT);
    match other.filter(|&other| other != kind) {
        Some(other) => die(kind, handle, &format!("is a handle of a {}", other.name())),
        None => die(kind, handle, "was never made"),
    }
}

#[cold]
fn dead(kind: HandleKind, handle: usize) -> ! {
    die(kind, handle, "was destroyed")
}

#[cold]
fn die(kind: HandleKind, handle: usize, what: &str) -> ! {
    eprintln!(
        "cuda-sim: {}: {} {handle:#x} {what}; a real driver would follow the handle",
        thread::current_call(),
        kind.name()
    );
    std::process::abort()
}
