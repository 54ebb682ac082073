//! The drivers that an OpenCL loader loads: [`files`].

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::load::SPEC;

/// Returns the files or names of the drivers that the loader will load, as far as it can be known before.
///
/// Origin: [`cl_khr_icd`](https://registry.khronos.org/OpenCL/specs/3.0-unified/html/OpenCL_Ext.html#cl_khr_icd-opencl),
/// and the variables of the two loaders for Linux.
pub(super) fn files() -> Vec<PathBuf> {
    let set = |name| env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let mut files = Vec::new();
    if let Some(names) = set("OCL_ICD_FILENAMES") {
        files.extend(env::split_paths(&names));
    }
    // It may be a driver without a loader.
    files.extend(set(SPEC.variable).map(PathBuf::from));
    let vendors = set("OCL_ICD_VENDORS").map_or("/etc/OpenCL/vendors".into(), PathBuf::from);
    match std::fs::read_dir(&vendors) {
        Ok(entries) => files.extend(entries.flatten().filter_map(|entry| named_in(&entry.path()))),
        Err(_) => files.extend(named_in(&vendors).or(Some(vendors))),
    }
    files
}

/// Returns the driver that a file `….icd` names in its first line. Returns `None` for another file.
fn named_in(file: &Path) -> Option<PathBuf> {
    let text = file.extension().filter(|end| *end == "icd").map(|_| std::fs::read_to_string(file));
    let text = text?.ok()?;
    text.lines().next().map(|name| PathBuf::from(name.trim()))
}
