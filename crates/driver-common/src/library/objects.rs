//! The objects that are loaded in this process, from the loader's own list.

use std::ffi::{CStr, OsStr, c_int, c_void};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use libloading::Library;
use libloading::os::unix;

use super::elf::SymbolTable;

/// An object that exports the required functions.
pub(super) struct Object {
    /// The file, as the loader knows it; `None` for the main program.
    path: Option<PathBuf>,
    addresses: Range<usize>,
}

impl Object {
    /// Returns `true` if the function at this address belongs to the object.
    pub(super) fn contains(&self, address: usize) -> bool {
        self.addresses.contains(&address)
    }

    /// Opens the object again, so that it stays loaded. Loads nothing. Returns `None` if it was unloaded
    /// meanwhile.
    pub(super) fn open(&self) -> Option<Library> {
        let Some(path) = &self.path else { return Some(unix::Library::this().into()) };
        let flags = unix::RTLD_LAZY | unix::RTLD_LOCAL | libc::RTLD_NOLOAD;
        // SAFETY: `RTLD_NOLOAD` loads nothing, so no initializer runs.
        unsafe { unix::Library::open(Some(path), flags) }.ok().map(Library::from)
    }

    /// Returns the file's name for messages.
    pub(super) fn file(&self) -> PathBuf {
        match &self.path {
            Some(path) => std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()),
            None => std::env::current_exe().unwrap_or_else(|_| "the program itself".into()),
        }
    }
}

/// Returns the loaded objects that export all `functions`, in the order of loading.
///
/// The file's name does not matter. A file that was opened under several names is one object.
pub(super) fn loaded_with(functions: &[&CStr]) -> Vec<Object> {
    struct Search<'a> {
        functions: &'a [&'a CStr],
        is_first: bool,
        found: Vec<Object>,
    }

    unsafe extern "C" fn visit(
        info: *mut libc::dl_phdr_info,
        _: libc::size_t,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: `data` is the `Search` below, which nothing else uses during the iteration. The loader
        // passes a valid `info`, and keeps the object loaded during this call.
        let (search, info) = unsafe { (&mut *data.cast::<Search<'_>>(), &*info) };
        // The main program comes first. glibc gives it no name, others give its path.
        let is_first = std::mem::replace(&mut search.is_first, false);
        let is_program = is_first && !cfg!(target_env = "gnu");
        // SAFETY: `info` describes an object that stays loaded during this call.
        if let Some(addresses) = unsafe { exporter(info, search.functions) } {
            // SAFETY: the loader passes null or a string.
            let name = (!info.dlpi_name.is_null())
                .then(|| unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes());
            let name = name.filter(|name| !name.is_empty() && !is_program);
            let path = name.map(|name| PathBuf::from(OsStr::from_bytes(name)));
            search.found.push(Object { path, addresses });
        }
        0
    }

    let mut search = Search { functions, is_first: true, found: Vec::new() };
    // SAFETY: `visit` does not unwind, and gets the `Search` that it casts `data` to.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    search.found
}

/// Returns the object's addresses if it exports all `functions`.
///
/// # Safety
/// `info` describes an object that is loaded during the call.
unsafe fn exporter(info: &libc::dl_phdr_info, functions: &[&CStr]) -> Option<Range<usize>> {
    let base = info.dlpi_addr as usize;
    let (mut dynamic, mut from, mut to) = (None, usize::MAX, 0);
    for index in 0..usize::from(info.dlpi_phnum) {
        // SAFETY: `index` is less than the number of headers.
        let header = unsafe { &*info.dlpi_phdr.add(index) };
        let start = base.wrapping_add(header.p_vaddr as usize);
        match header.p_type {
            libc::PT_DYNAMIC => dynamic = Some(start),
            libc::PT_LOAD => {
                from = from.min(start);
                to = to.max(start.wrapping_add(header.p_memsz as usize));
            }
            _ => {}
        }
    }
    // SAFETY: the program header points to the dynamic section, and the object is loaded (caller contract).
    let table = unsafe { SymbolTable::read(base, std::ptr::with_exposed_provenance(dynamic?)) }?;
    // SAFETY: the object is loaded (caller contract).
    let has_all = functions.iter().all(|name| unsafe { table.find(name) }.is_some());
    has_all.then_some(from..to)
}

/// Returns the number of objects that were ever loaded into the process.
///
/// While this is unchanged, no object was added.
pub(super) fn generation() -> Option<u64> {
    unsafe extern "C" fn first(
        info: *mut libc::dl_phdr_info,
        size: libc::size_t,
        data: *mut c_void,
    ) -> c_int {
        let needed = std::mem::offset_of!(libc::dl_phdr_info, dlpi_adds) + size_of::<u64>();
        if size >= needed {
            // SAFETY: `size` shows that the loader fills `dlpi_adds`. `data` is the `Option` below.
            unsafe { *data.cast::<Option<u64>>() = Some((*info).dlpi_adds) };
        }
        // The counter is the same for every object.
        1
    }

    let mut adds = None::<u64>;
    // SAFETY: `first` does not unwind, and gets the `Option` that it casts `data` to.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut adds).cast()) };
    adds
}

/// Returns the file that a function was loaded from.
pub fn file_of(function: usize) -> Option<PathBuf> {
    // SAFETY: `Dl_info` consists of pointers, for which all-zero is valid.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: `dladdr` takes any address, and `&mut info` is a valid out-pointer.
    let found = unsafe { libc::dladdr(std::ptr::with_exposed_provenance(function), &mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: on success `dli_fname` is a string of the loader, which lives as long as the object.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let path = PathBuf::from(OsStr::from_bytes(name.to_bytes()));
    Some(std::fs::canonicalize(&path).unwrap_or(path))
}
