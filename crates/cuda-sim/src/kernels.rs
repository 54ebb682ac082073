//! Modules, and the kernels that the simulator can run, identified by name.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::time::Duration;

use crate::call::{Answer, Ptr, exports, write_out};
use crate::codes::Code;
use crate::config::config;
use crate::state::state;
use crate::work::Work;
use crate::{memory, thread};

pub struct Module {
    pub context: usize,
    /// The kernels, each with the types of its parameters.
    entries: BTreeMap<String, Vec<String>>,
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
    /// `saxpy(f32 a, u64 x, u64 y, u64 count)`, and with a number of threads after it: `y[i] += a * x[i]`.
    Saxpy,
    /// `sums(u64 x, u64 count, u64 to, u64 threads)`: each thread adds up every `threads`th number.
    Sums,
    /// `trap()`: fails.
    Trap,
    /// Any other kernel, which does nothing: with `CUDA_SIM_EMPTY_KERNELS`.
    Empty,
}

/// Each kernel with its name and the types of its parameters.
const KNOWN: [(&str, &[&str], KernelKind); 7] = [
    ("store", &[".u64", ".u32"], KernelKind::Store),
    ("copy", &[".u64", ".u64"], KernelKind::Copy),
    ("slow_store", &[".u64", ".u32", ".u32"], KernelKind::SlowStore),
    ("saxpy", &[".f32", ".u64", ".u64", ".u64"], KernelKind::Saxpy),
    ("saxpy", &[".f32", ".u64", ".u64", ".u64", ".u64"], KernelKind::Saxpy),
    ("sums", &[".u64", ".u64", ".u64", ".u64"], KernelKind::Sums),
    ("trap", &[], KernelKind::Trap),
];

/// `CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK` and `CU_FUNC_ATTRIBUTE_NUM_REGS`.
const MAX_THREADS_PER_BLOCK: c_int = 0;
const NUM_REGS: c_int = 4;

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
    Saxpy { a: f32, x: usize, y: usize, count: usize },
    Sums { x: usize, count: usize, to: usize, threads: usize },
    Trap,
    Empty,
}

impl Kernel {
    /// Returns how long the kernel takes. Returns `None` if it finishes at once.
    pub fn time(self) -> Option<Duration> {
        match self {
            Kernel::Store { time, .. } => time,
            _ => None,
        }
    }

    pub fn run(self) -> Answer {
        match self {
            Kernel::Store { to, value, .. } => memory::store(to, value),
            Kernel::Copy { to, from } => memory::store(to, memory::load(from)?),
            Kernel::Saxpy { a, x, y, count } => saxpy(a, x, y, count),
            Kernel::Sums { x, count, to, threads } => sums(x, count, to, threads),
            Kernel::Trap => Err(Code::LAUNCH_FAILED),
            Kernel::Empty => Ok(()),
        }
    }
}

fn load(memory: usize, index: usize) -> Result<f32, Code> {
    memory::load(memory + 4 * index).map(f32::from_bits)
}

fn store(memory: usize, index: usize, value: f32) -> Answer {
    memory::store(memory + 4 * index, value.to_bits())
}

fn saxpy(a: f32, x: usize, y: usize, count: usize) -> Answer {
    (0..count).try_for_each(|index| store(y, index, a.mul_add(load(x, index)?, load(y, index)?)))
}

fn sums(x: usize, count: usize, to: usize, threads: usize) -> Answer {
    (0..threads).try_for_each(|thread| {
        let mut own = (thread..count).step_by(threads);
        let sum = own.try_fold(0.0, |sum, index| Ok(sum + load(x, index)?))?;
        store(to, thread, sum)
    })
}

