//! The library in use: [`LoadedLibrary`].

use std::mem::ManuallyDrop;
use std::sync::Arc;

use libloading::Library;

use super::{Found, LibrarySpec, Origin, Watch};

/// The library in use.
///
/// It is never closed: the driver in it may have started threads, and has registered functions for the end of the
/// process.
pub struct LoadedLibrary {
    spec: &'static LibrarySpec,
    library: ManuallyDrop<Library>,
    file: Arc<str>,
    origin: Origin,
    watch: Watch,
}

impl LoadedLibrary {
    /// Keeps a library open that was found by `spec`.
    pub fn new(spec: &'static LibrarySpec, found: Found) -> Self {
        let Found { library, file, origin } = found;
        let (library, watch) = (ManuallyDrop::new(library), Watch::default());
        LoadedLibrary { spec, library, file: file.into(), origin, watch }
    }

    /// Returns the library, to resolve its functions.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// Returns the file, if it is known; else the name that was given to the loader.
    pub fn file(&self) -> Arc<str> {
        Arc::clone(&self.file)
    }

    /// Returns how the library was found.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns the files of all loaded runtimes, if there is one beside this. The first function of the specification
    /// is at `ours_at`. Returns `None` if the environment names the library: the user has chosen it.
    #[inline]
    pub fn others(&self, ours_at: usize) -> Option<String> {
        if self.origin == Origin::Named {
            return None;
        }
        self.watch.others(self.spec, &self.library, ours_at)
    }
}
