//! The libraries of a process on systems whose loader does not list them: they are found by name only.

use std::ffi::CStr;
use std::path::PathBuf;

use libloading::Library;

/// A library that the process has loaded under one of the known names.
pub(super) struct Object {
    name: &'static str,
    function: Option<usize>,
}

impl Object {
    /// Returns `true` if the function at this address belongs to the object.
    pub(super) fn contains(&self, address: usize) -> bool {
        self.function == Some(address)
    }

    /// Opens the library again, so that it stays loaded. Loads nothing.
    pub(super) fn open(&self) -> Option<Library> {
        open(self.name)
    }

    /// Returns the file's name for messages.
    pub(super) fn file(&self) -> PathBuf {
        self.name.into()
    }
}

/// Returns the libraries of these names that the process has loaded. Two names of one library count as one
/// object, identified by the first of `functions`.
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
    // SAFETY: `RTLD_NOLOAD` loads nothing, so no initializer runs.
    unsafe { unix::Library::open(Some(name), flags) }.ok().map(Library::from)
}

#[cfg(not(any(windows, target_vendor = "apple")))]
fn open(_: &str) -> Option<Library> {
    None
}

/// Returns `None`: this system does not tell the file of a function.
pub fn file_of(_: usize) -> Option<PathBuf> {
    None
}

/// Returns `None`: this loader has no counter.
pub(super) fn generation() -> Option<u64> {
    None
}
