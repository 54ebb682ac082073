//! Finds a vendor's library: the one that the process has loaded, else by its known names.
//!
//! A process should have one runtime of a vendor, because a stream of one runtime means nothing to another.
//! The search therefore goes by what an object exports, whatever its file is called: Python wheels rename
//! the libraries that they bring. Two runtimes are an error that names both files.

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
mod by_name;
mod clang;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod elf;
mod in_use;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod objects;
mod watch;

use std::env;
use std::ffi::{CStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

pub use libloading::Library;

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
use self::by_name as objects;
pub use self::clang::{Conflict, start_alone};
pub use self::in_use::LoadedLibrary;
pub use self::objects::file_of;
pub use self::watch::Watch;

/// The description of a vendor's library, and the places to search for it.
pub struct LibrarySpec {
    /// The environment variable that names the file. It overrides the search.
    pub variable: &'static str,
    /// Names for the system's loader, in order of preference.
    pub names: &'static [&'static str],
    /// Folders that the system's loader may not know. Tried last, with each name.
    pub folders: &'static [Folder],
    /// The functions that identify a runtime: an object that exports all of them is one. The first tells
    /// two objects apart.
    pub functions: &'static [&'static CStr],
    /// Returns the reason why a library is not a runtime although it has the functions: a stub for linking.
    pub unusable: fn(&Library) -> Option<&'static str>,
    /// Returns `true` if two libraries are fronts of one runtime, so that a handle of one is a handle of
    /// the other. The first argument is the library in use.
    pub is_same: fn(&Library, &Library) -> bool,
}

/// A folder that may have the library.
#[derive(Clone, Copy, Debug)]
pub enum Folder {
    /// This folder.
    At(&'static str),
    /// A folder below the one that an environment variable names.
    Below {
        /// The variable.
        variable: &'static str,
        /// The folder, relative to the variable's.
        folder: &'static str,
    },
}

impl Folder {
    fn path(self) -> Option<PathBuf> {
        match self {
            Folder::At(path) => Some(path.into()),
            Folder::Below { variable, folder } => {
                let top = env::var_os(variable).filter(|value| !value.is_empty())?;
                Some(Path::new(&top).join(folder))
            }
        }
    }
}

/// How a library was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The environment variable names it.
    Named,
    /// The process had loaded it before.
    Present,
    /// It was loaded by this search.
    Loaded,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Named => "named by the environment",
            Origin::Present => "loaded in the process before",
            Origin::Loaded => "loaded by its name",
        })
    }
}

/// A library that was found.
pub struct Found {
    /// The library. Must stay open for as long as its functions are used.
    pub library: Library,
    /// The file, if it is known; else the name that was given to the loader.
    pub file: String,
    /// How it was found.
    pub origin: Origin,
}

/// The reason why no library is used.
#[derive(Debug)]
pub enum NotFound {
    /// No library was found. The text lists what was tried, each with the reason.
    Missing(String),
    /// The process has loaded more than one. The text lists the files.
    Ambiguous(String),
}

impl LibrarySpec {
    /// Finds the library.
    ///
    /// Uses the file that the variable names, and tries no other. Without the variable, uses the runtime
    /// that the process has loaded, under whatever name. Otherwise tries the known names.
    ///
    /// # Safety
    /// - A file that the variable or a known name leads to is the vendor's library, or its initializers do
    ///   no harm.
    /// - Objects of the process that export `functions` export the vendor's functions under these names.
    pub unsafe fn find(&self) -> Result<Found, NotFound> {
        let mut tried = Tried(String::new());
        if let Some(name) = env::var_os(self.variable).filter(|name| !name.is_empty()) {
            // SAFETY: the initializers of the file do no harm (caller contract).
            return match unsafe { self.load(&name, &mut tried) } {
                Some(library) => Ok(self.found(library, &name, Origin::Named)),
                None => {
                    tried.add(&format!("{} names it, so that no other was tried", self.variable));
                    Err(NotFound::Missing(tried.0))
                }
            };
        }
        if let Some(library) = self.find_loaded(&mut tried)? {
            return Ok(self.found(library, &OsString::new(), Origin::Present));
        }
        let folders = self.folders.iter().filter_map(|folder| folder.path());
        let in_folders =
            folders.flat_map(|folder| self.names.iter().map(move |name| folder.join(name)));
        // A missing file is not worth a line for each folder and name.
        let in_folders = in_folders.filter(|file| file.exists()).map(PathBuf::into_os_string);
        for name in self.names.iter().map(OsString::from).chain(in_folders) {
            // SAFETY: the initializers of the file do no harm (caller contract).
            if let Some(library) = unsafe { self.load(&name, &mut tried) } {
                return Ok(self.found(library, &name, Origin::Loaded));
            }
        }
        for folder in self.folders.iter().filter_map(|folder| folder.path()) {
            tried.add(&folder.display().to_string());
        }
        Err(NotFound::Missing(tried.0))
    }

