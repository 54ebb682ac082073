//! Detects a second runtime that is loaded after the first was chosen: [`Watch`].

use std::sync::atomic::{AtomicU64, Ordering};

use libloading::Library;

use super::{LibrarySpec, file_of, list, objects};

/// Detects other runtimes beside the one in use.
///
/// [`others`](Self::others) costs one short call of the loader while no object was loaded since the last negative result, and an iteration over all objects otherwise.
#[derive(Default)]
pub struct Watch {
    /// The loader's counter at the last negative result; 0 before the first.
    clean_at: AtomicU64,
}

impl Watch {
    /// Returns the files of all loaded runtimes, if there is one beside `ours`. The first function of
    /// `spec` in `ours` is at `ours_at`.
    ///
    /// A positive result is not cached, because the other runtime can be unloaded.
    pub fn others(&self, spec: &LibrarySpec, ours: &Library, ours_at: usize) -> Option<String> {
        // Read before the iteration: an object that is loaded during it changes the counter again.
        let generation = objects::generation();
        if generation.is_some_and(|count| self.clean_at.load(Ordering::Relaxed) == count) {
            return None;
        }
        let others = find_others(spec, ours, ours_at);
        if let (None, Some(count)) = (&others, generation) {
            self.clean_at.store(count, Ordering::Relaxed);
        }
        others
    }
}

/// Searches all loaded objects for other runtimes.
///
/// Opens an object only if it is another runtime. While a thread loads a library, whose initializers can
/// take seconds, `dlsym` and `dlopen` of other threads block on the loader's lock.
#[cold]
fn find_others(spec: &LibrarySpec, ours: &Library, ours_at: usize) -> Option<String> {
    let mut files = Vec::new();
    for object in spec.loaded() {
        if object.contains(ours_at) {
            continue;
        }
        let Some(library) = object.open() else { continue };
        if (spec.unusable)(&library).is_none() && !(spec.is_same)(ours, &library) {
            files.push(object.file());
        }
    }
    if files.is_empty() {
        return None;
    }
    files.insert(0, file_of(ours_at).unwrap_or_else(|| spec.names[0].into()));
    Some(list(&files))
}