/// Returns the kernels in a PTX text, each with the types of its parameters.
fn entries(text: &str) -> BTreeMap<String, Vec<String>> {
    let type_of = |parameter: &str| {
        let mut words = parameter.split_whitespace();
        words.find(|word| word.starts_with('.') && *word != ".param").map(str::to_owned)
    };
    let after = text.split(".entry").skip(1);
    let kernel = |rest: &str| {
        let (name, rest) = rest.split_once('(')?;
        let (parameters, _) = rest.split_once(')')?;
        Some((name.trim().to_owned(), parameters.split(',').filter_map(type_of).collect()))
    };
    after.filter_map(kernel).collect()
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
    // SAFETY: parameter `index` exists and is an `f32` (caller contract).
    let float = |index| unsafe { (*parameters.add(index)).cast::<f32>().read_unaligned() };
    match kind {
        KernelKind::Store => Kernel::Store { to: long(0), value: short(1), time: None },
        KernelKind::SlowStore => {
            Kernel::Store { to: long(0), value: short(1), time: Some(TURN * short(2)) }
        }
        KernelKind::Copy => Kernel::Copy { to: long(0), from: long(1) },
        KernelKind::Saxpy => Kernel::Saxpy { a: float(0), x: long(1), y: long(2), count: long(3) },
        KernelKind::Sums => {
            Kernel::Sums { x: long(0), count: long(1), to: long(2), threads: long(3) }
        }
        KernelKind::Trap => Kernel::Trap,
        KernelKind::Empty => Kernel::Empty,
    }
}

/// Loads a module from a PTX text.
///
/// # Safety
/// `module` is null or a valid out-pointer. `image` is null or a C string.
unsafe fn load_module(module: *mut Ptr, image: *const c_void) -> Answer {
    if image.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    // SAFETY: the image is a C string (caller contract).
    let text = unsafe { CStr::from_ptr(image.cast()) };
    let text = text.to_str().map_err(|_| Code::INVALID_IMAGE)?;
    if !text.contains(".version") {
        return Err(Code::INVALID_IMAGE);
    }
    let mut state = state();
    let context = state.current()?;
    let made = state.modules.insert(|_| Module { context, entries: entries(text) });
    // SAFETY: `module` is null or a valid out-pointer (caller contract).
    unsafe { write_out(module, std::ptr::without_provenance_mut(made)) }
}

exports! {
    initialized cuModuleLoadData(module: *mut Ptr, image: *const c_void) {
        load_module(module, image)
    }

    // The options are for the compiler of PTX, which is not simulated.
    initialized cuModuleLoadDataEx(
        module: *mut Ptr,
        image: *const c_void,
        _count: c_uint,
        _options: *const c_int,
        _values: *const *mut c_void,
    ) {
        load_module(module, image)
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
        let parameters = entries.get(&*name).ok_or(Code::NOT_FOUND)?;
        let is_known = |known: &str, types: &[&str]| known == name && types == parameters;
        let kind = match KNOWN.iter().find(|(known, types, _)| is_known(known, types)) {
            Some((.., kind)) => *kind,
            None if config().empty_kernels => KernelKind::Empty,
            None => {
                let (call, parameters) = (thread::current_call(), parameters.join(", "));
                eprintln!(
                    "cuda-sim: {call}: the kernel {name}({parameters}) is not simulated; CUDA_SIM_EMPTY_KERNELS=1 \
                     launches it without effect"
                );
                return Err(Code::NOT_SUPPORTED);
            }
        };
        let made = state.functions.insert(|_| Function { context, kind });
        write_out(function, std::ptr::without_provenance_mut(made))
    }

    initialized cuFuncGetAttribute(value: *mut c_int, attribute: c_int, function: Ptr) {
        state().functions.check(function)?;
        match attribute {
            MAX_THREADS_PER_BLOCK => write_out(value, 1024),
            NUM_REGS => write_out(value, 16),
            _ => Err(Code::NOT_SUPPORTED),
        }
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
        let text = ".version 6.0\n.visible .entry store(.param .u64 to, .param .f32 value)\n\
                    { ret; }\n.entry other ()";
        let types = vec![".u64".to_owned(), ".f32".to_owned()];
        assert_eq!(
            entries(text),
            BTreeMap::from([("store".into(), types), ("other".into(), vec![])])
        );
    }
}