    /// Returns the one runtime that the process has loaded, if it has one.
    fn find_loaded(&self, tried: &mut Tried) -> Result<Option<Library>, NotFound> {
        let mut chosen: Option<Library> = None;
        let mut others = Vec::new();
        for object in self.loaded() {
            let Some(library) = object.open() else { continue };
            if let Some(reason) = (self.unusable)(&library) {
                tried.add(&format!("{} ({reason})", object.file().display()));
                continue;
            }
            match &chosen {
                None => {
                    others.push(object.file());
                    chosen = Some(library);
                }
                Some(first) if (self.is_same)(first, &library) => {}
                Some(_) => others.push(object.file()),
            }
        }
        if others.len() > 1 {
            return Err(NotFound::Ambiguous(list(&others)));
        }
        Ok(chosen)
    }

    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    fn loaded(&self) -> Vec<objects::Object> {
        objects::loaded_with(self.functions)
    }

    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    fn loaded(&self) -> Vec<objects::Object> {
        objects::loaded_with(self.functions, self.names)
    }

    /// Loads a library by name. Returns `None`, with the reason in `tried`, if it cannot be used.
    ///
    /// # Safety
    /// The initializers of the file do no harm.
    unsafe fn load(&self, name: &OsString, tried: &mut Tried) -> Option<Library> {
        let shown = name.to_string_lossy();
        // SAFETY: the initializers of the file do no harm (caller contract).
        match unsafe { Library::new(name) } {
            Ok(library) => match (self.unusable)(&library) {
                None => return Some(library),
                Some(reason) => {
                    let file = self.file_of(&library).unwrap_or_else(|| shown.into_owned());
                    tried.add(&format!("{file} ({reason})"));
                }
            },
            Err(error) => {
                // The loader's own text is the source of the error, not its message.
                let reason = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), ToString::to_string);
                tried.add(&format!("{shown} ({reason})"));
            }
        }
        None
    }

    fn found(&self, library: Library, name: &OsString, origin: Origin) -> Found {
        let file = self.file_of(&library).unwrap_or_else(|| name.to_string_lossy().into_owned());
        Found { library, file, origin }
    }

    /// Returns the library's file, found by its first function.
    fn file_of(&self, library: &Library) -> Option<String> {
        let function = address_of(library, self.functions.first()?)?;
        Some(file_of(function)?.display().to_string())
    }
}

/// Returns the address of a function of the library.
fn address_of(library: &Library, name: &CStr) -> Option<usize> {
    // SAFETY: the symbol is a function, and it is not called here.
    let symbol = unsafe { library.get::<unsafe extern "C" fn()>(name.to_bytes_with_nul()) };
    symbol.ok().map(|function| *function as usize)
}

/// Joins files for an error text.
fn list(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    names.join(" and ")
}

/// What was tried, for an error text.
struct Tried(String);

impl Tried {
    fn add(&mut self, what: &str) {
        if !self.0.is_empty() {
            self.0.push_str("; ");
        }
        self.0.push_str(what);
    }
}
