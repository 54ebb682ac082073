//! Copies of a library under another name, as wheels contain them.

use std::fs;
use std::path::{Path, PathBuf};

/// Copies `library` into the new folder `top`, as `name`.
///
/// `soname` is the pair of the library's own name (`DT_SONAME`) and its replacement. The
/// replacement is cut or padded to the length of the old name.
///
/// # Errors
/// A message that names the file.
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
        let offsets: Vec<usize> = bytes
            .windows(terminated.len())
            .enumerate()
            .filter_map(|(offset, window)| (window == terminated).then_some(offset))
            .collect();
        if offsets.is_empty() {
            return Err(format!("{} has no name {old}", library.display()));
        }
        for offset in offsets {
            bytes[offset..offset + old.len()].copy_from_slice(&padded);
        }
    }
    fs::create_dir_all(top).map_err(|error| at(top, error))?;
    let copy = top.join(name);
    fs::write(&copy, bytes).map_err(|error| at(&copy, error))?;
    fs::canonicalize(&copy).map_err(|error| at(&copy, error))
}
