//! Reads the source files that a report quotes: [`Sources`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::{env, fs};

use super::call::{self, Call};

/// Larger files are not read.
const LARGEST: u64 = 8 << 20;

/// The source files read so far.
#[derive(Default)]
pub(super) struct Sources(RefCell<HashMap<String, Vec<Rc<str>>>>);

impl Sources {
    /// Returns the call at `place`. Returns `None` if no file with such a call can be read.
    pub(super) fn call(&self, place: &Location<'_>) -> Option<Call> {
        let texts = self.texts(place.file());
        texts.iter().find_map(|text| Call::read(text, place.line(), place.column()))
    }

    /// Returns `true` if the function around `place` has a variable or field `name` before the place.
    pub(super) fn has_name(&self, place: &Location<'_>, name: &str) -> bool {
        let is_there = |text: &&Rc<str>| Call::read(text, place.line(), place.column()).is_some();
        let texts = self.texts(place.file());
        texts.iter().find(is_there).is_some_and(|text| call::has_name(text, place.line(), name))
    }

    /// Returns the texts of the files that `file` can be.
    fn texts(&self, file: &str) -> Vec<Rc<str>> {
        if let Some(texts) = self.0.borrow().get(file) {
            return texts.clone();
        }
        let texts: Vec<_> =
            candidates(Path::new(file)).iter().filter_map(|path| read(path)).collect();
        self.0.borrow_mut().insert(file.to_owned(), texts.clone());
        texts
    }
}

/// Returns the paths that `file` can have. The compiler writes it relative to the workspace, and `cargo test` runs in
/// the folder of the package.
fn candidates(file: &Path) -> Vec<PathBuf> {
    if file.is_absolute() {
        return vec![file.to_owned()];
    }
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let folders = [env::current_dir().ok(), package];
    let mut paths = vec![file.to_owned()];
    for folder in folders.iter().flatten() {
        // As `..` from a package: `crates/name` and `backends/name` have two folders above.
        paths.extend(folder.ancestors().take(5).map(|folder| folder.join(file)));
    }
    let mut seen = Vec::new();
    paths.retain(|path| {
        !seen.contains(path) && {
            seen.push(path.clone());
            true
        }
    });
    paths
}

/// Reads a file. Returns `None` if it is no regular file, is too large, or cannot be read.
fn read(path: &Path) -> Option<Rc<str>> {
    // Not a pipe, which would block.
    let about =
        fs::metadata(path).ok().filter(|about| about.is_file() && about.len() <= LARGEST)?;
    let mut bytes = Vec::with_capacity(about.len() as usize);
    let file = fs::File::open(path).ok()?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST), &mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_with_the_call_are_read() {
        let sources = Sources::default();
        assert!(sources.texts("").is_empty(), "the current folder is no file");
        assert!(sources.texts("no/such/file.rs").is_empty());
        let here = Location::caller();
        assert_eq!(sources.call(here).map(|call| call.method).as_deref(), Some("caller"));
        assert!(sources.has_name(here, "sources") && !sources.has_name(here, "texts"));
    }

    #[test]
    fn relative_files_are_searched_in_the_folders_above() {
        let absolute = if cfg!(windows) { r"C:\a.rs" } else { "/a.rs" };
        assert_eq!(candidates(Path::new(absolute)), [Path::new(absolute)]);
        let paths = candidates(Path::new("a.rs"));
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(paths.contains(&package.join("a.rs")), "{paths:?}");
        let above = package.parent().expect("the package is in a folder");
        assert!(paths.contains(&above.join("a.rs")), "{paths:?}");
    }
}
