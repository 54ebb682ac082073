//! Notices a second runtime that is loaded after the first was chosen: [`Watch`].

use std::sync::atomic::{AtomicU64, Ordering};

use libloading::Library;

use super::{LibrarySpec, file_of, list, objects};

/// Watches for other runtimes beside the one that is used.
///
/// [`others`](Self::others) costs one short call of the loader while no object was loaded since the
/// last answer, and a walk over all objects otherwise.
#[derive(Default)]
pub struct Watch {
    /// The loader's count at the last answer that there is no other. 0 before.
    clean_at: AtomicU64,
}

impl Watch {
    /// Returns the files of all loaded runtimes if there is one beside `ours`, whose first function of
    /// `spec` is at `ours_at`.
    ///
    /// An answer that there is another is not kept: the other one can be unloaded.
    pub fn others(&self, spec: &LibrarySpec, ours: &Library, ours_at: usize) -> Option<String> {
        // Read before the walk: what is loaded during it is found by the next call.
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

/// Takes no lock of the loader for long unless there is another runtime: while a thread loads a
/// library, whose initialisers can take seconds, `dlsym` and `dlopen` of others wait for it.
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
