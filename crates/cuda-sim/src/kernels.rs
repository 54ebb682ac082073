//! Modules, and the kernels that the simulator can run, identified by name.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_uint, c_void};
use std::time::Duration;

use crate::call::{Answer, Ptr, exports, write_out};
use crate::codes::Code;
use crate::state::state;
use crate::work::Work;
use crate::{memory, thread};

pub struct Module {
    pub context: usize,
    entries: BTreeSet<String>,
}

pub struct Function {
    pub context: usize,
    kind: KernelKind,
}

/// A kernel that the simulator knows.
#[derive(Clone, Copy)]
enum KernelKind {
    /// `store(u64 to, u32 value)`.
    Store,
    /// `copy(u64 to, u64 from)`: copies one word.
    Copy,
    /// `slow_store(u64 to, u32 value, u32 turns)`: stores after that many turns.
    SlowStore,
    /// `trap()`: fails.
    Trap,
}

const KNOWN: [(&str, KernelKind); 4] = [
    ("store", KernelKind::Store),
    ("copy", KernelKind::Copy),
    ("slow_store", KernelKind::SlowStore),
    ("trap", KernelKind::Trap),
];

/// The duration of a turn of `slow_store`.
///
/// On an H100 a turn takes half a microsecond. It takes longer here so that work which does not
/// wait for the kernel overtakes it on a busy machine too.
const TURN: Duration = Duration::from_micros(4);

/// A kernel launch.
#[derive(Clone, Copy)]
pub enum Kernel {
    Store { to: usize, value: u32, time: Option<Duration> },
    Copy { to: usize, from: usize },
    Trap,
}

impl Kernel {
    /// Returns how long the kernel takes. Returns `None` if it finishes at once.
    pub fn time(self) -> Option<Duration> {
        match self {
            Kernel::Store { time, .. } => time,
            Kernel::Copy { .. } | Kernel::Trap => None,
        }
    }

    pub fn run(self) -> Answer {
        match self {
            Kernel::Store { to, value, .. } => memory::store(to, value),
            Kernel::Copy { to, from } => memory::store(to, memory::load(from)?),
            Kernel::Trap => Err(Code::LAUNCH_FAILED),
        }
    }
}

/// Returns the names of the kernels in a PTX text.
fn entries(text: &str) -> BTreeSet<String> {
    let after = text.split(".entry").skip(1);
    let name = |rest: &str| rest.split('(').next().map(|name| name.trim().to_owned());
    after.filter_map(name).collect()
}

/// Reads the parameters of a launch.
///
/// # Safety
/// `parameters` points to pointers to the kernel's parameters, each of its type.
unsafe fn read(kind: KernelKind, parameters: *const *const c_void) -> Kernel {
    // SAFETY: parameter `index` exists and is a `u64` (caller contract).
    let long = |index| unsafe { (*parameters.add(index)).cast::<u64>().read_unaligned() as usize };
    // SAFETY: parameter `index` exists and is a `u32` (caller contract).
    let short = |index| unsafe { (*parameters.add(index)).cast::<u32>().read_unaligned() };
    match kind {
        KernelKind::Store => Kernel::Store { to: long(0), value: short(1), time: None },
        KernelKind::SlowStore => {
            Kernel::Store { to: long(0), value: short(1), time: Some(TURN * short(2)) }
        }
        KernelKind::Copy => Kernel::Copy { to: long(0), from: long(1) },
        KernelKind::Trap => Kernel::Trap,
    }
}

exports! {
    initialized cuModuleLoadData(module: *mut Ptr, image: *const c_void) {
        if image.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        let text = CStr::from_ptr(image.cast()).to_str().map_err(|_| Code::INVALID_IMAGE)?;
        if !text.contains(".version") {
            return Err(Code::INVALID_IMAGE);
        }
        let mut state = state();
        let context = state.current()?;
        let made = state.modules.insert(|_| Module { context, entries: entries(text) });
        write_out(module, std::ptr::without_provenance_mut(made))
    }

    initialized cuModuleUnload(module: Ptr) {
        let mut state = state();
        let module = state.modules.check(module)?;
        state.modules.remove(module);
        Ok(())
    }

    initialized cuModuleGetFunction(function: *mut Ptr, module: Ptr, name: *const c_char) {
        let mut state = state();
        let module = state.modules.check(module)?;
        let Module { context, entries } = state.modules.get(module);
        let (context, name) = (*context, CStr::from_ptr(name).to_string_lossy());
        if !entries.contains(&*name) {
            return Err(Code::NOT_FOUND);
        }
        let Some((_, kind)) = KNOWN.iter().find(|(known, _)| *known == name) else {
            eprintln!("cuda-sim: {}: the kernel {name} is not simulated", thread::current_call());
            return Err(Code::NOT_SUPPORTED);
        };
        let made = state.functions.insert(|_| Function { context, kind: *kind });
        write_out(function, std::ptr::without_provenance_mut(made))
    }

    initialized cuLaunchKernel(
        function: Ptr,
        _grid_x: c_uint,
        _grid_y: c_uint,
        _grid_z: c_uint,
        _block_x: c_uint,
        _block_y: c_uint,
        _block_z: c_uint,
        _shared: c_uint,
        stream: Ptr,
        parameters: *const *const c_void,
        extra: *const *const c_void,
    ) {
        if !extra.is_null() {
            return Err(Code::NOT_SUPPORTED);
        }
        let mut state = state();
        let function = state.functions.check(function)?;
        let stream = state.stream(stream)?;
        let Function { context, kind } = *state.functions.get(function);
        if state.streams.get(stream).context != context {
            return Err(Code::INVALID_HANDLE);
        }
        let kernel = read(kind, parameters);
        state.submit(stream, Work::Kernel(kernel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_by_their_entries() {
        let text = ".version 6.0\n.visible .entry store(.param .u64 to)\n{ ret; }\n.entry other ()";
        assert_eq!(entries(text), BTreeSet::from(["store".into(), "other".into()]));
    }
}
