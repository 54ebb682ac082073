//! Code objects, loaded into memory as a GPU needs them, and the names of their kernels.
//!
//! HIP compiles its built-in kernels when a device is opened, and loads a program's own kernels
//! from the program. The simulator needs the addresses of the symbols and the layout of the
//! kernels' arguments. Both are in the ELF file.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use object::elf::{PT_LOAD, PT_NOTE, STT_FUNC, STT_OBJECT};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, SymbolFlags};

use crate::abi::*;
use crate::agents::Agent;
use crate::metadata;
use crate::trace::{trace, trace_line};

/// A kernel that packets can dispatch.
pub struct Kernel {
    pub name: String,
    /// The layout of the kernel's arguments, in order.
    pub arguments: Vec<Argument>,
}

/// One argument, as described by the code object's metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    pub name: String,
    pub offset: usize,
    pub size: usize,
}

/// Kernels by the address of their descriptor, which packets contain.
static KERNELS: RwLock<Option<HashMap<u64, Arc<Kernel>>>> = RwLock::new(None);

/// Returns the kernel that a packet dispatches.
pub fn kernel(object: u64) -> Option<Arc<Kernel>> {
    KERNELS.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&object).cloned()
}

/// Defines a kernel without a code object. Returns the number by which packets dispatch it.
#[cfg(test)]
pub fn define(name: &str, arguments: &[(&str, usize, usize)]) -> u64 {
    let mut kernels = KERNELS.write().unwrap_or_else(PoisonError::into_inner);
    let kernels = kernels.get_or_insert_default();
    let arguments = arguments
        .iter()
        .map(|&(name, offset, size)| Argument { name: name.to_owned(), offset, size })
        .collect();
    let number = 1 + kernels.len() as u64;
    kernels.insert(number, Arc::new(Kernel { name: name.to_owned(), arguments }));
    number
}

/// A symbol of a loaded code object.
struct Symbol {
    name: String,
    address: u64,
    bytes: u64,
    agent: Handle,
    /// The sizes in the descriptor, if the symbol is a kernel.
    kernel: Option<Descriptor>,
}

/// The start of a kernel's descriptor.
#[derive(Clone, Copy)]
struct Descriptor {
    group: u32,
    private: u32,
    kernarg: u32,
}

/// An executable: code objects that were loaded together.
#[derive(Default)]
struct Executable {
    /// Shared pointers, because their addresses are the symbols' handles.
    symbols: Mutex<Vec<Arc<Symbol>>>,
    /// Pages, so that descriptors have the alignment that the file requires.
    images: Mutex<Vec<Box<[Page]>>>,
}

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

impl Executable {
    /// Returns the executable that a handle names. Returns `None` for 0.
    ///
    /// # Safety
    ///
    /// `handle` is 0, or from [`hsa_executable_create_alt`] and not destroyed.
    unsafe fn of(handle: Handle) -> Option<&'static Executable> {
        // SAFETY: `handle` is 0 or a live executable (caller contract).
        unsafe { (handle as *const Executable).as_ref() }
    }

    fn symbols(&self) -> MutexGuard<'_, Vec<Arc<Symbol>>> {
        self.symbols.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads a code object.
    ///
    /// # Errors
    ///
    /// A message that says why the code object cannot be loaded.
    fn load(&self, agent: Agent, file: &[u8]) -> Result<(), String> {
        let read = |error: object::Error| error.to_string();
        let elf = ElfFile64::<Endianness>::parse(file).map_err(read)?;
        let endian = elf.endian();
        let headers = elf.elf_header().program_headers(endian, file).map_err(read)?;
        let loads = || headers.iter().filter(|header| header.p_type(endian) == PT_LOAD);
        let end = loads().map(|h| h.p_vaddr(endian) + h.p_memsz(endian)).max().unwrap_or(0);
        let pages = usize::try_from(end.div_ceil(4096)).map_err(|error| error.to_string())?;
        let mut image = vec![Page([0; 4096]); pages].into_boxed_slice();
        let base = image.as_ptr() as u64;
        // SAFETY: pages are plain bytes without padding, and `image` is borrowed as long as
        // `bytes`.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(image.as_mut_ptr().cast::<u8>(), pages * 4096)
        };
        for header in loads() {
            let data = header.data(endian, file).map_err(|()| "a segment lies outside the file")?;
            let at = header.p_vaddr(endian) as usize;
            bytes
                .get_mut(at..at + data.len())
                .ok_or("a segment is too long")?
                .copy_from_slice(data);
        }
        let mut arguments = HashMap::new();
        for header in headers.iter().filter(|header| header.p_type(endian) == PT_NOTE) {
            let mut notes = match header.notes(endian, file).map_err(read)? {
                Some(notes) => notes,
                None => continue,
            };
            while let Some(note) = notes.next().map_err(read)? {
                if note.name() == b"AMDGPU" && note.n_type(endian) == metadata::NOTE {
                    arguments.extend(metadata::kernels(note.desc())?);
                }
            }
        }
        self.add_symbols(agent, &elf, base, bytes, arguments);
        self.images.lock().unwrap_or_else(PoisonError::into_inner).push(image);
        Ok(())
    }

    fn add_symbols(
        &self,
        agent: Agent,
        elf: &ElfFile64<'_>,
        base: u64,
        image: &[u8],
        mut arguments: HashMap<String, Vec<Argument>>,
    ) {
        let mut symbols = self.symbols();
        let mut kernels = KERNELS.write().unwrap_or_else(PoisonError::into_inner);
        for found in elf.dynamic_symbols().filter(|symbol| symbol.is_definition()) {
            let SymbolFlags::Elf { st_info, .. } = found.flags() else { continue };
            let (Ok(name), kind) = (found.name(), st_info & 0xF) else { continue };
            if kind == STT_FUNC || kind != STT_OBJECT && !name.ends_with(".kd") {
                continue;
            }
            let (at, address) = (found.address() as usize, base + found.address());
            let kernel = name.strip_suffix(".kd").and_then(|plain| {
                let word = |offset: usize| {
                    let bytes = image.get(at + offset..at + offset + 4)?;
                    Some(u32::from_le_bytes(bytes.try_into().ok()?))
                };
                let descriptor =
                    Descriptor { group: word(0)?, private: word(4)?, kernarg: word(8)? };
                let arguments = arguments.remove(plain).unwrap_or_default();
                trace!("{agent}: kernel {plain} loaded");
                let kernel = Kernel { name: plain.to_owned(), arguments };
                kernels.get_or_insert_default().insert(address, Arc::new(kernel));
                Some(descriptor)
            });
            symbols.push(Arc::new(Symbol {
                name: name.to_owned(),
                address,
                bytes: found.size(),
                agent: agent.handle(),
                kernel,
            }));
        }
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        let mut kernels = KERNELS.write().unwrap_or_else(PoisonError::into_inner);
        for symbol in self.symbols().iter() {
            if let Some(kernels) = kernels.as_mut() {
                kernels.remove(&symbol.address);
            }
        }
    }
}

