//! Systems whose loader does not list the objects of a process: they are known by name only.

use std::ffi::CStr;
use std::path::PathBuf;

use libloading::Library;

/// A library that the process has loaded under one of the known names.
pub(super) struct Object {
    name: &'static str,
    function: Option<usize>,
}

impl Object {
    /// Returns `true` if the function at this address is the object's.
    pub(super) fn contains(&self, address: usize) -> bool {
        self.function == Some(address)
    }

    /// Opens the library once more, so that it stays loaded. Loads nothing.
    pub(super) fn open(&self) -> Option<Library> {
        open(self.name)
    }

    /// The file's name for people.
    pub(super) fn file(&self) -> PathBuf {
        self.name.into()
    }
}

/// Returns the libraries of these names that the process has loaded. Two names of one library are
/// one object, told by the first of `functions`.
pub(super) fn loaded_with(functions: &[&CStr], names: &[&'static str]) -> Vec<Object> {
    let mut found: Vec<Object> = Vec::new();
    for &name in names {
        let Some(library) = open(name) else { continue };
        let function = functions.first().and_then(|first| super::address_of(&library, first));
        if !found.iter().any(|known| known.function == function) {
            found.push(Object { name, function });
        }
    }
    found
}

#[cfg(windows)]
fn open(name: &str) -> Option<Library> {
    libloading::os::windows::Library::open_already_loaded(name).ok().map(Library::from)
}

#[cfg(target_vendor = "apple")]
fn open(name: &str) -> Option<Library> {
    use libloading::os::unix;
    let flags = unix::RTLD_LAZY | unix::RTLD_LOCAL | libc::RTLD_NOLOAD;
    // SAFETY: `RTLD_NOLOAD` runs no initialiser; the object is in the process already.
    unsafe { unix::Library::open(Some(name), flags) }.ok().map(Library::from)
}

#[cfg(not(any(windows, target_vendor = "apple")))]
fn open(_: &str) -> Option<Library> {
    None
}

/// Returns the file that a function was loaded from: not known here.
pub fn file_of(_: usize) -> Option<PathBuf> {
    None
}

/// The loader does not count here.
pub(super) fn generation() -> Option<u64> {
    None
}
