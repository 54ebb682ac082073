//! Copies of a library under other names, as wheels bring them.

use std::fs;
use std::path::{Path, PathBuf};

/// Copies `library` into a new folder of `top`, as `name`. Replaces its own name (`DT_SONAME`) by
/// `soname`, where one is given: it is cut or padded to the length of the old one.
///
/// # Errors
/// A sentence that names the file.
pub fn copy_as(
    library: &Path,
    top: &Path,
    name: &str,
    soname: Option<(&str, &str)>,
) -> Result<PathBuf, String> {
    let at = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut bytes = fs::read(library).map_err(|error| at(library, error))?;
    if let Some((old, new)) = soname {
        let mut padded = new.as_bytes().to_vec();
        padded.resize(old.len(), b'x');
        let terminated: Vec<u8> = old.bytes().chain([0]).collect();
        let places: Vec<usize> = bytes
            .windows(terminated.len())
            .enumerate()
            .filter_map(|(place, window)| (window == terminated).then_some(place))
            .collect();
        if places.is_empty() {
            return Err(format!("{} has no name {old}", library.display()));
        }
        for place in places {
            bytes[place..place + old.len()].copy_from_slice(&padded);
        }
    }
    fs::create_dir_all(top).map_err(|error| at(top, error))?;
    let copy = top.join(name);
    fs::write(&copy, bytes).map_err(|error| at(&copy, error))?;
    fs::canonicalize(&copy).map_err(|error| at(&copy, error))
}
