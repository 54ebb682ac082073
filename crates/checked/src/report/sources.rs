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

    /// Returns `true` if both places are known to be in one function.
    pub(super) fn in_one_function(&self, one: &Location<'_>, other: &Location<'_>) -> bool {
        let is_known = |text: &Rc<str>| Call::read(text, one.line(), one.column()).is_some();
        one.file() == other.file()
            && self
                .texts(one.file())
                .iter()
                .find(|text| is_known(text))
                .is_some_and(|text| !call::function_between(text, one.line(), other.line()))
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