/// A code object's bytes, owned by the program.
struct Reader {
    bytes: *const u8,
    length: usize,
}

/// Returns a text of the caller. Returns `None` if it is null or not UTF-8.
///
/// # Safety
///
/// `pointer` is null, or a C string that outlives the result.
unsafe fn text<'a>(pointer: *const c_char) -> Option<&'a str> {
    // SAFETY: `pointer` is not null, so it is a C string (caller contract).
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) })?.to_str().ok()
}

hsa_api! {
    /// Opens a code object in memory, without copying it.
    fn hsa_code_object_reader_create_from_memory(
        bytes: *const u8, length: usize, reader: *mut Handle,
    ) -> Status {
        if bytes.is_null() || length == 0 {
            return INVALID_ARGUMENT;
        }
        let handle = Box::into_raw(Box::new(Reader { bytes, length })) as Handle;
        // SAFETY: the out-pointer is null or has room for a handle (caller contract).
        unsafe { write_out(reader.cast(), handle) }
    }

    /// Closes a code object reader.
    fn hsa_code_object_reader_destroy(reader: Handle) -> Status {
        if reader == 0 {
            return INVALID_CODE_OBJECT_READER;
        }
        // SAFETY: `reader` is from `hsa_code_object_reader_create_from_memory` and not destroyed
        // (caller contract).
        drop(unsafe { Box::from_raw(reader as *mut Reader) });
        SUCCESS
    }

    /// Creates an empty executable.
    fn hsa_executable_create_alt(
        _profile: u32, _rounding: u32, _options: *const c_char, executable: *mut Handle,
    ) -> Status {
        let handle = Box::into_raw(Box::<Executable>::default()) as Handle;
        // SAFETY: the out-pointer is null or has room for a handle (caller contract).
        unsafe { write_out(executable.cast(), handle) }
    }

    /// Unloads an executable.
    fn hsa_executable_destroy(executable: Handle) -> Status {
        if executable == 0 {
            return INVALID_EXECUTABLE;
        }
        // SAFETY: `executable` is from `hsa_executable_create_alt` and not destroyed (caller
        // contract).
        drop(unsafe { Box::from_raw(executable as *mut Executable) });
        SUCCESS
    }

    /// Loads a code object for a GPU.
    fn hsa_executable_load_agent_code_object(
        executable: Handle, agent: Handle, reader: Handle, _options: *const c_char,
        loaded: *mut Handle,
    ) -> Status {
        // SAFETY: `executable` is 0 or a live executable (caller contract).
        let Some(executable) = (unsafe { Executable::of(executable) }) else {
            return INVALID_EXECUTABLE;
        };
        let Some(agent) = Agent::of(agent) else { return INVALID_AGENT };
        // SAFETY: `reader` is 0 or from `hsa_code_object_reader_create_from_memory` (caller
        // contract).
        let Some(reader) = (unsafe { (reader as *const Reader).as_ref() }) else {
            return INVALID_CODE_OBJECT_READER;
        };
        // SAFETY: the program keeps the bytes as long as the reader (caller contract).
        let file = unsafe { std::slice::from_raw_parts(reader.bytes, reader.length) };
        if let Err(why) = executable.load(agent, file) {
            trace_line(format_args!("{agent}: a code object cannot be loaded: {why}"));
            return INVALID_CODE_OBJECT;
        }
        if !loaded.is_null() {
            // SAFETY: `loaded` is not null, so it has room for a handle (caller contract). No
            // function takes that handle.
            unsafe { loaded.write(1) };
        }
        SUCCESS
    }

    /// Accepts a variable of the program. Code objects that refer to it are not patched.
    fn hsa_executable_agent_global_variable_define(
        _executable: Handle, _agent: Handle, _name: *const c_char, _address: *mut c_void,
    ) -> Status {
        SUCCESS
    }

    /// Does nothing: a complete executable needs no further step.
    fn hsa_executable_freeze(_executable: Handle, _options: *const c_char) -> Status {
        SUCCESS
    }

    /// Finds a symbol: a variable by its name, a kernel by its name with `.kd`.
    fn hsa_executable_get_symbol_by_name(
        executable: Handle, name: *const c_char, agent: *const Handle, symbol: *mut Handle,
    ) -> Status {
        // SAFETY: the handle, the text and the agent pointer meet the function's requirements
        // (caller contract).
        let (executable, name, agent) =
            unsafe { (Executable::of(executable), text(name), agent.as_ref()) };
        let Some(executable) = executable else { return INVALID_EXECUTABLE };
        let Some(name) = name else { return INVALID_ARGUMENT };
        let symbols = executable.symbols();
        let found = symbols
            .iter()
            .find(|found| found.name == name && agent.is_none_or(|&agent| agent == found.agent));
        match found {
            // SAFETY: the out-pointer is null or has room for a handle (caller contract).
            Some(found) => unsafe { write_out(symbol.cast(), &raw const **found as Handle) },
            None => {
                trace!("no symbol {name}");
                INVALID_SYMBOL_NAME
            }
        }
    }

    /// Calls `callback` with each symbol.
    fn hsa_executable_iterate_symbols(
        executable: Handle,
        callback: Option<unsafe extern "C" fn(Handle, Handle, *mut c_void) -> Status>,
        data: *mut c_void,
    ) -> Status {
        // SAFETY: `executable` is 0 or a live executable (caller contract).
        let Some(found) = (unsafe { Executable::of(executable) }) else {
            return INVALID_EXECUTABLE;
        };
        let Some(callback) = callback else { return INVALID_ARGUMENT };
        // Collects the symbols first, because the callback may call back into the executable.
        let symbols: Vec<Handle> =
            found.symbols().iter().map(|symbol| &raw const **symbol as Handle).collect();
        for symbol in symbols {
            // SAFETY: the caller passed `callback` to be called with these arguments.
            let status = unsafe { callback(executable, symbol, data) };
            if status != SUCCESS {
                return status;
            }
        }
        SUCCESS
    }

    /// Writes a property of a symbol.
    fn hsa_executable_symbol_get_info(
        symbol: Handle, attribute: u32, value: *mut c_void,
    ) -> Status {
        // SAFETY: `symbol` is 0 or a symbol of an executable that is still loaded (caller
        // contract).
        let Some(symbol) = (unsafe { (symbol as *const Symbol).as_ref() }) else {
            return INVALID_EXECUTABLE_SYMBOL;
        };
        let (name, kernel) = (symbol.name.as_str(), symbol.kernel);
        // SAFETY: `value` has room for the attribute's type (caller contract), and each arm writes
        // that type.
        unsafe {
            match (attribute, kernel) {
                (0, _) => write_out(value, u32::from(kernel.is_some())), // TYPE: variable or kernel
                (1, _) => write_out(value, name.len() as u32),
                (2, _) => {
                    // NAME, without a terminating NUL.
                    value.cast::<u8>().copy_from_nonoverlapping(name.as_ptr(), name.len());
                    SUCCESS
                }
                (5, _) => write_out(value, 1u32),      // LINKAGE: program
                (17, _) => write_out(value, true),     // IS_DEFINITION
                (20, _) => write_out(value, symbol.agent),
                (21, None) => write_out(value, symbol.address),
                (9, None) => write_out(value, symbol.bytes as u32),
                (22, Some(_)) => write_out(value, symbol.address),
                (11, Some(kernel)) => write_out(value, kernel.kernarg),
                (12, Some(_)) => write_out(value, 16u32), // KERNARG_SEGMENT_ALIGNMENT
                (13, Some(kernel)) => write_out(value, kernel.group),
                (14, Some(kernel)) => write_out(value, kernel.private),
                (15, Some(_)) => write_out(value, false), // DYNAMIC_CALLSTACK
                _ => INVALID_ARGUMENT,
            }
        }
    }
}
